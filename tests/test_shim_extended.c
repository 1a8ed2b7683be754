/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The extended interfaces of the drop-in libibverbs: queues that are read field by field,
 * requests that are built call by call, device memory, domains, and every kind of query.
 */
#include "shim_fixture.h"

static struct ibv_cq_ex *extended_queue(struct bed *b, uint64_t flags)
{
	struct ibv_cq_init_attr_ex init = { .cqe = 16, .wc_flags = flags };
	struct ibv_cq_ex *ex = ibv_create_cq_ex(b->ctx, &init);

	assert_non_null(ex);
	return ex;
}

static struct ibv_qp *extended_qp(struct bed *b, struct ibv_cq *cq, enum ibv_qp_type type, uint64_t ops)
{
	struct ibv_qp_init_attr_ex init = {
		.send_cq = cq,
		.recv_cq = cq,
		.cap = { 8, 8, 4, 4, 64 },
		.qp_type = type,
		.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.pd = b->pd,
		.send_ops_flags = ops,
	};

	return ibv_create_qp_ex(b->ctx, &init);
}

#define OPS \
	(IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_READ | IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM | \
	 IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD | IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP)

struct pair {
	struct ibv_cq_ex *cq;
	struct ibv_qp *qp[2];
	struct ibv_qp_ex *ex;
};

static void pair_begin(struct bed *b, struct pair *p)
{
	int i;

	bed_begin(b);
	p->cq = extended_queue(b, IBV_WC_STANDARD_FLAGS | IBV_WC_EX_WITH_COMPLETION_TIMESTAMP |
					  IBV_WC_EX_WITH_COMPLETION_TIMESTAMP_WALLCLOCK);
	for (i = 0; i < 2; i++)
		assert_non_null(p->qp[i] = extended_qp(b, ibv_cq_ex_to_cq(p->cq), IBV_QPT_RC, OPS));
	bed_connect(b, p->qp[0], p->qp[1]->qp_num);
	bed_connect(b, p->qp[1], p->qp[0]->qp_num);
	p->ex = ibv_qp_to_qp_ex(p->qp[0]);
	assert_non_null(p->ex);
}

static void pair_end(struct bed *b, struct pair *p)
{
	assert_int_equal(ibv_destroy_qp(p->qp[0]), 0);
	assert_int_equal(ibv_destroy_qp(p->qp[1]), 0);
	assert_int_equal(ibv_destroy_cq(ibv_cq_ex_to_cq(p->cq)), 0);
	bed_end(b);
}

static void start(struct ibv_cq_ex *cq)
{
	struct ibv_poll_cq_attr attr = { 0 };
	int err;

	while ((err = ibv_start_poll(cq, &attr)) == ENOENT)
		;
	assert_int_equal(err, 0);
}

static void built_requests(void **state)
{
	struct ibv_poll_cq_attr attr = { 0 };
	struct ibv_sge to;
	struct ibv_data_buf text[2] = { { "two ", 4 }, { "parts", 6 } };
	struct pair p;
	struct bed b;

	(void)state;
	pair_begin(&b, &p);
	to = bed_sge(&b, 1, 512, 64);
	bed_recv(p.qp[1], 40, &to);
	*(uint64_t *)(b.mem[1] + 1024) = 3;
	ibv_wr_start(p.ex);
	p.ex->wr_id = 41;
	p.ex->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_rdma_write(p.ex, b.mr[1]->rkey, (uintptr_t)b.mem[1]);
	ibv_wr_set_sge(p.ex, b.mr[0]->lkey, (uintptr_t)b.mem[0], 100);
	p.ex->wr_id = 42;
	ibv_wr_atomic_fetch_add(p.ex, b.mr[1]->rkey, (uintptr_t)b.mem[1] + 1024, 4);
	ibv_wr_set_sge(p.ex, b.mr[0]->lkey, (uintptr_t)b.mem[0] + 2048, 8);
	p.ex->wr_id = 43;
	ibv_wr_send_imm(p.ex, 77);
	ibv_wr_set_inline_data_list(p.ex, 2, text);
	assert_int_equal(ibv_start_poll(p.cq, &attr), ENOENT);
	assert_int_equal(ibv_wr_complete(p.ex), 0);
	start(p.cq);
	assert_int_equal(p.cq->wr_id, 41);
	assert_int_equal(p.cq->status, IBV_WC_SUCCESS);
	assert_int_equal(ibv_wc_read_opcode(p.cq), IBV_WC_RDMA_WRITE);
	assert_int_equal(ibv_wc_read_qp_num(p.cq), p.qp[0]->qp_num);
	ibv_end_poll(p.cq);
	start(p.cq);
	assert_int_equal(p.cq->wr_id, 42);
	assert_int_equal(*(uint64_t *)(b.mem[0] + 2048), 3);
	assert_int_equal(*(uint64_t *)(b.mem[1] + 1024), 7);
	ibv_end_poll(p.cq);
	start(p.cq);
	if (p.cq->wr_id == 43) { /* in either order */
		ibv_end_poll(p.cq);
		start(p.cq);
	}
	assert_int_equal(p.cq->wr_id, 40);
	assert_int_equal(ibv_wc_read_opcode(p.cq), IBV_WC_RECV);
	assert_int_equal(ibv_wc_read_byte_len(p.cq), 10);
	assert_int_equal(ibv_wc_read_imm_data(p.cq), 77);
	assert_true(ibv_wc_read_wc_flags(p.cq) & IBV_WC_WITH_IMM);
	assert_true(ibv_wc_read_completion_ts(p.cq) > 0);
	assert_true(ibv_wc_read_completion_wallclock_ns(p.cq) / 1000000000u > 1600000000u);
	ibv_end_poll(p.cq);
	assert_memory_equal(b.mem[1] + 512, "two parts", 10);
	assert_memory_equal(b.mem[1], b.mem[0], 100);
	pair_end(&b, &p);
}

static void what_is_aborted_is_not_posted(void **state)
{
	struct ibv_poll_cq_attr attr = { 0 };
	struct pair p;
	struct bed b;

	(void)state;
	pair_begin(&b, &p);
	memset(b.mem[1], 1, 8);
	ibv_wr_start(p.ex);
	p.ex->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_rdma_write(p.ex, b.mr[1]->rkey, (uintptr_t)b.mem[1]);
	ibv_wr_set_sge(p.ex, b.mr[0]->lkey, (uintptr_t)b.mem[0], 8);
	ibv_wr_abort(p.ex);
	assert_int_equal(ibv_start_poll(p.cq, &attr), ENOENT);
	assert_int_equal(b.mem[1][0], 1);
	pair_end(&b, &p);
}

/* One that can't be takes the others with it. */
static void all_or_none(void **state)
{
	struct ibv_poll_cq_attr attr = { 0 };
	char big[65] = "";
	struct pair p;
	struct bed b;
	int i;

	(void)state;
	pair_begin(&b, &p);
	memset(b.mem[1], 1, 8);
	ibv_wr_start(p.ex);
	p.ex->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_rdma_write(p.ex, b.mr[1]->rkey, (uintptr_t)b.mem[1]);
	ibv_wr_set_sge(p.ex, b.mr[0]->lkey, (uintptr_t)b.mem[0], 8);
	ibv_wr_send(p.ex);
	ibv_wr_set_inline_data(p.ex, big, sizeof(big));
	assert_int_equal(ibv_wr_complete(p.ex), EINVAL);
	ibv_wr_start(p.ex);
	for (i = 0; i < 9; i++) {
		ibv_wr_rdma_write(p.ex, b.mr[1]->rkey, (uintptr_t)b.mem[1]);
		ibv_wr_set_sge(p.ex, b.mr[0]->lkey, (uintptr_t)b.mem[0], 8);
	}
	assert_int_equal(ibv_wr_complete(p.ex), ENOMEM);
	assert_int_equal(ibv_start_poll(p.cq, &attr), ENOENT);
	assert_int_equal(b.mem[1][0], 1);
	pair_end(&b, &p);
}

/* What is wrong with a later request is found before an earlier one leaves, also if it is nothing that building it shows. */
static void none_if_a_later_one_can_not_be(void **state)
{
	struct ibv_poll_cq_attr attr = { 0 };
	struct pair p;
	struct bed b;

	(void)state;
	pair_begin(&b, &p);
	memset(b.mem[1], 1, 16);
	ibv_wr_start(p.ex);
	p.ex->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_rdma_write(p.ex, b.mr[1]->rkey, (uintptr_t)b.mem[1]);
	ibv_wr_set_sge(p.ex, b.mr[0]->lkey, (uintptr_t)b.mem[0], 8);
	p.ex->wr_flags = 1u << 20;
	ibv_wr_rdma_write(p.ex, b.mr[1]->rkey, (uintptr_t)b.mem[1] + 8);
	ibv_wr_set_sge(p.ex, b.mr[0]->lkey, (uintptr_t)b.mem[0], 8);
	assert_int_equal(ibv_wr_complete(p.ex), EINVAL);
	ibv_wr_start(p.ex);
	p.ex->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_rdma_write(p.ex, b.mr[1]->rkey, (uintptr_t)b.mem[1]);
	ibv_wr_set_sge(p.ex, b.mr[0]->lkey, (uintptr_t)b.mem[0], 8);
	/* An opcode of reads has no inline data. */
	ibv_wr_rdma_read(p.ex, b.mr[1]->rkey, (uintptr_t)b.mem[1] + 8);
	ibv_wr_set_inline_data(p.ex, b.mem[0], 8);
	assert_int_equal(ibv_wr_complete(p.ex), EINVAL);
	assert_int_equal(ibv_start_poll(p.cq, &attr), ENOENT);
	assert_int_equal(b.mem[1][0], 1);
	/* The queue has all its room, and nothing is left of what was refused. */
	p.ex->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_start(p.ex);
	for (p.ex->wr_id = 0; p.ex->wr_id < 8; p.ex->wr_id++) {
		ibv_wr_rdma_write(p.ex, b.mr[1]->rkey, (uintptr_t)b.mem[1] + p.ex->wr_id);
		ibv_wr_set_sge(p.ex, b.mr[0]->lkey, (uintptr_t)b.mem[0], 1);
	}
	assert_int_equal(ibv_wr_complete(p.ex), 0);
	for (p.ex->wr_id = 0; p.ex->wr_id < 8; p.ex->wr_id++) {
		start(p.cq);
		assert_int_equal(p.cq->wr_id, p.ex->wr_id);
		assert_int_equal(p.cq->status, IBV_WC_SUCCESS);
		ibv_end_poll(p.cq);
	}
	assert_memory_equal(b.mem[1], b.mem[0], 8);
	assert_int_equal(b.mem[1][8], 1);
	pair_end(&b, &p);
}

static void what_can_not_be_made(void **state)
{
	struct ibv_cq_init_attr_ex init = { .cqe = 16, .wc_flags = IBV_WC_EX_WITH_CVLAN };
	struct bed b;

	(void)state;
	bed_begin(&b);
	assert_null(extended_qp(&b, b.cq, IBV_QPT_UD, IBV_QP_EX_WITH_RDMA_READ));
	assert_int_equal(errno, EOPNOTSUPP);
	assert_null(extended_qp(&b, b.cq, IBV_QPT_RC, IBV_QP_EX_WITH_TSO));
	assert_int_equal(errno, EOPNOTSUPP);
	assert_null(ibv_create_cq_ex(b.ctx, &init));
	assert_int_equal(errno, EOPNOTSUPP);
	b.qp[0] = bed_qp(&b, IBV_QPT_RC, NULL);
	assert_null(ibv_qp_to_qp_ex(b.qp[0]));
	bed_end(&b);
}

static void build(struct ibv_qp_ex *ex, uint64_t op)
{
	switch (op) {
	case IBV_QP_EX_WITH_RDMA_WRITE:
		ibv_wr_rdma_write(ex, 1, 0);
		break;
	case IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM:
		ibv_wr_rdma_write_imm(ex, 1, 0, 1);
		break;
	case IBV_QP_EX_WITH_SEND:
		ibv_wr_send(ex);
		break;
	case IBV_QP_EX_WITH_SEND_WITH_IMM:
		ibv_wr_send_imm(ex, 1);
		break;
	case IBV_QP_EX_WITH_RDMA_READ:
		ibv_wr_rdma_read(ex, 1, 0);
		break;
	case IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP:
		ibv_wr_atomic_cmp_swp(ex, 1, 0, 1, 2);
		break;
	case IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD:
		ibv_wr_atomic_fetch_add(ex, 1, 0, 1);
		break;
	case IBV_QP_EX_WITH_LOCAL_INV:
		ibv_wr_local_inv(ex, 1);
		break;
	case IBV_QP_EX_WITH_SEND_WITH_INV:
		ibv_wr_send_inv(ex, 1);
		break;
	default:
		fail_msg("an operation of 0x%llx", (unsigned long long)op);
	}
}

/* One that its type can't carry is refused when the queue pair is made, and every other one can be posted. */
static void what_can_be_made_can_be_posted(void **state)
{
	static const struct {
		enum ibv_qp_type type;
		uint64_t without;
	} types[] = {
		{ IBV_QPT_RC, 0 },
		{ IBV_QPT_UC, IBV_QP_EX_WITH_RDMA_READ | IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP |
				      IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD | IBV_QP_EX_WITH_SEND_WITH_INV },
		{ IBV_QPT_UD, ~(uint64_t)(IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM) },
		{ IBV_QPT_XRC_SEND, IBV_QP_EX_WITH_SEND_WITH_INV },
	};
	const uint64_t all = OPS | IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM | IBV_QP_EX_WITH_LOCAL_INV |
			     IBV_QP_EX_WITH_SEND_WITH_INV;
	const int init = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT;
	struct ibv_qp_attr attr = { .port_num = 1 };
	struct ibv_ah_attr path;
	struct ibv_ah *ah;
	struct ibv_qp *qp;
	struct bed b;
	uint64_t op;
	size_t i;

	(void)state;
	bed_begin(&b);
	path = bed_path(b.ctx);
	assert_non_null(ah = ibv_create_ah(b.pd, &path));
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		for (op = 1; op <= all; op <<= 1) {
			if (!(op & all))
				continue;
			errno = 0;
			qp = extended_qp(&b, b.cq, types[i].type, op);
			if (op & types[i].without) {
				assert_null(qp);
				assert_int_equal(errno, EOPNOTSUPP);
				continue;
			}
			assert_non_null(qp);
			attr.qp_state = IBV_QPS_INIT;
			assert_int_equal(
				ibv_modify_qp(qp, &attr,
					      init | (types[i].type == IBV_QPT_UD ? IBV_QP_QKEY : IBV_QP_ACCESS_FLAGS)),
				0);
			attr.qp_state = IBV_QPS_ERR;
			assert_int_equal(ibv_modify_qp(qp, &attr, IBV_QP_STATE), 0);
			ibv_wr_start(ibv_qp_to_qp_ex(qp));
			build(ibv_qp_to_qp_ex(qp), op);
			if (types[i].type == IBV_QPT_UD)
				ibv_wr_set_ud_addr(ibv_qp_to_qp_ex(qp), ah, 1, 1);
			assert_int_equal(ibv_wr_complete(ibv_qp_to_qp_ex(qp)), 0);
			assert_int_equal(bed_poll(b.cq).status, IBV_WC_WR_FLUSH_ERR);
			assert_int_equal(ibv_destroy_qp(qp), 0);
		}
	}
	assert_int_equal(ibv_destroy_ah(ah), 0);
	bed_end(&b);
}

static void device_memory(void **state)
{
	struct ibv_alloc_dm_attr attr = { .length = 4096, .log_align_req = 12 };
	char back[8] = "";
	struct ibv_dm *dm;
	struct ibv_mr *mr;
	struct ibv_wc wc;
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	dm = ibv_alloc_dm(b.ctx, &attr);
	assert_non_null(dm);
	assert_int_equal(ibv_memcpy_to_dm(dm, 100, "hello!!", 8), 0);
	assert_int_equal(ibv_memcpy_to_dm(dm, 4092, "hello!!", 8), EINVAL);
	assert_int_equal(ibv_memcpy_to_dm(dm, 101, "hello!!", 4), EINVAL);
	assert_int_equal(ibv_memcpy_to_dm(dm, 100, "hello!!", 5), EINVAL);
	mr = ibv_reg_dm_mr(b.pd, dm, 64, 1024, BED_ACCESS | IBV_ACCESS_ZERO_BASED);
	assert_non_null(mr);
	wc = bed_rdma(&b, IBV_WR_RDMA_READ, bed_sge(&b, 0, 0, 8), 36, mr->rkey);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_string_equal((char *)b.mem[0], "hello!!");
	strcpy((char *)b.mem[0], "world");
	wc = bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 8), 36, mr->rkey);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(ibv_memcpy_from_dm(back, dm, 100, 8), 0);
	assert_string_equal(back, "world");
	assert_int_equal(ibv_free_dm(dm), EBUSY);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_int_equal(ibv_free_dm(dm), 0);
	assert_int_equal(ibv_free_dm(dm), EINVAL);
	bed_end(&b);
}

static void domains(void **state)
{
	struct ibv_td_init_attr none = { 0 };
	struct ibv_parent_domain_init_attr init = { 0 };
	struct ibv_pd *parent;
	struct ibv_td *td;
	struct ibv_mr *mr;
	struct bed b;

	(void)state;
	bed_begin(&b);
	td = ibv_alloc_td(b.ctx, &none);
	assert_non_null(td);
	init.pd = b.pd;
	init.td = td;
	parent = ibv_alloc_parent_domain(b.ctx, &init);
	assert_non_null(parent);
	assert_int_equal(ibv_dealloc_td(td), EBUSY);
	mr = ibv_reg_mr(parent, b.mem[0], 100, BED_ACCESS);
	assert_non_null(mr);
	assert_ptr_equal(mr->pd, parent);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_int_equal(ibv_dealloc_pd(parent), 0);
	assert_int_equal(ibv_dealloc_td(td), 0);
	bed_end(&b);
}

/* A parent domain stays while there is anything that was made under it, of whatever kind. */
static void a_parent_domain_counts_its_users(void **state)
{
	struct ibv_parent_domain_init_attr init = { 0 };
	struct ibv_qp_init_attr qp_init = { .qp_type = IBV_QPT_RC, .cap = { 1, 1, 1, 1, 0 } };
	struct ibv_srq_init_attr srq_init = { .attr = { .max_wr = 1, .max_sge = 1 } };
	struct ibv_cq_init_attr_ex cq_init = { .cqe = 1, .comp_mask = IBV_CQ_INIT_ATTR_MASK_PD };
	struct ibv_pd *parent;
	struct ibv_ah_attr path;
	struct ibv_cq_ex *cq;
	struct ibv_srq *srq;
	struct ibv_mr *mr;
	struct ibv_mw *mw;
	struct ibv_qp *qp;
	struct ibv_ah *ah;
	struct bed b;

	(void)state;
	bed_begin(&b);
	path = bed_path(b.ctx);
	init.pd = b.pd;
	assert_non_null(parent = ibv_alloc_parent_domain(b.ctx, &init));
	qp_init.send_cq = qp_init.recv_cq = b.cq;
	cq_init.parent_domain = parent;
	assert_non_null(qp = ibv_create_qp(parent, &qp_init));
	assert_int_equal(ibv_dealloc_pd(parent), EBUSY);
	assert_int_equal(ibv_destroy_qp(qp), 0);
	assert_non_null(srq = ibv_create_srq(parent, &srq_init));
	assert_int_equal(ibv_dealloc_pd(parent), EBUSY);
	assert_int_equal(ibv_destroy_srq(srq), 0);
	assert_non_null(ah = ibv_create_ah(parent, &path));
	assert_int_equal(ibv_dealloc_pd(parent), EBUSY);
	assert_int_equal(ibv_destroy_ah(ah), 0);
	assert_non_null(mw = ibv_alloc_mw(parent, IBV_MW_TYPE_1));
	assert_int_equal(ibv_dealloc_pd(parent), EBUSY);
	assert_int_equal(ibv_dealloc_mw(mw), 0);
	assert_non_null(cq = ibv_create_cq_ex(b.ctx, &cq_init));
	assert_int_equal(ibv_dealloc_pd(parent), EBUSY);
	assert_int_equal(ibv_destroy_cq(ibv_cq_ex_to_cq(cq)), 0);
	assert_non_null(mr = ibv_reg_mr(parent, b.mem[0], 100, BED_ACCESS));
	assert_int_equal(ibv_dealloc_pd(parent), EBUSY);
	/* It goes to the domain behind it, and comes back. */
	assert_int_equal(ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_PD, b.pd, NULL, 0, 0), 0);
	assert_int_equal(ibv_dealloc_pd(parent), 0);
	assert_non_null(parent = ibv_alloc_parent_domain(b.ctx, &init));
	assert_int_equal(ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_PD, parent, NULL, 0, 0), 0);
	assert_int_equal(ibv_dealloc_pd(parent), EBUSY);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_int_equal(ibv_dealloc_pd(parent), 0);
	bed_end(&b);
}

static void a_name_of_the_programs_own(void **state)
{
	struct ibv_mr *mr;
	struct ibv_wc wc;
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	mr = ibv_reg_mr_iova(b.pd, b.mem[1] + 4096, 4096, 0x1000, BED_ACCESS | IBV_ACCESS_RELAXED_ORDERING);
	assert_non_null(mr);
	wc = bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 100), 0x1008, mr->rkey);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_memory_equal(b.mem[1] + 4096 + 8, b.mem[0], 100);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	bed_end(&b);
}

static void queries(void **state)
{
	struct ibv_context *ctx = bed_open();
	struct ibv_values_ex values = { .comp_mask = IBV_VALUES_MASK_RAW_CLOCK };
	struct ibv_device_attr_ex dev;
	struct ibv_gid_entry table[64];
	struct ibv_port_attr port;
	union ibv_gid gid;
	uint8_t bytes[64];
	__be16 pkey;
	ssize_t n, i;

	(void)state;
	assert_int_equal(ibv_query_device_ex(ctx, NULL, &dev), 0);
	assert_true(dev.odp_caps.general_caps & IBV_ODP_SUPPORT);
	assert_int_equal(dev.orig_attr.phys_port_cnt, 1);
	assert_true(dev.orig_attr.node_guid == ibv_get_device_guid(ctx->device));
	assert_int_equal(ibv_query_port(ctx, 1, &port), 0);
	assert_int_equal(port.state, IBV_PORT_ACTIVE);
	assert_int_equal(port.link_layer, IBV_LINK_LAYER_ETHERNET);
	assert_int_equal(ibv_query_port(ctx, 2, &port), EINVAL);
	/* The call of before version 1.1's last field: it writes 48 bytes, and no more. */
	memset(bytes, 0xee, sizeof(bytes));
	assert_int_equal((ibv_query_port)(ctx, 1, (struct _compat_ibv_port_attr *)bytes), 0);
	assert_int_equal(bytes[47], IBV_QPF_GRH_REQUIRED);
	assert_int_equal(bytes[48], 0xee);
	n = ibv_query_gid_table(ctx, table, 64, 0);
	assert_true(n >= 1);
	for (i = 0; i < n; i++) {
		struct ibv_gid_entry one;

		assert_int_equal(ibv_query_gid(ctx, 1, (int)table[i].gid_index, &gid), 0);
		assert_memory_equal(&gid, &table[i].gid, sizeof(gid));
		assert_int_equal(ibv_query_gid_ex(ctx, 1, table[i].gid_index, &one, 0), 0);
		assert_int_equal(one.gid_type, IBV_GID_TYPE_ROCE_V2);
	}
	assert_int_equal(table[0].gid.raw[0], 0xfe);
	assert_int_equal(ibv_query_gid(ctx, 1, port.gid_tbl_len, &gid), -1);
	assert_int_equal(ibv_query_pkey(ctx, 1, 0, &pkey), 0);
	assert_int_equal(pkey, 0xffff);
	assert_int_equal(ibv_get_pkey_index(ctx, 1, pkey), 0);
	assert_int_equal(ibv_get_pkey_index(ctx, 1, 1), -1);
	assert_int_equal(ibv_query_rt_values_ex(ctx, &values), 0);
	assert_true(values.raw_clock.tv_sec || values.raw_clock.tv_nsec);
	assert_int_equal(ibv_close_device(ctx), 0);
}

static void attributes_of_a_queue_pair_come_back(void **state)
{
	struct ibv_qp_init_attr init;
	struct ibv_ah_attr path;
	struct ibv_qp_attr attr;
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	path = bed_path(b.ctx);
	assert_int_equal(ibv_query_qp(b.qp[0], &attr, IBV_QP_STATE | IBV_QP_AV | IBV_QP_CAP, &init), 0);
	assert_int_equal(attr.qp_state, IBV_QPS_RTS);
	assert_int_equal(attr.dest_qp_num, b.qp[1]->qp_num);
	assert_int_equal(attr.path_mtu, IBV_MTU_1024);
	assert_memory_equal(&attr.ah_attr, &path, sizeof(path));
	assert_int_equal(attr.cap.max_send_wr, 16);
	assert_ptr_equal(init.send_cq, b.cq);
	attr.qp_state = IBV_QPS_ERR;
	assert_int_equal(ibv_modify_qp(b.qp[0], &attr, IBV_QP_STATE), 0);
	assert_int_equal(b.qp[0]->state, IBV_QPS_ERR);
	assert_int_equal(ibv_modify_qp(b.qp[0], &attr, IBV_QP_STATE | IBV_QP_ALT_PATH), EINVAL);
	bed_end(&b);
}

/* What the device can't do says so, by the call or by errno. */
static void what_there_is_not(void **state)
{
	struct ibv_counters_init_attr counters = { 0 };
	struct ibv_srq_init_attr_ex srq = { .comp_mask = IBV_SRQ_INIT_ATTR_TYPE | IBV_SRQ_INIT_ATTR_PD,
					    .srq_type = IBV_SRQT_TM };
	struct ibv_flow_attr flow = { 0 };
	struct ibv_wq_init_attr wq = { 0 };
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	errno = 0;
	assert_null(ibv_create_counters(b.ctx, &counters));
	assert_int_equal(errno, EOPNOTSUPP);
	errno = 0;
	assert_null(ibv_create_flow(b.qp[0], &flow));
	assert_int_equal(errno, EOPNOTSUPP);
	errno = 0;
	assert_null(ibv_create_wq(b.ctx, &wq));
	assert_int_equal(errno, EOPNOTSUPP);
	errno = 0;
	assert_null(ibv_reg_dmabuf_mr(b.pd, 0, 4096, 0, 0, BED_ACCESS));
	assert_int_equal(errno, EOPNOTSUPP);
	errno = 0;
	srq.pd = b.pd;
	assert_null(ibv_create_srq_ex(b.ctx, &srq));
	assert_int_equal(errno, EOPNOTSUPP);
	errno = 0;
	assert_null(ibv_import_device(0));
	assert_int_equal(errno, EOPNOTSUPP);
	errno = 0;
	assert_null(ibv_alloc_null_mr(b.pd));
	assert_int_equal(errno, EOPNOTSUPP);
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(built_requests),
		cmocka_unit_test(what_is_aborted_is_not_posted),
		cmocka_unit_test(all_or_none),
		cmocka_unit_test(none_if_a_later_one_can_not_be),
		cmocka_unit_test(what_can_not_be_made),
		cmocka_unit_test(what_can_be_made_can_be_posted),
		cmocka_unit_test(device_memory),
		cmocka_unit_test(domains),
		cmocka_unit_test(a_parent_domain_counts_its_users),
		cmocka_unit_test(a_name_of_the_programs_own),
		cmocka_unit_test(queries),
		cmocka_unit_test(attributes_of_a_queue_pair_come_back),
		cmocka_unit_test(what_there_is_not),
	};

	return cmocka_run_group_tests(tests, make_fabric, remove_fabric);
}
