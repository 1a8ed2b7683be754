/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The C library's headers include this too, so it brings types alone. */
#include_next <linux/types.h>
#include "softhca/hca_types.h"
