/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Why memory isn't mapped, and why a machine, a bus device or an adapter isn't made: each refusal of machine.h,
 * dma-mapping.h, scatterlist.h, ib_dma.h and ib_device.h, with its words. And a device's access that is wrong is reported
 * once, however many pieces it comes in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "platform/platform.h"
#include "softhca/ib_dma.h"
#include "softhca/rdma_cm.h"
#include "why_fixture.h"

static struct machine *m;
static struct device *bus;

static struct machine *machine(enum machine_platform platform, u64 high)
{
	const struct machine_attr ma = {
		.name = "box", .platform = platform, .low_bytes = 8 << 20, .high_bytes = high
	};
	struct machine *made = NULL;

	assert_int_equal(machine_create(&ma, &made), 0);
	return made;
}

static void open_on(enum machine_platform platform, u64 high, const struct device_attr *da)
{
	test_os_reset(1);
	m = machine(platform, high);
	assert_int_equal(device_create(m, da, &bus), 0);
}

static void close_all(void)
{
	device_destroy(bus);
	assert_int_equal(machine_destroy(m), 0);
	assert_int_equal(test_leaks(), 0);
}

static const struct device_attr plain = { .name = "bus0" };

static void machines(void **state)
{
	struct machine_attr ma = { .name = "box", .low_bytes = 4097 };
	struct page *page;

	(void)state;
	test_os_reset(1);
	REFUSED(machine_create(NULL, &m), -EINVAL, "attributes or out is NULL");
	REFUSED(machine_create(&ma, &m), -EINVAL, "machine box not made", "multiples of 2 MiB");
	ma = (struct machine_attr){ .name = "box", .platform = (enum machine_platform)9 };
	REFUSED(machine_create(&ma, &m), -EINVAL, "no such platform");
	ma = (struct machine_attr){ .name = "box", .platform = MACHINE_BOUNCE, .file_bytes = 2 << 20 };
	REFUSED(machine_create(&ma, &m), -EINVAL, "MACHINE_BOUNCE has no file_bytes");
	ma = (struct machine_attr){
		.name = "box", .platform = MACHINE_BOUNCE, .low_bytes = 4 << 20, .bounce_bytes = 4 << 20
	};
	REFUSED(machine_create(&ma, &m), -EINVAL, "bounce_bytes must be less than low_bytes");
	ma = (struct machine_attr){ .name = "box", .low_bytes = 1ull << 60 };
	REFUSED(machine_create(&ma, &m), -EINVAL, "no room among physical addresses");
	ma = (struct machine_attr){ .name = "box", .low_bytes = 4 << 20, .phys = (1ull << 52) - (2 << 20) };
	REFUSED(machine_create(&ma, &m), -EINVAL, "no room among physical addresses from phys on");
	REFUSED(alloc_pages(GFP_KERNEL, 0), 0, "there is no machine; machine_create() makes one");
	REFUSED(machine_destroy(NULL), -EINVAL, "it is NULL");
	m = machine(MACHINE_DIRECT, 0);
	REFUSED(alloc_pages(GFP_KERNEL, 40), 0, "box: no pages: order 40, must be from 0 to");
	REFUSED(machine_alloc_pages(m, GFP_KERNEL, MACHINE_MAX_ORDER), 0, "refused:", "in one piece are free");
	REFUSED(machine_map_file(m, 0, 0, 4096, false, NULL), -EINVAL, "machine or page is NULL");
	REFUSED(machine_map_file(m, 0, 0, 17, false, &page), -EINVAL, "17 bytes from 0, must be whole pages");
	REFUSED(machine_map_file(m, 0, 0, 4096, false, &page), -ENOSPC,
		"no addresses are free (machine_attr.file_bytes)");
	assert_int_equal(machine_destroy(m), 0);
}

static void bus_devices(void **state)
{
	struct device_attr da = { .name = "bus0", .dma_mask = 15 };

	(void)state;
	test_os_reset(1);
	m = machine(MACHINE_BOUNCE, 0);
	REFUSED(device_create(m, NULL, &bus), -EINVAL, "machine, attributes or out is NULL");
	REFUSED(device_create(m, &da, &bus), -EINVAL, "bus0: bus device not made: dma_mask 0xf", "take a page");
	da.dma_mask = PAGE_SIZE - 1;
	REFUSED(device_create(m, &da, &bus), -EINVAL, "dma_mask 0xfff doesn't reach the bounce pool");
	assert_int_equal(machine_destroy(m), 0);
	m = machine(MACHINE_IOMMU, 0);
	REFUSED(device_create(m, &da, &bus), -EINVAL, "dma_mask 0xfff leaves no room for addresses");
	assert_int_equal(machine_destroy(m), 0);
}

/* What the host doesn't give: each allocation in turn, and the machine whose number is one too many. */
static void no_room(void **state)
{
	static struct machine *all[65];
	const struct machine_attr ma = { .name = "box", .low_bytes = 2 << 20 };
	bool arena = false, addresses = false;
	u32 n;

	(void)state;
	test_os_reset(1);
	for (n = 1; all[0] == NULL; n++) {
		(void)test_why_take();
		test_fail_at(n);
		(void)machine_create(&ma, &all[0]);
		test_fail_at(0);
		if (all[0])
			break;
		arena |= why_said_one_of("machine box not made: the host gives no memory of 2097152 bytes");
		addresses |= why_said_one_of("machine box not made: no addresses for 2097152 bytes");
	}
	assert_true(arena && addresses);
	for (n = 1; n < 64; n++)
		assert_int_equal(machine_create(&ma, &all[n]), 0);
	REFUSED(machine_create(&ma, &all[n]), -ENOMEM, "there are 64, as many as may be");
	while (n--)
		assert_int_equal(machine_destroy(all[n]), 0);
	assert_int_equal(test_leaks(), 0);
}

#define MAP_REFUSED(call, err, ...) REFUSED(hca_dma_errno(call), err, __VA_ARGS__)
#define ONLY_ITS_OWN "Only its memory can be mapped", "no stack", "alloc_pages(), dma_alloc_coherent()", "kmalloc()"

static void bus_maps(void **state)
{
	struct scatterlist sg[2];
	struct sg_table table;
	char on_stack[64];
	dma_addr_t handle;
	struct page *page;

	(void)state;
	open_on(MACHINE_DIRECT, 0, &plain);
	page = alloc_pages(GFP_KERNEL, 0);
	MAP_REFUSED(dma_map_single(NULL, on_stack, 8, DMA_TO_DEVICE), -EINVAL, "map_single refused: no device");
	MAP_REFUSED(dma_map_page(NULL, page, 0, 8, DMA_TO_DEVICE), -EINVAL, "map_page refused: no device");
	MAP_REFUSED(dma_map_single(bus, on_stack, 8, DMA_TO_DEVICE), -EFAULT,
		    "mistake: bus0: map refused: not memory of machine box", ONLY_ITS_OWN);
	MAP_REFUSED(dma_map_page(bus, page, 0, 0, DMA_TO_DEVICE), -EINVAL, "bus0: map refused: no bytes");
	MAP_REFUSED(dma_map_page(bus, page, 0, 8, DMA_NONE), -EINVAL, "direction 3, must be DMA_TO_DEVICE");
	MAP_REFUSED(dma_map_page(bus, page, 0, 1 << 30, DMA_TO_DEVICE), -EFAULT, "1073741824 bytes go beyond the end");
	REFUSED(dma_map_sg(bus, NULL, 1, DMA_TO_DEVICE), 0, "list refused: 1 entries at");
	sg_init_table(sg, 2);
	sg_set_page(sg, page, 64, 0);
	REFUSED(dma_map_sg(bus, sg, 2, DMA_TO_DEVICE), 0, "list with entry 1 of 2");
	sg_set_page(sg + 1, page, 0, 0);
	REFUSED(dma_map_sg(bus, sg, 2, DMA_TO_DEVICE), 0, "entry 1 of 2 refused: no bytes");
	sg_mark_end(sg);
	REFUSED(dma_map_sg(bus, sg, 2, DMA_TO_DEVICE), 0, "it ends before entry 1 of 2");
	REFUSED(dma_map_sgtable(bus, NULL, DMA_TO_DEVICE, 0), -EINVAL, "device or table is NULL");
	REFUSED(sg_nents_for_len(sg, 100), -EINVAL, "1 entries have 64 bytes, fewer than 100");
	REFUSED(sg_alloc_table(NULL, 1, GFP_KERNEL), -EINVAL, "the table is NULL");
	REFUSED(sg_alloc_table(&table, 0, GFP_KERNEL), -EINVAL, "0 entries, must be from 1 to");
	REFUSED(dma_alloc_coherent(bus, 0, &handle, GFP_KERNEL), 0, "device, handle or size is 0");
	REFUSED(dma_alloc_coherent(bus, 1 << 30, &handle, GFP_KERNEL), 0,
		"bus0: no coherent memory of 1073741824 bytes");
	__free_pages(page, 0);
	close_all();
}

static void limits(void **state)
{
	const struct device_attr small = { .name = "bus0", .max_seg_size = 4096 };
	struct device_attr near = { .name = "bus0", .dma_mask = PAGE_SIZE - 1 };
	struct scatterlist sg;
	struct page *page;

	(void)state;
	open_on(MACHINE_DIRECT, 0, &small);
	page = alloc_pages(GFP_KERNEL, 1);
	sg_init_table(&sg, 1);
	sg_set_page(&sg, page, 8192, 0);
	REFUSED(dma_map_sg(bus, &sg, 1, DMA_TO_DEVICE), 0, "8192 bytes, max_seg_size is 4096");
	__free_pages(page, 1);
	close_all();
	open_on(MACHINE_DIRECT, 0, &near);
	page = alloc_pages(GFP_KERNEL, 0);
	MAP_REFUSED(dma_map_page(bus, page, 0, 8, DMA_TO_DEVICE), -EIO, "beyond its dma_mask, 0xfff");
	REFUSED(dma_alloc_coherent(bus, 64, &(dma_addr_t){ 0 }, GFP_KERNEL), 0, "no coherent memory of 64 bytes",
		"the device reaches none");
	__free_pages(page, 0);
	close_all();
	open_on(MACHINE_DIRECT, 4 << 20, &plain);
	page = page_from_offset(m, (8u << 20) - PAGE_SIZE);
	MAP_REFUSED(dma_map_page(bus, page, 0, 8192, DMA_TO_DEVICE), -EINVAL,
		    "begin in low memory and end in high memory");
	close_all();
}

static void bounce(void **state)
{
	(void)state;
	open_on(MACHINE_BOUNCE, 0, &plain);
	MAP_REFUSED(dma_map_page(bus, page_from_offset(m, 0), 0, 8, DMA_TO_DEVICE), -EFAULT,
		    "bus0: map refused: that is the bounce pool's own memory");
	close_all();
}

/* Calls that return nothing: an error in the log, the first of each kind. */
static void unmaps(void **state)
{
	struct scatterlist sg;
	dma_addr_t addr;
	struct page *page;

	(void)state;
	open_on(MACHINE_IOMMU, 0, &plain);
	page = alloc_pages(GFP_KERNEL, 0);
	addr = dma_map_page(bus, page, 0, 64, DMA_TO_DEVICE);
	(void)test_log_take();
	dma_sync_single_for_cpu(bus, addr, 64, DMA_NONE);
	LOGGED("bus0: sync for the CPU refused: address", "direction 3", ": no such direction");
	dma_unmap_page(bus, addr, 64, DMA_TO_DEVICE);
	dma_unmap_page(bus, addr, 64, DMA_TO_DEVICE);
	LOGGED("bus0: unmap refused: address", ": there is no such mapping");
	dma_free_coherent(bus, 64, page_address(page), addr);
	LOGGED("bus0: free of coherent memory refused: address");
	device_destroy(bus);
	assert_int_equal(device_create(m, &plain, &bus), 0);
	dma_unmap_sg(bus, NULL, 1, DMA_TO_DEVICE);
	LOGGED("bus0: unmap of a list refused: address");
	dma_sync_single_for_device(bus, addr, 0, DMA_TO_DEVICE);
	LOGGED("bus0: sync for the device refused: address");
	device_destroy(bus);
	assert_int_equal(device_create(m, &plain, &bus), 0);
	sg_init_table(&sg, 1);
	dma_sync_sg_for_cpu(bus, &sg, 0, DMA_TO_DEVICE);
	LOGGED("bus0: sync of a list refused: address");
	__free_pages(page, 0);
	close_all();
}

/* --- through a verbs device --- */

static void device_maps(void **state)
{
	const struct ib_dma_config ledger = { .ledger = true }, filling = { .fill_sg = true };
	struct scatterlist sg;
	struct ib_device *dev;
	struct ib_dma_totals totals;
	char on_stack[64];
	struct page *high;
	dma_addr_t handle;

	(void)state;
	open_on(MACHINE_IOMMU, 4 << 20, &plain);
	REFUSED(ipath_create(NULL, "x", IPATH_HIGHMEM_TAGGED, NULL, &dev), -EINVAL,
		"ipath not made: dma_device is NULL");
	REFUSED(dmahca_create(bus, "x", NULL, NULL), -EINVAL, "dmahca not made: dma_device or out is NULL");
	REFUSED(ib_register_device(NULL, "x", bus, NULL), -EINVAL, "device, name or dma_device is NULL");

	assert_int_equal(ipath_create(bus, "fill0", IPATH_HIGHMEM_REFUSE, &filling, &dev), 0);
	high = machine_alloc_pages(m, GFP_HIGHUSER, 0);
	sg_init_table(&sg, 1);
	sg_set_page(&sg, high, 64, 0);
	REFUSED(ib_dma_map_sg(dev, &sg, 1, DMA_TO_DEVICE), 0, "high memory, which this device doesn't map");
	__free_pages(high, 0);
	assert_int_equal(ipath_destroy(dev), 0);
	assert_int_equal(ipath_create(bus, "copy0", IPATH_HIGHMEM_REFUSE, NULL, &dev), 0);
	MAP_REFUSED(ib_dma_map_single(dev, on_stack, 8, DMA_TO_DEVICE), -EFAULT, "copy0: map at",
		    "test_why_dma.c:", ONLY_ITS_OWN);
	high = machine_alloc_pages(m, GFP_HIGHUSER, 0);
	sg_init_table(&sg, 1);
	sg_set_page(&sg, high, 64, 0);
	REFUSED(ib_dma_map_sg(dev, &sg, 1, DMA_TO_DEVICE), 0,
		"entry 0 of 1 is high memory, which this device doesn't map");
	MAP_REFUSED(ib_dma_map_page(dev, high, 0, 64, DMA_TO_DEVICE), -EOPNOTSUPP,
		    "high memory, which this device doesn't map");
	REFUSED(ib_dma_map_sg(dev, &sg, 1, DMA_NONE), 0, "direction 3");
	REFUSED(ib_dma_get_totals(dev, &totals), -ENOENT, "copy0: no totals: it keeps no ledger", "SOFTHCA_LEDGER=1");
	REFUSED(ib_dma_alloc_coherent(dev, 0, &handle, GFP_KERNEL), 0, "size or handle is 0", "test_why_dma.c:");
	assert_int_equal(ipath_destroy(dev), 0);
	__free_pages(high, 0);

	assert_int_equal(dmahca_create(bus, "dma0", &ledger, &dev), 0);
	MAP_REFUSED(ib_dma_map_single(dev, on_stack, 8, DMA_TO_DEVICE), -EFAULT, "bus0: map refused", ONLY_ITS_OWN);
	REFUSED(ib_dma_read(dev, hca_dma_addr(0x10), on_stack, 8), -EFAULT, "dma0: access to 8 bytes at 0x10",
		"test_why_dma.c:", "see machine_faults()");
	REFUSED(ib_dma_write(dev, hca_dma_error(-EIO), on_stack, 8), -EFAULT, "the error of a map that failed");
	assert_int_equal(dmahca_destroy(dev), 0);
	close_all();
}

static void clients(void **state)
{
	struct ib_client client = { .name = "ulp" };

	(void)state;
	test_os_reset(1);
	assert_int_equal(ib_register_client(&client), 0);
	REFUSED(ib_register_client(&client), -EBUSY, "client ulp not registered: it is registered already");
	ib_unregister_client(&client);
}

/* --- one report --- */

static u32 reports;

static void count(void *ctx, const struct hca_misuse_report *r)
{
	(void)ctx;
	assert_int_equal(r->what, HCA_MISUSE_USE_DIR);
	reports++;
}

/* 16 pages that lie apart, mapped as one list: the device writes into all of them, and may write into none. */
static void one_report(void **state)
{
	const struct ib_dma_config config = { .ledger = true, .report = count };
	static u8 bytes[4096];
	struct scatterlist sg[16];
	struct page *page[16];
	struct ib_device *dev;
	u32 i;

	(void)state;
	open_on(MACHINE_DIRECT, 0, &plain);
	assert_int_equal(ipath_create(bus, "copy0", IPATH_HIGHMEM_TAGGED, &config, &dev), 0);
	sg_init_table(sg, 16);
	for (i = 0; i < 16; i++) {
		page[i] = alloc_pages(GFP_KERNEL, 1);
		assert_non_null(page[i]);
		sg_set_page(&sg[i], page[i], PAGE_SIZE, 0);
	}
	assert_int_equal(ib_dma_map_sg(dev, sg, 16, DMA_TO_DEVICE), 16);
	for (i = 0; i < 16; i++)
		assert_int_equal(ib_dma_write_at(dev, ib_sg_dma_address(dev, &sg[i]), bytes, PAGE_SIZE, "post.c:1"), 0);
	assert_int_equal(reports, 1);
	/* The same again is another one, and so is one from elsewhere. */
	assert_int_equal(ib_dma_write_at(dev, ib_sg_dma_address(dev, &sg[0]), bytes, PAGE_SIZE, "post.c:1"), 0);
	assert_int_equal(reports, 2);
	assert_int_equal(ib_dma_write_at(dev, ib_sg_dma_address(dev, &sg[1]), bytes, PAGE_SIZE, "post.c:2"), 0);
	assert_int_equal(reports, 3);
	ib_dma_unmap_sg(dev, sg, 16, DMA_TO_DEVICE);
	for (i = 0; i < 16; i++)
		__free_pages(page[i], 1);
	assert_int_equal(ipath_destroy(dev), 0);
	close_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(machines),   cmocka_unit_test(bus_devices), cmocka_unit_test(bus_maps),
		cmocka_unit_test(limits),     cmocka_unit_test(device_maps), cmocka_unit_test(clients),
		cmocka_unit_test(one_report), cmocka_unit_test(no_room),     cmocka_unit_test(bounce),
		cmocka_unit_test(unmaps),
	};

	return cmocka_run_group_tests_name("why_dma", tests, NULL, NULL);
}
