/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The DMA device with a short mask, and copies; see fuzz_ops.h. */
#define FUZZ_SOFT false
#define FUZZ_PLATFORM MACHINE_BOUNCE
#include "fuzz_ops.h"
