/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The event queue with real threads, more of them than there are slots: no wake-up is
 * lost, no node's calls are made two at a time, and a node that was cancelled is its
 * owner's memory again.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hca/eq.h"

#define THREADS 80u
#define NODES 24u
#define POSTS 500u

_Static_assert(THREADS > HCA_SLOTS, "some share a slot");

struct node {
	struct hca_eq_node node;
	u32 posted; /* atomic */
	u32 seen; /* atomic */
	u32 calls; /* plain: whoever makes a call owns it */
};

static struct hca_eq eq;
static struct node n[NODES];
static u32 gate;
static _Thread_local u32 depth;
static u32 nested;

static void look(struct hca_eq_node *node)
{
	struct node *m = hca_container_of(node, struct node, node);

	if (depth++)
		hca_fetch_add(&nested, 1);
	m->calls++;
	hca_store(&m->seen, hca_load_acquire(&m->posted));
	if (m->calls % 8 == 0)
		hca_eq_run(&eq); /* as a handler that posts does */
	depth--;
}

static void *post(void *arg)
{
	u32 i, me = (u32)(uintptr_t)arg;

	hca_fetch_add(&gate, 1);
	while (hca_load(&gate) < THREADS)
		sched_yield();
	for (i = 0; i < POSTS; i++) {
		struct node *m = &n[(me + i * 7) % NODES];

		hca_fetch_add(&m->posted, 1);
		hca_eq_add(&eq, &m->node);
		if (i % 50 == 49)
			hca_eq_kick(&eq);
		else
			hca_eq_run(&eq);
	}
	return arg;
}

static void no_wake_up_is_lost(void **state)
{
	pthread_t t[THREADS];
	uintptr_t i;

	(void)state;
	assert_int_equal(hca_eq_init(&eq), 0);
	memset(n, 0, sizeof(n));
	for (i = 0; i < NODES; i++)
		n[i].node.fire = look;
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, post, (void *)i), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	/* The worker has what is left; nobody runs the queue for it. For ever, if one was lost. */
	for (i = 0; i < NODES; i++)
		while (hca_load(&n[i].seen) != hca_load(&n[i].posted))
			sched_yield();
	for (i = 0; i < NODES; i++)
		hca_eq_cancel(&eq, &n[i].node);
	for (i = 0; i < NODES; i++)
		assert_in_range(n[i].calls, 1, n[i].posted);
	assert_int_equal(nested, 0);
	assert_null(eq.runners);
	hca_eq_fini(&eq);
}

/* --- nodes that come and go --- */

#define OWNERS 8u
#define LIVES 300u

static void count_call(struct hca_eq_node *node)
{
	hca_container_of(node, struct node, node)->calls++;
}

static void *make_and_cancel(void *arg)
{
	u32 i, k;

	for (i = 0; i < LIVES; i++) {
		struct node *m = calloc(1, sizeof(*m));

		if (!m)
			abort();
		m->node.fire = count_call;
		for (k = 0; k < 1 + i % 3; k++) {
			hca_eq_add(&eq, &m->node);
			if (i & 1)
				hca_eq_kick(&eq);
			else
				hca_eq_run(&eq);
		}
		hca_eq_cancel(&eq, &m->node);
		memset(m, 0xee, sizeof(*m)); /* plain stores, as of any new owner */
		free(m);
	}
	return arg;
}

static void a_cancelled_node_may_be_freed(void **state)
{
	pthread_t t[OWNERS];
	u32 i;

	(void)state;
	assert_int_equal(hca_eq_init(&eq), 0);
	for (i = 0; i < OWNERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, make_and_cancel, NULL), 0);
	for (i = 0; i < OWNERS; i++)
		pthread_join(t[i], NULL);
	assert_null(eq.first);
	hca_eq_fini(&eq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_wake_up_is_lost),
		cmocka_unit_test(a_cancelled_node_may_be_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
