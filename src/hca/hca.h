/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The adapter: its tables, its limits, and its common state. An API makes
 * an adapter by hca_open() (transport/transport.h), which also attaches it to a wire.
 */
#ifndef HCA_HCA_H
#define HCA_HCA_H

#include "hca/count.h"
#include "hca/cq.h"
#include "hca/gid.h"
#include "hca/mr.h"
#include "hca/qp_state.h"

struct hca_mcast_member;
struct hca_qp;
struct hca_qp_transport;
struct hca_srq;
struct hca_wire;

/* The largest number of bytes that is moved before keys, state and rights are checked again. */
#define HCA_PIECE 65536u

#define HCA_MAX_MSG (1u << 31)
#define HCA_QPN_MASK 0xffffffu
#define HCA_FIRST_QPN 0x11u /* 0 and 1 are the management queue pairs; a few more are left free */
#define HCA_DEFAULT_PKEY 0xffffu

/**
 * struct hca_attr - the limits of an adapter
 * @max_qp: queue pairs, 1 to 2^20
 * @max_keys: memory regions and memory windows, 1 to 2^24 - 2
 * @max_wr: requests of a queue; @max_sge: entries of one
 * @max_srq_wr: requests of a shared queue; @max_cqe: entries of a completion queue
 * @max_inline: bytes
 * @max_rd_atomic: reads and atomics under way of a queue pair, at each end
 * @max_mcast: memberships in groups
 * @roce: it has RoCE v2 links: a datagram between IPv4 addresses has an IPv4 header in front of it
 *
 * A number that is 0 means the default of hca_attr_default().
 */
struct hca_attr {
	u32 max_qp;
	u32 max_keys;
	u32 max_wr;
	u32 max_sge;
	u32 max_srq_wr;
	u32 max_cqe;
	u32 max_inline;
	u32 max_rd_atomic;
	u32 max_mcast;
	bool roce;
};

/** hca_attr_default() - fill in what is 0 */
void hca_attr_default(struct hca_attr *attr);

/**
 * struct hca - an adapter
 * @name: as what is said of it names it; its face sets it
 * @attr: its limits
 * @transport: carries out its queue pairs' requests
 * @port: its port's number on @wire
 * @lid, @gids: the port's addresses
 * @first_qpn, @qpns: numbers of queue pairs that the port gave it
 * @event: an asynchronous event of a queue pair, CQ or SRQ; made from the event queue; may be NULL
 * @quiesce: threads that use the adapter
 * @members: queue pairs in multicast groups
 */
struct hca {
	const char *name;
	struct hca_attr attr;
	struct hca_eq *eq;
	struct hca_mem *mem;
	const struct hca_qp_transport *transport;
	struct hca_wire *wire;
	u32 lid;
	struct hca_gids gids;
	struct hca_qp_limits limits;
	u32 first_qpn;
	u32 qpns;
	void (*event)(struct hca *hca, enum hca_event_type type, void *object);

	struct hca_share share; /* valid if pointers to it are set */
	struct hca_keys keys;
	u64 pds HCA_ALIGNED(8); /* atomic: domains that ever were */
	struct hca_spinlock mcast_lock; /* changing the list */
	struct hca_mcast_member *members; /* atomic, read from inside */
	u32 mcast_members;
	struct hca_spinlock xrc_lock; /* changing the table's entries */
	struct hca_srq **xrc; /* atomic: shared receive queues by number, or NULL; entries atomic, read from inside */
	u32 xrc_next;
	struct hca_spinlock blocked_lock;
	struct hca_qp *blocked; /* queue pairs that wait until the wire takes packets */
	u32 ready_calls; /* atomic: the number of calls of ready */
	struct hca_spinlock mw_lock; /* states of memory windows; hca/mw.h */
	struct hca_spinlock qp_lock; /* the table is written under it, read from inside */
	struct hca_qp **qp; /* by number modulo qp_slots; entries atomic, never NULL */
	u32 qp_slots; /* a power of two */
	u32 qp_next; /* where the search for a free number begins, so that numbers are reused late */
	u32 qps;
	u64 counts[HCA_COUNTS] HCA_ALIGNED(8); /* up to HCA_COUNTS_QP: @qp_lock; the others: atomic */
	u32 counts_ended; /* @qp_lock: how often a queue pair's counts were added to them */
	struct hca_quiesce quiesce;
};

/** hca_init() - an adapter without a port. Return: 0, -EINVAL, -ENOMEM. May sleep. */
int hca_init(struct hca *hca, struct hca_eq *eq, struct hca_mem *mem, const struct hca_attr *attr);

/** hca_count() - one more of what no queue pair counts. Any context. */
static inline void hca_count(struct hca *hca, enum hca_count what)
{
	hca_fetch_add(&hca->counts[what], 1);
}

/** hca_busy() - it has queue pairs or keys */
bool hca_busy(const struct hca *hca);

/** hca_fini() - the end of hca_init(). May sleep. */
void hca_fini(struct hca *hca);

/** hca_pd_init() - a protection domain of this adapter; the API counts its users */
static inline void hca_pd_init(struct hca_pd *pd, struct hca *hca)
{
	pd->keys = &hca->keys;
	pd->quiesce = &hca->quiesce;
	pd->number = hca_fetch_add(&hca->pds, 1) + 1;
	pd->users = 0;
}

/** hca_cq_init() - Return: 0, -EINVAL, -ENOMEM. May sleep. */
int hca_cq_init(struct hca_cq *cq, struct hca *hca, u32 capacity, void (*handler)(struct hca_cq *cq));

/** hca_cq_resize() - as hca_cq_ring_resize(), within the adapter's limit */
int hca_cq_resize(struct hca_cq *cq, u32 capacity);

#endif
