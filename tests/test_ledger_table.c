/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ledger's table: what finding costs however much is in it, growth with and without memory for it, records that
 * come back to life at another address, each allocation failing. What it answers in long random sequences is in
 * test_ledger_model.c, what the ledger costs in test_ledger_cost.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dma/ledger_table.h"
#include "test_os.h"

#define PAGE 4096ull

static int reports;

static void count(void *ctx, const struct hca_misuse_report *r)
{
	(void)ctx;
	(void)r;
	reports++;
}

static struct hca_ledger_rec *record(u64 addr, u64 len)
{
	struct hca_ledger_rec *rec = hca_ledger_prepare(1);

	assert_non_null(rec);
	hca_ledger_seg(rec, 0, hca_dma_addr(addr), len);
	rec->nsegs = 1;
	rec->map = (struct hca_mapping){ HCA_MAP_SINGLE, hca_dma_addr(addr), len, HCA_DMA_TO_DEVICE, NULL, 0 };
	return rec;
}

static struct hca_ledger_seg *find(struct hca_ledger_table *t, u64 addr)
{
	return hca_ledger_table_cover(t, addr, HCA_LEDGER_ALL_LIVE);
}

/* A live mapping comes to its end and is forgotten. */
static void drop(struct hca_ledger_table *t, struct hca_ledger_rec *rec)
{
	hca_ledger_table_end(t, rec);
	hca_ledger_table_del(t, rec);
}

static u64 longest_chain(const struct hca_ledger_table *t)
{
	u64 longest = 0, i;

	for (i = 0; i < t->buckets; i++) {
		const struct hca_ledger_node *c;
		u64 n = 0;

		for (c = t->bucket[i]; c; c = c->next)
			n++;
		longest = HCA_MAX(longest, n);
	}
	return longest;
}

/* Addresses as machines hand them out: dense, far apart, tagged, high up; one size and many. */
static void finding_costs_the_same(void **state)
{
	static const struct {
		u64 base, stride, len;
	} t[] = {
		{ 0x7f0000000000, PAGE, PAGE },
		{ 0x7f0000000000, PAGE, 64 },
		{ 0x7f0000000010, PAGE, PAGE },
		{ 0x7f0000000000, 2 * PAGE, PAGE + 1 },
		{ 0x4d50000040000000, PAGE, PAGE },
		{ 0xffffe00000000000, 1ull << 21, 1ull << 20 },
		{ 0x1000000000, 1ull << 30, 1ull << 30 },
		{ 0x1000, 3 * PAGE, 2 * PAGE },
		{ 0, 1ull << 16, 1500 },
	};
	enum { N = 20000 };
	struct hca_ledger_table table;
	struct hca_ledger_rec **rec = malloc(N * sizeof(*rec));
	size_t i;
	u64 j;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(t); i++) {
		assert_int_equal(hca_ledger_table_init(&table), 0);
		for (j = 0; j < N; j++) {
			rec[j] = record(t[i].base + j * t[i].stride, t[i].len);
			hca_ledger_table_add(&table, rec[j]);
		}
		/* Enough buckets for what is in it, and well spread: so a probe looks at a few cells. */
		assert_true(table.nodes <= 4 * table.buckets);
		if (longest_chain(&table) > 24)
			fail_msg("row %zu: a chain of %llu", i, (unsigned long long)longest_chain(&table));
		for (j = 0; j < N; j++) {
			u64 a = rec[j]->seg[0].addr;

			assert_ptr_equal(find(&table, a), &rec[j]->seg[0]);
			assert_ptr_equal(find(&table, a + t[i].len - 1), &rec[j]->seg[0]);
			if (t[i].len < t[i].stride)
				assert_null(find(&table, a + t[i].len));
		}
		for (j = 0; j < N; j++) {
			drop(&table, rec[j]);
			assert_null(find(&table, rec[j]->seg[0].addr));
			hca_ledger_abandon(rec[j]);
		}
		assert_int_equal(table.cells, 0);
		hca_ledger_table_fini(&table);
	}
	free(rec);
}

static void all_sizes_and_ends(void **state)
{
	struct hca_ledger_table table;
	struct hca_ledger_rec *rec;
	unsigned int k;
	int i;

	(void)state;
	assert_int_equal(hca_ledger_table_init(&table), 0);
	for (k = 0; k < 63; k++)
		for (i = -1; i <= 1; i++) {
			u64 len = (1ull << k) + (u64)(s64)i;
			u64 at[] = { 0, 1, PAGE - 1, PAGE, 0x7ffffffff123, ~0ull - len, ~0ull - len - PAGE };
			size_t j;

			if (!len)
				continue;
			for (j = 0; j < HCA_ARRAY_SIZE(at); j++) {
				rec = record(at[j], len);
				hca_ledger_table_add(&table, rec);
				assert_ptr_equal(find(&table, at[j]), rec->seg);
				assert_ptr_equal(find(&table, at[j] + len / 2), rec->seg);
				assert_ptr_equal(find(&table, at[j] + len - 1), rec->seg);
				assert_null(find(&table, at[j] + len));
				assert_null(find(&table, at[j] - 1));
				drop(&table, rec);
				assert_null(find(&table, at[j]));
				hca_ledger_abandon(rec);
			}
		}
	hca_ledger_table_fini(&table);
}

/* Of those that have a byte the one that reaches furthest is found, whenever it came and however full the table is. */
static void furthest_wins_across_growth(void **state)
{
	enum { N = 6000 };
	struct hca_ledger_table table;
	struct hca_ledger_rec **rec = malloc(N * sizeof(*rec));
	struct hca_ledger_rec *twin[3];
	u64 before, i;

	(void)state;
	assert_int_equal(hca_ledger_table_init(&table), 0);
	for (i = 0; i < 3; i++) {
		twin[i] = record(0x123000 + i, 100 - 30 * (i != 1));
		hca_ledger_table_add(&table, twin[i]);
	}
	before = table.buckets;
	for (i = 0; i < N; i++) {
		rec[i] = record(0x10000000 + i * PAGE, PAGE);
		hca_ledger_table_add(&table, rec[i]);
		assert_ptr_equal(find(&table, 0x123010), twin[1]->seg);
		assert_ptr_equal(find(&table, 0x123000), twin[0]->seg);
	}
	assert_true(table.buckets > before);
	drop(&table, twin[1]);
	assert_ptr_equal(find(&table, 0x123010), twin[2]->seg);
	drop(&table, twin[2]);
	assert_ptr_equal(find(&table, 0x123010), twin[0]->seg);
	drop(&table, twin[0]);
	assert_null(find(&table, 0x123010));
	for (i = 0; i < N; i++)
		hca_ledger_abandon(rec[i]);
	for (i = 0; i < 3; i++)
		hca_ledger_abandon(twin[i]);
	hca_ledger_table_fini(&table);
	free(rec);
}

#if SIZE_MAX == UINT32_MAX /* with more, a size_t holds the largest record there can be */
/* A number of pieces whose size wraps isn't room for one. */
static void absurd_records_are_refused(void **state)
{
	u32 fits = (u32)(SIZE_MAX / sizeof(struct hca_ledger_seg));

	(void)state;
	assert_null(hca_ledger_prepare(fits));
	assert_null(hca_ledger_prepare(fits + 1));
	assert_null(hca_ledger_prepare(fits + 2));
	assert_null(hca_ledger_prepare(UINT32_MAX));
}
#endif

/* --- without memory --- */

static void allocations_fail(void **state)
{
	struct hca_ledger_attr attr = { .device = "dev0", .report = count };
	struct hca_ledger *l = NULL;
	struct hca_ledger_rec *rec;
	struct hca_mapping m = { HCA_MAP_SINGLE, hca_dma_addr(0x1000), 16, HCA_DMA_TO_DEVICE, NULL, 0 };
	int n = 0;

	(void)state;
	reports = 0;
	TEST_FAIL_LOOP(f)
	{
		int err = hca_ledger_create(&attr, &l);

		n++;
		if (err) {
			assert_int_equal(err, -ENOMEM);
			assert_null(l);
			continue;
		}
		rec = hca_ledger_prepare(3);
		if (rec) {
			hca_ledger_seg(rec, 0, m.addr, 16);
			hca_ledger_enter(l, rec, &m, 1, "m");
			hca_ledger_checked(l, m.addr);
			assert_int_equal(hca_ledger_end(l, &m, "e"), 0);
		}
		assert_int_equal(hca_ledger_destroy(l), 0);
		l = NULL;
	}
	assert_true(n >= 4);
	assert_int_equal(reports, 0);
	assert_int_equal(test_leaks(), 0);
}

/* Where there is no memory to grow, it gets slower and stays right. */
static void growth_fails(void **state)
{
	enum { N = 5001 }; /* the last comes when there is memory again */
	struct hca_ledger_table table;
	struct hca_ledger_rec **rec = malloc(N * sizeof(*rec));
	u64 before, i;

	(void)state;
	assert_int_equal(hca_ledger_table_init(&table), 0);
	before = table.buckets;
	for (i = 0; i < N - 1; i++)
		rec[i] = record(0x10000000 + i * PAGE, PAGE);
	for (i = 0; i < N - 1; i++) {
		test_fail_at(1);
		hca_ledger_table_add(&table, rec[i]);
	}
	assert_true(test_fail_hit());
	test_fail_at(0);
	assert_int_equal(table.buckets, before);
	for (i = 0; i < N - 1; i++)
		assert_ptr_equal(find(&table, rec[i]->seg[0].addr), rec[i]->seg);
	/* With memory again, the next one catches up. */
	hca_ledger_table_check(&table, rec[0]);
	rec[N - 1] = record(0x1000, 1);
	hca_ledger_table_add(&table, rec[N - 1]);
	assert_true(table.buckets > before);
	for (i = 0; i < N; i++)
		assert_ptr_equal(find(&table, rec[i]->seg[0].addr), rec[i]->seg);
	for (i = 0; i < N; i++)
		hca_ledger_abandon(rec[i]);
	hca_ledger_table_fini(&table);
	free(rec);
	assert_int_equal(test_leaks(), 0);
}

/* Lists come and go over the same pages, each beginning elsewhere: what has ended must not pile up under an address. */
static void what_ended_does_not_pile_up(void **state)
{
	enum { LISTS = 500, PIECES = 64 };
	static struct hca_ledger_rec *rec[LISTS];
	struct hca_ledger_table table;
	size_t i;
	u32 k;

	(void)state;
	assert_int_equal(hca_ledger_table_init(&table), 0);
	for (i = 0; i < LISTS; i++) {
		rec[i] = hca_ledger_prepare(PIECES);
		for (k = 0; k < PIECES; k++)
			hca_ledger_seg(rec[i], k, hca_dma_addr(((i * 7 + k) % 100 + 1) * PAGE), PAGE);
		rec[i]->nsegs = PIECES;
		rec[i]->checked = true;
		rec[i]->map = (struct hca_mapping){ HCA_MAP_LIST, hca_dma_addr(rec[i]->seg[0].addr),
						    PIECES,	  HCA_DMA_TO_DEVICE,
						    NULL,	  0 };
		hca_ledger_table_add(&table, rec[i]);
		hca_ledger_table_end(&table, rec[i]);
	}
	assert_true(table.cells <= 100);
	for (k = 1; k <= 100; k++) {
		assert_non_null(hca_ledger_table_ended_at(&table, k * PAGE));
		assert_non_null(hca_ledger_table_cover(&table, k * PAGE + 5, HCA_LEDGER_IN(HCA_LEDGER_ENDED)));
	}
	for (i = 0; i < LISTS; i++) {
		hca_ledger_table_del(&table, rec[i]);
		hca_ledger_abandon(rec[i]);
	}
	assert_int_equal(table.cells, 0);
	hca_ledger_table_fini(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finding_costs_the_same),
		cmocka_unit_test(all_sizes_and_ends),
		cmocka_unit_test(furthest_wins_across_growth),
#if SIZE_MAX == UINT32_MAX
		cmocka_unit_test(absurd_records_are_refused),
#endif
		cmocka_unit_test(what_ended_does_not_pile_up),
		cmocka_unit_test(allocations_fail),
		cmocka_unit_test(growth_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
