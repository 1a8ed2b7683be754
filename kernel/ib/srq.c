/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Shared receive queues; posting to them is in post.c. */
#include "ib.h"

static int create_srq(struct ib_srq *ib, struct ib_srq_init_attr *a, struct ib_udata *udata)
{
	const struct hca_srq_attr attr = { .max_wr = a->attr.max_wr,
					   .max_sge = a->attr.max_sge,
					   .srq_limit = a->attr.srq_limit };

	if (udata || a->srq_type != IB_SRQT_BASIC)
		return -EOPNOTSUPP;
	return hca_srq_init(&softhca_ib_srq_of(ib)->srq, softhca_ib_hca(ib->device), &softhca_ib_pd_of(ib->pd)->pd,
			    &attr);
}

static int destroy_srq(struct ib_srq *ib, struct ib_udata *udata)
{
	return hca_srq_fini(&softhca_ib_srq_of(ib)->srq);
}

static int modify_srq(struct ib_srq *ib, struct ib_srq_attr *a, enum ib_srq_attr_mask mask, struct ib_udata *udata)
{
	const struct hca_srq_attr attr = { .max_wr = a->max_wr, .srq_limit = a->srq_limit };

	static_assert((int)IB_SRQ_LIMIT == (int)HCA_SRQ_LIMIT && (int)IB_SRQ_MAX_WR == (int)HCA_SRQ_MAX_WR);
	return hca_srq_modify(&softhca_ib_srq_of(ib)->srq, &attr, (u32)mask);
}

static int query_srq(struct ib_srq *ib, struct ib_srq_attr *attr)
{
	struct hca_srq_attr a;

	hca_srq_query(&softhca_ib_srq_of(ib)->srq, &a);
	*attr = (struct ib_srq_attr){ .max_wr = a.max_wr, .max_sge = a.max_sge, .srq_limit = a.srq_limit };
	return 0;
}

const struct ib_device_ops softhca_ib_srq_ops = {
	.create_srq = create_srq,
	.destroy_srq = destroy_srq,
	.modify_srq = modify_srq,
	.query_srq = query_srq,

	INIT_RDMA_OBJ_SIZE(ib_srq, softhca_ib_srq, ib),
};
