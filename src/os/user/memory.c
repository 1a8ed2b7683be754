/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The user os layer's memory. Small sizes are malloc's; from a page on they are page-aligned;
 * large ones come from the kernel page by page as they are touched, because a program may
 * register (and we may index) far more than it ever uses. Never clears a large block.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef HCA_ASAN
#define LARGE SIZE_MAX /* keep the red zones and the leak checker's view */
#else
#define LARGE ((size_t)256 << 10)
#endif

/* A large block; its address and size, outside of it, since it is page-aligned and its pages are the caller's. */
struct large {
	char *at;
	size_t size;
};

static struct hca_spinlock lock; /* the tree of struct large, by address */
static void *tree;

static int compare(const void *a, const void *b)
{
	const struct large *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static size_t page_size(void)
{
	static size_t size;
	size_t now = __atomic_load_n(&size, __ATOMIC_RELAXED);

	if (hca_unlikely(!now)) {
		now = (size_t)sysconf(_SC_PAGESIZE);
		__atomic_store_n(&size, now, __ATOMIC_RELAXED);
	}
	return now;
}

static void *alloc_large(size_t size)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	struct large *l = malloc(sizeof(*l));
	hca_irqflags_t irq;
	void *at, *node;

	if (!l)
		return NULL;
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
	l->at = at;
	l->size = size;
	if (at == MAP_FAILED) {
		free(l);
		return NULL;
	}
	hca_spin_lock(&lock, irq);
	node = tsearch(l, &tree, compare);
	hca_spin_unlock(&lock, irq);
	if (node)
		return at;
	munmap(at, size);
	free(l);
	return NULL;
}

static bool free_large(void *mem)
{
	struct large key = { .at = mem };
	struct large *l = NULL;
	hca_irqflags_t irq;
	void *node;

	hca_spin_lock(&lock, irq);
	node = tree ? tfind(&key, &tree, compare) : NULL;
	if (node) {
		l = *(struct large **)node;
		tdelete(l, &tree, compare);
	}
	hca_spin_unlock(&lock, irq);
	if (!l)
		return false;
	munmap(l->at, l->size);
	free(l);
	return true;
}

static void *alloc_pages(size_t size, size_t page)
{
	void *mem;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + page - 1) & ~(page - 1);
	if (size >= LARGE)
		return alloc_large(size);
	if (posix_memalign(&mem, page, size))
		return NULL;
	memset(mem, 0, size);
	return mem;
}

void *hca_alloc(size_t size, unsigned int flags)
{
	size_t page = page_size();
	void *mem;

	(void)flags; /* a thread of a process may always sleep */
	HCA_ASSERT(size);
	mem = size < page ? calloc(1, size) : alloc_pages(size, page);
	if (hca_unlikely(!mem))
		(void)hca_refuse(-ENOMEM, "no memory: %zu bytes", size);
	return mem;
}

void hca_free(void *mem)
{
	/* malloc may return a page-aligned address of its own, so only the tree can tell. */
	if (((uintptr_t)mem & (page_size() - 1)) || !mem || !free_large(mem))
		free(mem);
}
