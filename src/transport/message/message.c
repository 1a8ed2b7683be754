/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The tables of the message transport, and a queue pair's state of it; see message.h. */
#include "transport/message/message.h"

static int create(struct hca_qp *qp)
{
	qp->carrier = hca_alloc(sizeof(struct hca_message_qp), HCA_MAY_SLEEP);
	return qp->carrier ? 0 : -ENOMEM;
}

static void destroy(struct hca_qp *qp)
{
	hca_free(qp->carrier);
}

static void reset(struct hca_qp *qp)
{
	struct hca_message_qp *mq = hca_message_qp(qp);
	hca_irqflags_t flags;
	u32 turns = 0;

	/* The timer may fire still: it looks under the lock. */
	hca_spin_lock(&qp->lock, flags);
	while (mq->placing) {
		hca_spin_unlock(&qp->lock, flags);
		hca_relax(&turns);
		hca_spin_lock(&qp->lock, flags);
	}
	hca_memset(mq, 0, sizeof(*mq));
	hca_spin_unlock(&qp->lock, flags);
}

/* The numbers are set once, on the way to RTR and to RTS: nothing has come, or gone, by then. The path may change in SQD as well. */
static void modified(struct hca_qp *qp, u32 mask)
{
	struct hca_message_qp *mq = hca_message_qp(qp);

	hca_spin_assert(&qp->lock);
	if (mask & HCA_QP_RQ_PSN)
		mq->expected = qp->attr.rq_psn;
	if (mask & HCA_QP_AV && qp->hca->wire->ops->peer)
		mq->peer = qp->hca->wire->ops->peer(qp->hca->wire, qp->attr.ah.dlid);
	if (mask & HCA_QP_SQ_PSN)
		mq->number = qp->attr.sq_psn;
}

static bool drained(const struct hca_qp *qp)
{
	const struct hca_message_qp *mq = hca_message_qp(qp);

	return qp->sq.issue == qp->sq.head && !qp->carrying && !mq->begun;
}

/* A message isn't left behind: its sender is told, and sends again. */
static void late(struct hca_qp *qp, struct hca_rx_node *node)
{
	(void)qp;
	hca_free(node);
}

const struct hca_qp_transport hca_message_transport = {
	.create = create,
	.destroy = destroy,
	.at_once = hca_message_at_once,
	.run = hca_message_run,
	.timeout = hca_message_timeout,
	.modified = modified,
	.drained = drained,
	.reset = reset,
	.late = late,
};

static void no_packet(void *client, const struct hca_arrival *a)
{
	(void)client;
	(void)a;
}

static void no_room_needed(void *client)
{
	(void)client;
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
	.ready = no_room_needed,
};
