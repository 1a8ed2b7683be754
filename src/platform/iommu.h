/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A device's domain under the software IOMMU: what iommu.c (mapping), iommu_list.c
 * (lists) and iommu_access.c (the device's side) share. No other file includes it.
 *
 * Lock order: a slot's queue_lock, then iova.h's. No lock is held when a device
 * access is waited for but queue_lock, which no access takes.
 */
#ifndef IOMMU_H
#define IOMMU_H

#include "iommu_table.h"
#include "iommu_tlb.h"
#include "iova.h"
#include "platform.h"

#define IOMMU_WINDOWS 4u /* windows that a thread may have open on one device */
#define IOMMU_QUEUE 256u /* unmaps put off, a slot */
#define IOMMU_LAZY_NS \
	10000000ull /* how long an unmap may be put off: as long as Linux's drivers/iommu/dma-iommu.c has it */

/*
 * struct iommu_slot - a thread's own, mostly
 * @cell: odd while a window is open: odd and even numbers alternate, so that whoever waits for a window doesn't
 *	wait for the next one too
 *
 * Counters are written by the slot's thread without a lock; where threads share a slot, one may get lost.
 */
struct iommu_slot {
	u32 cell[IOMMU_WINDOWS]; /* atomic */
	u64 hits HCA_ALIGNED(8);
	u64 misses HCA_ALIGNED(8);

	struct hca_spinlock queue_lock HCA_ALIGNED(2 * HCA_CACHE_LINE); /* queued, and the slot's queue */
	u32 queued;
	u64 invalidations HCA_ALIGNED(8);
	u64 flushes HCA_ALIGNED(8);
} HCA_ALIGNED(2 * HCA_CACHE_LINE);

struct iommu_domain {
	/* constant */
	struct device *dev;
	struct machine *m;
	bool lazy;
	u64 limit; /* the highest address that may have a mapping and that the device can send */
	struct iova_range *queue; /* lazy only: [HCA_SLOTS][IOMMU_QUEUE] */
	struct hca_timer timer; /* lazy only: flushes what no later unmap comes to flush */
	u32 timer_on; /* atomic: it will flush whatever is in a queue now */

	u32 top HCA_ALIGNED(8); /* atomic: no slot from here on ever had a window */
	u32 crowd HCA_ALIGNED(2 * HCA_CACHE_LINE); /* atomic: windows that found no cell */
	struct iova iova;
	struct iommu_table table;
	struct iommu_tlb tlb;
	struct iommu_slot slot[HCA_SLOTS];
};

/** iommu_count() - @n more of what the slot counts */
static inline void iommu_count(u64 *counter, u32 n)
{
	hca_store(counter, hca_load(counter) + n);
}

/** iommu_access_bits() - what a mapping of this direction lets the device do */
static inline u32 iommu_access_bits(int dir)
{
	if (dir == HCA_DMA_BIDIRECTIONAL)
		return IOPTE_ACCESS;
	return dir == HCA_DMA_TO_DEVICE ? IOPTE_READ : IOPTE_WRITE;
}

/** iommu_pages() - pages that hold @size bytes from an in-page offset of @off */
static inline u64 iommu_pages(u64 off, u64 size)
{
	return (off % PAGE_SIZE + size + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

/* --- iommu.c --- */

/** iommu_addresses() - as iova_alloc(), but doesn't give up before everything put off or kept aside was given back */
u64 iommu_addresses(struct iommu_domain *d, unsigned int slot, u64 pages, bool bounded, u32 lead);

/** iommu_no_addresses() - say that there are none for @pages pages. Return: the errno: is a retry worth it? */
int iommu_no_addresses(const struct iommu_domain *d, u64 pages) HCA_COLD;

/** iommu_end() - end the mapping that begins in the page of @addr, if its IOPTE_COHERENT is @coherent. Return: its pages, or 0 for none. */
u64 iommu_end(struct iommu_domain *d, u64 addr, u32 coherent);

/* --- iommu_list.c --- */
int iommu_map_list(struct device *dev, struct scatterlist *sgl, int nents, int dir, unsigned long attrs);
int iommu_unmap_list(struct device *dev, struct scatterlist *sgl, int nents, int dir, unsigned long attrs);

/* --- iommu_access.c --- */

/**
 * iommu_wait() - until every window is closed that was open at the call
 *
 * A full barrier must lie between what no later window may see and this call. The thread has no
 * window open on this device itself. Windows are short and their owners never wait for us.
 */
void iommu_wait(struct iommu_domain *d);

int iommu_open(struct device *dev, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w);
void iommu_close(struct device *dev, struct hca_mem_view *w);
u64 iommu_origin(struct device *dev, hca_dma_addr_t addr, u64 *len);

#endif
