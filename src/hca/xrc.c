/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The numbers of shared receive queues; see xrc.h. */
#include "hca/xrc.h"

static struct hca_srq **place(const struct hca *hca, u32 number)
{
	return &hca->xrc[number & (HCA_XRC_SRQS - 1)];
}

struct hca_srq *hca_xrc_find(const struct hca *hca, const struct hca_xrcd *xrcd, u32 number)
{
	struct hca_srq *srq;

	if (!hca_load_acquire(&hca->xrc))
		return NULL;
	srq = hca_load_acquire(place(hca, number));
	return srq && srq->number == number && srq->xrcd == xrcd ? srq : NULL;
}

/* The table comes with the first queue that needs it, and stays. */
int hca_xrc_table(struct hca *hca)
{
	struct hca_srq **table;
	hca_irqflags_t flags;

	if (hca_load(&hca->xrc))
		return 0;
	table = hca_alloc(HCA_XRC_SRQS * sizeof(struct hca_srq *), HCA_MAY_SLEEP);
	if (!table)
		return -ENOMEM;
	hca_spin_lock(&hca->xrc_lock, flags);
	if (!hca->xrc) {
		hca_store_release(&hca->xrc, table);
		table = NULL;
	}
	hca_spin_unlock(&hca->xrc_lock, flags);
	hca_free(table); /* another thread was faster */
	return 0;
}

/* Numbers come back late, so that a stale one finds nothing. */
int hca_xrc_publish(struct hca_srq *srq)
{
	struct hca *hca = srq->hca;
	hca_irqflags_t flags;
	int err = -ENOSPC;
	u32 tries;

	hca_spin_lock(&hca->xrc_lock, flags);
	for (tries = 0; tries < HCA_XRC_SRQS && err; tries++) {
		hca->xrc_next = (hca->xrc_next + 1) & HCA_QPN_MASK;
		if (!hca->xrc_next || *place(hca, hca->xrc_next))
			continue;
		srq->number = hca->xrc_next;
		hca_store_release(place(hca, srq->number), srq);
		err = 0;
	}
	hca_spin_unlock(&hca->xrc_lock, flags);
	return err;
}

bool hca_xrc_hold(struct hca_srq *srq)
{
	u32 users = hca_load(&srq->users), before;

	while (users != HCA_XRC_ENDED) {
		before = hca_cmpxchg(&srq->users, users, users + 1);
		if (before == users)
			return true;
		users = before;
	}
	return false;
}

int hca_xrc_retract(struct hca_srq *srq)
{
	hca_irqflags_t flags;

	/* From here on no message holds it: so nothing is refused by a call that fails. */
	if (hca_cmpxchg(&srq->users, 0u, HCA_XRC_ENDED))
		return -EBUSY; /* hca_srq_fini() says why */
	if (!srq->number)
		return 0;
	hca_spin_lock(&srq->hca->xrc_lock, flags);
	hca_store_release(place(srq->hca, srq->number), (struct hca_srq *)NULL);
	hca_spin_unlock(&srq->hca->xrc_lock, flags);
	hca_quiesce_wait_of(&srq->hca->quiesce, 0);
	return 0;
}
