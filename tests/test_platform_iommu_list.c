/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lists under the software IOMMU: what is merged and what isn't, segment limits, permissions of every page, failures that
 * leave nothing behind, and random lists against what each of their bytes must lead to.
 */
#include "test_platform_iommu.h"
#include "why_fixture.h"

#define ENTRIES 40

static struct device *make_limited(u32 max_seg, u64 boundary, bool lazy, u64 aperture)
{
	struct device_attr a = { .name = "dev", .max_seg_size = max_seg, .seg_boundary_mask = boundary };
	struct machine *m = make_machine(lazy, aperture);
	struct device *dev;

	assert_int_equal(device_create(m, &a, &dev), 0);
	return dev;
}

static void set(struct device *dev, struct scatterlist *sg, u64 off, u32 len)
{
	sg_set_page(sg, page_from_offset(dev->machine, off), len, (unsigned int)(off % PAGE_SIZE));
}

/* Every byte that the device sees is the list's byte there, and the pieces keep to the device's limits. */
static void check_list(struct device *dev, struct scatterlist *sgl, int nents, int pieces, int dir)
{
	u64 boundary = dev->seg_boundary_mask, at = 0, left = 0, step, len, i;
	struct scatterlist *sg = sgl, *piece = sgl;
	int n = 0, k;

	for (k = 0; k < nents; k++, sg = sg_next(sg)) {
		for (i = 0; i < sg->length; i += step) {
			if (!left) {
				assert_true(n < pieces);
				if (n++)
					piece = sg_next(piece);
				at = hca_dma_u64(sg_dma_address(piece));
				left = sg_dma_len(piece);
				assert_true(left && left <= dev->max_seg_size);
				assert_true((at | boundary) == ((at + left - 1) | boundary));
				assert_true(i == 0);
			}
			len = HCA_MIN(left, sg->length - i);
			assert_true(dev->machine->ops->origin(dev, hca_dma_addr(at), &len) ==
				    sg_entry_offset(dev->machine, sg) + i);
			step = HCA_MIN(len, 1000ull);
			if (dir != DMA_FROM_DEVICE)
				reaches(dev, hca_dma_addr(at), HCA_MEM_READ, sg_entry_offset(dev->machine, sg) + i);
			else
				refused(dev, hca_dma_addr(at), HCA_MEM_READ, FAULT_NO_READ);
			at += step;
			left -= step;
		}
	}
	assert_int_equal(n, pieces);
	assert_int_equal(left, 0);
#ifndef SOFTHCA_SG_LAYOUT_JOINED
	if (n < nents)
		assert_int_equal(sg_dma_len(sg_next(piece)), 0);
#endif
}

static int map_list(struct device *dev, struct scatterlist *sgl, int nents, int dir)
{
	int n = platform_map_list(dev, sgl, nents, dir, 0);

	if (n > 0)
		check_list(dev, sgl, nents, n, dir);
	return n;
}

static void unmap_list(struct device *dev, struct scatterlist *sgl, int nents)
{
	assert_int_equal(platform_unmap_list(dev, sgl, nents, DMA_BIDIRECTIONAL, 0), 0);
	assert_int_equal(platform_unmap_list(dev, sgl, nents, DMA_BIDIRECTIONAL, 0), -ENOENT);
	device_flush(dev);
	refused(dev, sg_dma_address(sgl), HCA_MEM_READ, FAULT_NOT_MAPPED);
	assert_int_equal(stats_of(dev).iova_pages, 0);
}

struct piece_case {
	const char *name;
	u32 max_seg;
	u64 boundary;
	int pieces;
	int nents;
	struct {
		u64 off;
		u32 len;
	} entry[6];
};

static const struct piece_case cases[] = {
	{ "one", 0, 0, 1, 1, { { 5, 10 } } },
	{ "whole pages from everywhere", 0, 0, 1, 3, { { 0x5000, 4096 }, { 0x1000, 8192 }, { 0x9000, 4096 } } },
	{ "ends ragged", 0, 0, 1, 3, { { 0x5100, 0xf00 }, { 0x1000, 8192 }, { 0x9000, 1 } } },
	{ "stops short", 0, 0, 2, 2, { { 0x5000, 4095 }, { 0x1000, 4096 } } },
	{ "begins late", 0, 0, 2, 2, { { 0x5000, 4096 }, { 0x1001, 4095 } } },
	{ "same page twice", 0, 0, 2, 2, { { 0x5000, 10 }, { 0x5010, 10 } } },
	{ "longest piece",
	  8192,
	  0,
	  3,
	  5,
	  { { 0x1000, 4096 }, { 0x3000, 4096 }, { 0x5000, 4096 }, { 0x7000, 4096 }, { 0x9000, 1 } } },
	{ "boundary of 8 KiB", 0, 0x1fff, 2, 3, { { 0x1000, 4096 }, { 0x3000, 4096 }, { 0x5000, 4096 } } },
	{ "padded", 0, 0x1fff, 2, 2, { { 0x1000, 4096 }, { 0x3000, 8192 } } },
	{ "padded after ragged", 0, 0x3fff, 3, 3, { { 0x1800, 100 }, { 0x3004, 8192 }, { 0x8000, 8192 } } },
	{ "a page each", 0, 0xfff, 3, 3, { { 0x1000, 4096 }, { 0x3000, 4096 }, { 0x5fff, 1 } } },
	{ "high memory", 0, 0, 1, 2, { { 0x5000, 4096 }, { 17ull << 20, 4096 } } },
	{ "leaves of 2 MiB", 0, 0, 1, 2, { { 4ull << 20, 4u << 20 }, { 1ull << 20, 2u << 20 } } },
	{ "leaf behind a page", 0, 0, 2, 2, { { 4096, 100 }, { 2ull << 20, 4u << 20 } } },
};

static void pieces_as_limits_allow(void **state)
{
	struct scatterlist sgl[6];
	int n, k;
	size_t i;

	(void)state;
	for (i = 0; i < 2 * HCA_ARRAY_SIZE(cases); i++) {
		const struct piece_case *c = &cases[i / 2];
		struct device *dev = make_limited(c->max_seg, c->boundary, i & 1, 0);

		sg_init_table(sgl, (unsigned int)c->nents);
		for (k = 0; k < c->nents; k++)
			set(dev, &sgl[k], c->entry[k].off, c->entry[k].len);
		n = map_list(dev, sgl, c->nents, DMA_BIDIRECTIONAL);
		assert_int_equal(n, SG_CAN_MERGE ? c->pieces : c->nents);
		unmap_list(dev, sgl, c->nents);
		unmake(dev);
	}
}

static void impossible_lists_leave_nothing(void **state)
{
	struct scatterlist sgl[300];
	struct device *dev = make_limited(0, 0x3fff, false, 2 * MIB);
	u32 i, live;

	(void)state;
	memset(sgl, 0, sizeof(sgl));
	sg_init_table(sgl, 2);
	set(dev, &sgl[0], 0, 10);
	set(dev, &sgl[1], 5, 0x4000); /* across a boundary wherever it lies */
	sg_set_mapped(&sgl[0], hca_dma_addr(0x1234), 55);
	REFUSED(platform_map_list(dev, sgl, 2, DMA_BIDIRECTIONAL, 0), -EINVAL, "an entry lies across a boundary of");
	assert_true(sg_dma_address(&sgl[0]) == hca_dma_addr(0x1234));
	unmake(dev);
	dev = make(false, 2 * MIB);
	live = test_live();
	sg_init_table(sgl, 300);
	for (i = 0; i < 300; i++)
		set(dev, &sgl[i], i * PAGE_SIZE, 2 * PAGE_SIZE);
	sg_set_mapped(&sgl[0], hca_dma_addr(0x1234), 55);
	assert_int_equal(platform_map_list(dev, sgl, 300, DMA_BIDIRECTIONAL, 0), -EINVAL);
	assert_true(sg_dma_address(&sgl[0]) == hca_dma_addr(0x1234));
	assert_int_equal(stats_of(dev).iova_pages, 0);
	assert_int_equal(test_live(), live);
	assert_int_equal(map_list(dev, sgl, 256, DMA_TO_DEVICE), SG_CAN_MERGE ? 1 : 256);
	unmap_list(dev, sgl, 256);
	unmake(dev);
}

static void failing_list_leaves_nothing(void **state)
{
	struct scatterlist sgl[4];
	struct device *dev;
	int i, n;

	(void)state;
	TEST_FAIL_LOOP(loop)
	{
		struct machine_attr ma = { .low_bytes = 16 * MIB, .platform = MACHINE_IOMMU };
		struct device_attr da = { .name = "dev" };
		struct machine *m;

		if (machine_create(&ma, &m))
			continue;
		if (device_create(m, &da, &dev)) {
			assert_int_equal(machine_destroy(m), 0);
			continue;
		}
		sg_init_table(sgl, 4);
		for (i = 0; i < 4; i++)
			set(dev, &sgl[i], (u64)i * 3 * MIB + 8, 3 * MIB - 16);
		sg_set_mapped(&sgl[0], hca_dma_addr(0x1234), 55);
		n = platform_map_list(dev, sgl, 4, DMA_FROM_DEVICE, 0);
		if (n < 0) {
			assert_int_equal(n, -ENOMEM);
			assert_true(sg_dma_address(&sgl[0]) == hca_dma_addr(0x1234));
			assert_int_equal(stats_of(dev).iova_pages, 0);
			n = platform_map_list(dev, sgl, 4, DMA_FROM_DEVICE, 0);
		}
		assert_int_equal(n, 4);
		check_list(dev, sgl, 4, n, DMA_FROM_DEVICE);
		unmap_list(dev, sgl, 4);
		device_destroy(dev);
		assert_int_equal(machine_destroy(m), 0);
	}
}

static void lists_are_ended_whole(void **state)
{
	struct scatterlist sgl[3];
	struct device *dev = make_limited(0, 0x1fff, false, 0);
	dma_addr_t first, last;

	(void)state;
	sg_init_table(sgl, 3);
	set(dev, &sgl[0], 4096, 4096);
	set(dev, &sgl[1], 16384, 8192); /* a hole before it */
	set(dev, &sgl[2], 100, 10);
	assert_int_equal(map_list(dev, sgl, 3, DMA_BIDIRECTIONAL), 3);
	first = sg_dma_address(&sgl[0]);
	last = sg_dma_address(&sgl[2]);
	refused(dev, first + PAGE_SIZE, HCA_MEM_READ, FAULT_NOT_MAPPED); /* the hole */
	assert_int_equal(platform_unmap(dev, sg_dma_address(&sgl[1]), 8192, DMA_BIDIRECTIONAL, 0), -ENOENT);
	assert_int_equal(platform_unmap(dev, last, 10, DMA_BIDIRECTIONAL, 0), -ENOENT);
	reaches(dev, last, HCA_MEM_WRITE, 100);
	unmap_list(dev, sgl, 3);
	refused(dev, last, HCA_MEM_READ, FAULT_NOT_MAPPED);
	unmake(dev);
}

static void random_lists(void **state)
{
	static const u32 max_segs[] = { 0, 4096, 5000, 65536, 1u << 20 };
	static const u64 boundaries[] = { 0, 0xfff, 0x1fff, 0xffff, 0x1fffff, 0x3fffff, ~0ull };
	struct scatterlist a[ENTRIES + 1], b[ENTRIES];
	int round, i, k, na, nb, dir, n;

	(void)state;
	for (round = 0; round < 400; round++) {
		u32 max_seg = max_segs[hca_random_u32() % HCA_ARRAY_SIZE(max_segs)];
		u64 boundary = boundaries[hca_random_u32() % HCA_ARRAY_SIZE(boundaries)];
		struct device *dev = make_limited(max_seg, boundary, round & 1, 64 * MIB);
		u64 most = HCA_MIN(max_seg ? max_seg : 3 * MIB, boundary ? boundary : 3 * MIB), off, len;

		for (k = 0; k < 3; k++) {
			/* Two arrays, chained. */
			na = 1 + (int)(hca_random_u32() % ENTRIES);
			nb = 1 + (int)(hca_random_u32() % ENTRIES);
			sg_init_table(a, (unsigned int)na + 1);
			sg_init_table(b, (unsigned int)nb);
			sg_chain(a, (unsigned int)na + 1, b);
			for (i = 0; i < na + nb; i++) {
				/* Often whole pages, so that something joins. */
				bool whole = hca_random_u32() % 4;

				len = hca_random_u32() % 8 ? 20000 : most;
				len = 1 + hca_random_u32() % HCA_MIN(most, len);
				off = hca_random_u32() % (12 * MIB);
				if (whole) {
					len = HCA_MAX(len / PAGE_SIZE, 1ull) * PAGE_SIZE;
					off = off / PAGE_SIZE * PAGE_SIZE;
				}
				if (off % PAGE_SIZE + len > most + 1)
					off = off / PAGE_SIZE * PAGE_SIZE;
				if (max_seg && len > max_seg)
					len = max_seg;
				set(dev, i < na ? &a[i] : &b[i - na], off, (u32)len);
			}
			dir = (int)(hca_random_u32() % 3);
			n = map_list(dev, a, na + nb, dir);
			if (n == -ENOSPC)
				continue;
			assert_true(n > 0);
			unmap_list(dev, a, na + nb);
		}
		unmake(dev);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(pieces_as_limits_allow, fresh),
		cmocka_unit_test_setup(impossible_lists_leave_nothing, fresh),
		cmocka_unit_test_setup(failing_list_leaves_nothing, fresh),
		cmocka_unit_test_setup(lists_are_ended_whole, fresh),
		cmocka_unit_test_setup(random_lists, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
