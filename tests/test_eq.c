/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The event queue: a budget, order, handlers that post, cancelling, and threads that do
 * all this at once, by seed. thread_eq has the real threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hca/eq.h"
#include "no_leaks.h"

#define SEEDS 400u
#define NODES 50u

struct node {
	struct hca_eq_node node;
	u32 fired;
	u32 posted; /* atomic */
	u32 seen;
	u32 inside; /* atomic: threads that are in its handler */
};

static struct hca_eq eq;
static struct node n[NODES];
static u32 order[4 * NODES], fired, depth, deepest, wrong;

static void note_order(struct hca_eq_node *node)
{
	struct node *m = hca_container_of(node, struct node, node);

	order[fired++] = (u32)(m - n);
	m->fired++;
}

static void open_queue(void (*fire)(struct hca_eq_node *node))
{
	u32 i;

	assert_int_equal(hca_eq_init(&eq), 0);
	hca_memset(n, 0, sizeof(n));
	for (i = 0; i < NODES; i++)
		n[i].node.fire = fire;
	fired = depth = deepest = wrong = 0;
}

static void add(u32 i)
{
	hca_eq_add(&eq, &n[i].node);
}

/* The worker does what it has to. */
static void let_work(void)
{
	test_clock_advance(0);
}

static void memory_may_be_short(void **state)
{
	(void)state;
	TEST_FAIL_LOOP(l)
	{
		int err = hca_eq_init(&eq);

		if (err)
			assert_int_equal(err, -ENOMEM);
		else
			hca_eq_fini(&eq);
	}
}

/* --- one thread --- */

static void calls_have_an_order(void **state)
{
	u32 i;

	(void)state;
	open_queue(note_order);
	hca_eq_run(&eq); /* nothing to do */
	for (i = 0; i < 10; i++)
		add(i * 7 % 10);
	for (i = 0; i < 10; i++) /* waits already */
		add(i);
	assert_int_equal(fired, 0);
	hca_eq_run(&eq);
	assert_int_equal(fired, 10);
	for (i = 0; i < 10; i++)
		assert_int_equal(order[i], i * 7 % 10);
	hca_eq_run(&eq);
	let_work();
	assert_int_equal(fired, 10);
	hca_eq_fini(&eq);
}

static void a_run_has_a_budget(void **state)
{
	u32 i;

	(void)state;
	open_queue(note_order);
	for (i = 0; i < HCA_EQ_BUDGET; i++)
		add(i);
	hca_eq_run(&eq);
	assert_int_equal(fired, HCA_EQ_BUDGET);
	assert_false(eq.work.timer.armed); /* no worker without need */
	fired = 0;
	for (i = 0; i < NODES; i++)
		add(i);
	hca_eq_run(&eq);
	assert_int_equal(fired, HCA_EQ_BUDGET);
	let_work();
	assert_int_equal(fired, NODES);
	for (i = 0; i < NODES; i++)
		assert_int_equal(order[i], i);
	hca_eq_fini(&eq);
}

static void a_kick_leaves_it_to_the_worker(void **state)
{
	(void)state;
	open_queue(note_order);
	add(3);
	hca_eq_kick(&eq);
	hca_eq_kick(&eq);
	assert_int_equal(fired, 0);
	let_work();
	assert_int_equal(fired, 1);
	hca_eq_fini(&eq);
}

#define CHAIN 1000u

/* As a completion handler that posts: the next one's event, and its own. */
static void post_more(struct hca_eq_node *node)
{
	struct node *m = hca_container_of(node, struct node, node);

	depth++;
	deepest = HCA_MAX(depth, deepest);
	if (++fired < CHAIN) {
		add((u32)(m - n + 1) % NODES);
		add((u32)(m - n));
		hca_eq_run(&eq);
		hca_eq_run(&eq);
	}
	depth--;
}

static void handlers_that_post_dont_nest(void **state)
{
	(void)state;
	open_queue(post_more);
	add(0);
	hca_eq_run(&eq);
	assert_int_equal(fired, HCA_EQ_BUDGET); /* its own posts' calls count as well */
	let_work();
	assert_in_range(fired, CHAIN, CHAIN + NODES);
	assert_int_equal(deepest, 1);
	assert_null(eq.first);
	hca_eq_fini(&eq);
}

static void add_thrice(struct hca_eq_node *node)
{
	if (fired++ < 3) {
		hca_eq_add(&eq, node);
		hca_eq_add(&eq, node);
	}
}

static void what_is_added_while_it_fires_fires_again(void **state)
{
	(void)state;
	open_queue(add_thrice);
	add(0);
	hca_eq_run(&eq);
	assert_int_equal(fired, 4);
	hca_eq_fini(&eq);
}

/* --- cancelling --- */

static void cancelled_ones_dont_fire(void **state)
{
	static const u32 gone[] = { 0, 4, 9, 5 };
	u32 i, k;

	(void)state;
	for (k = 0; k <= HCA_ARRAY_SIZE(gone); k++) {
		open_queue(note_order);
		for (i = 0; i < 10; i++)
			add(i);
		for (i = 0; i < k; i++)
			hca_eq_cancel(&eq, &n[gone[i]].node);
		hca_eq_cancel(&eq, &n[20].node); /* that never was */
		hca_eq_run(&eq);
		assert_int_equal(fired, 10 - k);
		for (i = 0; i < k; i++)
			assert_int_equal(n[gone[i]].fired, 0);
		add(gone[0]); /* it may be used again */
		hca_eq_run(&eq);
		assert_int_equal(fired, 11 - k);
		hca_eq_fini(&eq);
	}
}

static void cancel_the_next(struct hca_eq_node *node)
{
	struct node *m = hca_container_of(node, struct node, node);

	fired++;
	add((u32)(m - n));
	hca_eq_cancel(&eq, &m[1].node);
	if (fired > 3)
		hca_eq_cancel(&eq, &n[0].node == node ? &n[2].node : &n[0].node);
}

static void handlers_cancel_others(void **state)
{
	(void)state;
	open_queue(cancel_the_next);
	add(0);
	add(1);
	hca_eq_run(&eq);
	assert_int_equal(fired, HCA_EQ_BUDGET); /* the first one alone */
	hca_eq_cancel(&eq, &n[0].node);
	let_work();
	assert_int_equal(fired, HCA_EQ_BUDGET);
	hca_eq_fini(&eq);
}

/* --- at once, by seed --- */

#define SHARED_NODES 3u
#define POSTS 12u

static u32 together, most_together;

static void look(struct hca_eq_node *node)
{
	struct node *m = hca_container_of(node, struct node, node);
	u32 now;

	if (hca_fetch_add(&m->inside, 1))
		hca_fetch_add(&wrong, 1); /* one at a time */
	now = hca_fetch_add(&together, 1) + 1;
	most_together = HCA_MAX(most_together, now);
	m->seen = hca_load(&m->posted);
	hca_pause();
	hca_fetch_add(&together, (u32)-1);
	hca_fetch_add(&m->inside, (u32)-1);
}

static void post_and_run(void *arg)
{
	u32 i, first = *(const u32 *)arg;

	for (i = 0; i < POSTS; i++) {
		struct node *m = &n[(first + i) % SHARED_NODES];

		hca_fetch_add(&m->posted, 1);
		hca_eq_add(&eq, &m->node);
		if ((first + i) % 5)
			hca_eq_run(&eq);
		else
			hca_eq_kick(&eq);
	}
}

static void no_call_is_lost(void **state)
{
	static u32 number[] = { 0, 1, 2, 3, 4, 5 };
	void (*const fns[])(void *) = { post_and_run, post_and_run, post_and_run,
					post_and_run, post_and_run, post_and_run };
	void *args[HCA_ARRAY_SIZE(number)];
	u32 i, threads;
	u64 seed;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(number); i++)
		args[i] = &number[i];
	most_together = 0;
	for (seed = 1; seed <= SEEDS; seed++) {
		threads = 1 + (u32)seed % 6;
		open_queue(look);
		assert_int_equal(test_run_threads(seed, threads, fns, args, NULL), 0);
		let_work();
		assert_int_equal(wrong, 0);
		for (i = 0; i < SHARED_NODES; i++)
			assert_int_equal(n[i].seen, n[i].posted);
		assert_null(eq.runners);
		hca_eq_fini(&eq);
	}
	assert_in_range(most_together, 2, SHARED_NODES); /* different ones go on at once */
}

static u32 cancelled;

static void must_live(struct hca_eq_node *node)
{
	struct node *m = hca_container_of(node, struct node, node);

	wrong += m == &n[0] && hca_load(&cancelled);
	hca_pause();
	wrong += m == &n[0] && hca_load(&cancelled);
	m->fired++;
}

static void cancel_after(void *arg)
{
	u32 i;

	(void)arg;
	for (i = hca_random_u32() % 64; i; i--)
		hca_store(&depth, i);
	hca_eq_cancel(&eq, &n[0].node);
	hca_store(&cancelled, 1u);
}

/* The consumer has seen to it that nothing new comes; what is queued or under way is the queue's. */
static void post_once(void *arg)
{
	(void)arg;
	hca_eq_run(&eq);
	add(1);
	hca_eq_run(&eq);
}

static void a_cancel_waits_for_the_call(void **state)
{
	void (*const fns[])(void *) = { post_once, cancel_after, post_once };
	void *const args[] = { NULL, NULL, NULL };
	u32 before = 0, after = 0;
	u64 seed;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		open_queue(must_live);
		cancelled = 0;
		add(1);
		add(0);
		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		let_work();
		assert_int_equal(wrong, 0);
		before += n[0].fired;
		after += !n[0].fired;
		hca_eq_fini(&eq);
	}
	assert_true(before && after);
}

/* --- handlers that wait for each other --- */

static u32 in_handlers, bugs, ring;

static void cancel_it(void *node)
{
	hca_eq_cancel(&eq, node);
}

static void cancels_its_own(struct hca_eq_node *node)
{
	bugs += test_expect_bug(cancel_it, node);
}

static void a_handler_cant_cancel_itself(void **state)
{
	(void)state;
	open_queue(cancels_its_own);
	bugs = 0;
	add(0);
	hca_eq_run(&eq);
	assert_int_equal(bugs, 1);
	hca_eq_fini(&eq);
}

/* Each waits for the next one's end, and the last for the first's: one of them can't, and is told so. */
static void cancels_the_next(struct hca_eq_node *node)
{
	struct node *m = hca_container_of(node, struct node, node);
	u32 i = (u32)(m - n);

	if (i >= ring)
		return;
	hca_fetch_add(&in_handlers, 1);
	while (hca_load(&in_handlers) < ring)
		hca_pause();
	if (test_expect_bug(cancel_it, &n[(i + 1) % ring].node))
		hca_fetch_add(&bugs, 1);
}

static void runs_the_queue(void *arg)
{
	(void)arg;
	hca_eq_run(&eq);
}

static void handlers_in_a_circle(void **state)
{
	void (*const fns[])(void *) = { runs_the_queue, runs_the_queue, runs_the_queue };
	void *const args[] = { NULL, NULL, NULL };
	u64 seed;
	u32 i;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		open_queue(cancels_the_next);
		ring = 2 + seed % 2;
		in_handlers = bugs = 0;
		for (i = 0; i < ring; i++)
			add(i);
		assert_int_equal(test_run_threads(seed, ring, fns, args, NULL), 0);
		assert_int_equal(bugs, 1);
		hca_eq_fini(&eq);
	}
}

/* One that cancels another one, which waits for nobody, only waits. */
static void waits_in_a_row(struct hca_eq_node *node)
{
	struct node *m = hca_container_of(node, struct node, node);
	u32 i = (u32)(m - n);

	hca_fetch_add(&in_handlers, 1);
	while (hca_load(&in_handlers) < ring)
		hca_pause();
	if (i + 1 < ring)
		hca_eq_cancel(&eq, &n[i + 1].node);
}

static void handlers_in_a_row(void **state)
{
	void (*const fns[])(void *) = { runs_the_queue, runs_the_queue, runs_the_queue };
	void *const args[] = { NULL, NULL, NULL };
	u64 seed;
	u32 i;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		open_queue(waits_in_a_row);
		ring = 3;
		in_handlers = 0;
		for (i = 0; i < ring; i++)
			add(i);
		assert_int_equal(test_run_threads(seed, ring, fns, args, NULL), 0);
		hca_eq_fini(&eq);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(memory_may_be_short),
		T(calls_have_an_order),
		T(a_run_has_a_budget),
		T(a_kick_leaves_it_to_the_worker),
		T(handlers_that_post_dont_nest),
		T(what_is_added_while_it_fires_fires_again),
		T(cancelled_ones_dont_fire),
		T(handlers_cancel_others),
		T(no_call_is_lost),
		T(a_cancel_waits_for_the_call),
		T(a_handler_cant_cancel_itself),
		T(handlers_in_a_circle),
		T(handlers_in_a_row),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
