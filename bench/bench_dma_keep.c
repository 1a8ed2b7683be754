/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Part "dma", third part: what is kept for a live mapping. Memory, by what the heap,
 * the process and the machine's page allocator have less of while 10,000 mappings
 * live; and time, where a ledger keeps them on purpose.
 */
#include "bench_dma.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAPPINGS 10000u
#define LIST 10u
#define ORDER 14 /* as many pages as MAPPINGS, or more */
#define LOW_BYTES (256ull << 20)

_Static_assert(1u << ORDER >= MAPPINGS, "a page for each");

/* struct usage - bytes in use */
struct usage {
	double heap; /* handed out by malloc, large pieces included */
	double resident; /* of the process, in whole pages */
	double pages; /* of the machine, allocated */
};

static int look(struct machine *m, struct usage *u)
{
	struct mallinfo2 mi = mallinfo2();
	unsigned long size, resident;
	FILE *f = fopen("/proc/self/statm", "r");
	int got;

	if (!f)
		return bench_fail("no /proc/self/statm");
	/* A buffer of its own would be counted. */
	setvbuf(f, NULL, _IONBF, 0);
	got = fscanf(f, "%lu %lu", &size, &resident);
	fclose(f);
	if (got != 2)
		return bench_fail("/proc/self/statm can't be read");
	u->heap = (double)mi.uordblks + (double)mi.hblkhd;
	u->resident = (double)resident * PAGE_SIZE;
	u->pages = (double)(m->map.all_bytes >> PAGE_SHIFT) - (double)machine_free_pages(m);
	u->pages *= PAGE_SIZE;
	return 0;
}

/* struct kept - room for the addresses and lists, touched beforehand, and the pages that are mapped */
struct kept {
	struct page *pages;
	dma_addr_t addr[MAPPINGS];
	struct scatterlist sg[MAPPINGS][LIST];
};

/* A third by address, a third by page, a third as lists. */
static int map_all(struct bed *b, struct kept *k, u32 *mapped)
{
	struct ib_device *ib = b->ib;
	struct page *page;
	u32 i;

	for (i = 0; i < MAPPINGS; i++) {
		page = nth_page(k->pages, i);
		if (i % 3 == 0)
			k->addr[i] = ib_dma_map_single(ib, (char *)page_address(page) + 8, 512, DMA_TO_DEVICE);
		else if (i % 3 == 1)
			k->addr[i] = ib_dma_map_page(ib, page, 8, 512, DMA_TO_DEVICE);
		else if (!ib_dma_map_sg(ib, k->sg[i], LIST, DMA_TO_DEVICE))
			k->addr[i] = hca_dma_error(-ENOMEM);
		if (i % 3 != 2 ? ib_dma_mapping_error(ib, k->addr[i]) : hca_dma_errno(k->addr[i]))
			return bench_fail("mapping %u failed", i);
		++*mapped;
	}
	return 0;
}

static void unmap_all(struct bed *b, struct kept *k, u32 mapped)
{
	struct ib_device *ib = b->ib;
	u32 i;

	for (i = 0; i < mapped; i++) {
		if (i % 3 == 0)
			ib_dma_unmap_single(ib, k->addr[i], 512, DMA_TO_DEVICE);
		else if (i % 3 == 1)
			ib_dma_unmap_page(ib, k->addr[i], 512, DMA_TO_DEVICE);
		else
			ib_dma_unmap_sg(ib, k->sg[i], LIST, DMA_TO_DEVICE);
	}
}

/* Bytes a live mapping, by whichever of the three counts says most. */
static int kept_bytes(const struct bed_def *def, double *bytes)
{
	struct kept *k = calloc(1, sizeof(*k));
	struct usage before, after;
	u32 i, j, mapped = 0;
	struct bed b;
	int err = -1;

	*bytes = NAN;
	if (!k || bed_open(&b, def)) {
		free(k);
		return bench_fail("no memory");
	}
	k->pages = machine_alloc_pages(b.m, GFP_KERNEL, ORDER);
	if (!k->pages) {
		bench_fail("no pages");
		goto close;
	}
	for (i = 0; i < MAPPINGS; i++) {
		k->addr[i] = hca_dma_addr(i);
		sg_init_table(k->sg[i], LIST);
		for (j = 0; j < LIST; j++)
			sg_set_page(&k->sg[i][j], nth_page(k->pages, i), 64, j * 64);
	}
	/* Once without looking: what a first call sets up isn't kept for a mapping. */
	if (!look(b.m, &before) && !map_all(&b, k, &mapped)) {
		unmap_all(&b, k, mapped);
		mapped = 0;
		if (!look(b.m, &before) && !map_all(&b, k, &mapped) && !look(b.m, &after)) {
			*bytes = HCA_MAX(HCA_MAX(after.heap - before.heap, after.resident - before.resident),
					 after.pages - before.pages) /
				 MAPPINGS;
			err = 0;
		}
	}
	unmap_all(&b, k, mapped);
	__free_pages(k->pages, ORDER);
close:
	bed_close(&b);
	free(k);
	return err;
}

static int memory(void)
{
	static const struct bed_def soft = { .machine = { .name = "kept", .low_bytes = LOW_BYTES },
					     .create = ipath_tagging,
					     .destroy = ipath_destroy };
	static const struct bed_def ledger = { .machine = { .name = "kept", .low_bytes = LOW_BYTES },
					       .create = ipath_tagging,
					       .destroy = ipath_destroy,
					       .ledger = true };
	double without, with;

	if (kept_bytes(&soft, &without) || kept_bytes(&ledger, &with))
		return -1;
	bench_title("memory kept for a live mapping, 10,000 live");
	bench_row("software device / the same with a ledger", "B", without, with, NAN,
		  BENCH_GOALS({ OURS_AT_MOST, 0 }));
	return 0;
}

/* What a ledger costs doesn't depend on how much is in it: only caches do. */
static int ledger_time(void)
{
	static const struct bed_def defs[] = {
		{ .machine = { .name = "few" }, .create = ipath_tagging, .destroy = ipath_destroy, .ledger = true },
		{ .machine = { .name = "many", .low_bytes = 1ull << 30 },
		  .create = ipath_tagging,
		  .destroy = ipath_destroy,
		  .ledger = true },
	};
	struct ring few = { 0 }, many = { 0 };
	struct bench_loop loops[] = { { .run = ring_turn, .ctx = &few }, { .run = ring_turn, .ctx = &many } };
	struct bench_times t;
	struct bed bed[2];
	int err = -1, i, made;

	for (made = 0; made < 2; made++)
		if (bed_open(&bed[made], &defs[made]))
			break;
	if (made == 2 && !ring_open(&few, &bed[0], 0, 128) && !ring_open(&many, &bed[1], 0, 131072))
		err = bench_measure(loops, 2, &t);
	if (few.ib)
		ring_close(&few);
	if (many.ib)
		ring_close(&many);
	for (i = 0; i < made; i++)
		bed_close(&bed[i]);
	if (err)
		return err;
	bench_title("ledger on: map + mapping_error + unmap of 4 KiB");
	bench_row("131,072 live / 128 live", "ns", t.ns[1], t.ns[0], t.ratio[1], BENCH_NO_GOAL);
	return 0;
}

int bench_dma_keep(void)
{
	return memory() | ledger_time();
}
