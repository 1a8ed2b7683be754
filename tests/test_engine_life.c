/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lives of objects: what a handler may destroy, who waits for whom, and what a request has captured when it was posted.
 */
#include "schedule_fixture.h"

#define SEEDS 40u
#define RNR hca_rnr_timer_ns(12)

/* A second pair of queue pairs between the same adapters, with completion queues of their own. */
struct other {
	struct hca_cq a_cq;
	struct hca_cq b_cq;
	struct hca_qp *a_qp;
	struct hca_qp *b_qp;
};

static struct other other;

static int open_rc_and_other(void (*handler)(struct hca_cq *cq))
{
	struct hca_qp_init init = {
		.type = HCA_QPT_RC, .max_send_wr = WR, .max_recv_wr = WR, .max_send_sge = 1, .max_recv_sge = 1
	};

	connect_type(HCA_QPT_RC);
	assert_int_equal(hca_cq_init(&other.a_cq, &a.hca, CQE, handler), 0);
	assert_int_equal(hca_cq_init(&other.b_cq, &b.hca, CQE, NULL), 0);
	init.pd = &a.pd;
	init.send_cq = init.recv_cq = &other.a_cq;
	init.sq_sig_all = true;
	assert_int_equal(hca_qp_create(&a.hca, &init, &other.a_qp), 0);
	init.pd = &b.pd;
	init.send_cq = init.recv_cq = &other.b_cq;
	assert_int_equal(hca_qp_create(&b.hca, &init, &other.b_qp), 0);
	connect_qp(&a, other.a_qp, &b, other.b_qp->qpn, 3, 2);
	connect_qp(&b, other.b_qp, &a, other.a_qp->qpn, 3, 2);
	return 0;
}

static void close_with_other(void)
{
	hca_qp_destroy(other.a_qp);
	hca_qp_destroy(other.b_qp);
	assert_int_equal(hca_cq_fini(&other.a_cq), 0);
	assert_int_equal(hca_cq_fini(&other.b_cq), 0);
	assert_int_equal(close_both(NULL), 0);
}

static int write_by_other(void)
{
	struct hca_sge sge = sge_at(&a, 0, 8);
	struct hca_send_wr wr = { .wr_id = 50, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_WRITE };

	wr.rdma.addr = BASE;
	wr.rdma.rkey = b.all->key;
	return hca_post_send(other.a_qp, &wr);
}

/* --- handlers --- */

static u32 destroyed;

/* Memory that may be waited for: in a timer's callback, under a lock or inside, the test os layer calls that a bug. */
static void in_a_good_context(void)
{
	void *mem = hca_alloc(1, HCA_MAY_SLEEP);

	CHECK(mem);
	hca_free(mem);
}

static void destroys_the_first(struct hca_cq *cq)
{
	(void)cq;
	in_a_good_context();
	if (!a.qp)
		return;
	hca_qp_destroy(a.qp);
	a.qp = NULL;
	destroyed++;
}

static void posts_by_the_other(struct hca_cq *cq)
{
	struct hca_wc wc;

	in_a_good_context();
	if (hca_cq_ring_poll(&cq->ring, &wc, 1) == 1)
		CHECK(!write_by_other());
}

/* A queue pair's own retry, in time, ends it; its handler leads to another's, which destroys it: nothing waits for itself. */
static void destroyed_by_anothers_handler(void **state)
{
	(void)state;
	open_rc_and_other(destroys_the_first);
	a.scq.handler = posts_by_the_other;
	destroyed = 0;
	broken = NULL;
	hca_cq_ring_notify(&a.scq.ring, HCA_CQ_NEXT);
	hca_cq_ring_notify(&other.a_cq.ring, HCA_CQ_NEXT);
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0); /* no receive request: put off until it fails */
	test_clock_advance(4 * RNR);
	assert_int_equal(destroyed, 1);
	assert_null(broken);
	poll_one(&other.a_cq, 50, HCA_WC_SUCCESS, NULL);
	close_with_other();
}

static bool in_handler, is_gone;

static void waits_until_gone(struct hca_cq *cq)
{
	(void)cq;
	in_a_good_context();
	in_handler = true;
	while (!is_gone)
		hca_pause();
}

static void fails_in_time(void *arg)
{
	(void)arg;
	CHECK(!post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0));
	test_clock_advance(4 * RNR);
}

static void destroys_meanwhile(void *arg)
{
	(void)arg;
	while (!in_handler)
		hca_pause();
	hca_qp_destroy(a.qp);
	a.qp = NULL;
	is_gone = true;
}

/* The handler of a completion queue is at it, for whatever reason: a queue pair's end waits for its own events alone. */
static void an_end_waits_for_no_handler(void **state)
{
	void (*const fns[])(void *) = { fails_in_time, destroys_meanwhile };

	(void)state;
	FOR_SEEDS(seed, SEEDS)
	{
		open_rc_and_other(NULL);
		a.scq.handler = waits_until_gone;
		in_handler = is_gone = false;
		hca_cq_ring_notify(&a.scq.ring, HCA_CQ_NEXT);
		run_seed(seed, 2, fns);
		close_with_other();
	}
}

static bool x_ran;

static void m_waits_for_x(struct hca_cq *cq)
{
	(void)cq;
	in_handler = true;
	while (!x_ran)
		hca_pause();
}

static void x_runs(struct hca_cq *cq)
{
	(void)cq;
	x_ran = true;
}

static void posts_m(void *arg)
{
	(void)arg;
	CHECK(!post(&a, 1, HCA_WR_RDMA_WRITE, 0, 8, BASE, b.all->key));
}

static void posts_x(void *arg)
{
	(void)arg;
	while (!in_handler)
		hca_pause();
	CHECK(!write_by_other());
}

/* No handler waits for another one's end. */
static void handlers_run_beside_each_other(void **state)
{
	void (*const fns[])(void *) = { posts_m, posts_x };

	(void)state;
	FOR_SEEDS(seed, SEEDS)
	{
		open_rc_and_other(x_runs);
		a.scq.handler = m_waits_for_x;
		in_handler = x_ran = false;
		hca_cq_ring_notify(&a.scq.ring, HCA_CQ_NEXT);
		hca_cq_ring_notify(&other.a_cq.ring, HCA_CQ_NEXT);
		run_seed(seed, 2, fns);
		assert_true(x_ran);
		close_with_other();
	}
}

/* --- what one post does of others' --- */

#define MANY 24u /* completion queues */

static struct hca_cq cqs[MANY];
static struct hca_qp *qps[MANY];
static u32 handled_here, handled;
static bool posting;

static void counts(struct hca_cq *cq)
{
	(void)cq;
	handled++;
	handled_here += posting;
}

/* A post makes as many calls of handlers as the budget says; a worker makes the rest. */
static void a_post_makes_so_many_calls(void **state)
{
	struct hca_qp_init init = { .type = HCA_QPT_RC,
				    .pd = &a.pd,
				    .recv_cq = &a.rcq,
				    .max_send_wr = 1,
				    .max_send_sge = 1,
				    .sq_sig_all = true };
	struct hca_eq_node *node;
	u32 i;

	(void)state;
	handled = handled_here = 0;
	for (i = 0; i < MANY; i++) {
		assert_int_equal(hca_cq_init(&cqs[i], &a.hca, 4, counts), 0);
		init.send_cq = &cqs[i];
		assert_int_equal(hca_qp_create(&a.hca, &init, &qps[i]), 0);
		node = &cqs[i].event;
		hca_fetch_or(&cqs[i].wants, HCA_WANT_COMP);
		hca_eq_add(&loop_eq, node); /* what another thread left behind */
	}
	posting = true;
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, 8, BASE, b.all->key), 0);
	posting = false;
	assert_in_range(handled_here, 1, HCA_EQ_BUDGET);
	test_clock_advance(1);
	assert_int_equal(handled, MANY);
	for (i = 0; i < MANY; i++) {
		hca_qp_destroy(qps[i]);
		assert_int_equal(hca_cq_fini(&cqs[i]), 0);
	}
}

/* --- waiting --- */

static struct side c;
static bool inside, may_go_on;

/* The thread is inside both adapters, in the middle of a piece, until it is told to go on. */
static void stays(struct side *s, u64 off, enum hca_mem_op op)
{
	(void)off;
	(void)op;
	if (s != &b)
		return;
	inside = true;
	while (!may_go_on)
		hca_pause();
}

static void moves_a_piece(void *arg)
{
	(void)arg;
	CHECK(!post(&a, 1, HCA_WR_RDMA_WRITE, 0, 64, BASE, b.all->key));
}

static struct hca_mr *spare[6];
static struct hca_mr *fast;
static u64 fast_page = BASE;

static void add_mr(struct side *s, struct hca_mr **out)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_LINEAR, .access = RW, .iova = BASE, .base = BASE, .length = 4096 };

	assert_int_equal(hca_mr_create(&s->pd, &attr, out), 0);
}

static void add_fast(struct side *s, struct hca_mr **out)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_PAGES, .max_pages = 1, .invalid = true };

	assert_int_equal(hca_mr_create(&s->pd, &attr, out), 0);
}

static int post_reg(struct hca_qp *qp, u64 id, struct hca_mr *mr, u32 key, u64 *pages)
{
	struct hca_send_wr wr = { .wr_id = id, .opcode = HCA_WR_REG_MR };

	wr.reg.mr = mr;
	wr.reg.to = (struct hca_mr_pages){
		.key = key, .access = RW, .iova = 0x7000, .length = 4096, .page_shift = 12, .npages = 1, .pages = pages
	};
	return hca_post_send(qp, &wr);
}

static int post_inv(struct hca_qp *qp, u64 id, u32 key)
{
	struct hca_send_wr wr = { .wr_id = id, .opcode = HCA_WR_LOCAL_INV, .imm = key };

	return hca_post_send(qp, &wr);
}

static void takes_away_elsewhere(void *arg)
{
	struct hca_qp *qp;
	struct hca_wc wc;

	(void)arg;
	while (!inside)
		hca_pause();
	CHECK(!hca_mr_destroy(spare[0]));
	CHECK(!post_reg(c.qp, 1, fast, fast->key, &fast_page));
	CHECK(!post_inv(c.qp, 2, fast->key));
	await(&c.scq, &wc);
	CHECK(wc.wr_id == 1 && !wc.status);
	await(&c.scq, &wc);
	CHECK(wc.wr_id == 2 && !wc.status);
	CHECK(!make_qp(&c, HCA_QPT_RC, NULL, &qp));
	hca_qp_destroy(qp);
	may_go_on = true;
}

/* A deregistration, an invalidation, the end of a queue pair: none waits for what other adapters do. */
static void other_adapters_delay_nothing(void **state)
{
	void (*const fns[])(void *) = { moves_a_piece, takes_away_elsewhere };

	(void)state;
	FOR_SEEDS(seed, SEEDS)
	{
		connect_type(HCA_QPT_RC);
		assert_int_equal(side_open(&c), 0);
		assert_int_equal(make_qp(&c, HCA_QPT_RC, NULL, &c.qp), 0);
		connect_qp(&c, c.qp, &a, 0x4711, 3, 2);
		add_mr(&c, &spare[0]);
		add_fast(&c, &fast);
		look_at_memory(stays);
		inside = may_go_on = false;
		run_seed(seed, 2, fns);
		poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
		assert_int_equal(hca_mr_destroy(fast), 0);
		side_close(&c);
		assert_int_equal(close_both(NULL), 0);
	}
}

static u32 next_spare, waiters, returned;

static void takes_one_away(void *arg)
{
	struct hca_mr *mr;

	(void)arg;
	while (!inside)
		hca_pause();
	mr = spare[hca_fetch_add(&next_spare, 1)];
	hca_fetch_add(&waiters, 1);
	CHECK(!hca_mr_destroy(mr));
	CHECK(may_go_on);
	hca_fetch_add(&returned, 1);
}

static void lets_them_wait(void *arg)
{
	u32 i;

	(void)arg;
	while (hca_load(&waiters) < HCA_ARRAY_SIZE(spare))
		hca_pause();
	for (i = 0; i < 400; i++)
		hca_pause();
	CHECK(!hca_load(&returned));
	may_go_on = true;
}

/* They wait for who is inside; and all of them together, for two grace periods at most. */
static void waiters_share_grace_periods(void **state)
{
	void (*const fns[])(void *) = { moves_a_piece,	lets_them_wait, takes_one_away, takes_one_away,
					takes_one_away, takes_one_away, takes_one_away, takes_one_away };
	u32 i;

	(void)state;
	FOR_SEEDS(seed, SEEDS)
	{
		connect_type(HCA_QPT_RC);
		for (i = 0; i < HCA_ARRAY_SIZE(spare); i++)
			add_mr(&b, &spare[i]);
		look_at_memory(stays);
		inside = may_go_on = false;
		next_spare = waiters = returned = 0;
		run_seed(seed, HCA_ARRAY_SIZE(fns), fns);
		assert_int_equal(returned, HCA_ARRAY_SIZE(spare));
		assert_in_range(b.hca.quiesce.periods, 0,
				2 * 3); /* twice each; a waiter that came late has one of its own */
		assert_int_equal(close_both(NULL), 0);
	}
}

/* --- what is captured --- */

/* A registration that waits in its queue keeps the key, the rights and the pages it was posted with, whatever is posted behind it. */
static void registrations_are_captured(void **state)
{
	struct hca_sge sge = { .addr = 0x7000, .length = 8 };
	struct hca_send_wr wr = { .wr_id = 5, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_WRITE };
	u64 page = BASE + 4096;
	u32 k1, k2;

	(void)state;
	a.qp->attr.rnr_retry = 7;
	add_fast(&a, &fast);
	k1 = hca_key_next(fast->key);
	k2 = hca_key_next(k1);
	memset(a.ram + 4096, 0x11, 4096);
	memset(a.ram + 8192, 0x22, 4096);
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0); /* not ready: all else waits behind it */
	assert_int_equal(post_reg(a.qp, 2, fast, k1, &page), 0);
	assert_int_equal(post_inv(a.qp, 3, k1), 0);
	page = BASE + 8192;
	assert_int_equal(post_reg(a.qp, 4, fast, k2, &page), 0);
	page = BASE + 4096;
	sge.lkey = k2;
	wr.rdma.addr = BASE;
	wr.rdma.rkey = b.all->key;
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	assert_int_equal(post_recv(&b, 6, 64, 8), 0);
	test_clock_advance(2 * RNR);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 3, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 4, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 5, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 6, HCA_WC_SUCCESS, NULL);
	assert_int_equal(b.ram[0], 0x22);
	assert_int_equal(hca_mr_destroy(fast), 0);
}

/* Several requests are posted together or not at all, whichever of them can't be; nothing of what was refused is held. */
static void all_or_none(void **state)
{
	struct hca_sge sge = { .addr = BASE, .length = 8, .lkey = a.all->key };
	u64 page = BASE + 4096;
	struct hca_send_wr wr[WR + 1];
	u32 i;

	(void)state;
	add_fast(&a, &fast);
	for (i = 0; i <= WR; i++) {
		wr[i] = (struct hca_send_wr){ .wr_id = i, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_WRITE };
		wr[i].rdma.addr = BASE + 8;
		wr[i].rdma.rkey = b.all->key;
	}
	for (i = 0; i < 3; i += 2) {
		wr[i] = (struct hca_send_wr){ .wr_id = i, .opcode = HCA_WR_REG_MR };
		wr[i].reg.mr = fast;
		wr[i].reg.to = (struct hca_mr_pages){ .key = hca_key_next(fast->key),
						      .access = RW,
						      .iova = 0x7000,
						      .length = 4096,
						      .page_shift = 12,
						      .npages = 1,
						      .pages = &page };
	}
	assert_int_equal(hca_post_sends(a.qp, wr, WR + 1), -ENOMEM); /* more than there is room for */
	test_fail_at(1); /* of the second registration, for the first one has the region's own room */
	assert_int_equal(hca_post_sends(a.qp, wr, WR), -ENOMEM);
	assert_true(test_fail_hit());
	wr[3].num_sge = 100;
	assert_int_equal(hca_post_sends(a.qp, wr, WR), -EINVAL);
	wr[3].num_sge = 1;
	wr[3].opcode = HCA_WR_OPCODES;
	assert_int_equal(hca_post_sends(a.qp, wr, WR), -EINVAL);
	nothing_more();
	assert_int_equal(hca_post_sends(a.qp, wr, 2), 0);
	poll_one(&a.scq, 0, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	assert_int_equal(hca_post_sends(a.qp, wr + 4, WR - 3), 0);
	for (i = 4; i <= WR; i++)
		poll_one(&a.scq, i, HCA_WC_SUCCESS, NULL);
	assert_int_equal(hca_mr_destroy(fast), 0);
}

/* An MR goes while its registration waits: the request fails in its turn, and nothing of the MR is touched. */
static void a_region_goes_before_its_registration(void **state)
{
	u64 page = BASE + 4096;

	(void)state;
	a.qp->attr.rnr_retry = 7;
	add_fast(&a, &fast);
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0);
	assert_int_equal(post_reg(a.qp, 2, fast, hca_key_next(fast->key), &page), 0);
	assert_int_equal(hca_mr_destroy(fast), 0);
	assert_int_equal(post_recv(&b, 6, 64, 8), 0);
	test_clock_advance(2 * RNR);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 2, HCA_WC_MW_BIND_ERR, NULL);
}

/* LOCAL_INV of an MR that is free already succeeds, as siw and rxe have it (Linux: drivers/infiniband/sw); of another's it doesn't. */
static void a_free_region_may_be_invalidated(void **state)
{
	u64 page = BASE;
	u32 key;

	(void)state;
	add_fast(&a, &fast);
	key = fast->key;
	assert_int_equal(post_inv(a.qp, 1, key), 0);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	assert_int_equal(post_reg(a.qp, 2, fast, key, &page), 0);
	assert_int_equal(post_inv(a.qp, 3, key), 0);
	assert_int_equal(post_inv(a.qp, 4, key), 0);
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 3, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 4, HCA_WC_SUCCESS, NULL);
	assert_int_equal(a.qp->state, HCA_QPS_RTS);
	/* A peer's invalidation of it isn't: he may not know what there is. */
	{
		struct hca_sge sge = sge_at(&b, 0, 8);
		struct hca_send_wr wr = {
			.wr_id = 5, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND_WITH_INV, .imm = key
		};

		assert_int_equal(post_recv(&a, 6, 64, 8), 0);
		assert_int_equal(hca_post_send(b.qp, &wr), 0);
	}
	poll_one(&a.rcq, 6, HCA_WC_MW_BIND_ERR, NULL);
	poll_one(&b.scq, 5, HCA_WC_REM_ACCESS_ERR, NULL);
	assert_int_equal(hca_mr_destroy(fast), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(destroyed_by_anothers_handler),
		cmocka_unit_test(an_end_waits_for_no_handler),
		cmocka_unit_test(handlers_run_beside_each_other),
		RC(a_post_makes_so_many_calls),
		cmocka_unit_test(other_adapters_delay_nothing),
		cmocka_unit_test(waiters_share_grace_periods),
		RC(registrations_are_captured),
		RC(all_or_none),
		RC(a_region_goes_before_its_registration),
		RC(a_free_region_may_be_invalidated),
	};

	return cmocka_run_group_tests_name("engine_life", tests, NULL, NULL);
}
