/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What only the files of src/ib share. */
#ifndef IB_PRIVATE_H
#define IB_PRIVATE_H

#include "dma/ledger.h"
#include "platform/platform.h"
#include "softhca/ib_dma.h"

static inline struct machine *ib_machine(const struct ib_device *dev)
{
	return dev->dma_device->machine;
}

/** ib_alloc_device() - zeroed memory for a driver's device. A page or more, which is aligned as struct ib_device asks. */
static inline void *ib_alloc_device(size_t size)
{
	return hca_alloc(HCA_MAX(size, (size_t)PAGE_SIZE), HCA_MAY_SLEEP);
}

/** ib_fill_ops() - the driver's ops without holes, into dev->filled. Return: 0 or -EINVAL. */
int ib_fill_ops(struct ib_device *dev);

/** ib_origin() - arena offset that a mapped address of this device stands for, *@len cut to what follows; NO_MEMORY_HERE if unknown */
u64 ib_origin(struct ib_device *dev, hca_dma_addr_t addr, u64 *len);

/* --- ib_guard.c: CPU writes into buffers that a device owns --- */
void ib_guard_add(struct ib_device *dev);
void ib_guard_del(struct ib_device *dev);

/** ib_guard_range() - what happens to the bytes at a DMA address; no effect on a device without guard */
void ib_guard_range(struct ib_device *dev, hca_dma_addr_t addr, u64 len, enum guard_how how);

/** ib_guard_poll() - report the writes that were caught since the last time */
void ib_guard_poll(struct ib_device *dev);

#endif
