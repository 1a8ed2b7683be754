/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How the benchmark takes its figures from what other programs print. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../bench/bench_kernel.h"
#include "../bench/bench_verbs.h"
#include "os.h"

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

/* --- lines of an emulated machine --- */

static void take(struct bench_kernel_report *r, const char *const *lines, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		assert_true(bench_kernel_line(r, lines[i]));
}

/* The ratio is that of turns which were beside each other. */
static void kernel_turns(void **state)
{
	static struct bench_kernel_report r;
	static const char *const lines[] = { "nvme-read softhca 100.0\n", "nvme-read rxe 20\n",
					     "nvme-read softhca 400.5\n", "nvme-read rxe 40.05\r\n",
					     "nvme-read softhca 90\n",	  "nvme-read rxe 30",
					     "nvme-write softhca 7\n" };

	(void)state;
	take(&r, lines, HCA_ARRAY_SIZE(lines));
	assert_int_equal(r.count, 3);
	assert_true(bench_kernel_median(&r, "nvme-read", "softhca") == 100);
	assert_true(bench_kernel_median(&r, "nvme-read", "rxe") == 30);
	assert_true(bench_kernel_ratio(&r, "nvme-read", "softhca", "rxe") == 5);
	assert_true(bench_kernel_median(&r, "nvme-write", "softhca") == 7);
	assert_null(bench_kernel_reason(&r, "nvme-read", "rxe"));
}

/* A contestant that lost turns is compared by medians. */
static void kernel_turns_lost(void **state)
{
	static struct bench_kernel_report r;
	static const char *const lines[] = { "connect softhca 10", "connect rxe 40", "connect softhca 20" };

	(void)state;
	take(&r, lines, HCA_ARRAY_SIZE(lines));
	assert_true(bench_kernel_ratio(&r, "connect", "softhca", "rxe") == 15.0 / 40);
}

/* One reason is enough, whatever else was measured, and what wasn't heard of has one too. */
static void kernel_reasons(void **state)
{
	static struct bench_kernel_report r;
	static const char *const lines[] = {
		"nvme-read softhca 9", "nvme-read nvme-loop - there is none in this kernel\r\n",
		"srp-read rxe 3",      "srp-read rxe - disk: a request: Input/output error\n",
		"srp-read rxe 4",      "srp-write rxe -\n"
	};

	(void)state;
	take(&r, lines, HCA_ARRAY_SIZE(lines));
	assert_string_equal(bench_kernel_reason(&r, "nvme-read", "nvme-loop"), "there is none in this kernel");
	assert_true(isnan(bench_kernel_median(&r, "nvme-read", "nvme-loop")));
	assert_true(isnan(bench_kernel_ratio(&r, "nvme-read", "softhca", "nvme-loop")));
	assert_string_equal(bench_kernel_reason(&r, "srp-read", "rxe"), "disk: a request: Input/output error");
	assert_true(isnan(bench_kernel_median(&r, "srp-read", "rxe")));
	assert_string_equal(bench_kernel_reason(&r, "srp-write", "rxe"), "no reason was given");
	assert_string_equal(bench_kernel_reason(&r, "iser-read", "tcp"), "the machine said nothing about it");
	assert_true(isnan(bench_kernel_median(&r, "iser-read", "tcp")));
}

static void kernel_nonsense(void **state)
{
	static struct bench_kernel_report r;
	static const char *const lines[] = {
		"",	   "\n",      "nvme-read",    "nvme-read softhca",
		"a b 3 4", "a b 3x",  "a b 0",	      "a b -5",
		"a b nan", "a b inf", "a b error 14", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b 3"
	};
	char line[32];
	size_t i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(lines); i++)
		assert_false(bench_kernel_line(&r, lines[i]));
	assert_int_equal(r.count, 0);
	for (i = 0; i < BENCH_KERNEL_TURNS; i++)
		assert_true(bench_kernel_line(&r, "a b 3"));
	assert_false(bench_kernel_line(&r, "a b 3"));
	for (i = 1; i < BENCH_KERNEL_SERIES; i++) {
		snprintf(line, sizeof(line), "a b%zu 3", i);
		assert_true(bench_kernel_line(&r, line));
	}
	assert_false(bench_kernel_line(&r, "a c 3"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(perftest),	  cmocka_unit_test(ucx),
		cmocka_unit_test(libfabric),	  cmocka_unit_test(no_figure),
		cmocka_unit_test(kernel_turns),	  cmocka_unit_test(kernel_turns_lost),
		cmocka_unit_test(kernel_reasons), cmocka_unit_test(kernel_nonsense),
	};

	return cmocka_run_group_tests_name("bench_tool", tests, NULL, NULL);
}
