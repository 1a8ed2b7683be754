/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The rules that the test os layer asserts, each broken once: what may sleep where, who gives
 * a lock back, what must be initialised, which range an arena's calls may name. A rule
 * that goes unnoticed here goes unnoticed in every test of the core.
 */
#include <unistd.h>

#include "arena.h"
#include "os_fixture.h"

#define PAGE ((size_t)sysconf(_SC_PAGESIZE))

#define ONCE(name, what) \
	static void name(void *arg) \
	{ \
		(void)arg; \
		what; \
	}

ONCE(op_none, (void)0)
ONCE(op_alloc, hca_free(hca_alloc(1, 0)))
ONCE(op_complete, hca_complete(&s.done))
ONCE(op_wait, hca_wait(&s.done, 5))
ONCE(op_sync, hca_rcu_synchronize())
ONCE(op_rcu, hca_rcu_read_lock(); hca_rcu_read_unlock())
ONCE(op_mutex, hca_mutex_lock(&s.mutex); hca_mutex_unlock(&s.mutex))
ONCE(op_mb, hca_mb())

static void op_lock(void *arg)
{
	hca_irqflags_t flags;

	(void)arg;
	hca_spin_lock(&s.lock, flags);
	hca_spin_unlock(&s.lock, flags);
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

/* ---- sleeping ---- */

ONCE(alloc_sleeping, hca_free(hca_alloc(1, HCA_MAY_SLEEP)))
ONCE(destroy_timer, hca_timer_destroy(&s.timer))
ONCE(pass_time, test_clock_advance(1))

static void (*doing)(void *arg);

static void under_spin_lock(void *arg)
{
	hca_irqflags_t flags;

	hca_spin_lock(&s.lock2, flags);
	doing(arg);
	hca_spin_unlock(&s.lock2, flags);
}

static void in_read_section(void *arg)
{
	hca_rcu_read_lock();
	doing(arg);
	hca_rcu_read_unlock();
}

static void while_pinned(void *arg)
{
	hca_pin_t outer, inner;

	hca_pin(outer);
	hca_pin(inner);
	hca_unpin(outer); /* they may overlap */
	doing(arg);
	hca_unpin(inner);
}

static void in_callback(void *arg)
{
	static struct hca_timer t;

	hca_timer_init(&t, doing, arg);
	hca_timer_start(&t, hca_now_ns());
	test_clock_advance(0);
	hca_timer_destroy(&t);
}

static void nothing_sleeps_where_it_must_not(void **state)
{
	void (*const sleeps[])(void *) = { alloc_sleeping, op_wait, op_mutex, op_sync, destroy_timer, pass_time };
	void (*const fine[])(void *) = { op_alloc, op_complete, op_lock, op_rcu, op_mb };
	void (*const where[])(void *) = { under_spin_lock, in_read_section, while_pinned, in_callback };
	u32 i, k;

	(void)state;
	for (k = 0; k < HCA_ARRAY_SIZE(where); k++) {
		for (i = 0; i < HCA_ARRAY_SIZE(sleeps); i++) {
			setup(NULL);
			assert_int_equal(hca_timer_init(&s.timer, op_none, NULL), 0);
			doing = sleeps[i];
			assert_true(test_expect_bug(where[k], NULL));
			assert_text(test_bug_text(), "may sleep");
			assert_false(test_expect_bug(doing, NULL)); /* nothing is left of the bug */
		}
		for (i = 0; i < HCA_ARRAY_SIZE(fine); i++) {
			setup(NULL);
			doing = fine[i];
			assert_false(test_expect_bug(where[k], NULL));
		}
	}
	setup(NULL);
}

/* ---- locks and objects ---- */

ONCE(unlock_free, hca_spin_unlock(&s.lock, 0))
ONCE(unlock_free_mutex, hca_mutex_unlock(&s.mutex))
ONCE(assert_free, hca_spin_assert(&s.lock))
ONCE(assert_free_mutex, hca_mutex_assert(&s.mutex))
ONCE(end_no_section, hca_rcu_read_unlock())
ONCE(unpin_nothing, hca_unpin(NULL))
ONCE(misaligned, (void)hca_load((u64 *)(void *)((char *)&s.big + 4)))
ONCE(stop_no_timer, hca_timer_stop(&s.timer))
ONCE(destroy_held, hca_mutex_lock(&s.mutex); hca_mutex_destroy(&s.mutex))
ONCE(mutex_twice, hca_mutex_lock(&s.mutex); hca_mutex_lock(&s.mutex))
ONCE(init_timer, (void)hca_timer_init(&s.timer, op_none, NULL))
static void init_twice(void *arg)
{
	init_timer(arg);
	init_timer(arg);
}

static void lock_twice(void *arg)
{
	hca_irqflags_t flags;

	(void)arg;
	hca_spin_lock(&s.lock, flags);
	hca_spin_lock(&s.lock, flags);
}

static void swap_flags(void *arg)
{
	hca_irqflags_t a, b;

	(void)arg;
	hca_spin_lock(&s.lock, a);
	hca_spin_lock(&s.lock2, b);
	hca_spin_unlock(&s.lock2, a);
}

static void lock_zeroed(void *arg)
{
	hca_irqflags_t flags;

	memset(&s.lock, 0, sizeof(s.lock));
	(void)arg;
	hca_spin_lock(&s.lock, flags);
}

static void use_ended_mutex(void *arg)
{
	hca_mutex_destroy(&s.mutex);
	op_mutex(arg);
}

static void use_ended_completion(void *arg)
{
	hca_completion_destroy(&s.done);
	op_complete(arg);
}

static void keep_lock(void *arg)
{
	hca_irqflags_t flags;

	(void)arg;
	hca_spin_lock(&s.lock, flags);
}

static void callback_keeps_lock(void *arg)
{
	doing = keep_lock;
	in_callback(arg);
}

static void stay_pinned(void *arg)
{
	hca_pin_t pin;

	(void)arg;
	hca_pin(pin);
	(void)pin;
}

static void callback_stays_pinned(void *arg)
{
	doing = stay_pinned;
	in_callback(arg);
}

static void run_stay_pinned(void *arg)
{
	void (*const fns[])(void *) = { stay_pinned };

	(void)arg;
	test_run_threads(0, 1, fns, NULL, NULL);
}

static void run_wait_and_end(void *arg)
{
	void (*const fns[])(void *) = { wait_forever, use_ended_completion };

	(void)arg;
	test_run_threads((uintptr_t)arg, 2, fns, NULL, NULL);
}

static void run_keep_lock(void *arg)
{
	void (*const fns[])(void *) = { keep_lock };

	(void)arg;
	test_run_threads(0, 1, fns, NULL, NULL);
}

static void run_open_section(void *arg)
{
	void (*const fns[])(void *) = { end_no_section };

	(void)arg;
	test_run_threads(0, 1, fns, NULL, NULL);
}

/* Thread 0 holds the lock while thread 1, told so by x, gives it back. */
static void hold_while_told(void *arg)
{
	hca_irqflags_t flags;

	(void)arg;
	hca_spin_lock(&s.lock, flags);
	hca_store_release(&s.x, 1);
	while (hca_load(&s.x) == 1)
		hca_pause();
	hca_spin_unlock(&s.lock, flags);
}

static void unlock_of_another(void *arg)
{
	spin_on_x(arg);
	assert_true(test_expect_bug(unlock_free, NULL)); /* a thread may expect one too */
	hca_store_release(&s.x, 2);
}

static void rules_are_asserted(void **state)
{
	static const struct {
		void (*fn)(void *);
		const char *says;
	} rule[] = {
		{ unlock_free, "nobody holds" },
		{ unlock_free_mutex, "nobody holds" },
		{ assert_free, "not held" },
		{ assert_free_mutex, "not held" },
		{ end_no_section, "did not begin" },
		{ unpin_nothing, "not pinned by this thread" },
		{ misaligned, "not aligned" },
		{ stop_no_timer, "not initialised" },
		{ init_twice, "that lives" },
		{ destroy_held, "while held" },
		{ mutex_twice, "taken twice" },
		{ lock_twice, "taken twice" },
		{ swap_flags, "flags of another lock" },
		{ lock_zeroed, "before its init" },
		{ use_ended_mutex, "after its end" },
		{ use_ended_completion, "after its end" },
		{ callback_keeps_lock, "with a lock held" },
		{ callback_stays_pinned, "callback returned pinned" },
		{ run_stay_pinned, "ends pinned" },
		{ run_keep_lock, "held, taken at" },
		{ run_open_section, "did not begin" },
	};
	u32 i, seed, awaited = 0;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(rule); i++) {
		setup(NULL);
		assert_true(test_expect_bug(rule[i].fn, NULL));
		assert_text(test_bug_text(), rule[i].says);
	}
	for (seed = 0; seed < 20; seed++) {
		assert_int_equal(run2(seed, hold_while_told, unlock_of_another, NULL), 0);
		assert_text(test_bug_text(), "another thread holds");
	}
	for (seed = 0; seed < 20; seed++) {
		setup(NULL);
		assert_true(test_expect_bug(run_wait_and_end, (void *)(uintptr_t)seed));
		awaited += strstr(test_bug_text(), "destroyed while thread 0 waits") != NULL;
	}
	assert_true(awaited > 0 && awaited < 20);
	setup(NULL);
}

/* ---- the arena ---- */

static struct {
	int fd;
	char *at;
	size_t bytes;
} arena;

static void show_past_the_end(void *arg)
{
	(void)arg;
	hca_arena_show(arena.at, arena.fd, arena.bytes, PAGE, HCA_PROT_RW);
}

static void show_outside(void *arg)
{
	(void)arg;
	hca_arena_show(arena.at + arena.bytes, arena.fd, 0, PAGE, HCA_PROT_RW);
}

static void hide_outside(void *arg)
{
	(void)arg;
	hca_arena_hide(arena.at, arena.bytes + PAGE);
}

static void protect_outside(void *arg)
{
	(void)arg;
	hca_arena_protect(arena.at - PAGE, PAGE, HCA_PROT_NONE);
}

static void release_part(void *arg)
{
	(void)arg;
	hca_arena_release(arena.at, PAGE);
}

static void discard_past_the_end(void *arg)
{
	(void)arg;
	hca_arena_discard(arena.fd, PAGE, arena.bytes);
}

static void close_other(void *arg)
{
	(void)arg;
	hca_arena_close(arena.fd + 1);
}

static void arena_ranges_are_checked(void **state)
{
	void (*const wrong[])(void *) = { show_past_the_end, show_outside, hide_outside,	protect_outside,
					  release_part,	     close_other,  discard_past_the_end };
	size_t i;

	(void)state;
	arena.bytes = 4 * PAGE;
	arena.fd = hca_arena_open("test", arena.bytes);
	arena.at = hca_arena_reserve(arena.bytes);
	assert_true(arena.fd >= 0 && arena.at);
	assert_int_equal(hca_arena_show(arena.at + PAGE, arena.fd, 2 * PAGE, PAGE, HCA_PROT_RW), 0);
	arena.at[PAGE] = 5;
	assert_int_equal(hca_arena_show(arena.at, arena.fd, 2 * PAGE, PAGE, HCA_PROT_READ), 0);
	assert_int_equal(arena.at[0], 5);
	for (i = 0; i < HCA_ARRAY_SIZE(wrong); i++)
		assert_true(test_expect_bug(wrong[i], NULL));
	assert_int_equal(hca_arena_open("test", 0), -EINVAL);
	assert_int_equal(hca_arena_open("test", PAGE + 1), -EINVAL);
	assert_int_equal(hca_arena_show(arena.at, arena.fd, 1, PAGE, HCA_PROT_RW), -EINVAL);
	hca_arena_release(arena.at, arena.bytes);
	hca_arena_close(arena.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_sleeps_where_it_must_not, setup, teardown),
		cmocka_unit_test_setup_teardown(rules_are_asserted, setup, teardown),
		cmocka_unit_test_setup_teardown(arena_ranges_are_checked, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
