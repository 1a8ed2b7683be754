/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A wire of messages that answers later and is full: requests wait, also in the middle of a message, and go on from there when it
 * is ready. What the peer, the queue pair's owner or the clock do meanwhile.
 */
#define BYTES (4u * 65536u)
#define CQE 256u
#define WR 16u
#define ENGINE_FIXTURE_LATE
#include "engine_fixture.h"

#define PIECES 3u
#define LONG (PIECES * HCA_PIECE)

static int open_full(enum hca_qp_type type)
{
	connect_type(type);
	late.held = true;
	late.room = 1;
	fill(a.ram, BYTES, 3);
	memset(b.ram, 0, BYTES);
	return 0;
}

static int open_full_rc(void **state)
{
	(void)state;
	return open_full(HCA_QPT_RC);
}

static int open_full_uc(void **state)
{
	(void)state;
	return open_full(HCA_QPT_UC);
}

static int open_full_ud(void **state)
{
	(void)state;
	return open_full(HCA_QPT_UD);
}

static int send(u64 id, u32 len)
{
	return post(&a, id, HCA_WR_SEND, 0, len, 0, 0);
}

/* One thing arrives, and what that makes possible is done. */
static bool step(void)
{
	bool moved = late_step(&late);

	hca_eq_run(&late.eq);
	return moved;
}

static void all_steps(void)
{
	while (step())
		;
}

static void goes_on_where_it_was(void **state)
{
	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, BYTES), 0);
	assert_int_equal(send(2, LONG), 0);
	assert_int_equal(late.pieces, 1);
	all_steps();
	assert_int_equal(late.pieces, PIECES);
	poll_one(&b.rcq, 1, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(a.ram, b.ram, LONG);
	nothing_more();
}

static void in_order(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i < 8; i++) {
		assert_int_equal(post_recv(&b, i, 0, BYTES), 0);
		assert_int_equal(send(i, i % 2 ? 8 : LONG), 0);
	}
	all_steps();
	for (i = 0; i < 8; i++) {
		poll_one(&b.rcq, i, HCA_WC_SUCCESS, NULL);
		poll_one(&a.scq, i, HCA_WC_SUCCESS, NULL);
	}
	assert_int_equal(late.pieces, 4 * PIECES + 4);
}

/* Nobody is told more often than there is something to tell. */
static void no_spinning(void **state)
{
	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, BYTES), 0);
	assert_int_equal(send(2, LONG), 0);
	assert_int_equal(send(3, 8), 0);
	hca_eq_run(&late.eq);
	assert_int_equal(late.later, 1);
	all_steps();
}

/* Whoever says that there is room goes on with what waits for it: no other thread is woken up for that. */
static void needs_no_worker(void **state)
{
	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, BYTES), 0);
	assert_int_equal(send(2, LONG), 0);
	while (late_step(&late)) {
		assert_false(late.eq.work.timer.armed);
		hca_eq_run(&late.eq);
		assert_false(late.eq.work.timer.armed);
	}
	assert_int_equal(late.later, PIECES - 1);
	poll_one(&b.rcq, 1, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
}

/* IBTA vol. 1, 9.7.5.2.8: a receiver that isn't ready refuses the first piece; all of it comes again. */
static void not_ready_meanwhile(void **state)
{
	(void)state;
	assert_int_equal(send(2, LONG), 0);
	assert_true(step()); /* the first piece is refused, the second one leaves */
	assert_int_equal(late.pieces, 2);
	all_steps();
	assert_int_equal(post_recv(&b, 1, 0, BYTES), 0);
	test_clock_advance(hca_rnr_timer_ns(12));
	all_steps();
	poll_one(&b.rcq, 1, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(a.ram, b.ram, LONG);
}

/* IBTA vol. 1, 9.7.4.1.6: one that is too long is refused at its first piece; the rest doesn't go. */
static void refused_meanwhile(void **state)
{
	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 100), 0);
	assert_int_equal(send(2, LONG), 0);
	assert_int_equal(send(3, 8), 0);
	all_steps();
	assert_int_equal(late.pieces, 2);
	poll_one(&a.scq, 2, HCA_WC_REM_INV_REQ_ERR, NULL);
	poll_one(&a.scq, 3, HCA_WC_WR_FLUSH_ERR, NULL);
	poll_one(&b.rcq, 1, HCA_WC_LOC_LEN_ERR, NULL);
	assert_int_equal(a.qp->state, HCA_QPS_ERR);
}

static void ends_meanwhile(void **state)
{
	struct hca_qp_attr at = { .qp_state = HCA_QPS_ERR };

	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, BYTES), 0);
	assert_int_equal(send(2, LONG), 0);
	assert_int_equal(send(3, 8), 0);
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_STATE), 0);
	hca_eq_run(&late.eq);
	poll_one(&a.scq, 2, HCA_WC_WR_FLUSH_ERR, NULL);
	poll_one(&a.scq, 3, HCA_WC_WR_FLUSH_ERR, NULL);
	assert_int_equal(late.pieces, 1);
	all_steps();
	assert_int_equal(late.pieces, 1);
	nothing_more();
}

/* And begins anew: nothing of its former life is gone on with. */
static void reset_meanwhile(void **state)
{
	struct hca_qp_attr at = { .qp_state = HCA_QPS_RESET };

	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, BYTES), 0);
	assert_int_equal(send(2, LONG), 0);
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_STATE), 0);
	assert_false(a.qp->is_blocked);
	assert_null(a.hca.blocked);
	assert_int_equal(hca_qp_modify(b.qp, &at, HCA_QP_STATE), 0);
	all_steps();
	connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
	connect_qp(&b, b.qp, &a, a.qp->qpn, 3, 2);
	assert_int_equal(post_recv(&b, 4, 0, BYTES), 0);
	assert_int_equal(send(5, LONG), 0);
	all_steps();
	poll_one(&b.rcq, 4, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 5, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(a.ram, b.ram, LONG);
	nothing_more();
}

static void destroyed_meanwhile(void **state)
{
	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, BYTES), 0);
	assert_int_equal(send(2, LONG), 0);
	hca_qp_destroy(a.qp);
	a.qp = NULL;
	assert_null(a.hca.blocked);
	all_steps();
	nothing_more();
}

/* IBTA vol. 1, 10.3.1.5: what was begun goes on while the send queue drains, and nothing else begins. */
static void drains_meanwhile(void **state)
{
	struct hca_qp_attr at = { .qp_state = HCA_QPS_SQD, .en_sqd_async_notify = true };

	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, BYTES), 0);
	assert_int_equal(post_recv(&b, 2, 0, BYTES), 0);
	assert_int_equal(send(3, LONG), 0);
	assert_int_equal(send(4, 8), 0);
	assert_true(step()); /* the second piece of three */
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_STATE | HCA_QP_EN_SQD_ASYNC_NOTIFY), 0);
	hca_eq_run(&late.eq);
	assert_int_equal(a.events[HCA_EVENT_SQ_DRAINED], 0);
	all_steps();
	assert_int_equal(a.events[HCA_EVENT_SQ_DRAINED], 1);
	poll_one(&a.scq, 3, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 1, HCA_WC_SUCCESS, NULL);
	nothing_more();
}

/* A wire that takes nothing for so long is as good as a peer that doesn't answer (IBTA vol. 1, 9.7.6.1.3). */
static void never_ready(void **state)
{
	u32 i;

	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, BYTES), 0);
	assert_int_equal(send(2, LONG), 0);
	for (i = 0; i < 3; i++) {
		test_clock_advance(hca_ack_timeout_ns(14));
		hca_eq_run(&late.eq);
		nothing_more();
	}
	test_clock_advance(hca_ack_timeout_ns(14));
	hca_eq_run(&late.eq);
	poll_one(&a.scq, 2, HCA_WC_RETRY_EXC_ERR, NULL);
	assert_int_equal(a.qp->state, HCA_QPS_ERR);
}

static void unreliable_ones(void **state)
{
	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, BYTES), 0);
	assert_int_equal(post_recv(&b, 2, 0, BYTES), 0);
	assert_int_equal(send(3, LONG), 0);
	assert_int_equal(send(4, LONG), 0);
	all_steps();
	poll_one(&b.rcq, 1, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 2, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 3, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 4, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(a.ram, b.ram, LONG);
}

static void datagrams(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i < 5; i++) {
		assert_int_equal(post_recv(&b, i, 0, 8192), 0);
		assert_int_equal(post(&a, 10 + i, HCA_WR_SEND, 0, 100, b.qp->qpn, 0x11), 0);
	}
	all_steps();
	for (i = 0; i < 5; i++) {
		poll_one(&b.rcq, i, HCA_WC_SUCCESS, NULL);
		poll_one(&a.scq, 10 + i, HCA_WC_SUCCESS, NULL);
	}
}

/* One-sided work goes by itself, and waits as well. */
static void reads_and_writes(void **state)
{
	(void)state;
	late.one_sided_late = true;
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, LONG, BASE, b.all->key), 0);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_READ, HCA_PIECE, LONG, BASE, b.all->key), 0);
	all_steps();
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(a.ram + HCA_PIECE, b.ram, LONG);
}

#define FULL(t, open) cmocka_unit_test_setup_teardown(t, open, close_both)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FULL(goes_on_where_it_was, open_full_rc),
		FULL(in_order, open_full_rc),
		FULL(no_spinning, open_full_rc),
		FULL(needs_no_worker, open_full_rc),
		FULL(not_ready_meanwhile, open_full_rc),
		FULL(refused_meanwhile, open_full_rc),
		FULL(ends_meanwhile, open_full_rc),
		FULL(reset_meanwhile, open_full_rc),
		FULL(destroyed_meanwhile, open_full_rc),
		FULL(drains_meanwhile, open_full_rc),
		FULL(never_ready, open_full_rc),
		FULL(unreliable_ones, open_full_uc),
		FULL(datagrams, open_full_ud),
		FULL(reads_and_writes, open_full_rc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
