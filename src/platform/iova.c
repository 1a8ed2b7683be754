/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The I/O address allocator; see iova.h. A slot's magazines serve nearly every call;
 * the central allocator moves batches. What is taken from a chunk in one batch lies
 * side by side, so that slots seldom share a cache line of the page table.
 */
#include "iova.h"

enum { CHUNK_FREE, CHUNK_BLOCKS, CHUNK_RUN };

/* Blocks that a magazine takes at once, by order. */
static const u32 batch[IOVA_MAG_ORDERS] = { 64, 32, 16, 8, 8, 8 };

/* Bits where an aligned block of 2^order bits may begin. */
static const u64 starts[IOVA_MAG_ORDERS + 1] = {
	~0ull,
	0x5555555555555555ull,
	0x1111111111111111ull,
	0x0101010101010101ull,
	0x0001000100010001ull,
	0x0000000100000001ull,
	1ull,
};

static u32 order_of(u64 pages)
{
	return pages <= 1 ? 0 : 64 - (u32)__builtin_clzll(pages - 1);
}

static u32 *magazine_of(const struct iova *v, unsigned int slot, u32 order)
{
	return v->magazine + ((size_t)slot * IOVA_MAG_ORDERS + order) * IOVA_MAG;
}

int iova_init(struct iova *v, u64 base, u32 chunks)
{
	u32 i;

	v->base = base;
	v->chunks = chunks;
	v->lowest = 0;
	hca_memset(v->head, 0, sizeof(v->head));
	hca_spin_init(&v->lock);
	v->slot = hca_alloc(HCA_SLOTS * sizeof(*v->slot), HCA_MAY_SLEEP);
	v->magazine = hca_alloc(HCA_SLOTS * IOVA_MAG_ORDERS * IOVA_MAG * sizeof(u32), HCA_MAY_SLEEP);
	v->chunk = hca_alloc(chunks * sizeof(*v->chunk), HCA_MAY_SLEEP);
	/* One word more, whose bits end every search. */
	v->used = hca_alloc((chunks / 64 + 1) * sizeof(u64), HCA_MAY_SLEEP);
	if (!v->slot || !v->magazine || !v->chunk || !v->used) {
		iova_fini(v);
		return -ENOMEM;
	}
	v->used[chunks / 64] = ~0ull << chunks % 64;
	for (i = 0; i < HCA_SLOTS; i++)
		hca_spin_init(&v->slot[i].lock);
	return 0;
}

void iova_fini(struct iova *v)
{
	hca_free(v->used);
	hca_free(v->chunk);
	hca_free(v->magazine);
	hca_free(v->slot);
}

/* --- chunks; the central lock is held --- */

static void use_chunk(struct iova *v, u32 c, bool use)
{
	u64 bit = 1ull << c % 64;

	if (use)
		v->used[c / 64] |= bit;
	else
		v->used[c / 64] &= ~bit;
}

/* The first chunk from @from on that is free, or is used; v->chunks or more if there is none. */
static u32 find_chunk(const struct iova *v, u32 from, bool used)
{
	u32 i = from / 64;
	u64 w;

	if (from >= v->chunks)
		return v->chunks;
	for (w = (used ? v->used[i] : ~v->used[i]) & (~0ull << from % 64); !w;) {
		if (++i > v->chunks / 64)
			return v->chunks;
		w = used ? v->used[i] : ~v->used[i];
	}
	return i * 64 + (u32)__builtin_ctzll(w);
}

static void list_add(struct iova *v, u32 c)
{
	struct iova_chunk *k = &v->chunk[c];

	k->prev = 0;
	k->next = v->head[k->order];
	if (k->next)
		v->chunk[k->next - 1].prev = c + 1;
	v->head[k->order] = c + 1;
}

static void list_del(struct iova *v, u32 c)
{
	struct iova_chunk *k = &v->chunk[c];

	if (k->prev)
		v->chunk[k->prev - 1].next = k->next;
	else
		v->head[k->order] = k->next;
	if (k->next)
		v->chunk[k->next - 1].prev = k->prev;
}

static bool new_chunk(struct iova *v, u32 order)
{
	u32 c = find_chunk(v, v->lowest, false);
	struct iova_chunk *k;

	v->lowest = c;
	if (c >= v->chunks)
		return false;
	use_chunk(v, c, true);
	v->lowest = c + 1;
	k = &v->chunk[c];
	k->state = CHUNK_BLOCKS;
	k->order = (u8)order;
	k->count = IOVA_CHUNK;
	hca_memset(k->free, 0xff, sizeof(k->free));
	list_add(v, c);
	return true;
}

static void free_chunk(struct iova *v, u32 c)
{
	v->chunk[c].state = CHUNK_FREE;
	use_chunk(v, c, false);
	v->lowest = HCA_MIN(v->lowest, c);
}

/* The first aligned block of 2^@order free pages in a chunk; -1: there is none. */
static int find_block(const struct iova_chunk *k, u32 order)
{
	u32 words = order > 6 ? 1u << (order - 6) : 1, i, j;
	u64 w;

	for (i = 0; i < IOVA_CHUNK / 64; i += words) {
		w = k->free[i];
		if (order < 6) {
			for (j = 0; j < order; j++)
				w &= w >> (1u << j);
			w &= starts[order];
			if (w)
				return (int)(i * 64) + __builtin_ctzll(w);
			continue;
		}
		for (j = 1; j < words; j++)
			w &= k->free[i + j];
		if (w == ~0ull)
			return (int)(i * 64);
	}
	return -1;
}

/* A block's pages become free or taken. Return: false if one of them was so already, and then nothing changes. */
static bool mark_block(struct iova_chunk *k, u32 at, u32 order, bool free)
{
	u32 words = order > 6 ? 1u << (order - 6) : 1, i;
	u64 mask = order < 6 ? ((1ull << (1u << order)) - 1) << at % 64 : ~0ull;

	for (i = at / 64; i < at / 64 + words; i++)
		if ((free ? k->free[i] : ~k->free[i]) & mask)
			return false;
	for (i = at / 64; i < at / 64 + words; i++)
		k->free[i] ^= mask;
	return true;
}

/* Take one block from a chunk of the class @from. */
static u64 take_from(struct iova *v, u32 from, u32 order)
{
	struct iova_chunk *k;
	u32 c;
	int at;

	for (c = v->head[from]; c; c = k->next) {
		k = &v->chunk[c - 1];
		at = k->count >> order ? find_block(k, order) : -1;
		if (at < 0)
			continue;
		mark_block(k, (u32)at, order, false);
		k->count = (u16)(k->count - (1u << order));
		if (!k->count)
			list_del(v, c - 1);
		return (u64)(c - 1) * IOVA_CHUNK + (u32)at;
	}
	return IOVA_NONE;
}

static u64 take_block(struct iova *v, u32 order)
{
	u64 page = take_from(v, order, order);
	u32 i;

	if (page == IOVA_NONE && new_chunk(v, order))
		page = take_from(v, order, order);
	/* The aperture is nearly used up: holes in chunks of other orders will do. */
	for (i = 0; i < IOVA_ORDERS && page == IOVA_NONE; i++)
		if (i != order)
			page = take_from(v, i, order);
	return page;
}

static void give_block(struct iova *v, u32 page, u32 order)
{
	u32 c = page / IOVA_CHUNK;
	struct iova_chunk *k = &v->chunk[c];

	if (HCA_WARN_ON(c >= v->chunks || k->state != CHUNK_BLOCKS || !mark_block(k, page % IOVA_CHUNK, order, true)))
		return;
	if (!k->count)
		list_add(v, c);
	k->count = (u16)(k->count + (1u << order));
	if (k->count == IOVA_CHUNK) {
		list_del(v, c);
		free_chunk(v, c);
	}
}

/* First fit of @n chunks; @boundary in chunks, as iova_alloc() has it. */
static u32 find_run(const struct iova *v, u32 n, u64 boundary)
{
	u64 first = v->base / IOVA_CHUNK, c, end;

	for (c = find_chunk(v, v->lowest, false); c < v->chunks; c = find_chunk(v, (u32)end, false)) {
		if (boundary && (n > boundary ? (first + c) % boundary : (first + c) % boundary + n > boundary)) {
			end = c + boundary - (first + c) % boundary;
			if (end >= v->chunks)
				break;
			if (end != find_chunk(v, (u32)end, false))
				continue;
			c = end;
		}
		if (n > v->chunks - c)
			break;
		end = find_chunk(v, (u32)c, true);
		if (end - c >= n)
			return (u32)c;
	}
	return v->chunks;
}

static u64 take_run(struct iova *v, u32 n, u64 boundary)
{
	u32 c = find_run(v, n, boundary), i;

	if (c >= v->chunks)
		return IOVA_NONE;
	for (i = c; i < c + n; i++) {
		use_chunk(v, i, true);
		v->chunk[i].state = CHUNK_RUN;
	}
	if (v->lowest == c)
		v->lowest = c + n;
	return (u64)c * IOVA_CHUNK;
}

static void give_run(struct iova *v, u32 page, u32 pages)
{
	u32 c = page / IOVA_CHUNK, end = (page + pages + IOVA_CHUNK - 1) / IOVA_CHUNK;

	for (; c < end; c++)
		if (!HCA_WARN_ON(c >= v->chunks || v->chunk[c].state != CHUNK_RUN))
			free_chunk(v, c);
}

/* --- between the magazines and the chunks --- */

static u32 take_batch(struct iova *v, u32 order, u32 *out)
{
	u32 n = 0, i, swap, most;
	hca_irqflags_t flags;
	u64 page;

	hca_spin_lock(&v->lock, flags);
	/* Where addresses are scarce nobody takes more than is needed now: others would find none. */
	v->lowest = find_chunk(v, v->lowest, false);
	most = v->lowest < v->chunks ? batch[order] : 1;
	while (n < most) {
		page = take_block(v, order);
		if (page == IOVA_NONE)
			break;
		out[n++] = (u32)page;
	}
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
	u32 i;

	hca_spin_lock(&v->lock, flags);
	for (i = 0; i < n; i++)
		give_block(v, page[i], order);
	hca_spin_unlock(&v->lock, flags);
}

/* The slot's lock is held. What is given back first goes first: its cache lines are the coldest. */
static void push(struct iova *v, unsigned int slot, u32 order, u32 page)
{
	struct iova_slot *s = &v->slot[slot];
	u32 *mag = magazine_of(v, slot, order);

	if (hca_unlikely(s->count[order] == IOVA_MAG)) {
		give_batch(v, order, mag, IOVA_MAG / 2);
		s->count[order] = IOVA_MAG / 2;
		hca_memmove(mag, mag + IOVA_MAG / 2, IOVA_MAG / 2 * sizeof(*mag));
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

/* Whole chunks, or a block too large for a magazine. */
static u64 take_large(struct iova *v, unsigned int slot, u64 pages, u64 boundary, u32 lead)
{
	struct iova_slot *s = &v->slot[slot];
	u64 page, n = (lead + pages + IOVA_CHUNK - 1) / IOVA_CHUNK;
	hca_irqflags_t flags;

	if (pages > IOVA_SMALL && n > v->chunks)
		return IOVA_NONE;
	hca_spin_lock(&v->lock, flags);
	if (pages <= IOVA_SMALL)
		page = take_block(v, order_of(pages));
	else
		page = take_run(v, (u32)n, boundary / IOVA_CHUNK);
	hca_spin_unlock(&v->lock, flags);
	if (page == IOVA_NONE)
		return page;
	hca_spin_lock(&s->lock, flags);
	s->taken += pages <= IOVA_SMALL ? 1u << order_of(pages) : n * IOVA_CHUNK;
	hca_spin_unlock(&s->lock, flags);
	return page + lead;
}

u64 iova_alloc(struct iova *v, unsigned int slot, u64 pages, u64 boundary, u32 lead)
{
	u32 order = order_of(pages);
	u64 page;

	/* A naturally aligned block needs no other alignment; a chunk has any boundary of less than its size. */
	if (hca_likely(order < IOVA_MAG_ORDERS))
		page = take_small(v, slot, order);
	else
		page = take_large(v, slot, pages, boundary, lead);
	return page == IOVA_NONE ? page : v->base + page;
}

/* The slot's lock is held. */
static void give(struct iova *v, unsigned int slot, u32 page, u32 pages)
{
	struct iova_slot *s = &v->slot[slot];
	u32 order = order_of(pages);
	hca_irqflags_t flags;

	if (hca_likely(order < IOVA_MAG_ORDERS)) {
		s->given += 1u << order;
		push(v, slot, order, page);
		return;
	}
	hca_spin_lock(&v->lock, flags);
	if (pages <= IOVA_SMALL) {
		s->given += 1u << order;
		give_block(v, page, order);
	} else {
		s->given += (u64)(page % IOVA_CHUNK + pages + IOVA_CHUNK - 1) / IOVA_CHUNK * IOVA_CHUNK;
		give_run(v, page, pages);
	}
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
	hca_irqflags_t flags;
	u32 i;

	hca_spin_lock(&v->slot[slot].lock, flags);
	for (i = 0; i < n; i++)
		give(v, slot, r[i].page, r[i].pages);
	hca_spin_unlock(&v->slot[slot].lock, flags);
}

void iova_drain(struct iova *v)
{
	hca_irqflags_t flags;
	struct iova_slot *s;
	u32 i, order;

	for (i = 0; i < HCA_SLOTS; i++) {
		s = &v->slot[i];
		hca_spin_lock(&s->lock, flags);
		for (order = 0; order < IOVA_MAG_ORDERS; order++) {
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
