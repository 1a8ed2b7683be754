/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Completion queues: a ring of completions, its notification, moderation, resize and
 * overflow, and the consumer's handler.
 *
 * The engine adds, the consumer polls; both in any context. A handler is never called
 * while a completion is added: the queue is handed to the engine's event queue, which
 * calls the handler when no lock is held, so that it may post and poll.
 */
#ifndef HCA_CQ_H
#define HCA_CQ_H

#include "hca/eq.h"
#include "softhca/hca_verbs.h"

struct hca;

/** enum hca_cq_arm - which completion calls the handler next */
enum hca_cq_arm {
	HCA_CQ_DISARMED,
	HCA_CQ_SOLICITED, /* a solicited one, or an error */
	HCA_CQ_NEXT, /* any */
};

/** enum hca_cq_added - the result of adding a completion */
enum hca_cq_added {
	HCA_CQ_QUIET,
	HCA_CQ_NOTIFY, /* the handler must be called */
	HCA_CQ_HELD, /* and will be, as the queue is moderated: this is the first completion that waits for it */
	HCA_CQ_OVERFLOW, /* the first completion without room: the queue is in error now */
	HCA_CQ_LOST, /* a later completion without room */
};

/**
 * struct hca_cq_source - a CQ's state for one queue of a queue pair
 * @last: the ring's lock: place of its newest completion, so that purging goes through its own alone
 * @any: it has completed something here
 * @moved: place of its newest completion that the pass @pass has gone by
 * @done, @done_bytes, @failed, @flushed: completions so far: with success, their bytes, with an error, flushed
 */
struct hca_cq_source {
	u32 last;
	bool any;
	u32 pass;
	u32 moved;
	u64 done;
	u64 done_bytes;
	u32 failed;
	u32 flushed;
};

/* @from: NULL of one that was purged. @before: place of the one before it of the same source, if @chained. */
struct hca_cqe {
	struct hca_wc wc;
	struct hca_cq_source *from;
	u32 before;
	bool chained;
};

/* Fields below @lock, except @users, change under it; head, tail and error may be read without it. */
struct hca_cq_ring {
	struct hca_spinlock lock;
	struct hca_cqe *ring;
	u32 size; /* entries; a power of two, at least the capacity, and if that is large, half as much again */
	u32 capacity; /* what the consumer asked for */
	u32 room; /* the same, or 0 if it overflowed or entries were purged: then adding takes the slow path */
	u32 head; /* the next to be polled; only increases, and wraps at 2^32 */
	u32 tail; /* the next to be added */
	u32 purged; /* entries in between that were purged */
	u32 odd; /* @purged, or @old: polling takes the slow path */

	/* A compaction after a purge, a few entries at a time: from @gap to @gap_end all entries are purged. */
	bool passing;
	u32 pass;
	u32 gap;
	u32 gap_end;

	/* A resize that is under way: the entries from @old_from to @old_end are still in @old; or NULL. */
	struct hca_cqe *old;
	u32 old_size;
	u32 old_from;
	u32 old_end;

	enum hca_cq_arm arm;
	/* Moderation: completions that are to call the handler, and wait together; the first one until @due. */
	u32 held;
	u32 held_most; /* the number that calls it at once; 0: any number waits */
	u64 period; /* ns that the first one waits; 0: the queue isn't moderated */
	u64 due;

	u32 error; /* it overflowed: no completion is added any more (IBTA 11.6.3.1) */
	u32 users; /* atomic: queue pairs that complete here */
};

/** hca_cq_ring_init() - room for @capacity completions, 1 to @limit. Return: 0, -EINVAL, -ENOMEM. May sleep. */
int hca_cq_ring_init(struct hca_cq_ring *cq, u32 capacity, u32 limit);
void hca_cq_ring_fini(struct hca_cq_ring *cq);

/** hca_cq_ring_resize() - keeps the completions. Return: 0; -EINVAL: it has more than @capacity; -ENOMEM. May sleep; by one thread at a time. */
int hca_cq_ring_resize(struct hca_cq_ring *cq, u32 capacity, u32 limit);

/* An entry that a resize has moved, or any entry if none is under way. */
static inline struct hca_cqe *hca_cq_entry(const struct hca_cq_ring *cq, u32 i)
{
	return &cq->ring[i & (cq->size - 1)];
}

/* The entry @i is the newest one. Whether the previous one still exists is checked when it matters. */
static inline void hca_cq_chain(struct hca_cqe *e, u32 i)
{
	struct hca_cq_source *from = e->from;

	e->chained = from->any;
	e->before = from->last;
	from->last = i;
	from->any = true;
}

/* It is counted, in the cache line that was just written. */
static inline void hca_cq_count(struct hca_cq_source *from, const struct hca_wc *wc)
{
	if (!HCA_OS_COUNTS)
		return;
	if (hca_likely(!wc->status)) {
		from->done++;
		from->done_bytes += wc->byte_len;
	} else if (wc->status == HCA_WC_WR_FLUSH_ERR) {
		from->flushed++;
	} else {
		from->failed++;
	}
}

/**
 * hca_cq_ring_full() - the slow path of adding: the ring is full, or entries were purged; the lock is held
 *
 * Takes no longer than some hundred entries. Return: HCA_CQ_QUIET: there is room.
 */
enum hca_cq_added hca_cq_ring_full(struct hca_cq_ring *cq);

/* Field by field: the compiler then writes the completion directly to its place in the ring. */
static inline void hca_wc_put(struct hca_wc *to, const struct hca_wc *wc)
{
	to->wr_id = wc->wr_id;
	to->status = wc->status;
	to->opcode = wc->opcode;
	to->vendor_err = wc->vendor_err;
	to->byte_len = wc->byte_len;
	to->user = wc->user;
	to->imm = wc->imm;
	to->src_qp = wc->src_qp;
	to->slid = wc->slid;
	to->wc_flags = wc->wc_flags;
	to->pkey_index = wc->pkey_index;
	to->sl = wc->sl;
	to->dlid_path_bits = wc->dlid_path_bits;
	to->qp_num = wc->qp_num;
}

/** hca_cq_ring_hold() - a completion that calls the handler was added to a moderated queue; the lock is held. Return: HCA_CQ_NOTIFY, _HELD, _QUIET. */
enum hca_cq_added hca_cq_ring_hold(struct hca_cq_ring *cq);

/** hca_cq_ring_add() - a work request of @from ended; @solicited: its sender asked for an event */
static inline enum hca_cq_added hca_cq_ring_add(struct hca_cq_ring *cq, struct hca_cq_source *from,
						const struct hca_wc *wc, bool solicited)
{
	enum hca_cq_added result = HCA_CQ_QUIET;
	hca_irqflags_t flags;
	struct hca_cqe *e;

	hca_spin_lock(&cq->lock, flags);
	if (hca_unlikely(cq->tail - cq->head >= cq->room))
		result = hca_cq_ring_full(cq);
	if (hca_likely(result == HCA_CQ_QUIET)) {
		u32 tail = cq->tail;

		e = hca_cq_entry(cq, tail);
		hca_wc_put(&e->wc, wc);
		e->from = from;
		hca_cq_chain(e, tail);
		hca_cq_count(from, wc);
		hca_store_release(&cq->tail, tail + 1);
		if (hca_unlikely(cq->arm) && (cq->arm == HCA_CQ_NEXT || solicited || wc->status)) {
			result = hca_likely(!cq->period) ? HCA_CQ_NOTIFY : hca_cq_ring_hold(cq);
			if (hca_likely(result == HCA_CQ_NOTIFY))
				cq->arm = HCA_CQ_DISARMED;
		}
	}
	hca_spin_unlock(&cq->lock, flags);
	return result;
}

/** hca_cq_ring_poll_odd() - the same if entries were purged or are being moved; takes the lock for some hundred entries at a time */
int hca_cq_ring_poll_odd(struct hca_cq_ring *cq, struct hca_wc *wc, int n);

/** hca_cq_ring_poll() - take up to @n completions, oldest first. Return: their number; -EIO if the queue has overflowed and is empty. */
static inline int hca_cq_ring_poll(struct hca_cq_ring *cq, struct hca_wc *wc, int n)
{
	hca_irqflags_t flags;
	int got, i;
	u32 head;

	if (hca_unlikely(n <= 0))
		return 0;
	/*
	 * An empty queue is recognised without its lock, because polls mostly find it empty. Read head first: it never goes
	 * back, so if the two are equal then, the queue was empty when tail was read.
	 */
	head = hca_load_acquire(&cq->head);
	if (head == hca_load_acquire(&cq->tail) && !hca_load(&cq->error))
		return 0;
	hca_spin_lock(&cq->lock, flags);
	if (hca_unlikely(cq->odd)) {
		hca_spin_unlock(&cq->lock, flags);
		return hca_cq_ring_poll_odd(cq, wc, n);
	}
	head = cq->head;
	got = (int)HCA_MIN(cq->tail - head, (u32)n);
	for (i = 0; i < got; i++)
		wc[i] = hca_cq_entry(cq, head + (u32)i)->wc;
	hca_store(&cq->head, head + (u32)got);
	if (hca_unlikely(!got && cq->error))
		got = -EIO;
	hca_spin_unlock(&cq->lock, flags);
	return got;
}

/** hca_cq_ring_waiting() - the number of completions that weren't polled; read without the lock, so at most as old as the call */
static inline bool hca_cq_ring_waiting(const struct hca_cq_ring *cq)
{
	/* Read head first: it never goes back, so if the two are equal then, the queue was empty when tail was read. */
	u32 head = hca_load_acquire(&cq->head);

	return head != hca_load_acquire(&cq->tail);
}

/** hca_cq_ring_used() - the number of completions that weren't polled; of one without a ring any more as well */
static inline u32 hca_cq_ring_used(struct hca_cq_ring *cq)
{
	hca_irqflags_t flags;
	u32 n;

	hca_spin_lock(&cq->lock, flags);
	n = cq->tail - cq->head - cq->purged;
	hca_spin_unlock(&cq->lock, flags);
	return n;
}

/**
 * hca_cq_ring_notify() - ask for a call of the handler
 *
 * A request for any completion isn't weakened by a later one for solicited ones.
 * Return: true: there are completions that may be older than the request.
 */
bool hca_cq_ring_notify(struct hca_cq_ring *cq, enum hca_cq_arm arm);

/**
 * hca_cq_ring_moderate() - how many completions may wait together to be reported, and how long
 * @most: as many are reported at once; 0: any number may wait
 * @period: ns that the first one waits at most; 0: none waits
 *
 * Return: true: some waited; they are reported now
 */
bool hca_cq_ring_moderate(struct hca_cq_ring *cq, u32 most, u64 period);

/** hca_cq_ring_due() - a timer fired. Return: true: completions have waited long enough, and are reported now */
bool hca_cq_ring_due(struct hca_cq_ring *cq);

/** hca_cq_ring_purge() - remove the completions of a source that was reset or ends. Takes time for each of them, and the lock for some hundred at a time. */
void hca_cq_ring_purge(struct hca_cq_ring *cq, struct hca_cq_source *from);

/** struct hca_cq - a completion queue of an adapter; its consumer's handler is called through the event queue */
struct hca_cq {
	struct hca_cq_ring ring;
	struct hca *hca;
	struct hca_eq *eq;
	struct hca_eq_node event;
	void (*handler)(struct hca_cq *cq);
	u32 wants; /* atomic, HCA_WANT_* */
	bool timed; /* @timer is there: the queue was moderated */
	struct hca_timer timer;
};

/* Of both numbers of a moderation: as faces take them. */
#define HCA_CQ_MAX_MODERATION 65535u

#define HCA_WANT_COMP 1u
#define HCA_WANT_CQ_ERR 2u

/** hca_cq_want() - have its handlers called for @what. Any context. */
void hca_cq_want(struct hca_cq *cq, u32 what);

/**
 * hca_cq_tell() - the rest of adding a completion: what hca_cq_ring_add() returned, unless HCA_CQ_QUIET. Any context.
 *
 * Return: true: the completion was lost
 */
bool hca_cq_tell(struct hca_cq *cq, enum hca_cq_added added);

/**
 * hca_cq_moderate() - have the handler called less often
 * @count: so many completions that would each call it call it once; 0: as many as come in @period_us
 * @period_us: microseconds that the first of them waits at most
 *
 * Completions are counted while the queue is armed. With a count of 1, or a period of 0, none waits; so it is at first. What waits
 * when this is called is reported at once. May sleep; by one thread at a time. Return: 0; -EINVAL: more than
 * HCA_CQ_MAX_MODERATION; -ENOMEM: nothing has changed.
 */
int hca_cq_moderate(struct hca_cq *cq, u32 count, u32 period_us);

/** hca_cq_again() - from its handler: call it again, after the other nodes */
static inline void hca_cq_again(struct hca_cq *cq)
{
	hca_cq_want(cq, HCA_WANT_COMP);
}

/** hca_cq_quiet() - no call of its handler is under way afterwards. Return: 0; -EBUSY while queue pairs use it. Not from its handler. */
int hca_cq_quiet(struct hca_cq *cq);

/** hca_cq_fini() - as hca_cq_quiet(), and frees its memory */
int hca_cq_fini(struct hca_cq *cq);

/* hca_cq_init() is in hca.h: a completion queue belongs to an adapter. */

#endif
