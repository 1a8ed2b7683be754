/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Scatterlists: making, chaining, counting, and copying between one and a buffer.
 * Called by upper layers. Knows the layout through sg_link() and sg_set_link() alone
 * and never looks at the mapped fields.
 */
#include "platform.h"

/* A chunk of a table is a page; its last entry is the link, if another chunk follows. */
#define CHUNK ((unsigned int)(PAGE_SIZE / sizeof(struct scatterlist)))

void sg_init_table(struct scatterlist *sgl, unsigned int nents)
{
	if (!nents)
		return;
	hca_memset(sgl, 0, nents * sizeof(*sgl));
	sg_mark_end(&sgl[nents - 1]);
}

void sg_init_one(struct scatterlist *sg, const void *buf, unsigned int len)
{
	sg_init_table(sg, 1);
	sg_set_buf(sg, buf, len);
}

void sg_chain(struct scatterlist *prv, unsigned int prv_nents, struct scatterlist *sgl)
{
	struct scatterlist *link = &prv[prv_nents - 1];

	link->offset = 0;
	link->length = 0;
	sg_set_link(link, (uintptr_t)sgl | SG_CHAIN);
}

int sg_nents(struct scatterlist *sg)
{
	int n = 0;

	for (; sg; sg = sg_next(sg))
		n++;
	return n;
}

int sg_nents_for_len(struct scatterlist *sg, u64 len)
{
	u64 total = 0;
	int n = 0;

	if (!len)
		return 0;
	for (; sg; sg = sg_next(sg)) {
		n++;
		total += sg->length;
		if (total >= len)
			return n;
	}
	return hca_refuse(-EINVAL, "list: %d entries have %llu bytes, fewer than %llu", n, (unsigned long long)total,
			  (unsigned long long)len);
}

struct scatterlist *sg_last(struct scatterlist *sgl, unsigned int nents)
{
	struct scatterlist *sg, *last = NULL;
	unsigned int i;

	for (i = 0, sg = sgl; i < nents && sg; i++, sg = sg_next(sg))
		last = sg;
	return last;
}

/* Of the chunks that hold @nents entries, the first holds this many. */
static unsigned int chunk_nents(unsigned int nents)
{
	return nents > CHUNK ? CHUNK - 1 : nents;
}

int sg_alloc_table(struct sg_table *table, unsigned int nents, gfp_t gfp)
{
	unsigned int flags = gfp & GFP_KERNEL ? HCA_MAY_SLEEP : 0;
	struct sg_table t = { NULL, 0, 0 };
	struct scatterlist *chunk, *prev = NULL;
	unsigned int prev_size = 0;

	if (!table)
		return hca_refuse(-EINVAL, "list not made: the table is NULL");
	/* A table that couldn't be made can be freed all the same. */
	*table = t;
	if (!nents || nents > ~0u >> 1)
		return hca_refuse(-EINVAL, "list not made: %u entries, must be from 1 to %u", nents, ~0u >> 1);
	while (t.orig_nents < nents) {
		unsigned int n = chunk_nents(nents - t.orig_nents);
		unsigned int size = n + (n < nents - t.orig_nents);

		chunk = hca_alloc(size * sizeof(*chunk), flags);
		if (!chunk) {
			sg_free_table(&t);
			return -ENOMEM;
		}
		sg_init_table(chunk, size);
		if (prev)
			sg_chain(prev, prev_size, chunk);
		else
			t.sgl = chunk;
		prev = chunk;
		prev_size = size;
		t.orig_nents += n;
	}
	t.nents = nents;
	*table = t;
	return 0;
}

void sg_free_table(struct sg_table *table)
{
	struct scatterlist *chunk = table->sgl;
	unsigned int left = table->orig_nents;

	while (left) {
		/* By what was allocated, not by what is linked: a caller may have chained something of its own to the end. */
		unsigned int n = chunk_nents(left);
		struct scatterlist *next = n < left ? sg_chain_ptr(&chunk[CHUNK - 1]) : NULL;

		hca_free(chunk);
		chunk = next;
		left -= n;
	}
	*table = (struct sg_table){ NULL, 0, 0 };
}

/* --- copies --- */

struct sg_copy {
	u8 *buf;
	size_t done;
	size_t left;
	u64 skip;
	bool to_list;
};

static void copy_bytes(struct sg_copy *c, u8 *mem, size_t n)
{
	if (c->to_list)
		hca_memcpy(mem, c->buf + c->done, n);
	else
		hca_memcpy(c->buf + c->done, mem, n);
	c->done += n;
	c->left -= n;
}

/* One entry, a page at a time. Return: false where a page can't be reached, and the copy ends there. */
static bool copy_entry(struct sg_copy *c, const struct scatterlist *sg)
{
	const struct page *first = sg_page(sg);
	u64 off, len = sg->length;

	if (c->skip >= len) {
		c->skip -= len;
		return true;
	}
	if (!first || !first->map)
		return false;
	off = (page_index(first) << PAGE_SHIFT) + sg->offset + c->skip;
	len -= c->skip;
	c->skip = 0;
	while (len && c->left) {
		u64 in = off & (PAGE_SIZE - 1);
		size_t n = (size_t)HCA_MIN(HCA_MIN(len, PAGE_SIZE - in), (u64)c->left);
		struct page *page = page_from_offset(map_machine(first->map), off);
		u8 *at = page ? kmap_local_page(page) : NULL;

		if (!at)
			return false;
		copy_bytes(c, at + in, n);
		kunmap_local(at);
		off += n;
		len -= n;
	}
	return true;
}

static size_t copy_list(struct scatterlist *sgl, unsigned int nents, struct sg_copy *c)
{
	struct scatterlist *sg = sgl;
	unsigned int i;

	for (i = 0; i < nents && sg && c->left; i++, sg = sg_next(sg))
		if (!copy_entry(c, sg))
			break;
	return c->done;
}

size_t sg_pcopy_from_buffer(struct scatterlist *sgl, unsigned int nents, const void *buf, size_t buflen, u64 skip)
{
	struct sg_copy c = { .buf = (u8 *)buf, .left = buflen, .skip = skip, .to_list = true };

	return copy_list(sgl, nents, &c);
}

size_t sg_pcopy_to_buffer(struct scatterlist *sgl, unsigned int nents, void *buf, size_t buflen, u64 skip)
{
	struct sg_copy c = { .buf = buf, .left = buflen, .skip = skip, .to_list = false };

	return copy_list(sgl, nents, &c);
}
