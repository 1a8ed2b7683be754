/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ledger's table; see ledger_table.h. */
#include "dma/ledger_table.h"

#define FIRST_BUCKETS 1024u

int hca_ledger_table_init(struct hca_ledger_table *t)
{
	hca_memset(t, 0, sizeof(*t));
	t->bucket = hca_alloc(FIRST_BUCKETS * sizeof(*t->bucket), HCA_MAY_SLEEP);
	if (!t->bucket)
		return -ENOMEM;
	t->buckets = FIRST_BUCKETS;
	return 0;
}

void hca_ledger_table_fini(struct hca_ledger_table *t)
{
	hca_free(t->bucket);
}

static u32 class_of(u64 len)
{
	u32 k = HCA_PAGE_SHIFT;

	while (k < HCA_LEDGER_CLASSES - 1 && len > 1ull << k)
		k++;
	return k;
}

static u64 hash(const struct hca_ledger_table *t, u64 block, u32 class)
{
	u64 h = (block * 64 + class) * 0x9e3779b97f4a7c15ull;

	return (h ^ h >> 32) & (t->buckets - 1);
}

static void link_cell(struct hca_ledger_table *t, struct hca_ledger_cell *c)
{
	struct hca_ledger_cell **head = &t->bucket[hash(t, c->block, c->seg->class)];

	c->next = *head;
	c->pprev = head;
	if (c->next)
		c->next->pprev = &c->next;
	*head = c;
}

/*
 * Twice the buckets, in the same order within each: the latest stays first. Where there is no memory the
 * old ones stay, only fuller.
 */
static void grow(struct hca_ledger_table *t)
{
	struct hca_ledger_cell **old = t->bucket;
	u64 n = t->buckets;
	u64 i;

	t->bucket = hca_alloc((size_t)(2 * n * sizeof(*t->bucket)), 0);
	if (!t->bucket) {
		t->bucket = old;
		return;
	}
	t->buckets = 2 * n;
	for (i = 0; i < n; i++) {
		struct hca_ledger_cell *c = old[i], *rev = NULL, *next;

		for (; c; c = next) {
			next = c->next;
			c->next = rev;
			rev = c;
		}
		for (; rev; rev = next) {
			next = rev->next;
			link_cell(t, rev);
		}
	}
	hca_free(old);
}

void hca_ledger_table_add(struct hca_ledger_table *t, struct hca_ledger_rec *rec)
{
	u32 i, j;

	if (t->cells > 2 * t->buckets)
		grow(t);
	for (i = 0; i < rec->nsegs; i++) {
		struct hca_ledger_seg *s = &rec->seg[i];
		u64 first, last;

		s->rec = rec;
		s->class = class_of(s->len);
		first = s->addr >> s->class;
		last = (s->addr + s->len - 1) >> s->class;
		s->cells = first == last ? 1 : 2;
		for (j = 0; j < s->cells; j++) {
			s->cell[j].seg = s;
			s->cell[j].block = j ? last : first;
			link_cell(t, &s->cell[j]);
		}
		t->cells += s->cells;
		t->class_cells[s->class] += s->cells;
	}
}

static void del_seg(struct hca_ledger_table *t, struct hca_ledger_seg *s)
{
	u32 j;

	for (j = 0; j < s->cells; j++) {
		*s->cell[j].pprev = s->cell[j].next;
		if (s->cell[j].next)
			s->cell[j].next->pprev = s->cell[j].pprev;
	}
	t->cells -= s->cells;
	t->class_cells[s->class] -= s->cells;
	s->cells = 0;
}

void hca_ledger_table_del(struct hca_ledger_table *t, struct hca_ledger_rec *rec)
{
	u32 i;

	for (i = 0; i < rec->nsegs; i++)
		del_seg(t, &rec->seg[i]);
}

static int score_ended(const struct hca_ledger_seg *seg, const void *want)
{
	return seg->rec->ended && seg->addr == *(const u64 *)want;
}

void hca_ledger_table_supersede(struct hca_ledger_table *t, const struct hca_ledger_rec *rec)
{
	struct hca_ledger_seg *old;
	u32 i;

	for (i = 0; i < rec->nsegs; i++)
		while ((old = hca_ledger_table_find(t, rec->seg[i].addr, score_ended, &rec->seg[i].addr)))
			del_seg(t, old);
}

struct hca_ledger_seg *hca_ledger_table_find(struct hca_ledger_table *t, u64 addr,
					     int (*score)(const struct hca_ledger_seg *seg, const void *want),
					     const void *want)
{
	struct hca_ledger_seg *best = NULL;
	int most = 0;
	u32 k;

	for (k = HCA_PAGE_SHIFT; k < HCA_LEDGER_CLASSES; k++) {
		struct hca_ledger_cell *c;

		if (!t->class_cells[k])
			continue;
		for (c = t->bucket[hash(t, addr >> k, k)]; c; c = c->next) {
			int n;

			if (c->block != addr >> k || c->seg->class != k || addr - c->seg->addr >= c->seg->len)
				continue;
			n = score(c->seg, want);
			if (n > most) {
				most = n;
				best = c->seg;
			}
		}
	}
	return best;
}
