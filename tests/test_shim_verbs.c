/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The drop-in libibverbs moves data: every opcode, inline, shared receive queues, datagrams, groups, windows. */
#include "shim_fixture.h"

static void writes_and_reads(void **state)
{
	uint32_t len[] = { 1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 64, 511, 512, 513, 4096, 65536 }, i;
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	for (i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		struct ibv_wc wc;
		uint32_t j;

		for (j = 0; j < BED_BYTES; j++)
			b.mem[0][j] = (uint8_t)(j * 7 + i);
		memset(b.mem[1], 0xee, BED_BYTES);
		wc = bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, len[i]), (uintptr_t)b.mem[1], b.mr[1]->rkey);
		assert_int_equal(wc.status, IBV_WC_SUCCESS);
		assert_int_equal(wc.opcode, IBV_WC_RDMA_WRITE);
		assert_int_equal(wc.wr_id, 7);
		assert_int_equal(wc.qp_num, b.qp[0]->qp_num);
		assert_memory_equal(b.mem[0], b.mem[1], len[i]);
		assert_true(len[i] == BED_BYTES || b.mem[1][len[i]] == 0xee);
		memset(b.mem[0], 0, BED_BYTES);
		wc = bed_rdma(&b, IBV_WR_RDMA_READ, bed_sge(&b, 0, 0, len[i]), (uintptr_t)b.mem[1], b.mr[1]->rkey);
		assert_int_equal(wc.status, IBV_WC_SUCCESS);
		assert_int_equal(wc.opcode, IBV_WC_RDMA_READ);
		assert_memory_equal(b.mem[0], b.mem[1], len[i]);
	}
	bed_end(&b);
}

static void atomics(void **state)
{
	uint64_t *there, *here;
	struct ibv_wc wc;
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	here = (uint64_t *)b.mem[0];
	there = (uint64_t *)b.mem[1];
	*there = 5;
	wc = bed_rdma(&b, IBV_WR_ATOMIC_CMP_AND_SWP, bed_sge(&b, 0, 0, 8), (uintptr_t)there, b.mr[1]->rkey);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(wc.opcode, IBV_WC_COMP_SWAP);
	assert_int_equal(*here, 5);
	assert_int_equal(*there, 9);
	wc = bed_rdma(&b, IBV_WR_ATOMIC_FETCH_AND_ADD, bed_sge(&b, 0, 0, 8), (uintptr_t)there, b.mr[1]->rkey);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(*here, 9);
	assert_int_equal(*there, 14);
	bed_end(&b);
}

static void send_with_immediate(void **state)
{
	struct ibv_sge to, from;
	struct ibv_send_wr wr = { .wr_id = 1,
				  .sg_list = &from,
				  .num_sge = 1,
				  .opcode = IBV_WR_SEND_WITH_IMM,
				  .send_flags = IBV_SEND_SIGNALED,
				  .imm_data = 0x12345678 };
	struct ibv_wc wc[2];
	struct bed b;
	int i;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	to = bed_sge(&b, 1, 0, 100);
	from = bed_sge(&b, 0, 0, 100);
	bed_recv(b.qp[1], 2, &to);
	bed_post(b.qp[0], &wr);
	for (i = 0; i < 2; i++) {
		wc[0] = bed_poll(b.cq);
		assert_int_equal(wc[0].status, IBV_WC_SUCCESS);
		if (wc[0].opcode == IBV_WC_RECV) {
			assert_int_equal(wc[0].wr_id, 2);
			assert_int_equal(wc[0].byte_len, 100);
			assert_int_equal(wc[0].wc_flags & IBV_WC_WITH_IMM, IBV_WC_WITH_IMM);
			assert_int_equal(wc[0].imm_data, 0x12345678);
		}
	}
	assert_memory_equal(b.mem[0], b.mem[1], 100);
	assert_int_equal(ibv_poll_cq(b.cq, 2, wc), 0);
	bed_end(&b);
}

static void inline_data_is_taken_at_the_post(void **state)
{
	char text[] = "inline bytes";
	struct ibv_sge to, from = { .addr = (uintptr_t)text, .length = sizeof(text) };
	struct ibv_send_wr wr = {
		.sg_list = &from, .num_sge = 1, .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_INLINE
	};
	struct ibv_wc wc;
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	to = bed_sge(&b, 1, 0, 64);
	bed_post(b.qp[0], &wr); /* nobody is ready yet */
	memset(text, 'x', sizeof(text));
	bed_recv(b.qp[1], 2, &to);
	wc = bed_poll(b.cq);
	assert_int_equal(wc.opcode, IBV_WC_RECV);
	assert_string_equal((char *)b.mem[1], "inline bytes");
	bed_end(&b);
}

static void shared_receive_queue(void **state)
{
	struct ibv_srq_init_attr init = { .attr = { .max_wr = 8, .max_sge = 2, .srq_limit = 0 } };
	struct ibv_srq_attr attr = { .srq_limit = 2 };
	struct ibv_recv_wr rwr = { .wr_id = 3 }, *bad;
	struct ibv_async_event event;
	struct ibv_sge to, from;
	struct ibv_send_wr wr = { .sg_list = &from, .num_sge = 1, .opcode = IBV_WR_SEND };
	struct ibv_srq *srq;
	struct bed b;

	(void)state;
	bed_begin(&b);
	srq = ibv_create_srq(b.pd, &init);
	assert_non_null(srq);
	b.qp[0] = bed_qp(&b, IBV_QPT_RC, NULL);
	b.qp[1] = bed_qp(&b, IBV_QPT_RC, srq);
	bed_connect(&b, b.qp[0], b.qp[1]->qp_num);
	bed_connect(&b, b.qp[1], b.qp[0]->qp_num);
	to = bed_sge(&b, 1, 0, 32);
	from = bed_sge(&b, 0, 0, 32);
	rwr.sg_list = &to;
	rwr.num_sge = 1;
	assert_int_equal(ibv_post_srq_recv(srq, &rwr, &bad), 0);
	assert_int_equal(ibv_post_srq_recv(srq, &rwr, &bad), 0);
	assert_int_equal(ibv_modify_srq(srq, &attr, IBV_SRQ_LIMIT), 0);
	assert_int_equal(ibv_query_srq(srq, &attr), 0);
	assert_int_equal(attr.srq_limit, 2);
	bed_post(b.qp[0], &wr);
	assert_int_equal(bed_poll(b.cq).wr_id, 3);
	/* One is left: fewer than two. */
	assert_int_equal(ibv_get_async_event(b.ctx, &event), 0);
	assert_int_equal(event.event_type, IBV_EVENT_SRQ_LIMIT_REACHED);
	assert_ptr_equal(event.element.srq, srq);
	ibv_ack_async_event(&event);
	assert_int_equal(ibv_destroy_srq(srq), EBUSY);
	assert_int_equal(ibv_destroy_qp(b.qp[1]), 0);
	b.qp[1] = NULL;
	assert_int_equal(ibv_destroy_srq(srq), 0);
	assert_int_equal(ibv_destroy_srq(srq), EINVAL);
	bed_end(&b);
}

static void datagrams_and_their_answers(void **state)
{
	struct ibv_ah_attr path;
	struct ibv_sge to, from;
	struct ibv_send_wr wr = { .sg_list = &from, .num_sge = 1, .opcode = IBV_WR_SEND };
	struct ibv_ah *ah, *back;
	struct ibv_wc wc;
	struct bed b;

	(void)state;
	bed_begin(&b);
	b.qp[0] = bed_qp(&b, IBV_QPT_UD, NULL);
	b.qp[1] = bed_qp(&b, IBV_QPT_UD, NULL);
	bed_datagram(b.qp[0]);
	bed_datagram(b.qp[1]);
	path = bed_path(b.ctx);
	ah = ibv_create_ah(b.pd, &path);
	assert_non_null(ah);
	to = bed_sge(&b, 1, 0, 200);
	from = bed_sge(&b, 0, 0, 100);
	wr.wr.ud.ah = ah;
	wr.wr.ud.remote_qpn = b.qp[1]->qp_num;
	wr.wr.ud.remote_qkey = 0x11;
	bed_recv(b.qp[1], 4, &to);
	bed_post(b.qp[0], &wr);
	wc = bed_poll(b.cq);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(wc.byte_len, 140);
	assert_int_equal(wc.src_qp, b.qp[0]->qp_num);
	assert_int_equal(wc.wc_flags, IBV_WC_GRH);
	assert_int_equal(wc.sl, 8 | 1); /* RoCE v2, IPv6 */
	assert_memory_equal(b.mem[0], b.mem[1] + 40, 100);
	back = ibv_create_ah_from_wc(b.pd, &wc, (struct ibv_grh *)b.mem[1], 1);
	assert_non_null(back);
	wr.wr.ud.ah = back;
	wr.wr.ud.remote_qpn = wc.src_qp;
	to = bed_sge(&b, 0, 1000, 200);
	bed_recv(b.qp[0], 5, &to);
	bed_post(b.qp[1], &wr);
	assert_int_equal(bed_poll(b.cq).wr_id, 5);
	assert_int_equal(ibv_destroy_ah(ah), 0);
	assert_int_equal(ibv_destroy_ah(ah), EINVAL);
	assert_int_equal(ibv_destroy_ah(back), 0);
	bed_end(&b);
}

/* The sum of the words of a right header of IPv4, its own sum included, is all ones (RFC 1071). */
static uint32_t ip_sum(const uint8_t *p)
{
	uint32_t sum = 0;
	int i;

	for (i = 0; i < 20; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return (sum & 0xffff) + (sum >> 16);
}

/* Between addresses of IPv4 RoCE has an IPv4 header in the last 20 of the 40 bytes (IBTA vol. 1, annex A17.4.5). */
static void datagrams_between_addresses_of_ipv4(void **state)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };
	struct ibv_ah_attr path, from_wc;
	struct ibv_sge to, from;
	struct ibv_send_wr wr = { .sg_list = &from, .num_sge = 1, .opcode = IBV_WR_SEND_WITH_IMM };
	union ibv_gid own = { .raw = { 0 } };
	struct ibv_ah *ah, *back;
	const uint8_t *ip;
	struct ibv_wc wc;
	uint32_t sum;
	struct bed b;
	int i;

	(void)state;
	bed_begin(&b);
	for (i = 0; i < 16 && memcmp(own.raw, prefix, sizeof(prefix)) != 0; i++)
		assert_int_equal(ibv_query_gid(b.ctx, 1, i, &own), 0);
	if (memcmp(own.raw, prefix, sizeof(prefix)) != 0) {
		bed_end(&b);
		skip(); /* no interface has such an address */
		return;
	}
	b.qp[0] = bed_qp(&b, IBV_QPT_UD, NULL);
	b.qp[1] = bed_qp(&b, IBV_QPT_UD, NULL);
	bed_datagram(b.qp[0]);
	bed_datagram(b.qp[1]);
	path = (struct ibv_ah_attr){
		.port_num = 1,
		.is_global = 1,
		.grh = { .dgid = own, .sgid_index = (uint8_t)(i - 1), .hop_limit = 33, .traffic_class = 0x28 },
	};
	assert_non_null(ah = ibv_create_ah(b.pd, &path));
	to = bed_sge(&b, 1, 0, 200);
	from = bed_sge(&b, 0, 0, 101);
	wr.wr.ud.ah = ah;
	wr.wr.ud.remote_qpn = b.qp[1]->qp_num;
	wr.wr.ud.remote_qkey = 0x11;
	bed_recv(b.qp[1], 4, &to);
	bed_post(b.qp[0], &wr);
	wc = bed_poll(b.cq);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(wc.wc_flags, IBV_WC_GRH | IBV_WC_WITH_IMM);
	assert_int_equal(wc.sl, 8 | 2); /* RoCE v2, IPv4 */
	assert_int_equal(wc.byte_len, 141);
	assert_memory_equal(b.mem[0], b.mem[1] + 40, 101);
	ip = b.mem[1] + 20;
	assert_int_equal(ip[0], 0x45);
	assert_int_equal(ip[1], 0x28);
	/* IP, UDP, BTH, DETH, immediate data, the payload in whole words, ICRC */
	assert_int_equal(ip[2] << 8 | ip[3], 20 + 8 + 12 + 8 + 4 + 104 + 4);
	assert_int_equal(ip[8], 33);
	assert_int_equal(ip[9], 17);
	assert_memory_equal(ip + 12, own.raw + 12, 4);
	assert_memory_equal(ip + 16, own.raw + 12, 4);
	assert_int_equal(ip_sum(ip), 0xffff);
	assert_int_equal(ibv_init_ah_from_wc(b.ctx, 1, &wc, (struct ibv_grh *)b.mem[1], &from_wc), 0);
	assert_int_equal(from_wc.is_global, 1);
	assert_int_equal(from_wc.sl, 0);
	assert_memory_equal(&from_wc.grh.dgid, &own, sizeof(own));
	assert_int_equal(from_wc.grh.sgid_index, i - 1);
	assert_int_equal(from_wc.grh.traffic_class, 0x28);
	assert_non_null(back = ibv_create_ah_from_wc(b.pd, &wc, (struct ibv_grh *)b.mem[1], 1));
	wr.wr.ud.ah = back;
	wr.wr.ud.remote_qpn = wc.src_qp;
	to = bed_sge(&b, 0, 1000, 200);
	bed_recv(b.qp[0], 5, &to);
	bed_post(b.qp[1], &wr);
	assert_int_equal(bed_poll(b.cq).wr_id, 5);
	/* One for a group: the answer comes from an address of IPv4, too. */
	memcpy(b.mem[1] + 36, "\xef\1\2\3", 4);
	memset(b.mem[1] + 30, 0, 2);
	sum = ~ip_sum(ip);
	b.mem[1][30] = (uint8_t)(sum >> 8);
	b.mem[1][31] = (uint8_t)sum;
	assert_int_equal(ibv_init_ah_from_wc(b.ctx, 1, &wc, (struct ibv_grh *)b.mem[1], &from_wc), 0);
	assert_int_equal(ibv_query_gid(b.ctx, 1, from_wc.grh.sgid_index, &own), 0);
	assert_memory_equal(own.raw, prefix, sizeof(prefix));
	b.mem[1][20 + 15]++; /* another sender, and the sum is wrong */
	assert_int_equal(ibv_init_ah_from_wc(b.ctx, 1, &wc, (struct ibv_grh *)b.mem[1], &from_wc), -1);
	assert_int_equal(ibv_destroy_ah(ah), 0);
	assert_int_equal(ibv_destroy_ah(back), 0);
	bed_end(&b);
}

static void groups(void **state)
{
	union ibv_gid group = { .raw = { 0xff, 0x12, [15] = 7 } };
	struct ibv_ah_attr path = { .port_num = 1, .is_global = 1, .grh = { .dgid = group, .hop_limit = 1 } };
	struct ibv_sge to, from;
	struct ibv_send_wr wr = { .sg_list = &from, .num_sge = 1, .opcode = IBV_WR_SEND };
	struct ibv_ah *ah;
	struct bed b;

	(void)state;
	bed_begin(&b);
	b.qp[0] = bed_qp(&b, IBV_QPT_UD, NULL);
	b.qp[1] = bed_qp(&b, IBV_QPT_UD, NULL);
	bed_datagram(b.qp[0]);
	bed_datagram(b.qp[1]);
	ah = ibv_create_ah(b.pd, &path);
	assert_non_null(ah);
	assert_int_equal(ibv_attach_mcast(b.qp[1], &group, 0xc001), 0);
	to = bed_sge(&b, 1, 0, 200);
	from = bed_sge(&b, 0, 0, 50);
	wr.wr.ud.ah = ah;
	wr.wr.ud.remote_qpn = 0xffffff;
	wr.wr.ud.remote_qkey = 0x11;
	bed_recv(b.qp[1], 6, &to);
	bed_post(b.qp[0], &wr);
	assert_int_equal(bed_poll(b.cq).wr_id, 6);
	assert_int_equal(ibv_destroy_qp(b.qp[1]), EBUSY);
	bed_recv(b.qp[1], 7, &to);
	bed_post(b.qp[0], &wr);
	assert_int_equal(bed_poll(b.cq).wr_id, 7); /* it stayed in the group */
	assert_int_equal(ibv_detach_mcast(b.qp[1], &group, 0xc001), 0);
	assert_int_equal(ibv_detach_mcast(b.qp[1], &group, 0xc001), EINVAL);
	assert_int_equal(ibv_destroy_ah(ah), 0);
	bed_end(&b);
}

static void memory_window_of_type_1(void **state)
{
	struct ibv_mw_bind bind = { .wr_id = 11, .send_flags = IBV_SEND_SIGNALED };
	struct ibv_mr *mr;
	struct ibv_mw *mw;
	struct ibv_wc wc;
	uint32_t first;
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	mr = ibv_reg_mr(b.pd, b.mem[1], BED_BYTES, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND);
	assert_non_null(mr);
	mw = ibv_alloc_mw(b.pd, IBV_MW_TYPE_1);
	assert_non_null(mw);
	first = mw->rkey;
	bind.bind_info = (struct ibv_mw_bind_info){
		.mr = mr, .addr = (uintptr_t)b.mem[1] + 100, .length = 50, .mw_access_flags = IBV_ACCESS_REMOTE_WRITE
	};
	assert_int_equal(ibv_bind_mw(b.qp[1], mw, &bind), 0);
	wc = bed_poll(b.cq);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(wc.opcode, IBV_WC_BIND_MW);
	assert_int_not_equal(mw->rkey, first);
	wc = bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 50), (uintptr_t)b.mem[1] + 100, mw->rkey);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(ibv_dereg_mr(mr), EBUSY);
	wc = bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 51), (uintptr_t)b.mem[1] + 100, mw->rkey);
	assert_int_equal(wc.status, IBV_WC_REM_ACCESS_ERR);
	assert_int_equal(ibv_dealloc_mw(mw), 0);
	assert_int_equal(ibv_dealloc_mw(mw), EINVAL);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	bed_end(&b);
}

static void memory_window_of_type_2_and_send_with_invalidate(void **state)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_BIND_MW, .send_flags = IBV_SEND_SIGNALED };
	struct ibv_mr *mr;
	struct ibv_mw *mw;
	struct ibv_wc wc;
	uint32_t rkey;
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	mr = ibv_reg_mr(b.pd, b.mem[1], BED_BYTES, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND);
	mw = ibv_alloc_mw(b.pd, IBV_MW_TYPE_2);
	assert_non_null(mw);
	rkey = ibv_inc_rkey(mw->rkey);
	wr.bind_mw.mw = mw;
	wr.bind_mw.rkey = rkey;
	wr.bind_mw.bind_info = (struct ibv_mw_bind_info){
		.mr = mr, .addr = (uintptr_t)b.mem[1], .length = 64, .mw_access_flags = IBV_ACCESS_REMOTE_WRITE
	};
	bed_post(b.qp[1], &wr);
	assert_int_equal(bed_poll(b.cq).status, IBV_WC_SUCCESS);
	wc = bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 64), (uintptr_t)b.mem[1], rkey);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	/* The peer takes it back. */
	bed_recv(b.qp[1], 9, NULL);
	wr = (struct ibv_send_wr){ .opcode = IBV_WR_SEND_WITH_INV, .invalidate_rkey = rkey };
	bed_post(b.qp[0], &wr);
	wc = bed_poll(b.cq);
	assert_int_equal(wc.wr_id, 9);
	assert_true(wc.wc_flags & IBV_WC_WITH_INV);
	assert_int_equal(wc.invalidated_rkey, rkey);
	wc = bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 64), (uintptr_t)b.mem[1], rkey);
	assert_int_equal(wc.status, IBV_WC_REM_ACCESS_ERR);
	assert_int_equal(ibv_dealloc_mw(mw), 0);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_and_reads),
		cmocka_unit_test(atomics),
		cmocka_unit_test(send_with_immediate),
		cmocka_unit_test(inline_data_is_taken_at_the_post),
		cmocka_unit_test(shared_receive_queue),
		cmocka_unit_test(datagrams_and_their_answers),
		cmocka_unit_test(datagrams_between_addresses_of_ipv4),
		cmocka_unit_test(groups),
		cmocka_unit_test(memory_window_of_type_1),
		cmocka_unit_test(memory_window_of_type_2_and_send_with_invalidate),
	};

	return cmocka_run_group_tests(tests, make_fabric, remove_fabric);
}
