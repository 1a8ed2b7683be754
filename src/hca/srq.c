/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Shared receive queues: making, changing and ending them, and the event that says
 * that one runs low. What is posted to one belongs to no queue pair before a message
 * takes it, so a queue pair's error flushes nothing of it (IBTA 10.2.9, 10.3.1.5).
 */
#include "hca/qp.h"

static void fire_srq(struct hca_eq_node *node)
{
	struct hca_srq *srq = hca_container_of(node, struct hca_srq, event);

	if (srq->hca->event)
		srq->hca->event(srq->hca, HCA_EVENT_SRQ_LIMIT_REACHED, srq);
}

int hca_srq_init(struct hca_srq *srq, struct hca *hca, struct hca_pd *pd, const struct hca_srq_attr *attr)
{
	int err;

	if (pd->keys != &hca->keys || !attr->max_wr || attr->max_wr > HCA_MAX_WR || attr->max_sge > HCA_MAX_SGE ||
	    attr->srq_limit > attr->max_wr)
		return -EINVAL;
	err = hca_rq_init(&srq->rq, attr->max_wr, attr->max_sge);
	if (err)
		return err;
	srq->rq.limit = attr->srq_limit;
	srq->hca = hca;
	srq->pd = pd;
	srq->users = 0;
	srq->event = (struct hca_eq_node){ .fire = fire_srq };
	hca_fetch_add(&pd->users, 1);
	return 0;
}

int hca_srq_fini(struct hca_srq *srq)
{
	if (hca_load_acquire(&srq->users))
		return -EBUSY;
	hca_eq_cancel(&srq->hca->wire->eq, &srq->event);
	hca_rq_fini(&srq->rq);
	hca_fetch_add(&srq->pd->users, (u32)-1);
	return 0;
}

static int check_modify(struct hca_srq *srq, const struct hca_srq_attr *attr, u32 mask)
{
	u32 size, limit;

	hca_rq_query(&srq->rq, &size, &limit);
	if (mask & ~(u32)(HCA_SRQ_MAX_WR | HCA_SRQ_LIMIT))
		return -EINVAL;
	if (mask & HCA_SRQ_MAX_WR)
		size = attr->max_wr;
	if (mask & HCA_SRQ_LIMIT)
		limit = attr->srq_limit;
	return !size || size > HCA_MAX_WR || limit > size ? -EINVAL : 0;
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
