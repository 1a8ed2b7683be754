/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Publishes an adapter's queue pairs and keys to the wire, as numbers, so that it can
 * carry out one-sided work of other processes' adapters without this one. See hca/share.h.
 */
#include "transport/transport.h"

static const struct hca_wire_share *listener(const struct hca *hca)
{
	return hca->wire->ops->share;
}

static void share_qp(struct hca *hca, const struct hca_qp *qp)
{
	u32 state = qp->state;
	struct hca_wire_qp told;

	hca_spin_assert(&qp->lock);
	/* The first message in RTR is the responder's own business: it tells its consumer. Afterwards it is as good as in RTS. */
	if (state == HCA_QPS_RTR && hca_load(&qp->established))
		state = HCA_QPS_RTS;
	told = (struct hca_wire_qp){
		.qpn = qp->qpn,
		.type = (u8)qp->type,
		.state = (u8)state,
		.rd_limit = (u8)hca_load(&qp->rd_limit),
		.access = hca_load(&qp->access),
		.pd = qp->domain,
		.peer = hca_load(&qp->peer),
		.retries = qp->repeated,
	};
	listener(hca)->qp(hca->wire, hca->lid, &told);
}

static void room(struct hca *hca, u32 key)
{
	listener(hca)->room(hca->wire, hca->lid, key);
}

/* Keys with contiguous bytes in this address space are published; others, and keys that no peer may use, are not. */
static void publish(struct hca *hca, const struct hca_key_entry *e, u32 key)
{
	const struct hca_mr *mr = hca_load(&e->mr);
	struct hca_wire_key told = {
		.key = key,
		.access = e->access,
		.qpn = e->qpn,
		.iova = e->iova,
		.length = hca_key_length(e),
		.pd = e->pd,
	};
	u64 run = hca_key_length(e);
	hca_dma_addr_t addr;

	if (!mr || mr->kind == HCA_MR_PAGES || !(e->access & HCA_ACCESS_REMOTE))
		return;
	addr = hca_mr_run(mr, e->offset, &run);
	told.at = hca_mem_place(hca->mem, addr, run);
	if (told.at)
		listener(hca)->key(hca->wire, hca->lid, key, &told);
}

static void retract(struct hca *hca, u32 key)
{
	listener(hca)->key(hca->wire, hca->lid, key, NULL);
}

static void settle(struct hca *hca, u32 lid)
{
	listener(hca)->settle(hca->wire, hca->lid, lid == HCA_SHARE_ALL ? 0 : lid);
}

static const struct hca_share_ops share_ops = {
	.qp = share_qp,
	.room = room,
	.publish = publish,
	.retract = retract,
	.settle = settle,
};

void hca_share_begin(struct hca *hca)
{
	if (!listener(hca))
		return;
	hca->share = (struct hca_share){ .ops = &share_ops, .hca = hca };
	hca->keys.share = &hca->share;
	hca->quiesce.share = &hca->share;
}
