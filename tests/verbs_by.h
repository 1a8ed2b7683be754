/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two ends, and a second connected pair of queue pairs on the same two devices and in the same
 * domains, with completion queues of its own: the bystander, that must go on working whatever is done to the first.
 */
#ifndef VERBS_BY_H
#define VERBS_BY_H
#include "verbs_fixture.h"

#include "test/test_os.h"

#define BY_AREA (VK_BYTES - 4096) /* the bystander's bytes, at both ends */

static struct end a, b;
static struct end by_a, by_b; /* the same devices, memory and domains; other queues */

static inline void by_end(struct end *by, const struct end *of, enum ib_qp_type type)
{
	const struct ib_cq_init_attr ca = { .cqe = 8 };
	struct ib_qp_init_attr qa = {
		.cap = { .max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1 },
		.event_handler = vk_event,
		.qp_context = by,
		.sq_sig_type = IB_SIGNAL_ALL_WR,
		.qp_type = type,
	};

	*by = *of;
	by->cq = ib_create_cq(of->dev, NULL, vk_event, by, &ca);
	assert_false(IS_ERR(by->cq));
	qa.send_cq = qa.recv_cq = by->cq;
	by->qp = ib_create_qp(of->pd, &qa);
	assert_false(IS_ERR(by->qp));
	memset(by->events, 0, sizeof(by->events));
}

/* A message, a write and a read: all as if nothing had been. */
static inline void by_works(void)
{
	u64 there = hca_dma_u64(by_b.addr) + BY_AREA;

	memset(by_a.buf + BY_AREA, 0x5a, 512);
	memset(by_b.buf + BY_AREA, 0, 512);
	assert_int_equal(vk_recv(&by_b, 71, BY_AREA, 128), 0);
	assert_int_equal(vk_send(&by_a, 72, IB_WR_SEND, BY_AREA, 128), 0);
	assert_int_equal(vk_rdma(&by_a, 73, IB_WR_RDMA_WRITE, BY_AREA, 128, there + 128, by_b.mr->rkey), 0);
	vk_poll(&by_a, 72, IB_WC_SUCCESS);
	vk_poll(&by_a, 73, IB_WC_SUCCESS);
	vk_poll(&by_b, 71, IB_WC_SUCCESS);
	assert_memory_equal(by_b.buf + BY_AREA, by_a.buf + BY_AREA, 256);
	assert_int_equal(vk_rdma(&by_a, 74, IB_WR_RDMA_READ, BY_AREA + 256, 128, there + 256, by_b.mr->rkey), 0);
	vk_poll(&by_a, 74, IB_WC_SUCCESS);
	assert_memory_equal(by_b.buf + BY_AREA + 256, by_a.buf + BY_AREA + 256, 128);
	vk_none(&by_a);
	vk_none(&by_b);
}

static inline int by_open(enum ib_qp_type type)
{
	test_os_reset(1);
	vk_open(&a, &b, type, true, false, MACHINE_IOMMU);
	by_end(&by_a, &a, IB_QPT_RC);
	by_end(&by_b, &b, IB_QPT_RC);
	vk_connect(by_a.qp, vk_lid(&b), by_b.qp->qp_num);
	vk_connect(by_b.qp, vk_lid(&a), by_a.qp->qp_num);
	by_works();
	return 0;
}

static inline int by_setup(void **state)
{
	(void)state;
	return by_open(IB_QPT_RC);
}

static inline int by_setup_ud(void **state)
{
	(void)state;
	return by_open(IB_QPT_UD);
}

static inline int by_setup_uc(void **state)
{
	(void)state;
	return by_open(IB_QPT_UC);
}

static inline void by_end_gone(struct end *by)
{
	u32 i;

	for (i = 0; i < 32; i++)
		assert_int_equal(by->events[i], 0);
	assert_int_equal(ib_destroy_qp(by->qp), 0);
	assert_int_equal(ib_destroy_cq(by->cq), 0);
}

static inline int by_teardown(void **state)
{
	(void)state;
	by_works();
	by_end_gone(&by_a);
	by_end_gone(&by_b);
	vk_close(&a, &b);
	return (int)test_leaks();
}

static inline void to_reset(struct ib_qp *qp)
{
	struct ib_qp_attr at = { .qp_state = IB_QPS_RESET };

	assert_int_equal(ib_modify_qp(qp, &at, IB_QP_STATE), 0);
}

static inline void to_err(struct ib_qp *qp)
{
	struct ib_qp_attr at = { .qp_state = IB_QPS_ERR };

	assert_int_equal(ib_modify_qp(qp, &at, IB_QP_STATE), 0);
}

static inline enum ib_qp_state qp_state(struct ib_qp *qp)
{
	struct ib_qp_init_attr init;
	struct ib_qp_attr at;

	assert_int_equal(ib_query_qp(qp, &at, IB_QP_STATE, &init), 0);
	return at.qp_state;
}

/* The first pair, whatever became of it, is connected again, and its queues are empty. */
static inline void reconnect(void)
{
	to_reset(a.qp);
	to_reset(b.qp);
	vk_none(&a);
	vk_none(&b);
	vk_connect(a.qp, vk_lid(&b), b.qp->qp_num);
	vk_connect(b.qp, vk_lid(&a), a.qp->qp_num);
}

/* Any opcode, with entries that are good. */
static inline int post_op(struct ib_qp *qp, int op, int num_sge, int flags)
{
	struct ib_sge list[32] = { vk_sge(&a, 0, 8), vk_sge(&a, 8, 8), vk_sge(&a, 16, 8), vk_sge(&a, 24, 8) };
	/* Whatever the opcode makes of it, there is memory behind. */
	union {
		struct ib_rdma_wr rdma;
		struct ib_atomic_wr atomic;
		struct ib_ud_wr ud;
		struct ib_reg_wr reg;
		struct ib_bind_mw_wr bind;
	} wr;

	memset(&wr, 0, sizeof(wr));
	wr.rdma.wr = (struct ib_send_wr){
		.wr_id = 1, .sg_list = list, .num_sge = num_sge, .opcode = (enum ib_wr_opcode)op, .send_flags = flags
	};
	return ib_post_send(qp, &wr.rdma.wr, NULL);
}

/* An error pointer with this error. */
#define assert_err(ptr, err) \
	do { \
		const void *err_ptr_ = (ptr); \
		assert_true(IS_ERR(err_ptr_)); \
		assert_int_equal(PTR_ERR(err_ptr_), err); \
	} while (0)

#endif
