/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fast memory regions: pages that are mapped and unmapped by calls, without a work
 * request, as Linux's ib_alloc_fmr() and ib_map_phys_fmr() have it. An FMR that is
 * mapped may be mapped to other pages some times before it must be unmapped; unmapping
 * is done for many at once and waits once for all.
 */
#ifndef HCA_FMR_H
#define HCA_FMR_H

#include "hca/mr.h"

/* Then no key comes back before an unmap has made all older ones useless: a key has 256 generations. */
#define HCA_FMR_MAX_MAPS 255u

/**
 * struct hca_fmr - a fast memory region
 * @key: its key, L_Key and R_Key; another one after each map
 * @maps: maps since it was unmapped last
 * @busy: atomic: a thread maps or unmaps it, and changes what stands above
 * @next: the caller's, to make a list for hca_fmr_unmap()
 */
struct hca_fmr {
	struct hca_mr *mr;
	u32 access;
	u32 page_shift;
	u32 max_maps;
	u32 key;
	u32 maps;
	u32 busy;
	bool voided; /* by the unmap that is under way */
	struct hca_fmr *next;
};

/**
 * struct hca_fmr_attr - what one is made with
 * @access: enum hca_access_flags; no MWs, and not zero-based
 * @max_pages: of one map
 * @max_maps: until it must be unmapped; 1 to HCA_FMR_MAX_MAPS
 * @page_shift: log2 of the page size
 */
struct hca_fmr_attr {
	u32 access;
	u32 max_pages;
	u32 max_maps;
	u32 page_shift;
};

/** hca_fmr_create() - not mapped. May sleep. Return: 0; -EINVAL; -ENOMEM; -ENOSPC: no key left. */
int hca_fmr_create(struct hca_pd *pd, const struct hca_fmr_attr *attr, struct hca_fmr **out);

/** hca_fmr_destroy() - Return: 0; -EBUSY: it is mapped, and nothing has changed. Any context, but not from inside. */
int hca_fmr_destroy(struct hca_fmr *f);

/**
 * hca_fmr_map() - what was mapped by it is not any more, these pages are
 * @pages: DMA addresses, each of a page's begin
 * @iova: what the first byte is called; a page's begin as well
 *
 * Any context, but not from inside. Return: 0, and the new key is in @f; -EINVAL: no pages or too many, an address that isn't
 * a page's, or mapped as often as it may be; -ENOMEM; -EBUSY: another context is at it. Then what was mapped still is, unless
 * the list was changed while it was read.
 */
int hca_fmr_map(struct hca_fmr *f, const u64 *pages, u32 npages, u64 iova);

/**
 * hca_fmr_unmap() - no thread touches the pages of a whole list when this returned, and each may be mapped as often as when it was new
 * @first: linked by @next, of one adapter; some may be not mapped
 *
 * Any context, but not from inside. Return: 0; -EINVAL: not of one adapter; -EBUSY: another context maps or unmaps one of
 * them just now, and may have been interrupted by us. Then nothing has changed.
 */
int hca_fmr_unmap(struct hca_fmr *first);

#endif
