/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ib_core face: what its files share. An adapter of kernel/softhca.h is behind each
 * struct ib_device, an object of the engine behind each object that ib_core makes. The
 * mapping of a ULP's memory isn't here: ib_core gives it to the adapter's own device.
 */
#ifndef SOFTHCA_IB_H
#define SOFTHCA_IB_H

#include "hca/srq.h"
#include "softhca.h"

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <rdma/ib_verbs.h>

/* No number is reserved for us in enum rdma_driver_id; it is looked at only to tell one driver's devices from others. */
#define SOFTHCA_IB_DRIVER ((enum rdma_driver_id)0x53484341)

/**
 * struct softhca_ib_gid - an address that ib_core gave the port
 * @users: entries of ib_core's table with this address; 0: the entry is free
 * @index: in the engine's table
 */
struct softhca_ib_gid {
	union ib_gid gid;
	u32 users;
	u32 index;
};

/**
 * struct softhca_ib - an adapter that ib_core knows
 * @soft: the adapter
 * @ndev: the network device that the port is on, and whose addresses are its GIDs; held
 * @all: in the list of all of them, under softhca_ib_lock
 * @gid: under softhca_ib_lock, but for changes: @gid_lock as well
 * @gid_lock: one change of addresses at a time
 */
struct softhca_ib {
	struct ib_device ib;
	struct softhca *soft;
	struct net_device *ndev;
	struct list_head all;
	struct mutex gid_lock;
	struct softhca_ib_gid gid[HCA_GIDS];
};

struct softhca_ib_pd {
	struct ib_pd ib;
	struct hca_pd pd;
};

/* @pages: of the next registration, with room for @room numbers in @list */
struct softhca_ib_mr {
	struct ib_mr ib;
	struct hca_mr *mr;
	struct hca_mr_pages pages;
	u64 *list;
	u32 room;
};

struct softhca_ib_cq {
	struct ib_cq ib;
	struct hca_cq cq;
};

struct softhca_ib_srq {
	struct ib_srq ib;
	struct hca_srq srq;
};

/* @path: the address handle's in the engine's words */
struct softhca_ib_ah {
	struct ib_ah ib;
	struct rdma_ah_attr attr;
	struct hca_ah_attr path;
};

/**
 * struct softhca_ib_qp - a queue pair
 * @life: who looks at @qp but is not its consumer holds it: ib_core shows a queue pair until a moment after it was destroyed
 * @qp: the engine's; NULL when it has ended. A consumer needs no lock, as it doesn't use what it destroys.
 * @av: the path that was set last; its sgid_attr isn't held, and NULL
 */
struct softhca_ib_qp {
	struct ib_qp ib;
	struct mutex life;
	struct hca_qp *qp;
	struct ib_qp_cap cap;
	struct rdma_ah_attr av;
	enum ib_sig_type sq_sig_type;
};

#define SOFTHCA_IB_OF(name, whose) \
	static inline struct softhca_##name *softhca_##name##_of(struct whose *ib) \
	{ \
		return container_of(ib, struct softhca_##name, ib); \
	}

SOFTHCA_IB_OF(ib, ib_device)
SOFTHCA_IB_OF(ib_pd, ib_pd)
SOFTHCA_IB_OF(ib_mr, ib_mr)
SOFTHCA_IB_OF(ib_cq, ib_cq)
SOFTHCA_IB_OF(ib_srq, ib_srq)
SOFTHCA_IB_OF(ib_ah, ib_ah)
SOFTHCA_IB_OF(ib_qp, ib_qp)

static inline struct hca *softhca_ib_hca(struct ib_device *dev)
{
	return &softhca_ib_of(dev)->soft->hca;
}

/* device.c: the device and its port */
extern const struct ib_device_ops softhca_ib_device_ops;

/** softhca_ib_mtu() - what the port's network device leaves of a packet */
enum ib_mtu softhca_ib_mtu(const struct net_device *ndev);

/** softhca_ib_port_state() - as the network device's link is */
enum ib_port_state softhca_ib_port_state(const struct net_device *ndev);

/* path.c: addresses and paths */
extern const struct ib_device_ops softhca_ib_path_ops;

/** softhca_ib_enter() - the adapter can be reached by its addresses */
void softhca_ib_enter(struct softhca_ib *s);

/** softhca_ib_leave() - and no longer */
void softhca_ib_leave(struct softhca_ib *s);

/** softhca_ib_path() - a path in the engine's words; one that leads nowhere gets a LID that no adapter has. Any context. */
void softhca_ib_path(struct softhca_ib *s, const struct rdma_ah_attr *from, struct hca_ah_attr *to);

/* mr.c, cq.c, qp.c, srq.c, post.c, stat.c, res.c */
extern const struct ib_device_ops softhca_ib_mr_ops, softhca_ib_cq_ops, softhca_ib_qp_ops, softhca_ib_srq_ops,
	softhca_ib_post_ops, softhca_ib_stat_ops, softhca_ib_res_ops;

/** softhca_ib_event() - the engine's asynchronous events: of a CQ, SRQ or queue pair */
void softhca_ib_event(struct hca *hca, enum hca_event_type type, void *object);

#endif
