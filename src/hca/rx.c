/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One thread at a time takes in what a queue pair's peer sends: so receive requests
 * complete in the order they were posted, and nothing is written to one that was
 * flushed. A thread that finds another at it leaves a note and goes; it doesn't wait.
 */
#include "hca/qp.h"

/* What one thread takes in for others before a worker goes on in its place. */
#define BUDGET 64u

enum hca_rx_entered hca_rx_enter_or_leave(struct hca_qp *qp, struct hca_rx_node *node, u32 room)
{
	enum hca_rx_entered entered = HCA_RX_OURS;
	struct hca_rx *rx = &qp->rx;
	hca_irqflags_t flags;

	hca_spin_lock(&rx->lock, flags);
	if (rx->busy && rx->waiting >= room) {
		entered = HCA_RX_FULL;
	} else if (rx->busy) {
		entered = HCA_RX_LEFT;
		node->next = NULL;
		*rx->backlog_end = node;
		rx->backlog_end = &node->next;
		rx->waiting++;
	}
	rx->busy = true;
	hca_spin_unlock(&rx->lock, flags);
	return entered;
}

/* A target has no CQ: the message's queue has one. */
static bool note_xrc(struct hca_qp *qp, struct hca_wc *wc, bool solicited)
{
	struct hca_srq *srq = qp->rx.srq;
	bool lost;

	wc->user = srq->user;
	lost = hca_qp_note_at(qp, srq->cq, &srq->recvs, wc, solicited);
	qp->rx.srq = NULL;
	hca_fetch_add(&srq->users, (u32)-1);
	return lost;
}

void hca_rx_complete(struct hca_qp *qp, struct hca_wc *wc, bool solicited)
{
	bool lost;

	qp->rx.taken = false;
	lost = hca_likely(qp->recv_cq) ? hca_qp_note(qp, false, wc, solicited) : note_xrc(qp, wc, solicited);
	/* A completion that is lost is the end of its queue pair (IBTA 10.2.6.3). */
	if (hca_unlikely(lost))
		hca_qp_to_error(qp, HCA_EVENT_QP_FATAL);
}

static void flush_taken(struct hca_qp *qp)
{
	struct hca_wc wc = { .wr_id = qp->rx.wqe->wr_id, .status = HCA_WC_WR_FLUSH_ERR, .opcode = HCA_WC_RECV };

	hca_rx_complete(qp, &wc, false);
}

static void flush(struct hca_qp *qp)
{
	hca_irqflags_t flags;
	bool last;

	if (hca_load(&qp->state) != HCA_QPS_ERR)
		return;
	if (qp->rx.taken)
		flush_taken(qp);
	while (!qp->srq && hca_load(&qp->state) == HCA_QPS_ERR && hca_rq_take(&qp->rq, qp->rx.wqe, NULL))
		flush_taken(qp);
	hca_spin_lock(&qp->lock, flags);
	last = qp->last_wqe;
	qp->last_wqe = false;
	hca_spin_unlock(&qp->lock, flags);
	if (last)
		hca_qp_tell(qp, HCA_EVENT_QP_LAST_WQE_REACHED);
}

static struct hca_rx_node *take_node(struct hca_rx *rx)
{
	struct hca_rx_node *node = rx->backlog;

	hca_spin_assert(&rx->lock);
	if (!node)
		return NULL;
	rx->backlog = node->next;
	if (!rx->backlog)
		rx->backlog_end = &rx->backlog;
	rx->waiting--;
	return node;
}

struct hca_rx_node *hca_rx_left(struct hca_qp *qp)
{
	struct hca_rx_node *node;
	hca_irqflags_t flags;

	hca_spin_lock(&qp->rx.lock, flags);
	node = take_node(&qp->rx);
	hca_spin_unlock(&qp->rx.lock, flags);
	return node;
}

/* @budget: pieces of others' that we take in. */
static void leave(struct hca_qp *qp, u32 budget, hca_irqflags_t flags)
{
	struct hca_rx *rx = &qp->rx;
	struct hca_rx_node *node;
	bool asked;

	hca_spin_assert(&rx->lock);
	for (;;) {
		asked = rx->flush;
		rx->flush = false;
		node = asked || !budget ? NULL : take_node(rx);
		if (!asked && !node)
			break;
		hca_spin_unlock(&rx->lock, flags);
		if (asked)
			flush(qp);
		else if (!qp->transport->late(qp, node))
			return;
		budget -= !asked;
		hca_spin_lock(&rx->lock, flags);
	}
	if (rx->backlog) {
		hca_spin_unlock(&rx->lock, flags);
		hca_qp_want(qp, HCA_QP_RX, true);
		return;
	}
	rx->busy = false;
	hca_spin_unlock(&rx->lock, flags);
}

void hca_rx_leave_asked(struct hca_qp *qp, hca_irqflags_t flags)
{
	leave(qp, BUDGET, flags);
}

void hca_rx_leave_inside(struct hca_qp *qp)
{
	hca_irqflags_t flags;

	hca_spin_lock(&qp->rx.lock, flags);
	leave(qp, 0, flags);
}

void hca_rx_resume(struct hca_qp *qp)
{
	qp->transport->resume(qp);
	hca_rx_leave(qp);
}

void hca_rx_flush(struct hca_qp *qp)
{
	hca_irqflags_t flags;
	bool busy, ended;

	/* Looked at under the lock: it may have been reset since this was asked for, and what comes in now is to find rx free. */
	hca_spin_lock(&qp->rx.lock, flags);
	ended = hca_load(&qp->state) == HCA_QPS_ERR;
	busy = qp->rx.busy;
	if (ended) {
		qp->rx.busy = true;
		qp->rx.flush = true;
	}
	hca_spin_unlock(&qp->rx.lock, flags);
	if (ended && !busy)
		hca_rx_leave(qp);
}

/* Where a worker is to go on in a thread's place, go on ourselves: we may be the worker. */
static void relieve(struct hca_qp *qp)
{
	if (hca_load(&qp->wants) & HCA_QP_RX && hca_fetch_and(&qp->wants, ~HCA_QP_RX) & HCA_QP_RX)
		hca_rx_resume(qp);
}

void hca_rx_wait(struct hca_qp *qp)
{
	u32 turns = 0;

	while (!hca_rx_enter(qp)) {
		relieve(qp);
		hca_relax(&turns);
	}
}

void hca_rx_idle(struct hca_qp *qp)
{
	hca_rx_wait(qp);
	hca_rx_leave(qp);
}

bool hca_rx_last(struct hca_qp *qp, u64 wr_id)
{
	struct hca_wc wc = { .wr_id = wr_id, .status = HCA_WC_WR_FLUSH_ERR, .opcode = HCA_WC_RECV };
	bool lost;

	/* RDMA that found it before it was in error has ended. */
	hca_quiesce_wait_of(&qp->hca->quiesce, hca_qp_user(qp));
	hca_rx_wait(qp);
	flush(qp);
	lost = hca_qp_note(qp, false, &wc, false);
	hca_rx_leave(qp);
	hca_eq_run(qp->hca->eq);
	return !lost;
}
