/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Completion queues; see cq.h. Called by the engine, which adds, and by a face's verbs.
 * head and tail count up through every resize, so that whoever looks at the two without
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

static struct hca_cqe *slot(struct hca_cq_ring *cq, u32 i)
{
	return &cq->ring[i & (cq->size - 1)];
}

/* --- chains: the completions of one source --- */

/* An entry that is still in the ring? */
static bool present(const struct hca_cq_ring *cq, u32 i)
{
	return i - cq->head < cq->tail - cq->head;
}

/*
 * Has it an entry in the ring? Its last one may have left so long ago that the counters have come round, and the place
 * is another one's.
 */
static bool has_any(struct hca_cq_ring *cq, const struct hca_cq_source *from)
{
	return from->any && present(cq, from->last) && slot(cq, from->last)->from == from;
}

/* The entry @i is the newest one of its source; @chained: the source has others. */
static void chain(struct hca_cqe *e, u32 i, bool chained)
{
	struct hca_cq_source *from = e->from;

	e->chained = chained;
	e->before = from->last;
	from->last = i;
	from->any = true;
}

/* What was purged at the front is gone at once, so that an empty queue looks empty. */
static void move_head(struct hca_cq_ring *cq, u32 head)
{
	for (; head != cq->tail && !slot(cq, head)->from; head++)
		cq->purged--;
	hca_store(&cq->head, head);
}

void hca_cq_ring_purge(struct hca_cq_ring *cq, struct hca_cq_source *from)
{
	hca_irqflags_t flags;
	bool more;
	u32 i;

	hca_spin_lock(&cq->lock, flags);
	i = from->last;
	more = has_any(cq, from);
	while (more) {
		struct hca_cqe *e = slot(cq, i);

		e->from = NULL;
		cq->purged++;
		i = e->before;
		more = e->chained && present(cq, i);
	}
	from->any = false;
	move_head(cq, cq->head);
	hca_spin_unlock(&cq->lock, flags);
}

/* What is left of @cq into @ring, without gaps, from the same head on. */
static void pack(struct hca_cq_ring *cq, struct hca_cqe *ring, u32 size)
{
	u32 i, to = cq->head;

	hca_spin_assert(&cq->lock);
	for (i = cq->head; i != cq->tail; i++)
		if (slot(cq, i)->from)
			slot(cq, i)->from->any = false;
	for (i = cq->head; i != cq->tail; i++) {
		struct hca_cqe e = *slot(cq, i);

		if (!e.from)
			continue;
		chain(&e, to, e.from->any);
		ring[to++ & (size - 1)] = e;
	}
	cq->purged = 0;
	hca_store_release(&cq->tail, to);
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

/* --- adding and polling --- */

enum hca_cq_added hca_cq_ring_add(struct hca_cq_ring *cq, struct hca_cq_source *from, const struct hca_wc *wc,
				  bool solicited)
{
	enum hca_cq_added result = HCA_CQ_QUIET;
	hca_irqflags_t flags;
	struct hca_cqe *e;

	hca_spin_lock(&cq->lock, flags);
	if (hca_unlikely(cq->purged && cq->tail - cq->head >= cq->capacity))
		pack(cq, cq->ring, cq->size);
	if (hca_unlikely(cq->error)) {
		result = HCA_CQ_LOST;
	} else if (hca_unlikely(cq->tail - cq->head == cq->capacity)) {
		hca_store(&cq->error, 1u);
		result = HCA_CQ_OVERFLOW;
	} else {
		e = slot(cq, cq->tail);
		e->wc = *wc;
		e->from = from;
		chain(e, cq->tail, has_any(cq, from));
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
	for (head = cq->head; got < n && head != cq->tail; head++) {
		const struct hca_cqe *e = slot(cq, head);

		if (hca_likely(e->from))
			wc[got++] = e->wc;
		else
			cq->purged--;
	}
	if (hca_unlikely(cq->purged))
		move_head(cq, head);
	else
		hca_store(&cq->head, head);
	if (hca_unlikely(!got && cq->error))
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
