/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The I/O address allocator; see iova.h. A slot's magazines serve nearly every call;
 * the central allocator moves batches. What is taken from a chunk in one batch lies
 * side by side, so that slots seldom share a cache line of the page table.
 */
#include "iova.h"

/* Blocks that a magazine takes at once, by order, and how many it keeps: of the long ones few, as they are missed elsewhere. */
static const u32 batch[IOVA_ORDERS] = { 64, 32, 16, 8, 8, 8, 4, 2, 1 };
static const u32 depth[IOVA_ORDERS] = { IOVA_MAG, IOVA_MAG, IOVA_MAG, IOVA_MAG, IOVA_MAG, IOVA_MAG, 64, 32, 16 };
_Static_assert(IOVA_ORDERS == 9, "both tables have a row for each");

static u32 order_of(u64 pages)
{
	return pages <= 1 ? 0 : 64 - (u32)__builtin_clzll(pages - 1);
}

static u32 *magazine_of(const struct iova *v, unsigned int slot, u32 order)
{
	return v->slot[slot].magazine + (size_t)order * IOVA_MAG;
}

/* Words that hold a run, which may begin inside its first one. */
static u64 words_of(u64 page, u64 pages)
{
	return (page % IOVA_WORD + pages + IOVA_WORD - 1) / IOVA_WORD;
}

int iova_init(struct iova *v, u64 base, u32 chunks, u64 boundary)
{
	u32 i;

	v->base = base;
	v->boundary = boundary;
	v->chunks = chunks;
	hca_spin_init(&v->lock);
	v->slot = hca_alloc(HCA_SLOTS * sizeof(*v->slot), HCA_MAY_SLEEP);
	v->magazine = hca_alloc(HCA_SLOTS * IOVA_ORDERS * IOVA_MAG * sizeof(u32), HCA_MAY_SLEEP);
	if (!v->slot || !v->magazine)
		goto free_slots;
	/* A chunk is within any smaller boundary that its blocks are aligned to. */
	if (iova_tree_init(&v->tree, base / IOVA_CHUNK, chunks, boundary / IOVA_CHUNK))
		goto free_slots;
	for (i = 0; i < HCA_SLOTS; i++) {
		hca_spin_init(&v->slot[i].lock);
		v->slot[i].magazine = v->magazine + (size_t)i * IOVA_ORDERS * IOVA_MAG;
	}
	return 0;
free_slots:
	hca_free(v->magazine);
	hca_free(v->slot);
	return -ENOMEM;
}

void iova_fini(struct iova *v)
{
	iova_tree_fini(&v->tree);
	hca_free(v->magazine);
	hca_free(v->slot);
}

/* A run; the central lock is held. */
static u64 take_run(struct iova *v, u64 pages, bool bounded, u32 lead)
{
	const u32 chunk = IOVA_CHUNK / IOVA_WORD;
	u64 words = words_of(lead, pages), page = IOVA_NONE;
	u64 align = bounded && v->boundary && pages > v->boundary ? v->boundary / IOVA_WORD : 1;

	hca_spin_assert(&v->lock);
	if (words > (u64)v->chunks * chunk)
		return IOVA_NONE;
	if (align > 1)
		return iova_tree_take_at_multiple(&v->tree, words, align);
	bounded = bounded && v->boundary >= pages;
	/* Where a 2 MiB leaf may come to stand it should. */
	if (lead || pages >= IOVA_CHUNK)
		page = iova_tree_take_run(&v->tree, words, chunk, lead / IOVA_WORD, bounded);
	if (page == IOVA_NONE && !lead)
		page = iova_tree_take_run(&v->tree, words, 1, 0, bounded);
	return page == IOVA_NONE ? page : page + lead % IOVA_WORD;
}

/* --- between the magazines and the chunks --- */

static u32 take_batch(struct iova *v, u32 order, u32 *out)
{
	hca_irqflags_t flags;
	u32 n, i, swap;

	hca_spin_lock(&v->lock, flags);
	/* If addresses are scarce, a thread takes only what it needs now, so that others find some. */
	n = iova_tree_take(&v->tree, order, out, iova_tree_idle(&v->tree) ? batch[order] : 1);
	hca_spin_unlock(&v->lock, flags);
	/* They go out from the end: lowest first, as a walk over neighbours likes it. */
	for (i = 0; i < n / 2; i++) {
		swap = out[i];
		out[i] = out[n - 1 - i];
		out[n - 1 - i] = swap;
	}
	return n;
}

static void give_batch(struct iova *v, u32 order, const u32 *page, u32 n)
{
	hca_irqflags_t flags;

	hca_spin_lock(&v->lock, flags);
	iova_tree_give(&v->tree, order, page, n);
	hca_spin_unlock(&v->lock, flags);
}

/* The slot's lock is held. What is given back first goes first: its cache lines are the coldest. */
static void push(struct iova *v, unsigned int slot, u32 order, u32 page)
{
	struct iova_slot *s = &v->slot[slot];
	u32 *mag = magazine_of(v, slot, order);

	if (hca_unlikely(s->count[order] == depth[order])) {
		give_batch(v, order, mag, depth[order] / 2);
		s->count[order] = depth[order] / 2;
		hca_memmove(mag, mag + depth[order] / 2, depth[order] / 2 * sizeof(*mag));
	}
	mag[s->count[order]++] = page;
}

static u64 take_small(struct iova *v, unsigned int slot, u32 order)
{
	struct iova_slot *s = &v->slot[slot];
	u32 *mag = magazine_of(v, slot, order);
	hca_irqflags_t flags;
	u64 page = IOVA_NONE;

	hca_spin_lock(&s->lock, flags);
	if (hca_unlikely(!s->count[order]))
		s->count[order] = take_batch(v, order, mag);
	if (hca_likely(s->count[order])) {
		page = mag[--s->count[order]];
		s->taken += 1u << order;
	}
	hca_spin_unlock(&s->lock, flags);
	return page;
}

static u64 take_large(struct iova *v, unsigned int slot, u64 pages, bool bounded, u32 lead)
{
	struct iova_slot *s = &v->slot[slot];
	hca_irqflags_t flags;
	u64 page;

	hca_spin_lock(&v->lock, flags);
	page = take_run(v, pages, bounded, lead);
	hca_spin_unlock(&v->lock, flags);
	if (page == IOVA_NONE)
		return page;
	hca_spin_lock(&s->lock, flags);
	s->taken += words_of(page, pages) * IOVA_WORD;
	hca_spin_unlock(&s->lock, flags);
	return page;
}

u64 iova_alloc(struct iova *v, unsigned int slot, u64 pages, bool bounded, u32 lead)
{
	u64 page;

	/* A naturally aligned block needs no other alignment. */
	if (hca_likely(pages <= IOVA_SMALL))
		page = take_small(v, slot, order_of(pages));
	else
		page = take_large(v, slot, pages, bounded, lead);
	return page == IOVA_NONE ? page : v->base + page;
}

/* The slot's lock is held. */
static void give(struct iova *v, unsigned int slot, u32 page, u32 pages)
{
	struct iova_slot *s = &v->slot[slot];
	u32 order = order_of(pages);
	hca_irqflags_t flags;

	if (hca_likely(order < IOVA_ORDERS)) {
		s->given += 1u << order;
		push(v, slot, order, page);
		return;
	}
	s->given += words_of(page, pages) * IOVA_WORD;
	hca_spin_lock(&v->lock, flags);
	iova_tree_give_run(&v->tree, page, (u32)words_of(page, pages));
	hca_spin_unlock(&v->lock, flags);
}

void iova_free(struct iova *v, unsigned int slot, u64 page, u64 pages)
{
	hca_irqflags_t flags;

	hca_spin_lock(&v->slot[slot].lock, flags);
	give(v, slot, iova_relative(v, page), (u32)pages);
	hca_spin_unlock(&v->slot[slot].lock, flags);
}

void iova_free_many(struct iova *v, unsigned int slot, const struct iova_range *r, u32 n)
{
	struct iova_slot *s = &v->slot[slot];
	hca_irqflags_t flags;
	u32 i = 0, at;

	hca_spin_lock(&s->lock, flags);
	while (i < n) {
		/* Single pages are what nearly all are, and often all the rest. */
		for (at = s->count[0]; i < n && r[i].pages == 1 && at < IOVA_MAG; i++)
			s->magazine[at++] = r[i].page;
		s->given += at - s->count[0];
		s->count[0] = at;
		if (i < n) {
			give(v, slot, r[i].page, r[i].pages);
			i++;
		}
	}
	hca_spin_unlock(&s->lock, flags);
}

void iova_drain(struct iova *v)
{
	hca_irqflags_t flags;
	struct iova_slot *s;
	u32 i, order;

	for (i = 0; i < HCA_SLOTS; i++) {
		s = &v->slot[i];
		hca_spin_lock(&s->lock, flags);
		for (order = 0; order < IOVA_ORDERS; order++) {
			if (s->count[order])
				give_batch(v, order, magazine_of(v, i, order), s->count[order]);
			s->count[order] = 0;
		}
		hca_spin_unlock(&s->lock, flags);
	}
}

u64 iova_used(struct iova *v)
{
	hca_irqflags_t flags;
	u64 used = 0;
	u32 i;

	for (i = 0; i < HCA_SLOTS; i++) {
		hca_spin_lock(&v->slot[i].lock, flags);
		used += v->slot[i].taken - v->slot[i].given;
		hca_spin_unlock(&v->slot[i].lock, flags);
	}
	/* What was taken through a slot already passed and given through a later one may have been counted by halves. */
	return (s64)used < 0 ? 0 : used;
}
