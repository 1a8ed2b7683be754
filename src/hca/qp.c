/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Queue pairs: making, changing, ending them, and what they tell their consumer. The
 * ways of messages are the transport's.
 */
#include "hca/qp.h"

#include "hca/mcast.h"

void hca_qp_run(struct hca_qp *qp)
{
	hca_irqflags_t flags;

	hca_spin_lock(&qp->lock, flags);
	qp->transport->run(qp, flags);
}

static void fire_qp(struct hca_eq_node *node)
{
	struct hca_qp *qp = hca_container_of(node, struct hca_qp, event);
	u32 wants = hca_xchg(&qp->wants, 0u);
	u32 type;

	if (wants & HCA_QP_RX)
		hca_rx_resume(qp);
	if (wants & HCA_QP_FLUSH)
		hca_rx_flush(qp);
	if (wants & (HCA_QP_RX | HCA_QP_FLUSH | HCA_QP_RUN))
		hca_qp_run(qp);
	wants &= ~(HCA_QP_RX | HCA_QP_FLUSH | HCA_QP_RUN);
	for (type = 0; wants; type++, wants >>= 1)
		if (wants & 1 && qp->hca->event)
			qp->hca->event(qp->hca, (enum hca_event_type)type, qp);
}

/* --- receive requests --- */

int hca_recv_refuse(const struct hca_qp *qp, const struct hca_recv_wr *wr, int err)
{
	const char *why = qp->srq				? "it takes from a shared receive queue: post to that" :
			  !qp->recv_cq				? "it has no receive queue" :
			  hca_load(&qp->state) == HCA_QPS_RESET ? "it is in RESET: move it to INIT before" :
								  NULL;

	if (!why)
		return hca_rq_refuse(&qp->rq, wr, err);
	return hca_refuse(err, "%s QP %u: receive request (wr_id 0x%llx, posted at " HCA_SITE ") refused: %s",
			  qp->hca->name, qp->qpn, (unsigned long long)wr->wr_id, hca_site(wr->site), why);
}

int hca_post_recv(struct hca_qp *qp, const struct hca_recv_wr *wr)
{
	int err;

	if (qp->srq || !qp->recv_cq || hca_load(&qp->state) == HCA_QPS_RESET)
		return -EINVAL; /* hca_recv_refuse() says why */
	err = hca_rq_post(&qp->rq, wr);
	if (!err && hca_unlikely(hca_load(&qp->state) == HCA_QPS_ERR)) {
		hca_rx_flush(qp);
		hca_eq_run(qp->hca->eq);
	}
	return err;
}

/* Of the latest one that has left; what was carried out at once was never in the queue. */
static hca_site_t sent_at(struct hca_qp *qp, u64 wr_id)
{
	hca_site_t site = NULL;
	hca_irqflags_t flags;
	u32 i;

	hca_spin_lock(&qp->lock, flags);
	for (i = 1; i <= qp->sq.mask + 1 && !site; i++) {
		const struct hca_sqe *e = hca_sq_entry(&qp->sq, qp->sq.head - i);

		if (e->op && e->wr.wr_id == wr_id)
			site = e->wr.site;
	}
	hca_spin_unlock(&qp->lock, flags);
	return site;
}

static hca_site_t received_at(struct hca_rq *rq, u64 wr_id)
{
	hca_site_t site = NULL;
	hca_irqflags_t flags;
	u32 i;

	hca_spin_lock(&rq->lock, flags);
	for (i = 1; rq->size && i <= rq->mask + 1 && !site; i++) {
		const struct hca_rwqe *e = hca_rq_entry(rq, hca_load(&rq->head) - i);

		if (e->wr_id == wr_id)
			site = e->site;
	}
	hca_spin_unlock(&rq->lock, flags);
	return site;
}

hca_site_t hca_qp_posted_at(struct hca_qp *qp, bool send, u64 wr_id)
{
	return send ? sent_at(qp, wr_id) : received_at(qp->srq ? &qp->srq->rq : &qp->rq, wr_id);
}

/* --- numbers --- */

/* A number that was in use stays so until nothing of its queue pair is left. */
static struct hca_qp leaving = { .qpn = ~0u };

static struct hca_qp **place(struct hca *hca, u32 qpn)
{
	return &hca->qp[qpn & (hca->qp_slots - 1)];
}

/* A number whose place is free, as long after its last use as can be. 0: there is none. */
static u32 free_number(struct hca *hca)
{
	u32 tries, first = HCA_MAX(hca->first_qpn, HCA_FIRST_QPN), end = hca->first_qpn + hca->qpns;

	hca_spin_assert(&hca->qp_lock);
	for (tries = 0; tries < hca->qp_slots; tries++) {
		u32 qpn = hca->qp_next;

		if (qpn < first || qpn >= end)
			qpn = first;
		hca->qp_next = qpn + 1;
		if (*place(hca, qpn) == hca_no_qp)
			return qpn;
	}
	return 0;
}

static int enter(struct hca *hca, struct hca_qp *qp)
{
	bool special = qp->type == HCA_QPT_SMI || qp->type == HCA_QPT_GSI;
	hca_irqflags_t flags;
	int err = 0;
	u32 qpn = qp->type == HCA_QPT_GSI;

	hca_spin_lock(&hca->qp_lock, flags);
	if (special && *place(hca, qpn) != hca_no_qp)
		err = -EBUSY;
	else if (!special)
		qpn = hca->qps < hca->attr.max_qp ? free_number(hca) : 0;
	if (!err && !special && !qpn)
		err = -ENOSPC;
	if (!err) {
		qp->qpn = qpn;
		qp->self = hca_peer(hca->lid, qpn);
		hca_store_release(place(hca, qpn), qp);
		hca->qps++;
	}
	hca_spin_unlock(&hca->qp_lock, flags);
	if (err)
		return hca_refuse(err, "%s: queue pair not made: %s; %u may be", hca->name,
				  err == -EBUSY ? "there is one of this type already" : "no number is free",
				  hca->attr.max_qp);
	return 0;
}

/* --- making --- */

static HCA_COLD int bad_init(const struct hca *hca, const struct hca_qp_init *in, const char *why)
{
	return hca_refuse(-EINVAL, "%s: queue pair (%s) not made: %s", hca->name, hca_qp_type_name(in->type), why);
}

static int check_cap(const struct hca *hca, const struct hca_qp_init *in)
{
	const struct hca_attr *a = &hca->attr;
	const struct {
		const char *field;
		u32 value;
		u32 most;
	} n[] = {
		{ "max_send_wr", in->max_send_wr, a->max_wr },	      { "max_recv_wr", in->max_recv_wr, a->max_wr },
		{ "max_send_sge", in->max_send_sge, a->max_sge },     { "max_recv_sge", in->max_recv_sge, a->max_sge },
		{ "max_inline_data", in->max_inline, a->max_inline },
	};
	u32 i;

	for (i = 0; i < HCA_ARRAY_SIZE(n); i++)
		if (n[i].value > n[i].most)
			return hca_refuse(-EINVAL, "%s: queue pair (%s) not made: cap.%s is %u, must be from 0 to %u",
					  hca->name, hca_qp_type_name(in->type), n[i].field, n[i].value, n[i].most);
	return 0;
}

/* A target has what its domain has, and nothing of its own. */
static int check_target(const struct hca *hca, const struct hca_qp_init *in)
{
	if (!hca->transport->has_xrc)
		return bad_init(hca, in, "this link has no XRC");
	if (!in->xrcd || in->xrcd->hca != hca)
		return bad_init(hca, in, "it needs an XRC domain of this adapter");
	if (in->pd || in->send_cq || in->recv_cq || in->srq || in->max_send_wr || in->max_recv_wr)
		return bad_init(hca, in, "it has no PD, CQ or queue of its own");
	return 0;
}

static int check_init(const struct hca *hca, const struct hca_qp_init *in)
{
	switch (in->type) {
	case HCA_QPT_XRC_TGT:
		return check_target(hca, in);
	case HCA_QPT_XRC_INI:
		if (!hca->transport->has_xrc)
			return bad_init(hca, in, "this link has no XRC");
		if (in->recv_cq || in->srq || in->max_recv_wr)
			return bad_init(hca, in, "it has no receive side");
		break;
	case HCA_QPT_RC:
	case HCA_QPT_UC:
	case HCA_QPT_UD:
	case HCA_QPT_GSI:
	case HCA_QPT_SMI:
		if (!in->recv_cq || in->recv_cq->hca != hca)
			return bad_init(hca, in, "it needs a recv_cq of this adapter");
		break;
	default:
		return bad_init(hca, in, "no such type");
	}
	if (in->xrcd)
		return bad_init(hca, in, "an XRC domain is for XRC targets alone");
	if (!in->pd || in->pd->keys != &hca->keys)
		return bad_init(hca, in, "it needs a PD of this adapter");
	if (!in->send_cq || in->send_cq->hca != hca)
		return bad_init(hca, in, "it needs a send_cq of this adapter");
	if (check_cap(hca, in))
		return -EINVAL;
	if (in->srq && (in->srq->hca != hca || in->srq->xrcd))
		return bad_init(hca, in, "its SRQ is another adapter's, or one of XRC");
	if (in->srq && in->max_recv_wr)
		return bad_init(hca, in, "max_recv_wr must be 0 with an SRQ");
	return 0;
}

/* Notes what is due, and leaves it to a worker: a timer calls no handler and moves no bytes. */
static void on_timer(void *arg)
{
	struct hca_qp *qp = arg;
	hca_irqflags_t flags;
	bool due;

	hca_spin_lock(&qp->lock, flags);
	due = qp->transport->timeout(qp);
	hca_spin_unlock(&qp->lock, flags);
	if (due)
		hca_qp_want(qp, HCA_QP_RUN, true);
}

static void fill_constant(struct hca_qp *qp, struct hca *hca, const struct hca_qp_init *in)
{
	qp->hca = hca;
	qp->transport = hca->transport;
	qp->at_once = hca_qp_is_plain(in->type) ? hca->transport->at_once : NULL;
	qp->type = in->type;
	qp->pd = in->pd;
	qp->domain = in->pd ? in->pd->number : 0; /* of a target: that of the queue which a message names */
	qp->send_cq = in->send_cq;
	qp->recv_cq = in->recv_cq;
	qp->srq = in->srq;
	qp->xrcd = in->xrcd;
	qp->max_send_sge = in->max_send_sge;
	qp->max_inline = in->max_inline;
	qp->sq_sig_all = in->sq_sig_all;
	qp->block_mcast_loopback = in->block_mcast_loopback;
	qp->user = in->user;
	qp->state = HCA_QPS_RESET;
	qp->event.fire = fire_qp;
	qp->rx.backlog_end = &qp->rx.backlog;
	hca_spin_init(&qp->lock);
	hca_spin_init(&qp->rx.lock);
}

static int make_queues(struct hca_qp *qp, const struct hca_qp_init *in)
{
	u32 recv_sge = in->xrcd ? qp->hca->attr.max_sge : in->srq ? in->srq->rq.max_sge : in->max_recv_sge;
	int err = hca_sq_init(&qp->sq, in->max_send_wr, in->max_send_sge, in->max_inline);

	if (err)
		return err;
	err = hca_rq_init(&qp->rq, in->max_recv_wr, in->max_recv_sge);
	if (err)
		goto fini_sq;
	qp->rx.wqe = hca_alloc(hca_rq_entry_bytes(recv_sge), HCA_MAY_SLEEP);
	if (!qp->rx.wqe)
		goto fini_rq;
	return 0;
fini_rq:
	err = -ENOMEM;
	hca_rq_fini(&qp->rq);
fini_sq:
	hca_sq_fini(&qp->sq);
	return err;
}

static void free_queues(struct hca_qp *qp)
{
	hca_free(qp->rx.wqe);
	hca_rq_fini(&qp->rq);
	hca_sq_fini(&qp->sq);
}

static void count_users(struct hca_qp *qp, u32 n)
{
	if (qp->srq)
		hca_fetch_add(&qp->srq->users, n);
	if (qp->xrcd)
		hca_fetch_add(&qp->xrcd->users, n);
	if (qp->recv_cq)
		hca_fetch_add(&qp->recv_cq->ring.users, n);
	if (qp->send_cq)
		hca_fetch_add(&qp->send_cq->ring.users, n);
	if (qp->pd)
		hca_fetch_add(&qp->pd->users, n);
}

int hca_qp_create(struct hca *hca, const struct hca_qp_init *in, struct hca_qp **out)
{
	struct hca_qp *qp;
	int err = check_init(hca, in);

	if (err)
		return err;
	qp = hca_alloc(sizeof(*qp), HCA_MAY_SLEEP);
	if (!qp)
		return -ENOMEM;
	fill_constant(qp, hca, in);
	err = make_queues(qp, in);
	if (err)
		goto free_qp;
	err = hca->transport->create(qp);
	if (err)
		goto free_queues;
	err = hca_timer_init(&qp->timer, on_timer, qp);
	if (err)
		goto destroy_carrier;
	err = enter(hca, qp);
	if (err)
		goto destroy_timer;
	count_users(qp, 1);
	*out = qp;
	return 0;
destroy_timer:
	hca_timer_destroy(&qp->timer);
destroy_carrier:
	hca->transport->destroy(qp);
free_queues:
	free_queues(qp);
free_qp:
	hca_free(qp);
	return err;
}

/* --- ending --- */

/*
 * Its place in the table is @to from now on, and what it has counted since @told goes to the adapter's own counts: at one moment, so
 * that the two together are all.
 */
static void leave_place(struct hca *hca, struct hca_qp *qp, struct hca_qp *to, u64 *told)
{
	u64 now[HCA_COUNTS_QP];
	hca_irqflags_t flags;
	u32 i;

	hca_qp_counts(qp, now);
	hca_spin_lock(&hca->qp_lock, flags);
	for (i = 0; i < HCA_COUNTS_QP; i++) {
		hca->counts[i] += now[i] - told[i];
		told[i] = now[i];
	}
	hca->counts_ended++;
	hca_store(place(hca, qp->qpn), to);
	if (to == hca_no_qp)
		hca->qps--;
	hca_spin_unlock(&hca->qp_lock, flags);
}

/*
 * The state tells the threads that are at it to stop after the piece they move; wait for that, and be the thread that runs it:
 * a worker that comes late would find a queue that is half dropped.
 */
static void stop(struct hca_qp *qp)
{
	hca_irqflags_t flags;
	u32 turns = 0;

	hca_spin_lock(&qp->lock, flags);
	hca_store(&qp->state, (u32)HCA_QPS_RESET);
	hca_qp_share(qp);
	qp->waiting = false;
	while (qp->running) {
		hca_spin_unlock(&qp->lock, flags);
		hca_relax(&turns);
		hca_spin_lock(&qp->lock, flags);
	}
	qp->running = true;
	hca_spin_unlock(&qp->lock, flags);
	hca_timer_stop(&qp->timer);
}

static void forget(struct hca_qp *qp)
{
	hca_sq_drop(qp);
	if (qp->rx.srq)
		hca_fetch_add(&qp->rx.srq->users, (u32)-1);
	qp->rx.srq = NULL;
	if (qp->send_cq)
		hca_cq_ring_purge(&qp->send_cq->ring, &qp->sends);
	if (qp->recv_cq)
		hca_cq_ring_purge(&qp->recv_cq->ring, &qp->recvs);
}

/* Another process uses it by itself only if it is its peer's. */
static void wait_for_users(struct hca_qp *qp)
{
	hca_quiesce_wait_of(&qp->hca->quiesce, hca_qp_user(qp));
}

void hca_qp_destroy(struct hca_qp *qp)
{
	struct hca *hca = qp->hca;
	u64 told[HCA_COUNTS_QP] = { 0 };
	u32 turns = 0;

	leave_place(hca, qp, &leaving, told); /* no message finds it from now on */
	hca_mcast_end_qp(qp);
	stop(qp);
	hca_rx_idle(qp);
	wait_for_users(qp); /* no message that found it is under way */
	while (hca_load_acquire(&qp->holds))
		hca_relax(&turns);
	hca_rx_idle(qp);
	hca_mw_end_qp(qp);
	hca_timer_destroy(&qp->timer);
	qp->transport->reset(qp); /* the wire's call wants nothing of it any more */
	hca_eq_cancel(hca->eq, &qp->event);
	forget(qp);
	count_users(qp, (u32)-1);
	hca->transport->destroy(qp);
	leave_place(hca, qp, hca_no_qp, told);
	free_queues(qp);
	hca_free(qp);
}

/* Back to how it was made: nothing queued, nothing set, nothing of it left in the completion queues (IBTA 10.3.1.1). */
static void reset(struct hca_qp *qp)
{
	hca_irqflags_t flags;

	stop(qp);
	wait_for_users(qp); /* RDMA takes no rx: what found it before has ended, and finds no next life */
	hca_rx_wait(qp);
	hca_spin_lock(&qp->lock, flags);
	qp->retries = 0;
	qp->rnr_retries = 0;
	qp->repeated = 0;
	qp->drain_wanted = false;
	qp->last_wqe = false;
	hca_store(&qp->established, false);
	hca_store(&qp->moved, 0u);
	hca_store(&qp->why, 0u);
	hca_memset(&qp->attr, 0, sizeof(qp->attr));
	hca_spin_unlock(&qp->lock, flags);
	qp->rx.taken = false;
	hca_rq_drop(&qp->rq);
	forget(qp);
	qp->transport->reset(qp);
	hca_spin_lock(&qp->lock, flags);
	hca_store(&qp->running, false);
	hca_spin_unlock(&qp->lock, flags);
	hca_rx_leave(qp);
}

/* --- states --- */

void hca_qp_publish(struct hca_qp *qp)
{
	const struct hca_qp_attr *a = &qp->attr;

	hca_spin_assert(&qp->lock);
	hca_store(&qp->access, a->qp_access_flags);
	hca_store(&qp->qkey, a->qkey);
	hca_store(&qp->rnr_timer, (u32)a->min_rnr_timer);
	hca_store(&qp->rd_limit, (u32)a->max_dest_rd_atomic);
	hca_store(&qp->source, a->ah.is_global ? (u32)a->ah.grh.sgid_index : 0);
	if (qp->peer >> 32 && a->ah.dlid && a->ah.dlid != qp->peer >> 32)
		hca_store(&qp->moved, 1u);
	hca_store(&qp->peer, hca_peer(a->ah.dlid, a->dest_qp_num));
}

static void take_attr(struct hca_qp *qp, const struct hca_qp_attr *a, u32 mask)
{
	struct hca_qp_attr *to = &qp->attr;

	if (mask & HCA_QP_ACCESS_FLAGS)
		to->qp_access_flags = a->qp_access_flags;
	if (mask & HCA_QP_PKEY_INDEX)
		to->pkey_index = a->pkey_index;
	if (mask & HCA_QP_PORT)
		to->port_num = a->port_num;
	if (mask & HCA_QP_QKEY)
		to->qkey = a->qkey;
	if (mask & HCA_QP_AV)
		to->ah = a->ah;
	if (mask & HCA_QP_PATH_MTU)
		to->path_mtu = a->path_mtu;
	if (mask & HCA_QP_TIMEOUT)
		to->timeout = a->timeout;
	if (mask & HCA_QP_RETRY_CNT)
		to->retry_cnt = a->retry_cnt;
	if (mask & HCA_QP_RNR_RETRY)
		to->rnr_retry = a->rnr_retry;
	if (mask & HCA_QP_RQ_PSN)
		to->rq_psn = a->rq_psn;
	if (mask & HCA_QP_MAX_QP_RD_ATOMIC)
		to->max_rd_atomic = a->max_rd_atomic;
	if (mask & HCA_QP_MIN_RNR_TIMER)
		to->min_rnr_timer = a->min_rnr_timer;
	if (mask & HCA_QP_SQ_PSN)
		to->sq_psn = a->sq_psn;
	if (mask & HCA_QP_MAX_DEST_RD_ATOMIC)
		to->max_dest_rd_atomic = a->max_dest_rd_atomic;
	if (mask & HCA_QP_DEST_QPN)
		to->dest_qp_num = a->dest_qp_num;
	hca_qp_publish(qp);
}

/* A change of state, and, if it is refused, why: that is said when the lock isn't held any more. */
struct transition {
	enum hca_qp_state cur;
	enum hca_qp_state next;
	struct hca_qp_refusal why;
};

static int refuse_value(struct transition *t, u32 attr, const char *field, u64 value, const char *rule)
{
	t->why = (struct hca_qp_refusal){
		.what = HCA_QP_VALUE, .attrs = attr, .field = field, .value = value, .rule = rule
	};
	return -EINVAL; /* refuse_change() says why */
}

static HCA_COLD int refuse_change(const struct hca_qp *qp, const struct transition *t, int err)
{
	const char *from = hca_qp_state_name(t->cur), *to = hca_qp_state_name(t->next);
	char text[256];

	if (err == -EBUSY)
		return hca_refuse(err,
				  "%s QP %u (%s): not changed: the send queue is draining still; wait for SQ_DRAINED",
				  qp->hca->name, qp->qpn, hca_qp_type_name(qp->type));
	return hca_refuse(err, "%s QP %u (%s): not changed from %s to %s: %s", qp->hca->name, qp->qpn,
			  hca_qp_type_name(qp->type), from, to, hca_qp_refusal_str(&t->why, text, sizeof(text)));
}

/* The lock is held: the state can't be another one than was checked. */
static int change(struct hca_qp *qp, const struct hca_qp_attr *a, u32 mask, struct transition *t)
{
	enum hca_qp_state cur = (enum hca_qp_state)qp->state, *next = &t->next;
	int err;

	hca_spin_assert(&qp->lock);
	t->cur = cur;
	*next = mask & HCA_QP_STATE ? a->qp_state : cur;
	if (mask & HCA_QP_CUR_STATE && a->cur_qp_state != cur)
		return refuse_value(t, HCA_QP_CUR_STATE, "cur_qp_state", a->cur_qp_state, "the state that it is in");
	err = hca_qp_check_modify(qp->type, cur, *next, mask, &t->why);
	if (!err)
		err = hca_qp_check_attr(a, mask, &qp->hca->limits, &t->why);
	if (!err && mask & HCA_QP_AV && a->ah.is_global && !hca_gid_at(&qp->hca->gids, a->ah.grh.sgid_index))
		err = refuse_value(t, HCA_QP_AV, "ah_attr.grh.sgid_index", a->ah.grh.sgid_index,
				   "an entry of the GID table that is set");
	if (err || *next == HCA_QPS_RESET || *next == HCA_QPS_ERR)
		return err;
	/* Only RESET and ERR end the draining early (IBTA 10.3.1.5). */
	if (cur == HCA_QPS_SQD && !qp->transport->drained(qp))
		return -EBUSY; /* refuse_change() says why */
	take_attr(qp, a, mask);
	qp->transport->modified(qp, mask);
	if (*next == HCA_QPS_SQD && cur != HCA_QPS_SQD)
		qp->drain_wanted = mask & HCA_QP_EN_SQD_ASYNC_NOTIFY && a->en_sqd_async_notify;
	hca_store_release(&qp->state, (u32)*next);
	hca_qp_share(qp);
	return 0;
}

int hca_qp_modify(struct hca_qp *qp, const struct hca_qp_attr *attr, u32 mask)
{
	struct transition t;
	hca_irqflags_t flags;
	int err;

	hca_spin_lock(&qp->lock, flags);
	err = change(qp, attr, mask, &t);
	hca_spin_unlock(&qp->lock, flags);
	if (err)
		return refuse_change(qp, &t, err);
	if (t.next == HCA_QPS_RESET)
		reset(qp);
	else if (t.next == HCA_QPS_ERR)
		hca_qp_to_error(qp, 0);
	else
		hca_qp_run(qp);
	hca_eq_run(qp->hca->eq);
	return 0;
}

void hca_qp_query(struct hca_qp *qp, struct hca_qp_attr *attr, struct hca_qp_init *init)
{
	const struct hca_qp_cap cap = {
		.max_send_wr = qp->sq.size,
		.max_recv_wr = qp->rq.size,
		.max_send_sge = qp->max_send_sge,
		.max_recv_sge = qp->rq.max_sge,
		.max_inline_data = qp->max_inline,
	};
	hca_irqflags_t flags;

	if (attr) {
		hca_spin_lock(&qp->lock, flags);
		*attr = qp->attr;
		attr->qp_state = (enum hca_qp_state)qp->state;
		attr->sq_draining = qp->state == HCA_QPS_SQD && !qp->transport->drained(qp);
		hca_spin_unlock(&qp->lock, flags);
		attr->cur_qp_state = attr->qp_state;
		attr->cap = cap;
	}
	if (init)
		*init = (struct hca_qp_init){
			.type = qp->type,
			.pd = qp->pd,
			.send_cq = qp->send_cq,
			.recv_cq = qp->recv_cq,
			.srq = qp->srq,
			.xrcd = qp->xrcd,
			.max_send_wr = cap.max_send_wr,
			.max_recv_wr = cap.max_recv_wr,
			.max_send_sge = cap.max_send_sge,
			.max_recv_sge = cap.max_recv_sge,
			.max_inline = cap.max_inline_data,
			.sq_sig_all = qp->sq_sig_all,
			.block_mcast_loopback = qp->block_mcast_loopback,
			.user = qp->user,
		};
}
