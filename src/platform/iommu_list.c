/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lists under the software IOMMU: one block of I/O addresses for the whole list, in
 * which entries that meet at page boundaries become one piece for the device, as far
 * as its limits allow. device.c calls it through platform_iommu, with lists that it
 * has checked. It must never write a mapped field before nothing can fail any more.
 */
#include "iommu.h"

/* The limits that the pieces keep to, and how far the layout has come. */
struct layout {
	u64 boundary; /* bytes; 0: none */
	u64 max_seg; /* bytes */
	u64 at; /* the next entry's page, bytes after the block's first */
	u64 start; /* of the piece that is growing, 0 for none... */
	u64 len; /* ...and its bytes */
};

static void layout_init(struct layout *l, const struct device *dev)
{
	l->boundary = dev->seg_boundary_mask + 1;
	l->max_seg = dev->max_seg_size ? dev->max_seg_size : ~0ull;
	l->at = 0;
	l->start = 0;
	l->len = 0;
}

static bool crosses(const struct layout *l, u64 start, u64 len)
{
	return l->boundary && (start ^ (start + len - 1)) & ~(l->boundary - 1);
}

/*
 * Places an entry. Return: the address of its first byte after the block's, and in @joins whether it
 * belongs to the piece before; ~0 if it would cross the boundary wherever it lay.
 */
static u64 layout_next(struct layout *l, const struct scatterlist *sg, bool *joins)
{
	u64 in = sg->offset % PAGE_SIZE, start = l->at + in, step = HCA_MAX(l->boundary, (u64)PAGE_SIZE);

	if (hca_unlikely(crosses(l, start, sg->length))) {
		start = (l->at + step - 1) / step * step + in;
		if (crosses(l, start, sg->length))
			return ~0ull;
	}
	*joins = SG_CAN_MERGE && l->len && start == l->start + l->len && !in && l->len + sg->length <= l->max_seg &&
		 !crosses(l, l->start, l->len + sg->length);
	if (*joins) {
		l->len += sg->length;
	} else {
		l->start = start;
		l->len = sg->length;
	}
	l->at = (start + sg->length + PAGE_SIZE - 1) >> PAGE_SHIFT << PAGE_SHIFT;
	return start;
}

/* Pages of the block that the list needs; 0 if the device's limits can't be kept. */
static u64 list_pages(const struct device *dev, struct scatterlist *sgl, int nents)
{
	struct scatterlist *sg;
	struct layout l;
	bool joins;
	int i;

	layout_init(&l, dev);
	for_each_sg(sgl, sg, nents, i)
		if (layout_next(&l, sg, &joins) == ~0ull)
			return 0;
	return l.at >> PAGE_SHIFT;
}

static void fill_entry(struct iommu_table *t, u64 vpn, u64 off, u64 len, u32 flags)
{
	u64 pages = iommu_pages(off, len);

	if (hca_likely(pages == 1))
		hca_store_release(iommu_table_page(t, vpn), off >> PAGE_SHIFT << IOPTE_SHIFT | flags);
	else
		iommu_table_fill(t, vpn, off >> PAGE_SHIFT, pages, flags);
}

/* Fills the page table and the mapped fields. Return: pieces. */
static int list_fill(struct iommu_domain *d, struct scatterlist *sgl, int nents, u64 vpn, u32 bits)
{
	const u64 base = vpn << PAGE_SHIFT;
	struct scatterlist *sg, *piece = sgl;
	struct layout l;
	bool joins = false;
	int i, pieces = 0;
	u64 at;

	layout_init(&l, d->dev);
	for_each_sg(sgl, sg, nents, i) {
		at = layout_next(&l, sg, &joins);
		/* The list's first entry is what makes it a mapping, so it comes last of all, below. */
		if (i)
			fill_entry(&d->table, vpn + (at >> PAGE_SHIFT), sg_entry_offset(d->m, sg), sg->length,
				   i == nents - 1 ? bits | IOPTE_LAST : bits);
		sg_set_mapped(sg, hca_dma_error(-ENOENT), 0);
		if (!joins)
			piece = pieces++ ? sg_next(piece) : sgl;
		sg_set_mapped(piece, hca_dma_addr(base + l.start), (unsigned int)l.len);
	}
	bits |= nents == 1 ? IOPTE_FIRST | IOPTE_LAST : IOPTE_FIRST;
	fill_entry(&d->table, vpn, sg_entry_offset(d->m, sgl), sgl->length, bits);
	return pieces;
}

static __attribute__((noinline)) HCA_COLD int refuse_crossing(const struct device *dev)
{
	return hca_refuse(-EINVAL, "%s: list refused: an entry lies across a boundary of 0x%llx bytes", dev->name,
			  (unsigned long long)dev->seg_boundary_mask + 1);
}

int iommu_map_list(struct device *dev, struct scatterlist *sgl, int nents, int dir, unsigned long attrs)
{
	struct iommu_domain *d = dev->platform;
	u64 pages = list_pages(dev, sgl, nents), vpn;
	unsigned int slot = hca_slot();

	(void)attrs;
	if (!pages)
		return refuse_crossing(dev);
	/* A block aligned to the boundary, or within one multiple of it, can be laid out as if it began at 0. */
	vpn = iommu_addresses(d, slot, pages, true, 0);
	if (vpn == IOVA_NONE)
		return iommu_no_addresses(d, pages);
	/* As if no entry got a 2 MiB leaf: one look for each 2 MiB of the block, and a table more at worst. */
	if (iommu_table_prepare(&d->table, vpn, vpn + 1, pages)) {
		iova_free(&d->iova, slot, vpn, pages);
		return -ENOMEM;
	}
	return list_fill(d, sgl, nents, vpn, iommu_access_bits(dir));
}

int iommu_unmap_list(struct device *dev, struct scatterlist *sgl, int nents, int dir, unsigned long attrs)
{
	(void)nents;
	(void)dir;
	(void)attrs;
	return iommu_end(dev->platform, hca_dma_u64(sg_dma_address(sgl)), 0) ? 0 : -ENOENT;
}
