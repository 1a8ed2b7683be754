/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests whose answers come later: a window of them under way, completions in posting order, the oldest failure decides,
 * and receivers that aren't ready (IBTA vol. 1, 9.7.5, 9.7.6, 10.3.1, 10.8.3).
 */
#include "late_fixture.h"
#include "why_fixture.h"

/* --- a window --- */

/* Nobody's memory is in this address space: no request is tried on it first. */
static void nothing_is_tried_at_once(void **state)
{
	(void)state;
	assert_null(a.qp->at_once);
	assert_null(b.qp->at_once);
}

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
static u32 answers, answers_late;

/* From within the adapter, which a failed assertion would leave with a queue pair that is busy. */
static void count_answer(const struct hca_reply *r)
{
	(void)r;
	answers++;
	answers_late += hca_cq_ring_waiting(&b.rcq.ring);
}

/*
 * A consumer that sees the message may end at once: its peer is told all the same, as it is on a link, where the
 * acknowledgement leaves before the completion is seen.
 */
static void the_answer_leaves_before_the_completion(void **state)
{
	(void)state;
	number_bytes(1);
	answers = 0;
	answers_late = 0;
	late.on_answer = count_answer;
	assert_int_equal(post_recv(&b, 10, 0, 1), 0);
	assert_int_equal(send(1, 0, 1), 0);
	steps(1);
	late.on_answer = NULL;
	assert_int_equal(answers, 1);
	assert_int_equal(answers_late, 0);
	good(&b.rcq, 10);
	all_steps();
	good(&a.scq, 1);
}

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

/*
 * A message takes a key away that a thread uses: the thread that takes messages in doesn't wait for that one. The message completes, and is
 * answered, when the key is of no use any more; what follows comes behind it.
 */
static void taking_in_waits_for_no_user_of_a_key(void **state)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_PAGES, .max_pages = 1, .invalid = true };
	struct hca_send_wr wr = { .wr_id = 1, .opcode = HCA_WR_REG_MR };
	struct hca_quiesce_mark mark;
	u64 page = BASE;
	struct hca_mr *mr;
	struct hca_wc wc;

	(void)state;
	assert_int_equal(hca_mr_create(&b.pd, &attr, &mr), 0);
	wr.reg.mr = mr;
	wr.reg.to = (struct hca_mr_pages){ .key = mr->key,
					   .access = RW,
					   .iova = BASE,
					   .length = 4096,
					   .page_shift = 12,
					   .npages = 1,
					   .pages = &page };
	assert_int_equal(hca_post_send(b.qp, &wr), 0);
	good(&b.scq, 1);
	assert_int_equal(post_recv(&b, 10, 0, 8), 0);
	assert_int_equal(post_recv(&b, 11, 8, 8), 0);
	wr = (struct hca_send_wr){ .wr_id = 2, .opcode = HCA_WR_SEND_WITH_INV, .imm = mr->key };
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	assert_int_equal(send(3, 0, 8), 0);
	hca_quiesce_enter(&b.hca.quiesce, &mark);
	while (late_step(&late))
		;
	assert_int_equal(hca_cq_ring_poll(&b.rcq.ring, &wc, 1), 0);
	assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 0);
	hca_quiesce_leave(&mark);
	hca_eq_run(&late.eq);
	all_steps();
	good(&a.scq, 2);
	good(&a.scq, 3);
	poll_one(&b.rcq, 10, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.wc_flags, HCA_WC_WITH_INVALIDATE);
	good(&b.rcq, 11);
	assert_int_equal(hca_mr_destroy(mr), 0);
	nothing_more();
}

/* The queue pair ends while a message waits for that. */
static void a_queue_pair_ends_while_a_key_does(void **state)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_PAGES, .max_pages = 1, .invalid = true };
	struct hca_send_wr wr = { .wr_id = 1, .opcode = HCA_WR_REG_MR };
	struct hca_quiesce_mark mark;
	u64 page = BASE;
	struct hca_mr *mr;

	(void)state;
	assert_int_equal(hca_mr_create(&b.pd, &attr, &mr), 0);
	wr.reg.mr = mr;
	wr.reg.to = (struct hca_mr_pages){ .key = mr->key,
					   .access = RW,
					   .iova = BASE,
					   .length = 4096,
					   .page_shift = 12,
					   .npages = 1,
					   .pages = &page };
	assert_int_equal(hca_post_send(b.qp, &wr), 0);
	good(&b.scq, 1);
	assert_int_equal(post_recv(&b, 10, 0, 8), 0);
	assert_int_equal(post_recv(&b, 11, 8, 8), 0);
	wr = (struct hca_send_wr){ .wr_id = 2, .opcode = HCA_WR_SEND_WITH_INV, .imm = mr->key };
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	hca_quiesce_enter(&b.hca.quiesce, &mark);
	while (late_step(&late))
		;
	hca_quiesce_leave(&mark);
	hca_qp_to_error(b.qp, 0);
	hca_eq_run(&late.eq);
	all_steps();
	good(&b.rcq, 10);
	flushed(&b.rcq, 11);
	good(&a.scq, 2);
	assert_int_equal(to_state(b.qp, HCA_QPS_RESET), 0);
	assert_int_equal(hca_mr_destroy(mr), 0);
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
	REFUSED(hca_qp_modify(a.qp, &at, HCA_QP_AV), -EBUSY, "the send queue is draining still; wait for SQ_DRAINED");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		HELD(nothing_is_tried_at_once),
		HELD(under_way_together),
		HELD(the_answer_leaves_before_the_completion),
		HELD(the_payload_was_copied),
		HELD(the_window_is_bounded),
		HELD(several_pieces),
		HELD(one_sided_work_waits),
		HELD(local_work_waits_and_takes_no_number),
		HELD(taking_in_waits_for_no_user_of_a_key),
		HELD(a_queue_pair_ends_while_a_key_does),
		HELD(numbers_go_round),
		HELD(the_oldest_failure_decides),
		HELD(a_local_failure_waits_its_turn),
		HELD(local_failures_behind_each_other),
		HELD(not_ready_in_the_middle),
		HELD(not_ready_is_counted),
		HELD(not_ready_for_several_pieces),
		HELD(draining_ends_when_all_is_answered),
	};

	return cmocka_run_group_tests_name("late", tests, NULL, NULL);
}
