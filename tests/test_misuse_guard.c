/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * CPU writes into buffers that a device owns, on machines that guard: each is reported with the mapping it went
 * into, and happens all the same; what the CPU may write is not reported, and works at full speed again.
 */
#include "backends.h"
#include "no_leaks.h"
#include "platform/platform.h"

static struct backend b;
static const struct backend_def *def;
static struct page *page; /* 4 pages of low memory */
static u8 *ptr;

static void begin(void)
{
	struct machine_attr attr = {
		.name = "guarding",
		.low_bytes = LOW_BYTES,
		.high_bytes = def->high ? HIGH_BYTES : 0,
		.platform = def->platform,
		.iommu_lazy = def->lazy,
		.guard = true,
	};

	assert_int_equal(backend_open_attr(&b, def, &attr, NULL), 0);
	page = backend_pages(&b, false, 2);
	ptr = page_address(page);
}

static void end(void)
{
	int i;

	for (i = 0; i < 4; i++)
		assert_int_equal(page[i].guards, 0);
	__free_pages(page, 2);
	backend_close(&b);
}

/* Here the program breaks the rule. */
static __attribute__((noinline)) void poke(u8 *at, u8 byte)
{
	*(volatile u8 *)at = byte;
	__asm__ volatile("" ::: "memory");
}

/* Writes are noted when they happen and reported with the next call of the layer. */
static void look(void)
{
	struct ib_dma_totals t;

	assert_int_equal(ib_dma_get_totals(b.ib, &t), 0);
}

static void written(dma_addr_t at, dma_addr_t map, u64 size, int dir, enum hca_map_kind kind)
{
	const struct hca_misuse_report *r;

	look();
	r = backend_take(&b, HCA_MISUSE_CPU_WRITE);
	assert_true(r->addr == at);
	assert_true(r->has_map);
	assert_true(r->map_addr == map);
	assert_true(r->map_size == size);
	assert_int_equal(r->map_dir, dir);
	assert_int_equal(r->map_kind, kind);
	assert_non_null(strstr(r->map_site, "test_misuse_guard.c:"));
	/* The writer's line isn't known, but where in the program it is. */
	assert_non_null(r->site);
	if (!strstr(r->site, "poke") && !strstr(r->site, "test_misuse_guard"))
		fail_msg("%s", (const char *)r->site);
	assert_non_null(strstr(b.line[0], ": cpu-write: the CPU wrote at 0x"));
	assert_non_null(strstr(b.line[0], " while the device owned it; at "));
	if (getenv("SOFTHCA_SHOW_REPORTS"))
		print_message("# %s: %s\n", def->name, b.line[0]);
}

static void not_written(void)
{
	look();
	backend_quiet(&b);
}

static void write_while_mapped(void **state)
{
	static const enum dma_data_direction dirs[] = { DMA_TO_DEVICE, DMA_FROM_DEVICE, DMA_BIDIRECTIONAL };
	size_t d;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1))
		for (d = 0; d < HCA_ARRAY_SIZE(dirs); d++) {
			dma_addr_t a;
			u8 got = 0, put = 0x33;

			begin();
			poke(ptr, 1);
			a = ib_dma_map_single(b.ib, ptr, 8192, dirs[d]);
			assert_int_equal(ib_dma_mapping_error(b.ib, a), 0);
			not_written();
			assert_int_equal(*(volatile u8 *)ptr, 1); /* it may always be read */
			poke(ptr + 5000, 0x42);
			written(a + 5000, a, 8192, dirs[d], HCA_MAP_SINGLE);
			assert_int_equal(ptr[5000], 0x42); /* a report, not a punishment */
			poke(ptr + 7, 0x42);
			written(a + 7, a, 8192, dirs[d], HCA_MAP_SINGLE);
			/* The device writes as it likes. */
			if (dirs[d] != DMA_TO_DEVICE)
				assert_int_equal(ib_dma_write(b.ib, a + 1, &put, 1), 0);
			if (dirs[d] != DMA_FROM_DEVICE)
				assert_int_equal(ib_dma_read(b.ib, a, &got, 1), 0);
			not_written();
			poke(ptr + 8192, 9); /* beside it */
			not_written();
			ib_dma_unmap_single(b.ib, a, 8192, dirs[d]);
			poke(ptr + 7, 0x43);
			not_written();
			end();
		}
}

/* Only whole pages can be protected; what shares a page with something else isn't, so that nothing false is said. */
static void parts_of_pages_are_left_alone(void **state)
{
	dma_addr_t a;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		a = ib_dma_map_single(b.ib, ptr + 100, 8192, DMA_FROM_DEVICE); /* one whole page of three */
		assert_int_equal(ib_dma_mapping_error(b.ib, a), 0);
		poke(ptr, 1);
		poke(ptr + 200, 1);
		poke(ptr + 8192 + 50, 1);
		not_written();
		poke(ptr + 4096, 1);
		written(a + 3996, a, 8192, DMA_FROM_DEVICE, HCA_MAP_SINGLE);
		ib_dma_unmap_single(b.ib, a, 8192, DMA_FROM_DEVICE);
		end();
	}
}

static void sync_gives_the_pages_over(void **state)
{
	struct scatterlist sgl[2];
	dma_addr_t a;
	int n;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		a = ib_dma_map_page(b.ib, page, 0, 8192, DMA_BIDIRECTIONAL);
		assert_int_equal(ib_dma_mapping_error(b.ib, a), 0);
		ib_dma_sync_single_for_cpu(b.ib, a, 4096, DMA_BIDIRECTIONAL);
		poke(ptr, 1);
		not_written();
		poke(ptr + 4096, 1); /* not this one */
		written(a + 4096, a, 8192, DMA_BIDIRECTIONAL, HCA_MAP_PAGE);
		ib_dma_sync_single_for_device(b.ib, a, 4096, DMA_BIDIRECTIONAL);
		poke(ptr + 1, 1);
		written(a + 1, a, 8192, DMA_BIDIRECTIONAL, HCA_MAP_PAGE);
		/* unmapped while the CPU has it, and while it doesn't */
		ib_dma_sync_single_for_cpu(b.ib, a, 4096, DMA_BIDIRECTIONAL);
		ib_dma_unmap_page(b.ib, a, 8192, DMA_BIDIRECTIONAL);
		poke(ptr, 1);
		poke(ptr + 4096, 1);
		not_written();

		sg_init_table(sgl, 2);
		sg_set_page(&sgl[0], page, 4096, 0);
		sg_set_page(&sgl[1], nth_page(page, 2), 4096, 0);
		n = ib_dma_map_sg(b.ib, sgl, 2, DMA_BIDIRECTIONAL);
		assert_true(n > 0);
		poke(ptr + 8192 + 3, 1);
		look();
		assert_int_equal(backend_take(&b, HCA_MISUSE_CPU_WRITE)->map_kind, HCA_MAP_LIST);
		ib_dma_sync_sg_for_cpu(b.ib, sgl, 2, DMA_BIDIRECTIONAL);
		poke(ptr + 3, 1);
		poke(ptr + 8192 + 3, 1);
		not_written();
		ib_dma_sync_sg_for_device(b.ib, sgl, 2, DMA_BIDIRECTIONAL);
		poke(ptr + 3, 1);
		look();
		assert_int_equal(backend_take(&b, HCA_MISUSE_CPU_WRITE)->map_kind, HCA_MAP_LIST);
		ib_dma_unmap_sg(b.ib, sgl, 2, DMA_BIDIRECTIONAL);
		poke(ptr + 3, 1);
		poke(ptr + 8192 + 3, 1);
		not_written();
		end();
	}
}

/* Unmapped once, it's still the device's for the other mapping. */
static void mapped_twice(void **state)
{
	dma_addr_t one, two;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		one = ib_dma_map_single(b.ib, ptr, 4096, DMA_TO_DEVICE);
		assert_int_equal(ib_dma_mapping_error(b.ib, one), 0);
		two = ib_dma_map_single(b.ib, ptr, 8192, DMA_TO_DEVICE);
		assert_int_equal(ib_dma_mapping_error(b.ib, two), 0);
		ib_dma_unmap_single(b.ib, one, 4096, DMA_TO_DEVICE);
		poke(ptr + 9, 1);
		written(two + 9, two, 8192, DMA_TO_DEVICE, HCA_MAP_SINGLE);
		ib_dma_unmap_single(b.ib, two, 8192, DMA_TO_DEVICE);
		poke(ptr + 9, 1);
		not_written();
		end();
	}
}

/* A mapping that is left behind takes its guard with it: the next owner of the page isn't troubled, nor slowed down. */
static void a_leak_leaves_no_guard(void **state)
{
	struct ib_dma_config config = { .ledger = true };
	struct ib_device *first;
	struct device *dev;
	struct device_attr da = { .name = "bus1" };
	dma_addr_t a;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		assert_int_equal(device_create(b.m, &da, &dev), 0);
		if (def->soft)
			assert_int_equal(ipath_create(dev, "first", IPATH_HIGHMEM_TAGGED, &config, &first), 0);
		else
			assert_int_equal(dmahca_create(dev, "first", &config, &first), 0);
		a = ib_dma_map_single(first, ptr, 8192, DMA_FROM_DEVICE);
		assert_int_equal(ib_dma_mapping_error(first, a), 0);
		assert_int_equal(page[0].guards, 1);
		test_log_take();
		assert_int_equal(def->soft ? ipath_destroy(first) : dmahca_destroy(first), 1);
		assert_non_null(strstr(test_log_take(), "first: leak: "));
		assert_int_equal(page[0].guards, 0);
		poke(ptr, 1);
		not_written();
		device_destroy(dev);
		end();
	}
}

/* Two devices on one machine: the one whose mapping it is says so, whoever looks. */
static void the_right_device_reports(void **state)
{
	struct device_attr da = { .name = "bus1" };
	struct ib_dma_config config = { .ledger = true };
	struct ib_device *second;
	struct device *dev;
	dma_addr_t a;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		assert_int_equal(device_create(b.m, &da, &dev), 0);
		assert_int_equal(dmahca_create(dev, "second", &config, &second), 0);
		a = ib_dma_map_single(second, ptr + 4096, 4096, DMA_TO_DEVICE);
		assert_int_equal(ib_dma_mapping_error(second, a), 0);
		test_log_take();
		poke(ptr + 4096, 1);
		not_written(); /* the first one looks, and has nothing to say */
		assert_non_null(strstr(test_log_take(), "second: cpu-write: "));
		ib_dma_unmap_single(second, a, 4096, DMA_TO_DEVICE);
		a = ib_dma_map_single(b.ib, ptr, 4096, DMA_TO_DEVICE);
		assert_int_equal(ib_dma_mapping_error(b.ib, a), 0);
		poke(ptr, 1);
		assert_int_equal(dmahca_destroy(second), 0);
		device_destroy(dev);
		written(a, a, 4096, DMA_TO_DEVICE, HCA_MAP_SINGLE);
		ib_dma_unmap_single(b.ib, a, 4096, DMA_TO_DEVICE);
		assert_string_equal(test_log_take(), "");
		end();
	}
}

/* A write just before the unmap is still a write into the mapping; the report comes, and names it. */
/* A loop over a large buffer writes into each page of it: the first 64 are reported, and one line says that there were more. */
static void a_loop_is_reported_so_often(void **state)
{
	const size_t pages = 200;
	struct page *many;
	dma_addr_t a;
	size_t i;

	(void)state;
	def = backend_ledger(backend_defs);
	begin();
	many = backend_pages(&b, false, 8);
	a = ib_dma_map_single(b.ib, page_address(many), pages * PAGE_SIZE, DMA_TO_DEVICE);
	assert_int_equal(ib_dma_mapping_error(b.ib, a), 0);
	for (i = 0; i < pages; i++) {
		poke((u8 *)page_address(many) + i * PAGE_SIZE, 1);
		look();
	}
	assert_int_equal(b.reports, 64);
	assert_non_null(strstr(test_log_take(), "further writes by "));
	b.reports = 0;
	ib_dma_unmap_single(b.ib, a, pages * PAGE_SIZE, DMA_TO_DEVICE);
	__free_pages(many, 8);
	end();
}

static void noticed_before_the_end(void **state)
{
	const struct hca_misuse_report *r;
	dma_addr_t a;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		a = ib_dma_map_single(b.ib, ptr, 4096, DMA_TO_DEVICE);
		assert_int_equal(ib_dma_mapping_error(b.ib, a), 0);
		poke(ptr + 1, 1);
		ib_dma_unmap_single(b.ib, a, 4096, DMA_TO_DEVICE);
		r = backend_take(&b, HCA_MISUSE_CPU_WRITE);
		assert_true(r->addr == a + 1);
		assert_null(r->end_site);
		end();
		/* and so it is at the device's end */
		begin();
		a = ib_dma_map_single(b.ib, ptr, 4096, DMA_TO_DEVICE);
		assert_int_equal(ib_dma_mapping_error(b.ib, a), 0);
		poke(ptr + 1, 1);
		__free_pages(page, 2);
		assert_int_equal(backend_close_leaky(&b), 1);
		assert_int_equal(b.reports, 2);
		assert_int_equal(b.report[0].what, HCA_MISUSE_CPU_WRITE);
		assert_int_equal(b.report[1].what, HCA_MISUSE_LEAK);
		backend_take_any(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(write_while_mapped),	   T(parts_of_pages_are_left_alone), T(sync_gives_the_pages_over),
		T(mapped_twice),	   T(a_leak_leaves_no_guard),	     T(the_right_device_reports),
		T(noticed_before_the_end), T(a_loop_is_reported_so_often),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
