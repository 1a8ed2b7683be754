/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rules of the packet transport that nothing else would notice if they were broken: what is
 * said how often, in what turn, with which bits, and to whom it isn't said at all.
 */
#define PACKETS_IN_ORDER /* they are counted */
#include "packet_fixture.h"

#define SIGHTS 256u

/* What was sent, in its order: of each packet the first bytes from its BTH on. */
static struct {
	u32 slid;
	u8 bth[HCA_BTH_LEN + 12];
} sight[SIGHTS];
static u32 sights;

static void watch(u32 slid, const u8 *bth)
{
	u32 len = HCA_BTH_LEN;

	if (hca_packet_what(bth[0]) & (HCA_PKT_HAS_AETH | HCA_PKT_HAS_ATOMIC_ACK))
		len += hca_packet_what(bth[0]) & HCA_PKT_HAS_ATOMIC_ACK ? 12 : 4;
	if (sights == SIGHTS)
		return;
	sight[sights].slid = slid;
	memcpy(sight[sights++].bth, bth, len);
}

static void look(void)
{
	sights = 0;
	lossy.watch = watch;
}

static bool is_migrated(u32 i)
{
	return sight[i].bth[1] >> 6 & 1;
}

static bool is_becn(u32 i)
{
	return sight[i].bth[4] >> 6 & 1;
}

static bool is_ack_req(u32 i)
{
	return sight[i].bth[8] >> 7;
}

static bool is_response(u32 i)
{
	return hca_packet_what(sight[i].bth[0]) & HCA_PKT_IS_RESPONSE;
}

static u64 original(u32 i)
{
	u64 v = 0;
	u32 k;

	for (k = 0; k < 8; k++)
		v = v << 8 | sight[i].bth[HCA_BTH_LEN + 4 + k];
	return v;
}

static void again(void)
{
	connect_again();
	small_packets(a.qp);
	small_packets(b.qp);
}

/* --- what was kept for duplicates (IBTA 9.7.5.1.6) --- */

static void atomic_again_has_its_own_answer(void **state)
{
	struct hca_packet p = { .opcode = HCA_PKT_FETCH_ADD, .raddr = BASE + 64, .swap_add = 5 };

	(void)state;
	p.rkey = b.all->key;
	look();
	inject(&b, &p, 0);
	p.psn = 1;
	inject(&b, &p, 0);
	assert_int_equal(word(&b, 64), 10);
	p.psn = 0;
	inject(&b, &p, 0);
	p.psn = 1;
	inject(&b, &p, 0);
	assert_int_equal(word(&b, 64), 10);
	assert_int_equal(sights, 4);
	assert_int_equal(original(0), 0);
	assert_int_equal(original(1), 5);
	assert_int_equal(original(2), 0);
	assert_int_equal(original(3), 5);
	/* Another one in its place is no duplicate, and is neither done nor answered. */
	p.swap_add = 6;
	inject(&b, &p, 0);
	p.swap_add = 5;
	p.raddr += 8;
	inject(&b, &p, 0);
	p.raddr -= 8;
	p.opcode = HCA_PKT_CMP_SWAP;
	inject(&b, &p, 0);
	assert_int_equal(sights, 4);
	assert_int_equal(word(&b, 64), 10);
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
}

/* Four are remembered by a responder of depth four, though many more came since the first. */
static void as_many_are_kept_as_may_be_under_way(void **state)
{
	struct hca_packet p = { .opcode = HCA_PKT_FETCH_ADD, .raddr = BASE + 64, .swap_add = 1 };
	u32 i;

	(void)state;
	p.rkey = b.all->key;
	for (i = 0; i < 3 * b.hca.attr.max_rd_atomic; i++) {
		p.psn = i;
		inject(&b, &p, 0);
	}
	look();
	p.psn = i - 4;
	inject(&b, &p, 0);
	assert_int_equal(sights, 1);
	assert_int_equal(original(0), i - 4);
	p.psn = 0; /* so old that nobody waits for it */
	inject(&b, &p, 0);
	assert_int_equal(sights, 1);
	assert_int_equal(word(&b, 64), i);
}

/* The part of a read that is missing, and only a part of it. */
static void rest_of_a_read_again(void **state)
{
	struct hca_packet p = { .opcode = HCA_PKT_READ_REQUEST, .raddr = BASE, .dmalen = 4 * MTU };

	(void)state;
	p.rkey = b.all->key;
	inject(&b, &p, 0);
	look();
	p.psn = 2;
	p.raddr = BASE + 2 * MTU;
	p.dmalen = 2 * MTU;
	inject(&b, &p, 0);
	assert_int_equal(sights, 2);
	assert_int_equal(sight[0].bth[0], HCA_PKT_READ_RESP_FIRST);
	assert_int_equal(sight[0].bth[11], 2);
	assert_int_equal(sight[1].bth[0], HCA_PKT_READ_RESP_LAST);
	p.raddr = BASE + MTU; /* not where the third packet of it was */
	inject(&b, &p, 0);
	p.raddr = BASE + 2 * MTU;
	p.dmalen = 2 * MTU + 1;
	inject(&b, &p, 0);
	assert_int_equal(sights, 2);
	assert_int_equal(hca_packet_qp(b.qp)->expected, 4);
}

/* --- credits (IBTA 9.7.7.2) --- */

static void ack(u32 psn, u32 msn, u8 code)
{
	struct hca_packet p = { .opcode = HCA_PKT_ACK, .psn = psn, .msn = msn, .syndrome = HCA_AETH_ACK | code };

	inject(&a, &p, 0);
}

static void sends_wait_for_credits(void **state)
{
	u32 i;

	(void)state;
	lossy_lose_all(&lossy, ~0u);
	assert_int_equal(post(&a, 0, HCA_WR_SEND, 0, 8, 0, 0), 0);
	ack(0, 1, 2); /* two requests are posted there */
	good(&a.scq, 0);
	for (i = 1; i < 6; i++)
		assert_int_equal(post(&a, i, HCA_WR_SEND, 0, 8, 0, 0), 0);
	assert_int_equal(seen(HCA_PKT_SEND_ONLY), 3);
	/* With none left one goes all the same when nothing else is under way, to find out. */
	ack(2, 3, 0);
	good(&a.scq, 1);
	good(&a.scq, 2);
	assert_int_equal(seen(HCA_PKT_SEND_ONLY), 4);
	/* A responder that counts none sets no limit. */
	ack(3, 4, HCA_AETH_NO_CREDITS);
	good(&a.scq, 3);
	assert_int_equal(seen(HCA_PKT_SEND_ONLY), 6);
	nothing_more();
}

/* From code 2 on each second one is the double: 5 stands for 6 (table of credits, 9.7.7.2.1). */
static void codes_of_credits(void **state)
{
	static const struct {
		u8 code;
		u32 credits;
	} known[] = { { 0, 0 }, { 1, 1 }, { 2, 2 },  { 3, 3 },	 { 4, 4 },
		      { 5, 6 }, { 6, 8 }, { 7, 12 }, { 10, 32 }, { 30, 32768 } };
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(known); i++) {
		lossy_clear(&lossy);
		lossy_lose_all(&lossy, ~0u);
		assert_int_equal(post(&a, 0, HCA_WR_SEND, 0, 8, 0, 0), 0);
		ack(0, 1, known[i].code);
		good(&a.scq, 0);
		assert_true(hca_packet_qp(a.qp)->limited);
		assert_int_equal(hca_packet_qp(a.qp)->lsn, 1 + known[i].credits);
		lossy_clear(&lossy);
		again();
	}
}

/* What takes no receive request needs no credit. */
static void writes_need_no_credit(void **state)
{
	(void)state;
	lossy_lose_all(&lossy, ~0u);
	assert_int_equal(post_write(&a, 0, 0, 8), 0);
	ack(0, 1, 0);
	good(&a.scq, 0);
	assert_int_equal(post_write(&a, 1, 0, 8), 0);
	assert_int_equal(post_write(&a, 2, 0, 8), 0);
	assert_int_equal(seen(HCA_PKT_WRITE_ONLY), 3);
	assert_int_equal(post(&a, 3, HCA_WR_SEND, 0, 8, 0, 0), 0);
	assert_int_equal(seen(HCA_PKT_SEND_ONLY), 0);
}

/* --- how often it's asked for an acknowledgement --- */

static u32 asked(void)
{
	u32 i, n = 0;

	for (i = 0; i < sights; i++)
		n += sight[i].slid == a.hca.lid && is_ack_req(i);
	return n;
}

static void one_question_for_many(void **state)
{
	struct hca_sge sge = sge_at(&a, 0, 8);
	struct hca_send_wr wr = { .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_WRITE };
	u32 i;

	(void)state;
	a.qp->sq_sig_all = false;
	wr.rdma.addr = BASE;
	wr.rdma.rkey = b.all->key;
	look();
	hold(&a);
	for (i = 0; i < 6; i++) {
		wr.wr_id = i;
		wr.flags = i == 2 ? HCA_SEND_SIGNALED : 0;
		assert_int_equal(hca_post_send(a.qp, &wr), 0);
	}
	let_go(&a);
	good(&a.scq, 2);
	assert_int_equal(seen(HCA_PKT_WRITE_ONLY), 6);
	assert_int_equal(asked(), 2); /* the one whose end is to be told, and the last */
	assert_int_equal(a.qp->sq.tail - a.qp->sq.head, 0);
}

/* A long message asks in every quarter of the window, not with each packet. */
static void few_questions_in_a_long_message(void **state)
{
	(void)state;
	look();
	assert_int_equal(post_write(&a, 1, 0, 64 * MTU), 0);
	good(&a.scq, 1);
	assert_int_equal(asked(), 64 / (HCA_PACKET_WINDOW / 4));
	assert_in_range(seen(HCA_PKT_ACK), 1, 2);
}

/* --- fairness --- */

/* While a long read of the peer is answered our own requests leave too, in turns. */
static void requests_and_responses_in_turns(void **state)
{
	u32 i, turns = 0;

	(void)state;
	hold(&b);
	assert_int_equal(post_read(&a, 1, 0, 16 * MTU), 0);
	assert_int_equal(post_write(&b, 2, 16384, 16 * MTU), 0);
	look();
	let_go(&b);
	for (i = 1; i < 32; i++) {
		assert_int_equal(sight[i].slid, b.hca.lid);
		turns += is_response(i) != is_response(i - 1);
	}
	assert_int_equal(turns, 31);
	good(&a.scq, 1);
	good(&b.scq, 2);
}

/* --- what can't be a request (IBTA 9.7.4.1.3) --- */

static u32 raw(const struct side *to, u8 opcode, u32 psn, u32 extra, u8 *bytes)
{
	const u32 qpn = to->qp->qpn;
	const u8 bth[HCA_BTH_LEN] = {
		opcode,		0,	0xff, 0xff, 0, (u8)(qpn >> 16), (u8)(qpn >> 8), (u8)qpn, 0x80, (u8)(psn >> 16),
		(u8)(psn >> 8), (u8)psn
	};

	memcpy(bytes, bth, sizeof(bth));
	memset(bytes + sizeof(bth), 0, extra);
	return sizeof(bth) + extra;
}

static void malformed_requests_are_refused(void **state)
{
	static const struct {
		u8 opcode;
		u32 extra;
	} bad[] = {
		{ 0x15, 0 }, /* reserved */
		{ 0x1f, 64 },
		{ HCA_PKT_WRITE_ONLY, 8 }, /* half a RETH */
		{ HCA_PKT_FETCH_ADD, 20 },
		{ HCA_PKT_READ_REQUEST, 20 }, /* with a payload */
		{ HCA_PKT_SEND_FIRST, 0 }, /* without one */
		{ HCA_PKT_SEND_LAST, 0 },
	};
	u8 bytes[128];
	u32 i, n;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(bad); i++) {
		lossy_clear(&lossy);
		/* Of one that isn't expected yet it's said that those before are missing; one that was, isn't answered. */
		n = raw(&b, bad[i].opcode, 1, bad[i].extra, bytes);
		bring(&b, bytes, n);
		assert_int_equal(syndromes(NAK(SEQUENCE)), 1);
		n = raw(&b, bad[i].opcode, HCA_PSN_MASK, bad[i].extra, bytes);
		bring(&b, bytes, n);
		assert_int_equal(seen(HCA_PKT_ACK), 1);
		assert_int_equal(b.qp->state, HCA_QPS_RTS);
		n = raw(&b, bad[i].opcode, 0, bad[i].extra, bytes);
		bring(&b, bytes, n);
		assert_int_equal(syndromes(NAK(INV_REQ)), 1);
		assert_int_equal(b.qp->state, HCA_QPS_ERR);
		again();
	}
	/* Responses are never answered. */
	lossy_clear(&lossy);
	n = raw(&b, HCA_PKT_ATOMIC_ACK, 0, 4, bytes);
	bring(&b, bytes, n);
	assert_int_equal(seen(HCA_PKT_ACK), 0);
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
}

/* --- answers to what is done --- */

/* An old acknowledgement, or one of the future, moves nothing: neither forward nor back (IBTA 9.7.5.1.4). */
static void ghosts(void **state)
{
	(void)state;
	assert_int_equal(post_write(&a, 1, 0, 8), 0);
	assert_int_equal(post_write(&a, 2, 0, 8), 0);
	good(&a.scq, 1);
	good(&a.scq, 2);
	lossy_clear(&lossy);
	lossy_lose_all(&lossy, ~0u);
	assert_int_equal(post_write(&a, 3, 0, 8), 0);
	ack(0, 1, 0); /* and its credits are old too */
	ack(1, 2, 0);
	ack(3, 4, 0);
	ack(HCA_PSN_HALF, 4, 0);
	{
		struct hca_packet p = { .opcode = HCA_PKT_ACK, .psn = 1, .syndrome = NAK(REM_ACCESS) };

		inject(&a, &p, 0);
		p.syndrome = NAK(SEQUENCE);
		inject(&a, &p, 0);
		p.syndrome = HCA_AETH_RNR | 1;
		inject(&a, &p, 0);
	}
	nothing_more();
	assert_int_equal(seen(HCA_PKT_WRITE_ONLY), 1);
	assert_int_equal(a.qp->state, HCA_QPS_RTS);
	assert_false(hca_packet_qp(a.qp)->limited);
	assert_false(a.qp->waiting);
	ack(2, 3, HCA_AETH_NO_CREDITS);
	good(&a.scq, 3);
}

/* --- congestion (IBTA vol. 1, annex A10, and A17 for RoCE) --- */

/* Whoever asks over a path that is full hears so with the answer, and only with that one. */
static void marked_requests_have_marked_answers(void **state)
{
	struct hca_packet p = { .opcode = HCA_PKT_WRITE_ONLY, .raddr = BASE, .dmalen = 8, .len = 8, .ack_req = true };
	u32 i;

	(void)state;
	p.rkey = b.all->key;
	look();
	inject(&b, &p, 0);
	p.psn = 1;
	p.fecn = true;
	inject(&b, &p, 0);
	p = (struct hca_packet){
		.opcode = HCA_PKT_READ_REQUEST, .raddr = BASE, .dmalen = 2 * MTU, .psn = 2, .rkey = p.rkey, .fecn = true
	};
	inject(&b, &p, 0);
	p = (struct hca_packet){ .opcode = HCA_PKT_FETCH_ADD, .raddr = BASE, .psn = 4, .rkey = p.rkey, .fecn = true };
	inject(&b, &p, 0);
	assert_int_equal(sights, 5);
	assert_false(is_becn(0));
	for (i = 1; i < 5; i++)
		assert_true(is_becn(i));
	/* Two in one: it's told if either was marked. */
	sights = 0;
	hold(&b);
	p = (struct hca_packet){ .opcode = HCA_PKT_SEND_ONLY, .psn = 5, .len = 4, .ack_req = true, .fecn = true };
	assert_int_equal(post_recv(&b, 1, 0, 64), 0);
	assert_int_equal(post_recv(&b, 2, 0, 64), 0);
	inject(&b, &p, 0);
	p.psn = 6;
	p.fecn = false;
	inject(&b, &p, 0);
	let_go(&b);
	assert_int_equal(sights, 1);
	assert_true(is_becn(0));
	good(&b.rcq, 1);
	good(&b.rcq, 2);
}

/* The network's own mark is as good as the one of the BTH. */
static void mark_of_the_wire(void **state)
{
	struct hca_packet p = { .opcode = HCA_PKT_WRITE_ONLY, .pkey = 0xffff, .ack_req = true };
	struct hca_arrival at = { .slid = a.hca.lid, .dlid = b.hca.lid, .congested = true };
	u8 bytes[HCA_PACKET_HEADER_MAX];

	(void)state;
	p.dqpn = b.qp->qpn;
	at.len = hca_packet_encode(&p, bytes);
	at.bytes = bytes;
	look();
	hca_packet_client.packet(&b.hca, &at);
	assert_int_equal(sights, 1);
	assert_true(is_becn(0));
}

static void notifications_are_counted(void **state)
{
	struct hca_packet p = { .opcode = HCA_PKT_CNP, .len = HCA_CNP_BYTES, .becn = true };

	(void)state;
	look();
	inject(&b, &p, 0);
	p.psn = 77; /* it has no place in the sequence */
	inject(&b, &p, 0);
	assert_int_equal(hca_packet_qp(b.qp)->cnps, 2);
	assert_int_equal(hca_packet_qp(b.qp)->expected, 0);
	assert_int_equal(sights, 0);
	p.len = HCA_CNP_BYTES - 4;
	inject(&b, &p, 0);
	assert_int_equal(hca_packet_qp(b.qp)->cnps, 2);
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
}

/* --- paths --- */

/* No path of ours waits to migrate: the bit is set in every packet, of whoever's (IBTA 17.2.8.1.1). */
static void every_packet_has_migrated(void **state)
{
	u32 i;

	(void)state;
	look();
	assert_int_equal(post_recv(&b, 1, 0, 1024), 0);
	assert_int_equal(post(&a, 2, HCA_WR_SEND, 0, 3 * MTU, 0, 0), 0);
	assert_int_equal(post_write(&a, 3, 0, 3 * MTU), 0);
	assert_int_equal(post_read(&a, 4, 0, 3 * MTU), 0);
	assert_int_equal(post_add(&a, 5, 0, 64, 1), 0);
	assert_int_equal(post(&a, 6, HCA_WR_RDMA_WRITE, 0, 8, BASE, ~b.all->key), 0); /* a NAK */
	settle();
	assert_true(sights > 10);
	for (i = 0; i < sights; i++)
		assert_true(is_migrated(i));
}

/* Of a path with a global header both addresses count (IBTA 9.6.1.2.3). */
static void addresses_of_a_path(void **state)
{
	struct hca_packet p = { .opcode = HCA_PKT_WRITE_ONLY, .pkey = 0xffff, .ack_req = true, .has_grh = true };
	struct hca_arrival at = { .slid = a.hca.lid, .dlid = b.hca.lid, .global = true };
	u8 bytes[HCA_PACKET_HEADER_MAX];
	struct hca_gid other;
	u32 index;

	(void)state;
	b.qp->attr.ah.is_global = 1;
	b.qp->attr.ah.grh.dgid = *gid_of(&a);
	p.dqpn = b.qp->qpn;
	memcpy(p.grh.sgid, gid_of(&a)->raw, 16);
	memcpy(p.grh.dgid, gid_of(&b)->raw, 16);
	p.grh.sgid[15] ^= 1;
	at.bytes = bytes;
	at.len = hca_packet_encode(&p, bytes);
	hca_packet_client.packet(&b.hca, &at); /* from somebody else */
	p.grh.sgid[15] ^= 1;
	other = *gid_of(&b);
	other.raw[15] ^= 1;
	assert_int_equal(hca_gid_add(&b.hca.gids, &other, &index), 0);
	memcpy(p.grh.dgid, other.raw, 16);
	hca_packet_encode(&p, bytes);
	hca_packet_client.packet(&b.hca, &at); /* to us, but by another address than the path's */
	p.grh.dgid[15] ^= 1;
	p.has_grh = at.global = false;
	at.len = hca_packet_encode(&p, bytes);
	hca_packet_client.packet(&b.hca, &at); /* says neither */
	assert_int_equal(hca_packet_qp(b.qp)->expected, 0);
	assert_int_equal(seen(HCA_PKT_ACK), 0);
	p.has_grh = at.global = true;
	at.len = hca_packet_encode(&p, bytes);
	hca_packet_client.packet(&b.hca, &at);
	assert_int_equal(hca_packet_qp(b.qp)->expected, 1);
	assert_int_equal(seen(HCA_PKT_ACK), 1);
}

/* --- failures --- */

/* Of two that fail the older one decides, in whichever order it's found out. */
static void oldest_failure_decides(void **state)
{
	struct hca_packet p = { .opcode = HCA_PKT_ACK, .syndrome = NAK(REM_ACCESS) };

	(void)state;
	lossy_lose_all(&lossy, ~0u);
	assert_int_equal(post_write(&a, 1, 0, 8), 0);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE, BYTES - 4, 8, BASE, b.all->key), 0); /* fails here, and waits */
	nothing_more();
	inject(&a, &p, 0);
	poll_one(&a.scq, 1, HCA_WC_REM_ACCESS_ERR, NULL);
	poll_one(&a.scq, 2, HCA_WC_WR_FLUSH_ERR, NULL);
	lossy_clear(&lossy);
	again();
	/* The older one's retries are used up while the younger one's failure waits. */
	lossy_lose_all(&lossy, ~0u);
	assert_int_equal(post_write(&a, 3, 0, 8), 0);
	assert_int_equal(post(&a, 4, HCA_WR_RDMA_WRITE, BYTES - 4, 8, BASE, b.all->key), 0);
	test_clock_advance(10 * TIMEOUT);
	poll_one(&a.scq, 3, HCA_WC_RETRY_EXC_ERR, NULL);
	poll_one(&a.scq, 4, HCA_WC_WR_FLUSH_ERR, NULL);
	nothing_more();
}

/* A key whose memory isn't there: it's found out when the bytes are gathered, and that takes until the answer is here. */
static bool gathering, answered;

static int open_late(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w)
{
	if (hca_dma_u64(addr) < BASE + BYTES)
		return mem_open(mem, addr, len, access, w);
	hca_store(&gathering, true);
	while (!hca_load(&answered))
		hca_pause();
	return -EFAULT;
}

static void post_hollow(void *arg)
{
	const struct hca_mr *hollow = arg;

	assert_int_equal(post_write(&a, 1, 0, 8), 0);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE, 0, 8, BASE, b.all->key), 0);
	{
		struct hca_sge sge = { .addr = BASE, .length = 8, .lkey = hollow->key };
		struct hca_send_wr wr = { .wr_id = 3, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_WRITE };

		wr.rdma.addr = BASE;
		wr.rdma.rkey = b.all->key;
		assert_int_equal(hca_post_send(a.qp, &wr), 0);
	}
}

static void refuse_older(void *arg)
{
	struct hca_packet p = { .opcode = HCA_PKT_ACK, .syndrome = NAK(REM_ACCESS), .psn = 1 };

	(void)arg;
	while (!hca_load(&gathering))
		hca_pause();
	inject(&a, &p, 0);
	hca_store(&answered, true);
}

static void younger_failure_is_no_matter(void **state)
{
	const struct hca_mem_ops late = { .open = open_late, .close = mem_close };
	const struct hca_mr_attr attr = {
		.kind = HCA_MR_LINEAR, .access = RW, .iova = BASE, .base = BASE + BYTES, .length = 4096
	};
	void (*const threads[])(void *) = { post_hollow, refuse_older };
	struct hca_mr *hollow;
	void *args[2];

	(void)state;
	gathering = answered = false;
	a.mem.ops = &late;
	assert_int_equal(hca_mr_create(&a.pd, &attr, &hollow), 0);
	args[0] = args[1] = hollow;
	lossy_lose_all(&lossy, ~0u);
	assert_int_equal(test_run_threads(1, 2, threads, args, NULL), 0);
	good(&a.scq, 1);
	poll_one(&a.scq, 2, HCA_WC_REM_ACCESS_ERR, NULL);
	poll_one(&a.scq, 3, HCA_WC_WR_FLUSH_ERR, NULL);
	nothing_more();
	assert_int_equal(hca_mr_destroy(hollow), 0);
}

/* --- a turn's end --- */

/* One that never waits for answers sends so many packets, and a worker sends the rest. */
static void a_run_has_an_end(void **state)
{
	hca_irqflags_t flags;

	(void)state;
	hold(&a);
	assert_int_equal(post_write(&a, 1, 0, BYTES - MTU), 0);
	assert_int_equal(post_write(&a, 2, 0, 10 * MTU), 0);
	hca_spin_lock(&a.qp->lock, flags);
	a.qp->running = false;
	a.qp->transport->run(a.qp, flags);
	/* 255 packets, and one that is done. */
	assert_int_equal(seen(HCA_PKT_UC | HCA_PKT_WRITE_LAST), 1);
	assert_int_equal(seen(HCA_PKT_UC | HCA_PKT_WRITE_FIRST), 1);
	hca_eq_run(&lossy.eq);
	assert_int_equal(seen(HCA_PKT_UC | HCA_PKT_WRITE_LAST), 2);
	good(&a.scq, 1);
	good(&a.scq, 2);
}

/* A wire that has no room takes packets later, requests and responses, each once and in their order. */
static void a_full_wire(void **state)
{
	(void)state;
	lossy.full = 4;
	fill(a.ram, 20 * MTU, 1);
	fill(b.ram + 16384, 20 * MTU, 2);
	assert_int_equal(post_write(&a, 1, 0, 20 * MTU), 0);
	assert_int_equal(post_read(&a, 2, 16384, 20 * MTU), 0);
	assert_int_equal(post_add(&a, 3, 32768, 40960, 1), 0);
	test_clock_advance(TIMEOUT / 2);
	good(&a.scq, 1);
	good(&a.scq, 2);
	good(&a.scq, 3);
	assert_memory_equal(b.ram, a.ram, 20 * MTU);
	assert_memory_equal(a.ram + 16384, b.ram + 16384, 20 * MTU);
	assert_int_equal(word(&b, 40960), 1);
	assert_int_equal(seen(HCA_PKT_WRITE_FIRST) + seen(HCA_PKT_WRITE_MIDDLE) + seen(HCA_PKT_WRITE_LAST), 20);
	assert_int_equal(seen(HCA_PKT_READ_RESP_FIRST) + seen(HCA_PKT_READ_RESP_MIDDLE) + seen(HCA_PKT_READ_RESP_LAST),
			 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SMALL(atomic_again_has_its_own_answer),
		SMALL(as_many_are_kept_as_may_be_under_way),
		SMALL(rest_of_a_read_again),
		SMALL(sends_wait_for_credits),
		SMALL(codes_of_credits),
		SMALL(writes_need_no_credit),
		SMALL(one_question_for_many),
		SMALL(few_questions_in_a_long_message),
#ifndef DELIVER_H /* of what a sender does by itself, or of counted steps */
		SMALL(requests_and_responses_in_turns),
#endif
		SMALL(malformed_requests_are_refused),
		SMALL(ghosts),
		SMALL(marked_requests_have_marked_answers),
		SMALL(mark_of_the_wire),
		SMALL(notifications_are_counted),
		SMALL(every_packet_has_migrated),
		SMALL(addresses_of_a_path),
		SMALL(oldest_failure_decides),
		SMALL(younger_failure_is_no_matter),
#ifndef DELIVER_H /* of what a sender does by itself, or of counted steps */
		SMALL_UC(a_run_has_an_end),
#endif
		SMALL(a_full_wire),
	};

	return cmocka_run_group_tests_name("packet rules", tests, NULL, NULL);
}
