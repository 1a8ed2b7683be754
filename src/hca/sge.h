/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From scatter/gather entries and keys to DMA addresses, piece by piece, and the
 * copies between two such lists. Used by the requester and the responder; always
 * inside the engine (hca/quiesce.h).
 */
#ifndef HCA_SGE_H
#define HCA_SGE_H

#include "hca/mr.h"
#include "hca/wr.h"

/**
 * struct hca_sge_cursor - a place in a list of entries
 * @mem: the accessor of the device that the keys belong to
 * @keys: that device's keys
 * @pd: the number of the domain whose keys may be used
 * @qpn: the queue pair that asks (type 2 memory windows)
 * @access: rights needed
 * @sge: the entry we are in; the first one when set
 * @num_sge: entries from there on
 * @off: bytes of it that are done
 * @entry: the key of the present entry, if it was looked up since the thread entered; else NULL
 * @checked: bytes of that entry from its beginning that the key allows
 *
 * The caller sets all fields, @off to 0 and @entry to NULL. A list that is continued after its thread was outside is
 * used only by hca_sge_put() and hca_sge_get(), which don't trust an earlier @entry.
 */
struct hca_sge_cursor {
	struct hca_mem *mem;
	const struct hca_keys *keys;
	u64 pd;
	u32 qpn;
	u32 access;
	const struct hca_sge *sge;
	u32 num_sge;
	u32 off;
	const struct hca_key_entry *entry;
	u64 checked;
};

/**
 * hca_sge_check() - may the first @len bytes of the list be used? (~0: all of it)
 *
 * Return: 0; -EACCES: a key, a right or a bound; entries of no bytes are passed over.
 */
int hca_sge_check_list(struct hca_sge_cursor *g, u64 len);

static inline int hca_sge_check(struct hca_sge_cursor *g, u64 len)
{
	const struct hca_sge *s = g->sge;
	u64 need;

	if (hca_unlikely(g->num_sge != 1))
		return hca_sge_check_list(g, len);
	need = HCA_MIN((u64)s->length, len);
	if (hca_unlikely(!need))
		return 0;
	g->entry = hca_key_check(g->keys, s->lkey, g->pd, g->qpn, s->addr, need, g->access);
	g->checked = need;
	return hca_likely(g->entry) ? 0 : -EACCES;
}

/** hca_sge_skip() - go on @len bytes further; there are that many */
void hca_sge_skip(struct hca_sge_cursor *g, u64 len);

/** hca_key_plain() - bytes that a key was checked for, if they are contiguous memory and no ledger records accesses; or NULL */
static inline void *hca_key_plain(const struct hca_key_entry *e, const struct hca_mem *mem, u64 addr, u64 len)
{
	const struct hca_mr *mr = hca_load_acquire(&e->mr);

	if (hca_unlikely(!mr || mr->kind == HCA_MR_PAGES))
		return NULL;
	return hca_mem_plain(mem, hca_dma_addr(mr->base + hca_key_offset(e, addr)), len);
}

/**
 * hca_sge_plain() - the next @len bytes of the list, if they are contiguous memory and no ledger records accesses
 *
 * The entry was checked for as much since the thread came inside. Return: NULL: move them by hca_sge_copy() and its like.
 */
static inline void *hca_sge_plain(const struct hca_sge_cursor *g, u64 len)
{
	const struct hca_key_entry *e = g->entry;

	if (hca_unlikely(!e || g->off + len > g->checked))
		return NULL;
	return hca_key_plain(e, g->mem, g->sge->addr + g->off, len);
}

/** enum hca_sge_side - which end of a copy refused */
enum hca_sge_side { HCA_SGE_SRC, HCA_SGE_DST };

/**
 * hca_sge_copy() - @len bytes from @src to @dst; both were checked since the thread came inside
 * @dst_site, @src_site: the posts that named them, for the ledger
 *
 * Return: 0, or an accessor's error with its end in @side.
 */
int hca_sge_copy(struct hca_sge_cursor *dst, hca_site_t dst_site, struct hca_sge_cursor *src, hca_site_t src_site,
		 u64 len, enum hca_sge_side *side);

/**
 * hca_sge_places() - where the next @len bytes of the list are in this address space; the list stays where it is
 * @out: room for HCA_PLACES
 *
 * Return: how many runs they are; 0: too many, or a key or its device's accessor has no answer.
 */
u32 hca_sge_places(const struct hca_sge_cursor *g, u64 len, struct hca_place *out);

/** hca_sge_put() - bytes of the engine's own into the list */
int hca_sge_put(struct hca_sge_cursor *dst, const void *src, u64 len, hca_site_t site);

/** hca_sge_get() - bytes of the list into the engine's own */
int hca_sge_get(struct hca_sge_cursor *src, void *dst, u64 len, hca_site_t site);

#endif
