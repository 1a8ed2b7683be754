/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a test may do to the os layer it runs in. Include os.h first. Called from the
 * test's main thread, or from a thread of test_run_threads() where it says so; the
 * core never includes this. Beginning each test with test_os_reset() keeps tests apart.
 */
#ifndef HCA_TEST_OS_H
#define HCA_TEST_OS_H

#include "os.h"

/** test_os_reset() - clock, chance, failures, log and expectations as at the start; what still lives is torn down */
void test_os_reset(u64 seed);

/* ---- clock ---- */

#define TEST_CLOCK_START 1000000000000ull /* ns */

/**
 * test_clock_advance() - time passes; timers that come due run in order, each at its own time
 *
 * Any thread; not under a lock. Otherwise time passes only when everybody sleeps: it jumps to what is next.
 */
void test_clock_advance(u64 ns);

/* ---- failures ---- */

/** test_fail_at() - the @n-th fallible call from now fails (1: the next one), once; 0: none does */
void test_fail_at(u32 n);

/** test_fail_hit() - whether the failure of the last test_fail_at() has happened */
bool test_fail_hit(void);

struct test_fail_loop {
	u32 n;
	u32 lived;
	const char *file;
	int line;
};

bool test_fail_next(struct test_fail_loop *l);

/**
 * TEST_FAIL_LOOP - run the block with its first fallible call failing, then its second, ... until none fails
 * @name: a variable of the loop; @name.n is the call that fails this time
 *
 * The block undoes what it did, when it succeeded too. What a round leaves alive is a bug.
 */
#define TEST_FAIL_LOOP(name) \
	for (struct test_fail_loop name = { .file = __FILE__, .line = __LINE__ }; test_fail_next(&name);)

/* ---- leaks ---- */

/** test_leaks() - print what lives (memory, arenas, reservations, timers) and where it was made; return how many */
u32 test_leaks(void);

/** test_live() - how many live, without a word */
u32 test_live(void);

/* ---- threads ---- */

#define TEST_MAX_THREADS 16

/**
 * test_run_threads() - @n threads, one at a time, the seed deciding at each os call which one goes on
 * @trace: NULL, or set to a hash of the whole run: equal seeds give equal hashes
 *
 * Timer callbacks run as one more thread. Return: 0; -EDEADLK if all waited for each other, -ELOOP if they turned
 * without getting anywhere (both are logged, with who waits for what; the threads are then abandoned as they are).
 * A bug in a thread is a bug of the caller.
 */
int test_run_threads(u64 seed, u32 n, void (*const fns[])(void *arg), void *const args[], u64 *trace);

/** test_interrupts_off() - from now on threads are where no message may be carried out and no handler called; or no longer */
void test_interrupts_off(bool off);

/**
 * test_weak_memory() - in the runs that follow others see what a thread stores late, and in another order; or at once again
 *
 * Stores by hca_store() and hca_store_release(), and threads that enter a slot; see weak.c for what such a test must keep to.
 */
void test_weak_memory(bool on);

/**
 * test_long_stops() - in the runs that follow a thread goes on for up to 127 decisions of the others, or of its own; or as usual again
 *
 * For what goes wrong when one thread stops at a certain place and another one gets far meanwhile. Weak memory implies it.
 */
void test_long_stops(bool on);

/** test_steps() - decisions that the last run took */
u64 test_steps(void);

/* ---- bugs, warnings, words ---- */

/** test_expect_bug() - run @fn and say whether it ended in hca_bug(); what it had locked is let go. Any thread. */
bool test_expect_bug(void (*fn)(void *arg), void *arg);

/** test_bug_text() - what the last expected hca_bug() said */
const char *test_bug_text(void);

/** test_expect_warn() - run @fn and say how many warnings HCA_WARN_ON() gave. An unexpected one ends the program. */
u32 test_expect_warn(void (*fn)(void *arg), void *arg);

/** test_log_take() - the lines logged since the last time, "error: ...\n"; valid until the next hca_log() or reset */
const char *test_log_take(void);

/** test_why_take() - the lines of hca_refuse() since the last time, "mistake: ...\n" or "refused: ...\n"; valid until the next take */
const char *test_why_take(void);

/** test_why_peek() - the same lines, which stay for the next test_why_take() */
const char *test_why_peek(void);

/** test_log_count() - lines of this level since the last test_log_take() */
u32 test_log_count(enum hca_log_level level);

#endif
