/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Grace periods of an adapter, by seed: nothing is used after its wait has returned,
 * waiters share periods, and other adapters' threads don't count. thread_quiesce has the
 * real threads, and more of them than there are slots.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hca/quiesce.h"
#include "no_leaks.h"

#define SEEDS 300u
#define ALIVE 0x600dda7au
#define GONE 0xdeadbeefu
#define LONG 4000u /* turns in which each waiter has come to wait for a period */

static struct hca_quiesce quiesce, another;
static u32 ended, wrong, uses;

static u32 periods(const struct hca_quiesce *q)
{
	return q->periods / 2;
}

/* --- nobody is inside --- */

static void empty_adapters_cost_no_period(void **state)
{
	struct hca_quiesce_mark mark;
	u32 i;

	(void)state;
	hca_quiesce_init(&quiesce);
	hca_quiesce_wait(&quiesce);
	for (i = 0; i < 10; i++) {
		hca_quiesce_enter(&quiesce, &mark);
		hca_quiesce_leave(&mark);
		hca_quiesce_wait(&quiesce);
	}
	assert_int_equal(periods(&quiesce), 0);
	assert_int_equal(quiesce.top, 1);
}

static void marks_nest(void **state)
{
	struct hca_quiesce_mark outer, inner;

	(void)state;
	hca_quiesce_init(&quiesce);
	hca_quiesce_enter(&quiesce, &outer);
	hca_quiesce_enter(&quiesce, &inner);
	hca_quiesce_leave(&outer);
	assert_int_equal(quiesce.slot[0].inside[0] + quiesce.slot[0].inside[1], 1);
	hca_quiesce_leave(&inner);
	hca_quiesce_wait(&quiesce);
	assert_int_equal(quiesce.driven, 0);
}

/* A thread that is in this slot, and came in at this phase. */
static u32 slot, phase;

static void hold_slot(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < LONG; i++)
		hca_store(&uses, i);
	hca_store(&ended, 1u);
	hca_slot_leave(&quiesce.slot[slot].inside[phase], slot);
}

static void wait_for_slot(void *arg)
{
	(void)arg;
	hca_quiesce_wait(&quiesce);
	wrong += !hca_load(&ended);
}

static void every_slot_counts(void **state)
{
	void (*const fns[])(void *) = { wait_for_slot, hold_slot };
	void *const args[] = { NULL, NULL };

	(void)state;
	wrong = 0;
	for (slot = 0; slot < HCA_SLOTS; slot++) {
		for (phase = 0; phase < 2; phase++) {
			hca_quiesce_init(&quiesce);
			hca_quiesce_first(&quiesce, slot);
			assert_int_equal(quiesce.top, slot + 1);
			hca_quiesce_first(&quiesce, slot / 2); /* never goes back */
			assert_int_equal(quiesce.top, slot + 1);
			quiesce.slot[slot].inside[phase] = 1;
			ended = 0;
			assert_int_equal(test_run_threads(1 + slot, 2, fns, args, NULL), 0);
			assert_int_equal(wrong, 0);
		}
	}
}

/* --- others' threads --- */

static void stay_in_another(void *arg)
{
	struct hca_quiesce_mark mark;

	(void)arg;
	hca_quiesce_enter(&another, &mark);
	hca_store(&uses, 1u);
	while (!hca_load(&ended))
		hca_pause();
	hca_quiesce_leave(&mark);
}

static void come_and_go(void *arg)
{
	struct hca_quiesce_mark mark;

	(void)arg;
	while (!hca_load(&ended)) {
		hca_quiesce_enter(&quiesce, &mark);
		hca_pause();
		hca_quiesce_leave(&mark);
	}
}

static void wait_meanwhile(void *arg)
{
	u32 i;

	(void)arg;
	while (!hca_load(&uses))
		hca_pause();
	for (i = 0; i < 10; i++)
		hca_quiesce_wait(&quiesce); /* for ever, if it waited for those of the other one */
	hca_store(&ended, 1u);
}

static void other_adapters_delay_nobody(void **state)
{
	void (*const fns[])(void *) = { stay_in_another, wait_meanwhile, come_and_go, stay_in_another };
	void *const args[] = { NULL, NULL, NULL, NULL };
	u64 seed;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		hca_quiesce_init(&quiesce);
		hca_quiesce_init(&another);
		ended = uses = 0;
		assert_int_equal(test_run_threads(seed, 4, fns, args, NULL), 0);
		assert_int_equal(another.periods, 0);
	}
}

/* --- shared periods --- */

#define WAITERS 10u

static u32 inside_now;

static void stay_long(void *arg)
{
	struct hca_quiesce_mark mark;
	u32 i;

	(void)arg;
	hca_quiesce_enter(&quiesce, &mark);
	hca_store(&inside_now, 1u);
	while (!(hca_load(&quiesce.periods) & 1))
		hca_pause();
	for (i = 0; i < LONG; i++)
		hca_store(&uses, i);
	hca_store(&inside_now, 2u);
	hca_quiesce_leave(&mark);
}

static void wait_once(void *arg)
{
	(void)arg;
	while (!hca_load(&inside_now))
		hca_pause();
	hca_quiesce_wait(&quiesce);
	if (hca_load(&inside_now) != 2)
		hca_fetch_add(&wrong, 1);
}

/* One that is under way when they come doesn't count for them; the next one does for all. */
static void waiters_share_periods(void **state)
{
	void (*fns[WAITERS + 1])(void *) = { stay_long };
	void *args[WAITERS + 1] = { NULL };
	u64 seed;
	u32 i;

	(void)state;
	for (i = 1; i <= WAITERS; i++)
		fns[i] = wait_once;
	for (seed = 1; seed <= SEEDS / 5; seed++) {
		hca_quiesce_init(&quiesce);
		inside_now = wrong = 0;
		assert_int_equal(test_run_threads(seed, WAITERS + 1, fns, args, NULL), 0);
		assert_int_equal(wrong, 0);
		assert_in_range(periods(&quiesce), 1, 2);
		assert_int_equal(quiesce.periods & 1, 0);
		assert_int_equal(quiesce.driven, 0);
	}
}

/* --- what is taken away --- */

#define OBJECTS 3u
#define ROUNDS 6u

static u32 object[OBJECTS][2];
static u32 *current[OBJECTS]; /* atomic */
static u32 writers;

static void use_objects(void *arg)
{
	struct hca_quiesce_mark mark;
	u32 i, k, n = *(u32 *)arg;
	const u32 *at;

	for (k = 0; hca_load(&writers); k++) {
		hca_quiesce_enter(&quiesce, &mark);
		at = hca_load_acquire(&current[(n + k) % OBJECTS]);
		for (i = 0; at && i < n % 3 + 1; i++) {
			wrong += *at != ALIVE;
			hca_pause();
			wrong += *at != ALIVE;
			uses++;
		}
		hca_quiesce_leave(&mark);
	}
}

static void replace_objects(void *arg)
{
	u32 n = *(u32 *)arg, i, *old;

	for (i = 0; i < ROUNDS; i++) {
		old = hca_xchg(&current[n], NULL);
		hca_quiesce_wait(&quiesce);
		*old = GONE;
		old = &object[n][old == &object[n][0]];
		*old = ALIVE;
		hca_store_release(&current[n], old);
	}
	hca_fetch_add(&writers, (u32)-1);
}

static void schedule(u64 seed, u32 n_readers, u32 n_writers)
{
	static u32 number[TEST_MAX_THREADS] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
	void (*fns[TEST_MAX_THREADS])(void *);
	void *args[TEST_MAX_THREADS];
	u32 i;

	hca_quiesce_init(&quiesce);
	/* Near the end of the counters, which come round. */
	quiesce.phase = 0u - (u32)seed % 8;
	quiesce.periods = 0u - 2 * ((u32)seed % 4);
	for (i = 0; i < OBJECTS; i++) {
		object[i][0] = ALIVE;
		object[i][1] = GONE;
		current[i] = &object[i][0];
	}
	writers = n_writers;
	for (i = 0; i < n_readers + n_writers; i++) {
		/* Readers and writers in turns have the low slots. */
		bool reads = seed & 1 ? i < n_readers : i >= n_writers;

		fns[i] = reads ? use_objects : replace_objects;
		args[i] = &number[reads || !(seed & 1) ? i : i - n_readers];
	}
	assert_int_equal(test_run_threads(seed, i, fns, args, NULL), 0);
	assert_int_equal(wrong, 0);
	for (i = 0; i < HCA_SLOTS; i++)
		assert_int_equal(quiesce.slot[i].inside[0] | quiesce.slot[i].inside[1], 0);
}

static void nothing_is_used_after_its_wait(void **state)
{
	u64 seed;

	(void)state;
	wrong = uses = 0;
	for (seed = 1; seed <= SEEDS; seed++) {
		schedule(seed, 1, 1);
		schedule(seed, 2, 1);
		schedule(seed, 3, 2);
		schedule(seed, 2, 3);
		if (seed % 10 == 0)
			schedule(seed, 13, 3);
	}
	assert_true(uses > 100 * SEEDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(empty_adapters_cost_no_period),
		T(marks_nest),
		T(every_slot_counts),
		T(other_adapters_delay_nobody),
		T(waiters_share_periods),
		T(nothing_is_used_after_its_wait),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
