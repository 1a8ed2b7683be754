/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Completion queues; see cq.h. Called by the engine, which adds, and by a face's verbs.
 * head and tail count up through every resize, so that a thread that looks at the two without
 * the lock never takes a full queue for an empty one.
 */
#include "hca/cq.h"

/* Entries that are gone through under the lock: no longer than 64 KiB are copied. */
#ifndef HCA_CQ_STEP
#define HCA_CQ_STEP 512u
#endif

/*
 * Of a larger ring each call that adds goes on a little with the pass that gives the room of purged entries back. A pass over L entries
 * takes L / STRIDE adds, so that there are never more than 9/7 of the capacity.
 */
#define STRIDE 8u

static u32 places(u32 capacity)
{
	return capacity <= HCA_CQ_STEP ? capacity : capacity + capacity / 2;
}

static int make_ring(u32 capacity, u32 limit, struct hca_cqe **ring, u32 *size)
{
	u32 n = 1;

	if (!capacity || capacity > limit)
		return hca_refuse(-EINVAL, "completion queue: %u entries, must be from 1 to %u", capacity, limit);
	while (n < places(capacity))
		n *= 2;
	*ring = hca_alloc((size_t)n * sizeof(**ring), HCA_MAY_SLEEP);
	if (!*ring)
		return -ENOMEM;
	*size = n;
	return 0;
}

/* The lock is held: what the calls that are fast look at. */
static void now_odd_or_not(struct hca_cq_ring *cq)
{
	cq->odd = cq->purged || cq->old;
	cq->room = cq->error || cq->purged ? 0 : cq->capacity;
}

int hca_cq_ring_init(struct hca_cq_ring *cq, u32 capacity, u32 limit)
{
	int err;

	hca_memset(cq, 0, sizeof(*cq));
	err = make_ring(capacity, limit, &cq->ring, &cq->size);
	if (err)
		return err;
	cq->capacity = capacity;
	cq->room = capacity;
	hca_spin_init(&cq->lock);
	return 0;
}

void hca_cq_ring_fini(struct hca_cq_ring *cq)
{
	hca_free(cq->ring);
}

/* --- places --- */

static bool before(u32 a, u32 b)
{
	return (s32)(a - b) < 0;
}

/* An entry that is still in the ring? */
static bool present(const struct hca_cq_ring *cq, u32 i)
{
	return i - cq->head < cq->tail - cq->head;
}

static struct hca_cqe *entry(const struct hca_cq_ring *cq, u32 i)
{
	if (hca_unlikely(cq->old) && !before(i, cq->old_from) && before(i, cq->old_end))
		return &cq->old[i & (cq->old_size - 1)];
	return hca_cq_entry(cq, i);
}

/* What is purged at the front is gone, so that an empty queue looks empty. Return: there is more of it. */
static bool drop_front(struct hca_cq_ring *cq)
{
	u32 n, head = cq->head;

	for (n = 0; n < HCA_CQ_STEP && cq->purged && head != cq->tail && !entry(cq, head)->from; n++, head++)
		cq->purged--;
	hca_store(&cq->head, head);
	return cq->purged && head != cq->tail && !entry(cq, head)->from;
}

/* --- chains: the completions of one source --- */

/*
 * From the completion at @i to the one before it of the same source. One that the pass hasn't reached yet may name a place from
 * which the other one was moved; the source knows where to. Return: is there one?
 */
static bool step_back(const struct hca_cq_ring *cq, const struct hca_cq_source *from, u32 *i)
{
	const struct hca_cqe *e = entry(cq, *i);
	u32 at = *i, to = e->before;

	if (!e->chained)
		return false;
	if (cq->passing && !before(at, cq->gap_end) && before(to, cq->gap_end)) {
		if (from->pass != cq->pass)
			return false;
		to = from->moved;
	}
	*i = to;
	/* A stale place is a later one, as the counters came round. */
	return before(to, at) && present(cq, to);
}

static void purge_some(struct hca_cq_ring *cq, struct hca_cq_source *from)
{
	u32 n;

	for (n = 0; from->any && n < HCA_CQ_STEP; n++) {
		struct hca_cqe *e = entry(cq, from->last);

		from->any = present(cq, from->last) && e->from == from;
		if (!from->any)
			return;
		e->from = NULL;
		cq->purged++;
		from->any = step_back(cq, from, &from->last);
	}
}

void hca_cq_ring_purge(struct hca_cq_ring *cq, struct hca_cq_source *from)
{
	hca_irqflags_t flags;
	bool more;

	do {
		hca_spin_lock(&cq->lock, flags);
		purge_some(cq, from);
		more = drop_front(cq) || from->any;
		now_odd_or_not(cq);
		hca_spin_unlock(&cq->lock, flags);
	} while (more);
}

/* --- the room of purged entries --- */

/* One entry that the pass goes by: it moves to where the gap begins, and so does the gap. */
static void go_by(struct hca_cq_ring *cq)
{
	struct hca_cqe *e = entry(cq, cq->gap_end), *to = entry(cq, cq->gap);
	struct hca_cq_source *from = e->from;

	if (from) {
		if (e != to) {
			*to = *e;
			e->from = NULL;
		}
		/* What isn't gone by in this pass and is older has been polled. */
		to->chained = from->pass == cq->pass;
		to->before = from->moved;
		from->pass = cq->pass;
		from->moved = cq->gap;
		if (from->last == cq->gap_end)
			from->last = cq->gap;
		cq->gap++;
	}
	cq->gap_end++;
}

/* Go on with the pass by @n entries; at its end the gap is cut off. */
static void pass_on(struct hca_cq_ring *cq, u32 n)
{
	if (!cq->passing) {
		cq->passing = true;
		cq->pass++;
		cq->gap = cq->gap_end = cq->head;
	}
	if (before(cq->gap_end, cq->head))
		cq->gap_end = cq->head;
	if (before(cq->gap, cq->head))
		cq->gap = cq->head;
	while (n-- && cq->gap_end != cq->tail)
		go_by(cq);
	if (cq->gap_end != cq->tail)
		return;
	cq->purged -= cq->tail - cq->gap;
	cq->passing = false;
	/* Places that are free now are the new ring's. */
	if (cq->old && before(cq->gap, cq->old_end))
		cq->old_end = cq->gap;
	hca_store_release(&cq->tail, cq->gap);
}

enum hca_cq_added hca_cq_ring_full(struct hca_cq_ring *cq)
{
	if (cq->error)
		return HCA_CQ_LOST;
	if (cq->purged)
		pass_on(cq, cq->size <= HCA_CQ_STEP ? cq->tail - cq->head : STRIDE);
	/* It doesn't come to that; but an entry must not be lost. */
	while (hca_unlikely(cq->tail - cq->head == cq->size && cq->purged))
		pass_on(cq, cq->size);
	now_odd_or_not(cq);
	if (cq->tail - cq->head - cq->purged < cq->capacity)
		return HCA_CQ_QUIET;
	hca_store(&cq->error, 1u);
	now_odd_or_not(cq);
	return HCA_CQ_OVERFLOW;
}

/* --- polling --- */

/* Return: more may be there, purged or not, than was looked at. */
static bool poll_some(struct hca_cq_ring *cq, struct hca_wc *wc, int n, int *got)
{
	u32 head = cq->head, steps;

	for (steps = 0; *got < n && head != cq->tail && steps < HCA_CQ_STEP; steps++, head++) {
		const struct hca_cqe *e = entry(cq, head);

		if (e->from)
			wc[(*got)++] = e->wc;
		else
			cq->purged--;
	}
	hca_store(&cq->head, head);
	return (*got < n && head != cq->tail) || drop_front(cq);
}

int hca_cq_ring_poll_odd(struct hca_cq_ring *cq, struct hca_wc *wc, int n)
{
	hca_irqflags_t flags;
	int got = 0;
	bool more;

	do {
		hca_spin_lock(&cq->lock, flags);
		more = poll_some(cq, wc, n, &got);
		now_odd_or_not(cq);
		if (!more && !got && cq->error)
			got = -EIO;
		hca_spin_unlock(&cq->lock, flags);
	} while (more);
	return got;
}

/* --- another size --- */

/* The lock is held. Return: 0; -EINVAL: too small; -EAGAIN: when what was purged has made room, it may go. */
static int begin_resize(struct hca_cq_ring *cq, struct hca_cqe *ring, u32 size, u32 capacity)
{
	if (cq->tail - cq->head - cq->purged > capacity)
		return -EINVAL; /* hca_cq_ring_resize() says why */
	if (cq->tail - cq->head > capacity) {
		pass_on(cq, HCA_CQ_STEP);
		return -EAGAIN; /* hca_cq_ring_resize() says why */
	}
	cq->old = cq->ring;
	cq->old_size = cq->size;
	cq->old_from = cq->head;
	cq->old_end = cq->tail;
	cq->ring = ring;
	cq->size = size;
	cq->capacity = capacity;
	return 0;
}

/* Return: the old ring, if no entry of it is needed any more. */
static struct hca_cqe *move_some(struct hca_cq_ring *cq)
{
	struct hca_cqe *old = cq->old;
	u32 n;

	if (before(cq->old_from, cq->head))
		cq->old_from = cq->head;
	for (n = 0; n < HCA_CQ_STEP && before(cq->old_from, cq->old_end); n++) {
		struct hca_cqe *e = entry(cq, cq->old_from);

		*hca_cq_entry(cq, cq->old_from++) = *e;
	}
	if (before(cq->old_from, cq->old_end))
		return NULL;
	cq->old = NULL;
	return old;
}

int hca_cq_ring_resize(struct hca_cq_ring *cq, u32 capacity, u32 limit)
{
	struct hca_cqe *ring, *old = NULL;
	hca_irqflags_t flags;
	u32 size;
	int err = make_ring(capacity, limit, &ring, &size);

	if (err)
		return err;
	do {
		hca_spin_lock(&cq->lock, flags);
		err = begin_resize(cq, ring, size, capacity);
		now_odd_or_not(cq);
		hca_spin_unlock(&cq->lock, flags);
	} while (err == -EAGAIN);
	if (err)
		(void)hca_refuse(err, "completion queue not resized to %u: more completions than that wait in it",
				 capacity);
	if (err)
		old = ring;
	while (!old) {
		hca_spin_lock(&cq->lock, flags);
		old = move_some(cq);
		now_odd_or_not(cq);
		hca_spin_unlock(&cq->lock, flags);
	}
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

/* --- moderation; the lock is held where a function doesn't take it --- */

static void report(struct hca_cq_ring *cq)
{
	cq->held = 0;
	cq->arm = HCA_CQ_DISARMED;
}

enum hca_cq_added hca_cq_ring_hold(struct hca_cq_ring *cq)
{
	hca_spin_assert(&cq->lock);
	cq->held++;
	if (cq->held == cq->held_most) {
		report(cq);
		return HCA_CQ_NOTIFY;
	}
	if (cq->held > 1)
		return HCA_CQ_QUIET;
	cq->due = hca_now_ns() + cq->period;
	return HCA_CQ_HELD;
}

bool hca_cq_ring_moderate(struct hca_cq_ring *cq, u32 most, u64 period)
{
	hca_irqflags_t flags;
	bool waited;

	hca_spin_lock(&cq->lock, flags);
	cq->held_most = most;
	cq->period = most == 1 ? 0 : period;
	waited = cq->held;
	if (waited)
		report(cq);
	hca_spin_unlock(&cq->lock, flags);
	return waited;
}

bool hca_cq_ring_due(struct hca_cq_ring *cq)
{
	hca_irqflags_t flags;
	bool due;

	hca_spin_lock(&cq->lock, flags);
	/* A timer that was started for completions that were reported since may fire when others wait, which began later. */
	due = cq->held && hca_now_ns() >= cq->due;
	if (due)
		report(cq);
	hca_spin_unlock(&cq->lock, flags);
	return due;
}

/* --- the consumer's handler --- */

void hca_cq_want(struct hca_cq *cq, u32 what)
{
	hca_fetch_or(&cq->wants, what);
	hca_eq_add(cq->eq, &cq->event);
}

/* The time of those that wait now: they may be others than those that this was called for. */
static void start_timer(struct hca_cq *cq)
{
	hca_irqflags_t flags;

	hca_spin_lock(&cq->ring.lock, flags);
	if (cq->ring.held)
		hca_timer_start(&cq->timer, cq->ring.due);
	hca_spin_unlock(&cq->ring.lock, flags);
}

bool hca_cq_tell(struct hca_cq *cq, enum hca_cq_added added)
{
	switch (added) {
	case HCA_CQ_NOTIFY:
		hca_cq_want(cq, HCA_WANT_COMP);
		return false;
	case HCA_CQ_HELD:
		start_timer(cq);
		return false;
	case HCA_CQ_OVERFLOW:
		hca_cq_want(cq, HCA_WANT_CQ_ERR);
		return true;
	case HCA_CQ_LOST:
		return true;
	case HCA_CQ_QUIET:
		break;
	}
	return false;
}

/* A timer calls no handler: a worker does. */
static void on_timer(void *arg)
{
	struct hca_cq *cq = arg;

	if (!hca_cq_ring_due(&cq->ring))
		return;
	hca_cq_want(cq, HCA_WANT_COMP);
	hca_eq_kick(cq->eq);
}

int hca_cq_moderate(struct hca_cq *cq, u32 count, u32 period_us)
{
	int err;

	if (count > HCA_CQ_MAX_MODERATION || period_us > HCA_CQ_MAX_MODERATION)
		return hca_refuse(-EINVAL, "completion queue not moderated: count %u, period %u us; may be %u at most",
				  count, period_us, HCA_CQ_MAX_MODERATION);
	if (count != 1 && period_us && !cq->timed) {
		err = hca_timer_init(&cq->timer, on_timer, cq);
		if (err)
			return err;
		cq->timed = true;
	}
	if (hca_cq_ring_moderate(&cq->ring, count, (u64)period_us * 1000))
		hca_cq_want(cq, HCA_WANT_COMP);
	hca_eq_run(cq->eq);
	return 0;
}

int hca_cq_quiet(struct hca_cq *cq)
{
	u32 users = hca_load_acquire(&cq->ring.users);

	if (users)
		return hca_refuse(-EBUSY, "completion queue not destroyed: %u queues of queue pairs use it still",
				  users);
	if (cq->timed)
		hca_timer_destroy(&cq->timer);
	cq->timed = false;
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
