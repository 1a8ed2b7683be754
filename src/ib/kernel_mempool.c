/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Objects that are kept for hard times, and rings of bytes; see softhca/kernel/mempool.h. */
#include "kernel_private.h"
#include "softhca/kernel/mempool.h"

/* Return: an object that was kept, or NULL. */
static void *take(mempool_t *pool)
{
	void *element = NULL;

	pthread_mutex_lock(&pool->lock);
	if (pool->curr_nr)
		element = pool->elements[--pool->curr_nr];
	pthread_mutex_unlock(&pool->lock);
	return element;
}

/* Return: false: there are enough. */
static bool keep(mempool_t *pool, void *element)
{
	bool room;

	pthread_mutex_lock(&pool->lock);
	room = pool->curr_nr < pool->min_nr;
	if (room)
		pool->elements[pool->curr_nr++] = element;
	pthread_mutex_unlock(&pool->lock);
	return room;
}

static int fill(mempool_t *pool)
{
	while (pool->curr_nr < pool->min_nr) {
		void *element = pool->alloc(GFP_KERNEL, pool->pool_data);

		if (!element)
			return -ENOMEM;
		if (!keep(pool, element))
			pool->free(element, pool->pool_data);
	}
	return 0;
}

int mempool_init(mempool_t *pool, int min_nr, mempool_alloc_t *alloc_fn, mempool_free_t *free_fn, void *pool_data)
{
	int err;

	*pool = (mempool_t){ .min_nr = min_nr, .alloc = alloc_fn, .free = free_fn, .pool_data = pool_data };
	pthread_mutex_init(&pool->lock, NULL);
	init_waitqueue_head(&pool->wait);
	pool->elements = hca_alloc((size_t)min_nr * sizeof(void *), HCA_MAY_SLEEP);
	err = pool->elements ? fill(pool) : -ENOMEM;
	if (err)
		mempool_exit(pool);
	return err;
}

void mempool_exit(mempool_t *pool)
{
	void *element;

	while ((element = take(pool)))
		pool->free(element, pool->pool_data);
	hca_free(pool->elements);
	pool->elements = NULL;
}

mempool_t *mempool_create(int min_nr, mempool_alloc_t *alloc_fn, mempool_free_t *free_fn, void *pool_data)
{
	mempool_t *pool = hca_alloc(sizeof(*pool), HCA_MAY_SLEEP);

	if (pool && mempool_init(pool, min_nr, alloc_fn, free_fn, pool_data)) {
		hca_free(pool);
		pool = NULL;
	}
	return pool;
}

void mempool_destroy(mempool_t *pool)
{
	if (!pool)
		return;
	mempool_exit(pool);
	hca_free(pool);
}

void *mempool_alloc(mempool_t *pool, gfp_t gfp)
{
	void *element = pool->alloc(gfp, pool->pool_data);

	if (element)
		return element;
	if (!(gfp & GFP_KERNEL))
		return take(pool);
	wait_event(pool->wait, (element = take(pool)));
	return element;
}

void mempool_free(void *element, mempool_t *pool)
{
	if (!element)
		return;
	if (keep(pool, element))
		softhca_wake(&pool->wait);
	else
		pool->free(element, pool->pool_data);
}

int mempool_resize(mempool_t *pool, int new_min_nr)
{
	void **more = hca_alloc((size_t)new_min_nr * sizeof(void *), HCA_MAY_SLEEP), **old;
	void *element;

	if (!more)
		return -ENOMEM;
	pthread_mutex_lock(&pool->lock);
	pool->min_nr = HCA_MIN(pool->min_nr, new_min_nr);
	pthread_mutex_unlock(&pool->lock);
	while (pool->curr_nr > new_min_nr && (element = take(pool)))
		pool->free(element, pool->pool_data);
	pthread_mutex_lock(&pool->lock);
	old = pool->elements;
	memcpy(more, old, (size_t)pool->curr_nr * sizeof(void *));
	pool->elements = more;
	pool->min_nr = new_min_nr;
	pthread_mutex_unlock(&pool->lock);
	hca_free(old);
	return fill(pool);
}

void *mempool_alloc_slab(gfp_t gfp, void *pool_data)
{
	return kmem_cache_alloc((struct kmem_cache *)pool_data, gfp);
}

void mempool_free_slab(void *element, void *pool_data)
{
	kmem_cache_free(pool_data, element);
}

void *mempool_kmalloc(gfp_t gfp, void *pool_data)
{
	return kmalloc((size_t)(uintptr_t)pool_data, gfp);
}

void mempool_kfree(void *element, void *pool_data)
{
	(void)pool_data;
	kfree(element);
}

void *mempool_alloc_pages(gfp_t gfp, void *pool_data)
{
	return alloc_pages(gfp, (unsigned int)(uintptr_t)pool_data);
}

void mempool_free_pages(void *element, void *pool_data)
{
	__free_pages(element, (unsigned int)(uintptr_t)pool_data);
}

/* --- rings of bytes --- */

/* The part up to the ring's end, and the part from its beginning on. */
static unsigned int until_end(const struct kfifo *f, unsigned int at, unsigned int len)
{
	return HCA_MIN(len, kfifo_size(f) - (at & f->mask));
}

unsigned int kfifo_in(struct kfifo *f, const void *buf, unsigned int len)
{
	unsigned int part;

	len = HCA_MIN(len, kfifo_avail(f));
	part = until_end(f, f->in, len);
	memcpy(f->data + (f->in & f->mask), buf, part);
	memcpy(f->data, (const u8 *)buf + part, len - part);
	hca_store_release(&f->in, f->in + len);
	return len;
}

unsigned int kfifo_out_peek(struct kfifo *f, void *buf, unsigned int len)
{
	unsigned int part;

	len = HCA_MIN(len, kfifo_len(f));
	part = until_end(f, f->out, len);
	memcpy(buf, f->data + (f->out & f->mask), part);
	memcpy((u8 *)buf + part, f->data, len - part);
	return len;
}

unsigned int kfifo_out(struct kfifo *f, void *buf, unsigned int len)
{
	len = kfifo_out_peek(f, buf, len);
	hca_store_release(&f->out, f->out + len);
	return len;
}
