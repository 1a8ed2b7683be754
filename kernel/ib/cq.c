/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Completion queues. The engine calls a queue's handler from its event queue, in the
 * context of a post or of a worker; ib_core's handlers then poll in a softirq or a work
 * queue of theirs.
 */
#include "ib.h"

#define BATCH 16

/* What comes from user space with a request for a queue; of the kernel's own it is NULL. */
#ifdef HCA_HAVE_CQ_BUNDLE
#define CQ_UDATA struct uverbs_attr_bundle
#else
#define CQ_UDATA struct ib_udata
#endif

/* --- polling --- */

#define SAME(name) static_assert((int)IB_WC_##name == (int)HCA_WC_##name)
SAME(SUCCESS);
SAME(WR_FLUSH_ERR);
SAME(MW_BIND_ERR);
SAME(REM_ACCESS_ERR);
SAME(RNR_RETRY_EXC_ERR);
SAME(GENERAL_ERR);
SAME(SEND);
SAME(FETCH_ADD);
SAME(LOCAL_INV);
SAME(RECV);
SAME(RECV_RDMA_WITH_IMM);
SAME(GRH);
SAME(WITH_IMM);
SAME(WITH_INVALIDATE);

/* On Ethernet no path has a LID: the wire's is our own business. */
static void to_ib(const struct hca_wc *from, struct ib_wc *to)
{
	struct softhca_ib_qp *qp = from->user;

	memset(to, 0, sizeof(*to));
	to->wr_id = from->wr_id;
	to->status = (enum ib_wc_status)from->status;
	/* The only opcode whose number differs from kernel to kernel. */
	to->opcode = from->opcode == HCA_WC_REG_MR ? IB_WC_REG_MR : (enum ib_wc_opcode)from->opcode;
	to->vendor_err = from->vendor_err;
	to->byte_len = from->byte_len;
	to->qp = &qp->ib;
	to->ex.invalidate_rkey = from->imm;
	to->src_qp = from->src_qp;
	to->wc_flags = (int)(from->wc_flags & ~(u32)HCA_WC_IPV4);
	to->pkey_index = from->pkey_index;
	to->sl = from->sl;
	to->port_num = 1;
}

static int poll_cq(struct ib_cq *ib, int n, struct ib_wc *to)
{
	struct hca_cq_ring *ring = &softhca_ib_cq_of(ib)->cq.ring;
	struct hca_wc wc[BATCH];
	int i, got, done = 0;

	do {
		got = hca_cq_ring_poll(ring, wc, min(BATCH, n - done));
		for (i = 0; i < got; i++)
			to_ib(&wc[i], &to[done + i]);
		if (got > 0)
			done += got;
	} while (got == BATCH && done < n);
	return done ? done : got;
}

static int req_notify_cq(struct ib_cq *ib, enum ib_cq_notify_flags flags)
{
	bool any = (flags & IB_CQ_SOLICITED_MASK) == IB_CQ_NEXT_COMP;
	bool waiting = hca_cq_ring_notify(&softhca_ib_cq_of(ib)->cq.ring, any ? HCA_CQ_NEXT : HCA_CQ_SOLICITED);

	return flags & IB_CQ_REPORT_MISSED_EVENTS && waiting;
}

/* --- life --- */

/* A softirq that the handler raises runs when this is over, and not only when a thread for it does. */
static void on_completion(struct hca_cq *cq)
{
	struct ib_cq *ib = &container_of(cq, struct softhca_ib_cq, cq)->ib;

	if (!ib->comp_handler)
		return;
	local_bh_disable();
	ib->comp_handler(ib, ib->cq_context);
	local_bh_enable();
}

static int create_cq(struct ib_cq *ib, const struct ib_cq_init_attr *attr, CQ_UDATA *udata)
{
	struct ib_device *dev = ib->device;
	int err;

	if (udata || attr->flags)
		return -EOPNOTSUPP;
	if (!attr->cqe || attr->cqe > (unsigned int)dev->attrs.max_cqe)
		return -EINVAL;
	err = hca_cq_init(&softhca_ib_cq_of(ib)->cq, softhca_ib_hca(dev), attr->cqe, on_completion);
	if (!err)
		ib->cqe = (int)attr->cqe;
	return err;
}

static int destroy_cq(struct ib_cq *ib, struct ib_udata *udata)
{
	return hca_cq_fini(&softhca_ib_cq_of(ib)->cq);
}

static int resize_cq(struct ib_cq *ib, int cqe, struct ib_udata *udata)
{
	int err;

	if (cqe <= 0 || cqe > ib->device->attrs.max_cqe)
		return -EINVAL;
	err = hca_cq_resize(&softhca_ib_cq_of(ib)->cq, (u32)cqe);
	if (!err)
		ib->cqe = cqe;
	return err;
}

static int modify_cq(struct ib_cq *ib, u16 count, u16 period)
{
	return hca_cq_moderate(&softhca_ib_cq_of(ib)->cq, count, period);
}

const struct ib_device_ops softhca_ib_cq_ops = {
	.create_cq = create_cq,
	.destroy_cq = destroy_cq,
	.modify_cq = modify_cq,
	.poll_cq = poll_cq,
	.req_notify_cq = req_notify_cq,
	.resize_cq = resize_cq,

	INIT_RDMA_OBJ_SIZE(ib_cq, softhca_ib_cq, ib),
};
