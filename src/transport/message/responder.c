/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The responder to whole messages: what a piece of one does at the adapter it is for.
 * Runs in the context in which the wire brings it. RDMA and atomics touch neither the
 * queues nor a lock of the queue pair; a message that takes a receive request does.
 */
#include "transport/message/message.h"

#include "hca/mcast.h"

/* --- bytes --- */

/* Both ends are memory in one piece. Return: moved. */
static inline bool move_plain(struct hca_sge_cursor *to, struct hca_sge_cursor *from, u32 len)
{
	void *dst = hca_sge_plain(to, len), *src = hca_sge_plain(from, len);

	if (hca_unlikely(!dst || !src))
		return false;
	hca_mem_put_bytes(dst, src, len);
	to->off += len;
	from->off += len;
	return true;
}

/* A piece's payload into @to. @side: which end refused. */
static inline int take_in(struct hca_sge_cursor *to, hca_site_t site, struct hca_carried *c, enum hca_sge_side *side)
{
	struct hca_transfer *t = c->local;

	*side = HCA_SGE_DST;
	if (hca_unlikely(!c->msg.piece))
		return 0;
	if (hca_unlikely(!t))
		return hca_sge_put(to, c->bytes, c->msg.piece, site);
	if (hca_unlikely(t->inline_data))
		return hca_sge_put(to, t->inline_data + c->msg.off, c->msg.piece, site);
	if (hca_likely(move_plain(to, &t->data, c->msg.piece)))
		return 0;
	return hca_sge_copy(to, site, &t->data, t->site, c->msg.piece, side);
}

/* A piece of a read's bytes, from @from to the requester. */
static int give_back(struct hca_sge_cursor *from, struct hca_carried *c, enum hca_sge_side *side)
{
	struct hca_transfer *t = c->local;

	*side = HCA_SGE_SRC;
	if (!t)
		return hca_sge_get(from, c->bytes, c->msg.piece, NULL);
	if (hca_likely(move_plain(&t->data, from, c->msg.piece)))
		return 0;
	return hca_sge_copy(&t->data, t->site, from, t->site, c->msg.piece, side);
}

static hca_site_t site_of(const struct hca_carried *c)
{
	const struct hca_transfer *t = c->local;

	return t ? t->site : NULL;
}

/* --- one-sided --- */

static inline enum hca_answer respond_write(struct hca_qp *qp, const struct hca_opcode *op, struct hca_carried *c)
{
	const struct hca_msg *m = &c->msg;
	u64 whole = m->flags & HCA_MSG_FIRST ? m->len : m->piece;
	enum hca_sge_side side;
	struct hca_sge_cursor to;
	enum hca_answer answer;
	struct hca_sge sge;

	answer = hca_resp_remote(qp, op, m->raddr + m->off, m->rkey, whole, m->piece, &sge, &to);
	if (hca_unlikely(answer))
		return hca_resp_refuse(qp, answer);
	if (hca_likely(!take_in(&to, site_of(c), c, &side)))
		return HCA_ANSWER_ACK;
	return side == HCA_SGE_DST ? hca_resp_refuse(qp, HCA_ANSWER_REM_OP) : HCA_ANSWER_LOC_PROT;
}

static enum hca_answer respond_read(struct hca_qp *qp, const struct hca_opcode *op, struct hca_carried *c)
{
	const struct hca_msg *m = &c->msg;
	u64 whole = m->flags & HCA_MSG_FIRST ? m->len : m->piece;
	struct hca_sge_cursor from;
	enum hca_sge_side side;
	enum hca_answer answer;
	struct hca_sge sge;

	if (!hca_load(&qp->rd_limit))
		return hca_resp_refuse(qp, HCA_ANSWER_INV_REQ);
	answer = hca_resp_remote(qp, op, m->raddr + m->off, m->rkey, whole, m->piece, &sge, &from);
	if (answer)
		return hca_resp_refuse(qp, answer);
	if (!m->piece || !give_back(&from, c, &side))
		return HCA_ANSWER_ACK;
	return side == HCA_SGE_SRC ? hca_resp_refuse(qp, HCA_ANSWER_REM_OP) : HCA_ANSWER_LOC_PROT;
}

static enum hca_answer respond_atomic(struct hca_qp *qp, const struct hca_opcode *op, struct hca_carried *c,
				      struct hca_reply *r)
{
	const struct hca_msg *m = &c->msg;
	struct hca_transfer *t = c->local;
	enum hca_answer answer;

	answer = hca_resp_atomic(qp, op, m->raddr, m->rkey, m->compare_add, m->swap, &r->result, site_of(c));
	if (hca_unlikely(answer))
		return hca_resp_refuse(qp, answer);
	if (t && hca_sge_put(&t->data, &r->result, sizeof(r->result), t->site))
		return HCA_ANSWER_LOC_PROT;
	return HCA_ANSWER_ACK;
}

static inline enum hca_answer one_sided(struct hca_qp *qp, const struct hca_opcode *op, struct hca_carried *c,
					struct hca_reply *r)
{
	if (hca_likely(!(op->flags & HCA_OP_READS)))
		return respond_write(qp, op, c);
	return op->flags & HCA_OP_ATOMIC ? respond_atomic(qp, op, c, r) : respond_read(qp, op, c);
}

/* --- what takes a receive request; the thread is at rx --- */

/* A receive request for the message, from its first piece to its last. */
static enum hca_answer have_request(struct hca_qp *qp, const struct hca_msg *m, struct hca_reply *r)
{
	struct hca_rx *rx = &qp->rx;

	if (m->flags & HCA_MSG_FIRST) {
		/* One that a peer left unfinished who began anew: an unreliable one may, and its request waits for the next message. */
		if (rx->taken && m->flags & HCA_MSG_RELIABLE)
			return HCA_ANSWER_INV_REQ;
		if (!hca_resp_take(qp)) {
			r->rnr_code = (u8)hca_load(&qp->rnr_timer);
			return HCA_ANSWER_RNR;
		}
		hca_resp_begin(qp);
		return HCA_ANSWER_ACK;
	}
	return rx->taken && rx->done == m->off ? HCA_ANSWER_ACK : HCA_ANSWER_INV_REQ;
}

static enum hca_answer send_piece(struct hca_qp *qp, struct hca_carried *c, struct hca_wc *wc)
{
	const struct hca_msg *m = &c->msg;
	struct hca_rx *rx = &qp->rx;
	enum hca_sge_side side;

	/* A message that is too long is refused before a key is looked at (IBTA 9.7.4.1.6). */
	if (hca_unlikely(rx->room < m->len)) {
		hca_resp_spoil(qp, wc, HCA_WC_LOC_LEN_ERR);
		return HCA_ANSWER_INV_REQ;
	}
	rx->to.entry = NULL;
	if (m->flags & HCA_MSG_FIRST && hca_unlikely(hca_sge_check(&rx->to, m->len))) {
		hca_resp_spoil(qp, wc, HCA_WC_LOC_PROT_ERR);
		return HCA_ANSWER_REM_OP;
	}
	if (hca_unlikely(take_in(&rx->to, rx->wqe->site, c, &side))) {
		hca_resp_spoil(qp, wc, side == HCA_SGE_DST ? HCA_WC_LOC_PROT_ERR : HCA_WC_REM_ABORT_ERR);
		return side == HCA_SGE_DST ? HCA_ANSWER_REM_OP : HCA_ANSWER_LOC_PROT;
	}
	rx->done += m->piece;
	return HCA_ANSWER_ACK;
}

/* An RDMA write whose last piece takes the request along. */
static enum hca_answer write_piece(struct hca_qp *qp, const struct hca_opcode *op, struct hca_carried *c,
				   struct hca_wc *wc)
{
	enum hca_answer answer = respond_write(qp, op, c);

	if (hca_likely(!answer))
		qp->rx.done += c->msg.piece;
	else
		hca_resp_spoil(qp, wc, answer == HCA_ANSWER_LOC_PROT ? HCA_WC_REM_ABORT_ERR : HCA_WC_LOC_ACCESS_ERR);
	return answer;
}

/* Return: the answer; if @f->qp is set, rx is left and the message completes when that is finished. */
static enum hca_answer two_sided(struct hca_qp *qp, const struct hca_opcode *op, struct hca_carried *c,
				 struct hca_reply *r, struct hca_resp_finish *f)
{
	const struct hca_msg *m = &c->msg;
	enum hca_answer answer;
	struct hca_wc wc;

	/* What isn't reliable and may not write is dropped; the request is for the next one. */
	if (op->remote && !(m->flags & HCA_MSG_RELIABLE)) {
		struct hca_sge_cursor to;
		struct hca_sge sge;

		answer = hca_resp_remote(qp, op, m->raddr + m->off, m->rkey, m->piece, m->piece, &sge, &to);
		if (answer)
			return answer;
	}
	answer = have_request(qp, m, r);
	if (hca_unlikely(answer))
		return answer == HCA_ANSWER_RNR ? answer : hca_resp_refuse(qp, answer);
	hca_resp_fill_wc(qp, op, m, (u32)m->len, &wc);
	answer = op->remote ? write_piece(qp, op, c, &wc) : send_piece(qp, c, &wc);
	if (hca_unlikely(answer) || !(m->flags & HCA_MSG_LAST))
		return answer;
	if (hca_unlikely(op->flags & HCA_OP_INV)) {
		if (hca_resp_begin_invalidate(qp, m->imm, &wc, m->flags & HCA_MSG_SOLICITED, f))
			return HCA_ANSWER_ACK;
		hca_resp_spoil(qp, &wc, HCA_WC_MW_BIND_ERR);
		return hca_resp_refuse(qp, HCA_ANSWER_REM_ACCESS);
	}
	hca_rx_complete(qp, &wc, m->flags & HCA_MSG_SOLICITED);
	return HCA_ANSWER_ACK;
}

/* --- connected --- */

/* Is this queue pair in a state to take messages, and the one that this message is for? (IBTA 9.6.1.1, 10.3.1) */
static inline bool listens(const struct hca_qp *qp)
{
	u32 state = hca_load_acquire(&qp->state);

	return state >= HCA_QPS_RTR && state != HCA_QPS_ERR;
}

/* On a wire that answers later, what follows a piece that was refused arrives all the same. */
static bool expected(const struct hca_qp *qp, const struct hca_msg *m)
{
	const struct hca_message_qp *mq = hca_message_qp(qp);

	return !(m->flags & HCA_MSG_NUMBERED) || (m->number == mq->expected && m->off == mq->expected_off);
}

static void advance(struct hca_qp *qp, const struct hca_msg *m)
{
	struct hca_message_qp *mq = hca_message_qp(qp);
	bool last = m->flags & HCA_MSG_LAST;

	mq->expected = (mq->expected + last) & HCA_QPN_MASK;
	mq->expected_off = last ? 0 : m->off + m->piece;
}

static enum hca_answer in_turn(struct hca_qp *qp, const struct hca_opcode *op, struct hca_carried *c,
			       struct hca_reply *r, struct hca_resp_finish *f)
{
	enum hca_answer answer = HCA_ANSWER_NONE;

	/* Only a queue pair that ends is flushed, and only then another thread may be here. */
	if (!hca_rx_enter(qp))
		return HCA_ANSWER_NONE;
	if (listens(qp)) {
		answer = HCA_ANSWER_PENDING;
		if (expected(qp, &c->msg))
			answer = op->flags & HCA_OP_TAKES_RECV ? two_sided(qp, op, c, r, f) : one_sided(qp, op, c, r);
		if (answer == HCA_ANSWER_ACK && c->msg.flags & HCA_MSG_NUMBERED)
			advance(qp, &c->msg);
	}
	if (!f->qp)
		hca_rx_leave(qp);
	return answer;
}

static bool well_formed(const struct hca_qp *qp, const struct hca_opcode *op, const struct hca_msg *m)
{
	if (!op || op->flags & HCA_OP_LOCAL || !(op->qp_types >> qp->type & 1))
		return false;
	if (op->flags & HCA_OP_ATOMIC && m->len != sizeof(u64))
		return false;
	return m->len <= HCA_MAX_MSG && m->piece <= HCA_PIECE && m->off <= m->len && m->piece <= m->len - m->off;
}

static inline enum hca_answer connected(struct hca_qp *qp, struct hca_carried *c, struct hca_reply *r,
					struct hca_resp_finish *f)
{
	const struct hca_msg *m = &c->msg;
	const struct hca_opcode *op = hca_likely(c->local) ? &hca_opcodes[m->opcode] : hca_opcode(m->opcode);

	if (hca_unlikely(!listens(qp)) || qp->type != (m->flags & HCA_MSG_RELIABLE ? HCA_QPT_RC : HCA_QPT_UC) ||
	    hca_load(&qp->peer) != hca_peer(m->slid, m->sqpn))
		return HCA_ANSWER_NONE;
	/* A requester of this address space was checked when it posted. */
	if (hca_unlikely(!c->local && !well_formed(qp, op, m)))
		return hca_resp_refuse(qp, HCA_ANSWER_INV_REQ);
	if (hca_unlikely(hca_load(&qp->state) == HCA_QPS_RTR))
		hca_resp_established(qp);
	if (hca_likely(op->flags & HCA_OP_ONE_SIDED && !(m->flags & HCA_MSG_NUMBERED)))
		return one_sided(qp, op, c, r);
	return in_turn(qp, op, c, r, f);
}

/* --- datagrams --- */

#define IP_VERSION 6u
#define NEXT_IS_IBA 0x1bu
#define BTH_BYTES 12u
#define DETH_BYTES 8u
#define IMM_BYTES 4u
#define ICRC_BYTES 4u

/* The global route header as it would have come over a link (IBTA 8.3). */
static void write_grh(const struct hca_msg *m, bool imm, u8 out[HCA_GRH_BYTES])
{
	u32 first = IP_VERSION << 28 | (u32)m->ud.traffic_class << 20 | m->ud.flow_label;
	u32 behind = BTH_BYTES + DETH_BYTES + (imm ? IMM_BYTES : 0) + (((u32)m->len + 3) & ~3u) + ICRC_BYTES;

	out[0] = (u8)(first >> 24);
	out[1] = (u8)(first >> 16);
	out[2] = (u8)(first >> 8);
	out[3] = (u8)first;
	out[4] = (u8)(behind >> 8);
	out[5] = (u8)behind;
	out[6] = NEXT_IS_IBA;
	out[7] = m->ud.hop_limit;
	hca_memcpy(out + 8, m->ud.sgid.raw, sizeof(m->ud.sgid.raw));
	hca_memcpy(out + 24, m->ud.dgid.raw, sizeof(m->ud.dgid.raw));
}

/* Behind the room for a GRH that every datagram gets (IBTA 11.4.1.2). rx.lock is held. */
static enum hca_answer take_datagram(struct hca_qp *qp, const struct hca_opcode *op, struct hca_carried *c)
{
	u8 grh[HCA_GRH_BYTES] = { 0 };
	const struct hca_msg *m = &c->msg;
	u64 need = m->len + HCA_GRH_BYTES;
	struct hca_rx *rx = &qp->rx;
	enum hca_sge_side side;
	struct hca_wc wc;
	int err;

	if (!hca_resp_take(qp))
		return HCA_ANSWER_RNR;
	hca_resp_begin(qp);
	hca_resp_fill_wc(qp, op, m, (u32)need, &wc);
	if (rx->room < need) {
		hca_resp_spoil(qp, &wc, HCA_WC_LOC_LEN_ERR);
		return HCA_ANSWER_INV_REQ;
	}
	if (m->flags & HCA_MSG_GLOBAL)
		write_grh(m, op->flags & HCA_OP_IMM, grh);
	side = HCA_SGE_DST;
	err = hca_sge_check(&rx->to, need);
	if (!err)
		err = hca_sge_put(&rx->to, grh, sizeof(grh), rx->wqe->site);
	if (!err)
		err = take_in(&rx->to, rx->wqe->site, c, &side);
	if (err) {
		hca_resp_spoil(qp, &wc, side == HCA_SGE_DST ? HCA_WC_LOC_PROT_ERR : HCA_WC_REM_ABORT_ERR);
		return side == HCA_SGE_DST ? HCA_ANSWER_REM_OP : HCA_ANSWER_LOC_PROT;
	}
	hca_rx_complete(qp, &wc, m->flags & HCA_MSG_SOLICITED);
	return HCA_ANSWER_ACK;
}

/*
 * Datagrams come from many, and their receives complete in order (IBTA 10.8.3.1): each is taken in under the lock, one MTU
 * at most. A thread that holds rx by its flag flushes: then there is nothing to deliver to.
 */
static enum hca_answer datagram(struct hca_qp *qp, struct hca_carried *c)
{
	const struct hca_opcode *op = hca_opcode(c->msg.opcode);
	enum hca_answer answer = HCA_ANSWER_NONE;
	hca_irqflags_t flags;

	if (!listens(qp) || !hca_qp_is_datagram(qp->type) || hca_load(&qp->qkey) != c->msg.qkey ||
	    !well_formed(qp, op, &c->msg) || c->msg.piece != c->msg.len)
		return HCA_ANSWER_NONE;
	hca_spin_lock(&qp->rx.lock, flags);
	if (!qp->rx.busy && listens(qp))
		answer = take_datagram(qp, op, c);
	hca_spin_unlock(&qp->rx.lock, flags);
	return answer;
}

static bool is_for_group(const struct hca_msg *m)
{
	return !(m->flags & HCA_MSG_CONNECTED) &&
	       (hca_lid_is_multicast(m->dlid) || (m->flags & HCA_MSG_GLOBAL && hca_gid_is_group(&m->ud.dgid)));
}

/* One copy for each, from the same place; a member without a receive request, or with another Q_Key, goes without. */
static enum hca_answer group(struct hca *hca, struct hca_carried *c)
{
	const struct hca_msg *m = &c->msg;
	const struct hca_gid *dgid = m->flags & HCA_MSG_GLOBAL ? &m->ud.dgid : NULL;
	const struct hca_mcast_member *at = NULL;
	struct hca_transfer *t = c->local;
	enum hca_answer answer = HCA_ANSWER_ACK;
	struct hca_sge_cursor data;

	if (m->dqpn != HCA_MCAST_QPN)
		return HCA_ANSWER_ACK;
	if (t)
		data = t->data;
	while (answer != HCA_ANSWER_LOC_PROT && (at = hca_mcast_next(hca, at, m->dlid, dgid))) {
		bool own = at->qp->qpn == m->sqpn && hca->lid == m->slid;

		if (own && at->qp->block_mcast_loopback)
			continue;
		answer = datagram(at->qp, c);
		if (t)
			t->data = data;
	}
	return answer;
}

/* --- arrival --- */

static bool for_us(const struct hca *hca, const struct hca_msg *m)
{
	return !(m->flags & HCA_MSG_GLOBAL) || hca_gid_is_ours(&hca->gids, m->ud.dgid.raw);
}

enum hca_answer hca_message_arrived(void *client, struct hca_carried *c, struct hca_reply *r)
{
	struct hca_transfer *t = c->local;
	/* cppcheck-suppress uninitvar // its address is taken, its fields are set below */
	struct hca_resp_finish own, *f = t ? &t->finish : &own;
	enum hca_answer answer = HCA_ANSWER_NONE;
	const struct hca_msg *m = &c->msg;
	struct hca_quiesce_mark mark;
	struct hca *hca = client;
	struct hca_qp *qp;

	own.qp = NULL;
	hca_quiesce_enter(&hca->quiesce, &mark);
	if (hca_unlikely(is_for_group(m))) {
		answer = group(hca, c);
	} else {
		qp = hca_qp_find(hca, m->dqpn);
		if (hca_likely(qp && m->flags & HCA_MSG_CONNECTED))
			answer = connected(qp, c, r, f);
		else if (qp && for_us(hca, m))
			answer = datagram(qp, c);
	}
	hca_quiesce_leave(&mark);
	/* A requester of this address space finishes when it has left its own adapter. */
	if (hca_unlikely(own.qp))
		hca_resp_finish(&own);
	/* What isn't reliable is answered by nothing; but the sender's own memory is the sender's own trouble. */
	return m->flags & HCA_MSG_RELIABLE || answer == HCA_ANSWER_LOC_PROT ? answer : HCA_ANSWER_ACK;
}
