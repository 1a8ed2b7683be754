/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The adapter; see hca.h. */
#include "hca/hca.h"

#include "hca/qp.h"

#define MAX_QPS (1u << 20)

void hca_attr_default(struct hca_attr *a)
{
	static const struct hca_attr standard = {
		.max_qp = 1u << 16,
		.max_keys = 1u << 20,
		.max_wr = 1u << 15,
		.max_sge = 16,
		.max_srq_wr = 1u << 15,
		.max_cqe = 1u << 22,
		.max_inline = 512,
		.max_rd_atomic = 16,
		.max_mcast = 4096,
	};
	const struct {
		u32 *to;
		u32 value;
	} f[] = {
		{ &a->max_qp, standard.max_qp },	 { &a->max_keys, standard.max_keys },
		{ &a->max_wr, standard.max_wr },	 { &a->max_sge, standard.max_sge },
		{ &a->max_srq_wr, standard.max_srq_wr }, { &a->max_cqe, standard.max_cqe },
		{ &a->max_inline, standard.max_inline }, { &a->max_rd_atomic, standard.max_rd_atomic },
		{ &a->max_mcast, standard.max_mcast },
	};
	u32 i;

	for (i = 0; i < HCA_ARRAY_SIZE(f); i++)
		if (!*f[i].to)
			*f[i].to = f[i].value;
}

/* Numbers that no entry answers to: what stands in the table where there is no queue pair. */
static struct hca_qp no_qp = { .qpn = ~0u };

struct hca_qp *const hca_no_qp = &no_qp;

int hca_init(struct hca *hca, struct hca_eq *eq, struct hca_mem *mem, const struct hca_attr *attr)
{
	u32 slots = 16, i;
	int err;

	hca_memset(hca, 0, sizeof(*hca));
	hca->name = "adapter";
	hca->attr = *attr;
	hca_attr_default(&hca->attr);
	if (hca->attr.max_qp > MAX_QPS || hca->attr.max_rd_atomic > HCA_MAX_RD_ATOMIC)
		return hca_refuse(-EINVAL, "adapter not made: max_qp %u, max_rd_atomic %u; must be %u and %u at most",
				  hca->attr.max_qp, hca->attr.max_rd_atomic, MAX_QPS, HCA_MAX_RD_ATOMIC);
	while (slots < 2 * hca->attr.max_qp)
		slots *= 2;
	hca->eq = eq;
	hca->mem = mem;
	hca->qp_slots = slots;
	hca->limits = (struct hca_qp_limits){
		.ports = 1,
		.pkeys = 1,
		.gids = HCA_GIDS,
		.max_rd_atomic = hca->attr.max_rd_atomic,
		.max_dest_rd_atomic = hca->attr.max_rd_atomic,
	};
	hca_quiesce_init(&hca->quiesce);
	hca_gids_init(&hca->gids);
	hca_spin_init(&hca->qp_lock);
	hca_spin_init(&hca->mcast_lock);
	hca_spin_init(&hca->xrc_lock);
	hca_spin_init(&hca->blocked_lock);
	hca_spin_init(&hca->mw_lock);
	hca->qp = hca_alloc(slots * sizeof(*hca->qp), HCA_MAY_SLEEP);
	if (!hca->qp)
		return -ENOMEM;
	for (i = 0; i < slots; i++)
		hca->qp[i] = &no_qp;
	err = hca_keys_init(&hca->keys, hca->attr.max_keys);
	if (err)
		hca_free(hca->qp);
	return err;
}

bool hca_busy(const struct hca *hca)
{
	return hca->qps || hca->keys.used;
}

void hca_fini(struct hca *hca)
{
	hca_keys_fini(&hca->keys);
	hca_free(hca->xrc);
	hca_free(hca->qp);
}

/* --- completion queues of an adapter --- */

static void fire_cq(struct hca_eq_node *node)
{
	struct hca_cq *cq = hca_container_of(node, struct hca_cq, event);
	u32 wants = hca_xchg(&cq->wants, 0u);

	if (wants & HCA_WANT_CQ_ERR)
		(void)hca_refuse(-EIO,
				 "%s: a completion queue of %u entries overflowed: completions are lost, and the queue "
				 "pairs of these are in error",
				 cq->hca->name, hca_load(&cq->ring.capacity));
	if (wants & HCA_WANT_CQ_ERR && cq->hca->event)
		cq->hca->event(cq->hca, HCA_EVENT_CQ_ERR, cq);
	if (wants & HCA_WANT_COMP && cq->handler)
		cq->handler(cq);
}

int hca_cq_init(struct hca_cq *cq, struct hca *hca, u32 capacity, void (*handler)(struct hca_cq *cq))
{
	int err = hca_cq_ring_init(&cq->ring, capacity, hca->attr.max_cqe);

	if (err)
		return err;
	cq->hca = hca;
	cq->eq = hca->eq;
	cq->handler = handler;
	cq->wants = 0;
	cq->timed = false;
	cq->event = (struct hca_eq_node){ .fire = fire_cq };
	return 0;
}

int hca_cq_resize(struct hca_cq *cq, u32 capacity)
{
	return hca_cq_ring_resize(&cq->ring, capacity, cq->hca->attr.max_cqe);
}
