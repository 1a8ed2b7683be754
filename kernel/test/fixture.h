/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the tests are made with: the two adapters, queue pairs between them, and
 * buffers in every kind of memory that an upper layer may hand in.
 */
#ifndef SOFTHCA_RIG_H
#define SOFTHCA_RIG_H

#include "edu.h"
#include "softhca.h"

#include <linux/scatterlist.h>

/* --- buffers --- */

/** enum shape - where a buffer's bytes are */
enum shape {
	SHAPE_LOW, /* one piece of low memory */
	SHAPE_HIGH, /* a page of high memory, where the machine has any */
	SHAPE_VMALLOC, /* over the border of two pages of vmalloc() */
	SHAPE_FOLIO, /* one piece over the border of two pages of a folio, of high memory if there is */
	SHAPE_MIXED, /* one of each */
	SHAPES,
};

extern const char *const shape_name[SHAPES];

#define MAX_PIECES 6u

struct piece {
	struct page *page;
	unsigned int offset;
	unsigned int len;
};

/**
 * struct buffer - pieces of memory
 * @pages, @order: what was allocated from the page allocator; @vm: by vmalloc()
 * @sgt: the pieces as a list, to be mapped
 */
struct buffer {
	struct piece piece[MAX_PIECES];
	unsigned int pieces;
	unsigned int total; /* bytes */
	struct page *pages[MAX_PIECES];
	unsigned int order[MAX_PIECES];
	unsigned int npages;
	void *vm;
	struct sg_table sgt;
};

/** buffer_alloc() - Return: 0 or -ENOMEM */
int buffer_alloc(struct buffer *b, enum shape shape);
void buffer_free(struct buffer *b);

/** buffer_fill() - a pattern of @seed in the pieces, and another one in the rest of their pages */
void buffer_fill(struct buffer *b, u32 seed);

/** buffer_wrong() - Return: how many bytes, in the pieces and around them, are not those of buffer_fill(@seed inside, @around outside) */
unsigned int buffer_wrong(const struct buffer *b, u32 seed, u32 around);

/** buffer_has_highmem() - does any piece lie in high memory? */
bool buffer_has_highmem(const struct buffer *b);

/* --- adapters --- */

/** struct adapter - one of the two, with what it takes to use it */
struct adapter {
	const char *name;
	struct hca *hca;
	struct device *dev; /* to map for */
	struct hca_mem *mem;
	struct hca_pd pd;
	struct hca_cq cq;
	struct hca_mr *all;
};

struct fixture {
	struct softhca *soft;
	struct edu edu;
	bool has_edu;
	struct hca edu_hca;
	struct adapter ipath;
	struct adapter bus;
};

/** fixture_open() - both adapters; @edu false: the software one alone. Return: 0; -ENODEV: @edu, and no edu device; or an error. */
int fixture_open(struct fixture *r, bool edu);
void fixture_close(struct fixture *r);

/** struct link - a connection from one adapter to another, or to itself */
struct link {
	struct adapter *from, *to;
	struct hca_qp *qp, *peer;
};

int link_open(struct link *l, struct adapter *from, struct adapter *to);
void link_close(struct link *l);

/** fixture_poll() - the next completion. Return: its status, or -EAGAIN if there is none. */
int fixture_poll(struct adapter *a, struct hca_wc *wc);

/** fixture_write() - an RDMA write of @len bytes between mapped addresses. Return: its completion's status or a negative errno. */
int fixture_write(struct link *l, u64 from, u64 to, u32 len);

#endif
