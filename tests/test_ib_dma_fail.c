/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Running out, on every backend: each fallible call of the os layer failing in turn, I/O addresses used up, the bounce
 * pool used up. What fails says so with an error worth a retry, keeps nothing, and works again later.
 */
#include "backends.h"
#include "no_leaks.h"

/* --- memory --- */

/* 0, or the one error that a failing os layer may lead to. */
static bool worked(int err)
{
	if (err && err != -ENOMEM)
		fail_msg("error %d", err);
	return !err;
}

static void map_and_unmap(struct backend *b, struct page *page, unsigned int bytes)
{
	struct ib_device *ib = b->ib;
	u8 buf[64] = { 1, 2, 3 };
	dma_addr_t a;

	a = ib_dma_map_page(ib, page, 4000, bytes, DMA_BIDIRECTIONAL);
	if (PageHighMem(page) && b->def->refuse) {
		assert_true(ib_dma_mapping_error(ib, a) == -EOPNOTSUPP || ib_dma_mapping_error(ib, a) == -ENOMEM);
		return;
	}
	if (!worked(ib_dma_mapping_error(ib, a)))
		return;
	if (worked(ib_dma_write(ib, a + 90, buf, sizeof(buf)))) {
		memset(buf, 0, sizeof(buf));
		if (worked(ib_dma_read(ib, a + 90, buf, sizeof(buf))))
			assert_int_equal(buf[1], 2);
	}
	ib_dma_sync_single_for_cpu(ib, a, bytes, DMA_BIDIRECTIONAL);
	ib_dma_sync_single_for_device(ib, a, bytes, DMA_BIDIRECTIONAL);
	ib_dma_unmap_page(ib, a, bytes, DMA_BIDIRECTIONAL);
}

static void list(struct backend *b, struct page *low, struct page *high)
{
	struct scatterlist *sg;
	struct sg_table sgt;
	unsigned int i;

	if (!worked(sg_alloc_table(&sgt, 6, GFP_KERNEL)))
		return;
	for_each_sgtable_sg(&sgt, sg, i)
		sg_set_page(sg, i % 2 && !b->def->refuse ? high : low, 512, 600 * i);
	if (worked(ib_dma_map_sgtable_attrs(b->ib, &sgt, DMA_TO_DEVICE, 0))) {
		ib_dma_sync_sg_for_device(b->ib, sgt.sgl, 6, DMA_TO_DEVICE);
		ib_dma_unmap_sgtable_attrs(b->ib, &sgt, DMA_TO_DEVICE, 0);
	}
	assert_int_equal(backend_live(b), 0);
	if (ib_dma_map_sg(b->ib, sgt.sgl, 6, DMA_TO_DEVICE))
		ib_dma_unmap_sg(b->ib, sgt.sgl, 6, DMA_TO_DEVICE);
	assert_int_equal(backend_live(b), 0);
	sg_free_table(&sgt);
}

static void whole_api(const struct backend_def *def)
{
	static struct backend b;
	struct page *low, *high;
	dma_addr_t addr;
	void *cpu;

	if (!worked(backend_open(&b, def)))
		return;
	low = machine_alloc_pages(b.m, GFP_KERNEL | __GFP_ZERO, 1);
	high = machine_alloc_pages(b.m, GFP_HIGHUSER, 1);
	if (low && high) {
		u8 *ptr = page_address(low);

		addr = ib_dma_map_single(b.ib, ptr + 5, 5000, DMA_TO_DEVICE);
		if (worked(ib_dma_mapping_error(b.ib, addr)))
			ib_dma_unmap_single(b.ib, addr, 5000, DMA_TO_DEVICE);
		assert_int_equal(backend_live(&b), 0);
		map_and_unmap(&b, low, 3000);
		assert_int_equal(backend_live(&b), 0);
		map_and_unmap(&b, high, 3000);
		assert_int_equal(backend_live(&b), 0);
		list(&b, low, high);
	}
	cpu = ib_dma_alloc_coherent(b.ib, 5000, &addr, GFP_KERNEL);
	if (cpu)
		ib_dma_free_coherent(b.ib, 5000, cpu, addr);
	assert_int_equal(backend_live(&b), 0);
	__free_pages(low, 1);
	__free_pages(high, 1);
	backend_close(&b);
}

static void each_call_fails(void **state)
{
	const struct backend_def *def;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		u32 rounds = 0;

		TEST_FAIL_LOOP(loop)
		{
			whole_api(def);
			rounds = loop.n;
		}
		/* There is that much to fail: the machine, the device, the ledger, lists, and pages that are shown. */
		assert_true(rounds > 10);
	}
}

/* An os layer that fails from here to the end of a call can't be had; two failures far from each other can. */
static void nothing_breaks_for_good(void **state)
{
	const struct backend_def *def;
	struct backend b;
	u32 n;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		struct page *low, *high;

		backend_start(&b, def);
		low = backend_pages(&b, false, 1);
		high = backend_pages(&b, true, 1);
		for (n = 1; n < 12; n++) {
			test_fail_at(n);
			list(&b, low, high);
			map_and_unmap(&b, high, 3000);
			test_fail_at(0);
			map_and_unmap(&b, low, 3000);
			assert_int_equal(backend_live(&b), 0);
		}
		__free_pages(low, 1);
		__free_pages(high, 1);
		backend_close(&b);
	}
}

/* --- addresses and the pool --- */

#define CHUNK_ORDER 4
#define CHUNK (PAGE_SIZE << CHUNK_ORDER)
#define MAX_CHUNKS 64

/* A machine with little of what can be used up. Return: -ENOSPC, -ENOMEM, or 0 where there is nothing to use up. */
static int open_small(struct backend *b, const struct backend_def *def)
{
	struct machine_attr attr = {
		.name = "small",
		.low_bytes = LOW_BYTES,
		.platform = def->platform,
		.iommu_lazy = def->lazy,
		.iommu_aperture = 2ull << 20,
		.bounce_bytes = 2ull << 20,
	};

	if (def->soft || def->high || def->near || def->platform == MACHINE_DIRECT)
		return 0;
	assert_int_equal(backend_open_attr(b, def, &attr, NULL), 0);
	return def->platform == MACHINE_IOMMU ? -ENOSPC : -ENOMEM;
}

static int fill_up(struct backend *b, struct page *const *chunk, dma_addr_t *addr, int want)
{
	int n, err = 0;

	for (n = 0; n < MAX_CHUNKS; n++) {
		addr[n] = ib_dma_map_page(b->ib, chunk[n], 0, CHUNK, DMA_TO_DEVICE);
		err = ib_dma_mapping_error(b->ib, addr[n]);
		if (err)
			break;
	}
	if (err != want)
		fail_msg("%s: after %d: %d", b->def->name, n, err);
	return n;
}

static void used_up(void **state)
{
	const struct backend_def *def;
	struct page *chunk[MAX_CHUNKS];
	dma_addr_t addr[MAX_CHUNKS], one;
	struct scatterlist sgl[4];
	struct sg_table sgt = { .sgl = sgl, .orig_nents = 4, .nents = 44 };
	struct backend b;
	int i, n, again, want;
	u64 live;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		want = open_small(&b, def);
		if (!want)
			continue;
		for (i = 0; i < MAX_CHUNKS; i++)
			chunk[i] = backend_pages(&b, false, CHUNK_ORDER);
		n = fill_up(&b, chunk, addr, want);
		assert_true(n >= 16 && n <= 32);
		/* Full for everybody, and a list that fits by half takes none of it. */
		ib_dma_unmap_page(b.ib, addr[3], CHUNK, DMA_TO_DEVICE);
		ib_dma_unmap_page(b.ib, addr[7], CHUNK, DMA_TO_DEVICE);
		sg_init_table(sgl, 4);
		for (i = 0; i < 4; i++)
			sg_set_page(&sgl[i], chunk[MAX_CHUNKS - 1 - 2 * i], CHUNK, 0);
		live = backend_live(&b);
		assert_int_equal(ib_dma_map_sgtable_attrs(b.ib, &sgt, DMA_TO_DEVICE, 0), want);
		assert_int_equal(sgt.nents, 44);
		assert_int_equal(ib_dma_map_sg(b.ib, sgl, 4, DMA_TO_DEVICE), 0);
		assert_int_equal(backend_live(&b), live);
		/* What was given back is there to be had again: this is why such an error is worth a retry. */
		addr[3] = ib_dma_map_page(b.ib, chunk[3], 0, CHUNK, DMA_TO_DEVICE);
		assert_int_equal(ib_dma_mapping_error(b.ib, addr[3]), 0);
		addr[7] = ib_dma_map_page(b.ib, chunk[7], 0, CHUNK, DMA_TO_DEVICE);
		assert_int_equal(ib_dma_mapping_error(b.ib, addr[7]), 0);
		one = ib_dma_map_page(b.ib, chunk[40], 0, CHUNK, DMA_TO_DEVICE);
		assert_int_equal(ib_dma_mapping_error(b.ib, one), want);
		for (i = 0; i < n; i++)
			ib_dma_unmap_page(b.ib, addr[i], CHUNK, DMA_TO_DEVICE);
		assert_int_equal(backend_live(&b), 0);
		/* Nothing got lost by it. */
		again = fill_up(&b, chunk, addr, want);
		assert_int_equal(again, n);
		for (i = 0; i < n; i++)
			ib_dma_unmap_page(b.ib, addr[i], CHUNK, DMA_TO_DEVICE);
		for (i = 0; i < MAX_CHUNKS; i++)
			__free_pages(chunk[i], CHUNK_ORDER);
		backend_close(&b);
	}
}

/* Coherent memory ends where the machine's does: NULL, and all of it comes back. */
static void coherent_used_up(void **state)
{
	enum { MOST = 256 };
	static void *cpu[MOST];
	static dma_addr_t addr[MOST];
	const struct backend_def *def;
	struct backend b;
	int i, n, round;
	u64 free;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		int first = 0;

		backend_start(&b, def);
		free = machine_free_pages(b.m);
		for (round = 0; round < 2; round++) {
			for (n = 0; n < MOST; n++) {
				cpu[n] = ib_dma_alloc_coherent(b.ib, CHUNK, &addr[n], GFP_KERNEL);
				if (!cpu[n])
					break;
			}
			assert_true(n > 8 && n < MOST);
			assert_true(!round || n == first);
			first = n;
			for (i = 0; i < n; i++)
				ib_dma_free_coherent(b.ib, CHUNK, cpu[i], addr[i]);
			assert_int_equal(machine_free_pages(b.m), free);
			assert_int_equal(backend_live(&b), 0);
		}
		backend_close(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(each_call_fails),
		T(nothing_breaks_for_good),
		T(used_up),
		T(coherent_used_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
