/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The responder to packets (IBTA vol. 1, 9.7 and 9.8): each is judged by its place in the
 * sequence and in its message, and its bytes go at once to where they belong. What is owed
 * for it waits until the loop in flow.c sends it. Called from there alone, with rx_lock
 * held but for hca_flow_repay().
 */
#include "hca/flow.h"

/* --- what is owed --- */

static struct hca_owed *owed_at(struct hca_flow *f, u32 i)
{
	return &f->owed[(f->owed_first + i) % HCA_FLOW_OWED];
}

static bool reads(const struct hca_owed *o)
{
	return o->op != HCA_PKT_ACK;
}

/*
 * Answers leave in order. An acknowledgement that nothing stands behind grows: one tells of all before it. There is
 * room for every read that the peer may have under way; else it is a loss like any other.
 */
static void owe(struct hca_qp *qp, const struct hca_owed *o)
{
	struct hca_flow *f = qp->flow;
	struct hca_owed *last = NULL;
	hca_irqflags_t flags;

	hca_spin_lock(&qp->lock, flags);
	if (f->owed_count)
		last = owed_at(f, f->owed_count - 1);
	if (last && !reads(last) && !reads(o) && (last->syndrome & HCA_AETH_KIND) == HCA_AETH_ACK) {
		*last = *o;
	} else if (f->owed_count < HCA_FLOW_OWED) {
		*owed_at(f, f->owed_count++) = *o;
		if (reads(o)) {
			f->rd_in += !o->repeat;
			f->repeats += o->repeat;
		}
	}
	hca_spin_unlock(&qp->lock, flags);
}

static void owe_ack(struct hca_qp *qp, u32 psn, u8 syndrome)
{
	struct hca_owed o = { .op = HCA_PKT_ACK, .syndrome = syndrome, .psn = psn, .msn = qp->flow->msn };

	owe(qp, &o);
}

/* The peer hears why, and then nothing any more: this is sent though the queue pair is in error. */
static void owe_last_words(struct hca_qp *qp, u32 psn, enum hca_answer answer)
{
	enum hca_nak why = answer == HCA_ANSWER_REM_ACCESS ? HCA_NAK_REM_ACCESS :
			   answer == HCA_ANSWER_REM_OP	   ? HCA_NAK_REM_OP :
							     HCA_NAK_INV_REQ;
	hca_irqflags_t flags;

	owe_ack(qp, psn, (u8)(HCA_AETH_NAK | why));
	hca_spin_lock(&qp->lock, flags);
	qp->flow->last_words = true;
	hca_spin_unlock(&qp->lock, flags);
	hca_rx_refuse(qp, answer);
}

static void pay(struct hca_flow *f, const struct hca_owed *o)
{
	if (reads(o)) {
		f->rd_in -= !o->repeat;
		f->repeats -= o->repeat;
	}
	f->owed_first = (f->owed_first + 1) % HCA_FLOW_OWED;
	f->owed_count--;
}

/*
 * The next packet of what is owed; it counts as sent from now on: the peer may ask for more as soon as it has it, and that
 * may come in before we are back.
 */
bool hca_flow_owes(struct hca_qp *qp, struct hca_owed *o)
{
	struct hca_flow *f = qp->flow;
	struct hca_owed *first = owed_at(f, 0);
	u32 mtu = hca_flow_mtu(qp);

	hca_spin_assert(&qp->lock);
	if (!f->owed_count)
		return false;
	*o = *first;
	if (o->op != HCA_PKT_READ_RESP_ONLY || hca_psn_add(o->psn, 1) == o->end) {
		pay(f, o);
		return true;
	}
	o->len = mtu;
	first->begun = true;
	first->psn = hca_psn_add(o->psn, 1);
	first->raddr += mtu;
	first->len -= mtu;
	return true;
}

static u8 response_op(const struct hca_owed *o)
{
	bool last = hca_psn_add(o->psn, 1) == o->end;

	if (o->op != HCA_PKT_READ_RESP_ONLY)
		return o->op;
	if (o->begun)
		return last ? HCA_PKT_READ_RESP_LAST : HCA_PKT_READ_RESP_MIDDLE;
	return last ? HCA_PKT_READ_RESP_ONLY : HCA_PKT_READ_RESP_FIRST;
}

/* The bytes of a response, looked up again: the key may have gone since the request came. */
static enum hca_answer fetch(struct hca_qp *qp, const struct hca_owed *o, struct hca_sge *sge, struct hca_frame *f)
{
	struct hca_msg m = { .raddr = o->raddr, .rkey = o->rkey, .len = o->len };

	f->own = NULL;
	f->site = NULL;
	if (o->op == HCA_PKT_READ_RESP_ONLY && !hca_rx_remote_cursor(qp, &m, HCA_ACCESS_REMOTE_READ, sge, &f->data))
		return HCA_ANSWER_REM_ACCESS;
	return HCA_ANSWER_ACK;
}

static enum hca_answer respond(struct hca_qp *qp, const struct hca_owed *o)
{
	struct hca_wire *wire = qp->hca->wire;
	struct hca_packet p = {
		.opcode = response_op(o) | HCA_PKT_RC,
		.psn = o->psn,
		.syndrome = o->syndrome,
		.msn = o->msn,
		.len = o->op == HCA_PKT_READ_RESP_ONLY ? o->len : 0,
	};
	struct hca_quiesce_mark mark;
	enum hca_answer answer;
	struct hca_frame f;
	struct hca_sge sge;

	if (o->op == HCA_PKT_ATOMIC_ACK)
		p.original = o->original;
	hca_flow_frame(qp, &p, &f);
	hca_quiesce_enter(&wire->quiesce, &mark);
	answer = fetch(qp, o, &sge, &f);
	if (!answer && wire->ops->xmit(wire, &f))
		answer = HCA_ANSWER_REM_OP;
	hca_quiesce_leave(&mark);
	return answer;
}

static void forgive(struct hca_qp *qp)
{
	struct hca_flow *f = qp->flow;
	hca_irqflags_t flags;

	hca_spin_lock(&qp->lock, flags);
	f->owed_count = 0;
	f->rd_in = 0;
	f->repeats = 0;
	hca_spin_unlock(&qp->lock, flags);
}

void hca_flow_repay(struct hca_qp *qp, const struct hca_owed *o)
{
	enum hca_answer answer = respond(qp, o);
	hca_irqflags_t flags;

	/* What came again was answered once, and that it can't be any more may be as it should: the peer asks, or not. */
	if (!answer || o->repeat)
		return;
	hca_spin_lock(&qp->rx_lock, flags);
	forgive(qp);
	owe_last_words(qp, o->psn, answer);
	hca_spin_unlock(&qp->rx_lock, flags);
}

/* --- one packet's bytes --- */

static void note_message(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a,
			 enum hca_wr_opcode opcode)
{
	struct hca_msg *m = &qp->flow->msg;

	m->opcode = opcode;
	m->imm = p->imm;
	m->solicited = p->solicited;
	m->connected = qp->type != HCA_QPT_UD;
	m->sqpn = m->connected ? qp->attr.dest_qp_num : p->sqpn;
	m->slid = a->slid;
	m->sl = a->sl;
}

/* A receive request for the message: the one that is left from a message that was lost, or the next one. */
static bool have_wr(struct hca_qp *qp)
{
	struct hca_flow *f = qp->flow;

	if (!f->has_wr)
		f->has_wr = hca_rx_take(qp, &f->wr);
	return f->has_wr;
}

static void complete_recv(struct hca_qp *qp, enum hca_wc_status status, u32 flags)
{
	struct hca_flow *f = qp->flow;
	struct hca_wc wc;

	hca_rx_fill_wc(qp, &f->msg, f->wr.e.wr_id, &wc);
	wc.wc_flags |= flags;
	f->has_wr = false;
	f->coming = HCA_COMING_NONE;
	if (status)
		hca_rx_spoil(qp, &wc, status);
	else
		hca_qp_complete(qp, qp->recv_cq, &wc, f->msg.solicited);
}

static enum hca_answer spoilt(struct hca_qp *qp, enum hca_wc_status status)
{
	complete_recv(qp, status, 0);
	return status == HCA_WC_LOC_LEN_ERR ? HCA_ANSWER_INV_REQ : HCA_ANSWER_REM_OP;
}

static enum hca_wr_opcode send_op(const struct hca_packet *p)
{
	return p->what & HCA_PKT_HAS_IMM  ? HCA_WR_SEND_WITH_IMM :
	       p->what & HCA_PKT_HAS_IETH ? HCA_WR_SEND_WITH_INV :
					    HCA_WR_SEND;
}

static enum hca_answer send_ends(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	struct hca_flow *f = qp->flow;
	struct hca_wc wc;

	note_message(qp, p, a, send_op(p));
	f->msg.len = f->done;
	if (!(p->what & HCA_PKT_HAS_IETH)) {
		complete_recv(qp, HCA_WC_SUCCESS, p->raw_grh ? HCA_WC_GRH : 0);
		return HCA_ANSWER_ACK;
	}
	hca_rx_fill_wc(qp, &f->msg, f->wr.e.wr_id, &wc);
	if (!hca_rx_begin_invalidate(qp, &f->msg, &wc)) {
		complete_recv(qp, HCA_WC_MW_BIND_ERR, 0);
		return HCA_ANSWER_REM_ACCESS;
	}
	f->has_wr = false;
	f->coming = HCA_COMING_NONE;
	return HCA_ANSWER_ACK;
}

static void send_begins(struct hca_qp *qp)
{
	struct hca_flow *f = qp->flow;

	hca_rx_cursor(qp, &f->to, HCA_ACCESS_LOCAL_WRITE, f->wr.e.sge, f->wr.e.num_sge);
	f->room = hca_rx_room(&f->wr.e);
	f->done = 0;
}

/* In front of every datagram is room for a GRH, whether one came or not (IBTA 11.4.1.2). */
static int put_grh(struct hca_flow *f, const struct hca_packet *p)
{
	static const u8 none[HCA_GRH_BYTES];

	f->done = HCA_GRH_BYTES;
	return hca_sge_put(&f->to, p->raw_grh ? p->raw_grh : none, HCA_GRH_BYTES, f->wr.e.site);
}

static enum hca_answer sent(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	u32 grh = qp->type == HCA_QPT_UD ? HCA_GRH_BYTES : 0;
	struct hca_flow *f = qp->flow;

	if (p->what & HCA_PKT_BEGINS) {
		if (!have_wr(qp))
			return HCA_ANSWER_RNR;
		send_begins(qp);
		f->coming = HCA_COMING_SEND;
	}
	note_message(qp, p, a, HCA_WR_SEND);
	if (p->len + grh > f->room - f->done)
		return spoilt(qp, HCA_WC_LOC_LEN_ERR);
	if ((grh && put_grh(f, p)) || hca_sge_put(&f->to, p->payload, p->len, f->wr.e.site))
		return spoilt(qp, HCA_WC_LOC_PROT_ERR);
	f->done += p->len;
	return p->what & HCA_PKT_ENDS ? send_ends(qp, p, a) : HCA_ANSWER_ACK;
}

/* Where a write goes, from its first packet. What it says of its length has to be what comes. */
static enum hca_answer write_begins(struct hca_qp *qp, const struct hca_packet *p)
{
	struct hca_flow *f = qp->flow;

	if (p->dmalen > HCA_MAX_MSG || (!(p->what & HCA_PKT_ENDS) && p->dmalen <= p->len))
		return HCA_ANSWER_INV_REQ;
	f->room = p->dmalen;
	f->done = 0;
	f->msg.raddr = p->raddr;
	f->msg.rkey = p->rkey;
	f->msg.len = p->dmalen;
	return hca_rx_remote_cursor(qp, &f->msg, HCA_ACCESS_REMOTE_WRITE, &f->target, &f->to) ? HCA_ANSWER_ACK :
												HCA_ANSWER_REM_ACCESS;
}

static enum hca_answer write_packet(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	struct hca_flow *f = qp->flow;
	enum hca_answer answer = HCA_ANSWER_ACK;
	u64 done;

	if (p->what & HCA_PKT_BEGINS)
		answer = write_begins(qp, p);
	if (answer)
		return answer;
	done = f->done + p->len;
	if (p->what & HCA_PKT_ENDS ? done != f->room : done >= f->room)
		return HCA_ANSWER_INV_REQ;
	/* A packet that must come again should not have written already. */
	if (p->what & HCA_PKT_HAS_IMM && !have_wr(qp))
		return HCA_ANSWER_RNR;
	f->coming = HCA_COMING_WRITE;
	if (hca_sge_put(&f->to, p->payload, p->len, NULL))
		return HCA_ANSWER_REM_OP;
	f->done = done;
	if (!(p->what & HCA_PKT_ENDS))
		return HCA_ANSWER_ACK;
	f->coming = HCA_COMING_NONE;
	if (p->what & HCA_PKT_HAS_IMM) {
		note_message(qp, p, a, HCA_WR_RDMA_WRITE_WITH_IMM);
		f->msg.len = done;
		complete_recv(qp, HCA_WC_SUCCESS, 0);
	}
	return HCA_ANSWER_ACK;
}

/*
 * A reliable packet's receive request is looked for before its key (IBTA 9.7.4.1.4), and has the error if it may not
 * write. What isn't reliable is dropped, and leaves the request to the next message.
 */
static enum hca_answer written(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	bool imm = p->what & HCA_PKT_HAS_IMM && qp->type == HCA_QPT_RC;
	enum hca_answer answer;

	if (imm && !have_wr(qp))
		return HCA_ANSWER_RNR;
	answer = write_packet(qp, p, a);
	if (imm && (answer == HCA_ANSWER_REM_ACCESS || answer == HCA_ANSWER_REM_OP)) {
		hca_rx_refuse(qp, answer);
		note_message(qp, p, a, HCA_WR_RDMA_WRITE_WITH_IMM);
		complete_recv(qp, HCA_WC_LOC_ACCESS_ERR, 0);
	}
	return answer;
}

/* --- reads and atomics --- */

/* As many as the queue pair said it would keep (IBTA 9.4.4, 9.4.5). */
static bool too_many(struct hca_qp *qp)
{
	hca_irqflags_t flags;
	bool many;

	hca_spin_lock(&qp->lock, flags);
	many = qp->flow->rd_in >= qp->attr.max_dest_rd_atomic;
	hca_spin_unlock(&qp->lock, flags);
	return many;
}

static enum hca_answer owe_read(struct hca_qp *qp, const struct hca_packet *p, bool repeat)
{
	struct hca_msg m = { .raddr = p->raddr, .rkey = p->rkey, .len = p->dmalen };
	struct hca_sge_cursor from;
	struct hca_sge sge;
	struct hca_owed o = {
		.op = HCA_PKT_READ_RESP_ONLY,
		.syndrome = HCA_AETH_ACK | HCA_AETH_NO_CREDITS,
		.repeat = repeat,
		.psn = p->psn,
		.end = hca_psn_add(p->psn, hca_flow_packets(qp, p->dmalen)),
		.msn = hca_psn_add(qp->flow->msn, !repeat),
		.rkey = p->rkey,
		.len = p->dmalen,
		.raddr = p->raddr,
	};

	if (p->dmalen > HCA_MAX_MSG)
		return HCA_ANSWER_INV_REQ;
	if (!hca_rx_remote_cursor(qp, &m, HCA_ACCESS_REMOTE_READ, &sge, &from))
		return HCA_ANSWER_REM_ACCESS;
	owe(qp, &o);
	return HCA_ANSWER_ACK;
}

static void owe_atomic(struct hca_qp *qp, u32 psn, u64 original, bool repeat)
{
	struct hca_owed o = {
		.op = HCA_PKT_ATOMIC_ACK,
		.syndrome = HCA_AETH_ACK | HCA_AETH_NO_CREDITS,
		.repeat = repeat,
		.psn = psn,
		.msn = hca_psn_add(qp->flow->msn, !repeat),
		.original = original,
	};

	owe(qp, &o);
}

static enum hca_answer atomic(struct hca_qp *qp, const struct hca_packet *p)
{
	bool swap = p->opcode == HCA_PKT_CMP_SWAP;
	struct hca_flow *f = qp->flow;
	struct hca_msg m = {
		.opcode = swap ? HCA_WR_ATOMIC_CMP_AND_SWP : HCA_WR_ATOMIC_FETCH_AND_ADD,
		.raddr = p->raddr,
		.rkey = p->rkey,
		.len = sizeof(u64),
		.compare_add = swap ? p->compare : p->swap_add,
		.swap = p->swap_add,
	};
	enum hca_answer answer = hca_rx_atomic(qp, &m);

	if (answer)
		return answer;
	f->saved[f->saved_next] = (struct hca_saved){ .original = m.result, .psn = p->psn, .valid = true };
	f->saved_next = (f->saved_next + 1) % HCA_FLOW_RD;
	owe_atomic(qp, p->psn, m.result, false);
	return HCA_ANSWER_ACK;
}

/* --- one packet's place --- */

static enum hca_answer take(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	u32 mtu = hca_flow_mtu(qp);
	enum hca_coming mine = p->what & HCA_PKT_IS_SEND ? HCA_COMING_SEND : HCA_COMING_WRITE;

	/* First and only where no message is coming in, middle and last where one of their kind is (IBTA 9.7.4.1.2). */
	if (qp->flow->coming != (p->what & HCA_PKT_BEGINS ? HCA_COMING_NONE : mine))
		return HCA_ANSWER_INV_REQ;
	if (p->what & HCA_PKT_ENDS ? p->len > mtu : p->len != mtu)
		return HCA_ANSWER_INV_REQ;
	if (p->what & HCA_PKT_IS_SEND)
		return sent(qp, p, a);
	if (p->what & HCA_PKT_IS_WRITE)
		return written(qp, p, a);
	if (too_many(qp))
		return HCA_ANSWER_INV_REQ;
	return p->opcode == HCA_PKT_READ_REQUEST ? owe_read(qp, p, false) : atomic(qp, p);
}

/*
 * A packet that was taken already: its answer is lost, or late. A read is done again, if all of it was asked for before;
 * an atomic must not be: its result was kept. Anything else is acknowledged once more (IBTA 9.7.5.1.6).
 */
static void repeated(struct hca_qp *qp, const struct hca_packet *p)
{
	struct hca_flow *f = qp->flow;
	hca_irqflags_t flags;
	bool many;
	u32 i;

	hca_spin_lock(&qp->lock, flags);
	many = f->repeats >= HCA_FLOW_REPEATS;
	hca_spin_unlock(&qp->lock, flags);
	if (p->what & HCA_PKT_HAS_ATOMIC) {
		for (i = 0; i < HCA_FLOW_RD && !many; i++)
			if (f->saved[i].valid && f->saved[i].psn == p->psn)
				owe_atomic(qp, p->psn, f->saved[i].original, true);
	} else if (p->opcode == HCA_PKT_READ_REQUEST) {
		if (!many && p->dmalen <= HCA_MAX_MSG &&
		    hca_flow_packets(qp, p->dmalen) <= hca_psn_dist(f->expected, p->psn))
			(void)owe_read(qp, p, true);
	} else if (p->ack_req) {
		owe_ack(qp, hca_psn_add(f->expected, HCA_PSN_MASK), HCA_AETH_ACK | HCA_AETH_NO_CREDITS);
	}
}

static void in_order(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	bool read = p->opcode == HCA_PKT_READ_REQUEST;
	struct hca_flow *f = qp->flow;
	enum hca_answer answer = take(qp, p, a);

	f->nak_sent = answer == HCA_ANSWER_RNR;
	if (answer == HCA_ANSWER_RNR) {
		owe_ack(qp, p->psn, HCA_AETH_RNR | (qp->attr.min_rnr_timer & HCA_AETH_VALUE));
		return;
	}
	if (answer) {
		owe_last_words(qp, p->psn, answer);
		return;
	}
	f->expected = hca_psn_add(p->psn, read ? hca_flow_packets(qp, p->dmalen) : 1);
	f->msn = hca_psn_add(f->msn, !!(p->what & HCA_PKT_ENDS));
	if (p->ack_req && !read && !(p->what & HCA_PKT_HAS_ATOMIC))
		owe_ack(qp, p->psn, HCA_AETH_ACK | HCA_AETH_NO_CREDITS);
}

static void reliable(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	struct hca_flow *f = qp->flow;
	u32 ahead = hca_psn_dist(p->psn, f->expected);

	if (ahead >= HCA_PSN_HALF) {
		repeated(qp, p);
	} else if (!ahead) {
		in_order(qp, p, a);
	} else if (!f->nak_sent) {
		/* Said once; what follows is passed over until the missing one comes (IBTA 9.7.5.2.1). */
		f->nak_sent = true;
		owe_ack(qp, f->expected, HCA_AETH_NAK | HCA_NAK_SEQUENCE);
	}
}

/* A message that lost a packet is lost; its receive request waits for the next one (IBTA 9.8.2.2). */
static void unreliable(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	struct hca_flow *f = qp->flow;

	if (p->psn != f->expected && f->coming != HCA_COMING_NONE)
		f->coming = HCA_COMING_LOST;
	if (p->what & HCA_PKT_BEGINS)
		f->coming = HCA_COMING_NONE;
	f->expected = hca_psn_add(p->psn, 1);
	if (take(qp, p, a))
		f->coming = p->what & HCA_PKT_ENDS ? HCA_COMING_NONE : HCA_COMING_LOST;
}

void hca_flow_asked(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	struct hca_flow *f = qp->flow;

	if (qp->type != HCA_QPT_UD && hca_unlikely(hca_load(&qp->state) == HCA_QPS_RTR) &&
	    !hca_xchg(&qp->established, true))
		hca_qp_tell(qp, HCA_EVENT_COMM_EST);
	switch (qp->type) {
	case HCA_QPT_RC:
		reliable(qp, p, a);
		break;
	case HCA_QPT_UC:
		unreliable(qp, p, a);
		break;
	default:
		f->coming = HCA_COMING_NONE;
		(void)take(qp, p, a);
		break;
	}
}

void hca_flow_flush(struct hca_qp *qp)
{
	struct hca_wc wc = { .status = HCA_WC_WR_FLUSH_ERR, .opcode = HCA_WC_RECV, .qp_num = qp->qpn };
	struct hca_flow *f = qp->flow;
	hca_irqflags_t flags;

	hca_spin_lock(&qp->rx_lock, flags);
	if (f->has_wr) {
		wc.wr_id = f->wr.e.wr_id;
		f->has_wr = false;
		hca_qp_complete(qp, qp->recv_cq, &wc, false);
	}
	hca_spin_unlock(&qp->rx_lock, flags);
}
