/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What arrives: messages and replies out of rings, to the adapter; and replies into
 * rings. One thread at a time. A message whose reply has no room stays in its ring, and
 * so do those behind it; replies are taken in always, so two nodes never wait for each other.
 */
#include "wire/shm/internal.h"
#include "wire/shm/message.h"

/* Entries of one peer before others have their turn. */
#define BUDGET 256u
/* Of a program that polls: looks in a row that find nothing, and looks at all, before hints are taken back. */
#define LOOKS 256u
#define TURNS 4096u
/* Nodes that have hints in vain, at one look, before hints are taken back. */
#define IDLERS 4u
#define ALL_WORDS ((1u << HCA_FABRIC_NODES / 64) - 1)

/* What is done in one turn. */
struct turn {
	u32 moved;
	u32 idle; /* nodes that had a hint in vain */
	bool ready; /* a ring of ours has room again */
};

/* --- turns --- */

void shm_take_begin(struct hca_shm *shm)
{
	u32 turns = 0;

	while (hca_xchg(&shm->taking, 1u))
		hca_relax(&turns);
}

void shm_take_end(struct hca_shm *shm)
{
	hca_store_release(&shm->taking, 0u);
}

/* Look at it again in a later turn; the helper's, unless the program comes before. */
static void put_back(struct hca_shm *shm, const struct shm_peer *p)
{
	if (shm_node_tell(shm->node.head, p->number))
		shm_node_wake(shm->node.head);
}

static void tell(struct hca_shm *shm, struct shm_peer *p)
{
	if (shm_node_tell(p->node.head, shm->node.number))
		shm_node_wake(p->node.head);
}

/* --- replies to us --- */

static void take_replies(struct hca_shm *shm, struct shm_peer *p, struct turn *t)
{
	struct shm_lane *lane = &p->in.lane[HCA_FABRIC_REPLIES];
	u32 budget = BUDGET, bytes;
	u64 was = lane->pos;
	struct hca_reply r;
	void *at;
	int got = 1;

	while (budget-- && (got = shm_lane_next(lane, &bytes, &at)) > 0) {
		got = shm_reply_get(at, bytes, &r);
		if (got)
			break;
		if (hca_unlikely(r.answer == HCA_ANSWER_COPY))
			shm_send_copies(p);
		if (shm->client_ops)
			shm->client_ops->answered(shm->client, &r);
		shm_lane_done(lane, bytes);
		t->moved++;
		got = 1;
	}
	if (got < 0)
		shm_peer_mistrust(shm, p, "a reply");
	else if (got)
		put_back(shm, p);
	if (lane->pos != was && shm_lane_made_room(lane))
		tell(shm, p);
}

/* --- messages to us --- */

/* PENDING: the adapter answers later, or has answered by the wire's answer; else the reply is sent here. */
static void bring(struct hca_shm *shm, struct hca_carried *c, u32 read_bytes)
{
	const struct hca_msg *m = &c->msg;
	struct hca_reply r = { 0 };
	enum hca_answer answer = HCA_ANSWER_NONE;

	if (shm->client_ops)
		answer = shm->client_ops->message(shm->client, c, &r);
	if (answer == HCA_ANSWER_PENDING || !(m->flags & HCA_MSG_RELIABLE))
		return;
	r.answer = (u8)answer;
	r.sqpn = m->sqpn;
	r.number = m->number;
	r.session = m->session;
	r.off = m->off;
	r.bytes = c->bytes;
	r.len = answer == HCA_ANSWER_ACK ? read_bytes : 0;
	shm_answer(&shm->wire, m->slid, &r);
}

/* A message whose payload is in its sender's memory. */
struct elsewhere {
	struct hca_carried c;
	struct shm_source src;
	struct hca_shm *shm;
};

static int fetch(struct hca_carried *c, const struct hca_place *to, u32 n)
{
	struct elsewhere *e = hca_container_of(c, struct elsewhere, c);
	const struct shm_source *src = &e->src;

	return shm_direct_fetch(&e->shm->direct, c->msg.slid, src->epoch, src->place, src->n, to, n);
}

/* Return: 1: it was brought, 0: its reply has no room, -EPROTO */
static int take_message(struct hca_shm *shm, struct shm_peer *p, void *at, u32 bytes)
{
	struct elsewhere e = { .c = { .local = NULL }, .shm = shm };
	struct hca_carried *c = &e.c;
	u32 read_bytes;
	int err;

	err = shm_message_get(at, bytes, p->number, &c->msg, &e.src, &c->bytes, &read_bytes);
	if (err)
		return err;
	if (c->msg.flags & HCA_MSG_RELIABLE && !shm_reply_has_room(shm, p, shm_reply_bytes(read_bytes)))
		return 0;
	if (read_bytes || e.src.n)
		c->bytes = shm->read_bytes;
	c->fetch = e.src.n ? fetch : NULL;
	bring(shm, c, read_bytes);
	return 1;
}

/* A reply that was written before a message is taken in before it, as on a link: programs may rely on that. Return: they all were. */
static bool replies_first(struct hca_shm *shm, struct shm_peer *p, struct turn *t)
{
	const struct shm_lane *replies = &p->in.lane[HCA_FABRIC_REPLIES];

	if (hca_likely(!shm_lane_has(replies)))
		return true;
	take_replies(shm, p, t);
	return !shm_lane_has(replies);
}

static void take_messages(struct hca_shm *shm, struct shm_peer *p, struct turn *t)
{
	struct shm_lane *lane = &p->in.lane[HCA_FABRIC_REQUESTS];
	u32 budget = BUDGET, bytes;
	u64 was = lane->pos;
	void *at;
	int got = 1;

	while (budget-- && p->bad != p->stamp && (got = shm_lane_next(lane, &bytes, &at)) > 0) {
		if (hca_unlikely(!replies_first(shm, p, t)))
			break;
		got = take_message(shm, p, at, bytes);
		if (got <= 0)
			break;
		shm_lane_done(lane, bytes);
		t->moved++;
	}
	if (got < 0)
		shm_peer_mistrust(shm, p, "a message");
	else if (got)
		put_back(shm, p);
	if (lane->pos != was && shm_lane_made_room(lane))
		tell(shm, p);
}

/* --- peers --- */

static void look_for_room(struct shm_peer *p, struct turn *t)
{
	hca_irqflags_t flags;

	if (!hca_load(&p->blocked))
		return;
	hca_spin_lock(&p->lock, flags);
	if (p->blocked && shm_lane_half_empty(&p->out.lane[HCA_FABRIC_REQUESTS])) {
		hca_store(&p->blocked, false);
		p->named = false;
		t->ready = true;
	}
	hca_spin_unlock(&p->lock, flags);
}

static void take_from(struct hca_shm *shm, struct shm_peer *p, struct turn *t)
{
	if (!shm_peer_is_there(p) && shm_peer_connect(shm, p))
		return;
	if (hca_load(&p->gone))
		return;
	shm_reply_send_late(shm, p);
	if (hca_likely(shm_peer_attach_in(shm, p))) {
		take_replies(shm, p, t);
		if (hca_likely(!hca_load(&p->gone)))
			take_messages(shm, p, t);
	}
	look_for_room(p, t);
	if (hca_unlikely(hca_load(&p->node.head->magic) != HCA_FABRIC_MAGIC))
		shm_peer_gone(shm, p);
}

/* What a peer that ended had written before; while taking. It may have written no end. */
void shm_take_last(struct hca_shm *shm, struct shm_peer *p)
{
	struct turn t = { .moved = 1 };
	u32 rounds;

	if (!shm_peer_is_there(p) || p->stamp == p->bad || !shm_peer_attach_in(shm, p))
		return;
	rounds = 2 + p->in.lane[HCA_FABRIC_REQUESTS].size / (BUDGET * sizeof(struct hca_fabric_message));
	while (t.moved && rounds--) {
		t.moved = 0;
		take_replies(shm, p, &t);
		take_messages(shm, p, &t);
	}
}

static void take_word(struct hca_shm *shm, u32 word, struct turn *t)
{
	u64 bits = hca_xchg(&shm->node.head->pending[word], 0ull);

	for (; bits; bits &= bits - 1) {
		u32 number = word * 64 + (u32)__builtin_ctzll(bits);
		struct shm_peer *p = shm_peer_get(shm, number);

		if (p && number != shm->node.number)
			take_from(shm, p, t);
		else if (p)
			t->moved += shm_reply_take_own(shm, p);
	}
}

/* Hints are cleared before rings are read: later entries set them again. */
static void take_all(struct hca_shm *shm, struct turn *t)
{
	u64 words = hca_xchg(&shm->node.head->summary, 0ull) & ALL_WORDS;

	for (; words; words &= words - 1)
		take_word(shm, (u32)__builtin_ctzll(words), t);
}

/* Return: the next of those that have a hint, from the number @from on; 0: none has */
static u32 next_hint(const struct hca_shm *shm, u32 from)
{
	const struct hca_fabric_node *own = shm->node.head;
	u32 word;

	for (word = from / 64; word < HCA_FABRIC_NODES / 64; word++, from = word * 64) {
		u64 bits;

		if (!(hca_load(&own->summary) >> word & 1))
			continue;
		bits = hca_load(&own->pending[word]) & ~0ull << from % 64;
		if (bits)
			return word * 64 + (u32)__builtin_ctzll(bits);
	}
	return 0;
}

/* Return: all of them are nodes that we hear; else take_all() is to see to it. */
static bool look_at_all(struct hca_shm *shm, struct turn *t)
{
	u32 number;

	for (number = next_hint(shm, 0); number; number = next_hint(shm, number + 1)) {
		struct shm_peer *p = hca_load_acquire(&shm->peer[number]);
		u32 moved = t->moved;

		if (!p || !p->in.head || !shm_peer_is_there(p) || hca_load(&p->gone))
			return false;
		take_from(shm, p, t);
		t->idle += t->moved == moved;
		if (number == HCA_FABRIC_NODES - 1)
			break;
	}
	return true;
}

static bool begin(struct hca_shm *shm)
{
	return !hca_load(&shm->taking) && !hca_xchg(&shm->taking, 1u);
}

static u32 end(struct hca_shm *shm, const struct turn *t)
{
	if (t->ready && shm->client_ops)
		shm->client_ops->ready(shm->client);
	shm_take_end(shm);
	hca_eq_run(&shm->eq);
	return t->moved;
}

u32 shm_take(struct hca_shm *shm, bool *busy)
{
	struct turn t = { 0 };

	*busy = !begin(shm);
	if (*busy)
		return 0;
	take_all(shm, &t);
	return end(shm, &t);
}

/*
 * As long as the helper is away, and things arrive, hints are left where they are: a sender that finds its own there writes none, and the
 * two don't take the cache line from each other for each message. The helper takes hints back before it sleeps, so that is no more
 * than a hint that was given again too early (tests/model/shm_bell.pml).
 */
u32 shm_take_polled(struct hca_shm *shm)
{
	struct turn t = { 0 };

	if (!begin(shm))
		return 0;
	if (shm->looks && --shm->turns && look_at_all(shm, &t)) {
		shm->looks = t.idle > IDLERS ? 0 : t.moved ? LOOKS : shm->looks - 1;
	} else {
		take_all(shm, &t);
		shm->looks = t.moved ? LOOKS : 0;
		shm->turns = TURNS;
	}
	return end(shm, &t);
}
