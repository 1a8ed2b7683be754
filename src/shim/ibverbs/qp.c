/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Queue pairs: making, changing, asking and ending them. */
#include "shim.h"

/* --- attributes --- */

static u32 peer_number(struct shim_qp *q, const struct ibv_qp_attr *a, u32 mask)
{
	struct hca_qp_attr now;

	if (mask & IBV_QP_DEST_QPN)
		return a->dest_qp_num;
	hca_qp_query(q->qp, &now, NULL);
	return now.dest_qp_num;
}

/* What the program calls the path, the engine calls the way to the process of the peer's queue pair. */
static int fill_path(struct shim_qp *q, const struct ibv_qp_attr *a, u32 mask, struct hca_qp_attr *to)
{
	struct shim_context *c = q->obj.context;
	int err = shim_path(c->device, &a->ah_attr, &to->ah);
	u32 peer;

	if (err)
		return err;
	hca_store(&q->gone, 0ull);
	peer = peer_number(q, a, mask);
	to->ah.dlid = (u16)(shim_lid_is_ours(&a->ah_attr) ? shim_wire_lid(peer) : SHIM_NO_LID);
	shim_wire_connect(q, to->ah.dlid);
	if (to->ah.dlid != SHIM_NO_LID && !shim_wire_leads(c->device, a->ah_attr.dlid, peer)) {
		shim_log(HCA_LOG_INFO, SHIM_LOG_QP, "queue pair 0x%x isn't behind the port with LID 0x%x", peer,
			 a->ah_attr.dlid);
		to->ah.dlid = SHIM_NO_LID;
	}
	return 0;
}

static int modify(struct shim_qp *q, const struct ibv_qp_attr *a, u32 mask)
{
	struct hca_qp_attr to = {
		.qp_state = (enum hca_qp_state)a->qp_state,
		.cur_qp_state = (enum hca_qp_state)a->cur_qp_state,
		.path_mtu = (enum hca_mtu)a->path_mtu,
		.path_mig_state = (enum hca_mig_state)a->path_mig_state,
		.qkey = a->qkey,
		.rq_psn = a->rq_psn & HCA_QPN_MASK,
		.sq_psn = a->sq_psn & HCA_QPN_MASK,
		.dest_qp_num = a->dest_qp_num,
		.qp_access_flags = a->qp_access_flags,
		.pkey_index = a->pkey_index,
		.port_num = a->port_num,
		.en_sqd_async_notify = a->en_sqd_async_notify,
		.max_rd_atomic = a->max_rd_atomic,
		.max_dest_rd_atomic = a->max_dest_rd_atomic,
		.min_rnr_timer = a->min_rnr_timer,
		.timeout = a->timeout,
		.retry_cnt = a->retry_cnt,
		.rnr_retry = a->rnr_retry,
	};
	int err = mask & IBV_QP_AV ? fill_path(q, a, mask, &to) : 0;

	return err ? err : -hca_qp_modify(q->qp, &to, mask);
}

SHIM_NOT_OLD(ibv_modify_qp);
SHIM_EXPORT int ibv_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int attr_mask)
{
	struct shim_qp *q = qp ? shim_qp(qp) : NULL;
	int err;

	if (!q || !attr || !shim_known(&q->obj, SHIM_QP))
		return shim_why(EINVAL, SHIM_LOG_QP, "ibv_modify_qp: no such queue pair");
	err = modify(q, attr, shim_xrc_mask(q->type, (u32)attr_mask));
	if (err)
		return shim_why(err, SHIM_LOG_QP, "ibv_modify_qp: queue pair 0x%x, mask 0x%x, state %d to %d",
				q->qp->qpn, (u32)attr_mask, (int)qp->state,
				attr_mask & IBV_QP_STATE ? (int)attr->qp_state : (int)qp->state);
	if (attr_mask & IBV_QP_AV && q->target)
		shim_target_set_path(q, &attr->ah_attr);
	else if (attr_mask & IBV_QP_AV)
		q->ah = attr->ah_attr;
	if (attr_mask & IBV_QP_STATE)
		qp->state = attr->qp_state;
	return 0;
}

static void fill_attr(struct shim_qp *q, const struct hca_qp_attr *a, struct ibv_qp_attr *to)
{
	*to = (struct ibv_qp_attr){
		.qp_state = (enum ibv_qp_state)a->qp_state,
		.cur_qp_state = (enum ibv_qp_state)a->qp_state,
		.path_mtu = (enum ibv_mtu)a->path_mtu,
		.path_mig_state = (enum ibv_mig_state)a->path_mig_state,
		.qkey = a->qkey,
		.rq_psn = a->rq_psn,
		.sq_psn = a->sq_psn,
		.dest_qp_num = a->dest_qp_num,
		.qp_access_flags = a->qp_access_flags,
		.cap = q->cap,
		.pkey_index = a->pkey_index,
		.sq_draining = a->sq_draining,
		.max_rd_atomic = a->max_rd_atomic,
		.max_dest_rd_atomic = a->max_dest_rd_atomic,
		.min_rnr_timer = a->min_rnr_timer,
		.port_num = a->port_num,
		.timeout = a->timeout,
		.retry_cnt = a->retry_cnt,
		.rnr_retry = a->rnr_retry,
	};
	if (a->qp_state != HCA_QPS_RESET)
		to->ah_attr = q->ah;
}

SHIM_NOT_OLD(ibv_query_qp);
SHIM_EXPORT int ibv_query_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int attr_mask,
			     struct ibv_qp_init_attr *init_attr)
{
	struct shim_qp *q = qp ? shim_qp(qp) : NULL;
	struct hca_qp_attr a;

	(void)attr_mask;
	if (!q || !attr || !init_attr || !shim_known(&q->obj, SHIM_QP))
		return shim_why(EINVAL, SHIM_LOG_QP, "ibv_query_qp: no %s",
				attr && init_attr ? "such queue pair" : "attributes");
	hca_qp_query(q->qp, &a, NULL);
	fill_attr(q, &a, attr);
	qp->state = attr->qp_state;
	*init_attr = (struct ibv_qp_init_attr){
		.qp_context = qp->qp_context,
		.send_cq = qp->send_cq,
		.recv_cq = qp->recv_cq,
		.srq = qp->srq,
		.cap = q->cap,
		.qp_type = q->type,
		.sq_sig_all = q->sq_sig_all,
	};
	return 0;
}

SHIM_EXPORT int ibv_query_qp_data_in_order(struct ibv_qp *qp, enum ibv_wr_opcode op, uint32_t flags)
{
	(void)qp;
	(void)op;
	(void)flags;
	return 0;
}

SHIM_EXPORT int ibv_set_ece(struct ibv_qp *qp, struct ibv_ece *ece)
{
	(void)qp;
	(void)ece;
	return shim_why(EOPNOTSUPP, SHIM_LOG_QP, "ibv_set_ece");
}

/* No options to agree on. */
SHIM_EXPORT int ibv_query_ece(struct ibv_qp *qp, struct ibv_ece *ece)
{
	(void)qp;
	if (!ece)
		return shim_why(EINVAL, SHIM_LOG_QP, "ibv_query_ece: no place for options");
	*ece = (struct ibv_ece){ 0 };
	return 0;
}

/* --- life --- */

/* One that doesn't is made without a look at what it would receive with, as Linux makes it (drivers/infiniband/core/uverbs_cmd.c). */
static bool receives(const struct ibv_qp_init_attr_ex *a)
{
	return a->qp_type != IBV_QPT_XRC_SEND;
}

static int misfit(const char *what)
{
	return shim_why(EINVAL, SHIM_LOG_QP, "ibv_create_qp: %s of the domain's context", what);
}

/* Handles are of a context, as a kernel has them; those of another device all the more. */
static int check_queues(const struct shim_context *c, const struct ibv_qp_init_attr_ex *a)
{
	if (!a->send_cq || !shim_is_of(&shim_cq(a->send_cq)->obj, SHIM_CQ, c))
		return misfit("send_cq is no queue");
	if (!receives(a))
		return 0;
	if (!a->recv_cq || !shim_is_of(&shim_cq(a->recv_cq)->obj, SHIM_CQ, c))
		return misfit("recv_cq is no queue");
	return a->srq && !shim_is_of(&shim_srq(a->srq)->obj, SHIM_SRQ, c) ? misfit("srq is no queue") : 0;
}

/* @ib: that the program names beside the domain, or NULL */
static int check_qp(const struct ibv_context *ib, const struct shim_pd *p, const struct ibv_qp_init_attr_ex *a)
{
	const u32 known = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_CREATE_FLAGS | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;

	if (!p)
		return EINVAL;
	if (ib && ib != &p->obj.context->verbs.context)
		return shim_why(EINVAL, SHIM_LOG_QP, "ibv_create_qp_ex: the domain is of another context");
	if (a->comp_mask & ~known)
		return EOPNOTSUPP;
	if (a->qp_type != IBV_QPT_RC && a->qp_type != IBV_QPT_UC && a->qp_type != IBV_QPT_UD &&
	    a->qp_type != IBV_QPT_XRC_SEND)
		return EOPNOTSUPP;
	if (a->comp_mask & IBV_QP_INIT_ATTR_CREATE_FLAGS && a->create_flags & ~(u32)IBV_QP_CREATE_BLOCK_SELF_MCAST_LB)
		return EOPNOTSUPP;
	return check_queues(p->obj.context, a);
}

static int make_engine_qp(struct shim_qp *q, struct shim_pd *p, const struct ibv_qp_init_attr_ex *a)
{
	bool own_rq = receives(a) && !a->srq;
	struct hca_qp_init init = {
		.type = (enum hca_qp_type)a->qp_type,
		.pd = &p->pd,
		.send_cq = &shim_cq(a->send_cq)->cq,
		.recv_cq = receives(a) ? &shim_cq(a->recv_cq)->cq : NULL,
		.srq = receives(a) && a->srq ? &shim_srq(a->srq)->srq : NULL,
		.max_send_wr = a->cap.max_send_wr,
		.max_recv_wr = own_rq ? a->cap.max_recv_wr : 0,
		.max_send_sge = a->cap.max_send_sge,
		.max_recv_sge = own_rq ? a->cap.max_recv_sge : 0,
		.max_inline = a->cap.max_inline_data,
		.sq_sig_all = a->sq_sig_all,
		.block_mcast_loopback = a->comp_mask & IBV_QP_INIT_ATTR_CREATE_FLAGS &&
					a->create_flags & IBV_QP_CREATE_BLOCK_SELF_MCAST_LB,
		.user = q,
	};
	int err = hca_qp_create(&p->obj.context->device->hca, &init, &q->qp);

	/* What a caller of libibverbs expects when there are none left. */
	return err == -ENOSPC ? ENOMEM : -err;
}

static void fill_qp(struct shim_qp *q, struct shim_pd *p, const struct ibv_qp_init_attr_ex *a, struct ibv_pd *pd)
{
	q->pd = p;
	q->obj.under = shim_parent(pd);
	q->type = a->qp_type;
	q->sq_sig_all = a->sq_sig_all;
	q->cap = a->cap;
	if (a->srq || !receives(a)) {
		q->cap.max_recv_wr = 0;
		q->cap.max_recv_sge = 0;
	}
	q->ib.context = pd->context;
	q->ib.qp_context = a->qp_context;
	q->ib.pd = pd;
	q->ib.send_cq = a->send_cq;
	q->ib.recv_cq = receives(a) ? a->recv_cq : NULL;
	q->ib.srq = receives(a) ? a->srq : NULL;
	q->ib.handle = q->obj.handle;
	q->ib.qp_num = q->qp->qpn;
	q->ib.state = IBV_QPS_RESET;
	q->ib.qp_type = a->qp_type;
	pthread_mutex_init(&q->ib.mutex, NULL);
	pthread_cond_init(&q->ib.cond, NULL);
}

struct ibv_qp *shim_create_qp_ex(struct ibv_context *context, struct ibv_qp_init_attr_ex *a)
{
	struct shim_pd *p = a && a->comp_mask & IBV_QP_INIT_ATTR_PD ? shim_pd_get(a->pd) : NULL;
	struct shim_qp *q = NULL;
	int err = EINVAL;

	if (a && a->qp_type == IBV_QPT_XRC_RECV)
		return shim_create_target(context, a);
	if (a)
		err = check_qp(context, p, a);
	if (err)
		goto out;
	q = shim_object_new(SHIM_QP, sizeof(*q), p->obj.context);
	err = q ? make_engine_qp(q, p, a) : ENOMEM;
	if (err)
		goto out;
	if (a->comp_mask & IBV_QP_INIT_ATTR_SEND_OPS_FLAGS) {
		err = shim_build_init(q, a->send_ops_flags);
		if (err)
			goto destroy;
	}
	fill_qp(q, p, a, a->pd);
	a->cap = q->cap;
	shim_object_publish(&q->obj);
	return &q->ib;
destroy:
	hca_qp_destroy(q->qp);
out:
	if (q)
		shim_object_free(&q->obj);
	return shim_null(a ? shim_why(err, SHIM_LOG_QP,
				      "ibv_create_qp: type %d, %u+%u requests, %u+%u entries, %u inline",
				      (int)a->qp_type, a->cap.max_send_wr, a->cap.max_recv_wr, a->cap.max_send_sge,
				      a->cap.max_recv_sge, a->cap.max_inline_data) :
			     shim_why(err, SHIM_LOG_QP, "ibv_create_qp_ex: no attributes"));
}

SHIM_NOT_OLD(ibv_create_qp);
SHIM_EXPORT struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *a)
{
	struct ibv_qp_init_attr_ex ex;
	struct ibv_qp *qp;

	if (!pd || !a)
		return shim_null(
			shim_why(EINVAL, SHIM_LOG_QP, "ibv_create_qp: no %s", a ? "protection domain" : "attributes"));
	ex = (struct ibv_qp_init_attr_ex){
		.qp_context = a->qp_context,
		.send_cq = a->send_cq,
		.recv_cq = a->recv_cq,
		.srq = a->srq,
		.cap = a->cap,
		.qp_type = a->qp_type,
		.sq_sig_all = a->sq_sig_all,
		.comp_mask = IBV_QP_INIT_ATTR_PD,
		.pd = pd,
	};
	qp = shim_create_qp_ex(NULL, &ex);
	if (qp)
		a->cap = ex.cap;
	return qp;
}

int shim_end_qp(struct shim_object *o, bool abandon)
{
	struct shim_qp *q = hca_container_of(o, struct shim_qp, obj);

	if (q->target)
		shim_target_end(q);
	else
		hca_qp_destroy(q->qp);
	shim_queue_end(&o->context->async, &q->async, true, abandon);
	shim_build_fini(q);
	pthread_cond_destroy(&q->ib.cond);
	pthread_mutex_destroy(&q->ib.mutex);
	return 0;
}

SHIM_NOT_OLD(ibv_destroy_qp);
SHIM_EXPORT int ibv_destroy_qp(struct ibv_qp *qp)
{
	struct shim_qp *q = qp ? shim_qp(qp) : NULL;

	if (!q || !shim_claim(&q->obj, SHIM_QP))
		return shim_why(EINVAL, SHIM_LOG_QP, "ibv_destroy_qp: no such queue pair");
	/* As Linux says to user space; only a process that ends, or closes the device, leaves its groups by that. */
	if (hca_mcast_is_member(q->qp)) {
		shim_unclaim(&q->obj);
		return shim_why(EBUSY, SHIM_LOG_QP, "ibv_destroy_qp: queue pair 0x%x is in a multicast group",
				q->qp->qpn);
	}
	shim_end_qp(&q->obj, false);
	shim_object_free(&q->obj);
	return 0;
}

SHIM_EXPORT struct ibv_qp_ex *ibv_qp_to_qp_ex(struct ibv_qp *qp)
{
	struct shim_qp *q = shim_qp(qp);

	return qp && shim_is(&q->obj, SHIM_QP) && q->build ? &q->ex : NULL;
}
