/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Work requests that are wrong in themselves: keys, rights, bounds, lists, opcodes. Each has its errno or its statuses
 * at both ends, and a pair beside it goes on working.
 */
#include "verbs_by.h"

/* --- keys --- */

static struct scatterlist registered_sg;

/* A fast registered MR of b over bytes [off, off + len) of its memory, named by their addresses in a mapping of their own. */
static struct ib_mr *registered(u32 off, u32 len, int access)
{
	struct ib_mr *mr = ib_alloc_mr(b.pd, IB_MR_TYPE_MEM_REG, 16);
	struct ib_reg_wr reg = { .wr = { .wr_id = 90, .opcode = IB_WR_REG_MR }, .access = access };

	assert_false(IS_ERR(mr));
	sg_init_table(&registered_sg, 1);
	sg_set_page(&registered_sg, nth_page(b.page, off >> PAGE_SHIFT), len, off & 4095);
	assert_int_equal(ib_dma_map_sg(b.dev, &registered_sg, 1, DMA_BIDIRECTIONAL), 1);
	assert_int_equal(ib_map_mr_sg(mr, &registered_sg, 1, NULL, 4096), 1);
	reg.mr = mr;
	reg.key = mr->rkey;
	assert_int_equal(ib_post_send(b.qp, &reg.wr, NULL), 0);
	vk_poll(&b, 90, IB_WC_SUCCESS);
	return mr;
}

static void registered_gone(struct ib_mr *mr)
{
	assert_int_equal(ib_dereg_mr(mr), 0);
	ib_dma_unmap_sg(b.dev, &registered_sg, 1, DMA_BIDIRECTIONAL);
}

static void remote(enum ib_wr_opcode op, u64 addr, u32 len, u32 rkey, enum ib_wc_status status)
{
	struct ib_sge sge = vk_sge(&a, 0, len);
	const struct ib_atomic_wr at = {
		.wr = { .wr_id = 1, .sg_list = &sge, .num_sge = 1, .opcode = op },
		.remote_addr = addr,
		.rkey = rkey,
	};
	enum ib_event_type event;

	memset(b.buf, 0x77, 8192);
	if (op == IB_WR_ATOMIC_FETCH_AND_ADD || op == IB_WR_ATOMIC_CMP_AND_SWP)
		assert_int_equal(ib_post_send(a.qp, &at.wr, NULL), 0);
	else
		assert_int_equal(vk_rdma(&a, 1, op, 0, len, addr, rkey), 0);
	vk_poll(&a, 1, status);
	if (!status)
		return;
	assert_int_equal(qp_state(a.qp), IB_QPS_ERR);
	assert_int_equal(qp_state(b.qp), IB_QPS_ERR);
	event = status == IB_WC_REM_ACCESS_ERR ? IB_EVENT_QP_ACCESS_ERR : IB_EVENT_QP_REQ_ERR;
	assert_int_equal(b.events[event], 1);
	b.events[event] = 0;
	assert_int_equal(a.events[IB_EVENT_QP_ACCESS_ERR] + a.events[IB_EVENT_QP_FATAL], 0);
	/* Nothing was touched, not even the part that would have been allowed. */
	assert_int_equal(b.buf[0], 0x77);
	assert_memory_equal(b.buf, b.buf + 1, 8191);
	by_works();
	reconnect();
}

static const enum ib_wr_opcode one_sided[] = { IB_WR_RDMA_WRITE, IB_WR_RDMA_READ, IB_WR_ATOMIC_FETCH_AND_ADD,
					       IB_WR_ATOMIC_CMP_AND_SWP };

static void remote_keys_that_are_none(void **state)
{
	u64 addr = hca_dma_u64(b.addr);
	struct ib_mr *extra[64];
	size_t i, k;

	(void)state;
	for (i = 0; i < 64; i++) {
		extra[i] = ib_get_dma_mr(a.pd, VK_RIGHTS);
		assert_false(IS_ERR(extra[i]));
	}
	for (i = 0; i < HCA_ARRAY_SIZE(one_sided); i++) {
		/* nothing, everything, the right index of another generation, another device's, one for this end alone */
		const u32 keys[] = { 0, ~0u, b.mr->rkey ^ 1, b.mr->rkey ^ 0x80, extra[63]->rkey, b.pd->local_dma_lkey };

		for (k = 0; k < HCA_ARRAY_SIZE(keys); k++)
			remote(one_sided[i], addr, 8, keys[k], IB_WC_REM_ACCESS_ERR);
		remote(one_sided[i], addr, 8, b.mr->rkey, IB_WC_SUCCESS);
	}
	for (i = 0; i < 64; i++)
		assert_int_equal(ib_dereg_mr(extra[i]), 0);
}

static void remote_keys_of_other_domains_and_dead_ones(void **state)
{
	struct ib_pd *pd = ib_alloc_pd(b.dev, IB_PD_UNSAFE_GLOBAL_RKEY);
	u64 addr = hca_dma_u64(b.addr);
	struct ib_mr *mr;
	u32 key;

	(void)state;
	assert_false(IS_ERR(pd));
	mr = ib_get_dma_mr(pd, VK_RIGHTS);
	assert_false(IS_ERR(mr));
	remote(IB_WR_RDMA_WRITE, addr, 8, mr->rkey, IB_WC_REM_ACCESS_ERR);
	remote(IB_WR_RDMA_WRITE, addr, 8, pd->unsafe_global_rkey, IB_WC_REM_ACCESS_ERR);
	assert_int_equal(ib_dereg_mr(mr), 0);
	assert_int_equal(ib_dealloc_pd(pd), 0);
	mr = ib_get_dma_mr(b.pd, VK_RIGHTS);
	assert_false(IS_ERR(mr));
	key = mr->rkey;
	remote(IB_WR_RDMA_WRITE, addr, 8, key, IB_WC_SUCCESS);
	assert_int_equal(ib_dereg_mr(mr), 0);
	remote(IB_WR_RDMA_WRITE, addr, 8, key, IB_WC_REM_ACCESS_ERR);
	/* The next MR may stand at the same index; its key is another one. */
	mr = ib_get_dma_mr(b.pd, VK_RIGHTS);
	assert_int_not_equal(mr->rkey, key);
	remote(IB_WR_RDMA_WRITE, addr, 8, key, IB_WC_REM_ACCESS_ERR);
	assert_int_equal(ib_dereg_mr(mr), 0);
}

static void remote_rights(void **state)
{
	static const int rights[] = { IB_ACCESS_REMOTE_WRITE, IB_ACCESS_REMOTE_READ, IB_ACCESS_REMOTE_ATOMIC,
				      IB_ACCESS_REMOTE_ATOMIC };
	struct ib_mr *mr;
	size_t i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(one_sided); i++) {
		mr = ib_get_dma_mr(b.pd, VK_RIGHTS & ~rights[i]);
		assert_false(IS_ERR(mr));
		remote(one_sided[i], hca_dma_u64(b.addr), 8, mr->rkey, IB_WC_REM_ACCESS_ERR);
		assert_int_equal(ib_dereg_mr(mr), 0);
		mr = ib_get_dma_mr(b.pd, rights[i] | IB_ACCESS_LOCAL_WRITE);
		assert_false(IS_ERR(mr));
		remote(one_sided[i], hca_dma_u64(b.addr), 8, mr->rkey, IB_WC_SUCCESS);
		assert_int_equal(ib_dereg_mr(mr), 0);
	}
	/* What may be written by peers may be written by its owner (IBTA 10.6.3.1). */
	assert_err(ib_get_dma_mr(b.pd, IB_ACCESS_REMOTE_WRITE), -EINVAL);
	assert_err(ib_get_dma_mr(b.pd, IB_ACCESS_REMOTE_ATOMIC | IB_ACCESS_REMOTE_READ), -EINVAL);
	assert_err(ib_get_dma_mr(b.pd, 1 << 10), -EINVAL);
	assert_err(ib_get_dma_mr(b.pd, -1), -EINVAL);
}

static void remote_bounds(void **state)
{
	struct ib_mr *mr = registered(100, 5000, VK_RIGHTS);
	u64 end = mr->iova + 5000;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) { /* atomics have an alignment, and a test below */
		enum ib_wr_opcode op = one_sided[i];

		remote(op, mr->iova, 5000, mr->rkey, IB_WC_SUCCESS);
		remote(op, end - 1, 1, mr->rkey, IB_WC_SUCCESS);
		remote(op, mr->iova, 5001, mr->rkey, IB_WC_REM_ACCESS_ERR);
		remote(op, mr->iova - 1, 2, mr->rkey, IB_WC_REM_ACCESS_ERR);
		remote(op, end - 7, 8, mr->rkey, IB_WC_REM_ACCESS_ERR);
		remote(op, end, 1, mr->rkey, IB_WC_REM_ACCESS_ERR);
		remote(op, ~0ull - 3, 8, mr->rkey, IB_WC_REM_ACCESS_ERR);
		remote(op, ~0ull - 3, 8, b.mr->rkey, IB_WC_REM_ACCESS_ERR);
		remote(op, mr->iova + (1ull << 63), 8, mr->rkey, IB_WC_REM_ACCESS_ERR);
		remote(op, 0, 8, mr->rkey, IB_WC_REM_ACCESS_ERR);
	}
	end &= ~7ull;
	remote(IB_WR_ATOMIC_FETCH_AND_ADD, end - 8, 8, mr->rkey, IB_WC_SUCCESS);
	remote(IB_WR_ATOMIC_FETCH_AND_ADD, end, 8, mr->rkey, IB_WC_REM_ACCESS_ERR);
	registered_gone(mr);
}

static void stale_generations(void **state)
{
	struct ib_mr *mr = registered(0, 4096, VK_RIGHTS);
	struct ib_reg_wr reg = { .wr = { .wr_id = 2, .opcode = IB_WR_REG_MR }, .mr = mr, .access = VK_RIGHTS };
	struct ib_send_wr inv = { .wr_id = 3, .opcode = IB_WR_LOCAL_INV, .ex = { .invalidate_rkey = mr->rkey } };
	u32 old = mr->rkey;

	(void)state;
	assert_int_equal(ib_post_send(b.qp, &inv, NULL), 0);
	vk_poll(&b, 3, IB_WC_SUCCESS);
	remote(IB_WR_RDMA_WRITE, mr->iova, 8, old, IB_WC_REM_ACCESS_ERR);
	ib_update_fast_reg_key(mr, (u8)(old + 1));
	reg.key = mr->rkey;
	assert_int_equal(ib_post_send(b.qp, &reg.wr, NULL), 0);
	vk_poll(&b, 2, IB_WC_SUCCESS);
	remote(IB_WR_RDMA_WRITE, mr->iova, 8, old, IB_WC_REM_ACCESS_ERR);
	remote(IB_WR_RDMA_WRITE, mr->iova, 8, mr->rkey, IB_WC_SUCCESS);
	/* The old key isn't there to be invalidated either. */
	assert_int_equal(ib_post_send(b.qp, &inv, NULL), 0);
	vk_poll(&b, 3, IB_WC_MW_BIND_ERR);
	reconnect();
	registered_gone(mr);
}

/* What is wrong with an entry of a list: at the sender, and at the receiver. */
static void local(struct ib_sge bad)
{
	struct ib_sge good = vk_sge(&a, 0, 16), room = vk_sge(&b, 0, 4096);
	struct ib_sge list[2] = { good, bad };
	struct ib_send_wr wr = { .wr_id = 1, .sg_list = list, .num_sge = 2, .opcode = IB_WR_SEND };
	struct ib_recv_wr rw = { .wr_id = 2, .sg_list = &room, .num_sge = 1 };

	assert_int_equal(ib_post_recv(b.qp, &rw, NULL), 0);
	assert_int_equal(ib_post_send(a.qp, &wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_LOC_PROT_ERR);
	assert_int_equal(qp_state(a.qp), IB_QPS_ERR);
	assert_int_equal(qp_state(b.qp), IB_QPS_RTS);
	vk_none(&b);
	by_works();
	reconnect();
	/* Now the other way: b sends, and the list is a's receive request. */
	rw = (struct ib_recv_wr){ .wr_id = 3, .sg_list = list, .num_sge = 2 };
	room.length = bad.length ? 24 : 16;
	wr = (struct ib_send_wr){ .wr_id = 4, .sg_list = &room, .num_sge = 1, .opcode = IB_WR_SEND };
	assert_int_equal(ib_post_recv(a.qp, &rw, NULL), 0);
	assert_int_equal(ib_post_send(b.qp, &wr, NULL), 0);
	vk_poll(&b, 4, IB_WC_REM_OP_ERR);
	vk_poll(&a, 3, IB_WC_LOC_PROT_ERR);
	by_works();
	reconnect();
}

static void local_keys(void **state)
{
	struct ib_pd *pd = ib_alloc_pd(a.dev, 0);
	struct ib_mr *other, *dead;
	struct ib_sge bad;
	u32 gone;

	(void)state;
	assert_false(IS_ERR(pd));
	other = ib_get_dma_mr(pd, VK_RIGHTS);
	dead = ib_get_dma_mr(a.pd, VK_RIGHTS);
	assert_false(IS_ERR(other) || IS_ERR(dead));
	gone = dead->lkey;
	assert_int_equal(ib_dereg_mr(dead), 0);
	bad = vk_sge(&a, 64, 64);
	bad.lkey = 0;
	local(bad);
	bad.lkey = ~0u;
	local(bad);
	bad.lkey = a.pd->local_dma_lkey ^ 1;
	local(bad);
	bad.lkey = other->lkey;
	local(bad);
	bad.lkey = pd->local_dma_lkey;
	local(bad);
	bad.lkey = gone;
	local(bad);
	bad = vk_sge(&a, 64, 64);
	bad.addr = ~0ull - 7;
	local(bad);
	assert_int_equal(ib_dereg_mr(other), 0);
	assert_int_equal(ib_dealloc_pd(pd), 0);
}

/* To read into, or to receive into, an entry needs the right to be written; to send from it, none. */
static void local_write_right(void **state)
{
	struct ib_mr *mr = ib_get_dma_mr(a.pd, IB_ACCESS_REMOTE_READ);
	struct ib_sge sge = vk_sge(&a, 0, 8);
	struct ib_rdma_wr wr = {
		.wr = { .wr_id = 1, .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_RDMA_READ },
		.remote_addr = hca_dma_u64(b.addr),
		.rkey = b.mr->rkey,
	};
	struct ib_recv_wr rw = { .wr_id = 2, .sg_list = &sge, .num_sge = 1 };

	(void)state;
	assert_false(IS_ERR(mr));
	sge.lkey = mr->lkey;
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_LOC_PROT_ERR);
	reconnect();
	wr.wr.opcode = IB_WR_RDMA_WRITE;
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	assert_int_equal(ib_post_recv(a.qp, &rw, NULL), 0);
	assert_int_equal(vk_send(&b, 3, IB_WR_SEND, 0, 8), 0);
	vk_poll(&b, 3, IB_WC_REM_OP_ERR);
	vk_poll(&a, 2, IB_WC_LOC_PROT_ERR);
	assert_int_equal(ib_dereg_mr(mr), 0);
}

/* The rights of the queue pair count beside those of the key; without them a request is invalid (rxe, siw, rdmavt). */
static void rights_of_the_queue_pair(void **state)
{
	struct ib_qp_attr at = { .qp_access_flags = 0 };
	size_t i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(one_sided); i++) {
		assert_int_equal(ib_modify_qp(b.qp, &at, IB_QP_ACCESS_FLAGS), 0);
		remote(one_sided[i], hca_dma_u64(b.addr), 8, b.mr->rkey, IB_WC_REM_INV_REQ_ERR);
	}
}

/* --- what a post refuses --- */

static void posts_that_are_refused(void **state)
{
	static const int opcodes[] = { 10, 11, 12, 31, 33, 34, 63, 64, 0x100, -1, 1 << 30 };
	struct ib_sge recv[32] = { vk_sge(&b, 0, 8) };
	struct ib_recv_wr rw = { .sg_list = recv, .num_sge = 5 };
	size_t i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(opcodes); i++)
		assert_int_equal(post_op(a.qp, opcodes[i], 0, 0), -EINVAL);
	assert_int_equal(post_op(a.qp, IB_WR_SEND, 5, 0), -EINVAL);
	assert_int_equal(post_op(a.qp, IB_WR_SEND, 32, 0), -EINVAL);
	assert_int_equal(post_op(a.qp, IB_WR_SEND, -1, 0), -EINVAL);
	assert_int_equal(post_op(a.qp, IB_WR_SEND, (int)0x80000000, 0), -EINVAL);
	assert_int_equal(post_op(a.qp, IB_WR_SEND, 1, 1 << 10), -EINVAL);
	assert_int_equal(post_op(a.qp, IB_WR_REG_MR, 0, 0), -EINVAL);
	assert_int_equal(post_op(a.qp, IB_WR_BIND_MW, 0, 0), -EINVAL);
	assert_int_equal(post_op(a.qp, IB_WR_LOCAL_INV, 1, 0), -EINVAL);
	assert_int_equal(post_op(a.qp, IB_WR_RDMA_READ, 1, IB_SEND_INLINE), -EINVAL);
	assert_int_equal(post_op(a.qp, IB_WR_ATOMIC_FETCH_AND_ADD, 1, IB_SEND_INLINE), -EINVAL);
	assert_int_equal(ib_post_recv(b.qp, &rw, NULL), -EINVAL);
	rw.num_sge = -1;
	assert_int_equal(ib_post_recv(b.qp, &rw, NULL), -EINVAL);
	/* Nothing of all this was posted. */
	assert_int_equal(vk_recv(&b, 5, 0, 16), 0);
	assert_int_equal(vk_send(&a, 6, IB_WR_SEND, 0, 16), 0);
	vk_poll(&a, 6, IB_WC_SUCCESS);
	vk_poll(&b, 5, IB_WC_SUCCESS);
	vk_none(&a);
	vk_none(&b);
}

static void lists_that_are_not_there(void **state)
{
	const struct ib_send_wr sends[] = {
		{ .wr_id = 1, .num_sge = 1, .opcode = IB_WR_SEND },
		{ .wr_id = 1, .num_sge = 1, .opcode = IB_WR_SEND, .send_flags = IB_SEND_INLINE },
	};
	const struct ib_recv_wr rw = { .num_sge = 2 };
	size_t i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(sends); i++)
		assert_int_equal(ib_post_send(a.qp, &sends[i], NULL), -EINVAL);
	assert_int_equal(ib_post_recv(b.qp, &rw, NULL), -EINVAL);
	assert_int_equal(ib_post_send(a.qp, NULL, NULL), 0);
	assert_int_equal(ib_post_recv(b.qp, NULL, NULL), 0);
	vk_none(&a);
}

static void too_much_inline(void **state)
{
	u8 bytes[65] = { 1 };
	struct ib_sge sge[2] = { { .addr = (uintptr_t)bytes, .length = 65, .lkey = ~0u } };
	struct ib_send_wr wr = {
		.wr_id = 1, .sg_list = sge, .num_sge = 1, .opcode = IB_WR_SEND, .send_flags = IB_SEND_INLINE
	};
	struct ib_qp_init_attr init;
	struct ib_qp_attr at;

	(void)state;
	assert_int_equal(ib_query_qp(a.qp, &at, IB_QP_CAP, &init), 0);
	assert_int_equal(at.cap.max_inline_data, 64);
	assert_int_equal(ib_post_send(a.qp, &wr, NULL), -EINVAL);
	/* The sum counts, and doesn't wrap. */
	sge[0].length = 33;
	sge[1] = sge[0];
	sge[1].length = 32;
	wr.num_sge = 2;
	assert_int_equal(ib_post_send(a.qp, &wr, NULL), -EINVAL);
	sge[1].length = ~0u - 31;
	assert_int_equal(ib_post_send(a.qp, &wr, NULL), -EINVAL);
	sge[1].length = 31;
	assert_int_equal(vk_recv(&b, 2, 0, 64), 0);
	assert_int_equal(ib_post_send(a.qp, &wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	assert_int_equal(vk_poll(&b, 2, IB_WC_SUCCESS).byte_len, 64);
	/* The bystander was made for none. */
	sge[0].length = 1;
	wr.num_sge = 1;
	assert_int_equal(ib_post_send(by_a.qp, &wr, NULL), -EINVAL);
}

static void chains_end_at_the_bad_one(void **state)
{
	struct ib_send_wr wr[3] = { { .next = &wr[1], .wr_id = 1, .opcode = IB_WR_SEND },
				    { .next = &wr[2], .wr_id = 2, .opcode = (enum ib_wr_opcode)77 },
				    { .wr_id = 3, .opcode = IB_WR_SEND } };
	struct ib_recv_wr rw[2] = { { .next = &rw[1], .wr_id = 4 }, { .wr_id = 5, .num_sge = 99 } };
	const struct ib_send_wr *bad = NULL;
	const struct ib_recv_wr *bad_recv = NULL;

	(void)state;
	assert_int_equal(ib_post_recv(b.qp, rw, &bad_recv), -EINVAL);
	assert_ptr_equal(bad_recv, &rw[1]);
	assert_int_equal(ib_post_send(a.qp, wr, &bad), -EINVAL);
	assert_ptr_equal(bad, &wr[1]);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	vk_poll(&b, 4, IB_WC_SUCCESS);
	vk_none(&a);
	vk_none(&b);
}

static void nothing_at_all_is_a_message(void **state)
{
	struct ib_sge nowhere[2] = { { .addr = ~0ull, .lkey = ~0u }, { .addr = 5, .lkey = 0 } };
	struct ib_rdma_wr wr = {
		.wr = { .wr_id = 1, .sg_list = nowhere, .num_sge = 2, .opcode = IB_WR_SEND },
		.remote_addr = ~0ull,
		.rkey = ~0u,
	};
	struct ib_recv_wr rw = { .wr_id = 2, .sg_list = nowhere, .num_sge = 2 };

	(void)state;
	assert_int_equal(ib_post_recv(b.qp, &rw, NULL), 0);
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	assert_int_equal(vk_poll(&b, 2, IB_WC_SUCCESS).byte_len, 0);
	/* No key is looked at for no bytes (IBTA 9.7.4.1.5). */
	wr.wr.opcode = IB_WR_RDMA_WRITE;
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	wr.wr.opcode = IB_WR_RDMA_READ;
	assert_int_equal(ib_post_send(a.qp, &wr.wr, NULL), 0);
	assert_int_equal(vk_poll(&a, 1, IB_WC_SUCCESS).byte_len, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, by_setup, by_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(remote_keys_that_are_none),
		T(remote_keys_of_other_domains_and_dead_ones),
		T(remote_rights),
		T(remote_bounds),
		T(stale_generations),
		T(local_keys),
		T(local_write_right),
		T(rights_of_the_queue_pair),
		T(posts_that_are_refused),
		T(lists_that_are_not_there),
		T(too_much_inline),
		T(chains_end_at_the_bad_one),
		T(nothing_at_all_is_a_message),
	};

	return cmocka_run_group_tests_name("verbs bad", tests, NULL, NULL);
}
