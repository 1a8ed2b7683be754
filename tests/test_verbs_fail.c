/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The verbs from the first call to the last, with each fallible call of the os layer failing in turn. What fails says so
 * by an error pointer or an errno, -ENOMEM; what went before it still works and can be destroyed; nothing is left.
 */
#include "verbs_fixture.h"

#include "test/test_os.h"

/* 0, or what a failing os layer may lead to. */
static bool worked(int err)
{
	if (err && err != -ENOMEM)
		fail_msg("error %d", err);
	return !err;
}

static bool made(const void *ptr)
{
	assert_non_null(ptr);
	return worked(IS_ERR(ptr) ? (int)PTR_ERR(ptr) : 0);
}

struct request {
	struct ib_cqe cqe;
	int done;
};

static void on_done(struct ib_cq *cq, struct ib_wc *wc)
{
	(void)cq;
	hca_container_of(wc->wr_cqe, struct request, cqe)->done++;
}

/* All that one end of the run has; what wasn't made is NULL. */
struct side {
	struct end e;
	struct ib_srq *srq;
	struct ib_mr *fast;
	struct ib_mr *phys;
	struct ib_mw *mw;
	struct ib_fmr *fmr;
	struct ib_fmr_pool *pool;
	struct ib_ah *ah;
	struct ib_qp *drained;
	struct ib_cq *drained_cq;
	struct ib_qp *ud;
	struct sg_table sgt;
	bool have_sgt;
	bool mapped;
};

static struct side a, b;

#define MAKE(var, call) \
	do { \
		void *made_ = (call); \
		if (!made(made_)) \
			return false; \
		(var) = made_; \
	} while (0)

static bool make_queues(struct side *s, enum ib_poll_context ctx)
{
	const struct ib_cq_init_attr ca = { .cqe = VK_CQE };
	struct ib_srq_init_attr sa = { .attr = { .max_wr = VK_WR, .max_sge = 2 } };
	struct ib_qp_init_attr qa = {
		.cap = { .max_send_wr = VK_WR,
			 .max_recv_wr = VK_WR,
			 .max_send_sge = 4,
			 .max_recv_sge = 4,
			 .max_inline_data = 64 },
		.sq_sig_type = IB_SIGNAL_ALL_WR,
		.qp_type = IB_QPT_RC,
	};

	MAKE(s->e.pd, ib_alloc_pd(s->e.dev, IB_PD_UNSAFE_GLOBAL_RKEY));
	MAKE(s->e.cq, ib_create_cq(s->e.dev, NULL, NULL, NULL, &ca));
	MAKE(s->srq, ib_create_srq(s->e.pd, &sa));
	qa.send_cq = qa.recv_cq = s->e.cq;
	qa.srq = s->srq;
	MAKE(s->e.qp, ib_create_qp(s->e.pd, &qa));
	qa.srq = NULL;
	qa.cap.max_recv_wr = VK_WR; /* was set to what the last one got: none of its own */
	qa.cap.max_recv_sge = 4;
	qa.qp_type = IB_QPT_UD;
	MAKE(s->ud, ib_create_qp(s->e.pd, &qa));
	qa.qp_type = IB_QPT_RC;
	MAKE(s->drained_cq, ib_alloc_cq(s->e.dev, NULL, VK_CQE, 0, ctx));
	qa.send_cq = qa.recv_cq = s->drained_cq;
	MAKE(s->drained, ib_create_qp(s->e.pd, &qa));
	return true;
}

static bool make_memory(struct side *s)
{
	const struct ib_fmr_attr fa = { .max_pages = 4, .max_maps = 2, .page_shift = 12 };
	const struct ib_fmr_pool_param pp = {
		.max_pages_per_fmr = 4, .page_shift = 12, .access = VK_RIGHTS, .pool_size = 2, .dirty_watermark = 1
	};
	struct ib_phys_buf buf;
	u64 iova = 0x7000;

	s->e.page = machine_alloc_pages(s->e.machine, GFP_KERNEL, 4);
	assert_non_null(s->e.page);
	s->e.buf = page_address(s->e.page);
	s->e.addr = ib_dma_map_single(s->e.dev, s->e.buf, VK_BYTES, DMA_BIDIRECTIONAL);
	if (!worked(ib_dma_mapping_error(s->e.dev, s->e.addr)))
		return false;
	s->mapped = true;
	MAKE(s->e.mr, ib_get_dma_mr(s->e.pd, VK_RIGHTS | IB_ACCESS_MW_BIND));
	MAKE(s->fast, ib_alloc_mr(s->e.pd, IB_MR_TYPE_MEM_REG, 8));
	buf = (struct ib_phys_buf){ .addr = hca_dma_u64(s->e.addr), .size = 8192 };
	MAKE(s->phys, ib_reg_phys_mr(s->e.pd, &buf, 1, VK_RIGHTS, &iova));
	MAKE(s->mw, ib_alloc_mw(s->e.pd, IB_MW_TYPE_1));
	MAKE(s->fmr, ib_alloc_fmr(s->e.pd, VK_RIGHTS, &fa));
	MAKE(s->pool, ib_create_fmr_pool(s->e.pd, &pp));
	if (!worked(sg_alloc_table(&s->sgt, 2, GFP_KERNEL)))
		return false;
	s->have_sgt = true;
	return true;
}

/* In any order that the verbs allow, and every call succeeds, now too. */
static void gone(struct side *s)
{
	if (!s->e.dev)
		return;
	if (s->ud)
		assert_int_equal(ib_destroy_qp(s->ud), 0);
	if (s->drained)
		assert_int_equal(ib_destroy_qp(s->drained), 0);
	if (s->drained_cq)
		ib_free_cq(s->drained_cq);
	if (s->e.qp)
		assert_int_equal(ib_destroy_qp(s->e.qp), 0);
	if (s->srq)
		assert_int_equal(ib_destroy_srq(s->srq), 0);
	if (s->e.cq)
		assert_int_equal(ib_destroy_cq(s->e.cq), 0);
	if (s->pool)
		assert_int_equal(ib_destroy_fmr_pool(s->pool), 0);
	if (s->fmr)
		assert_int_equal(ib_dealloc_fmr(s->fmr), 0);
	if (s->mw)
		assert_int_equal(ib_dealloc_mw(s->mw), 0);
	if (s->phys)
		assert_int_equal(ib_dereg_mr(s->phys), 0);
	if (s->fast)
		assert_int_equal(ib_dereg_mr(s->fast), 0);
	if (s->e.mr)
		assert_int_equal(ib_dereg_mr(s->e.mr), 0);
	if (s->ah)
		assert_int_equal(rdma_destroy_ah(s->ah, 0), 0);
	if (s->have_sgt)
		sg_free_table(&s->sgt);
	if (s->mapped)
		ib_dma_unmap_single(s->e.dev, s->e.addr, VK_BYTES, DMA_BIDIRECTIONAL);
	__free_pages(s->e.page, 4);
	if (s->e.pd)
		assert_int_equal(ib_dealloc_pd(s->e.pd), 0);
	assert_int_equal(vk_device_gone(&s->e), 0);
}

/* --- moving bytes: a few calls may fail for want of memory, on a path of bounced or listed mappings; then only they do --- */

static void moves(void)
{
	u64 there = hca_dma_u64(b.e.addr);
	struct ib_sge sge = vk_sge(&a.e, 64, 8), room = vk_sge(&b.e, 4096, 64);
	struct ib_recv_wr rw = { .wr_id = 50, .sg_list = &room, .num_sge = 1 };
	struct ib_atomic_wr at = {
		.wr = { .wr_id = 3, .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_ATOMIC_FETCH_AND_ADD },
		.remote_addr = there,
		.compare_add = 1,
		.rkey = b.e.mr->rkey,
	};
	u8 inl[4] = { 9, 8, 7, 6 };
	struct ib_sge isge = { .addr = (uintptr_t)inl, .length = 4 };
	struct ib_send_wr is = {
		.wr_id = 5, .sg_list = &isge, .num_sge = 1, .opcode = IB_WR_SEND, .send_flags = IB_SEND_INLINE
	};

	memset(a.e.buf, 0x3c, VK_BYTES);
	memset(b.e.buf, 0, VK_BYTES);
	assert_int_equal(vk_rdma(&a.e, 1, IB_WR_RDMA_WRITE, 0, 6000, 0x7000, b.phys->rkey), 0);
	vk_poll(&a.e, 1, IB_WC_SUCCESS);
	assert_memory_equal(a.e.buf, b.e.buf, 6000);
	assert_int_equal(vk_rdma(&a.e, 2, IB_WR_RDMA_READ, 8192, 100, there + 8000, b.e.pd->unsafe_global_rkey), 0);
	vk_poll(&a.e, 2, IB_WC_SUCCESS);
	assert_int_equal(a.e.buf[8192], 0);
	assert_int_equal(ib_post_send(a.e.qp, &at.wr, NULL), 0);
	vk_poll(&a.e, 3, IB_WC_SUCCESS);
	at.wr.opcode = IB_WR_ATOMIC_CMP_AND_SWP;
	assert_int_equal(ib_post_send(a.e.qp, &at.wr, NULL), 0);
	vk_poll(&a.e, 3, IB_WC_SUCCESS);
	assert_int_equal(b.e.buf[0], 0x3d);
	assert_int_equal(ib_post_srq_recv(b.srq, &rw, NULL), 0);
	assert_int_equal(ib_post_send(a.e.qp, &is, NULL), 0);
	vk_poll(&a.e, 5, IB_WC_SUCCESS);
	vk_poll(&b.e, 50, IB_WC_SUCCESS);
	assert_memory_equal(b.e.buf + 4096, inl, 4);
	assert_int_equal(ib_post_srq_recv(b.srq, &rw, NULL), 0);
	assert_int_equal(vk_send(&a.e, 6, IB_WR_SEND_WITH_IMM, 0, 64), 0);
	vk_poll(&a.e, 6, IB_WC_SUCCESS);
	vk_poll(&b.e, 50, IB_WC_SUCCESS);
	assert_int_equal(ib_post_srq_recv(b.srq, &rw, NULL), 0);
	assert_int_equal(vk_rdma(&a.e, 7, IB_WR_RDMA_WRITE_WITH_IMM, 0, 64, there, b.e.mr->rkey), 0);
	vk_poll(&a.e, 7, IB_WC_SUCCESS);
	vk_poll(&b.e, 50, IB_WC_SUCCESS);
}

/* Map a list, register it, write through its key, have the sender invalidate it, unmap. */
static bool registers(void)
{
	struct ib_reg_wr reg = { .wr = { .wr_id = 1, .opcode = IB_WR_REG_MR }, .access = VK_RIGHTS };
	struct ib_recv_wr rw = { .wr_id = 51 };
	struct ib_send_wr inv = { .wr_id = 3, .opcode = IB_WR_SEND_WITH_INV };
	int n;

	sg_set_page(&b.sgt.sgl[0], nth_page(b.e.page, 8), 4096, 0);
	sg_set_page(&b.sgt.sgl[1], nth_page(b.e.page, 12), 4096, 0);
	n = ib_dma_map_sg(b.e.dev, b.sgt.sgl, 2, DMA_FROM_DEVICE);
	if (!n)
		return false;
	assert_int_equal(ib_map_mr_sg(b.fast, b.sgt.sgl, n, NULL, 4096), n);
	reg.mr = b.fast;
	reg.key = b.fast->rkey;
	assert_int_equal(ib_post_send(b.e.qp, &reg.wr, NULL), 0);
	vk_poll(&b.e, 1, IB_WC_SUCCESS);
	memset(a.e.buf, 0x99, 8192);
	assert_int_equal(vk_rdma(&a.e, 2, IB_WR_RDMA_WRITE, 0, 8192, b.fast->iova, b.fast->rkey), 0);
	vk_poll(&a.e, 2, IB_WC_SUCCESS);
	assert_int_equal(ib_post_srq_recv(b.srq, &rw, NULL), 0);
	inv.ex.invalidate_rkey = b.fast->rkey;
	assert_int_equal(ib_post_send(a.e.qp, &inv, NULL), 0);
	vk_poll(&a.e, 3, IB_WC_SUCCESS);
	assert_int_equal(vk_poll(&b.e, 51, IB_WC_SUCCESS).wc_flags, IB_WC_WITH_INVALIDATE);
	ib_dma_unmap_sg(b.e.dev, b.sgt.sgl, 2, DMA_FROM_DEVICE);
	assert_int_equal(b.e.buf[8 * 4096], 0x99);
	assert_int_equal(b.e.buf[12 * 4096 + 4095], 0x99);
	return true;
}

static bool windows_and_fmrs(void)
{
	struct ib_mw_bind bind = { .wr_id = 1,
				   .bind_info = { .mr = b.e.mr,
						  .addr = hca_dma_u64(b.e.addr),
						  .length = 64,
						  .mw_access_flags = IB_ACCESS_REMOTE_WRITE } };
	u64 pages[2] = { hca_dma_u64(b.e.addr), hca_dma_u64(b.e.addr) + 4096 };
	struct ib_pool_fmr *f;
	union ib_gid group = { .raw = { 0xff, 0x12, [15] = 5 } };

	assert_int_equal(ib_bind_mw(b.e.qp, b.mw, &bind), 0);
	vk_poll(&b.e, 1, IB_WC_SUCCESS);
	assert_int_equal(vk_rdma(&a.e, 2, IB_WR_RDMA_WRITE, 0, 64, bind.bind_info.addr, b.mw->rkey), 0);
	vk_poll(&a.e, 2, IB_WC_SUCCESS);
	assert_int_equal(ib_map_phys_fmr(b.fmr, pages, 2, 0x5000), 0);
	assert_int_equal(vk_rdma(&a.e, 3, IB_WR_RDMA_WRITE, 0, 8192, 0x5000, b.fmr->rkey), 0);
	vk_poll(&a.e, 3, IB_WC_SUCCESS);
	assert_int_equal(ib_unmap_fmr(b.fmr), 0);
	f = ib_fmr_pool_map_phys(b.pool, pages, 2, 0x5000);
	if (!made(f))
		return false;
	assert_int_equal(ib_fmr_pool_unmap(f), 0);
	if (!worked(ib_attach_mcast(b.ud, &group, 0xc001)))
		return false;
	assert_int_equal(ib_detach_mcast(b.ud, &group, 0xc001), 0);
	return true;
}

static bool resizes(void)
{
	struct ib_srq_attr sa = { .max_wr = 2 * VK_WR };

	if (!worked(ib_resize_cq(b.e.cq, 2 * VK_CQE))) {
		assert_int_equal(b.e.cq->cqe, VK_CQE);
		return false;
	}
	if (!worked(ib_modify_srq(b.srq, &sa, IB_SRQ_MAX_WR))) {
		assert_int_equal(ib_query_srq(b.srq, &sa), 0);
		assert_int_equal(sa.max_wr, VK_WR);
		return false;
	}
	return true;
}

/* What is left in both queues is flushed, and told. */
static void drains(struct side *s)
{
	struct request recv = { .cqe.done = on_done };
	struct ib_recv_wr rw = { .wr_cqe = &recv.cqe };

	vk_connect(s->drained, vk_lid(&s->e), s->drained->qp_num);
	assert_int_equal(ib_post_recv(s->drained, &rw, NULL), 0);
	ib_drain_qp(s->drained);
	assert_int_equal(recv.done, 1);
}

static bool whole_api(const bool soft[2], enum machine_platform platform)
{
	const enum ib_poll_context ctx = platform == MACHINE_DIRECT ? IB_POLL_DIRECT : IB_POLL_SOFTIRQ;
	const struct rdma_ah_attr path = { .dlid = 1, .port_num = 1 };

	if (!worked(vk_device(&a.e, soft[0], platform))) {
		a.e.dev = NULL;
		return false;
	}
	if (!worked(vk_device(&b.e, soft[1], platform))) {
		b.e.dev = NULL;
		return false;
	}
	if (!make_queues(&a, ctx) || !make_queues(&b, ctx) || !make_memory(&a) || !make_memory(&b))
		return false;
	MAKE(a.ah, rdma_create_ah(a.e.pd, &path, 0));
	vk_connect(a.e.qp, vk_lid(&b.e), b.e.qp->qp_num);
	vk_connect(b.e.qp, vk_lid(&a.e), a.e.qp->qp_num);
	vk_connect(b.ud, 0, 0);
	moves();
	if (!registers() || !windows_and_fmrs() || !resizes())
		return false;
	drains(&a);
	drains(&b);
	moves();
	return true;
}

static void every_call_may_fail(void **state)
{
	static const struct {
		bool soft[2];
		enum machine_platform platform;
	} beds[] = { { { true, true }, MACHINE_DIRECT },
		     { { true, false }, MACHINE_IOMMU },
		     { { false, true }, MACHINE_IOMMU } };
	size_t i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(beds); i++) {
		u32 rounds = 0, whole = 0;

		test_os_reset(1);
		TEST_FAIL_LOOP(f)
		{
			memset(&a, 0, sizeof(a));
			memset(&b, 0, sizeof(b));
			whole += whole_api(beds[i].soft, beds[i].platform);
			gone(&a);
			gone(&b);
			assert_int_equal(test_leaks(), 0);
			rounds++;
		}
		/* Some failures are survived: a smaller queue of magazines, a table that is asked for again. */
		assert_true(whole >= 1);
		assert_true(rounds > 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call_may_fail),
	};

	return cmocka_run_group_tests_name("verbs fail", tests, NULL, NULL);
}
