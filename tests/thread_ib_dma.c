/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Real threads on one verbs device of each kind, with and without a ledger: each maps, has the device move bytes,
 * and unmaps, while another one reads totals. What a thread put into its pages it must find there; nothing is
 * reported but what was done wrong on purpose. The thread sanitizer looks on.
 */
#include <pthread.h>

#include "backends.h"

#define THREADS 2
#define ROUNDS 600

static struct backend b;
static u32 failures, done; /* atomic: cmocka's asserts belong to the main thread */

#define CHECK(c) \
	do { \
		if (!(c)) { \
			if (!hca_fetch_add(&failures, 1)) \
				print_message("# %s: %s:%d: %s\n", b.def->name, __FILE__, __LINE__, #c); \
		} \
	} while (0)

static u32 next_random(u32 *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void *reader(void *arg)
{
	struct ib_dma_totals t;
	struct device_stats st;
	struct bus_fault f[4];
	u64 made = 0;

	(void)arg;
	while (!hca_load(&done)) {
		if (!ib_dma_get_totals(b.ib, &t)) {
			CHECK(t.made >= made);
			made = t.made;
		}
		device_get_stats(b.dev, &st);
		machine_faults(b.m, f, 4, NULL);
	}
	return NULL;
}

static void with_threads(void *(*fn)(void *))
{
	pthread_t t[THREADS], r;
	size_t i;

	hca_store(&failures, 0);
	hca_store(&done, 0);
	assert_int_equal(pthread_create(&r, NULL, reader, NULL), 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, fn, (void *)(uintptr_t)(i + 1)), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	hca_store(&done, 1);
	pthread_join(r, NULL);
	assert_int_equal(hca_load(&failures), 0);
}

/* --- right --- */

struct work {
	struct page *page[3]; /* 2 pages each; the last one of high memory if the device takes it */
	u8 *ptr;
	u32 seed;
	u8 put[6000];
	u8 got[6000];
};

static void round_trip_page(struct work *w)
{
	struct page *page = w->page[next_random(&w->seed) % 3];
	u32 off = next_random(&w->seed) % 4096, len = 1 + next_random(&w->seed) % (8192 - off);
	dma_addr_t a;

	len = HCA_MIN(len, (u32)sizeof(w->put));
	fill_pattern(w->put, len, w->seed);
	a = ib_dma_map_page(b.ib, page, off, len, DMA_BIDIRECTIONAL);
	CHECK(!ib_dma_mapping_error(b.ib, a));
	CHECK(!ib_dma_write(b.ib, a, w->put, len));
	CHECK(!ib_dma_read(b.ib, a, w->got, len));
	CHECK(!memcmp(w->got, w->put, len));
	ib_dma_sync_single_for_cpu(b.ib, a, len, DMA_BIDIRECTIONAL);
	ib_dma_sync_single_for_device(b.ib, a, len, DMA_BIDIRECTIONAL);
	ib_dma_unmap_page(b.ib, a, len, DMA_BIDIRECTIONAL);
	memset(w->got, 0, len);
	cpu_get(page, off, w->got, len);
	CHECK(!memcmp(w->got, w->put, len));
}

static void round_trip_list(struct work *w)
{
	struct scatterlist sgl[3], *sg;
	u32 i, done_bytes = 0;
	int n, j;

	sg_init_table(sgl, 3);
	for (i = 0; i < 3; i++)
		sg_set_page(&sgl[i], w->page[i], 1000 + next_random(&w->seed) % 1000, next_random(&w->seed) % 4096);
	fill_pattern(w->put, sizeof(w->put), w->seed);
	n = ib_dma_map_sg(b.ib, sgl, 3, DMA_FROM_DEVICE);
	CHECK(n > 0);
	for_each_sg(sgl, sg, n, j) {
		u32 len = ib_sg_dma_len(b.ib, sg);

		CHECK(!ib_dma_write(b.ib, ib_sg_dma_address(b.ib, sg), w->put + done_bytes, len));
		done_bytes += len;
	}
	ib_dma_unmap_sg(b.ib, sgl, 3, DMA_FROM_DEVICE);
	for (i = 0, done_bytes = 0; i < 3; i++) {
		cpu_get(w->page[i], sgl[i].offset, w->got, sgl[i].length);
		CHECK(!memcmp(w->got, w->put + done_bytes, sgl[i].length));
		done_bytes += sgl[i].length;
	}
}

static void round_trip_coherent(struct work *w)
{
	dma_addr_t a;
	u8 *cpu = ib_dma_alloc_coherent(b.ib, 100, &a, GFP_KERNEL);

	CHECK(cpu);
	if (!cpu)
		return;
	cpu[0] = (u8)w->seed;
	CHECK(!ib_dma_read(b.ib, a, w->got, 1));
	CHECK(w->got[0] == (u8)w->seed);
	ib_dma_free_coherent(b.ib, 100, cpu, a);
}

static void *do_right(void *arg)
{
	struct work *w = calloc(1, sizeof(*w));
	u32 i;

	if (!w)
		abort();
	w->seed = (u32)(uintptr_t)arg;
	for (i = 0; i < 3; i++) {
		bool high = i == 2 && b.def->high && !b.def->refuse;

		w->page[i] = machine_alloc_pages(b.m, GFP_KERNEL | (high ? __GFP_HIGHMEM : 0), 1);
		if (!w->page[i])
			abort();
	}
	for (i = 0; i < ROUNDS; i++) {
		round_trip_page(w);
		if (i % 3 == 0)
			round_trip_list(w);
		if (i % 7 == 0)
			round_trip_coherent(w);
	}
	for (i = 0; i < 3; i++)
		__free_pages(w->page[i], 1);
	free(w);
	return NULL;
}

static void each_its_own(void **state)
{
	const struct backend_def *def;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		backend_start(&b, def);
		with_threads(do_right);
		backend_close(&b);
	}
}

/* --- one buffer for both, which on some devices is one address --- */

static struct page *shared;

static void *do_shared(void *arg)
{
	u32 seed = (u32)(uintptr_t)arg, i;
	u8 got[64];

	for (i = 0; i < ROUNDS; i++) {
		u32 off = next_random(&seed) % 4000;
		dma_addr_t a = ib_dma_map_single(b.ib, (u8 *)page_address(shared) + off, 64, DMA_TO_DEVICE);

		CHECK(!ib_dma_mapping_error(b.ib, a));
		CHECK(!ib_dma_read(b.ib, a, got, 64));
		CHECK(got[0] == 0x5c && got[63] == 0x5c);
		ib_dma_unmap_single(b.ib, a, 64, DMA_TO_DEVICE);
	}
	return NULL;
}

static void one_buffer(void **state)
{
	const struct backend_def *def;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		backend_start(&b, def);
		shared = backend_pages(&b, false, 0);
		memset(page_address(shared), 0x5c, 4096);
		with_threads(do_shared);
		__free_page(shared);
		backend_close(&b);
	}
}

/* --- wrong: each mistake is reported once, whoever else is at it --- */

static void *do_wrong(void *arg)
{
	u32 seed = (u32)(uintptr_t)arg, i;
	struct page *page = machine_alloc_pages(b.m, GFP_KERNEL, 0);
	u8 *ptr = page_address(page);

	for (i = 0; i < ROUNDS; i++) {
		dma_addr_t a = ib_dma_map_single(b.ib, ptr + next_random(&seed) % 2048, 64, DMA_TO_DEVICE);

		CHECK(!ib_dma_mapping_error(b.ib, a));
		ib_dma_unmap_single(b.ib, a, 63, DMA_FROM_DEVICE); /* two mistakes */
	}
	__free_page(page);
	return NULL;
}

static void mistakes_are_counted(void **state)
{
	const struct backend_def *def;
	struct ib_dma_totals t;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		if (!def->ledger)
			continue;
		backend_start(&b, def);
		with_threads(do_wrong);
		assert_int_equal(ib_dma_get_totals(b.ib, &t), 0);
		assert_int_equal(t.misuse[HCA_MISUSE_UNMAP_SIZE], THREADS * ROUNDS);
		assert_int_equal(t.misuse[HCA_MISUSE_UNMAP_DIR], THREADS * ROUNDS);
		assert_int_equal(t.live, 0);
		assert_int_equal(backend_take_any(&b), 2 * THREADS * ROUNDS);
		backend_close(&b);
	}
}

/* --- guarded memory, and devices that come and go while others look for whose a write was --- */

static u32 caught; /* atomic */

static void count_caught(void *ctx, const struct hca_misuse_report *r)
{
	(void)ctx;
	CHECK(r->what == HCA_MISUSE_CPU_WRITE);
	CHECK(!strcmp(r->device, "guest"));
	hca_fetch_add(&caught, 1);
}

static void *do_guarded(void *arg)
{
	struct device_attr da = { .name = "guest" };
	struct ib_dma_config config = { .ledger = true, .report = count_caught };
	struct page *page = machine_alloc_pages(b.m, GFP_KERNEL, 1);
	u8 *ptr = page_address(page);
	struct ib_device *ib;
	struct device *dev;
	u32 i;

	(void)arg;
	CHECK(!device_create(b.m, &da, &dev));
	for (i = 0; i < ROUNDS / 20; i++) {
		dma_addr_t a;
		u32 j;

		CHECK(!ipath_create(dev, "guest", IPATH_HIGHMEM_TAGGED, &config, &ib));
		for (j = 0; j < 20; j++) {
			ptr[0] = (u8)j;
			a = ib_dma_map_single(ib, ptr, 8192, DMA_BIDIRECTIONAL);
			CHECK(!ib_dma_mapping_error(ib, a));
			CHECK(!ib_dma_write(ib, a + 4096, "x", 1));
			if (j == 7 || j == 19)
				ptr[1] = 1; /* the other one may find it first, and say so while this device goes */
			ib_dma_unmap_single(ib, a, 8192, DMA_BIDIRECTIONAL);
			CHECK(ptr[4096] == 'x');
			ptr[4096] = 0;
		}
		CHECK(!ipath_destroy(ib));
	}
	device_destroy(dev);
	__free_pages(page, 1);
	return NULL;
}

static void guarded(void **state)
{
	const struct backend_def def = { .name = "guarding", .soft = true, .ledger = true };
	struct machine_attr ma = { .low_bytes = LOW_BYTES, .guard = true };

	(void)state;
	hca_store(&caught, 0);
	assert_int_equal(backend_open_attr(&b, &def, &ma, NULL), 0);
	with_threads(do_guarded);
	assert_true(hca_load(&caught) > 0);
	assert_true(hca_load(&caught) <= THREADS * 2 * (ROUNDS / 20));
	backend_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_its_own),
		cmocka_unit_test(one_buffer),
		cmocka_unit_test(mistakes_are_counted),
		cmocka_unit_test(guarded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
