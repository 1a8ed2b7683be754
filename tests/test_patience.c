/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How long a thread of rsockets looks before it sleeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shim/rsocket/patience.h"

#define SHORT RS_SHORT_SLEEP
#define LONG (RS_SHORT_SLEEP + 1)

/* After a short wait, for longer; that pays as long as what comes does come. */
static void a_short_wait(void **state)
{
	struct rs_patience p = { 0 };

	(void)state;
	assert_int_equal(rs_patience_looks(&p), RS_LOOKS);
	rs_patience_slept(&p, LONG);
	assert_int_equal(rs_patience_looks(&p), RS_LOOKS);
	rs_patience_slept(&p, SHORT);
	assert_int_equal(rs_patience_looks(&p), RS_LOOKS_LONGER);
	rs_patience_found(&p, RS_LOOKS_LONGER);
	assert_int_equal(rs_patience_looks(&p), RS_LOOKS_LONGER);
	rs_patience_found(&p, 0);
	assert_int_equal(rs_patience_looks(&p), RS_LOOKS_LONGER);
	rs_patience_slept(&p, LONG);
	assert_int_equal(rs_patience_looks(&p), RS_LOOKS);
}

/* In vain: each time twice as many short waits pass before the next try, up to a bound; until one pays. */
static void in_vain(void **state)
{
	struct rs_patience p = { 0 };
	unsigned int i, to_pass, tries;

	(void)state;
	rs_patience_slept(&p, SHORT);
	for (tries = 0, to_pass = 1; tries < 14; tries++) {
		assert_int_equal(rs_patience_looks(&p), RS_LOOKS_LONGER);
		rs_patience_slept(&p, SHORT);
		for (i = 0; i < to_pass; i++) {
			assert_int_equal(rs_patience_looks(&p), RS_LOOKS);
			rs_patience_slept(&p, SHORT);
		}
		assert_int_equal(rs_patience_looks(&p), RS_LOOKS);
		rs_patience_slept(&p, SHORT);
		to_pass = to_pass * 2 + 1 < RS_MOST_TO_PASS ? to_pass * 2 + 1 : RS_MOST_TO_PASS;
	}
	assert_int_equal(to_pass, RS_MOST_TO_PASS);
	rs_patience_found(&p, RS_LOOKS + 1);
	rs_patience_slept(&p, SHORT);
	rs_patience_slept(&p, SHORT);
	assert_int_equal(rs_patience_looks(&p), RS_LOOKS);
	rs_patience_slept(&p, SHORT);
	assert_int_equal(rs_patience_looks(&p), RS_LOOKS_LONGER);
}

/* What was found at once says nothing of the longer look. */
static void found_at_once(void **state)
{
	struct rs_patience p = { .longer = true, .next_to_pass = 7 };

	(void)state;
	rs_patience_found(&p, RS_LOOKS);
	assert_int_equal(p.next_to_pass, 7);
	rs_patience_found(&p, RS_LOOKS + 1);
	assert_int_equal(p.next_to_pass, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_short_wait),
		cmocka_unit_test(in_vain),
		cmocka_unit_test(found_at_once),
	};

	return cmocka_run_group_tests_name("patience", tests, NULL, NULL);
}
