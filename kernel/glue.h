/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of the module share; not for its users. */
#ifndef SOFTHCA_GLUE_H
#define SOFTHCA_GLUE_H

#include "softhca.h"

#include <linux/dma-map-ops.h>

/* memory.c: the memory of this machine, for the accessor */
extern const struct hca_soft_ops softhca_soft_ops;

/** softhca_usable() - is there memory that a device may touch? */
bool softhca_usable(unsigned long pfn);

/* map.c: mapping without and with a ledger */
extern const struct dma_map_ops softhca_map_ops;

static inline struct softhca *softhca_of(struct device *dev)
{
	return dev_get_drvdata(dev);
}

dma_addr_t softhca_map_page(struct device *dev, struct page *page, unsigned long offset, size_t size,
			    enum dma_data_direction dir, unsigned long attrs);
int softhca_map_sg(struct device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
		   unsigned long attrs);
void *softhca_alloc(struct device *dev, size_t size, dma_addr_t *handle, gfp_t gfp, unsigned long attrs);
void softhca_free(struct device *dev, size_t size, void *virt, dma_addr_t handle, unsigned long attrs);
struct page *softhca_alloc_pages(struct device *dev, size_t size, dma_addr_t *handle, enum dma_data_direction dir,
				 gfp_t gfp);
void softhca_free_pages(struct device *dev, size_t size, struct page *page, dma_addr_t handle,
			enum dma_data_direction dir);
int softhca_mmap(struct device *dev, struct vm_area_struct *vma, void *virt, dma_addr_t handle, size_t size,
		 unsigned long attrs);
int softhca_get_sgtable(struct device *dev, struct sg_table *sgt, void *virt, dma_addr_t handle, size_t size,
			unsigned long attrs);
int softhca_dma_supported(struct device *dev, u64 mask);
u64 softhca_required_mask(struct device *dev);

/* map_ledger.c */
extern const struct dma_map_ops softhca_map_ops_ledger;

/* ledger.c */
void softhca_ledger_init(struct softhca *s);
void softhca_ledger_fini(struct softhca *s);
void softhca_debugfs_init(void);
void softhca_debugfs_exit(void);

#endif
