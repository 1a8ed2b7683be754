/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Timers and work queues of kernel sources; see softhca/kernel/work.h. One lock guards all of them: none
 * is held while a call is made, and none of the calls is made that often.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include "kernel_private.h"
#include "softhca/kernel/work.h"

#define MAX_THREADS 4

/* A thread of a queue. @now: what it runs, which may be gone. */
struct worker {
	pthread_t thread;
	struct workqueue_struct *wq;
	struct work_struct *now;
	u64 ticket;
};

struct workqueue_struct {
	struct list_head works;
	struct list_head all;
	pthread_cond_t more;
	bool stopping;
	int threads;
	struct worker worker[MAX_THREADS];
	char name[24];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* all that follows */
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER; /* a work or a timer's call has ended, or left its queue */
static pthread_cond_t sooner = PTHREAD_COND_INITIALIZER; /* the timer thread looks again */
static LIST_HEAD(queues);
static LIST_HEAD(timers); /* the next one first */
static struct timer_list *in_call; /* the timer that is called, which may be gone */
static pthread_t timer_thread;
static bool have_timer_thread;
static u64 last_ticket;

/* --- what is run --- */

static struct worker *runs(const struct work_struct *w)
{
	struct workqueue_struct *wq;
	int i;

	list_for_each_entry(wq, &queues, all)
		for (i = 0; i < wq->threads; i++)
			if (wq->worker[i].now == w)
				return &wq->worker[i];
	return NULL;
}

static void enqueue(struct workqueue_struct *wq, struct work_struct *w)
{
	w->wq = wq;
	w->ticket = ++last_ticket;
	hca_store(&w->pending, true);
	hca_store(&w->queued, true);
	list_add_tail(&w->entry, &wq->works);
	pthread_cond_signal(&wq->more);
}

static void dequeue(struct work_struct *w)
{
	list_del(&w->entry);
	hca_store(&w->queued, false);
	pthread_cond_broadcast(&ended);
}

/* The first one that no thread runs. */
static struct work_struct *pick(struct workqueue_struct *wq)
{
	struct work_struct *w;

	list_for_each_entry(w, &wq->works, entry)
		if (!runs(w))
			return w;
	return NULL;
}

static void *work_thread(void *arg)
{
	struct worker *me = arg;
	struct workqueue_struct *wq = me->wq, *q;
	struct work_struct *w;

	pthread_setname_np(pthread_self(), "softhca-work");
	pthread_mutex_lock(&lock);
	for (;;) {
		work_func_t func;

		w = pick(wq);
		if (!w && wq->stopping)
			break;
		if (!w) {
			pthread_cond_wait(&wq->more, &lock);
			continue;
		}
		dequeue(w);
		hca_store(&w->pending, false);
		me->now = w;
		me->ticket = w->ticket;
		func = w->func;
		pthread_mutex_unlock(&lock);
		func(w);
		pthread_mutex_lock(&lock);
		me->now = NULL;
		pthread_cond_broadcast(&ended);
		/* It may be queued again, where its turn had to wait for us. */
		list_for_each_entry(q, &queues, all)
			if (!list_empty(&q->works))
				pthread_cond_broadcast(&q->more);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

bool queue_work(struct workqueue_struct *wq, struct work_struct *w)
{
	bool ok;

	pthread_mutex_lock(&lock);
	ok = !w->pending;
	if (ok)
		enqueue(wq, w);
	pthread_mutex_unlock(&lock);
	return ok;
}

/* Is this call of it, by its ticket, still to end? */
static bool to_end(const struct work_struct *w, u64 ticket)
{
	const struct worker *r = runs(w);

	return (w->queued && w->ticket == ticket) || (r && r->ticket == ticket);
}

bool flush_work(struct work_struct *w)
{
	const struct worker *r;
	bool was = false;
	u64 ticket = 0;

	might_sleep();
	pthread_mutex_lock(&lock);
	r = runs(w);
	if (w->queued)
		ticket = w->ticket;
	else if (r)
		ticket = r->ticket;
	while (ticket && to_end(w, ticket)) {
		was = true;
		pthread_cond_wait(&ended, &lock);
	}
	pthread_mutex_unlock(&lock);
	return was;
}

/* No call of it is under way when this returned, and until then it isn't queued. */
static void wait_idle(struct work_struct *w)
{
	struct worker *r;

	hca_store(&w->pending, true);
	while ((r = runs(w)) && !HCA_WARN_ON(pthread_equal(r->thread, pthread_self())))
		pthread_cond_wait(&ended, &lock);
	hca_store(&w->pending, false);
}

bool cancel_work_sync(struct work_struct *w)
{
	bool was;

	might_sleep();
	pthread_mutex_lock(&lock);
	was = w->queued;
	if (was)
		dequeue(w);
	wait_idle(w);
	pthread_mutex_unlock(&lock);
	return was;
}

/* --- queues --- */

static void stop_threads(struct workqueue_struct *wq)
{
	int i;

	pthread_mutex_lock(&lock);
	wq->stopping = true;
	pthread_cond_broadcast(&wq->more);
	pthread_mutex_unlock(&lock);
	for (i = 0; i < wq->threads; i++)
		pthread_join(wq->worker[i].thread, NULL);
	pthread_mutex_lock(&lock);
	list_del(&wq->all);
	pthread_mutex_unlock(&lock);
	pthread_cond_destroy(&wq->more);
	hca_free(wq);
}

static struct workqueue_struct *make_queue(int threads)
{
	struct workqueue_struct *wq = hca_alloc(sizeof(*wq), HCA_MAY_SLEEP);
	int i, err = 0;

	if (!wq)
		return NULL;
	INIT_LIST_HEAD(&wq->works);
	pthread_cond_init(&wq->more, NULL);
	pthread_mutex_lock(&lock);
	list_add_tail(&wq->all, &queues);
	for (i = 0; i < threads && !err; i++) {
		wq->worker[i].wq = wq;
		err = kernel_thread(&wq->worker[i].thread, work_thread, &wq->worker[i]);
		if (!err)
			wq->threads++;
	}
	pthread_mutex_unlock(&lock);
	if (wq->threads)
		return wq;
	stop_threads(wq);
	return NULL;
}

struct workqueue_struct *alloc_workqueue(const char *fmt, unsigned int flags, int max_active, ...)
{
	struct workqueue_struct *wq;
	va_list ap;

	(void)flags;
	might_sleep();
	wq = make_queue(max_active <= 0 || max_active > MAX_THREADS ? MAX_THREADS : max_active);
	if (!wq)
		return NULL;
	va_start(ap, max_active);
	vsnprintf(wq->name, sizeof(wq->name), fmt, ap);
	va_end(ap);
	return wq;
}

/* Does any work of it with a ticket up to this one wait or run? */
static bool has_until(const struct workqueue_struct *wq, u64 ticket)
{
	const struct work_struct *w;
	int i;

	list_for_each_entry(w, &wq->works, entry)
		if (w->ticket <= ticket)
			return true;
	for (i = 0; i < wq->threads; i++)
		if (wq->worker[i].now && wq->worker[i].ticket <= ticket)
			return true;
	return false;
}

static void wait_until(const struct workqueue_struct *wq, const u64 *ticket)
{
	pthread_mutex_lock(&lock);
	if (ticket) {
		u64 until = *ticket;

		while (has_until(wq, until))
			pthread_cond_wait(&ended, &lock);
	} else {
		while (has_until(wq, U64_MAX))
			pthread_cond_wait(&ended, &lock);
	}
	pthread_mutex_unlock(&lock);
}

void flush_workqueue(struct workqueue_struct *wq)
{
	might_sleep();
	wait_until(wq, &last_ticket);
}

void destroy_workqueue(struct workqueue_struct *wq)
{
	might_sleep();
	wait_until(wq, NULL);
	stop_threads(wq);
}

void drain_workqueue(struct workqueue_struct *wq)
{
	might_sleep();
	wait_until(wq, NULL);
}

static struct workqueue_struct *system_queue;

static void make_system_queue(void)
{
	system_queue = make_queue(MAX_THREADS);
	HCA_ASSERT(system_queue);
}

struct workqueue_struct *softhca_system_wq(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_system_queue);
	return system_queue;
}

/* --- timers --- */

/* The timer of a delayed work is no call: its work is queued. */
static void queue_delayed(struct timer_list *t)
{
	struct delayed_work *dw = hca_container_of(t, struct delayed_work, timer);

	enqueue(dw->wq, &dw->work);
}

static void expire(struct timer_list *t)
{
	void (*function)(struct timer_list * t) = t->function;

	list_del(&t->entry);
	hca_store(&t->active, false);
	if (function == queue_delayed) {
		queue_delayed(t);
		return;
	}
	in_call = t;
	pthread_mutex_unlock(&lock);
	function(t);
	pthread_mutex_lock(&lock);
	in_call = NULL;
	pthread_cond_broadcast(&ended);
}

static void *run_timers(void *arg)
{
	pthread_setname_np(pthread_self(), "softhca-timer");
	pthread_mutex_lock(&lock);
	for (;;) {
		struct timer_list *t = list_first_entry_or_null(&timers, struct timer_list, entry);
		struct timespec until;

		if (!t) {
			pthread_cond_wait(&sooner, &lock);
		} else if (time_after_eq(jiffies, t->expires)) {
			expire(t);
		} else {
			until = (struct timespec){ .tv_sec = (time_t)(t->expires / HZ),
						   .tv_nsec = (long)(t->expires % HZ) * NSEC_PER_MSEC };
			pthread_cond_clockwait(&sooner, &lock, CLOCK_MONOTONIC, &until);
		}
	}
	return arg;
}

static void start_timer(struct timer_list *t, unsigned long expires)
{
	struct timer_list *other;
	struct list_head *before = &timers;

	if (!have_timer_thread) {
		have_timer_thread = !kernel_thread(&timer_thread, run_timers, NULL);
		HCA_ASSERT(have_timer_thread);
		pthread_detach(timer_thread);
	}
	t->expires = expires;
	list_for_each_entry_reverse(other, &timers, entry) if (!time_after(other->expires, expires))
	{
		before = &other->entry;
		break;
	}
	list_add(&t->entry, before);
	hca_store(&t->active, true);
	pthread_cond_signal(&sooner);
}

static bool stop_timer(struct timer_list *t)
{
	if (!t->active)
		return false;
	list_del(&t->entry);
	hca_store(&t->active, false);
	return true;
}

int mod_timer(struct timer_list *t, unsigned long expires)
{
	int was;

	pthread_mutex_lock(&lock);
	was = stop_timer(t);
	if (t->function)
		start_timer(t, expires);
	pthread_mutex_unlock(&lock);
	return was;
}

void add_timer(struct timer_list *t)
{
	HCA_WARN_ON(timer_pending(t));
	mod_timer(t, t->expires);
}

int del_timer(struct timer_list *t)
{
	int was;

	pthread_mutex_lock(&lock);
	was = stop_timer(t);
	pthread_mutex_unlock(&lock);
	return was;
}

int del_timer_sync(struct timer_list *t)
{
	int was;

	might_sleep();
	pthread_mutex_lock(&lock);
	was = stop_timer(t);
	while (in_call == t && !HCA_WARN_ON(pthread_equal(timer_thread, pthread_self()))) {
		pthread_cond_wait(&ended, &lock);
		was |= stop_timer(t); /* its call has started it again */
	}
	pthread_mutex_unlock(&lock);
	return was;
}

/* A timer without a function isn't started, and none that is started is without one. Return: it was started. */
static int end_function(struct timer_list *t)
{
	int was;

	pthread_mutex_lock(&lock);
	was = stop_timer(t);
	t->function = NULL;
	pthread_mutex_unlock(&lock);
	return was;
}

int timer_shutdown(struct timer_list *t)
{
	return end_function(t);
}

int timer_shutdown_sync(struct timer_list *t)
{
	int was = end_function(t);

	return del_timer_sync(t) || was;
}

/* --- delayed work --- */

static void begin_delay(struct workqueue_struct *wq, struct delayed_work *dw, unsigned long delay)
{
	if (!delay) {
		enqueue(wq, &dw->work);
		return;
	}
	dw->wq = wq;
	hca_store(&dw->work.pending, true);
	dw->timer.function = queue_delayed;
	start_timer(&dw->timer, jiffies + delay);
}

/* Return: it waited or was queued. */
static bool end_delay(struct delayed_work *dw)
{
	bool was = stop_timer(&dw->timer);

	if (dw->work.queued) {
		dequeue(&dw->work);
		was = true;
	}
	if (was)
		hca_store(&dw->work.pending, false);
	return was;
}

bool queue_delayed_work(struct workqueue_struct *wq, struct delayed_work *dw, unsigned long delay)
{
	bool ok;

	pthread_mutex_lock(&lock);
	ok = !dw->work.pending;
	if (ok)
		begin_delay(wq, dw, delay);
	pthread_mutex_unlock(&lock);
	return ok;
}

bool mod_delayed_work(struct workqueue_struct *wq, struct delayed_work *dw, unsigned long delay)
{
	bool was;

	pthread_mutex_lock(&lock);
	was = end_delay(dw);
	/* One that is being cancelled stays so. */
	if (!dw->work.pending)
		begin_delay(wq, dw, delay);
	pthread_mutex_unlock(&lock);
	return was;
}

bool cancel_delayed_work(struct delayed_work *dw)
{
	bool was;

	pthread_mutex_lock(&lock);
	was = end_delay(dw);
	pthread_mutex_unlock(&lock);
	return was;
}

bool cancel_delayed_work_sync(struct delayed_work *dw)
{
	bool was;

	might_sleep();
	pthread_mutex_lock(&lock);
	was = end_delay(dw);
	wait_idle(&dw->work);
	pthread_mutex_unlock(&lock);
	return was;
}

bool flush_delayed_work(struct delayed_work *dw)
{
	bool waited;

	pthread_mutex_lock(&lock);
	waited = stop_timer(&dw->timer);
	if (waited)
		enqueue(dw->wq, &dw->work);
	pthread_mutex_unlock(&lock);
	return flush_work(&dw->work) || waited;
}
