/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What packets say and where they may come from: credits, bits of the headers, addresses, requests that can't be, a wire that is
 * full, congestion (IBTA vol. 1, 9.2, 9.6, 9.7).
 */
#define BYTES (2u * 65536u)
#define ENGINE_FIXTURE_PACKETS
#define PACKETS_IN_ORDER /* they are counted */
#include "frame_fixture.h"

#define SEEDS 60u

/* --- credits --- */

static void credits_are_honoured(void **state)
{
	u32 i;

	(void)state;
	look_at_frames(NULL);
	lossy_lose_all(&lossy, HCA_PKT_ACK);
	lossy_lose_all(&lossy, HCA_PKT_SEND_ONLY);
	assert_int_equal(post_write(&a, 1, 0, 8), 0);
	ack_by_hand(0, HCA_AETH_ACK | 2, 1); /* one message done, two receive requests are there */
	good(&a.scq, 1);
	for (i = 2; i < 7; i++)
		assert_int_equal(post(&a, i, HCA_WR_SEND, 0, 8, 0, 0), 0);
	assert_int_equal(seen(HCA_PKT_SEND_ONLY), 2);
	ack_by_hand(1, HCA_AETH_ACK | 0, 2); /* none any more but the one that is under way: nothing new goes */
	good(&a.scq, 2);
	assert_int_equal(seen(HCA_PKT_SEND_ONLY), 2);
	/* The last one under way is acknowledged: one may go all the same, to find out (IBTA 9.7.7.2.5). */
	ack_by_hand(2, HCA_AETH_ACK | 0, 3);
	good(&a.scq, 3);
	assert_int_equal(seen(HCA_PKT_SEND_ONLY), 3);
	ack_by_hand(3, PLAIN_ACK, 4); /* no flow control from now on */
	good(&a.scq, 4);
	assert_int_equal(seen(HCA_PKT_SEND_ONLY), 5);
	ack_by_hand(5, PLAIN_ACK, 6);
	good(&a.scq, 5);
	good(&a.scq, 6);
}

/* What takes no receive request of the peer needs no credit. */
static void writes_need_no_credit(void **state)
{
	(void)state;
	lossy_lose_all(&lossy, HCA_PKT_ACK);
	assert_int_equal(post_write(&a, 1, 0, 8), 0);
	ack_by_hand(0, HCA_AETH_ACK | 0, 1);
	good(&a.scq, 1);
	assert_int_equal(post_write(&a, 2, 0, 8), 0);
	assert_int_equal(post_write(&a, 3, 0, 8), 0);
	assert_int_equal(post_write(&a, 4, 0, 8), 0);
	assert_int_equal(seen(HCA_PKT_WRITE_ONLY), 4);
}

/* --- headers --- */

static u32 not_migrated, solicited[32];

static int note_bits(const struct hca_frame *f, const struct hca_packet *p)
{
	(void)f;
	not_migrated += !p->migrated;
	solicited[p->opcode & 31] += p->solicited;
	return 0;
}

static int post_flags(u64 id, enum hca_wr_opcode op, u32 len, u32 flags)
{
	struct hca_sge sge = sge_at(&a, 0, len);
	struct hca_send_wr wr = { .wr_id = id, .sge = &sge, .num_sge = 1, .opcode = op, .flags = flags };

	if (op == HCA_WR_ATOMIC_FETCH_AND_ADD) {
		wr.atomic.addr = BASE;
		wr.atomic.rkey = b.all->key;
	} else {
		wr.rdma.addr = BASE;
		wr.rdma.rkey = b.all->key;
	}
	return hca_post_send(a.qp, &wr);
}

/* Each path is migrated (IBTA 17.2.8); what the receiver completes by may ask for an event: its last packet says so (9.2.3). */
static void bits_of_the_bth(void **state)
{
	static const struct {
		enum hca_wr_opcode op;
		u32 len;
	} all[] = {
		{ HCA_WR_SEND, 3 * MTU },
		{ HCA_WR_SEND_WITH_IMM, 8 },
		{ HCA_WR_RDMA_WRITE_WITH_IMM, 2 * MTU },
		{ HCA_WR_RDMA_WRITE, 8 },
		{ HCA_WR_RDMA_WRITE, 3 * MTU },
		{ HCA_WR_RDMA_READ, 2 * MTU },
		{ HCA_WR_ATOMIC_FETCH_AND_ADD, 8 },
	};
	u32 i, sum = 0;

	(void)state;
	look_at_frames(note_bits);
	not_migrated = 0;
	memset(solicited, 0, sizeof(solicited));
	for (i = 0; i < HCA_ARRAY_SIZE(all); i++) {
		if (i < 3)
			assert_int_equal(post_recv(&b, 10 + i, 8192, 4096), 0);
		assert_int_equal(post_flags(i, all[i].op, all[i].len, HCA_SEND_SOLICITED), 0);
		good(&a.scq, i);
		if (i < 3)
			good(&b.rcq, 10 + i);
	}
	assert_int_equal(not_migrated, 0);
	assert_int_equal(solicited[HCA_PKT_SEND_LAST], 1);
	assert_int_equal(solicited[HCA_PKT_SEND_ONLY_IMM], 1);
	assert_int_equal(solicited[HCA_PKT_WRITE_LAST_IMM], 1);
	for (i = 0; i < 32; i++)
		sum += solicited[i];
	assert_int_equal(sum, 3);
}

static u8 service;

static void write_from(u32 slid, bool grh, const struct hca_gid *sgid, const struct hca_gid *dgid, u32 psn)
{
	struct hca_packet p = { .opcode = service | HCA_PKT_WRITE_ONLY,
				.psn = psn,
				.raddr = BASE,
				.rkey = b.all->key,
				.dmalen = 4,
				.len = 4,
				.pkey = 0xffff,
				.dqpn = b.qp->qpn,
				.has_grh = grh };
	u8 bytes[HCA_PACKET_HEADER_MAX + 4] = { 0 };
	struct hca_arrival at = { .bytes = bytes, .dlid = b.hca.lid, .slid = slid, .global = grh };

	if (grh) {
		memcpy(p.grh.sgid, sgid->raw, 16);
		memcpy(p.grh.dgid, dgid->raw, 16);
	}
	at.len = hca_packet_encode(&p, bytes);
	memset(bytes + at.len, 0x77, 4);
	at.len += 4;
	hca_packet_client.packet(&b.hca, &at);
	settle();
}

static u32 expected_by_b(void)
{
	return (u32)hca_packet_qp(b.qp)->expected;
}

/* A packet of a connection comes from the port and the addresses of its path, or isn't heard (IBTA 9.6.1.2.3). */
static void strangers_are_not_heard(u8 with)
{
	struct hca_gid own, peer, strange;

	service = with;
	own = *gid_of(&b);
	peer = strange = *gid_of(&a);
	strange.raw[15] ^= 0x40;
	write_from(a.hca.lid + 1, false, NULL, NULL, 0);
	assert_int_equal(expected_by_b(), 0);
	write_from(a.hca.lid, false, NULL, NULL, 0);
	assert_int_equal(expected_by_b(), 1);
	b.qp->attr.ah.is_global = 1;
	b.qp->attr.ah.grh.dgid = peer;
	republish(b.qp);
	write_from(a.hca.lid, true, &strange, &own, 1);
	write_from(a.hca.lid, true, &peer, &strange, 1);
	write_from(a.hca.lid, false, NULL, NULL, 1); /* without the header that its path has */
	write_from(a.hca.lid + 1, true, &peer, &own, 1);
	assert_int_equal(expected_by_b(), 1);
	write_from(a.hca.lid, true, &peer, &own, 1);
	assert_int_equal(expected_by_b(), 2);
}

static void strangers_rc(void **state)
{
	(void)state;
	strangers_are_not_heard(HCA_PKT_RC);
}

static void strangers_uc(void **state)
{
	(void)state;
	strangers_are_not_heard(HCA_PKT_UC);
}

/* --- requests that can't be --- */

static u8 last_syndrome;
static u32 naks;

static int note_naks(const struct hca_frame *f, const struct hca_packet *p)
{
	(void)f;
	if (p->opcode == HCA_PKT_ACK && (p->syndrome & HCA_AETH_KIND) == HCA_AETH_NAK) {
		naks++;
		last_syndrome = p->syndrome;
	}
	return 0;
}

static void raw_request(u8 opcode, u32 psn, u32 len)
{
	u8 bytes[HCA_BTH_LEN + 64] = { 0 };
	struct hca_arrival at = { .bytes = bytes, .len = HCA_BTH_LEN + len, .dlid = b.hca.lid, .slid = a.hca.lid };

	bytes[0] = opcode;
	bytes[2] = bytes[3] = 0xff;
	bytes[5] = (u8)(b.qp->qpn >> 16);
	bytes[6] = (u8)(b.qp->qpn >> 8);
	bytes[7] = (u8)b.qp->qpn;
	bytes[8] = 0x80;
	bytes[9] = (u8)(psn >> 16);
	bytes[10] = (u8)(psn >> 8);
	bytes[11] = (u8)psn;
	hca_packet_client.packet(&b.hca, &at);
	settle();
}

/* An opcode that there isn't, and headers that are cut short: Invalid Request (IBTA 9.7.4.1.3), and the end; a repeat says nothing. */
static void malformed_requests_are_told(void **state)
{
	static const struct {
		u8 opcode;
		u32 len;
	} bad[] = {
		{ 0x15, 16 }, /* reserved */
		{ 0x1f, 0 },
		{ HCA_PKT_WRITE_ONLY, 8 }, /* half a RETH */
		{ HCA_PKT_READ_REQUEST, 0 },
		{ HCA_PKT_READ_REQUEST, 20 }, /* with a payload */
		{ HCA_PKT_FETCH_ADD, 24 },
	};
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(bad); i++) {
		assert_int_equal(open_small_rc(NULL), 0);
		look_at_frames(note_naks);
		naks = 0;
		raw_request(bad[i].opcode, 1, bad[i].len); /* not the one that is expected: a gap, no more */
		assert_int_equal(b.qp->state, HCA_QPS_RTS);
		naks = 0;
		raw_request(bad[i].opcode, HCA_PSN_MASK, bad[i].len); /* one of long ago */
		assert_int_equal(naks, 0);
		assert_int_equal(b.qp->state, HCA_QPS_RTS);
		raw_request(bad[i].opcode, 0, bad[i].len);
		assert_int_equal(naks, 1);
		assert_int_equal(last_syndrome, NAK(INV_REQ));
		assert_int_equal(b.qp->state, HCA_QPS_ERR);
		assert_int_equal(b.events[HCA_EVENT_QP_REQ_ERR], 1);
		assert_int_equal(close_both(NULL), 0);
	}
}

/* --- a wire that is full --- */

static u32 room;

static int has_room(const struct hca_frame *f, const struct hca_packet *p)
{
	(void)f;
	(void)p;
	if (!hca_load(&room))
		return -EAGAIN;
	hca_fetch_add(&room, ~0u);
	return 0;
}

static void say_ready(const struct side *s)
{
	lossy.port[s->hca.lid].ops->ready(lossy.port[s->hca.lid].client);
	hca_eq_kick(&lossy.eq);
	test_clock_advance(1);
}

/* Packets that the wire doesn't take now wait, in order, requests and answers alike; that costs no retry. */
static void a_full_wire(void **state)
{
	u32 turns = 0;
	struct hca_wc wc;
	u32 done = 0, i;

	(void)state;
	set_retries(a.qp, 0, 0);
	fill(a.ram, 40 * MTU, 1);
	fill(b.ram + 65536, 4096, 77);
	look_at_frames(has_room);
	room = 0;
	assert_int_equal(post_recv(&b, 7, 16384, 64), 0);
	assert_int_equal(post_write(&a, 1, 0, 40 * MTU), 0);
	assert_int_equal(post_read(&a, 2, 65536, 4096), 0);
	assert_int_equal(post(&a, 3, HCA_WR_SEND, 4096, 64, 0, 0), 0);
	assert_int_equal(frames, 0);
	test_clock_advance(100 * TIMEOUT); /* nobody asks the wire again before it says so */
	assert_int_equal(frames, 0);
	while (done < 3 && turns++ < 200) {
		room = 3;
		say_ready(&a);
		room = 2;
		say_ready(&b);
		while (hca_cq_ring_poll(&a.scq.ring, &wc, 1) == 1) {
			assert_int_equal(wc.wr_id, ++done);
			assert_int_equal(wc.status, HCA_WC_SUCCESS);
		}
	}
	assert_int_equal(done, 3);
	good(&b.rcq, 7);
	for (i = 0; i < 40 * MTU; i++)
		assert_int_equal(a.ram[i], b.ram[i]);
	assert_memory_equal(a.ram + 65536, b.ram + 65536, 4096);
	assert_int_equal(a.qp->retries, 0);
	nothing_more();
	room = 1000;
}

/* It ends while it waits for the wire. */
static void a_full_wire_holds_up_no_end(void **state)
{
	(void)state;
	look_at_frames(has_room);
	room = 0;
	assert_int_equal(post_write(&a, 1, 0, 8), 0);
	assert_int_equal(to_state(a.qp, HCA_QPS_ERR), 0);
	poll_one(&a.scq, 1, HCA_WC_WR_FLUSH_ERR, NULL);
	assert_int_equal(to_state(a.qp, HCA_QPS_RESET), 0);
	say_ready(&a);
	connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
	assert_int_equal(post_write(&a, 2, 0, 8), 0);
	room = 100;
	say_ready(&a);
	good(&a.scq, 2);
	room = 0;
	assert_int_equal(post_write(&a, 3, 0, 8), 0);
	hca_qp_destroy(a.qp);
	a.qp = NULL;
	say_ready(&a);
	assert_null(a.hca.blocked);
}

/*
 * The queue pair goes while the wire has taken none of its packets: the wire's call, at the same time or later, finds it not. Its own
 * requests, and answers that it owes, wait; whoever else waits goes on.
 */
static void destroyed_while_the_wire_is_full(void **state)
{
	struct hca_qp *other_a, *other_b;
	struct hca_sge sge = sge_at(&a, 0, 8);
	struct hca_send_wr wr = { .wr_id = 5, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_WRITE };

	(void)state;
	assert_int_equal(make_qp(&a, HCA_QPT_RC, NULL, &other_a), 0);
	assert_int_equal(make_qp(&b, HCA_QPT_RC, NULL, &other_b), 0);
	connect_qp(&a, other_a, &b, other_b->qpn, 3, 2);
	connect_qp(&b, other_b, &a, other_a->qpn, 3, 2);
	look_at_frames(has_room);
	room = 0;
	assert_int_equal(post_write(&a, 1, 0, 8), 0);
	assert_int_equal(post_write(&a, 2, 8, 8), 0);
	wr.rdma.addr = BASE + 64;
	wr.rdma.rkey = b.all->key;
	assert_int_equal(hca_post_send(other_a, &wr), 0);
	assert_true(a.qp->is_blocked && other_a->is_blocked);
	lossy.port[a.hca.lid].ops->ready(
		lossy.port[a.hca.lid].client); /* both are the worker's, which hasn't run yet */
	hca_eq_kick(&lossy.eq);
	hca_qp_destroy(a.qp);
	a.qp = NULL;
	test_clock_advance(1);
	assert_ptr_equal(a.hca.blocked, other_a);
	room = 100;
	say_ready(&a);
	test_clock_advance(1);
	poll_one(&a.scq, 5, HCA_WC_SUCCESS, NULL);
	/* And while it stands in the list. */
	room = 0;
	assert_int_equal(hca_post_send(other_a, &wr), 0);
	assert_ptr_equal(a.hca.blocked, other_a);
	hca_qp_destroy(other_a);
	assert_null(a.hca.blocked);
	say_ready(&a);
	test_clock_advance(TIMEOUT);
	hca_qp_destroy(other_b);
	nothing_more();
}

/* What was under way before a RESET is sent by no timer, no late answer and no call of the wire. */
static void a_reset_ends_old_requests(void **state)
{
	(void)state;
	look_at_frames(has_room);
	room = 1;
	assert_int_equal(post_write(&a, 1, 0, 3 * MTU), 0); /* one packet leaves, the others wait for the wire */
	connect_again();
	small_packets(a.qp);
	small_packets(b.qp);
	room = 100;
	frames = 0;
	say_ready(&a);
	ack_by_hand(0, NAK(SEQUENCE), 0);
	ack_by_hand(2, PLAIN_ACK, 0);
	test_clock_advance(10 * TIMEOUT);
	assert_int_equal(frames, 0);
	nothing_more();
	/* One that waits for its receiver, and one that waits for an answer. */
	assert_int_equal(post(&a, 2, HCA_WR_SEND, 0, 8, 0, 0), 0);
	settle();
	connect_again();
	assert_int_equal(post_recv(&b, 3, 0, 8), 0);
	frames = 0;
	test_clock_advance(10 * TIMEOUT);
	assert_int_equal(frames, 0);
	nothing_more();
	assert_int_equal(post(&a, 4, HCA_WR_SEND, 0, 8, 0, 0), 0);
	good(&a.scq, 4);
	good(&b.rcq, 3);
}

static u32 frames_tried;

static int often_full(const struct hca_frame *f, const struct hca_packet *p)
{
	(void)f;
	(void)p;
	return hca_fetch_add(&frames_tried, 1u) % 2 ? 0 : -EAGAIN;
}

static void writes_a_few(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 1; i <= 4; i++)
		CHECK(!post_write(&a, i, 4096 * i, 3 * MTU));
}

static void says_ready_often(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < 60; i++) {
		lossy.port[a.hca.lid].ops->ready(lossy.port[a.hca.lid].client);
		lossy.port[b.hca.lid].ops->ready(lossy.port[b.hca.lid].client);
		hca_eq_kick(&lossy.eq);
		hca_pause();
	}
}

/* The call that the wire is ready comes just when a packet isn't taken: it isn't missed. */
static void ready_is_not_missed(void **state)
{
	void (*const fns[])(void *) = { writes_a_few, says_ready_often };
	u32 i;

	(void)state;
	FOR_SEEDS(seed, 2 * SEEDS)
	{
		assert_int_equal(open_small_rc(NULL), 0);
		set_retries(a.qp, 0, 0);
		look_at_frames(often_full);
		run_seed(seed, 2, fns);
		for (i = 0; i < 200; i++) {
			say_ready(&a);
			say_ready(&b);
		}
		for (i = 1; i <= 4; i++)
			good(&a.scq, i);
		nothing_more();
		assert_int_equal(close_both(NULL), 0);
	}
}

/* The wire hears that a run has ended, once for many packets, and behind the last of them. */
static void a_run_is_told_to_the_wire(void **state)
{
	(void)state;
	look_at_frames(NULL);
	lossy_lose_all(&lossy, ~0u);
	assert_int_equal(post_write(&a, 1, 0, 20 * MTU), 0);
	assert_int_equal(frames, 20);
	assert_int_equal(flushes, 1);
	assert_int_equal(flush_frames, 20);
}

/* --- congestion --- */

static u32 becn, not_becn;

static int note_becn(const struct hca_frame *f, const struct hca_packet *p)
{
	(void)f;
	if (p->what & HCA_PKT_IS_RESPONSE) {
		becn += p->becn;
		not_becn += !p->becn;
	}
	return 0;
}

/* A request that was marked on its way, by FECN or by the network, is answered with BECN (IBTA vol. 1, annex A10). */
static void marks_are_told_back(void **state)
{
	struct hca_packet p = { .opcode = HCA_PKT_WRITE_ONLY,
				.raddr = BASE,
				.rkey = b.all->key,
				.dmalen = 4,
				.len = 4,
				.ack_req = true,
				.fecn = true };
	struct hca_arrival at = { .dlid = b.hca.lid, .slid = a.hca.lid, .congested = true };
	u8 bytes[HCA_PACKET_HEADER_MAX + 4] = { 0 };

	(void)state;
	look_at_frames(note_becn);
	becn = not_becn = 0;
	inject(&b, &p, 1);
	assert_int_equal(becn, 1);
	p.fecn = false;
	p.psn = 1;
	at.bytes = bytes;
	at.len = hca_packet_encode(&p, bytes) + 4;
	hca_packet_client.packet(&b.hca, &at);
	settle();
	test_clock_advance(1);
	assert_int_equal(becn, 2);
	assert_int_equal(not_becn, 0);
	p.psn = 2;
	inject(&b, &p, 1);
	assert_int_equal(not_becn, 1);
	p = (struct hca_packet){ .opcode = HCA_PKT_READ_REQUEST,
				 .psn = 3,
				 .raddr = BASE,
				 .rkey = b.all->key,
				 .dmalen = 2 * MTU,
				 .fecn = true };
	inject(&b, &p, 0);
	assert_in_range(becn, 3, 4);
}

static void notifications_are_counted(void **state)
{
	struct hca_packet p = { .opcode = HCA_PKT_CNP, .len = HCA_CNP_BYTES };

	(void)state;
	look_at_frames(NULL);
	assert_int_equal(hca_packet_qp(a.qp)->cnps, 0);
	inject(&a, &p, 0);
	inject(&a, &p, 0);
	assert_int_equal(hca_packet_qp(a.qp)->cnps, 2);
	assert_int_equal(frames, 0);
	assert_int_equal(post_write(&a, 1, 0, 8), 0);
	good(&a.scq, 1);
}

/* --- draining --- */

static void draining_refuses(void **state)
{
	struct hca_qp_attr at = { .ah = { .dlid = (u16)b.hca.lid, .port_num = 1 }, .port_num = 1, .timeout = 15 };

	(void)state;
	lossy_lose_all(&lossy, HCA_PKT_ACK);
	assert_int_equal(post_write(&a, 1, 0, 8), 0);
	modify(a.qp, &at, HCA_QPS_SQD, 0);
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_AV), -EBUSY);
	assert_int_equal(to_state(a.qp, HCA_QPS_RTS), -EBUSY);
	lossy_clear(&lossy);
	test_clock_advance(TIMEOUT);
	good(&a.scq, 1);
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_AV | HCA_QP_TIMEOUT), 0);
	assert_int_equal(to_state(a.qp, HCA_QPS_RTS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SMALL(credits_are_honoured),
		SMALL(writes_need_no_credit),
		SMALL(bits_of_the_bth),
		SMALL(strangers_rc),
		SMALL_UC(strangers_uc),
		cmocka_unit_test(malformed_requests_are_told),
		SMALL(a_full_wire),
		SMALL(a_full_wire_holds_up_no_end),
		SMALL(destroyed_while_the_wire_is_full),
		SMALL(a_reset_ends_old_requests),
		cmocka_unit_test(ready_is_not_missed),
		SMALL(a_run_is_told_to_the_wire),
		SMALL(marks_are_told_back),
		SMALL(notifications_are_counted),
		SMALL(draining_refuses),
	};

	return cmocka_run_group_tests_name("packet_wire", tests, NULL, NULL);
}
