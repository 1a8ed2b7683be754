/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ledger against a plain model, in long random sequences over shared pages, buffers and addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ledger_model.h"
#include "test_os.h"

static u32 upto(void *ctx, u32 n)
{
	u32 *seed = ctx;

	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 8) % n;
}

static void random_against_a_model(void **state)
{
	/* Virtual, tagged, I/O addresses, and a block of every class that the pages lie across. */
	static const u64 base[] = { 0x10000000, 0x7f12345f0000, 0x4d50000040000000, 0xffffffff00000000,
				    0x7fffffffd000 };
	static const u32 history[] = { 0, 5, 1 };
	static struct ledger_model m;
	u32 s, seed, i;

	(void)state;
	for (s = 1; s <= 40; s++) {
		seed = s;
		assert_int_equal(ledger_model_open(&m, base[s % HCA_ARRAY_SIZE(base)], history[s % 3], upto, &seed), 0);
		for (i = 0; i < 3000; i++)
			if (!ledger_model_step(&m))
				fail_msg("seed %u, step %u: %s", s, i, m.what);
		if (!ledger_model_close(&m))
			fail_msg("seed %u, end: %s", s, m.what);
	}
	assert_int_equal(test_leaks(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_against_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
