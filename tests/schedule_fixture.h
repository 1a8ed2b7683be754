/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Threads under seeded schedules, beside the engine's fixture. In a scheduled thread an assertion can't unwind: CHECK()
 * notes the first condition that doesn't hold, and run_seed() reports it. SOFTHCA_SEED sets the first seed.
 */
#ifndef SCHEDULE_FIXTURE_H
#define SCHEDULE_FIXTURE_H

#include <stdlib.h>

#include "engine_fixture.h"

static const char *broken;
static int broken_line;

#define CHECK(c) \
	do { \
		if (!(c) && !broken) { \
			broken = #c; \
			broken_line = __LINE__; \
		} \
	} while (0)

static inline u64 first_seed(void)
{
	const char *env = getenv("SOFTHCA_SEED");

	return env && *env ? strtoull(env, NULL, 0) : 1;
}

/* For @n seeds from the first one on. */
#define FOR_SEEDS(seed, n) for (u64 seed = first_seed(), end_##seed = seed + SEED_COUNT(n); seed < end_##seed; seed++)

static inline void run_seed(u64 seed, u32 n, void (*const fns[])(void *arg))
{
	void *const args[TEST_MAX_THREADS] = { NULL };
	int err;

	broken = NULL;
	err = test_run_threads(seed, n, fns, args, NULL);
	if (err || broken)
		fail_msg("SOFTHCA_SEED=%llu: %d: line %d: %s\n%s", (unsigned long long)seed, err, broken_line,
			 broken ? broken : "nothing else", test_log_take());
}

static inline int to_state(struct hca_qp *qp, enum hca_qp_state state)
{
	struct hca_qp_attr at = { .qp_state = state };

	return hca_qp_modify(qp, &at, HCA_QP_STATE);
}

/* One completion, waited for. */
static inline void await(struct hca_cq *cq, struct hca_wc *wc)
{
	while (hca_cq_ring_poll(&cq->ring, wc, 1) != 1)
		hca_pause();
}

/* --- a look at memory while it is used --- */

static void (*on_open)(struct side *s, u64 off, enum hca_mem_op op);

static inline int mem_open_seen(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access,
				struct hca_mem_view *w)
{
	if (on_open)
		on_open(hca_container_of(mem, struct side, mem), hca_dma_u64(addr) - BASE, access);
	return mem_open(mem, addr, len, access, w);
}

static const struct hca_mem_ops seen_mem_ops = { .open = mem_open_seen, .close = mem_close };

static inline void look_at_memory(void (*look)(struct side *s, u64 off, enum hca_mem_op op))
{
	on_open = look;
	set_flat(&a, false);
	set_flat(&b, false);
	a.mem.ops = b.mem.ops = &seen_mem_ops;
}

#endif
