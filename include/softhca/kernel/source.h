/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel's header names lead to. Beyond softhca/kernel.h: kernel sources have no errno, and name
 * members and variables so.
 */
#include "softhca/kernel.h"

#undef errno
