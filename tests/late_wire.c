/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A wire of messages that answers later; see late_wire.h. */
#include "late_wire.h"

#include <string.h>

/* A piece with its payload, or room for the bytes that it reads; or a reply with the bytes that were read. */
struct late_item {
	struct late_item *next;
	bool is_reply;
	u32 to;
	struct hca_msg msg;
	struct hca_reply reply;
	u8 bytes[];
};

static struct late_wire *to_late(struct hca_wire *wire)
{
	return hca_container_of(wire, struct late_wire, wire);
}

/* --- ports --- */

static int attach(struct hca_wire *wire, const struct hca_wire_client *ops, void *client, struct hca_wire_port *port)
{
	struct late_wire *w = to_late(wire);
	hca_irqflags_t flags;
	int err = -ENOSPC;
	u32 i;

	hca_spin_lock(&w->lock, flags);
	for (i = 1; i < LATE_PORTS && err; i++) {
		if (w->port[i].client)
			continue;
		w->port[i] = (struct late_port){ .ops = ops, .client = client };
		*port = (struct hca_wire_port){ .lid = i, .gids = 1, .max_mtu = HCA_MTU_4096, .qpns = 1u << 24 };
		hca_wire_gid(&port->gid[0], i);
		err = 0;
	}
	hca_spin_unlock(&w->lock, flags);
	return err;
}

static void detach(struct hca_wire *wire, u32 lid)
{
	struct late_wire *w = to_late(wire);
	hca_irqflags_t flags;

	hca_spin_lock(&w->lock, flags);
	w->port[lid].client = NULL;
	while (w->port[lid].used) {
		hca_spin_unlock(&w->lock, flags);
		hca_pause();
		hca_spin_lock(&w->lock, flags);
	}
	hca_spin_unlock(&w->lock, flags);
}

static bool use(struct late_wire *w, u32 lid, struct late_port *out)
{
	hca_irqflags_t flags;
	bool there;

	hca_spin_lock(&w->lock, flags);
	there = lid < LATE_PORTS && w->port[lid].client;
	if (there) {
		w->port[lid].used++;
		*out = w->port[lid];
	}
	hca_spin_unlock(&w->lock, flags);
	return there;
}

static void end_use(struct late_wire *w, u32 lid)
{
	hca_irqflags_t flags;

	hca_spin_lock(&w->lock, flags);
	w->port[lid].used--;
	hca_spin_unlock(&w->lock, flags);
}

/* --- on the way --- */

static struct late_item *make_item(u32 to, u32 room)
{
	struct late_item *item = hca_alloc(sizeof(*item) + room, 0);

	HCA_ASSERT(item);
	item->to = to;
	return item;
}

static void enqueue(struct late_wire *w, struct late_item *item)
{
	hca_irqflags_t flags;
	bool held;

	item->next = NULL;
	hca_spin_lock(&w->lock, flags);
	if (w->last)
		w->last->next = item;
	else
		w->first = item;
	w->last = item;
	w->waiting++;
	w->pieces += !item->is_reply;
	held = w->held;
	hca_spin_unlock(&w->lock, flags);
	if (!held)
		hca_eq_add(&w->eq, &w->node);
}

static struct late_item *dequeue(struct late_wire *w)
{
	struct late_item *item;
	hca_irqflags_t flags;

	hca_spin_lock(&w->lock, flags);
	item = w->first;
	if (item) {
		w->first = item->next;
		if (!w->first)
			w->last = NULL;
		w->waiting--;
		w->replies += item->is_reply;
	}
	hca_spin_unlock(&w->lock, flags);
	return item;
}

static bool is_read(const struct hca_msg *m)
{
	return hca_opcode(m->opcode)->flags & HCA_OP_READS && !(hca_opcode(m->opcode)->flags & HCA_OP_ATOMIC);
}

static void bring_piece(struct late_wire *w, struct late_item *item)
{
	struct hca_carried c = { .msg = item->msg, .bytes = item->bytes };
	enum hca_answer answer = HCA_ANSWER_NONE;
	struct late_item *back;
	struct late_port to;
	u32 len;

	item->reply = (struct hca_reply){ .sqpn = c.msg.sqpn, .number = c.msg.number, .off = c.msg.off };
	if (use(w, item->to, &to)) {
		answer = to.ops->message(to.client, &c, &item->reply);
		end_use(w, item->to);
	}
	/* A piece that wasn't expected is answered by nothing, as what isn't reliable. */
	if (answer == HCA_ANSWER_PENDING || !(c.msg.flags & HCA_MSG_RELIABLE) || w->mute)
		return;
	len = is_read(&c.msg) && answer == HCA_ANSWER_ACK ? c.msg.piece : 0;
	back = make_item(c.msg.slid, len);
	back->is_reply = true;
	back->reply = item->reply;
	back->reply.answer = (u8)answer;
	back->reply.bytes = back->bytes;
	back->reply.len = len;
	memcpy(back->bytes, item->bytes, len);
	enqueue(w, back);
}

bool late_step(struct late_wire *w)
{
	struct late_item *item = dequeue(w);
	struct late_port to;

	if (!item)
		return false;
	if (!item->is_reply) {
		bring_piece(w, item);
	} else if (use(w, item->to, &to)) {
		to.ops->answered(to.client, &item->reply);
		end_use(w, item->to);
	}
	hca_free(item);
	return true;
}

static void fire(struct hca_eq_node *node)
{
	struct late_wire *w = hca_container_of(node, struct late_wire, node);

	while (!w->held && late_step(w))
		;
}

void late_let_go(struct late_wire *w)
{
	hca_irqflags_t flags;

	hca_spin_lock(&w->lock, flags);
	w->held = false;
	hca_spin_unlock(&w->lock, flags);
	hca_eq_add(&w->eq, &w->node);
	hca_eq_run(&w->eq);
}

/* --- sending --- */

static enum hca_answer send_now(struct late_wire *w, struct hca_carried *c, struct hca_reply *r)
{
	enum hca_answer answer;
	struct late_port to;

	if (!use(w, c->msg.dlid, &to))
		return HCA_ANSWER_NONE;
	answer = to.ops->message(to.client, c, r);
	end_use(w, c->msg.dlid);
	return answer;
}

static enum hca_answer send(struct hca_wire *wire, struct hca_carried *c, struct hca_reply *r)
{
	const struct hca_opcode *op = hca_opcode(c->msg.opcode);
	struct late_wire *w = to_late(wire);
	struct late_item *item;

	if (!(op->flags & HCA_OP_TAKES_RECV) && !w->one_sided_late)
		return send_now(w, c, r);
	item = make_item(c->msg.dlid, c->msg.piece);
	item->msg = c->msg;
	if (c->msg.piece && !(op->flags & HCA_OP_READS) && c->get(c, item->bytes)) {
		hca_free(item);
		return HCA_ANSWER_LOC_PROT;
	}
	enqueue(w, item);
	return HCA_ANSWER_PENDING;
}

static const struct hca_wire_ops late_ops = {
	.caps = HCA_WIRE_MESSAGES | HCA_WIRE_LATER | HCA_WIRE_LIDS,
	.attach = attach,
	.detach = detach,
	.send = send,
};

int late_open(struct late_wire *w)
{
	memset(w, 0, sizeof(*w));
	w->wire.ops = &late_ops;
	w->node.fire = fire;
	hca_spin_init(&w->lock);
	return hca_eq_init(&w->eq);
}

void late_close(struct late_wire *w)
{
	struct late_item *item;

	hca_eq_cancel(&w->eq, &w->node);
	while ((item = dequeue(w)))
		hca_free(item);
	hca_eq_fini(&w->eq);
}
