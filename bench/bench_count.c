/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Instructions of a loop, counted twice: by callgrind, which anybody can repeat, and by
 * the processor, one step at a time, which takes the way that a program takes without a
 * tool. The two agree as long as callgrind's machine has what this one has; where it
 * lacks membarrier(2) the library would make full barriers instead, and that is refused.
 * Locked instructions are seen among the steps, by their bytes.
 *
 * The loop runs in a process of its own: this program again, with --count and --loop.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os.h"

#define WARM_UP 64 /* what a first call sets up isn't counted */
#define STEPS 256 /* iterations that are taken one step at a time, which takes a system call or two */
#define FULL_BARRIERS "light barriers are full ones here"
#define COLLECTED "Collected : "

/* --- the process that is counted --- */

/* callgrind collects in here alone; by its name. */
__attribute__((noinline)) void bench_count_this(const struct bench_loop *l, u64 n);
__attribute__((noinline)) void bench_count_this(const struct bench_loop *l, u64 n)
{
	l->run(l->ctx, n);
	bench_use(n);
}

int bench_count_child(const struct bench_counted *c, u64 n, bool stops)
{
	struct bench_loop l = { 0 };

#ifndef HCA_TSAN
	if ((hca_slot() >= HCA_SHARED_SLOTS))
		fputs(FULL_BARRIERS "\n", stderr);
#endif
	if (c->open(&l))
		return -1;
	l.run(l.ctx, WARM_UP);
	if (!stops) {
		bench_count_this(&l, n);
		return 0;
	}
	/* Between the first two nothing is done: that is what the stops themselves take. */
	raise(SIGSTOP);
	raise(SIGSTOP);
	bench_count_this(&l, n);
	raise(SIGSTOP);
	return 0;
}

/* --- both counts --- */

struct child {
	pid_t pid;
	int from; /* its standard error */
	char said[8192];
	size_t len;
};

static int child_start(struct child *k, const char *const *argv, bool traced)
{
	int fd[2];

	memset(k, 0, sizeof(*k));
	if (pipe2(fd, O_CLOEXEC))
		return bench_fail("no pipe: %s", strerror(errno));
	fflush(stdout);
	k->pid = fork();
	if (!k->pid) {
		dup2(fd[1], 2);
		if (!traced || !ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(fd[1]);
	k->from = fd[0];
	return k->pid > 0 ? 0 : bench_fail("no process: %s", strerror(errno));
}

/* All that it says, of which the end is kept, until it ends. Return: its exit status, or -1. */
static int child_end(struct child *k)
{
	char text[512];
	int status = -1;
	ssize_t got;

	while ((got = read(k->from, text, sizeof(text))) > 0) {
		size_t n = (size_t)got, keep = k->len;

		if (keep + n >= sizeof(k->said)) {
			keep = sizeof(k->said) / 2;
			memmove(k->said, k->said + k->len - keep, keep);
		}
		memcpy(k->said + keep, text, n);
		k->len = keep + n;
	}
	k->said[k->len] = 0;
	close(k->from);
	while (waitpid(k->pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int self(char *path, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 1);

	if (n <= 0)
		return bench_fail("/proc/self/exe can't be read");
	path[n] = 0;
	return 0;
}

/* --- callgrind --- */

static bool light_is_full(void)
{
#ifdef HCA_TSAN
	return true;
#else
	return (hca_slot() >= HCA_SHARED_SLOTS);
#endif
}

static int by_callgrind(const struct bench_counted *c, const char *path, double *instructions)
{
	char n[24];
	const char *const argv[] = { "valgrind",
				     "--tool=callgrind",
				     "--callgrind-out-file=/dev/null",
				     "--toggle-collect=bench_count_this",
				     path,
				     "--count",
				     n,
				     "--loop",
				     c->name,
				     NULL };
	struct child k;
	const char *at;
	int status;

	snprintf(n, sizeof(n), "%llu", (unsigned long long)c->n);
	if (child_start(&k, argv, false))
		return -1;
	status = child_end(&k);
	if (status == 127)
		return bench_fail("valgrind, which counts instructions, isn't installed");
	at = strstr(k.said, COLLECTED);
	if (status || !at)
		return bench_fail("callgrind couldn't count '%s' (status %d):\n%s", c->name, status, k.said);
	if (strstr(k.said, FULL_BARRIERS) && !light_is_full())
		return bench_fail(
			"this valgrind has no membarrier(2), and would count full barriers where there are none");
	*instructions = (double)strtoull(at + strlen(COLLECTED), NULL, 10) / (double)c->n;
	return *instructions > 0 ? 0 : bench_fail("callgrind saw nothing of '%s'", c->name);
}

/* --- one step at a time --- */

#ifdef __x86_64__
#define PC_OFFSET offsetof(struct user, regs.rip)

/* Behind the prefixes: lock itself is one; xchg with memory needs none. */
static bool is_locked(u64 bytes)
{
	for (;; bytes >>= 8) {
		u8 b = (u8)bytes;

		if (b == 0xf0)
			return true;
		if (b == 0x86 || b == 0x87)
			return (bytes >> 8 & 0xc0) != 0xc0;
		if (b != 0x66 && b != 0x67 && b != 0xf2 && b != 0xf3 && b != 0x2e && b != 0x36 && b != 0x3e &&
		    b != 0x26 && b != 0x64 && b != 0x65 && (b & 0xf0) != 0x40)
			return false;
	}
}

struct steps {
	u64 all, locked;
};

/* Until it stops by itself. Return: 0, or -1 if it doesn't. */
static int step(pid_t pid, struct steps *s)
{
	unsigned long pc, last = 0;
	int status;

	memset(s, 0, sizeof(*s));
	for (;;) {
		errno = 0;
		pc = (unsigned long)ptrace(PTRACE_PEEKUSER, pid, (void *)PC_OFFSET, NULL);
		/* A repeated instruction stops after each time, and is one. */
		if (pc != last) {
			s->all++;
			s->locked += is_locked((u64)ptrace(PTRACE_PEEKTEXT, pid, (void *)pc, NULL));
		}
		last = pc;
		if (errno || ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) || waitpid(pid, &status, 0) != pid ||
		    !WIFSTOPPED(status))
			return -1;
		if (WSTOPSIG(status) == SIGSTOP)
			return 0;
		if (WSTOPSIG(status) != SIGTRAP)
			return -1;
	}
}

static int go_on(pid_t pid, int want)
{
	int status;

	return ptrace(PTRACE_CONT, pid, NULL, NULL) || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
	       WSTOPSIG(status) != want;
}

static int by_steps(const struct bench_counted *c, const char *path, struct bench_counts *out)
{
	char n[24];
	const char *const argv[] = { path, "--count", n, "--loop", c->name, "--stops", NULL };
	struct steps none, all;
	struct child k;
	int status, bad;

	snprintf(n, sizeof(n), "%u", STEPS);
	if (child_start(&k, argv, true))
		return -1;
	/* The first stop is exec's own. */
	bad = waitpid(k.pid, &status, 0) != k.pid || !WIFSTOPPED(status) || go_on(k.pid, SIGSTOP) ||
	      step(k.pid, &none) || step(k.pid, &all);
	if (bad)
		kill(k.pid, SIGKILL);
	else
		ptrace(PTRACE_DETACH, k.pid, NULL, NULL);
	status = child_end(&k);
	if (bad || status)
		return bench_fail("'%s' can't be taken step by step; is ptrace(2) allowed here? %s", c->name, k.said);
	out->stepped = (double)(all.all - none.all) / STEPS;
	out->locked = (double)(all.locked - none.locked) / STEPS;
	return 0;
}
#else
static int by_steps(const struct bench_counted *c, const char *path, struct bench_counts *out)
{
	(void)c;
	(void)path;
	out->stepped = out->locked = NAN;
	return 0;
}
#endif

int bench_count(const struct bench_counted *c, struct bench_counts *out)
{
	char path[400];

	if (self(path, sizeof(path)) || by_callgrind(c, path, &out->instructions))
		return -1;
	return by_steps(c, path, out);
}

int bench_count_row(const char *name, const struct bench_counted *c, const struct bench_goal *goals)
{
	struct bench_counts k;

	if (bench_count(c, &k))
		return -1;
	bench_row(name, "instr", k.instructions, k.stepped, k.instructions / k.stepped, goals);
	return 0;
}
