/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the tests of the drop-in's XRC share: one process with three contexts. One sends; two receive, each by a shared receive
 * queue of its own, in one domain that a file names.
 */
#ifndef SHIM_XRC_FIXTURE_H
#define SHIM_XRC_FIXTURE_H

#include "shim_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

#define SENDER 0
#define RECEIVER 1
#define OTHER 2 /* opens the receiver's domain too */
#define SIDES 3

struct side {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	uint8_t *mem;
	struct ibv_mr *mr;
	struct ibv_xrcd *xrcd;
	struct ibv_srq *srq;
	uint32_t number;
};

static struct side side[SIDES];
static struct ibv_qp *ini, *tgt;
static int file;

/* --- objects --- */

static inline struct ibv_xrcd *open_domain(struct side *s, int fd, int oflags)
{
	struct ibv_xrcd_init_attr a = { .comp_mask = IBV_XRCD_INIT_ATTR_FD | IBV_XRCD_INIT_ATTR_OFLAGS,
					.fd = fd,
					.oflags = oflags };

	return ibv_open_xrcd(s->ctx, &a);
}

static inline struct ibv_srq_init_attr_ex srq_attr(const struct side *s)
{
	return (struct ibv_srq_init_attr_ex){
		.srq_context = (void *)s,
		.attr = { .max_wr = 16, .max_sge = 2 },
		.comp_mask = IBV_SRQ_INIT_ATTR_TYPE | IBV_SRQ_INIT_ATTR_PD | IBV_SRQ_INIT_ATTR_XRCD |
			     IBV_SRQ_INIT_ATTR_CQ,
		.srq_type = IBV_SRQT_XRC,
		.pd = s->pd,
		.xrcd = s->xrcd,
		.cq = s->cq,
	};
}

static inline void make_srq(struct side *s)
{
	struct ibv_srq_init_attr_ex a = srq_attr(s);

	assert_non_null(s->srq = ibv_create_srq_ex(s->ctx, &a));
	assert_int_equal(ibv_get_srq_num(s->srq, &s->number), 0);
	assert_int_not_equal(s->number, 0);
}

static inline struct ibv_qp_init_attr_ex ini_attr(const struct side *s)
{
	return (struct ibv_qp_init_attr_ex){
		.qp_context = &ini,
		.send_cq = s->cq,
		.cap = { .max_send_wr = 16, .max_send_sge = 4, .max_inline_data = 64 },
		.qp_type = IBV_QPT_XRC_SEND,
		.comp_mask = IBV_QP_INIT_ATTR_PD,
		.pd = s->pd,
	};
}

static inline struct ibv_qp_init_attr_ex tgt_attr(const struct side *s)
{
	return (struct ibv_qp_init_attr_ex){
		.qp_context = &tgt, .qp_type = IBV_QPT_XRC_RECV, .comp_mask = IBV_QP_INIT_ATTR_XRCD, .xrcd = s->xrcd
	};
}

static inline struct ibv_qp *make_target(struct side *s)
{
	struct ibv_qp_init_attr_ex a = tgt_attr(s);
	struct ibv_qp *qp = ibv_create_qp_ex(s->ctx, &a);

	assert_non_null(qp);
	return qp;
}

static inline struct ibv_qp_open_attr open_attr(const struct side *s, uint32_t number)
{
	return (struct ibv_qp_open_attr){
		.comp_mask = IBV_QP_OPEN_ATTR_NUM | IBV_QP_OPEN_ATTR_XRCD | IBV_QP_OPEN_ATTR_CONTEXT |
			     IBV_QP_OPEN_ATTR_TYPE,
		.qp_num = number,
		.xrcd = s->xrcd,
		.qp_context = (void *)s,
		.qp_type = IBV_QPT_XRC_RECV,
	};
}

static inline struct ibv_qp *open_target(struct side *s, uint32_t number)
{
	struct ibv_qp_open_attr a = open_attr(s, number);

	return ibv_open_qp(s->ctx, &a);
}

/* Attributes of each step, as Linux asks for them (drivers/infiniband/core/verbs.c, qp_state_table). */
#define INIT_MASK (IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS)
#define PATH_MASK (IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN)
#define RESPONDER_MASK (IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER)
#define RTS_MASK (IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT)
#define REQUESTER_MASK (IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC)

static inline struct ibv_qp_attr all_attr(enum ibv_qp_state state, uint32_t to)
{
	return (struct ibv_qp_attr){
		.qp_state = state,
		.port_num = 1,
		.qp_access_flags = BED_ACCESS,
		.path_mtu = IBV_MTU_1024,
		.dest_qp_num = to,
		.rq_psn = 5,
		.sq_psn = 5,
		.max_rd_atomic = 4,
		.max_dest_rd_atomic = 4,
		.min_rnr_timer = 1,
		.timeout = 8,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.ah_attr = bed_path(side[SENDER].ctx),
	};
}

static inline int step(struct ibv_qp *qp, enum ibv_qp_state state, uint32_t to, int mask)
{
	struct ibv_qp_attr a = all_attr(state, to);

	return ibv_modify_qp(qp, &a, mask);
}

static inline void connect_to(struct ibv_qp *qp, uint32_t to)
{
	bool sends = qp->qp_type == IBV_QPT_XRC_SEND;

	assert_int_equal(step(qp, IBV_QPS_INIT, to, INIT_MASK), 0);
	assert_int_equal(step(qp, IBV_QPS_RTR, to, PATH_MASK | (sends ? 0 : RESPONDER_MASK)), 0);
	assert_int_equal(step(qp, IBV_QPS_RTS, to, RTS_MASK | (sends ? REQUESTER_MASK : 0)), 0);
}

/* --- what every test begins and ends with --- */

static inline void open_side(struct side *s)
{
	s->ctx = bed_open();
	assert_non_null(s->pd = ibv_alloc_pd(s->ctx));
	assert_non_null(s->channel = ibv_create_comp_channel(s->ctx));
	assert_non_null(s->cq = ibv_create_cq(s->ctx, 64, s, s->channel, 0));
	s->mem = aligned_alloc(4096, BED_BYTES);
	memset(s->mem, 0x10 + (int)(s - side), BED_BYTES);
	assert_non_null(s->mr = ibv_reg_mr(s->pd, s->mem, BED_BYTES, BED_ACCESS));
	if (s == &side[SENDER])
		return;
	assert_non_null(s->xrcd = open_domain(s, file, O_CREAT));
	make_srq(s);
}

static inline void close_side(struct side *s)
{
	if (s->srq)
		assert_int_equal(ibv_destroy_srq(s->srq), 0);
	if (s->xrcd)
		assert_int_equal(ibv_close_xrcd(s->xrcd), 0);
	assert_int_equal(ibv_dereg_mr(s->mr), 0);
	assert_int_equal(ibv_destroy_cq(s->cq), 0);
	assert_int_equal(ibv_destroy_comp_channel(s->channel), 0);
	assert_int_equal(ibv_dealloc_pd(s->pd), 0);
	assert_int_equal(ibv_close_device(s->ctx), 0);
	free(s->mem);
}

static inline int begin(void **state)
{
	struct ibv_qp_init_attr_ex a;
	int i;

	(void)state;
	memset(side, 0, sizeof(side));
	file = memfd_create("domain", MFD_CLOEXEC);
	for (i = 0; i < SIDES; i++)
		open_side(&side[i]);
	a = ini_attr(&side[SENDER]);
	assert_non_null(ini = ibv_create_qp_ex(side[SENDER].ctx, &a));
	tgt = make_target(&side[RECEIVER]);
	connect_to(ini, tgt->qp_num);
	connect_to(tgt, ini->qp_num);
	return 0;
}

static inline int end(void **state)
{
	int i;

	(void)state;
	if (tgt)
		assert_int_equal(ibv_destroy_qp(tgt), 0);
	assert_int_equal(ibv_destroy_qp(ini), 0);
	for (i = 0; i < SIDES; i++)
		close_side(&side[i]);
	close(file);
	return 0;
}

static inline struct ibv_sge at(const struct side *s, uint32_t off, uint32_t len)
{
	return (struct ibv_sge){ .addr = (uintptr_t)s->mem + off, .length = len, .lkey = s->mr->lkey };
}

static inline void give(struct side *s, uint64_t id, uint32_t off, uint32_t len)
{
	struct ibv_sge sge = at(s, off, len);
	struct ibv_recv_wr wr = { .wr_id = id, .sg_list = &sge, .num_sge = 1 }, *bad;

	assert_int_equal(ibv_post_srq_recv(s->srq, &wr, &bad), 0);
}

static inline struct ibv_send_wr request(enum ibv_wr_opcode op, struct ibv_sge *sge, uint32_t number)
{
	return (struct ibv_send_wr){ .wr_id = 7,
				     .sg_list = sge,
				     .num_sge = 1,
				     .opcode = op,
				     .send_flags = IBV_SEND_SIGNALED,
				     .imm_data = 0x1234,
				     .qp_type.xrc.remote_srqn = number };
}

static inline void send_to(uint32_t number, uint32_t len, unsigned int flags, enum ibv_wc_status status)
{
	struct ibv_sge sge = at(&side[SENDER], 0, len);
	struct ibv_send_wr wr = request(IBV_WR_SEND_WITH_IMM, &sge, number);

	wr.send_flags |= flags;
	bed_post(ini, &wr);
	assert_int_equal(bed_poll(side[SENDER].cq).status, status);
}

static inline void expect(struct side *s, uint64_t id)
{
	struct ibv_wc wc = bed_poll(s->cq);

	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(wc.wr_id, id);
	assert_int_equal(wc.qp_num, tgt->qp_num);
}

static inline bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, begin, end)

#endif
