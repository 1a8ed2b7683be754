/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Why a verb is refused: each refusal of the calls of softhca/ib_verbs.h, ib_pool.h and rdma_rw.h, with the words that
 * name what is wrong. Requests that complete in an error are test_why_wc.c's.
 */
#include "verbs_by.h"

#include "hca/mr.h"
#include "softhca/ib_pool.h"
#include "softhca/list.h"
#include "softhca/rdma_rw.h"
#include "why_fixture.h"

static void port(void **state)
{
	struct ib_port_attr pa;
	union ib_gid gid;
	u16 pkey;

	(void)state;
	REFUSED(ib_query_port(a.dev, 0, &pa), -EINVAL, "soft", "port 0, must be from 1 to 1");
	REFUSED(ib_query_port(a.dev, 2, &pa), -EINVAL, "port 2");
	REFUSED(rdma_query_gid(a.dev, 3, 0, &gid), -EINVAL, "port 3");
	REFUSED(rdma_query_gid(a.dev, 1, -1, &gid), -EINVAL, "GID -1, must be from 0 to 15");
	REFUSED(ib_query_pkey(a.dev, 9, 0, &pkey), -EINVAL, "port 9");
	REFUSED(ib_query_pkey(a.dev, 1, 1, &pkey), -EINVAL, "P_Key 1, must be from 0 to 0");
}

static void domains(void **state)
{
	static struct ib_device none = { .name = "nowhere" };
	const struct ib_cq_init_attr attr = { .cqe = 1 };

	(void)state;
	REFUSED(ib_alloc_pd(&none, 0), -EINVAL, "nowhere: PD not made: the device isn't registered");
	REFUSED(ib_create_cq(&none, NULL, NULL, NULL, &attr), -EINVAL,
		"nowhere: CQ not made: the device isn't registered");
	REFUSED(ib_alloc_pd(a.dev, 2), -EINVAL, "soft", "unknown flags 0x2");
	REFUSED(ib_dealloc_pd(a.pd), -EBUSY, "PD not freed: 3 MRs, MWs, QPs, SRQs or AHs");
}

static void completion_queues(void **state)
{
	struct ib_cq_init_attr attr = { .cqe = 4, .flags = 1 };
	const int most = a.dev->attrs.max_cqe;
	struct ib_cq *cq;

	(void)state;
	REFUSED(ib_create_cq(a.dev, NULL, NULL, NULL, &attr), -EINVAL, "CQ not made", "flags 0x1");
	attr = (struct ib_cq_init_attr){ 0 };
	REFUSED(ib_create_cq(a.dev, NULL, NULL, NULL, &attr), -EINVAL, "cqe is 0, must be from 1 to");
	attr.cqe = (unsigned int)most + 1;
	REFUSED(ib_create_cq(a.dev, NULL, NULL, NULL, &attr), -EINVAL, "CQ not made: cqe is");
	REFUSED(ib_alloc_cq(a.dev, NULL, 0, 0, IB_POLL_DIRECT), -EINVAL, "nr_cqe is 0");
	REFUSED(ib_alloc_cq(a.dev, NULL, 4, 0, (enum ib_poll_context)9), -EINVAL, "no such poll context: 9");
	REFUSED(ib_cq_pool_get(a.dev, 4, 0, (enum ib_poll_context)9), -EINVAL,
		"poll context 9 isn't one of shared queues");
	REFUSED(ib_cq_pool_get(a.dev, 0, 0, IB_POLL_SOFTIRQ), -EINVAL, "no shared CQ: nr_cqe is 0");
	REFUSED(ib_destroy_cq(a.cq), -EBUSY, "2 queues of queue pairs use it");
	REFUSED(ib_req_notify_cq(a.cq, IB_CQ_REPORT_MISSED_EVENTS), -EINVAL,
		"neither IB_CQ_SOLICITED nor IB_CQ_NEXT_COMP");
	REFUSED(ib_resize_cq(a.cq, 0), -EINVAL, "CQ not resized: cqe is 0");
	attr.cqe = 4;
	cq = ib_create_cq(a.dev, NULL, NULL, NULL, &attr);
	assert_false(IS_ERR(cq));
	assert_int_equal(ib_destroy_cq(cq), 0);
	assert_int_equal(vk_recv(&b, 1, 0, 64), 0);
	assert_int_equal(vk_recv(&b, 2, 0, 64), 0);
	assert_int_equal(vk_send(&a, 1, IB_WR_SEND, 0, 8), 0);
	assert_int_equal(vk_send(&a, 2, IB_WR_SEND, 0, 8), 0);
	REFUSED(ib_resize_cq(a.cq, 1), -EINVAL, "not resized to 1: more completions than that wait");
	vk_poll(&a, 1, IB_WC_SUCCESS);
	vk_poll(&a, 2, IB_WC_SUCCESS);
	vk_poll(&b, 1, IB_WC_SUCCESS);
	vk_poll(&b, 2, IB_WC_SUCCESS);
}

static void regions(void **state)
{
	const struct ib_phys_buf none = { .addr = 0x1000 }, odd[2] = { { 0x1000, 8 }, { 0x2000, 8 } };
	const struct ib_phys_buf large = { .addr = 0, .size = (u64)HCA_MR_MAX_PAGES * 4096 + 1 };
	struct scatterlist sg;
	unsigned int skip = 8192;
	u64 iova = 0x1008;
	struct ib_mr *mr;

	(void)state;
	REFUSED(ib_get_dma_mr(a.pd, 1 << 9), -EINVAL, "MR not made", "0x200");
	REFUSED(ib_get_dma_mr(a.pd, IB_ACCESS_REMOTE_WRITE), -EINVAL, "REMOTE_WRITE", "need LOCAL_WRITE");
	REFUSED(ib_alloc_mr(a.pd, IB_MR_TYPE_DMA, 4), -EINVAL, "type 4 isn't for fast registration");
	REFUSED(ib_alloc_mr(a.pd, IB_MR_TYPE_MEM_REG, 0), -EINVAL, "max_num_sg is 0, must be from 1 to");
	REFUSED(ib_reg_phys_mr(a.pd, &none, 0, 1, &iova), -EINVAL, "0 buffers");
	REFUSED(ib_reg_phys_mr(a.pd, &none, 1, 1, &iova), -EINVAL, "iova 0x1008", "0x1000", "within a page");
	iova = 0x1000;
	REFUSED(ib_reg_phys_mr(a.pd, &none, 1, 1, &iova), -EINVAL, "buffer 0 has no bytes");
	REFUSED(ib_reg_phys_mr(a.pd, odd, 2, 1, &iova), -EINVAL, "buffer 0 begins or ends within a page");
	REFUSED(ib_reg_phys_mr(a.pd, odd, 1, 1 << 9, &iova), -EINVAL, "access 0x200");
	REFUSED(ib_reg_phys_mr(a.pd, odd, 1, IB_ACCESS_REMOTE_ATOMIC, &iova), -EINVAL, "need LOCAL_WRITE");
	iova = 0;
	REFUSED(ib_reg_phys_mr(a.pd, &large, 1, 1, &iova), -EINVAL, "more than", "pages");

	mr = ib_alloc_mr(a.pd, IB_MR_TYPE_MEM_REG, 4);
	assert_false(IS_ERR(mr));
	sg_init_one(&sg, a.buf, 4096);
	assert_int_equal(ib_dma_map_sg(a.dev, &sg, 1, DMA_BIDIRECTIONAL), 1);
	REFUSED(ib_map_mr_sg(a.mr, &sg, 1, NULL, 4096), -EINVAL, "isn't one of ib_alloc_mr()");
	REFUSED(ib_map_mr_sg(mr, &sg, 1, NULL, 2048), -EINVAL, "page_size is 2048, must be a power of two from 4096");
	REFUSED(ib_map_mr_sg(mr, &sg, 1, NULL, 12288), -EINVAL, "page_size is 12288");
	REFUSED(ib_map_mr_sg(mr, &sg, 0, NULL, 4096), -EINVAL, "0 entries");
	REFUSED(ib_map_mr_sg(mr, &sg, 1, &skip, 4096), -EINVAL, "sg_offset is 8192, the first entry has 4096");
	ib_dma_unmap_sg(a.dev, &sg, 1, DMA_BIDIRECTIONAL);
	assert_int_equal(ib_dereg_mr(mr), 0);
}

static void windows(void **state)
{
	struct ib_mw_bind bind = { .bind_info = { .addr = hca_dma_u64(a.addr), .length = 64 } };
	struct ib_bind_mw_wr wr = { .wr = { .opcode = IB_WR_BIND_MW, .wr_id = 7 } };
	struct ib_mw *one, *two;

	(void)state;
	REFUSED(ib_alloc_mw(a.pd, (enum ib_mw_type)3), -EINVAL, "type 3, must be 1 or 2");
	one = ib_alloc_mw(a.pd, IB_MW_TYPE_1);
	two = ib_alloc_mw(a.pd, IB_MW_TYPE_2);
	assert_false(IS_ERR(one) || IS_ERR(two));
	REFUSED(ib_bind_mw(a.qp, two, &bind), -EINVAL, "of type 2: post IB_WR_BIND_MW");
	REFUSED(ib_bind_mw(a.qp, one, &bind), -EINVAL, "its MR is another device's, or NULL");
	REFUSED(ib_post_send(a.qp, &wr.wr, NULL), -EINVAL, "MW not bound: it is another device's, or NULL");
	wr.mw = two;
	wr.bind_info = (struct ib_mw_bind_info){ .mr = a.mr, .length = 8, .mw_access_flags = IB_ACCESS_LOCAL_WRITE };
	REFUSED(ib_post_send(a.qp, &wr.wr, NULL), -EINVAL, "access 0x1 has more than rights of peers");
	wr.bind_info = (struct ib_mw_bind_info){ .mr = a.mr };
	REFUSED(ib_post_send(a.qp, &wr.wr, NULL), -EINVAL, "no bytes; type 2 is invalidated");
	wr.bind_info = (struct ib_mw_bind_info){ .mr = a.mr, .length = 8 };
	wr.wr.num_sge = 1;
	REFUSED(ib_post_send(a.qp, &wr.wr, NULL), -EINVAL, "BIND_MW", "it takes no entries, and nothing inline");
	assert_int_equal(ib_dealloc_mw(one), 0);
	assert_int_equal(ib_dealloc_mw(two), 0);
}

static void unmap_again(void *arg)
{
	assert_int_equal(ib_fmr_pool_unmap(arg), -EINVAL);
}

static void fast_regions(void **state)
{
	struct ib_fmr_attr fa = { .max_pages = 2, .max_maps = 1, .page_shift = 12 };
	const u64 pages[] = { 0x10000, 0x20000, 0x30000 }, odd[] = { 0x10010 };
	struct ib_fmr_pool_param pp = { .max_pages_per_fmr = 1, .page_shift = 12, .pool_size = 1 };
	struct ib_fmr_pool *pool;
	struct ib_pool_fmr *held;
	struct ib_fmr *f;

	(void)state;
	fa.max_pages = 0;
	REFUSED(ib_alloc_fmr(a.pd, 1, &fa), -EINVAL, "max_pages is 0");
	fa.max_pages = 2;
	fa.page_shift = 3;
	REFUSED(ib_alloc_fmr(a.pd, 1, &fa), -EINVAL, "page_shift is 3, must be from");
	fa.page_shift = 12;
	REFUSED(ib_alloc_fmr(a.pd, IB_ACCESS_MW_BIND, &fa), -EINVAL, "access 0x10 has rights that an FMR can't have");
	fa.max_maps = 1000;
	REFUSED(ib_alloc_fmr(a.pd, 1, &fa), -EINVAL, "max_maps is 1000, must be from 1 to");
	fa.max_maps = 1;
	f = ib_alloc_fmr(a.pd, 1, &fa);
	assert_false(IS_ERR(f));
	REFUSED(ib_map_phys_fmr(f, pages, 0, 0), -EINVAL, "a list of 0 pages");
	REFUSED(ib_map_phys_fmr(f, pages, 3, 0), -EINVAL, "3 pages, must be from 1 to 2");
	REFUSED(ib_map_phys_fmr(f, odd, 1, 0), -EINVAL, "doesn't begin on 4096 bytes");
	REFUSED(ib_map_phys_fmr(f, pages, 1, ~0ull - 4094), -EINVAL, "go beyond the end");
	assert_int_equal(ib_map_phys_fmr(f, pages, 1, 0), 0);
	REFUSED(ib_map_phys_fmr(f, pages, 1, 0), -EINVAL, "mapped 1 times, as often as it may be");
	REFUSED(ib_dealloc_fmr(f), -EBUSY, "it is mapped still");
	assert_int_equal(ib_unmap_fmr(f), 0);
	assert_int_equal(ib_dealloc_fmr(f), 0);

	pp.pool_size = 0;
	REFUSED(ib_create_fmr_pool(a.pd, &pp), -EINVAL, "pool_size is 0");
	pp.pool_size = 1;
	pp.page_shift = 0;
	REFUSED(ib_create_fmr_pool(a.pd, &pp), -EINVAL, "page_shift is 0");
	pp.page_shift = 12;
	pp.max_pages_per_fmr = 0;
	REFUSED(ib_create_fmr_pool(a.pd, &pp), -EINVAL, "max_pages_per_fmr is 0");
	pp.max_pages_per_fmr = 1;
	pool = ib_create_fmr_pool(a.pd, &pp);
	assert_false(IS_ERR(pool));
	REFUSED(ib_fmr_pool_map_phys(pool, pages, 2, 0), -EINVAL, "a list of 2 pages, must be from 1 to 1");
	held = ib_fmr_pool_map_phys(pool, pages, 1, 0);
	assert_false(IS_ERR(held));
	REFUSED(ib_fmr_pool_map_phys(pool, pages + 1, 1, 0), -EAGAIN, "refused:", "all 1 FMRs are in use");
	REFUSED(ib_destroy_fmr_pool(pool), -EBUSY, "1 of 1 FMRs weren't given back");
	assert_int_equal(ib_fmr_pool_unmap(held), 0);
	(void)test_why_take();
	assert_int_equal(test_expect_warn(unmap_again, held), 1);
	SAID("given back more often than it was mapped");
	assert_int_equal(ib_destroy_fmr_pool(pool), 0);
}

static void paths(void **state)
{
	struct rdma_ah_attr ah = { .dlid = 1, .port_num = 300 };
	struct ib_ah *made;

	(void)state;
	REFUSED(rdma_create_ah(a.pd, &ah, 0), -EINVAL, "no address handle", "port_num 300");
	ah.port_num = 2;
	REFUSED(rdma_create_ah(a.pd, &ah, 0), -EINVAL,
		"soft: no address handle: ah_attr.port_num is 2, must be from 1 to 1");
	ah.port_num = 1;
	ah.sl = 16;
	REFUSED(rdma_create_ah(a.pd, &ah, 0), -EINVAL, "ah_attr.sl is 16, must be from 0 to 15");
	ah.sl = 0;
	ah.ah_flags = IB_AH_GRH;
	ah.grh.sgid_index = 9;
	REFUSED(rdma_create_ah(a.pd, &ah, 0), -EINVAL, "sgid_index 9 isn't set");
	ah.ah_flags = 0;
	made = rdma_create_ah(a.pd, &ah, 0);
	assert_false(IS_ERR(made));
	ah.sl = 16;
	REFUSED(rdma_modify_ah(made, &ah), -EINVAL, "ah_attr.sl is 16");
	assert_int_equal(rdma_destroy_ah(made, 0), 0);
}

static void groups(void **state)
{
	const union ib_gid group = { .raw = { 0xff, 0x12 } }, one = { .raw = { 0xfe } };
	struct ib_qp_init_attr qa = { .send_cq = a.cq, .recv_cq = a.cq, .qp_type = IB_QPT_UD };
	struct ib_qp *qp;

	(void)state;
	REFUSED(ib_attach_mcast(a.qp, &group, 0xc001), -EINVAL, "it is RC, and only UD can be");
	qp = ib_create_qp(a.pd, &qa);
	assert_false(IS_ERR(qp));
	REFUSED(ib_attach_mcast(qp, &one, 0xc001), -EINVAL, "no group's, which begins with 0xff");
	REFUSED(ib_attach_mcast(qp, &group, 1), -EINVAL, "LID 0x1 is no group's");
	REFUSED(ib_detach_mcast(qp, &group, 0xc001), -EINVAL, "not in this group");
	assert_int_equal(ib_destroy_qp(qp), 0);
}

static void shared_queues(void **state)
{
	struct ib_srq_init_attr sa = { .attr = { .max_wr = 0, .max_sge = 1 } };
	struct ib_qp_init_attr qa = { .send_cq = a.cq, .recv_cq = a.cq, .qp_type = IB_QPT_RC };
	struct ib_srq_attr at = { .max_wr = 1, .srq_limit = 9 };
	struct ib_recv_wr wr = { .wr_id = 5, .num_sge = 2 };
	struct ib_srq *srq;
	struct ib_qp *qp;

	(void)state;
	REFUSED(ib_create_srq(a.pd, &sa), -EINVAL, "SRQ not made: max_wr is 0, must be from 1 to");
	sa.srq_type = (enum ib_srq_type)9;
	REFUSED(ib_create_srq(a.pd, &sa), -EOPNOTSUPP, "srq_type 9, must be IB_SRQT_BASIC");
	sa.srq_type = IB_SRQT_BASIC;
	sa.attr.max_wr = 2;
	sa.attr.max_sge = 10000;
	REFUSED(ib_create_srq(a.pd, &sa), -EINVAL, "max_sge is 10000");
	sa.attr.max_sge = 1;
	sa.attr.srq_limit = 3;
	REFUSED(ib_create_srq(a.pd, &sa), -EINVAL, "srq_limit 3 is more than its max_wr, 2");
	sa.attr.srq_limit = 0;
	srq = ib_create_srq(a.pd, &sa);
	assert_false(IS_ERR(srq));
	REFUSED(ib_modify_srq(srq, &at, 1 << 5), -EINVAL, "mask 0x20 has more than MAX_WR and LIMIT");
	REFUSED(ib_modify_srq(srq, &at, IB_SRQ_LIMIT), -EINVAL, "srq_limit 9 is more than its max_wr, 2");
	at.max_wr = 0;
	REFUSED(ib_modify_srq(srq, &at, IB_SRQ_MAX_WR), -EINVAL, "max_wr is 0");
	REFUSED(ib_post_srq_recv(srq, &wr, NULL), -EINVAL, "wr_id 0x5", "test_why_verbs.c:", "more entries",
		"2 entries of 1");
	wr.num_sge = 1;
	REFUSED(ib_post_srq_recv(srq, &wr, NULL), -EINVAL, "num_sge without an sg_list");
	wr.num_sge = 0;
	assert_int_equal(ib_post_srq_recv(srq, &wr, NULL), 0);
	assert_int_equal(ib_post_srq_recv(srq, &wr, NULL), 0);
	REFUSED(ib_post_srq_recv(srq, &wr, NULL), -ENOMEM, "refused:", "the queue is full", "room for 2");
	at.max_wr = 1;
	REFUSED(ib_modify_srq(srq, &at, IB_SRQ_MAX_WR), -EINVAL, "not resized to 1: 2 requests are posted");
	qa.srq = srq;
	qp = ib_create_qp(a.pd, &qa);
	assert_false(IS_ERR(qp));
	REFUSED(ib_destroy_srq(srq), -EBUSY, "SRQ not destroyed: queue pairs use it");
	REFUSED(ib_post_recv(qp, &wr, NULL), -EINVAL, "takes from a shared receive queue: post to that");
	assert_int_equal(ib_destroy_qp(qp), 0);
	assert_int_equal(ib_destroy_srq(srq), 0);
}

static void pools(void **state)
{
	struct ib_qp_init_attr qa = { .send_cq = a.cq, .recv_cq = a.cq, .qp_type = IB_QPT_RC };
	struct ib_qp *qp = ib_create_qp(a.pd, &qa);
	struct scatterlist sg;
	struct rdma_rw_ctx ctx;
	LIST_HEAD(list);

	(void)state;
	REFUSED(ib_mr_pool_init(a.qp, &list, 1, IB_MR_TYPE_MEM_REG, 4, 1), -EINVAL, "max_num_meta_sg is 1");
	REFUSED(ib_mr_pool_init(a.qp, &list, 1, IB_MR_TYPE_DMA, 4, 0), -EINVAL, "type 4 isn't for fast registration");
	sg_init_one(&sg, a.buf, 4096);
	REFUSED(rdma_rw_ctx_init(&ctx, a.qp, 1, &sg, 1, 0, 0, 0, DMA_BIDIRECTIONAL), -EINVAL,
		"test_why_verbs.c:", "direction 0 isn't one of RDMA");
	REFUSED(rdma_rw_ctx_init(&ctx, a.qp, 1, &sg, 1, 4096, 0, 0, DMA_TO_DEVICE), -EINVAL,
		"sg_offset is beyond its end");
	REFUSED(rdma_rw_ctx_init(&ctx, qp, 1, &sg, 1, 0, 0, 0, DMA_TO_DEVICE), -EINVAL,
		"test_why_verbs.c:", "made with max_send_sge 0");
	assert_int_equal(ib_destroy_qp(qp), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, by_setup, by_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(port),  T(domains), T(completion_queues), T(regions), T(windows), T(fast_regions),
		T(paths), T(groups),  T(shared_queues),	    T(pools),
	};

	return cmocka_run_group_tests_name("why_verbs", tests, NULL, NULL);
}
