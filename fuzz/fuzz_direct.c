/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The DMA device on the direct platform; see fuzz_ops.h. */
#define FUZZ_SOFT false
#define FUZZ_PLATFORM MACHINE_DIRECT
#include "fuzz_ops.h"
