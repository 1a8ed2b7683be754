/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Write protection of memory that a device owns: which pages, how mappings count, what is noted of a write, that the
 * adapters' view isn't concerned, and that every other fault goes where it would have gone without us.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <errno.h>
#include <cmocka.h>

#include "platform/platform.h"
#include "test_os.h"

#define MIB (1ull << 20)
#define P PAGE_SIZE

static struct machine *m;
static u8 *low;

/* cmocka takes SIGSEGV over for each test after its setup, so the machine is made in the test. */
static void guarded(void **state)
{
	struct machine_attr attr = { .low_bytes = 4 * MIB, .high_bytes = 2 * MIB, .guard = true };
	void (*test)(void **) = (void (*)(void **)) * state;

	test_os_reset(1);
	assert_int_equal(machine_create(&attr, &m), 0);
	low = (u8 *)m->map.virt;
	test(NULL);
	assert_int_equal(machine_destroy(m), 0);
	assert_int_equal(test_leaks(), 0);
}

#define MAX_SEEN 1024

static struct seen {
	u32 n;
	u64 off[MAX_SEEN];
	const void *code[MAX_SEEN];
} seen;

static void one_hit(void *ctx, u64 off, const void *code)
{
	struct seen *s = ctx;

	assert_true(s->n < MAX_SEEN);
	s->off[s->n] = off;
	s->code[s->n++] = code;
}

static u32 hits(void)
{
	seen.n = 0;
	guard_take_hits(m, one_hit, &seen);
	return seen.n;
}

static __attribute__((noinline)) void write_at(u64 off)
{
	*(volatile u8 *)(low + off) = 1;
}

static bool write_is_caught(u64 off)
{
	u32 n;

	assert_int_equal(hits(), 0);
	write_at(off);
	n = hits();
	assert_true(n <= 1);
	if (n)
		assert_true(seen.off[0] == off);
	return n;
}

static void whole_pages_inside_the_range(void **state)
{
	(void)state;
	guard_range(m, 10 * P + 1, 3 * P - 2, GUARD_MAP);
	assert_false(write_is_caught(10 * P + 5));
	assert_true(write_is_caught(11 * P));
	assert_true(write_is_caught(12 * P - 1) == false); /* once let through, so it stays */
	assert_false(write_is_caught(12 * P + 100));
	guard_range(m, 10 * P + 1, 3 * P - 2, GUARD_UNMAP);
	/* Less than a page, no byte, not a whole page though two are touched. */
	guard_range(m, 20 * P, P - 1, GUARD_MAP);
	guard_range(m, 21 * P, 0, GUARD_MAP);
	guard_range(m, 22 * P + 1, P, GUARD_MAP);
	assert_false(write_is_caught(20 * P));
	assert_false(write_is_caught(21 * P));
	assert_false(write_is_caught(22 * P + 1));
	assert_false(write_is_caught(23 * P));
}

static void ranges_at_the_edges(void **state)
{
	(void)state;
	guard_range(m, 4 * MIB - P, ~0ull, GUARD_MAP);
	assert_true(write_is_caught(4 * MIB - 1));
	guard_range(m, 4 * MIB - P, 10 * P, GUARD_UNMAP);
	guard_range(m, 4 * MIB, P, GUARD_MAP);
	guard_range(m, NO_MEMORY_HERE, P, GUARD_MAP);
	guard_range(m, 0, 6 * MIB, GUARD_MAP);
	assert_true(write_is_caught(0));
	assert_true(write_is_caught(4 * MIB - 1));
	guard_range(m, 0, 6 * MIB, GUARD_UNMAP);
	assert_false(write_is_caught(P));
}

static void code_address_is_noted(void **state)
{
	(void)state;
	guard_range(m, 0, P, GUARD_MAP);
	assert_true(write_is_caught(77));
#if defined(__x86_64__) || defined(__i386__)
	assert_true((uintptr_t)seen.code[0] - (uintptr_t)write_at < 256);
#endif
	guard_range(m, 0, P, GUARD_UNMAP);
}

static void reads_and_the_bus_view_are_free(void **state)
{
	(void)state;
	guard_range(m, 0, 4 * P, GUARD_MAP);
	((volatile u8 *)m->bus_view)[5] = 42;
	assert_int_equal(((volatile u8 *)low)[5], 42);
	*(volatile u8 *)kmap_offset(m, P) = 43;
	assert_int_equal(((volatile u8 *)low)[P], 43);
	assert_int_equal(hits(), 0);
	assert_true(write_is_caught(2 * P));
	guard_range(m, 0, 4 * P, GUARD_UNMAP);
}

static void mappings_count(void **state)
{
	(void)state;
	guard_range(m, 0, 2 * P, GUARD_MAP);
	guard_range(m, P, 2 * P, GUARD_MAP);
	guard_range(m, 0, 2 * P, GUARD_UNMAP);
	assert_false(write_is_caught(0));
	assert_true(write_is_caught(P));
	assert_true(write_is_caught(2 * P));
	/* It was let through, and isn't guarded again before it was free. */
	guard_range(m, P, P, GUARD_MAP);
	assert_false(write_is_caught(P));
	guard_range(m, P, P, GUARD_UNMAP);
	guard_range(m, P, P, GUARD_UNMAP);
	guard_range(m, P, P, GUARD_MAP);
	assert_true(write_is_caught(P));
	guard_range(m, P, 2 * P, GUARD_UNMAP);
	/* Not below nothing. */
	guard_range(m, P, P, GUARD_UNMAP);
	guard_range(m, P, P, GUARD_UNMAP);
	guard_range(m, P, P, GUARD_MAP);
	assert_true(write_is_caught(P));
	guard_range(m, P, P, GUARD_UNMAP);
	assert_false(write_is_caught(P));
}

static void syncs_may_be_unbalanced(void **state)
{
	(void)state;
	guard_range(m, 0, P, GUARD_MAP);
	guard_range(m, 0, P, GUARD_MAP);
	guard_range(m, 0, P, GUARD_TO_CPU);
	assert_false(write_is_caught(0));
	guard_range(m, 0, P, GUARD_TO_CPU);
	guard_range(m, 0, P, GUARD_TO_DEVICE);
	guard_range(m, 0, P, GUARD_TO_DEVICE);
	assert_true(write_is_caught(0));
	guard_range(m, 0, P, GUARD_UNMAP);
	assert_false(write_is_caught(0));
	assert_int_equal(m->map.pages[0].guards, 0);
}

static void a_new_owner_finds_no_guard(void **state)
{
	struct page *page = machine_alloc_pages(m, GFP_KERNEL, 1);
	u64 off = page_index(page) * P;

	(void)state;
	guard_range(m, off, 2 * P, GUARD_MAP);
	__free_pages(page, 1);
	assert_true(write_is_caught(off));
	page = machine_alloc_pages(m, GFP_KERNEL, 1);
	assert_true(page_index(page) * P == off);
	assert_false(write_is_caught(off));
	assert_false(write_is_caught(off + P));
	__free_pages(page, 1);
}

static void more_than_can_be_noted(void **state)
{
	u64 i;

	(void)state;
	guard_range(m, 0, 4 * MIB, GUARD_MAP);
	for (i = 0; i < 600; i++)
		write_at(i * P);
	test_log_take();
	assert_int_equal(hits(), 256);
	assert_non_null(strstr(test_log_take(), "344 CPU writes"));
	for (i = 0; i < 256; i++)
		assert_true(seen.off[i] == i * P);
	assert_true(write_is_caught(700 * P));
	guard_range(m, 0, 4 * MIB, GUARD_UNMAP);
}

static void two_machines(void **state)
{
	struct machine_attr attr = { .low_bytes = 2 * MIB, .guard = true };
	struct machine *other;

	(void)state;
	assert_int_equal(machine_create(&attr, &other), 0);
	guard_range(m, 0, P, GUARD_MAP);
	guard_range(other, 0, P, GUARD_MAP);
	*(volatile u8 *)(other->map.virt + 9) = 1;
	assert_int_equal(hits(), 0);
	guard_take_hits(other, one_hit, &seen);
	assert_int_equal(seen.n, 1);
	assert_true(seen.off[0] == 9);
	assert_int_equal(machine_destroy(other), 0);
	assert_true(write_is_caught(0));
	guard_range(m, 0, P, GUARD_UNMAP);
}

static void a_machine_without_guard(void **state)
{
	struct machine_attr attr = { .low_bytes = 2 * MIB };
	struct machine *other;

	(void)state;
	assert_int_equal(machine_create(&attr, &other), 0);
	guard_range(other, 0, P, GUARD_MAP);
	*(volatile u8 *)other->map.virt = 1;
	guard_take_hits(other, one_hit, NULL);
	assert_int_equal(machine_destroy(other), 0);
}

static void a_host_that_refuses(void **state)
{
	(void)state;
	test_fail_at(1);
	guard_range(m, 0, P, GUARD_MAP);
	assert_true(test_fail_hit());
	test_fail_at(0);
	assert_int_equal(test_log_count(HCA_LOG_WARN), 1);
	assert_false(write_is_caught(0));
	guard_range(m, 0, P, GUARD_UNMAP);
	/* The write is let through by the handler, if the host wouldn't give the page back at the unmap. */
	guard_range(m, 0, P, GUARD_MAP);
	test_fail_at(1);
	guard_range(m, 0, P, GUARD_UNMAP);
	assert_true(test_fail_hit());
	test_fail_at(0);
	assert_false(write_is_caught(0));
}

/*
 * The host can't split a mapping any more (vm.max_map_count): a page alone can't be made writable, but all of low memory
 * can. The write happens, nobody dies, and it is said once.
 */
static void a_host_without_mappings(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		guard_range(m, 0, 4 * P, GUARD_MAP);
		test_fail_at(1);
		assert_true(write_is_caught(P));
		assert_true(test_fail_hit());
		test_fail_at(0);
		assert_false(write_is_caught(2 * P));
		guard_range(m, 0, 4 * P, GUARD_UNMAP);
		assert_int_equal(test_log_count(HCA_LOG_WARN), 1);
	}
}

/* --- faults that aren't ours --- */

static sigjmp_buf back;
static volatile int others;

static void other_handler(int sig)
{
	others++;
	siglongjmp(back, sig);
}

static void other_siginfo(int sig, siginfo_t *info, void *uc)
{
	(void)uc;
	others += info->si_addr == low - 1 || !info->si_addr ? 10 : 1000;
	siglongjmp(back, sig);
}

/* A byte just before low memory: nothing is mapped there, and we know it. */
static volatile u8 *nowhere(void)
{
	void *at = hca_arena_reserve(PAGE_SIZE);

	assert_non_null(at);
	hca_arena_release(at, PAGE_SIZE);
	return at;
}

static struct machine *guarding(void)
{
	struct machine_attr attr = { .low_bytes = 2 * MIB, .guard = true };
	struct machine *g;

	assert_int_equal(machine_create(&attr, &g), 0);
	return g;
}

static int without_machine(void **state)
{
	(void)state;
	test_os_reset(1);
	return 0;
}

static void other_faults_go_to_the_other_handler(void **state)
{
	struct sigaction sa = { .sa_handler = other_handler }, old, now;
	volatile u8 *bad = nowhere();
	struct machine *g;

	(void)state;
	others = 0;
	sigaction(SIGSEGV, &sa, &old);
	g = guarding();
	low = (u8 *)g->map.virt;
	if (!sigsetjmp(back, 1))
		*bad = 1;
	assert_int_equal(others, 1);
	/* Reading what is only protected against writing is no fault; reading nothing is. */
	if (!sigsetjmp(back, 1))
		(void)*bad;
	assert_int_equal(others, 2);
	if (!sigsetjmp(back, 1))
		raise(SIGSEGV);
	assert_int_equal(others, 3);
	assert_int_equal(machine_destroy(g), 0);
	sigaction(SIGSEGV, NULL, &now);
	assert_true(now.sa_handler == other_handler);
	sa.sa_flags = SA_SIGINFO;
	sa.sa_sigaction = other_siginfo;
	sigaction(SIGSEGV, &sa, NULL);
	g = guarding();
	if (!sigsetjmp(back, 1))
		*(volatile u8 *)NULL = 1;
	assert_int_equal(others, 13);
	assert_int_equal(machine_destroy(g), 0);
	sigaction(SIGSEGV, &old, NULL);
}

/* Somebody takes the signal over after us, and passes on what he doesn't know. */
static struct sigaction ours;

static void on_top(int sig, siginfo_t *info, void *uc)
{
	others++;
	ours.sa_sigaction(sig, info, uc);
}

static void a_handler_on_top_of_ours(void **state)
{
	struct sigaction sa = { .sa_flags = SA_SIGINFO }, old;
	struct machine *g;

	(void)state;
	others = 0;
	sigaction(SIGSEGV, NULL, &old);
	g = guarding();
	sa.sa_sigaction = on_top;
	sigaction(SIGSEGV, &sa, &ours);
	guard_range(g, 0, P, GUARD_MAP);
	*(volatile u8 *)g->map.virt = 1;
	assert_int_equal(others, 1);
	assert_int_equal(machine_destroy(g), 0);
	/* We stayed below him, and aren't put on top of him, or he would call himself for ever. */
	g = guarding();
	guard_range(g, 0, P, GUARD_MAP);
	*(volatile u8 *)g->map.virt = 1;
	assert_int_equal(others, 2);
	sigaction(SIGSEGV, &ours, NULL);
	assert_int_equal(machine_destroy(g), 0);
	sigaction(SIGSEGV, NULL, &sa);
	assert_true(sa.sa_handler == old.sa_handler);
}

/* How a child ends that does @bad with this disposition and a guarding machine. */
static int child_flags(void (*disposition)(int), int flags, void (*bad)(volatile u8 *), volatile u8 *at)
{
	struct sigaction sa = { .sa_handler = disposition, .sa_flags = flags };
	struct rlimit none = { 0, 0 };
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		setrlimit(RLIMIT_CORE, &none);
		sigaction(SIGSEGV, &sa, NULL);
		guarding();
		alarm(20);
		bad(at);
		_exit(7);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int child_status(void (*disposition)(int), void (*bad)(volatile u8 *), volatile u8 *at)
{
	return child_flags(disposition, 0, bad, at);
}

static void exit_nine(int sig)
{
	(void)sig;
	others++;
	if (others == 1)
		return; /* and the write comes again */
	_exit(9);
}

static void write_there(volatile u8 *at)
{
	*at = 1;
}

static void send_it(volatile u8 *at)
{
	(void)at;
	raise(SIGSEGV);
}

static void the_default_is_death(void **state)
{
	volatile u8 *bad = nowhere();
	int st;

	(void)state;
	st = child_status(SIG_DFL, write_there, bad);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
	st = child_status(SIG_DFL, send_it, bad);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
	st = child_status(SIG_IGN, write_there, bad);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
	st = child_status(SIG_IGN, send_it, bad);
	assert_true(WIFEXITED(st) && WEXITSTATUS(st) == 7);
	/* sigaction(2): what these two stand for doesn't depend on the flags. */
	st = child_flags(SIG_IGN, SA_SIGINFO, send_it, bad);
	assert_true(WIFEXITED(st) && WEXITSTATUS(st) == 7);
	st = child_flags(SIG_DFL, SA_SIGINFO, send_it, bad);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
	st = child_flags(SIG_IGN, SA_SIGINFO, write_there, bad);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
	/* A handler for one time, then the default. */
	others = 0;
	st = child_flags(exit_nine, (int)SA_RESETHAND, write_there, bad);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
	st = child_flags(exit_nine, 0, write_there, bad);
	assert_true(WIFEXITED(st) && WEXITSTATUS(st) == 9);
}

#define TEST(f) \
	{ \
		.name = #f, .test_func = guarded, .initial_state = (void *)(f) \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(whole_pages_inside_the_range),
		TEST(ranges_at_the_edges),
		TEST(code_address_is_noted),
		TEST(reads_and_the_bus_view_are_free),
		TEST(mappings_count),
		TEST(syncs_may_be_unbalanced),
		TEST(a_new_owner_finds_no_guard),
		TEST(more_than_can_be_noted),
		TEST(two_machines),
		TEST(a_machine_without_guard),
		TEST(a_host_that_refuses),
		TEST(a_host_without_mappings),
		cmocka_unit_test_setup(other_faults_go_to_the_other_handler, without_machine),
		cmocka_unit_test_setup(a_handler_on_top_of_ours, without_machine),
		cmocka_unit_test_setup(the_default_is_death, without_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
