/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the ledger remembers of ended mappings, callbacks that call back, and what the accessors tell it.
 */
#include "ledger_fixture.h"

/* --- memory of ended mappings --- */

static void history_is_bounded(void **state)
{
	u64 i;

	teardown(state);
	assert_int_equal(setup_with(10), 0);
	for (i = 0; i < 25; i++) {
		map(0x10000 + i * PAGE, 16, HCA_DMA_TO_DEVICE, "m");
		assert_int_equal(unmap(0x10000 + i * PAGE, 16, HCA_DMA_TO_DEVICE, "e"), 0);
	}
	none();
	for (i = 0; i < 25; i++) {
		use(0x10000 + i * PAGE, 16, HCA_MEM_READ, "u", 0);
		one(i < 15 ? HCA_MISUSE_USE_UNMAPPED : HCA_MISUSE_USE_AFTER_UNMAP);
		assert_int_equal(unmap(0x10000 + i * PAGE, 16, HCA_DMA_TO_DEVICE, "e"), -ENOENT);
		one(i < 15 ? HCA_MISUSE_UNMAP_UNKNOWN : HCA_MISUSE_DOUBLE_UNMAP);
	}
}

/* One buffer mapped and unmapped for ever doesn't push the others out of memory. */
static void history_keeps_one_of_each_address(void **state)
{
	int i;

	teardown(state);
	assert_int_equal(setup_with(4), 0);
	map(0x1000, 16, HCA_DMA_TO_DEVICE, "a");
	assert_int_equal(unmap(0x1000, 16, HCA_DMA_TO_DEVICE, "ea"), 0);
	for (i = 0; i < 100; i++) {
		map(0x2000, 16, HCA_DMA_TO_DEVICE, "b");
		assert_int_equal(unmap(0x2000, 16, HCA_DMA_TO_DEVICE, "eb"), 0);
	}
	assert_int_equal(unmap(0x1000, 16, HCA_DMA_TO_DEVICE, "ea2"), -ENOENT);
	says_map(one(HCA_MISUSE_DOUBLE_UNMAP), 0x1000, 16, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "a", "ea");
}

static void history_of_one(void **state)
{
	teardown(state);
	assert_int_equal(setup_with(1), 0);
	map(0x1000, 16, HCA_DMA_TO_DEVICE, "a");
	map(0x2000, 16, HCA_DMA_TO_DEVICE, "b");
	assert_int_equal(unmap(0x1000, 16, HCA_DMA_TO_DEVICE, "e"), 0);
	assert_int_equal(unmap(0x2000, 16, HCA_DMA_TO_DEVICE, "e"), 0);
	assert_int_equal(unmap(0x1000, 16, HCA_DMA_TO_DEVICE, "e"), -ENOENT);
	one(HCA_MISUSE_UNMAP_UNKNOWN);
	assert_int_equal(unmap(0x2000, 16, HCA_DMA_TO_DEVICE, "e"), -ENOENT);
	one(HCA_MISUSE_DOUBLE_UNMAP);
}

/* --- the callback --- */

static int reentered;

static void call_back(void *ctx, const struct hca_misuse_report *r)
{
	struct hca_ledger_totals t;

	keep(ctx, r);
	if (reentered++)
		return;
	hca_ledger_totals(ledger, &t);
	assert_int_equal(t.misuse[HCA_MISUSE_UNMAP_UNKNOWN], 1);
	map(0x9000, 16, HCA_DMA_TO_DEVICE, "in callback");
	assert_int_equal(unmap(0x9000, 16, HCA_DMA_TO_DEVICE, "in callback"), 0);
	assert_int_equal(unmap(0xa000, 16, HCA_DMA_TO_DEVICE, "in callback"), -ENOENT);
	hca_ledger_sync(ledger, hca_dma_addr(0xb000), 1, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "in callback");
	/* What it was told stays as it was. */
	assert_true(hca_dma_u64(r->addr) == 0x8000);
	assert_string_equal((const char *)r->site, "e");
}

static void callback_may_call_back(void **state)
{
	struct hca_ledger_attr attr = { .device = "dev0", .report = call_back, .ctx = &got };

	teardown(state);
	reentered = 0;
	got.n = 0;
	assert_int_equal(hca_ledger_create(&attr, &ledger), 0);
	assert_int_equal(unmap(0x8000, 16, HCA_DMA_TO_DEVICE, "e"), -ENOENT);
	assert_int_equal(got.n, 3);
}

/* --- use as told by the accessors --- */

static int fixed_err[2];

static int fixed_open(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w)
{
	static u64 bytes[8];

	(void)mem;
	(void)addr;
	if (fixed_err[access == HCA_MEM_WRITE])
		return fixed_err[access == HCA_MEM_WRITE];
	w->ptr = bytes;
	w->len = HCA_MIN(len, sizeof(bytes));
	return 0;
}

static void fixed_close(struct hca_mem *mem, struct hca_mem_view *w)
{
	(void)mem;
	(void)w;
}

/* A copy inside one device: what was refused is said of the side that was refused, not of the other. */
static void outcome_is_of_the_side_that_failed(void **state)
{
	static const struct hca_mem_ops ops = { .open = fixed_open, .close = fixed_close };
	struct hca_mem mem = { .ops = &ops, .ledger = ledger };
	u8 own[8] = { 0 };
	u64 old;

	(void)state;
	fixed_err[0] = 0;
	fixed_err[1] = -EFAULT;
	assert_int_equal(hca_mem_copy(&mem, hca_dma_addr(0x2000), &mem, hca_dma_addr(0x1000), 8, "u", NULL), -EFAULT);
	assert_int_equal(got.n, 2);
	assert_true(hca_dma_u64(got.r[0].addr) == 0x1000);
	assert_int_equal(got.r[0].outcome, 0);
	assert_true(hca_dma_u64(got.r[1].addr) == 0x2000);
	assert_int_equal(got.r[1].outcome, -EFAULT);
	got.n = 0;
	fixed_err[1] = 0;
	assert_int_equal(hca_mem_write(&mem, hca_dma_addr(0x2000), own, 8, "u"), 0);
	says_call(one(HCA_MISUSE_USE_UNMAPPED), 0x2000, 8, HCA_DMA_FROM_DEVICE, HCA_MAP_SINGLE, "u");
	assert_int_equal(hca_mem_read(&mem, hca_dma_addr(0x2000), own, 8, "u"), 0);
	says_call(one(HCA_MISUSE_USE_UNMAPPED), 0x2000, 8, HCA_DMA_TO_DEVICE, HCA_MAP_SINGLE, "u");
	assert_int_equal(hca_mem_atomic(&mem, hca_dma_addr(0x2000), HCA_ATOMIC_FETCH_ADD, 0, 0, &old, "u"), 0);
	says_call(one(HCA_MISUSE_USE_UNMAPPED), 0x2000, 8, HCA_DMA_BIDIRECTIONAL, HCA_MAP_SINGLE, "u");
	map(0x1000, 16, HCA_DMA_TO_DEVICE, "m");
	map(0x2000, 16, HCA_DMA_FROM_DEVICE, "m");
	assert_int_equal(hca_mem_copy(&mem, hca_dma_addr(0x2000), &mem, hca_dma_addr(0x1000), 16, "u", NULL), 0);
	none();
	assert_int_equal(unmap(0x1000, 16, HCA_DMA_TO_DEVICE, "e"), 0);
	assert_int_equal(unmap(0x2000, 16, HCA_DMA_FROM_DEVICE, "e"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		L(history_is_bounded),	   L(history_keeps_one_of_each_address),  L(history_of_one),
		L(callback_may_call_back), L(outcome_is_of_the_side_that_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
