/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How often a thread that polls in vain offers its processor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shim/ibverbs/idle.h"

#define SHORT SHIM_IDLE_TAKEN
#define LONG (SHIM_IDLE_TAKEN + 1)

/* Polls in vain until the processor is offered, which takes so long. */
static uint32_t until_offer(struct shim_idle *s, uint64_t ns)
{
	uint32_t polls = 1;

	while (!shim_idle_empty(s))
		polls++;
	shim_idle_offered(s, ns);
	return polls;
}

static void comes_while_it_polls(struct shim_idle *s)
{
	assert_false(shim_idle_empty(s));
	shim_idle_got(s);
}

/* What comes starts the count again. */
static void idle(void **state)
{
	struct shim_idle s = { 0 };
	uint32_t i;

	(void)state;
	assert_int_equal(until_offer(&s, SHORT), SHIM_IDLE_POLLS);
	for (i = 0; i < SHIM_IDLE_POLLS - 1; i++)
		assert_false(shim_idle_empty(&s));
	shim_idle_got(&s);
	assert_int_equal(until_offer(&s, LONG), SHIM_IDLE_POLLS);
}

/* Others take the processor for long, and the peer doesn't need it: ever more rarely, up to a bound. */
static void the_peer_is_elsewhere(void **state)
{
	struct shim_idle s = { 0 };
	uint32_t i;

	(void)state;
	for (i = 0; i < SHIM_IDLE_RAREST + 2; i++) {
		comes_while_it_polls(&s);
		assert_int_equal(until_offer(&s, LONG),
				 SHIM_IDLE_POLLS << (i < SHIM_IDLE_RAREST ? i : SHIM_IDLE_RAREST));
		/* Once more without anything between: that says nothing of the peer. */
		assert_int_equal(until_offer(&s, LONG),
				 SHIM_IDLE_POLLS << (i + 1 < SHIM_IDLE_RAREST ? i + 1 : SHIM_IDLE_RAREST));
	}
}

/* Nobody takes it: it is offered as often as at first. */
static void nobody_takes_it(void **state)
{
	struct shim_idle s = { 0 };
	uint32_t i;

	(void)state;
	for (i = 0; i < 10; i++) {
		comes_while_it_polls(&s);
		assert_int_equal(until_offer(&s, SHORT), SHIM_IDLE_POLLS);
	}
}

/* A peer that works for long on this processor: nothing comes but after an offer. */
static void the_peer_is_here(void **state)
{
	struct shim_idle s = { .rarer = 3 };
	uint32_t i;

	(void)state;
	for (i = 0; i < SHIM_IDLE_TOGETHER; i++) {
		assert_int_equal(until_offer(&s, LONG), SHIM_IDLE_POLLS << 3);
		shim_idle_got(&s);
	}
	for (i = 0; i < 10; i++) {
		assert_int_equal(until_offer(&s, LONG), SHIM_IDLE_POLLS);
		shim_idle_got(&s);
	}
	/* Not in a row: something comes while it polls. */
	s = (struct shim_idle){ .rarer = 3 };
	for (i = 0; i < 3 * SHIM_IDLE_TOGETHER; i++) {
		assert_int_equal(until_offer(&s, SHORT), SHIM_IDLE_POLLS << 3);
		shim_idle_got(&s);
		if (i % (SHIM_IDLE_TOGETHER - 1) == 1)
			comes_while_it_polls(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle),
		cmocka_unit_test(the_peer_is_elsewhere),
		cmocka_unit_test(nobody_takes_it),
		cmocka_unit_test(the_peer_is_here),
	};

	return cmocka_run_group_tests_name("idle", tests, NULL, NULL);
}
