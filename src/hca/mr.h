/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory regions: the memory of a key. An MR translates the addresses
 * [iova, iova + length) to DMA addresses of its device.
 *
 *   all memory   an address is a DMA address itself (ib_get_dma_mr)
 *   linear       one run of DMA addresses
 *   pages        a list of pages, one DMA address each: fast registered, FMR
 *   pieces       a list of pieces that begin and end anywhere: fast registered
 *
 * Called by the verbs of an API and by the engine's copies. Registration may sleep,
 * no other call here does.
 */
#ifndef HCA_MR_H
#define HCA_MR_H

#include "dma/mem.h"
#include "hca/key.h"
#include "hca/wr.h"

/** enum hca_mr_kind - how an address is translated to a DMA address */
enum hca_mr_kind {
	HCA_MR_ALL,
	HCA_MR_LINEAR,
	HCA_MR_PAGES,
};

/* The largest number of pages of an MR. */
#define HCA_MR_MAX_PAGES (1u << 24)

/* log2 of the possible page sizes */
#define HCA_MR_MIN_SHIFT 12u
#define HCA_MR_MAX_SHIFT 31u

/** struct hca_pd - a protection domain: its objects can be used only with its other objects */
struct hca_pd {
	struct hca_keys *keys;
	struct hca_quiesce *quiesce; /* the adapter's */
	u64 number; /* unique for all time on the adapter */
	u32 users; /* atomic: memory regions, memory windows, queue pairs, ... */
};

/** enum hca_mr_state - what may be done with it */
enum hca_mr_state {
	HCA_MR_INVALID, /* no key of it is valid, and no thread is inside with one: it may be registered */
	HCA_MR_BUSY, /* no key of it is valid; a thread registers or invalidates */
	HCA_MR_VALID, /* its key is valid */
	HCA_MR_DEAD, /* destroyed; its memory is freed with the last reference */
};

/**
 * struct hca_mr - a memory region
 * @kind: how an address becomes a DMA address
 * @page_shift: log2 of a page in bytes, for pages; HCA_MR_PIECES: @pages has two numbers for each piece
 * @offset: of the first byte in the first page
 * @base: the DMA address of the first byte, for one run
 * @pages: their DMA addresses, room for @max_pages; owned
 * @spare: atomic: as much room, for the pages of a registration that is queued; NULL while one is
 * @npages: the number of used pages
 * @key: its key; L_Key and R_Key are the same number. Of an MR for fast registration: the next or current one.
 * @windows: memory windows bound to it
 *
 * From @page_shift to @npages all changes only while no key of it is valid and no thread is inside. @lock is taken from
 * inside, so no thread waits while holding it.
 */
struct hca_mr {
	struct hca_pd *pd; /* until destroyed */
	struct hca_quiesce *quiesce;
	struct hca_key_entry *entry; /* until destroyed */
	enum hca_mr_kind kind;
	u32 page_shift;
	u64 offset;
	u64 base;
	u64 *pages;
	u64 *spare;
	u32 max_pages;
	u32 npages;
	u32 refs; /* atomic */

	struct hca_spinlock lock; /* what follows */
	u32 key;
	u32 windows;
	enum hca_mr_state state;
};

/**
 * struct hca_mr_attr - attributes of a registration
 * @kind: see enum hca_mr_kind
 * @access: enum hca_access_flags; remote write or atomic without local write is refused (IBTA 10.6.3.1)
 * @iova: the address of the first byte in the MR (all memory: 0)
 * @length: bytes (all memory: ignored)
 * @base: one run: its DMA address
 * @max_pages: of an MR for pages: room, at most HCA_MR_MAX_PAGES
 * @invalid: made without a valid key, for fast registration: of an MR for pages, always; of no other
 */
struct hca_mr_attr {
	enum hca_mr_kind kind;
	u32 access;
	u64 iova;
	u64 length;
	u64 base;
	u32 max_pages;
	bool invalid;
};

/** hca_mr_create() - May sleep. Return: 0; -EINVAL for invalid rights or ranges; -ENOMEM; -ENOSPC: no free key */
int hca_mr_create(struct hca_pd *pd, const struct hca_mr_attr *attr, struct hca_mr **out);

/**
 * hca_mr_destroy() - when it has returned, the key is invalid and no memory is accessed by it
 *
 * Any context, but not from inside. Return: 0; -EBUSY while MWs are bound to it (IBTA 10.6.7.2.3): then nothing has changed.
 */
int hca_mr_destroy(struct hca_mr *r);

/**
 * hca_mr_change() - change the memory, the rights or the domain, and keep the key
 * @pd: of the same adapter
 * @attr: of one run
 *
 * The MR is one run as well, and no MW is bound to it. Accesses that come meanwhile are refused; when this has returned, no access uses
 * the previous memory. May sleep. Return: 0; -EINVAL; -EBUSY: MWs are bound. After an error nothing has changed.
 */
int hca_mr_change(struct hca_mr *r, struct hca_pd *pd, const struct hca_mr_attr *attr);

/**
 * hca_mr_capture() - copy a registration that will be done later
 * @p: the caller may change it and its list when this has returned
 * @out: set to the same with pages of its own, for hca_mr_register_captured() or not, and then hca_mr_release()
 *
 * Keeps the memory region's memory; one that is destroyed meanwhile can't be registered any more. Any context.
 * Return: 0, also for what can't be registered; -ENOMEM: another one is queued, and there is no memory for a second.
 */
int hca_mr_capture(struct hca_mr *r, const struct hca_mr_pages *p, struct hca_mr_pages *out);

/** hca_mr_register_captured() - as hca_mr_register(); @p keeps the memory for hca_mr_release() */
int hca_mr_register_captured(struct hca_mr *r, struct hca_mr_pages *p);

/** hca_mr_release() - free a copy of hca_mr_capture(). Any context. */
void hca_mr_release(struct hca_mr *r, struct hca_mr_pages *p);

/**
 * hca_mr_register() - fast registration, by the owner of the memory region
 *
 * Any context, but not from inside. Return: 0; -EINVAL: not an MR for it, valid already, destroyed, or a key, rights
 * or pages that don't fit.
 */
int hca_mr_register(struct hca_mr *r, const struct hca_mr_pages *p);

/**
 * hca_mr_invalidate_begin_key() - retract the key, from inside
 * @pd: number of the domain that asks
 * @remote: the peer asks: then the memory region must allow remote access, and the key must be valid
 * @out: set to the memory region, for hca_mr_invalidate_finish(); NULL: its key was the last one, and was invalidated before
 *
 * Threads that are inside may still use it, and we can't wait for ourselves. Return: 0; -EINVAL: no key of a memory region
 * for fast registration, or not of this domain; -EBUSY: memory windows are bound.
 */
int hca_mr_invalidate_begin_key(const struct hca_keys *keys, u64 pd, u32 key, bool remote, struct hca_mr **out);

/**
 * hca_mr_invalidate_finish() - the rest: when this has returned, no thread uses the memory region
 *
 * Any context, but not from inside. It may be registered again, unless it was destroyed meanwhile. The caller must not use @r any more.
 */
void hca_mr_invalidate_finish(struct hca_mr *r);

/** hca_mr_invalidate() - both at once, by the owner of the MR; not from inside. Return: as hca_mr_begin_invalidate() */
int hca_mr_invalidate(struct hca_mr *r, u32 key);

/**
 * hca_mr_begin_invalidate() - hca_mr_invalidate() for a caller that waits for many at once: the first half
 *
 * The key is void, but threads inside may still use it: hca_quiesce_wait() is the caller's, and hca_mr_end_invalidate()
 * when it has returned. Return: 0; -EINVAL: it isn't valid with this key; -EBUSY: memory windows are bound.
 */
int hca_mr_begin_invalidate(struct hca_mr *r, u32 key);
void hca_mr_end_invalidate(struct hca_mr *r);

/**
 * hca_mr_bind() - count a memory window on a memory region, from inside
 * @pd: number of the domain
 * @key: of the memory region
 * @addr: of the MW's first byte, as the MR has it
 * @len: its bytes
 * @access: its rights
 * @offset: set to where in the MR it begins, for its entry
 *
 * An MW that may be written needs an MR with local write; its other rights are its own.
 * Return: 0, and the MR in @out until hca_mr_unbind(); -EINVAL.
 */
int hca_mr_bind(const struct hca_keys *keys, u64 pd, u32 key, u64 addr, u64 len, u32 access, struct hca_mr **out,
		u64 *offset);

/** hca_mr_unbind() - an MW's key was retracted and waited for. Any context. */
void hca_mr_unbind(struct hca_mr *r);

/** hca_mr_piece() - hca_mr_run() of an MR of pieces */
hca_dma_addr_t hca_mr_piece(const struct hca_mr *r, u64 off, u64 *len);

/**
 * hca_mr_run() - the DMA address of bytes
 * @off: offset from the first byte; inside the MR, as the key check has found
 * @len: in: bytes wanted; out: bytes that are contiguous in DMA addresses
 */
static inline hca_dma_addr_t hca_mr_run(const struct hca_mr *r, u64 off, u64 *len)
{
	u64 page, in;

	if (hca_likely(r->kind != HCA_MR_PAGES))
		return hca_dma_addr(r->base + off);
	if (hca_unlikely(r->page_shift == HCA_MR_PIECES))
		return hca_mr_piece(r, off, len);
	off += r->offset;
	page = off >> r->page_shift;
	in = off & ((1ull << r->page_shift) - 1);
	*len = HCA_MIN(*len, (1ull << r->page_shift) - in);
	return hca_dma_addr(r->pages[page] + in);
}

#endif
