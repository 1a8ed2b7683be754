/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who is inside the engine right now: so that a deregistration, an invalidation or
 * the end of a queue pair can wait until nobody uses what it takes away.
 *
 * A thread enters before it looks up a key or a queue pair and leaves when it has
 * moved the bytes. Entering costs one atomic operation on a cache line that is mostly
 * the thread's own. Waiting spins: it may be done where sleeping may not, and lasts as
 * long as the messages under way. A thread never waits while it is inside, nor may one
 * that waits keep one that is inside from running: it is pinned (os.h).
 */
#ifndef HCA_QUIESCE_H
#define HCA_QUIESCE_H

#include "os.h"

struct hca_quiesce_slot {
	u32 inside[2]; /* atomic; by the phase that the thread came in at */
} HCA_ALIGNED(HCA_CACHE_LINE);

struct hca_quiesce {
	u32 phase; /* atomic; written under wait_lock */
	u32 top; /* atomic: slots that were ever used, from 0 */
	struct hca_spinlock wait_lock; /* one waiter at a time turns the phase */
	struct hca_quiesce_slot slot[HCA_SLOTS];
};

/* Where a thread came in; on its stack. */
struct hca_quiesce_mark {
	u32 *inside;
	hca_pin_t pin;
};

static inline void hca_quiesce_init(struct hca_quiesce *in)
{
	hca_memset(in, 0, sizeof(*in));
	hca_spin_init(&in->wait_lock);
}

/** hca_quiesce_enter() - what is looked up from now on stays until hca_quiesce_leave() */
static inline void hca_quiesce_enter(struct hca_quiesce *in, struct hca_quiesce_mark *mark)
{
	u32 n;

	hca_pin(mark->pin);
	n = hca_slot();
	if (hca_unlikely(n >= hca_load(&in->top))) {
		u32 top = hca_load(&in->top);

		while (top <= n && hca_cmpxchg(&in->top, top, n + 1) != top)
			top = hca_load(&in->top);
	}
	mark->inside = &in->slot[n].inside[hca_load(&in->phase) & 1];
	/* A full barrier: the look-ups that follow aren't done before a waiter can see that we are here. */
	hca_fetch_add(mark->inside, 1);
}

static inline void hca_quiesce_leave(struct hca_quiesce_mark *mark)
{
	hca_fetch_add(mark->inside, (u32)-1);
	hca_unpin(mark->pin);
}

/**
 * hca_quiesce_wait() - return when everybody who was inside at the call has left
 *
 * What the caller has unpublished before is used by nobody afterwards. Any context, but not inside.
 */
void hca_quiesce_wait(struct hca_quiesce *in);

#endif
