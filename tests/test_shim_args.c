/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every call of verbs that makes, changes, asks or ends something, with each of its arguments wrong: it fails with the errno that stands
 * beside it, has changed nothing, and the program goes on. Inline calls of <infiniband/verbs.h> follow the context or the object that they
 * get before the library is called, so these are good here; so is all that is written to.
 */
#include "shim_fixture.h"

#include <fcntl.h>
#include <stdio.h>

static int wrong; /* calls that did something else */

static void judge(const char *call, const char *what, int got, int want)
{
	if (got == want)
		return;
	wrong++;
	print_error("%s (%s): %d (%s), not %d (%s)\n", call, what, got, strerror(got), want, strerror(want));
}

/* Calls that return a pointer, an errno, and -1 with errno. */
#define NO_POINTER(what, want, call) \
	do { \
		const void *made_; \
		errno = 0; \
		made_ = (call); \
		judge(#call, what, made_ ? 0 : errno, want); \
	} while (0)
#define NO_ERRNO(what, want, call) judge(#call, what, call, want)
#define NO_MINUS_ONE(what, want, call) \
	do { \
		int got_; \
		errno = 0; \
		got_ = (call); \
		judge(#call, what, got_ ? errno : 0, want); \
	} while (0)

/* Room for an object that none was ever made of. */
static uint64_t nothing[256];

static struct bed b;
static struct ibv_device_attr dev;
static struct ibv_srq *srq;
static struct ibv_ah *ah;

static int begin(void **state)
{
	struct ibv_srq_init_attr init = { .attr = { .max_wr = 16, .max_sge = 2 } };
	struct ibv_ah_attr path;

	(void)state;
	wrong = 0;
	bed_pair(&b, IBV_QPT_RC);
	assert_int_equal(ibv_query_device(b.ctx, &dev), 0);
	srq = ibv_create_srq(b.pd, &init);
	assert_non_null(srq);
	path = bed_path(b.ctx);
	ah = ibv_create_ah(b.pd, &path);
	assert_non_null(ah);
	return 0;
}

/* All is as good as before. */
static int end(void **state)
{
	(void)state;
	assert_int_equal(
		bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 10), (uintptr_t)b.mem[1], b.mr[1]->rkey).status,
		IBV_WC_SUCCESS);
	assert_int_equal(ibv_destroy_ah(ah), 0);
	assert_int_equal(ibv_destroy_srq(srq), 0);
	bed_end(&b);
	return 0;
}

static void devices_and_ports(void **state)
{
	struct ibv_device_attr_ex dex;
	struct ibv_port_attr port;
	struct ibv_gid_entry entry;
	union ibv_gid gid;
	__be16 pkey;

	(void)state;
	NO_POINTER("no device", ENODEV, ibv_open_device(NULL));
	NO_POINTER("no device", ENODEV, ibv_open_device((struct ibv_device *)&nothing[8]));
	NO_MINUS_ONE("no context", EINVAL, ibv_close_device(NULL));
	NO_MINUS_ONE("no context", EINVAL, ibv_close_device((struct ibv_context *)&nothing[128]));
	NO_ERRNO("no context", EINVAL, ibv_query_device(NULL, &dev));
	NO_ERRNO("unknown input", EINVAL,
		 ibv_query_device_ex(b.ctx, &(const struct ibv_query_device_ex_input){ .comp_mask = 1 }, &dex));
	NO_ERRNO("port 0", EINVAL, ibv_query_port(b.ctx, 0, &port));
	NO_ERRNO("port 2", EINVAL, ibv_query_port(b.ctx, 2, &port));
	NO_MINUS_ONE("port 2", EINVAL, ibv_query_gid(b.ctx, 2, 0, &gid));
	NO_MINUS_ONE("no such entry", EINVAL, ibv_query_gid(b.ctx, 1, 1000, &gid));
	NO_MINUS_ONE("no such entry", EINVAL, ibv_query_gid(b.ctx, 1, -1, &gid));
	NO_MINUS_ONE("port 2", EINVAL, ibv_query_pkey(b.ctx, 2, 0, &pkey));
	NO_MINUS_ONE("no such entry", EINVAL, ibv_query_pkey(b.ctx, 1, 1000, &pkey));
	NO_MINUS_ONE("no such entry", EINVAL, ibv_query_pkey(b.ctx, 1, -1, &pkey));
	NO_ERRNO("port 2", EINVAL, ibv_query_gid_ex(b.ctx, 2, 0, &entry, 0));
	NO_ERRNO("no such entry", EINVAL, ibv_query_gid_ex(b.ctx, 1, 1000, &entry, 0));
	NO_ERRNO("flags", EINVAL, ibv_query_gid_ex(b.ctx, 1, 0, &entry, 1));
	assert_int_equal(ibv_get_pkey_index(b.ctx, 2, htobe16(0xffff)), -1);
	assert_int_equal(ibv_get_pkey_index(b.ctx, 1, htobe16(0x1234)), -1);
	assert_int_equal(wrong, 0);
}

static void domains_and_regions(void **state)
{
	struct ibv_td_init_attr td = { .comp_mask = 1 };
	struct ibv_parent_domain_init_attr parent = { .pd = NULL };
	struct ibv_alloc_dm_attr dm = { .length = 0 };
	uint8_t *m = b.mem[0];
	struct ibv_mr *mr;

	(void)state;
	NO_POINTER("no context", EINVAL, ibv_alloc_pd(NULL));
	NO_ERRNO("no domain", EINVAL, ibv_dealloc_pd(NULL));
	NO_ERRNO("in use", EBUSY, ibv_dealloc_pd(b.pd));
	NO_POINTER("unknown attribute", EINVAL, ibv_alloc_td(b.ctx, &td));
	NO_POINTER("no domain", EINVAL, ibv_alloc_parent_domain(b.ctx, &parent));
	parent.pd = b.pd;
	parent.comp_mask = 1u << 20;
	NO_POINTER("unknown attribute", EINVAL, ibv_alloc_parent_domain(b.ctx, &parent));
	NO_POINTER("no domain", EINVAL, ibv_reg_mr(NULL, m, 4096, 0));
	NO_POINTER("remote write without local", EINVAL, ibv_reg_mr(b.pd, m, 4096, IBV_ACCESS_REMOTE_WRITE));
	NO_POINTER("remote atomics without local", EINVAL, ibv_reg_mr(b.pd, m, 4096, IBV_ACCESS_REMOTE_ATOMIC));
	NO_POINTER("unknown rights", EINVAL, ibv_reg_mr(b.pd, m, 4096, 1 << 15));
	NO_POINTER("nothing there", EFAULT, ibv_reg_mr(b.pd, NULL, 4096, IBV_ACCESS_LOCAL_WRITE));
	NO_POINTER("around the end of memory", EFAULT, ibv_reg_mr(b.pd, (void *)(UINTPTR_MAX - 100), 4096, 0));
	NO_POINTER("longer than memory", EFAULT, ibv_reg_mr(b.pd, m, SIZE_MAX, 0));
	NO_POINTER("no domain", EINVAL, ibv_reg_mr_iova(NULL, m, 4096, 0, 0));
	NO_POINTER("around the end of addresses", EINVAL, ibv_reg_mr_iova(b.pd, m, 4096, UINT64_MAX - 100, 0));
	NO_ERRNO("no region", EINVAL, ibv_dereg_mr(NULL));
	mr = ibv_reg_mr(b.pd, m, 4096, IBV_ACCESS_LOCAL_WRITE);
	assert_non_null(mr);
	assert_true(ibv_rereg_mr(NULL, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0, 0) != 0);
	assert_true(ibv_rereg_mr(mr, 0, NULL, NULL, 0, 0) != 0);
	assert_true(ibv_rereg_mr(mr, 1 << 10, NULL, NULL, 0, 0) != 0);
	assert_true(ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_PD, NULL, NULL, 0, 0) != 0);
	assert_true(ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_TRANSLATION, NULL, NULL, 0, 0) != 0);
	assert_true(ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0, IBV_ACCESS_REMOTE_WRITE) != 0);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	NO_ERRNO("unknown advice", EINVAL, ibv_advise_mr(b.pd, (enum ib_uverbs_advise_mr_advice)99, 0, NULL, 0));
	NO_POINTER("no bytes", EINVAL, ibv_alloc_dm(b.ctx, &dm));
	dm.length = (size_t)1 << 40;
	NO_POINTER("more than there is", ENOMEM, ibv_alloc_dm(b.ctx, &dm));
	dm.length = 4096;
	dm.log_align_req = 60;
	NO_POINTER("an alignment beyond all", EINVAL, ibv_alloc_dm(b.ctx, &dm));
	NO_POINTER("no such type", EINVAL, ibv_alloc_mw(b.pd, (enum ibv_mw_type)9));
	assert_int_equal(wrong, 0);
}

static void queues(void **state)
{
	struct ibv_cq_init_attr_ex ex = { .cqe = 0 };
	struct ibv_modify_cq_attr mod = { .attr_mask = 1u << 20 };
	struct ibv_srq_init_attr init = { .attr = { .max_wr = 0 } };
	struct ibv_srq_init_attr_ex sx = { .attr = { .max_wr = 16, .max_sge = 1 },
					   .comp_mask = IBV_SRQ_INIT_ATTR_TYPE | IBV_SRQ_INIT_ATTR_PD,
					   .srq_type = IBV_SRQT_BASIC };
	struct ibv_srq_attr attr = { .max_wr = 0 };
	uint32_t number;

	(void)state;
	NO_POINTER("no context", EINVAL, ibv_create_comp_channel(NULL));
	NO_ERRNO("no channel", EINVAL, ibv_destroy_comp_channel(NULL));
	NO_POINTER("no context", EINVAL, ibv_create_cq(NULL, 10, NULL, NULL, 0));
	NO_POINTER("no entries", EINVAL, ibv_create_cq(b.ctx, 0, NULL, NULL, 0));
	NO_POINTER("fewer than none", EINVAL, ibv_create_cq(b.ctx, -1, NULL, NULL, 0));
	NO_POINTER("too many", EINVAL, ibv_create_cq(b.ctx, dev.max_cqe + 1, NULL, NULL, 0));
	NO_POINTER("no such vector", EINVAL, ibv_create_cq(b.ctx, 10, NULL, NULL, -1));
	NO_POINTER("no such vector", EINVAL, ibv_create_cq(b.ctx, 10, NULL, NULL, b.ctx->num_comp_vectors));
	NO_POINTER("no such channel", EINVAL,
		   ibv_create_cq(b.ctx, 10, NULL, (struct ibv_comp_channel *)&nothing[8], 0));
	NO_POINTER("no entries", EINVAL, ibv_create_cq_ex(b.ctx, &ex));
	ex.cqe = 10;
	ex.wc_flags = 1ull << 40;
	NO_POINTER("unknown fields", EOPNOTSUPP, ibv_create_cq_ex(b.ctx, &ex));
	ex.wc_flags = 0;
	ex.comp_mask = 1u << 20;
	NO_POINTER("unknown attribute", EOPNOTSUPP, ibv_create_cq_ex(b.ctx, &ex));
	ex.comp_mask = IBV_CQ_INIT_ATTR_MASK_FLAGS;
	ex.flags = 1u << 20;
	NO_POINTER("unknown flag", EOPNOTSUPP, ibv_create_cq_ex(b.ctx, &ex));
	NO_ERRNO("no queue", EINVAL, ibv_destroy_cq(NULL));
	NO_ERRNO("in use", EBUSY, ibv_destroy_cq(b.cq));
	NO_ERRNO("no queue", EINVAL, ibv_resize_cq(NULL, 100));
	NO_ERRNO("no entries", EINVAL, ibv_resize_cq(b.cq, 0));
	NO_ERRNO("fewer than none", EINVAL, ibv_resize_cq(b.cq, -5));
	NO_ERRNO("too many", EINVAL, ibv_resize_cq(b.cq, dev.max_cqe + 1));
	NO_ERRNO("unknown attribute", EINVAL, ibv_modify_cq(b.cq, &mod));
	NO_POINTER("no domain", EINVAL, ibv_create_srq(NULL, &init));
	init.attr.max_wr = (uint32_t)dev.max_srq_wr + 1;
	NO_POINTER("too many", EINVAL, ibv_create_srq(b.pd, &init));
	init.attr = (struct ibv_srq_attr){ .max_wr = 10, .max_sge = (uint32_t)dev.max_srq_sge + 1 };
	NO_POINTER("too many entries", EINVAL, ibv_create_srq(b.pd, &init));
	NO_POINTER("no domain", EINVAL, ibv_create_srq_ex(b.ctx, &sx));
	sx.pd = b.pd;
	sx.srq_type = (enum ibv_srq_type)99;
	NO_POINTER("no such type", EOPNOTSUPP, ibv_create_srq_ex(b.ctx, &sx));
	sx.srq_type = IBV_SRQT_XRC;
	NO_POINTER("without an XRC domain", EINVAL, ibv_create_srq_ex(b.ctx, &sx));
	sx.srq_type = IBV_SRQT_TM;
	NO_POINTER("tag matching", EOPNOTSUPP, ibv_create_srq_ex(b.ctx, &sx));
	sx.srq_type = IBV_SRQT_BASIC;
	sx.comp_mask |= 1u << 20;
	NO_POINTER("unknown attribute", EINVAL, ibv_create_srq_ex(b.ctx, &sx));
	NO_ERRNO("no queue", EINVAL, ibv_modify_srq(NULL, &attr, IBV_SRQ_LIMIT));
	NO_ERRNO("unknown attribute", EINVAL, ibv_modify_srq(srq, &attr, 1 << 10));
	attr.srq_limit = 1000;
	NO_ERRNO("a limit beyond the size", EINVAL, ibv_modify_srq(srq, &attr, IBV_SRQ_LIMIT));
	attr.max_wr = (uint32_t)dev.max_srq_wr + 1;
	NO_ERRNO("too many", EINVAL, ibv_modify_srq(srq, &attr, IBV_SRQ_MAX_WR));
	NO_ERRNO("no queue", EINVAL, ibv_query_srq(NULL, &attr));
	NO_ERRNO("no number", EINVAL, ibv_get_srq_num(srq, &number));
	NO_ERRNO("no queue", EINVAL, ibv_destroy_srq(NULL));
	assert_int_equal(wrong, 0);
}

/* --- queue pairs: one field of a good one is wrong --- */

static void making_queue_pairs(void **state)
{
	const struct ibv_qp_init_attr good = {
		.send_cq = b.cq,
		.recv_cq = b.cq,
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 }
	};
	struct ibv_qp_init_attr a = good;
	struct ibv_qp_init_attr_ex ex = {
		.send_cq = b.cq, .recv_cq = b.cq, .qp_type = IBV_QPT_RC, .cap = good.cap, .comp_mask = 0
	};

	(void)state;
	NO_POINTER("no domain", EINVAL, ibv_create_qp(NULL, &a));
	a.send_cq = NULL;
	NO_POINTER("no queue for sends", EINVAL, ibv_create_qp(b.pd, &a));
	a = good;
	a.recv_cq = NULL;
	NO_POINTER("no queue for receives", EINVAL, ibv_create_qp(b.pd, &a));
	a = good;
	a.recv_cq = (struct ibv_cq *)&nothing[64];
	NO_POINTER("no such queue", EINVAL, ibv_create_qp(b.pd, &a));
	a = good;
	a.srq = (struct ibv_srq *)&nothing[64];
	NO_POINTER("no such shared queue", EINVAL, ibv_create_qp(b.pd, &a));
	a = good;
	a.qp_type = (enum ibv_qp_type)0;
	NO_POINTER("no type", EOPNOTSUPP, ibv_create_qp(b.pd, &a));
	a.qp_type = (enum ibv_qp_type)99;
	NO_POINTER("no such type", EOPNOTSUPP, ibv_create_qp(b.pd, &a));
	a = good;
	a.cap.max_send_wr = (uint32_t)dev.max_qp_wr + 1;
	NO_POINTER("too many sends", EINVAL, ibv_create_qp(b.pd, &a));
	a.cap.max_send_wr = UINT32_MAX;
	NO_POINTER("too many sends", EINVAL, ibv_create_qp(b.pd, &a));
	a = good;
	a.cap.max_recv_wr = (uint32_t)dev.max_qp_wr + 1;
	NO_POINTER("too many receives", EINVAL, ibv_create_qp(b.pd, &a));
	a.cap.max_recv_wr = UINT32_MAX;
	NO_POINTER("too many receives", EINVAL, ibv_create_qp(b.pd, &a));
	a = good;
	a.cap.max_send_sge = (uint32_t)dev.max_sge + 1;
	NO_POINTER("too many entries", EINVAL, ibv_create_qp(b.pd, &a));
	a = good;
	a.cap.max_recv_sge = UINT32_MAX;
	NO_POINTER("too many entries", EINVAL, ibv_create_qp(b.pd, &a));
	a = good;
	a.cap.max_inline_data = 1u << 30;
	NO_POINTER("too much inline", EINVAL, ibv_create_qp(b.pd, &a));
	NO_POINTER("no domain", EINVAL, ibv_create_qp_ex(b.ctx, &ex));
	ex.comp_mask = IBV_QP_INIT_ATTR_PD;
	NO_POINTER("no domain", EINVAL, ibv_create_qp_ex(b.ctx, &ex));
	ex.pd = b.pd;
	ex.comp_mask |= 1u << 20;
	NO_POINTER("unknown attribute", EOPNOTSUPP, ibv_create_qp_ex(b.ctx, &ex));
	ex.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_CREATE_FLAGS;
	ex.create_flags = 1u << 30;
	NO_POINTER("unknown flag", EOPNOTSUPP, ibv_create_qp_ex(b.ctx, &ex));
	ex.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
	ex.send_ops_flags = 1ull << 40;
	NO_POINTER("unknown operation", EOPNOTSUPP, ibv_create_qp_ex(b.ctx, &ex));
	NO_ERRNO("no queue pair", EINVAL, ibv_destroy_qp(NULL));
	assert_int_equal(wrong, 0);
}

struct change {
	const char *what;
	size_t off;
	size_t size;
	uint64_t value;
	int mask;
};

#define FIELD(f, v, m) \
	{ \
#f, offsetof(struct ibv_qp_attr, f), sizeof(((struct ibv_qp_attr *)0)->f), v, m \
	}

/* To RTR and then RTS by good attributes, each with one field that can't be, and by a mask with one bit less or more. */
static void changing_queue_pairs(void **state)
{
	const int init = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
	const int rtr = IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
			IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
	const int rts = IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
			IBV_QP_MAX_QP_RD_ATOMIC;
	const int masks[] = { init, rtr, rts };
	const struct change changes[] = {
		FIELD(pkey_index, 1000, init),
		FIELD(port_num, 0, init),
		FIELD(port_num, 2, init),
		FIELD(qp_access_flags, 1u << 15, init),
		FIELD(path_mtu, 0, rtr),
		FIELD(path_mtu, 6, rtr),
		FIELD(dest_qp_num, 1u << 24, rtr),
		FIELD(max_dest_rd_atomic, 255, rtr),
		FIELD(min_rnr_timer, 32, rtr),
		FIELD(ah_attr.port_num, 0, rtr),
		FIELD(ah_attr.port_num, 2, rtr),
		FIELD(ah_attr.is_global, 0, rtr),
		FIELD(ah_attr.grh.sgid_index, 200, rtr),
		FIELD(timeout, 32, rts),
		FIELD(retry_cnt, 8, rts),
		FIELD(rnr_retry, 8, rts),
		FIELD(max_rd_atomic, 255, rts),
	};
	struct ibv_qp *qp = bed_qp(&b, IBV_QPT_RC, NULL);
	const struct ibv_qp_attr good = { .port_num = 1,
					  .path_mtu = IBV_MTU_1024,
					  .dest_qp_num = qp->qp_num,
					  .ah_attr = bed_path(b.ctx),
					  .max_dest_rd_atomic = 1,
					  .max_rd_atomic = 1 };
	const enum ibv_qp_state states[] = { IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS };
	struct ibv_qp_init_attr qi;
	struct ibv_qp_attr a;
	size_t step, i;
	int bit;

	(void)state;
	for (step = 0; step < 3; step++) {
		for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
			a = good;
			a.qp_state = states[step];
			if (changes[i].mask != masks[step])
				continue;
			memcpy((char *)&a + changes[i].off, &changes[i].value, changes[i].size);
			NO_ERRNO(changes[i].what, EINVAL, ibv_modify_qp(qp, &a, masks[step]));
		}
		a = good;
		a.qp_state = states[step];
		for (bit = 1; bit < IBV_QP_RATE_LIMIT; bit <<= 1)
			if (masks[step] & bit && bit != IBV_QP_STATE)
				NO_ERRNO("an attribute is missing", EINVAL, ibv_modify_qp(qp, &a, masks[step] & ~bit));
		NO_ERRNO("an attribute of another kind", EINVAL, ibv_modify_qp(qp, &a, masks[step] | IBV_QP_QKEY));
		NO_ERRNO("an unknown attribute", EINVAL, ibv_modify_qp(qp, &a, masks[step] | 1 << 30));
		a.qp_state = (enum ibv_qp_state)99;
		NO_ERRNO("no such state", EINVAL, ibv_modify_qp(qp, &a, masks[step]));
		a.qp_state = IBV_QPS_SQE;
		NO_ERRNO("a state that none is put into", EINVAL, ibv_modify_qp(qp, &a, masks[step]));
		a.qp_state = states[step];
		a.cur_qp_state = IBV_QPS_SQD;
		NO_ERRNO("another current state", EINVAL, ibv_modify_qp(qp, &a, masks[step] | IBV_QP_CUR_STATE));
		assert_int_equal(ibv_query_qp(qp, &a, IBV_QP_STATE, &qi), 0);
		assert_int_equal(a.qp_state, step ? states[step - 1] : IBV_QPS_RESET);
		a = good;
		a.qp_state = states[step];
		assert_int_equal(ibv_modify_qp(qp, &a, masks[step]), 0);
	}
	NO_ERRNO("no queue pair", EINVAL, ibv_modify_qp(NULL, &a, IBV_QP_STATE));
	NO_ERRNO("no queue pair", EINVAL, ibv_query_qp(NULL, &a, IBV_QP_STATE, &qi));
	assert_int_equal(ibv_destroy_qp(qp), 0);
	assert_int_equal(wrong, 0);
}

static void paths_and_groups(void **state)
{
	const struct ibv_ah_attr good = bed_path(b.ctx);
	const struct ibv_xrcd_init_attr none = { .comp_mask = 0, .fd = -1, .oflags = O_CREAT };
	struct ibv_xrcd_init_attr x = none;
	struct ibv_qp_open_attr open_attr = { .comp_mask = 0 };
	union ibv_gid group = { .raw = { 0xff, 0x0e, [15] = 9 } }, single;
	struct ibv_ah_attr a = good;
	struct ibv_wc wc = { .wc_flags = IBV_WC_GRH };
	struct ibv_qp *ud = bed_qp(&b, IBV_QPT_UD, NULL);

	(void)state;
	NO_POINTER("no domain", EINVAL, ibv_create_ah(NULL, &a));
	a.port_num = 2;
	NO_POINTER("port 2", EINVAL, ibv_create_ah(b.pd, &a));
	a.port_num = 0;
	NO_POINTER("port 0", EINVAL, ibv_create_ah(b.pd, &a));
	a = good;
	a.is_global = 0;
	NO_POINTER("no GRH on RoCE", EINVAL, ibv_create_ah(b.pd, &a));
	a = good;
	a.grh.sgid_index = 200;
	NO_POINTER("no such GID", EINVAL, ibv_create_ah(b.pd, &a));
	NO_ERRNO("no handle", EINVAL, ibv_destroy_ah(NULL));
	NO_MINUS_ONE("no header", EPROTONOSUPPORT, ibv_init_ah_from_wc(b.ctx, 1, &wc, (struct ibv_grh *)b.mem[0], &a));
	NO_POINTER("no header", EPROTONOSUPPORT, ibv_create_ah_from_wc(b.pd, &wc, (struct ibv_grh *)b.mem[0], 1));
	assert_int_equal(ibv_query_gid(b.ctx, 1, 0, &single), 0);
	NO_ERRNO("no queue pair", EINVAL, ibv_attach_mcast(NULL, &group, 0));
	NO_ERRNO("a connected one", EINVAL, ibv_attach_mcast(b.qp[0], &group, 0));
	NO_ERRNO("no group", EINVAL, ibv_attach_mcast(ud, &single, 0));
	NO_ERRNO("it isn't in it", EINVAL, ibv_detach_mcast(ud, &group, 0));
	NO_POINTER("no attribute", EINVAL, ibv_open_xrcd(b.ctx, &x));
	x.comp_mask = IBV_XRCD_INIT_ATTR_FD | IBV_XRCD_INIT_ATTR_OFLAGS;
	x.fd = 9999;
	NO_POINTER("no such descriptor", EBADF, ibv_open_xrcd(b.ctx, &x));
	NO_POINTER("no attribute", EINVAL, ibv_open_qp(b.ctx, &open_attr));
	NO_ERRNO("no domain", EINVAL,
		 ibv_close_xrcd((struct ibv_xrcd *)(void *)&(struct ibv_xrcd){ .context = b.ctx }));
	assert_int_equal(ibv_destroy_qp(ud), 0);
	assert_int_equal(wrong, 0);
}

#define WITH_BED(t) cmocka_unit_test_setup_teardown(t, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_BED(devices_and_ports),  WITH_BED(domains_and_regions),  WITH_BED(queues),
		WITH_BED(making_queue_pairs), WITH_BED(changing_queue_pairs), WITH_BED(paths_and_groups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
