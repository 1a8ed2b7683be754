/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How initiators and targets are connected; see srp_cm.h. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "srp_private.h"

/* Of a lost acknowledgement: seven times. Of a missing receive: 0.64 ms each, not for ever. */
#define ACK_RETRIES 7
#define RNR_RETRIES 6
/* An adapter of this process is found at once. */
#define FIND_MS 1000

struct srp_cm_listener {
	struct rdma_cm_id *id;
	srp_cm_handler fn;
	void *ctx;
};

/* --- names --- */

static int parse_name(const char *name, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	const char *colon = strrchr(name, ':');
	char host[SRP_CM_NAME], *end;
	unsigned long port;
	size_t len;

	memset(out, 0, sizeof(*out));
	if (!colon || (size_t)(colon - name) >= sizeof(host))
		return -EINVAL;
	port = strtoul(colon + 1, &end, 10);
	if (end == colon + 1 || *end || !port || port > 65535)
		return -EINVAL;
	len = (size_t)(colon - name);
	memcpy(host, name, len);
	host[len] = 0;
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((u16)port);
		return 0;
	}
	if (len < 3 || host[0] != '[' || host[len - 1] != ']')
		return -EINVAL;
	host[len - 1] = 0;
	if (inet_pton(AF_INET6, host + 1, &in6->sin6_addr) != 1)
		return -EINVAL;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((u16)port);
	return 0;
}

static int parse(const char *name, struct sockaddr_storage *out)
{
	int err = parse_name(name, out);

	if (err)
		srp_log("%s: no name of a target: it must be an IP address and a port, 10.0.0.2:5555 or [fe80::1]:5555",
			name);
	return err;
}

int srp_name(struct ib_device *dev, u16 port, char *name)
{
	char host[INET6_ADDRSTRLEN];
	union ib_gid gid;
	int err = rdma_query_gid(dev, 1, 0, &gid);

	if (err)
		return err;
	if (!inet_ntop(AF_INET6, &gid, host, sizeof(host)))
		return -EINVAL;
	snprintf(name, SRP_CM_NAME, "[%s]:%u", host, port);
	return 0;
}

/* An address of @dev, of the other one's family: without it the connection would begin at the other one's adapter. */
static int own_addr(struct ib_device *dev, const struct sockaddr_storage *other, struct sockaddr_storage *out)
{
	static const u8 mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct ib_port_attr port;
	union ib_gid gid;
	int i, err = ib_query_port(dev, 1, &port);

	if (err)
		return err;
	memset(out, 0, sizeof(*out));
	out->ss_family = other->ss_family;
	for (i = 0; i < port.gid_tbl_len; i++) {
		if (rdma_query_gid(dev, 1, i, &gid))
			continue;
		if (!memcmp(&gid, mapped, sizeof(mapped)) != (other->ss_family == AF_INET))
			continue;
		if (other->ss_family == AF_INET)
			memcpy(&((struct sockaddr_in *)out)->sin_addr, (u8 *)&gid + 12, 4);
		else
			memcpy(&((struct sockaddr_in6 *)out)->sin6_addr, &gid, 16);
		return 0;
	}
	srp_log("the adapter has no address of IPv%d to connect from: give it one, or name the target by one of the other version",
		other->ss_family == AF_INET ? 4 : 6);
	return -EADDRNOTAVAIL;
}

/* --- events --- */

static void tell(struct srp_cm_conn *conn, enum srp_cm_what what, const void *data, u32 len)
{
	const struct srp_cm_event ev = { .what = what, .conn = conn, .data = data, .len = len };
	srp_cm_handler fn = __atomic_load_n(&conn->fn, __ATOMIC_ACQUIRE);

	if (fn)
		(void)fn(conn->ctx, &ev);
}

static void tell_end(struct srp_cm_conn *conn, struct rdma_cm_event *event)
{
	const void *data;
	u8 len;

	if (!conn->active || conn->open) {
		tell(conn, SRP_CM_GONE, NULL, 0);
		return;
	}
	data = rdma_consumer_reject_data(conn->id, event, &len);
	tell(conn, SRP_CM_REJECTED, data, len);
}

static int on_conn(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct srp_cm_conn *conn = id->context;

	switch (event->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		if (rdma_resolve_route(id, FIND_MS))
			tell(conn, SRP_CM_REJECTED, NULL, 0);
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		tell(conn, SRP_CM_READY, NULL, 0);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		conn->open = true;
		if (conn->active)
			tell(conn, SRP_CM_ACCEPTED, event->param.conn.private_data, event->param.conn.private_data_len);
		break;
	case RDMA_CM_EVENT_TIMEWAIT_EXIT:
		break;
	default:
		tell_end(conn, event);
	}
	return 0;
}

static int on_request(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct srp_cm_listener *l = id->context;
	struct srp_cm_event ev = { .what = SRP_CM_REQUEST };
	struct srp_cm_conn *conn;

	if (event->event != RDMA_CM_EVENT_CONNECT_REQUEST)
		return 0;
	conn = srp_alloc(1, sizeof(*conn));
	if (!conn)
		return -ENOMEM;
	conn->id = id;
	conn->depth = event->param.conn.initiator_depth;
	id->context = conn;
	id->event_handler = on_conn;
	ev.conn = conn;
	ev.data = event->param.conn.private_data;
	ev.len = event->param.conn.private_data_len;
	if (l->fn(l->ctx, &ev))
		return 0;
	srp_free(conn);
	return -ECONNREFUSED;
}

/* --- calls --- */

int srp_cm_listen(struct ib_device *dev, const char *name, srp_cm_handler fn, void *ctx, struct srp_cm_listener **out)
{
	struct sockaddr_storage addr;
	struct srp_cm_listener *l;
	int err = parse(name, &addr);

	if (err)
		return err;
	l = srp_alloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->fn = fn;
	l->ctx = ctx;
	l->id = rdma_create_id(&init_net, on_request, l, RDMA_PS_TCP, IB_QPT_RC);
	if (IS_ERR(l->id)) {
		err = (int)PTR_ERR(l->id);
		goto free_listener;
	}
	err = rdma_bind_addr(l->id, (struct sockaddr *)&addr);
	if (!err && l->id->device != dev) {
		srp_log("target %s: the address isn't its adapter's", name);
		err = -EADDRNOTAVAIL;
	}
	if (!err)
		err = rdma_listen(l->id, 0);
	if (err)
		goto destroy_id;
	*out = l;
	return 0;
destroy_id:
	rdma_destroy_id(l->id);
free_listener:
	srp_free(l);
	return err;
}

void srp_cm_unlisten(struct srp_cm_listener *l)
{
	rdma_destroy_id(l->id);
	srp_free(l);
}

int srp_cm_open(struct ib_device *dev, const char *name, srp_cm_handler fn, void *ctx, struct srp_cm_conn **conn)
{
	struct sockaddr_storage to, from;
	struct srp_cm_conn *c;
	int err = parse(name, &to);

	if (!err)
		err = own_addr(dev, &to, &from);
	if (err)
		return err;
	c = srp_alloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->fn = fn;
	c->ctx = ctx;
	c->active = true;
	c->id = rdma_create_id(&init_net, on_conn, c, RDMA_PS_TCP, IB_QPT_RC);
	if (IS_ERR(c->id)) {
		err = (int)PTR_ERR(c->id);
		goto free_conn;
	}
	err = rdma_resolve_addr(c->id, (struct sockaddr *)&from, (struct sockaddr *)&to, FIND_MS);
	if (err)
		goto destroy_id;
	*conn = c;
	return 0;
destroy_id:
	rdma_destroy_id(c->id);
free_conn:
	srp_free(c);
	return err;
}

/* The target reads and writes the initiator's memory, and never the other way round. */
int srp_cm_connect(struct srp_cm_conn *conn, const void *data, u32 len)
{
	struct rdma_conn_param p = {
		.private_data = data,
		.private_data_len = (u8)len,
		.responder_resources = (u8)SRP_MIN(conn->id->device->attrs.max_qp_rd_atom, 255),
		.retry_count = ACK_RETRIES,
		.rnr_retry_count = RNR_RETRIES,
	};

	return len > SRP_CM_PRIVATE ? -EINVAL : rdma_connect(conn->id, &p);
}

int srp_cm_accept(struct srp_cm_conn *conn, const void *data, u32 len, srp_cm_handler fn, void *ctx)
{
	struct rdma_conn_param p = {
		.private_data = data,
		.private_data_len = (u8)len,
		.initiator_depth = (u8)SRP_MIN(conn->id->device->attrs.max_qp_init_rd_atom, conn->depth),
		.rnr_retry_count = RNR_RETRIES,
	};

	conn->ctx = ctx;
	__atomic_store_n(&conn->fn, fn, __ATOMIC_RELEASE);
	return rdma_accept(conn->id, &p);
}

void srp_cm_reject(struct srp_cm_conn *conn, const void *data, u32 len)
{
	(void)rdma_reject(conn->id, data, (u8)len, IB_CM_REJ_CONSUMER_DEFINED);
}

void srp_cm_disconnect(struct srp_cm_conn *conn)
{
	(void)rdma_disconnect(conn->id);
}

void srp_cm_close(struct srp_cm_conn *conn)
{
	rdma_destroy_id(conn->id);
	srp_free(conn);
}
