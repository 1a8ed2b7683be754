/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A plain model of the ledger: an array of live mappings, looked through from end to end at every call. It makes
 * random calls, right ones and wrong ones, over few pages, so that buffers, pages and addresses are shared, and
 * compares what the ledger says. Called by test_ledger_model.c and fuzz/fuzz_ledger.c.
 */
#ifndef TESTS_LEDGER_MODEL_H
#define TESTS_LEDGER_MODEL_H

#include "dma/ledger.h"

#define MODEL_MAPPINGS 48
#define MODEL_PIECES 6
#define MODEL_HISTORY 1024 /* what a ledger remembers when it isn't told */
#define MODEL_ENDINGS 4096 /* what the model remembers */

struct model_mapping {
	bool live;
	bool checked;
	struct hca_mapping map;
	u32 pieces;
	struct {
		u64 addr;
		u64 len;
	} piece[MODEL_PIECES];
};

/**
 * struct ledger_model - the model and the ledger that it is compared with
 * @choose: a number below @n, from a seed or from a fuzzer's input
 * @base: where the pages begin
 * @what: set to what differed, and then no further step may be made
 */
struct ledger_model {
	u32 (*choose)(void *ctx, u32 n);
	void *ctx;
	u64 base;
	struct hca_ledger *ledger;
	const char *what;
	struct model_mapping mapping[MODEL_MAPPINGS];
	u32 history;
	u32 endings;
	struct hca_mapping ended[MODEL_ENDINGS]; /* the oldest first */
	u32 reports; /* of the latest call */
	struct hca_misuse_report report[8];
};

/** ledger_model_open() - Return: 0 or -ENOMEM */
int ledger_model_open(struct ledger_model *m, u64 base, u32 history, u32 (*choose)(void *ctx, u32 n), void *ctx);

/** ledger_model_step() - one random call. Return: false if the two differ, and then @what says in what */
bool ledger_model_step(struct ledger_model *m);

/** ledger_model_close() - the ledger ends, and tells of as many leaks as there are. Return: as ledger_model_step() */
bool ledger_model_close(struct ledger_model *m);

#endif
