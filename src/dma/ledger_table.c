/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ledger's table; see ledger_table.h. One array of hash chains has the roots of the blocks' trees, the addresses
 * where mappings begin, and the mappings' descriptions. The trees are treaps: a cell's place follows from its bytes and
 * from a random priority, so that no order of calls makes them deep.
 */
#include "dma/ledger_table.h"

#define FIRST_BUCKETS 1024u
#define SPREAD 0x9e3779b97f4a7c15ull

/* What a hash node is; part of its hash, so that equal numbers of different meaning fall apart. */
enum { BY_BLOCK = 1, BY_ADDRESS, BY_DESCRIPTION };

int hca_ledger_table_init(struct hca_ledger_table *t)
{
	hca_memset(t, 0, sizeof(*t));
	t->bucket = hca_alloc(FIRST_BUCKETS * sizeof(*t->bucket), HCA_MAY_SLEEP);
	if (!t->bucket)
		return -ENOMEM;
	t->buckets = FIRST_BUCKETS;
	t->chance = 1;
	return 0;
}

void hca_ledger_table_fini(struct hca_ledger_table *t)
{
	hca_free(t->bucket);
}

/* --- hash chains --- */

static u64 mix(u64 h, u64 value)
{
	h = (h ^ value) * SPREAD;
	return h ^ h >> 32;
}

static u64 block_hash(u64 block, u32 class, u32 state)
{
	return mix(mix(BY_BLOCK, block), (u64) class << 8 | state);
}

static u64 address_hash(u64 addr)
{
	return mix(mix(BY_ADDRESS, addr), 0);
}

static u64 description_hash(const struct hca_mapping *m, enum hca_ledger_like which)
{
	u64 h = mix(mix(BY_DESCRIPTION, hca_dma_u64(m->addr)), m->size);

	h = mix(mix(h, (u64)(uintptr_t)m->list), m->entries);
	return mix(h, (u64)m->kind << 16 | (u64)(u8)m->dir << 8 | (u64)which);
}

static struct hca_ledger_node **chain(const struct hca_ledger_table *t, u64 hash)
{
	return &t->bucket[hash & (t->buckets - 1)];
}

static void node_link(struct hca_ledger_table *t, struct hca_ledger_node *n)
{
	struct hca_ledger_node **head = chain(t, n->hash);

	n->next = *head;
	n->pprev = head;
	if (n->next)
		n->next->pprev = &n->next;
	*head = n;
}

static void node_add(struct hca_ledger_table *t, struct hca_ledger_node *n, u64 hash)
{
	n->hash = hash;
	node_link(t, n);
	t->nodes++;
}

static void node_del(struct hca_ledger_table *t, struct hca_ledger_node *n)
{
	*n->pprev = n->next;
	if (n->next)
		n->next->pprev = n->pprev;
	t->nodes--;
}

static void node_replace(const struct hca_ledger_node *old, struct hca_ledger_node *n)
{
	*n = *old;
	*n->pprev = n;
	if (n->next)
		n->next->pprev = &n->next;
}

/* Twice the buckets. Where there is no memory the old ones stay, only fuller. */
static void grow(struct hca_ledger_table *t)
{
	struct hca_ledger_node **old = t->bucket;
	u64 n = t->buckets;
	u64 i;

	t->bucket = hca_alloc((size_t)(2 * n * sizeof(*t->bucket)), 0);
	if (!t->bucket) {
		t->bucket = old;
		return;
	}
	t->buckets = 2 * n;
	for (i = 0; i < n; i++) {
		struct hca_ledger_node *c = old[i], *next;

		for (; c; c = next) {
			next = c->next;
			node_link(t, c);
		}
	}
	hca_free(old);
}

/* --- a block's tree --- */

static struct hca_ledger_seg *seg_of(const struct hca_ledger_cell *c)
{
	const struct hca_ledger_cell *first = c - c->which;

	return (struct hca_ledger_seg *)((char *)(uintptr_t)first - offsetof(struct hca_ledger_seg, cell));
}

static u64 last_of(const struct hca_ledger_seg *s)
{
	return s->addr + (s->len - 1);
}

static u64 block_of(const struct hca_ledger_cell *c)
{
	const struct hca_ledger_seg *s = seg_of(c);

	return (c->which ? last_of(s) : s->addr) >> s->class;
}

static u64 reach(const struct hca_ledger_cell *c)
{
	return last_of(seg_of(c));
}

/* Where a piece goes in the tree, seen from another: below 0 left, above 0 right, 0: they are the same bytes. */
static int compare(const struct hca_ledger_seg *a, const struct hca_ledger_seg *b)
{
	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return a->len == b->len ? 0 : a->len < b->len ? -1 : 1;
}

static void set_top(struct hca_ledger_cell *c)
{
	c->top = c;
	if (c->left && reach(c->left->top) > reach(c->top))
		c->top = c->left->top;
	if (c->right && reach(c->right->top) > reach(c->top))
		c->top = c->right->top;
}

static void set_tops(struct hca_ledger_table *t, struct hca_ledger_cell *c)
{
	for (; c; c = c->parent) {
		t->probes++;
		set_top(c);
	}
}

/* In @old's place below its parent, or as the root, comes @c, which may be NULL below a parent. */
static void put_in_place(const struct hca_ledger_cell *old, struct hca_ledger_cell *c)
{
	struct hca_ledger_cell *up = old->parent;

	if (c)
		c->parent = up;
	if (!up)
		node_replace(&old->node, &c->node);
	else if (up->left == old)
		up->left = c;
	else
		up->right = c;
}

/* A cell changes places with its parent, order kept. */
static void rotate(struct hca_ledger_cell *c)
{
	struct hca_ledger_cell *up = c->parent, *inner;

	put_in_place(up, c);
	if (up->left == c) {
		inner = c->right;
		up->left = inner;
		c->right = up;
	} else {
		inner = c->left;
		up->right = inner;
		c->left = up;
	}
	if (inner)
		inner->parent = up;
	up->parent = c;
	set_top(up);
}

static struct hca_ledger_cell *find_root(struct hca_ledger_table *t, u64 block, u32 class, u32 state)
{
	u64 hash = block_hash(block, class, state);
	struct hca_ledger_node *n;

	for (n = *chain(t, hash); n; n = n->next) {
		struct hca_ledger_cell *c = hca_container_of(n, struct hca_ledger_cell, node);

		t->probes++;
		/* What has the hash of a block is one unless the mixing fails, and then the second look says so. */
		if (n->hash == hash && seg_of(c)->class == class && seg_of(c)->state == state && block_of(c) == block)
			return c;
	}
	return NULL;
}

static void add_mate(struct hca_ledger_cell *c, struct hca_ledger_cell *mate)
{
	mate->mate = true;
	mate->left = c;
	mate->right = c->mates;
	if (mate->right)
		mate->right->left = mate;
	c->mates = mate;
}

static void del_mate(struct hca_ledger_cell *mate)
{
	if (mate->left->mates == mate)
		mate->left->mates = mate->right;
	else
		mate->left->right = mate->right;
	if (mate->right)
		mate->right->left = mate->left;
}

static u32 next_chance(struct hca_ledger_table *t)
{
	t->chance ^= t->chance << 13;
	t->chance ^= t->chance >> 17;
	t->chance ^= t->chance << 5;
	return t->chance;
}

static void add_cell(struct hca_ledger_table *t, struct hca_ledger_cell *c)
{
	const struct hca_ledger_seg *s = seg_of(c);
	struct hca_ledger_cell *at = find_root(t, block_of(c), s->class, s->state), **side = NULL;

	c->left = NULL;
	c->right = NULL;
	c->parent = NULL;
	c->mates = NULL;
	c->mate = false;
	c->top = c;
	c->priority = next_chance(t);
	if (!at) {
		node_add(t, &c->node, block_hash(block_of(c), s->class, s->state));
		return;
	}
	for (; at; at = *side) {
		int way = compare(s, seg_of(at));

		t->probes++;
		if (!way) {
			add_mate(at, c);
			return;
		}
		c->parent = at;
		side = way < 0 ? &at->left : &at->right;
	}
	*side = c;
	while (c->parent && c->parent->priority < c->priority) {
		t->probes++;
		rotate(c);
	}
	set_tops(t, c);
}

/* A mate takes its cell's place: they are the same bytes. */
static void promote(struct hca_ledger_table *t, struct hca_ledger_cell *c)
{
	struct hca_ledger_cell *mate = c->mates;

	mate->mate = false;
	mate->mates = mate->right;
	if (mate->mates)
		mate->mates->left = mate;
	mate->priority = c->priority;
	mate->left = c->left;
	mate->right = c->right;
	if (mate->left)
		mate->left->parent = mate;
	if (mate->right)
		mate->right->parent = mate;
	put_in_place(c, mate);
	set_tops(t, mate);
}

static void del_cell(struct hca_ledger_table *t, struct hca_ledger_cell *c)
{
	t->probes++;
	if (c->mate) {
		del_mate(c);
		return;
	}
	if (c->mates) {
		promote(t, c);
		return;
	}
	while (c->left && c->right) {
		t->probes++;
		rotate(c->left->priority > c->right->priority ? c->left : c->right);
	}
	if (!c->parent && !c->left && !c->right) {
		node_del(t, &c->node);
		return;
	}
	put_in_place(c, c->left ? c->left : c->right);
	set_tops(t, c->parent);
}

/* Of a tree's pieces that begin at @addr or before, the one that reaches furthest. */
static struct hca_ledger_cell *furthest(struct hca_ledger_table *t, struct hca_ledger_cell *c, u64 addr)
{
	struct hca_ledger_cell *best = NULL;

	while (c) {
		t->probes++;
		if (seg_of(c)->addr > addr) {
			c = c->left;
			continue;
		}
		/* All that is left of it begins no later. */
		if (c->left && (!best || reach(c->left->top) > reach(best)))
			best = c->left->top;
		if (!best || reach(c) > reach(best))
			best = c;
		c = c->right;
	}
	return best;
}

/* --- pieces --- */

static u8 class_of(u64 len)
{
	u8 k = HCA_PAGE_SHIFT;

	while (k < HCA_LEDGER_CLASSES - 1 && len > 1ull << k)
		k++;
	return k;
}

static void count_cells(struct hca_ledger_table *t, const struct hca_ledger_seg *s, bool add)
{
	u64 *n = &t->in_use[s->state][s->class];

	t->cells += add ? s->cells : 0ull - s->cells;
	*n += add ? s->cells : 0ull - s->cells;
	if (*n)
		t->classes[s->state] |= 1ull << s->class;
	else
		t->classes[s->state] &= ~(1ull << s->class);
}

/* The lowest of the classes in a mask that isn't 0, and the mask without it. A kernel for 32 bits has no __ctzdi2(). */
static u32 next_class(u64 *classes)
{
	u32 low = (u32)*classes, k = low ? (u32)__builtin_ctz(low) : 32 + (u32)__builtin_ctz((u32)(*classes >> 32));

	*classes &= *classes - 1;
	return k;
}

static void add_seg(struct hca_ledger_table *t, struct hca_ledger_seg *s, u32 state)
{
	u8 j;

	s->state = (u8)state;
	s->class = class_of(s->len);
	s->cells = s->addr >> s->class == last_of(s) >> s->class ? 1 : 2;
	for (j = 0; j < s->cells; j++) {
		s->cell[j].which = j;
		add_cell(t, &s->cell[j]);
	}
	count_cells(t, s, true);
}

static void del_seg(struct hca_ledger_table *t, struct hca_ledger_seg *s)
{
	u8 j;

	for (j = 0; j < s->cells; j++)
		del_cell(t, &s->cell[j]);
	count_cells(t, s, false);
	s->cells = 0;
}

/* --- mappings --- */

static u32 live_state(const struct hca_ledger_rec *rec)
{
	HCA_ASSERT((u32)rec->map.dir < HCA_LEDGER_UNCHECKED);
	return (u32)rec->map.dir + (rec->checked ? 0 : HCA_LEDGER_UNCHECKED);
}

bool hca_ledger_alike(const struct hca_mapping *a, const struct hca_mapping *b)
{
	return a->addr == b->addr && a->size == b->size && a->kind == b->kind && a->dir == b->dir &&
	       a->list == b->list && a->entries == b->entries;
}

static enum hca_ledger_like like_of(const struct hca_ledger_rec *rec)
{
	if (rec->ended)
		return HCA_LEDGER_LIKE_ENDED;
	return rec->checked ? HCA_LEDGER_LIKE_CHECKED : HCA_LEDGER_LIKE_UNCHECKED;
}

struct hca_ledger_rec *hca_ledger_table_like(struct hca_ledger_table *t, const struct hca_mapping *m,
					     enum hca_ledger_like which)
{
	u64 hash = description_hash(m, which);
	struct hca_ledger_node *n;

	for (n = *chain(t, hash); n; n = n->next) {
		struct hca_ledger_rec *rec = hca_container_of(n, struct hca_ledger_rec, like);

		t->probes++;
		if (n->hash == hash && like_of(rec) == which && hca_ledger_alike(&rec->map, m))
			return rec;
	}
	return NULL;
}

struct hca_ledger_rec *hca_ledger_table_at(struct hca_ledger_table *t, u64 addr)
{
	u64 hash = address_hash(addr);
	struct hca_ledger_node *n;

	for (n = *chain(t, hash); n; n = n->next) {
		struct hca_ledger_rec *rec = hca_container_of(n, struct hca_ledger_rec, at);

		t->probes++;
		if (n->hash == hash && hca_dma_u64(rec->map.addr) == addr)
			return rec;
	}
	return NULL;
}

static void like_add(struct hca_ledger_table *t, struct hca_ledger_rec *rec)
{
	struct hca_ledger_rec *first = hca_ledger_table_like(t, &rec->map, like_of(rec));

	rec->like_next = first ? first : rec;
	rec->like_prev = first ? first->like_prev : rec;
	rec->like_next->like_prev = rec;
	rec->like_prev->like_next = rec;
	if (first)
		node_replace(&first->like, &rec->like); /* the latest comes first */
	else
		node_add(t, &rec->like, description_hash(&rec->map, like_of(rec)));
}

static void like_del(struct hca_ledger_table *t, struct hca_ledger_rec *rec)
{
	bool first = hca_ledger_table_like(t, &rec->map, like_of(rec)) == rec;

	if (first && rec->like_next != rec)
		node_replace(&rec->like, &rec->like_next->like);
	else if (first)
		node_del(t, &rec->like);
	rec->like_next->like_prev = rec->like_prev;
	rec->like_prev->like_next = rec->like_next;
}

static void at_add(struct hca_ledger_table *t, struct hca_ledger_rec *rec)
{
	struct hca_ledger_rec *first = hca_ledger_table_at(t, hca_dma_u64(rec->map.addr));

	rec->at_next = first ? first : rec;
	rec->at_prev = first ? first->at_prev : rec;
	rec->at_next->at_prev = rec;
	rec->at_prev->at_next = rec;
	if (!first)
		node_add(t, &rec->at, address_hash(hca_dma_u64(rec->map.addr)));
	else if (!rec->checked)
		node_replace(&first->at, &rec->at);
}

static void at_del(struct hca_ledger_table *t, struct hca_ledger_rec *rec)
{
	bool first = hca_ledger_table_at(t, hca_dma_u64(rec->map.addr)) == rec;

	if (first && rec->at_next != rec)
		node_replace(&rec->at, &rec->at_next->at);
	else if (first)
		node_del(t, &rec->at);
	rec->at_next->at_prev = rec->at_prev;
	rec->at_prev->at_next = rec->at_next;
}

void hca_ledger_table_add(struct hca_ledger_table *t, struct hca_ledger_rec *rec)
{
	u32 i;

	/* A mapping has three nodes: its bytes, its address, its description. */
	if (t->nodes > 2 * t->buckets)
		grow(t);
	for (i = 0; i < rec->nsegs; i++) {
		rec->seg[i].rec = rec;
		add_seg(t, &rec->seg[i], live_state(rec));
	}
	at_add(t, rec);
	like_add(t, rec);
}

void hca_ledger_table_end(struct hca_ledger_table *t, struct hca_ledger_rec *rec)
{
	struct hca_ledger_seg *old;
	u32 i;

	like_del(t, rec);
	at_del(t, rec);
	rec->ended = true;
	if (rec->map.entries)
		like_add(t, rec);
	for (i = 0; i < rec->nsegs; i++)
		while ((old = hca_ledger_table_ended_at(t, rec->seg[i].addr)))
			del_seg(t, old);
	for (i = 0; i < rec->nsegs; i++) {
		del_seg(t, &rec->seg[i]);
		add_seg(t, &rec->seg[i], HCA_LEDGER_ENDED);
	}
}

void hca_ledger_table_del(struct hca_ledger_table *t, struct hca_ledger_rec *rec)
{
	u32 i;

	if (rec->map.entries)
		like_del(t, rec);
	for (i = 0; i < rec->nsegs; i++)
		del_seg(t, &rec->seg[i]);
}

void hca_ledger_table_check(struct hca_ledger_table *t, struct hca_ledger_rec *rec)
{
	u32 i;

	if (rec->checked)
		return;
	like_del(t, rec);
	at_del(t, rec);
	rec->checked = true;
	for (i = 0; i < rec->nsegs; i++) {
		del_seg(t, &rec->seg[i]);
		add_seg(t, &rec->seg[i], live_state(rec));
	}
	at_add(t, rec);
	like_add(t, rec);
}

/* A tree's piece that begins at @addr. */
static struct hca_ledger_cell *begins(struct hca_ledger_table *t, struct hca_ledger_cell *c, u64 addr)
{
	while (c && seg_of(c)->addr != addr) {
		t->probes++;
		c = addr < seg_of(c)->addr ? c->left : c->right;
	}
	return c;
}

struct hca_ledger_seg *hca_ledger_table_ended_at(struct hca_ledger_table *t, u64 addr)
{
	u64 classes = t->classes[HCA_LEDGER_ENDED];
	struct hca_ledger_cell *c = NULL;
	u32 k;

	while (classes && !c) {
		k = next_class(&classes);
		c = begins(t, find_root(t, addr >> k, k, HCA_LEDGER_ENDED), addr);
	}
	return c ? seg_of(c) : NULL;
}

struct hca_ledger_seg *hca_ledger_table_cover(struct hca_ledger_table *t, u64 addr, u32 states)
{
	struct hca_ledger_cell *best = NULL, *c;
	u32 state, k;
	u64 classes;

	for (state = 0; state < HCA_LEDGER_STATES; state++) {
		classes = states & HCA_LEDGER_IN(state) ? t->classes[state] : 0;
		while (classes) {
			k = next_class(&classes);
			c = furthest(t, find_root(t, addr >> k, k, state), addr);
			if (c && reach(c) >= addr && (!best || reach(c) > reach(best)))
				best = c;
		}
	}
	return best ? seg_of(best) : NULL;
}
