/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Buses on which an address is the physical one plus a constant: all of the direct
 * platform, and the part of the bounce platform that a device reaches by itself.
 * Included by those two alone.
 */
#ifndef PLATFORM_LINEAR_H
#define PLATFORM_LINEAR_H

#include "platform.h"

static inline hca_dma_addr_t linear_bus(const struct machine *m, u64 off)
{
	return hca_dma_addr(m->bus_base + off);
}

/** linear_offset() - arena offset behind a bus address; NO_MEMORY_HERE if none is */
static inline u64 linear_offset(const struct machine *m, hca_dma_addr_t addr)
{
	u64 off = hca_dma_u64(addr) - m->bus_base;

	return off < m->map.all_bytes ? off : NO_MEMORY_HERE;
}

/** linear_range() - does a range of bus addresses lead to memory, all of it? */
static inline bool linear_range(const struct machine *m, hca_dma_addr_t addr, u64 size)
{
	return hca_dma_in_range(hca_dma_u64(addr) - m->bus_base, size, m->map.all_bytes);
}

/** linear_reaches() - can the device send all addresses of a range of the arena? @size at least 1 */
static inline bool linear_reaches(const struct device *dev, u64 off, u64 size)
{
	return hca_dma_u64(linear_bus(dev->machine, off)) + (size - 1) <= dev->dma_mask;
}

int linear_open(struct device *dev, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w);
void linear_close(struct device *dev, struct hca_mem_view *w);
u64 linear_origin(struct device *dev, hca_dma_addr_t addr, u64 *len);

/** linear_alloc() - coherent memory. Return: 0; -ENOMEM; -EIO where the device can't reach what there was. */
int linear_alloc(struct device *dev, u64 size, gfp_t gfp, void **cpu, hca_dma_addr_t *handle);
int linear_free(struct device *dev, u64 size, void *cpu, hca_dma_addr_t handle);

/** linear_flush() - nothing is put off here */
void linear_flush(struct device *dev);

#endif
