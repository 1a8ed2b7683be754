/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets that need no answer, and those that deserve none: unreliable connections and
 * datagrams with losses, and packets made by hand that no requester would send.
 */
#define PACKETS_IN_ORDER /* they are counted */
#include "packet_fixture.h"
#include "why_seen.h"

/* --- unreliable connections --- */

static void lost_packet_drops_its_message(void **state)
{
	struct hca_wc wc;
	u32 i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(post_recv(&b, i, 4096 * i, 4096), 0);
	fill(a.ram, 4096, 3);
	lossy_script(&lossy, HCA_PKT_UC | HCA_PKT_SEND_FIRST, 1, LOSSY_LOSE, 0);
	lossy_script(&lossy, HCA_PKT_UC | HCA_PKT_SEND_MIDDLE, 4, LOSSY_LOSE, 0);
	lossy_script(&lossy, HCA_PKT_UC | HCA_PKT_SEND_LAST, 3, LOSSY_LOSE, 0);
	for (i = 0; i < 4; i++) {
		assert_int_equal(post(&a, 10 + i, HCA_WR_SEND, i, 4 * MTU, 0, 0), 0);
		good(&a.scq, 10 + i); /* it left, and that is all that is known */
	}
	/* Of four the first lost its beginning, the second its middle, the third its end. */
	poll_one(&b.rcq, 0, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.byte_len, 4 * MTU);
	assert_memory_equal(b.ram, a.ram + 3, 4 * MTU);
	nothing_more();
	/* Nobody said a word, and the request of the lost ones was used for the one that came. */
	assert_int_equal(seen(HCA_PKT_ACK), 0);
	assert_int_equal(post(&a, 20, HCA_WR_SEND_WITH_IMM, 0, 8, 0, 0), 0);
	good(&a.scq, 20);
	good(&b.rcq, 1);
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
}

static void lost_part_of_a_write(void **state)
{
	(void)state;
	fill(a.ram, 2048, 3);
	lossy_script(&lossy, HCA_PKT_UC | HCA_PKT_WRITE_MIDDLE, 1, LOSSY_LOSE, 0);
	assert_int_equal(post_recv(&b, 1, 0, 0), 0);
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE_WITH_IMM, 0, 4 * MTU, BASE, b.all->key), 0);
	good(&a.scq, 2);
	nothing_more();
	assert_int_equal(b.ram[2 * MTU], 0);
	assert_int_equal(post(&a, 3, HCA_WR_RDMA_WRITE_WITH_IMM, 0, 4 * MTU, BASE, b.all->key), 0);
	good(&a.scq, 3);
	good(&b.rcq, 1);
	assert_memory_equal(a.ram, b.ram, 4 * MTU);
	/* Without a receive request or a right, too, the whole message is as if it never came. */
	assert_int_equal(post(&a, 4, HCA_WR_SEND, 0, 4 * MTU, 0, 0), 0);
	good(&a.scq, 4);
	assert_int_equal(post(&a, 5, HCA_WR_RDMA_WRITE, 0, 4 * MTU, BASE, b.all->key ^ 1), 0);
	good(&a.scq, 5);
	nothing_more();
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
	/* No packet of this service takes a key away. */
	assert_int_equal(post(&a, 6, HCA_WR_SEND_WITH_INV, 0, 8, 0, 0), -EINVAL);
}

static void unreliable_by_hand(void **state)
{
	struct hca_packet p = { .opcode = HCA_PKT_UC | HCA_PKT_SEND_MIDDLE, .len = MTU };
	struct hca_wc wc;

	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 3 * MTU), 0);
	inject(&b, &p, 1); /* in the middle of nothing */
	p.opcode = HCA_PKT_UC | HCA_PKT_SEND_LAST;
	p.psn = 1;
	inject(&b, &p, 2);
	nothing_more();
	p.opcode = HCA_PKT_UC | HCA_PKT_SEND_FIRST;
	p.psn = 70; /* whatever number a message begins with is the right one */
	inject(&b, &p, 3);
	p.opcode = HCA_PKT_UC | HCA_PKT_WRITE_LAST; /* of another kind */
	p.psn = 71;
	inject(&b, &p, 4);
	p.opcode = HCA_PKT_UC | HCA_PKT_SEND_LAST;
	p.psn = 72;
	inject(&b, &p, 5);
	nothing_more();
	p.opcode = HCA_PKT_UC | HCA_PKT_SEND_FIRST;
	p.psn = 73;
	inject(&b, &p, 6);
	p.opcode = HCA_PKT_UC | HCA_PKT_SEND_FIRST; /* a new beginning ends the old message */
	p.psn = 74;
	inject(&b, &p, 7);
	p.opcode = HCA_PKT_UC | HCA_PKT_SEND_LAST;
	p.psn = 75;
	p.len = 3;
	inject(&b, &p, 8);
	poll_one(&b.rcq, 1, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.byte_len, MTU + 3);
	assert_int_equal(b.ram[0], 7);
	assert_int_equal(b.ram[MTU + 2], 8);
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
}

/* --- datagrams --- */

static void datagrams_by_hand(void **state)
{
	struct hca_packet p = { .opcode = HCA_PKT_UD | HCA_PKT_SEND_ONLY_IMM, .len = 5, .qkey = 0x11, .sqpn = 0xabc };
	struct hca_arrival at = { .slid = 6, .sl = 3, .global = true };
	u8 bytes[HCA_PACKET_HEADER_MAX + 8];
	struct hca_wc wc;

	(void)state;
	p.imm = 0x44332211;
	assert_int_equal(post_recv(&b, 1, 0, 45), 0);
	assert_int_equal(post_recv(&b, 2, 1024, 44), 0);
	p.qkey++;
	inject(&b, &p, 'q');
	p.qkey--;
	p.dqpn = b.qp->qpn + 1;
	inject(&b, &p, 'n');
	nothing_more();
	/* One that was routed brings its header along. */
	p.dqpn = b.qp->qpn;
	p.pkey = 0x7fff; /* a limited member may talk to a full one */
	p.has_grh = true;
	p.grh.hop_limit = 9;
	memcpy(p.grh.dgid, gid_of(&b)->raw, sizeof(p.grh.dgid));
	at.len = hca_packet_encode(&p, bytes);
	memset(bytes + at.len, 'd', 8);
	at.len += 8;
	at.bytes = bytes;
	hca_packet_client.packet(&b.hca, &at);
	poll_one(&b.rcq, 1, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.byte_len, 45);
	assert_int_equal(wc.wc_flags, HCA_WC_GRH | HCA_WC_WITH_IMM);
	assert_int_equal(wc.imm, 0x44332211);
	assert_int_equal(wc.src_qp, 0xabc);
	assert_int_equal(wc.slid, 6);
	assert_int_equal(wc.sl, 3);
	assert_memory_equal(b.ram, bytes, 40);
	assert_int_equal(b.ram[44], 'd');
	assert_int_equal(b.ram[45], 0);
	/* Too long for its request: that is spoilt, the queue pair goes on. */
	p.has_grh = false;
	inject(&b, &p, 'l');
	poll_one(&b.rcq, 2, HCA_WC_LOC_LEN_ERR, NULL);
	inject(&b, &p, 'x'); /* no request at all */
	p.len = 4100; /* too long for any link */
	assert_int_equal(post_recv(&b, 3, 0, 8192), 0);
	inject(&b, &p, 'y');
	nothing_more();
	assert_int_equal(b.qp->state, HCA_QPS_RTS);
}

/* --- what no requester sends --- */

/* Each is refused with its code, spoils nothing, and is the end of the queue pair. */
static void refused_requests(void **state)
{
	const struct {
		struct hca_packet p;
		u32 nak;
		bool begun; /* a SEND First came before */
	} bad[] = {
		{ { .opcode = HCA_PKT_SEND_MIDDLE, .len = MTU }, HCA_NAK_INV_REQ, false },
		{ { .opcode = HCA_PKT_SEND_LAST, .len = 4 }, HCA_NAK_INV_REQ, false },
		{ { .opcode = HCA_PKT_WRITE_LAST, .len = 4 }, HCA_NAK_INV_REQ, false },
		{ { .opcode = HCA_PKT_SEND_ONLY, .len = 4 }, HCA_NAK_INV_REQ, true },
		{ { .opcode = HCA_PKT_WRITE_MIDDLE, .len = MTU }, HCA_NAK_INV_REQ, true },
		{ { .opcode = HCA_PKT_READ_REQUEST, .raddr = BASE, .dmalen = 4 }, HCA_NAK_INV_REQ, true },
		{ { .opcode = HCA_PKT_SEND_FIRST, .len = MTU - 4 }, HCA_NAK_INV_REQ, false },
		{ { .opcode = HCA_PKT_SEND_FIRST, .len = MTU + 4 }, HCA_NAK_INV_REQ, false },
		{ { .opcode = HCA_PKT_SEND_ONLY, .len = MTU + 1 }, HCA_NAK_INV_REQ, false },
		{ { .opcode = HCA_PKT_SEND_MIDDLE, .len = MTU - 4 }, HCA_NAK_INV_REQ, true },
		{ { .opcode = HCA_PKT_WRITE_ONLY, .raddr = BASE, .dmalen = 9, .len = 8 }, HCA_NAK_INV_REQ, false },
		{ { .opcode = HCA_PKT_WRITE_ONLY, .raddr = BASE, .dmalen = 7, .len = 8 }, HCA_NAK_INV_REQ, false },
		{ { .opcode = HCA_PKT_WRITE_FIRST, .raddr = BASE, .dmalen = MTU, .len = MTU }, HCA_NAK_INV_REQ, false },
		{ { .opcode = HCA_PKT_WRITE_FIRST, .raddr = BASE, .dmalen = ~0u, .len = MTU }, HCA_NAK_INV_REQ, false },
		{ { .opcode = HCA_PKT_WRITE_FIRST, .raddr = BASE + BYTES - MTU, .dmalen = MTU + 1, .len = MTU },
		  HCA_NAK_REM_ACCESS,
		  false },
		{ { .opcode = HCA_PKT_READ_REQUEST, .raddr = BASE, .dmalen = ~0u }, HCA_NAK_INV_REQ, false },
		{ { .opcode = HCA_PKT_READ_REQUEST, .raddr = BASE + 1, .dmalen = BYTES }, HCA_NAK_REM_ACCESS, false },
		{ { .opcode = HCA_PKT_CMP_SWAP, .raddr = BASE + 4 }, HCA_NAK_INV_REQ, false },
		{ { .opcode = HCA_PKT_FETCH_ADD, .raddr = BASE + BYTES }, HCA_NAK_REM_ACCESS, false },
		{ { .opcode = HCA_PKT_SEND_ONLY_INV, .imm = 0x77777777, .len = 4 }, HCA_NAK_REM_ACCESS, false },
	};
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(bad); i++) {
		struct hca_packet first = { .opcode = HCA_PKT_SEND_FIRST, .len = MTU }, p = bad[i].p;
		struct hca_qp_attr at = { 0 };
		struct hca_wc wc;

		lossy_clear(&lossy);
		memset(b.ram, 0, BYTES);
		assert_int_equal(post_recv(&b, 1, 0, 1024), 0);
		p.rkey = b.all->key;
		p.psn = bad[i].begun;
		if (bad[i].begun)
			inject(&b, &first, 0);
		inject(&b, &p, 0xee);
		assert_int_equal(syndromes(HCA_AETH_NAK | bad[i].nak), 1);
		assert_int_equal(b.qp->state, HCA_QPS_ERR);
		assert_int_equal(hca_cq_ring_poll(&b.rcq.ring, &wc, 1), 1);
		assert_true(wc.status == HCA_WC_WR_FLUSH_ERR || p.opcode == HCA_PKT_SEND_ONLY_INV);
		if (p.opcode != HCA_PKT_SEND_ONLY_INV)
			assert_int_equal(b.ram[0] | b.ram[1] | b.ram[BYTES - 1] | b.ram[BYTES - MTU], 0);
		nothing_more();
		modify(b.qp, &at, HCA_QPS_RESET, 0);
		connect_qp(&b, b.qp, &a, a.qp->qpn, 3, 2);
		small_packets(b.qp);
	}
}

/* The third packet of a send is one too many for the receiver; a write may say less than it brings. */
static void more_than_there_is_room_for(void **state)
{
	struct hca_packet p = { .opcode = HCA_PKT_SEND_FIRST, .len = MTU };

	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 2 * MTU + 3), 0);
	inject(&b, &p, 1);
	p.opcode = HCA_PKT_SEND_MIDDLE;
	p.psn = 1;
	inject(&b, &p, 2);
	p.opcode = HCA_PKT_SEND_LAST;
	p.psn = 2;
	p.len = 4;
	inject(&b, &p, 3);
	poll_one(&b.rcq, 1, HCA_WC_LOC_LEN_ERR, NULL);
	assert_int_equal(syndromes(NAK(INV_REQ)), 1);
	assert_int_equal(b.ram[2 * MTU], 0);
}

static void write_says_less(void **state)
{
	struct hca_packet p = { .opcode = HCA_PKT_WRITE_FIRST, .len = MTU, .raddr = BASE, .dmalen = 2 * MTU };

	(void)state;
	p.rkey = b.all->key;
	inject(&b, &p, 1);
	p.opcode = HCA_PKT_WRITE_MIDDLE;
	p.psn = 1;
	inject(&b, &p, 2); /* this should have been the last */
	assert_int_equal(syndromes(NAK(INV_REQ)), 1);
	assert_int_equal(b.ram[MTU], 0);
}

/* --- what no responder sends --- */

static void answers_by_hand(void **state)
{
	static const struct {
		u8 code;
		enum hca_wc_status status;
	} naks[] = {
		{ NAK(INV_REQ), HCA_WC_REM_INV_REQ_ERR },
		{ NAK(REM_ACCESS), HCA_WC_REM_ACCESS_ERR },
		{ NAK(REM_OP), HCA_WC_REM_OP_ERR },
		{ NAK(INV_RD_REQ), HCA_WC_REM_INV_RD_REQ_ERR },
	};
	struct hca_qp_attr at = { 0 };
	struct hca_wc wc;
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(naks); i++) {
		struct hca_packet p = { .opcode = HCA_PKT_ACK, .syndrome = naks[i].code, .psn = 1 };

		lossy_lose_all(&lossy, ~0u);
		assert_int_equal(post_write(&a, 1, 0, 8), 0);
		assert_int_equal(post_write(&a, 2, 0, 8), 0);
		assert_int_equal(post_write(&a, 3, 0, 8), 0);
		p.psn = HCA_PSN_MASK; /* of something long done, or never sent: a ghost */
		inject(&a, &p, 0);
		p.psn = 3;
		inject(&a, &p, 0);
		nothing_more();
		p.psn = 1;
		inject(&a, &p, 0);
		good(&a.scq, 1); /* what came before the refused one is done */
		poll_one(&a.scq, 2, naks[i].status, &wc);
		assert_int_equal(wc.vendor_err, HCA_VENDOR_REMOTE); /* an answer has no room for more */
		why_vendor(wc.vendor_err);
		poll_one(&a.scq, 3, HCA_WC_WR_FLUSH_ERR, NULL);
		assert_int_equal(a.qp->state, HCA_QPS_ERR);
		modify(a.qp, &at, HCA_QPS_RESET, 0);
		connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
		small_packets(a.qp);
		lossy_clear(&lossy);
	}
}

static void wrong_answers(void **state)
{
	const struct {
		bool read;
		struct hca_packet p;
		enum hca_wc_status status;
	} bad[] = {
		{ false, { .opcode = HCA_PKT_READ_RESP_ONLY, .len = 8 }, HCA_WC_BAD_RESP_ERR },
		{ false, { .opcode = HCA_PKT_ATOMIC_ACK }, HCA_WC_BAD_RESP_ERR },
		{ true, { .opcode = HCA_PKT_ATOMIC_ACK }, HCA_WC_BAD_RESP_ERR },
		{ true, { .opcode = HCA_PKT_READ_RESP_ONLY, .len = 8 }, HCA_WC_BAD_RESP_ERR },
		{ true, { .opcode = HCA_PKT_READ_RESP_MIDDLE, .len = MTU }, HCA_WC_BAD_RESP_ERR },
		{ true, { .opcode = HCA_PKT_READ_RESP_FIRST, .len = MTU - 4 }, HCA_WC_LOC_LEN_ERR },
		{ true, { .opcode = HCA_PKT_READ_RESP_FIRST, .len = MTU + 4 }, HCA_WC_LOC_LEN_ERR },
	};
	struct hca_qp_attr at = { 0 };
	struct hca_wc wc;
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(bad); i++) {
		struct hca_packet p = bad[i].p;

		lossy_lose_all(&lossy, ~0u);
		assert_int_equal(bad[i].read ? post_read(&a, 1, 0, 2 * MTU) : post_write(&a, 1, 0, 8), 0);
		inject(&a, &p, 0xdd);
		poll_one(&a.scq, 1, bad[i].status, &wc);
		assert_int_equal(wc.vendor_err, HCA_VENDOR_SEQUENCE);
		why_vendor(wc.vendor_err);
		assert_int_equal(a.ram[0], 0);
		modify(a.qp, &at, HCA_QPS_RESET, 0);
		connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
		small_packets(a.qp);
		lossy_clear(&lossy);
	}
}

/* Nothing is heard from strangers, of other services, or in states that hear nothing. */
static void not_for_us(void **state)
{
	struct hca_packet p = { .opcode = HCA_PKT_SEND_ONLY, .len = 4, .ack_req = true };
	struct hca_arrival at = { .slid = a.hca.lid };
	struct hca_qp_attr attr = { 0 };
	u8 bytes[16];

	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 64), 0);
	p.opcode |= HCA_PKT_UC;
	inject(&b, &p, 1);
	p.opcode = HCA_PKT_SEND_ONLY;
	p.dqpn = b.qp->qpn;
	p.pkey = 0xfffe;
	at.len = hca_packet_encode(&p, bytes) + 4;
	at.bytes = bytes;
	hca_packet_client.packet(&b.hca, &at); /* another partition */
	p.pkey = 0xffff;
	hca_packet_encode(&p, bytes);
	at.slid++;
	hca_packet_client.packet(&b.hca, &at); /* not its peer's port */
	at.slid--;
	at.global = true;
	hca_packet_client.packet(&b.hca, &at); /* no GRH after all */
	at.global = false;
	modify(b.qp, &attr, HCA_QPS_ERR, 0);
	poll_one(&b.rcq, 1, HCA_WC_WR_FLUSH_ERR, NULL);
	hca_packet_client.packet(&b.hca, &at);
	assert_int_equal(seen(HCA_PKT_ACK), 0);
	modify(b.qp, &attr, HCA_QPS_RESET, 0);
	hca_packet_client.packet(&b.hca, &at);
	connect_qp(&b, b.qp, &a, a.qp->qpn, 3, 2);
	assert_int_equal(post_recv(&b, 2, 0, 64), 0);
	hca_packet_client.packet(&b.hca, &at);
	good(&b.rcq, 2);
	nothing_more();
}

/* A path with a GRH: both ways, every packet has one. */
static void routed_connection(void **state)
{
	(void)state;
	a.qp->attr.ah.is_global = b.qp->attr.ah.is_global = 1;
	a.qp->attr.ah.grh.hop_limit = 3;
	a.qp->attr.ah.grh.dgid = *gid_of(&b);
	b.qp->attr.ah.grh.dgid = *gid_of(&a);
	fill(b.ram, 1000, 3);
	lossy_script(&lossy, HCA_PKT_READ_RESP_LAST, 1, LOSSY_LOSE, 0);
	assert_int_equal(post_read(&a, 1, 0, 1000), 0);
	assert_int_equal(post_write(&a, 2, 4096, 1000), 0);
	test_clock_advance(TIMEOUT);
	good(&a.scq, 1);
	good(&a.scq, 2);
	assert_memory_equal(a.ram, b.ram, 1000);
}

static void first_packet_establishes(void **state)
{
	struct hca_qp_attr at = { .path_mtu = HCA_MTU_256, .port_num = 1 };

	(void)state;
	modify(b.qp, &at, HCA_QPS_RESET, 0);
	at.ah.dlid = (u16)a.hca.lid;
	at.ah.port_num = 1;
	at.dest_qp_num = a.qp->qpn;
	at.qp_access_flags = HCA_ACCESS_REMOTE_WRITE;
	modify(b.qp, &at, HCA_QPS_INIT, HCA_QP_PKEY_INDEX | HCA_QP_PORT | HCA_QP_ACCESS_FLAGS);
	modify(b.qp, &at, HCA_QPS_RTR,
	       HCA_QP_AV | HCA_QP_PATH_MTU | HCA_QP_DEST_QPN | HCA_QP_RQ_PSN | HCA_QP_MAX_DEST_RD_ATOMIC |
		       HCA_QP_MIN_RNR_TIMER);
	assert_int_equal(post_write(&a, 1, 0, 8), 0);
	good(&a.scq, 1); /* one that can't send yet answers */
	assert_int_equal(b.events[HCA_EVENT_COMM_EST], 1);
}

static int open_ud_small(void **state)
{
	return open_small(state, HCA_QPT_UD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SMALL_UC(lost_packet_drops_its_message),
		SMALL_UC(lost_part_of_a_write),
		SMALL_UC(unreliable_by_hand),
		cmocka_unit_test_setup_teardown(datagrams_by_hand, open_ud_small, close_both),
		SMALL(refused_requests),
		SMALL(more_than_there_is_room_for),
		SMALL(write_says_less),
		SMALL(answers_by_hand),
		SMALL(wrong_answers),
		SMALL(not_for_us),
		SMALL(routed_connection),
		SMALL(first_packet_establishes),
	};

	return cmocka_run_group_tests_name("packet by hand", tests, NULL, NULL);
}
