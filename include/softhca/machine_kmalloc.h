/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Small pieces of a machine's pages: the basis of kmalloc() in softhca/kernel.h. */
#ifndef SOFTHCA_MACHINE_KMALLOC_H
#define SOFTHCA_MACHINE_KMALLOC_H

#include "softhca/hca_ledger.h"
#include "softhca/machine.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define ARCH_KMALLOC_MINALIGN 16u
#define ZERO_SIZE_PTR ((void *)16)
#define ZERO_OR_NULL_PTR(p) ((uintptr_t)(p) <= (uintptr_t)ZERO_SIZE_PTR)

/**
 * softhca_kmalloc() - see kmalloc()
 * @site: for reports of memory that is not freed; must stay valid
 */
void *softhca_kmalloc(size_t size, gfp_t gfp, hca_site_t site);

/** softhca_krealloc() - see krealloc() */
void *softhca_krealloc(const void *ptr, size_t size, gfp_t gfp, hca_site_t site);

/** kfree() - NULL is allowed. A pointer that isn't of kmalloc(), or was freed already, is refused, with a message. Any context. */
void softhca_kfree(const void *ptr);

/** ksize() - bytes that were asked for; 0 for NULL and for other memory than kmalloc()'s */
size_t softhca_ksize(const void *ptr);

/** softhca_kmalloc_live() - allocations of a machine that are not freed */
u64 softhca_kmalloc_live(struct machine *m);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
