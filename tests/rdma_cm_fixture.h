/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two adapters with IP addresses, a listener's ULP and a connecting one, whose handlers do what a test tells them and note what
 * they are told. Shared by the tests of connections by address.
 */
#ifndef RDMA_CM_FIXTURE_H
#define RDMA_CM_FIXTURE_H
#include "verbs_fixture.h"

#include <arpa/inet.h>
#include <endian.h>

#include "ib/ib_core.h"
#include "no_leaks.h"
#include "softhca/rdma_cm.h"

#define MS 1000000ull
#define PORT 4420
#define EVENTS 24u
#define PEERS 160u

/* A ULP's connection, and what it was told of. */
struct conn {
	struct rdma_cm_id *id;
	struct end *e;
	enum rdma_cm_event_type told[EVENTS];
	int status[EVENTS];
	struct rdma_conn_param param[EVENTS];
	u8 data[EVENTS][256];
	struct rdma_ucm_ece ece[EVENTS];
	u32 events, seen;
	bool gone; /* the library has destroyed it */
};

static struct end a, b;
static struct conn client, listener, peers[PEERS];
static u32 requested;

/* What the ULPs do. */
static struct {
	bool reject; /* the passive one */
	bool wait; /* it answers later */
	bool refuse; /* its handler doesn't return 0 */
	bool quiet; /* the active one does nothing by itself */
	bool end_peer; /* the passive one ends the other ID before it answers */
	bool answer; /* the passive one disconnects when it is told to */
	int give_up; /* the active one's handler returns this at give_up_at */
	enum rdma_cm_event_type give_up_at;
	bool destroys; /* its handler doesn't return that, but destroys its ID there, which it must not */
	struct conn *ends; /* the passive one's handler destroys this in the event of a request; itself: the new ID */
	struct rdma_conn_param param, accept;
} ulp;

/* A socket's address, good for the next ADDRS - 1 calls: one call's arguments may take several, in whatever order. */
#define ADDRS 8u
static inline struct sockaddr *ip(const char *text, u16 port)
{
	static union {
		struct sockaddr sa;
		struct sockaddr_storage whole;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} ring[ADDRS];
	static u32 taken;
	u32 i = taken++ % ADDRS;

	memset(&ring[i], 0, sizeof(ring[i]));
	if (inet_pton(AF_INET, text, &ring[i].in.sin_addr) == 1) {
		ring[i].in.sin_family = AF_INET;
		ring[i].in.sin_port = htons(port);
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &ring[i].in6.sin6_addr), 1);
		ring[i].in6.sin6_family = AF_INET6;
		ring[i].in6.sin6_port = htons(port);
	}
	return &ring[i].sa;
}

static inline u16 port_of(const struct sockaddr_storage *ss)
{
	return ntohs(((const struct sockaddr_in *)ss)->sin_port);
}

static inline void is_ip(const struct sockaddr_storage *ss, const char *text)
{
	char got[INET6_ADDRSTRLEN];
	const void *at = ss->ss_family == AF_INET ? (const void *)&((const struct sockaddr_in *)ss)->sin_addr :
						    (const void *)&((const struct sockaddr_in6 *)ss)->sin6_addr;

	assert_string_equal(inet_ntop(ss->ss_family, at, got, sizeof(got)), text);
}

/* --- ULPs --- */

static inline void note_event(struct conn *c, const struct rdma_cm_event *event)
{
	u32 i = c->events++;

	assert_true(i < EVENTS);
	c->told[i] = event->event;
	c->status[i] = event->status;
	c->param[i] = event->param.conn;
	c->ece[i] = event->ece;
	if (event->param.conn.private_data)
		memcpy(c->data[i], event->param.conn.private_data, event->param.conn.private_data_len);
}

static inline void make_qp(struct conn *c)
{
	struct ib_qp_init_attr qa = {
		.send_cq = c->e->cq,
		.recv_cq = c->e->cq,
		.cap = { .max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1 },
		.sq_sig_type = IB_SIGNAL_ALL_WR,
		.qp_type = IB_QPT_RC,
	};

	assert_int_equal(rdma_create_qp(c->id, c->e->pd, &qa), 0);
}

static inline int on_active(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct conn *c = id->context;

	assert_ptr_equal(id, c->id);
	note_event(c, event);
	if (ulp.give_up && event->event == ulp.give_up_at) {
		c->gone = true;
		rdma_destroy_qp(id);
		if (!ulp.destroys)
			return ulp.give_up;
		rdma_destroy_id(id);
		return 0;
	}
	if (ulp.quiet)
		return 0;
	if (event->event == RDMA_CM_EVENT_ADDR_RESOLVED) {
		c->e = id->device == a.dev ? &a : &b;
		make_qp(c);
		rdma_set_service_type(id, 0x28);
		assert_int_equal(rdma_resolve_route(id, 100), 0);
	} else if (event->event == RDMA_CM_EVENT_ROUTE_RESOLVED) {
		assert_int_equal(rdma_connect_locked(id, &ulp.param), 0);
	}
	return 0;
}

static inline void accept_it(struct conn *c)
{
	make_qp(c);
	assert_int_equal(rdma_accept(c->id, &ulp.accept), 0);
}

static inline int on_passive(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct conn *c = id->context;

	if (event->event == RDMA_CM_EVENT_CONNECT_REQUEST) {
		assert_ptr_equal(c, &listener);
		c = &peers[requested++ % PEERS];
		memset(c, 0, sizeof(*c));
		c->id = id;
		c->e = id->device == a.dev ? &a : &b;
		id->context = c;
	}
	note_event(c, event);
	if (ulp.answer && event->event == RDMA_CM_EVENT_DISCONNECTED)
		assert_int_equal(rdma_disconnect(id), 0);
	if (event->event != RDMA_CM_EVENT_CONNECT_REQUEST)
		return 0;
	if (ulp.end_peer) {
		rdma_destroy_id(client.id);
		client.id = NULL;
		return 0;
	}
	if (ulp.ends) {
		ulp.ends = ulp.ends == &peers[0] ? c : ulp.ends;
		ulp.ends->gone = true;
		rdma_destroy_id(ulp.ends->id);
		if (ulp.ends == c)
			return 0;
	}
	if (ulp.refuse) {
		c->gone = true;
		return -1;
	}
	if (ulp.reject)
		assert_int_equal(rdma_reject(id, "no, thanks", 10, IB_CM_REJ_CONSUMER_DEFINED), 0);
	else if (!ulp.wait)
		accept_it(c);
	return 0;
}

static inline void expect(struct conn *c, enum rdma_cm_event_type type, int status)
{
	u32 i = c->seen++;

	assert_true(i < c->events);
	assert_string_equal(rdma_event_msg(c->told[i]), rdma_event_msg(type));
	assert_int_equal(c->status[i], status);
}

static inline void no_more(const struct conn *c)
{
	assert_int_equal(c->seen, c->events);
}

static inline void let_pass(u64 ns)
{
	u32 i;

	for (i = 0; i < 64; i++)
		test_clock_advance(ns / 64);
}

static inline void create(struct conn *c, rdma_cm_event_handler handler)
{
	memset(c, 0, sizeof(*c));
	c->id = rdma_create_id(&init_net, handler, c, RDMA_PS_TCP, IB_QPT_RC);
	assert_false(IS_ERR(c->id));
}

static inline void destroy(struct conn *c)
{
	if (c->id && !c->gone) {
		rdma_destroy_qp(c->id);
		rdma_destroy_id(c->id);
	}
	c->id = NULL;
}

/* The first adapter has 10.0.0.1, the second 10.0.0.2 and 2001:db8::2. */
static inline void open_all(void)
{
	test_os_reset(1);
	assert_int_equal(ib_work_by_os(true), 0);
	memset(&ulp, 0, sizeof(ulp));
	ulp.param = (struct rdma_conn_param){ .retry_count = 7, .rnr_retry_count = 7 };
	requested = 0;
	assert_int_equal(vk_device(&a, true, MACHINE_DIRECT), 0);
	assert_int_equal(vk_device(&b, false, MACHINE_IOMMU), 0);
	vk_objects(&a, IB_QPT_RC, NULL);
	vk_objects(&b, IB_QPT_RC, NULL);
	assert_int_equal(softhca_addr_add(a.dev, ip("10.0.0.1", 0)), 0);
	assert_int_equal(softhca_addr_add(b.dev, ip("10.0.0.2", 0)), 0);
	assert_int_equal(softhca_addr_add(b.dev, ip("2001:db8::2", 0)), 0);
}

static inline void close_all(void)
{
	let_pass(200 * MS);
	vk_close(&a, &b);
	ib_work_by_os(false);
}

static inline void listen_to(const char *text, int backlog)
{
	create(&listener, on_passive);
	assert_int_equal(rdma_bind_addr(listener.id, ip(text, PORT)), 0);
	assert_int_equal(rdma_listen(listener.id, backlog), 0);
}

/* From the first adapter. */
static inline void begin(struct conn *c, const char *to, u16 port)
{
	struct sockaddr_storage src = { 0 };

	create(c, on_active);
	if (!strchr(to, ':'))
		memcpy(&src, ip("10.0.0.1", 0), sizeof(src));
	assert_int_equal(rdma_resolve_addr(c->id, (struct sockaddr *)&src, ip(to, port), 100), 0);
	let_pass(MS);
}

static inline void expect_resolved(struct conn *c)
{
	expect(c, RDMA_CM_EVENT_ADDR_RESOLVED, 0);
	expect(c, RDMA_CM_EVENT_ROUTE_RESOLVED, 0);
}

static inline void expect_connected(struct conn *c, struct conn *p)
{
	expect_resolved(c);
	expect(c, RDMA_CM_EVENT_ESTABLISHED, 0);
	expect(p, RDMA_CM_EVENT_CONNECT_REQUEST, 0);
	expect(p, RDMA_CM_EVENT_ESTABLISHED, 0);
}

static inline void expect_disconnected(struct conn *c)
{
	expect(c, RDMA_CM_EVENT_DISCONNECTED, 0);
	expect(c, RDMA_CM_EVENT_TIMEWAIT_EXIT, 0);
	no_more(c);
}

#endif
