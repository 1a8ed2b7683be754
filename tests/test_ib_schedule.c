/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two threads on one device under seeded schedules: the os layer changes threads at any os call, so what real threads
 * meet once in a year is met here every time its seed is run. Bytes, ledger and leaks are looked at as ever. Failures
 * print the seed; SOFTHCA_SEED sets the first of them.
 */
#include "backends.h"
#include "no_leaks.h"

#define SEEDS 50
#define ROUNDS 12

static struct backend b;
static u64 seed;
static struct page *shared;

/* In a scheduled thread an assertion can't unwind; the first one that fails is told when all are back. */
static const char *broken;
static int broken_line;

#define CHECK(c) \
	do { \
		if (!(c) && !broken) { \
			broken = #c; \
			broken_line = __LINE__; \
		} \
	} while (0)

static void run(void (*one)(void *), void (*two)(void *))
{
	static int ids[2] = { 1, 2 };
	void (*const fns[])(void *) = { one, two };
	void *const args[] = { &ids[0], &ids[1] };
	int err = test_run_threads(seed, 2, fns, args, NULL);

	if (err || broken)
		fail_msg("%s: SOFTHCA_SEED=%llu: %d: line %d: %s", b.def->name, (unsigned long long)seed, err,
			 broken_line, broken ? broken : "nothing else");
}

static void each_seed(bool (*wanted)(const struct backend_def *), void (*one)(void *), void (*two)(void *))
{
	const char *env = getenv("SOFTHCA_SEED");
	u64 start = env && *env ? strtoull(env, NULL, 0) : 1;
	const struct backend_def *def;

	for (def = backend_defs; def->name; def++) {
		if (!wanted(def))
			continue;
		for (seed = start; seed < start + SEEDS; seed++) {
			broken = NULL;
			backend_start(&b, def);
			shared = backend_pages(&b, def->high, 1);
			run(one, two);
			__free_pages(shared, 1);
			backend_close(&b);
		}
	}
}

static bool not_refusing(const struct backend_def *def)
{
	return !def->refuse && def->high;
}

static bool with_ledger(const struct backend_def *def)
{
	return not_refusing(def) && def->ledger;
}

/* --- each its own half of a page, and its own mappings --- */

static void map_and_unmap(void *arg)
{
	int id = *(int *)arg, i;
	u32 half = id == 1 ? 0 : 4096;
	u8 put[100], got[100];

	for (i = 0; i < ROUNDS; i++) {
		struct scatterlist sgl[2];
		dma_addr_t a;
		int n;

		fill_pattern(put, sizeof(put), (unsigned int)(id * 1000 + i));
		a = ib_dma_map_page(b.ib, nth_page(shared, half >> PAGE_SHIFT), 50, 100, DMA_BIDIRECTIONAL);
		CHECK(!ib_dma_mapping_error(b.ib, a));
		CHECK(!ib_dma_write(b.ib, a, put, 100));
		CHECK(!ib_dma_read(b.ib, a, got, 100));
		CHECK(!memcmp(put, got, 100));
		ib_dma_unmap_page(b.ib, a, 100, DMA_BIDIRECTIONAL);
		cpu_get(shared, half + 50, got, 100);
		CHECK(!memcmp(put, got, 100));
		if (i % 4)
			continue;
		sg_init_table(sgl, 2);
		sg_set_page(&sgl[0], nth_page(shared, half >> PAGE_SHIFT), 50, 50);
		sg_set_page(&sgl[1], nth_page(shared, half >> PAGE_SHIFT), 50, 100);
		n = ib_dma_map_sg(b.ib, sgl, 2, DMA_TO_DEVICE);
		CHECK(n > 0);
		if (n > 0) {
			CHECK(!ib_dma_read(b.ib, ib_sg_dma_address(b.ib, sgl), got, 50));
			CHECK(!memcmp(put, got, 50));
			ib_dma_unmap_sg(b.ib, sgl, 2, DMA_TO_DEVICE);
		}
	}
}

static void two_map(void **state)
{
	(void)state;
	each_seed(not_refusing, map_and_unmap, map_and_unmap);
}

/* --- one goes wrong, the other doesn't notice --- */

static void make_mistakes(void *arg)
{
	u8 byte;
	int i;

	(void)arg;
	for (i = 0; i < ROUNDS; i++) {
		dma_addr_t a = ib_dma_map_page(b.ib, shared, 0, 40, DMA_TO_DEVICE);

		CHECK(!ib_dma_mapping_error(b.ib, a));
		ib_dma_unmap_page(b.ib, a, 39, DMA_TO_DEVICE); /* reported */
		ib_dma_sync_single_for_cpu(b.ib, hca_dma_error(-EIO), 8, DMA_TO_DEVICE); /* reported */
		CHECK(ib_dma_read(b.ib, hca_dma_error(-EIO), &byte, 1) == -EFAULT); /* reported */
	}
}

static void mistakes_beside(void **state)
{
	const char *env = getenv("SOFTHCA_SEED");
	u64 start = env && *env ? strtoull(env, NULL, 0) : 1;
	const struct backend_def *def;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		if (!with_ledger(def))
			continue;
		for (seed = start; seed < start + SEEDS; seed++) {
			struct ib_dma_totals t;

			broken = NULL;
			backend_start(&b, def);
			shared = backend_pages(&b, def->high, 1);
			run(map_and_unmap, make_mistakes);
			assert_int_equal(ib_dma_get_totals(b.ib, &t), 0);
			assert_int_equal(t.misuse[HCA_MISUSE_UNMAP_SIZE], ROUNDS);
			assert_int_equal(t.misuse[HCA_MISUSE_SYNC_OUTSIDE], ROUNDS);
			assert_int_equal(t.misuse[HCA_MISUSE_USE_UNMAPPED], ROUNDS);
			assert_int_equal(t.live, 0);
			assert_int_equal(backend_take_any(&b), 3 * ROUNDS);
			__free_pages(shared, 1);
			backend_close(&b);
		}
	}
}

/* --- the device is at it while the mapping ends: bytes or an error, never somebody else's bytes --- */

static dma_addr_t target;

static void owner(void *arg)
{
	u8 mine[64];
	int i;

	(void)arg;
	memset(mine, 0x11, sizeof(mine));
	cpu_put(shared, 0, mine, sizeof(mine));
	for (i = 0; i < ROUNDS; i++) {
		dma_addr_t a = ib_dma_map_page(b.ib, shared, 0, 64, DMA_TO_DEVICE);

		CHECK(!ib_dma_mapping_error(b.ib, a));
		target = a;
		hca_pause();
		ib_dma_unmap_page(b.ib, a, 64, DMA_TO_DEVICE);
	}
	target = hca_dma_addr(0);
}

static void device(void *arg)
{
	u8 got[64];
	int i, j;

	(void)arg;
	for (i = 0; i < 3 * ROUNDS; i++) {
		dma_addr_t a = target;

		hca_pause();
		if (!a || ib_dma_read(b.ib, a, got, sizeof(got)))
			continue;
		for (j = 0; j < 64; j++)
			CHECK(got[j] == 0x11);
	}
}

static bool iommu_without_ledger(const struct backend_def *def)
{
	return def->platform == MACHINE_IOMMU && !def->ledger && def->high;
}

static void access_against_unmap(void **state)
{
	(void)state;
	each_seed(iommu_without_ledger, owner, device);
}

/* The same seed is the same run: what is found here can be looked at again. */
static void seeds_replay(void **state)
{
	static int ids[2] = { 1, 2 };
	void (*const fns[])(void *) = { map_and_unmap, map_and_unmap };
	void *const args[] = { &ids[0], &ids[1] };
	const struct backend_def *def;
	u64 trace[3];
	int i;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		if (!with_ledger(def))
			continue;
		for (i = 0; i < 3; i++) {
			broken = NULL;
			test_os_reset(1);
			backend_start(&b, def);
			shared = backend_pages(&b, def->high, 1);
			assert_int_equal(test_run_threads(i < 2 ? 7 : 8, 2, fns, args, &trace[i]), 0);
			assert_null(broken);
			__free_pages(shared, 1);
			backend_close(&b);
		}
		assert_true(trace[0] == trace[1]);
		assert_true(trace[0] != trace[2]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(two_map),
		T(mistakes_beside),
		T(access_against_unmap),
		T(seeds_replay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
