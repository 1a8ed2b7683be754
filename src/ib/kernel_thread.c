/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Threads of kernel sources; see softhca/kernel/wait.h. */
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernel_private.h"

static pthread_mutex_t tasks_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(tasks); /* those that kthread_stop() wasn't called for */

static void *run(void *arg)
{
	struct task_struct *t = arg;

	*softhca_this_task() = t;
	t->pid = gettid();
	pthread_setname_np(pthread_self(), t->comm);
	wait_for_completion(&t->start);
	t->ret = hca_load_acquire(&t->should_stop) ? -EINTR : t->fn(t->data);
	return NULL;
}

struct task_struct *kthread_create(int (*fn)(void *data), void *data, const char *fmt, ...)
{
	struct task_struct *t = hca_alloc(sizeof(*t), HCA_MAY_SLEEP);
	va_list ap;
	int err;

	might_sleep();
	if (!t)
		return ERR_PTR(-ENOMEM);
	t->fn = fn;
	t->data = data;
	va_start(ap, fmt);
	vsnprintf(t->comm, sizeof(t->comm), fmt, ap);
	va_end(ap);
	init_completion(&t->start);
	init_waitqueue_head(&t->wake);
	pthread_mutex_init(&t->lock, NULL);
	err = kernel_thread(&t->thread, run, t);
	if (err) {
		hca_free(t);
		return ERR_PTR(err);
	}
	pthread_mutex_lock(&tasks_lock);
	list_add(&t->entry, &tasks);
	pthread_mutex_unlock(&tasks_lock);
	return t;
}

int wake_up_process(struct task_struct *t)
{
	complete_all(&t->start);
	softhca_wake(&t->wake);
	return 1;
}

bool kthread_should_stop(void)
{
	return hca_load_acquire(&softhca_current()->should_stop);
}

int kthread_stop(struct task_struct *t)
{
	int ret;

	might_sleep();
	hca_store_release(&t->should_stop, 1u);
	/* It either has not asked yet, and will see the above, or is woken where it waits. */
	pthread_mutex_lock(&t->lock);
	if (t->waits)
		softhca_wake(t->waits);
	pthread_mutex_unlock(&t->lock);
	wake_up_process(t);
	pthread_join(t->thread, NULL);
	pthread_mutex_lock(&tasks_lock);
	list_del(&t->entry);
	pthread_mutex_unlock(&tasks_lock);
	ret = t->ret;
	hca_free(t);
	return ret;
}
