/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Posting: work requests as programs have them, as the engine's own, one by one. */
#include "shim.h"

_Static_assert(sizeof(struct ibv_sge) == sizeof(struct hca_sge), "ibv_sge is hca_sge");
_Static_assert(offsetof(struct ibv_sge, length) == offsetof(struct hca_sge, length), "ibv_sge is hca_sge");
_Static_assert(offsetof(struct ibv_sge, lkey) == offsetof(struct hca_sge, lkey), "ibv_sge is hca_sge");

static const struct hca_sge *sges(const struct ibv_sge *list)
{
	return (const struct hca_sge *)list;
}

/* A group's LID, one that leads nowhere, or a port's, which must be that of the queue pair. */
static u32 check_lid(const struct shim_qp *qp, u32 lid, u32 qpn)
{
	if (lid > SHIM_LAST_LID)
		return lid;
	return shim_wire_leads(qp->obj.context->device, lid, qpn) ? shim_wire_lid(qpn) : SHIM_NO_LID;
}

int shim_fill_ud(const struct shim_qp *qp, const struct ibv_ah *ib, u32 qpn, u32 qkey, struct hca_send_wr *to)
{
	const struct shim_ah *ah = ib ? shim_ah(ib) : NULL;
	const struct hca_ah_attr *path;
	struct hca_gid dgid;

	if (hca_unlikely(!ah || !shim_is(&ah->obj, SHIM_AH) || ah->pd != qp->pd))
		return EINVAL;
	path = &ah->path;
	to->ud.qpn = qpn;
	to->ud.qkey = qkey;
	to->ud.sl = path->sl;
	to->ud.is_global = path->is_global;
	to->ud.grh = path->grh;
	dgid = path->grh.dgid;
	/* A group is reached by its LID, or by its GID under the LID that stands for every port; what has another LID isn't here. */
	if (hca_unlikely(path->dlid))
		to->ud.dlid = check_lid(qp, path->dlid, qpn);
	else if (hca_unlikely(path->is_global && hca_gid_is_group(&dgid)))
		to->ud.dlid = HCA_LAST_MLID + 1;
	else
		to->ud.dlid = shim_wire_lid(qpn);
	return 0;
}

/* The fields that only some opcodes have. */
static inline int fill(const struct shim_qp *qp, const struct ibv_send_wr *wr, struct hca_send_wr *to)
{
	switch (wr->opcode) {
	case IBV_WR_RDMA_WRITE:
	case IBV_WR_RDMA_WRITE_WITH_IMM:
	case IBV_WR_RDMA_READ:
		to->rdma.addr = wr->wr.rdma.remote_addr;
		to->rdma.rkey = wr->wr.rdma.rkey;
		return 0;
	case IBV_WR_ATOMIC_CMP_AND_SWP:
	case IBV_WR_ATOMIC_FETCH_AND_ADD:
		to->atomic.addr = wr->wr.atomic.remote_addr;
		to->atomic.compare_add = wr->wr.atomic.compare_add;
		to->atomic.swap = wr->wr.atomic.swap;
		to->atomic.rkey = wr->wr.atomic.rkey;
		return 0;
	case IBV_WR_SEND:
	case IBV_WR_SEND_WITH_IMM:
		if (hca_likely(qp->type != IBV_QPT_UD))
			return 0;
		return shim_fill_ud(qp, wr->wr.ud.ah, wr->wr.ud.remote_qpn, wr->wr.ud.remote_qkey, to);
	case IBV_WR_SEND_WITH_INV:
	case IBV_WR_LOCAL_INV:
		return 0;
	case IBV_WR_BIND_MW:
		/* A window of the other type is bound by a call of its own. */
		if (!wr->bind_mw.mw || shim_mw(wr->bind_mw.mw)->type != IBV_MW_TYPE_2)
			return EINVAL;
		return shim_fill_bind(qp, wr->bind_mw.mw, wr->bind_mw.rkey, &wr->bind_mw.bind_info, to);
	default:
		return EINVAL;
	}
}

static inline int post_one(const struct shim_qp *qp, const struct ibv_send_wr *wr)
{
	struct hca_send_wr to;
	int err;

	to.wr_id = wr->wr_id;
	to.sge = sges(wr->sg_list);
	to.num_sge = (u32)wr->num_sge;
	to.opcode = (enum hca_wr_opcode)wr->opcode;
	to.flags = wr->send_flags;
	to.imm = wr->invalidate_rkey;
	to.site = NULL;
	if (hca_unlikely(qp->type == IBV_QPT_XRC_SEND))
		to.srqn = wr->qp_type.xrc.remote_srqn;
	err = fill(qp, wr, &to);
	return hca_unlikely(err) ? err : -hca_post_send(qp->qp, &to);
}

int shim_post_send(struct ibv_qp *ib, struct ibv_send_wr *wr, struct ibv_send_wr **bad_wr)
{
	const struct shim_qp *qp = shim_qp(ib);
	struct ibv_send_wr *next;
	int err = 0;

	if (hca_unlikely(!shim_is(&qp->obj, SHIM_QP))) {
		*bad_wr = wr;
		return shim_why(EINVAL, SHIM_LOG_QP, "ibv_post_send: no such queue pair");
	}
	/* The program may use a request's memory again as soon as another thread has polled its completion. */
	for (; wr; wr = next) {
		next = wr->next;
		err = post_one(qp, wr);
		if (hca_unlikely(err)) {
			*bad_wr = wr;
			/* A full queue is nothing to speak of: programs try until it has room. */
			return err == ENOMEM ? err :
					       shim_why(err, SHIM_LOG_QP, "ibv_post_send: queue pair 0x%x, opcode %d",
							qp->qp->qpn, (int)wr->opcode);
		}
	}
	return 0;
}

static void fill_recv(const struct ibv_recv_wr *wr, struct hca_recv_wr *to)
{
	to->wr_id = wr->wr_id;
	to->sge = sges(wr->sg_list);
	to->num_sge = (u32)wr->num_sge;
	to->site = NULL;
}

int shim_post_recv(struct ibv_qp *ib, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad_wr)
{
	const struct shim_qp *qp = shim_qp(ib);
	struct ibv_recv_wr *next;
	struct hca_recv_wr to;
	int err;

	if (hca_unlikely(!shim_is(&qp->obj, SHIM_QP))) {
		*bad_wr = wr;
		return shim_why(EINVAL, SHIM_LOG_QP, "ibv_post_recv: no such queue pair");
	}
	for (; wr; wr = next) {
		next = wr->next;
		fill_recv(wr, &to);
		err = hca_post_recv(qp->qp, &to);
		if (hca_unlikely(err)) {
			*bad_wr = wr;
			return -hca_recv_refuse(qp->qp, &to, err);
		}
	}
	return 0;
}

int shim_post_srq_recv(struct ibv_srq *ib, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad_wr)
{
	struct shim_srq *srq = shim_srq(ib);
	struct ibv_recv_wr *next;
	struct hca_recv_wr to;
	int err;

	if (hca_unlikely(!shim_is(&srq->obj, SHIM_SRQ))) {
		*bad_wr = wr;
		return shim_why(EINVAL, SHIM_LOG_QP, "ibv_post_srq_recv: no such queue");
	}
	for (; wr; wr = next) {
		next = wr->next;
		fill_recv(wr, &to);
		err = hca_srq_post(&srq->srq, &to);
		if (hca_unlikely(err)) {
			*bad_wr = wr;
			return -hca_rq_refuse(&srq->srq.rq, &to, err);
		}
	}
	return 0;
}
