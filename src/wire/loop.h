/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The loop wire: adapters in one address space. A piece of a message is a call of the
 * other adapter's client, in the sender's context; nothing is queued, nothing is lost.
 */
#ifndef WIRE_LOOP_H
#define WIRE_LOOP_H

#include "wire/wire.h"

#define HCA_LOOP_PORTS 256u

struct hca_loop_port {
	const struct hca_wire_client *ops;
	void *client;
};

struct hca_loop {
	struct hca_wire wire;
	struct hca_spinlock lock; /* attaching */
	struct hca_loop_port *port[HCA_LOOP_PORTS]; /* by LID, from 1; RCU */
};

void hca_loop_init(struct hca_loop *loop);

#endif
