/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Completion queues; see cq.h. Called by the engine, which adds, and by a face's verbs.
 * head and tail count up through every resize, so that who looks at the two without
 * the lock never takes a full queue for an empty one. No handler is called from here.
 */
#include "hca/cq.h"

#define MAX_CQE (1u << 22)

static int make_ring(u32 capacity, struct hca_wc **ring, u32 *size)
{
	u32 n = 1;

	if (!capacity || capacity > MAX_CQE)
		return -EINVAL;
	while (n < capacity)
		n *= 2;
	*ring = hca_alloc((size_t)n * sizeof(**ring), HCA_MAY_SLEEP);
	if (!*ring)
		return -ENOMEM;
	*size = n;
	return 0;
}

int hca_cq_ring_init(struct hca_cq_ring *cq, u32 capacity)
{
	int err;

	hca_memset(cq, 0, sizeof(*cq));
	err = make_ring(capacity, &cq->ring, &cq->size);
	if (err)
		return err;
	cq->capacity = capacity;
	hca_spin_init(&cq->lock);
	return 0;
}

void hca_cq_ring_fini(struct hca_cq_ring *cq)
{
	hca_free(cq->ring);
}

static struct hca_wc *slot(struct hca_cq_ring *cq, u32 i)
{
	return &cq->ring[i & (cq->size - 1)];
}

int hca_cq_ring_resize(struct hca_cq_ring *cq, u32 capacity)
{
	struct hca_wc *ring, *old;
	hca_irqflags_t flags;
	u32 size, i;
	int err = make_ring(capacity, &ring, &size);

	if (err)
		return err;
	hca_spin_lock(&cq->lock, flags);
	old = ring;
	err = -EINVAL;
	if (cq->tail - cq->head <= capacity) {
		for (i = cq->head; i != cq->tail; i++)
			ring[i & (size - 1)] = *slot(cq, i);
		old = cq->ring;
		cq->ring = ring;
		cq->size = size;
		cq->capacity = capacity;
		err = 0;
	}
	hca_spin_unlock(&cq->lock, flags);
	hca_free(old);
	return err;
}

enum hca_cq_added hca_cq_ring_add(struct hca_cq_ring *cq, const struct hca_wc *wc, bool solicited)
{
	enum hca_cq_added result = HCA_CQ_QUIET;
	hca_irqflags_t flags;

	hca_spin_lock(&cq->lock, flags);
	if (hca_unlikely(cq->error)) {
		result = HCA_CQ_LOST;
	} else if (hca_unlikely(cq->tail - cq->head == cq->capacity)) {
		hca_store(&cq->error, 1u);
		result = HCA_CQ_OVERFLOW;
	} else {
		*slot(cq, cq->tail) = *wc;
		hca_store_release(&cq->tail, cq->tail + 1);
		if (cq->arm == HCA_CQ_NEXT || (cq->arm == HCA_CQ_SOLICITED && (solicited || wc->status))) {
			cq->arm = HCA_CQ_DISARMED;
			result = HCA_CQ_NOTIFY;
		}
	}
	hca_spin_unlock(&cq->lock, flags);
	return result;
}

int hca_cq_ring_poll(struct hca_cq_ring *cq, struct hca_wc *wc, int n)
{
	hca_irqflags_t flags;
	int got = 0;
	u32 head;

	if (n <= 0)
		return 0;
	/*
	 * An empty queue is told without its lock: that is what a polling consumer mostly sees. head first: it never goes
	 * back, so if the two are equal then, the queue was empty when tail was read.
	 */
	head = hca_load_acquire(&cq->head);
	if (head == hca_load_acquire(&cq->tail) && !hca_load(&cq->error))
		return 0;
	hca_spin_lock(&cq->lock, flags);
	while (got < n && cq->head != cq->tail) {
		wc[got++] = *slot(cq, cq->head);
		hca_store(&cq->head, cq->head + 1);
	}
	if (!got && cq->error)
		got = -EIO;
	hca_spin_unlock(&cq->lock, flags);
	return got;
}

bool hca_cq_ring_notify(struct hca_cq_ring *cq, enum hca_cq_arm arm)
{
	hca_irqflags_t flags;
	bool waiting;

	hca_spin_lock(&cq->lock, flags);
	if (arm > cq->arm)
		cq->arm = arm;
	waiting = cq->head != cq->tail;
	hca_spin_unlock(&cq->lock, flags);
	return waiting;
}

void hca_cq_ring_purge(struct hca_cq_ring *cq, u32 qp_num)
{
	hca_irqflags_t flags;
	u32 from, to;

	hca_spin_lock(&cq->lock, flags);
	for (from = to = cq->head; from != cq->tail; from++) {
		if (slot(cq, from)->qp_num == qp_num)
			continue;
		if (to != from)
			*slot(cq, to) = *slot(cq, from);
		to++;
	}
	hca_store(&cq->tail, to);
	hca_spin_unlock(&cq->lock, flags);
}
