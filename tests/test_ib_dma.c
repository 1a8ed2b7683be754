/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ib_dma_*() as it is meant to be used, on every backend: the bytes arrive, both ways, through each family of calls,
 * from and to low and high memory. No ledger has anything to say about any of it. What drivers may do is in
 * test_ib_driver.c, what callers must not in test_ib_dma_bad.c.
 */
#include "backends.h"
#include "no_leaks.h"

static const enum dma_data_direction dirs[] = { DMA_BIDIRECTIONAL, DMA_TO_DEVICE, DMA_FROM_DEVICE };

static bool device_reads(enum dma_data_direction dir)
{
	return dir != DMA_FROM_DEVICE;
}

static bool device_writes(enum dma_data_direction dir)
{
	return dir != DMA_TO_DEVICE;
}

static void good(struct backend *b, dma_addr_t addr)
{
	int err = ib_dma_mapping_error(b->ib, addr);

	if (err)
		fail_msg("%s: mapping failed: %d", b->def->name, err);
}

/* The device sees @want at @addr, and leaves @put there. */
static void device_turn(struct backend *b, dma_addr_t addr, const u8 *want, const u8 *put, size_t len,
			enum dma_data_direction dir)
{
	static u8 got[64 << 10];
	size_t cut = len / 3;

	assert_true(len <= sizeof(got));
	if (device_reads(dir)) {
		memset(got, 0, len);
		assert_int_equal(ib_dma_read(b->ib, addr, got, len), 0);
		assert_memory_equal(got, want, len);
		/* an address with something added is the address of the byte that far on */
		assert_int_equal(ib_dma_read(b->ib, addr + cut, got, len - cut), 0);
		assert_memory_equal(got, want + cut, len - cut);
	}
	if (device_writes(dir)) {
		assert_int_equal(ib_dma_write(b->ib, addr, put, cut), 0);
		assert_int_equal(ib_dma_write(b->ib, addr + cut, put + cut, len - cut), 0);
	}
}

static const struct {
	unsigned int offset, size;
} shapes[] = {
	{ 0, 1 },
	{ 4095, 1 },
	{ 0, 4096 },
	{ 1, 4095 },
	{ 1, 4096 },
	{ 100, 5000 },
	{ 4095, 2 },
	{ 0, 4 * 4096 },
	{ 513, 3 * 4096 },
	{ 2047, 4098 },
	/* Linux takes offsets beyond the page as well: the bytes are those of the pages that follow. */
	{ 4096, 1 },
	{ 5000, 100 },
	{ 8191, 2 },
	{ 12288, 4096 },
	{ 4097, 8192 },
};

static void single_moves_bytes(void **state)
{
	static u8 put[16384], want[16384], before[16384], after[16384];
	const struct backend_def *def;
	struct backend b;
	size_t i, d;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		struct page *page;
		u8 *buf;

		backend_start(&b, def);
		page = backend_pages(&b, false, 2);
		buf = page_address(page);
		for (i = 0; i < HCA_ARRAY_SIZE(shapes); i++)
			for (d = 0; d < HCA_ARRAY_SIZE(dirs); d++) {
				size_t off = shapes[i].offset, len = shapes[i].size;
				dma_addr_t addr;

				fill_pattern(before, sizeof(before), (unsigned int)i);
				fill_pattern(put, len, (unsigned int)(i + 99));
				memcpy(buf, before, sizeof(before));
				memcpy(want, before + off, len);
				addr = ib_dma_map_single(b.ib, buf + off, len, dirs[d]);
				good(&b, addr);
				assert_true(!def->soft || addr == hca_addr_from_ptr(buf + off));
				assert_true(def->soft || addr != hca_addr_from_ptr(buf + off));
				device_turn(&b, addr, want, put, len, dirs[d]);
				ib_dma_unmap_single(b.ib, addr, len, dirs[d]);
				/* All that the device wrote, and not a byte beside it. */
				memcpy(after, before, sizeof(after));
				if (device_writes(dirs[d]))
					memcpy(after + off, put, len);
				assert_memory_equal(buf, after, sizeof(after));
			}
		__free_pages(page, 2);
		backend_close(&b);
	}
}

static void page_moves_bytes(void **state)
{
	static u8 put[16384], before[16384], after[16384], now[16384];
	const struct backend_def *def;
	struct backend b;
	size_t i, d;
	int high;

	(void)state;
	for (def = backend_defs; def->name; def++)
		for (high = 0; high <= def->high; high++) {
			struct page *page;

			backend_start(&b, def);
			page = backend_pages(&b, high, 2);
			assert_int_equal(PageHighMem(page), high);
			for (i = 0; i < HCA_ARRAY_SIZE(shapes); i++)
				for (d = 0; d < HCA_ARRAY_SIZE(dirs); d++) {
					size_t off = shapes[i].offset, len = shapes[i].size;
					dma_addr_t addr;

					fill_pattern(before, sizeof(before), (unsigned int)i);
					fill_pattern(put, len, (unsigned int)(i + 99));
					cpu_put(page, 0, before, sizeof(before));
					addr = ib_dma_map_page(b.ib, page, off, len, dirs[d]);
					if (high && def->refuse) {
						assert_int_equal(ib_dma_mapping_error(b.ib, addr), -EOPNOTSUPP);
						continue;
					}
					good(&b, addr);
					assert_int_equal(hca_addr_tagged(addr), high && def->soft);
					device_turn(&b, addr, before + off, put, len, dirs[d]);
					ib_dma_unmap_page(b.ib, addr, len, dirs[d]);
					memcpy(after, before, sizeof(after));
					if (device_writes(dirs[d]))
						memcpy(after + off, put, len);
					cpu_get(page, 0, now, sizeof(now));
					assert_memory_equal(now, after, sizeof(now));
				}
			__free_pages(page, 2);
			backend_close(&b);
		}
}

static void bvec_is_a_page(void **state)
{
	const struct backend_def *def;
	struct backend b;
	int high;

	(void)state;
	for (def = backend_defs; def->name; def++)
		for (high = 0; high <= (def->high && !def->refuse); high++) {
			struct bio_vec bv[2] = { { .bv_len = 777, .bv_offset = 3333 }, { 0 } };
			struct bio_vec *next = bv;
			u8 want[777], put[777];
			dma_addr_t addr;

			backend_start(&b, def);
			bv[0].bv_page = backend_pages(&b, high, 1);
			fill_pattern(want, sizeof(want), 1);
			fill_pattern(put, sizeof(put), 2);
			cpu_put(bv[0].bv_page, 3333, want, sizeof(want));
			/* an argument with a side effect is evaluated once */
			addr = ib_dma_map_bvec(b.ib, next++, DMA_BIDIRECTIONAL);
			assert_ptr_equal(next, bv + 1);
			good(&b, addr);
			device_turn(&b, addr, want, put, sizeof(want), DMA_BIDIRECTIONAL);
			ib_dma_unmap_page(b.ib, addr, 777, DMA_BIDIRECTIONAL);
			cpu_get(bv[0].bv_page, 3333, want, sizeof(want));
			assert_memory_equal(want, put, sizeof(put));
			__free_pages(bv[0].bv_page, 1);
			backend_close(&b);
		}
}

/* --- lists --- */

/* Of one of four blocks of 8 pages: two of low memory, two of high memory where there is any. */
struct piece {
	int block;
	unsigned int offset, len;
};

static const struct piece list_one[] = { { 0, 0, 1 } };
static const struct piece list_whole[] = { { 0, 0, 4096 }, { 1, 0, 8192 }, { 2, 0, 4096 }, { 3, 0, 32768 } };
static const struct piece list_neighbours[] = {
	{ 0, 0, 4096 }, { 0, 4096, 4096 }, { 0, 8192, 8192 }, { 2, 0, 4096 }, { 2, 4096, 4096 }, { 0, 16384, 100 },
};
static const struct piece list_odd[] = {
	{ 0, 4095, 1 },	    { 1, 100, 5000 },	 { 2, 4095, 2 },    { 3, 1, 1 },
	{ 0, 5000, 3192 },  { 0, 8192, 1 },	 { 2, 5000, 9000 }, { 1, 12288, 1000 },
	{ 3, 30000, 2768 }, { 0, 20000, 12768 }, { 1, 20000, 17 },  { 2, 20000, 19 },
};
static const struct piece list_backwards[] = { { 0, 12288, 4096 },
					       { 0, 8192, 4096 },
					       { 0, 4096, 4096 },
					       { 0, 0, 4096 } };

#define LIST(l) \
	{ \
		l, HCA_ARRAY_SIZE(l), #l \
	}
static const struct list {
	const struct piece *piece;
	size_t n;
	const char *name;
} lists[] = { LIST(list_one), LIST(list_whole), LIST(list_neighbours), LIST(list_odd), LIST(list_backwards) };

#define BLOCK_BYTES (8u * 4096)

/* @refused: high memory stays out, for a device that can't have it */
static void get_blocks(struct backend *b, struct page *block[4], bool refused)
{
	int i;

	for (i = 0; i < 4; i++)
		block[i] = backend_pages(b, i >= 2 && b->def->high && !refused, 3);
}

static void put_blocks(struct page *block[4])
{
	int i;

	for (i = 0; i < 4; i++)
		__free_pages(block[i], 3);
}

/* By its own page, or by the first page of its block: Linux takes both, and the device sees the same. */
static void set_entry(struct scatterlist *sg, struct page *const block[4], const struct piece *p, bool by_head)
{
	if (by_head)
		sg_set_page(sg, block[p->block], p->len, p->offset);
	else
		sg_set_page(sg, nth_page(block[p->block], p->offset / 4096), p->len, p->offset % 4096);
}

/* The device sees all bytes of the list in order, at the addresses it is told, and leaves others. */
static void device_turn_list(struct backend *b, struct scatterlist *sgl, int n, const u8 *want, const u8 *put,
			     size_t total, enum dma_data_direction dir)
{
	struct scatterlist *sg;
	size_t done = 0;
	int i;

	for_each_sg(sgl, sg, n, i) {
		dma_addr_t addr = ib_sg_dma_address(b->ib, sg);
		unsigned int len = ib_sg_dma_len(b->ib, sg);

		assert_int_equal(hca_dma_errno(addr), 0);
		assert_true(len > 0 && len <= total - done);
		assert_true(len <= ib_dma_max_seg_size(b->ib));
		device_turn(b, addr, want + done, put + done, len, dir);
		done += len;
	}
	assert_int_equal(done, total);
}

static size_t list_bytes(const struct list *l)
{
	size_t i, sum = 0;

	for (i = 0; i < l->n; i++)
		sum += l->piece[i].len;
	return sum;
}

static void move_list(struct page *const block[4], const struct list *l, u8 *bytes, bool put)
{
	size_t i, at = 0;

	for (i = 0; i < l->n; i++) {
		if (put)
			cpu_put(block[l->piece[i].block], l->piece[i].offset, bytes + at, l->piece[i].len);
		else
			cpu_get(block[l->piece[i].block], l->piece[i].offset, bytes + at, l->piece[i].len);
		at += l->piece[i].len;
	}
}

enum list_kind { LIST_PLAIN, LIST_CHAINED, LIST_TABLE, LIST_BY_HEAD, LIST_COPIED, LIST_KINDS };

/* A list as plain entries; cut into chunks of 3 that are chained; or in a table. */
static struct scatterlist *make_list(const struct list *l, struct page *const block[4], enum list_kind kind,
				     struct scatterlist chunk[16][4], struct scatterlist *plain, struct sg_table *sgt)
{
	struct scatterlist *sgl = plain, *sg;
	size_t i;

	if (kind == LIST_TABLE) {
		assert_int_equal(sg_alloc_table(sgt, (unsigned int)l->n, GFP_KERNEL), 0);
		sgl = sgt->sgl;
	} else if (kind == LIST_CHAINED) {
		for (i = 0; i * 3 < l->n; i++) {
			sg_init_table(chunk[i], 4);
			if (i)
				sg_chain(chunk[i - 1], 4, chunk[i]);
		}
		sg_unmark_end(&chunk[i - 1][3]);
		sg_mark_end(&chunk[i - 1][(l->n - 1) % 3]);
		sgl = chunk[0];
	} else {
		sg_init_table(plain, (unsigned int)l->n);
	}
	for (i = 0, sg = sgl; i < l->n; i++, sg = sg_next(sg)) {
		assert_non_null(sg);
		set_entry(sg, block, &l->piece[i], kind == LIST_BY_HEAD);
	}
	assert_null(sg);
	return sgl;
}

static void one_list(struct backend *b, const struct list *l, struct page *block[4], enum list_kind kind,
		     enum dma_data_direction dir)
{
	static u8 want[64 << 10], put[64 << 10], now[64 << 10];
	static struct scatterlist plain[16], chunk[16][4], before[16], chunk_before[16][4], copied[16];
	struct sg_table sgt = { 0 };
	struct scatterlist *sgl = make_list(l, block, kind, chunk, plain, &sgt);
	size_t total = list_bytes(l);
	int n;

	assert_true(total <= sizeof(want));
	fill_pattern(want, total, 3);
	fill_pattern(put, total, 4);
	move_list(block, l, want, true);
	memcpy(before, plain, sizeof(before));
	memcpy(chunk_before, chunk, sizeof(chunk));
	if (kind == LIST_TABLE) {
		assert_int_equal(ib_dma_map_sgtable_attrs(b->ib, &sgt, dir, 0), 0);
		n = (int)sgt.nents;
		assert_int_equal(sgt.orig_nents, l->n);
	} else {
		n = ib_dma_map_sg(b->ib, sgl, (int)l->n, dir);
	}
	if (n < 1 || n > (int)l->n)
		fail_msg("%s, %s: mapped as %d", b->def->name, l->name, n);
	device_turn_list(b, sgl, n, want, put, total, dir);
	if (kind == LIST_TABLE)
		ib_dma_unmap_sgtable_attrs(b->ib, &sgt, dir, 0);
	else if (kind == LIST_COPIED)
		ib_dma_unmap_sg(b->ib, memcpy(copied, plain, sizeof(copied)), (int)l->n, dir);
	else
		ib_dma_unmap_sg(b->ib, sgl, (int)l->n, dir);
	/* Not a byte of a scatterlist is this device's to write, unless a ledger marks it as not filled. */
	if (b->def->soft && !b->def->ledger) {
		assert_memory_equal(before, plain, sizeof(before));
		assert_memory_equal(chunk_before, chunk, sizeof(chunk));
	}
	if (b->def->soft)
		assert_int_equal(n, l->n);
	move_list(block, l, now, false);
	assert_memory_equal(now, device_writes(dir) ? put : want, total);
	if (kind == LIST_TABLE)
		sg_free_table(&sgt);
}

static void list_moves_bytes(void **state)
{
	const struct backend_def *def;
	struct page *block[4];
	struct backend b;
	size_t i, d;
	int kind;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		backend_start(&b, def);
		get_blocks(&b, block, def->refuse);
		for (i = 0; i < HCA_ARRAY_SIZE(lists); i++)
			for (d = 0; d < HCA_ARRAY_SIZE(dirs); d++)
				for (kind = 0; kind < LIST_KINDS; kind++)
					one_list(&b, &lists[i], block, (enum list_kind)kind, dirs[d]);
		put_blocks(block);
		backend_close(&b);
	}
}

/* High memory anywhere in a list: refused whole by the device that has no address for it. */
static void list_with_high_memory_refused(void **state)
{
	const struct backend_def *def;
	struct scatterlist sgl[3];
	struct page *low, *high;
	struct backend b;
	int at, i;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		if (!def->refuse || !def->high)
			continue;
		backend_start(&b, def);
		low = backend_pages(&b, false, 0);
		high = backend_pages(&b, true, 0);
		for (at = 0; at < 3; at++) {
			struct sg_table sgt = { .sgl = sgl, .orig_nents = 3, .nents = 77 };

			sg_init_table(sgl, 3);
			for (i = 0; i < 3; i++)
				sg_set_page(&sgl[i], i == at ? high : low, 100, 0);
			assert_int_equal(ib_dma_map_sg(b.ib, sgl, 3, DMA_TO_DEVICE), 0);
			assert_int_equal(ib_dma_map_sgtable_attrs(b.ib, &sgt, DMA_TO_DEVICE, 0), -EOPNOTSUPP);
			assert_int_equal(sgt.nents, 77);
			assert_int_equal(hca_dma_errno(ib_sg_dma_address(b.ib, &sgl[at])), -EOPNOTSUPP);
			assert_int_equal(backend_live(&b), 0);
		}
		__free_page(low);
		__free_page(high);
		backend_close(&b);
	}
}

/* A long list over several chunks, of single pages: every byte once, in order. */
static void long_list(void **state)
{
	enum { N = 300 };
	const struct backend_def *def;
	struct page *page[N];
	struct backend b;
	unsigned int i;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		struct scatterlist *sg;
		struct sg_table sgt;
		u32 seen = 0, word;

		backend_start(&b, def);
		assert_int_equal(sg_alloc_table(&sgt, N, GFP_KERNEL), 0);
		for_each_sgtable_sg(&sgt, sg, i) {
			u32 words[4] = { 4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3 };

			page[i] = backend_pages(&b, def->high && !def->refuse && i % 3 == 1, 0);
			cpu_put(page[i], 4080, words, sizeof(words));
			sg_set_page(sg, page[i], sizeof(words), 4080);
		}
		assert_int_equal(ib_dma_map_sgtable_attrs(b.ib, &sgt, DMA_TO_DEVICE, 0), 0);
		for_each_sgtable_dma_sg(&sgt, sg, i) {
			unsigned int at;

			for (at = 0; at < ib_sg_dma_len(b.ib, sg); at += 4) {
				assert_int_equal(ib_dma_read(b.ib, ib_sg_dma_address(b.ib, sg) + at, &word, 4), 0);
				assert_int_equal(word, seen++);
			}
		}
		assert_int_equal(seen, 4 * N);
		ib_dma_unmap_sgtable_attrs(b.ib, &sgt, DMA_TO_DEVICE, 0);
		sg_free_table(&sgt);
		for (i = 0; i < N; i++)
			__free_page(page[i]);
		backend_close(&b);
	}
}

/* --- who owns the bytes --- */

static void sync_hands_bytes_over(void **state)
{
	const struct backend_def *def;
	struct backend b;
	int high;

	(void)state;
	for (def = backend_defs; def->name; def++)
		for (high = 0; high <= (def->high && !def->refuse); high++) {
			struct page *page;
			u8 one[64], two[64], got[64];
			dma_addr_t addr;

			fill_pattern(one, 64, 1);
			fill_pattern(two, 64, 2);
			backend_start(&b, def);
			page = backend_pages(&b, high, 1);
			addr = ib_dma_map_page(b.ib, page, 4000, 1000, DMA_BIDIRECTIONAL);
			good(&b, addr);
			/* the device's bytes, without an unmap */
			assert_int_equal(ib_dma_write(b.ib, addr + 80, one, 64), 0);
			ib_dma_sync_single_for_cpu(b.ib, addr + 80, 64, DMA_BIDIRECTIONAL);
			cpu_get(page, 4080, got, 64);
			assert_memory_equal(got, one, 64);
			/* the CPU's, back to the device */
			cpu_put(page, 4080, two, 64);
			ib_dma_sync_single_for_device(b.ib, addr + 80, 64, DMA_BIDIRECTIONAL);
			assert_int_equal(ib_dma_read(b.ib, addr + 80, got, 64), 0);
			assert_memory_equal(got, two, 64);
			ib_dma_unmap_page(b.ib, addr, 1000, DMA_BIDIRECTIONAL);
			cpu_get(page, 4080, got, 64);
			assert_memory_equal(got, two, 64);
			/* one direction each */
			addr = ib_dma_map_page(b.ib, page, 0, 64, DMA_FROM_DEVICE);
			good(&b, addr);
			assert_int_equal(ib_dma_write(b.ib, addr, one, 64), 0);
			ib_dma_sync_single_for_cpu(b.ib, addr, 64, DMA_FROM_DEVICE);
			cpu_get(page, 0, got, 64);
			assert_memory_equal(got, one, 64);
			ib_dma_sync_single_for_device(b.ib, addr, 64, DMA_FROM_DEVICE);
			assert_int_equal(ib_dma_write(b.ib, addr, two, 64), 0);
			ib_dma_unmap_page(b.ib, addr, 64, DMA_FROM_DEVICE);
			cpu_get(page, 0, got, 64);
			assert_memory_equal(got, two, 64);
			addr = ib_dma_map_page(b.ib, page, 0, 64, DMA_TO_DEVICE);
			good(&b, addr);
			ib_dma_sync_single_for_cpu(b.ib, addr, 64, DMA_TO_DEVICE);
			cpu_put(page, 0, one, 64);
			ib_dma_sync_single_for_device(b.ib, addr, 64, DMA_TO_DEVICE);
			assert_int_equal(ib_dma_read(b.ib, addr, got, 64), 0);
			assert_memory_equal(got, one, 64);
			ib_dma_unmap_page(b.ib, addr, 64, DMA_TO_DEVICE);
			__free_pages(page, 1);
			backend_close(&b);
		}
}

static void sync_of_a_list(void **state)
{
	const struct backend_def *def;
	const struct list *l = &lists[2]; /* neighbours, which a platform may merge */
	static u8 one[64 << 10], two[64 << 10], got[64 << 10];
	static struct scatterlist plain[16];
	struct page *block[4];
	struct backend b;
	size_t total = list_bytes(l);

	(void)state;
	fill_pattern(one, total, 1);
	fill_pattern(two, total, 2);
	for (def = backend_defs; def->name; def++) {
		int n;

		backend_start(&b, def);
		get_blocks(&b, block, def->refuse);
		make_list(l, block, LIST_PLAIN, NULL, plain, NULL);
		move_list(block, l, two, true);
		n = ib_dma_map_sg(b.ib, plain, (int)l->n, DMA_BIDIRECTIONAL);
		assert_true(n > 0);
		device_turn_list(&b, plain, n, two, one, total, DMA_BIDIRECTIONAL);
		ib_dma_sync_sg_for_cpu(b.ib, plain, (int)l->n, DMA_BIDIRECTIONAL);
		move_list(block, l, got, false);
		assert_memory_equal(got, one, total);
		move_list(block, l, two, true);
		ib_dma_sync_sg_for_device(b.ib, plain, (int)l->n, DMA_BIDIRECTIONAL);
		device_turn_list(&b, plain, n, two, one, total, DMA_BIDIRECTIONAL);
		ib_dma_unmap_sg(b.ib, plain, (int)l->n, DMA_BIDIRECTIONAL);
		move_list(block, l, got, false);
		assert_memory_equal(got, one, total);
		put_blocks(block);
		backend_close(&b);
	}
}

static void skipping_the_sync(void **state)
{
	const struct backend_def *def;
	struct backend b;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		u8 one[64], got[64], *buf;
		struct page *page;
		dma_addr_t addr;

		fill_pattern(one, 64, 1);
		backend_start(&b, def);
		page = backend_pages(&b, false, 0);
		buf = page_address(page);
		addr = ib_dma_map_single_attrs(b.ib, buf, 64, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
		good(&b, addr);
		/* What the caller skipped it does itself. */
		ib_dma_sync_single_for_cpu(b.ib, addr, 64, DMA_BIDIRECTIONAL);
		memcpy(buf, one, 64);
		ib_dma_sync_single_for_device(b.ib, addr, 64, DMA_BIDIRECTIONAL);
		assert_int_equal(ib_dma_read(b.ib, addr, got, 64), 0);
		assert_memory_equal(got, one, 64);
		fill_pattern(one, 64, 2);
		assert_int_equal(ib_dma_write(b.ib, addr, one, 64), 0);
		ib_dma_sync_single_for_cpu(b.ib, addr, 64, DMA_BIDIRECTIONAL);
		assert_memory_equal(buf, one, 64);
		ib_dma_unmap_single_attrs(b.ib, addr, 64, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
		assert_memory_equal(buf, one, 64);
		__free_page(page);
		backend_close(&b);
	}
}

static void coherent_memory(void **state)
{
	static const size_t size[] = { 1, 64, 4095, 4096, 4097, 3 * 4096, 64 << 10 };
	const struct backend_def *def;
	struct backend b;
	size_t i, j;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		backend_start(&b, def);
		for (i = 0; i < HCA_ARRAY_SIZE(size); i++) {
			u64 free = machine_free_pages(b.m);
			dma_addr_t addr = hca_dma_error(-EIO);
			u8 *cpu = ib_dma_alloc_coherent(b.ib, size[i], &addr, GFP_KERNEL);
			u8 got;

			assert_non_null(cpu);
			assert_int_equal(hca_dma_errno(addr), 0);
			assert_int_equal((uintptr_t)cpu % PAGE_SIZE, 0);
			for (j = 0; j < size[i]; j += 111) {
				assert_int_equal(cpu[j], 0);
				/* seen at once, both ways */
				cpu[j] = (u8)(j + 1);
				assert_int_equal(ib_dma_read(b.ib, addr + j, &got, 1), 0);
				assert_int_equal(got, (u8)(j + 1));
				got = (u8)(j + 7);
				assert_int_equal(ib_dma_write(b.ib, addr + j, &got, 1), 0);
				assert_int_equal(cpu[j], (u8)(j + 7));
			}
			cpu[size[i] - 1] = 0xff;
			ib_dma_free_coherent(b.ib, size[i], cpu, addr);
			assert_int_equal(machine_free_pages(b.m), free);
		}
		backend_close(&b);
	}
}

/* --- from device to device --- */

static void copy_between_all_kinds(void **state)
{
	const struct backend_def *from, *to;
	struct backend s, d;

	(void)state;
	for (from = backend_defs; from->name; from++)
		for (to = backend_defs; to->name; to++) {
			bool shigh = from->high && !from->refuse, dhigh = to->high && !to->refuse;
			struct page *spage, *dpage;
			dma_addr_t src, dst;
			u8 want[5000], got[5000];

			if (!from->ledger || !to->ledger)
				continue;
			backend_start(&s, from);
			backend_start(&d, to);
			spage = backend_pages(&s, shigh, 1);
			dpage = backend_pages(&d, dhigh, 1);
			fill_pattern(want, sizeof(want), 5);
			cpu_put(spage, 1000, want, sizeof(want));
			src = ib_dma_map_page(s.ib, spage, 1000, sizeof(want), DMA_TO_DEVICE);
			dst = ib_dma_map_page(d.ib, dpage, 3000, sizeof(want), DMA_FROM_DEVICE);
			good(&s, src);
			good(&d, dst);
			assert_int_equal(ib_dma_copy(d.ib, dst, s.ib, src, sizeof(want)), 0);
			ib_dma_unmap_page(s.ib, src, sizeof(want), DMA_TO_DEVICE);
			ib_dma_unmap_page(d.ib, dst, sizeof(want), DMA_FROM_DEVICE);
			cpu_get(dpage, 3000, got, sizeof(got));
			assert_memory_equal(got, want, sizeof(want));
			__free_pages(spage, 1);
			__free_pages(dpage, 1);
			backend_close(&s);
			backend_close(&d);
		}
}

/* --- what a device says of itself --- */

static void what_devices_say(void **state)
{
	const struct backend_def *def;
	struct device_attr da = { .name = "bus0", .max_seg_size = 64 << 10 };
	struct ib_dma_totals t;
	struct backend b;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		backend_start(&b, def);
		assert_int_equal(ib_uses_virt_dma(b.ib), def->soft);
		/* Software needs no room for pieces: there is no such limit. */
		assert_int_equal(ib_dma_max_seg_size(b.ib), def->soft ? UINT32_MAX : 2u << 30);
		assert_true(ib_dma_max_mapping_size(b.ib) == (def->soft ? SIZE_MAX : dma_max_mapping_size(b.dev)));
		assert_int_equal(ib_dma_get_totals(b.ib, &t), def->ledger ? 0 : -ENOENT);
		backend_close(&b);
		if (def->platform == MACHINE_BOUNCE)
			continue; /* has a mask that it needs */
		assert_int_equal(backend_open_attr(&b, def, NULL, &da), 0);
		assert_int_equal(ib_dma_max_seg_size(b.ib), def->soft ? UINT32_MAX : 64u << 10);
		backend_close(&b);
	}
}

/* A list is not merged into pieces longer than the device takes, and an entry that is longer already is refused. */
static void pieces_are_short_enough(void **state)
{
	const struct backend_def *def;
	struct device_attr da = { .name = "bus0", .max_seg_size = 8192 };
	static u8 want[32768], put[32768];
	struct scatterlist sgl[8];
	struct page *page;
	struct backend b;
	int i, n;

	(void)state;
	fill_pattern(want, sizeof(want), 1);
	fill_pattern(put, sizeof(put), 2);
	for (def = backend_defs; def->name; def++) {
		if (def->soft || def->platform == MACHINE_BOUNCE)
			continue;
		assert_int_equal(backend_open_attr(&b, def, NULL, &da), 0);
		page = backend_pages(&b, false, 3);
		cpu_put(page, 0, want, sizeof(want));
		sg_init_table(sgl, 8);
		for (i = 0; i < 8; i++)
			sg_set_page(&sgl[i], nth_page(page, (u64)i), 4096, 0);
		n = ib_dma_map_sg(b.ib, sgl, 8, DMA_BIDIRECTIONAL);
		assert_true(n >= 4);
		device_turn_list(&b, sgl, n, want, put, sizeof(want), DMA_BIDIRECTIONAL);
		ib_dma_unmap_sg(b.ib, sgl, 8, DMA_BIDIRECTIONAL);
		sg_set_page(&sgl[3], page, 8193, 0);
		assert_int_equal(ib_dma_map_sg(b.ib, sgl, 8, DMA_BIDIRECTIONAL), 0);
		if (def->ledger)
			backend_take(&b, HCA_MISUSE_LIST);
		assert_int_equal(backend_live(&b), 0);
		__free_pages(page, 3);
		backend_close(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(single_moves_bytes),
		T(page_moves_bytes),
		T(bvec_is_a_page),
		T(list_moves_bytes),
		T(list_with_high_memory_refused),
		T(long_list),
		T(sync_hands_bytes_over),
		T(sync_of_a_list),
		T(skipping_the_sync),
		T(coherent_memory),
		T(copy_between_all_kinds),
		T(what_devices_say),
		T(pieces_are_short_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
