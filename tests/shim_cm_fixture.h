/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the tests of the drop-in librdmacm share: a fabric of their own, IDs, and the two
 * ends of a connection. Only <rdma/rdma_cma.h> is known here: the tests see what programs see.
 */
#ifndef SHIM_CM_FIXTURE_H
#define SHIM_CM_FIXTURE_H

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <rdma/rdma_cma.h>
#include <rdma/rdma_verbs.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shim_fabric.h"

#define DEPTH 4

/* In a child: cmocka's assertions are the parent's. */
#define CHECK(c) ((c) ? (void)0 : (fprintf(stderr, "# pid %d, line %d: %s\n", (int)getpid(), __LINE__, #c), _exit(1)))

/* --- addresses --- */

static inline struct sockaddr_storage address(const char *ip, uint16_t port)
{
	struct sockaddr_storage sa = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&sa;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&sa;

	if (inet_pton(AF_INET, ip, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
	} else {
		assert_int_equal(inet_pton(AF_INET6, ip, &in6->sin6_addr), 1);
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
	}
	return sa;
}

/* --- IDs --- */

static inline struct rdma_cm_id *new_id(struct rdma_event_channel *ch, enum rdma_port_space ps)
{
	struct rdma_cm_id *id = NULL;

	assert_int_equal(rdma_create_id(ch, &id, NULL, ps), 0);
	assert_non_null(id);
	return id;
}

/* Return: 0 or the errno. */
static inline int bind_to(struct rdma_cm_id *id, const char *ip, uint16_t port)
{
	struct sockaddr_storage sa = address(ip, port);

	return rdma_bind_addr(id, (struct sockaddr *)&sa) ? errno : 0;
}

/* Return: a listener, on a port of the system's choice. */
static inline struct rdma_cm_id *listener(struct rdma_event_channel *ch, enum rdma_port_space ps, const char *ip,
					  int backlog)
{
	struct rdma_cm_id *id = new_id(ch, ps);

	assert_int_equal(bind_to(id, ip, 0), 0);
	assert_int_equal(rdma_listen(id, backlog), 0);
	assert_int_not_equal(rdma_get_src_port(id), 0);
	return id;
}

/* The next event but those of timewait, which come when they come. */
static inline struct rdma_cm_event *next_event(struct rdma_event_channel *ch)
{
	struct rdma_cm_event *e;

	for (;;) {
		assert_int_equal(rdma_get_cm_event(ch, &e), 0);
		if (e->event != RDMA_CM_EVENT_TIMEWAIT_EXIT)
			return e;
		assert_int_equal(rdma_ack_cm_event(e), 0);
	}
}

/* The next event is of that type; its status, and its ID in @id. */
static inline int expect(struct rdma_event_channel *ch, enum rdma_cm_event_type type, struct rdma_cm_id **id)
{
	struct rdma_cm_event *e = next_event(ch);
	int status = e->status;

	assert_string_equal(rdma_event_str(e->event), rdma_event_str(type));
	if (id)
		*id = e->id;
	assert_int_equal(rdma_ack_cm_event(e), 0);
	return status;
}

static inline void make_qp(struct rdma_cm_id *id)
{
	struct ibv_qp_init_attr attr = {
		.cap = { .max_send_wr = DEPTH, .max_recv_wr = DEPTH, .max_send_sge = 1, .max_recv_sge = 1 },
		.qp_type = id->qp_type,
	};

	assert_int_equal(rdma_create_qp(id, NULL, &attr), 0);
	assert_non_null(id->qp);
}

/* Return: an ID of which address and route are known, with a queue pair. */
static inline struct rdma_cm_id *resolved(struct rdma_event_channel *ch, enum rdma_port_space ps, const char *ip,
					  __be16 port)
{
	struct sockaddr_storage sa = address(ip, ntohs(port));
	struct rdma_cm_id *id = new_id(ch, ps);

	assert_int_equal(rdma_resolve_addr(id, NULL, (struct sockaddr *)&sa, 2000), 0);
	assert_int_equal(expect(ch, RDMA_CM_EVENT_ADDR_RESOLVED, NULL), 0);
	assert_int_equal(rdma_resolve_route(id, 2000), 0);
	assert_int_equal(expect(ch, RDMA_CM_EVENT_ROUTE_RESOLVED, NULL), 0);
	make_qp(id);
	return id;
}

static inline void end_id(struct rdma_cm_id *id)
{
	rdma_destroy_qp(id);
	assert_int_equal(rdma_destroy_id(id), 0);
}

/* --- connections inside one process: both ends have a channel of their own --- */

struct pair {
	struct rdma_event_channel *ch[2];
	struct rdma_cm_id *listener;
	struct rdma_cm_id *id[2]; /* the active one, the passive one */
};

static inline void pair_begin(struct pair *p, enum rdma_port_space ps, const char *ip)
{
	memset(p, 0, sizeof(*p));
	p->ch[0] = rdma_create_event_channel();
	p->ch[1] = rdma_create_event_channel();
	assert_non_null(p->ch[0]);
	assert_non_null(p->ch[1]);
	p->listener = listener(p->ch[1], ps, ip, 0);
	p->id[0] = resolved(p->ch[0], ps, ip, rdma_get_src_port(p->listener));
}

static inline void pair_connect(struct pair *p)
{
	struct rdma_conn_param param = {
		.responder_resources = 2, .initiator_depth = 1, .retry_count = 7, .rnr_retry_count = 7
	};

	assert_int_equal(rdma_connect(p->id[0], &param), 0);
	assert_int_equal(expect(p->ch[1], RDMA_CM_EVENT_CONNECT_REQUEST, &p->id[1]), 0);
	make_qp(p->id[1]);
	assert_int_equal(rdma_accept(p->id[1], NULL), 0);
	assert_int_equal(expect(p->ch[0], RDMA_CM_EVENT_ESTABLISHED, NULL), 0);
	assert_int_equal(expect(p->ch[1], RDMA_CM_EVENT_ESTABLISHED, NULL), 0);
}

static inline void pair_end(struct pair *p)
{
	int i;

	for (i = 0; i < 2; i++)
		if (p->id[i])
			end_id(p->id[i]);
	if (p->listener)
		assert_int_equal(rdma_destroy_id(p->listener), 0);
	rdma_destroy_event_channel(p->ch[0]);
	rdma_destroy_event_channel(p->ch[1]);
}

static inline enum ibv_qp_state state_of(struct ibv_qp *qp)
{
	struct ibv_qp_attr at;
	struct ibv_qp_init_attr init;

	assert_int_equal(ibv_query_qp(qp, &at, IBV_QP_STATE, &init), 0);
	return at.qp_state;
}

#endif
