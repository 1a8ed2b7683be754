/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the manual pages of verbs say of the corners of calls: which request of a list was bad, what a queue that is resized keeps, which
 * attributes a query fills in, which asynchronous event comes when. And what 'softhca status' counts of what a program polls.
 */
#include "shim_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

#include "softhca/abi/fabric.h"

/* --- lists of requests --- */

static void a_bad_request_in_the_middle_of_a_list(void **state)
{
	struct ibv_send_wr wr[3], *bad = NULL;
	struct ibv_recv_wr rwr[3], *bad_r = NULL;
	struct ibv_sge sge, to;
	struct bed b;
	int i;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	sge = bed_sge(&b, 0, 0, 8);
	to = bed_sge(&b, 1, 0, 8);
	for (i = 0; i < 3; i++) {
		rwr[i] = (struct ibv_recv_wr){
			.wr_id = 10 + (uint64_t)i, .next = i < 2 ? &rwr[i + 1] : NULL, .sg_list = &to, .num_sge = 1
		};
		wr[i] = (struct ibv_send_wr){ .wr_id = 20 + (uint64_t)i,
					      .next = i < 2 ? &wr[i + 1] : NULL,
					      .sg_list = &sge,
					      .num_sge = 1,
					      .opcode = IBV_WR_SEND,
					      .send_flags = IBV_SEND_SIGNALED };
	}
	rwr[1].num_sge = 1000;
	assert_int_equal(ibv_post_recv(b.qp[1], rwr, &bad_r), EINVAL);
	assert_ptr_equal(bad_r, &rwr[1]);
	wr[1].num_sge = 1000;
	assert_int_equal(ibv_post_send(b.qp[0], wr, &bad), EINVAL);
	assert_ptr_equal(bad, &wr[1]);
	/* The one before was posted; the one behind wasn't. */
	for (i = 0; i < 2; i++) {
		struct ibv_wc wc = bed_poll(b.cq);

		assert_int_equal(wc.status, IBV_WC_SUCCESS);
		assert_int_equal(wc.wr_id, wc.opcode == IBV_WC_RECV ? 10 : 20);
	}
	wr[1].num_sge = 1;
	wr[1].opcode = (enum ibv_wr_opcode)99;
	assert_int_equal(ibv_post_send(b.qp[0], &wr[1], &bad), EINVAL);
	assert_ptr_equal(bad, &wr[1]);
	bed_end(&b);
}

static void posts_in_the_wrong_state(void **state)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_SEND }, *bad = NULL;
	struct ibv_recv_wr rwr = { .wr_id = 1 }, *bad_r = NULL;
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_INIT, .port_num = 1, .qp_access_flags = BED_ACCESS };
	struct bed b;
	struct ibv_wc wc;
	int i;

	(void)state;
	bed_begin(&b);
	b.qp[0] = bed_qp(&b, IBV_QPT_RC, NULL);
	assert_int_equal(ibv_post_send(b.qp[0], &wr, &bad), EINVAL);
	assert_ptr_equal(bad, &wr);
	assert_int_equal(ibv_post_recv(b.qp[0], &rwr, &bad_r), EINVAL);
	assert_ptr_equal(bad_r, &rwr);
	assert_int_equal(
		ibv_modify_qp(b.qp[0], &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS), 0);
	assert_int_equal(ibv_post_send(b.qp[0], &wr, &bad), EINVAL);
	/* In ERR both are taken, and flushed. */
	a.qp_state = IBV_QPS_ERR;
	assert_int_equal(ibv_modify_qp(b.qp[0], &a, IBV_QP_STATE), 0);
	assert_int_equal(ibv_post_send(b.qp[0], &wr, &bad), 0);
	assert_int_equal(ibv_post_recv(b.qp[0], &rwr, &bad_r), 0);
	for (i = 0; i < 2; i++) {
		wc = bed_poll(b.cq);
		assert_int_equal(wc.status, IBV_WC_WR_FLUSH_ERR);
	}
	bed_end(&b);
}

/* --- completion queues --- */

static void a_resized_queue_keeps_what_is_in_it(void **state)
{
	struct ibv_sge to;
	struct bed b;
	int i, cqe;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	to = bed_sge(&b, 1, 0, 8);
	for (i = 0; i < 8; i++) {
		struct ibv_sge from = bed_sge(&b, 0, 0, 8);
		struct ibv_send_wr wr = { .sg_list = &from, .num_sge = 1, .opcode = IBV_WR_SEND };

		bed_recv(b.qp[1], (uint64_t)i, &to);
		bed_post(b.qp[0], &wr);
	}
	cqe = b.cq->cqe;
	assert_int_equal(ibv_resize_cq(b.cq, 2), EINVAL);
	assert_int_equal(b.cq->cqe, cqe);
	assert_int_equal(ibv_resize_cq(b.cq, 200), 0);
	assert_true(b.cq->cqe >= 200);
	for (i = 0; i < 8; i++)
		assert_int_equal(bed_poll(b.cq).wr_id, i);
	assert_int_equal(ibv_resize_cq(b.cq, 2), 0);
	bed_end(&b);
}

/* --- what a query fills in --- */

static void all_attributes_are_those_that_were_set(void **state)
{
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr a;
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	memset(&a, 0xff, sizeof(a));
	memset(&init, 0xff, sizeof(init));
	/* A mask is a hint: the manual allows more to be set than was asked for. */
	assert_int_equal(ibv_query_qp(b.qp[0], &a, IBV_QP_STATE, &init), 0);
	assert_int_equal(a.qp_state, IBV_QPS_RTS);
	assert_int_equal(ibv_query_qp(b.qp[0], &a, (1 << 21) - 1, &init), 0);
	assert_int_equal(a.path_mtu, IBV_MTU_1024);
	assert_int_equal(a.dest_qp_num, b.qp[1]->qp_num);
	assert_int_equal(a.qp_access_flags, BED_ACCESS);
	assert_int_equal(a.max_rd_atomic, 4);
	assert_int_equal(a.max_dest_rd_atomic, 4);
	assert_int_equal(a.min_rnr_timer, 1);
	assert_int_equal(a.timeout, 8);
	assert_int_equal(a.retry_cnt, 7);
	assert_int_equal(a.rnr_retry, 7);
	assert_int_equal(a.port_num, 1);
	assert_int_equal(a.ah_attr.is_global, 1);
	assert_ptr_equal(init.send_cq, b.cq);
	assert_int_equal(init.qp_type, IBV_QPT_RC);
	assert_true(init.cap.max_send_wr >= 16 && init.cap.max_inline_data >= 64);
	bed_end(&b);
}

/* --- asynchronous events --- */

static void await_event(struct bed *b, enum ibv_event_type type, const struct ibv_qp *qp)
{
	struct ibv_async_event event;

	assert_int_equal(ibv_get_async_event(b->ctx, &event), 0);
	assert_int_equal(event.event_type, type);
	assert_ptr_equal(event.element.qp, qp);
	ibv_ack_async_event(&event);
}

static void no_event(struct bed *b)
{
	struct pollfd p = { .fd = b->ctx->async_fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 0), 0);
}

/* The first message finds the queue pair in RTR; the second one does, too, and is no news. */
static void the_first_message_in_rtr_is_told_of(void **state)
{
	struct ibv_qp_attr rts = {
		.qp_state = IBV_QPS_RTS, .timeout = 8, .retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = 4
	};
	struct ibv_sge from, to;
	struct ibv_send_wr wr = { .sg_list = &from, .num_sge = 1, .opcode = IBV_WR_SEND };
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_INIT, .port_num = 1, .qp_access_flags = BED_ACCESS };
	struct bed b;

	(void)state;
	bed_begin(&b);
	b.qp[0] = bed_qp(&b, IBV_QPT_RC, NULL);
	b.qp[1] = bed_qp(&b, IBV_QPT_RC, NULL);
	bed_connect(&b, b.qp[0], b.qp[1]->qp_num);
	assert_int_equal(
		ibv_modify_qp(b.qp[1], &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS), 0);
	a = (struct ibv_qp_attr){ .qp_state = IBV_QPS_RTR,
				  .path_mtu = IBV_MTU_1024,
				  .dest_qp_num = b.qp[0]->qp_num,
				  .max_dest_rd_atomic = 4,
				  .ah_attr = bed_path(b.ctx) };
	assert_int_equal(ibv_modify_qp(b.qp[1], &a,
				       IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
					       IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER),
			 0);
	from = bed_sge(&b, 0, 0, 8);
	to = bed_sge(&b, 1, 0, 8);
	bed_recv(b.qp[1], 1, &to);
	bed_recv(b.qp[1], 2, &to);
	no_event(&b);
	bed_post(b.qp[0], &wr);
	bed_poll(b.cq);
	await_event(&b, IBV_EVENT_COMM_EST, b.qp[1]);
	bed_post(b.qp[0], &wr);
	bed_poll(b.cq);
	no_event(&b);
	assert_int_equal(ibv_modify_qp(b.qp[1], &rts,
				       IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
					       IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC),
			 0);
	bed_end(&b);
}

static void a_drained_send_queue_is_told_of(void **state)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_SQD, .en_sqd_async_notify = 1 };
	struct ibv_qp_init_attr init;
	struct ibv_sge from, to;
	struct ibv_send_wr wr = { .sg_list = &from, .num_sge = 1, .opcode = IBV_WR_SEND };
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	from = bed_sge(&b, 0, 0, 8);
	to = bed_sge(&b, 1, 0, 8);
	bed_post(b.qp[0], &wr); /* waits for a receive request */
	assert_int_equal(ibv_modify_qp(b.qp[0], &a, IBV_QP_STATE | IBV_QP_EN_SQD_ASYNC_NOTIFY), 0);
	no_event(&b);
	assert_int_equal(ibv_query_qp(b.qp[0], &a, IBV_QP_STATE, &init), 0);
	assert_int_equal(a.qp_state, IBV_QPS_SQD);
	assert_true(a.sq_draining);
	bed_recv(b.qp[1], 1, &to);
	assert_int_equal(bed_poll(b.cq).status, IBV_WC_SUCCESS);
	await_event(&b, IBV_EVENT_SQ_DRAINED, b.qp[0]);
	assert_int_equal(ibv_query_qp(b.qp[0], &a, IBV_QP_STATE, &init), 0);
	assert_false(a.sq_draining);
	bed_end(&b);
}

static void the_last_request_of_a_shared_queue_is_told_of(void **state)
{
	struct ibv_srq_init_attr init = { .attr = { .max_wr = 16, .max_sge = 1 } };
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_ERR };
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
	assert_int_equal(ibv_modify_qp(b.qp[1], &a, IBV_QP_STATE), 0);
	await_event(&b, IBV_EVENT_QP_LAST_WQE_REACHED, b.qp[1]);
	assert_int_equal(ibv_destroy_qp(b.qp[1]), 0);
	b.qp[1] = NULL;
	assert_int_equal(ibv_destroy_srq(srq), 0);
	bed_end(&b);
}

/* --- paths --- */

/* A flow label has 20 bits, and UCX sets 32. */
static void a_flow_label_is_cut(void **state)
{
	struct ibv_ah_attr path;
	struct ibv_ah *ah;
	struct bed b;

	(void)state;
	bed_begin(&b);
	path = bed_path(b.ctx);
	path.grh.flow_label = UINT32_MAX;
	ah = ibv_create_ah(b.pd, &path);
	assert_non_null(ah);
	assert_int_equal(ibv_destroy_ah(ah), 0);
	bed_end(&b);
}

/* --- what is counted --- */

/* As 'softhca status' reads it. The test is alone in its fabric. */
static struct hca_fabric_count counted(uint32_t qpn)
{
	struct hca_fabric_count c = { 0 };
	struct hca_fabric_node head;
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/node.%u", fabric, qpn >> HCA_FABRIC_QPN_BITS);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &head, sizeof(head), 0), sizeof(head));
	assert_int_equal(pread(fd, &c, sizeof(c), (off_t)(head.counts + (qpn & (head.qp_slots - 1)) * sizeof(c))),
			 sizeof(c));
	close(fd);
	assert_int_equal(c.qpn, qpn);
	return c;
}

static void what_a_program_polls_is_counted(void **state)
{
	struct ibv_sge from, to;
	struct ibv_send_wr wr = {
		.sg_list = &from, .num_sge = 1, .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED
	};
	struct hca_fabric_count c;
	struct bed b;
	int i;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	from = bed_sge(&b, 0, 0, 100);
	to = bed_sge(&b, 1, 0, 200);
	for (i = 0; i < 3; i++)
		bed_recv(b.qp[1], 1, &to);
	for (i = 0; i < 2; i++)
		bed_post(b.qp[0], &wr);
	for (i = 0; i < 4; i++)
		assert_int_equal(bed_poll(b.cq).status, IBV_WC_SUCCESS);
	c = counted(b.qp[0]->qp_num);
	assert_int_equal(c.requests, 2);
	assert_int_equal(c.bytes, 200);
	assert_int_equal(c.received, 0);
	c = counted(b.qp[1]->qp_num);
	assert_int_equal(c.requests, 0);
	assert_int_equal(c.received, 2);
	assert_int_equal(c.received_bytes, 200);
	/* An error of the one; the other end's receive is flushed, which is none. */
	assert_int_equal(bed_rdma(&b, IBV_WR_RDMA_WRITE, from, (uintptr_t)b.mem[1], b.mr[1]->rkey ^ 1).status,
			 IBV_WC_REM_ACCESS_ERR);
	assert_int_equal(bed_poll(b.cq).status, IBV_WC_WR_FLUSH_ERR);
	assert_int_equal(counted(b.qp[0]->qp_num).errors, 1);
	assert_int_equal(counted(b.qp[1]->qp_num).errors, 0);
	bed_end(&b);
}

/* Nothing may be left in it. */
static int expect_empty(void **state)
{
	(void)state;
	return rmdir(fabric);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bad_request_in_the_middle_of_a_list),
		cmocka_unit_test(posts_in_the_wrong_state),
		cmocka_unit_test(a_resized_queue_keeps_what_is_in_it),
		cmocka_unit_test(all_attributes_are_those_that_were_set),
		cmocka_unit_test(the_first_message_in_rtr_is_told_of),
		cmocka_unit_test(a_drained_send_queue_is_told_of),
		cmocka_unit_test(the_last_request_of_a_shared_queue_is_told_of),
		cmocka_unit_test(a_flow_label_is_cut),
		cmocka_unit_test(what_a_program_polls_is_counted),
	};

	return cmocka_run_group_tests(tests, make_fabric, expect_empty);
}
