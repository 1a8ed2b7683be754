/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Work requests that come at the wrong time or go to the wrong place: service, length, state, full queues, receivers that
 * are not ready, peers and MRs that are gone. Each has its errno or its statuses, and a pair beside it goes on working.
 */
#include "verbs_by.h"

/* --- services --- */

static void datagrams_and_their_handles(void **state)
{
	const struct rdma_ah_attr path = { .dlid = vk_lid(&b), .port_num = 1 };
	struct rdma_ah_attr bad = path;
	struct ib_pd *pd = ib_alloc_pd(a.dev, 0);
	struct ib_ah *other, *mine, *theirs;
	struct ib_sge sge = vk_sge(&a, 0, 64);
	struct ib_ud_wr wr = {
		.wr = { .wr_id = 1, .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_SEND },
		.remote_qpn = b.qp->qp_num,
		.remote_qkey = 0x11,
	};

	(void)state;
	assert_false(IS_ERR(pd));
	other = rdma_create_ah(pd, &path, 0);
	mine = rdma_create_ah(a.pd, &path, 0);
	theirs = rdma_create_ah(b.pd, &path, 0);
	assert_false(IS_ERR(other) || IS_ERR(mine) || IS_ERR(theirs));
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), -EINVAL);
	wr.ah = other;
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), -EINVAL);
	wr.ah = theirs;
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), -EINVAL);
	wr.ah = mine;
	/* Lost, without a word to the sender: a wrong Q_Key, a wrong number, nobody listening */
	assert_int_equal(vk_recv(&b, 2, 0, 40 + 63), 0);
	wr.remote_qkey = 0x12;
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	wr.remote_qkey = 0x11;
	wr.remote_qpn = by_b.qp->qp_num;
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	vk_none(&b);
	/* Too long by one, for a request that has room for the header too */
	wr.remote_qpn = b.qp->qp_num;
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	vk_poll(&b, 2, IB_WC_LOC_LEN_ERR);
	assert_int_equal(qp_state(b.qp), IB_QPS_RTS);
	/* What a datagram can't do. Longer than the MTU: nothing is sent, and no error told (IBTA C10-93.1.1). */
	wr.wr.opcode = IB_WR_RDMA_WRITE;
	assert_int_equal(post_op(a.qp, IB_WR_RDMA_WRITE, 1, 0), -EINVAL);
	assert_int_equal(post_op(a.qp, IB_WR_SEND_WITH_INV, 1, 0), -EINVAL);
	assert_int_equal(post_op(a.qp, IB_WR_LOCAL_INV, 0, 0), -EINVAL);
	wr.wr.opcode = IB_WR_SEND;
	sge.length = 4097;
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	assert_int_equal(qp_state(a.qp), IB_QPS_RTS);
	/* An error of the sender's own stops the send queue alone, and it can be woken. */
	sge.length = 64;
	sge.lkey ^= 1;
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_LOC_PROT_ERR);
	assert_int_equal(qp_state(a.qp), IB_QPS_SQE);
	sge.lkey ^= 1;
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_WR_FLUSH_ERR);
	assert_int_equal(ib_modify_qp(a.qp, &(struct ib_qp_attr){ .qp_state = IB_QPS_RTS }, IB_QP_STATE), 0);
	assert_int_equal(vk_recv(&b, 2, 0, 40 + 64), 0);
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	vk_poll(&b, 2, IB_WC_SUCCESS);
	bad.port_num = 0;
	assert_err(rdma_create_ah(a.pd, &bad, 0), -EINVAL);
	bad.port_num = 257;
	assert_err(rdma_create_ah(a.pd, &bad, 0), -EINVAL);
	bad = path;
	bad.dlid |= 0x10000;
	assert_int_equal(rdma_modify_ah(mine, &bad), -EINVAL);
	bad = path;
	bad.sl = 16;
	assert_int_equal(rdma_modify_ah(mine, &bad), -EINVAL);
	assert_int_equal(ib_dealloc_pd(pd), -EBUSY);
	assert_int_equal(rdma_destroy_ah(other, 0), 0);
	assert_int_equal(rdma_destroy_ah(mine, 0), 0);
	assert_int_equal(rdma_destroy_ah(theirs, 0), 0);
	assert_int_equal(ib_dealloc_pd(pd), 0);
}

static void unreliable_connections(void **state)
{
	(void)state;
	assert_int_equal(post_op(a.qp, IB_WR_RDMA_READ, 1, 0), -EINVAL);
	assert_int_equal(post_op(a.qp, IB_WR_ATOMIC_FETCH_AND_ADD, 1, 0), -EINVAL);
	assert_int_equal(post_op(a.qp, IB_WR_ATOMIC_CMP_AND_SWP, 1, 0), -EINVAL);
	/* Nobody answers: what is lost or refused there succeeds here. */
	assert_int_equal(vk_send(&a, 1, IB_WR_SEND, 0, 8), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	assert_int_equal(vk_rdma(&a, 2, IB_WR_RDMA_WRITE, 0, 8, hca_dma_u64(b.addr), ~0u), 0);
	vk_poll(&a, 2, IB_WC_SUCCESS);
	assert_int_equal(qp_state(b.qp), IB_QPS_RTS);
	assert_int_equal(vk_recv(&b, 3, 0, 7), 0);
	assert_int_equal(vk_send(&a, 4, IB_WR_SEND, 0, 8), 0);
	vk_poll(&a, 4, IB_WC_SUCCESS);
	vk_poll(&b, 3, IB_WC_LOC_LEN_ERR);
	assert_int_equal(qp_state(b.qp), IB_QPS_ERR);
	assert_int_equal(qp_state(a.qp), IB_QPS_RTS);
}

/* --- lengths --- */

static void lengths_that_do_not_match(void **state)
{
	struct ib_sge big[4] = { vk_sge(&a, 0, 1u << 30), vk_sge(&a, 0, 1u << 30), vk_sge(&a, 0, 1) };
	struct ib_send_wr wr = { .wr_id = 1, .sg_list = big, .num_sge = 3, .opcode = IB_WR_SEND };
	struct ib_recv_wr rw = { .wr_id = 2, .sg_list = big, .num_sge = 3 };
	struct ib_sge sge = vk_sge(&a, 0, 8);
	struct ib_atomic_wr at = {
		.wr = { .wr_id = 3, .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_ATOMIC_FETCH_AND_ADD },
		.remote_addr = hca_dma_u64(b.addr),
		.rkey = b.mr->rkey,
	};
	u32 len;

	(void)state;
	assert_int_equal(vk_recv(&b, 5, 0, 99), 0);
	assert_int_equal(vk_recv(&b, 6, 0, 99), 0);
	assert_int_equal(vk_send(&a, 7, IB_WR_SEND, 0, 100), 0);
	vk_poll(&a, 7, IB_WC_REM_INV_REQ_ERR);
	vk_poll(&b, 5, IB_WC_LOC_LEN_ERR);
	vk_poll(&b, 6, IB_WC_WR_FLUSH_ERR);
	reconnect();
	assert_int_equal(ib_post_recv(b.qp, &rw, NULL), -EINVAL);
	assert_int_equal(ib_post_send(a.qp, &wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_LOC_LEN_ERR);
	reconnect();
	for (len = 0; len <= 16; len++) {
		if (len == 8)
			continue;
		sge.length = len;
		assert_int_equal(ib_post_send(a.qp, &at.wr, NULL), 0);
		vk_poll(&a, 3, IB_WC_LOC_LEN_ERR);
		reconnect();
	}
	sge.length = 8;
	for (len = 1; len < 8; len++) {
		at.remote_addr = hca_dma_u64(b.addr) + len;
		assert_int_equal(ib_post_send(a.qp, &at.wr, NULL), 0);
		vk_poll(&a, 3, IB_WC_REM_INV_REQ_ERR);
		assert_int_equal(b.events[IB_EVENT_QP_REQ_ERR], len);
		reconnect();
	}
}

/* --- states --- */

static void wrong_states(void **state)
{
	struct ib_qp_attr at = { .qp_state = IB_QPS_ERR };

	(void)state;
	to_reset(a.qp);
	assert_int_equal(vk_send(&a, 1, IB_WR_SEND, 0, 8), -EINVAL);
	assert_int_equal(vk_recv(&a, 1, 0, 8), -EINVAL);
	at = (struct ib_qp_attr){ .qp_state = IB_QPS_INIT, .port_num = 1 };
	assert_int_equal(ib_modify_qp(a.qp, &at, IB_QP_STATE | IB_QP_PKEY_INDEX | IB_QP_PORT | IB_QP_ACCESS_FLAGS), 0);
	assert_int_equal(vk_send(&a, 1, IB_WR_SEND, 0, 8), -EINVAL);
	assert_int_equal(vk_recv(&a, 2, 0, 8), 0);
	at = (struct ib_qp_attr){ .qp_state = IB_QPS_RTR,
				  .path_mtu = IB_MTU_1024,
				  .dest_qp_num = b.qp->qp_num,
				  .ah_attr = { .dlid = vk_lid(&b), .port_num = 1 } };
	assert_int_equal(ib_modify_qp(a.qp, &at,
				      IB_QP_STATE | IB_QP_AV | IB_QP_PATH_MTU | IB_QP_DEST_QPN | IB_QP_RQ_PSN |
					      IB_QP_MAX_DEST_RD_ATOMIC | IB_QP_MIN_RNR_TIMER),
			 0);
	assert_int_equal(vk_send(&a, 1, IB_WR_SEND, 0, 8), -EINVAL);
	vk_none(&a);
	/* It takes a message already. */
	assert_int_equal(vk_send(&b, 3, IB_WR_SEND, 0, 8), 0);
	vk_poll(&b, 3, IB_WC_SUCCESS);
	vk_poll(&a, 2, IB_WC_SUCCESS);
	assert_int_equal(a.events[IB_EVENT_COMM_EST], 1);
	to_err(a.qp);
	assert_int_equal(vk_send(&a, 4, IB_WR_SEND, 0, 8), 0);
	vk_poll(&a, 4, IB_WC_WR_FLUSH_ERR);
	assert_int_equal(vk_recv(&a, 5, 0, 8), 0);
	vk_poll(&a, 5, IB_WC_WR_FLUSH_ERR);
	reconnect();
	at.qp_state = IB_QPS_SQD;
	at.en_sqd_async_notify = 1;
	assert_int_equal(ib_modify_qp(a.qp, &at, IB_QP_STATE | IB_QP_EN_SQD_ASYNC_NOTIFY), 0);
	assert_int_equal(a.events[IB_EVENT_SQ_DRAINED], 1);
	assert_int_equal(vk_recv(&b, 6, 0, 8), 0);
	assert_int_equal(vk_send(&a, 7, IB_WR_SEND, 0, 8), 0);
	vk_none(&a);
	at.qp_state = IB_QPS_RTS;
	assert_int_equal(ib_modify_qp(a.qp, &at, IB_QP_STATE), 0);
	vk_poll(&a, 7, IB_WC_SUCCESS);
	vk_poll(&b, 6, IB_WC_SUCCESS);
}

/* --- full queues --- */

static void full_queues(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i < VK_WR; i++)
		assert_int_equal(vk_recv(&b, i, 0, 8), 0);
	assert_int_equal(vk_recv(&b, i, 0, 8), -ENOMEM);
	for (i = 0; i < VK_WR; i++) {
		assert_int_equal(vk_send(&a, i, IB_WR_SEND, 0, 8), 0);
		vk_poll(&a, i, IB_WC_SUCCESS);
		vk_poll(&b, i, IB_WC_SUCCESS);
	}
	/* Nobody takes them, so the first waits and those behind it too. */
	for (i = 0; i < VK_WR; i++)
		assert_int_equal(vk_send(&a, i, IB_WR_SEND, 0, 8), 0);
	assert_int_equal(vk_send(&a, i, IB_WR_SEND, 0, 8), -ENOMEM);
	assert_int_equal(vk_recv(&b, 100, 0, 8), 0);
	test_clock_advance(700000);
	vk_poll(&a, 0, IB_WC_SUCCESS);
	vk_poll(&b, 100, IB_WC_SUCCESS);
	assert_int_equal(vk_send(&a, i, IB_WR_SEND, 0, 8), 0);
	to_err(a.qp);
	for (i = 1; i <= VK_WR; i++)
		vk_poll(&a, i, IB_WC_WR_FLUSH_ERR);
	vk_none(&a);
}

static void completion_queue_overflows(void **state)
{
	const struct ib_cq_init_attr ca = { .cqe = 2 };
	struct ib_cq *old = a.cq;
	struct ib_qp *was = a.qp;
	struct ib_qp_init_attr qa = {
		.event_handler = vk_event,
		.qp_context = &a,
		.recv_cq = old,
		.cap = { .max_send_wr = 8, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1 },
		.sq_sig_type = IB_SIGNAL_ALL_WR,
		.qp_type = IB_QPT_RC,
	};
	struct ib_qp *same_cq;
	struct ib_wc wc;
	u32 i;

	(void)state;
	a.cq = ib_create_cq(a.dev, NULL, vk_event, &a, &ca);
	assert_false(IS_ERR(a.cq));
	qa.send_cq = a.cq;
	a.qp = ib_create_qp(a.pd, &qa);
	qa.send_cq = old;
	same_cq = ib_create_qp(a.pd, &qa);
	assert_false(IS_ERR(a.qp) || IS_ERR(same_cq));
	to_reset(b.qp);
	vk_connect(a.qp, vk_lid(&b), b.qp->qp_num);
	vk_connect(b.qp, vk_lid(&a), a.qp->qp_num);
	for (i = 0; i < 3; i++) {
		assert_int_equal(a.events[IB_EVENT_CQ_ERR], 0);
		assert_int_equal(vk_rdma(&a, i, IB_WR_RDMA_WRITE, 0, 8, hca_dma_u64(b.addr), b.mr->rkey), 0);
	}
	assert_int_equal(a.events[IB_EVENT_CQ_ERR], 1);
	assert_int_equal(a.events[IB_EVENT_QP_FATAL], 1);
	assert_int_equal(qp_state(a.qp), IB_QPS_ERR);
	assert_int_equal(qp_state(b.qp), IB_QPS_RTS);
	by_works();
	/* What was in it can be had; then it says so, for ever, and once is enough for the event. */
	vk_poll(&a, 0, IB_WC_SUCCESS);
	assert_int_equal(ib_poll_cq(a.cq, 4, &wc), 1);
	assert_int_equal(ib_poll_cq(a.cq, 1, &wc), -EIO);
	assert_int_equal(vk_send(&a, 9, IB_WR_SEND, 0, 8), 0);
	assert_int_equal(ib_poll_cq(a.cq, 4, &wc), -EIO);
	assert_int_equal(a.events[IB_EVENT_CQ_ERR], 1);
	assert_int_equal(ib_destroy_qp(a.qp), 0);
	assert_int_equal(ib_destroy_qp(same_cq), 0);
	assert_int_equal(ib_destroy_cq(a.cq), 0);
	a.cq = old;
	a.qp = was;
}

/* --- receivers that are not ready, and peers that are gone --- */

#define RNR_NS 640000ull /* IB_RNR_TIMER_000_64 */

static void not_ready(void **state)
{
	(void)state;
	assert_int_equal(vk_send(&a, 1, IB_WR_SEND, 0, 8), 0);
	assert_int_equal(vk_send(&a, 2, IB_WR_SEND, 0, 8), 0);
	vk_none(&a);
	/* rnr_retry 2: tried at once, and twice more */
	test_clock_advance(2 * RNR_NS - 1);
	vk_none(&a);
	by_works();
	test_clock_advance(1);
	vk_poll(&a, 1, IB_WC_RNR_RETRY_EXC_ERR);
	vk_poll(&a, 2, IB_WC_WR_FLUSH_ERR);
	assert_int_equal(qp_state(a.qp), IB_QPS_ERR);
	assert_int_equal(qp_state(b.qp), IB_QPS_RTS);
	/* A write with immediate data waits too, and hasn't written. */
	reconnect();
	memset(a.buf, 1, 8);
	memset(b.buf, 0, 8);
	assert_int_equal(vk_rdma(&a, 3, IB_WR_RDMA_WRITE_WITH_IMM, 0, 8, hca_dma_u64(b.addr), b.mr->rkey), 0);
	test_clock_advance(RNR_NS);
	assert_int_equal(b.buf[0], 0);
	assert_int_equal(vk_recv(&b, 4, 0, 0), 0);
	test_clock_advance(RNR_NS);
	vk_poll(&a, 3, IB_WC_SUCCESS);
	vk_poll(&b, 4, IB_WC_SUCCESS);
	assert_int_equal(b.buf[0], 1);
}

static void not_ready_for_ever(void **state)
{
	struct ib_qp_attr at = { .rnr_retry = 7, .qp_state = IB_QPS_SQD };

	(void)state;
	assert_int_equal(ib_modify_qp(a.qp, &at, IB_QP_STATE), 0);
	assert_int_equal(ib_modify_qp(a.qp, &at, IB_QP_RNR_RETRY), 0);
	at.qp_state = IB_QPS_RTS;
	assert_int_equal(ib_modify_qp(a.qp, &at, IB_QP_STATE), 0);
	assert_int_equal(vk_send(&a, 1, IB_WR_SEND, 0, 8), 0);
	test_clock_advance(1000 * RNR_NS);
	vk_none(&a);
	by_works();
	assert_int_equal(vk_recv(&b, 2, 0, 8), 0);
	test_clock_advance(RNR_NS);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	vk_poll(&b, 2, IB_WC_SUCCESS);
	/* Waiting is no reason not to go. */
	assert_int_equal(vk_send(&a, 3, IB_WR_SEND, 0, 8), 0);
	assert_int_equal(ib_destroy_qp(a.qp), 0);
	a.qp = NULL;
	vk_none(&b);
}

#define ACK_NS (4096ull << 14)

static void peers_that_are_gone(void **state)
{
	(void)state;
	to_err(b.qp);
	assert_int_equal(vk_send(&a, 1, IB_WR_SEND, 0, 8), 0);
	/* retry_cnt 3 */
	test_clock_advance(3 * ACK_NS - 1);
	vk_none(&a);
	test_clock_advance(1);
	vk_poll(&a, 1, IB_WC_RETRY_EXC_ERR);
	by_works();
	reconnect();
	assert_int_equal(ib_destroy_qp(b.qp), 0);
	b.qp = NULL;
	assert_int_equal(vk_rdma(&a, 2, IB_WR_RDMA_WRITE, 0, 8, hca_dma_u64(b.addr), b.mr->rkey), 0);
	test_clock_advance(3 * ACK_NS);
	vk_poll(&a, 2, IB_WC_RETRY_EXC_ERR);
	to_reset(a.qp);
	/* Somebody is there, but connected to somebody else; and no such port. */
	vk_connect(a.qp, vk_lid(&b), by_b.qp->qp_num);
	assert_int_equal(vk_rdma(&a, 3, IB_WR_RDMA_WRITE, 0, 8, hca_dma_u64(b.addr), b.mr->rkey), 0);
	test_clock_advance(3 * ACK_NS);
	vk_poll(&a, 3, IB_WC_RETRY_EXC_ERR);
	to_reset(a.qp);
	vk_connect(a.qp, 0xbfff, 5);
	assert_int_equal(vk_send(&a, 4, IB_WR_SEND, 0, 8), 0);
	test_clock_advance(3 * ACK_NS);
	vk_poll(&a, 4, IB_WC_RETRY_EXC_ERR);
}

/* --- requests that outlive what they name --- */

/* Both wait behind a message that nobody takes, and their MRs go meanwhile. */
static void regions_go_before_their_requests(void **state)
{
	struct ib_mr *mr = ib_alloc_mr(a.pd, IB_MR_TYPE_MEM_REG, 4), *valid = ib_alloc_mr(a.pd, IB_MR_TYPE_MEM_REG, 4);
	struct ib_reg_wr reg = { .wr = { .wr_id = 1, .opcode = IB_WR_REG_MR }, .access = VK_RIGHTS };
	struct ib_send_wr inv = { .wr_id = 4, .opcode = IB_WR_LOCAL_INV };
	struct scatterlist sg;

	(void)state;
	assert_false(IS_ERR(mr) || IS_ERR(valid));
	sg_init_table(&sg, 1);
	sg_set_page(&sg, a.page, 8192, 0);
	assert_int_equal(ib_dma_map_sg(a.dev, &sg, 1, DMA_BIDIRECTIONAL), 1);
	assert_int_equal(ib_map_mr_sg(mr, &sg, 1, NULL, 4096), 1);
	assert_int_equal(ib_map_mr_sg(valid, &sg, 1, NULL, 4096), 1);
	reg.mr = valid;
	reg.key = valid->rkey;
	assert_int_equal(ib_post_send(a.qp, &reg.wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	assert_int_equal(vk_send(&a, 2, IB_WR_SEND, 0, 8), 0);
	reg.wr.wr_id = 3;
	reg.mr = mr;
	reg.key = mr->rkey;
	inv.ex.invalidate_rkey = valid->rkey;
	assert_int_equal(ib_post_send(a.qp, &reg.wr, NULL), 0);
	assert_int_equal(ib_post_send(a.qp, &inv, NULL), 0);
	assert_int_equal(ib_dereg_mr(mr), 0);
	assert_int_equal(ib_dereg_mr(valid), 0);
	assert_int_equal(vk_recv(&b, 5, 0, 8), 0);
	test_clock_advance(RNR_NS);
	vk_poll(&b, 5, IB_WC_SUCCESS);
	vk_poll(&a, 2, IB_WC_SUCCESS);
	vk_poll(&a, 3, IB_WC_MW_BIND_ERR);
	vk_poll(&a, 4, IB_WC_WR_FLUSH_ERR);
	reconnect();
	ib_dma_unmap_sg(a.dev, &sg, 1, DMA_BIDIRECTIONAL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, by_setup, by_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(datagrams_and_their_handles, by_setup_ud, by_teardown),
		cmocka_unit_test_setup_teardown(unreliable_connections, by_setup_uc, by_teardown),
		T(lengths_that_do_not_match),
		T(wrong_states),
		T(full_queues),
		T(completion_queue_overflows),
		T(not_ready),
		T(not_ready_for_ever),
		T(peers_that_are_gone),
		T(regions_go_before_their_requests),
	};

	return cmocka_run_group_tests_name("verbs bad time", tests, NULL, NULL);
}
