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
#include "softhca/ib_verbs.h"

/** enum ib_object - what is counted on a device, against its limit */
enum ib_object { IB_OBJ_PD, IB_OBJ_CQ, IB_OBJ_SRQ, IB_OBJ_QP, IB_OBJ_MR, IB_OBJ_MW, IB_OBJ_FMR, IB_OBJ_AH, IB_OBJECTS };

/** struct ib_core - a device's engine, and how much was made on it */
struct ib_core {
	struct hca hca;
	struct ib_device *device;
	u32 made[IB_OBJECTS]; /* atomic */
};

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
};

struct ib_qp_priv {
	struct ib_qp ib;
	struct hca_qp *qp;
	struct ib_qp_cap cap;
	enum ib_sig_type sq_sig_type;
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

/** ib_work_start() - there are workers from now on. Return: 0, -EAGAIN: no thread to be had. May sleep. */
int ib_work_start(void);

/** ib_work_add() - a worker will call node->fire. Any context. */
void ib_work_add(struct hca_eq_node *node);

/** ib_work_cancel() - no call begins after this, and none is under way when it returns. Not from that call. */
void ib_work_cancel(struct hca_eq_node *node);

#endif
