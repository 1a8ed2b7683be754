/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The suites of softhca_test.ko, and what its parameters told. */
#ifndef SOFTHCA_SUITES_H
#define SOFTHCA_SUITES_H

#include "ktest.h"
#include "fixture.h"

/** enum iommu - what stands between the bus and memory; the parameter iommu= says so */
enum iommu { IOMMU_NONE, IOMMU_PASS, IOMMU_LAZY, IOMMU_STRICT };

extern enum iommu test_iommu;

extern const struct ktest_suite suite_mapping, suite_loop, suite_bus, suite_matrix, suite_ledger, suite_alloc,
	suite_stale, suite_stress, suite_timing;

/** map_buffer() - a buffer for an adapter's device. Return: 0 or an errno */
static inline int map_buffer(struct adapter *a, struct buffer *b, enum dma_data_direction dir)
{
	return dma_map_sgtable(a->dev, &b->sgt, dir, 0);
}

static inline void unmap_buffer(struct adapter *a, struct buffer *b, enum dma_data_direction dir)
{
	dma_unmap_sgtable(a->dev, &b->sgt, dir, 0);
}

#endif
