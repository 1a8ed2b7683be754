/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The mover: what carries bytes from an initiator's lists to a target, and back.
 *
 * The rest of the matrix (pairs, machines, rows, verdicts) knows nothing about how
 * that is done: another way to carry bytes is another struct mover_ops.
 */
#ifndef MATRIX_MOVER_H
#define MATRIX_MOVER_H

#include "bed.h"
#include "shapes.h"
#include "softhca/ib_dma.h"
#include "srp/srp.h"

struct mover;

/* What a mover moves is whole blocks, at block offsets. */
#define MOVER_BLOCK 512u

/**
 * struct mover_attr - what a mover is opened with
 * @bytes: that the target is to hold
 * @seed: of the choices that a mover makes for itself
 * @memory: by what keys the target reaches the initiator's lists
 */
struct mover_attr {
	u64 bytes;
	u64 seed;
	enum srp_memory memory;
};

/* Requests that are under way at once. */
#define MOVER_BATCH 4u

/** struct mover_io - one of them: @len bytes of a list, which isn't mapped, and where they are in what the target holds */
struct mover_io {
	u64 at;
	struct sg_table *sgt;
	u32 len;
};

/**
 * struct mover_ops - a way to carry bytes
 * @open: the two adapters of a bed meet
 * @write: @n lists, MOVER_BATCH at most, which the caller filled, to the target, all at once; done when it returns
 * @read: the other way; the ranges read need not be the ranges written
 * @flush: all that was written is where it stays
 * @close: after it neither adapter has a mapping or a page left. Return: nanoseconds spent with mapping, moving
 *	and unmapping.
 *
 * Calls return 0 or -errno, and then say what failed in @why.
 */
struct mover_ops {
	const char *name;
	int (*open)(const struct bed *bed, const struct mover_attr *attr, struct mover **out, struct why *why);
	int (*write)(struct mover *mv, const struct mover_io *io, u32 n, struct why *why);
	int (*read)(struct mover *mv, const struct mover_io *io, u32 n, struct why *why);
	int (*flush)(struct mover *mv, struct why *why);
	u64 (*close)(struct mover *mv);
};

/** mover_srp - an SRP initiator and a target with a scratch file */
extern const struct mover_ops mover_srp;

#endif
