/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reliable connections over a wire that loses, delays, doubles and so reorders packets, by
 * many seeds: every request of every sort completes once, in its order, and did what it
 * says; also while allocations fail, while threads post, and when the end comes in the middle.
 */
#include "packet_fixture.h"

#define REQUESTS 60u /* of each side */
#define SLOT 2048u
#define SLOTS 4u

/* Where a side's memory has what: what it sends from and is read from, what it reads into, what is written and sent to it. */
#define CONSTANT 0u
#define READ_TO 8192u
#define WRITTEN 16384u
#define RECEIVED 24576u
#define COUNTER 40960u
#define FETCHED 40968u

enum kind { SEND, SEND_IMM, WRITE, WRITE_IMM, READ, ADD, KINDS };

struct request {
	enum kind kind;
	u32 off;
	u32 len;
	u64 add;
};

/* What a side has asked for, and what its peer shall see. */
struct asked {
	struct request r[REQUESTS];
	u32 posted;
	u32 done;
	u64 sum; /* of the adds that are complete */
	u32 arrived; /* messages that take a receive request, in r[] up to here */
	u32 receives; /* posted at the peer */
	u32 received;
};

static struct asked asked[2];
static u64 seed_state;

static u32 pick(u32 n)
{
	seed_state = seed_state * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(seed_state >> 33) % n;
}

static struct asked *of(const struct side *s)
{
	return &asked[s == &b];
}

static struct side *peer_of(const struct side *s)
{
	return s == &a ? &b : &a;
}

static bool takes(const struct request *r)
{
	return r->kind == SEND || r->kind == SEND_IMM || r->kind == WRITE_IMM;
}

static void ask(struct side *s)
{
	struct asked *q = of(s);
	struct request *r = &q->r[q->posted];
	u32 slot = q->posted % SLOTS * SLOT;
	struct hca_sge sge[3];
	struct hca_send_wr wr = { .wr_id = q->posted, .sge = sge, .num_sge = 3, .imm = q->posted };

	r->kind = (enum kind)pick(KINDS);
	r->len = pick(8) ? pick(SLOT) : 0;
	r->off = pick(4096);
	r->add = 1 + pick(1000);
	sge[0] = sge_at(s, CONSTANT + r->off, r->len / 3);
	sge[1] = sge_at(s, CONSTANT, 0);
	sge[2] = sge_at(s, CONSTANT + r->off + r->len / 3, r->len - r->len / 3);
	wr.rdma.addr = BASE + WRITTEN + slot;
	wr.rdma.rkey = peer_of(s)->all->key;
	switch (r->kind) {
	case SEND:
		wr.opcode = HCA_WR_SEND;
		break;
	case SEND_IMM:
		wr.opcode = HCA_WR_SEND_WITH_IMM;
		break;
	case WRITE:
		wr.opcode = HCA_WR_RDMA_WRITE;
		break;
	case WRITE_IMM:
		wr.opcode = HCA_WR_RDMA_WRITE_WITH_IMM;
		break;
	case READ:
		wr.opcode = HCA_WR_RDMA_READ;
		wr.rdma.addr = BASE + CONSTANT + r->off;
		sge[0] = sge_at(s, READ_TO + slot, r->len / 2);
		sge[2] = sge_at(s, READ_TO + slot + r->len / 2, r->len - r->len / 2);
		break;
	default:
		wr.opcode = HCA_WR_ATOMIC_FETCH_AND_ADD;
		wr.num_sge = 1;
		sge[0] = sge_at(s, FETCHED + q->posted % SLOTS * 8, 8);
		wr.atomic.addr = BASE + COUNTER;
		wr.atomic.rkey = peer_of(s)->all->key;
		wr.atomic.compare_add = r->add;
		break;
	}
	wr.flags = pick(8) ? 0 : HCA_SEND_FENCE;
	assert_int_equal(hca_post_send(s->qp, &wr), 0);
	q->posted++;
}

static void provide(struct side *s)
{
	struct asked *q = of(peer_of(s));

	if (q->receives == q->received + SLOTS)
		return;
	assert_int_equal(post_recv(s, q->receives, RECEIVED + q->receives % SLOTS * SLOT, SLOT), 0);
	q->receives++;
}

/* What the completion says was done, is done. */
static void verify(struct side *s, const struct request *r, u32 i)
{
	const struct side *peer = peer_of(s);
	u32 slot = i % SLOTS * SLOT;
	u64 old;

	switch (r->kind) {
	case WRITE:
	case WRITE_IMM:
		assert_memory_equal(peer->ram + WRITTEN + slot, s->ram + CONSTANT + r->off, r->len);
		break;
	case READ:
		assert_memory_equal(s->ram + READ_TO + slot, peer->ram + CONSTANT + r->off, r->len);
		break;
	case ADD:
		old = word(s, FETCHED + i % SLOTS * 8);
		assert_int_equal(old, of(s)->sum);
		of(s)->sum += r->add;
		break;
	default:
		break;
	}
}

static void reap(struct side *s)
{
	struct asked *q = of(s), *theirs = of(peer_of(s));
	struct hca_wc wc;

	while (hca_cq_ring_poll(&s->scq.ring, &wc, 1) > 0) {
		assert_int_equal(wc.status, HCA_WC_SUCCESS);
		assert_int_equal(wc.wr_id, q->done);
		verify(s, &q->r[q->done], q->done);
		q->done++;
	}
	while (hca_cq_ring_poll(&s->rcq.ring, &wc, 1) > 0) {
		const struct request *r;

		assert_int_equal(wc.status, HCA_WC_SUCCESS);
		assert_int_equal(wc.wr_id, theirs->received);
		while (!takes(&theirs->r[theirs->arrived]))
			theirs->arrived++;
		r = &theirs->r[theirs->arrived];
		assert_int_equal(wc.byte_len, r->len);
		if (r->kind != SEND)
			assert_int_equal(wc.imm, theirs->arrived);
		assert_int_equal(!!(wc.wc_flags & HCA_WC_WITH_IMM), r->kind != SEND);
		if (r->kind != WRITE_IMM)
			assert_memory_equal(s->ram + RECEIVED + theirs->received % SLOTS * SLOT,
					    peer_of(s)->ram + CONSTANT + r->off, r->len);
		theirs->arrived++;
		theirs->received++;
	}
}

static void begin(u64 seed)
{
	u32 i;

	assert_int_equal(open_small_rc(NULL), 0);
	seed_state = seed;
	memset(asked, 0, sizeof(asked));
	lossy.random = seed * 0x9e3779b97f4a7c15ull + 1;
	for (i = 0; i < 8192; i++) {
		a.ram[i] = (u8)pick(256);
		b.ram[i] = (u8)pick(256);
	}
	a.qp->attr.rnr_retry = b.qp->attr.rnr_retry = 7;
	a.qp->attr.retry_cnt = b.qp->attr.retry_cnt = 7;
	a.qp->attr.path_mtu = b.qp->attr.path_mtu = pick(2) ? HCA_MTU_256 : HCA_MTU_512;
	i = (u32)(0x1000000 - pick(300));
	hca_packet_qp(a.qp)->una = hca_packet_qp(a.qp)->snd = hca_packet_qp(a.qp)->max = hca_packet_qp(b.qp)->expected =
		i;
}

static bool all_done(void)
{
	return asked[0].done == REQUESTS && asked[1].done == REQUESTS;
}

static void some(struct side *s)
{
	struct asked *q = of(s);

	if (q->posted < REQUESTS && q->posted < q->done + SLOTS && pick(3))
		ask(s);
	if (!pick(3))
		provide(s);
	reap(s);
}

static void run_out(void)
{
	u32 turns;

	for (turns = 0; turns < 20000 && !all_done(); turns++) {
		some(&a);
		some(&b);
		test_clock_advance(pick(20) * MS);
	}
	assert_true(all_done());
	test_clock_advance(1000 * MS);
	reap(&a);
	reap(&b);
	assert_int_equal(word(&b, COUNTER), asked[0].sum);
	assert_int_equal(word(&a, COUNTER), asked[1].sum);
	nothing_more();
}

static void by_seeds(u64 from, u64 to, u32 lose, u32 twice, u32 late)
{
	u32 lost = 0;
	u64 seed;

	for (seed = from; seed < from + HCA_MIN(to - from, SEED_COUNT(to - from)); seed++) {
		begin(seed);
		lossy.lose = lose;
		lossy.twice = twice;
		lossy.late = late;
		lossy.delay = 200 * MS;
		run_out();
		lost += lossy.lost;
		assert_int_equal(close_both(NULL), 0);
	}
	assert_int_equal(!lost, !lose);
}

static void nothing_is_lost(void **state)
{
	(void)state;
	by_seeds(1, 60, 0, 0, 0);
}

static void much_is_lost(void **state)
{
	(void)state;
	by_seeds(1000, 1200, 120, 0, 0);
}

static void all_at_once(void **state)
{
	(void)state;
	by_seeds(5000, 5300, 80, 60, 60);
}

/* No memory for a packet is a packet lost. Wherever it happens, nothing else does. */
static void no_memory(void **state)
{
	u64 seed;
	u32 n;

	(void)state;
	for (seed = 1, n = 1; n < 400; seed++, n += 7) {
		begin(seed);
		test_fail_at(n);
		run_out();
		assert_true(test_fail_hit());
		test_fail_at(0);
		assert_int_equal(close_both(NULL), 0);
	}
}

/* However it ends, each request that was posted has one completion, successes first, and nothing is left. */
static void the_end_in_the_middle(void **state)
{
	u64 seed;

	(void)state;
	for (seed = 1; seed <= SEED_COUNT(150u); seed++) {
		struct hca_qp_attr at = { 0 };
		struct hca_wc wc;
		u32 turns, done, k;
		bool flushed = false;

		begin(seed);
		lossy.lose = 100;
		lossy.late = 50;
		lossy.delay = 100 * MS;
		for (turns = pick(30); turns; turns--) {
			some(&a);
			some(&b);
			test_clock_advance(pick(20) * MS);
		}
		for (k = 0; k < 4 && of(&a)->posted < REQUESTS; k++)
			ask(&a);
		done = of(&a)->done;
		modify(a.qp, &at, HCA_QPS_ERR, 0);
		while (hca_cq_ring_poll(&a.scq.ring, &wc, 1) > 0) {
			assert_int_equal(wc.wr_id, done);
			assert_true(wc.status == HCA_WC_WR_FLUSH_ERR || (!flushed && !wc.status));
			flushed = wc.status;
			done++;
		}
		assert_int_equal(done, of(&a)->posted);
		test_clock_advance(5000 * MS);
		if (seed % 3 == 0) {
			hca_qp_destroy(b.qp);
			b.qp = NULL;
		}
		assert_int_equal(close_both(NULL), 0);
	}
}

/* --- threads --- */

#define ROUNDS 6u

static u32 refused;

static void poster(void *arg)
{
	struct side *s = arg;
	u32 i;

	for (i = 0; i < ROUNDS; i++)
		while (i % 3 ? post(s, i, HCA_WR_RDMA_WRITE, CONSTANT, 700, BASE + WRITTEN, peer_of(s)->all->key) :
			       post(s, i, HCA_WR_RDMA_READ, READ_TO, 700, BASE + CONSTANT, peer_of(s)->all->key))
			hca_pause();
}

/* Two threads at one queue pair and one at its peer, packets lost under them. */
static void threads_and_losses(void **state)
{
	void (*const fns[])(void *) = { poster, poster, poster };
	void *const args[] = { &a, &a, &b };
	u64 seed;
	u32 i, n;

	(void)state;
	for (seed = 1; seed <= 40; seed++) {
		struct hca_wc wc;

		begin(seed);
		lossy.lose = 60;
		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		for (i = 0; i < 100; i++)
			test_clock_advance(TIMEOUT);
		for (n = 0; hca_cq_ring_poll(&a.scq.ring, &wc, 1) > 0; n++)
			assert_int_equal(wc.status, HCA_WC_SUCCESS);
		assert_int_equal(n, 2 * ROUNDS);
		for (n = 0; hca_cq_ring_poll(&b.scq.ring, &wc, 1) > 0; n++)
			assert_int_equal(wc.status, HCA_WC_SUCCESS);
		assert_int_equal(n, ROUNDS);
		assert_int_equal(close_both(NULL), 0);
	}
}

static void ender(void *arg)
{
	struct side *s = arg;
	struct hca_qp_attr at = { .qp_state = HCA_QPS_RESET };

	if (seed_state % 2) {
		hca_qp_destroy(s->qp);
		s->qp = NULL;
	} else if (hca_qp_modify(s->qp, &at, HCA_QP_STATE)) {
		refused++;
	}
}

static void post_some(void *arg)
{
	struct side *s = arg;
	u32 i;

	for (i = 0; i < 5; i++)
		(void)(i % 2 ? post(s, i, HCA_WR_RDMA_WRITE, CONSTANT, 700, BASE + WRITTEN, peer_of(s)->all->key) :
			       post(s, i, HCA_WR_RDMA_READ, READ_TO, 700, BASE + CONSTANT, peer_of(s)->all->key));
}

static void ended_under_fire(void **state)
{
	void (*const fns[])(void *) = { post_some, ender };
	void *const args[] = { &a, &b };
	u64 seed;

	(void)state;
	for (seed = 1; seed <= 80; seed++) {
		begin(seed);
		seed_state = seed;
		assert_int_equal(test_run_threads(seed, 2, fns, args, NULL), 0);
		assert_int_equal(close_both(NULL), 0);
	}
	assert_int_equal(refused, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost),
		cmocka_unit_test(much_is_lost),
		cmocka_unit_test(all_at_once),
#ifndef DELIVER_H /* of what a sender does by itself, or of counted steps */
		cmocka_unit_test(no_memory),
#endif
		cmocka_unit_test(the_end_in_the_middle),
		cmocka_unit_test(threads_and_losses),
		cmocka_unit_test(ended_under_fire),
	};

	return cmocka_run_group_tests_name("packet random", tests, NULL, NULL);
}
