/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Queue pairs and shared receive queues of the kernel-style verbs: making, changing,
 * asking, draining and ending them.
 */
#include "ib_core.h"
#include "softhca/rdma_rw.h"

/* --- attributes --- */

static void grh_to_hca(const struct ib_global_route *grh, struct hca_grh_attr *to)
{
	hca_memcpy(&to->dgid, &grh->dgid, sizeof(to->dgid));
	to->flow_label = grh->flow_label;
	to->sgid_index = grh->sgid_index;
	to->hop_limit = grh->hop_limit;
	to->traffic_class = grh->traffic_class;
}

void ib_ah_to_hca(const struct rdma_ah_attr *ah, struct hca_ah_attr *to)
{
	*to = (struct hca_ah_attr){
		.dlid = (u16)ah->dlid,
		.sl = ah->sl,
		.src_path_bits = ah->src_path_bits,
		.static_rate = ah->static_rate,
		.is_global = ah->ah_flags & IB_AH_GRH ? 1 : 0,
		.port_num = (u8)ah->port_num,
	};
	if (to->is_global)
		grh_to_hca(&ah->grh, &to->grh);
}

static void ah_from_hca(const struct hca_ah_attr *ah, struct rdma_ah_attr *to)
{
	*to = (struct rdma_ah_attr){
		.dlid = ah->dlid,
		.sl = ah->sl,
		.src_path_bits = ah->src_path_bits,
		.static_rate = ah->static_rate,
		.ah_flags = ah->is_global ? IB_AH_GRH : 0,
		.port_num = ah->port_num,
	};
	if (!ah->is_global)
		return;
	hca_memcpy(&to->grh.dgid, &ah->grh.dgid, sizeof(to->grh.dgid));
	to->grh.flow_label = ah->grh.flow_label;
	to->grh.sgid_index = ah->grh.sgid_index;
	to->grh.hop_limit = ah->grh.hop_limit;
	to->grh.traffic_class = ah->grh.traffic_class;
}

/* What the narrower fields of the engine would cut off is refused, not cut. */
static int check_widths(const struct ib_qp *qp, const struct ib_qp_attr *a, int mask)
{
	const char *field = NULL;
	u32 value = 0, most = 0xff;

	if (mask & IB_QP_PORT && a->port_num > most) {
		field = "port_num";
		value = a->port_num;
	} else if (mask & IB_QP_AV && a->ah_attr.port_num > most) {
		field = "ah_attr.port_num";
		value = a->ah_attr.port_num;
	} else if (mask & IB_QP_AV && a->ah_attr.dlid > 0xffff) {
		field = "ah_attr.dlid";
		value = a->ah_attr.dlid;
		most = 0xffff;
	}
	if (field)
		return hca_refuse(-EINVAL, "%s QP %u: not changed: %s is %u, must be %u at most", qp->device->name,
				  qp->qp_num, field, value, most);
	return 0;
}

int ib_modify_qp(struct ib_qp *qp, struct ib_qp_attr *a, int mask)
{
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

	if (check_widths(qp, a, mask))
		return -EINVAL;
	ib_ah_to_hca(&a->ah_attr, &to.ah);
	return hca_qp_modify(ib_qp_of(qp)->qp, &to, (u32)mask);
}

int ib_query_qp(struct ib_qp *qp, struct ib_qp_attr *attr, int mask, struct ib_qp_init_attr *init_attr)
{
	struct ib_qp_priv *p = ib_qp_of(qp);
	struct hca_qp_init made;
	struct hca_qp_attr a;

	(void)mask;
	hca_qp_query(p->qp, &a, &made);
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
		.pkey_index = a.pkey_index,
		.port_num = a.port_num,
		.max_rd_atomic = a.max_rd_atomic,
		.max_dest_rd_atomic = a.max_dest_rd_atomic,
		.min_rnr_timer = a.min_rnr_timer,
		.timeout = a.timeout,
		.retry_cnt = a.retry_cnt,
		.rnr_retry = a.rnr_retry,
	};
	ah_from_hca(&a.ah, &attr->ah_attr);
	*init_attr = (struct ib_qp_init_attr){
		.event_handler = qp->event_handler,
		.qp_context = qp->qp_context,
		.send_cq = qp->send_cq,
		.recv_cq = qp->recv_cq,
		.srq = qp->srq,
		.cap = p->cap,
		.sq_sig_type = p->sq_sig_type,
		.qp_type = qp->qp_type,
		.create_flags = made.block_mcast_loopback ? IB_QP_CREATE_BLOCK_MULTICAST_LOOPBACK : 0,
		.port_num = 1,
	};
	return 0;
}

/* --- life --- */

static int check_init(const struct ib_pd *pd, const struct ib_qp_init_attr *a)
{
	const struct ib_device *dev = pd->device;

	if (!a->send_cq || a->send_cq->device != dev)
		return hca_refuse(-EINVAL, "%s: queue pair not made: it needs a send_cq of this device", dev->name);
	if (!a->recv_cq || a->recv_cq->device != dev)
		return hca_refuse(-EINVAL, "%s: queue pair not made: it needs a recv_cq of this device", dev->name);
	if (a->srq && a->srq->device != dev)
		return hca_refuse(-EINVAL, "%s: queue pair not made: its srq is another device's", dev->name);
	/* Management queue pairs belong to what speaks for the port, and that isn't a ULP. */
	if (a->qp_type == IB_QPT_SMI || a->qp_type == IB_QPT_GSI)
		return hca_refuse(-EINVAL, "%s: queue pair not made: SMI and GSI are the port's own", dev->name);
	if (a->create_flags & ~(u32)IB_QP_CREATE_BLOCK_MULTICAST_LOOPBACK)
		return hca_refuse(-EINVAL, "%s: queue pair not made: create_flags 0x%x aren't supported", dev->name,
				  a->create_flags & ~(u32)IB_QP_CREATE_BLOCK_MULTICAST_LOOPBACK);
	if ((u32)a->sq_sig_type > IB_SIGNAL_REQ_WR)
		return hca_refuse(-EINVAL, "%s: queue pair not made: sq_sig_type is %u, no such type", dev->name,
				  (u32)a->sq_sig_type);
	return 0;
}

static int make_qp(struct ib_qp_priv *p, struct ib_pd *pd, struct ib_qp_init_attr *a)
{
	struct hca_qp_init init = {
		.type = (enum hca_qp_type)a->qp_type,
		.pd = &ib_pd_of(pd)->pd,
		.send_cq = &ib_cq_of(a->send_cq)->cq,
		.recv_cq = &ib_cq_of(a->recv_cq)->cq,
		.srq = a->srq ? &ib_srq_of(a->srq)->srq : NULL,
		.max_send_wr = a->cap.max_send_wr,
		.max_recv_wr = a->srq ? 0 : a->cap.max_recv_wr,
		.max_send_sge = a->cap.max_send_sge,
		.max_recv_sge = a->srq ? 0 : a->cap.max_recv_sge,
		.max_inline = a->cap.max_inline_data,
		.sq_sig_all = a->sq_sig_type == IB_SIGNAL_ALL_WR,
		.block_mcast_loopback = a->create_flags & IB_QP_CREATE_BLOCK_MULTICAST_LOOPBACK,
		.user = p,
	};
	int err = hca_qp_create(&pd->device->core->hca, &init, &p->qp);

	if (err)
		return err;
	a->cap.max_send_wr = p->qp->sq.size;
	a->cap.max_recv_wr = init.max_recv_wr;
	a->cap.max_recv_sge = init.max_recv_sge;
	p->cap = a->cap;
	p->sq_sig_type = a->sq_sig_type;
	return 0;
}

/* Room for the requests of what uses struct rdma_rw_ctx, as far as there may be so much. */
static void add_rdma_ctxs(const struct ib_device *device, struct ib_qp_cap *cap, u32 more)
{
	u32 most = (u32)device->attrs.max_qp_wr;

	if (cap->max_send_wr <= most)
		cap->max_send_wr += HCA_MIN(more, most - cap->max_send_wr);
}

struct ib_qp *ib_create_qp(struct ib_pd *pd, struct ib_qp_init_attr *a)
{
	struct ib_device *device = pd->device;
	struct ib_qp_priv *p;
	int err = check_init(pd, a);

	if (err)
		return ERR_PTR(err);
	add_rdma_ctxs(device, &a->cap, rdma_rw_max_send_wr(device, a->port_num, a->cap.max_rdma_ctxs, a->create_flags));
	err = ib_core_take(device, IB_OBJ_QP);
	if (err)
		return ERR_PTR(err);
	err = -ENOMEM;
	p = hca_alloc(sizeof(*p), HCA_MAY_SLEEP);
	if (!p)
		goto give;
	p->ib = (struct ib_qp){
		.device = device,
		.pd = pd,
		.send_cq = a->send_cq,
		.recv_cq = a->recv_cq,
		.srq = a->srq,
		.event_handler = a->event_handler,
		.qp_context = a->qp_context,
		.max_write_sge = a->cap.max_send_sge,
		.max_read_sge = a->cap.max_send_sge,
		.qp_type = a->qp_type,
		.port = a->port_num,
	};
	INIT_LIST_HEAD(&p->ib.rdma_mrs);
	INIT_LIST_HEAD(&p->ib.sig_mrs);
	hca_spin_init(&p->mr_lock);
	err = make_qp(p, pd, a);
	if (err)
		goto free_qp;
	p->ib.qp_num = p->qp->qpn;
	return &p->ib;
free_qp:
	hca_free(p);
give:
	ib_core_give(device, IB_OBJ_QP);
	return ERR_PTR(err);
}

int ib_destroy_qp(struct ib_qp *qp)
{
	struct ib_device *device = qp->device;
	struct ib_qp_priv *p = ib_qp_of(qp);

	HCA_WARN_ON(qp->mrs_used);
	hca_qp_destroy(p->qp);
	hca_free(p);
	ib_core_give(device, IB_OBJ_QP);
	return 0;
}

/* --- draining: the last request of a queue in error completes after all others --- */

#define DRAIN_POLL_NS 1000000ull

struct drain {
	struct ib_cqe cqe;
	struct hca_completion done;
};

static void drained(struct ib_cq *cq, struct ib_wc *wc)
{
	(void)cq;
	hca_complete(&hca_container_of(wc->wr_cqe, struct drain, cqe)->done);
}

/* No call of a done() of @cq is under way when this returns. Return: and nothing waits for one. */
static bool cq_idle(struct ib_cq_priv *p)
{
	struct hca_eq *eq = p->cq.hca->eq;
	bool empty;

	hca_eq_cancel(eq, &p->cq.event);
	if (p->ib.poll_ctx != IB_POLL_SOFTIRQ)
		ib_work_cancel(&p->work);
	empty = !hca_cq_ring_waiting(&p->cq.ring);
	/* What we may have taken away goes on. */
	hca_cq_again(&p->cq);
	hca_eq_run(eq);
	return empty;
}

/*
 * Wait for the last one, or, of a queue that overflowed, and so takes nothing any more, for those that came before: its own
 * completion is there already, or never will be.
 */
static void wait_drained(struct ib_cq *cq, struct drain *d)
{
	struct ib_cq_priv *p = ib_cq_of(cq);
	bool lost, direct = cq->poll_ctx == IB_POLL_DIRECT;

	do {
		lost = hca_load_acquire(&p->cq.ring.error);
		if (direct)
			ib_process_cq_direct(cq, -1);
		else
			lost = lost && cq_idle(p);
	} while (hca_wait(&d->done, lost ? 0 : DRAIN_POLL_NS) && !lost);
}

/* Into error. Return: false: a queue pair in RESET, that has nothing that could be waited for. */
static bool drain_begin(struct ib_qp *qp, struct ib_cq *cq)
{
	struct ib_qp_attr attr = { .qp_state = IB_QPS_ERR };

	/* Only we poll it, and what is in it would leave no room. */
	if (cq->poll_ctx == IB_POLL_DIRECT)
		ib_process_cq_direct(cq, -1);
	return !ib_modify_qp(qp, &attr, IB_QP_STATE);
}

void ib_drain_sq(struct ib_qp *qp)
{
	struct drain d = { .cqe.done = drained };
	struct hca_send_wr wr = { .wr_id = (u64)(uintptr_t)&d.cqe, .opcode = HCA_WR_SEND, .flags = HCA_SEND_SIGNALED };
	u32 turns = 0;
	int err;

	if (!drain_begin(qp, qp->send_cq))
		return;
	hca_completion_init(&d.done);
	/* A queue that is full empties itself: it is being flushed. */
	while ((err = hca_post_send(ib_qp_of(qp)->qp, &wr)) == -ENOMEM)
		hca_relax(&turns);
	if (!HCA_WARN_ON(err))
		wait_drained(qp->send_cq, &d);
	hca_completion_destroy(&d.done);
}

void ib_drain_rq(struct ib_qp *qp)
{
	struct drain d = { .cqe.done = drained };

	if (!drain_begin(qp, qp->recv_cq))
		return;
	hca_completion_init(&d.done);
	hca_rx_last(ib_qp_of(qp)->qp, (u64)(uintptr_t)&d.cqe);
	wait_drained(qp->recv_cq, &d);
	hca_completion_destroy(&d.done);
}

void ib_drain_qp(struct ib_qp *qp)
{
	ib_drain_sq(qp);
	ib_drain_rq(qp);
}

/* --- shared receive queues --- */

struct ib_srq *ib_create_srq(struct ib_pd *pd, struct ib_srq_init_attr *a)
{
	struct ib_device *device = pd->device;
	const struct hca_srq_attr attr = { .max_wr = a->attr.max_wr,
					   .max_sge = a->attr.max_sge,
					   .srq_limit = a->attr.srq_limit };
	struct ib_srq_priv *p;
	int err;

	if (a->srq_type != IB_SRQT_BASIC)
		return ERR_PTR(hca_refuse(-EOPNOTSUPP, "%s: SRQ not made: srq_type %d, must be IB_SRQT_BASIC",
					  device->name, (int)a->srq_type));
	err = ib_core_take(device, IB_OBJ_SRQ);
	if (err)
		return ERR_PTR(err);
	err = -ENOMEM;
	p = hca_alloc(sizeof(*p), HCA_MAY_SLEEP);
	if (!p)
		goto give;
	p->ib = (struct ib_srq){
		.device = device,
		.pd = pd,
		.event_handler = a->event_handler,
		.srq_context = a->srq_context,
	};
	err = hca_srq_init(&p->srq, &device->core->hca, &ib_pd_of(pd)->pd, &attr);
	if (err)
		goto free_srq;
	return &p->ib;
free_srq:
	hca_free(p);
give:
	ib_core_give(device, IB_OBJ_SRQ);
	return ERR_PTR(err);
}

int ib_modify_srq(struct ib_srq *srq, struct ib_srq_attr *a, int mask)
{
	const struct hca_srq_attr attr = { .max_wr = a->max_wr, .srq_limit = a->srq_limit };

	return hca_srq_modify(&ib_srq_of(srq)->srq, &attr, (u32)mask);
}

int ib_query_srq(struct ib_srq *srq, struct ib_srq_attr *attr)
{
	struct hca_srq_attr a;

	hca_srq_query(&ib_srq_of(srq)->srq, &a);
	*attr = (struct ib_srq_attr){ .max_wr = a.max_wr, .max_sge = a.max_sge, .srq_limit = a.srq_limit };
	return 0;
}

int ib_destroy_srq(struct ib_srq *srq)
{
	struct ib_device *device = srq->device;
	struct ib_srq_priv *p = ib_srq_of(srq);
	int err = hca_srq_fini(&p->srq);

	if (err)
		return err;
	hca_free(p);
	ib_core_give(device, IB_OBJ_SRQ);
	return 0;
}
