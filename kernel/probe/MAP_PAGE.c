/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Mappings of a device may be taken over, page by page. Compiled by ../Kbuild, never linked. Where a kernel keeps no operations
 * for each device, set_dma_ops() is there and does nothing.
 */
#include <linux/dma-map-ops.h>

void probe(struct device *dev, const struct dma_map_ops *ops);

void probe(struct device *dev, const struct dma_map_ops *ops)
{
	(void)ops->map_page;
	set_dma_ops(dev, ops);
	(void)dev->dma_ops;
}
