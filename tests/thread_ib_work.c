/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The threads that poll queues whose handlers may block: however many of these block, the os layer's worker goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ib/ib_core.h"

#define THREADS 4u /* at most */
#define QUICK (20u * THREADS)

struct call {
	struct hca_eq_node node;
	struct hca_completion *until; /* blocks until that; NULL: quick */
	u32 made;
};

static struct call first[THREADS], quick[QUICK], last[2 * THREADS];
static struct hca_completion go_first, go_last;
static u32 begun;

static void make_call(struct hca_eq_node *node)
{
	struct call *c = hca_container_of(node, struct call, node);

	hca_fetch_add(&begun, 1);
	if (c->until)
		hca_wait(c->until, ~0ull);
	hca_fetch_add(&c->made, 1);
}

static void add(struct call *c, u32 n, struct hca_completion *until)
{
	u32 i;

	for (i = 0; i < n; i++) {
		c[i] = (struct call){ .node = { .fire = make_call }, .until = until };
		ib_work_add(&c[i].node);
	}
}

static void wait_for(const struct call *c, u32 n)
{
	u32 i, turns = 0;

	for (i = 0; i < n; i++)
		while (!hca_load(&c[i].made))
			hca_relax(&turns);
}

static void complete_it(void *arg)
{
	hca_complete(arg);
}

/* Each thread blocks in its first call; then there are more quick ones than one turn makes, and behind them more that block than threads. */
static void the_worker_goes_on(void **state)
{
	struct hca_completion done;
	struct hca_work work;
	u32 i;

	(void)state;
	hca_completion_init(&go_first);
	hca_completion_init(&go_last);
	hca_completion_init(&done);
	assert_int_equal(ib_work_start(), 0);
	assert_int_equal(ib_work_start(), 0);
	add(first, THREADS, &go_first);
	add(quick, QUICK, NULL);
	add(last, 2 * THREADS, &go_last);
	hca_complete(&go_first);
	wait_for(first, THREADS);
	wait_for(quick, QUICK);
	assert_int_equal(hca_work_init(&work, complete_it, &done), 0);
	hca_work_start(&work);
	assert_int_equal(hca_wait(&done, ~0ull), 0);
	hca_work_destroy(&work);
	hca_complete(&go_last);
	wait_for(last, 2 * THREADS);
	for (i = 0; i < 2 * THREADS; i++)
		ib_work_cancel(&last[i].node);
	assert_int_equal(begun, 3 * THREADS + QUICK);
	hca_completion_destroy(&done);
	hca_completion_destroy(&go_first);
	hca_completion_destroy(&go_last);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_worker_goes_on),
	};

	return cmocka_run_group_tests_name("ib_work", tests, NULL, NULL);
}
