/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Time, wait queues and completions of kernel sources; see softhca/kernel/wait.h. A wait queue counts its wakes: a
 * thread that has seen the count, and then that its condition isn't true, sleeps only as
 * long as the count stays.
 */
#include <time.h>
#include <unistd.h>

#include "kernel_private.h"

#define NEVER (~(u64)0)

/* --- time --- */

u64 softhca_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * NSEC_PER_SEC + (u64)ts.tv_nsec;
}

static struct timespec to_timespec(u64 ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / NSEC_PER_SEC), .tv_nsec = (long)(ns % NSEC_PER_SEC) };
}

void softhca_sleep_ns(u64 ns)
{
	struct timespec until = to_timespec(softhca_now_ns() + ns);

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

u64 softhca_deadline(long timeout)
{
	if (timeout == MAX_SCHEDULE_TIMEOUT)
		return NEVER;
	return softhca_now_ns() + (u64)HCA_MAX(timeout, 0) * NSEC_PER_MSEC;
}

long softhca_left(u64 deadline)
{
	u64 now = softhca_now_ns();

	if (deadline == NEVER)
		return MAX_SCHEDULE_TIMEOUT;
	return deadline <= now + NSEC_PER_MSEC ? 1 : (long)((deadline - now) / NSEC_PER_MSEC);
}

/* --- wait queues --- */

void init_waitqueue_head(struct wait_queue_head *wq)
{
	*wq = (struct wait_queue_head)__WAIT_QUEUE_HEAD_INITIALIZER(*wq);
}

/* Where the thread waits is noted for kthread_stop(). */
static void note(struct wait_queue_head *wq)
{
	struct task_struct *t = softhca_current();

	pthread_mutex_lock(&t->lock);
	t->waits = wq;
	pthread_mutex_unlock(&t->lock);
}

void softhca_wait_enter(struct wait_queue_head *wq, const char *at)
{
	if (at)
		softhca_might_sleep(at);
	hca_fetch_add(&wq->waiters, 1);
	note(wq);
}

void softhca_wait_leave(struct wait_queue_head *wq)
{
	note(NULL);
	hca_fetch_add(&wq->waiters, (u32)-1);
}

u32 softhca_wait_look(struct wait_queue_head *wq)
{
	u32 seq;

	pthread_mutex_lock(&wq->lock.mutex);
	seq = wq->seq;
	pthread_mutex_unlock(&wq->lock.mutex);
	return seq;
}

/* Until a wake, or the deadline. Return: 0 or -ETIMEDOUT. */
static int sleep_once(struct wait_queue_head *wq, u64 deadline)
{
	struct timespec until;

	if (deadline == NEVER) {
		pthread_cond_wait(&wq->cond, &wq->lock.mutex);
		return 0;
	}
	until = to_timespec(deadline);
	return pthread_cond_clockwait(&wq->cond, &wq->lock.mutex, CLOCK_MONOTONIC, &until) == ETIMEDOUT ? -ETIMEDOUT :
													  0;
}

int softhca_wait_sleep(struct wait_queue_head *wq, u32 seq, u64 deadline)
{
	int err = 0;

	pthread_mutex_lock(&wq->lock.mutex);
	while (wq->seq == seq && !err)
		err = sleep_once(wq, deadline);
	pthread_mutex_unlock(&wq->lock.mutex);
	return err;
}

/* Wakes itself and the tasks of its entries, whose own queues have no entries. */
void softhca_wake_locked(struct wait_queue_head *wq)
{
	const struct wait_queue_entry *e;

	wq->seq++;
	pthread_cond_broadcast(&wq->cond);
	for (e = wq->entries; e; e = e->next)
		softhca_wake(&e->task->wake);
}

void softhca_wake(struct wait_queue_head *wq)
{
	pthread_mutex_lock(&wq->lock.mutex);
	softhca_wake_locked(wq);
	pthread_mutex_unlock(&wq->lock.mutex);
}

/* --- completions --- */

void init_completion(struct completion *c)
{
	*c = (struct completion)COMPLETION_INITIALIZER(*c);
}

void reinit_completion(struct completion *c)
{
	pthread_mutex_lock(&c->wait.lock.mutex);
	c->done = 0;
	pthread_mutex_unlock(&c->wait.lock.mutex);
}

static void complete_as(struct completion *c, bool all)
{
	pthread_mutex_lock(&c->wait.lock.mutex);
	if (all)
		c->done = U32_MAX;
	else if (c->done != U32_MAX)
		c->done++;
	c->wait.seq++;
	pthread_cond_broadcast(&c->wait.cond);
	pthread_mutex_unlock(&c->wait.lock.mutex);
}

void complete(struct completion *c)
{
	complete_as(c, false);
}

void complete_all(struct completion *c)
{
	complete_as(c, true);
}

static bool take_done(struct completion *c)
{
	if (!c->done)
		return false;
	if (c->done != U32_MAX)
		c->done--;
	return true;
}

bool completion_done(struct completion *c)
{
	bool done;

	pthread_mutex_lock(&c->wait.lock.mutex);
	done = c->done;
	pthread_mutex_unlock(&c->wait.lock.mutex);
	return done;
}

bool try_wait_for_completion(struct completion *c)
{
	bool done;

	pthread_mutex_lock(&c->wait.lock.mutex);
	done = take_done(c);
	pthread_mutex_unlock(&c->wait.lock.mutex);
	return done;
}

bool softhca_wait_completion(struct completion *c, u64 deadline, const char *at)
{
	bool done;
	int err = 0;

	softhca_might_sleep(at);
	pthread_mutex_lock(&c->wait.lock.mutex);
	while (!(done = take_done(c)) && !err)
		err = sleep_once(&c->wait, deadline);
	pthread_mutex_unlock(&c->wait.lock.mutex);
	return done;
}

/* --- this thread --- */

struct task_struct **softhca_this_task(void)
{
	static __thread struct task_struct *this;

	return &this;
}

struct task_struct *softhca_current(void)
{
	static __thread struct task_struct self;
	struct task_struct **this = softhca_this_task();

	if (!*this) {
		self.thread = pthread_self();
		self.pid = gettid();
		pthread_getname_np(self.thread, self.comm, sizeof(self.comm));
		init_completion(&self.start);
		init_waitqueue_head(&self.wake);
		pthread_mutex_init(&self.lock, NULL);
		*this = &self;
	}
	return *this;
}

void softhca_set_state(u32 state)
{
	struct task_struct *t = softhca_current();

	t->seq = softhca_wait_look(&t->wake);
	t->state = state;
}

long schedule_timeout(long timeout)
{
	struct task_struct *t = softhca_current();
	u64 deadline = softhca_deadline(timeout);
	int err;

	might_sleep();
	if (t->state == TASK_RUNNING) {
		sched_yield();
		return timeout;
	}
	err = softhca_wait_sleep(&t->wake, t->seq, deadline);
	t->state = TASK_RUNNING;
	return err ? 0 : softhca_left(deadline);
}
