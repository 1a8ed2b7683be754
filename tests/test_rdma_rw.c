/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * RDMA of whole lists (struct rdma_rw_ctx), and registrations of pieces that begin and end anywhere (IB_MR_TYPE_SG_GAPS): every
 * byte arrives where it belongs, and none elsewhere, between every pair of devices.
 */
#include "verbs_fixture.h"
#include "no_leaks.h"
#include "softhca/rdma_rw.h"

#define PIECES 11u

static const u32 lengths[PIECES] = { 1, 4096, 13, 700, 8, 3000, 5, 64, 4095, 2, 1023 };

struct list {
	struct scatterlist sg[PIECES];
	u32 nents;
	u32 total;
};

/* A piece in each page of the end's buffer, at an odd place; it takes 16 pages. */
static void list_make(struct list *l, struct end *e, u32 nents)
{
	u32 i;

	l->nents = nents;
	l->total = 0;
	sg_init_table(l->sg, nents);
	for (i = 0; i < nents; i++) {
		u32 off = 4096 - lengths[i] < 17 * i ? 0 : 17 * i;

		sg_set_page(&l->sg[i], nth_page(e->page, i), lengths[i], off);
		l->total += lengths[i];
	}
}

static void pattern(u8 *to, u32 len, u32 key)
{
	u32 i;

	for (i = 0; i < len; i++)
		to[i] = (u8)(i * 7 + (i >> 8) + key);
}

static u32 done;
static enum ib_wc_status status;

static void on_done(struct ib_cq *cq, struct ib_wc *wc)
{
	(void)cq;
	status = wc->status;
	done++;
}

/* One transfer between a list at @a and a run of memory at @b, and back. */
static void transfer(struct end *a, struct end *b, u32 nents, u32 offset)
{
	static u8 want[VK_BYTES], got[VK_BYTES];
	struct ib_cqe cqe = { .done = on_done };
	struct rdma_rw_ctx ctx;
	struct ib_cq *cq = a->qp->send_cq;
	struct list l;
	int dir, n;

	list_make(&l, a, nents);
	for (dir = DMA_TO_DEVICE; dir <= DMA_FROM_DEVICE; dir++) {
		bool out = dir == DMA_TO_DEVICE;

		memset(a->buf, 0xee, VK_BYTES);
		memset(b->buf, 0xdd, VK_BYTES);
		pattern(want, l.total, nents + offset);
		if (out)
			sg_copy_from_buffer(l.sg, nents, want, l.total);
		else
			memcpy(b->buf + 100, want + offset, l.total - offset);
		n = rdma_rw_ctx_init(&ctx, a->qp, 1, l.sg, nents, offset, hca_dma_u64(b->addr) + 100, b->mr->rkey,
				     (enum dma_data_direction)dir);
		assert_true(n > 0);
		assert_int_equal(n, ctx.nr_ops);
		done = 0;
		assert_int_equal(rdma_rw_ctx_post(&ctx, a->qp, 1, &cqe, NULL), 0);
		ib_process_cq_direct(cq, -1);
		assert_int_equal(done, 1);
		assert_int_equal(status, IB_WC_SUCCESS);
		rdma_rw_ctx_destroy(&ctx, a->qp, 1, l.sg, nents, (enum dma_data_direction)dir);
		if (out) {
			assert_memory_equal(b->buf + 100, want + offset, l.total - offset);
			assert_int_equal(b->buf[99], 0xdd);
			assert_int_equal(b->buf[100 + l.total - offset], 0xdd);
		} else {
			sg_copy_to_buffer(l.sg, nents, got, l.total);
			assert_memory_equal(got + offset, want + offset, l.total - offset);
			while (offset && got[offset - 1] == 0xee)
				offset--;
			assert_int_equal(offset, 0);
		}
	}
}

/* Requests are unsignalled but for the last one. */
static void open_pair(struct end *a, struct end *b, bool a_soft, bool b_soft, enum machine_platform platform)
{
	struct ib_qp_init_attr qa = {
		.cap = { .max_send_wr = 4, .max_rdma_ctxs = 4, .max_recv_wr = 1, .max_send_sge = 4, .max_recv_sge = 1 },
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.qp_type = IB_QPT_RC,
		.port_num = 1,
	};

	vk_open(a, b, IB_QPT_RC, a_soft, b_soft, platform);
	assert_int_equal(ib_destroy_qp(a->qp), 0);
	qa.send_cq = qa.recv_cq = a->cq;
	a->qp = ib_create_qp(a->pd, &qa);
	assert_false(IS_ERR(a->qp));
	assert_true(qa.cap.max_send_wr >= 8);
	vk_connect(a->qp, vk_lid(b), b->qp->qp_num);
	assert_int_equal(ib_modify_qp(b->qp, &(struct ib_qp_attr){ .qp_state = IB_QPS_RESET }, IB_QP_STATE), 0);
	vk_connect(b->qp, vk_lid(a), a->qp->qp_num);
	/* The list's mapping is another one than that of the whole buffer, and may end before it. */
	ib_dma_unmap_single(a->dev, a->addr, VK_BYTES, DMA_BIDIRECTIONAL);
}

static void close_pair(struct end *a, struct end *b)
{
	a->addr = ib_dma_map_single(a->dev, a->buf, VK_BYTES, DMA_BIDIRECTIONAL);
	assert_int_equal(ib_dma_mapping_error(a->dev, a->addr), 0);
	vk_close(a, b);
}

static const enum machine_platform platforms[] = { MACHINE_DIRECT, MACHINE_IOMMU, MACHINE_BOUNCE };

static void lists_arrive(void **state)
{
	struct end a, b;
	u32 p, pair;

	(void)state;
	for (p = 0; p < HCA_ARRAY_SIZE(platforms); p++)
		for (pair = 0; pair < 4; pair++) {
			open_pair(&a, &b, pair & 1, pair >> 1, platforms[p]);
			transfer(&a, &b, 1, 0);
			transfer(&a, &b, 2, 0);
			transfer(&a, &b, 4, 3000);
			transfer(&a, &b, 5, 1);
			transfer(&a, &b, PIECES, 0);
			transfer(&a, &b, PIECES, 4110);
			transfer(&a, &b, PIECES, 4100);
			close_pair(&a, &b);
		}
}

static void chained_behind(void **state)
{
	struct ib_cqe cqe = { .done = on_done };
	struct ib_send_wr send = { .wr_cqe = &cqe, .opcode = IB_WR_SEND, .send_flags = IB_SEND_SIGNALED };
	struct rdma_rw_ctx ctx;
	struct ib_send_wr *wr;
	struct end a, b;
	struct list l;

	(void)state;
	open_pair(&a, &b, true, true, MACHINE_DIRECT);
	list_make(&l, &a, PIECES);
	assert_int_equal(
		rdma_rw_ctx_init(&ctx, a.qp, 1, l.sg, PIECES, 0, hca_dma_u64(b.addr), b.mr->rkey, DMA_TO_DEVICE), 3);
	wr = rdma_rw_ctx_wrs(&ctx, a.qp, 1, &cqe, &send);
	assert_ptr_equal(wr->next->next->next, &send);
	assert_int_equal(vk_recv(&b, 9, 0, 8), 0);
	done = 0;
	assert_int_equal(rdma_rw_ctx_post(&ctx, a.qp, 1, &cqe, &send), 0);
	ib_process_cq_direct(a.cq, -1);
	/* The send alone is signalled. */
	assert_int_equal(done, 1);
	vk_poll(&b, 9, IB_WC_SUCCESS);
	rdma_rw_ctx_destroy(&ctx, a.qp, 1, l.sg, PIECES, DMA_TO_DEVICE);
	close_pair(&a, &b);
}

static void what_cannot_be(void **state)
{
	struct rdma_rw_ctx ctx;
	struct end a, b;
	struct list l;

	(void)state;
	open_pair(&a, &b, true, true, MACHINE_DIRECT);
	list_make(&l, &a, 3);
	assert_int_equal(rdma_rw_ctx_init(&ctx, a.qp, 1, l.sg, 3, 0, 0, 0, DMA_BIDIRECTIONAL), -EINVAL);
	assert_int_equal(rdma_rw_ctx_init(&ctx, a.qp, 1, l.sg, 3, l.total, 0, 0, DMA_TO_DEVICE), -EINVAL);
	TEST_FAIL_LOOP(fail)
	{
		int n = rdma_rw_ctx_init(&ctx, a.qp, 1, l.sg, 3, 0, 0, 0, DMA_TO_DEVICE);

		if (n > 0)
			rdma_rw_ctx_destroy(&ctx, a.qp, 1, l.sg, 3, DMA_TO_DEVICE);
		else
			assert_int_equal(n, -ENOMEM);
	}
	assert_int_equal(rdma_rw_mr_factor(a.dev, 1, 1), 1);
	assert_int_equal(rdma_rw_mr_factor(a.dev, 1, a.dev->attrs.max_fast_reg_page_list_len), 1);
	assert_int_equal(rdma_rw_mr_factor(a.dev, 1, a.dev->attrs.max_fast_reg_page_list_len + 1), 2);
	close_pair(&a, &b);
}

/* --- registrations with gaps --- */

static void gaps_one(bool a_soft, bool b_soft, enum machine_platform platform)
{
	static u8 want[VK_BYTES], got[VK_BYTES];
	struct ib_reg_wr reg = { .wr = { .wr_id = 5, .opcode = IB_WR_REG_MR }, .access = VK_RIGHTS };
	struct ib_send_wr inv = { .wr_id = 6, .opcode = IB_WR_LOCAL_INV };
	unsigned int offset = 0;
	struct end a, b;
	struct ib_mr *mr;
	struct list l;
	int n;

	vk_open(&a, &b, IB_QPT_RC, a_soft, b_soft, platform);
	ib_dma_unmap_single(b.dev, b.addr, VK_BYTES, DMA_BIDIRECTIONAL);
	list_make(&l, &b, PIECES);
	mr = ib_alloc_mr(b.pd, IB_MR_TYPE_SG_GAPS, PIECES);
	assert_false(IS_ERR(mr));
	n = ib_dma_map_sg(b.dev, l.sg, PIECES, DMA_BIDIRECTIONAL);
	assert_true(n > 0);
	assert_int_equal(ib_map_mr_sg(mr, l.sg, n, &offset, 4096), n);
	assert_int_equal(mr->length, l.total);
	reg.mr = mr;
	reg.key = ib_inc_rkey(mr->rkey);
	ib_update_fast_reg_key(mr, (u8)reg.key);
	assert_int_equal(ib_post_send(b.qp, &reg.wr, NULL), 0);
	vk_poll(&b, 5, IB_WC_SUCCESS);
	memset(a.buf, 0, VK_BYTES);
	memset(b.buf, 0xdd, VK_BYTES);
	pattern(a.buf, l.total, 3);
	memcpy(want, a.buf, l.total);
	/* All of it, then from within one piece into another; the rest stays as it was. */
	assert_int_equal(vk_rdma(&a, 1, IB_WR_RDMA_WRITE, 0, l.total, mr->iova, mr->rkey), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	assert_int_equal(vk_rdma(&a, 2, IB_WR_RDMA_WRITE, 7, 900, mr->iova + 4000, mr->rkey), 0);
	vk_poll(&a, 2, IB_WC_SUCCESS);
	memcpy(want + 4000, want + 7, 900);
	assert_int_equal(vk_rdma(&a, 3, IB_WR_RDMA_READ, 20000, l.total - 4101, mr->iova + 4101, mr->rkey), 0);
	vk_poll(&a, 3, IB_WC_SUCCESS);
	assert_memory_equal(a.buf + 20000, want + 4101, l.total - 4101);
	/* A byte more than it has. */
	assert_int_equal(vk_rdma(&a, 4, IB_WR_RDMA_READ, 0, l.total, mr->iova + 1, mr->rkey), 0);
	vk_poll(&a, 4, IB_WC_REM_ACCESS_ERR);
	assert_int_equal(ib_modify_qp(b.qp, &(struct ib_qp_attr){ .qp_state = IB_QPS_RESET }, IB_QP_STATE), 0);
	vk_connect(b.qp, vk_lid(&a), a.qp->qp_num);
	inv.ex.invalidate_rkey = mr->rkey;
	assert_int_equal(ib_post_send(b.qp, &inv, NULL), 0);
	vk_poll(&b, 6, IB_WC_SUCCESS);
	ib_dma_unmap_sg(b.dev, l.sg, PIECES, DMA_BIDIRECTIONAL);
	sg_copy_to_buffer(l.sg, PIECES, got, l.total);
	assert_memory_equal(got, want, l.total);
	assert_int_equal(b.buf[2], 0xdd);
	assert_int_equal(ib_dereg_mr(mr), 0);
	b.addr = ib_dma_map_single(b.dev, b.buf, VK_BYTES, DMA_BIDIRECTIONAL);
	assert_int_equal(ib_dma_mapping_error(b.dev, b.addr), 0);
	vk_close(&a, &b);
}

static void gaps_arrive(void **state)
{
	u32 p, pair;

	(void)state;
	for (p = 0; p < HCA_ARRAY_SIZE(platforms); p++)
		for (pair = 0; pair < 4; pair++)
			gaps_one(pair & 1, pair >> 1, platforms[p]);
}

/* Eight bytes of two pieces, or at an odd address: no atomic. */
static void atomics_need_a_whole_word(void **state)
{
	struct ib_reg_wr reg = { .wr = { .wr_id = 5, .opcode = IB_WR_REG_MR }, .access = VK_RIGHTS };
	static const struct {
		u32 first_len, second_off, at;
		enum ib_wc_status status;
	} cases[] = {
		{ 64, 8, 64, IB_WC_SUCCESS },
		{ 64, 8, 56, IB_WC_SUCCESS },
		{ 60, 8, 56, IB_WC_REM_INV_REQ_ERR },
		{ 64, 12, 64, IB_WC_REM_INV_REQ_ERR },
	};
	struct scatterlist sg[2];
	struct ib_mr *mr;
	struct end a, b;
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(cases); i++) {
		struct ib_sge sge;
		struct ib_atomic_wr wr = {
			.wr = { .wr_id = 1, .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_ATOMIC_FETCH_AND_ADD },
			.compare_add = 3,
		};

		vk_open(&a, &b, IB_QPT_RC, true, true, MACHINE_DIRECT);
		sg_init_table(sg, 2);
		sg_set_page(&sg[0], b.page, cases[i].first_len, 0);
		sg_set_page(&sg[1], nth_page(b.page, 2), 64, cases[i].second_off);
		mr = ib_alloc_mr(b.pd, IB_MR_TYPE_SG_GAPS, 2);
		assert_false(IS_ERR(mr));
		assert_int_equal(ib_dma_map_sg(b.dev, sg, 2, DMA_BIDIRECTIONAL), 2);
		assert_int_equal(ib_map_mr_sg(mr, sg, 2, NULL, 4096), 2);
		reg.mr = mr;
		reg.key = mr->rkey;
		assert_int_equal(ib_post_send(b.qp, &reg.wr, NULL), 0);
		vk_poll(&b, 5, IB_WC_SUCCESS);
		sge = vk_sge(&a, 0, 8);
		wr.remote_addr = mr->iova + cases[i].at;
		wr.rkey = mr->rkey;
		assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
		vk_poll(&a, 1, cases[i].status);
		ib_dma_unmap_sg(b.dev, sg, 2, DMA_BIDIRECTIONAL);
		assert_int_equal(ib_dereg_mr(mr), 0);
		vk_close(&a, &b);
	}
}

/* More pieces than it has room for; pieces that meet take the room of one. */
static void gaps_fill_up(void **state)
{
	unsigned int offset = 10;
	struct scatterlist sg[4];
	struct ib_mr *mr;
	struct end a, b;

	(void)state;
	vk_open(&a, &b, IB_QPT_RC, true, true, MACHINE_DIRECT);
	assert_int_equal(PTR_ERR(ib_alloc_mr(a.pd, IB_MR_TYPE_SG_GAPS, 0)), -EINVAL);
	assert_int_equal(
		PTR_ERR(ib_alloc_mr(a.pd, IB_MR_TYPE_SG_GAPS, a.dev->attrs.max_fast_reg_page_list_len / 2 + 1)),
		-EINVAL);
	mr = ib_alloc_mr(a.pd, IB_MR_TYPE_SG_GAPS, 2);
	assert_false(IS_ERR(mr));
	sg_init_table(sg, 4);
	sg_set_page(&sg[0], a.page, 100, 0);
	sg_set_page(&sg[1], a.page, 200, 100);
	sg_set_page(&sg[2], nth_page(a.page, 2), 50, 3);
	sg_set_page(&sg[3], nth_page(a.page, 3), 50, 0);
	assert_int_equal(ib_dma_map_sg(a.dev, sg, 4, DMA_TO_DEVICE), 4);
	assert_int_equal(ib_map_mr_sg(mr, sg, 4, &offset, 4096), 3);
	assert_int_equal(mr->length, 340);
	assert_int_equal(mr->iova, hca_dma_u64(ib_sg_dma_address(a.dev, sg)) + 10);
	assert_int_equal(offset, 0);
	ib_dma_unmap_sg(a.dev, sg, 4, DMA_TO_DEVICE);
	assert_int_equal(ib_dereg_mr(mr), 0);
	vk_close(&a, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(lists_arrive), T(chained_behind), T(what_cannot_be), T(gaps_arrive), T(atomics_need_a_whole_word),
		T(gaps_fill_up),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
