/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bounce platform's pool: what is copied when, in every direction, byte by byte; who may end a mapping; exhaustion,
 * pieces and recovery; coherent memory; and long random use against what each mapping must hold.
 */
#include "test_platform.h"
#include "why_fixture.h"

static void near_memory_needs_no_copy(void **state)
{
	struct bus b;
	dma_addr_t addr;
	u8 back;

	(void)state;
	bus_open(&b, MACHINE_BOUNCE, 0);
	addr = dma_map_page(b.dev, b.near, 5, 100, DMA_BIDIRECTIONAL);
	assert_true(addr == b.m->bus_base + offset_of(b.near) + 5);
	memory_of(&b, b.near)[5] = 1;
	assert_int_equal(device_read(b.dev, addr, &back, 1), 0);
	assert_int_equal(back, 1);
	dma_unmap_page(b.dev, addr, 100, DMA_BIDIRECTIONAL);
	assert_int_equal(stats_of(b.dev).bounced, 0);
	assert_int_equal(dma_max_mapping_size(b.dev), 256 * 1024);
	bus_close(&b);
	bus_open(&b, MACHINE_BOUNCE, DMA_BIT_MASK(64));
	addr = dma_map_page(b.dev, b.far, 0, 512 * 1024, DMA_BIDIRECTIONAL);
	assert_true(addr == b.m->bus_base + offset_of(b.far));
	dma_unmap_page(b.dev, addr, 512 * 1024, DMA_BIDIRECTIONAL);
	assert_true(dma_max_mapping_size(b.dev) == 18 * MIB);
	bus_close(&b);
}

static void short_mask_cannot_be_helped(void **state)
{
	struct device_attr da = { .dma_mask = DMA_BIT_MASK(31) };
	struct device *dev;
	struct bus b;

	(void)state;
	bus_open(&b, MACHINE_BOUNCE, 0);
	assert_int_equal(device_create(b.m, &da, &dev), -EINVAL);
	da.dma_mask = b.m->bus_base + 2 * MIB - 2;
	assert_int_equal(device_create(b.m, &da, &dev), -EINVAL);
	da.dma_mask++;
	assert_int_equal(device_create(b.m, &da, &dev), 0);
	device_destroy(dev);
	bus_close(&b);
}

/* One mapping of far or high memory through its life, byte by byte. */
static void one_copy(struct bus *b, struct page *page, u32 offset, u32 size, enum dma_data_direction dir,
		     unsigned long attrs)
{
	u8 *mem = memory_of(b, page) + offset;
	bool reads = dir != DMA_FROM_DEVICE, writes = dir != DMA_TO_DEVICE;
	bool skip = attrs & DMA_ATTR_SKIP_CPU_SYNC;
	static u8 seen[300 * 1024], want[300 * 1024];
	dma_addr_t addr;
	u64 len;

	memset(mem, 'a', size);
	addr = dma_map_page_attrs(b->dev, page, offset, size, dir, attrs);
	assert_int_equal(dma_mapping_error(b->dev, addr), 0);
	assert_true(addr + size - 1 <= b->dev->dma_mask);
	assert_true((addr & (PAGE_SIZE - 1)) == offset);
	len = size;
	assert_true(b->m->ops->origin(b->dev, addr, &len) == offset_of(page) + offset);
	assert_true(len == size);
	len = ~0ull;
	assert_true(b->m->ops->origin(b->dev, addr + (size - 1), &len) == offset_of(page) + offset + size - 1);
	assert_true(len == 1);

	/* What a device sees that was shown nothing yet: never somebody else's bytes. */
	assert_int_equal(device_read(b->dev, addr, seen, size), 0);
	memset(want, skip && dir == DMA_TO_DEVICE ? 0 : 'a', size);
	assert_memory_equal(seen, want, size);

	memset(mem, 'b', size);
	dma_sync_single_for_device(b->dev, addr, size, dir);
	assert_int_equal(device_read(b->dev, addr, seen, size), 0);
	memset(want, reads ? 'b' : 'a', size);
	assert_memory_equal(seen, want, size);

	/* A short write: half of it. */
	memset(want, 'c', size);
	assert_int_equal(device_write(b->dev, addr, want, (size + 1) / 2), 0);
	assert_int_equal(mem[0], 'b');
	dma_sync_single_for_cpu(b->dev, addr, size, dir);
	assert_int_equal(mem[0], writes ? 'c' : 'b');
	assert_int_equal(mem[size - 1], size == 1 && writes ? 'c' : reads ? 'b' : 'a');

	memset(want, 'd', size);
	assert_int_equal(device_write(b->dev, addr, want, size), 0);
	memset(mem, 'e', size);
	dma_unmap_page_attrs(b->dev, addr, size, dir, attrs);
	assert_int_equal(mem[0], writes && !skip ? 'd' : 'e');
	assert_int_equal(mem[size - 1], writes && !skip ? 'd' : 'e');
	len = 1;
	assert_true(b->m->ops->origin(b->dev, addr, &len) == NO_MEMORY_HERE);
	assert_int_equal(stats_of(b->dev).bounce_slots, 0);
}

/* Bytes of the pool have bus addresses already: those of the copies that lie there. */
static void pool_is_not_mapped(void **state)
{
	dma_addr_t copy, addr;
	struct bus b;

	(void)state;
	bus_open(&b, MACHINE_BOUNCE, 0);
	copy = dma_map_page(b.dev, b.far, 0, 100, DMA_TO_DEVICE);
	assert_int_equal(dma_mapping_error(b.dev, copy), 0);
	addr = dma_map_page(b.dev, page_from_offset(b.m, 0), 0, 100, DMA_TO_DEVICE);
	assert_int_equal(dma_mapping_error(b.dev, addr), -EFAULT);
	addr = dma_map_page(b.dev, page_from_offset(b.m, b.m->reserved - PAGE_SIZE), 0, 2 * PAGE_SIZE, DMA_TO_DEVICE);
	assert_int_equal(dma_mapping_error(b.dev, addr), -EFAULT);
	dma_unmap_page(b.dev, copy, 100, DMA_TO_DEVICE);
	bus_close(&b);
}

static void copies_in_every_direction(void **state)
{
	static const struct {
		u32 offset;
		u32 size;
	} at[] = { { 0, 1 },	   { 4095, 1 }, { 2047, 2 },   { 2048, 2048 },	     { 100, 3000 },
		   { 4095, 4097 }, { 0, 8192 }, { 1, 100000 }, { 2047, 256 * 1024 }, { 0, 256 * 1024 } };
	struct bus b;
	size_t i, d;

	(void)state;
	bus_open(&b, MACHINE_BOUNCE, 0);
	for (i = 0; i < HCA_ARRAY_SIZE(at); i++) {
		for (d = 0; d < HCA_ARRAY_SIZE(dirs); d++) {
			one_copy(&b, b.far, at[i].offset, at[i].size, dirs[d], 0);
			one_copy(&b, b.far, at[i].offset, at[i].size, dirs[d], DMA_ATTR_SKIP_CPU_SYNC);
			if (at[i].offset + at[i].size > 8192)
				continue;
			one_copy(&b, b.high, at[i].offset, at[i].size, dirs[d], 0);
			one_copy(&b, b.high, at[i].offset, at[i].size, dirs[d], DMA_ATTR_SKIP_CPU_SYNC);
		}
	}
	REFUSED(hca_dma_errno(dma_map_page(b.dev, b.far, 0, 256 * 1024 + 1, DMA_TO_DEVICE)), -EINVAL,
		"map refused: 262145 bytes, but the pool copies 262144 at most");
	bus_close(&b);
}

static void parts_are_synced_alone(void **state)
{
	struct bus b;
	dma_addr_t addr;
	u8 *mem, x[3000];

	(void)state;
	bus_open(&b, MACHINE_BOUNCE, 0);
	mem = memory_of(&b, b.far);
	memset(mem, 1, 8192);
	addr = dma_map_page(b.dev, b.far, 0, 8192, DMA_BIDIRECTIONAL);
	memset(x, 2, sizeof(x));
	device_write(b.dev, addr + 3000, x, 3000);
	dma_sync_single_for_cpu(b.dev, addr + 3500, 1000, DMA_BIDIRECTIONAL);
	assert_int_equal(mem[3499], 1);
	assert_int_equal(mem[3500], 2);
	assert_int_equal(mem[4499], 2);
	assert_int_equal(mem[4500], 1);
	/* Beyond the end, and with a direction that isn't the mapping's: bounds and direction are what was mapped. */
	dma_sync_single_for_cpu(b.dev, addr + 8000, 193, DMA_BIDIRECTIONAL);
	dma_sync_single_for_cpu(b.dev, addr + 1, SIZE_MAX, DMA_BIDIRECTIONAL);
	assert_int_equal(mem[4500], 1);
	dma_sync_single_for_cpu(b.dev, addr + 4500, 1, DMA_TO_DEVICE);
	assert_int_equal(mem[4500], 2);
	dma_unmap_page(b.dev, addr, 1, DMA_TO_DEVICE);
	assert_int_equal(mem[5999], 2);
	bus_close(&b);
}

static void pool_knows_its_mappings(void **state)
{
	struct device_attr da = { .name = "another" };
	struct device *other;
	struct bus b;
	dma_addr_t addr;
	u64 refused = 0;

	(void)state;
	bus_open(&b, MACHINE_BOUNCE, 0);
	assert_int_equal(device_create(b.m, &da, &other), 0);
	addr = dma_map_page(b.dev, b.far, 100, 5000, DMA_FROM_DEVICE);
	assert_int_equal(stats_of(b.dev).bounce_slots, 3);
#define UNMAP_REFUSED(who, at) \
	do { \
		assert_int_equal(platform_unmap(who, at, 5000, DMA_FROM_DEVICE, 0), -ENOENT); \
		assert_int_equal(stats_of(b.dev).bounce_slots, 3); \
	} while (0)
	UNMAP_REFUSED(b.dev, addr + 1);
	UNMAP_REFUSED(b.dev, addr - 1);
	UNMAP_REFUSED(b.dev, addr - 100);
	UNMAP_REFUSED(b.dev, addr + SLOT);
	UNMAP_REFUSED(b.dev, addr + 4 * SLOT);
	refused = stats_of(b.dev).refused_unmaps;
	assert_int_equal(refused, 5);
	UNMAP_REFUSED(other, addr);
	assert_int_equal(stats_of(other).refused_unmaps, 1);
	assert_int_equal(b.m->ops->sync(other, addr, 1, DMA_FROM_DEVICE, true), -ENOENT);
	dma_unmap_page(b.dev, addr, 5000, DMA_FROM_DEVICE);
	assert_int_equal(stats_of(b.dev).bounce_slots, 0);
	assert_int_equal(platform_unmap(b.dev, addr, 5000, DMA_FROM_DEVICE, 0), -ENOENT);
	assert_int_equal(b.m->ops->sync(b.dev, addr, 1, DMA_FROM_DEVICE, true), -ENOENT);
	/* A device that goes takes its copies with it, and nobody else's. */
	addr = dma_map_page(b.dev, b.far, 0, 2048, DMA_FROM_DEVICE);
	dma_map_page(other, b.far, 0, 256 * 1024, DMA_FROM_DEVICE);
	device_destroy(other);
	assert_int_equal(stats_of(b.dev).bounce_slots, 1);
	dma_unmap_page(b.dev, addr, 2048, DMA_FROM_DEVICE);
	assert_int_equal(stats_of(b.dev).refused_unmaps, refused + 1);
	bus_close(&b);
}

static void pool_runs_out_and_recovers(void **state)
{
	dma_addr_t addr[1025];
	struct scatterlist sg[3];
	struct bus b;
	int n, i;

	(void)state;
	bus_open(&b, MACHINE_BOUNCE, 0);
	for (n = 0; n < 1025; n++) {
		addr[n] = dma_map_page(b.dev, b.far, n % 2 * SLOT, SLOT, DMA_TO_DEVICE);
		if (dma_mapping_error(b.dev, addr[n]))
			break;
	}
	assert_int_equal(n, 1024);
	MAP_FAILS(addr[n], -ENOMEM);
	/* Every other slot is free: room for none that needs two, and for all that need one of that half. */
	for (i = 0; i < n; i += 2)
		dma_unmap_page(b.dev, addr[i], SLOT, DMA_TO_DEVICE);
	MAP_FAILS(dma_map_page(b.dev, b.far, 0, SLOT + 1, DMA_TO_DEVICE), -ENOMEM);
	MAP_FAILS(dma_map_page(b.dev, b.far, SLOT, 1, DMA_TO_DEVICE), -ENOMEM);
	for (i = 0; i < n; i += 2)
		addr[i] = dma_map_page(b.dev, b.far, 0, SLOT, DMA_TO_DEVICE);
	assert_int_equal(stats_of(b.dev).bounce_slots, 1024);
	/* A list of which only two entries find room leaves nothing behind. */
	dma_unmap_page(b.dev, addr[5], SLOT, DMA_TO_DEVICE);
	dma_unmap_page(b.dev, addr[6], SLOT, DMA_TO_DEVICE);
	sg_init_table(sg, 3);
	sg_set_page(&sg[0], b.far, 10, SLOT);
	sg_set_page(&sg[1], b.high, 10, 0);
	sg_set_page(&sg[2], b.far, 10, 0);
	assert_int_equal(platform_map_list(b.dev, sg, 3, DMA_FROM_DEVICE, 0), -ENOMEM);
	assert_int_equal(dma_map_sg(b.dev, sg, 3, DMA_FROM_DEVICE), 0);
	assert_int_equal(stats_of(b.dev).bounce_slots, 1022);
	assert_int_equal(dma_map_sg(b.dev, sg, 2, DMA_FROM_DEVICE), 2);
	dma_unmap_sg(b.dev, sg, 2, DMA_FROM_DEVICE);
	for (i = 0; i < n; i++)
		if (i != 5 && i != 6)
			dma_unmap_page(b.dev, addr[i], SLOT, DMA_TO_DEVICE);
	assert_int_equal(stats_of(b.dev).bounce_slots, 0);
	assert_int_equal(stats_of(b.dev).refused_unmaps, 0);
	for (i = 0; i < 8; i++)
		addr[i] = dma_map_page(b.dev, b.far, 0, 256 * 1024, DMA_TO_DEVICE);
	assert_int_equal(stats_of(b.dev).bounce_slots, 1024);
	bus_close(&b);
}

static void coherent_memory_from_the_pool(void **state)
{
	struct page *held[16];
	struct bus b;
	dma_addr_t addr;
	u8 *cpu;
	u64 len = 5;
	int n = 0;

	(void)state;
	bus_open(&b, MACHINE_BOUNCE, 0);
	/* Take all that the device reaches, as far as large blocks go. */
	while (n < 16 && (held[n] = machine_alloc_pages(b.m, GFP_KERNEL, 8)))
		n++;
	cpu = dma_alloc_coherent(b.dev, 256 * 1024, &addr, GFP_KERNEL);
	if (cpu && !stats_of(b.dev).bounce_slots) {
		/* Some was left; it goes back, and the pool isn't needed. */
		dma_free_coherent(b.dev, 256 * 1024, cpu, addr);
	}
	while (n)
		__free_pages(held[--n], 8);
	if (stats_of(b.dev).bounce_slots)
		dma_free_coherent(b.dev, 256 * 1024, cpu, addr);
	bus_close(&b);

	/* A device that reaches the pool and nothing else. */
	bus_open(&b, MACHINE_BOUNCE, (4 * GIB - 10 * MIB) + 2 * MIB - 1);
	cpu = dma_alloc_coherent(b.dev, 5000, &addr, GFP_KERNEL);
	assert_non_null(cpu);
	assert_int_equal(stats_of(b.dev).bounce_slots, 4);
	assert_int_equal(stats_of(b.dev).bounced, 0);
	assert_true(!(addr & 8191));
	assert_true(b.m->ops->origin(b.dev, addr + 1, &len) == addr + 1 - b.m->bus_base);
	assert_int_equal(platform_unmap(b.dev, addr, 5000, DMA_BIDIRECTIONAL, 0), -ENOENT);
	dma_free_coherent(b.dev, 4096, cpu, addr);
	dma_free_coherent(b.dev, 5000, cpu, addr + SLOT);
	assert_int_equal(stats_of(b.dev).bounce_slots, 4);
	dma_free_coherent(b.dev, 5000, cpu, addr);
	dma_free_coherent(b.dev, 5000, cpu, addr);
	assert_int_equal(stats_of(b.dev).bounce_slots, 0);
	assert_null(dma_alloc_coherent(b.dev, 256 * 1024 + 1, &addr, GFP_KERNEL));
	bus_close(&b);
}

/* --- the pool against a model: what each mapping must hold --- */

static void pool_against_model(void **state)
{
	static struct {
		dma_addr_t addr;
		u32 size;
		u8 fill;
		u32 page;
	} live[64];
	static u8 seen[40000], want[40000];
	struct page *page[64];
	struct bus b;
	int step, i;

	(void)state;
	bus_open(&b, MACHINE_BOUNCE, (4 * GIB - 10 * MIB) + 2 * MIB - 1);
	for (i = 0; i < 64; i++)
		page[i] = machine_alloc_pages(b.m, GFP_KERNEL, 4);
	srand(11);
	for (step = 0; step < 20000; step++) {
		u32 offset = (u32)rand() % 4096;

		i = rand() % 64;
		if (live[i].size) {
			assert_int_equal(device_read(b.dev, live[i].addr, seen, live[i].size), 0);
			memset(want, live[i].fill, live[i].size);
			assert_memory_equal(seen, want, live[i].size);
			dma_unmap_page(b.dev, live[i].addr, live[i].size, DMA_TO_DEVICE);
			live[i].size = 0;
			continue;
		}
		live[i].size = 1 + (u32)rand() % (rand() % 4 ? 4000 : 40000);
		live[i].fill = (u8)rand();
		memset(memory_of(&b, page[i]) + offset, live[i].fill, live[i].size);
		live[i].addr = dma_map_page(b.dev, page[i], offset, live[i].size, DMA_TO_DEVICE);
		if (dma_mapping_error(b.dev, live[i].addr)) {
			MAP_FAILS(live[i].addr, -ENOMEM);
			live[i].size = 0;
		}
	}
	for (i = 0; i < 64; i++) {
		if (live[i].size)
			dma_unmap_page(b.dev, live[i].addr, live[i].size, DMA_TO_DEVICE);
		__free_pages(page[i], 4);
	}
	assert_int_equal(stats_of(b.dev).bounce_slots, 0);
	assert_int_equal(stats_of(b.dev).refused_unmaps, 0);
	assert_true(stats_of(b.dev).bounced > 9000);
	bus_close(&b);
}

/* --- a device that can't carry past 16 KiB: no copy lies across such a boundary, and none is refused that would fit --- */

enum { POOL_SLOTS = 1024, SHORT = 16 * 1024 };

static bool fits(const u8 *used, u32 at, u32 skip, u32 size)
{
	u32 i, n = (skip + size + SLOT - 1) / SLOT;

	for (i = 0; i < n; i++)
		if (at + i >= POOL_SLOTS || used[at + i])
			return false;
	return size > SHORT || (at * SLOT + skip) / SHORT == (at * SLOT + skip + size - 1) / SHORT;
}

static void pool_within_boundaries(void **state)
{
	const u64 mask = (4 * GIB - 10 * MIB) + 2 * MIB - 1;
	struct device_attr attr = { .name = "short", .dma_mask = mask, .seg_boundary_mask = SHORT - 1 };
	static struct {
		dma_addr_t addr;
		u32 size;
	} live[400];
	u32 step, size, offset, at, i, refused = 0;
	static u8 used[POOL_SLOTS];
	struct device *dev;
	struct bus b;

	(void)state;
	bus_open(&b, MACHINE_BOUNCE, mask);
	assert_int_equal(device_create(b.m, &attr, &dev), 0);
	srand(5);
	for (step = 0; step < 30000; step++) {
		i = (u32)rand() % HCA_ARRAY_SIZE(live);
		if (live[i].size) {
			at = (u32)(hca_dma_u64(live[i].addr) - b.m->bus_base);
			memset(used + at / SLOT, 0, (at % SLOT + live[i].size + SLOT - 1) / SLOT);
			dma_unmap_page(dev, live[i].addr, live[i].size, DMA_TO_DEVICE);
			live[i].size = 0;
			continue;
		}
		size = 1 + (u32)rand() % (rand() % 4 ? 4000 : 20000);
		offset = (u32)rand() % 4096;
		live[i].addr = dma_map_page(dev, b.far, offset, size, DMA_TO_DEVICE);
		if (dma_mapping_error(dev, live[i].addr)) {
			for (at = offset / SLOT; at < POOL_SLOTS; at += 2)
				assert_false(fits(used, at, offset % SLOT, size));
			refused++;
			continue;
		}
		live[i].size = size;
		at = (u32)(hca_dma_u64(live[i].addr) - b.m->bus_base);
		assert_int_equal(at % PAGE_SIZE, offset);
		assert_true(fits(used, at / SLOT, at % SLOT, size));
		memset(used + at / SLOT, 1, (at % SLOT + size + SLOT - 1) / SLOT);
	}
	assert_in_range(refused, 100, 20000);
	for (i = 0; i < HCA_ARRAY_SIZE(live); i++)
		if (live[i].size)
			dma_unmap_page(dev, live[i].addr, live[i].size, DMA_TO_DEVICE);
	assert_int_equal(stats_of(dev).bounce_slots, 0);
	device_destroy(dev);
	bus_close(&b);
}

static void every_size_is_coherent(struct device *dev)
{
	dma_addr_t a;
	size_t size;
	void *at;

	for (size = 4096; size <= 16 * MIB; size *= 2) {
		at = dma_alloc_coherent(dev, size, &a, GFP_KERNEL);
		assert_non_null(at);
		assert_true(a + size - 1 <= dev->dma_mask);
		assert_int_equal(stats_of(dev).bounce_slots, 0); /* none of the pool */
		dma_free_coherent(dev, size, at, a);
	}
}

/*
 * Coherent memory of every size that fits below a device's mask, whatever others took before: who doesn't care gets memory
 * that the device doesn't reach first (the order of zones in Linux's mm/page_alloc.c), and the pool is the last resort
 * (kernel/dma/direct.c, dma_direct_alloc_from_pool()).
 */
static void coherent_memory_within_reach(void **state)
{
	struct machine_attr ma = { .platform = MACHINE_BOUNCE };
	struct page *others[28];
	struct device *dev;
	struct machine *m;
	dma_addr_t a[6];
	void *at[6];
	u32 i, n;

	(void)state;
	assert_int_equal(machine_create(&ma, &m), 0);
	assert_int_equal(device_create(m, &(struct device_attr){ .dma_mask = DMA_BIT_MASK(32) }, &dev), 0);
	every_size_is_coherent(dev);
	/* Half of low memory is beyond, the pool apart. */
	for (i = 0; i < HCA_ARRAY_SIZE(others); i++)
		assert_non_null(others[i] = machine_alloc_pages(m, GFP_KERNEL, 8));
	every_size_is_coherent(dev);
	/* All that is within reach, then the pool, then nothing. */
	for (n = 0; n < HCA_ARRAY_SIZE(at) && (at[n] = dma_alloc_coherent(dev, 8 * MIB, &a[n], GFP_KERNEL)); n++)
		assert_true(a[n] + 8 * MIB - 1 <= DMA_BIT_MASK(32));
	assert_true(n == 3 || n == 4);
	while (n)
		n--, dma_free_coherent(dev, 8 * MIB, at[n], a[n]);
	for (i = 0; i < HCA_ARRAY_SIZE(others); i++)
		__free_pages(others[i], 8);
	device_destroy(dev);
	assert_int_equal(machine_destroy(m), 0);
}

/* Masks of every size, on memory that lies across several powers of two. */
static void coherent_memory_for_every_mask(void **state)
{
	struct machine_attr ma = {
		.platform = MACHINE_BOUNCE, .low_bytes = 1024 * MIB, .phys = 2 * MIB, .bounce_bytes = 2 * MIB
	};
	struct device_attr da = { .name = "dev" };
	struct device *dev;
	struct machine *m;
	struct page *page;
	dma_addr_t a;
	void *at;
	u32 bits;

	(void)state;
	/* Bus addresses from 260 MiB to 1,284 MiB. */
	assert_int_equal(machine_create(&ma, &m), 0);
	for (bits = 29; bits <= 40; bits++) {
		da.dma_mask = DMA_BIT_MASK(bits);
		assert_int_equal(device_create(m, &da, &dev), 0);
		page = machine_alloc_pages(m, GFP_KERNEL, 5);
		at = dma_alloc_coherent(dev, 4 * MIB, &a, GFP_KERNEL);
		assert_non_null(at);
		assert_true(a + 4 * MIB - 1 <= da.dma_mask);
		/* No more than it needs: the next larger zone isn't for it, nor the lower ones while this has room. */
		assert_true(a >= HCA_MIN(da.dma_mask / 2, 1024 * MIB - 1) || bits == 29);
		assert_int_equal(stats_of(dev).bounce_slots, 0);
		dma_free_coherent(dev, 4 * MIB, at, a);
		__free_pages(page, 5);
		device_destroy(dev);
	}
	assert_int_equal(machine_destroy(m), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(near_memory_needs_no_copy, fresh),
		cmocka_unit_test_setup(short_mask_cannot_be_helped, fresh),
		cmocka_unit_test_setup(pool_is_not_mapped, fresh),
		cmocka_unit_test_setup(copies_in_every_direction, fresh),
		cmocka_unit_test_setup(parts_are_synced_alone, fresh),
		cmocka_unit_test_setup(pool_knows_its_mappings, fresh),
		cmocka_unit_test_setup(pool_runs_out_and_recovers, fresh),
		cmocka_unit_test_setup(coherent_memory_from_the_pool, fresh),
		cmocka_unit_test_setup(coherent_memory_within_reach, fresh),
		cmocka_unit_test_setup(coherent_memory_for_every_mask, fresh),
		cmocka_unit_test_setup(pool_against_model, fresh),
		cmocka_unit_test_setup(pool_within_boundaries, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
