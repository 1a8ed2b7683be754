/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What this node tells others of its queue pairs and keys, in its own file: so that they
 * can read and write its memory without it. The wire's share calls come here. This
 * room's own.
 */
#ifndef HCA_SHM_SHARE_H
#define HCA_SHM_SHARE_H

#include "softhca/abi/fabric.h"
#include "wire/wire.h"

/**
 * struct shm_share - this node's tables
 * @fd: of its file, the wire's
 * @guard: see struct hca_fabric_node; two words on a page of its own
 * @lock: growing
 */
struct shm_share {
	struct hca_fabric_node *node;
	int fd;
	struct hca_fabric_qp *qp;
	struct hca_fabric_count *count;
	struct hca_fabric_key *key;
	u32 key_room;
	void *guard;
	struct hca_mutex lock;
	struct hca_spinlock qps; /* writing an entry */
};

/* Queue pairs whose numbers differ by a multiple of this meet in one place, and are as good as one: the other is left to messages. */
#define SHM_SHARE_QPS 2048u

/* Keys beyond are left to messages. */
#define SHM_SHARE_KEYS (1u << 18)

/** shm_share_bytes() - how large the file of a node is that may have @keys keys; pages that are never touched take no memory */
u64 shm_share_bytes(u32 keys);

/**
 * shm_share_init() - fill in the head's fields of what is shared
 * @node: the head of the file, all of whose shm_share_bytes() are mapped; its other fields, and the magic, are the caller's
 *
 * May sleep. Return: 0; -ENOSPC: no room in its file system for the queue pairs; -ENOMEM.
 */
int shm_share_init(struct shm_share *s, struct hca_fabric_node *node, int fd, u32 keys);

/** shm_share_fini() - no adapter is on it any more. @child: of a process that was forked since: it has none of this but memory */
void shm_share_fini(struct shm_share *s, bool child);

/** shm_share_count() - what a queue pair of ours has done; NULL: another one has the place */
static inline struct hca_fabric_count *shm_share_count(const struct shm_share *s, u32 qpn)
{
	struct hca_fabric_count *c = &s->count[qpn & (SHM_SHARE_QPS - 1)];

	return hca_likely(hca_load(&c->qpn) == qpn) ? c : NULL;
}

/* As struct hca_wire_share has them. */
void shm_share_qp(struct shm_share *s, const struct hca_wire_qp *qp);
void shm_share_room(struct shm_share *s, u32 key);
void shm_share_key(struct shm_share *s, u32 key, const struct hca_wire_key *k);

#endif
