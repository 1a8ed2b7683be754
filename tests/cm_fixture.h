/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two communication managers on a wire in memory. A message lies there until the test
 * lets it come, may be lost or come twice, and is noted; so are the events. Shared by
 * the tests of src/cm.
 */
#ifndef CM_FIXTURE_H
#define CM_FIXTURE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cm/ip.h"
#include "cm/private.h"
#include "no_leaks.h"

#define MS 1000000ull
#define MADS 512u /* on the wire at once */
#define NOTES 4096u
#define USERS 64u
#define SERVICE 0x0000000001061f90ull
#define GUID(side) (0x0002c90300000000ull + (side))
#define CODE_NS(code) (4096ull << (code))
/* What the REQs of these tests say. */
#define RESPONSE 10 /* 4.2 ms */
#define ACK_TIMEOUT 8 /* 1 ms */
#define RETRIES 3u
#define TRY_NS (CODE_NS(RESPONSE) + CODE_NS(ACK_TIMEOUT))

struct wire_mad {
	u32 to; /* side */
	struct hca_ah_attr from;
	u8 bytes[HCA_MAD_BYTES];
};

/* One consumer's ID, and what it was told. */
struct user {
	struct hca_cm_id *id;
	enum hca_cm_event_type told[16];
	int status[16];
	struct hca_cm_msg msg[16];
	u8 data[16][HCA_CM_PRIVATE_MAX];
	u8 ari[16][HCA_CM_ARI_MAX];
	u32 events;
	u32 seen; /* by expect() */
};

static struct hca_eq eq;
static struct hca_cm cms[2];
static struct wire_mad wire[MADS];
static u32 first_mad, mads;
static u16 sent[2][NOTES]; /* attributes, in order */
static u32 sends[2], looked[2];
static struct hca_cm_msg last_sent[2];
static u8 last_bytes[2][HCA_MAD_BYTES];
static u32 lose[HCA_CM_ATTRS], twice[HCA_CM_ATTRS]; /* of the next that are sent */
static struct user users[USERS]; /* of requests, in order */
static u32 requested;
static struct hca_cm_id *keep_listener; /* of the last request */
static void (*on_event)(struct hca_cm_id *id, const struct hca_cm_event *event,
			struct user *u); /* what the consumer does then; or NULL */

static inline void put_on_wire(u32 to, u32 from, const u8 *bytes)
{
	struct wire_mad *m = &wire[(first_mad + mads) % MADS];

	assert_true(mads < MADS);
	m->to = to;
	m->from = (struct hca_ah_attr){ .dlid = (u16)(from + 1), .port_num = 1 };
	memcpy(m->bytes, bytes, HCA_MAD_BYTES);
	mads++;
}

static inline void fixture_send(struct hca_cm *cm, const struct hca_ah_attr *to, const u8 *mad)
{
	u32 side = (u32)(cm - cms), attr;

	hca_rcu_synchronize(); /* we may be where that isn't allowed: under a lock, or in a timer */
	memcpy(last_bytes[side], mad, HCA_MAD_BYTES);
	assert_int_equal(hca_cm_decode(last_bytes[side], HCA_MAD_BYTES, &last_sent[side]), 0);
	attr = last_sent[side].attr - HCA_CM_ATTR_FIRST;
	sent[side][sends[side]++ % NOTES] = last_sent[side].attr;
	assert_in_range(to->dlid, 1, 2);
	if (lose[attr]) {
		lose[attr]--;
		return;
	}
	put_on_wire(to->dlid - 1u, side, mad);
	if (twice[attr]) {
		twice[attr]--;
		put_on_wire(to->dlid - 1u, side, mad);
	}
}

static const struct hca_cm_ops fixture_ops = { .send = fixture_send };

static inline void note_event(struct user *u, const struct hca_cm_event *event)
{
	u32 i = u->events++;

	assert_true(i < HCA_ARRAY_SIZE(u->told));
	u->told[i] = event->type;
	u->status[i] = event->status;
	if (!event->msg)
		return;
	u->msg[i] = *event->msg;
	memcpy(u->data[i], event->msg->private_data, event->msg->private_len);
	if (event->msg->ari_len)
		memcpy(u->ari[i], event->msg->ari, event->msg->ari_len);
}

/* The handler of every ID: its context is a user, but a listener's is NULL. */
static inline void handler(struct hca_cm_id *id, const struct hca_cm_event *event)
{
	struct user *u = id->context;

	assert_true(event->type == HCA_CM_EVENT_REQUEST || event->type == HCA_CM_EVENT_SIDR_REQUEST ?
			    !!event->listener :
			    !event->listener);
	if (event->listener) {
		assert_ptr_equal(id->context, event->listener->context);
		keep_listener = event->listener;
		u = &users[requested++ % USERS];
		memset(u, 0, sizeof(*u));
		u->id = id;
		id->context = u;
	}
	note_event(u, event);
	if (on_event)
		on_event(id, event, u);
}

static inline void open_cms(u32 max_ids)
{
	u32 i;

	assert_int_equal(hca_eq_init(&eq), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(hca_cm_init(&cms[i], &eq, &fixture_ops, GUID(i), max_ids), 0);
	first_mad = mads = requested = 0;
	memset(sends, 0, sizeof(sends));
	memset(looked, 0, sizeof(looked));
	memset(lose, 0, sizeof(lose));
	memset(twice, 0, sizeof(twice));
	on_event = NULL;
}

static inline void close_cms(void)
{
	hca_cm_fini(&cms[0]);
	hca_cm_fini(&cms[1]);
	hca_eq_fini(&eq);
}

/* The oldest message of the wire comes. */
static inline void deliver_one(void)
{
	struct wire_mad m = wire[first_mad];

	first_mad = (first_mad + 1) % MADS;
	mads--;
	hca_cm_recv(&cms[m.to], &m.from, m.bytes, HCA_MAD_BYTES);
}

/* All that is on the wire comes, what that gives too, and workers work. */
static inline void settle(void)
{
	do {
		while (mads)
			deliver_one();
		test_clock_advance(0);
	} while (mads);
}

/* Time passes, message by message. */
static inline void pass(u64 ns)
{
	u64 end = hca_now_ns() + ns;

	settle();
	while (hca_now_ns() < end) {
		test_clock_advance(HCA_MIN(end - hca_now_ns(), MS / 8));
		settle();
	}
}

static inline struct hca_ah_attr way_to(u32 side)
{
	return (struct hca_ah_attr){ .dlid = (u16)(side + 1), .port_num = 1 };
}

static inline struct hca_cm_msg make_req(u32 qpn)
{
	return (struct hca_cm_msg){
		.service_id = SERVICE,
		.qpn = qpn,
		.psn = 0x111111,
		.pkey = 0xffff,
		.path_mtu = HCA_MTU_1024,
		.responder_resources = 4,
		.initiator_depth = 2,
		.remote_response_timeout = RESPONSE,
		.local_response_timeout = RESPONSE,
		.max_cm_retries = RETRIES,
		.retry_count = 7,
		.rnr_retry_count = 7,
		.primary = { .local_lid = 1, .remote_lid = 2, .ack_timeout = ACK_TIMEOUT },
	};
}

static inline struct hca_cm_msg make_rep(u32 qpn)
{
	return (struct hca_cm_msg){ .qpn = qpn, .psn = 0x222222, .responder_resources = 2, .initiator_depth = 4 };
}

static inline void create(u32 side, struct user *u)
{
	memset(u, 0, sizeof(*u));
	assert_int_equal(hca_cm_create(&cms[side], handler, u, &u->id), 0);
}

static inline struct hca_cm_id *listen_at(u32 side, u64 service)
{
	struct hca_cm_id *id;

	assert_int_equal(hca_cm_create(&cms[side], handler, NULL, &id), 0);
	assert_int_equal(hca_cm_listen(id, service, ~0ull, NULL, 0), 0);
	return id;
}

static inline void connect_to(u32 side, struct user *u, u32 qpn)
{
	struct hca_ah_attr to = way_to(side);
	struct hca_cm_msg req = make_req(qpn);

	assert_int_equal(hca_cm_connect(u->id, &to, &req), 0);
}

/* The user's next event. */
static inline const struct hca_cm_msg *expect_event(struct user *u, enum hca_cm_event_type type, int status)
{
	u32 i = u->seen++;

	assert_true(i < u->events);
	assert_int_equal(u->told[i], type);
	assert_int_equal(u->status[i], status);
	return &u->msg[i];
}

static inline void no_more_events(const struct user *u)
{
	assert_int_equal(u->seen, u->events);
}

/* The side has sent these since it was asked last, and no more; 0 ends them. */
static inline void expect_sent(u32 side, ...)
{
	va_list args;
	int attr;

	va_start(args, side);
	while ((attr = va_arg(args, int))) {
		assert_true(looked[side] < sends[side]);
		assert_int_equal(sent[side][looked[side]++ % NOTES], attr);
	}
	va_end(args);
	assert_int_equal(looked[side], sends[side]);
}

static inline void expect_state(const struct user *u, enum hca_cm_state state)
{
	assert_int_equal(u->id->state, state);
}

/* What most consumers do. */
static inline void accepts_and_goes_along(struct hca_cm_id *id, const struct hca_cm_event *event, struct user *u)
{
	struct hca_cm_msg rep = make_rep(0x200 + requested);

	(void)u;
	if (event->type == HCA_CM_EVENT_REQUEST) {
		assert_int_equal(hca_cm_accept(id, &rep), 0);
	} else if (event->type == HCA_CM_EVENT_REPLY) {
		assert_int_equal(hca_cm_ready(id, NULL, 0), 0);
	} else if (event->type == HCA_CM_EVENT_DISCONNECT) {
		assert_int_equal(hca_cm_disconnect(id, NULL, 0), 0);
		hca_cm_destroy(id);
	}
}

/* --- a connection from side 0 to side 1 --- */

static struct hca_cm_id *listener;
static struct user *a, *b; /* active, passive */
static struct user active_user;

static inline void begin_connection(void)
{
	open_cms(0);
	listener = listen_at(1, SERVICE);
	a = &active_user;
	b = &users[0];
	create(0, a);
	connect_to(1, a, 0x100);
	settle();
	expect_event(b, HCA_CM_EVENT_REQUEST, 0);
	expect_sent(0, HCA_CM_REQ, 0);
	expect_sent(1, 0);
}

static inline void accept_it(void)
{
	struct hca_cm_msg rep = make_rep(0x200);

	assert_int_equal(hca_cm_accept(b->id, &rep), 0);
}

static inline void make_connection(void)
{
	begin_connection();
	accept_it();
	settle();
	expect_event(a, HCA_CM_EVENT_REPLY, 0);
	assert_int_equal(hca_cm_ready(a->id, NULL, 0), 0);
	settle();
	expect_event(b, HCA_CM_EVENT_ESTABLISHED, 0);
	expect_sent(0, HCA_CM_RTU, 0);
	expect_sent(1, HCA_CM_REP, 0);
	expect_state(a, HCA_CM_ESTABLISHED);
	expect_state(b, HCA_CM_ESTABLISHED);
}

/* Whatever is left of it goes, and leaves nothing. */
static inline void end_connection(void)
{
	no_more_events(a);
	no_more_events(b);
	on_event = NULL;
	if (a->id)
		hca_cm_destroy(a->id);
	if (b->id)
		hca_cm_destroy(b->id);
	hca_cm_destroy(listener);
	pass(200 * MS);
	assert_int_equal(cms[0].ids, 0);
	assert_int_equal(cms[1].ids, 0);
	assert_int_equal(cms[0].waiting, 0);
	assert_int_equal(cms[1].waiting, 0);
	close_cms();
}

static inline void inject(u32 to, const struct hca_cm_msg *msg)
{
	struct hca_ah_attr from = way_to(!to);
	u8 mad[HCA_MAD_BYTES];

	assert_int_equal(hca_cm_encode(msg, mad), 0);
	hca_cm_recv(&cms[to], &from, mad, sizeof(mad));
	settle();
}

#endif
