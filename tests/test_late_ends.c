/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests whose answers come later, while answers are outstanding: ends, time that runs out, one-sided work, answers that
 * aren't any, and threads (IBTA vol. 1, 9.7.5, 9.7.6, 10.3.1).
 */
#include "late_fixture.h"

#define SEEDS 200u

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

/* The first is answered, those behind it aren't: they have their time from then on, and one timeout more at most. */
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
	test_clock_advance(TIMEOUT + 1);
	poll_one(&a.scq, 1, HCA_WC_RETRY_EXC_ERR, NULL);
	flushed(&a.scq, 2);
}

/* A timer that runs isn't started anew for each request, nor for each answer: that would cost more than the rest of a short one. */
static void answers_leave_the_timer(void **state)
{
	u64 due = 0;
	u32 i;

	(void)state;
	for (i = 0; i < 10; i++) {
		assert_int_equal(post_recv(&b, 10 + i, 0, 8), 0);
		assert_int_equal(send(i, 0, 8), 0);
		assert_true(a.qp->timer.armed);
		due = i ? due : a.qp->timer.when;
		assert_true(a.qp->timer.when == due);
		test_clock_advance(TIMEOUT / 20);
		all_steps();
		good(&a.scq, i);
		good(&b.rcq, 10 + i);
	}
	/* It is due after the last answer: then it is of no use any more. */
	test_clock_advance(TIMEOUT);
	assert_false(a.qp->timer.armed);
	assert_int_equal(a.qp->state, HCA_QPS_RTS);
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

/* The first pieces were moved by the wire itself, the others are answered later: it completes with the last of these. */
static void first_pieces_at_once(void **state)
{
	u32 i;

	(void)state;
	late.one_sided_late = true;
	fill(b.ram, BYTES, 8);
	for (i = 0; i < 4; i++) {
		memset(a.ram, 0, BYTES);
		late.at_once = i;
		late.pieces = 0;
		assert_int_equal(post(&a, i, HCA_WR_RDMA_READ, 0, 3 * HCA_PIECE + 5, BASE, b.all->key), 0);
		assert_int_equal(late.pieces, 4 - i);
		assert_memory_equal(a.ram, b.ram, i * HCA_PIECE);
		steps(2 * (4 - i) - 1);
		nothing_more();
		steps(1);
		good(&a.scq, i);
		assert_memory_equal(a.ram, b.ram, 3 * HCA_PIECE + 5);
	}
	assert_int_equal(post_recv(&b, 5, 0, 8), 0);
	assert_int_equal(send(6, 8, 8), 0);
	all_steps();
	good(&b.rcq, 5);
	good(&a.scq, 6);
}

/* The same of a write: the bytes behind them are the right ones, whoever moved the first. */
static void first_pieces_of_a_write_at_once(void **state)
{
	u32 i;

	(void)state;
	late.one_sided_late = true;
	fill(a.ram, BYTES, 8);
	for (i = 0; i < 4; i++) {
		memset(b.ram, 0, BYTES);
		late.at_once = i;
		assert_int_equal(post(&a, i, HCA_WR_RDMA_WRITE, 0, 3 * HCA_PIECE + 5, BASE, b.all->key), 0);
		all_steps();
		good(&a.scq, i);
		assert_memory_equal(a.ram, b.ram, 3 * HCA_PIECE + 5);
	}
}

/* A key that goes between the pieces: the responder refuses the rest. */
static void a_key_goes_behind_the_first_pieces(void **state)
{
	(void)state;
	late.one_sided_late = true;
	late.at_once = 1;
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, 2 * HCA_PIECE, BASE, b.all->key), 0);
	assert_int_equal(late.pieces, 1);
	b.all->entry->access &= ~(u32)HCA_ACCESS_REMOTE_WRITE;
	all_steps();
	poll_one(&a.scq, 1, HCA_WC_REM_ACCESS_ERR, NULL);
	assert_int_equal(b.qp->state, HCA_QPS_ERR);
	nothing_more();
}

/*
 * The peer isn't ready for a write of several pieces: all of them are refused, and it is tried again. An answer to a piece of the
 * first try that comes when the second one is under way isn't taken for one of that.
 */
static void answers_of_an_earlier_try(void **state)
{
	(void)state;
	late.one_sided_late = true;
	fill(a.ram, BYTES, 8);
	memset(b.ram, 0, BYTES);
	hca_store(&b.qp->state, (u32)HCA_QPS_INIT);
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, 2 * HCA_PIECE, BASE, b.all->key), 0);
	steps(3); /* both were refused, the first answer is here */
	hca_store(&b.qp->state, (u32)HCA_QPS_RTS);
	test_clock_advance(TIMEOUT);
	hca_eq_run(&late.eq);
	assert_int_equal(late.pieces, 4);
	steps(1); /* the answer to the second piece of the first try */
	assert_int_equal(a.qp->retries, 1);
	nothing_more();
	all_steps();
	good(&a.scq, 1);
	assert_memory_equal(a.ram, b.ram, 2 * HCA_PIECE);
	assert_int_equal(late.pieces, 4);
}

/* Nothing is issued behind one-sided work that is under way: the responder doesn't count that. */
static void a_send_behind_a_read(void **state)
{
	(void)state;
	late.one_sided_late = true;
	assert_int_equal(post_recv(&b, 1, 0, 8), 0);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_READ, 0, 8, BASE, b.all->key), 0);
	assert_int_equal(send(3, 8, 8), 0);
	assert_int_equal(late.pieces, 1);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		HELD(a_flush_waits_for_no_answer),
		HELD(a_reset_forgets_what_is_unanswered),
		HELD(destroyed_with_answers_outstanding),
		HELD(the_peer_is_gone),
		HELD(an_answer_that_never_comes),
		HELD(later_answers_that_never_come),
		HELD(answers_leave_the_timer),
		HELD(answers_that_come_too_late),
		HELD(an_answer_in_time_forgives),
		HELD(no_timeout_waits_for_ever),
		HELD(reads_and_atomics_later),
		HELD(first_pieces_at_once),
		HELD(first_pieces_of_a_write_at_once),
		HELD(a_key_goes_behind_the_first_pieces),
		HELD(answers_of_an_earlier_try),
		HELD(a_send_behind_a_read),
		HELD(a_key_goes_under_a_read),
		HELD(remote_errors_later),
		HELD(strange_answers),
		cmocka_unit_test(not_ready_while_sending),
		cmocka_unit_test(not_ready_while_sending_pieces),
		cmocka_unit_test(a_reset_waits_for_the_bytes),
	};

	return cmocka_run_group_tests_name("late_ends", tests, NULL, NULL);
}
