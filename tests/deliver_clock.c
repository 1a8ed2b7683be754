/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The clock and the timers of a program whose packets threads bring, in the place of the user os layer's: time
 * stands still until deliver_clock_next() moves it. So a peer that a slow machine keeps waiting isn't taken for a
 * silent one, and a callback runs when nothing else does.
 */
#include "deliver.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* everything below but now */
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER; /* a callback has returned */
static struct hca_timer *first; /* due next; they hang together by @place */
static struct hca_timer *running; /* whose callback runs; not looked into after it began */
static pthread_t runner;
static u64 now;

u64 hca_now_ns(void)
{
	struct timespec ts;

	if (!hca_load(&now)) { /* it begins with the real one's: who sleeps until a time of it wakes early, not late */
		clock_gettime(CLOCK_MONOTONIC, &ts);
		hca_cmpxchg(&now, 0, (u64)ts.tv_sec * 1000000000u + (u64)ts.tv_nsec);
	}
	return hca_load(&now);
}

static struct hca_timer *next_of(const struct hca_timer *t)
{
	return (struct hca_timer *)t->place; /* NOLINT(performance-no-int-to-ptr): the field is the user os layer's */
}

static void take_out(struct hca_timer *t)
{
	struct hca_timer *at = first, *before = NULL;

	while (at && at != t) {
		before = at;
		at = next_of(at);
	}
	if (!at)
		return;
	if (before)
		before->place = t->place;
	else
		first = next_of(t);
}

static void put_in(struct hca_timer *t)
{
	struct hca_timer *at = first, *before = NULL;

	while (at && at->when <= t->when) {
		before = at;
		at = next_of(at);
	}
	t->place = (size_t)at;
	if (before)
		before->place = (size_t)t;
	else
		first = t;
}

int hca_timer_init(struct hca_timer *t, void (*fn)(void *arg), void *arg)
{
	memset(t, 0, sizeof(*t));
	t->fn = fn;
	t->arg = arg;
	return 0;
}

void hca_timer_start(struct hca_timer *t, u64 when_ns)
{
	pthread_mutex_lock(&lock);
	if (!t->dying) {
		take_out(t);
		t->when = when_ns;
		put_in(t);
	}
	pthread_mutex_unlock(&lock);
}

void hca_timer_stop(struct hca_timer *t)
{
	pthread_mutex_lock(&lock);
	take_out(t);
	pthread_mutex_unlock(&lock);
}

void hca_timer_destroy(struct hca_timer *t)
{
	pthread_mutex_lock(&lock);
	HCA_ASSERT(running != t || !pthread_equal(runner, pthread_self()));
	t->dying = true;
	take_out(t);
	while (running == t)
		pthread_cond_wait(&ended, &lock);
	pthread_mutex_unlock(&lock);
}

bool deliver_clock_next(u64 until)
{
	struct hca_timer *t;

	pthread_mutex_lock(&lock);
	while (running)
		pthread_cond_wait(&ended, &lock);
	t = first;
	if (!t || t->when > until) {
		if (until != ~0ull && until > hca_now_ns())
			hca_store(&now, until);
		pthread_mutex_unlock(&lock);
		return false;
	}
	take_out(t);
	if (t->when > hca_now_ns())
		hca_store(&now, t->when);
	running = t;
	runner = pthread_self();
	pthread_mutex_unlock(&lock);
	t->fn(t->arg);
	pthread_mutex_lock(&lock);
	running = NULL;
	pthread_cond_broadcast(&ended);
	pthread_mutex_unlock(&lock);
	return true;
}
