/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ledger: every live mapping of one device, and the recently ended ones.
 *
 * The verbs layer reports each map after it is made and each unmap before
 * it is done; the memory accessor reports each access. The ledger checks them, reports misuses, and
 * says whether an unmap may continue. The cost of a correct call doesn't depend on the number
 * of live mappings, nor on how many begin at one address; only many different ranges in
 * one block of memory increase it, by the logarithm of their number.
 *
 * It doesn't report on a guess: if a call fits several mappings, it counts for the mapping for which it is correct.
 *
 * Locks: one spin lock a ledger, taken by every call, never while a report is
 * made: the report callback may call back into the verbs.
 */
#ifndef HCA_DMA_LEDGER_H
#define HCA_DMA_LEDGER_H

#include "dma/mem.h"
#include "os.h"
#include "softhca/hca_ledger.h"

struct hca_ledger;
struct hca_ledger_rec;

/**
 * struct hca_ledger_attr - attributes of a ledger
 * @device: name for the reports; copied
 * @history: the number of ended mappings to remember, to distinguish a double unmap from an unknown one; 0: 1,024
 * @report: called once for each misuse, without a lock, in the context of the call that revealed it; must not be NULL
 * @ctx: passed to @report
 */
struct hca_ledger_attr {
	const char *device;
	u32 history;
	void (*report)(void *ctx, const struct hca_misuse_report *r);
	void *ctx;
};

/** struct hca_ledger_totals - counters: mappings made, live now, their bytes, and the reported misuses by kind */
struct hca_ledger_totals {
	u64 made;
	u64 live;
	u64 live_bytes;
	u64 misuse[HCA_MISUSE_KINDS];
};

/** hca_ledger_create() - Return: 0 or -ENOMEM; may sleep */
int hca_ledger_create(const struct hca_ledger_attr *attr, struct hca_ledger **out);

/**
 * hca_ledger_destroy() - report mappings that still exist, and free the ledger
 *
 * No other call may be under way. Return: the number of leaked mappings.
 */
u64 hca_ledger_destroy(struct hca_ledger *l);

/**
 * hca_ledger_prepare() - allocate the record of a mapping, before it is made
 * @segs: pieces; a list has one for each mapped entry
 *
 * Allocated first, so that a mapping can always be entered after it was made. Any context.
 * Return: a record for hca_ledger_enter() or hca_ledger_abandon(), or NULL.
 */
struct hca_ledger_rec *hca_ledger_prepare(u32 segs);

/** hca_ledger_abandon() - the mapping wasn't made */
void hca_ledger_abandon(struct hca_ledger_rec *rec);

/** hca_ledger_seg() - piece @i of a prepared record is @len bytes at @addr */
void hca_ledger_seg(struct hca_ledger_rec *rec, u32 i, hca_dma_addr_t addr, u64 len);

/**
 * struct hca_mapping - a caller's description of a mapping
 * @kind: family of calls
 * @addr: its first address
 * @size: bytes; for a list, the caller's number of entries
 * @dir: direction
 * @list: identifies a list or coherent memory in addition to its address, else NULL; an unmap must have the same. For a
 *	list it is the first page, which a copy of the list has, too: an unmap through a copy is correct.
 * @entries: for a list, hca_ledger_entry() of all its entries, else 0; distinguishes lists with the same beginning
 */
struct hca_mapping {
	enum hca_map_kind kind;
	hca_dma_addr_t addr;
	u64 size;
	int dir;
	const void *list;
	u64 entries;
};

/** hca_ledger_entry() - a hash of a list's entries: the value so far, 0 at the beginning, combined with one more entry */
static inline u64 hca_ledger_entry(u64 entries, const void *page, u32 offset, u32 len)
{
	u64 h = (entries ^ (u64)(uintptr_t)page) * 0x9e3779b97f4a7c15ull;

	h = ((h ^ h >> 32) + ((u64)offset << 32 | len)) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 32;
}

/** hca_ledger_enter() - the mapping @m, with @segs pieces set, was made at @site. The record is the ledger's now. */
void hca_ledger_enter(struct hca_ledger *l, struct hca_ledger_rec *rec, const struct hca_mapping *m, u32 segs,
		      hca_site_t site);

/**
 * hca_ledger_end() - called before an unmap
 * @m: in: the description of the unmap's caller; out: that of the map
 *
 * Reports misuses. Return: 0, the mapping is ended and the backend must unmap the mapping that @m now describes;
 * -ENOENT, there is nothing to unmap; -EINVAL, it is of a family that this call can't unmap, and stays.
 */
int hca_ledger_end(struct hca_ledger *l, struct hca_mapping *m, hca_site_t site);

/**
 * hca_ledger_sync() - @size bytes at @addr change owner
 *
 * Return: 0; -ENOENT: no mapping covers them; -EINVAL: one does, and wasn't made for this direction.
 */
int hca_ledger_sync(struct hca_ledger *l, hca_dma_addr_t addr, u64 size, int dir, enum hca_map_kind kind,
		    hca_site_t site);

/** hca_ledger_use() - the adapter tried to access @len bytes at @addr for the work posted at @site, with the result @outcome */
void hca_ledger_use(struct hca_ledger *l, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, hca_site_t site,
		    int outcome);

/** hca_ledger_checked() - the caller of a map checked @addr for an error; counts for all live mappings that begin there */
void hca_ledger_checked(struct hca_ledger *l, hca_dma_addr_t addr);

/** hca_ledger_report_write() - the CPU wrote at @addr, inside a mapping that the device owned, from @site */
void hca_ledger_report_write(struct hca_ledger *l, hca_dma_addr_t addr, hca_site_t site);

/**
 * hca_ledger_find_live() - iterate over the live mappings' pieces until one is accepted
 * @match: returns true to end the search, with its result in @ctx; called under the ledger's lock, so it must not
 *	call the ledger
 *
 * Slow; for events that are errors by themselves. Return: whether one was accepted.
 */
bool hca_ledger_find_live(struct hca_ledger *l, bool (*match)(void *ctx, hca_dma_addr_t addr, u64 len), void *ctx);

/** hca_ledger_report_list() - a list's entry @index (of @nents) can't be mapped, or is missing */
void hca_ledger_report_list(struct hca_ledger *l, u32 index, u32 nents, int dir, hca_site_t site);

/** hca_ledger_probes() - table entries that were read so far, in all calls; for tests of the cost of a call */
u64 hca_ledger_probes(struct hca_ledger *l);

/** hca_ledger_totals() - the counters so far */
void hca_ledger_totals(struct hca_ledger *l, struct hca_ledger_totals *t);

#endif
