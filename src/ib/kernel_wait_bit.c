/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Waits for bits and variables, and waits of a task's own making; see softhca/kernel/wait_bit.h. */
#include "kernel_private.h"
#include "softhca/kernel/wait_bit.h"

#define QUEUES 64u

struct wait_queue_head *softhca_bit_queue(const volatile void *addr)
{
	static struct wait_queue_head queues[QUEUES] = { [0 ... QUEUES - 1] = __WAIT_QUEUE_HEAD_INITIALIZER() };
	uintptr_t a = (uintptr_t)addr / sizeof(long);

	return &queues[(a ^ a / QUEUES) % QUEUES];
}

static void enter(struct wait_queue_head *wq, struct wait_queue_entry *e)
{
	hca_fetch_add(&wq->waiters, 1);
	pthread_mutex_lock(&wq->lock.mutex);
	e->wq = wq;
	e->next = wq->entries;
	wq->entries = e;
	pthread_mutex_unlock(&wq->lock.mutex);
}

void prepare_to_wait(struct wait_queue_head *wq, struct wait_queue_entry *e, u32 state)
{
	HCA_WARN_ON(e->task != softhca_current());
	if (!e->wq)
		enter(wq, e);
	set_current_state(state);
}

void finish_wait(struct wait_queue_head *wq, struct wait_queue_entry *e)
{
	struct wait_queue_entry **at;

	set_current_state(TASK_RUNNING);
	if (!e->wq)
		return;
	pthread_mutex_lock(&wq->lock.mutex);
	for (at = &wq->entries; *at && *at != e; at = &(*at)->next)
		;
	if (!HCA_WARN_ON(!*at))
		*at = e->next;
	e->wq = NULL;
	pthread_mutex_unlock(&wq->lock.mutex);
	hca_fetch_add(&wq->waiters, (u32)-1);
}

/* The task's queue has counted the wakes since the last look, which add_wait_queue() and each wait take. */
long wait_woken(struct wait_queue_entry *e, u32 state, long timeout)
{
	struct task_struct *t = e->task;
	u64 deadline = softhca_deadline(timeout);
	long left;

	might_sleep();
	(void)state;
	left = softhca_wait_sleep(&t->wake, t->seq, deadline) ? 0 : softhca_left(deadline);
	set_current_state(TASK_RUNNING);
	return left;
}
