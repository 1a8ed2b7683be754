/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The requester of whole messages. A thread that posts to an idle queue carries the
 * request in its own context, and goes on with what others post meanwhile, within a
 * budget; they return at once. No lock is held while bytes move.
 */
#include "transport/message/message.h"

/* --- a request as a message --- */

static int get_payload(struct hca_carried *c, void *out)
{
	struct hca_transfer *t = hca_container_of(c, struct hca_transfer, c);

	t->by_place = false;
	if (!t->inline_data)
		return hca_sge_get(&t->data, out, c->msg.piece, t->site);
	hca_memcpy(out, t->inline_data + c->msg.off, c->msg.piece);
	return 0;
}

/* The bytes may be moved without us: then the list goes on behind them (carry()). */
static u32 places(struct hca_carried *c, struct hca_place *out)
{
	struct hca_transfer *t = hca_container_of(c, struct hca_transfer, c);
	u32 n;

	if (!t->inline_data) {
		n = hca_sge_places(&t->data, c->msg.piece, out);
		t->by_place = n;
		return n;
	}
	out->at = (u8 *)t->inline_data + c->msg.off;
	out->len = c->msg.piece;
	return 1;
}

static void fill_datagram(const struct hca_qp *qp, const struct hca_send_wr *wr, struct hca_msg *m)
{
	const struct hca_gid *sgid = hca_gid_at(&qp->hca->gids, wr->ud.grh.sgid_index);

	m->dlid = wr->ud.dlid;
	m->dqpn = wr->ud.qpn;
	m->sl = wr->ud.sl;
	/* A Q_Key with the top bit set stands for the queue pair's own (IBTA 10.2.5). */
	m->qkey = wr->ud.qkey >> 31 ? qp->attr.qkey : wr->ud.qkey;
	if (!wr->ud.is_global)
		return;
	m->flags |= HCA_MSG_GLOBAL;
	if (sgid)
		m->ud.sgid = *sgid;
	m->ud.dgid = wr->ud.grh.dgid;
	m->ud.flow_label = wr->ud.grh.flow_label;
	m->ud.hop_limit = wr->ud.grh.hop_limit;
	m->ud.traffic_class = wr->ud.grh.traffic_class;
}

/*
 * Work that is one-sided is alone under way and may pass its responder by, which therefore doesn't count it; but an answer names
 * it by its number.
 */
static void fill_later(const struct hca_qp *qp, const struct hca_sqe *e, struct hca_transfer *t)
{
	struct hca_msg *m = &t->c.msg;

	if (hca_qp_is_reliable(qp->type)) {
		m->number = e->number;
		m->session = hca_message_qp(qp)->session;
		m->flags |= e->op->flags & HCA_OP_TAKES_RECV ? HCA_MSG_NUMBERED : 0;
	}
	t->c.right = e->op->flags & HCA_OP_ONE_SIDED ? e->op->remote : 0;
	t->c.places = places;
	t->c.pending = false;
	t->c.copy = e->copy;
}

/* The lock is held: attributes don't change. */
static inline void fill(struct hca_qp *qp, const struct hca_sqe *e, struct hca_transfer *t)
{
	const struct hca_send_wr *wr = &e->wr;
	struct hca_msg *m = &t->c.msg;

	m->opcode = (u8)wr->opcode;
	m->flags = wr->flags & HCA_SEND_SOLICITED ? HCA_MSG_SOLICITED : 0;
	m->sl = qp->attr.ah.sl;
	m->pkey = HCA_DEFAULT_PKEY;
	m->slid = qp->hca->lid;
	m->sqpn = qp->qpn;
	m->imm = wr->imm;
	m->len = e->len;
	if (hca_likely(qp->type == HCA_QPT_RC))
		m->flags |= HCA_MSG_CONNECTED | HCA_MSG_RELIABLE;
	else if (qp->type == HCA_QPT_UC)
		m->flags |= HCA_MSG_CONNECTED;
	else if (qp->type == HCA_QPT_XRC_INI)
		m->flags |= HCA_MSG_CONNECTED | HCA_MSG_RELIABLE | HCA_MSG_XRC;
	m->srqn = m->flags & HCA_MSG_XRC ? wr->srqn : 0;
	if (hca_likely(m->flags & HCA_MSG_CONNECTED)) {
		m->dlid = qp->attr.ah.dlid;
		m->dqpn = qp->attr.dest_qp_num;
	} else {
		fill_datagram(qp, wr, m);
	}
	if (hca_unlikely(e->op->flags & HCA_OP_ATOMIC)) {
		m->raddr = wr->atomic.addr;
		m->rkey = wr->atomic.rkey;
		m->compare_add = wr->atomic.compare_add;
		m->swap = wr->atomic.swap;
	} else {
		m->raddr = wr->rdma.addr;
		m->rkey = wr->rdma.rkey;
	}
	if (hca_unlikely(qp->hca->wire->ops->caps & HCA_WIRE_LATER))
		fill_later(qp, e, t);
	hca_req_cursor(qp, e, &t->data);
	t->inline_data = wr->flags & HCA_SEND_INLINE ? (const u8 *)e->sge : NULL;
	t->site = wr->site;
	t->c.get = get_payload;
	t->c.local = t;
	t->c.bytes = NULL;
	t->by_place = false;
	t->finish.qp = NULL;
}

/* --- carrying --- */

/*
 * How it ended. @local: an error that the requester found itself; else @answer, with @reply, counts. HCA_ANSWER_LATER: the wire took
 * @sent bytes, and no more; @calls: how often it had been ready before. @not_now: nothing has happened.
 */
struct outcome {
	bool not_now;
	enum hca_wc_status local;
	enum hca_answer answer;
	struct hca_reply reply;
	u64 sent;
	u32 calls;
};

static bool may_send(const struct hca_qp *qp)
{
	u32 state = hca_load(&qp->state);

	return state == HCA_QPS_RTS || state == HCA_QPS_SQD;
}

/* A wire that answers later may carry the first pieces of one-sided work out at once: the answers begin behind them. */
static void note_piece(struct hca_qp *qp, const struct hca_sqe *e, struct hca_transfer *t, enum hca_answer answer,
		       u32 off)
{
	if (answer == HCA_ANSWER_PENDING)
		t->c.pending = true;
	else if (answer == HCA_ANSWER_ACK && !t->c.pending && e->op->flags & HCA_OP_ONE_SIDED)
		hca_store(&hca_message_qp(qp)->answered, off);
}

/* Between two pieces nothing is held: keys, state and rights are looked at again, here and there. @off: what the wire took before. */
static void carry(struct hca_qp *qp, struct hca_sqe *e, struct hca_transfer *t, u64 off, struct outcome *o)
{
	struct hca_wire *wire = qp->hca->wire;
	struct hca_quiesce_mark mark;
	bool later = wire->ops->caps & HCA_WIRE_LATER;
	struct hca_msg *m = &t->c.msg;

	o->local = HCA_WC_SUCCESS;
	o->answer = HCA_ANSWER_ACK;
	o->calls = hca_load(&qp->hca->ready_calls);
	if (hca_unlikely(off)) {
		hca_sge_skip(&t->data, off);
		t->c.pending = true; /* or may be */
	}
	do {
		u64 left = m->len - off;
		bool first = !off;

		m->off = off;
		m->piece = (u32)HCA_MIN(left, (u64)HCA_PIECE);
		m->flags &= (u8) ~(HCA_MSG_FIRST | HCA_MSG_LAST);
		m->flags |= (first ? HCA_MSG_FIRST : 0) | (left <= HCA_PIECE ? HCA_MSG_LAST : 0);
		hca_quiesce_enter_for(&qp->hca->quiesce, &mark, m->piece);
		t->data.entry = NULL;
		if (first)
			o->local = hca_req_check(qp, e, &t->data);
		if (hca_likely(!o->local))
			o->answer = wire->ops->send(wire, &t->c, &o->reply);
		hca_quiesce_leave(&mark);
		if (hca_unlikely(t->finish.qp))
			hca_resp_finish(&t->finish);
		o->sent = off;
		if (hca_unlikely(!o->local && o->answer == HCA_ANSWER_LATER))
			return;
		if (hca_unlikely(t->by_place))
			hca_sge_skip(&t->data, m->piece);
		t->by_place = false;
		off += m->piece;
		if (hca_unlikely(later))
			note_piece(qp, e, t, o->answer, (u32)off);
		if (hca_likely(off == m->len) || o->local)
			return;
		if (hca_unlikely(!may_send(qp)))
			o->local = HCA_WC_WR_FLUSH_ERR;
	} while (!o->local && (o->answer == HCA_ANSWER_ACK || o->answer == HCA_ANSWER_PENDING));
}

/* --- what an answer means; the lock is held --- */

static enum hca_wc_status status_of(enum hca_answer answer)
{
	switch (answer) {
	case HCA_ANSWER_ACK:
	case HCA_ANSWER_PENDING:
	case HCA_ANSWER_LATER:
		return HCA_WC_SUCCESS;
	case HCA_ANSWER_RNR:
		return HCA_WC_RNR_RETRY_EXC_ERR;
	case HCA_ANSWER_NONE:
		return HCA_WC_RETRY_EXC_ERR;
	case HCA_ANSWER_INV_REQ:
		return HCA_WC_REM_INV_REQ_ERR;
	case HCA_ANSWER_REM_ACCESS:
		return HCA_WC_REM_ACCESS_ERR;
	case HCA_ANSWER_REM_OP:
		return HCA_WC_REM_OP_ERR;
	case HCA_ANSWER_COPY: /* though it was copied */
		return HCA_WC_BAD_RESP_ERR;
	case HCA_ANSWER_LOC_PROT:
		break;
	}
	return HCA_WC_LOC_PROT_ERR;
}

static void start_timer(struct hca_qp *qp, u64 ns)
{
	struct hca_message_qp *mq = hca_message_qp(qp);

	if (ns)
		hca_timer_start(&qp->timer, hca_now_ns() + ns);
	else if (mq->armed)
		hca_timer_stop(&qp->timer);
	mq->timing = mq->armed = ns;
	mq->renewed = false;
}

#define AT_ONCE_NS 1u

/* From the request @idx on all are carried again, after a while. */
static void put_off(struct hca_qp *qp, u32 idx, u64 ns)
{
	struct hca_message_qp *mq = hca_message_qp(qp);

	for (; qp->sq.issue != idx; qp->sq.issue = idx) {
		u32 i;

		for (i = idx; i != qp->sq.issue; i++)
			hca_sq_entry(&qp->sq, i)->state = HCA_SQE_QUEUED;
	}
	mq->put_off = true;
	mq->begun = true;
	mq->sent = 0;
	mq->answered = 0;
	qp->waiting = true;
	start_timer(qp, ns);
}

/* Return: the request is to be carried again, in a while. */
static bool retry(struct hca_qp *qp, u32 idx, enum hca_answer answer, u8 rnr_code)
{
	struct hca_sqe *e = hca_sq_entry(&qp->sq, idx);

	if (!may_send(qp))
		return false;
	if (answer == HCA_ANSWER_COPY && e->op->flags & HCA_OP_TAKES_RECV && !e->copy) {
		e->copy = true;
		put_off(qp, idx, AT_ONCE_NS);
		return true;
	}
	if (answer == HCA_ANSWER_RNR && hca_req_may_retry_rnr(qp)) {
		put_off(qp, idx, hca_rnr_timer_ns(rnr_code));
		return true;
	}
	/* Without a timeout no request is ever repeated (IBTA 9.7.6.1.3): only the queue pair's end ends this. */
	if (answer == HCA_ANSWER_NONE && (!qp->attr.timeout || hca_req_may_retry(qp))) {
		put_off(qp, idx, hca_ack_timeout_ns(qp->attr.timeout));
		return true;
	}
	return false;
}

/* Of an answer that is a refusal @code has the peer's reason. */
static u8 why_of(enum hca_answer answer, u8 code)
{
	switch (answer) {
	case HCA_ANSWER_RNR:
		return HCA_VENDOR_NO_RECV;
	case HCA_ANSWER_NONE:
		return HCA_VENDOR_NO_ANSWER;
	case HCA_ANSWER_INV_REQ:
	case HCA_ANSWER_REM_ACCESS:
	case HCA_ANSWER_REM_OP:
		return HCA_VENDOR_REMOTE | (code < HCA_VENDOR_ERRS ? code : 0);
	default:
		return HCA_VENDOR_MEMORY;
	}
}

static void answer_entry(struct hca_qp *qp, struct hca_sqe *e, enum hca_wc_status status)
{
	e->state = HCA_SQE_ANSWERED;
	e->status = (u8)status;
	if (e->op->flags & HCA_OP_ONE_SIDED)
		hca_message_qp(qp)->answered = 0;
	if (!status) {
		qp->retries = 0;
		qp->rnr_retries = 0;
	}
}

/*
 * Answers that are still to come: the first of them has a timeout from now on, or up to twice that. A timer that runs isn't started anew
 * with each answer, but once more when it is due: IBTA vol. 1, 9.7.6.1.3, allows four times.
 */
static void expect_answer(struct hca_qp *qp)
{
	struct hca_message_qp *mq = hca_message_qp(qp);

	if (mq->timing)
		return;
	if (hca_likely(mq->armed))
		mq->timing = mq->renewed = true;
	else
		start_timer(qp, hca_ack_timeout_ns(qp->attr.timeout));
}

/* --- the loop --- */

/* The oldest request leaves; @lost, if there was no room for its completion. */
static void retire(struct hca_qp *qp, enum hca_wc_status status, bool *lost)
{
	struct hca_message_qp *mq = hca_message_qp(qp);
	bool behind = qp->sq.issue == qp->sq.head;
	bool counts = hca_sq_entry(&qp->sq, qp->sq.head)->op->flags & HCA_OP_TAKES_RECV;

	*lost |= hca_sq_retire(qp, status);
	/* The peer counts what takes a receive request. */
	mq->number = (mq->number + counts) & HCA_QPN_MASK;
	if (behind) {
		qp->sq.issue = qp->sq.head;
		mq->sent = 0;
	}
}

static bool answered_first(const struct hca_qp *qp)
{
	return qp->sq.issue != qp->sq.head && hca_sq_entry(&qp->sq, qp->sq.head)->state == HCA_SQE_ANSWERED;
}

static bool ends(const struct hca_qp *qp)
{
	return qp->state == HCA_QPS_ERR || qp->state == HCA_QPS_SQE;
}

/* The next request to be carried; NULL: none now. Those before it may still wait for their answers. */
static struct hca_sqe *pick(struct hca_qp *qp)
{
	struct hca_message_qp *mq = hca_message_qp(qp);
	struct hca_sqe *e;

	if (qp->sq.issue == qp->sq.tail || qp->waiting || hca_unlikely(hca_load(&qp->is_blocked)))
		return NULL;
	/* While it drains, what was begun goes on, and nothing else begins (IBTA 10.3.1.5). */
	if (hca_unlikely(qp->state != HCA_QPS_RTS) && !(qp->state == HCA_QPS_SQD && mq->begun))
		return NULL;
	e = hca_sq_entry(&qp->sq, qp->sq.issue);
	if (hca_unlikely(qp->sq.issue != qp->sq.head)) {
		u32 under_way = qp->sq.issue - qp->sq.head;

		/* What the peer's memory, or a key, depends on comes after what was accepted before, and alone. */
		if ((e->op->flags | hca_sq_entry(&qp->sq, qp->sq.head)->op->flags) &
			    (HCA_OP_LOCAL | HCA_OP_ONE_SIDED) ||
		    e->wr.flags & HCA_SEND_FENCE || under_way >= HCA_MESSAGE_WINDOW)
			return NULL;
		e->number = (mq->number + under_way) & HCA_QPN_MASK;
	} else {
		e->number = mq->number;
	}
	return e;
}

/* Without the lock. */
static void perform(struct hca_qp *qp, struct hca_sqe *e, struct hca_transfer *t, u64 off, struct outcome *o)
{
	o->not_now = false;
	if (hca_likely(!(e->op->flags & HCA_OP_LOCAL) && !hca_req_is_silent(qp, e))) {
		carry(qp, e, t, off, o);
		return;
	}
	o->local = HCA_WC_SUCCESS;
	o->answer = HCA_ANSWER_ACK;
	if (e->op->flags & HCA_OP_LOCAL)
		o->not_now = !hca_req_local(qp, e, &o->local);
}

/* The request at issue has left, or will leave no more. */
static void pass(struct hca_qp *qp)
{
	struct hca_message_qp *mq = hca_message_qp(qp);

	mq->begun = false;
	mq->sent = 0;
	qp->sq.issue++;
}

/* The wire has no room for more of the request at issue. It is gone on with when the wire is ready, unless the peer ends it before. */
static void wait_for_wire(struct hca_qp *qp, const struct outcome *o)
{
	struct hca_message_qp *mq = hca_message_qp(qp);

	mq->sent = o->sent;
	mq->begun |= o->sent > 0;
	if (hca_qp_is_reliable(qp->type))
		expect_answer(qp);
	hca_req_block(qp, o->calls);
}

/* An unreliable request gets no answer, also if there is no peer: it is complete when it was sent (IBTA 9.8). */
static bool is_lost(const struct hca_qp *qp, enum hca_answer answer)
{
	return answer == HCA_ANSWER_NONE && !hca_qp_is_reliable(qp->type);
}

/* With the lock again: what became of the request at issue. */
static void settle(struct hca_qp *qp, struct hca_sqe *e, const struct outcome *o)
{
	struct hca_message_qp *mq = hca_message_qp(qp);

	qp->carrying = false;
	/* An answer has put it off meanwhile, or one before it: it is carried again, whatever became of it. */
	if (hca_unlikely(mq->put_off))
		return;
	if (hca_unlikely(o->not_now)) {
		qp->waiting = true;
		start_timer(qp, HCA_NOT_NOW_NS);
		return;
	}
	if (hca_unlikely(!o->local && o->answer == HCA_ANSWER_LATER && e->state == HCA_SQE_QUEUED)) {
		wait_for_wire(qp, o);
		return;
	}
	if (hca_likely(!o->local && (o->answer == HCA_ANSWER_ACK || is_lost(qp, o->answer)))) {
		answer_entry(qp, e, HCA_WC_SUCCESS);
	} else if (!o->local && (o->answer == HCA_ANSWER_PENDING || o->answer == HCA_ANSWER_LATER)) {
		/* Unless the answer was faster than we are. */
		if (e->state == HCA_SQE_QUEUED && hca_qp_is_reliable(qp->type)) {
			e->state = HCA_SQE_ISSUED;
			expect_answer(qp);
		} else if (e->state == HCA_SQE_QUEUED) {
			answer_entry(qp, e, HCA_WC_SUCCESS);
		}
	} else if (!o->local && retry(qp, qp->sq.issue, o->answer, o->reply.code)) {
		return;
	} else if (!o->local && !may_send(qp) && (o->answer == HCA_ANSWER_RNR || o->answer == HCA_ANSWER_NONE)) {
		/* The queue pair has ended meanwhile: that it might have been tried again doesn't count. */
		answer_entry(qp, e, HCA_WC_WR_FLUSH_ERR);
	} else {
		if (!o->local)
			e->why = why_of(o->answer, o->reply.code);
		answer_entry(qp, e, o->local ? o->local : status_of(o->answer));
	}
	pass(qp);
}

/* The oldest failure decides: those behind it are flushed, though they have failed here already. */
static void flush_failed(struct hca_qp *qp)
{
	u32 i;

	for (i = qp->sq.head; i != qp->sq.issue; i++) {
		struct hca_sqe *e = hca_sq_entry(&qp->sq, i);

		if (e->state == HCA_SQE_ANSWERED && e->status)
			e->status = HCA_WC_WR_FLUSH_ERR;
	}
}

/* A completion is seen when its request's place is free, not before. */
static void end_oldest(struct hca_qp *qp, hca_irqflags_t *flags)
{
	const struct hca_sqe *e = hca_sq_entry(&qp->sq, qp->sq.head);
	enum hca_wc_status status = e->status;
	struct hca_failure failure;
	bool lost = false;

	if (hca_unlikely(status)) {
		failure = hca_req_failure(e, status);
		hca_message_withdraw(qp);
	}
	retire(qp, status, &lost);
	if (hca_likely(!status && !lost))
		return;
	if (status) {
		flush_failed(qp);
		hca_message_qp(qp)->failed = true;
	}
	hca_spin_unlock(&qp->lock, *flags);
	if (lost)
		hca_qp_to_error(qp, HCA_EVENT_QP_FATAL);
	if (status && status != HCA_WC_WR_FLUSH_ERR)
		hca_req_fail(qp, &failure);
	hca_spin_lock(&qp->lock, *flags);
}

static void flush_one(struct hca_qp *qp, hca_irqflags_t *flags)
{
	bool lost = false;

	if (qp->sq.issue != qp->sq.head && !answered_first(qp))
		qp->sq.issue = qp->sq.head;
	hca_message_withdraw(qp);
	retire(qp, HCA_WC_WR_FLUSH_ERR, &lost);
	if (!lost)
		return;
	hca_spin_unlock(&qp->lock, *flags);
	hca_qp_to_error(qp, HCA_EVENT_QP_FATAL);
	hca_spin_lock(&qp->lock, *flags);
}

static void tell_drained(struct hca_qp *qp)
{
	struct hca_message_qp *mq = hca_message_qp(qp);

	if (qp->state != HCA_QPS_SQD || !qp->drain_wanted || qp->sq.issue != qp->sq.head || mq->begun)
		return;
	qp->drain_wanted = false;
	hca_qp_tell(qp, HCA_EVENT_SQ_DRAINED);
}

/* The request at issue is carried, and if it is the oldest one and was answered, completes. */
static void issue_one(struct hca_qp *qp, struct hca_sqe *e, hca_irqflags_t *flags)
{
	struct hca_message_qp *mq = hca_message_qp(qp);
	u64 sent = mq->sent;
	struct hca_transfer t;
	struct outcome o;

	qp->carrying = true;
	mq->put_off = false;
	fill(qp, e, &t);
	hca_spin_unlock(&qp->lock, *flags);
	perform(qp, e, &t, sent, &o);
	hca_spin_lock(&qp->lock, *flags);
	settle(qp, e, &o);
	if (hca_likely(answered_first(qp)))
		end_oldest(qp, flags);
}

/* Where requests wait for their answers, or the queue pair isn't in RTS. Return: something was done. */
static bool catch_up(struct hca_qp *qp, hca_irqflags_t *flags)
{
	struct hca_sqe *e;

	if (hca_message_qp(qp)->placing)
		return false;
	if (answered_first(qp)) {
		if (qp->state == HCA_QPS_RESET)
			return false; /* its requests are being dropped */
		end_oldest(qp, flags);
		return true;
	}
	if (ends(qp)) {
		if (qp->sq.head == qp->sq.tail)
			return false;
		flush_one(qp, flags);
		return true;
	}
	e = pick(qp);
	if (e)
		issue_one(qp, e, flags);
	return e;
}

void hca_message_run(struct hca_qp *qp, hca_irqflags_t flags)
{
	struct hca_message_qp *mq = hca_message_qp(qp);
	const struct hca *hca = qp->hca;
	u32 budget = HCA_RUN_BUDGET;
	struct hca_sqe *e;

	hca_spin_assert(&qp->lock);
	if (qp->running) {
		hca_spin_unlock(&qp->lock, flags);
		return;
	}
	qp->running = true;
	do {
		if (hca_likely(qp->state == HCA_QPS_RTS && qp->sq.issue == qp->sq.head)) {
			e = hca_unlikely(mq->placing) ? NULL : pick(qp);
			if (!e)
				break;
			issue_one(qp, e, &flags);
		} else if (!catch_up(qp, &flags)) {
			break;
		}
	} while (--budget);
	tell_drained(qp);
	if (hca_unlikely(!budget))
		hca_req_hand_over(qp);
	hca_store(&qp->running, false);
	hca_spin_unlock(&qp->lock, flags);
	/* A thread that saw the last completion may have destroyed the queue pair. */
	if (hca_unlikely(hca->wire->ops->flush))
		hca->wire->ops->flush(hca->wire, hca->lid);
}

/* --- answers that come later --- */

/* Answers to a message's pieces come in order: one to another piece is of an earlier try. */
static bool next_piece(const struct hca_qp *qp, const struct hca_reply *r)
{
	return r->off == hca_load(&hca_message_qp(qp)->answered);
}

/*
 * The request of a number, if its answer is the next that is awaited; the lock is held. Answers come in order: one that comes
 * before its turn is of a former life of the queue pair. Behind a request that failed nothing is awaited.
 */
static struct hca_sqe *awaited(struct hca_qp *qp, u32 number, u32 *idx)
{
	struct hca_message_qp *mq = hca_message_qp(qp);
	u32 ahead = (number - mq->number) & HCA_QPN_MASK;
	u32 under_way = qp->sq.issue - qp->sq.head + (qp->carrying || mq->sent ? 1 : 0);
	struct hca_sqe *e, *before;

	if (ahead >= under_way || qp->waiting)
		return NULL;
	*idx = qp->sq.head + ahead;
	before = hca_sq_entry(&qp->sq, *idx - 1);
	if (ahead && (before->state != HCA_SQE_ANSWERED || before->status))
		return NULL;
	e = hca_sq_entry(&qp->sq, *idx);
	return e->state == HCA_SQE_ANSWERED || e->op->flags & HCA_OP_LOCAL ? NULL : e;
}

/* Bytes of a read or an atomic, to where they belong; outside the lock, with placing set. */
static enum hca_wc_status place(struct hca_qp *qp, const struct hca_sqe *e, const struct hca_reply *r)
{
	struct hca_quiesce_mark mark;
	struct hca_sge_cursor to;
	int err = -EINVAL;

	hca_quiesce_enter_for(&qp->hca->quiesce, &mark, r->len);
	hca_req_cursor(qp, e, &to);
	if (e->op->flags & HCA_OP_ATOMIC) {
		err = hca_sge_put(&to, &r->result, sizeof(r->result), e->wr.site);
	} else if (r->off <= e->len && r->len <= e->len - r->off) {
		hca_sge_skip(&to, r->off);
		err = hca_sge_put(&to, r->bytes, r->len, e->wr.site);
	}
	hca_quiesce_leave(&mark);
	return err == -EINVAL ? HCA_WC_BAD_RESP_ERR : err ? HCA_WC_LOC_PROT_ERR : HCA_WC_SUCCESS;
}

static enum hca_wc_status take_bytes(struct hca_qp *qp, const struct hca_sqe *e, const struct hca_reply *r,
				     hca_irqflags_t *flags)
{
	struct hca_message_qp *mq = hca_message_qp(qp);
	enum hca_wc_status status;

	mq->placing = true;
	hca_spin_unlock(&qp->lock, *flags);
	status = place(qp, e, r);
	hca_spin_lock(&qp->lock, *flags);
	mq->placing = false;
	return status;
}

static void take_answer(struct hca_qp *qp, const struct hca_reply *r, hca_irqflags_t *flags)
{
	struct hca_message_qp *mq = hca_message_qp(qp);
	enum hca_wc_status status = status_of((enum hca_answer)r->answer);
	struct hca_sqe *e;
	u32 idx;

	if (!may_send(qp) || mq->placing || mq->failed || r->session != mq->session)
		return;
	e = awaited(qp, r->number, &idx);
	if (!e || !next_piece(qp, r))
		return;
	mq->timing = false;
	if (r->answer == HCA_ANSWER_ACK && e->op->flags & HCA_OP_READS)
		status = take_bytes(qp, e, r, flags);
	else if (retry(qp, idx, (enum hca_answer)r->answer, r->code))
		return;
	/* A message is accepted when its last piece is; a failure of any of them is the message's. */
	mq->answered = status || e->len - r->off <= HCA_PIECE ? 0 : (u32)r->off + HCA_PIECE;
	if (!mq->answered) {
		if (status)
			e->why = r->answer		       ? why_of((enum hca_answer)r->answer, r->code) :
				 status == HCA_WC_BAD_RESP_ERR ? HCA_VENDOR_SEQUENCE :
								 HCA_VENDOR_MEMORY;
		answer_entry(qp, e, status);
		/* The wire had no room for all of it, and the rest doesn't go. */
		if (hca_unlikely(idx == qp->sq.issue && !qp->carrying))
			pass(qp);
	}
	/* Those behind it have their time from now on. */
	if (e->state != HCA_SQE_ANSWERED || (idx != qp->sq.issue && idx + 1 != qp->sq.issue))
		expect_answer(qp);
}

void hca_message_answered(void *client, const struct hca_reply *r)
{
	struct hca *hca = client;
	struct hca_quiesce_mark mark;
	hca_irqflags_t flags;
	struct hca_qp *qp;

	hca_quiesce_enter(&hca->quiesce, &mark);
	qp = hca_qp_find(hca, r->sqpn);
	if (qp)
		hca_fetch_add(&qp->holds, 1); /* so that it stays when we have left */
	hca_quiesce_leave(&mark);
	if (!qp)
		return;
	hca_spin_lock(&qp->lock, flags);
	take_answer(qp, r, &flags);
	hca_message_run(qp, flags);
	hca_fetch_add(&qp->holds, (u32)-1);
	hca_eq_run(hca->eq);
}

/* --- time --- */

bool hca_message_timeout(struct hca_qp *qp)
{
	struct hca_message_qp *mq = hca_message_qp(qp);
	struct hca_sqe *e = hca_sq_entry(&qp->sq, qp->sq.head);
	bool timed = mq->timing, stuck;

	hca_spin_assert(&qp->lock);
	mq->armed = false;
	mq->timing = false;
	if (qp->waiting) {
		qp->waiting = false;
		return true;
	}
	/* Where nothing is issued and the wire is ready, the run that is to come starts the timer. */
	stuck = qp->sq.issue == qp->sq.head;
	if (!timed || !may_send(qp) || mq->failed || (stuck && !hca_load(&qp->is_blocked)))
		return false;
	if (mq->renewed) {
		expect_answer(qp);
		return false;
	}
	/* The wire loses nothing, so nothing is sent again; but a peer that never answers, or takes nothing in, is no peer. */
	if ((stuck || e->state == HCA_SQE_ISSUED) && !hca_req_may_retry(qp)) {
		e->why = HCA_VENDOR_NO_ANSWER;
		answer_entry(qp, e, HCA_WC_RETRY_EXC_ERR);
		if (stuck)
			pass(qp);
		return true;
	}
	expect_answer(qp);
	return false;
}
