/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Eight threads, 64 queue pairs, on the loop wire and on a wire of packets that loses some and has several threads
 * bring them: random requests while queue pairs are reset, put into error, destroyed and connected again, and
 * keys come and go. Every byte that arrives is looked at, and every completion; see soak.h.
 *
 * SOFTHCA_SEED (1) chooses the random numbers, though not what the threads make of them. SOAK_SECONDS: how long
 * it runs, half of it on each wire, with a line each minute; 2.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "soak.h"

#define CHAOS 400u /* one in so many looks at an end takes it down */
#define MILLISECOND 1000000ull

static struct soak bed;
static struct soak_groups groups;
static u64 seed;

static u64 number(const char *name, u64 otherwise)
{
	const char *env = getenv(name);

	return env && *env ? strtoull(env, NULL, 0) : otherwise;
}

static struct soak_end *end_of(struct soak *s, u32 i)
{
	return &s->link[i / 2].end[i % 2];
}

/* --- threads --- */

static bool is_open(const struct soak_end *e)
{
	return hca_load_acquire(&e->state) == SOAK_UP && !hca_load_acquire(&e->closing);
}

static void post_some(struct soak_thread *t, struct soak_end *e, u32 poster)
{
	u32 n = 1 + soak_random(t, 4);

	while (n-- && is_open(e))
		soak_post_random(t, e, poster);
}

static void visit(struct soak_thread *t, struct soak_end *e)
{
	if (soak_owner(e) == t->index) {
		if (is_open(e))
			post_some(t, e, 0);
		soak_tick(t, e, CHAOS);
	} else if (soak_guest(e) == t->index && is_open(e) && !pthread_rwlock_tryrdlock(&e->use)) {
		post_some(t, e, 1);
		pthread_rwlock_unlock(&e->use);
	}
}

static void *work(void *arg)
{
	struct soak_thread *t = arg;
	struct soak *s = t->s;

	while (!hca_load_acquire(&s->stop) && !hca_load(&s->wrong)) {
		visit(t, end_of(s, soak_random(t, SOAK_ENDS)));
		soak_poll(&s->side[soak_random(t, 2)].cq[soak_random(t, SOAK_THREADS)]);
	}
	return NULL;
}

/* --- the watch --- */

static void tell(struct soak *s, u64 began)
{
	struct soak_counts n;
	u32 i;

	for (i = 0; i < sizeof(n) / 8; i++)
		((u64 *)&n)[i] = __atomic_load_n(&((u64 *)&s->n)[i], __ATOMIC_RELAXED);
	printf("# %s, %llu s: %llu requests, %llu of them failed, %llu messages, %llu MB; %llu connections, %llu queue pairs destroyed, %llu keys\n",
	       s->name, (unsigned long long)((hca_now_ns() - began) / 1000 / MILLISECOND),
	       (unsigned long long)n.requests, (unsigned long long)n.failed, (unsigned long long)n.messages,
	       (unsigned long long)n.bytes / 1000000, (unsigned long long)n.connects, (unsigned long long)n.destroys,
	       (unsigned long long)n.keys);
	fflush(stdout);
}

/* When each poster's oldest request was first seen to be that. */
struct seen {
	u32 head;
	u32 gen;
	u64 since;
};

/* A request that never ends is seen by its poster's oldest one, which stays the same. */
static void look_for_stuck(struct soak *s, struct seen seen[SOAK_ENDS][SOAK_POSTERS])
{
	u64 now = hca_now_ns();
	u32 i, p;

	for (i = 0; i < SOAK_ENDS; i++) {
		struct soak_end *e = end_of(s, i);

		pthread_mutex_lock(&e->cq->lock);
		for (p = 0; p < SOAK_POSTERS; p++) {
			struct seen *at = &seen[i][p];
			u32 head = e->poster[p].head;

			if (head == hca_load(&e->poster[p].tail) || head != at->head || e->gen != at->gen || !at->since)
				*at = (struct seen){ head, e->gen, now };
			else if (now - at->since > SOAK_PATIENCE * 1000 * MILLISECOND)
				soak_wrong(e, __LINE__, "a request ends in time", p, head);
		}
		pthread_mutex_unlock(&e->cq->lock);
	}
}

static void watch(struct soak *s, u64 length)
{
	static struct seen seen[SOAK_ENDS][SOAK_POSTERS];
	u64 began = hca_now_ns(), told = began;

	memset(seen, 0, sizeof(seen));
	while (hca_now_ns() - began < length && !hca_load(&s->wrong)) {
		struct timespec a_while = { .tv_nsec = 50 * MILLISECOND };

		nanosleep(&a_while, NULL);
		look_for_stuck(s, seen);
		if (hca_now_ns() - told >= 60000 * MILLISECOND) {
			tell(s, began);
			told = hca_now_ns();
		}
	}
	hca_store_release(&s->stop, 1u);
	tell(s, began);
}

/* --- the end, by one thread in the place of all --- */

static void poll_all(struct soak *s)
{
	u32 i;

	for (i = 0; i < SOAK_THREADS; i++) {
		soak_poll(&s->side[0].cq[i]);
		soak_poll(&s->side[1].cq[i]);
	}
}

/* Does an end still wait for what was posted? One that lost something never gets all. */
static bool is_waiting(const struct soak_end *e)
{
	u32 p;

	if (e->state == SOAK_DRAINING)
		return true;
	if (e->state != SOAK_UP || e->peer->state != SOAK_UP || hca_load(&e->broken) || hca_load(&e->peer->broken) ||
	    e->link->type != HCA_QPT_RC)
		return false;
	for (p = 0; p < SOAK_POSTERS; p++)
		if (e->poster[p].msg != hca_load(&e->peer->next_msg[p]))
			return true;
	return e->sqd;
}

/* What was posted arrives, and queue pairs that drain are drained. */
static void settle(struct soak *s, struct soak_thread *t)
{
	u64 until = hca_now_ns() + SOAK_PATIENCE * 1000 * MILLISECOND;
	bool more = true;
	u32 i;

	while (more && !s->wrong) {
		more = false;
		for (i = 0; i < SOAK_ENDS; i++) {
			struct soak_end *e = end_of(s, i);

			soak_tick(t, e, 0);
			more |= is_waiting(e);
			soak_check(e, !is_waiting(e) || hca_now_ns() < until, e->state,
				   (u64)e->poster[0].msg << 32 | hca_load(&e->peer->next_msg[0]));
		}
		poll_all(s);
		sched_yield();
	}
}

static void end_all(struct soak *s, struct soak_thread *t)
{
	u32 i, k, posted, known;

	settle(s, t);
	for (i = 0; i < SOAK_ENDS; i++)
		if (end_of(s, i)->state == SOAK_UP)
			soak_to_error(end_of(s, i));
	settle(s, t);
	for (k = 0; k < 2; k++) {
		struct hca_rq *rq = &s->side[k].srq.rq;

		/* No request of a shared queue has got lost. */
		for (i = known = 0; i < SOAK_SRQ; i++)
			known += s->side[k].srq_posted[i];
		posted = rq->tail - rq->head;
		assert_int_equal(s->wrong ? posted : known, posted);
	}
}

static void soak(const char *name, bool packets)
{
	u64 length = number("SOAK_SECONDS", 2) * 500 * MILLISECOND;
	struct soak_thread t[SOAK_THREADS + 1];
	pthread_t id[SOAK_THREADS + 2];
	u32 i;

	printf("# %s: SOFTHCA_SEED=%llu\n", name, (unsigned long long)seed);
	soak_open(&bed, name, packets, seed);
	soak_groups_open(&bed, &groups, seed);
	for (i = 0; i <= SOAK_THREADS; i++)
		t[i] = (struct soak_thread){ &bed, i, (seed + 1) * 0x9e3779b97f4a7c15ull + i * 0x1000001ull };
	for (i = 0; i < SOAK_THREADS; i++)
		assert_int_equal(pthread_create(&id[i], NULL, work, &t[i]), 0);
	assert_int_equal(pthread_create(&id[SOAK_THREADS], NULL, soak_group_sends, &groups), 0);
	assert_int_equal(pthread_create(&id[SOAK_THREADS + 1], NULL, soak_group_changes, &groups), 0);
	watch(&bed, length);
	for (i = 0; i < SOAK_THREADS + 2; i++)
		pthread_join(id[i], NULL);
	end_all(&bed, &t[SOAK_THREADS]);
	assert_int_equal(bed.wrong, 0);
	assert_true(bed.n.connects > 0 && bed.n.requests > 0);
	soak_groups_close(&groups);
	assert_int_equal(bed.wrong, 0);
	soak_close(&bed);
}

static void on_the_loop(void **state)
{
	(void)state;
	soak("loop", false);
}

static void on_packets(void **state)
{
	(void)state;
	soak("packets", true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_the_loop),
		cmocka_unit_test(on_packets),
	};

	seed = number("SOFTHCA_SEED", 1);
	return cmocka_run_group_tests_name("thread soak", tests, NULL, NULL);
}
