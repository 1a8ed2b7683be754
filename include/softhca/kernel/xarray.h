/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pointers by number: xarray, and idr and ida, which stand on it. A lookup takes the array's lock unless the thread has it,
 * so it is right with and without RCU. What is stored is the caller's; the tree is the library's own memory, and is
 * gone with the last entry. Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_XARRAY_H
#define SOFTHCA_KERNEL_XARRAY_H

#include "softhca/err.h"
#include "softhca/kernel/lock.h"

#pragma GCC visibility push(default)

typedef unsigned int xa_mark_t;

/** struct xarray - @flags: XA_FLAGS_*. The rest is the library's. */
struct xarray {
	spinlock_t xa_lock;
	gfp_t flags;
	void *top;
	unsigned int height; /* levels of the tree */
};

#define XA_FLAGS_LOCK_IRQ 1u
#define XA_FLAGS_LOCK_BH 2u
#define XA_FLAGS_ALLOC 0x8000004u /* xa_alloc() may be called */
#define XA_FLAGS_ALLOC1 0xcu /* and never gives 0 */
#define XARRAY_INIT(name, how) \
	{ \
		.xa_lock = SOFTHCA_LOCK_INIT, .flags = (how) \
	}
#define DEFINE_XARRAY_FLAGS(name, how) struct xarray name = XARRAY_INIT(name, how)
#define DEFINE_XARRAY(name) DEFINE_XARRAY_FLAGS(name, 0)
#define DEFINE_XARRAY_ALLOC(name) DEFINE_XARRAY_FLAGS(name, XA_FLAGS_ALLOC)
#define DEFINE_XARRAY_ALLOC1(name) DEFINE_XARRAY_FLAGS(name, XA_FLAGS_ALLOC1)

#define SOFTHCA_XA_GIVES 4u /* a bit of these two, and of the second one alone */
#define SOFTHCA_XA_FROM_1 8u

/** struct xa_limit - the numbers that xa_alloc() may give, both included */
struct xa_limit {
	u32 max;
	u32 min;
};

#define XA_LIMIT(from, to) ((struct xa_limit){ .min = (from), .max = (to) })
#define xa_limit_32b XA_LIMIT(0, 0xffffffffu)
#define xa_limit_31b XA_LIMIT(0, 0x7fffffffu)
#define xa_limit_16b XA_LIMIT(0, 0xffffu)

void xa_init_flags(struct xarray *xa, gfp_t flags);

/** xa_load() - Return: the entry; NULL: none. Any context. */
void *xa_load(struct xarray *xa, unsigned long index);

/**
 * xa_store() - @entry, which may be NULL, stands at @index
 * Return: what stood there; xa_err() of it: -ENOMEM; -EINVAL: the pointer can't be stored.
 */
void *xa_store(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp);

/** xa_erase() - no entry stands at @index. Return: what stood there. Any context. */
void *xa_erase(struct xarray *xa, unsigned long index);

/** xa_insert() - Return: 0; -EBUSY: an entry stands there; -ENOMEM */
int xa_insert(struct xarray *xa, unsigned long index, void *entry, gfp_t gfp);

/** xa_cmpxchg() - @entry stands at @index if @old did. Return: as xa_store(). */
void *xa_cmpxchg(struct xarray *xa, unsigned long index, void *old, void *entry, gfp_t gfp);

/** xa_alloc() - @entry stands at the lowest free number. Return: 0, and the number in @id; -EBUSY: none is free; -ENOMEM. */
int xa_alloc(struct xarray *xa, u32 *id, void *entry, struct xa_limit limit, gfp_t gfp);

/** xa_alloc_cyclic() - at the first free one from @next on. Return: 0; 1: it began again at the lowest; -EBUSY; -ENOMEM. */
int xa_alloc_cyclic(struct xarray *xa, u32 *id, void *entry, struct xa_limit limit, u32 *next, gfp_t gfp);

/** xa_find() - the first entry from @index to @max, which is set to its number; xa_find_after(): after @index. NULL: none. */
void *xa_find(struct xarray *xa, unsigned long *index, unsigned long max, xa_mark_t filter);
void *xa_find_after(struct xarray *xa, unsigned long *index, unsigned long max, xa_mark_t filter);

/** xa_destroy() - no entries, and no tree; what they pointed to stays */
void xa_destroy(struct xarray *xa);

#pragma GCC visibility pop

#define XA_PRESENT 8u
#define xa_init(xa) xa_init_flags(xa, 0)
#define xa_empty(xa) (!__atomic_load_n(&(xa)->top, __ATOMIC_ACQUIRE))
#define xa_lock(xa) spin_lock(&(xa)->xa_lock)
#define xa_unlock(xa) spin_unlock(&(xa)->xa_lock)
#define xa_lock_irq(xa) xa_lock(xa)
#define xa_unlock_irq(xa) xa_unlock(xa)
#define xa_lock_bh(xa) xa_lock(xa)
#define xa_unlock_bh(xa) xa_unlock(xa)
#define xa_lock_irqsave(xa, flags) spin_lock_irqsave(&(xa)->xa_lock, flags)
#define xa_unlock_irqrestore(xa, flags) spin_unlock_irqrestore(&(xa)->xa_lock, flags)
/* Those with underscores are called with the lock held; none of the calls takes a lock that the thread has. */
#define __xa_store(xa, index, entry, gfp) xa_store(xa, index, entry, gfp)
#define __xa_erase(xa, index) xa_erase(xa, index)
#define __xa_insert(xa, index, entry, gfp) xa_insert(xa, index, entry, gfp)
#define __xa_cmpxchg(xa, index, old, entry, gfp) xa_cmpxchg(xa, index, old, entry, gfp)
#define __xa_alloc(xa, id, entry, limit, gfp) xa_alloc(xa, id, entry, limit, gfp)
#define xa_store_irq(xa, index, entry, gfp) xa_store(xa, index, entry, gfp)
#define xa_store_bh(xa, index, entry, gfp) xa_store(xa, index, entry, gfp)
#define xa_erase_irq(xa, index) xa_erase(xa, index)
#define xa_erase_bh(xa, index) xa_erase(xa, index)
#define xa_insert_irq(xa, index, entry, gfp) xa_insert(xa, index, entry, gfp)
#define xa_alloc_irq(xa, id, entry, limit, gfp) xa_alloc(xa, id, entry, limit, gfp)
#define xa_alloc_bh(xa, id, entry, limit, gfp) xa_alloc(xa, id, entry, limit, gfp)
#define xa_alloc_cyclic_irq(xa, id, entry, limit, next, gfp) xa_alloc_cyclic(xa, id, entry, limit, next, gfp)

/** xa_for_each() - all entries by number; they may be erased meanwhile */
#define xa_for_each_range(xa, index, entry, first, last) \
	for (index = (first), entry = xa_find(xa, &index, last, XA_PRESENT); entry; \
	     entry = xa_find_after(xa, &index, last, XA_PRESENT))
#define xa_for_each_start(xa, index, entry, first) xa_for_each_range(xa, index, entry, first, ~0ul)
#define xa_for_each(xa, index, entry) xa_for_each_start(xa, index, entry, 0)

/** xa_mk_value() - a number in an entry's place; xa_to_value() takes it out again */
static inline void *xa_mk_value(unsigned long v)
{
	return (void *)(uintptr_t)(v << 1 | 1);
}

static inline unsigned long xa_to_value(const void *entry)
{
	return (unsigned long)(uintptr_t)entry >> 1;
}

static inline bool xa_is_value(const void *entry)
{
	return (uintptr_t)entry & 1;
}

/* An error has its own form in an entry's place, as an error pointer might be stored by mistake. */
static inline void *softhca_xa_mk_err(int err)
{
	return (void *)(((uintptr_t)(intptr_t)err << 2) | 2);
}

static inline bool xa_is_err(const void *entry)
{
	return ((uintptr_t)entry & 3) == 2 && (uintptr_t)entry >= (uintptr_t)softhca_xa_mk_err(-HCA_MAX_ERRNO);
}

static inline int xa_err(void *entry)
{
	return xa_is_err(entry) ? (int)((intptr_t)entry >> 2) : 0;
}

/* --- idr: pointers by numbers that it gives --- */

struct idr {
	struct xarray xa;
	u32 base;
	u32 next;
};

#define IDR_INIT_BASE(name, from) \
	{ \
		.xa = XARRAY_INIT(name.xa, XA_FLAGS_ALLOC), .base = (from) \
	}
#define IDR_INIT(name) IDR_INIT_BASE(name, 0)
#define DEFINE_IDR(name) struct idr name = IDR_INIT(name)

#pragma GCC visibility push(default)

void idr_init_base(struct idr *idr, int base);

/** idr_alloc() - the lowest free number from @start to @end - 1 (0: no end). Return: it; -ENOSPC; -ENOMEM; -EINVAL. */
int idr_alloc(struct idr *idr, void *ptr, int start, int end, gfp_t gfp);

/** idr_alloc_cyclic() - the first free one after the last that it gave */
int idr_alloc_cyclic(struct idr *idr, void *ptr, int start, int end, gfp_t gfp);

/** idr_alloc_u32() - the lowest free number from *@id to @max; Return: 0, and it in *@id; or as idr_alloc() */
int idr_alloc_u32(struct idr *idr, void *ptr, u32 *id, unsigned long max, gfp_t gfp);

/** idr_replace() - Return: what stood there; -ENOENT as an error pointer: nothing */
void *idr_replace(struct idr *idr, void *ptr, unsigned long id);

/** idr_get_next() - the first entry from *@id on, which is set to its number; NULL: none */
void *idr_get_next(struct idr *idr, int *id);

/** idr_for_each() - @fn for each entry, until it doesn't return 0, which is returned then */
int idr_for_each(const struct idr *idr, int (*fn)(int id, void *p, void *data), void *data);

#pragma GCC visibility pop

#define idr_init(idr) idr_init_base(idr, 0)
#define idr_find(idr, id) xa_load(&(idr)->xa, id)
#define idr_remove(idr, id) xa_erase(&(idr)->xa, id)
#define idr_destroy(idr) xa_destroy(&(idr)->xa)
#define idr_is_empty(idr) xa_empty(&(idr)->xa)
#define idr_preload(gfp) ((void)(gfp))
#define idr_preload_end() ((void)0)
#define idr_for_each_entry(idr, entry, id) for (id = 0; (entry = idr_get_next(idr, &(id))) != NULL; id++)

/* --- ida: numbers alone --- */

struct ida {
	struct xarray xa;
};

#define IDA_INIT(name) \
	{ \
		.xa = XARRAY_INIT(name.xa, XA_FLAGS_ALLOC) \
	}
#define DEFINE_IDA(name) struct ida name = IDA_INIT(name)
#define ida_init(ida) xa_init_flags(&(ida)->xa, XA_FLAGS_ALLOC)

#pragma GCC visibility push(default)

/** ida_alloc_range() - the lowest free number from @min to @max. Return: it; -ENOSPC; -ENOMEM. */
int ida_alloc_range(struct ida *ida, unsigned int min, unsigned int max, gfp_t gfp);

/** ida_free() - one that isn't taken is reported */
void ida_free(struct ida *ida, unsigned int id);

#pragma GCC visibility pop

#define ida_alloc(ida, gfp) ida_alloc_range(ida, 0, 0x7fffffffu, gfp)
#define ida_alloc_min(ida, min, gfp) ida_alloc_range(ida, min, 0x7fffffffu, gfp)
#define ida_alloc_max(ida, max, gfp) ida_alloc_range(ida, 0, max, gfp)
#define ida_simple_get(ida, start, end, gfp) \
	ida_alloc_range(ida, start, (end) ? (unsigned int)(end)-1 : 0x7fffffffu, gfp)
#define ida_simple_remove(ida, id) ida_free(ida, id)
#define ida_destroy(ida) xa_destroy(&(ida)->xa)
#define ida_is_empty(ida) xa_empty(&(ida)->xa)

#endif
