/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Completion queues whose long work goes on in steps of a few entries, so that small queues meet between steps what only
 * large ones meet otherwise: the tests of completion queues, and threads that purge, resize, add and poll at once.
 */
#define HCA_CQ_STEP 4u
#include "../src/hca/cq.c" /* NOLINT(bugprone-suspicious-include) */

static void beside_each_other(void **state);
static void a_step_at_a_time(void **state);

#define MORE_TESTS T(beside_each_other), T(a_step_at_a_time)
#include "test_cq.c" /* NOLINT(bugprone-suspicious-include) */

#define LARGE 24u /* capacity */
#define RUNS 60u /* completions of each source */

static u32 producing, next_id[2];

/* Completions of a source that lives. */
static void keeps_adding(void *arg)
{
	u32 i, qp_num = *(u32 *)arg;

	for (i = 0; i < RUNS; i++) {
		while (i - hca_load(&next_id[qp_num]) >= LARGE / 3)
			hca_pause();
		if (add(i, qp_num) != HCA_CQ_QUIET)
			hca_fetch_add(&wrong, 1);
	}
	hca_fetch_add(&producing, (u32)-1);
}

/* Those of one that is reset again and again: none of them is polled after that. */
static u32 life;

static void adds_and_purges(void *arg)
{
	u32 i;

	(void)arg;
	while (hca_load(&producing)) {
		for (i = 0; i < LARGE / 3; i++)
			if (add(life, 2) != HCA_CQ_QUIET)
				hca_fetch_add(&wrong, 1);
		purge(2);
		hca_fetch_add(&life, 1);
	}
}

static void resizes(void *arg)
{
	u32 capacity = LARGE;

	(void)arg;
	while (hca_load(&producing)) {
		capacity = LARGE + (capacity * 5 + 3) % 40;
		if (resize(capacity))
			hca_fetch_add(&wrong, 1);
		hca_pause();
	}
}

static void take(const struct hca_wc *wc, u32 alive)
{
	if (wc->qp_num == 2)
		wrong += wc->wr_id < alive;
	else
		wrong += wc->wr_id != next_id[wc->qp_num];
	if (wc->qp_num < 2)
		hca_store(&next_id[wc->qp_num], next_id[wc->qp_num] + 1);
}

static void polls_all(void *arg)
{
	struct hca_wc wc[5];
	int i, n;

	(void)arg;
	while (hca_load(&producing) || next_id[0] < RUNS || next_id[1] < RUNS) {
		u32 alive = hca_load(&life);

		n = hca_cq_ring_poll(&cq, wc, 1 + (int)(next_id[0] % 5));
		for (i = 0; i < n; i++)
			take(&wc[i], alive);
		if (!n)
			hca_pause();
	}
}

static void beside_each_other(void **state)
{
	void (*const fns[])(void *) = { keeps_adding, keeps_adding, adds_and_purges, resizes, polls_all };
	u32 qp[2] = { 0, 1 };
	void *const args[] = { &qp[0], &qp[1], NULL, NULL, NULL };
	u64 seed;

	(void)state;
	for (seed = 1; seed <= SEEDS / 5; seed++) {
		assert_int_equal(open_ring(LARGE), 0);
		cq.head = cq.tail = 0u - (u32)(seed * 7 % 100);
		wrong = life = 0;
		producing = 2;
		next_id[0] = next_id[1] = 0;
		assert_int_equal(test_run_threads(seed, HCA_ARRAY_SIZE(fns), fns, args, NULL), 0);
		assert_int_equal(wrong, 0);
		assert_null(cq.old);
		purge(2);
		expect_empty();
		assert_int_equal(cq.purged, 0);
		hca_cq_ring_fini(&cq);
	}
}

/* Under the lock no more is done than a step: others are let in between. Purge, resize, and an add that needs the room. */
static u32 seen[200], looks;

static void looks_on(void *arg)
{
	hca_irqflags_t flags;

	(void)arg;
	while (!hca_load(&over)) {
		hca_spin_lock(&cq.lock, flags);
		if (looks < HCA_ARRAY_SIZE(seen))
			seen[looks++] = cq.purged;
		hca_spin_unlock(&cq.lock, flags);
	}
}

static void purges_it(void *arg)
{
	(void)arg;
	purge(1);
	hca_store(&over, 1u);
}

static void a_step_at_a_time(void **state)
{
	void (*const fns[])(void *) = { purges_it, looks_on };
	void *const args[] = { NULL, NULL };
	u32 i, between = 0;
	u64 seed;

	(void)state;
	for (seed = 1; seed <= 50; seed++) {
		assert_int_equal(open_ring(100), 0);
		add_many(0, 1, 2);
		add_many(1, 41, 1);
		add_many(41, 100, 2);
		looks = over = 0;
		assert_int_equal(test_run_threads(seed, 2, fns, args, NULL), 0);
		assert_int_equal(cq.purged, 40);
		for (i = 0; i < looks; i++) {
			assert_int_equal(seen[i] % HCA_CQ_STEP, 0);
			between += seen[i] && seen[i] < 40;
		}
		/* What follows goes on with the pass by some entries each time, and has room for all that the purged ones had. */
		for (i = 0; i < 40; i++) {
			u32 was = cq.passing ? cq.gap_end : cq.head;

			add_many(100 + i, 101 + i, 2);
			if (cq.passing)
				assert_in_range(cq.gap_end - was, 1, STRIDE);
		}
		assert_int_equal(add(200, 2), HCA_CQ_OVERFLOW);
		expect(0, 1);
		expect(41, 140);
		hca_cq_ring_fini(&cq);
	}
	assert_true(between > 0);
}
