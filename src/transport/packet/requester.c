/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The requester over packets (IBTA vol. 1, 9.7): messages become packets, and answers
 * move the oldest that isn't acknowledged. What has to be sent again is made again out of
 * the request in its queue; nothing is kept beside it. Called from packet.c's loop and
 * arrivals, and by the timer.
 */
#include "transport/packet/packet.h"

/* However long a message is, some of its packets ask for an acknowledgement before the window is full. */
#define ASK_EVERY (HCA_PACKET_WINDOW / 4)

/* --- what is under way; qp->lock is held --- */

static bool sends(const struct hca_qp *qp)
{
	return qp->state == HCA_QPS_RTS || qp->state == HCA_QPS_SQD;
}

static bool reads_back(const struct hca_sqe *e)
{
	return e->op->flags & HCA_OP_READS;
}

void hca_packet_forget(struct hca_qp *qp)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);

	hca_spin_assert(&qp->lock);
	pq->failed = false;
	pq->repeating = false;
	pq->rd_out = 0;
	pq->una = pq->snd;
	pq->max = pq->snd;
	pq->una_idx = pq->snd_idx = pq->fresh = qp->sq.head;
}

/* This request ends in an error, and none from it on is sent. Of two that fail the older one decides. */
static void fail_at(struct hca_qp *qp, u32 idx, enum hca_wc_status status, u8 why)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	const struct hca_sq *sq = &qp->sq;

	if (pq->failed && pq->failed_idx - sq->head <= idx - sq->head)
		return;
	hca_sq_entry(sq, idx)->why = why;
	pq->failed = true;
	pq->failed_idx = idx;
	pq->status = status;
	pq->snd_idx = idx;
	pq->snd = idx == pq->una_idx ? pq->una : hca_sq_entry(sq, idx)->psn;
}

/* Is the oldest request one that failed? Then no answer means anything any more. */
static bool broken(const struct hca_packet_qp *pq)
{
	return pq->failed && pq->failed_idx == pq->una_idx;
}

/* An answer is expected by then. The timer itself is only moved when it fires. */
static void expect_answer(struct hca_qp *qp)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	u64 ns = hca_ack_timeout_ns(qp->attr.timeout);

	if (qp->waiting)
		return;
	pq->deadline = ns ? hca_now_ns() + ns : 0;
	if (ns && !pq->timing) {
		pq->timing = true;
		hca_timer_start(&qp->timer, pq->deadline);
	}
}

/* Nothing is sent for a while. */
static void wait(struct hca_qp *qp, u64 ns)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);

	pq->deadline = hca_now_ns() + ns;
	pq->timing = true;
	qp->waiting = true;
	hca_timer_start(&qp->timer, pq->deadline);
}

/* Go-back-N. */
static void retry(struct hca_qp *qp)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);

	if (hca_req_may_retry(qp)) {
		pq->snd = pq->una;
		pq->snd_idx = pq->una_idx;
		pq->recovering = true;
		pq->repeating = true;
		pq->repeated_to = pq->max;
		expect_answer(qp);
	} else {
		fail_at(qp, pq->una_idx, HCA_WC_RETRY_EXC_ERR, HCA_VENDOR_NO_ANSWER);
	}
}

/* Something is missing at the peer, as he says. He says it once more of what is sent now only when that has arrived. */
static void missing(struct hca_qp *qp)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);

	if (!pq->recovering && !broken(pq))
		retry(qp);
}

/*
 * An answer shows that one before it is missing. While what was lost is being repaired no answer tells anything new but the one that is
 * expected: it may be one of before. If the repair is lost too, the timer says so.
 */
static void answer_missing(struct hca_qp *qp)
{
	if (!hca_packet_qp(qp)->repeating)
		missing(qp);
}

/* The oldest packet has moved: count anew, and don't send what needn't be sent again. */
static void progress(struct hca_qp *qp)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);

	qp->retries = 0;
	qp->rnr_retries = 0;
	pq->recovering = false;
	if (hca_psn_dist(pq->una, pq->repeated_to) < HCA_PSN_HALF)
		pq->repeating = false;
	if (hca_psn_dist(pq->snd, pq->una) > hca_psn_dist(pq->max, pq->una)) {
		pq->snd = pq->una;
		pq->snd_idx = pq->una_idx;
	}
	if (pq->una != pq->max)
		expect_answer(qp);
}

/*
 * Everything before @psn is acknowledged by an answer to @psn, but for reads and atomics, which have answers of their own.
 * Return: false if one of those is missing (IBTA 9.7.5.1.1).
 */
static bool reach(struct hca_qp *qp, u32 psn)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	u32 was = pq->una;

	while (pq->una != psn && !broken(pq)) {
		const struct hca_sqe *e = hca_sq_entry(&qp->sq, pq->una_idx);
		u32 end = hca_psn_add(e->psn, e->packets);

		if (reads_back(e))
			break;
		if (hca_psn_dist(psn, pq->una) < hca_psn_dist(end, pq->una)) {
			pq->una = psn;
		} else {
			pq->una = end;
			pq->una_idx++;
		}
	}
	if (pq->una != was)
		progress(qp);
	return pq->una == psn;
}

/* --- sending --- */

/* As many receive requests as the peer told of are used up; one message may still go to find out (IBTA 9.7.7.2.5). */
static bool out_of_credits(const struct hca_qp *qp, const struct hca_sqe *e)
{
	const struct hca_packet_qp *pq = hca_packet_qp(qp);
	u32 number = hca_psn_add(pq->msn_first, pq->snd_idx - qp->sq.head);

	return pq->limited && e->op->flags & HCA_OP_TAKES_RECV && pq->snd_idx != pq->una_idx &&
	       hca_psn_dist(number, pq->lsn) < HCA_PSN_HALF;
}

/* May the next request begin? Its packets get their numbers. */
static bool begin(struct hca_qp *qp, struct hca_sqe *e)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	u32 under_way = hca_psn_dist(pq->snd, pq->una);

	if (qp->state != HCA_QPS_RTS)
		return false;
	/* What is sent again is read from memory again: a key that it names stays until it's acknowledged. */
	if (e->op->flags & HCA_OP_LOCAL || hca_req_is_silent(qp, e))
		return qp->sq.head == pq->snd_idx;
	if (pq->rd_out && (e->wr.flags & HCA_SEND_FENCE || (reads_back(e) && pq->rd_out >= qp->attr.max_rd_atomic)))
		return false;
	if (out_of_credits(qp, e))
		return false;
	/* What is too long fails before it leaves. */
	e->packets = e->len <= HCA_MAX_MSG ? hca_packet_count(qp, e->len) : 1;
	if (under_way && under_way + e->packets > HCA_PSN_HALF)
		return false;
	e->psn = pq->snd;
	pq->rd_out += reads_back(e);
	pq->fresh++;
	return true;
}

/* Is there a request behind that will leave right after this one? It asks then for both. */
static bool more_follows(const struct hca_qp *qp)
{
	const struct hca_packet_qp *pq = hca_packet_qp(qp);
	const struct hca_sqe *next;

	if (pq->snd_idx == qp->sq.tail || qp->state != HCA_QPS_RTS || pq->failed || pq->limited ||
	    hca_psn_dist(pq->snd, pq->una) >= HCA_PACKET_WINDOW)
		return false;
	next = hca_sq_entry(&qp->sq, pq->snd_idx);
	return !(next->op->flags & (HCA_OP_LOCAL | HCA_OP_READS)) && !(next->wr.flags & HCA_SEND_FENCE) &&
	       next->len <= HCA_MAX_MSG;
}

/* An acknowledgement of the last packet tells of all before it; so of many requests only some need ask. */
static bool asks(const struct hca_qp *qp, const struct hca_sqe *e, const struct hca_packet_shot *s, bool again)
{
	if (qp->type != HCA_QPT_RC)
		return false;
	if (s->last && (again || qp->sq_sig_all || e->wr.flags & HCA_SEND_SIGNALED || !more_follows(qp)))
		return true;
	return !(hca_psn_add(s->psn, 1) % ASK_EVERY);
}

void hca_packet_pick(struct hca_qp *qp, struct hca_packet_shot *s)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	struct hca_sqe *e;
	bool again;
	u32 end;

	hca_spin_assert(&qp->lock);
	s->e = NULL;
	if (qp->waiting || pq->snd_idx == qp->sq.tail || (pq->failed && pq->snd_idx == pq->failed_idx))
		return;
	if (hca_psn_dist(pq->snd, pq->una) >= HCA_PACKET_WINDOW)
		return;
	e = hca_sq_entry(&qp->sq, pq->snd_idx);
	if (pq->snd_idx == pq->fresh && !begin(qp, e))
		return;
	*s = (struct hca_packet_shot){ .e = e, .idx = pq->snd_idx, .psn = pq->snd };
	s->local = e->op->flags & HCA_OP_LOCAL || hca_req_is_silent(qp, e);
	if (s->local)
		return;
	/* A read's one packet asks for all that is left of it, and its answers take the numbers. */
	end = hca_psn_add(e->psn, e->packets);
	if (qp->type == HCA_QPT_RC && pq->una == pq->max)
		expect_answer(qp);
	pq->snd = reads_back(e) ? end : hca_psn_add(pq->snd, 1);
	s->last = pq->snd == end;
	if (s->last)
		pq->snd_idx++;
	again = hca_psn_dist(pq->snd, pq->una) <= hca_psn_dist(pq->max, pq->una);
	if (!again)
		pq->max = pq->snd;
	s->ask = asks(qp, e, s, again);
	s->asked = pq->asked;
	if (s->ask)
		pq->asked = pq->snd;
}

static u8 packet_op(const struct hca_qp *qp, const struct hca_packet_shot *s)
{
	const struct hca_opcode *op = s->e->op;
	bool first = s->psn == s->e->psn;
	u8 service = qp->type == HCA_QPT_RC ? HCA_PKT_RC : qp->type == HCA_QPT_UC ? HCA_PKT_UC : HCA_PKT_UD;

	if (op->flags & HCA_OP_READS || (first && s->last))
		return service | op->only;
	return service | (first ? op->first : s->last ? op->last : op->middle);
}

static void fill_datagram(const struct hca_qp *qp, const struct hca_sqe *e, struct hca_packet *p,
			  struct hca_packet_out *out)
{
	const struct hca_send_wr *wr = &e->wr;
	const struct hca_gid *sgid = hca_gid_at(&qp->hca->gids, wr->ud.grh.sgid_index);

	out->f.dlid = wr->ud.dlid;
	out->f.sl = wr->ud.sl;
	p->dqpn = wr->ud.qpn;
	p->sqpn = qp->qpn;
	/* A Q_Key with the top bit set stands for the queue pair's own (IBTA 10.2.5). */
	p->qkey = wr->ud.qkey >> 31 ? hca_load(&qp->qkey) : wr->ud.qkey;
	p->has_grh = wr->ud.is_global;
	if (!p->has_grh)
		return;
	p->grh.flow_label = wr->ud.grh.flow_label;
	p->grh.traffic_class = wr->ud.grh.traffic_class;
	p->grh.hop_limit = wr->ud.grh.hop_limit;
	if (sgid)
		hca_memcpy(p->grh.sgid, sgid->raw, sizeof(p->grh.sgid));
	hca_memcpy(p->grh.dgid, wr->ud.grh.dgid.raw, sizeof(p->grh.dgid));
}

/* The headers of a shot, and where its payload is. */
static void load(struct hca_qp *qp, const struct hca_packet_shot *s, const struct hca_packet_path *path,
		 struct hca_packet_out *out)
{
	const struct hca_sqe *e = s->e;
	const struct hca_send_wr *wr = &e->wr;
	bool reads = reads_back(e), atomic = e->op->flags & HCA_OP_ATOMIC;
	bool swap = e->op->wc == HCA_WC_COMP_SWAP;
	u64 off = (u64)hca_psn_dist(s->psn, e->psn) << hca_packet_mtu_shift(qp);
	struct hca_packet p = {
		.opcode = packet_op(qp, s),
		.solicited = s->last && wr->flags & HCA_SEND_SOLICITED && e->op->flags & HCA_OP_TAKES_RECV,
		.ack_req = s->ask,
		.psn = s->psn,
		.rkey = atomic ? wr->atomic.rkey : wr->rdma.rkey,
		.raddr = atomic ? wr->atomic.addr : wr->rdma.addr + (reads ? off : 0),
		.dmalen = (u32)(reads ? e->len - off : e->len),
		.imm = wr->imm,
		.len = reads ? 0 : (u32)HCA_MIN(e->len - off, (u64)hca_packet_mtu(qp)),
	};

	if (atomic) {
		p.swap_add = swap ? wr->atomic.swap : wr->atomic.compare_add;
		p.compare = swap ? wr->atomic.compare_add : 0;
	}
	if (hca_qp_is_datagram(qp->type))
		fill_datagram(qp, e, &p, out);
	out->site = wr->site;
	out->own = wr->flags & HCA_SEND_INLINE ? (const u8 *)e->sge + off : NULL;
	if (!out->own && p.len)
		hca_sge_skip(&out->data, off);
	hca_packet_frame(qp, path, &p, out);
}

static enum hca_wc_status transmit(struct hca_qp *qp, const struct hca_packet_shot *s,
				   const struct hca_packet_path *path, bool *full)
{
	struct hca_wire *wire = qp->hca->wire;
	enum hca_wc_status status = HCA_WC_SUCCESS;
	struct hca_quiesce_mark mark;
	struct hca_packet_out out;
	int err;

	hca_quiesce_enter_for(&qp->hca->quiesce, &mark, HCA_PACKET_LONG);
	hca_req_cursor(qp, s->e, &out.data);
	if (s->psn == s->e->psn)
		status = hca_req_check(qp, s->e, &out.data);
	if (!status) {
		load(qp, s, path, &out);
		err = wire->ops->xmit(wire, &out.f);
		*full = err == -EAGAIN;
		if (err && !*full)
			status = hca_req_refuse(qp, s->e, &out.data, HCA_WC_LOC_PROT_ERR, HCA_VENDOR_MEMORY);
	}
	hca_quiesce_leave(&mark);
	return status;
}

/* Back to a packet that the wire didn't take, unless that needn't be sent any more. */
static void take_back(struct hca_qp *qp, const struct hca_packet_shot *s)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);

	if (hca_psn_dist(s->psn, pq->una) >= HCA_PSN_HALF || hca_psn_dist(pq->snd, s->psn) >= HCA_PSN_HALF)
		return;
	pq->snd = s->psn;
	pq->snd_idx = s->idx;
}

/* The packets before @end relied on the one there to ask: they go once more, and the last of them asks. */
static void ask_now(struct hca_qp *qp, u32 end)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);

	if (qp->type != HCA_QPT_RC || broken(pq) || hca_psn_dist(end, pq->una) >= HCA_PSN_HALF ||
	    hca_psn_dist(pq->asked, pq->una) >= hca_psn_dist(end, pq->una))
		return;
	pq->snd = pq->una;
	pq->snd_idx = pq->una_idx;
}

bool hca_packet_shoot(struct hca_qp *qp, const struct hca_packet_shot *s, const struct hca_packet_path *path)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	enum hca_wc_status status = HCA_WC_SUCCESS;
	hca_irqflags_t flags;
	bool full = false, now = true;

	if (!s->local)
		status = transmit(qp, s, path, &full);
	else if (s->e->op->flags & HCA_OP_LOCAL)
		now = hca_req_local(qp, s->e, &status);
	hca_spin_lock(&qp->lock, flags);
	if (full) {
		take_back(qp, s);
	} else if (!now) {
		wait(qp, HCA_NOT_NOW_NS); /* nothing else is under way */
	} else if (status) {
		/* Unless it was acknowledged meanwhile: then nothing had to be sent again. */
		if (pq->una_idx == s->idx || hca_psn_dist(s->psn, pq->una) < HCA_PSN_HALF)
			fail_at(qp, s->idx, status, s->e->why);
		if (s->ask)
			pq->asked = s->asked; /* it didn't leave */
		ask_now(qp, s->psn);
	} else if (s->local) {
		pq->una_idx = pq->snd_idx = pq->fresh = s->idx + 1;
	} else if (qp->type != HCA_QPT_RC) {
		/* No answer will say that it arrived: it is done when it has left. */
		pq->una = pq->snd;
		if (s->last)
			pq->una_idx = s->idx + 1;
	}
	hca_spin_unlock(&qp->lock, flags);
	return full;
}

/* --- answers; at rx, inside, and the lock is held where it isn't said otherwise --- */

static void not_ready(struct hca_qp *qp, u32 code)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);

	if (qp->waiting)
		return;
	pq->recovering = false;
	pq->repeating = false;
	if (!hca_req_may_retry_rnr(qp)) {
		fail_at(qp, pq->una_idx, HCA_WC_RNR_RETRY_EXC_ERR, HCA_VENDOR_NO_RECV);
		return;
	}
	pq->snd = pq->una;
	pq->snd_idx = pq->una_idx;
	wait(qp, hca_rnr_timer_ns(code));
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
		fail_at(qp, hca_packet_qp(qp)->una_idx, status[code], HCA_VENDOR_REMOTE);
}

/* How many receive requests a code stands for (IBTA 9.7.7.2.1, table of credits). */
static u32 credits(u32 code)
{
	/* 0, 1, 2, 3, 4, 6, 8, 12, ...: from 2 on each second one doubles */
	return code < 2 ? code : (2u + (code & 1)) << (code / 2 - 1);
}

static void take_credits(struct hca_qp *qp, const struct hca_packet *p)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	u32 code = p->syndrome & HCA_AETH_VALUE;

	pq->limited = code != HCA_AETH_NO_CREDITS;
	if (pq->limited)
		pq->lsn = hca_psn_add(p->msn, credits(code));
}

static void acknowledged(struct hca_qp *qp, const struct hca_packet *p)
{
	u32 kind = p->syndrome & HCA_AETH_KIND, value = p->syndrome & HCA_AETH_VALUE;
	struct hca_packet_qp *pq = hca_packet_qp(qp);

	if (broken(pq))
		return;
	if (!reach(qp, kind == HCA_AETH_ACK ? hca_psn_add(p->psn, 1) : p->psn))
		answer_missing(qp);
	else if (broken(pq))
		return;
	else if (kind == HCA_AETH_RNR)
		not_ready(qp, value);
	else if (kind == HCA_AETH_NAK)
		refused(qp, value);
}

/* Is this the answer that the request wants at this place? */
static enum hca_wc_status judge(const struct hca_qp *qp, const struct hca_sqe *e, const struct hca_packet *p)
{
	u32 k = hca_psn_dist(p->psn, e->psn), mtu = hca_packet_mtu(qp);
	bool last = k + 1 == e->packets;

	if (p->opcode == HCA_PKT_ATOMIC_ACK)
		return e->op->flags & HCA_OP_ATOMIC ? HCA_WC_SUCCESS : HCA_WC_BAD_RESP_ERR;
	/* What is first depends on where the read was begun again; where it ends is where it always ended. */
	if (e->op->flags & HCA_OP_ATOMIC || !reads_back(e) || !(p->what & HCA_PKT_ENDS) == last ||
	    (!k && !(p->what & HCA_PKT_BEGINS)))
		return HCA_WC_BAD_RESP_ERR;
	return p->len == (last ? e->len - (u64)k * mtu : mtu) ? HCA_WC_SUCCESS : HCA_WC_LOC_LEN_ERR;
}

/* Bytes that came back, to where they belong; without the lock. */
static enum hca_wc_status place(struct hca_qp *qp, const struct hca_sqe *e, const struct hca_packet *p)
{
	struct hca_sge_cursor to;
	int err;

	hca_req_cursor(qp, e, &to);
	if (p->opcode == HCA_PKT_ATOMIC_ACK) {
		err = hca_sge_put(&to, &p->original, sizeof(p->original), e->wr.site);
	} else {
		hca_sge_skip(&to, (u64)hca_psn_dist(p->psn, e->psn) * hca_packet_mtu(qp));
		err = hca_sge_put(&to, p->payload, p->len, e->wr.site);
	}
	return err ? HCA_WC_LOC_PROT_ERR : HCA_WC_SUCCESS;
}

static void placed(struct hca_qp *qp, const struct hca_sqe *e, const struct hca_packet *p)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);

	pq->una = hca_psn_add(p->psn, 1);
	if (pq->una == hca_psn_add(e->psn, e->packets)) {
		pq->una_idx++;
		pq->rd_out--;
	}
	progress(qp);
}

/* The request at @una_idx that a response is for, or NULL. It stays where it is without the lock while placing is set. */
static const struct hca_sqe *asked_for(struct hca_qp *qp, const struct hca_packet *p)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	const struct hca_sqe *e;
	enum hca_wc_status status;

	/* One before it may want responses too, or this isn't the next: those between are lost. */
	if (!reach(qp, p->psn)) {
		answer_missing(qp);
		return NULL;
	}
	if (broken(pq))
		return NULL;
	e = hca_sq_entry(&qp->sq, pq->una_idx);
	status = judge(qp, e, p);
	if (!status)
		return e;
	fail_at(qp, pq->una_idx, status, HCA_VENDOR_SEQUENCE);
	return NULL;
}

void hca_packet_answered(struct hca_qp *qp, const struct hca_packet *p)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	const struct hca_sqe *e = NULL;
	enum hca_wc_status status;
	hca_irqflags_t flags;

	hca_spin_lock(&qp->lock, flags);
	/* An answer to what is done already, or was never sent: a ghost (IBTA 9.7.5.1.4). */
	if (sends(qp) && hca_psn_dist(p->psn, pq->una) < hca_psn_dist(pq->max, pq->una)) {
		if (p->what & HCA_PKT_HAS_AETH && (p->syndrome & HCA_AETH_KIND) == HCA_AETH_ACK)
			take_credits(qp, p);
		if (p->opcode == HCA_PKT_ACK)
			acknowledged(qp, p);
		else
			e = asked_for(qp, p);
		pq->placing = e;
	}
	hca_spin_unlock(&qp->lock, flags);
	if (!e)
		return;
	status = place(qp, e, p);
	hca_spin_lock(&qp->lock, flags);
	pq->placing = false;
	/* The retries may have been used up meanwhile: then it failed, though its bytes are there. */
	if (sends(qp) && !broken(pq)) {
		if (status)
			fail_at(qp, pq->una_idx, status, HCA_VENDOR_MEMORY);
		else
			placed(qp, e, p);
	}
	hca_spin_unlock(&qp->lock, flags);
}

/* --- time --- */

bool hca_packet_timeout(struct hca_qp *qp)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	u64 now = hca_now_ns();

	hca_spin_assert(&qp->lock);
	pq->timing = false;
	if (!sends(qp) || !pq->deadline || (pq->una == pq->max && !qp->waiting))
		return false;
	if (now < pq->deadline) {
		pq->timing = true;
		hca_timer_start(&qp->timer, pq->deadline);
		return false;
	}
	if (qp->waiting) {
		qp->waiting = false;
		expect_answer(qp);
	} else if (pq->snd == pq->una && !pq->failed) {
		/* It hasn't been sent again yet, so there is no answer to be missed. */
		expect_answer(qp);
	} else if (!broken(pq)) {
		retry(qp);
	}
	return true;
}
