/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Filling and invalidating the IOTLB; see iommu_tlb.h for what an entry is and why
 * it can't be torn. Called with the page table's own locks: none.
 */
#include "iommu_tlb.h"

void iommu_tlb_fill(struct iommu_tlb *tlb, u64 vpn, u64 pte, u32 unit, u64 gen)
{
	struct iommu_tlb_entry *e;
	u64 tag, old;

	if (hca_likely(unit == 1)) {
		e = &tlb->small[vpn % HCA_ARRAY_SIZE(tlb->small)];
		tag = vpn >> TLB_BITS;
	} else {
		e = &tlb->huge[(vpn >> 9) % HCA_ARRAY_SIZE(tlb->huge)];
		tag = vpn >> (9 + TLB_HUGE_BITS);
		pte -= (vpn % HUGE_PAGES) << IOPTE_SHIFT;
	}
	old = hca_load(&e->gen);
	if (hca_unlikely(old == TLB_BUSY) || hca_unlikely(hca_cmpxchg(&e->gen, old, TLB_BUSY) != old))
		return;
	/*
	 * Data of an older generation must not be stored at all: a reader may have found the current one here before
	 * we took the entry, and not have read the data yet. Should the generation change from here on, that reader
	 * is one that the flush waits for.
	 */
	if (hca_unlikely(hca_load_acquire(&tlb->gen) != gen)) {
		hca_store_release(&e->gen, 0);
		return;
	}
	hca_store_release(&e->data, tag << IOPTE_BITS | pte);
	hca_store_release(&e->gen, gen);
}

void iommu_tlb_forget(struct iommu_tlb *tlb, u64 vpn)
{
	struct iommu_tlb_entry *e = &tlb->small[vpn % HCA_ARRAY_SIZE(tlb->small)];
	u64 gen;

	/* An entry that is busy, or changes while we look, is being filled, and so with another page. */
	do {
		gen = hca_load_acquire(&e->gen);
		if (!gen || gen == TLB_BUSY)
			return;
		if (hca_load_acquire(&e->data) >> IOPTE_BITS != vpn >> TLB_BITS)
			return;
	} while (hca_cmpxchg(&e->gen, gen, 0) != gen);
}
