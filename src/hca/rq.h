/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Queues of receive work requests: a queue pair's own, or a shared one (SRQ).
 * Posting and taking may be done in any context.
 */
#ifndef HCA_RQ_H
#define HCA_RQ_H

#include "hca/wr.h"

/** struct hca_rwqe - a receive request in the queue */
struct hca_rwqe {
	u64 wr_id;
	u64 room; /* bytes of all its entries */
	hca_site_t site;
	u32 num_sge;
	u32 pad;
	struct hca_sge sge[];
};

struct hca_rq {
	u32 size; /* entries that it takes; the ring has the next power of two */
	u32 mask; /* of the ring's */
	u32 max_sge;
	u32 stride; /* bytes of an entry */
	struct hca_spinlock lock; /* what follows */
	u8 *ring;
	/* Both only increase, wrap at 2^32, and are set anew by a resize. Atomic: hca_rq_peek() and hca_rq_pop() don't take the lock. */
	u32 head; /* the next to be taken */
	u32 tail; /* where the next is put */
	u32 limit; /* SRQ: an event when fewer than this are left; 0: none */
};

#define HCA_RQ_MAX_BYTES (1ull << 31) /* of one message */

/** hca_rq_init() - Return: 0, -EINVAL, -ENOMEM; a queue of size 0 takes nothing. May sleep. */
int hca_rq_init(struct hca_rq *rq, u32 size, u32 max_sge);
void hca_rq_fini(struct hca_rq *rq);

/**
 * hca_rq_take() - the oldest request
 * @out: room for an entry of this queue: hca_rq_entry_bytes()
 * @limit_hit: the queue fell below its limit with this one; the limit is disarmed (IBTA 10.2.9.3). May be NULL.
 *
 * Return: false: the queue is empty
 */
bool hca_rq_take(struct hca_rq *rq, struct hca_rwqe *out, bool *limit_hit);

/** hca_rq_drop() - remove all requests */
void hca_rq_drop(struct hca_rq *rq);

/** hca_rq_arm() - the limit of hca_rq_take(); 0: none */
void hca_rq_arm(struct hca_rq *rq, u32 limit);

/** hca_rq_query() - the size and the limit that is armed */
void hca_rq_query(struct hca_rq *rq, u32 *size, u32 *limit);

/** hca_rq_used() - the number of requests that wait in it; of one without a ring any more as well */
static inline u32 hca_rq_used(struct hca_rq *rq)
{
	hca_irqflags_t flags;
	u32 n;

	hca_spin_lock(&rq->lock, flags);
	n = rq->tail - hca_load(&rq->head);
	hca_spin_unlock(&rq->lock, flags);
	return n;
}

/** hca_rq_resize() - keeps the requests. Return: 0; -EINVAL: there are more; -ENOMEM. May sleep. */
int hca_rq_resize(struct hca_rq *rq, u32 size);

static inline struct hca_rwqe *hca_rq_entry(const struct hca_rq *rq, u32 i)
{
	return (struct hca_rwqe *)(rq->ring + (size_t)(i & rq->mask) * rq->stride);
}

/**
 * hca_rq_peek() - the oldest request, in place; without the lock, so not for a shared queue
 *
 * Only for the thread that may take from the queue now; no other thread moves the head or resizes the queue. Return: NULL: it is empty.
 */
static inline const struct hca_rwqe *hca_rq_peek(const struct hca_rq *rq)
{
	u32 head = rq->head;

	return hca_likely(head != hca_load_acquire(&rq->tail)) ? hca_rq_entry(rq, head) : NULL;
}

/** hca_rq_pop() - take the request of hca_rq_peek(): its place is free, and the caller must not read it any more */
static inline void hca_rq_pop(struct hca_rq *rq)
{
	hca_store_release(&rq->head, rq->head + 1);
}

/** hca_rq_refuse() - say why hca_rq_post() didn't take a request: for its caller's caller, so that a post that is right pays nothing. Return: @err */
int hca_rq_refuse(const struct hca_rq *rq, const struct hca_recv_wr *wr, int err) HCA_COLD;

/** hca_rq_post() - Return: 0; -EINVAL: too many entries, or more bytes than a message can have; -ENOMEM: full */
static inline int hca_rq_post(struct hca_rq *rq, const struct hca_recv_wr *wr)
{
	u32 i, tail, n = wr->num_sge;
	hca_irqflags_t flags;
	struct hca_rwqe *e;
	u64 room = 0;

	if (hca_unlikely(n > rq->max_sge || (n && !wr->sge)))
		return -EINVAL; /* hca_rq_refuse() says why */
	if (hca_likely(n == 1))
		room = wr->sge->length;
	else
		for (i = 0; i < n; i++)
			room += wr->sge[i].length;
	if (hca_unlikely(room > HCA_RQ_MAX_BYTES))
		return -EINVAL; /* hca_rq_refuse() says why */
	hca_spin_lock(&rq->lock, flags);
	tail = rq->tail;
	/* Acquire: a thread that took a request without the lock has done with its place. */
	if (hca_unlikely(tail - hca_load_acquire(&rq->head) >= rq->size)) {
		hca_spin_unlock(&rq->lock, flags);
		return -ENOMEM; /* hca_rq_refuse() says why */
	}
	e = hca_rq_entry(rq, tail);
	e->room = room;
	e->wr_id = wr->wr_id;
	e->site = wr->site;
	e->num_sge = n;
	if (hca_likely(n)) {
		e->sge[0] = wr->sge[0];
		for (i = 1; hca_unlikely(i < n); i++)
			e->sge[i] = wr->sge[i];
	}
	hca_store_release(&rq->tail, tail + 1);
	hca_spin_unlock(&rq->lock, flags);
	return 0;
}

static inline u32 hca_rq_entry_bytes(u32 max_sge)
{
	return (u32)(sizeof(struct hca_rwqe) + max_sge * sizeof(struct hca_sge));
}

#endif
