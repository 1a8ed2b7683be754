/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Shared receive queues on the engine: their life, their limit, resizing with requests
 * inside, several queue pairs at one, and what a queue pair's error leaves alone.
 */
#include "engine_fixture.h"

#define SRQ_WR 8u

static struct hca_srq srq;
static struct hca_qp *a2, *b2; /* a second pair */

static int open_srq(void **state)
{
	const struct hca_srq_attr attr = { .max_wr = SRQ_WR, .max_sge = 2 };

	(void)state;
	test_os_reset(1);
	assert_int_equal(wire_open(), 0);
	assert_int_equal(side_open(&a), 0);
	assert_int_equal(side_open(&b), 0);
	assert_int_equal(hca_srq_init(&srq, &b.hca, &b.pd, &attr), 0);
	assert_int_equal(make_qp(&a, HCA_QPT_RC, NULL, &a.qp), 0);
	assert_int_equal(make_qp(&b, HCA_QPT_RC, &srq, &b.qp), 0);
	assert_int_equal(make_qp(&a, HCA_QPT_RC, NULL, &a2), 0);
	assert_int_equal(make_qp(&b, HCA_QPT_RC, &srq, &b2), 0);
	connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
	connect_qp(&b, b.qp, &a, a.qp->qpn, 3, 2);
	connect_qp(&a, a2, &b, b2->qpn, 3, 2);
	connect_qp(&b, b2, &a, a2->qpn, 3, 2);
	return 0;
}

static int close_srq(void **state)
{
	hca_qp_destroy(a2);
	hca_qp_destroy(b2);
	assert_int_equal(hca_srq_fini(&srq), -EBUSY); /* one queue pair still uses it */
	hca_qp_destroy(b.qp);
	b.qp = NULL;
	assert_int_equal(hca_srq_fini(&srq), 0);
	return close_both(state);
}

static int post_shared(u64 id)
{
	struct hca_sge sge = sge_at(&b, 0, 64);
	struct hca_recv_wr wr = { .wr_id = id, .sge = &sge, .num_sge = 1 };

	return hca_srq_post(&srq, &wr);
}

static int send_on(struct hca_qp *qp, u64 id)
{
	struct hca_sge sge = sge_at(&a, 0, 8);
	struct hca_send_wr wr = { .wr_id = id, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND };

	return hca_post_send(qp, &wr);
}

/* One message on this pair takes this request, which completes at this queue pair. */
static void carries(struct hca_qp *from, const struct hca_qp *to, u64 id)
{
	struct hca_wc wc;

	assert_int_equal(send_on(from, 1000 + id), 0);
	poll_one(&a.scq, 1000 + id, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, id, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.qp_num, to->qpn);
}

static void bad_attributes_are_refused(void **state)
{
	const struct hca_srq_attr bad[] = {
		{ .max_wr = 0, .max_sge = 1 },
		{ .max_wr = (1 << 15) + 1, .max_sge = 1 },
		{ .max_wr = 4, .max_sge = 17 },
		{ .max_wr = 4, .max_sge = 1, .srq_limit = 5 },
	};
	const struct hca_srq_attr good = { .max_wr = 4, .max_sge = 1 };
	struct hca_srq other;
	struct hca_qp *qp;
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(bad); i++)
		assert_int_equal(hca_srq_init(&other, &b.hca, &b.pd, &bad[i]), -EINVAL);
	assert_int_equal(hca_srq_init(&other, &b.hca, &a.pd, &good), -EINVAL);
	assert_int_equal(make_qp(&a, HCA_QPT_RC, &srq, &qp), -EINVAL); /* another adapter's */
	assert_int_equal(hca_post_recv(b.qp, &(struct hca_recv_wr){ .num_sge = 0 }), -EINVAL);
}

static void limit_is_told_once(void **state)
{
	struct hca_srq_attr attr = { .srq_limit = 3 };
	u64 i;

	(void)state;
	for (i = 0; i < 5; i++)
		assert_int_equal(post_shared(i), 0);
	assert_int_equal(hca_srq_modify(&srq, &attr, HCA_SRQ_LIMIT), 0);
	carries(a.qp, b.qp, 0); /* 4 are left */
	carries(a2, b2, 1); /* 3: not below */
	assert_int_equal(b.events[HCA_EVENT_SRQ_LIMIT_REACHED], 0);
	hca_srq_query(&srq, &attr);
	assert_int_equal(attr.srq_limit, 3);
	assert_int_equal(attr.max_wr, SRQ_WR);
	assert_int_equal(attr.max_sge, 2);
	carries(a.qp, b.qp, 2);
	assert_int_equal(b.events[HCA_EVENT_SRQ_LIMIT_REACHED], 1);
	hca_srq_query(&srq, &attr);
	assert_int_equal(attr.srq_limit, 0);
	carries(a.qp, b.qp, 3);
	assert_int_equal(b.events[HCA_EVENT_SRQ_LIMIT_REACHED], 1);
	attr.srq_limit = 2; /* armed again, and below at once with the next */
	assert_int_equal(hca_srq_modify(&srq, &attr, HCA_SRQ_LIMIT), 0);
	carries(a2, b2, 4);
	assert_int_equal(b.events[HCA_EVENT_SRQ_LIMIT_REACHED], 2);
	assert_int_equal(a.events[HCA_EVENT_SRQ_LIMIT_REACHED], 0);
}

static void resize_keeps_what_is_in_it(void **state)
{
	struct hca_srq_attr attr = { .max_wr = 20 }, now;
	u64 i;

	(void)state;
	for (i = 0; i < SRQ_WR; i++)
		assert_int_equal(post_shared(i), 0);
	assert_int_equal(post_shared(i), -ENOMEM);
	assert_int_equal(hca_srq_modify(&srq, &attr, HCA_SRQ_MAX_WR), 0);
	for (; i < 20; i++)
		assert_int_equal(post_shared(i), 0);
	assert_int_equal(post_shared(i), -ENOMEM);
	for (i = 0; i < 10; i++)
		carries(i & 1 ? a.qp : a2, i & 1 ? b.qp : b2, i);
	/* Ten are in it. What can't be done changes nothing. */
	attr.max_wr = 9;
	attr.srq_limit = 2;
	assert_int_equal(hca_srq_modify(&srq, &attr, HCA_SRQ_MAX_WR | HCA_SRQ_LIMIT), -EINVAL);
	attr.max_wr = 10;
	attr.srq_limit = 11;
	assert_int_equal(hca_srq_modify(&srq, &attr, HCA_SRQ_MAX_WR | HCA_SRQ_LIMIT), -EINVAL);
	attr.max_wr = 0;
	assert_int_equal(hca_srq_modify(&srq, &attr, HCA_SRQ_MAX_WR), -EINVAL);
	attr.max_wr = (1 << 15) + 1;
	assert_int_equal(hca_srq_modify(&srq, &attr, HCA_SRQ_MAX_WR), -EINVAL);
	assert_int_equal(hca_srq_modify(&srq, &attr, 4), -EINVAL);
	hca_srq_query(&srq, &now);
	assert_int_equal(now.max_wr, 20);
	assert_int_equal(now.srq_limit, 0);
	attr.max_wr = 10;
	attr.srq_limit = 10;
	assert_int_equal(hca_srq_modify(&srq, &attr, HCA_SRQ_MAX_WR | HCA_SRQ_LIMIT), 0);
	attr.max_wr = 9; /* below the limit that is armed */
	assert_int_equal(hca_srq_modify(&srq, &attr, HCA_SRQ_MAX_WR), -EINVAL);
	for (i = 10; i < 20; i++)
		carries(a.qp, b.qp, i);
	assert_int_equal(b.events[HCA_EVENT_SRQ_LIMIT_REACHED], 1);
}

/* Its requests are nobody's until taken: a queue pair in error flushes none, says that it takes no more, and others go on. */
static void error_leaves_requests_alone(void **state)
{
	struct hca_qp_attr at = { 0 };
	u64 i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(post_shared(i), 0);
	carries(a.qp, b.qp, 0);
	modify(b.qp, &at, HCA_QPS_ERR, 0);
	assert_int_equal(b.events[HCA_EVENT_QP_LAST_WQE_REACHED], 1);
	modify(b.qp, &at, HCA_QPS_ERR, 0);
	assert_int_equal(b.events[HCA_EVENT_QP_LAST_WQE_REACHED], 1);
	nothing_more();
	carries(a2, b2, 1);
	carries(a2, b2, 2);
	modify(b2, &at, HCA_QPS_RESET, 0); /* nor does a reset take any */
	modify(a2, &at, HCA_QPS_RESET, 0);
	connect_qp(&b, b2, &a, a2->qpn, 3, 2);
	connect_qp(&a, a2, &b, b2->qpn, 3, 2);
	carries(a2, b2, 3);
	assert_int_equal(b.events[HCA_EVENT_QP_LAST_WQE_REACHED], 1);
}

static void empty_is_not_ready(void **state)
{
	(void)state;
	a.qp->attr.rnr_retry = 7; /* also where the clock is not ours */
	assert_int_equal(send_on(a.qp, 1), 0);
	nothing_more();
	assert_int_equal(post_shared(2), 0);
	test_clock_advance(MS);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 2, HCA_WC_SUCCESS, NULL);
}

static void spoilt_requests_belong_to_one(void **state)
{
	struct hca_sge sge = sge_at(&b, 0, 4); /* too short */
	struct hca_recv_wr wr = { .wr_id = 1, .sge = &sge, .num_sge = 1 };
	struct hca_wc wc;

	(void)state;
	assert_int_equal(hca_srq_post(&srq, &wr), 0);
	assert_int_equal(post_shared(2), 0);
	assert_int_equal(send_on(a.qp, 3), 0);
	poll_one(&a.scq, 3, HCA_WC_REM_INV_REQ_ERR, NULL);
	poll_one(&b.rcq, 1, HCA_WC_LOC_LEN_ERR, &wc);
	assert_int_equal(wc.qp_num, b.qp->qpn);
	assert_int_equal(b.qp->state, HCA_QPS_ERR);
	assert_int_equal(b.events[HCA_EVENT_QP_LAST_WQE_REACHED], 1);
	carries(a2, b2, 2);
}

/* --- threads --- */

static u32 completed_when_told;
static bool told;

static u32 waiting_in(const struct hca_cq *cq)
{
	return cq->ring.tail - cq->ring.head;
}

static void on_last(struct hca *hca, enum hca_event_type type, void *object)
{
	(void)hca;
	if (type != HCA_EVENT_QP_LAST_WQE_REACHED || object != b.qp)
		return;
	told = true;
	completed_when_told = waiting_in(&b.rcq);
}

static void send_some(void *arg)
{
	u64 i;

	(void)arg;
	for (i = 0; i < 4; i++)
		(void)send_on(a.qp, i);
}

static void end_it(void *arg)
{
	struct hca_qp_attr at = { .qp_state = HCA_QPS_ERR };

	(void)arg;
	assert_int_equal(hca_qp_modify(b.qp, &at, HCA_QP_STATE), 0);
}

/* After the event nothing more completes at this queue pair: who counts requests can count on it. */
static void last_is_last(void **state)
{
	void (*const fns[])(void *) = { send_some, end_it };
	void *const args[] = { NULL, NULL };
	u64 seed, i;
	u32 some = 0;

	(void)state;
	for (seed = 1; seed <= SEED_COUNT(80u); seed++) {
		assert_int_equal(open_srq(NULL), 0);
		b.hca.event = on_last;
		told = false;
		for (i = 0; i < 4; i++)
			assert_int_equal(post_shared(i), 0);
		assert_int_equal(test_run_threads(seed, 2, fns, args, NULL), 0);
		assert_true(told);
		assert_int_equal(waiting_in(&b.rcq), completed_when_told);
		some += completed_when_told && completed_when_told < 4;
		assert_int_equal(close_srq(NULL), 0);
	}
	assert_true(some || SEED_COUNT(80u) < 80); /* the end came between messages now and then */
}

static void every_call_may_fail(void **state)
{
	(void)state;
	test_os_reset(1);
	assert_int_equal(wire_open(), 0);
	TEST_FAIL_LOOP(l)
	{
		struct hca_srq_attr attr = { .max_wr = 4, .max_sge = 1, .srq_limit = 2 };
		struct hca_srq s;

		if (side_open(&a))
			continue;
		if (!hca_srq_init(&s, &a.hca, &a.pd, &attr)) {
			attr.max_wr = 100;
			attr.srq_limit = 50;
			if (hca_srq_modify(&s, &attr, HCA_SRQ_MAX_WR | HCA_SRQ_LIMIT)) {
				hca_srq_query(&s, &attr);
				assert_int_equal(attr.max_wr, 4);
				assert_int_equal(attr.srq_limit, 2);
			}
			assert_int_equal(hca_srq_fini(&s), 0);
		}
		side_close(&a);
	}
	wire_close();
}

#define SRQ(t) cmocka_unit_test_setup_teardown(t, open_srq, close_srq)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SRQ(bad_attributes_are_refused), SRQ(limit_is_told_once),
		SRQ(resize_keeps_what_is_in_it), SRQ(error_leaves_requests_alone),
		SRQ(empty_is_not_ready),	 SRQ(spoilt_requests_belong_to_one),
		cmocka_unit_test(last_is_last),	 cmocka_unit_test(every_call_may_fail),
	};

	return cmocka_run_group_tests_name("engine srq", tests, NULL, NULL);
}
