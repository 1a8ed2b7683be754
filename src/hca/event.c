/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a queue pair tells: completions, asynchronous events, and notes for the thread
 * that runs the event queue next. Any context; locks may be held where qp.h says so.
 */
#include "hca/qp.h"

void hca_qp_want(struct hca_qp *qp, u32 what, bool kick)
{
	hca_fetch_or(&qp->wants, what);
	hca_eq_add(qp->hca->eq, &qp->event);
	if (kick)
		hca_eq_kick(qp->hca->eq);
}

void hca_qp_tell(struct hca_qp *qp, enum hca_event_type event)
{
	hca_qp_want(qp, 1u << event, false);
}

void hca_qp_to_error(struct hca_qp *qp, u32 event)
{
	hca_irqflags_t flags;
	u32 was;

	hca_spin_lock(&qp->lock, flags);
	was = qp->state;
	if (was != HCA_QPS_RESET && was != HCA_QPS_ERR) {
		hca_store(&qp->state, (u32)HCA_QPS_ERR);
		hca_qp_share(qp);
		qp->last_wqe = qp->srq || qp->xrcd;
	}
	qp->waiting = false;
	hca_spin_unlock(&qp->lock, flags);
	if (was == HCA_QPS_RESET || was == HCA_QPS_ERR)
		return;
	hca_timer_stop(&qp->timer);
	/* What was posted is flushed from the event queue: we may be anywhere, and inside. */
	hca_qp_want(qp, HCA_QP_FLUSH | (event ? 1u << event : 0), false);
}
