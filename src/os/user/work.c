/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The worker of the user os layer: one thread for all work of the process. It comes
 * with the first hca_work_start(), takes no signals and sleeps until something is
 * queued. Work is called without our lock, one after the other. A forked child has
 * neither the worker nor what was queued for it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os.h"

#include <signal.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* everything below */
static pthread_cond_t queued = PTHREAD_COND_INITIALIZER; /* the worker: there is something to do */
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER; /* hca_work_destroy(): a call has returned */
static struct hca_work *first, **last = &first;
static struct hca_work *running;
static bool have_worker, asleep;
static pthread_t worker;

static void *serve(void *unused)
{
	struct hca_work *w;

	pthread_mutex_lock(&lock);
	for (;;) {
		w = first;
		if (!w) {
			asleep = true;
			pthread_cond_wait(&queued, &lock);
			asleep = false;
			continue;
		}
		first = w->next;
		if (!first)
			last = &first;
		w->queued = false;
		running = w;
		pthread_mutex_unlock(&lock);
		w->fn(w->arg);
		pthread_mutex_lock(&lock);
		running = NULL;
		pthread_cond_broadcast(&ended);
	}
	return unused;
}

/* The program's signals are for the program's threads: the worker is born with them blocked. */
static int spawn(void)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	/* A fault of the thread's own, which a machine may take care of, kills if it is blocked. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&worker, NULL, serve, NULL);
	if (!err) {
		pthread_setname_np(worker, "softhca-work");
		pthread_detach(worker);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&lock);
}

static void after_fork_child(void)
{
	for (; first; first = first->next)
		first->queued = false;
	last = &first;
	have_worker = false;
	asleep = false;
	running = NULL;
	pthread_cond_init(&queued, NULL);
	pthread_cond_init(&ended, NULL);
	pthread_mutex_unlock(&lock);
}

static void init_once(void)
{
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

int hca_work_init(struct hca_work *w, void (*fn)(void *arg), void *arg)
{
	pthread_once(&once, init_once);
	memset(w, 0, sizeof(*w));
	w->fn = fn;
	w->arg = arg;
	return 0;
}

void hca_work_start(struct hca_work *w)
{
	int err = 0;

	pthread_mutex_lock(&lock);
	if (!w->queued && !w->dying) {
		w->queued = true;
		w->next = NULL;
		*last = w;
		last = &w->next;
	}
	if (!have_worker) {
		err = spawn();
		have_worker = !err;
	} else if (asleep) {
		pthread_cond_signal(&queued);
	}
	pthread_mutex_unlock(&lock);
	if (err) /* it stays queued: the next start tries again */
		hca_log(HCA_LOG_ERR, "no worker thread: error %d", err);
}

void hca_work_destroy(struct hca_work *w)
{
	struct hca_work **at;

	pthread_mutex_lock(&lock);
	HCA_ASSERT(running != w || !pthread_equal(worker, pthread_self()));
	w->dying = true;
	if (w->queued) {
		for (at = &first; *at != w; at = &(*at)->next)
			;
		*at = w->next;
		if (!w->next)
			last = at;
		w->queued = false;
	}
	while (running == w)
		pthread_cond_wait(&ended, &lock);
	pthread_mutex_unlock(&lock);
}
