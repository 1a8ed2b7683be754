/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The drop-in libibverbs with SOFTHCA_LINK=ib: ports have a LID, and a path that names another one leads to nobody. */
#include "shim_fixture.h"

#define LID 0x1234

static struct ibv_ah_attr path_to(uint16_t lid)
{
	return (struct ibv_ah_attr){ .dlid = lid, .port_num = 1 };
}

static void the_port_has_a_lid(void **state)
{
	struct ibv_context *ctx = bed_open();
	struct ibv_port_attr port;

	(void)state;
	assert_int_equal(ibv_query_port(ctx, 1, &port), 0);
	assert_int_equal(port.link_layer, IBV_LINK_LAYER_INFINIBAND);
	assert_int_equal(port.lid, LID);
	assert_int_equal(ibv_close_device(ctx), 0);
}

static void connect_by(struct ibv_qp *qp, uint32_t to, uint16_t lid)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_INIT, .port_num = 1, .qp_access_flags = BED_ACCESS };

	assert_int_equal(ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS),
			 0);
	a = (struct ibv_qp_attr){ .qp_state = IBV_QPS_RTR,
				  .path_mtu = IBV_MTU_1024,
				  .dest_qp_num = to,
				  .max_dest_rd_atomic = 4,
				  .min_rnr_timer = 1,
				  .ah_attr = path_to(lid) };
	assert_int_equal(ibv_modify_qp(qp, &a,
				       IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
					       IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER),
			 0);
	a = (struct ibv_qp_attr){
		.qp_state = IBV_QPS_RTS, .timeout = 8, .retry_cnt = 1, .rnr_retry = 1, .max_rd_atomic = 4
	};
	assert_int_equal(ibv_modify_qp(qp, &a,
				       IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
					       IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC),
			 0);
}

static enum ibv_wc_status write_by(uint16_t lid)
{
	enum ibv_wc_status status;
	struct bed b;
	int i;

	bed_begin(&b);
	for (i = 0; i < 2; i++)
		b.qp[i] = bed_qp(&b, IBV_QPT_RC, NULL);
	connect_by(b.qp[0], b.qp[1]->qp_num, lid);
	connect_by(b.qp[1], b.qp[0]->qp_num, LID);
	status = bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 8), (uintptr_t)b.mem[1], b.mr[1]->rkey).status;
	bed_end(&b);
	return status;
}

static void connections(void **state)
{
	(void)state;
	assert_int_equal(write_by(LID), IBV_WC_SUCCESS);
	assert_int_equal(write_by(LID + 1), IBV_WC_RETRY_EXC_ERR);
	assert_int_equal(write_by(0), IBV_WC_RETRY_EXC_ERR);
}

static void send_by(struct bed *b, uint16_t lid, uint64_t id)
{
	struct ibv_sge from = bed_sge(b, 0, 0, 8);
	struct ibv_send_wr wr = {
		.wr_id = id, .sg_list = &from, .num_sge = 1, .opcode = IBV_WR_SEND_WITH_IMM, .imm_data = (uint32_t)id
	};
	struct ibv_ah_attr path = path_to(lid);
	struct ibv_ah *ah = ibv_create_ah(b->pd, &path);

	assert_non_null(ah);
	wr.wr.ud.ah = ah;
	wr.wr.ud.remote_qpn = b->qp[1]->qp_num;
	wr.wr.ud.remote_qkey = 0x11;
	bed_post(b->qp[0], &wr);
	assert_int_equal(ibv_destroy_ah(ah), 0);
}

static void datagrams(void **state)
{
	struct ibv_ah_attr back;
	struct ibv_sge to;
	struct ibv_wc wc;
	struct bed b;
	int i;

	(void)state;
	bed_begin(&b);
	for (i = 0; i < 2; i++) {
		b.qp[i] = bed_qp(&b, IBV_QPT_UD, NULL);
		bed_datagram(b.qp[i]);
	}
	to = bed_sge(&b, 1, 0, 100);
	bed_recv(b.qp[1], 1, &to);
	send_by(&b, LID + 1, 5); /* it is lost */
	send_by(&b, LID, 6);
	wc = bed_poll(b.cq);
	assert_int_equal(wc.wr_id, 1);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(wc.imm_data, 6);
	assert_int_equal(wc.slid, LID);
	assert_int_equal(ibv_init_ah_from_wc(b.ctx, 1, &wc, (struct ibv_grh *)b.mem[1], &back), 0);
	assert_int_equal(back.dlid, LID);
	assert_int_equal(back.is_global, 0);
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_port_has_a_lid),
		cmocka_unit_test(connections),
		cmocka_unit_test(datagrams),
	};

	/* Before the library's first call, which reads them. */
	setenv("SOFTHCA_LINK", "ib", 1);
	setenv("SOFTHCA_LID", "0x1234", 1);
	return cmocka_run_group_tests_name("shim_ib", tests, make_fabric, remove_fabric);
}
