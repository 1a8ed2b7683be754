/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the files of part "hca" share: two adapters on one machine with a queue pair
 * each, and requests that are waited for. bench_hca.c measures one thread and what
 * keys and queue pairs take, bench_hca_bulk.c what threads do to each other.
 */
#ifndef BENCH_HCA_H
#define BENCH_HCA_H

#include "bench_dma.h"
#include "softhca/ib_verbs.h"

#define BLOCK 65536u /* a piece, hca/hca.h */
#define BLOCKS 4u /* gone through in turn; with their targets they fit a second-level cache */

/* struct end - a queue pair, and BLOCKS blocks of memory that its adapter reaches */
struct end {
	struct ib_device *dev;
	struct ib_pd *pd;
	struct ib_mr *mr;
	struct ib_cq *cq;
	struct ib_qp *qp;
	struct page *page;
	char *buf;
	dma_addr_t addr;
};

/* struct link - two connected ends, from @a to @b */
struct link {
	struct end a, b;
	u32 turn;
};

/* struct pair - a machine with two adapters, and a link from the first to the second */
struct pair {
	struct bed bed;
	struct ib_device *second;
	struct link link;
};

/** link_open() - Return: 0, or -1 after bench_fail() */
int link_open(struct link *l, struct ib_device *from, struct ib_device *to);
void link_close(struct link *l);

/** pair_open() - Return: 0, or -1 after bench_fail() */
int pair_open(struct pair *p, const struct bed_def *def);
void pair_close(struct pair *p);

/** lid_of() - the address of a device's port */
u32 lid_of(struct ib_device *dev);

/** to_rts() - connect a queue pair. Return: 0, or -1 after bench_fail() */
int to_rts(struct ib_qp *qp, u32 lid, u32 qpn);

/** wait_for_one() - until a completion comes, which must be a good one */
void wait_for_one(struct end *e);

/** rdma() - post one request of @len bytes from the first end, and wait for it. @flags: of enum ib_send_flags */
void rdma(struct link *l, enum ib_wr_opcode op, u32 len, int flags);

/* bench_loop runs over a struct link: RDMA writes of a block, and the same blocks by memcpy */
void write_block(void *ctx, u64 n);
void copy_block(void *ctx, u64 n);

/** bench_hca_bulk() - @p, on which others write, and @other, another machine. Return: 0, or -1 after bench_fail() */
int bench_hca_bulk(struct pair *p, struct pair *other);

#endif
