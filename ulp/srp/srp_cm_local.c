/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A rendezvous inside one process; see srp_cm.h. Handlers are called in the thread of
 * the one who did what they hear of. One lock for all; it isn't held while a
 * handler runs.
 */
#include <pthread.h>

#include "srp_private.h"

struct listener {
	struct listener *next;
	char name[SRP_CM_NAME];
	srp_cm_handler fn;
	void *ctx;
	u32 busy;
};

struct srp_cm_conn {
	struct pair *pair;
	srp_cm_handler fn; /* NULL: a request that nobody has answered yet */
	void *ctx;
	u32 busy; /* calls of fn under way: 0 or 1 */
	bool gone; /* the other end has left; fn is called for it once, after the call that is under way */
	bool told;
	bool closed;
};

/* Both ends of a connection: who asked, and who was asked. */
struct pair {
	struct srp_cm_conn end[2];
	u32 ends; /* not closed */
	bool answered;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static struct listener *listeners;

static struct srp_cm_conn *other(struct srp_cm_conn *conn)
{
	return &conn->pair->end[conn == &conn->pair->end[0]];
}

static struct listener *find(const char *name)
{
	struct listener *l;

	for (l = listeners; l && strcmp(l->name, name) != 0; l = l->next)
		;
	return l;
}

/* Calls the handler, unless the end is closed. The lock is held before and after. */
static void call(struct srp_cm_conn *conn, struct srp_cm_event *ev)
{
	srp_cm_handler fn = conn->fn;
	void *ctx = conn->ctx;

	ev->conn = conn;
	conn->busy++;
	pthread_mutex_unlock(&lock);
	fn(ctx, ev);
	pthread_mutex_lock(&lock);
	conn->busy--;
	pthread_cond_broadcast(&idle);
}

/* Notify an end that the other has left; if a thread is in its handler, that thread does it. */
static void tell_gone(struct srp_cm_conn *conn)
{
	struct srp_cm_event ev = { .what = SRP_CM_GONE };

	if (!conn->gone || conn->told || conn->busy || conn->closed || !conn->fn)
		return;
	conn->told = true;
	call(conn, &ev);
}

static void answer(struct srp_cm_conn *conn, struct srp_cm_event *ev)
{
	if (conn->closed)
		return;
	call(conn, ev);
	tell_gone(conn);
}

static int local_listen(struct srp_cm *cm, const char *name, srp_cm_handler fn, void *ctx)
{
	struct listener *l;
	int err = 0;

	(void)cm;
	if (!*name || strlen(name) >= SRP_CM_NAME)
		return -EINVAL;
	l = srp_alloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	memcpy(l->name, name, strlen(name) + 1);
	l->fn = fn;
	l->ctx = ctx;
	pthread_mutex_lock(&lock);
	if (find(name)) {
		err = -EADDRINUSE;
	} else {
		l->next = listeners;
		listeners = l;
	}
	pthread_mutex_unlock(&lock);
	if (err)
		srp_free(l);
	return err;
}

static void local_unlisten(struct srp_cm *cm, const char *name)
{
	struct listener *l, **at;

	(void)cm;
	pthread_mutex_lock(&lock);
	l = find(name);
	for (at = &listeners; l && *at != l; at = &(*at)->next)
		;
	if (l)
		*at = l->next;
	while (l && l->busy)
		pthread_cond_wait(&idle, &lock);
	pthread_mutex_unlock(&lock);
	srp_free(l);
}

static int local_connect(struct srp_cm *cm, const char *name, const struct srp_cm_addr *self, const void *data, u32 len,
			 srp_cm_handler fn, void *ctx, struct srp_cm_conn **conn)
{
	struct srp_cm_event ev = { .what = SRP_CM_REQUEST, .peer = *self, .data = data, .len = len };
	struct listener *l;
	struct pair *p;

	(void)cm;
	if (len > SRP_CM_PRIVATE)
		return -EINVAL;
	p = srp_alloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->end[0] = (struct srp_cm_conn){ .pair = p, .fn = fn, .ctx = ctx };
	p->end[1].pair = p;
	p->ends = 2;
	ev.conn = &p->end[1];
	pthread_mutex_lock(&lock);
	l = find(name);
	if (!l) {
		pthread_mutex_unlock(&lock);
		srp_free(p);
		return -ECONNREFUSED;
	}
	l->busy++;
	*conn = &p->end[0];
	pthread_mutex_unlock(&lock);
	l->fn(l->ctx, &ev);
	pthread_mutex_lock(&lock);
	l->busy--;
	pthread_cond_broadcast(&idle);
	pthread_mutex_unlock(&lock);
	return 0;
}

static int local_accept(struct srp_cm_conn *conn, const struct srp_cm_addr *self, const void *data, u32 len,
			srp_cm_handler fn, void *ctx)
{
	struct srp_cm_event ev = { .what = SRP_CM_ACCEPTED, .peer = *self, .data = data, .len = len };
	int err = 0;

	pthread_mutex_lock(&lock);
	if (conn->pair->answered)
		err = -EINVAL;
	else if (conn->gone)
		err = -ENOTCONN;
	if (!err) {
		conn->pair->answered = true;
		conn->fn = fn;
		conn->ctx = ctx;
		answer(other(conn), &ev);
		tell_gone(conn);
	}
	pthread_mutex_unlock(&lock);
	return err;
}

static void local_close(struct srp_cm_conn *conn)
{
	struct pair *p = conn->pair;
	bool last;

	pthread_mutex_lock(&lock);
	conn->closed = true;
	other(conn)->gone = true;
	tell_gone(other(conn));
	while (conn->busy)
		pthread_cond_wait(&idle, &lock);
	last = !--p->ends;
	pthread_mutex_unlock(&lock);
	if (last)
		srp_free(p);
}

static void local_reject(struct srp_cm_conn *conn, const void *data, u32 len)
{
	struct srp_cm_event ev = { .what = SRP_CM_REJECTED, .data = data, .len = len };

	pthread_mutex_lock(&lock);
	if (!conn->pair->answered) {
		conn->pair->answered = true;
		other(conn)->told = true; /* that is all that it hears */
		answer(other(conn), &ev);
	}
	pthread_mutex_unlock(&lock);
	local_close(conn);
}

static void local_disconnect(struct srp_cm_conn *conn)
{
	pthread_mutex_lock(&lock);
	other(conn)->gone = true;
	tell_gone(other(conn));
	pthread_mutex_unlock(&lock);
}

static const struct srp_cm_ops local_ops = {
	.listen = local_listen,
	.unlisten = local_unlisten,
	.connect = local_connect,
	.accept = local_accept,
	.reject = local_reject,
	.disconnect = local_disconnect,
	.close = local_close,
};

struct srp_cm *srp_cm_local(void)
{
	static struct srp_cm cm = { &local_ops };

	return &cm;
}
