/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which slots of a pool are free: a bit for each, and over the words of bits a binary tree
 * whose nodes know the free runs below them. So a search costs a path through the tree,
 * however full the pool is and however its free slots lie; where the first word has what is
 * looked for, not even that. Called by bounce.c alone, under
 * the pool's lock. It never allocates memory after slot_tree_init().
 *
 * A run begins at an even slot or at an odd one, as asked: a copy keeps its original's
 * place in a page, and a page has two slots.
 */
#ifndef SLOT_TREE_H
#define SLOT_TREE_H

#include "os.h"

#define SLOT_NONE (~0u)
#define SLOT_STALE 8u

/*
 * struct slot_node - what is free below a node
 * @pre, @suf: slots, of the free run that begins the node's range, and that ends it
 * @best: of the longest free run that begins at an even slot, and at an odd one
 * @blocks: bit n: is a block of 2^n slots free, that begins at a multiple of so many?
 */
struct slot_node {
	u32 pre;
	u32 suf;
	u32 best[2];
	u32 blocks;
};

struct slot_tree {
	u64 *used; /* a bit a slot */
	struct slot_node *node; /* from 1; the children of i are 2i and 2i + 1, leaves are words of @used */
	u32 leaves; /* a power of two */
	u32 slots;
	u32 stale
		[SLOT_STALE]; /* words whose nodes are set when a search next needs them, or when there is no more room here */
	u32 stales;
	u64 looks; /* nodes visited; tests count them */
};

/** slot_tree_init() - @slots free ones, a multiple of 64. Context: may sleep. Return: 0 or -ENOMEM. */
int slot_tree_init(struct slot_tree *t, u32 slots);
void slot_tree_fini(struct slot_tree *t);

/**
 * slot_tree_find() - the first free run from a slot on
 * @from: it begins here or later
 * @slots: how long it is to be, at least 1
 * @odd: does it begin at an odd slot, or at an even one?
 *
 * Return: its first slot, or SLOT_NONE. Nothing is marked.
 */
u32 slot_tree_find(struct slot_tree *t, u32 from, u32 slots, bool odd);

/** slot_tree_find_block() - the first free block of 2^@order slots that begins at a multiple of so many, from @from on */
u32 slot_tree_find_block(struct slot_tree *t, u32 from, u32 order);

/** slot_tree_mark() - @slots slots from @at on become used, or free. All of them were not before. */
void slot_tree_mark(struct slot_tree *t, u32 at, u32 slots, bool used);

static inline bool slot_tree_used(const struct slot_tree *t, u32 i)
{
	return t->used[i / 64] >> i % 64 & 1;
}

#endif
