/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The loop wire; see loop.h. A sender uses a port from inside its own adapter: a port that leaves waits for every adapter. */
#include "wire/loop.h"

#define FIRST_MLID 0xc000u
#define QPN_NUMBERS 0x1000000u

static struct hca_loop *to_loop(struct hca_wire *wire)
{
	return hca_container_of(wire, struct hca_loop, wire);
}

/* Return: its LID, or 0 when all are taken. */
static u32 take_place(struct hca_loop *loop, struct hca_loop_port *p)
{
	u32 i;

	hca_mutex_assert(&loop->ports);
	for (i = 1; i < HCA_LOOP_PORTS; i++) {
		if (loop->port[i])
			continue;
		hca_store_release(&loop->port[i], p);
		hca_store_release(&loop->client[i], p->client);
		return i;
	}
	return 0;
}

static int loop_attach(struct hca_wire *wire, const struct hca_wire_client *ops, void *client,
		       struct hca_wire_port *port)
{
	struct hca_loop *loop = to_loop(wire);
	struct hca_loop_port *p = hca_alloc(sizeof(*p), HCA_MAY_SLEEP);
	u32 lid;

	if (!p)
		return -ENOMEM;
	p->ops = ops;
	p->client = client;
	hca_mutex_lock(&loop->ports);
	lid = take_place(loop, p);
	hca_mutex_unlock(&loop->ports);
	if (!lid) {
		hca_free(p);
		return -ENOSPC;
	}
	*port = (struct hca_wire_port){ .lid = lid, .gids = 1, .max_mtu = HCA_MTU_4096, .qpns = QPN_NUMBERS };
	hca_wire_gid(&port->gid[0], lid);
	return 0;
}

static void loop_detach(struct hca_wire *wire, u32 lid)
{
	struct hca_loop *loop = to_loop(wire);
	struct hca_loop_port *p = loop->port[lid];
	u32 i;

	/* One at a time: each adapter that is waited for stays. */
	hca_mutex_lock(&loop->ports);
	hca_store(&loop->port[lid], NULL);
	hca_store(&loop->client[lid], NULL);
	for (i = 1; i < HCA_LOOP_PORTS; i++) {
		const struct hca_loop_port *other = loop->port[i];

		if (other)
			other->ops->settle(other->client);
	}
	p->ops->settle(p->client);
	hca_mutex_unlock(&loop->ports);
	hca_free(p);
}

static bool is_for_group(const struct hca_msg *m)
{
	return !(m->flags & HCA_MSG_CONNECTED) &&
	       (m->dlid >= FIRST_MLID || (m->flags & HCA_MSG_GLOBAL && m->ud.dgid.raw[0] == 0xff));
}

static inline enum hca_answer bring(struct hca_loop *loop, u32 lid, struct hca_carried *c, struct hca_reply *r)
{
	const struct hca_loop_port *p = hca_load_acquire(&loop->port[lid]);

	return hca_likely(p) ? p->ops->message(p->client, c, r) : HCA_ANSWER_NONE;
}

/* Each adapter knows which of its queue pairs are in the group. Only the sender's own trouble ends it. */
static enum hca_answer bring_all(struct hca_loop *loop, struct hca_carried *c, struct hca_reply *r)
{
	u32 i;

	for (i = 1; i < HCA_LOOP_PORTS; i++)
		if (bring(loop, i, c, r) == HCA_ANSWER_LOC_PROT)
			return HCA_ANSWER_LOC_PROT;
	return HCA_ANSWER_ACK;
}

static enum hca_answer loop_send(struct hca_wire *wire, struct hca_carried *c, struct hca_reply *r)
{
	struct hca_loop *loop = to_loop(wire);

	if (hca_unlikely(is_for_group(&c->msg)))
		return bring_all(loop, c, r);
	return hca_likely(c->msg.dlid < HCA_LOOP_PORTS) ? bring(loop, c->msg.dlid, c, r) : HCA_ANSWER_NONE;
}

static void *const *loop_peer(struct hca_wire *wire, u32 lid)
{
	return lid < HCA_LOOP_PORTS ? &to_loop(wire)->client[lid] : NULL;
}

static const struct hca_wire_ops loop_ops = {
	.caps = HCA_WIRE_MESSAGES | HCA_WIRE_LIDS,
	.attach = loop_attach,
	.detach = loop_detach,
	.send = loop_send,
	.peer = loop_peer,
};

void hca_loop_fini(struct hca_loop *loop)
{
	hca_mutex_destroy(&loop->ports);
}

void hca_loop_init(struct hca_loop *loop)
{
	hca_memset(loop, 0, sizeof(*loop));
	loop->wire.ops = &loop_ops;
	hca_mutex_init(&loop->ports);
}
