/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What comes after what: receives complete in the order they were posted, nothing is written behind a flush, and a message
 * of several pieces ends with the piece under way when a key, a right or a state is taken away (IBTA vol. 1, 10.3.1, 10.8.3).
 */
#define BYTES (8u * 65536u)
#include "schedule_fixture.h"

#define PIECES (BYTES / HCA_PIECE)
#define PAGES_OF_A_PIECE (HCA_PIECE / 4096)
#define SEEDS 60u
#define RNR hca_rnr_timer_ns(12)
#define TIMEOUT hca_ack_timeout_ns(14)

static struct hca_wire_ops seen_ops;
static enum hca_answer (*real_send)(struct hca_wire *wire, struct hca_carried *c, struct hca_reply *r);
static void (*on_piece)(const struct hca_msg *m);
static u32 pieces;
static u32 opened; /* pages of b that were opened to be written */

/* Between two pieces the requester is outside; here it is just about to send the next. */
static enum hca_answer send_seen(struct hca_wire *wire, struct hca_carried *c, struct hca_reply *r)
{
	pieces++;
	if (on_piece)
		on_piece(&c->msg);
	return real_send(wire, c, r);
}

static int open_seen(void **state)
{
	(void)state;
	connect_type(HCA_QPT_RC);
	real_send = loop.wire.ops->send;
	seen_ops = *loop.wire.ops;
	seen_ops.send = send_seen;
	loop.wire.ops = &seen_ops;
	on_piece = NULL;
	pieces = 0;
	opened = 0;
	return 0;
}

static void count_opened(struct side *s, u64 off, enum hca_mem_op op)
{
	(void)off;
	if (s == &b && op != HCA_MEM_READ)
		opened++;
	hca_pause();
}

/* --- pieces --- */

static void longer_than_a_piece(void **state)
{
	static const u32 lens[] = { HCA_PIECE - 1, HCA_PIECE, HCA_PIECE + 1, 3 * HCA_PIECE + 5, BYTES };
	struct hca_wc wc;
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(lens); i++) {
		u32 len = lens[i], want = (len + HCA_PIECE - 1) / HCA_PIECE;

		fill(a.ram, BYTES, 2 * i);
		memset(b.ram, 0, BYTES);
		pieces = 0;
		assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, len, BASE, b.all->key), 0);
		poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
		assert_int_equal(pieces, want);
		assert_memory_equal(a.ram, b.ram, len);
		fill(b.ram, BYTES, 2 * i + 1);
		assert_int_equal(post(&a, 2, HCA_WR_RDMA_READ, 0, len, BASE, b.all->key), 0);
		poll_one(&a.scq, 2, HCA_WC_SUCCESS, &wc);
		assert_int_equal(wc.byte_len, len);
		assert_int_equal(pieces, 2 * want);
		assert_memory_equal(a.ram, b.ram, len);
		fill(a.ram, BYTES, 100 + i);
		assert_int_equal(post_recv(&b, 3, 0, len), 0);
		assert_int_equal(post(&a, 4, HCA_WR_SEND_WITH_IMM, 0, len, 0, 0), 0);
		poll_one(&a.scq, 4, HCA_WC_SUCCESS, NULL);
		poll_one(&b.rcq, 3, HCA_WC_SUCCESS, &wc);
		assert_int_equal(wc.byte_len, len);
		assert_int_equal(wc.imm, 0x12345678);
		assert_memory_equal(a.ram, b.ram, len);
		assert_int_equal(post_recv(&b, 5, 0, 8), 0);
		assert_int_equal(post(&a, 6, HCA_WR_RDMA_WRITE_WITH_IMM, 0, len, BASE, b.all->key), 0);
		poll_one(&a.scq, 6, HCA_WC_SUCCESS, NULL);
		poll_one(&b.rcq, 5, HCA_WC_SUCCESS, &wc);
		assert_int_equal(wc.byte_len, len);
		assert_int_equal(pieces, 4 * want);
		nothing_more();
	}
}

/* --- what is taken away between two pieces --- */

static struct hca_mr *extra;
static u64 take_at;
static void (*take_away)(void);

static void make_extra(struct side *s)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_LINEAR, .access = RW, .iova = BASE, .base = BASE, .length = BYTES };

	assert_int_equal(hca_mr_create(&s->pd, &attr, &extra), 0);
}

static void at_piece(const struct hca_msg *m)
{
	if (m->off == take_at && take_away)
		take_away();
}

static void destroy_extra(void)
{
	assert_int_equal(hca_mr_destroy(extra), 0);
	extra = NULL;
}

static void right_goes(void)
{
	struct hca_qp_attr at = { .qp_access_flags = HCA_ACCESS_REMOTE_READ };

	assert_int_equal(hca_qp_modify(b.qp, &at, HCA_QP_ACCESS_FLAGS), 0);
}

static void peer_ends(void)
{
	assert_int_equal(to_state(b.qp, HCA_QPS_ERR), 0);
}

static void sender_ends(void)
{
	assert_int_equal(to_state(a.qp, HCA_QPS_ERR), 0);
}

static void write_until(u32 rkey, void (*what)(void), enum hca_wc_status status)
{
	fill(a.ram, BYTES, 9);
	memset(b.ram, 0xee, BYTES);
	take_at = 3 * HCA_PIECE;
	take_away = what;
	on_piece = at_piece;
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, BYTES, BASE, rkey), 0);
	test_clock_advance(4 * TIMEOUT);
	poll_one(&a.scq, 1, status, NULL);
	assert_memory_equal(a.ram, b.ram, take_at);
	for (u32 i = (u32)take_at; i < BYTES; i++)
		assert_int_equal(b.ram[i], 0xee);
	nothing_more();
}

static void remote_key_goes(void **state)
{
	(void)state;
	make_extra(&b);
	write_until(extra->key, destroy_extra, HCA_WC_REM_ACCESS_ERR);
	assert_int_equal(b.events[HCA_EVENT_QP_ACCESS_ERR], 1);
	assert_int_equal(b.qp->state, HCA_QPS_ERR);
}

static void remote_right_goes(void **state)
{
	(void)state;
	write_until(b.all->key, right_goes, HCA_WC_REM_INV_REQ_ERR);
	assert_int_equal(b.events[HCA_EVENT_QP_REQ_ERR], 1);
}

static void peer_goes(void **state)
{
	(void)state;
	write_until(b.all->key, peer_ends, HCA_WC_RETRY_EXC_ERR);
}

static void sender_goes(void **state)
{
	(void)state;
	/* The piece that is being sent still lands: it counts as under way. */
	take_at = 2 * HCA_PIECE;
	fill(a.ram, BYTES, 9);
	memset(b.ram, 0xee, BYTES);
	take_away = sender_ends;
	on_piece = at_piece;
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, BYTES, BASE, b.all->key), 0);
	poll_one(&a.scq, 1, HCA_WC_WR_FLUSH_ERR, NULL);
	assert_int_equal(pieces, 3);
	assert_memory_equal(a.ram, b.ram, 3 * HCA_PIECE);
	assert_int_equal(b.ram[3 * HCA_PIECE], 0xee);
	nothing_more();
}

/* The requester's own key: its end waits for the piece, and nothing is touched by it from then on. */
static u32 touched; /* pages of a */
static bool begun, gone;

static void count_touched(struct side *s, u64 off, enum hca_mem_op op)
{
	(void)off;
	(void)op;
	if (s == &a) {
		touched++;
		begun = true;
		CHECK(!gone);
	}
	hca_pause();
}

static enum hca_wr_opcode moved_by;

static void moves(void *arg)
{
	struct hca_sge sge = { .addr = BASE, .length = BYTES, .lkey = extra->key };
	struct hca_send_wr wr = { .wr_id = 1, .sge = &sge, .num_sge = 1, .opcode = moved_by };

	(void)arg;
	wr.rdma.addr = BASE;
	wr.rdma.rkey = b.all->key;
	CHECK(!hca_post_send(a.qp, &wr));
}

static void takes_its_key(void *arg)
{
	(void)arg;
	while (!begun)
		hca_pause();
	CHECK(!hca_mr_destroy(extra));
	gone = true;
}

static void own_key_goes(void **state)
{
	void (*const fns[])(void *) = { moves, takes_its_key };
	u32 cut = 0;

	(void)state;
	FOR_SEEDS(seed, SEEDS)
	{
		struct hca_wc wc;

		assert_int_equal(open_seen(NULL), 0);
		make_extra(&a);
		look_at_memory(count_touched);
		moved_by = seed & 1 ? HCA_WR_RDMA_WRITE : HCA_WR_RDMA_READ;
		touched = 0;
		begun = gone = false;
		run_seed(seed, 2, fns);
		assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 1);
		if (wc.status == HCA_WC_SUCCESS) {
			assert_int_equal(touched, BYTES / 4096);
		} else {
			assert_int_equal(wc.status, HCA_WC_LOC_PROT_ERR);
			assert_int_equal(touched % PAGES_OF_A_PIECE, 0);
			cut++;
		}
		assert_int_equal(close_both(NULL), 0);
	}
	assert_true(cut > SEED_COUNT(SEEDS) / 2);
}

/* --- receives, and the end of their queue pair --- */

static void ends_in_the_message(struct side *s, u64 off, enum hca_mem_op op)
{
	struct hca_wc wc;

	if (s != &b || op == HCA_MEM_READ)
		return;
	opened++;
	if (off != 2 * HCA_PIECE + 4096)
		return;
	opened = 1;
	peer_ends();
	/* Those behind it don't overtake the one that is being written. */
	assert_int_equal(hca_cq_ring_poll(&b.rcq.ring, &wc, 1), 0);
}

/* A flush finds a request whose message is coming in: it is the first to complete, and no piece after this one lands. */
static void a_flush_keeps_the_order(void **state)
{
	(void)state;
	look_at_memory(ends_in_the_message);
	assert_int_equal(post_recv(&b, 1, 0, BYTES), 0);
	assert_int_equal(post_recv(&b, 2, 0, 64), 0);
	assert_int_equal(post_recv(&b, 3, 0, 64), 0);
	assert_int_equal(post(&a, 4, HCA_WR_SEND, 0, BYTES, 0, 0), 0);
	assert_int_equal(opened, PAGES_OF_A_PIECE - 1);
	poll_one(&b.rcq, 1, HCA_WC_WR_FLUSH_ERR, NULL);
	poll_one(&b.rcq, 2, HCA_WC_WR_FLUSH_ERR, NULL);
	poll_one(&b.rcq, 3, HCA_WC_WR_FLUSH_ERR, NULL);
	test_clock_advance(4 * TIMEOUT);
	poll_one(&a.scq, 4, HCA_WC_RETRY_EXC_ERR, NULL);
	nothing_more();
}

/* The last piece: the message is whole, and so is its receive. */
static void ends_in_the_last_piece(struct side *s, u64 off, enum hca_mem_op op)
{
	if (s == &b && op != HCA_MEM_READ && off == BYTES - 4096)
		peer_ends();
}

static void a_whole_message_completes(void **state)
{
	(void)state;
	look_at_memory(ends_in_the_last_piece);
	assert_int_equal(post_recv(&b, 1, 0, BYTES), 0);
	assert_int_equal(post_recv(&b, 2, 0, 64), 0);
	assert_int_equal(post(&a, 3, HCA_WR_SEND, 0, BYTES, 0, 0), 0);
	poll_one(&b.rcq, 1, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 2, HCA_WC_WR_FLUSH_ERR, NULL);
	poll_one(&a.scq, 3, HCA_WC_SUCCESS, NULL);
	nothing_more();
}

static u32 marked; /* pages opened when the marker was seen */

static void sends_all(void *arg)
{
	(void)arg;
	CHECK(!post(&a, 4, HCA_WR_SEND, 0, BYTES, 0, 0));
}

/* The classic drain: ERR, a marker, and what was posted before is the consumer's again when the marker completes. */
static void drains_by_a_marker(void *arg)
{
	struct hca_wc wc;
	u32 seen = opened;

	(void)arg;
	while (opened < 5)
		hca_pause();
	CHECK(!to_state(b.qp, HCA_QPS_ERR));
	seen = opened;
	CHECK(!post_recv(&b, 99, 0, 0));
	await(&b.rcq, &wc);
	CHECK(wc.wr_id == 1);
	await(&b.rcq, &wc);
	CHECK(wc.wr_id == 99 && wc.status == HCA_WC_WR_FLUSH_ERR);
	marked = opened;
	CHECK(marked - seen <= PAGES_OF_A_PIECE);
}

static void nothing_behind_the_marker(void **state)
{
	void (*const fns[])(void *) = { sends_all, drains_by_a_marker };

	(void)state;
	FOR_SEEDS(seed, SEEDS)
	{
		assert_int_equal(open_seen(NULL), 0);
		look_at_memory(count_opened);
		assert_int_equal(post_recv(&b, 1, 0, BYTES), 0);
		run_seed(seed, 2, fns);
		assert_int_equal(opened, marked);
		assert_int_equal(close_both(NULL), 0);
	}
}

static enum hca_wr_opcode resisted_by;

static void sends_or_writes(void *arg)
{
	(void)arg;
	CHECK(!post(&a, 4, resisted_by, 0, BYTES, BASE, b.all->key));
}

static void resets(void *arg)
{
	(void)arg;
	while (opened < 5)
		hca_pause();
	marked = opened;
	CHECK(!to_state(b.qp, HCA_QPS_RESET));
	CHECK(opened - marked <= PAGES_OF_A_PIECE);
	marked = opened;
}

/* RESET waits for the piece that comes in, and for no more than that; nothing of the message lands afterwards. */
static void a_reset_lets_one_piece_land(void **state)
{
	void (*const fns[])(void *) = { sends_or_writes, resets };

	(void)state;
	FOR_SEEDS(seed, SEEDS)
	{
		struct hca_wc wc;

		assert_int_equal(open_seen(NULL), 0);
		look_at_memory(count_opened);
		resisted_by = seed & 1 ? HCA_WR_SEND : HCA_WR_RDMA_WRITE;
		assert_int_equal(post_recv(&b, 1, 0, BYTES), 0);
		run_seed(seed, 2, fns);
		assert_int_equal(opened, marked);
		assert_int_equal(hca_cq_ring_poll(&b.rcq.ring, &wc, 1), 0);
		assert_int_equal(close_both(NULL), 0);
	}
}

static void drains(void *arg)
{
	struct hca_wc wc;

	(void)arg;
	while (opened < 5)
		hca_pause();
	CHECK(!to_state(b.qp, HCA_QPS_ERR));
	CHECK(hca_rx_last(b.qp, 99));
	marked = opened;
	await(&b.rcq, &wc);
	CHECK(wc.wr_id == 99 && wc.status == HCA_WC_WR_FLUSH_ERR);
}

/* A drained queue pair moves no byte for its peer any more, RDMA included: its consumer unmaps what it had given to it. */
static void nothing_lands_after_a_drain(void **state)
{
	void (*const fns[])(void *) = { sends_or_writes, drains };

	(void)state;
	resisted_by = HCA_WR_RDMA_WRITE;
	FOR_SEEDS(seed, SEEDS)
	{
		assert_int_equal(open_seen(NULL), 0);
		look_at_memory(count_opened);
		run_seed(seed, 2, fns);
		assert_int_equal(opened, marked);
		assert_int_equal(close_both(NULL), 0);
	}
}

/* --- a flush of a former life --- */

static void runs_events(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < 20; i++) {
		hca_qp_want(b.qp, HCA_QP_FLUSH,
			    false); /* what was asked for before a reset may be carried out after it */
		hca_eq_run(&loop_eq);
	}
}

static void sends_a_few(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < 4; i++)
		CHECK(!post(&a, i, HCA_WR_SEND, 0, 8, 0, 0));
}

/* A queue pair that isn't in error has nothing to flush, and takes in what comes meanwhile: without a timeout it would be lost. */
static void a_stale_flush_keeps_nothing_out(void **state)
{
	void (*const fns[])(void *) = { runs_events, sends_a_few };
	u32 i;

	(void)state;
	FOR_SEEDS(seed, SEEDS)
	{
		assert_int_equal(open_seen(NULL), 0);
		a.qp->attr.timeout = 0;
		for (i = 0; i < 4; i++)
			assert_int_equal(post_recv(&b, i, 0, 8), 0);
		run_seed(seed, 2, fns);
		for (i = 0; i < 4; i++) {
			poll_one(&a.scq, i, HCA_WC_SUCCESS, NULL);
			poll_one(&b.rcq, i, HCA_WC_SUCCESS, NULL);
		}
		assert_int_equal(close_both(NULL), 0);
	}
}

/* --- draining --- */

/* While something is under way the path stays as it is, and sending isn't taken up again (IBTA 10.3.1.5). */
static void draining_refuses(void **state)
{
	struct hca_qp_attr at = { .ah = { .dlid = (u16)b.hca.lid, .port_num = 1 }, .port_num = 1, .timeout = 15 };
	struct hca_qp_attr now;

	(void)state;
	a.qp->attr.rnr_retry = 7;
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0); /* begun, and put off */
	modify(a.qp, &at, HCA_QPS_SQD, 0);
	hca_qp_query(a.qp, &now, NULL);
	assert_true(now.sq_draining);
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_AV), -EBUSY);
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_TIMEOUT), -EBUSY);
	assert_int_equal(to_state(a.qp, HCA_QPS_RTS), -EBUSY);
	hca_qp_query(a.qp, &now, NULL);
	assert_int_equal(now.qp_state, HCA_QPS_SQD);
	assert_int_equal(now.timeout, 14);
	assert_int_equal(post_recv(&b, 2, 0, 8), 0);
	test_clock_advance(2 * RNR);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 2, HCA_WC_SUCCESS, NULL);
	hca_qp_query(a.qp, &now, NULL);
	assert_false(now.sq_draining);
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_AV | HCA_QP_TIMEOUT), 0);
	assert_int_equal(to_state(a.qp, HCA_QPS_RTS), 0);
	hca_qp_query(a.qp, &now, NULL);
	assert_int_equal(now.timeout, 15);
}

/* RESET and ERR end it early. */
static void draining_may_be_cut_short(void **state)
{
	struct hca_qp_attr at = { 0 };

	(void)state;
	a.qp->attr.rnr_retry = 7;
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0);
	modify(a.qp, &at, HCA_QPS_SQD, 0);
	modify(a.qp, &at, HCA_QPS_ERR, 0);
	poll_one(&a.scq, 1, HCA_WC_WR_FLUSH_ERR, NULL);
	modify(a.qp, &at, HCA_QPS_RESET, 0);
	nothing_more();
}

#define SEEN(t) cmocka_unit_test_setup_teardown(t, open_seen, close_both)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SEEN(longer_than_a_piece),
		SEEN(remote_key_goes),
		SEEN(remote_right_goes),
		SEEN(peer_goes),
		SEEN(sender_goes),
		cmocka_unit_test(own_key_goes),
		SEEN(a_flush_keeps_the_order),
		SEEN(a_whole_message_completes),
		cmocka_unit_test(nothing_behind_the_marker),
		cmocka_unit_test(a_reset_lets_one_piece_land),
		cmocka_unit_test(nothing_lands_after_a_drain),
		cmocka_unit_test(a_stale_flush_keeps_nothing_out),
		SEEN(draining_refuses),
		SEEN(draining_may_be_cut_short),
	};

	return cmocka_run_group_tests_name("engine_order", tests, NULL, NULL);
}
