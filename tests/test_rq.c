/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Receive queues: order, bounds, the limit event, resize; and the event queue's calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hca/eq.h"
#include "hca/rq.h"
#include "test/test_os.h"

#define MAX_SGE 3u

union entry {
	struct hca_rwqe e;
	u8 room[sizeof(struct hca_rwqe) + MAX_SGE * sizeof(struct hca_sge)];
};

static int post(struct hca_rq *rq, u64 id, u32 num_sge)
{
	struct hca_sge sge[MAX_SGE + 1] = { { .addr = id, .length = 1, .lkey = 2 }, { .addr = id + 1 } };
	struct hca_recv_wr wr = { .wr_id = id, .sge = sge, .num_sge = num_sge };

	return hca_rq_post(rq, &wr);
}

static u64 take(struct hca_rq *rq, bool *limit)
{
	union entry t;

	return hca_rq_take(rq, &t.e, limit) ? t.e.wr_id : ~0ull;
}

static int reset(void **state)
{
	(void)state;
	test_os_reset(1);
	return 0;
}

static int no_leaks(void **state)
{
	(void)state;
	return (int)test_leaks();
}

static void order_and_bounds(void **state)
{
	struct hca_rq rq;
	union entry t;
	u64 next = 0, seen = 0;
	int i, k;

	(void)state;
	assert_int_equal(hca_rq_init(&rq, 5, MAX_SGE), 0);
	assert_false(hca_rq_take(&rq, &t.e, NULL));
	assert_int_equal(post(&rq, 1, MAX_SGE + 1), -EINVAL);
	for (i = 0; i < 40; i++) {
		for (k = 0; k < 1 + i % 5; k++)
			assert_int_equal(post(&rq, next++, 2), 0);
		while (hca_rq_take(&rq, &t.e, NULL)) {
			assert_int_equal(t.e.wr_id, seen);
			assert_int_equal(t.e.num_sge, 2);
			assert_int_equal(t.e.sge[1].addr, seen + 1);
			seen++;
		}
	}
	assert_int_equal(seen, next);
	for (i = 0; i < 5; i++)
		assert_int_equal(post(&rq, (u64)i, 0), 0);
	assert_int_equal(post(&rq, 5, 0), -ENOMEM);
	hca_rq_fini(&rq);
}

static void a_queue_of_nothing(void **state)
{
	struct hca_rq rq;

	(void)state;
	assert_int_equal(hca_rq_init(&rq, 0, 0), 0);
	assert_int_equal(post(&rq, 1, 0), -ENOMEM);
	assert_int_equal(take(&rq, NULL), ~0ull);
	hca_rq_fini(&rq);
	assert_int_equal(hca_rq_init(&rq, ~0u, 1), -EINVAL);
}

static void limit_fires_once(void **state)
{
	struct hca_rq rq;
	bool hit;
	u64 i;

	(void)state;
	assert_int_equal(hca_rq_init(&rq, 8, 1), 0);
	for (i = 0; i < 8; i++)
		assert_int_equal(post(&rq, i, 1), 0);
	rq.limit = 6;
	assert_int_equal(take(&rq, &hit), 0);
	assert_false(hit); /* 7 are left */
	assert_int_equal(take(&rq, &hit), 1);
	assert_false(hit); /* 6: not below the limit */
	assert_int_equal(take(&rq, &hit), 2);
	assert_true(hit);
	assert_int_equal(rq.limit, 0);
	assert_int_equal(take(&rq, &hit), 3);
	assert_false(hit);
	hca_rq_fini(&rq);
}

static void resize_keeps_what_is_in_it(void **state)
{
	struct hca_rq rq;
	u64 i;

	(void)state;
	assert_int_equal(hca_rq_init(&rq, 4, 1), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(post(&rq, i, 1), 0);
	assert_int_equal(take(&rq, NULL), 0);
	for (i = 3; i < 5; i++)
		assert_int_equal(post(&rq, i, 1), 0);
	assert_int_equal(hca_rq_resize(&rq, 0), -EINVAL);
	assert_int_equal(hca_rq_resize(&rq, 3), -EINVAL);
	assert_int_equal(hca_rq_resize(&rq, 7), 0);
	assert_int_equal(post(&rq, 5, 1), 0);
	assert_int_equal(hca_rq_resize(&rq, 5), 0);
	assert_int_equal(post(&rq, 6, 1), -ENOMEM);
	for (i = 1; i < 6; i++)
		assert_int_equal(take(&rq, NULL), i);
	assert_int_equal(take(&rq, NULL), ~0ull);
	hca_rq_fini(&rq);
	TEST_FAIL_LOOP(loop)
	{
		if (!hca_rq_init(&rq, 4, 1)) {
			(void)hca_rq_resize(&rq, 9);
			hca_rq_fini(&rq);
		}
	}
}

/* --- the event queue --- */

struct counted {
	struct hca_eq_node node;
	struct hca_eq *eq;
	struct counted *other;
	u32 calls;
	u32 more;
	u32 depth;
};

static u32 depth;

/* A handler that makes work for the other, as a ULP that answers a message by a message does. */
static void fire(struct hca_eq_node *node)
{
	struct counted *c = hca_container_of(node, struct counted, node);

	depth++;
	c->depth = HCA_MAX(c->depth, depth);
	c->calls++;
	if (c->more) {
		c->more--;
		hca_eq_add(c->eq, &c->other->node);
		hca_eq_run(c->eq);
	}
	depth--;
}

static void handlers_loop_and_never_nest(void **state)
{
	struct hca_eq eq;
	struct counted a = { .node.fire = fire, .eq = &eq, .more = 5000 };
	struct counted b = { .node.fire = fire, .eq = &eq, .more = 5000, .other = &a };

	(void)state;
	a.other = &b;
	assert_int_equal(hca_eq_init(&eq), 0);
	hca_eq_run(&eq);
	hca_eq_add(&eq, &a.node);
	hca_eq_add(&eq, &a.node); /* it has something to tell already */
	hca_eq_run(&eq);
	assert_int_equal(a.calls + b.calls, HCA_EQ_BUDGET);
	test_clock_advance(0); /* a worker makes the others */
	assert_int_equal(a.calls, 5001);
	assert_int_equal(b.calls, 5000);
	assert_int_equal(HCA_MAX(a.depth, b.depth), 1);
	hca_eq_fini(&eq);
}

static void cancelled_nodes_stay_silent(void **state)
{
	struct hca_eq eq;
	struct counted n[3] = { { .node.fire = fire }, { .node.fire = fire }, { .node.fire = fire } };
	int i;

	(void)state;
	assert_int_equal(hca_eq_init(&eq), 0);
	for (i = 0; i < 3; i++)
		hca_eq_add(&eq, &n[i].node);
	hca_eq_cancel(&eq, &n[2].node);
	hca_eq_add(&eq, &n[2].node);
	hca_eq_cancel(&eq, &n[1].node);
	hca_eq_cancel(&eq, &n[0].node);
	hca_eq_cancel(&eq, &n[0].node);
	hca_eq_run(&eq);
	assert_int_equal(n[0].calls + n[1].calls, 0);
	assert_int_equal(n[2].calls, 1);
	hca_eq_fini(&eq);
}

struct race {
	struct hca_eq eq;
	struct counted n;
	bool gone;
	bool late;
};

static void fire_in_race(struct hca_eq_node *node)
{
	struct race *r = hca_container_of(node, struct race, n.node);

	hca_pause();
	r->late |= r->gone;
}

static void adds(void *arg)
{
	struct race *r = arg;
	int i;

	for (i = 0; i < 4; i++) {
		hca_eq_add(&r->eq, &r->n.node);
		hca_eq_run(&r->eq);
	}
}

static void cancels(void *arg)
{
	struct race *r = arg;

	hca_eq_cancel(&r->eq, &r->n.node);
}

/* Whoever cancels may free the node: no call is under way any more. */
static void cancels_last(void *arg)
{
	struct race *r = arg;

	adds(r);
	hca_eq_cancel(&r->eq, &r->n.node);
	r->gone = true;
}

static void cancel_waits_for_a_call(void **state)
{
	void (*const fns[])(void *) = { cancels_last, cancels };
	u64 seed;

	(void)state;
	for (seed = 1; seed <= 100; seed++) {
		struct race r = { .n.node.fire = fire_in_race };
		void *const args[] = { &r, &r };

		assert_int_equal(hca_eq_init(&r.eq), 0);
		assert_int_equal(test_run_threads(seed, 2, fns, args, NULL), 0);
		assert_false(r.late);
		hca_eq_fini(&r.eq);
	}
}

struct crowd {
	struct hca_eq eq;
	struct member {
		struct hca_eq_node node;
		struct crowd *crowd;
		u32 inside;
		u32 calls;
	} m[2];
	u32 inside;
	u32 most; /* handlers at once */
	bool nested;
};

static void fire_in_crowd(struct hca_eq_node *node)
{
	struct member *m = hca_container_of(node, struct member, node);
	struct crowd *c = m->crowd;

	c->nested |= m->inside++ > 0;
	c->inside++;
	c->most = HCA_MAX(c->most, c->inside);
	hca_pause();
	c->inside--;
	m->inside--;
	m->calls++;
}

static void both_call(void *arg)
{
	struct crowd *c = arg;

	hca_eq_add(&c->eq, &c->m[0].node);
	hca_eq_add(&c->eq, &c->m[1].node);
	hca_eq_run(&c->eq);
}

/* One slow handler doesn't keep the others waiting; each is called by one thread at a time, and after the last add. */
static void different_nodes_fire_at_once(void **state)
{
	void (*const fns[])(void *) = { both_call, both_call };
	u32 most = 0;
	u64 seed;

	(void)state;
	for (seed = 1; seed <= 100; seed++) {
		struct crowd c = { .m = { { .node.fire = fire_in_crowd }, { .node.fire = fire_in_crowd } } };
		void *const args[] = { &c, &c };

		c.m[0].crowd = c.m[1].crowd = &c;
		assert_int_equal(hca_eq_init(&c.eq), 0);
		assert_int_equal(test_run_threads(seed, 2, fns, args, NULL), 0);
		assert_false(c.nested);
		assert_in_range(c.m[0].calls, 1, 2);
		assert_in_range(c.m[1].calls, 1, 2);
		most = HCA_MAX(most, c.most);
		hca_eq_fini(&c.eq);
	}
	assert_int_equal(most, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(order_and_bounds, reset, no_leaks),
		cmocka_unit_test_setup_teardown(a_queue_of_nothing, reset, no_leaks),
		cmocka_unit_test_setup_teardown(limit_fires_once, reset, no_leaks),
		cmocka_unit_test_setup_teardown(resize_keeps_what_is_in_it, reset, no_leaks),
		cmocka_unit_test_setup_teardown(handlers_loop_and_never_nest, reset, no_leaks),
		cmocka_unit_test_setup_teardown(cancelled_nodes_stay_silent, reset, no_leaks),
		cmocka_unit_test_setup_teardown(cancel_waits_for_a_call, reset, no_leaks),
		cmocka_unit_test_setup_teardown(different_nodes_fire_at_once, reset, no_leaks),
	};

	return cmocka_run_group_tests_name("rq", tests, NULL, NULL);
}
