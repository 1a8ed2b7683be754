/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Messages of extended reliable connections in the drop-in libibverbs: which queue they go to, how they are built, and what
 * is told of them. Between two processes: shim_programs.sh.
 */
#include "shim_xrc_fixture.h"

/* --- messages --- */

/* What comes over one connection goes to the queue that it names, in whichever context that is (IBTA annex A14). */
static void a_message_names_its_queue(void **state)
{
	struct side *r = &side[RECEIVER], *o = &side[OTHER];
	struct ibv_wc wc;

	(void)state;
	assert_int_not_equal(r->number, o->number);
	give(r, 1, 100, 64);
	give(o, 2, 200, 64);
	send_to(o->number, 48, 0, IBV_WC_SUCCESS);
	assert_int_equal(ibv_poll_cq(r->cq, 1, &wc), 0);
	wc = bed_poll(o->cq);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(wc.opcode, IBV_WC_RECV);
	assert_int_equal(wc.wr_id, 2);
	assert_int_equal(wc.qp_num, tgt->qp_num);
	assert_int_equal(wc.src_qp, ini->qp_num);
	assert_int_equal(wc.byte_len, 48);
	assert_int_equal(wc.wc_flags, IBV_WC_WITH_IMM);
	assert_int_equal(wc.imm_data, 0x1234);
	assert_memory_equal(o->mem + 200, side[SENDER].mem, 48);
	assert_int_equal(o->mem[248], 0x10 + OTHER);
	send_to(r->number, 64, IBV_SEND_INLINE, IBV_WC_SUCCESS);
	expect(r, 1);
	assert_memory_equal(r->mem + 100, side[SENDER].mem, 64);
}

/* The keys that count are those of the named queue's PD. */
static void one_sided(void **state)
{
	struct side *s = &side[SENDER], *r = &side[RECEIVER];
	struct ibv_sge sge = at(s, 0, 8);
	struct ibv_send_wr wr = request(IBV_WR_RDMA_WRITE, &sge, r->number);
	uint64_t word = 40;

	(void)state;
	wr.wr.rdma.remote_addr = (uintptr_t)r->mem + 512;
	wr.wr.rdma.rkey = r->mr->rkey;
	bed_post(ini, &wr);
	assert_int_equal(bed_poll(s->cq).status, IBV_WC_SUCCESS);
	assert_memory_equal(r->mem + 512, s->mem, 8);
	memcpy(r->mem + 512, &word, 8);
	wr.opcode = IBV_WR_RDMA_READ;
	bed_post(ini, &wr);
	assert_int_equal(bed_poll(s->cq).status, IBV_WC_SUCCESS);
	assert_memory_equal(s->mem, &word, 8);
	wr.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD;
	wr.wr.atomic.compare_add = 2;
	wr.wr.atomic.rkey = r->mr->rkey;
	bed_post(ini, &wr);
	assert_int_equal(bed_poll(s->cq).status, IBV_WC_SUCCESS);
	word = 42;
	assert_memory_equal(r->mem + 512, &word, 8);
	wr.opcode = IBV_WR_RDMA_WRITE;
	wr.wr.rdma.rkey = side[OTHER].mr->rkey;
	wr.wr.rdma.remote_addr = (uintptr_t)side[OTHER].mem;
	bed_post(ini, &wr);
	assert_int_equal(bed_poll(s->cq).status, IBV_WC_REM_ACCESS_ERR);
}

static void a_number_of_no_queue(void **state)
{
	(void)state;
	give(&side[RECEIVER], 1, 0, 64);
	send_to(side[OTHER].number + 1, 8, 0, IBV_WC_REM_INV_REQ_ERR);
}

static void a_queue_of_another_domain(void **state)
{
	struct side *o = &side[OTHER];

	(void)state;
	assert_int_equal(ibv_destroy_srq(o->srq), 0);
	assert_int_equal(ibv_close_xrcd(o->xrcd), 0);
	assert_non_null(o->xrcd = open_domain(o, -1, O_CREAT));
	make_srq(o);
	give(o, 1, 0, 64);
	send_to(o->number, 8, 0, IBV_WC_REM_INV_REQ_ERR);
}

static void posts_that_cannot_be(void **state)
{
	struct ibv_sge sge = at(&side[SENDER], 0, 8);
	struct ibv_send_wr wr = request(IBV_WR_SEND, &sge, side[RECEIVER].number), *bad = NULL;
	struct ibv_recv_wr recv = { .sg_list = &sge, .num_sge = 1 }, *bad_recv = NULL;

	(void)state;
	assert_int_equal(ibv_post_send(tgt, &wr, &bad), EINVAL);
	assert_ptr_equal(bad, &wr);
	assert_int_equal(ibv_post_recv(tgt, &recv, &bad_recv), EINVAL);
	assert_int_equal(ibv_post_recv(ini, &recv, &bad_recv), EINVAL);
	assert_ptr_equal(bad_recv, &recv);
	assert_null(ibv_qp_to_qp_ex(tgt));
}

/* --- builders, and extended completion queues --- */

static void builders(void **state)
{
	struct ibv_qp_init_attr_ex a = ini_attr(&side[SENDER]);
	struct side *r = &side[RECEIVER];
	struct ibv_qp_ex *ex;
	struct ibv_qp *qp;

	(void)state;
	a.comp_mask |= IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
	a.send_ops_flags = IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_READ |
			   IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD;
	assert_non_null(qp = ibv_create_qp_ex(side[SENDER].ctx, &a));
	assert_non_null(ex = ibv_qp_to_qp_ex(qp));
	assert_int_equal(step(tgt, IBV_QPS_RESET, 0, IBV_QP_STATE), 0);
	connect_to(qp, tgt->qp_num);
	connect_to(tgt, qp->qp_num);
	give(r, 1, 0, 64);
	give(&side[OTHER], 2, 0, 64);
	ibv_wr_start(ex);
	ex->wr_id = 5;
	ex->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_rdma_write(ex, r->mr->rkey, (uintptr_t)r->mem + 1000);
	ibv_wr_set_xrc_srqn(ex, r->number);
	ibv_wr_set_sge(ex, side[SENDER].mr->lkey, (uintptr_t)side[SENDER].mem, 16);
	ibv_wr_send(ex);
	ibv_wr_set_xrc_srqn(ex, side[OTHER].number);
	ibv_wr_set_sge(ex, side[SENDER].mr->lkey, (uintptr_t)side[SENDER].mem, 16);
	assert_int_equal(ibv_wr_complete(ex), 0);
	assert_int_equal(bed_poll(side[SENDER].cq).status, IBV_WC_SUCCESS);
	assert_int_equal(bed_poll(side[SENDER].cq).status, IBV_WC_SUCCESS);
	assert_memory_equal(r->mem + 1000, side[SENDER].mem, 16);
	expect(&side[OTHER], 2);
	assert_int_equal(ibv_destroy_qp(qp), 0);
}

static void builders_of_an_ordinary_queue_pair(void **state)
{
	struct ibv_qp_init_attr_ex a = ini_attr(&side[SENDER]);
	struct ibv_qp_ex *ex;
	struct ibv_qp *qp;

	(void)state;
	a.qp_type = IBV_QPT_RC;
	a.recv_cq = a.send_cq;
	a.comp_mask |= IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
	a.send_ops_flags = IBV_QP_EX_WITH_SEND;
	assert_non_null(qp = ibv_create_qp_ex(side[SENDER].ctx, &a));
	ex = ibv_qp_to_qp_ex(qp);
	ibv_wr_start(ex);
	ibv_wr_send(ex);
	ibv_wr_set_xrc_srqn(ex, 1);
	assert_int_equal(ibv_wr_complete(ex), EINVAL);
	assert_int_equal(ibv_destroy_qp(qp), 0);
}

static void an_extended_completion_queue(void **state)
{
	struct ibv_cq_init_attr_ex want = { .cqe = 8, .wc_flags = IBV_WC_STANDARD_FLAGS };
	struct ibv_poll_cq_attr none = { 0 };
	struct side *r = &side[RECEIVER];
	struct ibv_srq_init_attr_ex a = srq_attr(r);
	struct ibv_cq_ex *cq = ibv_create_cq_ex(r->ctx, &want);
	struct ibv_srq *first = r->srq;

	(void)state;
	assert_non_null(cq);
	a.cq = ibv_cq_ex_to_cq(cq);
	assert_non_null(r->srq = ibv_create_srq_ex(r->ctx, &a));
	assert_int_equal(ibv_get_srq_num(r->srq, &r->number), 0);
	give(r, 9, 0, 64);
	send_to(r->number, 24, 0, IBV_WC_SUCCESS);
	while (ibv_start_poll(cq, &none))
		;
	assert_int_equal(cq->status, IBV_WC_SUCCESS);
	assert_int_equal(cq->wr_id, 9);
	assert_int_equal(ibv_wc_read_opcode(cq), IBV_WC_RECV);
	assert_int_equal(ibv_wc_read_byte_len(cq), 24);
	assert_int_equal(ibv_wc_read_qp_num(cq), tgt->qp_num);
	assert_int_equal(ibv_wc_read_src_qp(cq), ini->qp_num);
	assert_int_equal(ibv_wc_read_imm_data(cq), 0x1234);
	assert_int_equal(ibv_next_poll(cq), ENOENT);
	ibv_end_poll(cq);
	assert_int_equal(ibv_destroy_srq(r->srq), 0);
	assert_int_equal(ibv_destroy_cq(ibv_cq_ex_to_cq(cq)), 0);
	r->srq = first;
}

/* --- events --- */

static void an_event_of_the_queues_completions(void **state)
{
	struct side *r = &side[RECEIVER];
	struct ibv_cq *cq;
	void *context;

	(void)state;
	give(r, 1, 0, 64);
	give(r, 2, 0, 64);
	assert_int_equal(ibv_req_notify_cq(r->cq, 1), 0);
	send_to(r->number, 8, 0, IBV_WC_SUCCESS);
	expect(r, 1);
	assert_false(readable(r->channel->fd));
	send_to(r->number, 8, IBV_SEND_SOLICITED, IBV_WC_SUCCESS);
	assert_int_equal(ibv_get_cq_event(r->channel, &cq, &context), 0);
	assert_ptr_equal(cq, r->cq);
	assert_ptr_equal(context, r);
	ibv_ack_cq_events(cq, 1);
	expect(r, 2);
}

static void take_async(struct ibv_context *ctx, enum ibv_event_type type, const void *object)
{
	struct ibv_async_event e;

	assert_int_equal(ibv_get_async_event(ctx, &e), 0);
	assert_int_equal(e.event_type, type);
	assert_ptr_equal(e.element.qp, object);
	ibv_ack_async_event(&e);
}

/* IBTA 10.2.9.3 */
static void a_limit_that_is_reached(void **state)
{
	struct side *r = &side[RECEIVER];
	struct ibv_srq_attr a = { .srq_limit = 2 };

	(void)state;
	give(r, 1, 0, 64);
	give(r, 2, 0, 64);
	assert_int_equal(ibv_modify_srq(r->srq, &a, IBV_SRQ_LIMIT), 0);
	send_to(r->number, 8, 0, IBV_WC_SUCCESS);
	expect(r, 1);
	take_async(r->ctx, IBV_EVENT_SRQ_LIMIT_REACHED, r->srq);
	assert_int_equal(ibv_query_srq(r->srq, &a), 0);
	assert_int_equal(a.srq_limit, 0);
	assert_int_equal(a.max_wr, 16);
	assert_false(readable(r->ctx->async_fd));
}

/* As in Linux (drivers/infiniband/core/verbs.c, __ib_shared_qp_event_handler). */
static void each_handle_is_told(void **state)
{
	struct ibv_qp *handle = open_target(&side[OTHER], tgt->qp_num);

	(void)state;
	assert_non_null(handle);
	assert_int_equal(step(tgt, IBV_QPS_ERR, 0, IBV_QP_STATE), 0);
	take_async(side[RECEIVER].ctx, IBV_EVENT_QP_LAST_WQE_REACHED, tgt);
	take_async(side[OTHER].ctx, IBV_EVENT_QP_LAST_WQE_REACHED, handle);
	assert_false(readable(side[RECEIVER].ctx->async_fd));
	assert_false(readable(side[SENDER].ctx->async_fd));
	assert_int_equal(ibv_destroy_qp(handle), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_message_names_its_queue),
		TEST(one_sided),
		TEST(a_number_of_no_queue),
		TEST(a_queue_of_another_domain),
		TEST(posts_that_cannot_be),
		TEST(builders),
		TEST(builders_of_an_ordinary_queue_pair),
		TEST(an_extended_completion_queue),
		TEST(an_event_of_the_queues_completions),
		TEST(a_limit_that_is_reached),
		TEST(each_handle_is_told),
	};

	return cmocka_run_group_tests(tests, make_fabric, remove_fabric);
}
