/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How the benchmark takes its figures from what other programs print. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "../bench/bench_verbs.h"

static void perftest(void **state)
{
	static const char *const lat =
		"---------------------------------------------------------------------------------------\n"
		"                    Send Latency Test\n"
		" Dual-port       : OFF\t\tDevice         : ipath0\n"
		" #bytes #iterations    t_min[usec]    t_max[usec]  t_typical[usec]    t_avg[usec]    t_stdev[usec]\n"
		" 8       2000          0.31           3258.69      0.64     \t       2.87        \t57.30  \n"
		"---------------------------------------------------------------------------------------\n";
	static const char *const bw =
		" #bytes     #iterations    BW peak[MB/sec]    BW average[MB/sec]   MsgRate[Mpps]\n"
		"Conflicting CPU frequency values detected: 2100.000000 != 2000.000000. Max 1\n"
		" 65536      5000             9878.18            4572.20\t\t   0.073155\n"
		"-----\n";

	(void)state;
	assert_true(bench_tool_figure(lat, 5) == 0.64);
	assert_true(bench_tool_figure(bw, 4) == 4572.20);
	assert_true(bench_tool_figure(bw, 5) == 0.073155);
}

static void ucx(void **state)
{
	static const char *const text =
		"iterations,50.0_percentile_lat,avg_lat,overall_lat,avg_bw,overall_bw,avg_mr,overall_mr\n"
		"20000,0.130,153.001,373.831,408.49,167.19,6536,2675\n";

	(void)state;
	assert_true(bench_tool_figure(text, 2) == 0.130);
	assert_true(bench_tool_figure(text, 6) == 167.19);
	assert_true(bench_tool_figure(text, 8) == 2675);
}

static void libfabric(void **state)
{
	static const char *const text =
		"bytes   #sent   #ack     total       time     MB/sec    usec/xfer   Mxfers/sec\n"
		"8       10k     =10k     156k        0.26s      0.63      12.79       0.08\n";

	(void)state;
	assert_true(bench_tool_figure(text, 7) == 12.79);
}

/* What isn't there isn't made up. */
static void no_figure(void **state)
{
	(void)state;
	assert_true(isnan(bench_tool_figure("", 1)));
	assert_true(isnan(bench_tool_figure("Couldn't connect to 127.0.0.1:18515\n", 1)));
	assert_true(isnan(bench_tool_figure(" 8 2000 0.31\n", 4)));
	assert_true(isnan(bench_tool_figure("8 2000 failed 3\n", 3)));
	assert_true(bench_tool_figure("8 1 2\n9 3 4\n10 5\n", 3) == 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(perftest),
		cmocka_unit_test(ucx),
		cmocka_unit_test(libfabric),
		cmocka_unit_test(no_figure),
	};

	return cmocka_run_group_tests_name("bench_tool", tests, NULL, NULL);
}
