/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One-sided work between processes, done by the initiator: it looks up the peer's queue pair and
 * key in the peer's file, and moves the bytes by process_vm_readv() and process_vm_writev(), or by
 * plain stores if it maps the memory too. If a check fails or something is unclear, the request
 * goes as a message. Private to this folder.
 */
#ifndef HCA_SHM_DIRECT_H
#define HCA_SHM_DIRECT_H

#include "softhca/abi/fabric.h"
#include "wire/shm/alias.h"
#include "wire/wire.h"

struct hca_shm_memory;
struct shm_target;

/**
 * struct shm_direct - the initiator of a node
 * @self: the head of its own file: use marks, and the users of this node
 * @dir: of the fabric
 * @refused: the system forbids the calls: atomic
 * @peer: by number, from 1; atomic. NULL: not opened yet
 * @memory: for memory that both processes map; NULL: treat it like other memory
 * @aliases: of all peers
 * @lock: opening and dropping peers, and aliases
 */
struct shm_direct {
	struct hca_fabric_node *self;
	u32 number;
	int dir;
	bool refused;
	struct shm_target **peer;
	const struct hca_shm_memory *memory;
	struct shm_aliases aliases;
	struct hca_mutex lock;
};

/**
 * shm_direct_init() - @dir stays open until the end
 * @never: use messages always
 * @memory: as struct shm_direct has it
 *
 * Return: 0, -ENOMEM. May sleep.
 */
int shm_direct_init(struct shm_direct *d, struct hca_fabric_node *self, int dir, bool never,
		    const struct hca_shm_memory *memory);

/** shm_direct_fini() - no thread uses it. @child: of a process that was forked since: aliases are the parent's. May sleep. */
void shm_direct_fini(struct shm_direct *d, bool child);

/** shm_direct_do() - carry out a piece. From within the wire's send. Return: true: done; false: send it as a message, which may repeat what was done. */
bool shm_direct_do(struct shm_direct *d, struct hca_carried *c);

/**
 * shm_direct_atomic() - the same for an atomic; only of memory that this process maps too
 * @answer: set if it was done: HCA_ANSWER_ACK; HCA_ANSWER_LOC_PROT: the previous value can't be written to the requester's memory
 */
bool shm_direct_atomic(struct shm_direct *d, struct hca_carried *c, enum hca_answer *answer);

/**
 * shm_direct_fetch() - copy a payload out of another node's memory, from @m places to @n of ours, of as many bytes in all
 * @epoch: that node's, when it said where the payload is
 *
 * Return: 0; -EAGAIN: not, or not all of it was copied: the node has another epoch, or ended, or its memory or ours can't be reached.
 * From inside an adapter.
 */
int shm_direct_fetch(struct shm_direct *d, u32 node, u32 epoch, const struct hca_place *from, u32 m,
		     const struct hca_place *to, u32 n);

/** shm_direct_meet() - open a node's file before the first piece for it. May sleep. */
void shm_direct_meet(struct shm_direct *d, u32 node);

/** shm_direct_forget() - a node has ended: unmap its file. May sleep. Not from inside an adapter. */
void shm_direct_forget(struct shm_direct *d, u32 node);

/** shm_direct_ended() - keys of other nodes have ended: unmap their memory. May sleep. Not from inside an adapter. */
void shm_direct_ended(struct shm_direct *d);

/**
 * shm_direct_settle() - begin another epoch, and return when every access to this node's memory that began before the call, by one or all nodes, has ended
 * @node: its number; 0: all
 *
 * Not from inside an adapter.
 */
void shm_direct_settle(struct shm_direct *d, u32 node);

#endif
