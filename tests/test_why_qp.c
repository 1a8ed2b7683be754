/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Why a queue pair isn't made or changed, and why a request isn't taken: which attribute, field or state it is, with the
 * limit that it breaks; where a request was posted; and whose completion has nobody to tell.
 */
#include "verbs_by.h"

#include "why_fixture.h"

static struct ib_qp_init_attr good(void)
{
	return (struct ib_qp_init_attr){
		.send_cq = a.cq,
		.recv_cq = a.cq,
		.qp_type = IB_QPT_RC,
		.cap = { .max_send_wr = 2, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 }
	};
}

static void making(void **state)
{
	struct ib_qp_init_attr qa = good();

	(void)state;
	qa.send_cq = NULL;
	REFUSED(ib_create_qp(a.pd, &qa), -EINVAL, "soft", "it needs a send_cq of this device");
	qa = good();
	qa.recv_cq = b.cq;
	REFUSED(ib_create_qp(a.pd, &qa), -EINVAL, "it needs a recv_cq of this device");
	qa = good();
	qa.qp_type = IB_QPT_GSI;
	REFUSED(ib_create_qp(a.pd, &qa), -EINVAL, "SMI and GSI are the port's own");
	qa = good();
	qa.qp_type = (enum ib_qp_type)40;
	REFUSED(ib_create_qp(a.pd, &qa), -EINVAL, "queue pair (?) not made: no such type");
	qa = good();
	qa.create_flags = 1;
	REFUSED(ib_create_qp(a.pd, &qa), -EINVAL, "create_flags 0x1 aren't supported");
	qa = good();
	qa.sq_sig_type = (enum ib_sig_type)7;
	REFUSED(ib_create_qp(a.pd, &qa), -EINVAL, "sq_sig_type is 7");
	qa = good();
	qa.cap.max_send_wr = 1u << 30;
	REFUSED(ib_create_qp(a.pd, &qa), -EINVAL, "(RC) not made: cap.max_send_wr is 1073741824, must be from 0 to");
	qa = good();
	qa.cap.max_recv_wr = 1u << 30;
	REFUSED(ib_create_qp(a.pd, &qa), -EINVAL, "cap.max_recv_wr is");
	qa = good();
	qa.cap.max_send_sge = 1000;
	REFUSED(ib_create_qp(a.pd, &qa), -EINVAL, "cap.max_send_sge is 1000");
	qa = good();
	qa.cap.max_recv_sge = 1000;
	REFUSED(ib_create_qp(a.pd, &qa), -EINVAL, "cap.max_recv_sge is 1000");
	qa = good();
	qa.cap.max_inline_data = 1u << 20;
	REFUSED(ib_create_qp(a.pd, &qa), -EINVAL, "cap.max_inline_data is");
	qa = good();
	qa.srq = (struct ib_srq *)&(struct ib_srq){ .device = b.dev };
	REFUSED(ib_create_qp(a.pd, &qa), -EINVAL, "its srq is another device's");
}

/* --- changing --- */

#define INIT (IB_QP_STATE | IB_QP_PKEY_INDEX | IB_QP_PORT | IB_QP_ACCESS_FLAGS)
#define RTR \
	(IB_QP_STATE | IB_QP_AV | IB_QP_PATH_MTU | IB_QP_DEST_QPN | IB_QP_RQ_PSN | IB_QP_MAX_DEST_RD_ATOMIC | \
	 IB_QP_MIN_RNR_TIMER)

static void changing(void **state)
{
	struct ib_qp_init_attr qa = good();
	struct ib_qp_attr at = { .qp_state = IB_QPS_RTS, .port_num = 1 };
	struct ib_qp *qp = ib_create_qp(a.pd, &qa);
	char name[32];

	(void)state;
	assert_false(IS_ERR(qp));
	snprintf(name, sizeof(name), "soft QP %u (RC)", qp->qp_num);
	REFUSED(ib_modify_qp(qp, &at, IB_QP_STATE), -EINVAL, "mistake:", name,
		"from RESET to RTS: there is no such transition");
	at.qp_state = IB_QPS_INIT;
	REFUSED(ib_modify_qp(qp, &at, IB_QP_STATE), -EINVAL,
		"from RESET to INIT: ACCESS_FLAGS, PKEY_INDEX, PORT: needed", "missing in the mask");
	REFUSED(ib_modify_qp(qp, &at, INIT & ~IB_QP_PORT), -EINVAL, ": PORT: needed");
	REFUSED(ib_modify_qp(qp, &at, INIT | IB_QP_QKEY | IB_QP_TIMEOUT), -EINVAL,
		"QKEY, TIMEOUT: in the mask, not allowed");
	REFUSED(ib_modify_qp(qp, &at, INIT | 1 << 30), -EINVAL, "bit 30: in the mask");
	at.port_num = 2;
	REFUSED(ib_modify_qp(qp, &at, INIT), -EINVAL, "port_num is 2, must be from 1 to 1");
	at.port_num = 300;
	REFUSED(ib_modify_qp(qp, &at, INIT), -EINVAL, "port_num is 300, must be 255 at most");
	at.port_num = 1;
	at.pkey_index = 4;
	REFUSED(ib_modify_qp(qp, &at, INIT), -EINVAL, "pkey_index is 4, must be from 0 to 0");
	at.pkey_index = 0;
	at.qp_access_flags = 1 << 8;
	REFUSED(ib_modify_qp(qp, &at, INIT), -EINVAL, "qp_access_flags is 256", "aren't rights");
	at.qp_access_flags = 0;
	assert_int_equal(ib_modify_qp(qp, &at, INIT), 0);

	at = (struct ib_qp_attr){ .qp_state = IB_QPS_RTR,
				  .path_mtu = IB_MTU_1024,
				  .ah_attr = { .dlid = 1, .port_num = 1 } };
	REFUSED(ib_modify_qp(qp, &at, RTR & ~IB_QP_DEST_QPN), -EINVAL, "from INIT to RTR: DEST_QPN: needed");
	REFUSED(ib_modify_qp(qp, &at, RTR | IB_QP_ALT_PATH), -EINVAL, "ALT_PATH: in the mask, not supported");
	at.path_mtu = (enum ib_mtu)6;
	REFUSED(ib_modify_qp(qp, &at, RTR), -EINVAL, "path_mtu is 6, must be from 1 to 5");
	at.path_mtu = IB_MTU_1024;
	at.dest_qp_num = 1 << 24;
	REFUSED(ib_modify_qp(qp, &at, RTR), -EINVAL, "dest_qp_num is 16777216, must be from 0 to 16777215");
	at.dest_qp_num = 9;
	at.rq_psn = 1 << 24;
	REFUSED(ib_modify_qp(qp, &at, RTR), -EINVAL, "rq_psn is");
	at.rq_psn = 0;
	at.max_dest_rd_atomic = 255;
	REFUSED(ib_modify_qp(qp, &at, RTR), -EINVAL, "max_dest_rd_atomic is 255, must be from 0 to");
	at.max_dest_rd_atomic = 1;
	at.min_rnr_timer = 32;
	REFUSED(ib_modify_qp(qp, &at, RTR), -EINVAL, "min_rnr_timer is 32, must be from 0 to 31");
	at.min_rnr_timer = 1;
	at.ah_attr.dlid = 0xc000;
	REFUSED(ib_modify_qp(qp, &at, RTR), -EINVAL, "ah_attr.dlid is 49152, must be from 0 to 49151");
	at.ah_attr.dlid = 0x10000;
	REFUSED(ib_modify_qp(qp, &at, RTR), -EINVAL, "ah_attr.dlid is 65536, must be 65535 at most");
	at.ah_attr = (struct rdma_ah_attr){ .dlid = 1, .port_num = 1, .ah_flags = IB_AH_GRH };
	at.ah_attr.grh.sgid_index = 7;
	REFUSED(ib_modify_qp(qp, &at, RTR), -EINVAL, "ah_attr.grh.sgid_index is 7",
		"entry of the GID table that is set");
	at.ah_attr.grh.sgid_index = 16;
	REFUSED(ib_modify_qp(qp, &at, RTR), -EINVAL, "sgid_index is 16, must be from 0 to 15");
	at.ah_attr.grh.sgid_index = 0;
	at.ah_attr.grh.dgid.raw[0] = 0xff;
	REFUSED(ib_modify_qp(qp, &at, RTR), -EINVAL, "ah_attr.grh.dgid[0] is 255", "no group's address");
	at.ah_attr.ah_flags = 0;
	at.cur_qp_state = IB_QPS_RTS;
	REFUSED(ib_modify_qp(qp, &at, RTR | IB_QP_CUR_STATE), -EINVAL, "cur_qp_state is 3", "the state that it is in");
	assert_int_equal(ib_destroy_qp(qp), 0);
}

/* --- posting --- */

static void posting(void **state)
{
	struct ib_sge sge[5] = { vk_sge(&a, 0, 4096) };
	struct ib_qp_init_attr qa = good();
	struct ib_send_wr wr = { .wr_id = 0xabc, .sg_list = sge, .num_sge = 5, .opcode = IB_WR_SEND };
	struct ib_atomic_wr at = { .wr = { .opcode = IB_WR_ATOMIC_FETCH_AND_ADD,
					   .sg_list = sge,
					   .num_sge = 1,
					   .send_flags = IB_SEND_INLINE } };
	struct ib_reg_wr reg = { .wr = { .opcode = IB_WR_REG_MR } };
	struct ib_recv_wr recv = { .wr_id = 3 };
	struct ib_qp *qp = ib_create_qp(a.pd, &qa);
	char at_line[64];

	(void)state;
	assert_false(IS_ERR(qp));
	REFUSED(ib_post_recv(qp, &recv, NULL), -EINVAL, "it is in RESET: move it to INIT before", "test_why_qp.c:");
	wr.num_sge = 1;
	REFUSED(ib_post_send(qp, &wr, NULL), -EINVAL, "(RC, RESET)", "move the queue pair to RTS before");
	assert_int_equal(ib_destroy_qp(qp), 0);
	wr.num_sge = 5;
	snprintf(at_line, sizeof(at_line), "opcode 2, wr_id 0xabc, posted at ../../tests/test_why_qp.c:%d",
		 __LINE__ + 1);
	REFUSED(ib_post_send(a.qp, &wr, NULL), -EINVAL, "(RC, RTS): SEND", strstr(at_line, "test_why"),
		"num_sge is 5, must be from 0 to 4");
	wr.num_sge = 1;
	wr.sg_list = NULL;
	REFUSED(ib_post_send(a.qp, &wr, NULL), -EINVAL, "num_sge is 1 without an sg_list");
	wr.sg_list = sge;
	wr.send_flags = 1 << 9;
	REFUSED(ib_post_send(a.qp, &wr, NULL), -EINVAL, "unknown bits in send_flags: 0x200");
	wr.send_flags = IB_SEND_INLINE;
	REFUSED(ib_post_send(a.qp, &wr, NULL), -EINVAL, "SEND_INLINE with 4096 bytes, must be from 0 to 64");
	REFUSED(ib_post_send(a.qp, &at.wr, NULL), -EINVAL, "SEND_INLINE: its answer can't be inline");
	wr.send_flags = 0;
	wr.opcode = (enum ib_wr_opcode)25;
	REFUSED(ib_post_send(a.qp, &wr, NULL), -EINVAL, "opcode 25", "no such opcode");
	wr.opcode = IB_WR_RDMA_READ_WITH_INV;
	REFUSED(ib_post_send(a.qp, &wr, NULL), -EINVAL, "no RDMA READ that invalidates");
	wr.opcode = IB_WR_MASKED_ATOMIC_CMP_AND_SWP;
	REFUSED(ib_post_send(a.qp, &wr, NULL), -EINVAL, "the engine has no such request");
	REFUSED(ib_post_send(a.qp, &reg.wr, NULL), -EINVAL, "its mr is NULL, or another device's");
	recv.num_sge = 9;
	REFUSED(ib_post_recv(a.qp, &recv, NULL), -EINVAL, "wr_id 0x3", "more entries", "9 entries of 4");
}

static void datagrams(void **state)
{
	struct ib_ud_wr ud = { .wr = { .opcode = IB_WR_SEND } };

	(void)state;
	REFUSED(ib_post_send(a.qp, &ud.wr, NULL), -EINVAL, "its ah is NULL, or of another PD");
	ud.wr.opcode = IB_WR_RDMA_WRITE;
	REFUSED(ib_post_send(a.qp, &ud.wr, NULL), -EINVAL, "RDMA_WRITE", "no request for this type of queue pair");
}

/* --- queues that are full --- */

static void full_queue(void **state)
{
	struct ib_recv_wr recv = { .wr_id = 1 };
	u32 i;

	(void)state;
	for (i = 0; i < VK_WR; i++)
		assert_int_equal(ib_post_recv(a.qp, &recv, NULL), 0);
	REFUSED(ib_post_recv(a.qp, &recv, NULL), -ENOMEM, "refused:", "the queue is full", "room for 16 requests");
}

static void overflow(void **state)
{
	const struct ib_cq_init_attr ca = { .cqe = 1 };
	struct ib_cq *cq = ib_create_cq(a.dev, NULL, NULL, NULL, &ca);
	struct ib_qp_init_attr qa = good();
	struct ib_recv_wr recv = { .wr_id = 1 };
	struct ib_wc wc;
	struct ib_qp *qp;
	u32 i;

	(void)state;
	assert_false(IS_ERR(cq));
	qa.send_cq = qa.recv_cq = cq;
	qa.cap.max_recv_wr = 4;
	qp = ib_create_qp(a.pd, &qa);
	assert_false(IS_ERR(qp));
	vk_connect(qp, vk_lid(&b), 0x77);
	for (i = 0; i < 4; i++)
		assert_int_equal(ib_post_recv(qp, &recv, NULL), 0);
	(void)test_why_take();
	to_err(qp);
	SAID("mistake:", "a completion queue of 1 entries overflowed");
	assert_int_equal(ib_poll_cq(cq, 1, &wc), 1);
	assert_int_equal(ib_poll_cq(cq, 1, &wc), -EIO);
	assert_int_equal(ib_destroy_qp(qp), 0);
	assert_int_equal(ib_destroy_cq(cq), 0);
}

/* --- completions that nothing is called for --- */

static void no_done(void **state)
{
	struct ib_cqe nothing = { NULL };
	struct ib_cq *cq = ib_alloc_cq(a.dev, NULL, 8, 0, IB_POLL_DIRECT);
	struct ib_qp_init_attr qa = good();
	struct ib_recv_wr recv = { .wr_cqe = &nothing };
	struct ib_send_wr send = { .opcode = IB_WR_SEND };
	char at_recv[64], at_send[64], name[32];
	struct ib_qp *qp;

	(void)state;
	assert_false(IS_ERR(cq));
	qa.send_cq = qa.recv_cq = cq;
	qp = ib_create_qp(a.pd, &qa);
	assert_false(IS_ERR(qp));
	snprintf(name, sizeof(name), "soft QP %u", qp->qp_num);
	vk_connect(qp, vk_lid(&b), 0x77);
	snprintf(at_recv, sizeof(at_recv), "test_why_qp.c:%d", __LINE__ + 1);
	assert_int_equal(ib_post_recv(qp, &recv, NULL), 0);
	to_err(qp);
	(void)test_why_take();
	assert_int_equal(ib_process_cq_direct(cq, -1), 1);
	SAID("mistake:", name, "a receive request that completed", "one without done", at_recv, "WR flushed");
	snprintf(at_send, sizeof(at_send), "test_why_qp.c:%d", __LINE__ + 1);
	assert_int_equal(ib_post_send(qp, &send, NULL), 0);
	(void)test_why_take();
	assert_int_equal(ib_process_cq_direct(cq, -1), 1);
	SAID(name, "a send request that completed", "wr_cqe is NULL", at_send);
	assert_int_equal(ib_destroy_qp(qp), 0);
	ib_free_cq(cq);
}

/* What is carried out at once was never in the queue. With a ledger nothing is: it says how to get one. */
static void no_done_no_ledger(void **state)
{
	struct ib_rdma_wr wr = { .wr = { .opcode = IB_WR_RDMA_WRITE, .num_sge = 1, .send_flags = IB_SEND_SIGNALED } };
	struct ib_sge sge;
	struct ib_qp_init_attr qa = good();
	struct end c;

	(void)state;
	assert_int_equal(vk_device_with(&c, true, MACHINE_DIRECT, NULL), 0);
	c.pd = ib_alloc_pd(c.dev, 0);
	c.cq = ib_alloc_cq(c.dev, NULL, 8, 0, IB_POLL_DIRECT);
	assert_false(IS_ERR(c.pd) || IS_ERR(c.cq));
	qa.send_cq = qa.recv_cq = c.cq;
	c.qp = ib_create_qp(c.pd, &qa);
	assert_false(IS_ERR(c.qp));
	vk_connect(c.qp, vk_lid(&c), c.qp->qp_num);
	c.mr = ib_get_dma_mr(c.pd, VK_RIGHTS);
	c.page = machine_alloc_pages(c.machine, GFP_KERNEL, 0);
	assert_false(IS_ERR(c.mr) || !c.page);
	c.addr = ib_dma_map_page(c.dev, c.page, 0, PAGE_SIZE, DMA_BIDIRECTIONAL);
	assert_int_equal(ib_dma_mapping_error(c.dev, c.addr), 0);
	sge = (struct ib_sge){ .addr = hca_dma_u64(c.addr), .length = 8, .lkey = c.pd->local_dma_lkey };
	wr.wr.sg_list = &sge;
	wr.remote_addr = hca_dma_u64(c.addr) + 64;
	wr.rkey = c.mr->rkey;
	assert_int_equal(ib_post_send(c.qp, &wr.wr, NULL), 0);
	(void)test_why_take();
	assert_int_equal(ib_process_cq_direct(c.cq, -1), 1);
	SAID("wr_cqe is NULL", "posted at ? (a ledger knows, SOFTHCA_LEDGER=1)");
	ib_dma_unmap_page(c.dev, c.addr, PAGE_SIZE, DMA_BIDIRECTIONAL);
	__free_pages(c.page, 0);
	assert_int_equal(ib_dereg_mr(c.mr), 0);
	assert_int_equal(ib_destroy_qp(c.qp), 0);
	ib_free_cq(c.cq);
	assert_int_equal(ib_dealloc_pd(c.pd), 0);
	assert_int_equal(vk_device_gone(&c), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, by_setup, by_teardown)
#define T_UD(f) cmocka_unit_test_setup_teardown(f, by_setup_ud, by_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(making),     T(changing), T(posting), T_UD(datagrams),
		T(full_queue), T(overflow), T(no_done), T(no_done_no_ledger),
	};

	return cmocka_run_group_tests_name("why_qp", tests, NULL, NULL);
}
