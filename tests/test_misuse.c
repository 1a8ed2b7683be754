/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table of misuse: each class that a ledger reports, provoked on every backend that keeps one. There is exactly
 * one report each time; it names the rule, the mapping and both lines of the program, and says whether the machine
 * would have noticed. What the CPU writes while a device owns it is in test_misuse_guard.c.
 *
 * With SOFTHCA_SHOW_REPORTS=1 the lines are printed: the documentation has them from here.
 */
#include "backends.h"
#include "no_leaks.h"

static struct backend b;
static const struct backend_def *def;
static struct page *page; /* 4 pages of low memory */
static u8 *ptr;
static int map_line, end_line, call_line;

/* The line of a call is where the macro stands: so it's on the same line as this. */
#define MAPS(call) (map_line = __LINE__, call)
#define ENDS(call) (end_line = __LINE__, call)
#define CALLS(call) (call_line = __LINE__, call)

static void at_line(hca_site_t site, int line)
{
	char want[64];
	const char *s = site;

	snprintf(want, sizeof(want), "test_misuse.c:%d", line);
	assert_non_null(s);
	if (strlen(s) < strlen(want) || strcmp(s + strlen(s) - strlen(want), want) != 0)
		fail_msg("%s instead of %s", s, want);
}

static const struct hca_misuse_report *told(enum hca_misuse what)
{
	const struct hca_misuse_report *r = backend_take(&b, what);
	const char *show = getenv("SOFTHCA_SHOW_REPORTS");
	char start[64];

	assert_non_null(r);
	/* The device's name is the report's for the callback only. */
	snprintf(start, sizeof(start), "%s: %s: ", def->soft ? "ipath0" : "dmahca0", hca_misuse_name(what));
	if (strncmp(b.line[0], start, strlen(start)) != 0)
		fail_msg("%s", b.line[0]);
	if (show)
		print_message("# %s: %s\n", def->name, b.line[0]);
	return r;
}

/* The report's mapping; it was made at the line of the last MAPS(). */
static void of_map(const struct hca_misuse_report *r, dma_addr_t addr, u64 size, int dir, enum hca_map_kind kind)
{
	assert_true(r->has_map);
	assert_true(r->map_addr == addr);
	assert_true(r->map_size == size);
	assert_int_equal(r->map_dir, dir);
	assert_int_equal(r->map_kind, kind);
	at_line(r->map_site, map_line);
}

/* The report's wrong call; it was made at the line of the last CALLS(). */
static void of_call(const struct hca_misuse_report *r, dma_addr_t addr, u64 size, int dir, enum hca_map_kind kind)
{
	assert_true(r->addr == addr);
	assert_true(r->size == size);
	assert_int_equal(r->dir, dir);
	assert_int_equal(r->kind, kind);
	at_line(r->site, call_line);
}

static void line_has(const char *words)
{
	if (!strstr(b.line[0], words))
		fail_msg("%s: no \"%s\"", b.line[0], words);
}

static void good(dma_addr_t addr)
{
	assert_int_equal(ib_dma_mapping_error(b.ib, addr), 0);
}

/* Does the machine stop a device that goes where it may not? */
static bool stops(void)
{
	return def->platform == MACHINE_IOMMU && !def->soft;
}

static void begin(void)
{
	backend_start(&b, def);
	page = backend_pages(&b, false, 2);
	ptr = page_address(page);
}

static void end(void)
{
	__free_pages(page, 2);
	backend_close(&b);
}

static void leak(void **state)
{
	const struct hca_misuse_report *r;
	dma_addr_t a;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		a = MAPS(ib_dma_map_single(b.ib, ptr + 16, 100, DMA_TO_DEVICE));
		good(a);
		__free_pages(page, 2);
		assert_int_equal(backend_close_leaky(&b), 1);
		r = told(HCA_MISUSE_LEAK);
		of_map(r, a, 100, DMA_TO_DEVICE, HCA_MAP_SINGLE);
		assert_null(r->site);
		assert_null(r->end_site);
		line_has("still mapped at close; mapped (single, 100 bytes, to-device, 0x");
	}
}

static void double_unmap(void **state)
{
	const struct hca_misuse_report *r;
	struct scatterlist sgl[2];
	dma_addr_t a;
	void *cpu;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		a = MAPS(ib_dma_map_page(b.ib, page, 16, 100, DMA_TO_DEVICE));
		good(a);
		ENDS(ib_dma_unmap_page(b.ib, a, 100, DMA_TO_DEVICE));
		CALLS(ib_dma_unmap_page(b.ib, a, 100, DMA_TO_DEVICE));
		r = told(HCA_MISUSE_DOUBLE_UNMAP);
		of_call(r, a, 100, DMA_TO_DEVICE, HCA_MAP_PAGE);
		of_map(r, a, 100, DMA_TO_DEVICE, HCA_MAP_PAGE);
		at_line(r->end_site, end_line);
		line_has("which is unmapped already");
		line_has(", unmapped at ");

		sg_init_table(sgl, 2);
		sg_set_page(&sgl[0], page, 100, 0);
		sg_set_page(&sgl[1], page, 100, 2000);
		assert_true(MAPS(ib_dma_map_sg(b.ib, sgl, 2, DMA_FROM_DEVICE)) > 0);
		ENDS(ib_dma_unmap_sg(b.ib, sgl, 2, DMA_FROM_DEVICE));
		CALLS(ib_dma_unmap_sg(b.ib, sgl, 2, DMA_FROM_DEVICE));
		r = told(HCA_MISUSE_DOUBLE_UNMAP);
		of_call(r, ib_sg_dma_address(b.ib, sgl), 2, DMA_FROM_DEVICE, HCA_MAP_LIST);
		of_map(r, ib_sg_dma_address(b.ib, sgl), 2, DMA_FROM_DEVICE, HCA_MAP_LIST);
		at_line(r->end_site, end_line);

		cpu = MAPS(ib_dma_alloc_coherent(b.ib, 100, &a, GFP_KERNEL));
		ENDS(ib_dma_free_coherent(b.ib, 100, cpu, a));
		CALLS(ib_dma_free_coherent(b.ib, 100, cpu, a));
		r = told(HCA_MISUSE_DOUBLE_UNMAP);
		of_map(r, a, 100, DMA_BIDIRECTIONAL, HCA_MAP_COHERENT);
		at_line(r->end_site, end_line);
		at_line(r->site, call_line);
		end();
	}
}

/* After the first list's unmap, another one may have its address: it must not pay for a second unmap of the first. */
/*
 * Of two lists of the same bytes neither can be told from a copy of the other, so this needs another list of other
 * bytes. An IOMMU may give it the first one's address.
 */
static void double_unmap_of_a_reused_address(void **state)
{
	const struct hca_misuse_report *r;
	struct scatterlist one[1], two[1];
	int lists, first_map, first_end;
	u8 byte;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		for (lists = 0; lists < 3; lists++) {
			sg_init_one(one, ptr, 4096);
			sg_init_one(two, ptr + 4096, 4096);
			assert_int_equal(MAPS(ib_dma_map_sg(b.ib, one, 1, DMA_TO_DEVICE)), 1);
			first_map = map_line;
			ENDS(ib_dma_unmap_sg(b.ib, one, 1, DMA_TO_DEVICE));
			first_end = end_line;
			device_flush(b.dev);
			assert_int_equal(ib_dma_map_sg(b.ib, two, 1, DMA_TO_DEVICE), 1);
			CALLS(ib_dma_unmap_sg(b.ib, one, 1, DMA_TO_DEVICE));
			r = told(HCA_MISUSE_DOUBLE_UNMAP);
			at_line(r->map_site, first_map);
			at_line(r->end_site, first_end);
			assert_int_equal(ib_dma_read(b.ib, ib_sg_dma_address(b.ib, two), &byte, 1), 0);
			ib_dma_unmap_sg(b.ib, two, 1, DMA_TO_DEVICE);
		}
		end();
	}
}

static void unmap_unknown(void **state)
{
	const struct hca_misuse_report *r;
	dma_addr_t a;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		a = MAPS(ib_dma_map_single(b.ib, ptr, 8192, DMA_TO_DEVICE));
		good(a);
		CALLS(ib_dma_unmap_single(b.ib, a + 4096, 4096, DMA_TO_DEVICE));
		r = told(HCA_MISUSE_UNMAP_UNKNOWN);
		of_call(r, a + 4096, 4096, DMA_TO_DEVICE, HCA_MAP_SINGLE);
		of_map(r, a, 8192, DMA_TO_DEVICE, HCA_MAP_SINGLE);
		line_has("where no mapping begins");
		ib_dma_unmap_single(b.ib, a, 8192, DMA_TO_DEVICE);
		CALLS(ib_dma_unmap_page(b.ib, hca_dma_addr(0x123456000), 4096, DMA_TO_DEVICE));
		r = told(HCA_MISUSE_UNMAP_UNKNOWN);
		of_call(r, hca_dma_addr(0x123456000), 4096, DMA_TO_DEVICE, HCA_MAP_PAGE);
		assert_false(r->has_map);
		line_has("unmap_page of 0x123456000, where no mapping begins; at ");
		end();
	}
}

static void unmap_differs(void **state)
{
	const struct hca_misuse_report *r;
	struct scatterlist sgl[3];
	dma_addr_t a;
	int i;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		a = MAPS(ib_dma_map_single(b.ib, ptr, 100, DMA_TO_DEVICE));
		good(a);
		CALLS(ib_dma_unmap_single(b.ib, a, 99, DMA_TO_DEVICE));
		r = told(HCA_MISUSE_UNMAP_SIZE);
		of_call(r, a, 99, DMA_TO_DEVICE, HCA_MAP_SINGLE);
		of_map(r, a, 100, DMA_TO_DEVICE, HCA_MAP_SINGLE);
		line_has("with 99 bytes instead of 100; at ");
		assert_int_equal(backend_live(&b), 0); /* it's done all the same, as it was mapped */

		sg_init_table(sgl, 3);
		for (i = 0; i < 3; i++)
			sg_set_page(&sgl[i], page, 100, 1000u * (unsigned int)i);
		assert_true(MAPS(ib_dma_map_sg(b.ib, sgl, 3, DMA_TO_DEVICE)) > 0);
		CALLS(ib_dma_unmap_sg(b.ib, sgl, 2, DMA_TO_DEVICE));
		r = told(HCA_MISUSE_UNMAP_SIZE);
		of_map(r, ib_sg_dma_address(b.ib, sgl), 3, DMA_TO_DEVICE, HCA_MAP_LIST);
		line_has("with 2 entries instead of 3; at ");
		assert_int_equal(backend_live(&b), 0);

		a = MAPS(ib_dma_map_page(b.ib, page, 0, 100, DMA_TO_DEVICE));
		good(a);
		CALLS(ib_dma_unmap_page(b.ib, a, 100, DMA_FROM_DEVICE));
		r = told(HCA_MISUSE_UNMAP_DIR);
		of_call(r, a, 100, DMA_FROM_DEVICE, HCA_MAP_PAGE);
		of_map(r, a, 100, DMA_TO_DEVICE, HCA_MAP_PAGE);
		line_has("with direction from-device instead of to-device; at ");
		assert_int_equal(backend_live(&b), 0);

		a = MAPS(ib_dma_map_single(b.ib, ptr, 100, DMA_TO_DEVICE));
		good(a);
		CALLS(ib_dma_unmap_page(b.ib, a, 100, DMA_TO_DEVICE));
		r = told(HCA_MISUSE_UNMAP_KIND);
		of_call(r, a, 100, DMA_TO_DEVICE, HCA_MAP_PAGE);
		of_map(r, a, 100, DMA_TO_DEVICE, HCA_MAP_SINGLE);
		line_has("unmap_page of 0x");
		line_has("which was mapped by map_single; at ");
		assert_int_equal(backend_live(&b), 0);
		end();
	}
}

/* Of another family altogether: refused, and what was mapped stays mapped. */
static void unmap_by_another_family(void **state)
{
	const struct hca_misuse_report *r;
	struct scatterlist sg;
	dma_addr_t a;
	void *cpu;
	u8 byte;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		sg_init_one(&sg, ptr, 100);
		assert_int_equal(MAPS(ib_dma_map_sg(b.ib, &sg, 1, DMA_TO_DEVICE)), 1);
		a = ib_sg_dma_address(b.ib, &sg);
		CALLS(ib_dma_unmap_single(b.ib, a, 100, DMA_TO_DEVICE));
		r = told(HCA_MISUSE_UNMAP_KIND);
		of_call(r, a, 100, DMA_TO_DEVICE, HCA_MAP_SINGLE);
		of_map(r, a, 1, DMA_TO_DEVICE, HCA_MAP_LIST);
		assert_int_equal(ib_dma_read(b.ib, a, &byte, 1), 0);
		ib_dma_unmap_sg(b.ib, &sg, 1, DMA_TO_DEVICE);
		backend_quiet(&b);

		cpu = MAPS(ib_dma_alloc_coherent(b.ib, 100, &a, GFP_KERNEL));
		CALLS(ib_dma_unmap_single(b.ib, a, 100, DMA_BIDIRECTIONAL));
		r = told(HCA_MISUSE_UNMAP_KIND);
		of_map(r, a, 100, DMA_BIDIRECTIONAL, HCA_MAP_COHERENT);
		assert_int_equal(ib_dma_write(b.ib, a, "x", 1), 0);
		ib_dma_free_coherent(b.ib, 100, cpu, a);
		backend_quiet(&b);

		a = MAPS(ib_dma_map_single(b.ib, ptr, 100, DMA_BIDIRECTIONAL));
		good(a);
		CALLS(ib_dma_free_coherent(b.ib, 100, ptr, a));
		r = told(HCA_MISUSE_UNMAP_KIND);
		of_call(r, a, 100, DMA_BIDIRECTIONAL, HCA_MAP_COHERENT);
		assert_int_equal(ib_dma_read(b.ib, a, &byte, 1), 0);
		ib_dma_unmap_single(b.ib, a, 100, DMA_BIDIRECTIONAL);
		end();
	}
}

static void use_after_unmap(void **state)
{
	const struct hca_misuse_report *r;
	dma_addr_t a;
	int err;
	u8 byte;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		a = MAPS(ib_dma_map_single(b.ib, ptr, 4096, DMA_BIDIRECTIONAL));
		good(a);
		assert_int_equal(ib_dma_read(b.ib, a, &byte, 1), 0); /* an IOTLB knows it now */
		ENDS(ib_dma_unmap_single(b.ib, a, 4096, DMA_BIDIRECTIONAL));
		err = CALLS(ib_dma_read(b.ib, a + 10, &byte, 1));
		r = told(HCA_MISUSE_USE_AFTER_UNMAP);
		of_call(r, a + 10, 1, DMA_TO_DEVICE, HCA_MAP_SINGLE);
		of_map(r, a, 4096, DMA_BIDIRECTIONAL, HCA_MAP_SINGLE);
		at_line(r->end_site, end_line);
		/* The hazard of lazy invalidation: it still works. Only the ledger saw it. */
		assert_int_equal(err, stops() && !def->lazy ? -EFAULT : 0);
		assert_int_equal(r->outcome, err);
		line_has(err ? "after unmap; the machine refused it; at " :
			       "after unmap; the machine let it through; at ");
		device_flush(b.dev);
		err = CALLS(ib_dma_write(b.ib, a, &byte, 1));
		r = told(HCA_MISUSE_USE_AFTER_UNMAP);
		assert_int_equal(r->dir, DMA_FROM_DEVICE);
		assert_int_equal(err, stops() ? -EFAULT : 0);
		assert_int_equal(r->outcome, err);
		end();
	}
}

static void use_unmapped(void **state)
{
	const struct hca_misuse_report *r;
	dma_addr_t a;
	u8 two[2];
	int err;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		a = ib_dma_map_single(b.ib, ptr, 4096, DMA_BIDIRECTIONAL);
		good(a);
		/* the last byte is mapped, the next one isn't */
		err = CALLS(ib_dma_read(b.ib, a + 4095, two, 2));
		r = told(HCA_MISUSE_USE_UNMAPPED);
		of_call(r, a + 4095, 2, DMA_TO_DEVICE, HCA_MAP_SINGLE);
		assert_false(r->has_map);
		assert_int_equal(err, stops() ? -EFAULT : 0);
		assert_int_equal(r->outcome, err);
		line_has("device access to 2 bytes at 0x");
		line_has("which no mapping covers; the machine ");
		/* a copy names the side that was wrong, and the line that did both */
		err = CALLS(ib_dma_copy(b.ib, a + 8, b.ib, a + 8192, 16));
		r = told(HCA_MISUSE_USE_UNMAPPED);
		of_call(r, a + 8192, 16, DMA_TO_DEVICE, HCA_MAP_SINGLE);
		assert_int_equal(r->outcome, err);
		ib_dma_unmap_single(b.ib, a, 4096, DMA_BIDIRECTIONAL);
		end();
	}
}

static void use_against_direction(void **state)
{
	const struct hca_misuse_report *r;
	dma_addr_t a;
	int err, dir;
	u8 byte = 1;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1))
		for (dir = DMA_TO_DEVICE; dir <= DMA_FROM_DEVICE; dir++) {
			bool read = dir == DMA_FROM_DEVICE;

			begin();
			a = MAPS(ib_dma_map_single(b.ib, ptr, 4096, (enum dma_data_direction)dir));
			good(a);
			err = CALLS(read ? ib_dma_read(b.ib, a, &byte, 1) : ib_dma_write(b.ib, a, &byte, 1));
			r = told(HCA_MISUSE_USE_DIR);
			of_call(r, a, 1, read ? DMA_TO_DEVICE : DMA_FROM_DEVICE, HCA_MAP_SINGLE);
			of_map(r, a, 4096, dir, HCA_MAP_SINGLE);
			assert_int_equal(err, stops() ? -EFAULT : 0);
			assert_int_equal(r->outcome, err);
			line_has(read ? "device reads at 0x" : "device writes at 0x");
			line_has(read ? "which was mapped from-device" : "which was mapped to-device");
			ib_dma_unmap_single(b.ib, a, 4096, (enum dma_data_direction)dir);
			end();
		}
}

static void unchecked(void **state)
{
	const struct hca_misuse_report *r;
	dma_addr_t a;
	u8 byte;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		a = MAPS(ib_dma_map_single(b.ib, ptr, 100, DMA_TO_DEVICE));
		assert_int_equal(CALLS(ib_dma_read(b.ib, a + 7, &byte, 1)), 0);
		r = told(HCA_MISUSE_UNCHECKED);
		of_call(r, a + 7, 1, DMA_TO_DEVICE, HCA_MAP_SINGLE);
		of_map(r, a, 100, DMA_TO_DEVICE, HCA_MAP_SINGLE);
		line_has("was never given to ib_dma_mapping_error(); at ");
		assert_int_equal(ib_dma_read(b.ib, a, &byte, 1), 0); /* once is enough */
		ib_dma_unmap_single(b.ib, a, 100, DMA_TO_DEVICE);
		backend_quiet(&b);
		a = MAPS(ib_dma_map_page(b.ib, page, 0, 100, DMA_TO_DEVICE));
		CALLS(ib_dma_unmap_page(b.ib, a, 100, DMA_TO_DEVICE));
		r = told(HCA_MISUSE_UNCHECKED);
		of_call(r, a, 100, DMA_TO_DEVICE, HCA_MAP_PAGE);
		of_map(r, a, 100, DMA_TO_DEVICE, HCA_MAP_PAGE);
		end();
	}
}

static void sync_outside(void **state)
{
	const struct hca_misuse_report *r;
	struct scatterlist sgl[2];
	dma_addr_t a;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		a = MAPS(ib_dma_map_single(b.ib, ptr, 4096, DMA_BIDIRECTIONAL));
		good(a);
		CALLS(ib_dma_sync_single_for_cpu(b.ib, a + 4000, 100, DMA_BIDIRECTIONAL));
		r = told(HCA_MISUSE_SYNC_OUTSIDE);
		of_call(r, a + 4000, 100, DMA_BIDIRECTIONAL, HCA_MAP_SINGLE);
		of_map(r, a, 4096, DMA_BIDIRECTIONAL, HCA_MAP_SINGLE);
		line_has("sync of 100 bytes at 0x");
		line_has(", which no mapping covers; at ");
		ENDS(ib_dma_unmap_single(b.ib, a, 4096, DMA_BIDIRECTIONAL));
		CALLS(ib_dma_sync_single_for_device(b.ib, a, 100, DMA_BIDIRECTIONAL));
		r = told(HCA_MISUSE_SYNC_OUTSIDE);
		at_line(r->end_site, end_line);
		sg_init_table(sgl, 2);
		sg_set_page(&sgl[0], nth_page(page, 2), 100, 0);
		sg_set_page(&sgl[1], nth_page(page, 2), 100, 1000);
		CALLS(ib_dma_sync_sg_for_cpu(b.ib, sgl, 2, DMA_FROM_DEVICE));
		r = told(HCA_MISUSE_SYNC_OUTSIDE);
		assert_int_equal(r->kind, HCA_MAP_LIST);
		assert_int_equal(r->size, 100);
		at_line(r->site, call_line);
		end();
	}
}

static void sync_against_direction(void **state)
{
	const struct hca_misuse_report *r;
	dma_addr_t a;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		memset(ptr, 0x77, 100);
		a = MAPS(ib_dma_map_single(b.ib, ptr, 100, DMA_TO_DEVICE));
		good(a);
		CALLS(ib_dma_sync_single_for_cpu(b.ib, a, 50, DMA_FROM_DEVICE));
		r = told(HCA_MISUSE_SYNC_DIR);
		of_call(r, a, 50, DMA_FROM_DEVICE, HCA_MAP_SINGLE);
		of_map(r, a, 100, DMA_TO_DEVICE, HCA_MAP_SINGLE);
		line_has("with direction from-device, which was mapped to-device; at ");
		assert_int_equal(ptr[0], 0x77); /* nor does it harm the bytes */
		ib_dma_unmap_single(b.ib, a, 100, DMA_TO_DEVICE);
		end();
	}
}

static void bad_list(void **state)
{
	const struct hca_misuse_report *r;
	struct scatterlist sgl[3];

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		sg_init_table(sgl, 3);
		sg_set_page(&sgl[0], page, 100, 0);
		sg_set_page(&sgl[1], page, 0, 0);
		sg_set_page(&sgl[2], page, 100, 0);
		assert_int_equal(CALLS(ib_dma_map_sg(b.ib, sgl, 3, DMA_TO_DEVICE)), 0);
		r = told(HCA_MISUSE_LIST);
		of_call(r, hca_dma_addr(1), 3, DMA_TO_DEVICE, HCA_MAP_LIST);
		assert_false(r->has_map);
		line_has("entry 1 of a list of 3 is missing or can't be mapped; at ");
		sg_set_page(&sgl[1], page, 100, 0);
		assert_int_equal(CALLS(ib_dma_map_sg(b.ib, sgl, 4, DMA_TO_DEVICE)), 0);
		r = told(HCA_MISUSE_LIST);
		of_call(r, hca_dma_addr(3), 4, DMA_TO_DEVICE, HCA_MAP_LIST);
		end();
	}
}

/* --- what must not be reported --- */

/* What a careful ULP does that looks odd. */
static void odd_but_right(void **state)
{
	struct scatterlist sgl[2], again[2];
	dma_addr_t one, two, three;
	struct ib_dma_totals t;
	u8 buf[100] = { 0 };
	int i;

	(void)state;
	for (def = backend_ledger(backend_defs); def->name; def = backend_ledger(def + 1)) {
		begin();
		/* one buffer three times, in two directions, ended in any order; the second is checked late */
		one = ib_dma_map_single(b.ib, ptr, 100, DMA_TO_DEVICE);
		good(one);
		two = ib_dma_map_single(b.ib, ptr, 100, DMA_TO_DEVICE);
		assert_int_equal(ib_dma_read(b.ib, one, buf, 100), 0);
		good(two);
		three = ib_dma_map_page(b.ib, page, 0, 50, DMA_TO_DEVICE);
		good(three);
		assert_int_equal(ib_dma_read(b.ib, three, buf, 50), 0);
		ib_dma_unmap_single(b.ib, one, 100, DMA_TO_DEVICE);
		assert_int_equal(ib_dma_read(b.ib, two, buf, 100), 0);
		ib_dma_unmap_page(b.ib, three, 50, DMA_TO_DEVICE);
		ib_dma_unmap_single(b.ib, two, 100, DMA_TO_DEVICE);
		/* a list used again for other pages, and in other words */
		for (i = 0; i < 4; i++) {
			sg_init_table(sgl, 2);
			sg_set_page(&sgl[0], nth_page(page, (u64)i), 100, 0);
			sg_set_page(&sgl[1], nth_page(page, 3 - (u64)i), 100, 200);
			assert_true(ib_dma_map_sg(b.ib, sgl, 2, DMA_FROM_DEVICE) > 0);
			sg_init_table(again, 1);
			sg_set_page(&again[0], nth_page(page, (u64)i), 100, 0);
			assert_true(ib_dma_map_sg(b.ib, again, 1, DMA_FROM_DEVICE) > 0);
			assert_int_equal(ib_dma_write(b.ib, ib_sg_dma_address(b.ib, again), buf, 100), 0);
			ib_dma_unmap_sg(b.ib, sgl, 2, DMA_FROM_DEVICE);
			ib_dma_unmap_sg(b.ib, again, 1, DMA_FROM_DEVICE);
		}
		/* a failed map needs no unmap, and its error may be looked at as often as one likes */
		one = ib_dma_map_single(b.ib, NULL, 100, DMA_TO_DEVICE);
		assert_int_equal(ib_dma_mapping_error(b.ib, one), -EFAULT);
		assert_int_equal(ib_dma_mapping_error(b.ib, one), -EFAULT);
		/* two mappings side by side are used by one work request where addresses allow */
		if (def->soft || def->platform == MACHINE_DIRECT) {
			one = ib_dma_map_single(b.ib, ptr, 4096, DMA_TO_DEVICE);
			two = ib_dma_map_single(b.ib, ptr + 4096, 4096, DMA_TO_DEVICE);
			good(two);
			good(one);
			assert_int_equal(ib_dma_read(b.ib, one + 4050, buf, 100), 0);
			ib_dma_unmap_single(b.ib, one, 4096, DMA_TO_DEVICE);
			ib_dma_unmap_single(b.ib, two, 4096, DMA_TO_DEVICE);
		}
		assert_int_equal(ib_dma_get_totals(b.ib, &t), 0);
		assert_int_equal(t.live, 0);
		for (i = 0; i < HCA_MISUSE_KINDS; i++)
			assert_int_equal(t.misuse[i], 0);
		end();
	}
}

static void words_fit_anywhere(void **state)
{
	struct hca_misuse_report r = { .device = "dev0", .has_map = true, .map_site = "a.c:1", .site = "b.c:2" };
	char whole[512], buf[512];
	size_t len, size;
	int what, outcome;

	(void)state;
	for (what = 0; what <= HCA_MISUSE_KINDS; what++)
		for (outcome = -EFAULT; outcome <= 0; outcome += EFAULT) {
			r.what = (enum hca_misuse)what;
			r.outcome = outcome;
			r.kind = (enum hca_map_kind)(what % 6);
			r.map_kind = (enum hca_map_kind)(what % 5);
			r.dir = what - 3;
			r.map_dir = 7 - what;
			r.end_site = what % 2 ? "c.c:3" : NULL;
			len = ib_dma_report_str(&r, whole, sizeof(whole));
			assert_int_equal(len, strlen(whole));
			assert_null(strchr(whole, '\n'));
			assert_int_equal(strncmp(whole, "dev0: ", 6), 0);
			assert_non_null(strstr(whole, hca_misuse_name((enum hca_misuse)what)));
			for (size = 1; size <= len + 1; size++) {
				memset(buf, '#', sizeof(buf));
				assert_int_equal(ib_dma_report_str(&r, buf, size), size - 1);
				assert_int_equal(strncmp(buf, whole, size - 1), 0);
				assert_int_equal(buf[size - 1], 0);
				assert_int_equal(buf[size], '#');
			}
			assert_int_equal(ib_dma_report_str(&r, buf, 0), 0);
		}
	assert_string_equal(hca_misuse_name((enum hca_misuse) - 1), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(leak),
		T(double_unmap),
		T(double_unmap_of_a_reused_address),
		T(unmap_unknown),
		T(unmap_differs),
		T(unmap_by_another_family),
		T(use_after_unmap),
		T(use_unmapped),
		T(use_against_direction),
		T(unchecked),
		T(sync_outside),
		T(sync_against_direction),
		T(bad_list),
		T(odd_but_right),
		T(words_fit_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
