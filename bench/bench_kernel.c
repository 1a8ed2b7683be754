/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Part "kernel": the kernel's own upper layers over softhca_ib.ko, beside the same over
 * rdma_rxe and beside what has no wire, in an emulated machine. tools/kernel-bench.sh boots
 * it, and the machine measures; here its lines become figures with goals. It runs in
 * the source tree alone, where that script is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_kernel.h"
#include "os.h"

#define SCRIPT "tools/kernel-bench.sh"
#define TITLE "upper layers in an emulated machine"
#define SOFTIRQ_MORE_NS 10000 /* than a copy of 64 KiB */

/* --- lines --- */

static const struct bench_kernel_series *find(const struct bench_kernel_report *r, const char *figure, const char *who)
{
	int i;

	for (i = 0; i < r->count; i++)
		if (!strcmp(r->series[i].figure, figure) && !strcmp(r->series[i].who, who))
			return &r->series[i];
	return NULL;
}

static struct bench_kernel_series *find_or_add(struct bench_kernel_report *r, const char *figure, const char *who)
{
	const struct bench_kernel_series *known = find(r, figure, who);
	struct bench_kernel_series *s;

	if (known)
		return &r->series[known - r->series];
	if (r->count == BENCH_KERNEL_SERIES)
		return NULL;
	s = &r->series[r->count++];
	snprintf(s->figure, sizeof(s->figure), "%s", figure);
	snprintf(s->who, sizeof(s->who), "%s", who);
	return s;
}

bool bench_kernel_line(struct bench_kernel_report *r, const char *line)
{
	char figure[24], who[24], word[32], *end;
	struct bench_kernel_series *s;
	double value;
	int at = 0;

	if (sscanf(line, "%23s %23s %31s %n", figure, who, word, &at) != 3)
		return false;
	value = strtod(word, &end);
	if (strcmp(word, "-") != 0 && (*end || line[at] || !(value > 0) || isinf(value)))
		return false;
	s = find_or_add(r, figure, who);
	if (!s)
		return false;
	if (!strcmp(word, "-")) {
		snprintf(s->reason, sizeof(s->reason), "%.*s", (int)strcspn(line + at, "\r\n"), line + at);
		if (!*s->reason)
			snprintf(s->reason, sizeof(s->reason), "no reason was given");
		return true;
	}
	if (s->turns == BENCH_KERNEL_TURNS)
		return false;
	s->turn[s->turns++] = value;
	return true;
}

const char *bench_kernel_reason(const struct bench_kernel_report *r, const char *figure, const char *who)
{
	const struct bench_kernel_series *s = find(r, figure, who);

	if (!s)
		return "the machine said nothing about it";
	return *s->reason ? s->reason : NULL;
}

double bench_kernel_median(const struct bench_kernel_report *r, const char *figure, const char *who)
{
	const struct bench_kernel_series *s = find(r, figure, who);
	double v[BENCH_KERNEL_TURNS];

	if (!s || *s->reason || !s->turns)
		return NAN;
	memcpy(v, s->turn, sizeof(v));
	return bench_median(v, s->turns);
}

double bench_kernel_ratio(const struct bench_kernel_report *r, const char *figure, const char *who, const char *other)
{
	double ours = bench_kernel_median(r, figure, who), theirs = bench_kernel_median(r, figure, other);
	const struct bench_kernel_series *s, *o;
	double v[BENCH_KERNEL_TURNS];
	int i;

	if (isnan(ours) || isnan(theirs))
		return NAN;
	s = find(r, figure, who);
	o = find(r, figure, other);
	if (s->turns != o->turns)
		return ours / theirs;
	for (i = 0; i < s->turns; i++)
		v[i] = s->turn[i] / o->turn[i];
	return bench_median(v, s->turns);
}

/* --- the table --- */

/* struct row - a figure of softhca's, or of @who, beside that of @other */
struct row {
	const char *name, *unit;
	const char *figure, *who, *other;
	const struct bench_goal *goals;
};

#define OURS "softhca"

static const struct row transports[] = {
	{ "nvme, random reads of 4 KiB, 32 at a time / rxe", "IOPS", "nvme-random", OURS, "rxe",
	  BENCH_GOALS({ RATIO_AT_LEAST, 5 }) },
	{ "the same / nvme-loop", "IOPS", "nvme-random", OURS, "nvme-loop", BENCH_NO_GOAL },
	{ "the same / its disk, without a fabric", "IOPS", "nvme-random", OURS, "disk", BENCH_NO_GOAL },
	{ "nvme, writes of 128 KiB in order / rxe", "MB/s", "nvme-write", OURS, "rxe",
	  BENCH_GOALS({ RATIO_AT_LEAST, 5 }) },
	{ "the same / nvme-loop", "MB/s", "nvme-write", OURS, "nvme-loop", BENCH_GOALS({ RATIO_AT_LEAST, 0.6 }) },
	{ "the same / its disk, without a fabric", "MB/s", "nvme-write", OURS, "disk", BENCH_NO_GOAL },
	{ "nvme, reads of 128 KiB in order / rxe", "MB/s", "nvme-read", OURS, "rxe",
	  BENCH_GOALS({ RATIO_AT_LEAST, 5 }) },
	{ "the same / nvme-loop", "MB/s", "nvme-read", OURS, "nvme-loop", BENCH_GOALS({ RATIO_AT_LEAST, 0.6 }) },
	{ "the same / its disk, without a fabric", "MB/s", "nvme-read", OURS, "disk", BENCH_NO_GOAL },
	{ "srp, writes of 128 KiB in order / rxe", "MB/s", "srp-write", OURS, "rxe",
	  BENCH_GOALS({ RATIO_AT_LEAST, 5 }) },
	{ "the same / LIO's loopback", "MB/s", "srp-write", OURS, "tcm_loop", BENCH_GOALS({ RATIO_AT_LEAST, 0.5 }) },
	{ "srp, reads of 128 KiB in order / rxe", "MB/s", "srp-read", OURS, "rxe", BENCH_GOALS({ RATIO_AT_LEAST, 5 }) },
	{ "the same / LIO's loopback", "MB/s", "srp-read", OURS, "tcm_loop", BENCH_GOALS({ RATIO_AT_LEAST, 0.5 }) },
	{ "iser, reads of 64 KiB in order / iSCSI over TCP", "MB/s", "iser-read", OURS, "tcp",
	  BENCH_GOALS({ RATIO_AT_LEAST, 3 }) },
};

static const struct row times[] = {
	{ "list of 32 pages, map + unmap / platform, direct", "ns", "map-list", OURS, "platform_direct",
	  BENCH_GOALS({ RATIO_AT_MOST, 1.15 }) },
	{ "the same / platform, strict IOMMU", "ns", "map-list", OURS, "platform_of_edu",
	  BENCH_GOALS({ RATIO_AT_MOST, 0.2 }) },
	{ "a connection by rdma_cm, there and gone / rxe", "ns", "connect", OURS, "rxe",
	  BENCH_GOALS({ RATIO_AT_MOST, 1 }) },
	{ "longest wait of a softirq, idle", "ns", "softirq", "nothing", NULL, BENCH_NO_GOAL },
	{ "the same, writes of 1 MiB over rxe", "ns", "softirq", "rxe", NULL, BENCH_NO_GOAL },
};

static void print_row(const struct bench_kernel_report *r, const struct row *row)
{
	const char *reason = bench_kernel_reason(r, row->figure, row->who);

	if (!reason && row->other)
		reason = bench_kernel_reason(r, row->figure, row->other);
	if (reason)
		bench_row_without(row->name, reason);
	else
		bench_row(row->name, row->unit, bench_kernel_median(r, row->figure, row->who),
			  row->other ? bench_kernel_median(r, row->figure, row->other) : NAN,
			  row->other ? bench_kernel_ratio(r, row->figure, row->who, row->other) : NAN, row->goals);
}

/* The goal is a time beyond another one. */
static void print_softirq(const struct bench_kernel_report *r)
{
	double copy = bench_kernel_median(r, "softirq", "copy");
	struct bench_goal goals[2] = { { OURS_AT_MOST, (double)(u64)(isnan(copy) ? 0 : copy + SOFTIRQ_MORE_NS) },
				       { BENCH_END, 0 } };

	print_row(r,
		  &(struct row){ "the same, writes of 1 MiB / copying 64 KiB", "ns", "softirq", OURS, "copy", goals });
}

static void print_report(const struct bench_kernel_report *r)
{
	size_t i;

	bench_title(TITLE);
	for (i = 0; i < HCA_ARRAY_SIZE(transports); i++)
		print_row(r, &transports[i]);
	bench_title("mapping, connections, softirqs in it");
	for (i = 0; i < HCA_ARRAY_SIZE(times); i++)
		print_row(r, &times[i]);
	print_softirq(r);
}

/* --- the part --- */

static int read_report(struct bench_kernel_report *r)
{
	char line[256];
	FILE *from;
	int status;

	fflush(stdout);
	bench_unpin();
	from = popen(SCRIPT, "r");
	if (!from) {
		bench_pin(0);
		return bench_fail("no process for %s", SCRIPT);
	}
	while (fgets(line, sizeof(line), from))
		if (!bench_kernel_line(r, line))
			fprintf(stderr, "softhca-bench: not understood: %s", line);
	status = pclose(from);
	bench_pin(0);
	return status || !r->count ? bench_fail("%s measured nothing", SCRIPT) : 0;
}

static int part_kernel(void)
{
	static struct bench_kernel_report report;

	if (bench_counting())
		return 0;
	if (access(SCRIPT, X_OK)) {
		bench_title(TITLE);
		bench_row_without("all of them", "the source tree is needed: make bench ONLY=kernel");
		return 0;
	}
	if (read_report(&report)) {
		bench_failed();
		return -1;
	}
	print_report(&report);
	return 0;
}

const struct bench_part bench_kernel = { .name = "kernel",
					 .about = "upper layers of an emulated machine's kernel",
					 .run = part_kernel };
