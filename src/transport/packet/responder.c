/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The responder to packets (IBTA vol. 1, 9.7 and 9.8): each is judged by its place in the
 * sequence and in its message, and its bytes go at once to where they belong. What is owed
 * for it waits until the loop in packet.c sends it. By the thread that is at rx, from
 * inside, but for hca_packet_owes() and hca_packet_respond().
 */
#include "transport/packet/packet.h"

#define ACK (HCA_AETH_ACK | HCA_AETH_NO_CREDITS)

static u32 psn_of(u64 count)
{
	return (u32)count & HCA_PSN_MASK;
}

/* --- what is owed --- */

static struct hca_packet_resp *resp_at(struct hca_packet_qp *pq, u32 i)
{
	return &pq->resp[(pq->resp_first + i) % pq->resp_room];
}

static bool reads(const struct hca_packet_resp *o)
{
	return o->op != HCA_PKT_ACK;
}

static bool grows(const struct hca_packet_resp *last, const struct hca_packet_resp *o)
{
	return !reads(last) && !reads(o) && (last->syndrome & HCA_AETH_KIND) == HCA_AETH_ACK;
}

/*
 * Answers leave in order. An acknowledgement that nothing stands behind grows: one tells of all before it. There is
 * room for every read that the peer may have under way, and for what may come again; what comes more often is a loss.
 */
static void owe(struct hca_qp *qp, const struct hca_packet_resp *o)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	struct hca_packet_resp *last = NULL;
	hca_irqflags_t flags;

	hca_spin_lock(&qp->lock, flags);
	if (pq->resp_count)
		last = resp_at(pq, pq->resp_count - 1);
	if (last && grows(last, o)) {
		bool congested = last->congested;

		*last = *o;
		last->congested |= congested;
	} else if (pq->resp_count < pq->resp_room) {
		*resp_at(pq, pq->resp_count++) = *o;
		if (reads(o)) {
			pq->rd_in += !o->repeat;
			pq->repeats += o->repeat;
		}
	}
	hca_spin_unlock(&qp->lock, flags);
}

static void owe_ack(struct hca_qp *qp, const struct hca_packet *p, u32 psn, u8 syndrome)
{
	struct hca_packet_resp o = {
		.op = HCA_PKT_ACK,
		.syndrome = syndrome,
		.congested = p->fecn,
		.psn = psn,
		.msn = hca_packet_qp(qp)->msn,
	};

	owe(qp, &o);
}

static u8 nak_of(enum hca_answer answer)
{
	return HCA_AETH_NAK | (answer == HCA_ANSWER_REM_ACCESS ? HCA_NAK_REM_ACCESS :
			       answer == HCA_ANSWER_REM_OP     ? HCA_NAK_REM_OP :
								 HCA_NAK_INV_REQ);
}

/* What a rule of packets refuses wasn't noted yet; keys and rights were. It is the first refusal of this queue pair's life. */
static enum hca_vendor_err not_noted(const struct hca_qp *qp, enum hca_answer answer)
{
	if (hca_load(&qp->why))
		return HCA_VENDOR_NONE;
	return answer == HCA_ANSWER_REM_OP     ? HCA_VENDOR_MEMORY :
	       answer == HCA_ANSWER_REM_ACCESS ? HCA_VENDOR_KEY :
						 HCA_VENDOR_SEQUENCE;
}

/* The last answer gives the peer the reason: it is sent although the queue pair is in error. */
static void owe_last_words(struct hca_qp *qp, u32 psn, u32 msn, enum hca_answer answer)
{
	const struct hca_packet_resp o = { .op = HCA_PKT_ACK, .syndrome = nak_of(answer), .psn = psn, .msn = msn };
	hca_irqflags_t flags;

	owe(qp, &o);
	hca_spin_lock(&qp->lock, flags);
	hca_packet_qp(qp)->last_words = true;
	hca_spin_unlock(&qp->lock, flags);
	hca_resp_count(qp, answer);
	hca_resp_refuse(qp, answer, not_noted(qp, answer));
}

/* The first one leaves. */
static void pay(struct hca_packet_qp *pq, const struct hca_packet_resp *o)
{
	if (reads(o)) {
		pq->rd_in -= !o->repeat;
		pq->repeats -= o->repeat;
	}
	pq->resp_first = (pq->resp_first + 1) % pq->resp_room;
	pq->resp_count--;
}

/*
 * The next packet of what is owed; it counts as sent from now on: the peer may ask for more as soon as it has it, and that
 * may come in before we are back.
 */
bool hca_packet_owes(struct hca_qp *qp, struct hca_packet_resp *o)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	struct hca_packet_resp *first = resp_at(pq, 0);
	u32 mtu = hca_packet_mtu(qp);

	hca_spin_assert(&qp->lock);
	if (!pq->resp_count)
		return false;
	*o = *first;
	if (o->op != HCA_PKT_READ_RESP_ONLY || hca_psn_add(o->psn, 1) == o->end) {
		pay(pq, o);
		return true;
	}
	o->len = mtu;
	first->begun = true;
	first->psn = hca_psn_add(o->psn, 1);
	first->raddr += mtu;
	first->len -= mtu;
	return true;
}

/* The wire didn't take it: it is the first again. What came meanwhile stands behind it; the room it left is kept for it. */
static void take_back(struct hca_qp *qp, const struct hca_packet_resp *o)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	bool more = o->op == HCA_PKT_READ_RESP_ONLY && hca_psn_add(o->psn, 1) != o->end;
	struct hca_packet_resp *first;
	hca_irqflags_t flags;

	hca_spin_lock(&qp->lock, flags);
	first = resp_at(pq, 0);
	if (more) {
		first->begun = o->begun;
		first->psn = o->psn;
		first->raddr = o->raddr;
		first->len += o->len;
	} else if (pq->resp_count < pq->resp_room) {
		pq->resp_first = (pq->resp_first + pq->resp_room - 1) % pq->resp_room;
		pq->resp_count++;
		*resp_at(pq, 0) = *o;
		if (reads(o)) {
			pq->rd_in += !o->repeat;
			pq->repeats += o->repeat;
		}
	}
	hca_spin_unlock(&qp->lock, flags);
}

static u8 response_op(const struct hca_packet_resp *o)
{
	bool last = hca_psn_add(o->psn, 1) == o->end;

	if (o->op != HCA_PKT_READ_RESP_ONLY)
		return o->op;
	if (o->begun)
		return last ? HCA_PKT_READ_RESP_LAST : HCA_PKT_READ_RESP_MIDDLE;
	return last ? HCA_PKT_READ_RESP_ONLY : HCA_PKT_READ_RESP_FIRST;
}

/* The bytes of a response are looked up again: the key may have gone since the request came. */
static enum hca_answer transmit(struct hca_qp *qp, const struct hca_packet_resp *o, const struct hca_packet_path *path,
				bool *full)
{
	const struct hca_opcode *read = hca_opcode(HCA_WR_RDMA_READ);
	struct hca_wire *wire = qp->hca->wire;
	bool brings = o->op == HCA_PKT_READ_RESP_ONLY;
	struct hca_packet p = {
		.opcode = response_op(o) | HCA_PKT_RC,
		.psn = o->psn,
		.syndrome = o->syndrome,
		.msn = o->msn,
		.becn = o->congested,
		.len = brings ? o->len : 0,
		.original = o->op == HCA_PKT_ATOMIC_ACK ? o->original : 0,
	};
	enum hca_answer answer = HCA_ANSWER_ACK;
	struct hca_quiesce_mark mark;
	struct hca_packet_out out;
	struct hca_sge sge;
	int err;

	hca_quiesce_enter_for(&qp->hca->quiesce, &mark, HCA_PACKET_LONG);
	out.own = NULL;
	out.site = NULL;
	if (brings)
		answer = hca_resp_may(qp, qp->pd->number, read, o->raddr, o->rkey, o->len, o->len, &sge, &out.data);
	if (answer && !o->repeat)
		hca_resp_say(qp, qp->pd->number, read, o->raddr, o->rkey, o->len, answer);
	if (!answer) {
		hca_packet_frame(qp, path, &p, &out);
		err = wire->ops->xmit(wire, &out.f);
		*full = err == -EAGAIN;
		if (err && !*full)
			answer = hca_resp_failed(err);
	}
	hca_quiesce_leave(&mark);
	return answer;
}

static void forgive(struct hca_qp *qp)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	hca_irqflags_t flags;

	hca_spin_lock(&qp->lock, flags);
	pq->resp_count = 0;
	pq->rd_in = 0;
	pq->repeats = 0;
	hca_spin_unlock(&qp->lock, flags);
}

/* By the thread that runs the loop. Return: the wire takes no packet now. */
bool hca_packet_respond(struct hca_qp *qp, const struct hca_packet_resp *o, const struct hca_packet_path *path)
{
	bool full = false;
	enum hca_answer answer = transmit(qp, o, path, &full);

	if (full)
		take_back(qp, o);
	/* What came again was answered once, and that it can't be any more may be as it should: the peer asks, or not. */
	if (!answer || o->repeat)
		return full;
	forgive(qp);
	owe_last_words(qp, o->psn, o->msn, answer);
	return full;
}

/* --- one packet's bytes --- */

static void note_message(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	struct hca_msg *m = &hca_packet_qp(qp)->msg;
	bool grh = hca_qp_is_datagram(qp->type) && (p->raw_grh || a->grh);

	m->imm = p->imm;
	m->flags = (p->solicited ? HCA_MSG_SOLICITED : 0) | (grh ? HCA_MSG_GLOBAL : 0);
	m->sqpn = hca_qp_is_datagram(qp->type) ? p->sqpn : (u32)hca_load(&qp->peer);
	m->slid = a->slid;
	m->sl = a->sl;
}

/* The receive request that was taken ends, and the message with it. */
static void fill_wc(struct hca_qp *qp, enum hca_wr_opcode opcode, u64 bytes, struct hca_wc *wc)
{
	hca_resp_fill_wc(qp, hca_opcode(opcode), &hca_packet_qp(qp)->msg, (u32)bytes, wc);
}

static void complete_recv(struct hca_qp *qp, enum hca_wr_opcode opcode, u64 bytes, enum hca_wc_status status,
			  enum hca_vendor_err why)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	struct hca_wc wc;

	fill_wc(qp, opcode, bytes, &wc);
	pq->coming = HCA_COMING_NONE;
	if (status)
		hca_resp_spoil(qp, &wc, status, why);
	else
		hca_rx_complete(qp, &wc, pq->msg.flags & HCA_MSG_SOLICITED);
}

static enum hca_answer spoilt(struct hca_qp *qp, enum hca_wc_status status, enum hca_vendor_err why)
{
	complete_recv(qp, HCA_WR_SEND, 0, status, why);
	return status == HCA_WC_LOC_LEN_ERR ? HCA_ANSWER_INV_REQ : HCA_ANSWER_REM_OP;
}

static enum hca_wr_opcode send_op(const struct hca_packet *p)
{
	return p->what & HCA_PKT_HAS_IMM  ? HCA_WR_SEND_WITH_IMM :
	       p->what & HCA_PKT_HAS_IETH ? HCA_WR_SEND_WITH_INV :
					    HCA_WR_SEND;
}

static enum hca_answer send_ends(struct hca_qp *qp, const struct hca_packet *p)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	struct hca_wc wc;

	if (!(p->what & HCA_PKT_HAS_IETH)) {
		complete_recv(qp, send_op(p), qp->rx.done, HCA_WC_SUCCESS, HCA_VENDOR_NONE);
		return HCA_ANSWER_ACK;
	}
	fill_wc(qp, HCA_WR_SEND_WITH_INV, qp->rx.done, &wc);
	if (!hca_resp_begin_invalidate(qp, p->imm, &wc, p->solicited, &pq->finish)) {
		complete_recv(qp, HCA_WR_SEND_WITH_INV, qp->rx.done, HCA_WC_MW_BIND_ERR, HCA_VENDOR_INVALIDATE);
		return HCA_ANSWER_REM_ACCESS;
	}
	pq->coming = HCA_COMING_NONE;
	return HCA_ANSWER_ACK;
}

/* In front of every datagram is room for a GRH, whether one came or not (IBTA 11.4.1.2). */
static int put_grh(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	static const u8 none[HCA_GRH_LEN];
	const u8 *grh = a->grh ? a->grh : p->raw_grh ? p->raw_grh : none;
	struct hca_rx *rx = &qp->rx;

	rx->done = HCA_GRH_LEN;
	return hca_sge_put(&rx->to, grh, HCA_GRH_LEN, rx->wqe->site);
}

static enum hca_answer sent(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	u32 grh = hca_qp_is_datagram(qp->type) ? HCA_GRH_LEN : 0;
	struct hca_rx *rx = &qp->rx;
	int err;

	if (p->what & HCA_PKT_BEGINS) {
		if (!hca_resp_take(qp, qp->srq))
			return HCA_ANSWER_RNR;
		hca_resp_begin(qp);
		hca_packet_qp(qp)->coming = HCA_COMING_SEND;
	}
	note_message(qp, p, a);
	if (p->len + grh > rx->room - rx->done)
		return spoilt(qp, HCA_WC_LOC_LEN_ERR, HCA_VENDOR_LENGTH);
	err = grh ? put_grh(qp, p, a) : 0;
	if (!err)
		err = hca_sge_put(&rx->to, p->payload, p->len, rx->wqe->site);
	if (err)
		return spoilt(qp, HCA_WC_LOC_PROT_ERR,
			      err == -EACCES ? hca_resp_recv_why(qp, rx->done + p->len) : HCA_VENDOR_MEMORY);
	rx->done += p->len;
	return p->what & HCA_PKT_ENDS ? send_ends(qp, p) : HCA_ANSWER_ACK;
}

/* Where a write goes, from its first packet. What it says of its length has to be what comes. */
static enum hca_answer write_begins(struct hca_qp *qp, const struct hca_packet *p)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);

	if (p->dmalen > HCA_MAX_MSG || (!(p->what & HCA_PKT_ENDS) && p->dmalen <= p->len))
		return HCA_ANSWER_INV_REQ;
	pq->write_len = p->dmalen;
	pq->write_done = 0;
	return hca_resp_remote(qp, qp->pd->number, hca_opcode(HCA_WR_RDMA_WRITE), p->raddr, p->rkey, p->dmalen,
			       p->dmalen, &pq->target, &pq->to);
}

static enum hca_answer write_packet(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	enum hca_answer answer = HCA_ANSWER_ACK;
	u64 done;
	int err;

	if (p->what & HCA_PKT_BEGINS)
		answer = write_begins(qp, p);
	if (answer)
		return answer;
	done = pq->write_done + p->len;
	if (p->what & HCA_PKT_ENDS ? done != pq->write_len : done >= pq->write_len)
		return HCA_ANSWER_INV_REQ;
	/* The queue pair's right may have gone since the first packet. */
	if (!(hca_load(&qp->access) & HCA_ACCESS_REMOTE_WRITE))
		return HCA_ANSWER_INV_REQ;
	/* A packet that must come again should not have written already. */
	if (p->what & HCA_PKT_HAS_IMM && !hca_resp_take(qp, qp->srq))
		return HCA_ANSWER_RNR;
	pq->coming = HCA_COMING_WRITE;
	/* The key may have gone as well. */
	err = hca_sge_put(&pq->to, p->payload, p->len, NULL);
	if (err)
		return hca_resp_failed(err);
	pq->write_done = done;
	if (!(p->what & HCA_PKT_ENDS))
		return HCA_ANSWER_ACK;
	pq->coming = HCA_COMING_NONE;
	if (p->what & HCA_PKT_HAS_IMM) {
		note_message(qp, p, a);
		complete_recv(qp, HCA_WR_RDMA_WRITE_WITH_IMM, done, HCA_WC_SUCCESS, HCA_VENDOR_NONE);
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

	if (imm && !hca_resp_take(qp, qp->srq))
		return HCA_ANSWER_RNR;
	answer = write_packet(qp, p, a);
	if (imm && answer && answer != HCA_ANSWER_RNR && qp->rx.taken) {
		hca_resp_refuse(qp, answer, not_noted(qp, answer));
		note_message(qp, p, a);
		complete_recv(qp, HCA_WR_RDMA_WRITE_WITH_IMM, 0, HCA_WC_LOC_ACCESS_ERR,
			      (enum hca_vendor_err)hca_load(&qp->why));
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
	many = hca_packet_qp(qp)->rd_in >= hca_load(&qp->rd_limit);
	hca_spin_unlock(&qp->lock, flags);
	return many;
}

static void keep(struct hca_qp *qp, const struct hca_packet *p, u64 original, u32 packets)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	struct hca_packet_kept *k = &pq->kept[pq->kept_next];

	*k = (struct hca_packet_kept){
		.age = pq->expected,
		.psn = p->psn,
		.packets = packets,
		.rkey = p->rkey,
		.len = p->dmalen,
		.raddr = p->raddr,
		.swap_add = p->swap_add,
		.compare = p->compare,
		.original = original,
		.opcode = p->opcode,
		.valid = true,
	};
	pq->kept_next = (pq->kept_next + 1) % pq->kept_room;
}

static enum hca_answer owe_read(struct hca_qp *qp, const struct hca_packet *p, bool repeat)
{
	const struct hca_opcode *read = hca_opcode(HCA_WR_RDMA_READ);
	struct hca_sge_cursor from;
	enum hca_answer answer;
	struct hca_sge sge;
	struct hca_packet_resp o = {
		.op = HCA_PKT_READ_RESP_ONLY,
		.syndrome = ACK,
		.repeat = repeat,
		.congested = p->fecn,
		.psn = p->psn,
		.end = hca_psn_add(p->psn, hca_packet_count(qp, p->dmalen)),
		.msn = hca_psn_add(hca_packet_qp(qp)->msn, !repeat),
		.rkey = p->rkey,
		.len = p->dmalen,
		.raddr = p->raddr,
	};

	if (p->dmalen > HCA_MAX_MSG)
		return HCA_ANSWER_INV_REQ;
	answer = hca_resp_may(qp, qp->pd->number, read, p->raddr, p->rkey, p->dmalen, p->dmalen, &sge, &from);
	if (answer && !repeat)
		hca_resp_say(qp, qp->pd->number, read, p->raddr, p->rkey, p->dmalen, answer);
	if (answer)
		return answer;
	owe(qp, &o);
	return HCA_ANSWER_ACK;
}

static void owe_atomic(struct hca_qp *qp, const struct hca_packet *p, u64 original, bool repeat)
{
	struct hca_packet_resp o = {
		.op = HCA_PKT_ATOMIC_ACK,
		.syndrome = ACK,
		.repeat = repeat,
		.congested = p->fecn,
		.psn = p->psn,
		.msn = hca_psn_add(hca_packet_qp(qp)->msn, !repeat),
		.original = original,
	};

	owe(qp, &o);
}

static enum hca_answer respond_atomic(struct hca_qp *qp, const struct hca_packet *p)
{
	bool swap = p->opcode == HCA_PKT_CMP_SWAP;
	const struct hca_opcode *op = hca_opcode(swap ? HCA_WR_ATOMIC_CMP_AND_SWP : HCA_WR_ATOMIC_FETCH_AND_ADD);
	enum hca_answer answer;
	u64 original;

	answer = hca_resp_atomic(qp, qp->pd->number, op, p->raddr, p->rkey, swap ? p->compare : p->swap_add,
				 p->swap_add, &original, NULL);
	if (answer)
		return answer;
	keep(qp, p, original, 1);
	owe_atomic(qp, p, original, false);
	return HCA_ANSWER_ACK;
}

static enum hca_answer respond_read(struct hca_qp *qp, const struct hca_packet *p)
{
	enum hca_answer answer = owe_read(qp, p, false);

	if (!answer)
		keep(qp, p, 0, hca_packet_count(qp, p->dmalen));
	return answer;
}

/* --- one packet's place --- */

static enum hca_answer take(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	enum hca_packet_coming mine = p->what & HCA_PKT_IS_SEND ? HCA_COMING_SEND : HCA_COMING_WRITE;
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	u32 mtu = hca_packet_mtu(qp);

	if (p->malformed)
		return HCA_ANSWER_INV_REQ;
	/* First and only where no message is coming in, middle and last where one of their kind is (IBTA 9.7.4.1.2). */
	if (pq->coming != (p->what & HCA_PKT_BEGINS ? HCA_COMING_NONE : mine))
		return HCA_ANSWER_INV_REQ;
	if (p->what & HCA_PKT_ENDS ? p->len > mtu : p->len != mtu)
		return HCA_ANSWER_INV_REQ;
	if (p->what & HCA_PKT_IS_SEND)
		return sent(qp, p, a);
	if (p->what & HCA_PKT_IS_WRITE)
		return written(qp, p, a);
	if (too_many(qp))
		return HCA_ANSWER_INV_REQ;
	return p->opcode == HCA_PKT_READ_REQUEST ? respond_read(qp, p) : respond_atomic(qp, p);
}

/* What was kept of this very request, or of the read that it asks for a part of again; NULL: nothing is. */
static const struct hca_packet_kept *find_kept(struct hca_qp *qp, const struct hca_packet *p)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	u32 i;

	for (i = 0; i < pq->kept_room; i++) {
		const struct hca_packet_kept *k = &pq->kept[i];
		u32 in = hca_psn_dist(p->psn, k->psn);
		u64 off = (u64)in << hca_packet_mtu_shift(qp);

		/* A turn of the sequence later its numbers stand for others. */
		if (!k->valid || pq->expected - k->age >= HCA_PSN_HALF || k->opcode != p->opcode || in >= k->packets)
			continue;
		if (p->rkey != k->rkey || p->raddr != k->raddr + off)
			continue;
		if (p->what & HCA_PKT_HAS_ATOMIC ? p->swap_add == k->swap_add && p->compare == k->compare :
						   off <= k->len && p->dmalen <= k->len - off)
			return k;
	}
	return NULL;
}

/*
 * A packet that was taken already: its answer is lost, or late. A read is done again, if all of it was asked for before;
 * an atomic must not be: its result was kept. Anything else is acknowledged once more (IBTA 9.7.5.1.6).
 */
static void repeated(struct hca_qp *qp, const struct hca_packet *p)
{
	bool atomic = p->what & HCA_PKT_HAS_ATOMIC, read = p->opcode == HCA_PKT_READ_REQUEST;
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	const struct hca_packet_kept *k;
	hca_irqflags_t flags;
	bool many;

	if (p->malformed)
		return;
	if (!atomic && !read) {
		if (p->ack_req)
			owe_ack(qp, p, psn_of(pq->expected - 1), ACK);
		return;
	}
	hca_spin_lock(&qp->lock, flags);
	many = pq->repeats >= HCA_PACKET_REPEATS;
	hca_spin_unlock(&qp->lock, flags);
	k = many ? NULL : find_kept(qp, p);
	if (k && atomic)
		owe_atomic(qp, p, k->original, true);
	else if (k)
		(void)owe_read(qp, p, true);
}

static void in_order(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	bool read = !p->malformed && p->opcode == HCA_PKT_READ_REQUEST;
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	enum hca_answer answer = take(qp, p, a);

	pq->nak_sent = answer == HCA_ANSWER_RNR;
	if (answer == HCA_ANSWER_RNR) {
		hca_resp_count(qp, answer);
		owe_ack(qp, p, p->psn, HCA_AETH_RNR | (hca_load(&qp->rnr_timer) & HCA_AETH_VALUE));
		return;
	}
	if (answer) {
		owe_last_words(qp, p->psn, pq->msn, answer);
		return;
	}
	pq->expected += read ? hca_packet_count(qp, p->dmalen) : 1;
	pq->msn = hca_psn_add(pq->msn, !!(p->what & HCA_PKT_ENDS));
	if (p->ack_req && !read && !(p->what & HCA_PKT_HAS_ATOMIC))
		owe_ack(qp, p, p->psn, ACK);
}

static void reliable(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	u32 ahead = hca_psn_dist(p->psn, psn_of(pq->expected));

	if (ahead >= HCA_PSN_HALF) {
		repeated(qp, p);
	} else if (!ahead) {
		in_order(qp, p, a);
	} else if (!pq->nak_sent) {
		/* Said once; what follows is passed over until the missing one comes (IBTA 9.7.5.2.1). */
		pq->nak_sent = true;
		owe_ack(qp, p, psn_of(pq->expected), HCA_AETH_NAK | HCA_NAK_SEQUENCE);
	}
}

/* A message that lost a packet is lost; its receive request waits for the next one (IBTA 9.8.2.2). */
static void unreliable(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);

	if (p->psn != psn_of(pq->expected) && pq->coming != HCA_COMING_NONE)
		pq->coming = HCA_COMING_LOST;
	if (p->what & HCA_PKT_BEGINS)
		pq->coming = HCA_COMING_NONE;
	pq->expected = hca_psn_add(p->psn, 1);
	if (take(qp, p, a))
		pq->coming = p->what & HCA_PKT_ENDS ? HCA_COMING_NONE : HCA_COMING_LOST;
}

void hca_packet_asked(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	switch (qp->type) {
	case HCA_QPT_RC:
		hca_resp_established(qp);
		reliable(qp, p, a);
		break;
	case HCA_QPT_UC:
		hca_resp_established(qp);
		unreliable(qp, p, a);
		break;
	default:
		hca_packet_qp(qp)->coming = HCA_COMING_NONE;
		(void)take(qp, p, a);
		break;
	}
}
