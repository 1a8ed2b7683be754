/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Work of the test os layer: once per start, again if it was started while it ran, in a
 * context that may sleep; and its end. Also who is running, and the counters of a slot.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "os.h"
#include "no_leaks.h"

#define SEEDS 300u
#define MS 1000000ull

static struct hca_work work, second;
static u32 calls, inside, wrong, destroyed, started;
static uintptr_t ran_in;

static void count(void *arg)
{
	*(u32 *)arg += 1;
	ran_in = hca_context();
}

static void once_per_start(void **state)
{
	u32 other = 0;

	(void)state;
	calls = 0;
	assert_int_equal(hca_work_init(&work, count, &calls), 0);
	assert_int_equal(hca_work_init(&second, count, &other), 0);
	test_clock_advance(MS);
	assert_int_equal(calls, 0);
	hca_work_start(&work);
	hca_work_start(&work);
	assert_int_equal(calls, 0); /* never in the caller */
	test_clock_advance(0);
	assert_int_equal(calls, 1);
	assert_int_not_equal(ran_in, hca_context());
	test_clock_advance(MS);
	assert_int_equal(calls, 1);
	hca_work_start(&work);
	hca_work_start(&second);
	test_clock_advance(0);
	assert_int_equal(calls, 2);
	assert_int_equal(other, 1);
	hca_work_destroy(&work);
	hca_work_destroy(&second);
}

static void start_again(void *arg)
{
	if (++*(u32 *)arg < 5) {
		hca_work_start(&work);
		hca_work_start(&work);
	}
}

static void a_start_while_it_runs_is_another_call(void **state)
{
	(void)state;
	calls = 0;
	assert_int_equal(hca_work_init(&work, start_again, &calls), 0);
	hca_work_start(&work);
	test_clock_advance(0);
	assert_int_equal(calls, 5);
	hca_work_destroy(&work);
}

static void sleep_in_work(void *arg)
{
	struct hca_completion never;
	u64 before = hca_now_ns();
	void *mem;

	hca_completion_init(&never);
	assert_int_equal(hca_wait(&never, 3 * MS), -ETIMEDOUT);
	hca_completion_destroy(&never);
	assert_int_equal(hca_now_ns() - before, 3 * MS);
	mem = hca_alloc(100, HCA_MAY_SLEEP);
	assert_non_null(mem);
	hca_free(mem);
	++*(u32 *)arg;
}

static void drop_queued(void *arg)
{
	hca_work_start(&work);
	hca_work_destroy(&work);
	hca_store((u32 *)arg, 1u);
}

/* As the contract says: it may sleep, where a timer's callback must not. */
static void it_may_sleep(void **state)
{
	void (*const fns[])(void *) = { drop_queued };
	void *const args[] = { &destroyed };

	(void)state;
	calls = 0;
	assert_int_equal(hca_work_init(&work, sleep_in_work, &calls), 0);
	hca_work_start(&work);
	test_clock_advance(10 * MS);
	assert_int_equal(calls, 1);
	hca_work_destroy(&work);
	/* Beside threads as well. */
	destroyed = 0;
	assert_int_equal(hca_work_init(&work, sleep_in_work, &calls), 0);
	assert_int_equal(test_run_threads(1, 1, fns, args, NULL), 0);
	assert_int_equal(destroyed, 1);
}

static void queued_work_ends_unrun(void **state)
{
	(void)state;
	calls = 0;
	assert_int_equal(hca_work_init(&work, count, &calls), 0);
	hca_work_start(&work);
	hca_work_destroy(&work);
	test_clock_advance(MS);
	assert_int_equal(calls, 0);
}

static void init_may_fail(void **state)
{
	(void)state;
	TEST_FAIL_LOOP(l)
	{
		int err = hca_work_init(&work, count, &calls);

		if (err)
			assert_int_equal(err, -ENOMEM);
		else
			hca_work_destroy(&work);
	}
}

/* --- at once --- */

static void take_long(void *arg)
{
	u32 i;

	(void)arg;
	wrong += hca_fetch_add(&inside, 1) != 0;
	for (i = 0; i < 6; i++) {
		hca_pause();
		wrong += hca_load(&destroyed);
	}
	calls++;
	hca_fetch_add(&inside, (u32)-1);
}

static void start_often(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < 5; i++) {
		hca_work_start(&work);
		hca_pause();
	}
	hca_fetch_add(&started, 1);
}

static void destroy_late(void *arg)
{
	(void)arg;
	while (hca_load(&started) < 2)
		hca_pause();
	hca_work_destroy(&work);
	hca_store(&destroyed, 1u);
	wrong += hca_load(&inside);
}

static void its_end_waits_for_the_call(void **state)
{
	void (*const fns[])(void *) = { start_often, start_often, destroy_late };
	void *const args[] = { NULL, NULL, NULL };
	u32 total = 0;
	u64 seed;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		calls = inside = wrong = destroyed = started = 0;
		assert_int_equal(hca_work_init(&work, take_long, NULL), 0);
		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		assert_int_equal(wrong, 0);
		assert_in_range(calls, 0, 10);
		total += calls;
	}
	assert_true(total > SEEDS);
}

/* --- who is running --- */

static uintptr_t context[TEST_MAX_THREADS];
static u32 counter;

static void note_context(void *arg)
{
	uintptr_t *mine = arg;
	u32 i;

	*mine = hca_context();
	for (i = 0; i < 10; i++) {
		hca_slot_enter(&counter, hca_slot());
		hca_slot_enter(&counter, hca_slot());
		hca_slot_leave(&counter, hca_slot());
		wrong += hca_context() != *mine;
	}
}

static void contexts_differ(void **state)
{
	void (*fns[TEST_MAX_THREADS])(void *);
	void *args[TEST_MAX_THREADS];
	u32 i, k;

	(void)state;
	wrong = counter = 0;
	for (i = 0; i < TEST_MAX_THREADS; i++) {
		fns[i] = note_context;
		args[i] = &context[i];
	}
	assert_int_equal(test_run_threads(1, TEST_MAX_THREADS, fns, args, NULL), 0);
	assert_int_equal(wrong, 0);
	assert_int_equal(counter, TEST_MAX_THREADS * 10);
	for (i = 0; i < TEST_MAX_THREADS; i++) {
		assert_int_not_equal(context[i], 0);
		assert_int_not_equal(context[i], hca_context());
		for (k = 0; k < i; k++)
			assert_int_not_equal(context[i], context[k]);
	}
}

static u32 flag;

static void relax_until_set(void *arg)
{
	u32 turns = 0;

	while (!hca_load(&flag))
		hca_relax(&turns);
	*(u32 *)arg = turns;
}

static void set_flag(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < 10; i++)
		hca_store(&counter, i);
	hca_store(&flag, 1u);
}

static void relaxing_lets_others_run(void **state)
{
	void (*const fns[])(void *) = { relax_until_set, set_flag };
	u32 turns, sum = 0;
	void *const args[] = { &turns, NULL };
	u64 seed;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		flag = turns = 0;
		assert_int_equal(test_run_threads(seed, 2, fns, args, NULL), 0);
		sum += turns;
	}
	assert_true(sum > SEEDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(once_per_start),  T(a_start_while_it_runs_is_another_call),
		T(it_may_sleep),    T(queued_work_ends_unrun),
		T(init_may_fail),   T(its_end_waits_for_the_call),
		T(contexts_differ), T(relaxing_lets_others_run),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
