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

struct mover;

/**
 * struct mover_ops - a way to carry bytes
 * @window: bytes that the target can hold. Offsets in one multiple of it are read back before the next is begun,
 *	and no request crosses one; ~0: it holds everything
 * @open: the two adapters of a bed meet; @seed decides the shapes of the target's lists
 * @write: the bytes of a list, which the caller filled and hasn't mapped, to offset @at of what the target holds
 * @read: the other way; the ranges read need not be the ranges written
 * @close: after it neither adapter has a mapping or a page left. Return: nanoseconds spent with mapping, moving
 *	and unmapping.
 *
 * Calls return 0 or -errno, and then say what failed in @why.
 */
struct mover_ops {
	const char *name;
	u64 window;
	int (*open)(const struct bed *bed, u64 seed, struct mover **out, struct why *why);
	int (*write)(struct mover *mv, u64 at, struct sg_table *sgt, u32 len, struct why *why);
	int (*read)(struct mover *mv, u64 at, struct sg_table *sgt, u32 len, struct why *why);
	u64 (*close)(struct mover *mv);
};

/** mover_copy - the adapters copy between mapped addresses, an RDMA write and an RDMA read without the engine */
extern const struct mover_ops mover_copy;

#endif
