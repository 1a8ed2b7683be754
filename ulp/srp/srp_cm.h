/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How an SRP initiator finds a target, over softhca/rdma_cm.h as Linux's ib_srp and ib_srpt do: a target listens on
 * a port of the TCP port space, and the service ID is that of the port. The login's request is private data of the REQ,
 * its response of the REP, its rejection of the REJ.
 *
 * Handlers are called in threads of the library, one at a time for one connection, and may not wait for anything: not
 * for a thread, not for a drain.
 */
#ifndef SRP_CM_H
#define SRP_CM_H

#include "softhca/rdma_cm.h"

#define SRP_CM_PRIVATE \
	56u /* bytes of private data of a request: a REQ's, without the header of connections by address */
#define SRP_CM_NAME 64u

enum srp_cm_what {
	SRP_CM_REQUEST, /* to a listener: somebody wants to connect */
	SRP_CM_READY, /* for the connecting side: the path is known, and the ID may have a queue pair */
	SRP_CM_ACCEPTED, /* for the connecting side: the queue pair is in RTS */
	SRP_CM_REJECTED, /* for the connecting side; there is no connection: only close it */
	SRP_CM_GONE, /* to either: the other one has disconnected, or closed */
};

struct srp_cm_conn;

/** struct srp_cm_event - @data, @len: of a request, an acceptance or a rejection, with zeros behind it; valid during the call */
struct srp_cm_event {
	enum srp_cm_what what;
	struct srp_cm_conn *conn;
	const void *data;
	u32 len;
};

/**
 * srp_cm_handler - @ctx: the listener's for a request, else what was given with srp_cm_open() or srp_cm_accept()
 * Return: of a request: false: the connection is rejected and closed; else without meaning
 */
typedef bool (*srp_cm_handler)(void *ctx, const struct srp_cm_event *ev);

/**
 * struct srp_cm_conn - one end of a connection
 * @fn: NULL: a request that was not answered yet; atomic
 * @depth: of a request: RDMA reads that the peer answers at once
 * @active: the connecting side
 * @open: it was connected
 */
struct srp_cm_conn {
	struct rdma_cm_id *id;
	srp_cm_handler fn;
	void *ctx;
	u8 depth;
	bool active;
	bool open;
};

struct srp_cm_listener;

/**
 * srp_cm_listen() - requests for @name go to @fn
 * @name: an address of @dev and a port, as 10.0.0.2:5555 or [fe80::1]:5555
 *
 * Return: 0; -EINVAL; -EADDRINUSE; -EADDRNOTAVAIL: not an address of @dev; -ENOMEM
 */
int srp_cm_listen(struct ib_device *dev, const char *name, srp_cm_handler fn, void *ctx, struct srp_cm_listener **out);

/** srp_cm_unlisten() - no request comes any more when it has returned; not from a handler */
void srp_cm_unlisten(struct srp_cm_listener *l);

/** srp_cm_open() - find the way to @name from @dev; @fn gets SRP_CM_READY or _REJECTED. Return: 0; -EINVAL, -EADDRNOTAVAIL, -ENOMEM. */
int srp_cm_open(struct ib_device *dev, const char *name, srp_cm_handler fn, void *ctx, struct srp_cm_conn **conn);

/** srp_cm_connect() - after SRP_CM_READY, with a queue pair; the handler gets SRP_CM_ACCEPTED or _REJECTED. Return: 0 or -errno */
int srp_cm_connect(struct srp_cm_conn *conn, const void *data, u32 len);

/** srp_cm_accept() - a request, whose ID has a queue pair; @fn is called at its end. Return: 0 or -errno: the peer has left */
int srp_cm_accept(struct srp_cm_conn *conn, const void *data, u32 len, srp_cm_handler fn, void *ctx);

/** srp_cm_reject() - a request, also in its handler, which then returns false; else the connection is to be closed */
void srp_cm_reject(struct srp_cm_conn *conn, const void *data, u32 len);

/** srp_cm_disconnect() - notify the other end; the queue pair goes to ERR. May be called in a handler, and twice. */
void srp_cm_disconnect(struct srp_cm_conn *conn);

/** srp_cm_close() - disconnect, and free it. No handler is under way or comes when it has returned; not from its handler. */
void srp_cm_close(struct srp_cm_conn *conn);

#endif
