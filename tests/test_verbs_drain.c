/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Draining: when it returns every done() of the queue pair has returned, whatever polls the queues, whoever sends to
 * it meanwhile, and whether or not its completion queue can still tell anything.
 */
#include "verbs_fixture.h"

#include "dma/mem.h"
#include "test/test_os.h"

#define MANY 12u

struct request {
	struct ib_cqe cqe;
	u32 began;
	u32 done;
	enum ib_wc_status status;
};

static struct end a, b;
static struct ib_cq *cq;
static struct ib_srq *srq;
static struct ib_qp *qp; /* of b, connected with a.qp: it is drained */
static struct request sent[MANY], got[MANY];
static u32 returned;

static void on_done(struct ib_cq *from, struct ib_wc *wc)
{
	struct request *r = hca_container_of(wc->wr_cqe, struct request, cqe);

	assert_ptr_equal(from, cq);
	r->began++;
	hca_pause(); /* others' turn, in the midst of it */
	r->status = wc->status;
	r->done++;
}

static void open_ends(enum ib_qp_type type, enum ib_poll_context ctx, int cqe, u32 wr, bool shared)
{
	struct ib_srq_init_attr sa = { .attr = { .max_wr = MANY, .max_sge = 1 } };
	struct ib_qp_init_attr qa = {
		.cap = { .max_send_wr = wr, .max_recv_wr = wr, .max_send_sge = 1, .max_recv_sge = 1 },
		.event_handler = vk_event,
		.qp_context = &b,
		.sq_sig_type = IB_SIGNAL_ALL_WR,
		.qp_type = type,
	};
	u32 i;

	vk_open(&a, &b, type, true, true, MACHINE_DIRECT);
	cq = ib_alloc_cq(b.dev, NULL, cqe, 0, ctx);
	assert_false(IS_ERR(cq));
	srq = shared ? ib_create_srq(b.pd, &sa) : NULL;
	assert_false(IS_ERR(srq));
	qa.send_cq = qa.recv_cq = cq;
	qa.srq = srq;
	qp = ib_create_qp(b.pd, &qa);
	assert_false(IS_ERR(qp));
	memset(sent, 0, sizeof(sent));
	memset(got, 0, sizeof(got));
	for (i = 0; i < MANY; i++)
		sent[i].cqe.done = got[i].cqe.done = on_done;
	returned = 0;
}

static void connect_ends(void)
{
	struct ib_qp_attr at = { .qp_state = IB_QPS_RESET };

	assert_int_equal(ib_modify_qp(a.qp, &at, IB_QP_STATE), 0);
	vk_connect(qp, vk_lid(&a), a.qp->qp_num);
	vk_connect(a.qp, vk_lid(&b), qp->qp_num);
}

static void close_ends(void)
{
	assert_int_equal(ib_destroy_qp(qp), 0);
	if (srq)
		assert_int_equal(ib_destroy_srq(srq), 0);
	ib_free_cq(cq);
	vk_close(&a, &b);
	assert_int_equal(test_leaks(), 0);
}

static int post_recv(u32 i)
{
	struct ib_recv_wr wr = { .wr_cqe = &got[i].cqe };

	return srq ? ib_post_srq_recv(srq, &wr, NULL) : ib_post_recv(qp, &wr, NULL);
}

/* To a peer that has nothing posted: it waits. */
static int post_send(u32 i)
{
	struct ib_send_wr wr = { .wr_cqe = &sent[i].cqe, .opcode = IB_WR_SEND };

	return ib_post_send(qp, &wr, NULL);
}

static void all_done(const struct request *r, u32 n, enum ib_wc_status status)
{
	u32 i;

	for (i = 0; i < MANY; i++) {
		assert_int_equal(r[i].done, i < n);
		assert_int_equal(r[i].began, i < n);
		assert_int_equal(r[i].status, i < n ? status : IB_WC_SUCCESS);
	}
}

static const enum ib_poll_context contexts[] = { IB_POLL_DIRECT, IB_POLL_SOFTIRQ };

static void full_queues_are_emptied(void **state)
{
	size_t i;
	u32 n;

	(void)state;
	for (i = 0; i < 2; i++) {
		test_os_reset(1);
		open_ends(IB_QPT_RC, contexts[i], 2 * MANY + 1, MANY, false);
		connect_ends();
		for (n = 0; n < MANY; n++) {
			assert_int_equal(post_recv(n), 0);
			assert_int_equal(post_send(n), 0);
		}
		assert_int_equal(post_recv(n - 1), -ENOMEM);
		assert_int_equal(post_send(n - 1), -ENOMEM);
		ib_drain_qp(qp);
		all_done(sent, MANY, IB_WC_WR_FLUSH_ERR);
		all_done(got, MANY, IB_WC_WR_FLUSH_ERR);
		ib_drain_qp(qp);
		ib_drain_sq(qp);
		ib_drain_rq(qp);
		all_done(got, MANY, IB_WC_WR_FLUSH_ERR);
		close_ends();
	}
}

/* A queue of no entries has nothing to drain, and nothing to be waited for. */
static void queues_of_nothing(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		test_os_reset(1);
		open_ends(IB_QPT_RC, contexts[i], 4, 0, false);
		ib_drain_qp(qp); /* in RESET nothing is posted */
		connect_ends();
		ib_drain_qp(qp);
		ib_drain_rq(qp);
		close_ends();
	}
}

static void every_state_and_service(void **state)
{
	static const enum ib_qp_type types[] = { IB_QPT_RC, IB_QPT_UC, IB_QPT_UD };
	struct ib_qp_attr at = { .port_num = 1, .qp_state = IB_QPS_INIT };
	size_t i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(types); i++) {
		test_os_reset(1);
		open_ends(types[i], IB_POLL_SOFTIRQ, 8, 2, false);
		assert_int_equal(ib_modify_qp(qp, &at,
					      IB_QP_STATE | IB_QP_PKEY_INDEX | IB_QP_PORT |
						      (types[i] == IB_QPT_UD ? IB_QP_QKEY : IB_QP_ACCESS_FLAGS)),
				 0);
		assert_int_equal(post_recv(0), 0);
		ib_drain_qp(qp);
		all_done(got, 1, IB_WC_WR_FLUSH_ERR);
		close_ends();
	}
}

/* Completions that nobody has polled yet are those that draining is for. */
static void unpolled_completions_come_first(void **state)
{
	u32 i;

	(void)state;
	test_os_reset(1);
	open_ends(IB_QPT_RC, IB_POLL_DIRECT, 4, 4, false);
	connect_ends();
	for (i = 0; i < 4; i++)
		assert_int_equal(post_recv(i), 0);
	for (i = 0; i < 4; i++) {
		assert_int_equal(vk_send(&a, i, IB_WR_SEND, 0, 0), 0);
		vk_poll(&a, i, IB_WC_SUCCESS);
	}
	/* The queue is full to the last place: there is none for draining's own. */
	ib_drain_qp(qp);
	all_done(got, 4, IB_WC_SUCCESS);
	assert_int_equal(b.events[IB_EVENT_QP_FATAL], 0);
	close_ends();
}

/* It can't be told any more that all is done: what was told before it could is, and draining ends. */
static void an_overflowed_queue_ends_it(void **state)
{
	size_t c;
	u32 i;

	(void)state;
	for (c = 0; c < 2; c++) {
		u32 told = 0;

		test_os_reset(1);
		open_ends(IB_QPT_RC, contexts[c], 2, 8, false);
		connect_ends();
		for (i = 0; i < 8; i++) {
			assert_int_equal(post_recv(i), 0);
			assert_int_equal(post_send(i), 0);
		}
		ib_drain_qp(qp);
		for (i = 0; i < 8; i++) {
			assert_int_equal(sent[i].began, sent[i].done);
			assert_int_equal(got[i].began, got[i].done);
			told += sent[i].done + got[i].done;
		}
		assert_int_equal(told, 2);
		close_ends();
	}
}

static void shared_requests_that_were_taken(void **state)
{
	size_t i;
	u32 n;

	(void)state;
	for (i = 0; i < 2; i++) {
		test_os_reset(1);
		open_ends(IB_QPT_RC, contexts[i], 2 * MANY, 4, true);
		connect_ends();
		for (n = 0; n < MANY; n++)
			assert_int_equal(post_recv(n), 0);
		for (n = 0; n < 5; n++) {
			assert_int_equal(vk_send(&a, n, IB_WR_SEND, 0, 0), 0);
			vk_poll(&a, n, IB_WC_SUCCESS);
		}
		assert_int_equal(post_send(0), 0);
		ib_drain_qp(qp);
		all_done(got, 5, IB_WC_SUCCESS); /* the others are the shared queue's */
		all_done(sent, 1, IB_WC_WR_FLUSH_ERR);
		assert_int_equal(b.events[IB_EVENT_QP_LAST_WQE_REACHED], 1);
		ib_drain_rq(qp);
		close_ends();
	}
}

/* --- somebody sends meanwhile --- */

static void sends(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < MANY; i++)
		if (vk_send(&a, i, IB_WR_SEND, 0, 64))
			break;
}

static void drains(void *arg)
{
	u32 i;

	(void)arg;
	ib_drain_qp(qp);
	for (i = 0; i < MANY; i++) {
		returned += got[i].done;
		assert_int_equal(got[i].began, got[i].done);
		assert_int_equal(sent[i].began, sent[i].done);
		if (!srq)
			assert_int_equal(got[i].done, 1);
	}
}

static void under_load(bool shared)
{
	void (*const fns[])(void *) = { sends, drains };
	void *const args[] = { NULL, NULL };
	struct ib_sge sge;
	u32 some = 0;
	u64 seed;
	u32 i;

	for (seed = 1; seed <= 400; seed++) {
		u32 end = 0;

		test_os_reset(seed);
		open_ends(IB_QPT_RC, contexts[seed & 1], 4 * MANY, MANY, shared);
		connect_ends();
		sge = vk_sge(&b, 0, 64);
		for (i = 0; i < MANY; i++) {
			struct ib_recv_wr wr = { .wr_cqe = &got[i].cqe, .sg_list = &sge, .num_sge = 1 };

			assert_int_equal(shared ? ib_post_srq_recv(srq, &wr, NULL) : ib_post_recv(qp, &wr, NULL), 0);
		}
		assert_int_equal(post_send(0), 0);
		assert_int_equal(test_run_threads(seed, 2, fns, args, NULL), 0);
		ib_process_cq_direct(cq, -1);
		for (i = 0; i < MANY; i++)
			end += got[i].done;
		assert_int_equal(end, returned);
		some += returned > 0 && returned < MANY;
		close_ends();
	}
	/* The seeds have it both ways, so that the rules above were put to the test. */
	if (shared)
		assert_true(some > 10);
}

static void a_sender_goes_on(void **state)
{
	(void)state;
	under_load(false);
}

static void a_sender_goes_on_to_a_shared_queue(void **state)
{
	(void)state;
	under_load(true);
}

/* Memory that takes its time: a message that has its request is held up, until draining has returned or seems to wait. */
static const struct hca_mem_ops *quick;
static u32 turns; /* atomic */
static u32 drained; /* atomic */

static int open_slowly(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access,
		       struct hca_mem_view *w)
{
	while (hca_fetch_add(&turns, 1) < 300 && !hca_load(&drained))
		hca_pause();
	return quick->open(mem, addr, len, access, w);
}

static void sends_one(void *arg)
{
	(void)arg;
	assert_int_equal(vk_send(&a, 0, IB_WR_SEND, 0, 64), 0);
}

static void drains_meanwhile(void *arg)
{
	(void)arg;
	while (!hca_load(&turns))
		hca_pause();
	ib_drain_qp(qp);
	returned = got[0].done;
	hca_store(&drained, 1u);
}

static void messages_under_way(bool shared)
{
	void (*const fns[])(void *) = { sends_one, drains_meanwhile };
	void *const args[] = { NULL, NULL };
	u64 seed;

	for (seed = 1; seed <= 20; seed++) {
		struct hca_mem_ops slow;
		struct ib_recv_wr wr;
		struct ib_sge sge;

		test_os_reset(seed);
		open_ends(IB_QPT_RC, contexts[seed & 1], 8, 4, shared);
		connect_ends();
		sge = vk_sge(&b, 0, 64);
		wr = (struct ib_recv_wr){ .wr_cqe = &got[0].cqe, .sg_list = &sge, .num_sge = 1 };
		assert_int_equal(shared ? ib_post_srq_recv(srq, &wr, NULL) : ib_post_recv(qp, &wr, NULL), 0);
		quick = b.dev->mem->ops;
		slow = (struct hca_mem_ops){ .open = open_slowly, .close = quick->close };
		b.dev->mem->ops = &slow;
		b.dev->mem->flat_len = 0;
		turns = drained = 0;
		assert_int_equal(test_run_threads(seed, 2, fns, args, NULL), 0);
		b.dev->mem->ops = quick;
		assert_int_equal(returned, 1);
		all_done(got, 1, IB_WC_SUCCESS);
		close_ends();
	}
}

static void a_message_is_under_way(void **state)
{
	(void)state;
	messages_under_way(false);
}

static void a_message_to_a_shared_queue_is_under_way(void **state)
{
	(void)state;
	messages_under_way(true);
}

/* --- a new life --- */

static void ends_it(void *arg)
{
	struct ib_qp_attr at = { .qp_state = IB_QPS_ERR };

	(void)arg;
	assert_int_equal(ib_modify_qp(qp, &at, IB_QP_STATE), 0);
}

static void begins_again(void *arg)
{
	struct ib_qp_attr at = { .qp_state = IB_QPS_RTR, .port_num = 1 };
	struct ib_qp_init_attr init;

	(void)arg;
	while (at.qp_state != IB_QPS_ERR)
		assert_int_equal(ib_query_qp(qp, &at, 0, &init), 0);
	at.qp_state = IB_QPS_RESET;
	assert_int_equal(ib_modify_qp(qp, &at, IB_QP_STATE), 0);
	at.qp_state = IB_QPS_INIT;
	at.port_num = 1;
	assert_int_equal(ib_modify_qp(qp, &at, IB_QP_STATE | IB_QP_PKEY_INDEX | IB_QP_PORT | IB_QP_ACCESS_FLAGS), 0);
	assert_int_equal(post_recv(MANY - 1), 0);
}

/* What is posted after a reset isn't flushed by who was flushing when it came. */
static void a_reset_ends_the_flush(void **state)
{
	void (*const fns[])(void *) = { ends_it, begins_again };
	void *const args[] = { NULL, NULL };
	u64 seed;
	u32 i;

	(void)state;
	for (seed = 1; seed <= 1500; seed++) {
		test_os_reset(seed);
		open_ends(IB_QPT_RC, IB_POLL_DIRECT, MANY, MANY, false);
		connect_ends();
		for (i = 0; i < MANY - 1; i++)
			assert_int_equal(post_recv(i), 0);
		assert_int_equal(test_run_threads(seed, 2, fns, args, NULL), 0);
		ib_process_cq_direct(cq, -1);
		assert_int_equal(got[MANY - 1].done, 0);
		close_ends();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_queues_are_emptied),
		cmocka_unit_test(every_state_and_service),
		cmocka_unit_test(unpolled_completions_come_first),
		cmocka_unit_test(shared_requests_that_were_taken),
		cmocka_unit_test(a_sender_goes_on),
		cmocka_unit_test(a_sender_goes_on_to_a_shared_queue),
		cmocka_unit_test(a_message_is_under_way),
		cmocka_unit_test(a_message_to_a_shared_queue_is_under_way),
		cmocka_unit_test(a_reset_ends_the_flush),
		cmocka_unit_test(queues_of_nothing),
		cmocka_unit_test(an_overflowed_queue_ends_it),
	};

	return cmocka_run_group_tests_name("verbs drain", tests, NULL, NULL);
}
