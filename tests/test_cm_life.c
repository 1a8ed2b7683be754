/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The lives of the communication manager's IDs: destroyed in every state, in handlers
 * and with events that wait; listeners and who gets what; memory that is short, limits,
 * thousands of connections; wires that lose, double and shuffle.
 */
#include "cm_fixture.h"

/* --- events that gather --- */

static void (*meanwhile)(void);

static void holds(struct hca_eq_node *node)
{
	(void)node;
	while (mads)
		deliver_one();
	meanwhile();
}

/* In a handler no other one is called in this thread: events of what is on the wire wait while @fn runs. */
static void gather(void (*fn)(void))
{
	struct hca_eq_node node = { .fire = holds };

	meanwhile = fn;
	hca_eq_add(&eq, &node);
	hca_eq_run(&eq);
}

/* --- destroyed in every state --- */

static void reach(enum hca_cm_state state, bool passive)
{
	struct user *first, *second;

	begin_connection();
	if (state == HCA_CM_REQ_RCVD || state == HCA_CM_REQ_SENT)
		return;
	if (state == HCA_CM_MRA_REQ_SENT || state == HCA_CM_REP_WAIT) {
		assert_int_equal(hca_cm_delay(b->id, 20, NULL, 0), 0);
		settle();
		expect_event(a, HCA_CM_EVENT_MRA, 0);
		return;
	}
	accept_it();
	settle();
	expect_event(a, HCA_CM_EVENT_REPLY, 0);
	if (state == HCA_CM_REP_SENT || state == HCA_CM_REP_RCVD)
		return;
	if (state == HCA_CM_MRA_REP_RCVD || state == HCA_CM_MRA_REP_SENT) {
		assert_int_equal(hca_cm_delay(a->id, 20, NULL, 0), 0);
		settle();
		expect_event(b, HCA_CM_EVENT_MRA, 0);
		return;
	}
	assert_int_equal(hca_cm_ready(a->id, NULL, 0), 0);
	settle();
	expect_event(b, HCA_CM_EVENT_ESTABLISHED, 0);
	if (state == HCA_CM_ESTABLISHED)
		return;
	first = (state == HCA_CM_DREQ_RCVD) != passive ? b : a;
	second = first == a ? b : a;
	assert_int_equal(hca_cm_disconnect(first->id, NULL, 0), 0);
	if (state == HCA_CM_DREQ_SENT)
		return; /* on its way */
	settle();
	expect_event(second, HCA_CM_EVENT_DISCONNECT, 0);
	if (state == HCA_CM_DREQ_RCVD)
		return;
	assert_int_equal(hca_cm_disconnect(second->id, NULL, 0), 0);
	settle();
	expect_event(first, HCA_CM_EVENT_DISCONNECTED, 0);
}

static void destroyed_in_every_state(void **state)
{
	static const struct {
		enum hca_cm_state state;
		bool passive;
		enum hca_cm_attr sends; /* at once */
		enum hca_cm_event_type peer; /* what its peer is told */
		bool lives_on;
	} row[] = {
		{ HCA_CM_REQ_SENT, false, HCA_CM_REJ, HCA_CM_EVENT_REJECTED, false },
		{ HCA_CM_REP_WAIT, false, HCA_CM_REJ, HCA_CM_EVENT_REJECTED, false },
		{ HCA_CM_REP_RCVD, false, HCA_CM_REJ, HCA_CM_EVENT_REJECTED, true },
		{ HCA_CM_MRA_REP_SENT, false, HCA_CM_REJ, HCA_CM_EVENT_REJECTED, true },
		{ HCA_CM_REQ_RCVD, true, HCA_CM_REJ, HCA_CM_EVENT_REJECTED, false },
		{ HCA_CM_MRA_REQ_SENT, true, HCA_CM_REJ, HCA_CM_EVENT_REJECTED, false },
		{ HCA_CM_REP_SENT, true, HCA_CM_REJ, HCA_CM_EVENT_REJECTED, true },
		{ HCA_CM_MRA_REP_RCVD, true, HCA_CM_REJ, HCA_CM_EVENT_REJECTED, true },
		{ HCA_CM_ESTABLISHED, false, HCA_CM_DREQ, HCA_CM_EVENT_DISCONNECT, true },
		{ HCA_CM_ESTABLISHED, true, HCA_CM_DREQ, HCA_CM_EVENT_DISCONNECT, true },
		{ HCA_CM_DREQ_SENT, false, 0, HCA_CM_EVENT_DISCONNECT, true },
		{ HCA_CM_DREQ_SENT, true, 0, HCA_CM_EVENT_DISCONNECT, true },
		{ HCA_CM_DREQ_RCVD, false, HCA_CM_DREP, HCA_CM_EVENT_DISCONNECTED, true },
		{ HCA_CM_DREQ_RCVD, true, HCA_CM_DREP, HCA_CM_EVENT_DISCONNECTED, true },
		{ HCA_CM_TIMEWAIT, false, 0, HCA_CM_EVENT_NONE, true },
		{ HCA_CM_TIMEWAIT, true, 0, HCA_CM_EVENT_NONE, true },
	};
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(row); i++) {
		u32 side = row[i].passive, n, ids;
		struct user *own, *peer;

		reach(row[i].state, row[i].passive);
		own = row[i].passive ? b : a;
		peer = row[i].passive ? a : b;
		expect_state(own, row[i].state);
		n = sends[side];
		ids = cms[side].ids;
		hca_cm_destroy(own->id);
		own->id = NULL;
		assert_int_equal(sends[side] - n, row[i].sends != 0);
		if (row[i].sends)
			assert_int_equal(last_sent[side].attr, row[i].sends);
		assert_int_equal(cms[side].ids, ids - !row[i].lives_on);
		settle();
		if (row[i].peer)
			expect_event(peer, row[i].peer, 0);
		if (row[i].peer == HCA_CM_EVENT_DISCONNECT)
			assert_int_equal(hca_cm_disconnect(peer->id, NULL, 0), 0);
		if (peer->id->state != HCA_CM_CLOSED && peer->id->state != HCA_CM_TIMEWAIT)
			fail_msg("row %u: the peer is in state %u", i, peer->id->state);
		pass(200 * MS);
		if (peer->seen < peer->events)
			expect_event(peer, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
		own->seen = own->events;
		end_connection();
	}
}

/* What it still sends it repeats, without its consumer. */
static void an_end_is_repeated_without_the_consumer(void **state)
{
	(void)state;
	make_connection();
	lose[HCA_CM_DREQ - HCA_CM_ATTR_FIRST] = 2;
	hca_cm_destroy(a->id);
	a->id = NULL;
	pass(2 * TRY_NS + MS);
	expect_event(b, HCA_CM_EVENT_DISCONNECT, 0);
	expect_sent(0, HCA_CM_DREQ, HCA_CM_DREQ, HCA_CM_DREQ, 0);
	assert_int_equal(cms[0].ids, 1);
	assert_int_equal(hca_cm_disconnect(b->id, NULL, 0), 0);
	settle();
	pass(10 * MS);
	assert_int_equal(cms[0].ids, 0);
	expect_event(b, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	end_connection();
}

/* --- destroyed in handlers --- */

static enum hca_cm_event_type destroy_at;

static void destroys_its_id(struct hca_cm_id *id, const struct hca_cm_event *event, struct user *u)
{
	struct hca_cm_msg rep = make_rep(0x200);

	if (event->type == destroy_at) {
		hca_cm_destroy(id);
		u->id = NULL;
	} else if (event->type == HCA_CM_EVENT_REQUEST) {
		assert_int_equal(hca_cm_accept(id, &rep), 0);
	} else if (event->type == HCA_CM_EVENT_REPLY) {
		assert_int_equal(hca_cm_ready(id, NULL, 0), 0);
	} else if (event->type == HCA_CM_EVENT_ESTABLISHED || event->type == HCA_CM_EVENT_DISCONNECT) {
		assert_int_equal(hca_cm_disconnect(id, NULL, 0), 0);
	}
}

static void destroyed_in_its_handler(void **state)
{
	static const enum hca_cm_event_type types[] = {
		HCA_CM_EVENT_REQUEST,	 HCA_CM_EVENT_REPLY,	    HCA_CM_EVENT_ESTABLISHED,
		HCA_CM_EVENT_DISCONNECT, HCA_CM_EVENT_DISCONNECTED, HCA_CM_EVENT_TIMEWAIT_EXIT,
	};
	u32 i, at;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(types); i++) {
		open_cms(0);
		listener = listen_at(1, SERVICE);
		a = &active_user;
		b = &users[0];
		memset(b, 0, sizeof(*b));
		create(0, a);
		on_event = destroys_its_id;
		destroy_at = types[i];
		connect_to(1, a, 0x100);
		pass(200 * MS);
		/* That event was the last of whoever had it. */
		for (at = 0; at < 2; at++) {
			struct user *u = at ? b : a;

			assert_int_equal(!u->id, u->events && u->told[u->events - 1] == types[i]);
			u->seen = u->events;
		}
		assert_true(!a->id || !b->id);
		end_connection();
	}
}

static void destroys_the_listener(struct hca_cm_id *id, const struct hca_cm_event *event, struct user *u)
{
	(void)id;
	(void)u;
	if (event->type != HCA_CM_EVENT_REQUEST)
		return;
	hca_cm_destroy(event->listener);
	listener = NULL;
}

static void all_three_are_there(void)
{
	assert_int_equal(requested, 0);
	assert_int_equal(listener->requests, 3);
}

/* The requests behind it are rejected; the one that it is told of lives. */
static void a_listener_ends_in_its_handler(void **state)
{
	static struct user u[3];
	u32 i;

	(void)state;
	open_cms(0);
	listener = listen_at(1, SERVICE);
	on_event = destroys_the_listener;
	for (i = 0; i < 3; i++) {
		create(0, &u[i]);
		connect_to(1, &u[i], 0x100 + i);
	}
	gather(all_three_are_there);
	settle();
	assert_null(listener);
	assert_int_equal(requested, 1);
	expect_event(&u[1], HCA_CM_EVENT_REJECTED, 0);
	expect_event(&u[2], HCA_CM_EVENT_REJECTED, 0);
	assert_int_equal(u[0].events, 0);
	assert_int_equal(hca_cm_accept(users[0].id, &(const struct hca_cm_msg){ .qpn = 0x200 }), 0);
	settle();
	expect_event(&u[0], HCA_CM_EVENT_REPLY, 0);
	on_event = NULL;
	for (i = 0; i < 3; i++)
		hca_cm_destroy(u[i].id);
	settle();
	expect_event(&users[0], HCA_CM_EVENT_REQUEST, 0);
	expect_event(&users[0], HCA_CM_EVENT_REJECTED, 0);
	hca_cm_destroy(users[0].id);
	pass(10 * MS);
	close_cms();
}

/* --- with events that wait --- */

static void destroy_with_two_events(void)
{
	assert_int_equal(a->id->pending, 1u << HCA_CM_SLOT_MRA | 1u << HCA_CM_SLOT_END);
	hca_cm_destroy(a->id);
	a->id = NULL;
}

static void destroyed_with_events_waiting(void **state)
{
	static const struct hca_cm_msg rej = { .reason = HCA_CM_REJ_CONSUMER };

	(void)state;
	begin_connection();
	/* An MRA and a REJ wait for the active side. */
	assert_int_equal(hca_cm_delay(b->id, 20, NULL, 0), 0);
	assert_int_equal(hca_cm_reject(b->id, &rej), 0);
	gather(destroy_with_two_events);
	settle();
	no_more_events(a);
	end_connection();
}

static void three_events_wait(void)
{
	assert_int_equal(b->id->pending, 1u << HCA_CM_SLOT_MRA | 1u << HCA_CM_SLOT_OPEN | 1u << HCA_CM_SLOT_END);
	assert_int_equal(b->events, 1);
}

/* All that an ID can have to tell waits at once, and is told in order with every byte of it. */
static void all_events_at_once(void **state)
{
	static u8 data[HCA_CM_PRIVATE_MAX];
	u32 i;

	(void)state;
	for (i = 0; i < sizeof(data); i++)
		data[i] = (u8)(i + 1);
	begin_connection();
	accept_it();
	settle();
	expect_event(a, HCA_CM_EVENT_REPLY, 0);
	assert_int_equal(hca_cm_delay(a->id, 5, data, 222), 0);
	assert_int_equal(hca_cm_ready(a->id, data, 224), 0);
	assert_int_equal(hca_cm_disconnect(a->id, data, 220), 0);
	gather(three_events_wait);
	settle();
	expect_event(b, HCA_CM_EVENT_MRA, 0);
	expect_event(b, HCA_CM_EVENT_ESTABLISHED, 0);
	assert_memory_equal(b->data[2], data, 224);
	expect_event(b, HCA_CM_EVENT_DISCONNECT, 0);
	assert_memory_equal(b->data[3], data, 220);
	end_connection();
}

/* What comes while the consumer is told of a request isn't told by another thread: the ID's own events begin after that. */
static void is_told_of_a_request(struct hca_cm_id *id, const struct hca_cm_event *event, struct user *u)
{
	struct hca_cm_msg rep = make_rep(0x200);

	(void)u;
	if (event->type != HCA_CM_EVENT_REQUEST)
		return;
	assert_int_equal(hca_cm_accept(id, &rep), 0);
	while (mads)
		deliver_one();
	assert_int_equal(hca_cm_establish(id), 0);
	assert_int_equal(id->pending, 1u << HCA_CM_SLOT_OPEN);
	assert_false(id->event.queued);
}

static void a_request_comes_first(void **state)
{
	(void)state;
	open_cms(0);
	listener = listen_at(1, SERVICE);
	on_event = is_told_of_a_request;
	a = &active_user;
	b = &users[0];
	create(0, a);
	connect_to(1, a, 0x100);
	settle();
	expect_event(b, HCA_CM_EVENT_REQUEST, 0);
	expect_event(b, HCA_CM_EVENT_ESTABLISHED, 0);
	expect_event(a, HCA_CM_EVENT_REPLY, 0);
	end_connection();
}

/* --- listeners --- */

static void one_listener_to_one_service(void **state)
{
	struct hca_cm_match m = { .mask = { 0xff }, .data = { 7 } };
	struct hca_cm_id *id[6];
	u32 i;

	(void)state;
	open_cms(0);
	for (i = 0; i < 6; i++)
		assert_int_equal(hca_cm_create(&cms[1], handler, NULL, &id[i]), 0);
	assert_int_equal(hca_cm_listen(id[0], SERVICE, ~0ull, NULL, 0), 0);
	assert_int_equal(hca_cm_listen(id[0], SERVICE + 1, ~0ull, NULL, 0), -EINVAL);
	assert_int_equal(hca_cm_listen(id[1], SERVICE, ~0ull, NULL, 0), -EADDRINUSE);
	assert_int_equal(hca_cm_listen(id[1], SERVICE, ~0ull, &m, 0), 0);
	assert_int_equal(hca_cm_listen(id[2], SERVICE, ~0ull, &m, 0), -EADDRINUSE);
	m.data[0] = 8;
	assert_int_equal(hca_cm_listen(id[2], SERVICE, ~0ull, &m, 0), 0);
	assert_int_equal(hca_cm_listen(id[3], SERVICE, ~0xffull, NULL, 0), -EINVAL);
	assert_int_equal(hca_cm_listen(id[3], SERVICE & ~0xffull, ~0xffull, NULL, 0), 0);
	assert_int_equal(hca_cm_listen(id[4], SERVICE & ~0xffull, ~0xffull, NULL, 0), -EADDRINUSE);
	m.data[1] = 1;
	assert_int_equal(hca_cm_listen(id[4], SERVICE, ~0ull, &m, 0), -EINVAL);
	/* What one leaves another may have. */
	hca_cm_destroy(id[0]);
	assert_int_equal(hca_cm_listen(id[4], SERVICE, ~0ull, NULL, 0), 0);
	for (i = 1; i < 6; i++)
		hca_cm_destroy(id[i]);
	close_cms();
}

/* Two addresses and all others, on one port. */
static void who_gets_a_request(void **state)
{
	static const u8 address[] = { 1, 2, 3 };
	static struct user u[4];
	struct hca_cm_match m = { .mask = { [35] = 0xff } };
	struct hca_cm_id *id[4];
	struct hca_ah_attr to = way_to(1);
	u32 i;

	(void)state;
	open_cms(0);
	for (i = 0; i < 4; i++)
		assert_int_equal(hca_cm_create(&cms[1], handler, NULL, &id[i]), 0);
	assert_int_equal(hca_cm_listen(id[0], SERVICE, ~0ull, NULL, 0), 0);
	for (i = 0; i < 2; i++) {
		m.data[35] = address[i];
		assert_int_equal(hca_cm_listen(id[1 + i], SERVICE, ~0ull, &m, 0), 0);
	}
	assert_int_equal(hca_cm_listen(id[3], SERVICE & ~0xffffull, ~0xffffull, NULL, 0), 0);
	for (i = 0; i < 4; i++) {
		struct hca_cm_msg req = make_req(0x100 + i);
		u8 ip[HCA_CM_IP_BYTES] = { [35] = i < 3 ? address[i] : 1 };

		create(0, &u[i]);
		req.private_data = ip;
		req.private_len = sizeof(ip);
		if (i == 3)
			req.service_id++;
		assert_int_equal(hca_cm_connect(u[i].id, &to, &req), 0);
		settle();
		assert_int_equal(requested, i + 1);
		assert_ptr_equal(keep_listener, id[i == 3 ? 3 : (i + 1) % 3]);
	}
	for (i = 0; i < 4; i++) {
		hca_cm_destroy(u[i].id);
		hca_cm_destroy(users[i].id);
		hca_cm_destroy(id[i]);
	}
	settle();
	close_cms();
}

static void two_requests_wait(void)
{
	assert_int_equal(listener->requests, 2);
}

static void a_backlog_is_full(void **state)
{
	static struct user u[5];
	u32 i;

	(void)state;
	open_cms(0);
	assert_int_equal(hca_cm_create(&cms[1], handler, NULL, &listener), 0);
	assert_int_equal(hca_cm_listen(listener, SERVICE, ~0ull, NULL, 2), 0);
	for (i = 0; i < 5; i++) {
		create(0, &u[i]);
		connect_to(1, &u[i], 0x100 + i);
	}
	gather(two_requests_wait);
	settle();
	assert_int_equal(requested, 2);
	expect_sent(1, 0);
	/* The others ask again. */
	pass(TRY_NS + MS);
	assert_int_equal(requested, 5);
	for (i = 0; i < 5; i++) {
		hca_cm_destroy(u[i].id);
		hca_cm_destroy(users[i].id);
	}
	settle();
	hca_cm_destroy(listener);
	close_cms();
}

static void destroy_the_listener_with_three(void)
{
	assert_int_equal(cms[1].ids, 4);
	hca_cm_destroy(listener);
	assert_int_equal(cms[1].ids, 0);
	expect_sent(1, HCA_CM_REJ, HCA_CM_REJ, HCA_CM_REJ, 0);
}

static void a_listener_ends_with_requests_waiting(void **state)
{
	static struct user u[3];
	u32 i;

	(void)state;
	open_cms(0);
	listener = listen_at(1, SERVICE);
	for (i = 0; i < 3; i++) {
		create(0, &u[i]);
		connect_to(1, &u[i], 0x100 + i);
	}
	gather(destroy_the_listener_with_three);
	settle();
	assert_int_equal(requested, 0);
	for (i = 0; i < 3; i++) {
		expect_event(&u[i], HCA_CM_EVENT_REJECTED, 0);
		hca_cm_destroy(u[i].id);
	}
	close_cms();
}

/* --- memory and numbers --- */

static void memory_may_be_short(void **state)
{
	(void)state;
	TEST_FAIL_LOOP(l)
	{
		struct hca_cm_match m = { .mask = { 0 } };
		struct hca_cm_id *id;
		int err;

		if (hca_eq_init(&eq))
			continue;
		err = hca_cm_init(&cms[0], &eq, &fixture_ops, 1, 0);
		assert_true(!err || err == -ENOMEM);
		if (!err) {
			err = hca_cm_create(&cms[0], handler, NULL, &id);
			assert_true(!err || err == -ENOMEM);
			if (!err) {
				err = hca_cm_listen(id, SERVICE, ~0ull, &m, 0);
				assert_true(!err || err == -ENOMEM);
				hca_cm_destroy(id);
			}
			hca_cm_fini(&cms[0]);
		}
		hca_eq_fini(&eq);
	}
}

/* With its IDs there, nothing but a new request needs memory; and that comes again. */
static void a_connection_when_memory_is_short(void **state)
{
	u32 n;

	(void)state;
	for (n = 1; n <= 4; n++) {
		open_cms(0);
		listener = listen_at(1, SERVICE);
		a = &active_user;
		b = &users[0];
		create(0, a);
		connect_to(1, a, 0x100);
		test_fail_at(n);
		pass(TRY_NS + MS);
		expect_event(b, HCA_CM_EVENT_REQUEST, 0);
		accept_it();
		settle();
		expect_event(a, HCA_CM_EVENT_REPLY, 0);
		assert_int_equal(hca_cm_ready(a->id, NULL, 0), 0);
		assert_int_equal(hca_cm_disconnect(a->id, NULL, 0), 0);
		settle();
		expect_event(b, HCA_CM_EVENT_ESTABLISHED, 0);
		expect_event(b, HCA_CM_EVENT_DISCONNECT, 0);
		assert_int_equal(test_fail_hit(), n == 1);
		test_fail_at(0);
		end_connection();
	}
}

static void there_are_so_many_ids(void **state)
{
	static struct user u[4];
	u32 i;

	(void)state;
	open_cms(4);
	assert_int_equal(hca_cm_init(&cms[1], &eq, &fixture_ops, 1, HCA_CM_IDS + 1), -EINVAL);
	hca_cm_fini(&cms[1]);
	assert_int_equal(hca_cm_init(&cms[1], &eq, &fixture_ops, GUID(1), 3), 0);
	listener = listen_at(1, SERVICE);
	for (i = 0; i < 4; i++) {
		create(0, &u[i]);
		connect_to(1, &u[i], 0x100 + i);
	}
	settle();
	assert_int_equal(hca_cm_create(&cms[0], handler, NULL, &keep_listener), -ENOSPC);
	assert_int_equal(requested, 2);
	for (i = 0; i < 2; i++)
		assert_int_equal(expect_event(&u[2 + i], HCA_CM_EVENT_REJECTED, 0)->reason, HCA_CM_REJ_NO_RESOURCES);
	for (i = 0; i < 4; i++)
		hca_cm_destroy(u[i].id);
	settle();
	for (i = 0; i < 2; i++)
		hca_cm_destroy(users[i].id);
	hca_cm_destroy(listener);
	close_cms();
}

#define MANY_LISTENERS 1000u
#define MANY_CONNECTIONS 5000u

static void many_listeners(void **state)
{
	static struct hca_cm_id *id[MANY_LISTENERS];
	struct hca_ah_attr to = way_to(1);
	u32 i;

	(void)state;
	open_cms(0);
	for (i = 0; i < MANY_LISTENERS; i++)
		id[i] = listen_at(1, SERVICE + i);
	a = &active_user;
	for (i = 0; i < MANY_LISTENERS; i += 97) {
		struct hca_cm_msg req = make_req(0x100);

		create(0, a);
		req.service_id += i;
		assert_int_equal(hca_cm_connect(a->id, &to, &req), 0);
		settle();
		assert_ptr_equal(keep_listener, id[i]);
		hca_cm_destroy(users[(requested - 1) % USERS].id);
		settle();
		hca_cm_destroy(a->id);
	}
	for (i = 0; i < MANY_LISTENERS; i++)
		hca_cm_destroy(id[i]);
	close_cms();
}

/* No memory is kept beyond what lives, and no comm ID comes back soon. */
static void many_connections(void **state)
{
	u32 i, live = 0, last = 0;

	(void)state;
	open_cms(0);
	listener = listen_at(1, SERVICE);
	on_event = accepts_and_goes_along;
	a = &active_user;
	for (i = 0; i < MANY_CONNECTIONS; i++) {
		create(0, a);
		assert_int_not_equal(a->id->comm_id, last);
		last = a->id->comm_id;
		connect_to(1, a, 0x100 + i);
		settle();
		expect_state(a, HCA_CM_ESTABLISHED);
		assert_int_equal(hca_cm_disconnect(a->id, NULL, 0), 0);
		settle();
		expect_state(a, HCA_CM_TIMEWAIT);
		hca_cm_destroy(a->id);
		if (i % 64 == 63) {
			test_clock_advance(10 * MS);
			assert_int_equal(cms[0].ids, 0);
			assert_int_equal(cms[1].ids, 1);
			live = live ? live : test_live();
			assert_int_equal(test_live(), live);
		}
	}
	test_clock_advance(10 * MS);
	hca_cm_destroy(listener);
	close_cms();
}

static u32 longest_chain(const struct hca_cm *cm)
{
	const struct hca_cm_id *id;
	u32 i, n, most = 0;

	for (i = 0; i < HCA_CM_PEER_BUCKETS; i++) {
		for (n = 0, id = cm->by_remote[i]; id; id = id->next_remote)
			n++;
		most = HCA_MAX(most, n);
		for (n = 0, id = cm->by_qpn[i]; id; id = id->next_qpn)
			n++;
		most = HCA_MAX(most, n);
	}
	return most;
}

/* As many in timewait as may be: a peer's message is compared with a few of them, not with all. */
static void thousands_in_timewait(void **state)
{
	u32 i;

	(void)state;
	open_cms(0);
	listener = listen_at(1, SERVICE);
	on_event = accepts_and_goes_along;
	a = &active_user;
	for (i = 0; i < MANY_CONNECTIONS; i++) {
		create(0, a);
		connect_to(1, a, 0x100 + i);
		while (mads)
			deliver_one();
		assert_int_equal(hca_cm_disconnect(a->id, NULL, 0), 0);
		while (mads)
			deliver_one();
		hca_cm_destroy(a->id);
	}
	assert_int_equal(cms[0].waiting, MANY_CONNECTIONS);
	assert_in_range(longest_chain(&cms[0]), 1, 12);
	assert_in_range(longest_chain(&cms[1]), 1, 12);
	test_clock_advance(10 * MS);
	hca_cm_destroy(listener);
	assert_int_equal(cms[0].ids, 0);
	assert_int_equal(cms[1].ids, 0);
	close_cms();
}

/* --- a bad wire --- */

#define LOSSY_SEEDS 300u
#define LOSSY_CONNECTIONS 6u

/* One message of those on the wire comes, is lost, or comes and stays. */
static void shuffle(void)
{
	u32 at = (first_mad + hca_random_u32() % mads) % MADS, fate = hca_random_u32() % 8;
	struct wire_mad m = wire[at];

	if (fate != 1) {
		wire[at] = wire[first_mad];
		first_mad = (first_mad + 1) % MADS;
		mads--;
	}
	if (fate)
		hca_cm_recv(&cms[m.to], &m.from, m.bytes, HCA_MAD_BYTES);
}

static void whatever_the_wire_does(void **state)
{
	static struct user u[LOSSY_CONNECTIONS];
	u32 i, k, connected = 0;
	u64 seed;

	(void)state;
	for (seed = 1; seed <= LOSSY_SEEDS; seed++) {
		test_os_reset(seed);
		open_cms(0);
		listener = listen_at(1, SERVICE);
		on_event = accepts_and_goes_along;
		for (i = 0; i < LOSSY_CONNECTIONS; i++) {
			create(0, &u[i]);
			connect_to(1, &u[i], 0x100 + i);
		}
		for (i = 0; i < 4000; i++) {
			if (mads && hca_random_u32() % 4)
				shuffle();
			else
				test_clock_advance(MS / 8);
			k = hca_random_u32() % LOSSY_CONNECTIONS;
			if (i > 200 && u[k].id->state == HCA_CM_ESTABLISHED && hca_random_u32() % 4 == 0)
				(void)hca_cm_disconnect(u[k].id, NULL, 0);
		}
		mads = 0;
		test_clock_advance(1000 * MS);
		for (i = 0; i < LOSSY_CONNECTIONS; i++) {
			connected += u[i].events > 1;
			/* It came to an end, which was told. */
			expect_state(&u[i], HCA_CM_CLOSED);
			assert_true(u[i].events);
			k = u[i].told[u[i].events - 1];
			assert_true(k == HCA_CM_EVENT_TIMEWAIT_EXIT || k == HCA_CM_EVENT_UNREACHABLE);
			hca_cm_destroy(u[i].id);
		}
		on_event = NULL;
		for (i = 0; i < cms[1].indexes; i++) {
			struct hca_cm_id *id = hca_cm_ids_at(&cms[1], i);

			if (id && id != listener && !id->dying)
				hca_cm_destroy(id);
		}
		test_clock_advance(1000 * MS);
		hca_cm_destroy(listener);
		assert_int_equal(cms[0].ids, 0);
		assert_int_equal(cms[1].ids, 0);
		close_cms();
	}
	assert_in_range(connected, LOSSY_SEEDS * LOSSY_CONNECTIONS / 2, LOSSY_SEEDS * LOSSY_CONNECTIONS);
	test_os_reset(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(destroyed_in_every_state),
		T(an_end_is_repeated_without_the_consumer),
		T(destroyed_in_its_handler),
		T(a_listener_ends_in_its_handler),
		T(destroyed_with_events_waiting),
		T(all_events_at_once),
		T(a_request_comes_first),
		T(one_listener_to_one_service),
		T(who_gets_a_request),
		T(a_backlog_is_full),
		T(a_listener_ends_with_requests_waiting),
		T(memory_may_be_short),
		T(a_connection_when_memory_is_short),
		T(there_are_so_many_ids),
		T(many_listeners),
		T(many_connections),
		T(thousands_in_timewait),
		T(whatever_the_wire_does),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
