/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Errors in a pointer's place, as in Linux: the highest 4,095 addresses, where there is no memory. */
#ifndef SOFTHCA_ERR_H
#define SOFTHCA_ERR_H

#include "softhca/hca_types.h"

/** ERR_PTR() - @error: negative errno */
static inline void *ERR_PTR(long error)
{
	return (void *)(intptr_t)error;
}

/** PTR_ERR() - the errno again */
static inline long PTR_ERR(const void *ptr)
{
	return (long)(intptr_t)ptr;
}

static inline bool IS_ERR(const void *ptr)
{
	return (uintptr_t)ptr >= (uintptr_t)-HCA_MAX_ERRNO;
}

static inline bool IS_ERR_OR_NULL(const void *ptr)
{
	return !ptr || IS_ERR(ptr);
}

/** PTR_ERR_OR_ZERO() - 0 for a pointer to something */
static inline int PTR_ERR_OR_ZERO(const void *ptr)
{
	return IS_ERR(ptr) ? (int)PTR_ERR(ptr) : 0;
}

#endif
