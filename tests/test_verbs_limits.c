/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Objects: attributes that can't be, of another device or domain, too many, too large, none at all, and in use when
 * they should go. Every limit that a device tells is true: so much can be had, and no more.
 */
#include "verbs_by.h"
#include "why_fixture.h"

/* --- changing a queue pair --- */

struct step {
	enum ib_qp_state to;
	int need;
};

static const struct step steps[] = {
	{ IB_QPS_INIT, IB_QP_PKEY_INDEX | IB_QP_PORT | IB_QP_ACCESS_FLAGS },
	{ IB_QPS_RTR,
	  IB_QP_AV | IB_QP_PATH_MTU | IB_QP_DEST_QPN | IB_QP_RQ_PSN | IB_QP_MAX_DEST_RD_ATOMIC | IB_QP_MIN_RNR_TIMER },
	{ IB_QPS_RTS, IB_QP_SQ_PSN | IB_QP_TIMEOUT | IB_QP_RETRY_CNT | IB_QP_RNR_RETRY | IB_QP_MAX_QP_RD_ATOMIC },
};

static struct ib_qp_attr good_attr(void)
{
	return (struct ib_qp_attr){
		.path_mtu = IB_MTU_1024,
		.dest_qp_num = b.qp->qp_num,
		.rq_psn = 0xffffff,
		.sq_psn = 0xffffff,
		.ah_attr = { .dlid = vk_lid(&b), .port_num = 1 },
		.port_num = 1,
		.max_rd_atomic = (u8)a.dev->attrs.max_qp_init_rd_atom,
		.max_dest_rd_atomic = (u8)a.dev->attrs.max_qp_rd_atom,
		.min_rnr_timer = 31,
		.timeout = 31,
		.retry_cnt = 7,
		.rnr_retry = 7,
	};
}

/* Refused, and nothing is another than before. */
static void no_modify(struct ib_qp_attr *at, int mask)
{
	struct ib_qp_init_attr init;
	struct ib_qp_attr was, is;

	assert_int_equal(ib_query_qp(a.qp, &was, 0, &init), 0);
	assert_int_equal(ib_modify_qp(a.qp, at, mask), -EINVAL);
	assert_int_equal(ib_query_qp(a.qp, &is, 0, &init), 0);
	assert_int_equal(is.qp_state, was.qp_state);
	assert_int_equal(is.path_mtu, was.path_mtu);
	assert_int_equal(is.dest_qp_num, was.dest_qp_num);
	assert_int_equal(is.qp_access_flags, was.qp_access_flags);
	assert_int_equal(is.ah_attr.dlid, was.ah_attr.dlid);
	assert_int_equal(is.port_num, was.port_num);
	assert_int_equal(is.timeout, was.timeout);
	assert_int_equal(is.retry_cnt, was.retry_cnt);
	assert_int_equal(is.rnr_retry, was.rnr_retry);
	assert_int_equal(is.min_rnr_timer, was.min_rnr_timer);
}

static void masks(void **state)
{
	/* What may come along besides what must, by the way that is taken */
	static const int may[] = { 0, IB_QP_ACCESS_FLAGS | IB_QP_PKEY_INDEX,
				   IB_QP_CUR_STATE | IB_QP_ACCESS_FLAGS | IB_QP_MIN_RNR_TIMER | IB_QP_PATH_MIG_STATE };
	struct ib_qp_attr at = good_attr();
	size_t i;
	int bit;

	(void)state;
	to_reset(a.qp);
	for (i = 0; i < HCA_ARRAY_SIZE(steps); i++) {
		int all = steps[i].need | IB_QP_STATE;

		at.cur_qp_state = qp_state(a.qp);
		for (bit = 0; bit < 31; bit++) {
			at.qp_state = steps[i].to;
			if (steps[i].need & 1 << bit)
				no_modify(&at, all & ~(1 << bit));
			else if (!((all | may[i]) & 1 << bit))
				no_modify(&at, all | 1 << bit);
		}
		no_modify(&at, (int)((unsigned int)all | 1u << 31));
		/* No way leads there from here. */
		at.qp_state = i < 2 ? IB_QPS_RTS : IB_QPS_INIT;
		no_modify(&at, all);
		at.qp_state = IB_QPS_SQE;
		no_modify(&at, IB_QP_STATE);
		at.qp_state = (enum ib_qp_state)7;
		no_modify(&at, IB_QP_STATE);
		at.qp_state = (enum ib_qp_state) - 1;
		no_modify(&at, IB_QP_STATE);
		at.qp_state = steps[i].to;
		assert_int_equal(ib_modify_qp(a.qp, &at, all), 0);
		assert_int_equal(qp_state(a.qp), steps[i].to);
	}
}

static void values(void **state)
{
	struct ib_qp_attr at, ok = good_attr();
	int all;

	(void)state;
#define BAD(field, value) \
	do { \
		at = ok; \
		at.field = value; \
		no_modify(&at, all); \
	} while (0)
	to_reset(a.qp);
	ok.qp_state = IB_QPS_INIT;
	all = steps[0].need | IB_QP_STATE;
	BAD(port_num, 0);
	BAD(port_num, 2);
	BAD(port_num, 257);
	BAD(port_num, ~0u - 254);
	BAD(pkey_index, a.dev->attrs.max_pkeys);
	BAD(qp_access_flags, 1 << 8);
	BAD(qp_access_flags, (int)0x80000000);
	assert_int_equal(ib_modify_qp(a.qp, &ok, all), 0);
	ok.qp_state = IB_QPS_RTR;
	all = steps[1].need | IB_QP_STATE;
	BAD(path_mtu, (enum ib_mtu)0);
	BAD(path_mtu, (enum ib_mtu)6);
	BAD(path_mtu, (enum ib_mtu) - 1);
	BAD(dest_qp_num, 1 << 24);
	BAD(rq_psn, 1 << 24);
	BAD(max_dest_rd_atomic, (u8)(a.dev->attrs.max_qp_rd_atom + 1));
	BAD(min_rnr_timer, 32);
	BAD(ah_attr.port_num, 0);
	BAD(ah_attr.port_num, 2);
	BAD(ah_attr.port_num, 257);
	BAD(ah_attr.dlid, 0x10000 + vk_lid(&b));
	BAD(ah_attr.dlid, 0xc000);
	BAD(ah_attr.dlid, 0xffff);
	BAD(ah_attr.sl, 16);
	BAD(ah_attr.src_path_bits, 128);
	ok.ah_attr.ah_flags = IB_AH_GRH;
	BAD(ah_attr.grh.sgid_index, 1);
	BAD(ah_attr.grh.flow_label, 1 << 20);
	BAD(ah_attr.grh.dgid.raw[0], 0xff);
	ok.ah_attr.ah_flags = 0;
	assert_int_equal(ib_modify_qp(a.qp, &ok, all), 0);
	ok.qp_state = IB_QPS_RTS;
	all = steps[2].need | IB_QP_STATE;
	BAD(sq_psn, 1 << 24);
	BAD(timeout, 32);
	BAD(retry_cnt, 8);
	BAD(rnr_retry, 8);
	BAD(max_rd_atomic, (u8)(a.dev->attrs.max_qp_init_rd_atom + 1));
	all |= IB_QP_CUR_STATE;
	BAD(cur_qp_state, IB_QPS_RTS);
	BAD(cur_qp_state, (enum ib_qp_state)9);
	ok.cur_qp_state = IB_QPS_RTR;
	assert_int_equal(ib_modify_qp(a.qp, &ok, all), 0);
#undef BAD
}

/* --- making --- */

static const struct ib_qp_init_attr *good_qp(void)
{
	static struct ib_qp_init_attr qa;

	qa = (struct ib_qp_init_attr){
		.send_cq = a.cq,
		.recv_cq = a.cq,
		.cap = { .max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 },
		.qp_type = IB_QPT_RC,
	};
	return &qa;
}

static void no_qp(struct ib_qp_init_attr qa)
{
	const struct ib_qp_init_attr was = qa;

	assert_err(ib_create_qp(a.pd, &qa), -EINVAL);
	assert_memory_equal(&qa.cap, &was.cap, sizeof(was.cap));
}

static void queue_pairs_that_can_not_be(void **state)
{
	const struct ib_device_attr *most = &a.dev->attrs;
	static const int types[] = { IB_QPT_SMI, IB_QPT_GSI, 5, 6, 8, 9, 10, 255, -1 };
	struct ib_srq_init_attr sa = { .attr = { .max_wr = 4, .max_sge = 1 } };
	struct ib_srq *theirs = ib_create_srq(b.pd, &sa);
	struct ib_qp_init_attr qa;
	struct ib_qp *qp;
	size_t i;

	(void)state;
	assert_false(IS_ERR(theirs));
	for (i = 0; i < HCA_ARRAY_SIZE(types); i++) {
		qa = *good_qp();
		qa.qp_type = (enum ib_qp_type)types[i];
		no_qp(qa);
	}
#define BAD(field, value) \
	do { \
		qa = *good_qp(); \
		qa.field = value; \
		no_qp(qa); \
	} while (0)
	BAD(send_cq, NULL);
	BAD(recv_cq, NULL);
	BAD(send_cq, b.cq);
	BAD(recv_cq, b.cq);
	BAD(srq, theirs);
	BAD(create_flags, 1);
	BAD(create_flags, 1u << 31);
	BAD(sq_sig_type, (enum ib_sig_type)2);
	BAD(cap.max_send_wr, (u32)most->max_qp_wr + 1);
	BAD(cap.max_recv_wr, (u32)most->max_qp_wr + 1);
	BAD(cap.max_send_sge, (u32)most->max_send_sge + 1);
	BAD(cap.max_recv_sge, (u32)most->max_recv_sge + 1);
	BAD(cap.max_inline_data, (u32)most->max_inline_data + 1);
	BAD(cap.max_send_wr, ~0u);
	BAD(cap.max_recv_wr, ~0u);
	BAD(cap.max_send_sge, ~0u);
	BAD(cap.max_recv_sge, ~0u);
	BAD(cap.max_inline_data, ~0u);
#undef BAD
	/* Nothing at all is something, even if it's of little use. */
	qa = *good_qp();
	memset(&qa.cap, 0, sizeof(qa.cap));
	qp = ib_create_qp(a.pd, &qa);
	assert_false(IS_ERR(qp));
	assert_int_equal(qa.cap.max_recv_wr, 0);
	vk_connect(qp, vk_lid(&b), b.qp->qp_num);
	assert_int_equal(ib_post_recv(qp, &(struct ib_recv_wr){ .wr_id = 1 }, NULL), -ENOMEM);
	assert_int_equal(post_op(qp, IB_WR_SEND, 1, 0), -EINVAL);
	assert_int_equal(ib_destroy_qp(qp), 0);
	assert_int_equal(ib_destroy_srq(theirs), 0);
}

static void other_objects_that_can_not_be(void **state)
{
	const struct ib_device_attr *most = &a.dev->attrs;
	struct ib_cq_init_attr ca = { .cqe = 0 };
	struct ib_srq_init_attr sa;
	const struct {
		u32 max_wr, max_sge, limit;
	} srqs[] = { { 0, 1, 0 },
		     { (u32)most->max_srq_wr + 1, 1, 0 },
		     { 4, (u32)most->max_srq_sge + 1, 0 },
		     { 4, 1, 5 },
		     { ~0u, ~0u, ~0u } };
	struct ib_fmr_attr fa = { .max_pages = 1, .max_maps = 1, .page_shift = 12 };
	struct ib_port_attr pa;
	union ib_gid gid;
	size_t i;
	u16 pkey;

	(void)state;
	assert_err(ib_alloc_pd(a.dev, 2), -EINVAL);
	assert_err(ib_create_cq(a.dev, NULL, NULL, NULL, &ca), -EINVAL);
	ca.cqe = (unsigned int)most->max_cqe + 1;
	assert_err(ib_create_cq(a.dev, NULL, NULL, NULL, &ca), -EINVAL);
	ca.cqe = ~0u;
	assert_err(ib_create_cq(a.dev, NULL, NULL, NULL, &ca), -EINVAL);
	ca = (struct ib_cq_init_attr){ .cqe = 1, .flags = 1 };
	assert_err(ib_create_cq(a.dev, NULL, NULL, NULL, &ca), -EINVAL);
	assert_err(ib_alloc_cq(a.dev, NULL, 0, 0, IB_POLL_DIRECT), -EINVAL);
	assert_err(ib_alloc_cq(a.dev, NULL, -1, 0, IB_POLL_DIRECT), -EINVAL);
	assert_err(ib_alloc_cq(a.dev, NULL, 8, 0, (enum ib_poll_context)4), -EINVAL);
	assert_err(ib_alloc_cq(a.dev, NULL, 8, 0, (enum ib_poll_context) - 1), -EINVAL);
	for (i = 0; i < HCA_ARRAY_SIZE(srqs); i++) {
		sa = (struct ib_srq_init_attr){
			.attr = { .max_wr = srqs[i].max_wr, .max_sge = srqs[i].max_sge, .srq_limit = srqs[i].limit }
		};
		assert_err(ib_create_srq(a.pd, &sa), -EINVAL);
	}
	assert_err(ib_alloc_mr(a.pd, IB_MR_TYPE_MEM_REG, 0), -EINVAL);
	assert_err(ib_alloc_mr(a.pd, IB_MR_TYPE_MEM_REG, most->max_fast_reg_page_list_len + 1), -EINVAL);
	assert_err(ib_alloc_mr(a.pd, IB_MR_TYPE_MEM_REG, ~0u), -EINVAL);
	assert_err(ib_alloc_mr(a.pd, (enum ib_mr_type)2, 4), -EINVAL);
	assert_err(ib_alloc_mr(a.pd, IB_MR_TYPE_DMA, 4), -EINVAL);
	assert_err(ib_alloc_mw(a.pd, (enum ib_mw_type)0), -EINVAL);
	fa.max_pages = 0;
	assert_err(ib_alloc_fmr(a.pd, VK_RIGHTS, &fa), -EINVAL);
	fa.max_pages = -1;
	assert_err(ib_alloc_fmr(a.pd, VK_RIGHTS, &fa), -EINVAL);
	fa.max_pages = 1;
	fa.max_maps = 0;
	assert_err(ib_alloc_fmr(a.pd, VK_RIGHTS, &fa), -EINVAL);
	fa.max_maps = most->max_map_per_fmr + 1;
	assert_err(ib_alloc_fmr(a.pd, VK_RIGHTS, &fa), -EINVAL);
	fa.max_maps = 1;
	fa.page_shift = 11;
	assert_err(ib_alloc_fmr(a.pd, VK_RIGHTS, &fa), -EINVAL);
	assert_int_equal(ib_query_port(a.dev, 0, &pa), -EINVAL);
	assert_int_equal(ib_query_port(a.dev, a.dev->phys_port_cnt + 1, &pa), -EINVAL);
	assert_int_equal(ib_query_port(a.dev, 1, &pa), 0);
	assert_int_equal(rdma_query_gid(a.dev, 1, -1, &gid), -EINVAL);
	assert_int_equal(rdma_query_gid(a.dev, 1, pa.gid_tbl_len, &gid), -EINVAL);
	assert_int_equal(rdma_query_gid(a.dev, 2, 0, &gid), -EINVAL);
	assert_int_equal(ib_query_pkey(a.dev, 1, pa.pkey_tbl_len, &pkey), -EINVAL);
	assert_int_equal(ib_req_notify_cq(a.cq, 0), -EINVAL);
	assert_int_equal(ib_req_notify_cq(a.cq, IB_CQ_REPORT_MISSED_EVENTS), -EINVAL);
}

static void physical_regions_that_can_not_be(void **state)
{
	const u64 at = hca_dma_u64(a.addr);
	const struct {
		struct ib_phys_buf buf[2];
		int num;
		int access;
		u64 iova;
	} bad[] = {
		{ { { at, 4096 } }, 0, VK_RIGHTS, 0 },
		{ { { at, 4096 } }, -1, VK_RIGHTS, 0 },
		{ { { at, 0 } }, 1, VK_RIGHTS, 0 },
		{ { { at + 8, 100 } }, 1, VK_RIGHTS, 16 }, /* another offset in the page */
		{ { { at, 4095 }, { at, 4096 } }, 2, VK_RIGHTS, 0 }, /* a gap */
		{ { { at, 4096 }, { at + 1, 4096 } }, 2, VK_RIGHTS, 0 },
		{ { { at, 4096 }, { at, 0 } }, 2, VK_RIGHTS, 0 },
		{ { { at, 4096 }, { ~0ull - 4095, 8192 } }, 2, VK_RIGHTS, 0 }, /* wraps */
		{ { { 0, 1ull << 62 } }, 1, VK_RIGHTS, 0 },
		{ { { at, 4096 } }, 1, IB_ACCESS_REMOTE_WRITE, 0 },
		{ { { at, 4096 } }, 1, 1 << 12, 0 },
		{ { { at, 8192 } }, 1, VK_RIGHTS, ~0ull - 4095 }, /* its names wrap */
	};
	struct ib_mr *mr;
	size_t i;
	u64 iova;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(bad); i++) {
		iova = bad[i].iova;
		assert_err(ib_reg_phys_mr(a.pd, bad[i].buf, bad[i].num, bad[i].access, &iova), -EINVAL);
	}
	iova = 0;
	assert_err(ib_reg_phys_mr(a.pd, NULL, 1, VK_RIGHTS, &iova), -EINVAL);
	mr = ib_reg_phys_mr(a.pd, bad[0].buf, 1, VK_RIGHTS, &iova);
	assert_false(IS_ERR(mr));
	assert_int_equal(ib_dereg_mr(mr), 0);
}

static void lists_for_registration_that_can_not_be(void **state)
{
	struct ib_mr *mr = ib_alloc_mr(a.pd, IB_MR_TYPE_MEM_REG, 4);
	struct scatterlist sg[2];
	unsigned int off = 4097;

	(void)state;
	assert_false(IS_ERR(mr));
	sg_init_table(sg, 2);
	sg_set_page(&sg[0], a.page, 4096, 0);
	sg_set_page(&sg[1], nth_page(a.page, 1), 4096, 0);
	assert_int_equal(ib_dma_map_sg(a.dev, sg, 2, DMA_BIDIRECTIONAL), 2);
	assert_int_equal(ib_map_mr_sg(mr, sg, 0, NULL, 4096), -EINVAL);
	assert_int_equal(ib_map_mr_sg(mr, sg, -2, NULL, 4096), -EINVAL);
	assert_int_equal(ib_map_mr_sg(mr, sg, 2, &off, 4096), -EINVAL);
	assert_int_equal(ib_map_mr_sg(mr, sg, 2, NULL, 0), -EINVAL);
	assert_int_equal(ib_map_mr_sg(mr, sg, 2, NULL, 2048), -EINVAL);
	assert_int_equal(ib_map_mr_sg(mr, sg, 2, NULL, 4097), -EINVAL);
	assert_int_equal(ib_map_mr_sg(mr, sg, 2, NULL, 12288), -EINVAL);
	assert_int_equal(ib_map_mr_sg(a.mr, sg, 2, NULL, 4096), -EINVAL);
	assert_int_equal(ib_map_mr_sg(mr, NULL, 1, NULL, 4096), -EINVAL);
	/* It ends before the number that was given. */
	assert_int_equal(ib_map_mr_sg(mr, sg, 3, NULL, 4096), 2);
	assert_int_equal(mr->length, 8192);
	ib_dma_unmap_sg(a.dev, sg, 2, DMA_BIDIRECTIONAL);
	assert_int_equal(ib_dereg_mr(mr), 0);
}

static void registrations_that_fail(void **state)
{
	struct ib_pd *pd = ib_alloc_pd(a.dev, 0);
	struct ib_mr *mine = ib_alloc_mr(a.pd, IB_MR_TYPE_MEM_REG, 4), *other = ib_alloc_mr(pd, IB_MR_TYPE_MEM_REG, 4);
	struct ib_mr *theirs = ib_alloc_mr(b.pd, IB_MR_TYPE_MEM_REG, 4);
	struct ib_reg_wr ok = { .wr = { .wr_id = 1, .opcode = IB_WR_REG_MR }, .access = VK_RIGHTS }, wr;
	struct scatterlist sg;

	(void)state;
	assert_false(IS_ERR(mine) || IS_ERR(other) || IS_ERR(theirs));
	sg_init_table(&sg, 1);
	sg_set_page(&sg, a.page, 8192, 0);
	assert_int_equal(ib_dma_map_sg(a.dev, &sg, 1, DMA_BIDIRECTIONAL), 1);
#define FAILS \
	do { \
		assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0); \
		vk_poll(&a, 1, IB_WC_MW_BIND_ERR); \
		assert_int_equal(qp_state(a.qp), IB_QPS_ERR); \
		assert_int_equal(qp_state(b.qp), IB_QPS_RTS); \
		reconnect(); \
	} while (0)
	ok.mr = mine;
	ok.key = mine->rkey;
	wr = ok; /* nothing was laid out */
	FAILS;
	assert_int_equal(ib_map_mr_sg(mine, &sg, 1, NULL, 4096), 1);
	assert_int_equal(ib_map_mr_sg(other, &sg, 1, NULL, 4096), 1);
	wr.key = mine->rkey + 0x100;
	FAILS;
	wr = ok;
	wr.access = IB_ACCESS_REMOTE_WRITE;
	FAILS;
	wr = ok;
	wr.access = 1 << 15;
	FAILS;
	wr = ok;
	wr.mr = other;
	wr.key = other->rkey;
	FAILS;
	wr.mr = a.mr; /* of all memory: there is nothing to register */
	wr.key = a.mr->rkey;
	FAILS;
	wr.mr = theirs;
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), -EINVAL);
	wr.mr = NULL;
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), -EINVAL);
	wr = ok;
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	FAILS; /* valid already */
#undef FAILS
	ib_dma_unmap_sg(a.dev, &sg, 1, DMA_BIDIRECTIONAL);
	assert_int_equal(ib_dereg_mr(mine), 0);
	assert_int_equal(ib_dereg_mr(other), 0);
	assert_int_equal(ib_dereg_mr(theirs), 0);
	assert_int_equal(ib_dealloc_pd(pd), 0);
}

/* --- in use --- */

static void busy_domains(void **state)
{
	struct ib_srq_init_attr sa = { .attr = { .max_wr = 1, .max_sge = 1 } };
	const struct ib_fmr_attr fa = { .max_pages = 1, .max_maps = 1, .page_shift = 12 };
	const struct rdma_ah_attr path = { .dlid = vk_lid(&b), .port_num = 1 };
	struct ib_qp_init_attr qa = *good_qp();
	u64 page = hca_dma_u64(a.addr);
	struct ib_pd *pd = ib_alloc_pd(a.dev, IB_PD_UNSAFE_GLOBAL_RKEY);
	struct ib_srq *srq;
	struct ib_fmr *fmr;
	struct ib_qp *qp;
	struct ib_mr *mr;
	struct ib_mw *mw;
	struct ib_ah *ah;

	(void)state;
	assert_false(IS_ERR(pd));
#define USES(var, make, end) \
	do { \
		var = make; \
		assert_false(IS_ERR(var)); \
		assert_int_equal(ib_dealloc_pd(pd), -EBUSY); \
		assert_int_equal(end, 0); \
	} while (0)
	USES(mr, ib_get_dma_mr(pd, 0), ib_dereg_mr(mr));
	USES(mr, ib_alloc_mr(pd, IB_MR_TYPE_MEM_REG, 1), ib_dereg_mr(mr));
	USES(qp, ib_create_qp(pd, &qa), ib_destroy_qp(qp));
	USES(srq, ib_create_srq(pd, &sa), ib_destroy_srq(srq));
	USES(mw, ib_alloc_mw(pd, IB_MW_TYPE_1), ib_dealloc_mw(mw));
	USES(mw, ib_alloc_mw(pd, IB_MW_TYPE_2), ib_dealloc_mw(mw));
	USES(ah, rdma_create_ah(pd, &path, 0), rdma_destroy_ah(ah, 0));
	fmr = ib_alloc_fmr(pd, VK_RIGHTS, &fa);
	assert_false(IS_ERR(fmr));
	assert_int_equal(ib_map_phys_fmr(fmr, NULL, 1, 0), -EINVAL);
	assert_int_equal(ib_map_phys_fmr(fmr, &page, 0, 0), -EINVAL);
	assert_int_equal(ib_map_phys_fmr(fmr, &page, 1, 0), 0);
	assert_int_equal(ib_dealloc_fmr(fmr), -EBUSY);
	assert_int_equal(ib_unmap_fmr(fmr), 0);
	assert_int_equal(ib_dealloc_pd(pd), -EBUSY);
	assert_int_equal(ib_dealloc_fmr(fmr), 0);
#undef USES
	assert_int_equal(ib_dealloc_pd(pd), 0);
}

static void busy_queues(void **state)
{
	struct ib_srq_init_attr sa = { .attr = { .max_wr = 4, .max_sge = 1 } };
	struct ib_cq *scq = ib_alloc_cq_any(a.dev, NULL, 4, IB_POLL_DIRECT);
	struct ib_cq *rcq = ib_alloc_cq_any(a.dev, NULL, 4, IB_POLL_DIRECT);
	struct ib_srq *srq = ib_create_srq(a.pd, &sa);
	struct ib_qp_init_attr qa = *good_qp();
	struct ib_qp *qp;

	(void)state;
	assert_false(IS_ERR(scq) || IS_ERR(rcq) || IS_ERR(srq));
	qa.send_cq = scq;
	qa.recv_cq = rcq;
	qa.srq = srq;
	qp = ib_create_qp(a.pd, &qa);
	assert_false(IS_ERR(qp));
	assert_int_equal(ib_destroy_cq(scq), -EBUSY);
	assert_int_equal(ib_destroy_cq(rcq), -EBUSY);
	assert_int_equal(ib_destroy_srq(srq), -EBUSY);
	/* And they work as before. */
	vk_connect(qp, vk_lid(&b), b.qp->qp_num);
	to_reset(b.qp);
	vk_connect(b.qp, vk_lid(&a), qp->qp_num);
	assert_int_equal(ib_post_recv(qp, &(struct ib_recv_wr){ .wr_id = 1 }, NULL), -EINVAL);
	assert_int_equal(ib_post_srq_recv(srq, &(struct ib_recv_wr){ .num_sge = 2 }, NULL), -EINVAL);
	assert_int_equal(ib_post_srq_recv(srq, &(struct ib_recv_wr){ .num_sge = -1 }, NULL), -EINVAL);
	assert_int_equal(ib_post_srq_recv(srq, &(struct ib_recv_wr){ .num_sge = 1 }, NULL), -EINVAL);
	assert_int_equal(ib_post_srq_recv(srq, &(struct ib_recv_wr){ .wr_id = 1 }, NULL), 0);
	assert_int_equal(vk_send(&b, 2, IB_WR_SEND, 0, 0), 0);
	vk_poll(&b, 2, IB_WC_SUCCESS);
	assert_int_equal(ib_destroy_qp(qp), 0);
	assert_int_equal(ib_destroy_srq(srq), 0);
	assert_int_equal(ib_destroy_cq(scq), 0);
	assert_int_equal(ib_destroy_cq(rcq), 0);
}

static void busy_regions(void **state)
{
	struct ib_mr *mr = ib_get_dma_mr(a.pd, IB_ACCESS_LOCAL_WRITE | IB_ACCESS_MW_BIND);
	struct ib_mw *one = ib_alloc_mw(a.pd, IB_MW_TYPE_1), *two = ib_alloc_mw(a.pd, IB_MW_TYPE_2);
	const struct ib_mw_bind_info info = {
		.mr = mr, .addr = hca_dma_u64(a.addr), .length = 8, .mw_access_flags = IB_ACCESS_REMOTE_READ
	};
	struct ib_mw_bind bind = { .wr_id = 1, .bind_info = info };
	struct ib_bind_mw_wr wr = { .wr = { .wr_id = 2, .opcode = IB_WR_BIND_MW }, .mw = two, .bind_info = info };

	(void)state;
	assert_false(IS_ERR(mr) || IS_ERR(one) || IS_ERR(two));
	wr.rkey = ib_inc_rkey(two->rkey);
	assert_int_equal(ib_post_send(b.qp, &wr.wr, NULL), -EINVAL); /* another device's */
	assert_int_equal(ib_bind_mw(b.qp, one, &bind), -EINVAL);
	assert_int_equal(ib_bind_mw(a.qp, one, &bind), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
	vk_poll(&a, 2, IB_WC_SUCCESS);
	assert_int_equal(ib_dereg_mr(mr), -EBUSY);
	assert_int_equal(ib_dealloc_mw(one), 0);
	assert_int_equal(ib_dereg_mr(mr), -EBUSY);
	assert_int_equal(ib_dealloc_mw(two), 0);
	assert_int_equal(ib_dereg_mr(mr), 0);
}

/* --- sizes that change --- */

static void resizing(void **state)
{
	struct ib_srq_init_attr sa = { .attr = { .max_wr = 4, .max_sge = 1 } };
	struct ib_srq *srq = ib_create_srq(a.pd, &sa);
	struct ib_srq_attr at = { .max_wr = 2, .srq_limit = 3 };
	u32 i;

	(void)state;
	assert_false(IS_ERR(srq));
	for (i = 0; i < 3; i++)
		assert_int_equal(vk_rdma(&a, i, IB_WR_RDMA_WRITE, 0, 8, hca_dma_u64(b.addr), b.mr->rkey), 0);
	assert_int_equal(ib_resize_cq(a.cq, 0), -EINVAL);
	assert_int_equal(ib_resize_cq(a.cq, -1), -EINVAL);
	assert_int_equal(ib_resize_cq(a.cq, 2), -EINVAL);
	assert_int_equal(ib_resize_cq(a.cq, a.dev->attrs.max_cqe + 1), -EINVAL);
	assert_int_equal(a.cq->cqe, VK_CQE);
	assert_int_equal(ib_resize_cq(a.cq, 3), 0);
	assert_int_equal(a.cq->cqe, 3);
	for (i = 0; i < 3; i++)
		vk_poll(&a, i, IB_WC_SUCCESS);
	for (i = 0; i < 4; i++)
		assert_int_equal(ib_post_srq_recv(srq, &(struct ib_recv_wr){ .wr_id = i }, NULL), 0);
	assert_int_equal(ib_post_srq_recv(srq, &(struct ib_recv_wr){ .wr_id = i }, NULL), -ENOMEM);
	assert_int_equal(ib_modify_srq(srq, &at, IB_SRQ_MAX_WR), -EINVAL); /* it holds more */
	assert_int_equal(ib_modify_srq(srq, &at, IB_SRQ_MAX_WR | IB_SRQ_LIMIT), -EINVAL);
	assert_int_equal(ib_modify_srq(srq, &at, 1 << 5), -EINVAL);
	at.srq_limit = 5;
	assert_int_equal(ib_modify_srq(srq, &at, IB_SRQ_LIMIT), -EINVAL);
	at.max_wr = 0;
	assert_int_equal(ib_modify_srq(srq, &at, IB_SRQ_MAX_WR), -EINVAL);
	at.max_wr = (u32)a.dev->attrs.max_srq_wr + 1;
	assert_int_equal(ib_modify_srq(srq, &at, IB_SRQ_MAX_WR), -EINVAL);
	assert_int_equal(ib_query_srq(srq, &at), 0);
	assert_int_equal(at.max_wr, 4);
	assert_int_equal(at.srq_limit, 0);
	assert_int_equal(ib_destroy_srq(srq), 0);
}

/* --- as large and as many as there may be --- */

static void largest(void **state)
{
	const struct ib_device_attr *most = &a.dev->attrs;
	struct ib_srq_init_attr sa = { .attr = { .max_wr = (u32)most->max_srq_wr, .max_sge = (u32)most->max_srq_sge } };
	const struct ib_cq_init_attr ca = { .cqe = (unsigned int)most->max_cqe };
	struct ib_cq *cq = ib_create_cq(a.dev, NULL, NULL, NULL, &ca);
	struct ib_qp_init_attr qa = *good_qp();
	struct ib_srq *srq = ib_create_srq(a.pd, &sa);
	struct ib_sge list[64];
	const struct ib_recv_wr rw = { .sg_list = list, .num_sge = most->max_recv_sge };
	struct ib_mr *mr = ib_alloc_mr(a.pd, IB_MR_TYPE_MEM_REG, most->max_fast_reg_page_list_len);
	struct ib_qp *qp;
	int i;

	(void)state;
	assert_false(IS_ERR(cq) || IS_ERR(srq) || IS_ERR(mr));
	qa.cap = (struct ib_qp_cap){ .max_send_wr = (u32)most->max_qp_wr,
				     .max_recv_wr = (u32)most->max_qp_wr,
				     .max_send_sge = (u32)most->max_send_sge,
				     .max_recv_sge = (u32)most->max_recv_sge,
				     .max_inline_data = (u32)most->max_inline_data };
	qa.send_cq = qa.recv_cq = cq;
	qp = ib_create_qp(a.pd, &qa);
	assert_false(IS_ERR(qp));
	assert_int_equal(qa.cap.max_send_wr, most->max_qp_wr);
	for (i = 0; i < 64; i++)
		list[i] = vk_sge(&a, 0, 1);
	vk_connect(qp, vk_lid(&b), b.qp->qp_num);
	for (i = 0; i < most->max_qp_wr; i++) {
		assert_int_equal(ib_post_recv(qp, &rw, NULL), 0);
		assert_int_equal(ib_post_srq_recv(srq, &rw, NULL), 0);
	}
	assert_int_equal(ib_post_recv(qp, &rw, NULL), -ENOMEM);
	assert_int_equal(ib_post_srq_recv(srq, &rw, NULL), -ENOMEM);
	assert_int_equal(ib_destroy_qp(qp), 0);
	assert_int_equal(ib_destroy_srq(srq), 0);
	assert_int_equal(ib_destroy_cq(cq), 0);
	assert_int_equal(ib_dereg_mr(mr), 0);
}

/* A device says how many there may be; here so few that they can be made. */
static void as_many_as_there_may_be(void **state)
{
	struct ib_srq_init_attr sa = { .attr = { .max_wr = 1, .max_sge = 1 } };
	const struct ib_fmr_attr fa = { .max_pages = 1, .max_maps = 1, .page_shift = 12 };
	const struct rdma_ah_attr path = { .dlid = vk_lid(&b), .port_num = 1 };
	const struct ib_cq_init_attr ca = { .cqe = 1 };
	struct ib_device_attr *most = &a.dev->attrs;
	struct ib_qp_init_attr qa = *good_qp();
	struct ib_pd *pd;
	struct ib_cq *cq;
	struct ib_srq *srq;
	struct ib_fmr *fmr;
	struct ib_qp *qp;
	struct ib_mr *mr;
	struct ib_mw *mw;
	struct ib_ah *ah;
	int turn;

	(void)state;
	/* There are these of the two pairs: */
	most->max_pd = 1 + 1;
	most->max_cq = 2 + 1;
	most->max_qp = 2 + 1;
	most->max_mr = 1 + 1;
	most->max_srq = most->max_mw = most->max_fmr = most->max_ah = 1;
#define ONE_MORE(var, make, end) \
	do { \
		var = make; \
		assert_false(IS_ERR(var)); \
		REFUSED(make, -ENOSPC, "refused: soft: no more ", "as many as there may be"); \
		assert_int_equal(end, 0); \
	} while (0)
	for (turn = 0; turn < 2; turn++) {
		ONE_MORE(pd, ib_alloc_pd(a.dev, 0), ib_dealloc_pd(pd));
		ONE_MORE(cq, ib_create_cq(a.dev, NULL, NULL, NULL, &ca), ib_destroy_cq(cq));
		ONE_MORE(qp, ib_create_qp(a.pd, &qa), ib_destroy_qp(qp));
		ONE_MORE(mr, ib_get_dma_mr(a.pd, VK_RIGHTS), ib_dereg_mr(mr));
		ONE_MORE(mr, ib_alloc_mr(a.pd, IB_MR_TYPE_MEM_REG, 1), ib_dereg_mr(mr));
		ONE_MORE(srq, ib_create_srq(a.pd, &sa), ib_destroy_srq(srq));
		ONE_MORE(mw, ib_alloc_mw(a.pd, IB_MW_TYPE_2), ib_dealloc_mw(mw));
		ONE_MORE(fmr, ib_alloc_fmr(a.pd, VK_RIGHTS, &fa), ib_dealloc_fmr(fmr));
		ONE_MORE(ah, rdma_create_ah(a.pd, &path, 0), rdma_destroy_ah(ah, 0));
	}
#undef ONE_MORE
}

/* The number of queue pairs that is told is the one that can be had. */
static void all_queue_pairs(void **state)
{
	static struct ib_qp *qps[1 << 17];
	struct ib_qp_init_attr qa = *good_qp();
	int n = a.dev->attrs.max_qp - 2, i;

	(void)state;
	assert_in_range(n, 1000, 1 << 17);
	for (i = 0; i < n; i++) {
		qps[i] = ib_create_qp(a.pd, &qa);
		assert_false(IS_ERR(qps[i]));
	}
	REFUSED(ib_create_qp(a.pd, &qa), -ENOSPC, "refused: soft: no more QPs");
	by_works();
	for (i = 0; i < n; i++)
		assert_int_equal(ib_destroy_qp(qps[i]), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, by_setup, by_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(masks),
		T(values),
		T(queue_pairs_that_can_not_be),
		T(other_objects_that_can_not_be),
		T(physical_regions_that_can_not_be),
		T(lists_for_registration_that_can_not_be),
		T(registrations_that_fail),
		T(busy_domains),
		T(busy_queues),
		T(busy_regions),
		T(resizing),
		T(largest),
		T(as_many_as_there_may_be),
		T(all_queue_pairs),
	};

	return cmocka_run_group_tests_name("verbs limits", tests, NULL, NULL);
}
