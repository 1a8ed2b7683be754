/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What both requesters need; see requester.h. */
#include "transport/requester.h"

void hca_req_cursor(struct hca_qp *qp, const struct hca_sqe *e, struct hca_sge_cursor *to)
{
	to->mem = qp->hca->mem;
	to->keys = &qp->hca->keys;
	to->pd = qp->pd->number;
	to->qpn = qp->qpn;
	to->access = e->op->local;
	to->sge = e->sge;
	to->num_sge = e->wr.num_sge;
	to->off = 0;
	to->entry = NULL;
}

enum hca_wc_status hca_req_check(const struct hca_qp *qp, const struct hca_sqe *e, struct hca_sge_cursor *data)
{
	if (hca_unlikely(e->len > HCA_MAX_MSG || (e->op->flags & HCA_OP_ATOMIC && e->len != sizeof(u64))))
		return HCA_WC_LOC_LEN_ERR;
	/* A queue pair that was made for no reads can't send one (IBTA 11.2.5.2). */
	if (hca_unlikely(e->op->flags & HCA_OP_READS && !qp->attr.max_rd_atomic))
		return HCA_WC_LOC_QP_OP_ERR;
	/* A source address that was taken away since the path was made. */
	if (hca_unlikely(hca_qp_is_datagram(qp->type)) && e->wr.ud.is_global &&
	    !hca_gid_at(&qp->hca->gids, e->wr.ud.grh.sgid_index))
		return HCA_WC_LOC_QP_OP_ERR;
	if (!(e->wr.flags & HCA_SEND_INLINE) && hca_sge_check(data, ~0ull))
		return HCA_WC_LOC_PROT_ERR;
	return HCA_WC_SUCCESS;
}

static int invalidate(struct hca_qp *qp, u32 key)
{
	struct hca_quiesce_mark mark;
	struct hca_invalidation v;
	int err;

	hca_quiesce_enter(&qp->hca->quiesce, &mark);
	err = hca_key_invalidate_begin(qp, key, false, &v);
	hca_quiesce_leave(&mark);
	if (!err)
		hca_key_invalidate_finish(&v);
	return err;
}

/* These send nothing, and may wait for who is inside; so they are done outside. */
enum hca_wc_status hca_req_local(struct hca_qp *qp, struct hca_sqe *e)
{
	int err;

	switch (e->wr.opcode) {
	case HCA_WR_REG_MR:
		err = e->wr.reg.mr->pd == qp->pd ? hca_mr_register_captured(e->wr.reg.mr, &e->wr.reg.to) : -EINVAL;
		break;
	case HCA_WR_BIND_MW:
		err = hca_mw_bind(qp, &e->wr);
		break;
	default:
		err = invalidate(qp, e->wr.imm);
		break;
	}
	return err ? HCA_WC_MW_BIND_ERR : HCA_WC_SUCCESS;
}

/* The first request that fails takes a reliable queue pair into error, others' send queue alone (IBTA 10.3.1.7). */
void hca_req_fail(struct hca_qp *qp)
{
	hca_irqflags_t flags;

	if (qp->type == HCA_QPT_RC) {
		hca_qp_to_error(qp, 0);
		return;
	}
	hca_spin_lock(&qp->lock, flags);
	if (qp->state == HCA_QPS_RTS || qp->state == HCA_QPS_SQD)
		hca_store(&qp->state, (u32)HCA_QPS_SQE);
	hca_spin_unlock(&qp->lock, flags);
}

bool hca_req_may_retry_rnr(struct hca_qp *qp)
{
	hca_spin_assert(&qp->lock);
	/* It is an answer all the same: what was missed before it doesn't count any more. */
	qp->retries = 0;
	/* 7 is for ever, here alone (IBTA 9.7.5.2.8). */
	return qp->attr.rnr_retry == 7 || qp->rnr_retries++ < qp->attr.rnr_retry;
}

void hca_req_hand_over(struct hca_qp *qp)
{
	hca_qp_want(qp, HCA_QP_RUN, true);
}
