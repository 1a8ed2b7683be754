/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests whose answers come later: a window of them under way, completions in posting order, the oldest failure decides,
 * receivers that aren't ready, and ends while answers are outstanding (IBTA vol. 1, 9.7.5, 9.7.6, 10.3.1, 10.8.3).
 */
#define BYTES (4u * 65536u)
#define CQE 256u
#define WR 100u
#define ENGINE_FIXTURE_LATE
#include "schedule_fixture.h"

#define SEEDS 200u
#define RNR hca_rnr_timer_ns(12)
#define TIMEOUT hca_ack_timeout_ns(14)

static int open_held(void **state)
{
	(void)state;
	connect_type(HCA_QPT_RC);
	late.held = true;
	return 0;
}

static void good(struct hca_cq *cq, u64 id)
{
	poll_one(cq, id, HCA_WC_SUCCESS, NULL);
}

static void flushed(struct hca_cq *cq, u64 id)
{
	poll_one(cq, id, HCA_WC_WR_FLUSH_ERR, NULL);
}

static int send(u64 id, u64 off, u32 len)
{
	return post(&a, id, HCA_WR_SEND, off, len, 0, 0);
}

static int write_word(u64 id, u64 off, u64 to)
{
	return post(&a, id, HCA_WR_RDMA_WRITE, off, 8, BASE + to, b.all->key);
}

static void steps(u32 n)
{
	while (n--)
		assert_true(late_step(&late));
	hca_eq_run(&late.eq);
}

static void all_steps(void)
{
	while (late_step(&late))
		;
	hca_eq_run(&late.eq);
}

/* Messages of one byte that say which they are. */
static void number_bytes(u32 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		a.ram[i] = (u8)(i + 1);
	memset(b.ram, 0, 256);
}

/* --- a window --- */

static void under_way_together(void **state)
{
	u32 i;

	(void)state;
	number_bytes(5);
	for (i = 0; i < 5; i++)
		assert_int_equal(post_recv(&b, 10 + i, i, 1), 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(send(i, i, 1), 0);
	assert_int_equal(late.pieces, 5);
	nothing_more();
	steps(5); /* taken in, and not yet told */
	for (i = 0; i < 5; i++)
		good(&b.rcq, 10 + i);
	nothing_more();
	for (i = 0; i < 5; i++) {
		steps(1);
		good(&a.scq, i);
		nothing_more();
	}
	assert_memory_equal(a.ram, b.ram, 5);
}

/* What is sent may be changed when it is complete, not before; but the wire has it already. */
static void the_payload_was_copied(void **state)
{
	(void)state;
	a.ram[0] = 1;
	assert_int_equal(post_recv(&b, 1, 0, 1), 0);
	assert_int_equal(send(2, 0, 1), 0);
	a.ram[0] = 2;
	all_steps();
	assert_int_equal(b.ram[0], 1);
}

static void the_window_is_bounded(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i < WR - 10; i++)
		assert_int_equal(post_recv(&b, i, 0, 1), 0);
	for (i = 0; i < WR - 10; i++)
		assert_int_equal(send(i, 0, 1), 0);
	assert_int_equal(late.pieces, 64);
	steps(64);
	assert_int_equal(late.pieces, 64);
	steps(1);
	assert_int_equal(late.pieces, 65);
	all_steps();
	for (i = 0; i < WR - 10; i++) {
		good(&a.scq, i);
		good(&b.rcq, i);
	}
	nothing_more();
}

/* One of several pieces is complete when its last one is. */
static void several_pieces(void **state)
{
	(void)state;
	fill(a.ram, BYTES, 3);
	assert_int_equal(post_recv(&b, 1, 0, BYTES), 0);
	assert_int_equal(post_recv(&b, 2, 0, 8), 0);
	assert_int_equal(send(3, 0, 3 * HCA_PIECE + 1), 0);
	assert_int_equal(send(4, 8, 8), 0);
	assert_int_equal(late.pieces, 5);
	steps(5);
	good(&b.rcq, 1);
	good(&b.rcq, 2);
	assert_memory_equal(a.ram + 8, b.ram, 8);
	assert_memory_equal(a.ram + 8, b.ram + 8, 3 * HCA_PIECE - 7);
	steps(3);
	nothing_more();
	steps(1);
	good(&a.scq, 3);
	nothing_more();
	steps(1);
	good(&a.scq, 4);
}

/* --- order between kinds --- */

/* A write may not be seen before a message that was sent earlier is accepted; a send may follow it at once. */
static void one_sided_work_waits(void **state)
{
	(void)state;
	number_bytes(200);
	assert_int_equal(post_recv(&b, 1, 0, 8), 0);
	assert_int_equal(post_recv(&b, 2, 8, 8), 0);
	assert_int_equal(send(3, 0, 8), 0);
	assert_int_equal(write_word(4, 100, 100), 0);
	assert_int_equal(send(5, 8, 8), 0);
	assert_int_equal(late.pieces, 1);
	assert_int_equal(b.ram[100], 0);
	steps(1);
	assert_int_equal(b.ram[100], 0);
	steps(1); /* accepted */
	assert_int_equal(b.ram[100], 101);
	good(&a.scq, 3);
	good(&a.scq, 4);
	assert_int_equal(late.pieces, 2);
	all_steps();
	good(&a.scq, 5);
	good(&b.rcq, 1);
	good(&b.rcq, 2);
}

/* A fence, and what concerns keys, waits for all that is under way. */
static void local_work_waits_and_takes_no_number(void **state)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_PAGES, .max_pages = 1, .invalid = true };
	struct hca_send_wr wr = { .wr_id = 2, .opcode = HCA_WR_REG_MR };
	u64 page = BASE;
	struct hca_mr *mr;
	u32 i;

	(void)state;
	number_bytes(8);
	assert_int_equal(hca_mr_create(&a.pd, &attr, &mr), 0);
	for (i = 0; i < 4; i++)
		assert_int_equal(post_recv(&b, 10 + i, i, 1), 0);
	assert_int_equal(send(1, 0, 1), 0);
	wr.reg.mr = mr;
	wr.reg.to = (struct hca_mr_pages){ .key = mr->key,
					   .access = RW,
					   .iova = BASE,
					   .length = 4096,
					   .page_shift = 12,
					   .npages = 1,
					   .pages = &page };
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	wr = (struct hca_send_wr){ .wr_id = 3, .opcode = HCA_WR_LOCAL_INV, .imm = mr->key };
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	assert_int_equal(send(4, 1, 1), 0);
	assert_int_equal(send(5, 2, 1), 0);
	assert_int_equal(late.pieces, 1);
	all_steps();
	for (i = 1; i <= 5; i++)
		good(&a.scq, i);
	for (i = 0; i < 3; i++)
		good(&b.rcq, 10 + i);
	assert_int_equal(write_word(6, 3, 3), 0);
	good(&a.scq, 6);
	assert_memory_equal(a.ram, b.ram, 4);
	assert_int_equal(hca_mr_destroy(mr), 0);
	nothing_more();
}

/* The numbers of both ends, as a connection's ends choose them at random. */
static void number_from(u32 number)
{
	hca_irqflags_t flags;

	hca_spin_lock(&a.qp->lock, flags);
	a.qp->attr.sq_psn = number;
	a.hca.transport->modified(a.qp, HCA_QP_SQ_PSN);
	hca_spin_unlock(&a.qp->lock, flags);
	hca_spin_lock(&b.qp->lock, flags);
	b.qp->attr.rq_psn = number;
	b.hca.transport->modified(b.qp, HCA_QP_RQ_PSN);
	hca_spin_unlock(&b.qp->lock, flags);
}

static void numbers_go_round(void **state)
{
	u32 i;

	(void)state;
	number_from(0xfffffe);
	for (i = 0; i < 5; i++)
		assert_int_equal(post_recv(&b, 10 + i, 0, 8), 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(send(i, 0, 8), 0);
	all_steps();
	for (i = 0; i < 5; i++) {
		good(&a.scq, i);
		good(&b.rcq, 10 + i);
	}
}

/* --- failures --- */

static void the_oldest_failure_decides(void **state)
{
	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 8), 0);
	assert_int_equal(post_recv(&b, 2, 0, 8), 0);
	assert_int_equal(post_recv(&b, 3, 0, 8), 0);
	assert_int_equal(send(11, 0, 8), 0);
	assert_int_equal(send(12, 0, 9), 0); /* longer than its receive request */
	assert_int_equal(send(13, 0, 8), 0);
	assert_int_equal(send(14, 0, 9), 0);
	all_steps();
	good(&a.scq, 11);
	poll_one(&a.scq, 12, HCA_WC_REM_INV_REQ_ERR, NULL);
	flushed(&a.scq, 13);
	flushed(&a.scq, 14);
	good(&b.rcq, 1);
	poll_one(&b.rcq, 2, HCA_WC_LOC_LEN_ERR, NULL);
	flushed(&b.rcq, 3);
	assert_int_equal(a.qp->state, HCA_QPS_ERR);
	assert_int_equal(b.qp->state, HCA_QPS_ERR);
	nothing_more();
}

/* A later request fails here while an earlier one waits for its answer: it waits its turn with that. */
static void a_local_failure_waits_its_turn(void **state)
{
	struct hca_sge sge = { .addr = BASE, .length = 8, .lkey = 0x666600 };
	struct hca_send_wr wr = { .wr_id = 12, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND };
	u32 i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(post_recv(&b, i, 0, 8), 0);
	assert_int_equal(send(11, 0, 8), 0);
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	nothing_more();
	assert_int_equal(a.qp->state, HCA_QPS_RTS);
	all_steps();
	good(&a.scq, 11);
	poll_one(&a.scq, 12, HCA_WC_LOC_PROT_ERR, NULL);
	good(&b.rcq, 0);
	assert_int_equal(a.qp->state, HCA_QPS_ERR);
	nothing_more();
}

/* Several of them: the first decides, the others are flushed. */
static void local_failures_behind_each_other(void **state)
{
	struct hca_sge sge = { .addr = BASE, .length = 8, .lkey = 0x666600 };
	struct hca_send_wr wr = { .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND };

	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 8), 0);
	assert_int_equal(send(11, 0, 8), 0);
	for (wr.wr_id = 12; wr.wr_id < 15; wr.wr_id++)
		assert_int_equal(hca_post_send(a.qp, &wr), 0);
	nothing_more();
	all_steps();
	good(&a.scq, 11);
	poll_one(&a.scq, 12, HCA_WC_LOC_PROT_ERR, NULL);
	flushed(&a.scq, 13);
	flushed(&a.scq, 14);
	good(&b.rcq, 1);
	nothing_more();
}

/* --- not ready --- */

static void not_ready_in_the_middle(void **state)
{
	u32 i;

	(void)state;
	number_bytes(6);
	assert_int_equal(post_recv(&b, 0, 0, 1), 0);
	assert_int_equal(post_recv(&b, 1, 1, 1), 0);
	for (i = 0; i < 6; i++)
		assert_int_equal(send(i, i, 1), 0);
	assert_int_equal(late.pieces, 6);
	steps(6);
	/* Two are accepted, the third is told that nobody is ready, and those behind it are passed over. */
	assert_int_equal(late.waiting, 3);
	for (i = 2; i < 6; i++)
		assert_int_equal(post_recv(&b, i, i, 1), 0);
	all_steps();
	good(&a.scq, 0);
	good(&a.scq, 1);
	assert_int_equal(late.pieces, 6);
	test_clock_advance(RNR - 1);
	assert_int_equal(late.pieces, 6);
	test_clock_advance(1);
	assert_int_equal(late.pieces, 10);
	all_steps();
	for (i = 2; i < 6; i++)
		good(&a.scq, i);
	for (i = 0; i < 6; i++)
		good(&b.rcq, i);
	assert_memory_equal(a.ram, b.ram, 6);
	nothing_more();
}

static void not_ready_is_counted(void **state)
{
	u32 i;

	(void)state;
	assert_int_equal(send(1, 0, 1), 0);
	assert_int_equal(send(2, 0, 1), 0);
	for (i = 0; i < 3; i++) {
		all_steps();
		test_clock_advance(RNR);
	}
	poll_one(&a.scq, 1, HCA_WC_RNR_RETRY_EXC_ERR, NULL);
	flushed(&a.scq, 2);
	nothing_more();
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
}

/* Of several pieces: refused with the first one, all of them go again. */
static void not_ready_for_several_pieces(void **state)
{
	(void)state;
	fill(a.ram, BYTES, 5);
	assert_int_equal(send(1, 0, 3 * HCA_PIECE), 0);
	assert_int_equal(send(2, 0, 8), 0);
	all_steps();
	nothing_more();
	assert_int_equal(post_recv(&b, 3, 0, BYTES), 0);
	assert_int_equal(post_recv(&b, 4, 3 * HCA_PIECE, 8), 0);
	test_clock_advance(RNR);
	all_steps();
	good(&a.scq, 1);
	good(&a.scq, 2);
	good(&b.rcq, 3);
	good(&b.rcq, 4);
	assert_memory_equal(a.ram, b.ram, 3 * HCA_PIECE);
}

static void draining_ends_when_all_is_answered(void **state)
{
	struct hca_qp_attr at = { .en_sqd_async_notify = 1, .ah = { .dlid = (u16)b.hca.lid, .port_num = 1 } };

	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 8), 0);
	assert_int_equal(post_recv(&b, 2, 0, 8), 0);
	assert_int_equal(send(3, 0, 8), 0);
	assert_int_equal(send(4, 0, 8), 0);
	modify(a.qp, &at, HCA_QPS_SQD, HCA_QP_EN_SQD_ASYNC_NOTIFY);
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_AV), -EBUSY);
	steps(3);
	assert_int_equal(a.events[HCA_EVENT_SQ_DRAINED], 0);
	assert_int_equal(to_state(a.qp, HCA_QPS_RTS), -EBUSY);
	steps(1);
	assert_int_equal(a.events[HCA_EVENT_SQ_DRAINED], 1);
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_AV), 0);
	assert_int_equal(to_state(a.qp, HCA_QPS_RTS), 0);
	good(&a.scq, 3);
	good(&a.scq, 4);
}

/* --- ends --- */

static void three_unanswered(void)
{
	u32 i;

	for (i = 0; i < 3; i++)
		assert_int_equal(post_recv(&b, 10 + i, 0, 8), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(send(i, 0, 8), 0);
	steps(3);
	for (i = 0; i < 3; i++)
		good(&b.rcq, 10 + i);
}

static void a_flush_waits_for_no_answer(void **state)
{
	(void)state;
	three_unanswered();
	assert_int_equal(to_state(a.qp, HCA_QPS_ERR), 0);
	flushed(&a.scq, 0);
	flushed(&a.scq, 1);
	flushed(&a.scq, 2);
	steps(3);
	nothing_more();
	test_clock_advance(10 * TIMEOUT);
	nothing_more();
}

/* Answers to requests of a former life end nothing of this one. */
static void a_reset_forgets_what_is_unanswered(void **state)
{
	struct hca_qp_attr at = { 0 };

	(void)state;
	three_unanswered();
	modify(a.qp, &at, HCA_QPS_RESET, 0);
	modify(b.qp, &at, HCA_QPS_RESET, 0);
	nothing_more();
	connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
	connect_qp(&b, b.qp, &a, a.qp->qpn, 3, 2);
	number_from(1000);
	assert_int_equal(post_recv(&b, 20, 0, 8), 0);
	assert_int_equal(send(21, 0, 8), 0);
	steps(3);
	nothing_more();
	all_steps();
	good(&a.scq, 21);
	good(&b.rcq, 20);
	nothing_more();
}

static void destroyed_with_answers_outstanding(void **state)
{
	(void)state;
	three_unanswered();
	hca_qp_destroy(a.qp);
	a.qp = NULL;
	steps(3);
	nothing_more();
}

/* The responder goes first: its peer is told that nobody answers, until its retries are used up. */
static void the_peer_is_gone(void **state)
{
	u32 i;

	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 8), 0);
	assert_int_equal(send(2, 0, 8), 0);
	assert_int_equal(send(3, 0, 8), 0);
	hca_qp_destroy(b.qp);
	b.qp = NULL;
	for (i = 0; i < 4; i++) {
		nothing_more();
		all_steps();
		test_clock_advance(TIMEOUT);
	}
	poll_one(&a.scq, 2, HCA_WC_RETRY_EXC_ERR, NULL);
	flushed(&a.scq, 3);
	nothing_more();
}

/* --- time --- */

static void an_answer_that_never_comes(void **state)
{
	(void)state;
	late.mute = true;
	late_let_go(&late);
	assert_int_equal(post_recv(&b, 1, 0, 8), 0);
	assert_int_equal(send(2, 0, 8), 0);
	good(&b.rcq, 1);
	test_clock_advance(4 * TIMEOUT - 1);
	nothing_more();
	test_clock_advance(1);
	poll_one(&a.scq, 2, HCA_WC_RETRY_EXC_ERR, NULL);
	assert_int_equal(late.pieces, 1); /* the wire loses nothing: it isn't sent again */
}

/* The first is answered, those behind it aren't: they have their time from then on. */
static void later_answers_that_never_come(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(post_recv(&b, 10 + i, 0, 8), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(send(i, 0, 8), 0);
	steps(1);
	late.mute = true;
	all_steps();
	good(&a.scq, 0);
	test_clock_advance(4 * TIMEOUT - 1);
	assert_int_equal(a.qp->state, HCA_QPS_RTS);
	test_clock_advance(1);
	poll_one(&a.scq, 1, HCA_WC_RETRY_EXC_ERR, NULL);
	flushed(&a.scq, 2);
}

/* The answers come when the first request has failed for want of one: what is behind it is flushed all the same. */
static void answers_that_come_too_late(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(post_recv(&b, 10 + i, 0, 8), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(send(i, 0, 8), 0);
	steps(3);
	test_clock_advance(4 * TIMEOUT);
	all_steps();
	poll_one(&a.scq, 0, HCA_WC_RETRY_EXC_ERR, NULL);
	flushed(&a.scq, 1);
	flushed(&a.scq, 2);
}

static void an_answer_in_time_forgives(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i < 6; i++) {
		assert_int_equal(post_recv(&b, 10 + i, 0, 8), 0);
		assert_int_equal(send(i, 0, 8), 0);
		test_clock_advance(3 * TIMEOUT);
		all_steps();
		good(&a.scq, i);
		good(&b.rcq, 10 + i);
	}
}

static void no_timeout_waits_for_ever(void **state)
{
	(void)state;
	a.qp->attr.timeout = 0;
	late.mute = true;
	assert_int_equal(post_recv(&b, 1, 0, 8), 0);
	assert_int_equal(send(2, 0, 8), 0);
	all_steps();
	good(&b.rcq, 1);
	test_clock_advance(1000 * TIMEOUT);
	nothing_more();
	assert_int_equal(to_state(a.qp, HCA_QPS_ERR), 0);
	flushed(&a.scq, 2);
}

/* --- one-sided work that is answered later --- */

static void reads_and_atomics_later(void **state)
{
	struct hca_sge sge = sge_at(&a, 64, 8);
	struct hca_send_wr wr = { .wr_id = 3, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_ATOMIC_FETCH_AND_ADD };
	u64 word = 41;

	(void)state;
	late.one_sided_late = true;
	fill(b.ram, BYTES, 8);
	memset(a.ram, 0, BYTES);
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_READ, 0, 2 * HCA_PIECE + 5, BASE, b.all->key), 0);
	assert_int_equal(late.pieces, 3);
	steps(3);
	assert_int_equal(a.ram[1], 0);
	steps(2);
	nothing_more();
	assert_memory_equal(a.ram, b.ram, 2 * HCA_PIECE);
	steps(1);
	good(&a.scq, 1);
	assert_memory_equal(a.ram, b.ram, 2 * HCA_PIECE + 5);
	fill(a.ram, 8, 99);
	assert_int_equal(write_word(2, 0, 256), 0);
	all_steps();
	good(&a.scq, 2);
	assert_memory_equal(a.ram, b.ram + 256, 8);
	memcpy(b.ram + 512, &word, 8);
	wr.atomic.addr = BASE + 512;
	wr.atomic.rkey = b.all->key;
	wr.atomic.compare_add = 1;
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	all_steps();
	good(&a.scq, 3);
	memcpy(&word, a.ram + 64, 8);
	assert_int_equal(word, 41);
	memcpy(&word, b.ram + 512, 8);
	assert_int_equal(word, 42);
}

/* A send behind a read that is under way may go; it completes behind it. */
static void a_send_behind_a_read(void **state)
{
	(void)state;
	late.one_sided_late = true;
	assert_int_equal(post_recv(&b, 1, 0, 8), 0);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_READ, 0, 8, BASE, b.all->key), 0);
	assert_int_equal(send(3, 8, 8), 0);
	assert_int_equal(write_word(4, 0, 64), 0);
	all_steps();
	good(&a.scq, 2);
	good(&a.scq, 3);
	good(&a.scq, 4);
	good(&b.rcq, 1);
}

/* The requester's own key goes while its read is under way: not a byte is written by it any more. */
static void a_key_goes_under_a_read(void **state)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_LINEAR, .access = RW, .iova = BASE, .base = BASE, .length = BYTES };
	struct hca_sge sge = { .addr = BASE, .length = 64 };
	struct hca_send_wr wr = { .wr_id = 1, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_READ };
	struct hca_mr *mr;

	(void)state;
	late.one_sided_late = true;
	memset(a.ram, 0xcc, 64);
	memset(b.ram, 0x11, 64);
	assert_int_equal(hca_mr_create(&a.pd, &attr, &mr), 0);
	sge.lkey = mr->key;
	wr.rdma.addr = BASE;
	wr.rdma.rkey = b.all->key;
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	steps(1);
	assert_int_equal(hca_mr_destroy(mr), 0);
	all_steps();
	poll_one(&a.scq, 1, HCA_WC_LOC_PROT_ERR, NULL);
	assert_int_equal(a.ram[0], 0xcc);
	nothing_more();
}

static void remote_errors_later(void **state)
{
	(void)state;
	late.one_sided_late = true;
	assert_int_equal(post_recv(&b, 1, 0, 8), 0);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_READ, 0, 8, BASE, b.all->key ^ 1), 0);
	assert_int_equal(send(3, 8, 8), 0);
	all_steps();
	poll_one(&a.scq, 2, HCA_WC_REM_ACCESS_ERR, NULL);
	flushed(&a.scq, 3);
	flushed(&b.rcq, 1);
	nothing_more();
}

/* --- answers that aren't any --- */

static void answer_by_hand(u32 number, u64 off, enum hca_answer answer)
{
	const struct hca_reply r = { .sqpn = a.qp->qpn, .number = number, .off = off, .answer = (u8)answer };

	late.port[a.hca.lid].ops->answered(late.port[a.hca.lid].client, &r);
}

static void strange_answers(void **state)
{
	struct hca_reply stranger = { .sqpn = 0x123456, .answer = HCA_ANSWER_ACK };

	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 8), 0);
	answer_by_hand(0, 0, HCA_ANSWER_ACK); /* nothing was asked */
	assert_int_equal(send(2, 0, 8), 0);
	answer_by_hand(1, 0, HCA_ANSWER_ACK);
	answer_by_hand(0xffffff, 0, HCA_ANSWER_REM_OP);
	late.port[a.hca.lid].ops->answered(late.port[a.hca.lid].client, &stranger);
	nothing_more();
	assert_int_equal(post_recv(&b, 4, 0, 8), 0);
	assert_int_equal(send(3, 0, 8), 0);
	answer_by_hand(1, 0, HCA_ANSWER_ACK); /* before its turn */
	answer_by_hand(1, 0, HCA_ANSWER_RNR);
	nothing_more();
	all_steps();
	good(&a.scq, 2);
	good(&a.scq, 3);
	answer_by_hand(0, 0, HCA_ANSWER_REM_OP); /* once more */
	assert_int_equal(a.qp->state, HCA_QPS_RTS);
	good(&b.rcq, 1);
	good(&b.rcq, 4);
	nothing_more();
}

/* --- threads --- */

#define MESSAGES 12u

static u32 taken_in;

static void sends_numbers(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < MESSAGES; i++)
		CHECK(!send(i, i, 1));
}

static void is_ready_at_times(void *arg)
{
	u32 i, k;

	(void)arg;
	for (i = 0; i < MESSAGES; i++) {
		CHECK(!post_recv(&b, i, i, 1));
		for (k = 0; k < 30; k++)
			hca_pause();
	}
}

static void delivers(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < 100; i++) {
		hca_eq_run(&late.eq);
		hca_pause();
	}
}

static void each_once_and_in_order(u32 len)
{
	struct hca_wc wc;
	u32 i;

	taken_in = 0;
	for (i = 0; i < MESSAGES; i++) {
		assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 1);
		assert_int_equal(wc.status, HCA_WC_SUCCESS);
		assert_int_equal(wc.wr_id, i);
		assert_int_equal(hca_cq_ring_poll(&b.rcq.ring, &wc, 1), 1);
		assert_int_equal(wc.status, HCA_WC_SUCCESS);
		assert_int_equal(wc.wr_id, i);
		assert_int_equal(wc.byte_len, len);
	}
	nothing_more();
}

/* The answer that nobody is ready comes while the next request, or the next piece, is being sent. */
static void not_ready_while_sending(void **state)
{
	void (*const fns[])(void *) = { sends_numbers, is_ready_at_times, delivers };

	(void)state;
	FOR_SEEDS(seed, SEEDS)
	{
		connect_type(HCA_QPT_RC);
		a.qp->attr.rnr_retry = 7;
		number_bytes(MESSAGES);
		run_seed(seed, 3, fns);
		test_clock_advance(40 * RNR);
		each_once_and_in_order(1);
		assert_memory_equal(a.ram, b.ram, MESSAGES);
		assert_int_equal(close_both(NULL), 0);
	}
}

static void sends_long_ones(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < MESSAGES; i++)
		CHECK(!send(i, i, HCA_PIECE + 1));
}

static void is_ready_for_long_ones(void *arg)
{
	u32 i, k;

	(void)arg;
	for (i = 0; i < MESSAGES; i++) {
		CHECK(!post_recv(&b, i, i, HCA_PIECE + 1));
		for (k = 0; k < 30; k++)
			hca_pause();
	}
}

static void not_ready_while_sending_pieces(void **state)
{
	void (*const fns[])(void *) = { sends_long_ones, is_ready_for_long_ones, delivers };

	(void)state;
	FOR_SEEDS(seed, SEEDS)
	{
		connect_type(HCA_QPT_RC);
		a.qp->attr.rnr_retry = 7;
		run_seed(seed, 3, fns);
		test_clock_advance(40 * RNR);
		each_once_and_in_order(HCA_PIECE + 1);
		assert_int_equal(close_both(NULL), 0);
	}
}

static bool placing, over;

static void places_slowly(struct side *s, u64 off, enum hca_mem_op op)
{
	u32 i;

	(void)off;
	if (s != &a || op == HCA_MEM_READ)
		return;
	placing = true;
	CHECK(!over);
	for (i = 0; i < 10; i++)
		hca_pause();
}

static void reads_a_piece(void *arg)
{
	(void)arg;
	CHECK(!post(&a, 1, HCA_WR_RDMA_READ, 0, 8 * 4096, BASE, b.all->key));
}

static void resets_meanwhile(void *arg)
{
	(void)arg;
	while (!placing)
		hca_pause();
	CHECK(!to_state(a.qp, HCA_QPS_RESET));
	over = true;
}

/* The bytes of a late answer are being put in place: RESET waits for that, and no byte follows it. */
static void a_reset_waits_for_the_bytes(void **state)
{
	void (*const fns[])(void *) = { reads_a_piece, resets_meanwhile };

	(void)state;
	FOR_SEEDS(seed, SEEDS / 4)
	{
		connect_type(HCA_QPT_RC);
		late.one_sided_late = true;
		look_at_memory(places_slowly);
		placing = over = false;
		run_seed(seed, 2, fns);
		nothing_more();
		connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
		nothing_more();
		assert_int_equal(close_both(NULL), 0);
	}
}

#define HELD(t) cmocka_unit_test_setup_teardown(t, open_held, close_both)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HELD(under_way_together),
		HELD(the_payload_was_copied),
		HELD(the_window_is_bounded),
		HELD(several_pieces),
		HELD(one_sided_work_waits),
		HELD(local_work_waits_and_takes_no_number),
		HELD(numbers_go_round),
		HELD(the_oldest_failure_decides),
		HELD(a_local_failure_waits_its_turn),
		HELD(local_failures_behind_each_other),
		HELD(not_ready_in_the_middle),
		HELD(not_ready_is_counted),
		HELD(not_ready_for_several_pieces),
		HELD(draining_ends_when_all_is_answered),
		HELD(a_flush_waits_for_no_answer),
		HELD(a_reset_forgets_what_is_unanswered),
		HELD(destroyed_with_answers_outstanding),
		HELD(the_peer_is_gone),
		HELD(an_answer_that_never_comes),
		HELD(later_answers_that_never_come),
		HELD(answers_that_come_too_late),
		HELD(an_answer_in_time_forgives),
		HELD(no_timeout_waits_for_ever),
		HELD(reads_and_atomics_later),
		HELD(a_send_behind_a_read),
		HELD(a_key_goes_under_a_read),
		HELD(remote_errors_later),
		HELD(strange_answers),
		cmocka_unit_test(not_ready_while_sending),
		cmocka_unit_test(not_ready_while_sending_pieces),
		cmocka_unit_test(a_reset_waits_for_the_bytes),
	};

	return cmocka_run_group_tests_name("late", tests, NULL, NULL);
}
