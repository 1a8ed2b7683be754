/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dma_map_*() on the platforms without translation: each call and each of its errors on direct and bounce, lists
 * that are mapped all or not at all, what direct addresses are, and every allocation of it all failing in turn.
 */
#include "test_platform.h"
#include "why_fixture.h"

/* --- both platforms --- */

static void bad_devices(void **state)
{
	static const struct device_attr bad[] = {
		{ .dma_mask = 1 },
		{ .dma_mask = 4094 },
		{ .max_seg_size = 4095 },
		{ .seg_boundary_mask = 2047 },
		{ .seg_boundary_mask = 0x10000 },
		{ .seg_boundary_mask = 0xfff0ffff },
	};
	struct device_attr a = { .name = "a name that is too long for the place that it is put" };
	struct device *dev;
	struct bus b;
	size_t i, p;

	(void)state;
	for (p = 0; p < 2; p++) {
		bus_open(&b, p ? MACHINE_BOUNCE : MACHINE_DIRECT, 0);
		dev = (struct device *)&b;
		assert_true(b.dev->dma_mask == (p ? DMA_BIT_MASK(32) : ~0ull));
		assert_int_equal(dma_get_max_seg_size(b.dev), 2u << 30);
		assert_true(b.dev->seg_boundary_mask == DMA_BIT_MASK(32));
		for (i = 0; i < HCA_ARRAY_SIZE(bad); i++)
			assert_int_equal(device_create(b.m, &bad[i], &dev), -EINVAL);
		assert_int_equal(device_create(NULL, &a, &dev), -EINVAL);
		assert_int_equal(device_create(b.m, NULL, &dev), -EINVAL);
		assert_int_equal(device_create(b.m, &a, NULL), -EINVAL);
		assert_ptr_equal(dev, &b);
		assert_int_equal(device_create(b.m, &a, &dev), 0);
		assert_int_equal(strlen(dev->name), sizeof(dev->name) - 1);
		device_destroy(dev);
		device_destroy(NULL);
		bus_close(&b);
	}
}

static void bad_arguments(void **state)
{
	struct bus b, other;
	u8 *low;
	size_t p;
	int i;

	(void)state;
	bus_open(&other, MACHINE_DIRECT, 0);
	for (p = 0; p < 2; p++) {
		static const int bad_dirs[] = { DMA_NONE, 4, -1 };

		bus_open(&b, p ? MACHINE_BOUNCE : MACHINE_DIRECT, 0);
		low = (u8 *)b.m->map.virt;
		MAP_FAILS(dma_map_single(NULL, low, 1, DMA_TO_DEVICE), -EINVAL);
		MAP_FAILS(dma_map_page(NULL, b.near, 0, 1, DMA_TO_DEVICE), -EINVAL);
		MAP_FAILS(dma_map_single(b.dev, NULL, 1, DMA_TO_DEVICE), -EFAULT);
		MAP_FAILS(dma_map_single(b.dev, &b, 1, DMA_TO_DEVICE), -EFAULT);
		MAP_FAILS(dma_map_single(b.dev, (void *)other.m->map.virt, 1, DMA_TO_DEVICE), -EFAULT);
		MAP_FAILS(dma_map_single(b.dev, b.m->bus_view, 1, DMA_TO_DEVICE), -EFAULT);
		MAP_FAILS(dma_map_single(b.dev, low - 1, 2, DMA_TO_DEVICE), -EFAULT);
		MAP_FAILS(dma_map_single(b.dev, low, 0, DMA_TO_DEVICE), -EINVAL);
		MAP_FAILS(dma_map_single(b.dev, low + 16 * MIB - 1, 2, DMA_TO_DEVICE), -EINVAL);
		MAP_FAILS(dma_map_single(b.dev, low + 16 * MIB, 1, DMA_TO_DEVICE), -EFAULT);
		MAP_FAILS(dma_map_single(b.dev, low + 1, SIZE_MAX, DMA_TO_DEVICE), -EFAULT);
		MAP_FAILS(dma_map_page(b.dev, NULL, 0, 1, DMA_TO_DEVICE), -EFAULT);
		MAP_FAILS(dma_map_page(b.dev, (struct page *)&b, 0, 1, DMA_TO_DEVICE), -EFAULT);
		MAP_FAILS(dma_map_page(b.dev, other.near, 0, 1, DMA_TO_DEVICE), -EFAULT);
		MAP_FAILS(dma_map_page(b.dev, (struct page *)((char *)b.near + 4), 0, 1, DMA_TO_DEVICE), -EFAULT);
		MAP_FAILS(dma_map_page(b.dev, b.near, 16 * MIB, 1, DMA_TO_DEVICE), -EFAULT);
		MAP_FAILS(dma_map_page(b.dev, b.near, SIZE_MAX, 1, DMA_TO_DEVICE), -EFAULT);
		MAP_FAILS(dma_map_page(b.dev, b.near, 0, 0, DMA_TO_DEVICE), -EINVAL);
		MAP_FAILS(dma_map_page(b.dev, b.high, 1, SIZE_MAX, DMA_TO_DEVICE), -EFAULT);
		MAP_FAILS(dma_map_page(b.dev, page_from_offset(b.m, 18 * MIB - 1), 4095, 2, DMA_TO_DEVICE), -EFAULT);
		MAP_FAILS(dma_map_page(b.dev, page_from_offset(b.m, 16 * MIB - 1), 4095, 2, DMA_TO_DEVICE), -EINVAL);
		for (i = 0; i < (int)HCA_ARRAY_SIZE(bad_dirs); i++) {
			enum dma_data_direction dir = (enum dma_data_direction)bad_dirs[i];
			dma_addr_t addr;

			MAP_FAILS(dma_map_single(b.dev, low, 1, dir), -EINVAL);
			MAP_FAILS(dma_map_page(b.dev, b.near, 0, 1, dir), -EINVAL);
			addr = dma_map_page(b.dev, b.near, 0, 1, DMA_TO_DEVICE);
			dma_unmap_page(b.dev, addr, 1, dir);
			dma_sync_single_for_cpu(b.dev, addr, 1, dir);
			assert_int_equal(stats_of(b.dev).refused_unmaps, i + 1);
			dma_unmap_page(b.dev, addr, 1, DMA_TO_DEVICE);
		}
		assert_int_equal(stats_of(b.dev).maps, HCA_ARRAY_SIZE(bad_dirs));
		bus_close(&b);
	}
	bus_close(&other);
}

static void bad_unmaps_and_syncs(void **state)
{
	struct device_stats st;
	struct bus b;
	size_t p, i;

	(void)state;
	for (p = 0; p < 2; p++) {
		u64 base, bad[6];

		bus_open(&b, p ? MACHINE_BOUNCE : MACHINE_DIRECT, 0);
		base = b.m->bus_base;
		bad[0] = 0;
		bad[1] = b.m->map.phys;
		bad[2] = base - 1;
		bad[3] = base + b.m->map.all_bytes;
		bad[4] = ~0ull;
		bad[5] = base + b.m->map.all_bytes - 1; /* one byte too long */
		for (i = 0; i < HCA_ARRAY_SIZE(bad); i++) {
			dma_unmap_single(b.dev, hca_dma_addr(bad[i]), 2, DMA_TO_DEVICE);
			dma_unmap_page(b.dev, hca_dma_addr(bad[i]), 2, DMA_TO_DEVICE);
			dma_sync_single_for_cpu(b.dev, hca_dma_addr(bad[i]), 2, DMA_TO_DEVICE);
			dma_sync_single_for_device(b.dev, hca_dma_addr(bad[i]), 2, DMA_TO_DEVICE);
			dma_free_coherent(b.dev, 2, page_address(b.near), hca_dma_addr(bad[i]));
		}
		dma_unmap_single(b.dev, hca_dma_addr(base), 0, DMA_TO_DEVICE);
		dma_sync_single_for_cpu(b.dev, hca_dma_addr(base), 0, DMA_TO_DEVICE);
		dma_unmap_single(NULL, hca_dma_addr(base), 1, DMA_TO_DEVICE);
		dma_unmap_sg(b.dev, NULL, 1, DMA_TO_DEVICE);
		dma_sync_sg_for_cpu(b.dev, NULL, 1, DMA_TO_DEVICE);
		st = stats_of(b.dev);
		assert_int_equal(st.refused_unmaps, 2 * HCA_ARRAY_SIZE(bad) + 2);
		assert_int_equal(st.unmaps, 0);
		bus_close(&b);
	}
}

static void coherent_memory(void **state)
{
	static const size_t sizes[] = { 1, 4096, 4097, 100000, 262144 };
	struct bus b;
	size_t p, i, j;

	(void)state;
	for (p = 0; p < 2; p++) {
		bus_open(&b, p ? MACHINE_BOUNCE : MACHINE_DIRECT, 0);
		for (i = 0; i < HCA_ARRAY_SIZE(sizes); i++) {
			dma_addr_t addr;
			u8 *cpu = dma_alloc_coherent(b.dev, sizes[i], &addr, GFP_KERNEL | __GFP_HIGHMEM);
			u8 back;

			assert_non_null(cpu);
			for (j = 0; j < sizes[i]; j++)
				assert_int_equal(cpu[j], 0);
			cpu[sizes[i] - 1] = 77;
			assert_int_equal(device_read(b.dev, addr + (sizes[i] - 1), &back, 1), 0);
			assert_int_equal(back, 77);
			dma_free_coherent(b.dev, 4 * sizes[i] + 8192, cpu, addr);
			dma_free_coherent(b.dev, sizes[i], cpu + 4096, addr + 4096);
			dma_free_coherent(b.dev, sizes[i], cpu, addr + 4096);
			dma_free_coherent(b.dev, 0, cpu, addr);
			dma_free_coherent(b.dev, sizes[i], cpu, addr);
			dma_free_coherent(b.dev, sizes[i], cpu, addr);
		}
		assert_null(dma_alloc_coherent(b.dev, 0, &(dma_addr_t){ 0 }, GFP_KERNEL));
		assert_null(dma_alloc_coherent(b.dev, 1, NULL, GFP_KERNEL));
		assert_null(dma_alloc_coherent(NULL, 1, &(dma_addr_t){ 0 }, GFP_KERNEL));
		assert_null(dma_alloc_coherent(b.dev, 32 * MIB, &(dma_addr_t){ 0 }, GFP_KERNEL));
		assert_null(dma_alloc_coherent(b.dev, SIZE_MAX, &(dma_addr_t){ 0 }, GFP_KERNEL));
		bus_close(&b);
	}
}

/* --- lists --- */

static void bad_lists(void **state)
{
	struct scatterlist sg[4];
	struct sg_table table = { .sgl = sg, .nents = 77, .orig_nents = 4 };
	struct bus b, other;
	int bad;
	size_t p;

	(void)state;
	bus_open(&other, MACHINE_DIRECT, 0);
	for (p = 0; p < 2; p++) {
		u64 before;

		bus_open(&b, p ? MACHINE_BOUNCE : MACHINE_DIRECT, 0);
		before = stats_of(b.dev).bounce_slots;
#define GOOD_LIST \
	do { \
		int i_; \
		sg_init_table(sg, 4); \
		for (i_ = 0; i_ < 4; i_++) \
			sg_set_page(&sg[i_], b.far + i_, 4096, 0); \
	} while (0)
#define LIST_FAILS(n, dir, err, at) \
	do { \
		bad = -1; \
		assert_int_equal(list_check(b.m, sg, n, (int)(dir), b.dev->max_seg_size, false, &bad), err); \
		assert_int_equal(bad, at); \
		assert_int_equal(dma_map_sg(b.dev, sg, n, dir), 0); \
		assert_int_equal(platform_map_list(b.dev, sg, n, (int)(dir), 0), err); \
		assert_int_equal(stats_of(b.dev).bounce_slots, before); \
	} while (0)
		GOOD_LIST;
		LIST_FAILS(0, DMA_TO_DEVICE, -EINVAL, 0);
		LIST_FAILS(-1, DMA_TO_DEVICE, -EINVAL, 0);
		LIST_FAILS(5, DMA_TO_DEVICE, -EINVAL, 4);
		LIST_FAILS(4, DMA_NONE, -EINVAL, 0);
		sg[2].length = 0;
		LIST_FAILS(4, DMA_TO_DEVICE, -EINVAL, 2);
		GOOD_LIST;
		sg[3].offset = 0xfffff000;
		LIST_FAILS(4, DMA_TO_DEVICE, -EFAULT, 3);
		assert_int_equal(dma_map_sgtable(b.dev, &table, DMA_TO_DEVICE, 0), -EFAULT);
		assert_int_equal(table.nents, 77);
		GOOD_LIST;
		sg_set_page(&sg[1], other.near, 4096, 0);
		LIST_FAILS(4, DMA_TO_DEVICE, -EFAULT, 1);
		GOOD_LIST;
		sg_set_page(&sg[1], NULL, 4096, 0);
		LIST_FAILS(4, DMA_TO_DEVICE, -EFAULT, 1);
		GOOD_LIST;
		sg_set_page(&sg[0], page_from_offset(b.m, 18 * MIB - 1), 4097, 0);
		LIST_FAILS(4, DMA_TO_DEVICE, -EFAULT, 0);
		sg_set_page(&sg[0], page_from_offset(b.m, 16 * MIB - 1), 4097, 0);
		LIST_FAILS(4, DMA_TO_DEVICE, -EINVAL, 0);
		GOOD_LIST;
		b.dev->max_seg_size = 4096;
		sg_set_page(&sg[3], b.far, 4097, 0);
		LIST_FAILS(4, DMA_TO_DEVICE, -EINVAL, 3);
		GOOD_LIST;
		sg_set_page(&sg[2], b.high, 10, 0);
		assert_int_equal(list_check(b.m, sg, 4, DMA_TO_DEVICE, 0, true, &bad), -EOPNOTSUPP);
		assert_int_equal(bad, 2);
		assert_int_equal(list_check(b.m, sg, 2, DMA_TO_DEVICE, 0, true, NULL), 0);
		assert_int_equal(list_check(b.m, NULL, 2, DMA_TO_DEVICE, 0, true, NULL), -EINVAL);
		assert_int_equal(dma_map_sg(b.dev, NULL, 2, DMA_TO_DEVICE), 0);
		assert_int_equal(dma_map_sg(NULL, sg, 2, DMA_TO_DEVICE), 0);
		assert_int_equal(dma_map_sgtable(b.dev, NULL, DMA_TO_DEVICE, 0), -EINVAL);
		assert_int_equal(dma_map_sgtable(NULL, &table, DMA_TO_DEVICE, 0), -EINVAL);
		bus_close(&b);
	}
	bus_close(&other);
}

static void lists_carry_bytes(void **state)
{
	struct bus b;
	size_t p;

	(void)state;
	for (p = 0; p < 2; p++) {
		struct scatterlist sg[5], *s;
		struct sg_table table = { .sgl = sg, .orig_nents = 5 };
		u8 in[5000], out[5000];
		u32 at = 0;
		unsigned int i;

		bus_open(&b, p ? MACHINE_BOUNCE : MACHINE_DIRECT, 0);
		sg_init_table(sg, 5);
		sg_set_page(&sg[0], b.near, 1000, 3000);
		sg_set_page(&sg[1], b.far, 1000, 4095);
		sg_set_page(&sg[2], b.high, 1000, 3500);
		sg_set_page(&sg[3], b.far + 3, 1000, 1);
		sg_set_page(&sg[4], b.near + 1, 1000, 0);
		for (i = 0; i < 5000; i++)
			in[i] = (u8)(i * 7 + i / 256);
		assert_int_equal(sg_copy_from_buffer(sg, 5, in, 5000), 5000);
		assert_int_equal(dma_map_sgtable(b.dev, &table, DMA_BIDIRECTIONAL, 0), 0);
		assert_int_equal(table.nents, 5);
		for_each_sgtable_dma_sg(&table, s, i) {
			assert_int_equal(sg_dma_len(s), 1000);
			assert_true((sg_dma_address(s) & ~PAGE_MASK) == s->offset);
			assert_int_equal(device_read(b.dev, sg_dma_address(s), out + at, 1000), 0);
			at += 1000;
		}
		assert_memory_equal(in, out, 5000);
		for (i = 0; i < 5000; i++)
			in[i] = (u8)(in[i] ^ 0x55);
		at = 0;
		for_each_sgtable_dma_sg(&table, s, i) {
			assert_int_equal(device_write(b.dev, sg_dma_address(s), in + at, 1000), 0);
			at += 1000;
		}
		dma_sync_sg_for_cpu(b.dev, sg, 5, DMA_BIDIRECTIONAL);
		assert_int_equal(sg_copy_to_buffer(sg, 5, out, 5000), 5000);
		assert_memory_equal(in, out, 5000);
		memset(in, 9, sizeof(in));
		assert_int_equal(sg_copy_from_buffer(sg, 5, in, 5000), 5000);
		dma_sync_sg_for_device(b.dev, sg, 5, DMA_BIDIRECTIONAL);
		assert_int_equal(device_read(b.dev, sg_dma_address(&sg[3]), out, 1000), 0);
		assert_memory_equal(in, out, 1000);
		dma_unmap_sg(b.dev, sg, 5, DMA_BIDIRECTIONAL);
		assert_int_equal(stats_of(b.dev).maps, 1);
		assert_int_equal(stats_of(b.dev).unmaps, 1);
		assert_int_equal(stats_of(b.dev).bounce_slots, 0);
		assert_int_equal(stats_of(b.dev).bounced, p ? 3 : 0);
		if (p) {
			dma_unmap_sg(b.dev, &sg[1], 3, DMA_BIDIRECTIONAL);
			assert_int_equal(stats_of(b.dev).refused_unmaps, 1);
		}
		bus_close(&b);
	}
}

static void lists_keep_inside_boundaries(void **state)
{
	struct device_attr attr = { .seg_boundary_mask = 0xffff };
	struct scatterlist sg[2];
	struct device *dev;
	struct bus b;
	size_t p;

	(void)state;
	for (p = 0; p < 2; p++) {
		bus_open(&b, p ? MACHINE_BOUNCE : MACHINE_DIRECT, 0);
		assert_int_equal(device_create(b.m, &attr, &dev), 0);
		sg_init_table(sg, 2);
		sg_set_page(&sg[0], b.far, 10000, 100);
		/* Page 15 of 16, and two bytes over the edge. */
		sg_set_page(&sg[1], b.near + 15, 4098, 0);
		REFUSED(platform_map_list(dev, sg, 2, DMA_TO_DEVICE, 0), -EIO,
			"list refused: entry 1 lies across a boundary of 0x10000 bytes");
		assert_int_equal(stats_of(dev).bounce_slots, 0);
		/* A copy is laid so that it doesn't cross, again and again. */
		sg_set_page(&sg[1], b.far + 15, 4096, 0);
		while (p && platform_map_list(dev, sg, 2, DMA_TO_DEVICE, 0) > 0) {
			u64 a = sg_dma_address(&sg[0]);

			assert_true(a >> 16 == (a + 9999) >> 16);
		}
		device_destroy(dev);
		bus_close(&b);
	}
}

/* --- direct --- */

static void direct_addresses(void **state)
{
	struct bus b;
	u8 one = 1, back;
	size_t i;

	(void)state;
	bus_open(&b, MACHINE_DIRECT, 0);
	for (i = 0; i < HCA_ARRAY_SIZE(dirs); i++) {
		dma_addr_t addr = dma_map_page(b.dev, b.high, 4095, 2, dirs[i]);
		u64 len = 100 * MIB;

		assert_int_equal(dma_mapping_error(b.dev, addr), 0);
		assert_true(addr > b.m->map.phys + b.m->map.all_bytes);
		assert_true(addr - page_to_phys(b.high) == b.m->bus_base - b.m->map.phys + 4095);
		memory_of(&b, b.high)[4096] = 42;
		assert_int_equal(device_read(b.dev, addr + 1, &back, 1), 0);
		assert_int_equal(back, 42);
		assert_int_equal(device_write(b.dev, addr, &one, 1), 0);
		assert_int_equal(memory_of(&b, b.high)[4095], 1);
		assert_true(b.m->ops->origin(b.dev, addr, &len) == offset_of(b.high) + 4095);
		assert_true(len == b.m->map.all_bytes - offset_of(b.high) - 4095);
		dma_sync_single_for_cpu(b.dev, addr, 2, dirs[i]);
		dma_sync_single_for_device(b.dev, addr, 2, dirs[i]);
		dma_unmap_page(b.dev, addr, 2, dirs[i]);
	}
	assert_int_equal(stats_of(b.dev).maps, 3);
	assert_int_equal(stats_of(b.dev).unmaps, 3);
	assert_int_equal(stats_of(b.dev).refused_unmaps, 0);
	assert_true(dma_max_mapping_size(b.dev) == 18 * MIB);
	device_flush(b.dev);
	bus_close(&b);
}

static void direct_windows(void **state)
{
	struct bus b;
	struct hca_mem_view w;
	struct bus_fault f;
	u64 len = 1;
	u64 end;

	(void)state;
	bus_open(&b, MACHINE_DIRECT, 0);
	end = b.m->bus_base + 18 * MIB;
	assert_int_equal(b.m->ops->open(b.dev, hca_dma_addr(b.m->bus_base), ~0ull, HCA_MEM_READ, &w), 0);
	assert_ptr_equal(w.ptr, b.m->bus_view);
	assert_true(w.len == 18 * MIB);
	b.m->ops->close(b.dev, &w);
	assert_int_equal(b.m->ops->open(b.dev, hca_dma_addr(end - 1), 2, HCA_MEM_READ, &w), 0);
	assert_true(w.len == 1);
	b.m->ops->close(b.dev, &w);
	assert_int_equal(b.m->ops->open(b.dev, hca_dma_addr(end), 1, HCA_MEM_RMW, &w), -EFAULT);
	assert_int_equal(machine_faults(b.m, &f, 1, NULL), 1);
	assert_int_equal(f.reason, FAULT_NO_MEMORY);
	assert_int_equal(f.access, 3);
	assert_int_equal(b.m->ops->open(b.dev, hca_dma_addr(b.m->bus_base - 1), 2, HCA_MEM_READ, &w), -EFAULT);
	assert_int_equal(b.m->ops->open(b.dev, hca_dma_addr(b.m->bus_base), 0, HCA_MEM_READ, &w), -EINVAL);
	assert_true(b.m->ops->origin(b.dev, hca_dma_addr(end), &len) == NO_MEMORY_HERE);
	bus_close(&b);
}

static void direct_mask(void **state)
{
	struct machine_attr ma = { .low_bytes = 4 * MIB };
	struct device_attr da = { 0 };
	struct hca_mem_view w;
	struct bus_fault f;
	struct machine *m;
	struct device *dev;
	struct page *low;
	dma_addr_t addr;
	u64 base;

	(void)state;
	assert_int_equal(machine_create(&ma, &m), 0);
	low = machine_alloc_pages(m, GFP_KERNEL, 10);
	base = m->bus_base;
	da.dma_mask = base + 4095;
	assert_int_equal(device_create(m, &da, &dev), 0);
	addr = dma_map_page(dev, low, 0, 4096, DMA_TO_DEVICE);
	assert_true(addr == base);
	MAP_FAILS(dma_map_page(dev, low, 0, 4097, DMA_TO_DEVICE), -EIO);
	MAP_FAILS(dma_map_page(dev, low + 1, 0, 1, DMA_TO_DEVICE), -EIO);
	assert_null(dma_alloc_coherent(dev, 4096, &addr, GFP_KERNEL));
	assert_int_equal(m->ops->open(dev, hca_dma_addr(base + 4000), 200, HCA_MEM_READ, &w), 0);
	assert_true(w.len == 96);
	assert_int_equal(m->ops->open(dev, hca_dma_addr(base + 4096), 1, HCA_MEM_READ, &w), -EFAULT);
	assert_int_equal(machine_faults(m, &f, 1, NULL), 1);
	assert_int_equal(f.reason, FAULT_BEYOND_MASK);
	device_destroy(dev);
	da.dma_mask = DMA_BIT_MASK(32);
	assert_int_equal(device_create(m, &da, &dev), 0);
	MAP_FAILS(dma_map_page(dev, low, 0, 1, DMA_TO_DEVICE), -EIO);
	device_destroy(dev);
	__free_pages(low, 10);
	assert_int_equal(machine_destroy(m), 0);
}

/* --- every fallible call failing in turn --- */

static void every_step_may_fail(void **state)
{
	static const enum machine_platform platforms[] = { MACHINE_DIRECT, MACHINE_BOUNCE, MACHINE_IOMMU };
	struct machine_attr ma = { .low_bytes = 16 * MIB, .high_bytes = 2 * MIB };
	struct device_attr da = { .name = "dev" };
	struct page *low, *high;
	struct scatterlist sg[2];
	size_t i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(platforms); i++) {
		struct machine *m;

		ma.platform = platforms[i];
		assert_int_equal(machine_create(&ma, &m), 0);
		low = machine_alloc_pages(m, GFP_KERNEL, 9);
		high = machine_alloc_pages(m, GFP_HIGHUSER, 1);
		sg_init_table(sg, 2);
		sg_set_page(&sg[0], low, 2 * (u32)MIB, 0);
		sg_set_page(&sg[1], high, 8000, 10);
		if (ma.platform == MACHINE_BOUNCE)
			sg[0].length = 200000;
		TEST_FAIL_LOOP(f)
		{
			struct device *dev = NULL;
			dma_addr_t addr;
			void *cpu;
			int err = device_create(m, &da, &dev);

			assert_int_equal(err, test_fail_hit() ? -ENOMEM : 0);
			if (err)
				continue;
			addr = dma_map_page(dev, high, 10, 5000, DMA_BIDIRECTIONAL);
			if (dma_mapping_error(dev, addr))
				MAP_FAILS(addr, -ENOMEM);
			else
				dma_unmap_page(dev, addr, 5000, DMA_BIDIRECTIONAL);
			err = platform_map_list(dev, sg, 2, DMA_BIDIRECTIONAL, 0);
			if (err > 0)
				dma_unmap_sg(dev, sg, 2, DMA_BIDIRECTIONAL);
			else
				assert_int_equal(err, -ENOMEM);
			cpu = dma_alloc_coherent(dev, 5000, &addr, GFP_KERNEL);
			if (cpu)
				dma_free_coherent(dev, 5000, cpu, addr);
			assert_int_equal(stats_of(dev).refused_unmaps, 0);
			assert_int_equal(stats_of(dev).bounce_slots, 0);
			device_destroy(dev);
		}
		__free_pages(low, 9);
		__free_pages(high, 1);
		assert_int_equal(machine_destroy(m), 0);
	}
}

/*
 * What dma_max_mapping_size() says can be mapped from any offset, as a range and as an entry of a list; one byte more is
 * -EINVAL, which no retry mends. Linux: kernel/dma/mapping.c, dma_max_mapping_size().
 */
static void the_longest_mapping(void **state)
{
	static const enum machine_platform platforms[] = { MACHINE_DIRECT, MACHINE_IOMMU, MACHINE_BOUNCE };
	struct machine_attr ma = { .low_bytes = 16 * MIB, .iommu_aperture = 4 * MIB };
	struct device_attr da = { .seg_boundary_mask = 0xffffff };
	struct scatterlist sg;
	struct device *dev;
	struct machine *m;
	size_t i, most;
	dma_addr_t a;
	u64 off;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(platforms); i++) {
		ma.platform = platforms[i];
		assert_int_equal(machine_create(&ma, &m), 0);
		da.dma_mask = platforms[i] == MACHINE_BOUNCE ? DMA_BIT_MASK(32) : 0;
		assert_int_equal(device_create(m, &da, &dev), 0);
		most = dma_max_mapping_size(dev);
		assert_int_equal(dma_get_seg_boundary(dev), 0xffffff);
		if (platforms[i] == MACHINE_DIRECT) {
			assert_int_equal(most, 16 * MIB);
			goto next;
		}
		assert_int_equal(most, platforms[i] == MACHINE_IOMMU ? 4 * MIB - PAGE_SIZE : 256 << 10);
		for (off = 11 * MIB - 1; off < 11 * MIB + 5000; off += 2500) {
			/* The upper half isn't within reach of 32 bits. */
			a = platform_map(dev, off, most, DMA_BIDIRECTIONAL, 0);
			assert_int_equal(dma_mapping_error(dev, a), 0);
			assert_int_equal(platform_unmap(dev, a, most, DMA_BIDIRECTIONAL, 0), 0);
		}
		a = platform_map(dev, 11 * MIB + 4095, most + PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
		assert_int_equal(dma_mapping_error(dev, a), -EINVAL);
		if (platforms[i] == MACHINE_BOUNCE) {
			sg_init_table(&sg, 1);
			sg_set_page(&sg, machine_pfn_to_page(m, (m->map.phys >> PAGE_SHIFT) + 3000),
				    (unsigned int)most + 1, 0);
			assert_int_equal(platform_map_list(dev, &sg, 1, DMA_BIDIRECTIONAL, 0), -EINVAL);
			sg.length = (unsigned int)most;
			assert_int_equal(platform_map_list(dev, &sg, 1, DMA_BIDIRECTIONAL, 0), 1);
			assert_int_equal(platform_unmap_list(dev, &sg, 1, DMA_BIDIRECTIONAL, 0), 0);
		}
next:
		device_destroy(dev);
		assert_int_equal(machine_destroy(m), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(bad_devices, fresh),
		cmocka_unit_test_setup(bad_arguments, fresh),
		cmocka_unit_test_setup(bad_unmaps_and_syncs, fresh),
		cmocka_unit_test_setup(coherent_memory, fresh),
		cmocka_unit_test_setup(bad_lists, fresh),
		cmocka_unit_test_setup(lists_carry_bytes, fresh),
		cmocka_unit_test_setup(lists_keep_inside_boundaries, fresh),
		cmocka_unit_test_setup(direct_addresses, fresh),
		cmocka_unit_test_setup(direct_windows, fresh),
		cmocka_unit_test_setup(direct_mask, fresh),
		cmocka_unit_test_setup(the_longest_mapping, fresh),
		cmocka_unit_test_setup(every_step_may_fail, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
