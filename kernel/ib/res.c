/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What "rdma -dd resource show" shows of an object beyond what ib_core knows. ib_core
 * calls this until the object leaves its list. A memory region leaves it before it is
 * destroyed. A queue of completions or shared receives leaves it afterwards, but its
 * struct is still there: nothing is read here but its fields. Of a queue pair the
 * engine's object is gone then: see struct softhca_ib_qp.
 */
#include "ib.h"

#include <net/netlink.h>
#include <rdma/rdma_netlink.h>
#include <rdma/restrack.h>

/* @word: in place of @value, or NULL */
struct detail {
	const char *name;
	u32 value;
	const char *word;
};

static int put(struct sk_buff *msg, const struct detail *d, int n)
{
	struct nlattr *all = nla_nest_start(msg, RDMA_NLDEV_ATTR_DRIVER);
	int i, err = 0;

	if (!all)
		return -EMSGSIZE;
	for (i = 0; i < n && !err; i++)
		err = d[i].word ? rdma_nl_put_driver_string(msg, d[i].name, d[i].word) :
				  rdma_nl_put_driver_u32(msg, d[i].name, d[i].value);
	if (err) {
		nla_nest_cancel(msg, all);
		return -EMSGSIZE;
	}
	nla_nest_end(msg, all);
	return 0;
}

/* --- queue pairs --- */

static int put_qp(struct sk_buff *msg, struct hca_qp *qp)
{
	struct detail d[] = {
		{ "sq_size" }, { "sq_used" }, { "rq_size" }, { "rq_used" }, { "max_inline" }, { "retries" },
	};
	hca_irqflags_t flags;

	hca_spin_lock(&qp->lock, flags);
	d[0].value = qp->sq.size;
	d[1].value = qp->sq.tail - qp->sq.head;
	d[5].value = qp->repeated;
	hca_spin_unlock(&qp->lock, flags);
	d[2].value = qp->rq.size;
	d[3].value = hca_rq_used(&qp->rq);
	d[4].value = qp->max_inline;
	return put(msg, d, ARRAY_SIZE(d));
}

/* -EAGAIN: it has ended, and is left out. */
static int fill_res_qp_entry(struct sk_buff *msg, struct ib_qp *ib)
{
	struct softhca_ib_qp *p = softhca_ib_qp_of(ib);
	int err;

	mutex_lock(&p->life);
	err = p->qp ? put_qp(msg, p->qp) : -EAGAIN;
	mutex_unlock(&p->life);
	return err;
}

/* --- completion queues --- */

static int fill_res_cq_entry(struct sk_buff *msg, struct ib_cq *ib)
{
	static const char *const arms[] = {
		[HCA_CQ_DISARMED] = "no", [HCA_CQ_SOLICITED] = "solicited", [HCA_CQ_NEXT] = "yes"
	};
	struct hca_cq_ring *ring = &softhca_ib_cq_of(ib)->cq.ring;
	struct detail d[] = { { "used" }, { "queues" }, { "armed" }, { "overflowed" } };
	hca_irqflags_t flags;

	d[0].value = hca_cq_ring_used(ring);
	d[1].value = hca_load(&ring->users);
	hca_spin_lock(&ring->lock, flags);
	d[2].word = arms[ring->arm];
	d[3].value = ring->error;
	hca_spin_unlock(&ring->lock, flags);
	return put(msg, d, ARRAY_SIZE(d));
}

/* --- memory regions --- */

static int fill_res_mr_entry(struct sk_buff *msg, struct ib_mr *ib)
{
	static const char *const states[] = {
		[HCA_MR_INVALID] = "invalid", [HCA_MR_BUSY] = "busy", [HCA_MR_VALID] = "valid"
	};
	struct hca_mr *mr = softhca_ib_mr_of(ib)->mr;
	struct detail d[] = { { "kind" }, { "state" }, { "max_numbers" } };
	hca_irqflags_t flags;

	hca_spin_lock(&mr->lock, flags);
	d[1].word = mr->state < ARRAY_SIZE(states) ? states[mr->state] : "dead";
	hca_spin_unlock(&mr->lock, flags);
	d[0].word = mr->kind == HCA_MR_ALL ? "all" : ib->type == IB_MR_TYPE_SG_GAPS ? "pieces" : "pages";
	d[2].value = mr->max_pages;
	return put(msg, d, ARRAY_SIZE(d));
}

/* --- shared receive queues --- */

#ifdef HCA_HAVE_RES_SRQ
static int fill_res_srq_entry(struct sk_buff *msg, struct ib_srq *ib)
{
	struct hca_srq *srq = &softhca_ib_srq_of(ib)->srq;
	struct detail d[] = { { "size" }, { "used" }, { "limit" } };
	struct hca_srq_attr a;

	hca_srq_query(srq, &a);
	d[0].value = a.max_wr;
	d[1].value = hca_rq_used(&srq->rq);
	d[2].value = a.srq_limit;
	return put(msg, d, ARRAY_SIZE(d));
}
#endif

const struct ib_device_ops softhca_ib_res_ops = {
	.fill_res_cq_entry = fill_res_cq_entry,
	.fill_res_mr_entry = fill_res_mr_entry,
	.fill_res_qp_entry = fill_res_qp_entry,
#ifdef HCA_HAVE_RES_SRQ
	.fill_res_srq_entry = fill_res_srq_entry,
#endif
};
