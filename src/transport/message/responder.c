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

/* A piece's payload from where it is into @to. Return: 0; -EAGAIN: it can't be had from there; others with @side set */
static int fetch(struct hca_sge_cursor *to, hca_site_t site, struct hca_carried *c, enum hca_sge_side *side)
{
	struct hca_place place[HCA_PLACES];
	u32 n = hca_sge_places(to, c->msg.piece, place);
	int err;

	*side = HCA_SGE_SRC;
	if (hca_likely(n)) {
		err = c->fetch(c, place, n);
		if (!err)
			hca_sge_skip(to, c->msg.piece);
		return err;
	}
	place[0] = (struct hca_place){ .at = c->bytes, .len = c->msg.piece };
	err = c->fetch(c, place, 1);
	if (err)
		return err;
	*side = HCA_SGE_DST;
	return hca_sge_put(to, c->bytes, c->msg.piece, site);
}

/* A piece's payload into @to. @side: which end refused. */
static inline int take_in(struct hca_sge_cursor *to, hca_site_t site, struct hca_carried *c, enum hca_sge_side *side)
{
	struct hca_transfer *t = c->local;

	*side = HCA_SGE_DST;
	if (hca_unlikely(!c->msg.piece))
		return 0;
	if (hca_unlikely(!t && c->fetch))
		return fetch(to, site, c, side);
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

/* No further piece of a refused unreliable message is written: its sender gets no answer and continues with it. */
static bool allowed(const struct hca_qp *qp, u64 pd, const struct hca_opcode *op, const struct hca_msg *m)
{
	return hca_key_check(&qp->hca->keys, m->rkey, pd, qp->qpn, m->raddr, m->len, op->remote);
}

static inline enum hca_answer respond_write(struct hca_qp *qp, u64 pd, const struct hca_opcode *op,
					    struct hca_carried *c)
{
	const struct hca_msg *m = &c->msg;
	u64 whole = m->flags & HCA_MSG_FIRST ? m->len : m->piece;
	enum hca_sge_side side;
	struct hca_sge_cursor to;
	enum hca_answer answer;
	struct hca_sge sge;
	int err;

	answer = hca_resp_remote(qp, pd, op, m->raddr + m->off, m->rkey, whole, m->piece, &sge, &to);
	if (hca_unlikely(!(m->flags & (HCA_MSG_FIRST | HCA_MSG_RELIABLE))) && !answer && !allowed(qp, pd, op, m))
		answer = hca_resp_say(qp, pd, op, m->raddr, m->rkey, m->len, HCA_ANSWER_REM_ACCESS);
	if (hca_unlikely(answer))
		return hca_resp_refuse(qp, answer, HCA_VENDOR_NONE);
	err = take_in(&to, site_of(c), c, &side);
	if (hca_likely(!err))
		return HCA_ANSWER_ACK;
	if (err == -EAGAIN)
		return HCA_ANSWER_COPY;
	return side == HCA_SGE_DST ? hca_resp_refuse(qp, hca_resp_failed(err), hca_resp_failed_why(err)) :
				     HCA_ANSWER_LOC_PROT;
}

static enum hca_answer respond_read(struct hca_qp *qp, u64 pd, const struct hca_opcode *op, struct hca_carried *c)
{
	const struct hca_msg *m = &c->msg;
	u64 whole = m->flags & HCA_MSG_FIRST ? m->len : m->piece;
	struct hca_sge_cursor from;
	enum hca_sge_side side;
	enum hca_answer answer;
	struct hca_sge sge;
	int err;

	if (!hca_load(&qp->rd_limit))
		return hca_resp_refuse(qp, HCA_ANSWER_INV_REQ, HCA_VENDOR_NO_READS);
	answer = hca_resp_remote(qp, pd, op, m->raddr + m->off, m->rkey, whole, m->piece, &sge, &from);
	if (answer)
		return hca_resp_refuse(qp, answer, HCA_VENDOR_NONE);
	err = m->piece ? give_back(&from, c, &side) : 0;
	if (!err)
		return HCA_ANSWER_ACK;
	return side == HCA_SGE_SRC ? hca_resp_refuse(qp, hca_resp_failed(err), hca_resp_failed_why(err)) :
				     HCA_ANSWER_LOC_PROT;
}

static enum hca_answer respond_atomic(struct hca_qp *qp, u64 pd, const struct hca_opcode *op, struct hca_carried *c,
				      struct hca_reply *r)
{
	const struct hca_msg *m = &c->msg;
	struct hca_transfer *t = c->local;
	enum hca_answer answer;

	answer = hca_resp_atomic(qp, pd, op, m->raddr, m->rkey, m->compare_add, m->swap, &r->result, site_of(c));
	if (hca_unlikely(answer))
		return hca_resp_refuse(qp, answer, HCA_VENDOR_NONE);
	if (t && hca_sge_put(&t->data, &r->result, sizeof(r->result), t->site))
		return HCA_ANSWER_LOC_PROT;
	return HCA_ANSWER_ACK;
}

static inline enum hca_answer one_sided(struct hca_qp *qp, u64 pd, const struct hca_opcode *op, struct hca_carried *c,
					struct hca_reply *r)
{
	if (hca_likely(!(op->flags & HCA_OP_READS)))
		return respond_write(qp, pd, op, c);
	return op->flags & HCA_OP_ATOMIC ? respond_atomic(qp, pd, op, c, r) : respond_read(qp, pd, op, c);
}

/* --- what takes a receive request; the thread is at rx --- */

/* No message has a piece that begins here. */
#define DROPPED (~0ull)

/* The rest of an unreliable message is dropped as well; its receive request waits for the next one (IBTA 9.8.3). */
static enum hca_answer drop(struct hca_qp *qp, enum hca_answer answer)
{
	qp->rx.done = DROPPED;
	return answer;
}

/* A receive request for the message, from its first piece to its last. */
static enum hca_answer have_request(struct hca_qp *qp, struct hca_srq *srq, const struct hca_msg *m,
				    struct hca_reply *r)
{
	struct hca_rx *rx = &qp->rx;

	if (m->flags & HCA_MSG_FIRST) {
		/*
		 * One that a peer left unfinished who began anew: an unreliable one may, and its request waits for the next message.
		 * A reliable one may not (IBTA 9.7.4.1.2); by its number it is known whether it does.
		 */
		if (rx->taken && (m->flags & (HCA_MSG_RELIABLE | HCA_MSG_NUMBERED)) == HCA_MSG_RELIABLE)
			return HCA_ANSWER_INV_REQ;
		if (!hca_resp_take(qp, srq)) {
			r->code = (u8)hca_load(&qp->rnr_timer);
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
	int err;

	/* A message that is too long is refused before a key is looked at (IBTA 9.7.4.1.6). */
	if (hca_unlikely(rx->room < m->len)) {
		hca_resp_spoil(qp, wc, HCA_WC_LOC_LEN_ERR, HCA_VENDOR_LENGTH);
		return HCA_ANSWER_INV_REQ;
	}
	rx->to.entry = NULL;
	if (m->flags & HCA_MSG_FIRST && hca_unlikely(hca_sge_check(&rx->to, m->len))) {
		hca_resp_spoil(qp, wc, HCA_WC_LOC_PROT_ERR, hca_resp_recv_why(qp, m->len));
		return HCA_ANSWER_REM_OP;
	}
	err = take_in(&rx->to, rx->wqe->site, c, &side);
	if (hca_unlikely(err == -EAGAIN))
		return HCA_ANSWER_COPY;
	if (hca_unlikely(err)) {
		if (side == HCA_SGE_SRC && !(m->flags & HCA_MSG_RELIABLE))
			return drop(qp, HCA_ANSWER_LOC_PROT);
		hca_resp_spoil(qp, wc, side == HCA_SGE_DST ? HCA_WC_LOC_PROT_ERR : HCA_WC_REM_ABORT_ERR,
			       side == HCA_SGE_DST ? HCA_VENDOR_MEMORY : HCA_VENDOR_PEER_GONE);
		return side == HCA_SGE_DST ? HCA_ANSWER_REM_OP : HCA_ANSWER_LOC_PROT;
	}
	rx->done += m->piece;
	return HCA_ANSWER_ACK;
}

/* An RDMA write whose last piece takes the request along. */
static enum hca_answer write_piece(struct hca_qp *qp, u64 pd, const struct hca_opcode *op, struct hca_carried *c,
				   struct hca_wc *wc)
{
	enum hca_answer answer = respond_write(qp, pd, op, c);

	if (hca_likely(!answer))
		qp->rx.done += c->msg.piece;
	else if (answer == HCA_ANSWER_COPY)
		return answer;
	else if (!(c->msg.flags & HCA_MSG_RELIABLE))
		drop(qp, answer);
	else
		hca_resp_spoil(qp, wc, answer == HCA_ANSWER_LOC_PROT ? HCA_WC_REM_ABORT_ERR : HCA_WC_LOC_ACCESS_ERR,
			       answer == HCA_ANSWER_LOC_PROT ? HCA_VENDOR_PEER_GONE :
							       (enum hca_vendor_err)hca_load(&qp->why));
	return answer;
}

/*
 * Of a wire that answers later the answer goes before the receive completes: a consumer that has seen the message may end, or send
 * one of its own, and the requester must have heard by then. On a link the acknowledgement comes first, too.
 */
static bool answers_first(const struct hca_qp *qp, const struct hca_carried *c)
{
	return !c->local && c->msg.flags & HCA_MSG_RELIABLE && qp->hca->wire->ops->answer;
}

/* Return: the answer; if @f->qp is set, rx is left and the message completes when that is finished. */
static enum hca_answer two_sided(struct hca_qp *qp, u64 pd, struct hca_srq *srq, const struct hca_opcode *op,
				 struct hca_carried *c, struct hca_reply *r, struct hca_resp_finish *f)
{
	const struct hca_msg *m = &c->msg;
	enum hca_answer answer;
	struct hca_wc wc;

	/* What isn't reliable and may not write takes no request. */
	if (op->remote && !(m->flags & HCA_MSG_RELIABLE)) {
		struct hca_sge_cursor to;
		struct hca_sge sge;

		answer = hca_resp_remote(qp, pd, op, m->raddr, m->rkey, m->len, m->piece, &sge, &to);
		if (answer)
			return drop(qp, answer);
	}
	answer = have_request(qp, srq, m, r);
	if (hca_unlikely(answer))
		return answer == HCA_ANSWER_RNR ? answer : hca_resp_refuse(qp, answer, HCA_VENDOR_SEQUENCE);
	hca_resp_fill_wc(qp, op, m, (u32)m->len, &wc);
	answer = op->remote ? write_piece(qp, pd, op, c, &wc) : send_piece(qp, c, &wc);
	if (hca_unlikely(answer) || !(m->flags & HCA_MSG_LAST))
		return answer;
	if (hca_unlikely(op->flags & HCA_OP_INV)) {
		if (hca_resp_begin_invalidate(qp, m->imm, &wc, m->flags & HCA_MSG_SOLICITED, f))
			return HCA_ANSWER_ACK;
		hca_resp_spoil(qp, &wc, HCA_WC_MW_BIND_ERR, HCA_VENDOR_INVALIDATE);
		return hca_resp_refuse(qp, HCA_ANSWER_REM_ACCESS, HCA_VENDOR_INVALIDATE);
	}
	if (hca_unlikely(answers_first(qp, c)))
		*f = (struct hca_resp_finish){ .qp = qp, .wc = wc, .solicited = m->flags & HCA_MSG_SOLICITED };
	else
		hca_rx_complete(qp, &wc, m->flags & HCA_MSG_SOLICITED);
	return HCA_ANSWER_ACK;
}

/* --- one piece after the other --- */

/* Is this queue pair in a state to take messages, and the one that this message is for? (IBTA 9.6.1.1, 10.3.1) */
static inline bool listens(const struct hca_qp *qp)
{
	u32 state = hca_load_acquire(&qp->state);

	return state >= HCA_QPS_RTR && state != HCA_QPS_ERR;
}

/*
 * Is it the piece that comes next? On a wire that answers later, what follows a piece that was refused arrives all the same: it is
 * passed over (HCA_ANSWER_PENDING). A message that is sent again begins anew. A requester that was reset in the middle of
 * a message, and begins another one, breaks the sequence (IBTA 9.7.4.1.2).
 */
static enum hca_answer judge(struct hca_qp *qp, const struct hca_msg *m)
{
	struct hca_message_qp *mq = hca_message_qp(qp);

	if (!(m->flags & HCA_MSG_NUMBERED))
		return HCA_ANSWER_ACK;
	if (m->number != mq->expected)
		return HCA_ANSWER_PENDING;
	if (!(m->flags & HCA_MSG_FIRST))
		return m->off == mq->expected_off && m->session == mq->coming ? HCA_ANSWER_ACK : HCA_ANSWER_PENDING;
	if (mq->expected_off && m->session != mq->coming)
		return hca_resp_refuse(qp, HCA_ANSWER_INV_REQ, HCA_VENDOR_SEQUENCE);
	mq->coming = m->session;
	return HCA_ANSWER_ACK;
}

static void advance(struct hca_qp *qp, const struct hca_msg *m)
{
	struct hca_message_qp *mq = hca_message_qp(qp);
	bool last = m->flags & HCA_MSG_LAST;

	mq->expected = (mq->expected + last) & HCA_QPN_MASK;
	mq->expected_off = last ? 0 : m->off + m->piece;
}

/* Keys and receive requests of XRC are those of the queue that the message names (IBTA annex A14). */
static inline enum hca_answer respond(struct hca_qp *qp, const struct hca_opcode *op, struct hca_carried *c,
				      struct hca_reply *r, struct hca_resp_finish *f)
{
	struct hca_srq *srq = qp->srq;
	u64 pd;

	if (hca_likely(qp->pd)) {
		pd = qp->pd->number;
	} else {
		srq = hca_xrc_find(qp->hca, qp->xrcd, c->msg.srqn);
		if (!srq)
			return hca_resp_refuse(qp, HCA_ANSWER_INV_REQ, HCA_VENDOR_SRQ);
		pd = srq->pd->number;
	}
	return op->flags & HCA_OP_TAKES_RECV ? two_sided(qp, pd, srq, op, c, r, f) : one_sided(qp, pd, op, c, r);
}

/* The thread is at rx. */
static enum hca_answer take_piece(struct hca_qp *qp, const struct hca_opcode *op, struct hca_carried *c,
				  struct hca_reply *r, struct hca_resp_finish *f)
{
	enum hca_answer answer = listens(qp) ? judge(qp, &c->msg) : HCA_ANSWER_NONE;

	if (hca_unlikely(answer))
		return answer;
	answer = respond(qp, op, c, r, f);
	if (!answer && c->msg.flags & HCA_MSG_NUMBERED)
		advance(qp, &c->msg);
	return answer;
}

/* An answer that refuses says why. */
static void tell_why(struct hca_qp *qp, enum hca_answer answer, struct hca_reply *r)
{
	hca_resp_count(qp, answer);
	if (answer == HCA_ANSWER_INV_REQ || answer == HCA_ANSWER_REM_ACCESS || answer == HCA_ANSWER_REM_OP)
		r->code = (u8)hca_load(&qp->why);
}

/* --- what is answered later --- */

/* A piece that was taken in, and at whose rx the thread still is: outside, it is finished and answered, in the order of the pieces. */
struct later {
	struct hca_qp *qp;
	struct hca_resp_finish finish;
};

static void fill_answer(const struct hca_carried *c, struct hca_reply *r, enum hca_answer answer)
{
	const struct hca_opcode *op = hca_opcode(c->msg.opcode);
	const struct hca_msg *m = &c->msg;

	r->answer = (u8)answer;
	r->sqpn = m->sqpn;
	r->number = m->number;
	r->session = m->session;
	r->off = m->off;
	r->bytes = c->bytes;
	r->len = !answer && (op->flags & (HCA_OP_READS | HCA_OP_ATOMIC)) == HCA_OP_READS ? m->piece : 0;
}

static void answer_and_complete(struct hca_qp *qp, struct hca_resp_finish *f, u32 slid, const struct hca_reply *r,
				bool answers)
{
	struct hca_wire *wire = qp->hca->wire;

	if (answers)
		wire->ops->answer(wire, slid, r);
	if (f->qp)
		hca_rx_complete(qp, &f->wc, f->solicited);
	f->qp = NULL;
}

/*
 * Outside. @answer: set to what the wire is told at once. Return: done, and rx is the caller's still; else a worker waits for the users of a
 * key: they may be threads of other processes, and the caller takes in for all queue pairs.
 */
static bool finish_later(struct later *l, const struct hca_carried *c, struct hca_reply *r, enum hca_answer *answer)
{
	struct hca_message_left *left = &hca_message_qp(l->qp)->left;
	struct hca_resp_finish *f = &l->finish;
	bool answers;

	answers = *answer != HCA_ANSWER_PENDING && c->msg.flags & HCA_MSG_RELIABLE && l->qp->hca->wire->ops->answer;
	if (answers) {
		fill_answer(c, r, *answer);
		*answer = HCA_ANSWER_PENDING;
	}
	if (hca_unlikely(f->qp && (f->invalidation.mr || f->invalidation.mw))) {
		*left = (struct hca_message_left){ *f, *r, c->msg.slid, answers };
		hca_qp_want(l->qp, HCA_QP_RX, true);
		return false;
	}
	answer_and_complete(l->qp, f, c->msg.slid, r, answers);
	return true;
}

void hca_message_resume(struct hca_qp *qp)
{
	struct hca_message_left *left = &hca_message_qp(qp)->left;

	if (!left->finish.qp)
		return;
	hca_key_invalidate_finish(&left->finish.invalidation);
	answer_and_complete(qp, &left->finish, left->slid, &left->reply, left->answers);
}

/* There is no room for it. The peer gets an RNR NAK in its turn, and sends it and the following pieces again; they are refused meanwhile. */
static enum hca_rx_entered refuse_later(struct hca_qp *qp, const struct hca_msg *m)
{
	struct hca_message_qp *mq = hca_message_qp(qp);
	enum hca_rx_entered entered;

	if (!(m->flags & HCA_MSG_RELIABLE) || hca_xchg(&mq->refusing, 1u))
		return HCA_RX_LEFT;
	mq->refusal->msg = *m;
	mq->refusal->refused = true;
	entered = hca_rx_enter_or_leave(qp, &mq->refusal->node, ~0u);
	if (entered == HCA_RX_OURS)
		hca_store_release(&mq->refusing, 0u);
	return entered;
}

static struct hca_message_late *keep(struct hca_carried *c, int *err)
{
	struct hca_message_late *l = hca_alloc(sizeof(*l) + c->msg.piece, 0);
	struct hca_transfer *t = c->local;
	struct hca_sge_cursor data;

	*err = 0;
	if (!l)
		return NULL;
	l->msg = c->msg;
	if (!c->msg.piece || hca_opcode(c->msg.opcode)->flags & HCA_OP_READS)
		return l;
	if (!t) {
		struct hca_place to = { .at = l->bytes, .len = c->msg.piece };

		if (c->fetch)
			l->missing = c->fetch(c, &to, 1);
		else
			hca_memcpy(l->bytes, c->bytes, c->msg.piece);
		return l;
	}
	data = t->data;
	*err = c->get(c, l->bytes);
	t->data = data; /* we may be at rx after all */
	return l;
}

/* Another thread is at rx. Return: is it us, after all? Else @answer is set. */
static bool leave_behind(struct hca_qp *qp, struct hca_carried *c, enum hca_answer *answer)
{
	enum hca_rx_entered entered = HCA_RX_FULL;
	struct hca_message_late *l;
	int err;

	l = keep(c, &err);
	*answer = err ? HCA_ANSWER_LOC_PROT : HCA_ANSWER_PENDING;
	if (l && !err)
		entered = hca_rx_enter_or_leave(qp, &l->node, HCA_MESSAGE_BACKLOG);
	if (entered != HCA_RX_LEFT)
		hca_free(l);
	if (err)
		return false;
	if (entered == HCA_RX_FULL)
		entered = refuse_later(qp, &c->msg);
	return entered == HCA_RX_OURS;
}

static int cannot_fetch(struct hca_carried *c, const struct hca_place *to, u32 n)
{
	(void)c;
	(void)to;
	(void)n;
	return -EAGAIN;
}

bool hca_message_late(struct hca_qp *qp, struct hca_rx_node *node)
{
	struct hca_message_late *l = hca_container_of(node, struct hca_message_late, node);
	struct hca_carried c = { .msg = l->msg, .bytes = l->bytes };
	struct later later = { .qp = qp };
	struct hca_quiesce_mark mark;
	enum hca_answer answer;
	struct hca_reply r = { 0 };
	bool done;

	c.fetch = l->missing ? cannot_fetch : NULL;
	hca_quiesce_enter_for(&qp->hca->quiesce, &mark, c.msg.piece);
	if (!l->refused) {
		answer = take_piece(qp, hca_opcode(c.msg.opcode), &c, &r, &later.finish);
		if (hca_unlikely(answer))
			tell_why(qp, answer, &r);
	} else {
		answer = listens(qp) ? judge(qp, &c.msg) : HCA_ANSWER_NONE;
		if (!answer)
			answer = HCA_ANSWER_RNR;
		hca_resp_count(qp, answer);
		r.code = (u8)hca_load(&qp->rnr_timer);
	}
	hca_quiesce_leave(&mark);
	done = finish_later(&later, &c, &r, &answer);
	if (l->refused)
		hca_store_release(&hca_message_qp(qp)->refusing, 0u);
	else
		hca_free(l);
	return done;
}

/* --- connected --- */

static enum hca_answer in_turn(struct hca_qp *qp, const struct hca_opcode *op, struct hca_carried *c,
			       struct hca_reply *r, struct hca_resp_finish *f, struct later *l)
{
	enum hca_answer answer = HCA_ANSWER_NONE;

	/* On a wire that answers at once only a queue pair that ends is flushed, and only then another thread may be here. */
	if (!hca_rx_enter(qp) && !(qp->hca->wire->ops->answer && leave_behind(qp, c, &answer)))
		return answer;
	answer = take_piece(qp, op, c, r, f);
	if (!c->local) {
		hca_fetch_add(&qp->holds, 1); /* so that it stays when we have left */
		l->qp = qp;
	} else if (!f->qp) {
		hca_rx_leave_inside(qp);
	}
	return answer;
}

static bool well_formed(const struct hca_qp *qp, const struct hca_opcode *op, const struct hca_msg *m)
{
	enum hca_qp_type sender = qp->type == HCA_QPT_XRC_TGT ? HCA_QPT_XRC_INI : qp->type;

	if (!op || op->flags & HCA_OP_LOCAL || !(op->qp_types >> sender & 1))
		return false;
	if (op->flags & HCA_OP_ATOMIC && m->len != sizeof(u64))
		return false;
	if (!(m->flags & HCA_MSG_FIRST) != !!m->off)
		return false;
	return m->len <= HCA_MAX_MSG && m->piece <= HCA_PIECE && m->off <= m->len && m->piece <= m->len - m->off;
}

/* The type of queue pair that takes such a message. */
static inline enum hca_qp_type hears(const struct hca_msg *m)
{
	if (hca_unlikely(m->flags & HCA_MSG_XRC))
		return HCA_QPT_XRC_TGT;
	return m->flags & HCA_MSG_RELIABLE ? HCA_QPT_RC : HCA_QPT_UC;
}

static inline enum hca_answer connected(struct hca_qp *qp, struct hca_carried *c, struct hca_reply *r,
					struct hca_resp_finish *f, struct later *l)
{
	const struct hca_msg *m = &c->msg;
	const struct hca_opcode *op = hca_likely(c->local) ? &hca_opcodes[m->opcode] : hca_opcode(m->opcode);

	if (hca_unlikely(!listens(qp)) || qp->type != hears(m) || hca_load(&qp->peer) != hca_peer(m->slid, m->sqpn))
		return HCA_ANSWER_NONE;
	/* A requester of this address space was checked when it posted. */
	if (hca_unlikely(!c->local && !well_formed(qp, op, m)))
		return hca_resp_refuse(qp, HCA_ANSWER_INV_REQ, HCA_VENDOR_SEQUENCE);
	if (hca_unlikely(hca_load(&qp->state) == HCA_QPS_RTR))
		hca_resp_established(qp);
	if (hca_likely(op->flags & HCA_OP_ONE_SIDED && !(m->flags & HCA_MSG_NUMBERED)))
		return respond(qp, op, c, r, f);
	return in_turn(qp, op, c, r, f, l);
}

/* --- datagrams --- */

/* Behind the room for a GRH that every datagram gets (IBTA 11.4.1.2). rx.lock is held. */
static enum hca_answer take_datagram(struct hca_qp *qp, const struct hca_opcode *op, struct hca_carried *c)
{
	u8 grh[HCA_GRH_BYTES] = { 0 };
	const struct hca_msg *m = &c->msg;
	u64 need = m->len + HCA_GRH_BYTES;
	struct hca_rx *rx = &qp->rx;
	enum hca_vendor_err why;
	enum hca_sge_side side;
	struct hca_wc wc;
	int err;

	if (!hca_resp_take(qp, qp->srq))
		return HCA_ANSWER_RNR;
	hca_resp_begin(qp);
	hca_resp_fill_wc(qp, op, m, (u32)need, &wc);
	if (rx->room < need) {
		hca_resp_spoil(qp, &wc, HCA_WC_LOC_LEN_ERR, HCA_VENDOR_LENGTH);
		return HCA_ANSWER_INV_REQ;
	}
	if (m->flags & HCA_MSG_GLOBAL)
		hca_message_grh(qp->hca, m, op->flags & HCA_OP_IMM, grh);
	side = HCA_SGE_DST;
	err = hca_sge_check(&rx->to, need);
	why = err ? hca_resp_recv_why(qp, need) : HCA_VENDOR_MEMORY;
	if (!err)
		err = hca_sge_put(&rx->to, grh, sizeof(grh), rx->wqe->site);
	if (!err)
		err = take_in(&rx->to, rx->wqe->site, c, &side);
	/* One that its sender couldn't read never left: the request is for the next one. */
	if (err && side == HCA_SGE_SRC)
		return HCA_ANSWER_LOC_PROT;
	if (err) {
		hca_resp_spoil(qp, &wc, HCA_WC_LOC_PROT_ERR, why);
		return HCA_ANSWER_REM_OP;
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
	struct later later;
	enum hca_answer answer = HCA_ANSWER_NONE;
	const struct hca_msg *m = &c->msg;
	struct hca_quiesce_mark mark;
	struct hca *hca = client;
	struct hca_qp *qp;

	later.qp = later.finish.qp = NULL;
	hca_quiesce_enter_for(&hca->quiesce, &mark, m->piece);
	if (hca_unlikely(is_for_group(m))) {
		answer = group(hca, c);
	} else {
		qp = hca_qp_find(hca, m->dqpn);
		/* A requester of this address space finishes when it has left its own adapter. */
		if (hca_likely(qp && m->flags & HCA_MSG_CONNECTED)) {
			answer = connected(qp, c, r, t ? &t->finish : &later.finish, &later);
			if (hca_unlikely(answer))
				tell_why(qp, answer, r);
		} else if (qp && for_us(hca, m))
			answer = datagram(qp, c);
	}
	hca_quiesce_leave(&mark);
	if (hca_unlikely(later.qp)) {
		if (hca_likely(finish_later(&later, c, r, &answer)))
			hca_rx_leave(later.qp);
		hca_fetch_add(&later.qp->holds, (u32)-1);
	}
	/* What isn't reliable is answered by nothing; but the sender's own memory is the sender's own trouble. */
	return m->flags & HCA_MSG_RELIABLE || answer == HCA_ANSWER_LOC_PROT ? answer : HCA_ANSWER_ACK;
}
