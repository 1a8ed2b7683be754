/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The output of the matrix: a table for people or JSON for programs, and a progress line. */
#ifndef MATRIX_REPORT_H
#define MATRIX_REPORT_H

#include "row.h"

/**
 * struct report - where the telling is
 * @json: an array of objects instead of a table
 * @live: standard error is a terminal
 */
struct report {
	bool json;
	bool live;
	u32 rows; /* planned */
	u32 done;
	u32 passed;
	u64 seed;
	const struct image *image;
	const struct row *now;
	u64 told_ns;
};

void report_begin(struct report *rp);

/** report_progress() - for struct job; @ctx is the report */
void report_progress(void *ctx, u64 bytes);

void report_row(struct report *rp, const struct row *row, bool passed);

/** report_end() - Return: whether every row passed */
bool report_end(struct report *rp);

#endif
