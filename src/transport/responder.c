/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What both responders need; see responder.h. */
#include "transport/responder.h"

#include "hca/why.h"
#include "hca/xrc.h"

bool hca_resp_take(struct hca_qp *qp, struct hca_srq *srq)
{
	struct hca_rx *rx = &qp->rx;

	if (rx->taken)
		return true;
	rx->taken = srq ? hca_srq_take(srq, rx->wqe) : hca_rq_take(&qp->rq, rx->wqe, NULL);
	if (hca_unlikely(rx->taken && qp->xrcd)) {
		rx->taken = hca_xrc_hold(srq); /* if not, what was taken goes with its queue */
		rx->srq = rx->taken ? srq : NULL;
	}
	return rx->taken;
}

void hca_resp_begin(struct hca_qp *qp)
{
	struct hca_rx *rx = &qp->rx;

	hca_resp_cursor(qp, hca_likely(!rx->srq) ? qp->pd->number : rx->srq->pd->number, &rx->to,
			HCA_ACCESS_LOCAL_WRITE, rx->wqe->sge, rx->wqe->num_sge);
	rx->room = rx->wqe->room;
	rx->done = 0;
}

enum hca_answer hca_resp_say(struct hca_qp *qp, u64 pd, const struct hca_opcode *op, u64 addr, u32 rkey, u64 whole,
			     enum hca_answer answer)
{
	u64 peer = hca_load(&qp->peer);
	char words[HCA_WHY_BYTES];
	enum hca_vendor_err why;

	if (answer == HCA_ANSWER_REM_ACCESS) {
		why = hca_key_why(&qp->hca->keys, rkey, pd, qp->qpn, addr, whole, op->remote, words);
	} else {
		char right[32];

		why = HCA_VENDOR_QP_RIGHT;
		hca_snprintf(words, sizeof(words), "the qp_access_flags of this queue pair lack %s",
			     hca_rights_str(op->remote, right, sizeof(right)));
	}
	hca_store(&qp->why, (u32)why);
	hca_refuse(-EACCES, "%s QP %u: %s of %llu bytes at 0x%llx from LID %u QP %u refused: %s", qp->hca->name,
		   qp->qpn, op->name, (unsigned long long)whole, (unsigned long long)addr, (u32)(peer >> 32), (u32)peer,
		   words);
	return answer;
}

/* What the peer's answer will say, and what is wrong at this end. Of connections: a datagram is dropped, or its request fails. */
static void note(struct hca_qp *qp, enum hca_vendor_err why)
{
	u64 peer = hca_load(&qp->peer);

	hca_store(&qp->why, (u32)why);
	hca_refuse(-EACCES, "%s QP %u: a message from LID %u QP %u refused: %s", qp->hca->name, qp->qpn,
		   (u32)(peer >> 32), (u32)peer, hca_vendor_err_msg(why));
}

enum hca_vendor_err hca_resp_recv_why(struct hca_qp *qp, u64 len)
{
	const struct hca_rwqe *e = qp->rx.wqe;
	enum hca_vendor_err why;
	struct hca_sge_cursor c;
	char words[HCA_WHY_BYTES];

	hca_resp_cursor(qp, qp->rx.srq ? qp->rx.srq->pd->number : qp->pd->number, &c, HCA_ACCESS_LOCAL_WRITE, e->sge,
			e->num_sge);
	why = hca_sge_why(&c, len, words);
	hca_store(&qp->why, (u32)why);
	hca_refuse(-EACCES, "%s QP %u: receive request (wr_id 0x%llx, posted at " HCA_SITE ") failed: %s",
		   qp->hca->name, qp->qpn, (unsigned long long)e->wr_id, hca_site(e->site), words);
	return why;
}

enum hca_answer hca_resp_atomic(struct hca_qp *qp, u64 pd, const struct hca_opcode *op, u64 addr, u32 rkey,
				u64 compare_add, u64 swap, u64 *result, hca_site_t site)
{
	bool swaps = op->wc == HCA_WC_COMP_SWAP;
	struct hca_sge_cursor at;
	const struct hca_mr *mr;
	enum hca_answer answer;
	u64 run = sizeof(u64);
	hca_dma_addr_t where;
	struct hca_sge sge;
	int err;

	if (!hca_load(&qp->rd_limit) || addr & (sizeof(u64) - 1)) {
		note(qp, hca_load(&qp->rd_limit) ? HCA_VENDOR_ALIGN : HCA_VENDOR_NO_READS);
		return HCA_ANSWER_INV_REQ;
	}
	answer = hca_resp_remote(qp, pd, op, addr, rkey, sizeof(u64), sizeof(u64), &sge, &at);
	if (answer)
		return answer;
	mr = hca_load_acquire(&at.entry->mr);
	if (!mr)
		return hca_resp_say(qp, pd, op, addr, rkey, sizeof(u64), HCA_ANSWER_REM_ACCESS);
	where = hca_mr_run(mr, hca_key_offset(at.entry, addr), &run);
	/* A piece of memory may end within the 8 bytes, as no page does. */
	if (hca_unlikely(run < sizeof(u64))) {
		note(qp, HCA_VENDOR_ALIGN);
		return HCA_ANSWER_INV_REQ;
	}
	err = hca_mem_atomic(qp->hca->mem, where, swaps ? HCA_ATOMIC_CMP_SWAP : HCA_ATOMIC_FETCH_ADD, compare_add, swap,
			     result, site);
	if (err) {
		note(qp, err == -EINVAL ? HCA_VENDOR_ALIGN : HCA_VENDOR_MEMORY);
		return err == -EINVAL ? HCA_ANSWER_INV_REQ : HCA_ANSWER_REM_OP;
	}
	return HCA_ANSWER_ACK;
}

void hca_resp_fill_wc(const struct hca_qp *qp, const struct hca_opcode *op, const struct hca_msg *m, u32 bytes,
		      struct hca_wc *wc)
{
	*wc = (struct hca_wc){
		.wr_id = qp->rx.wqe->wr_id,
		.opcode = op->recv_wc,
		.byte_len = bytes,
		.src_qp = m->sqpn,
		.slid = (u16)m->slid,
		.sl = m->sl,
	};
	if (op->flags & (HCA_OP_IMM | HCA_OP_INV)) {
		wc->imm = m->imm;
		wc->wc_flags = op->flags & HCA_OP_IMM ? HCA_WC_WITH_IMM : HCA_WC_WITH_INVALIDATE;
	}
	if (m->flags & HCA_MSG_GLOBAL)
		wc->wc_flags |= HCA_WC_GRH | (hca_resp_is_ipv4(qp->hca, m) ? HCA_WC_IPV4 : 0);
}

void hca_resp_spoil(struct hca_qp *qp, struct hca_wc *wc, enum hca_wc_status status, enum hca_vendor_err why)
{
	const struct hca_rwqe *e = qp->rx.wqe;

	/* The message was said to be refused already, or its receive request to be bad. */
	if (why == HCA_VENDOR_LENGTH || why == HCA_VENDOR_PEER_GONE || why == HCA_VENDOR_MEMORY)
		hca_refuse(-EACCES,
			   "%s QP %u: receive request of %llu bytes (wr_id 0x%llx, posted at " HCA_SITE
			   ") failed: %s: %s",
			   qp->hca->name, qp->qpn, (unsigned long long)e->room, (unsigned long long)e->wr_id,
			   hca_site(e->site), hca_wc_status_msg(status), hca_vendor_err_msg(why));
	hca_store(&qp->why, (u32)why);
	wc->vendor_err = why;
	wc->status = status;
	hca_rx_complete(qp, wc, false);
	if (!hca_qp_is_datagram(qp->type))
		hca_qp_to_error(qp, 0);
}

/* An error that the responder finds takes a reliable queue pair into error, with the event that says why (IBTA 9.9.3). */
enum hca_answer hca_resp_refuse(struct hca_qp *qp, enum hca_answer answer, enum hca_vendor_err why)
{
	if (why)
		note(qp, why);
	if (hca_qp_is_reliable(qp->type))
		hca_qp_to_error(qp, answer == HCA_ANSWER_REM_ACCESS ? HCA_EVENT_QP_ACCESS_ERR : HCA_EVENT_QP_REQ_ERR);
	return answer;
}

void hca_resp_count(struct hca_qp *qp, enum hca_answer answer)
{
	if (!hca_qp_is_reliable(qp->type))
		return;
	if (answer == HCA_ANSWER_RNR)
		hca_count(qp->hca, HCA_COUNT_RNR_SENT);
	else if (answer == HCA_ANSWER_REM_ACCESS)
		hca_count(qp->hca, HCA_COUNT_REFUSED_ACCESS);
	else if (answer == HCA_ANSWER_INV_REQ)
		hca_count(qp->hca, HCA_COUNT_REFUSED_INVALID);
}

/*
 * No look-up finds the key any more. Its users must have left before the receive completes, and we can't wait for them from
 * inside. rx stays busy until then: what arrives meanwhile comes behind it.
 */
bool hca_resp_begin_invalidate(struct hca_qp *qp, u32 key, const struct hca_wc *wc, bool solicited,
			       struct hca_resp_finish *f)
{
	if (hca_key_invalidate_begin(qp, key, true, &f->invalidation))
		return false;
	f->qp = qp;
	f->wc = *wc;
	f->solicited = solicited;
	return true;
}

void hca_resp_finish_here(struct hca_resp_finish *f)
{
	struct hca_qp *qp = f->qp;

	f->qp = NULL;
	hca_key_invalidate_finish(&f->invalidation);
	hca_rx_complete(qp, &f->wc, f->solicited);
}

void hca_resp_finish(struct hca_resp_finish *f)
{
	struct hca_qp *qp = f->qp;

	hca_resp_finish_here(f);
	hca_rx_leave(qp);
}

void hca_resp_established(struct hca_qp *qp)
{
	hca_irqflags_t flags;

	if (hca_likely(hca_load(&qp->state) != HCA_QPS_RTR) || hca_xchg(&qp->established, true))
		return;
	hca_spin_lock(&qp->lock, flags);
	hca_qp_share(qp);
	hca_spin_unlock(&qp->lock, flags);
	hca_qp_tell(qp, HCA_EVENT_COMM_EST);
}
