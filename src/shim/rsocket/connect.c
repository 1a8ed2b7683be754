/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a socket's creation to its end: binding, listening, connecting, accepting, shutting down, closing. The events of the
 * connection manager move a socket from state to state.
 */
#include "rsocket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESOLVE_MS 2000
#define BACKLOG_MAX 4096
#define CLOSE_SECONDS 5 /* until what was sent has arrived, if the program didn't say */
#define MOST_SECONDS 1000000 /* whatever it says */

static const struct rs_options defaults = {
	.sndbuf = 1 << 17,
	.rcvbuf = 1 << 17,
	.sqsize = 384,
	.rqsize = 384,
	.inline_bytes = 64,
	.keepidle = 7200,
	.keepcnt = 9,
	.keepintvl = 75,
	.iomaps = RS_IOMAPS_MAX, /* of an accepted socket a program can't set it in time */
};

/* --- creation --- */

struct rsock *rs_new(int domain, int type, const struct rs_options *opt)
{
	struct rsock *rs = calloc(1, sizeof(*rs));
	int err;

	if (!rs)
		return NULL;
	rs->channel = rdma_create_event_channel();
	if (!rs->channel || fcntl(rs->channel->fd, F_SETFL, O_NONBLOCK)) {
		err = errno;
		if (rs->channel)
			rdma_destroy_event_channel(rs->channel);
		free(rs);
		errno = err;
		return NULL;
	}
	pthread_mutex_init(&rs->lock, NULL);
	rs->fd = rs->channel->fd;
	rs->domain = domain;
	rs->type = type;
	rs->opt = *opt;
	return rs;
}

void rs_destroy(struct rsock *rs)
{
	if (rs->request)
		rdma_destroy_id(rs->request);
	rs_dgram_end(rs);
	rs_shut(rs);
	if (rs->id)
		rdma_destroy_id(rs->id);
	rdma_destroy_event_channel(rs->channel);
	pthread_mutex_destroy(&rs->lock);
	free(rs);
}

/* Return: its number; -1 and errno, and it is destroyed */
static int publish(struct rsock *rs)
{
	int err = rs_add(rs), fd = rs->fd;

	if (!err)
		return fd;
	rs_destroy(rs);
	return rs_fail(err);
}

static bool is_supported(int type, int protocol)
{
	if (type == SOCK_STREAM)
		return !protocol || protocol == IPPROTO_TCP;
	return type == SOCK_DGRAM && (!protocol || protocol == IPPROTO_UDP);
}

RS_EXPORT int rsocket(int domain, int type, int protocol)
{
	int kind = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC), err;
	struct rsock *rs;

	if (domain != AF_INET && domain != AF_INET6)
		return rs_fail(EAFNOSUPPORT);
	if (!is_supported(kind, protocol))
		return rs_fail(EPROTONOSUPPORT);
	rs = rs_new(domain, kind, &defaults);
	if (!rs)
		return -1;
	rs->nonblocking = type & SOCK_NONBLOCK;
	if (rdma_create_id(rs->channel, &rs->id, rs, kind == SOCK_DGRAM ? RDMA_PS_UDP : RDMA_PS_TCP)) {
		err = errno;
		rs_destroy(rs);
		return rs_fail(err);
	}
	return publish(rs);
}

/* --- states --- */

void rs_lose(struct rsock *rs, int err)
{
	bool connected = rs->state == RS_CONNECTED || rs->state == RS_ACCEPTING;

	if (rs->state == RS_OVER)
		return;
	rs->state = RS_OVER;
	rs->err = err;
	rs->broken = err != 0;
	if (connected)
		(void)rdma_disconnect(rs->id);
	rs_wake(rs);
}

static int ask(struct rsock *rs)
{
	struct rdma_conn_param param = { .retry_count = 7, .rnr_retry_count = 7 };
	struct rs_hello hello;
	int err = rs_open(rs);

	if (err)
		return err;
	hello = rs_hello(rs);
	param.private_data = &hello;
	param.private_data_len = sizeof(hello);
	rs->state = RS_CONNECTING;
	return rdma_connect(rs->id, &param) ? errno : 0;
}

static int on_established(struct rsock *rs, const struct rs_hello *hello)
{
	int err = rs->state == RS_CONNECTING ? rs_meet(rs, hello) : 0;

	if (err)
		(void)rdma_disconnect(rs->id);
	else if (rs->state == RS_CONNECTING || rs->state == RS_ACCEPTING)
		rs->state = RS_CONNECTED;
	rs->up |= !err;
	return err;
}

/* Return: 0; an errno: the connection is over */
static int on_event(struct rsock *rs, enum rdma_cm_event_type type, int status, const struct rs_hello *hello)
{
	switch (type) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		return rdma_resolve_route(rs->id, RESOLVE_MS) ? errno : 0;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		return ask(rs);
	case RDMA_CM_EVENT_ESTABLISHED:
		return on_established(rs, hello);
	case RDMA_CM_EVENT_ADDR_ERROR:
	case RDMA_CM_EVENT_ROUTE_ERROR:
		return status < 0 ? -status : EHOSTUNREACH;
	case RDMA_CM_EVENT_REJECTED:
		return ECONNREFUSED;
	case RDMA_CM_EVENT_UNREACHABLE:
		return ETIMEDOUT;
	case RDMA_CM_EVENT_CONNECT_ERROR:
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		return ECONNRESET;
	default:
		return 0;
	}
}

static void take_request(struct rsock *rs, struct rdma_cm_id *id, const struct rs_hello *hello)
{
	struct rdma_conn_param param = { 0 };

	/* Who asks where a socket of datagrams is wants nothing else. */
	if (rs->dgram) {
		param.qp_num = rs_dgram_qpn(rs);
		(void)rdma_accept(id, &param);
		rdma_destroy_id(id);
		return;
	}
	rs->request = id;
	rs->asked = *hello;
}

bool rs_on_channel(struct rsock *rs)
{
	struct rs_hello hello;
	struct rdma_cm_event *e;
	enum rdma_cm_event_type type;
	struct rdma_cm_id *id;
	bool some = false;
	int status, err;

	/* A listener has one request at hand; others wait on its channel. */
	while (!rs->request && !rdma_get_cm_event(rs->channel, &e)) {
		some = true;
		type = e->event;
		status = e->status;
		id = e->id;
		memset(&hello, 0, sizeof(hello));
		if (e->param.conn.private_data && e->param.conn.private_data_len >= sizeof(hello))
			memcpy(&hello, e->param.conn.private_data, sizeof(hello));
		rdma_ack_cm_event(e);
		if (type == RDMA_CM_EVENT_CONNECT_REQUEST) {
			take_request(rs, id, &hello);
			continue;
		}
		/* Of a request that isn't answered yet: its ID is still on the listener's channel. */
		if (id != rs->id)
			continue;
		err = on_event(rs, type, status, &hello);
		if (err || type == RDMA_CM_EVENT_DISCONNECTED) {
			/* What has come before that is read first. */
			if (rs->cq)
				(void)rs_on_completions(rs);
			rs_lose(rs, err);
		}
	}
	return some;
}

/* --- addresses --- */

static int bind_to(struct rsock *rs, const struct sockaddr *addr, socklen_t len)
{
	struct sockaddr_in6 own;
	int err = rs_take_address(rs, addr, len, &own);

	if (err)
		return err;
	if (rs->bound || rs->state != RS_IDLE)
		return EINVAL;
	if (rdma_bind_addr(rs->id, (struct sockaddr *)&own))
		return errno;
	rs->bound = true;
	/* Who sends to it asks for its queue pair. */
	return rs->type == SOCK_DGRAM ? rs_dgram_open(rs) : 0;
}

RS_EXPORT int rbind(int socket, const struct sockaddr *addr, socklen_t addrlen)
{
	struct rsock *rs = rs_get(socket);
	int err;

	if (!rs)
		return -1;
	pthread_mutex_lock(&rs->lock);
	err = bind_to(rs, addr, addrlen);
	pthread_mutex_unlock(&rs->lock);
	rs_put(rs);
	return err ? rs_fail(err) : 0;
}

/* --- the passive side --- */

static int listen_on(struct rsock *rs, int backlog)
{
	struct sockaddr_storage any = { .ss_family = (sa_family_t)rs->domain };
	int err = 0;

	if (rs->type != SOCK_STREAM)
		return EOPNOTSUPP;
	if (rs->state != RS_IDLE && rs->state != RS_LISTENING)
		return EINVAL;
	/* As with the system's, fewer than none are as many as there may be. */
	rs->backlog = backlog < 0 ? BACKLOG_MAX : RS_MIN(RS_MAX(backlog, 1), BACKLOG_MAX);
	if (rs->state == RS_LISTENING)
		return 0;
	if (!rs->bound)
		err = bind_to(rs, (struct sockaddr *)&any, sizeof(any));
	if (err)
		return err;
	/* The manager takes 0 for as many as there may be. */
	if (rdma_listen(rs->id, rs->backlog))
		return errno;
	rs->state = RS_LISTENING;
	return rs_serve(rs);
}

RS_EXPORT int rlisten(int socket, int backlog)
{
	struct rsock *rs = rs_get(socket);
	int err;

	if (!rs)
		return -1;
	pthread_mutex_lock(&rs->lock);
	err = listen_on(rs, backlog);
	pthread_mutex_unlock(&rs->lock);
	rs_put(rs);
	return err ? rs_fail(err) : 0;
}

static bool has_connection(const struct rsock *rs)
{
	return rs->accepted || rs->accept_err || rs->state != RS_LISTENING;
}

static int answer(struct rsock *rs, const struct rs_hello *asked)
{
	struct rdma_conn_param param = { .retry_count = 7, .rnr_retry_count = 7 };
	struct rs_hello hello;
	int err = rs_meet(rs, asked);

	if (!err)
		err = rdma_migrate_id(rs->id, rs->channel) ? errno : 0;
	if (!err)
		err = rs_open(rs);
	if (err) {
		(void)rdma_reject(rs->id, NULL, 0);
		return err;
	}
	hello = rs_hello(rs);
	param.private_data = &hello;
	param.private_data_len = sizeof(hello);
	rs->state = RS_ACCEPTING;
	rs->up = true;
	return rdma_accept(rs->id, &param) ? errno : 0;
}

/* A connection out of a listener's request. Return: NULL and errno, and the request is refused */
static struct rsock *accept_request(const struct rsock *listener, struct rdma_cm_id *id, const struct rs_hello *asked)
{
	struct rsock *rs = rs_new(listener->domain, listener->type, &listener->opt);
	int err;

	if (!rs) {
		err = errno;
		rdma_destroy_id(id);
		errno = err;
		return NULL;
	}
	rs->id = id;
	err = answer(rs, asked);
	if (!err)
		return rs;
	rs_destroy(rs);
	errno = err;
	return NULL;
}

static void add_accepted(struct rsock *rs, struct rsock *new)
{
	struct rsock **at = &rs->accepted;

	while (*at)
		at = &(*at)->next_accepted;
	*at = new;
	rs->n_accepted++;
}

static struct rsock *take_accepted(struct rsock *rs)
{
	struct rsock *new = rs->accepted;

	if (!new)
		return NULL;
	rs->accepted = new->next_accepted;
	new->next_accepted = NULL;
	rs->n_accepted--;
	return new;
}

void rs_accept_waiting(struct rsock *rs)
{
	struct rdma_cm_id *id;
	struct rsock *new;
	bool some = false;

	while (!rs->closed && rs->state == RS_LISTENING && rs->n_accepted < rs->backlog) {
		(void)rs_on_channel(rs);
		id = rs->request;
		if (!id)
			break;
		rs->request = NULL;
		new = accept_request(rs, id, &rs->asked);
		some = true;
		/* A peer that has left by now, or isn't one of ours, isn't worth an error. */
		if (new)
			add_accepted(rs, new);
		else if (errno == ENOMEM || errno == EMFILE || errno == ENFILE)
			rs->accept_err = errno;
	}
	if (some)
		rs_wake(rs);
}

/* Return: the connection; NULL and errno */
static struct rsock *next_connection(struct rsock *rs)
{
	struct rsock *new = NULL;
	bool was_full;
	int err;

	pthread_mutex_lock(&rs->lock);
	err = rs_wait_timed(rs, rs->nonblocking, rs_deadline(&rs->opt.rcvtimeo), has_connection);
	if (!err && rs->state != RS_LISTENING)
		err = EINVAL;
	was_full = rs->n_accepted >= rs->backlog;
	if (!err)
		new = take_accepted(rs);
	if (!err && !new) {
		err = rs->accept_err;
		rs->accept_err = 0;
	}
	pthread_mutex_unlock(&rs->lock);
	if (was_full && new)
		rs_serve_again();
	if (!new)
		errno = err;
	return new;
}

RS_EXPORT int raccept(int socket, struct sockaddr *addr, socklen_t *addrlen)
{
	struct rsock *rs = rs_get(socket), *new;

	if (!rs)
		return -1;
	if (rs->type != SOCK_STREAM) {
		rs_put(rs);
		return rs_fail(EOPNOTSUPP);
	}
	new = next_connection(rs);
	rs_put(rs);
	if (!new)
		return -1;
	if (addr && addrlen)
		(void)rs_give_address(new, rdma_get_peer_addr(new->id), addr, addrlen);
	return publish(new);
}

/* --- the active side --- */

static bool is_decided(const struct rsock *rs)
{
	return rs->state == RS_CONNECTED || rs->state == RS_OVER;
}

static int start(struct rsock *rs, const struct sockaddr *addr, socklen_t len)
{
	struct sockaddr_in6 to;
	int err = rs_take_address(rs, addr, len, &to);

	if (err)
		return err;
	if (rdma_resolve_addr(rs->id, NULL, (struct sockaddr *)&to, RESOLVE_MS))
		return errno;
	rs->state = RS_RESOLVING;
	rs->connecting = true;
	return 0;
}

static int connect_to(struct rsock *rs, const struct sockaddr *addr, socklen_t len)
{
	bool first = rs->state == RS_IDLE;
	int err = 0;

	if (first)
		err = start(rs, addr, len);
	else if ((rs->state == RS_CONNECTED && !rs->connecting) || rs->state == RS_ACCEPTING)
		return EISCONN;
	else if (rs->state == RS_LISTENING)
		return EINVAL;
	if (!err)
		err = rs_wait_timed(rs, rs->nonblocking, rs_deadline(&rs->opt.sndtimeo), is_decided);
	if (err == EAGAIN)
		return first || !rs->nonblocking ? EINPROGRESS : EALREADY;
	if (err)
		return err;
	/* A refusal is told at once; of success one that doesn't wait is told by the next call, however fast the peer was. */
	if (rs->state == RS_CONNECTED && first && rs->nonblocking)
		return EINPROGRESS;
	rs->connecting = false;
	if (rs->state == RS_CONNECTED)
		return 0;
	err = rs->err ? rs->err : ECONNABORTED;
	rs->err = 0;
	return err;
}

RS_EXPORT int rconnect(int socket, const struct sockaddr *addr, socklen_t addrlen)
{
	struct rsock *rs = rs_get(socket);
	int err;

	if (!rs)
		return -1;
	pthread_mutex_lock(&rs->lock);
	err = rs->type == SOCK_DGRAM ? rs_dgram_connect(rs, addr, addrlen) : connect_to(rs, addr, addrlen);
	pthread_mutex_unlock(&rs->lock);
	rs_put(rs);
	return err ? rs_fail(err) : 0;
}

/* --- the end --- */

/* Also when the peer has closed, until this side has as well. */
static bool has_peer(const struct rsock *rs)
{
	if (rs->told_gone)
		return false;
	return rs->state == RS_CONNECTED || rs->state == RS_ACCEPTING ||
	       (rs->state == RS_OVER && rs->up && !rs->broken && !rs->write_shut);
}

static int shut_down(struct rsock *rs, int how)
{
	rs_progress(rs);
	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return EINVAL;
	if (rs->type == SOCK_DGRAM ? !rs_dgram_peer(rs) : !has_peer(rs))
		return ENOTCONN;
	if (how != SHUT_WR) {
		rs->read_shut = true;
		rs->read = rs->arrived;
	}
	if (how != SHUT_RD && !rs->write_shut) {
		rs->write_shut = true;
		rs->due_end = true;
	}
	rs_tell(rs);
	rs_wake(rs);
	return 0;
}

RS_EXPORT int rshutdown(int socket, int how)
{
	struct rsock *rs = rs_get(socket);
	int err;

	if (!rs)
		return -1;
	pthread_mutex_lock(&rs->lock);
	err = shut_down(rs, how);
	pthread_mutex_unlock(&rs->lock);
	rs_put(rs);
	return err ? rs_fail(err) : 0;
}

static bool is_done(const struct rsock *rs)
{
	return rs->state == RS_OVER || (rs->state == RS_CONNECTED && rs_is_idle(rs));
}

/* A signal doesn't end it. */
static void wait_out(struct rsock *rs, uint64_t deadline, bool (*ready)(const struct rsock *rs))
{
	while (rs_wait_until(rs, deadline, ready) == EINTR)
		;
}

/* Connections that the program never took */
static void end_accepted(struct rsock *rs)
{
	struct rsock *new;

	while ((new = take_accepted(rs))) {
		rs_lose(new, 0);
		rs_destroy(new);
	}
}

/* What was sent is in the peer's memory before this process may end. */
static void say_goodbye(struct rsock *rs)
{
	int linger = RS_MIN(RS_MAX(rs->opt.linger.l_linger, 0), MOST_SECONDS);
	int wait = rs->opt.linger.l_onoff ? linger : CLOSE_SECONDS;
	uint64_t deadline = rs_now() + (uint64_t)wait * 1000000000u;

	rs->closed = true;
	rs_wake(rs);
	end_accepted(rs);
	if (rs->dgram && wait)
		wait_out(rs, deadline, rs_dgram_is_idle);
	if (rs->state != RS_CONNECTED && rs->state != RS_ACCEPTING)
		return;
	rs->due_gone = true;
	rs->write_shut = true;
	rs->read_shut = true;
	rs->read = rs->arrived;
	rs_tell(rs);
	if (wait)
		wait_out(rs, deadline, is_done);
	rs_lose(rs, 0);
}

RS_EXPORT int rclose(int socket)
{
	struct rsock *rs = rs_take(socket);

	if (!rs)
		return -1;
	/* The connection is the parent's; the child has the descriptors. */
	if (rs->life != rs_life) {
		if (rs->comp)
			close(rs->comp->fd);
		close(rs->fd);
		return 0;
	}
	pthread_mutex_lock(&rs->lock);
	say_goodbye(rs);
	pthread_mutex_unlock(&rs->lock);
	rs_unserve(rs);
	rs_put(rs);
	return 0;
}

/* --- names --- */

RS_EXPORT int rgetsockname(int socket, struct sockaddr *addr, socklen_t *addrlen)
{
	struct sockaddr_storage none = { 0 };
	struct rsock *rs = rs_get(socket);
	const struct sockaddr *from;
	int err;

	if (!rs)
		return -1;
	pthread_mutex_lock(&rs->lock);
	from = rdma_get_local_addr(rs->id);
	if (!from->sa_family) {
		none.ss_family = (sa_family_t)rs->domain;
		from = (struct sockaddr *)&none;
	}
	err = rs_give_address(rs, from, addr, addrlen);
	pthread_mutex_unlock(&rs->lock);
	rs_put(rs);
	return err ? rs_fail(err) : 0;
}

RS_EXPORT int rgetpeername(int socket, struct sockaddr *addr, socklen_t *addrlen)
{
	struct rsock *rs = rs_get(socket);
	const struct sockaddr *peer;
	int err;

	if (!rs)
		return -1;
	pthread_mutex_lock(&rs->lock);
	rs_progress(rs);
	peer = rs_dgram_peer(rs);
	if (has_peer(rs))
		peer = rdma_get_peer_addr(rs->id);
	err = peer ? rs_give_address(rs, peer, addr, addrlen) : ENOTCONN;
	pthread_mutex_unlock(&rs->lock);
	rs_put(rs);
	return err ? rs_fail(err) : 0;
}
