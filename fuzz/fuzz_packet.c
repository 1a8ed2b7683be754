/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets that nobody should send. The input's bytes go through the decoder, and to two
 * adapters that are busy with each other: queue pairs of every type in every state, with a receive
 * queue of their own or a shared one, requests under way, time passing. In the other mode nothing is
 * made up, but the wire between the two loses, repeats, delays, cuts, spoils and refuses what they
 * send. Whatever comes: no byte outside what was registered changes, each request posted completes
 * once and in its order, and nothing is left in the end.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tests/lossy_wire.h"
#include "fuzz_input.h"
#include "test_os.h"

#define BASE 0x100000ull
#define RAM 16384u
#define OPEN_FROM 4096u /* the middle of the memory is registered, the rest is nobody's */
#define OPEN_TO 12288u
#define UNTOUCHED 0xa5
#define TYPES 4u
#define UD 2u
#define SHARED 3u /* the one whose receive requests come from the shared queue */
#define WR 8u
#define MAX_STEPS 400u

/* --- two adapters --- */

struct end {
	struct hca_qp *qp;
	u64 posted, completed;
	u64 receives, received;
};

struct side {
	struct hca hca;
	struct hca_mem mem;
	u8 ram[RAM] HCA_ALIGNED(8);
	struct hca_pd pd;
	struct hca_cq cq;
	struct hca_mr *region;
	struct hca_mr *fast; /* its key can be taken away */
	struct hca_srq srq;
	struct end end[TYPES];
};

static const enum hca_qp_type types[TYPES] = { HCA_QPT_RC, HCA_QPT_UC, HCA_QPT_UD, HCA_QPT_RC };
static struct lossy_wire wire;
static struct side sides[2];
static bool routed; /* paths have a global header */

static int mem_open(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w)
{
	struct side *s = hca_container_of(mem, struct side, mem);
	u64 off = hca_dma_u64(addr) - BASE;

	(void)access;
	/* The keys say what may be touched; nothing else may get this far. */
	MUST(off >= OPEN_FROM && off < OPEN_TO && len <= OPEN_TO - off);
	w->ptr = s->ram + off;
	w->len = HCA_MIN(len, 4096 - off % 4096);
	return 0;
}

static void mem_close(struct hca_mem *mem, struct hca_mem_view *w)
{
	(void)mem;
	(void)w;
}

static const struct hca_mem_ops mem_ops = { .open = mem_open, .close = mem_close };

static void reap(struct side *s)
{
	struct hca_wc wc;
	u32 i;

	while (hca_cq_ring_poll(&s->cq.ring, &wc, 1) == 1) {
		for (i = 0; i < TYPES && s->end[i].qp->qpn != wc.qp_num; i++)
			;
		MUST(i < TYPES);
		/* In the order they were posted, none twice, none left out but by a reset. */
		if (wc.wr_id >> 32) {
			u64 id = (u32)wc.wr_id;

			/* A reset forgets the request that it took from the shared queue, and no other. */
			MUST(i == SHARED ? id >= s->end[i].received : id == s->end[i].received);
			MUST(id < s->end[i].receives);
			s->end[i].received = id + 1;
		} else {
			MUST(wc.wr_id == s->end[i].completed && wc.wr_id < s->end[i].posted);
			s->end[i].completed++;
		}
	}
}

static void connect(struct side *s, u32 t, enum hca_qp_state to)
{
	struct side *peer = &sides[s == &sides[0]];
	struct hca_qp *qp = s->end[t].qp;
	struct hca_qp_attr at = {
		.path_mtu = HCA_MTU_256,
		.qkey = 0x11,
		.dest_qp_num = peer->end[t].qp->qpn,
		.qp_access_flags = HCA_ACCESS_REMOTE,
		.ah = { .dlid = (u16)peer->hca.lid, .port_num = 1 },
		.port_num = 1,
		.max_rd_atomic = 3,
		.max_dest_rd_atomic = 3,
		.min_rnr_timer = 12,
		.timeout = 14,
		.retry_cnt = 2,
		.rnr_retry = 2,
	};
	const u32 begin = HCA_QP_PKEY_INDEX | HCA_QP_PORT;
	const u32 path = HCA_QP_AV | HCA_QP_PATH_MTU | HCA_QP_DEST_QPN | HCA_QP_RQ_PSN;
	const u32 masks[UD + 1][3] = {
		{ begin | HCA_QP_ACCESS_FLAGS, path | HCA_QP_MAX_DEST_RD_ATOMIC | HCA_QP_MIN_RNR_TIMER,
		  HCA_QP_SQ_PSN | HCA_QP_TIMEOUT | HCA_QP_RETRY_CNT | HCA_QP_RNR_RETRY | HCA_QP_MAX_QP_RD_ATOMIC },
		{ begin | HCA_QP_ACCESS_FLAGS, path, HCA_QP_SQ_PSN },
		{ begin | HCA_QP_QKEY, 0, HCA_QP_SQ_PSN },
	};
	u32 i;

	if (routed) {
		at.ah.is_global = true;
		at.ah.grh.dgid = *hca_gid_at(&peer->hca.gids, 0);
	}
	for (i = 0; i < 3 && HCA_QPS_INIT + i <= to; i++) {
		at.qp_state = HCA_QPS_INIT + i;
		MUST(!hca_qp_modify(qp, &at, HCA_QP_STATE | masks[t == SHARED ? 0 : t][i]));
	}
}

static void open_side(struct side *s)
{
	struct hca_mr_attr attr = {
		.kind = HCA_MR_LINEAR,
		.access = HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_REMOTE,
		.iova = BASE + OPEN_FROM,
		.base = BASE + OPEN_FROM,
		.length = OPEN_TO - OPEN_FROM,
	};
	const struct hca_mr_attr fast = { .kind = HCA_MR_PAGES, .max_pages = 1, .invalid = true };
	const u64 page = BASE + OPEN_FROM;
	struct hca_mr_pages p = {
		.access = HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_REMOTE,
		.iova = BASE + OPEN_FROM,
		.length = 4096,
		.page_shift = 12,
		.pages = &page,
		.npages = 1,
	};
	u32 i;

	memset(s, 0, sizeof(*s));
	memset(s->ram, UNTOUCHED, sizeof(s->ram));
	s->mem.ops = &mem_ops;
	MUST(!hca_open(&s->hca, &wire.wire, &wire.eq, &s->mem, &(const struct hca_attr){ .max_qp = 8, .max_keys = 8 }));
	hca_pd_init(&s->pd, &s->hca);
	MUST(!hca_cq_init(&s->cq, &s->hca, 4096, NULL));
	MUST(!hca_mr_create(&s->pd, &attr, &s->region));
	MUST(!hca_mr_create(&s->pd, &fast, &s->fast));
	p.key = s->fast->key;
	MUST(!hca_mr_register(s->fast, &p));
	MUST(!hca_srq_init(&s->srq, &s->hca, &s->pd,
			   &(const struct hca_srq_attr){ .max_wr = WR, .max_sge = 2, .srq_limit = 2 }));
	for (i = 0; i < TYPES; i++) {
		struct hca_qp_init init = {
			.type = types[i],
			.pd = &s->pd,
			.send_cq = &s->cq,
			.recv_cq = &s->cq,
			.max_send_wr = WR,
			.srq = i == SHARED ? &s->srq : NULL,
			.max_recv_wr = i == SHARED ? 0 : WR,
			.max_send_sge = 2,
			.max_recv_sge = i == SHARED ? 0 : 2,
			.max_inline = 32,
			.sq_sig_all = true,
		};

		MUST(!hca_qp_create(&s->hca, &init, &s->end[i].qp));
	}
}

static void close_side(struct side *s)
{
	struct hca_qp_attr at = { .qp_state = HCA_QPS_ERR };
	u32 i;

	for (i = 0; i < TYPES; i++) {
		struct end *e = &s->end[i];

		if (hca_load(&e->qp->state) != HCA_QPS_RESET) {
			MUST(!hca_qp_modify(e->qp, &at, HCA_QP_STATE));
			reap(s);
			MUST(e->completed == e->posted && (i == SHARED || e->received == e->receives));
		}
	}
	for (i = 0; i < TYPES; i++)
		hca_qp_destroy(s->end[i].qp);
	MUST(!hca_srq_fini(&s->srq));
	for (i = 0; i < RAM; i++)
		MUST((i >= OPEN_FROM && i < OPEN_TO) || s->ram[i] == UNTOUCHED);
	MUST(!hca_mr_destroy(s->region));
	MUST(!hca_mr_destroy(s->fast));
	MUST(!hca_cq_fini(&s->cq));
	MUST(!hca_close(&s->hca));
}

/* --- what is done --- */

static struct hca_sge some_sge(const struct side *s)
{
	u32 off = OPEN_FROM + (u32)bytes(2) % (OPEN_TO - OPEN_FROM);

	return (struct hca_sge){
		.addr = BASE + off,
		.length = choose(8) ? HCA_MIN((u32)bytes(2) % 1500, OPEN_TO - off) : (u32)bytes(2),
		.lkey = choose(16) ? s->region->key : (u32)bytes(4),
	};
}

static void post(struct side *s)
{
	static const enum hca_wr_opcode opcodes[] = {
		HCA_WR_RDMA_WRITE,	   HCA_WR_RDMA_WRITE_WITH_IMM,	HCA_WR_SEND,
		HCA_WR_SEND_WITH_IMM,	   HCA_WR_SEND_WITH_INV,	HCA_WR_RDMA_READ,
		HCA_WR_ATOMIC_CMP_AND_SWP, HCA_WR_ATOMIC_FETCH_AND_ADD, HCA_WR_LOCAL_INV,
	};
	struct side *peer = &sides[s == &sides[0]];
	u32 t = choose(TYPES);
	struct end *e = &s->end[t];
	struct hca_sge sge[2] = { some_sge(s), some_sge(s) };
	struct hca_send_wr wr = { .wr_id = e->posted, .sge = sge, .num_sge = choose(3), .imm = (u32)bytes(1) };

	wr.opcode = opcodes[choose(HCA_ARRAY_SIZE(opcodes))];
	if (wr.opcode == HCA_WR_LOCAL_INV) {
		wr.num_sge = 0;
		wr.imm = choose(2) ? s->fast->key : (u32)bytes(4);
	}
	if (wr.opcode == HCA_WR_SEND_WITH_INV)
		wr.imm = peer->fast->key;
	if (wr.opcode == HCA_WR_ATOMIC_CMP_AND_SWP || wr.opcode == HCA_WR_ATOMIC_FETCH_AND_ADD) {
		sge[0].length = 8;
		wr.num_sge = 1;
	}
	wr.flags = choose(4) ? 0 : HCA_SEND_FENCE;
	if (t == UD) {
		wr.ud.dlid = peer->hca.lid;
		wr.ud.qpn = peer->end[t].qp->qpn;
		wr.ud.qkey = 0x11;
		wr.ud.is_global = routed;
		wr.ud.grh.dgid = *hca_gid_at(&peer->hca.gids, 0);
	} else {
		wr.atomic.addr = BASE + OPEN_FROM + (bytes(2) & 0x1ff8);
		wr.rdma.rkey = 0;
		if (wr.opcode == HCA_WR_ATOMIC_CMP_AND_SWP || wr.opcode == HCA_WR_ATOMIC_FETCH_AND_ADD)
			wr.atomic.rkey = peer->region->key;
		else
			wr.rdma.rkey = peer->region->key;
	}
	e->posted += !hca_post_send(e->qp, &wr);
}

static void post_receive(struct side *s)
{
	u32 t = choose(TYPES);
	struct end *e = &s->end[t];
	struct hca_sge sge[2] = { some_sge(s), some_sge(s) };
	struct hca_recv_wr wr = { .wr_id = 1ull << 32 | (u32)e->receives, .sge = sge, .num_sge = choose(3) };

	e->receives += !(t == SHARED ? hca_srq_post(&s->srq, &wr) : hca_post_recv(e->qp, &wr));
}

static void arrive(const struct side *to, const u8 *packet, u32 len, bool has_grh)
{
	u32 from = sides[to == &sides[0]].hca.lid;

	if (has_grh)
		lossy_inject_routed(&wire, to->hca.lid, from, packet, len);
	else
		lossy_inject(&wire, to->hca.lid, from, packet, len);
}

/* Made of the right pieces, with a wrong one now and then: its place in the sequence is near where one is expected. */
static void send_made(struct side *to)
{
	struct side *from = &sides[to == &sides[0]];
	u32 t = choose(TYPES);
	const struct hca_packet_qp *pq = hca_packet_qp(to->end[t].qp);
	static const u8 service[TYPES] = { HCA_PKT_RC, HCA_PKT_UC, HCA_PKT_UD, HCA_PKT_RC };
	u8 buf[HCA_PACKET_HEADER_MAX + 2048];
	struct hca_packet p = {
		.opcode = (u8)(service[t] | choose(32)),
		.pkey = 0xffff,
		.dqpn = to->end[t].qp->qpn,
		.qkey = 0x11,
		.sqpn = (u32)bytes(1),
		.rkey = choose(16) ? to->region->key : (u32)bytes(4),
		.raddr = BASE + OPEN_FROM + bytes(2) % (OPEN_TO - OPEN_FROM + 64) - choose(8),
		.dmalen = choose(16) ? (u32)bytes(2) % 2048 : (u32)bytes(4),
		.syndrome = (u8)bytes(1),
		.swap_add = bytes(1),
		.compare = bytes(1),
		.imm = choose(2) ? (u32)bytes(4) : to->fast->key,
		.ack_req = choose(2),
		.fecn = !choose(8),
		.has_grh = routed,
	};
	u32 n, i, how = choose(8);

	if (t == UD)
		p.opcode = HCA_PKT_UD | (HCA_PKT_SEND_ONLY + choose(2));
	p.psn = how < 4 ? (u32)pq->expected & HCA_PSN_MASK : how < 6 ? pq->una : pq->max;
	p.psn = hca_psn_add(p.psn, choose(4) ? 0 : (u32)(s32)(s8)bytes(1));
	p.len = choose(3) ? 256 : (u32)bytes(2) % 600;
	if (!(hca_packet_what(p.opcode) & HCA_PKT_DATA))
		p.len = 0;
	else if (p.opcode == HCA_PKT_WRITE_ONLY && choose(4))
		p.dmalen = p.len;
	if (routed) {
		memcpy(p.grh.sgid, hca_gid_at(&from->hca.gids, 0)->raw, 16);
		memcpy(p.grh.dgid, hca_gid_at(&to->hca.gids, 0)->raw, 16);
	}
	n = hca_packet_encode(&p, buf);
	if (!n)
		return;
	for (i = 0; i < p.len + p.pad; i++)
		buf[n + i] = (u8)i;
	arrive(to, buf, n + p.len + p.pad, routed);
}

/* As it comes; and what the decoder takes, it can write again. */
static void send_raw(struct side *to)
{
	u32 i, n = (u32)HCA_MIN(bytes(2) % 1200, in.left);
	u8 *raw = malloc(n ? n : 1), head[HCA_PACKET_HEADER_MAX];
	struct hca_packet p;
	bool grh = choose(4) == 0;

	MUST(raw);
	for (i = 0; i < n; i++)
		raw[i] = (u8)bytes(1);
	if (!hca_packet_decode(raw, n, grh, &p)) {
		u32 len = p.len, pad = p.pad, h = hca_packet_encode(&p, head);

		MUST(h && h + len + pad == n && p.payload == raw + h);
		/* The padding that came may be more than is needed: four bytes of nothing can't be, three may. */
		MUST(p.pad <= 3 && (len + p.pad) % 4 == 0);
		MUST(head[grh ? 40 : 0] == raw[grh ? 40 : 0]);
	}
	arrive(to, raw, n, grh);
	free(raw);
}

static void change_state(struct side *s)
{
	u32 t = choose(TYPES);
	struct end *e = &s->end[t];
	struct hca_qp_attr at = { .qp_state = HCA_QPS_RESET };

	switch (choose(4)) {
	case 0:
		reap(s);
		MUST(!hca_qp_modify(e->qp, &at, HCA_QP_STATE));
		reap(s);
		e->completed = e->posted;
		/* What is in the shared queue stays there. */
		if (t != SHARED)
			e->received = e->receives;
		connect(s, t, (enum hca_qp_state)(HCA_QPS_INIT + choose(3)));
		break;
	case 1:
		at.qp_state = HCA_QPS_ERR;
		(void)hca_qp_modify(e->qp, &at, HCA_QP_STATE);
		break;
	case 2:
		at.qp_state = HCA_QPS_SQD;
		(void)hca_qp_modify(e->qp, &at, HCA_QP_STATE);
		break;
	default:
		at.qp_state = HCA_QPS_RTS;
		(void)hca_qp_modify(e->qp, &at, HCA_QP_STATE);
		break;
	}
}

static void set_wire(void)
{
	wire.lose = choose(4) * 150;
	wire.twice = choose(4) * 100;
	wire.late = choose(4) * 100;
	wire.delay = 1000000;
	wire.full = choose(4) ? 0 : 1 + choose(16);
}

/* One of the packets to come, or a few, of an opcode or of any. */
static void spoil_one(void)
{
	u32 opcode = choose(2) ? ~0u : (u32)bytes(1), nth = 1 + choose(8), i;
	enum lossy_fate fate = choose(3) ? LOSSY_FLIP : LOSSY_CUT;
	u32 value = choose(2) ? choose(HCA_BTH_LEN * 8) : (u32)bytes(2) % 1024;

	for (i = 0; i < LOSSY_FAULTS; i++) {
		if (!wire.fault[i].nth) {
			lossy_script(&wire, opcode, nth, fate, value);
			return;
		}
	}
	lossy_clear(&wire);
}

static void step(bool hostile)
{
	struct side *s = &sides[choose(2)];

	switch (choose(16)) {
	case 0:
	case 1:
	case 2:
		post(s);
		break;
	case 3:
	case 4:
		post_receive(s);
		break;
	case 5:
		test_clock_advance(1 + bytes(3) * 1000);
		break;
	case 6:
		set_wire();
		break;
	case 7:
		change_state(s);
		break;
	case 8:
	case 9:
		if (hostile)
			send_raw(s);
		else
			spoil_one();
		break;
	default:
		if (hostile)
			send_made(s);
		else
			post(s);
		break;
	}
	reap(&sides[0]);
	reap(&sides[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	u32 i, t;

	bool hostile;

	in.data = data;
	in.left = size;
	hostile = choose(2);
	routed = choose(4) == 3;
	test_os_reset(1);
	MUST(!lossy_open(&wire, 1));
	open_side(&sides[0]);
	open_side(&sides[1]);
	for (i = 0; i < 2; i++)
		for (t = 0; t < TYPES; t++)
			connect(&sides[i], t, HCA_QPS_RTS);
	for (i = 0; i < MAX_STEPS && in.left; i++)
		step(hostile);
	test_clock_advance(1000000000);
	reap(&sides[0]);
	reap(&sides[1]);
	close_side(&sides[0]);
	close_side(&sides[1]);
	lossy_close(&wire);
	MUST(!test_leaks());
	return 0;
}
