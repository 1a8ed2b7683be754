/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Making, filling and clearing I/O page tables; see iommu_table.h. Tables are made
 * before the first entry of a mapping is written, so that a failed allocation finds
 * nothing to undo. Called by iommu.c and iommu_list.c with addresses that are
 * theirs. It must never free a table that somebody may be walking.
 */
#include "iommu_table.h"

int iommu_table_init(struct iommu_table *t, u64 base, u64 chunks)
{
	t->base = base;
	t->chunks = chunks;
	t->near = hca_alloc(chunks * sizeof(*t->near), HCA_MAY_SLEEP);
	return t->near ? 0 : -ENOMEM;
}

/* The table at @slot, made if there is none. Of two threads that make one at once, the later gives its own back. */
static void *table_make(void **slot, size_t bytes)
{
	void *there = hca_load_acquire(slot);
	void *mine;

	if (hca_likely(there))
		return there;
	mine = hca_alloc(bytes, 0);
	if (!mine)
		return NULL;
	there = hca_cmpxchg(slot, NULL, mine);
	if (!there)
		return mine;
	hca_free(mine);
	return there;
}

static struct iommu_level2 *level2_make(struct iommu_table *t, u64 vpn)
{
	struct iommu_level3 *l3;

	l3 = table_make((void **)&t->child[(vpn >> 27) % TABLE_ENTRIES], sizeof(*l3));
	if (!l3)
		return NULL;
	return table_make((void **)&l3->child[(vpn >> 18) % TABLE_ENTRIES], sizeof(struct iommu_level2));
}

int iommu_table_prepare(struct iommu_table *t, u64 vpn, u64 apn, u64 pages)
{
	struct iommu_level2 *l2;
	iopte_t *l1;
	u64 step;

	for (; pages; vpn += step, apn += step, pages -= step) {
		step = HCA_MIN(pages, HUGE_PAGES - vpn % HUGE_PAGES);
		if (hca_likely(!iommu_table_huge(vpn, apn, pages) && iommu_table_page(t, vpn)))
			continue;
		l2 = iommu_table_level2(t, vpn);
		if (hca_unlikely(!l2)) {
			l2 = level2_make(t, vpn);
			if (!l2)
				return -ENOMEM;
		}
		if (iommu_table_huge(vpn, apn, pages))
			continue;
		l1 = table_make((void **)&l2->child[(vpn >> 9) % TABLE_ENTRIES], TABLE_ENTRIES * sizeof(iopte_t));
		if (!l1)
			return -ENOMEM;
		hca_store_release(&t->near[(vpn - t->base) / HUGE_PAGES], l1);
	}
	return 0;
}

/* The last of @left pages? */
static u64 last_flag(u32 flags, u64 left, u32 unit)
{
	return left == unit ? flags & IOPTE_LAST : 0;
}

void iommu_table_fill(struct iommu_table *t, u64 vpn, u64 apn, u64 pages, u32 flags)
{
	u64 value = apn << IOPTE_SHIFT | (flags & IOPTE_ACCESS), first_value;
	iopte_t *first, *e;
	u32 unit, n;

	unit = iommu_table_huge(vpn, apn, pages) ? HUGE_PAGES : 1;
	first = unit == 1 ? iommu_table_page(t, vpn) : &iommu_table_level2(t, vpn)->leaf[(vpn >> 9) % TABLE_ENTRIES];
	first_value = value | (flags & (IOPTE_FIRST | IOPTE_COHERENT)) | last_flag(flags, pages, unit);
	vpn += unit;
	value += (u64)unit << IOPTE_SHIFT;
	pages -= unit;
	while (pages) {
		if (iommu_table_huge(vpn, value >> IOPTE_SHIFT, pages)) {
			e = &iommu_table_level2(t, vpn)->leaf[(vpn >> 9) % TABLE_ENTRIES];
			hca_store_release(e, value | last_flag(flags, pages, HUGE_PAGES));
			vpn += HUGE_PAGES;
			value += (u64)HUGE_PAGES << IOPTE_SHIFT;
			pages -= HUGE_PAGES;
			continue;
		}
		n = (u32)HCA_MIN(pages, HUGE_PAGES - vpn % HUGE_PAGES);
		e = iommu_table_page(t, vpn);
		for (vpn += n; n--; value += 1u << IOPTE_SHIFT, pages--)
			hca_store_release(e++, value | last_flag(flags, pages, 1));
	}
	hca_store_release(first, first_value);
}

/* Clears entries of one table up to a LAST one or the table's end. Return: pages; @last says which it was. */
static u32 clear_table(iopte_t *e, u32 n, bool *last)
{
	u64 v;
	u32 i;

	for (i = 0; i < n && !*last; i++) {
		v = hca_load(&e[i]);
		hca_store(&e[i], 0);
		*last = v & IOPTE_LAST;
	}
	return i;
}

u64 iommu_table_clear_rest(struct iommu_table *t, u64 vpn, u32 unit, bool *huge)
{
	u64 at = vpn + unit;
	bool last = false;
	iopte_t *e;

	while (!last) {
		/* A FIRST entry was written after its LAST one, so the walk can't leave the table. */
		HCA_ASSERT(!(at >> IOVPN_BITS));
		e = iommu_table_find(t, at, &unit);
		if (e && unit != 1) {
			clear_table(e, 1, &last);
			*huge = true;
			at += unit;
		} else if (e) {
			at += clear_table(e, HUGE_PAGES - (u32)(at % HUGE_PAGES), &last);
		} else {
			at += HUGE_PAGES - at % HUGE_PAGES;
		}
	}
	return at - vpn;
}

static void level3_free(struct iommu_level3 *l3)
{
	struct iommu_level2 *l2;
	u32 i, k;

	for (i = 0; i < TABLE_ENTRIES; i++) {
		l2 = l3->child[i];
		if (!l2)
			continue;
		for (k = 0; k < TABLE_ENTRIES; k++)
			hca_free(l2->child[k]);
		hca_free(l2);
	}
	hca_free(l3);
}

void iommu_table_fini(struct iommu_table *t)
{
	u32 i;

	for (i = 0; i < TABLE_ENTRIES; i++)
		if (t->child[i])
			level3_free(t->child[i]);
	hca_free(t->near);
}
