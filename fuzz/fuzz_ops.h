/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the fuzzers of the backends share: the input's bytes choose a device of the kind that the including file names
 * with FUZZ_SOFT and FUZZ_PLATFORM, then what is done with it. Most of that is a step of the plain model, compared
 * as in the differential test; the rest is nonsense, which must be refused exactly where it is nonsense, reported
 * once where a ledger is kept, and leave no trace. In the end nothing may be left of either.
 */
#ifndef FUZZ_OPS_H
#define FUZZ_OPS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tests/model.h"
#include "dma/addr.h"
#include "dma/check.h"
#include "platform/platform.h"
#include "test_os.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LOW_BYTES (8ull << 20)
#define HIGH_BYTES (4ull << 20)
#define MAX_STEPS 2000

struct input {
	const u8 *data;
	size_t left;
};

static struct {
	struct input in;
	struct model *m;
	struct model_attr a;
	int reports;
	char line[512];
} fuzz;

static void differs(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\nlast report: %s\n", file, line, what, fuzz.line);
	abort();
}

#define MUST(c) ((c) ? (void)0 : differs(__FILE__, __LINE__, #c))

static u64 bytes(unsigned int n)
{
	u64 v = 0;

	for (; n && fuzz.in.left; n--, fuzz.in.left--)
		v = v << 8 | *fuzz.in.data++;
	return v;
}

static u32 choose(void *ctx, u32 n)
{
	(void)ctx;
	return (u32)bytes(n > 0x10000 ? 4 : n > 0x100 ? 2 : 1) % n;
}

static void keep(void *ctx, const struct hca_misuse_report *r)
{
	(void)ctx;
	fuzz.reports++;
	ib_dma_report_str(r, fuzz.line, sizeof(fuzz.line));
}

/* --- nonsense --- */

static dma_addr_t any_addr(void)
{
	const struct model_map *map = &fuzz.m->map[choose(NULL, MODEL_MAPS)];
	u64 a = hca_dma_u64(map->addr);

	switch (choose(NULL, 8)) {
	case 0:
		return hca_dma_addr(a + bytes(2));
	case 1:
		return hca_dma_addr(a - bytes(2));
	case 2:
		return hca_dma_addr(a ^ 1ull << choose(NULL, 64));
	case 3:
		return hca_tag_addr(fuzz.a.m->map.phys + (bytes(4) & HCA_TAG_PHYS_MASK));
	case 4:
		return hca_dma_error(-(int)choose(NULL, 4096));
	case 5:
		return hca_dma_addr(fuzz.a.m->map.phys + bytes(4));
	default:
		return hca_dma_addr(bytes(8));
	}
}

static size_t any_size(void)
{
	switch (choose(NULL, 4)) {
	case 0:
		return (size_t)bytes(1);
	case 1:
		return (size_t)bytes(3);
	case 2:
		return (size_t)0 - (size_t)bytes(3);
	default:
		return (size_t)bytes(8);
	}
}

static enum dma_data_direction any_dir(void)
{
	return (enum dma_data_direction)(choose(NULL, 8) ? (int)choose(NULL, 3) : (int)(s8)bytes(1));
}

static struct page *any_page(void)
{
	const struct machine_map *map = &fuzz.a.m->map;
	u64 pages = map->all_bytes >> PAGE_SHIFT;

	switch (choose(NULL, 8)) {
	case 0:
		return NULL;
	case 1:
		return (struct page *)(uintptr_t)(bytes(8) & ~3ull); /* a list keeps two bits for itself */
	case 2:
		return (struct page *)((uintptr_t)map->pages + ((uintptr_t)bytes(4) & ~(uintptr_t)3));
	case 3:
		return map->pages + (map->low_bytes >> PAGE_SHIFT) - choose(NULL, 4);
	case 4:
		return map->pages + pages - choose(NULL, 4);
	default:
		return map->pages + bytes(3) % pages;
	}
}

/* The pool of a bounce machine is nobody's to map; whoever names its pages gets at other mappings' copies. */
static bool of_pool(const struct page *page)
{
	uintptr_t at = (uintptr_t)page - (uintptr_t)fuzz.a.m->map.pages;

	return at / sizeof(*page) < fuzz.a.m->reserved / PAGE_SIZE;
}

/* What the argument check is to say, said once more: in whole numbers, without a look at how it's done there. */
static bool page_is_good(const struct page *page, u64 offset, u64 size, int dir)
{
	const struct machine_map *map = &fuzz.a.m->map;
	uintptr_t at = (uintptr_t)page - (uintptr_t)map->pages;
	u64 first, from, end;

	if (at % sizeof(*page) || at / sizeof(*page) >= map->all_bytes / PAGE_SIZE || offset >= map->all_bytes ||
	    !size || size > map->all_bytes || dir < 0 || dir > 2)
		return false;
	first = (u64)(at / sizeof(*page)) * PAGE_SIZE;
	from = first + offset;
	end = from + size;
	/* The first byte may be in a page that follows, but of the same memory. */
	if ((first < map->low_bytes) != (from < map->low_bytes))
		return false;
	return end <= map->all_bytes && (from >= map->low_bytes || end <= map->low_bytes);
}

static bool high(const struct page *page)
{
	return (u64)((uintptr_t)page - (uintptr_t)fuzz.a.m->map.pages) / sizeof(*page) * PAGE_SIZE >=
	       fuzz.a.m->map.low_bytes;
}

/* A good range may still be more than there is room for, or longer than the pool takes, or high memory refused. */
static bool excused(int err, bool is_high)
{
	return (err == -EOPNOTSUPP && fuzz.a.refuse && is_high) ||
	       ((err == -ENOMEM || err == -EINVAL) && fuzz.a.m->reserved);
}

static void nonsense_map(void)
{
	struct page *page = any_page();
	u64 offset = choose(NULL, 4) ? choose(NULL, 4096) : bytes(8);
	size_t size = any_size();
	enum dma_data_direction dir = any_dir();
	bool single = choose(NULL, 2), good;
	dma_addr_t addr;
	int err;

	if (single) {
		uintptr_t ptr = choose(NULL, 2) ? (uintptr_t)bytes(8) :
						  fuzz.a.m->map.virt + (uintptr_t)bytes(4) - (uintptr_t)bytes(1);
		uintptr_t off = ptr - fuzz.a.m->map.virt;

		page = fuzz.a.m->map.pages + off / PAGE_SIZE;
		if (of_pool(page))
			return;
		good = off < fuzz.a.m->map.low_bytes && page_is_good(page, off % PAGE_SIZE, size, (int)dir);
		addr = ib_dma_map_single(fuzz.a.ib, (void *)ptr, size, dir);
	} else {
		good = (unsigned long)offset == offset && page_is_good(page, offset, size, (int)dir);
		if ((unsigned long)offset != offset || of_pool(page))
			return;
		addr = ib_dma_map_page(fuzz.a.ib, page, (unsigned long)offset, size, dir);
	}
	err = ib_dma_mapping_error(fuzz.a.ib, addr);
	MUST(good || err == -EINVAL || err == -EFAULT);
	MUST(!good || !err || excused(err, high(page)));
	if (!err) {
		fuzz.m->made++;
		if (single)
			ib_dma_unmap_single(fuzz.a.ib, addr, size, dir);
		else
			ib_dma_unmap_page(fuzz.a.ib, addr, size, dir);
	}
	model_expect(fuzz.m, 0);
}

static void nonsense_list(void)
{
	struct scatterlist sgl[6], *sg;
	u32 i, n = 1 + choose(NULL, 6);
	int nents = (int)n + (choose(NULL, 4) ? 0 : (int)choose(NULL, 20) - 10), ret;
	enum dma_data_direction dir = any_dir();
	bool good = nents <= (int)n, is_high = false, called = nents > 0 && (unsigned int)dir < 3, walks;
	struct sg_table sgt = { .sgl = sgl, .orig_nents = (unsigned int)nents };

	sg_init_table(sgl, n);
	for (i = 0; i < n; i++) {
		struct page *page = any_page();

		if (of_pool(page))
			page = NULL;
		sg_set_page(&sgl[i], page, choose(NULL, 3) ? 1 + choose(NULL, 9000) : (u32)bytes(4),
			    choose(NULL, 8) ? choose(NULL, 4096) : (u32)bytes(4));
		if ((int)i < nents && good) {
			good = page_is_good(page, sgl[i].offset, sgl[i].length, (int)dir) && sgl[i].length <= 2u << 30;
			is_high |= high(page);
		}
	}
	walks = fuzz.a.ledger || !fuzz.a.soft || (fuzz.a.refuse && fuzz.a.m->map.low_bytes < fuzz.a.m->map.all_bytes);
	ret = ib_dma_map_sgtable_attrs(fuzz.a.ib, &sgt, dir, 0);
	if (!called) {
		MUST(ret == -EINVAL);
	} else if (!good && walks) {
		MUST(ret == -EINVAL || ret == -EFAULT || (ret == -EOPNOTSUPP && fuzz.a.refuse));
		model_expect(fuzz.m, 1);
	} else {
		MUST(!ret || excused(ret, is_high));
		for (i = 0, sg = sgl; !ret && i < sgt.nents && sg; i++, sg = sg_next(sg)) {
			bool bad = hca_dma_errno(ib_sg_dma_address(fuzz.a.ib, sg));

			MUST(!bad || !good);
		}
		if (!ret) {
			fuzz.m->made++;
			ib_dma_unmap_sgtable_attrs(fuzz.a.ib, &sgt, dir, 0);
		}
	}
	/* Now it's mapped no more, or never was; but what begins there as it did may be taken for it. */
	if (fuzz.a.ledger && !model_near(fuzz.m, ib_sg_dma_address(fuzz.a.ib, sgl))) {
		ib_dma_unmap_sg(fuzz.a.ib, sgl, nents, dir);
		model_expect(fuzz.m, 1);
	}
	model_expect(fuzz.m, 0);
}

static void nonsense_end(void)
{
	dma_addr_t addr = any_addr();
	size_t size = any_size();
	enum dma_data_direction dir = any_dir();
	u8 got[64];
	int err;

	if (model_near(fuzz.m, addr))
		return;
	switch (choose(NULL, 5)) {
	case 0:
		ib_dma_unmap_single(fuzz.a.ib, addr, size, dir);
		break;
	case 1:
		ib_dma_unmap_page(fuzz.a.ib, addr, size, dir);
		break;
	case 2:
		ib_dma_sync_single_for_cpu(fuzz.a.ib, addr, size, dir);
		break;
	case 3:
		ib_dma_sync_single_for_device(fuzz.a.ib, addr, size, dir);
		break;
	default:
		err = ib_dma_read(fuzz.a.ib, addr, got, 1 + size % sizeof(got));
		MUST(!err || err == -EFAULT);
		MUST(err || !hca_dma_errno(addr));
		MUST(err || !fuzz.a.iommu || fuzz.a.lazy);
	}
	model_expect(fuzz.m, 1);
}

static void nonsense_coherent(void)
{
	dma_addr_t addr = any_addr(), handle = hca_dma_error(-EIO);
	size_t size = any_size();
	u8 *cpu;

	cpu = ib_dma_alloc_coherent(fuzz.a.ib, size, choose(NULL, 16) ? &handle : NULL, (gfp_t)bytes(1));
	if (cpu) {
		MUST(!hca_dma_errno(handle));
		MUST(size && !cpu[0] && !cpu[size - 1]);
		fuzz.m->made++;
		ib_dma_free_coherent(fuzz.a.ib, size, cpu, handle);
	}
	model_expect(fuzz.m, 0);
	/* Without a ledger, who names memory of the machine may give it back: that's for the page allocator to judge. */
	cpu = fuzz.a.ledger ? (u8 *)(uintptr_t)bytes(8) : fuzz.in.left ? (u8 *)&fuzz : NULL;
	if (model_near(fuzz.m, addr))
		return;
	ib_dma_free_coherent(fuzz.a.ib, size, cpu, addr);
	model_expect(fuzz.m, !!cpu);
}

static void step(void)
{
	u32 what = choose(NULL, 32);

	if (what < 22)
		model_step(fuzz.m);
	else if (what < 25)
		nonsense_map();
	else if (what < 28)
		nonsense_list();
	else if (what < 31)
		nonsense_end();
	else
		nonsense_coherent();
}

/* --- a device --- */

/* Machines are made once for each kind that is asked for: an input is over in no time, and making one isn't. */
static struct machine *machine_for(bool has_high, bool lazy)
{
	static struct machine *made[2][2];
	struct machine_attr attr = {
		.name = "fuzzed",
		.low_bytes = LOW_BYTES,
		.high_bytes = has_high ? HIGH_BYTES : 0,
		.platform = FUZZ_PLATFORM,
		.iommu_lazy = lazy,
		.iommu_aperture = 64ull << 20, /* what is kept for it is cleared for each device */
	};

	if (!made[has_high][lazy] && machine_create(&attr, &made[has_high][lazy]))
		abort();
	return made[has_high][lazy];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct device_attr da = { .name = "bus0" };
	struct ib_dma_config config = { .report = keep };
	struct machine *m;
	struct device *dev;
	u64 pages, leaked;
	u32 kind, lived, i;

	fuzz.in = (struct input){ data, size };
	fuzz.reports = 0;
	fuzz.line[0] = 0;
	kind = (u32)bytes(1);
	m = machine_for(kind & 1, FUZZ_PLATFORM == MACHINE_IOMMU && kind & 2);
	lived = test_live();
	pages = machine_free_pages(m);
	config.ledger = kind & 4;
	if (FUZZ_PLATFORM == MACHINE_BOUNCE && kind & 8)
		da.dma_mask = m->bus_base + m->reserved - 1;
	fuzz.a = (struct model_attr){
		.m = m,
		.soft = FUZZ_SOFT,
		.refuse = FUZZ_SOFT && kind & 16,
		.iommu = FUZZ_PLATFORM == MACHINE_IOMMU,
		.lazy = kind & 2,
		.ledger = config.ledger,
		.reports = &fuzz.reports,
		.choose = choose,
		.fail = differs,
	};
	MUST(!device_create(m, &da, &dev));
	if (FUZZ_SOFT)
		MUST(!ipath_create(dev, "ipath0", fuzz.a.refuse ? IPATH_HIGHMEM_REFUSE : IPATH_HIGHMEM_TAGGED, &config,
				   &fuzz.a.ib));
	else
		MUST(!dmahca_create(dev, "dmahca0", &config, &fuzz.a.ib));
	fuzz.m = model_begin(&fuzz.a);
	for (i = 0; i < MAX_STEPS && fuzz.in.left; i++)
		step();
	model_end(fuzz.m);
	leaked = FUZZ_SOFT ? ipath_destroy(fuzz.a.ib) : dmahca_destroy(fuzz.a.ib);
	MUST(!leaked);
	device_destroy(dev);
	MUST(machine_free_pages(m) == pages);
	if (test_live() != lived) {
		test_leaks();
		MUST(!"memory is left");
	}
	test_log_take();
	return 0;
}

#endif
