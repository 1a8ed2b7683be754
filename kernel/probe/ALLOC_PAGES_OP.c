/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The name that alloc_pages of struct dma_map_ops got later. Compiled by ../Kbuild, never linked. */
#include <linux/dma-map-ops.h>

const void *probe(const struct dma_map_ops *ops);

const void *probe(const struct dma_map_ops *ops)
{
	return ops->alloc_pages_op;
}
