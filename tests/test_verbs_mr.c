/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What an MR covers: random lists of low and high memory, mapped by each kind of adapter, laid out by
 * ib_map_mr_sg() and registered, against a model of which bytes fit; and what its keys are good for, how long. The bytes are
 * found by RDMA from another machine: byte k of the MR is byte k of the list.
 */
#include "verbs_fixture.h"

#include "test/test_os.h"

#define BLOCK_ORDER 11 /* 8 MiB of each zone */
#define BLOCK_BYTES (4096u << BLOCK_ORDER)
#define ENTRIES 8
#define MARGIN 64u

static struct end a, b;
static struct page *block[2]; /* low, high */
static u32 seed;

static u32 pick(u32 n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static int b_device(bool soft, enum machine_platform platform)
{
	const struct machine_attr ma = {
		.name = "mr", .platform = platform, .low_bytes = 32 << 20, .high_bytes = 32 << 20
	};
	const struct device_attr da = { .name = "mr" };
	const struct ib_dma_config config = { .ledger = true };

	memset(&b, 0, sizeof(b));
	assert_int_equal(machine_create(&ma, &b.machine), 0);
	assert_int_equal(device_create(b.machine, &da, &b.bus), 0);
	b.soft = soft;
	return soft ? ipath_create(b.bus, "mr", IPATH_HIGHMEM_TAGGED, &config, &b.dev) :
		      dmahca_create(b.bus, "mr", &config, &b.dev);
}

static void open_ends(bool soft, enum machine_platform platform)
{
	test_os_reset(1);
	assert_int_equal(vk_device(&a, true, MACHINE_DIRECT), 0);
	assert_int_equal(b_device(soft, platform), 0);
	vk_objects(&a, IB_QPT_RC, NULL);
	vk_objects(&b, IB_QPT_RC, NULL);
	vk_connect(a.qp, vk_lid(&b), b.qp->qp_num);
	vk_connect(b.qp, vk_lid(&a), a.qp->qp_num);
	block[0] = machine_alloc_pages(b.machine, GFP_KERNEL, BLOCK_ORDER);
	block[1] = machine_alloc_pages(b.machine, GFP_HIGHUSER, BLOCK_ORDER);
	assert_non_null(block[0]);
	assert_non_null(block[1]);
	assert_false(PageHighMem(block[0]));
	assert_true(PageHighMem(block[1]));
}

static void close_ends(void)
{
	__free_pages(block[0], BLOCK_ORDER);
	__free_pages(block[1], BLOCK_ORDER);
	vk_close(&a, &b);
	assert_int_equal(test_leaks(), 0);
}

static void reconnect(void)
{
	struct ib_qp_attr at = { .qp_state = IB_QPS_RESET };

	assert_int_equal(ib_modify_qp(a.qp, &at, IB_QP_STATE), 0);
	assert_int_equal(ib_modify_qp(b.qp, &at, IB_QP_STATE), 0);
	vk_connect(a.qp, vk_lid(&b), b.qp->qp_num);
	vk_connect(b.qp, vk_lid(&a), a.qp->qp_num);
}

/* --- lists --- */

/* Entries that overlap nowhere: one goes on where the last ended, begins on the next page, or anywhere. */
static int make_list(struct scatterlist *sg, u32 page_size)
{
	u32 at[2] = { pick(4) ? 0 : pick(page_size), pick(page_size) };
	int n = 1 + (int)pick(ENTRIES), i;
	u32 neat = pick(3); /* nearly always whole pages, sometimes, hardly */
	u32 zone = pick(2);

	for (i = 0; i < n; i++) {
		u32 len;

		if (!pick(4))
			zone = !zone;
		if (neat < 2 && pick(8))
			at[zone] = (at[zone] + page_size - 1) & ~(page_size - 1);
		else if (pick(2))
			at[zone] += pick(9000);
		len = 1 + pick(pick(3) ? 2 * page_size : 5000);
		if (neat < 2 && pick(neat ? 4 : 12))
			len = (1 + pick(2)) * page_size - (at[zone] & (page_size - 1));
		if (at[zone] >= BLOCK_BYTES || len > BLOCK_BYTES - at[zone])
			break;
		sg_set_page(&sg[i], nth_page(block[zone], at[zone] >> PAGE_SHIFT), len, at[zone] & 4095);
		at[zone] += len;
	}
	if (i)
		sg_mark_end(&sg[i - 1]);
	return i;
}

/* --- the model: how much of a mapped list so many pages of this size can name --- */

struct fit {
	int entries; /* as a whole */
	u64 bytes;
	u32 offset; /* in the first entry that didn't fit */
};

static struct fit model(struct scatterlist *sg, int n, u32 skip, u32 page_size, u32 room)
{
	struct fit f = { 0 };
	u64 end = 0;
	u32 pages = 0;

	for (; f.entries < n; f.entries++, sg = sg_next(sg)) {
		u64 addr = hca_dma_u64(ib_sg_dma_address(b.dev, sg)) + skip, from = addr;
		u64 stop = addr + ib_sg_dma_len(b.dev, sg) - skip;

		if (f.bytes && addr != end && (addr % page_size || end % page_size))
			return f; /* a gap within a page */
		while (addr < stop) {
			u64 next = HCA_MIN(stop, (addr / page_size + 1) * page_size);

			if ((!f.bytes || !(addr % page_size)) && pages++ == room) {
				f.offset = addr == from ? 0 : skip + (u32)(addr - from);
				return f;
			}
			f.bytes += next - addr;
			addr = next;
		}
		end = stop;
		skip = 0;
	}
	return f;
}

/* --- one list --- */

static u8 bytes[VK_BYTES + 2 * MARGIN], seen[VK_BYTES + 2 * MARGIN];

static void set_list(struct scatterlist *sg, int n, u64 at, u32 len, u8 value)
{
	memset(bytes, value, len);
	assert_int_equal(sg_pcopy_from_buffer(sg, (unsigned int)n, bytes, len, at), len);
}

/* Write through the key somewhere, and see it there in the list, and nothing beside it; read back. */
static void carry(struct scatterlist *sg, int n, u32 skip, const struct ib_mr *mr, u64 first_name)
{
	u64 at = mr->length > 1 ? pick((u32)HCA_MIN(mr->length, (u64)1 << 24)) : 0;
	u32 wish = 1 + pick(pick(2) ? 5000 : VK_BYTES);
	u32 len = (u32)HCA_MIN(mr->length - at, (u64)wish);
	u64 low = HCA_MIN(at + skip, (u64)MARGIN);
	u64 from = at + skip - low;
	u32 i, window;

	set_list(sg, n, at + skip, len, 0);
	window = (u32)sg_pcopy_to_buffer(sg, (unsigned int)n, bytes, low + len + MARGIN, from);
	assert_in_range(window, low + len, low + len + MARGIN);
	for (i = 0; i < len; i++)
		bytes[low + i] = a.buf[i] = (u8)(1 + pick(255));
	assert_int_equal(vk_rdma(&a, 1, IB_WR_RDMA_WRITE, 0, len, first_name + at, mr->rkey), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	assert_int_equal(sg_pcopy_to_buffer(sg, (unsigned int)n, seen, window, from), window);
	assert_memory_equal(seen, bytes, window);
	memset(a.buf, 0, len);
	assert_int_equal(vk_rdma(&a, 2, IB_WR_RDMA_READ, 0, len, first_name + at, mr->rkey), 0);
	vk_poll(&a, 2, IB_WC_SUCCESS);
	assert_memory_equal(a.buf, bytes + low, len);
}

static void no_access(u64 addr, u32 rkey)
{
	assert_int_equal(vk_rdma(&a, 3, IB_WR_RDMA_WRITE, 0, 1, addr, rkey), 0);
	vk_poll(&a, 3, IB_WC_REM_ACCESS_ERR);
	reconnect();
}

static void invalidate(u32 rkey, enum ib_wc_status status)
{
	struct ib_send_wr inv = { .wr_id = 4, .opcode = IB_WR_LOCAL_INV, .ex = { .invalidate_rkey = rkey } };

	assert_int_equal(ib_post_send(b.qp, &inv, NULL), 0);
	vk_poll(&b, 4, status);
	if (status)
		reconnect();
}

static void reg(struct ib_mr *mr, int access)
{
	struct ib_reg_wr wr = {
		.wr = { .wr_id = 5, .opcode = IB_WR_REG_MR }, .mr = mr, .key = mr->rkey, .access = access
	};

	assert_int_equal(ib_post_send(b.qp, &wr.wr, NULL), 0);
	vk_poll(&b, 5, IB_WC_SUCCESS);
}

/* What the rounds met, so that none of it is missing. */
static struct {
	u32 whole, cut_by_gap, cut_by_room, cut_within, merged, high, zero_based, skipped;
} met;

static void round_of(struct ib_mr *mr, u32 room)
{
	const u32 page_size = 4096u << (pick(3) ? pick(3) : pick(10));
	struct scatterlist sg[ENTRIES];
	u32 skip, old, first = mr->rkey >> 8;
	bool zero_based = !pick(3);
	unsigned int offset;
	struct fit want;
	int nents, n, i;

	sg_init_table(sg, ENTRIES);
	nents = make_list(sg, page_size);
	if (!nents)
		return;
	n = ib_dma_map_sg(b.dev, sg, nents, DMA_BIDIRECTIONAL);
	assert_in_range(n, 1, nents);
	skip = pick(3) ? 0 : pick(ib_sg_dma_len(b.dev, sg));
	offset = skip;
	want = model(sg, n, skip, page_size, room);
	assert_int_equal(ib_map_mr_sg(mr, sg, n, skip || pick(2) ? &offset : NULL, page_size), want.entries);
	assert_int_equal(mr->length, want.bytes);
	assert_int_equal(mr->page_size, page_size);
	assert_int_equal(mr->iova, hca_dma_u64(ib_sg_dma_address(b.dev, sg)) + skip);
	if (skip)
		assert_int_equal(offset, want.offset);
	old = mr->rkey;
	ib_update_fast_reg_key(mr, (u8)pick(256));
	assert_int_equal(mr->rkey >> 8, first);
	assert_int_equal(mr->lkey, mr->rkey);
	reg(mr, VK_RIGHTS | (zero_based ? IB_ZERO_BASED : 0));
	for (i = 0; i < 3; i++)
		carry(sg, nents, skip, mr, zero_based ? 0 : mr->iova);
	if (!pick(8)) {
		no_access((zero_based ? 0 : mr->iova) + mr->length, mr->rkey);
		no_access((zero_based ? 0 : mr->iova) - 1, mr->rkey);
		if (old != mr->rkey)
			no_access(zero_based ? 0 : mr->iova, old);
	}
	invalidate(mr->rkey, IB_WC_SUCCESS);
	if (!pick(8)) {
		no_access(zero_based ? 0 : mr->iova, mr->rkey);
		invalidate(mr->rkey, IB_WC_SUCCESS); /* free already: rxe and siw say so too */
	}
	met.whole += want.entries == n;
	met.cut_within += want.entries < n && want.offset;
	met.cut_by_gap += want.entries < n && !want.offset && want.entries;
	met.cut_by_room += want.entries < n && want.bytes >= (u64)(room - 1) * page_size;
	met.merged += n < nents;
	met.high += PageHighMem(sg_page(sg));
	met.zero_based += zero_based;
	met.skipped += skip > 0;
	ib_dma_unmap_sg(b.dev, sg, nents, DMA_BIDIRECTIONAL);
}

static void random_lists(void **state)
{
	static const struct {
		bool soft;
		enum machine_platform platform;
	} beds[] = { { true, MACHINE_DIRECT }, { false, MACHINE_IOMMU }, { false, MACHINE_DIRECT } };
	size_t i;
	u32 n;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(beds); i++) {
		memset(&met, 0, sizeof(met));
		seed = 7 + (u32)i;
		open_ends(beds[i].soft, beds[i].platform);
		for (n = 0; n < 400; n++) {
			u32 room = 1 + pick(12);
			struct ib_mr *mr = ib_alloc_mr(b.pd, IB_MR_TYPE_MEM_REG, room);

			assert_false(IS_ERR(mr));
			round_of(mr, room);
			round_of(mr, room);
			assert_int_equal(ib_dereg_mr(mr), 0);
		}
		assert_true(met.whole > 50 && met.cut_by_gap > 20 && met.cut_within > 20 && met.cut_by_room > 20);
		assert_true(met.high > 50 && met.zero_based > 50 && met.skipped > 50);
		/* Where an entry has no length of its own for the device, none is merged. */
#ifdef SOFTHCA_SG_LAYOUT_JOINED
		assert_int_equal(met.merged, 0);
#else
		if (beds[i].platform == MACHINE_IOMMU)
			assert_true(met.merged > 20);
#endif
		close_ends();
	}
}

/* --- pages that stay --- */

static void physical_buffers(void **state)
{
	u32 round;

	(void)state;
	open_ends(false, MACHINE_IOMMU);
	seed = 3;
	for (round = 0; round < 200; round++) {
		bool zero_based = round & 1;
		u64 at = 0, total = 0, iova = ((u64)pick(1000) << 12) + (pick(2) ? pick(4096) : 0);
		struct ib_phys_buf buf[4];
		struct scatterlist sg[4];
		dma_addr_t addr[4];
		struct ib_mr *mr;
		int n = 1 + (int)pick(4), i;

		sg_init_table(sg, (unsigned int)n);
		for (i = 0; i < n; i++) {
			u32 in = i ? 0 : (u32)iova & 4095;
			u32 size = 4096 * (1 + pick(5)) - in;

			if (i == n - 1)
				size -= pick(size);
			at += 4096 * pick(3);
			sg_set_page(&sg[i], nth_page(block[i & 1], at >> PAGE_SHIFT), size, in);
			addr[i] = ib_dma_map_page(b.dev, nth_page(block[i & 1], at >> PAGE_SHIFT), in, size,
						  DMA_BIDIRECTIONAL);
			assert_int_equal(ib_dma_mapping_error(b.dev, addr[i]), 0);
			buf[i] = (struct ib_phys_buf){ .addr = hca_dma_u64(addr[i]), .size = size };
			total += size;
			at += (in + size + 4095) & ~4095u;
		}
		mr = ib_reg_phys_mr(b.pd, buf, n, VK_RIGHTS | (zero_based ? IB_ZERO_BASED : 0), &iova);
		assert_false(IS_ERR(mr));
		assert_int_equal(mr->length, total);
		assert_int_equal(mr->iova, zero_based ? 0 : iova);
		carry(sg, n, 0, mr, mr->iova);
		carry(sg, n, 0, mr, mr->iova);
		no_access(mr->iova + mr->length, mr->rkey);
		no_access(mr->iova - 1, mr->rkey);
		assert_int_equal(ib_dereg_mr(mr), 0);
		for (i = 0; i < n; i++)
			ib_dma_unmap_page(b.dev, addr[i], buf[i].size, DMA_BIDIRECTIONAL);
	}
	close_ends();
}

/* --- keys --- */

static void keys_go_round(void **state)
{
	struct ib_mr *mr;
	struct scatterlist sg;
	u32 n, index;

	(void)state;
	assert_int_equal(ib_inc_rkey(0x123400), 0x123401);
	assert_int_equal(ib_inc_rkey(0x1234ff), 0x123400);
	assert_int_equal(ib_inc_rkey(~0u), 0xffffff00);
	open_ends(true, MACHINE_DIRECT);
	mr = ib_alloc_mr(b.pd, IB_MR_TYPE_MEM_REG, 4);
	assert_false(IS_ERR(mr));
	index = mr->rkey >> 8;
	sg_init_table(&sg, 1);
	sg_set_page(&sg, block[0], 4096, 0);
	assert_int_equal(ib_dma_map_sg(b.dev, &sg, 1, DMA_BIDIRECTIONAL), 1);
	/* Laid out once, it may be registered many times, each with the next key; all 256 come again. */
	assert_int_equal(ib_map_mr_sg(mr, &sg, 1, NULL, 4096), 1);
	for (n = 0; n < 600; n++) {
		u32 old = mr->rkey;

		ib_update_fast_reg_key(mr, (u8)ib_inc_rkey(mr->rkey));
		assert_int_equal(mr->rkey >> 8, index);
		reg(mr, VK_RIGHTS);
		carry(&sg, 1, 0, mr, mr->iova);
		if (n % 100 == 0)
			no_access(mr->iova, old);
		invalidate(mr->rkey, IB_WC_SUCCESS);
	}
	ib_dma_unmap_sg(b.dev, &sg, 1, DMA_BIDIRECTIONAL);
	assert_int_equal(ib_dereg_mr(mr), 0);
	close_ends();
}

/* The sender invalidates at the receiver; what may not be is told at both ends. */
static void remote_invalidation(void **state)
{
	struct ib_mr *mr, *closed, *other;
	struct ib_pd *pd;
	struct scatterlist sg;
	struct ib_wc wc;
	u32 i;

	(void)state;
	open_ends(true, MACHINE_DIRECT);
	pd = ib_alloc_pd(b.dev, 0);
	assert_false(IS_ERR(pd));
	mr = ib_alloc_mr(b.pd, IB_MR_TYPE_MEM_REG, 4);
	closed = ib_alloc_mr(b.pd, IB_MR_TYPE_MEM_REG, 4);
	other = ib_alloc_mr(pd, IB_MR_TYPE_MEM_REG, 4);
	assert_false(IS_ERR(mr) || IS_ERR(closed) || IS_ERR(other));
	sg_init_table(&sg, 1);
	sg_set_page(&sg, block[0], 4096, 0);
	assert_int_equal(ib_dma_map_sg(b.dev, &sg, 1, DMA_BIDIRECTIONAL), 1);
	assert_int_equal(ib_map_mr_sg(mr, &sg, 1, NULL, 4096), 1);
	assert_int_equal(ib_map_mr_sg(closed, &sg, 1, NULL, 4096), 1);
	reg(mr, VK_RIGHTS);
	reg(closed, IB_ACCESS_LOCAL_WRITE);
	for (i = 0; i < 6; i++) {
		/* a good one; the same again; never valid; not open to peers; all memory; nobody's */
		const u32 keys[] = { mr->rkey, mr->rkey, other->rkey, closed->rkey, b.mr->rkey, ~0u };
		struct ib_send_wr wr = { .wr_id = 1,
					 .opcode = IB_WR_SEND_WITH_INV,
					 .ex = { .invalidate_rkey = keys[i] } };

		assert_int_equal(vk_recv(&b, 2, 0, 0), 0);
		assert_int_equal(ib_post_send(a.qp, &wr, NULL), 0);
		vk_poll(&a, 1, i ? IB_WC_REM_ACCESS_ERR : IB_WC_SUCCESS);
		wc = vk_poll(&b, 2, i ? IB_WC_MW_BIND_ERR : IB_WC_SUCCESS);
		if (!i) {
			assert_int_equal(wc.wc_flags, IB_WC_WITH_INVALIDATE);
			assert_int_equal(wc.ex.invalidate_rkey, mr->rkey);
			no_access(mr->iova, mr->rkey);
		} else {
			reconnect();
		}
	}
	/* The one that wasn't open is valid still, and goes by its owner's request. */
	invalidate(closed->rkey, IB_WC_SUCCESS);
	ib_dma_unmap_sg(b.dev, &sg, 1, DMA_BIDIRECTIONAL);
	assert_int_equal(ib_dereg_mr(mr), 0);
	assert_int_equal(ib_dereg_mr(closed), 0);
	assert_int_equal(ib_dereg_mr(other), 0);
	assert_int_equal(ib_dealloc_pd(pd), 0);
	close_ends();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_lists),
		cmocka_unit_test(physical_buffers),
		cmocka_unit_test(keys_go_round),
		cmocka_unit_test(remote_invalidation),
	};

	return cmocka_run_group_tests_name("verbs mr", tests, NULL, NULL);
}
