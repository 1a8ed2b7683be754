/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ib_dma_*(): mapping memory for a verbs device. The device decides what a mapped
 * address is; an upper layer with these calls runs over adapters that copy and
 * over adapters that do DMA.
 *
 * Every call except ib_dma_alloc_coherent() and ib_dma_free_coherent() is allowed in any context. A mapping gives the bytes to the
 * device until its unmap, or until a sync for the CPU. Check the result of a map with
 * ib_dma_mapping_error() before its use. -EINVAL, -EFAULT and -EOPNOTSUPP are never worth a retry; -ENOMEM
 * and -ENOSPC are, after an unmap.
 *
 * The calls are macros that record their line for the ledger; each calls the
 * function in its definition.
 */
#ifndef SOFTHCA_IB_DMA_H
#define SOFTHCA_IB_DMA_H

#include "softhca/ib_device.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define IB_DMA_STR_(x) #x
#define IB_DMA_STR(x) IB_DMA_STR_(x)
/** IB_DMA_HERE - this line, for the ledger's reports */
#define IB_DMA_HERE ((hca_site_t)(__FILE__ ":" IB_DMA_STR(__LINE__)))

/**
 * IB_DMA_FILL_SG - 1: in this source a map fills the list on every device: sg_dma_address() and sg_dma_len() are valid
 *
 * softhca/kernel.h makes it 1, wherever in the source it is included. Each call uses the value at its own line.
 */
#ifndef IB_DMA_FILL_SG
#define IB_DMA_FILL_SG 0
#endif

/**
 * IB_DMA_SG_UNFILLED - sg_dma_address() of a list whose mapping stored nothing, on a device that keeps a ledger
 *
 * No device has memory in the 2^48 bytes from there on: a request fails, and the ledger reports the reason.
 */
#define IB_DMA_SG_UNFILLED hca_dma_addr(0x5adull << 52)

#define IB_DMA_LIKELY(x) __builtin_expect(!!(x), 1)

/* The slow paths: every check, the ledger, the device's ops or the platform's. Don't call them by name. */
dma_addr_t ib_dma_map_single_long(struct ib_device *dev, void *ptr, size_t size, enum dma_data_direction dir,
				  unsigned long attrs, hca_site_t site);
dma_addr_t ib_dma_map_page_long(struct ib_device *dev, struct page *page, unsigned long offset, size_t size,
				enum dma_data_direction dir, unsigned long attrs, hca_site_t site);
void ib_dma_unmap_long(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
		       unsigned long attrs, enum hca_map_kind kind, hca_site_t site);
int ib_dma_map_sg_long(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
		       unsigned long attrs, bool fill, hca_site_t site);
void ib_dma_unmap_sg_long(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
			  unsigned long attrs, hca_site_t site);
dma_addr_t ib_sg_dma_address_long(struct ib_device *dev, struct scatterlist *sg);
unsigned int ib_sg_dma_len_long(struct ib_device *dev, struct scatterlist *sg);
void ib_dma_sync_single_long(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
			     bool for_cpu, hca_site_t site);
void ib_dma_sync_sg_long(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
			 bool for_cpu, hca_site_t site);
void ib_dma_checked_long(struct ib_device *dev, dma_addr_t addr);
void *ib_dma_alloc_coherent_at(struct ib_device *dev, size_t size, dma_addr_t *handle, gfp_t gfp, hca_site_t site);
void ib_dma_free_coherent_at(struct ib_device *dev, size_t size, void *cpu_addr, dma_addr_t handle, hca_site_t site);

/*
 * Is [ptr, ptr + size) low memory of a device whose addresses are virtual addresses? One subtraction and two
 * comparisons also refuse NULL, foreign and wrapping arguments and a size of 0; a device that
 * needs more checks has 0 inline bytes.
 */
static inline bool ib_dma_fits(const struct ib_device *dev, uintptr_t bytes, uintptr_t ptr, size_t size, int dir)
{
	uintptr_t off = ptr - dev->virt;

	return IB_DMA_LIKELY(off < bytes && size - 1 < bytes - off && (unsigned int)dir < (unsigned int)DMA_NONE);
}

/* Is no state kept for any mapping, also of pages and lists? With bus addresses that holds only for single mappings. */
static inline bool ib_dma_all_inline(const struct ib_device *dev)
{
	return dev->single_bytes && dev->sg_inline;
}

static inline dma_addr_t ib_dma_map_single_at(struct ib_device *dev, void *ptr, size_t size,
					      enum dma_data_direction dir, unsigned long attrs, hca_site_t site)
{
	if (ib_dma_fits(dev, dev->single_bytes, (uintptr_t)ptr, size, (int)dir))
		return hca_dma_addr(dev->single_base + ((uintptr_t)ptr - dev->virt));
	if (ib_dma_fits(dev, dev->ops_bytes, (uintptr_t)ptr, size, (int)dir))
		return dev->dma_ops->map_single(dev, ptr, size, dir, attrs);
	return ib_dma_map_single_long(dev, ptr, size, dir, attrs, site);
}

static inline dma_addr_t ib_dma_map_page_at(struct ib_device *dev, struct page *page, unsigned long offset, size_t size,
					    enum dma_data_direction dir, unsigned long attrs, hca_site_t site)
{
	uintptr_t at = (uintptr_t)page - dev->pages;

	/* A foreign page pointer, or a pointer into a struct page, goes to the slow path. */
	if (IB_DMA_LIKELY(at < dev->sg_inline && !(at & ((1u << STRUCT_PAGE_SHIFT) - 1)) && offset < PAGE_SIZE)) {
		uintptr_t ptr = dev->virt + (at << (PAGE_SHIFT - STRUCT_PAGE_SHIFT)) + offset;

		if (ib_dma_fits(dev, dev->single_bytes, ptr, size, (int)dir))
			return hca_dma_addr((u64)ptr);
	}
	return ib_dma_map_page_long(dev, page, offset, size, dir, attrs, site);
}

/** struct bio_vec - a range of a page, as in the block layer */
struct bio_vec {
	struct page *bv_page;
	unsigned int bv_len;
	unsigned int bv_offset;
};

static inline dma_addr_t ib_dma_map_bvec_at(struct ib_device *dev, const struct bio_vec *bv,
					    enum dma_data_direction dir, hca_site_t site)
{
	return ib_dma_map_page_at(dev, bv->bv_page, bv->bv_offset, bv->bv_len, dir, 0, site);
}

static inline void ib_dma_unmap_at(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
				   unsigned long attrs, enum hca_map_kind kind, hca_site_t site)
{
	/* An inline map keeps no state, so there is nothing to undo. */
	if (IB_DMA_LIKELY(kind == HCA_MAP_SINGLE ? dev->single_bytes != 0 : ib_dma_all_inline(dev)))
		return;
	if (IB_DMA_LIKELY(dev->ops_bytes)) {
		if (kind == HCA_MAP_SINGLE)
			dev->dma_ops->unmap_single(dev, addr, size, dir, attrs);
		else
			dev->dma_ops->unmap_page(dev, addr, size, dir, attrs);
		return;
	}
	ib_dma_unmap_long(dev, addr, size, dir, attrs, kind, site);
}

/* As ib_dma_map_sg(), but it returns the errno. */
static inline int ib_dma_map_sg_err_at(struct ib_device *dev, struct scatterlist *sgl, int nents,
				       enum dma_data_direction dir, unsigned long attrs, bool fill, hca_site_t site)
{
	/* ib_sg_dma_address() will compute the addresses: the list isn't read. */
	if (IB_DMA_LIKELY(!fill && dev->sg_no_walk && sgl && nents > 0 && (unsigned int)dir < (unsigned int)DMA_NONE))
		return nents;
	return ib_dma_map_sg_long(dev, sgl, nents, dir, attrs, fill, site);
}

static inline int ib_dma_map_sg_at(struct ib_device *dev, struct scatterlist *sgl, int nents,
				   enum dma_data_direction dir, unsigned long attrs, bool fill, hca_site_t site)
{
	int n = ib_dma_map_sg_err_at(dev, sgl, nents, dir, attrs, fill, site);

	return n > 0 ? n : 0;
}

static inline void ib_dma_unmap_sg_at(struct ib_device *dev, struct scatterlist *sgl, int nents,
				      enum dma_data_direction dir, unsigned long attrs, hca_site_t site)
{
	if (IB_DMA_LIKELY(ib_dma_all_inline(dev)))
		return;
	ib_dma_unmap_sg_long(dev, sgl, nents, dir, attrs, site);
}

static inline int ib_dma_map_sgtable_at(struct ib_device *dev, struct sg_table *sgt, enum dma_data_direction dir,
					unsigned long attrs, bool fill, hca_site_t site)
{
	int n = ib_dma_map_sg_err_at(dev, sgt->sgl, (int)sgt->orig_nents, dir, attrs, fill, site);

	if (n < 0)
		return n;
	sgt->nents = (unsigned int)n;
	return 0;
}

static inline void ib_dma_unmap_sgtable_at(struct ib_device *dev, struct sg_table *sgt, enum dma_data_direction dir,
					   unsigned long attrs, hca_site_t site)
{
	ib_dma_unmap_sg_at(dev, sgt->sgl, (int)sgt->orig_nents, dir, attrs, site);
}

static inline void ib_dma_sync_single_at(struct ib_device *dev, dma_addr_t addr, size_t size,
					 enum dma_data_direction dir, bool for_cpu, hca_site_t site)
{
	if (IB_DMA_LIKELY(ib_dma_all_inline(dev)))
		return;
	ib_dma_sync_single_long(dev, addr, size, dir, for_cpu, site);
}

static inline void ib_dma_sync_sg_at(struct ib_device *dev, struct scatterlist *sgl, int nents,
				     enum dma_data_direction dir, bool for_cpu, hca_site_t site)
{
	if (IB_DMA_LIKELY(ib_dma_all_inline(dev)))
		return;
	ib_dma_sync_sg_long(dev, sgl, nents, dir, for_cpu, site);
}

/**
 * ib_dma_mapping_error() - did a map fail?
 * @addr: its result
 *
 * Return: 0, or the negative errno that the map failed with.
 */
static inline int ib_dma_mapping_error(struct ib_device *dev, dma_addr_t addr)
{
	if (!IB_DMA_LIKELY(!dev->ledger))
		ib_dma_checked_long(dev, addr);
	return hca_dma_errno(addr);
}

/**
 * ib_sg_dma_address() - the device's address of an entry of a mapped list
 *
 * On a device whose addresses are virtual or tagged it is computed from page and offset only: nothing was
 * stored in the list. Only the first entries, as many as the map returned, have an address.
 */
static inline dma_addr_t ib_sg_dma_address(struct ib_device *dev, struct scatterlist *sg)
{
	uintptr_t at = (uintptr_t)sg_page(sg) - dev->pages;

	if (IB_DMA_LIKELY(at < dev->sg_inline))
		return hca_dma_addr((u64)(dev->virt + (at << (PAGE_SHIFT - STRUCT_PAGE_SHIFT)) + sg->offset));
	if (!dev->dma_ops)
		return sg_dma_address(sg);
	return ib_sg_dma_address_long(dev, sg);
}

/** ib_sg_dma_len() - bytes at ib_sg_dma_address(); may be more than the entry's own length if the platform merged entries */
static inline unsigned int ib_sg_dma_len(struct ib_device *dev, struct scatterlist *sg)
{
	if (IB_DMA_LIKELY(dev->sg_inline))
		return sg->length;
	return ib_sg_dma_len_long(dev, sg);
}

/** ib_uses_virt_dma() - are addresses of low memory virtual addresses on this device? */
static inline bool ib_uses_virt_dma(const struct ib_device *dev)
{
	return dev->style != IB_DMA_BY_OPS;
}

/** ib_dma_max_seg_size() - longest entry of a list that the device takes, bytes */
static inline unsigned int ib_dma_max_seg_size(const struct ib_device *dev)
{
	return dev->dma_ops ? dev->dma_ops->max_seg_size : dma_get_max_seg_size(dev->dma_device);
}

/**
 * ib_dma_max_mapping_size() - the longest range that one mapping may cover, or one entry of a list, bytes
 *
 * Linux's upper layers call dma_max_mapping_size(dev->dma_device); an adapter that copies has no such limit.
 */
static inline size_t ib_dma_max_mapping_size(const struct ib_device *dev)
{
	return dev->dma_ops ? ~(size_t)0 : dma_max_mapping_size(dev->dma_device);
}

/**
 * ib_dma_report_str() - format a report as one line
 * Return: bytes written, without the final 0.
 */
size_t ib_dma_report_str(const struct hca_misuse_report *r, char *buf, size_t size);

/** hca_misuse_name() - a short name such as "double-unmap" */
const char *hca_misuse_name(enum hca_misuse what);

/** struct ib_dma_totals - a ledger's counters; @misuse is indexed by enum hca_misuse */
struct ib_dma_totals {
	u64 made;
	u64 live;
	u64 live_bytes;
	u64 misuse[HCA_MISUSE_KINDS];
};

/** ib_dma_get_totals() - Return: 0; -ENOENT if the device has no ledger */
int ib_dma_get_totals(struct ib_device *dev, struct ib_dma_totals *t);

/*
 * The adapter's accesses: reading, writing and copying at DMA addresses, as for work requests.
 * Return: 0; -EFAULT: the machine refuses; -ENOMEM: a page can't be mapped now.
 */
int ib_dma_read_at(struct ib_device *dev, dma_addr_t addr, void *dst, size_t len, hca_site_t site);
int ib_dma_write_at(struct ib_device *dev, dma_addr_t addr, const void *src, size_t len, hca_site_t site);
int ib_dma_copy_at(struct ib_device *ddev, dma_addr_t dst, struct ib_device *sdev, dma_addr_t src, size_t len,
		   hca_site_t site);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

/**
 * ib_dma_map_single() - give @size bytes of low memory at @ptr to the device
 * Return: the address for ib_sge.addr, or an error for ib_dma_mapping_error().
 */
#define ib_dma_map_single(dev, ptr, size, dir) ib_dma_map_single_at(dev, ptr, size, dir, 0, IB_DMA_HERE)
#define ib_dma_map_single_attrs(dev, ptr, size, dir, attrs) \
	ib_dma_map_single_at(dev, ptr, size, dir, attrs, IB_DMA_HERE)

/** ib_dma_unmap_single() - the CPU owns the bytes again; the arguments are the map's */
#define ib_dma_unmap_single(dev, addr, size, dir) ib_dma_unmap_at(dev, addr, size, dir, 0, HCA_MAP_SINGLE, IB_DMA_HERE)
#define ib_dma_unmap_single_attrs(dev, addr, size, dir, attrs) \
	ib_dma_unmap_at(dev, addr, size, dir, attrs, HCA_MAP_SINGLE, IB_DMA_HERE)

/** ib_dma_map_page() - give the device @size bytes beginning at @offset of @page, high memory included; @offset may lie in a following page */
#define ib_dma_map_page(dev, page, offset, size, dir) ib_dma_map_page_at(dev, page, offset, size, dir, 0, IB_DMA_HERE)
#define ib_dma_unmap_page(dev, addr, size, dir) ib_dma_unmap_at(dev, addr, size, dir, 0, HCA_MAP_PAGE, IB_DMA_HERE)

/** ib_dma_map_bvec() - ib_dma_map_page() of a bio_vec; ib_dma_unmap_page() unmaps it */
#define ib_dma_map_bvec(dev, bv, dir) ib_dma_map_bvec_at(dev, bv, dir, IB_DMA_HERE)

/**
 * ib_dma_map_sg() - give a list to the device
 * Return: the entries for the device (use ib_sg_dma_address/len for so many); 0 for an error, and then no entry is
 * mapped. ib_dma_map_sgtable_attrs() returns the error.
 */
#define ib_dma_map_sg(dev, sgl, nents, dir) ib_dma_map_sg_at(dev, sgl, nents, dir, 0, IB_DMA_FILL_SG, IB_DMA_HERE)
#define ib_dma_map_sg_attrs(dev, sgl, nents, dir, attrs) \
	ib_dma_map_sg_at(dev, sgl, nents, dir, attrs, IB_DMA_FILL_SG, IB_DMA_HERE)

/** ib_dma_unmap_sg() - with the @nents passed to the map, not the number that the map returned */
#define ib_dma_unmap_sg(dev, sgl, nents, dir) ib_dma_unmap_sg_at(dev, sgl, nents, dir, 0, IB_DMA_HERE)
#define ib_dma_unmap_sg_attrs(dev, sgl, nents, dir, attrs) ib_dma_unmap_sg_at(dev, sgl, nents, dir, attrs, IB_DMA_HERE)

/** ib_dma_map_sgtable_attrs() - the same for a table, whose nents it sets. Return: 0 or -errno. */
#define ib_dma_map_sgtable_attrs(dev, sgt, dir, attrs) \
	ib_dma_map_sgtable_at(dev, sgt, dir, attrs, IB_DMA_FILL_SG, IB_DMA_HERE)
#define ib_dma_unmap_sgtable_attrs(dev, sgt, dir, attrs) ib_dma_unmap_sgtable_at(dev, sgt, dir, attrs, IB_DMA_HERE)

/** ib_dma_sync_single_for_cpu() - the CPU owns @size bytes at @addr, inside one mapping, until ib_dma_sync_single_for_device() */
#define ib_dma_sync_single_for_cpu(dev, addr, size, dir) ib_dma_sync_single_at(dev, addr, size, dir, true, IB_DMA_HERE)
/** ib_dma_sync_single_for_device() - the device owns them again */
#define ib_dma_sync_single_for_device(dev, addr, size, dir) \
	ib_dma_sync_single_at(dev, addr, size, dir, false, IB_DMA_HERE)
#define ib_dma_sync_sg_for_cpu(dev, sgl, nents, dir) ib_dma_sync_sg_at(dev, sgl, nents, dir, true, IB_DMA_HERE)
#define ib_dma_sync_sg_for_device(dev, sgl, nents, dir) ib_dma_sync_sg_at(dev, sgl, nents, dir, false, IB_DMA_HERE)

/** ib_dma_alloc_coherent() - zeroed low memory that CPU and device may access at once, its address in @handle. May sleep if @gfp allows it. NULL: no memory. */
#define ib_dma_alloc_coherent(dev, size, handle, gfp) ib_dma_alloc_coherent_at(dev, size, handle, gfp, IB_DMA_HERE)
#define ib_dma_free_coherent(dev, size, cpu_addr, handle) \
	ib_dma_free_coherent_at(dev, size, cpu_addr, handle, IB_DMA_HERE)

#define ib_dma_read(dev, addr, dst, len) ib_dma_read_at(dev, addr, dst, len, IB_DMA_HERE)
#define ib_dma_write(dev, addr, src, len) ib_dma_write_at(dev, addr, src, len, IB_DMA_HERE)
#define ib_dma_copy(ddev, dst, sdev, src, len) ib_dma_copy_at(ddev, dst, sdev, src, len, IB_DMA_HERE)

#endif
