/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory of another process that this one maps as well: the keys of such memory,
 * and its address here. direct.c asks with each piece, and looks for an alias when a
 * key has been used often enough. Private to this folder.
 *
 * Threads with their mark set read the aliases of a peer without a lock.
 * A removed alias is freed when every thread has changed the mark that it had then.
 */
#ifndef HCA_SHM_ALIAS_H
#define HCA_SHM_ALIAS_H

#include "os.h"
#include "softhca/abi/fabric.h"
#include "softhca/hca_verbs.h"

#define SHM_ALIAS_KEYS 256u /* of a peer, by the key's index; a power of two */

/**
 * struct shm_alias - the wire's own mapping, in addition to the program's, which the program may unmap at any time
 * @refs: keys that use it
 * @at, @len: its address and length
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
 * @key, @seq, @base, @length: from its entry: another registration differs in @seq
 * @entry: it
 * @at: the address here of the byte at @base
 * @reads, @writes: the rights of both processes
 * @peer: its node's number; @slot: its place in the table
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
 * struct shm_alias_count - counts the use of a key
 * @seq: of which registration
 * @used: bytes and uses so far; @enough: the value at which the key is looked up
 */
struct shm_alias_count {
	u32 seq;
	u32 used;
	u32 enough;
};

/** struct shm_alias_peer - the known keys of a peer; @known: atomic; @count: atomic fields, approximate if threads count at once */
struct shm_alias_peer {
	struct shm_alias_key *known[SHM_ALIAS_KEYS];
	struct shm_alias_count count[SHM_ALIAS_KEYS];
};

/** struct shm_aliases - the aliases of all peers; under the lock of struct shm_direct. @keys: atomic, to check for any */
struct shm_aliases {
	struct shm_alias *all;
	u32 n;
	struct shm_alias_key *keys;
};

/**
 * shm_alias_find() - the address of a key's bytes here; the caller has its mark set
 * @key: from its entry now, with @key->seq
 * @right: HCA_ACCESS_REMOTE_READ, _WRITE or _ATOMIC
 * Return: the address of the byte at @key->base; NULL: there is no known alias
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
 * A look costs as much as a hundred small pieces, or a dozen large ones, lose without an alias. That many come first, so
 * that all looks together cost about as much as the pieces did. Each unsuccessful look doubles the number before the next.
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
