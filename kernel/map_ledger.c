/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The same mappings, each entered in the device's ledger and judged when it ends.
 * These operations stand in for map.c's while a ledger is kept, so that without one
 * nobody asks. Called by the DMA API alone. A mapping made while the ledger begins or
 * ends may go without it.
 */
#include "glue.h"

#include <linux/kernel.h>
#include <linux/rcupdate.h>
#include <linux/scatterlist.h>
#include <linux/stacktrace.h>
#include <linux/string.h>

#define FRAMES 4

/*
 * The caller of the DMA API, which called us. How many of its functions stand between depends on which of them end with
 * a jump; but their names begin alike.
 */
static noinline hca_site_t caller(void)
{
	unsigned long at[FRAMES];
	unsigned int i, n = stack_trace_save(at, FRAMES, 2);
	char name[16];

	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%ps", (void *)at[i]);
		if (!strstarts(name, "dma_") && !strstarts(name, "__dma_"))
			return (hca_site_t)at[i];
	}
	return NULL;
}

/* What a mapping's end or a sync tells, and then there is nothing to do. */
static void end(struct device *dev, struct hca_mapping *m, hca_site_t site)
{
	struct hca_ledger *l;

	rcu_read_lock();
	l = READ_ONCE(softhca_of(dev)->ledger);
	if (l)
		hca_ledger_end(l, m, site);
	rcu_read_unlock();
}

static void enter(struct device *dev, struct hca_ledger_rec *rec, const struct hca_mapping *m, u32 segs,
		  hca_site_t site)
{
	struct hca_ledger *l;

	rcu_read_lock();
	l = READ_ONCE(softhca_of(dev)->ledger);
	if (l) {
		hca_ledger_enter(l, rec, m, segs, site);
		/* The DMA API asks no device whether an address is an error, so the check can't be observed here. */
		hca_ledger_checked(l, m->addr);
	} else {
		hca_ledger_abandon(rec);
	}
	rcu_read_unlock();
}

static dma_addr_t ledger_map_page(struct device *dev, struct page *page, unsigned long offset, size_t size,
				  enum dma_data_direction dir, unsigned long attrs)
{
	struct hca_mapping m = { .kind = HCA_MAP_PAGE, .size = size, .dir = dir };
	struct hca_ledger_rec *rec = hca_ledger_prepare(1);
	dma_addr_t addr;

	if (!rec)
		return DMA_MAPPING_ERROR;
	addr = softhca_map_page(dev, page, offset, size, dir, attrs);
	if (addr == DMA_MAPPING_ERROR) {
		hca_ledger_abandon(rec);
		return addr;
	}
	m.addr = hca_dma_addr(addr);
	hca_ledger_seg(rec, 0, m.addr, size);
	enter(dev, rec, &m, 1, caller());
	return addr;
}

static void ledger_unmap_page(struct device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
			      unsigned long attrs)
{
	struct hca_mapping m = { .kind = HCA_MAP_PAGE, .addr = hca_dma_addr(addr), .size = size, .dir = dir };

	end(dev, &m, caller());
}

/* What the ledger knows a list by: a copy of the entries gives the same. */
static u64 list_entries(struct scatterlist *sgl, int nents)
{
	struct scatterlist *sg = sgl;
	u64 entries = 0;
	int i;

	for (i = 0; i < nents && sg; i++, sg = sg_next(sg))
		entries = hca_ledger_entry(entries, sg_page(sg), sg->offset, sg->length);
	return entries;
}

static int ledger_map_sg(struct device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
			 unsigned long attrs)
{
	struct hca_mapping m = {
		.kind = HCA_MAP_LIST,
		.size = nents,
		.dir = dir,
		.list = sg_page(sgl),
		.entries = list_entries(sgl, nents),
	};
	struct hca_ledger_rec *rec = hca_ledger_prepare(nents);
	struct scatterlist *sg;
	int i, n;

	if (!rec)
		return -ENOMEM;
	n = softhca_map_sg(dev, sgl, nents, dir, attrs);
	if (n <= 0) {
		hca_ledger_abandon(rec);
		return n;
	}
	for_each_sg(sgl, sg, n, i)
		hca_ledger_seg(rec, i, hca_dma_addr(sg_dma_address(sg)), sg_dma_len(sg));
	m.addr = hca_dma_addr(sg_dma_address(sgl));
	enter(dev, rec, &m, n, caller());
	return n;
}

static void ledger_unmap_sg(struct device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
			    unsigned long attrs)
{
	struct hca_mapping m = {
		.kind = HCA_MAP_LIST,
		.addr = hca_dma_addr(sg_dma_address(sgl)),
		.size = nents,
		.dir = dir,
		.list = sg_page(sgl),
		.entries = list_entries(sgl, nents),
	};

	end(dev, &m, caller());
}

static void sync(struct device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir, enum hca_map_kind kind,
		 hca_site_t site)
{
	struct hca_ledger *l;

	rcu_read_lock();
	l = READ_ONCE(softhca_of(dev)->ledger);
	if (l)
		hca_ledger_sync(l, hca_dma_addr(addr), size, dir, kind, site);
	rcu_read_unlock();
}

static void ledger_sync_single(struct device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir)
{
	sync(dev, addr, size, dir, HCA_MAP_PAGE, caller());
}

static void ledger_sync_sg(struct device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir)
{
	hca_site_t site = caller();
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i)
		sync(dev, sg_dma_address(sg), sg_dma_len(sg), dir, HCA_MAP_LIST, site);
}

/* What the DMA API allocates is a mapping, too: of pages that aren't coherent, with a direction and syncs. */
static void enter_alloc(struct device *dev, struct hca_ledger_rec *rec, const void *known_by, dma_addr_t addr,
			size_t size, enum dma_data_direction dir, hca_site_t site)
{
	struct hca_mapping m = {
		.kind = HCA_MAP_COHERENT,
		.addr = hca_dma_addr(addr),
		.size = size,
		.dir = dir,
		.list = known_by,
	};

	hca_ledger_seg(rec, 0, m.addr, size);
	enter(dev, rec, &m, 1, site);
}

static void end_alloc(struct device *dev, const void *known_by, dma_addr_t addr, size_t size,
		      enum dma_data_direction dir, hca_site_t site)
{
	struct hca_mapping m = {
		.kind = HCA_MAP_COHERENT,
		.addr = hca_dma_addr(addr),
		.size = size,
		.dir = dir,
		.list = known_by,
	};

	end(dev, &m, site);
}

static void *ledger_alloc(struct device *dev, size_t size, dma_addr_t *handle, gfp_t gfp, unsigned long attrs)
{
	struct hca_ledger_rec *rec = hca_ledger_prepare(1);
	void *virt;

	if (!rec)
		return NULL;
	virt = softhca_alloc(dev, size, handle, gfp, attrs);
	if (virt)
		enter_alloc(dev, rec, virt, *handle, size, DMA_BIDIRECTIONAL, caller());
	else
		hca_ledger_abandon(rec);
	return virt;
}

static void ledger_free(struct device *dev, size_t size, void *virt, dma_addr_t handle, unsigned long attrs)
{
	end_alloc(dev, virt, handle, size, DMA_BIDIRECTIONAL, caller());
	softhca_free(dev, size, virt, handle, attrs);
}

/* dma_alloc_pages(), and dma_alloc_noncontiguous(), which makes a list of one entry of what this returns. */
static struct page *ledger_alloc_pages(struct device *dev, size_t size, dma_addr_t *handle, enum dma_data_direction dir,
				       gfp_t gfp)
{
	struct hca_ledger_rec *rec = hca_ledger_prepare(1);
	struct page *page;

	if (!rec)
		return NULL;
	page = softhca_alloc_pages(dev, size, handle, dir, gfp);
	if (page)
		enter_alloc(dev, rec, page, *handle, size, dir, caller());
	else
		hca_ledger_abandon(rec);
	return page;
}

static void ledger_free_pages(struct device *dev, size_t size, struct page *page, dma_addr_t handle,
			      enum dma_data_direction dir)
{
	end_alloc(dev, page, handle, size, dir, caller());
	softhca_free_pages(dev, size, page, handle, dir);
}

const struct dma_map_ops softhca_map_ops_ledger = {
	.alloc = ledger_alloc,
	.free = ledger_free,
#ifdef HCA_HAVE_ALLOC_PAGES_OP
	.alloc_pages_op = ledger_alloc_pages,
#else
	.alloc_pages = ledger_alloc_pages,
#endif
	.free_pages = ledger_free_pages,
	.mmap = softhca_mmap,
	.get_sgtable = softhca_get_sgtable,
	.map_page = ledger_map_page,
	.unmap_page = ledger_unmap_page,
	.map_sg = ledger_map_sg,
	.unmap_sg = ledger_unmap_sg,
	.sync_single_for_cpu = ledger_sync_single,
	.sync_single_for_device = ledger_sync_single,
	.sync_sg_for_cpu = ledger_sync_sg,
	.sync_sg_for_device = ledger_sync_sg,
	.dma_supported = softhca_dma_supported,
	.get_required_mask = softhca_required_mask,
};
