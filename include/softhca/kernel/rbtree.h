/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sorted trees with Linux's rbtree calls: the caller finds the place, rb_link_node() puts the node there and
 * rb_insert_color() balances. The balance is another one, a heap of the nodes' hashed addresses (a treap): the
 * same depth on average, and no colors. The caller locks. Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_RBTREE_H
#define SOFTHCA_KERNEL_RBTREE_H

#include "softhca/kernel/base.h"

/** struct rb_node - @rb_parent: itself: in no tree (RB_CLEAR_NODE()) */
struct rb_node {
	struct rb_node *rb_left;
	struct rb_node *rb_right;
	struct rb_node *rb_parent;
};

struct rb_root {
	struct rb_node *rb_node;
};

#define RB_ROOT \
	(struct rb_root) \
	{ \
		NULL \
	}
#define RB_EMPTY_ROOT(root) (!READ_ONCE((root)->rb_node))
#define RB_CLEAR_NODE(node) ((node)->rb_parent = (node))
#define RB_EMPTY_NODE(node) ((node)->rb_parent == (node))
#define rb_parent(node) ((node)->rb_parent)
#define rb_entry(ptr, type, member) container_of(ptr, type, member)
#define rb_entry_safe(ptr, type, member) \
	({ \
		__typeof__(ptr) rb_ = (ptr); \
		rb_ ? rb_entry(rb_, type, member) : (type *)NULL; \
	})

#pragma GCC visibility push(default)

/** rb_insert_color() - balance, after rb_link_node() */
void rb_insert_color(struct rb_node *node, struct rb_root *root);

/** rb_erase() - take a node out; its own links mean nothing then */
void rb_erase(struct rb_node *node, struct rb_root *root);

/** rb_replace_node() - @to, which sorts as @from does, takes its place */
void rb_replace_node(struct rb_node *from, struct rb_node *to, struct rb_root *root);

/** rb_first(), rb_last(), rb_next(), rb_prev() - in order; NULL: there is none */
struct rb_node *rb_first(const struct rb_root *root);
struct rb_node *rb_last(const struct rb_root *root);
struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node);

/** rb_first_postorder(), rb_next_postorder() - children before their parents, which may be freed then */
struct rb_node *rb_first_postorder(const struct rb_root *root);
struct rb_node *rb_next_postorder(const struct rb_node *node);

#pragma GCC visibility pop

/** rb_link_node() - @node becomes a leaf below @parent (NULL: the root), where @link leads */
static inline void rb_link_node(struct rb_node *node, struct rb_node *parent, struct rb_node **link)
{
	node->rb_left = NULL;
	node->rb_right = NULL;
	node->rb_parent = parent;
	*link = node;
}

#define rbtree_postorder_for_each_entry_safe(pos, n, root, field) \
	for (pos = rb_entry_safe(rb_first_postorder(root), __typeof__(*pos), field); \
	     pos && (n = rb_entry_safe(rb_next_postorder(&pos->field), __typeof__(*pos), field), true); pos = n)

#endif
