/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The clock and the timers of the user os layer. One helper thread serves all timers of
 * the process; it comes with the first hca_timer_start(), takes no signals and sleeps
 * until something is due. The timers stand in a binary heap that hca_timer_init() makes
 * large enough, so that starting one can't fail. A callback runs without our lock.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NEVER (~0ull)
#define NS_PER_SEC 1000000000ull
/* The helper's longest sleep; it keeps a far deadline within a 32-bit time_t. */
#define NAP_NS (3600 * NS_PER_SEC)
/* A locked-memory limit should not go into the default 8 MiB of stack. */
#define STACK_BYTES ((size_t)1 << 20)
#define FIRST_ROOM 64u

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* everything below */
static pthread_cond_t due; /* the helper: the first deadline came nearer */
static pthread_cond_t ended; /* hca_timer_destroy(): a callback has returned */
static struct hca_timer **heap; /* from 1 */
static size_t queued;
static size_t room;
static size_t timers; /* that exist */
static struct hca_timer *running; /* whose callback runs now; not looked into after the callback began */
static bool have_helper;
static pthread_t helper;
static u64 wakes_at; /* when the helper will look again; 0: it is awake */

u64 hca_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * NS_PER_SEC + (u64)ts.tv_nsec;
}

static void place(struct hca_timer *t, size_t i)
{
	heap[i] = t;
	t->place = i;
}

static void sift_up(struct hca_timer *t, size_t i)
{
	for (; i > 1 && heap[i / 2]->when > t->when; i /= 2)
		place(heap[i / 2], i);
	place(t, i);
}

static void sift_down(struct hca_timer *t, size_t i)
{
	size_t kid;

	while ((kid = 2 * i) <= queued) {
		if (kid < queued && heap[kid + 1]->when < heap[kid]->when)
			kid++;
		if (heap[kid]->when >= t->when)
			break;
		place(heap[kid], i);
		i = kid;
	}
	place(t, i);
}

static void queue_del(struct hca_timer *t)
{
	size_t i = t->place;
	struct hca_timer *last;

	if (!i)
		return;
	t->place = 0;
	last = heap[queued--];
	if (last == t)
		return;
	if (i > 1 && heap[i / 2]->when > last->when)
		sift_up(last, i);
	else
		sift_down(last, i);
}

static void queue_add(struct hca_timer *t, u64 when)
{
	t->when = when;
	sift_up(t, ++queued);
}

/* Sleep until somebody brings a nearer deadline, at most until @when. */
static void nap(u64 when, u64 now)
{
	struct timespec ts;

	if (when > now + NAP_NS)
		when = now + NAP_NS;
	ts.tv_sec = (time_t)(when / NS_PER_SEC);
	ts.tv_nsec = (long)(when % NS_PER_SEC);
	wakes_at = when;
	pthread_cond_timedwait(&due, &lock, &ts);
	wakes_at = 0;
}

static void run_first(void)
{
	struct hca_timer *t = heap[1];
	void (*fn)(void *arg) = t->fn;
	void *arg = t->arg;

	queue_del(t);
	running = t;
	pthread_mutex_unlock(&lock);
	fn(arg);
	pthread_mutex_lock(&lock);
	running = NULL;
	pthread_cond_broadcast(&ended);
}

static void *help(void *unused)
{
	u64 now;

	pthread_mutex_lock(&lock);
	for (;;) {
		if (!queued) {
			wakes_at = NEVER;
			pthread_cond_wait(&due, &lock);
			wakes_at = 0;
			continue;
		}
		now = hca_now_ns();
		if (heap[1]->when > now)
			nap(heap[1]->when, now);
		else
			run_first();
	}
	return unused;
}

/* The program's signals are for the program's threads: the helper is born with them blocked. */
static int spawn(void)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int err;

	sigfillset(&all);
	/* A fault of the thread's own, which a machine may take care of, kills if it is blocked. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (!err)
		err = pthread_create(&helper, &attr, help, NULL);
	if (err == EINVAL) { /* a program with much thread-local storage */
		pthread_attr_destroy(&attr);
		pthread_attr_init(&attr);
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		err = pthread_create(&helper, &attr, help, NULL);
	}
	pthread_attr_destroy(&attr);
	if (!err)
		pthread_setname_np(helper, "softhca-timer");
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

static void conds_init(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&due, &attr);
	pthread_cond_init(&ended, &attr);
	pthread_condattr_destroy(&attr);
}

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&lock);
}

/*
 * The helper stayed with the parent; the child's comes with its next hca_timer_start(). What the parent started is the
 * parent's to run: in the child nothing is due until the child starts it.
 */
static void after_fork_child(void)
{
	for (; queued; queued--)
		heap[queued]->place = 0;
	have_helper = false;
	running = NULL;
	wakes_at = 0;
	conds_init();
	pthread_mutex_unlock(&lock);
}

static void init_once(void)
{
	conds_init();
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

int hca_timer_init(struct hca_timer *t, void (*fn)(void *arg), void *arg)
{
	struct hca_timer **larger;
	size_t want;

	pthread_once(&once, init_once);
	pthread_mutex_lock(&lock);
	if (timers + 1 >= room) {
		want = room ? room * 2 : FIRST_ROOM;
		larger = want > SIZE_MAX / sizeof(*heap) ? NULL : realloc(heap, want * sizeof(*heap));
		if (!larger) {
			pthread_mutex_unlock(&lock);
			return -ENOMEM;
		}
		heap = larger;
		room = want;
	}
	timers++;
	pthread_mutex_unlock(&lock);
	memset(t, 0, sizeof(*t));
	t->fn = fn;
	t->arg = arg;
	return 0;
}

void hca_timer_start(struct hca_timer *t, u64 when_ns)
{
	int err = 0;

	pthread_mutex_lock(&lock);
	if (t->dying) {
		pthread_mutex_unlock(&lock);
		return;
	}
	queue_del(t);
	queue_add(t, when_ns);
	if (!have_helper) {
		err = spawn();
		have_helper = !err;
	} else if (when_ns < wakes_at) {
		wakes_at = 0; /* one wake is enough */
		pthread_cond_signal(&due);
	}
	pthread_mutex_unlock(&lock);
	if (err) /* it stays queued: the next start tries again */
		hca_log(HCA_LOG_ERR, "no helper thread for timers: error %d", err);
}

void hca_timer_stop(struct hca_timer *t)
{
	pthread_mutex_lock(&lock);
	queue_del(t);
	pthread_mutex_unlock(&lock);
}

void hca_timer_destroy(struct hca_timer *t)
{
	pthread_mutex_lock(&lock);
	HCA_ASSERT(running != t || !pthread_equal(helper, pthread_self()));
	t->dying = true;
	queue_del(t);
	while (running == t)
		pthread_cond_wait(&ended, &lock);
	if (!--timers) {
		free(heap);
		heap = NULL;
		room = 0;
	}
	pthread_mutex_unlock(&lock);
}
