/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Threads that bring packets; see deliver.h. */
#include "deliver.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#define MOST 8u

static struct lossy_wire *wire;
static struct hca_eq bring;
static sem_t wake;
static pthread_t thread[MOST], main_thread;
static u32 threads, stop;

static void kick(void)
{
	sem_post(&wake);
}

static void *serve(void *arg)
{
	(void)arg;
	while (!hca_load_acquire(&stop)) {
		while (sem_wait(&wake))
			;
		while (hca_eq_turn(&bring))
			;
	}
	return NULL;
}

int deliver_start(struct lossy_wire *w)
{
	const char *env = getenv("SOFTHCA_DELIVERERS");
	u32 want = env && *env ? (u32)strtoul(env, NULL, 0) : 2;
	int err = hca_eq_init(&bring);

	if (err)
		return err;
	sem_init(&wake, 0, 0);
	wire = w;
	w->lanes = HCA_MIN(want, LOSSY_LANES);
	w->bring = &bring;
	w->kick = kick;
	main_thread = pthread_self();
	stop = 0;
	for (threads = 0; threads < HCA_MIN(want, MOST); threads++)
		if (pthread_create(&thread[threads], NULL, serve, NULL))
			return -EAGAIN;
	return 0;
}

void deliver_stop(struct lossy_wire *w)
{
	u32 i;

	deliver_settle();
	hca_store_release(&stop, 1u);
	for (i = 0; i < threads; i++)
		sem_post(&wake);
	for (i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	hca_timer_stop(&w->timer);
	w->bring = &w->eq;
	w->kick = NULL;
	hca_eq_fini(&bring);
	sem_destroy(&wake);
	wire = NULL;
}

static bool eq_is_quiet(struct hca_eq *eq)
{
	hca_irqflags_t flags;
	bool quiet;

	hca_spin_lock(&eq->lock, flags);
	quiet = !eq->first && !eq->runners;
	hca_spin_unlock(&eq->lock, flags);
	return quiet;
}

/* What is due later waits for time. */
static bool wire_is_quiet(void)
{
	hca_irqflags_t flags;
	bool quiet;
	u32 i;

	hca_spin_lock(&wire->lock, flags);
	quiet = !lossy_due(wire);
	for (i = 0; i < LOSSY_PORTS; i++)
		quiet &= !wire->delivering[i];
	hca_spin_unlock(&wire->lock, flags);
	return quiet;
}

static bool is_quiet(void)
{
	return wire_is_quiet() && eq_is_quiet(&bring) && eq_is_quiet(&wire->eq);
}

static void complete_it(void *done)
{
	hca_complete(done);
}

/* All work that was started before has ended. */
static void let_work_end(void)
{
	struct hca_completion done;
	struct hca_work work;

	hca_completion_init(&done);
	if (!hca_work_init(&work, complete_it, &done)) {
		hca_work_start(&work);
		hca_wait(&done, ~0ull);
		hca_work_destroy(&work);
	}
	hca_completion_destroy(&done);
}

/* Is this a handler's call? */
static bool in_a_handler(void)
{
	const struct hca_eq_runner *r;
	hca_irqflags_t flags;

	hca_spin_lock(&wire->eq.lock, flags);
	for (r = wire->eq.runners; r && r->context != hca_context(); r = r->next)
		;
	hca_spin_unlock(&wire->eq.lock, flags);
	return r;
}

void deliver_settle(void)
{
	u32 in_a_row = 0;

	if (!wire || !pthread_equal(pthread_self(), main_thread) || in_a_handler())
		return;
	while (in_a_row < 3) {
		if (is_quiet()) {
			in_a_row++;
			let_work_end();
		} else {
			in_a_row = 0;
			hca_eq_run(&wire->eq);
			deliver_clock_next(hca_now_ns()); /* the wire's own may be due at the time of another */
			sched_yield();
		}
	}
}

void deliver_sleep(u64 ns)
{
	u64 until = hca_now_ns() + ns;

	do
		deliver_settle();
	while (deliver_clock_next(until));
}

struct call {
	void (*fn)(void *arg);
	void *arg;
	u32 over;
	u32 pauses; /* a thread that waits for another makes them all the time */
	u32 seen; /* of them; the main thread's */
};

static _Thread_local struct call *current;

void deliver_pause(void)
{
	if (current)
		hca_fetch_add(&current->pauses, 1u);
	hca_pause();
}

static void *make_call(void *arg)
{
	struct call *c = arg;

	current = c;
	c->fn(c->arg);
	hca_store_release(&c->over, 1u);
	return NULL;
}

/* Since the last look. Return: are there some? *@wait: all of them have waited, and none that is held up looks like it. */
static bool look_at_calls(struct call *call, u32 n, bool *wait)
{
	bool any = false;
	u32 i, is;

	*wait = true;
	for (i = 0; i < n; i++) {
		if (hca_load_acquire(&call[i].over))
			continue;
		is = hca_load(&call[i].pauses);
		*wait &= is != call[i].seen;
		call[i].seen = is;
		any = true;
	}
	return any;
}

/* Time passes when everybody waits, as on the test os layer. */
static void let_time_pass(struct call *call, u32 n)
{
	const struct timespec a_while = { .tv_nsec = 1000000 };
	u32 in_a_row = 0;
	bool wait;

	while (look_at_calls(call, n, &wait)) {
		nanosleep(&a_while, NULL);
		in_a_row = wait ? in_a_row + 1 : 0;
		if (!wire)
			continue;
		if (is_quiet())
			let_work_end();
		if (deliver_clock_next(in_a_row > 2 && is_quiet() ? ~0ull : hca_now_ns()))
			in_a_row = 0;
	}
}

int deliver_beside(u32 n, void (*const fns[])(void *arg), void *const args[])
{
	struct call call[DELIVER_THREADS];
	pthread_t id[DELIVER_THREADS];
	int err = 0;
	u32 i;

	for (i = 0; i < n && !err; i++) {
		call[i] = (struct call){ .fn = fns[i], .arg = args ? args[i] : NULL };
		err = pthread_create(&id[i], NULL, make_call, &call[i]);
	}
	if (err)
		i--;
	let_time_pass(call, i);
	while (i--)
		pthread_join(id[i], NULL);
	deliver_settle();
	return err ? -EAGAIN : 0;
}
