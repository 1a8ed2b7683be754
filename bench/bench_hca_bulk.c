/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Part "hca", what threads do to each other: how long others that write in bulk hold up
 * a deregistration, and how evenly eight of them get on. Bulk is RDMA writes of four
 * pieces; the measure of all waits is what memcpy takes for one piece, in the same
 * rounds and while the same other threads copy as much without an adapter.
 *
 * There is one such thread for each CPU but the measuring one's. Still a thread may lose
 * its CPU to another process in the middle of a piece, and the wait for it is a figure of
 * the scheduler, so a burst of waits in which the kernel switched is done again.
 */
#include "bench_hca.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ib/ib_core.h"

#define LINKS 8
#define ROUNDS 101
#define TRIES \
	10 /* waits in a burst; few, since now and then an interrupt hits one: the median of the rounds is to be free of it */
#define BURSTS 60 /* so often a burst is done until none of the threads lost its CPU */
#define FAIR_ROUNDS 5
#define FAIR_NS 600000000L
#define FAIR_BYTES 4096u

enum work { IDLE, COPY, WRITE, WRITE_8, LEAVE };

struct crew;

struct worker {
	struct crew *crew;
	pthread_t thread;
	struct link link;
	int cpu; /* of bench_cpus(); -1: any */
	u32 copied; /* bytes of one request: FAIR_BYTES, or all there are */
	int tid; /* atomic */
	u64 done; /* atomic: requests, or copies of as much */
};

/* Threads that all do the same work, each on a link of its own between the same two adapters. */
struct crew {
	struct worker worker[LINKS];
	int n;
	enum work work; /* atomic */
};

static void copy(struct link *l, u32 bytes)
{
	u32 at;

	for (at = 0; at < bytes; at += BLOCK) {
		memcpy(l->b.buf + at, l->a.buf + at, bytes < BLOCK ? bytes : BLOCK);
		bench_use(l->b.buf);
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	__atomic_store_n(&w->tid, gettid(), __ATOMIC_RELEASE);
	if (w->cpu >= 0) {
		bench_pin(w->cpu);
	} else {
		/* The kernel is to share the CPUs among more threads than there are: not in turns of a tenth of a second. */
		const struct sched_param none = { 0 };

		bench_unpin();
		pthread_setschedparam(pthread_self(), SCHED_OTHER, &none);
	}
	for (;;) {
		const struct timespec pause = { .tv_nsec = 50000 };

		switch (__atomic_load_n(&w->crew->work, __ATOMIC_ACQUIRE)) {
		case IDLE:
			nanosleep(&pause, NULL);
			continue;
		case COPY:
			copy(&w->link, w->copied);
			break;
		case WRITE:
			rdma(&w->link, IB_WR_RDMA_WRITE, w->copied, 0);
			break;
		case WRITE_8:
			rdma(&w->link, IB_WR_RDMA_WRITE, 8, 0);
			break;
		case LEAVE:
			return NULL;
		}
		__atomic_store_n(&w->done, w->done + 1, __ATOMIC_RELAXED);
	}
}

static int crew_open(struct crew *c, struct pair *p, int n, bool pinned, u32 bytes)
{
	int i;

	memset(c, 0, sizeof(*c));
	for (i = 0; i < n; i++) {
		struct worker *w = &c->worker[i];

		*w = (struct worker){ .crew = c, .cpu = pinned ? i + 1 : -1, .copied = bytes };
		if (link_open(&w->link, p->bed.ib, p->second))
			return -1;
		if (pthread_create(&w->thread, NULL, worker_main, w))
			return bench_fail("no thread");
		c->n++;
	}
	return 0;
}

static void crew_close(struct crew *c)
{
	int i;

	__atomic_store_n(&c->work, LEAVE, __ATOMIC_RELEASE);
	for (i = 0; i < c->n; i++) {
		pthread_join(c->worker[i].thread, NULL);
		link_close(&c->worker[i].link);
	}
}

/* Until each of them has done some of it. */
static void crew_work(struct crew *c, enum work work)
{
	const struct timespec pause = { .tv_nsec = 50000 };
	u64 from[LINKS];
	int i;

	__atomic_store_n(&c->work, work, __ATOMIC_RELEASE);
	for (i = 0; i < c->n; i++)
		from[i] = __atomic_load_n(&c->worker[i].done, __ATOMIC_RELAXED);
	for (i = 0; i < c->n && work != IDLE; i++)
		while (__atomic_load_n(&c->worker[i].done, __ATOMIC_RELAXED) < from[i] + 3)
			nanosleep(&pause, NULL);
}

/* --- bursts that nobody disturbed --- */

/* How often the kernel took the CPU from a thread of this process. */
static u64 losses(int tid)
{
	static const char field[] = "nonvoluntary_ctxt_switches:";
	char path[64], text[4096];
	const char *at;
	size_t got;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	got = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[got] = 0;
	at = strstr(text, field);
	return at ? strtoull(at + sizeof(field) - 1, NULL, 10) : 0;
}

/* How often it got one. */
static u64 gains(int tid)
{
	unsigned long long ran, waited, times = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", tid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (fscanf(f, "%llu %llu %llu", &ran, &waited, &times) != 3)
		times = 0;
	fclose(f);
	return times;
}

/* Of our own thread losses only: a wait may sleep, and that is its own doing. */
static u64 switches(struct crew *c)
{
	u64 sum = losses(gettid());
	int i;

	for (i = 0; i < c->n; i++) {
		int tid = __atomic_load_n(&c->worker[i].tid, __ATOMIC_ACQUIRE);

		sum += losses(tid) + gains(tid);
	}
	return sum;
}

static bool disturbed; /* a burst of these measurements, to the last */

/* TRIES figures, each by @once, while all of the crew work and are on a CPU all the time. */
static void burst(struct crew *c, double (*once)(void *ctx), void *ctx, double *ns)
{
	int i, k;

	for (k = 0; k < BURSTS; k++) {
		u64 done[LINKS], before = switches(c);
		bool all = true;

		for (i = 0; i < c->n; i++)
			done[i] = __atomic_load_n(&c->worker[i].done, __ATOMIC_RELAXED);
		for (i = 0; i < TRIES; i++)
			ns[i] = once(ctx);
		for (i = 0; i < c->n; i++)
			all = all && __atomic_load_n(&c->worker[i].done, __ATOMIC_RELAXED) != done[i];
		if (all && switches(c) == before)
			return;
	}
	disturbed = true;
}

/* --- waits --- */

/*
 * What is left of the sections that are under way: newcomers are turned to the other phase, as a waiter does it, and
 * those of this one are waited for. At the worst it is a whole section. Nobody else waits here meanwhile.
 */
static double section_rest(void *ctx)
{
	struct hca_quiesce *q = ctx;
	u32 n, top = hca_load_acquire(&q->top), phase = hca_fetch_add(&q->phase, 1) & 1;
	double began = bench_now();

	for (n = 0; n < top; n++)
		while (hca_load_acquire(&q->slot[n].inside[phase]))
			;
	return bench_now() - began;
}

static double deregistration(void *ctx)
{
	struct ib_mr *mr = ib_get_dma_mr(ctx, IB_ACCESS_LOCAL_WRITE);
	double began, took;

	if (IS_ERR(mr)) {
		bench_fail("no region");
		return NAN;
	}
	began = bench_now();
	if (ib_dereg_mr(mr))
		bench_fail("a region can't be ended");
	took = bench_now() - began;
	return took;
}

/* After so long without another one that threads which come in for short moments no longer make a fence. */
static double rare_deregistration(void *ctx)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	nanosleep(&pause, NULL);
	return deregistration(ctx);
}

static double one_copy(void *ctx)
{
	double began = bench_now();

	copy_block(ctx, 1);
	return bench_now() - began;
}

/* Something that waits for others in another way: what a deregistration pays if others were inside for short moments only. */
static double barrier(void *ctx)
{
	double began = bench_now();

	(void)ctx;
	hca_mb_heavy();
	return bench_now() - began;
}

/* struct waits - the longest of each round's burst */
struct waits {
	double copy[ROUNDS], barrier[ROUNDS], section[ROUNDS];
	double busy[ROUNDS], copying[ROUNDS]; /* a deregistration, while the others write, and while they copy */
	double other[ROUNDS], other_copying[ROUNDS]; /* the same on another adapter */
	double added[ROUNDS]; /* what their writing adds to a deregistration */
	double rare[ROUNDS],
		among_short[ROUNDS]; /* while they write 8 B: one in a millisecond, and one after another */
	double typical_copy[ROUNDS];
};

static double longest(const double *v, int n)
{
	double most = 0;
	int i;

	for (i = 0; i < n; i++)
		most = v[i] > most ? v[i] : most;
	return most;
}

static double longest_of(struct crew *c, double (*once)(void *ctx), void *ctx)
{
	double ns[TRIES];

	burst(c, once, ctx, ns);
	return longest(ns, TRIES);
}

static void one_round(struct waits *w, int r, struct crew *crew, struct pair *p, struct pair *other)
{
	double ns[TRIES];

	crew_work(crew, COPY);
	burst(crew, one_copy, &p->link, ns);
	w->copy[r] = longest(ns, TRIES);
	w->typical_copy[r] = bench_median(ns, TRIES);
	w->barrier[r] = longest_of(crew, barrier, NULL);
	w->copying[r] = longest_of(crew, deregistration, p->link.a.pd);
	w->other_copying[r] = longest_of(crew, deregistration, other->link.a.pd);

	crew_work(crew, WRITE);
	w->section[r] = longest_of(crew, section_rest, &p->bed.ib->core->hca.quiesce);
	w->busy[r] = longest_of(crew, deregistration, p->link.a.pd);
	w->other[r] = longest_of(crew, deregistration, other->link.a.pd);
	w->added[r] = w->busy[r] - w->copying[r];

	crew_work(crew, WRITE_8);
	w->rare[r] = longest_of(crew, rare_deregistration, p->link.a.pd);
	w->among_short[r] = longest_of(crew, deregistration, p->link.a.pd);
}

/* The rounds' medians, and the median of their ratios. */
static void wait_row(const char *name, const double *ours, const double *floor, const struct bench_goal *goals)
{
	double a[ROUNDS], b[ROUNDS], ratio[ROUNDS];
	int r;

	for (r = 0; r < ROUNDS; r++) {
		a[r] = ours[r];
		b[r] = floor[r];
		ratio[r] = ours[r] / floor[r];
	}
	bench_row(name, "ns", bench_median(a, ROUNDS), bench_median(b, ROUNDS), bench_median(ratio, ROUNDS), goals);
}

static void wait_rows(const struct waits *w)
{
	const struct bench_goal *three = BENCH_GOALS({ RATIO_AT_MOST, 3 });
	double most = longest(w->section, ROUNDS), most_copy = longest(w->copy, ROUNDS);

	bench_title("others write 256 KiB at a time; longest of ten waits");
	wait_row("a section of theirs / copying one piece", w->section, w->typical_copy, three);
	bench_row("the longest of all / the longest copy of all", "ns", most, most_copy, most / most_copy,
		  BENCH_NO_GOAL);
	wait_row("deregistration / copying one piece", w->busy, w->typical_copy, three);
	wait_row("what their writing adds to it / copying one piece", w->added, w->typical_copy, three);
	wait_row("deregistration, others write 8 B / copying one piece", w->among_short, w->typical_copy,
		 BENCH_NO_GOAL);
	wait_row("the same, one in a millisecond / copying one piece", w->rare, w->typical_copy, BENCH_NO_GOAL);
	wait_row("a heavy barrier by itself / copying one piece", w->barrier, w->typical_copy, BENCH_NO_GOAL);
	wait_row("deregistration elsewhere / while they only copy", w->other, w->other_copying,
		 BENCH_GOALS({ RATIO_AT_MOST, 1.5 }));
}

static void *use_once(void *ctx)
{
	write_block(ctx, 1);
	return NULL;
}

/* By us and by another thread: an adapter that one thread alone ever used finds out for nothing that it needn't wait. */
static int use_by_two(struct pair *p)
{
	pthread_t thread;

	use_once(&p->link);
	if (pthread_create(&thread, NULL, use_once, &p->link))
		return bench_fail("no thread");
	pthread_join(thread, NULL);
	return 0;
}

static int waits(struct pair *p, struct pair *other)
{
	static struct crew crew;
	static struct waits w;
	int r, n = HCA_MIN(bench_cpus() - 1, LINKS), bad;

	if (n < 1)
		return bench_fail("bulk traffic of others needs two CPUs");
	bad = crew_open(&crew, p, n, true, BLOCK * BLOCKS) || use_by_two(other);
	for (r = 0; r < ROUNDS && !bad; r++)
		one_round(&w, r, &crew, p, other);
	crew_close(&crew);
	if (bench_failed() || bad)
		return -1;
	if (disturbed)
		fputs("softhca-bench: other processes took CPUs away all the time; the waits that follow show it\n",
		      stderr);
	wait_rows(&w);
	return 0;
}

/* --- fairness --- */

/* Return: what the slowest did, as a part of what all did on average. */
static double evenness(struct crew *c, enum work work)
{
	const struct timespec while_they_work = { .tv_nsec = FAIR_NS };
	u64 did[LINKS], all = 0, least = ~0ull;
	int i;

	crew_work(c, work);
	for (i = 0; i < c->n; i++)
		did[i] = __atomic_load_n(&c->worker[i].done, __ATOMIC_RELAXED);
	nanosleep(&while_they_work, NULL);
	for (i = 0; i < c->n; i++) {
		did[i] = __atomic_load_n(&c->worker[i].done, __ATOMIC_RELAXED) - did[i];
		all += did[i];
		least = HCA_MIN(least, did[i]);
	}
	return (double)least * c->n / (double)all;
}

static int fairness(struct pair *p)
{
	static struct crew crew;
	double ours[FAIR_ROUNDS], floor[FAIR_ROUNDS];
	double slowest, slowest_copy;
	int r, bad = crew_open(&crew, p, LINKS, false, FAIR_BYTES);

	for (r = 0; r < FAIR_ROUNDS && !bad; r++) {
		floor[r] = evenness(&crew, COPY);
		ours[r] = evenness(&crew, WRITE);
	}
	crew_close(&crew);
	if (bench_failed() || bad)
		return -1;
	bench_title("8 queue pairs with a thread each, 4 KiB at a time");
	slowest = bench_median(ours, FAIR_ROUNDS);
	slowest_copy = bench_median(floor, FAIR_ROUNDS);
	bench_row("the slowest of the mean / the slowest of 8 that copy", "x", slowest, slowest_copy,
		  slowest / slowest_copy, BENCH_GOALS({ OURS_AT_LEAST, 0.5 }));
	return 0;
}

int bench_hca_bulk(struct pair *p, struct pair *other)
{
	if (bench_counting())
		return 0;
	return waits(p, other) | fairness(p);
}
