/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The software IOMMU with real threads: owners map pages, let the device have them, take them back and write poison over
 * them, while device threads write through every address they have heard of. Once an unmap has returned nothing may touch
 * the page: the poison says so, and so does the thread sanitizer, for both sides write plainly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <pthread.h>
#include <cmocka.h>

#include "platform/platform.h"

#define OWNERS 2
#define DEVICES 2
#define PAGES 24 /* an owner's */
#define ROUNDS 4000 /* at least, */
#define REACHED 10000 /* and until the device has reached memory so often */
#define POISON 0x5a

struct field {
	struct machine *m;
	struct device *dev;
	u64 heard[OWNERS][PAGES] HCA_ALIGNED(8); /* addresses as the device heard of them; they may be gone */
	u32 stop;
	u32 wrong;
	u64 reached HCA_ALIGNED(8);
};

struct worker {
	struct field *f;
	u32 index;
	u32 seed;
	pthread_t thread;
};

static u32 next(struct worker *w)
{
	w->seed = w->seed * 1664525 + 1013904223;
	return w->seed >> 8;
}

/* Byte by byte: a memset() that the compiler has inlined is nothing that the thread sanitizer sees. */
static void write_bytes(void *at, u8 byte, u32 n)
{
	volatile u8 *to = at;

	while (n--)
		*to++ = byte;
}

static u64 page_of(u32 owner, u32 i)
{
	return ((u64)owner * PAGES + i) * 4 * PAGE_SIZE;
}

static void *device_main(void *arg)
{
	struct worker *w = arg;
	struct field *f = w->f;
	const struct platform_ops *ops = f->m->ops;
	struct hca_mem_view win, inner;

	while (!hca_load(&f->stop)) {
		u64 a = hca_load_acquire(&f->heard[next(w) % OWNERS][next(w) % PAGES]);
		u64 b = hca_load_acquire(&f->heard[next(w) % OWNERS][next(w) % PAGES]);

		if (!a || ops->open(f->dev, hca_dma_addr(a + next(w) % 4 * PAGE_SIZE), 64, HCA_MEM_WRITE, &win))
			continue;
		/* Two device threads may well be in one page: each has bytes of its own there. */
		if (win.len > 8 * w->index)
			write_bytes((u8 *)win.ptr + 8 * w->index, (u8)next(w), 8);
		if (b && !ops->open(f->dev, hca_dma_addr(b), 64, HCA_MEM_WRITE, &inner)) {
			write_bytes((u8 *)inner.ptr + 8 * w->index, (u8)next(w), 8);
			ops->close(f->dev, &inner);
		}
		ops->close(f->dev, &win);
		hca_fetch_add(&f->reached, 1);
	}
	return NULL;
}

static void poison(struct field *f, u64 off, u64 pages)
{
	u64 i;

	for (i = 0; i < pages; i++)
		write_bytes(machine_bus_ptr(f->m, off + i * PAGE_SIZE), POISON, 64);
}

static void check_poison(struct field *f, u64 off, u64 pages)
{
	const u8 *at;
	u64 i;
	u32 k;

	for (i = 0; i < pages; i++) {
		at = machine_bus_ptr(f->m, off + i * PAGE_SIZE);
		for (k = 0; k < 64; k++)
			if (at[k] != POISON)
				hca_fetch_add(&f->wrong, 1);
	}
}

static void *owner_main(void *arg)
{
	struct worker *w = arg;
	struct field *f = w->f;
	const struct platform_ops *ops = f->m->ops;
	u64 off, pages[PAGES] = { 0 }, mapped[PAGES] = { 0 };
	hca_dma_addr_t addr;
	u32 n, i;

	for (i = 0; i < PAGES; i++)
		poison(f, page_of(w->index, i), 4);
	for (n = 0; n < ROUNDS || hca_load(&f->reached) < REACHED; n++) {
		i = next(w) % PAGES;
		off = page_of(w->index, i);
		if (mapped[i]) {
			if (ops->unmap_one(f->dev, hca_dma_addr(mapped[i]), 1, DMA_BIDIRECTIONAL, 0))
				hca_fetch_add(&f->wrong, 1);
			mapped[i] = 0;
			if (f->m->lazy)
				ops->flush(f->dev);
			poison(f, off, pages[i]);
			continue;
		}
		check_poison(f, off, 4);
		pages[i] = 1 + next(w) % 4;
		addr = ops->map_one(f->dev, off, pages[i] * PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
		if (hca_dma_errno(addr)) {
			hca_fetch_add(&f->wrong, 1);
			continue;
		}
		mapped[i] = hca_dma_u64(addr);
		hca_store_release(&f->heard[w->index][i], mapped[i]);
	}
	for (i = 0; i < PAGES; i++)
		if (mapped[i] && ops->unmap_one(f->dev, hca_dma_addr(mapped[i]), 1, DMA_BIDIRECTIONAL, 0))
			hca_fetch_add(&f->wrong, 1);
	return NULL;
}

/* Somebody who only makes noise: lists, guessed unmaps, figures. */
static void *noise_main(void *arg)
{
	struct worker *w = arg;
	struct field *f = w->f;
	struct scatterlist sgl[3];
	struct device_stats st;
	u32 i;

	sg_init_table(sgl, 3);
	for (i = 0; i < 3; i++)
		sg_set_page(&sgl[i], page_from_offset(f->m, 8 * HUGE_SIZE - (i + 1) * 2 * PAGE_SIZE), PAGE_SIZE, 0);
	while (!hca_load(&f->stop)) {
		if (platform_map_list(f->dev, sgl, 3, DMA_TO_DEVICE, 0) < 1 ||
		    platform_unmap_list(f->dev, sgl, 3, DMA_TO_DEVICE, 0))
			hca_fetch_add(&f->wrong, 1);
		/* The middle of the aperture: nothing is there. */
		if (!f->m->ops->unmap_one(f->dev, hca_dma_addr((1ull << 40) + (1ull << 34)), 1, DMA_TO_DEVICE, 0))
			hca_fetch_add(&f->wrong, 1);
		device_get_stats(f->dev, &st);
	}
	return NULL;
}

static void run(bool lazy, u64 aperture)
{
	struct machine_attr ma = { .low_bytes = 8 * HUGE_SIZE, .platform = MACHINE_IOMMU };
	struct device_attr da = { .name = "dev" };
	struct worker w[OWNERS + DEVICES + 1];
	struct field f = { 0 };
	struct device_stats st;
	u32 i;

	ma.iommu_lazy = lazy;
	ma.iommu_aperture = aperture;
	assert_int_equal(machine_create(&ma, &f.m), 0);
	assert_int_equal(device_create(f.m, &da, &f.dev), 0);
	for (i = 0; i < HCA_ARRAY_SIZE(w); i++) {
		w[i].f = &f;
		w[i].seed = i + 1;
		w[i].index = i < OWNERS ? i : i - OWNERS;
		assert_int_equal(pthread_create(&w[i].thread, NULL,
						i < OWNERS	     ? owner_main :
						i < OWNERS + DEVICES ? device_main :
								       noise_main,
						&w[i]),
				 0);
	}
	for (i = 0; i < HCA_ARRAY_SIZE(w); i++) {
		if (i == OWNERS)
			hca_store(&f.stop, 1);
		pthread_join(w[i].thread, NULL);
	}
	device_flush(f.dev);
	device_get_stats(f.dev, &st);
	assert_int_equal(f.wrong, 0);
	assert_int_equal(st.iova_pages, 0);
	assert_int_equal(st.lazy_pending, 0);
	assert_true(f.reached > 0);
	device_destroy(f.dev);
	assert_int_equal(machine_destroy(f.m), 0);
}

static void strict(void **state)
{
	(void)state;
	run(false, 0);
}

static void strict_with_few_addresses(void **state)
{
	(void)state;
	run(false, 2 * HUGE_SIZE);
}

static void lazy(void **state)
{
	(void)state;
	run(true, 0);
}

static void lazy_with_few_addresses(void **state)
{
	(void)state;
	run(true, 2 * HUGE_SIZE);
}

/* More threads than slots, each with windows of its own, and one that unmaps among them. */
#define CROWD 80

static void *crowd_main(void *arg)
{
	struct worker *w = arg;
	struct field *f = w->f;
	const struct platform_ops *ops = f->m->ops;
	u64 off = (u64)w->index * PAGE_SIZE;
	struct hca_mem_view win[4];
	hca_dma_addr_t a;
	u32 n, i;

	for (n = 0; n < 60; n++) {
		a = ops->map_one(f->dev, off, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
		if (hca_dma_errno(a)) {
			hca_fetch_add(&f->wrong, 1);
			continue;
		}
		for (i = 0; i < 4; i++) {
			if (ops->open(f->dev, a + i * 16, 16, HCA_MEM_WRITE, &win[i])) {
				hca_fetch_add(&f->wrong, 1);
				return NULL;
			}
			write_bytes(win[i].ptr, (u8)n, 16);
		}
		while (i)
			ops->close(f->dev, &win[--i]);
		if (ops->unmap_one(f->dev, a, 1, DMA_BIDIRECTIONAL, 0))
			hca_fetch_add(&f->wrong, 1);
	}
	return NULL;
}

static void more_threads_than_slots(void **state)
{
	struct machine_attr ma = { .low_bytes = 8 * HUGE_SIZE, .platform = MACHINE_IOMMU };
	struct device_attr da = { .name = "dev" };
	static struct worker w[CROWD];
	struct field f = { 0 };
	struct device_stats st;
	u32 i;

	(void)state;
	assert_int_equal(machine_create(&ma, &f.m), 0);
	assert_int_equal(device_create(f.m, &da, &f.dev), 0);
	for (i = 0; i < CROWD; i++) {
		w[i].f = &f;
		w[i].index = i;
		assert_int_equal(pthread_create(&w[i].thread, NULL, crowd_main, &w[i]), 0);
	}
	for (i = 0; i < CROWD; i++)
		pthread_join(w[i].thread, NULL);
	device_get_stats(f.dev, &st);
	assert_int_equal(f.wrong, 0);
	assert_int_equal(st.iova_pages, 0);
	device_destroy(f.dev);
	assert_int_equal(machine_destroy(f.m), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(strict),
		cmocka_unit_test(strict_with_few_addresses),
		cmocka_unit_test(lazy),
		cmocka_unit_test(lazy_with_few_addresses),
		cmocka_unit_test(more_threads_than_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
