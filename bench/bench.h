/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The harness of softhca-bench: loops are calibrated, run in turns for many rounds,
 * and each figure is a median, printed beside a floor or a peer that was measured
 * in the same rounds. So noise of the machine hits both, and the ratio stays true.
 *
 * A part (struct bench_part) is a file or two that measures one room of the tree.
 */
#ifndef BENCH_H
#define BENCH_H

#include <math.h>

#include "softhca/hca_types.h"

/* The value may be anything from here on: what depends on it can't be computed before the loop. */
#define bench_hide(x) __asm__ volatile("" : "+r"(x))
/* The value is needed, and memory may have changed: nothing is left out, or kept in registers, from one iteration to the next. */
#define bench_use(x) __asm__ volatile("" : : "r"(x) : "memory")

/* A loop shouldn't be merged into its caller, so that a profile shows it by its name. */
#define BENCH_LOOP __attribute__((noinline, aligned(64)))

#define BENCH_LOOPS 12

/**
 * struct bench_loop - something that can be done n times
 * @run: does it
 * @ctx: handed to @run
 * @per: operations in one of the n, for a figure per operation; 0: 1
 * @against: index of the loop that it is compared with
 */
struct bench_loop {
	void (*run)(void *ctx, u64 n);
	void *ctx;
	double per;
	int against;
};

/**
 * struct bench_times - what bench_measure() found, by loop
 * @ns: nanoseconds an operation, median of the rounds
 * @ratio: how many times what the loop it is compared with takes, median of the rounds' own ratios
 */
struct bench_times {
	double ns[BENCH_LOOPS];
	double ratio[BENCH_LOOPS];
};

/** bench_measure() - run @count loops in turns. Return: 0; -1 if one of them called bench_fail(). */
int bench_measure(const struct bench_loop *loops, int count, struct bench_times *t);

/**
 * struct bench_pair - the same work for two threads
 * @ns: out: nanoseconds an operation when the first does it alone
 * @scale: out: how many times as much two threads do together in the same time
 */
struct bench_pair {
	struct bench_loop first, second;
	double ns;
	double scale;
};

/** bench_measure_pairs() - one thread alone, then two pinned to two CPUs, in turns. Return: 0; -1 without two CPUs, or on bench_fail(). */
int bench_measure_pairs(struct bench_pair *pairs, int count);

/** bench_now() - the monotonic clock, in nanoseconds */
double bench_now(void);

/** bench_median() - sorts @v. Return: the middle one of @n. */
double bench_median(double *v, int n);

/** bench_cpus() - how many CPUs the program knows by number; it runs on the first */
int bench_cpus(void);

/** bench_pin() - this thread stays on CPU @i of bench_cpus() */
void bench_pin(int i);

/** bench_fail() - the part can't measure what it should; says why on standard error. Any thread. Return: -1. */
int bench_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** bench_failed() - bench_fail() was called since the last time that this or a measurement said so */
bool bench_failed(void);

/** enum bench_limit - what a goal is about: the figure itself, or its ratio */
enum bench_limit { BENCH_END, OURS_AT_MOST, OURS_AT_LEAST, RATIO_AT_MOST, RATIO_AT_LEAST };

struct bench_goal {
	enum bench_limit limit;
	double value;
};

#define BENCH_GOALS(...) ((const struct bench_goal[]){ __VA_ARGS__, { BENCH_END, 0 } })
#define BENCH_NO_GOAL ((const struct bench_goal[]){ { BENCH_END, 0 } })

/** bench_title() - a heading within a part, with the names of the columns */
void bench_title(const char *title);

/**
 * bench_row() - print a line and count its verdict
 * @name: the figure, and after a slash what it is compared with
 * @unit: of @ours and @other: "ns", "B", "x"
 * @ours: what was measured
 * @other: what it is compared with; NAN: nothing
 * @ratio: of the two; NAN: none
 * @goals: all must be met; none: the line is for information
 */
void bench_row(const char *name, const char *unit, double ours, double other, double ratio,
	       const struct bench_goal *goals);

/** bench_row_without() - print a line of a figure that can't be measured here, and why */
void bench_row_without(const char *name, const char *reason);

/* --- bench_floor.c: what a figure is compared with on any machine --- */

/** bench_floor_lock() - take and release a lock that nobody else wants; @ctx: a zeroed cache line of its own, struct bench_lock */
void bench_floor_lock(void *ctx, u64 n);

struct bench_lock {
	u64 line[8];
} __attribute__((aligned(64)));

/** struct bench_chase - cache lines, each of which says where the next one is; the order is random */
struct bench_chase {
	void **line;
	void **at;
	u32 *order; /* the same order, as numbers of lines */
	u32 lines, next;
};

/** bench_chase_open() - @lines of them. Return: 0, or -1 after bench_fail() */
int bench_chase_open(struct bench_chase *c, u32 lines);
void bench_chase_close(struct bench_chase *c);

/** bench_floor_load() - load one line after the other, each by what the one before it says; @ctx: struct bench_chase */
void bench_floor_load(void *ctx, u64 n);

/** bench_floor_lines() - load one line after the other in the same order, by number: none waits for another; @ctx: struct bench_chase */
void bench_floor_lines(void *ctx, u64 n);

/** bench_shuffle() - 0 .. @n-1 in an order that is random and the same each time */
void bench_shuffle(u32 *v, u32 n);

/* --- bench_count.c: instructions, which are the same on every machine --- */

/**
 * struct bench_counted - a loop whose instructions are counted
 * @name: for the command line
 * @n: times round
 * @open: makes what the loop needs, and fills in run and ctx; in a process of its own, whose end closes it
 */
struct bench_counted {
	const char *name;
	u64 n;
	int (*open)(struct bench_loop *loop);
};

/**
 * struct bench_counts - of one iteration
 * @instructions: as callgrind counts them
 * @stepped: as the processor itself takes them, one step at a time
 * @locked: of those, the locked ones; NAN: unknown on this processor
 */
struct bench_counts {
	double instructions;
	double stepped;
	double locked;
};

/** bench_count() - count the instructions of @c. Return: 0, or -1 after bench_fail() */
int bench_count(const struct bench_counted *c, struct bench_counts *out);

/** bench_count_row() - count @c and print a line. Return: 0, or -1 after bench_fail() */
int bench_count_row(const char *name, const struct bench_counted *c, const struct bench_goal *goals);

/** bench_count_child() - what bench_count() starts: run the loop @n times, between two stops (SIGSTOP) if @stops. Return: 0 or -1 */
int bench_count_child(const struct bench_counted *c, u64 n, bool stops);

/** struct bench_part - what can be named on the command line, also by the first word of its name. @run: 0, or -1 if something couldn't be measured */
struct bench_part {
	const char *name;
	const char *about;
	int (*run)(void);
	const struct bench_counted *counted; /* ends with a name that is NULL; may be NULL */
};

extern const struct bench_part bench_dma_count, bench_dma_map;
extern const struct bench_part bench_hca_count, bench_hca_rc, bench_hca_keys, bench_hca_threads, bench_hca_bulk_part,
	bench_hca_many;
extern const struct bench_part bench_srp;
extern const struct bench_part bench_verbs_latency, bench_verbs_bulk, bench_verbs_turns, bench_verbs_both,
	bench_verbs_idle, bench_verbs_many;
extern const struct bench_part bench_cm, bench_kernel;

/** bench_init() - pin this thread; @count: 0, or iterations of each loop, run once instead of measured (for a simulator that counts) */
void bench_init(u64 count);

/** bench_counting() - bench_init() got a count: loops run for a tool's sake, and nothing is timed */
bool bench_counting(void);

/** bench_unpin() - this thread may run on every CPU that the program was given; for what it starts */
void bench_unpin(void);

/** bench_bracket() - print how long a cache line takes from one CPU to the other right now */
void bench_bracket(const char *when);

/** bench_hop() - nanoseconds that a cache line takes from one CPU to the other right now; NAN: there is but one */
double bench_hop(void);

/** bench_totals() - print how many goals were met */
void bench_totals(void);

#endif
