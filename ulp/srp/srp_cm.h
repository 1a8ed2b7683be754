/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How an SRP initiator finds a target, and what they tell each other before there is
 * a queue pair to say it over: the addresses of both, and the login as private data.
 * A table of calls, so that whatever sets connections up can stand behind it;
 * srp_cm_local() is a rendezvous inside this process.
 *
 * Handlers are called from any thread, one at a time for one connection, and may not wait for anything: not for
 * a thread, not for a drain.
 */
#ifndef SRP_CM_H
#define SRP_CM_H

#include "softhca/hca_types.h"

#define SRP_CM_PRIVATE 92u /* bytes of private data that a request carries (IBTA 12.6.5) */
#define SRP_CM_NAME 64u

/** struct srp_cm_addr - one end of a connection; @qpn, @psn: 24 bits */
struct srp_cm_addr {
	u32 lid;
	u32 qpn;
	u32 psn;
};

enum srp_cm_what {
	SRP_CM_REQUEST, /* to a listener: somebody wants to connect */
	SRP_CM_ACCEPTED, /* for the connecting side */
	SRP_CM_REJECTED, /* for the connecting side; there is no connection: only close it */
	SRP_CM_GONE, /* to either: the other one has disconnected, or closed */
};

struct srp_cm_conn;

/** struct srp_cm_event - @peer, @data, @len: of a request, an acceptance or (data alone) a rejection; valid during the call */
struct srp_cm_event {
	enum srp_cm_what what;
	struct srp_cm_conn *conn;
	struct srp_cm_addr peer;
	const void *data;
	u32 len;
};

/** srp_cm_handler - @ctx: the listener's for a request, else what was given with the accept or connect */
typedef void (*srp_cm_handler)(void *ctx, const struct srp_cm_event *ev);

struct srp_cm;

/**
 * struct srp_cm_ops - what sets connections up
 * @listen: requests for @name go to @fn. Return: 0; -EADDRINUSE, -ENOMEM, -EINVAL
 * @unlisten: no request comes any more when it returned; not from a handler
 * @connect: ask for @name. Return: 0 and *@conn, and @fn gets the answer, perhaps before this returns;
 *	-ECONNREFUSED: nobody listens; -ENOMEM, -EINVAL
 * @accept: a request, during its handler or later, whose queue pair is ready to receive; @fn is called at its end
 * @reject: a request; the connection is closed with it
 * @disconnect: tell the other end. May be called in a handler, and twice.
 * @close: give @conn back; disconnects. No handler is under way or comes when it returned; not from its handler.
 */
struct srp_cm_ops {
	int (*listen)(struct srp_cm *cm, const char *name, srp_cm_handler fn, void *ctx);
	void (*unlisten)(struct srp_cm *cm, const char *name);
	int (*connect)(struct srp_cm *cm, const char *name, const struct srp_cm_addr *self, const void *data, u32 len,
		       srp_cm_handler fn, void *ctx, struct srp_cm_conn **conn);
	int (*accept)(struct srp_cm_conn *conn, const struct srp_cm_addr *self, const void *data, u32 len,
		      srp_cm_handler fn, void *ctx);
	void (*reject)(struct srp_cm_conn *conn, const void *data, u32 len);
	void (*disconnect)(struct srp_cm_conn *conn);
	void (*close)(struct srp_cm_conn *conn);
};

/** struct srp_cm - a way to set connections up; embedded in its own */
struct srp_cm {
	const struct srp_cm_ops *ops;
};

/** srp_cm_local() - the rendezvous of this process */
struct srp_cm *srp_cm_local(void);

#endif
