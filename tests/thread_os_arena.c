/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The arena of the user os layer: what is shown, hidden, protected, sealed and discarded, by
 * touching it and looking whether that faults. The test os layer's arena is the same code
 * behind checks, which test_os_rules.c breaks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena.h"
#include "os_child.h"

#define PAGE ((size_t)sysconf(_SC_PAGESIZE))

static sigjmp_buf faulted;

static void on_fault(int sig)
{
	siglongjmp(faulted, sig);
}

/* 0: readable; 1: an access faults. */
static int faults(volatile char *at, bool write)
{
	struct sigaction sa = { .sa_handler = on_fault }, before[2];
	int sig;

	sigaction(SIGSEGV, &sa, &before[0]);
	sigaction(SIGBUS, &sa, &before[1]);
	sig = sigsetjmp(faulted, 1);
	if (!sig) {
		if (write)
			*at = *at;
		else
			(void)*at;
	}
	sigaction(SIGSEGV, &before[0], NULL);
	sigaction(SIGBUS, &before[1], NULL);
	return sig != 0;
}

static void arena_shows_and_hides(void **state)
{
	const u64 bytes = 5ull << 30; /* more than 32 bits; it costs what is touched */
	const size_t huge = (size_t)4 << 20;
	struct stat st;
	char *at, *two;
	int fd;

	(void)state;
	fd = hca_arena_open("test", bytes);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true((fcntl(fd, F_GET_SEALS) & (F_SEAL_GROW | F_SEAL_SHRINK)) == (F_SEAL_GROW | F_SEAL_SHRINK));
	assert_int_equal(ftruncate(fd, 4096), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
	at = hca_arena_reserve(huge);
	assert_non_null(at);
	assert_int_equal((uintptr_t)at & ((2 << 20) - 1), 0);
	assert_true(faults(at, false));
	assert_int_equal(hca_arena_show(at + PAGE, fd, bytes - PAGE, PAGE, HCA_PROT_RW), 0);
	assert_false(faults(at + PAGE, true));
	assert_true(faults(at, false)); /* only what was asked */
	assert_true(faults(at + 2 * PAGE, false));
	at[PAGE] = 'x';
	two = hca_arena_reserve(PAGE);
	assert_int_equal(hca_arena_show(two, fd, bytes - PAGE, PAGE, HCA_PROT_READ), 0);
	assert_int_equal(two[0], 'x');
	assert_true(faults(two, true));
	assert_int_equal(hca_arena_protect(two, PAGE, HCA_PROT_RW), 0);
	assert_false(faults(two, true));
	assert_int_equal(hca_arena_protect(two, PAGE, HCA_PROT_NONE), 0);
	assert_true(faults(two, false));
	hca_arena_release(two, PAGE);
	hca_arena_hide(at + PAGE, PAGE);
	assert_true(faults(at + PAGE, false));
	assert_int_equal(hca_arena_show(at, fd, bytes - PAGE, PAGE, HCA_PROT_RW), 0);
	assert_int_equal(at[0], 'x'); /* the bytes stayed in the arena */
	assert_int_equal(hca_arena_discard(fd, bytes - PAGE, PAGE), 0);
	assert_int_equal(at[0], 0);
	hca_arena_close(fd);
	assert_int_equal(fstat(fd, &st), -1);
	at[0] = 'y'; /* a view outlives the descriptor */
	hca_arena_release(at, huge);
	assert_true(faults(at, false));
}

static void large_reservations_are_aligned(void **state)
{
	const size_t huge = (size_t)2 << 20;
	size_t i, size, before;
	char *at;

	(void)state;
	statm_bytes(0); /* the first one allocates a buffer */
	before = statm_bytes(0);
	for (i = 0; i < 20; i++) {
		size = huge + i * 3 * PAGE; /* odd ones, which the system doesn't align by itself */
		at = hca_arena_reserve(size);
		assert_non_null(at);
		assert_int_equal((uintptr_t)at & (huge - 1), 0);
		assert_int_equal(mprotect(at, size, PROT_NONE), 0); /* all of it is there */
		hca_arena_release(at, size);
		assert_int_equal(mprotect(at, size, PROT_NONE), -1); /* and gone */
	}
	assert_int_equal(statm_bytes(0), before); /* with what was around it */
}

static void arena_refuses(void **state)
{
	int fd = hca_arena_open("test", 4 * PAGE);
	char *at = hca_arena_reserve(4 * PAGE);

	(void)state;
	assert_int_equal(hca_arena_open("test", 0), -EINVAL);
	assert_int_equal(hca_arena_open("test", PAGE / 2), -EINVAL);
	assert_int_equal(hca_arena_open("test", ~0ull & ~(u64)(PAGE - 1)), -EINVAL);
	assert_null(hca_arena_reserve(0));
	assert_null(hca_arena_reserve(SIZE_MAX));
	assert_null(hca_arena_reserve(SIZE_MAX - (4u << 20)));
	assert_int_equal(hca_arena_show(at, fd, 0, PAGE / 2, HCA_PROT_RW), -EINVAL);
	assert_int_equal(hca_arena_show(at, fd, 8, PAGE, HCA_PROT_RW), -EINVAL);
	assert_int_equal(hca_arena_show(at + 8, fd, 0, PAGE, HCA_PROT_RW), -EINVAL);
	assert_int_equal(hca_arena_show(at, fd, 0, PAGE, HCA_PROT_NONE), -EINVAL);
	assert_int_equal(hca_arena_show(at, -1, 0, PAGE, HCA_PROT_RW), -EBADF);
	assert_int_equal(hca_arena_discard(fd, 1, PAGE), -EINVAL);
	assert_int_equal(hca_arena_discard(-1, 0, PAGE), -EBADF);
	assert_true(faults(at, false));
	hca_arena_release(at, 4 * PAGE);
	hca_arena_close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arena_shows_and_hides),
		cmocka_unit_test(large_reservations_are_aligned),
		cmocka_unit_test(arena_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
