/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keys: an L_Key or R_Key is an index of 24 bits and a generation of 8, and the
 * table has the data for its check, one cache line for each key. So a check is a
 * bounds test, a load and a compare, however many MRs there are.
 *
 * A look-up and every use of its result happen inside the adapter
 * (hca/quiesce.h); the thread that retracts a key waits for these before the entry changes. An
 * index is reused late and never with its last generation, so that a stale
 * key finds nothing.
 */
#ifndef HCA_KEY_H
#define HCA_KEY_H

#include "hca/quiesce.h"
#include "hca/share.h"
#include "os.h"
#include "softhca/hca_verbs.h"

#define HCA_KEY_INDEX_BITS 24
#define HCA_KEY_CHUNK_BITS 9
#define HCA_KEY_CHUNK (1u << HCA_KEY_CHUNK_BITS)

struct hca_mr;

/* In an entry's access: it is an MW's. An MW has only an R_Key: it can't be used locally, not even to read. */
#define HCA_KEY_MW (1u << 31)

/* No queue pair has this number. */
#define HCA_KEY_ANY_QP (~0u)

/**
 * struct hca_key_entry - one key
 * @key: the key, 0 while there is none
 * @access: enum hca_access_flags, HCA_KEY_MW
 * @iova: the first address it covers
 * @end: the first address behind it, modulo 2^64; see hca_key_cover()
 * @offset: the offset of that first address in @mr; 0 except for MWs
 * @pd: the number of the protection domain that may use it
 * @qpn: of a type 2 memory window: the queue pair that may use it, else HCA_KEY_ANY_QP
 * @number: of the memory region, for a reader that can't follow @mr
 * @mr: the region with the bytes
 * @last: the last key that was allocated or published here
 *
 * From @access to @number all is constant while @key is not 0, and until no thread is inside that found it so. @mr is atomic:
 * of a memory region's entry it is set until the MR is destroyed, of a memory window's while it is bound; a thread
 * inside that found it may use it.
 */
struct hca_key_entry {
	u32 key; /* atomic */
	u32 access;
	u64 iova;
	u64 end;
	u64 offset;
	u64 pd;
	u32 qpn;
	u32 number;
	struct hca_mr *mr;
	union {
		struct {
			u32 last; /* the owner of the index */
			u32 next_free; /* the table's lock */
		};
		void *mw; /* while it is a memory window's: the adapter's mw_lock, and inside */
	};
} HCA_ALIGNED(HCA_CACHE_LINE);

_Static_assert(sizeof(struct hca_key_entry) == HCA_MAX(64, HCA_CACHE_LINE), "a key is a cache line");

struct hca_keys {
	struct hca_key_entry **chunk; /* entries atomic: set once */
	u32 indexes; /* atomic: the number of indexes with memory; grows a chunk at a time */
	u32 limit;
	const struct hca_share *share; /* the listener for keys; or NULL */
	u32 first_generation; /* of an index that was never used; another one in each table, so that keys aren't mixed up */

	struct hca_spinlock lock; /* what follows, and growth */
	u32 first_free; /* index, 0: none; index 0 is never used, so that no key is 0 */
	u32 last_free;
	u32 used;
};

/** hca_keys_init() - a table for up to @limit keys, which grows. May sleep. Return: 0, -EINVAL or -ENOMEM. */
int hca_keys_init(struct hca_keys *keys, u32 limit);

/** hca_keys_fini() - all keys were freed */
void hca_keys_fini(struct hca_keys *keys);

/**
 * hca_key_alloc() - an unused key, from the index that has been free for the longest time
 * @key: set to the key, which isn't valid before hca_key_publish()
 * @e: set to its entry, which the caller owns until hca_key_free()
 *
 * Doesn't sleep. Return: 0; -ENOMEM; -ENOSPC: the limit of keys is reached.
 */
int hca_key_alloc(struct hca_keys *keys, u32 *key, struct hca_key_entry **e);

/** hca_key_free() - after @key, or another key of its index, was retracted and waited for: the index may be reused */
void hca_key_free(struct hca_keys *keys, u32 key);

/** hca_key_next() - the next generation of a key, never 0 in all */
static inline u32 hca_key_next(u32 key)
{
	return (key & ~0xffu) | ((key + 1) & 0xff);
}

/** hca_key_publish() - the entry's other fields are set: the key may be used */
static inline void hca_key_publish(struct hca_key_entry *e, u32 key)
{
	e->last = key;
	hca_store_release(&e->key, key);
}

/** hca_key_retract() - from now on look-ups fail; threads inside may continue until hca_quiesce_wait(). Return: false: it wasn't published */
static inline bool hca_key_retract(struct hca_key_entry *e, u32 key)
{
	return hca_cmpxchg(&e->key, key, 0u) == key;
}

/** hca_key_cover() - let a key that isn't published cover @length bytes from @iova on */
static inline void hca_key_cover(struct hca_key_entry *e, u64 iova, u64 length)
{
	e->iova = iova;
	e->end = iova + length;
}

static inline u64 hca_key_length(const struct hca_key_entry *e)
{
	return e->end - e->iova;
}

static inline const struct hca_key_entry *hca_key_at(const struct hca_keys *keys, u32 index)
{
	return &hca_load(&keys->chunk[index >> HCA_KEY_CHUNK_BITS])[index & (HCA_KEY_CHUNK - 1)];
}

/** hca_key_index() - the entry of a key's index, whatever key it has now; NULL: there is none. Inside only. */
static inline const struct hca_key_entry *hca_key_index(const struct hca_keys *keys, u32 key)
{
	u32 index = key >> 8;

	return hca_unlikely(index >= hca_load_acquire(&keys->indexes)) ? NULL : hca_key_at(keys, index);
}

/** hca_key_look_up() - the entry of a key that is valid now; inside only. Return: there is such a key. */
static inline bool hca_key_look_up(const struct hca_keys *keys, u32 key, const struct hca_key_entry **e)
{
	u32 index = key >> 8;

	if (hca_unlikely(index >= hca_load_acquire(&keys->indexes)))
		return false;
	*e = hca_key_at(keys, index);
	/* No key has index 0, and the entry that is there has a key of another index: so 0 isn't found. */
	return hca_likely(hca_load_acquire(&(*e)->key) == key);
}

/** hca_key_find() - the same. Return: NULL: there is no such key. */
static inline const struct hca_key_entry *hca_key_find(const struct hca_keys *keys, u32 key)
{
	const struct hca_key_entry *e;

	return hca_key_look_up(keys, key, &e) ? e : NULL;
}

/** hca_key_allows_odd() - hca_key_allows() for a key that was found; the slow path for unusual entries and ranges */
bool hca_key_allows_odd(const struct hca_key_entry *e, u64 pd, u32 qpn, u64 addr, u64 len, u32 access);

/**
 * hca_key_allows() - does the key allow this access?
 * @pd: the number of the protection domain that asks
 * @qpn: the queue pair that asks; a type 2 memory window belongs to one queue pair
 * @addr: first byte
 * @len: bytes; a range of 0 bytes must begin in the memory region or right behind it. A message of 0 bytes needs no key
 *	(IBTA vol. 1, 9.7): don't call this then.
 * @access: the necessary rights; 0 for a local read
 * @out: set to its entry, if it may
 *
 * The usual case is decided here, by few comparisons: each of them waits for the entry's cache line. Bounds can't wrap.
 */
static inline bool hca_key_allows(const struct hca_keys *keys, u32 key, u64 pd, u32 qpn, u64 addr, u64 len, u32 access,
				  const struct hca_key_entry **out)
{
	const struct hca_key_entry *e;
	u64 end = addr + len;

	if (hca_unlikely(!hca_key_look_up(keys, key, &e)))
		return false;
	*out = e;
	if (hca_likely(end >= addr && e->pd == pd && (e->access & (access | HCA_KEY_MW)) == access && addr >= e->iova &&
		       end <= e->end))
		return true;
	return hca_key_allows_odd(e, pd, qpn, addr, len, access);
}

/** hca_key_check() - the same. Return: the entry, or NULL. */
static inline const struct hca_key_entry *hca_key_check(const struct hca_keys *keys, u32 key, u64 pd, u32 qpn, u64 addr,
							u64 len, u32 access)
{
	const struct hca_key_entry *e;

	return hca_key_allows(keys, key, pd, qpn, addr, len, access, &e) ? e : NULL;
}

/** hca_key_offset() - the offset in its memory region of an address that this key covers */
static inline u64 hca_key_offset(const struct hca_key_entry *e, u64 addr)
{
	return addr - e->iova + e->offset;
}

#endif
