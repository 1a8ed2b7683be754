/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * I/O addresses, handed out in pages. Behind each slot's magazines of small blocks
 * stands one allocator that divides the aperture into chunks of 2 MiB. Called by
 * iommu.c alone; knows nothing of page tables. It never allocates memory after
 * iova_init(), and never hands out an address that wasn't given back.
 *
 * Up to IOVA_SMALL pages: a naturally aligned block of the next power of two in a
 * chunk. More: whole chunks that follow each other.
 *
 * Lock order: a slot's lock, then the central one.
 */
#ifndef IOVA_H
#define IOVA_H

#include "os.h"

#define IOVA_CHUNK 512u /* pages */
#define IOVA_ORDERS 9u /* blocks of 2^0 .. 2^8 pages */
#define IOVA_SMALL (1u << (IOVA_ORDERS - 1))
#define IOVA_MAG_ORDERS 6u /* of these, 2^0 .. 2^5 have magazines */
#define IOVA_MAG 512u /* blocks in a magazine */
#define IOVA_NONE (~0ull)

/* struct iova_chunk - all zero when the chunk is free */
struct iova_chunk {
	u64 free[IOVA_CHUNK / 64]; /* a bit a page */
	u32 next, prev; /* chunks with free pages, of one order: index + 1 */
	u16 count; /* free pages */
	u8 order; /* the order of block it was taken for; others come in when nothing else is left */
	u8 state;
};

struct iova_slot {
	struct hca_spinlock lock; /* all below, and the slot's magazines */
	u32 count[IOVA_MAG_ORDERS];
	u64 taken, given; /* pages */
} HCA_ALIGNED(2 * HCA_CACHE_LINE);

struct iova {
	u64 base; /* first page */
	u32 chunks;
	struct iova_slot *slot;
	u32 *magazine; /* [HCA_SLOTS][IOVA_MAG_ORDERS][IOVA_MAG] pages after base */

	struct hca_spinlock lock HCA_ALIGNED(2 * HCA_CACHE_LINE); /* all below */
	struct iova_chunk *chunk;
	u64 *used; /* a bit a chunk that isn't free */
	u32 lowest; /* no chunk below is free */
	u32 head[IOVA_ORDERS];
};

/**
 * struct iova_range - a piece to be given back
 * @page: its first page, after base: as iova_relative() says
 * @pages: pages that were asked for, or as many as its mapping covered
 */
struct iova_range {
	u32 page;
	u32 pages;
};

/**
 * iova_init() - an aperture
 * @base: first page, a multiple of IOVA_CHUNK, not 0
 * @chunks: chunks of IOVA_CHUNK pages; at most IOVA_MAX_CHUNKS
 *
 * Context: may sleep. Return: 0 or -ENOMEM.
 */
#define IOVA_MAX_CHUNKS (1u << 20)
int iova_init(struct iova *v, u64 base, u32 chunks);
void iova_fini(struct iova *v);

/**
 * iova_alloc() - addresses for @pages pages
 * @slot: hca_slot()
 * @boundary: pages, a power of two, or 0. The range lies within one multiple of it, or, if it is longer, begins at one.
 * @lead: pages that must fit in the first chunk before the range, for ranges of more than IOVA_SMALL; else 0
 *
 * Return: the first page after @lead, or IOVA_NONE; what other slots keep in their magazines doesn't count, see iova_drain().
 */
u64 iova_alloc(struct iova *v, unsigned int slot, u64 pages, u64 boundary, u32 lead);

/** iova_free() - give a range back, @page and @pages as they came from iova_alloc() */
void iova_free(struct iova *v, unsigned int slot, u64 page, u64 pages);

/** iova_free_many() - @n ranges at once */
void iova_free_many(struct iova *v, unsigned int slot, const struct iova_range *r, u32 n);

/** iova_drain() - give what all magazines hold to the central allocator */
void iova_drain(struct iova *v);

/** iova_used() - pages handed out, in blocks as they were taken */
u64 iova_used(struct iova *v);

/** iova_relative() - a page of the aperture as 32 bits */
static inline u32 iova_relative(const struct iova *v, u64 page)
{
	return (u32)(page - v->base);
}

#endif
