/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Memory windows, fast memory regions and their pools, and multicast groups through the kernel-style verbs. */
#include "verbs_fixture.h"

#include "test/test_os.h"

static struct end a, b;

static int open_soft(void **state)
{
	(void)state;
	test_os_reset(1);
	vk_open(&a, &b, IB_QPT_RC, true, false, MACHINE_IOMMU);
	return 0;
}

static int open_datagrams(void **state)
{
	(void)state;
	test_os_reset(1);
	vk_open(&a, &b, IB_QPT_UD, true, true, MACHINE_DIRECT);
	return 0;
}

static int close_ends(void **state)
{
	(void)state;
	vk_close(&a, &b);
	return (int)test_leaks();
}

static void write_there(u64 id, u64 raddr, u32 rkey, enum ib_wc_status status)
{
	assert_int_equal(vk_rdma(&a, id, IB_WR_RDMA_WRITE, 0, 8, raddr, rkey), 0);
	vk_poll(&a, id, status);
}

/* A queue pair that a refused access took into error is connected again. */
static void reconnect(void)
{
	struct ib_qp_attr at = { .qp_state = IB_QPS_RESET };

	assert_int_equal(ib_modify_qp(a.qp, &at, IB_QP_STATE), 0);
	assert_int_equal(ib_modify_qp(b.qp, &at, IB_QP_STATE), 0);
	vk_connect(a.qp, vk_lid(&b), b.qp->qp_num);
	vk_connect(b.qp, vk_lid(&a), a.qp->qp_num);
}

static struct ib_mr *bindable(void)
{
	struct ib_mr *mr = ib_get_dma_mr(b.pd, IB_ACCESS_LOCAL_WRITE | IB_ACCESS_MW_BIND);

	assert_false(IS_ERR(mr));
	return mr;
}

static void type_1_window_opens_part_of_a_region(void **state)
{
	struct ib_mr *mr = bindable();
	struct ib_mw *mw = ib_alloc_mw(b.pd, IB_MW_TYPE_1);
	struct ib_mw_bind bind = {
		.wr_id = 1,
		.send_flags = IB_SEND_SIGNALED,
		.bind_info = { .mr = mr,
			       .addr = hca_dma_u64(b.addr) + 64,
			       .length = 64,
			       .mw_access_flags = IB_ACCESS_REMOTE_WRITE },
	};
	u32 first;

	(void)state;
	assert_false(IS_ERR(mw));
	first = mw->rkey;
	assert_int_equal(ib_bind_mw(b.qp, mw, &bind), 0);
	assert_int_equal(vk_poll(&b, 1, IB_WC_SUCCESS).opcode, IB_WC_BIND_MW);
	assert_int_not_equal(mw->rkey, first);
	write_there(2, hca_dma_u64(b.addr) + 64, mw->rkey, IB_WC_SUCCESS);
	assert_int_equal(ib_dereg_mr(mr), -EBUSY);
	write_there(3, hca_dma_u64(b.addr) + 64 + 57, mw->rkey, IB_WC_REM_ACCESS_ERR);
	reconnect();
	first = mw->rkey;
	bind.bind_info.length = 0;
	assert_int_equal(ib_bind_mw(b.qp, mw, &bind), 0);
	vk_poll(&b, 1, IB_WC_SUCCESS);
	write_there(4, hca_dma_u64(b.addr) + 64, first, IB_WC_REM_ACCESS_ERR);
	assert_int_equal(ib_dereg_mr(mr), 0);
	assert_int_equal(ib_dealloc_pd(b.pd), -EBUSY);
	assert_int_equal(ib_dealloc_mw(mw), 0);
}

static void type_2_window_is_bound_and_invalidated(void **state)
{
	struct ib_mr *mr = bindable();
	struct ib_mw *mw = ib_alloc_mw(b.pd, IB_MW_TYPE_2);
	struct ib_bind_mw_wr wr = {
		.wr = { .wr_id = 1, .opcode = IB_WR_BIND_MW },
		.mw = mw,
		.bind_info = { .mr = mr,
			       .addr = hca_dma_u64(b.addr),
			       .length = 4096,
			       .mw_access_flags = IB_ACCESS_REMOTE_WRITE },
	};
	struct ib_send_wr inv = { .wr_id = 2, .opcode = IB_WR_LOCAL_INV };
	struct ib_mw_bind old = { .wr_id = 9, .bind_info = wr.bind_info };

	(void)state;
	assert_false(IS_ERR(mw));
	assert_int_equal(ib_bind_mw(b.qp, mw, &old), -EINVAL);
	wr.rkey = mw->rkey = ib_inc_rkey(mw->rkey);
	assert_int_equal(ib_post_send(b.qp, &wr.wr, NULL), 0);
	vk_poll(&b, 1, IB_WC_SUCCESS);
	write_there(3, hca_dma_u64(b.addr) + 4088, mw->rkey, IB_WC_SUCCESS);
	inv.ex.invalidate_rkey = mw->rkey;
	assert_int_equal(ib_post_send(b.qp, &inv, NULL), 0);
	vk_poll(&b, 2, IB_WC_SUCCESS);
	write_there(4, hca_dma_u64(b.addr), mw->rkey, IB_WC_REM_ACCESS_ERR);
	assert_int_equal(ib_dealloc_mw(mw), 0);
	assert_int_equal(ib_dereg_mr(mr), 0);
}

static void windows_ask_for_what_they_need(void **state)
{
	struct ib_mr *closed = ib_get_dma_mr(b.pd, IB_ACCESS_LOCAL_WRITE);
	struct ib_mw *mw = ib_alloc_mw(b.pd, IB_MW_TYPE_1);
	struct ib_mw_bind bind = {
		.wr_id = 1,
		.bind_info = { .mr = closed,
			       .addr = hca_dma_u64(b.addr),
			       .length = 64,
			       .mw_access_flags = IB_ACCESS_REMOTE_WRITE },
	};

	(void)state;
	assert_int_equal(PTR_ERR(ib_alloc_mw(b.pd, 3)), -EINVAL);
	assert_int_equal(ib_bind_mw(a.qp, mw, &bind), -EINVAL); /* another device's */
	bind.bind_info.mr = NULL;
	assert_int_equal(ib_bind_mw(b.qp, mw, &bind), -EINVAL);
	bind.bind_info.mr = closed;
	assert_int_equal(ib_bind_mw(b.qp, mw, &bind), 0);
	vk_poll(&b, 1, IB_WC_MW_BIND_ERR);
	assert_int_equal(ib_dealloc_mw(mw), 0);
	assert_int_equal(ib_dereg_mr(closed), 0);
}

static void fmr_maps_without_a_request(void **state)
{
	const struct ib_fmr_attr attr = { .max_pages = 4, .max_maps = 2, .page_shift = 12 };
	struct ib_fmr *fmr = ib_alloc_fmr(b.pd, VK_RIGHTS, &attr);
	u64 pages[2] = { hca_dma_u64(b.addr) + 8192, hca_dma_u64(b.addr) };
	u32 first;

	(void)state;
	assert_false(IS_ERR(fmr));
	memset(a.buf, 'f', 8);
	assert_int_equal(ib_map_phys_fmr(fmr, pages, 2, 0x70000), 0);
	first = fmr->rkey;
	write_there(1, 0x71000, first, IB_WC_SUCCESS);
	assert_memory_equal(b.buf, "ffffffff", 8);
	assert_int_equal(ib_map_phys_fmr(fmr, pages, 1, 0x70000), 0);
	assert_int_not_equal(fmr->rkey, first);
	assert_int_equal(ib_map_phys_fmr(fmr, pages, 1, 0x70000), -EINVAL); /* a third time */
	assert_int_equal(ib_map_phys_fmr(fmr, pages, 0, 0x70000), -EINVAL);
	write_there(2, 0x70000, fmr->rkey, IB_WC_SUCCESS);
	assert_int_equal(ib_dealloc_fmr(fmr), -EBUSY);
	fmr->next = NULL;
	assert_int_equal(ib_unmap_fmr(fmr), 0);
	assert_int_equal(ib_unmap_fmr(NULL), 0);
	write_there(3, 0x70000, fmr->rkey, IB_WC_REM_ACCESS_ERR);
	assert_int_equal(ib_map_phys_fmr(fmr, pages, 1, 0x70000), 0);
	assert_int_equal(ib_unmap_fmr(fmr), 0);
	assert_int_equal(ib_dealloc_fmr(fmr), 0);
}

static int flushed;

static void on_flush(struct ib_fmr_pool *pool, void *arg)
{
	(void)pool;
	assert_ptr_equal(arg, &flushed);
	flushed++;
}

static void a_pool_keeps_finds_and_flushes(void **state)
{
	const struct ib_fmr_pool_param param = {
		.max_pages_per_fmr = 2,
		.page_shift = 12,
		.access = VK_RIGHTS,
		.pool_size = 3,
		.dirty_watermark = 2,
		.flush_function = on_flush,
		.flush_arg = &flushed,
		.cache = true,
	};
	struct ib_fmr_pool *pool = ib_create_fmr_pool(b.pd, &param);
	u64 page[4] = { hca_dma_u64(b.addr), hca_dma_u64(b.addr) + 4096, hca_dma_u64(b.addr) + 8192,
			hca_dma_u64(b.addr) + 12288 };
	struct ib_pool_fmr *f[3];
	u32 key, i;

	(void)state;
	assert_false(IS_ERR(pool));
	flushed = 0;
	for (i = 0; i < 3; i++) {
		f[i] = ib_fmr_pool_map_phys(pool, &page[i], 1, page[i]);
		assert_false(IS_ERR(f[i]));
		write_there(i, page[i], f[i]->fmr->rkey, IB_WC_SUCCESS);
	}
	assert_int_equal(PTR_ERR(ib_fmr_pool_map_phys(pool, &page[3], 1, page[3])), -EAGAIN);
	assert_int_equal(PTR_ERR(ib_fmr_pool_map_phys(pool, page, 3, page[0])), -EINVAL);
	assert_int_equal(PTR_ERR(ib_fmr_pool_map_phys(pool, page, 0, page[0])), -EINVAL);
	/* The same list again is the same MR, in use or just given back. */
	assert_ptr_equal(ib_fmr_pool_map_phys(pool, &page[1], 1, page[1]), f[1]);
	assert_int_equal(ib_fmr_pool_unmap(f[1]), 0);
	key = f[0]->fmr->rkey;
	assert_int_equal(ib_fmr_pool_unmap(f[0]), 0);
	assert_int_equal(ib_destroy_fmr_pool(pool), -EBUSY);
	assert_ptr_equal(ib_fmr_pool_map_phys(pool, &page[0], 1, page[0]), f[0]);
	assert_int_equal(f[0]->fmr->rkey, key);
	assert_int_equal(flushed, 0);
	assert_int_equal(ib_fmr_pool_unmap(f[0]), 0);
	assert_int_equal(ib_fmr_pool_unmap(f[1]), 0);
	assert_int_equal(flushed, 1); /* two were dirty */
	write_there(8, page[2], f[2]->fmr->rkey, IB_WC_SUCCESS);
	write_there(9, page[0], key, IB_WC_REM_ACCESS_ERR);
	assert_int_equal(ib_fmr_pool_unmap(f[2]), 0);
	assert_int_equal(ib_destroy_fmr_pool(pool), 0);
}

/* Many maps of one MR: none is lost when it has been mapped as often as it may be. */
static void a_pool_never_wears_out(void **state)
{
	const struct ib_fmr_pool_param param = {
		.max_pages_per_fmr = 1, .page_shift = 12, .access = VK_RIGHTS, .pool_size = 2, .dirty_watermark = 100
	};
	struct ib_fmr_pool *pool = ib_create_fmr_pool(b.pd, &param);
	u64 page = hca_dma_u64(b.addr);
	int i;

	(void)state;
	assert_false(IS_ERR(pool));
	for (i = 0; i < 1000; i++) {
		struct ib_pool_fmr *f = ib_fmr_pool_map_phys(pool, &page, 1, page);

		assert_false(IS_ERR(f));
		write_there(1, page, f->fmr->rkey, IB_WC_SUCCESS);
		assert_int_equal(ib_fmr_pool_unmap(f), 0);
	}
	assert_int_equal(ib_destroy_fmr_pool(pool), 0);
}

static void pools_are_made_whole_or_not(void **state)
{
	struct ib_fmr_pool_param param = {
		.max_pages_per_fmr = 4, .page_shift = 12, .access = VK_RIGHTS, .pool_size = 3
	};
	struct ib_fmr_pool *pool;

	(void)state;
	TEST_FAIL_LOOP(n)
	{
		pool = ib_create_fmr_pool(b.pd, &param);
		if (IS_ERR(pool))
			assert_int_equal(PTR_ERR(pool), -ENOMEM);
		else
			assert_int_equal(ib_destroy_fmr_pool(pool), 0);
	}
	param.pool_size = 0;
	assert_int_equal(PTR_ERR(ib_create_fmr_pool(b.pd, &param)), -EINVAL);
	param.pool_size = 1;
	param.page_shift = 64;
	assert_int_equal(PTR_ERR(ib_create_fmr_pool(b.pd, &param)), -EINVAL);
}

static void groups_are_joined(void **state)
{
	const union ib_gid group = { .raw = { 0xff, 0x12, [15] = 7 } };
	const struct rdma_ah_attr path = {
		.grh = { .dgid = group, .hop_limit = 1 }, .dlid = 0xc007, .ah_flags = IB_AH_GRH, .port_num = 1
	};
	struct ib_ah *ah = rdma_create_ah(a.pd, &path, 0);
	struct ib_sge sge = vk_sge(&a, 0, 16);
	struct ib_ud_wr wr = {
		.wr = { .wr_id = 1, .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_SEND },
		.ah = ah,
		.remote_qpn = 0xffffff,
		.remote_qkey = 0x11,
	};

	(void)state;
	assert_false(IS_ERR(ah));
	memset(a.buf, 'm', 16);
	assert_int_equal(ib_detach_mcast(b.qp, &group, 0xc007), -EINVAL);
	assert_int_equal(ib_attach_mcast(b.qp, &group, 0x7), -EINVAL);
	assert_int_equal(ib_attach_mcast(b.qp, &group, 0xc007), 0);
	assert_int_equal(vk_recv(&b, 2, 100, 200), 0);
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	assert_int_equal(vk_poll(&b, 2, IB_WC_SUCCESS).wc_flags & IB_WC_GRH, IB_WC_GRH);
	assert_memory_equal(b.buf + 100 + 24, group.raw, 16);
	assert_memory_equal(b.buf + 140, "mmmmmmmmmmmmmmmm", 16);
	assert_int_equal(ib_detach_mcast(b.qp, &group, 0xc007), 0);
	assert_int_equal(vk_recv(&b, 3, 100, 200), 0);
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	vk_none(&b);
	assert_int_equal(rdma_destroy_ah(ah, 0), 0);
}

static void groups_have_a_limit(void **state)
{
	union ib_gid group = { .raw = { 0xff, 0x12 } };
	int most = b.dev->attrs.max_total_mcast_qp_attach, i;

	(void)state;
	for (i = 0; i < most; i++) {
		group.raw[14] = (u8)(i >> 8);
		group.raw[15] = (u8)i;
		assert_int_equal(ib_attach_mcast(b.qp, &group, (u16)(0xc000 + i)), 0);
	}
	assert_int_equal(ib_attach_mcast(b.qp, &group, (u16)(0xc000 + i - 1)), 0); /* again */
	assert_int_equal(ib_attach_mcast(b.qp, &group, (u16)(0xc000 + i)), -ENOSPC);
	assert_int_equal(ib_detach_mcast(b.qp, &group, (u16)(0xc000 + i - 1)), 0);
	assert_int_equal(ib_attach_mcast(b.qp, &group, (u16)(0xc000 + i)), 0);
}

static void groups_are_for_datagrams(void **state)
{
	const union ib_gid group = { .raw = { 0xff, 0x12, [15] = 7 } };

	(void)state;
	assert_int_equal(ib_attach_mcast(b.qp, &group, 0xc007), -EINVAL);
}

#define SOFT(t) cmocka_unit_test_setup_teardown(t, open_soft, close_ends)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SOFT(type_1_window_opens_part_of_a_region),
		SOFT(type_2_window_is_bound_and_invalidated),
		SOFT(windows_ask_for_what_they_need),
		SOFT(fmr_maps_without_a_request),
		SOFT(a_pool_keeps_finds_and_flushes),
		SOFT(a_pool_never_wears_out),
		SOFT(pools_are_made_whole_or_not),
		cmocka_unit_test_setup_teardown(groups_are_joined, open_datagrams, close_ends),
		cmocka_unit_test_setup_teardown(groups_have_a_limit, open_datagrams, close_ends),
		SOFT(groups_are_for_datagrams),
	};

	return cmocka_run_group_tests_name("verbs: keys and groups", tests, NULL, NULL);
}
