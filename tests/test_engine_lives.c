/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Objects that come and go beside each other, under seeded schedules: a shared receive queue that a completion's handler fills
 * again, keys that the peer invalidates and their owner registers anew, windows, two queue pairs that complete in one
 * queue, and the end of one of them. Also built for the other wires.
 */
#include "schedule_fixture.h"

#define SEEDS 1000u
#define MESSAGES 4u /* of each sender */
#define LEN 64u
#define RNR hca_rnr_timer_ns(12)
#define TIMEOUT hca_ack_timeout_ns(14)

static struct {
	struct hca_srq srq;
	struct hca_qp *from[2]; /* at a */
	struct hca_qp *to[2]; /* at b, of the shared receive queue */
	struct hca_mr *fast; /* at b: a key that the first sender invalidates */
	u32 done; /* threads */
	u32 sent[2];
	u32 completed[2];
	u32 received;
	u32 invalidated;
	bool ended; /* the second pair was */
	u32 next_recv;
} t;

/* --- the receiving end: its handler takes all that came, and posts as many receives again --- */

static void post_shared(void)
{
	u32 n = hca_fetch_add(&t.next_recv, 1);
	struct hca_sge sge = sge_at(&b, 8192 + LEN * (n % 32), LEN);
	struct hca_recv_wr wr = { .wr_id = n, .sge = &sge, .num_sge = 1 };

	CHECK(!hca_srq_post(&t.srq, &wr));
}

static void take_receives(struct hca_cq *cq)
{
	struct hca_wc wc;

	do {
		while (hca_cq_ring_poll(&cq->ring, &wc, 1) == 1) {
			/* One that was taken for a message of the pair that ended is flushed, or goes with it. */
			CHECK(!wc.status || hca_load(&t.ended));
			t.received += !wc.status;
			hca_fetch_add(&t.invalidated, wc.wc_flags & HCA_WC_WITH_INVALIDATE ? 1u : 0u);
			post_shared();
		}
	} while (hca_cq_ring_notify(&cq->ring, HCA_CQ_NEXT));
}

/* --- threads --- */

static int send_by(u32 who, enum hca_wr_opcode op, u32 id)
{
	struct hca_sge sge = sge_at(&a, 1024 * who, LEN);
	struct hca_send_wr wr = { .wr_id = who << 8 | id, .sge = &sge, .num_sge = 1, .opcode = op };

	if (op == HCA_WR_SEND_WITH_INV)
		wr.imm = t.fast->key;
	wr.rdma.addr = BASE;
	wr.rdma.rkey = b.all->key;
	return hca_post_send(t.from[who], &wr);
}

static void finished(void)
{
	hca_fetch_add(&t.done, 1);
}

/* The owner of the key: valid again only when the peer has said that it is done with it. */
static int register_again(void)
{
	u64 page = BASE + 4096;
	struct hca_mr_pages to = { .key = hca_key_next(t.fast->key),
				   .access = RW,
				   .iova = BASE,
				   .length = 4096,
				   .page_shift = 12,
				   .npages = 1,
				   .pages = &page };

	return hca_mr_register(t.fast, &to);
}

static void invalidates_in_turn(void *arg)
{
	u32 i, was;

	(void)arg;
	for (i = 0; i < MESSAGES; i++) {
		was = hca_load(&t.invalidated);
		CHECK(!send_by(0, HCA_WR_SEND_WITH_INV, i));
		t.sent[0]++;
		while (hca_load(&t.invalidated) == was && !broken)
			hca_pause();
		CHECK(!register_again()); /* no thread is inside with the old key */
	}
	finished();
}

static void sends_and_writes(void *arg)
{
	u32 i;
	int err;

	(void)arg;
	for (i = 0; i < MESSAGES; i++) {
		err = send_by(1, i % 2 ? HCA_WR_RDMA_WRITE : HCA_WR_SEND, i);
		CHECK(!err);
		t.sent[1] += !err;
	}
	finished();
}

static void ends_the_second(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < 40; i++)
		hca_pause();
	hca_store(&t.ended, true);
	hca_qp_destroy(t.to[1]);
	t.to[1] = NULL;
	post_shared(); /* one that it had taken went with it */
	finished();
}

/* A region and a window of the receiver that others' traffic has nothing to do with. */
static void makes_and_ends_keys(void *arg)
{
	struct hca_mr_attr attr = {
		.kind = HCA_MR_LINEAR, .access = RW | HCA_ACCESS_MW_BIND, .iova = BASE, .base = BASE, .length = BYTES
	};
	struct hca_mr *mr;
	struct hca_mw *mw;
	u32 i;

	(void)arg;
	for (i = 0; i < 3; i++) {
		CHECK(!hca_mr_create(&b.pd, &attr, &mr));
		CHECK(!hca_mw_create(&b.hca, &b.pd, HCA_MW_TYPE_1, &mw));
		hca_mw_destroy(mw);
		CHECK(!hca_mr_destroy(mr));
	}
	finished();
}

static void take_completions(void)
{
	struct hca_wc wc;

	while (hca_cq_ring_poll(&a.scq.ring, &wc, 1) == 1) {
		u32 who = (u32)wc.wr_id >> 8;

		CHECK(who < 2 && (wc.wr_id & 0xff) == t.completed[who & 1]);
		CHECK(!wc.status || (who == 1 && hca_load(&t.ended)));
		t.completed[who & 1]++;
	}
}

static void polls_and_brings(void *arg)
{
	u32 i;

	(void)arg;
	while (hca_load(&t.done) < 4) {
		take_completions();
		for (i = 0; i < 3; i++) {
			hca_eq_run(FIXTURE_EQ);
			hca_pause();
		}
		test_clock_advance(RNR);
	}
}

/* --- the whole --- */

static void begin(u64 seed)
{
	const struct hca_srq_attr sa = { .max_wr = 32, .max_sge = 1 };
	struct hca_mr_attr attr = { .kind = HCA_MR_PAGES, .max_pages = 1, .invalid = true };
	u32 i;

	connect_type(HCA_QPT_RC);
	memset(&t, 0, sizeof(t));
	assert_int_equal(hca_srq_init(&t.srq, &b.hca, &b.pd, &sa), 0);
	assert_int_equal(hca_mr_create(&b.pd, &attr, &t.fast), 0);
	assert_int_equal(register_again(), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(make_qp(&a, HCA_QPT_RC, NULL, &t.from[i]), 0);
		assert_int_equal(make_qp(&b, HCA_QPT_RC, &t.srq, &t.to[i]), 0);
		connect_qp(&a, t.from[i], &b, t.to[i]->qpn, 3, 7);
		connect_qp(&b, t.to[i], &a, t.from[i]->qpn, 3, 7);
		t.from[i]->attr.timeout = i ? 14 : 0;
	}
	b.rcq.handler = take_receives;
	hca_cq_ring_notify(&b.rcq.ring, HCA_CQ_NEXT);
	post_shared();
	if (seed % 2)
		post_shared();
	a.mem.ops = b.mem.ops = &slow_mem_ops;
#ifdef ENGINE_FIXTURE_PACKETS
	lossy.lanes = 1 + seed / 2 % 2;
#endif
}

static void end(u64 seed)
{
	u32 i;

	for (i = 0; i < 12; i++) {
		test_clock_advance(TIMEOUT);
		take_completions();
	}
	if (broken)
		fail_msg("SOFTHCA_SEED=%llu: line %d: %s", (unsigned long long)seed, broken_line, broken);
	assert_int_equal(t.completed[0], MESSAGES);
	assert_int_equal(t.completed[1], t.sent[1]);
	assert_int_equal(t.invalidated, MESSAGES);
	for (i = 0; i < 2; i++) {
		hca_qp_destroy(t.from[i]);
		if (t.to[i])
			hca_qp_destroy(t.to[i]);
	}
	assert_int_equal(hca_srq_fini(&t.srq), 0);
	assert_int_equal(hca_mr_destroy(t.fast), 0);
	assert_int_equal(close_both(NULL), 0);
}

static void beside_each_other(void **state)
{
	void (*const fns[])(void *) = { invalidates_in_turn, sends_and_writes, ends_the_second, makes_and_ends_keys,
					polls_and_brings };

	u64 steps = 0;
	u32 received = 0;

	(void)state;
	FOR_SEEDS(seed, SEEDS)
	{
		begin(seed);
		run_seed(seed, HCA_ARRAY_SIZE(fns), fns);
		end(seed);
		steps += test_steps();
		received += t.received;
	}
	print_message("# %llu decisions, %u receives\n", (unsigned long long)steps, received);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(beside_each_other),
	};

	return cmocka_run_group_tests_name("engine_lives", tests, NULL, NULL);
}
