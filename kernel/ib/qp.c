/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Queue pairs: making, changing, asking and ending them; and the engine's asynchronous events. */
#include "ib.h"

#define SAME(a, b) static_assert((int)(a) == (int)(b))
SAME(IB_QPT_RC, HCA_QPT_RC);
SAME(IB_QPT_GSI, HCA_QPT_GSI);
SAME(IB_QPT_UD, HCA_QPT_UD);
SAME(IB_QPS_RTS, HCA_QPS_RTS);
SAME(IB_QPS_ERR, HCA_QPS_ERR);
SAME(IB_QP_AV, HCA_QP_AV);
SAME(IB_QP_DEST_QPN, HCA_QP_DEST_QPN);
SAME(IB_QP_RATE_LIMIT, HCA_QP_RATE_LIMIT);
SAME(IB_MTU_4096, HCA_MTU_4096);
SAME(IB_ACCESS_REMOTE_ATOMIC, HCA_ACCESS_REMOTE_ATOMIC);
SAME(IB_ACCESS_MW_BIND, HCA_ACCESS_MW_BIND);
SAME(IB_EVENT_CQ_ERR, HCA_EVENT_CQ_ERR);
SAME(IB_EVENT_COMM_EST, HCA_EVENT_COMM_EST);
SAME(IB_EVENT_SRQ_LIMIT_REACHED, HCA_EVENT_SRQ_LIMIT_REACHED);
SAME(IB_EVENT_QP_LAST_WQE_REACHED, HCA_EVENT_QP_LAST_WQE_REACHED);

/* --- events --- */

static void tell_cq(struct ib_event *e, struct hca_cq *cq)
{
	struct ib_cq *ib = &container_of(cq, struct softhca_ib_cq, cq)->ib;

	e->device = ib->device;
	e->element.cq = ib;
	if (ib->event_handler)
		ib->event_handler(e, ib->cq_context);
}

static void tell_srq(struct ib_event *e, struct hca_srq *srq)
{
	struct ib_srq *ib = &container_of(srq, struct softhca_ib_srq, srq)->ib;

	e->device = ib->device;
	e->element.srq = ib;
	if (ib->event_handler)
		ib->event_handler(e, ib->srq_context);
}

static void tell_qp(struct ib_event *e, struct hca_qp *qp)
{
	struct ib_qp *ib = &((struct softhca_ib_qp *)qp->user)->ib;

	e->device = ib->device;
	e->element.qp = ib;
	if (ib->event_handler)
		ib->event_handler(e, ib->qp_context);
}

void softhca_ib_event(struct hca *hca, enum hca_event_type type, void *object)
{
	struct ib_event e = { .event = (enum ib_event_type)type };

	/* Consumers' handlers are made for interrupts. */
	local_bh_disable();
	switch (type) {
	case HCA_EVENT_CQ_ERR:
		tell_cq(&e, object);
		break;
	case HCA_EVENT_SRQ_ERR:
	case HCA_EVENT_SRQ_LIMIT_REACHED:
		tell_srq(&e, object);
		break;
	default:
		tell_qp(&e, object);
		break;
	}
	local_bh_enable();
}

/* --- making and ending --- */

static int check_init(const struct ib_qp_init_attr *a)
{
	switch (a->qp_type) {
	case IB_QPT_RC:
	case IB_QPT_UC:
	case IB_QPT_UD:
	case IB_QPT_GSI:
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (a->create_flags & ~(u32)IB_QP_CREATE_BLOCK_MULTICAST_LOOPBACK)
		return -EOPNOTSUPP;
	return a->rwq_ind_tbl ? -EOPNOTSUPP : 0;
}

static int create_qp(struct ib_qp *ib, struct ib_qp_init_attr *a, struct ib_udata *udata)
{
	struct softhca_ib_qp *p = softhca_ib_qp_of(ib);
	struct hca_qp_init init = {
		.type = (enum hca_qp_type)a->qp_type,
		.pd = &softhca_ib_pd_of(ib->pd)->pd,
		.send_cq = &softhca_ib_cq_of(a->send_cq)->cq,
		.recv_cq = &softhca_ib_cq_of(a->recv_cq)->cq,
		.srq = a->srq ? &softhca_ib_srq_of(a->srq)->srq : NULL,
		.max_send_wr = a->cap.max_send_wr,
		.max_recv_wr = a->srq ? 0 : a->cap.max_recv_wr,
		.max_send_sge = a->cap.max_send_sge,
		.max_recv_sge = a->srq ? 0 : a->cap.max_recv_sge,
		.max_inline = a->cap.max_inline_data,
		.sq_sig_all = a->sq_sig_type == IB_SIGNAL_ALL_WR,
		.block_mcast_loopback = a->create_flags & IB_QP_CREATE_BLOCK_MULTICAST_LOOPBACK,
		.user = p,
	};
	int err = udata ? -EOPNOTSUPP : check_init(a);

	if (!err)
		err = hca_qp_create(softhca_ib_hca(ib->device), &init, &p->qp);
	if (err)
		return err;
	a->cap.max_send_wr = p->qp->sq.size;
	a->cap.max_recv_wr = init.max_recv_wr;
	a->cap.max_recv_sge = init.max_recv_sge;
	mutex_init(&p->life);
	p->cap = a->cap;
	p->sq_sig_type = a->sq_sig_type;
	ib->qp_num = p->qp->qpn;
	return 0;
}

static int destroy_qp(struct ib_qp *ib, struct ib_udata *udata)
{
	struct softhca_ib_qp *p = softhca_ib_qp_of(ib);
	struct hca_qp *qp;

	/* The mutex stays of use until ib_core frees it with @p. */
	mutex_lock(&p->life);
	qp = p->qp;
	p->qp = NULL;
	mutex_unlock(&p->life);
	hca_qp_destroy(qp);
	return 0;
}

/* --- attributes --- */

static int modify_qp(struct ib_qp *ib, struct ib_qp_attr *a, int mask, struct ib_udata *udata)
{
	struct softhca_ib_qp *p = softhca_ib_qp_of(ib);
	struct hca_qp_attr to = {
		.qp_state = (enum hca_qp_state)a->qp_state,
		.cur_qp_state = (enum hca_qp_state)a->cur_qp_state,
		.path_mtu = (enum hca_mtu)a->path_mtu,
		.path_mig_state = (enum hca_mig_state)a->path_mig_state,
		.qkey = a->qkey,
		.rq_psn = a->rq_psn,
		.sq_psn = a->sq_psn,
		.dest_qp_num = a->dest_qp_num,
		.qp_access_flags = (u32)a->qp_access_flags,
		.pkey_index = a->pkey_index,
		.port_num = (u8)a->port_num,
		.en_sqd_async_notify = a->en_sqd_async_notify,
		.max_rd_atomic = a->max_rd_atomic,
		.max_dest_rd_atomic = a->max_dest_rd_atomic,
		.min_rnr_timer = a->min_rnr_timer,
		.timeout = a->timeout,
		.retry_cnt = a->retry_cnt,
		.rnr_retry = a->rnr_retry,
	};
	int err;

	if (mask & ~IB_QP_ATTR_STANDARD_BITS)
		return -EOPNOTSUPP;
	if (mask & IB_QP_PORT && a->port_num != 1)
		return -EINVAL;
	if (mask & IB_QP_AV) {
		if (!(rdma_ah_get_ah_flags(&a->ah_attr) & IB_AH_GRH))
			return -EINVAL;
		softhca_ib_path(softhca_ib_of(ib->device), &a->ah_attr, &to.ah);
	}
	err = hca_qp_modify(p->qp, &to, (u32)mask);
	if (!err && mask & IB_QP_AV) {
		p->av = a->ah_attr;
		p->av.grh.sgid_attr = NULL;
	}
	return err;
}

/* Return: 0; -EAGAIN: it has ended. Then only ib_core asks, which leaves it out of what it shows. */
static int query_engine(struct softhca_ib_qp *p, struct hca_qp_attr *a, struct hca_qp_init *made)
{
	int err = 0;

	mutex_lock(&p->life);
	if (p->qp)
		hca_qp_query(p->qp, a, made);
	else
		err = -EAGAIN;
	mutex_unlock(&p->life);
	return err;
}

static int query_qp(struct ib_qp *ib, struct ib_qp_attr *attr, int mask, struct ib_qp_init_attr *init)
{
	struct softhca_ib_qp *p = softhca_ib_qp_of(ib);
	struct hca_qp_init made;
	struct hca_qp_attr a;
	int err = query_engine(p, &a, &made);

	if (err)
		return err;
	*attr = (struct ib_qp_attr){
		.qp_state = (enum ib_qp_state)a.qp_state,
		.cur_qp_state = (enum ib_qp_state)a.qp_state,
		.path_mtu = (enum ib_mtu)a.path_mtu,
		.path_mig_state = (enum ib_mig_state)a.path_mig_state,
		.qkey = a.qkey,
		.rq_psn = a.rq_psn,
		.sq_psn = a.sq_psn,
		.sq_draining = a.sq_draining,
		.dest_qp_num = a.dest_qp_num,
		.qp_access_flags = (int)a.qp_access_flags,
		.cap = p->cap,
		.ah_attr = p->av,
		.pkey_index = a.pkey_index,
		.port_num = 1,
		.max_rd_atomic = a.max_rd_atomic,
		.max_dest_rd_atomic = a.max_dest_rd_atomic,
		.min_rnr_timer = a.min_rnr_timer,
		.timeout = a.timeout,
		.retry_cnt = a.retry_cnt,
		.rnr_retry = a.rnr_retry,
	};
	*init = (struct ib_qp_init_attr){
		.event_handler = ib->event_handler,
		.qp_context = ib->qp_context,
		.send_cq = ib->send_cq,
		.recv_cq = ib->recv_cq,
		.srq = ib->srq,
		.cap = p->cap,
		.sq_sig_type = p->sq_sig_type,
		.qp_type = ib->qp_type,
		.create_flags = made.block_mcast_loopback ? IB_QP_CREATE_BLOCK_MULTICAST_LOOPBACK : 0,
		.port_num = 1,
	};
	return 0;
}

const struct ib_device_ops softhca_ib_qp_ops = {
	.create_qp = create_qp,
	.destroy_qp = destroy_qp,
	.modify_qp = modify_qp,
	.query_qp = query_qp,

	INIT_RDMA_OBJ_SIZE(ib_qp, softhca_ib_qp, ib),
};
