/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What another node says of its queue pairs and keys; see view.h. */
#include "wire/shm/view.h"

/* So often an entry is read that changes meanwhile. Its writer needs a few stores; more often than this it is dead, or mad. */
#define TRIES 64u
#define KEY_INDEX_BITS 24u
#define KEY_MW (1u << 31)
#define ANY_QP (~0u)

/* --- the head --- */

static bool fits(u64 size, u64 off, u64 n, u64 each)
{
	return !(off & 63) && off <= size && n <= (size - off) / each;
}

int shm_view_init(struct shm_view *v, const void *at, u64 size, u32 number)
{
	const struct hca_fabric_node *node = at;
	u64 qps, keys, room;
	u32 qp_slots;

	if (size < sizeof(*node) || hca_load_acquire(&node->magic) != HCA_FABRIC_MAGIC ||
	    hca_load(&node->version) != HCA_FABRIC_VERSION || hca_load(&node->number) != number)
		return -EPROTO;
	qps = hca_load(&node->qps);
	keys = hca_load(&node->keys);
	qp_slots = hca_load(&node->qp_slots);
	if (!qp_slots || qp_slots & (qp_slots - 1) || !fits(size, qps, qp_slots, sizeof(struct hca_fabric_qp)) ||
	    !fits(size, keys, 0, sizeof(struct hca_fabric_key)))
		return -EPROTO;
	room = (size - keys) / sizeof(struct hca_fabric_key);
	*v = (struct shm_view){
		.node = node,
		.qp = (const void *)((const u8 *)at + qps),
		.key = (const void *)((const u8 *)at + keys),
		.qp_slots = qp_slots,
		.key_room = (u32)HCA_MIN(room, 1ull << KEY_INDEX_BITS),
	};
	return 0;
}

/* --- entries --- */

/* The fields are read between the two, and each of them at once. */
static bool begin(const u32 *seq, u32 *at)
{
	*at = hca_load_acquire(seq);
	return !(*at & 1);
}

static bool unchanged(const u32 *seq, u32 at)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return hca_load(seq) == at;
}

static bool read_qp(const struct hca_fabric_qp *e, struct hca_fabric_qp *out)
{
	u32 tries, seq;

	for (tries = 0; tries < TRIES; tries++) {
		if (!begin(&e->seq, &seq)) {
			hca_pause();
			continue;
		}
		out->qpn = hca_load(&e->qpn);
		out->type = hca_load(&e->type);
		out->state = hca_load(&e->state);
		out->rd_limit = hca_load(&e->rd_limit);
		out->access = hca_load(&e->access);
		out->pd = hca_load(&e->pd);
		out->peer = hca_load(&e->peer);
		if (unchanged(&e->seq, seq))
			return true;
	}
	return false;
}

static bool read_key(const struct hca_fabric_key *e, struct hca_fabric_key *out)
{
	u32 tries, seq;

	for (tries = 0; tries < TRIES; tries++) {
		if (!begin(&e->seq, &seq)) {
			hca_pause();
			continue;
		}
		out->key = hca_load(&e->key);
		out->access = hca_load(&e->access);
		out->qpn = hca_load(&e->qpn);
		out->iova = hca_load(&e->iova);
		out->length = hca_load(&e->length);
		out->base = hca_load(&e->base);
		out->pd = hca_load(&e->pd);
		out->seq = seq;
		if (unchanged(&e->seq, seq))
			return true;
	}
	return false;
}

/* --- what the responder would ask --- */

static bool listens(const struct hca_fabric_qp *q, const struct hca_carried *c)
{
	const struct hca_msg *m = &c->msg;

	/* Whose keys count in XRC, the directory doesn't say. */
	if (m->flags & HCA_MSG_XRC)
		return false;
	if (q->qpn != m->dqpn || q->type != (m->flags & HCA_MSG_RELIABLE ? HCA_QPT_RC : HCA_QPT_UC))
		return false;
	/* In RTR the first message causes an event. */
	if (q->state <= HCA_QPS_RTR || q->state >= HCA_QPS_ERR)
		return false;
	if (q->peer != ((u64)m->slid << 32 | m->sqpn) || !(q->access & c->right))
		return false;
	return c->right == HCA_ACCESS_REMOTE_WRITE || q->rd_limit;
}

static bool allows(const struct hca_fabric_key *k, const struct hca_fabric_qp *q, const struct hca_carried *c)
{
	const struct hca_msg *m = &c->msg;
	/* The first piece asks for all of the message. Of an unreliable one that isn't allowed no piece is written. */
	bool all = m->flags & HCA_MSG_FIRST || !(m->flags & HCA_MSG_RELIABLE);
	u64 len = all ? m->len : m->piece, off = m->raddr + (all ? 0 : m->off) - k->iova;

	if (k->key != m->rkey || k->pd != q->pd || !(k->access & c->right))
		return false;
	if (len > k->length || off > k->length - len)
		return false;
	return !(k->access & KEY_MW) || k->qpn == ANY_QP || k->qpn == q->qpn;
}

int shm_view_target(const struct shm_view *v, const struct hca_carried *c, u64 *remote, struct hca_fabric_key *key)
{
	u32 slot = c->msg.rkey >> 8;
	struct hca_fabric_qp qp;

	if (!read_qp(&v->qp[c->msg.dqpn & (v->qp_slots - 1)], &qp) || !listens(&qp, c))
		return -EACCES;
	if (slot >= hca_load_acquire(&v->key_slots))
		return slot < v->key_room ? -EAGAIN : -EACCES;
	if (!read_key(&v->key[slot], key) || !allows(key, &qp, c))
		return -EACCES;
	*remote = key->base + (c->msg.raddr + c->msg.off - key->iova);
	return 0;
}
