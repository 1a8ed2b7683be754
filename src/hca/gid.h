/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The GID table of an adapter's port: the addresses that it answers to and sends from
 * (IBTA vol. 1, 4.1.1). A face adds and removes, the engine looks up from inside.
 * Entry 0 is there from the beginning; a source GID is named by its index.
 */
#ifndef HCA_GID_H
#define HCA_GID_H

#include "hca/quiesce.h"
#include "softhca/hca_verbs.h"

#define HCA_GIDS 16u

/** struct hca_gids - @used: atomic: the entry may be looked at from inside, and doesn't change meanwhile */
struct hca_gids {
	struct hca_spinlock lock; /* adding and removing */
	struct {
		struct hca_gid gid;
		u32 used;
		bool leaving; /* removed, and perhaps still looked at */
	} entry[HCA_GIDS];
};

void hca_gids_init(struct hca_gids *t);

/**
 * hca_gid_add() - one more address of the port
 * @index: set to its place
 *
 * Any context. Return: 0, also if it was there before; -EINVAL: all zeros or a group's; -ENOSPC.
 */
int hca_gid_add(struct hca_gids *t, const struct hca_gid *gid, u32 *index);

/** hca_gid_remove() - what comes for it is for no queue pair from now on. Not from inside. Return: 0; -EINVAL: it isn't there. */
int hca_gid_remove(struct hca_gids *t, struct hca_quiesce *q, const struct hca_gid *gid);

/** hca_gid_at() - the entry of an index; NULL: there is none. From inside; else the caller sees to it that it isn't removed. */
static inline const struct hca_gid *hca_gid_at(const struct hca_gids *t, u32 index)
{
	return index < HCA_GIDS && hca_load_acquire(&t->entry[index].used) ? &t->entry[index].gid : NULL;
}

/** hca_gid_is_ours() - has the table this address? From inside. */
bool hca_gid_is_ours(const struct hca_gids *t, const u8 raw[16]);

static inline bool hca_gid_equal(const struct hca_gid *a, const struct hca_gid *b)
{
	return !hca_memcmp(a->raw, b->raw, sizeof(a->raw));
}

static inline bool hca_gid_is_multicast(const struct hca_gid *gid)
{
	return gid->raw[0] == 0xff;
}

/* A group of IPv4, as RoCE writes it: 224.0.0.0/4 behind the prefix of mapped addresses (RFC 4291, 2.5.5.2). */
static inline bool hca_gid_is_ipv4(const u8 raw[16])
{
	static const u8 mapped[12] = { [10] = 0xff, [11] = 0xff };

	return !hca_memcmp(raw, mapped, sizeof(mapped));
}

/** hca_gid_is_group() - of InfiniBand or IPv6, or of IPv4 */
static inline bool hca_gid_is_group(const struct hca_gid *gid)
{
	return hca_gid_is_multicast(gid) || (hca_gid_is_ipv4(gid->raw) && gid->raw[12] >> 4 == 0xe);
}

#endif
