/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Completion queues that ULPs share: a device makes one when those that it has are
 * full, and keeps it until it is unregistered. A queue is never given more work than it has room for.
 */
#include "ib_core.h"

#define LEAST 256u /* completions of a shared queue */

static struct ib_cq_priv *find_room(struct ib_core *core, unsigned int nr_cqe, enum ib_poll_context poll_ctx)
{
	struct ib_cq_priv *p;

	hca_mutex_assert(&core->pool_lock);
	list_for_each_entry(p, &core->pool, pool)
		if (p->ib.poll_ctx == poll_ctx && nr_cqe <= (unsigned int)p->ib.cqe - p->cqe_used)
			return p;
	return NULL;
}

struct ib_cq *ib_cq_pool_get(struct ib_device *dev, unsigned int nr_cqe, int comp_vector_hint,
			     enum ib_poll_context poll_ctx)
{
	unsigned int most = (unsigned int)dev->attrs.max_cqe;
	struct ib_core *core = dev->core;
	struct ib_cq_priv *p;
	struct ib_cq *cq;

	(void)comp_vector_hint;
	if ((u32)poll_ctx > IB_POLL_LAST_POOL_TYPE)
		return ERR_PTR(hca_refuse(-EINVAL, "%s: no shared CQ: poll context %u isn't one of shared queues",
					  dev->name, (u32)poll_ctx));
	if (!nr_cqe || nr_cqe > most)
		return ERR_PTR(hca_refuse(-EINVAL, "%s: no shared CQ: nr_cqe is %u, must be from 1 to %u", dev->name,
					  nr_cqe, most));
	hca_mutex_lock(&core->pool_lock);
	p = find_room(core, nr_cqe, poll_ctx);
	if (!p) {
		cq = ib_alloc_cq(dev, NULL, (int)HCA_MIN(HCA_MAX(nr_cqe, LEAST), most), 0, poll_ctx);
		if (IS_ERR(cq))
			goto unlock;
		p = ib_cq_of(cq);
		cq->shared = true;
		list_add_tail(&p->pool, &core->pool);
	}
	p->cqe_used += nr_cqe;
	cq = &p->ib;
unlock:
	hca_mutex_unlock(&core->pool_lock);
	return cq;
}

void ib_cq_pool_put(struct ib_cq *cq, unsigned int nr_cqe)
{
	struct ib_core *core = cq->device->core;
	struct ib_cq_priv *p = ib_cq_of(cq);

	hca_mutex_lock(&core->pool_lock);
	if (!HCA_WARN_ON(!cq->shared || nr_cqe > p->cqe_used))
		p->cqe_used -= nr_cqe;
	hca_mutex_unlock(&core->pool_lock);
}

void ib_cq_pool_free(struct ib_device *dev)
{
	struct ib_core *core = dev->core;
	struct ib_cq_priv *p, *next;

	/* One that queue pairs still use stays, and is counted among what was not destroyed. */
	hca_mutex_lock(&core->pool_lock);
	list_for_each_entry_safe(p, next, &core->pool, pool) {
		list_del(&p->pool);
		if (p->cqe_used)
			hca_log(HCA_LOG_ERR, "%s: room for %u completions of a shared queue was not given back",
				dev->name, p->cqe_used);
		ib_destroy_cq(&p->ib);
	}
	hca_mutex_unlock(&core->pool_lock);
}
