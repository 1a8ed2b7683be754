/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For tests of the user os layer: a function in many threads, or in a child that it is meant
 * to kill; how large the process is. Included once by a test program, after cmocka and os.h.
 */
#ifndef HCA_TESTS_OS_CHILD_H
#define HCA_TESTS_OS_CHILD_H

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef HCA_TSAN
/* A forked child of ours makes threads and means to. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}
#endif

static inline void in_threads(int n, void *(*fn)(void *), void *arg)
{
	pthread_t t[128];
	int i;

	assert_true(n <= 128);
	for (i = 0; i < n; i++)
		assert_int_equal(pthread_create(&t[i], NULL, fn, arg), 0);
	for (i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

/* The status that fn() exits with in a child; below 0: it died. */
static inline int exit_of(void (*fn)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		fn();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The signal that ends fn() in a child, or 0. */
static inline int died_of(void (*fn)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		signal(SIGABRT, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		if (freopen("/dev/null", "w", stderr))
			fn();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* 0: address space of the process, 1: what is resident of it. */
static inline size_t statm_bytes(int which)
{
	unsigned long pages[2] = { 0, 0 };
	FILE *f = fopen("/proc/self/statm", "r");

	assert_int_equal(fscanf(f, "%lu %lu", &pages[0], &pages[1]), 2);
	fclose(f);
	return pages[which] * (size_t)sysconf(_SC_PAGESIZE);
}

#endif
