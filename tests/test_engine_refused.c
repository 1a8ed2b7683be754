/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * RDMA that the responder may not do: a key that is wrong, or goes while bytes are moved. A reliable requester is told
 * that it was the key (IBTA vol. 1, 9.7.4.1.5, table of NAK codes); an unreliable message is dropped as a whole, and nothing
 * else happens (IBTA vol. 1, 9.8.3; rxe_resp.c and hfi1/uc.c of Linux do so). Also built for the other wires.
 */
#define BYTES (4u * 65536u)
#include "schedule_fixture.h"

#define PAGES 12u
#define PAGE 4096u
#define TIMEOUT hca_ack_timeout_ns(14)

/* Bytes [64K, 128K) of b, as a region of their own. */
static struct hca_mr *middle(void)
{
	struct hca_mr_attr attr = {
		.kind = HCA_MR_LINEAR, .access = RW, .iova = BASE + 65536, .base = BASE + 65536, .length = 65536
	};
	struct hca_mr *mr;

	assert_int_equal(hca_mr_create(&b.pd, &attr, &mr), 0);
	return mr;
}

static void all_zero(const u8 *p, u32 len)
{
	u32 i;

	for (i = 0; i < len; i++)
		if (p[i])
			fail_msg("byte %u was written", i);
}

/* --- unreliable --- */

/* The message that comes next takes the request that the dropped one didn't. */
static void next_message(u64 id)
{
	struct hca_wc wc;

	assert_int_equal(b.qp->state, HCA_QPS_RTS);
	assert_int_equal(hca_cq_ring_poll(&b.rcq.ring, &wc, 1), 0);
	assert_int_equal(post(&a, id + 1, HCA_WR_RDMA_WRITE_WITH_IMM, 0, 8, BASE, b.all->key), 0);
	poll_one(&a.scq, id + 1, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, id, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.opcode, HCA_WC_RECV_RDMA_WITH_IMM);
	assert_int_equal(wc.byte_len, 8);
	nothing_more();
}

static void dropped(enum hca_wr_opcode op, u64 raddr, u32 len, u32 rkey)
{
	fill(a.ram, BYTES, 1);
	memset(b.ram, 0, BYTES);
	assert_int_equal(post_recv(&b, 10, 0, 0), 0);
	assert_int_equal(post(&a, 20, op, 0, len, raddr, rkey), 0);
	poll_one(&a.scq, 20, HCA_WC_SUCCESS, NULL);
	all_zero(b.ram, BYTES);
	next_message(10);
}

static void a_wrong_key(void **state)
{
	struct hca_mr *mr = middle();

	(void)state;
	dropped(HCA_WR_RDMA_WRITE_WITH_IMM, BASE + 65536, 8, mr->key ^ 1);
	dropped(HCA_WR_RDMA_WRITE_WITH_IMM, BASE + 65536 - 1, 8, mr->key);
	dropped(HCA_WR_RDMA_WRITE_WITH_IMM, BASE + 65536, 65537, mr->key); /* the first piece would fit */
	dropped(HCA_WR_RDMA_WRITE, BASE + 65536, 65537, mr->key);
	assert_int_equal(hca_mr_destroy(mr), 0);
}

/* Only what follows the first piece lies in the region. */
static void the_rest_of_a_dropped_message(void **state)
{
	struct hca_mr *mr = middle();

	(void)state;
	dropped(HCA_WR_RDMA_WRITE, BASE + 65536 - 8, 65536 + 8, mr->key);
	dropped(HCA_WR_RDMA_WRITE, BASE, 2 * 65536, mr->key);
	dropped(HCA_WR_RDMA_WRITE_WITH_IMM, BASE, 2 * 65536, mr->key);
	assert_int_equal(hca_mr_destroy(mr), 0);
}

/* --- a key that goes --- */

static struct hca_mr *pages_mr;
static struct hca_mw *mw;
static struct hca_invalidation gone;
static u32 gone_at; /* the page that is touched first when the key goes */

/* From inside: the rest of the invalidation is done later. */
static void takes_the_key(struct side *s, u64 off, enum hca_mem_op op)
{
	(void)op;
	if (s == &b && mw && !gone.mw && off / PAGE == gone_at)
		assert_int_equal(hca_key_invalidate_begin(b.qp, mw->key, false, &gone), 0);
}

static void make_window(void)
{
	struct hca_mr_attr attr = {
		.kind = HCA_MR_PAGES, .access = HCA_ACCESS_MW_BIND, .max_pages = PAGES, .invalid = true
	};
	u64 page[PAGES];
	u32 i;

	for (i = 0; i < PAGES; i++)
		page[i] = BASE + (u64)PAGE * 2 * i; /* not one run */
	assert_int_equal(hca_mr_create(&b.pd, &attr, &pages_mr), 0);
	assert_int_equal(hca_mw_create(&b.hca, &b.pd, HCA_MW_TYPE_2, &mw), 0);
	const struct hca_mr_pages to = { .key = pages_mr->key,
					 .access = RW | HCA_ACCESS_MW_BIND,
					 .iova = BASE,
					 .length = PAGES * PAGE,
					 .page_shift = 12,
					 .npages = PAGES,
					 .pages = page };
	assert_int_equal(hca_mr_register(pages_mr, &to), 0);
}

static void bind_window(void)
{
	struct hca_send_wr wr = { .wr_id = 50, .opcode = HCA_WR_BIND_MW };

	gone = (struct hca_invalidation){ 0 };
	wr.bind.mw = mw;
	wr.bind.rkey = hca_key_next(mw->key);
	wr.bind.addr = BASE;
	wr.bind.length = PAGES * PAGE;
	wr.bind.lkey = pages_mr->key;
	wr.bind.access = HCA_ACCESS_REMOTE_READ | HCA_ACCESS_REMOTE_WRITE;
	assert_int_equal(hca_post_send(b.qp, &wr), 0);
	poll_one(&b.scq, 50, HCA_WC_SUCCESS, NULL);
}

static void end_window(void)
{
	assert_non_null(gone.mw);
	hca_key_invalidate_finish(&gone);
}

static void free_window(void)
{
	hca_mw_destroy(mw);
	mw = NULL;
	assert_int_equal(hca_mr_destroy(pages_mr), 0);
}

/* From the window's ninth page on its key is another one's, or nobody's: that is what the peer hears, not that we failed. */
static void told_that_it_was_the_key(void **state)
{
	static const enum hca_wr_opcode ops[] = { HCA_WR_RDMA_WRITE, HCA_WR_RDMA_READ, HCA_WR_RDMA_WRITE_WITH_IMM };
	u32 i, turn;

	(void)state;
	ONE_DELIVERER();
	/* Packets take the request with the last of them, so it is left to be flushed. */
	for (turn = 0; turn < 2; turn++) {
#ifdef ENGINE_FIXTURE_LATE
		late.one_sided_late = turn;
#endif
		make_window();
		look_at_memory(takes_the_key);
		for (i = 0; i < HCA_ARRAY_SIZE(ops); i++) {
			u32 events = b.events[HCA_EVENT_QP_ACCESS_ERR];

			bind_window();
			gone_at = 2 * 7; /* then come those that are looked up anew */
			assert_int_equal(post_recv(&b, 1, 0, 0), 0);
			assert_int_equal(post(&a, 2, ops[i], 0, PAGES * PAGE, BASE, mw->key), 0);
			poll_one(&a.scq, 2, HCA_WC_REM_ACCESS_ERR, NULL);
			poll_one(&b.rcq, 1,
				 ops[i] == HCA_WR_RDMA_WRITE_WITH_IMM && !FIXTURE_MTU ? HCA_WC_LOC_ACCESS_ERR :
											HCA_WC_WR_FLUSH_ERR,
				 NULL);
			assert_int_equal(b.events[HCA_EVENT_QP_ACCESS_ERR], events + 1);
			nothing_more();
			end_window();
			connect_again();
		}
		look_at_memory(NULL);
		free_window();
	}
}

/* What was written before stays; the message is dropped all the same. */
static void a_key_that_goes_drops_the_message(void **state)
{
	(void)state;
	ONE_DELIVERER(); /* out of order, packets are lost before the page is touched */
	make_window();
	look_at_memory(takes_the_key);
	bind_window();
	gone_at = 2;
	assert_int_equal(post_recv(&b, 10, 0, 0), 0);
	assert_int_equal(post(&a, 20, HCA_WR_RDMA_WRITE_WITH_IMM, 0, PAGES * PAGE, BASE, mw->key), 0);
	poll_one(&a.scq, 20, HCA_WC_SUCCESS, NULL);
	next_message(10);
	end_window();
	look_at_memory(NULL);
	free_window();
}

/* The sender's own memory fails: nothing has left, and the receiver hears of nothing. */
static void memory_of_the_sender(void **state)
{
	struct hca_mr_attr attr = {
		.kind = HCA_MR_LINEAR, .access = RW, .iova = BASE, .base = BASE + BYTES, .length = 8
	};
	struct hca_sge sge = { .addr = BASE, .length = 8 };
	struct hca_send_wr wr = { .wr_id = 20, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND };
	bool ud = a.qp->type == HCA_QPT_UD;
	struct hca_qp_attr at = { .qkey = 0x11 };
	struct hca_mr *hollow;
	struct hca_wc wc;

	(void)state;
	assert_int_equal(hca_mr_create(&a.pd, &attr, &hollow), 0);
	sge.lkey = hollow->key;
	if (ud) {
		wr.ud.dlid = b.hca.lid;
		wr.ud.qpn = b.qp->qpn;
		wr.ud.qkey = 0x11;
	}
	assert_int_equal(post_recv(&b, 10, 0, 64), 0);
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 20, HCA_WC_LOC_PROT_ERR, NULL);
	assert_int_equal(hca_cq_ring_poll(&b.rcq.ring, &wc, 1), 0);
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
	modify(a.qp, &at, HCA_QPS_RTS, 0);
	assert_int_equal(post(&a, 21, HCA_WR_SEND, 0, 8, ud ? b.qp->qpn : 0, 0x11), 0);
	poll_one(&a.scq, 21, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 10, HCA_WC_SUCCESS, NULL);
	assert_int_equal(hca_mr_destroy(hollow), 0);
}

#define UC(t) cmocka_unit_test_setup_teardown(t, open_uc, close_both)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UC(a_wrong_key),
		UC(the_rest_of_a_dropped_message),
		UC(a_key_that_goes_drops_the_message),
		UC(memory_of_the_sender),
		cmocka_unit_test_setup_teardown(memory_of_the_sender, open_ud, close_both),
		RC(told_that_it_was_the_key),
	};

	return cmocka_run_group_tests_name("engine_refused", tests, NULL, NULL);
}
