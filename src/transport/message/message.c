/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The tables of the message transport, and a queue pair's state of it; see message.h. */
#include "transport/message/message.h"

/* A place where no adapter ever stands: nothing is carried out at once there. */
static void *const nobody;

static int create(struct hca_qp *qp)
{
	struct hca_message_qp *mq = hca_alloc(sizeof(*mq) + sizeof(*mq->refusal), HCA_MAY_SLEEP);

	if (!mq)
		return -ENOMEM;
	mq->refusal = (struct hca_message_late *)(mq + 1);
	mq->peer = &nobody;
	/* No answer that is on its way to a former owner of the number fits. */
	mq->session = hca_random_u32();
	qp->carrier = mq;
	if (!qp->hca->wire->ops->peer)
		qp->at_once = NULL; /* no peer is in this address space: it would look in vain each time */
	return 0;
}

static void destroy(struct hca_qp *qp)
{
	struct hca_message_qp *mq = hca_message_qp(qp);
	struct hca_rx_node *node;

	while ((node = hca_rx_left(qp)))
		if (node != &mq->refusal->node)
			hca_free(node);
	hca_free(mq);
}

static void reset(struct hca_qp *qp)
{
	struct hca_message_qp *mq = hca_message_qp(qp);
	hca_irqflags_t flags;
	u32 turns = 0;

	hca_req_unblock(qp);
	hca_message_withdraw(qp);
	/* The timer may fire still: it looks under the lock. */
	hca_spin_lock(&qp->lock, flags);
	while (mq->placing) {
		hca_spin_unlock(&qp->lock, flags);
		hca_relax(&turns);
		hca_spin_lock(&qp->lock, flags);
	}
	hca_memset(mq, 0, offsetof(struct hca_message_qp, session));
	mq->peer = &nobody;
	mq->session++;
	hca_spin_unlock(&qp->lock, flags);
}

/* The numbers are set once, on the way to RTR and to RTS: nothing has come, or gone, by then. The path may change in SQD as well. */
static void modified(struct hca_qp *qp, u32 mask)
{
	struct hca_message_qp *mq = hca_message_qp(qp);

	hca_spin_assert(&qp->lock);
	if (mask & HCA_QP_RQ_PSN)
		mq->expected = qp->attr.rq_psn;
	if (mask & HCA_QP_AV && qp->hca->wire->ops->peer) {
		void *const *place = qp->hca->wire->ops->peer(qp->hca->wire, qp->attr.ah.dlid);

		mq->peer = place ? place : &nobody;
	}
	if (mask & HCA_QP_SQ_PSN)
		mq->number = qp->attr.sq_psn;
}

static bool drained(const struct hca_qp *qp)
{
	const struct hca_message_qp *mq = hca_message_qp(qp);

	return qp->sq.issue == qp->sq.head && !qp->carrying && !mq->begun;
}

const struct hca_qp_transport hca_message_transport = {
	.has_xrc = true,
	.create = create,
	.destroy = destroy,
	.at_once = hca_message_at_once,
	.run = hca_message_run,
	.timeout = hca_message_timeout,
	.modified = modified,
	.drained = drained,
	.reset = reset,
	.late = hca_message_late,
	.resume = hca_message_resume,
};

static void no_packet(void *client, const struct hca_arrival *a)
{
	(void)client;
	(void)a;
}

static void settle(void *client)
{
	struct hca *hca = client;

	hca_quiesce_wait(&hca->quiesce);
}

const struct hca_wire_client hca_message_client = {
	.message = hca_message_arrived,
	.answered = hca_message_answered,
	.packet = no_packet,
	.settle = settle,
	.ready = hca_req_ready,
};
