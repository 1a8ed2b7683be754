/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The loop wire; see loop.h. */
#include "wire/loop.h"

#include "hca/qp.h"

static struct hca_loop *to_loop(struct hca_wire *wire)
{
	return hca_container_of(wire, struct hca_loop, wire);
}

static int loop_attach(struct hca_wire *wire, struct hca *hca, u32 *lid)
{
	struct hca_loop *loop = to_loop(wire);
	hca_irqflags_t flags;
	int err = -ENOSPC;
	u32 i;

	hca_spin_lock(&loop->lock, flags);
	for (i = 1; i < HCA_LOOP_PORTS && err; i++) {
		if (loop->port[i])
			continue;
		hca_store_release(&loop->port[i], hca);
		*lid = i;
		err = 0;
	}
	hca_spin_unlock(&loop->lock, flags);
	return err;
}

static void loop_detach(struct hca_wire *wire, u32 lid)
{
	struct hca_loop *loop = to_loop(wire);
	hca_irqflags_t flags;

	hca_spin_lock(&loop->lock, flags);
	hca_store(&loop->port[lid], NULL);
	hca_spin_unlock(&loop->lock, flags);
	hca_quiesce_wait(&wire->quiesce);
}

/* Each adapter knows who of its queue pairs is in the group. */
static enum hca_answer send_to_all(struct hca_loop *loop, struct hca_msg *m)
{
	enum hca_answer answer = HCA_ANSWER_ACK;
	u32 i;

	for (i = 1; i < HCA_LOOP_PORTS && !answer; i++) {
		struct hca *to = hca_load_acquire(&loop->port[i]);

		if (to)
			answer = hca_respond(to, m);
	}
	return answer;
}

static enum hca_answer loop_send(struct hca_wire *wire, struct hca_msg *m)
{
	struct hca_loop *loop = to_loop(wire);
	struct hca *to;

	if (hca_unlikely(hca_msg_is_multicast(m)))
		return send_to_all(loop, m);
	to = m->dlid < HCA_LOOP_PORTS ? hca_load_acquire(&loop->port[m->dlid]) : NULL;

	if (hca_unlikely(!to))
		return m->reliable ? HCA_ANSWER_NONE : HCA_ANSWER_ACK;
	return hca_respond(to, m);
}

static const struct hca_wire_ops loop_ops = {
	.attach = loop_attach,
	.detach = loop_detach,
	.send = loop_send,
};

void hca_loop_init(struct hca_loop *loop)
{
	hca_memset(loop, 0, sizeof(*loop));
	loop->wire.ops = &loop_ops;
	hca_quiesce_init(&loop->wire.quiesce);
	hca_eq_init(&loop->wire.eq);
	hca_spin_init(&loop->lock);
}
