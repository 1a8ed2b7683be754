/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What dma_map_*() means on a software adapter: the address of low memory is its
 * virtual one, that of a page without a mapping is a tagged physical one (dma/addr.h).
 * Nothing is allocated and nothing has to be undone, so there is no unmap and no
 * sync. Called by the DMA API alone; any context, but for coherent memory.
 */
#include "glue.h"

#include "dma/check.h"

#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>

#ifndef HCA_HAVE_MAP_PAGE
#error "softhca needs DMA operations for each device, with map_page: CONFIG_DMA_OPS, later CONFIG_ARCH_HAS_DMA_OPS"
#endif

/* A byte of memory is named by its physical address; low memory comes first. */
static int check(u64 phys, size_t size, int dir)
{
	struct hca_dma_space space = { .low = __pa((unsigned long)high_memory - 1) + 1, .all = HCA_TAG_PHYS_MASK + 1 };
	int err = hca_dma_check(&space, phys, size, dir);

	if (err)
		return err;
	return softhca_usable(PHYS_PFN(phys)) && softhca_usable(PHYS_PFN(phys + size - 1)) ? 0 : -EFAULT;
}

static hca_dma_addr_t slow_address(struct device *dev, struct page *page, unsigned long offset, size_t size, int dir)
{
	u64 phys = (u64)page_to_phys(page) + offset;
	int err = check(phys, size, dir);

	if (err)
		return hca_dma_error(err);
	if (sizeof(dma_addr_t) < sizeof(hca_dma_addr_t) && PageHighMem(page))
		return hca_dma_error(-EOPNOTSUPP);
	return hca_soft_map(&softhca_of(dev)->soft, PageHighMem(page) ? NULL : lowmem_page_address(page) + offset,
			    phys);
}

/* Most mappings lie in one page of low memory, and unless it is a device's nothing can be wrong with those. */
static __always_inline hca_dma_addr_t address(struct device *dev, struct page *page, unsigned long offset, size_t size,
					      int dir)
{
	if (likely(!PageHighMem(page) && !is_zone_device_page(page) && size - 1 < PAGE_SIZE &&
		   offset <= PAGE_SIZE - size && (unsigned int)dir < DMA_NONE))
		return hca_addr_from_ptr(lowmem_page_address(page) + offset);
	return slow_address(dev, page, offset, size, dir);
}

dma_addr_t softhca_map_page(struct device *dev, struct page *page, unsigned long offset, size_t size,
			    enum dma_data_direction dir, unsigned long attrs)
{
	hca_dma_addr_t addr = address(dev, page, offset, size, dir);

	/* Of all errors, dma_mapping_error() knows but one. */
	return unlikely(hca_dma_errno(addr)) ? DMA_MAPPING_ERROR : (dma_addr_t)hca_dma_u64(addr);
}

/* Kernels that name their option so call these without looking whether they are there. */
#ifdef CONFIG_ARCH_HAS_DMA_OPS
static void unmap_page(struct device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
		       unsigned long attrs)
{
}

static void unmap_sg(struct device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
		     unsigned long attrs)
{
}
#endif

int softhca_map_sg(struct device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
		   unsigned long attrs)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i) {
		hca_dma_addr_t addr = address(dev, sg_page(sg), sg->offset, sg->length, dir);

		/* What dma_map_sgtable() may return: never worth a retry, or no way for this device. */
		if (unlikely(hca_dma_errno(addr)))
			return hca_dma_errno(addr) == -EOPNOTSUPP ? -EIO : -EINVAL;
		sg->dma_address = (dma_addr_t)hca_dma_u64(addr);
		sg_dma_len(sg) = sg->length;
	}
	return nents;
}

void *softhca_alloc(struct device *dev, size_t size, dma_addr_t *handle, gfp_t gfp, unsigned long attrs)
{
	void *virt = size ? alloc_pages_exact(PAGE_ALIGN(size), gfp | __GFP_ZERO) : NULL;

	if (virt)
		*handle = (dma_addr_t)hca_dma_u64(hca_addr_from_ptr(virt));
	return virt;
}

void softhca_free(struct device *dev, size_t size, void *virt, dma_addr_t handle, unsigned long attrs)
{
	free_pages_exact(virt, PAGE_ALIGN(size));
}

struct page *softhca_alloc_pages(struct device *dev, size_t size, dma_addr_t *handle, enum dma_data_direction dir,
				 gfp_t gfp)
{
	void *virt = softhca_alloc(dev, size, handle, gfp, 0);

	return virt ? virt_to_page(virt) : NULL;
}

void softhca_free_pages(struct device *dev, size_t size, struct page *page, dma_addr_t handle,
			enum dma_data_direction dir)
{
	softhca_free(dev, size, page_address(page), handle, 0);
}

/* Coherent memory is low memory, and any CPU's caches are coherent with ours: a process gets the pages as they are. */
int softhca_mmap(struct device *dev, struct vm_area_struct *vma, void *virt, dma_addr_t handle, size_t size,
		 unsigned long attrs)
{
	unsigned long pages = PAGE_ALIGN(size) >> PAGE_SHIFT, wanted = vma_pages(vma);

	if (vma->vm_pgoff >= pages || wanted > pages - vma->vm_pgoff)
		return -ENXIO;
	return remap_pfn_range(vma, vma->vm_start, page_to_pfn(virt_to_page(virt)) + vma->vm_pgoff,
			       wanted << PAGE_SHIFT, vma->vm_page_prot);
}

int softhca_get_sgtable(struct device *dev, struct sg_table *sgt, void *virt, dma_addr_t handle, size_t size,
			unsigned long attrs)
{
	int err = sg_alloc_table(sgt, 1, GFP_KERNEL);

	if (!err)
		sg_set_page(sgt->sgl, virt_to_page(virt), PAGE_ALIGN(size), 0);
	return err;
}

int softhca_dma_supported(struct device *dev, u64 mask)
{
	return mask >= softhca_required_mask(dev);
}

u64 softhca_required_mask(struct device *dev)
{
	return DMA_BIT_MASK(8 * sizeof(dma_addr_t));
}

const struct dma_map_ops softhca_map_ops = {
	.alloc = softhca_alloc,
	.free = softhca_free,
#ifdef HCA_HAVE_ALLOC_PAGES_OP
	.alloc_pages_op = softhca_alloc_pages,
#else
	.alloc_pages = softhca_alloc_pages,
#endif
	.free_pages = softhca_free_pages,
	.mmap = softhca_mmap,
	.get_sgtable = softhca_get_sgtable,
	.map_page = softhca_map_page,
	.map_sg = softhca_map_sg,
#ifdef CONFIG_ARCH_HAS_DMA_OPS
	.unmap_page = unmap_page,
	.unmap_sg = unmap_sg,
#endif
	.dma_supported = softhca_dma_supported,
	.get_required_mask = softhca_required_mask,
};
