/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The judge of `softhca matrix`: movers that do their work well, and movers that do
 * it badly in one way each. A row that can't fail says nothing when it passes.
 * Also the shapes of the lists: are they as mixed as they are said to be?
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli/matrix/row.h"

#define BYTES (1000u << 10)

/* How the mover under test differs from the good one; acted on at the first read. */
static enum fault_kind { NONE, FLIP, IDLE, SHORT, LEAK, STRAY, DIRECTION, PAGE, REFUSE } fault;
static bool done;
static const struct bed *the_bed;
static enum srp_memory memory;
static u32 batches[MOVER_BATCH]; /* how often so many requests were under way */

static int bad_open(const struct bed *bed, const struct mover_attr *attr, struct mover **out, struct why *why)
{
	the_bed = bed;
	done = false;
	return mover_srp.open(bed, attr, out, why);
}

static int bad_write(struct mover *mv, const struct mover_io *io, u32 n, struct why *why)
{
	if (fault == REFUSE && io->at)
		return why_set(why, -EIO, "the mover gave up");
	assert_in_range(n, 1, MOVER_BATCH);
	batches[n - 1]++;
	return mover_srp.write(mv, io, n, why);
}

static void flip_a_bit(struct sg_table *sgt, u32 len)
{
	u8 b;

	assert_int_equal(sg_pcopy_to_buffer(sgt->sgl, sgt->orig_nents, &b, 1, len - 1), 1);
	b ^= 0x10;
	assert_int_equal(sg_pcopy_from_buffer(sgt->sgl, sgt->orig_nents, &b, 1, len - 1), 1);
}

static void misbehave(struct sg_table *sgt, u32 len)
{
	struct ib_device *ib = the_bed->initiator.ib;
	struct page *page = sg_page(sgt->sgl);
	dma_addr_t addr;
	u8 b;

	switch (fault) {
	case FLIP:
		flip_a_bit(sgt, len);
		break;
	case LEAK:
		addr = ib_dma_map_page(ib, page, 0, 1, DMA_TO_DEVICE);
		assert_int_equal(ib_dma_mapping_error(ib, addr), 0);
		break;
	case STRAY:
		assert_int_equal(ib_dma_read(ib, hca_dma_addr(64), &b, 1), -EFAULT);
		break;
	case DIRECTION:
		addr = ib_dma_map_page(ib, page, 0, 1, DMA_TO_DEVICE);
		assert_int_equal(ib_dma_mapping_error(ib, addr), 0);
		ib_dma_unmap_page(ib, addr, 1, DMA_FROM_DEVICE);
		break;
	case PAGE:
		assert_non_null(machine_alloc_pages(the_bed->machine, GFP_KERNEL, 0));
		break;
	default:
		break;
	}
}

static int bad_read(struct mover *mv, const struct mover_io *io, u32 n, struct why *why)
{
	struct mover_io first = *io;
	int err = 0;

	if (done)
		return mover_srp.read(mv, io, n, why);
	done = true;
	if (fault == SHORT)
		first.len -= MOVER_BLOCK;
	if (fault != IDLE && first.len)
		err = mover_srp.read(mv, &first, 1, why);
	misbehave(first.sgt, first.len);
	return err || n == 1 ? err : mover_srp.read(mv, io + 1, n - 1, why);
}

static struct device_stats stats[2]; /* the initiator's and the target's, when all is moved */

static u64 bad_close(struct mover *mv)
{
	u64 busy = mover_srp.close(mv);

	device_get_stats(the_bed->initiator.dev, &stats[0]);
	device_get_stats(the_bed->target.dev, &stats[1]);
	return busy;
}

static const char *image_path;

static int make_image(void **state)
{
	static char path[] = "/tmp/test_cli_row-XXXXXX";
	u32 x = 1, i;
	int fd;

	(void)state;
	fd = mkstemp(path);
	assert_true(fd >= 0);
	for (i = 0; i < BYTES; i += 4) {
		x = x * 1664525 + 1013904223;
		assert_int_equal(write(fd, &x, 4), 4);
	}
	close(fd);
	image_path = path;
	return 0;
}

static int drop_image(void **state)
{
	(void)state;
	return unlink(image_path);
}

static bool run(enum fault_kind kind, int machine, enum adapter initiator, enum adapter target, struct row *row)
{
	struct mover_ops ops = mover_srp;
	struct image img;
	struct job job = {
		.image = &img, .mover = &ops, .seed = 3 + 4 * (u64)machine + initiator + 2 * target, .memory = memory
	};
	struct why why = { { 0 } };
	bool passed;

	ops.open = bad_open;
	ops.write = bad_write;
	ops.read = bad_read;
	ops.close = bad_close;
	fault = kind;
	memset(row, 0, sizeof(*row));
	row->machine = machine;
	row->initiator = initiator;
	row->target = target;
	assert_int_equal(image_open(&img, image_path, 0, &why), 0);
	assert_int_equal(img.bytes, BYTES);
	passed = row_run(&job, row);
	image_close(&img);
	assert_int_equal(passed, !row->why.text[0]);
	return passed;
}

static void good_rows(enum srp_memory kind)
{
	struct row row;
	int m, p;

	memory = kind;
	memset(batches, 0, sizeof(batches));
	for (m = 0; m < MACHINE_KINDS; m++)
		for (p = 0; p < 4; p++) {
			bool passed = run(NONE, m, p & 2 ? ADAPTER_SOFT : ADAPTER_DMA,
					  p & 1 ? ADAPTER_SOFT : ADAPTER_DMA, &row);

			assert_string_equal(row.why.text, "");
			assert_true(passed);
			assert_int_equal(row.bytes, BYTES);
			assert_true(row.account.mappings >= 8);
			assert_int_equal(row.account.faults, 0);
			assert_int_equal(row.account.leaks, 0);
			assert_int_equal(strlen(row.sha256_in), 64);
			assert_string_equal(row.sha256_in, row.sha256_out);
		}
	for (p = 0; p < (int)MOVER_BATCH; p++)
		assert_true(batches[p] > 0);
	memory = SRP_MEMORY_FAST;
}

static void good_rows_pass(void **state)
{
	(void)state;
	good_rows(SRP_MEMORY_ALL);
	good_rows(SRP_MEMORY_FMR);
	good_rows(SRP_MEMORY_FAST);
}

/* A bounce machine that never bounces, or an IOMMU that nobody asks, would make rows that say little. */
static void machines_are_what_they_are_called(void **state)
{
	struct row row;
	int m, i;

	(void)state;
	for (m = 0; m < MACHINE_KINDS; m++) {
		bool iommu = !strncmp(machine_kinds[m], "iommu", 5), bounce = !strcmp(machine_kinds[m], "bounce");

		assert_true(run(NONE, m, ADAPTER_DMA, ADAPTER_DMA, &row));
		for (i = 0; i < 2; i++) {
			assert_int_equal(stats[i].maps, stats[i].unmaps);
			assert_int_equal(stats[i].iotlb_misses > 0, iommu);
		}
		/* The target moves data through coherent memory of its own. */
		assert_true(stats[0].maps >= 4);
		assert_int_equal(stats[0].bounced > 0, bounce);
		/* The copying adapter goes through none of it, and isn't limited by what it doesn't use. */
		assert_true(run(NONE, m, ADAPTER_SOFT, ADAPTER_SOFT, &row));
		for (i = 0; i < 2; i++)
			assert_true(!stats[i].maps && !stats[i].bounced && !stats[i].iotlb_misses);
	}
}

static void expect(enum fault_kind kind, const char *word, struct row *row)
{
	int m, p;

	for (m = 0; m < MACHINE_KINDS; m++)
		for (p = 0; p < 4; p++) {
			bool passed = run(kind, m, p & 2 ? ADAPTER_SOFT : ADAPTER_DMA,
					  p & 1 ? ADAPTER_SOFT : ADAPTER_DMA, row);

			assert_false(passed);
			if (!strstr(row->why.text, word))
				fail_msg("said '%s', not '%s'", row->why.text, word);
		}
}

static void one_bit_fails(void **state)
{
	struct row row;

	(void)state;
	expect(FLIP, "SHA-256", &row);
	assert_string_not_equal(row.sha256_in, row.sha256_out);
	assert_int_equal(row.account.leaks, 0);
}

static void nothing_moved_fails(void **state)
{
	struct row row;

	(void)state;
	expect(IDLE, "SHA-256", &row);
	expect(SHORT, "SHA-256", &row);
}

static void a_forgotten_unmap_fails(void **state)
{
	struct row row;

	(void)state;
	expect(LEAK, "1 mappings behind", &row);
	assert_int_equal(row.account.leaks, 1);
	assert_string_equal(row.sha256_in, row.sha256_out);
}

static void a_stray_access_fails(void **state)
{
	struct row row;

	(void)state;
	expect(STRAY, "", &row);
	assert_false(run(STRAY, 1, ADAPTER_DMA, ADAPTER_DMA, &row));
	assert_int_equal(row.account.faults, 1);
	assert_non_null(strstr(row.why.text, "1 faults"));
	/* The copying adapter has no bus that could fault: its ledger alone knows. */
	assert_false(run(STRAY, 1, ADAPTER_SOFT, ADAPTER_SOFT, &row));
	assert_int_equal(row.account.faults, 0);
	assert_non_null(strstr(row.why.text, "1 misuses"));
}

static void a_wrong_direction_fails(void **state)
{
	struct row row;

	(void)state;
	expect(DIRECTION, "1 misuses", &row);
}

static void a_forgotten_page_fails(void **state)
{
	struct row row;

	(void)state;
	/* The machine is left standing by this, for each row: hence one only. */
	assert_false(run(PAGE, 0, ADAPTER_DMA, ADAPTER_SOFT, &row));
	assert_non_null(strstr(row.why.text, "pages weren't freed"));
}

static void giving_up_fails_and_leaves_nothing(void **state)
{
	struct row row;

	(void)state;
	expect(REFUSE, "the mover gave up", &row);
	assert_int_equal(row.account.leaks, 0);
	assert_string_equal(row.sha256_in, "");
	assert_string_equal(row.sha256_out, "");
}

static u64 bytes_of(struct sg_table *sgt)
{
	struct scatterlist *sg;
	unsigned int i;
	u64 sum = 0;

	for_each_sgtable_sg(sgt, sg, i) {
		assert_true(sg->length > 0);
		assert_true(sg->offset < PAGE_SIZE);
		sum += sg->length;
	}
	assert_null(sg_next(sg_last(sgt->sgl, sgt->orig_nents)));
	return sum;
}

static void lists_are_mixed(void **state)
{
	struct machine_attr attr = { .low_bytes = 4 << 20, .high_bytes = 4 << 20 };
	unsigned int odd = 0, single = 0, multi = 0, low = 0, high = 0, chained = 0, n;
	struct shapes s = { .state = 7 };
	struct shape_list list;
	struct scatterlist *sg;
	struct machine *m;
	unsigned int i;

	(void)state;
	assert_int_equal(machine_create(&attr, &m), 0);
	for (n = 0; n < 200; n++) {
		u32 len = shapes_upto(&s, 256 << 10);

		assert_int_equal(shape_list_make(&s, m, len, &list), 0);
		assert_int_equal(bytes_of(&list.table.sgt), len);
		for_each_sgtable_sg(&list.table.sgt, sg, i) {
			odd += sg->offset & 1;
			single += sg->offset == 0 && sg->length == PAGE_SIZE;
			multi += sg->length > PAGE_SIZE;
			low += !PageHighMem(sg_page(sg));
			high += PageHighMem(sg_page(sg));
		}
		chained += list.table.part[0] != NULL;
		shape_list_free(&list);
	}
	assert_true(odd > 100 && single > 100 && multi > 100 && low > 100 && high > 100 && chained > 50);
	assert_int_equal(machine_destroy(m), 0);
}

static void a_full_machine_is_told(void **state)
{
	struct machine_attr attr = { .low_bytes = 2 << 20 };
	struct shapes s = { .state = 9 };
	struct shape_list list;
	struct machine *m;
	u64 before;

	(void)state;
	assert_int_equal(machine_create(&attr, &m), 0);
	before = machine_free_pages(m);
	assert_int_equal(shape_list_make(&s, m, 3 << 20, &list), -ENOMEM);
	assert_int_equal(machine_free_pages(m), before);
	assert_int_equal(machine_destroy(m), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_rows_pass),
		cmocka_unit_test(machines_are_what_they_are_called),
		cmocka_unit_test(one_bit_fails),
		cmocka_unit_test(nothing_moved_fails),
		cmocka_unit_test(a_forgotten_unmap_fails),
		cmocka_unit_test(a_stray_access_fails),
		cmocka_unit_test(a_wrong_direction_fails),
		cmocka_unit_test(a_forgotten_page_fails),
		cmocka_unit_test(giving_up_fails_and_leaves_nothing),
		cmocka_unit_test(lists_are_mixed),
		cmocka_unit_test(a_full_machine_is_told),
	};

	return cmocka_run_group_tests(tests, make_image, drop_image);
}
