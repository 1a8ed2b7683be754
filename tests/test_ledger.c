/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ledger by itself: each class of misuse with the fields of its report, lists and their pieces, several mappings
 * of one address. What it remembers is in test_ledger_memory.c, its table in test_ledger_table.c.
 */
#include "ledger_fixture.h"

static void right_calls_are_silent(void **state)
{
	static const u64 seg[][2] = { { 0x100000, PAGE }, { 0x200000, 3 * PAGE + 5 } };
	struct hca_ledger_totals t;
	struct hca_mapping m;
	int dir, i;

	(void)state;
	for (dir = HCA_DMA_BIDIRECTIONAL; dir <= HCA_DMA_FROM_DEVICE; dir++) {
		map(0x10010, 100, dir, "m");
		if (dir != HCA_DMA_FROM_DEVICE)
			use(0x10010, 100, HCA_MEM_READ, "u", 0);
		if (dir != HCA_DMA_TO_DEVICE)
			use(0x10073, 1, HCA_MEM_WRITE, "u", 0);
		if (dir == HCA_DMA_BIDIRECTIONAL)
			use(0x10018, 8, HCA_MEM_RMW, "u", 0);
		assert_int_equal(hca_ledger_sync(ledger, hca_dma_addr(0x10020), 10, dir, HCA_MAP_SINGLE, "s"), 0);
		t = totals();
		assert_int_equal(t.live, 1);
		assert_int_equal(t.live_bytes, 100);
		assert_int_equal(unmap(0x10010, 100, dir, "e"), 0);
	}
	use(0x999, 0, HCA_MEM_READ, "u", -EFAULT); /* no bytes, no address */
	map_list(&seg, seg, 2, 7, HCA_DMA_TO_DEVICE, "ml");
	t = totals();
	assert_int_equal(t.live_bytes, 4 * PAGE + 5);
	use(0x100010, 10, HCA_MEM_READ, "u", 0);
	use(0x200000, 3 * PAGE + 5, HCA_MEM_READ, "u", 0);
	assert_int_equal(unmap_list(&seg, 0x100000, 7, HCA_DMA_TO_DEVICE, "el"), 0);
	enter(HCA_MAP_COHERENT, 0x5000, PAGE, HCA_DMA_BIDIRECTIONAL, "c");
	m = mapping(HCA_MAP_COHERENT, 0x5000, PAGE, HCA_DMA_BIDIRECTIONAL, NULL);
	assert_int_equal(hca_ledger_end(ledger, &m, "ce"), 0);
	none();
	t = totals();
	assert_int_equal(t.made, 5);
	assert_int_equal(t.live, 0);
	assert_int_equal(t.live_bytes, 0);
	for (i = 0; i < HCA_MISUSE_KINDS; i++)
		assert_int_equal(t.misuse[i], 0);
}

static void leak(void **state)
{
	const struct hca_misuse_report *r = got.r;

	(void)state;
	map(0x1000, 10, HCA_DMA_TO_DEVICE, "m1");
	map(0x2000, 20, HCA_DMA_FROM_DEVICE, "m2");
	map(0x3000, 30, HCA_DMA_BIDIRECTIONAL, "m3");
	assert_int_equal(unmap(0x2000, 20, HCA_DMA_FROM_DEVICE, "e2"), 0);
	assert_int_equal(hca_ledger_destroy(ledger), 2);
	ledger = NULL;
	assert_int_equal(got.n, 2);
	/* oldest first */
	assert_int_equal(r[0].what, HCA_MISUSE_LEAK);
	says_call(&r[0], 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, NULL);
	says_map(&r[0], 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "m1", NULL);
	assert_int_equal(r[1].what, HCA_MISUSE_LEAK);
	says_map(&r[1], 0x3000, 30, HCA_DMA_BIDIRECTIONAL, HCA_MAP_SINGLE, "m3", NULL);
}

static void double_unmap(void **state)
{
	const struct hca_misuse_report *r;

	(void)state;
	map(0x1000, 10, HCA_DMA_TO_DEVICE, "m");
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_TO_DEVICE, "e1"), 0);
	none();
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_TO_DEVICE, "e2"), -ENOENT);
	r = one(HCA_MISUSE_DOUBLE_UNMAP);
	says_call(r, 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "e2");
	says_map(r, 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "m", "e1");
	/* With other arguments it is the same mistake, not three. */
	assert_int_equal(unmap(0x1000, 11, HCA_DMA_FROM_DEVICE, "e3"), -ENOENT);
	one(HCA_MISUSE_DOUBLE_UNMAP);
	/* Mapped again, the first unmap is right and the next one isn't. */
	map(0x1000, 10, HCA_DMA_TO_DEVICE, "m2");
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_TO_DEVICE, "e4"), 0);
	none();
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_TO_DEVICE, "e5"), -ENOENT);
	says_map(one(HCA_MISUSE_DOUBLE_UNMAP), 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "m2", "e4");
	assert_int_equal(totals().misuse[HCA_MISUSE_DOUBLE_UNMAP], 3);
}

static void unmap_unknown(void **state)
{
	const struct hca_misuse_report *r;

	(void)state;
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_TO_DEVICE, "e"), -ENOENT);
	r = one(HCA_MISUSE_UNMAP_UNKNOWN);
	says_call(r, 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "e");
	says_no_map(r);
	/* Inside a mapping, but not where it begins: the report names the mapping, which stays. */
	map(0x1000, 10, HCA_DMA_TO_DEVICE, "m");
	assert_int_equal(unmap(0x1004, 6, HCA_DMA_TO_DEVICE, "e"), -ENOENT);
	says_map(one(HCA_MISUSE_UNMAP_UNKNOWN), 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "m", NULL);
	assert_int_equal(unmap(0x100a, 1, HCA_DMA_TO_DEVICE, "e"), -ENOENT);
	says_no_map(one(HCA_MISUSE_UNMAP_UNKNOWN));
	/* Errors and ends of the address space are no special case. */
	assert_int_equal(unmap(~0ull, 1, HCA_DMA_TO_DEVICE, "e"), -ENOENT);
	one(HCA_MISUSE_UNMAP_UNKNOWN);
	assert_int_equal(unmap(0, ~0ull, HCA_DMA_TO_DEVICE, "e"), -ENOENT);
	one(HCA_MISUSE_UNMAP_UNKNOWN);
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_TO_DEVICE, "e"), 0);
	none();
}

static void unmap_differs(void **state)
{
	const struct hca_misuse_report *r;
	struct hca_mapping m;

	(void)state;
	map(0x1000, 10, HCA_DMA_TO_DEVICE, "m");
	m = mapping(HCA_MAP_SINGLE, 0x1000, 11, HCA_DMA_TO_DEVICE, NULL);
	assert_int_equal(hca_ledger_end(ledger, &m, "e"), 0);
	r = one(HCA_MISUSE_UNMAP_SIZE);
	says_call(r, 0x1000, 11, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "e");
	says_map(r, 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "m", NULL);
	assert_int_equal(m.size, 10); /* the backend is told the truth */

	map(0x1000, 10, HCA_DMA_TO_DEVICE, "m");
	m = mapping(HCA_MAP_SINGLE, 0x1000, 10, HCA_DMA_FROM_DEVICE, NULL);
	assert_int_equal(hca_ledger_end(ledger, &m, "e"), 0);
	r = one(HCA_MISUSE_UNMAP_DIR);
	says_call(r, 0x1000, 10, HCA_DMA_FROM_DEVICE, HCA_MAP_SINGLE, "e");
	says_map(r, 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "m", NULL);
	assert_int_equal(m.dir, HCA_DMA_TO_DEVICE);

	/* page for single: reported, and done */
	map(0x1000, 10, HCA_DMA_TO_DEVICE, "m");
	m = mapping(HCA_MAP_PAGE, 0x1000, 10, HCA_DMA_TO_DEVICE, NULL);
	assert_int_equal(hca_ledger_end(ledger, &m, "e"), 0);
	r = one(HCA_MISUSE_UNMAP_KIND);
	says_call(r, 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_PAGE, "e");
	says_map(r, 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "m", NULL);
	assert_int_equal(m.kind, HCA_MAP_SINGLE);

	/* all three, and not looked at besides */
	enter(HCA_MAP_PAGE, 0x1000, 10, HCA_DMA_TO_DEVICE, "m");
	m = mapping(HCA_MAP_SINGLE, 0x1000, 9, HCA_DMA_NONE, NULL);
	assert_int_equal(hca_ledger_end(ledger, &m, "e"), 0);
	assert_int_equal(got.n, 4);
	assert_int_equal(got.r[0].what, HCA_MISUSE_UNMAP_KIND);
	assert_int_equal(got.r[1].what, HCA_MISUSE_UNMAP_SIZE);
	assert_int_equal(got.r[2].what, HCA_MISUSE_UNMAP_DIR);
	assert_int_equal(got.r[3].what, HCA_MISUSE_UNCHECKED);
	got.n = 0;
	assert_int_equal(totals().live, 0);
}

/* A family's unmap can't undo another family's map: reported, refused, and the mapping stays. */
static void unmap_of_another_family(void **state)
{
	static const u64 seg[][2] = { { 0x8000, 10 } };
	static const enum hca_map_kind kinds[] = { HCA_MAP_SINGLE, HCA_MAP_PAGE, HCA_MAP_LIST, HCA_MAP_COHERENT };
	static const char lists[16];
	struct hca_mapping m;
	size_t i, j;

	(void)state;
	for (i = 0; i < 4; i++)
		for (j = 0; j < 4; j++) {
			bool together = kinds[i] == kinds[j] || (i < 2 && j < 2);

			if (kinds[i] == HCA_MAP_LIST)
				map_list(&lists[4 * i + j], seg, 1, 10, HCA_DMA_BIDIRECTIONAL, "m");
			else
				enter(kinds[i], 0x8000, 10, HCA_DMA_BIDIRECTIONAL, "m");
			hca_ledger_checked(ledger, hca_dma_addr(0x8000));
			m = mapping(kinds[j], 0x8000, 10, HCA_DMA_BIDIRECTIONAL,
				    kinds[j] == HCA_MAP_LIST ? &lists[4 * i + j] : NULL);
			assert_int_equal(hca_ledger_end(ledger, &m, "e"), together ? 0 : -EINVAL);
			if (i != j)
				one(HCA_MISUSE_UNMAP_KIND);
			none();
			assert_int_equal(totals().live, !together);
			if (together)
				continue;
			m = mapping(kinds[i], 0x8000, 10, HCA_DMA_BIDIRECTIONAL,
				    kinds[i] == HCA_MAP_LIST ? &lists[4 * i + j] : NULL);
			assert_int_equal(hca_ledger_end(ledger, &m, "e"), 0);
			none();
		}
}

static void use_misuses(void **state)
{
	const struct hca_misuse_report *r;

	(void)state;
	use(0x1000, 8, HCA_MEM_READ, "u", -EFAULT);
	r = one(HCA_MISUSE_USE_UNMAPPED);
	says_call(r, 0x1000, 8, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "u");
	says_no_map(r);
	assert_int_equal(r->outcome, -EFAULT);

	map(0x1000, 10, HCA_DMA_TO_DEVICE, "m");
	use(0x1000, 10, HCA_MEM_WRITE, "u", 0);
	r = one(HCA_MISUSE_USE_DIR);
	says_call(r, 0x1000, 10, HCA_DMA_FROM_DEVICE, HCA_MAP_SINGLE, "u");
	says_map(r, 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "m", NULL);
	assert_int_equal(r->outcome, 0);
	use(0x1000, 8, HCA_MEM_RMW, "u", 0);
	assert_int_equal(one(HCA_MISUSE_USE_DIR)->dir, HCA_DMA_BIDIRECTIONAL);
	/* one byte before, one after */
	use(0xfff, 2, HCA_MEM_READ, "u", 0);
	one(HCA_MISUSE_USE_UNMAPPED);
	use(0x1000, 11, HCA_MEM_READ, "u", 0);
	one(HCA_MISUSE_USE_UNMAPPED);
	use(0x1009, 1, HCA_MEM_READ, "u", 0);
	none();
	/* wrapping and absurd lengths */
	use(0x1000, ~0ull, HCA_MEM_READ, "u", -EFAULT);
	one(HCA_MISUSE_USE_UNMAPPED);
	use(~0ull - 3, 8, HCA_MEM_READ, "u", -EFAULT);
	one(HCA_MISUSE_USE_UNMAPPED);

	assert_int_equal(unmap(0x1000, 10, HCA_DMA_TO_DEVICE, "e"), 0);
	use(0x1004, 2, HCA_MEM_READ, "u", 0);
	r = one(HCA_MISUSE_USE_AFTER_UNMAP);
	says_call(r, 0x1004, 2, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "u");
	says_map(r, 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "m", "e");
	assert_int_equal(r->outcome, 0);
	use(0x1004, 2, HCA_MEM_WRITE, NULL, -EFAULT);
	r = one(HCA_MISUSE_USE_AFTER_UNMAP);
	assert_null(r->site);
	assert_int_equal(r->outcome, -EFAULT);
}

static void unchecked(void **state)
{
	const struct hca_misuse_report *r;

	(void)state;
	enter(HCA_MAP_SINGLE, 0x1000, 10, HCA_DMA_TO_DEVICE, "m");
	use(0x1002, 3, HCA_MEM_READ, "u", 0);
	r = one(HCA_MISUSE_UNCHECKED);
	says_call(r, 0x1002, 3, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "u");
	says_map(r, 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "m", NULL);
	use(0x1002, 3, HCA_MEM_READ, "u", 0); /* said once */
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_TO_DEVICE, "e"), 0);
	none();
	enter(HCA_MAP_PAGE, 0x1000, 10, HCA_DMA_TO_DEVICE, "m");
	assert_int_equal(hca_ledger_end(ledger,
					&(struct hca_mapping){ HCA_MAP_PAGE, hca_dma_addr(0x1000), 10,
							       HCA_DMA_TO_DEVICE, NULL, 0 },
					"e"),
			 0);
	says_call(one(HCA_MISUSE_UNCHECKED), 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_PAGE, "e");
	/* A look at an address inside it is no look at what the map returned; one at an unknown address is nothing. */
	enter(HCA_MAP_SINGLE, 0x1000, 10, HCA_DMA_TO_DEVICE, "m");
	hca_ledger_checked(ledger, hca_dma_addr(0x1001));
	hca_ledger_checked(ledger, hca_dma_addr(0x7777777));
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_TO_DEVICE, "e"), 0);
	one(HCA_MISUSE_UNCHECKED);
}

/*
 * On a device whose addresses are virtual, one buffer mapped twice has one address. The second mapping may be used
 * only after its check, but the first one's work may go on: that is no misuse.
 */
static void unchecked_twin_is_not_blamed(void **state)
{
	(void)state;
	map(0x1000, 10, HCA_DMA_TO_DEVICE, "first");
	enter(HCA_MAP_SINGLE, 0x1000, 10, HCA_DMA_TO_DEVICE, "second");
	use(0x1000, 10, HCA_MEM_READ, "u", 0); /* of the first */
	none();
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_TO_DEVICE, "e"), 0); /* the first */
	none();
	hca_ledger_checked(ledger, hca_dma_addr(0x1000));
	use(0x1000, 10, HCA_MEM_READ, "u", 0);
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_TO_DEVICE, "e"), 0);
	none();
	/* Which of the two was never looked at can't be told when one ends: neither is blamed. */
	map(0x1000, 10, HCA_DMA_TO_DEVICE, "first");
	enter(HCA_MAP_SINGLE, 0x1000, 10, HCA_DMA_TO_DEVICE, "second");
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_TO_DEVICE, "e1"), 0);
	use(0x1000, 10, HCA_MEM_READ, "u", 0); /* by the first, if it was the second that ended */
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_TO_DEVICE, "e2"), 0);
	none();
	/* Two that nobody looked at are two reports. */
	enter(HCA_MAP_SINGLE, 0x1000, 10, HCA_DMA_TO_DEVICE, "first");
	enter(HCA_MAP_SINGLE, 0x1000, 10, HCA_DMA_TO_DEVICE, "second");
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_TO_DEVICE, "e1"), 0);
	one(HCA_MISUSE_UNCHECKED);
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_TO_DEVICE, "e2"), 0);
	one(HCA_MISUSE_UNCHECKED);
}

/* Map A, map B of the same buffer, look at A, unmap A: whose address was looked at can't be told, so it was both. */
static void a_look_at_a_shared_address_counts_for_all(void **state)
{
	(void)state;
	enter(HCA_MAP_SINGLE, 0x1000, 10, HCA_DMA_TO_DEVICE, "a");
	enter(HCA_MAP_PAGE, 0x1000, 3000, HCA_DMA_BIDIRECTIONAL, "b");
	hca_ledger_checked(ledger, hca_dma_addr(0x1000));
	use(0x1000, 10, HCA_MEM_READ, "u", 0);
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_TO_DEVICE, "ea"), 0);
	none();
	hca_ledger_checked(ledger, hca_dma_addr(0x1000));
	use(0x1000, 3000, HCA_MEM_WRITE, "u", 0);
	assert_int_equal(hca_ledger_end(ledger,
					&(struct hca_mapping){ HCA_MAP_PAGE, hca_dma_addr(0x1000), 3000,
							       HCA_DMA_BIDIRECTIONAL, NULL, 0 },
					"eb"),
			 0);
	none();
}

/* What the checked mappings have together may be used, even where an unchecked one has all of it. */
static void an_unchecked_cover_is_not_blamed_for_others(void **state)
{
	(void)state;
	map(0x1000, 50, HCA_DMA_TO_DEVICE, "a");
	map(0x1032, 50, HCA_DMA_TO_DEVICE, "b");
	enter(HCA_MAP_SINGLE, 0x0ff0, 500, HCA_DMA_TO_DEVICE, "c");
	use(0x1000, 100, HCA_MEM_READ, "u", 0);
	none();
	use(0x1000, 101, HCA_MEM_READ, "u", 0);
	says_map(one(HCA_MISUSE_UNCHECKED), 0x0ff0, 500, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "c", NULL);
	assert_int_equal(unmap(0x1000, 50, HCA_DMA_TO_DEVICE, "e"), 0);
	assert_int_equal(unmap(0x1032, 50, HCA_DMA_TO_DEVICE, "e"), 0);
	assert_int_equal(unmap(0x0ff0, 500, HCA_DMA_TO_DEVICE, "e"), 0);
	none();
}

static void sync_misuses(void **state)
{
	const struct hca_misuse_report *r;
	struct hca_ledger *l = ledger;

	(void)state;
	assert_int_equal(hca_ledger_sync(l, hca_dma_addr(0x1000), 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "s"), -ENOENT);
	r = one(HCA_MISUSE_SYNC_OUTSIDE);
	says_call(r, 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "s");
	says_no_map(r);
	map(0x1000, 10, HCA_DMA_TO_DEVICE, "m");
	assert_int_equal(hca_ledger_sync(l, hca_dma_addr(0x1001), 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "s"), -ENOENT);
	says_map(one(HCA_MISUSE_SYNC_OUTSIDE), 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "m", NULL);
	assert_int_equal(hca_ledger_sync(l, hca_dma_addr(0x1001), ~0ull, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "s"),
			 -ENOENT);
	one(HCA_MISUSE_SYNC_OUTSIDE);
	assert_true(hca_ledger_sync(l, hca_dma_addr(0x1001), 9, HCA_DMA_FROM_DEVICE, HCA_MAP_SINGLE, "s") != -ENOENT);
	r = one(HCA_MISUSE_SYNC_DIR);
	says_call(r, 0x1001, 9, HCA_DMA_FROM_DEVICE, HCA_MAP_SINGLE, "s");
	says_map(r, 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "m", NULL);
	hca_ledger_sync(l, hca_dma_addr(0x1001), 9, HCA_DMA_BIDIRECTIONAL, HCA_MAP_SINGLE, "s");
	one(HCA_MISUSE_SYNC_DIR);
	hca_ledger_sync(l, hca_dma_addr(0x1001), 9, HCA_DMA_NONE, HCA_MAP_SINGLE, "s");
	one(HCA_MISUSE_SYNC_DIR);
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_TO_DEVICE, "e"), 0);
	assert_int_equal(hca_ledger_sync(l, hca_dma_addr(0x1000), 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "s"), -ENOENT);
	says_map(one(HCA_MISUSE_SYNC_OUTSIDE), 0x1000, 10, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "m", "e");
	/* What was mapped both ways may be synced any valid way. */
	map(0x1000, 10, HCA_DMA_BIDIRECTIONAL, "m");
	assert_int_equal(hca_ledger_sync(l, hca_dma_addr(0x1000), 10, HCA_DMA_FROM_DEVICE, HCA_MAP_SINGLE, "s"), 0);
	none();
	hca_ledger_sync(l, hca_dma_addr(0x1000), 10, 17, HCA_MAP_SINGLE, "s");
	one(HCA_MISUSE_SYNC_DIR);
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_BIDIRECTIONAL, "e"), 0);
}

static void write_and_list_reports(void **state)
{
	const struct hca_misuse_report *r;

	(void)state;
	map(0x1000, 10, HCA_DMA_FROM_DEVICE, "m");
	hca_ledger_report_write(ledger, hca_dma_addr(0x1005), "w");
	r = one(HCA_MISUSE_CPU_WRITE);
	assert_true(hca_dma_u64(r->addr) == 0x1005);
	assert_string_equal((const char *)r->site, "w");
	says_map(r, 0x1000, 10, HCA_DMA_FROM_DEVICE, HCA_MAP_SINGLE, "m", NULL);
	assert_int_equal(unmap(0x1000, 10, HCA_DMA_FROM_DEVICE, "e"), 0);
	hca_ledger_report_list(ledger, 3, 9, HCA_DMA_TO_DEVICE, "l");
	r = one(HCA_MISUSE_LIST);
	says_call(r, 3, 9, HCA_DMA_TO_DEVICE, HCA_MAP_LIST, "l");
	says_no_map(r);
}

/* --- pieces --- */

static void list_pieces(void **state)
{
	/* the second follows the first, the third doesn't, the fourth is the first again */
	static const u64 seg[][2] = {
		{ 0x10000, PAGE }, { 0x11000, 100 }, { 0x20000, 3 * PAGE }, { 0x10000, 50 }, { 0x10000000, 1ull << 30 },
	};
	static const int list = 1;

	(void)state;
	map_list(&list, seg, 5, 8, HCA_DMA_FROM_DEVICE, "m");
	use(0x10fff, 2, HCA_MEM_WRITE, "u", 0); /* over the seam */
	use(0x10000, PAGE + 100, HCA_MEM_WRITE, "u", 0);
	use(0x22fff, 1, HCA_MEM_WRITE, "u", 0);
	use(0x10000000 + (1ull << 29), 1ull << 29, HCA_MEM_WRITE, "u", 0);
	none();
	use(0x10000, PAGE + 101, HCA_MEM_WRITE, "u", 0);
	one(HCA_MISUSE_USE_UNMAPPED);
	use(0x23000, 1, HCA_MEM_WRITE, "u", 0);
	one(HCA_MISUSE_USE_UNMAPPED);
	use(0x10fff, 2, HCA_MEM_READ, "u", 0);
	one(HCA_MISUSE_USE_DIR);
	/* A sync lies inside one piece. */
	assert_int_equal(
		hca_ledger_sync(ledger, hca_dma_addr(0x20000), 3 * PAGE, HCA_DMA_FROM_DEVICE, HCA_MAP_LIST, "s"), 0);
	none();
	/* A list is unmapped by its first address, with the entries it was mapped with. */
	assert_int_equal(unmap_list(&list, 0x20000, 8, HCA_DMA_FROM_DEVICE, "e"), -ENOENT);
	says_map(one(HCA_MISUSE_UNMAP_UNKNOWN), 0x10000, 8, HCA_DMA_FROM_DEVICE, HCA_MAP_LIST, "m", NULL);
	assert_int_equal(unmap_list(&list, 0x10000, 5, HCA_DMA_FROM_DEVICE, "e"), 0);
	one(HCA_MISUSE_UNMAP_SIZE);
	/* All of its pieces are remembered. */
	use(0x20000 + PAGE, 1, HCA_MEM_WRITE, "u", 0);
	one(HCA_MISUSE_USE_AFTER_UNMAP);
	use(0x10000000 + (1ull << 29), 1, HCA_MEM_WRITE, "u", 0);
	one(HCA_MISUSE_USE_AFTER_UNMAP);
	assert_int_equal(unmap_list(&list, 0x10000, 8, HCA_DMA_FROM_DEVICE, "e2"), -ENOENT);
	one(HCA_MISUSE_DOUBLE_UNMAP);
}

/*
 * A list's address is found in the list itself. After its unmap the address may be given to another list: a second
 * unmap of the first must not end the second one's mapping.
 */
static void a_list_ends_its_own_mapping_only(void **state)
{
	static const u64 seg[][2] = { { 0x10000, PAGE }, { 0x30000, PAGE } };
	static const int a = 1, b = 2;

	(void)state;
	map_list(&a, seg, 2, 2, HCA_DMA_TO_DEVICE, "ma");
	assert_int_equal(unmap_list(&a, 0x10000, 2, HCA_DMA_TO_DEVICE, "ea"), 0);
	map_list(&b, seg, 2, 2, HCA_DMA_TO_DEVICE, "mb");
	none();
	assert_int_equal(unmap_list(&a, 0x10000, 2, HCA_DMA_TO_DEVICE, "ea2"), -ENOENT);
	says_map(one(HCA_MISUSE_DOUBLE_UNMAP), 0x10000, 2, HCA_DMA_TO_DEVICE, HCA_MAP_LIST, "ma", "ea");
	use(0x30000, PAGE, HCA_MEM_READ, "u", 0);
	none();
	assert_int_equal(unmap_list(&b, 0x10000, 2, HCA_DMA_TO_DEVICE, "eb"), 0);
	none();
	/* never mapped at all */
	map_list(&b, seg, 2, 2, HCA_DMA_TO_DEVICE, "mb2");
	assert_int_equal(unmap_list(&seg, 0x10000, 2, HCA_DMA_TO_DEVICE, "e"), -ENOENT);
	says_map(one(HCA_MISUSE_UNMAP_UNKNOWN), 0x10000, 2, HCA_DMA_TO_DEVICE, HCA_MAP_LIST, "mb2", NULL);
	assert_int_equal(unmap_list(&b, 0x10000, 2, HCA_DMA_TO_DEVICE, "eb"), 0);
	none();
	/* The address belongs to something else altogether. */
	map(0x10000, 10, HCA_DMA_TO_DEVICE, "ms");
	assert_int_equal(unmap_list(&b, 0x10000, 2, HCA_DMA_TO_DEVICE, "eb2"), -ENOENT);
	says_map(one(HCA_MISUSE_DOUBLE_UNMAP), 0x10000, 2, HCA_DMA_TO_DEVICE, HCA_MAP_LIST, "mb2", "eb");
	assert_int_equal(unmap_list(&seg, 0x10000, 2, HCA_DMA_TO_DEVICE, "e"), -EINVAL);
	one(HCA_MISUSE_UNMAP_KIND);
	assert_int_equal(unmap(0x10000, 10, HCA_DMA_TO_DEVICE, "es"), 0);
	/* Both live at one address: each ends its own, in any order. */
	map_list(&a, seg, 2, 2, HCA_DMA_TO_DEVICE, "ma");
	map_list(&b, seg, 1, 1, HCA_DMA_TO_DEVICE, "mb");
	assert_int_equal(unmap_list(&a, 0x10000, 2, HCA_DMA_TO_DEVICE, "ea"), 0);
	assert_int_equal(unmap_list(&b, 0x10000, 1, HCA_DMA_TO_DEVICE, "eb"), 0);
	none();
}

static struct hca_mapping list_of(u32 len)
{
	struct hca_mapping m = mapping(HCA_MAP_LIST, 0x10000, 1, HCA_DMA_TO_DEVICE, &got);

	m.entries = hca_ledger_entry(0, &got, 0, len);
	return m;
}

static void map_list_of(u32 len, const char *site)
{
	struct hca_ledger_rec *rec = hca_ledger_prepare(1);
	struct hca_mapping m = list_of(len);

	assert_non_null(rec);
	hca_ledger_seg(rec, 0, m.addr, len);
	hca_ledger_enter(ledger, rec, &m, 1, site);
}

static int unmap_list_of(u32 len, int dir, const char *site)
{
	struct hca_mapping m = list_of(len);

	m.dir = dir;
	return hca_ledger_end(ledger, &m, site);
}

/* Lists that begin with one page are known by their entries, also when several have had the address in between. */
static void a_list_unmapped_twice_ends_no_other(void **state)
{
	u32 i;

	(void)state;
	for (i = 1; i <= 3; i++) {
		map_list_of(i, "m");
		assert_int_equal(unmap_list_of(i, HCA_DMA_TO_DEVICE, "e"), 0);
	}
	map(0x10000, 16, HCA_DMA_TO_DEVICE, "s");
	assert_int_equal(unmap(0x10000, 16, HCA_DMA_TO_DEVICE, "se"), 0);
	map_list_of(9, "live");
	none();
	for (i = 1; i <= 3; i++) {
		assert_int_equal(unmap_list_of(i, HCA_DMA_TO_DEVICE, "again"), -ENOENT);
		says_map(one(HCA_MISUSE_DOUBLE_UNMAP), 0x10000, 1, HCA_DMA_TO_DEVICE, HCA_MAP_LIST, "m", "e");
	}
	/* The live one's entries, and another direction: that is this list all the same. */
	map_list_of(8, "other");
	assert_int_equal(unmap_list_of(9, HCA_DMA_FROM_DEVICE, "wrong"), 0);
	says_map(one(HCA_MISUSE_UNMAP_DIR), 0x10000, 1, HCA_DMA_TO_DEVICE, HCA_MAP_LIST, "live", NULL);
	assert_int_equal(unmap_list_of(8, HCA_DMA_TO_DEVICE, "e"), 0);
	/* Entries that no list had: somebody changed them, and the address says which list it was. */
	map_list_of(7, "m");
	assert_int_equal(unmap_list_of(6, HCA_DMA_TO_DEVICE, "e"), 0);
	none();
}

static void range_over_several_mappings(void **state)
{
	u64 i;

	(void)state;
	for (i = 0; i < 10; i++)
		map(0x10000 + i * PAGE, PAGE, HCA_DMA_TO_DEVICE, "m");
	use(0x10000, 10 * PAGE, HCA_MEM_READ, "u", 0);
	none();
	assert_int_equal(unmap(0x10000 + 7 * PAGE, PAGE, HCA_DMA_TO_DEVICE, "e"), 0);
	use(0x10000, 10 * PAGE, HCA_MEM_READ, "u", 0);
	one(HCA_MISUSE_USE_AFTER_UNMAP);
	for (i = 0; i < 10; i++)
		if (i != 7)
			assert_int_equal(unmap(0x10000 + i * PAGE, PAGE, HCA_DMA_TO_DEVICE, "e"), 0);
	none();
}

/* However many things are wrong with one access, what is counted is what is reported, and the worst is not left out. */
static void nothing_is_counted_unreported(void **state)
{
	struct hca_ledger_totals t;
	u64 i, sum = 0;

	(void)state;
	for (i = 0; i < 8; i++)
		enter(HCA_MAP_SINGLE, 0x10000 + i * PAGE, PAGE, HCA_DMA_TO_DEVICE, "m");
	use(0x10000, 9 * PAGE, HCA_MEM_READ, "u", 0);
	assert_true(got.n > 1);
	assert_int_equal(got.r[0].what, HCA_MISUSE_UNCHECKED);
	assert_int_equal(got.r[got.n - 1].what, HCA_MISUSE_USE_UNMAPPED);
	for (i = 0; i < 8; i++)
		assert_int_equal(unmap(0x10000 + i * PAGE, PAGE, HCA_DMA_TO_DEVICE, "e"), 0);
	t = totals();
	for (i = 0; i < HCA_MISUSE_KINDS; i++)
		sum += t.misuse[i];
	assert_int_equal(got.n, sum);
	/* and each mapping is named once */
	assert_int_equal(t.misuse[HCA_MISUSE_UNCHECKED], 8);
}

/* --- several mappings of one address, as a device with virtual addresses has them --- */

static void one_address_many_mappings(void **state)
{
	struct hca_ledger_totals t;

	(void)state;
	map(0x1000, 100, HCA_DMA_TO_DEVICE, "a");
	map(0x1000, 200, HCA_DMA_TO_DEVICE, "b");
	map(0x1000, 100, HCA_DMA_FROM_DEVICE, "c");
	use(0x1000, 200, HCA_MEM_READ, "u", 0);
	use(0x1000, 100, HCA_MEM_WRITE, "u", 0);
	none();
	use(0x1000, 101, HCA_MEM_WRITE, "u", 0);
	one(HCA_MISUSE_USE_DIR);
	/* Each unmap ends the one that fits it best. */
	assert_int_equal(unmap(0x1000, 100, HCA_DMA_TO_DEVICE, "e"), 0);
	assert_int_equal(unmap(0x1000, 100, HCA_DMA_FROM_DEVICE, "e"), 0);
	none();
	use(0x1000, 100, HCA_MEM_WRITE, "u", 0);
	one(HCA_MISUSE_USE_DIR); /* not after-unmap: the live one is what it hit */
	assert_int_equal(unmap(0x1000, 200, HCA_DMA_TO_DEVICE, "e"), 0);
	none();
	assert_int_equal(unmap(0x1000, 200, HCA_DMA_TO_DEVICE, "e"), -ENOENT);
	one(HCA_MISUSE_DOUBLE_UNMAP);
	t = totals();
	assert_int_equal(t.made, 3);
	assert_int_equal(t.live, 0);
	assert_int_equal(t.live_bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		L(right_calls_are_silent),
		L(leak),
		L(double_unmap),
		L(unmap_unknown),
		L(unmap_differs),
		L(unmap_of_another_family),
		L(use_misuses),
		L(unchecked),
		L(unchecked_twin_is_not_blamed),
		L(a_look_at_a_shared_address_counts_for_all),
		L(an_unchecked_cover_is_not_blamed_for_others),
		L(sync_misuses),
		L(write_and_list_reports),
		L(list_pieces),
		L(a_list_ends_its_own_mapping_only),
		L(a_list_unmapped_twice_ends_no_other),
		L(range_over_several_mappings),
		L(nothing_is_counted_unreported),
		L(one_address_many_mappings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
