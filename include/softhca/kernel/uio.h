/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pieces of memory: kernel buffers (struct kvec), pages (struct bio_vec), iterators over them, and iterators that
 * show a scatterlist's pages. Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_UIO_H
#define SOFTHCA_KERNEL_UIO_H

#include <sys/uio.h>

#include "softhca/ib_dma.h"
#include "softhca/kernel/base.h"
#include "softhca/scatterlist.h"

#define READ 0
#define WRITE 1
#define ITER_SOURCE 1
#define ITER_DEST 0
#define PAGE_SECTORS_SHIFT (PAGE_SHIFT - SECTOR_SHIFT)
#define SECTOR_SHIFT 9
#define SECTOR_SIZE (1 << SECTOR_SHIFT)

typedef u64 sector_t;

/** struct kvec - bytes in the kernel's, here the process's, memory */
struct kvec {
	void *iov_base;
	size_t iov_len;
};

/** bvec_set_page() - bytes of a page and those that follow it */
static inline void bvec_set_page(struct bio_vec *bv, struct page *page, unsigned int len, unsigned int offset)
{
	*bv = (struct bio_vec){ .bv_page = page, .bv_len = len, .bv_offset = offset };
}

/** bvec_set_virt() - bytes of low memory */
static inline void bvec_set_virt(struct bio_vec *bv, void *addr, unsigned int len)
{
	bvec_set_page(bv, virt_to_page(addr), len, (unsigned int)offset_in_page(addr));
}

static inline void *bvec_virt(const struct bio_vec *bv)
{
	return (char *)page_address(bv->bv_page) + bv->bv_offset;
}

enum iter_type {
	ITER_KVEC = 1,
	ITER_BVEC = 2,
};

/** struct iov_iter - what is left of pieces; @data_source: ITER_SOURCE: they are read */
struct iov_iter {
	bool data_source;
	enum iter_type iter_type;
	size_t iov_offset; /* bytes of the first piece that are done */
	size_t count;
	union {
		const struct kvec *kvec;
		const struct bio_vec *bvec;
	};
	unsigned long nr_segs;
};

#pragma GCC visibility push(default)

/** copy_to_iter(), copy_from_iter() - up to @bytes, and the iterator goes on. Return: bytes copied. */
size_t copy_to_iter(const void *from, size_t bytes, struct iov_iter *i);
size_t copy_from_iter(void *to, size_t bytes, struct iov_iter *i);

/** iov_iter_advance() - @bytes more are done */
void iov_iter_advance(struct iov_iter *i, size_t bytes);

#pragma GCC visibility pop

static inline void iov_iter_kvec(struct iov_iter *i, unsigned int direction, const struct kvec *kvec,
				 unsigned long nr_segs, size_t count)
{
	*i = (struct iov_iter){
		.data_source = direction & 1, .iter_type = ITER_KVEC, .kvec = kvec, .nr_segs = nr_segs, .count = count
	};
}

static inline void iov_iter_bvec(struct iov_iter *i, unsigned int direction, const struct bio_vec *bvec,
				 unsigned long nr_segs, size_t count)
{
	*i = (struct iov_iter){
		.data_source = direction & 1, .iter_type = ITER_BVEC, .bvec = bvec, .nr_segs = nr_segs, .count = count
	};
}

static inline size_t iov_iter_count(const struct iov_iter *i)
{
	return i->count;
}

static inline void iov_iter_truncate(struct iov_iter *i, u64 count)
{
	if (i->count > count)
		i->count = (size_t)count;
}

#define copy_page_to_iter(page, offset, bytes, i) softhca_copy_page_(copy_to_iter, page, offset, bytes, i)
#define copy_page_from_iter(page, offset, bytes, i) softhca_copy_page_(copy_from_iter, page, offset, bytes, i)
#define softhca_copy_page_(copy, page, offset, bytes, i) \
	({ \
		char *page_ = (char *)kmap_local_page(page); \
		size_t copied_ = copy(page_ + (offset), bytes, i); \
		kunmap_local(page_); \
		copied_; \
	})
#define iov_iter_type(i) ((i)->iter_type)
#define iov_iter_is_kvec(i) ((i)->iter_type == ITER_KVEC)
#define iov_iter_is_bvec(i) ((i)->iter_type == ITER_BVEC)
#define iov_iter_rw(i) ((i)->data_source ? WRITE : READ)

/* --- scatterlists, page by page --- */

#define SG_MITER_ATOMIC (1 << 0)
#define SG_MITER_TO_SG (1 << 1)
#define SG_MITER_FROM_SG (1 << 2)

/** struct sg_mapping_iter - @addr, @length: what sg_miter_next() showed; @consumed: what the caller used of it, all unless it says so */
struct sg_mapping_iter {
	struct page *page;
	void *addr;
	size_t length;
	size_t consumed;
	struct scatterlist *sg; /* the library's, from here on */
	unsigned int nents;
	size_t offset;
};

#pragma GCC visibility push(default)

void sg_miter_start(struct sg_mapping_iter *m, struct scatterlist *sgl, unsigned int nents, unsigned int flags);

/** sg_miter_next() - the next bytes, of one page. Return: false: that was all. */
bool sg_miter_next(struct sg_mapping_iter *m);

/** sg_miter_stop() - what was shown is gone; sg_miter_next() goes on behind what was consumed */
void sg_miter_stop(struct sg_mapping_iter *m);

/** sg_miter_skip() - @offset bytes more are done. Return: false: there were fewer. */
bool sg_miter_skip(struct sg_mapping_iter *m, off_t offset);

/** sg_zero_buffer() - zeros into a list, @skip bytes in. Return: how many. */
size_t sg_zero_buffer(struct scatterlist *sgl, unsigned int nents, size_t buflen, off_t skip);

#pragma GCC visibility pop

#define SG_CHUNK_SIZE 128
#define SG_MAX_SINGLE_ALLOC ((unsigned int)(PAGE_SIZE / sizeof(struct scatterlist)))
#define SG_MAX_SEGMENTS 2048

/** sg_alloc_table_chained() - as sg_alloc_table(); @first: @nents_first entries of the caller's, which are used if they are enough. Return: 0 or -ENOMEM. */
static inline int sg_alloc_table_chained(struct sg_table *table, int nents, struct scatterlist *first,
					 unsigned int nents_first)
{
	if (!first || (unsigned int)nents > nents_first)
		return sg_alloc_table(table, (unsigned int)nents, GFP_ATOMIC);
	*table = (struct sg_table){ .sgl = first, .nents = (unsigned int)nents, .orig_nents = (unsigned int)nents };
	sg_init_table(first, (unsigned int)nents);
	return 0;
}

/** sg_free_table_chained() - @nents_first: as before; 0: there were no entries of the caller's */
static inline void sg_free_table_chained(struct sg_table *table, unsigned int nents_first)
{
	if (table->orig_nents > nents_first)
		sg_free_table(table);
}

#endif
