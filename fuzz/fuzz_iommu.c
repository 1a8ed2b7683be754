/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The DMA device behind an IOMMU, strict or lazy; see fuzz_ops.h. */
#define FUZZ_SOFT false
#define FUZZ_PLATFORM MACHINE_IOMMU
#include "fuzz_ops.h"
