/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The long ways of ib_dma_*(): the argument check, the ledger, then the device's own
 * ops or the platform's. Called from the inline calls of softhca/ib_dma.h.
 *
 * The ledger makes room before a mapping is made, enters it afterwards, and judges
 * an unmap before it is done; an unmap that it refuses isn't passed on.
 */
#include "ib_private.h"

/* What stands between the argument check and the backend is the same for single and page. */
struct map_call {
	enum hca_map_kind kind;
	u64 off; /* in the arena, checked */
	void *ptr; /* single */
	struct page *page; /* page */
	unsigned long offset;
	size_t size;
	enum dma_data_direction dir;
	unsigned long attrs;
	hca_site_t site;
};

static dma_addr_t backend_map(struct ib_device *dev, const struct map_call *c)
{
	if (!dev->dma_ops)
		return platform_map(dev->dma_device, c->off, c->size, c->dir, c->attrs);
	if (c->kind == HCA_MAP_SINGLE)
		return dev->dma_ops->map_single(dev, c->ptr, c->size, c->dir, c->attrs);
	return dev->dma_ops->map_page(dev, c->page, c->offset, c->size, c->dir, c->attrs);
}

static dma_addr_t map_with_ledger(struct ib_device *dev, const struct map_call *c)
{
	struct hca_ledger_rec *rec;
	struct hca_mapping m;
	dma_addr_t addr;

	if (dev->guard)
		ib_guard_poll(dev);
	rec = hca_ledger_prepare(1);
	if (!rec)
		return hca_dma_error(-ENOMEM);
	addr = backend_map(dev, c);
	if (hca_dma_errno(addr)) {
		hca_ledger_abandon(rec);
		return addr;
	}
	m = (struct hca_mapping){ .kind = c->kind, .addr = addr, .size = c->size, .dir = (int)c->dir };
	hca_ledger_seg(rec, 0, addr, c->size);
	hca_ledger_enter(dev->ledger, rec, &m, 1, c->site);
	ib_guard_range(dev, addr, c->size, GUARD_MAP);
	return addr;
}

/* Is there nothing between the call and the platform? It checks for itself, as it may also be called directly. */
static inline bool by_platform(const struct ib_device *dev)
{
	return !dev->dma_ops && !dev->ledger;
}

static inline dma_addr_t map_checked(struct ib_device *dev, const struct map_call *c)
{
	/* The platform's calls check for themselves, as they may also be called directly. */
	int err = dev->dma_ops ? hca_dma_check(&ib_machine(dev)->space, c->off, c->size, (int)c->dir) : 0;

	if (hca_unlikely(err))
		return hca_dma_error(
			platform_refuse_map(ib_machine(dev), dev->name, c->off, c->size, (int)c->dir, c->site));
	if (hca_unlikely(dev->ledger))
		return map_with_ledger(dev, c);
	return backend_map(dev, c);
}

/* Apart, with unmap_call(): what they keep on the stack is nothing that a call to the platform should pay for. */
static __attribute__((noinline)) dma_addr_t map_single_call(struct ib_device *dev, void *ptr, size_t size,
							    enum dma_data_direction dir, unsigned long attrs,
							    hca_site_t site)
{
	struct map_call c = {
		.kind = HCA_MAP_SINGLE,
		.off = machine_ptr_offset(ib_machine(dev), ptr),
		.ptr = ptr,
		.size = size,
		.dir = dir,
		.attrs = attrs,
		.site = site,
	};

	return map_checked(dev, &c);
}

dma_addr_t ib_dma_map_single_long(struct ib_device *dev, void *ptr, size_t size, enum dma_data_direction dir,
				  unsigned long attrs, hca_site_t site)
{
	if (hca_likely(by_platform(dev)))
		return platform_map(dev->dma_device, machine_ptr_offset(ib_machine(dev), ptr), size, (int)dir, attrs);
	return map_single_call(dev, ptr, size, dir, attrs, site);
}

dma_addr_t ib_dma_map_page_long(struct ib_device *dev, struct page *page, unsigned long offset, size_t size,
				enum dma_data_direction dir, unsigned long attrs, hca_site_t site)
{
	struct map_call c = {
		.kind = HCA_MAP_PAGE,
		.off = machine_page_offset(ib_machine(dev), page, offset),
		.page = page,
		.offset = offset,
		.size = size,
		.dir = dir,
		.attrs = attrs,
		.site = site,
	};

	return map_checked(dev, &c);
}

/*
 * With a ledger the backend gets the map's arguments, not the caller's, so that one wrong call is one report
 * and doesn't leave half a mapping behind.
 */
static int judge_end(struct ib_device *dev, struct hca_mapping *m, hca_site_t site)
{
	if (!dev->ledger)
		return 0;
	if (dev->guard)
		ib_guard_poll(dev);
	return hca_ledger_end(dev->ledger, m, site);
}

static __attribute__((noinline)) void unmap_call(struct ib_device *dev, dma_addr_t addr, size_t size,
						 enum dma_data_direction dir, unsigned long attrs,
						 enum hca_map_kind kind, hca_site_t site)
{
	struct hca_mapping m = { .kind = kind, .addr = addr, .size = size, .dir = (int)dir };

	if (judge_end(dev, &m, site))
		return;
	dir = (enum dma_data_direction)m.dir;
	size = (size_t)m.size;
	ib_guard_range(dev, addr, size, GUARD_UNMAP);
	if (!dev->dma_ops)
		platform_unmap(dev->dma_device, addr, size, (int)dir, attrs);
	else if (m.kind == HCA_MAP_SINGLE)
		dev->dma_ops->unmap_single(dev, addr, size, dir, attrs);
	else
		dev->dma_ops->unmap_page(dev, addr, size, dir, attrs);
}

void ib_dma_unmap_long(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
		       unsigned long attrs, enum hca_map_kind kind, hca_site_t site)
{
	if (hca_likely(by_platform(dev)))
		platform_unmap(dev->dma_device, addr, size, (int)dir, attrs);
	else
		unmap_call(dev, addr, size, dir, attrs, kind, site);
}

static int backend_map_sg(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
			  unsigned long attrs)
{
	if (!dev->dma_ops)
		return platform_map_list(dev->dma_device, sgl, nents, (int)dir, attrs);
	return dev->dma_ops->map_sg(dev, sgl, nents, dir, attrs);
}

/* What the device's list_check() would find, found for every device when a ledger is kept. */
static int walk_with_ledger(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
			    hca_site_t site)
{
	int bad = 0;
	int err = list_check(ib_machine(dev), sgl, nents, (int)dir, ib_dma_max_seg_size(dev), false, &bad);

	if (err)
		hca_ledger_report_list(dev->ledger, (u32)bad, (u32)HCA_MAX(nents, 0), (int)dir, site);
	return err;
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

/*
 * The mapped fields of a list that no mapping filled have an invalid address and a length, so
 * that a request with it fails instead of moving no bytes.
 */
static void say_unfilled(struct scatterlist *sgl, int nents)
{
	struct scatterlist *sg = sgl;
	int i;

	for (i = 0; i < nents && sg; i++, sg = sg_next(sg))
		sg_set_mapped(sg, IB_DMA_SG_UNFILLED, sg->length);
}

/* Apart, as refuse_list() is. */
static __attribute__((noinline)) int map_sg_with_ledger(struct ib_device *dev, struct scatterlist *sgl, int nents,
							enum dma_data_direction dir, unsigned long attrs,
							hca_site_t site)
{
	struct hca_ledger_rec *rec;
	struct scatterlist *sg;
	struct hca_mapping m;
	int err, n, i;

	if (dev->guard)
		ib_guard_poll(dev);
	err = walk_with_ledger(dev, sgl, nents, dir, site);
	if (err)
		return err;
	rec = hca_ledger_prepare((u32)nents);
	if (!rec)
		return -ENOMEM;
	n = backend_map_sg(dev, sgl, nents, dir, attrs);
	if (n <= 0) {
		hca_ledger_abandon(rec);
		return n ? n : -EIO;
	}
	if (dev->style != IB_DMA_BY_OPS)
		say_unfilled(sgl, n);
	for_each_sg(sgl, sg, n, i)
		hca_ledger_seg(rec, (u32)i, ib_sg_dma_address(dev, sg), ib_sg_dma_len(dev, sg));
	m = (struct hca_mapping){
		.kind = HCA_MAP_LIST,
		.addr = ib_sg_dma_address(dev, sgl),
		.size = (u64)nents,
		.dir = (int)dir,
		.list = sg_page(sgl),
		.entries = list_entries(sgl, nents),
	};
	hca_ledger_enter(dev->ledger, rec, &m, (u32)n, site);
	if (dev->guard)
		for_each_sg(sgl, sg, n, i)
			ib_guard_range(dev, ib_sg_dma_address(dev, sg), ib_sg_dma_len(dev, sg), GUARD_MAP);
	return n;
}

/* Into each entry what ib_sg_dma_address() and ib_sg_dma_len() say. Return: 0; or what is wrong with an entry. */
static int fill_list(struct ib_device *dev, struct scatterlist *sgl, int nents)
{
	struct scatterlist *sg = sgl;
	int i;

	for (i = 0; i < nents; i++, sg = sg_next(sg)) {
		dma_addr_t addr;

		if (hca_unlikely(!sg))
			return -EINVAL; /* refuse_fill() says why */
		addr = ib_sg_dma_address(dev, sg);
		if (hca_unlikely(hca_dma_errno(addr)))
			return hca_dma_errno(addr);
		sg_set_mapped(sg, addr, ib_sg_dma_len(dev, sg));
	}
	return 0;
}

/* Apart: a map that is right keeps nothing for it. */
static __attribute__((noinline)) int refuse_list(const struct ib_device *dev, const struct scatterlist *sgl, int nents,
						 enum dma_data_direction dir)
{
	return hca_refuse(-EINVAL, "%s: map_sg refused: %d entries at %p, direction %d", dev->name, nents,
			  (const void *)sgl, (int)dir);
}

static __attribute__((noinline)) int refuse_fill(struct ib_device *dev, int err)
{
	return hca_refuse(err, "%s: list not filled: it ends early, or an entry has no address that the device maps",
			  dev->name);
}

int ib_dma_map_sg_long(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
		       unsigned long attrs, bool fill, hca_site_t site)
{
	int n, err;

	if (!sgl || nents <= 0 || !hca_dma_dir_valid((int)dir))
		return refuse_list(dev, sgl, nents, dir);
	n = dev->ledger ? map_sg_with_ledger(dev, sgl, nents, dir, attrs, site) :
			  backend_map_sg(dev, sgl, nents, dir, attrs);
	if (hca_unlikely(n <= 0))
		return n ? n : -EIO; /* a driver that says no more than Linux's 0 */
	/* The platform has filled the list already. */
	if (!dev->dma_ops || !(fill || dev->fill_sg))
		return n;
	err = fill_list(dev, sgl, n);
	if (hca_unlikely(err)) {
		(void)refuse_fill(dev, err);
		ib_dma_unmap_sg_long(dev, sgl, nents, dir, attrs, site);
		return err;
	}
	return n;
}

/* The entries that the device saw were written to guard; walk as many as the mapping still shows. */
static void unguard_list(struct ib_device *dev, struct scatterlist *sgl, int nents)
{
	struct scatterlist *sg = sgl;
	int i;

	for (i = 0; i < nents && sg; i++, sg = sg_next(sg))
		ib_guard_range(dev, ib_sg_dma_address(dev, sg), ib_sg_dma_len(dev, sg), GUARD_UNMAP);
}

void ib_dma_unmap_sg_long(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
			  unsigned long attrs, hca_site_t site)
{
	struct hca_mapping m = { .kind = HCA_MAP_LIST, .size = (u64)HCA_MAX(nents, 0), .dir = (int)dir };

	m.addr = sgl ? ib_sg_dma_address(dev, sgl) : hca_dma_addr(0);
	if (sgl && dev->ledger) {
		m.list = sg_page(sgl);
		m.entries = list_entries(sgl, nents);
	}
	if (judge_end(dev, &m, site) || !sgl)
		return;
	nents = (int)m.size;
	dir = (enum dma_data_direction)m.dir;
	if (dev->guard)
		unguard_list(dev, sgl, nents);
	if (!dev->dma_ops)
		platform_unmap_list(dev->dma_device, sgl, nents, (int)dir, attrs);
	else
		dev->dma_ops->unmap_sg(dev, sgl, nents, dir, attrs);
}

dma_addr_t ib_sg_dma_address_long(struct ib_device *dev, struct scatterlist *sg)
{
	return (dev->dma_ops->sg_dma_address)(dev, sg);
}

unsigned int ib_sg_dma_len_long(struct ib_device *dev, struct scatterlist *sg)
{
	return dev->dma_ops ? (dev->dma_ops->sg_dma_len)(dev, sg) : sg_dma_len(sg);
}

static void backend_sync(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir, bool for_cpu)
{
	if (!dev->dma_ops) {
		if (for_cpu)
			dma_sync_single_for_cpu(dev->dma_device, addr, size, dir);
		else
			dma_sync_single_for_device(dev->dma_device, addr, size, dir);
	} else if (for_cpu) {
		dev->dma_ops->sync_single_for_cpu(dev, addr, size, dir);
	} else {
		dev->dma_ops->sync_single_for_device(dev, addr, size, dir);
	}
}

static int judge_sync(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
		      enum hca_map_kind kind, hca_site_t site)
{
	if (!dev->ledger)
		return 0;
	if (dev->guard)
		ib_guard_poll(dev);
	return hca_ledger_sync(dev->ledger, addr, size, (int)dir, kind, site);
}

static void sync_range(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir, bool for_cpu)
{
	ib_guard_range(dev, addr, size, for_cpu ? GUARD_TO_CPU : GUARD_TO_DEVICE);
	backend_sync(dev, addr, size, dir, for_cpu);
}

void ib_dma_sync_single_long(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
			     bool for_cpu, hca_site_t site)
{
	if (judge_sync(dev, addr, size, dir, HCA_MAP_SINGLE, site) != -ENOENT)
		sync_range(dev, addr, size, dir, for_cpu);
}

void ib_dma_sync_sg_long(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
			 bool for_cpu, hca_site_t site)
{
	struct scatterlist *sg = sgl;
	int err = 0;
	int i;

	if (!sgl)
		judge_sync(dev, hca_dma_addr(0), 0, dir, HCA_MAP_LIST, site);
	/*
	 * Merged entries lie behind one address, so only that many have one. The first has none if the list was never
	 * mapped: that is for the ledger to say. One wrong call is one report, so nothing is judged after it.
	 */
	for (i = 0; i < nents && sg; i++, sg = sg_next(sg)) {
		size_t len = ib_sg_dma_len(dev, sg);

		if (!len && (i || !dev->ledger))
			break;
		if (!err)
			err = judge_sync(dev, ib_sg_dma_address(dev, sg), len ? len : sg->length, dir, HCA_MAP_LIST,
					 site);
		if (err == -ENOENT || !len)
			break;
		sync_range(dev, ib_sg_dma_address(dev, sg), len, dir, for_cpu);
	}
}

void ib_dma_checked_long(struct ib_device *dev, dma_addr_t addr)
{
	if (!hca_dma_errno(addr))
		hca_ledger_checked(dev->ledger, addr);
}

void *ib_dma_alloc_coherent_at(struct ib_device *dev, size_t size, dma_addr_t *handle, gfp_t gfp, hca_site_t site)
{
	struct hca_ledger_rec *rec = NULL;
	struct hca_mapping m;
	dma_addr_t addr;
	void *cpu;

	if (!size || !handle) {
		(void)hca_refuse(-EINVAL, "%s: coherent memory at " HCA_SITE " refused: size or handle is 0", dev->name,
				 hca_site(site));
		return NULL;
	}
	if (dev->ledger) {
		rec = hca_ledger_prepare(1);
		if (!rec)
			return NULL;
	}
	cpu = dev->dma_ops ? dev->dma_ops->alloc_coherent(dev, size, &addr, gfp) :
			     dma_alloc_coherent(dev->dma_device, size, &addr, gfp);
	if (!cpu) {
		if (rec)
			hca_ledger_abandon(rec);
		return NULL;
	}
	if (rec) {
		m = (struct hca_mapping){
			.kind = HCA_MAP_COHERENT, .addr = addr, .size = size, .dir = DMA_BIDIRECTIONAL, .list = cpu
		};
		hca_ledger_seg(rec, 0, addr, size);
		hca_ledger_enter(dev->ledger, rec, &m, 1, site);
	}
	*handle = addr;
	return cpu;
}

void ib_dma_free_coherent_at(struct ib_device *dev, size_t size, void *cpu_addr, dma_addr_t handle, hca_site_t site)
{
	struct hca_mapping m = {
		.kind = HCA_MAP_COHERENT, .addr = handle, .size = size, .dir = DMA_BIDIRECTIONAL, .list = cpu_addr
	};

	if (!cpu_addr || judge_end(dev, &m, site))
		return;
	size = (size_t)m.size;
	if (dev->dma_ops)
		dev->dma_ops->free_coherent(dev, size, cpu_addr, handle);
	else
		dma_free_coherent(dev->dma_device, size, cpu_addr, handle);
}

/* The machine's fault record says more where there was a bus. */
static int accessed(const struct ib_device *dev, int err, dma_addr_t addr, size_t len, hca_site_t site)
{
	if (hca_likely(!err))
		return 0;
	return hca_refuse(err, "%s: access to %llu bytes at 0x%llx, by " HCA_SITE ", refused: %s", dev->name,
			  (unsigned long long)len, (unsigned long long)hca_dma_u64(addr), hca_site(site),
			  hca_dma_errno(addr) ? "the address is the error of a map that failed" :
						"not mapped, or not for this; see machine_faults()");
}

int ib_dma_read_at(struct ib_device *dev, dma_addr_t addr, void *dst, size_t len, hca_site_t site)
{
	return accessed(dev, hca_mem_read(dev->mem, addr, dst, len, site), addr, len, site);
}

int ib_dma_write_at(struct ib_device *dev, dma_addr_t addr, const void *src, size_t len, hca_site_t site)
{
	return accessed(dev, hca_mem_write(dev->mem, addr, src, len, site), addr, len, site);
}

int ib_dma_copy_at(struct ib_device *ddev, dma_addr_t dst, struct ib_device *sdev, dma_addr_t src, size_t len,
		   hca_site_t site)
{
	bool at_dst = false;
	int err = hca_mem_copy_for(ddev->mem, dst, site, sdev->mem, src, site, len, &at_dst);

	return accessed(at_dst ? ddev : sdev, err, at_dst ? dst : src, len, site);
}
