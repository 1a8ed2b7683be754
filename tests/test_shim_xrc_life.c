/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The objects of extended reliable connections in the drop-in libibverbs: what they are made with, what is refused, which
 * handles stand for the same thing, and how they end.
 */
#include "shim_xrc_fixture.h"

#include <sys/wait.h>

/* --- domains --- */

static bool same_domain(struct side *s, struct ibv_xrcd *x)
{
	struct ibv_qp_open_attr a = open_attr(s, tgt->qp_num);
	struct ibv_qp *qp;

	a.xrcd = x;
	qp = ibv_open_qp(s->ctx, &a);
	if (qp)
		assert_int_equal(ibv_destroy_qp(qp), 0);
	return qp;
}

/* Each ends the handle that it was given. */
static void is_the_domain(struct side *s, struct ibv_xrcd *x, bool yes)
{
	assert_non_null(x);
	assert_int_equal(same_domain(s, x), yes);
	assert_int_equal(ibv_close_xrcd(x), 0);
}

static void refused(struct ibv_xrcd *x, int err)
{
	assert_null(x);
	assert_int_equal(errno, err);
}

/* ibv_open_xrcd(3); drivers/infiniband/core/uverbs_cmd.c, ib_uverbs_open_xrcd */
static void which_file_names_which_domain(void **state)
{
	int copy = dup(file), empty = memfd_create("empty", MFD_CLOEXEC);
	struct side *s = &side[OTHER];

	(void)state;
	is_the_domain(s, open_domain(s, file, 0), true);
	is_the_domain(s, open_domain(s, copy, O_CREAT), true);
	is_the_domain(s, open_domain(s, -1, O_CREAT), false);
	is_the_domain(s, open_domain(s, -1, 0), false);
	refused(open_domain(s, empty, 0), EAGAIN);
	is_the_domain(s, open_domain(s, empty, O_CREAT | O_EXCL), false);
	refused(open_domain(s, empty, 0), EAGAIN); /* it went with its handle */
	refused(open_domain(s, file, O_CREAT | O_EXCL), EINVAL);
	refused(open_domain(s, 999, O_CREAT), EBADF);
	close(copy);
	close(empty);
}

/* Of a file system that gives a removed file's number to the next one. */
static int nameless_file(void)
{
	char name[] = "/tmp/softhca-xrc-XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	return fd;
}

/* The file stays as long as the domain, though the program has removed and closed it: no other file is taken for it. */
static void a_file_that_is_gone(void **state)
{
	struct side *s = &side[OTHER];
	struct ibv_xrcd *x;
	int i, fd;

	(void)state;
	fd = nameless_file();
	assert_non_null(x = open_domain(s, fd, O_CREAT));
	close(fd);
	for (i = 0; i < 20; i++) {
		fd = nameless_file();
		refused(open_domain(s, fd, 0), EAGAIN);
		close(fd);
	}
	assert_int_equal(ibv_close_xrcd(x), 0);
}

static void masks_of_a_domain(void **state)
{
	struct ibv_xrcd_init_attr a = { .comp_mask = IBV_XRCD_INIT_ATTR_FD, .fd = -1, .oflags = O_CREAT };
	struct side *s = &side[OTHER];

	(void)state;
	refused(ibv_open_xrcd(s->ctx, &a), EINVAL);
	a.comp_mask = IBV_XRCD_INIT_ATTR_OFLAGS;
	refused(ibv_open_xrcd(s->ctx, &a), EINVAL);
	a.comp_mask = IBV_XRCD_INIT_ATTR_FD | IBV_XRCD_INIT_ATTR_OFLAGS | IBV_XRCD_INIT_ATTR_RESERVED;
	refused(ibv_open_xrcd(s->ctx, &a), EOPNOTSUPP);
}

/* --- shared receive queues --- */

static void no_srq(const struct ibv_srq_init_attr_ex *a)
{
	struct ibv_srq_init_attr_ex copy = *a;

	errno = 0;
	assert_null(ibv_create_srq_ex(side[RECEIVER].ctx, &copy));
	assert_int_equal(errno, EINVAL);
}

static void queues_that_cannot_be(void **state)
{
	const struct ibv_srq_init_attr_ex good = srq_attr(&side[RECEIVER]);
	struct ibv_srq_init_attr plain = { .attr = { .max_wr = 4, .max_sge = 1 } };
	struct ibv_srq_init_attr_ex a = good;
	struct ibv_srq *srq;
	uint32_t number;

	(void)state;
	a.comp_mask &= ~(uint32_t)IBV_SRQ_INIT_ATTR_XRCD;
	no_srq(&a);
	a.comp_mask = good.comp_mask & ~(uint32_t)IBV_SRQ_INIT_ATTR_CQ;
	no_srq(&a);
	a.comp_mask = good.comp_mask & ~(uint32_t)IBV_SRQ_INIT_ATTR_PD;
	no_srq(&a);
	a = good;
	a.xrcd = NULL;
	no_srq(&a);
	a.xrcd = side[OTHER].xrcd; /* a handle of another context */
	no_srq(&a);
	a = good;
	a.cq = side[OTHER].cq;
	no_srq(&a);
	a.cq = NULL;
	no_srq(&a);
	a = good;
	a.attr.max_wr = 1u << 30;
	no_srq(&a);
	assert_non_null(srq = ibv_create_srq(side[RECEIVER].pd, &plain));
	assert_int_equal(ibv_get_srq_num(srq, &number), EINVAL);
	assert_int_equal(ibv_destroy_srq(srq), 0);
}

/* --- queue pairs --- */

static void no_qp(const struct ibv_qp_init_attr_ex *a, int err)
{
	struct ibv_qp_init_attr_ex copy = *a;

	errno = 0;
	assert_null(ibv_create_qp_ex(side[RECEIVER].ctx, &copy));
	assert_int_equal(errno, err);
}

static void queue_pairs_that_cannot_be(void **state)
{
	struct ibv_qp_init_attr_ex a;

	(void)state;
	a = tgt_attr(&side[RECEIVER]);
	a.comp_mask = 0;
	no_qp(&a, EINVAL);
	a = tgt_attr(&side[RECEIVER]);
	a.xrcd = NULL;
	no_qp(&a, EINVAL);
	a.xrcd = side[OTHER].xrcd; /* a handle of another context */
	no_qp(&a, EINVAL);
	a = tgt_attr(&side[RECEIVER]);
	a.comp_mask |= IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
	no_qp(&a, EOPNOTSUPP);
	a = ini_attr(&side[RECEIVER]);
	a.send_cq = NULL;
	no_qp(&a, EINVAL);
	a = ini_attr(&side[RECEIVER]);
	a.comp_mask |= IBV_QP_INIT_ATTR_XRCD;
	no_qp(&a, EOPNOTSUPP);
	a = ini_attr(&side[RECEIVER]);
	a.qp_type = IBV_QPT_RC; /* a queue with a number is for targets */
	a.recv_cq = a.send_cq;
	a.srq = side[RECEIVER].srq;
	no_qp(&a, EINVAL);
}

/* What a queue pair doesn't have is not looked at (drivers/infiniband/core/uverbs_cmd.c, create_qp). */
static void what_is_not_looked_at(void **state)
{
	struct ibv_qp_init_attr_ex a = ini_attr(&side[RECEIVER]);
	struct ibv_qp *qp;

	(void)state;
	a.recv_cq = a.send_cq;
	a.cap.max_recv_wr = 100;
	a.cap.max_recv_sge = 1;
	assert_non_null(qp = ibv_create_qp_ex(side[RECEIVER].ctx, &a));
	assert_int_equal(a.cap.max_recv_wr, 0);
	assert_int_equal(a.cap.max_recv_sge, 0);
	assert_int_equal(ibv_destroy_qp(qp), 0);
	a = tgt_attr(&side[RECEIVER]);
	a.comp_mask |= IBV_QP_INIT_ATTR_PD;
	a.pd = side[RECEIVER].pd;
	a.send_cq = side[RECEIVER].cq;
	a.cap.max_send_wr = 100;
	assert_non_null(qp = ibv_create_qp_ex(side[RECEIVER].ctx, &a));
	assert_int_equal(a.cap.max_send_wr, 0);
	assert_int_equal(ibv_destroy_qp(qp), 0);
}

/* Attributes of the side that a queue pair doesn't have count for nothing (uverbs_cmd.c, modify_qp_mask); others must be right. */
static void masks_of_states(void **state)
{
	struct ibv_qp_init_attr_ex a = ini_attr(&side[RECEIVER]);
	struct ibv_qp *in = ibv_create_qp_ex(side[RECEIVER].ctx, &a), *out = make_target(&side[RECEIVER]);

	(void)state;
	assert_non_null(in);
	assert_int_equal(step(in, IBV_QPS_INIT, 0, INIT_MASK & ~IBV_QP_ACCESS_FLAGS), EINVAL);
	assert_int_equal(step(out, IBV_QPS_INIT, 0, INIT_MASK | IBV_QP_QKEY), EINVAL);
	assert_int_equal(step(in, IBV_QPS_INIT, 0, INIT_MASK), 0);
	assert_int_equal(step(out, IBV_QPS_INIT, 0, INIT_MASK), 0);
	assert_int_equal(step(in, IBV_QPS_RTR, out->qp_num, PATH_MASK & ~IBV_QP_RQ_PSN), EINVAL);
	assert_int_equal(step(in, IBV_QPS_RTR, out->qp_num, PATH_MASK | RESPONDER_MASK), 0);
	assert_int_equal(step(out, IBV_QPS_RTR, in->qp_num, PATH_MASK), EINVAL);
	assert_int_equal(step(out, IBV_QPS_RTR, in->qp_num, PATH_MASK | RESPONDER_MASK), 0);
	assert_int_equal(step(in, IBV_QPS_RTS, 0, RTS_MASK), EINVAL);
	assert_int_equal(step(in, IBV_QPS_RTS, 0, RTS_MASK | REQUESTER_MASK), 0);
	assert_int_equal(step(out, IBV_QPS_RTS, 0, RTS_MASK & ~IBV_QP_TIMEOUT), EINVAL);
	assert_int_equal(step(out, IBV_QPS_RTS, 0, RTS_MASK | REQUESTER_MASK), 0);
	assert_int_equal(ibv_destroy_qp(in), 0);
	assert_int_equal(ibv_destroy_qp(out), 0);
}

static void what_is_told_of_a_queue_pair(void **state)
{
	struct ibv_ah_attr path = bed_path(side[SENDER].ctx);
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr a;

	(void)state;
	assert_int_equal(ibv_query_qp(ini, &a, IBV_QP_STATE, &init), 0);
	assert_int_equal(a.qp_state, IBV_QPS_RTS);
	assert_int_equal(a.dest_qp_num, tgt->qp_num);
	assert_int_equal(a.max_rd_atomic, 4);
	assert_int_equal(a.cap.max_send_wr, 16);
	assert_int_equal(init.qp_type, IBV_QPT_XRC_SEND);
	assert_ptr_equal(init.qp_context, &ini);
	assert_ptr_equal(init.send_cq, side[SENDER].cq);
	assert_null(init.recv_cq);
	assert_int_equal(ibv_query_qp(tgt, &a, IBV_QP_STATE, &init), 0);
	assert_int_equal(a.qp_state, IBV_QPS_RTS);
	assert_int_equal(a.dest_qp_num, ini->qp_num);
	assert_int_equal(a.max_dest_rd_atomic, 4);
	assert_int_equal(a.cap.max_send_wr, 0);
	assert_memory_equal(&a.ah_attr.grh.dgid, &path.grh.dgid, sizeof(path.grh.dgid));
	assert_int_equal(init.qp_type, IBV_QPT_XRC_RECV);
	assert_null(init.send_cq);
	assert_null(init.recv_cq);
	assert_null(init.srq);
	assert_null(tgt->pd);
}

static void not_opened(const struct ibv_qp_open_attr *a, int err)
{
	struct ibv_qp_open_attr copy = *a;

	errno = 0;
	assert_null(ibv_open_qp(side[OTHER].ctx, &copy));
	assert_int_equal(errno, err);
}

/* Two handles are one queue pair, which ends with the last of them (drivers/infiniband/core/verbs.c, ib_open_qp). */
static void a_target_that_is_opened(void **state)
{
	uint32_t number = tgt->qp_num;
	struct ibv_qp *handle = open_target(&side[OTHER], number);
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr a;

	(void)state;
	assert_non_null(handle);
	assert_int_equal(handle->qp_num, number);
	assert_int_equal(handle->state, IBV_QPS_RTS);
	assert_ptr_equal(handle->qp_context, &side[OTHER]);
	assert_ptr_equal(handle->context, side[OTHER].ctx);
	assert_int_equal(ibv_query_qp(handle, &a, IBV_QP_STATE, &init), 0);
	assert_int_equal(a.dest_qp_num, ini->qp_num);
	assert_int_equal(a.ah_attr.is_global, 1);
	assert_int_equal(ibv_close_xrcd(side[OTHER].xrcd), EBUSY);
	assert_int_equal(ibv_destroy_qp(tgt), 0);
	tgt = handle;
	give(&side[RECEIVER], 3, 0, 64);
	send_to(side[RECEIVER].number, 8, 0, IBV_WC_SUCCESS);
	expect(&side[RECEIVER], 3);
	assert_int_equal(step(handle, IBV_QPS_RESET, 0, IBV_QP_STATE), 0);
	connect_to(handle, ini->qp_num);
	assert_non_null(tgt = open_target(&side[RECEIVER], number));
	assert_int_equal(ibv_query_qp(tgt, &a, IBV_QP_STATE, &init), 0);
	assert_int_equal(a.qp_state, IBV_QPS_RTS);
	assert_int_equal(a.ah_attr.is_global, 1);
	assert_int_equal(ibv_destroy_qp(handle), 0);
	assert_int_equal(ibv_destroy_qp(tgt), 0);
	tgt = NULL;
	assert_null(open_target(&side[OTHER], number));
	assert_int_equal(errno, EINVAL);
}

static void targets_that_are_not_opened(void **state)
{
	const struct ibv_qp_open_attr good = open_attr(&side[OTHER], tgt->qp_num);
	struct ibv_qp_open_attr a = good;

	(void)state;
	a.qp_num = ini->qp_num;
	not_opened(&a, EINVAL);
	a = good;
	a.qp_type = IBV_QPT_XRC_SEND;
	not_opened(&a, EINVAL);
	a = good;
	a.xrcd = side[RECEIVER].xrcd; /* a handle of another context */
	not_opened(&a, EINVAL);
	a = good;
	a.comp_mask &= ~(uint32_t)IBV_QP_OPEN_ATTR_TYPE;
	not_opened(&a, EINVAL);
	a.comp_mask = good.comp_mask & ~(uint32_t)IBV_QP_OPEN_ATTR_XRCD;
	not_opened(&a, EINVAL);
	a.comp_mask = good.comp_mask & ~(uint32_t)IBV_QP_OPEN_ATTR_NUM;
	not_opened(&a, EINVAL);
	a.comp_mask = good.comp_mask | IBV_QP_OPEN_ATTR_RESERVED;
	not_opened(&a, EOPNOTSUPP);
}

/* --- ends --- */

static void what_is_used_stays(void **state)
{
	struct side *r = &side[RECEIVER];
	struct ibv_wc wc;

	(void)state;
	assert_int_equal(ibv_close_xrcd(r->xrcd), EBUSY); /* a target and a queue */
	assert_int_equal(ibv_destroy_cq(r->cq), EBUSY);
	assert_int_equal(ibv_dealloc_pd(r->pd), EBUSY);
	assert_int_equal(ibv_destroy_qp(tgt), 0);
	assert_int_equal(ibv_close_xrcd(r->xrcd), EBUSY); /* a queue */
	tgt = make_target(r);
	assert_int_equal(step(ini, IBV_QPS_RESET, 0, IBV_QP_STATE), 0);
	connect_to(ini, tgt->qp_num);
	connect_to(tgt, ini->qp_num);
	give(r, 1, 0, 64);
	send_to(r->number, 8, 0, IBV_WC_SUCCESS);
	assert_int_equal(ibv_destroy_srq(r->srq), 0);
	r->srq = NULL;
	assert_int_equal(ibv_poll_cq(r->cq, 1, &wc), 0); /* its completions went with it */
	assert_int_equal(ibv_close_xrcd(r->xrcd), EBUSY); /* a target */
	assert_int_equal(ibv_destroy_qp(tgt), 0);
	assert_int_equal(ibv_close_xrcd(r->xrcd), 0);
	assert_int_equal(ibv_close_xrcd(r->xrcd), EINVAL);
	r->xrcd = NULL;
	tgt = NULL;
}

/* A queue pair that another context has opened stays, with the domain, and its queues there. */
static void a_context_that_is_closed(void **state)
{
	struct ibv_qp *handle = open_target(&side[OTHER], tgt->qp_num);
	struct side *r = &side[RECEIVER];

	(void)state;
	assert_non_null(handle);
	give(r, 1, 0, 64);
	send_to(r->number, 8, 0, IBV_WC_SUCCESS);
	assert_int_equal(ibv_close_device(r->ctx), 0); /* with all that it has */
	tgt = handle;
	give(&side[OTHER], 2, 0, 64);
	send_to(side[OTHER].number, 8, 0, IBV_WC_SUCCESS);
	expect(&side[OTHER], 2);
	free(r->mem);
	memset(r, 0, sizeof(*r));
	open_side(r);
	assert_true(same_domain(r, r->xrcd));
}

/* A child's domains are its own. */
static void a_forked_child(void **state)
{
	int status = 0;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (!pid) {
		struct side s = { .ctx = side[OTHER].ctx };
		struct ibv_xrcd *x;

		if (open_domain(&s, file, 0) || errno != EAGAIN)
			_exit(1);
		x = open_domain(&s, file, O_CREAT);
		_exit(!x || ibv_close_xrcd(x) || !ibv_close_xrcd(side[OTHER].xrcd) ? 2 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(same_domain(&side[OTHER], side[OTHER].xrcd));
}

static void what_the_device_can_do(void **state)
{
	struct ibv_device_attr_ex ex;
	struct ibv_device_attr a;

	(void)state;
	assert_int_equal(ibv_query_device(side[SENDER].ctx, &a), 0);
	assert_true(a.device_cap_flags & IBV_DEVICE_XRC);
	assert_int_equal(ibv_query_device_ex(side[SENDER].ctx, NULL, &ex), 0);
	assert_true(ex.xrc_odp_caps & IBV_ODP_SUPPORT_SEND);
	assert_true(ex.xrc_odp_caps & IBV_ODP_SUPPORT_SRQ_RECV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(which_file_names_which_domain),
		TEST(a_file_that_is_gone),
		TEST(masks_of_a_domain),
		TEST(queues_that_cannot_be),
		TEST(queue_pairs_that_cannot_be),
		TEST(what_is_not_looked_at),
		TEST(masks_of_states),
		TEST(what_is_told_of_a_queue_pair),
		TEST(a_target_that_is_opened),
		TEST(targets_that_are_not_opened),
		TEST(what_is_used_stays),
		TEST(a_context_that_is_closed),
		TEST(a_forked_child),
		TEST(what_the_device_can_do),
	};

	return cmocka_run_group_tests(tests, make_fabric, remove_fabric);
}
