/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory of another process that this one maps as well: which keys are of such memory,
 * and where it stands here. direct.c asks with each piece, and makes one known when its
 * key was used so often that it pays. This room's own.
 *
 * What is known of a peer is read by threads that have their mark set, without a lock.
 * Whatever is taken out is freed when no thread has the mark any more that it had then.
 */
#ifndef HCA_SHM_ALIAS_H
#define HCA_SHM_ALIAS_H

#include "os.h"
#include "softhca/abi/fabric.h"
#include "softhca/hca_verbs.h"

#define SHM_ALIAS_KEYS 256u /* of a peer, by the key's index; a power of two */

/**
 * struct shm_alias - a mapping of our own, beside that of the program, which may unmap its own at any time
 * @refs: keys that have it
 * @at, @len: where
 * @off: of its first byte in the file
 * @dev, @ino, @name: of the file, as struct shm_mapping has them
 */
struct shm_alias {
	struct shm_alias *next;
	u32 refs;
	u8 *at;
	u64 len;
	u64 off;
	u64 dev;
	u64 ino;
	bool writes;
	char name[];
};

/**
 * struct shm_alias_key - a key whose memory is in an alias; constant while it is published
 * @key, @seq, @base, @length: what its entry said: another registration differs in @seq
 * @entry: it
 * @at: where the byte at @base is here
 * @reads, @writes: what both processes may do there
 * @peer: its node's number; @slot: where it is published
 */
struct shm_alias_key {
	struct shm_alias_key *next;
	struct shm_alias *alias;
	const struct hca_fabric_key *entry;
	struct shm_alias_key **slot;
	u32 peer;
	u32 key;
	u32 seq;
	bool reads;
	bool writes;
	u64 base;
	u64 length;
	u8 *at;
};

/**
 * struct shm_alias_count - how much a key is used
 * @seq: of which registration
 * @used: counted in bytes and uses; @enough: when it is looked at
 */
struct shm_alias_count {
	u32 seq;
	u32 used;
	u32 enough;
};

/** struct shm_alias_peer - what is known of one peer's keys; @known: atomic; @count: atomic fields, and guesses where threads meet */
struct shm_alias_peer {
	struct shm_alias_key *known[SHM_ALIAS_KEYS];
	struct shm_alias_count count[SHM_ALIAS_KEYS];
};

/** struct shm_aliases - those of all peers; under the lock of struct shm_direct. @keys: atomic to see whether there are any */
struct shm_aliases {
	struct shm_alias *all;
	u32 n;
	struct shm_alias_key *keys;
};

/**
 * shm_alias_find() - where the bytes of a key are here; the caller has its mark set
 * @key: as its entry says now, @key->seq with it
 * @right: HCA_ACCESS_REMOTE_READ, _WRITE or _ATOMIC
 * Return: the address of the byte at @key->base; NULL: not in memory of ours, as far as is known
 */
static inline u8 *shm_alias_find(const struct shm_alias_peer *p, const struct hca_fabric_key *key, u32 right)
{
	const struct shm_alias_key *k = hca_load_acquire(&p->known[(key->key >> 8) & (SHM_ALIAS_KEYS - 1)]);

	if (!k || k->key != key->key || k->seq != key->seq || k->base != key->base || k->length != key->length)
		return NULL;
	return (right == HCA_ACCESS_REMOTE_READ ? k->reads : k->writes) ? k->at : NULL;
}

/**
 * shm_alias_count() - a key's bytes were moved in another way
 *
 * A look costs as much as is lost by a hundred small pieces that go the other way, or a dozen large ones; that many come first, so
 * that all looks together cost about as much as the pieces did, and no more. Each look in vain doubles how many come before the next.
 * Return: it pays to look at the key
 */
bool shm_alias_count(struct shm_alias_peer *p, const struct hca_fabric_key *key, u32 bytes);

/**
 * shm_alias_look() - is a key's memory in a mapping that both processes share, and may this one store there?
 * @number, @pid: the peer's node and process; @guard: as struct hca_fabric_node has it: must be in the mappings of that process
 * @entry: the key's; @key: what it said
 *
 * The lock is held. May sleep. Return: what to publish; the caller sees to it that the process is the peer after this. NULL: no
 */
struct shm_alias_key *shm_alias_look(struct shm_aliases *a, u32 number, s32 pid, u64 guard,
				     const struct hca_fabric_key *entry, const struct hca_fabric_key *key);

/** shm_alias_publish() - the lock is held. Return: the alias that had its place: call shm_alias_free() when no thread uses it; NULL: none */
struct shm_alias_key *shm_alias_publish(struct shm_aliases *a, struct shm_alias_peer *p, struct shm_alias_key *k);

/**
 * shm_alias_stale() - take one out whose registration is over, or, with @peer, any of that peer's; the lock is held
 * Return: the alias, to be freed when no thread uses it; NULL: there is none
 */
struct shm_alias_key *shm_alias_stale(struct shm_aliases *a, u32 peer);

/** shm_alias_free() - a key that isn't published; the last one of an alias unmaps it. The lock is held. @child: unmap nothing: a forked child has no alias */
void shm_alias_free(struct shm_aliases *a, struct shm_alias_key *k, bool child);

#endif
