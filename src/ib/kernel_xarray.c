/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pointers by number; see softhca/kernel/xarray.h. A tree of nodes of 64 places, as high as its highest number needs. A node
 * counts what it has: empty ones are freed, and full ones need no look for a free number.
 */
#include "os.h"
#include "softhca/kernel/alloc.h"
#include "softhca/kernel/xarray.h"

#define SHIFT 6u
#define PLACES (1u << SHIFT)
#define MAX_HEIGHT ((8 * sizeof(long) + SHIFT - 1) / SHIFT)

/* @used: places that aren't NULL; @full: children that have no free number below them. */
struct node {
	u32 used;
	u32 full;
	void *place[PLACES];
};

/* The way from the top to a place. */
struct way {
	struct node *node[MAX_HEIGHT];
	unsigned int at[MAX_HEIGHT];
};

static bool lock(struct xarray *xa)
{
	bool ours = !softhca_lock_held(&xa->xa_lock);

	if (ours)
		xa_lock(xa);
	return ours;
}

static void unlock(struct xarray *xa, bool ours)
{
	if (ours)
		xa_unlock(xa);
}

static unsigned int place_at(unsigned long index, unsigned int level)
{
	return (unsigned int)(index >> (level * SHIFT)) % PLACES;
}

/* The highest number of a tree of @height levels. */
static unsigned long reach(unsigned int height)
{
	return height * SHIFT >= 8 * sizeof(long) ? ~0ul : (1ul << (height * SHIFT)) - 1;
}

static bool node_full(const struct node *n, unsigned int level)
{
	return level ? n->full == PLACES : n->used == PLACES;
}

static struct node *new_node(gfp_t gfp)
{
	return hca_alloc(sizeof(struct node), gfp & GFP_KERNEL ? HCA_MAY_SLEEP : 0);
}

/* As high as @index needs. */
static int grow(struct xarray *xa, unsigned long index, gfp_t gfp)
{
	struct node *n, *top;

	for (; !xa->top || index > reach(xa->height); xa->height++) {
		top = xa->top;
		if (top && !top->used)
			continue; /* an empty node does at any height */
		n = new_node(gfp);
		if (!n)
			return -ENOMEM;
		if (top) {
			n->place[0] = top;
			n->used = 1;
			n->full = node_full(top, xa->height - 1);
		}
		hca_store_release(&xa->top, (void *)n);
	}
	return 0;
}

static void *load(const struct xarray *xa, unsigned long index)
{
	void *at = xa->top;
	unsigned int level;

	if (index > reach(xa->height))
		return NULL;
	for (level = xa->height; level-- && at;)
		at = ((struct node *)at)->place[place_at(index, level)];
	return at;
}

/* What a change at the bottom means above it: counts, and nodes that are empty. */
static void settle(struct xarray *xa, struct way *way, bool was_full)
{
	unsigned int level;

	for (level = 0; level < xa->height; level++) {
		struct node *n = way->node[level], *up = level + 1 < xa->height ? way->node[level + 1] : NULL;
		bool full, up_full = up && node_full(up, level + 1);

		if (!n) /* it isn't: the way has a node at each level */
			return;
		full = node_full(n, level);
		if (up && full != was_full)
			up->full += full ? 1 : (u32)-1;
		if (!n->used && up) {
			up->place[way->at[level + 1]] = NULL;
			up->used--;
			hca_free(n);
		}
		was_full = up_full;
	}
	if (!way->node[xa->height - 1]->used) {
		hca_free(way->node[xa->height - 1]);
		hca_store_release(&xa->top, (void *)NULL);
		xa->height = 0;
	}
}

/* The nodes down to @index, which are made if there are none. */
static int descend(struct xarray *xa, unsigned long index, gfp_t gfp, struct way *way)
{
	unsigned int level, up;
	struct node *n;

	for (level = xa->height, n = xa->top; level--;) {
		way->node[level] = n;
		way->at[level] = place_at(index, level);
		if (!level)
			return 0;
		if (!n->place[way->at[level]]) {
			struct node *child = new_node(gfp);

			if (!child) {
				for (up = 0; up < level; up++) /* nothing below this one */
					way->node[up] = NULL;
				return -ENOMEM;
			}
			n->place[way->at[level]] = child;
			n->used++;
		}
		n = n->place[way->at[level]];
	}
	return 0;
}

/* Empty nodes that a descent has made before it failed. */
static void give_up(struct xarray *xa, struct way *way)
{
	unsigned int level;

	for (level = 0; level < xa->height; level++) {
		struct node *n = way->node[level];

		if (!n || n->used)
			continue;
		hca_free(n);
		if (level + 1 == xa->height) {
			hca_store_release(&xa->top, (void *)NULL);
			xa->height = 0;
			return;
		}
		way->node[level + 1]->place[way->at[level + 1]] = NULL;
		way->node[level + 1]->used--;
	}
}

static int put(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp)
{
	struct way way = { 0 };
	struct node *n;
	bool was_full;
	void *was;

	if (!entry && !load(xa, index))
		return 0;
	if (grow(xa, index, gfp)) {
		if (xa->top)
			way.node[xa->height - 1] = xa->top;
		give_up(xa, &way);
		return -ENOMEM;
	}
	if (descend(xa, index, gfp, &way)) {
		give_up(xa, &way);
		return -ENOMEM;
	}
	n = way.node[0];
	if (!n) /* it isn't, after the descent */
		return -EINVAL;
	was = n->place[way.at[0]];
	was_full = node_full(n, 0);
	n->place[way.at[0]] = entry;
	n->used += (entry ? 1u : 0u) - (was ? 1u : 0u);
	settle(xa, &way, was_full);
	return 0;
}

/* The lowest number from *@index to @max that has an entry, or with @free has none. Return: false: there is none. */
static bool seek(const struct xarray *xa, unsigned long *index, unsigned long max, bool free)
{
	unsigned long i = *index;

	do {
		const struct node *n = xa->top;
		unsigned int level = xa->height;
		bool hit = free, down;

		if (i > max)
			return false;
		for (down = n && i <= reach(level); down;) {
			const void *at = n->place[place_at(i, --level)];

			hit = free ? !at : at && !level;
			down = !hit && at && level && !(free && node_full(at, level - 1));
			n = at;
		}
		*index = i;
		if (hit || level == xa->height) /* beyond the tree nothing stands */
			return hit;
		i = (i | reach(level)) + 1;
	} while (i);
	return false;
}

/* --- the calls --- */

void xa_init_flags(struct xarray *xa, gfp_t flags)
{
	*xa = (struct xarray)XARRAY_INIT(*xa, flags);
}

void *xa_load(struct xarray *xa, unsigned long index)
{
	bool ours = lock(xa);
	void *entry = load(xa, index);

	unlock(xa, ours);
	return entry;
}

void *xa_store(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp)
{
	bool ours;
	void *was;
	int err;

	if (((uintptr_t)entry & 3) == 2)
		return softhca_xa_mk_err(-EINVAL);
	ours = lock(xa);
	was = load(xa, index);
	err = put(xa, index, entry, gfp);
	unlock(xa, ours);
	return err ? softhca_xa_mk_err(err) : was;
}

void *xa_erase(struct xarray *xa, unsigned long index)
{
	return xa_store(xa, index, NULL, GFP_ATOMIC);
}

void *xa_cmpxchg(struct xarray *xa, unsigned long index, void *old, void *entry, gfp_t gfp)
{
	bool ours = lock(xa);
	void *was = load(xa, index);

	if (was == old) {
		void *res = xa_store(xa, index, entry, gfp);

		was = xa_is_err(res) ? res : was;
	}
	unlock(xa, ours);
	return was;
}

int xa_insert(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp)
{
	void *was = xa_cmpxchg(xa, index, NULL, entry, gfp);

	return xa_is_err(was) ? xa_err(was) : was ? -EBUSY : 0;
}

/* The lowest free number of @limit gets @entry. */
static int take(struct xarray *xa, u32 *id, void *entry, struct xa_limit limit, gfp_t gfp)
{
	unsigned long index = limit.min;
	int err;

	if (xa->flags & SOFTHCA_XA_FROM_1 && !index)
		index = 1;
	if (!seek(xa, &index, limit.max, true))
		return -EBUSY;
	err = put(xa, index, entry, gfp);
	if (!err)
		*id = (u32)index;
	return err;
}

int xa_alloc(struct xarray *xa, u32 *id, void *entry, struct xa_limit limit, gfp_t gfp)
{
	bool ours;
	int err;

	if (!entry || ((uintptr_t)entry & 3) == 2 || HCA_WARN_ON(!(xa->flags & SOFTHCA_XA_GIVES)))
		return -EINVAL;
	ours = lock(xa);
	err = take(xa, id, entry, limit, gfp);
	unlock(xa, ours);
	return err;
}

int xa_alloc_cyclic(struct xarray *xa, u32 *id, void *entry, struct xa_limit limit, u32 *next, gfp_t gfp)
{
	struct xa_limit upper = { .min = HCA_MAX(limit.min, *next), .max = limit.max };
	bool ours = lock(xa);
	int err, again = 0;

	err = xa_alloc(xa, id, entry, upper, gfp);
	if (err == -EBUSY && upper.min > limit.min) {
		err = xa_alloc(xa, id, entry, limit, gfp);
		again = 1;
	}
	if (!err)
		*next = *id + 1;
	unlock(xa, ours);
	return err ? err : again;
}

void *xa_find(struct xarray *xa, unsigned long *index, unsigned long max, xa_mark_t filter)
{
	bool ours = lock(xa);
	void *entry;

	HCA_WARN_ON(filter != XA_PRESENT);
	entry = seek(xa, index, max, false) ? load(xa, *index) : NULL;
	unlock(xa, ours);
	return entry;
}

void *xa_find_after(struct xarray *xa, unsigned long *index, unsigned long max, xa_mark_t filter)
{
	unsigned long from = *index + 1;
	void *entry = from ? xa_find(xa, &from, max, filter) : NULL;

	if (entry)
		*index = from;
	return entry;
}

void xa_destroy(struct xarray *xa)
{
	bool ours = lock(xa);
	unsigned long index = 0;

	while (seek(xa, &index, ~0ul, false))
		put(xa, index, NULL, GFP_ATOMIC);
	unlock(xa, ours);
}
