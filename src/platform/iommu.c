/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The software IOMMU: a domain of I/O addresses for each device, and what dma_map_*()
 * and dma_unmap_*() mean on it. device.c calls it through platform_iommu. Mapping
 * takes one spin lock, of the thread's own slot; it must never look at what a caller
 * says of a mapping's size or direction when the mapping ends.
 *
 * Strict: when unmap returns, the device can't reach the memory any more. Lazy: unmap
 * clears the page table and no more; a device may reach the memory through the IOTLB
 * until the next flush, and until then the addresses aren't reused. A flush comes
 * when a slot's queue is full, and by a timer IOMMU_LAZY_NS after the unmap at the latest.
 */
#include "iommu.h"

#define IOVA_BASE (1ull << 40)
#define IOVA_END (1ull << (IOVPN_BITS + PAGE_SHIFT))

/* Mappings of more pages than this are invalidated by flushing the IOTLB. */
#define FORGET_MAX 64u

_Static_assert((int)IOPTE_READ == HCA_MEM_READ >> HCA_MEM_OP_SHIFT &&
		       (int)IOPTE_WRITE == HCA_MEM_WRITE >> HCA_MEM_OP_SHIFT,
	       "compared with each other");
_Static_assert(HUGE_PAGES == IOVA_CHUNK && HUGE_SIZE == (u64)HUGE_PAGES << 12, "a chunk is what a leaf covers");

static int iommu_init(struct machine *m, const struct machine_attr *attr)
{
	(void)m;
	(void)attr;
	return 0;
}

static void iommu_fini(struct machine *m)
{
	(void)m;
}

/* --- a device's domain --- */

/* The longest piece of [@from, @end) without the machine's memory, cut to @bytes at its upper end. Return: its first address. */
static u64 clear_of_memory(const struct machine_map *map, u64 from, u64 end, u64 *bytes)
{
	u64 below = HCA_MIN(map->phys, end), above = HCA_MAX(map->phys + map->all_bytes, from);
	u64 low = below > from ? below - from : 0, high = end > above ? end - above : 0;

	/* As far up as possible: small addresses are what confusion with other kinds of addresses looks like. */
	if (high >= HCA_MIN(low, *bytes)) {
		*bytes = HCA_MIN(*bytes, high);
		return end - *bytes;
	}
	*bytes = HCA_MIN(*bytes, low);
	return below - *bytes;
}

/*
 * Where the device's I/O addresses are: no physical address of the machine is one, so that confusing the two is
 * caught. Address 0 and the addresses that stand for errors are out of it in any case.
 */
static u64 place_aperture(const struct machine *m, u64 end, u64 *bytes)
{
	u64 want = *bytes, got = want, base;

	if (end > IOVA_BASE) {
		base = clear_of_memory(&m->map, IOVA_BASE, end, &got);
		if (got == want) {
			*bytes = got;
			/* The lower end is the nicer place where nothing is in the way. */
			if (m->map.phys + m->map.all_bytes <= IOVA_BASE || m->map.phys >= IOVA_BASE + want)
				return IOVA_BASE;
			return base;
		}
	}
	got = want;
	base = clear_of_memory(&m->map, HUGE_SIZE, end, &got);
	if (!got && end > HUGE_SIZE) {
		/* Memory is all that the device can address: better that than nothing. */
		got = HCA_MIN(want, end - HUGE_SIZE);
		base = end - got;
	}
	*bytes = got;
	return base;
}

static void flush_due(void *arg);

static int domain_init(struct iommu_domain *d, struct device *dev)
{
	struct machine *m = dev->machine;
	u64 end, base, bytes = m->aperture;
	u32 i;

	d->dev = dev;
	d->m = m;
	d->lazy = m->lazy;
	d->limit = HCA_MIN(dev->dma_mask, IOVA_END - 1);
	end = (d->limit + 1) / HUGE_SIZE * HUGE_SIZE;
	bytes = HCA_MIN(bytes, (u64)IOVA_MAX_CHUNKS * HUGE_SIZE);
	base = place_aperture(m, end, &bytes);
	bytes = bytes / HUGE_SIZE * HUGE_SIZE;
	if (!bytes)
		return hca_refuse(-EINVAL, "%s: bus device not made: its dma_mask 0x%llx leaves no room for addresses",
				  dev->name, (unsigned long long)dev->dma_mask);
	iommu_tlb_init(&d->tlb);
	for (i = 0; i < HCA_SLOTS; i++)
		hca_spin_init(&d->slot[i].queue_lock);
	if (iommu_table_init(&d->table, base >> PAGE_SHIFT, bytes / HUGE_SIZE))
		return -ENOMEM;
	if (iova_init(&d->iova, base >> PAGE_SHIFT, (u32)(bytes / HUGE_SIZE),
		      (dev->seg_boundary_mask + 1) >> PAGE_SHIFT))
		goto fini_table;
	if (!d->lazy)
		return 0;
	d->queue = hca_alloc(HCA_SLOTS * IOMMU_QUEUE * sizeof(*d->queue), HCA_MAY_SLEEP);
	if (!d->queue)
		goto fini_iova;
	if (hca_timer_init(&d->timer, flush_due, d))
		goto free_queue;
	return 0;
free_queue:
	hca_free(d->queue);
fini_iova:
	iova_fini(&d->iova);
fini_table:
	iommu_table_fini(&d->table);
	return -ENOMEM;
}

int iommu_no_addresses(const struct iommu_domain *d, u64 pages)
{
	bool never = pages > (u64)d->iova.chunks * IOVA_CHUNK;

	return hca_refuse(never ? -EINVAL : -ENOSPC, "%s: map refused: no I/O addresses for %llu pages%s", d->dev->name,
			  (unsigned long long)pages, never ? ": more than the device has" : " are free now");
}

static int iommu_attach(struct device *dev)
{
	struct iommu_domain *d = hca_alloc(sizeof(*d), HCA_MAY_SLEEP);
	int err;

	if (!d)
		return -ENOMEM;
	err = domain_init(d, dev);
	if (err) {
		hca_free(d);
		return err;
	}
	dev->platform = d;
	return 0;
}

static void iommu_detach(struct device *dev)
{
	struct iommu_domain *d = dev->platform;

	/* The timer may be flushing just now. */
	if (d->lazy)
		hca_timer_destroy(&d->timer);
	dev->platform = NULL;
	iommu_table_fini(&d->table);
	iova_fini(&d->iova);
	hca_free(d->queue);
	hca_free(d);
}

/* --- invalidation --- */

/* Nothing that was cleared before this is in use by the device, or can be found, when it returns. */
static void flush_all(struct iommu_domain *d, struct iommu_slot *s)
{
	iommu_count(&s->flushes, 1);
	iommu_tlb_flush(&d->tlb);
	iommu_wait(d);
}

/*
 * The same for a mapping whose entries the caller has cleared, a full barrier behind it. Reads only, where neither
 * windows are open nor the IOTLB has the pages: so threads that unmap different things share no line that is written.
 *
 * First wait: every thread that may have read an entry from the page table has left, so no old entry enters the IOTLB any more.
 * Then invalidate: no entry of the IOTLB has the pages from here on. Second wait: every thread that found one there has left.
 */
static void invalidate(struct iommu_domain *d, struct iommu_slot *s, u64 vpn, u64 pages)
{
	u64 i;

	iommu_count(&s->invalidations, 1);
	iommu_wait(d);
	for (i = 0; i < pages; i++)
		iommu_tlb_forget(&d->tlb, vpn + i);
	hca_mb();
	iommu_wait(d);
}

/* The queue's lock is held: a window's owner never needs it, so waiting under it ends. */
static void queue_flush(struct iommu_domain *d, unsigned int slot)
{
	struct iommu_slot *s = &d->slot[slot];

	hca_spin_assert(&s->queue_lock);
	if (!s->queued)
		return;
	flush_all(d, s);
	iova_free_many(&d->iova, slot, &d->queue[slot * IOMMU_QUEUE], s->queued);
	hca_store(&s->queued, 0);
}

static void queue_push(struct iommu_domain *d, unsigned int slot, u64 vpn, u64 pages)
{
	struct iommu_slot *s = &d->slot[slot];
	struct iova_range *r;
	hca_irqflags_t flags;

	hca_spin_lock(&s->queue_lock, flags);
	if (hca_unlikely(s->queued == IOMMU_QUEUE))
		queue_flush(d, slot);
	r = &d->queue[slot * IOMMU_QUEUE + s->queued];
	r->page = iova_relative(&d->iova, vpn);
	r->pages = (u32)pages;
	hca_store(&s->queued, s->queued + 1);
	hca_spin_unlock(&s->queue_lock, flags);
	/* The timer's callback takes this lock after it has cleared the word: it has found our entry, or we find it cleared. */
	if (hca_unlikely(!hca_load(&d->timer_on)) && !hca_cmpxchg(&d->timer_on, 0, 1))
		hca_timer_start(&d->timer, hca_now_ns() + IOMMU_LAZY_NS);
}

static void flush_queues(struct iommu_domain *d)
{
	hca_irqflags_t flags;
	u32 i;

	for (i = 0; d->lazy && i < HCA_SLOTS; i++) {
		hca_spin_lock(&d->slot[i].queue_lock, flags);
		queue_flush(d, i);
		hca_spin_unlock(&d->slot[i].queue_lock, flags);
	}
}

static void iommu_flush(struct device *dev)
{
	flush_queues(dev->platform);
}

static void flush_due(void *arg)
{
	struct iommu_domain *d = arg;

	hca_store(&d->timer_on, 0);
	flush_queues(d);
}

/* --- mapping --- */

u64 iommu_addresses(struct iommu_domain *d, unsigned int slot, u64 pages, bool bounded, u32 lead)
{
	u64 vpn = iova_alloc(&d->iova, slot, pages, bounded, lead);
	int i;

	/* More than once: what was drained may have gone to others, and what they gave back meanwhile is kept aside again. */
	for (i = 0; i < 3 && hca_unlikely(vpn == IOVA_NONE); i++) {
		flush_queues(d);
		iova_drain(&d->iova);
		vpn = iova_alloc(&d->iova, slot, pages, bounded, lead);
	}
	return vpn;
}

/* Pages that the address must lie past a 2 MiB boundary for leaves of that size to fit; 0 where none would. */
static u32 huge_lead(u64 apn, u64 pages)
{
	u32 lead = (u32)(apn % HUGE_PAGES);

	return pages >= HUGE_PAGES && lead + pages >= 2 * HUGE_PAGES ? lead : 0;
}

static hca_dma_addr_t map_range(struct iommu_domain *d, u64 off, u64 size, u32 bits)
{
	u64 apn = off >> PAGE_SHIFT, pages = iommu_pages(off, size), vpn = IOVA_NONE;
	unsigned int slot = hca_slot();
	u32 lead = huge_lead(apn, pages);
	iopte_t *e;

	if (hca_unlikely(lead))
		vpn = iova_alloc(&d->iova, slot, pages, false, lead);
	if (hca_likely(vpn == IOVA_NONE))
		vpn = iommu_addresses(d, slot, pages, false, 0);
	if (hca_unlikely(vpn == IOVA_NONE))
		return hca_dma_error(iommu_no_addresses(d, pages));
	if (hca_likely(pages == 1)) {
		e = iommu_table_page(&d->table, vpn);
		if (hca_likely(e)) {
			hca_store_release(e, apn << IOPTE_SHIFT | bits | IOPTE_FIRST | IOPTE_LAST);
			return hca_dma_addr((vpn << PAGE_SHIFT) + off % PAGE_SIZE);
		}
	}
	if (hca_unlikely(iommu_table_prepare(&d->table, vpn, apn, pages))) {
		iova_free(&d->iova, slot, vpn, pages);
		return hca_dma_error(-ENOMEM);
	}
	iommu_table_fill(&d->table, vpn, apn, pages, bits | IOPTE_FIRST | IOPTE_LAST);
	return hca_dma_addr((vpn << PAGE_SHIFT) + off % PAGE_SIZE);
}

static hca_dma_addr_t iommu_map(struct device *dev, u64 off, u64 size, int dir, unsigned long attrs)
{
	(void)attrs;
	return map_range(dev->platform, off, size, iommu_access_bits(dir));
}

/* What needs no search and no new table: a page, from the slot's magazine. All other mappings go the long way. */
static hca_dma_addr_t iommu_map_one(struct device *dev, u64 off, u64 size, int dir, unsigned long attrs)
{
	struct iommu_domain *d = dev->platform;
	unsigned int slot = hca_slot();
	iopte_t *e;
	u64 vpn;

	if (hca_unlikely(off % PAGE_SIZE + size > PAGE_SIZE))
		return platform_map_counted(dev, off, size, dir, attrs);
	vpn = iova_alloc_page(&d->iova, slot);
	if (hca_unlikely(vpn == IOVA_NONE))
		return platform_map_counted(dev, off, size, dir, attrs);
	e = iommu_table_page(&d->table, vpn);
	if (hca_unlikely(!e)) {
		iova_free(&d->iova, slot, vpn, 1);
		return platform_map_counted(dev, off, size, dir, attrs);
	}
	hca_store_release(e, off >> PAGE_SHIFT << IOPTE_SHIFT | iommu_access_bits(dir) | IOPTE_FIRST | IOPTE_LAST);
	platform_count(&platform_counts(dev, slot)->maps);
	return hca_dma_addr((vpn << PAGE_SHIFT) + off % PAGE_SIZE);
}

u64 iommu_end(struct iommu_domain *d, u64 addr, u32 coherent)
{
	u64 vpn = addr >> PAGE_SHIFT, pages = 1, value;
	unsigned int slot = hca_slot();
	bool huge = false;
	iopte_t *e = iommu_table_first(&d->table, vpn, &value, &huge);

	/* Of two that end the same mapping, the exchange lets one through. */
	if (!e || (value & IOPTE_COHERENT) != coherent || hca_cmpxchg(e, value, 0) != value)
		return 0;
	if (hca_unlikely(huge))
		pages = HUGE_PAGES;
	if (hca_unlikely(!(value & IOPTE_LAST))) {
		pages = iommu_table_clear_rest(&d->table, vpn, (u32)pages, &huge);
		hca_mb();
	}
	if (d->lazy) {
		queue_push(d, slot, vpn, pages);
		return pages;
	}
	if (hca_likely(!huge && pages <= FORGET_MAX))
		invalidate(d, &d->slot[slot], vpn, pages);
	else
		flush_all(d, &d->slot[slot]);
	iova_free(&d->iova, slot, vpn, pages);
	return pages;
}

static int iommu_unmap(struct device *dev, hca_dma_addr_t addr, u64 size, int dir, unsigned long attrs)
{
	(void)size;
	(void)dir;
	(void)attrs;
	return iommu_end(dev->platform, hca_dma_u64(addr), 0) ? 0 : -ENOENT;
}

/* The other half of iommu_map_one(): a mapping of one page, by whatever call it was made. */
static int iommu_unmap_one(struct device *dev, hca_dma_addr_t addr, u64 size, int dir, unsigned long attrs)
{
	const u64 bits = IOPTE_FIRST | IOPTE_LAST | IOPTE_COHERENT;
	struct iommu_domain *d = dev->platform;
	u64 vpn = hca_dma_u64(addr) >> PAGE_SHIFT, value;
	iopte_t *e = iommu_table_page(&d->table, vpn);
	unsigned int slot = hca_slot();

	if (hca_unlikely(!e))
		return platform_unmap_counted(dev, addr, size, dir, attrs);
	value = hca_load_acquire(e);
	if (hca_unlikely((value & bits) != (IOPTE_FIRST | IOPTE_LAST) || hca_cmpxchg(e, value, 0) != value))
		return platform_unmap_counted(dev, addr, size, dir, attrs);
	platform_count(&platform_counts(dev, slot)->unmaps);
	if (d->lazy) {
		queue_push(d, slot, vpn, 1);
		return 0;
	}
	invalidate(d, &d->slot[slot], vpn, 1);
	if (hca_unlikely(!iova_free_page(&d->iova, slot, vpn)))
		iova_free(&d->iova, slot, vpn, 1);
	return 0;
}

static int iommu_sync(struct device *dev, hca_dma_addr_t addr, u64 size, int dir, bool for_cpu)
{
	struct iommu_domain *d = dev->platform;
	u64 a = hca_dma_u64(addr), vpn = a >> PAGE_SHIFT, last;
	u32 unit;

	(void)dir;
	(void)for_cpu;
	if (a > d->limit || size > d->limit + 1 - a)
		return -ENOENT; /* the sync says why */
	for (last = (a + (size ? size - 1 : 0)) >> PAGE_SHIFT; vpn <= last; vpn += unit - (vpn & (unit - 1)))
		if (!iommu_table_walk(&d->table, vpn, &unit))
			return -ENOENT; /* the sync says why */
	return 0;
}

/* --- coherent memory --- */

static unsigned int alloc_order(u64 pages)
{
	return pages <= 1 ? 0 : 64 - (unsigned int)__builtin_clzll(pages - 1);
}

static int iommu_alloc(struct device *dev, u64 size, gfp_t gfp, void **cpu, hca_dma_addr_t *handle)
{
	u64 pages = iommu_pages(0, size);
	hca_dma_addr_t addr;
	struct page *page;
	unsigned int order;

	if (!size || size > PAGE_SIZE << MACHINE_MAX_ORDER)
		return size ? -ENOMEM : -EINVAL;
	order = alloc_order(pages);
	page = machine_alloc_pages(dev->machine, (gfp & ~__GFP_HIGHMEM) | __GFP_ZERO, order);
	if (!page)
		return -ENOMEM;
	addr = map_range(dev->platform, page_index(page) << PAGE_SHIFT, pages << PAGE_SHIFT,
			 IOPTE_ACCESS | IOPTE_COHERENT);
	if (hca_dma_errno(addr)) {
		__free_pages(page, order);
		return hca_dma_errno(addr);
	}
	*cpu = page_address(page);
	*handle = addr;
	return 0;
}

/* The pages' number follows from the mapping, as for an unmap; @size is what the caller claims. */
static int iommu_free(struct device *dev, u64 size, void *cpu, hca_dma_addr_t handle)
{
	struct iommu_domain *d = dev->platform;
	u64 a = hca_dma_u64(handle), value, pages;
	struct page *page;
	bool huge;

	(void)size;
	if (a % PAGE_SIZE || !iommu_table_first(&d->table, a >> PAGE_SHIFT, &value, &huge))
		return -ENOENT; /* dma_free_coherent() says why */
	if (!(value & IOPTE_COHERENT) || value >> IOPTE_SHIFT << PAGE_SHIFT != machine_ptr_offset(d->m, cpu))
		return -ENOENT; /* dma_free_coherent() says why */
	page = page_from_offset(d->m, value >> IOPTE_SHIFT << PAGE_SHIFT);
	pages = iommu_end(d, a, IOPTE_COHERENT);
	if (!pages)
		return -ENOENT; /* dma_free_coherent() says why */
	/* Put off, the device could write into memory that is somebody else's by then. */
	if (d->lazy)
		iommu_flush(dev);
	__free_pages(page, alloc_order(pages));
	return 0;
}

/* --- figures --- */

static void iommu_stats(struct device *dev, struct device_stats *st)
{
	struct iommu_domain *d = dev->platform;
	u32 i;

	for (i = 0; i < HCA_SLOTS; i++) {
		st->iotlb_hits += hca_load(&d->slot[i].hits);
		st->iotlb_misses += hca_load(&d->slot[i].misses);
		st->iotlb_invalidations += hca_load(&d->slot[i].invalidations);
		st->iotlb_flushes += hca_load(&d->slot[i].flushes);
		st->lazy_pending += hca_load(&d->slot[i].queued);
	}
	st->iova_pages += iova_used(&d->iova);
}

/* Wherever in its first page the mapping begins. */
static u64 iommu_max_mapping(struct device *dev)
{
	struct iommu_domain *d = dev->platform;

	return ((u64)d->iova.chunks * HUGE_SIZE) - PAGE_SIZE;
}

const struct platform_ops platform_iommu = {
	.name = "iommu",
	.init = iommu_init,
	.fini = iommu_fini,
	.attach = iommu_attach,
	.detach = iommu_detach,
	.map = iommu_map,
	.unmap = iommu_unmap,
	.map_one = iommu_map_one,
	.unmap_one = iommu_unmap_one,
	.map_list = iommu_map_list,
	.unmap_list = iommu_unmap_list,
	.sync = iommu_sync,
	.alloc = iommu_alloc,
	.free = iommu_free,
	.open = iommu_open,
	.close = iommu_close,
	.origin = iommu_origin,
	.flush = iommu_flush,
	.stats = iommu_stats,
	.max_mapping = iommu_max_mapping,
};
