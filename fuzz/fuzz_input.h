/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The input's bytes as choices, and what must hold whatever they are. For a fuzzer that is one file. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "os.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(c) ((c) ? (void)0 : failed(#c, __FILE__, __LINE__))

static inline void failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

/* What is left of it. */
static struct {
	const u8 *data;
	size_t left;
} in;

/* The next @n bytes; 0 where there are none. */
static inline u64 bytes(u32 n)
{
	u64 v = 0;

	for (; n && in.left; n--, in.left--)
		v = v << 8 | *in.data++;
	return v;
}

static inline u32 choose(u32 n)
{
	return (u32)bytes(1) % n;
}

#endif
