/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where packets come in, and the loop that sends; see packet.h. Called by wires through
 * the client's table, and by queue pairs through the transport's.
 */
#include "transport/packet/packet.h"

#include "hca/mcast.h"

#define PKEY_BASE 0x7fffu

/* --- a queue pair's state --- */

static u32 resp_room(const struct hca_qp *qp)
{
	return 2 * (qp->hca->attr.max_rd_atomic + HCA_PACKET_REPEATS) + 2;
}

static int create(struct hca_qp *qp)
{
	u32 room = resp_room(qp), kept = qp->hca->attr.max_rd_atomic;
	size_t resp_bytes = room * sizeof(struct hca_packet_resp), kept_bytes = kept * sizeof(struct hca_packet_kept);
	struct hca_packet_qp *pq = hca_alloc(sizeof(*pq) + kept_bytes + resp_bytes, HCA_MAY_SLEEP);

	if (!pq)
		return -ENOMEM;
	pq->kept = (struct hca_packet_kept *)(pq + 1);
	pq->kept_room = kept;
	pq->resp = (struct hca_packet_resp *)(pq->kept + kept);
	pq->resp_room = room;
	pq->una_idx = pq->snd_idx = pq->fresh = qp->sq.head;
	qp->carrier = pq;
	return 0;
}

static void destroy(struct hca_qp *qp)
{
	struct hca_rx_node *node;

	while ((node = hca_rx_left(qp)))
		hca_free(node);
	hca_free(qp->carrier);
}

static void reset(struct hca_qp *qp)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp), fresh = { 0 };
	hca_irqflags_t flags;

	hca_req_unblock(qp);
	/* The timer may fire still: it looks under the lock. */
	hca_spin_lock(&qp->lock, flags);
	fresh.kept = pq->kept;
	fresh.kept_room = pq->kept_room;
	fresh.resp = pq->resp;
	fresh.resp_room = pq->resp_room;
	*pq = fresh;
	hca_memset(pq->kept, 0, pq->kept_room * sizeof(*pq->kept));
	hca_packet_forget(qp);
	hca_spin_unlock(&qp->lock, flags);
}

/* Each is set once, on the way to RTR and to RTS: nothing has come, or gone, by then. */
static void modified(struct hca_qp *qp, u32 mask)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);

	hca_spin_assert(&qp->lock);
	if (mask & HCA_QP_RQ_PSN)
		pq->expected = qp->attr.rq_psn;
	if (mask & HCA_QP_SQ_PSN)
		pq->una = pq->snd = pq->max = qp->attr.sq_psn;
}

/* Drained is when everything that was begun is acknowledged (IBTA 10.3.1.5). */
static bool drained(const struct hca_qp *qp)
{
	return qp->sq.head == hca_packet_qp(qp)->fresh;
}

/* --- the loop --- */

/* What was chosen under the lock, for doing without it. */
struct work {
	enum { IDLE, RESPOND, RETIRE, FAIL, FLUSH, SHOOT } todo;
	struct hca_packet_resp resp;
	struct hca_packet_shot shot;
	struct hca_packet_path path;
};

static void choose_end(struct hca_qp *qp, struct work *w)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);

	if (pq->placing)
		return;
	if (qp->sq.head != pq->una_idx)
		w->todo = RETIRE;
	else if (pq->failed && pq->failed_idx == qp->sq.head)
		w->todo = FAIL;
	else if ((qp->state == HCA_QPS_ERR || qp->state == HCA_QPS_SQE) && qp->sq.head != qp->sq.tail)
		w->todo = FLUSH;
}

static void choose_response(struct hca_qp *qp, struct work *w)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);

	if ((qp->state != HCA_QPS_ERR || pq->last_words) && hca_packet_owes(qp, &w->resp))
		w->todo = RESPOND;
}

static void choose_request(struct hca_qp *qp, struct work *w)
{
	if (qp->state != HCA_QPS_RTS && qp->state != HCA_QPS_SQD)
		return;
	hca_packet_pick(qp, &w->shot);
	if (w->shot.e)
		w->todo = SHOOT;
}

/* Responses and requests in turn: neither the peer's reads nor our own requests wait for the others' end. */
static void choose(struct hca_qp *qp, struct work *w)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	bool requests_first = pq->answered_last;

	w->todo = IDLE;
	if (qp->state < HCA_QPS_RTR)
		return;
	choose_end(qp, w);
	if (w->todo != IDLE || hca_load(&qp->is_blocked))
		return;
	if (requests_first)
		choose_request(qp, w);
	if (w->todo == IDLE)
		choose_response(qp, w);
	if (w->todo == IDLE && !requests_first)
		choose_request(qp, w);
	pq->answered_last = w->todo == RESPOND;
	w->path.ah = qp->attr.ah;
	w->path.dqpn = qp->attr.dest_qp_num;
}

/* The first request leaves the queue, with @status; acknowledged or not. */
static void end_first(struct hca_qp *qp, enum hca_wc_status status)
{
	struct hca_packet_qp *pq = hca_packet_qp(qp);
	hca_irqflags_t flags;
	bool lost;

	hca_spin_lock(&qp->lock, flags);
	lost = hca_sq_retire(qp, status);
	pq->msn_first = hca_psn_add(pq->msn_first, 1);
	if (status)
		hca_packet_forget(qp);
	hca_spin_unlock(&qp->lock, flags);
	if (lost)
		hca_qp_to_error(qp, HCA_EVENT_QP_FATAL);
}

/* Only we, who run, take requests out. */
static void fail_first(struct hca_qp *qp)
{
	enum hca_wc_status status = hca_packet_qp(qp)->status;
	struct hca_failure failure = hca_req_failure(hca_sq_entry(&qp->sq, qp->sq.head), status);

	end_first(qp, status);
	hca_req_fail(qp, &failure);
}

static void perform(struct hca_qp *qp, const struct work *w)
{
	u32 calls = hca_load(&qp->hca->ready_calls);
	bool full = false;

	switch (w->todo) {
	case RESPOND:
		full = hca_packet_respond(qp, &w->resp, &w->path);
		break;
	case SHOOT:
		full = hca_packet_shoot(qp, &w->shot, &w->path);
		break;
	case RETIRE:
		end_first(qp, HCA_WC_SUCCESS);
		break;
	case FAIL:
		fail_first(qp);
		break;
	case FLUSH:
		end_first(qp, HCA_WC_WR_FLUSH_ERR);
		break;
	case IDLE:
		break;
	}
	if (hca_unlikely(full))
		hca_req_block(qp, calls);
}

static void tell_drained(struct hca_qp *qp)
{
	if (qp->state != HCA_QPS_SQD || !qp->drain_wanted || !drained(qp))
		return;
	qp->drain_wanted = false;
	hca_qp_tell(qp, HCA_EVENT_SQ_DRAINED);
}

static void run(struct hca_qp *qp, hca_irqflags_t flags)
{
	const struct hca *hca = qp->hca;
	u32 budget = HCA_RUN_BUDGET;
	bool sent = false;
	struct work w;

	hca_spin_assert(&qp->lock);
	if (qp->running) {
		hca_spin_unlock(&qp->lock, flags);
		return;
	}
	qp->running = true;
	for (; budget; budget--) {
		choose(qp, &w);
		if (w.todo == IDLE)
			break;
		sent |= w.todo == RESPOND || w.todo == SHOOT;
		hca_spin_unlock(&qp->lock, flags);
		perform(qp, &w);
		hca_spin_lock(&qp->lock, flags);
	}
	tell_drained(qp);
	if (!budget)
		hca_req_hand_over(qp);
	hca_store(&qp->running, false);
	hca_spin_unlock(&qp->lock, flags);
	/* A thread that saw the last completion may have destroyed the queue pair. */
	if (sent && hca->wire->ops->flush)
		hca->wire->ops->flush(hca->wire, hca->lid);
}

/* --- arrivals --- */

/* A packet that waits behind another one of its queue pair. */
struct late {
	struct hca_rx_node node;
	struct hca_arrival a;
	u8 grh[HCA_GRH_LEN];
	u8 bytes[];
};

/* A global header names the port as well, or a group that it was found by. */
static bool for_us(const struct hca *hca, const struct hca_packet *p, const struct hca_arrival *a)
{
	if (p->dqpn == HCA_MCAST_QPN)
		return true;
	if (p->has_grh && !hca_gid_is_ours(&hca->gids, p->grh.dgid))
		return false;
	return !a->has_gids || hca_gid_is_ours(&hca->gids, a->dgid.raw);
}

/* Between the two addresses that the queue pair's path has (IBTA 9.6.1.2.3)? */
static bool on_path(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	const u8 *sgid = p->has_grh ? p->grh.sgid : a->sgid.raw, *dgid = p->has_grh ? p->grh.dgid : a->dgid.raw;
	bool lids = qp->hca->limits.has_lids, global = p->has_grh || a->has_gids;
	const struct hca_gid *own;
	hca_irqflags_t flags;
	bool is;

	hca_spin_lock(&qp->lock, flags);
	is = !lids || qp->attr.ah.dlid == a->slid;
	if (is && qp->attr.ah.is_global) {
		own = hca_gid_at(&qp->hca->gids, qp->attr.ah.grh.sgid_index);
		is = global && own && !hca_memcmp(own->raw, dgid, sizeof(own->raw)) &&
		     !hca_memcmp(qp->attr.ah.grh.dgid.raw, sgid, sizeof(own->raw));
	}
	hca_spin_unlock(&qp->lock, flags);
	return is;
}

/* Is it in a state to hear anything? */
static bool listens(const struct hca_qp *qp)
{
	u32 state = hca_load_acquire(&qp->state);

	return state >= HCA_QPS_RTR && state != HCA_QPS_ERR;
}

/* Is it of this queue pair's service, from its peer, and is the queue pair in a state to hear it? (IBTA 9.6.1) */
static bool accepts(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	if (!listens(qp) || !for_us(qp->hca, p, a))
		return false;
	switch (p->opcode & HCA_PKT_SERVICE) {
	case HCA_PKT_UD:
		return hca_qp_is_datagram(qp->type) && hca_load(&qp->qkey) == p->qkey;
	case HCA_PKT_UC:
		return qp->type == HCA_QPT_UC && on_path(qp, p, a);
	case HCA_PKT_RC:
		return qp->type == HCA_QPT_RC && on_path(qp, p, a);
	default:
		return p->what & HCA_PKT_IS_CNP && !hca_qp_is_datagram(qp->type) && on_path(qp, p, a);
	}
}

static void notified(struct hca_qp *qp)
{
	hca_irqflags_t flags;

	hca_spin_lock(&qp->lock, flags);
	hca_packet_qp(qp)->cnps++;
	hca_spin_unlock(&qp->lock, flags);
}

/* Return: rx stays with us: an invalidation is to be finished, outside. */
static bool take_in(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a)
{
	if (!accepts(qp, p, a))
		return false;
	if (p->what & HCA_PKT_IS_CNP)
		notified(qp);
	else if (p->what & HCA_PKT_IS_RESPONSE)
		hca_packet_answered(qp, p);
	else
		hca_packet_asked(qp, p, a);
	return hca_packet_qp(qp)->finish.qp;
}

static int decode(const struct hca_arrival *a, struct hca_packet *p)
{
	int err = hca_packet_decode(a->bytes, a->len, a->global, p);

	if (err && err != -EPROTO)
		return err;
	p->malformed = err;
	p->fecn |= a->congested;
	return (p->pkey & PKEY_BASE) == (HCA_DEFAULT_PKEY & PKEY_BASE) ? 0 : -EINVAL;
}

static struct hca_rx_node *keep(const struct hca_arrival *a)
{
	struct late *l = hca_alloc(sizeof(*l) + a->len, 0);

	if (!l)
		return NULL;
	l->a = *a;
	hca_memcpy(l->bytes, a->bytes, a->len);
	l->a.bytes = l->bytes;
	if (a->grh) {
		hca_memcpy(l->grh, a->grh, sizeof(l->grh));
		l->a.grh = l->grh;
	}
	return &l->node;
}

/* What waited. Its memory goes; and it may leave an invalidation to be finished, which we can do: we aren't inside any more. */
static bool late(struct hca_qp *qp, struct hca_rx_node *node)
{
	struct late *l = hca_container_of(node, struct late, node);
	struct hca_quiesce_mark mark;
	struct hca_packet p;
	bool unfinished;

	hca_quiesce_enter_for(&qp->hca->quiesce, &mark, HCA_PACKET_LONG);
	unfinished = !decode(&l->a, &p) && take_in(qp, &p, &l->a);
	hca_quiesce_leave(&mark);
	hca_free(l);
	if (unfinished)
		hca_resp_finish_here(&hca_packet_qp(qp)->finish);
	return true;
}

/* What @late was asked for was done there. */
static void resume(struct hca_qp *qp)
{
	(void)qp;
}

/*
 * To the queue pair, from inside; or to the thread that is at it. Return: are we the one that is at rx now? Then take_in() follows,
 * and hca_rx_leave().
 */
static bool enter_rx(struct hca_qp *qp, const struct hca_arrival *a)
{
	enum hca_rx_entered entered;
	struct hca_rx_node *node;

	/* A thread that ends the queue pair waits until rx is free: what comes now doesn't keep it busy. */
	if (!listens(qp))
		return false;
	if (hca_likely(hca_rx_enter(qp)))
		return true;
	node = keep(a);
	if (!node)
		return false; /* as one that was lost */
	entered = hca_rx_enter_or_leave(qp, node, HCA_PACKET_BACKLOG);
	if (entered != HCA_RX_LEFT)
		hca_free(node);
	return entered == HCA_RX_OURS;
}

/* Each queue pair of ours that is in the group takes the packet as its own. Datagrams owe no answer, and leave nothing to finish. */
static void group_arrived(struct hca *hca, const struct hca_packet *p, const struct hca_arrival *a)
{
	const struct hca_mcast_member *at = NULL;
	const struct hca_gid *dgid = NULL;
	struct hca_quiesce_mark mark;
	struct hca_gid gid;

	if (p->has_grh || a->has_gids) {
		hca_memcpy(gid.raw, p->has_grh ? p->grh.dgid : a->dgid.raw, sizeof(gid.raw));
		dgid = &gid;
	}
	if (!hca_lid_is_multicast(a->dlid) && !(dgid && hca_gid_is_group(dgid)))
		return;
	hca_quiesce_enter(&hca->quiesce, &mark);
	while ((at = hca_mcast_next(hca, at, a->dlid, dgid))) {
		bool own = at->qp->qpn == p->sqpn && hca->lid == a->slid;

		if ((own && at->qp->block_mcast_loopback) || !enter_rx(at->qp, a))
			continue;
		(void)take_in(at->qp, p, a);
		hca_rx_leave(at->qp);
	}
	hca_quiesce_leave(&mark);
	hca_eq_run(hca->eq);
}

static void packet_arrived(void *client, const struct hca_arrival *a)
{
	bool unfinished = false, ours = false;
	struct hca_quiesce_mark mark;
	struct hca *hca = client;
	struct hca_packet p;
	struct hca_qp *qp;

	if (decode(a, &p))
		return;
	if (p.dqpn == HCA_MCAST_QPN) {
		if (!p.malformed)
			group_arrived(hca, &p, a);
		return;
	}
	hca_quiesce_enter_for(&hca->quiesce, &mark, HCA_PACKET_LONG);
	qp = hca_qp_find(hca, p.dqpn);
	if (qp) {
		hca_fetch_add(&qp->holds, 1); /* so that it stays when we have left */
		ours = enter_rx(qp, a);
		unfinished = ours && take_in(qp, &p, a);
	}
	hca_quiesce_leave(&mark);
	if (!qp)
		return;
	if (unfinished)
		hca_resp_finish_here(&hca_packet_qp(qp)->finish);
	if (ours)
		hca_rx_leave(qp);
	hca_qp_run(qp);
	hca_fetch_add(&qp->holds, (u32)-1);
	hca_eq_run(hca->eq);
}

static enum hca_answer no_message(void *client, struct hca_carried *c, struct hca_reply *r)
{
	(void)client;
	(void)c;
	(void)r;
	return HCA_ANSWER_NONE;
}

static void no_answer(void *client, const struct hca_reply *r)
{
	(void)client;
	(void)r;
}

static void settle(void *client)
{
	struct hca *hca = client;

	hca_quiesce_wait(&hca->quiesce);
}

const struct hca_wire_client hca_packet_client = {
	.message = no_message,
	.answered = no_answer,
	.packet = packet_arrived,
	.settle = settle,
	.ready = hca_req_ready,
};

const struct hca_qp_transport hca_packet_transport = {
	.create = create,
	.destroy = destroy,
	.run = run,
	.timeout = hca_packet_timeout,
	.modified = modified,
	.drained = drained,
	.reset = reset,
	.late = late,
	.resume = resume,
};
