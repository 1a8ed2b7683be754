/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Queue pairs of IDs: their creation, with completion queues if the program brings none,
 * and their states, into which goes what the two sides have told each other.
 */
#include "rdmacm.h"

#include <rdma/rdma_verbs.h>

#include <string.h>

#define TIMEOUT 18u /* code: 1 s; nothing is lost between processes, but a process may be late */
#define MIN_INLINE 64u
/*
 * Processes of one host wait for processors too, which an adapter's peer doesn't see: a receiver that is about to post has so
 * long, and so many times, also if its peer asked for fewer (fio asks for none, and posts when it has handled a whole queue).
 */
#define RNR_TIMER 22u /* code: 20.48 ms */
#define RNR_RETRIES 6u

/* --- paths --- */

void cm_ah_attr(const struct cm_id *id, struct ibv_ah_attr *ah)
{
	const struct cm_manager *m = cm_manager();

	*ah = (struct ibv_ah_attr){
		.dlid = m->lid,
		.port_num = CM_PORT,
		.is_global = !m->infiniband,
		.grh = { .dgid = id->dgid, .sgid_index = id->sgid_index, .hop_limit = 64, .traffic_class = id->tos },
	};
}

/* --- states --- */

static bool is_rc(const struct cm_id *id)
{
	return !cm_is_ud(id) && id->ib.qp_type != IBV_QPT_UC;
}

static int init_attr(const struct cm_id *id, struct ibv_qp_attr *at)
{
	at->pkey_index = 0;
	at->port_num = id->ib.port_num;
	if (cm_is_ud(id)) {
		at->qkey = RDMA_UDP_QKEY;
		return IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY;
	}
	at->qp_access_flags = IBV_ACCESS_REMOTE_WRITE;
	if (id->responder_resources)
		at->qp_access_flags |= IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC;
	return IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
}

static int rtr_attr(const struct cm_id *id, struct ibv_qp_attr *at)
{
	if (cm_is_ud(id))
		return IBV_QP_STATE;
	cm_ah_attr(id, &at->ah_attr);
	at->path_mtu = (enum ibv_mtu)id->peer.mtu;
	at->dest_qp_num = id->peer.qpn;
	at->rq_psn = id->peer.psn;
	at->max_dest_rd_atomic = id->responder_resources;
	at->min_rnr_timer = RNR_TIMER;
	return IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
	       (is_rc(id) ? IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER : 0);
}

static int rts_attr(const struct cm_id *id, struct ibv_qp_attr *at)
{
	at->sq_psn = id->psn;
	at->timeout = id->ack_timeout ? id->ack_timeout : TIMEOUT;
	at->retry_cnt = id->retry_count;
	at->rnr_retry = HCA_MAX(id->rnr_retry_count, RNR_RETRIES);
	at->max_rd_atomic = id->initiator_depth;
	return IBV_QP_STATE | IBV_QP_SQ_PSN |
	       (is_rc(id) ? IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC : 0);
}

/* Return: the mask; 0: no such state. */
static int fill_attr(const struct cm_id *id, struct ibv_qp_attr *at)
{
	switch (at->qp_state) {
	case IBV_QPS_INIT:
		return init_attr(id, at);
	case IBV_QPS_RTR:
		return rtr_attr(id, at);
	case IBV_QPS_RTS:
		return rts_attr(id, at);
	default:
		return 0;
	}
}

CM_EXPORT int rdma_init_qp_attr(struct rdma_cm_id *ib, struct ibv_qp_attr *qp_attr, int *qp_attr_mask)
{
	int mask;

	if (!ib || !qp_attr || !qp_attr_mask || !ib->verbs)
		return cm_fail(EINVAL);
	mask = fill_attr(cm_id_of(ib), qp_attr);
	if (!mask)
		return cm_fail(EINVAL);
	*qp_attr_mask = mask;
	return 0;
}

static int move_to(struct cm_id *id, struct ibv_qp *qp, enum ibv_qp_state state)
{
	struct ibv_qp_attr at = { .qp_state = state };
	int mask = fill_attr(id, &at);

	return ibv_modify_qp(qp, &at, mask);
}

/* The parent's threads are not in a child, but what they held is. */
bool cm_qp_lock(struct cm_id *id)
{
	if (id->life != cm_life)
		return false;
	pthread_mutex_lock(&id->qp_lock);
	return true;
}

void cm_qp_unlock(struct cm_id *id, bool locked)
{
	if (locked)
		pthread_mutex_unlock(&id->qp_lock);
}

bool cm_qp_is(struct cm_id *id)
{
	bool locked = cm_qp_lock(id);
	bool is = id->ib.qp != NULL;

	cm_qp_unlock(id, locked);
	return is;
}

static int make_ready(struct cm_id *id, struct ibv_qp *qp)
{
	/* What the peer may do is known by now. */
	int err = move_to(id, qp, IBV_QPS_INIT);

	if (!err)
		err = move_to(id, qp, IBV_QPS_RTR);
	return err ? err : move_to(id, qp, IBV_QPS_RTS);
}

int cm_qp_ready(struct cm_id *id)
{
	bool locked = cm_qp_lock(id);
	int err = id->ib.qp ? make_ready(id, id->ib.qp) : EINVAL;

	cm_qp_unlock(id, locked);
	return err;
}

void cm_qp_error(struct cm_id *id)
{
	struct ibv_qp_attr at = { .qp_state = IBV_QPS_ERR };
	bool locked = cm_qp_lock(id);

	if (id->ib.qp && !cm_is_ud(id))
		(void)ibv_modify_qp(id->ib.qp, &at, IBV_QP_STATE);
	cm_qp_unlock(id, locked);
}

/* --- completion queues --- */

static void destroy_cqs(struct rdma_cm_id *ib)
{
	if (!cm_id_of(ib)->own_channels)
		return;
	if (ib->recv_cq && ib->recv_cq != ib->send_cq)
		ibv_destroy_cq(ib->recv_cq);
	if (ib->send_cq)
		ibv_destroy_cq(ib->send_cq);
	if (ib->recv_cq_channel && ib->recv_cq_channel != ib->send_cq_channel)
		ibv_destroy_comp_channel(ib->recv_cq_channel);
	if (ib->send_cq_channel)
		ibv_destroy_comp_channel(ib->send_cq_channel);
	ib->send_cq = ib->recv_cq = NULL;
	ib->send_cq_channel = ib->recv_cq_channel = NULL;
	cm_id_of(ib)->own_channels = false;
}

static int create_cq(struct rdma_cm_id *ib, u32 size, struct ibv_comp_channel **channel, struct ibv_cq **cq)
{
	*channel = ibv_create_comp_channel(ib->verbs);
	*cq = *channel ? ibv_create_cq(ib->verbs, (int)size, ib, *channel, 0) : NULL;
	cm_id_of(ib)->own_channels = true;
	return *cq ? 0 : -1;
}

/* A size of 0: none is wanted. Return: 0; -1 and errno. */
static int create_cqs(struct rdma_cm_id *ib, u32 send, u32 recv)
{
	int err = 0, saved;

	if (recv)
		err = create_cq(ib, recv, &ib->recv_cq_channel, &ib->recv_cq);
	if (!err && send)
		err = create_cq(ib, send, &ib->send_cq_channel, &ib->send_cq);
	if (err) {
		saved = errno;
		destroy_cqs(ib);
		errno = saved;
	}
	return err;
}

/* --- queue pairs --- */

static int first_states(struct cm_id *id, struct ibv_qp *qp)
{
	int err = move_to(id, qp, IBV_QPS_INIT);

	if (err || !cm_is_ud(id))
		return err;
	err = move_to(id, qp, IBV_QPS_RTR);
	return err ? err : move_to(id, qp, IBV_QPS_RTS);
}

static bool clashes(const struct ibv_cq *own, const struct ibv_cq *given)
{
	return own && given && own != given;
}

static int find_domain(struct ibv_qp_init_attr_ex *attr)
{
	if (attr->comp_mask & IBV_QP_INIT_ATTR_XRCD)
		return 0;
	attr->xrcd = cm_xrcd();
	attr->comp_mask |= IBV_QP_INIT_ATTR_XRCD;
	return attr->xrcd ? 0 : errno;
}

static int check(const struct rdma_cm_id *ib, struct ibv_qp_init_attr_ex *attr)
{
	if (!ib->verbs || ib->qp)
		return EINVAL;
	if (attr->qp_type == IBV_QPT_XRC_RECV) {
		int err = find_domain(attr);

		if (err)
			return err;
	}
	if (!(attr->comp_mask & IBV_QP_INIT_ATTR_PD)) {
		attr->comp_mask |= IBV_QP_INIT_ATTR_PD;
		attr->pd = ib->pd;
	}
	if (!attr->pd || attr->pd->context != ib->verbs)
		return EINVAL;
	return clashes(ib->recv_cq, attr->recv_cq) || clashes(ib->send_cq, attr->send_cq) ? EINVAL : 0;
}

/* A target of extended connections has no queues of its own. */
static bool needs_send(const struct ibv_qp_init_attr_ex *attr)
{
	return attr->qp_type != IBV_QPT_XRC_RECV;
}

static bool needs_recv(const struct ibv_qp_init_attr_ex *attr)
{
	return attr->qp_type != IBV_QPT_XRC_RECV && attr->qp_type != IBV_QPT_XRC_SEND;
}

static int find_queues(struct rdma_cm_id *ib, struct ibv_qp_init_attr_ex *attr)
{
	u32 send = needs_send(attr) && !attr->send_cq && !ib->send_cq ? HCA_MAX(attr->cap.max_send_wr, 1u) : 0;
	u32 recv = needs_recv(attr) && !attr->recv_cq && !ib->recv_cq ? HCA_MAX(attr->cap.max_recv_wr, 1u) : 0;

	if (create_cqs(ib, send, recv))
		return errno;
	/* As with adapters that round up: programs ask for none, and send inline all the same. */
	if (needs_send(attr))
		attr->cap.max_inline_data = HCA_MAX(attr->cap.max_inline_data, MIN_INLINE);
	if (!attr->send_cq && needs_send(attr))
		attr->send_cq = ib->send_cq;
	if (!attr->recv_cq && needs_recv(attr))
		attr->recv_cq = ib->recv_cq;
	if (ib->srq && !attr->srq && needs_recv(attr))
		attr->srq = ib->srq;
	return 0;
}

/* The device has no options that peers could agree on: those that the program set were for a queue pair of its own. */
static void forget_ece(struct cm_id *id)
{
	pthread_mutex_lock(&cm_lock);
	id->ece = (struct ibv_ece){ 0 };
	pthread_mutex_unlock(&cm_lock);
}

/* Return: the queue pair that was there. */
static struct ibv_qp *set_qp(struct cm_id *id, struct ibv_qp *qp)
{
	bool locked = cm_qp_lock(id);
	struct ibv_qp *old = id->ib.qp;

	id->ib.qp = qp;
	cm_qp_unlock(id, locked);
	return old;
}

CM_EXPORT int rdma_create_qp_ex(struct rdma_cm_id *ib, struct ibv_qp_init_attr_ex *attr)
{
	struct ibv_qp *qp;
	int err;

	if (!ib || !attr)
		return cm_fail(EINVAL);
	cm_id_touched(cm_id_of(ib));
	err = check(ib, attr);
	if (!err)
		err = find_queues(ib, attr);
	if (err)
		return cm_fail(err);
	qp = ibv_create_qp_ex(ib->verbs, attr);
	if (!qp) {
		err = errno;
		goto destroy_cqs;
	}
	err = first_states(cm_id_of(ib), qp);
	if (err)
		goto destroy_qp;
	ib->pd = qp->pd ? qp->pd : ib->pd;
	forget_ece(cm_id_of(ib));
	(void)set_qp(cm_id_of(ib), qp);
	return 0;
destroy_qp:
	ibv_destroy_qp(qp);
destroy_cqs:
	destroy_cqs(ib);
	return cm_fail(err);
}

CM_EXPORT int rdma_create_qp(struct rdma_cm_id *id, struct ibv_pd *pd, struct ibv_qp_init_attr *qp_init_attr)
{
	struct ibv_qp_init_attr_ex ex = { 0 };

	if (!id || !qp_init_attr)
		return cm_fail(EINVAL);
	/* The longer structure begins as the shorter one does. */
	memcpy(&ex, qp_init_attr, sizeof(*qp_init_attr));
	ex.comp_mask = IBV_QP_INIT_ATTR_PD;
	ex.pd = pd ? pd : id->pd;
	if (rdma_create_qp_ex(id, &ex))
		return -1;
	memcpy(qp_init_attr, &ex, sizeof(*qp_init_attr));
	return 0;
}

CM_EXPORT void rdma_destroy_qp(struct rdma_cm_id *id)
{
	struct ibv_qp *qp;

	if (!id)
		return;
	qp = set_qp(cm_id_of(id), NULL);
	if (qp)
		ibv_destroy_qp(qp);
	if (!id->srq)
		destroy_cqs(id);
}

/* --- shared receive queues --- */

/* Of extended connections it completes to a queue of its own. */
static int find_srq_queue(struct rdma_cm_id *ib, struct ibv_srq_init_attr_ex *attr)
{
	bool xrc = attr->comp_mask & IBV_SRQ_INIT_ATTR_TYPE && attr->srq_type == IBV_SRQT_XRC;

	if (!xrc)
		return 0;
	if (!(attr->comp_mask & IBV_SRQ_INIT_ATTR_CQ) || !attr->cq) {
		if (!ib->recv_cq && create_cqs(ib, 0, HCA_MAX(attr->attr.max_wr, 1u)))
			return errno;
		attr->cq = ib->recv_cq;
		attr->comp_mask |= IBV_SRQ_INIT_ATTR_CQ;
	}
	if (!(attr->comp_mask & IBV_SRQ_INIT_ATTR_XRCD)) {
		attr->xrcd = cm_xrcd();
		attr->comp_mask |= IBV_SRQ_INIT_ATTR_XRCD;
	}
	return attr->xrcd ? 0 : errno;
}

CM_EXPORT int rdma_create_srq_ex(struct rdma_cm_id *ib, struct ibv_srq_init_attr_ex *attr)
{
	struct ibv_srq *srq;
	int err;

	if (!ib || !attr || !ib->verbs || ib->srq)
		return cm_fail(EINVAL);
	if (!(attr->comp_mask & IBV_SRQ_INIT_ATTR_PD)) {
		attr->pd = ib->pd;
		attr->comp_mask |= IBV_SRQ_INIT_ATTR_PD;
	}
	if (attr->pd && attr->pd->context != ib->verbs)
		return cm_fail(EINVAL);
	err = find_srq_queue(ib, attr);
	if (err)
		return cm_fail(err);
	srq = ibv_create_srq_ex(ib->verbs, attr);
	if (!srq) {
		err = errno;
		if (!ib->qp)
			destroy_cqs(ib);
		return cm_fail(err);
	}
	ib->pd = ib->pd ? ib->pd : srq->pd;
	ib->srq = srq;
	return 0;
}

CM_EXPORT int rdma_create_srq(struct rdma_cm_id *id, struct ibv_pd *pd, struct ibv_srq_init_attr *attr)
{
	struct ibv_srq_init_attr_ex ex = { 0 };

	if (!id || !attr)
		return cm_fail(EINVAL);
	memcpy(&ex, attr, sizeof(*attr));
	ex.comp_mask = IBV_SRQ_INIT_ATTR_TYPE | IBV_SRQ_INIT_ATTR_PD;
	ex.srq_type = id->qp_type == IBV_QPT_XRC_RECV ? IBV_SRQT_XRC : IBV_SRQT_BASIC;
	ex.pd = pd ? pd : id->pd;
	if (rdma_create_srq_ex(id, &ex))
		return -1;
	memcpy(attr, &ex, sizeof(*attr));
	return 0;
}

CM_EXPORT void rdma_destroy_srq(struct rdma_cm_id *id)
{
	if (!id)
		return;
	if (id->srq)
		ibv_destroy_srq(id->srq);
	id->srq = NULL;
	if (!id->qp)
		destroy_cqs(id);
}
