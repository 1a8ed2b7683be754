/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Adapters and queue pairs: making, changing, ending them, and what they tell their
 * consumer. The paths of messages are in send.c and recv.c.
 */
#include "hca/flow.h"

#define MAX_QPS (1u << 20)
#define FIRST_QPN 0x11u /* 0 and 1 are the management queue pairs */
#define QPN_MASK 0xffffffu
#define MAX_RD_ATOMIC 16u

/* The link-local prefix, and a GUID of our own making (locally administered) that is unique on the wire. */
static void set_gid(struct hca *hca)
{
	hca->gid.raw[0] = 0xfe;
	hca->gid.raw[1] = 0x80;
	hca->gid.raw[8] = 0x02;
	hca->gid.raw[14] = (u8)(hca->lid >> 8);
	hca->gid.raw[15] = (u8)hca->lid;
}

int hca_init(struct hca *hca, struct hca_wire *wire, struct hca_mem *mem, u32 max_qp, u32 max_keys)
{
	u32 slots = 16;
	int err;

	if (!max_qp || max_qp > MAX_QPS)
		return -EINVAL;
	while (slots < 2 * max_qp)
		slots *= 2;
	hca_memset(hca, 0, sizeof(*hca));
	hca->wire = wire;
	hca->mem = mem;
	hca->qp_slots = slots;
	hca->qp_next = FIRST_QPN;
	hca->limits = (struct hca_qp_limits){
		.ports = 1,
		.max_mtu = HCA_MTU_4096,
		.pkeys = 1,
		.gids = 1,
		.max_rd_atomic = MAX_RD_ATOMIC,
		.max_dest_rd_atomic = MAX_RD_ATOMIC,
	};
	hca_spin_init(&hca->qp_lock);
	hca_spin_init(&hca->mcast_lock);
	hca_spin_init(&hca->mw_lock);
	hca->qp = hca_alloc(slots * sizeof(*hca->qp), HCA_MAY_SLEEP);
	if (!hca->qp)
		return -ENOMEM;
	err = hca_keys_init(&hca->keys, max_keys);
	if (err)
		goto free_table;
	err = wire->ops->attach(wire, hca, &hca->lid);
	if (err)
		goto fini_keys;
	set_gid(hca);
	return 0;
fini_keys:
	hca_keys_fini(&hca->keys);
free_table:
	hca_free(hca->qp);
	return err;
}

int hca_fini(struct hca *hca)
{
	if (hca->qps || hca->keys.used)
		return -EBUSY;
	hca->wire->ops->detach(hca->wire, hca->lid);
	hca_keys_fini(&hca->keys);
	hca_free(hca->qp);
	return 0;
}

/* --- telling the consumer --- */

static void fire_cq(struct hca_eq_node *node)
{
	struct hca_cq *cq = hca_container_of(node, struct hca_cq, event);
	u32 wants = hca_xchg(&cq->wants, 0u);

	if (wants & HCA_WANT_CQ_ERR && cq->hca->event)
		cq->hca->event(cq->hca, HCA_EVENT_CQ_ERR, cq);
	if (wants & HCA_WANT_COMP && cq->handler)
		cq->handler(cq);
}

int hca_cq_init(struct hca_cq *cq, struct hca *hca, u32 capacity, void (*handler)(struct hca_cq *cq))
{
	int err = hca_cq_ring_init(&cq->ring, capacity);

	if (err)
		return err;
	cq->hca = hca;
	cq->handler = handler;
	cq->wants = 0;
	cq->event = (struct hca_eq_node){ .fire = fire_cq };
	return 0;
}

int hca_cq_quiet(struct hca_cq *cq)
{
	if (hca_load_acquire(&cq->ring.users))
		return -EBUSY;
	hca_eq_cancel(&cq->hca->wire->eq, &cq->event);
	return 0;
}

int hca_cq_fini(struct hca_cq *cq)
{
	int err = hca_cq_quiet(cq);

	if (!err)
		hca_cq_ring_fini(&cq->ring);
	return err;
}

/* Those that come in, and those that have something left to finish. */
void hca_qp_wait(struct hca_qp *qp)
{
	hca_quiesce_wait(&qp->hca->wire->quiesce);
	while (hca_load_acquire(&qp->holds))
		hca_pause();
}

static void fire_qp(struct hca_eq_node *node)
{
	struct hca_qp *qp = hca_container_of(node, struct hca_qp, event);
	u32 wants = hca_xchg(&qp->wants, 0u);
	u32 type;

	if (wants & HCA_QP_FLUSH) {
		hca_rq_flush(qp);
		hca_sq_run(qp);
		wants &= ~HCA_QP_FLUSH;
	}
	/* Whoever took a request of the shared queue for this queue pair has completed it when the event comes (IBTA 10.3.1.5). */
	if (wants & 1u << HCA_EVENT_QP_LAST_WQE_REACHED)
		hca_qp_wait(qp);
	for (type = 0; wants; type++, wants >>= 1)
		if (wants & 1 && qp->hca->event)
			qp->hca->event(qp->hca, (enum hca_event_type)type, qp);
}

void hca_qp_tell(struct hca_qp *qp, enum hca_event_type event)
{
	hca_fetch_or(&qp->wants, 1u << event);
	hca_eq_add(&qp->hca->wire->eq, &qp->event);
}

static void want_cq(struct hca_cq *cq, u32 what)
{
	hca_fetch_or(&cq->wants, what);
	hca_eq_add(&cq->hca->wire->eq, &cq->event);
}

void hca_cq_again(struct hca_cq *cq)
{
	want_cq(cq, HCA_WANT_COMP);
}

bool hca_qp_note(struct hca_qp *qp, struct hca_cq *cq, struct hca_wc *wc, bool solicited)
{
	wc->qp_num = qp->qpn;
	wc->user = qp->user;
	switch (hca_cq_ring_add(&cq->ring, wc, solicited)) {
	case HCA_CQ_QUIET:
		return false;
	case HCA_CQ_NOTIFY:
		want_cq(cq, HCA_WANT_COMP);
		return false;
	case HCA_CQ_OVERFLOW:
		want_cq(cq, HCA_WANT_CQ_ERR);
		break;
	case HCA_CQ_LOST:
		break;
	}
	return true;
}

void hca_qp_complete(struct hca_qp *qp, struct hca_cq *cq, struct hca_wc *wc, bool solicited)
{
	/* A completion that is lost is the end of its queue pair (IBTA 10.2.6.3). */
	if (hca_unlikely(hca_qp_note(qp, cq, wc, solicited)))
		hca_qp_to_error(qp, HCA_EVENT_QP_FATAL);
}

/* --- making and ending --- */

static int check_init(const struct hca *hca, const struct hca_qp_init *in)
{
	if (!in->pd || !in->send_cq || !in->recv_cq || in->pd->keys != &hca->keys || in->send_cq->hca != hca ||
	    in->recv_cq->hca != hca)
		return -EINVAL;
	if (in->type != HCA_QPT_RC && in->type != HCA_QPT_UC && in->type != HCA_QPT_UD)
		return -EINVAL;
	if (in->max_send_wr > HCA_MAX_WR || in->max_recv_wr > HCA_MAX_WR || in->max_send_sge > HCA_MAX_SGE ||
	    in->max_recv_sge > HCA_MAX_SGE || in->max_inline > HCA_MAX_INLINE)
		return -EINVAL;
	if (in->srq && (in->srq->hca != hca || in->max_recv_wr))
		return -EINVAL;
	return 0;
}

static void on_timer(void *arg)
{
	struct hca_qp *qp = arg;
	hca_irqflags_t flags;

	if (qp->flow) {
		hca_flow_timeout(qp);
	} else {
		hca_spin_lock(&qp->lock, flags);
		qp->sq_waiting = false;
		hca_spin_unlock(&qp->lock, flags);
	}
	hca_sq_run(qp);
	hca_eq_run(&qp->hca->wire->eq);
}

/* A number whose slot is free, as long after its last use as can be. */
static int enter(struct hca *hca, struct hca_qp *qp)
{
	hca_irqflags_t flags;
	int err = -ENOSPC;
	u32 tries;

	hca_spin_lock(&hca->qp_lock, flags);
	for (tries = 0; tries < hca->qp_slots && hca->qps < hca->qp_slots / 2; tries++) {
		u32 qpn = hca->qp_next;

		hca->qp_next = qpn == QPN_MASK - 1 ? FIRST_QPN : qpn + 1;
		if (hca->qp[qpn & (hca->qp_slots - 1)])
			continue;
		qp->qpn = qpn;
		hca_store_release(&hca->qp[qpn & (hca->qp_slots - 1)], qp);
		hca->qps++;
		err = 0;
		break;
	}
	hca_spin_unlock(&hca->qp_lock, flags);
	return err;
}

static void leave(struct hca *hca, struct hca_qp *qp)
{
	hca_irqflags_t flags;

	hca_spin_lock(&hca->qp_lock, flags);
	hca_store(&hca->qp[qp->qpn & (hca->qp_slots - 1)], NULL);
	hca->qps--;
	hca_spin_unlock(&hca->qp_lock, flags);
}

static int make_sq(struct hca_qp *qp, const struct hca_qp_init *in)
{
	u32 room = HCA_MAX((u32)(in->max_send_sge * sizeof(struct hca_sge)), in->max_inline);

	qp->sq_size = HCA_MAX(in->max_send_wr, 1u);
	qp->sq_stride = (u32)((sizeof(struct hca_swqe) + room + 7) & ~7u);
	qp->sq = hca_alloc((size_t)qp->sq_size * qp->sq_stride, HCA_MAY_SLEEP);
	return qp->sq ? 0 : -ENOMEM;
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
	qp->hca = hca;
	qp->type = in->type;
	qp->pd = in->pd;
	qp->send_cq = in->send_cq;
	qp->recv_cq = in->recv_cq;
	qp->srq = in->srq;
	qp->max_send_sge = in->max_send_sge;
	qp->max_inline = in->max_inline;
	qp->sq_sig_all = in->sq_sig_all;
	qp->block_mcast_loopback = in->block_mcast_loopback;
	qp->user = in->user;
	qp->state = HCA_QPS_RESET;
	qp->event.fire = fire_qp;
	hca_spin_init(&qp->lock);
	hca_spin_init(&qp->rx_lock);
	err = make_sq(qp, in);
	if (err)
		goto free_qp;
	err = hca_rq_init(&qp->rq, in->max_recv_wr, in->max_recv_sge);
	if (err)
		goto free_sq;
	err = hca->wire->ops->xmit ? hca_flow_create(qp) : 0;
	if (err)
		goto fini_rq;
	err = hca_timer_init(&qp->timer, on_timer, qp);
	if (err)
		goto free_flow;
	err = enter(hca, qp);
	if (err)
		goto destroy_timer;
	hca_fetch_add(&in->pd->users, 1);
	hca_fetch_add(&in->send_cq->ring.users, 1);
	hca_fetch_add(&in->recv_cq->ring.users, 1);
	if (in->srq)
		hca_fetch_add(&in->srq->users, 1);
	*out = qp;
	return 0;
destroy_timer:
	hca_timer_destroy(&qp->timer);
free_flow:
	hca_free(qp->flow);
fini_rq:
	hca_rq_fini(&qp->rq);
free_sq:
	hca_free(qp->sq);
free_qp:
	hca_free(qp);
	return err;
}

/* The state tells whoever is sending to stop after the message it is at; wait for that. */
static void stop_sending(struct hca_qp *qp)
{
	hca_irqflags_t flags;

	hca_spin_lock(&qp->lock, flags);
	hca_store(&qp->state, (u32)HCA_QPS_RESET);
	qp->sq_waiting = false;
	qp->sq_begun = false;
	while (qp->sq_running) {
		hca_spin_unlock(&qp->lock, flags);
		hca_pause();
		hca_spin_lock(&qp->lock, flags);
	}
	hca_spin_unlock(&qp->lock, flags);
	hca_timer_stop(&qp->timer);
}

void hca_qp_destroy(struct hca_qp *qp)
{
	struct hca *hca = qp->hca;

	leave(hca, qp); /* no message finds it from now on */
	hca_mcast_end_qp(qp);
	stop_sending(qp);
	hca_qp_wait(qp); /* none that found it is under way */
	hca_mw_end_qp(qp);
	hca_timer_destroy(&qp->timer);
	hca_eq_cancel(&hca->wire->eq, &qp->event);
	hca_cq_ring_purge(&qp->send_cq->ring, qp->qpn);
	hca_cq_ring_purge(&qp->recv_cq->ring, qp->qpn);
	if (qp->srq)
		hca_fetch_add(&qp->srq->users, (u32)-1);
	hca_fetch_add(&qp->recv_cq->ring.users, (u32)-1);
	hca_fetch_add(&qp->send_cq->ring.users, (u32)-1);
	hca_fetch_add(&qp->pd->users, (u32)-1);
	hca_sq_drop(qp);
	hca_rq_fini(&qp->rq);
	hca_free(qp->flow);
	hca_free(qp->sq);
	hca_free(qp);
}

/* --- states --- */

void hca_qp_to_error(struct hca_qp *qp, u32 event)
{
	hca_irqflags_t flags;
	u32 was;

	hca_spin_lock(&qp->lock, flags);
	was = qp->state;
	if (was != HCA_QPS_RESET)
		hca_store(&qp->state, (u32)HCA_QPS_ERR);
	qp->sq_waiting = false;
	hca_spin_unlock(&qp->lock, flags);
	if (was == HCA_QPS_RESET || was == HCA_QPS_ERR)
		return;
	hca_timer_stop(&qp->timer);
	if (event)
		hca_qp_tell(qp, (enum hca_event_type)event);
	if (qp->srq)
		hca_qp_tell(qp, HCA_EVENT_QP_LAST_WQE_REACHED);
	/* What was posted is flushed from the event queue: we may be anywhere, and inside. */
	hca_fetch_or(&qp->wants, HCA_QP_FLUSH);
	hca_eq_add(&qp->hca->wire->eq, &qp->event);
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
}

/* Back to how it was made: nothing queued, nothing set, nothing of it left in the completion queues (IBTA 10.3.1.1). */
static void reset(struct hca_qp *qp)
{
	hca_irqflags_t flags;

	stop_sending(qp);
	hca_qp_wait(qp);
	hca_sq_drop(qp);
	if (qp->flow)
		hca_flow_reset(qp);
	qp->retries = 0;
	qp->rnr_retries = 0;
	hca_store(&qp->established, false);
	hca_memset(&qp->attr, 0, sizeof(qp->attr));
	/* Who flushes, still, because it was in error, has looked at the state before we had the lock, or finds another now. */
	hca_spin_lock(&qp->rx_lock, flags);
	hca_rq_drop(&qp->rq);
	hca_spin_unlock(&qp->rx_lock, flags);
	hca_cq_ring_purge(&qp->send_cq->ring, qp->qpn);
	hca_cq_ring_purge(&qp->recv_cq->ring, qp->qpn);
}

/* The lock is held: the state can't be another one than was checked. */
static int change(struct hca_qp *qp, const struct hca_qp_attr *a, u32 mask, enum hca_qp_state *next)
{
	enum hca_qp_state cur = (enum hca_qp_state)qp->state;
	int err;

	hca_spin_assert(&qp->lock);
	if (mask & HCA_QP_CUR_STATE && a->cur_qp_state != cur)
		return -EINVAL;
	*next = mask & HCA_QP_STATE ? a->qp_state : cur;
	err = hca_qp_check_modify(qp->type, cur, *next, mask);
	if (!err)
		err = hca_qp_check_attr(a, mask, &qp->hca->limits);
	if (err || *next == HCA_QPS_RESET || *next == HCA_QPS_ERR)
		return err;
	take_attr(qp, a, mask);
	if (qp->flow)
		hca_flow_modified(qp, mask);
	if (*next == HCA_QPS_SQD && cur != HCA_QPS_SQD)
		qp->drain_wanted = mask & HCA_QP_EN_SQD_ASYNC_NOTIFY && a->en_sqd_async_notify;
	hca_store_release(&qp->state, (u32)*next);
	return 0;
}

int hca_qp_modify(struct hca_qp *qp, const struct hca_qp_attr *attr, u32 mask)
{
	enum hca_qp_state next = HCA_QPS_RESET;
	hca_irqflags_t flags;
	int err;

	hca_spin_lock(&qp->lock, flags);
	err = change(qp, attr, mask, &next);
	hca_spin_unlock(&qp->lock, flags);
	if (err)
		return err;
	if (next == HCA_QPS_RESET)
		reset(qp);
	else if (next == HCA_QPS_ERR)
		hca_qp_to_error(qp, 0);
	else
		hca_sq_run(qp);
	hca_eq_run(&qp->hca->wire->eq);
	return 0;
}

void hca_qp_query(struct hca_qp *qp, struct hca_qp_attr *attr, struct hca_qp_init *init)
{
	const struct hca_qp_cap cap = {
		.max_send_wr = qp->sq_size,
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
