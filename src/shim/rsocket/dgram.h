/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the two files of datagrams share: dgram.c has the queue pair, dgram_peer.c knows the peers. The socket's lock guards all. */
#ifndef SHIM_RSOCKET_DGRAM_H
#define SHIM_RSOCKET_DGRAM_H

#include "rsocket.h"

#define RS_DATAGRAM 0x72736431u

/** struct rs_addresses - how each message begins; of IPv4 the addresses are struct sockaddr_in, with zeros behind */
struct rs_addresses {
	uint32_t version; /* RS_DATAGRAM */
	uint32_t spare;
	struct sockaddr_in6 from;
	struct sockaddr_in6 to;
};

/** struct rs_peer - where an address is; @names: of messages to it; @fresh: when that was last seen to be true, in ns */
struct rs_peer {
	struct rs_peer *next;
	struct rs_addresses names;
	struct ibv_ah *ah;
	uint32_t qpn;
	uint64_t fresh;
};

struct rs_arrival {
	uint32_t slot;
	uint32_t bytes;
};

/** struct rs_dgram - of a socket that has sent, received or been polled */
struct rs_dgram {
	struct ibv_pd *pd;
	struct ibv_qp *qp;
	struct ibv_mr *mr;
	uint8_t *memory;
	size_t bytes;
	uint32_t mtu, receives, sends;

	struct rs_arrival *arrived; /* a ring of @receives */
	uint32_t first, waiting;
	uint32_t send_at, busy;

	struct rs_peer *peers;
	unsigned int n_peers;
	struct sockaddr_in6 to; /* of rconnect() */
	bool connected;
};

/** rs_peer_learn() - somebody sent from an address */
void rs_peer_learn(struct rsock *rs, const struct rs_addresses *names, struct ibv_wc *wc, struct ibv_grh *grh);

/**
 * rs_peer_find() - where is the address? The lock is let go while it is looked for.
 * @dontwait: a place that was known, though long ago, will do
 * @peer: until the lock is let go, or completions are taken
 *
 * Return: 0; ECONNREFUSED: no socket has the address; ETIMEDOUT: its owner doesn't answer; other errors
 */
int rs_peer_find(struct rsock *rs, const struct sockaddr_in6 *to, bool dontwait, struct rs_peer **peer);

/** rs_peers_end() - the queue pair is gone */
void rs_peers_end(struct rs_dgram *d);

#endif
