/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Files of nodes that no node wrote. The input is one: its head, its queue pairs and its keys, cut
 * where it pleases, with a piece of an RDMA write or read for it. Whatever comes: not a byte beyond the
 * file is read (it ends where memory ends), and what is allowed lies within a key of the file, of the
 * queue pair's domain, with the right.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "wire/shm/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM 65536u
#define MUST(c) ((c) ? (void)0 : failed(#c, __LINE__))

static void failed(const char *what, int line)
{
	fprintf(stderr, "fuzz_shm_view.c:%d: %s\n", line, what);
	abort();
}

/* The file ends where nothing is mapped. */
static u8 *room(void)
{
	static u8 *at;

	if (!at) {
		at = mmap(NULL, ROOM + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		MUST(at != MAP_FAILED);
		MUST(!mprotect(at + ROOM, 4096, PROT_NONE));
	}
	return at;
}

/* Where the fuzzer would need luck: numbers that must be so are, unless a bit of @spoil says otherwise. */
static void help(struct hca_fabric_node *node, u8 spoil)
{
	if (!(spoil & 1))
		node->magic = HCA_FABRIC_MAGIC;
	if (!(spoil & 2))
		node->version = HCA_FABRIC_VERSION;
	if (!(spoil & 4))
		node->number = 1;
	if (!(spoil & 8))
		node->qps = sizeof(*node);
	if (!(spoil & 16))
		node->qp_slots = 1u << (node->qp_slots & 7);
	if (!(spoil & 32))
		node->keys = sizeof(*node) + ((u64)node->qp_slots * sizeof(struct hca_fabric_qp) + 63) / 64 * 64;
}

static void ask(struct shm_view *v, const struct hca_carried *c)
{
	const struct hca_fabric_qp *q = &v->qp[c->msg.dqpn & (v->qp_slots - 1)];
	const struct hca_fabric_key *k = &v->key[c->msg.rkey >> 8];
	struct hca_fabric_key found;
	u64 remote = 0, last;

	if (shm_view_target(v, c, &remote, &found))
		return;
	MUST(c->msg.rkey >> 8 < v->key_slots && k->key == c->msg.rkey && k->pd == q->pd && k->access & c->right);
	MUST(q->qpn == c->msg.dqpn && q->access & c->right && q->peer == ((u64)c->msg.slid << 32 | c->msg.sqpn));
	MUST(found.key == k->key && found.seq == k->seq && found.base == k->base && found.length == k->length);
	last = remote - k->base + c->msg.piece;
	MUST(remote - k->base <= k->length && last <= k->length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hca_carried c = { .msg = { .slid = 2, .len = 8, .piece = 8 } };
	struct shm_view v;
	u8 *file;

	if (size < 32 || size > ROOM)
		return 0;
	file = room() + ROOM - (size - 32) / 64 * 64;
	memcpy(file, data + 32, (size - 32) / 64 * 64);
	memcpy(&c.msg.dqpn, data, 4);
	memcpy(&c.msg.rkey, data + 4, 4);
	memcpy(&c.msg.raddr, data + 8, 8);
	memcpy(&c.msg.sqpn, data + 16, 4);
	memcpy(&c.msg.len, data + 20, 4);
	c.msg.piece = data[24] | (u32)data[25] << 8;
	c.msg.piece = (u32)HCA_MIN((u64)c.msg.piece, c.msg.len);
	c.msg.off = data[26] && c.msg.len > c.msg.piece ? c.msg.len - c.msg.piece : 0;
	c.msg.flags = data[27] & (HCA_MSG_RELIABLE | HCA_MSG_FIRST);
	if (!c.msg.off)
		c.msg.flags |= HCA_MSG_FIRST;
	c.right = data[28] & 1 ? HCA_ACCESS_REMOTE_WRITE : HCA_ACCESS_REMOTE_READ;
	if (data[29] & 1)
		c.msg.rkey &= 0xfff;
	if ((size - 32) / 64 * 64 >= sizeof(struct hca_fabric_node))
		help((struct hca_fabric_node *)file, data[30]);
	if (shm_view_init(&v, file, (size - 32) / 64 * 64, 1))
		return 0;
	ask(&v, &c);
	v.key_slots = HCA_MIN(v.key_room, (u32)data[31] * 4);
	ask(&v, &c);
	return 0;
}
