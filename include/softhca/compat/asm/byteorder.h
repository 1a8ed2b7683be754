/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Headers of the C library include this too. */
#include_next <asm/byteorder.h>
#include "softhca/hca_types.h"
