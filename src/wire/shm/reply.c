/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writes replies into rings, in the thread that answers a piece. A reply whose lane is full waits in
 * a list, and as long as anything is there no more messages of that peer are taken in:
 * so only what its queue pairs keep back can add to it.
 */
#include "wire/shm/internal.h"
#include "wire/shm/message.h"

/* The peer's lock is held, in all that follows up to the next line of this kind. */

static void keep(struct hca_shm *shm, struct shm_peer *p, const struct hca_reply *r)
{
	struct shm_late *l = hca_alloc(sizeof(*l) + r->len, 0);

	if (!l) {
		hca_log(HCA_LOG_ERR, "fabric: no memory for a reply to node %u: it isn't served any more", p->number);
		shm_peer_gone(shm, p);
		return;
	}
	l->r = *r;
	l->r.bytes = l->bytes;
	if (r->len)
		hca_memcpy(l->bytes, r->bytes, r->len);
	hca_store(p->late_end, l);
	p->late_end = &l->next;
}

/* Return: 0; -EAGAIN: the reader tells when there is room; -EPROTO. */
static int find_room(struct shm_peer *p, u32 bytes, void **at)
{
	struct shm_lane *lane = &p->out.lane[HCA_FABRIC_REPLIES];
	int err = shm_lane_room(lane, bytes, at);

	return err == -EAGAIN ? shm_lane_want(lane, bytes, at) : err;
}

static int put(struct shm_peer *p, const struct hca_reply *r)
{
	u32 bytes = shm_reply_bytes(r->len);
	void *at;
	int err = find_room(p, bytes, &at);

	if (err)
		return err;
	shm_reply_put(at, r);
	if (r->len)
		hca_memcpy(shm_reply_data(at), r->bytes, r->len);
	shm_lane_commit(&p->out.lane[HCA_FABRIC_REPLIES], bytes);
	return 0;
}

/* --- without the lock --- */

static struct hca_fabric_node *answer_other(struct hca_shm *shm, struct shm_peer *p, const struct hca_reply *r)
{
	int err = -EAGAIN;

	if (!p->node.head || hca_load(&p->gone))
		return NULL;
	if (hca_likely(!p->late))
		err = put(p, r);
	if (hca_likely(!err))
		return shm_node_tell(p->node.head, shm->node.number) ? p->node.head : NULL;
	if (err == -EAGAIN)
		keep(shm, p, r);
	else
		shm_peer_mistrust(shm, p, "the tail of a ring");
	return NULL;
}

/* A piece of our own that had to wait: it is answered from outside, by who takes in. */
static struct hca_fabric_node *answer_own(struct hca_shm *shm, struct shm_peer *p, const struct hca_reply *r)
{
	keep(shm, p, r);
	return shm_node_tell(shm->node.head, shm->node.number) ? shm->node.head : NULL;
}

void shm_answer(struct hca_wire *wire, u32 lid, const struct hca_reply *r)
{
	struct hca_shm *shm = hca_container_of(wire, struct hca_shm, wire);
	struct shm_peer *p = shm_peer_get(shm, lid);
	struct hca_fabric_node *wake;
	hca_irqflags_t flags;

	if (hca_unlikely(!p || shm->child))
		return;
	hca_spin_lock(&p->lock, flags);
	wake = lid == shm->node.number ? answer_own(shm, p, r) : answer_other(shm, p, r);
	hca_spin_unlock(&p->lock, flags);
	if (wake)
		shm_node_wake(wake);
}

bool shm_reply_has_room(struct hca_shm *shm, struct shm_peer *p, u32 bytes)
{
	hca_irqflags_t flags;
	int err = -EAGAIN;
	void *at;

	/* There is no client to take it: it is dropped. */
	if (hca_load(&p->gone))
		return true;
	hca_spin_lock(&p->lock, flags);
	if (hca_likely(!p->late))
		err = find_room(p, bytes, &at);
	hca_spin_unlock(&p->lock, flags);
	if (hca_unlikely(err == -EPROTO))
		shm_peer_mistrust(shm, p, "the tail of a ring");
	return !err;
}

void shm_reply_send_late(struct hca_shm *shm, struct shm_peer *p)
{
	struct hca_fabric_node *wake = NULL;
	hca_irqflags_t flags;
	int err = 0;

	if (hca_likely(!hca_load(&p->late)))
		return;
	hca_spin_lock(&p->lock, flags);
	while (p->late && p->node.head && !err) {
		err = put(p, &p->late->r);
		if (!err)
			hca_free(shm_peer_late(p));
	}
	if (p->node.head && shm_node_tell(p->node.head, shm->node.number))
		wake = p->node.head;
	hca_spin_unlock(&p->lock, flags);
	if (err == -EPROTO)
		shm_peer_mistrust(shm, p, "the tail of a ring");
	if (wake)
		shm_node_wake(wake);
}

u32 shm_reply_take_own(struct hca_shm *shm, struct shm_peer *p)
{
	hca_irqflags_t flags;
	struct shm_late *l;
	u32 moved = 0;

	for (;; moved++) {
		hca_spin_lock(&p->lock, flags);
		l = shm_peer_late(p);
		hca_spin_unlock(&p->lock, flags);
		if (!l)
			return moved;
		if (shm->client_ops)
			shm->client_ops->answered(shm->client, &l->r);
		hca_free(l);
	}
}
