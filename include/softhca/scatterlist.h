/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Scatterlists with Linux's API, in one of three layouts.
 *
 * Any code may read an entry's page, offset and length.
 * The layout of the fields that a mapping writes (the mapped fields) differs from one
 * architecture to the next, so they are accessed only by ib_sg_dma_address() and ib_sg_dma_len(), or by
 * sg_dma_address() and sg_dma_len(). The library is built with one of three layouts:
 *
 *   split    today's 64-bit machines: a separate address and length, so that entries can be merged
 *   joined   machines without a mapped length: it is the entry's own length, and entries are not merged
 *   classic  the layout of 2006: a plain page pointer, separate flags, mapped fields with other names
 */
#ifndef SOFTHCA_SCATTERLIST_H
#define SOFTHCA_SCATTERLIST_H

#include "softhca/config.h"
#include "softhca/machine.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define SG_CHAIN 1UL
#define SG_END 2UL

#if defined(SOFTHCA_SG_LAYOUT_SPLIT)
struct scatterlist {
	uintptr_t page_link;
	unsigned int offset;
	unsigned int length;
	hca_dma_addr_t dma_address;
	unsigned int dma_length;
};
#elif defined(SOFTHCA_SG_LAYOUT_JOINED)
struct scatterlist {
	uintptr_t page_link;
	unsigned int offset;
	unsigned int length;
	hca_dma_addr_t dma_address;
};
#elif defined(SOFTHCA_SG_LAYOUT_CLASSIC)
struct scatterlist {
	struct page *page;
	unsigned int offset;
	hca_dma_addr_t iova;
	unsigned int iova_length;
	unsigned int flags;
	unsigned int length;
};
#else
#error "softhca/config.h names no scatterlist layout"
#endif

/** struct sg_table - a list, the number of its entries and the number of mapped entries */
struct sg_table {
	struct scatterlist *sgl;
	unsigned int nents; /* mapped entries */
	unsigned int orig_nents;
};

/* The entry's first word: the page or the next list, with SG_CHAIN and SG_END in the low bits. */
static inline uintptr_t sg_link(const struct scatterlist *sg)
{
#ifdef SOFTHCA_SG_LAYOUT_CLASSIC
	return (uintptr_t)sg->page | sg->flags;
#else
	return sg->page_link;
#endif
}

static inline void sg_set_link(struct scatterlist *sg, uintptr_t link)
{
#ifdef SOFTHCA_SG_LAYOUT_CLASSIC
	sg->page = (struct page *)(link & ~(SG_CHAIN | SG_END));
	sg->flags = (unsigned int)(link & (SG_CHAIN | SG_END));
#else
	sg->page_link = link;
#endif
}

static inline bool sg_is_chain(const struct scatterlist *sg)
{
	return sg_link(sg) & SG_CHAIN;
}

static inline bool sg_is_last(const struct scatterlist *sg)
{
	return sg_link(sg) & SG_END;
}

static inline struct scatterlist *sg_chain_ptr(const struct scatterlist *sg)
{
	return (struct scatterlist *)(sg_link(sg) & ~(SG_CHAIN | SG_END));
}

static inline struct page *sg_page(const struct scatterlist *sg)
{
	return (struct page *)(sg_link(sg) & ~(SG_CHAIN | SG_END));
}

static inline void sg_assign_page(struct scatterlist *sg, struct page *page)
{
	sg_set_link(sg, (sg_link(sg) & SG_END) | (uintptr_t)page);
}

/** sg_set_page() - the entry describes @len bytes beginning at @offset of @page; @offset may lie in a following page */
static inline void sg_set_page(struct scatterlist *sg, struct page *page, unsigned int len, unsigned int offset)
{
	sg_assign_page(sg, page);
	sg->offset = offset;
	sg->length = len;
}

/** sg_set_buf() - the entry describes @len bytes of low memory at @buf */
static inline void sg_set_buf(struct scatterlist *sg, const void *buf, unsigned int len)
{
	sg_set_page(sg, virt_to_page(buf), len, (unsigned int)((uintptr_t)buf & ~PAGE_MASK));
}

static inline void sg_mark_end(struct scatterlist *sg)
{
	sg_set_link(sg, (sg_link(sg) | SG_END) & ~SG_CHAIN);
}

static inline void sg_unmark_end(struct scatterlist *sg)
{
	sg_set_link(sg, sg_link(sg) & ~SG_END);
}

/** sg_next() - the entry after @sg, across chains; NULL after the last */
static inline struct scatterlist *sg_next(struct scatterlist *sg)
{
	if (sg_is_last(sg))
		return NULL;
	sg++;
	/*
	 * A predicted branch: with a conditional move, which compilers would use here, the next entry's
	 * address would wait for this one's load. The empty statement prevents that.
	 */
	if (__builtin_expect(sg_is_chain(sg), 0)) {
		sg = sg_chain_ptr(sg);
		__asm__ volatile("" : "+r"(sg));
	}
	return sg;
}

#define for_each_sg(sglist, sg, nr, i) for (i = 0, sg = (sglist); i < (nr); i++, sg = sg_next(sg))
#define for_each_sgtable_sg(sgt, sg, i) for_each_sg((sgt)->sgl, sg, (sgt)->orig_nents, i)
#define for_each_sgtable_dma_sg(sgt, sg, i) for_each_sg((sgt)->sgl, sg, (sgt)->nents, i)

/** sg_phys() - physical address of the entry's first byte */
static inline phys_addr_t sg_phys(const struct scatterlist *sg)
{
	return page_to_phys(sg_page(sg)) + sg->offset;
}

/** sg_virt() - virtual address of the entry's first byte; the page must be in low memory */
static inline void *sg_virt(const struct scatterlist *sg)
{
	return (char *)page_address(sg_page(sg)) + sg->offset;
}

/**
 * sg_dma_address() - the address of an entry of a mapped list; may be assigned to
 *
 * Valid if the mapping fills the list. dma_map_sg() always does. ib_dma_map_sg() does on a device without addresses of its own,
 * and on any other device if the source includes softhca/kernel.h or the device was made with fill_sg. Otherwise ib_dma_map_sg()
 * stores nothing, and ib_sg_dma_address() computes the address; a device with a ledger then sets IB_DMA_SG_UNFILLED.
 */
#ifdef SOFTHCA_SG_LAYOUT_CLASSIC
#define sg_dma_address(sg) ((sg)->iova)
#else
#define sg_dma_address(sg) ((sg)->dma_address)
#endif

/** sg_dma_len() - bytes of an entry of a mapped list; valid as sg_dma_address() is */
#if defined(SOFTHCA_SG_LAYOUT_CLASSIC)
#define sg_dma_len(sg) ((sg)->iova_length)
#elif defined(SOFTHCA_SG_LAYOUT_SPLIT)
#define sg_dma_len(sg) ((sg)->dma_length)
#else
#define sg_dma_len(sg) ((sg)->length)
#endif

/** sg_init_marker() - mark the last of @nents entries of a zeroed array */
static inline void sg_init_marker(struct scatterlist *sgl, unsigned int nents)
{
	sg_mark_end(&sgl[nents - 1]);
}

/** sg_init_table() - @nents empty entries, the last one marked */
void sg_init_table(struct scatterlist *sgl, unsigned int nents);

/** sg_init_one() - a list of the @len bytes of low memory at @buf */
void sg_init_one(struct scatterlist *sg, const void *buf, unsigned int len);

/** sg_chain() - the last of @prv's @prv_nents entries becomes a link to @sgl */
void sg_chain(struct scatterlist *prv, unsigned int prv_nents, struct scatterlist *sgl);

/** sg_nents() - the number of entries up to the end mark */
int sg_nents(struct scatterlist *sg);

/** sg_nents_for_len() - the number of entries with the first @len bytes; -EINVAL if the list is shorter */
int sg_nents_for_len(struct scatterlist *sg, u64 len);

/** sg_last() - the last of @nents entries */
struct scatterlist *sg_last(struct scatterlist *sgl, unsigned int nents);

/** sg_alloc_table() - a table of @nents entries, chained if it is longer than a page of entries. Return: 0 or -ENOMEM, -EINVAL. */
int sg_alloc_table(struct sg_table *table, unsigned int nents, gfp_t gfp);

/** sg_free_table() - free a table of sg_alloc_table(); the caller still owns the pages */
void sg_free_table(struct sg_table *table);

/**
 * sg_pcopy_from_buffer() - copy bytes from @buf into the list, @skip bytes behind its beginning; high memory is mapped page by page
 * Return: bytes copied.
 */
size_t sg_pcopy_from_buffer(struct scatterlist *sgl, unsigned int nents, const void *buf, size_t buflen, u64 skip);

/** sg_pcopy_to_buffer() - copy bytes from the list to @buf */
size_t sg_pcopy_to_buffer(struct scatterlist *sgl, unsigned int nents, void *buf, size_t buflen, u64 skip);

static inline size_t sg_copy_from_buffer(struct scatterlist *sgl, unsigned int nents, const void *buf, size_t buflen)
{
	return sg_pcopy_from_buffer(sgl, nents, buf, buflen, 0);
}

static inline size_t sg_copy_to_buffer(struct scatterlist *sgl, unsigned int nents, void *buf, size_t buflen)
{
	return sg_pcopy_to_buffer(sgl, nents, buf, buflen, 0);
}

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
