/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Shared receive queues, and the event that says that one runs low; see srq.h. */
#include "hca/srq.h"

#include "hca/xrc.h"

static void fire_srq(struct hca_eq_node *node)
{
	struct hca_srq *srq = hca_container_of(node, struct hca_srq, event);

	if (srq->hca->event)
		srq->hca->event(srq->hca, HCA_EVENT_SRQ_LIMIT_REACHED, srq);
}

int hca_srq_init(struct hca_srq *srq, struct hca *hca, struct hca_pd *pd, const struct hca_srq_attr *attr)
{
	int err;

	if (pd->keys != &hca->keys)
		return hca_refuse(-EINVAL, "%s: SRQ not made: the domain is another adapter's", hca->name);
	if (!attr->max_wr || attr->max_wr > hca->attr.max_srq_wr)
		return hca_refuse(-EINVAL, "%s: SRQ not made: max_wr is %u, must be from 1 to %u", hca->name,
				  attr->max_wr, hca->attr.max_srq_wr);
	if (attr->max_sge > hca->attr.max_sge)
		return hca_refuse(-EINVAL, "%s: SRQ not made: max_sge is %u, must be from 0 to %u", hca->name,
				  attr->max_sge, hca->attr.max_sge);
	if (attr->srq_limit > attr->max_wr)
		return hca_refuse(-EINVAL, "%s: SRQ not made: srq_limit %u is more than its max_wr, %u", hca->name,
				  attr->srq_limit, attr->max_wr);
	hca_memset(srq, 0, sizeof(*srq));
	err = hca_rq_init(&srq->rq, attr->max_wr, attr->max_sge);
	if (err)
		return err;
	srq->rq.limit = attr->srq_limit;
	srq->hca = hca;
	srq->pd = pd;
	srq->event = (struct hca_eq_node){ .fire = fire_srq };
	hca_fetch_add(&pd->users, 1);
	return 0;
}

int hca_srq_fini(struct hca_srq *srq)
{
	if (srq->xrcd ? hca_xrc_retract(srq) != 0 : hca_load_acquire(&srq->users) != 0)
		return hca_refuse(-EBUSY, "%s: SRQ not destroyed: queue pairs use it, or a message comes in",
				  srq->hca->name);
	hca_eq_cancel(srq->hca->eq, &srq->event);
	if (srq->xrcd) {
		hca_cq_ring_purge(&srq->cq->ring, &srq->recvs);
		hca_fetch_add(&srq->cq->ring.users, (u32)-1);
		hca_fetch_add(&srq->xrcd->users, (u32)-1);
	}
	hca_rq_fini(&srq->rq);
	hca_fetch_add(&srq->pd->users, (u32)-1);
	return 0;
}

int hca_xrc_srq_init(struct hca_srq *srq, struct hca *hca, struct hca_pd *pd, struct hca_xrcd *xrcd, struct hca_cq *cq,
		     void *user, const struct hca_srq_attr *attr)
{
	int err;

	if (!xrcd || !cq || xrcd->hca != hca || cq->hca != hca)
		return hca_refuse(-EINVAL, "%s: XRC SRQ not made: it needs an XRC domain and a CQ of this adapter",
				  hca->name);
	err = hca_xrc_table(hca);
	if (err)
		return err;
	err = hca_srq_init(srq, hca, pd, attr);
	if (err)
		return err;
	srq->xrcd = xrcd;
	srq->cq = cq;
	srq->user = user;
	hca_fetch_add(&xrcd->users, 1);
	hca_fetch_add(&cq->ring.users, 1);
	err = hca_xrc_publish(srq);
	if (err) {
		srq->number = 0;
		hca_srq_fini(srq);
	}
	return err;
}

static int check_modify(struct hca_srq *srq, const struct hca_srq_attr *attr, u32 mask)
{
	u32 size, limit;

	hca_rq_query(&srq->rq, &size, &limit);
	if (mask & ~(u32)(HCA_SRQ_MAX_WR | HCA_SRQ_LIMIT))
		return hca_refuse(-EINVAL, "%s: SRQ not changed: mask 0x%x has more than MAX_WR and LIMIT",
				  srq->hca->name, mask);
	if (mask & HCA_SRQ_MAX_WR)
		size = attr->max_wr;
	if (mask & HCA_SRQ_LIMIT)
		limit = attr->srq_limit;
	if (!size || size > srq->hca->attr.max_srq_wr)
		return hca_refuse(-EINVAL, "%s: SRQ not changed: max_wr is %u, must be from 1 to %u", srq->hca->name,
				  size, srq->hca->attr.max_srq_wr);
	if (limit > size)
		return hca_refuse(-EINVAL, "%s: SRQ not changed: srq_limit %u is more than its max_wr, %u",
				  srq->hca->name, limit, size);
	return 0;
}

int hca_srq_modify(struct hca_srq *srq, const struct hca_srq_attr *attr, u32 mask)
{
	int err = check_modify(srq, attr, mask);

	/* First what may fail: then nothing has changed. */
	if (!err && mask & HCA_SRQ_MAX_WR)
		err = hca_rq_resize(&srq->rq, attr->max_wr);
	if (!err && mask & HCA_SRQ_LIMIT)
		hca_rq_arm(&srq->rq, attr->srq_limit);
	return err;
}

void hca_srq_query(struct hca_srq *srq, struct hca_srq_attr *attr)
{
	hca_rq_query(&srq->rq, &attr->max_wr, &attr->srq_limit);
	attr->max_sge = srq->rq.max_sge;
}

int hca_srq_post(struct hca_srq *srq, const struct hca_recv_wr *wr)
{
	return hca_rq_post(&srq->rq, wr);
}

bool hca_srq_take(struct hca_srq *srq, struct hca_rwqe *out)
{
	bool limit, got = hca_rq_take(&srq->rq, out, &limit);

	if (hca_unlikely(limit))
		hca_eq_add(srq->hca->eq, &srq->event);
	return got;
}
