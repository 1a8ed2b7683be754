/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The C library's headers include this too, so it brings types alone. A build that defines __KERNEL__, as the kernel's
 * own builds do, gets the short names from here, where the kernel has them.
 */
#ifndef SOFTHCA_COMPAT_LINUX_TYPES_H
#define SOFTHCA_COMPAT_LINUX_TYPES_H

#include_next <linux/types.h>

#ifdef __KERNEL__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
#endif

#include "softhca/hca_types.h"

#endif
