/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sg_dma_address() and sg_dma_len() of lists that ib_dma_map_sg() mapped: what upper layers have read since Linux 5.1.
 * They are right where the source or the device asked for it. Where nothing was asked for nothing is stored, and a
 * ledger tells whoever reads them.
 */
#include "backends.h"
#include "no_leaks.h"
#include "verbs_fixture.h"
#include "why_fixture.h"

#define ENTRIES 5

/* Entries of low and, where there is such, high memory in turn; chained after the third. */
struct list {
	struct scatterlist sgl[ENTRIES + 1];
	struct page *page[ENTRIES];
};

static void list_make(struct list *l, struct backend *b, bool high)
{
	struct scatterlist *sg;
	u8 bytes[3000];
	int i;

	memset(l->sgl, 0, sizeof(l->sgl));
	sg_init_marker(l->sgl, ENTRIES + 1);
	sg_chain(l->sgl, 4, &l->sgl[4]);
	for_each_sg(l->sgl, sg, ENTRIES, i) {
		l->page[i] = backend_pages(b, high && i & 1, 0);
		sg_set_page(sg, l->page[i], 1000u + (unsigned int)i, 8u * (unsigned int)i);
		fill_pattern(bytes, sizeof(bytes), (unsigned int)i);
		cpu_put(l->page[i], sg->offset, bytes, sg->length);
	}
}

static void list_free(struct list *l)
{
	int i;

	for (i = 0; i < ENTRIES; i++)
		__free_pages(l->page[i], 0);
}

static void says_what_is_computed(struct backend *b, struct list *l, int n)
{
	u8 want[3000], got[3000];
	struct scatterlist *sg;
	int i;

	for_each_sg(l->sgl, sg, n, i) {
		assert_true(sg_dma_address(sg) == ib_sg_dma_address(b->ib, sg));
		assert_int_equal(sg_dma_len(sg), ib_sg_dma_len(b->ib, sg));
	}
	/* Nothing was merged: each entry has its own bytes. */
	if (n != ENTRIES)
		return;
	for_each_sg(l->sgl, sg, n, i) {
		fill_pattern(want, sizeof(want), (unsigned int)i);
		assert_int_equal(sg_dma_len(sg), 1000 + i);
		assert_int_equal(ib_dma_read(b->ib, sg_dma_address(sg), got, sg_dma_len(sg)), 0);
		assert_memory_equal(got, want, sg_dma_len(sg));
	}
}

/* What this source asks for. */
#undef IB_DMA_FILL_SG
#define IB_DMA_FILL_SG 1

static void source_fills(void **state)
{
	const struct backend_def *def;
	struct sg_table sgt;
	struct backend b;
	struct list l;
	int n;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		backend_start(&b, def);
		list_make(&l, &b, def->high && !def->refuse);
		n = ib_dma_map_sg(b.ib, l.sgl, ENTRIES, DMA_TO_DEVICE);
		assert_true(n > 0);
		says_what_is_computed(&b, &l, n);
		/* They may be assigned to. */
		sg_dma_address(l.sgl) += 16;
		sg_dma_len(l.sgl) -= 16;
		assert_true(sg_dma_address(l.sgl) != 0);
		sg_dma_address(l.sgl) -= 16;
		sg_dma_len(l.sgl) += 16;
		ib_dma_unmap_sg(b.ib, l.sgl, ENTRIES, DMA_TO_DEVICE);
		sgt = (struct sg_table){ .sgl = l.sgl, .orig_nents = ENTRIES };
		assert_int_equal(ib_dma_map_sgtable_attrs(b.ib, &sgt, DMA_BIDIRECTIONAL, 0), 0);
		says_what_is_computed(&b, &l, (int)sgt.nents);
		ib_dma_unmap_sgtable_attrs(b.ib, &sgt, DMA_BIDIRECTIONAL, 0);
		list_free(&l);
		backend_close(&b);
	}
}

/* An entry that has no address: the map fails, and leaves nothing mapped. */
static void what_has_no_address(void **state)
{
	const struct machine_attr other_attr = { .name = "other", .low_bytes = 2 << 20 };
	const struct backend_def *def;
	struct sg_table sgt;
	struct machine *other;
	struct page *foreign;
	struct backend b;
	struct list l;

	(void)state;
	assert_int_equal(machine_create(&other_attr, &other), 0);
	foreign = machine_alloc_pages(other, GFP_KERNEL, 0);
	assert_non_null(foreign);
	for (def = backend_defs; def->name; def++) {
		backend_start(&b, def);
		list_make(&l, &b, false);
		sg_set_page(&l.sgl[4], foreign, 512, 0);
		sgt = (struct sg_table){ .sgl = l.sgl, .orig_nents = ENTRIES };
		assert_int_equal(ib_dma_map_sgtable_attrs(b.ib, &sgt, DMA_TO_DEVICE, 0), -EFAULT);
		assert_int_equal(ib_dma_map_sg(b.ib, l.sgl, ENTRIES, DMA_TO_DEVICE), 0);
		backend_take_any(&b);
		sg_set_page(&l.sgl[4], l.page[3], 512, 0);
		sg_mark_end(&l.sgl[4]);
		sgt.orig_nents = ENTRIES;
		REFUSED(ib_dma_map_sgtable_attrs(b.ib, &sgt, DMA_TO_DEVICE, 0), -EINVAL, ": it ends ");
		backend_take_any(&b);
		assert_int_equal(backend_live(&b), 0);
		list_free(&l);
		backend_close(&b);
	}
	__free_pages(foreign, 0);
	assert_int_equal(machine_destroy(other), 0);
}

#undef IB_DMA_FILL_SG
#define IB_DMA_FILL_SG 0

static void nothing_is_stored(void **state)
{
	const struct backend_def *def;
	struct scatterlist before[ENTRIES + 1];
	struct backend b;
	struct list l;

	(void)state;
	for (def = backend_defs; def->name; def++) {
		if (!def->soft || def->ledger)
			continue;
		backend_start(&b, def);
		list_make(&l, &b, def->high && !def->refuse);
		memcpy(before, l.sgl, sizeof(before));
		assert_int_equal(ib_dma_map_sg(b.ib, l.sgl, ENTRIES, DMA_TO_DEVICE), ENTRIES);
		assert_memory_equal(before, l.sgl, sizeof(before));
		ib_dma_unmap_sg(b.ib, l.sgl, ENTRIES, DMA_TO_DEVICE);
		list_free(&l);
		backend_close(&b);
	}
}

static void device_fills(void **state)
{
	const struct ib_dma_config configs[] = { { .fill_sg = true }, { .fill_sg = true, .ledger = true } };
	const enum ipath_highmem highmem[] = { IPATH_HIGHMEM_TAGGED, IPATH_HIGHMEM_REFUSE };
	const struct machine_attr ma = { .name = "fills", .low_bytes = 2 << 20 };
	const struct device_attr da = { .name = "fills" };
	struct scatterlist sgl[2];
	struct ib_device *ib;
	struct machine *m;
	struct device *dev;
	struct page *page;
	int i;

	(void)state;
	assert_int_equal(machine_create(&ma, &m), 0);
	assert_int_equal(device_create(m, &da, &dev), 0);
	page = machine_alloc_pages(m, GFP_KERNEL, 1);
	assert_non_null(page);
	for (i = 0; i < 4; i++) {
		assert_int_equal(ipath_create(dev, "fills", highmem[i & 1], &configs[i >> 1], &ib), 0);
		sg_init_table(sgl, 2);
		sg_set_page(&sgl[0], page, 100, 8);
		sg_set_page(&sgl[1], page + 1, 4096, 0);
		assert_int_equal(ib_dma_map_sg(ib, sgl, 2, DMA_TO_DEVICE), 2);
		assert_true(sg_dma_address(&sgl[0]) == hca_addr_from_ptr((u8 *)page_address(page) + 8));
		assert_int_equal(sg_dma_len(&sgl[0]), 100);
		assert_true(sg_dma_address(&sgl[1]) == hca_addr_from_ptr(page_address(page + 1)));
		assert_int_equal(sg_dma_len(&sgl[1]), 4096);
		ib_dma_unmap_sg(ib, sgl, 2, DMA_TO_DEVICE);
		assert_int_equal(ipath_destroy(ib), 0);
	}
	__free_pages(page, 1);
	device_destroy(dev);
	assert_int_equal(machine_destroy(m), 0);
}

/* --- who reads what nobody stored --- */

static int told;
static char line[512];

static void note(void *ctx, const struct hca_misuse_report *r)
{
	(void)ctx;
	told++;
	assert_int_equal(r->what, HCA_MISUSE_USE_UNMAPPED);
	ib_dma_report_str(r, line, sizeof(line));
}

/* An RDMA write of a list that is read as Linux's upper layers do: it fails, and the report says what to do. */
static void reader_is_told(void **state)
{
	const struct ib_dma_config config = { .ledger = true, .report = note };
	struct scatterlist sg;
	struct ib_rdma_wr wr;
	struct page *page;
	struct ib_sge sge;
	struct end a, b;

	(void)state;
	told = 0;
	assert_int_equal(vk_device_with(&a, true, MACHINE_DIRECT, &config), 0);
	assert_int_equal(vk_device(&b, true, MACHINE_DIRECT), 0);
	vk_objects(&a, IB_QPT_RC, NULL);
	vk_objects(&b, IB_QPT_RC, NULL);
	vk_connect(a.qp, vk_lid(&b), b.qp->qp_num);
	vk_connect(b.qp, vk_lid(&a), a.qp->qp_num);
	page = machine_alloc_pages(a.machine, GFP_KERNEL, 0);
	assert_non_null(page);
	sg_init_one(&sg, page_address(page), 512);
	assert_int_equal(ib_dma_map_sg(a.dev, &sg, 1, DMA_TO_DEVICE), 1);
	sge = (struct ib_sge){ .addr = hca_dma_u64(sg_dma_address(&sg)) + 64,
			       .length = sg_dma_len(&sg) - 64,
			       .lkey = a.pd->local_dma_lkey };
	assert_int_equal(sge.length, 448);
	wr = (struct ib_rdma_wr){
		.wr = { .wr_id = 7, .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_RDMA_WRITE },
		.remote_addr = hca_dma_u64(b.addr),
		.rkey = b.mr->rkey,
	};
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
	vk_poll(&a, 7, IB_WC_LOC_PROT_ERR);
	assert_int_equal(told, 1);
	assert_non_null(strstr(line, "sg_dma_address()"));
	assert_non_null(strstr(line, "fill_sg"));
	assert_non_null(strstr(line, "test_sg_fill.c"));
	ib_dma_unmap_sg(a.dev, &sg, 1, DMA_TO_DEVICE);
	__free_pages(page, 0);
	vk_close(&a, &b);
	assert_int_equal(told, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(source_fills), T(what_has_no_address), T(nothing_is_stored), T(device_fills), T(reader_is_told),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
