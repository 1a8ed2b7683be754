/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pages: going between them and addresses, the two zones, wrong frees, and the allocator against a bitmap that is too
 * simple to be wrong: it says for every call whether there was room, and that no two blocks ever share a page.
 */
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

static void page_arithmetic(void **state)
{
	struct machine *m = make(4 * MIB, 4 * MIB);
	const struct machine_map *map = machine_map(m);
	struct page *page, *p;
	u64 i, off;

	(void)state;
	page = machine_alloc_pages(m, GFP_KERNEL, 3);
	for (i = 0; i < 8; i++) {
		p = nth_page(page, i);
		assert_true(page_to_phys(p) == page_to_phys(page) + i * PAGE_SIZE);
		assert_ptr_equal(page_address(p), (char *)page_address(page) + i * PAGE_SIZE);
		assert_false(PageHighMem(p));
		assert_ptr_equal(virt_to_page((char *)page_address(p) + 4095), p);
		assert_ptr_equal(machine_pfn_to_page(m, page_to_pfn(p)), p);
		off = machine_page_offset(m, p, 5);
		assert_true(off == page_index(p) * PAGE_SIZE + 5);
		assert_true(machine_ptr_offset(m, (char *)page_address(p) + 5) == off);
		assert_ptr_equal(page_from_offset(m, off), p);
	}
	assert_null(virt_to_page(NULL));
	assert_null(virt_to_page(&i));
	assert_null(virt_to_page((void *)(map->virt - 1)));
	assert_null(virt_to_page((void *)(map->virt + (size_t)map->low_bytes)));
	assert_null(virt_to_page(m->bus_view));
	assert_null(page_from_offset(m, map->all_bytes));
	assert_null(page_from_offset(m, NO_MEMORY_HERE));
	assert_null(machine_pfn_to_page(m, (map->phys >> PAGE_SHIFT) - 1));
	assert_null(machine_pfn_to_page(m, (map->phys + map->all_bytes) >> PAGE_SHIFT));
	assert_true(machine_page_offset(m, NULL, 0) == NO_MEMORY_HERE);
	assert_true(machine_page_offset(m, (struct page *)((char *)page + 1), 0) == NO_MEMORY_HERE);
	assert_true(machine_page_offset(m, page, PAGE_SIZE) == machine_page_offset(m, page, 0) + PAGE_SIZE);
	assert_true(machine_page_offset(m, page, m->map.all_bytes) == NO_MEMORY_HERE);
	assert_true(machine_page_offset(m, page, ~0ull) == NO_MEMORY_HERE);
	/* A page that nobody was given still leads to its machine. */
	p = virt_to_page((void *)(map->virt + 3 * 1024 * 1024));
	assert_ptr_equal(p->map, map);
	__free_pages(page, 3);
	unmake(m);
}

static void zeroed_on_request(void **state)
{
	struct machine *m = make(4 * MIB, 4 * MIB);
	static const unsigned int orders[] = { 0, 3, 9, 10 };
	unsigned int zone, i;

	(void)state;
	for (zone = 0; zone < 2; zone++) {
		for (i = 0; i < HCA_ARRAY_SIZE(orders); i++) {
			gfp_t gfp = zone ? GFP_HIGHUSER : GFP_KERNEL;
			size_t bytes = PAGE_SIZE << orders[i], at;
			struct page *page = machine_alloc_pages(m, gfp, orders[i]);
			u64 off = page_index(page) * PAGE_SIZE;

			memset(machine_bus_ptr(m, off), 0x5a, bytes);
			__free_pages(page, orders[i]);
			page = machine_alloc_pages(m, gfp | __GFP_ZERO, orders[i]);
			assert_true(page_index(page) * PAGE_SIZE == off);
			for (at = 0; at < bytes; at += 97)
				assert_int_equal(*((u8 *)machine_bus_ptr(m, off) + at), 0);
			__free_pages(page, orders[i]);
		}
	}
	unmake(m);
}

static void high_memory_first_then_low(void **state)
{
	struct machine *m = make(2 * MIB, 2 * MIB);
	struct page *page[1024];
	int i;

	(void)state;
	for (i = 0; i < 512; i++) {
		page[i] = machine_alloc_pages(m, GFP_HIGHUSER, 0);
		assert_true(PageHighMem(page[i]));
		assert_null(page_address(page[i]));
		assert_true(page_index(page[i]) >= 512);
	}
	for (; i < 1024; i++) {
		page[i] = machine_alloc_pages(m, GFP_HIGHUSER, 0);
		assert_false(PageHighMem(page[i]));
	}
	assert_null(machine_alloc_pages(m, GFP_HIGHUSER, 0));
	for (i = 0; i < 512; i++)
		__free_page(page[i]);
	/* There is room, but high memory is no answer to who asks for low. */
	assert_true(machine_free_pages(m) == 512);
	assert_null(machine_alloc_pages(m, GFP_KERNEL, 0));
	for (; i < 1024; i++)
		__free_page(page[i]);
	assert_null(machine_alloc_pages(m, GFP_HIGHUSER, 10));
	assert_null(machine_alloc_pages(m, GFP_KERNEL, MACHINE_MAX_ORDER + 1));
	assert_null(machine_alloc_pages(m, GFP_KERNEL, ~0u));
	assert_null(machine_alloc_pages(NULL, GFP_KERNEL, 0));
	unmake(m);
}

static void largest_order(void **state)
{
	struct machine_attr attr = { .low_bytes = 2 * MIB, .high_bytes = 1024 * MIB, .phys = 1022 * MIB };
	struct machine *m;
	struct page *page;

	(void)state;
	assert_int_equal(machine_create(&attr, &m), 0);
	page = machine_alloc_pages(m, GFP_HIGHUSER, MACHINE_MAX_ORDER);
	assert_true(page_to_phys(page) == 1024 * MIB);
	assert_true(page_to_phys(nth_page(page, (1 << 18) - 1)) == 2048 * MIB - PAGE_SIZE);
	assert_true(machine_free_pages(m) == 512);
	__free_pages(page, MACHINE_MAX_ORDER);
	unmake(m);
}

struct wrong_free {
	struct page *page;
	unsigned int order;
};

static void wrong_free(void *arg)
{
	struct wrong_free *w = arg;

	__free_pages(w->page, w->order);
}

static void wrong_frees_change_nothing(void **state)
{
	struct machine *m = make(2 * MIB, 2 * MIB);
	struct machine *other = make(2 * MIB, 0);
	struct page *page = machine_alloc_pages(m, GFP_KERNEL, 2);
	struct page fake = *page;
	struct wrong_free wrong[] = {
		{ page, 0 },
		{ page, 1 },
		{ page, 3 },
		{ page, MACHINE_MAX_ORDER + 1 },
		{ page, 2 + 256 },
		{ page + 1, 0 },
		{ page + 2, 1 },
		{ (struct page *)((char *)page + 8), 2 },
		{ &fake, 2 },
		{ (struct page *)page_address(page), 2 },
		{ machine_map(m)->pages - 1, 0 },
		{ machine_map(m)->pages + 1024, 0 },
		{ machine_map(other)->pages, 0 },
		{ virt_to_page((char *)page_address(page) + 512 * 1024), 0 },
	};
	struct wrong_free again[] = { { page, 2 }, { page, 9 }, { page, 0 } };
	u64 left = machine_free_pages(m);
	size_t i;

	(void)state;
	__free_pages(NULL, 0);
	for (i = 0; i < HCA_ARRAY_SIZE(wrong); i++)
		assert_int_equal(test_expect_warn(wrong_free, &wrong[i]), 1);
	assert_true(machine_free_pages(m) == left);
	assert_true(machine_free_pages(other) == 512);
	__free_pages(page, 2);
	for (i = 0; i < HCA_ARRAY_SIZE(again); i++)
		assert_int_equal(test_expect_warn(wrong_free, &again[i]), 1);
	assert_true(machine_free_pages(m) == 1024);
	unmake(other);
	unmake(m);
}

/* --- the allocator against a model that is too simple to be wrong --- */

#define MODEL_PAGES 6144

struct model {
	struct machine *m;
	u8 used[MODEL_PAGES];
	u64 first_pfn;
	u32 low, all;
};

static bool model_has_room(const struct model *mo, u32 from, u32 to, unsigned int order)
{
	u32 n = 1u << order;
	u32 at = from;

	while ((at + mo->first_pfn) & (n - 1))
		at++;
	for (; at + n <= to; at += n)
		if (!memchr(mo->used + at, 1, n))
			return true;
	return false;
}

static struct page *model_alloc(struct model *mo, gfp_t gfp, unsigned int order)
{
	struct page *page = machine_alloc_pages(mo->m, gfp, order);
	bool low = model_has_room(mo, 0, mo->low, order);
	bool high = gfp & __GFP_HIGHMEM && model_has_room(mo, mo->low, mo->all, order);
	u32 at;

	assert_int_equal(page != NULL, low || high);
	if (!page)
		return NULL;
	at = (u32)page_index(page);
	assert_int_equal(at >= mo->low, high);
	assert_true(at + (1u << order) <= (high ? mo->all : mo->low));
	assert_false(page_to_pfn(page) & ((1u << order) - 1));
	assert_null(memchr(mo->used + at, 1, 1u << order));
	memset(mo->used + at, 1, 1u << order);
	return page;
}

static void allocator_against_bitmap(void **state)
{
	struct machine_attr attr = { .low_bytes = 10 * MIB, .high_bytes = 14 * MIB, .phys = 6 * MIB };
	static struct {
		struct page *page;
		unsigned int order;
	} live[MODEL_PAGES];
	static struct model mo;
	u32 n = 0, free_pages = MODEL_PAGES;
	int step;

	(void)state;
	assert_int_equal(machine_create(&attr, &mo.m), 0);
	mo.first_pfn = attr.phys >> PAGE_SHIFT;
	mo.low = (u32)(attr.low_bytes >> PAGE_SHIFT);
	mo.all = MODEL_PAGES;
	srand(7);
	for (step = 0; step < 60000; step++) {
		/* Tides, so that it is full for a time, empty for a time, and in pieces between. */
		bool grow = rand() % 100 < (step / 4000 % 2 ? 35 : 65);
		u32 i;

		if (grow) {
			live[n].order = (unsigned int)(rand() % 8 ? rand() % 4 : rand() % 12);
			live[n].page = model_alloc(&mo, rand() % 2 ? GFP_HIGHUSER : GFP_KERNEL, live[n].order);
			if (live[n].page)
				free_pages -= 1u << live[n++].order;
		} else if (n) {
			i = (u32)rand() % n;
			__free_pages(live[i].page, live[i].order);
			memset(mo.used + page_index(live[i].page), 0, 1u << live[i].order);
			free_pages += 1u << live[i].order;
			live[i] = live[--n];
		}
		assert_true(machine_free_pages(mo.m) == free_pages);
	}
	while (n--)
		__free_pages(live[n].page, live[n].order);
	/* Everything has merged again: phys is 6 MiB, so 2 + 8 MiB below and 8 + 4 + 2 MiB above. */
	memset(mo.used, 0, sizeof(mo.used));
	live[0].page = model_alloc(&mo, GFP_KERNEL, 11);
	live[1].page = model_alloc(&mo, GFP_HIGHUSER, 11);
	assert_non_null(live[0].page);
	assert_true(PageHighMem(live[1].page));
	__free_pages(live[0].page, 11);
	__free_pages(live[1].page, 11);
	unmake(mo.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(page_arithmetic, fresh),
		cmocka_unit_test_setup(zeroed_on_request, fresh),
		cmocka_unit_test_setup(high_memory_first_then_low, fresh),
		cmocka_unit_test_setup(largest_order, fresh),
		cmocka_unit_test_setup(wrong_frees_change_nothing, fresh),
		cmocka_unit_test_setup(allocator_against_bitmap, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
