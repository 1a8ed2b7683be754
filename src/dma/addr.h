/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Mapped addresses of a device that copies with the CPU.
 *
 * The address of memory that is always mapped is its virtual address. The address of a page
 * without a mapping is its tagged physical address: the tag in the 12 top
 * bits, pfn << PAGE_SHIFT | offset below. An address plus an offset is the tagged
 * address of that byte, so a map allocates nothing, a copy looks
 * up nothing, and the address arithmetic of upper layers works.
 *
 * The tag, 0x4d5, is chosen so that no virtual address has it:
 *   - 32-bit machines have no address above 2^32;
 *   - with 48 or 57 address bits (x86, arm64, riscv) the top 7 bits are all 0 or all 1: here they are mixed;
 *   - with top bits ignored (arm64 TBI and MTE, x86 LAM) kernel addresses have bit 55 (or 63) set: here both are clear;
 *   - with any one bit flipped it is neither a tag nor part of a virtual address, so damage is detected.
 * Called by the software devices; never dereferences anything.
 */
#ifndef HCA_DMA_ADDR_H
#define HCA_DMA_ADDR_H

#include "os.h"

#define HCA_PAGE_SHIFT 12
#define HCA_PAGE_SIZE (1ull << HCA_PAGE_SHIFT)

#define HCA_TAG_SHIFT 52
#define HCA_TAG 0x4d5ull
#define HCA_TAG_PHYS_MASK ((1ull << HCA_TAG_SHIFT) - 1)

/** hca_tag_addr() - the DMA address of a byte that has no virtual address; @phys below 2^52 */
static inline hca_dma_addr_t hca_tag_addr(u64 phys)
{
	return hca_dma_addr(HCA_TAG << HCA_TAG_SHIFT | phys);
}

/** hca_addr_tagged() - is it a tagged physical address, and not a virtual one? */
static inline bool hca_addr_tagged(hca_dma_addr_t a)
{
	return hca_dma_u64(a) >> HCA_TAG_SHIFT == HCA_TAG;
}

/** hca_tag_phys() - the physical address in a tagged address */
static inline u64 hca_tag_phys(hca_dma_addr_t a)
{
	return hca_dma_u64(a) & HCA_TAG_PHYS_MASK;
}

/** hca_addr_from_ptr() - the DMA address that is a virtual address */
static inline hca_dma_addr_t hca_addr_from_ptr(const void *p)
{
	return hca_dma_addr((u64)(uintptr_t)p);
}

/**
 * hca_addr_to_ptr() - convert a DMA address that is a virtual address to the pointer
 *
 * Elsewhere only hca_mem_flat() and the drop-in libraries' accessor do so. The caller has checked that it isn't tagged
 * and that the bytes are in memory that may be accessed.
 */
static inline void *hca_addr_to_ptr(hca_dma_addr_t a)
{
	return (void *)(uintptr_t)hca_dma_u64(a);
}

#endif
