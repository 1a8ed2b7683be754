/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A wire of messages that answers later; see late_wire.h. */
#include "late_wire.h"

#include "hca/mcast.h"

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
	w->crowd += !item->is_reply;
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
		w->crowd -= !item->is_reply;
		w->replies += item->is_reply;
	}
	hca_spin_unlock(&w->lock, flags);
	return item;
}

/* A reply on its way back. What isn't reliable is answered by nothing. */
static void enqueue_reply(struct late_wire *w, u32 lid, const struct hca_reply *r)
{
	struct late_item *back;

	if (w->mute)
		return;
	back = make_item(lid, r->len);
	back->is_reply = true;
	back->reply = *r;
	back->reply.bytes = back->bytes;
	if (r->len)
		memcpy(back->bytes, r->bytes, r->len);
	enqueue(w, back);
}

static void answer(struct hca_wire *wire, u32 lid, const struct hca_reply *r)
{
	if (to_late(wire)->on_answer)
		to_late(wire)->on_answer(r);
	enqueue_reply(to_late(wire), lid, r);
}

static bool is_read(const struct hca_msg *m)
{
	return (hca_opcode(m->opcode)->flags & (HCA_OP_READS | HCA_OP_ATOMIC)) == HCA_OP_READS;
}

static void bring_piece(struct late_wire *w, struct late_item *item)
{
	const struct hca_msg *m = &item->msg;
	struct hca_carried c = { .msg = *m, .bytes = item->bytes };
	enum hca_answer answer = HCA_ANSWER_NONE;
	struct hca_reply r = { 0 };
	struct late_port to;

	if (use(w, item->to, &to)) {
		answer = to.ops->message(to.client, &c, &r);
		end_use(w, item->to);
	}
	if (answer == HCA_ANSWER_PENDING || !(m->flags & HCA_MSG_RELIABLE))
		return;
	r.answer = (u8)answer;
	r.sqpn = m->sqpn;
	r.number = m->number;
	r.session = m->session;
	r.off = m->off;
	r.bytes = c.bytes;
	r.len = is_read(m) && answer == HCA_ANSWER_ACK ? m->piece : 0;
	enqueue_reply(w, m->slid, &r);
}

/* There is room again: whoever was told to come later may. */
static void tell_ready(struct late_wire *w)
{
	hca_irqflags_t flags;
	struct late_port to;
	bool wanted;
	u32 i;

	hca_spin_lock(&w->lock, flags);
	wanted = w->wanted && w->crowd < w->room;
	w->wanted &= !wanted;
	hca_spin_unlock(&w->lock, flags);
	for (i = 1; i < LATE_PORTS && wanted; i++) {
		if (!use(w, i, &to))
			continue;
		to.ops->ready(to.client);
		end_use(w, i);
	}
}

bool late_step(struct late_wire *w)
{
	struct late_item *item = dequeue(w);
	struct late_port to;

	if (!item)
		return false;
	tell_ready(w);
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

static bool is_for_group(const struct hca_msg *m)
{
	return !(m->flags & HCA_MSG_CONNECTED) &&
	       (m->dlid >= HCA_FIRST_MLID || (m->flags & HCA_MSG_GLOBAL && m->ud.dgid.raw[0] == 0xff));
}

/* Each port gets a copy: who has left by then isn't there. */
static enum hca_answer send_to_all(struct late_wire *w, struct hca_carried *c)
{
	struct late_item *first = make_item(1, c->msg.piece), *item;
	u32 i;

	first->msg = c->msg;
	if (c->msg.piece && c->get(c, first->bytes)) {
		hca_free(first);
		return HCA_ANSWER_LOC_PROT;
	}
	for (i = 2; i < LATE_PORTS; i++) {
		item = make_item(i, c->msg.piece);
		item->msg = c->msg;
		memcpy(item->bytes, first->bytes, c->msg.piece);
		enqueue(w, item);
	}
	enqueue(w, first);
	return HCA_ANSWER_PENDING;
}

/* Another thread may take the last place after this: the limit is no exact one. */
static bool is_full(struct late_wire *w)
{
	hca_irqflags_t flags;
	bool full;

	hca_spin_lock(&w->lock, flags);
	full = w->room && w->crowd >= w->room;
	w->wanted |= full;
	w->later += full;
	hca_spin_unlock(&w->lock, flags);
	return full;
}

static enum hca_answer send(struct hca_wire *wire, struct hca_carried *c, struct hca_reply *r)
{
	const struct hca_opcode *op = hca_opcode(c->msg.opcode);
	struct late_wire *w = to_late(wire);
	struct late_item *item;

	if (!(op->flags & HCA_OP_TAKES_RECV) && !w->one_sided_late)
		return send_now(w, c, r);
	/* As a wire does that moves the bytes by itself. What is behind a piece that is under way stays behind it. */
	if (w->at_once && c->right) {
		HCA_ASSERT(!c->pending);
		w->at_once--;
		return send_now(w, c, r);
	}
	if (is_full(w))
		return HCA_ANSWER_LATER;
	if (is_for_group(&c->msg))
		return send_to_all(w, c);
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
	.answer = answer,
};

int late_open(struct late_wire *w)
{
	memset(w, 0, sizeof(*w));
	w->wire.ops = &late_ops;
	w->node.fire = fire;
	hca_spin_init(&w->lock);
	return hca_eq_init(&w->eq);
}

void late_forget(struct late_wire *w)
{
	struct late_item *item;

	while ((item = dequeue(w)))
		hca_free(item);
}

void late_close(struct late_wire *w)
{
	hca_eq_cancel(&w->eq, &w->node);
	late_forget(w);
	hca_eq_fini(&w->eq);
}
