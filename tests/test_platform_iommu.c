/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The software IOMMU by what a device can and can't reach: addresses, permissions, faults, windows, 2 MiB leaves, strict
 * and lazy unmaps, exhaustion, failing allocations. Lists are in test_platform_iommu_list.c, threads under seeded schedules
 * in test_platform_iommu_race.c, the address allocator in test_iova.c.
 */
#include "test_platform_iommu.h"
#include "why_fixture.h"

static void addresses_are_no_physical_ones(void **state)
{
	static const struct {
		u64 phys;
		u64 mask;
	} at[] = {
		{ 0, 0 },
		{ 0, DMA_BIT_MASK(48) },
		{ 0, DMA_BIT_MASK(41) },
		{ 0, DMA_BIT_MASK(40) },
		{ 0, DMA_BIT_MASK(32) },
		{ 0, DMA_BIT_MASK(31) },
		{ 0, DMA_BIT_MASK(24) },
		{ 0, 3 * MIB + 5 + 1 * MIB },
		{ 1ull << 40, 0 },
		{ (1ull << 40) + 8 * MIB, DMA_BIT_MASK(41) },
		{ (1ull << 48) - 24 * MIB, 0 },
		{ (1ull << 32) - 24 * MIB, DMA_BIT_MASK(32) },
	};
	struct machine_attr ma = { .low_bytes = 16 * MIB, .high_bytes = 8 * MIB, .platform = MACHINE_IOMMU };
	struct device_attr da = { .name = "dev" };
	struct device *dev;
	struct machine *m;
	dma_addr_t a[64];
	size_t i, k;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(at); i++) {
		ma.phys = at[i].phys;
		da.dma_mask = at[i].mask;
		assert_int_equal(machine_create(&ma, &m), 0);
		assert_int_equal(device_create(m, &da, &dev), 0);
		for (k = 0; k < HCA_ARRAY_SIZE(a); k++) {
			a[k] = map(dev, k * PAGE_SIZE, PAGE_SIZE, DMA_BIDIRECTIONAL);
			assert_true(a[k] >= HUGE_SIZE && a[k] + PAGE_SIZE - 1 <= dev->dma_mask);
			assert_true(a[k] + PAGE_SIZE <= 1ull << 48);
			assert_true(a[k] < m->map.phys || a[k] >= m->map.phys + m->map.all_bytes);
			if (!at[i].phys && at[i].mask == 0)
				assert_true(a[k] >= 1ull << 40);
			reaches(dev, a[k], HCA_MEM_RMW, k * PAGE_SIZE);
		}
		for (k = 0; k < HCA_ARRAY_SIZE(a); k++)
			unmap(dev, a[k]);
		unmake(dev);
	}
	/* Nothing but memory below the mask: then the addresses coincide. No 2 MiB below the mask: no device. */
	ma.phys = HUGE_SIZE;
	assert_int_equal(machine_create(&ma, &m), 0);
	dev = make_device(m, DMA_BIT_MASK(24));
	a[0] = map(dev, 0, 1, DMA_TO_DEVICE);
	reaches(dev, a[0], HCA_MEM_READ, 0);
	device_destroy(dev);
	da.dma_mask = 2 * HUGE_SIZE - 2;
	assert_int_equal(device_create(m, &da, &dev), -EINVAL);
	da.dma_mask = 2 * HUGE_SIZE - 1;
	assert_int_equal(device_create(m, &da, &dev), 0);
	assert_true(dma_max_mapping_size(dev) == HUGE_SIZE - PAGE_SIZE);
	unmake(dev);
}

static void direction_is_permission(void **state)
{
	struct device *dev = make(false, 0);
	dma_addr_t both, to, from;

	(void)state;
	both = map(dev, 0x1234, 100, DMA_BIDIRECTIONAL);
	to = map(dev, 0x2000, 100, DMA_TO_DEVICE);
	from = map(dev, 0x3fff, 1, DMA_FROM_DEVICE);
	assert_int_equal(both % PAGE_SIZE, 0x234);
	assert_int_equal(from % PAGE_SIZE, 0xfff);
	reaches(dev, both, HCA_MEM_READ, 0x1234);
	reaches(dev, both, HCA_MEM_WRITE, 0x1234);
	reaches(dev, both, HCA_MEM_RMW, 0x1234);
	reaches(dev, to, HCA_MEM_READ, 0x2000);
	refused(dev, to, HCA_MEM_WRITE, FAULT_NO_WRITE);
	refused(dev, to, HCA_MEM_RMW, FAULT_NO_WRITE);
	reaches(dev, from, HCA_MEM_WRITE, 0x3fff);
	refused(dev, from, HCA_MEM_READ, FAULT_NO_READ);
	refused(dev, from, HCA_MEM_RMW, FAULT_NO_READ);
	/* What else is in the page is reachable; what isn't, isn't. */
	reaches(dev, both - 0x234, HCA_MEM_WRITE, 0x1000);
	reaches(dev, both + 0xdcb, HCA_MEM_WRITE, 0x1fff);
	refused(dev, hca_dma_addr(0), HCA_MEM_READ, FAULT_NOT_MAPPED);
	refused(dev, hca_dma_addr(dev->machine->map.phys + 0x1234), HCA_MEM_READ, FAULT_NOT_MAPPED);
	refused(dev, hca_dma_addr(1ull << 48), HCA_MEM_READ, FAULT_NOT_MAPPED);
	refused(dev, hca_dma_addr(both + (1ull << 48)), HCA_MEM_READ, FAULT_NOT_MAPPED);
	refused(dev, hca_dma_addr(~0ull), HCA_MEM_READ, FAULT_NOT_MAPPED);
	unmap(dev, both);
	refused(dev, both, HCA_MEM_READ, FAULT_NOT_MAPPED);
	unmake(dev);
	dev = make_device(make_machine(false, 0), DMA_BIT_MASK(32));
	refused(dev, hca_dma_addr(1ull << 32), HCA_MEM_READ, FAULT_BEYOND_MASK);
	refused(dev, hca_dma_addr(~0ull), HCA_MEM_WRITE, FAULT_BEYOND_MASK);
	refused(dev, hca_dma_addr((1ull << 32) - 1), HCA_MEM_READ, FAULT_NOT_MAPPED);
	unmake(dev);
}

static void devices_are_apart(void **state)
{
	struct device *dev = make(false, 0), *other = make_device(dev->machine, 0);
	dma_addr_t a = map(dev, 0, 1, DMA_BIDIRECTIONAL);

	(void)state;
	refused(other, a, HCA_MEM_READ, FAULT_NOT_MAPPED);
	assert_int_equal(platform_unmap(other, a, 1, DMA_BIDIRECTIONAL, 0), -ENOENT);
	reaches(dev, a, HCA_MEM_READ, 0);
	device_destroy(other);
	unmake(dev);
}

/* Every byte by origin and every page by windows, then nothing of it. */
static void one_range(struct device *dev, u64 off, u64 size)
{
	const struct platform_ops *ops = dev->machine->ops;
	dma_addr_t addr = map(dev, off, size, DMA_BIDIRECTIONAL);
	struct hca_mem_view w;
	u64 at, len;

	len = ~0ull;
	assert_true(ops->origin(dev, addr, &len) == off);
	assert_true(len == (off + size + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE - off);
	len = 1;
	assert_true(ops->origin(dev, addr + (size - 1), &len) == off + size - 1);
	assert_int_equal(len, 1);
	for (at = 0; at < size; at += w.len) {
		assert_int_equal(ops->open(dev, addr + at, size - at, HCA_MEM_RMW, &w), 0);
		assert_ptr_equal(w.ptr, machine_bus_ptr(dev->machine, off + at));
		assert_true(w.len == HCA_MIN(size - at, 65536ull));
		ops->close(dev, &w);
	}
	assert_int_equal(ops->sync(dev, addr, size, DMA_BIDIRECTIONAL, true), 0);
	unmap(dev, addr);
	assert_int_equal(ops->sync(dev, addr, size, DMA_BIDIRECTIONAL, true), -ENOENT);
	assert_int_equal(platform_unmap(dev, addr, size, DMA_BIDIRECTIONAL, 0), -ENOENT);
	device_flush(dev);
	for (at = 0; at < size; at += HCA_MAX(PAGE_SIZE, size / 16 / PAGE_SIZE * PAGE_SIZE))
		refused(dev, addr + at, HCA_MEM_READ, FAULT_NOT_MAPPED);
	refused(dev, addr + (size - 1), HCA_MEM_READ, FAULT_NOT_MAPPED);
	assert_int_equal(stats_of(dev).iova_pages, 0);
}

static void ranges_of_all_sizes(void **state)
{
	static const u64 offs[] = { 0, 1, 4095, 4096, 2 * MIB - 4096, 2 * MIB, 4 * MIB - 1, 3 * MIB + 77, 17 * MIB };
	static const u64 sizes[] = { 1,	      2,       4096,	    4097,	  8192,	       65535,
				     65536,   65537,   131072,	    1 * MIB - 1,  1 * MIB + 1, 2 * MIB - 4096,
				     2 * MIB, 3 * MIB, 4 * MIB - 1, 4 * MIB + 19, 5 * MIB };
	int lazy;
	size_t i, k;

	(void)state;
	for (lazy = 0; lazy < 2; lazy++) {
		struct device *dev = make(lazy, 0);

		for (i = 0; i < HCA_ARRAY_SIZE(offs); i++)
			for (k = 0; k < HCA_ARRAY_SIZE(sizes); k++)
				if (offs[i] >= 16 * MIB || offs[i] + sizes[k] <= 16 * MIB)
					one_range(dev, offs[i], sizes[k]);
		unmake(dev);
	}
}

static void windows_nest_and_stop(void **state)
{
	struct device *dev = make(false, 0);
	const struct platform_ops *ops = dev->machine->ops;
	static struct hca_mem_view w[HCA_SLOTS * 4 + 50];
	dma_addr_t a = map(dev, 0, 3 * PAGE_SIZE, DMA_BIDIRECTIONAL);
	dma_addr_t b = map(dev, 4 * PAGE_SIZE, PAGE_SIZE, DMA_BIDIRECTIONAL);
	size_t i;

	(void)state;
	/* A window ends where the mapping does, and where memory isn't in one piece. */
	assert_int_equal(ops->open(dev, a + 100, 4 * PAGE_SIZE, HCA_MEM_READ, w), 0);
	assert_int_equal(w->len, 3 * PAGE_SIZE - 100);
	assert_int_equal(ops->open(dev, b, 4 * PAGE_SIZE, HCA_MEM_READ, w + 1), 0);
	assert_int_equal(w[1].len, PAGE_SIZE);
	ops->close(dev, w + 1);
	ops->close(dev, w);
	/* More windows than there are cells for; when all are closed, nobody waits. */
	for (i = 0; i < HCA_ARRAY_SIZE(w); i++)
		assert_int_equal(ops->open(dev, a, 1, HCA_MEM_READ, w + i), 0);
	while (i)
		ops->close(dev, &w[--i]);
	unmap(dev, a);
	unmap(dev, b);
	assert_int_equal(faults(dev, NULL), 0);
	unmake(dev);
}

static void window_stops_at_permission(void **state)
{
	struct device *dev = make(false, 0);
	const struct platform_ops *ops = dev->machine->ops;
	struct hca_mem_view w;
	dma_addr_t a[64];
	size_t i, k;

	(void)state;
	/* Mappings of neighbouring pages at neighbouring addresses, every other one only to be read. */
	for (i = 0; i < HCA_ARRAY_SIZE(a); i++)
		a[i] = map(dev, i * PAGE_SIZE, 1, i & 1 ? DMA_TO_DEVICE : DMA_BIDIRECTIONAL);
	for (i = 0; i + 1 < HCA_ARRAY_SIZE(a); i++) {
		if (a[i + 1] != a[i] + PAGE_SIZE)
			continue;
		assert_int_equal(ops->open(dev, a[i] + 5, 2 * PAGE_SIZE - 5, HCA_MEM_READ, &w), 0);
		assert_int_equal(w.len, 2 * PAGE_SIZE - 5);
		ops->close(dev, &w);
		if (i & 1)
			continue;
		assert_int_equal(ops->open(dev, a[i] + 5, 2 * PAGE_SIZE - 5, HCA_MEM_WRITE, &w), 0);
		assert_int_equal(w.len, PAGE_SIZE - 5);
		ops->close(dev, &w);
	}
	for (k = 0; k < HCA_ARRAY_SIZE(a); k++)
		unmap(dev, a[k]);
	unmake(dev);
}

static void huge_leaves(void **state)
{
	struct device *dev = make(false, 0);
	struct device_stats st;
	dma_addr_t a, b;
	u32 live, i;

	(void)state;
	a = map(dev, 0, 1, DMA_BIDIRECTIONAL);
	/* Long ranges lie elsewhere than short ones: their upper tables come with the first. */
	unmap(dev, map(dev, 4 * MIB, 8 * MIB, DMA_TO_DEVICE));
	live = test_live();
	b = map(dev, 4 * MIB, 8 * MIB, DMA_TO_DEVICE);
	assert_int_equal(b % HUGE_SIZE, 0);
	assert_int_equal(test_live(), live); /* no table was needed */
	reaches(dev, b, HCA_MEM_READ, 4 * MIB);
	st = stats_of(dev);
	for (i = 0; i < 512; i++)
		reaches(dev, b + i * PAGE_SIZE, HCA_MEM_READ, 4 * MIB + i * PAGE_SIZE);
	assert_int_equal(stats_of(dev).iotlb_misses, st.iotlb_misses); /* one entry for all of them */
	refused(dev, b + 5 * MIB, HCA_MEM_WRITE, FAULT_NO_WRITE);
	/* Inside, and in the first leaf but not at its beginning. */
	assert_int_equal(platform_unmap(dev, b + PAGE_SIZE, 1, DMA_TO_DEVICE, 0), -ENOENT);
	assert_int_equal(platform_unmap(dev, b + HUGE_SIZE, 1, DMA_TO_DEVICE, 0), -ENOENT);
	unmap(dev, b);
	refused(dev, b + 1, HCA_MEM_READ, FAULT_NOT_MAPPED);
	refused(dev, b + 8 * MIB - 1, HCA_MEM_READ, FAULT_NOT_MAPPED);
	/* The same addresses with small pages, and back. */
	b = map(dev, 4 * MIB + PAGE_SIZE, 2 * MIB - PAGE_SIZE, DMA_BIDIRECTIONAL);
	assert_true(test_live() > live);
	live = test_live();
	reaches(dev, b + 2 * MIB - PAGE_SIZE - 1, HCA_MEM_WRITE, 6 * MIB - 1);
	unmap(dev, b);
	b = map(dev, 4 * MIB, 2 * MIB, DMA_BIDIRECTIONAL);
	reaches(dev, b + 2 * MIB - 1, HCA_MEM_WRITE, 6 * MIB - 1);
	unmap(dev, b);
	/* An unaligned head and tail around leaves. */
	b = map(dev, 3 * MIB + 5, 5 * MIB, DMA_BIDIRECTIONAL);
	assert_true(b % HUGE_SIZE == 1 * MIB + 5);
	for (i = 0; i < 5; i++)
		reaches(dev, b + i * MIB, HCA_MEM_WRITE, 3 * MIB + 5 + i * MIB);
	unmap(dev, b);
	unmap(dev, a);
	assert_int_equal(stats_of(dev).iova_pages, 0);
	unmake(dev);
}

static void refused_unmaps(void **state)
{
	int lazy;

	(void)state;
	for (lazy = 0; lazy < 2; lazy++) {
		struct device *dev = make(lazy, 0);
		dma_addr_t a = map(dev, PAGE_SIZE, 3 * PAGE_SIZE, DMA_BIDIRECTIONAL), b = map(dev, 0, 1, DMA_TO_DEVICE);
		static const u64 wrong[] = {
			0, 1, HUGE_SIZE, 1ull << 39, 1ull << 40, 1ull << 47, 1ull << 48, 1ull << 63
		};
		size_t i;

		assert_int_equal(platform_unmap(dev, a + PAGE_SIZE, 2 * PAGE_SIZE, DMA_BIDIRECTIONAL, 0), -ENOENT);
		assert_int_equal(platform_unmap(dev, a + 2 * PAGE_SIZE, 1, DMA_BIDIRECTIONAL, 0), -ENOENT);
		assert_int_equal(platform_unmap(dev, a + 3 * PAGE_SIZE, 1, DMA_BIDIRECTIONAL, 0), -ENOENT);
		for (i = 0; i < HCA_ARRAY_SIZE(wrong); i++)
			if (hca_dma_addr(wrong[i]) != a && hca_dma_addr(wrong[i]) != b)
				assert_int_equal(platform_unmap(dev, hca_dma_addr(wrong[i]), 1, DMA_BIDIRECTIONAL, 0),
						 -ENOENT);
		reaches(dev, a + 2 * PAGE_SIZE, HCA_MEM_WRITE, 3 * PAGE_SIZE);
		/* However little the caller says it is, the mapping ends whole. */
		assert_int_equal(platform_unmap(dev, a, 1, DMA_TO_DEVICE, 0), 0);
		assert_int_equal(platform_unmap(dev, a, 3 * PAGE_SIZE, DMA_BIDIRECTIONAL, 0), -ENOENT);
		unmap(dev, b);
		assert_int_equal(platform_unmap(dev, b, 1, DMA_TO_DEVICE, 0), -ENOENT);
		device_flush(dev);
		refused(dev, a + 2 * PAGE_SIZE, HCA_MEM_READ, FAULT_NOT_MAPPED);
		assert_int_equal(stats_of(dev).iova_pages, 0);
		unmake(dev);
	}
}

static void coherent_memory(void **state)
{
	static const size_t sizes[] = { 1, 4096, 4097, 12288, 65536, 3 * MIB };
	int lazy;
	size_t i;

	(void)state;
	for (lazy = 0; lazy < 2; lazy++) {
		struct device *dev = make(lazy, 0);
		struct machine *m = dev->machine;
		u64 free = machine_free_pages(m);

		for (i = 0; i < HCA_ARRAY_SIZE(sizes); i++) {
			const struct platform_ops *ops = m->ops;
			hca_dma_addr_t h;
			void *cpu;

			assert_int_equal(ops->alloc(dev, sizes[i], GFP_HIGHUSER, &cpu, &h), 0);
			memset(cpu, 'x', sizes[i]);
			reaches(dev, h, HCA_MEM_RMW, machine_ptr_offset(m, cpu));
			reaches(dev, h + (sizes[i] - 1), HCA_MEM_RMW, machine_ptr_offset(m, cpu) + sizes[i] - 1);
			assert_int_equal(platform_unmap(dev, h, sizes[i], DMA_BIDIRECTIONAL, 0), -ENOENT);
			assert_int_equal(ops->free(dev, sizes[i], (char *)cpu + 1, h), -ENOENT);
			assert_int_equal(ops->free(dev, sizes[i], &h, h), -ENOENT);
			assert_int_equal(ops->free(dev, sizes[i], cpu, h + 1), -ENOENT);
			assert_int_equal(ops->free(dev, sizes[i], cpu, hca_dma_addr(0)), -ENOENT);
			assert_int_equal(ops->free(dev, sizes[i], cpu, h), 0);
			assert_int_equal(ops->free(dev, sizes[i], cpu, h), -ENOENT);
			refused(dev, h, HCA_MEM_READ, FAULT_NOT_MAPPED);
			h = map(dev, 0, 1, DMA_BIDIRECTIONAL);
			assert_int_equal(ops->free(dev, 1, machine_offset_virt(m, 0), h), -ENOENT);
			unmap(dev, h);
			device_flush(dev);
			assert_int_equal(machine_free_pages(m), free);
			assert_int_equal(stats_of(dev).iova_pages, 0);
		}
		unmake(dev);
	}
}

static void sync_wants_a_mapping(void **state)
{
	struct device *dev = make(false, 0);
	const struct platform_ops *ops = dev->machine->ops;
	dma_addr_t a = map(dev, 100, 3 * PAGE_SIZE - 200, DMA_BIDIRECTIONAL);

	(void)state;
	assert_int_equal(ops->sync(dev, a, 3 * PAGE_SIZE - 200, DMA_BIDIRECTIONAL, true), 0);
	assert_int_equal(ops->sync(dev, a + 2 * PAGE_SIZE, 4, DMA_BIDIRECTIONAL, false), 0);
	assert_int_equal(ops->sync(dev, a, 3 * PAGE_SIZE - 99, DMA_BIDIRECTIONAL, false), -ENOENT);
	assert_int_equal(ops->sync(dev, a, ~0ull, DMA_BIDIRECTIONAL, false), -ENOENT);
	assert_int_equal(ops->sync(dev, hca_dma_addr(5), 1, DMA_BIDIRECTIONAL, false), -ENOENT);
	assert_int_equal(ops->sync(dev, hca_dma_addr(1ull << 60), 1, DMA_BIDIRECTIONAL, false), -ENOENT);
	unmap(dev, a);
	unmake(dev);
}

static void strict_unmap_ends_it(void **state)
{
	struct device *dev = make(false, 0);
	struct device_stats st;
	dma_addr_t a[200];
	size_t i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(a); i++) {
		a[i] = map(dev, i * PAGE_SIZE, 1, DMA_BIDIRECTIONAL);
		reaches(dev, a[i], HCA_MEM_READ, i * PAGE_SIZE);
		reaches(dev, a[i], HCA_MEM_READ, i * PAGE_SIZE);
	}
	st = stats_of(dev);
	assert_int_equal(st.iotlb_misses, HCA_ARRAY_SIZE(a));
	assert_int_equal(st.iotlb_hits, HCA_ARRAY_SIZE(a));
	assert_int_equal(st.iova_pages, HCA_ARRAY_SIZE(a));
	for (i = 0; i < HCA_ARRAY_SIZE(a); i++) {
		unmap(dev, a[i]);
		refused(dev, a[i], HCA_MEM_READ, FAULT_NOT_MAPPED);
	}
	st = stats_of(dev);
	assert_int_equal(st.iotlb_invalidations, HCA_ARRAY_SIZE(a));
	assert_int_equal(st.iotlb_flushes, 0);
	assert_int_equal(st.lazy_pending, 0);
	/* Many pages at once: one flush. */
	a[0] = map(dev, 0, 1 * MIB, DMA_BIDIRECTIONAL);
	reaches(dev, a[0] + PAGE_SIZE, HCA_MEM_READ, PAGE_SIZE);
	unmap(dev, a[0]);
	refused(dev, a[0] + PAGE_SIZE, HCA_MEM_READ, FAULT_NOT_MAPPED);
	assert_int_equal(stats_of(dev).iotlb_flushes, 1);
	unmake(dev);
}

static void lazy_unmap_is_a_hazard(void **state)
{
	struct device *dev = make(true, 0);
	dma_addr_t seen = map(dev, 0, 1, DMA_BIDIRECTIONAL), unseen = map(dev, PAGE_SIZE, 1, DMA_BIDIRECTIONAL), a[300];
	struct device_stats st;
	size_t i;

	(void)state;
	reaches(dev, seen, HCA_MEM_READ, 0);
	unmap(dev, seen);
	unmap(dev, unseen);
	/* Unmapped both, but the IOTLB still knows the one that was used. */
	reaches(dev, seen, HCA_MEM_WRITE, 0);
	refused(dev, unseen, HCA_MEM_READ, FAULT_NOT_MAPPED);
	st = stats_of(dev);
	assert_int_equal(st.lazy_pending, 2);
	assert_int_equal(st.iova_pages, 2);
	assert_int_equal(st.iotlb_flushes, 0);
	/* Its address is nobody else's yet. */
	for (i = 0; i < HCA_ARRAY_SIZE(a); i++) {
		a[i] = map(dev, 2 * PAGE_SIZE, 1, DMA_TO_DEVICE);
		assert_true(a[i] != seen && a[i] != unseen);
	}
	device_flush(dev);
	refused(dev, seen, HCA_MEM_READ, FAULT_NOT_MAPPED);
	st = stats_of(dev);
	assert_int_equal(st.lazy_pending, 0);
	assert_int_equal(st.iotlb_flushes, 1);
	device_flush(dev);
	assert_int_equal(stats_of(dev).iotlb_flushes, 1); /* nothing to do */
	/* The queue's 257th entry flushes the 256 before it. */
	reaches(dev, a[0], HCA_MEM_READ, 2 * PAGE_SIZE);
	for (i = 0; i < 256; i++)
		unmap(dev, a[i]);
	reaches(dev, a[0], HCA_MEM_READ, 2 * PAGE_SIZE);
	unmap(dev, a[256]);
	refused(dev, a[0], HCA_MEM_READ, FAULT_NOT_MAPPED);
	assert_int_equal(stats_of(dev).lazy_pending, 1);
	unmake(dev);
}

/* After 10 ms, as the flush queue's timer of Linux's drivers/iommu/dma-iommu.c has it, and nobody need call again. */
static void lazy_unmap_ends_in_time(void **state)
{
	struct device *dev = make(true, 0);
	dma_addr_t a, b;
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		a = map(dev, 0, 1, DMA_BIDIRECTIONAL);
		b = map(dev, PAGE_SIZE, 1, DMA_BIDIRECTIONAL);
		reaches(dev, a, HCA_MEM_READ, 0);
		reaches(dev, b, HCA_MEM_READ, PAGE_SIZE);
		unmap(dev, a);
		test_clock_advance(9000000);
		unmap(dev, b);
		reaches(dev, a, HCA_MEM_READ, 0);
		assert_int_equal(stats_of(dev).lazy_pending, 2);
		test_clock_advance(1000001);
		refused(dev, a, HCA_MEM_READ, FAULT_NOT_MAPPED);
		refused(dev, b, HCA_MEM_READ, FAULT_NOT_MAPPED);
		assert_int_equal(stats_of(dev).lazy_pending, 0);
		assert_int_equal(stats_of(dev).iova_pages, 0);
	}
	/* A device that goes with something put off leaves no timer behind. */
	unmap(dev, map(dev, 0, 1, DMA_BIDIRECTIONAL));
	unmake(dev);
	test_clock_advance(20000000);
}

static void addresses_run_out(void **state)
{
	static dma_addr_t a[1024];
	int lazy;
	u32 i;

	(void)state;
	for (lazy = 0; lazy < 2; lazy++) {
		struct device *dev = make(lazy, 4 * MIB);

		assert_true(dma_max_mapping_size(dev) == 4 * MIB - PAGE_SIZE);
		for (i = 0; i < 1024; i++)
			a[i] = map(dev, i * PAGE_SIZE, 1, DMA_BIDIRECTIONAL);
		MAP_FAILS(platform_map(dev, 0, 1, DMA_BIDIRECTIONAL, 0), -ENOSPC);
		MAP_FAILS(platform_map(dev, 0, 2 * PAGE_SIZE, DMA_BIDIRECTIONAL, 0), -ENOSPC);
		REFUSED(hca_dma_errno(platform_map(dev, 0, 4 * MIB, DMA_BIDIRECTIONAL, 0)), -ENOSPC,
			"no I/O addresses for 1024 pages are free now");
		REFUSED(hca_dma_errno(platform_map(dev, 0, 5 * MIB, DMA_BIDIRECTIONAL, 0)), -EINVAL,
			"no I/O addresses for 1280 pages: more than the device has");
		for (i = 0; i < 1024; i++)
			reaches(dev, a[i], HCA_MEM_READ, i * PAGE_SIZE);
		unmap(dev, a[77]);
		a[77] = map(dev, 77 * PAGE_SIZE, 1, DMA_BIDIRECTIONAL); /* lazy: by a flush */
		for (i = 0; i < 1024; i++)
			unmap(dev, a[i]);
		/* What single pages left is there for everything else. */
		a[0] = map(dev, 0, 2 * MIB - PAGE_SIZE, DMA_BIDIRECTIONAL);
		a[1] = map(dev, 0, 1 * MIB, DMA_BIDIRECTIONAL);
		for (i = 2; i < 10; i++)
			a[i] = map(dev, 0, 4 * PAGE_SIZE << (i & 3), DMA_BIDIRECTIONAL);
		MAP_FAILS(platform_map(dev, 0, 1 * MIB, DMA_BIDIRECTIONAL, 0), -ENOSPC);
		while (i)
			unmap(dev, a[--i]);
		/* Leaves of 2 MiB would need a third one: small pages then. */
		a[0] = map(dev, 1 * MIB, 4 * MIB - PAGE_SIZE, DMA_BIDIRECTIONAL);
		reaches(dev, a[0] + 3 * MIB, HCA_MEM_READ, 4 * MIB);
		unmap(dev, a[0]);
		device_flush(dev);
		assert_int_equal(stats_of(dev).iova_pages, 0);
		unmake(dev);
	}
}

static void every_allocation_may_fail(void **state)
{
	static const struct {
		u64 off;
		u64 size;
	} at[] = { { 0, 1 }, { 5, 9000 }, { 2 * MIB, 4 * MIB }, { 1 * MIB + 3, 7 * MIB }, { 17 * MIB, 3 * MIB } };
	int lazy;
	size_t i;

	(void)state;
	for (i = 0; i < 2 * HCA_ARRAY_SIZE(at); i++) {
		lazy = i & 1;
		TEST_FAIL_LOOP(loop)
		{
			struct machine_attr ma = { .low_bytes = 16 * MIB, .high_bytes = 8 * MIB };
			struct device_attr da = { .name = "dev" };
			struct device *dev = NULL;
			struct machine *m = NULL;
			dma_addr_t a;
			hca_dma_addr_t h;
			void *cpu;
			int err;

			ma.platform = MACHINE_IOMMU;
			ma.iommu_lazy = lazy;
			err = machine_create(&ma, &m);
			if (!err)
				err = device_create(m, &da, &dev);
			if (err) {
				assert_int_equal(err, -ENOMEM);
				assert_int_equal(m ? machine_destroy(m) : 0, 0);
				continue;
			}
			a = platform_map(dev, at[i / 2].off, at[i / 2].size, DMA_BIDIRECTIONAL, 0);
			if (dma_mapping_error(dev, a)) {
				MAP_FAILS(a, -ENOMEM);
				assert_int_equal(stats_of(dev).iova_pages, 0);
				a = map(dev, at[i / 2].off, at[i / 2].size, DMA_BIDIRECTIONAL);
			}
			reaches(dev, a + (at[i / 2].size - 1), HCA_MEM_READ, at[i / 2].off + at[i / 2].size - 1);
			unmap(dev, a);
			err = m->ops->alloc(dev, 4 * MIB, GFP_KERNEL, &cpu, &h);
			if (!err)
				err = m->ops->free(dev, 4 * MIB, cpu, h);
			assert_true(!err || err == -ENOMEM);
			device_flush(dev);
			assert_int_equal(stats_of(dev).iova_pages, 0);
			device_destroy(dev);
			assert_int_equal(machine_destroy(m), 0);
		}
	}
}

/* --- a long random use against a plain model --- */

#define MODEL_MAX 200

struct model {
	dma_addr_t addr;
	u64 off;
	u64 size;
	int dir;
};

static void check_one(struct device *dev, const struct model *k, u64 at)
{
	dma_addr_t addr = k->addr + at;

	if (k->dir == DMA_FROM_DEVICE)
		refused(dev, addr, HCA_MEM_READ, FAULT_NO_READ);
	else
		reaches(dev, addr, HCA_MEM_READ, k->off + at);
	if (k->dir == DMA_TO_DEVICE)
		refused(dev, addr, HCA_MEM_WRITE, FAULT_NO_WRITE);
	else
		reaches(dev, addr, HCA_MEM_WRITE, k->off + at);
}

static bool overlaps(const struct model *a, const struct model *b)
{
	u64 a0 = a->addr / PAGE_SIZE, a1 = (a->addr + a->size - 1) / PAGE_SIZE;
	u64 b0 = b->addr / PAGE_SIZE, b1 = (b->addr + b->size - 1) / PAGE_SIZE;

	return a0 <= b1 && b0 <= a1;
}

static void random_use(struct device *dev, u32 steps)
{
	struct model live[MODEL_MAX], gone = { 0 };
	u32 n = 0, i, k;

	for (i = 0; i < steps; i++) {
		u32 r = hca_random_u32();

		if (n < MODEL_MAX && (!n || r % 2)) {
			struct model *new = &live[n];

			new->size = 1 + hca_random_u32() % (1u << (r >> 8) % 23);
			new->off = hca_random_u32() % (16 * MIB - new->size);
			new->dir = (int)((r >> 4) % 3);
			new->addr = platform_map(dev, new->off, new->size, new->dir, 0);
			if (dma_mapping_error(dev, new->addr)) {
				MAP_FAILS(new->addr, -ENOSPC);
				continue;
			}
			for (k = 0; k < n; k++)
				assert_false(overlaps(new, &live[k]));
			n++;
		} else {
			k = (r >> 8) % n;
			gone = live[k];
			live[k] = live[--n];
			unmap(dev, gone.addr);
			if (!dev->machine->lazy)
				refused(dev, gone.addr, HCA_MEM_READ, FAULT_NOT_MAPPED);
		}
		for (k = 0; k < 3 && n; k++) {
			const struct model *m = &live[hca_random_u32() % n];

			check_one(dev, m, hca_random_u32() % m->size);
		}
	}
	while (n)
		unmap(dev, live[--n].addr);
	device_flush(dev);
	assert_int_equal(stats_of(dev).iova_pages, 0);
}

static void random_use_keeps_to_the_model(void **state)
{
	int lazy;

	(void)state;
	for (lazy = 0; lazy < 2; lazy++) {
		struct device *dev = make(lazy, 0);

		random_use(dev, 6000);
		unmake(dev);
		dev = make(lazy, 20 * MIB);
		random_use(dev, 6000);
		unmake(dev);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(addresses_are_no_physical_ones, fresh),
		cmocka_unit_test_setup(direction_is_permission, fresh),
		cmocka_unit_test_setup(devices_are_apart, fresh),
		cmocka_unit_test_setup(ranges_of_all_sizes, fresh),
		cmocka_unit_test_setup(windows_nest_and_stop, fresh),
		cmocka_unit_test_setup(window_stops_at_permission, fresh),
		cmocka_unit_test_setup(huge_leaves, fresh),
		cmocka_unit_test_setup(refused_unmaps, fresh),
		cmocka_unit_test_setup(coherent_memory, fresh),
		cmocka_unit_test_setup(sync_wants_a_mapping, fresh),
		cmocka_unit_test_setup(strict_unmap_ends_it, fresh),
		cmocka_unit_test_setup(lazy_unmap_is_a_hazard, fresh),
		cmocka_unit_test_setup(lazy_unmap_ends_in_time, fresh),
		cmocka_unit_test_setup(addresses_run_out, fresh),
		cmocka_unit_test_setup(every_allocation_may_fail, fresh),
		cmocka_unit_test_setup(random_use_keeps_to_the_model, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
