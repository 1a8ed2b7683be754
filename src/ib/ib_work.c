/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Workers: the threads that poll completion queues whose handlers may take their
 * time. They are started with the first such queue, one a CPU up to a few, take no signals, and
 * sleep while there is nothing to do.
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
static int workers; /* under start_lock */

static void *worker(void *arg)
{
	for (;;) {
		while (sem_wait(&wake))
			;
		hca_eq_run(&work);
	}
	return arg;
}

static int start_one(void)
{
	sigset_t all, old;
	pthread_t thread;
	int err;

	sigfillset(&all);
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

	pthread_mutex_lock(&start_lock);
	if (!workers) {
		hca_eq_init(&work);
		sem_init(&wake, 0, 0);
	}
	while (workers < want && !start_one())
		workers++;
	want = workers;
	pthread_mutex_unlock(&start_lock);
	return want ? 0 : -EAGAIN;
}

void ib_work_add(struct hca_eq_node *node)
{
	hca_eq_add(&work, node);
	sem_post(&wake);
}

void ib_work_cancel(struct hca_eq_node *node)
{
	hca_eq_cancel(&work, node);
}
