/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests between two adapters of one address space, when nothing is unusual: the
 * requester looks up the peer's queue pair, and its key or its oldest receive request,
 * and moves the bytes. All that could fail, wait, be reported or take more than one piece
 * is left to the way of messages, which decides what it comes to. Called by the
 * requester, without a lock.
 */
#include "transport/message/message.h"

/* Bytes that the queue pair may use by the key of this entry, where they lie in one run and no ledger watches; or NULL. From inside. */
static inline void *bytes_of(const struct hca_qp *qp, const struct hca *hca, const struct hca_sge *s, u32 len,
			     u32 access)
{
	const struct hca_key_entry *k;

	if (hca_unlikely(!hca_key_allows(&hca->keys, s->lkey, qp->domain, qp->qpn, s->addr, len, access, &k)))
		return NULL;
	return hca_key_plain(k, hca->mem, s->addr, len);
}

/* The queue pair that is our peer, if we are its. From inside the peer's adapter. */
static inline struct hca_qp *peer_of(const struct hca_qp *qp, const struct hca *hca)
{
	struct hca_qp *peer = hca_qp_find(hca, (u32)qp->peer);

	return hca_likely(peer && peer->type == qp->type && hca_load(&peer->peer) == qp->self) ? peer : NULL;
}

/* Does it take messages in this state? In RTR the first message causes an event: that isn't done here. */
static inline bool listens(u32 state)
{
	return hca_likely(state > HCA_QPS_RTR && state != HCA_QPS_ERR);
}

/* --- one-sided --- */

static inline bool move(const struct hca_qp *qp, const struct hca_send_wr *wr, const struct hca_opcode *op,
			const struct hca_qp *peer, const struct hca *hca, void *own, u32 len)
{
	const struct hca_key_entry *k;
	void *theirs;

	if (hca_unlikely(!listens(hca_load_acquire(&peer->state)) || !(hca_load(&peer->access) & op->remote)))
		return false;
	if (hca_unlikely(op->flags & HCA_OP_READS && (!hca_load(&peer->rd_limit) || !qp->attr.max_rd_atomic)))
		return false;
	if (hca_unlikely(!hca_key_allows(&hca->keys, wr->rdma.rkey, peer->domain, peer->qpn, wr->rdma.addr, len,
					 op->remote, &k)))
		return false;
	theirs = hca_key_plain(k, hca->mem, wr->rdma.addr, len);
	if (hca_unlikely(!theirs))
		return false;
	if (hca_likely(!(op->flags & HCA_OP_READS)))
		hca_mem_put_bytes(theirs, own, len);
	else
		hca_mem_put_bytes(own, theirs, len);
	return true;
}

/* --- what takes a receive request --- */

static inline void tell_receiver(struct hca_qp *peer, const struct hca_qp *qp, const struct hca_send_wr *wr,
				 const struct hca_opcode *op, u64 wr_id, u32 len)
{
	struct hca_wc wc = {
		.wr_id = wr_id,
		.opcode = op->recv_wc,
		.byte_len = len,
		.src_qp = qp->qpn,
		.slid = (u16)qp->hca->lid,
		.sl = qp->attr.ah.sl,
	};

	if (op->flags & HCA_OP_IMM) {
		wc.imm = wr->imm;
		wc.wc_flags = HCA_WC_WITH_IMM;
	}
	if (hca_unlikely(hca_qp_note(peer, false, &wc, wr->flags & HCA_SEND_SOLICITED)))
		hca_qp_to_error(peer, HCA_EVENT_QP_FATAL);
}

/*
 * The receive request is used where it is: nothing is touched before it is certain that the message fits its first entry.
 * One that was taken belongs to a message that began before.
 */
static inline bool receive(struct hca_qp *peer, const struct hca *hca, const struct hca_qp *qp,
			   const struct hca_send_wr *wr, const struct hca_opcode *op, const void *own, u32 len)
{
	const struct hca_rwqe *e = hca_rq_peek(&peer->rq);
	void *theirs;
	u64 wr_id;

	if (hca_unlikely(!e || peer->rx.taken || !e->num_sge || e->sge->length < len))
		return false;
	theirs = bytes_of(peer, hca, e->sge, len, HCA_ACCESS_LOCAL_WRITE);
	if (hca_unlikely(!theirs))
		return false;
	hca_mem_put_bytes(theirs, own, len);
	wr_id = e->wr_id;
	/* When the completion is seen, the request's place is free. */
	hca_rq_pop(&peer->rq);
	tell_receiver(peer, qp, wr, op, wr_id, len);
	return true;
}

/* The state is looked at again when we are at rx: what was flushed before isn't written to. */
static inline bool deliver(struct hca_qp *peer, const struct hca *hca, const struct hca_qp *qp,
			   const struct hca_send_wr *wr, const struct hca_opcode *op, const void *own, u32 len)
{
	u32 state = hca_load_acquire(&peer->state);
	bool done = false;

	/* A shared queue has others that take from it. */
	if (hca_unlikely(!listens(state) || peer->srq || !hca_rx_enter(peer)))
		return false;
	if (hca_likely(hca_load_acquire(&peer->state) == state))
		done = receive(peer, hca, qp, wr, op, own, len);
	hca_rx_leave(peer);
	return done;
}

/* --- */

bool hca_message_at_once(struct hca_qp *qp, const struct hca_send_wr *wr, const struct hca_opcode *op, u64 bytes)
{
	struct hca_quiesce_mark own_mark, peer_mark;
	struct hca_qp *peer;
	struct hca *hca = NULL;
	u32 len = (u32)bytes;
	bool done = false;
	void *own;

	if (hca_unlikely(bytes - 1 >= HCA_PIECE || wr->num_sge != 1))
		return false;
	hca_quiesce_enter_for(&qp->hca->quiesce, &own_mark, len);
	/* What is inline is the poster's still. */
	if (hca_unlikely(wr->flags & HCA_SEND_INLINE))
		own = (void *)(uintptr_t)wr->sge->addr;
	else
		own = bytes_of(qp, qp->hca, wr->sge, len, op->local);
	if (hca_likely(own))
		hca = hca_load_acquire(hca_message_qp(qp)->peer);
	if (hca_likely(hca)) {
		hca_quiesce_enter_for(&hca->quiesce, &peer_mark, len);
		peer = peer_of(qp, hca);
		if (hca_likely(peer)) {
			if (op->flags & HCA_OP_ONE_SIDED)
				done = move(qp, wr, op, peer, hca, own, len);
			else
				done = deliver(peer, hca, qp, wr, op, own, len);
		}
		hca_quiesce_leave(&peer_mark);
	}
	hca_quiesce_leave(&own_mark);
	return done;
}
