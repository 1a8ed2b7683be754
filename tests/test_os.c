/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The test os layer, one thread: its clock, failures, leak report, misuse of memory, log and
 * chance. Threads are in test_os_threads.c, asserted rules in test_os_rules.c. Other
 * tests lean on all of these; no case looks at real time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "arena.h"
#include "test_os.h"

#define PAGE ((size_t)sysconf(_SC_PAGESIZE))
#define assert_text(text, part) assert_non_null(strstr(text, part))

static int setup(void **state)
{
	(void)state;
	test_os_reset(1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return test_leaks() ? -1 : 0;
}

static void nothing(void *arg)
{
	(void)arg;
}

/* ---- clock and timers ---- */

static struct {
	struct hca_timer t[4];
	u64 at[8];
	int who[8];
	u32 n;
	u32 again;
} ring;

static void rang(void *arg)
{
	int i = (int)(intptr_t)arg;

	ring.at[ring.n] = hca_now_ns() - TEST_CLOCK_START;
	ring.who[ring.n++] = i;
	if (ring.again) {
		ring.again--;
		hca_timer_start(&ring.t[i], hca_now_ns() + 10);
	}
}

static void ring_init(void)
{
	intptr_t i;

	memset(&ring, 0, sizeof(ring));
	for (i = 0; i < 4; i++)
		assert_int_equal(hca_timer_init(&ring.t[i], rang, (void *)i), 0);
}

static void ring_fini(void)
{
	u32 i;

	for (i = 0; i < 4; i++)
		hca_timer_destroy(&ring.t[i]);
}

static void clock_is_virtual(void **state)
{
	(void)state;
	assert_int_equal(hca_now_ns(), TEST_CLOCK_START);
	usleep(1000);
	assert_int_equal(hca_now_ns(), TEST_CLOCK_START);
	test_clock_advance(7);
	assert_int_equal(hca_now_ns(), TEST_CLOCK_START + 7);
}

static void timers_run_in_order(void **state)
{
	const u64 base = TEST_CLOCK_START;

	(void)state;
	ring_init();
	hca_timer_start(&ring.t[0], base + 30);
	hca_timer_start(&ring.t[1], base + 10);
	hca_timer_start(&ring.t[2], base + 20);
	hca_timer_start(&ring.t[3], base + 20);
	test_clock_advance(9);
	assert_int_equal(ring.n, 0);
	test_clock_advance(100);
	assert_int_equal(ring.n, 4);
	assert_memory_equal(ring.who, ((int[]){ 1, 2, 3, 0 }), 4 * sizeof(int));
	assert_memory_equal(ring.at, ((u64[]){ 10, 20, 20, 30 }), 4 * sizeof(u64));
	assert_int_equal(hca_now_ns(), base + 109);
	ring_fini();
}

static void timers_stop_move_and_repeat(void **state)
{
	const u64 base = TEST_CLOCK_START;

	(void)state;
	ring_init();
	hca_timer_start(&ring.t[0], base + 10);
	hca_timer_start(&ring.t[1], base + 11);
	hca_timer_start(&ring.t[2], base + 12);
	hca_timer_stop(&ring.t[1]);
	hca_timer_start(&ring.t[0], base + 15);
	test_clock_advance(20);
	assert_int_equal(ring.n, 2);
	assert_memory_equal(ring.who, ((int[]){ 2, 0 }), 2 * sizeof(int));
	ring.n = 0;
	ring.again = 3;
	hca_timer_start(&ring.t[3], base); /* in the past: with the next step, never before it */
	assert_int_equal(ring.n, 0);
	test_clock_advance(100);
	assert_int_equal(ring.n, 4);
	assert_memory_equal(ring.at, ((u64[]){ 20, 30, 40, 50 }), 4 * sizeof(u64));
	hca_timer_start(&ring.t[2], base + 500);
	hca_timer_destroy(&ring.t[2]);
	test_clock_advance(1000);
	assert_int_equal(ring.n, 4);
	assert_int_equal(hca_timer_init(&ring.t[2], rang, NULL), 0);
	ring_fini();
}

static void complete_it(void *arg)
{
	hca_complete(arg);
}

static void wait_for_ever(void *arg)
{
	hca_wait(arg, ~0ull);
}

static void waiting_jumps(void **state)
{
	struct hca_completion c;
	struct hca_timer t;

	(void)state;
	hca_completion_init(&c);
	assert_int_equal(hca_wait(&c, 0), -ETIMEDOUT);
	assert_int_equal(hca_wait(&c, 50), -ETIMEDOUT);
	assert_int_equal(hca_now_ns(), TEST_CLOCK_START + 50);
	assert_true(test_expect_bug(wait_for_ever, &c));
	assert_text(test_bug_text(), "deadlock");
	assert_int_equal(hca_timer_init(&t, complete_it, &c), 0);
	hca_timer_start(&t, TEST_CLOCK_START + 70);
	assert_int_equal(hca_wait(&c, 1000), 0);
	assert_int_equal(hca_now_ns(), TEST_CLOCK_START + 70);
	assert_int_equal(hca_wait(&c, ~0ull), 0); /* and later */
	hca_timer_destroy(&t);
	hca_completion_destroy(&c);
}

/* ---- failures ---- */

static bool leaky;

/* Every fallible call once; -1, or 0 with everything undone. */
static int five_calls(void)
{
	struct hca_timer t;
	void *mem, *at;
	int fd, ret = -1;

	mem = hca_alloc(10, HCA_MAY_SLEEP);
	if (!mem)
		return -1;
	if (hca_timer_init(&t, nothing, NULL))
		goto no_timer;
	fd = hca_arena_open("test", PAGE);
	if (fd < 0)
		goto no_fd;
	at = hca_arena_reserve(PAGE);
	if (!at)
		goto no_space;
	if (!hca_arena_show(at, fd, 0, PAGE, HCA_PROT_RW) && !hca_arena_protect(at, PAGE, HCA_PROT_READ) &&
	    !hca_arena_discard(fd, 0, PAGE))
		ret = 0;
	hca_arena_release(at, PAGE);
no_space:
	hca_arena_close(fd);
no_fd:
	hca_timer_destroy(&t);
no_timer:
	if (!leaky || !ret)
		hca_free(mem);
	return ret;
}

static void every_call_fails_once(void **state)
{
	u32 rounds = 0;

	(void)state;
	leaky = false;
	TEST_FAIL_LOOP(f)
	{
		assert_int_equal(f.n, ++rounds);
		assert_int_equal(five_calls(), rounds < 8 ? -1 : 0);
		assert_int_equal(test_fail_hit(), rounds < 8);
	}
	assert_int_equal(rounds, 8);
	assert_int_equal(five_calls(), 0); /* and none afterwards */
	test_fail_at(2);
	assert_int_equal(five_calls(), -1);
	assert_int_equal(five_calls(), 0);
	test_fail_at(100);
	test_fail_at(0);
	assert_int_equal(five_calls(), 0);
	assert_false(test_fail_hit());
}

static void leaky_loop(void *arg)
{
	(void)arg;
	TEST_FAIL_LOOP(f)
	five_calls();
}

static void a_leak_ends_the_loop(void **state)
{
	(void)state;
	leaky = true;
	assert_true(test_expect_bug(leaky_loop, NULL));
	assert_text(test_bug_text(), "failed call 2");
	assert_int_equal(test_leaks(), 1);
	test_os_reset(1);
}

static void leaks_name_their_place(void **state)
{
	struct hca_timer t;
	void *mem, *at;
	const char *log;
	char here[32];
	int fd;

	(void)state;
	hca_snprintf(here, sizeof(here), "test_os.c:%d", __LINE__ + 1);
	mem = hca_alloc(123, 0);
	fd = hca_arena_open("test", PAGE);
	at = hca_arena_reserve(PAGE);
	assert_int_equal(hca_timer_init(&t, nothing, NULL), 0);
	assert_int_equal(test_live(), 4);
	assert_int_equal(test_leaks(), 4);
	log = test_log_take();
	assert_text(log, "memory of 123 bytes");
	assert_text(log, here);
	assert_text(log, "arena");
	assert_text(log, "reservation");
	assert_text(log, "timer");
	hca_free(mem);
	hca_arena_close(fd);
	hca_arena_release(at, PAGE);
	hca_timer_destroy(&t);
	assert_int_equal(test_leaks(), 0);
	hca_free(NULL);
}

/* ---- memory ---- */

static void memory_is_zeroed_and_aligned(void **state)
{
	const size_t size[] = { 1, 15, 100, 4095, PAGE, PAGE + 1, 70000, (size_t)3 << 20 };
	size_t i, k;
	char *mem;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(size); i++) {
		mem = hca_alloc(size[i], i & 1 ? HCA_MAY_SLEEP : 0);
		assert_non_null(mem);
		assert_int_equal((uintptr_t)mem % (size[i] < PAGE ? 16 : PAGE), 0);
		for (k = 0; k < size[i]; k++)
			assert_int_equal(mem[k], 0);
		memset(mem, 1, size[i]);
		hca_free(mem);
	}
}

static void large_memory_is_lazy(void **state)
{
	const size_t pages = 4096;
	unsigned char *in = calloc(1, pages);
	char *mem = hca_alloc(pages * PAGE, HCA_MAY_SLEEP);
	size_t i, n = 0;

	(void)state;
	assert_non_null(mem);
	mem[7 * PAGE] = 1;
	assert_int_equal(mincore(mem, pages * PAGE, in), 0);
	for (i = 0; i < pages; i++)
		n += in[i] & 1;
	assert_true(n < pages / 2); /* the kernel may bring in neighbours */
	hca_free(mem);
	free(in);
}

/* A store that the address sanitizer isn't asked about: the os layer's own guards are what is tested. */
__attribute__((no_sanitize("address"), noinline)) static void poke(char *at)
{
	*(volatile char *)at = 1;
}

static void free_it(void *arg)
{
	hca_free(arg);
}

static void wild_writes_are_seen(void **state)
{
	const size_t size[] = { 5, 64, 5000, (size_t)2 << 20 };
	size_t i;
	char *mem;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(size); i++) {
		mem = hca_alloc(size[i], HCA_MAY_SLEEP);
		poke(mem + size[i]);
		assert_true(test_expect_bug(free_it, mem));
		assert_text(test_bug_text(), "outside its bounds");
		mem = hca_alloc(size[i], HCA_MAY_SLEEP);
		poke(mem - 1);
		assert_true(test_expect_bug(free_it, mem));
		assert_text(test_bug_text(), "outside its bounds");
	}
	test_os_reset(1);
}

static void count_leaks(void *arg)
{
	*(u32 *)arg = test_leaks();
}

static void dead_memory_is_watched(void **state)
{
	char *mem = hca_alloc(40, 0), *big = hca_alloc((size_t)2 << 20, HCA_MAY_SLEEP), local[16];
	u32 n;

	(void)state;
	hca_free(mem);
	assert_true(test_expect_bug(free_it, mem));
	assert_text(test_bug_text(), "freed twice");
	hca_free(big);
	assert_true(test_expect_bug(free_it, big));
	assert_text(test_bug_text(), "freed twice");
	assert_true(test_expect_bug(free_it, local));
	assert_text(test_bug_text(), "did not give");
	poke(mem + 20);
	assert_true(test_expect_bug(count_leaks, &n));
	assert_text(test_bug_text(), "after it was freed");
}

static void no_bytes(void *arg)
{
	hca_free(hca_alloc(*(size_t *)arg, 0));
}

static void what_is_in_use_stays(void **state)
{
	struct {
		struct hca_spinlock lock;
		struct hca_timer timer;
	} *o = hca_alloc(sizeof(*o), 0);
	hca_irqflags_t flags;
	size_t zero = 0;

	(void)state;
	hca_spin_init(&o->lock);
	hca_spin_lock(&o->lock, flags);
	assert_true(test_expect_bug(free_it, o));
	assert_text(test_bug_text(), "lock inside");
	hca_spin_unlock(&o->lock, flags);
	assert_int_equal(hca_timer_init(&o->timer, nothing, NULL), 0);
	hca_timer_start(&o->timer, ~0ull);
	assert_true(test_expect_bug(free_it, o));
	assert_text(test_bug_text(), "running timer inside");
	hca_timer_destroy(&o->timer);
	hca_free(o);
	assert_true(test_expect_bug(no_bytes, &zero));
}

/* ---- words and chance ---- */

static void log_is_kept(void **state)
{
	u32 i;

	(void)state;
	hca_log(HCA_LOG_INFO, "one %d", 1);
	hca_log(HCA_LOG_WARN, "two");
	hca_log(HCA_LOG_INFO, "three");
	assert_int_equal(test_log_count(HCA_LOG_INFO), 2);
	assert_int_equal(test_log_count(HCA_LOG_ERR), 0);
	assert_string_equal(test_log_take(), "info: one 1\nwarning: two\ninfo: three\n");
	assert_string_equal(test_log_take(), "");
	assert_int_equal(test_log_count(HCA_LOG_INFO), 0);
	for (i = 0; i < 100000; i++)
		hca_log(HCA_LOG_DEBUG, "more than fits");
	assert_int_equal(test_log_count(HCA_LOG_DEBUG), 100000);
}

static void say_words(void **state)
{
	char buf[6];

	(void)state;
	assert_int_equal(hca_snprintf(buf, sizeof(buf), "%s", "four"), 4);
	assert_int_equal(hca_snprintf(buf, sizeof(buf), "%s", "sixteen"), 5);
	assert_string_equal(buf, "sixte");
	assert_int_equal(hca_snprintf(buf, 1, "x"), 0);
	assert_int_equal(hca_snprintf(buf, 0, "x"), 0);
}

static void warn_thrice(void *arg)
{
	int i;

	for (i = 0; i < 3; i++)
		assert_true(HCA_WARN_ON(arg == NULL));
	assert_false(HCA_WARN_ON(arg != NULL));
}

static void warnings_are_expected_or_bugs(void **state)
{
	(void)state;
	assert_int_equal(test_expect_warn(nothing, NULL), 0);
	assert_int_equal(test_expect_warn(warn_thrice, NULL), 3);
	assert_int_equal(test_log_count(HCA_LOG_WARN), 1); /* once a place */
	assert_true(test_expect_bug(warn_thrice, NULL));
	assert_text(test_bug_text(), "unexpected warning");
}

static void fail_assertion(void *arg)
{
	HCA_ASSERT(arg == NULL);
}

static void die_of_bug(void)
{
	fail_assertion("x");
}

static void *foreign(void *arg)
{
	hca_free(hca_alloc(1, 0));
	return arg;
}

static void die_of_foreign_thread(void)
{
	pthread_t t;

	pthread_create(&t, NULL, foreign, NULL);
	pthread_join(t, NULL);
}

static bool dies(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		signal(SIGABRT, SIG_DFL);
		if (freopen("/dev/null", "w", stderr))
			fn();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void bugs_end_the_program(void **state)
{
	(void)state;
	assert_false(test_expect_bug(fail_assertion, NULL));
	assert_true(test_expect_bug(fail_assertion, "x"));
	assert_text(test_bug_text(), "arg == NULL at ");
	assert_true(dies(die_of_bug));
	assert_true(dies(die_of_foreign_thread));
}

static void chance_is_seeded(void **state)
{
	u32 a[4], b[4], i;

	(void)state;
	test_os_reset(5);
	for (i = 0; i < 4; i++)
		a[i] = hca_random_u32();
	test_os_reset(5);
	for (i = 0; i < 4; i++)
		b[i] = hca_random_u32();
	assert_memory_equal(a, b, sizeof(a));
	test_os_reset(6);
	assert_int_not_equal(hca_random_u32(), a[0]);
	assert_int_not_equal(a[0], a[1]);
	assert_int_equal(hca_slot(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(clock_is_virtual, setup, teardown),
		cmocka_unit_test_setup_teardown(timers_run_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(timers_stop_move_and_repeat, setup, teardown),
		cmocka_unit_test_setup_teardown(waiting_jumps, setup, teardown),
		cmocka_unit_test_setup_teardown(every_call_fails_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_leak_ends_the_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(leaks_name_their_place, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_is_zeroed_and_aligned, setup, teardown),
		cmocka_unit_test_setup_teardown(large_memory_is_lazy, setup, teardown),
		cmocka_unit_test_setup_teardown(wild_writes_are_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(dead_memory_is_watched, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_in_use_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(log_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(say_words, setup, teardown),
		cmocka_unit_test_setup_teardown(warnings_are_expected_or_bugs, setup, teardown),
		cmocka_unit_test_setup_teardown(bugs_end_the_program, setup, teardown),
		cmocka_unit_test_setup_teardown(chance_is_seeded, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
