/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The responder: what a message does at the adapter it is for. Runs in whose context
 * the wire brings it, from inside the engine. RDMA and atomics touch neither the
 * queues nor a lock of the queue pair; a message that takes a receive request does.
 */
#include "hca/flow.h"
#include "hca/respond.h"

/* --- posting --- */

static int post(struct hca_rq *rq, const struct hca_recv_wr *wr)
{
	u64 len = 0;
	u32 i;

	if (wr->num_sge > rq->max_sge || (wr->num_sge && !wr->sge))
		return -EINVAL;
	for (i = 0; i < wr->num_sge; i++)
		len += wr->sge[i].length;
	return len > HCA_MAX_MSG ? -EINVAL : hca_rq_post(rq, wr);
}

int hca_post_recv(struct hca_qp *qp, const struct hca_recv_wr *wr)
{
	int err;

	if (qp->srq || hca_load(&qp->state) == HCA_QPS_RESET)
		return -EINVAL;
	err = post(&qp->rq, wr);
	if (!err && hca_unlikely(hca_load(&qp->state) == HCA_QPS_ERR)) {
		hca_rq_flush(qp);
		hca_eq_run(&qp->hca->wire->eq);
	}
	return err;
}

int hca_srq_post(struct hca_srq *srq, const struct hca_recv_wr *wr)
{
	return post(&srq->rq, wr);
}

/*
 * One request is taken and completed under the lock: whoever finds the queue empty knows that others have completed what they took
 * from it. And a queue pair that was reset meanwhile keeps what is posted to it from then on.
 */
static bool flush_one(struct hca_qp *qp)
{
	struct hca_wc wc = { .status = HCA_WC_WR_FLUSH_ERR, .opcode = HCA_WC_RECV, .qp_num = qp->qpn };
	hca_irqflags_t flags;
	union hca_taken t;
	bool got;

	hca_spin_lock(&qp->rx_lock, flags);
	got = hca_load(&qp->state) == HCA_QPS_ERR && hca_rq_take(&qp->rq, &t.e, NULL);
	if (got) {
		wc.wr_id = t.e.wr_id;
		hca_qp_complete(qp, qp->recv_cq, &wc, false);
	}
	hca_spin_unlock(&qp->rx_lock, flags);
	return got;
}

void hca_rq_flush(struct hca_qp *qp)
{
	if (qp->flow)
		hca_flow_flush(qp);
	while (!qp->srq && flush_one(qp))
		;
}

bool hca_rq_last(struct hca_qp *qp, u64 wr_id)
{
	struct hca_wc wc = { .wr_id = wr_id, .status = HCA_WC_WR_FLUSH_ERR, .opcode = HCA_WC_RECV };
	bool lost;

	hca_qp_wait(qp);
	hca_rq_flush(qp);
	lost = hca_qp_note(qp, qp->recv_cq, &wc, false);
	hca_eq_run(&qp->hca->wire->eq);
	return !lost;
}

/* --- receiving --- */

bool hca_rx_take(struct hca_qp *qp, union hca_taken *t)
{
	bool limit = false;
	bool got;

	if (!qp->srq)
		return hca_rq_take(&qp->rq, &t->e, NULL);
	got = hca_rq_take(&qp->srq->rq, &t->e, &limit);
	if (limit)
		hca_eq_add(&qp->hca->wire->eq, &qp->srq->event);
	return got;
}

void hca_rx_cursor(struct hca_qp *qp, struct hca_sge_cursor *g, u32 access, const struct hca_sge *sge, u32 num_sge)
{
	g->mem = qp->hca->mem;
	g->keys = &qp->hca->keys;
	g->pd = qp->pd;
	g->qp = qp;
	g->access = access;
	g->sge = sge;
	g->num_sge = num_sge;
	g->off = 0;
	g->entry = NULL;
}

/* An error that the responder finds takes a reliable queue pair into error, with the event that says why (IBTA 9.9.3). */
enum hca_answer hca_rx_refuse(struct hca_qp *qp, enum hca_answer answer)
{
	if (qp->type == HCA_QPT_RC)
		hca_qp_to_error(qp, answer == HCA_ANSWER_REM_ACCESS ? HCA_EVENT_QP_ACCESS_ERR : HCA_EVENT_QP_REQ_ERR);
	return answer;
}

void hca_rx_fill_wc(const struct hca_qp *qp, const struct hca_msg *m, u64 wr_id, struct hca_wc *wc)
{
	*wc = (struct hca_wc){
		.wr_id = wr_id,
		.opcode = m->opcode == HCA_WR_RDMA_WRITE_WITH_IMM ? HCA_WC_RECV_RDMA_WITH_IMM : HCA_WC_RECV,
		.byte_len = (u32)m->len,
		.qp_num = qp->qpn,
		.src_qp = m->sqpn,
		.slid = (u16)m->slid,
		.sl = m->sl,
	};
	if (m->opcode == HCA_WR_SEND_WITH_IMM || m->opcode == HCA_WR_RDMA_WRITE_WITH_IMM) {
		wc->imm = m->imm;
		wc->wc_flags = HCA_WC_WITH_IMM;
	} else if (m->opcode == HCA_WR_SEND_WITH_INV) {
		wc->imm = m->imm;
		wc->wc_flags = HCA_WC_WITH_INVALIDATE;
	}
	if (m->global)
		wc->wc_flags |= HCA_WC_GRH;
}

/* A receive request for this message, and the beginning of its completion; without one, when to try again. */
static bool take_for(struct hca_qp *qp, struct hca_msg *m, union hca_taken *t, struct hca_wc *wc)
{
	if (!hca_rx_take(qp, t)) {
		m->rnr_code = qp->attr.min_rnr_timer;
		return false;
	}
	hca_rx_fill_wc(qp, m, t->e.wr_id, wc);
	return true;
}

/* A receive request that is spoilt: it completes so, and a connected queue pair is in error. */
void hca_rx_spoil(struct hca_qp *qp, struct hca_wc *wc, enum hca_wc_status status)
{
	wc->status = status;
	hca_qp_complete(qp, qp->recv_cq, wc, false);
	if (qp->type != HCA_QPT_UD)
		hca_qp_to_error(qp, 0);
}

/* Copies a sent message into the request's entries, behind the room for a GRH that every datagram gets (IBTA 11.4.1.2). */
static int scatter(struct hca_sge_cursor *to, hca_site_t site, struct hca_msg *m, enum hca_sge_side *side)
{
	int err;

	*side = HCA_SGE_DST;
	if (!m->connected) {
		u8 grh[HCA_GRH_BYTES] = { 0 };

		if (m->global)
			hca_grh_write(m, grh);
		err = hca_sge_put(to, grh, sizeof(grh), site);
		if (err)
			return err;
	}
	if (m->inline_data)
		return hca_sge_put(to, m->inline_data, m->len, site);
	return hca_sge_copy(to, site, &m->data, m->site, m->len, side);
}

u64 hca_rx_room(const struct hca_rwqe *e)
{
	u64 room = 0;
	u32 i;

	for (i = 0; i < e->num_sge; i++)
		room += e->sge[i].length;
	return room;
}

static enum hca_answer receive(struct hca_qp *qp, struct hca_msg *m, const struct hca_rwqe *e, struct hca_wc *wc)
{
	u64 need = m->len + (m->connected ? 0 : HCA_GRH_BYTES);
	enum hca_sge_side side;
	struct hca_sge_cursor to;

	/* A message that is too long is refused before a key is looked at (IBTA 9.7.4.1.6). */
	if (hca_rx_room(e) < need) {
		hca_rx_spoil(qp, wc, HCA_WC_LOC_LEN_ERR);
		return HCA_ANSWER_INV_REQ;
	}
	hca_rx_cursor(qp, &to, HCA_ACCESS_LOCAL_WRITE, e->sge, e->num_sge);
	if (hca_sge_check(&to, need)) {
		hca_rx_spoil(qp, wc, HCA_WC_LOC_PROT_ERR);
		return HCA_ANSWER_REM_OP;
	}
	if (scatter(&to, e->site, m, &side)) {
		hca_rx_spoil(qp, wc, side == HCA_SGE_DST ? HCA_WC_LOC_PROT_ERR : HCA_WC_REM_ABORT_ERR);
		return side == HCA_SGE_DST ? HCA_ANSWER_REM_OP : HCA_ANSWER_LOC_PROT;
	}
	wc->byte_len = (u32)need;
	return HCA_ANSWER_ACK;
}

/*
 * The key is void at once. Its users must have left before the receiver is told, and we can't wait for them from
 * inside: that, and the completion, is left to hca_respond_finish().
 */
bool hca_rx_begin_invalidate(struct hca_qp *qp, struct hca_msg *m, const struct hca_wc *wc)
{
	if (hca_key_invalidate_begin(qp, m->imm, true, &m->finish_invalidation))
		return false;
	hca_fetch_add(&qp->holds, 1);
	m->finish = qp;
	m->finish_wc = *wc;
	return true;
}

void hca_respond_finish(struct hca_msg *m)
{
	struct hca_qp *qp = m->finish;

	hca_key_invalidate_finish(&m->finish_invalidation);
	hca_qp_complete(qp, qp->recv_cq, &m->finish_wc, m->solicited);
	hca_fetch_add(&qp->holds, (u32)-1);
}

static enum hca_answer respond_send(struct hca_qp *qp, struct hca_msg *m)
{
	enum hca_answer answer;
	struct hca_wc wc;
	union hca_taken t;

	if (!take_for(qp, m, &t, &wc))
		return HCA_ANSWER_RNR;
	answer = receive(qp, m, &t.e, &wc);
	if (hca_unlikely(answer))
		return answer;
	if (m->opcode == HCA_WR_SEND_WITH_INV) {
		if (hca_rx_begin_invalidate(qp, m, &wc))
			return HCA_ANSWER_ACK;
		hca_rx_spoil(qp, &wc, HCA_WC_MW_BIND_ERR);
		return hca_rx_refuse(qp, HCA_ANSWER_REM_ACCESS);
	}
	hca_qp_complete(qp, qp->recv_cq, &wc, m->solicited);
	return HCA_ANSWER_ACK;
}

/* The bytes that an RDMA or atomic names, as a list of one entry. Return: may they be used so? */
bool hca_rx_remote_cursor(struct hca_qp *qp, const struct hca_msg *m, u32 access, struct hca_sge *sge,
			  struct hca_sge_cursor *g)
{
	sge->addr = m->raddr;
	sge->length = (u32)m->len;
	sge->lkey = m->rkey;
	hca_rx_cursor(qp, g, access, sge, 1);
	return qp->attr.qp_access_flags & access && !hca_sge_check(g, m->len);
}

static enum hca_answer copied(struct hca_qp *qp, int err, bool responder)
{
	if (!err)
		return HCA_ANSWER_ACK;
	return responder ? hca_rx_refuse(qp, HCA_ANSWER_REM_OP) : HCA_ANSWER_LOC_PROT;
}

static enum hca_answer respond_write(struct hca_qp *qp, struct hca_msg *m)
{
	enum hca_sge_side side = HCA_SGE_DST;
	struct hca_sge_cursor to;
	struct hca_sge sge;
	int err;

	if (!hca_rx_remote_cursor(qp, m, HCA_ACCESS_REMOTE_WRITE, &sge, &to))
		return hca_rx_refuse(qp, HCA_ANSWER_REM_ACCESS);
	if (m->inline_data)
		err = hca_sge_put(&to, m->inline_data, m->len, m->site);
	else
		err = hca_sge_copy(&to, m->site, &m->data, m->site, m->len, &side);
	return copied(qp, err, side == HCA_SGE_DST);
}

static enum hca_answer respond_write_imm(struct hca_qp *qp, struct hca_msg *m)
{
	enum hca_answer answer;
	struct hca_sge_cursor to;
	union hca_taken t;
	struct hca_sge sge;
	struct hca_wc wc;

	/* What isn't reliable and may not write is dropped; the request is for the next one. */
	if (!m->reliable && !hca_rx_remote_cursor(qp, m, HCA_ACCESS_REMOTE_WRITE, &sge, &to))
		return HCA_ANSWER_REM_ACCESS;
	/* The request is looked for first: a message that must come again should not have written already. */
	if (!take_for(qp, m, &t, &wc))
		return HCA_ANSWER_RNR;
	answer = respond_write(qp, m);
	if (hca_unlikely(answer)) {
		hca_rx_spoil(qp, &wc, answer == HCA_ANSWER_LOC_PROT ? HCA_WC_REM_ABORT_ERR : HCA_WC_LOC_ACCESS_ERR);
		return answer;
	}
	hca_qp_complete(qp, qp->recv_cq, &wc, m->solicited);
	return HCA_ANSWER_ACK;
}

static enum hca_answer respond_read(struct hca_qp *qp, struct hca_msg *m)
{
	enum hca_sge_side side = HCA_SGE_SRC;
	struct hca_sge_cursor from;
	struct hca_sge sge;
	int err;

	if (!qp->attr.max_dest_rd_atomic)
		return hca_rx_refuse(qp, HCA_ANSWER_INV_REQ);
	if (!hca_rx_remote_cursor(qp, m, HCA_ACCESS_REMOTE_READ, &sge, &from))
		return hca_rx_refuse(qp, HCA_ANSWER_REM_ACCESS);
	err = hca_sge_copy(&m->data, m->site, &from, m->site, m->len, &side);
	return copied(qp, err, side == HCA_SGE_SRC);
}

enum hca_answer hca_rx_atomic(struct hca_qp *qp, struct hca_msg *m)
{
	bool swap = m->opcode == HCA_WR_ATOMIC_CMP_AND_SWP;
	const struct hca_key_entry *e;
	struct hca_sge_cursor at;
	struct hca_sge sge;
	u64 run = sizeof(u64);
	int err;

	if (!qp->attr.max_dest_rd_atomic || m->raddr & (sizeof(u64) - 1))
		return hca_rx_refuse(qp, HCA_ANSWER_INV_REQ);
	if (!hca_rx_remote_cursor(qp, m, HCA_ACCESS_REMOTE_ATOMIC, &sge, &at))
		return hca_rx_refuse(qp, HCA_ANSWER_REM_ACCESS);
	e = hca_key_check(at.keys, m->rkey, qp->pd, qp, m->raddr, run, HCA_ACCESS_REMOTE_ATOMIC);
	if (!e)
		return hca_rx_refuse(qp, HCA_ANSWER_REM_ACCESS);
	err = hca_mem_atomic(qp->hca->mem, hca_mr_run(e->region, hca_key_offset(e, m->raddr), &run),
			     swap ? HCA_ATOMIC_CMP_SWAP : HCA_ATOMIC_FETCH_ADD, m->compare_add, m->swap, &m->result,
			     m->site);
	if (err)
		return hca_rx_refuse(qp, err == -EINVAL ? HCA_ANSWER_INV_REQ : HCA_ANSWER_REM_OP);
	return HCA_ANSWER_ACK;
}

static enum hca_answer respond_atomic(struct hca_qp *qp, struct hca_msg *m)
{
	enum hca_answer answer = hca_rx_atomic(qp, m);

	if (hca_unlikely(answer))
		return answer;
	return copied(qp, hca_sge_put(&m->data, &m->result, sizeof(m->result), m->site), false);
}

static enum hca_answer dispatch(struct hca_qp *qp, struct hca_msg *m)
{
	switch (m->opcode) {
	case HCA_WR_SEND:
	case HCA_WR_SEND_WITH_IMM:
	case HCA_WR_SEND_WITH_INV:
		return respond_send(qp, m);
	case HCA_WR_RDMA_WRITE:
		return respond_write(qp, m);
	case HCA_WR_RDMA_WRITE_WITH_IMM:
		return respond_write_imm(qp, m);
	case HCA_WR_RDMA_READ:
		return respond_read(qp, m);
	case HCA_WR_ATOMIC_CMP_AND_SWP:
	case HCA_WR_ATOMIC_FETCH_AND_ADD:
		return respond_atomic(qp, m);
	default:
		return hca_rx_refuse(qp, HCA_ANSWER_INV_REQ);
	}
}

/* Is this queue pair the one that the message is for, and in a state to take it? (IBTA 9.6.1.1, 10.3.1) */
static bool accepts(const struct hca_qp *qp, const struct hca_msg *m)
{
	u32 state = hca_load_acquire(&qp->state);

	if (state < HCA_QPS_RTR || state == HCA_QPS_ERR)
		return false;
	if (!m->connected)
		return qp->type == HCA_QPT_UD && qp->attr.qkey == m->qkey;
	return qp->type == (m->reliable ? HCA_QPT_RC : HCA_QPT_UC) && qp->attr.dest_qp_num == m->sqpn &&
	       qp->attr.ah.dlid == m->slid;
}

static enum hca_answer respond_datagram(struct hca_qp *qp, struct hca_msg *m)
{
	enum hca_answer answer;
	hca_irqflags_t flags;

	hca_spin_lock(&qp->rx_lock, flags);
	answer = dispatch(qp, m);
	hca_spin_unlock(&qp->rx_lock, flags);
	return answer;
}

/* One copy for each, from the same place; who has no receive request, or another Q_Key, goes without. */
static enum hca_answer respond_group(struct hca *hca, struct hca_msg *m)
{
	const struct hca_gid *dgid = m->global ? &m->grh.dgid : NULL;
	const struct hca_mcast_member *at = NULL;
	const struct hca_sge_cursor data = m->data;

	if (m->dqpn != HCA_MCAST_QPN)
		return HCA_ANSWER_ACK;
	while ((at = hca_mcast_next(hca, at, m->dlid, dgid))) {
		bool own = at->qp->qpn == m->sqpn && hca->lid == m->slid;

		if (!accepts(at->qp, m) || (own && at->qp->block_mcast_loopback))
			continue;
		m->data = data;
		if (respond_datagram(at->qp, m) == HCA_ANSWER_LOC_PROT)
			return HCA_ANSWER_LOC_PROT;
	}
	m->data = data;
	return HCA_ANSWER_ACK;
}

static bool for_us(const struct hca *hca, const struct hca_msg *m)
{
	return !m->global || !hca_memcmp(m->grh.dgid.raw, hca->gid.raw, sizeof(hca->gid.raw));
}

enum hca_answer hca_respond(struct hca *hca, struct hca_msg *m)
{
	enum hca_answer answer;
	struct hca_qp *qp;

	if (hca_unlikely(hca_msg_is_multicast(m)))
		return respond_group(hca, m);
	qp = hca_qp_find(hca, m->dqpn);
	if (!qp || !accepts(qp, m) || !for_us(hca, m))
		return m->reliable ? HCA_ANSWER_NONE : HCA_ANSWER_ACK;
	if (m->connected) {
		if (hca_unlikely(hca_load(&qp->state) == HCA_QPS_RTR) && !hca_xchg(&qp->established, true))
			hca_qp_tell(qp, HCA_EVENT_COMM_EST);
		answer = dispatch(qp, m);
	} else {
		answer = respond_datagram(qp, m);
	}
	/* What isn't reliable is answered by nobody; but the sender's own memory is the sender's own trouble. */
	return m->reliable || answer == HCA_ANSWER_LOC_PROT ? answer : HCA_ANSWER_ACK;
}
