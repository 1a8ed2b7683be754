/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What tools/kernel-bench.sh prints of an emulated machine, line by line, and the figures
 * in it. bench_kernel.c is part "kernel".
 */
#ifndef BENCH_KERNEL_H
#define BENCH_KERNEL_H

#include "bench.h"

#define BENCH_KERNEL_SERIES 64
#define BENCH_KERNEL_TURNS 64

/**
 * struct bench_kernel_series - the turns of one contestant
 * @figure, @who: what is measured, and of what
 * @reason: why there is no figure; "": there is one
 */
struct bench_kernel_series {
	char figure[24], who[24], reason[104];
	double turn[BENCH_KERNEL_TURNS];
	int turns;
};

/** struct bench_kernel_report - all that a machine said; all zero at first */
struct bench_kernel_report {
	struct bench_kernel_series series[BENCH_KERNEL_SERIES];
	int count;
};

/**
 * bench_kernel_line() - take one line: "FIGURE WHO VALUE", or "FIGURE WHO - REASON"
 *
 * Return: false: it is neither, or there is no room; then nothing was taken.
 */
bool bench_kernel_line(struct bench_kernel_report *r, const char *line);

/** bench_kernel_median() - of the turns of @who. Return: NAN: it has none, or one of them failed */
double bench_kernel_median(const struct bench_kernel_report *r, const char *figure, const char *who);

/** bench_kernel_ratio() - median of the turns' ratios of @who to @other. Return: NAN as above. Without equal turns: the ratio of the medians. */
double bench_kernel_ratio(const struct bench_kernel_report *r, const char *figure, const char *who, const char *other);

/** bench_kernel_reason() - Return: why @who has no figure, or NULL if it has one */
const char *bench_kernel_reason(const struct bench_kernel_report *r, const char *figure, const char *who);

#endif
