/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The counters of an adapter; see count.h. */
#include "hca/qp.h"

#define STEP 512u /* places of the table that are looked at without leaving the adapter */
#define TRIES 8u

void hca_count_send_failure(struct hca_qp *qp, u32 status)
{
	hca_spin_assert(&qp->lock);
	if (status == HCA_WC_WR_FLUSH_ERR) {
		hca_count_send(qp, HCA_COUNT_SEND_FLUSHED);
		return;
	}
	hca_count_send(qp, HCA_COUNT_SEND_ERRORS);
	switch (status) {
	case HCA_WC_RETRY_EXC_ERR:
		hca_count_send(qp, HCA_COUNT_RETRY_EXCEEDED);
		break;
	case HCA_WC_RNR_RETRY_EXC_ERR:
		hca_count_send(qp, HCA_COUNT_RNR_EXCEEDED);
		break;
	case HCA_WC_REM_ACCESS_ERR:
		hca_count_send(qp, HCA_COUNT_REMOTE_ACCESS);
		break;
	case HCA_WC_REM_INV_REQ_ERR:
	case HCA_WC_REM_INV_RD_REQ_ERR:
		hca_count_send(qp, HCA_COUNT_REMOTE_INVALID);
		break;
	default:
		break;
	}
}

void hca_qp_counts(struct hca_qp *qp, u64 *out)
{
	hca_irqflags_t flags;
	u32 i;

	hca_memset(out, 0, HCA_COUNTS_QP * sizeof(*out));
	hca_spin_lock(&qp->lock, flags);
	out[HCA_COUNT_SENT] = qp->sq.done;
	out[HCA_COUNT_SENT_BYTES] = qp->sq.done_bytes;
	for (i = 0; i < HCA_COUNTS_SEND; i++)
		out[HCA_COUNT_FIRST_SEND + i] = qp->send_counts[i];
	hca_spin_unlock(&qp->lock, flags);
	if (!qp->recv_cq)
		return;
	hca_spin_lock(&qp->recv_cq->ring.lock, flags);
	out[HCA_COUNT_RECEIVED] = qp->recvs.done;
	out[HCA_COUNT_RECEIVED_BYTES] = qp->recvs.done_bytes;
	out[HCA_COUNT_RECV_ERRORS] = qp->recvs.failed;
	out[HCA_COUNT_RECV_FLUSHED] = qp->recvs.flushed;
	hca_spin_unlock(&qp->recv_cq->ring.lock, flags);
}

static void add_qp(struct hca_qp *qp, u64 *out)
{
	u64 n[HCA_COUNTS_QP];
	u32 i;

	hca_qp_counts(qp, n);
	for (i = 0; i < HCA_COUNTS_QP; i++)
		out[i] += n[i];
}

/* Those that are in the table; one that is leaving it was added to the adapter's own counts. */
static void add_all(struct hca *hca, u64 *out)
{
	struct hca_quiesce_mark mark;
	u32 i = 0, end;

	while (i < hca->qp_slots) {
		hca_quiesce_enter(&hca->quiesce, &mark);
		for (end = HCA_MIN(i + STEP, hca->qp_slots); i < end; i++) {
			struct hca_qp *qp = hca_load_acquire(&hca->qp[i]);

			if (hca_unlikely(qp->hca))
				add_qp(qp, out);
		}
		hca_quiesce_leave(&mark);
	}
}

/* Return: how often a queue pair had been added to them. */
static u32 own_counts(struct hca *hca, u64 *out)
{
	hca_irqflags_t flags;
	u32 i, ended;

	hca_spin_lock(&hca->qp_lock, flags);
	for (i = 0; i < HCA_COUNTS; i++)
		out[i] = hca_load(&hca->counts[i]);
	ended = hca->counts_ended;
	hca_spin_unlock(&hca->qp_lock, flags);
	return ended;
}

/*
 * A queue pair that ends meanwhile may be in neither: then once more. Where they end without a pause the sum may lack what the last of
 * them counted, until it is asked for again.
 */
void hca_counts(struct hca *hca, u64 *out)
{
	hca_irqflags_t flags;
	u32 ended, tries = 0;
	bool again;

	do {
		ended = own_counts(hca, out);
		add_all(hca, out);
		hca_spin_lock(&hca->qp_lock, flags);
		again = hca->counts_ended != ended;
		hca_spin_unlock(&hca->qp_lock, flags);
	} while (again && ++tries < TRIES);
}
