/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The loop wire: adapters in one address space. A piece of a message is a call of the
 * other adapter's client, in the sender's context; nothing is queued, nothing is lost.
 */
#ifndef HCA_WIRE_LOOP_H
#define HCA_WIRE_LOOP_H

#include "wire/wire.h"

#define HCA_LOOP_PORTS 256u

struct hca_loop_port {
	const struct hca_wire_client *ops;
	void *client;
};

struct hca_loop {
	struct hca_wire wire;
	struct hca_mutex ports; /* attaching and detaching */
	struct hca_loop_port *port[HCA_LOOP_PORTS]; /* by LID, from 1; atomic, read from inside an adapter */
	void *client[HCA_LOOP_PORTS]; /* theirs; as port */
};

void hca_loop_init(struct hca_loop *loop);

/** hca_loop_fini() - no adapter is on it any more */
void hca_loop_fini(struct hca_loop *loop);

#endif
