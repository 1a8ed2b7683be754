/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Free pages of an aperture; see iova_tree.h. A change touches a chunk's bits and then
 * the nodes above it, up to the first one that stays as it was.
 */
#include "iova_tree.h"

#define WORDS (IOVA_CHUNK / IOVA_WORD) /* in a chunk */
#define WHOLE (1u << IOVA_ORDERS) /* the bit in orders of a chunk that is all free */

/* Bits where an aligned block of 2^order bits may begin. */
static const u64 starts[] = {
	~0ull,
	0x5555555555555555ull,
	0x1111111111111111ull,
	0x0101010101010101ull,
	0x0001000100010001ull,
	0x0000000100000001ull,
	1ull,
};

/* --- a chunk --- */

/*
 * Of the free blocks that begin at the bits of @w and have 2^@order bits each, those that no larger block holds; the
 * larger ones go to @larger. The same for words: a word that is all free is a bit.
 */
static inline u64 maximal(u64 w, u32 order, u64 *larger)
{
	*larger = w & (w >> (1u << order)) & starts[order + 1];
	return w & ~(*larger | *larger << (1u << order));
}

/* Bit i: is word i of the chunk all free? */
static u32 free_words(const struct iova_chunk *k)
{
	u32 i, free = 0;

	for (i = 0; i < WORDS; i++)
		free |= (u32)!k->used[i] << i;
	return free;
}

static u32 chunk_orders(const struct iova_chunk *k, u32 free)
{
	u64 w, words = free;
	u32 i, order, orders = 0;

	/* Words that are all free count below; most of the others have few orders. */
	for (i = 0; i < WORDS; i++)
		for (w = k->used[i] ? ~k->used[i] : 0, order = 0; w && order < 6; order++)
			orders |= (u32) !!maximal(w, order, &w) << order;
	for (order = 6; order < IOVA_ORDERS; order++)
		orders |= (u32) !!maximal(words, order - 6, &words) << order;
	return orders | (words ? WHOLE : 0);
}

/* The first free block of exactly 2^@order pages, as chunk_orders() said that there is one. */
static u32 chunk_find(const struct iova_chunk *k, u32 order)
{
	u64 w = 0, words = free_words(k);
	u32 i, o;

	if (order >= 6) {
		for (o = 6; o < order; o++)
			maximal(words, o - 6, &words);
		w = order < IOVA_ORDERS ? maximal(words, order - 6, &words) : words;
		return w ? (u32)__builtin_ctzll(w) * IOVA_WORD : IOVA_CHUNK;
	}
	for (i = 0; i < WORDS; i++) {
		w = ~k->used[i];
		for (o = 0; o < order; o++)
			maximal(w, o, &w);
		w = maximal(w, order, &words);
		if (w)
			return i * IOVA_WORD + (u32)__builtin_ctzll(w);
	}
	return IOVA_CHUNK;
}

/* The bits of word @i that pages [@at, @at + @n) of a chunk have. */
static u64 mask_of(u32 i, u32 at, u32 n)
{
	u32 from = HCA_MAX(at, i * IOVA_WORD), end = HCA_MIN(at + n, (i + 1) * IOVA_WORD);

	return from < end ? ~0ull >> (IOVA_WORD - (end - from)) << from % IOVA_WORD : 0;
}

/* Pages become used or free. Return: false if one of them was so already, and then nothing changes. */
static bool chunk_mark(struct iova_chunk *k, u32 at, u32 n, bool used)
{
	u32 i, first = at / IOVA_WORD, end = (at + n + IOVA_WORD - 1) / IOVA_WORD;

	for (i = first; i < end; i++)
		if ((used ? k->used[i] : ~k->used[i]) & mask_of(i, at, n))
			return false;
	for (i = first; i < end; i++)
		k->used[i] ^= mask_of(i, at, n);
	return true;
}

/* --- nodes --- */

static u32 best_of(const struct iova_node *n, u32 span)
{
	return span - n->best;
}

static u32 inside_of(const struct iova_tree *t, const struct iova_node *n, u32 span)
{
	return HCA_MIN(span, t->window) - n->inside;
}

static u32 orders_of(const struct iova_node *n)
{
	return n->orders ^ WHOLE;
}

static struct iova_node *leaf_of(const struct iova_tree *t, u32 chunk)
{
	return &t->node[t->leaves + t->skew + chunk];
}

static struct iova_chunk *chunk_at(const struct iova_tree *t, u32 leaf)
{
	return &t->chunk[leaf - t->leaves - t->skew];
}

/* Nothing is free in a range of @span words. */
static void set_none(const struct iova_tree *t, struct iova_node *n, u32 span)
{
	n->pre = n->suf = n->best = span;
	n->inside = HCA_MIN(span, t->window);
	n->orders = WHOLE;
}

static void fill_leaf(struct iova_node *n, const struct iova_chunk *k)
{
	u32 free = free_words(k), w, best = 0;

	for (w = free; w; w &= w >> 1)
		best++;
	n->pre = WORDS - (u32)__builtin_ctz(~free);
	n->suf = WORDS - (u32)__builtin_clz(~(free << (32 - WORDS)));
	n->best = n->inside = WORDS - best;
	n->orders = chunk_orders(k, free) ^ WHOLE;
}

/* A node from its children, whose ranges are @half words each. */
static struct iova_node joined(const struct iova_tree *t, u32 i, u32 half)
{
	const struct iova_node *a = &t->node[2 * i], *b = &t->node[2 * i + 1];
	u32 middle = half - a->suf + half - b->pre, best, inside;
	struct iova_node n;

	best = HCA_MAX(best_of(a, half), best_of(b, half));
	best = HCA_MAX(best, middle);
	inside = HCA_MAX(inside_of(t, a, half), inside_of(t, b, half));
	if (half < t->window)
		inside = HCA_MAX(inside, middle);
	n.pre = a->pre ? half + a->pre : b->pre;
	n.suf = b->suf ? half + b->suf : a->suf;
	n.best = 2 * half - best;
	n.inside = HCA_MIN(2 * half, t->window) - inside;
	n.orders = (orders_of(a) | orders_of(b)) ^ WHOLE;
	return n;
}

static bool same(const struct iova_node *a, const struct iova_node *b)
{
	return !((a->pre ^ b->pre) | (a->suf ^ b->suf) | (a->best ^ b->best) | (a->inside ^ b->inside) |
		 (a->orders ^ b->orders));
}

/* Chunks [@first, @last] have changed. */
static void settle(struct iova_tree *t, u32 first, u32 last)
{
	u32 from = t->leaves + t->skew + first, to = t->leaves + t->skew + last, half = WORDS, i;
	struct iova_node n;
	bool changed;

	for (i = first; i <= last; i++)
		fill_leaf(leaf_of(t, i), &t->chunk[i]);
	t->looks += last - first + 1;
	for (changed = true; changed && from > 1; half *= 2) {
		from /= 2;
		to /= 2;
		changed = false;
		for (i = from; i <= to; i++) {
			n = joined(t, i, half);
			changed |= !same(&n, &t->node[i]);
			t->node[i] = n;
		}
		t->looks += to - from + 1;
	}
}

/* Leaves from @first on are below node @i, @n of them: what is outside the aperture is never free. */
static void shut_outside(struct iova_tree *t, u32 i, u32 first, u32 n)
{
	u32 end = t->skew + t->chunks;

	if (first >= t->skew && first + n <= end)
		return;
	if (first + n <= t->skew || first >= end) {
		set_none(t, &t->node[i], n * WORDS);
		return;
	}
	shut_outside(t, 2 * i, first, n / 2);
	shut_outside(t, 2 * i + 1, first + n / 2, n / 2);
	t->node[i] = joined(t, i, n / 2 * WORDS);
}

static u32 power_from(u32 n)
{
	return n <= 1 ? 1 : 1u << (32 - (u32)__builtin_clz(n - 1));
}

int iova_tree_init(struct iova_tree *t, u64 first, u32 chunks, u64 boundary)
{
	u32 size = power_from(chunks);
	u64 period = boundary && boundary < size ? boundary : size;

	t->looks = 0;
	t->chunks = chunks;
	t->skew = (u32)(first % period);
	t->leaves = power_from(t->skew + chunks);
	t->window = ~0u;
	if (boundary && boundary < size)
		t->window = (u32)boundary * WORDS;
	else if (boundary && t->leaves > size && !((first - t->skew + size) % boundary))
		t->window = size * WORDS; /* the only boundary inside is in the middle */
	t->chunk = hca_alloc(chunks * sizeof(*t->chunk), HCA_MAY_SLEEP);
	t->node = hca_alloc(2 * (size_t)t->leaves * sizeof(*t->node), HCA_MAY_SLEEP);
	if (!t->chunk || !t->node) {
		iova_tree_fini(t);
		return -ENOMEM;
	}
	shut_outside(t, 1, 0, t->leaves);
	return 0;
}

void iova_tree_fini(struct iova_tree *t)
{
	hca_free(t->node);
	hca_free(t->chunk);
}

bool iova_tree_idle(const struct iova_tree *t)
{
	return orders_of(&t->node[1]) & WHOLE;
}

/* --- blocks --- */

/* The lowest chunk that has a block of exactly this order; the root says that one has. */
static u32 find_order(struct iova_tree *t, u32 order)
{
	u32 i = 1;

	while (i < t->leaves) {
		i *= 2;
		if (!(orders_of(&t->node[i]) >> order & 1))
			i++;
		t->looks++;
	}
	return i - t->leaves - t->skew;
}

u32 iova_tree_take(struct iova_tree *t, u32 order, u32 *out, u32 max)
{
	struct iova_chunk *k;
	u32 n = 0, i, from, at, c, blocks;
	bool marked;

	while (n < max && orders_of(&t->node[1]) >> order) {
		from = order + (u32)__builtin_ctz(orders_of(&t->node[1]) >> order);
		c = find_order(t, from);
		k = &t->chunk[c];
		at = chunk_find(k, from);
		blocks = HCA_MIN(max - n, 1u << (from - order));
		marked = chunk_mark(k, at, blocks << order, true);
		HCA_ASSERT(marked);
		for (i = 0; i < blocks; i++)
			out[n++] = c * IOVA_CHUNK + at + (i << order);
		settle(t, c, c);
	}
	return n;
}

void iova_tree_give(struct iova_tree *t, u32 order, const u32 *page, u32 n)
{
	u32 i, c, last = ~0u;

	for (i = 0; i < n; i++) {
		c = page[i] / IOVA_CHUNK;
		if (HCA_WARN_ON(c >= t->chunks))
			continue;
		/* Neighbours often come together: their nodes are set once. */
		if (c != last && last != ~0u)
			settle(t, last, last);
		last = c;
		HCA_WARN_ON(!chunk_mark(&t->chunk[c], page[i] % IOVA_CHUNK, 1u << order, false));
	}
	if (last != ~0u)
		settle(t, last, last);
}

/* --- runs --- */

/* The highest word after a run of @need free ones; the root says that there is one. Words count from the first leaf on. */
static u64 run_end(struct iova_tree *t, u32 need, bool bounded)
{
	u32 i = 1, half = t->leaves * WORDS / 2, free, at;
	const struct iova_node *a, *b;
	u64 first = 0;

	for (; i < t->leaves; half /= 2) {
		a = &t->node[2 * i];
		b = a + 1;
		t->looks += 2;
		i *= 2;
		if ((bounded ? inside_of(t, b, half) : best_of(b, half)) >= need) {
			i++;
			first += half;
		} else if ((!bounded || half < t->window) && half - a->suf + half - b->pre >= need) {
			return first + half + (half - b->pre);
		}
	}
	free = free_words(chunk_at(t, i));
	for (at = WORDS - need; (free >> at & ((1u << need) - 1)) != (1u << need) - 1; at--)
		;
	return first + at + need;
}

/* Words from one of the first leaf on become used, or free again: all of them, or none. */
static bool mark_run(struct iova_tree *t, u64 at, u64 words, bool used)
{
	u64 end = at + words, i, skew = (u64)t->skew * WORDS, n;

	if (at < skew || end > skew + (u64)t->chunks * WORDS)
		return false;
	for (i = at - skew; i < end - skew; i += n) {
		n = HCA_MIN(end - skew - i, WORDS - i % WORDS);
		if (!chunk_mark(&t->chunk[i / WORDS], (u32)(i % WORDS) * IOVA_WORD, (u32)n * IOVA_WORD, used))
			break;
	}
	if (i < end - skew) { /* undo */
		for (end = i, i = at - skew; i < end; i += n) {
			n = HCA_MIN(end - i, WORDS - i % WORDS);
			chunk_mark(&t->chunk[i / WORDS], (u32)(i % WORDS) * IOVA_WORD, (u32)n * IOVA_WORD, !used);
		}
		return false;
	}
	settle(t, (u32)((at - skew) / WORDS), (u32)((end - skew - 1) / WORDS));
	return true;
}

static u64 taken_at(struct iova_tree *t, u64 at, u64 words)
{
	bool taken = mark_run(t, at, words, true);

	HCA_ASSERT(taken);
	return (at - (u64)t->skew * WORDS) * IOVA_WORD;
}

u64 iova_tree_take_run(struct iova_tree *t, u64 words, u32 align, u32 phase, bool bounded)
{
	u64 need = words + align - 1, all = (u64)t->leaves * WORDS, at;

	if (need > all || (bounded ? inside_of(t, &t->node[1], (u32)all) : best_of(&t->node[1], (u32)all)) < need)
		return IOVA_NONE;
	at = run_end(t, (u32)need, bounded) - words;
	/* The first leaf is at a multiple of every alignment that is asked for. */
	at -= (at - phase) & (align - 1);
	return taken_at(t, at, words);
}

/* Free words from @at on, up to @want. */
static u64 free_from(struct iova_tree *t, u64 at, u64 want)
{
	u32 i = t->leaves + (u32)(at / WORDS), span = WORDS;
	const struct iova_node *n;
	u64 free;

	if (at / WORDS < t->skew || at / WORDS >= t->skew + t->chunks)
		return 0;
	free = (u64)__builtin_ctz(~(free_words(chunk_at(t, i)) >> at % WORDS));
	if (free < WORDS - at % WORDS)
		return free;
	for (; free < want && i > 1; i /= 2, span *= 2) {
		t->looks++;
		if (i & 1)
			continue;
		n = &t->node[i + 1];
		free += span - n->pre;
		if (n->pre)
			break;
	}
	return free;
}

u64 iova_tree_take_at_multiple(struct iova_tree *t, u64 words, u64 align)
{
	u64 at = (u64)t->skew * WORDS, end = at + (u64)t->chunks * WORDS, free;

	for (at = (at + align - 1) & ~(align - 1); at < end && words <= end - at;) {
		free = free_from(t, at, words);
		if (free >= words)
			return taken_at(t, at, words);
		at = (at + free + align) & ~(align - 1);
	}
	return IOVA_NONE;
}

void iova_tree_give_run(struct iova_tree *t, u32 page, u32 words)
{
	bool given = mark_run(t, (u64)t->skew * WORDS + page / IOVA_WORD, words, false);

	HCA_WARN_ON(!given);
}
