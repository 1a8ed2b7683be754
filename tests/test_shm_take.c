/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the wire between processes does with messages and replies, with clients that are no adapters: order, replies that have no room,
 * a peer that takes nothing in, and one that writes garbage.
 */
#include "station_fixture.h"

#include "wire/shm/message.h"

/* --- order --- */

/* While the first message is taken in, its sender writes a reply, and then the second one. */
static void reply_and_message(const struct hca_msg *m)
{
	if (m->number != 1)
		return;
	answer_one(&b, &a, 100);
	assert_int_equal(send_one(&b, &a, 2, 8, true), HCA_ANSWER_PENDING);
}

static void a_reply_comes_before_what_followed_it(void **state)
{
	(void)state;
	a.on_message = reply_and_message;
	assert_int_equal(send_one(&b, &a, 1, 8, true), HCA_ANSWER_PENDING);
	wait_for(&a, &a.logged, 3);
	assert_memory_equal(a.log, "mrm", 3);
	assert_int_equal(a.number[2], 2);
}

/* --- hints --- */

static bool has_hint(const struct station *s, u32 from)
{
	const struct hca_fabric_node *own = s->shm->node.head;

	return hca_load(&own->summary) >> from / 64 & 1 && hca_load(&own->pending[from / 64]) >> from % 64 & 1;
}

/*
 * A sender finds its hint at a program that polls, and needn't write it: but for the first messages, and whenever we didn't poll for so
 * long that the helper came. What arrives when the program polls no more is the helper's, though the hint was there before.
 */
static void hints_stay_while_it_polls(void **state)
{
	u32 n, clear = 0, turns = 0;

	(void)state;
	while (!hca_load(&b.shm->away))
		hca_shm_poll(b.shm), hca_pause();
	for (n = 0; n < 1000; n++) {
		clear += !has_hint(&b, a.port.lid);
		assert_int_equal(send_one(&a, &b, n, 8, false), HCA_ANSWER_PENDING);
		while (hca_load_acquire(&b.messages) == n)
			hca_shm_poll(b.shm);
	}
	assert_true(clear < 500);
	assert_int_equal(send_one(&a, &b, n, 8, false), HCA_ANSWER_PENDING);
	while (hca_load_acquire(&b.messages) == n)
		hca_relax(&turns);
	/* And it doesn't stay when nothing comes. */
	while (has_hint(&b, a.port.lid))
		hca_shm_poll(b.shm);
}

#define FEW 6u

/* Those who sent once aren't looked at for ever because another one goes on sending. */
static void hints_of_idle_nodes_go(void **state)
{
	static struct station once[FEW];
	u32 i, n, left = 0;

	(void)state;
	for (i = 0; i < FEW; i++)
		assert_int_equal(open_station(&once[i]), 0);
	/* The first of each has its ring opened, for which all hints are taken back. */
	assert_int_equal(send_one(&a, &b, 0, 8, false), HCA_ANSWER_PENDING);
	wait_for(&b, &b.messages, 1);
	for (n = 1; n <= FEW; n++) {
		assert_int_equal(send_one(&once[n % FEW], &b, n, 8, false), HCA_ANSWER_PENDING);
		wait_for(&b, &b.messages, n + 1);
	}
	while (!hca_load(&b.shm->away))
		hca_shm_poll(b.shm), hca_pause();
	for (; n <= 3 * FEW; n++) {
		assert_int_equal(send_one(&once[n % FEW], &b, n, 8, false), HCA_ANSWER_PENDING);
		wait_for(&b, &b.messages, n + 1);
	}
	for (; n < 200; n++) {
		assert_int_equal(send_one(&a, &b, n, 8, false), HCA_ANSWER_PENDING);
		wait_for(&b, &b.messages, n + 1);
	}
	for (i = 0; i < FEW; i++)
		left += has_hint(&b, once[i].port.lid);
	assert_true(left <= 4);
	for (i = 0; i < FEW; i++)
		close_station(&once[i]);
}

/* --- the helper's sleep --- */

#define NS_PER_US 1000ull

static bool sleeps(const struct station *s)
{
	return hca_load(&s->shm->node.head->sleeping);
}

/* Whether the helper sleeps, looks on, or is on its way from one to the other when an entry comes: it takes the entry in. */
static void entries_at_any_distance(void **state)
{
	u32 n, turns = 0;
	u64 until;

	(void)state;
	for (n = 0; n < 3000; n++) {
		assert_int_equal(send_one(&a, &b, n, 8, false), HCA_ANSWER_PENDING);
		wait_for(&b, &b.messages, n + 1);
		for (until = hca_now_ns() + n * 37 % 120 * NS_PER_US; hca_now_ns() < until;)
			hca_pause();
	}
	while (!sleeps(&b))
		hca_relax(&turns);
}

static u32 enough; /* atomic */

static void *send_all_the_time(void *arg)
{
	u32 n, turns = 0;

	(void)arg;
	for (n = 0; !hca_load(&enough); n++)
		while (send_one(&a, &b, n, 8, false) == HCA_ANSWER_LATER && !hca_load(&enough))
			hca_relax(&turns);
	return NULL;
}

/* Though there is always an entry that the helper could take. */
static void a_program_that_polls_takes_over(void **state)
{
	pthread_t sender;
	u32 turns;

	(void)state;
	hca_store(&enough, 0u);
	assert_int_equal(pthread_create(&sender, NULL, send_all_the_time, NULL), 0);
	/* The helper has begun to look on. */
	for (turns = 0; hca_load(&b.messages) < 10000;)
		hca_relax(&turns);
	while (!hca_load(&b.shm->away))
		hca_shm_poll(b.shm);
	hca_store(&enough, 1u);
	pthread_join(sender, NULL);
}

/* --- replies that have no room --- */

#define MANY 5000u /* more than a lane of replies holds */

static void messages_stay_where_replies_have_no_room(void **state)
{
	u32 sent = 0, held;

	(void)state;
	/* a takes nothing in: neither replies nor messages. */
	shm_take_begin(a.shm);
	while (sent < MANY) {
		if (send_one(&a, &b, sent, 8, true) == HCA_ANSWER_PENDING)
			sent++;
		else
			hca_pause();
		hca_shm_poll(b.shm);
		if (hca_load(&b.messages) > HCA_SHM_REPLY_BYTES / sizeof(struct hca_fabric_reply))
			break;
		if (sent >= HCA_SHM_REPLY_BYTES / sizeof(struct hca_fabric_reply) + 1000)
			break;
	}
	while (hca_load(&b.messages) < HCA_SHM_REPLY_BYTES / sizeof(struct hca_fabric_reply))
		hca_shm_poll(b.shm);
	held = hca_load(&b.messages);
	assert_int_equal(held, HCA_SHM_REPLY_BYTES / sizeof(struct hca_fabric_reply));
	assert_true(sent > held);
	/* What b sends is taken in all the same when a goes on. */
	shm_take_end(a.shm);
	wait_for(&a, &a.replies, sent);
	assert_int_equal(hca_load(&b.messages), sent);
}

static void late_replies_wait(void **state)
{
	u32 i;

	(void)state;
	b.answer = HCA_ANSWER_PENDING;
	assert_int_equal(send_one(&a, &b, 0, 8, true), HCA_ANSWER_PENDING);
	wait_for(&b, &b.messages, 1);
	shm_take_begin(a.shm);
	for (i = 0; i < MANY; i++)
		answer_one(&b, &a, i);
	assert_non_null(hca_load(&b.shm->peer[a.port.lid]->late));
	/* As long as they wait nothing else of that peer is taken in. */
	assert_int_equal(send_one(&a, &b, 1, 8, true), HCA_ANSWER_PENDING);
	for (i = 0; i < 1000; i++)
		hca_shm_poll(b.shm);
	assert_int_equal(hca_load(&b.messages), 1);
	shm_take_end(a.shm);
	wait_for(&a, &a.replies, MANY);
	wait_for(&b, &b.messages, 2);
	for (i = 0; i < MANY; i++)
		assert_int_equal(a.number[i], i);
	assert_null(hca_load(&b.shm->peer[a.port.lid]->late));
}

/* To the own node: answered from outside. */
static void own_replies_come_by_the_poll(void **state)
{
	(void)state;
	answer_one(&a, &a, 7);
	wait_for(&a, &a.replies, 1);
	assert_int_equal(a.number[0], 7);
}

/* --- a peer that takes nothing in --- */

static void one_that_is_stopped(void **state)
{
	u32 sent = 0, readies;

	(void)state;
	shm_take_begin(b.shm);
	while (send_one(&a, &b, sent, 4096, true) == HCA_ANSWER_PENDING)
		sent++;
	assert_int_equal(sent, HCA_SHM_REQUEST_BYTES / (4096 + offsetof(struct hca_fabric_message, plain)));
	assert_int_equal(send_one(&a, &b, sent, 4096, true), HCA_ANSWER_LATER);
	/* Small ones don't pass. */
	assert_int_equal(send_one(&a, &b, sent, 8, true), HCA_ANSWER_LATER);
	assert_int_equal(send_one(&a, &b, sent, 8, false), HCA_ANSWER_LATER);
	/* Another one is reached. */
	assert_int_equal(send_one(&a, &c, 1, 4096, true), HCA_ANSWER_PENDING);
	wait_for(&c, &c.messages, 1);
	/* In a while datagrams are lost, so that those behind them go; what is reliable waits on, and tries now and then. */
	readies = hca_load(&a.readies);
	while (hca_load(&a.readies) < readies + 2)
		hca_pause();
	assert_int_equal(send_one(&a, &b, sent, 8, false), HCA_ANSWER_ACK);
	assert_int_equal(send_one(&a, &b, sent, 8, true), HCA_ANSWER_LATER);
	readies = hca_load(&a.readies);
	shm_take_end(b.shm);
	wait_for(&b, &b.messages, sent);
	while (hca_load(&a.readies) == readies)
		hca_shm_poll(a.shm), hca_pause();
	assert_int_equal(send_one(&a, &b, sent, 8, true), HCA_ANSWER_PENDING);
	wait_for(&b, &b.messages, sent + 1);
}

/* --- garbage --- */

static void one_that_writes_garbage(void **state)
{
	struct shm_ring ring = { 0 };
	struct shm_lane *lane = &ring.lane[HCA_FABRIC_REQUESTS];
	void *at = NULL;
	u32 i;

	(void)state;
	assert_int_equal(send_one(&b, &a, 1, 8, true), HCA_ANSWER_PENDING);
	wait_for(&a, &a.messages, 1);
	wait_for(&b, &b.replies, 1);
	assert_int_equal(shm_ring_open(a.shm->dir, "ring.2.1", &ring), 0);
	lane->pos = lane->shared->head;
	lane->seen = lane->shared->tail;
	assert_int_equal(shm_lane_room(lane, 128, &at), 0);
	memset(at, 0xff, 128);
	hca_store((u32 *)at, 128u);
	shm_lane_commit(lane, 128);
	(void)shm_node_tell(a.shm->node.head, b.port.lid);
	wait_for(&a, &a.deaths, 1);
	/* It isn't heard any more, nor answered, nor sent to; another one is. */
	assert_int_equal(hca_load(&a.messages), 1);
	assert_int_equal(send_one(&a, &b, 3, 8, true), HCA_ANSWER_NONE);
	for (i = 0; i < 100; i++) {
		(void)send_one(&b, &a, 2, 8, true);
		hca_shm_poll(a.shm);
	}
	assert_int_equal(hca_load(&a.messages), 1);
	assert_int_equal(send_one(&c, &a, 4, 8, true), HCA_ANSWER_PENDING);
	wait_for(&a, &a.messages, 2);
	shm_ring_unmap(&ring);
}

#define WITH_ALL(t) cmocka_unit_test_setup_teardown(t, open_all, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ALL(a_reply_comes_before_what_followed_it),
		WITH_ALL(hints_stay_while_it_polls),
		WITH_ALL(hints_of_idle_nodes_go),
		WITH_ALL(entries_at_any_distance),
		WITH_ALL(a_program_that_polls_takes_over),
		WITH_ALL(messages_stay_where_replies_have_no_room),
		WITH_ALL(late_replies_wait),
		WITH_ALL(own_replies_come_by_the_poll),
		WITH_ALL(one_that_is_stopped),
		WITH_ALL(one_that_writes_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
