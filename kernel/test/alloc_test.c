/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory that the DMA API allocates: what is done rightly with it is no misuse to the ledger, and a process and another
 * device can have it. And memory of a device's own, which the direct map may lack.
 */
#include "suites.h"

#include "dma/addr.h"

#include <linux/anon_inodes.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/ioport.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/uaccess.h>

#define BYTES (3 * PAGE_SIZE)

static struct fixture fixture;

static int open_ledger(void)
{
	int err = fixture_open(&fixture, false);

	if (!err) {
		err = softhca_ledger_set(fixture.soft, true);
		if (err)
			fixture_close(&fixture);
	}
	return err;
}

static void close_ledger(void)
{
	fixture_close(&fixture);
}

/* What the ledger counts: misuses of all kinds, or what lives. */
static u64 misuses(u64 *live)
{
	struct hca_ledger_totals tot = { 0 };
	u64 n = 0;
	int i;

	softhca_ledger_totals(fixture.soft, &tot);
	for (i = 0; i < HCA_MISUSE_KINDS; i++)
		n += tot.misuse[i];
	*live = tot.live;
	return n;
}

#define EXPECT_LEDGER(t, before, lives) \
	do { \
		u64 live_; \
\
		EXPECT_EQ(t, misuses(&live_), before); \
		EXPECT_EQ(t, live_, lives); \
	} while (0)

static void pages_that_are_not_coherent(struct ktest *t)
{
	struct device *dev = fixture.soft->dev;
	struct hca_mem *mem = &fixture.soft->soft.mem;
	u64 live, before = misuses(&live);
	struct page *page;
	dma_addr_t a;
	u8 c[16];
	int dir;

	for (dir = DMA_BIDIRECTIONAL; dir <= DMA_FROM_DEVICE; dir++) {
		page = dma_alloc_pages(dev, BYTES, &a, dir, GFP_KERNEL);
		EXPECT(t, page);
		if (!page)
			continue;
		EXPECT_LEDGER(t, before, live + 1);
		dma_sync_single_for_device(dev, a, BYTES, dir);
		if (dir != DMA_FROM_DEVICE)
			EXPECT_EQ(t, hca_mem_read(mem, hca_dma_addr(a + BYTES - 16), c, 16, NULL), 0);
		if (dir != DMA_TO_DEVICE)
			EXPECT_EQ(t, hca_mem_write(mem, hca_dma_addr(a), c, 16, NULL), 0);
		dma_sync_single_for_cpu(dev, a, BYTES, dir);
		dma_free_pages(dev, BYTES, page, a, dir);
		EXPECT_LEDGER(t, before, live);
	}
	/* A mistake is one all the same. */
	page = dma_alloc_pages(dev, BYTES, &a, DMA_TO_DEVICE, GFP_KERNEL);
	if (page) {
		hca_mem_write(mem, hca_dma_addr(a), c, 16, NULL);
		EXPECT_LEDGER(t, before + 1, live + 1);
		dma_free_pages(dev, BYTES, page, a, DMA_TO_DEVICE);
		EXPECT_LEDGER(t, before + 1, live);
	}
}

static void memory_that_is_not_contiguous(struct ktest *t)
{
	struct device *dev = fixture.soft->dev;
	u64 live, before = misuses(&live);
	struct sg_table *sgt;
	u8 c = 0;

	sgt = dma_alloc_noncontiguous(dev, BYTES, DMA_FROM_DEVICE, GFP_KERNEL, 0);
	EXPECT(t, sgt);
	if (!sgt)
		return;
	dma_sync_sgtable_for_device(dev, sgt, DMA_FROM_DEVICE);
	EXPECT_EQ(t, hca_mem_write(&fixture.soft->soft.mem, hca_dma_addr(sg_dma_address(sgt->sgl)), &c, 1, NULL), 0);
	dma_sync_sgtable_for_cpu(dev, sgt, DMA_FROM_DEVICE);
	EXPECT_LEDGER(t, before, live + 1);
	dma_free_noncontiguous(dev, BYTES, sgt, DMA_FROM_DEVICE);
	EXPECT_LEDGER(t, before, live);
}

static void unmap_through_a_copy_of_the_list(struct ktest *t)
{
	struct device *dev = fixture.soft->dev;
	u64 live, before = misuses(&live);
	struct page *page = alloc_pages(GFP_KERNEL, 1);
	struct scatterlist sgl[2], copy[2];

	EXPECT(t, page);
	if (!page)
		return;
	sg_init_table(sgl, 2);
	sg_set_page(&sgl[0], page, 100, 7);
	sg_set_page(&sgl[1], page, 100, PAGE_SIZE + 7); /* beyond its page, inside the allocation */
	EXPECT_EQ(t, dma_map_sg(dev, sgl, 2, DMA_TO_DEVICE), 2);
	memcpy(copy, sgl, sizeof(copy));
	dma_sync_sg_for_device(dev, copy, 2, DMA_TO_DEVICE);
	dma_unmap_sg(dev, copy, 2, DMA_TO_DEVICE);
	EXPECT_LEDGER(t, before, live);
	__free_pages(page, 1);
}

/* For another device, as dma-buf's exporters do it. */
static void table_of_coherent_memory(struct ktest *t)
{
	struct device *dev = fixture.soft->dev;
	struct sg_table sgt = {};
	dma_addr_t a;
	u8 *p = dma_alloc_coherent(dev, BYTES, &a, GFP_KERNEL);

	EXPECT(t, p);
	if (!p)
		return;
	EXPECT_EQ(t, dma_get_sgtable(dev, &sgt, p, a, BYTES), 0);
	if (sgt.sgl) {
		EXPECT_EQ(t, sgt.orig_nents, 1);
		EXPECT(t, sg_virt(sgt.sgl) == p);
		EXPECT_EQ(t, sgt.sgl->length, BYTES);
		sg_free_table(&sgt);
	}
	dma_free_coherent(dev, BYTES, p, a);
}

/* --- for a process --- */

struct shared {
	struct device *dev;
	void *virt;
	dma_addr_t addr;
};

static int map_shared(struct file *file, struct vm_area_struct *vma)
{
	struct shared *s = file->private_data;

	return dma_mmap_coherent(s->dev, vma, s->virt, s->addr, BYTES);
}

static const struct file_operations shared_file = {
	.owner = THIS_MODULE,
	.mmap = map_shared,
};

static void process_maps_coherent_memory(struct ktest *t)
{
	struct shared s = { .dev = fixture.soft->dev };
	unsigned long at, pages = BYTES >> PAGE_SHIFT;
	struct file *file;
	u32 word = 0;

	EXPECT(t, dma_can_mmap(s.dev));
	s.virt = dma_alloc_coherent(s.dev, BYTES, &s.addr, GFP_KERNEL);
	file = anon_inode_getfile("[softhca_test]", &shared_file, &s, O_RDWR);
	EXPECT(t, s.virt);
	EXPECT(t, !IS_ERR(file));
	if (!s.virt || IS_ERR(file))
		return;
	at = vm_mmap(file, 0, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	EXPECT(t, !IS_ERR_VALUE(at));
	if (!IS_ERR_VALUE(at)) {
		((u32 *)s.virt)[PAGE_SIZE / 4 + 3] = 77;
		EXPECT_EQ(t, copy_from_user(&word, (void __user *)(at + PAGE_SIZE + 12), 4), 0);
		EXPECT_EQ(t, word, 77);
		word = 78;
		EXPECT_EQ(t, copy_to_user((void __user *)(at + BYTES - 4), &word, 4), 0);
		EXPECT_EQ(t, ((u32 *)s.virt)[BYTES / 4 - 1], 78);
		vm_munmap(at, BYTES);
	}
	/* A part of it, and no more than there is. */
	at = vm_mmap(file, 0, PAGE_SIZE, PROT_READ, MAP_SHARED, PAGE_SIZE);
	EXPECT(t, !IS_ERR_VALUE(at));
	if (!IS_ERR_VALUE(at)) {
		EXPECT_EQ(t, copy_from_user(&word, (void __user *)(at + 12), 4), 0);
		EXPECT_EQ(t, word, 77);
		vm_munmap(at, PAGE_SIZE);
	}
	EXPECT_EQ(t, (long)vm_mmap(file, 0, BYTES, PROT_READ, MAP_SHARED, PAGE_SIZE), -ENXIO);
	EXPECT_EQ(t, (long)vm_mmap(file, 0, PAGE_SIZE, PROT_READ, MAP_SHARED, pages << PAGE_SHIFT), -ENXIO);
	fput(file);
	dma_free_coherent(s.dev, BYTES, s.virt, s.addr);
}

/* --- memory of a device's own --- */

#if IS_ENABLED(CONFIG_ZONE_DEVICE)
/* Physical addresses that no machine of ours has: pages of them are never touched here. */
#define OWN_BYTES (128ul << 20)
#define OWN_FROM (1ull << 36)
#define OWN_TO ((1ull << 38) - 1)

static vm_fault_t no_fault(struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

static void no_free(struct page *page)
{
}

static const struct dev_pagemap_ops own_ops = { .page_free = no_free, .migrate_to_ram = no_fault };

static void map_own(struct ktest *t, phys_addr_t at, bool usable)
{
	struct hca_mem *mem = &fixture.soft->soft.mem;
	struct device *dev = fixture.soft->dev;
	dma_addr_t a = dma_map_page(dev, pfn_to_page(PHYS_PFN(at)), 0, 16, DMA_TO_DEVICE);
	char c;

	EXPECT_EQ(t, dma_mapping_error(dev, a), usable ? 0 : -ENOMEM);
	if (usable) {
		dma_unmap_page(dev, a, 16, DMA_TO_DEVICE);
		return;
	}
	EXPECT_EQ(t, hca_mem_read(mem, hca_addr_from_ptr(__va(at)), &c, 1, NULL), -EFAULT);
	EXPECT_EQ(t, hca_mem_read(mem, hca_tag_addr(at), &c, 1, NULL), -EFAULT);
}

static void own_memory(struct ktest *t, enum memory_type type, bool usable)
{
	struct resource res = { .name = "softhca_test", .flags = IORESOURCE_MEM };
	struct dev_pagemap map = { .type = type, .nr_range = 1, .ops = &own_ops, .owner = &fixture };
	bool there;

	EXPECT_EQ(t, allocate_resource(&iomem_resource, &res, OWN_BYTES, OWN_FROM, OWN_TO, OWN_BYTES, NULL, NULL), 0);
	if (!res.parent)
		return;
	map.range.start = res.start;
	map.range.end = res.end;
	there = !IS_ERR(memremap_pages(&map, NUMA_NO_NODE));
	EXPECT(t, there);
	if (there) {
		map_own(t, res.start, usable);
		memunmap_pages(&map);
	}
	release_resource(&res);
}

/* A graphics card's own memory, and what a PCI device shows to its peers; of the same addresses, memory like any other. */
static void private_memory_is_refused(struct ktest *t)
{
	own_memory(t, MEMORY_DEVICE_GENERIC, true);
	own_memory(t, MEMORY_DEVICE_PCI_P2PDMA, false);
	if (IS_ENABLED(CONFIG_DEVICE_PRIVATE))
		own_memory(t, MEMORY_DEVICE_PRIVATE, false);
}
#else
static void private_memory_is_refused(struct ktest *t)
{
	t->skipped = "this kernel has no pages for memory of devices";
}
#endif

static const struct ktest_case cases[] = {
	{ "pages_that_are_not_coherent", pages_that_are_not_coherent },
	{ "memory_that_is_not_contiguous", memory_that_is_not_contiguous },
	{ "unmap_through_a_copy_of_the_list", unmap_through_a_copy_of_the_list },
	{ "table_of_coherent_memory", table_of_coherent_memory },
	{ "process_maps_coherent_memory", process_maps_coherent_memory },
	{ "private_memory_is_refused", private_memory_is_refused },
	{},
};

const struct ktest_suite suite_alloc = { "alloc", cases, open_ledger, close_ledger };
