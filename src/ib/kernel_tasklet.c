/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tasklets of kernel sources; see softhca/kernel/tasklet.h. One thread, which begins with the first one, calls them. */
#include "kernel_private.h"
#include "softhca/kernel/tasklet.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* all that follows */
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static LIST_HEAD(waiting);
static struct tasklet_struct *now; /* is called, and may be gone */
static bool have_thread;
static __thread bool calling; /* this is the thread, in a call */

bool softhca_in_tasklet(void)
{
	return calling;
}

static struct tasklet_struct *pick(void)
{
	struct tasklet_struct *t;

	list_for_each_entry(t, &waiting, entry)
		if (!t->disabled)
			return t;
	return NULL;
}

static void dequeue(struct tasklet_struct *t)
{
	list_del(&t->entry);
	t->queued = false;
	pthread_cond_broadcast(&ended);
}

static void call(struct tasklet_struct *t)
{
	calling = true;
	softhca_spin_enter("a tasklet's call");
	if (t->use_callback)
		t->callback(t);
	else
		t->func(t->data);
	softhca_spin_leave();
	calling = false;
}

static void *run(void *arg)
{
	pthread_setname_np(pthread_self(), "softhca-tasklet");
	pthread_mutex_lock(&lock);
	for (;;) {
		struct tasklet_struct *t = pick();

		if (!t) {
			pthread_cond_wait(&more, &lock);
			continue;
		}
		dequeue(t);
		now = t;
		pthread_mutex_unlock(&lock);
		call(t);
		pthread_mutex_lock(&lock);
		now = NULL;
		pthread_cond_broadcast(&ended);
	}
	return arg;
}

void tasklet_schedule(struct tasklet_struct *t)
{
	pthread_t thread;

	pthread_mutex_lock(&lock);
	if (!have_thread) {
		have_thread = !kernel_thread(&thread, run, NULL);
		HCA_ASSERT(have_thread);
		pthread_detach(thread);
	}
	if (!t->queued) {
		t->queued = true;
		list_add_tail(&t->entry, &waiting);
		pthread_cond_signal(&more);
	}
	pthread_mutex_unlock(&lock);
}

static void wait_for_call(const struct tasklet_struct *t)
{
	while (now == t && !HCA_WARN_ON(calling))
		pthread_cond_wait(&ended, &lock);
}

void tasklet_kill(struct tasklet_struct *t)
{
	might_sleep();
	pthread_mutex_lock(&lock);
	/* One that is scheduled is called once more, unless it is disabled; its call may schedule it again. */
	while (now == t || (t->queued && !t->disabled))
		if (HCA_WARN_ON(calling))
			break;
		else
			pthread_cond_wait(&ended, &lock);
	if (t->queued)
		dequeue(t);
	pthread_mutex_unlock(&lock);
}

void tasklet_disable_nosync(struct tasklet_struct *t)
{
	pthread_mutex_lock(&lock);
	t->disabled++;
	pthread_mutex_unlock(&lock);
}

void tasklet_disable(struct tasklet_struct *t)
{
	tasklet_disable_nosync(t);
	pthread_mutex_lock(&lock);
	wait_for_call(t);
	pthread_mutex_unlock(&lock);
}

void tasklet_enable(struct tasklet_struct *t)
{
	pthread_mutex_lock(&lock);
	t->disabled--;
	pthread_cond_signal(&more);
	pthread_mutex_unlock(&lock);
}
