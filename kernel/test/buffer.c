/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Buffers of every shape; see fixture.h. */
#include "fixture.h"

#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/vmalloc.h>

const char *const shape_name[SHAPES] = {
	[SHAPE_LOW] = "low",	 [SHAPE_HIGH] = "high",	  [SHAPE_VMALLOC] = "vmalloc",
	[SHAPE_FOLIO] = "folio", [SHAPE_MIXED] = "mixed",
};

static struct page *get_pages(struct buffer *b, gfp_t gfp, unsigned int order)
{
	struct page *page = alloc_pages(gfp | (order ? __GFP_COMP : 0), order);

	if (page) {
		b->pages[b->npages] = page;
		b->order[b->npages++] = order;
	}
	return page;
}

static int add(struct buffer *b, struct page *page, unsigned int offset, unsigned int len)
{
	if (!page)
		return -ENOMEM;
	b->piece[b->pieces++] = (struct piece){ page, offset, len };
	b->total += len;
	return 0;
}

static int add_shape(struct buffer *b, enum shape shape)
{
	int err;

	switch (shape) {
	case SHAPE_LOW:
		return add(b, get_pages(b, GFP_KERNEL, 0), 40, 1000);
	case SHAPE_HIGH:
		return add(b, get_pages(b, GFP_HIGHUSER, 0), 3, 1501);
	case SHAPE_VMALLOC:
		b->vm = vmalloc(2 * PAGE_SIZE);
		if (!b->vm)
			return -ENOMEM;
		err = add(b, vmalloc_to_page(b->vm), 4000, 96);
		return err ? err : add(b, vmalloc_to_page(b->vm + PAGE_SIZE), 0, 904);
	case SHAPE_FOLIO:
		return add(b, get_pages(b, GFP_HIGHUSER, 2), 3000, 2500);
	default:
		return -EINVAL;
	}
}

int buffer_alloc(struct buffer *b, enum shape shape)
{
	struct scatterlist *sg;
	enum shape s;
	int err = 0, i;

	memset(b, 0, sizeof(*b));
	if (shape != SHAPE_MIXED)
		err = add_shape(b, shape);
	else
		for (s = 0; s < SHAPE_MIXED && !err; s++)
			err = add_shape(b, s);
	if (!err)
		err = sg_alloc_table(&b->sgt, b->pieces, GFP_KERNEL);
	if (err) {
		buffer_free(b);
		return err;
	}
	for_each_sgtable_sg(&b->sgt, sg, i)
		sg_set_page(sg, b->piece[i].page, b->piece[i].len, b->piece[i].offset);
	return 0;
}

void buffer_free(struct buffer *b)
{
	sg_free_table(&b->sgt);
	while (b->npages--)
		__free_pages(b->pages[b->npages], b->order[b->npages]);
	vfree(b->vm);
}

static u8 pattern(u32 seed, unsigned int at)
{
	return (u8)((seed + 1) * 31 + at * 7 + (at >> 8));
}

/*
 * Each page that a piece touches, byte by byte, in the same order whatever the piece's place: @inside gives the bytes of
 * the pieces, @outside the rest. Return: how many differ, or were set if @set.
 */
static unsigned int walk(const struct buffer *b, u32 inside, u32 outside, bool set)
{
	unsigned int i, k, at = 0, n = 0;

	for (i = 0; i < b->pieces; i++) {
		const struct piece *p = &b->piece[i];
		unsigned int first = p->offset / PAGE_SIZE, last = (p->offset + p->len - 1) / PAGE_SIZE, page;

		for (page = first; page <= last; page++) {
			u8 *v = kmap_local_page(nth_page(p->page, page));

			for (k = 0; k < PAGE_SIZE; k++) {
				unsigned int byte = page * PAGE_SIZE + k;
				bool in = byte >= p->offset && byte - p->offset < p->len;
				u8 want = in ? pattern(inside, at++) : (u8)(outside ^ 0x5a);

				n += set || v[k] != want;
				if (set)
					v[k] = want;
			}
			kunmap_local(v);
		}
	}
	return n;
}

void buffer_fill(struct buffer *b, u32 seed)
{
	walk(b, seed, seed, true);
}

unsigned int buffer_wrong(const struct buffer *b, u32 seed, u32 around)
{
	return walk(b, seed, around, false);
}

bool buffer_has_highmem(const struct buffer *b)
{
	unsigned int i;

	for (i = 0; i < b->pieces; i++)
		if (PageHighMem(b->piece[i].page))
			return true;
	return false;
}
