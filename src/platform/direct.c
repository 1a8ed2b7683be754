/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The direct platform: a bus address is the physical one plus a constant that isn't
 * 0, so that taking the one for the other is noticed. Nothing is kept for a mapping,
 * so an unmap can be judged by its address alone. Called through struct platform_ops.
 */
#include "linear.h"

static int direct_init(struct machine *m, const struct machine_attr *attr)
{
	(void)m;
	(void)attr;
	return 0;
}

static void direct_fini(struct machine *m)
{
	(void)m;
}

static int direct_attach(struct device *dev)
{
	(void)dev;
	return 0;
}

static void direct_detach(struct device *dev)
{
	(void)dev;
}

/* Apart, so that a map which is right keeps nothing for it. */
static __attribute__((noinline)) HCA_COLD hca_dma_addr_t beyond_mask(const struct device *dev)
{
	return hca_dma_error(hca_refuse(-EIO, "%s: map refused: the memory is beyond its dma_mask, 0x%llx", dev->name,
					(unsigned long long)dev->dma_mask));
}

static hca_dma_addr_t direct_map(struct device *dev, u64 off, u64 size, int dir, unsigned long attrs)
{
	(void)dir;
	(void)attrs;
	if (hca_unlikely(!linear_reaches(dev, off, size)))
		return beyond_mask(dev);
	return linear_bus(dev->machine, off);
}

static int direct_unmap(struct device *dev, hca_dma_addr_t addr, u64 size, int dir, unsigned long attrs)
{
	(void)dir;
	(void)attrs;
	return linear_range(dev->machine, addr, size) ? 0 : -ENOENT;
}

static int direct_sync(struct device *dev, hca_dma_addr_t addr, u64 size, int dir, bool for_cpu)
{
	(void)dir;
	(void)for_cpu;
	return linear_range(dev->machine, addr, size) ? 0 : -ENOENT;
}

int linear_alloc(struct device *dev, u64 size, gfp_t gfp, void **cpu, hca_dma_addr_t *handle)
{
	unsigned int order = page_order(size);
	struct page *page = page_alloc_below(dev->machine, gfp | __GFP_ZERO, order, dev->dma_mask);
	u64 off;

	if (!page)
		return linear_reaches(dev, dev->machine->reserved, PAGE_SIZE) ? -ENOMEM : -EIO;
	off = machine_page_offset(dev->machine, page, 0);
	if (!linear_reaches(dev, off, size)) {
		__free_pages(page, order);
		return -EIO; /* dma_alloc_coherent() says why */
	}
	*cpu = machine_offset_virt(dev->machine, off);
	*handle = linear_bus(dev->machine, off);
	return 0;
}

int linear_free(struct device *dev, u64 size, void *cpu, hca_dma_addr_t handle)
{
	u64 off = machine_ptr_offset(dev->machine, cpu);

	if (off == NO_MEMORY_HERE || off & (PAGE_SIZE - 1) || linear_offset(dev->machine, handle) != off)
		return -ENOENT; /* dma_free_coherent() says why */
	return page_free_block(page_from_offset(dev->machine, off), page_order(size)) ? -ENOENT : 0;
}

int linear_open(struct device *dev, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w)
{
	const struct machine *m = dev->machine;
	u64 off = linear_offset(m, addr);
	u64 bus = hca_dma_u64(addr);

	if (hca_unlikely(!len))
		return -EINVAL; /* no device asks for no bytes, and nothing says why */
	if (hca_unlikely(bus > dev->dma_mask))
		return fault_record(dev, addr, access, FAULT_BEYOND_MASK);
	if (hca_unlikely(off == NO_MEMORY_HERE))
		return fault_record(dev, addr, access, FAULT_NO_MEMORY);
	/* What the device can't reach beyond these bytes is refused when it gets there. */
	len = HCA_MIN(len, m->map.all_bytes - off);
	if (dev->dma_mask - bus < len - 1)
		len = dev->dma_mask - bus + 1;
	w->ptr = machine_bus_ptr(m, off);
	w->len = len;
	w->cookie = 0;
	return 0;
}

void linear_close(struct device *dev, struct hca_mem_view *w)
{
	(void)dev;
	(void)w;
}

u64 linear_origin(struct device *dev, hca_dma_addr_t addr, u64 *len)
{
	u64 off = linear_offset(dev->machine, addr);

	if (off != NO_MEMORY_HERE)
		*len = HCA_MIN(*len, dev->machine->map.all_bytes - off);
	return off;
}

void linear_flush(struct device *dev)
{
	(void)dev;
}

static void direct_stats(struct device *dev, struct device_stats *st)
{
	(void)dev;
	(void)st;
}

static u64 direct_max_mapping(struct device *dev)
{
	return dev->machine->map.all_bytes;
}

const struct platform_ops platform_direct = {
	.name = "direct",
	.init = direct_init,
	.fini = direct_fini,
	.attach = direct_attach,
	.detach = direct_detach,
	.map = direct_map,
	.unmap = direct_unmap,
	.map_one = platform_map_counted,
	.unmap_one = platform_unmap_counted,
	.map_list = list_map_each,
	.unmap_list = list_unmap_each,
	.sync = direct_sync,
	.alloc = linear_alloc,
	.free = linear_free,
	.open = linear_open,
	.close = linear_close,
	.origin = linear_origin,
	.flush = linear_flush,
	.stats = direct_stats,
	.max_mapping = direct_max_mapping,
};
