/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Threads that use one communication manager at once, by seed. thread_cm has the real threads. */
#include "cm_fixture.h"

#define SEEDS 300u

static u32 in_handlers; /* atomic: of the ID that is destroyed */
static u32 gone; /* atomic */
static u32 wrong;

static void looks(struct hca_cm_id *id, const struct hca_cm_event *event, struct user *u)
{
	(void)id;
	(void)event;
	if (u != b)
		return;
	wrong += hca_load(&gone);
	if (hca_fetch_add(&in_handlers, 1))
		wrong++;
	hca_pause();
	wrong += hca_load(&gone);
	hca_fetch_add(&in_handlers, (u32)-1);
}

static void destroys(void *arg)
{
	struct user *u = arg;
	u32 i;

	for (i = hca_random_u32() % 32; i; i--)
		hca_pause();
	hca_cm_destroy(u->id);
	u->id = NULL;
	hca_store(&gone, 1u);
}

static void brings_an_rtu(void *arg)
{
	struct wire_mad m = *(const struct wire_mad *)arg;

	hca_cm_recv(&cms[m.to], &m.from, m.bytes, HCA_MAD_BYTES);
}

static void lets_time_pass(void *arg)
{
	(void)arg;
	test_clock_advance(TRY_NS);
	hca_eq_run(&eq);
}

/* Messages, the timer, and the end of the ID at once. */
static void destroyed_while_messages_come(void **state)
{
	static struct wire_mad rtu, dreq;
	void (*const fns[])(void *) = { brings_an_rtu, brings_an_rtu, destroys, lets_time_pass };
	void *const args[] = { &rtu, &dreq, &users[0], NULL };
	u32 told = 0, untold = 0;
	u64 seed;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		begin_connection();
		accept_it();
		settle();
		expect_event(a, HCA_CM_EVENT_REPLY, 0);
		assert_int_equal(hca_cm_ready(a->id, NULL, 0), 0);
		assert_int_equal(hca_cm_disconnect(a->id, NULL, 0), 0);
		rtu = wire[first_mad];
		dreq = wire[(first_mad + 1) % MADS];
		mads = 0;
		on_event = looks;
		gone = in_handlers = wrong = 0;
		assert_int_equal(test_run_threads(seed, 4, fns, args, NULL), 0);
		assert_int_equal(wrong, 0);
		settle();
		on_event = NULL;
		told += b->events > 1;
		untold += b->events == 1;
		b->seen = b->events;
		a->seen = a->events;
		pass(40 * MS);
		a->seen = a->events;
		end_connection();
	}
	assert_true(told && untold);
}

static u32 busy[USERS +
		2]; /* atomic: handlers of an ID that are under way; of one that was destroyed in its handler, none */

static void is_alone(struct hca_cm_id *id, const struct hca_cm_event *event, struct user *u)
{
	u32 *mine = &busy[u >= users && u < users + USERS ? (u32)(u - users) : USERS];

	if (u == &active_user)
		mine = &busy[USERS + 1];
	wrong += hca_fetch_add(mine, 1) != 0;
	hca_pause();
	accepts_and_goes_along(id, event, u);
	hca_pause();
	hca_fetch_add(mine, (u32)-1);
}

static void brings_messages(void *arg)
{
	static u32 turns;
	u32 i;

	(void)arg;
	for (i = 0; i < 60; i++) {
		if (mads)
			deliver_one();
		else
			hca_store(&turns, i);
		hca_eq_run(&eq);
	}
}

/* Whoever brings a message may tell of it, or of another one: still an ID's events are told one at a time, and end once. */
static void several_threads_bring_messages(void **state)
{
	static struct user second;
	void (*const fns[])(void *) = { brings_messages, brings_messages, brings_messages };
	void *const args[] = { NULL, NULL, NULL };
	u64 seed;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		open_cms(0);
		listener = listen_at(1, SERVICE);
		on_event = is_alone;
		memset(busy, 0, sizeof(busy));
		wrong = 0;
		create(0, &active_user);
		create(0, &second);
		connect_to(1, &active_user, 0x100);
		connect_to(1, &second, 0x101);
		twice[HCA_CM_REQ - HCA_CM_ATTR_FIRST] = 1;
		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		settle();
		expect_state(&active_user, HCA_CM_ESTABLISHED);
		expect_state(&second, HCA_CM_ESTABLISHED);
		hca_cm_destroy(active_user.id);
		hca_cm_destroy(second.id);
		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		assert_int_equal(wrong, 0);
		pass(40 * MS);
		assert_int_equal(requested, 2);
		assert_int_equal(cms[0].ids, 0);
		assert_int_equal(cms[1].ids, 1);
		hca_cm_destroy(listener);
		close_cms();
	}
}

static void destroys_the_listener_too(void *arg)
{
	(void)arg;
	hca_cm_destroy(listener);
}

static void connects(void *arg)
{
	struct user *u = arg;

	connect_to(1, u, 0x100 + u->id->comm_id % 0x10000);
	while (mads)
		deliver_one();
}

static void ends_what_it_is_told_of(struct hca_cm_id *id, const struct hca_cm_event *event, struct user *u)
{
	if (event->type == HCA_CM_EVENT_REQUEST) {
		hca_cm_destroy(id);
		u->id = NULL;
	}
}

/* Requests come while their listener goes: each is told of, or rejected. */
static void a_listener_ends_while_requests_come(void **state)
{
	static struct user u[2];
	void (*const fns[])(void *) = { connects, destroys_the_listener_too, connects };
	void *const args[] = { &u[0], NULL, &u[1] };
	u32 i, told = 0, refused = 0;
	u64 seed;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		open_cms(0);
		listener = listen_at(1, SERVICE);
		on_event = ends_what_it_is_told_of;
		create(0, &u[0]);
		create(0, &u[1]);
		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		settle();
		assert_int_equal(cms[1].ids, 0);
		for (i = 0; i < 2; i++) {
			expect_event(&u[i], HCA_CM_EVENT_REJECTED, 0);
			told += u[i].msg[0].reason == HCA_CM_REJ_CONSUMER;
			refused += u[i].msg[0].reason == HCA_CM_REJ_INVALID_SERVICE_ID;
			hca_cm_destroy(u[i].id);
		}
		close_cms();
	}
	assert_true(told && refused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(destroyed_while_messages_come),
		T(several_threads_bring_messages),
		T(a_listener_ends_while_requests_come),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
