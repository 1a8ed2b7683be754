/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Real threads on shared objects: several post to one queue pair, several poll one
 * completion queue, and one shared receive queue feeds two queue pairs, while MRs come
 * and go. Every message arrives once, whole, and in its sender's order; every request completes once.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "verbs_fixture.h"

#define THREADS 4
#define EACH 120u /* messages of a thread in a round: each has bytes of its own */
#define ROUNDS 6u
#define SIZE 64u
#define RECVS 64u

static struct end a, b;
static struct ib_qp *from[2], *to[2], *writer[2];
static struct ib_cq *own; /* the writer's */
static struct ib_srq *srq;
static struct page *inbox;
static dma_addr_t inbox_addr;
static u32 senders, sent, received, wrong; /* atomic, all but the first */
static u8 completed[THREADS][EACH], arrived[THREADS][EACH]; /* atomic */
static u32 next_seq[THREADS]; /* the one poller's, where order is looked at */
static bool ordered;

struct message {
	u32 thread;
	u32 seq;
	u32 round;
	u32 fill[SIZE / 4 - 3];
};

static u32 the_round;

static void note(bool ok)
{
	if (!ok)
		__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
}

/* --- the sending end --- */

static void poll_sends(void)
{
	struct ib_wc wc[4];
	int n = ib_poll_cq(a.cq, 4, wc), i;

	note(n >= 0);
	for (i = 0; i < n; i++) {
		note(wc[i].status == IB_WC_SUCCESS);
		note(__atomic_fetch_add(&completed[wc[i].wr_id >> 16][wc[i].wr_id & 0xffff], 1, __ATOMIC_RELAXED) == 0);
		__atomic_fetch_add(&sent, 1, __ATOMIC_RELEASE);
	}
}

static void *sender(void *arg)
{
	u32 me = (u32)(uintptr_t)arg, seq, i;

	for (seq = 0; seq < EACH; seq++) {
		u32 off = (me * EACH + seq) * SIZE;
		struct message *m = (struct message *)(void *)(a.buf + off);
		struct ib_sge sge = vk_sge(&a, off, SIZE);
		const struct ib_send_wr wr = {
			.wr_id = me << 16 | seq, .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_SEND
		};
		int err;

		m->thread = me;
		m->seq = seq;
		m->round = the_round;
		for (i = 0; i < sizeof(m->fill) / sizeof(m->fill[0]); i++)
			m->fill[i] = me * 77 + seq * 13 + i;
		while ((err = ib_post_send(from[me % 2], &wr, NULL)) == -ENOMEM)
			poll_sends();
		note(!err);
		poll_sends();
	}
	while (__atomic_load_n(&sent, __ATOMIC_ACQUIRE) < senders * EACH &&
	       !__atomic_load_n(&wrong, __ATOMIC_RELAXED)) {
		poll_sends();
		sched_yield();
	}
	return NULL;
}

/* --- the receiving end --- */

static int post_inbox(u32 slot)
{
	struct ib_sge sge = { .addr = hca_dma_u64(inbox_addr) + slot * SIZE,
			      .length = SIZE,
			      .lkey = b.pd->local_dma_lkey };
	const struct ib_recv_wr wr = { .wr_id = slot, .sg_list = &sge, .num_sge = 1 };

	return ib_post_srq_recv(srq, &wr, NULL);
}

static void look_at(u32 slot)
{
	const struct message *m = (const struct message *)(void *)((u8 *)page_address(inbox) + slot * SIZE);
	u32 i;

	if (m->thread >= THREADS || m->seq >= EACH || m->round != the_round) {
		note(false);
		return;
	}
	for (i = 0; i < sizeof(m->fill) / sizeof(m->fill[0]); i++)
		note(m->fill[i] == m->thread * 77 + m->seq * 13 + i);
	note(__atomic_fetch_add(&arrived[m->thread][m->seq], 1, __ATOMIC_RELAXED) == 0);
	if (ordered)
		note(m->seq == next_seq[m->thread]++);
}

static void *receiver(void *arg)
{
	(void)arg;
	while (__atomic_load_n(&received, __ATOMIC_ACQUIRE) < senders * EACH &&
	       !__atomic_load_n(&wrong, __ATOMIC_RELAXED)) {
		struct ib_wc wc[4];
		int n = ib_poll_cq(b.cq, 4, wc), i;

		note(n >= 0);
		for (i = 0; i < n; i++) {
			note(wc[i].status == IB_WC_SUCCESS && wc[i].byte_len == SIZE);
			look_at((u32)wc[i].wr_id);
			note(post_inbox((u32)wc[i].wr_id) == 0);
			__atomic_fetch_add(&received, 1, __ATOMIC_RELEASE);
		}
		if (n <= 0)
			sched_yield();
	}
	return NULL;
}

/* MRs are made, used by a queue pair of their own, and destroyed: nothing is touched through them afterwards. */
static void *registrar(void *arg)
{
	(void)arg;
	while (__atomic_load_n(&received, __ATOMIC_ACQUIRE) < senders * EACH &&
	       !__atomic_load_n(&wrong, __ATOMIC_RELAXED)) {
		struct ib_mr *mr = ib_get_dma_mr(b.pd, VK_RIGHTS);
		struct ib_sge sge = vk_sge(&a, VK_BYTES - 8, 1);
		struct ib_rdma_wr wr = {
			.wr = { .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_RDMA_WRITE },
			.remote_addr = hca_dma_u64(b.addr) + 1024,
		};
		struct ib_wc wc;

		note(!IS_ERR(mr));
		wr.rkey = mr->rkey;
		b.buf[1024] = 0;
		note(ib_post_send(writer[0], &wr.wr, NULL) == 0);
		note(ib_poll_cq(own, 1, &wc) == 1 && wc.status == IB_WC_SUCCESS);
		note(b.buf[1024] == 0x5a);
		note(ib_dereg_mr(mr) == 0);
		b.buf[1024] = 1;
		sched_yield();
		note(b.buf[1024] == 1);
	}
	return NULL;
}

/* --- the bed --- */

static struct ib_qp *make(struct end *e, struct ib_srq *shared, struct ib_cq *cq)
{
	struct ib_qp_init_attr qa = {
		.send_cq = cq,
		.recv_cq = cq,
		.srq = shared,
		.cap = { .max_send_wr = 8, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 },
		.sq_sig_type = IB_SIGNAL_ALL_WR,
		.qp_type = IB_QPT_RC,
	};
	struct ib_qp *qp = ib_create_qp(e->pd, &qa);

	assert_false(IS_ERR(qp));
	return qp;
}

/* No receive request for a moment is no error: the senders wait for ever. */
static void wait_for_ever(struct ib_qp *qp)
{
	struct ib_qp_attr at = { .qp_state = IB_QPS_SQD, .rnr_retry = 7 };

	assert_int_equal(ib_modify_qp(qp, &at, IB_QP_STATE), 0);
	assert_int_equal(ib_modify_qp(qp, &at, IB_QP_RNR_RETRY), 0);
	at.qp_state = IB_QPS_RTS;
	assert_int_equal(ib_modify_qp(qp, &at, IB_QP_STATE), 0);
}

static void join(struct ib_qp *x, struct ib_qp *y)
{
	vk_connect(x, vk_lid(&b), y->qp_num);
	vk_connect(y, vk_lid(&a), x->qp_num);
	wait_for_ever(x);
}

static void open_bed(void)
{
	struct ib_srq_init_attr sa = { .attr = { .max_wr = RECVS, .max_sge = 1 } };
	const struct ib_cq_init_attr ca = { .cqe = 64 };
	u32 i;

	vk_open(&a, &b, IB_QPT_RC, true, true, MACHINE_DIRECT);
	a.buf[VK_BYTES - 8] = 0x5a;
	own = ib_create_cq(a.dev, NULL, NULL, NULL, &ca);
	assert_false(IS_ERR(own));
	srq = ib_create_srq(b.pd, &sa);
	assert_false(IS_ERR(srq));
	for (i = 0; i < 2; i++) {
		from[i] = make(&a, NULL, a.cq);
		to[i] = make(&b, srq, b.cq);
		join(from[i], to[i]);
	}
	writer[0] = make(&a, NULL, own);
	writer[1] = make(&b, NULL, b.cq);
	join(writer[0], writer[1]);
	inbox = machine_alloc_pages(b.machine, GFP_KERNEL, 0);
	assert_non_null(inbox);
	inbox_addr = ib_dma_map_page(b.dev, inbox, 0, RECVS * SIZE, DMA_FROM_DEVICE);
	assert_int_equal(ib_dma_mapping_error(b.dev, inbox_addr), 0);
	for (i = 0; i < RECVS; i++)
		assert_int_equal(post_inbox(i), 0);
}

static void close_bed(void)
{
	u32 i;

	for (i = 0; i < 2; i++) {
		assert_int_equal(ib_destroy_qp(from[i]), 0);
		assert_int_equal(ib_destroy_qp(to[i]), 0);
		assert_int_equal(ib_destroy_qp(writer[i]), 0);
	}
	assert_int_equal(ib_destroy_srq(srq), 0);
	ib_dma_unmap_page(b.dev, inbox_addr, RECVS * SIZE, DMA_FROM_DEVICE);
	__free_pages(inbox, 0);
	assert_int_equal(ib_destroy_cq(own), 0);
	vk_close(&a, &b);
}

static void run(u32 threads, u32 pollers, bool with_regions)
{
	pthread_t t[THREADS + 3];
	u32 n, i;

	open_bed();
	for (the_round = 0; the_round < ROUNDS; the_round++) {
		senders = threads;
		sent = received = wrong = n = 0;
		ordered = pollers == 1;
		memset(completed, 0, sizeof(completed));
		memset(arrived, 0, sizeof(arrived));
		memset(next_seq, 0, sizeof(next_seq));
		for (i = 0; i < threads; i++)
			assert_int_equal(pthread_create(&t[n++], NULL, sender, (void *)(uintptr_t)i), 0);
		for (i = 0; i < pollers; i++)
			assert_int_equal(pthread_create(&t[n++], NULL, receiver, NULL), 0);
		if (with_regions)
			assert_int_equal(pthread_create(&t[n++], NULL, registrar, NULL), 0);
		for (i = 0; i < n; i++)
			pthread_join(t[i], NULL);
		assert_int_equal(wrong, 0);
		assert_int_equal(sent, threads * EACH);
		assert_int_equal(received, threads * EACH);
	}
	close_bed();
}

static void two_threads_on_a_queue_pair_each(void **state)
{
	(void)state;
	run(2, 1, false);
}

static void four_threads_on_two_queue_pairs(void **state)
{
	(void)state;
	run(4, 1, false);
}

static void four_threads_and_two_pollers_while_regions_go(void **state)
{
	(void)state;
	run(4, 2, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_threads_on_a_queue_pair_each),
		cmocka_unit_test(four_threads_on_two_queue_pairs),
		cmocka_unit_test(four_threads_and_two_pollers_while_regions_go),
	};

	return cmocka_run_group_tests_name("shared objects", tests, NULL, NULL);
}
