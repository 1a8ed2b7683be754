/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A machine with an IOMMU, a device on it, and whether that device reaches a byte: shared by the tests of the software
 * IOMMU. Nothing here looks into it.
 */
#ifndef TEST_PLATFORM_IOMMU_H
#define TEST_PLATFORM_IOMMU_H

#include "test_platform.h"

static inline struct machine *make_machine(bool lazy, u64 aperture)
{
	struct machine_attr a = { .low_bytes = 16 * MIB, .high_bytes = 8 * MIB, .platform = MACHINE_IOMMU };
	struct machine *m;

	a.iommu_lazy = lazy;
	a.iommu_aperture = aperture;
	assert_int_equal(machine_create(&a, &m), 0);
	return m;
}

static inline struct device *make_device(struct machine *m, u64 mask)
{
	struct device_attr a = { .name = "dev", .dma_mask = mask };
	struct device *dev;

	assert_int_equal(device_create(m, &a, &dev), 0);
	return dev;
}

static inline struct device *make(bool lazy, u64 aperture)
{
	return make_device(make_machine(lazy, aperture), 0);
}

static inline void unmake(struct device *dev)
{
	struct machine *m = dev->machine;

	device_destroy(dev);
	assert_int_equal(machine_destroy(m), 0);
	assert_int_equal(test_leaks(), 0);
}

static inline dma_addr_t map(struct device *dev, u64 off, u64 size, int dir)
{
	dma_addr_t addr = platform_map(dev, off, size, dir, 0);

	assert_int_equal(dma_mapping_error(dev, addr), 0);
	return addr;
}

static inline void unmap(struct device *dev, dma_addr_t addr)
{
	assert_int_equal(platform_unmap(dev, addr, 1, DMA_BIDIRECTIONAL, 0), 0);
}

static inline u64 faults(struct device *dev, struct bus_fault *last)
{
	u64 total;

	machine_faults(dev->machine, last, 1, &total);
	return total;
}

/* The device's access is refused, with this reason, and recorded once. */
static inline void refused(struct device *dev, dma_addr_t addr, enum hca_mem_op access, enum fault_reason reason)
{
	struct hca_mem_view w;
	struct bus_fault f;
	u64 before = faults(dev, &f);

	assert_int_equal(dev->machine->ops->open(dev, addr, 1, access, &w), -EFAULT);
	assert_int_equal(faults(dev, &f), before + 1);
	assert_true(f.addr == addr);
	assert_int_equal(f.access, access >> HCA_MEM_OP_SHIFT);
	assert_int_equal(f.reason, reason);
	assert_string_equal(f.device, "dev");
}

/* The device reaches exactly this byte of the arena. */
static inline void reaches(struct device *dev, dma_addr_t addr, enum hca_mem_op access, u64 off)
{
	struct hca_mem_view w;

	assert_int_equal(dev->machine->ops->open(dev, addr, 1, access, &w), 0);
	assert_ptr_equal(w.ptr, machine_bus_ptr(dev->machine, off));
	assert_int_equal(w.len, 1);
	dev->machine->ops->close(dev, &w);
}

#endif
