/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Regions for fast registration that a queue pair keeps at hand, in lists that a ULP names. */
#include "ib_core.h"

int ib_mr_pool_init(struct ib_qp *qp, struct list_head *list, int nr, enum ib_mr_type type, u32 max_num_sg,
		    u32 max_num_meta_sg)
{
	struct ib_qp_priv *p = ib_qp_of(qp);
	hca_irqflags_t flags;
	struct ib_mr *mr;
	int i;

	if (max_num_meta_sg)
		return hca_refuse(-EINVAL,
				  "%s QP %u: no pool of MRs: max_num_meta_sg is %u; MRs with metadata aren't supported",
				  qp->device->name, qp->qp_num, max_num_meta_sg);
	for (i = 0; i < nr; i++) {
		mr = ib_alloc_mr(qp->pd, type, max_num_sg);
		if (IS_ERR(mr)) {
			ib_mr_pool_destroy(qp, list);
			return (int)PTR_ERR(mr);
		}
		hca_spin_lock(&p->mr_lock, flags);
		list_add_tail(&mr->qp_entry, list);
		hca_spin_unlock(&p->mr_lock, flags);
	}
	return 0;
}

static struct ib_mr *take(struct ib_qp *qp, struct list_head *list, int used)
{
	struct ib_qp_priv *p = ib_qp_of(qp);
	struct ib_mr *mr = NULL;
	hca_irqflags_t flags;

	hca_spin_lock(&p->mr_lock, flags);
	if (!list_empty(list)) {
		mr = list_first_entry(list, struct ib_mr, qp_entry);
		list_del(&mr->qp_entry);
		qp->mrs_used += used;
	}
	hca_spin_unlock(&p->mr_lock, flags);
	return mr;
}

struct ib_mr *ib_mr_pool_get(struct ib_qp *qp, struct list_head *list)
{
	return take(qp, list, 1);
}

void ib_mr_pool_put(struct ib_qp *qp, struct list_head *list, struct ib_mr *mr)
{
	struct ib_qp_priv *p = ib_qp_of(qp);
	hca_irqflags_t flags;

	hca_spin_lock(&p->mr_lock, flags);
	list_add(&mr->qp_entry, list);
	qp->mrs_used--;
	hca_spin_unlock(&p->mr_lock, flags);
}

void ib_mr_pool_destroy(struct ib_qp *qp, struct list_head *list)
{
	struct ib_mr *mr;

	while ((mr = take(qp, list, 0)))
		HCA_WARN_ON(ib_dereg_mr(mr));
}
