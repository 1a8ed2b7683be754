/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Receive queues; see rq.h. */
#include "hca/rq.h"

#define MAX_ENTRIES (1u << 20)
#define MAX_BYTES (1ull << 31) /* of one message */

int hca_rq_init(struct hca_rq *rq, u32 size, u32 max_sge)
{
	hca_memset(rq, 0, sizeof(*rq));
	hca_spin_init(&rq->lock);
	rq->max_sge = max_sge;
	rq->stride = hca_rq_entry_bytes(max_sge);
	if (size > MAX_ENTRIES)
		return -EINVAL;
	if (!size)
		return 0;
	rq->ring = hca_alloc((size_t)size * rq->stride, HCA_MAY_SLEEP);
	if (!rq->ring)
		return -ENOMEM;
	rq->size = size;
	return 0;
}

void hca_rq_fini(struct hca_rq *rq)
{
	hca_free(rq->ring);
}

/* Sizes need not be powers of two: the counters stay below twice the size, so that full and empty differ. */
static struct hca_rwqe *entry(const struct hca_rq *rq, u32 i)
{
	return (struct hca_rwqe *)(rq->ring + (size_t)(i < rq->size ? i : i - rq->size) * rq->stride);
}

static u32 next(const struct hca_rq *rq, u32 i)
{
	return i + 1 < 2 * rq->size ? i + 1 : 0;
}

static u32 filled(const struct hca_rq *rq)
{
	return rq->tail >= rq->head ? rq->tail - rq->head : rq->tail + 2 * rq->size - rq->head;
}

int hca_rq_post(struct hca_rq *rq, const struct hca_recv_wr *wr)
{
	hca_irqflags_t flags;
	struct hca_rwqe *e;
	int err = -ENOMEM;
	u64 len = 0;
	u32 i;

	if (wr->num_sge > rq->max_sge || (wr->num_sge && !wr->sge))
		return -EINVAL;
	for (i = 0; i < wr->num_sge; i++)
		len += wr->sge[i].length;
	if (len > MAX_BYTES)
		return -EINVAL;
	hca_spin_lock(&rq->lock, flags);
	if (filled(rq) < rq->size) {
		e = entry(rq, rq->tail);
		e->room = len;
		e->wr_id = wr->wr_id;
		e->site = wr->site;
		e->num_sge = wr->num_sge;
		if (wr->num_sge)
			hca_memcpy(e->sge, wr->sge, wr->num_sge * sizeof(*wr->sge));
		rq->tail = next(rq, rq->tail);
		err = 0;
	}
	hca_spin_unlock(&rq->lock, flags);
	return err;
}

bool hca_rq_take(struct hca_rq *rq, struct hca_rwqe *out, bool *limit_hit)
{
	hca_irqflags_t flags;
	bool got = false;

	if (limit_hit)
		*limit_hit = false;
	hca_spin_lock(&rq->lock, flags);
	if (rq->head != rq->tail) {
		const struct hca_rwqe *e = entry(rq, rq->head);

		hca_memcpy(out, e, hca_rq_entry_bytes(e->num_sge));
		rq->head = next(rq, rq->head);
		got = true;
		if (rq->limit && filled(rq) < rq->limit) {
			rq->limit = 0;
			if (limit_hit)
				*limit_hit = true;
		}
	}
	hca_spin_unlock(&rq->lock, flags);
	return got;
}

void hca_rq_drop(struct hca_rq *rq)
{
	hca_irqflags_t flags;

	hca_spin_lock(&rq->lock, flags);
	rq->head = 0;
	rq->tail = 0;
	hca_spin_unlock(&rq->lock, flags);
}

void hca_rq_arm(struct hca_rq *rq, u32 limit)
{
	hca_irqflags_t flags;

	hca_spin_lock(&rq->lock, flags);
	rq->limit = limit;
	hca_spin_unlock(&rq->lock, flags);
}

void hca_rq_query(struct hca_rq *rq, u32 *size, u32 *limit)
{
	hca_irqflags_t flags;

	hca_spin_lock(&rq->lock, flags);
	*size = rq->size;
	*limit = rq->limit;
	hca_spin_unlock(&rq->lock, flags);
}

int hca_rq_resize(struct hca_rq *rq, u32 size)
{
	struct hca_rq larger;
	hca_irqflags_t flags;
	u8 *old;
	u32 i, n;
	int err;

	if (!size)
		return -EINVAL;
	err = hca_rq_init(&larger, size, rq->max_sge);
	if (err)
		return err;
	old = larger.ring;
	err = -EINVAL;
	hca_spin_lock(&rq->lock, flags);
	n = filled(rq);
	if (n <= size) {
		for (i = 0; i < n; i++, rq->head = next(rq, rq->head))
			hca_memcpy(entry(&larger, i), entry(rq, rq->head), rq->stride);
		old = rq->ring;
		rq->ring = larger.ring;
		rq->size = size;
		rq->head = 0;
		rq->tail = n;
		err = 0;
	}
	hca_spin_unlock(&rq->lock, flags);
	hca_free(old);
	return err;
}
