/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * I/O addresses, handed out in pages. Behind each slot's magazines of small blocks
 * stands one allocator for the whole aperture, whose searches are paths through a tree
 * (iova_tree.h). Called by iommu.c alone; knows nothing of page tables. It never
 * allocates memory after iova_init(), and never hands out an address that wasn't given
 * back.
 *
 * Up to IOVA_SMALL pages: a naturally aligned block of the next power of two. More:
 * whole pieces of IOVA_WORD pages that follow each other.
 *
 * Lock order: a slot's lock, then the central one.
 */
#ifndef IOVA_H
#define IOVA_H

#include "iova_tree.h"

#define IOVA_SMALL (1u << (IOVA_ORDERS - 1))
#define IOVA_MAG 512u /* blocks in a magazine at most */

struct iova_slot {
	struct hca_spinlock lock; /* all below, and the slot's magazines */
	u32 count[IOVA_ORDERS];
	u64 taken, given; /* pages */
	u32 *magazine; /* [IOVA_ORDERS][IOVA_MAG] pages after base; constant */
} HCA_ALIGNED(2 * HCA_CACHE_LINE);

struct iova {
	u64 base; /* first page */
	u64 boundary; /* pages; 0: none */
	u32 chunks;
	struct iova_slot *slot;
	u32 *magazine; /* [HCA_SLOTS], of all slots */

	struct hca_spinlock lock HCA_ALIGNED(2 * HCA_CACHE_LINE); /* all below */
	struct iova_tree tree;
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

/** iova_relative() - a page of the aperture as 32 bits */
static inline u32 iova_relative(const struct iova *v, u64 page)
{
	return (u32)(page - v->base);
}

/**
 * iova_init() - an aperture
 * @base: first page, a multiple of IOVA_CHUNK, not 0
 * @chunks: chunks of IOVA_CHUNK pages; at most IOVA_MAX_CHUNKS
 * @boundary: pages, a power of two, or 0: what a bounded range doesn't cross
 *
 * Context: may sleep. Return: 0 or -ENOMEM.
 */
#define IOVA_MAX_CHUNKS (1u << 20)
int iova_init(struct iova *v, u64 base, u32 chunks, u64 boundary);
void iova_fini(struct iova *v);

/**
 * iova_alloc() - addresses for @pages pages
 * @slot: hca_slot()
 * @bounded: the range lies within one multiple of the boundary, or, if it is longer, begins at one
 * @lead: the range begins so many pages after a multiple of IOVA_CHUNK, for ranges of more than IOVA_SMALL; may be
 *	refused where addresses are scarce. 0: anywhere, at a multiple if there is room and the range is as long.
 *
 * Return: the first page, or IOVA_NONE; what other slots keep in their magazines doesn't count, see iova_drain().
 */
u64 iova_alloc(struct iova *v, unsigned int slot, u64 pages, bool bounded, u32 lead);

/**
 * iova_alloc_page() - one page of the slot's magazine; as iova_alloc() of one page, but only if that takes no search
 *
 * Return: the page, or IOVA_NONE: then iova_alloc() may still have one.
 */
static inline u64 iova_alloc_page(struct iova *v, unsigned int slot)
{
	struct iova_slot *s = &v->slot[slot];
	hca_irqflags_t flags;
	u64 page = IOVA_NONE;

	hca_spin_lock(&s->lock, flags);
	if (hca_likely(s->count[0])) {
		page = v->base + s->magazine[--s->count[0]];
		s->taken++;
	}
	hca_spin_unlock(&s->lock, flags);
	return page;
}

/** iova_free_page() - one page back into the slot's magazine, if it has room. Return: false: iova_free() is to do it. */
static inline bool iova_free_page(struct iova *v, unsigned int slot, u64 page)
{
	struct iova_slot *s = &v->slot[slot];
	hca_irqflags_t flags;
	bool room;

	hca_spin_lock(&s->lock, flags);
	room = s->count[0] < IOVA_MAG;
	if (hca_likely(room)) {
		s->magazine[s->count[0]++] = iova_relative(v, page);
		s->given++;
	}
	hca_spin_unlock(&s->lock, flags);
	return room;
}

/** iova_free() - give a range back, @page and @pages as they came from iova_alloc() */
void iova_free(struct iova *v, unsigned int slot, u64 page, u64 pages);

/** iova_free_many() - @n ranges at once */
void iova_free_many(struct iova *v, unsigned int slot, const struct iova_range *r, u32 n);

/** iova_drain() - give what all magazines hold to the central allocator */
void iova_drain(struct iova *v);

/** iova_used() - pages handed out, in blocks as they were taken */
u64 iova_used(struct iova *v);

#endif
