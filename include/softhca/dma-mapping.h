/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The platform's mapping calls, dma_map_*(), for a device on a machine's bus.
 *
 * Verbs code calls ib_dma_*() (softhca/ib_dma.h) and lets the device decide; these are
 * the calls behind it for an adapter that does DMA. Names and argument orders are
 * Linux's. Any context unless noted otherwise: nothing here sleeps except the creation
 * of devices and coherent memory.
 */
#ifndef SOFTHCA_DMA_MAPPING_H
#define SOFTHCA_DMA_MAPPING_H

#include "softhca/scatterlist.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef hca_dma_addr_t dma_addr_t;

enum dma_data_direction {
	DMA_BIDIRECTIONAL = HCA_DMA_BIDIRECTIONAL,
	DMA_TO_DEVICE = HCA_DMA_TO_DEVICE,
	DMA_FROM_DEVICE = HCA_DMA_FROM_DEVICE,
	DMA_NONE = HCA_DMA_NONE,
};

/* One of the addresses that stand for an error; dma_mapping_error() recognises all of them. */
#define DMA_MAPPING_ERROR hca_dma_addr(~(u64)0)
#define DMA_BIT_MASK(n) ((n) == 64 ? ~(u64)0 : ((u64)1 << (n)) - 1)

/** DMA_ATTR_SKIP_CPU_SYNC - the mapping doesn't make the bytes visible; the caller syncs what it needs */
#define DMA_ATTR_SKIP_CPU_SYNC (1UL << 5)

struct machine;

/**
 * struct device - a device on a machine's bus
 * @machine: the machine
 * @dma_mask: the highest bus address it can send
 * @max_seg_size: the longest piece of a list it takes, bytes
 * @seg_boundary_mask: a piece of a list doesn't cross a multiple of this plus 1
 * @name: for messages and fault records
 * @platform: for the machine's platform
 * @parent: of a verbs device's, the device on the bus; else NULL
 */
struct device {
	struct machine *machine;
	u64 dma_mask;
	u32 max_seg_size;
	u64 seg_boundary_mask;
	char name[32];
	void *platform;
	struct device *parent;
};

/** dev_name() - its name, for messages */
static inline const char *dev_name(const struct device *dev)
{
	return dev->name;
}

/** struct device_attr - how a device is made; 0 anywhere asks for the default: 64-bit mask (bounce machine: 32), 2 GiB, 4 GiB - 1 */
struct device_attr {
	const char *name;
	u64 dma_mask;
	u32 max_seg_size;
	u64 seg_boundary_mask;
};

/** device_create() - put a device on the machine's bus. May sleep. Return: 0; -EINVAL for an unusable mask or limit; -ENOMEM. */
int device_create(struct machine *m, const struct device_attr *attr, struct device **out);

/** device_destroy() - remove it, with its I/O page table and its remaining mappings. May sleep. */
void device_destroy(struct device *dev);

/**
 * dma_map_page_attrs() - give a range of a page, or of pages that follow each other, to the device
 * @offset: bytes after the beginning of @page; may lie in a page that follows it
 * @size: bytes, at least 1
 * @dir: the device's access
 *
 * The device owns the bytes until the unmap or a sync for the CPU.
 * Return: a bus address, or an error for dma_mapping_error(): -EINVAL, -EFAULT (bad arguments: never worth a
 * retry; -EINVAL also beyond dma_max_mapping_size()), -ENOMEM (no table or pool memory left now), -ENOSPC (no I/O addresses left now), -EIO (beyond the
 * device's mask, on a platform that can't bounce).
 */
dma_addr_t dma_map_page_attrs(struct device *dev, struct page *page, size_t offset, size_t size,
			      enum dma_data_direction dir, unsigned long attrs);

/** dma_map_single_attrs() - the same for bytes in low memory */
dma_addr_t dma_map_single_attrs(struct device *dev, void *ptr, size_t size, enum dma_data_direction dir,
				unsigned long attrs);

/** dma_unmap_page_attrs() - the CPU owns the bytes again. The arguments are the map's; an address that was never mapped is logged only. */
void dma_unmap_page_attrs(struct device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
			  unsigned long attrs);

void dma_unmap_single_attrs(struct device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
			    unsigned long attrs);

/**
 * dma_map_sg_attrs() - give a list to the device
 * Return: the entries for the device, at least 1 and at most @nents; 0 for an error, and then no entry
 * is mapped. dma_map_sgtable() returns the error.
 */
int dma_map_sg_attrs(struct device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
		     unsigned long attrs);

/** dma_map_sgtable() - the same for a table, whose nents it sets. Return: 0, or -errno as dma_map_page_attrs(). */
int dma_map_sgtable(struct device *dev, struct sg_table *sgt, enum dma_data_direction dir, unsigned long attrs);

/** dma_unmap_sg_attrs() - with the @nents passed to the map, not the number that the map returned */
void dma_unmap_sg_attrs(struct device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
			unsigned long attrs);

void dma_sync_single_for_cpu(struct device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir);
void dma_sync_single_for_device(struct device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir);
void dma_sync_sg_for_cpu(struct device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir);
void dma_sync_sg_for_device(struct device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir);

/** dma_alloc_coherent() - zeroed low memory that CPU and device may access at once. May sleep if @gfp allows it. NULL if there is none. */
void *dma_alloc_coherent(struct device *dev, size_t size, dma_addr_t *handle, gfp_t gfp);
void dma_free_coherent(struct device *dev, size_t size, void *cpu_addr, dma_addr_t handle);

/**
 * dma_max_mapping_size() - the longest range that one mapping may cover, or one entry of a list, bytes
 *
 * Longer ranges are always refused with -EINVAL: ask once, and cut requests to it. On a bounce machine 256 KiB
 * for a device that doesn't reach all memory, under an IOMMU the size of the aperture, else all of memory.
 */
size_t dma_max_mapping_size(struct device *dev);

/** dma_mapping_error() - 0 for an address, the errno for an error */
static inline int dma_mapping_error(struct device *dev, dma_addr_t addr)
{
	(void)dev;
	return hca_dma_errno(addr);
}

static inline unsigned int dma_get_max_seg_size(const struct device *dev)
{
	return dev->max_seg_size;
}

/** dma_get_seg_boundary() - a piece of a mapped list doesn't cross a multiple of this plus 1 */
static inline u64 dma_get_seg_boundary(const struct device *dev)
{
	return dev->seg_boundary_mask;
}

/** enum fault_reason - why a device's access was refused */
enum fault_reason {
	FAULT_NOT_MAPPED, /* the address has no mapping */
	FAULT_NO_READ, /* it is mapped, but not for the device to read */
	FAULT_NO_WRITE, /* it is mapped, but not for the device to write */
	FAULT_NO_MEMORY, /* the bus address leads to no memory of this machine */
	FAULT_BEYOND_MASK, /* the device can't send this address */
};

/** fault_reason_str() - the reason in words */
const char *fault_reason_str(enum fault_reason reason);

/** struct bus_fault - one refused access. @access: 1 read, 2 write, 3 both; @serial counts from 1 */
struct bus_fault {
	u64 serial;
	char device[32];
	dma_addr_t addr;
	int access;
	enum fault_reason reason;
	u64 time_ns;
};

/**
 * machine_faults() - the latest fault records
 * @max: room in @buf; older ones are left out, 256 at most are kept
 * @total: faults since the machine was made, or NULL
 *
 * Return: how many were written, oldest first.
 */
int machine_faults(struct machine *m, struct bus_fault *buf, int max, u64 *total);

/** struct device_stats - a device's mappings; IOTLB and I/O address fields stay 0 without an IOMMU, pool fields without a pool */
struct device_stats {
	u64 maps; /* without single ones that ib_dma_map_single() answers inline, on a direct machine; @unmaps likewise */
	u64 unmaps;
	u64 refused_unmaps;
	u64 iotlb_hits;
	u64 iotlb_misses;
	u64 iotlb_invalidations;
	u64 iotlb_flushes;
	u64 lazy_pending; /* unmapped, but perhaps still in the IOTLB */
	u64 iova_pages; /* I/O pages in use, with the pending ones */
	u64 bounced; /* mappings that took room in the pool */
	u64 bounce_slots; /* slots in use now */
};

/** device_get_stats() - a snapshot */
void device_get_stats(struct device *dev, struct device_stats *st);

/** device_flush() - what lazy invalidation put off is done when this returns */
void device_flush(struct device *dev);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#define dma_map_single(d, p, s, r) dma_map_single_attrs(d, p, s, r, 0)
#define dma_unmap_single(d, a, s, r) dma_unmap_single_attrs(d, a, s, r, 0)
#define dma_map_page(d, p, o, s, r) dma_map_page_attrs(d, p, o, s, r, 0)
#define dma_unmap_page(d, a, s, r) dma_unmap_page_attrs(d, a, s, r, 0)
#define dma_map_sg(d, s, n, r) dma_map_sg_attrs(d, s, n, r, 0)
#define dma_unmap_sg(d, s, n, r) dma_unmap_sg_attrs(d, s, n, r, 0)

/** dma_unmap_sgtable() - the end of dma_map_sgtable() */
#define dma_unmap_sgtable(dev, sgt, dir, attrs) dma_unmap_sg_attrs(dev, (sgt)->sgl, (int)(sgt)->orig_nents, dir, attrs)

/* What an object keeps of a mapping for its unmap. */
#define DEFINE_DMA_UNMAP_ADDR(name) dma_addr_t name
#define DEFINE_DMA_UNMAP_LEN(name) u32 name
#define dma_unmap_addr(ptr, name) ((ptr)->name)
#define dma_unmap_addr_set(ptr, name, value) ((ptr)->name = (value))
#define dma_unmap_len(ptr, name) ((ptr)->name)
#define dma_unmap_len_set(ptr, name, value) ((ptr)->name = (value))

#endif
