/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ledger's table: from an address to the mappings that cover it.
 *
 * A piece of n bytes belongs to the class of the smallest power of two >= n (at
 * least a page), and is entered under the one or two blocks of that size that it
 * touches. So an address is found by one hash probe for each class in use, at
 * most 52 of them, whatever the number of mappings. Private to the ledger, which
 * holds its lock around every call.
 */
#ifndef HCA_DMA_LEDGER_TABLE_H
#define HCA_DMA_LEDGER_TABLE_H

#include "dma/addr.h"
#include "dma/ledger.h"

#define HCA_LEDGER_CLASSES 64

struct hca_ledger_seg;

/* One block of the address space that a piece touches. */
struct hca_ledger_cell {
	struct hca_ledger_cell *next;
	struct hca_ledger_cell **pprev;
	struct hca_ledger_seg *seg;
	u64 block;
};

struct hca_ledger_seg {
	struct hca_ledger_rec *rec;
	u64 addr;
	u64 len;
	u32 class;
	u32 cells;
	struct hca_ledger_cell cell[2];
};

struct hca_ledger_rec {
	struct hca_ledger_rec *next; /* in the list of live or of ended mappings */
	struct hca_ledger_rec *prev;
	struct hca_mapping map;
	hca_site_t map_site;
	hca_site_t end_site;
	bool ended;
	bool checked; /* its caller looked for an error, or was told of not looking */
	u32 capacity;
	u32 nsegs;
	struct hca_ledger_seg seg[];
};

struct hca_ledger_table {
	struct hca_ledger_cell **bucket;
	u64 buckets; /* a power of two */
	u64 cells;
	u64 class_cells[HCA_LEDGER_CLASSES];
};

int hca_ledger_table_init(struct hca_ledger_table *t);
void hca_ledger_table_fini(struct hca_ledger_table *t);

/** hca_ledger_table_add() - enter all pieces of a record; grows the table where memory allows, and never fails */
void hca_ledger_table_add(struct hca_ledger_table *t, struct hca_ledger_rec *rec);
void hca_ledger_table_del(struct hca_ledger_table *t, struct hca_ledger_rec *rec);

/**
 * hca_ledger_table_supersede() - take out the pieces of ended mappings that begin where a piece of @rec does
 *
 * So however many mappings come and go at one address, a look-up there meets at most one that has ended.
 */
void hca_ledger_table_supersede(struct hca_ledger_table *t, const struct hca_ledger_rec *rec);

/**
 * hca_ledger_table_find() - the best piece for an address
 * @score: called for each piece that has the byte @addr; the highest above 0 wins, the latest entered among equals
 *
 * Return: a piece, or NULL.
 */
struct hca_ledger_seg *hca_ledger_table_find(struct hca_ledger_table *t, u64 addr,
					     int (*score)(const struct hca_ledger_seg *seg, const void *want),
					     const void *want);

#endif
