/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Adapters join a wire, and get the transport that it is for; see transport.h. */
#include "transport/transport.h"

static void take_port(struct hca *hca, const struct hca_wire_port *port)
{
	u32 i, index;

	hca->lid = port->lid;
	hca->first_qpn = port->first_qpn;
	hca->qpns = port->qpns;
	hca->qp_next = HCA_MAX(port->first_qpn, HCA_FIRST_QPN);
	hca->limits.max_mtu = port->max_mtu;
	for (i = 0; i < port->gids; i++)
		(void)HCA_WARN_ON(hca_gid_add(&hca->gids, &port->gid[i], &index));
}

int hca_open(struct hca *hca, struct hca_wire *wire, struct hca_eq *eq, struct hca_mem *mem,
	     const struct hca_attr *attr)
{
	bool messages = wire->ops->caps & HCA_WIRE_MESSAGES;
	struct hca_wire_port port;
	int err = hca_init(hca, eq, mem, attr);

	if (err)
		return err;
	hca->wire = wire;
	hca->limits.has_lids = wire->ops->caps & HCA_WIRE_LIDS;
	hca_share_begin(hca);
	hca->transport = messages ? &hca_message_transport : &hca_packet_transport;
	err = wire->ops->attach(wire, messages ? &hca_message_client : &hca_packet_client, hca, &port);
	if (err)
		hca_fini(hca);
	else
		take_port(hca, &port);
	return err;
}

int hca_close(struct hca *hca)
{
	if (hca_busy(hca))
		return -EBUSY;
	hca->wire->ops->detach(hca->wire, hca->lid);
	hca_fini(hca);
	return 0;
}
