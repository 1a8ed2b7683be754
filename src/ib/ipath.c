/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ipath: the adapter whose DMA engine is the CPU. Its addresses are virtual ones;
 * those of pages without a mapping are tagged physical ones, or refused if it was
 * made so. Nothing is stored in a scatterlist, nothing is kept for a mapping.
 */
#include "dma/soft.h"
#include "ib_private.h"

struct ipath {
	struct ib_device ib;
	struct hca_soft soft;
};

static struct ipath *to_ipath(struct ib_device *dev)
{
	return hca_container_of(dev, struct ipath, ib);
}

/* The adapter's own view of memory is used where the CPU's is guarded: the adapter may write what the CPU may not. */
static void *cpu_virt(void *ctx, u64 addr, u64 len)
{
	const struct machine *m = ctx;
	u64 off = addr - m->map.virt;

	if (hca_unlikely(!hca_dma_in_range(off, len, m->map.low_bytes)))
		return NULL;
	return hca_unlikely(m->guard) ? machine_bus_ptr(m, off) : machine_offset_virt(m, off);
}

static void *cpu_kmap(void *ctx, u64 pfn, int *err)
{
	struct machine *m = ctx;
	u64 off = (pfn << PAGE_SHIFT) - m->map.phys;
	void *at;

	*err = -EFAULT;
	if (off >= m->map.all_bytes)
		return NULL;
	*err = -ENOMEM;
	at = kmap_offset(m, off);
	return at;
}

static void cpu_kunmap(void *ctx, void *at)
{
	(void)ctx;
	kunmap_local(at);
}

static const struct hca_soft_ops cpu_ops = {
	.virt = cpu_virt,
	.kmap = cpu_kmap,
	.kunmap = cpu_kunmap,
};

static dma_addr_t ipath_map_single(struct ib_device *dev, void *ptr, size_t size, enum dma_data_direction dir,
				   unsigned long attrs)
{
	(void)dev;
	(void)size;
	(void)dir;
	(void)attrs;
	return hca_addr_from_ptr(ptr);
}

/* The range is all in low memory or all in high memory, so its first byte speaks for it. */
static dma_addr_t ipath_address(struct ib_device *dev, const struct page *page, u64 offset)
{
	struct machine *m = ib_machine(dev);
	u64 off = machine_page_offset(m, page, offset);

	if (hca_unlikely(off >= m->map.all_bytes))
		return hca_dma_error(platform_refuse_map(m, dev->name, off, 1, DMA_TO_DEVICE, NULL));
	return hca_soft_map(&to_ipath(dev)->soft, machine_offset_virt(m, off), m->map.phys + off);
}

static dma_addr_t ipath_map_page(struct ib_device *dev, struct page *page, unsigned long offset, size_t size,
				 enum dma_data_direction dir, unsigned long attrs)
{
	(void)size;
	(void)dir;
	(void)attrs;
	return ipath_address(dev, page, offset);
}

static void ipath_unmap(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
			unsigned long attrs)
{
	(void)dev;
	(void)addr;
	(void)size;
	(void)dir;
	(void)attrs;
}

/* Entries of less than so many pages need no look at where each of them ends, unless they begin in the last so many. */
#define PLAIN_PAGES 17u

/*
 * struct plain - a look at a list, as far as it has come
 * @limit: pages of low memory, without the last PLAIN_PAGES
 * @said: what the entries say, or-ed together for one verdict: offset below, and length less 1 in the upper half
 */
struct plain {
	uintptr_t pages;
	uintptr_t limit;
	u64 said;
};

/*
 * Does an entry begin below the limit, and does another follow it in place? A page's number turned right by a struct
 * page's size is too large for a page of elsewhere, a pointer into a struct page, a chain link and the end mark alike.
 */
static inline bool begins_plain(const struct plain *p, uintptr_t link)
{
	uintptr_t at = link - p->pages;

	return hca_likely((at >> STRUCT_PAGE_SHIFT | at << (8 * sizeof(at) - STRUCT_PAGE_SHIFT)) < p->limit);
}

/* Offset and length become one load where they are neighbours. */
static inline u64 says(const struct scatterlist *sg)
{
	return ((u64)sg->length << 32 | sg->offset) - (1ull << 32);
}

/* Entries that lie one after the other; *@left are wanted. Return: where it ended. */
static const struct scatterlist *plain_run(struct plain *p, const struct scatterlist *sg, int *left)
{
	struct plain q = *p;
	int n = *left;

	/* Only an entry that begins plain says that the next one is there. Four at once are faster than four times one. */
	for (; n >= 4 && begins_plain(&q, sg_link(sg)) && begins_plain(&q, sg_link(sg + 1)) &&
	       begins_plain(&q, sg_link(sg + 2)) && begins_plain(&q, sg_link(sg + 3));
	     n -= 4, sg += 4) {
		q.said |= says(sg) | says(sg + 1) | says(sg + 2) | says(sg + 3);
	}
	for (; n && begins_plain(&q, sg_link(sg)); n--, sg++)
		q.said |= says(sg);
	*p = q;
	*left = n;
	return sg;
}

/*
 * The first look at a list that must be looked at: is every entry beyond doubt? list_check() says what is wrong with
 * a list of which this isn't sure, if anything is.
 */
static bool all_plain(const struct ib_device *dev, const struct scatterlist *sg, int nents)
{
	struct plain p = { .pages = dev->pages, .limit = (dev->sg_inline >> STRUCT_PAGE_SHIFT) - PLAIN_PAGES };
	int left = nents - 1, before;

	for (;;) {
		before = left;
		sg = plain_run(&p, sg, &left);
		if (left != before && sg_is_chain(sg))
			sg = sg_chain_ptr(sg);
		else if (left)
			return false;
		if (!left)
			break;
	}
	/* No entry follows the last one, and it may say so. */
	if (!begins_plain(&p, sg_link(sg) & ~SG_END))
		return false;
	p.said |= says(sg);
	return (u32)p.said < PAGE_SIZE && p.said >> 32 < (PLAIN_PAGES - 1) * PAGE_SIZE;
}

static int ipath_map_sg(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
			unsigned long attrs)
{
	int err;

	(void)attrs;
	if (to_ipath(dev)->soft.highmem == HCA_SOFT_TAGGED)
		return nents;
	if (hca_likely(all_plain(dev, sgl, nents)))
		return nents;
	err = list_check(ib_machine(dev), sgl, nents, (int)dir, 0, true, NULL);
	return err ? err : nents;
}

static void ipath_unmap_sg(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
			   unsigned long attrs)
{
	(void)dev;
	(void)sgl;
	(void)nents;
	(void)dir;
	(void)attrs;
}

static dma_addr_t ipath_sg_dma_address(struct ib_device *dev, struct scatterlist *sg)
{
	return ipath_address(dev, sg_page(sg), sg->offset);
}

static unsigned int ipath_sg_dma_len(struct ib_device *dev, struct scatterlist *sg)
{
	(void)dev;
	return sg->length;
}

static const struct ib_dma_ops ipath_dma_ops = {
	.map_single = ipath_map_single,
	.unmap_single = ipath_unmap,
	.map_page = ipath_map_page,
	.unmap_page = ipath_unmap,
	.map_sg = ipath_map_sg,
	.unmap_sg = ipath_unmap_sg,
	.sg_dma_address = ipath_sg_dma_address,
	.sg_dma_len = ipath_sg_dma_len,
};

int ipath_create(struct device *dma_device, const char *name, enum ipath_highmem highmem,
		 const struct ib_dma_config *config, struct ib_device **out)
{
	bool refuse = highmem == IPATH_HIGHMEM_REFUSE;
	const struct machine_map *map;
	struct ipath *ip;
	int err;

	if (!dma_device || !out || (highmem != IPATH_HIGHMEM_TAGGED && highmem != IPATH_HIGHMEM_REFUSE))
		return hca_refuse(-EINVAL, "ipath not made: %s",
				  !dma_device ? "dma_device is NULL" :
				  !out	      ? "out is NULL" :
						"no such way to treat high memory");
	ip = ib_alloc_device(sizeof(*ip));
	if (!ip)
		return -ENOMEM;
	map = &dma_device->machine->map;
	hca_soft_init(&ip->soft, &cpu_ops, dma_device->machine, refuse ? HCA_SOFT_REFUSE : HCA_SOFT_TAGGED);
	ip->ib.dma_ops = &ipath_dma_ops;
	ip->ib.style = refuse ? IB_DMA_VIRT_LOW_ONLY : IB_DMA_VIRT;
	ip->ib.mem = &ip->soft.mem;
	ip->soft.mem.flat = map->virt;
	ip->soft.mem.flat_len = map->low_bytes;
	ip->soft.mem.flat_ptr = cpu_virt(dma_device->machine, map->virt, 1);
	err = ib_register_device(&ip->ib, name, dma_device, config);
	if (err) {
		hca_free(ip);
		return err;
	}
	*out = &ip->ib;
	return 0;
}

u64 ipath_destroy(struct ib_device *dev)
{
	u64 leaked;

	if (!dev)
		return 0;
	leaked = ib_unregister_device(dev);
	hca_free(to_ipath(dev));
	return leaked;
}
