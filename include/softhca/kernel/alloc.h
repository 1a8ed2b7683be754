/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * kmalloc() and its family: memory of the current machine. It is low memory, so it can be mapped for
 * any device. Memory whose size is a power of two is aligned to its size. Memory that is not
 * freed is reported, with its line, by machine_destroy(). Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_ALLOC_H
#define SOFTHCA_KERNEL_ALLOC_H

#include <string.h>

#include "softhca/ib_dma.h"
#include "softhca/kernel/lock.h"
#include "softhca/machine_kmalloc.h"

/**
 * kmalloc() - bytes of the current machine (machine_set_current())
 * @gfp: GFP_KERNEL, GFP_ATOMIC, ...; __GFP_ZERO
 *
 * Context: any; may sleep if @gfp does. Return: memory for kfree(); ZERO_SIZE_PTR for no bytes; NULL: no machine, or none left.
 */
#define kmalloc(size, gfp) softhca_alloc(size, gfp, IB_DMA_HERE)
#define kzalloc(size, gfp) softhca_alloc(size, (gfp) | __GFP_ZERO, IB_DMA_HERE)
#define kmalloc_array(n, size, gfp) softhca_alloc(softhca_array_size(n, size), gfp, IB_DMA_HERE)
#define kcalloc(n, size, gfp) softhca_alloc(softhca_array_size(n, size), (gfp) | __GFP_ZERO, IB_DMA_HERE)
#define kmalloc_node(size, gfp, node) ((void)(node), kmalloc(size, gfp))
#define kzalloc_node(size, gfp, node) ((void)(node), kzalloc(size, gfp))
#define kcalloc_node(n, size, gfp, node) ((void)(node), kcalloc(n, size, gfp))
/** krealloc() - as realloc() of C; the additional bytes are zeroed only with __GFP_ZERO */
#define krealloc(ptr, size, gfp) softhca_krealloc(ptr, size, gfp, IB_DMA_HERE)
/* All of this memory is contiguous in physical addresses. */
#define kvmalloc(size, gfp) kmalloc(size, gfp)
#define kvzalloc(size, gfp) kzalloc(size, gfp)
#define kvmalloc_array(n, size, gfp) kmalloc_array(n, size, gfp)
#define kvcalloc(n, size, gfp) kcalloc(n, size, gfp)
#define vmalloc(size) kmalloc(size, GFP_KERNEL)
#define vzalloc(size) kzalloc(size, GFP_KERNEL)
#define kmemdup(src, len, gfp) softhca_kmemdup(src, len, gfp, IB_DMA_HERE)
#define kstrdup(s, gfp) softhca_kstrdup(s, gfp, IB_DMA_HERE)

/* A thread that holds a spin lock must not make an allocation that may sleep. */
static inline void *softhca_alloc(size_t size, gfp_t gfp, hca_site_t site)
{
	if (gfp & GFP_KERNEL)
		softhca_might_sleep((const char *)site);
	return softhca_kmalloc(size, gfp, site);
}

static inline void kfree(const void *ptr)
{
	softhca_kfree(ptr);
}

static inline void kvfree(const void *ptr)
{
	softhca_kfree(ptr);
}

static inline void vfree(const void *ptr)
{
	softhca_kfree(ptr);
}

static inline size_t ksize(const void *ptr)
{
	return softhca_ksize(ptr);
}

/** kfree_sensitive() - zero the memory, then free it */
static inline void kfree_sensitive(const void *ptr)
{
	if (!ZERO_OR_NULL_PTR(ptr))
		memset((void *)(uintptr_t)ptr, 0, softhca_ksize(ptr));
	softhca_kfree(ptr);
}

/* A size that no machine has, for a product that overflows. */
static inline size_t softhca_array_size(size_t n, size_t size)
{
	size_t bytes;

	return __builtin_mul_overflow(n, size, &bytes) ? ~(size_t)0 : bytes;
}

static inline void *softhca_kmemdup(const void *src, size_t len, gfp_t gfp, hca_site_t site)
{
	void *to = softhca_alloc(len, gfp, site);

	return to && len ? memcpy(to, src, len) : to;
}

static inline char *softhca_kstrdup(const char *s, gfp_t gfp, hca_site_t site)
{
	return s ? (char *)softhca_kmemdup(s, strlen(s) + 1, gfp, site) : NULL;
}

/** struct kmem_cache - objects of one kind */
struct kmem_cache {
	const char *name;
	size_t size;
	void (*ctor)(void *object);
};

#define SLAB_HWCACHE_ALIGN 0x2000u
#define SLAB_PANIC 0x40000u

/** kmem_cache_create() - @align: up to the next power of two above @size; @flags: without effect */
static inline struct kmem_cache *kmem_cache_create(const char *name, unsigned int size, unsigned int align,
						   unsigned int flags, void (*ctor)(void *object))
{
	struct kmem_cache *c;

	(void)flags;
	if (size < align)
		size = align;
	c = (struct kmem_cache *)kmalloc(sizeof(*c), GFP_KERNEL);
	if (c)
		*c = (struct kmem_cache){ .name = name, .size = size, .ctor = ctor };
	return c;
}

#define KMEM_CACHE(type, flags) kmem_cache_create(#type, sizeof(struct type), __alignof__(struct type), flags, NULL)

static inline void *softhca_cache_alloc(struct kmem_cache *c, gfp_t gfp, hca_site_t site)
{
	void *object = softhca_alloc(c->size, gfp, site);

	if (object && c->ctor)
		c->ctor(object);
	return object;
}

#define kmem_cache_alloc(cache, gfp) softhca_cache_alloc(cache, gfp, IB_DMA_HERE)
#define kmem_cache_zalloc(cache, gfp) softhca_cache_alloc(cache, (gfp) | __GFP_ZERO, IB_DMA_HERE)

static inline void kmem_cache_free(struct kmem_cache *c, void *object)
{
	(void)c;
	softhca_kfree(object);
}

/** kmem_cache_destroy() - its objects were freed */
static inline void kmem_cache_destroy(struct kmem_cache *c)
{
	softhca_kfree(c);
}

/** free_pages() - free pages by the address that __get_free_pages() returned */
static inline unsigned long __get_free_pages(gfp_t gfp, unsigned int order)
{
	struct page *page = alloc_pages(gfp & ~__GFP_HIGHMEM, order);

	return page ? (unsigned long)(uintptr_t)page_address(page) : 0;
}

static inline unsigned long get_zeroed_page(gfp_t gfp)
{
	return __get_free_pages(gfp | __GFP_ZERO, 0);
}

static inline void free_pages(unsigned long addr, unsigned int order)
{
	if (addr)
		__free_pages(virt_to_page((const void *)(uintptr_t)addr), order);
}

#define __get_free_page(gfp) __get_free_pages(gfp, 0)
#define free_page(addr) free_pages(addr, 0)

#endif
