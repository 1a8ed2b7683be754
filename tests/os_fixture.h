/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One object of each sort that the os layer has, for tests of the test os layer. */
#ifndef OS_FIXTURE_H
#define OS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "test_os.h"

#define assert_text(text, part) assert_non_null(strstr(text, part))

static struct {
	struct hca_spinlock lock, lock2;
	struct hca_mutex mutex;
	struct hca_completion done;
	struct hca_timer timer;
	u64 big HCA_ALIGNED(8);
	u32 x, y, seen;
	u32 slots;
	void *ptr;
	bool fired, broken;
} s;

static inline int setup(void **state)
{
	(void)state;
	test_os_reset(1);
	memset(&s, 0, sizeof(s));
	hca_spin_init(&s.lock);
	hca_spin_init(&s.lock2);
	hca_mutex_init(&s.mutex);
	hca_completion_init(&s.done);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	return test_leaks() ? -1 : 0;
}

/* Two threads from a fresh start. */
static inline int run2(u64 seed, void (*a)(void *), void (*b)(void *), u64 *trace)
{
	void (*const fns[])(void *) = { a, b };

	setup(NULL);
	return test_run_threads(seed, 2, fns, NULL, trace);
}

#endif
