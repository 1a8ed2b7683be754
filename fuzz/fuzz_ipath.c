/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The software device, tagging or refusing high memory; see fuzz_ops.h. */
#define FUZZ_SOFT true
#define FUZZ_PLATFORM MACHINE_DIRECT
#include "fuzz_ops.h"
