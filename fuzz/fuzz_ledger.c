/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ledger against the plain model of tests/ledger_model.h; the input's bytes are the choices. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../tests/ledger_model.h"
#include "test_os.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_STEPS 2000

struct input {
	const uint8_t *data;
	size_t left;
};

static u32 choose(void *ctx, u32 n)
{
	struct input *in = ctx;
	u32 v = 0, most;

	for (most = n; most && in->left; most >>= 8, in->left--)
		v = v << 8 | *in->data++;
	return n ? v % n : 0;
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .data = data, .left = size };
	static struct ledger_model m;
	int i;

	must(!ledger_model_open(&m, 0x7fffffffd000, 1 + choose(&in, 16), choose, &in), "no ledger");
	for (i = 0; i < MAX_STEPS && in.left; i++)
		must(ledger_model_step(&m), m.what);
	must(ledger_model_close(&m), m.what);
	must(!test_leaks(), "leaks");
	return 0;
}
