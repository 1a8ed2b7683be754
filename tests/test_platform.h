/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A machine without translation, a device on it, and what that device does to memory: shared by the tests of the direct
 * and bounce platforms.
 */
#ifndef TEST_PLATFORM_H
#define TEST_PLATFORM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "platform/platform.h"
#include "test_os.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define SLOT 2048u

/* A machine, a device on it, and low memory that the device reaches and that it doesn't. */
struct bus {
	struct machine *m;
	struct device *dev;
	struct page *near;
	struct page *far;
	struct page *high;
};

#define NEAR_ORDER 4
#define FAR_ORDER 7

/* Pages within 32 bits of the bus or beyond them. On a direct machine all are beyond. */
static inline struct page *bus_pages(struct bus *b, unsigned int order, bool beyond)
{
	struct page *held[256], *page;
	int n = 0;

	do {
		page = machine_alloc_pages(b->m, GFP_KERNEL, order);
		assert_non_null(page);
		held[n++] = page;
	} while (b->m->ops == &platform_bounce && (b->m->bus_base + page_index(page) * PAGE_SIZE >= 4 * GIB) != beyond);
	while (--n)
		__free_pages(held[n - 1], order);
	return page;
}

static inline void bus_open(struct bus *b, enum machine_platform platform, u64 mask)
{
	struct machine_attr ma = { .name = "m", .low_bytes = 16 * MIB, .high_bytes = 2 * MIB, .platform = platform };
	struct device_attr da = { .name = "dev", .dma_mask = mask };

	assert_int_equal(machine_create(&ma, &b->m), 0);
	assert_int_equal(device_create(b->m, &da, &b->dev), 0);
	b->near = bus_pages(b, NEAR_ORDER, false);
	b->far = bus_pages(b, FAR_ORDER, true);
	b->high = machine_alloc_pages(b->m, GFP_HIGHUSER, 1);
}

static inline void bus_close(struct bus *b)
{
	device_destroy(b->dev);
	__free_pages(b->near, NEAR_ORDER);
	__free_pages(b->far, FAR_ORDER);
	__free_pages(b->high, 1);
	assert_int_equal(machine_destroy(b->m), 0);
}

static inline u64 offset_of(const struct page *page)
{
	return page_index(page) * PAGE_SIZE;
}

static inline u8 *memory_of(const struct bus *b, const struct page *page)
{
	return machine_bus_ptr(b->m, offset_of(page));
}

static inline struct device_stats stats_of(struct device *dev)
{
	struct device_stats st;

	device_get_stats(dev, &st);
	return st;
}

/* What the device does: all of the range, through as many windows as it takes. */
static inline int device_read(struct device *dev, dma_addr_t addr, void *to, u64 len)
{
	struct hca_mem_view w;
	u8 *at = to;

	while (len) {
		int err = dev->machine->ops->open(dev, addr, len, HCA_MEM_READ, &w);

		if (err)
			return err;
		memcpy(at, w.ptr, (size_t)w.len);
		dev->machine->ops->close(dev, &w);
		addr += w.len;
		at += w.len;
		len -= w.len;
	}
	return 0;
}

static inline int device_write(struct device *dev, dma_addr_t addr, const void *from, u64 len)
{
	struct hca_mem_view w;
	const u8 *at = from;

	while (len) {
		int err = dev->machine->ops->open(dev, addr, len, HCA_MEM_WRITE, &w);

		if (err)
			return err;
		memcpy(w.ptr, at, (size_t)w.len);
		dev->machine->ops->close(dev, &w);
		addr += w.len;
		at += w.len;
		len -= w.len;
	}
	return 0;
}

static const enum dma_data_direction dirs[]
	__attribute__((unused)) = { DMA_BIDIRECTIONAL, DMA_TO_DEVICE, DMA_FROM_DEVICE };

#define MAP_FAILS(addr, err) assert_int_equal(dma_mapping_error(NULL, addr), err)

static inline int fresh(void **state)
{
	(void)state;
	test_os_reset(1);
	return 0;
}

#endif
