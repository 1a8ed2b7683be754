/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What both requesters need; see requester.h. */
#include "transport/requester.h"

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

/* These send nothing, and may wait for threads inside; so they are done outside. */
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
