/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a driver may bring, and what is made of it: the device's own op is called if it has one, else the platform's;
 * holes are filled or refused at registration; the environment decides on the ledger.
 */
#include "backends.h"
#include "dma/mem.h"
#include "no_leaks.h"
#include "why_fixture.h"

/* A driver that writes down what it is asked, and whose addresses nobody could guess. */
#define MINE 0x1111000000000000ull

enum call {
	MAP_SINGLE,
	UNMAP_SINGLE,
	MAP_PAGE,
	UNMAP_PAGE,
	MAP_SG,
	UNMAP_SG,
	SG_ADDRESS,
	SG_LEN,
	SYNC_CPU,
	SYNC_DEV,
	ALLOC,
	FREE,
	CALLS
};

static struct {
	int n[CALLS];
	dma_addr_t addr;
	size_t size;
	int dir;
	int nents;
	int sg_returns;
} seen;

static dma_addr_t note(enum call call, dma_addr_t addr, size_t size, int dir)
{
	seen.n[call]++;
	seen.addr = addr;
	seen.size = size;
	seen.dir = dir;
	return addr;
}

static dma_addr_t my_map_single(struct ib_device *dev, void *ptr, size_t size, enum dma_data_direction dir,
				unsigned long attrs)
{
	(void)dev;
	(void)attrs;
	return note(MAP_SINGLE, hca_dma_addr(MINE + ((uintptr_t)ptr & 0xfff)), size, (int)dir);
}

static void my_unmap_single(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
			    unsigned long attrs)
{
	(void)dev;
	(void)attrs;
	note(UNMAP_SINGLE, addr, size, (int)dir);
}

static dma_addr_t my_map_page(struct ib_device *dev, struct page *page, unsigned long offset, size_t size,
			      enum dma_data_direction dir, unsigned long attrs)
{
	(void)dev;
	(void)attrs;
	assert_non_null(page);
	return note(MAP_PAGE, hca_dma_addr(MINE + 0x10000 + offset), size, (int)dir);
}

static void my_unmap_page(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
			  unsigned long attrs)
{
	(void)dev;
	(void)attrs;
	note(UNMAP_PAGE, addr, size, (int)dir);
}

static int my_map_sg(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
		     unsigned long attrs)
{
	(void)dev;
	(void)sgl;
	(void)attrs;
	note(MAP_SG, hca_dma_addr(0), 0, (int)dir);
	seen.nents = nents;
	return seen.sg_returns;
}

static void my_unmap_sg(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
			unsigned long attrs)
{
	(void)dev;
	(void)sgl;
	(void)attrs;
	note(UNMAP_SG, hca_dma_addr(0), 0, (int)dir);
	seen.nents = nents;
}

static dma_addr_t my_sg_address(struct ib_device *dev, struct scatterlist *sg)
{
	(void)dev;
	seen.n[SG_ADDRESS]++;
	return hca_dma_addr(MINE + 0x20000 + sg->offset);
}

static unsigned int my_sg_len(struct ib_device *dev, struct scatterlist *sg)
{
	(void)dev;
	seen.n[SG_LEN]++;
	return sg->length;
}

static void my_sync_cpu(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir)
{
	(void)dev;
	note(SYNC_CPU, addr, size, (int)dir);
}

static void my_sync_dev(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir)
{
	(void)dev;
	note(SYNC_DEV, addr, size, (int)dir);
}

static void *my_alloc(struct ib_device *dev, size_t size, dma_addr_t *handle, gfp_t gfp)
{
	(void)dev;
	(void)gfp;
	*handle = note(ALLOC, hca_dma_addr(MINE + 0x30000), size, 0);
	return &seen;
}

static void my_free(struct ib_device *dev, size_t size, void *cpu_addr, dma_addr_t handle)
{
	(void)dev;
	assert_ptr_equal(cpu_addr, &seen);
	note(FREE, handle, size, 0);
}

static const struct ib_dma_ops my_ops = {
	.map_single = my_map_single,
	.unmap_single = my_unmap_single,
	.map_page = my_map_page,
	.unmap_page = my_unmap_page,
	.map_sg = my_map_sg,
	.unmap_sg = my_unmap_sg,
	.sg_dma_address = my_sg_address,
	.sg_dma_len = my_sg_len,
	.sync_single_for_cpu = my_sync_cpu,
	.sync_single_for_device = my_sync_dev,
	.alloc_coherent = my_alloc,
	.free_coherent = my_free,
	.max_seg_size = 12345,
};

static int my_open(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w)
{
	(void)mem;
	(void)addr;
	(void)len;
	(void)access;
	(void)w;
	return -EFAULT;
}

static void my_close(struct hca_mem *mem, struct hca_mem_view *w)
{
	(void)mem;
	(void)w;
}

static const struct hca_mem_ops my_mem_ops = { .open = my_open, .close = my_close };

struct mine {
	struct machine *m;
	struct device *dev;
	struct page *page;
	struct hca_mem mem;
	struct ib_device ib;
};

static int reports;

static void count_report(void *ctx, const struct hca_misuse_report *r)
{
	(void)ctx;
	(void)r;
	reports++;
}

static void mine_open(struct mine *d, enum machine_platform platform)
{
	struct machine_attr ma = { .low_bytes = LOW_BYTES, .high_bytes = HIGH_BYTES, .platform = platform };
	struct device_attr da = { .name = "bus0" };

	memset(d, 0, sizeof(*d));
	memset(&seen, 0, sizeof(seen));
	reports = 0;
	assert_int_equal(machine_create(&ma, &d->m), 0);
	assert_int_equal(device_create(d->m, &da, &d->dev), 0);
	d->page = machine_alloc_pages(d->m, GFP_KERNEL, 0);
	d->mem.ops = &my_mem_ops;
	d->ib.mem = &d->mem;
}

static void mine_close(struct mine *d)
{
	__free_page(d->page);
	device_destroy(d->dev);
	assert_int_equal(machine_destroy(d->m), 0);
}

static int calls(enum call call)
{
	int n = seen.n[call];

	seen.n[call] = 0;
	return n;
}

static void own_ops_are_called(void **state)
{
	static struct mine d;
	int ledger;

	(void)state;
	for (ledger = 0; ledger < 2; ledger++) {
		struct ib_dma_config config = { .ledger = ledger, .report = count_report };
		struct scatterlist sgl[3];
		struct sg_table sgt = { .sgl = sgl, .orig_nents = 3 };
		struct device_stats st;
		dma_addr_t a;
		u8 *ptr;
		int i;

		mine_open(&d, MACHINE_DIRECT);
		ptr = page_address(d.page);
		d.ib.dma_ops = &my_ops;
		assert_int_equal(ib_register_device(&d.ib, "mine0", d.dev, &config), 0);
		assert_false(ib_uses_virt_dma(&d.ib));
		assert_int_equal(ib_dma_max_seg_size(&d.ib), 12345);

		a = ib_dma_map_single(&d.ib, ptr + 5, 10, DMA_TO_DEVICE);
		assert_int_equal(ib_dma_mapping_error(&d.ib, a), 0);
		assert_int_equal(calls(MAP_SINGLE), 1);
		assert_true(a == hca_dma_addr(MINE + 5));
		ib_dma_sync_single_for_cpu(&d.ib, a, 9, DMA_TO_DEVICE);
		assert_int_equal(calls(SYNC_CPU), 1);
		assert_int_equal(seen.size, 9);
		ib_dma_sync_single_for_device(&d.ib, a, 8, DMA_TO_DEVICE);
		assert_int_equal(calls(SYNC_DEV), 1);
		ib_dma_unmap_single(&d.ib, a, 10, DMA_TO_DEVICE);
		assert_int_equal(calls(UNMAP_SINGLE), 1);
		assert_true(seen.addr == a && seen.size == 10 && seen.dir == DMA_TO_DEVICE);

		a = ib_dma_map_page(&d.ib, d.page, 6, 10, DMA_FROM_DEVICE);
		assert_int_equal(ib_dma_mapping_error(&d.ib, a), 0);
		assert_int_equal(calls(MAP_PAGE), 1);
		ib_dma_unmap_page(&d.ib, a, 10, DMA_FROM_DEVICE);
		assert_int_equal(calls(UNMAP_PAGE), 1);
		assert_true(seen.addr == hca_dma_addr(MINE + 0x10006));

		sg_init_table(sgl, 3);
		for (i = 0; i < 3; i++)
			sg_set_page(&sgl[i], d.page, 10, 100u * (unsigned int)i);
		seen.sg_returns = 2;
		assert_int_equal(ib_dma_map_sg(&d.ib, sgl, 3, DMA_TO_DEVICE), 2);
		assert_int_equal(calls(MAP_SG), 1);
		assert_int_equal(seen.nents, 3);
		assert_true(ib_sg_dma_address(&d.ib, &sgl[1]) == hca_dma_addr(MINE + 0x20000 + 100));
		assert_int_equal(ib_sg_dma_len(&d.ib, &sgl[1]), 10);
		assert_true(calls(SG_ADDRESS) > 0 && calls(SG_LEN) > 0);
		ib_dma_unmap_sg(&d.ib, sgl, 3, DMA_TO_DEVICE);
		assert_int_equal(calls(UNMAP_SG), 1);
		assert_int_equal(seen.nents, 3);
		/* A driver that fails: with an error, or, as Linux's own do, with 0, which is no success of a table. */
		seen.sg_returns = -ENOSPC;
		assert_int_equal(ib_dma_map_sg(&d.ib, sgl, 3, DMA_TO_DEVICE), 0);
		assert_int_equal(ib_dma_map_sgtable_attrs(&d.ib, &sgt, DMA_TO_DEVICE, 0), -ENOSPC);
		seen.sg_returns = 0;
		assert_int_equal(ib_dma_map_sg(&d.ib, sgl, 3, DMA_TO_DEVICE), 0);
		assert_int_equal(ib_dma_map_sgtable_attrs(&d.ib, &sgt, DMA_TO_DEVICE, 0), -EIO);

		assert_ptr_equal(ib_dma_alloc_coherent(&d.ib, 100, &a, GFP_KERNEL), &seen);
		assert_int_equal(calls(ALLOC), 1);
		ib_dma_free_coherent(&d.ib, 100, &seen, a);
		assert_int_equal(calls(FREE), 1);
		/* What the argument check refuses, the driver never sees. */
		memset(seen.n, 0, sizeof(seen.n));
		assert_int_equal(hca_dma_errno(ib_dma_map_single(&d.ib, NULL, 10, DMA_TO_DEVICE)), -EFAULT);
		assert_int_equal(hca_dma_errno(ib_dma_map_single(&d.ib, ptr, 0, DMA_TO_DEVICE)), -EINVAL);
		assert_int_equal(hca_dma_errno(ib_dma_map_single(&d.ib, ptr, SIZE_MAX, DMA_TO_DEVICE)), -EFAULT);
		assert_int_equal(hca_dma_errno(ib_dma_map_single(&d.ib, ptr, 10, DMA_NONE)), -EINVAL);
		assert_int_equal(hca_dma_errno(ib_dma_map_page(&d.ib, NULL, 0, 10, DMA_TO_DEVICE)), -EFAULT);
		assert_int_equal(ib_dma_map_sg(&d.ib, sgl, 0, DMA_TO_DEVICE), 0);
		for (i = 0; i < CALLS; i++)
			assert_int_equal(seen.n[i], 0);
		/* Nor did the platform hear of any of it. */
		device_get_stats(d.dev, &st);
		assert_int_equal(st.maps + st.unmaps + st.refused_unmaps, 0);
		assert_int_equal(ib_unregister_device(&d.ib), 0);
		assert_int_equal(reports, 0);
		mine_close(&d);
	}
}

/* With a ledger, a driver is told what was mapped, whatever the caller of the unmap says. */
static void unmaps_are_told_the_truth(void **state)
{
	struct ib_dma_config config = { .ledger = true, .report = count_report };
	struct scatterlist sgl[2];
	static struct mine d;
	dma_addr_t a;

	(void)state;
	mine_open(&d, MACHINE_DIRECT);
	d.ib.dma_ops = &my_ops;
	assert_int_equal(ib_register_device(&d.ib, "mine0", d.dev, &config), 0);
	a = ib_dma_map_single(&d.ib, page_address(d.page), 10, DMA_TO_DEVICE);
	assert_int_equal(ib_dma_mapping_error(&d.ib, a), 0);
	ib_dma_unmap_page(&d.ib, a, 999, DMA_FROM_DEVICE);
	assert_int_equal(calls(UNMAP_SINGLE), 1);
	assert_int_equal(calls(UNMAP_PAGE), 0);
	assert_true(seen.addr == a && seen.size == 10 && seen.dir == DMA_TO_DEVICE);
	assert_int_equal(reports, 3);
	ib_dma_unmap_single(&d.ib, a, 10, DMA_TO_DEVICE); /* nothing is mapped: it isn't told at all */
	assert_int_equal(calls(UNMAP_SINGLE), 0);
	assert_int_equal(reports, 4);
	sg_init_table(sgl, 2);
	sg_set_page(&sgl[0], d.page, 10, 0);
	sg_set_page(&sgl[1], d.page, 10, 100);
	seen.sg_returns = 1;
	assert_int_equal(ib_dma_map_sg(&d.ib, sgl, 2, DMA_FROM_DEVICE), 1);
	ib_dma_unmap_sg(&d.ib, sgl, 1, DMA_NONE);
	assert_int_equal(calls(UNMAP_SG), 1);
	assert_true(seen.nents == 2 && seen.dir == DMA_FROM_DEVICE);
	assert_int_equal(reports, 6);
	assert_int_equal(ib_unregister_device(&d.ib), 0);
	mine_close(&d);
}

/* Without ops it's all the platform's: each call arrives there once, but for what is the sum of two numbers. */
static void platform_is_called(void **state)
{
	static const enum machine_platform platform[] = { MACHINE_DIRECT, MACHINE_IOMMU, MACHINE_BOUNCE };
	static struct mine d;
	size_t p;

	(void)state;
	for (p = 0; p < HCA_ARRAY_SIZE(platform); p++) {
		struct scatterlist sg;
		struct device_stats st;
		u64 told = platform[p] == MACHINE_DIRECT ? 2 : 3;
		dma_addr_t a, b;

		mine_open(&d, platform[p]);
		assert_int_equal(ib_register_device(&d.ib, "mine0", d.dev, NULL), 0);
		assert_null(d.ib.dma_ops);
		a = ib_dma_map_single(&d.ib, page_address(d.page), 10, DMA_TO_DEVICE);
		b = ib_dma_map_page(&d.ib, d.page, 0, 10, DMA_TO_DEVICE);
		sg_init_one(&sg, page_address(d.page), 10);
		assert_int_equal(ib_dma_map_sg(&d.ib, &sg, 1, DMA_TO_DEVICE), 1);
		device_get_stats(d.dev, &st);
		assert_int_equal(st.maps, told);
		ib_dma_unmap_single(&d.ib, a, 10, DMA_TO_DEVICE);
		ib_dma_unmap_page(&d.ib, b, 10, DMA_TO_DEVICE);
		ib_dma_unmap_sg(&d.ib, &sg, 1, DMA_TO_DEVICE);
		device_get_stats(d.dev, &st);
		assert_int_equal(st.unmaps, told);
		assert_int_equal(st.refused_unmaps, 0);
		assert_int_equal(ib_unregister_device(&d.ib), 0);
		mine_close(&d);
	}
}

/* What is answered inline is what the platform would have said, and it is asked about what its device can't reach. */
static void a_sum_is_the_platforms_answer(void **state)
{
	static struct mine d;
	struct device *narrow;
	struct ib_device nib;
	struct device_attr da = { .name = "narrow" };
	u64 base;
	u8 *ptr;

	(void)state;
	mine_open(&d, MACHINE_DIRECT);
	ptr = page_address(d.page);
	assert_int_equal(ib_register_device(&d.ib, "mine0", d.dev, NULL), 0);
	assert_true(ib_dma_map_single(&d.ib, ptr + 5, 10, DMA_TO_DEVICE) ==
		    dma_map_single(d.dev, ptr + 5, 10, DMA_TO_DEVICE));
	base = hca_dma_u64(dma_map_single(d.dev, ptr, 1, DMA_TO_DEVICE));
	assert_int_equal(ib_dma_mapping_error(&d.ib, ib_dma_map_single(&d.ib, ptr, 0, DMA_TO_DEVICE)), -EINVAL);
	assert_int_equal(ib_dma_mapping_error(&d.ib, ib_dma_map_single(&d.ib, ptr, 1, DMA_NONE)), -EINVAL);
	assert_int_equal(ib_dma_mapping_error(&d.ib, ib_dma_map_single(&d.ib, NULL, 1, DMA_TO_DEVICE)), -EFAULT);
	/* The first 100 bytes of the page are the last that it can send the address of. */
	da.dma_mask = base + 99;
	assert_int_equal(device_create(d.dev->machine, &da, &narrow), 0);
	memset(&nib, 0, sizeof(nib));
	nib.mem = d.ib.mem;
	assert_int_equal(ib_register_device(&nib, "mine1", narrow, NULL), 0);
	assert_true(ib_dma_map_single(&nib, ptr, 100, DMA_TO_DEVICE) == hca_dma_addr(base));
	assert_int_equal(ib_dma_mapping_error(&nib, ib_dma_map_single(&nib, ptr, 101, DMA_TO_DEVICE)), -EIO);
	assert_int_equal(ib_dma_mapping_error(&nib, ib_dma_map_single(&nib, ptr + 100, 1, DMA_TO_DEVICE)), -EIO);
	assert_int_equal(ib_unregister_device(&nib), 0);
	device_destroy(narrow);
	assert_int_equal(ib_unregister_device(&d.ib), 0);
	mine_close(&d);
}

static void holes(void **state)
{
	static struct mine d;
	struct ib_dma_ops ops;
	dma_addr_t a;
	u64 free;
	u8 *cpu;
	size_t i;

	(void)state;
	/* What can't be guessed is refused. */
	const size_t needed[] = {
		offsetof(struct ib_dma_ops, map_single),     offsetof(struct ib_dma_ops, unmap_single),
		offsetof(struct ib_dma_ops, map_page),	     offsetof(struct ib_dma_ops, unmap_page),
		offsetof(struct ib_dma_ops, map_sg),	     offsetof(struct ib_dma_ops, unmap_sg),
		offsetof(struct ib_dma_ops, sg_dma_address), offsetof(struct ib_dma_ops, sg_dma_len),
		offsetof(struct ib_dma_ops, alloc_coherent), offsetof(struct ib_dma_ops, free_coherent),
	};

	mine_open(&d, MACHINE_DIRECT);
	for (i = 0; i < HCA_ARRAY_SIZE(needed); i++) {
		ops = my_ops;
		memset((char *)&ops + needed[i], 0, sizeof(void *));
		d.ib.dma_ops = &ops;
		REFUSED(ib_register_device(&d.ib, "mine0", d.dev, NULL), -EINVAL, "device not registered: its dma_ops ",
			i < 8 ? "lack map_ or unmap_ of" : "have one of alloc_coherent and free_coherent");
	}
	d.ib.dma_ops = &my_ops;
	assert_int_equal(ib_register_device(NULL, "mine0", d.dev, NULL), -EINVAL);
	assert_int_equal(ib_register_device(&d.ib, NULL, d.dev, NULL), -EINVAL);
	assert_int_equal(ib_register_device(&d.ib, "mine0", NULL, NULL), -EINVAL);
	d.ib.mem = NULL;
	REFUSED(ib_register_device(&d.ib, "mine0", d.dev, NULL), -EINVAL,
		"mine0 not registered: the driver brings no memory accessor");
	d.ib.mem = &d.mem;
	d.mem.ops = NULL;
	assert_int_equal(ib_register_device(&d.ib, "mine0", d.dev, NULL), -EINVAL);
	d.mem.ops = &my_mem_ops;
	d.ib.dma_ops = NULL;
	d.ib.style = IB_DMA_VIRT;
	REFUSED(ib_register_device(&d.ib, "mine0", d.dev, NULL), -EINVAL,
		"mine0 not registered: its addresses are virtual ones, so it needs dma_ops");
	d.ib.style = IB_DMA_BY_OPS;
	/* A sync that isn't there does nothing, coherent memory is low memory, a segment has no limit. */
	ops = my_ops;
	ops.sync_single_for_cpu = NULL;
	ops.sync_single_for_device = NULL;
	ops.alloc_coherent = NULL;
	ops.free_coherent = NULL;
	ops.max_seg_size = 0;
	d.ib.dma_ops = &ops;
	assert_int_equal(ib_register_device(&d.ib, "a name that is longer than there is room for it", d.dev, NULL), 0);
	assert_int_equal(strlen(d.ib.name), sizeof(d.ib.name) - 1);
	assert_int_equal(ib_dma_max_seg_size(&d.ib), UINT32_MAX);
	ib_dma_sync_single_for_cpu(&d.ib, hca_dma_addr(MINE), 10, DMA_TO_DEVICE);
	ib_dma_sync_single_for_device(&d.ib, hca_dma_addr(MINE), 10, DMA_TO_DEVICE);
	free = machine_free_pages(d.m);
	cpu = ib_dma_alloc_coherent(&d.ib, 5000, &a, GFP_KERNEL);
	assert_non_null(cpu);
	assert_int_equal(calls(MAP_SINGLE), 1);
	assert_int_equal(cpu[4999], 0);
	ib_dma_free_coherent(&d.ib, 5000, cpu, a);
	assert_int_equal(calls(UNMAP_SINGLE), 1);
	assert_int_equal(machine_free_pages(d.m), free);
	assert_int_equal(ib_unregister_device(&d.ib), 0);
	mine_close(&d);
}

static void drivers_refuse(void **state)
{
	static struct mine d;
	struct ib_device *ib = NULL;

	(void)state;
	mine_open(&d, MACHINE_DIRECT);
	assert_int_equal(ipath_create(NULL, "ipath0", IPATH_HIGHMEM_TAGGED, NULL, &ib), -EINVAL);
	assert_int_equal(ipath_create(d.dev, NULL, IPATH_HIGHMEM_TAGGED, NULL, &ib), -EINVAL);
	REFUSED(ipath_create(d.dev, "ipath0", (enum ipath_highmem)7, NULL, &ib), -EINVAL,
		"no such way to treat high memory");
	REFUSED(ipath_create(d.dev, "ipath0", IPATH_HIGHMEM_TAGGED, NULL, NULL), -EINVAL, "out is NULL");
	assert_int_equal(dmahca_create(NULL, "dmahca0", NULL, &ib), -EINVAL);
	assert_int_equal(dmahca_create(d.dev, NULL, NULL, &ib), -EINVAL);
	assert_int_equal(dmahca_create(d.dev, "dmahca0", NULL, NULL), -EINVAL);
	assert_null(ib);
	assert_int_equal(ipath_destroy(NULL), 0);
	assert_int_equal(dmahca_destroy(NULL), 0);
	mine_close(&d);
}

static bool has_ledger(struct mine *d, bool asked)
{
	struct ib_dma_config config = { .ledger = asked };
	struct ib_dma_totals t;
	struct ib_device *ib;
	bool has;

	assert_int_equal(ipath_create(d->dev, "ipath0", IPATH_HIGHMEM_TAGGED, &config, &ib), 0);
	has = !ib_dma_get_totals(ib, &t);
	assert_int_equal(ipath_destroy(ib), 0);
	return has;
}

static void environment_decides(void **state)
{
	static struct mine d;
	struct ib_device *ib;
	dma_addr_t a;

	(void)state;
	mine_open(&d, MACHINE_DIRECT);
	unsetenv("SOFTHCA_LEDGER");
	assert_false(has_ledger(&d, false));
	assert_true(has_ledger(&d, true));
	setenv("SOFTHCA_LEDGER", "1", 1);
	assert_true(has_ledger(&d, false));
	assert_true(has_ledger(&d, true));
	setenv("SOFTHCA_LEDGER", "0", 1);
	assert_false(has_ledger(&d, false));
	assert_false(has_ledger(&d, true));
	setenv("SOFTHCA_LEDGER", "", 1);
	assert_false(has_ledger(&d, false));
	assert_true(has_ledger(&d, true));
	test_log_take();
	setenv("SOFTHCA_LEDGER", "yes", 1);
	assert_false(has_ledger(&d, false));
	assert_true(has_ledger(&d, true));
	assert_non_null(strstr(test_log_take(), "SOFTHCA_LEDGER=yes"));
	/* Without a callback the report is a line in the log. */
	setenv("SOFTHCA_LEDGER", "1", 1);
	assert_int_equal(ipath_create(d.dev, "ipath0", IPATH_HIGHMEM_TAGGED, NULL, &ib), 0);
	a = ib_dma_map_single(ib, page_address(d.page), 10, DMA_TO_DEVICE);
	assert_int_equal(ib_dma_mapping_error(ib, a), 0);
	test_log_take();
	assert_int_equal(ipath_destroy(ib), 1);
	assert_non_null(
		strstr(test_log_take(), "ipath0: leak: still mapped at close; mapped (single, 10 bytes, to-device, "));
	unsetenv("SOFTHCA_LEDGER");
	mine_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(own_ops_are_called),
		T(unmaps_are_told_the_truth),
		T(platform_is_called),
		T(a_sum_is_the_platforms_answer),
		T(holes),
		T(drivers_refuse),
		T(environment_decides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
