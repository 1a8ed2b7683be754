/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The harness: calibration, rounds, medians, two pinned threads, and the table.
 * Called by main.c and by the parts. Nothing here knows what is measured.
 */
#include "bench.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 25
#define ROUND_NS 1e6 /* one turn of one loop: long beside the clock, short beside the scheduler */
#define PINGS 20000
#define HOPS 9 /* turns of so many pings */
#define MAX_CPUS 8

static cpu_set_t allowed;
static int cpu[MAX_CPUS] = { -1, -1 };
static int cpus;
static u64 count_only;
static bool failed;
static int goals_met, goals_missed;

double bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void pin(int to)
{
	cpu_set_t one;

	if (to < 0)
		return;
	CPU_ZERO(&one);
	CPU_SET(to, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		fprintf(stderr, "softhca-bench: can't stay on CPU %d; figures will be noisier\n", to);
}

void bench_init(u64 count)
{
	int i;

	count_only = count;
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return;
	for (i = 0; i < CPU_SETSIZE && cpus < MAX_CPUS; i++)
		if (CPU_ISSET(i, &allowed))
			cpu[cpus++] = i;
	pin(cpu[0]);
}

int bench_cpus(void)
{
	return cpus;
}

void bench_pin(int i)
{
	pin(cpu[i]);
}

bool bench_counting(void)
{
	return count_only != 0;
}

void bench_unpin(void)
{
	sched_setaffinity(0, sizeof(allowed), &allowed);
}

int bench_fail(const char *fmt, ...)
{
	va_list ap;

	/* A loop fails once an iteration; the first time says it all. */
	if (__atomic_exchange_n(&failed, true, __ATOMIC_RELAXED))
		return -1;
	fflush(stdout);
	fputs("softhca-bench: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return -1;
}

bool bench_failed(void)
{
	return __atomic_exchange_n(&failed, false, __ATOMIC_RELAXED);
}

static int take_failure(void)
{
	return bench_failed() ? -1 : 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), compare);
	return n & 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static double time_loop(const struct bench_loop *l, u64 n)
{
	double began = bench_now();

	l->run(l->ctx, n);
	return bench_now() - began;
}

/* How many iterations make a turn. What warms up (caches, tables, branch history) does so here. */
static u64 calibrate(const struct bench_loop *l)
{
	u64 n = 1;

	for (;;) {
		double took = time_loop(l, n);

		if (took > ROUND_NS / 4)
			return (u64)((double)n * ROUND_NS / took) + 1;
		n *= 2;
	}
}

static double operations(const struct bench_loop *l)
{
	return l->per > 0 ? l->per : 1;
}

int bench_measure(const struct bench_loop *loops, int count, struct bench_times *t)
{
	static double ns[BENCH_LOOPS][ROUNDS], ratio[BENCH_LOOPS][ROUNDS];
	u64 n[BENCH_LOOPS];
	int i, r;

	for (i = 0; i < count; i++) {
		t->ns[i] = t->ratio[i] = NAN;
		if (count_only)
			loops[i].run(loops[i].ctx, count_only);
		else
			n[i] = calibrate(&loops[i]);
	}
	if (count_only)
		return take_failure();
	for (r = 0; r < ROUNDS; r++) {
		for (i = 0; i < count; i++) {
			/* The others have had the caches: what this one needs comes back first. */
			loops[i].run(loops[i].ctx, n[i] / 8);
			ns[i][r] = time_loop(&loops[i], n[i]) / (double)n[i] / operations(&loops[i]);
		}
	}
	for (i = 0; i < count; i++)
		for (r = 0; r < ROUNDS; r++)
			ratio[i][r] = ns[i][r] / ns[loops[i].against][r];
	for (i = 0; i < count; i++) {
		t->ns[i] = bench_median(ns[i], ROUNDS);
		t->ratio[i] = bench_median(ratio[i], ROUNDS);
	}
	return take_failure();
}

/*
 * Two threads that begin at the same time, each on its own CPU. The second lives as long as its duet, so that what
 * code keeps for a thread stays warm, and sleeps while the first plays alone.
 */
struct duet {
	pthread_t thread;
	sem_t called, done;
	const struct bench_loop *loop; /* NULL: go home */
	u64 n;
	double ended;
	bool ready, go;
};

static void *duet_second(void *arg)
{
	struct duet *d = arg;

	pin(cpu[1]);
	for (;;) {
		while (sem_wait(&d->called))
			;
		if (!d->loop)
			return NULL;
		__atomic_store_n(&d->ready, true, __ATOMIC_RELEASE);
		while (!__atomic_load_n(&d->go, __ATOMIC_ACQUIRE))
			;
		d->loop->run(d->loop->ctx, d->n);
		d->ended = bench_now();
		sem_post(&d->done);
	}
}

static int duet_begin(struct duet *d)
{
	if (cpu[1] < 0)
		return bench_fail("two threads need two CPUs");
	sem_init(&d->called, 0, 0);
	sem_init(&d->done, 0, 0);
	if (pthread_create(&d->thread, NULL, duet_second, d))
		return bench_fail("no second thread");
	return 0;
}

static void duet_end(struct duet *d)
{
	d->loop = NULL;
	sem_post(&d->called);
	pthread_join(d->thread, NULL);
	sem_destroy(&d->called);
	sem_destroy(&d->done);
}

/* Return: nanoseconds until both have done @n. */
static double time_duet(struct duet *d, const struct bench_loop *first, const struct bench_loop *second, u64 n)
{
	double began, ended;

	d->loop = second;
	d->n = n;
	d->ready = d->go = false;
	sem_post(&d->called);
	while (!__atomic_load_n(&d->ready, __ATOMIC_ACQUIRE))
		;
	began = bench_now();
	__atomic_store_n(&d->go, true, __ATOMIC_RELEASE);
	first->run(first->ctx, n);
	ended = bench_now();
	while (sem_wait(&d->done))
		;
	return (ended > d->ended ? ended : d->ended) - began;
}

int bench_measure_pairs(struct bench_pair *pairs, int count)
{
	static double ns[BENCH_LOOPS][ROUNDS], scale[BENCH_LOOPS][ROUNDS];
	struct duet d = { 0 };
	u64 n[BENCH_LOOPS];
	int i, r;

	if (duet_begin(&d))
		return take_failure();
	for (i = 0; i < count; i++) {
		pairs[i].ns = pairs[i].scale = NAN;
		/* Longer turns than one thread's: the start of the second isn't to matter. */
		n[i] = count_only ? count_only : 4 * calibrate(&pairs[i].first);
		time_duet(&d, &pairs[i].first, &pairs[i].second, n[i]);
	}
	for (r = 0; r < ROUNDS && !count_only; r++)
		for (i = 0; i < count; i++) {
			double one = time_loop(&pairs[i].first, n[i]);
			double two = time_duet(&d, &pairs[i].first, &pairs[i].second, n[i]);

			ns[i][r] = one / (double)n[i] / operations(&pairs[i].first);
			scale[i][r] = 2 * one / two;
		}
	duet_end(&d);
	for (i = 0; i < count && !count_only; i++) {
		pairs[i].ns = bench_median(ns[i], ROUNDS);
		pairs[i].scale = bench_median(scale[i], ROUNDS);
	}
	return take_failure();
}

/* One cache line that goes to and fro. */
struct ball {
	u64 at __attribute__((aligned(64)));
	u64 side;
};

static struct ball ball;

static void play(u64 side, u64 n)
{
	u64 i;

	/* The even side serves. */
	for (i = 0; i < n; i++) {
		while (__atomic_load_n(&ball.at, __ATOMIC_ACQUIRE) != 2 * i + side)
			;
		__atomic_store_n(&ball.at, 2 * i + side + 1, __ATOMIC_RELEASE);
	}
}

static void play_side(void *ctx, u64 n)
{
	play(*(u64 *)ctx, n);
}

double bench_hop(void)
{
	static u64 sides[2] = { 0, 1 };
	struct bench_loop loop[2] = { { .run = play_side, .ctx = &sides[0] }, { .run = play_side, .ctx = &sides[1] } };
	struct duet d = { 0 };
	double ns[HOPS];
	int r;

	if (duet_begin(&d)) {
		take_failure();
		return NAN;
	}
	for (r = 0; r < HOPS; r++) {
		ball.at = 0;
		ns[r] = time_duet(&d, &loop[0], &loop[1], PINGS) / PINGS / 2;
	}
	duet_end(&d);
	return bench_median(ns, HOPS);
}

void bench_bracket(const char *when)
{
	if (count_only)
		return;
	if (cpu[1] < 0) {
		printf("ping-pong %s: needs two CPUs\n", when);
		return;
	}
	printf("ping-pong of a cache line, CPU %d and %d, %s: %.0f ns one way\n", cpu[0], cpu[1], when, bench_hop());
}

void bench_title(const char *title)
{
	if (!count_only)
		printf("\n%-54s %10s %10s %8s  %-18s %s\n", title, "ours", "floor/peer", "ratio", "goal", "");
}

static void print_figure(double v, const char *unit, int width)
{
	char text[32];

	if (isnan(v))
		snprintf(text, sizeof(text), "-");
	else
		snprintf(text, sizeof(text), v < 100 ? "%.2f %s" : "%.0f %s", v, unit);
	printf(" %*s", width, text);
}

static bool meets(const struct bench_goal *g, double ours, double ratio)
{
	double figure = g->limit == OURS_AT_MOST || g->limit == OURS_AT_LEAST ? ours : ratio;

	/* NAN, what wasn't measured, meets nothing. */
	return g->limit == OURS_AT_MOST || g->limit == RATIO_AT_MOST ? figure <= g->value : figure >= g->value;
}

static const char *goal_text(const struct bench_goal *g, const char *unit, char *text, size_t size)
{
	bool of_ratio = g->limit == RATIO_AT_MOST || g->limit == RATIO_AT_LEAST || *unit == 'x';

	snprintf(text, size, "%s %g%s%s", g->limit == OURS_AT_MOST || g->limit == RATIO_AT_MOST ? "<=" : ">=", g->value,
		 of_ratio ? "" : " ", of_ratio ? "x" : unit);
	return text;
}

void bench_row(const char *name, const char *unit, double ours, double other, double ratio,
	       const struct bench_goal *goals)
{
	char all[64] = "", one[32];
	bool met = true;
	size_t used = 0;

	if (count_only)
		return;
	printf("%-54s", name);
	print_figure(ours, unit, 10);
	print_figure(other, unit, 10);
	print_figure(ratio, "x", 8);
	if (goals->limit == BENCH_END) {
		puts("  -");
		return;
	}
	for (; goals->limit != BENCH_END && used < sizeof(all); goals++) {
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", used ? ", " : "",
					 goal_text(goals, unit, one, sizeof(one)));
		met = met && meets(goals, ours, ratio);
	}
	printf("  %-18s %s\n", all, met ? "met" : "missed");
	if (met)
		goals_met++;
	else
		goals_missed++;
	fflush(stdout);
}

void bench_row_without(const char *name, const char *reason)
{
	if (!count_only)
		printf("%-54s not measured: %s\n", name, reason);
}

void bench_totals(void)
{
	if (!count_only)
		printf("\n%d goals met, %d missed\n", goals_met, goals_missed);
}
