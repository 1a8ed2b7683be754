/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The same data from adapter to adapter, in all four pairs, by send, RDMA write and RDMA
 * read, between buffers of every shape; and by a key that a fast registration made.
 * Buffers are mapped by dma_map_sgtable() for the device that touches them, and judged
 * after the unmap, with the bytes around them.
 */
#include "suites.h"

#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/mm.h>

static struct fixture fixture;

enum op { OP_SEND, OP_WRITE, OP_READ, OPS };
static const char *const op_name[OPS] = { "send", "write", "read" };

#define SRC_SEED 11
#define DST_SEED 77

static struct adapter *side(unsigned int n)
{
	return n ? &fixture.bus : &fixture.ipath;
}

/* What a device sees of a mapped list; perhaps fewer pieces than the list has. */
struct run {
	unsigned int n;
	u64 addr[MAX_PIECES];
	u32 len[MAX_PIECES];
};

static void take_run(const struct buffer *b, struct run *run)
{
	struct scatterlist *sg;
	int i;

	run->n = 0;
	for_each_sgtable_dma_sg(&b->sgt, sg, i) {
		run->addr[run->n] = sg_dma_address(sg);
		run->len[run->n++] = sg_dma_len(sg);
	}
}

/* The entries for @len bytes from @at on. */
static unsigned int slice(const struct run *run, u32 at, u32 len, u32 lkey, struct hca_sge *sge)
{
	unsigned int i, n = 0;

	for (i = 0; i < run->n && len; i++) {
		u32 take;

		if (at >= run->len[i]) {
			at -= run->len[i];
			continue;
		}
		take = min(len, run->len[i] - at);
		sge[n++] = (struct hca_sge){ .addr = run->addr[i] + at, .length = take, .lkey = lkey };
		len -= take;
		at = 0;
	}
	return n;
}

static void wait_for(struct ktest *t, struct adapter *a, enum hca_wc_opcode op, u32 bytes)
{
	struct hca_wc wc = { 0 };

	EXPECT_EQ(t, fixture_poll(a, &wc), HCA_WC_SUCCESS);
	EXPECT_EQ(t, wc.opcode, op);
	if (op == HCA_WC_RECV)
		EXPECT_EQ(t, wc.byte_len, bytes);
}

static void move_send(struct ktest *t, struct link *l, const struct run *src, const struct run *dst, u32 total)
{
	struct hca_sge from[MAX_PIECES], to[MAX_PIECES];
	struct hca_recv_wr rwr = { .sge = to, .num_sge = slice(dst, 0, total, l->to->all->key, to) };
	struct hca_send_wr wr = {
		.sge = from,
		.num_sge = slice(src, 0, total, l->from->all->key, from),
		.opcode = HCA_WR_SEND,
	};

	EXPECT_EQ(t, hca_post_recv(l->peer, &rwr), 0);
	EXPECT_EQ(t, hca_post_send(l->qp, &wr), 0);
	/* Of one adapter both ends have the same queue; the responder's comes first. */
	wait_for(t, l->to, HCA_WC_RECV, total);
	wait_for(t, l->from, HCA_WC_SEND, 0);
}

/* One request for each piece of the far side: a range that a key covers has one address. */
static void move_rdma(struct ktest *t, struct link *l, enum op op, const struct run *near, const struct run *far)
{
	struct hca_sge sge[MAX_PIECES];
	unsigned int i;
	u32 at = 0;

	for (i = 0; i < far->n; i++) {
		struct hca_send_wr wr = {
			.sge = sge,
			.num_sge = slice(near, at, far->len[i], l->from->all->key, sge),
			.opcode = op == OP_WRITE ? HCA_WR_RDMA_WRITE : HCA_WR_RDMA_READ,
			.rdma = { .addr = far->addr[i], .rkey = l->to->all->key },
		};

		EXPECT_EQ(t, hca_post_send(l->qp, &wr), 0);
		wait_for(t, l->from, op == OP_WRITE ? HCA_WC_RDMA_WRITE : HCA_WC_RDMA_READ, far->len[i]);
		at += far->len[i];
	}
}

/* @l goes from the one that begins: the sender, the writer, the reader. */
static void move(struct ktest *t, struct link *l, enum op op, struct buffer *src, struct buffer *dst)
{
	struct adapter *a = op == OP_READ ? l->to : l->from, *b = op == OP_READ ? l->from : l->to;
	struct run from, to;
	struct hca_wc wc;

	EXPECT_EQ(t, map_buffer(a, src, DMA_TO_DEVICE), 0);
	EXPECT_EQ(t, map_buffer(b, dst, DMA_FROM_DEVICE), 0);
	if (t->failures)
		return;
	take_run(src, &from);
	take_run(dst, &to);
	if (op == OP_SEND)
		move_send(t, l, &from, &to, src->total);
	else if (op == OP_WRITE)
		move_rdma(t, l, op, &from, &to);
	else
		move_rdma(t, l, op, &to, &from);
	EXPECT_EQ(t, fixture_poll(a, &wc), -EAGAIN);
	EXPECT_EQ(t, fixture_poll(b, &wc), -EAGAIN);
	unmap_buffer(b, dst, DMA_FROM_DEVICE);
	unmap_buffer(a, src, DMA_TO_DEVICE);
	EXPECT_EQ(t, buffer_wrong(src, SRC_SEED, SRC_SEED), 0);
	EXPECT_EQ(t, buffer_wrong(dst, SRC_SEED, DST_SEED), 0);
}

static void carry(struct ktest *t, unsigned int from, unsigned int to, enum op op, enum shape shape)
{
	struct adapter *a = side(from), *b = side(to);
	u64 carried = fixture.edu.carried;
	struct buffer src, dst;
	struct link l;

	EXPECT_EQ(t, buffer_alloc(&src, shape), 0);
	EXPECT_EQ(t, buffer_alloc(&dst, shape), 0);
	EXPECT_EQ(t, link_open(&l, op == OP_READ ? b : a, op == OP_READ ? a : b), 0);
	if (t->failures)
		return;
	buffer_fill(&src, SRC_SEED);
	buffer_fill(&dst, DST_SEED);
	EXPECT(t, buffer_wrong(&dst, SRC_SEED, DST_SEED) > dst.total / 2);
	move(t, &l, op, &src, &dst);
	/*
	 * Each byte went over the bus once for each end that is a device there; or twice, where the other end could take
	 * no more of a window than its page's rest.
	 */
	carried = fixture.edu.carried - carried;
	EXPECT(t, carried >= (u64)src.total * (from + to) && carried <= 2ull * src.total * (from + to));
	link_close(&l);
	buffer_free(&src);
	buffer_free(&dst);
}

#define PER_PAIR (OPS * SHAPES)

static void describe(unsigned int n, char *buf, size_t size)
{
	unsigned int pair = n / PER_PAIR;

	snprintf(buf, size, "%s_to_%s.%s.%s", pair & 1 ? "edu" : "ipath", pair & 2 ? "edu" : "ipath",
		 op_name[n % PER_PAIR / SHAPES], shape_name[n % SHAPES]);
}

static void carry_case(struct ktest *t)
{
	unsigned int pair = t->param / PER_PAIR;

	carry(t, pair & 1, pair >> 1, t->param % PER_PAIR / SHAPES, t->param % SHAPES);
}

/* --- a key for pages that lie anywhere --- */

#define REG_PAGES 3u
#define REG_OFFSET 3700u
#define REG_LENGTH 4800u

/* The first of @pages is the address of the first byte. */
static void write_by_key(struct ktest *t, struct adapter *to, const u64 *pages)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_PAGES, .max_pages = REG_PAGES, .invalid = true };
	struct hca_mr_pages p = {
		.access = HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_REMOTE_WRITE,
		.iova = 0x12345000 + REG_OFFSET,
		.length = REG_LENGTH,
		.page_shift = PAGE_SHIFT,
		.pages = pages,
		.npages = REG_PAGES,
	};
	struct hca_send_wr wr = { .opcode = HCA_WR_REG_MR };
	struct hca_mr *region;
	struct hca_sge sge;
	struct link l, back;
	struct hca_wc wc;
	dma_addr_t from;
	u8 *src;
	unsigned int i;

	src = dma_alloc_coherent(fixture.ipath.dev, 2 * PAGE_SIZE, &from, GFP_KERNEL);
	EXPECT(t, src);
	EXPECT_EQ(t, hca_mr_create(&to->pd, &attr, &region), 0);
	EXPECT_EQ(t, link_open(&l, &fixture.ipath, to), 0);
	EXPECT_EQ(t, link_open(&back, to, &fixture.ipath), 0);
	if (t->failures)
		return;
	for (i = 0; i < REG_LENGTH; i++)
		src[i] = (u8)(i * 5 + 1);
	p.key = (region->key & ~0xffu) | 0x42;
	wr.reg.mr = region;
	wr.reg.to = p;
	EXPECT_EQ(t, hca_post_send(back.qp, &wr), 0);
	wait_for(t, to, HCA_WC_REG_MR, 0);
	sge = (struct hca_sge){ .addr = from, .length = REG_LENGTH, .lkey = fixture.ipath.all->key };
	wr = (struct hca_send_wr){
		.sge = &sge,
		.num_sge = 1,
		.opcode = HCA_WR_RDMA_WRITE,
		.rdma = { .addr = p.iova, .rkey = p.key },
	};
	EXPECT_EQ(t, hca_post_send(l.qp, &wr), 0);
	wait_for(t, &fixture.ipath, HCA_WC_RDMA_WRITE, 0);
	wr = (struct hca_send_wr){ .opcode = HCA_WR_LOCAL_INV, .imm = p.key };
	EXPECT_EQ(t, hca_post_send(back.qp, &wr), 0);
	wait_for(t, to, HCA_WC_LOCAL_INV, 0);
	/* The key is void, and says so. */
	sge.length = 8;
	wr = (struct hca_send_wr){
		.sge = &sge,
		.num_sge = 1,
		.opcode = HCA_WR_RDMA_WRITE,
		.rdma = { .addr = p.iova, .rkey = p.key },
	};
	EXPECT_EQ(t, hca_post_send(l.qp, &wr), 0);
	EXPECT_EQ(t, fixture_poll(&fixture.ipath, &wc), HCA_WC_REM_ACCESS_ERR);
	link_close(&back);
	link_close(&l);
	EXPECT_EQ(t, hca_mr_destroy(region), 0);
	dma_free_coherent(fixture.ipath.dev, 2 * PAGE_SIZE, src, from);
}

static void fast_registration(struct ktest *t, struct adapter *to)
{
	struct page *page[REG_PAGES];
	u64 addr[REG_PAGES]; /* DMA addresses */
	unsigned int i, k, at = 0, wrong = 0;

	for (i = 0; i < REG_PAGES; i++) {
		page[i] = alloc_page((i & 1 ? GFP_KERNEL : GFP_HIGHUSER) | __GFP_ZERO);
		EXPECT(t, page[i]);
		if (!page[i])
			return;
		addr[i] = dma_map_page(to->dev, page[i], 0, PAGE_SIZE, DMA_FROM_DEVICE);
		EXPECT_EQ(t, dma_mapping_error(to->dev, addr[i]), 0);
	}
	addr[0] += REG_OFFSET;
	write_by_key(t, to, addr);
	addr[0] -= REG_OFFSET;
	for (i = 0; i < REG_PAGES; i++) {
		u8 *v;

		dma_unmap_page(to->dev, addr[i], PAGE_SIZE, DMA_FROM_DEVICE);
		v = kmap_local_page(page[i]);
		for (k = 0; k < PAGE_SIZE; k++) {
			bool in = i * PAGE_SIZE + k >= REG_OFFSET && at < REG_LENGTH;

			wrong += v[k] != (in ? (u8)(at * 5 + 1) : 0);
			at += in;
		}
		kunmap_local(v);
		__free_page(page[i]);
	}
	EXPECT_EQ(t, wrong, 0);
	EXPECT_EQ(t, at, REG_LENGTH);
}

static void fast_registration_case(struct ktest *t)
{
	fast_registration(t, side(t->param));
}

static void describe_registration(unsigned int n, char *buf, size_t size)
{
	snprintf(buf, size, "ipath_to_%s.write.registered", n ? "edu" : "ipath");
}

/* Mapped for the bus and unmapped, and nothing moved: what the platform gives it takes back. */
static void map_for_the_bus(struct ktest *t)
{
	struct buffer b;
	int i;

	EXPECT_EQ(t, buffer_alloc(&b, t->param), 0);
	if (t->failures)
		return;
	buffer_fill(&b, SRC_SEED);
	for (i = 0; i < 100 && !t->failures; i++) {
		EXPECT_EQ(t, map_buffer(&fixture.bus, &b, DMA_BIDIRECTIONAL), 0);
		EXPECT(t, b.sgt.nents >= 1 && b.sgt.nents <= b.pieces);
		unmap_buffer(&fixture.bus, &b, DMA_BIDIRECTIONAL);
	}
	EXPECT_EQ(t, buffer_wrong(&b, SRC_SEED, SRC_SEED), 0);
	buffer_free(&b);
}

static void describe_shape(unsigned int n, char *buf, size_t size)
{
	snprintf(buf, size, "map.%s", shape_name[n]);
}

/* What the bus device is told of a page of high memory, which may lie where it can't reach. */
static void high_memory_on_the_bus(struct ktest *t)
{
	struct page *page = alloc_page(GFP_HIGHUSER);
	dma_addr_t a;

	EXPECT(t, page);
	if (!page)
		return;
	a = dma_map_page(fixture.bus.dev, page, 0, PAGE_SIZE, DMA_TO_DEVICE);
	EXPECT_EQ(t, dma_mapping_error(fixture.bus.dev, a), 0);
	ktest_say("%s memory at 0x%llx, on the bus 0x%llx", PageHighMem(page) ? "high" : "low", (u64)page_to_phys(page),
		  (u64)a);
	EXPECT(t, (u64)a + PAGE_SIZE - 1 <= dma_get_mask(fixture.bus.dev));
	dma_unmap_page(fixture.bus.dev, a, PAGE_SIZE, DMA_TO_DEVICE);
	__free_page(page);
}

static int open_loop(void)
{
	return fixture_open(&fixture, false);
}

static int open_matrix(void)
{
	return fixture_open(&fixture, true);
}

static void close_rig(void)
{
	fixture_close(&fixture);
}

static const struct ktest_case loop_cases[] = {
	{ "carry", carry_case, PER_PAIR, describe },
	{ "registered", fast_registration_case, 1, describe_registration },
	{},
};

static const struct ktest_case bus_cases[] = {
	{ "map", map_for_the_bus, SHAPES, describe_shape },
	{ "high_memory_on_the_bus", high_memory_on_the_bus },
	{},
};

static const struct ktest_case matrix_cases[] = {
	{ "carry", carry_case, 4 * PER_PAIR, describe },
	{ "registered", fast_registration_case, 2, describe_registration },
	{},
};

/* The software adapter alone, which needs no device; the bus alone, which takes no time; and all four pairs. */
const struct ktest_suite suite_loop = { "loop", loop_cases, open_loop, close_rig };
const struct ktest_suite suite_bus = { "bus", bus_cases, open_matrix, close_rig };
const struct ktest_suite suite_matrix = { "matrix", matrix_cases, open_matrix, close_rig };
