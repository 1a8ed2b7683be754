/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A node of the fabric whose neighbour writes anything into its ring, its node's file and the fields of the other's that it may
 * write. The input is a list of what it does, with messages that are half right among it. Checked: no access outside
 * mappings (the sanitizer), none of memory that isn't registered, and the node serves another neighbour all the while.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport/transport.h"
#include "wire/shm/internal.h"
#include "wire/shm/message.h"

#define RAM (256u << 10)
#define GUARD 4096u
#define QPS 3u
#define MAX_STEPS 300
#define MUST(c) ((c) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #c), abort()))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The node that is attacked, and its queue pairs: RC, UC, UD. */
static struct {
	struct hca_shm *shm;
	struct hca hca;
	struct hca_mem mem;
	struct hca_pd pd;
	struct hca_cq cq;
	struct hca_mr *mr;
	struct hca_qp *qp[QPS];
	u8 *ram;
} v;

/* The one that attacks. */
static struct {
	struct shm_node victim;
	struct shm_node own;
	struct shm_share share; /* @own's tables */
	struct hca_fabric_node fresh; /* @own's head, as it was */
	struct shm_ring out;
	struct shm_ring in;
} att;

static char dir_name[] = "/dev/shm/softhca-fuzz-XXXXXX";
static int dir;

static struct {
	const u8 *at;
	size_t left;
} in;

static u64 bytes(u32 n)
{
	u64 value = 0;

	for (; n && in.left; n--, in.left--)
		value = value << 8 | *in.at++;
	return value;
}

/* --- the victim --- */

static int mem_open(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w)
{
	(void)mem;
	(void)access;
	MUST(hca_dma_u64(addr) >= (uintptr_t)v.ram + GUARD);
	MUST(hca_dma_u64(addr) + len <= (uintptr_t)v.ram + RAM - GUARD);
	*w = (struct hca_mem_view){ .ptr = (void *)(uintptr_t)hca_dma_u64(addr), .len = len };
	return 0;
}

static void mem_close(struct hca_mem *mem, struct hca_mem_view *w)
{
	(void)mem;
	(void)w;
}

static const struct hca_mem_ops mem_ops = { .open = mem_open, .close = mem_close };

static void connect_qp(struct hca_qp *qp)
{
	struct hca_qp_attr at = {
		.path_mtu = HCA_MTU_4096,
		.qkey = 0x11,
		.dest_qp_num = (2u << HCA_FABRIC_QPN_BITS) + qp->type,
		.qp_access_flags = HCA_ACCESS_REMOTE_WRITE | HCA_ACCESS_REMOTE_READ | HCA_ACCESS_REMOTE_ATOMIC,
		.ah = { .dlid = 2, .port_num = 1 },
		.port_num = 1,
		.max_rd_atomic = 4,
		.max_dest_rd_atomic = 4,
		.min_rnr_timer = 1,
		.timeout = 8,
		.retry_cnt = 1,
		.rnr_retry = 1,
	};
	u32 init = HCA_QP_PKEY_INDEX | HCA_QP_PORT, rtr = 0, rts = HCA_QP_SQ_PSN;

	init |= qp->type == HCA_QPT_UD ? HCA_QP_QKEY : HCA_QP_ACCESS_FLAGS;
	if (qp->type != HCA_QPT_UD)
		rtr = HCA_QP_AV | HCA_QP_PATH_MTU | HCA_QP_DEST_QPN | HCA_QP_RQ_PSN;
	if (qp->type == HCA_QPT_RC) {
		rtr |= HCA_QP_MAX_DEST_RD_ATOMIC | HCA_QP_MIN_RNR_TIMER;
		rts |= HCA_QP_TIMEOUT | HCA_QP_RETRY_CNT | HCA_QP_RNR_RETRY | HCA_QP_MAX_QP_RD_ATOMIC;
	}
	at.qp_state = HCA_QPS_INIT;
	MUST(!hca_qp_modify(qp, &at, init | HCA_QP_STATE));
	at.qp_state = HCA_QPS_RTR;
	MUST(!hca_qp_modify(qp, &at, rtr | HCA_QP_STATE));
	at.qp_state = HCA_QPS_RTS;
	MUST(!hca_qp_modify(qp, &at, rts | HCA_QP_STATE));
}

static void remove_dir(void)
{
	unlinkat(dir, "node.1", 0);
	unlinkat(dir, "node.2", 0);
	unlinkat(dir, "ring.2.1", 0);
	rmdir(dir_name);
}

static void open_victim(void)
{
	struct hca_mr_attr all = { .kind = HCA_MR_LINEAR, .access = 0xf, .length = RAM - 2 * GUARD };
	struct hca_shm_config cfg = { .dir = dir_name, .lids = true };

	setenv("SOFTHCA_LOG", "error", 1);
	MUST(mkdtemp(dir_name));
	dir = open(dir_name, O_RDONLY | O_DIRECTORY);
	atexit(remove_dir);
	MUST(!hca_shm_open(&v.shm, &cfg));
	v.mem.ops = &mem_ops;
	MUST(!hca_open(&v.hca, hca_shm_wire(v.shm), hca_shm_eq(v.shm), &v.mem,
		       &(const struct hca_attr){ .max_qp = 16, .max_keys = 16 }));
	v.ram = aligned_alloc(GUARD, RAM);
	memset(v.ram, 0xa5, RAM);
	all.iova = all.base = (uintptr_t)v.ram + GUARD;
	hca_pd_init(&v.pd, &v.hca);
	MUST(!hca_cq_init(&v.cq, &v.hca, 1024, NULL));
	MUST(!hca_mr_create(&v.pd, &all, &v.mr));
}

static void make_qps(void)
{
	static const enum hca_qp_type types[QPS] = { HCA_QPT_RC, HCA_QPT_UC, HCA_QPT_UD };
	u32 i;

	for (i = 0; i < QPS; i++) {
		struct hca_qp_init init = {
			.type = types[i],
			.pd = &v.pd,
			.send_cq = &v.cq,
			.recv_cq = &v.cq,
			.max_send_wr = 8,
			.max_recv_wr = 8,
			.max_send_sge = 1,
			.max_recv_sge = 1,
		};

		MUST(!hca_qp_create(&v.hca, &init, &v.qp[i]));
		connect_qp(v.qp[i]);
	}
}

static void post_recv(void)
{
	struct hca_sge sge = { (uintptr_t)v.ram + GUARD + bytes(2), (u32)bytes(2), v.mr->key };
	struct hca_recv_wr wr = { .sge = &sge, .num_sge = 1 };

	(void)hca_post_recv(v.qp[bytes(1) % QPS], &wr);
}

static void post_send(void)
{
	static const enum hca_wr_opcode ops[] = { HCA_WR_SEND, HCA_WR_RDMA_WRITE, HCA_WR_RDMA_READ,
						  HCA_WR_ATOMIC_FETCH_AND_ADD };
	struct hca_sge sge = { (uintptr_t)v.ram + GUARD + bytes(2), (u32)bytes(2), v.mr->key };
	struct hca_send_wr wr = { .sge = &sge, .num_sge = 1, .opcode = ops[bytes(1) % HCA_ARRAY_SIZE(ops)] };
	struct hca_qp *qp = v.qp[bytes(1) % QPS];

	if (wr.opcode == HCA_WR_ATOMIC_FETCH_AND_ADD)
		sge.length = 8;
	if (qp->type == HCA_QPT_UD) {
		wr.ud.dlid = (u16)(bytes(1) % 3);
		wr.ud.qpn = (u32)bytes(3);
		wr.ud.qkey = 0x11;
	}
	(void)hca_post_send(qp, &wr);
}

/* --- the attacker --- */

/* No process of its own, but its files, and the lock. */
static void make_attacker(void)
{
	const struct hca_fabric_ring head = { .from = 2,
					      .to = 1,
					      .size = { HCA_FABRIC_LANE_MIN, HCA_FABRIC_LANE_MIN } };

	MUST(!shm_node_create(dir, 2, &att.own) && att.own.number == 2);
	MUST(!shm_share_init(&att.share, att.own.head, att.own.fd, 1024));
	shm_node_ready(&att.own);
	att.fresh = *att.own.head;
	MUST(!shm_ring_create(dir, "ring.2.1", &head, &att.out));
	MUST(!shm_node_open(dir, 1, &att.victim));
}

/* As another node of the same number, with a ring that nothing was written to. */
static void open_attacker(void)
{
	u32 i;

	att.fresh.stamp++;
	*att.own.head = att.fresh;
	att.out.head->magic = HCA_FABRIC_MAGIC;
	att.out.head->version = HCA_FABRIC_VERSION;
	att.out.head->from_stamp = att.fresh.stamp;
	att.out.head->to_stamp = att.victim.head->stamp;
	for (i = 0; i < HCA_FABRIC_LANES; i++) {
		att.out.head->size[i] = HCA_FABRIC_LANE_MIN;
		memset(&att.out.head->lane[i], 0, sizeof(att.out.head->lane[i]));
		att.out.lane[i].pos = att.out.lane[i].seen = 0;
	}
	MUST(!hca_shm_watch(v.shm, 2, NULL));
	MUST(!shm_ring_open(dir, "ring.1.2", &att.in));
}

static void close_attacker(void)
{
	struct hca_fabric_node *victim = v.shm->node.head;
	u64 stamp;

	shm_take_begin(v.shm);
	shm_peer_drop(v.shm, v.shm->peer[2], &stamp);
	shm_take_end(v.shm);
	shm_ring_unmap(&att.in);
	memset(victim->members, 0, sizeof(victim->members));
	memset(victim->pending, 0, sizeof(victim->pending));
}

static void hint(void)
{
	hca_fetch_or(&att.victim.head->pending[0], 4ull);
	hca_fetch_or(&att.victim.head->summary, 1ull);
}

static void any_message(struct shm_lane *lane)
{
	static const u8 ops[] = { HCA_WR_SEND,		HCA_WR_RDMA_WRITE,	   HCA_WR_RDMA_READ,
				  HCA_WR_SEND_WITH_INV, HCA_WR_ATOMIC_CMP_AND_SWP, HCA_WR_RDMA_WRITE_WITH_IMM };
	struct hca_qp *qp = v.qp[bytes(1) % QPS];
	u8 what = (u8)bytes(1);
	struct hca_msg m = {
		.opcode = what & 1 ? (u8)bytes(1) : ops[bytes(1) % sizeof(ops)],
		.flags = (u8)(bytes(1) & 0x7f),
		.pkey = HCA_DEFAULT_PKEY,
		.dlid = what & 2 ? (u32)bytes(2) : 1,
		.dqpn = what & 4 ? (u32)bytes(3) : qp->qpn,
		.sqpn = what & 8 ? (u32)bytes(3) : (2u << HCA_FABRIC_QPN_BITS) + qp->type,
		.number = (u32)bytes(1),
		.session = (u32)bytes(1),
		.imm = what & 16 ? (u32)bytes(4) : v.mr->key,
		.rkey = what & 16 ? (u32)bytes(4) : v.mr->key,
		.qkey = 0x11,
		.raddr = (uintptr_t)v.ram + GUARD + (what & 32 ? bytes(8) : bytes(2) & ~7ull),
		.len = what & 64 ? bytes(8) : bytes(3),
		.off = what & 64 ? bytes(8) : bytes(1) % 2 * 65536,
		.piece = what & 128 ? (u32)bytes(4) : (u32)bytes(2),
	};
	u32 n = 512 + (u32)bytes(2), i;
	struct shm_source src;
	void *at;

	if (m.opcode >= HCA_WR_OPCODES || shm_lane_room(lane, shm_lane_bytes(n), &at))
		return;
	src.n = (u32)bytes(1) % (HCA_PLACES + 1);
	src.epoch = (u32)bytes(1) & 1;
	for (i = 0; i < src.n; i++) {
		u32 len = m.piece / src.n;

		src.place[i] = (struct hca_place){ .at = (u8 *)v.ram + bytes(3), .len = len };
		if (i + 1 == src.n)
			src.place[i].len = what & 1 ? bytes(2) : m.piece - i * len;
	}
	shm_message_put(at, shm_lane_bytes(n), &m, &src);
	shm_lane_commit(lane, shm_lane_bytes(n));
}

static void any_reply(struct shm_lane *lane)
{
	struct hca_reply r = {
		.answer = (u8)bytes(1) % 10,
		.code = (u8)bytes(1),
		.sqpn = bytes(1) & 1 ? (u32)bytes(3) : v.qp[0]->qpn,
		.number = (u32)bytes(1) & 7,
		.session = 0,
		.off = bytes(1) & 1 ? bytes(8) : 0,
		.len = (u32)bytes(2),
	};
	struct hca_fabric_reply *e;
	void *at;
	u32 n = shm_reply_bytes((u32)bytes(2));

	/* As it would stand in the answer to the one that was sent last. */
	if (att.in.lane[0].shared->head)
		r.session = ((struct hca_fabric_message *)(void *)att.in.lane[0].data)->session;
	if (shm_lane_room(lane, n, &at))
		return;
	e = at;
	*e = (struct hca_fabric_reply){ .bytes = n, .answer = r.answer, .rnr_code = r.code, .sqpn = r.sqpn };
	e->number = r.number;
	e->session = r.session;
	e->off = r.off;
	e->len = r.len;
	shm_lane_commit(lane, n);
}

static void scribble(void *at, u32 room)
{
	u32 n = 1 + (u32)bytes(1) % 64, off = (u32)bytes(3) % room;

	for (; n-- && in.left && off < room; off++)
		((volatile u8 *)at)[off] = (u8)bytes(1);
}

static void step(void)
{
	struct shm_lane *lane = &att.out.lane[bytes(1) & 1];

	switch (bytes(1) % 14) {
	case 0:
		scribble(lane->data, lane->size);
		break;
	case 1:
		scribble(att.out.head, sizeof(*att.out.head));
		break;
	case 2:
		scribble(att.own.head, sizeof(*att.own.head));
		break;
	case 3:
		scribble(att.victim.head->pending, sizeof(att.victim.head->pending));
		break;
	case 4:
		scribble(att.victim.head->members, sizeof(att.victim.head->members));
		break;
	case 5:
		scribble(&att.in.head->lane[bytes(1) & 1].tail, 12);
		break;
	case 6:
		lane->pos += bytes(1) & 1 ? bytes(8) : 8 * bytes(1);
		hca_store_release(&lane->shared->head, lane->pos);
		break;
	case 7:
		post_recv();
		break;
	case 8:
		post_send();
		break;
	case 9:
		any_reply(&att.out.lane[HCA_FABRIC_REPLIES]);
		break;
	default:
		any_message(&att.out.lane[HCA_FABRIC_REQUESTS]);
		break;
	}
	hint();
	hca_shm_poll(v.shm);
	/* What it writes next is aligned. */
	lane->pos &= ~7ull;
}

static void check_guards(void)
{
	u32 i;

	for (i = 0; i < GUARD; i++)
		MUST(v.ram[i] == 0xa5 && v.ram[RAM - 1 - i] == 0xa5);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hca_wc wc[16];
	u32 i;

	if (!v.shm) {
		open_victim();
		make_attacker();
	}
	make_qps();
	open_attacker();
	in.at = data;
	in.left = size;
	for (i = 0; in.left && i < MAX_STEPS; i++)
		step();
	close_attacker();
	check_guards();
	for (i = 0; i < QPS; i++)
		hca_qp_destroy(v.qp[i]);
	while (hca_cq_ring_poll(&v.cq.ring, wc, 16))
		;
	/* Its own memory may have been written, as it was registered; its key may have been taken away. */
	hca_shm_arm(v.shm);
	return 0;
}
