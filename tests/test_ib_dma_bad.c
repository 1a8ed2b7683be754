/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What callers must not do, on every backend: each bad argument of each call is refused the same way by all of
 * them, with an error that is no address, and leaves nothing behind. What only a look at each entry of a list can
 * show is refused by those that look, and by the ledger elsewhere.
 */
#include "backends.h"
#include "no_leaks.h"
#include "platform/platform.h"

static struct machine *other;
static struct page *other_page;

static int make_other(void **state)
{
	struct machine_attr attr = { .name = "other", .low_bytes = LOW_BYTES };

	(void)state;
	if (machine_create(&attr, &other))
		return -1;
	other_page = machine_alloc_pages(other, GFP_KERNEL, 2);
	return other_page ? 0 : -1;
}

static int drop_other(void **state)
{
	(void)state;
	__free_pages(other_page, 2);
	return machine_destroy(other);
}

struct ground {
	struct backend b;
	struct page *low; /* 4 pages */
	struct page *high; /* 4 pages, or NULL */
	const struct machine_map *map;
	u8 *ptr; /* of low */
};

static void ground_open(struct ground *g, const struct backend_def *def)
{
	backend_start(&g->b, def);
	g->low = backend_pages(&g->b, false, 2);
	g->high = def->high ? backend_pages(&g->b, true, 2) : NULL;
	g->map = machine_map(g->b.m);
	g->ptr = page_address(g->low);
}

static void ground_close(struct ground *g)
{
	__free_pages(g->low, 2);
	__free_pages(g->high, 2);
	backend_close(&g->b);
}

/* --- single --- */

struct single_case {
	const char *name;
	void *ptr;
	size_t size;
	int dir;
	int want;
};

static void bad_single(void **state)
{
	static u8 in_data[64];
	const struct backend_def *def;
	u8 *heap = malloc(64);
	size_t i;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		struct ground g;

		ground_open(&g, def);
		{
			u8 *first = (u8 *)g.map->virt, *end = first + g.map->low_bytes;
			const size_t low = (size_t)g.map->low_bytes;
			const int across = def->high ? -EINVAL : -EFAULT;
			void *kmapped = g.high ? kmap_local_page(g.high) : in_data;
			const struct single_case t[] = {
				{ "NULL", NULL, 16, DMA_TO_DEVICE, -EFAULT },
				{ "NULL and no bytes", NULL, 0, DMA_TO_DEVICE, -EINVAL },
				{ "data segment", in_data, 16, DMA_TO_DEVICE, -EFAULT },
				{ "stack", &g, 16, DMA_TO_DEVICE, -EFAULT },
				{ "heap", heap, 16, DMA_TO_DEVICE, -EFAULT },
				{ "another machine", page_address(other_page), 16, DMA_TO_DEVICE, -EFAULT },
				{ "a struct page", g.low, 16, DMA_TO_DEVICE, -EFAULT },
				{ "a page mapped for a moment", kmapped, 16, DMA_TO_DEVICE, -EFAULT },
				{ "before low memory", first - 1, 1, DMA_TO_DEVICE, -EFAULT },
				{ "into low memory", first - 1, 2, DMA_TO_DEVICE, -EFAULT },
				{ "after low memory", end, 1, DMA_TO_DEVICE, -EFAULT },
				{ "the highest address", (void *)UINTPTR_MAX, 1, DMA_TO_DEVICE, -EFAULT },
				{ "an error pointer", (void *)(uintptr_t)-ENOMEM, 1, DMA_TO_DEVICE, -EFAULT },
				{ "no bytes", g.ptr, 0, DMA_TO_DEVICE, -EINVAL },
				{ "no bytes, no memory", heap, 0, DMA_TO_DEVICE, -EINVAL },
				{ "out of low memory", end - 1, 2, DMA_TO_DEVICE, across },
				{ "all and one more", first, low + 1, DMA_TO_DEVICE, across },
				{ "out of the arena", end - 1, (size_t)(g.map->all_bytes - low) + 2, DMA_TO_DEVICE,
				  -EFAULT },
				{ "most there is", g.ptr, SIZE_MAX, DMA_TO_DEVICE, -EFAULT },
				{ "wraps to itself", g.ptr, 0 - (size_t)1, DMA_TO_DEVICE, -EFAULT },
				{ "wraps to 0", g.ptr, 0 - (size_t)(uintptr_t)g.ptr, DMA_TO_DEVICE, -EFAULT },
				{ "wraps past 0", g.ptr, 0 - (size_t)(uintptr_t)g.ptr + 8, DMA_TO_DEVICE, -EFAULT },
				{ "wraps by sign", g.ptr, SIZE_MAX / 2 + 1, DMA_TO_DEVICE, -EFAULT },
				{ "direction none", g.ptr, 16, DMA_NONE, -EINVAL },
				{ "direction 4", g.ptr, 16, 4, -EINVAL },
				{ "direction -1", g.ptr, 16, -1, -EINVAL },
				{ "direction none, no memory", NULL, 16, DMA_NONE, -EINVAL },
			};

			for (i = 0; i < HCA_ARRAY_SIZE(t); i++) {
				dma_addr_t a = ib_dma_map_single(g.b.ib, t[i].ptr, t[i].size,
								 (enum dma_data_direction)t[i].dir);

				if (ib_dma_mapping_error(g.b.ib, a) != t[i].want || hca_dma_errno(a) != t[i].want)
					fail_msg("%s: %s: %d", def->name, t[i].name, hca_dma_errno(a));
				assert_false(hca_addr_tagged(a));
				a = ib_dma_map_single_attrs(g.b.ib, t[i].ptr, t[i].size,
							    (enum dma_data_direction)t[i].dir, DMA_ATTR_SKIP_CPU_SYNC);
				assert_int_equal(hca_dma_errno(a), t[i].want);
				backend_quiet(&g.b);
			}
			if (g.high)
				kunmap_local(kmapped);
		}
		assert_int_equal(backend_live(&g.b), 0);
		ground_close(&g);
	}
	free(heap);
}

/* --- page, bvec, and one entry of a list --- */

struct page_case {
	const char *name;
	struct page *page;
	unsigned long offset;
	size_t size;
	int dir;
	int want;
};

#define MAX_PAGE_CASES 40

static size_t page_cases(const struct ground *g, struct page_case *out)
{
	struct page *first = g->map->pages;
	struct page *last_low = first + (g->map->low_bytes >> PAGE_SHIFT) - 1;
	struct page *last = first + (g->map->all_bytes >> PAGE_SHIFT) - 1;
	const int across = g->b.def->high ? -EINVAL : -EFAULT;
	const size_t low = (size_t)g->map->low_bytes, all = (size_t)g->map->all_bytes;
	static struct page lone;
	const struct page_case t[] = {
		{ "NULL", NULL, 0, 16, DMA_TO_DEVICE, -EFAULT },
		{ "another machine's", other_page, 0, 16, DMA_TO_DEVICE, -EFAULT },
		{ "no page at all", &lone, 0, 16, DMA_TO_DEVICE, -EFAULT },
		{ "inside a struct page", (struct page *)((char *)g->low + 8), 0, 16, DMA_TO_DEVICE, -EFAULT },
		{ "before the first", first - 1, 0, 16, DMA_TO_DEVICE, -EFAULT },
		{ "after the last", last + 1, 0, 16, DMA_TO_DEVICE, -EFAULT },
		{ "memory of a page", (struct page *)g->ptr, 0, 16, DMA_TO_DEVICE, -EFAULT },
		{ "offset past low memory", g->low, LOW_BYTES, 16, DMA_TO_DEVICE, -EFAULT },
		{ "offset far past it", g->low, 0x7ffff000, 16, DMA_TO_DEVICE, -EFAULT },
		{ "offset -1", g->low, UINT_MAX, 16, DMA_TO_DEVICE, -EFAULT },
		{ "no bytes", g->low, 0, 0, DMA_TO_DEVICE, -EINVAL },
		{ "no bytes, no page", NULL, 0, 0, DMA_TO_DEVICE, -EINVAL },
		{ "out of low memory", last_low, 4095, 2, DMA_TO_DEVICE, across },
		{ "all of low memory and one more", first, 0, low + 1, DMA_TO_DEVICE, across },
		{ "out of the arena", last, 4095, 2, DMA_TO_DEVICE, -EFAULT },
		{ "out of the arena by much", last, 0, UINT_MAX, DMA_TO_DEVICE, -EFAULT },
		{ "more than all", first, 0, all + 1, DMA_TO_DEVICE, -EFAULT },
		{ "more than all, from the middle", first, 1, all, DMA_TO_DEVICE, -EFAULT },
		{ "4 GiB less a byte", g->low, 0, UINT_MAX, DMA_TO_DEVICE, -EFAULT },
		{ "half of that", g->low, 1, 1u << 31, DMA_TO_DEVICE, -EFAULT },
		{ "direction none", g->low, 0, 16, DMA_NONE, -EINVAL },
		{ "direction 4", g->low, 0, 16, 4, -EINVAL },
		{ "direction -1", g->low, 0, 16, -1, -EINVAL },
		{ "direction none, no page", NULL, 0, 16, DMA_NONE, -EINVAL },
		/* beyond what a bio_vec or an entry can hold */
		{ "most there is", g->low, 0, SIZE_MAX, DMA_TO_DEVICE, -EFAULT },
		{ "wraps", g->low, 100, SIZE_MAX - 50, DMA_TO_DEVICE, -EFAULT },
		{ "offset most there is", g->low, ULONG_MAX, 16, DMA_TO_DEVICE, -EFAULT },
		{ "offset wraps back", g->low, 0 - 4096ul, 16, DMA_TO_DEVICE, -EFAULT },
	};

	memcpy(out, t, sizeof(t));
	return HCA_ARRAY_SIZE(t);
}

static void refused(const struct ground *g, const struct page_case *t, const char *call, int err)
{
	if (err != t->want)
		fail_msg("%s: %s: %s: %d instead of %d", g->b.def->name, call, t->name, err, t->want);
}

static void bad_page(void **state)
{
	const struct backend_def *def;
	struct page_case t[MAX_PAGE_CASES];
	struct ground g;
	size_t i, n;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		ground_open(&g, def);
		n = page_cases(&g, t);
		for (i = 0; i < n; i++) {
			enum dma_data_direction dir = (enum dma_data_direction)t[i].dir;
			struct bio_vec bv = { t[i].page, (unsigned int)t[i].size, (unsigned int)t[i].offset };
			dma_addr_t a = ib_dma_map_page(g.b.ib, t[i].page, t[i].offset, t[i].size, dir);

			refused(&g, &t[i], "page", hca_dma_errno(a));
			assert_false(hca_addr_tagged(a));
			if (bv.bv_len == t[i].size && bv.bv_offset == t[i].offset)
				refused(&g, &t[i], "bvec", hca_dma_errno(ib_dma_map_bvec(g.b.ib, &bv, dir)));
			backend_quiet(&g.b);
		}
		assert_int_equal(backend_live(&g.b), 0);
		ground_close(&g);
	}
}

/* The bad entry comes first, in the middle, last; the others are good. */
static void bad_entry(void **state)
{
	const struct backend_def *def;
	struct page_case t[MAX_PAGE_CASES];
	struct ground g;
	size_t i, n;
	int at, j;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		ground_open(&g, def);
		n = page_cases(&g, t);
		for (i = 0; i < n; i++)
			for (at = 0; at < 5; at++) {
				enum dma_data_direction dir = (enum dma_data_direction)t[i].dir;
				bool told = t[i].dir == DMA_TO_DEVICE;
				struct scatterlist sgl[5], before[5];
				struct sg_table sgt = { .sgl = sgl, .orig_nents = 5, .nents = 55 };
				const struct hca_misuse_report *r;
				int ret;

				/* Not to be told from a link, or not to be put there at all. */
				if ((unsigned int)t[i].size != t[i].size || (unsigned int)t[i].offset != t[i].offset)
					continue;
				sg_init_table(sgl, 5);
				for (j = 0; j < 5; j++)
					sg_set_page(&sgl[j], g.low, 100, 100u * (unsigned int)j);
				sg_set_page(&sgl[at], t[i].page, (unsigned int)t[i].size, (unsigned int)t[i].offset);
				memcpy(before, sgl, sizeof(sgl));
				ret = ib_dma_map_sgtable_attrs(g.b.ib, &sgt, dir, 0);
				if (told && !backend_walks(def)) {
					/* Nobody looked. The entry's address is still no address where there is no such memory. */
					assert_int_equal(ret, 0);
					assert_int_equal(sgt.nents, 5);
					if (t[i].want == -EFAULT && t[i].offset < 4096 && t[i].size == 16 &&
					    !((uintptr_t)t[i].page % sizeof(struct page)))
						assert_int_equal(hca_dma_errno(ib_sg_dma_address(g.b.ib, &sgl[at])),
								 -EFAULT);
					ib_dma_unmap_sgtable_attrs(g.b.ib, &sgt, dir, 0);
					assert_memory_equal(before, sgl, sizeof(sgl));
					continue;
				}
				refused(&g, &t[i], "list", ret);
				assert_int_equal(sgt.nents, 55);
				if (told && def->ledger) {
					r = backend_take(&g.b, HCA_MISUSE_LIST);
					assert_int_equal(hca_dma_u64(r->addr), at);
					assert_int_equal(r->size, 5);
				}
				assert_int_equal(ib_dma_map_sg(g.b.ib, sgl, 5, dir), 0);
				if (told && def->ledger)
					backend_take(&g.b, HCA_MISUSE_LIST);
				backend_quiet(&g.b);
				assert_int_equal(backend_live(&g.b), 0);
			}
		ground_close(&g);
	}
}

static void bad_list(void **state)
{
	const struct backend_def *def;
	struct scatterlist sgl[4], chain[2];
	struct sg_table sgt = { 0 };
	struct ground g;
	int i, nents;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		struct ib_device *ib;

		ground_open(&g, def);
		ib = g.b.ib;
		sg_init_table(sgl, 4);
		for (i = 0; i < 4; i++)
			sg_set_page(&sgl[i], g.low, 100, 100u * (unsigned int)i);
		/* What needs no look at the list is refused by everybody. */
		assert_int_equal(ib_dma_map_sg(ib, NULL, 4, DMA_TO_DEVICE), 0);
		assert_int_equal(ib_dma_map_sg(ib, sgl, 0, DMA_TO_DEVICE), 0);
		assert_int_equal(ib_dma_map_sg(ib, sgl, -1, DMA_TO_DEVICE), 0);
		assert_int_equal(ib_dma_map_sg(ib, sgl, INT_MIN, DMA_TO_DEVICE), 0);
		assert_int_equal(ib_dma_map_sg(ib, sgl, 4, DMA_NONE), 0);
		assert_int_equal(ib_dma_map_sg(ib, sgl, 4, (enum dma_data_direction)77), 0);
		sgt.nents = 9;
		assert_int_equal(ib_dma_map_sgtable_attrs(ib, &sgt, DMA_TO_DEVICE, 0), -EINVAL);
		sgt.sgl = sgl;
		assert_int_equal(ib_dma_map_sgtable_attrs(ib, &sgt, DMA_TO_DEVICE, 0), -EINVAL);
		sgt.orig_nents = UINT_MAX;
		assert_int_equal(ib_dma_map_sgtable_attrs(ib, &sgt, DMA_TO_DEVICE, 0), -EINVAL);
		assert_int_equal(sgt.nents, 9);
		memset(&sgt, 0, sizeof(sgt));
		backend_quiet(&g.b);
		/* More entries than there are: across a chain, too. */
		for (nents = 5; nents < 8; nents++) {
			i = ib_dma_map_sg(ib, sgl, nents, DMA_TO_DEVICE);
			assert_int_equal(i, backend_walks(def) ? 0 : nents);
			if (def->ledger)
				assert_int_equal(hca_dma_u64(backend_take(&g.b, HCA_MISUSE_LIST)->addr), 4);
			assert_int_equal(backend_live(&g.b), 0);
		}
		sg_init_table(chain, 2);
		sg_set_page(&chain[0], g.low, 10, 0);
		sg_set_page(&chain[1], g.low, 10, 0);
		sg_unmark_end(&sgl[3]);
		sg_chain(sgl, 4, chain);
		i = ib_dma_map_sg(ib, sgl, 6, DMA_TO_DEVICE);
		assert_int_equal(i, backend_walks(def) ? 0 : 6);
		if (def->ledger)
			assert_int_equal(hca_dma_u64(backend_take(&g.b, HCA_MISUSE_LIST)->addr), 5);
		i = ib_dma_map_sg(ib, sgl, 5, DMA_TO_DEVICE);
		assert_true(i > 0);
		ib_dma_unmap_sg(ib, sgl, 5, DMA_TO_DEVICE);
		assert_int_equal(backend_live(&g.b), 0);
		ground_close(&g);
	}
}

/* --- every way through a list --- */

static u32 seed;

static u32 upto(u32 n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

/* Mostly good; now and then at an edge, over one, or nonsense. */
static void any_entry(const struct machine_map *map, struct scatterlist *sg)
{
	const u32 low = (u32)(map->low_bytes >> PAGE_SHIFT), all = (u32)(map->all_bytes >> PAGE_SHIFT);
	static const u32 len[] = { 1, 4096, 65535, 65536, 65537, 69632, 69633, 131072, 0, UINT32_MAX };
	struct page *page = map->pages + upto(low - 40);

	switch (upto(12)) {
	case 0:
		page = map->pages + low - 1 - upto(40);
		break;
	case 1:
		if (!upto(6))
			page = map->pages + low + upto(all - low + 2) - 1;
		break;
	case 2:
		if (!upto(6))
			page = (struct page *)((char *)page + 4 * upto(8));
		break;
	}
	sg_set_page(sg, page, upto(8) ? 1 + upto(9000) : len[upto(upto(4) ? 8 : 10)],
		    upto(16) ? upto(4096) : 4090 + upto(upto(4) ? 6 : 12));
}

/*
 * A device that must look at lists looks at most of them faster than entry by entry. Whatever they are like, its
 * verdict is that of the plain walk, and it doesn't read past their end: each chunk is memory of its own.
 */
static void each_look_comes_to_the_same(void **state)
{
	const struct backend_def *def;
	struct scatterlist *chunk[32];
	struct backend b;
	int round, good = 0;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		if (!def->refuse || def->ledger)
			continue;
		backend_start(&b, def);
		for (round = 0; round < 30000; round++) {
			u32 n = 1 + upto(upto(4) ? 6 : 24), left = n, chunks = 0, size = 0, i;
			struct sg_table sgt = { .orig_nents = n + !upto(20) - !upto(20) };
			int want, got;

			seed += (u32)round;
			while (left) {
				u32 in = upto(3) ? left : 1 + upto(left), more = in < left;
				struct scatterlist *c = malloc((in + more) * sizeof(*c));

				assert_non_null(c);
				sg_init_table(c, in + more);
				for (i = 0; i < in; i++)
					any_entry(machine_map(b.m), &c[i]);
				if (chunks)
					sg_chain(chunk[chunks - 1], size, c);
				chunk[chunks++] = c;
				size = in + more;
				left -= in;
			}
			sgt.sgl = chunk[0];
			want = list_check(b.m, sgt.sgl, (int)sgt.orig_nents, DMA_TO_DEVICE, 0, true, NULL);
			got = ib_dma_map_sgtable_attrs(b.ib, &sgt, DMA_TO_DEVICE, 0);
			if (!backend_walks(def))
				want = (int)sgt.orig_nents > 0 ? 0 : -EINVAL;
			if (got != want)
				fail_msg("%s: round %d: %d instead of %d", def->name, round, got, want);
			for (i = 0; i < chunks; i++)
				free(chunk[i]);
			good += !want;
		}
		backend_close(&b);
	}
	assert_true(good > 100);
}

/* --- unmaps and syncs of nothing --- */

/* A mapping in the neighbourhood lives through all of it. */
static void bad_unmap(void **state)
{
	const struct backend_def *def;
	struct ground g;
	size_t i;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		struct scatterlist sgl[2], never[2];
		u8 byte = 0x5a, got = 0;
		dma_addr_t live;
		struct ib_device *ib;

		ground_open(&g, def);
		ib = g.b.ib;
		live = ib_dma_map_single(ib, g.ptr + 4096, 4096, DMA_BIDIRECTIONAL);
		assert_int_equal(ib_dma_mapping_error(ib, live), 0);
		assert_int_equal(ib_dma_write(ib, live, &byte, 1), 0);
		{
			const struct {
				dma_addr_t addr;
				size_t size;
				int dir;
			} t[] = {
				{ hca_dma_addr(0), 16, DMA_TO_DEVICE },
				{ hca_dma_error(-ENOMEM), 16, DMA_TO_DEVICE },
				{ hca_dma_addr(~0ull), 16, DMA_TO_DEVICE },
				{ hca_dma_addr(~0ull), SIZE_MAX, -1 },
				{ live + 1, 16, DMA_BIDIRECTIONAL },
				{ live + 4095, 1, DMA_BIDIRECTIONAL },
				{ live + 4096, 4096, DMA_BIDIRECTIONAL },
				{ live - 4096, 4096, DMA_BIDIRECTIONAL },
				{ live - 1, 2, DMA_BIDIRECTIONAL },
				{ hca_dma_addr(hca_dma_u64(live) ^ 1ull << 63), 4096, DMA_BIDIRECTIONAL },
				{ hca_dma_addr(hca_dma_u64(live) ^ 1ull << 52), 4096, DMA_BIDIRECTIONAL },
				{ hca_dma_addr((u32)hca_dma_u64(live) - 1), 4096, DMA_BIDIRECTIONAL },
				{ hca_tag_addr(0), 16, DMA_TO_DEVICE },
				{ hca_tag_addr(g.map->phys), 4096, DMA_TO_DEVICE },
			};

			for (i = 0; i < HCA_ARRAY_SIZE(t); i++) {
				enum dma_data_direction dir = (enum dma_data_direction)t[i].dir;

				/* An I/O page table knows pages alone: this is where the live one begins. */
				if (t[i].addr >> PAGE_SHIFT == live >> PAGE_SHIFT && !def->ledger &&
				    def->platform == MACHINE_IOMMU)
					continue;
				ib_dma_unmap_single(ib, t[i].addr, t[i].size, dir);
				backend_take(&g.b, HCA_MISUSE_UNMAP_UNKNOWN);
				ib_dma_unmap_page(ib, t[i].addr, t[i].size, dir);
				backend_take(&g.b, HCA_MISUSE_UNMAP_UNKNOWN);
				ib_dma_unmap_single_attrs(ib, t[i].addr, t[i].size, dir, DMA_ATTR_SKIP_CPU_SYNC);
				backend_take(&g.b, HCA_MISUSE_UNMAP_UNKNOWN);
				assert_int_equal(ib_dma_read(ib, live, &got, 1), 0);
				assert_int_equal(got, byte);
			}
		}
		/* lists */
		sg_init_table(never, 2);
		ib_dma_unmap_sg(ib, never, 2, DMA_TO_DEVICE); /* without pages */
		backend_take(&g.b, HCA_MISUSE_UNMAP_UNKNOWN);
		sg_set_page(&never[0], g.low, 100, 0);
		sg_set_page(&never[1], g.low, 100, 0);
		ib_dma_unmap_sg(ib, never, 2, DMA_TO_DEVICE);
		backend_take(&g.b, HCA_MISUSE_UNMAP_UNKNOWN);
		ib_dma_unmap_sg(ib, NULL, 2, DMA_TO_DEVICE);
		backend_take(&g.b, HCA_MISUSE_UNMAP_UNKNOWN);
		ib_dma_unmap_sg(ib, never, 0, DMA_TO_DEVICE);
		backend_take(&g.b, HCA_MISUSE_UNMAP_UNKNOWN);
		ib_dma_unmap_sg(ib, never, -7, DMA_NONE);
		backend_take(&g.b, HCA_MISUSE_UNMAP_UNKNOWN);
		/* more entries than the list has, of a list that is mapped: no walk past its end */
		sg_init_table(sgl, 2);
		sg_set_page(&sgl[0], g.low, 100, 0);
		sg_set_page(&sgl[1], g.low, 100, 2000);
		assert_true(ib_dma_map_sg(ib, sgl, 2, DMA_TO_DEVICE) > 0);
		ib_dma_unmap_sg(ib, sgl, 1000, DMA_TO_DEVICE);
		backend_take(&g.b, HCA_MISUSE_UNMAP_SIZE);
		assert_int_equal(ib_dma_read(ib, live, &got, 1), 0);
		assert_int_equal(got, byte);
		ib_dma_unmap_single(ib, live, 4096, DMA_BIDIRECTIONAL);
		assert_int_equal(backend_live(&g.b), 0);
		assert_int_equal(g.ptr[4096], byte);
		ground_close(&g);
	}
}

static void bad_sync(void **state)
{
	const struct backend_def *def;
	struct ground g;
	size_t i;
	int cpu;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		struct scatterlist never[3];
		struct ib_device *ib;
		dma_addr_t live;

		ground_open(&g, def);
		ib = g.b.ib;
		live = ib_dma_map_single(ib, g.ptr + 4096, 4096, DMA_BIDIRECTIONAL);
		assert_int_equal(ib_dma_mapping_error(ib, live), 0);
		for (cpu = 0; cpu < 2; cpu++) {
			const struct {
				dma_addr_t addr;
				size_t size;
				int dir;
				enum hca_misuse what;
			} t[] = {
				{ hca_dma_addr(0), 16, DMA_TO_DEVICE, HCA_MISUSE_SYNC_OUTSIDE },
				{ hca_dma_error(-EIO), 16, DMA_TO_DEVICE, HCA_MISUSE_SYNC_OUTSIDE },
				{ live - 1, 2, DMA_TO_DEVICE, HCA_MISUSE_SYNC_OUTSIDE },
				{ live, 4097, DMA_TO_DEVICE, HCA_MISUSE_SYNC_OUTSIDE },
				{ live + 4095, 2, DMA_TO_DEVICE, HCA_MISUSE_SYNC_OUTSIDE },
				{ live + 4096, 1, DMA_TO_DEVICE, HCA_MISUSE_SYNC_OUTSIDE },
				{ live + 10, SIZE_MAX, DMA_TO_DEVICE, HCA_MISUSE_SYNC_OUTSIDE },
				{ live + 10, SIZE_MAX - 5, DMA_TO_DEVICE, HCA_MISUSE_SYNC_OUTSIDE },
				{ live, 16, DMA_NONE, HCA_MISUSE_SYNC_DIR },
				{ live, 16, -1, HCA_MISUSE_SYNC_DIR },
				{ live, 16, 99, HCA_MISUSE_SYNC_DIR },
			};

			for (i = 0; i < HCA_ARRAY_SIZE(t); i++) {
				if (cpu)
					ib_dma_sync_single_for_cpu(ib, t[i].addr, t[i].size,
								   (enum dma_data_direction)t[i].dir);
				else
					ib_dma_sync_single_for_device(ib, t[i].addr, t[i].size,
								      (enum dma_data_direction)t[i].dir);
				backend_take(&g.b, t[i].what);
			}
			/* a list that was never mapped: one call, one report, however long it is */
			sg_init_table(never, 3);
			for (i = 0; i < 3; i++)
				sg_set_page(&never[i], g.low, 100, 200 * (unsigned int)i);
			if (cpu)
				ib_dma_sync_sg_for_cpu(ib, never, 3, DMA_TO_DEVICE);
			else
				ib_dma_sync_sg_for_device(ib, never, 3, DMA_TO_DEVICE);
			backend_take(&g.b, HCA_MISUSE_SYNC_OUTSIDE);
			if (cpu)
				ib_dma_sync_sg_for_cpu(ib, NULL, 3, DMA_TO_DEVICE);
			else
				ib_dma_sync_sg_for_device(ib, NULL, 3, DMA_TO_DEVICE);
			backend_take(&g.b, HCA_MISUSE_SYNC_OUTSIDE);
			ib_dma_sync_sg_for_cpu(ib, never, 0, DMA_TO_DEVICE);
			ib_dma_sync_sg_for_cpu(ib, never, -1, DMA_TO_DEVICE);
			backend_quiet(&g.b);
			/* and one that is, in a direction that it isn't mapped for */
			assert_true(ib_dma_map_sg(ib, never, 3, DMA_TO_DEVICE) > 0);
			ib_dma_sync_sg_for_cpu(ib, never, 3, DMA_FROM_DEVICE);
			backend_take(&g.b, HCA_MISUSE_SYNC_DIR);
			ib_dma_sync_sg_for_cpu(ib, never, 1000, DMA_TO_DEVICE);
			ib_dma_unmap_sg(ib, never, 3, DMA_TO_DEVICE);
			backend_quiet(&g.b);
		}
		ib_dma_unmap_single(ib, live, 4096, DMA_BIDIRECTIONAL);
		ground_close(&g);
	}
}

/* --- the device sent astray --- */

static void bad_use(void **state)
{
	const struct backend_def *def;
	struct ground g;
	unsigned int bit;
	size_t i;
	int high;

	(void)state;
	for (def = backend_defs; def->name; def++)
		for (high = 0; high <= (def->high && !def->refuse); high++) {
			struct ib_device *ib;
			u8 buf[32] = { 0 };
			dma_addr_t live;

			ground_open(&g, def);
			ib = g.b.ib;
			live = ib_dma_map_page(ib, high ? g.high : g.low, 0, 4096, DMA_BIDIRECTIONAL);
			assert_int_equal(ib_dma_mapping_error(ib, live), 0);
			/* The tag is in the 12 top bits; whatever an address is made of, none of them may be wrong. */
			for (bit = 52; bit < 64; bit++) {
				dma_addr_t bad = hca_dma_addr(hca_dma_u64(live) ^ 1ull << bit);

				assert_int_equal(ib_dma_read(ib, bad, buf, 16), -EFAULT);
				backend_take(&g.b, HCA_MISUSE_USE_UNMAPPED);
				assert_int_equal(ib_dma_write(ib, bad, buf, 16), -EFAULT);
				backend_take(&g.b, HCA_MISUSE_USE_UNMAPPED);
				assert_int_equal(ib_dma_copy(ib, bad, ib, live, 16), -EFAULT);
				backend_take(&g.b, HCA_MISUSE_USE_UNMAPPED);
			}
			{
				const dma_addr_t bad[] = {
					hca_dma_addr(0),
					hca_dma_addr(~0ull),
					hca_dma_error(-EFAULT),
					hca_dma_error(-ENOMEM),
					hca_addr_from_ptr(buf),
					hca_tag_addr(0),
					hca_tag_addr(HCA_TAG_PHYS_MASK),
					hca_dma_addr((u64)-4096),
					hca_dma_addr((u32)hca_dma_u64(hca_tag_addr(g.map->phys))),
				};

				for (i = 0; i < HCA_ARRAY_SIZE(bad); i++) {
					/* Where both have 32 bits, a pointer may be some bus address as well. */
					if (def->platform == MACHINE_BOUNCE && bad[i] <= UINT32_MAX &&
					    sizeof(void *) < 8)
						continue;
					assert_int_equal(ib_dma_read(ib, bad[i], buf, 16), -EFAULT);
					backend_take(&g.b, HCA_MISUSE_USE_UNMAPPED);
					assert_int_equal(ib_dma_write(ib, bad[i], buf, 16), -EFAULT);
					backend_take(&g.b, HCA_MISUSE_USE_UNMAPPED);
				}
			}
			/* lengths that wrap, from an address that is good */
			assert_int_equal(ib_dma_copy(ib, live, ib, live, SIZE_MAX), -EFAULT);
			assert_int_equal(backend_take_any(&g.b), def->ledger ? 2 : 0);
			/* no bytes, no access */
			assert_int_equal(ib_dma_read(ib, hca_dma_addr(0), NULL, 0), 0);
			backend_quiet(&g.b);
			ib_dma_unmap_page(ib, live, 4096, DMA_BIDIRECTIONAL);
			ground_close(&g);
		}
}

/* --- coherent memory --- */

static void bad_coherent(void **state)
{
	const struct backend_def *def;
	struct ground g;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		dma_addr_t addr = hca_dma_addr(0x1234), addr2 = addr;
		u64 free, left;
		struct ib_device *ib;
		u8 *cpu, *cpu2, got;

		ground_open(&g, def);
		ib = g.b.ib;
		free = machine_free_pages(g.b.m);
		assert_null(ib_dma_alloc_coherent(ib, 0, &addr, GFP_KERNEL));
		assert_null(ib_dma_alloc_coherent(ib, 16, NULL, GFP_KERNEL));
		assert_null(ib_dma_alloc_coherent(ib, SIZE_MAX, &addr, GFP_KERNEL));
		assert_null(ib_dma_alloc_coherent(ib, SIZE_MAX - 4095, &addr, GFP_KERNEL));
		assert_null(ib_dma_alloc_coherent(ib, SIZE_MAX / 2 + 1, &addr, GFP_KERNEL));
		assert_null(ib_dma_alloc_coherent(ib, (1u << 30) + 1, &addr, GFP_KERNEL));
		assert_null(ib_dma_alloc_coherent(ib, 1u << 30, &addr, GFP_KERNEL));
		assert_true(addr == hca_dma_addr(0x1234)); /* set on success alone */
		assert_int_equal(machine_free_pages(g.b.m), free);
		assert_int_equal(backend_live(&g.b), 0);
		cpu = ib_dma_alloc_coherent(ib, 8192, &addr, GFP_KERNEL | __GFP_HIGHMEM);
		cpu2 = ib_dma_alloc_coherent(ib, 8192, &addr2, GFP_KERNEL);
		assert_non_null(cpu);
		assert_non_null(cpu2);
		backend_quiet(&g.b);
		/* Free of something else: nothing is freed, by anybody. */
		left = machine_free_pages(g.b.m);
		ib_dma_free_coherent(ib, 8192, NULL, addr);
		backend_quiet(&g.b);
		ib_dma_free_coherent(ib, 8192, &got, addr);
		backend_take(&g.b, HCA_MISUSE_UNMAP_UNKNOWN);
		ib_dma_free_coherent(ib, 8192, cpu2, addr);
		backend_take(&g.b, HCA_MISUSE_UNMAP_UNKNOWN);
		ib_dma_free_coherent(ib, 8192, cpu, addr2 + 1);
		backend_take(&g.b, HCA_MISUSE_UNMAP_UNKNOWN);
		ib_dma_free_coherent(ib, 8192, g.ptr, hca_dma_error(-EIO));
		backend_take(&g.b, HCA_MISUSE_UNMAP_UNKNOWN);
		assert_int_equal(machine_free_pages(g.b.m), left);
		cpu[0] = 0x11;
		cpu2[0] = 0x22;
		assert_int_equal(ib_dma_read(ib, addr, &got, 1), 0);
		assert_int_equal(got, 0x11);
		assert_int_equal(ib_dma_read(ib, addr2, &got, 1), 0);
		assert_int_equal(got, 0x22);
		ib_dma_free_coherent(ib, 8192, cpu, addr);
		ib_dma_free_coherent(ib, 8192, cpu2, addr2);
		backend_quiet(&g.b);
		assert_int_equal(machine_free_pages(g.b.m), free);
		/* twice: with a ledger it's known; without, whoever owns the memory knows */
		ib_dma_free_coherent(ib, 8192, cpu, addr);
		backend_take(&g.b, HCA_MISUSE_DOUBLE_UNMAP);
		assert_int_equal(machine_free_pages(g.b.m), free);
		ground_close(&g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(bad_single), T(bad_page), T(bad_entry), T(bad_list),	   T(each_look_comes_to_the_same),
		T(bad_unmap),  T(bad_sync), T(bad_use),	  T(bad_coherent),
	};

	return cmocka_run_group_tests(tests, make_other, drop_other);
}
