/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Completion queues; see cq.h. Called by the engine, which adds, and by a face's verbs.
 * head and tail count up through every resize, so that a thread that looks at the two without
 * the lock never takes a full queue for an empty one.
 */
#include "hca/cq.h"

static int make_ring(u32 capacity, u32 limit, struct hca_cqe **ring, u32 *size)
{
	u32 n = 1;

	if (!capacity || capacity > limit)
		return -EINVAL;
	while (n < capacity)
		n *= 2;
	*ring = hca_alloc((size_t)n * sizeof(**ring), HCA_MAY_SLEEP);
	if (!*ring)
		return -ENOMEM;
	*size = n;
	return 0;
}

int hca_cq_ring_init(struct hca_cq_ring *cq, u32 capacity, u32 limit)
{
	int err;

	hca_memset(cq, 0, sizeof(*cq));
	err = make_ring(capacity, limit, &cq->ring, &cq->size);
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

/* --- chains: the completions of one source --- */

/* An entry that is still in the ring? */
static bool present(const struct hca_cq_ring *cq, u32 i)
{
	return i - cq->head < cq->tail - cq->head;
}

void hca_cq_ring_purge(struct hca_cq_ring *cq, struct hca_cq_source *from)
{
	hca_irqflags_t flags;
	bool more;
	u32 i;

	hca_spin_lock(&cq->lock, flags);
	i = from->last;
	for (more = from->any; more && present(cq, i);) {
		struct hca_cqe *e = hca_cq_entry(cq, i);

		if (e->from != from)
			break;
		e->from = NULL;
		cq->purged++;
		more = e->chained;
		i = e->before;
	}
	from->any = false;
	/* What is purged at the front is gone at once, so that an empty queue looks empty. */
	while (cq->head != cq->tail && !hca_cq_entry(cq, cq->head)->from) {
		cq->purged--;
		hca_store(&cq->head, cq->head + 1);
	}
	hca_spin_unlock(&cq->lock, flags);
}

/* What is left of @cq into @ring, without gaps, from the same head on. */
static void pack(struct hca_cq_ring *cq, struct hca_cqe *ring, u32 size)
{
	u32 i, to = cq->head;

	hca_spin_assert(&cq->lock);
	for (i = cq->head; i != cq->tail; i++)
		if (hca_cq_entry(cq, i)->from)
			hca_cq_entry(cq, i)->from->any = false;
	for (i = cq->head; i != cq->tail; i++) {
		struct hca_cqe e = *hca_cq_entry(cq, i);

		if (!e.from)
			continue;
		hca_cq_chain(&e, to);
		ring[to++ & (size - 1)] = e;
	}
	cq->purged = 0;
	hca_store_release(&cq->tail, to);
}

void hca_cq_ring_pack(struct hca_cq_ring *cq)
{
	pack(cq, cq->ring, cq->size);
}

int hca_cq_ring_resize(struct hca_cq_ring *cq, u32 capacity, u32 limit)
{
	struct hca_cqe *ring, *old;
	hca_irqflags_t flags;
	u32 size;
	int err = make_ring(capacity, limit, &ring, &size);

	if (err)
		return err;
	hca_spin_lock(&cq->lock, flags);
	old = ring;
	err = -EINVAL;
	if (cq->tail - cq->head - cq->purged <= capacity) {
		pack(cq, ring, size);
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

bool hca_cq_ring_notify(struct hca_cq_ring *cq, enum hca_cq_arm arm)
{
	hca_irqflags_t flags;
	bool waiting;

	hca_spin_lock(&cq->lock, flags);
	if (arm > cq->arm)
		cq->arm = arm;
	waiting = cq->tail - cq->head != cq->purged;
	hca_spin_unlock(&cq->lock, flags);
	return waiting;
}

/* --- the consumer's handler --- */

void hca_cq_want(struct hca_cq *cq, u32 what)
{
	hca_fetch_or(&cq->wants, what);
	hca_eq_add(cq->eq, &cq->event);
}

int hca_cq_quiet(struct hca_cq *cq)
{
	if (hca_load_acquire(&cq->ring.users))
		return -EBUSY;
	hca_eq_cancel(cq->eq, &cq->event);
	return 0;
}

int hca_cq_fini(struct hca_cq *cq)
{
	int err = hca_cq_quiet(cq);

	if (!err)
		hca_cq_ring_fini(&cq->ring);
	return err;
}
