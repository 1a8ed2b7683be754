/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What one call costs the ledger, in table entries that it looks at, however many mappings live and whatever they share:
 * a page, a buffer, an address. Time is not measured.
 */
#include <stdlib.h>

#include "ledger_fixture.h"
#include "test_os.h"

enum { MANY = 65536 };

static u64 most; /* entries that the dearest call since cost_begin() looked at */
static u64 before;

static void begin_call(void)
{
	before = hca_ledger_probes(ledger);
}

static void end_call(void)
{
	most = HCA_MAX(most, hca_ledger_probes(ledger) - before);
}

static void costs_at_most(u64 bound, const char *what)
{
	if (most > bound)
		fail_msg("%s: a call looked at %llu entries, %llu are allowed", what, (unsigned long long)most,
			 (unsigned long long)bound);
	most = 0;
}

static void map_one(u64 addr, u64 len)
{
	struct hca_mapping m = mapping(HCA_MAP_SINGLE, addr, len, HCA_DMA_TO_DEVICE, NULL);
	struct hca_ledger_rec *rec = hca_ledger_prepare(1);

	assert_non_null(rec);
	hca_ledger_seg(rec, 0, m.addr, len);
	begin_call();
	hca_ledger_enter(ledger, rec, &m, 1, "m");
	end_call();
	begin_call();
	hca_ledger_checked(ledger, m.addr);
	end_call();
	begin_call();
	use(addr, len, HCA_MEM_READ, "u", 0);
	end_call();
	begin_call();
	assert_int_equal(hca_ledger_sync(ledger, m.addr, len, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "s"), 0);
	end_call();
}

static void unmap_one(u64 addr, u64 len)
{
	begin_call();
	assert_int_equal(unmap(addr, len, HCA_DMA_TO_DEVICE, "e"), 0);
	end_call();
}

/* @n mappings of @len bytes, each @step bytes after the one before, for @turn of them, and then again from the first. */
static void many(u64 base, u64 len, u64 step, u32 turn, u32 n, u64 bound, const char *what)
{
	u32 i;

	most = 0;
	for (i = 0; i < n; i++)
		map_one(base + i % turn * step, len);
	costs_at_most(bound, what);
	for (i = 0; i < n; i++)
		unmap_one(base + i % turn * step, len);
	costs_at_most(bound, what);
	none();
}

/* One page each is what nothing is shared by: the measure for the rest. */
static void nothing_shared(void **state)
{
	(void)state;
	many(0x7f0000000000, PAGE, PAGE, MANY, 128, 24, "128 pages");
	many(0x7f0000000000, PAGE, PAGE, MANY, MANY, 64, "65,536 pages");
}

static void one_buffer(void **state)
{
	(void)state;
	many(0x7f0000000010, 64, 0, 1, MANY, 24, "one buffer, 65,536 times");
	many(0x7f0000000800, PAGE, 0, 1, MANY, 24, "one buffer over two pages, 65,536 times");
}

static void one_page(void **state)
{
	(void)state;
	many(0x7f0000000000, 64, 64, 64, 16000, 120, "16,000 mappings of 64 B in one page");
}

/* Different ranges that lie over each other: the logarithm of their number. */
static void ranges_over_each_other(void **state)
{
	(void)state;
	many(0x7f0000000001, 1 << 20, 3, MANY, MANY, 300, "65,536 ranges of 1 MiB, 3 B apart");
}

static void lists_of_one_page(void **state)
{
	enum { LISTS = 64, ENTRIES = 256 };
	static const char page[LISTS];
	struct hca_mapping m;
	u32 i, k;

	(void)state;
	most = 0;
	for (i = 0; i < LISTS; i++) {
		struct hca_ledger_rec *rec = hca_ledger_prepare(ENTRIES);

		assert_non_null(rec);
		for (k = 0; k < ENTRIES; k++)
			hca_ledger_seg(rec, k, hca_dma_addr(0x7f0000000000), PAGE);
		m = mapping(HCA_MAP_LIST, 0x7f0000000000, ENTRIES, HCA_DMA_FROM_DEVICE, &page[i % 2]);
		begin_call();
		hca_ledger_enter(ledger, rec, &m, ENTRIES, "m");
		end_call();
	}
	costs_at_most(8 * ENTRIES, "mapping a list of one page");
	begin_call();
	use(0x7f0000000000, PAGE, HCA_MEM_WRITE, "u", 0);
	end_call();
	costs_at_most(24, "using a list of one page");
	for (i = 0; i < LISTS; i++) {
		m = mapping(HCA_MAP_LIST, 0x7f0000000000, ENTRIES, HCA_DMA_FROM_DEVICE, &page[i % 2]);
		begin_call();
		assert_int_equal(hca_ledger_end(ledger, &m, "e"), 0);
		end_call();
	}
	costs_at_most(24 * ENTRIES, "unmapping a list of one page");
	none();
}

/* A wrong call is told of, and isn't a way to make the ledger slow either. */
static void wrong_unmaps_among_many(void **state)
{
	struct hca_mapping m;
	u32 i;

	(void)state;
	for (i = 0; i < MANY; i++)
		map(0x1000, 64, HCA_DMA_TO_DEVICE, "m");
	most = 0;
	for (i = 0; i < MANY; i++) {
		m = mapping(HCA_MAP_SINGLE, 0x1000, 65, HCA_DMA_TO_DEVICE, NULL);
		got.n = 0;
		begin_call();
		assert_int_equal(hca_ledger_end(ledger, &m, "e"), 0);
		end_call();
		one(HCA_MISUSE_UNMAP_SIZE);
	}
	costs_at_most(200, "a wrong unmap among 65,536");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		L(nothing_shared),	   L(one_buffer),	 L(one_page),
		L(ranges_over_each_other), L(lists_of_one_page), L(wrong_unmaps_among_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
