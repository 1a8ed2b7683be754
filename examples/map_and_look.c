/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One list, two adapters: what a mapped address is on each, and that the bytes arrive all the same.
 *
 *	cc map_and_look.c $(pkg-config --cflags --libs softhca) -o map_and_look
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <softhca/ib_dma.h>

#define ENTRIES 3
#define LEN 6000u

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "map_and_look: %s failed\n", what);
	exit(1);
}

/* Three pieces of memory: a whole page, a piece of a second one, and a piece of high memory. */
static void make_list(struct scatterlist *sgl, struct page **page)
{
	sg_init_table(sgl, ENTRIES);
	sg_set_page(&sgl[0], page[0], 4096, 0);
	sg_set_page(&sgl[1], page[1], 1000, 24);
	sg_set_page(&sgl[2], page[2], LEN - 4096 - 1000, 100);
}

static void alloc_three(struct machine *m, struct page **page)
{
	page[0] = machine_alloc_pages(m, GFP_KERNEL, 0);
	page[1] = machine_alloc_pages(m, GFP_KERNEL, 0);
	page[2] = machine_alloc_pages(m, GFP_HIGHUSER, 0);
	need(page[0] && page[1] && page[2], "alloc_pages");
}

static void look(struct ib_device *ib, struct scatterlist *sgl, int n)
{
	struct scatterlist *sg;
	int i;

	printf("%s sees %d of %d entries:\n", ib->name, n, ENTRIES);
	for_each_sg(sgl, sg, n, i)
		printf("  %5u bytes at 0x%llx\n", ib_sg_dma_len(ib, sg),
		       (unsigned long long)hca_dma_u64(ib_sg_dma_address(ib, sg)));
}

/* What a work request comes to: each adapter reaches memory by its own addresses alone. */
static void move(struct ib_device *to, struct scatterlist *dst, struct ib_device *from, struct scatterlist *src)
{
	u32 left = LEN, din = 0, sin = 0;

	while (left) {
		u32 dn = ib_sg_dma_len(to, dst) - din, sn = ib_sg_dma_len(from, src) - sin;
		u32 n = dn < sn ? dn : sn;

		need(!ib_dma_copy(to, ib_sg_dma_address(to, dst) + din, from, ib_sg_dma_address(from, src) + sin, n),
		     "ib_dma_copy");
		left -= n;
		din += n;
		sin += n;
		if (n == dn && left) {
			dst = sg_next(dst);
			din = 0;
		}
		if (n == sn && left) {
			src = sg_next(src);
			sin = 0;
		}
	}
}

int main(void)
{
	struct machine_attr attr;
	struct device_attr dma_attr, soft_attr;
	struct ib_dma_config config;
	struct scatterlist src[ENTRIES], dst[ENTRIES];
	struct page *from[ENTRIES], *to[ENTRIES];
	struct device *dma_dev, *soft_dev;
	struct ib_device *dma, *soft;
	struct machine *m;
	char sent[LEN], got[LEN];
	u64 faults;
	u32 i;
	int n;

	memset(&attr, 0, sizeof(attr));
	attr.name = "example";
	attr.platform = MACHINE_IOMMU;
	attr.low_bytes = 4 << 20;
	attr.high_bytes = 4 << 20;
	need(!machine_create(&attr, &m), "machine_create");

	memset(&dma_attr, 0, sizeof(dma_attr));
	memset(&soft_attr, 0, sizeof(soft_attr));
	memset(&config, 0, sizeof(config));
	config.ledger = true;
	dma_attr.name = "bus-dma";
	soft_attr.name = "bus-soft";
	need(!device_create(m, &dma_attr, &dma_dev) && !device_create(m, &soft_attr, &soft_dev), "device_create");
	need(!dmahca_create(dma_dev, "dmahca0", &config, &dma), "dmahca_create");
	need(!ipath_create(soft_dev, "ipath0", IPATH_HIGHMEM_TAGGED, &config, &soft), "ipath_create");

	for (i = 0; i < LEN; i++)
		sent[i] = (char)(i * 7);
	alloc_three(m, from);
	alloc_three(m, to);
	make_list(src, from);
	make_list(dst, to);
	sg_copy_from_buffer(src, ENTRIES, sent, LEN);

	n = ib_dma_map_sg(dma, src, ENTRIES, DMA_TO_DEVICE);
	need(n > 0, "ib_dma_map_sg");
	look(dma, src, n);
	n = ib_dma_map_sg(soft, dst, ENTRIES, DMA_FROM_DEVICE);
	need(n > 0, "ib_dma_map_sg");
	look(soft, dst, n);
	move(soft, dst, dma, src);
	ib_dma_unmap_sg(soft, dst, ENTRIES, DMA_FROM_DEVICE);
	ib_dma_unmap_sg(dma, src, ENTRIES, DMA_TO_DEVICE);

	sg_copy_to_buffer(dst, ENTRIES, got, LEN);
	need(!memcmp(sent, got, LEN), "the comparison");
	for (i = 0; i < ENTRIES; i++) {
		__free_pages(from[i], 0);
		__free_pages(to[i], 0);
	}
	machine_faults(m, NULL, 0, &faults);
	printf("%u bytes arrived; %llu faults, %llu leaks\n", LEN, (unsigned long long)faults,
	       (unsigned long long)(dmahca_destroy(dma) + ipath_destroy(soft)));
	device_destroy(dma_dev);
	device_destroy(soft_dev);
	need(!machine_destroy(m), "machine_destroy");
	return 0;
}
