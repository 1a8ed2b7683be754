/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The machine: how it is made and refused, every step of it failing in turn, high memory and its temporary mappings
 * that are really gone afterwards, the adapters' view of memory, fault records.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <errno.h>
#include <cmocka.h>

#include "platform/platform.h"
#include "test_os.h"
#include "why_fixture.h"

#define MIB (1ull << 20)

static int fresh(void **state)
{
	(void)state;
	test_os_reset(1);
	return 0;
}

static struct machine *make(u64 low, u64 high)
{
	struct machine_attr attr = { .name = "test", .low_bytes = low, .high_bytes = high };
	struct machine *m;

	assert_int_equal(machine_create(&attr, &m), 0);
	return m;
}

static void unmake(struct machine *m)
{
	assert_int_equal(machine_destroy(m), 0);
}

/* --- touching what may not be there --- */

static sigjmp_buf touched_nothing;

static void on_fault(int sig)
{
	siglongjmp(touched_nothing, sig);
}

static bool can_read(const volatile void *at)
{
	struct sigaction sa = { .sa_handler = on_fault }, old;
	bool can = false;

	sigaction(SIGSEGV, &sa, &old);
	if (!sigsetjmp(touched_nothing, 1)) {
		(void)*(const volatile u8 *)at;
		can = true;
	}
	sigaction(SIGSEGV, &old, NULL);
	return can;
}

/* --- creation --- */

static void refused_attributes(void **state)
{
	static const struct machine_attr bad[] = {
		{ .low_bytes = 1 },
		{ .low_bytes = 1 * MIB },
		{ .low_bytes = 3 * MIB },
		{ .high_bytes = 4096 },
		{ .high_bytes = 2 * MIB + 1 },
		{ .phys = 4096 },
		{ .phys = (1ull << 52) - 2 * MIB },
		{ .phys = 1ull << 52 },
		{ .phys = 0ull - 2 * MIB },
		{ .low_bytes = 0ull - 2 * MIB },
		{ .high_bytes = 0ull - 2 * MIB },
		{ .low_bytes = 1ull << 51, .high_bytes = 1ull << 51 },
		{ .low_bytes = 1ull << 63, .high_bytes = 1ull << 63 },
		{ .platform = (enum machine_platform)3 },
		{ .platform = (enum machine_platform) - 1 },
		{ .iommu_aperture = 4096 },
		{ .bounce_bytes = 4096 },
		{ .platform = MACHINE_BOUNCE, .low_bytes = 2 * MIB },
		{ .platform = MACHINE_BOUNCE, .low_bytes = 4 * MIB, .bounce_bytes = 4 * MIB },
		{ .platform = MACHINE_BOUNCE, .low_bytes = 4 * MIB, .bounce_bytes = 0ull - 2 * MIB },
	};
	struct machine *m = (struct machine *)&bad;
	struct machine_attr none = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(bad); i++)
		assert_int_equal(machine_create(&bad[i], &m), -EINVAL);
	assert_int_equal(machine_create(NULL, &m), -EINVAL);
	assert_int_equal(machine_create(&none, NULL), -EINVAL);
	assert_int_equal(machine_destroy(NULL), -EINVAL);
	assert_ptr_equal(m, &bad);
	assert_null(machine_current());
}

static void too_large_for_the_host(void **state)
{
	struct machine_attr attr = { .low_bytes = 1ull << 50 };
	struct machine *m = NULL;

	(void)state;
	REFUSED(machine_create(&attr, &m), -ENOMEM, "a process has no room for 1125899906842624 bytes");
	assert_null(m);
}

static void defaults(void **state)
{
	struct machine_attr attr = { 0 };
	const struct machine_map *map;
	struct machine *m;

	(void)state;
	assert_int_equal(machine_create(&attr, &m), 0);
	map = machine_map(m);
	assert_true(map->low_bytes == 64 * MIB);
	assert_true(map->all_bytes == 64 * MIB);
	assert_true(map->phys == 1024 * MIB);
	assert_true(!(map->virt & (HUGE_SIZE - 1)));
	assert_true(machine_free_pages(m) == 64 * MIB / PAGE_SIZE);
	assert_string_equal(machine_name(m), "machine");
	assert_true(m->aperture == 64ull << 30);
	unmake(m);
}

static void bounce_defaults(void **state)
{
	struct machine_attr attr = { .platform = MACHINE_BOUNCE, .low_bytes = 16 * MIB };
	struct machine *m;

	(void)state;
	assert_int_equal(machine_create(&attr, &m), 0);
	assert_true(m->reserved == 2 * MIB);
	assert_true(m->bus_base == (4096 - 10) * MIB);
	assert_true(m->bus_base != m->map.phys);
	assert_true(machine_free_pages(m) == 14 * MIB / PAGE_SIZE);
	unmake(m);
	attr.low_bytes = 64 * MIB;
	assert_int_equal(machine_create(&attr, &m), 0);
	assert_true(m->reserved == 4 * MIB);
	unmake(m);
}

static void current_machine(void **state)
{
	struct machine *a, *b;
	struct page *page;

	(void)state;
	assert_null(machine_current());
	assert_null(alloc_pages(GFP_KERNEL, 0));
	a = make(2 * MIB, 0);
	b = make(2 * MIB, 0);
	assert_ptr_equal(machine_current(), a);
	page = alloc_page(GFP_KERNEL);
	assert_ptr_equal(page->map, machine_map(a));
	__free_page(page);
	machine_set_current(b);
	page = alloc_page(GFP_KERNEL);
	assert_ptr_equal(page->map, machine_map(b));
	assert_ptr_equal(virt_to_page(page_address(page)), page);
	__free_page(page);
	machine_set_current(NULL);
	assert_null(machine_current());
	unmake(a);
	machine_set_current(b);
	unmake(b);
	assert_null(machine_current());
}

static void many_machines(void **state)
{
	struct machine_attr attr = { .low_bytes = 2 * MIB };
	struct machine *m[65];
	size_t n, i;

	(void)state;
	for (n = 0; n < HCA_ARRAY_SIZE(m) && !machine_create(&attr, &m[n]); n++)
		;
	assert_int_equal(n, 64);
	for (i = 0; i < n; i++)
		assert_ptr_equal(virt_to_page((void *)machine_map(m[i])->virt), machine_map(m[i])->pages);
	for (i = 0; i < n; i++)
		unmake(m[i]);
}

static void every_step_may_fail(void **state)
{
	static const enum machine_platform platforms[] = { MACHINE_DIRECT, MACHINE_BOUNCE, MACHINE_IOMMU };
	struct machine_attr attr = { .low_bytes = 4 * MIB, .high_bytes = 2 * MIB, .guard = true };
	u32 most = 0;
	size_t i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(platforms); i++) {
		attr.platform = platforms[i];
		TEST_FAIL_LOOP(f)
		{
			struct machine *m = NULL;
			int err = machine_create(&attr, &m);

			assert_int_equal(err, test_fail_hit() ? -ENOMEM : 0);
			assert_int_equal(!m, err != 0);
			assert_ptr_equal(machine_current(), m);
			if (m)
				unmake(m);
			most = f.n;
		}
		/* The arena, two views of it, its pages, the window and its bitmap, the faults, the hits: that at least. */
		assert_true(most > 10);
	}
}

static void mapping_a_page_may_fail(void **state)
{
	struct machine *m = make(2 * MIB, 2 * MIB);
	struct page *page = machine_alloc_pages(m, GFP_HIGHUSER, 0);
	u32 failed = 0;

	(void)state;
	TEST_FAIL_LOOP(f)
	{
		void *at = kmap_local_page(page);

		assert_int_equal(!at, test_fail_hit());
		failed += !at;
		if (at)
			kunmap_local(at);
		at = kmap_offset(m, page_index(page) * PAGE_SIZE);
		if (at)
			kunmap_local(at);
	}
	assert_int_equal(failed, 1);
	__free_page(page);
	unmake(m);
}

static void busy_machines_stay(void **state)
{
	struct machine *m = make(2 * MIB, 2 * MIB);
	struct device_attr attr = { 0 };
	struct device *dev;
	struct page *page;

	(void)state;
	page = machine_alloc_pages(m, GFP_HIGHUSER, 1);
	assert_int_equal(machine_destroy(m), -EBUSY);
	assert_true(machine_free_pages(m) == 1022);
	__free_pages(page, 1);
	assert_int_equal(device_create(m, &attr, &dev), 0);
	assert_int_equal(machine_destroy(m), -EBUSY);
	assert_ptr_equal(machine_current(), m);
	device_destroy(dev);
	unmake(m);
}

static void untouched_memory_is_free(void **state)
{
	struct machine *m = make(64 * MIB, 192 * MIB);
	struct stat st;

	(void)state;
	assert_int_equal(fstat(m->arena, &st), 0);
	assert_true((u64)st.st_size == 256 * MIB);
	assert_int_equal(st.st_blocks, 0);
	unmake(m);
}

/* --- views --- */

static void adapters_see_what_the_cpu_writes(void **state)
{
	struct machine *m = make(2 * MIB, 2 * MIB);
	struct page *page = machine_alloc_pages(m, GFP_KERNEL, 0);
	u8 *cpu = page_address(page);
	u8 *bus = machine_bus_ptr(m, page_index(page) * PAGE_SIZE);

	(void)state;
	assert_ptr_not_equal(cpu, bus);
	cpu[100] = 1;
	assert_int_equal(*(volatile u8 *)&bus[100], 1);
	bus[4095] = 2;
	assert_int_equal(*(volatile u8 *)&cpu[4095], 2);
	__free_page(page);
	unmake(m);
}

static void low_pages_need_no_mapping(void **state)
{
	struct machine *m = make(2 * MIB, 0);
	struct page *page = machine_alloc_pages(m, GFP_KERNEL, 0);
	u64 off = page_index(page) * PAGE_SIZE;
	u8 *at = kmap_local_page(page);

	(void)state;
	assert_ptr_equal(at, page_address(page));
	kunmap_local(at + 17);
	assert_true(can_read(at));
	at = kmap_offset(m, off + 5);
	assert_ptr_equal(at, machine_bus_ptr(m, off));
	kunmap_local(at);
	assert_true(can_read(at));
	assert_null(kmap_offset(m, 2 * MIB));
	assert_null(kmap_offset(m, NO_MEMORY_HERE));
	__free_page(page);
	unmake(m);
}

static void high_pages_are_mapped_for_a_time(void **state)
{
	struct machine *m = make(2 * MIB, 2 * MIB);
	struct page *page = machine_alloc_pages(m, GFP_HIGHUSER, 0);
	u64 off = page_index(page) * PAGE_SIZE;
	u8 *bus = machine_bus_ptr(m, off);
	u8 *one, *two;

	(void)state;
	one = kmap_local_page(page);
	two = kmap_offset(m, off + 4095);
	assert_non_null(one);
	assert_non_null(two);
	assert_ptr_not_equal(one, two);
	one[5] = 42;
	assert_int_equal(*(volatile u8 *)&two[5], 42);
	assert_int_equal(*(volatile u8 *)&bus[5], 42);
	kunmap_local(two + 4095);
	assert_false(can_read(two));
	assert_false(can_read(two + 4095));
	assert_true(can_read(one));
	kunmap_local(one);
	assert_false(can_read(one));
	/* The next mapping doesn't bring the old address back to life. */
	two = kmap_local_page(page);
	assert_false(can_read(one));
	kunmap_local(two);
	__free_page(page);
	unmake(m);
}

static void one_too_many(void *page)
{
	assert_null(kmap_local_page(page));
}

static void sixteen_at_a_time(void **state)
{
	struct machine *m = make(2 * MIB, 2 * MIB);
	struct page *page = machine_alloc_pages(m, GFP_HIGHUSER, 0);
	u8 *at[17];
	int i;

	(void)state;
	for (i = 0; i < 16; i++)
		assert_non_null(at[i] = kmap_local_page(page));
	assert_int_equal(test_expect_warn(one_too_many, page), 1);
	assert_ptr_equal(kmap_local_page(m->map.pages[0].map ? m->map.pages : page_from_offset(m, 0)),
			 (void *)m->map.virt);
	while (i--)
		kunmap_local(at[i]);
	/* Round the whole window, several times. */
	for (i = 0; i < 2000; i++) {
		at[0] = kmap_local_page(page);
		assert_non_null(at[0]);
		kunmap_local(at[0]);
	}
	__free_page(page);
	unmake(m);
}

static void wrong_unmap(void *at)
{
	kunmap_local(at);
}

static void wrong_unmaps_do_no_harm(void **state)
{
	struct machine *m = make(2 * MIB, 2 * MIB);
	struct page *page = machine_alloc_pages(m, GFP_HIGHUSER, 0);
	u8 *one = kmap_local_page(page);
	u8 *two = kmap_local_page(page);
	int i;

	(void)state;
	assert_int_equal(test_expect_warn(wrong_unmap, NULL), 1);
	assert_int_equal(test_expect_warn(wrong_unmap, &i), 1);
	assert_int_equal(test_expect_warn(wrong_unmap, m->kmap_window + 100 * PAGE_SIZE), 1);
	assert_true(can_read(one));
	assert_true(can_read(two));
	/* In the wrong order, then twice. */
	assert_int_equal(test_expect_warn(wrong_unmap, one), 1);
	assert_false(can_read(one));
	assert_true(can_read(two));
	kunmap_local(two);
	assert_int_equal(test_expect_warn(wrong_unmap, two), 1);
	for (i = 0; i < 20; i++) {
		one = kmap_local_page(page);
		assert_non_null(one);
		kunmap_local(one);
	}
	__free_page(page);
	unmake(m);
}

/* --- faults --- */

static void fault_records(void **state)
{
	struct machine *m = make(2 * MIB, 0);
	struct device_attr attr = { .name = "hca7", .dma_mask = DMA_BIT_MASK(40) };
	struct bus_fault f[FAULT_RECORDS + 1];
	struct hca_mem_view w;
	struct device *dev;
	u64 total = 99;
	u32 i;

	(void)state;
	assert_int_equal(device_create(m, &attr, &dev), 0);
	assert_int_equal(machine_faults(m, f, 10, &total), 0);
	assert_true(total == 0);
	assert_int_equal(m->ops->open(dev, hca_dma_addr(0x1234), 4, HCA_MEM_WRITE, &w), -EFAULT);
	assert_int_equal(m->ops->open(dev, hca_dma_addr(1ull << 40), 4, HCA_MEM_READ, &w), -EFAULT);
	assert_int_equal(machine_faults(m, f, 10, &total), 2);
	assert_true(total == 2);
	assert_true(f[0].serial == 1 && f[1].serial == 2);
	assert_string_equal(f[0].device, "hca7");
	assert_true(f[0].addr == 0x1234);
	assert_int_equal(f[0].access, HCA_MEM_WRITE >> HCA_MEM_OP_SHIFT);
	assert_int_equal(f[0].reason, FAULT_NO_MEMORY);
	assert_int_equal(f[1].access, HCA_MEM_READ >> HCA_MEM_OP_SHIFT);
	assert_int_equal(f[1].reason, FAULT_BEYOND_MASK);
	assert_true(f[1].time_ns >= f[0].time_ns);
	for (i = 0; i < FAULT_RECORDS; i++)
		m->ops->open(dev, hca_dma_addr(i), 4, HCA_MEM_READ, &w);
	assert_int_equal(machine_faults(m, f, (int)HCA_ARRAY_SIZE(f), &total), FAULT_RECORDS);
	assert_true(total == FAULT_RECORDS + 2);
	for (i = 0; i < FAULT_RECORDS; i++)
		assert_true(f[i].serial == i + 3 && f[i].addr == i);
	assert_int_equal(machine_faults(m, f, 1, NULL), 1);
	assert_true(f[0].serial == FAULT_RECORDS + 2);
	assert_int_equal(machine_faults(m, NULL, 10, &total), 0);
	assert_int_equal(machine_faults(m, f, -1, &total), 0);
	device_destroy(dev);
	unmake(m);
}

static void reasons_have_words(void **state)
{
	int i, j;

	(void)state;
	for (i = FAULT_NOT_MAPPED; i <= FAULT_BEYOND_MASK; i++)
		for (j = FAULT_NOT_MAPPED; j < i; j++)
			assert_string_not_equal(fault_reason_str((enum fault_reason)i),
						fault_reason_str((enum fault_reason)j));
	assert_non_null(fault_reason_str((enum fault_reason)77));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(refused_attributes, fresh),
		cmocka_unit_test_setup(too_large_for_the_host, fresh),
		cmocka_unit_test_setup(defaults, fresh),
		cmocka_unit_test_setup(bounce_defaults, fresh),
		cmocka_unit_test_setup(current_machine, fresh),
		cmocka_unit_test_setup(many_machines, fresh),
		cmocka_unit_test_setup(every_step_may_fail, fresh),
		cmocka_unit_test_setup(mapping_a_page_may_fail, fresh),
		cmocka_unit_test_setup(busy_machines_stay, fresh),
		cmocka_unit_test_setup(untouched_memory_is_free, fresh),
		cmocka_unit_test_setup(adapters_see_what_the_cpu_writes, fresh),
		cmocka_unit_test_setup(low_pages_need_no_mapping, fresh),
		cmocka_unit_test_setup(high_pages_are_mapped_for_a_time, fresh),
		cmocka_unit_test_setup(sixteen_at_a_time, fresh),
		cmocka_unit_test_setup(wrong_unmaps_do_no_harm, fresh),
		cmocka_unit_test_setup(fault_records, fresh),
		cmocka_unit_test_setup(reasons_have_words, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
