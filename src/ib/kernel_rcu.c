/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * RCU of kernel sources, on the os layer's; see softhca/kernel/rcu.h. One thread of the library, which begins with the first
 * call_rcu(), waits for grace periods and calls what has waited for them.
 */
#include <stdlib.h>

#include "kernel_private.h"
#include "softhca/kernel/rcu.h"

/* --- readers --- */

static __thread u32 reads; /* read sections of this thread, one in the other */

void softhca_rcu_read_lock(const char *at)
{
	if (!reads++)
		softhca_reading(at);
	hca_rcu_read_lock();
}

void softhca_rcu_read_unlock(void)
{
	hca_rcu_read_unlock();
	if (!--reads)
		softhca_reading(NULL);
}

int rcu_read_lock_held(void)
{
	return reads != 0;
}

void synchronize_rcu(void)
{
	might_sleep();
	hca_rcu_synchronize();
}

/* --- calls after a grace period --- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* all that follows */
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static pthread_cond_t called = PTHREAD_COND_INITIALIZER;
static struct rcu_head *first, **last = &first;
static u64 asked, done; /* calls; in the order in which they were asked for */
static bool have_thread;

/* A head that is to be freed has its offset in the function's place. */
static void call(struct rcu_head *head)
{
	uintptr_t offset = (uintptr_t)head->func;

	if (offset < PAGE_SIZE)
		softhca_kfree((char *)head - offset);
	else
		head->func(head);
}

static void *run(void *arg)
{
	struct rcu_head *head, *next;
	u64 n;

	pthread_setname_np(pthread_self(), "softhca-rcu");
	pthread_mutex_lock(&lock);
	for (;;) {
		while (!first)
			pthread_cond_wait(&more, &lock);
		head = first;
		first = NULL;
		last = &first;
		pthread_mutex_unlock(&lock);
		hca_rcu_synchronize();
		for (n = 0; head; head = next, n++) {
			next = head->next;
			call(head);
		}
		pthread_mutex_lock(&lock);
		done += n;
		pthread_cond_broadcast(&called);
	}
	return arg;
}

void call_rcu(struct rcu_head *head, rcu_callback_t func)
{
	pthread_t thread;

	head->next = NULL;
	head->func = func;
	pthread_mutex_lock(&lock);
	if (!have_thread) {
		have_thread = !kernel_thread(&thread, run, NULL);
		HCA_ASSERT(have_thread);
		pthread_detach(thread);
	}
	*last = head;
	last = &head->next;
	asked++;
	pthread_cond_signal(&more);
	pthread_mutex_unlock(&lock);
}

void rcu_barrier(void)
{
	u64 until;

	might_sleep();
	pthread_mutex_lock(&lock);
	for (until = asked; done < until;)
		pthread_cond_wait(&called, &lock);
	pthread_mutex_unlock(&lock);
}

void softhca_kfree_rcu(void *ptr, struct rcu_head *head, size_t offset)
{
	if (head) {
		BUG_ON(offset >= PAGE_SIZE);
		call_rcu(head, (rcu_callback_t)(uintptr_t)offset);
	} else if (ptr) {
		synchronize_rcu();
		softhca_kfree(ptr);
	}
}

/* --- readers that may sleep --- */

int init_srcu_struct(struct srcu_struct *s)
{
	*s = (struct srcu_struct){ .parity = 0 };
	pthread_mutex_init(&s->lock, NULL);
	init_waitqueue_head(&s->ended);
	mutex_init(&s->writer);
	return 0;
}

void cleanup_srcu_struct(struct srcu_struct *s)
{
	HCA_WARN_ON(s->readers[0] || s->readers[1]);
}

int srcu_read_lock(struct srcu_struct *s)
{
	int idx;

	pthread_mutex_lock(&s->lock);
	idx = (int)s->parity;
	s->readers[idx]++;
	pthread_mutex_unlock(&s->lock);
	return idx;
}

void srcu_read_unlock(struct srcu_struct *s, int idx)
{
	bool last_one;

	pthread_mutex_lock(&s->lock);
	last_one = !--s->readers[idx & 1];
	/* The wake is inside: a writer that has seen the number may free all this. */
	if (last_one)
		softhca_wake(&s->ended);
	pthread_mutex_unlock(&s->lock);
}

static u32 readers_of(struct srcu_struct *s, u32 parity)
{
	u32 n;

	pthread_mutex_lock(&s->lock);
	n = s->readers[parity];
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* New readers have the other parity, so those of the old one become fewer only. */
void synchronize_srcu(struct srcu_struct *s)
{
	u32 old;

	mutex_lock(&s->writer);
	pthread_mutex_lock(&s->lock);
	old = s->parity;
	s->parity = !old;
	pthread_mutex_unlock(&s->lock);
	wait_event(s->ended, !readers_of(s, old));
	mutex_unlock(&s->writer);
}
