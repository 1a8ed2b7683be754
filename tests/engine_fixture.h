/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two adapters on a wire, each with memory of its own behind a plain accessor and
 * one queue pair; posting and polling in a word. Shared by the engine's tests. The wire
 * is the loop; with ENGINE_FIXTURE_PACKETS it is one of packets, which loses nothing
 * unless it's told to, with ENGINE_FIXTURE_LATE one of messages that answers later. With
 * ENGINE_FIXTURE_FLAT memory is at hand without a window, so that requests may be carried
 * out at once.
 */
#ifndef ENGINE_FIXTURE_H
#define ENGINE_FIXTURE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "seeds.h"
#include "transport/transport.h"
#include "test/test_os.h"
#include "wire/loop.h"
#ifdef ENGINE_FIXTURE_PACKETS
#include "lossy_wire.h"
#endif
#ifdef ENGINE_FIXTURE_LATE
#include "late_wire.h"
#endif

#ifndef BYTES /* of memory, at each side */
#define BYTES 65536u
#endif
#define BASE 0x100000ull
#ifndef WR
#define CQE 64u
#define WR 8u
#endif
#define RW (HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_REMOTE_WRITE | HCA_ACCESS_REMOTE_READ | HCA_ACCESS_REMOTE_ATOMIC)
#define MS 1000000ull

/* One adapter with one queue pair. */
struct side {
	struct hca hca;
	struct hca_mem mem;
	u8 ram[BYTES] HCA_ALIGNED(8);
	struct hca_pd pd;
	struct hca_cq scq;
	struct hca_cq rcq;
	struct hca_mr *all;
	struct hca_qp *qp;
	u32 events[32];
	u32 handled;
};

static struct side a, b;

#ifdef ENGINE_FIXTURE_PACKETS
static struct lossy_wire lossy;
#define FIXTURE_WIRE (&lossy.wire)
#define FIXTURE_EQ (&lossy.eq)
#define FIXTURE_MTU 4096u /* messages come in pieces of as much at most */
#define FIXTURE_SILENT 1u /* that a packet isn't answered is known a timeout later */

#ifdef DELIVER_H /* by threads, of the user os layer */
#define settle() deliver_settle()
/* At the beginning of a test whose checks need the packets in order: one at a time is brought, by any of the threads. */
#define ONE_DELIVERER() ((void)(lossy.lanes = 1))
/* Each adapter's packets come in order, beside the other's; or each packet may overtake any other. Nothing is under way. */
#define DELIVER_BY_PORT(is) ((void)(lossy.by_port = (is)))
/* Where threads are real, a seed decides little and takes long. */
#define SEED_COUNT(n) 5u

static inline int wire_open(void)
{
	int err = lossy_open(&lossy, 1);

	if (!err)
		err = deliver_start(&lossy);
#ifdef PACKETS_IN_ORDER
	ONE_DELIVERER();
#endif
	return err;
}

static inline void wire_close(void)
{
	deliver_stop(&lossy);
	lossy_close(&lossy);
}
#else
static inline int wire_open(void)
{
	return lossy_open(&lossy, 1);
}

static inline void wire_close(void)
{
	lossy_close(&lossy);
}
#endif

/* Packets that were, since the beginning. */
static inline u32 wire_lost(void)
{
	return lossy.lost;
}
#elif defined(ENGINE_FIXTURE_LATE)
static struct late_wire late;
#define FIXTURE_WIRE (&late.wire)
#define FIXTURE_EQ (&late.eq)
#define FIXTURE_MTU 0u
#define FIXTURE_SILENT 0u

static inline int wire_open(void)
{
	int err = late_open(&late);

#ifdef LATE_ROOM
	late.room = LATE_ROOM;
#endif
	return err;
}

static inline void wire_close(void)
{
	late_close(&late);
}

static inline u32 wire_lost(void)
{
	return 0;
}
#else
static struct hca_loop loop;
static struct hca_eq loop_eq;
#define FIXTURE_WIRE (&loop.wire)
#define FIXTURE_EQ (&loop_eq)
#define FIXTURE_MTU 0u /* a message comes as a whole */
#define FIXTURE_SILENT 0u /* and that nobody takes a message, at once */

static inline int wire_open(void)
{
	hca_loop_init(&loop);
	return hca_eq_init(&loop_eq);
}

static inline void wire_close(void)
{
	hca_eq_fini(&loop_eq);
	hca_loop_fini(&loop);
}

static inline u32 wire_lost(void)
{
	return 0;
}
#endif

static inline int mem_open(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access,
			   struct hca_mem_view *w)
{
	struct side *s = hca_container_of(mem, struct side, mem);
	u64 off = hca_dma_u64(addr) - BASE;

	(void)access;
	if (off >= BYTES)
		return -EFAULT;
	w->ptr = s->ram + off;
	w->len = HCA_MIN(HCA_MIN(len, BYTES - off), 4096 - off % 4096);
	return 0;
}

static inline void mem_close(struct hca_mem *mem, struct hca_mem_view *w)
{
	(void)mem;
	(void)w;
}

/* Is its memory at hand without a window? */
static inline void set_flat(struct side *s, bool flat)
{
	s->mem.flat = BASE;
	s->mem.flat_len = flat ? BYTES : 0;
	s->mem.flat_ptr = s->ram;
}

static const struct hca_mem_ops mem_ops = { .open = mem_open, .close = mem_close };

/* The same, but others get their turn between look-up and copy: an adapter whose copies take time. */
static inline int mem_open_slowly(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access,
				  struct hca_mem_view *w)
{
	hca_pause();
	return mem_open(mem, addr, len, access, w);
}

static const struct hca_mem_ops slow_mem_ops __attribute__((unused)) = { .open = mem_open_slowly, .close = mem_close };

static inline void on_event(struct hca *hca, enum hca_event_type type, void *object)
{
	struct side *s = hca_container_of(hca, struct side, hca);

	(void)object;
	s->events[type]++;
}

static inline void on_completion(struct hca_cq *cq)
{
	struct side *s = hca_container_of(cq->hca, struct side, hca);

	s->handled++;
}

/* --- set-up --- */

static inline int side_open(struct side *s)
{
	struct hca_mr_attr all = { .kind = HCA_MR_LINEAR, .access = RW, .iova = BASE, .base = BASE, .length = BYTES };
	int err;

	memset(s, 0, sizeof(*s));
	s->mem.ops = &mem_ops;
#ifdef ENGINE_FIXTURE_FLAT
	set_flat(s, true);
#endif
	err = hca_open(&s->hca, FIXTURE_WIRE, FIXTURE_EQ, &s->mem,
		       &(const struct hca_attr){ .max_qp = 64, .max_keys = 64 });
	if (err)
		return err;
	s->hca.event = on_event;
	hca_pd_init(&s->pd, &s->hca);
	err = hca_cq_init(&s->scq, &s->hca, CQE, on_completion);
	if (err)
		goto fini;
	err = hca_cq_init(&s->rcq, &s->hca, CQE, on_completion);
	if (err)
		goto fini_scq;
	err = hca_mr_create(&s->pd, &all, &s->all);
	if (err)
		goto fini_rcq;
	return 0;
fini_rcq:
	hca_cq_fini(&s->rcq);
fini_scq:
	hca_cq_fini(&s->scq);
fini:
	hca_close(&s->hca);
	return err;
}

static inline void side_close(struct side *s)
{
	if (s->qp)
		hca_qp_destroy(s->qp);
	s->qp = NULL;
	assert_int_equal(hca_mr_destroy(s->all), 0);
	assert_int_equal(hca_cq_fini(&s->rcq), 0);
	assert_int_equal(hca_cq_fini(&s->scq), 0);
	assert_int_equal(s->pd.users, 0);
	assert_int_equal(hca_close(&s->hca), 0);
}

static inline int make_qp(struct side *s, enum hca_qp_type type, struct hca_srq *srq, struct hca_qp **qp)
{
	struct hca_qp_init init = {
		.type = type,
		.pd = &s->pd,
		.send_cq = &s->scq,
		.recv_cq = &s->rcq,
		.srq = srq,
		.max_send_wr = WR,
		.max_recv_wr = srq ? 0 : WR,
		.max_send_sge = 3,
		.max_recv_sge = 3,
		.max_inline = 64,
		.sq_sig_all = true,
	};

	return hca_qp_create(&s->hca, &init, qp);
}

static inline void modify(struct hca_qp *qp, struct hca_qp_attr *at, enum hca_qp_state to, u32 mask)
{
	at->qp_state = to;
	assert_int_equal(hca_qp_modify(qp, at, mask | HCA_QP_STATE), 0);
}

static inline void connect_qp(struct side *s, struct hca_qp *qp, const struct side *peer, u32 peer_qpn, u8 retry,
			      u8 rnr_retry)
{
	struct hca_qp_attr at = {
		.path_mtu = HCA_MTU_4096,
		.qkey = 0x11,
		.dest_qp_num = peer_qpn,
		.qp_access_flags = HCA_ACCESS_REMOTE_WRITE | HCA_ACCESS_REMOTE_READ | HCA_ACCESS_REMOTE_ATOMIC,
		.ah = { .dlid = (u16)peer->hca.lid, .port_num = 1 },
		.port_num = 1,
		.max_rd_atomic = 1,
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.timeout = 14,
		.retry_cnt = retry,
		.rnr_retry = rnr_retry,
	};
	u32 init = HCA_QP_PKEY_INDEX | HCA_QP_PORT;
	u32 rtr = HCA_QP_AV | HCA_QP_PATH_MTU | HCA_QP_DEST_QPN | HCA_QP_RQ_PSN;
	u32 rts = HCA_QP_SQ_PSN;

	(void)s;
	if (qp->type == HCA_QPT_UD) {
		init |= HCA_QP_QKEY;
		rtr = 0;
	} else {
		init |= HCA_QP_ACCESS_FLAGS;
	}
	if (qp->type == HCA_QPT_RC) {
		rtr |= HCA_QP_MAX_DEST_RD_ATOMIC | HCA_QP_MIN_RNR_TIMER;
		rts |= HCA_QP_TIMEOUT | HCA_QP_RETRY_CNT | HCA_QP_RNR_RETRY | HCA_QP_MAX_QP_RD_ATOMIC;
	}
	modify(qp, &at, HCA_QPS_INIT, init);
	modify(qp, &at, HCA_QPS_RTR, rtr);
	modify(qp, &at, HCA_QPS_RTS, rts);
}

static inline void connect_type(enum hca_qp_type type)
{
	test_os_reset(1);
	assert_int_equal(wire_open(), 0);
	assert_int_equal(side_open(&a), 0);
	assert_int_equal(side_open(&b), 0);
	assert_int_equal(make_qp(&a, type, NULL, &a.qp), 0);
	assert_int_equal(make_qp(&b, type, NULL, &b.qp), 0);
	connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
	connect_qp(&b, b.qp, &a, a.qp->qpn, 3, 2);
}

/* Both of them from RESET to RTS once more. */
static inline void connect_again(void)
{
	struct hca_qp_attr at = { 0 };

	modify(a.qp, &at, HCA_QPS_RESET, 0);
	modify(b.qp, &at, HCA_QPS_RESET, 0);
	connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
	connect_qp(&b, b.qp, &a, a.qp->qpn, 3, 2);
}

static inline const struct hca_gid *gid_of(const struct side *s)
{
	return hca_gid_at(&s->hca.gids, 0);
}

/* Attributes were set by hand. */
static inline void republish(struct hca_qp *qp)
{
	hca_irqflags_t flags;

	hca_spin_lock(&qp->lock, flags);
	hca_qp_publish(qp);
	hca_spin_unlock(&qp->lock, flags);
}

static inline int open_rc(void **state)
{
	(void)state;
	connect_type(HCA_QPT_RC);
	return 0;
}

static inline int open_uc(void **state)
{
	(void)state;
	connect_type(HCA_QPT_UC);
	return 0;
}

static inline int open_ud(void **state)
{
	(void)state;
	connect_type(HCA_QPT_UD);
	return 0;
}

static inline int close_both(void **state)
{
	(void)state;
	side_close(&a);
	side_close(&b);
	wire_close();
	return (int)test_leaks();
}

/* --- posting and polling --- */

static inline struct hca_sge sge_at(const struct side *s, u64 off, u32 len)
{
	return (struct hca_sge){ .addr = BASE + off, .length = len, .lkey = s->all->key };
}

static inline int post_recv(struct side *s, u64 id, u64 off, u32 len)
{
	struct hca_sge sge = sge_at(s, off, len);
	struct hca_recv_wr wr = { .wr_id = id, .sge = &sge, .num_sge = 1 };

	return hca_post_recv(s->qp, &wr);
}

static inline int post(struct side *s, u64 id, enum hca_wr_opcode op, u64 off, u32 len, u64 raddr, u32 rkey)
{
	struct hca_sge sge = sge_at(s, off, len);
	struct hca_send_wr wr = { .wr_id = id, .sge = &sge, .num_sge = 1, .opcode = op, .imm = 0x12345678 };

	if (s->qp->type == HCA_QPT_UD) {
		wr.ud.dlid = s == &a ? b.hca.lid : a.hca.lid;
		wr.ud.qpn = (u32)raddr;
		wr.ud.qkey = rkey;
	} else {
		wr.rdma.addr = raddr;
		wr.rdma.rkey = rkey;
	}
	return hca_post_send(s->qp, &wr);
}

static inline void poll_one(struct hca_cq *cq, u64 id, enum hca_wc_status status, struct hca_wc *out)
{
	struct hca_wc wc;
	int n = hca_cq_ring_poll(&cq->ring, &wc, 1);

#if defined(DELIVER_H) && !defined(PACKETS_IN_ORDER)
	/* Packets that came in another order may be missed by a timeout only. */
	for (u32 i = 0; !n && i < 20; i++) {
		test_clock_advance(100 * MS);
		n = hca_cq_ring_poll(&cq->ring, &wc, 1);
	}
#endif
	assert_int_equal(n, 1);
	assert_int_equal(wc.wr_id, id);
	assert_int_equal(wc.status, status);
	if (out)
		*out = wc;
}

/* Before a look at what packets have done: they have, where threads bring them. */
#ifndef DELIVER_H
#define settle() ((void)0)
#define ONE_DELIVERER() ((void)0)
#define SEED_COUNT(n) SEEDS_HERE(n)
#endif

static inline void nothing_more(void)
{
	struct hca_cq *const cqs[] = { &a.scq, &a.rcq, &b.scq, &b.rcq };
	struct hca_wc wc;
	u32 i;

	for (i = 0; i < HCA_ARRAY_SIZE(cqs); i++)
		assert_int_equal(hca_cq_ring_poll(&cqs[i]->ring, &wc, 1), 0);
}

static inline void fill(u8 *p, u32 len, u32 seed)
{
	u32 i;

	for (i = 0; i < len; i++)
		p[i] = (u8)(seed + i * 7);
}

#define RC(t) cmocka_unit_test_setup_teardown(t, open_rc, close_both)

#endif
