/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which pages of an I/O aperture are free: a bit for each page, in chunks of 2 MiB, and
 * over the chunks a binary tree whose nodes know what is free below them. So a search
 * costs a path through the tree, however many holes there are. Called by iova.c alone,
 * under its central lock. It never allocates memory after iova_tree_init().
 *
 * Small ranges are aligned blocks of 2^order pages inside a chunk, taken from the
 * smallest free block that holds them (a buddy system whose state is the bits alone).
 * Long ranges are runs of words: pieces of 64 aligned pages. Runs come from the upper
 * end of the aperture and blocks from the lower one, so that they seldom part each other.
 */
#ifndef IOVA_TREE_H
#define IOVA_TREE_H

#include "os.h"

#define IOVA_CHUNK 512u /* pages */
#define IOVA_WORD 64u /* pages */
#define IOVA_ORDERS 9u /* blocks of 2^0 .. 2^8 pages; a free chunk counts as a block of order 9 */
#define IOVA_NONE (~0ull)

/* struct iova_chunk - all zero is a free one */
struct iova_chunk {
	u64 used[IOVA_CHUNK / IOVA_WORD]; /* a bit a page */
};

/*
 * struct iova_node - what is missing below a node, so that all zero is a free one
 * @pre, @suf, @best: words, of the free run that begins the node's range, ends it, is the longest in it
 * @inside: the same for the longest run that crosses no boundary
 * @orders: bit n: is a free block of order n, and no larger one around it, anywhere below? Bit 9 is inverted.
 */
struct iova_node {
	u32 pre;
	u32 suf;
	u32 best;
	u32 inside;
	u32 orders;
};

struct iova_tree {
	struct iova_chunk *chunk;
	struct iova_node *node; /* from 1; the children of i are 2i and 2i + 1, leaves are chunks */
	u32 leaves; /* a power of two */
	u32 chunks;
	u32 skew; /* leaves before the first chunk, so that boundaries are at the borders of subtrees */
	u32 window; /* words that a subtree has at most without a boundary inside */
	u64 looks; /* nodes visited */
};

/**
 * iova_tree_init() - @chunks free chunks
 * @first: number of the first one, counted from address 0
 * @boundary: a boundary, in chunks, a power of two; 0: none
 *
 * Context: may sleep. Return: 0 or -ENOMEM.
 */
int iova_tree_init(struct iova_tree *t, u64 first, u32 chunks, u64 boundary);
void iova_tree_fini(struct iova_tree *t);

/** iova_tree_idle() - is any chunk wholly free? */
bool iova_tree_idle(const struct iova_tree *t);

/** iova_tree_take() - up to @max aligned blocks of 2^@order pages, their first pages in @out. Return: blocks. */
u32 iova_tree_take(struct iova_tree *t, u32 order, u32 *out, u32 max);

/** iova_tree_give() - @n blocks back; what wasn't taken is refused with a warning */
void iova_tree_give(struct iova_tree *t, u32 order, const u32 *page, u32 n);

/**
 * iova_tree_take_run() - @words words that follow each other
 * @align: the run begins @phase words past a multiple of this, counted from address 0; a power of two. The search may
 *	miss a place when @align isn't 1 and less than @align - 1 words more than needed are free there.
 * @bounded: across no boundary
 *
 * Return: the first page after the aperture's, or IOVA_NONE.
 */
u64 iova_tree_take_run(struct iova_tree *t, u64 words, u32 align, u32 phase, bool bounded);

/** iova_tree_take_at_multiple() - the same at a multiple of @align words, and never misses. Costs a look at each multiple. */
u64 iova_tree_take_at_multiple(struct iova_tree *t, u64 words, u64 align);

/** iova_tree_give_run() - back again, @page and @words as taken; refused as above */
void iova_tree_give_run(struct iova_tree *t, u32 page, u32 words);

#endif
