/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Completion queues of the kernel-style verbs: polled by the ULP, or on its behalf in
 * the context it chose, where each request's done() is called.
 */
#include "ib_core.h"

#define BATCH 16
/* So many completions are processed in one go before other queues' handlers get their turn. */
#define BUDGET 256

/* --- polling --- */

/* A completion is laid out as the engine's, so that it is polled to where it goes; the last field is another one there. */
#define SAME(a, b) _Static_assert(offsetof(struct ib_wc, a) == offsetof(struct hca_wc, b), "ib_wc is hca_wc")
SAME(wr_id, wr_id);
SAME(status, status);
SAME(opcode, opcode);
SAME(vendor_err, vendor_err);
SAME(byte_len, byte_len);
SAME(qp, user);
SAME(ex, imm);
SAME(src_qp, src_qp);
SAME(slid, slid);
SAME(wc_flags, wc_flags);
SAME(pkey_index, pkey_index);
SAME(sl, sl);
SAME(dlid_path_bits, dlid_path_bits);
SAME(port_num, qp_num);
_Static_assert(sizeof(struct ib_wc) == sizeof(struct hca_wc), "ib_wc is hca_wc");
_Static_assert(offsetof(struct ib_qp_priv, ib) == 0, "a queue pair's user is its struct ib_qp");

__attribute__((flatten)) int ib_poll_cq(struct ib_cq *cq, int num_entries, struct ib_wc *wc)
{
	int i, n = hca_cq_ring_poll(&ib_cq_of(cq)->cq.ring, (struct hca_wc *)wc, num_entries);

	if (hca_likely(n > 0)) {
		wc->port_num = 1;
		for (i = 1; hca_unlikely(i < n); i++)
			wc[i].port_num = 1;
	}
	return n;
}

int ib_req_notify_cq(struct ib_cq *cq, enum ib_cq_notify_flags flags)
{
	enum hca_cq_arm arm = HCA_CQ_SOLICITED;
	bool waiting;

	if (flags & IB_CQ_NEXT_COMP)
		arm = HCA_CQ_NEXT;
	else if (!(flags & IB_CQ_SOLICITED))
		return hca_refuse(-EINVAL,
				  "%s: CQ not armed: flags 0x%x have neither IB_CQ_SOLICITED nor IB_CQ_NEXT_COMP",
				  cq->device->name, (u32)flags);
	waiting = hca_cq_ring_notify(&ib_cq_of(cq)->cq.ring, arm);
	return flags & IB_CQ_REPORT_MISSED_EVENTS && waiting;
}

static HCA_COLD void no_done(const struct ib_wc *wc)
{
	bool recv = wc->opcode & IB_WC_RECV;
	hca_site_t site = hca_qp_posted_at(ib_qp_of(wc->qp)->qp, !recv, wc->wr_id);

	hca_refuse(
		-EINVAL,
		"%s QP %u: nothing is called for a %s request that completed (opcode 0x%x, %s): its wr_cqe is %s, and the CQ "
		"is polled by the library; posted at " HCA_SITE "%s",
		wc->qp->device->name, wc->qp->qp_num, recv ? "receive" : "send", (u32)wc->opcode,
		ib_wc_status_msg(wc->status), wc->wr_cqe ? "one without done" : "NULL", hca_site(site),
		site ? "" : " (a ledger knows, SOFTHCA_LEDGER=1)");
}

static int process(struct ib_cq *cq, int budget)
{
	struct ib_wc wc[BATCH];
	int done = 0;
	int n, i;

	do {
		int want = budget < 0 ? BATCH : HCA_MIN(BATCH, budget - done);

		n = ib_poll_cq(cq, want, wc);
		for (i = 0; i < n; i++) {
			if (hca_likely(wc[i].wr_cqe && wc[i].wr_cqe->done))
				wc[i].wr_cqe->done(cq, &wc[i]);
			else
				no_done(&wc[i]);
		}
		done += HCA_MAX(n, 0);
	} while (n == BATCH && (budget < 0 || done < budget));
	return done;
}

int ib_process_cq_direct(struct ib_cq *cq, int budget)
{
	return process(cq, budget);
}

/* Return: it is armed, and nothing waits; else it is to be called again. */
static bool process_and_arm(struct ib_cq *cq)
{
	if (process(cq, BUDGET) >= BUDGET)
		return false;
	return ib_req_notify_cq(cq, IB_CQ_NEXT_COMP | IB_CQ_REPORT_MISSED_EVENTS) <= 0;
}

static void on_softirq(struct ib_cq *cq, void *cq_context)
{
	struct ib_cq_priv *p = ib_cq_of(cq);

	(void)cq_context;
	if (!process_and_arm(cq))
		hca_cq_again(&p->cq);
}

static void on_work(struct hca_eq_node *node)
{
	struct ib_cq_priv *p = hca_container_of(node, struct ib_cq_priv, work);

	if (!process_and_arm(&p->ib))
		ib_work_add(&p->work);
}

static void on_workqueue(struct ib_cq *cq, void *cq_context)
{
	(void)cq_context;
	ib_work_add(&ib_cq_of(cq)->work);
}

/* --- life --- */

static void on_completion(struct hca_cq *cq)
{
	struct ib_cq *ib = &hca_container_of(cq, struct ib_cq_priv, cq)->ib;

	if (ib->comp_handler)
		ib->comp_handler(ib, ib->cq_context);
}

static u32 cqs; /* made so far; atomic */

struct ib_cq *ib_create_cq(struct ib_device *device, ib_comp_handler comp_handler,
			   void (*event_handler)(struct ib_event *event, void *cq_context), void *cq_context,
			   const struct ib_cq_init_attr *attr)
{
	struct ib_cq_priv *p;
	int err;

	if (!device->core)
		return ERR_PTR(hca_refuse(-EINVAL, "%s: CQ not made: the device isn't registered", device->name));
	if (attr->flags)
		return ERR_PTR(
			hca_refuse(-EINVAL, "%s: CQ not made: flags 0x%x aren't supported", device->name, attr->flags));
	if (!attr->cqe || attr->cqe > (unsigned int)device->attrs.max_cqe)
		return ERR_PTR(hca_refuse(-EINVAL, "%s: CQ not made: cqe is %u, must be from 1 to %d", device->name,
					  attr->cqe, device->attrs.max_cqe));
	err = ib_core_take(device, IB_OBJ_CQ);
	if (err)
		return ERR_PTR(err);
	err = -ENOMEM;
	p = hca_alloc(sizeof(*p), HCA_MAY_SLEEP);
	if (!p)
		goto give;
	p->ib = (struct ib_cq){
		.device = device,
		.comp_handler = comp_handler,
		.event_handler = event_handler,
		.cq_context = cq_context,
		.cqe = (int)attr->cqe,
		.poll_ctx = IB_POLL_DIRECT,
		.res.id = hca_fetch_add(&cqs, 1),
	};
	p->work.fire = on_work;
	err = hca_cq_init(&p->cq, &device->core->hca, attr->cqe, on_completion);
	if (err)
		goto free_cq;
	return &p->ib;
free_cq:
	hca_free(p);
give:
	ib_core_give(device, IB_OBJ_CQ);
	return ERR_PTR(err);
}

int ib_destroy_cq(struct ib_cq *cq)
{
	struct ib_device *device = cq->device;
	struct ib_cq_priv *p = ib_cq_of(cq);
	int err = hca_cq_quiet(&p->cq);

	if (err)
		return err;
	if (cq->poll_ctx == IB_POLL_WORKQUEUE || cq->poll_ctx == IB_POLL_UNBOUND_WORKQUEUE)
		ib_work_cancel(&p->work);
	hca_cq_fini(&p->cq);
	hca_free(p);
	ib_core_give(device, IB_OBJ_CQ);
	return 0;
}

struct ib_cq *ib_alloc_cq(struct ib_device *device, void *priv, int nr_cqe, int comp_vector,
			  enum ib_poll_context poll_ctx)
{
	static const ib_comp_handler handlers[] = {
		[IB_POLL_DIRECT] = NULL,
		[IB_POLL_SOFTIRQ] = on_softirq,
		[IB_POLL_WORKQUEUE] = on_workqueue,
		[IB_POLL_UNBOUND_WORKQUEUE] = on_workqueue,
	};
	const struct ib_cq_init_attr attr = { .cqe = (unsigned int)nr_cqe, .comp_vector = (u32)comp_vector };
	struct ib_cq *cq;
	int err;

	if (nr_cqe <= 0)
		return ERR_PTR(hca_refuse(-EINVAL, "%s: CQ not made: nr_cqe is %d, must be from 1 to %d", device->name,
					  nr_cqe, device->attrs.max_cqe));
	if ((u32)poll_ctx >= HCA_ARRAY_SIZE(handlers))
		return ERR_PTR(
			hca_refuse(-EINVAL, "%s: CQ not made: no such poll context: %u", device->name, (u32)poll_ctx));
	if (handlers[poll_ctx] == on_workqueue) {
		err = ib_work_start();
		if (err)
			return ERR_PTR(err);
	}
	cq = ib_create_cq(device, handlers[poll_ctx], NULL, priv, &attr);
	if (IS_ERR(cq))
		return cq;
	cq->poll_ctx = poll_ctx;
	if (poll_ctx != IB_POLL_DIRECT)
		ib_req_notify_cq(cq, IB_CQ_NEXT_COMP);
	return cq;
}

void ib_free_cq(struct ib_cq *cq)
{
	/* The device's, and others may use it. */
	if (HCA_WARN_ON(cq->shared))
		return;
	HCA_WARN_ON(ib_destroy_cq(cq));
}

int ib_resize_cq(struct ib_cq *cq, int cqe)
{
	int err;

	if (cqe <= 0 || cqe > cq->device->attrs.max_cqe)
		return hca_refuse(-EINVAL, "%s: CQ not resized: cqe is %d, must be from 1 to %d", cq->device->name, cqe,
				  cq->device->attrs.max_cqe);
	err = hca_cq_resize(&ib_cq_of(cq)->cq, (u32)cqe);
	if (!err)
		cq->cqe = cqe;
	return err;
}
