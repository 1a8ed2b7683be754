/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * States and statuses that no other test of the engine comes to: what a query tells, draining,
 * fences, the state that a consumer believes in, and the rarer ends of work requests.
 */
#include "engine_fixture.h"

#define RNR hca_rnr_timer_ns(12)

/* --- what a query tells --- */

static void query_tells_what_was_set(void **state)
{
	struct hca_qp_attr at;
	struct hca_qp_init in;

	(void)state;
	hca_qp_query(a.qp, &at, &in);
	assert_int_equal(at.qp_state, HCA_QPS_RTS);
	assert_int_equal(at.cur_qp_state, HCA_QPS_RTS);
	assert_int_equal(at.path_mtu, HCA_MTU_4096);
	assert_int_equal(at.dest_qp_num, b.qp->qpn);
	assert_int_equal(at.ah.dlid, b.hca.lid);
	assert_int_equal(at.retry_cnt, 3);
	assert_int_equal(at.rnr_retry, 2);
	assert_int_equal(at.min_rnr_timer, 12);
	assert_int_equal(at.timeout, 14);
	assert_int_equal(at.max_rd_atomic, 1);
	assert_int_equal(at.max_dest_rd_atomic, 1);
	assert_int_equal(at.qp_access_flags, RW & HCA_ACCESS_REMOTE);
	assert_int_equal(at.cap.max_send_wr, WR);
	assert_int_equal(at.cap.max_recv_wr, WR);
	assert_int_equal(at.cap.max_send_sge, 3);
	assert_int_equal(at.cap.max_recv_sge, 3);
	assert_int_equal(at.cap.max_inline_data, 64);
	assert_int_equal(in.type, HCA_QPT_RC);
	assert_ptr_equal(in.pd, &a.pd);
	assert_ptr_equal(in.send_cq, &a.scq);
	assert_ptr_equal(in.recv_cq, &a.rcq);
	assert_null(in.srq);
	assert_true(in.sq_sig_all);
	assert_int_equal(in.max_inline, 64);
	/* What was asked is enough to make another one. */
	{
		struct hca_qp *twin;

		assert_int_equal(hca_qp_create(&a.hca, &in, &twin), 0);
		hca_qp_query(twin, &at, NULL);
		assert_int_equal(at.qp_state, HCA_QPS_RESET);
		assert_int_equal(at.dest_qp_num, 0);
		hca_qp_destroy(twin);
	}
	at = (struct hca_qp_attr){ 0 };
	modify(a.qp, &at, HCA_QPS_ERR, 0);
	hca_qp_query(a.qp, &at, NULL);
	assert_int_equal(at.qp_state, HCA_QPS_ERR);
	modify(a.qp, &at, HCA_QPS_RESET, 0);
	hca_qp_query(a.qp, &at, NULL);
	assert_int_equal(at.qp_state, HCA_QPS_RESET);
	assert_int_equal(at.retry_cnt, 0);
}

/*
 * A queue pair is in MIGRATED, which is what one without an alternate path is in (IBTA vol. 1, 17.2.8). To arm it again needs such a
 * path, which no port of ours has; to ARMED the adapter alone may take it (rdmavt/qp.c and the old ipath of Linux refuse that too).
 */
static void no_path_migrates(void **state)
{
	struct hca_qp_attr at = { .path_mig_state = HCA_MIG_MIGRATED };

	(void)state;
	hca_qp_query(a.qp, &at, NULL);
	assert_int_equal(at.path_mig_state, HCA_MIG_MIGRATED);
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_PATH_MIG_STATE), 0);
	at.path_mig_state = HCA_MIG_REARM;
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_PATH_MIG_STATE), -EINVAL);
	at.path_mig_state = HCA_MIG_ARMED;
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_PATH_MIG_STATE), -EINVAL);
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_ALT_PATH), -EINVAL);
	hca_qp_query(a.qp, &at, NULL);
	assert_int_equal(at.path_mig_state, HCA_MIG_MIGRATED);
}

static void numbers_of_24_bits(void **state)
{
	struct hca_qp_attr at = { .sq_psn = 0x1000000, .port_num = 1 };

	(void)state;
	modify(a.qp, &at, HCA_QPS_RESET, 0);
	modify(a.qp, &at, HCA_QPS_INIT, HCA_QP_PKEY_INDEX | HCA_QP_PORT | HCA_QP_ACCESS_FLAGS);
	at.qp_state = HCA_QPS_RTR;
	at.ah = (struct hca_ah_attr){ .dlid = 1, .port_num = 1 };
	at.path_mtu = HCA_MTU_1024;
	at.rq_psn = 0x1000000;
	{
		u32 mask = HCA_QP_STATE | HCA_QP_AV | HCA_QP_PATH_MTU | HCA_QP_DEST_QPN | HCA_QP_RQ_PSN |
			   HCA_QP_MAX_DEST_RD_ATOMIC | HCA_QP_MIN_RNR_TIMER;

		assert_int_equal(hca_qp_modify(a.qp, &at, mask), -EINVAL);
		assert_int_equal(a.qp->state, HCA_QPS_INIT);
		at.rq_psn = 0xffffff;
		assert_int_equal(hca_qp_modify(a.qp, &at, mask), 0);
	}
	at.qp_state = HCA_QPS_RTS;
	{
		u32 mask = HCA_QP_STATE | HCA_QP_SQ_PSN | HCA_QP_TIMEOUT | HCA_QP_RETRY_CNT | HCA_QP_RNR_RETRY |
			   HCA_QP_MAX_QP_RD_ATOMIC;

		assert_int_equal(hca_qp_modify(a.qp, &at, mask), -EINVAL);
		at.sq_psn = 0xffffff;
		assert_int_equal(hca_qp_modify(a.qp, &at, mask), 0);
	}
	hca_qp_query(a.qp, &at, NULL);
	assert_int_equal(at.rq_psn, 0xffffff);
	assert_int_equal(at.sq_psn, 0xffffff);
}

/* A send queue may have failed without its consumer's knowing: who says where it is doesn't start it by mistake. */
static void the_state_that_is_believed_in(void **state)
{
	struct hca_sge sge = sge_at(&a, BYTES - 4, 8);
	struct hca_send_wr wr = { .wr_id = 1, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND };
	struct hca_qp_attr at = { .qp_state = HCA_QPS_RTS, .cur_qp_state = HCA_QPS_SQE };

	(void)state;
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_STATE | HCA_QP_CUR_STATE), -EINVAL);
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 1, HCA_WC_LOC_PROT_ERR, NULL);
	assert_int_equal(a.qp->state, HCA_QPS_SQE);
	at.cur_qp_state = HCA_QPS_RTS;
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_STATE | HCA_QP_CUR_STATE), -EINVAL);
	assert_int_equal(a.qp->state, HCA_QPS_SQE);
	at.cur_qp_state = HCA_QPS_SQE;
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_STATE | HCA_QP_CUR_STATE), 0);
	assert_int_equal(a.qp->state, HCA_QPS_RTS);
	assert_int_equal(post_recv(&b, 2, 0, 8), 0);
	assert_int_equal(post(&a, 3, HCA_WR_SEND, 0, 8, 0, 0), 0);
	poll_one(&b.rcq, 2, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 3, HCA_WC_SUCCESS, NULL);
}

/* --- draining --- */

static void drained_when_what_was_begun_is_done(void **state)
{
	struct hca_qp_attr at = { .en_sqd_async_notify = 1 };
	struct hca_wc wc;

	(void)state;
	a.qp->attr.rnr_retry = 7;
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0); /* begun, and put off */
	assert_int_equal(post(&a, 2, HCA_WR_SEND, 0, 8, 0, 0), 0); /* not begun */
	modify(a.qp, &at, HCA_QPS_SQD, HCA_QP_EN_SQD_ASYNC_NOTIFY);
	test_clock_advance(5 * RNR);
	assert_int_equal(a.events[HCA_EVENT_SQ_DRAINED], 0);
	assert_int_equal(post_recv(&b, 3, 0, 8), 0);
	assert_int_equal(post_recv(&b, 4, 0, 8), 0);
	test_clock_advance(2 * RNR);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 3, HCA_WC_SUCCESS, NULL);
	assert_int_equal(a.events[HCA_EVENT_SQ_DRAINED], 1);
	test_clock_advance(5 * RNR);
	assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 0);
	assert_int_equal(a.events[HCA_EVENT_SQ_DRAINED], 1);
	modify(a.qp, &at, HCA_QPS_RTS, 0);
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 4, HCA_WC_SUCCESS, NULL);
	/* Not asked for, not told. */
	modify(a.qp, &at, HCA_QPS_SQD, 0);
	modify(a.qp, &at, HCA_QPS_RTS, 0);
	assert_int_equal(a.events[HCA_EVENT_SQ_DRAINED], 1);
}

static void draining_may_fail(void **state)
{
	struct hca_qp_attr at = { .en_sqd_async_notify = 1 };

	(void)state;
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0);
	assert_int_equal(post(&a, 2, HCA_WR_SEND, 0, 8, 0, 0), 0);
	modify(a.qp, &at, HCA_QPS_SQD, HCA_QP_EN_SQD_ASYNC_NOTIFY);
	test_clock_advance(RNR);
	test_clock_advance(RNR);
	test_clock_advance(RNR);
	poll_one(&a.scq, 1, HCA_WC_RNR_RETRY_EXC_ERR, NULL);
	poll_one(&a.scq, 2, HCA_WC_WR_FLUSH_ERR, NULL);
	assert_int_equal(a.qp->state, HCA_QPS_ERR);
	assert_int_equal(a.events[HCA_EVENT_SQ_DRAINED], 0);
}

static void a_reset_forgets_what_was_begun(void **state)
{
	struct hca_qp_attr at = { .en_sqd_async_notify = 1 };
	struct hca_wc wc;

	(void)state;
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0);
	modify(a.qp, &at, HCA_QPS_RESET, 0);
	connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
	modify(a.qp, &at, HCA_QPS_SQD, HCA_QP_EN_SQD_ASYNC_NOTIFY);
	assert_int_equal(a.events[HCA_EVENT_SQ_DRAINED], 1);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE, 0, 8, BASE, b.all->key), 0);
	test_clock_advance(5 * RNR);
	assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 0);
}

static void post_to_nobody(void *arg)
{
	(void)arg;
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0);
}

static void drain(void *arg)
{
	struct hca_qp_attr at = { .en_sqd_async_notify = 1 };

	(void)arg;
	modify(a.qp, &at, HCA_QPS_SQD, HCA_QP_EN_SQD_ASYNC_NOTIFY);
}

static void end(void *arg)
{
	struct hca_qp_attr at = { 0 };

	(void)arg;
	modify(a.qp, &at, HCA_QPS_ERR, 0);
}

/* States change just when a request is put off: it ends as what it is, flushed or done, and not for want of retries. */
static void states_change_under_way(void **state)
{
	void (*const ends[])(void *) = { post_to_nobody, end };
	void (*const drains[])(void *) = { post_to_nobody, drain };
	void *const args[] = { NULL, NULL };
	struct hca_qp_attr at = { 0 };
	u64 seed;

	(void)state;
	for (seed = 1; seed <= 100; seed++) {
		assert_int_equal(open_rc(NULL), 0);
		a.qp->attr.rnr_retry = 7;
		assert_int_equal(test_run_threads(seed, 2, ends, args, NULL), 0);
		test_clock_advance(10 * RNR);
		poll_one(&a.scq, 1, HCA_WC_WR_FLUSH_ERR, NULL);
		modify(a.qp, &at, HCA_QPS_RESET, 0);
		connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 7);
		assert_int_equal(test_run_threads(seed, 2, drains, args, NULL), 0);
		assert_int_equal(a.qp->state, HCA_QPS_SQD);
		assert_int_equal(post_recv(&b, 2, 0, 8), 0);
		test_clock_advance(10 * RNR);
		assert_int_equal(a.events[HCA_EVENT_SQ_DRAINED], 1);
		modify(a.qp, &at, HCA_QPS_RTS, 0);
		poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
		poll_one(&b.rcq, 2, HCA_WC_SUCCESS, NULL);
		assert_int_equal(close_both(NULL), 0);
	}
}

/* --- fences --- */

/* A fenced write sends what the read before it brings, however long that takes. */
static void fenced_work_waits(void **state)
{
	struct hca_sge sge = sge_at(&a, 100, 8);
	struct hca_send_wr wr = {
		.wr_id = 2, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_WRITE, .flags = HCA_SEND_FENCE
	};
	struct hca_qp_attr at = { 0 };
	struct hca_wc wc;

	(void)state;
	fill(b.ram, 8, 5);
	modify(b.qp, &at, HCA_QPS_RESET, 0); /* nobody answers for now */
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_READ, 100, 8, BASE, b.all->key), 0);
	wr.rdma.addr = BASE + 200;
	wr.rdma.rkey = b.all->key;
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	test_clock_advance(hca_ack_timeout_ns(14));
	assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 0);
	connect_qp(&b, b.qp, &a, a.qp->qpn, 3, 2);
	test_clock_advance(hca_ack_timeout_ns(14));
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(b.ram + 200, b.ram, 8);
}

/* --- the rarer ends --- */

/* An MR whose memory isn't there: keys are good, and the accessor refuses. */
static struct hca_mr *hollow(struct side *s)
{
	struct hca_mr_attr attr = {
		.kind = HCA_MR_LINEAR, .access = RW, .iova = BASE, .base = BASE + BYTES - 64, .length = 4096
	};
	struct hca_mr *r;

	assert_int_equal(hca_mr_create(&s->pd, &attr, &r), 0);
	return r;
}

static int post_hollow(enum hca_wr_opcode op, const struct hca_mr *mine, u32 len, u64 raddr, u32 rkey)
{
	struct hca_sge sge = { .addr = BASE, .length = len, .lkey = mine->key };
	struct hca_send_wr wr = { .wr_id = 1, .sge = &sge, .num_sge = 1, .opcode = op };

	wr.rdma.addr = raddr;
	wr.rdma.rkey = rkey;
	if (op == HCA_WR_ATOMIC_FETCH_AND_ADD) {
		wr.atomic.addr = raddr;
		wr.atomic.rkey = rkey;
	}
	return hca_post_send(a.qp, &wr);
}

static void responders_memory_refuses(void **state)
{
	static const enum hca_wr_opcode ops[] = { HCA_WR_RDMA_WRITE, HCA_WR_RDMA_READ, HCA_WR_ATOMIC_FETCH_AND_ADD };
	struct hca_mr *r = hollow(&b);
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(ops); i++) {
		assert_int_equal(post_hollow(ops[i], a.all, 8, BASE + 64, r->key), 0);
		poll_one(&a.scq, 1, HCA_WC_REM_OP_ERR, NULL);
		assert_int_equal(b.qp->state, HCA_QPS_ERR);
		assert_int_equal(b.events[HCA_EVENT_QP_REQ_ERR], i + 1);
		connect_again();
	}
	assert_int_equal(hca_mr_destroy(r), 0);
}

static void requesters_memory_refuses(void **state)
{
	static const enum hca_wr_opcode ops[] = { HCA_WR_RDMA_WRITE, HCA_WR_RDMA_READ, HCA_WR_ATOMIC_FETCH_AND_ADD };
	struct hca_mr *r = hollow(&a);
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(ops); i++) {
		struct hca_sge sge = { .addr = BASE + 64, .length = 8, .lkey = r->key };
		struct hca_send_wr wr = { .wr_id = 1, .sge = &sge, .num_sge = 1, .opcode = ops[i] };

		wr.rdma.addr = BASE;
		wr.rdma.rkey = b.all->key;
		if (ops[i] == HCA_WR_ATOMIC_FETCH_AND_ADD) {
			wr.atomic.addr = BASE;
			wr.atomic.rkey = b.all->key;
		}
		assert_int_equal(hca_post_send(a.qp, &wr), 0);
		poll_one(&a.scq, 1, HCA_WC_LOC_PROT_ERR, NULL);
		assert_int_equal(a.qp->state, HCA_QPS_ERR);
		connect_again();
	}
	/* Half of a send is there, so the receiver's request is begun and can't be ended. */
	assert_int_equal(post_recv(&b, 2, 0, 128), 0);
	assert_int_equal(post_hollow(HCA_WR_SEND, r, 128, 0, 0), 0);
	poll_one(&a.scq, 1, HCA_WC_LOC_PROT_ERR, NULL);
	poll_one(&b.rcq, 2, HCA_WC_REM_ABORT_ERR, NULL);
	connect_again();
	assert_int_equal(post_recv(&b, 3, 0, 0), 0);
	assert_int_equal(post_hollow(HCA_WR_RDMA_WRITE_WITH_IMM, r, 128, BASE, b.all->key), 0);
	poll_one(&a.scq, 1, HCA_WC_LOC_PROT_ERR, NULL);
	poll_one(&b.rcq, 3, HCA_WC_REM_ABORT_ERR, NULL);
	assert_int_equal(hca_mr_destroy(r), 0);
}

/* The receive request of a write with immediate data that may not write (IBTA 11.6.2, local access error). */
static void writes_that_may_not(void **state)
{
	struct hca_mr *r = hollow(&b);

	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 0), 0);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE_WITH_IMM, 0, 8, BASE, b.all->key ^ 1), 0);
	poll_one(&a.scq, 2, HCA_WC_REM_ACCESS_ERR, NULL);
	poll_one(&b.rcq, 1, HCA_WC_LOC_ACCESS_ERR, NULL);
	connect_again();
	assert_int_equal(post_recv(&b, 1, 0, 0), 0);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE_WITH_IMM, 0, 8, BASE + 64, r->key), 0);
	poll_one(&a.scq, 2, HCA_WC_REM_OP_ERR, NULL);
	poll_one(&b.rcq, 1, HCA_WC_LOC_ACCESS_ERR, NULL);
	nothing_more();
	assert_int_equal(hca_mr_destroy(r), 0);
}

static void dropped_writes_take_no_request(void **state)
{
	struct hca_wc wc;

	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 0), 0);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE_WITH_IMM, 0, 8, BASE, b.all->key ^ 1), 0);
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
	assert_int_equal(hca_cq_ring_poll(&b.rcq.ring, &wc, 1), 0);
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
	assert_int_equal(post(&a, 3, HCA_WR_RDMA_WRITE_WITH_IMM, 0, 8, BASE, b.all->key), 0);
	poll_one(&a.scq, 3, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 1, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.opcode, HCA_WC_RECV_RDMA_WITH_IMM);
}

static void depths_of_reads(void **state)
{
	(void)state;
	a.qp->attr.max_rd_atomic = 0;
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_READ, 0, 8, BASE, b.all->key), 0);
	poll_one(&a.scq, 1, HCA_WC_LOC_QP_OP_ERR, NULL);
	assert_int_equal(a.qp->state, HCA_QPS_ERR);
	assert_int_equal(b.qp->state, HCA_QPS_RTS); /* it didn't leave */
	connect_again();
	b.qp->attr.max_dest_rd_atomic = 0;
	republish(b.qp);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_READ, 0, 8, BASE, b.all->key), 0);
	poll_one(&a.scq, 2, HCA_WC_REM_INV_REQ_ERR, NULL);
	assert_int_equal(b.events[HCA_EVENT_QP_REQ_ERR], 1);
}

static void lengths_of_atomics(void **state)
{
	(void)state;
	assert_int_equal(post_hollow(HCA_WR_ATOMIC_FETCH_AND_ADD, a.all, 4, BASE, b.all->key), 0);
	poll_one(&a.scq, 1, HCA_WC_LOC_LEN_ERR, NULL);
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
}

static void first_message_establishes(void **state)
{
	struct hca_qp_attr at = { .ah = { .dlid = (u16)a.hca.lid, .port_num = 1 },
				  .path_mtu = HCA_MTU_4096,
				  .port_num = 1,
				  .max_dest_rd_atomic = 1 };

	(void)state;
	at.dest_qp_num = a.qp->qpn;
	at.qp_access_flags = HCA_ACCESS_REMOTE_WRITE;
	modify(b.qp, &at, HCA_QPS_RESET, 0);
	modify(b.qp, &at, HCA_QPS_INIT, HCA_QP_PKEY_INDEX | HCA_QP_PORT | HCA_QP_ACCESS_FLAGS);
	modify(b.qp, &at, HCA_QPS_RTR,
	       HCA_QP_AV | HCA_QP_PATH_MTU | HCA_QP_DEST_QPN | HCA_QP_RQ_PSN | HCA_QP_MAX_DEST_RD_ATOMIC |
		       HCA_QP_MIN_RNR_TIMER);
	assert_int_equal(b.events[HCA_EVENT_COMM_EST], 0);
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, 8, BASE, b.all->key), 0);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE, 0, 8, BASE, b.all->key), 0);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
	assert_int_equal(b.events[HCA_EVENT_COMM_EST], 1);
	assert_int_equal(a.events[HCA_EVENT_COMM_EST], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RC(query_tells_what_was_set),
		RC(no_path_migrates),
		RC(numbers_of_24_bits),
		cmocka_unit_test_setup_teardown(the_state_that_is_believed_in, open_uc, close_both),
		RC(drained_when_what_was_begun_is_done),
		RC(draining_may_fail),
		RC(a_reset_forgets_what_was_begun),
		cmocka_unit_test(states_change_under_way),
		RC(fenced_work_waits),
		RC(responders_memory_refuses),
		RC(requesters_memory_refuses),
		RC(writes_that_may_not),
		cmocka_unit_test_setup_teardown(dropped_writes_take_no_request, open_uc, close_both),
		RC(depths_of_reads),
		RC(lengths_of_atomics),
		RC(first_message_establishes),
	};

	return cmocka_run_group_tests_name("engine status", tests, NULL, NULL);
}
