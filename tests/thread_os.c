/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The user os layer with real threads: locks, completions, grace periods, slots, memory
 * and words; timers and the arena have programs of their own. Meant to be run under the thread
 * sanitizer too. A case may wait for something to happen, never for how long it takes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os.h"
#include "os_child.h"

#define MS 1000000ull
#define PAGE ((size_t)sysconf(_SC_PAGESIZE))
#define THREADS 8

/* ---- locks ---- */

static struct hca_spinlock spin;
static struct hca_mutex mutex;
static u64 count, atomic_count HCA_ALIGNED(8);

static void *count_spinning(void *arg)
{
	hca_irqflags_t flags;
	int i;

	for (i = 0; i < 20000; i++) {
		hca_spin_lock(&spin, flags);
		hca_spin_assert(&spin);
		count++;
		hca_spin_unlock(&spin, flags);
	}
	return arg;
}

static void *count_in_mutex(void *arg)
{
	int i;

	for (i = 0; i < 20000; i++) {
		hca_mutex_lock(&mutex);
		hca_mutex_assert(&mutex);
		count++;
		hca_mutex_unlock(&mutex);
	}
	return arg;
}

static void *count_atomically(void *arg)
{
	u64 old;
	int i;

	for (i = 0; i < 10000; i++) {
		hca_fetch_add(&atomic_count, 1);
		do {
			old = hca_load(&atomic_count);
		} while (hca_cmpxchg(&atomic_count, old, old + 1) != old);
	}
	return arg;
}

static void assert_spin(void)
{
	hca_spin_assert(&spin);
}

static void *unlock_and_assert(void *arg)
{
	hca_mutex_assert(&mutex);
	return arg;
}

static void assert_mutex(void)
{
	hca_mutex_assert(&mutex);
}

static void assert_mutex_of_another(void)
{
	pthread_t t;

	hca_mutex_lock(&mutex);
	pthread_create(&t, NULL, unlock_and_assert, NULL);
	pthread_join(t, NULL);
}

static u32 passed;

static void *pass_mutex(void *arg)
{
	hca_mutex_lock(&mutex);
	hca_store(&passed, 1);
	hca_mutex_unlock(&mutex);
	return arg;
}

static void *pass_spin(void *arg)
{
	hca_irqflags_t flags;

	hca_spin_lock(&spin, flags);
	hca_store(&passed, 1);
	hca_spin_unlock(&spin, flags);
	return arg;
}

/* Time to do wrong; there is none that would be too short to do right. */
static void nobody_passes(void)
{
	usleep(50000);
	assert_int_equal(hca_load(&passed), 0);
}

static void a_holder_is_waited_for(void **state)
{
	hca_irqflags_t flags;
	pthread_t t;

	(void)state;
	hca_mutex_init(&mutex);
	hca_mutex_lock(&mutex);
	hca_store(&passed, 0);
	assert_int_equal(pthread_create(&t, NULL, pass_mutex, NULL), 0);
	nobody_passes();
	hca_mutex_unlock(&mutex);
	pthread_join(t, NULL);
	assert_int_equal(hca_load(&passed), 1);
	hca_mutex_destroy(&mutex);

	hca_spin_init(&spin);
	hca_spin_lock(&spin, flags);
	hca_store(&passed, 0);
	assert_int_equal(pthread_create(&t, NULL, pass_spin, NULL), 0);
	nobody_passes();
	hca_spin_unlock(&spin, flags);
	pthread_join(t, NULL);
	assert_int_equal(hca_load(&passed), 1);
}

static void locks_exclude(void **state)
{
	(void)state;
	hca_spin_init(&spin);
	count = 0;
	in_threads(THREADS, count_spinning, NULL);
	assert_int_equal(count, THREADS * 20000);
	hca_mutex_init(&mutex);
	count = 0;
	in_threads(THREADS, count_in_mutex, NULL);
	assert_int_equal(count, THREADS * 20000);
	assert_int_equal(died_of(assert_spin), SIGABRT);
	assert_int_equal(died_of(assert_mutex), SIGABRT);
	assert_int_equal(died_of(assert_mutex_of_another), SIGABRT);
	hca_mutex_destroy(&mutex);
}

static void atomics_are_whole(void **state)
{
	struct {
		u32 pad;
		u64 v HCA_ALIGNED(8);
	} s = { 0, 1ull << 40 };
	u32 w = 5;
	int i = 0, *p = NULL;
	const u32 *view = &w;

	(void)state;
	atomic_count = ~0u; /* carries into the upper half */
	in_threads(THREADS, count_atomically, NULL);
	assert_true(atomic_count == ~0u + THREADS * 20000ull);
	assert_true(hca_xchg(&s.v, 3) == 1ull << 40);
	assert_true(hca_fetch_or(&s.v, 1ull << 50) == 3);
	assert_true(hca_fetch_and(&s.v, ~3ull) == (1ull << 50 | 3));
	assert_true(hca_load_acquire(&s.v) == 1ull << 50);
	hca_store_release(&s.v, ~0ull);
	assert_true(hca_load(&s.v) == ~0ull);
	assert_int_equal(hca_cmpxchg(&w, 4, 9), 5);
	assert_int_equal(hca_cmpxchg(&w, 5, 9), 5);
	assert_int_equal(hca_load(view), 9);
	assert_null(hca_cmpxchg(&p, NULL, &i));
	assert_ptr_equal(hca_xchg(&p, NULL), &i);
	hca_mb();
}

/* ---- completions ---- */

static struct hca_completion *shared;
static u32 value;

static void *wait_for_value(void *arg)
{
	assert_int_equal(hca_wait(shared, ~0ull), 0);
	assert_int_equal(value, 7);
	return arg;
}

static void *complete_shared(void *arg)
{
	value = 7;
	hca_complete(shared);
	return arg;
}

static void completions_wake_all(void **state)
{
	struct hca_completion c;
	pthread_t t[4];
	u64 before;
	int i, k;

	(void)state;
	hca_completion_init(&c);
	before = hca_now_ns();
	assert_int_equal(hca_wait(&c, 3 * MS), -ETIMEDOUT);
	assert_true(hca_now_ns() - before >= 3 * MS);
	assert_int_equal(hca_wait(&c, 0), -ETIMEDOUT);
	for (k = 0; k < 50; k++) {
		shared = malloc(sizeof(*shared));
		hca_completion_init(shared);
		value = 0;
		for (i = 0; i < 3; i++)
			pthread_create(&t[i], NULL, wait_for_value, NULL);
		pthread_create(&t[3], NULL, complete_shared, NULL);
		for (i = 0; i < 4; i++)
			pthread_join(t[i], NULL);
		assert_int_equal(hca_wait(shared, 0), 0);
		hca_completion_destroy(shared);
		free(shared);
	}
	for (k = 0; k < 200; k++) { /* the waiter ends it while the waker may still be in hca_complete() */
		shared = malloc(sizeof(*shared));
		hca_completion_init(shared);
		pthread_create(&t[0], NULL, complete_shared, NULL);
		assert_int_equal(hca_wait(shared, ~0ull), 0);
		hca_completion_destroy(shared);
		free(shared);
		pthread_join(t[0], NULL);
	}
}

/* ---- RCU ---- */

struct thing {
	u32 value;
};
static struct thing *thing;
static bool stop;
static u32 wrong;
static u32 readers_seen;

static void *read_things(void *arg)
{
	struct thing *t;

	hca_fetch_add(&readers_seen, 1);
	while (!hca_load(&stop)) {
		hca_rcu_read_lock();
		hca_rcu_read_lock();
		t = hca_rcu_deref(thing);
		hca_rcu_read_unlock();
		if (t->value != 42)
			hca_store(&wrong, 1);
		hca_rcu_read_unlock();
	}
	return arg;
}

static void *pass_grace_period(void *arg)
{
	hca_rcu_synchronize();
	hca_store(&passed, 1);
	return arg;
}

static void a_reader_is_waited_for(void **state)
{
	pthread_t t;

	(void)state;
	hca_store(&passed, 0);
	hca_rcu_read_lock();
	hca_rcu_read_lock();
	assert_int_equal(pthread_create(&t, NULL, pass_grace_period, NULL), 0);
	nobody_passes();
	hca_rcu_read_unlock(); /* the inner one ends nothing */
	nobody_passes();
	hca_rcu_read_unlock();
	pthread_join(t, NULL);
	assert_int_equal(hca_load(&passed), 1);
}

static void synchronize_inside(void)
{
	hca_rcu_read_lock();
	hca_rcu_synchronize();
}

static void grace_periods_are_real(void **state)
{
	struct thing *t, *old;
	pthread_t r[3];
	int i;

	(void)state;
	t = malloc(sizeof(*t));
	t->value = 42;
	hca_store_release(&thing, t);
	for (i = 0; i < 3; i++)
		pthread_create(&r[i], NULL, read_things, NULL);
	while (hca_load(&readers_seen) < 3)
		sched_yield();
	for (i = 0; i < 200; i++) {
		t = malloc(sizeof(*t));
		t->value = 42;
		old = thing;
		hca_store_release(&thing, t);
		hca_rcu_synchronize();
		old->value = 0; /* plain: a reader that still looks is wrong, and a race */
		free(old);
	}
	hca_store(&stop, true);
	for (i = 0; i < 3; i++)
		pthread_join(r[i], NULL);
	hca_rcu_synchronize();
	free(thing);
	assert_int_equal(hca_load(&wrong), 0);
	assert_int_equal(died_of(synchronize_inside), SIGABRT);
}

/* ---- slots ---- */

static u32 used[HCA_SLOTS];
static pthread_barrier_t barrier;

static void *take_slot(void *arg)
{
	unsigned int slot = hca_slot();

	if (slot >= HCA_SLOTS || hca_slot() != slot)
		abort();
	hca_fetch_add(&used[slot], 1);
	pthread_barrier_wait(&barrier);
	return arg;
}

static void slots_are_own_while_they_last(void **state)
{
	u32 i, round, n;

	(void)state;
	assert_int_equal(hca_slot(), hca_slot());
	for (round = 0; round < 5; round++) { /* each round needs those that the last one gave back */
		memset(used, 0, sizeof(used));
		used[hca_slot()] = 1;
		pthread_barrier_init(&barrier, NULL, HCA_SLOTS / 2);
		in_threads(HCA_SLOTS / 2, take_slot, NULL);
		pthread_barrier_destroy(&barrier);
		for (n = 0, i = 0; i < HCA_SLOTS; i++) {
			assert_true(used[i] <= 1);
			n += used[i];
			if (i > HCA_SLOTS / 2 + 2) /* the lowest free ones; the helper may have one too */
				assert_int_equal(used[i], 0);
		}
		assert_int_equal(n, HCA_SLOTS / 2 + 1);
	}
	memset(used, 0, sizeof(used));
	pthread_barrier_init(&barrier, NULL, 120);
	in_threads(120, take_slot, NULL); /* more than there are: shared, and spread */
	pthread_barrier_destroy(&barrier);
	for (n = 0, i = 0; i < HCA_SLOTS; i++) {
		n += used[i];
		/* An own one is nobody else's; the rest are dealt out by turns. */
		assert_true(used[i] <= (i < HCA_SHARED_SLOTS ? 1 : 5));
	}
	assert_int_equal(n, 120);
	memset(used, 0, sizeof(used));
	pthread_barrier_init(&barrier, NULL, 32);
	in_threads(32, take_slot, NULL); /* and own ones again afterwards */
	for (i = 0; i < HCA_SLOTS; i++)
		assert_true(used[i] <= 1);
	pthread_barrier_destroy(&barrier);
}

/* ---- memory and words ---- */

#ifndef HCA_ASAN /* there it is the sanitizer's memory, cleared by us */
static void large_memory_is_lazy(void **state)
{
	const size_t size = (size_t)512 << 20;
	size_t before = statm_bytes(1);
	char *mem, *mem2;

	(void)state;
	mem = hca_alloc(size, HCA_MAY_SLEEP);
	mem2 = hca_alloc(size, HCA_MAY_SLEEP);
	assert_non_null(mem);
	assert_non_null(mem2);
	mem[size / 2] = 1;
	assert_true(statm_bytes(1) < before + size / 8);
	hca_free(mem);
	hca_free(mem2);
	assert_null(hca_alloc(SIZE_MAX - 2 * PAGE, HCA_MAY_SLEEP));
}

#endif

static void *alloc_all_sizes(void *arg)
{
	char *mem[64] = { 0 };
	size_t i, k, n, size;

	for (i = 0; i < 2000; i++) {
		n = i * 7 % 64;
		hca_free(mem[n]);
		size = 1 + (i * 2654435761u >> 7) % (i % 10 ? 9000 : 400000);
		mem[n] = hca_alloc(size, 0);
		if (!mem[n] || (uintptr_t)mem[n] % (size < PAGE ? 16 : PAGE))
			abort();
		for (k = 0; k < size; k += 61) {
			if (mem[n][k])
				abort();
		}
		memset(mem[n], 0xee, size);
	}
	for (i = 0; i < 64; i++)
		hca_free(mem[i]);
	return arg;
}

static void memory_is_zeroed_and_aligned(void **state)
{
	(void)state;
	in_threads(4, alloc_all_sizes, NULL);
	hca_free(NULL);
}

static bool warn_here(int x)
{
	return HCA_WARN_ON(x);
}

static void words_go_to_stderr(void **state)
{
	int p[2], saved = dup(STDERR_FILENO);
	char buf[2000] = "", longer[1000];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(p), 0);
	memset(longer, 'z', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	dup2(p[1], STDERR_FILENO);
	hca_log(HCA_LOG_WARN, "first %d", 1);
	hca_log(HCA_LOG_DEBUG, "not shown");
	assert_true(warn_here(1));
	assert_true(warn_here(1));
	assert_false(warn_here(0));
	hca_log(HCA_LOG_ERR, "%s", longer);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(p[1]);
	n = read(p[0], buf, sizeof(buf) - 1);
	close(p[0]);
	assert_true(n > 0 && buf[n - 1] == '\n');
	assert_int_equal(strncmp(buf, "softhca: warning: first 1\nsofthca: warning: broken rule: x at ", 62), 0);
	assert_null(strstr(buf, "not shown"));
	assert_null(strstr(strstr(buf, "broken rule") + 1, "broken rule")); /* once a place */
	assert_non_null(strstr(buf, "softhca: error: zzz"));
	assert_int_equal(hca_snprintf(buf, 4, "%s", "sixteen"), 3);
	assert_string_equal(buf, "six");
	assert_int_equal(hca_snprintf(buf, 0, "x"), 0);
}

static void chance_differs(void **state)
{
	u32 i, x = hca_random_u32(), same = 0;

	(void)state;
	for (i = 0; i < 8; i++)
		same += hca_random_u32() == x;
	assert_true(same < 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_holder_is_waited_for),
		cmocka_unit_test(locks_exclude),
		cmocka_unit_test(atomics_are_whole),
		cmocka_unit_test(completions_wake_all),
		cmocka_unit_test(a_reader_is_waited_for),
		cmocka_unit_test(grace_periods_are_real),
		cmocka_unit_test(slots_are_own_while_they_last),
#ifndef HCA_ASAN
		cmocka_unit_test(large_memory_is_lazy),
#endif
		cmocka_unit_test(memory_is_zeroed_and_aligned),
		cmocka_unit_test(words_go_to_stderr),
		cmocka_unit_test(chance_differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
