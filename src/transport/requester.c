/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What both requesters need; see requester.h. */
#include "transport/requester.h"

#include "hca/why.h"

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
bool hca_req_local(struct hca_qp *qp, struct hca_sqe *e, enum hca_wc_status *status)
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
	*status = err ? HCA_WC_MW_BIND_ERR : HCA_WC_SUCCESS;
	if (err && err != -EAGAIN)
		e->why = e->wr.opcode == HCA_WR_REG_MR	? HCA_VENDOR_REGISTER :
			 e->wr.opcode == HCA_WR_BIND_MW ? HCA_VENDOR_BIND :
							  HCA_VENDOR_INVALIDATE;
	return err != -EAGAIN;
}

/* --- a request that fails --- */

enum hca_wc_status hca_req_refuse(const struct hca_qp *qp, struct hca_sqe *e, const struct hca_sge_cursor *data,
				  enum hca_wc_status status, enum hca_vendor_err why)
{
	char words[HCA_WHY_BYTES];

	e->why = (u8)why;
	if (why != HCA_VENDOR_KEY)
		return status;
	e->why = (u8)hca_sge_why(data, ~0ull, words) | HCA_WHY_SAID;
	hca_refuse(-EACCES, "%s QP %u: %s (wr_id 0x%llx, posted at " HCA_SITE ") failed: %s: %s", qp->hca->name,
		   qp->qpn, e->op->name, (unsigned long long)e->wr.wr_id, hca_site(e->wr.site),
		   hca_wc_status_msg(status), words);
	return status;
}

struct hca_failure hca_req_failure(const struct hca_sqe *e, enum hca_wc_status status)
{
	return (struct hca_failure){
		.wr_id = e->wr.wr_id, .op = e->op, .site = e->wr.site, .status = (u8)status, .why = e->why
	};
}

static void say_failure(const struct hca_qp *qp, const struct hca_failure *f)
{
	bool no_answer = f->status == HCA_WC_RETRY_EXC_ERR || f->status == HCA_WC_RNR_RETRY_EXC_ERR;
	u64 peer = hca_load(&qp->peer);

	if (f->why & HCA_WHY_SAID)
		return;
	hca_refuse(no_answer ? -ETIMEDOUT : -EACCES,
		   "%s QP %u: %s (wr_id 0x%llx, posted at " HCA_SITE ") to LID %u QP %u failed: %s: %s", qp->hca->name,
		   qp->qpn, f->op->name, (unsigned long long)f->wr_id, hca_site(f->site), (u32)(peer >> 32), (u32)peer,
		   hca_wc_status_msg((enum hca_wc_status)f->status), hca_vendor_err_msg(f->why));
}

/* The first request that fails takes a reliable queue pair into error, others' send queue alone (IBTA 10.3.1.7). */
void hca_req_fail(struct hca_qp *qp, const struct hca_failure *f)
{
	hca_irqflags_t flags;

	say_failure(qp, f);
	if (hca_qp_is_reliable(qp->type)) {
		hca_qp_to_error(qp, 0);
		return;
	}
	hca_spin_lock(&qp->lock, flags);
	if (qp->state == HCA_QPS_RTS || qp->state == HCA_QPS_SQD) {
		hca_store(&qp->state, (u32)HCA_QPS_SQE);
		hca_qp_share(qp);
	}
	hca_spin_unlock(&qp->lock, flags);
}

bool hca_req_may_retry_rnr(struct hca_qp *qp)
{
	hca_spin_assert(&qp->lock);
	/* It is an answer all the same: what was missed before it doesn't count any more. */
	qp->retries = 0;
	hca_count_send(qp, HCA_COUNT_RNR_RECEIVED);
	/* 7 is for ever, here alone (IBTA 9.7.5.2.8). */
	if (qp->attr.rnr_retry != 7 && qp->rnr_retries++ >= qp->attr.rnr_retry)
		return false;
	hca_req_repeated(qp);
	return true;
}

bool hca_req_may_retry(struct hca_qp *qp)
{
	hca_spin_assert(&qp->lock);
	if (qp->retries++ >= qp->attr.retry_cnt)
		return false;
	hca_count_send(qp, HCA_COUNT_RETRIES);
	hca_req_repeated(qp);
	return true;
}

void hca_req_repeated(struct hca_qp *qp)
{
	qp->repeated++;
	hca_qp_share(qp);
}

void hca_req_hand_over(struct hca_qp *qp)
{
	hca_qp_want(qp, HCA_QP_RUN, true);
}

/* --- a wire that takes nothing now --- */

void hca_req_block(struct hca_qp *qp, u32 calls)
{
	struct hca *hca = qp->hca;
	hca_irqflags_t flags;

	hca_spin_lock(&hca->blocked_lock, flags);
	if (!qp->is_blocked && hca->ready_calls == calls) {
		hca_store(&qp->is_blocked, true);
		qp->next_blocked = hca->blocked;
		hca->blocked = qp;
	}
	hca_spin_unlock(&hca->blocked_lock, flags);
}

void hca_req_unblock(struct hca_qp *qp)
{
	struct hca *hca = qp->hca;
	hca_irqflags_t flags;
	struct hca_qp **at;

	hca_spin_lock(&hca->blocked_lock, flags);
	for (at = &hca->blocked; *at && *at != qp; at = &(*at)->next_blocked)
		;
	if (*at)
		*at = qp->next_blocked;
	hca_store(&qp->is_blocked, false);
	hca_spin_unlock(&hca->blocked_lock, flags);
}

void hca_req_ready(void *client)
{
	struct hca *hca = client;
	struct hca_qp *qp, *next;
	hca_irqflags_t flags;

	hca_spin_lock(&hca->blocked_lock, flags);
	for (qp = hca->blocked; qp; qp = next) {
		next = qp->next_blocked;
		hca_store(&qp->is_blocked, false);
		hca_qp_want(qp, HCA_QP_RUN, false);
	}
	hca->blocked = NULL;
	hca_store(&hca->ready_calls, hca->ready_calls + 1);
	hca_spin_unlock(&hca->blocked_lock, flags);
}
