/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Receive queues; see rq.h. */
#include "hca/rq.h"

#define MAX_ENTRIES (1u << 20)

int hca_rq_init(struct hca_rq *rq, u32 size, u32 max_sge)
{
	hca_memset(rq, 0, sizeof(*rq));
	hca_spin_init(&rq->lock);
	rq->head = HCA_RING_FIRST;
	rq->tail = HCA_RING_FIRST;
	rq->max_sge = max_sge;
	rq->stride = hca_rq_entry_bytes(max_sge);
	if (size > MAX_ENTRIES)
		return hca_refuse(-EINVAL, "receive queue: %u requests, must be from 0 to %u", size, MAX_ENTRIES);
	if (!size)
		return 0;
	rq->mask = hca_ring_entries(size) - 1;
	rq->ring = hca_alloc(((size_t)rq->mask + 1) * rq->stride, HCA_MAY_SLEEP);
	if (!rq->ring)
		return -ENOMEM;
	rq->size = size;
	return 0;
}

void hca_rq_fini(struct hca_rq *rq)
{
	hca_free(rq->ring);
}

int hca_rq_refuse(const struct hca_rq *rq, const struct hca_recv_wr *wr, int err)
{
	const char *why = err == -ENOMEM	    ? "the queue is full" :
			  wr->num_sge > rq->max_sge ? "more entries than the queue was made for" :
			  !wr->sge		    ? "num_sge without an sg_list" :
						      "more bytes than a message can have, 2^31";

	return hca_refuse(err,
			  "receive request (wr_id 0x%llx, posted at " HCA_SITE
			  ") refused: %s: %u entries of %u, room for %u requests",
			  (unsigned long long)wr->wr_id, hca_site(wr->site), why, wr->num_sge, rq->max_sge, rq->size);
}

static u32 filled(const struct hca_rq *rq)
{
	return rq->tail - rq->head;
}

bool hca_rq_take(struct hca_rq *rq, struct hca_rwqe *out, bool *limit_hit)
{
	hca_irqflags_t flags;
	bool got = false;

	if (limit_hit)
		*limit_hit = false;
	hca_spin_lock(&rq->lock, flags);
	if (rq->head != rq->tail) {
		const struct hca_rwqe *e = hca_rq_entry(rq, rq->head);

		hca_memcpy(out, e, hca_rq_entry_bytes(e->num_sge));
		hca_store(&rq->head, rq->head + 1);
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
	hca_store(&rq->head, rq->tail);
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
		return hca_refuse(-EINVAL, "receive queue: no room for no requests");
	err = hca_rq_init(&larger, size, rq->max_sge);
	if (err)
		return err;
	old = larger.ring;
	err = -EINVAL;
	hca_spin_lock(&rq->lock, flags);
	n = filled(rq);
	if (n <= size) {
		for (i = 0; i < n; i++)
			hca_memcpy(hca_rq_entry(&larger, i), hca_rq_entry(rq, rq->head + i), rq->stride);
		old = rq->ring;
		rq->ring = larger.ring;
		rq->size = size;
		rq->mask = larger.mask;
		rq->head = 0;
		rq->tail = n;
		err = 0;
	}
	hca_spin_unlock(&rq->lock, flags);
	hca_free(old);
	if (err)
		return hca_refuse(err, "receive queue not resized to %u: %u requests are posted to it", size, n);
	return 0;
}
