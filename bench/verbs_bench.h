/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * softhca-bench-verbs: a program of verbs, for what no unmodified one can measure. Part
 * "verbs" of softhca-bench runs it over the drop-in, and judges the figures that it prints.
 */
#ifndef VERBS_BENCH_H
#define VERBS_BENCH_H

#include <infiniband/verbs.h>

#include "bench.h"

/** struct verbs_place - how a queue pair is reached */
struct verbs_place {
	union ibv_gid gid;
	u32 qpn;
	u16 lid;
};

/** verbs_open() - the first device. Return: NULL after bench_fail() */
struct ibv_context *verbs_open(void);

/** verbs_port() - fill in what all queue pairs of @c have in common. Return: 0, or -1 after bench_fail() */
int verbs_port(struct ibv_context *c, struct verbs_place *place);

/** verbs_qp() - an RC queue pair in INIT with @depth places for sends and receives. Return: NULL after bench_fail() */
struct ibv_qp *verbs_qp(struct ibv_pd *pd, struct ibv_cq *cq, u32 depth);

/** verbs_connect() - to RTS. Return: 0, or -1 after bench_fail() */
int verbs_connect(struct ibv_qp *qp, const struct verbs_place *peer);

/** verbs_memory() - bytes in memory of this process by /proc/self/smaps_rollup: "Pss", "Rss", .... Return: 0: unknown */
u64 verbs_memory(const char *kind);

/** verbs_fabric_bytes() - bytes in memory that the files of the fabric have */
u64 verbs_fabric_bytes(void);

/* The modes; @argv are the words after their names. Return: the exit status */
int verbs_mode_open(int argc, char **argv);
int verbs_mode_turns(int argc, char **argv);
int verbs_mode_many(int argc, char **argv);

#endif
