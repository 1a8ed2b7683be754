/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the tests of the drop-in libibverbs share: a program of verbs, with two queue
 * pairs of one process that are connected to each other. Only <infiniband/verbs.h> is
 * known here: the tests see what programs see.
 */
#ifndef SHIM_FIXTURE_H
#define SHIM_FIXTURE_H

#include <infiniband/verbs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "shim_fabric.h"

#define BED_BYTES 65536
#define BED_ACCESS \
	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC)

struct bed {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct ibv_qp *qp[2];
	uint8_t *mem[2];
	struct ibv_mr *mr[2];
};

/* TSan chooses by itself where memory is. */
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define BED_ALONE NULL
#endif
#endif
#ifndef BED_ALONE
#define BED_ALONE ((void *)(uintptr_t)(sizeof(void *) == 8 ? 1ull << 45 : 1u << 29))
#endif

/* Memory that a test unmaps: where nothing else is mapped, so that nothing comes into its place. @fd: of its file; -1: none */
static inline void *bed_map(size_t bytes, int fd)
{
	return mmap(BED_ALONE, bytes, PROT_READ | PROT_WRITE, fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
}

/* That of this index. */
static inline struct ibv_context *bed_open_on(int device)
{
	int n = 0;
	struct ibv_device **list = ibv_get_device_list(&n);
	struct ibv_context *ctx;

	assert_non_null(list);
	assert_true(n > device);
	assert_null(list[n]);
	ctx = ibv_open_device(list[device]);
	assert_non_null(ctx);
	ibv_free_device_list(list);
	return ctx;
}

static inline struct ibv_context *bed_open(void)
{
	return bed_open_on(0);
}

static inline void bed_begin_on(struct bed *b, int device)
{
	int i;

	memset(b, 0, sizeof(*b));
	b->ctx = bed_open_on(device);
	b->pd = ibv_alloc_pd(b->ctx);
	assert_non_null(b->pd);
	b->channel = ibv_create_comp_channel(b->ctx);
	assert_non_null(b->channel);
	b->cq = ibv_create_cq(b->ctx, 64, b, b->channel, 0);
	assert_non_null(b->cq);
	for (i = 0; i < 2; i++) {
		b->mem[i] = aligned_alloc(4096, BED_BYTES);
		memset(b->mem[i], 0x10 + i, BED_BYTES);
		b->mr[i] = ibv_reg_mr(b->pd, b->mem[i], BED_BYTES, BED_ACCESS);
		assert_non_null(b->mr[i]);
	}
}

static inline void bed_begin(struct bed *b)
{
	bed_begin_on(b, 0);
}

static inline struct ibv_qp *bed_qp(struct bed *b, enum ibv_qp_type type, struct ibv_srq *srq)
{
	struct ibv_qp_init_attr attr = {
		.send_cq = b->cq,
		.recv_cq = b->cq,
		.srq = srq,
		.qp_type = type,
		.cap = { .max_send_wr = 16,
			 .max_recv_wr = srq ? 0 : 16,
			 .max_send_sge = 4,
			 .max_recv_sge = srq ? 0 : 4,
			 .max_inline_data = 64 },
	};
	struct ibv_qp *qp = ibv_create_qp(b->pd, &attr);

	assert_non_null(qp);
	return qp;
}

static inline struct ibv_ah_attr bed_path(struct ibv_context *ctx)
{
	struct ibv_ah_attr ah = { .port_num = 1, .is_global = 1, .grh.hop_limit = 1 };

	assert_int_equal(ibv_query_gid(ctx, 1, 0, &ah.grh.dgid), 0);
	return ah;
}

/* RC and UC: as far as ready to send. @timeout: as in struct ibv_qp_attr; eight of them must do for the peer's answer. */
static inline void bed_connect_for(struct bed *b, struct ibv_qp *qp, uint32_t to, uint8_t timeout)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_INIT, .port_num = 1, .qp_access_flags = BED_ACCESS };
	bool rc = qp->qp_type == IBV_QPT_RC;

	assert_int_equal(ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS),
			 0);
	a = (struct ibv_qp_attr){ .qp_state = IBV_QPS_RTR,
				  .path_mtu = IBV_MTU_1024,
				  .dest_qp_num = to,
				  .max_dest_rd_atomic = 4,
				  .min_rnr_timer = 1,
				  .ah_attr = bed_path(b->ctx) };
	assert_int_equal(ibv_modify_qp(qp, &a,
				       IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
					       (rc ? IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER : 0)),
			 0);
	a = (struct ibv_qp_attr){
		.qp_state = IBV_QPS_RTS, .timeout = timeout, .retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = 4
	};
	assert_int_equal(ibv_modify_qp(qp, &a,
				       IBV_QP_STATE | IBV_QP_SQ_PSN |
					       (rc ? IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
								IBV_QP_MAX_QP_RD_ATOMIC :
						     0)),
			 0);
}

static inline void bed_connect(struct bed *b, struct ibv_qp *qp, uint32_t to)
{
	bed_connect_for(b, qp, to, 8);
}

static inline void bed_pair(struct bed *b, enum ibv_qp_type type)
{
	bed_begin(b);
	b->qp[0] = bed_qp(b, type, NULL);
	b->qp[1] = bed_qp(b, type, NULL);
	bed_connect(b, b->qp[0], b->qp[1]->qp_num);
	bed_connect(b, b->qp[1], b->qp[0]->qp_num);
}

/* UD: as far as ready to send. */
static inline void bed_datagram(struct ibv_qp *qp)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = 0x11 };

	assert_int_equal(ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY), 0);
	a.qp_state = IBV_QPS_RTR;
	assert_int_equal(ibv_modify_qp(qp, &a, IBV_QP_STATE), 0);
	a.qp_state = IBV_QPS_RTS;
	assert_int_equal(ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_SQ_PSN), 0);
}

static inline void bed_end(struct bed *b)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (b->qp[i])
			assert_int_equal(ibv_destroy_qp(b->qp[i]), 0);
		if (b->mr[i])
			assert_int_equal(ibv_dereg_mr(b->mr[i]), 0);
		free(b->mem[i]);
	}
	assert_int_equal(ibv_destroy_cq(b->cq), 0);
	assert_int_equal(ibv_destroy_comp_channel(b->channel), 0);
	assert_int_equal(ibv_dealloc_pd(b->pd), 0);
	assert_int_equal(ibv_close_device(b->ctx), 0);
}

static inline struct ibv_sge bed_sge(const struct bed *b, int i, uint32_t off, uint32_t len)
{
	return (struct ibv_sge){ .addr = (uintptr_t)b->mem[i] + off, .length = len, .lkey = b->mr[i]->lkey };
}

/* The next completion, whenever it comes. */
static inline struct ibv_wc bed_poll(struct ibv_cq *cq)
{
	struct ibv_wc wc = { 0 };
	int n;

	while (!(n = ibv_poll_cq(cq, 1, &wc)))
		;
	assert_int_equal(n, 1);
	return wc;
}

static inline void bed_post(struct ibv_qp *qp, struct ibv_send_wr *wr)
{
	struct ibv_send_wr *bad;

	assert_int_equal(ibv_post_send(qp, wr, &bad), 0);
}

static inline void bed_recv(struct ibv_qp *qp, uint64_t id, struct ibv_sge *sge)
{
	struct ibv_recv_wr wr = { .wr_id = id, .sg_list = sge, .num_sge = sge ? 1 : 0 }, *bad;

	assert_int_equal(ibv_post_recv(qp, &wr, &bad), 0);
}

/* One request of the first queue pair to the second one's memory, and its completion. */
static inline struct ibv_wc bed_rdma(struct bed *b, enum ibv_wr_opcode op, struct ibv_sge sge, uint64_t addr,
				     uint32_t rkey)
{
	struct ibv_send_wr wr = {
		.wr_id = 7, .sg_list = &sge, .num_sge = 1, .opcode = op, .send_flags = IBV_SEND_SIGNALED
	};

	if (op == IBV_WR_ATOMIC_CMP_AND_SWP || op == IBV_WR_ATOMIC_FETCH_AND_ADD) {
		wr.wr.atomic.remote_addr = addr;
		wr.wr.atomic.rkey = rkey;
		wr.wr.atomic.compare_add = 5;
		wr.wr.atomic.swap = 9;
	} else {
		wr.wr.rdma.remote_addr = addr;
		wr.wr.rdma.rkey = rkey;
	}
	bed_post(b->qp[0], &wr);
	return bed_poll(b->cq);
}

/* As bed_connect(), for two processes of which one may wait long for a processor. */
static inline void bed_connect_to(struct ibv_qp *qp, uint32_t to)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_INIT, .port_num = 1, .qp_access_flags = BED_ACCESS };

	assert_int_equal(ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS),
			 0);
	a = (struct ibv_qp_attr){ .qp_state = IBV_QPS_RTR,
				  .path_mtu = IBV_MTU_1024,
				  .dest_qp_num = to,
				  .max_rd_atomic = 4,
				  .max_dest_rd_atomic = 4,
				  .min_rnr_timer = 1,
				  .timeout = 20,
				  .retry_cnt = 7,
				  .rnr_retry = 7,
				  .ah_attr = bed_path(qp->context) };
	assert_int_equal(ibv_modify_qp(qp, &a,
				       IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
					       IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER),
			 0);
	a.qp_state = IBV_QPS_RTS;
	assert_int_equal(ibv_modify_qp(qp, &a,
				       IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
					       IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC),
			 0);
}

#endif
