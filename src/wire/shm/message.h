/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Messages and replies in a ring. Reading copies the head before it
 * is checked, because its writer may change it meanwhile; payload is read in place. Private
 * to this folder.
 */
#ifndef HCA_SHM_MESSAGE_H
#define HCA_SHM_MESSAGE_H

#include "softhca/abi/fabric.h"
#include "wire/wire.h"

/**
 * struct shm_source - where a payload is that isn't in its entry: in its sender's memory
 * @n: how many places; 0: the payload is in the entry
 * @epoch: of the sender's node when it said so
 */
struct shm_source {
	u32 n;
	u32 epoch;
	struct hca_place place[HCA_PLACES];
};

/** shm_message_bytes() - of the entry that @m takes. @payload: of those, bytes that its sender's memory has */
u32 shm_message_bytes(const struct hca_msg *m, const struct shm_source *src, u32 *payload);

/** shm_message_put() - all but a payload that is in the entry. Return: where that goes. @bytes: of shm_message_bytes() */
void *shm_message_put(void *at, u32 bytes, const struct hca_msg *m, const struct shm_source *src);

/**
 * shm_message_get() - an entry of @bytes at @at
 * @from: the node that wrote it
 * @payload: where it is, unless @src says where
 * @read: bytes that its reply brings, if it has success
 *
 * Return: 0; -EPROTO: it can't be from an adapter.
 */
int shm_message_get(const void *at, u32 bytes, u32 from, struct hca_msg *m, struct shm_source *src, void **payload,
		    u32 *read);

/** shm_reply_bytes() - of a reply that brings @len bytes */
u32 shm_reply_bytes(u32 len);

/** shm_reply_data() - where a read's bytes stand in the reply at @at */
void *shm_reply_data(void *at);

/** shm_reply_put() - all but a read's bytes. Return: bytes of the entry */
u32 shm_reply_put(void *at, const struct hca_reply *r);

/** shm_reply_get() - an entry of @bytes at @at. Return: 0; -EPROTO */
int shm_reply_get(const void *at, u32 bytes, struct hca_reply *r);

#endif
