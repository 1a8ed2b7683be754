/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Completion queues: a ring of completions, its notification, resize and overflow.
 *
 * The engine adds, the consumer polls; both in any context. A handler is never called
 * from in here: whoever added the completion hands the queue to the engine's event
 * queue when it holds no lock, so that a handler may post and poll.
 */
#ifndef HCA_CQ_H
#define HCA_CQ_H

#include "os.h"
#include "softhca/hca_verbs.h"

/** enum hca_cq_arm - which completion calls the handler next */
enum hca_cq_arm {
	HCA_CQ_DISARMED,
	HCA_CQ_SOLICITED, /* a solicited one, or an error */
	HCA_CQ_NEXT, /* any */
};

/** enum hca_cq_added - what adding a completion came to */
enum hca_cq_added {
	HCA_CQ_QUIET,
	HCA_CQ_NOTIFY, /* the handler is to be called */
	HCA_CQ_OVERFLOW, /* first completion that found no room: the queue is in error now */
	HCA_CQ_LOST, /* found no room either, and was not the first */
};

/* Fields below @lock are changed under it, but for @users; head, tail and error may be looked at without. */
struct hca_cq_ring {
	struct hca_spinlock lock;
	struct hca_wc *ring;
	u32 size; /* entries; a power of two, at least the capacity */
	u32 capacity; /* what the consumer asked for */
	u32 head; /* the next to be polled; counts up for ever, and never back */
	u32 tail; /* the next to be added; goes back by a purge */
	enum hca_cq_arm arm;
	u32 error; /* it overflowed: nothing is added any more (IBTA 11.6.3.1) */
	u32 users; /* atomic: queue pairs that complete here */
};

/** hca_cq_ring_init() - room for @capacity completions, at least 1. Return: 0, -EINVAL, -ENOMEM. May sleep. */
int hca_cq_ring_init(struct hca_cq_ring *cq, u32 capacity);
void hca_cq_ring_fini(struct hca_cq_ring *cq);

/** hca_cq_ring_resize() - keep what is in it. Return: 0; -EINVAL: it holds more than that; -ENOMEM. May sleep. */
int hca_cq_ring_resize(struct hca_cq_ring *cq, u32 capacity);

/** hca_cq_ring_add() - a work request ended; @solicited: its sender asked for an event */
enum hca_cq_added hca_cq_ring_add(struct hca_cq_ring *cq, const struct hca_wc *wc, bool solicited);

/** hca_cq_ring_poll() - up to @n completions, oldest first. Return: how many; -EIO once the queue has overflowed and is empty. */
int hca_cq_ring_poll(struct hca_cq_ring *cq, struct hca_wc *wc, int n);

/**
 * hca_cq_ring_notify() - ask for a call of the handler
 *
 * A request for any completion isn't weakened by a later one for solicited ones.
 * Return: whether completions are waiting that may have come before the request.
 */
bool hca_cq_ring_notify(struct hca_cq_ring *cq, enum hca_cq_arm arm);

/** hca_cq_ring_purge() - forget the completions of a queue pair that was reset or destroyed */
void hca_cq_ring_purge(struct hca_cq_ring *cq, u32 qp_num);

#endif
