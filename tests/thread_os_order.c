/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The user os layer's rarer promises with real threads: entering a slot and a heavy
 * barrier order as two full barriers do, counters of a slot lose nothing, a long wait sleeps, and
 * each thread has a context of its own.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "os.h"
#include "os_child.h"

/* --- barriers --- */

#define LIGHTS 2000000u
#define HEAVIES 2000000u
#define ROUNDS 10u

static u32 x HCA_ALIGNED(HCA_CACHE_LINE), y HCA_ALIGNED(HCA_CACHE_LINE);
static u32 light_done HCA_ALIGNED(HCA_CACHE_LINE);
static u32 *y_seen; /* what the light side saw in its i-th turn */

static void *be_light(void *arg)
{
	const u32 slot = hca_slot();
	u32 i;

	for (i = 1; i <= LIGHTS; i++) {
		hca_slot_enter(&x, slot); /* it is i then */
		y_seen[i] = hca_load(&y);
	}
	hca_store(&light_done, 1u);
	return arg;
}

/*
 * Dekker's: each stores its own and then looks at the other's; one of the two sees the other. So a turn of the light side that
 * this one didn't see has seen this one.
 */
static void meet(u32 *x_seen)
{
	u32 k, turns = 0;
	pthread_t t;

	x = y = light_done = 0;
	assert_int_equal(pthread_create(&t, NULL, be_light, NULL), 0);
	while (!hca_load(&x)) /* until it is there */
		sched_yield();
	while (turns < HEAVIES && !hca_load(&light_done)) {
		turns++;
		hca_store(&y, turns);
		hca_mb_heavy();
		x_seen[turns] = hca_load(&x);
	}
	pthread_join(t, NULL);
	for (k = 1; k <= turns && x_seen[k] < LIGHTS; k++)
		if (y_seen[x_seen[k] + 1] < k)
			fail_msg("turn %u saw %u, whose next saw %u", k, x_seen[k], y_seen[x_seen[k] + 1]);
}

static void of_two_one_sees_the_other(void **state)
{
	u32 *x_seen = calloc(HEAVIES + 1, sizeof(*x_seen));
	u32 round;

	(void)state;
	y_seen = calloc(LIGHTS + 1, sizeof(*y_seen));
	assert_non_null(x_seen);
	assert_non_null(y_seen);
	for (round = 0; round < ROUNDS; round++)
		meet(x_seen);
	free(x_seen);
	free(y_seen);
}

static void heavy_barriers_keep_errno(void **state)
{
	(void)state;
	errno = 77;
	hca_mb_heavy();
	assert_int_equal(errno, 77);
}

/* --- slots --- */

#define THREADS 100
#define ADDS 5000u

static struct {
	u32 n HCA_ALIGNED(HCA_CACHE_LINE);
} counter[HCA_SLOTS];
static u32 there, more_than_one;

static void *add_to_slot(void *arg)
{
	const u32 slot = hca_slot();
	u32 i, *at = &counter[slot].n;

	hca_fetch_add(&there, 1);
	while (hca_load(&there) < THREADS) /* all slots are taken, and some shared */
		sched_yield();
	for (i = 0; i < ADDS; i++) {
		hca_slot_enter(at, slot);
		hca_slot_enter(at, slot);
		hca_slot_leave(at, slot);
		if (i % 500 == 0)
			sched_yield();
	}
	return arg;
}

static void slot_counters_lose_nothing(void **state)
{
	u32 i, sum = 0;

	(void)state;
	in_threads(THREADS, add_to_slot, NULL);
	for (i = 0; i < HCA_SLOTS; i++) {
		assert_int_equal(counter[i].n % ADDS, 0);
		more_than_one += counter[i].n > ADDS;
		sum += counter[i].n;
	}
	assert_int_equal(sum, THREADS * ADDS);
	assert_true(more_than_one > 0);
}

/* --- relaxing --- */

static long sleeps(void)
{
	struct rusage u;

	assert_int_equal(getrusage(RUSAGE_THREAD, &u), 0);
	return u.ru_nvcsw;
}

/* Not even a thread of real-time priority may keep the processor from whoever it waits for: in the end it sleeps each turn. */
static void long_waits_sleep(void **state)
{
	u32 turns = 0, i;
	long before;

	(void)state;
	for (i = 0; i < 1000; i++) {
		hca_relax(&turns);
		assert_int_equal(turns, i + 1);
	}
	before = sleeps();
	for (i = 0; i < 50; i++)
		hca_relax(&turns);
	assert_true(sleeps() - before >= 50);
	errno = 77;
	hca_relax(&turns);
	assert_int_equal(errno, 77);
}

/* --- contexts --- */

static uintptr_t context[64];
static u32 contexts, wrong;

static void *note_context(void *arg)
{
	u32 i, at = hca_fetch_add(&contexts, 1);

	context[at] = hca_context();
	while (hca_load(&contexts) < HCA_ARRAY_SIZE(context))
		sched_yield();
	for (i = 0; i < 100; i++)
		if (hca_context() != context[at])
			hca_fetch_add(&wrong, 1);
	return arg;
}

static void contexts_differ(void **state)
{
	u32 i, k;

	(void)state;
	in_threads((int)HCA_ARRAY_SIZE(context), note_context, NULL);
	assert_int_equal(wrong, 0);
	for (i = 0; i < HCA_ARRAY_SIZE(context); i++) {
		assert_int_not_equal(context[i], 0);
		assert_int_not_equal(context[i], hca_context());
		for (k = 0; k < i; k++)
			assert_int_not_equal(context[i], context[k]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_two_one_sees_the_other),
		cmocka_unit_test(heavy_barriers_keep_errno),
		cmocka_unit_test(slot_counters_lose_nothing),
		cmocka_unit_test(long_waits_sleep),
		cmocka_unit_test(contexts_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
