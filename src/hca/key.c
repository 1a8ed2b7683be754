/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table of keys: growth, and the list of free indexes; see key.h. Called when
 * MRs and MWs are made and ended, never by a look-up. Nothing here may sleep
 * once the table is there, and an index that was given away may not move in memory.
 */
#include "hca/key.h"

/* In the entry of index 0, so that key 0 finds nothing there: it is of another index. */
#define NO_KEY (1u << 8)

int hca_keys_init(struct hca_keys *keys, u32 limit)
{
	if (!limit || limit >= 1u << HCA_KEY_INDEX_BITS)
		return -EINVAL; /* the caller says why */
	hca_memset(keys, 0, sizeof(*keys));
	/* Index 0 isn't used: limit + 1 indexes. */
	keys->chunk = hca_alloc(((limit >> HCA_KEY_CHUNK_BITS) + 1) * sizeof(*keys->chunk), HCA_MAY_SLEEP);
	if (!keys->chunk)
		return -ENOMEM;
	keys->limit = limit;
	keys->first_generation = hca_random_u32() & 0xff;
	hca_spin_init(&keys->lock);
	return 0;
}

void hca_keys_fini(struct hca_keys *keys)
{
	u32 i;

	(void)HCA_WARN_ON(keys->used);
	for (i = 0; i < keys->indexes >> HCA_KEY_CHUNK_BITS; i++)
		hca_free(keys->chunk[i]);
	hca_free(keys->chunk);
}

static struct hca_key_entry *entry(struct hca_keys *keys, u32 index)
{
	return &keys->chunk[index >> HCA_KEY_CHUNK_BITS][index & (HCA_KEY_CHUNK - 1)];
}

/*
 * First in, first out: the generation has 8 bits, and is back after 256 turns. The longer an index rests, the longer a
 * stale key finds nothing.
 */
static void put_free(struct hca_keys *keys, u32 index)
{
	hca_spin_assert(&keys->lock);
	entry(keys, index)->next_free = 0;
	if (keys->first_free)
		entry(keys, keys->last_free)->next_free = index;
	else
		keys->first_free = index;
	keys->last_free = index;
}

/*
 * A chunk is entered whole: indexes tells how far look-ups may go, and is raised when the chunk can be seen. The table
 * of chunks has room, for all indexes but 0 are in use and that is less than the limit.
 */
static int grow(struct hca_keys *keys)
{
	u32 first = keys->indexes;
	struct hca_key_entry *chunk = hca_alloc(HCA_KEY_CHUNK * sizeof(*chunk), 0);
	u32 i;

	hca_spin_assert(&keys->lock);
	if (!chunk)
		return -ENOMEM;
	if (!first)
		chunk[0].key = NO_KEY;
	hca_store_release(&keys->chunk[first >> HCA_KEY_CHUNK_BITS], chunk);
	for (i = first ? 0 : 1; i < HCA_KEY_CHUNK; i++) {
		chunk[i].last = keys->first_generation;
		put_free(keys, first + i);
	}
	hca_store_release(&keys->indexes, first + HCA_KEY_CHUNK);
	return 0;
}

bool hca_key_allows_odd(const struct hca_key_entry *e, u64 pd, u32 qpn, u64 addr, u64 len, u32 access)
{
	u64 off = addr - e->iova, length = hca_key_length(e);

	if (e->pd != pd || (e->access & access) != access || len > length || off > length - len)
		return false;
	return !(e->access & HCA_KEY_MW) || (access & HCA_ACCESS_REMOTE && (e->qpn == HCA_KEY_ANY_QP || e->qpn == qpn));
}

int hca_key_alloc(struct hca_keys *keys, u32 *key, struct hca_key_entry **e)
{
	hca_irqflags_t flags;
	int err = 0;

	hca_spin_lock(&keys->lock, flags);
	if (keys->used == keys->limit)
		err = -ENOSPC;
	else if (!keys->first_free)
		err = grow(keys);
	if (!err) {
		u32 index = keys->first_free;

		*e = entry(keys, index);
		keys->first_free = (*e)->next_free;
		keys->used++;
		*key = hca_key_next(index << 8 | ((*e)->last & 0xff));
		(*e)->last = *key;
	}
	hca_spin_unlock(&keys->lock, flags);
	return err;
}

void hca_key_free(struct hca_keys *keys, u32 key)
{
	u32 index = key >> 8;
	hca_irqflags_t flags;

	HCA_ASSERT(!hca_load(&entry(keys, index)->key));
	hca_spin_lock(&keys->lock, flags);
	put_free(keys, index);
	keys->used--;
	hca_spin_unlock(&keys->lock, flags);
}
