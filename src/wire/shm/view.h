/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reading the file of another node: nothing in it is believed, anything may change under
 * the reader, and its writer may have died in the middle of a field. Private to this folder.
 */
#ifndef HCA_SHM_VIEW_H
#define HCA_SHM_VIEW_H

#include "softhca/abi/fabric.h"
#include "wire/wire.h"

/**
 * struct shm_view - a node's file as it was found when it was mapped
 * @node: its head
 * @qp, @qp_slots: its queue pairs; a power of two
 * @key, @key_room: its keys: how many the file has room for
 * @key_slots: atomic: how many of them have memory, as far as we have looked
 */
struct shm_view {
	const struct hca_fabric_node *node;
	const struct hca_fabric_qp *qp;
	const struct hca_fabric_key *key;
	u32 qp_slots;
	u32 key_room;
	u32 key_slots;
};

/**
 * shm_view_init() - judge the head of a file of @size bytes, all of them mapped at @at
 * @number: the node that it must be
 * Return: 0; -EPROTO: it is none of ours, or not ready, or says what can't be.
 */
int shm_view_init(struct shm_view *v, const void *at, u64 size, u32 number);

/**
 * shm_view_target() - where a piece of an RDMA write or read goes, or comes from
 * @remote: set to its address in the node's own memory
 * @key: set to what its entry says
 *
 * Asks what the responder would. Return: 0; -EAGAIN: the key's slot is one that @v->key_slots doesn't reach; -EACCES: leave it to
 * the responder: it may refuse it, or know better.
 */
int shm_view_target(const struct shm_view *v, const struct hca_carried *c, u64 *remote, struct hca_fabric_key *key);

#endif
