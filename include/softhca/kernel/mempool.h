/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Objects of which some are kept for hard times (mempool), and rings of bytes (kfifo). Included by softhca/kernel.h. */
#ifndef SOFTHCA_KERNEL_MEMPOOL_H
#define SOFTHCA_KERNEL_MEMPOOL_H

#include "softhca/kernel/alloc.h"
#include "softhca/kernel/wait.h"

#pragma GCC visibility push(default)

typedef void *mempool_alloc_t(gfp_t gfp, void *pool_data);
typedef void mempool_free_t(void *element, void *pool_data);

/** mempool_t - @min_nr: objects that are kept; the rest is the library's */
typedef struct mempool_s {
	int min_nr;
	int curr_nr;
	void **elements;
	void *pool_data;
	mempool_alloc_t *alloc;
	mempool_free_t *free;
	pthread_mutex_t lock; /* curr_nr and elements */
	struct wait_queue_head wait;
} mempool_t;

/** mempool_init() - a pool in the caller's memory, filled. May sleep. Return: 0 or -ENOMEM. mempool_exit() ends it. */
int mempool_init(mempool_t *pool, int min_nr, mempool_alloc_t *alloc_fn, mempool_free_t *free_fn, void *pool_data);
void mempool_exit(mempool_t *pool);

/** mempool_create() - a pool, or NULL; mempool_destroy() takes it, all of whose objects were given back. May sleep. */
mempool_t *mempool_create(int min_nr, mempool_alloc_t *alloc_fn, mempool_free_t *free_fn, void *pool_data);
void mempool_destroy(mempool_t *pool);

/** mempool_alloc() - a new object, or one that was kept. If @gfp may sleep it waits for one and never fails; else NULL: none. */
void *mempool_alloc(mempool_t *pool, gfp_t gfp);

/** mempool_free() - give it back: to be kept, or freed. Any context. */
void mempool_free(void *element, mempool_t *pool);

/** mempool_resize() - another number is kept. May sleep. Return: 0 or -ENOMEM. */
int mempool_resize(mempool_t *pool, int new_min_nr);

/* What pools are of: objects of a cache, kmalloc() memory of one size, pages of one order. */
void *mempool_alloc_slab(gfp_t gfp, void *pool_data);
void mempool_free_slab(void *element, void *pool_data);
void *mempool_kmalloc(gfp_t gfp, void *pool_data);
void mempool_kfree(void *element, void *pool_data);
void *mempool_alloc_pages(gfp_t gfp, void *pool_data);
void mempool_free_pages(void *element, void *pool_data);

#define mempool_create_slab_pool(min_nr, cache) mempool_create(min_nr, mempool_alloc_slab, mempool_free_slab, cache)
#define mempool_init_slab_pool(pool, min_nr, cache) \
	mempool_init(pool, min_nr, mempool_alloc_slab, mempool_free_slab, cache)
#define mempool_create_kmalloc_pool(min_nr, size) \
	mempool_create(min_nr, mempool_kmalloc, mempool_kfree, (void *)(uintptr_t)(size))
#define mempool_init_kmalloc_pool(pool, min_nr, size) \
	mempool_init(pool, min_nr, mempool_kmalloc, mempool_kfree, (void *)(uintptr_t)(size))
#define mempool_create_page_pool(min_nr, order) \
	mempool_create(min_nr, mempool_alloc_pages, mempool_free_pages, (void *)(uintptr_t)(order))

/**
 * struct kfifo - a ring of bytes
 * @in, @out: bytes that ever went in and out; @mask: its size, a power of two, less 1
 *
 * One thread puts in and one takes out without a lock; more of either lock.
 */
struct kfifo {
	u8 *data;
	unsigned int mask;
	unsigned int in;
	unsigned int out;
};

/** kfifo_in() - Return: bytes that it had room for */
unsigned int kfifo_in(struct kfifo *f, const void *buf, unsigned int len);

/** kfifo_out() - Return: bytes that there were; kfifo_out_peek(): they stay */
unsigned int kfifo_out(struct kfifo *f, void *buf, unsigned int len);
unsigned int kfifo_out_peek(struct kfifo *f, void *buf, unsigned int len);

#pragma GCC visibility pop

/** kfifo_init() - in the caller's memory, of which a power of two is used. Return: 0; -EINVAL: less than two bytes. */
static inline int kfifo_init(struct kfifo *f, void *buf, unsigned int size)
{
	if (size < 2)
		return -EINVAL;
	*f = (struct kfifo){ .data = (u8 *)buf, .mask = (unsigned int)rounddown_pow_of_two(size) - 1 };
	return 0;
}

/** kfifo_alloc() - @size is rounded up to a power of two. Return: 0; -EINVAL; -ENOMEM. kfifo_free() gives its memory back. */
#define kfifo_alloc(f, size, gfp) \
	({ \
		struct kfifo *fifo_ = (f); \
		unsigned int size_ = (unsigned int)roundup_pow_of_two(size); \
		void *data_ = size_ < 2 ? NULL : kmalloc(size_, gfp); \
		size_ < 2 ? -EINVAL : data_ ? kfifo_init(fifo_, data_, size_) : -ENOMEM; \
	})
#define kfifo_free(f) (kfree((f)->data), (void)memset(f, 0, sizeof(*(f))))
#define kfifo_size(f) ((f)->mask + 1)
#define kfifo_len(f) (__atomic_load_n(&(f)->in, __ATOMIC_ACQUIRE) - __atomic_load_n(&(f)->out, __ATOMIC_ACQUIRE))
#define kfifo_avail(f) (kfifo_size(f) - kfifo_len(f))
#define kfifo_is_empty(f) (!kfifo_len(f))
#define kfifo_is_full(f) (!kfifo_avail(f))
#define kfifo_initialized(f) ((f)->data != NULL)
#define kfifo_reset(f) ((void)((f)->in = (f)->out = 0))
#define softhca_locked_(l, call) \
	({ \
		unsigned int moved_; \
		spin_lock(l); \
		moved_ = (call); \
		spin_unlock(l); \
		moved_; \
	})
#define kfifo_in_locked(f, buf, len, l) softhca_locked_(l, kfifo_in(f, buf, len))
#define kfifo_out_locked(f, buf, len, l) softhca_locked_(l, kfifo_out(f, buf, len))
#define kfifo_in_spinlocked(f, buf, len, l) kfifo_in_locked(f, buf, len, l)
#define kfifo_out_spinlocked(f, buf, len, l) kfifo_out_locked(f, buf, len, l)

#endif
