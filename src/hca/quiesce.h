/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which threads use an adapter right now: so that a deregistration, an invalidation or
 * the end of a queue pair can wait until no thread uses what it takes away.
 *
 * A thread enters before it looks up a key or a queue pair of the adapter, and leaves
 * when it has moved the bytes of at most one piece (HCA_PIECE). Entering costs two
 * stores to a cache line that is mostly the thread's own. A thread never waits while it
 * is inside, and is pinned (os.h): a waiter can't keep it from running. Waiters of one
 * adapter share grace periods; threads that use other adapters delay none of them.
 */
#ifndef HCA_QUIESCE_H
#define HCA_QUIESCE_H

#include "os.h"

struct hca_quiesce_slot {
	u32 inside[2]; /* atomic; by the phase that the thread came in at */
} HCA_ALIGNED(HCA_CACHE_LINE);

struct hca_quiesce {
	u32 phase; /* atomic; written by the waiter that drives */
	u32 top; /* atomic: slots that were ever used, from 0 */
	u32 periods; /* atomic: grace periods, twice; odd while one is under way */
	u32 driven; /* atomic: a waiter drives a grace period, and the others wait for it */
	struct hca_quiesce_slot slot[HCA_SLOTS];
};

/* Where a thread came in; on its stack. */
struct hca_quiesce_mark {
	u32 *inside;
	u32 slot;
	hca_pin_t pin;
};

static inline void hca_quiesce_init(struct hca_quiesce *q)
{
	hca_memset(q, 0, sizeof(*q));
}

/** hca_quiesce_first() - a slot is used for the first time */
void hca_quiesce_first(struct hca_quiesce *q, u32 slot);

/** hca_quiesce_enter() - what is looked up from now on stays until hca_quiesce_leave() */
static inline void hca_quiesce_enter(struct hca_quiesce *q, struct hca_quiesce_mark *mark)
{
	u32 n;

	hca_pin(mark->pin);
	n = hca_slot();
	/* Acquire: a thread that sees another one's first entry sees no key that was retracted before it (see look()). */
	if (hca_unlikely(n >= hca_load_acquire(&q->top)))
		hca_quiesce_first(q, n);
	mark->slot = n;
	mark->inside = &q->slot[n].inside[hca_load(&q->phase) & 1];
	/* The look-ups that follow aren't done before a waiter can see that we are here. */
	hca_slot_enter(mark->inside, n);
}

static inline void hca_quiesce_leave(struct hca_quiesce_mark *mark)
{
	hca_slot_leave(mark->inside, mark->slot);
	hca_unpin(mark->pin);
}

/**
 * hca_quiesce_wait() - return when every thread that was inside at the call has left
 *
 * What the caller has unpublished before is used by no thread afterwards. Any context, but not inside. Sleeps where the context
 * allows it, and lasts as long as two pieces at most, however busy the adapter is.
 */
void hca_quiesce_wait(struct hca_quiesce *q);

#endif
