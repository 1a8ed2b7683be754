/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Completion queues that ULPs share, and pools of MRs that a queue pair keeps. */
#include "verbs_fixture.h"
#include "no_leaks.h"
#include "softhca/ib_pool.h"

static void queues_are_shared(void **state)
{
	struct ib_cq *cq[4];
	struct end e;

	(void)state;
	assert_int_equal(vk_device(&e, true, MACHINE_DIRECT), 0);
	assert_int_equal(PTR_ERR(ib_cq_pool_get(e.dev, 10, -1, IB_POLL_DIRECT)), -EINVAL);
	assert_int_equal(PTR_ERR(ib_cq_pool_get(e.dev, 0, -1, IB_POLL_SOFTIRQ)), -EINVAL);
	assert_int_equal(PTR_ERR(ib_cq_pool_get(e.dev, (u32)e.dev->attrs.max_cqe + 1, -1, IB_POLL_SOFTIRQ)), -EINVAL);
	cq[0] = ib_cq_pool_get(e.dev, 100, -1, IB_POLL_SOFTIRQ);
	assert_false(IS_ERR(cq[0]));
	assert_true(cq[0]->shared);
	assert_int_equal(cq[0]->cqe, 256);
	assert_int_equal(cq[0]->poll_ctx, IB_POLL_SOFTIRQ);
	/* There is room for 156 more. */
	cq[1] = ib_cq_pool_get(e.dev, 156, 0, IB_POLL_SOFTIRQ);
	assert_ptr_equal(cq[1], cq[0]);
	cq[2] = ib_cq_pool_get(e.dev, 1, 0, IB_POLL_SOFTIRQ);
	assert_ptr_not_equal(cq[2], cq[0]);
	cq[3] = ib_cq_pool_get(e.dev, 300, 0, IB_POLL_SOFTIRQ);
	assert_int_equal(cq[3]->cqe, 300);
	ib_cq_pool_put(cq[1], 156);
	assert_ptr_equal(ib_cq_pool_get(e.dev, 156, 0, IB_POLL_SOFTIRQ), cq[0]);
	ib_cq_pool_put(cq[0], 156);
	ib_cq_pool_put(cq[0], 100);
	ib_cq_pool_put(cq[2], 1);
	ib_cq_pool_put(cq[3], 300);
	/* They go with the device. */
	vk_device_gone(&e);
}

static struct ib_cq *wrong_cq;

static void frees(void *arg)
{
	(void)arg;
	ib_free_cq(wrong_cq);
}

static void puts_too_many(void *arg)
{
	(void)arg;
	ib_cq_pool_put(wrong_cq, 6);
}

static void shared_stays(void **state)
{
	struct end e;

	(void)state;
	assert_int_equal(vk_device(&e, true, MACHINE_DIRECT), 0);
	wrong_cq = ib_cq_pool_get(e.dev, 5, -1, IB_POLL_SOFTIRQ);
	assert_false(IS_ERR(wrong_cq));
	assert_int_equal(test_expect_warn(frees, NULL), 1);
	assert_int_equal(test_expect_warn(puts_too_many, NULL), 1);
	test_log_take();
	vk_device_gone(&e);
	assert_non_null(strstr(test_log_take(), "room for 5 completions of a shared queue was not given back"));
}

/* Requests of two queue pairs complete in one queue, each at its own done(). */
static u32 done_a, done_b;

static void on_a(struct ib_cq *cq, struct ib_wc *wc)
{
	(void)cq;
	assert_int_equal(wc->status, IB_WC_SUCCESS);
	done_a++;
}

static void on_b(struct ib_cq *cq, struct ib_wc *wc)
{
	(void)cq;
	assert_int_equal(wc->status, IB_WC_SUCCESS);
	done_b++;
}

static void shared_queue_works(void **state)
{
	struct ib_qp_init_attr qa = {
		.cap = { .max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1 },
		.sq_sig_type = IB_SIGNAL_ALL_WR,
		.qp_type = IB_QPT_RC,
	};
	struct ib_cqe at_a = { .done = on_a }, at_b = { .done = on_b };
	const struct ib_recv_wr recv = { .wr_cqe = &at_b };
	const struct ib_send_wr send = { .wr_cqe = &at_a, .opcode = IB_WR_SEND };
	struct ib_qp *qp, *peer;
	struct ib_pd *pd;
	struct end e;

	(void)state;
	done_a = done_b = 0;
	assert_int_equal(vk_device(&e, true, MACHINE_DIRECT), 0);
	pd = ib_alloc_pd(e.dev, 0);
	assert_false(IS_ERR(pd));
	qa.send_cq = qa.recv_cq = ib_cq_pool_get(e.dev, 16, -1, IB_POLL_SOFTIRQ);
	assert_false(IS_ERR(qa.send_cq));
	qp = ib_create_qp(pd, &qa);
	peer = ib_create_qp(pd, &qa);
	assert_false(IS_ERR(qp) || IS_ERR(peer));
	vk_connect(qp, vk_lid(&e), peer->qp_num);
	vk_connect(peer, vk_lid(&e), qp->qp_num);
	assert_int_equal(ib_post_recv(peer, &recv, NULL), 0);
	assert_int_equal(ib_post_send(qp, &send, NULL), 0);
	assert_int_equal(done_a, 1);
	assert_int_equal(done_b, 1);
	assert_int_equal(ib_destroy_qp(qp), 0);
	assert_int_equal(ib_destroy_qp(peer), 0);
	ib_cq_pool_put(qa.send_cq, 16);
	assert_int_equal(ib_dealloc_pd(pd), 0);
	vk_device_gone(&e);
}

/* --- MRs --- */

static void mrs_are_pooled(void **state)
{
	struct ib_mr *mr[3];
	struct list_head mine;
	struct end a, b;

	(void)state;
	vk_open(&a, &b, IB_QPT_RC, true, true, MACHINE_DIRECT);
	mine.next = mine.prev = &mine;
	assert_int_equal(ib_mr_pool_init(a.qp, &mine, 2, IB_MR_TYPE_MEM_REG, 8, 1), -EINVAL);
	assert_int_equal(ib_mr_pool_init(a.qp, &mine, 2, IB_MR_TYPE_DMA, 8, 0), -EINVAL);
	assert_null(ib_mr_pool_get(a.qp, &mine));
	assert_int_equal(ib_mr_pool_init(a.qp, &a.qp->rdma_mrs, 2, IB_MR_TYPE_MEM_REG, 8, 0), 0);
	mr[0] = ib_mr_pool_get(a.qp, &a.qp->rdma_mrs);
	mr[1] = ib_mr_pool_get(a.qp, &a.qp->rdma_mrs);
	assert_non_null(mr[0]);
	assert_non_null(mr[1]);
	assert_ptr_not_equal(mr[0], mr[1]);
	assert_false(mr[0]->need_inval);
	assert_null(ib_mr_pool_get(a.qp, &a.qp->rdma_mrs));
	assert_int_equal(a.qp->mrs_used, 2);
	ib_mr_pool_put(a.qp, &a.qp->rdma_mrs, mr[1]);
	mr[2] = ib_mr_pool_get(a.qp, &a.qp->rdma_mrs);
	assert_ptr_equal(mr[2], mr[1]);
	ib_mr_pool_put(a.qp, &a.qp->rdma_mrs, mr[0]);
	ib_mr_pool_put(a.qp, &a.qp->rdma_mrs, mr[2]);
	assert_int_equal(a.qp->mrs_used, 0);
	ib_mr_pool_destroy(a.qp, &a.qp->rdma_mrs);
	assert_null(ib_mr_pool_get(a.qp, &a.qp->rdma_mrs));
	vk_close(&a, &b);
}

static void pools_without_memory(void **state)
{
	struct end a, b;
	struct ib_cq *cq;
	u32 lived;

	(void)state;
	vk_open(&a, &b, IB_QPT_RC, true, true, MACHINE_DIRECT);
	lived = test_live();
	TEST_FAIL_LOOP(fail)
	{
		int err = ib_mr_pool_init(a.qp, &a.qp->rdma_mrs, 3, IB_MR_TYPE_SG_GAPS, 8, 0);

		if (err)
			assert_int_equal(test_live(), lived);
		else
			ib_mr_pool_destroy(a.qp, &a.qp->rdma_mrs);
	}
	TEST_FAIL_LOOP(fail)
	{
		cq = ib_cq_pool_get(a.dev, 5, -1, IB_POLL_SOFTIRQ);
		if (IS_ERR(cq)) {
			assert_int_equal(PTR_ERR(cq), -ENOMEM);
			continue;
		}
		/* The queue stays with the device: what lived before is counted anew. */
		ib_cq_pool_put(cq, 5);
		break;
	}
	test_fail_at(0);
	vk_close(&a, &b);
}

/* InfiniBand has no read that invalidates a key. */
static void read_with_inv(void **state)
{
	struct end a, b;

	(void)state;
	vk_open(&a, &b, IB_QPT_RC, true, true, MACHINE_DIRECT);
	assert_int_equal(vk_rdma(&a, 1, IB_WR_RDMA_READ_WITH_INV, 0, 8, hca_dma_u64(b.addr), b.mr->rkey), -EINVAL);
	vk_none(&a);
	assert_int_equal(vk_rdma(&a, 2, IB_WR_RDMA_READ, 0, 8, hca_dma_u64(b.addr), b.mr->rkey), 0);
	vk_poll(&a, 2, IB_WC_SUCCESS);
	vk_close(&a, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(queues_are_shared), T(shared_stays),	       T(shared_queue_works),
		T(mrs_are_pooled),    T(pools_without_memory), T(read_with_inv),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
