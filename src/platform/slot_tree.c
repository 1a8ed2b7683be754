/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Free slots of a pool; see slot_tree.h. A change touches a run's words; the nodes above
 * them follow later, up to the first one that stays as it was: of several changes in one
 * word only the last one counts.
 */
#include "slot_tree.h"

#define WORD 64u
#define WORD_ORDER 6u

/* Bits where an aligned block of 2^order bits may begin. */
static const u64 starts[WORD_ORDER + 1] = {
	~0ull,
	0x5555555555555555ull,
	0x1111111111111111ull,
	0x0101010101010101ull,
	0x0001000100010001ull,
	0x0000000100000001ull,
	1ull,
};

/* What is left of a free run when it is to begin at an odd slot, or at an even one. */
static u32 usable(u32 at, u32 len, bool odd)
{
	u32 lost = (at ^ odd) & 1;

	return len > lost ? len - lost : 0;
}

/* --- a word; of the free slots a bit is set --- */

static u32 ones_from(u64 w, u32 bit)
{
	w = ~(w >> bit);
	return w ? HCA_MIN((u32)__builtin_ctzll(w), WORD - bit) : WORD - bit;
}

/* Of the bits where a free block of 2^@order begins, those where one of twice the size does. */
static u64 larger_blocks(u64 w, u32 order)
{
	return order < WORD_ORDER ? w & w >> (1u << order) & starts[order + 1] : 0;
}

static u64 block_starts(u64 w, u32 order)
{
	u32 k;

	for (k = 0; k < order; k++)
		w = larger_blocks(w, k);
	return w;
}

static struct slot_node word_node(u64 w)
{
	struct slot_node n = { .pre = ones_from(w, 0) };
	u32 at, len, k;
	u64 b;

	n.suf = ~w ? (u32)__builtin_clzll(~w) : WORD;
	for (b = w, k = 0; b; b = larger_blocks(b, k), k++)
		n.blocks |= 1u << k;
	while (w) {
		at = (u32)__builtin_ctzll(w);
		len = ones_from(w, at);
		n.best[0] = HCA_MAX(n.best[0], usable(at, len, false));
		n.best[1] = HCA_MAX(n.best[1], usable(at, len, true));
		w &= at + len < WORD ? ~0ull << (at + len) : 0;
	}
	return n;
}

/* The first such run in a word. Return: its first bit, or SLOT_NONE */
static u32 word_find(u64 w, u32 slots, bool odd)
{
	u32 at, len;

	while (w) {
		at = (u32)__builtin_ctzll(w);
		len = ones_from(w, at);
		if (usable(at, len, odd) >= slots)
			return at + len - usable(at, len, odd);
		w &= at + len < WORD ? ~0ull << (at + len) : 0;
	}
	return SLOT_NONE;
}

/* --- the tree --- */

static struct slot_node join(const struct slot_node *a, const struct slot_node *b, u32 half)
{
	struct slot_node n;
	u32 odd, run = a->suf + b->pre;

	n.pre = a->pre == half ? half + b->pre : a->pre;
	n.suf = b->suf == half ? half + a->suf : b->suf;
	for (odd = 0; odd < 2; odd++) {
		n.best[odd] = HCA_MAX(a->best[odd], b->best[odd]);
		/* Halves are even, so a place in one says whether the slot is odd. */
		n.best[odd] = HCA_MAX(n.best[odd], usable(half - a->suf, run, odd));
	}
	n.blocks = a->blocks | b->blocks;
	if (n.pre == 2 * half && 2 * half < 1u << 31)
		n.blocks |= 2 * half;
	return n;
}

/* @blocks has bit n for 2^n slots, so that of a whole node is the bit of its order. */
static u32 order_of(u32 span)
{
	return (u32)__builtin_ctz(span);
}

/* From a word's node up to the first one that stays as it was. */
static void settle(struct slot_tree *t, u32 word)
{
	u32 i = t->leaves + word, span;
	struct slot_node n;

	t->node[i] = word_node(~t->used[word]);
	for (span = WORD; i > 1; span *= 2) {
		i /= 2;
		t->looks++;
		n = join(&t->node[2 * i], &t->node[2 * i + 1], span);
		if (!hca_memcmp(&n, &t->node[i], sizeof(n)))
			return;
		t->node[i] = n;
	}
}

static void settle_all(struct slot_tree *t)
{
	while (t->stales)
		settle(t, t->stale[--t->stales]);
}

static void make_stale(struct slot_tree *t, u32 word)
{
	u32 i;

	for (i = t->stales; i--;)
		if (t->stale[i] == word)
			return;
	if (t->stales == SLOT_STALE)
		settle_all(t);
	t->stale[t->stales++] = word;
}

int slot_tree_init(struct slot_tree *t, u32 slots)
{
	u32 words = slots / WORD, i;

	hca_memset(t, 0, sizeof(*t));
	HCA_ASSERT(slots && !(slots % WORD));
	for (t->leaves = 1; t->leaves < words; t->leaves *= 2)
		;
	t->slots = slots;
	t->used = hca_alloc(t->leaves * sizeof(*t->used), HCA_MAY_SLEEP);
	t->node = hca_alloc(2 * t->leaves * sizeof(*t->node), HCA_MAY_SLEEP);
	if (!t->used || !t->node) {
		slot_tree_fini(t);
		return -ENOMEM;
	}
	/* What is beyond the pool is never free. */
	for (i = words; i < t->leaves; i++)
		t->used[i] = ~0ull;
	for (i = 0; i < t->leaves; i++)
		t->node[t->leaves + i] = word_node(~t->used[i]);
	for (i = t->leaves - 1; i; i--)
		t->node[i] = join(&t->node[2 * i], &t->node[2 * i + 1],
				  WORD * t->leaves / 2 >> (31 - (u32)__builtin_clz(i)));
	return 0;
}

void slot_tree_fini(struct slot_tree *t)
{
	hca_free(t->node);
	hca_free(t->used);
}

void slot_tree_mark(struct slot_tree *t, u32 at, u32 slots, bool used)
{
	u32 first = at / WORD, last = (at + slots - 1) / WORD, i, from, end;
	u64 bits;

	HCA_ASSERT(slots && at < t->slots && slots <= t->slots - at);
	for (i = first; i <= last; i++) {
		from = i == first ? at % WORD : 0;
		end = i == last ? (at + slots - 1) % WORD + 1 : WORD;
		bits = (end == WORD ? ~0ull : (1ull << end) - 1) & ~0ull << from;
		HCA_WARN_ON(used ? t->used[i] & bits : ~t->used[i] & bits);
		t->used[i] = used ? t->used[i] | bits : t->used[i] & ~bits;
		make_stale(t, i);
	}
}

/* The first such run in a node that has one. @at: the node's first slot */
static u32 descend(struct slot_tree *t, u32 i, u32 at, u32 span, u32 slots, bool odd)
{
	const struct slot_node *a;
	u32 run, n;

	while (i < t->leaves) {
		t->looks++;
		span /= 2;
		i *= 2;
		a = &t->node[i];
		if (a->best[odd] >= slots)
			continue;
		run = a->suf + a[1].pre;
		n = usable(span - a->suf, run, odd);
		if (n >= slots)
			return at + span - a->suf + (run - n);
		i++;
		at += span;
	}
	return at + word_find(~t->used[i - t->leaves], slots, odd);
}

u32 slot_tree_find(struct slot_tree *t, u32 from, u32 slots, bool odd)
{
	u32 i = t->leaves + from / WORD, at = from / WORD * WORD, span = WORD, run, n;
	u64 w;

	if (from >= t->slots)
		return SLOT_NONE;
	w = ~t->used[from / WORD] & ~0ull << from % WORD;
	t->looks++;
	n = word_find(w, slots, odd);
	if (n != SLOT_NONE)
		return at + n;
	settle_all(t);
	if (t->node[1].best[odd] < slots)
		return SLOT_NONE;
	/* @run: free slots before @at, which is where the next node begins. */
	run = ~w ? (u32)__builtin_clzll(~w) : WORD;
	for (at += WORD; i > 1; i /= 2, span *= 2) {
		const struct slot_node *b = &t->node[i + 1];

		if (i & 1)
			continue;
		t->looks++;
		n = usable(at - run, run + b->pre, odd);
		if (n >= slots)
			return at + b->pre - n;
		if (b->best[odd] >= slots)
			return descend(t, i + 1, at, span, slots, odd);
		run = b->pre == span ? run + span : b->suf;
		at += span;
	}
	return SLOT_NONE;
}

/* The first such block in a node that has one. */
static u32 descend_to_block(struct slot_tree *t, u32 i, u32 at, u32 span, u32 order)
{
	while (i < t->leaves && order_of(span) > order) {
		t->looks++;
		span /= 2;
		i *= 2;
		if (t->node[i].blocks >> order & 1)
			continue;
		i++;
		at += span;
	}
	if (order >= WORD_ORDER)
		return at;
	return at + (u32)__builtin_ctzll(block_starts(~t->used[i - t->leaves], order));
}

u32 slot_tree_find_block(struct slot_tree *t, u32 from, u32 order)
{
	u32 block = 1u << order, span = HCA_MAX(block, WORD), i, at;
	u64 w;

	from = (from + block - 1) & ~(block - 1);
	if (from >= t->slots || span > t->leaves * WORD)
		return SLOT_NONE;
	settle_all(t);
	if (!(t->node[1].blocks >> order & 1))
		return SLOT_NONE;
	i = (t->leaves + from / WORD) / (span / WORD);
	at = from / span * span;
	t->looks++;
	if (order < WORD_ORDER) {
		w = block_starts(~t->used[from / WORD], order) & ~0ull << from % WORD;
		if (w)
			return at + (u32)__builtin_ctzll(w);
	} else if (t->node[i].blocks >> order & 1) {
		return at;
	}
	for (at += span; i > 1; i /= 2, span *= 2) {
		if (i & 1)
			continue;
		t->looks++;
		if (t->node[i + 1].blocks >> order & 1)
			return descend_to_block(t, i + 1, at, span, order);
		at += span;
	}
	return SLOT_NONE;
}
