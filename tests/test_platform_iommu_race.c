/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The software IOMMU under seeded schedules: threads that map, unmap and reach for the same things, one at a time and
 * changing over at every os call. Each of these tests fails when a barrier, a wait or a check of the code is left out.
 */
#include "test_platform_iommu.h"
#include "platform/iommu_tlb.h"

struct race {
	struct device *dev;
	dma_addr_t addr;
	dma_addr_t rival; /* shares its entry of the IOTLB */
	u32 gone; /* the unmap has returned */
	u32 ended; /* unmaps that succeeded */
	u32 looks, reached;
	int tries;
};

static void race_reader(void *arg)
{
	struct race *r = arg;
	const struct platform_ops *ops = r->dev->machine->ops;
	struct hca_mem_view w;
	int i;

	for (i = 0; i < r->tries; i++) {
		u32 gone = hca_load(&r->gone);
		int err = ops->open(r->dev, r->addr, 1, HCA_MEM_READ, &w);

		hca_fetch_add(&r->looks, 1);
		if (err)
			continue;
		hca_fetch_add(&r->reached, 1);
		if (gone)
			hca_bug("found it after the unmap", __FILE__, __LINE__);
		hca_pause();
		if (hca_load(&r->gone))
			hca_bug("still has it after the unmap", __FILE__, __LINE__);
		ops->close(r->dev, &w);
	}
}

/* Evicts the page's entry from the IOTLB now and then. */
static void race_evictor(void *arg)
{
	struct race *r = arg;
	const struct platform_ops *ops = r->dev->machine->ops;
	struct hca_mem_view w;
	int i;

	for (i = 0; i < 2; i++)
		if (!ops->open(r->dev, r->rival, 1, HCA_MEM_READ, &w))
			ops->close(r->dev, &w);
}

static void race_unmapper(void *arg)
{
	struct race *r = arg;

	if (r->dev->machine->ops->unmap_one(r->dev, r->addr, 1, DMA_BIDIRECTIONAL, 0))
		return;
	hca_store(&r->gone, 1);
	hca_fetch_add(&r->ended, 1);
}

/* The page of one of these mappings of 512 pages whose entry in the IOTLB is @addr's, too. */
static dma_addr_t rival_of(dma_addr_t addr, const dma_addr_t at[2])
{
	dma_addr_t a;
	int i;

	for (i = 0; i < 2; i++)
		for (a = at[i]; a < at[i] + 512 * PAGE_SIZE; a += PAGE_SIZE)
			if (!((a ^ addr) / PAGE_SIZE % 1024))
				return a;
	fail();
	return addr;
}

static void unmap_outwaits_the_device(void **state)
{
	void (*const fns[])(void *) = { race_reader, race_unmapper, race_reader, race_evictor, race_unmapper };
	static const u64 sizes[] = { PAGE_SIZE, 70 * PAGE_SIZE, HUGE_SIZE }; /* forgotten one by one; flushed; a leaf */
	u64 seed, reached = 0, looks = 0;
	size_t i;
	struct race r = { 0 };
	dma_addr_t rivals[2];

	(void)state;
	r.dev = make(false, 0);
	for (i = 0; i < HCA_ARRAY_SIZE(sizes); i++) {
		for (seed = 1; seed < 400; seed++) {
			void *args[] = { &r, &r, &r, &r, &r };

			r.addr = map(r.dev, 0, sizes[i], DMA_BIDIRECTIONAL);
			rivals[0] = map(r.dev, 1 * MIB, 512 * PAGE_SIZE, DMA_BIDIRECTIONAL);
			rivals[1] = map(r.dev, 1 * MIB, 512 * PAGE_SIZE, DMA_BIDIRECTIONAL);
			r.rival = rival_of(r.addr, rivals);
			r.tries = i == 1 ? 30 : 4;
			r.gone = r.ended = r.looks = r.reached = 0;
			assert_int_equal(test_run_threads(seed, 5, fns, args, NULL), 0);
			assert_int_equal(r.ended, 1);
			reached += r.reached;
			looks += r.looks;
			unmap(r.dev, rivals[0]);
			unmap(r.dev, rivals[1]);
		}
	}
	assert_true(reached && reached < looks);
	assert_int_equal(stats_of(r.dev).iova_pages, 0);
	unmake(r.dev);
}

/* The same addresses, over and over, by threads that each see only their own memory behind theirs. */
static void race_mapper(void *arg)
{
	struct race *r = arg;
	const struct platform_ops *ops = r->dev->machine->ops;
	u64 off = (u64)(1 + hca_slot()) * 16 * PAGE_SIZE;
	struct hca_mem_view w;
	int i;

	for (i = 0; i < 3; i++) {
		u64 size = i == 1 ? 3 * PAGE_SIZE : PAGE_SIZE;
		hca_dma_addr_t a = ops->map_one(r->dev, off, size, DMA_BIDIRECTIONAL, 0);

		if (hca_dma_errno(a) || ops->open(r->dev, a, size, HCA_MEM_READ, &w))
			hca_bug("not mapped", __FILE__, __LINE__);
		if (w.ptr != machine_bus_ptr(r->dev->machine, off) || w.len != size)
			hca_bug("not mine", __FILE__, __LINE__);
		ops->close(r->dev, &w);
		if (ops->unmap_one(r->dev, a, size, DMA_BIDIRECTIONAL, 0))
			hca_bug("not unmapped", __FILE__, __LINE__);
		ops->flush(r->dev);
	}
}

static void mappers_do_not_meet(void **state)
{
	void (*const fns[])(void *) = { race_mapper, race_mapper, race_mapper };
	u64 seed;

	(void)state;
	for (seed = 1; seed < 150; seed++) {
		/* A new device each time: its first tables are made by all at once; and one chunk of addresses for all. */
		struct race r = { .dev = make(seed & 1, seed & 2 ? HUGE_SIZE : 0) };
		void *args[] = { &r, &r, &r };

		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		device_flush(r.dev);
		assert_int_equal(stats_of(r.dev).iova_pages, 0);
		unmake(r.dev);
	}
}

/* --- an access that found no cell to announce itself in --- */

static void race_crowd(void *arg)
{
	struct race *r = arg;
	const struct platform_ops *ops = r->dev->machine->ops;
	static struct hca_mem_view w[HCA_SLOTS * 4 + 1];
	size_t i, n = 0;

	for (i = 0; i < HCA_ARRAY_SIZE(w); i++)
		n += !ops->open(r->dev, r->addr, 1, HCA_MEM_READ, &w[i]);
	if (n < HCA_ARRAY_SIZE(w))
		hca_bug("not mapped", __FILE__, __LINE__);
	hca_store(&r->reached, 1);
	for (i = 0; i < n - 1; i++)
		ops->close(r->dev, &w[i]);
	for (i = 0; i < 200; i++)
		hca_pause();
	if (hca_load(&r->gone))
		hca_bug("still has it after the unmap", __FILE__, __LINE__);
	ops->close(r->dev, &w[n - 1]);
}

static void race_late_unmapper(void *arg)
{
	struct race *r = arg;

	while (!hca_load(&r->reached))
		hca_pause();
	race_unmapper(arg);
}

static void unmap_outwaits_a_crowd(void **state)
{
	void (*const fns[])(void *) = { race_crowd, race_late_unmapper };
	u64 seed;

	(void)state;
	for (seed = 1; seed < 8; seed++) {
		struct race r = { .dev = make(false, 0) };
		void *args[] = { &r, &r };

		r.addr = map(r.dev, 0, 1, DMA_BIDIRECTIONAL);
		assert_int_equal(test_run_threads(seed, 2, fns, args, NULL), 0);
		assert_int_equal(r.ended, 1);
		unmake(r.dev);
	}
}

/* --- an unmap of an address that is just being mapped --- */

static void race_lazy_unmapper(void *arg)
{
	struct race *r = arg;
	dma_addr_t a;
	int i;

	for (i = 0; i < 4; i++) {
		a = platform_map(r->dev, 0, 1, DMA_BIDIRECTIONAL, 0);
		if (hca_dma_errno(a) || platform_unmap(r->dev, a, 1, DMA_BIDIRECTIONAL, 0))
			hca_bug("no mapping", __FILE__, __LINE__);
	}
}

static void race_clock(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 6; i++)
		test_clock_advance(5000000);
}

/* However the flush timer's callback meets unmaps: none is left behind without a timer. */
static void lazy_unmaps_all_end(void **state)
{
	void (*const fns[])(void *) = { race_lazy_unmapper, race_lazy_unmapper, race_clock };
	u64 seed;

	(void)state;
	for (seed = 1; seed < 300; seed++) {
		struct race r = { .dev = make(true, 0) };
		void *args[] = { &r, &r, &r };

		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		test_clock_advance(10000000);
		assert_int_equal(stats_of(r.dev).lazy_pending, 0);
		unmake(r.dev);
	}
}

static void race_guesser(void *arg)
{
	struct race *r = arg;
	int i;

	for (i = 0; i < 60; i++)
		if (!r->dev->machine->ops->unmap_one(r->dev, r->addr, 1, DMA_BIDIRECTIONAL, 0))
			hca_fetch_add(&r->ended, 1);
}

static void race_multi_mapper(void *arg)
{
	struct race *r = arg;
	const struct platform_ops *ops = r->dev->machine->ops;
	int i;

	for (i = 0; i < 3; i++) {
		hca_dma_addr_t a = ops->map_one(r->dev, 0, 4 * PAGE_SIZE, DMA_BIDIRECTIONAL, 0);

		if (hca_dma_errno(a))
			hca_bug("not mapped", __FILE__, __LINE__);
		if (!ops->unmap_one(r->dev, a, 1, DMA_BIDIRECTIONAL, 0))
			hca_fetch_add(&r->ended, 1);
	}
}

static void mapping_appears_whole(void **state)
{
	void (*const fns[])(void *) = { race_multi_mapper, race_guesser, race_guesser };
	u64 seed;

	(void)state;
	for (seed = 1; seed < 150; seed++) {
		struct race r = { .dev = make(seed & 1, 0) };
		void *args[] = { &r, &r, &r };

		r.addr = map(r.dev, 0, 4 * PAGE_SIZE, DMA_BIDIRECTIONAL);
		unmap(r.dev, r.addr);
		device_flush(r.dev);
		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		/* Whoever guessed right ended the mapping, and it was ended once. */
		assert_int_equal(r.ended, 3);
		device_flush(r.dev);
		assert_int_equal(stats_of(r.dev).iova_pages, 0);
		unmake(r.dev);
	}
}

/* --- the IOTLB by itself: two pages that share an entry, and a table that changes --- */

struct past {
	struct iommu_tlb *tlb;
	u64 entry[2] HCA_ALIGNED(8); /* the table */
	u64 floor[2] HCA_ALIGNED(8); /* no less may be seen: what was before has been flushed */
	u32 hits;
};

static u64 past_vpn(int page)
{
	return 5 + (u64)page * 1024;
}

static void past_look(struct past *p, int page)
{
	u64 floor = hca_load_acquire(&p->floor[page]), gen = iommu_tlb_gen(p->tlb), pte;
	u32 unit;

	pte = iommu_tlb_lookup(p->tlb, past_vpn(page), gen, &unit);
	if (!pte) {
		pte = hca_load_acquire(&p->entry[page]);
		iommu_tlb_fill(p->tlb, past_vpn(page), pte, 1, gen);
		return;
	}
	hca_fetch_add(&p->hits, 1);
	if ((pte >> 20) != (u64)page + 1)
		hca_bug("the other page's", __FILE__, __LINE__);
	if (pte < floor)
		hca_bug("what was flushed", __FILE__, __LINE__);
}

static void past_reader(void *arg)
{
	int i;

	for (i = 0; i < 12; i++)
		past_look(arg, (int)(hca_random_u32() & 1));
}

static void past_writer(void *arg)
{
	struct past *p = arg;
	int i, page;

	for (i = 0; i < 4; i++) {
		page = i & 1;
		hca_store_release(&p->entry[page], p->entry[page] + 1);
		iommu_tlb_flush(p->tlb);
		hca_store_release(&p->floor[page], p->entry[page]);
	}
}

static void iotlb_forgets_the_past(void **state)
{
	void (*const fns[])(void *) = { past_reader, past_writer, past_reader, past_reader };
	u64 seed, hits = 0;

	(void)state;
	for (seed = 1; seed < 4000; seed++) {
		struct past p = { .entry = { 1u << 20, 2u << 20 }, .floor = { 1u << 20, 2u << 20 } };
		void *args[] = { &p, &p, &p, &p };

		p.tlb = hca_alloc(sizeof(*p.tlb), HCA_MAY_SLEEP);
		iommu_tlb_init(p.tlb);
		assert_int_equal(test_run_threads(seed, 4, fns, args, NULL), 0);
		hits += p.hits;
		hca_free(p.tlb);
	}
	assert_true(hits > seed);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(unmap_outwaits_the_device, fresh),
		cmocka_unit_test_setup(mappers_do_not_meet, fresh),
		cmocka_unit_test_setup(unmap_outwaits_a_crowd, fresh),
		cmocka_unit_test_setup(lazy_unmaps_all_end, fresh),
		cmocka_unit_test_setup(mapping_appears_whole, fresh),
		cmocka_unit_test_setup(iotlb_forgets_the_past, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
