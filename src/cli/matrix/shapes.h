/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Scatterlists of every shape that upper layers make: whole pages, pieces of pages
 * at odd offsets, blocks of pages, low and high memory, long lists in chained
 * parts. A seed decides, so that a failure can be had again.
 */
#ifndef MATRIX_SHAPES_H
#define MATRIX_SHAPES_H

#include "softhca/scatterlist.h"

/** struct shapes - where the choices come from; the state is the seed */
struct shapes {
	u64 state;
};

/** shapes_upto() - a number from 1 to @n */
u32 shapes_upto(struct shapes *s, u32 n);

/** struct piece - bytes of one page, or of pages that follow each other; @offset may lie beyond the first page */
struct piece {
	struct page *page;
	u32 offset;
	u32 len;
};

/** struct pieces - pieces in order; zeroed is empty */
struct pieces {
	struct piece *p;
	u32 n;
	u32 room;
};

/** pieces_add() - Return: 0 or -ENOMEM */
int pieces_add(struct pieces *ps, struct page *page, u32 offset, u32 len);
void pieces_free(struct pieces *ps);

/** struct shape_table - a scatterlist over pieces, in one part or in several chained ones */
struct shape_table {
	struct sg_table sgt;
	struct scatterlist *part[2]; /* ours to free, if it wasn't sg_alloc_table() that made it */
};

/** shape_table_make() - the list; the pages stay whose they are. Return: 0 or -ENOMEM */
int shape_table_make(struct shapes *s, const struct pieces *ps, struct shape_table *out);
void shape_table_free(struct shape_table *t);

/** struct shape_list - a list with pages of its own */
struct shape_list {
	struct shape_table table;
	struct shape_block {
		struct page *page;
		unsigned int order;
	} * block;
	u32 blocks;
	u32 room;
};

/** shape_list_make() - @len bytes of a machine's memory, in a random shape. Return: 0 or -ENOMEM */
int shape_list_make(struct shapes *s, struct machine *m, u32 len, struct shape_list *out);
void shape_list_free(struct shape_list *l);

/** shape_alloc() - 2^*@order pages, from high memory as often as the machine's is; fewer, down to one, if there is no such block */
struct page *shape_alloc(struct shapes *s, struct machine *m, unsigned int *order);

#endif
