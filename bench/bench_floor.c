/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Floors that a figure is compared with where it has no peer: an uncontended lock, and
 * a load that waits for the load before it. They are measured in the same rounds as the
 * figure, so that a ratio means the same on a slow machine and on a fast one.
 */
#include "bench.h"

#include <stdlib.h>

#include "os.h"

#define LINE_POINTERS (HCA_CACHE_LINE / sizeof(void *))

_Static_assert(sizeof(struct hca_spinlock) <= sizeof(struct bench_lock), "zeroed, it is a free lock");

BENCH_LOOP void bench_floor_lock(void *ctx, u64 n)
{
	struct hca_spinlock *l = ctx;
	hca_irqflags_t flags;

	while (n--) {
		hca_spin_lock(l, flags);
		bench_use(l);
		hca_spin_unlock(l, flags);
	}
}

int bench_chase_open(struct bench_chase *c, u32 lines)
{
	u32 i;

	c->lines = lines;
	c->next = 0;
	c->order = calloc(lines, sizeof(*c->order));
	c->line = aligned_alloc(HCA_CACHE_LINE, (size_t)lines * HCA_CACHE_LINE);
	c->at = c->line;
	if (!c->order || !c->line)
		return bench_fail("no memory for %u lines", lines);
	bench_shuffle(c->order, lines);
	for (i = 0; i < lines; i++)
		c->line[c->order[i] * LINE_POINTERS] = &c->line[c->order[(i + 1) % lines] * LINE_POINTERS];
	return 0;
}

void bench_chase_close(struct bench_chase *c)
{
	free(c->line);
	free(c->order);
}

BENCH_LOOP void bench_floor_load(void *ctx, u64 n)
{
	struct bench_chase *c = ctx;
	void **at = c->at;

	while (n--) {
		at = *at;
		bench_use(at);
	}
	c->at = at;
}

BENCH_LOOP void bench_floor_lines(void *ctx, u64 n)
{
	struct bench_chase *c = ctx;
	u32 i = c->next;

	while (n--) {
		void *next = c->line[c->order[i] * LINE_POINTERS];

		bench_use(next);
		i = i + 1 < c->lines ? i + 1 : 0;
	}
	c->next = i;
}

void bench_shuffle(u32 *v, u32 n)
{
	u64 x = 88172645463325252ull;
	u32 i, j, swap;

	for (i = 0; i < n; i++)
		v[i] = i;
	for (i = n; i > 1; i--) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		j = (u32)(x % i);
		swap = v[i - 1];
		v[i - 1] = v[j];
		v[j] = swap;
	}
}
