/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A domain's I/O page table: four levels of nine bits, from I/O pages to pages of
 * the arena. iommu.c, iommu_list.c and iommu_access.c call it; several threads walk
 * and fill it at once, each filler in addresses that are its own.
 *
 * It must never trust a size: an entry says where its mapping begins and ends.
 */
#ifndef IOMMU_TABLE_H
#define IOMMU_TABLE_H

#include "os.h"

/*
 * An entry: the arena page from bit 5 up, and below it what the device may do (the two bits
 * are enum hca_mem_op's) and three bits of our own. A mapping is all from its FIRST entry to its
 * LAST one, holes included, so that it ends whole whatever its owner believes its size to be.
 */
#define IOPTE_READ 1u
#define IOPTE_WRITE 2u
#define IOPTE_ACCESS (IOPTE_READ | IOPTE_WRITE)
#define IOPTE_FIRST 4u
#define IOPTE_LAST 8u
#define IOPTE_COHERENT 16u /* made by alloc, so only free ends it; on FIRST entries */
#define IOPTE_SHIFT 5
#define IOPTE_BITS 38 /* an entry has no bit from here on: arenas are below 2^33 pages */

#define IOVPN_BITS 36 /* I/O page numbers: 48-bit addresses */
#define TABLE_ENTRIES 512u
#define HUGE_PAGES 512u /* pages under a 2 MiB leaf */

typedef u64 HCA_ALIGNED(8) iopte_t;

/*
 * The level of 2 MiB leaves keeps leaves and children apart, so that a leaf never has to displace
 * a table that other threads may be walking: whoever walks looks at the leaf first.
 */
struct iommu_level2 {
	iopte_t leaf[TABLE_ENTRIES];
	iopte_t *child[TABLE_ENTRIES];
};

struct iommu_level3 {
	struct iommu_level2 *child[TABLE_ENTRIES];
};

/*
 * struct iommu_table - tables are installed by compare and exchange and stay until the end
 * @base, @chunks: where mappings may be: the first page, a multiple of HUGE_PAGES, and how many times so many pages
 * @near: by chunk, the table of its pages, once there is one. Mapping and unmapping go by it; the device walks.
 */
struct iommu_table {
	u64 base;
	u64 chunks;
	iopte_t **near;
	struct iommu_level3 *child[TABLE_ENTRIES];
};

/** iommu_table_init() - an empty one, of zeroed memory. Context: may sleep. Return: 0 or -ENOMEM. */
int iommu_table_init(struct iommu_table *t, u64 base, u64 chunks);

/** iommu_table_level2() - the table above a page's entry; NULL if there is none yet */
static inline struct iommu_level2 *iommu_table_level2(const struct iommu_table *t, u64 vpn)
{
	struct iommu_level3 *l3 = hca_load_acquire(&t->child[(vpn >> 27) % TABLE_ENTRIES]);

	return hca_likely(l3) ? hca_load_acquire(&l3->child[(vpn >> 18) % TABLE_ENTRIES]) : NULL;
}

/**
 * iommu_table_find() - the entry that is in force for a page
 * @vpn: I/O page number, below 2^36
 * @unit: set to the pages under the entry, 1 or HUGE_PAGES; without an entry: to those that share the lack of it
 *
 * Return: the entry, which may be 0; NULL where no table was ever made.
 */
static inline iopte_t *iommu_table_find(const struct iommu_table *t, u64 vpn, u32 *unit)
{
	struct iommu_level2 *l2 = iommu_table_level2(t, vpn);
	u32 at = (vpn >> 9) % TABLE_ENTRIES;
	iopte_t *l1;

	*unit = HUGE_PAGES;
	if (hca_unlikely(!l2))
		return NULL;
	if (hca_unlikely(hca_load_acquire(&l2->leaf[at])))
		return &l2->leaf[at];
	l1 = hca_load_acquire(&l2->child[at]);
	if (hca_unlikely(!l1))
		return NULL;
	*unit = 1;
	return &l1[vpn % TABLE_ENTRIES];
}

/** iommu_table_page() - where the entry of a page stands that is under no 2 MiB leaf; NULL where mappings can't be or no table was ever made */
static inline iopte_t *iommu_table_page(const struct iommu_table *t, u64 vpn)
{
	u64 chunk = (vpn - t->base) / HUGE_PAGES;
	iopte_t *l1 = hca_likely(chunk < t->chunks) ? hca_load_acquire(&t->near[chunk]) : NULL;

	return hca_likely(l1) ? &l1[vpn % TABLE_ENTRIES] : NULL;
}

/** iommu_table_huge() - may a 2 MiB leaf stand here? */
static inline bool iommu_table_huge(u64 vpn, u64 apn, u64 pages)
{
	return pages >= HUGE_PAGES && !((vpn | apn) % HUGE_PAGES);
}

/**
 * iommu_table_prepare() - make the tables that iommu_table_fill() of the same range will need
 * @apn: first page in the arena
 *
 * Return: 0 or -ENOMEM; the tables made until then stay, empty, for whoever gets these addresses next.
 */
int iommu_table_prepare(struct iommu_table *t, u64 vpn, u64 apn, u64 pages);

/**
 * iommu_table_fill() - write the entries of a prepared range; can't fail
 * @flags: IOPTE_READ and IOPTE_WRITE for each entry, IOPTE_FIRST and IOPTE_COHERENT for the first, IOPTE_LAST for the last
 *
 * The first entry is written last: a reader that sees it sees the whole range.
 */
void iommu_table_fill(struct iommu_table *t, u64 vpn, u64 apn, u64 pages, u32 flags);

/**
 * iommu_table_first() - the FIRST entry of a mapping at exactly this page
 * @huge: set if it is a 2 MiB leaf
 * Return: the entry, with its value in @value; NULL if no mapping begins there.
 */
static inline iopte_t *iommu_table_first(const struct iommu_table *t, u64 vpn, u64 *value, bool *huge)
{
	iopte_t *e = iommu_table_page(t, vpn);
	u32 unit;

	*huge = false;
	/* Under a 2 MiB leaf no page has an entry of its own. */
	if (hca_likely(e)) {
		*value = hca_load_acquire(e);
		if (hca_likely(*value & IOPTE_FIRST))
			return e;
	}
	if (vpn >> IOVPN_BITS || vpn % HUGE_PAGES)
		return NULL;
	e = iommu_table_find(t, vpn, &unit);
	if (!e || unit == 1)
		return NULL;
	*huge = true;
	*value = hca_load_acquire(e);
	return *value & IOPTE_FIRST ? e : NULL;
}

/**
 * iommu_table_clear_rest() - clear what follows a FIRST entry that the caller has taken
 * @unit: pages under that entry
 * @huge: set if a 2 MiB leaf was among the cleared ones, else left alone
 *
 * Return: pages of the mapping in all, holes included. The stores aren't ordered with what follows.
 */
u64 iommu_table_clear_rest(struct iommu_table *t, u64 vpn, u32 unit, bool *huge);

/** iommu_table_walk() - the entry of a page, the arena page adjusted under a 2 MiB leaf; 0 if not mapped. @unit as iommu_table_find(). */
static inline u64 iommu_table_walk(const struct iommu_table *t, u64 vpn, u32 *unit)
{
	iopte_t *e = iommu_table_find(t, vpn, unit);
	u64 v = hca_likely(e) ? hca_load_acquire(e) : 0;

	/* A leaf that was cleared since it was found is 0 and says so. */
	if (hca_unlikely(*unit != 1) && v)
		v += (vpn % HUGE_PAGES) << IOPTE_SHIFT;
	return v;
}

/** iommu_table_fini() - free every table. No thread walks them any more. */
void iommu_table_fini(struct iommu_table *t);

#endif
