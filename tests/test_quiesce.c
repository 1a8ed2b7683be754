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
#include "seeds.h"

#define SEEDS SEEDS_HERE(300u)
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

/* --- slots that are light, and slots that are fenced --- */

#define WEAK_SEEDS SEEDS_HERE(2000u)
#define WEAK_ROUNDS 40u

static void enter_and_leave(u32 times, u32 bytes)
{
	struct hca_quiesce_mark mark;

	while (times--) {
		hca_quiesce_enter_for(&quiesce, &mark, bytes);
		hca_quiesce_leave(&mark);
	}
}

static void wait_in_another_slot(void *arg)
{
	(void)arg;
	hca_quiesce_wait(&quiesce);
}

static void nothing(void *arg)
{
	(void)arg;
}

/* A wait of another thread than that of slot 0. */
static void let_another_wait(void)
{
	void (*const fns[])(void *) = { nothing, wait_in_another_slot };

	assert_int_equal(test_run_threads(1, 2, fns, NULL, NULL), 0);
}

static void short_entries_get_light(void **state)
{
	const u32 *light = &quiesce.slot[0].light;

	(void)state;
	hca_quiesce_init(&quiesce);
	assert_int_equal(*light, HCA_QUIESCE_FENCED);
	enter_and_leave(1, HCA_QUIESCE_LONG - 1);
	assert_int_equal(*light, HCA_QUIESCE_LIGHT);

	/* A wait ends that, and is remembered. */
	let_another_wait();
	assert_int_equal(*light, HCA_QUIESCE_FENCED);
	enter_and_leave(2 * HCA_QUIESCE_STAY + 1, 0);
	assert_int_equal(*light, HCA_QUIESCE_FENCED);
	enter_and_leave(1, 0);
	assert_int_equal(*light, HCA_QUIESCE_LIGHT);

	/* Waits that come again and again keep it fenced. */
	let_another_wait();
	for (u32 i = 0; i < 5 * HCA_QUIESCE_STAY; i++) {
		if (i % HCA_QUIESCE_STAY == 0)
			let_another_wait();
		enter_and_leave(1, 0);
		assert_int_equal(*light, HCA_QUIESCE_FENCED);
	}

	/* Our own waits needn't. */
	enter_and_leave(2 * HCA_QUIESCE_STAY + 2, 0);
	assert_int_equal(*light, HCA_QUIESCE_LIGHT);
	hca_quiesce_wait(&quiesce);
	assert_int_equal(*light, HCA_QUIESCE_LIGHT);
}

static void long_entries_are_fenced(void **state)
{
	const u32 *light = &quiesce.slot[0].light;

	(void)state;
	hca_quiesce_init(&quiesce);
	enter_and_leave(5, HCA_QUIESCE_LONG);
	assert_int_equal(*light, HCA_QUIESCE_FENCED);
	enter_and_leave(HCA_QUIESCE_STAY, 0);
	assert_int_equal(*light, HCA_QUIESCE_FENCED);
	enter_and_leave(1, 0);
	assert_int_equal(*light, HCA_QUIESCE_LIGHT);
	enter_and_leave(1, ~0u); /* whatever a peer says; safe, if not exact */
	enter_and_leave(1, 1u << 31);
	enter_and_leave(1, HCA_QUIESCE_LONG);
	assert_int_equal(*light, HCA_QUIESCE_FENCED);

	/* No number makes an entry of a slot light that was told to be fenced. */
	quiesce.slot[0].light = HCA_QUIESCE_ASKED;
	enter_and_leave(1, 1u << 31);
	enter_and_leave(3 * HCA_QUIESCE_STAY, 0);
	assert_int_equal(*light, HCA_QUIESCE_ASKED);
}

static void look_at(const u32 *at, u32 times)
{
	while (at && times--)
		wrong += hca_load(at) != ALIVE;
}

/* A use of object @n, and perhaps another entry within it. */
static void use_one(u32 n, u32 chance)
{
	struct hca_quiesce_mark outer, inner;
	bool nests = chance >> 4 & 1;
	const u32 *at;

	hca_quiesce_enter_for(&quiesce, &outer, chance % 8 ? 0 : HCA_QUIESCE_LONG);
	at = hca_load_acquire(&current[n]);
	look_at(at, chance >> 6 & 3);
	if (nests) {
		hca_quiesce_enter_for(&quiesce, &inner, chance >> 5 & 1 ? 0 : HCA_QUIESCE_LONG);
		look_at(at, chance >> 8 & 3);
		hca_quiesce_leave(&inner);
	}
	look_at(at, 1 + (chance >> 10 & 7));
	uses += at != NULL;
	hca_quiesce_leave(&outer);
}

static u32 draw(u64 *chance)
{
	*chance = *chance * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(*chance >> 40);
}

static void use_weakly(void *arg)
{
	u64 chance = *(u64 *)arg;
	u32 n = 0;

	while (hca_load(&writers))
		use_one(n++ % OBJECTS, draw(&chance));
}

/* Between two turns there is time for readers to get light. */
static void replace_weakly(void *arg)
{
	u64 chance = *(u64 *)arg, n = chance % OBJECTS;
	u32 i, k, *old = &object[n][0];

	for (i = 0; i < WEAK_ROUNDS; i++) {
		for (k = draw(&chance) % 64; k; k--)
			(void)hca_load(&writers);
		hca_store(&current[n], NULL);
		hca_quiesce_wait(&quiesce);
		*old = GONE;
		old = &object[n][old == &object[n][0]];
		*old = ALIVE;
		hca_store_release(&current[n], old);
	}
	hca_fetch_add(&writers, (u32)-1);
}

static void begin_weakly(u64 seed)
{
	u32 i;

	hca_quiesce_init(&quiesce);
	quiesce.stay = seed % 4 == 3 ? 2 : 0;
	for (i = 0; i < OBJECTS; i++) {
		object[i][0] = ALIVE;
		object[i][1] = GONE;
		current[i] = &object[i][0];
	}
}

static void run_weakly(u64 seed, u32 n, void (*const fns[])(void *))
{
	static u64 number[TEST_MAX_THREADS];
	void *args[TEST_MAX_THREADS];
	u32 i;

	for (i = 0; i < n; i++) {
		number[i] = seed * OBJECTS * TEST_MAX_THREADS + i; /* each writer has an object of its own */
		args[i] = &number[i];
	}
	assert_int_equal(test_run_threads(seed, n, fns, args, NULL), 0);
	if (wrong)
		fail_msg("seed %llu, %u threads: used what was gone", (unsigned long long)seed, n);
	for (i = 0; i < HCA_SLOTS; i++) {
		assert_int_equal(quiesce.slot[i].inside[0] | quiesce.slot[i].inside[1], 0);
		assert_int_not_equal(quiesce.slot[i].light, HCA_QUIESCE_ASKED);
	}
	assert_int_equal(quiesce.fencing | quiesce.driven, 0);
}

static void weakly(u64 seed, u32 n_readers, u32 n_writers)
{
	void (*fns[TEST_MAX_THREADS])(void *);
	u32 i, n = n_readers + n_writers;

	begin_weakly(seed);
	writers = n_writers;
	for (i = 0; i < n; i++)
		fns[i] = (seed & 1 ? i < n_readers : i >= n_writers) ? use_weakly : replace_weakly;
	run_weakly(seed, n, fns);
}

/* Each store of a reader may be seen late, that of its being inside among them; slots turn light and fenced all the time. */
static void late_stores_let_nothing_be_used(void **state)
{
	u64 seed;

	(void)state;
	wrong = uses = 0;
	test_weak_memory(true);
	for (seed = 1; seed <= WEAK_SEEDS; seed++) {
		weakly(seed, 1, 1);
		weakly(seed, 1, 3);
		weakly(seed, 2, 3);
	}
	test_weak_memory(false);
	assert_true(uses > 10 * WEAK_SEEDS);
}

/* A few entries of a slot that is light, during the first wait of each other thread. */
static void use_all(void *arg)
{
	u64 chance = *(u64 *)arg;
	struct hca_quiesce_mark outer, inner;
	u32 i, k, times = draw(&chance) % 4;
	const u32 *at[OBJECTS];

	for (k = 0; k <= times; k++) {
		bool nests = draw(&chance) & 1;

		hca_quiesce_enter(&quiesce, &outer);
		for (i = 0; i < OBJECTS; i++)
			at[i] = hca_load_acquire(&current[i]);
		if (nests)
			hca_quiesce_enter_for(&quiesce, &inner, HCA_QUIESCE_LONG);
		for (i = 0; i < 30; i++)
			look_at(at[i % OBJECTS], 1);
		if (nests)
			hca_quiesce_leave(&inner);
		hca_quiesce_leave(&outer);
	}
}

static void retract_once(void *arg)
{
	u64 n = *(u64 *)arg % OBJECTS;

	hca_store(&current[n], NULL);
	hca_quiesce_wait(&quiesce);
	object[n][0] = GONE;
}

static void light_entries_count_for_all_waiters(void **state)
{
	void (*const fns[])(void *) = { use_all, retract_once, retract_once, retract_once };
	u64 seed;

	(void)state;
	wrong = 0;
	test_weak_memory(true);
	for (seed = 1; seed <= 2 * WEAK_SEEDS; seed++) {
		begin_weakly(seed);
		quiesce.top = 1;
		quiesce.slot[0].light = HCA_QUIESCE_LIGHT;
		run_weakly(seed, 2 + seed % 3, fns);
	}
	test_weak_memory(false);
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
		T(short_entries_get_light),
		T(long_entries_are_fenced),
		T(late_stores_let_nothing_be_used),
		T(light_entries_count_for_all_waiters),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
