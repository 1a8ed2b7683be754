/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the files of the kernel-style verbs share: a device's engine, and what stands
 * behind each object that an upper layer holds.
 */
#ifndef IB_CORE_H
#define IB_CORE_H

#include "hca/fmr.h"
#include "transport/transport.h"
#include "ib_private.h"
#include "softhca/ib_pool.h"
#include "softhca/ib_verbs.h"
#include "softhca/list.h"

/** enum ib_object - what is counted on a device, against its limit */
enum ib_object { IB_OBJ_PD, IB_OBJ_CQ, IB_OBJ_SRQ, IB_OBJ_QP, IB_OBJ_MR, IB_OBJ_MW, IB_OBJ_FMR, IB_OBJ_AH, IB_OBJECTS };

/** struct ib_client_data - what a client keeps with a device */
struct ib_client_data {
	struct ib_client *client;
	void *data;
	struct ib_client_data *next;
};

struct ib_cma_gsi;

/** struct ib_cma_dev - what connections by address know of a device; @gsi: NULL: nobody has needed it yet */
struct ib_cma_dev {
	struct ib_device *dev;
	struct ib_cma_dev *next; /* registered after this one */
	struct ib_cma_gsi *gsi; /* ib_cma_lock(), for changes */
	bool leaving; /* no ID comes any more. ib_cma_lock() and the next one, for changes. */

	struct hca_spinlock lock; /* what follows */
	struct list_head ids; /* on it */
	u32 users; /* these, and those that are being freed */
	struct hca_completion gone; /* leaving, and there are none */
};

/** struct ib_core - a device's engine, the numbers of its objects, and its clients */
struct ib_core {
	struct hca hca;
	struct ib_device *device;
	u32 made[IB_OBJECTS]; /* atomic */
	struct ib_core *next; /* the registry's (ib_client.c) */

	struct ib_cma_dev cma;

	struct hca_spinlock lock; /* the next three */
	struct ib_client_data *clients;
	struct ib_dispatched *events; /* to be told, in order */
	struct ib_dispatched **last_event;

	struct hca_mutex handler_lock; /* held while handlers are called */
	struct list_head handlers;
	struct hca_work tell;

	struct hca_mutex pool_lock;
	struct list_head pool; /* completion queues that are shared */
};

/** ib_device_added() - clients hear of a device that is registered. May sleep. Return: 0 or -ENOMEM: no client has heard of it. */
int ib_device_added(struct ib_device *dev);

/** ib_device_removed() - and that it goes. May sleep. */
void ib_device_removed(struct ib_device *dev);

/** ib_cma_device_added() - connections may use the device. May sleep. */
void ib_cma_device_added(struct ib_device *dev);

/** ib_cma_device_removed() - it goes: returns when no ID of rdma_create_id() is on it any more. May sleep. */
void ib_cma_device_removed(struct ib_device *dev);

/** ib_tell_events() - the work of a device's core: calls handlers */
void ib_tell_events(void *core);

/** ib_cq_pool_free() - the shared completion queues of a device, which nobody uses any more. May sleep. */
void ib_cq_pool_free(struct ib_device *dev);

/** ib_core_open() - the device gets an engine, on the one wire of this process. Return: 0, -ENOMEM, -ENOSPC. May sleep. */
int ib_core_open(struct ib_device *dev);

/** ib_core_close() - Return: 0; -EBUSY: objects are left; they are named in the log and the engine stays */
int ib_core_close(struct ib_device *dev);

/** ib_core_take() - one more. Return: 0; -ENOSPC: as many were made as there may be. */
int ib_core_take(struct ib_device *dev, enum ib_object what);

/** ib_core_give() - one less */
static inline void ib_core_give(struct ib_device *dev, enum ib_object what)
{
	hca_fetch_add(&dev->core->made[what], (u32)-1);
}

/* The MR for local use and the one for peers are the domain's own users. */
struct ib_pd_priv {
	struct ib_pd ib;
	struct hca_pd pd;
	struct hca_mr *local;
	struct hca_mr *global;
};

/* A registration takes @pages and what is in @list over when it is posted. */
struct ib_mr_priv {
	struct ib_mr ib;
	struct hca_mr *mr;
	struct hca_mr_pages pages; /* of the next registration */
	u64 *list; /* room for @room pages */
	u32 room;
};

/*
 * @cq: calls comp_handler; its node is fired one at a time
 * @work: of a queue that a thread of ib_work.c polls
 */
struct ib_cq_priv {
	struct ib_cq ib;
	struct hca_cq cq;
	struct hca_eq_node work;
	struct list_head pool; /* the device's, of a shared one: its pool_lock */
	unsigned int cqe_used; /* the same */
};

struct ib_qp_priv {
	struct ib_qp ib;
	struct hca_qp *qp;
	struct ib_qp_cap cap;
	enum ib_sig_type sq_sig_type;
	struct hca_spinlock mr_lock; /* pools of MRs */
};

struct ib_mw_priv {
	struct ib_mw ib;
	struct hca_mw *mw;
};

struct ib_fmr_priv {
	struct ib_fmr ib;
	struct hca_fmr *fmr;
};

struct ib_srq_priv {
	struct ib_srq ib;
	struct hca_srq srq;
};

struct ib_ah_priv {
	struct ib_ah ib;
	struct rdma_ah_attr attr;
	struct hca_ah_attr path;
};

static inline struct ib_pd_priv *ib_pd_of(struct ib_pd *pd)
{
	return hca_container_of(pd, struct ib_pd_priv, ib);
}

static inline struct ib_mr_priv *ib_mr_of(struct ib_mr *mr)
{
	return hca_container_of(mr, struct ib_mr_priv, ib);
}

static inline struct ib_cq_priv *ib_cq_of(struct ib_cq *cq)
{
	return hca_container_of(cq, struct ib_cq_priv, ib);
}

static inline struct ib_qp_priv *ib_qp_of(struct ib_qp *qp)
{
	return hca_container_of(qp, struct ib_qp_priv, ib);
}

static inline struct ib_mw_priv *ib_mw_of(struct ib_mw *mw)
{
	return hca_container_of(mw, struct ib_mw_priv, ib);
}

static inline struct ib_fmr_priv *ib_fmr_of(struct ib_fmr *fmr)
{
	return hca_container_of(fmr, struct ib_fmr_priv, ib);
}

/** ib_fmr_pool_looks() - regions that were compared with a list of pages that was asked for, since the pool was made; for tests */
u64 ib_fmr_pool_looks(struct ib_fmr_pool *pool);

static inline struct ib_srq_priv *ib_srq_of(struct ib_srq *srq)
{
	return hca_container_of(srq, struct ib_srq_priv, ib);
}

static inline struct ib_ah_priv *ib_ah_of(struct ib_ah *ah)
{
	return hca_container_of(ah, struct ib_ah_priv, ib);
}

/** ib_ah_to_hca() - a path in the engine's words */
void ib_ah_to_hca(const struct rdma_ah_attr *ah, struct hca_ah_attr *to);

/** ib_fill_bind() - the fields of a bind. Return: 0; -EINVAL: objects of another device, or bytes of no MR. */
int ib_fill_bind(const struct ib_qp *qp, struct ib_mw *mw, u32 rkey, const struct ib_mw_bind_info *info,
		 struct hca_send_wr *to);

/* --- ib_work.c: threads that poll --- */

/** ib_work_start() - there are workers from now on. Return: 0, -ENOMEM, -EAGAIN: no thread to be had. May sleep. */
int ib_work_start(void);

/** ib_work_add() - a worker will call node->fire. Any context. */
void ib_work_add(struct hca_eq_node *node);

/** ib_work_cancel() - no call begins after this, and none is under way when it returns. Not from that call. */
void ib_work_cancel(struct hca_eq_node *node);

/** ib_work_by_os() - for tests that own the clock and the threads: the os layer's worker makes the calls, until it is told no. Return: 0 or -ENOMEM. */
int ib_work_by_os(bool yes);

#endif
