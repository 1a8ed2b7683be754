/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sorted trees of kernel sources; see softhca/kernel/rbtree.h. A parent's rank is at least its children's. */
#include "os.h"
#include "softhca/kernel/hlist.h"
#include "softhca/kernel/rbtree.h"

/* One multiplication would give nodes that lie in a row ranks in a pattern, and a deep tree. */
static u32 rank(const struct rb_node *n)
{
	u64 x = (u64)(uintptr_t)n * GOLDEN_RATIO_64;

	return hash_64(x ^ x >> 32, 32);
}

/* What leads to @n. */
static struct rb_node **place_of(const struct rb_node *n, struct rb_root *root)
{
	struct rb_node *up = n->rb_parent;

	return !up ? &root->rb_node : up->rb_left == n ? &up->rb_left : &up->rb_right;
}

/* @n and its parent change places; what lay between them by order changes its parent. */
static void lift(struct rb_node *n, struct rb_root *root)
{
	struct rb_node *up = n->rb_parent, **place = place_of(up, root), **inner, **hole, *between;

	if (up->rb_left == n) {
		inner = &n->rb_right;
		hole = &up->rb_left;
	} else {
		inner = &n->rb_left;
		hole = &up->rb_right;
	}
	between = *inner;
	*hole = between;
	if (between)
		between->rb_parent = up;
	*inner = up;
	n->rb_parent = up->rb_parent;
	up->rb_parent = n;
	*place = n;
}

void rb_insert_color(struct rb_node *node, struct rb_root *root)
{
	while (node->rb_parent && rank(node) > rank(node->rb_parent))
		lift(node, root);
}

void rb_erase(struct rb_node *node, struct rb_root *root)
{
	struct rb_node *left, *right, *child;

	while ((left = node->rb_left) && (right = node->rb_right))
		lift(rank(left) > rank(right) ? left : right, root);
	child = node->rb_left ? node->rb_left : node->rb_right;
	*place_of(node, root) = child;
	if (child)
		child->rb_parent = node->rb_parent;
}

void rb_replace_node(struct rb_node *from, struct rb_node *to, struct rb_root *root)
{
	*place_of(from, root) = to;
	*to = *from;
	if (to->rb_left)
		to->rb_left->rb_parent = to;
	if (to->rb_right)
		to->rb_right->rb_parent = to;
	/* Its address gave @from its rank: @to finds its own place, above or below. */
	for (;;) {
		struct rb_node *l = to->rb_left, *r = to->rb_right, *best = !l || (r && rank(r) > rank(l)) ? r : l;

		if (!best || rank(best) <= rank(to))
			break;
		lift(best, root);
	}
	rb_insert_color(to, root);
}

static struct rb_node *leftmost(struct rb_node *n)
{
	while (n && n->rb_left)
		n = n->rb_left;
	return n;
}

static struct rb_node *rightmost(struct rb_node *n)
{
	while (n && n->rb_right)
		n = n->rb_right;
	return n;
}

struct rb_node *rb_first(const struct rb_root *root)
{
	return leftmost(root->rb_node);
}

struct rb_node *rb_last(const struct rb_root *root)
{
	return rightmost(root->rb_node);
}

struct rb_node *rb_next(const struct rb_node *node)
{
	if (RB_EMPTY_NODE(node))
		return NULL;
	if (node->rb_right)
		return leftmost(node->rb_right);
	while (node->rb_parent && node->rb_parent->rb_right == node)
		node = node->rb_parent;
	return node->rb_parent;
}

struct rb_node *rb_prev(const struct rb_node *node)
{
	if (RB_EMPTY_NODE(node))
		return NULL;
	if (node->rb_left)
		return rightmost(node->rb_left);
	while (node->rb_parent && node->rb_parent->rb_left == node)
		node = node->rb_parent;
	return node->rb_parent;
}

static struct rb_node *deepest(struct rb_node *n)
{
	while (n && (n->rb_left || n->rb_right))
		n = n->rb_left ? n->rb_left : n->rb_right;
	return n;
}

struct rb_node *rb_first_postorder(const struct rb_root *root)
{
	return deepest(root->rb_node);
}

struct rb_node *rb_next_postorder(const struct rb_node *node)
{
	struct rb_node *up = node->rb_parent;

	return up && up->rb_left == node && up->rb_right ? deepest(up->rb_right) : up;
}
