/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The order of things as a ULP sees it through the kernel's verbs: what a done() may read and destroy, which status a queue pair's
 * rights and depths give, and what a drained queue pair still writes.
 */
#include "verbs_fixture.h"

#include "ib/ib_core.h"
#include "test/test_os.h"

static struct end a, b;

static int open_pair(void **state)
{
	(void)state;
	test_os_reset(1);
	vk_open(&a, &b, IB_QPT_RC, true, true, MACHINE_DIRECT);
	return 0;
}

static int close_pair(void **state)
{
	(void)state;
	vk_close(&a, &b);
	return (int)test_leaks();
}

static void reset(struct ib_qp *qp)
{
	struct ib_qp_attr at = { .qp_state = IB_QPS_RESET };

	assert_int_equal(ib_modify_qp(qp, &at, IB_QP_STATE), 0);
}

/* One more queue pair of b, whose requests name a done(). */
static struct ib_qp *qp_with_done(struct ib_cq *cq)
{
	struct ib_qp_init_attr qa = {
		.cap = { .max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1 },
		.event_handler = vk_event,
		.qp_context = &b,
		.sq_sig_type = IB_SIGNAL_ALL_WR,
		.qp_type = IB_QPT_RC,
		.send_cq = cq,
		.recv_cq = cq,
	};
	struct ib_qp *qp = ib_create_qp(b.pd, &qa);

	assert_false(IS_ERR(qp));
	return qp;
}

/* --- a bind's own done() --- */

static struct ib_mw *window;
static u32 key_seen;
static enum ib_wc_status status_seen;

static void bound(struct ib_cq *cq, struct ib_wc *wc)
{
	(void)cq;
	key_seen = window->rkey;
	status_seen = wc->status;
}

/* It tells a peer the key, so it has to see the new one. */
static void a_binds_done_sees_its_key(void **state)
{
	struct ib_cq *cq = ib_alloc_cq(b.dev, NULL, 8, 0, IB_POLL_SOFTIRQ);
	struct ib_mr *mr = ib_get_dma_mr(b.pd, VK_RIGHTS | IB_ACCESS_MW_BIND);
	struct ib_cqe cqe = { .done = bound };
	struct ib_mw_bind bind = { .send_flags = IB_SEND_SIGNALED };
	struct ib_qp *qp = qp_with_done(cq);
	u32 before;

	(void)state;
	vk_connect(qp, vk_lid(&a), a.qp->qp_num);
	window = ib_alloc_mw(b.pd, IB_MW_TYPE_1);
	assert_false(IS_ERR(window) || IS_ERR(mr));
	before = window->rkey;
	bind.wr_id = (u64)(uintptr_t)&cqe;
	bind.bind_info.mr = mr;
	bind.bind_info.addr = hca_dma_u64(b.addr);
	bind.bind_info.length = 4096;
	bind.bind_info.mw_access_flags = IB_ACCESS_REMOTE_WRITE;
	assert_int_equal(ib_bind_mw(qp, window, &bind), 0);
	assert_int_equal(status_seen, IB_WC_SUCCESS);
	assert_int_not_equal(key_seen, before);
	assert_int_equal(key_seen, window->rkey);
	assert_int_equal(vk_rdma(&a, 1, IB_WR_RDMA_WRITE, 0, 8, hca_dma_u64(b.addr), key_seen), 0);
	vk_poll(&a, 1, IB_WC_SUCCESS);
	/* What is refused at once leaves the key as it was. */
	bind.bind_info.mr = NULL;
	assert_int_equal(ib_bind_mw(qp, window, &bind), -EINVAL);
	assert_int_equal(window->rkey, key_seen);
	assert_int_equal(ib_destroy_qp(qp), 0);
	assert_int_equal(ib_dealloc_mw(window), 0);
	assert_int_equal(ib_dereg_mr(mr), 0);
	ib_free_cq(cq);
}

/* --- a done() that destroys others --- */

static struct ib_qp *victim;
static struct ib_cq *victims_cq;
static struct ib_mr *victims_mr;
static u32 dones;

static void ends_others(struct ib_cq *cq, struct ib_wc *wc)
{
	(void)cq;
	assert_int_equal(wc->status, IB_WC_SUCCESS);
	if (dones++)
		return;
	assert_int_equal(ib_destroy_qp(victim), 0);
	ib_free_cq(victims_cq);
	assert_int_equal(ib_dereg_mr(victims_mr), 0);
}

static void never(struct ib_cq *cq, struct ib_wc *wc)
{
	(void)cq;
	assert_int_equal(wc->status, IB_WC_WR_FLUSH_ERR);
}

/* Another queue pair, with work that waits and a timer that runs, its completion queue, and a region. */
static void a_done_destroys_others(void **state)
{
	struct ib_cq *cq = ib_alloc_cq(b.dev, NULL, 8, 0, IB_POLL_SOFTIRQ);
	struct ib_sge sge = vk_sge(&b, 0, 8);
	struct ib_cqe cqe = { .done = ends_others }, other = { .done = never };
	struct ib_send_wr wr = { .wr_cqe = &other, .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_SEND };
	struct ib_rdma_wr write = { .wr = { .wr_cqe = &cqe, .sg_list = &sge, .num_sge = 1 } };
	struct ib_qp *qp = qp_with_done(cq);
	struct ib_qp *peer;

	(void)state;
	dones = 0;
	victims_cq = ib_alloc_cq(b.dev, NULL, 8, 0, IB_POLL_SOFTIRQ);
	victims_mr = ib_get_dma_mr(b.pd, VK_RIGHTS);
	victim = qp_with_done(victims_cq);
	peer = qp_with_done(cq);
	vk_connect(victim, vk_lid(&b), peer->qp_num);
	vk_connect(peer, vk_lid(&b), victim->qp_num);
	vk_connect(qp, vk_lid(&a), a.qp->qp_num);
	reset(a.qp);
	vk_connect(a.qp, vk_lid(&b), qp->qp_num);
	assert_int_equal(ib_post_send(victim, &wr, NULL), 0); /* not ready: its timer runs */
	write.wr.opcode = IB_WR_RDMA_WRITE;
	write.remote_addr = hca_dma_u64(a.addr);
	write.rkey = a.mr->rkey;
	assert_int_equal(ib_post_send(qp, &write.wr, NULL), 0);
	assert_int_equal(dones, 1);
	test_clock_advance(1000000000ull);
	assert_int_equal(dones, 1);
	assert_int_equal(ib_destroy_qp(peer), 0);
	assert_int_equal(ib_destroy_qp(qp), 0);
	ib_free_cq(cq);
}

/* --- statuses --- */

/* A queue pair without the right: the request is invalid for it (IBTA vol. 1, 9.7.4.1.3; rxe, siw and rdmavt agree). */
static void rights_and_depths(void **state)
{
	static const struct {
		int access;
		u8 own_depth;
		u8 peer_depth;
		enum ib_wr_opcode op;
		enum ib_wc_status status;
	} all[] = {
		{ IB_ACCESS_REMOTE_READ, 1, 1, IB_WR_RDMA_WRITE, IB_WC_REM_INV_REQ_ERR },
		{ IB_ACCESS_REMOTE_WRITE, 1, 1, IB_WR_RDMA_READ, IB_WC_REM_INV_REQ_ERR },
		{ IB_ACCESS_REMOTE_READ, 0, 1, IB_WR_RDMA_READ, IB_WC_LOC_QP_OP_ERR },
		{ IB_ACCESS_REMOTE_READ, 1, 0, IB_WR_RDMA_READ, IB_WC_REM_INV_REQ_ERR },
		{ IB_ACCESS_REMOTE_READ, 1, 1, IB_WR_RDMA_READ, IB_WC_SUCCESS },
		{ IB_ACCESS_REMOTE_WRITE, 0, 0, IB_WR_RDMA_WRITE, IB_WC_SUCCESS },
	};
	u32 i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct ib_qp_attr at = { .qp_state = IB_QPS_SQD };

		reset(a.qp);
		reset(b.qp);
		vk_connect(a.qp, vk_lid(&b), b.qp->qp_num);
		vk_connect(b.qp, vk_lid(&a), a.qp->qp_num);
		assert_int_equal(ib_modify_qp(a.qp, &at, IB_QP_STATE), 0);
		assert_int_equal(ib_modify_qp(b.qp, &at, IB_QP_STATE), 0);
		at.max_rd_atomic = all[i].own_depth;
		assert_int_equal(ib_modify_qp(a.qp, &at, IB_QP_MAX_QP_RD_ATOMIC), 0);
		at.max_dest_rd_atomic = all[i].peer_depth;
		at.qp_access_flags = all[i].access;
		assert_int_equal(ib_modify_qp(b.qp, &at, IB_QP_MAX_DEST_RD_ATOMIC | IB_QP_ACCESS_FLAGS), 0);
		at.qp_state = IB_QPS_RTS;
		assert_int_equal(ib_modify_qp(a.qp, &at, IB_QP_STATE), 0);
		assert_int_equal(vk_rdma(&a, i, all[i].op, 0, 8, hca_dma_u64(b.addr), b.mr->rkey), 0);
		vk_poll(&a, i, all[i].status);
	}
}

/* --- pools of fast memory regions --- */

#define POOL 1024u

/* With a cache a list of pages is looked for among those that may be it, however many regions there are. */
static void a_pool_is_not_searched_through(void **state)
{
	const struct ib_fmr_pool_param pp = {
		.max_pages_per_fmr = 2,
		.page_shift = 12,
		.access = VK_RIGHTS,
		.pool_size = POOL,
		.dirty_watermark = POOL / 4,
		.cache = true,
	};
	struct ib_fmr_pool *pool = ib_create_fmr_pool(b.pd, &pp);
	static struct ib_pool_fmr *f[POOL];
	u64 pages[2] = { hca_dma_u64(b.addr), hca_dma_u64(b.addr) + 4096 };
	struct ib_pool_fmr *again;
	u32 i, round;

	(void)state;
	assert_false(IS_ERR(pool));
	for (round = 0; round < 3; round++) {
		for (i = 0; i < POOL; i++) {
			f[i] = ib_fmr_pool_map_phys(pool, pages, 2, (u64)(round * POOL + i) << 20);
			assert_false(IS_ERR(f[i]));
		}
		again = ib_fmr_pool_map_phys(pool, pages, 2, (u64)(round * POOL + 7) << 20);
		assert_ptr_equal(again, f[7]);
		assert_int_equal(PTR_ERR(ib_fmr_pool_map_phys(pool, pages, 1, 1)), -EAGAIN);
		assert_int_equal(ib_fmr_pool_unmap(again), 0);
		for (i = 0; i < POOL; i++)
			assert_int_equal(ib_fmr_pool_unmap(f[i]), 0);
		/* One that was given back last is still mapped to what it was. */
		again = ib_fmr_pool_map_phys(pool, pages, 2, (u64)(round * POOL + POOL - 1) << 20);
		assert_false(IS_ERR(again));
		assert_int_equal(ib_fmr_pool_unmap(again), 0);
	}
	assert_in_range(ib_fmr_pool_looks(pool), 3, 3 * POOL * 2);
	assert_int_equal(ib_destroy_fmr_pool(pool), 0);
}

/* --- a send queue that drains (ib_verbs.h: sq_draining of a query) --- */

static void a_query_tells_of_draining(void **state)
{
	struct ib_qp_attr at = { .qp_state = IB_QPS_SQD };
	struct ib_qp_init_attr made;

	(void)state;
	assert_int_equal(ib_query_qp(a.qp, &at, IB_QP_STATE, &made), 0);
	assert_false(at.sq_draining);
	assert_int_equal(vk_send(&a, 1, IB_WR_SEND, 0, 8), 0); /* the peer isn't ready, and is asked again later */
	vk_modify(a.qp, &at, IB_QPS_SQD, 0);
	assert_int_equal(ib_query_qp(a.qp, &at, IB_QP_STATE, &made), 0);
	assert_int_equal(at.qp_state, IB_QPS_SQD);
	assert_true(at.sq_draining);
	reset(a.qp);
	assert_int_equal(ib_query_qp(a.qp, &at, IB_QP_STATE, &made), 0);
	assert_false(at.sq_draining);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_binds_done_sees_its_key, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(a_done_destroys_others, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(rights_and_depths, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(a_query_tells_of_draining, open_pair, close_pair),
		cmocka_unit_test_setup_teardown(a_pool_is_not_searched_through, open_pair, close_pair),
	};

	return cmocka_run_group_tests_name("verbs_order", tests, NULL, NULL);
}
