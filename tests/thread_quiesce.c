/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Grace periods with real threads, more of them than there are slots: what was taken
 * away is overwritten by plain stores and freed, which the thread sanitizer and the
 * address sanitizer would tell of any reader that is late.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "hca/quiesce.h"

#define READERS 80u
#define WAITERS 16u
#define ROUNDS 150u
#define USES 20000u
#define ALIVE 0x600dda7au

static struct hca_quiesce quiesce;
static u32 *current[WAITERS]; /* atomic */
static u32 stop, wrong, uses, gate;

_Static_assert(READERS > HCA_SLOTS, "some share a slot");

static void *use(void *arg)
{
	struct hca_quiesce_mark mark;
	const u32 *at;
	u32 i;

	hca_fetch_add(&gate, 1);
	while (hca_load(&gate) < READERS + WAITERS) /* so that all are there at once */
		sched_yield();
	for (i = (u32)(uintptr_t)arg; !hca_load(&stop); i++) {
		hca_quiesce_enter(&quiesce, &mark);
		at = hca_load_acquire(&current[i % WAITERS]);
		if (at) {
			if (*at != ALIVE)
				hca_fetch_add(&wrong, 1);
			if (i % 7 == 0)
				sched_yield(); /* another thread, of the same slot perhaps, gets the processor meanwhile */
			if (*at != ALIVE)
				hca_fetch_add(&wrong, 1);
			hca_fetch_add(&uses, 1);
		}
		hca_quiesce_leave(&mark);
		if (i % 16 == 0)
			sched_yield();
	}
	return arg;
}

static void *replace(void *arg)
{
	u32 n = (u32)(uintptr_t)arg, i, *at;

	hca_fetch_add(&gate, 1);
	for (i = 0; i < ROUNDS || hca_load(&uses) < USES; i++) {
		at = malloc(sizeof(*at));
		if (!at)
			abort();
		*at = ALIVE;
		hca_store_release(&current[n], at);
		sched_yield();
		hca_store(&current[n], NULL);
		hca_quiesce_wait(&quiesce);
		*at = ~ALIVE;
		free(at);
	}
	return arg;
}

static void nothing_is_used_after_its_wait(void **state)
{
	pthread_t reader[READERS], waiter[WAITERS];
	uintptr_t i;

	(void)state;
	hca_quiesce_init(&quiesce);
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&reader[i], NULL, use, (void *)i), 0);
	for (i = 0; i < WAITERS; i++)
		assert_int_equal(pthread_create(&waiter[i], NULL, replace, (void *)i), 0);
	for (i = 0; i < WAITERS; i++)
		pthread_join(waiter[i], NULL);
	hca_store(&stop, 1u);
	for (i = 0; i < READERS; i++)
		pthread_join(reader[i], NULL);
	assert_int_equal(wrong, 0);
	assert_true(uses >= USES);
	assert_int_equal(quiesce.top, HCA_SLOTS);
	for (i = 0; i < HCA_SLOTS; i++)
		assert_int_equal(quiesce.slot[i].inside[0] | quiesce.slot[i].inside[1], 0);
	assert_int_equal(quiesce.periods & 1, 0);
	assert_int_equal(quiesce.driven, 0);
}

/* Threads come and go: a slot is taken over, and what it counts with it. */
static void *use_once(void *arg)
{
	struct hca_quiesce_mark mark;
	const u32 *at;

	hca_quiesce_enter(&quiesce, &mark);
	at = hca_load_acquire(&current[0]);
	if (at && *at != ALIVE)
		hca_fetch_add(&wrong, 1);
	hca_quiesce_leave(&mark);
	return arg;
}

#define SHORT_LIVED 400u

static void *make_threads(void *arg)
{
	pthread_t t[4];
	u32 i, k;

	for (i = 0; i < SHORT_LIVED / HCA_ARRAY_SIZE(t); i++) {
		for (k = 0; k < HCA_ARRAY_SIZE(t); k++)
			if (pthread_create(&t[k], NULL, use_once, NULL))
				abort();
		for (k = 0; k < HCA_ARRAY_SIZE(t); k++)
			pthread_join(t[k], NULL);
	}
	hca_store(&stop, 1u);
	return arg;
}

static void slots_change_hands(void **state)
{
	pthread_t maker;
	u32 i, *at;

	(void)state;
	stop = 0;
	hca_quiesce_init(&quiesce);
	assert_int_equal(pthread_create(&maker, NULL, make_threads, NULL), 0);
	while (!hca_load(&stop)) {
		at = malloc(sizeof(*at));
		assert_non_null(at);
		*at = ALIVE;
		hca_store_release(&current[0], at);
		sched_yield();
		hca_store(&current[0], NULL);
		hca_quiesce_wait(&quiesce);
		*at = ~ALIVE;
		free(at);
	}
	pthread_join(maker, NULL);
	assert_int_equal(wrong, 0);
	for (i = 0; i < HCA_SLOTS; i++)
		assert_int_equal(quiesce.slot[i].inside[0] | quiesce.slot[i].inside[1], 0);
}

/* --- slots that turn light and fenced all the time --- */

#define BUSY 3u
#define RETRACTORS 2u
#define TURNS 250u /* waits of each that find a light slot */

static u32 retractors;

static void look_at(const u32 *at, u32 times)
{
	while (at && times--)
		if (*(const volatile u32 *)at != ALIVE)
			hca_fetch_add(&wrong, 1);
}

/* Mostly short entries, which make the slot light; now and then a long one, which makes it fenced, and one within another. */
static void *use_busily(void *arg)
{
	struct hca_quiesce_mark outer, inner;
	const u32 *at;
	u32 i;

	for (i = (u32)(uintptr_t)arg; hca_load(&retractors); i++) {
		hca_quiesce_enter_for(&quiesce, &outer, i % 61 ? 0 : HCA_QUIESCE_LONG);
		at = hca_load_acquire(&current[i % RETRACTORS]);
		look_at(at, i % 4);
		if (i % 13 == 0) {
			hca_quiesce_enter_for(&quiesce, &inner, i % 2 ? 0 : HCA_QUIESCE_LONG);
			look_at(at, 1);
			hca_quiesce_leave(&inner);
		}
		look_at(at, 1 + i % 8);
		hca_quiesce_leave(&outer);
	}
	return arg;
}

static bool any_light(void)
{
	u32 i, light = 0;

	for (i = 0; i < HCA_SLOTS; i++)
		light += hca_load(&quiesce.slot[i].light) == HCA_QUIESCE_LIGHT;
	return light;
}

static void *retract(void *arg)
{
	u32 n = (u32)(uintptr_t)arg, found = 0, i, k, *at;

	for (i = 0; found < TURNS; i++) {
		at = malloc(sizeof(*at));
		if (!at)
			abort();
		*at = ALIVE;
		hca_store_release(&current[n], at);
		for (k = 0; k < i % 64 * 50 && !any_light(); k++)
			hca_pause();
		found += any_light();
		hca_store(&current[n], NULL);
		hca_quiesce_wait(&quiesce);
		*at = ~ALIVE;
		free(at);
	}
	hca_fetch_add(&retractors, (u32)-1);
	return arg;
}

static void slots_turn_light_and_fenced(void **state)
{
	pthread_t reader[BUSY], waiter[RETRACTORS];
	uintptr_t i;

	(void)state;
	hca_quiesce_init(&quiesce);
	quiesce.stay = 3;
	retractors = RETRACTORS;
	wrong = 0;
	for (i = 0; i < BUSY; i++)
		assert_int_equal(pthread_create(&reader[i], NULL, use_busily, (void *)i), 0);
	for (i = 0; i < RETRACTORS; i++)
		assert_int_equal(pthread_create(&waiter[i], NULL, retract, (void *)i), 0);
	for (i = 0; i < RETRACTORS; i++)
		pthread_join(waiter[i], NULL);
	for (i = 0; i < BUSY; i++)
		pthread_join(reader[i], NULL);
	assert_int_equal(wrong, 0);
	for (i = 0; i < HCA_SLOTS; i++) {
		assert_int_equal(quiesce.slot[i].inside[0] | quiesce.slot[i].inside[1], 0);
		assert_int_not_equal(quiesce.slot[i].light, HCA_QUIESCE_ASKED);
	}
	assert_int_equal(quiesce.fencing | quiesce.driven, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_used_after_its_wait),
		cmocka_unit_test(slots_change_hands),
		cmocka_unit_test(slots_turn_light_and_fenced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
