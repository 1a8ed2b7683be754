/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What an adapter counts: each thing once, at the side where it happened, whichever way
 * a request goes; and nothing is lost when a queue pair ends or is reset.
 */
#ifndef ENGINE_FIXTURE_PACKETS
#define ENGINE_FIXTURE_FLAT
#endif
#include "schedule_fixture.h"

static u64 count_of(struct side *s, enum hca_count what)
{
	u64 n[HCA_COUNTS];

	hca_counts(&s->hca, n);
	return n[what];
}

#define EXPECT_COUNT(s, what, n) assert_int_equal(count_of(s, HCA_COUNT_##what), n)

/* What one side has counted, and nothing else. */
static void expect_counts(struct side *s, const u64 want[HCA_COUNTS])
{
	u64 n[HCA_COUNTS];
	u32 i;

	hca_counts(&s->hca, n);
	for (i = 0; i < HCA_COUNTS; i++)
		assert_int_equal(n[i], want[i]);
}

static void one_of_each(void)
{
	assert_int_equal(post_recv(&b, 1, 100, 50), 0);
	assert_int_equal(post(&a, 2, HCA_WR_SEND, 0, 40, 0, 0), 0);
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 1, HCA_WC_SUCCESS, NULL);
	assert_int_equal(post(&a, 3, HCA_WR_RDMA_WRITE, 0, 1000, BASE, b.all->key), 0);
	poll_one(&a.scq, 3, HCA_WC_SUCCESS, NULL);
	assert_int_equal(post(&a, 4, HCA_WR_RDMA_READ, 0, 2000, BASE, b.all->key), 0);
	poll_one(&a.scq, 4, HCA_WC_SUCCESS, NULL);
}

static void requests_and_bytes(void **state)
{
	const u64 none[HCA_COUNTS] = { 0 };
	u64 sent[HCA_COUNTS] = { 0 }, received[HCA_COUNTS] = { 0 };
	u32 i;

	(void)state;
	expect_counts(&a, none);
	/* Carried out at once, and by the wire. */
	for (i = 1; i <= 2; i++) {
		set_flat(&a, i == 1);
		set_flat(&b, i == 1);
		one_of_each();
		sent[HCA_COUNT_SENT] = 3ull * i;
		sent[HCA_COUNT_SENT_BYTES] = 3040ull * i;
		received[HCA_COUNT_RECEIVED] = i;
		received[HCA_COUNT_RECEIVED_BYTES] = 40ull * i;
		expect_counts(&a, sent);
		expect_counts(&b, received);
	}
}

static void requests_without_completions(void **state)
{
	struct hca_qp_init init = { .type = HCA_QPT_RC,
				    .pd = &a.pd,
				    .send_cq = &a.scq,
				    .recv_cq = &a.rcq,
				    .max_send_wr = WR,
				    .max_send_sge = 1 };

	(void)state;
	hca_qp_destroy(a.qp);
	assert_int_equal(hca_qp_create(&a.hca, &init, &a.qp), 0);
	connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
	b.qp->attr.dest_qp_num = a.qp->qpn;
	republish(b.qp);
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, 500, BASE, b.all->key), 0);
	set_flat(&a, false);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE, 0, 501, BASE, b.all->key), 0);
	settle();
	nothing_more();
	EXPECT_COUNT(&a, SENT, 2);
	EXPECT_COUNT(&a, SENT_BYTES, 1001);
}

/* What a queue pair does for itself sends nothing. */
static void local_requests(void **state)
{
	const u64 none[HCA_COUNTS] = { 0 };
	struct hca_mr_attr attr = { .kind = HCA_MR_PAGES, .max_pages = 1, .invalid = true };
	struct hca_send_wr wr = { .wr_id = 1, .opcode = HCA_WR_LOCAL_INV };
	struct hca_mr *mr;

	(void)state;
	assert_int_equal(hca_mr_create(&a.pd, &attr, &mr), 0);
	wr.imm = mr->key;
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	expect_counts(&a, none);
	assert_int_equal(hca_mr_destroy(mr), 0);
}

static void keys_that_are_refused(void **state)
{
	(void)state;
	assert_int_equal(post_recv(&b, 9, 0, 8), 0);
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, 8, BASE, b.all->key ^ 1), 0);
	poll_one(&a.scq, 1, HCA_WC_REM_ACCESS_ERR, NULL);
	poll_one(&b.rcq, 9, HCA_WC_WR_FLUSH_ERR, NULL);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE, 0, 8, BASE, b.all->key), 0);
	poll_one(&a.scq, 2, HCA_WC_WR_FLUSH_ERR, NULL);
	EXPECT_COUNT(&a, SENT, 0);
	EXPECT_COUNT(&a, SEND_ERRORS, 1);
	EXPECT_COUNT(&a, SEND_FLUSHED, 1);
	EXPECT_COUNT(&a, REMOTE_ACCESS, 1);
	EXPECT_COUNT(&a, REFUSED_ACCESS, 0);
	EXPECT_COUNT(&b, REFUSED_ACCESS, 1);
	EXPECT_COUNT(&b, REFUSED_INVALID, 0);
	EXPECT_COUNT(&b, RECV_FLUSHED, 1);
	EXPECT_COUNT(&b, RECV_ERRORS, 0);
}

static void requests_that_are_invalid(void **state)
{
	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 7), 0);
	assert_int_equal(post(&a, 2, HCA_WR_SEND, 0, 8, 0, 0), 0);
	poll_one(&a.scq, 2, HCA_WC_REM_INV_REQ_ERR, NULL);
	poll_one(&b.rcq, 1, HCA_WC_LOC_LEN_ERR, NULL);
	EXPECT_COUNT(&a, REMOTE_INVALID, 1);
	EXPECT_COUNT(&a, SEND_ERRORS, 1);
	EXPECT_COUNT(&b, REFUSED_INVALID, 1);
	EXPECT_COUNT(&b, RECV_ERRORS, 1);
	EXPECT_COUNT(&b, RECEIVED, 0);
}

static void receivers_that_are_not_ready(void **state)
{
	u32 i;

	(void)state;
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0);
	for (i = 0; i < 2; i++)
		test_clock_advance(hca_rnr_timer_ns(12));
	poll_one(&a.scq, 1, HCA_WC_RNR_RETRY_EXC_ERR, NULL);
	/* The first try and the two that were allowed after it. */
	EXPECT_COUNT(&a, RNR_RECEIVED, 3);
	EXPECT_COUNT(&b, RNR_SENT, 3);
	EXPECT_COUNT(&a, RNR_EXCEEDED, 1);
	EXPECT_COUNT(&a, RETRIES, 0);
}

static void peers_that_are_gone(void **state)
{
	u32 i;

	(void)state;
	hca_qp_destroy(b.qp);
	b.qp = NULL;
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0);
	for (i = 0; i < 4; i++)
		test_clock_advance(hca_ack_timeout_ns(14));
	poll_one(&a.scq, 1, HCA_WC_RETRY_EXC_ERR, NULL);
	EXPECT_COUNT(&a, RETRIES, 3);
	EXPECT_COUNT(&a, RETRY_EXCEEDED, 1);
	EXPECT_COUNT(&a, RNR_RECEIVED, 0);
}

/* Nothing of it is lost: not by RESET, and not by the end. */
static void queue_pairs_that_end(void **state)
{
	u64 qp[HCA_COUNTS_QP];

	(void)state;
	one_of_each();
	connect_again();
	one_of_each();
	hca_qp_counts(a.qp, qp);
	assert_int_equal(qp[HCA_COUNT_SENT], 6);
	hca_qp_destroy(a.qp);
	hca_qp_destroy(b.qp);
	a.qp = NULL;
	b.qp = NULL;
	EXPECT_COUNT(&a, SENT, 6);
	EXPECT_COUNT(&a, SENT_BYTES, 6080);
	EXPECT_COUNT(&b, RECEIVED, 2);
	EXPECT_COUNT(&b, RECEIVED_BYTES, 80);
	assert_int_equal(make_qp(&a, HCA_QPT_RC, NULL, &a.qp), 0);
	hca_qp_counts(a.qp, qp);
	assert_int_equal(qp[HCA_COUNT_SENT], 0);
	EXPECT_COUNT(&a, SENT, 6);
}

/* --- while queue pairs end --- */

static void look(void *arg)
{
	u64 highest = 0;
	u32 i;

	(void)arg;
	for (i = 0; i < 3; i++) {
		u64 now = count_of(&a, HCA_COUNT_SENT);

		CHECK(now >= highest && now <= 3);
		highest = now;
		hca_pause();
	}
	CHECK(highest == 3);
}

static void end_one(void *arg)
{
	(void)arg;
	hca_qp_destroy(a.qp);
	a.qp = NULL;
}

/* A sum lacks nothing, also while a queue pair moves from the table to what is kept of it. */
static void sums_are_whole(void **state)
{
	static void (*const both[])(void *arg) = { look, end_one };

	(void)state;
	FOR_SEEDS(seed, 200)
	{
		connect_type(HCA_QPT_RC);
		one_of_each();
		run_seed(seed, 2, both);
		assert_int_equal(count_of(&a, HCA_COUNT_SENT), 3);
		assert_int_equal(close_both(NULL), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RC(requests_and_bytes),	   RC(requests_without_completions), RC(local_requests),
		RC(keys_that_are_refused), RC(requests_that_are_invalid),    RC(receivers_that_are_not_ready),
		RC(peers_that_are_gone),   RC(queue_pairs_that_end),	     cmocka_unit_test(sums_are_whole),
	};

	return cmocka_run_group_tests_name("engine counts", tests, NULL, NULL);
}
