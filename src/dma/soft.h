/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The software adapter's side of the mapping layer: the addresses of its maps, and
 * its accessor, by which the CPU accesses the memory at a virtual or tagged address.
 * Used by the ipath driver in the library and by the module in a kernel.
 */
#ifndef HCA_DMA_SOFT_H
#define HCA_DMA_SOFT_H

#include "dma/addr.h"
#include "dma/mem.h"

/** enum hca_soft_highmem - how the device treats a page without a mapping */
enum hca_soft_highmem {
	HCA_SOFT_TAGGED, /* its address is a tagged physical address */
	HCA_SOFT_REFUSE, /* the map fails */
};

/**
 * struct hca_soft_ops - the calls of the machine that the accessor needs
 * @virt: where the adapter accesses @len bytes at the virtual address @addr; NULL if they aren't all mapped memory
 * @kmap: map the page @pfn for this thread for a short time; NULL: no such page (*@err = -EFAULT) or no room (-ENOMEM)
 * @kunmap: unmap a page of @kmap, last mapped first
 */
struct hca_soft_ops {
	void *(*virt)(void *ctx, u64 addr, u64 len);
	void *(*kmap)(void *ctx, u64 pfn, int *err);
	void (*kunmap)(void *ctx, void *at);
};

/** struct hca_soft - a software device's accessor; the driver embeds it and passes &soft->mem to the engine */
struct hca_soft {
	struct hca_mem mem;
	const struct hca_soft_ops *ops;
	void *ctx;
	enum hca_soft_highmem highmem;
};

/** hca_soft_init() - an accessor over @ops; @ctx is passed to its calls */
void hca_soft_init(struct hca_soft *soft, const struct hca_soft_ops *ops, void *ctx, enum hca_soft_highmem highmem);

/**
 * hca_soft_map() - the DMA address of a byte
 * @virt: its virtual address, or NULL if it has none
 * @phys: its physical address
 *
 * Return: an address, or hca_dma_error(-EOPNOTSUPP) for a byte without a virtual address on a device
 * made to refuse such pages, hca_dma_error(-EFAULT) for a physical address that a tag can't carry.
 * Allocates nothing, so there is nothing to undo.
 */
static inline hca_dma_addr_t hca_soft_map(const struct hca_soft *soft, const void *virt, u64 phys)
{
	if (hca_likely(virt))
		return hca_addr_from_ptr(virt);
	if (soft->highmem == HCA_SOFT_REFUSE)
		return hca_dma_error(
			hca_refuse(-EOPNOTSUPP, "map refused: high memory, which this device doesn't map"));
	if (phys & ~HCA_TAG_PHYS_MASK)
		return hca_dma_error(hca_refuse(-EFAULT, "map refused: no tag carries the physical address 0x%llx",
						(unsigned long long)phys));
	return hca_tag_addr(phys);
}

#endif
