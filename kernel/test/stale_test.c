/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Mistakes made on purpose. Suite "ledger": each rule that a caller of dma_map_*() can
 * break on a software adapter, where nothing else would notice. Suite "stale": work
 * requests with addresses whose mapping has ended, on a device behind a bus: an IOMMU
 * that invalidates at once blocks them, and the ledger reports them everywhere.
 */
#include "suites.h"

#include <linux/dma-mapping.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/slab.h>

static struct fixture fixture;

/* --- the software adapter --- */

static int open_ledger(void)
{
	int err = fixture_open(&fixture, false);

	if (!err) {
		err = softhca_ledger_set(fixture.soft, true);
		if (err)
			fixture_close(&fixture);
	}
	return err;
}

static void close_rig(void)
{
	fixture_close(&fixture);
}

static u64 misuses(enum hca_misuse what)
{
	struct hca_ledger_totals tot = { 0 };

	softhca_ledger_totals(fixture.soft, &tot);
	return tot.misuse[what];
}

static u64 all_misuses(void)
{
	struct hca_ledger_totals tot = { 0 };
	u64 n = 0;
	int i;

	softhca_ledger_totals(fixture.soft, &tot);
	for (i = 0; i < HCA_MISUSE_KINDS; i++)
		n += tot.misuse[i];
	return n;
}

/* What @call does is misuse @what, once, and no other. */
#define EXPECT_MISUSE(t, what, call) \
	do { \
		u64 before_ = misuses(what), all_ = all_misuses(); \
\
		call; \
		EXPECT_EQ(t, misuses(what) - before_, 1); \
		EXPECT_EQ(t, all_misuses() - all_, 1); \
	} while (0)

/* A page of each kind, mapped, and a connection of the adapter to itself. */
struct scene {
	struct link l;
	struct page *page;
	dma_addr_t addr;
	void *src;
	dma_addr_t from;
	bool ready;
};

static void scene_open(struct ktest *t, struct scene *s, gfp_t gfp)
{
	memset(s, 0, sizeof(*s));
	s->page = alloc_page(gfp | __GFP_ZERO);
	s->src = dma_alloc_coherent(fixture.ipath.dev, PAGE_SIZE, &s->from, GFP_KERNEL);
	EXPECT(t, s->page && s->src);
	EXPECT_EQ(t, link_open(&s->l, &fixture.ipath, &fixture.ipath), 0);
	if (t->failures)
		return;
	memset(s->src, 0xab, PAGE_SIZE);
	s->addr = dma_map_page(fixture.ipath.dev, s->page, 0, PAGE_SIZE, DMA_FROM_DEVICE);
	EXPECT_EQ(t, dma_mapping_error(fixture.ipath.dev, s->addr), 0);
	s->ready = !t->failures;
}

static void scene_close(struct scene *s)
{
	link_close(&s->l);
	dma_free_coherent(fixture.ipath.dev, PAGE_SIZE, s->src, s->from);
	__free_page(s->page);
}

static void unmap(struct scene *s)
{
	dma_unmap_page(fixture.ipath.dev, s->addr, PAGE_SIZE, DMA_FROM_DEVICE);
}

static u8 first_byte(struct page *page)
{
	u8 *v = kmap_local_page(page), b = *v;

	kunmap_local(v);
	return b;
}

static void right_use_is_silent(struct ktest *t)
{
	u64 before = all_misuses();
	struct buffer b;
	struct scene s;

	scene_open(t, &s, GFP_HIGHUSER);
	EXPECT_EQ(t, buffer_alloc(&b, SHAPE_MIXED), 0);
	if (!s.ready)
		return;
	EXPECT_EQ(t, fixture_write(&s.l, s.from, s.addr, 100), HCA_WC_SUCCESS);
	dma_sync_single_for_cpu(fixture.ipath.dev, s.addr + 8, 100, DMA_FROM_DEVICE);
	unmap(&s);
	EXPECT_EQ(t, map_buffer(&fixture.ipath, &b, DMA_TO_DEVICE), 0);
	unmap_buffer(&fixture.ipath, &b, DMA_TO_DEVICE);
	buffer_free(&b);
	scene_close(&s);
	EXPECT_EQ(t, all_misuses(), before);
}

/* The CPU copies wherever it can reach: the bytes land, and only the ledger saw it. */
static void use_after_unmap(struct ktest *t)
{
	struct scene s;

	scene_open(t, &s, t->param ? GFP_HIGHUSER : GFP_KERNEL);
	if (!s.ready)
		return;
	unmap(&s);
	EXPECT_MISUSE(t, HCA_MISUSE_USE_AFTER_UNMAP,
		      EXPECT_EQ(t, fixture_write(&s.l, s.from, s.addr, 8), HCA_WC_SUCCESS));
	EXPECT_EQ(t, first_byte(s.page), 0xab);
	scene_close(&s);
}

static void describe_zone(unsigned int n, char *buf, size_t size)
{
	snprintf(buf, size, "use_after_unmap_%s", n ? "high" : "low");
}

/* Eight pages; those in the middle of a block are hardly ones that the ledger remembers. */
static struct page *never_mapped(void)
{
	return alloc_pages(GFP_KERNEL, 3);
}

static void use_unmapped(struct ktest *t)
{
	struct page *other = never_mapped();
	struct scene s;

	scene_open(t, &s, GFP_KERNEL);
	if (!s.ready || !other)
		return;
	EXPECT_MISUSE(t, HCA_MISUSE_USE_UNMAPPED,
		      EXPECT_EQ(t, fixture_write(&s.l, s.from, (u64)(uintptr_t)page_address(other) + 5 * PAGE_SIZE, 8),
				HCA_WC_SUCCESS));
	unmap(&s);
	scene_close(&s);
	__free_pages(other, 3);
}

static void use_against_direction(struct ktest *t)
{
	struct scene s;

	scene_open(t, &s, GFP_KERNEL);
	if (!s.ready)
		return;
	EXPECT_MISUSE(t, HCA_MISUSE_USE_DIR, EXPECT_EQ(t, fixture_write(&s.l, s.addr, s.from, 8), HCA_WC_SUCCESS));
	unmap(&s);
	scene_close(&s);
}

static void wrong_unmaps(struct ktest *t)
{
	struct device *dev = fixture.ipath.dev;
	struct page *other = never_mapped();
	struct scene s;

	scene_open(t, &s, GFP_KERNEL);
	if (!s.ready || !other)
		return;
	EXPECT_MISUSE(t, HCA_MISUSE_UNMAP_SIZE, dma_unmap_page(dev, s.addr, 8, DMA_FROM_DEVICE));
	EXPECT_MISUSE(t, HCA_MISUSE_DOUBLE_UNMAP, unmap(&s));
	EXPECT_MISUSE(t, HCA_MISUSE_UNMAP_UNKNOWN,
		      dma_unmap_page(dev, (uintptr_t)page_address(other) + 5 * PAGE_SIZE, 8, DMA_FROM_DEVICE));
	s.addr = dma_map_page(dev, s.page, 0, PAGE_SIZE, DMA_FROM_DEVICE);
	EXPECT_MISUSE(t, HCA_MISUSE_UNMAP_DIR, dma_unmap_page(dev, s.addr, PAGE_SIZE, DMA_TO_DEVICE));
	scene_close(&s);
	__free_pages(other, 3);
}

static void wrong_syncs(struct ktest *t)
{
	struct device *dev = fixture.ipath.dev;
	struct scene s;

	scene_open(t, &s, GFP_KERNEL);
	if (!s.ready)
		return;
	EXPECT_MISUSE(t, HCA_MISUSE_SYNC_DIR, dma_sync_single_for_cpu(dev, s.addr, 8, DMA_TO_DEVICE));
	EXPECT_MISUSE(t, HCA_MISUSE_SYNC_OUTSIDE, dma_sync_single_for_cpu(dev, s.addr + 4000, 200, DMA_FROM_DEVICE));
	unmap(&s);
	scene_close(&s);
}

static void ledger_comes_and_goes(struct ktest *t)
{
	struct hca_ledger_totals tot;
	struct scene s;
	int i;

	scene_open(t, &s, GFP_KERNEL);
	if (!s.ready)
		return;
	for (i = 0; i < 20; i++) {
		EXPECT_EQ(t, softhca_ledger_set(fixture.soft, i & 1), 0);
		EXPECT_EQ(t, softhca_ledger_totals(fixture.soft, &tot), i & 1 ? 0 : -ENOENT);
		EXPECT_EQ(t, fixture_write(&s.l, s.from, s.addr, 8), HCA_WC_SUCCESS);
		if (i & 1)
			EXPECT_EQ(t, misuses(HCA_MISUSE_USE_UNMAPPED), 2); /* both made before the ledger began */
	}
	EXPECT_EQ(t, softhca_ledger_set(fixture.soft, false), 0);
	unmap(&s);
	scene_close(&s);
	EXPECT_EQ(t, softhca_ledger_set(fixture.soft, true), 0);
}

static const struct ktest_case ledger_cases[] = {
	{ "right_use_is_silent", right_use_is_silent },
	{ "use_after_unmap", use_after_unmap, 2, describe_zone },
	{ "use_unmapped", use_unmapped },
	{ "use_against_direction", use_against_direction },
	{ "wrong_unmaps", wrong_unmaps },
	{ "wrong_syncs", wrong_syncs },
	{ "ledger_comes_and_goes", ledger_comes_and_goes },
	{},
};

const struct ktest_suite suite_ledger = { "ledger", ledger_cases, open_ledger, close_rig };

/* --- the device behind a bus --- */

static struct {
	struct hca_ledger *l;
	u64 stale;
	u64 others;
	int outcome;
} bus;

static void bus_report(void *ctx, const struct hca_misuse_report *r)
{
	if (r->what == HCA_MISUSE_USE_AFTER_UNMAP) {
		bus.stale++;
		bus.outcome = r->outcome;
	} else {
		bus.others++;
	}
}

static int open_stale(void)
{
	struct hca_ledger_attr attr = { .device = "edu", .report = bus_report };
	int err = fixture_open(&fixture, true);

	if (err)
		return err;
	memset(&bus, 0, sizeof(bus));
	err = hca_ledger_create(&attr, &bus.l);
	if (err)
		fixture_close(&fixture);
	else
		hca_store(&fixture.edu.mem.ledger, bus.l);
	return err;
}

static void close_stale(void)
{
	hca_store(&fixture.edu.mem.ledger, NULL);
	WARN_ON(hca_ledger_destroy(bus.l));
	fixture_close(&fixture);
}

/* The platform's mapping, entered in the ledger as the verbs of a driver would. */
static dma_addr_t bus_map(struct ktest *t, struct page *page, enum dma_data_direction dir)
{
	struct hca_mapping m = { .kind = HCA_MAP_PAGE, .size = PAGE_SIZE, .dir = dir };
	struct hca_ledger_rec *rec = hca_ledger_prepare(1);
	dma_addr_t addr;

	EXPECT(t, rec);
	if (!rec)
		return DMA_MAPPING_ERROR;
	addr = dma_map_page(fixture.bus.dev, page, 0, PAGE_SIZE, dir);
	EXPECT_EQ(t, dma_mapping_error(fixture.bus.dev, addr), 0);
	m.addr = hca_dma_addr(addr);
	hca_ledger_seg(rec, 0, m.addr, PAGE_SIZE);
	hca_ledger_enter(bus.l, rec, &m, 1, (hca_site_t)_THIS_IP_);
	hca_ledger_checked(bus.l, m.addr);
	return addr;
}

static void bus_unmap(dma_addr_t addr, enum dma_data_direction dir)
{
	struct hca_mapping m = { .kind = HCA_MAP_PAGE, .addr = hca_dma_addr(addr), .size = PAGE_SIZE, .dir = dir };

	hca_ledger_end(bus.l, &m, (hca_site_t)_THIS_IP_);
	dma_unmap_page(fixture.bus.dev, addr, PAGE_SIZE, dir);
}

/* Where an IOMMU translates, what the device sees isn't where the memory is; where none does, it is. */
static void bus_addresses(struct ktest *t)
{
	struct page *page = alloc_page(GFP_KERNEL);
	dma_addr_t addr;

	EXPECT(t, page);
	if (!page)
		return;
	addr = bus_map(t, page, DMA_FROM_DEVICE);
	ktest_say("physical 0x%llx, bus 0x%llx", (u64)page_to_phys(page), (u64)addr);
	EXPECT_EQ(t, addr != page_to_phys(page), test_iommu >= IOMMU_LAZY);
	bus_unmap(addr, DMA_FROM_DEVICE);
	__free_page(page);
}

static void judge(struct ktest *t, bool landed, u64 stale)
{
	EXPECT_EQ(t, bus.stale - stale, 1);
	EXPECT_EQ(t, bus.others, 0);
	switch (test_iommu) {
	case IOMMU_STRICT:
		EXPECT(t, !landed);
		break;
	case IOMMU_LAZY:
		ktest_say("lazy invalidation: the access %s", landed ? "went through" : "was blocked");
		break;
	default:
		EXPECT(t, landed);
	}
}

static void stale_write(struct ktest *t)
{
	struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	u64 stale = bus.stale;
	dma_addr_t addr, from;
	struct link l;
	u8 *src = dma_alloc_coherent(fixture.ipath.dev, PAGE_SIZE, &from, GFP_KERNEL);

	EXPECT(t, page && src);
	EXPECT_EQ(t, link_open(&l, &fixture.ipath, &fixture.bus), 0);
	if (t->failures)
		return;
	memset(src, 0xab, 64);
	addr = bus_map(t, page, DMA_FROM_DEVICE);
	EXPECT_EQ(t, fixture_write(&l, from, addr + 128, 64), HCA_WC_SUCCESS);
	EXPECT_EQ(t, bus.stale, stale);
	bus_unmap(addr, DMA_FROM_DEVICE);
	EXPECT_EQ(t, ((u8 *)page_address(page))[128], 0xab);
	memset(page_address(page), 0, PAGE_SIZE);
	/* The device has no way to know, and says that it was done. */
	EXPECT_EQ(t, fixture_write(&l, from, addr + 128, 64), HCA_WC_SUCCESS);
	judge(t, ((u8 *)page_address(page))[128] == 0xab, stale);
	link_close(&l);
	dma_free_coherent(fixture.ipath.dev, PAGE_SIZE, src, from);
	__free_page(page);
}

static void stale_read(struct ktest *t)
{
	struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	u64 stale = bus.stale;
	dma_addr_t addr, to;
	struct link l;
	u8 *dst = dma_alloc_coherent(fixture.ipath.dev, PAGE_SIZE, &to, GFP_KERNEL);

	EXPECT(t, page && dst);
	EXPECT_EQ(t, link_open(&l, &fixture.bus, &fixture.ipath), 0);
	if (t->failures)
		return;
	addr = bus_map(t, page, DMA_TO_DEVICE);
	EXPECT_EQ(t, fixture_write(&l, addr, to, 64), HCA_WC_SUCCESS);
	bus_unmap(addr, DMA_TO_DEVICE);
	memset(page_address(page), 0xcd, PAGE_SIZE);
	EXPECT_EQ(t, fixture_write(&l, addr, to, 64), HCA_WC_SUCCESS);
	judge(t, dst[0] == 0xcd, stale);
	link_close(&l);
	dma_free_coherent(fixture.ipath.dev, PAGE_SIZE, dst, to);
	__free_page(page);
}

static const struct ktest_case stale_cases[] = {
	{ "bus_addresses", bus_addresses },
	{ "stale_write", stale_write },
	{ "stale_read", stale_read },
	{},
};

const struct ktest_suite suite_stale = { "stale", stale_cases, open_stale, close_stale };
