/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a mapped address is on a device whose DMA engine is the CPU.
 *
 * Memory that the CPU has mapped for good is known by its virtual address. A page
 * without a mapping is known by its tagged physical address: the tag in the 12 top
 * bits, pfn << PAGE_SHIFT | offset below. Adding an offset to it gives the tagged
 * address of the byte that far on, so nothing is allocated at map, nothing is
 * looked up at copy, and what upper layers do with addresses goes on working.
 *
 * The tag, 0x4d5, is chosen so that no virtual address has it:
 *   - 32-bit machines have nothing above 2^32;
 *   - with 48 or 57 address bits (x86, arm64, riscv) the top 7 bits are all 0 or all 1: here they are mixed;
 *   - with top bits ignored (arm64 TBI and MTE, x86 LAM) kernel addresses have bit 55 (or 63) set: here both are clear;
 *   - flipping any one bit of it gives neither a tag nor a virtual address, so damage is seen.
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

/** hca_addr_tagged() - the one test that tells a tagged physical address from a virtual one */
static inline bool hca_addr_tagged(hca_dma_addr_t a)
{
	return hca_dma_u64(a) >> HCA_TAG_SHIFT == HCA_TAG;
}

/** hca_tag_phys() - the physical address in a tagged one */
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
 * hca_addr_to_ptr() - the pointer in a DMA address that is a virtual one
 *
 * The only place that turns a DMA address into a pointer. The caller has seen that it isn't tagged
 * and that the bytes lie in memory which may be touched.
 */
static inline void *hca_addr_to_ptr(hca_dma_addr_t a)
{
	return (void *)(uintptr_t)hca_dma_u64(a);
}

#endif
