/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The engine over a wire: every opcode and service, memory management by work
 * requests, and threads under seeded schedules.
 */
#include "engine_fixture.h"
#include "transport/requester.h"

/* --- what works --- */

static void send_and_receive(void **state)
{
	struct hca_sge to[3], from[2];
	struct hca_recv_wr rwr = { .wr_id = 7, .sge = to, .num_sge = 3 };
	struct hca_send_wr wr = { .wr_id = 8, .sge = from, .num_sge = 2, .opcode = HCA_WR_SEND_WITH_IMM, .imm = 99 };
	struct hca_wc wc;

	(void)state;
	fill(a.ram, 10000, 1);
	to[0] = sge_at(&b, 100, 5000);
	to[1] = sge_at(&b, 9000, 0);
	to[2] = sge_at(&b, 20000, 6000);
	from[0] = sge_at(&a, 0, 3333);
	from[1] = sge_at(&a, 3333, 6667);
	assert_int_equal(hca_post_recv(b.qp, &rwr), 0);
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 8, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.opcode, HCA_WC_SEND);
	poll_one(&b.rcq, 7, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.opcode, HCA_WC_RECV);
	assert_int_equal(wc.byte_len, 10000);
	assert_int_equal(wc.imm, 99);
	assert_int_equal(wc.wc_flags, HCA_WC_WITH_IMM);
	assert_int_equal(wc.src_qp, a.qp->qpn);
	assert_memory_equal(b.ram + 100, a.ram, 5000);
	assert_memory_equal(b.ram + 20000, a.ram + 5000, 5000);
	assert_int_equal(b.ram[25000], 0);
	nothing_more();
}

static void rdma_write_and_read(void **state)
{
	struct hca_wc wc;

	(void)state;
	fill(a.ram, BYTES / 2, 3);
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, BYTES / 2, BASE + 1, b.all->key), 0);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.opcode, HCA_WC_RDMA_WRITE);
	assert_memory_equal(b.ram + 1, a.ram, BYTES / 2);
	assert_int_equal(post_recv(&b, 5, 0, 0), 0);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE_WITH_IMM, 8, 8, BASE + BYTES - 8, b.all->key), 0);
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 5, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.opcode, HCA_WC_RECV_RDMA_WITH_IMM);
	assert_int_equal(wc.byte_len, 8);
	assert_int_equal(wc.imm, 0x12345678);
	assert_memory_equal(b.ram + BYTES - 8, a.ram + 8, 8);
	assert_int_equal(post(&a, 3, HCA_WR_RDMA_READ, BYTES / 2 + 5, 4097, BASE + 1, b.all->key), 0);
	poll_one(&a.scq, 3, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.opcode, HCA_WC_RDMA_READ);
	assert_int_equal(wc.byte_len, 4097);
	assert_memory_equal(a.ram + BYTES / 2 + 5, a.ram, 4097);
	nothing_more();
}

static void atomics(void **state)
{
	struct hca_sge sge = sge_at(&a, 64, 8);
	struct hca_send_wr wr = { .sge = &sge, .num_sge = 1, .opcode = HCA_WR_ATOMIC_FETCH_AND_ADD };
	u64 v = 40, got;

	(void)state;
	memcpy(b.ram + 16, &v, 8);
	wr.atomic.addr = BASE + 16;
	wr.atomic.rkey = b.all->key;
	wr.atomic.compare_add = 2;
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 0, HCA_WC_SUCCESS, NULL);
	memcpy(&got, a.ram + 64, 8);
	assert_int_equal(got, 40);
	wr.opcode = HCA_WR_ATOMIC_CMP_AND_SWP;
	wr.atomic.compare_add = 42;
	wr.atomic.swap = 1000;
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	assert_int_equal(hca_post_send(a.qp, &wr), 0); /* compares with what is no longer there */
	poll_one(&a.scq, 0, HCA_WC_SUCCESS, NULL);
	poll_one(&a.scq, 0, HCA_WC_SUCCESS, NULL);
	memcpy(&got, a.ram + 64, 8);
	assert_int_equal(got, 1000);
	memcpy(&got, b.ram + 16, 8);
	assert_int_equal(got, 1000);
	wr.atomic.addr++;
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 0, HCA_WC_REM_INV_REQ_ERR, NULL);
}

static void inline_data_is_taken_at_once(void **state)
{
	char text[] = "twelve bytes";
	struct hca_sge sge = { .addr = (u64)(uintptr_t)text, .length = 12, .lkey = 0 };
	struct hca_send_wr wr = {
		.wr_id = 1, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND, .flags = HCA_SEND_INLINE
	};
	u32 i;

	(void)state;
	assert_int_equal(hca_post_send(a.qp, &wr), 0); /* nobody receives yet: it waits */
	memset(text, 'x', 12);
	assert_int_equal(post_recv(&b, 2, 0, 12), 0);
	for (i = 0; i < 3; i++)
		test_clock_advance(MS);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(b.ram, "twelve bytes", 12);
	sge.length = 65;
	assert_int_equal(hca_post_send(a.qp, &wr), -EINVAL);
	wr.opcode = HCA_WR_RDMA_READ;
	sge.length = 8;
	assert_int_equal(hca_post_send(a.qp, &wr), -EINVAL);
}

static void unsignalled_work_is_silent(void **state)
{
	(void)state;
	a.qp->sq_sig_all = false;
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, 8, BASE, b.all->key), 0);
	nothing_more();
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE, 0, 8, BASE, b.all->key + 1), 0);
	poll_one(&a.scq, 2, HCA_WC_REM_ACCESS_ERR, NULL); /* errors never are */
}

static void handler_is_called_as_asked(void **state)
{
	struct hca_sge sge = sge_at(&a, 0, 1);
	struct hca_send_wr wr = { .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND };

	(void)state;
	ONE_DELIVERER();
	assert_int_equal(post_recv(&b, 1, 0, 8), 0);
	assert_int_equal(post_recv(&b, 2, 0, 8), 0);
	assert_int_equal(post_recv(&b, 3, 0, 8), 0);
	assert_false(hca_cq_ring_notify(&b.rcq.ring, HCA_CQ_SOLICITED));
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	settle();
	assert_int_equal(b.handled, 0);
	wr.flags = HCA_SEND_SOLICITED;
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	settle();
	assert_int_equal(b.handled, 1);
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	settle();
	assert_int_equal(b.handled, 1); /* asked for once */
	assert_true(hca_cq_ring_notify(&b.rcq.ring, HCA_CQ_NEXT));
}

/* --- memory management by work requests --- */

static void fast_registration(void **state)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_PAGES, .max_pages = 4, .invalid = true };
	u64 pages[] = { BASE + 3 * 4096 + 100, BASE + 1 * 4096, BASE + 7 * 4096 };
	struct hca_mr_pages p = {
		.access = RW, .iova = 0x7000100, .length = 9000, .page_shift = 12, .pages = pages, .npages = 3
	};
	struct hca_send_wr wr = { .wr_id = 1, .opcode = HCA_WR_REG_MR };
	struct hca_mr *r;
	u32 key;

	(void)state;
	assert_int_equal(hca_mr_create(&b.pd, &attr, &r), 0);
	p.key = key = (r->key & ~0xffu) | 0x5a;
	wr.reg.mr = r;
	wr.reg.to = p;
	assert_int_equal(hca_post_send(b.qp, &wr), 0);
	poll_one(&b.scq, 1, HCA_WC_SUCCESS, NULL);
	fill(a.ram, 9000, 2);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE, 0, 9000, p.iova, key), 0);
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(b.ram + 3 * 4096 + 100, a.ram, 3996);
	assert_memory_equal(b.ram + 4096, a.ram + 3996, 4096);
	assert_memory_equal(b.ram + 7 * 4096, a.ram + 8092, 908);
	/* The peer takes the key away with its answer. */
	assert_int_equal(post_recv(&b, 3, 0, 8), 0);
	{
		struct hca_sge sge = sge_at(&a, 0, 8);
		struct hca_send_wr inv = {
			.wr_id = 4, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND_WITH_INV, .imm = key
		};
		struct hca_wc wc;

		assert_int_equal(hca_post_send(a.qp, &inv), 0);
		poll_one(&a.scq, 4, HCA_WC_SUCCESS, NULL);
		poll_one(&b.rcq, 3, HCA_WC_SUCCESS, &wc);
		assert_int_equal(wc.wc_flags, HCA_WC_WITH_INVALIDATE);
		assert_int_equal(wc.imm, key);
	}
	/* Registered again and invalidated locally: both once, not twice. */
	assert_int_equal(hca_post_send(b.qp, &wr), 0);
	poll_one(&b.scq, 1, HCA_WC_SUCCESS, NULL);
	wr.opcode = HCA_WR_LOCAL_INV;
	wr.imm = key;
	wr.wr_id = 5;
	assert_int_equal(hca_post_send(b.qp, &wr), 0);
	poll_one(&b.scq, 5, HCA_WC_SUCCESS, NULL);
	assert_int_equal(post(&a, 6, HCA_WR_RDMA_WRITE, 0, 8, p.iova, key), 0);
	poll_one(&a.scq, 6, HCA_WC_REM_ACCESS_ERR, NULL);
	assert_int_equal(hca_mr_destroy(r), 0);
}

static void invalidating_what_is_not_valid(void **state)
{
	struct hca_send_wr wr = { .wr_id = 5, .opcode = HCA_WR_LOCAL_INV };

	(void)state;
	wr.imm = a.all->key; /* an MR that isn't for fast registration */
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 5, HCA_WC_MW_BIND_ERR, NULL);
	assert_int_equal(a.qp->state, HCA_QPS_ERR);
}

/* --- the other services --- */

/* That a message is too long is known before a key is looked at; over both wires alike (IBTA 9.7.4.1.6). */
static void too_long_before_forbidden(void **state)
{
	struct hca_sge sge = sge_at(&b, 0, 4);
	struct hca_recv_wr wr = { .wr_id = 1, .sge = &sge, .num_sge = 1 };

	(void)state;
	sge.lkey ^= 1;
	assert_int_equal(hca_post_recv(b.qp, &wr), 0);
	assert_int_equal(post(&a, 2, HCA_WR_SEND, 0, 8, 0, 0), 0);
	poll_one(&a.scq, 2, HCA_WC_REM_INV_REQ_ERR, NULL);
	poll_one(&b.rcq, 1, HCA_WC_LOC_LEN_ERR, NULL);
	nothing_more();
}

/* Whether there is a receive request comes before the key of a write with immediate data (IBTA 9.7.4.1.4), and it has the error. */
static void receive_request_before_key(void **state)
{
	(void)state;
	ONE_DELIVERER();
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE_WITH_IMM, 0, 8, BASE, b.all->key ^ 1), 0);
	nothing_more();
	assert_int_equal(post_recv(&b, 1, 0, 8), 0);
	test_clock_advance(20 * MS);
	poll_one(&a.scq, 2, HCA_WC_REM_ACCESS_ERR, NULL);
	poll_one(&b.rcq, 1, HCA_WC_LOC_ACCESS_ERR, NULL);
	assert_int_equal(b.events[HCA_EVENT_QP_ACCESS_ERR], 1);
	nothing_more();
}

static void unreliable_connection(void **state)
{
	(void)state;
	/* A key is taken away on a reliable connection alone (IBTA 9.2.1, opcodes by service). */
	assert_int_equal(post(&a, 9, HCA_WR_SEND_WITH_INV, 0, 8, 0, 0), -EINVAL);
	/* Nobody receives, or the key is wrong: the sender hears nothing of it. */
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE, 0, 8, BASE, b.all->key ^ 1), 0);
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
	assert_int_equal(post(&a, 3, HCA_WR_RDMA_READ, 0, 8, BASE, b.all->key), -EINVAL);
	fill(a.ram, 64, 5);
	assert_int_equal(post_recv(&b, 4, 128, 64), 0);
	assert_int_equal(post(&a, 5, HCA_WR_SEND, 0, 64, 0, 0), 0);
	poll_one(&b.rcq, 4, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(b.ram + 128, a.ram, 64);
	poll_one(&a.scq, 5, HCA_WC_SUCCESS, NULL);
	/* An error of its own stops the sender's queue alone. */
	a.qp->sq_sig_all = true;
	{
		struct hca_sge sge = sge_at(&a, BYTES - 4, 8);
		struct hca_send_wr wr = { .wr_id = 6, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND };

		assert_int_equal(hca_post_send(a.qp, &wr), 0);
	}
	poll_one(&a.scq, 6, HCA_WC_LOC_PROT_ERR, NULL);
	assert_int_equal(a.qp->state, HCA_QPS_SQE);
	assert_int_equal(post(&a, 7, HCA_WR_SEND, 0, 8, 0, 0), 0);
	poll_one(&a.scq, 7, HCA_WC_WR_FLUSH_ERR, NULL);
}

static void datagrams(void **state)
{
	struct hca_wc wc;

	(void)state;
	fill(a.ram, 64, 5);
	assert_int_equal(post_recv(&b, 1, 0, 104), 0);
	assert_int_equal(post(&a, 2, HCA_WR_SEND, 0, 64, b.qp->qpn, 0x12), 0); /* another Q_Key: dropped */
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
	assert_int_equal(post(&a, 3, HCA_WR_SEND, 0, 64, b.qp->qpn, 0x11), 0);
	poll_one(&a.scq, 3, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 1, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.byte_len, 104);
	assert_int_equal(wc.src_qp, a.qp->qpn);
	assert_int_equal(wc.slid, a.hca.lid);
	assert_memory_equal(b.ram + 40, a.ram, 64);
	assert_int_equal(post(&a, 4, HCA_WR_SEND, 0, 4097, b.qp->qpn, 0x11), 0);
	/* Beyond the MTU nothing is sent, and no error is told (IBTA C10-93.1.1; rxe does so). */
	assert_int_equal(post_recv(&b, 5, 0, 8192), 0);
	poll_one(&a.scq, 4, HCA_WC_SUCCESS, NULL);
	assert_int_equal(a.qp->state, HCA_QPS_RTS);
	nothing_more();
}

/* --- limits, failures, threads --- */

static void many_queue_pairs(void **state)
{
	struct hca_qp *qp[70];
	u32 i, k, n = 0;

	(void)state;
	while (n < HCA_ARRAY_SIZE(qp) && !make_qp(&a, HCA_QPT_RC, NULL, &qp[n]))
		n++;
	assert_true(n >= 63 && n < HCA_ARRAY_SIZE(qp));
	for (i = 0; i < n; i++)
		for (k = 0; k < i; k++)
			assert_int_not_equal(qp[i]->qpn, qp[k]->qpn);
	assert_int_equal(hca_close(&a.hca), -EBUSY);
	assert_int_equal(hca_cq_fini(&a.scq), -EBUSY);
	for (i = 0; i < n; i++)
		hca_qp_destroy(qp[i]);
}

/* However much there is to do, one thread does so many requests of it: a worker goes on, and it may go home. */
static void a_run_has_an_end(void **state)
{
	const u32 many = HCA_RUN_BUDGET + 50;
	struct hca_send_wr wr = { .opcode = HCA_WR_RDMA_WRITE };
	struct hca_qp_init init = { .type = HCA_QPT_RC, .pd = &a.pd, .recv_cq = &a.rcq, .max_send_wr = many };
	struct hca_qp_attr at = { 0 };
	hca_irqflags_t flags;
	struct hca_wc wc;
	struct hca_qp *qp;
	struct hca_cq cq;
	u32 i, n = 0;

	(void)state;
	ONE_DELIVERER();
	assert_int_equal(hca_cq_init(&cq, &a.hca, many, NULL), 0);
	init.send_cq = &cq;
	assert_int_equal(hca_qp_create(&a.hca, &init, &qp), 0);
	connect_qp(&a, qp, &b, b.qp->qpn, 3, 2);
	qp->running = true; /* another thread's is, and it doesn't get to it yet */
	for (wr.wr_id = 0; wr.wr_id < many; wr.wr_id++)
		assert_int_equal(hca_post_send(qp, &wr), 0);
	modify(qp, &at, HCA_QPS_ERR, 0);
	assert_int_equal(hca_cq_ring_poll(&cq.ring, &wc, 1), 0);
	hca_spin_lock(&qp->lock, flags);
	qp->running = false;
	qp->transport->run(qp, flags);
	while (hca_cq_ring_poll(&cq.ring, &wc, 1))
		assert_int_equal(wc.wr_id, n++);
	assert_int_equal(n, HCA_RUN_BUDGET);
	hca_eq_run(FIXTURE_EQ);
	while (hca_cq_ring_poll(&cq.ring, &wc, 1)) {
		assert_int_equal(wc.wr_id, n++);
		assert_int_equal(wc.status, HCA_WC_WR_FLUSH_ERR);
	}
	assert_int_equal(n, many);
	for (i = 0; i < HCA_ARRAY_SIZE(a.events); i++)
		assert_int_equal(a.events[i], 0);
	hca_qp_destroy(qp);
	assert_int_equal(hca_cq_fini(&cq), 0);
}

static void every_call_may_fail(void **state)
{
	(void)state;
	test_os_reset(1);
	assert_int_equal(wire_open(), 0);
	TEST_FAIL_LOOP(l)
	{
		if (!side_open(&a)) {
			if (make_qp(&a, HCA_QPT_RC, NULL, &a.qp))
				a.qp = NULL;
			side_close(&a);
		}
	}
	wire_close();
}

#define ROUNDS 6u
static void poster(void *arg)
{
	struct side *s = arg;
	struct side *peer = s == &a ? &b : &a;
	u32 i;

	for (i = 0; i < ROUNDS; i++)
		while (post(s, i, i % 2 ? HCA_WR_RDMA_WRITE : HCA_WR_SEND, 0, 512, BASE + 8192, peer->all->key))
			hca_pause();
}

/* Two threads post to one queue pair, a third to its peer: every request completes once, in the order of its queue. */
static void share_a_queue_pair(u64 first, u64 last, u64 until_done)
{
	void (*const fns[])(void *) = { poster, poster, poster };
	void *const args[] = { &a, &a, &b };
	struct hca_wc wc;
	u64 seed;
	u32 i, n;

	for (seed = first; seed <= last; seed++) {
		for (i = 0; i < WR; i++) {
			assert_int_equal(post_recv(&a, i, 16384, 512), 0);
			assert_int_equal(post_recv(&b, i, 16384, 512), 0);
		}
		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		test_clock_advance(until_done);
		for (n = 0; hca_cq_ring_poll(&a.scq.ring, &wc, 1) == 1; n++)
			assert_int_equal(wc.status, HCA_WC_SUCCESS);
		assert_int_equal(n, 2 * ROUNDS);
		for (n = 0; hca_cq_ring_poll(&b.scq.ring, &wc, 1) == 1; n++)
			assert_int_equal(wc.status, HCA_WC_SUCCESS);
		assert_int_equal(n, ROUNDS);
		for (n = 0; hca_cq_ring_poll(&b.rcq.ring, &wc, 1) == 1; n++)
			assert_int_equal(wc.wr_id, n);
		assert_int_equal(n, ROUNDS); /* half of what two threads sent are sends */
		for (n = 0; hca_cq_ring_poll(&a.rcq.ring, &wc, 1) == 1; n++)
			assert_int_equal(wc.wr_id, n);
		assert_int_equal(n, ROUNDS / 2);
		hca_rq_drop(&a.qp->rq);
		hca_rq_drop(&b.qp->rq);
	}
}

static void threads_share_a_queue_pair(void **state)
{
	(void)state;
#ifdef DELIVER_H
	DELIVER_BY_PORT(true);
	share_a_queue_pair(1, 20, 10 * MS);
	DELIVER_BY_PORT(false);
	/* One that came too early is sent again; if what says so is overtaken as well, a timeout later: test_packet_rc has that. */
	share_a_queue_pair(21, 40, 200 * MS);
#else
	share_a_queue_pair(1, 40, 10 * MS);
#endif
}

static void destroyer(void *arg)
{
	struct side *s = arg;

	hca_qp_destroy(s->qp);
	s->qp = NULL;
}

static void write_some(void *arg)
{
	struct side *s = arg;
	u32 i;

	for (i = 0; i < 4; i++)
		(void)post(s, i, HCA_WR_RDMA_WRITE, 0, 512, BASE + 8192, b.all->key);
}

/* A queue pair goes while its peer writes to it: nothing of it is touched afterwards (the test os layer's memory would tell). */
static void destroyed_under_fire(void **state)
{
	void (*const fns[])(void *) = { write_some, destroyer };
	void *const args[] = { &a, &b };
	u64 seed;

	(void)state;
	for (seed = 1; seed <= 60; seed++) {
		assert_int_equal(open_rc(NULL), 0);
		assert_int_equal(test_run_threads(seed, 2, fns, args, NULL), 0);
		assert_int_equal(close_both(NULL), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RC(send_and_receive),
		RC(rdma_write_and_read),
		RC(atomics),
		RC(inline_data_is_taken_at_once),
		RC(unsignalled_work_is_silent),
		RC(handler_is_called_as_asked),
		RC(fast_registration),
		RC(invalidating_what_is_not_valid),
		RC(too_long_before_forbidden),
		RC(receive_request_before_key),
		cmocka_unit_test_setup_teardown(unreliable_connection, open_uc, close_both),
		cmocka_unit_test_setup_teardown(datagrams, open_ud, close_both),
		RC(many_queue_pairs),
#ifndef DELIVER_H /* of what a sender does by itself, or of counted steps */
		RC(a_run_has_an_end),
#endif
		cmocka_unit_test(every_call_may_fail),
		RC(threads_share_a_queue_pair),
		cmocka_unit_test(destroyed_under_fire),
	};

	return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
