/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files behind softhca/kernel.h share. */
#ifndef KERNEL_PRIVATE_H
#define KERNEL_PRIVATE_H

#include <signal.h>

#include "os.h"
#include "softhca/kernel/wait.h"

/** softhca_this_task() - where a thread keeps its task, NULL until it asks for it; a kthread sets it */
struct task_struct **softhca_this_task(void);

/** softhca_reading() - this thread's outermost RCU read section began at line @at, or ended (NULL) */
void softhca_reading(const char *at);

/** softhca_spin_enter() - this thread may not sleep from line @at on, until softhca_spin_leave() */
void softhca_spin_enter(const char *at);
void softhca_spin_leave(void);

/* A thread that takes no signals. A fault of its own, which a machine may take care of, kills if it is blocked. */
static inline int kernel_thread(pthread_t *thread, void *(*fn)(void *arg), void *arg)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(thread, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

#endif
