/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Messages into rings: the wire's send, by threads of this process. */
#include "hca/opcode.h"
#include "wire/shm/internal.h"
#include "wire/shm/message.h"

#define NS_PER_MS 1000000ull
#define STALL_NS (100 * NS_PER_MS)
#define NAME_NS (1000 * NS_PER_MS)
#define FETCH_MIN 16384u /* bytes: fewer are copied into the ring faster than a system call is made */
#define MOST_COPIES 65536u /* messages, between two that a peer may fetch */

/* --- a ring that is full --- */

/*
 * The peer's lock is held, and @blocked is set. @was: and it was before. A datagram to a node that takes nothing in is lost: others must
 * not wait behind it.
 */
static enum hca_answer not_now(struct hca_shm *shm, struct shm_peer *p, bool was, const struct hca_msg *m)
{
	u64 now = hca_now_ns(), tail = p->out.lane[HCA_FABRIC_REQUESTS].seen;

	if (!was || tail != p->blocked_tail) {
		p->blocked_since = now;
		p->blocked_tail = tail;
	}
	if (!(m->flags & HCA_MSG_CONNECTED) && was && now - p->blocked_since >= STALL_NS)
		return HCA_ANSWER_ACK;
	if (!was)
		hca_timer_start(&shm->stalled, now + STALL_NS);
	return HCA_ANSWER_LATER;
}

/* Return: the peer still takes nothing in. */
static bool look_at(struct hca_shm *shm, struct shm_peer *p, u64 now)
{
	bool blocked, named = false;
	hca_irqflags_t flags;
	s32 pid = 0;

	hca_spin_lock(&p->lock, flags);
	blocked = p->blocked && p->node.head;
	if (blocked) {
		pid = hca_load(&p->node.head->pid);
		named = !p->named && now - p->blocked_since >= NAME_NS;
		p->named |= named;
	}
	hca_spin_unlock(&p->lock, flags);
	if (named)
		hca_log(HCA_LOG_WARN, "fabric: node %u (process %d) takes nothing in: is it stopped?", p->number, pid);
	/* A process that became another program has left, and no pidfd says so. */
	if (blocked && now - p->blocked_since >= NAME_NS && !shm_peer_lives(shm, p))
		shm_peer_gone(shm, p);
	return blocked;
}

/* The timer: as long as a ring is full, queue pairs that wait try again now and then, so that what is lost is lost. */
void shm_stalled(void *arg)
{
	struct hca_shm *shm = arg;
	u64 now = hca_now_ns();
	bool blocked = false;
	u32 i;

	for (i = 1; i < HCA_FABRIC_NODES; i++) {
		struct shm_peer *p = hca_load_acquire(&shm->peer[i]);

		if (p)
			blocked |= look_at(shm, p, now);
	}
	if (!blocked)
		return;
	shm->client_ops->ready(shm->client);
	hca_eq_kick(&shm->eq);
	hca_timer_start(&shm->stalled, now + STALL_NS);
}

/* --- to one node --- */

/*
 * Where the peer is to fetch a payload from: it copies the bytes once, and we not at all. The epoch comes first: what ends after that
 * changes it, and waits for those who use it then.
 */
static void offer(struct hca_shm *shm, struct shm_peer *p, struct hca_carried *c, struct shm_source *src)
{
	const struct hca_msg *m = &c->msg;

	src->n = 0;
	if (m->piece < FETCH_MIN || !(m->flags & HCA_MSG_RELIABLE) || c->copy || !c->places ||
	    !(hca_opcodes[m->opcode].flags & HCA_OP_TAKES_RECV) || !hca_load(&shm->node.head->vm))
		return;
	if (p->copies) {
		p->copies--;
		return;
	}
	src->epoch = hca_load_acquire(&shm->node.head->epoch);
	src->n = c->places(c, src->place);
	p->refusals -= p->refusals ? 1 : 0;
}

/* A node that may not read our memory says so each time: it is asked ever more seldom. */
void shm_send_copies(struct shm_peer *p)
{
	hca_irqflags_t flags;

	hca_spin_lock(&p->lock, flags);
	p->refusals = HCA_MIN(p->refusals * 2 + 4, MOST_COPIES);
	p->copies = p->refusals;
	hca_spin_unlock(&p->lock, flags);
}

/* The peer's lock is held. */
static enum hca_answer put(struct hca_shm *shm, struct shm_peer *p, struct hca_carried *c)
{
	struct shm_lane *lane = &p->out.lane[HCA_FABRIC_REQUESTS];
	u32 payload, bytes;
	struct shm_source src;
	bool was = p->blocked;
	void *at, *data;
	int err;

	/* Small ones don't pass large ones that wait. */
	if (hca_unlikely(was && !shm_lane_wait_half_empty(lane)))
		return not_now(shm, p, was, &c->msg);
	offer(shm, p, c, &src);
	bytes = shm_message_bytes(&c->msg, &src, &payload);
	err = shm_lane_room(lane, bytes, &at);
	if (hca_unlikely(err == -EAGAIN)) {
		/* Before the reader is asked to tell of room: the thread that is told looks at @blocked without the lock. */
		hca_store(&p->blocked, true);
		err = shm_lane_want(lane, bytes, &at);
		if (err == -EAGAIN)
			return not_now(shm, p, was, &c->msg);
		hca_store(&p->blocked, was);
	}
	if (hca_unlikely(err)) {
		shm_peer_mistrust(shm, p, "the tail of a ring");
		return HCA_ANSWER_NONE;
	}
	data = shm_message_put(at, bytes, &c->msg, &src);
	if (payload && hca_unlikely(c->get(c, data)))
		return HCA_ANSWER_LOC_PROT;
	shm_lane_commit(lane, bytes);
	return HCA_ANSWER_PENDING;
}

/* The node has taken in all that was sent to it. */
bool shm_send_idle(struct hca_shm *shm, u32 number)
{
	struct shm_peer *p = shm_peer_get(shm, number);
	hca_irqflags_t flags;
	bool idle = true;

	if (!p)
		return true;
	hca_spin_lock(&p->lock, flags);
	if (p->node.head) {
		const struct shm_lane *l = &p->out.lane[HCA_FABRIC_REQUESTS];

		idle = hca_load_acquire(&l->shared->tail) == l->pos;
	}
	hca_spin_unlock(&p->lock, flags);
	return idle;
}

enum hca_answer shm_send_to(struct hca_shm *shm, u32 number, struct hca_carried *c)
{
	struct shm_peer *p = shm_peer_get(shm, number);
	enum hca_answer answer = HCA_ANSWER_NONE;
	struct hca_fabric_node *wake = NULL;
	hca_irqflags_t flags;

	if (hca_unlikely(!p))
		return HCA_ANSWER_NONE;
	hca_spin_lock(&p->lock, flags);
	if (hca_unlikely(!p->node.head)) {
		hca_spin_unlock(&p->lock, flags);
		if (shm_peer_connect(shm, p))
			return HCA_ANSWER_NONE;
		hca_spin_lock(&p->lock, flags);
	}
	if (hca_likely(p->node.head && !hca_load(&p->gone))) {
		if (hca_likely(hca_load(&p->node.head->magic) == HCA_FABRIC_MAGIC))
			answer = put(shm, p, c);
		else
			shm_peer_gone(shm, p);
		if (hca_likely(answer == HCA_ANSWER_PENDING) && shm_node_tell(p->node.head, shm->node.number))
			wake = p->node.head;
	}
	hca_spin_unlock(&p->lock, flags);
	if (wake)
		shm_node_wake(wake);
	return answer;
}
