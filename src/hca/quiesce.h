/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Knows which threads use an adapter right now, so that a deregistration, an invalidation or
 * the end of a queue pair can wait until no thread uses the object.
 *
 * A thread enters before it looks up a key or a queue pair of the adapter, and leaves
 * when it has moved the bytes of at most one piece (HCA_PIECE). Entering costs two
 * stores to a cache line that is mostly the thread's own, and a fence if there are many
 * waiters or the entry is long. A thread never waits while it is inside, and is pinned
 * (os.h): a waiter can't keep it from running. Waiters of one adapter share grace
 * periods; threads that use other adapters don't delay them.
 */
#ifndef HCA_QUIESCE_H
#define HCA_QUIESCE_H

#include "hca/share.h"
#include "os.h"

/* An entry for at least so many bytes always makes a fence, which costs little compared with copying them. */
#define HCA_QUIESCE_LONG 16384u

/* A slot stays fenced for so many short entries after a wait: together their fences cost no more than a heavy barrier. */
#define HCA_QUIESCE_STAY 1024u

/*
 * struct hca_quiesce_slot.light: may an entry do without a fence? It may if its bytes are less than this, as signed
 * numbers. Only a slot with hca_slot_light() is ever light. See quiesce.c for the order that each value promises.
 */
#define HCA_QUIESCE_FENCED 0u /* every entry makes a fence; a waiter needs no heavy barrier for this slot */
#define HCA_QUIESCE_ASKED (~0u) /* the same, but entries that were light may still be under way */
#define HCA_QUIESCE_LIGHT HCA_QUIESCE_LONG

struct hca_quiesce_slot {
	u32 inside[2]; /* atomic; by the phase in which the thread entered */
	u32 light; /* atomic; only the slot's thread makes it HCA_QUIESCE_LIGHT */
	/* Only for the slot's thread: */
	u32 left; /* short entries until the slot may become light */
	u32 waits; /* the number of waits at its last check */
} HCA_ALIGNED(HCA_CACHE_LINE);

struct hca_quiesce {
	/* Read by every entry, and rarely written. */
	u32 phase; /* atomic; written by the waiter that drives */
	u32 top; /* atomic: slots that were ever used, from 0 */
	u32 stay; /* HCA_QUIESCE_STAY; constant */
	/* For waiters. */
	u32 waits HCA_ALIGNED(HCA_CACHE_LINE); /* atomic: the number of waits so far */
	u32 periods; /* atomic: grace periods, twice; odd while one is under way */
	const struct hca_share *share; /* waits for other processes; or NULL */
	u32 driven; /* atomic: a waiter drives a grace period, and the others wait for it */
	u32 fencing; /* atomic: a waiter makes light slots fenced */
	struct hca_quiesce_slot slot[HCA_SLOTS];
};

/* The state of an entry; on the thread's stack. */
struct hca_quiesce_mark {
	u32 *inside;
	u32 slot;
	hca_pin_t pin;
};

static inline void hca_quiesce_init(struct hca_quiesce *q)
{
	hca_memset(q, 0, sizeof(*q));
	q->stay = HCA_QUIESCE_STAY;
}

/** hca_quiesce_first() - a slot is used for the first time */
void hca_quiesce_first(struct hca_quiesce *q, u32 slot);

/** hca_quiesce_fence() - the rest of an entry that isn't light, after the slot has counted it */
void hca_quiesce_fence(struct hca_quiesce *q, u32 slot, u32 bytes);

/**
 * hca_quiesce_enter_for() - objects that are looked up from now on stay until hca_quiesce_leave()
 * @bytes: an estimate of the bytes that are moved inside; any number is safe
 */
static inline void hca_quiesce_enter_for(struct hca_quiesce *q, struct hca_quiesce_mark *mark, u32 bytes)
{
	u32 n;

	hca_pin(mark->pin);
	n = hca_slot();
	mark->slot = n;
	mark->inside = &q->slot[n].inside[hca_load(&q->phase) & 1];
	/* The look-ups that follow come after the point where a waiter can see this entry. */
	if (hca_likely(hca_slot_light(n))) {
		hca_slot_enter(mark->inside, n);
		if (hca_unlikely((s32)hca_load(&q->slot[n].light) <= (s32)(bytes & 0x7fffffff)))
			hca_quiesce_fence(q, n, bytes);
	} else {
		if (hca_unlikely(n >= hca_load_acquire(&q->top)))
			hca_quiesce_first(q, n);
		hca_slot_enter(mark->inside, n);
	}
}

/** hca_quiesce_enter() - the same, for a few bytes */
static inline void hca_quiesce_enter(struct hca_quiesce *q, struct hca_quiesce_mark *mark)
{
	hca_quiesce_enter_for(q, mark, 0);
}

static inline void hca_quiesce_leave(struct hca_quiesce_mark *mark)
{
	hca_slot_leave(mark->inside, mark->slot);
	hca_unpin(mark->pin);
}

/**
 * hca_quiesce_wait() - return when every thread that was inside at the call has left
 *
 * Afterwards no thread uses an object that the caller has unpublished before. Any context, but not inside. Sleeps if the context
 * allows it, and lasts at most as long as two pieces, however busy the adapter is, and a heavy barrier (os.h) if threads
 * entered for short times only and there was no other wait for a while.
 */
void hca_quiesce_wait(struct hca_quiesce *q);

/**
 * hca_quiesce_wait_of() - hca_quiesce_wait() for an object that at most one other process can use
 * @lid: that process's port; 0: only this process can use it; HCA_SHARE_ALL: all processes may use it
 *
 * A process that is stopped during a copy delays only the end of objects that it can use.
 */
void hca_quiesce_wait_of(struct hca_quiesce *q, u32 lid);

#endif
