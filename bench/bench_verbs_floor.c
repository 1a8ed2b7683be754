/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What no way from process to process can be faster than: the system's copy between two
 * processes, memcpy() into memory that both have mapped, and a wake-up by eventfd(2). The
 * other process has its own pages at the same address and sleeps, but for the wake-ups.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_verbs.h"
#include "os.h"

#define BATCHES 15
#define BATCH_NS 100000.0 /* about: short beside what the scheduler gives */
#define WAKES 200

/* Until the other one ends. */
static void __attribute__((noreturn)) serve(struct bench_peer *p)
{
	u64 n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	bench_pin(bench_cpus() > 1 ? 1 : 0);
	memset(p->at, 1, BENCH_PEER_BYTES);
	memset(p->both, 1, BENCH_PEER_BYTES);
	while (read(p->ask, &n, sizeof(n)) == sizeof(n)) {
		if (write(p->answer, &n, sizeof(n)) != sizeof(n))
			break;
	}
	_exit(1);
}

static int wake(const struct bench_peer *p)
{
	u64 n = 1;

	return write(p->ask, &n, sizeof(n)) == sizeof(n) && read(p->answer, &n, sizeof(n)) == sizeof(n) ?
		       0 :
		       bench_fail("the other process doesn't answer");
}

int bench_peer_open(struct bench_peer *p)
{
	const long page = sysconf(_SC_PAGESIZE);

	*p = (struct bench_peer){ .pid = -1, .ask = -1, .answer = -1 };
	/* As perftest gets its buffers. */
	p->own = aligned_alloc((size_t)page, BENCH_PEER_BYTES);
	p->at = aligned_alloc((size_t)page, BENCH_PEER_BYTES);
	p->both = mmap(NULL, BENCH_PEER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	p->ask = eventfd(0, EFD_CLOEXEC);
	p->answer = eventfd(0, EFD_CLOEXEC);
	if (!p->own || !p->at || p->both == MAP_FAILED || p->ask < 0 || p->answer < 0)
		return bench_fail("no memory for another process");
	memset(p->own, 2, BENCH_PEER_BYTES);
	p->pid = fork();
	if (!p->pid)
		serve(p);
	if (p->pid < 0)
		return bench_fail("no other process");
	/* It has touched its pages when it answers. */
	return wake(p);
}

void bench_peer_close(struct bench_peer *p)
{
	if (p->pid > 0) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
	}
	if (p->both && p->both != MAP_FAILED)
		munmap(p->both, BENCH_PEER_BYTES);
	if (p->ask >= 0)
		close(p->ask);
	if (p->answer >= 0)
		close(p->answer);
	free(p->own);
	free(p->at);
}

/* Median of some batches. Return: nanoseconds of one */
static double median_of(struct bench_peer *p, size_t bytes, void (*one)(struct bench_peer *p, size_t bytes))
{
	double ns[BATCHES], began = bench_now();
	u32 n, i, b;

	one(p, bytes);
	one(p, bytes);
	n = (u32)(BATCH_NS / (bench_now() - began + 1) * 2) + 1;
	for (b = 0; b < BATCHES; b++) {
		began = bench_now();
		for (i = 0; i < n; i++)
			one(p, bytes);
		ns[b] = (bench_now() - began) / n;
	}
	return bench_median(ns, BATCHES);
}

static void write_one(struct bench_peer *p, size_t bytes)
{
	const struct iovec own = { p->own, bytes }, there = { p->at, bytes };

	if (process_vm_writev(p->pid, &own, 1, &there, 1, 0) != (ssize_t)bytes)
		bench_fail("process_vm_writev: %s", strerror(errno));
}

static void read_one(struct bench_peer *p, size_t bytes)
{
	const struct iovec own = { p->own, bytes }, there = { p->at, bytes };

	if (process_vm_readv(p->pid, &own, 1, &there, 1, 0) != (ssize_t)bytes)
		bench_fail("process_vm_readv: %s", strerror(errno));
}

static void copy_one(struct bench_peer *p, size_t bytes)
{
	memcpy(p->both, p->own, bytes);
	bench_use(p->both);
}

double bench_peer_write(struct bench_peer *p, size_t bytes)
{
	return median_of(p, bytes, write_one);
}

double bench_peer_read(struct bench_peer *p, size_t bytes)
{
	return median_of(p, bytes, read_one);
}

double bench_peer_copy(struct bench_peer *p, size_t bytes)
{
	return median_of(p, bytes, copy_one);
}

double bench_peer_wake(struct bench_peer *p)
{
	double ns[WAKES];
	u32 i;

	for (i = 0; i < WAKES; i++) {
		double began = bench_now();

		if (wake(p))
			return NAN;
		ns[i] = (bench_now() - began) / 2;
	}
	return bench_median(ns, WAKES);
}
