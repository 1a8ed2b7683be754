/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dma_map_*() on a software adapter's device: what the addresses are, that every error
 * is one that dma_mapping_error() knows, and that the accessor reaches what was mapped
 * and nothing else.
 */
#include "suites.h"

#include "dma/addr.h"

#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

static struct fixture fixture;

static int open_rig(void)
{
	return fixture_open(&fixture, false);
}

static void close_rig(void)
{
	fixture_close(&fixture);
}

static void low_memory_keeps_its_virtual_address(struct ktest *t)
{
	struct device *dev = fixture.soft->dev;
	u8 *p = kmalloc(10000, GFP_KERNEL);
	dma_addr_t a, b;

	EXPECT(t, p);
	if (!p)
		return;
	a = dma_map_single(dev, p + 7, 9000, DMA_TO_DEVICE);
	EXPECT_EQ(t, dma_mapping_error(dev, a), 0);
	EXPECT_EQ(t, a, (u64)(uintptr_t)(p + 7));
	b = dma_map_page(dev, virt_to_page(p), offset_in_page(p), 1, DMA_FROM_DEVICE);
	EXPECT_EQ(t, b, (u64)(uintptr_t)p);
	dma_sync_single_for_cpu(dev, a, 9000, DMA_TO_DEVICE);
	dma_sync_single_for_device(dev, a, 9000, DMA_TO_DEVICE);
	dma_unmap_page(dev, b, 1, DMA_FROM_DEVICE);
	dma_unmap_single(dev, a, 9000, DMA_TO_DEVICE);
	kfree(p);
}

static void high_memory_is_tagged(struct ktest *t)
{
	struct device *dev = fixture.soft->dev;
	struct page *page = alloc_page(GFP_HIGHUSER);
	dma_addr_t a;

	EXPECT(t, page);
	if (!page)
		return;
	if (!PageHighMem(page)) {
		t->skipped = "no high memory here";
	} else {
		a = dma_map_page(dev, page, 5, 100, DMA_BIDIRECTIONAL);
		EXPECT_EQ(t, dma_mapping_error(dev, a), 0);
		EXPECT(t, hca_addr_tagged(hca_dma_addr(a)));
		EXPECT_EQ(t, hca_tag_phys(hca_dma_addr(a)), (u64)page_to_phys(page) + 5);
		dma_unmap_page(dev, a, 100, DMA_BIDIRECTIONAL);
	}
	__free_page(page);
}

/* A tagged address works for any page: the accessor maps it, cuts at its end, and goes on with the next. */
static void accessor_reaches_tagged_pages(struct ktest *t)
{
	struct page *page = alloc_pages(GFP_HIGHUSER | __GFP_COMP, 1);
	static const char text[] = "over the border of two pages";
	hca_dma_addr_t at;
	char back[sizeof(text)];

	EXPECT(t, page);
	if (!page)
		return;
	at = hca_tag_addr((u64)page_to_phys(page) + PAGE_SIZE - 9);
	EXPECT_EQ(t, hca_mem_write(&fixture.soft->soft.mem, at, text, sizeof(text), NULL), 0);
	EXPECT_EQ(t, hca_mem_read(&fixture.soft->soft.mem, at, back, sizeof(text), NULL), 0);
	EXPECT(t, !memcmp(back, text, sizeof(text)));
	memcpy_from_page(back, page, PAGE_SIZE - 9, 9);
	memcpy_from_page(back + 9, nth_page(page, 1), 0, sizeof(text) - 9);
	EXPECT(t, !memcmp(back, text, sizeof(text)));
	__free_pages(page, 1);
}

static void accessor_refuses_what_is_not_memory(struct ktest *t)
{
	struct hca_mem *mem = &fixture.soft->soft.mem;
	void *vm = vmalloc(PAGE_SIZE);
	const u64 bad[] = {
		0,
		8,
		0x400000, /* of a process */
		(u64)(uintptr_t)vm,
		(u64)(uintptr_t)&fixture, /* of a module */
		~0ull,
		~0ull - 8,
		(u64)(uintptr_t)high_memory - 4,
		1ull << 47,
		1ull << 32,
		hca_dma_u64(hca_tag_addr(HCA_TAG_PHYS_MASK - 7)),
		(HCA_TAG + 1) << HCA_TAG_SHIFT,
	};
	char c[8];
	int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		/* Where a word has 64 bits, all of low memory may end at the last byte that has a page. */
		EXPECT_EQ(t, hca_mem_read(mem, hca_dma_addr(bad[i]), c, 8, NULL), -EFAULT);
		EXPECT_EQ(t, hca_mem_write(mem, hca_dma_addr(bad[i]), c, 8, NULL), -EFAULT);
	}
	vfree(vm);
}

static void map_errors_are_reported(struct ktest *t)
{
	struct device *dev = fixture.soft->dev;
	const struct dma_map_ops *ops = get_dma_ops(dev);
	struct page *page = alloc_page(GFP_KERNEL);
	const struct {
		unsigned long offset;
		size_t size;
		int dir;
	} bad[] = {
		{ 0, 0, DMA_TO_DEVICE }, /* no bytes */
		{ 0, 1, DMA_NONE },
		{ 0, 1, 7 },
		{ 0, (size_t)-1, DMA_TO_DEVICE }, /* more than there is */
		{ 100, (size_t)-50, DMA_TO_DEVICE }, /* and around */
		{ 0, SIZE_MAX / 2, DMA_TO_DEVICE },
	};
	dma_addr_t a;
	int i;

	EXPECT(t, page);
	if (!page)
		return;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		a = ops->map_page(dev, page, bad[i].offset, bad[i].size, (enum dma_data_direction)bad[i].dir, 0);
		EXPECT_EQ(t, dma_mapping_error(dev, a), -ENOMEM);
	}
	a = ops->map_page(dev, page, 0, PAGE_SIZE, DMA_TO_DEVICE, 0);
	EXPECT_EQ(t, dma_mapping_error(dev, a), 0);
	__free_page(page);
}

/* From the last page of low memory into the first of high memory: two places for the CPU, never one mapping. */
static void no_mapping_leaves_low_memory(struct ktest *t)
{
	struct device *dev = fixture.soft->dev;
	struct page *last = virt_to_page((void *)((unsigned long)high_memory - 1));
	dma_addr_t a;

	a = dma_map_page(dev, last, PAGE_SIZE - 8, 16, DMA_TO_DEVICE);
	EXPECT_EQ(t, dma_mapping_error(dev, a), -ENOMEM);
	a = dma_map_page(dev, last, PAGE_SIZE - 8, 8, DMA_TO_DEVICE);
	EXPECT_EQ(t, dma_mapping_error(dev, a), 0);
}

static void lists_are_mapped_in_place(struct ktest *t)
{
	struct device *dev = fixture.soft->dev;
	struct scatterlist *sg;
	struct buffer b;
	int i, n = 0;

	EXPECT_EQ(t, buffer_alloc(&b, SHAPE_MIXED), 0);
	if (!b.pieces)
		return;
	EXPECT_EQ(t, dma_map_sgtable(dev, &b.sgt, DMA_TO_DEVICE, 0), 0);
	EXPECT_EQ(t, b.sgt.nents, b.pieces);
	for_each_sgtable_dma_sg(&b.sgt, sg, i) {
		const struct piece *p = &b.piece[i];
		hca_dma_addr_t want = PageHighMem(p->page) ? hca_tag_addr((u64)page_to_phys(p->page) + p->offset) :
							     hca_addr_from_ptr(page_address(p->page) + p->offset);

		EXPECT_EQ(t, sg_dma_address(sg), hca_dma_u64(want));
		EXPECT_EQ(t, sg_dma_len(sg), p->len);
		n++;
	}
	EXPECT_EQ(t, n, b.pieces);
	dma_sync_sgtable_for_cpu(dev, &b.sgt, DMA_TO_DEVICE);
	dma_unmap_sgtable(dev, &b.sgt, DMA_TO_DEVICE, 0);
	b.sgt.sgl[2].length = 0;
	EXPECT_EQ(t, dma_map_sgtable(dev, &b.sgt, DMA_TO_DEVICE, 0), -EINVAL);
	EXPECT_EQ(t, dma_map_sg(dev, b.sgt.sgl, b.sgt.orig_nents, DMA_TO_DEVICE), 0);
	buffer_free(&b);
}

static void high_memory_can_be_refused(struct ktest *t)
{
	struct softhca_attr attr = { .highmem = HCA_SOFT_REFUSE, .max_qp = 1, .max_keys = 1 };
	struct page *low = alloc_page(GFP_KERNEL);
	struct softhca *s = NULL;
	struct buffer b;
	dma_addr_t a;

	EXPECT_EQ(t, buffer_alloc(&b, SHAPE_MIXED), 0);
	EXPECT_EQ(t, softhca_create(&attr, &s), 0);
	if (!s || !b.pieces || !low)
		return;
	a = dma_map_page(s->dev, low, 0, PAGE_SIZE, DMA_TO_DEVICE);
	EXPECT_EQ(t, dma_mapping_error(s->dev, a), 0);
	if (!buffer_has_highmem(&b)) {
		t->skipped = "no high memory here";
	} else {
		a = dma_map_page(s->dev, b.piece[1].page, 0, 100, DMA_TO_DEVICE);
		EXPECT_EQ(t, dma_mapping_error(s->dev, a), -ENOMEM);
		EXPECT_EQ(t, dma_map_sgtable(s->dev, &b.sgt, DMA_TO_DEVICE, 0), -EIO);
	}
	__free_page(low);
	buffer_free(&b);
	EXPECT_EQ(t, softhca_destroy(s), 0);
}

static void coherent_memory(struct ktest *t)
{
	const size_t sizes[] = { 1, PAGE_SIZE, 3 * PAGE_SIZE + 5, 256 << 10 };
	struct device *dev = fixture.soft->dev;
	dma_addr_t a;
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		u8 *p = dma_alloc_coherent(dev, sizes[i], &a, GFP_KERNEL), c = 1;

		EXPECT(t, p);
		if (!p)
			continue;
		EXPECT(t, !memchr_inv(p, 0, sizes[i]));
		p[sizes[i] - 1] = 77;
		EXPECT_EQ(t, hca_mem_read(&fixture.soft->soft.mem, hca_dma_addr(a + sizes[i] - 1), &c, 1, NULL), 0);
		EXPECT_EQ(t, c, 77);
		dma_free_coherent(dev, sizes[i], p, a);
	}
	EXPECT(t, !dma_alloc_coherent(dev, SIZE_MAX - PAGE_SIZE, &a, GFP_KERNEL | __GFP_NOWARN));
}

static void noncoherent_pages(struct ktest *t)
{
	struct device *dev = fixture.soft->dev;
	struct page *page;
	dma_addr_t a;

	page = dma_alloc_pages(dev, 2 * PAGE_SIZE, &a, DMA_BIDIRECTIONAL, GFP_KERNEL);
	EXPECT(t, page);
	if (!page)
		return;
	EXPECT_EQ(t, a, (u64)(uintptr_t)page_address(page));
	dma_free_pages(dev, 2 * PAGE_SIZE, page, a, DMA_BIDIRECTIONAL);
}

static void masks_and_limits(struct ktest *t)
{
	struct device *dev = fixture.soft->dev;

	EXPECT(t, dma_set_mask(dev, DMA_BIT_MASK(32)) < 0);
	EXPECT_EQ(t, dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64)), 0);
	EXPECT_EQ(t, dma_get_required_mask(dev), DMA_BIT_MASK(8 * sizeof(dma_addr_t)));
	EXPECT_EQ(t, dma_get_max_seg_size(dev), UINT_MAX);
	EXPECT(t, dma_max_mapping_size(dev) >= 1u << 30);
}

static const struct ktest_case cases[] = {
	{ "low_memory_keeps_its_virtual_address", low_memory_keeps_its_virtual_address },
	{ "high_memory_is_tagged", high_memory_is_tagged },
	{ "accessor_reaches_tagged_pages", accessor_reaches_tagged_pages },
	{ "accessor_refuses_what_is_not_memory", accessor_refuses_what_is_not_memory },
	{ "map_errors_are_reported", map_errors_are_reported },
	{ "no_mapping_leaves_low_memory", no_mapping_leaves_low_memory },
	{ "lists_are_mapped_in_place", lists_are_mapped_in_place },
	{ "high_memory_can_be_refused", high_memory_can_be_refused },
	{ "coherent_memory", coherent_memory },
	{ "noncoherent_pages", noncoherent_pages },
	{ "masks_and_limits", masks_and_limits },
	{},
};

const struct ktest_suite suite_mapping = { "mapping", cases, open_rig, close_rig };
