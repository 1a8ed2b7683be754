/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table, the JSON array and the progress line of the matrix; see report.h. */
#include <stdio.h>
#include <time.h>

#include "report.h"

#define TELL_EVERY_NS 100000000u

static u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

static void wipe(const struct report *rp)
{
	if (rp->live)
		fprintf(stderr, "\r\033[K");
}

void report_begin(struct report *rp)
{
	if (rp->json) {
		printf("[");
		return;
	}
	printf("%s: %llu bytes, written to the target's disk and read back in each row; --seed %llu\n"
	       "%s does DMA, %s copies with the CPU; 'softhca help matrix' has the options\n\n",
	       rp->image->path, (unsigned long long)rp->image->bytes, (unsigned long long)rp->seed,
	       adapter_name(ADAPTER_DMA), adapter_name(ADAPTER_SOFT));
	printf("%-9s  %-6s  %-12s  %12s  %8s  %8s  %8s  %6s  %5s  %s\n", "initiator", "target", "machine", "bytes",
	       "seconds", "MB/s", "mappings", "faults", "leaks", "verdict");
	fflush(stdout);
}

void report_progress(void *ctx, u64 bytes)
{
	struct report *rp = ctx;
	u64 now;

	if (!rp->live)
		return;
	now = now_ns();
	if (rp->told_ns && now - rp->told_ns < TELL_EVERY_NS)
		return;
	rp->told_ns = now;
	fprintf(stderr, "\r\033[Krow %u of %u: %s to %s on %s, %llu%%", rp->done + 1, rp->rows,
		adapter_name(rp->now->initiator), adapter_name(rp->now->target), machine_kinds[rp->now->machine],
		(unsigned long long)(bytes * 100 / rp->image->bytes));
}

/* Names and digests are our own and hold nothing that JSON would have to escape. */
static void json_row(const struct report *rp, const struct row *row, bool passed)
{
	printf("%s\n  {\"initiator\": \"%s\", \"target\": \"%s\", \"machine\": \"%s\", \"bytes\": %llu, \"seconds\": %.6f, "
	       "\"mappings\": %llu, \"faults\": %llu, \"leaks\": %llu, \"sha256_in\": \"%s\", \"sha256_out\": \"%s\", "
	       "\"verdict\": \"%s\"}",
	       rp->done ? "," : "", adapter_name(row->initiator), adapter_name(row->target),
	       machine_kinds[row->machine], (unsigned long long)row->bytes, row->seconds,
	       (unsigned long long)row->account.mappings, (unsigned long long)row->account.faults,
	       (unsigned long long)row->account.leaks, row->sha256_in, row->sha256_out, passed ? "pass" : "fail");
}

static void table_row(const struct row *row, bool passed)
{
	printf("%-9s  %-6s  %-12s  %12llu  %8.3f  %8.0f  %8llu  %6llu  %5llu  %s\n", adapter_name(row->initiator),
	       adapter_name(row->target), machine_kinds[row->machine], (unsigned long long)row->bytes, row->seconds,
	       row->seconds > 0 ? (double)row->bytes / row->seconds / 1e6 : 0.0,
	       (unsigned long long)row->account.mappings, (unsigned long long)row->account.faults,
	       (unsigned long long)row->account.leaks, passed ? "pass" : "FAIL");
}

void report_row(struct report *rp, const struct row *row, bool passed)
{
	wipe(rp);
	rp->told_ns = 0;
	if (rp->json)
		json_row(rp, row, passed);
	else
		table_row(row, passed);
	fflush(stdout);
	if (!passed)
		fprintf(stderr, "softhca matrix: %s to %s on %s failed: %s\n", adapter_name(row->initiator),
			adapter_name(row->target), machine_kinds[row->machine], row->why.text);
	rp->done++;
	rp->passed += passed;
}

bool report_end(struct report *rp)
{
	if (rp->json)
		printf("\n]\n");
	else
		printf("\n%u of %u rows passed\n", rp->passed, rp->rows);
	return rp->passed == rp->rows;
}
