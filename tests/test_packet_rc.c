/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The reliable connection over packets, rule by rule: what is sent, what is sent again, when
 * on the clock, and how often. Faults are scripted; every count is exact.
 */
#define PACKETS_IN_ORDER /* they are counted */
#include "packet_fixture.h"

/* --- messages and packets --- */

static void messages_become_packets(void **state)
{
	struct hca_wc wc;

	(void)state;
	fill(a.ram, 2000, 3);
	assert_int_equal(post_write(&a, 1, 0, 4 * MTU - 24), 0);
	good(&a.scq, 1);
	assert_memory_equal(b.ram, a.ram, 4 * MTU - 24);
	assert_int_equal(b.ram[4 * MTU - 24], 0);
	assert_int_equal(seen(HCA_PKT_WRITE_FIRST), 1);
	assert_int_equal(seen(HCA_PKT_WRITE_MIDDLE), 2);
	assert_int_equal(seen(HCA_PKT_WRITE_LAST), 1);
	assert_int_equal(seen(HCA_PKT_ACK), 1);
	assert_int_equal(post_recv(&b, 2, 4096, 1000), 0);
	assert_int_equal(post(&a, 3, HCA_WR_SEND_WITH_IMM, 7, 2 * MTU, 0, 0), 0);
	good(&a.scq, 3);
	poll_one(&b.rcq, 2, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.byte_len, 2 * MTU);
	assert_int_equal(wc.imm, 0x12345678);
	assert_memory_equal(b.ram + 4096, a.ram + 7, 2 * MTU);
	assert_int_equal(seen(HCA_PKT_SEND_FIRST), 1);
	assert_int_equal(seen(HCA_PKT_SEND_LAST_IMM), 1);
	/* Nothing is a packet as well. */
	assert_int_equal(post_write(&a, 4, 0, 0), 0);
	good(&a.scq, 4);
	assert_int_equal(seen(HCA_PKT_WRITE_ONLY), 1);
	fill(b.ram + 8192, 1001, 9);
	assert_int_equal(post_read(&a, 5, 8192, 1001), 0);
	good(&a.scq, 5);
	assert_memory_equal(a.ram + 8192, b.ram + 8192, 1001);
	assert_int_equal(seen(HCA_PKT_READ_RESP_FIRST), 1);
	assert_int_equal(seen(HCA_PKT_READ_RESP_MIDDLE), 2);
	assert_int_equal(seen(HCA_PKT_READ_RESP_LAST), 1);
	assert_int_equal(post_read(&a, 6, 0, 0), 0);
	good(&a.scq, 6);
	assert_int_equal(seen(HCA_PKT_READ_RESP_ONLY), 1);
	nothing_more();
}

/* The numbers are 24 bits, and go round in the middle of messages of every sort. */
static void numbers_go_round(void **state)
{
	u32 i;

	(void)state;
	hca_packet_qp(a.qp)->una = hca_packet_qp(a.qp)->snd = hca_packet_qp(a.qp)->max = hca_packet_qp(b.qp)->expected =
		0xfffffe;
	fill(a.ram, 2000, 5);
	assert_int_equal(post_write(&a, 1, 0, 2000), 0);
	good(&a.scq, 1);
	assert_memory_equal(b.ram, a.ram, 2000);
	assert_int_equal(hca_packet_qp(b.qp)->expected & HCA_PSN_MASK, 6);
	hca_packet_qp(a.qp)->una = hca_packet_qp(a.qp)->snd = hca_packet_qp(a.qp)->max = hca_packet_qp(b.qp)->expected =
		0xfffffe;
	memset(a.ram, 0, 2000);
	lossy_script(&lossy, HCA_PKT_READ_RESP_MIDDLE, 3, LOSSY_LOSE, 0);
	assert_int_equal(post_read(&a, 2, 0, 2000), 0);
	assert_int_equal(post_add(&a, 3, 4096, 4096, 5), 0);
	good(&a.scq, 2);
	good(&a.scq, 3);
	assert_memory_equal(b.ram, a.ram, 2000);
	for (i = 0; i < 8; i++)
		assert_int_equal(word(&b, 4096), 5);
}

/* A large message is under way a window at a time, and is asked about before the window is full. */
static void window(void **state)
{
	(void)state;
	fill(a.ram, BYTES / 2, 8);
	lossy_lose_all(&lossy, HCA_PKT_ACK);
	assert_int_equal(post_write(&a, 1, 0, BYTES - 4096), 0);
	assert_int_equal(seen(HCA_PKT_WRITE_FIRST) + seen(HCA_PKT_WRITE_MIDDLE), HCA_PACKET_WINDOW);
	lossy_clear(&lossy);
	test_clock_advance(TIMEOUT);
	good(&a.scq, 1);
	assert_memory_equal(b.ram, a.ram, BYTES - 4096);
	assert_true(seen(HCA_PKT_ACK) >= 2);
}

/* --- losses --- */

static void lost_packet_is_told_once(void **state)
{
	(void)state;
	fill(a.ram, 5 * MTU, 1);
	lossy_script(&lossy, HCA_PKT_WRITE_MIDDLE, 1, LOSSY_LOSE, 0);
	assert_int_equal(post_write(&a, 1, 0, 5 * MTU), 0);
	good(&a.scq, 1);
	assert_memory_equal(b.ram, a.ram, 5 * MTU);
	/* From the missing one on everything is sent again, and nothing before it. */
	assert_int_equal(syndromes(NAK(SEQUENCE)), 1);
	assert_int_equal(seen(HCA_PKT_WRITE_FIRST), 1);
	assert_int_equal(seen(HCA_PKT_WRITE_MIDDLE), 6);
	assert_int_equal(seen(HCA_PKT_WRITE_LAST), 2);
	nothing_more();
}

static void lost_end_is_found_by_time(void **state)
{
	struct hca_wc wc;

	(void)state;
	lossy_script(&lossy, HCA_PKT_WRITE_LAST, 1, LOSSY_LOSE, 0);
	assert_int_equal(post_write(&a, 1, 0, 3 * MTU), 0);
	test_clock_advance(TIMEOUT - 1);
	assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 0);
	test_clock_advance(1);
	good(&a.scq, 1);
	/* Nobody had asked for an acknowledgement of the first two: they go again. */
	assert_int_equal(seen(HCA_PKT_WRITE_FIRST), 2);
	assert_int_equal(seen(HCA_PKT_WRITE_LAST), 2);
}

static void lost_acknowledgement(void **state)
{
	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 8), 0);
	assert_int_equal(post_recv(&b, 2, 8, 8), 0);
	fill(a.ram, 8, 1);
	lossy_script(&lossy, HCA_PKT_ACK, 1, LOSSY_LOSE, 0);
	assert_int_equal(post(&a, 3, HCA_WR_SEND, 0, 8, 0, 0), 0);
	good(&b.rcq, 1); /* it arrived */
	test_clock_advance(TIMEOUT);
	good(&a.scq, 3);
	nothing_more(); /* and only once */
	assert_int_equal(seen(HCA_PKT_SEND_ONLY), 2);
	assert_int_equal(seen(HCA_PKT_ACK), 2);
	assert_int_equal(word(&b, 8), 0);
}

/* One acknowledgement tells of all before it: for the one who gets it, and for the one who is late to send it. */
static void acknowledgements_add_up(void **state)
{
	u32 i;

	(void)state;
	for (i = 1; i < 4; i++)
		lossy_script(&lossy, HCA_PKT_ACK, 1, LOSSY_LOSE, 0);
	for (i = 0; i < 4; i++)
		assert_int_equal(post_write(&a, i, 0, 8), 0);
	for (i = 0; i < 4; i++)
		good(&a.scq, i);
	lossy_clear(&lossy);
	hold(&b);
	for (i = 0; i < 4; i++)
		assert_int_equal(post_write(&a, i, 0, 8), 0);
	nothing_more();
	let_go(&b);
	for (i = 0; i < 4; i++)
		good(&a.scq, i);
	assert_int_equal(seen(HCA_PKT_ACK), 1);
}

static void retries_are_counted(void **state)
{
	struct hca_wc wc;
	u32 i;

	(void)state;
	lossy_lose_all(&lossy, HCA_PKT_WRITE_ONLY);
	assert_int_equal(post_write(&a, 1, 0, 8), 0);
	assert_int_equal(post_write(&a, 2, 0, 8), 0);
	for (i = 1; i <= 3; i++) {
		test_clock_advance(TIMEOUT);
		assert_int_equal(seen(HCA_PKT_WRITE_ONLY), 2 * (1 + i));
	}
	test_clock_advance(TIMEOUT - 1);
	assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 0);
	test_clock_advance(1);
	poll_one(&a.scq, 1, HCA_WC_RETRY_EXC_ERR, NULL);
	poll_one(&a.scq, 2, HCA_WC_WR_FLUSH_ERR, NULL);
	assert_int_equal(seen(HCA_PKT_WRITE_ONLY), 8);
	assert_int_equal(a.qp->state, HCA_QPS_ERR);
}

/* Whatever is acknowledged lets the count begin anew. */
static void progress_forgives(void **state)
{
	u32 i;

	(void)state;
	a.qp->attr.retry_cnt = 1;
	for (i = 0; i < 5; i++) {
		lossy_script(&lossy, HCA_PKT_WRITE_ONLY, 1, LOSSY_LOSE, 0);
		assert_int_equal(post_write(&a, i, 0, 8), 0);
		test_clock_advance(TIMEOUT);
		good(&a.scq, i);
	}
	/* Sequence errors count as well: the packet that is missing is lost once more each time. */
	a.qp->attr.retry_cnt = 0;
	lossy_clear(&lossy);
	lossy_script(&lossy, HCA_PKT_WRITE_FIRST, 1, LOSSY_LOSE, 0);
	assert_int_equal(post_write(&a, 9, 0, 2 * MTU), 0);
	poll_one(&a.scq, 9, HCA_WC_RETRY_EXC_ERR, NULL);
}

static void no_timeout_waits_for_ever(void **state)
{
	struct hca_wc wc;
	u32 i;

	(void)state;
	a.qp->attr.timeout = 0;
	lossy_script(&lossy, HCA_PKT_WRITE_ONLY, 1, LOSSY_LOSE, 0);
	assert_int_equal(post_write(&a, 1, 0, 8), 0);
	for (i = 0; i < 1000; i++)
		test_clock_advance(TIMEOUT);
	assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 0);
	assert_int_equal(post_write(&a, 2, 0, 8), 0); /* the gap is seen by the next one */
	good(&a.scq, 1);
	good(&a.scq, 2);
}

/* What is sent again is what is in memory then: nothing was kept. */
static void gathered_again(void **state)
{
	(void)state;
	memset(a.ram, 'x', 8);
	lossy_script(&lossy, HCA_PKT_WRITE_ONLY, 1, LOSSY_LOSE, 0);
	assert_int_equal(post_write(&a, 1, 0, 8), 0);
	memset(a.ram, 'y', 8);
	test_clock_advance(TIMEOUT);
	good(&a.scq, 1);
	assert_int_equal(b.ram[0], 'y');
	/* So the key has to be there still. */
	lossy_script(&lossy, HCA_PKT_WRITE_ONLY, 1, LOSSY_LOSE, 0);
	assert_int_equal(post_write(&a, 2, 0, 8), 0);
	assert_int_equal(post_write(&a, 3, 0, 8), 0);
	good(&a.scq, 2);
	good(&a.scq, 3);
}

static void twice_and_late(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(post_recv(&b, 10 + i, 64 * i, 64), 0);
	fill(a.ram, 64, 4);
	lossy_script(&lossy, HCA_PKT_SEND_ONLY, 1, LOSSY_TWICE, 0);
	lossy_script(&lossy, HCA_PKT_ACK, 2, LOSSY_TWICE, 0);
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 64, 0, 0), 0);
	assert_int_equal(post(&a, 2, HCA_WR_SEND, 0, 64, 0, 0), 0);
	good(&a.scq, 1);
	good(&a.scq, 2);
	good(&b.rcq, 10);
	good(&b.rcq, 11);
	nothing_more();
	/* One that comes long after its repetition was acknowledged is old. */
	lossy_script(&lossy, HCA_PKT_SEND_ONLY, 1, LOSSY_LATE, 3 * TIMEOUT);
	assert_int_equal(post(&a, 3, HCA_WR_SEND, 0, 64, 0, 0), 0);
	test_clock_advance(TIMEOUT);
	good(&a.scq, 3);
	good(&b.rcq, 12);
	test_clock_advance(3 * TIMEOUT);
	nothing_more();
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
}

/*
 * The first is overtaken, and so the second is dropped; and what the responder says of it comes when the first is acknowledged: a
 * ghost (IBTA 9.7.5.1.4). The fabric of InfiniBand keeps the order, so this is as a loss of both: the timeout repairs it.
 */
static void overtaken_both_ways(void **state)
{
	(void)state;
	lossy_script(&lossy, HCA_PKT_WRITE_ONLY, 1, LOSSY_LATE, 10);
	lossy_script(&lossy, HCA_PKT_ACK, 1, LOSSY_LATE, 100);
	assert_int_equal(post_write(&a, 1, 0, 8), 0);
	assert_int_equal(post_write(&a, 2, 0, 8), 0);
	test_clock_advance(TIMEOUT / 2);
	assert_int_equal(syndromes(NAK(SEQUENCE)), 1);
	good(&a.scq, 1);
	nothing_more();
	test_clock_advance(TIMEOUT);
	good(&a.scq, 2);
	assert_int_equal(seen(HCA_PKT_WRITE_ONLY), 3);
}

static void spoilt_packets_are_lost_ones(void **state)
{
	(void)state;
	fill(a.ram, 3 * MTU, 4);
	lossy_script(&lossy, HCA_PKT_WRITE_MIDDLE, 1, LOSSY_CUT, MTU - 1);
	assert_int_equal(post_write(&a, 1, 0, 3 * MTU), 0);
	good(&a.scq, 1);
	lossy_script(&lossy, HCA_PKT_WRITE_ONLY, 1, LOSSY_FLIP, 7); /* an opcode that isn't */
	assert_int_equal(post_write(&a, 2, 0, 8), 0);
	test_clock_advance(TIMEOUT);
	good(&a.scq, 2);
	lossy_script(&lossy, HCA_PKT_WRITE_ONLY, 1, LOSSY_FLIP, 8 * 7); /* another queue pair's */
	assert_int_equal(post_write(&a, 3, 0, 8), 0);
	test_clock_advance(TIMEOUT);
	good(&a.scq, 3);
	lossy_script(&lossy, HCA_PKT_WRITE_ONLY, 1, LOSSY_FLIP, 8 * 3); /* another partition's */
	assert_int_equal(post_write(&a, 4, 0, 8), 0);
	test_clock_advance(TIMEOUT);
	good(&a.scq, 4);
	assert_memory_equal(a.ram, b.ram, 3 * MTU);
}

/* --- not ready --- */

static void not_ready_on_the_clock(void **state)
{
	struct hca_wc wc;

	(void)state;
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 2 * MTU, 0, 0), 0);
	assert_int_equal(post(&a, 2, HCA_WR_SEND, 0, 8, 0, 0), 0);
	/* What followed the refused packet is passed over without a word. */
	assert_int_equal(syndromes(HCA_AETH_RNR | 12), 1);
	assert_int_equal(syndromes(NAK(SEQUENCE)), 0);
	assert_int_equal(seen(HCA_PKT_ACK), 1);
	assert_int_equal(post_recv(&b, 3, 0, 2 * MTU), 0);
	assert_int_equal(post_recv(&b, 4, 0, 8), 0);
	test_clock_advance(RNR_WAIT - 1);
	assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 0);
	assert_int_equal(seen(HCA_PKT_SEND_FIRST), 1);
	test_clock_advance(1);
	good(&a.scq, 1);
	good(&a.scq, 2);
	good(&b.rcq, 3);
	good(&b.rcq, 4);
	assert_int_equal(seen(HCA_PKT_SEND_FIRST), 2);
	/* A request is needed by the last packet of a write, and it alone comes again. */
	lossy_clear(&lossy);
	assert_int_equal(post(&a, 5, HCA_WR_RDMA_WRITE_WITH_IMM, 0, 3 * MTU, BASE, b.all->key), 0);
	settle();
	assert_int_equal(post_recv(&b, 6, 0, 0), 0);
	test_clock_advance(RNR_WAIT);
	good(&a.scq, 5);
	poll_one(&b.rcq, 6, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.byte_len, 3 * MTU);
	assert_int_equal(seen(HCA_PKT_WRITE_FIRST), 1);
	assert_int_equal(seen(HCA_PKT_WRITE_LAST_IMM), 2);
}

static void not_ready_is_counted(void **state)
{
	struct hca_wc wc;

	(void)state;
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0);
	test_clock_advance(RNR_WAIT);
	test_clock_advance(RNR_WAIT - 1);
	assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 0);
	test_clock_advance(1);
	poll_one(&a.scq, 1, HCA_WC_RNR_RETRY_EXC_ERR, NULL);
	assert_int_equal(seen(HCA_PKT_SEND_ONLY), 3);
	assert_int_equal(syndromes(HCA_AETH_RNR | 12), 3);
}

/* The refusal itself is lost: then it is a timeout, and the next one is an answer. The two are counted apart. */
static void lost_refusal(void **state)
{
	(void)state;
	lossy_script(&lossy, HCA_PKT_ACK, 1, LOSSY_LOSE, 0);
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0);
	test_clock_advance(TIMEOUT);
	assert_int_equal(a.qp->retries, 0);
	assert_int_equal(a.qp->rnr_retries, 1);
	assert_int_equal(post_recv(&b, 2, 0, 8), 0);
	test_clock_advance(RNR_WAIT);
	good(&a.scq, 1);
	good(&b.rcq, 2);
}

/* An RNR NAK counts as an answer: losses far apart aren't added up while the requester waits. */
static void not_ready_is_an_answer(void **state)
{
	u32 i;

	(void)state;
	a.qp->attr.rnr_retry = 7;
	assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0);
	for (i = 0; i < 3 * a.qp->attr.retry_cnt; i++) {
		lossy_script(&lossy, HCA_PKT_SEND_ONLY, 1, LOSSY_LOSE, 0);
		test_clock_advance(RNR_WAIT + TIMEOUT);
	}
	assert_int_equal(post_recv(&b, 2, 0, 8), 0);
	test_clock_advance(RNR_WAIT);
	good(&a.scq, 1);
	good(&b.rcq, 2);
}

/* --- reads and atomics --- */

static void lost_read_response(void **state)
{
	(void)state;
	fill(b.ram, 4 * MTU, 6);
	lossy_script(&lossy, HCA_PKT_READ_RESP_MIDDLE, 2, LOSSY_LOSE, 0);
	assert_int_equal(post_read(&a, 1, 0, 4 * MTU), 0);
	good(&a.scq, 1);
	assert_memory_equal(a.ram, b.ram, 4 * MTU);
	/* What is asked for again is what is missing. */
	assert_int_equal(seen(HCA_PKT_READ_REQUEST), 2);
	assert_int_equal(seen(HCA_PKT_READ_RESP_FIRST), 2);
	assert_int_equal(seen(HCA_PKT_READ_RESP_MIDDLE), 2);
	assert_int_equal(seen(HCA_PKT_READ_RESP_LAST), 2);
	lossy_clear(&lossy);
	lossy_script(&lossy, HCA_PKT_READ_RESP_LAST, 1, LOSSY_LOSE, 0);
	memset(a.ram, 0, 4 * MTU);
	assert_int_equal(post_read(&a, 2, 0, 4 * MTU), 0);
	test_clock_advance(TIMEOUT);
	good(&a.scq, 2);
	assert_memory_equal(a.ram, b.ram, 4 * MTU);
	assert_int_equal(seen(HCA_PKT_READ_RESP_ONLY), 1);
}

/* An acknowledgement of something later says that a response is lost (IBTA 9.7.5.1.1). */
static void implied_loss(void **state)
{
	(void)state;
	fill(b.ram, 100, 6);
	lossy_script(&lossy, HCA_PKT_READ_RESP_ONLY, 1, LOSSY_LOSE, 0);
	assert_int_equal(post_read(&a, 1, 0, 100), 0);
	hold(&b);
	assert_int_equal(post_write(&a, 2, 4096, 8), 0);
	assert_int_equal(post_write(&a, 3, 4096, 8), 0);
	let_go(&b);
	good(&a.scq, 1);
	good(&a.scq, 2);
	good(&a.scq, 3);
	assert_memory_equal(a.ram, b.ram, 100);
	assert_int_equal(seen(HCA_PKT_READ_REQUEST), 2);
	assert_int_equal(syndromes(NAK(SEQUENCE)), 0);
}

static void reads_under_way(void **state)
{
	u32 i;

	(void)state;
	fill(b.ram, 800, 2);
	a.qp->attr.max_rd_atomic = 2;
	lossy_lose_all(&lossy, HCA_PKT_READ_RESP_ONLY);
	for (i = 0; i < 4; i++)
		assert_int_equal(post_read(&a, i, 200 * i, 200), 0);
	assert_int_equal(seen(HCA_PKT_READ_REQUEST), 2);
	lossy_clear(&lossy);
	test_clock_advance(TIMEOUT);
	for (i = 0; i < 4; i++)
		good(&a.scq, i);
	assert_memory_equal(a.ram, b.ram, 800);
	/* Whoever has more under way than was agreed is refused. */
	a.qp->attr.max_rd_atomic = 4;
	b.qp->attr.max_dest_rd_atomic = 2;
	republish(b.qp);
	hold(&b);
	for (i = 0; i < 3; i++)
		assert_int_equal(post_read(&a, i, 200 * i, 200), 0);
	settle();
	assert_int_equal(b.qp->state, HCA_QPS_ERR);
	let_go(&b);
	good(&a.scq, 0); /* those before it are answered first */
	good(&a.scq, 1);
	poll_one(&a.scq, 2, HCA_WC_REM_INV_REQ_ERR, NULL);
	assert_int_equal(b.events[HCA_EVENT_QP_REQ_ERR], 1);
}

static void none_under_way(void **state)
{
	(void)state;
	a.qp->attr.max_rd_atomic = 0;
	assert_int_equal(post_read(&a, 1, 0, 8), 0);
	poll_one(&a.scq, 1, HCA_WC_LOC_QP_OP_ERR, NULL);
}

static void atomics_are_done_once(void **state)
{
	u32 i;

	(void)state;
	lossy_lose_all(&lossy, HCA_PKT_ATOMIC_ACK);
	for (i = 0; i < 4; i++)
		assert_int_equal(post_add(&a, i, 8 * i, 1024, 10 + i), 0);
	assert_int_equal(word(&b, 1024), 10 + 11 + 12 + 13);
	test_clock_advance(TIMEOUT); /* and again in vain */
	lossy_clear(&lossy);
	test_clock_advance(TIMEOUT);
	for (i = 0; i < 4; i++)
		good(&a.scq, i);
	assert_int_equal(word(&b, 1024), 46);
	assert_int_equal(word(&a, 0), 0);
	assert_int_equal(word(&a, 8), 10);
	assert_int_equal(word(&a, 16), 21);
	assert_int_equal(word(&a, 24), 33);
}

static void fence(void **state)
{
	struct hca_sge sge = sge_at(&a, 0, 8);
	struct hca_send_wr wr = {
		.wr_id = 2, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_WRITE, .flags = HCA_SEND_FENCE
	};

	(void)state;
	wr.rdma.addr = BASE;
	wr.rdma.rkey = b.all->key;
	lossy_script(&lossy, HCA_PKT_READ_RESP_ONLY, 1, LOSSY_LOSE, 0);
	assert_int_equal(post_read(&a, 1, 512, 8), 0);
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	assert_int_equal(seen(HCA_PKT_WRITE_ONLY), 0);
	test_clock_advance(TIMEOUT);
	assert_int_equal(seen(HCA_PKT_WRITE_ONLY), 1);
	good(&a.scq, 1);
	good(&a.scq, 2);
}

/* What came again and can't be answered any more is none of the peer's business: the first answer may have arrived. */
static void old_read_without_a_key(void **state)
{
	struct hca_packet p = { .opcode = HCA_PKT_READ_REQUEST, .raddr = BASE, .dmalen = 8, .psn = 0 };

	(void)state;
	p.rkey = b.all->key;
	assert_int_equal(post_read(&a, 1, 0, 8), 0);
	good(&a.scq, 1);
	lossy_clear(&lossy);
	inject(&b, &p, 0);
	assert_int_equal(seen(HCA_PKT_READ_RESP_ONLY), 1); /* a ghost at the other end */
	p.rkey ^= 1;
	inject(&b, &p, 0);
	p.rkey ^= 1;
	p.dmalen = 8 * MTU; /* more than was ever asked for */
	inject(&b, &p, 0);
	assert_int_equal(seen(HCA_PKT_READ_RESP_ONLY), 1);
	assert_int_equal(seen(HCA_PKT_ACK), 0);
	p = (struct hca_packet){ .opcode = HCA_PKT_FETCH_ADD, .raddr = BASE, .rkey = b.all->key, .swap_add = 1 };
	inject(&b, &p, 0); /* was no atomic then: nothing is kept for it */
	assert_int_equal(word(&b, 0), 0);
	assert_int_equal(seen(HCA_PKT_ATOMIC_ACK), 0);
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
}

/* A key that goes while a read is answered ends the read where it is. */
static void key_goes_under_a_read(void **state)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_LINEAR, .access = RW, .iova = BASE, .base = BASE, .length = 4096 };
	struct hca_mr *r;

	(void)state;
	assert_int_equal(hca_mr_create(&b.pd, &attr, &r), 0);
	hold(&b);
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_READ, 0, 1000, BASE, r->key), 0);
	assert_int_equal(hca_mr_destroy(r), 0);
	let_go(&b);
	poll_one(&a.scq, 1, HCA_WC_REM_ACCESS_ERR, NULL);
	assert_int_equal(b.qp->state, HCA_QPS_ERR);
}

/* --- local work --- */

static void local_work_waits_its_turn(void **state)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_PAGES, .max_pages = 1, .invalid = true };
	u64 page = BASE;
	struct hca_mr_pages p = { .access = RW, .length = 4096, .page_shift = 12, .pages = &page, .npages = 1 };
	struct hca_send_wr reg = { .wr_id = 1, .opcode = HCA_WR_REG_MR },
			   inv = { .wr_id = 3, .opcode = HCA_WR_LOCAL_INV };
	struct hca_sge sge = { .length = 8 };
	struct hca_send_wr wr = { .wr_id = 2, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_WRITE };
	struct hca_mr *r;

	(void)state;
	assert_int_equal(hca_mr_create(&a.pd, &attr, &r), 0);
	p.key = (r->key & ~0xffu) | 0x77;
	reg.reg.mr = r;
	reg.reg.to = p;
	sge.lkey = inv.imm = p.key;
	wr.rdma.addr = BASE;
	wr.rdma.rkey = b.all->key;
	memset(a.ram, 'k', 8);
	lossy_script(&lossy, HCA_PKT_WRITE_ONLY, 1, LOSSY_LOSE, 0);
	assert_int_equal(hca_post_send(a.qp, &reg), 0);
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	assert_int_equal(hca_post_send(a.qp, &inv), 0);
	good(&a.scq, 1);
	nothing_more();
	test_clock_advance(TIMEOUT); /* the key was there to send it again */
	good(&a.scq, 2);
	good(&a.scq, 3);
	assert_int_equal(b.ram[0], 'k');
	assert_int_equal(hca_mr_destroy(r), 0);
}

/* An error of one's own waits for the answers to what was sent before it. */
static void local_error_in_order(void **state)
{
	(void)state;
	lossy_script(&lossy, HCA_PKT_WRITE_ONLY, 1, LOSSY_LOSE, 0);
	assert_int_equal(post_write(&a, 1, 0, 8), 0);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE, BYTES - 4, 8, BASE, b.all->key), 0);
	assert_int_equal(post_write(&a, 3, 0, 8), 0);
	nothing_more();
	test_clock_advance(TIMEOUT);
	good(&a.scq, 1);
	poll_one(&a.scq, 2, HCA_WC_LOC_PROT_ERR, NULL);
	poll_one(&a.scq, 3, HCA_WC_WR_FLUSH_ERR, NULL);
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
}

/* --- states --- */

static void drained_when_acknowledged(void **state)
{
	struct hca_qp_attr at = { .en_sqd_async_notify = 1 };

	(void)state;
	lossy_script(&lossy, HCA_PKT_ACK, 1, LOSSY_LOSE, 0);
	assert_int_equal(post_write(&a, 1, 0, 8), 0);
	modify(a.qp, &at, HCA_QPS_SQD, HCA_QP_EN_SQD_ASYNC_NOTIFY);
	assert_int_equal(post_write(&a, 2, 0, 8), 0);
	assert_int_equal(a.events[HCA_EVENT_SQ_DRAINED], 0);
	test_clock_advance(TIMEOUT);
	good(&a.scq, 1);
	assert_int_equal(a.events[HCA_EVENT_SQ_DRAINED], 1);
	nothing_more();
	modify(a.qp, &at, HCA_QPS_RTS, 0);
	good(&a.scq, 2);
}

static void ends_while_under_way(void **state)
{
	struct hca_qp_attr at = { 0 };
	u32 how;

	(void)state;
	for (how = 0; how < 3; how++) {
		lossy_lose_all(&lossy, HCA_PKT_ACK);
		lossy_lose_all(&lossy, HCA_PKT_READ_RESP_ONLY);
		assert_int_equal(post_write(&a, 1, 0, 8), 0);
		assert_int_equal(post_read(&a, 2, 0, 8), 0);
		assert_int_equal(post(&a, 3, HCA_WR_SEND, 0, 8, 0, 0), 0);
		if (how == 0) {
			modify(a.qp, &at, HCA_QPS_ERR, 0);
			poll_one(&a.scq, 1, HCA_WC_WR_FLUSH_ERR, NULL);
			poll_one(&a.scq, 2, HCA_WC_WR_FLUSH_ERR, NULL);
			poll_one(&a.scq, 3, HCA_WC_WR_FLUSH_ERR, NULL);
		} else if (how == 1) {
			modify(a.qp, &at, HCA_QPS_RESET, 0);
		} else {
			hca_qp_destroy(a.qp);
			a.qp = NULL;
		}
		lossy_clear(&lossy);
		test_clock_advance(10 * TIMEOUT); /* and nothing happens later */
		nothing_more();
		if (how == 2)
			break;
		modify(a.qp, &at, HCA_QPS_RESET, 0);
		modify(b.qp, &at, HCA_QPS_RESET, 0);
		connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
		connect_qp(&b, b.qp, &a, a.qp->qpn, 3, 2);
		assert_int_equal(post_write(&a, 4, 0, 8), 0);
		good(&a.scq, 4);
	}
}

/* A receive request whose message has begun belongs to the queue pair: it ends with it. */
static void half_a_message(void **state)
{
	struct hca_packet p = { .opcode = HCA_PKT_SEND_FIRST, .len = MTU };
	struct hca_qp_attr at = { 0 };

	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 1024), 0);
	assert_int_equal(post_recv(&b, 2, 0, 1024), 0);
	inject(&b, &p, 'h');
	assert_int_equal(b.ram[0], 'h'); /* in its place at once */
	nothing_more();
	modify(b.qp, &at, HCA_QPS_ERR, 0);
	poll_one(&b.rcq, 1, HCA_WC_WR_FLUSH_ERR, NULL);
	poll_one(&b.rcq, 2, HCA_WC_WR_FLUSH_ERR, NULL);
	nothing_more();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SMALL(messages_become_packets),
		SMALL(numbers_go_round),
		SMALL(window),
#ifndef DELIVER_H /* a NAK may come before the last packet has left */
		SMALL(lost_packet_is_told_once),
#endif
		SMALL(lost_end_is_found_by_time),
		SMALL(lost_acknowledgement),
		SMALL(acknowledgements_add_up),
		SMALL(retries_are_counted),
		SMALL(progress_forgives),
		SMALL(no_timeout_waits_for_ever),
		SMALL(gathered_again),
		SMALL(twice_and_late),
		SMALL(overtaken_both_ways),
		SMALL(spoilt_packets_are_lost_ones),
		SMALL(not_ready_on_the_clock),
		SMALL(not_ready_is_counted),
		SMALL(lost_refusal),
		SMALL(not_ready_is_an_answer),
		SMALL(lost_read_response),
		SMALL(implied_loss),
		SMALL(reads_under_way),
		SMALL(none_under_way),
		SMALL(atomics_are_done_once),
		SMALL(fence),
		SMALL(old_read_without_a_key),
		SMALL(key_goes_under_a_read),
		SMALL(local_work_waits_its_turn),
		SMALL(local_error_in_order),
		SMALL(drained_when_acknowledged),
		SMALL(ends_while_under_way),
		SMALL(half_a_message),
	};

	return cmocka_run_group_tests_name("packet rc", tests, NULL, NULL);
}
