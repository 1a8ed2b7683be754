/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The life of a soak's connections: their owners take the ends down, by RESET, by ERR, or by destroying the
 * queue pair, each while others post, and when both are down one of the two connects them again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "soak.h"

#define SECOND 1000000000ull

void soak_create(struct soak_end *e)
{
	const struct hca_qp_init init = {
		.type = e->link->type,
		.pd = &e->side->pd,
		.send_cq = &e->cq->cq,
		.recv_cq = &e->cq->cq,
		.srq = e->srq ? &e->side->srq : NULL,
		.max_send_wr = SOAK_SQ,
		.max_recv_wr = e->srq ? 0 : SOAK_RQ,
		.max_send_sge = 3,
		.max_recv_sge = e->srq ? 0 : 2,
		.max_inline = 64,
		.user = e,
	};
	int err;

	hca_store_release(&e->alive, 1u);
	err = hca_qp_create(&e->side->hca, &init, &e->qp);
	soak_check(e, !err, -err, 0);
	if (err)
		assert_int_equal(err, 0);
	hca_store(&e->qpn, e->qp->qpn);
}

static int modify(struct soak_end *e, enum hca_qp_state to)
{
	const struct hca_qp_attr at = { .qp_state = to };

	return hca_qp_modify(e->qp, &at, HCA_QP_STATE);
}

/* --- up --- */

static int connect_end(struct soak_end *e)
{
	const struct soak_link *l = e->link;
	struct hca_qp_attr at = {
		.path_mtu = HCA_MTU_256 + l->index % 5,
		.qkey = 0x11,
		.rq_psn = e->peer->psn & 0xffffff,
		.sq_psn = e->psn & 0xffffff,
		.dest_qp_num = e->peer->qp->qpn,
		.qp_access_flags = HCA_ACCESS_REMOTE,
		.ah = { .dlid = (u16)e->peer->side->hca.lid, .port_num = 1 },
		.port_num = 1,
		.max_rd_atomic = 4,
		.max_dest_rd_atomic = 4,
		.min_rnr_timer = 1,
		.timeout = l->timeout,
		.retry_cnt = 7,
		.rnr_retry = 7,
	};
	const struct hca_gid *gid = hca_gid_at(&e->peer->side->hca.gids, 0);
	u32 masks[] = { HCA_QP_PKEY_INDEX | HCA_QP_PORT, 0, HCA_QP_SQ_PSN }, i;

	if (l->index % 4 == 2) {
		at.ah.is_global = 1;
		at.ah.grh = (struct hca_grh_attr){ .dgid = *gid, .hop_limit = 1 };
	}
	masks[0] |= l->type == HCA_QPT_UD ? HCA_QP_QKEY : HCA_QP_ACCESS_FLAGS;
	if (l->type != HCA_QPT_UD)
		masks[1] |= HCA_QP_AV | HCA_QP_PATH_MTU | HCA_QP_DEST_QPN | HCA_QP_RQ_PSN;
	if (l->type == HCA_QPT_RC) {
		masks[1] |= HCA_QP_MAX_DEST_RD_ATOMIC | HCA_QP_MIN_RNR_TIMER;
		masks[2] |= HCA_QP_TIMEOUT | HCA_QP_RETRY_CNT | HCA_QP_RNR_RETRY | HCA_QP_MAX_QP_RD_ATOMIC;
	}
	for (i = 0; i < 3; i++) {
		at.qp_state = HCA_QPS_INIT + i;
		if (hca_qp_modify(e->qp, &at, HCA_QP_STATE | masks[i]))
			return -EINVAL;
	}
	return 0;
}

/* Both ends are down, and nobody posts: nothing has moved since their queue pairs were reset. */
static void begin(struct soak_thread *t, struct soak_end *e)
{
	u32 p;

	for (p = 0; p < SOAK_RQ; p++)
		soak_check(e, soak_untouched(e->ram->recv[p], SOAK_RECV), p, 0);
	for (p = 0; p < SOAK_POSTERS; p++) {
		e->poster[p].msg = 0;
		e->poster[p].adds = hca_load(&e->peer->ram->counter[p]);
		hca_store(&e->next_msg[p], 0u);
	}
	e->last_wqe = 0;
	e->marks = 0;
	e->marked = false;
	e->sqd = false;
	hca_store(&e->broken, 0u);
	/* Far ahead: what is late on the way is old to the new connection. */
	e->psn += 0x200000 + soak_random(t, 0x10000);
}

static void up(struct soak_end *e)
{
	hca_store(&e->closing, 0u);
	hca_store_release(&e->state, (u32)SOAK_UP);
}

static void connect(struct soak_thread *t, struct soak_link *l)
{
	if (pthread_mutex_trylock(&l->end[0].ctl))
		return;
	if (pthread_mutex_trylock(&l->end[1].ctl))
		goto unlock;
	if (hca_load_acquire(&l->end[0].state) == SOAK_DOWN && hca_load_acquire(&l->end[1].state) == SOAK_DOWN) {
		l->conn++;
		begin(t, &l->end[0]);
		begin(t, &l->end[1]);
		hca_store(&l->disturbed, 0u);
		soak_check(&l->end[0], !connect_end(&l->end[0]), l->type, 0);
		soak_check(&l->end[1], !connect_end(&l->end[1]), l->type, 0);
		soak_count(l->s, connects, 1);
		up(&l->end[0]);
		up(&l->end[1]);
	}
	pthread_mutex_unlock(&l->end[1].ctl);
unlock:
	pthread_mutex_unlock(&l->end[0].ctl);
}

/* --- down --- */

/* Nobody posts, and the queue pair is in RESET or gone: nothing that was posted completes any more. */
static void forget(struct soak_end *e)
{
	u32 p;

	pthread_mutex_lock(&e->cq->lock);
	e->gen++;
	for (p = 0; p < SOAK_POSTERS; p++) {
		e->poster[p].head = e->poster[p].tail;
		e->poster[p].failed = false;
	}
	e->recv_head = e->recv_tail;
	pthread_mutex_unlock(&e->cq->lock);
	soak_key_destroy(e);
	memset(e->ram->recv, SOAK_CANARY, sizeof(e->ram->recv));
}

static void down(struct soak_end *e, bool destroy)
{
	/* Requests may still be posted while it's being reset, but none when it's destroyed. */
	if (!destroy)
		soak_check(e, !modify(e, HCA_QPS_RESET), 0, 0);
	pthread_rwlock_wrlock(&e->use);
	if (destroy) {
		hca_qp_destroy(e->qp);
		hca_store_release(&e->alive, 0u);
		soak_count(soak_of(e), destroys, 1);
	}
	forget(e);
	if (destroy)
		soak_create(e);
	hca_store_release(&e->state, (u32)SOAK_DOWN);
	pthread_rwlock_unlock(&e->use);
}

void soak_to_error(struct soak_end *e)
{
	hca_store(&e->link->disturbed, 1u);
	hca_store_release(&e->closing, 1u);
	soak_check(e, !modify(e, HCA_QPS_ERR), 0, 0);
	e->since = hca_now_ns();
	hca_store_release(&e->state, (u32)SOAK_DRAINING);
}

static void take_down(struct soak_thread *t, struct soak_end *e)
{
	u32 how = soak_random(t, 4);

	hca_store_release(&e->link->disturbed, 1u);
	/* What a queue pair took from a shared queue is told by its last completions alone. */
	if (e->srq || how < 2) {
		soak_to_error(e);
		return;
	}
	if (soak_random(t, 2))
		hca_store_release(&e->closing, 1u);
	down(e, how == 2);
}

/* Marks behind everything else in both queues; receives that wait in a shared queue stay there. */
static void mark(struct soak_end *e)
{
	const struct soak_req r = { .op = SOAK_MARK, .signaled = true };
	struct hca_send_wr wr = { .opcode = HCA_WR_SEND };

	if (soak_post(e, 0, &wr, &r))
		return;
	e->marked = true;
	soak_check(e, hca_rx_last(e->qp, soak_tag(e, SOAK_OF_MARK, 0)), 0, 0);
}

/* Every request has completed, or was not signaled and done before the first that failed. */
static void check_drained(struct soak_end *e)
{
	u32 p, i;

	pthread_mutex_lock(&e->cq->lock);
	for (p = 0; p < SOAK_POSTERS; p++)
		for (i = e->poster[p].head; i != e->poster[p].tail; i++)
			soak_check(e, !e->poster[p].failed && !e->poster[p].req[i % SOAK_REQS].signaled, p, i);
	soak_check(e, e->recv_head == e->recv_tail, e->recv_head, e->recv_tail);
	pthread_mutex_unlock(&e->cq->lock);
	soak_check(e, hca_load(&e->last_wqe) == e->srq, e->last_wqe, e->srq);
}

static void drain(struct soak_thread *t, struct soak_end *e)
{
	if (hca_now_ns() - e->since > SOAK_PATIENCE * SECOND) {
		soak_wrong(e, __LINE__, "it drains in time", e->marks, e->last_wqe);
		e->since = hca_now_ns();
	}
	if (!e->marked) {
		pthread_rwlock_wrlock(&e->use); /* the guest's last post is over */
		pthread_rwlock_unlock(&e->use);
		mark(e);
	}
	if (hca_load_acquire(&e->marks) < 2 || (e->srq && !hca_load(&e->last_wqe)))
		return;
	check_drained(e);
	down(e, soak_random(t, 4) == 0);
}

/* --- a moment of an end's life, by its owner --- */

static void send_queue_drain(struct soak_thread *t, struct soak_end *e, u32 chaos)
{
	int err;

	if (!e->sqd) {
		e->sqd = chaos && soak_random(t, chaos) == 0 && !modify(e, HCA_QPS_SQD);
		return;
	}
	err = modify(e, HCA_QPS_RTS);
	/* It may be in error, and nobody has polled that yet. */
	soak_check(e, !err || err == -EBUSY || soak_may_fail(e), -err, 0);
	e->sqd = err == -EBUSY;
}

/* Queues change their size while they are used. */
static void resize(struct soak_thread *t, struct soak_end *e)
{
	const struct hca_srq_attr srq = { .max_wr = SOAK_SRQ + soak_random(t, SOAK_SRQ), .srq_limit = SOAK_SRQ / 4 };

	if (soak_random(t, 2))
		soak_check(e, !hca_cq_resize(&e->cq->cq, SOAK_CQE + soak_random(t, SOAK_CQE)), 0, 0);
	else
		soak_check(e, !hca_srq_modify(&e->side->srq, &srq, HCA_SRQ_LIMIT | HCA_SRQ_MAX_WR), 0, 0);
}

static void live(struct soak_thread *t, struct soak_end *e, u32 chaos)
{
	struct hca_qp_attr at;

	if (e->srq)
		soak_stock_srq(e->side, soak_random(t, SOAK_SRQ));
	else
		soak_post_receives(e);
	send_queue_drain(t, e, 2 * chaos);
	if (chaos && soak_random(t, 50) == 0) {
		hca_qp_query(e->qp, &at, NULL);
		if (at.qp_state == HCA_QPS_ERR || at.qp_state == HCA_QPS_SQE)
			hca_store(&e->broken, 1u);
	}
	if (chaos && soak_random(t, 2 * chaos) == 0)
		resize(t, e);
	if (chaos && (hca_load_acquire(&e->broken) || hca_load_acquire(&e->peer->state) != SOAK_UP ||
		      soak_random(t, chaos) == 0))
		take_down(t, e);
	else if (chaos && e->link->keys)
		soak_key_tick(t, e);
}

void soak_tick(struct soak_thread *t, struct soak_end *e, u32 chaos)
{
	if (pthread_mutex_trylock(&e->ctl))
		return;
	switch ((enum soak_state)hca_load_acquire(&e->state)) {
	case SOAK_UP:
		live(t, e, chaos);
		break;
	case SOAK_DRAINING:
		drain(t, e);
		break;
	case SOAK_DOWN:
		break;
	}
	pthread_mutex_unlock(&e->ctl);
	if (chaos && hca_load_acquire(&e->state) == SOAK_DOWN && hca_load_acquire(&e->peer->state) == SOAK_DOWN)
		connect(t, e->link);
}
