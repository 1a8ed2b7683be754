/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A ring that gets empty just when its writer finds it full. send.c is compiled in here, so that the test can act at that moment;
 * and its timer never runs, so that nothing but the reader's word brings the writer back.
 */
#include "station_fixture.h"

#include "wire/shm/message.h"

/* Before the reader is asked to tell of room, and after it was asked in vain. */
static void (*before_want)(void);
static void (*on_full)(void);

static inline void act_once(void (**what)(void))
{
	void (*act)(void) = *what;

	*what = NULL;
	if (act)
		act();
}

static inline int want_and_act(struct shm_lane *l, u32 bytes, void **at)
{
	int err;

	act_once(&before_want);
	err = shm_lane_want(l, bytes, at);
	if (err == -EAGAIN)
		act_once(&on_full);
	return err;
}

static inline void no_timer(struct hca_timer *t, u64 at)
{
	(void)t;
	(void)at;
}

#define shm_lane_want want_and_act
#define hca_timer_start no_timer
#include "../src/wire/shm/send.c"
#undef hca_timer_start
#undef shm_lane_want

/* No thread of the node takes in, and none is asked to. */
static bool is_idle(struct station *s, u32 from)
{
	const struct hca_fabric_node *own = s->shm->node.head;

	return !(hca_load(&own->pending[from / 64]) >> from % 64 & 1) && !hca_load(&s->shm->taking);
}

static u32 sent;

static void fill_it(void)
{
	shm_take_begin(b.shm);
	for (sent = 0; sent < HCA_SHM_REQUEST_BYTES / (4096 + offsetof(struct hca_fabric_message, plain)); sent++)
		assert_int_equal(send_one(&a, &b, sent, 4096, false), HCA_ANSWER_PENDING);
}

/* The reader takes all in and says so, and the writer's helper has looked, or waits for the lock to look. */
static void empty_it(void)
{
	const struct shm_peer *p = a.shm->peer[b.port.lid];

	shm_take_end(b.shm);
	while (hca_load(&b.messages) < sent || hca_load(&p->out.lane[HCA_FABRIC_REQUESTS].shared->wanted))
		hca_shm_poll(b.shm), hca_pause();
	while (!hca_load(&p->blocked) && !is_idle(&a, b.port.lid))
		hca_pause();
}

static void the_reader_says_that_there_is_room(void **state)
{
	(void)state;
	fill_it();
	on_full = empty_it;
	assert_int_equal(send_one(&a, &b, sent, 4096, true), HCA_ANSWER_LATER);
	assert_null(on_full);
	while (!is_idle(&a, b.port.lid))
		hca_pause();
	assert_int_equal(hca_load(&a.readies), 1);
	assert_int_equal(send_one(&a, &b, sent, 4096, true), HCA_ANSWER_PENDING);
	wait_for(&b, &b.messages, sent + 1);
}

static void take_all_in(void)
{
	shm_take_end(b.shm);
	while (hca_load(&b.messages) < sent)
		hca_shm_poll(b.shm), hca_pause();
}

/* It was full, and isn't when it is looked at again: nothing waits, and nothing that follows has to. */
static void not_full_after_all(void **state)
{
	(void)state;
	fill_it();
	before_want = take_all_in;
	assert_int_equal(send_one(&a, &b, sent, 4096, true), HCA_ANSWER_PENDING);
	assert_null(before_want);
	assert_false(hca_load(&a.shm->peer[b.port.lid]->blocked));
	wait_for(&b, &b.messages, sent + 1);
}

#define WITH_ALL(t) cmocka_unit_test_setup_teardown(t, open_all, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ALL(the_reader_says_that_there_is_room),
		WITH_ALL(not_full_after_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
