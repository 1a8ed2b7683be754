/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The test os layer, many threads: seeded schedules, that they replay, that they find what
 * can go wrong, that they say who waits for whom. Where a case looks for "some seed", it
 * fails if none of the first hundreds does it: then the schedule doesn't reach that place.
 */
#include "os_fixture.h"

#define SEEDS 300u
#define MS 1000000ull

/* ---- schedules ---- */

static void bump_carelessly(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 5; i++)
		hca_store(&s.x, hca_load(&s.x) + 1);
}

static void bump_atomically(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 5; i++)
		hca_fetch_add(&s.x, 1);
}

static void bump_locked(void *arg)
{
	hca_irqflags_t flags;
	int i;

	(void)arg;
	for (i = 0; i < 5; i++) {
		hca_spin_lock(&s.lock, flags);
		hca_spin_assert(&s.lock);
		hca_store(&s.x, hca_load(&s.x) + 1);
		hca_spin_unlock(&s.lock, flags);
	}
}

static void bump_in_mutex(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 5; i++) {
		hca_mutex_lock(&s.mutex);
		hca_mutex_assert(&s.mutex);
		hca_store(&s.x, hca_load(&s.x) + 1);
		hca_mutex_unlock(&s.mutex);
	}
}

static void a_seed_replays(void **state)
{
	u64 a, b, other = 0, seed;
	u32 differ = 0;

	(void)state;
	for (seed = 0; seed < 20; seed++) {
		assert_int_equal(run2(seed, bump_locked, bump_carelessly, &a), 0);
		assert_int_equal(run2(seed, bump_locked, bump_carelessly, &b), 0);
		assert_true(a == b);
		differ += a != other;
		other = a;
	}
	assert_true(differ >= 19);
}

static void schedules_find_lost_updates(void **state)
{
	void (*const fn[])(void *) = { bump_carelessly, bump_atomically, bump_locked, bump_in_mutex };
	u32 lost, i, seed;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(fn); i++) {
		for (lost = 0, seed = 0; seed < SEEDS; seed++) {
			assert_int_equal(run2(seed, fn[i], fn[i], NULL), 0);
			lost += s.x != 10;
		}
		if (i)
			assert_int_equal(lost, 0);
		else
			assert_true(lost > 0);
	}
}

#define ONCE(name, what) \
	static void name(void *arg) \
	{ \
		(void)arg; \
		what; \
	}

/* One of each call that orders something. */
ONCE(op_load, (void)hca_load(&s.x))
ONCE(op_load_acquire, (void)hca_load_acquire(&s.big))
ONCE(op_store, hca_store(&s.ptr, NULL))
ONCE(op_store_release, hca_store_release(&s.big, 1))
ONCE(op_xchg, (void)hca_xchg(&s.big, 1))
ONCE(op_cmpxchg, (void)hca_cmpxchg(&s.big, 1, 2))
ONCE(op_fetch_add, (void)hca_fetch_add(&s.x, 1))
ONCE(op_fetch_or, (void)hca_fetch_or(&s.x, 1))
ONCE(op_fetch_and, (void)hca_fetch_and(&s.x, 1))
ONCE(op_mb, hca_mb())
ONCE(op_pause, hca_pause())
ONCE(op_deref, (void)hca_rcu_deref(s.ptr))
ONCE(op_complete, hca_complete(&s.done))
ONCE(op_wait, hca_wait(&s.done, 5))
ONCE(op_alloc, hca_free(hca_alloc(1, 0)))
ONCE(op_sync, hca_rcu_synchronize())
ONCE(op_rcu, hca_rcu_read_lock(); hca_rcu_read_unlock())
ONCE(op_mutex, hca_mutex_lock(&s.mutex); hca_mutex_unlock(&s.mutex))
ONCE(op_none, (void)0)

static void op_lock(void *arg)
{
	hca_irqflags_t flags;

	(void)arg;
	hca_spin_lock(&s.lock, flags);
	hca_spin_unlock(&s.lock, flags);
}

static void every_call_is_a_decision(void **state)
{
	static const struct {
		void (*fn)(void *);
		u32 least;
	} op[] = { { op_load, 1 },     { op_load_acquire, 1 }, { op_store, 1 }, { op_store_release, 1 },
		   { op_xchg, 1 },     { op_cmpxchg, 1 },      { op_mb, 1 },	{ op_fetch_add, 1 },
		   { op_fetch_or, 1 }, { op_fetch_and, 1 },    { op_pause, 1 }, { op_deref, 1 },
		   { op_complete, 1 }, { op_wait, 2 },	       { op_alloc, 2 }, { op_sync, 2 },
		   { op_rcu, 2 },      { op_mutex, 2 },	       { op_lock, 2 } };
	u64 idle;
	u32 i;

	(void)state;
	assert_int_equal(run2(1, op_none, op_none, NULL), 0);
	idle = test_steps();
	for (i = 0; i < HCA_ARRAY_SIZE(op); i++) {
		assert_int_equal(run2(1, op[i].fn, op_none, NULL), 0);
		assert_true(test_steps() >= idle + op[i].least);
	}
}

static void lock_up(void *arg)
{
	hca_irqflags_t a, b;

	(void)arg;
	hca_spin_lock(&s.lock, a);
	hca_spin_lock(&s.lock2, b);
	hca_spin_unlock(&s.lock2, b);
	hca_spin_unlock(&s.lock, a);
}

static void lock_down(void *arg)
{
	hca_irqflags_t a, b;

	(void)arg;
	hca_spin_lock(&s.lock2, a);
	hca_spin_lock(&s.lock, b);
	hca_spin_unlock(&s.lock, b);
	hca_spin_unlock(&s.lock2, a);
}

static void deadlocks_are_found_and_told(void **state)
{
	u32 found = 0, seed;
	const char *log;
	int err;

	(void)state;
	for (seed = 0; seed < SEEDS && !found; seed++) {
		err = run2(seed, lock_up, lock_down, NULL);
		assert_true(!err || err == -EDEADLK);
		if (!err)
			continue;
		found++;
		log = test_log_take();
		assert_text(log, "deadlock");
		assert_text(log, "thread 0 waits at ");
		assert_text(log, "for a spin lock of thread 0");
		assert_text(log, "and holds a spin lock taken at ");
		assert_int_equal(run2(seed, lock_up, lock_down, NULL), -EDEADLK); /* again */
	}
	assert_true(found > 0);
	for (seed = 0; seed < SEEDS; seed++)
		assert_int_equal(run2(seed, lock_up, lock_up, NULL), 0);
}

static void wait_forever(void *arg)
{
	(void)arg;
	hca_wait(&s.done, ~0ull);
}

static void spin_on_x(void *arg)
{
	(void)arg;
	while (!hca_load_acquire(&s.x))
		hca_pause();
}

static void set_x_late(void *arg)
{
	(void)arg;
	assert_int_equal(hca_wait(&s.done, 5 * MS), -ETIMEDOUT);
	hca_store_release(&s.x, 1);
}

static void turning_is_not_getting_anywhere(void **state)
{
	u32 seed;

	(void)state;
	assert_int_equal(run2(1, wait_forever, op_none, NULL), -EDEADLK);
	assert_text(test_log_take(), "for a completion");
	assert_int_equal(run2(1, spin_on_x, spin_on_x, NULL), -ELOOP);
	for (seed = 0; seed < SEEDS; seed++) /* time goes on for those who sleep */
		assert_int_equal(run2(seed, spin_on_x, set_x_late, NULL), 0);
}

static void wait_then_look(void *arg)
{
	(void)arg;
	assert_int_equal(hca_wait(&s.done, 100), 0);
	assert_int_equal(s.x, 1);
}

static void set_then_complete(void *arg)
{
	(void)arg;
	s.x = 1;
	hca_complete(&s.done);
}

static void completions_wake(void **state)
{
	void (*const fns[])(void *) = { wait_then_look, wait_then_look, set_then_complete };
	u32 seed;

	(void)state;
	for (seed = 0; seed < SEEDS; seed++) {
		setup(NULL);
		assert_int_equal(test_run_threads(seed, 3, fns, NULL, NULL), 0);
		assert_int_equal(hca_now_ns(), TEST_CLOCK_START);
	}
}

static void sleep_long(void *arg)
{
	(void)arg;
	assert_int_equal(hca_wait(&s.done, 1000), -ETIMEDOUT);
	assert_int_equal(hca_now_ns(), TEST_CLOCK_START + 1000);
	s.y = s.x;
}

static void sleep_short(void *arg)
{
	(void)arg;
	assert_int_equal(hca_wait(&s.done, 10), -ETIMEDOUT);
	assert_int_equal(hca_now_ns(), TEST_CLOCK_START + 10);
	s.x = 1;
}

static void sleepers_let_time_jump(void **state)
{
	u32 seed;

	(void)state;
	for (seed = 0; seed < SEEDS; seed++) {
		assert_int_equal(run2(seed, sleep_long, sleep_short, NULL), 0);
		assert_int_equal(s.y, 1);
	}
}

static void note_slot(void *arg)
{
	assert_int_equal(hca_slot(), (uintptr_t)arg);
	hca_fetch_or(&s.slots, 1u << hca_slot());
}

static void slots_are_the_threads(void **state)
{
	void (*fns[TEST_MAX_THREADS])(void *);
	void *args[TEST_MAX_THREADS];
	uintptr_t i;

	(void)state;
	for (i = 0; i < TEST_MAX_THREADS; i++) {
		fns[i] = note_slot;
		args[i] = (void *)i;
	}
	assert_int_equal(test_run_threads(3, TEST_MAX_THREADS, fns, args, NULL), 0);
	assert_int_equal(s.slots, (1u << TEST_MAX_THREADS) - 1);
	assert_int_equal(hca_slot(), 0);
}

/* ---- read sections and timers between threads ---- */

static void reader(void *arg)
{
	u32 *p;

	(void)arg;
	hca_rcu_read_lock();
	hca_rcu_read_lock(); /* they nest */
	p = hca_rcu_deref(s.ptr);
	hca_rcu_read_unlock();
	hca_pause();
	if (p && hca_load(p) != 42)
		s.seen = 1;
	hca_rcu_read_unlock();
}

static void updater(void *arg)
{
	u32 *p = s.ptr;

	(void)arg;
	hca_store_release(&s.ptr, NULL);
	if (!s.broken)
		hca_rcu_synchronize();
	hca_store(p, 0);
}

static void grace_periods_are_real(void **state)
{
	void (*const fns[])(void *) = { reader, updater, reader };
	u32 seed, caught[2] = { 0 }, object, broken;

	(void)state;
	for (broken = 0; broken < 2; broken++) {
		for (seed = 0; seed < SEEDS; seed++) {
			setup(NULL);
			object = 42;
			s.broken = broken;
			s.ptr = &object;
			assert_int_equal(test_run_threads(seed, 3, fns, NULL, NULL), 0);
			caught[broken] += s.seen;
		}
	}
	assert_int_equal(caught[0], 0);
	assert_true(caught[1] > 0);
}

static void slow_callback(void *arg)
{
	hca_irqflags_t flags;

	(void)arg;
	hca_spin_lock(&s.lock, flags);
	s.fired = true;
	hca_spin_unlock(&s.lock, flags);
	hca_store(&s.x, 1);
	hca_mb();
	hca_store(&s.x, 2);
}

static void start_and_destroy(void *arg)
{
	(void)arg;
	assert_int_equal(hca_timer_init(&s.timer, slow_callback, NULL), 0);
	hca_timer_start(&s.timer, hca_now_ns());
	hca_mb();
	if (hca_load(&s.x) == 1)
		s.seen = 1; /* in the middle of the callback */
	hca_timer_destroy(&s.timer);
	assert_int_equal(hca_load(&s.x), s.fired ? 2 : 0);
}

static void timers_run_beside_threads(void **state)
{
	u32 seed, fired = 0, between = 0;

	(void)state;
	for (seed = 0; seed < SEEDS; seed++) {
		assert_int_equal(run2(seed, start_and_destroy, op_lock, NULL), 0);
		fired += s.fired;
		between += s.seen;
		assert_int_equal(test_live(), 0);
	}
	assert_true(fired > 0 && fired < SEEDS);
	assert_true(between > 0);
}

static void advance(void *arg)
{
	(void)arg;
	assert_int_equal(hca_timer_init(&s.timer, slow_callback, NULL), 0);
	hca_timer_start(&s.timer, TEST_CLOCK_START + 50);
	test_clock_advance(49);
	assert_false(s.fired);
	test_clock_advance(51);
	assert_true(s.fired);
	assert_int_equal(hca_load(&s.x), 2);
	assert_int_equal(hca_now_ns(), TEST_CLOCK_START + 100);
	hca_timer_destroy(&s.timer);
}

static void threads_may_advance_the_clock(void **state)
{
	u32 seed;

	(void)state;
	for (seed = 0; seed < SEEDS; seed++)
		assert_int_equal(run2(seed, advance, op_lock, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_seed_replays, setup, teardown),
		cmocka_unit_test_setup_teardown(schedules_find_lost_updates, setup, teardown),
		cmocka_unit_test_setup_teardown(every_call_is_a_decision, setup, teardown),
		cmocka_unit_test_setup_teardown(deadlocks_are_found_and_told, setup, teardown),
		cmocka_unit_test_setup_teardown(turning_is_not_getting_anywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(completions_wake, setup, teardown),
		cmocka_unit_test_setup_teardown(sleepers_let_time_jump, setup, teardown),
		cmocka_unit_test_setup_teardown(slots_are_the_threads, setup, teardown),
		cmocka_unit_test_setup_teardown(grace_periods_are_real, setup, teardown),
		cmocka_unit_test_setup_teardown(timers_run_beside_threads, setup, teardown),
		cmocka_unit_test_setup_teardown(threads_may_advance_the_clock, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
