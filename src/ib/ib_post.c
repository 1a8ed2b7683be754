/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Posting: the kernel-style work requests as the engine's own, one by one. */
#include "ib_core.h"

_Static_assert(sizeof(struct ib_sge) == sizeof(struct hca_sge), "ib_sge is hca_sge");
_Static_assert(offsetof(struct ib_sge, lkey) == offsetof(struct hca_sge, lkey), "ib_sge is hca_sge");

#define SAME(a, b) \
	_Static_assert(offsetof(struct ib_send_wr, a) - offsetof(struct ib_send_wr, wr_id) == \
			       offsetof(struct hca_send_wr, b), \
		       "ib_send_wr is hca_send_wr")
SAME(sg_list, sge);
SAME(num_sge, num_sge);
SAME(opcode, opcode);
SAME(send_flags, flags);
SAME(ex, imm);
_Static_assert(sizeof(struct ib_send_wr) - offsetof(struct ib_send_wr, wr_id) == offsetof(struct hca_send_wr, rdma),
	       "ib_send_wr is hca_send_wr");
_Static_assert(offsetof(struct ib_rdma_wr, remote_addr) - offsetof(struct ib_rdma_wr, wr.wr_id) ==
		       offsetof(struct hca_send_wr, rdma.addr),
	       "ib_rdma_wr is hca_send_wr");
_Static_assert(offsetof(struct ib_rdma_wr, rkey) - offsetof(struct ib_rdma_wr, wr.wr_id) ==
		       offsetof(struct hca_send_wr, rdma.rkey),
	       "ib_rdma_wr is hca_send_wr");

static const struct hca_sge *sges(const struct ib_sge *list)
{
	return (const struct hca_sge *)list;
}

/* What it has is laid out as the engine's: it is posted where it is. */
static inline bool is_plain(const struct ib_qp *qp, enum ib_wr_opcode op)
{
	_Static_assert(IB_WR_RDMA_WRITE == 0 && IB_WR_RDMA_READ == 4,
		       "sends, and what is an ib_rdma_wr, are up to there");
	return op <= IB_WR_RDMA_READ && qp->qp_type != IB_QPT_UD;
}

static HCA_COLD int refuse(const struct ib_qp *qp, const struct ib_send_wr *wr, hca_site_t site, const char *why)
{
	return hca_refuse(-EINVAL, "%s QP %u: request (opcode %d, wr_id 0x%llx, posted at " HCA_SITE ") refused: %s",
			  qp->device->name, qp->qp_num, (int)wr->opcode, (unsigned long long)wr->wr_id, hca_site(site),
			  why);
}

/* The fields that only some opcodes have. Return: 0; -EINVAL: no such opcode, or objects of another device. */
static int fill(const struct ib_qp *qp, const struct ib_send_wr *wr, struct hca_send_wr *to, hca_site_t site)
{
	struct ib_mr_priv *mr;
	struct ib_ah *ah;

	switch (wr->opcode) {
	case IB_WR_ATOMIC_CMP_AND_SWP:
	case IB_WR_ATOMIC_FETCH_AND_ADD:
		to->atomic.addr = atomic_wr(wr)->remote_addr;
		to->atomic.compare_add = atomic_wr(wr)->compare_add;
		to->atomic.swap = atomic_wr(wr)->swap;
		to->atomic.rkey = atomic_wr(wr)->rkey;
		return 0;
	case IB_WR_SEND:
	case IB_WR_SEND_WITH_IMM:
		ah = ud_wr(wr)->ah;
		if (!ah || ah->pd != qp->pd)
			return refuse(qp, wr, site, "its ah is NULL, or of another PD");
		to->ud.dlid = ib_ah_of(ah)->path.dlid;
		to->ud.qpn = ud_wr(wr)->remote_qpn;
		to->ud.qkey = ud_wr(wr)->remote_qkey;
		to->ud.sl = ib_ah_of(ah)->path.sl;
		to->ud.is_global = ib_ah_of(ah)->path.is_global;
		to->ud.grh = ib_ah_of(ah)->path.grh;
		return 0;
	/* No datagrams: the engine refuses those. */
	case IB_WR_RDMA_WRITE:
	case IB_WR_RDMA_WRITE_WITH_IMM:
	case IB_WR_RDMA_READ:
	case IB_WR_SEND_WITH_INV:
	case IB_WR_LOCAL_INV:
		return 0;
	case IB_WR_REG_MR:
		if (!reg_wr(wr)->mr || reg_wr(wr)->mr->device != qp->device)
			return refuse(qp, wr, site, "its mr is NULL, or another device's");
		mr = ib_mr_of(reg_wr(wr)->mr);
		to->reg.mr = mr->mr;
		to->reg.to = mr->pages;
		to->reg.to.key = reg_wr(wr)->key;
		to->reg.to.access = (u32)reg_wr(wr)->access;
		to->reg.to.iova = mr->ib.iova;
		to->reg.to.length = mr->ib.length;
		return 0;
	case IB_WR_RDMA_READ_WITH_INV:
		return refuse(qp, wr, site,
			      "InfiniBand has no RDMA READ that invalidates; post IB_WR_LOCAL_INV behind it");
	case IB_WR_MASKED_ATOMIC_CMP_AND_SWP:
	case IB_WR_MASKED_ATOMIC_FETCH_AND_ADD:
	case IB_WR_FLUSH:
	case IB_WR_ATOMIC_WRITE:
	case IB_WR_REG_MR_INTEGRITY:
		return refuse(qp, wr, site, "the engine has no such request");
	case IB_WR_BIND_MW:
		return ib_fill_bind(qp, bind_mw_wr(wr)->mw, bind_mw_wr(wr)->rkey, &bind_mw_wr(wr)->bind_info, to);
	}
	return refuse(qp, wr, site, "no such opcode");
}

static __attribute__((noinline)) int post_filled(struct ib_qp *qp, const struct ib_send_wr *wr, hca_site_t site)
{
	struct hca_send_wr to;
	int err;

	/* What all requests have is laid out as the engine's. */
	hca_memcpy(&to, &wr->wr_id, offsetof(struct hca_send_wr, rdma));
	err = fill(qp, wr, &to, site);
	return err ? err : hca_post_send_at(ib_qp_of(qp)->qp, &to, site);
}

static inline int post_one(struct ib_qp *qp, const struct ib_send_wr *wr, hca_site_t site)
{
	if (hca_likely(is_plain(qp, wr->opcode)))
		return hca_post_send_at(ib_qp_of(qp)->qp, (const struct hca_send_wr *)&wr->wr_id, site);
	return post_filled(qp, wr, site);
}

int ib_post_send_at(struct ib_qp *qp, const struct ib_send_wr *wr, const struct ib_send_wr **bad_wr, hca_site_t site)
{
	const struct ib_send_wr *next;

	/* Its handler may run, and the request be gone, before the post returns. */
	for (; wr; wr = next) {
		int err;

		next = wr->next;
		err = post_one(qp, wr, site);

		if (hca_unlikely(err)) {
			if (bad_wr)
				*bad_wr = wr;
			return err;
		}
	}
	return 0;
}

static void fill_recv(const struct ib_recv_wr *wr, struct hca_recv_wr *to, hca_site_t site)
{
	to->wr_id = wr->wr_id;
	to->sge = sges(wr->sg_list);
	to->num_sge = (u32)wr->num_sge;
	to->site = site;
}

int ib_post_recv_at(struct ib_qp *qp, const struct ib_recv_wr *wr, const struct ib_recv_wr **bad_wr, hca_site_t site)
{
	const struct ib_recv_wr *next;

	for (; wr; wr = next) {
		struct hca_recv_wr to;
		int err;

		next = wr->next;
		fill_recv(wr, &to, site);
		err = hca_post_recv(ib_qp_of(qp)->qp, &to);
		if (hca_unlikely(err)) {
			if (bad_wr)
				*bad_wr = wr;
			return hca_recv_refuse(ib_qp_of(qp)->qp, &to, err);
		}
	}
	return 0;
}

int ib_post_srq_recv_at(struct ib_srq *srq, const struct ib_recv_wr *wr, const struct ib_recv_wr **bad_wr,
			hca_site_t site)
{
	const struct ib_recv_wr *next;

	for (; wr; wr = next) {
		struct hca_recv_wr to;
		int err;

		next = wr->next;
		fill_recv(wr, &to, site);
		err = hca_srq_post(&ib_srq_of(srq)->srq, &to);
		if (hca_unlikely(err)) {
			if (bad_wr)
				*bad_wr = wr;
			return hca_rq_refuse(&ib_srq_of(srq)->srq.rq, &to, err);
		}
	}
	return 0;
}
