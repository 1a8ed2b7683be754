/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pieces that arrive while another thread is at the receiver's rx, on a wire that answers later: they wait in order, are taken in
 * by that thread, and answered then. What there is no room for is told to come again. And requesters that begin anew
 * with the same numbers while what they sent before is on its way.
 */
#define BYTES (90u * 65536u)
#include "late_fixture.h"
#include "why_fixture.h"

#define SEEDS 300u

/* No timer helps: what is lost is never sent again. */
static int open_without_timeout(void **state)
{
	open_held(state);
	a.qp->attr.timeout = 0;
	return 0;
}

static void leave(void)
{
	hca_rx_leave(b.qp);
	hca_eq_run(&late.eq);
	all_steps();
}

/* --- another thread is at rx --- */

static void messages_wait_in_order(void **state)
{
	u32 i;

	(void)state;
	fill(a.ram, 64, 3);
	for (i = 0; i < 5; i++)
		assert_int_equal(post_recv(&b, 10 + i, 8 * i, 8), 0);
	assert_true(hca_rx_enter(b.qp));
	for (i = 0; i < 5; i++)
		assert_int_equal(send(i, 8 * i, 8), 0);
	all_steps();
	nothing_more();
	leave();
	for (i = 0; i < 5; i++) {
		good(&b.rcq, 10 + i);
		good(&a.scq, i);
	}
	assert_memory_equal(a.ram, b.ram, 40);
	assert_int_equal(late.pieces, 5); /* none was sent twice */
	nothing_more();
}

static void one_sided(u64 id, enum hca_wr_opcode op, u64 off, u32 len)
{
	struct hca_sge sge = sge_at(&a, off, len);
	struct hca_send_wr wr = { .wr_id = id, .sge = &sge, .num_sge = 1, .opcode = op };

	wr.rdma.addr = BASE + off;
	wr.rdma.rkey = b.all->key;
	if (op == HCA_WR_ATOMIC_FETCH_AND_ADD) {
		wr.atomic.addr = BASE + off;
		wr.atomic.rkey = b.all->key;
		wr.atomic.compare_add = 1;
	}
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
}

/*
 * What needs nothing of the peer's consumer doesn't wait for the thread at rx, whether the wire answers it at once or later: what was
 * sent before it is answered by then.
 */
static void one_sided_work_does_not_wait(bool later)
{
	u64 word = 41;

	late.one_sided_late = later;
	fill(a.ram, 64, 3);
	memcpy(b.ram + 128, &word, 8);
	fill(b.ram + 256, 64, 77);
	assert_true(hca_rx_enter(b.qp));
	one_sided(1, HCA_WR_RDMA_WRITE, 0, 64);
	all_steps();
	good(&a.scq, 1);
	assert_memory_equal(a.ram, b.ram, 64);
	one_sided(2, HCA_WR_ATOMIC_FETCH_AND_ADD, 128, 8);
	all_steps();
	good(&a.scq, 2);
	memcpy(&word, a.ram + 128, 8);
	assert_int_equal(word, 41);
	memcpy(&word, b.ram + 128, 8);
	assert_int_equal(word, 42);
	one_sided(3, HCA_WR_RDMA_READ, 256, 64);
	all_steps();
	good(&a.scq, 3);
	assert_memory_equal(a.ram + 256, b.ram + 256, 64);
	leave();
	nothing_more();
}

/* But not before a message that waits at rx. */
static void one_sided_work_behind_a_message(void **state)
{
	(void)state;
	late.one_sided_late = true;
	fill(a.ram, 128, 3);
	assert_int_equal(post_recv(&b, 1, 512, 64), 0);
	assert_true(hca_rx_enter(b.qp));
	assert_int_equal(send(2, 0, 64), 0);
	one_sided(3, HCA_WR_RDMA_WRITE, 64, 64);
	all_steps();
	nothing_more();
	assert_int_equal(b.ram[65], 0);
	leave();
	all_steps();
	good(&b.rcq, 1);
	good(&a.scq, 2);
	good(&a.scq, 3);
	assert_memory_equal(a.ram + 64, b.ram + 64, 64);
	nothing_more();
}

static void one_sided_at_once(void **state)
{
	(void)state;
	one_sided_work_does_not_wait(false);
}

static void one_sided_later(void **state)
{
	(void)state;
	one_sided_work_does_not_wait(true);
}

/* The requester's own memory is read while it is sent, whether or not the piece has to wait. */
static void memory_that_refuses(void **state)
{
	struct hca_mr_attr attr = {
		.kind = HCA_MR_LINEAR, .access = RW, .iova = BASE, .base = BASE + BYTES, .length = 8
	};
	struct hca_sge sge = { .addr = BASE, .length = 8 };
	struct hca_send_wr wr = { .wr_id = 1, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_WRITE };
	struct hca_mr *hollow;

	(void)state;
	assert_int_equal(hca_mr_create(&a.pd, &attr, &hollow), 0);
	sge.lkey = hollow->key;
	wr.rdma.addr = BASE;
	wr.rdma.rkey = b.all->key;
	assert_true(hca_rx_enter(b.qp));
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 1, HCA_WC_LOC_PROT_ERR, NULL);
	leave();
	nothing_more();
	assert_int_equal(hca_mr_destroy(hollow), 0);
}

/* --- no room --- */

static void told_to_come_again(u32 fail_at)
{
	u32 i;

	fill(a.ram, BYTES, 9);
	for (i = 0; i < 3; i++)
		assert_int_equal(post_recv(&b, 10 + i, (u64)i * 40 * HCA_PIECE, 40 * HCA_PIECE), 0);
	assert_true(hca_rx_enter(b.qp));
	assert_int_equal(send(1, 0, 40 * HCA_PIECE), 0);
	assert_int_equal(send(2, 40 * HCA_PIECE, 40 * HCA_PIECE), 0);
	assert_int_equal(send(3, 80 * HCA_PIECE, 8), 0);
	test_fail_at(fail_at);
	while (late_step(&late))
		;
	assert_int_equal(test_fail_hit(), fail_at != 0);
	test_fail_at(0);
	nothing_more();
	/* The budget of the thread that leaves, and then the worker's. */
	leave();
	test_clock_advance(RNR - 1);
	all_steps();
	good(&b.rcq, 10);
	good(&a.scq, 1);
	nothing_more();
	test_clock_advance(1);
	all_steps();
	for (i = 1; i < 3; i++) {
		good(&b.rcq, 10 + i);
		good(&a.scq, i + 1);
	}
	nothing_more();
	assert_memory_equal(a.ram, b.ram, 80 * HCA_PIECE + 8);
}

static void no_room(void **state)
{
	(void)state;
	told_to_come_again(0);
}

/* For one that would fit: the same, and it is told though nothing waits behind it. */
static void no_memory(void **state)
{
	(void)state;
	told_to_come_again(50);
}

static void no_memory_at_all(void **state)
{
	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 8), 0);
	assert_true(hca_rx_enter(b.qp));
	assert_int_equal(send(2, 0, 8), 0);
	test_fail_at(1);
	assert_true(late_step(&late));
	assert_true(test_fail_hit());
	leave();
	nothing_more();
	test_clock_advance(RNR);
	all_steps();
	good(&a.scq, 2);
	good(&b.rcq, 1);
}

/* --- ends --- */

static void ends_with_pieces_waiting(bool full, bool destroy)
{
	u32 i;

	assert_int_equal(post_recv(&b, 1, 0, BYTES), 0);
	assert_true(hca_rx_enter(b.qp));
	assert_int_equal(send(2, 0, full ? 80 * HCA_PIECE : 8), 0);
	all_steps();
	hca_rx_leave_inside(b.qp); /* a worker would go on */
	if (destroy) {
		hca_qp_destroy(b.qp);
		b.qp = NULL;
	} else {
		assert_int_equal(to_state(b.qp, HCA_QPS_RESET), 0);
	}
	for (i = 0; i < 8; i++)
		test_clock_advance(RNR);
	all_steps();
	assert_int_equal(to_state(a.qp, HCA_QPS_ERR), 0);
}

static void destroyed_with_pieces_waiting(void **state)
{
	(void)state;
	ends_with_pieces_waiting(false, true);
}

static void destroyed_when_full(void **state)
{
	(void)state;
	ends_with_pieces_waiting(true, true);
}

static void reset_with_pieces_waiting(void **state)
{
	(void)state;
	ends_with_pieces_waiting(true, false);
	test_clock_advance(RNR);
	connect_qp(&b, b.qp, &a, a.qp->qpn, 3, 2);
}

/* --- former lives --- */

static void begin_anew(struct side *s, struct side *peer)
{
	struct hca_qp_attr at = { 0 };

	modify(s->qp, &at, HCA_QPS_RESET, 0);
	connect_qp(s, s->qp, peer, peer->qp->qpn, 3, 2);
	s->qp->attr.timeout = 14;
}

/* Its message was cut off: another one in its middle breaks the sequence (IBTA vol. 1, 9.7.4.1.2). */
static void a_message_that_was_cut_off(void **state)
{
	struct hca_wc wc;

	(void)state;
	memset(a.ram, 1, 3 * HCA_PIECE);
	assert_int_equal(post_recv(&b, 1, 0, BYTES), 0);
	assert_int_equal(post_recv(&b, 2, 0, BYTES), 0);
	assert_int_equal(send(3, 0, 3 * HCA_PIECE), 0);
	assert_true(late_step(&late));
	late_forget(&late); /* the others are lost with the link that they were on */
	begin_anew(&a, &b);
	assert_int_equal(send(4, 0, 2 * HCA_PIECE), 0);
	(void)test_why_take();
	all_steps();
	SAID("a message from LID", "refused: message malformed or out of sequence");
	poll_one(&a.scq, 4, HCA_WC_REM_INV_REQ_ERR, &wc);
	assert_int_equal(wc.vendor_err, HCA_VENDOR_REMOTE | HCA_VENDOR_SEQUENCE);
	why_vendor(wc.vendor_err);
	poll_one(&b.rcq, 1, HCA_WC_WR_FLUSH_ERR, NULL);
	poll_one(&b.rcq, 2, HCA_WC_WR_FLUSH_ERR, NULL);
	assert_int_equal(b.events[HCA_EVENT_QP_REQ_ERR], 1);
	nothing_more();
}

/* An answer to a request of a former life is none to the one that has its number now. */
static void an_answer_of_a_former_life(void **state)
{
	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 8), 0);
	assert_int_equal(send(2, 0, 8), 0);
	assert_true(late_step(&late));
	good(&b.rcq, 1);
	begin_anew(&a, &b);
	assert_int_equal(post_recv(&b, 3, 0, 8), 0);
	assert_int_equal(send(4, 0, 8), 0);
	all_steps();
	nothing_more(); /* the receiver awaits another number: this message never arrives */
	test_clock_advance(4 * hca_ack_timeout_ns(14));
	poll_one(&a.scq, 4, HCA_WC_RETRY_EXC_ERR, NULL);
	nothing_more();
}

/* --- threads --- */

#define MESSAGES 12u

static u32 sent;

static void sends(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < MESSAGES; i++) {
		if (i % 3 == 2)
			CHECK(!post(&a, i, HCA_WR_RDMA_WRITE, i, 1, BASE + 256 + i, b.all->key));
		else
			CHECK(!send(i, i, 1));
	}
	hca_store(&sent, 1u);
}

static void delivers(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < 60 || !hca_load(&sent); i++) {
		hca_eq_run(&late.eq);
		hca_pause();
	}
}

static void is_at_rx(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < 20; i++) {
		if (hca_rx_enter(b.qp)) {
			hca_pause();
			hca_rx_leave(b.qp);
		}
		hca_pause();
	}
}

static void nothing_is_lost_and_nothing_overtakes(void **state)
{
	void (*const fns[])(void *) = { sends, delivers, delivers, is_at_rx, is_at_rx };
	struct hca_wc wc;
	u32 i, n;

	(void)state;
	FOR_SEEDS(seed, SEEDS)
	{
		connect_type(HCA_QPT_RC);
		a.qp->attr.timeout = 0;
		late.one_sided_late = seed % 2;
		sent = 0;
		fill(a.ram, MESSAGES, 1);
		for (i = 0; i < MESSAGES; i++)
			assert_int_equal(post_recv(&b, i, i, 1), 0);
		run_seed(seed, HCA_ARRAY_SIZE(fns), fns);
		for (i = 0; i < 10; i++)
			test_clock_advance(MS);
		hca_eq_run(&late.eq);
		for (i = n = 0; i < MESSAGES; i++) {
			good(&a.scq, i);
			if (i % 3 == 2) {
				assert_int_equal(b.ram[256 + i], a.ram[i]);
				continue;
			}
			poll_one(&b.rcq, n, HCA_WC_SUCCESS, &wc);
			assert_int_equal(b.ram[n++], a.ram[i]);
		}
		nothing_more();
		assert_int_equal(close_both(NULL), 0);
	}
}

#define SILENT(t) cmocka_unit_test_setup_teardown(t, open_without_timeout, close_both)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SILENT(messages_wait_in_order),
		SILENT(one_sided_at_once),
		SILENT(one_sided_later),
		SILENT(one_sided_work_behind_a_message),
		SILENT(memory_that_refuses),
		SILENT(no_room),
		SILENT(no_memory),
		SILENT(no_memory_at_all),
		SILENT(destroyed_with_pieces_waiting),
		SILENT(destroyed_when_full),
		SILENT(reset_with_pieces_waiting),
		SILENT(a_message_that_was_cut_off),
		SILENT(an_answer_of_a_former_life),
		cmocka_unit_test(nothing_is_lost_and_nothing_overtakes),
	};

	return cmocka_run_group_tests_name("late_backlog", tests, NULL, NULL);
}
