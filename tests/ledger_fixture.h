/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the tests of the ledger by itself share: one ledger, its reports, and short names for its calls. */
#ifndef TESTS_LEDGER_FIXTURE_H
#define TESTS_LEDGER_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "dma/ledger.h"

#define PAGE 4096ull
#define MAX_KEPT 64

static struct {
	int n;
	struct hca_misuse_report r[MAX_KEPT];
} got;

static struct hca_ledger *ledger;

static inline void keep(void *ctx, const struct hca_misuse_report *r)
{
	assert_ptr_equal(ctx, &got);
	if (got.n < MAX_KEPT)
		got.r[got.n] = *r;
	got.n++;
}

static inline int setup_with(u32 history)
{
	struct hca_ledger_attr attr = { .device = "dev0", .history = history, .report = keep, .ctx = &got };

	memset(&got, 0, sizeof(got));
	return hca_ledger_create(&attr, &ledger);
}

static inline int setup(void **state)
{
	(void)state;
	return setup_with(0);
}

static inline int teardown(void **state)
{
	(void)state;
	if (ledger) {
		got.n = 0;
		assert_int_equal(hca_ledger_destroy(ledger), 0);
		assert_int_equal(got.n, 0);
	}
	ledger = NULL;
	return 0;
}

static inline struct hca_mapping mapping(enum hca_map_kind kind, u64 addr, u64 size, int dir, const void *list)
{
	return (struct hca_mapping){ .kind = kind, .addr = hca_dma_addr(addr), .size = size, .dir = dir, .list = list };
}

static inline void enter(enum hca_map_kind kind, u64 addr, u64 size, int dir, const char *site)
{
	struct hca_mapping m = mapping(kind, addr, size, dir, NULL);
	struct hca_ledger_rec *rec = hca_ledger_prepare(1);

	assert_non_null(rec);
	hca_ledger_seg(rec, 0, m.addr, size);
	hca_ledger_enter(ledger, rec, &m, 1, site);
}

/* The usual: mapped, and looked at. */
static inline void map(u64 addr, u64 size, int dir, const char *site)
{
	enter(HCA_MAP_SINGLE, addr, size, dir, site);
	hca_ledger_checked(ledger, hca_dma_addr(addr));
}

static inline void map_list(const void *list, const u64 (*seg)[2], u32 n, u32 entries, int dir, const char *site)
{
	struct hca_mapping m = mapping(HCA_MAP_LIST, seg[0][0], entries, dir, list);
	struct hca_ledger_rec *rec = hca_ledger_prepare(entries);
	u32 i;

	assert_non_null(rec);
	for (i = 0; i < n; i++)
		hca_ledger_seg(rec, i, hca_dma_addr(seg[i][0]), seg[i][1]);
	hca_ledger_enter(ledger, rec, &m, n, site);
}

static inline int unmap(u64 addr, u64 size, int dir, const char *site)
{
	struct hca_mapping m = mapping(HCA_MAP_SINGLE, addr, size, dir, NULL);

	return hca_ledger_end(ledger, &m, site);
}

static inline int unmap_list(const void *list, u64 addr, u32 entries, int dir, const char *site)
{
	struct hca_mapping m = mapping(HCA_MAP_LIST, addr, entries, dir, list);

	return hca_ledger_end(ledger, &m, site);
}

static inline void use(u64 addr, u64 len, enum hca_mem_op access, const char *site, int outcome)
{
	hca_ledger_use(ledger, hca_dma_addr(addr), len, access, site, outcome);
}

/* Exactly one report since the last call, of this class. */
static inline const struct hca_misuse_report *one(enum hca_misuse what)
{
	assert_int_equal(got.n, 1);
	assert_int_equal(got.r[0].what, what);
	assert_string_equal(got.r[0].device, "dev0");
	got.n = 0;
	return &got.r[0];
}

static inline void none(void)
{
	assert_int_equal(got.n, 0);
}

static inline void says_call(const struct hca_misuse_report *r, u64 addr, u64 size, int dir, enum hca_map_kind kind,
			     const char *site)
{
	assert_true(hca_dma_u64(r->addr) == addr);
	assert_true(r->size == size);
	assert_int_equal(r->dir, dir);
	assert_int_equal(r->kind, kind);
	if (site)
		assert_string_equal((const char *)r->site, site);
	else
		assert_null(r->site);
}

static inline void says_map(const struct hca_misuse_report *r, u64 addr, u64 size, int dir, enum hca_map_kind kind,
			    const char *site, const char *end)
{
	assert_true(r->has_map);
	assert_true(hca_dma_u64(r->map_addr) == addr);
	assert_true(r->map_size == size);
	assert_int_equal(r->map_dir, dir);
	assert_int_equal(r->map_kind, kind);
	assert_string_equal((const char *)r->map_site, site);
	if (end)
		assert_string_equal((const char *)r->end_site, end);
	else
		assert_null(r->end_site);
}

static inline void says_no_map(const struct hca_misuse_report *r)
{
	assert_false(r->has_map);
	assert_null(r->map_site);
	assert_null(r->end_site);
}

static inline struct hca_ledger_totals totals(void)
{
	struct hca_ledger_totals t;

	hca_ledger_totals(ledger, &t);
	return t;
}

#define L(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
