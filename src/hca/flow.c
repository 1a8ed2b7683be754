/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where packets come in, and the loop that sends; see flow.h. Called by wires, and by
 * send.c and qp.c for queue pairs on a wire that carries packets.
 */
#include "hca/flow.h"
#include "hca/request.h"

#define DEFAULT_PKEY 0xffffu
#define PKEY_BASE 0x7fffu

/* --- making --- */

int hca_flow_create(struct hca_qp *qp)
{
	qp->flow = hca_alloc(sizeof(*qp->flow), HCA_MAY_SLEEP);
	return qp->flow ? 0 : -ENOMEM;
}

void hca_flow_reset(struct hca_qp *qp)
{
	hca_irqflags_t rx_flags, flags;

	/* Packets still come, and the timer may: they see the state, but look under the locks. */
	hca_spin_lock(&qp->rx_lock, rx_flags);
	hca_spin_lock(&qp->lock, flags);
	hca_memset(qp->flow, 0, sizeof(*qp->flow));
	qp->flow->una_idx = qp->sq_head;
	qp->flow->snd_idx = qp->sq_head;
	qp->flow->fresh = qp->sq_head;
	hca_spin_unlock(&qp->lock, flags);
	hca_spin_unlock(&qp->rx_lock, rx_flags);
}

void hca_flow_modified(struct hca_qp *qp, u32 mask)
{
	struct hca_flow *f = qp->flow;

	hca_spin_assert(&qp->lock);
	/* Each is set once, on the way to RTR and to RTS: nothing has come, or gone, by then. */
	if (mask & HCA_QP_RQ_PSN)
		f->expected = qp->attr.rq_psn;
	if (mask & HCA_QP_SQ_PSN) {
		f->una = qp->attr.sq_psn;
		f->snd = qp->attr.sq_psn;
		f->max = qp->attr.sq_psn;
	}
}

/* --- frames --- */

int hca_frame_write(struct hca_frame *f, void *out)
{
	u8 *at = out;
	int err = 0;

	hca_memcpy(at, f->header, f->header_len);
	at += f->header_len;
	if (f->len && f->own)
		hca_memcpy(at, f->own, f->len);
	else if (f->len)
		err = hca_sge_get(&f->data, at, f->len, f->site);
	hca_memset(at + f->len, 0, f->pad);
	return err;
}

void hca_flow_frame(const struct hca_qp *qp, struct hca_packet *p, struct hca_frame *f)
{
	const struct hca_ah_attr *ah = &qp->attr.ah;

	f->slid = qp->hca->lid;
	f->sl = ah->sl;
	p->pkey = DEFAULT_PKEY;
	if (qp->type != HCA_QPT_UD) {
		f->dlid = ah->dlid;
		p->dqpn = qp->attr.dest_qp_num;
		p->has_grh = ah->is_global;
		hca_memcpy(p->grh.sgid, qp->hca->gid.raw, sizeof(p->grh.sgid));
		p->grh.flow_label = ah->grh.flow_label;
		p->grh.traffic_class = ah->grh.traffic_class;
		p->grh.hop_limit = ah->grh.hop_limit;
		hca_memcpy(p->grh.dgid, ah->grh.dgid.raw, sizeof(p->grh.dgid));
	}
	f->global = p->has_grh;
	f->len = p->len;
	f->header_len = hca_packet_encode(p, f->header);
	f->pad = p->pad;
}

/* --- the loop --- */

/* What was chosen under the lock, for doing without it. */
struct work {
	enum { IDLE, REPAY, RETIRE, FAIL, FLUSH, SHOOT } todo;
	struct hca_owed owed;
	struct hca_flow_shot shot;
};

/* The responder's answers first: the peer waits for them, and they never wait for anything. */
static void choose(struct hca_qp *qp, struct work *w)
{
	struct hca_flow *f = qp->flow;
	u32 state = qp->state;
	bool ends = state == HCA_QPS_ERR || state == HCA_QPS_SQE;

	w->todo = IDLE;
	if (state < HCA_QPS_RTR)
		return;
	if ((state != HCA_QPS_ERR || f->last_words) && hca_flow_owes(qp, &w->owed)) {
		w->todo = REPAY;
	} else if (qp->sq_head != f->una_idx) {
		w->todo = RETIRE;
	} else if (f->failed && f->failed_idx == qp->sq_head) {
		w->todo = FAIL;
	} else if (ends) {
		w->todo = qp->sq_head != qp->sq_tail ? FLUSH : IDLE;
	} else if (state != HCA_QPS_RTR) {
		hca_flow_pick(qp, &w->shot);
		w->todo = w->shot.e ? SHOOT : IDLE;
	}
}

/* The first request leaves the queue, with @status; acknowledged or not. */
static void end_first(struct hca_qp *qp, enum hca_wc_status status)
{
	struct hca_swqe *e = hca_sq_entry(qp, qp->sq_head);
	struct hca_flow *f = qp->flow;
	hca_irqflags_t flags;
	bool lost;

	hca_spin_lock(&qp->lock, flags);
	lost = hca_sq_retire(qp, e, status);
	if (status) {
		/* Nothing is under way for those behind it: they are flushed, or nobody ever sent one. */
		f->failed = false;
		f->rd_out = 0;
		f->una = f->snd;
		f->max = f->snd;
		f->una_idx = f->snd_idx = f->fresh = qp->sq_head;
	}
	hca_spin_unlock(&qp->lock, flags);
	if (lost)
		hca_qp_to_error(qp, HCA_EVENT_QP_FATAL);
}

/* A response may just be on its way into the request's memory. No other will be taken: the state has changed. */
static void flush_first(struct hca_qp *qp)
{
	hca_irqflags_t flags;

	hca_spin_lock(&qp->rx_lock, flags);
	hca_spin_unlock(&qp->rx_lock, flags);
	end_first(qp, HCA_WC_WR_FLUSH_ERR);
}

static void perform(struct hca_qp *qp, const struct work *w)
{
	switch (w->todo) {
	case REPAY:
		hca_flow_repay(qp, &w->owed);
		break;
	case RETIRE:
		end_first(qp, HCA_WC_SUCCESS);
		break;
	case FAIL:
		end_first(qp, qp->flow->status);
		hca_sq_fail(qp);
		break;
	case FLUSH:
		flush_first(qp);
		break;
	case SHOOT:
		hca_flow_shoot(qp, &w->shot);
		break;
	case IDLE:
		break;
	}
}

void hca_flow_run(struct hca_qp *qp)
{
	hca_irqflags_t flags;
	struct work w;

	hca_spin_lock(&qp->lock, flags);
	if (qp->sq_running) {
		hca_spin_unlock(&qp->lock, flags);
		return;
	}
	qp->sq_running = true;
	for (choose(qp, &w); w.todo != IDLE; choose(qp, &w)) {
		hca_spin_unlock(&qp->lock, flags);
		perform(qp, &w);
		hca_spin_lock(&qp->lock, flags);
	}
	/* Drained is when everything that was begun is acknowledged (IBTA 10.3.1.5). */
	if (qp->state == HCA_QPS_SQD && qp->drain_wanted && qp->sq_head == qp->flow->fresh) {
		qp->drain_wanted = false;
		hca_qp_tell(qp, HCA_EVENT_SQ_DRAINED);
	}
	hca_store(&qp->sq_running, false);
	hca_spin_unlock(&qp->lock, flags);
}

/* --- arrivals --- */

/* A global route header names the port as well, or a group that it was found by. */
static bool for_us(const struct hca *hca, const struct hca_packet *p)
{
	if (!p->raw_grh || p->dqpn == HCA_MCAST_QPN)
		return true;
	return !hca_memcmp(p->raw_grh + HCA_GRH_LEN - sizeof(hca->gid.raw), hca->gid.raw, sizeof(hca->gid.raw));
}

/* Is it of this queue pair's service, from its peer, and is the queue pair in a state to hear it? (IBTA 9.6.1) */
static bool accepts(const struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	u32 state = hca_load_acquire(&qp->state);

	if (state < HCA_QPS_RTR || state == HCA_QPS_ERR)
		return false;
	switch (p->opcode & HCA_PKT_SERVICE) {
	case HCA_PKT_UD:
		return qp->type == HCA_QPT_UD && qp->attr.qkey == p->qkey && for_us(qp->hca, p);
	case HCA_PKT_UC:
		return qp->type == HCA_QPT_UC && qp->attr.ah.dlid == a->slid;
	default:
		return qp->type == HCA_QPT_RC && qp->attr.ah.dlid == a->slid;
	}
}

/* Return: did it leave an invalidation to finish? */
static bool take_in(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	struct hca_flow *f = qp->flow;
	bool unfinished = false;
	hca_irqflags_t flags;

	if (!f)
		return false;

	hca_spin_lock(&qp->rx_lock, flags);
	/* Who waits for an invalidation can't hold a lock meanwhile. A packet that comes just then is one that was lost. */
	if (!f->finishing && accepts(qp, p, a)) {
		if (p->what & HCA_PKT_IS_RESPONSE)
			hca_flow_answered(qp, p);
		else
			hca_flow_asked(qp, p, a);
		unfinished = f->msg.finish;
		f->finishing = unfinished;
	}
	hca_spin_unlock(&qp->rx_lock, flags);
	return unfinished;
}

static void finish(struct hca_qp *qp)
{
	struct hca_flow *f = qp->flow;
	hca_irqflags_t flags;

	hca_respond_finish(&f->msg);
	hca_spin_lock(&qp->rx_lock, flags);
	f->msg.finish = NULL;
	f->finishing = false;
	hca_spin_unlock(&qp->rx_lock, flags);
}

/* Each queue pair of ours that is in the group takes the packet as its own. Datagrams owe no answer, and leave nothing to finish. */
static void group_arrived(struct hca *hca, const struct hca_packet *p, const struct hca_arrival *a)
{
	const struct hca_mcast_member *at = NULL;
	const struct hca_gid *dgid = NULL;
	struct hca_quiesce_mark mark;
	struct hca_gid gid;

	if (p->raw_grh) {
		hca_memcpy(gid.raw, p->raw_grh + HCA_GRH_LEN - sizeof(gid.raw), sizeof(gid.raw));
		dgid = &gid;
	}
	if (!hca_lid_is_multicast(a->dlid) && !(dgid && hca_gid_is_multicast(dgid)))
		return;
	hca_quiesce_enter(&hca->wire->quiesce, &mark);
	while ((at = hca_mcast_next(hca, at, a->dlid, dgid))) {
		bool own = at->qp->qpn == p->sqpn && hca->lid == a->slid;

		if (!own || !at->qp->block_mcast_loopback)
			(void)take_in(at->qp, p, a);
	}
	hca_quiesce_leave(&mark);
	hca_eq_run(&hca->wire->eq);
}

void hca_packet_arrived(struct hca *hca, const struct hca_arrival *a)
{
	struct hca_quiesce_mark mark;
	bool unfinished = false;
	struct hca_packet p;
	struct hca_qp *qp;

	if (hca_packet_decode(a->bytes, a->len, a->global, &p) || (p.pkey & PKEY_BASE) != (DEFAULT_PKEY & PKEY_BASE))
		return;
	if (p.dqpn == HCA_MCAST_QPN) {
		group_arrived(hca, &p, a);
		return;
	}
	hca_quiesce_enter(&hca->wire->quiesce, &mark);
	qp = hca_qp_find(hca, p.dqpn);
	if (qp) {
		hca_fetch_add(&qp->holds, 1); /* so that it stays when we have left */
		unfinished = take_in(qp, &p, a);
	}
	hca_quiesce_leave(&mark);
	if (!qp)
		return;
	if (unfinished)
		finish(qp);
	hca_flow_run(qp);
	hca_fetch_add(&qp->holds, (u32)-1);
	hca_eq_run(&hca->wire->eq);
}
