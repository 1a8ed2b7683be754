/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Real threads where their number, or the thread sanitizer, is what counts: more of them than there are slots, attributes that change
 * while they are used, deregistrations beside bulk traffic. None of it is timed: what would be wrong is a race, or never ends.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "verbs_fixture.h"

#define CROWD 58u
#define XS 12u /* with the crowd more threads than there are slots: one of these shares the first thread's */

static struct end a, b;

/* A queue pair of a with a completion queue of its own, connected to one of b. */
struct pair {
	struct ib_cq *cq;
	struct ib_cq *peers;
	struct ib_qp *qp;
	struct ib_qp *peer;
};

static void make_pair(struct pair *p, ib_comp_handler handler)
{
	const struct ib_cq_init_attr ca = { .cqe = 128 };
	struct ib_qp_init_attr qa = { .cap = { .max_send_wr = 16, .max_send_sge = 1 },
				      .sq_sig_type = IB_SIGNAL_REQ_WR,
				      .qp_type = IB_QPT_RC };

	p->cq = ib_create_cq(a.dev, handler, NULL, NULL, &ca);
	p->peers = ib_create_cq(b.dev, NULL, NULL, NULL, &ca);
	assert_false(IS_ERR(p->cq) || IS_ERR(p->peers));
	qa.send_cq = qa.recv_cq = p->cq;
	p->qp = ib_create_qp(a.pd, &qa);
	qa.send_cq = qa.recv_cq = p->peers;
	p->peer = ib_create_qp(b.pd, &qa);
	assert_false(IS_ERR(p->qp) || IS_ERR(p->peer));
	vk_connect(p->qp, vk_lid(&b), p->peer->qp_num);
	vk_connect(p->peer, vk_lid(&a), p->qp->qp_num);
	ib_req_notify_cq(p->cq, IB_CQ_NEXT_COMP);
}

static void end_pair(struct pair *p)
{
	assert_int_equal(ib_destroy_qp(p->qp), 0);
	assert_int_equal(ib_destroy_qp(p->peer), 0);
	ib_destroy_cq(p->cq);
	ib_destroy_cq(p->peers);
}

/* To bytes of the queue pair's own. Return: what the post gave; -ENOMEM while the queue is full. */
static int write_words(struct ib_qp *qp, u32 len, int flags)
{
	struct ib_sge sge = vk_sge(&a, 0, len);
	const struct ib_rdma_wr wr = {
		.wr = { .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_RDMA_WRITE, .send_flags = flags },
		.remote_addr = hca_dma_u64(b.addr) + 256ull * (qp->qp_num % 128),
		.rkey = b.mr->rkey,
	};

	return ib_post_send(qp, &wr.wr, NULL);
}

static void write_some(struct ib_qp *qp, u32 len, int flags)
{
	int err;

	while ((err = write_words(qp, len, flags)) == -ENOMEM)
		sched_yield();
	if (err)
		abort();
}

static u32 flag(const u32 *f)
{
	return __atomic_load_n(f, __ATOMIC_ACQUIRE);
}

static void raise_flag(u32 *f)
{
	__atomic_fetch_add(f, 1, __ATOMIC_ACQ_REL);
}

/* --- more threads than slots --- */

static struct pair pair_m, pair_x[XS], pair_crowd;
static u32 x_ran, in_m, present, may_leave;

static void m_waits_for_x(struct ib_cq *cq, void *context)
{
	(void)cq;
	(void)context;
	raise_flag(&in_m);
	while (flag(&x_ran) < XS)
		sched_yield();
}

static void x_runs(struct ib_cq *cq, void *context)
{
	(void)cq;
	(void)context;
	raise_flag(&x_ran);
}

static void *in_the_crowd(void *arg)
{
	write_some(pair_crowd.qp, 8, 0);
	raise_flag(&present);
	while (!flag(&may_leave))
		sched_yield();
	return arg;
}

static void *posts_x(void *arg)
{
	write_some(pair_crowd.qp, 8, 0);
	raise_flag(&present);
	while (!flag(&in_m))
		sched_yield();
	write_some(((struct pair *)arg)->qp, 8, IB_SEND_SIGNALED);
	return arg;
}

/* A handler runs though another thread, of the same slot perhaps, is in one that waits for it. */
static void a_handler_in_a_crowd(void **state)
{
	pthread_t crowd[CROWD], x[XS];
	u32 i;

	(void)state;
	vk_open(&a, &b, IB_QPT_RC, true, true, MACHINE_DIRECT);
	make_pair(&pair_m, m_waits_for_x);
	for (i = 0; i < XS; i++)
		make_pair(&pair_x[i], x_runs);
	make_pair(&pair_crowd, NULL);
	write_some(pair_crowd.qp, 8, 0);
	for (i = 0; i < CROWD; i++)
		assert_int_equal(pthread_create(&crowd[i], NULL, in_the_crowd, NULL), 0);
	for (i = 0; i < XS; i++)
		assert_int_equal(pthread_create(&x[i], NULL, posts_x, &pair_x[i]), 0);
	while (flag(&present) < CROWD + XS)
		sched_yield();
	write_some(pair_m.qp, 8, IB_SEND_SIGNALED);
	for (i = 0; i < XS; i++)
		pthread_join(x[i], NULL);
	raise_flag(&may_leave);
	for (i = 0; i < CROWD; i++)
		pthread_join(crowd[i], NULL);
	while (flag(&x_ran) < XS)
		sched_yield();
	end_pair(&pair_m);
	for (i = 0; i < XS; i++)
		end_pair(&pair_x[i]);
	end_pair(&pair_crowd);
	vk_close(&a, &b);
}

/* --- attributes that change while they are used --- */

static u32 over;

static void *keeps_writing(void *arg)
{
	struct pair *p = arg;

	while (!flag(&over))
		write_some(p->qp, 64, 0);
	return NULL;
}

/* Rights that stay the same, and times, are set again and again beside messages: no message fails, and no access races. */
static void attributes_change_beside_messages(void **state)
{
	struct ib_qp_attr at = { .qp_access_flags = IB_ACCESS_REMOTE_WRITE | IB_ACCESS_REMOTE_READ |
						    IB_ACCESS_REMOTE_ATOMIC };
	struct ib_qp_init_attr init;
	struct ib_qp_attr now;
	pthread_t writer;
	struct pair p;
	u32 i;

	(void)state;
	over = 0;
	vk_open(&a, &b, IB_QPT_RC, true, true, MACHINE_DIRECT);
	make_pair(&p, NULL);
	assert_int_equal(pthread_create(&writer, NULL, keeps_writing, &p), 0);
	for (i = 0; i < 2000; i++) {
		at.min_rnr_timer = (u8)(i % 32);
		assert_int_equal(ib_modify_qp(p.peer, &at, IB_QP_ACCESS_FLAGS | IB_QP_MIN_RNR_TIMER), 0);
		assert_int_equal(ib_modify_qp(p.qp, &at, IB_QP_ACCESS_FLAGS | IB_QP_MIN_RNR_TIMER), 0);
		assert_int_equal(ib_query_qp(p.qp, &now, IB_QP_STATE, &init), 0);
		assert_int_equal(now.qp_state, IB_QPS_RTS);
	}
	raise_flag(&over);
	pthread_join(writer, NULL);
	end_pair(&p);
	vk_close(&a, &b);
}

/* --- regions beside bulk traffic --- */

static void *registers_and_back(void *arg)
{
	u32 i;

	for (i = 0; i < 300; i++) {
		struct ib_mr *mr = ib_get_dma_mr(b.pd, VK_RIGHTS);

		if (IS_ERR(mr) || ib_dereg_mr(mr))
			abort();
	}
	return arg;
}

/* Several threads give regions back while two queue pairs are never idle: all of them get through. */
static void regions_beside_bulk_traffic(void **state)
{
	pthread_t writer[2], reg[3];
	struct pair p[2];
	u32 i;

	(void)state;
	over = 0;
	vk_open(&a, &b, IB_QPT_RC, true, true, MACHINE_DIRECT);
	for (i = 0; i < 2; i++) {
		make_pair(&p[i], NULL);
		assert_int_equal(pthread_create(&writer[i], NULL, keeps_writing, &p[i]), 0);
	}
	for (i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&reg[i], NULL, registers_and_back, NULL), 0);
	for (i = 0; i < 3; i++)
		pthread_join(reg[i], NULL);
	raise_flag(&over);
	for (i = 0; i < 2; i++) {
		pthread_join(writer[i], NULL);
		end_pair(&p[i]);
	}
	vk_close(&a, &b);
}

/* What isn't carried out at once, with the queue pair locked. */
static void *adds_once(void *arg)
{
	struct ib_sge sge = vk_sge(&a, 0, 8);
	const struct ib_atomic_wr wr = {
		.wr = { .sg_list = &sge,
			.num_sge = 1,
			.opcode = IB_WR_ATOMIC_FETCH_AND_ADD,
			.send_flags = IB_SEND_SIGNALED },
		.remote_addr = hca_dma_u64(b.addr),
		.compare_add = 1,
		.rkey = b.mr->rkey,
	};

	if (ib_post_send(arg, &wr.wr, NULL))
		abort();
	return NULL;
}

/* Who sees that all is complete may destroy the queue pair, though the call that posted hasn't returned yet. */
static void destroyed_at_the_last_completion(void **state)
{
	pthread_t adder;
	struct ib_wc wc;
	struct pair p;
	u32 i;

	(void)state;
	vk_open(&a, &b, IB_QPT_RC, true, true, MACHINE_DIRECT);
	for (i = 0; i < 50; i++) {
		make_pair(&p, NULL);
		assert_int_equal(pthread_create(&adder, NULL, adds_once, p.qp), 0);
		while (!ib_poll_cq(p.cq, 1, &wc))
			sched_yield();
		assert_int_equal(wc.status, IB_WC_SUCCESS);
		end_pair(&p);
		pthread_join(adder, NULL);
	}
	vk_close(&a, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handler_in_a_crowd),
		cmocka_unit_test(attributes_change_beside_messages),
		cmocka_unit_test(regions_beside_bulk_traffic),
		cmocka_unit_test(destroyed_at_the_last_completion),
	};

	return cmocka_run_group_tests_name("thread_order", tests, NULL, NULL);
}
