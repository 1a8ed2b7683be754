/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ranges of a disk that requests hold while they are under way. Two requests may hold ranges that overlap if neither
 * holds its range alone. A request waits only for earlier requests with which it conflicts, so
 * no request starves. Called by disk.c.
 */
#ifndef NBD_RANGES_H
#define NBD_RANGES_H

#include <pthread.h>

#include "softhca/hca_types.h"

/** struct range - @len bytes at @at, held alone or not; the holder's memory, from range_take() to range_give() */
struct range {
	struct range *next;
	u64 at, len;
	bool alone;
};

/** struct ranges - those that are held or waited for, in the order in which they came */
struct ranges {
	pthread_mutex_t lock;
	pthread_cond_t given;
	struct range *first, **last;
	u32 waiting;
};

void ranges_init(struct ranges *rs);
/** ranges_fini() - nothing is held */
void ranges_fini(struct ranges *rs);

/** range_take() - waits until the range is held */
void range_take(struct ranges *rs, struct range *r, u64 at, u64 len, bool alone);
void range_give(struct ranges *rs, struct range *r);

#endif
