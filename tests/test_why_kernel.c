/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Why a parameter of a kernel source isn't set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "softhca/kernel.h"
#include "why_fixture.h"

static int count = 3;
module_param(count, int, 0644);

static void parameters(void **state)
{
	(void)state;
	REFUSED(softhca_module_param("size", "1"), -ENOENT, "no module parameter has the name size");
	REFUSED(softhca_module_param("count", "much"), -EINVAL,
		"module parameter count not set: \"much\" isn't a value of type int");
	assert_int_equal(softhca_module_param("count", "4"), 0);
	assert_int_equal(count, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(parameters) };

	return cmocka_run_group_tests_name("why_kernel", tests, NULL, NULL);
}
