/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Workers: the threads that poll completion queues whose handlers may take their
 * time. They are started with the first such queue, one a CPU up to a few, take no signals, and
 * sleep while there is nothing to do. The os layer's worker makes none of their calls: a handler that blocks holds up
 * other such queues, but no timer's work and no handler that may not block.
 */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include "ib_core.h"

#define MAX_WORKERS 4

static struct hca_eq work;
static sem_t wake;
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static bool ready; /* start_lock: what stands above is made */
static int workers; /* the same */
static bool by_os; /* where no thread runs but a test's */

static void *worker(void *arg)
{
	for (;;) {
		while (sem_wait(&wake))
			;
		while (hca_eq_turn(&work))
			;
	}
	return arg;
}

static int start_one(void)
{
	sigset_t all, old;
	pthread_t thread;
	int err;

	sigfillset(&all);
	/* A fault of the thread's own, which a machine may take care of, kills if it is blocked. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&thread, NULL, worker, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!err)
		pthread_detach(thread);
	return err;
}

int ib_work_start(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int want = cpus < 1 ? 1 : cpus < MAX_WORKERS ? (int)cpus : MAX_WORKERS;
	int err = 0;

	if (by_os)
		return 0;
	pthread_mutex_lock(&start_lock);
	if (!ready) {
		err = hca_eq_init(&work);
		if (err)
			goto unlock;
		sem_init(&wake, 0, 0);
		ready = true;
	}
	while (workers < want && !start_one())
		workers++;
	if (!workers)
		err = hca_refuse(-EAGAIN, "no CQ that is polled by workers: no thread could be started");
unlock:
	pthread_mutex_unlock(&start_lock);
	return err;
}

void ib_work_add(struct hca_eq_node *node)
{
	hca_eq_add(&work, node);
	if (by_os)
		hca_eq_kick(&work);
	else
		sem_post(&wake);
}

void ib_work_cancel(struct hca_eq_node *node)
{
	hca_eq_cancel(&work, node);
}

int ib_work_by_os(bool yes)
{
	int err = 0;

	if (yes)
		err = hca_eq_init(&work);
	else if (by_os)
		hca_eq_fini(&work);
	by_os = yes && !err;
	return err;
}
