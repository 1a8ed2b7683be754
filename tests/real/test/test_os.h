/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What tests of the test os layer call, on the user os layer: threads are real, they bring the packets
 * (deliver.h), and time stands still while they do. For programs whose checks look at what is there in the end, not at when or by whom.
 */
#ifndef REAL_TEST_OS_H
#define REAL_TEST_OS_H

#include "deliver.h"

static inline void test_os_reset(u64 seed)
{
	(void)seed;
}

static inline u32 test_leaks(void)
{
	return 0;
}

/** test_clock_advance() - so much time has passed, and what it has set off has ended */
static inline void test_clock_advance(u64 ns)
{
	deliver_sleep(ns);
	deliver_settle();
}

/* No call fails: the block is run once. */
struct test_fail_loop {
	u32 n;
};

static inline void test_fail_at(u32 n)
{
	(void)n;
}

static inline bool test_fail_hit(void)
{
	return true;
}

#define TEST_FAIL_LOOP(name) for (struct test_fail_loop name = { 1 }; name.n; name.n = 0)

#define hca_pause() deliver_pause()

#define TEST_MAX_THREADS DELIVER_THREADS

static inline int test_run_threads(u64 seed, u32 n, void (*const fns[])(void *arg), void *const args[], u64 *trace)
{
	(void)seed;
	(void)trace;
	return deliver_beside(n, fns, args);
}

/* Real threads stop for as long as they do. */
static inline void test_long_stops(bool on)
{
	(void)on;
}

static inline u64 test_steps(void)
{
	return 0;
}

static inline const char *test_log_take(void)
{
	return "";
}

/* What was posted before has ended when a test looks. */
#define hca_cq_ring_poll(ring, wc, n) (deliver_settle(), (hca_cq_ring_poll)(ring, wc, n))

#endif
