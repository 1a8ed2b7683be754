/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Multicast: a datagram for a group goes to each node that has queue pairs in any. A
 * node that joins its first group says so to all that are there, by a bit in their
 * files; a node that comes later looks at all that are there itself. The bit of a node
 * that has ended, or left all groups, goes when that is found out.
 */
#include "wire/shm/internal.h"

#define MTU 4096u

static void set_member(struct hca_fabric_node *at, u32 number)
{
	hca_fetch_or(&at->members[number / 64], 1ull << (number % 64));
}

static void tell_node(void *ctx, u32 number)
{
	struct hca_shm *shm = ctx;
	struct shm_node node;

	if (number == shm->node.number || shm_node_open(shm->dir, number, &node))
		return;
	set_member(node.head, shm->node.number);
	shm_node_unmap(&node);
}

void hca_shm_joined(struct hca_shm *shm, u32 groups)
{
	bool first;

	if (shm->child)
		return;
	first = groups && !hca_load(&shm->node.head->joined);
	hca_store(&shm->node.head->joined, groups);
	hca_mb(); /* a node that comes later sees it then */
	if (first)
		shm_dir_nodes(shm->dir, tell_node, shm);
}

static void ask_node(void *ctx, u32 number)
{
	struct hca_shm *shm = ctx;

	if (number != shm->node.number && shm_node_has_joined(shm->dir, number))
		set_member(shm->node.head, number);
}

/* Our own file is there by now. */
void shm_group_learn(struct hca_shm *shm)
{
	hca_mb();
	shm_dir_nodes(shm->dir, ask_node, shm);
}

/* A node that joins says so first and sets its bit in our file then: one of the two is seen here. */
void shm_group_forget(struct hca_shm *shm, u32 number)
{
	hca_fetch_and(&shm->node.head->members[number / 64], ~(1ull << (number % 64)));
	hca_mb();
	ask_node(shm, number);
}

static bool has_joined(struct hca_shm *shm, u32 number)
{
	struct shm_peer *p = shm_peer_get(shm, number);
	hca_irqflags_t flags;
	bool joined = false;

	if (p && (shm_peer_is_there(p) || !shm_peer_connect(shm, p))) {
		hca_spin_lock(&p->lock, flags);
		joined = p->node.head && hca_load(&p->node.head->joined);
		hca_spin_unlock(&p->lock, flags);
	}
	if (!joined)
		shm_group_forget(shm, number);
	return joined;
}

/* A datagram whose payload was read: its sender gives it once. */
struct copied {
	struct hca_carried c;
	u8 bytes[MTU];
};

static int get_copied(struct hca_carried *c, void *out)
{
	struct copied *copied = hca_container_of(c, struct copied, c);

	hca_memcpy(out, copied->bytes, c->msg.piece);
	return 0;
}

/* A full ring loses the datagram for that node alone. */
static void send_to_members(struct hca_shm *shm, struct hca_carried *c)
{
	u64 *members = shm->node.head->members, bits;
	u32 word, number;

	for (word = 0; word < HCA_FABRIC_NODES / 64; word++) {
		for (bits = hca_load(&members[word]); bits; bits &= bits - 1) {
			number = word * 64 + (u32)__builtin_ctzll(bits);
			if (number != shm->node.number && has_joined(shm, number))
				(void)shm_send_to(shm, number, c);
		}
	}
}

/* Only the sender's own trouble ends it. */
enum hca_answer shm_group_send(struct hca_shm *shm, struct hca_carried *c, struct hca_reply *r)
{
	struct copied copied;

	if (shm->client_ops->message(shm->client, c, r) == HCA_ANSWER_LOC_PROT)
		return HCA_ANSWER_LOC_PROT;
	if (c->msg.piece > MTU)
		return HCA_ANSWER_ACK;
	copied.c = *c;
	copied.c.get = get_copied;
	if (c->msg.piece && c->get(c, copied.bytes))
		return HCA_ANSWER_LOC_PROT;
	send_to_members(shm, &copied.c);
	return HCA_ANSWER_ACK;
}
