/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The requester over packets (IBTA vol. 1, 9.7): messages become packets, and answers
 * move the oldest that isn't acknowledged. What has to be sent again is made again out of
 * the request in its queue; nothing is kept beside it. Called from flow.c's loop and
 * arrivals, and by the timer.
 */
#include "hca/flow.h"
#include "hca/request.h"

/* However long a message is, some of its packets ask for an acknowledgement before the window is full. */
#define ASK_EVERY (HCA_FLOW_WINDOW / 4)

/* --- what is under way; qp->lock is held --- */

static bool sends(const struct hca_qp *qp)
{
	return qp->state == HCA_QPS_RTS || qp->state == HCA_QPS_SQD;
}

/* This request ends in an error, and none from it on is sent. */
static void fail_at(struct hca_qp *qp, u32 idx, enum hca_wc_status status)
{
	struct hca_flow *f = qp->flow;

	f->failed = true;
	f->failed_idx = idx;
	f->status = status;
	f->snd_idx = idx;
	f->snd = idx == f->una_idx ? f->una : hca_sq_entry(qp, idx)->psn;
}

/* Is the oldest request one that failed? Then no answer means anything any more. */
static bool broken(const struct hca_flow *f)
{
	return f->failed && f->failed_idx == f->una_idx;
}

/* An answer is expected by then. The timer itself is only moved when it fires. */
static void expect_answer(struct hca_qp *qp)
{
	struct hca_flow *f = qp->flow;
	u64 ns = hca_ack_timeout_ns(qp->attr.timeout);

	if (qp->sq_waiting)
		return;
	f->deadline = ns ? hca_now_ns() + ns : 0;
	if (ns && !f->timing) {
		f->timing = true;
		hca_timer_start(&qp->timer, f->deadline);
	}
}

/* Go-back-N. */
static void back(struct hca_qp *qp)
{
	struct hca_flow *f = qp->flow;

	f->snd = f->una;
	f->snd_idx = f->una_idx;
	expect_answer(qp);
}

static void retry(struct hca_qp *qp)
{
	struct hca_flow *f = qp->flow;

	if (qp->retries++ < qp->attr.retry_cnt)
		back(qp);
	else
		fail_at(qp, f->una_idx, HCA_WC_RETRY_EXC_ERR);
}

/* Something is missing at the peer, or an answer of his at ours. One loss is told often, and repaired once. */
static void missing(struct hca_qp *qp)
{
	struct hca_flow *f = qp->flow;

	if (f->recovering || broken(f))
		return;
	f->recovering = true;
	retry(qp);
}

/* The oldest packet has moved: count anew, and don't send what needn't be sent again. */
static void progress(struct hca_qp *qp)
{
	struct hca_flow *f = qp->flow;

	qp->retries = 0;
	qp->rnr_retries = 0;
	f->recovering = false;
	if (hca_psn_dist(f->snd, f->una) > hca_psn_dist(f->max, f->una)) {
		f->snd = f->una;
		f->snd_idx = f->una_idx;
	}
	if (f->una != f->max)
		expect_answer(qp);
}

/*
 * Everything before @psn is acknowledged by an answer to @psn, but for reads and atomics, which have answers of their own.
 * Return: false if one of those is missing (IBTA 9.7.5.1.1).
 */
static bool reach(struct hca_qp *qp, u32 psn)
{
	struct hca_flow *f = qp->flow;
	u32 was = f->una;

	while (f->una != psn && !broken(f)) {
		const struct hca_swqe *e = hca_sq_entry(qp, f->una_idx);
		u32 end = hca_psn_add(e->psn, e->packets);

		if (hca_wr_reads_back(e->wr.opcode))
			break;
		if (hca_psn_dist(psn, f->una) < hca_psn_dist(end, f->una)) {
			f->una = psn;
		} else {
			f->una = end;
			f->una_idx = hca_sq_next(qp, f->una_idx);
		}
	}
	if (f->una != was)
		progress(qp);
	return f->una == psn;
}

/* --- sending --- */

/* May the next request begin? Its packets get their numbers. */
static bool begin(struct hca_qp *qp, struct hca_swqe *e)
{
	bool reads = hca_wr_reads_back(e->wr.opcode);
	struct hca_flow *f = qp->flow;
	u32 under_way = hca_psn_dist(f->snd, f->una);

	if (qp->state != HCA_QPS_RTS)
		return false;
	/* What is sent again is gathered again: nobody may take its key away before it's acknowledged. */
	if (!hca_wr_carries_data(e->wr.opcode))
		return qp->sq_head == f->snd_idx;
	if (f->rd_out && (e->wr.flags & HCA_SEND_FENCE || (reads && f->rd_out >= qp->attr.max_rd_atomic)))
		return false;
	/* What is too long fails before it leaves. */
	e->packets = e->len <= HCA_MAX_MSG ? hca_flow_packets(qp, e->len) : 1;
	if (under_way && under_way + e->packets > HCA_PSN_HALF)
		return false;
	e->psn = f->snd;
	f->rd_out += reads;
	f->fresh = hca_sq_next(qp, f->fresh);
	return true;
}

void hca_flow_pick(struct hca_qp *qp, struct hca_flow_shot *s)
{
	struct hca_flow *f = qp->flow;
	struct hca_swqe *e;
	u32 end;

	hca_spin_assert(&qp->lock);
	s->e = NULL;
	if (qp->sq_waiting || f->snd_idx == qp->sq_tail || (f->failed && f->snd_idx == f->failed_idx))
		return;
	if (hca_psn_dist(f->snd, f->una) >= HCA_FLOW_WINDOW)
		return;
	e = hca_sq_entry(qp, f->snd_idx);
	if (f->snd_idx == f->fresh && !begin(qp, e))
		return;
	*s = (struct hca_flow_shot){ .e = e, .idx = f->snd_idx, .psn = f->snd };
	s->local = !hca_wr_carries_data(e->wr.opcode);
	if (s->local)
		return;
	/* A read's one packet asks for all that is left of it, and its answers take the numbers. */
	end = hca_psn_add(e->psn, e->packets);
	if (qp->type == HCA_QPT_RC && f->una == f->max)
		expect_answer(qp);
	f->snd = hca_wr_reads_back(e->wr.opcode) ? end : hca_psn_add(f->snd, 1);
	s->last = f->snd == end;
	if (s->last)
		f->snd_idx = hca_sq_next(qp, f->snd_idx);
	if (hca_psn_dist(f->snd, f->una) > hca_psn_dist(f->max, f->una))
		f->max = f->snd;
}

/* Opcodes of sends and of writes stand in one order. */
static u8 data_op(enum hca_wr_opcode op, bool first, bool last)
{
	bool write = op == HCA_WR_RDMA_WRITE || op == HCA_WR_RDMA_WRITE_WITH_IMM;
	u8 base = write ? HCA_PKT_WRITE_FIRST : HCA_PKT_SEND_FIRST;

	if (!last)
		return base + (first ? 0 : HCA_PKT_SEND_MIDDLE);
	if (op == HCA_WR_SEND_WITH_INV)
		return first ? HCA_PKT_SEND_ONLY_INV : HCA_PKT_SEND_LAST_INV;
	if (op == HCA_WR_SEND_WITH_IMM || op == HCA_WR_RDMA_WRITE_WITH_IMM)
		return base + (first ? HCA_PKT_SEND_ONLY_IMM : HCA_PKT_SEND_LAST_IMM);
	return base + (first ? HCA_PKT_SEND_ONLY : HCA_PKT_SEND_LAST);
}

static u8 request_op(enum hca_wr_opcode op, bool first, bool last)
{
	switch (op) {
	case HCA_WR_RDMA_READ:
		return HCA_PKT_READ_REQUEST;
	case HCA_WR_ATOMIC_CMP_AND_SWP:
		return HCA_PKT_CMP_SWAP;
	case HCA_WR_ATOMIC_FETCH_AND_ADD:
		return HCA_PKT_FETCH_ADD;
	default:
		return data_op(op, first, last);
	}
}

static u8 service(enum hca_qp_type type)
{
	return type == HCA_QPT_RC ? HCA_PKT_RC : type == HCA_QPT_UC ? HCA_PKT_UC : HCA_PKT_UD;
}

/* The headers of a shot, and where its payload is. */
static void load(const struct hca_qp *qp, const struct hca_flow_shot *s, const struct hca_msg *m, struct hca_frame *f)
{
	bool first = s->psn == s->e->psn;
	bool swap = m->opcode == HCA_WR_ATOMIC_CMP_AND_SWP;
	bool reads = hca_wr_reads_back(m->opcode);
	u64 off = (u64)hca_psn_dist(s->psn, s->e->psn) * hca_flow_mtu(qp);
	struct hca_packet p = {
		.opcode = request_op(m->opcode, first, s->last) | service(qp->type),
		.solicited = m->solicited && s->last,
		.ack_req = m->reliable && (s->last || !(hca_psn_add(s->psn, 1) % ASK_EVERY)),
		.psn = s->psn,
		.dqpn = m->dqpn,
		.qkey = m->qkey,
		.sqpn = m->sqpn,
		.rkey = m->rkey,
		.raddr = reads ? m->raddr + off : m->raddr,
		.dmalen = (u32)(reads ? m->len - off : m->len),
		.swap_add = swap ? m->swap : m->compare_add,
		.compare = swap ? m->compare_add : 0,
		.imm = m->imm,
		.len = reads ? 0 : (u32)HCA_MIN(m->len - off, (u64)hca_flow_mtu(qp)),
	};

	if (m->global) {
		p.has_grh = true;
		p.grh.flow_label = m->grh.flow_label;
		p.grh.traffic_class = m->grh.traffic_class;
		p.grh.hop_limit = m->grh.hop_limit;
		hca_memcpy(p.grh.sgid, m->sgid.raw, sizeof(p.grh.sgid));
		hca_memcpy(p.grh.dgid, m->grh.dgid.raw, sizeof(p.grh.dgid));
	}
	f->dlid = m->dlid;
	f->site = m->site;
	f->data = m->data;
	f->own = m->inline_data ? (const u8 *)m->inline_data + off : NULL;
	if (!f->own && p.len)
		hca_sge_skip(&f->data, off);
	hca_flow_frame(qp, &p, f);
	f->sl = m->sl;
}

static enum hca_wc_status transmit(struct hca_qp *qp, const struct hca_flow_shot *s)
{
	struct hca_wire *wire = qp->hca->wire;
	enum hca_wc_status status = HCA_WC_SUCCESS;
	struct hca_quiesce_mark mark;
	struct hca_frame f;
	struct hca_msg m;

	hca_sq_fill_msg(qp, s->e, &m);
	hca_quiesce_enter(&wire->quiesce, &mark);
	if (s->psn == s->e->psn)
		status = hca_sq_check_local(qp, &m);
	if (!status) {
		load(qp, s, &m, &f);
		if (wire->ops->xmit(wire, &f))
			status = HCA_WC_LOC_PROT_ERR;
	}
	hca_quiesce_leave(&mark);
	return status;
}

void hca_flow_shoot(struct hca_qp *qp, const struct hca_flow_shot *s)
{
	enum hca_wc_status status = s->local ? hca_sq_run_local(qp, s->e) : transmit(qp, s);
	struct hca_flow *f = qp->flow;
	hca_irqflags_t flags;

	hca_spin_lock(&qp->lock, flags);
	if (status) {
		/* Unless it was acknowledged meanwhile: then nothing had to be sent again. */
		if (f->una_idx == s->idx || hca_psn_dist(s->psn, f->una) < HCA_PSN_HALF)
			fail_at(qp, s->idx, status);
	} else if (s->local) {
		f->una_idx = f->snd_idx = f->fresh = hca_sq_next(qp, s->idx);
	} else if (qp->type != HCA_QPT_RC) {
		/* Nobody will say that it arrived: it is done when it has left. */
		f->una = f->snd;
		if (s->last)
			f->una_idx = hca_sq_next(qp, s->idx);
	}
	hca_spin_unlock(&qp->lock, flags);
}

/* --- answers; rx_lock is held, and we are inside --- */

static void not_ready(struct hca_qp *qp, u32 code)
{
	struct hca_flow *f = qp->flow;

	if (qp->sq_waiting)
		return;
	/* It is an answer all the same: losses before it don't count any more. */
	qp->retries = 0;
	f->recovering = false;
	/* 7 is for ever, here alone (IBTA 9.7.5.2.8). */
	if (qp->attr.rnr_retry != 7 && qp->rnr_retries++ >= qp->attr.rnr_retry) {
		fail_at(qp, f->una_idx, HCA_WC_RNR_RETRY_EXC_ERR);
		return;
	}
	f->snd = f->una;
	f->snd_idx = f->una_idx;
	f->deadline = hca_now_ns() + hca_rnr_timer_ns(code);
	f->timing = true;
	qp->sq_waiting = true;
	hca_timer_start(&qp->timer, f->deadline);
}

static void refused(struct hca_qp *qp, u32 code)
{
	static const enum hca_wc_status status[HCA_NAK_CODES] = {
		[HCA_NAK_INV_REQ] = HCA_WC_REM_INV_REQ_ERR,
		[HCA_NAK_REM_ACCESS] = HCA_WC_REM_ACCESS_ERR,
		[HCA_NAK_REM_OP] = HCA_WC_REM_OP_ERR,
		[HCA_NAK_INV_RD_REQ] = HCA_WC_REM_INV_RD_REQ_ERR,
	};

	if (code == HCA_NAK_SEQUENCE)
		missing(qp);
	else
		fail_at(qp, qp->flow->una_idx, status[code]);
}

static void acknowledged(struct hca_qp *qp, const struct hca_packet *p)
{
	u32 kind = p->syndrome & HCA_AETH_KIND, value = p->syndrome & HCA_AETH_VALUE;

	if (broken(qp->flow))
		return;
	if (!reach(qp, kind == HCA_AETH_ACK ? hca_psn_add(p->psn, 1) : p->psn))
		missing(qp);
	else if (broken(qp->flow))
		return;
	else if (kind == HCA_AETH_RNR)
		not_ready(qp, value);
	else if (kind == HCA_AETH_NAK)
		refused(qp, value);
}

/* Is this the answer that the request wants at this place? */
static enum hca_wc_status judge(const struct hca_qp *qp, const struct hca_swqe *e, const struct hca_packet *p)
{
	u32 k = hca_psn_dist(p->psn, e->psn), mtu = hca_flow_mtu(qp);
	bool last = k + 1 == e->packets;

	if (p->opcode == HCA_PKT_ATOMIC_ACK)
		return e->wr.opcode == HCA_WR_ATOMIC_CMP_AND_SWP || e->wr.opcode == HCA_WR_ATOMIC_FETCH_AND_ADD ?
			       HCA_WC_SUCCESS :
			       HCA_WC_BAD_RESP_ERR;
	/* What is first depends on where the read was begun again; where it ends is where it always ended. */
	if (e->wr.opcode != HCA_WR_RDMA_READ || !(p->what & HCA_PKT_ENDS) == last ||
	    (!k && !(p->what & HCA_PKT_BEGINS)))
		return HCA_WC_BAD_RESP_ERR;
	return p->len == (last ? e->len - (u64)k * mtu : mtu) ? HCA_WC_SUCCESS : HCA_WC_LOC_LEN_ERR;
}

/* Bytes that came back, to where they belong. */
static enum hca_wc_status place(struct hca_qp *qp, const struct hca_swqe *e, const struct hca_packet *p)
{
	struct hca_sge_cursor to;
	int err;

	hca_rx_cursor(qp, &to, HCA_ACCESS_LOCAL_WRITE, e->sge, e->wr.num_sge);
	if (p->opcode == HCA_PKT_ATOMIC_ACK) {
		err = hca_sge_put(&to, &p->original, sizeof(p->original), e->wr.site);
	} else {
		hca_sge_skip(&to, (u64)hca_psn_dist(p->psn, e->psn) * hca_flow_mtu(qp));
		err = hca_sge_put(&to, p->payload, p->len, e->wr.site);
	}
	return err ? HCA_WC_LOC_PROT_ERR : HCA_WC_SUCCESS;
}

static void placed(struct hca_qp *qp, const struct hca_swqe *e, const struct hca_packet *p)
{
	struct hca_flow *f = qp->flow;

	f->una = hca_psn_add(p->psn, 1);
	if (f->una == hca_psn_add(e->psn, e->packets)) {
		f->una_idx = hca_sq_next(qp, f->una_idx);
		f->rd_out--;
	}
	progress(qp);
}

/*
 * The request at @una_idx that a response is for, or NULL. It stays where it is without the lock: none but us moves
 * @una_idx, and a flush waits for rx_lock.
 */
static const struct hca_swqe *asked_for(struct hca_qp *qp, const struct hca_packet *p)
{
	struct hca_flow *f = qp->flow;
	const struct hca_swqe *e;
	enum hca_wc_status status;

	/* One before it may want responses too, or this isn't the next: those between are lost. */
	if (!reach(qp, p->psn)) {
		missing(qp);
		return NULL;
	}
	if (broken(f))
		return NULL;
	e = hca_sq_entry(qp, f->una_idx);
	status = judge(qp, e, p);
	if (!status)
		return e;
	fail_at(qp, f->una_idx, status);
	return NULL;
}

void hca_flow_answered(struct hca_qp *qp, const struct hca_packet *p)
{
	struct hca_flow *f = qp->flow;
	const struct hca_swqe *e = NULL;
	enum hca_wc_status status;
	hca_irqflags_t flags;

	hca_spin_lock(&qp->lock, flags);
	/* An answer to what is done already, or was never sent: a ghost (IBTA 9.7.5.1.4). */
	if (sends(qp) && hca_psn_dist(p->psn, f->una) < hca_psn_dist(f->max, f->una)) {
		if (p->opcode == HCA_PKT_ACK)
			acknowledged(qp, p);
		else
			e = asked_for(qp, p);
	}
	hca_spin_unlock(&qp->lock, flags);
	if (!e)
		return;
	status = place(qp, e, p);
	hca_spin_lock(&qp->lock, flags);
	if (sends(qp)) {
		if (status)
			fail_at(qp, f->una_idx, status);
		else
			placed(qp, e, p);
	}
	hca_spin_unlock(&qp->lock, flags);
}

/* --- time --- */

void hca_flow_timeout(struct hca_qp *qp)
{
	struct hca_flow *f = qp->flow;
	u64 now = hca_now_ns();
	hca_irqflags_t flags;

	hca_spin_lock(&qp->lock, flags);
	f->timing = false;
	if (!sends(qp) || !f->deadline || (f->una == f->max && !qp->sq_waiting)) {
		/* nobody waits */
	} else if (now < f->deadline) {
		f->timing = true;
		hca_timer_start(&qp->timer, f->deadline);
	} else if (qp->sq_waiting) {
		qp->sq_waiting = false;
		expect_answer(qp);
	} else if (!broken(f)) {
		f->recovering = false;
		retry(qp);
	}
	hca_spin_unlock(&qp->lock, flags);
}
