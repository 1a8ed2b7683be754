/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Scatterlists, in whichever layout the library was built with: marks and links, tables of every size around a chunk's,
 * counting, and copies between a list and a buffer against a flat model, low and high memory mixed.
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
#define CHUNK ((unsigned int)(PAGE_SIZE / sizeof(struct scatterlist)))

static struct machine *m;

static int fresh(void **state)
{
	struct machine_attr attr = { .low_bytes = 4 * MIB, .high_bytes = 4 * MIB };

	(void)state;
	test_os_reset(1);
	return machine_create(&attr, &m);
}

static int done(void **state)
{
	(void)state;
	return machine_destroy(m) ? -1 : (int)test_leaks();
}

static void layout_is_the_one_chosen(void **state)
{
	struct scatterlist sg;

	(void)state;
	sg_init_table(&sg, 1);
	sg.length = 5;
	sg_set_mapped(&sg, hca_dma_addr(0x123456789abcdef0ull), 7);
	assert_true(sg_dma_address(&sg) == 0x123456789abcdef0ull);
	assert_int_equal(sg_dma_len(&sg), SG_CAN_MERGE ? 7 : 5);
	assert_int_equal(sg.length, 5);
}

static void entries_and_marks(void **state)
{
	struct page *low = machine_alloc_pages(m, GFP_KERNEL, 0);
	struct page *high = machine_alloc_pages(m, GFP_HIGHUSER, 0);
	struct scatterlist sg[3];
	char *at = page_address(low);

	(void)state;
	memset(sg, 0xff, sizeof(sg));
	sg_init_table(sg, 0);
	assert_int_equal(((u8 *)sg)[0], 0xff);
	sg_init_table(sg, 3);
	assert_true(!sg_is_last(&sg[0]) && !sg_is_last(&sg[1]) && sg_is_last(&sg[2]));
	assert_null(sg_page(&sg[2]));
	sg_set_page(&sg[2], high, 77, 4000);
	assert_true(sg_is_last(&sg[2]));
	assert_ptr_equal(sg_page(&sg[2]), high);
	assert_int_equal(sg[2].length, 77);
	assert_int_equal(sg[2].offset, 4000);
	assert_true(sg_phys(&sg[2]) == page_to_phys(high) + 4000);
	sg_set_buf(&sg[0], at + 100, 50);
	assert_ptr_equal(sg_page(&sg[0]), low);
	assert_int_equal(sg[0].offset, 100);
	assert_ptr_equal(sg_virt(&sg[0]), at + 100);
	sg_set_buf(&sg[1], &sg, 1);
	assert_null(sg_page(&sg[1]));
	assert_int_equal(sg_nents(sg), 3);
	sg_mark_end(&sg[1]);
	assert_int_equal(sg_nents(sg), 2);
	assert_null(sg_next(&sg[1]));
	sg_unmark_end(&sg[1]);
	assert_int_equal(sg_nents(sg), 3);
	assert_ptr_equal(sg_last(sg, 3), &sg[2]);
	assert_ptr_equal(sg_last(sg, 2), &sg[1]);
	assert_ptr_equal(sg_last(sg, 9), &sg[2]);
	assert_null(sg_last(sg, 0));
	sg_init_one(&sg[1], at, 4096);
	assert_true(sg_is_last(&sg[1]));
	assert_int_equal(sg_nents(&sg[1]), 1);
	assert_int_equal(sg_nents(NULL), 0);
	__free_page(low);
	__free_page(high);
}

static void chains(void **state)
{
	struct page *page = machine_alloc_pages(m, GFP_KERNEL, 0);
	struct scatterlist a[3], b[1], c[2], *sg;
	unsigned int i, total = 0;

	(void)state;
	sg_init_table(a, 3);
	sg_init_table(b, 1);
	sg_init_table(c, 2);
	sg_set_page(&a[0], page, 1, 0);
	sg_set_page(&a[1], page, 2, 0);
	sg_set_page(&c[0], page, 4, 0);
	sg_set_page(&c[1], page, 8, 0);
	sg_chain(a, 3, c);
	assert_true(sg_is_chain(&a[2]));
	assert_false(sg_is_last(&a[2]));
	assert_ptr_equal(sg_chain_ptr(&a[2]), c);
	assert_ptr_equal(sg_next(&a[1]), c);
	assert_int_equal(sg_nents(a), 4);
	for_each_sg(a, sg, 4u, i)
		total += sg->length;
	assert_int_equal(total, 15);
	assert_ptr_equal(sg_last(a, 4), &c[1]);
	assert_int_equal(sg_nents_for_len(a, 0), 0);
	assert_int_equal(sg_nents_for_len(a, 1), 1);
	assert_int_equal(sg_nents_for_len(a, 3), 2);
	assert_int_equal(sg_nents_for_len(a, 4), 3);
	assert_int_equal(sg_nents_for_len(a, 15), 4);
	assert_int_equal(sg_nents_for_len(a, 16), -EINVAL);
	assert_int_equal(sg_nents_for_len(a, ~0ull), -EINVAL);
	__free_page(page);
}

static void tables_of_many_sizes(void **state)
{
	static const unsigned int around[] = { 1, 2, 0, 1, 2, 3 };
	struct sg_table t;
	struct scatterlist *sg;
	unsigned int k, i, j;

	(void)state;
	for (k = 0; k < 4; k++) {
		for (i = 0; i < HCA_ARRAY_SIZE(around); i++) {
			unsigned int n = k * (CHUNK - 1) + around[i], seen = 0;

			if (!n)
				continue;
			assert_int_equal(sg_alloc_table(&t, n, i % 2 ? GFP_KERNEL : GFP_ATOMIC), 0);
			assert_int_equal(t.nents, n);
			assert_int_equal(t.orig_nents, n);
			assert_int_equal(sg_nents(t.sgl), n);
			for_each_sgtable_sg(&t, sg, j) {
				assert_false(sg_is_chain(sg));
				assert_int_equal(sg_is_last(sg), j == n - 1);
				sg_set_page(sg, NULL, 1, 0);
				seen++;
			}
			assert_int_equal(seen, n);
			sg_free_table(&t);
			assert_null(t.sgl);
			assert_int_equal(t.orig_nents, 0);
			sg_free_table(&t);
		}
	}
	assert_int_equal(sg_alloc_table(&t, 0, GFP_KERNEL), -EINVAL);
	assert_int_equal(sg_alloc_table(&t, ~0u, GFP_KERNEL), -EINVAL);
	assert_int_equal(sg_alloc_table(NULL, 1, GFP_KERNEL), -EINVAL);
}

static void a_table_may_be_extended(void **state)
{
	struct scatterlist more[2];
	struct sg_table t;
	unsigned int k;

	(void)state;
	/* The caller's own list hangs on the last entry, in a chunk that is full and in others; it isn't ours to free. */
	for (k = CHUNK - 2; k <= CHUNK + 1; k++) {
		assert_int_equal(sg_alloc_table(&t, k, GFP_KERNEL), 0);
		sg_init_table(more, 2);
		sg_chain(sg_last(t.sgl, k), 1, more);
		assert_int_equal(sg_nents(t.sgl), k + 1);
		sg_free_table(&t);
	}
}

static void tables_may_fail(void **state)
{
	(void)state;
	TEST_FAIL_LOOP(f)
	{
		struct sg_table t;
		int err = sg_alloc_table(&t, 3 * CHUNK, GFP_KERNEL);

		assert_int_equal(err, test_fail_hit() ? -ENOMEM : 0);
		assert_int_equal(t.orig_nents, err ? 0 : 3 * CHUNK);
		sg_free_table(&t);
	}
}

/* --- copies --- */

#define ENTRIES 24
#define PAGES 16

static struct page *pool[2];

static void random_list(struct scatterlist *sg, u32 *total)
{
	u32 used[2] = { 0, 0 };
	int i;

	*total = 0;
	sg_init_table(sg, ENTRIES);
	for (i = 0; i < ENTRIES; i++) {
		u32 z = (u32)rand() % 2;
		u32 len = (u32)rand() % (rand() % 3 ? 300 : 5000);

		/* Bytes of the same zone follow each other, so that entries never overlap. */
		if (used[z] + len > PAGES * PAGE_SIZE)
			len = 0;
		sg_set_page(&sg[i], nth_page(pool[z], HCA_MIN(used[z], PAGES * PAGE_SIZE - 1) / PAGE_SIZE), len,
			    used[z] % PAGE_SIZE);
		used[z] += len;
		*total += len;
	}
}

static void flatten(struct scatterlist *sgl, u8 *to)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, ENTRIES, i) {
		memcpy(to, machine_bus_ptr(m, page_index(sg_page(sg)) * PAGE_SIZE + sg->offset), sg->length);
		to += sg->length;
	}
}

static void copies_against_model(void **state)
{
	static u8 flat[ENTRIES * 5000], now[ENTRIES * 5000], buf[ENTRIES * 5000], want[ENTRIES * 5000];
	struct scatterlist sg[ENTRIES];
	int step;

	(void)state;
	pool[0] = machine_alloc_pages(m, GFP_KERNEL, 4);
	pool[1] = machine_alloc_pages(m, GFP_HIGHUSER, 4);
	assert_true(PageHighMem(pool[1]));
	srand(3);
	for (step = 0; step < 400; step++) {
		u32 total, len, i;
		u64 skip;
		size_t n;

		random_list(sg, &total);
		flatten(sg, flat);
		len = (u32)rand() % (total + 100);
		skip = rand() % 3 ? (u64)rand() % (total + 10) : 0;
		n = skip < total ? HCA_MIN(len, total - skip) : 0;
		for (i = 0; i < len; i++)
			buf[i] = (u8)rand();
		if (step % 2) {
			assert_int_equal(sg_pcopy_from_buffer(sg, ENTRIES, buf, len, skip), n);
			memcpy(flat + skip, buf, n);
			flatten(sg, now);
			assert_memory_equal(now, flat, total);
		} else {
			memcpy(want, buf, len);
			memcpy(want, flat + skip, n);
			assert_int_equal(sg_pcopy_to_buffer(sg, ENTRIES, buf, len, skip), n);
			assert_memory_equal(buf, want, len);
		}
	}
	__free_pages(pool[0], 4);
	__free_pages(pool[1], 4);
}

static void copies_end_where_they_must(void **state)
{
	struct page *page = machine_alloc_pages(m, GFP_HIGHUSER, 0);
	struct scatterlist sg[3];
	struct page nobodys = { 0 };
	u8 buf[300];

	(void)state;
	sg_init_table(sg, 3);
	sg_set_page(&sg[0], page, 100, 0);
	sg_set_page(&sg[1], NULL, 100, 0);
	sg_set_page(&sg[2], page, 100, 200);
	assert_int_equal(sg_copy_to_buffer(sg, 3, buf, 300), 100);
	sg_set_page(&sg[1], &nobodys, 100, 0);
	assert_int_equal(sg_copy_to_buffer(sg, 3, buf, 300), 100);
	assert_int_equal(sg_pcopy_to_buffer(sg, 3, buf, 300, 150), 0);
	assert_int_equal(sg_pcopy_to_buffer(sg, 3, buf, 300, 250), 50);
	assert_int_equal(sg_pcopy_to_buffer(sg, 3, buf, 300, 300), 0);
	assert_int_equal(sg_pcopy_to_buffer(sg, 3, buf, 300, ~0ull), 0);
	assert_int_equal(sg_copy_to_buffer(sg, 1, buf, 300), 100);
	assert_int_equal(sg_copy_to_buffer(sg, 0, buf, 300), 0);
	assert_int_equal(sg_copy_to_buffer(sg, 3, buf, 0), 0);
	assert_int_equal(sg_copy_to_buffer(NULL, 3, buf, 300), 0);
	/* Past the end of the machine. */
	sg_set_page(&sg[0], page_from_offset(m, 8 * MIB - 1), 5000, 4000);
	assert_int_equal(sg_copy_from_buffer(sg, 1, buf, 300), 96);
	/* A page that can't be shown. */
	sg_set_page(&sg[0], page, 100, 0);
	test_fail_at(1);
	assert_int_equal(sg_copy_from_buffer(sg, 1, buf, 300), 0);
	assert_true(test_fail_hit());
	test_fail_at(0);
	assert_int_equal(sg_copy_from_buffer(sg, 1, buf, 300), 100);
	__free_page(page);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, done)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(layout_is_the_one_chosen), TEST(entries_and_marks),	  TEST(chains),
		TEST(tables_of_many_sizes),	TEST(a_table_may_be_extended),	  TEST(tables_may_fail),
		TEST(copies_against_model),	TEST(copies_end_where_they_must),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
