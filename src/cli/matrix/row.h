/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A row of the matrix: one pair of adapters on one kind of machine carries the whole
 * image to the target and back, and is judged.
 */
#ifndef MATRIX_ROW_H
#define MATRIX_ROW_H

#include "image.h"
#include "mover.h"

/**
 * struct job - what all rows have in common
 * @memory: by what keys the target reaches the initiator's lists
 * @progress: called now and then with the bytes that are done, a write and a read counting half each, or NULL
 */
struct job {
	const struct image *image;
	const struct mover_ops *mover;
	u64 seed;
	enum srp_memory memory;
	void (*progress)(void *ctx, u64 bytes);
	void *ctx;
};

/**
 * struct row - what is carried, and how it went
 * @machine: index of machine_kinds
 * @seconds: spent with mapping, moving and unmapping, both ways
 * @bytes: that are back
 * @account: what the ledgers and the fault record say
 * @sha256_in: of the image in hex, empty if it wasn't read to its end; @sha256_out: of what came back
 * @why: why it failed; empty: it passed
 */
struct row {
	enum adapter initiator;
	enum adapter target;
	int machine;
	u64 bytes;
	double seconds;
	struct bed_account account;
	char sha256_in[65];
	char sha256_out[65];
	struct why why;
};

/** row_run() - fill in what @initiator, @target and @machine come to. Return: whether it passed */
bool row_run(const struct job *job, struct row *row);

#endif
