/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* For tests in the test os layer: what lives after a test must have lived before it. T(f) is f with that check. */
#ifndef TESTS_NO_LEAKS_H
#define TESTS_NO_LEAKS_H

#include "test_os.h"

static u32 lived_before;

static int note_live(void **state)
{
	(void)state;
	lived_before = test_live();
	return 0;
}

static int no_leaks(void **state)
{
	(void)state;
	if (test_live() == lived_before)
		return 0;
	test_leaks();
	return -1;
}

#define T(f) cmocka_unit_test_setup_teardown(f, note_live, no_leaks)

#endif
