/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets against time and against each other: answers that come late, retries, two threads that deliver, results that are
 * kept, credits, a wire that is full; and bits of the headers that say who may do what (IBTA vol. 1, 9.2, 9.6, 9.7).
 */
#define BYTES (2u * 65536u)
#define ENGINE_FIXTURE_PACKETS
#define PACKETS_IN_ORDER /* they are counted */
#include "frame_fixture.h"

#define SEEDS 60u

/* --- a response while time runs out --- */

static bool blocked, may_go_on;

static void holds_a_response(struct side *s, u64 off, enum hca_mem_op op)
{
	(void)off;
	if (s != &a || op == HCA_MEM_READ)
		return;
	hca_store(&blocked, true);
	while (!hca_load(&may_go_on))
		hca_pause();
}

static void reads(void *arg)
{
	(void)arg;
	CHECK(!post_read(&a, 1, 0, 64));
}

static void lets_time_run_out(void *arg)
{
	struct hca_wc wc;

	(void)arg;
	while (!hca_load(&blocked))
		hca_pause();
	test_clock_advance(3 * TIMEOUT);
	CHECK(!hca_cq_ring_poll(&a.scq.ring, &wc, 1)); /* bytes of it are being moved */
	hca_store(&may_go_on, true);
	await(&a.scq, &wc);
	CHECK(wc.wr_id == 1);
	memset(a.ram, 0xcc, 64); /* the consumer's again */
}

/* A request completes when no byte of it moves any more, also if its retries are used up before. */
static void late_response(void **state)
{
	void (*const fns[])(void *) = { reads, lets_time_run_out };
	u32 i;

	(void)state;
	FOR_SEEDS(seed, SEEDS)
	{
		assert_int_equal(open_small_rc(NULL), 0);
		set_retries(a.qp, 12, 0);
		look_at_memory(holds_a_response);
		blocked = may_go_on = false;
		run_seed(seed, 2, fns);
		for (i = 0; i < 64; i++)
			assert_int_equal(a.ram[i], 0xcc);
		nothing_more();
		assert_int_equal(close_both(NULL), 0);
	}
}

/* --- the oldest failure decides --- */

static void holds_and_refuses(struct side *s, u64 off, enum hca_mem_op op)
{
	(void)op;
	if (s != &a || off != 8192)
		return;
	hca_store(&blocked, true);
	while (!hca_load(&may_go_on))
		hca_pause();
}

static int refusing_open(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access,
			 struct hca_mem_view *w)
{
	u64 off = hca_dma_u64(addr) - BASE;
	int err = mem_open_seen(mem, addr, len, access, w);

	return mem == &a.mem && off == 8192 ? -EFAULT : err;
}

static const struct hca_mem_ops refusing_ops = { .open = refusing_open, .close = mem_close };

static void writes_what_is_refused(void *arg)
{
	(void)arg;
	CHECK(!post_write(&a, 2, 8192, 64));
}

static void lets_the_first_fail(void *arg)
{
	(void)arg;
	while (!hca_load(&blocked))
		hca_pause();
	test_clock_advance(3 * TIMEOUT);
	hca_store(&may_go_on, true);
}

static void the_oldest_failure_decides(void **state)
{
	void (*const fns[])(void *) = { writes_what_is_refused, lets_the_first_fail };

	(void)state;
	FOR_SEEDS(seed, SEEDS)
	{
		assert_int_equal(open_small_rc(NULL), 0);
		set_retries(a.qp, 12, 0);
		look_at_memory(holds_and_refuses);
		a.mem.ops = &refusing_ops;
		blocked = may_go_on = false;
		lossy_lose_all(&lossy, ~0u);
		assert_int_equal(post_write(&a, 1, 0, 64), 0); /* lost */
		run_seed(seed, 2, fns);
		test_clock_advance(3 * TIMEOUT);
		poll_one(&a.scq, 1, HCA_WC_RETRY_EXC_ERR, NULL);
		poll_one(&a.scq, 2, HCA_WC_WR_FLUSH_ERR, NULL);
		nothing_more();
		assert_int_equal(close_both(NULL), 0);
	}
}

/* --- what the responder keeps --- */

static u64 answers[8];
static u32 nanswers;

/* b's answers; the requester is us, so they end here. */
static int take_answers(const struct hca_frame *f, const struct hca_packet *p)
{
	(void)f;
	if (p->opcode == HCA_PKT_ATOMIC_ACK && nanswers < HCA_ARRAY_SIZE(answers))
		answers[nanswers++] = p->original;
	return 0;
}

static void add_by_hand(u32 psn, u64 addend)
{
	struct hca_packet p = { .opcode = HCA_PKT_FETCH_ADD,
				.psn = psn,
				.raddr = BASE,
				.rkey = b.all->key,
				.swap_add = addend,
				.ack_req = true };

	inject(&b, &p, 0);
}

static void put_word(struct side *s, u64 off, u64 v)
{
	memcpy(s->ram + off, &v, 8);
}

/* A result answers the very request that it was kept for: the same operation, address, key and operands at the same number. */
static void kept_for_the_very_request(void **state)
{
	struct hca_packet other = { .opcode = HCA_PKT_CMP_SWAP, .raddr = BASE, .ack_req = true };

	(void)state;
	look_at_frames(take_answers);
	nanswers = 0;
	put_word(&b, 0, 100);
	add_by_hand(0, 1);
	add_by_hand(1, 1);
	assert_int_equal(nanswers, 2);
	add_by_hand(0, 1);
	assert_int_equal(nanswers, 3);
	assert_int_equal(answers[2], 100);
	add_by_hand(0, 2); /* another addend */
	other.rkey = b.all->key;
	inject(&b, &other, 0); /* another operation */
	other = (struct hca_packet){
		.opcode = HCA_PKT_FETCH_ADD, .raddr = BASE + 8, .rkey = b.all->key, .swap_add = 1, .ack_req = true
	};
	inject(&b, &other, 0); /* another address */
	other.raddr = BASE;
	other.rkey = b.all->key ^ 1;
	inject(&b, &other, 0); /* another key */
	assert_int_equal(nanswers, 3);
	assert_int_equal(word(&b, 0), 102);
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
}

/* Sequence numbers come round: what was kept of the former turn answers nothing of this one. */
static void kept_for_one_turn(void **state)
{
	(void)state;
	look_at_frames(take_answers);
	nanswers = 0;
	put_word(&b, 0, 100);
	add_by_hand(0, 1);
	hca_packet_qp(b.qp)->expected = HCA_PSN_MASK + 1ull; /* as after 2^24 packets: number 0 is next */
	add_by_hand(0, 1);
	assert_int_equal(nanswers, 2);
	assert_int_equal(answers[1], 101);
	add_by_hand(0, 1); /* its answer was lost */
	assert_int_equal(nanswers, 3);
	assert_int_equal(answers[2], 101);
	assert_int_equal(word(&b, 0), 102);
	/* Half a turn on a number is of the future, and what was kept of it is gone. */
	hca_packet_qp(b.qp)->expected += HCA_PSN_HALF - 1;
	add_by_hand(0, 1);
	assert_int_equal(nanswers, 3);
}

static u32 responses;

static int count_responses(const struct hca_frame *f, const struct hca_packet *p)
{
	(void)f;
	responses += p->opcode >= HCA_PKT_READ_RESP_FIRST && p->opcode <= HCA_PKT_READ_RESP_ONLY;
	return 0;
}

static void read_by_hand(u32 psn, u64 addr, u32 len)
{
	struct hca_packet p = {
		.opcode = HCA_PKT_READ_REQUEST, .psn = psn, .raddr = addr, .rkey = b.all->key, .dmalen = len
	};

	inject(&b, &p, 0);
}

/* A read that comes again may ask for the rest of what it asked for, and for nothing else (IBTA 9.7.5.1.6). */
static void a_read_is_repeated_in_its_range(void **state)
{
	(void)state;
	look_at_frames(count_responses);
	responses = 0;
	read_by_hand(0, BASE, 4 * MTU);
	assert_int_equal(responses, 4);
	read_by_hand(2, BASE + 2 * MTU, 2 * MTU);
	assert_int_equal(responses, 6);
	read_by_hand(2, BASE + 3 * MTU, MTU); /* not what has this number */
	read_by_hand(2, BASE + 2 * MTU, 3 * MTU); /* more than was asked for */
	read_by_hand(1, BASE, 4 * MTU);
	assert_int_equal(responses, 6);
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
}

/* --- a key goes --- */

/* Between two packets of a write: what is missing then is the key, as it would be at the first (IBTA 9.7.4.1.5). */
static void a_key_goes_under_a_write(void **state)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_LINEAR, .access = RW, .iova = BASE, .base = BASE, .length = 4096 };
	struct hca_packet p = { .opcode = HCA_PKT_WRITE_FIRST, .raddr = BASE, .dmalen = 3 * MTU, .len = MTU };
	struct hca_mr *leaving;

	(void)state;
	assert_int_equal(hca_mr_create(&b.pd, &attr, &leaving), 0);
	p.rkey = leaving->key;
	inject(&b, &p, 0x11);
	assert_int_equal(b.ram[MTU - 1], 0x11);
	assert_int_equal(hca_mr_destroy(leaving), 0);
	p = (struct hca_packet){ .opcode = HCA_PKT_WRITE_MIDDLE, .psn = 1, .len = MTU };
	inject(&b, &p, 0x22);
	assert_int_equal(b.ram[MTU], 0);
	assert_int_equal(syndromes(NAK(REM_ACCESS)), 1);
	assert_int_equal(b.events[HCA_EVENT_QP_ACCESS_ERR], 1);
	nothing_more();
}

/* --- two threads deliver --- */

static struct hca_mr *fast;
static u32 inv_key;

static void add_fast(struct side *s)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_PAGES, .max_pages = 1, .invalid = true };
	u64 page = BASE + 4096;
	struct hca_mr_pages to = {
		.access = RW, .iova = 0x1000, .length = 4096, .page_shift = 12, .npages = 1, .pages = &page
	};

	assert_int_equal(hca_mr_create(&s->pd, &attr, &fast), 0);
	to.key = inv_key = fast->key;
	assert_int_equal(hca_mr_register(fast, &to), 0);
}

static void is_inside_for_a_while(void *arg)
{
	struct hca_quiesce_mark mark;
	u32 i;

	(void)arg;
	hca_quiesce_enter(&b.hca.quiesce, &mark);
	for (i = 0; i < 500; i++)
		hca_pause();
	hca_quiesce_leave(&mark);
}

static void sends_with_invalidation(void *arg)
{
	struct hca_sge sge = sge_at(&a, 0, 8);
	struct hca_send_wr wr = {
		.wr_id = 1, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND_WITH_INV, .imm = inv_key
	};

	(void)arg;
	CHECK(!hca_post_send(a.qp, &wr));
}

static void sends_behind(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 2; i < 6; i++)
		CHECK(!post(&a, i, HCA_WR_SEND, 8 * i, 8, 0, 0));
}

static void delivers(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < 60; i++) {
		hca_eq_run(&lossy.eq);
		hca_pause();
	}
}

/* A wire that loses nothing, a peer that never asks again: no packet is dropped while an invalidation waits for who is inside. */
static void two_deliver_beside_an_invalidation(void **state)
{
	void (*const fns[])(void *) = { is_inside_for_a_while, sends_with_invalidation, sends_behind, delivers };
	struct hca_wc wc;
	u32 i;

	(void)state;
	FOR_SEEDS(seed, 4 * SEEDS)
	{
		assert_int_equal(open_small_rc(NULL), 0);
		set_retries(a.qp, 0, 7);
		a.qp->attr.rnr_retry = 7;
		lossy.lanes = 2;
		add_fast(&b);
		for (i = 1; i < 6; i++)
			assert_int_equal(post_recv(&b, 10 + i, 64 * i, 64), 0);
		run_seed(seed, HCA_ARRAY_SIZE(fns), fns);
		test_clock_advance(1);
		for (i = 1; i < 6; i++) {
			assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 1);
			assert_int_equal(wc.status, HCA_WC_SUCCESS);
			good(&b.rcq, 10 + i);
		}
		nothing_more();
		assert_int_equal(hca_mr_destroy(fast), 0);
		assert_int_equal(close_both(NULL), 0);
	}
}

/* --- a flood --- */

static bool over;
static u32 arrived;

static void floods(void *arg)
{
	struct hca_packet p = { .opcode = HCA_PKT_WRITE_ONLY,
				.psn = 0x400000,
				.raddr = BASE,
				.rkey = b.all->key,
				.dmalen = 64,
				.len = 64,
				.ack_req = true,
				.pkey = 0xffff,
				.dqpn = b.qp->qpn };
	u8 bytes[HCA_PACKET_HEADER_MAX + 64] = { 0 };
	struct hca_arrival at = { .bytes = bytes, .dlid = b.hca.lid, .slid = a.hca.lid };

	(void)arg;
	at.len = hca_packet_encode(&p, bytes) + 64;
	while (!over) {
		hca_packet_client.packet(&b.hca, &at);
		hca_fetch_add(&arrived, 1);
	}
}

static u32 most_meanwhile;

static void resets_in_the_flood(void *arg)
{
	u32 was;

	(void)arg;
	while (hca_load(&arrived) < 40)
		hca_pause();
	was = hca_load(&arrived);
	CHECK(!to_state(b.qp, HCA_QPS_RESET));
	most_meanwhile = HCA_MAX(most_meanwhile, hca_load(&arrived) - was);
	over = true;
}

static int lose_here(const struct hca_frame *f, const struct hca_packet *p)
{
	(void)f;
	(void)p;
	return -EFAULT;
}

/* RESET ends though packets keep coming, and soon: what arrives after its beginning doesn't hold it up. */
static void a_flood_delays_no_reset(void **state)
{
	void (*const fns[])(void *) = { resets_in_the_flood, floods, floods, floods, floods };

	(void)state;
	most_meanwhile = 0;
	FOR_SEEDS(seed, SEEDS)
	{
		assert_int_equal(open_small_rc(NULL), 0);
		look_at_frames(lose_here);
		over = false;
		arrived = 0;
		run_seed(seed, HCA_ARRAY_SIZE(fns), fns);
		assert_int_equal(close_both(NULL), 0);
	}
	print_message("# at most %u packets came meanwhile\n", most_meanwhile);
	assert_in_range(most_meanwhile, 0, 200);
}

/* --- retries --- */

#ifndef DELIVER_H /* time passes on whether or not a packet was brought: on the test os layer alone that is so on purpose */
static u32 sends_seen;

static int passes_time(const struct hca_frame *f, const struct hca_packet *p)
{
	(void)f;
	sends_seen += p->opcode == HCA_PKT_SEND_ONLY;
	responses += p->opcode >= HCA_PKT_READ_RESP_FIRST && p->opcode <= HCA_PKT_READ_RESP_ONLY;
	return 0;
}

static bool answered;

static void answers_a_long_read(void *arg)
{
	struct hca_packet p = { .opcode = HCA_PKT_READ_REQUEST, .raddr = BASE, .rkey = a.all->key, .dmalen = BYTES };

	(void)arg;
	inject(&a, &p, 0);
	hca_store(&answered, true);
}

static void lets_time_pass(void *arg)
{
	u32 i;

	(void)arg;
	while (!hca_load(&answered)) {
		for (i = 0; i < 100; i++) {
			hca_eq_run(&lossy.eq);
			hca_pause();
		}
		test_clock_advance(MS);
	}
}

/* A retry counts when it was sent: a peer's long read doesn't use them up, and our own requests go on beside it. */
static void a_retry_counts_when_it_was_sent(void **state)
{
	void (*const fns[])(void *) = { answers_a_long_read, lets_time_pass };

	(void)state;
	FOR_SEEDS(seed, SEEDS / 4)
	{
		assert_int_equal(open_small_rc(NULL), 0);
		set_retries(a.qp, 8, 7); /* 1 ms */
		lossy.lanes = 2; /* what is sent while a long answer leaves is brought by the other thread */
		look_at_frames(passes_time);
		sends_seen = responses = 0;
		answered = false;
		assert_int_equal(post_recv(&b, 9, 0, 64), 0);
		lossy_script(&lossy, HCA_PKT_SEND_ONLY, 1, LOSSY_LOSE, 0);
		assert_int_equal(post(&a, 1, HCA_WR_SEND, 0, 8, 0, 0), 0);
		run_seed(seed, 2, fns);
		test_clock_advance(4 * TIMEOUT);
		assert_int_equal(responses, BYTES / MTU);
		assert_in_range(sends_seen, 2, 8);
		good(&a.scq, 1);
		good(&b.rcq, 9);
		assert_int_equal(close_both(NULL), 0);
	}
}
#endif

/* After a timeout all that was unanswered goes once more; acknowledgements of before, however many, make nothing go again. */
static void stale_acknowledgements(void **state)
{
	u32 i;

	(void)state;
	look_at_frames(NULL);
	lossy_lose_all(&lossy, HCA_PKT_ACK);
	assert_int_equal(post_read(&a, 1, 0, 8), 0);
	good(&a.scq, 1);
	lossy_lose_all(&lossy, HCA_PKT_READ_RESP_ONLY);
	assert_int_equal(post_write(&a, 2, 0, 64), 0);
	assert_int_equal(post_read(&a, 3, 0, 8), 0);
	assert_int_equal(post_write(&a, 4, 64, 64), 0);
	assert_int_equal(post_write(&a, 5, 128, 64), 0);
	test_clock_advance(TIMEOUT);
	frames = 0;
	/* The first tells that the write before the read has arrived. That the read's answer hasn't is known: the read was sent again. */
	for (i = 0; i < 20; i++)
		ack_by_hand(3 + i % 2, PLAIN_ACK, 0);
	assert_int_equal(frames, 0);
	assert_int_equal(a.qp->retries, 0);
	lossy_clear(&lossy);
	test_clock_advance(TIMEOUT);
	good(&a.scq, 2);
	good(&a.scq, 3);
	good(&a.scq, 4);
	good(&a.scq, 5);
	nothing_more();
}

/* A sequence error is told for the first packet behind a gap alone; told again and again it makes all go again once. */
static void repeated_sequence_errors(void **state)
{
	u32 i, sent;

	(void)state;
	look_at_frames(NULL);
	lossy_lose_all(&lossy, ~0u);
	assert_int_equal(post_write(&a, 1, 0, 4 * MTU), 0);
	sent = frames;
	for (i = 0; i < 10; i++)
		ack_by_hand(0, NAK(SEQUENCE), 0);
	assert_int_equal(frames - sent, 4);
	assert_int_equal(a.qp->retries, 1);
	lossy_clear(&lossy);
	test_clock_advance(TIMEOUT);
	good(&a.scq, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(late_response),
		cmocka_unit_test(the_oldest_failure_decides),
		SMALL(kept_for_the_very_request),
		SMALL(kept_for_one_turn),
		SMALL(a_read_is_repeated_in_its_range),
		SMALL(a_key_goes_under_a_write),
		cmocka_unit_test(two_deliver_beside_an_invalidation),
#ifndef DELIVER_H /* of what a sender does by itself, or of counted steps */
		cmocka_unit_test(a_flood_delays_no_reset),
		cmocka_unit_test(a_retry_counts_when_it_was_sent),
#endif
		SMALL(stale_acknowledgements),
		SMALL(repeated_sequence_errors),
	};

	return cmocka_run_group_tests_name("packet_order", tests, NULL, NULL);
}
