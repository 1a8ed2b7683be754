/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What goes wrong on the engine: keys of every wrong sort, lengths, retries on virtual
 * time, full and flushed queues. Each has its status, and leaves the other side as it should be.
 */
#include "engine_fixture.h"

/* --- keys --- */

static void bad_remote_keys(void **state)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_LINEAR, .iova = BASE, .base = BASE, .length = 4096 };
	struct hca_pd other;
	struct hca_mr *foreign, *readable;
	u32 i;

	(void)state;
	hca_pd_init(&other, &b.hca);
	attr.access = RW;
	assert_int_equal(hca_mr_create(&other, &attr, &foreign), 0);
	attr.access = HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_REMOTE_READ;
	assert_int_equal(hca_mr_create(&b.pd, &attr, &readable), 0);
	const struct {
		u64 addr;
		u32 len, key;
		enum hca_vendor_err why;
	} bad[] = {
		{ BASE, 8, b.all->key ^ 1, HCA_VENDOR_KEY }, /* another generation */
		{ BASE, 8, b.all->key + 0x100000, HCA_VENDOR_KEY }, /* an index that nobody has */
		{ BASE, 8, 0, HCA_VENDOR_KEY },
		{ BASE, 8, foreign->key, HCA_VENDOR_PD },
		{ BASE, 8, readable->key, HCA_VENDOR_RIGHT }, /* not to write */
		{ BASE + BYTES - 7, 8, b.all->key, HCA_VENDOR_BOUNDS }, /* a byte past the end */
		{ BASE - 1, 8, b.all->key, HCA_VENDOR_BOUNDS },
		{ ~0ull - 3, 8, b.all->key, HCA_VENDOR_BOUNDS }, /* wraps */
	};
	struct hca_wc wc;

	for (i = 0; i < HCA_ARRAY_SIZE(bad); i++) {
		struct hca_qp_attr at = { .qp_state = HCA_QPS_RESET };

		fill(a.ram, 8, 9);
		memset(b.ram, 0, BYTES);
		assert_int_equal(post(&a, i, HCA_WR_RDMA_WRITE, 0, bad[i].len, bad[i].addr, bad[i].key), 0);
		poll_one(&a.scq, i, HCA_WC_REM_ACCESS_ERR, &wc);
		/* An answer in packets has no room for more. */
		assert_int_equal(wc.vendor_err, HCA_VENDOR_REMOTE | (FIXTURE_MTU ? HCA_VENDOR_NONE : bad[i].why));
		assert_int_equal(a.qp->state, HCA_QPS_ERR);
		assert_int_equal(b.qp->state, HCA_QPS_ERR);
		assert_int_equal(b.events[HCA_EVENT_QP_ACCESS_ERR], i + 1);
		assert_int_equal(b.ram[0] | b.ram[BYTES - 1], 0);
		modify(a.qp, &at, HCA_QPS_RESET, 0);
		modify(b.qp, &at, HCA_QPS_RESET, 0);
		connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
		connect_qp(&b, b.qp, &a, a.qp->qpn, 3, 2);
	}
	assert_int_equal(hca_mr_destroy(foreign), 0);
	assert_int_equal(hca_mr_destroy(readable), 0);
}

static void bad_local_keys(void **state)
{
	struct hca_sge sge = sge_at(&a, 0, 8);
	struct hca_send_wr wr = { .wr_id = 1, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND };

	(void)state;
	sge.lkey ^= 1;
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 1, HCA_WC_LOC_PROT_ERR, NULL);
	assert_int_equal(a.qp->state, HCA_QPS_ERR);
	assert_int_equal(b.qp->state, HCA_QPS_RTS); /* nothing arrived there */
}

static void bad_receive_key(void **state)
{
	struct hca_sge sge = sge_at(&b, 0, 8);
	struct hca_recv_wr wr = { .wr_id = 1, .sge = &sge, .num_sge = 1 };

	(void)state;
	sge.addr = BASE + BYTES - 4;
	assert_int_equal(hca_post_recv(b.qp, &wr), 0);
	assert_int_equal(post_recv(&b, 2, 0, 8), 0);
	assert_int_equal(post(&a, 3, HCA_WR_SEND, 0, 8, 0, 0), 0);
	poll_one(&a.scq, 3, HCA_WC_REM_OP_ERR, NULL);
	poll_one(&b.rcq, 1, HCA_WC_LOC_PROT_ERR, NULL);
	poll_one(&b.rcq, 2, HCA_WC_WR_FLUSH_ERR, NULL);
	nothing_more();
}

static void too_long_for_the_receiver(void **state)
{
	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 7), 0);
	assert_int_equal(post(&a, 2, HCA_WR_SEND, 0, 8, 0, 0), 0);
	poll_one(&a.scq, 2, HCA_WC_REM_INV_REQ_ERR, NULL);
	poll_one(&b.rcq, 1, HCA_WC_LOC_LEN_ERR, NULL);
	assert_int_equal(b.qp->state, HCA_QPS_ERR);
}

static void rights_of_the_queue_pair(void **state)
{
	(void)state;
	b.qp->attr.qp_access_flags = HCA_ACCESS_REMOTE_READ;
	republish(b.qp);
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_READ, 0, 8, BASE, b.all->key), 0);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE, 0, 8, BASE, b.all->key), 0);
	/* rxe, siw and rdmavt refuse the request as invalid: it is the queue pair that can't take it, whatever the key says. */
	poll_one(&a.scq, 2, HCA_WC_REM_INV_REQ_ERR, NULL);
}

/* --- time --- */

static void receiver_not_ready(void **state)
{
	struct hca_wc wc;
	u32 i;

	(void)state;
	ONE_DELIVERER();
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0);
	assert_int_equal(post(&a, 2, HCA_WR_SEND, 0, 8, 0, 0), 0);
	nothing_more();
	assert_int_equal(post_recv(&b, 3, 0, 8), 0);
	assert_int_equal(post_recv(&b, 4, 0, 8), 0);
	test_clock_advance(MS); /* code 12 is 0.64 ms */
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 3, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 4, HCA_WC_SUCCESS, NULL);
	assert_int_equal(post(&a, 5, HCA_WR_SEND, 0, 8, 0, 0), 0);
	assert_int_equal(post(&a, 6, HCA_WR_SEND, 0, 8, 0, 0), 0);
	/* Two retries are allowed: the third refusal ends it. */
	test_clock_advance(hca_rnr_timer_ns(12));
	assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 0);
	test_clock_advance(hca_rnr_timer_ns(12));
	poll_one(&a.scq, 5, HCA_WC_RNR_RETRY_EXC_ERR, NULL);
	poll_one(&a.scq, 6, HCA_WC_WR_FLUSH_ERR, NULL);
	a.qp->attr.rnr_retry = 7;
	(void)i;
}

static void receiver_not_ready_for_ever(void **state)
{
	struct hca_wc wc;
	u32 i;

	(void)state;
	a.qp->attr.rnr_retry = 7;
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0);
	for (i = 0; i < 1000; i++)
		test_clock_advance(MS);
	assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 0);
	assert_int_equal(post_recv(&b, 2, 0, 8), 0);
	test_clock_advance(MS);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
}

static void peer_is_gone(void **state)
{
	u64 step = hca_ack_timeout_ns(14);
	struct hca_wc wc;
	u32 i;

	(void)state;
	ONE_DELIVERER();
	hca_qp_destroy(b.qp);
	b.qp = NULL;
	a.qp->attr.retry_cnt = 7;
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, 8, BASE, b.all->key), 0);
	for (i = 0; i < 6 + FIXTURE_SILENT; i++)
		test_clock_advance(step);
	assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 0);
	test_clock_advance(step); /* seven retries are seven, not for ever */
	poll_one(&a.scq, 1, HCA_WC_RETRY_EXC_ERR, NULL);
	assert_int_equal(a.qp->state, HCA_QPS_ERR);
}

static void busy_queue_pairs_go_at_once(void **state)
{
	(void)state;
	a.qp->attr.rnr_retry = 7;
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0);
	assert_int_equal(post(&a, 2, HCA_WR_SEND, 0, 8, 0, 0), 0);
	assert_int_equal(post_recv(&a, 3, 0, 8), 0);
	hca_qp_destroy(a.qp); /* and nothing happens later */
	a.qp = NULL;
	test_clock_advance(100 * MS);
	nothing_more();
}

/* --- queues --- */

static void posting_rules(void **state)
{
	struct hca_sge sge[4] = { sge_at(&a, 0, 1) };
	struct hca_send_wr wr = { .sge = sge, .num_sge = 4, .opcode = HCA_WR_SEND };
	struct hca_recv_wr rwr = { .sge = sge, .num_sge = 4 };
	struct hca_qp_attr at = { 0 };
	struct hca_wc wc;
	u32 i;

	(void)state;
	assert_int_equal(hca_post_send(a.qp, &wr), -EINVAL);
	assert_int_equal(hca_post_recv(a.qp, &rwr), -EINVAL);
	wr.num_sge = 1;
	wr.opcode = (enum hca_wr_opcode)12;
	assert_int_equal(hca_post_send(a.qp, &wr), -EINVAL);
	wr.opcode = (enum hca_wr_opcode)77;
	assert_int_equal(hca_post_send(a.qp, &wr), -EINVAL);
	wr.opcode = HCA_WR_SEND;
	wr.flags = 1 << 4; /* no such flag */
	assert_int_equal(hca_post_send(a.qp, &wr), -EINVAL);
	for (i = 0; i < WR; i++)
		assert_int_equal(post(&a, i, HCA_WR_SEND, 0, 8, 0, 0), 0);
	assert_int_equal(post(&a, i, HCA_WR_SEND, 0, 8, 0, 0), -ENOMEM);
	for (i = 0; i < WR; i++)
		assert_int_equal(post_recv(&a, 100 + i, 0, 8), 0);
	assert_int_equal(post_recv(&a, 100 + i, 0, 8), -ENOMEM);
	modify(a.qp, &at, HCA_QPS_ERR, 0);
	for (i = 0; i < WR; i++)
		poll_one(&a.scq, i, HCA_WC_WR_FLUSH_ERR, NULL);
	for (i = 0; i < WR; i++)
		poll_one(&a.rcq, 100 + i, HCA_WC_WR_FLUSH_ERR, NULL);
	/* In error, what is posted is flushed. */
	assert_int_equal(post(&a, 50, HCA_WR_SEND, 0, 8, 0, 0), 0);
	poll_one(&a.scq, 50, HCA_WC_WR_FLUSH_ERR, NULL);
	assert_int_equal(post_recv(&a, 51, 0, 8), 0);
	poll_one(&a.rcq, 51, HCA_WC_WR_FLUSH_ERR, NULL);
	modify(a.qp, &at, HCA_QPS_RESET, 0);
	assert_int_equal(post(&a, 50, HCA_WR_SEND, 0, 8, 0, 0), -EINVAL);
	assert_int_equal(post_recv(&a, 51, 0, 8), -EINVAL);
	assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 0);
}

static void completions_overflow(void **state)
{
	struct hca_wc wc;
	u32 i;

	(void)state;
	for (i = 0; i < CQE; i++) {
		assert_int_equal(post(&a, i, HCA_WR_RDMA_WRITE, 0, 8, BASE, b.all->key), 0);
		settle();
	}
	assert_int_equal(a.events[HCA_EVENT_CQ_ERR], 0);
	assert_int_equal(post(&a, i, HCA_WR_RDMA_WRITE, 0, 8, BASE, b.all->key), 0);
	settle();
	assert_int_equal(a.events[HCA_EVENT_CQ_ERR], 1);
	assert_int_equal(a.events[HCA_EVENT_QP_FATAL], 1);
	assert_int_equal(a.qp->state, HCA_QPS_ERR);
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
	for (i = 0; i < CQE; i++)
		poll_one(&a.scq, i, HCA_WC_SUCCESS, NULL);
	assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), -EIO);
}

static void drained_send_queue(void **state)
{
	struct hca_qp_attr at = { .en_sqd_async_notify = 1 };
	struct hca_wc wc;

	(void)state;
	modify(a.qp, &at, HCA_QPS_SQD, HCA_QP_EN_SQD_ASYNC_NOTIFY);
	assert_int_equal(a.events[HCA_EVENT_SQ_DRAINED], 1);
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, 8, BASE, b.all->key), 0);
	assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 0);
	modify(a.qp, &at, HCA_QPS_RTS, 0);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RC(bad_remote_keys),
		RC(bad_local_keys),
		RC(bad_receive_key),
		RC(too_long_for_the_receiver),
		RC(rights_of_the_queue_pair),
		RC(receiver_not_ready),
		RC(receiver_not_ready_for_ever),
		RC(peer_is_gone),
		RC(busy_queue_pairs_go_at_once),
		RC(posting_rules),
		RC(completions_overflow),
		RC(drained_send_queue),
	};

	return cmocka_run_group_tests_name("engine errors", tests, NULL, NULL);
}
