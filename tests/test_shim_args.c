/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every call of verbs that makes, changes, asks or ends something, with each of its arguments wrong: it fails with the errno that stands
 * beside it, the log says why, it has changed nothing, and the program goes on. Inline calls of <infiniband/verbs.h> follow the context or the object that they
 * get before the library is called, so these are good here; so is all that is written to.
 */
#include "shim_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

static int wrong; /* calls that did something else */
static int own_stderr, log_fd; /* and where it leads to during a call */

static void listen_to_log(void)
{
	assert_int_equal(ftruncate(log_fd, 0), 0);
	assert_int_equal(dup2(log_fd, STDERR_FILENO), STDERR_FILENO);
}

/* What the log has got since then, without the end of its last line. */
static const char *logged(void)
{
	static char text[4096];
	ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);

	assert_int_equal(dup2(own_stderr, STDERR_FILENO), STDERR_FILENO);
	if (n > 0 && text[n - 1] == '\n')
		n--;
	text[n > 0 ? n : 0] = 0;
	return text;
}

static void judge(const char *call, const char *what, int got, int want)
{
	const char *why = logged();

	if (got == want && *why)
		return;
	wrong++;
	print_error("%s (%s): %d (%s), not %d (%s); the log: %s\n", call, what, got, strerror(got), want,
		    strerror(want), why);
}

/* Calls that return a pointer, an errno, and -1 with errno. */
#define NO_POINTER(what, want, call) \
	do { \
		const void *made_; \
		listen_to_log(); \
		errno = 0; \
		made_ = (call); \
		judge(#call, what, made_ ? 0 : errno, want); \
	} while (0)
#define NO_ERRNO(what, want, call) \
	do { \
		int got_; \
		listen_to_log(); \
		got_ = (call); \
		judge(#call, what, got_, want); \
	} while (0)
#define NO_MINUS_ONE(what, want, call) \
	do { \
		int got_; \
		listen_to_log(); \
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
	/* The inline call itself refuses this. */
	assert_int_equal(ibv_query_device_ex(b.ctx, &(const struct ibv_query_device_ex_input){ .comp_mask = 1 }, &dex),
			 EINVAL);
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

/* --- posting: the requests in front of the bad one are posted, and it is pointed out --- */

static void refused_send(const char *what, struct ibv_qp *qp, const struct ibv_send_wr *wrong_one)
{
	struct ibv_sge sge = bed_sge(&b, 0, 0, 8);
	struct ibv_send_wr after = { .opcode = IBV_WR_SEND }, bad = *wrong_one, *at = NULL;
	struct ibv_send_wr before = { .next = &bad,
				      .wr_id = 77,
				      .opcode = IBV_WR_RDMA_WRITE,
				      .send_flags = IBV_SEND_SIGNALED,
				      .sg_list = &sge,
				      .num_sge = 1,
				      .wr.rdma = { .remote_addr = (uintptr_t)b.mem[1], .rkey = b.mr[1]->rkey } };
	bool connected = qp->qp_type == IBV_QPT_RC;

	bad.next = &after;
	NO_ERRNO(what, EINVAL, ibv_post_send(qp, connected ? &before : &bad, &at));
	assert_ptr_equal(at, &bad);
	if (connected)
		assert_int_equal(bed_poll(b.cq).wr_id, 77);
}

static void posting(void **state)
{
	struct ibv_sge many[5] = { bed_sge(&b, 0, 0, 8), bed_sge(&b, 0, 8, 8), bed_sge(&b, 0, 16, 8),
				   bed_sge(&b, 0, 24, 8), bed_sge(&b, 0, 32, 8) };
	struct ibv_sge long_one = bed_sge(&b, 0, 0, 4096);
	struct ibv_pd *pd = ibv_alloc_pd(b.ctx);
	struct ibv_ah_attr path = bed_path(b.ctx);
	struct ibv_ah *other = ibv_create_ah(pd, &path);
	struct ibv_mw *w1 = ibv_alloc_mw(b.pd, IBV_MW_TYPE_1), *w2 = ibv_alloc_mw(pd, IBV_MW_TYPE_2);
	const struct {
		const char *what;
		enum ibv_qp_type type;
		struct ibv_send_wr wr;
	} sends[] = {
		{ "too many entries", IBV_QPT_RC, { .opcode = IBV_WR_SEND, .sg_list = many, .num_sge = 5 } },
		{ "fewer than no entries", IBV_QPT_RC, { .opcode = IBV_WR_SEND, .sg_list = many, .num_sge = -1 } },
		{ "an unknown opcode", IBV_QPT_RC, { .opcode = (enum ibv_wr_opcode)99 } },
		{ "one of drivers alone", IBV_QPT_RC, { .opcode = IBV_WR_DRIVER1 } },
		{ "TSO", IBV_QPT_RC, { .opcode = IBV_WR_TSO } },
		{ "too much inline",
		  IBV_QPT_RC,
		  { .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_INLINE, .sg_list = &long_one, .num_sge = 1 } },
		{ "no window", IBV_QPT_RC, { .opcode = IBV_WR_BIND_MW } },
		{ "a window of the other type", IBV_QPT_RC, { .opcode = IBV_WR_BIND_MW, .bind_mw.mw = w1 } },
		{ "a window of another domain", IBV_QPT_RC, { .opcode = IBV_WR_BIND_MW, .bind_mw.mw = w2 } },
		{ "no address handle", IBV_QPT_UD, { .opcode = IBV_WR_SEND } },
		{ "one of another domain", IBV_QPT_UD, { .opcode = IBV_WR_SEND, .wr.ud.ah = other } },
		{ "a write by datagram", IBV_QPT_UD, { .opcode = IBV_WR_RDMA_WRITE } },
		{ "a read by datagram", IBV_QPT_UD, { .opcode = IBV_WR_RDMA_READ } },
		{ "an atomic by datagram", IBV_QPT_UD, { .opcode = IBV_WR_ATOMIC_FETCH_AND_ADD } },
	};
	struct ibv_recv_wr good = { .wr_id = 1 }, bad = { .sg_list = many, .num_sge = 5 }, *at = NULL;
	struct ibv_qp *ud = bed_qp(&b, IBV_QPT_UD, NULL), *new = bed_qp(&b, IBV_QPT_RC, NULL);
	struct ibv_send_wr plain = { .opcode = IBV_WR_SEND }, *bad_send = NULL;
	size_t i;

	(void)state;
	assert_true(pd && other && w1 && w2);
	bed_datagram(ud);
	for (i = 0; i < sizeof(sends) / sizeof(sends[0]); i++)
		refused_send(sends[i].what, sends[i].type == IBV_QPT_UD ? ud : b.qp[0], &sends[i].wr);
	NO_ERRNO("in RESET", EINVAL, ibv_post_send(new, &plain, &bad_send));
	assert_ptr_equal(bad_send, &plain);
	NO_ERRNO("in RESET", EINVAL, ibv_post_recv(new, &good, &at));
	assert_ptr_equal(at, &good);
	good.next = &bad;
	NO_ERRNO("too many entries", EINVAL, ibv_post_recv(b.qp[1], &good, &at));
	assert_ptr_equal(at, &bad);
	NO_ERRNO("too many entries", EINVAL, ibv_post_srq_recv(srq, &good, &at));
	assert_ptr_equal(at, &bad);
	bad.num_sge = -1;
	NO_ERRNO("fewer than no entries", EINVAL, ibv_post_srq_recv(srq, &bad, &at));
	NO_ERRNO("fewer than no entries", EINVAL, ibv_post_recv(b.qp[1], &bad, &at));
	assert_int_equal(ibv_destroy_qp(ud) | ibv_destroy_qp(new) | ibv_destroy_ah(other), 0);
	assert_int_equal(ibv_dealloc_mw(w1) | ibv_dealloc_mw(w2) | ibv_dealloc_pd(pd), 0);
	assert_int_equal(wrong, 0);
}

/* Where the man pages want a structure, or a place for the answer, there is none. */
static void nothing_given(void **state)
{
	struct ibv_ah_attr path = bed_path(b.ctx);
	struct ibv_gid_entry *volatile no_entries = NULL; /* the header tells the compiler that there are some */
	struct ibv_wc wc = { .wc_flags = IBV_WC_GRH };
	struct ibv_qp_init_attr qi;
	struct ibv_qp_attr qa;
	struct ibv_cq *cq;
	void *context;

	(void)state;
	NO_ERRNO("no attributes", EINVAL, ibv_query_device(b.ctx, NULL));
	NO_ERRNO("no values", EINVAL, ibv_query_rt_values_ex(b.ctx, NULL));
	NO_MINUS_ONE("no GID", EINVAL, ibv_query_gid(b.ctx, 1, 0, NULL));
	NO_ERRNO("no entry", EINVAL, ibv_query_gid_ex(b.ctx, 1, 0, NULL, 0));
	NO_ERRNO("no entries", -EINVAL, (int)ibv_query_gid_table(b.ctx, no_entries, 16, 0));
	NO_MINUS_ONE("no key", EINVAL, ibv_query_pkey(b.ctx, 1, 0, NULL));
	NO_POINTER("no attributes", EINVAL, ibv_alloc_td(b.ctx, NULL));
	NO_POINTER("no attributes", EINVAL, ibv_alloc_parent_domain(b.ctx, NULL));
	NO_POINTER("no attributes", EINVAL, ibv_alloc_dm(b.ctx, NULL));
	NO_ERRNO("no entries", EINVAL, ibv_advise_mr(b.pd, IBV_ADVISE_MR_ADVICE_PREFETCH, 0, NULL, 1));
	NO_POINTER("no attributes", EINVAL, ibv_create_cq_ex(b.ctx, NULL));
	NO_ERRNO("no attributes", EINVAL, ibv_modify_cq(b.cq, NULL));
	NO_MINUS_ONE("no place for the queue", EINVAL, ibv_get_cq_event(b.channel, NULL, &context));
	NO_MINUS_ONE("no place for its context", EINVAL, ibv_get_cq_event(b.channel, &cq, NULL));
	NO_MINUS_ONE("no place for the event", EINVAL, ibv_get_async_event(b.ctx, NULL));
	NO_POINTER("no attributes", EINVAL, ibv_create_srq(b.pd, NULL));
	NO_ERRNO("no attributes", EINVAL, ibv_modify_srq(srq, NULL, IBV_SRQ_LIMIT));
	NO_ERRNO("no attributes", EINVAL, ibv_query_srq(srq, NULL));
	NO_ERRNO("no number", EINVAL, ibv_get_srq_num(srq, NULL));
	NO_POINTER("no attributes", EINVAL, ibv_create_qp(b.pd, NULL));
	NO_ERRNO("no attributes", EINVAL, ibv_modify_qp(b.qp[0], NULL, IBV_QP_STATE));
	NO_ERRNO("no attributes", EINVAL, ibv_query_qp(b.qp[0], NULL, IBV_QP_STATE, &qi));
	NO_ERRNO("no attributes", EINVAL, ibv_query_qp(b.qp[0], &qa, IBV_QP_STATE, NULL));
	NO_ERRNO("no options", EINVAL, ibv_query_ece(b.qp[0], NULL));
	NO_POINTER("no attributes", EINVAL, ibv_create_ah(b.pd, NULL));
	NO_MINUS_ONE("no completion", EINVAL, ibv_init_ah_from_wc(b.ctx, 1, NULL, (struct ibv_grh *)b.mem[0], &path));
	NO_MINUS_ONE("no header", EINVAL, ibv_init_ah_from_wc(b.ctx, 1, &wc, NULL, &path));
	NO_MINUS_ONE("no path", EINVAL, ibv_init_ah_from_wc(b.ctx, 1, &wc, (struct ibv_grh *)b.mem[0], NULL));
	NO_POINTER("no domain", EINVAL, ibv_create_ah_from_wc(NULL, &wc, (struct ibv_grh *)b.mem[0], 1));
	NO_ERRNO("no path", -EINVAL, ibv_resolve_eth_l2_from_gid(b.ctx, NULL, b.mem[0], NULL));
	NO_ERRNO("no place for the address", -EINVAL, ibv_resolve_eth_l2_from_gid(b.ctx, &path, NULL, NULL));
	NO_ERRNO("no group", EINVAL, ibv_attach_mcast(b.qp[0], NULL, 0));
	NO_ERRNO("no group", EINVAL, ibv_detach_mcast(b.qp[0], NULL, 0));
	NO_POINTER("no attributes", EINVAL, ibv_open_xrcd(b.ctx, NULL));
	NO_POINTER("no attributes", EINVAL, ibv_open_qp(b.ctx, NULL));
	assert_int_equal(wrong, 0);
}

/* Each object is used after its end, where others of its kind are alive. */
static void ended_objects(void **state)
{
	struct ibv_ah_attr path = bed_path(b.ctx);
	struct ibv_alloc_dm_attr dma = { .length = 64 };
	struct ibv_td_init_attr tda = { .comp_mask = 0 };
	struct ibv_parent_domain_init_attr parent = { .pd = NULL };
	struct ibv_srq_init_attr init = { .attr = { .max_wr = 16, .max_sge = 1 } };
	struct ibv_qp_init_attr qi = { .qp_type = IBV_QPT_RC, .cap = { .max_send_wr = 1, .max_send_sge = 1 } };
	struct ibv_modify_cq_attr mod = { .attr_mask = 0 };
	struct ibv_mw_bind bind = { .bind_info = { .mr = b.mr[0], .addr = (uintptr_t)b.mem[0], .length = 8 } };
	struct ibv_srq_attr sa = { .srq_limit = 1 };
	union ibv_gid group = { .raw = { 0xff, 0x0e, [15] = 9 } };
	struct ibv_send_wr send = { .opcode = IBV_WR_SEND }, *bad_send;
	struct ibv_recv_wr recv = { .wr_id = 1 }, *bad_recv;
	struct ibv_pd *pd = ibv_alloc_pd(b.ctx);
	struct ibv_td *td = ibv_alloc_td(b.ctx, &tda);
	struct ibv_dm *dm = ibv_alloc_dm(b.ctx, &dma);
	struct ibv_comp_channel *channel = ibv_create_comp_channel(b.ctx);
	struct ibv_cq *cq = ibv_create_cq(b.ctx, 4, NULL, NULL, 0), *got;
	struct ibv_srq *old_srq = ibv_create_srq(b.pd, &init);
	struct ibv_mr *mr = ibv_reg_mr(b.pd, b.mem[0], 64, IBV_ACCESS_LOCAL_WRITE);
	struct ibv_mw *mw = ibv_alloc_mw(b.pd, IBV_MW_TYPE_1);
	struct ibv_ah *old_ah = ibv_create_ah(b.pd, &path);
	struct ibv_qp *qp = bed_qp(&b, IBV_QPT_UD, NULL);
	struct ibv_qp_attr qa = { .qp_state = IBV_QPS_ERR };
	struct ibv_wc wc;
	void *context;

	(void)state;
	assert_true(pd && td && dm && channel && cq && old_srq && mr && mw && old_ah);
	assert_int_equal(ibv_dealloc_pd(pd) | ibv_dealloc_td(td) | ibv_free_dm(dm), 0);
	assert_int_equal(ibv_destroy_comp_channel(channel) | ibv_destroy_cq(cq) | ibv_destroy_srq(old_srq), 0);
	assert_int_equal(ibv_dereg_mr(mr) | ibv_dealloc_mw(mw) | ibv_destroy_ah(old_ah) | ibv_destroy_qp(qp), 0);
	NO_ERRNO("ended", EINVAL, ibv_dealloc_pd(pd));
	NO_POINTER("ended", EINVAL, ibv_reg_mr(pd, b.mem[0], 8, 0));
	NO_POINTER("ended", EINVAL, ibv_alloc_mw(pd, IBV_MW_TYPE_1));
	NO_POINTER("ended", EINVAL, ibv_create_srq(pd, &init));
	NO_POINTER("ended", EINVAL, ibv_create_ah(pd, &path));
	qi.send_cq = qi.recv_cq = b.cq;
	NO_POINTER("ended", EINVAL, ibv_create_qp(pd, &qi));
	parent.pd = pd;
	NO_POINTER("ended", EINVAL, ibv_alloc_parent_domain(b.ctx, &parent));
	parent = (struct ibv_parent_domain_init_attr){ .pd = b.pd, .td = td };
	NO_POINTER("ended", EINVAL, ibv_alloc_parent_domain(b.ctx, &parent));
	NO_ERRNO("ended", EINVAL, ibv_dealloc_td(td));
	NO_ERRNO("ended", EINVAL, ibv_free_dm(dm));
	NO_POINTER("ended", EINVAL, ibv_reg_dm_mr(b.pd, dm, 0, 8, IBV_ACCESS_ZERO_BASED));
	NO_ERRNO("ended", EINVAL, ibv_destroy_comp_channel(channel));
	NO_POINTER("ended", EINVAL, ibv_create_cq(b.ctx, 4, NULL, channel, 0));
	NO_MINUS_ONE("ended", EINVAL, ibv_get_cq_event(channel, &got, &context));
	NO_ERRNO("ended", EINVAL, ibv_destroy_cq(cq));
	NO_ERRNO("ended", EINVAL, ibv_resize_cq(cq, 8));
	NO_ERRNO("ended", EINVAL, ibv_modify_cq(cq, &mod));
	cq->context = b.ctx; /* which inline calls follow */
	NO_ERRNO("ended", EINVAL, ibv_req_notify_cq(cq, 0));
	NO_ERRNO("ended", -EINVAL, ibv_poll_cq(cq, 1, &wc));
	qi.recv_cq = cq;
	NO_POINTER("ended", EINVAL, ibv_create_qp(b.pd, &qi));
	qi = (struct ibv_qp_init_attr){
		.send_cq = b.cq, .recv_cq = b.cq, .srq = old_srq, .qp_type = IBV_QPT_RC, .cap = qi.cap
	};
	NO_POINTER("ended", EINVAL, ibv_create_qp(b.pd, &qi));
	NO_ERRNO("ended", EINVAL, ibv_destroy_srq(old_srq));
	NO_ERRNO("ended", EINVAL, ibv_modify_srq(old_srq, &sa, IBV_SRQ_LIMIT));
	NO_ERRNO("ended", EINVAL, ibv_query_srq(old_srq, &sa));
	NO_ERRNO("ended", EINVAL, ibv_post_srq_recv(old_srq, &recv, &bad_recv));
	NO_ERRNO("ended", EINVAL, ibv_dereg_mr(mr));
	NO_MINUS_ONE("ended", EINVAL, ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0, 0));
	NO_ERRNO("ended", EINVAL, ibv_dealloc_mw(mw));
	NO_ERRNO("ended", EINVAL, ibv_bind_mw(b.qp[0], mw, &bind));
	NO_ERRNO("ended", EINVAL, ibv_destroy_ah(old_ah));
	NO_ERRNO("ended", EINVAL, ibv_destroy_qp(qp));
	NO_ERRNO("ended", EINVAL, ibv_modify_qp(qp, &qa, IBV_QP_STATE));
	NO_ERRNO("ended", EINVAL, ibv_query_qp(qp, &qa, IBV_QP_STATE, &qi));
	NO_ERRNO("ended", EINVAL, ibv_attach_mcast(qp, &group, 0));
	NO_ERRNO("ended", EINVAL, ibv_detach_mcast(qp, &group, 0));
	NO_ERRNO("ended", EINVAL, ibv_post_send(qp, &send, &bad_send));
	assert_ptr_equal(bad_send, &send);
	NO_ERRNO("ended", EINVAL, ibv_post_recv(qp, &recv, &bad_recv));
	assert_ptr_equal(bad_recv, &recv);
	/* One of another context goes with none of this one's. */
	assert_non_null(pd = ibv_alloc_pd(b.ctx));
	parent = (struct ibv_parent_domain_init_attr){ .pd = pd };
	{
		struct ibv_context *other = bed_open();
		struct ibv_pd *strange = ibv_alloc_pd(other);

		assert_non_null(strange);
		qi = (struct ibv_qp_init_attr){
			.send_cq = b.cq, .recv_cq = b.cq, .qp_type = IBV_QPT_RC, .cap = qi.cap
		};
		NO_POINTER("of another context", EINVAL, ibv_create_qp(strange, &qi));
		NO_POINTER("of another context", EINVAL, ibv_create_cq(other, 4, NULL, b.channel, 0));
		NO_POINTER("of another context", EINVAL, ibv_alloc_parent_domain(other, &parent));
		assert_int_equal(ibv_close_device(other), 0);
		NO_MINUS_ONE("ended", EINVAL, ibv_close_device(other));
		NO_POINTER("ended", EINVAL, ibv_alloc_pd(other));
		NO_POINTER("ended", EINVAL, ibv_create_cq(other, 4, NULL, NULL, 0));
		NO_POINTER("ended", EINVAL, ibv_create_comp_channel(other));
		NO_ERRNO("ended", EINVAL, ibv_query_device(other, &dev));
		NO_ERRNO("ended", EINVAL, ibv_dealloc_pd(strange));
	}
	assert_int_equal(ibv_dealloc_pd(pd), 0);
	assert_int_equal(wrong, 0);
}

#define WITH_BED(t) cmocka_unit_test_setup_teardown(t, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_BED(devices_and_ports),
		WITH_BED(domains_and_regions),
		WITH_BED(queues),
		WITH_BED(making_queue_pairs),
		WITH_BED(changing_queue_pairs),
		WITH_BED(paths_and_groups),
		WITH_BED(posting),
		WITH_BED(nothing_given),
		WITH_BED(ended_objects),
	};

	/* Before the first call: it is read once. */
	setenv("SOFTHCA_LOG", "info", 1);
	own_stderr = dup(STDERR_FILENO);
	log_fd = memfd_create("log", MFD_CLOEXEC);
	if (own_stderr < 0 || log_fd < 0 || fcntl(log_fd, F_SETFL, O_APPEND))
		return 1;
	return cmocka_run_group_tests(tests, make_fabric, remove_fabric);
}
