/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The IOTLB of a domain: a direct-mapped cache of the page table, read and filled
 * by several threads without a lock. iommu_access.c looks up and fills, iommu.c
 * invalidates. It must never make an entry valid that was read from the page table
 * before an invalidation which has already happened.
 *
 * An entry is valid if its generation is the domain's. Its data word names its own
 * page, so that page and memory can't be torn apart. A filler holds the entry
 * (TLB_BUSY) while it replaces the data, and then stores only what is current: so
 * data that is read after a generation is never of an older one.
 */
#ifndef IOMMU_TLB_H
#define IOMMU_TLB_H

#include "iommu_table.h"

#define TLB_BITS 10
#define TLB_HUGE_BITS 6
#define TLB_BUSY (~0ull)

struct iommu_tlb_entry {
	iopte_t gen; /* 0: never valid; TLB_BUSY: being filled */
	iopte_t data; /* an IOPTE below, from IOPTE_BITS up the page number's bits above the index */
};

/* struct iommu_tlb - @gen begins at 1 and only grows; pages under 2 MiB leaves share one entry of @huge */
struct iommu_tlb {
	iopte_t gen HCA_ALIGNED(2 * HCA_CACHE_LINE);
	struct iommu_tlb_entry small[1u << TLB_BITS] HCA_ALIGNED(2 * HCA_CACHE_LINE);
	struct iommu_tlb_entry huge[1u << TLB_HUGE_BITS];
};

/** iommu_tlb_init() - of zeroed memory */
static inline void iommu_tlb_init(struct iommu_tlb *tlb)
{
	hca_store(&tlb->gen, 1);
}

/** iommu_tlb_gen() - to be read before the walk whose result is to be filled in */
static inline u64 iommu_tlb_gen(const struct iommu_tlb *tlb)
{
	return hca_load_acquire(&tlb->gen);
}

/* What an entry of @e's set has for @tag; 0 for nothing. */
static inline u64 iommu_tlb_probe(const struct iommu_tlb_entry *e, u64 tag, u64 gen)
{
	u64 data;

	if (hca_load_acquire(&e->gen) != gen)
		return 0;
	data = hca_load_acquire(&e->data);
	if (data >> IOPTE_BITS != tag)
		return 0;
	return data & ((1ull << IOPTE_BITS) - 1);
}

/** iommu_tlb_lookup() - the entry of a page as iommu_table_walk() would give it; 0 for a miss. @unit: as there. */
static inline u64 iommu_tlb_lookup(const struct iommu_tlb *tlb, u64 vpn, u64 gen, u32 *unit)
{
	u64 data = iommu_tlb_probe(&tlb->small[vpn % HCA_ARRAY_SIZE(tlb->small)], vpn >> TLB_BITS, gen);

	*unit = 1;
	if (hca_likely(data))
		return data;
	*unit = HUGE_PAGES;
	data = iommu_tlb_probe(&tlb->huge[(vpn >> 9) % HCA_ARRAY_SIZE(tlb->huge)], vpn >> (9 + TLB_HUGE_BITS), gen);
	return data ? data + ((vpn % HUGE_PAGES) << IOPTE_SHIFT) : 0;
}

/**
 * iommu_tlb_fill() - remember what a walk found
 * @pte: the walk's answer, not 0
 * @unit: the walk's
 * @gen: iommu_tlb_gen() of before the walk
 *
 * May do nothing. The caller is announced as being inside, see iommu.h: strict invalidation relies on it.
 */
void iommu_tlb_fill(struct iommu_tlb *tlb, u64 vpn, u64 pte, u32 unit, u64 gen);

/**
 * iommu_tlb_forget() - no entry has this page when it returns
 *
 * The page has no 2 MiB leaf, and no fill of it can be under way: those who may have read its old
 * entry from the table have left.
 */
void iommu_tlb_forget(struct iommu_tlb *tlb, u64 vpn);

/** iommu_tlb_flush() - everything that was read from the table before is invalid; a full barrier */
static inline void iommu_tlb_flush(struct iommu_tlb *tlb)
{
	hca_fetch_add(&tlb->gen, 1);
}

#endif
