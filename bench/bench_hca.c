/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Part "hca": work requests through the kernel-style verbs and the engine, from post
 * to completion, both queue pairs in this process; the key check by itself; and what
 * ten thousand queue pairs take.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "bench_hca.h"
#include "transport/transport.h"

/* --- loops --- */

BENCH_LOOP static void write_8(void *ctx, u64 n)
{
	while (n--)
		rdma(ctx, IB_WR_RDMA_WRITE, 8, 0);
}

BENCH_LOOP static void write_8_inline(void *ctx, u64 n)
{
	while (n--)
		rdma(ctx, IB_WR_RDMA_WRITE, 8, IB_SEND_INLINE);
}

BENCH_LOOP static void read_block(void *ctx, u64 n)
{
	while (n--)
		rdma(ctx, IB_WR_RDMA_READ, BLOCK, 0);
}

BENCH_LOOP static void send_8(void *ctx, u64 n)
{
	struct link *l = ctx;
	struct ib_sge from = { .addr = hca_dma_u64(l->a.addr), .length = 8, .lkey = l->a.pd->local_dma_lkey };
	struct ib_sge to = { .addr = hca_dma_u64(l->b.addr), .length = 8, .lkey = l->b.pd->local_dma_lkey };
	const struct ib_recv_wr rr = { .sg_list = &to, .num_sge = 1 };
	const struct ib_send_wr sr = {
		.sg_list = &from, .num_sge = 1, .opcode = IB_WR_SEND, .send_flags = IB_SEND_SIGNALED
	};

	while (n--) {
		if (ib_post_recv(l->b.qp, &rr, NULL) || ib_post_send(l->a.qp, &sr, NULL))
			bench_fail("post refused");
		wait_for_one(&l->a);
		wait_for_one(&l->b);
	}
}

static int requests(struct link *soft, struct link *bus)
{
	static struct bench_lock lock;
	const struct bench_loop loops[] = {
		{ .run = copy_block, .ctx = soft },
		{ .run = bench_floor_lock, .ctx = &lock },
		{ .run = write_8, .ctx = soft, .against = 1 },
		{ .run = write_8_inline, .ctx = soft, .against = 1 },
		{ .run = send_8, .ctx = soft, .against = 1 },
		{ .run = write_block, .ctx = soft, .against = 0 },
		{ .run = read_block, .ctx = soft, .against = 0 },
		{ .run = write_block, .ctx = bus, .against = 5 },
	};
	struct bench_times t;

	if (bench_measure(loops, (int)HCA_ARRAY_SIZE(loops), &t))
		return -1;
	bench_title("RC, post to completion, both queue pairs in this thread");
	bench_row("RDMA write, 8 B / an uncontended lock", "ns", t.ns[2], t.ns[1], t.ratio[2],
		  BENCH_GOALS({ RATIO_AT_MOST, 9 }));
	bench_row("RDMA write, 8 B inline / an uncontended lock", "ns", t.ns[3], t.ns[1], t.ratio[3], BENCH_NO_GOAL);
	bench_row("send, 8 B, both completions / an uncontended lock", "ns", t.ns[4], t.ns[1], t.ratio[4],
		  BENCH_GOALS({ RATIO_AT_MOST, 13.5 }));
	bench_row("RDMA write, 64 KiB / memcpy of the same blocks", "ns", t.ns[5], t.ns[0], t.ratio[5],
		  BENCH_GOALS({ RATIO_AT_MOST, 1.11 }));
	bench_row("RDMA read, 64 KiB / memcpy of the same blocks", "ns", t.ns[6], t.ns[0], t.ratio[6], BENCH_NO_GOAL);
	bench_row("dmahca behind the IOMMU, 64 KiB / ipath", "ns", t.ns[7], t.ns[5], t.ratio[7],
		  BENCH_GOALS({ RATIO_AT_MOST, 1.43 }));
	return 0;
}

static int two_threads(struct pair *a, struct pair *b)
{
	static struct bench_lock lock[2];
	struct link *one = &a->link, *two = &b->link;
	struct bench_pair pairs[] = {
		{ .first = { .run = write_8, .ctx = one }, .second = { .run = write_8, .ctx = two } },
		{ .first = { .run = bench_floor_lock, .ctx = &lock[0] },
		  .second = { .run = bench_floor_lock, .ctx = &lock[1] } },
		{ .first = { .run = write_block, .ctx = one }, .second = { .run = write_block, .ctx = two } },
		{ .first = { .run = copy_block, .ctx = one }, .second = { .run = copy_block, .ctx = two } },
	};

	if (bench_measure_pairs(pairs, (int)HCA_ARRAY_SIZE(pairs)))
		return -1;
	bench_title("two threads, two pairs of queue pairs, times one");
	bench_row("RDMA write, 8 B / a lock each", "x", pairs[0].scale, pairs[1].scale, pairs[0].scale / pairs[1].scale,
		  BENCH_GOALS({ RATIO_AT_LEAST, 0.9 }));
	bench_row("RDMA write, 64 KiB / memcpy", "x", pairs[2].scale, pairs[3].scale, pairs[2].scale / pairs[3].scale,
		  BENCH_GOALS({ RATIO_AT_LEAST, 0.9 }));
	return 0;
}

/* --- instructions --- */

static const struct bed_def soft = { .machine = { .name = "direct" },
				     .create = ipath_tagging,
				     .destroy = ipath_destroy };
static const struct bed_def strict = { .machine = { .name = "strict", .platform = MACHINE_IOMMU },
				       .create = dmahca_create,
				       .destroy = dmahca_destroy };

static int counted_open(struct bench_loop *l)
{
	static struct pair p;

	l->ctx = &p.link;
	return pair_open(&p, &soft);
}

static int counted_write(struct bench_loop *l)
{
	l->run = write_8;
	return counted_open(l);
}

static int counted_write_inline(struct bench_loop *l)
{
	l->run = write_8_inline;
	return counted_open(l);
}

static int counted_send(struct bench_loop *l)
{
	l->run = send_8;
	return counted_open(l);
}

static const struct bench_counted counted[] = {
	{ "write-8", 2000, counted_write },
	{ "write-8-inline", 2000, counted_write_inline },
	{ "send-8", 2000, counted_send },
	{ NULL, 0, NULL },
};

static int instructions(void)
{
	struct bench_counts k;

	if (bench_counting())
		return 0;
	bench_title("instructions, post to completion, callgrind / stepped");
	if (bench_count(&counted[0], &k))
		return -1;
	bench_row("RDMA write, 8 B", "instr", k.instructions, k.stepped, k.instructions / k.stepped,
		  BENCH_GOALS({ OURS_AT_MOST, 600 }));
	if (!isnan(k.locked))
		bench_row("of these locked (stepped)", "instr", k.locked, NAN, NAN, BENCH_GOALS({ OURS_AT_MOST, 4 }));
	return bench_count_row("RDMA write, 8 B inline", &counted[1], BENCH_NO_GOAL) ||
			       bench_count_row("send and receive, 8 B, both completions", &counted[2],
					       BENCH_GOALS({ OURS_AT_MOST, 900 })) ?
		       -1 :
		       0;
}

/* --- keys --- */

struct keys {
	struct hca_keys table;
	struct hca_quiesce quiesce;
	struct hca_pd pd;
	struct hca_mr **region;
	u32 *order;
	u32 count;
	u32 at;
};

static int keys_open(struct keys *k, u32 count)
{
	const struct hca_mr_attr attr = {
		.kind = HCA_MR_LINEAR, .access = HCA_ACCESS_LOCAL_WRITE, .iova = 0x1000, .length = 4096
	};
	u32 i;

	memset(k, 0, sizeof(*k));
	hca_quiesce_init(&k->quiesce);
	k->pd.keys = &k->table;
	k->pd.quiesce = &k->quiesce;
	k->region = calloc(count, sizeof(struct hca_mr *));
	k->order = calloc(count, sizeof(*k->order));
	if (!k->region || !k->order || hca_keys_init(&k->table, count + 1))
		return bench_fail("no memory for %u keys", count);
	for (i = 0; i < count; i++)
		if (hca_mr_create(&k->pd, &attr, &k->region[i]))
			return bench_fail("no region %u", i);
	/* What the requests carry: the keys in an order that no prefetcher knows. */
	bench_shuffle(k->order, count);
	for (i = 0; i < count; i++)
		k->order[i] = k->region[k->order[i]]->key;
	k->count = count;
	return 0;
}

static void keys_close(struct keys *k)
{
	u32 i;

	for (i = 0; i < k->count; i++)
		hca_mr_destroy(k->region[i]);
	hca_keys_fini(&k->table);
	free(k->region);
	free(k->order);
}

BENCH_LOOP static void check_key(void *ctx, u64 n)
{
	struct keys *k = ctx;

	while (n--) {
		const struct hca_key_entry *e;

		e = hca_key_check(&k->table, k->order[k->at], k->pd.number, HCA_KEY_ANY_QP, 0x1100, 64,
				  HCA_ACCESS_LOCAL_WRITE);
		k->at = k->at + 1 < k->count ? k->at + 1 : 0;
		bench_use(e);
	}
}

static int keys(void)
{
	static const u32 sizes[] = { 1, 256, 65536 };
	struct keys *k = calloc(HCA_ARRAY_SIZE(sizes), sizeof(*k));
	struct bench_chase chase, lines;
	struct bench_loop loops[] = {
		{ .run = bench_floor_load, .ctx = &chase }, { .run = bench_floor_lines, .ctx = &lines },
		{ .run = check_key, .against = 0 },	    { .run = check_key, .against = 0 },
		{ .run = check_key, .against = 1 },
	};
	struct bench_times t;
	int i, bad;

	if (!k)
		return bench_fail("no memory");
	bad = bench_chase_open(&chase, 1) || bench_chase_open(&lines, sizes[2]);
	for (i = 0; i < 3 && !bad; i++) {
		bad = keys_open(&k[i], sizes[i]);
		loops[2 + i].ctx = &k[i];
	}
	if (bad || bench_measure(loops, (int)HCA_ARRAY_SIZE(loops), &t))
		return -1;
	bench_title("key check: key, generation, domain, rights, bounds");
	bench_row("1 region / a load that waits for the one before", "ns", t.ns[2], t.ns[0], t.ratio[2],
		  BENCH_GOALS({ RATIO_AT_MOST, 2.25 }));
	bench_row("256 regions / a load that waits for the one before", "ns", t.ns[3], t.ns[0], t.ratio[3],
		  BENCH_GOALS({ RATIO_AT_MOST, 2.25 }));
	bench_row("65,536 regions / as many lines, in random order", "ns", t.ns[4], t.ns[1], t.ratio[4],
		  BENCH_GOALS({ RATIO_AT_MOST, 1.5 }));
	for (i = 0; i < 3; i++)
		keys_close(&k[i]);
	bench_chase_close(&chase);
	bench_chase_close(&lines);
	free(k);
	return 0;
}

/* --- many queue pairs --- */

#define MANY 10000u
#define MANY_WR 16u
#define BATCH 100u /* made and connected at once */
#define TENTH 10u /* batches at the begin and at the end that are compared */

static u64 heap_bytes(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* What the queues take that were asked for: a request, its pieces and what the engine notes beside each. */
static u64 queue_bytes(void)
{
	return MANY_WR * (sizeof(struct hca_sqe) + sizeof(struct hca_sge)) +
	       MANY_WR * (sizeof(struct hca_rwqe) + sizeof(struct hca_sge));
}

/* Create a batch and connect it among itself. Return: nanoseconds for each, or NAN after bench_fail(). */
static double make_batch(struct link *l, const struct ib_qp_init_attr *qa, struct ib_qp **qp)
{
	double began = bench_now();
	u32 i, lid = lid_of(l->a.dev);
	struct ib_qp_init_attr attr = *qa;

	for (i = 0; i < BATCH; i++) {
		qp[i] = ib_create_qp(l->a.pd, &attr);
		if (IS_ERR(qp[i])) {
			bench_fail("queue pair: %s", strerror((int)-PTR_ERR(qp[i])));
			return NAN;
		}
	}
	for (i = 0; i < BATCH; i++)
		if (to_rts(qp[i], lid, qp[i ^ 1]->qp_num))
			return NAN;
	return (bench_now() - began) / BATCH;
}

static int many(struct link *l)
{
	const struct ib_qp_init_attr qa = {
		.send_cq = l->a.cq,
		.recv_cq = l->a.cq,
		.cap = { .max_send_wr = MANY_WR, .max_recv_wr = MANY_WR, .max_send_sge = 1, .max_recv_sge = 1 },
		.qp_type = IB_QPT_RC,
	};
	struct ib_qp **qp = calloc(MANY, sizeof(struct ib_qp *));
	static double ns[MANY / BATCH];
	double first, last, each;
	u64 before;
	u32 i;

	if (!qp)
		return bench_fail("no memory");
	before = heap_bytes();
	for (i = 0; i < MANY / BATCH; i++) {
		ns[i] = make_batch(l, &qa, &qp[i * BATCH]);
		if (isnan(ns[i]))
			return -1;
	}
	each = (double)(heap_bytes() - before) / MANY - (double)queue_bytes();
	first = bench_median(ns, TENTH);
	last = bench_median(ns + MANY / BATCH - TENTH, TENTH);
	bench_title("10,000 connected queue pairs on one device");
	bench_row("made and connected, the last 1,000 / the first 1,000", "ns", last, first, last / first,
		  BENCH_GOALS({ RATIO_AT_MOST, 2 }));
	bench_row("memory of each besides its queues", "B", each, NAN, NAN, BENCH_GOALS({ OURS_AT_MOST, 4096 }));
	for (i = 0; i < MANY; i++)
		ib_destroy_qp(qp[i]);
	free(qp);
	return 0;
}

static int run_rc(void)
{
	static struct pair a, b;
	int bad;

	if (pair_open(&a, &soft) || pair_open(&b, &strict))
		return -1;
	bad = requests(&a.link, &b.link);
	pair_close(&b);
	pair_close(&a);
	return bad;
}

/* On two machines, which share the wire and nothing else. */
static int run_on_two(int (*measure)(struct pair *one, struct pair *two))
{
	static struct pair a, b;
	int bad;

	if (pair_open(&a, &soft) || pair_open(&b, &soft))
		return -1;
	bad = measure(&a, &b);
	pair_close(&b);
	pair_close(&a);
	return bad;
}

static int run_threads(void)
{
	return run_on_two(two_threads);
}

static int run_bulk(void)
{
	return run_on_two(bench_hca_bulk);
}

static int run_many(void)
{
	static struct pair a;
	int bad;

	if (pair_open(&a, &soft))
		return -1;
	bad = many(&a.link);
	pair_close(&a);
	return bad;
}

const struct bench_part bench_hca_count = {
	.name = "hca-count",
	.about = "instructions of a work request",
	.run = instructions,
	.counted = counted,
};
const struct bench_part bench_hca_rc = { .name = "hca-rc", .about = "work requests, one thread", .run = run_rc };
const struct bench_part bench_hca_keys = { .name = "hca-keys", .about = "the key check by itself", .run = keys };
const struct bench_part bench_hca_threads = {
	.name = "hca-threads",
	.about = "two threads that share nothing but the wire",
	.run = run_threads,
};
const struct bench_part bench_hca_bulk_part = {
	.name = "hca-bulk",
	.about = "waits under others' bulk traffic, and fairness",
	.run = run_bulk,
};
const struct bench_part bench_hca_many = { .name = "hca-many", .about = "10,000 queue pairs", .run = run_many };
