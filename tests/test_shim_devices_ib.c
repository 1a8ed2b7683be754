/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Several devices with SOFTHCA_LINK=ib: each has a LID and a GID of its own, and a path must name the LID of the queue pair's device. */
#include "shim_fixture.h"

#define LID 0x1234
#define DEVICES 2

static struct ibv_ah_attr path_to(uint16_t lid)
{
	return (struct ibv_ah_attr){ .dlid = lid, .port_num = 1 };
}

static void the_ports(void **state)
{
	struct ibv_context *ctx[DEVICES];
	union ibv_gid gid[DEVICES], none;
	struct ibv_port_attr port;
	int i;

	(void)state;
	for (i = 0; i < DEVICES; i++) {
		ctx[i] = bed_open_on(i);
		assert_int_equal(ibv_query_port(ctx[i], 1, &port), 0);
		assert_int_equal(port.lid, LID + i);
		assert_int_equal(port.sm_lid, LID);
		assert_int_equal(ibv_query_gid(ctx[i], 1, 0, &gid[i]), 0);
		assert_int_equal(ibv_query_gid(ctx[i], 1, 1, &none), 0);
		assert_int_equal(none.raw[0], 0);
	}
	assert_memory_not_equal(&gid[0], &gid[1], sizeof(gid[0]));
	for (i = 0; i < DEVICES; i++)
		assert_int_equal(ibv_close_device(ctx[i]), 0);
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

/* From ipath0 to ipath1. */
static enum ibv_wc_status write_by(uint16_t lid)
{
	enum ibv_wc_status status;
	struct bed b[DEVICES];
	int i;

	for (i = 0; i < DEVICES; i++) {
		bed_begin_on(&b[i], i);
		b[i].qp[0] = bed_qp(&b[i], IBV_QPT_RC, NULL);
	}
	connect_by(b[0].qp[0], b[1].qp[0]->qp_num, lid);
	connect_by(b[1].qp[0], b[0].qp[0]->qp_num, LID);
	status = bed_rdma(&b[0], IBV_WR_RDMA_WRITE, bed_sge(&b[0], 0, 0, 8), (uintptr_t)b[1].mem[1], b[1].mr[1]->rkey)
			 .status;
	for (i = 0; i < DEVICES; i++)
		bed_end(&b[i]);
	return status;
}

static void connections(void **state)
{
	(void)state;
	assert_int_equal(write_by(LID + 1), IBV_WC_SUCCESS);
	assert_int_equal(write_by(LID), IBV_WC_RETRY_EXC_ERR);
	assert_int_equal(write_by(LID + 2), IBV_WC_RETRY_EXC_ERR);
}

static void send_by(struct bed *b, uint32_t qpn, uint16_t lid, uint64_t id)
{
	struct ibv_sge from = bed_sge(b, 0, 0, 8);
	struct ibv_send_wr wr = {
		.wr_id = id, .sg_list = &from, .num_sge = 1, .opcode = IBV_WR_SEND_WITH_IMM, .imm_data = (uint32_t)id
	};
	struct ibv_ah_attr path = path_to(lid);
	struct ibv_ah *ah = ibv_create_ah(b->pd, &path);

	assert_non_null(ah);
	wr.wr.ud.ah = ah;
	wr.wr.ud.remote_qpn = qpn;
	wr.wr.ud.remote_qkey = 0x11;
	bed_post(b->qp[0], &wr);
	assert_int_equal(ibv_destroy_ah(ah), 0);
}

/* From each device to each: what names the other one's LID is lost, and a completion has that of the sender. */
static void datagrams(void **state)
{
	struct ibv_ah_attr back;
	struct bed b[DEVICES];
	struct ibv_sge to;
	struct ibv_wc wc;
	int i, k;

	(void)state;
	for (i = 0; i < DEVICES; i++) {
		bed_begin_on(&b[i], i);
		b[i].qp[0] = bed_qp(&b[i], IBV_QPT_UD, NULL);
		bed_datagram(b[i].qp[0]);
	}
	for (i = 0; i < DEVICES; i++) {
		for (k = 0; k < DEVICES; k++) {
			to = bed_sge(&b[k], 1, 0, 100);
			bed_recv(b[k].qp[0], 1, &to);
			send_by(&b[i], b[k].qp[0]->qp_num, (uint16_t)(LID + !k), 5);
			send_by(&b[i], b[k].qp[0]->qp_num, (uint16_t)(LID + k), 6);
			wc = bed_poll(b[k].cq);
			assert_int_equal(wc.status, IBV_WC_SUCCESS);
			assert_int_equal(wc.imm_data, 6);
			assert_int_equal(wc.slid, LID + i);
			assert_int_equal(ibv_init_ah_from_wc(b[k].ctx, 1, &wc, (struct ibv_grh *)b[k].mem[1], &back),
					 0);
			assert_int_equal(back.dlid, LID + i);
		}
	}
	for (i = 0; i < DEVICES; i++)
		bed_end(&b[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ports),
		cmocka_unit_test(connections),
		cmocka_unit_test(datagrams),
	};

	/* Before the library's first call, which reads them. */
	setenv("SOFTHCA_LINK", "ib", 1);
	setenv("SOFTHCA_LID", "0x1234", 1);
	setenv("SOFTHCA_DEVICES", "2", 1);
	return cmocka_run_group_tests_name("shim_devices_ib", tests, make_fabric, remove_fabric);
}
