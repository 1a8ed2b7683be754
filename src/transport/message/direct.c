/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One-sided work between two adapters of one address space, when nothing is unusual:
 * the requester looks the peer's queue pair and key up, and moves the bytes. All that
 * could fail, wait, be reported or take more than one piece is left to the way of
 * messages, which decides what it comes to. Called by the requester, without a lock.
 */
#include "transport/message/message.h"

/* The bytes of the request's one entry, if its key allows it. From inside. */
static inline void *own_bytes(const struct hca_qp *qp, const struct hca_send_wr *wr, const struct hca_opcode *op,
			      u32 len)
{
	const struct hca_key_entry *k;

	k = hca_key_check(&qp->hca->keys, wr->sge->lkey, qp->pd->number, qp->qpn, wr->sge->addr, len, op->local);
	return hca_likely(k) ? hca_key_plain(k, qp->hca->mem, wr->sge->addr, len) : NULL;
}

/* The bytes that it names at the peer's, if that is our peer, listens, and allows it. From inside the peer's adapter. */
static inline void *peer_bytes(const struct hca_qp *qp, const struct hca_send_wr *wr, const struct hca_opcode *op,
			       const struct hca *hca, u32 len)
{
	const struct hca_qp *peer = hca_qp_find(hca, (u32)qp->peer);
	const struct hca_key_entry *k;
	u32 state;

	if (hca_unlikely(!peer))
		return NULL;
	state = hca_load_acquire(&peer->state);
	/* In RTR the first message is told of. */
	if (hca_unlikely(state <= HCA_QPS_RTR || state == HCA_QPS_ERR || peer->type != qp->type ||
			 hca_load(&peer->peer) != hca_peer(qp->hca->lid, qp->qpn) ||
			 !(hca_load(&peer->access) & op->remote)))
		return NULL;
	if (hca_unlikely(op->flags & HCA_OP_READS && (!hca_load(&peer->rd_limit) || !qp->attr.max_rd_atomic)))
		return NULL;
	k = hca_key_check(&hca->keys, wr->rdma.rkey, peer->pd->number, peer->qpn, wr->rdma.addr, len, op->remote);
	return hca_likely(k) ? hca_key_plain(k, hca->mem, wr->rdma.addr, len) : NULL;
}

bool hca_message_at_once(struct hca_qp *qp, const struct hca_send_wr *wr, const struct hca_opcode *op, u64 bytes)
{
	struct hca_quiesce_mark own_mark, peer_mark;
	void *const *place = hca_message_qp(qp)->peer;
	void *own, *theirs = NULL;
	struct hca *hca = NULL;
	u32 len = (u32)bytes;

	if (hca_unlikely(bytes - 1 >= HCA_PIECE || wr->num_sge != 1 || wr->flags & HCA_SEND_INLINE || !place))
		return false;
	hca_quiesce_enter(&qp->hca->quiesce, &own_mark);
	own = own_bytes(qp, wr, op, len);
	if (hca_likely(own))
		hca = hca_load_acquire(place);
	if (hca_likely(hca)) {
		hca_quiesce_enter(&hca->quiesce, &peer_mark);
		theirs = peer_bytes(qp, wr, op, hca, len);
		if (hca_likely(theirs && !(op->flags & HCA_OP_READS)))
			hca_mem_put_bytes(theirs, own, len);
		else if (theirs)
			hca_mem_put_bytes(own, theirs, len);
		hca_quiesce_leave(&peer_mark);
	}
	hca_quiesce_leave(&own_mark);
	return theirs;
}
