/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Posting: ib_core's work requests as the engine's own, one by one. Any context. The
 * engine carries a request out in the context of the post where it may, and leaves it
 * to a worker where interrupts are off.
 */
#include "ib.h"

#define SAME_SGE(name) static_assert(offsetof(struct ib_sge, name) == offsetof(struct hca_sge, name))
SAME_SGE(addr);
SAME_SGE(length);
SAME_SGE(lkey);
static_assert(sizeof(struct ib_sge) == sizeof(struct hca_sge));

/* Up to and with the peer's address and key both are laid out alike: such a request is posted where it is. */
#define SAME(type, from, to) \
	static_assert(offsetof(struct type, from) - offsetof(struct ib_send_wr, wr_id) == \
		      offsetof(struct hca_send_wr, to))
SAME(ib_send_wr, sg_list, sge);
SAME(ib_send_wr, num_sge, num_sge);
SAME(ib_send_wr, opcode, opcode);
SAME(ib_send_wr, send_flags, flags);
SAME(ib_send_wr, ex, imm);
SAME(ib_rdma_wr, remote_addr, rdma.addr);
SAME(ib_rdma_wr, rkey, rdma.rkey);

#define SAME_OP(name) static_assert((int)IB_WR_##name == (int)HCA_WR_##name)
SAME_OP(RDMA_WRITE);
SAME_OP(RDMA_WRITE_WITH_IMM);
SAME_OP(SEND);
SAME_OP(SEND_WITH_IMM);
SAME_OP(RDMA_READ);
SAME_OP(ATOMIC_CMP_AND_SWP);
SAME_OP(ATOMIC_FETCH_AND_ADD);
SAME_OP(LOCAL_INV);
SAME_OP(SEND_WITH_INV);
SAME_OP(REG_MR);
static_assert((int)IB_SEND_INLINE == (int)HCA_SEND_INLINE && (int)IB_SEND_FENCE == (int)HCA_SEND_FENCE);

static bool is_datagram(const struct ib_qp *qp)
{
	return qp->qp_type == IB_QPT_UD || qp->qp_type == IB_QPT_GSI;
}

static bool is_plain(const struct ib_qp *qp, enum ib_wr_opcode op)
{
	return op <= IB_WR_RDMA_READ && !is_datagram(qp);
}

static int fill_datagram(const struct ib_qp *qp, const struct ib_ud_wr *wr, struct hca_send_wr *to)
{
	const struct hca_ah_attr *path;

	if (!wr->ah || wr->ah->pd->device != qp->device)
		return -EINVAL;
	path = &softhca_ib_ah_of(wr->ah)->path;
	to->ud.dlid = path->dlid;
	to->ud.qpn = wr->remote_qpn;
	to->ud.qkey = wr->remote_qkey;
	to->ud.sl = path->sl;
	to->ud.is_global = path->is_global;
	to->ud.grh = path->grh;
	return 0;
}

static int fill_registration(const struct ib_qp *qp, const struct ib_reg_wr *wr, struct hca_send_wr *to)
{
	struct softhca_ib_mr *mr;

	if (!wr->mr || wr->mr->device != qp->device)
		return -EINVAL;
	mr = softhca_ib_mr_of(wr->mr);
	to->reg.mr = mr->mr;
	to->reg.to = mr->pages;
	to->reg.to.key = wr->key;
	to->reg.to.access = (u32)wr->access;
	to->reg.to.iova = mr->ib.iova;
	to->reg.to.length = mr->ib.length;
	return 0;
}

static void fill_atomic(const struct ib_atomic_wr *wr, struct hca_send_wr *to)
{
	to->atomic.addr = wr->remote_addr;
	to->atomic.compare_add = wr->compare_add;
	to->atomic.swap = wr->swap;
	to->atomic.rkey = wr->rkey;
}

/* The fields that only some opcodes have. Return: 0; -EINVAL: no such opcode, or objects of another device. */
static int fill(const struct ib_qp *qp, const struct ib_send_wr *wr, struct hca_send_wr *to)
{
	switch (wr->opcode) {
	case IB_WR_ATOMIC_CMP_AND_SWP:
	case IB_WR_ATOMIC_FETCH_AND_ADD:
		fill_atomic(atomic_wr(wr), to);
		return 0;
	case IB_WR_SEND:
	case IB_WR_SEND_WITH_IMM:
		return fill_datagram(qp, ud_wr(wr), to);
	case IB_WR_SEND_WITH_INV:
	case IB_WR_LOCAL_INV:
		return 0;
	case IB_WR_REG_MR:
		return fill_registration(qp, reg_wr(wr), to);
	default:
		return -EINVAL;
	}
}

static noinline int post_filled(struct ib_qp *qp, const struct ib_send_wr *wr, hca_site_t site)
{
	struct hca_send_wr to = {
		.wr_id = wr->wr_id,
		.sge = (const struct hca_sge *)wr->sg_list,
		.num_sge = (u32)wr->num_sge,
		.opcode = (enum hca_wr_opcode)wr->opcode,
		.flags = (u32)wr->send_flags,
		.imm = wr->ex.invalidate_rkey,
	};
	int err = fill(qp, wr, &to);

	return err ? err : hca_post_send_at(softhca_ib_qp_of(qp)->qp, &to, site);
}

static int post_send(struct ib_qp *qp, const struct ib_send_wr *wr, const struct ib_send_wr **bad)
{
	hca_site_t site = __builtin_return_address(0);
	const struct ib_send_wr *next;
	int err;

	/* Its handler may run, and the request be gone, before the post returns. */
	for (; wr; wr = next) {
		next = wr->next;
		if (likely(is_plain(qp, wr->opcode)))
			err = hca_post_send_at(softhca_ib_qp_of(qp)->qp, (const struct hca_send_wr *)&wr->wr_id, site);
		else
			err = post_filled(qp, wr, site);
		if (unlikely(err)) {
			*bad = wr;
			return err;
		}
	}
	return 0;
}

static void fill_recv(const struct ib_recv_wr *wr, struct hca_recv_wr *to, hca_site_t site)
{
	to->wr_id = wr->wr_id;
	to->sge = (const struct hca_sge *)wr->sg_list;
	to->num_sge = (u32)wr->num_sge;
	to->site = site;
}

static int post_recv(struct ib_qp *qp, const struct ib_recv_wr *wr, const struct ib_recv_wr **bad)
{
	hca_site_t site = __builtin_return_address(0);
	const struct ib_recv_wr *next;
	struct hca_recv_wr to;
	int err;

	for (; wr; wr = next) {
		next = wr->next;
		fill_recv(wr, &to, site);
		err = hca_post_recv(softhca_ib_qp_of(qp)->qp, &to);
		if (unlikely(err)) {
			*bad = wr;
			return err;
		}
	}
	return 0;
}

static int post_srq_recv(struct ib_srq *srq, const struct ib_recv_wr *wr, const struct ib_recv_wr **bad)
{
	hca_site_t site = __builtin_return_address(0);
	const struct ib_recv_wr *next;
	struct hca_recv_wr to;
	int err;

	for (; wr; wr = next) {
		next = wr->next;
		fill_recv(wr, &to, site);
		err = hca_srq_post(&softhca_ib_srq_of(srq)->srq, &to);
		if (unlikely(err)) {
			*bad = wr;
			return err;
		}
	}
	return 0;
}

const struct ib_device_ops softhca_ib_post_ops = {
	.post_recv = post_recv,
	.post_send = post_send,
	.post_srq_recv = post_srq_recv,
};
