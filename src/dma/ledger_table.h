/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ledger's table: from an address to the mappings that cover it, and from a
 * mapping's description to the mapping.
 *
 * A piece of n bytes belongs to the class of the smallest power of two >= n (at
 * least a page), and is entered under the one or two blocks of that size that it
 * touches. A block's pieces are a search tree by address whose nodes know which piece
 * below them reaches furthest; pieces of the same bytes are one node. So a look-up costs
 * one hash probe for each class and state in use, whatever the number of mappings, and
 * the logarithm of the different ranges in one block. Private to the ledger, which holds
 * its lock around every call.
 */
#ifndef HCA_DMA_LEDGER_TABLE_H
#define HCA_DMA_LEDGER_TABLE_H

#include "dma/addr.h"
#include "dma/ledger.h"

#define HCA_LEDGER_CLASSES 64

/*
 * The state of a piece: the direction of a live mapping whose caller checked for an error, the same plus
 * HCA_LEDGER_UNCHECKED if it didn't, or HCA_LEDGER_ENDED. Look-ups take a mask of states.
 */
#define HCA_LEDGER_UNCHECKED 3u
#define HCA_LEDGER_ENDED 6u
#define HCA_LEDGER_STATES 7u

#define HCA_LEDGER_IN(state) (1u << (state))
#define HCA_LEDGER_ALL_CHECKED 0x07u
#define HCA_LEDGER_ALL_LIVE 0x3fu

struct hca_ledger_seg;

/* The base of everything that is found by a hash. */
struct hca_ledger_node {
	struct hca_ledger_node *next;
	struct hca_ledger_node **pprev;
	u64 hash;
};

/*
 * One block of the address space that a piece touches: a node of the block's tree, whose root has the hash node. Of
 * pieces of the same bytes one is in the tree; the others are its mates, linked by @left and @right.
 */
struct hca_ledger_cell {
	struct hca_ledger_node node;
	struct hca_ledger_cell *left;
	struct hca_ledger_cell *right;
	struct hca_ledger_cell *parent;
	struct hca_ledger_cell *top; /* the cell of this subtree that reaches furthest */
	struct hca_ledger_cell *mates;
	u32 priority; /* a parent's is the highest */
	u8 which; /* of its piece's cells */
	bool mate;
};

struct hca_ledger_seg {
	struct hca_ledger_rec *rec;
	u64 addr;
	u64 len;
	u8 class;
	u8 cells;
	u8 state;
	struct hca_ledger_cell cell[2];
};

struct hca_ledger_rec {
	struct hca_ledger_rec *next; /* in the list of live or of ended mappings */
	struct hca_ledger_rec *prev;
	struct hca_mapping map;
	hca_site_t map_site;
	hca_site_t end_site;
	bool ended;
	bool checked; /* its caller checked for an error, or the missing check was reported */
	u8 said; /* enum hca_misuse of the latest access that was reported */
	u64 said_to; /* where that access ended, 0: there was none; one that goes on there is the same one */
	hca_site_t said_site;

	/* live mappings that begin at one address: a ring whose first has the hash node, unchecked ones first */
	struct hca_ledger_node at;
	struct hca_ledger_rec *at_next;
	struct hca_ledger_rec *at_prev;
	/* mappings of one description, live and checked or not, or ended lists: a ring whose first has the hash node */
	struct hca_ledger_node like;
	struct hca_ledger_rec *like_next;
	struct hca_ledger_rec *like_prev;

	u32 capacity;
	u32 nsegs;
	struct hca_ledger_seg seg[];
};

struct hca_ledger_table {
	struct hca_ledger_node **bucket;
	u64 buckets; /* a power of two */
	u64 nodes;
	u64 cells;
	u64 in_use[HCA_LEDGER_STATES][HCA_LEDGER_CLASSES]; /* cells */
	u64 classes[HCA_LEDGER_STATES]; /* a bit a class that has cells */
	u64 probes; /* nodes and cells that were looked at so far; tests count them */
	u32 chance;
};

/** hca_ledger_alike() - are these two descriptions of one mapping? */
bool hca_ledger_alike(const struct hca_mapping *a, const struct hca_mapping *b);

int hca_ledger_table_init(struct hca_ledger_table *t);
void hca_ledger_table_fini(struct hca_ledger_table *t);

/** hca_ledger_table_add() - enter a live mapping; grows the table if there is memory, and never fails */
void hca_ledger_table_add(struct hca_ledger_table *t, struct hca_ledger_rec *rec);

/**
 * hca_ledger_table_end() - a live mapping becomes an ended one
 *
 * Pieces of mappings that ended before, and begin where one of its pieces does, are taken out: however many mappings
 * come and go at one address, one of those that ended is found there. A list is found by its description, too.
 */
void hca_ledger_table_end(struct hca_ledger_table *t, struct hca_ledger_rec *rec);

/** hca_ledger_table_del() - remove an ended mapping */
void hca_ledger_table_del(struct hca_ledger_table *t, struct hca_ledger_rec *rec);

/** hca_ledger_table_check() - mark a live mapping as checked */
void hca_ledger_table_check(struct hca_ledger_table *t, struct hca_ledger_rec *rec);

/** hca_ledger_table_at() - the first of the ring of live mappings that begin at @addr, unchecked ones first; or NULL */
struct hca_ledger_rec *hca_ledger_table_at(struct hca_ledger_table *t, u64 addr);

/* Which of the mappings of one description: live ones by whether the caller looked, or ended lists. */
enum hca_ledger_like { HCA_LEDGER_LIKE_UNCHECKED, HCA_LEDGER_LIKE_CHECKED, HCA_LEDGER_LIKE_ENDED };

/** hca_ledger_table_like() - a mapping that was made as @m says, of those that @which names; or NULL */
struct hca_ledger_rec *hca_ledger_table_like(struct hca_ledger_table *t, const struct hca_mapping *m,
					     enum hca_ledger_like which);

/** hca_ledger_table_ended_at() - an ended piece that begins at @addr, all of which are of one mapping; or NULL */
struct hca_ledger_seg *hca_ledger_table_ended_at(struct hca_ledger_table *t, u64 addr);

/**
 * hca_ledger_table_cover() - of the pieces that have the byte @addr, the one that reaches furthest
 * @states: only pieces in one of these; among equals the lowest state wins
 *
 * Return: a piece, or NULL.
 */
struct hca_ledger_seg *hca_ledger_table_cover(struct hca_ledger_table *t, u64 addr, u32 states);

#endif
