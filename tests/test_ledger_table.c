/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ledger's table: what finding costs however much is in it, growth with and without memory for it, records that
 * come back to life at another address, and long random sequences against a plain model. Also each allocation
 * failing.
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
static enum hca_misuse last;

static void count(void *ctx, const struct hca_misuse_report *r)
{
	(void)ctx;
	reports++;
	last = r->what;
}

static struct hca_ledger *make(u32 history)
{
	struct hca_ledger_attr attr = { .device = "dev0", .history = history, .report = count };
	struct hca_ledger *l;

	reports = 0;
	assert_int_equal(hca_ledger_create(&attr, &l), 0);
	return l;
}

static struct hca_ledger_rec *record(u64 addr, u64 len)
{
	struct hca_ledger_rec *rec = hca_ledger_prepare(1);

	assert_non_null(rec);
	hca_ledger_seg(rec, 0, hca_dma_addr(addr), len);
	rec->nsegs = 1;
	return rec;
}

static int scored;

static int any(const struct hca_ledger_seg *seg, const void *want)
{
	(void)seg;
	(void)want;
	scored++;
	return 1;
}

static u64 longest_chain(const struct hca_ledger_table *t)
{
	u64 longest = 0, i;

	for (i = 0; i < t->buckets; i++) {
		const struct hca_ledger_cell *c;
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
		assert_true(table.cells <= 4 * table.buckets);
		if (longest_chain(&table) > 24)
			fail_msg("row %zu: a chain of %llu", i, (unsigned long long)longest_chain(&table));
		for (j = 0; j < N; j++) {
			u64 a = rec[j]->seg[0].addr;

			scored = 0;
			assert_ptr_equal(hca_ledger_table_find(&table, a, any, NULL), &rec[j]->seg[0]);
			assert_ptr_equal(hca_ledger_table_find(&table, a + t[i].len - 1, any, NULL), &rec[j]->seg[0]);
			assert_int_equal(scored, 2); /* nothing but what covers the byte is judged */
			if (t[i].len < t[i].stride)
				assert_null(hca_ledger_table_find(&table, a + t[i].len, any, NULL));
		}
		for (j = 0; j < N; j++) {
			hca_ledger_table_del(&table, rec[j]);
			assert_null(hca_ledger_table_find(&table, rec[j]->seg[0].addr, any, NULL));
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
				assert_ptr_equal(hca_ledger_table_find(&table, at[j], any, NULL), rec->seg);
				assert_ptr_equal(hca_ledger_table_find(&table, at[j] + len / 2, any, NULL), rec->seg);
				assert_ptr_equal(hca_ledger_table_find(&table, at[j] + len - 1, any, NULL), rec->seg);
				assert_null(hca_ledger_table_find(&table, at[j] + len, any, NULL));
				assert_null(hca_ledger_table_find(&table, at[j] - 1, any, NULL));
				hca_ledger_table_del(&table, rec);
				assert_null(hca_ledger_table_find(&table, at[j], any, NULL));
				hca_ledger_abandon(rec);
			}
		}
	hca_ledger_table_fini(&table);
}

static void latest_wins_across_growth(void **state)
{
	enum { N = 6000 };
	struct hca_ledger_table table;
	struct hca_ledger_rec **rec = malloc(N * sizeof(*rec));
	struct hca_ledger_rec *twin[3];
	u64 before, i;

	(void)state;
	assert_int_equal(hca_ledger_table_init(&table), 0);
	for (i = 0; i < 3; i++) {
		twin[i] = record(0x123000, 100);
		hca_ledger_table_add(&table, twin[i]);
	}
	before = table.buckets;
	for (i = 0; i < N; i++) {
		rec[i] = record(0x10000000 + i * PAGE, PAGE);
		hca_ledger_table_add(&table, rec[i]);
		assert_ptr_equal(hca_ledger_table_find(&table, 0x123010, any, NULL), twin[2]->seg);
	}
	assert_true(table.buckets > before);
	hca_ledger_table_del(&table, twin[2]);
	assert_ptr_equal(hca_ledger_table_find(&table, 0x123010, any, NULL), twin[1]->seg);
	hca_ledger_table_del(&table, twin[0]);
	assert_ptr_equal(hca_ledger_table_find(&table, 0x123010, any, NULL), twin[1]->seg);
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

/* --- a plain model: which bytes are mapped, how often, for what --- */

#define SPACE 16384u
#define LIVE 24

struct plain {
	bool live;
	u32 at, len;
	int dir;
	enum hca_map_kind kind;
};

static bool covered(const struct plain *m, u32 at, u32 len, int dir)
{
	u32 b;
	int i;

	for (b = at; b < at + len; b++) {
		bool ok = false;

		for (i = 0; i < LIVE && !ok; i++)
			ok = m[i].live && b >= m[i].at && b - m[i].at < m[i].len &&
			     (m[i].dir == HCA_DMA_BIDIRECTIONAL || m[i].dir == dir);
		if (!ok)
			return false;
	}
	return true;
}

static bool inside_one(const struct plain *m, u32 at, u32 len, int dir)
{
	int i;

	for (i = 0; i < LIVE; i++)
		if (m[i].live && at >= m[i].at && at - m[i].at < m[i].len && len <= m[i].len - (at - m[i].at) &&
		    (m[i].dir == HCA_DMA_BIDIRECTIONAL || m[i].dir == dir))
			return true;
	return false;
}

static unsigned int seed;

static u32 upto(u32 n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % n;
}

static void one_random_step(struct hca_ledger *l, struct plain *m, u64 base)
{
	static const enum hca_mem_op access[] = { HCA_MEM_RMW, HCA_MEM_READ, HCA_MEM_WRITE };
	struct plain *p = &m[upto(LIVE)];
	struct hca_mapping h;
	u32 at, len;
	int dir;

	reports = 0;
	switch (upto(4)) {
	case 0:
		if (p->live) {
			h = (struct hca_mapping){ p->kind, hca_dma_addr(base + p->at), p->len, p->dir, NULL };
			assert_int_equal(hca_ledger_end(l, &h, "e"), 0);
			p->live = false;
		} else {
			struct hca_ledger_rec *rec = hca_ledger_prepare(1);

			*p = (struct plain){ true, upto(64) * (SPACE / 64), 0, (int)upto(3),
					     (enum hca_map_kind)upto(2) };
			p->len = 1 + upto(upto(3) ? 600 : SPACE - p->at);
			p->len = HCA_MIN(p->len, SPACE - p->at);
			h = (struct hca_mapping){ p->kind, hca_dma_addr(base + p->at), p->len, p->dir, NULL };
			hca_ledger_seg(rec, 0, h.addr, p->len);
			hca_ledger_enter(l, rec, &h, 1, "m");
			hca_ledger_checked(l, h.addr);
		}
		assert_int_equal(reports, 0);
		break;
	case 1:
		at = upto(SPACE);
		len = 1 + upto(upto(2) ? 20 : SPACE - at);
		len = HCA_MIN(len, SPACE - at);
		dir = (int)upto(3);
		hca_ledger_use(l, hca_dma_addr(base + at), len, access[dir], "u", 0);
		assert_int_equal(reports, covered(m, at, len, dir) ? 0 : 1);
		break;
	case 2:
		at = upto(SPACE);
		len = 1 + upto(64);
		len = HCA_MIN(len, SPACE - at);
		dir = (int)upto(3);
		hca_ledger_sync(l, hca_dma_addr(base + at), len, dir, HCA_MAP_SINGLE, "s");
		assert_int_equal(reports, inside_one(m, at, len, dir) ? 0 : 1);
		break;
	default:
		/* an unmap where nothing begins: mappings begin at multiples of SPACE / 64 */
		at = upto(SPACE) | 1;
		h = (struct hca_mapping){ HCA_MAP_SINGLE, hca_dma_addr(base + at), 1 + upto(99), (int)upto(3), NULL };
		assert_int_equal(hca_ledger_end(l, &h, "e"), -ENOENT);
		assert_int_equal(reports, 1);
		assert_int_equal(last, HCA_MISUSE_UNMAP_UNKNOWN);
	}
}

static void random_against_a_model(void **state)
{
	static const u64 base[] = { 0x10000000, 0x7f12345f0000, 0x4d50000040000000, 0xffffffff00000000 };
	struct hca_ledger_totals t;
	unsigned int s;
	int i, live;

	(void)state;
	for (s = 1; s <= 12; s++) {
		struct hca_ledger *l = make(s % 3 ? 0 : 5);
		struct plain m[LIVE] = { 0 };
		u64 bytes = 0;

		seed = s;
		for (i = 0; i < 4000; i++)
			one_random_step(l, m, base[s % HCA_ARRAY_SIZE(base)]);
		for (i = live = 0; i < LIVE; i++) {
			live += m[i].live;
			bytes += m[i].live ? m[i].len : 0;
		}
		hca_ledger_totals(l, &t);
		assert_int_equal(t.live, live);
		assert_int_equal(t.live_bytes, bytes);
		reports = 0;
		assert_int_equal(hca_ledger_destroy(l), live);
		assert_int_equal(reports, live);
	}
	assert_int_equal(test_leaks(), 0);
}

/* --- without memory --- */

static void allocations_fail(void **state)
{
	struct hca_ledger_attr attr = { .device = "dev0", .report = count };
	struct hca_ledger *l = NULL;
	struct hca_ledger_rec *rec;
	struct hca_mapping m = { HCA_MAP_SINGLE, hca_dma_addr(0x1000), 16, HCA_DMA_TO_DEVICE, NULL };
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
	enum { N = 5000 };
	struct hca_ledger_table table;
	struct hca_ledger_rec **rec = malloc(N * sizeof(*rec));
	u64 before, i;

	(void)state;
	assert_int_equal(hca_ledger_table_init(&table), 0);
	before = table.buckets;
	for (i = 0; i < N; i++)
		rec[i] = record(0x10000000 + i * PAGE, PAGE);
	for (i = 0; i < N; i++) {
		test_fail_at(1);
		hca_ledger_table_add(&table, rec[i]);
	}
	assert_true(test_fail_hit());
	test_fail_at(0);
	assert_int_equal(table.buckets, before);
	for (i = 0; i < N; i++)
		assert_ptr_equal(hca_ledger_table_find(&table, rec[i]->seg[0].addr, any, NULL), rec[i]->seg);
	/* With memory again, the next one catches up. */
	hca_ledger_table_del(&table, rec[0]);
	hca_ledger_table_add(&table, rec[0]);
	assert_true(table.buckets > before);
	for (i = 0; i < N; i++)
		assert_ptr_equal(hca_ledger_table_find(&table, rec[i]->seg[0].addr, any, NULL), rec[i]->seg);
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
		hca_ledger_table_add(&table, rec[i]);
		hca_ledger_table_supersede(&table, rec[i]);
		rec[i]->ended = true;
	}
	assert_true(table.cells <= 100);
	for (k = 1; k <= 100; k++) {
		scored = 0;
		assert_non_null(hca_ledger_table_find(&table, k * PAGE + 5, any, NULL));
		assert_int_equal(scored, 1);
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
		cmocka_unit_test(latest_wins_across_growth),
#if SIZE_MAX == UINT32_MAX
		cmocka_unit_test(absurd_records_are_refused),
#endif
		cmocka_unit_test(random_against_a_model),
		cmocka_unit_test(what_ended_does_not_pile_up),
		cmocka_unit_test(allocations_fail),
		cmocka_unit_test(growth_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
