/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel-style verbs over both drivers: every opcode, on every pair of adapters. */
#include "verbs_fixture.h"

#include "test/test_os.h"

static struct end a, b;

static void fill_with(u8 *p, u32 len, u32 seed)
{
	u32 i;

	for (i = 0; i < len; i++)
		p[i] = (u8)(seed + i * 7);
}

struct bed {
	bool a_soft, b_soft;
	enum machine_platform platform;
};

static const struct bed beds[] = {
	{ true, true, MACHINE_DIRECT },	 { true, false, MACHINE_IOMMU },   { false, true, MACHINE_IOMMU },
	{ false, false, MACHINE_IOMMU }, { false, false, MACHINE_DIRECT }, { true, false, MACHINE_BOUNCE },
};

#define EACH_BED(i, type) \
	for (i = 0; i < sizeof(beds) / sizeof(beds[0]) && \
		    (test_os_reset(1), vk_open(&a, &b, type, beds[i].a_soft, beds[i].b_soft, beds[i].platform), 1); \
	     vk_close(&a, &b), assert_int_equal(test_leaks(), 0), i++)

/* A bounce machine's adapter sees a copy until the owner says sync. */
static void for_cpu(struct end *e)
{
	ib_dma_sync_single_for_cpu(e->dev, e->addr, VK_BYTES, DMA_BIDIRECTIONAL);
}

static void for_device(struct end *e)
{
	ib_dma_sync_single_for_device(e->dev, e->addr, VK_BYTES, DMA_BIDIRECTIONAL);
}

static void give(struct end *e, u32 seed)
{
	for_cpu(e);
	fill_with(e->buf, VK_BYTES, seed);
	for_device(e);
}

static void same(u32 at_a, u32 at_b, u32 len)
{
	for_cpu(&a);
	for_cpu(&b);
	assert_memory_equal(a.buf + at_a, b.buf + at_b, len);
	for_device(&a);
	for_device(&b);
}

static void sends_arrive(void **state)
{
	struct ib_wc wc;
	size_t i;

	(void)state;
	EACH_BED(i, IB_QPT_RC)
	{
		give(&a, 1);
		give(&b, 2);
		assert_int_equal(vk_recv(&b, 1, 100, 5000), 0);
		assert_int_equal(vk_recv(&b, 2, 8192, 5000), 0);
		assert_int_equal(vk_send(&a, 3, IB_WR_SEND, 3, 4999), 0);
		assert_int_equal(vk_send(&a, 4, IB_WR_SEND_WITH_IMM, 7, 10), 0);
		vk_poll(&a, 3, IB_WC_SUCCESS);
		vk_poll(&a, 4, IB_WC_SUCCESS);
		wc = vk_poll(&b, 1, IB_WC_SUCCESS);
		assert_int_equal(wc.opcode, IB_WC_RECV);
		assert_int_equal(wc.byte_len, 4999);
		wc = vk_poll(&b, 2, IB_WC_SUCCESS);
		assert_int_equal(wc.wc_flags, IB_WC_WITH_IMM);
		assert_int_equal(wc.ex.imm_data, 0x12345678);
		same(3, 100, 4999);
		same(7, 8192, 10);
	}
}

static void rdma_moves_bytes(void **state)
{
	size_t i;

	(void)state;
	EACH_BED(i, IB_QPT_RC)
	{
		u64 there = hca_dma_u64(b.addr);

		give(&a, 1);
		give(&b, 2);
		assert_int_equal(vk_rdma(&a, 1, IB_WR_RDMA_WRITE, 1, 20000, there + 11, b.mr->rkey), 0);
		vk_poll(&a, 1, IB_WC_SUCCESS);
		same(1, 11, 20000);
		assert_int_equal(vk_rdma(&a, 2, IB_WR_RDMA_READ, 30000, 9999, there + 40001, b.mr->rkey), 0);
		assert_int_equal(vk_poll(&a, 2, IB_WC_SUCCESS).byte_len, 9999);
		same(30000, 40001, 9999);
		assert_int_equal(vk_recv(&b, 3, 0, 0), 0);
		assert_int_equal(vk_rdma(&a, 4, IB_WR_RDMA_WRITE_WITH_IMM, 0, 8, there, b.mr->rkey), 0);
		vk_poll(&a, 4, IB_WC_SUCCESS);
		assert_int_equal(vk_poll(&b, 3, IB_WC_SUCCESS).opcode, IB_WC_RECV_RDMA_WITH_IMM);
	}
}

static void atomics_are_answered(void **state)
{
	size_t i;

	(void)state;
	EACH_BED(i, IB_QPT_RC)
	{
		struct ib_sge sge = vk_sge(&a, 0, 8);
		struct ib_atomic_wr wr = {
			.wr = { .wr_id = 1, .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_ATOMIC_FETCH_AND_ADD },
			.remote_addr = hca_dma_u64(b.addr) + 16,
			.compare_add = 5,
			.swap = 9,
			.rkey = b.mr->rkey,
		};

		give(&b, 0);
		for_cpu(&b);
		memset(b.buf + 16, 0, 8);
		for_device(&b);
		assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
		assert_int_equal(vk_poll(&a, 1, IB_WC_SUCCESS).opcode, IB_WC_FETCH_ADD);
		wr.wr.opcode = IB_WR_ATOMIC_CMP_AND_SWP;
		assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
		assert_int_equal(vk_poll(&a, 1, IB_WC_SUCCESS).opcode, IB_WC_COMP_SWAP);
		for_cpu(&b);
		assert_int_equal(*(u64 *)(void *)(b.buf + 16), 9);
		for_device(&b);
	}
}

/* The list has two runs: whole pages, and a tail that begins on a page. */
static void registration_follows_a_list(void **state)
{
	size_t i;

	(void)state;
	EACH_BED(i, IB_QPT_RC)
	{
		struct page *page = machine_alloc_pages(b.machine, GFP_KERNEL, 3);
		struct ib_mr *mr = ib_alloc_mr(b.pd, IB_MR_TYPE_MEM_REG, 8);
		struct scatterlist sg[2];
		struct ib_reg_wr reg = { .wr = { .wr_id = 1, .opcode = IB_WR_REG_MR }, .access = VK_RIGHTS };
		struct ib_send_wr inv = { .wr_id = 2, .opcode = IB_WR_LOCAL_INV };
		int n;

		assert_non_null(page);
		assert_false(IS_ERR(mr));
		sg_init_table(sg, 2);
		sg_set_page(&sg[0], page, 2 * 4096 - 100, 100);
		sg_set_page(&sg[1], nth_page(page, 4), 5000, 0);
		n = ib_dma_map_sg(b.dev, sg, 2, DMA_BIDIRECTIONAL);
		assert_in_range(n, 1, 2);
		assert_int_equal(ib_map_mr_sg(mr, sg, n, NULL, 4096), n);
		assert_int_equal(mr->length, 2 * 4096 - 100 + 5000);
		reg.mr = mr;
		ib_update_fast_reg_key(mr, 0x77);
		reg.key = mr->rkey;
		assert_int_equal(ib_post_send(b.qp, &reg.wr, NULL), 0);
		assert_int_equal(vk_poll(&b, 1, IB_WC_SUCCESS).opcode, IB_WC_REG_MR);
		give(&a, 3);
		assert_int_equal(vk_rdma(&a, 5, IB_WR_RDMA_WRITE, 0, (u32)mr->length, mr->iova, mr->rkey), 0);
		vk_poll(&a, 5, IB_WC_SUCCESS);
		inv.ex.invalidate_rkey = mr->rkey;
		assert_int_equal(ib_post_send(b.qp, &inv, NULL), 0);
		assert_int_equal(vk_poll(&b, 2, IB_WC_SUCCESS).opcode, IB_WC_LOCAL_INV);
		ib_dma_unmap_sg(b.dev, sg, 2, DMA_BIDIRECTIONAL);
		for_cpu(&a);
		assert_memory_equal((u8 *)page_address(page) + 100, a.buf, 2 * 4096 - 100);
		assert_memory_equal(page_address(nth_page(page, 4)), a.buf + 2 * 4096 - 100, 5000);
		for_device(&a);
		assert_int_equal(vk_rdma(&a, 6, IB_WR_RDMA_WRITE, 0, 8, mr->iova, mr->rkey), 0);
		vk_poll(&a, 6, IB_WC_REM_ACCESS_ERR);
		assert_int_equal(b.events[IB_EVENT_QP_ACCESS_ERR], 1);
		assert_int_equal(ib_dereg_mr(mr), 0);
		__free_pages(page, 3);
	}
}

static void datagrams_go_by_their_handle(void **state)
{
	size_t i;

	(void)state;
	EACH_BED(i, IB_QPT_UD)
	{
		const struct rdma_ah_attr path = { .dlid = vk_lid(&b), .port_num = 1 };
		struct ib_ah *ah = rdma_create_ah(a.pd, &path, 0);
		struct ib_sge sge = vk_sge(&a, 0, 1000);
		struct ib_ud_wr wr = {
			.wr = { .wr_id = 1, .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_SEND },
			.ah = ah,
			.remote_qpn = b.qp->qp_num,
			.remote_qkey = 0x11,
		};
		struct ib_wc wc;

		assert_false(IS_ERR(ah));
		give(&a, 5);
		assert_int_equal(vk_recv(&b, 2, 0, 2000), 0);
		assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
		vk_poll(&a, 1, IB_WC_SUCCESS);
		wc = vk_poll(&b, 2, IB_WC_SUCCESS);
		assert_int_equal(wc.src_qp, a.qp->qp_num);
		assert_int_equal(wc.slid, vk_lid(&a));
		assert_int_equal(wc.byte_len, 1040);
		same(0, 40, 1000);
		assert_int_equal(ib_dealloc_pd(a.pd), -EBUSY);
		assert_int_equal(rdma_destroy_ah(ah, 0), 0);
	}
}

/* --- contexts --- */

struct request {
	struct ib_cqe cqe;
	int done;
	enum ib_wc_status status;
};

static void on_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct request *r = hca_container_of(wc->wr_cqe, struct request, cqe);

	(void)cq;
	r->done++;
	r->status = wc->status;
}

static void done_is_called_and_drain_waits(void **state)
{
	const enum ib_poll_context ctx[] = { IB_POLL_DIRECT, IB_POLL_SOFTIRQ };
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct request sent = { .cqe.done = on_done }, got = { .cqe.done = on_done },
			       left = { .cqe.done = on_done };
		struct ib_recv_wr rw[2] = { { .next = &rw[1], .wr_cqe = &got.cqe }, { .wr_cqe = &left.cqe } };
		struct ib_send_wr sw = { .wr_cqe = &sent.cqe, .opcode = IB_WR_SEND, .send_flags = IB_SEND_SIGNALED };
		struct ib_qp_init_attr qa = {
			.cap = { .max_send_wr = 2, .max_recv_wr = 2, .max_send_sge = 1, .max_recv_sge = 1 },
			.sq_sig_type = IB_SIGNAL_REQ_WR,
			.qp_type = IB_QPT_RC,
		};
		struct ib_qp *qp[2];
		struct ib_cq *cq;

		test_os_reset(1);
		vk_open(&a, &b, IB_QPT_RC, true, true, MACHINE_DIRECT);
		cq = ib_alloc_cq(a.dev, NULL, 16, 0, ctx[i]);
		assert_false(IS_ERR(cq));
		qa.send_cq = qa.recv_cq = cq;
		qp[0] = ib_create_qp(a.pd, &qa);
		qp[1] = ib_create_qp(a.pd, &qa);
		assert_false(IS_ERR(qp[0]) || IS_ERR(qp[1]));
		vk_connect(qp[0], vk_lid(&a), qp[1]->qp_num);
		vk_connect(qp[1], vk_lid(&a), qp[0]->qp_num);
		assert_int_equal(ib_post_recv(qp[1], rw, NULL), 0);
		assert_int_equal(ib_post_send(qp[0], &sw, NULL), 0);
		if (ctx[i] == IB_POLL_DIRECT) {
			assert_int_equal(sent.done + got.done, 0);
			assert_int_equal(ib_process_cq_direct(cq, -1), 2);
		}
		assert_int_equal(sent.done, 1);
		assert_int_equal(got.done, 1);
		assert_int_equal(sent.status, IB_WC_SUCCESS);
		ib_drain_qp(qp[1]);
		assert_int_equal(left.done, 1);
		assert_int_equal(left.status, IB_WC_WR_FLUSH_ERR);
		ib_drain_qp(qp[1]); /* nothing is left, and it returns */
		ib_drain_qp(qp[0]);
		assert_int_equal(ib_destroy_cq(cq), -EBUSY);
		assert_int_equal(ib_destroy_qp(qp[0]), 0);
		assert_int_equal(ib_destroy_qp(qp[1]), 0);
		ib_free_cq(cq);
		vk_close(&a, &b);
		assert_int_equal(test_leaks(), 0);
	}
}

/* A queue pair says how it was made, so that another can be made like it. */
static void a_query_tells_the_flags(void **state)
{
	struct ib_qp_init_attr made = { 0 }, told;
	struct ib_qp_attr attr;
	struct ib_qp *qp;

	(void)state;
	vk_open(&a, &b, IB_QPT_UD, true, false, MACHINE_IOMMU);
	made.qp_type = IB_QPT_UD;
	made.send_cq = made.recv_cq = a.cq;
	made.create_flags = IB_QP_CREATE_BLOCK_MULTICAST_LOOPBACK;
	qp = ib_create_qp(a.pd, &made);
	assert_false(IS_ERR(qp));
	assert_int_equal(ib_query_qp(qp, &attr, 0, &told), 0);
	assert_int_equal(told.create_flags, IB_QP_CREATE_BLOCK_MULTICAST_LOOPBACK);
	assert_int_equal(told.qp_type, IB_QPT_UD);
	assert_int_equal(ib_query_qp(a.qp, &attr, 0, &told), 0);
	assert_int_equal(told.create_flags, 0);
	made.create_flags |= 1;
	assert_int_equal(PTR_ERR(ib_create_qp(a.pd, &made)), -EINVAL);
	assert_int_equal(ib_destroy_qp(qp), 0);
	vk_close(&a, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_arrive),
		cmocka_unit_test(rdma_moves_bytes),
		cmocka_unit_test(atomics_are_answered),
		cmocka_unit_test(registration_follows_a_list),
		cmocka_unit_test(datagrams_go_by_their_handle),
		cmocka_unit_test(done_is_called_and_drain_waits),
		cmocka_unit_test(a_query_tells_the_flags),
	};

	return cmocka_run_group_tests_name("verbs", tests, NULL, NULL);
}
