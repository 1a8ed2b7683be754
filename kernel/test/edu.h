/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * QEMU's edu device as an adapter's DMA engine: each byte that the adapter reads or
 * writes is moved by the device, over its bus, through whatever IOMMU stands there.
 * The device carries bytes between the machine's memory and a buffer of its own, so a
 * window is a piece of coherent memory that the device fills before or empties after.
 */
#ifndef SOFTHCA_EDU_H
#define SOFTHCA_EDU_H

#include "dma/ledger.h"
#include "dma/mem.h"

#include <linux/pci.h>

#define EDU_WINDOWS 2

/* A window: where the adapter finds the bytes, and where they come from or go. */
struct edu_window {
	void *virt;
	dma_addr_t dma;
	dma_addr_t addr;
	u32 len;
	enum hca_mem_op access;
};

struct edu {
	struct hca_mem mem;
	struct pci_dev *pdev;
	struct device *dev; /* to map for */
	void __iomem *bar;
	struct edu_window window[EDU_WINDOWS];
	unsigned int open;
	u64 carried; /* bytes that went over the bus for windows */
};

/** edu_open() - Return: 0; -ENODEV: this machine has no such device; or another error */
int edu_open(struct edu *edu);
void edu_close(struct edu *edu);

#endif
