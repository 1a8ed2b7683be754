/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Part "dma", second half: the adapter that does DMA, on each platform. Mapping is
 * measured over a ring of live mappings, the oldest of which is replaced; the
 * device's side by its translation alone and by windows as the engine opens them.
 */
#include "bench_dma.h"

#include <stdlib.h>
#include <string.h>

#include "platform/iommu.h"

#define LIVE 8192u
#define HOT 64u

/* --- rings --- */

int ring_open(struct ring *r, struct bed *b, u64 first, u32 live)
{
	u32 i;

	r->ib = b->ib;
	r->base = (char *)b->m->map.virt + (first << PAGE_SHIFT);
	r->live = 0;
	r->at = 0;
	r->order = calloc(live, sizeof(*r->order));
	r->addr = calloc(live, sizeof(*r->addr));
	if (!r->order || !r->addr)
		return bench_fail("no memory for a ring");
	bench_shuffle(r->order, live);
	for (i = 0; i < live; i++) {
		r->addr[i] =
			ib_dma_map_single(r->ib, r->base + (r->order[i] << PAGE_SHIFT), PAGE_SIZE, DMA_FROM_DEVICE);
		if (ib_dma_mapping_error(r->ib, r->addr[i]))
			return bench_fail("map_single: %s", strerror(-ib_dma_mapping_error(r->ib, r->addr[i])));
		r->live++;
	}
	return 0;
}

void ring_close(struct ring *r)
{
	u32 i;

	for (i = 0; i < r->live; i++)
		ib_dma_unmap_single(r->ib, r->addr[i], PAGE_SIZE, DMA_FROM_DEVICE);
	free(r->order);
	free(r->addr);
	memset(r, 0, sizeof(*r));
}

BENCH_LOOP void ring_turn(void *ctx, u64 n)
{
	struct ring *r = ctx;
	struct ib_device *ib = r->ib;
	u32 at = r->at, mask = r->live - 1;
	dma_addr_t addr;

	for (; n--; at = (at + 1) & mask) {
		ib_dma_unmap_single(ib, r->addr[at], PAGE_SIZE, DMA_FROM_DEVICE);
		addr = ib_dma_map_single(ib, r->base + (r->order[at] << PAGE_SHIFT), PAGE_SIZE, DMA_FROM_DEVICE);
		if (hca_unlikely(ib_dma_mapping_error(ib, addr)))
			bench_fail("map_single: %s", strerror(-ib_dma_mapping_error(ib, addr)));
		r->addr[at] = addr;
	}
	r->at = at;
}

/*
 * The least that mapping to I/O addresses can be: one bit a page in use, searched from the last one found, and
 * one store to a flat table. No levels, no locks, no limits, nobody to invalidate.
 */
struct bitmap {
	u64 used[2 * LIVE / 64];
	u64 table[2 * LIVE];
	u32 addr[LIVE];
	u32 word;
	u32 at;
};

static inline u32 bitmap_map(struct bitmap *b, u64 pte)
{
	u32 i, w = b->word;

	while (!~b->used[w])
		w = (w + 1) % HCA_ARRAY_SIZE(b->used);
	i = w * 64 + (u32)__builtin_ctzll(~b->used[w]);
	b->used[w] |= 1ull << i % 64;
	b->word = w;
	hca_store_release(&b->table[i], pte);
	return i;
}

static inline void bitmap_unmap(struct bitmap *b, u32 i)
{
	hca_store_release(&b->table[i], 0);
	b->used[i / 64] &= ~(1ull << i % 64);
}

BENCH_LOOP static void bitmap_turn(void *ctx, u64 n)
{
	struct bitmap *b = ctx;
	u32 at = b->at;

	for (; n--; at = (at + 1) % LIVE) {
		bitmap_unmap(b, b->addr[at]);
		b->addr[at] = bitmap_map(b, ((u64)at << PAGE_SHIFT) + 1);
		bench_use(b->addr[at]);
	}
	b->at = at;
}

static struct bitmap *bitmap_open(void)
{
	struct bitmap *b = calloc(1, sizeof(*b));
	u32 i;

	for (i = 0; b && i < LIVE; i++)
		b->addr[i] = bitmap_map(b, i);
	return b;
}

/* --- mapping, one thread --- */

static int map_one_thread(struct bed *lazy, struct bed *strict)
{
	static struct bench_lock lock;
	struct bitmap *floor = bitmap_open();
	struct ring rl = { 0 }, rs = { 0 };
	struct bench_loop loops[] = { { .run = bitmap_turn, .ctx = floor },
				      { .run = bench_floor_lock, .ctx = &lock },
				      { .run = ring_turn, .ctx = &rl },
				      { .run = ring_turn, .ctx = &rs },
				      { .run = ring_turn, .ctx = &rl, .against = 1 },
				      { .run = ring_turn, .ctx = &rs, .against = 1 } };
	struct bench_times t;
	int err = -1;

	if (!floor)
		bench_fail("no memory");
	else if (!ring_open(&rl, lazy, 0, LIVE) && !ring_open(&rs, strict, 0, LIVE))
		err = bench_measure(loops, (int)HCA_ARRAY_SIZE(loops), &t);
	ring_close(&rl);
	ring_close(&rs);
	free(floor);
	if (err)
		return err;
	bench_title("IOMMU: map + unmap of 4 KiB, 8,192 live");
	bench_row("lazy / an uncontended lock", "ns", t.ns[4], t.ns[1], t.ratio[4], BENCH_GOALS({ RATIO_AT_MOST, 6 }));
	bench_row("strict / an uncontended lock", "ns", t.ns[5], t.ns[1], t.ratio[5],
		  BENCH_GOALS({ RATIO_AT_MOST, 12 }));
	bench_row("lazy / a bitmap and a flat table", "ns", t.ns[2], t.ns[0], t.ratio[2], BENCH_NO_GOAL);
	bench_row("strict / a bitmap and a flat table", "ns", t.ns[3], t.ns[0], t.ratio[3], BENCH_NO_GOAL);
	return 0;
}

/* --- mapping, two threads --- */

/* Two threads on one domain; what two threads can do at all is shown by two machines, with a domain on each. */
static int map_two_threads(const char *name, struct bed *bed, const struct bed_def *def)
{
	struct ring r[4] = { { 0 } };
	struct bench_pair pair[2] = {
		{ .first = { .run = ring_turn, .ctx = &r[0] }, .second = { .run = ring_turn, .ctx = &r[1] } },
		{ .first = { .run = ring_turn, .ctx = &r[2] }, .second = { .run = ring_turn, .ctx = &r[3] } },
	};
	struct bed apart[2];
	int i, opened, err = -1;

	for (opened = 0; opened < 2; opened++)
		if (bed_open(&apart[opened], def))
			break;
	if (opened == 2 && !ring_open(&r[0], bed, 0, LIVE / 2) && !ring_open(&r[1], bed, LIVE / 2, LIVE / 2) &&
	    !ring_open(&r[2], &apart[0], 0, LIVE / 2) && !ring_open(&r[3], &apart[1], 0, LIVE / 2))
		err = bench_measure_pairs(pair, 2);
	for (i = 0; i < 4; i++)
		if (r[i].ib)
			ring_close(&r[i]);
	for (i = 0; i < opened; i++)
		bed_close(&apart[i]);
	if (!err)
		bench_row(name, "x", pair[0].scale, pair[1].scale, pair[0].scale / pair[1].scale,
			  BENCH_GOALS({ RATIO_AT_LEAST, 0.85 }));
	return err;
}

/* --- the device's side --- */

struct bus {
	struct device *dev;
	struct iommu_domain *domain;
	dma_addr_t *addr;
	u32 mask;
	u64 virt;
};

/* What any bus address costs: a subtraction behind the same pointer. */
BENCH_LOOP static void floor_access(void *ctx, u64 n)
{
	struct bus *b = ctx;
	u64 at;
	u32 i;

	for (i = 0; n--; i = (i + 1) & b->mask) {
		at = hca_dma_u64(b->addr[i]) - b->virt;
		bench_use(at);
	}
}

BENCH_LOOP static void bus_translate(void *ctx, u64 n)
{
	struct bus *b = ctx;
	struct iommu_domain *d = b->domain;
	u64 a, pte, gen;
	u32 i, unit;

	for (i = 0; n--; i = (i + 1) & b->mask) {
		a = hca_dma_u64(b->addr[i]);
		gen = iommu_tlb_gen(&d->tlb);
		pte = iommu_tlb_lookup(&d->tlb, a >> PAGE_SHIFT, gen, &unit);
		if (hca_unlikely(!pte)) {
			pte = iommu_table_walk(&d->table, a >> PAGE_SHIFT, &unit);
			iommu_tlb_fill(&d->tlb, a >> PAGE_SHIFT, pte, unit, gen);
		}
		a = (u64)(uintptr_t)machine_bus_ptr(d->m, (pte >> IOPTE_SHIFT << PAGE_SHIFT) + a % PAGE_SIZE);
		bench_use(a);
	}
}

BENCH_LOOP static void bus_window(void *ctx, u64 n)
{
	struct bus *b = ctx;
	const struct platform_ops *ops = b->dev->machine->ops;
	struct hca_mem_view w;
	u32 i;

	for (i = 0; n--; i = (i + 1) & b->mask) {
		if (hca_unlikely(ops->open(b->dev, b->addr[i], 64, HCA_MEM_WRITE, &w))) {
			bench_fail("a mapped address isn't reached");
			return;
		}
		bench_use(w.ptr);
		ops->close(b->dev, &w);
	}
}

/* A loop that was meant to hit and missed would be a figure of something else. */
static int check_tlb(struct bus *b, bool hits)
{
	struct device_stats st[2];
	u64 h, m;

	bus_window(b, b->mask + 1);
	device_get_stats(b->dev, &st[0]);
	bus_window(b, b->mask + 1);
	device_get_stats(b->dev, &st[1]);
	h = st[1].iotlb_hits - st[0].iotlb_hits;
	m = st[1].iotlb_misses - st[0].iotlb_misses;
	if (hits ? m * 100 > h : h * 100 > m)
		return bench_fail("IOTLB: %llu hits and %llu misses where all should %s", (unsigned long long)h,
				  (unsigned long long)m, hits ? "hit" : "miss");
	return 0;
}

static int access_bus(struct bed *iommu, struct bed *direct)
{
	struct ring ri = { 0 }, rd = { 0 };
	struct bus hit, miss, plain;
	struct bench_loop loops[] = {
		{ .run = floor_access, .ctx = &hit },
		{ .run = bus_translate, .ctx = &hit },
		{ .run = bus_translate, .ctx = &miss },
		{ .run = bus_window, .ctx = &plain },
		{ .run = bus_window, .ctx = &hit, .against = 3 },
		{ .run = bus_window, .ctx = &miss, .against = 3 },
	};
	struct bench_times t;
	int err = -1;

	if (!ring_open(&ri, iommu, 0, LIVE) && !ring_open(&rd, direct, 0, HOT)) {
		miss = (struct bus){ iommu->dev, iommu->dev->platform, ri.addr, LIVE - 1, 0 };
		hit = (struct bus){ iommu->dev, iommu->dev->platform, ri.addr, HOT - 1, iommu->m->map.virt };
		plain = (struct bus){ direct->dev, NULL, rd.addr, HOT - 1, 0 };
		if (!check_tlb(&hit, true) && !check_tlb(&miss, false))
			err = bench_measure(loops, (int)HCA_ARRAY_SIZE(loops), &t);
	}
	if (ri.ib)
		ring_close(&ri);
	if (rd.ib)
		ring_close(&rd);
	if (err)
		return err;
	bench_title("IOMMU: bus address to memory, 8,192 live");
	bench_row("translation, IOTLB hit / a subtraction", "ns", t.ns[1], t.ns[0], t.ratio[1],
		  BENCH_GOALS({ RATIO_AT_MOST, 4.5 }));
	bench_row("translation, IOTLB miss / a subtraction", "ns", t.ns[2], t.ns[0], t.ratio[2],
		  BENCH_GOALS({ RATIO_AT_MOST, 30 }));
	bench_row("window opened and closed, hit / direct platform", "ns", t.ns[4], t.ns[3], t.ratio[4], BENCH_NO_GOAL);
	bench_row("window opened and closed, miss / direct platform", "ns", t.ns[5], t.ns[3], t.ratio[5],
		  BENCH_NO_GOAL);
	return 0;
}

/* --- the other platforms --- */

static char page_a[PAGE_SIZE] HCA_ALIGNED(64), page_b[PAGE_SIZE] HCA_ALIGNED(64);

BENCH_LOOP static void floor_copy(void *ctx, u64 n)
{
	char *to = page_a, *from = page_b;

	(void)ctx;
	while (n--) {
		bench_hide(to);
		bench_hide(from);
		memcpy(to, from, PAGE_SIZE);
		bench_use(to);
	}
}

static int other_platforms(struct bed *direct, struct bed *bounce)
{
	struct ring rd = { 0 }, rb = { 0 };
	struct bench_loop loops[] = { { .run = ring_turn, .ctx = &rd },
				      { .run = floor_copy },
				      { .run = ring_turn, .ctx = &rb, .against = 1 } };
	struct bench_times t;
	int err = -1;

	if (!ring_open(&rd, direct, 0, LIVE) && !ring_open(&rb, bounce, LIVE, HOT))
		err = bench_measure(loops, (int)HCA_ARRAY_SIZE(loops), &t);
	if (rd.ib)
		ring_close(&rd);
	if (rb.ib)
		ring_close(&rb);
	if (err)
		return err;
	bench_title("other platforms: map + unmap of 4 KiB");
	bench_row("direct", "ns", t.ns[0], NAN, NAN, BENCH_NO_GOAL);
	bench_row("bounce, from the device / copying 4 KiB", "ns", t.ns[2], t.ns[1], t.ratio[2], BENCH_NO_GOAL);
	return 0;
}

enum { LAZY, STRICT, DIRECT, BOUNCE, BEDS };

static const struct bed_def defs[BEDS] = {
	[LAZY] = { .machine = { .name = "lazy", .platform = MACHINE_IOMMU, .iommu_lazy = true },
		   .create = dmahca_create,
		   .destroy = dmahca_destroy },
	[STRICT] = { .machine = { .name = "strict", .platform = MACHINE_IOMMU },
		     .create = dmahca_create,
		     .destroy = dmahca_destroy },
	[DIRECT] = { .machine = { .name = "direct" }, .create = dmahca_create, .destroy = dmahca_destroy },
	[BOUNCE] = { .machine = { .name = "bounce", .platform = MACHINE_BOUNCE },
		     .create = dmahca_create,
		     .destroy = dmahca_destroy,
		     .all_bounce = true },
};

/* --- instructions --- */

static int counted_ring(struct bench_loop *l, const struct bed_def *def)
{
	static struct bed bed;
	static struct ring ring;

	l->run = ring_turn;
	l->ctx = &ring;
	return bed_open(&bed, def) || ring_open(&ring, &bed, 0, LIVE) ? -1 : 0;
}

int bench_dma_counted_lazy(struct bench_loop *l)
{
	return counted_ring(l, &defs[LAZY]);
}

int bench_dma_counted_strict(struct bench_loop *l)
{
	return counted_ring(l, &defs[STRICT]);
}

int bench_dma_counted_direct(struct bench_loop *l)
{
	return counted_ring(l, &defs[DIRECT]);
}

int bench_dma_bus(void)
{
	struct bed bed[BEDS];
	int i, bad = 0, made;

	for (made = 0; made < BEDS; made++)
		if (bed_open(&bed[made], &defs[made]))
			break;
	if (made == BEDS) {
		bad |= map_one_thread(&bed[LAZY], &bed[STRICT]);
		bench_title("IOMMU: map + unmap, two threads, times one thread");
		bad |= map_two_threads("lazy, one domain / two machines", &bed[LAZY], &defs[LAZY]);
		bad |= map_two_threads("strict, one domain / two machines", &bed[STRICT], &defs[STRICT]);
		bad |= access_bus(&bed[STRICT], &bed[DIRECT]);
		bad |= other_platforms(&bed[DIRECT], &bed[BOUNCE]);
	} else {
		bad = -1;
	}
	for (i = 0; i < made; i++)
		bed_close(&bed[i]);
	return bad;
}
