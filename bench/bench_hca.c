/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Part "hca": work requests through the kernel-style verbs and the engine, from post
 * to completion, both queue pairs in this process; the key check by itself; and what
 * ten thousand queue pairs take.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench_dma.h"
#include "transport/transport.h"
#include "softhca/ib_verbs.h"

#define BLOCK 65536u
#define BLOCKS 4u /* gone through in turn; with their targets they fit a second-level cache */
#define RIGHTS (IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE | IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_ATOMIC)

/* --- a pair of connected queue pairs, one machine --- */

struct end {
	struct ib_device *dev;
	struct ib_pd *pd;
	struct ib_mr *mr;
	struct ib_cq *cq;
	struct ib_qp *qp;
	struct page *page;
	char *buf;
	dma_addr_t addr;
};

struct pair {
	struct bed bed;
	struct ib_device *second; /* on the same bus */
	struct end a, b;
	u32 turn;
};

static int end_open(struct end *e, struct ib_device *dev, enum ib_qp_type type)
{
	const struct ib_cq_init_attr ca = { .cqe = 64 };
	struct ib_qp_init_attr qa = {
		.cap = { .max_send_wr = 16,
			 .max_recv_wr = 16,
			 .max_send_sge = 1,
			 .max_recv_sge = 1,
			 .max_inline_data = 64 },
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.qp_type = type,
	};

	memset(e, 0, sizeof(*e));
	e->dev = dev;
	e->pd = ib_alloc_pd(dev, 0);
	e->mr = ib_get_dma_mr(e->pd, RIGHTS);
	e->cq = ib_create_cq(dev, NULL, NULL, NULL, &ca);
	qa.send_cq = qa.recv_cq = e->cq;
	e->qp = ib_create_qp(e->pd, &qa);
	e->page = machine_alloc_pages(dev->dma_device->machine, GFP_KERNEL, 6);
	if (IS_ERR(e->qp) || IS_ERR(e->mr) || !e->page)
		return bench_fail("no queue pair or memory");
	e->buf = page_address(e->page);
	memset(e->buf, 1, BLOCK * BLOCKS);
	e->addr = ib_dma_map_single(dev, e->buf, BLOCK * BLOCKS, DMA_BIDIRECTIONAL);
	return ib_dma_mapping_error(dev, e->addr) ? bench_fail("no mapping") : 0;
}

static void end_close(struct end *e)
{
	ib_dma_unmap_single(e->dev, e->addr, BLOCK * BLOCKS, DMA_BIDIRECTIONAL);
	__free_pages(e->page, 6);
	ib_destroy_qp(e->qp);
	ib_destroy_cq(e->cq);
	ib_dereg_mr(e->mr);
	ib_dealloc_pd(e->pd);
}

static int to_rts(struct ib_qp *qp, u32 lid, u32 qpn)
{
	struct ib_qp_attr at = {
		.path_mtu = IB_MTU_4096,
		.dest_qp_num = qpn,
		.qp_access_flags = IB_ACCESS_REMOTE_WRITE | IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_ATOMIC,
		.ah_attr = { .dlid = lid, .port_num = 1 },
		.port_num = 1,
		.max_rd_atomic = 4,
		.max_dest_rd_atomic = 4,
		.min_rnr_timer = IB_RNR_TIMER_000_64,
		.timeout = 14,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.qp_state = IB_QPS_INIT,
	};
	int err = ib_modify_qp(qp, &at, IB_QP_STATE | IB_QP_PKEY_INDEX | IB_QP_PORT | IB_QP_ACCESS_FLAGS);

	at.qp_state = IB_QPS_RTR;
	if (!err)
		err = ib_modify_qp(qp, &at,
				   IB_QP_STATE | IB_QP_AV | IB_QP_PATH_MTU | IB_QP_DEST_QPN | IB_QP_RQ_PSN |
					   IB_QP_MAX_DEST_RD_ATOMIC | IB_QP_MIN_RNR_TIMER);
	at.qp_state = IB_QPS_RTS;
	if (!err)
		err = ib_modify_qp(qp, &at,
				   IB_QP_STATE | IB_QP_SQ_PSN | IB_QP_TIMEOUT | IB_QP_RETRY_CNT | IB_QP_RNR_RETRY |
					   IB_QP_MAX_QP_RD_ATOMIC);
	return err ? bench_fail("connecting: %s", strerror(-err)) : 0;
}

static u32 lid_of(struct ib_device *dev)
{
	struct ib_port_attr pa;

	return ib_query_port(dev, 1, &pa) ? 0 : pa.lid;
}

static int pair_open(struct pair *p, const struct bed_def *def)
{
	const struct ib_dma_config config = { .ledger = def->ledger };

	memset(p, 0, sizeof(*p));
	if (bed_open(&p->bed, def))
		return -1;
	if (def->create(p->bed.dev, "bench1", &config, &p->second))
		return bench_fail("no second device");
	if (end_open(&p->a, p->bed.ib, IB_QPT_RC) || end_open(&p->b, p->second, IB_QPT_RC))
		return -1;
	return to_rts(p->a.qp, lid_of(p->second), p->b.qp->qp_num) ||
	       to_rts(p->b.qp, lid_of(p->bed.ib), p->a.qp->qp_num);
}

static void pair_close(struct pair *p)
{
	end_close(&p->a);
	end_close(&p->b);
	p->bed.def->destroy(p->second);
	bed_close(&p->bed);
}

/* --- loops --- */

static void wait_for_one(struct end *e)
{
	struct ib_wc wc;

	while (!ib_poll_cq(e->cq, 1, &wc))
		;
	if (wc.status)
		bench_fail("completion: %s", ib_wc_status_msg(wc.status));
}

static void rdma(struct pair *p, enum ib_wr_opcode op, u32 len, int flags)
{
	u64 off = (u64)(p->turn++ % BLOCKS) * BLOCK;
	struct ib_sge sge = { .addr = hca_dma_u64(p->a.addr) + off, .length = len, .lkey = p->a.pd->local_dma_lkey };
	const struct ib_rdma_wr wr = {
		.wr = { .sg_list = &sge, .num_sge = 1, .opcode = op, .send_flags = IB_SEND_SIGNALED | flags },
		.remote_addr = hca_dma_u64(p->b.addr) + off,
		.rkey = p->b.mr->rkey,
	};

	if (flags & IB_SEND_INLINE)
		sge.addr = (uintptr_t)p->a.buf + off;
	if (ib_post_send(p->a.qp, &wr.wr, NULL))
		bench_fail("post refused");
	wait_for_one(&p->a);
}

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

BENCH_LOOP static void write_block(void *ctx, u64 n)
{
	while (n--)
		rdma(ctx, IB_WR_RDMA_WRITE, BLOCK, 0);
}

BENCH_LOOP static void read_block(void *ctx, u64 n)
{
	while (n--)
		rdma(ctx, IB_WR_RDMA_READ, BLOCK, 0);
}

BENCH_LOOP static void copy_block(void *ctx, u64 n)
{
	struct pair *p = ctx;

	while (n--) {
		u64 off = (u64)(p->turn++ % BLOCKS) * BLOCK;

		memcpy(p->b.buf + off, p->a.buf + off, BLOCK);
		bench_use(p->b.buf);
	}
}

BENCH_LOOP static void send_8(void *ctx, u64 n)
{
	struct pair *p = ctx;
	struct ib_sge from = { .addr = hca_dma_u64(p->a.addr), .length = 8, .lkey = p->a.pd->local_dma_lkey };
	struct ib_sge to = { .addr = hca_dma_u64(p->b.addr), .length = 8, .lkey = p->b.pd->local_dma_lkey };
	const struct ib_recv_wr rr = { .sg_list = &to, .num_sge = 1 };
	const struct ib_send_wr sr = {
		.sg_list = &from, .num_sge = 1, .opcode = IB_WR_SEND, .send_flags = IB_SEND_SIGNALED
	};

	while (n--) {
		if (ib_post_recv(p->b.qp, &rr, NULL) || ib_post_send(p->a.qp, &sr, NULL))
			bench_fail("post refused");
		wait_for_one(&p->a);
		wait_for_one(&p->b);
	}
}

static int requests(struct pair *soft, struct pair *bus)
{
	const struct bench_loop loops[] = {
		{ .run = copy_block, .ctx = soft },
		{ .run = write_8, .ctx = soft },
		{ .run = write_8_inline, .ctx = soft },
		{ .run = send_8, .ctx = soft },
		{ .run = write_block, .ctx = soft, .against = 0 },
		{ .run = read_block, .ctx = soft, .against = 0 },
		{ .run = write_block, .ctx = bus, .against = 4 },
	};
	struct bench_times t;

	if (bench_measure(loops, (int)HCA_ARRAY_SIZE(loops), &t))
		return -1;
	bench_title("RC, post to completion, both queue pairs in this thread");
	bench_row("RDMA write, 8 B", "ns", t.ns[1], NAN, NAN, BENCH_GOALS({ OURS_AT_MOST, 60 }));
	bench_row("RDMA write, 8 B inline", "ns", t.ns[2], NAN, NAN, BENCH_NO_GOAL);
	bench_row("send, 8 B, both completions", "ns", t.ns[3], NAN, NAN, BENCH_NO_GOAL);
	bench_row("RDMA write, 64 KiB / memcpy of the same blocks", "ns", t.ns[4], t.ns[0], t.ratio[4],
		  BENCH_GOALS({ RATIO_AT_MOST, 1 / 0.9 }));
	bench_row("RDMA read, 64 KiB / memcpy of the same blocks", "ns", t.ns[5], t.ns[0], t.ratio[5], BENCH_NO_GOAL);
	bench_row("dmahca behind the IOMMU, 64 KiB / ipath", "ns", t.ns[6], t.ns[4], t.ratio[6],
		  BENCH_GOALS({ RATIO_AT_MOST, 1 / 0.7 }));
	return 0;
}

static int two_threads(struct pair *one, struct pair *two)
{
	struct bench_pair pairs[] = {
		{ .first = { .run = write_8, .ctx = one }, .second = { .run = write_8, .ctx = two } },
		{ .first = { .run = write_block, .ctx = one }, .second = { .run = write_block, .ctx = two } },
		{ .first = { .run = copy_block, .ctx = one }, .second = { .run = copy_block, .ctx = two } },
	};

	if (bench_measure_pairs(pairs, (int)HCA_ARRAY_SIZE(pairs)))
		return -1;
	bench_title("two threads, two pairs of queue pairs, times one");
	bench_row("RDMA write, 8 B", "x", pairs[0].scale, NAN, NAN, BENCH_GOALS({ OURS_AT_LEAST, 1.8 }));
	bench_row("RDMA write, 64 KiB / memcpy", "x", pairs[1].scale, pairs[2].scale, pairs[1].scale / pairs[2].scale,
		  BENCH_NO_GOAL);
	return 0;
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
	static const u32 counts[] = { 1, 256, 65536 };
	struct bench_loop loops[3];
	struct keys *k = calloc(3, sizeof(*k));
	struct bench_times t;
	int i, bad = 0;

	for (i = 0; i < 3 && k && !bad; i++) {
		bad = keys_open(&k[i], counts[i]);
		loops[i] = (struct bench_loop){ .run = check_key, .ctx = &k[i] };
	}
	if (!k || bad || bench_measure(loops, 3, &t))
		return -1;
	bench_title("key check: key, generation, domain, rights, bounds");
	bench_row("1 region", "ns", t.ns[0], NAN, NAN, BENCH_GOALS({ OURS_AT_MOST, 3 }));
	bench_row("256 regions", "ns", t.ns[1], NAN, NAN, BENCH_GOALS({ OURS_AT_MOST, 3 }));
	bench_row("65,536 regions", "ns", t.ns[2], NAN, NAN, BENCH_GOALS({ OURS_AT_MOST, 6 }));
	for (i = 0; i < 3; i++)
		keys_close(&k[i]);
	free(k);
	return 0;
}

/* --- many queue pairs --- */

#define MANY 10000u
#define MANY_WR 16u

static u64 heap_bytes(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* What the queues take that were asked for: a request, its pieces and what the engine notes beside each. */
static u64 queue_bytes(void)
{
	return MANY_WR * (sizeof(struct hca_sqe) + sizeof(struct hca_sge)) +
	       MANY_WR * (sizeof(struct hca_rwqe) + sizeof(struct hca_sge));
}

static int many(struct pair *p)
{
	struct ib_qp_init_attr qa = {
		.send_cq = p->a.cq,
		.recv_cq = p->a.cq,
		.cap = { .max_send_wr = MANY_WR, .max_recv_wr = MANY_WR, .max_send_sge = 1, .max_recv_sge = 1 },
		.qp_type = IB_QPT_RC,
	};
	struct ib_qp **qp = calloc(MANY, sizeof(struct ib_qp *));
	u32 lid = lid_of(p->a.dev);
	double began, took, each;
	int bad = !qp;
	u64 before;
	u32 i;

	before = heap_bytes();
	began = seconds();
	for (i = 0; i < MANY && !bad; i++) {
		qp[i] = ib_create_qp(p->a.pd, &qa);
		if (IS_ERR(qp[i]))
			return bench_fail("queue pair %u: %s", i, strerror((int)-PTR_ERR(qp[i])));
	}
	for (i = 0; i < MANY && !bad; i++)
		bad = to_rts(qp[i], lid, qp[i ^ 1]->qp_num);
	took = seconds() - began;
	if (bad)
		return -1;
	each = (double)(heap_bytes() - before) / MANY - (double)queue_bytes();
	bench_title("10,000 connected queue pairs on one device");
	bench_row("created and connected", "s", took, NAN, NAN, BENCH_GOALS({ OURS_AT_MOST, 1 }));
	bench_row("memory of each besides its queues", "B", each, NAN, NAN, BENCH_GOALS({ OURS_AT_MOST, 4096 }));
	for (i = 0; i < MANY; i++)
		ib_destroy_qp(qp[i]);
	free(qp);
	return 0;
}

static int run(void)
{
	static const struct bed_def soft = { .machine = { .name = "direct" },
					     .create = ipath_tagging,
					     .destroy = ipath_destroy };
	static const struct bed_def bus = { .machine = { .name = "strict", .platform = MACHINE_IOMMU },
					    .create = dmahca_create,
					    .destroy = dmahca_destroy };
	static struct pair a, b, c;
	int bad;

	if (pair_open(&a, &soft) || pair_open(&b, &soft) || pair_open(&c, &bus))
		return -1;
	bad = requests(&a, &c);
	bad |= keys();
	bad |= two_threads(&a, &b);
	bad |= many(&a);
	pair_close(&c);
	pair_close(&b);
	pair_close(&a);
	return bad;
}

const struct bench_part bench_hca = { "hca", "work requests, keys and queue pairs", run };
