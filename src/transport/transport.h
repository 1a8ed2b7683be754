/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a queue pair's requests are carried out: whole messages over a wire that takes
 * them (message/), or packets (packet/). A queue pair calls its transport by the table
 * struct hca_qp_transport (hca/qp.h); an adapter gets its table here, from its wire.
 */
#ifndef HCA_TRANSPORT_H
#define HCA_TRANSPORT_H

#include "hca/qp.h"
#include "wire/wire.h"

extern const struct hca_qp_transport hca_message_transport;
extern const struct hca_wire_client hca_message_client;
extern const struct hca_qp_transport hca_packet_transport;
extern const struct hca_wire_client hca_packet_client;

/**
 * hca_open() - an adapter on @wire that reaches memory through @mem
 * @eq: of all adapters of the wire
 * @attr: how large it is
 *
 * May sleep. Return: 0, -EINVAL, -ENOMEM; -ENOSPC: the wire has no port left.
 */
int hca_open(struct hca *hca, struct hca_wire *wire, struct hca_eq *eq, struct hca_mem *mem,
	     const struct hca_attr *attr);

/** hca_share_begin() - publish queue pairs and keys to the wire from now on, if it has a listener; called by hca_open() */
void hca_share_begin(struct hca *hca);

/** hca_close() - after its objects were destroyed. May sleep. Return: 0; -EBUSY: it has queue pairs or keys, and nothing has changed. */
int hca_close(struct hca *hca);

#endif
