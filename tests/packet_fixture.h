/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The engine's kit on a wire of packets: small packets, several reads under way, and packets made by hand. */
#ifndef PACKET_FIXTURE_H
#define PACKET_FIXTURE_H

#define ENGINE_FIXTURE_PACKETS
#include "engine_fixture.h"
#include "transport/packet/packet.h"

#define MTU 256u
#define TIMEOUT hca_ack_timeout_ns(14)
#define RNR_WAIT hca_rnr_timer_ns(12)

#define NAK(code) (HCA_AETH_NAK | HCA_NAK_##code)

static inline void small_packets(struct hca_qp *qp)
{
	qp->attr.path_mtu = HCA_MTU_256;
	qp->attr.max_rd_atomic = 4;
	qp->attr.max_dest_rd_atomic = 4;
	republish(qp);
}

static inline int open_small(void **state, enum hca_qp_type type)
{
	(void)state;
	connect_type(type);
	small_packets(a.qp);
	small_packets(b.qp);
	return 0;
}

static inline int open_small_rc(void **state)
{
	return open_small(state, HCA_QPT_RC);
}

static inline int open_small_uc(void **state)
{
	return open_small(state, HCA_QPT_UC);
}

#define SMALL(t) cmocka_unit_test_setup_teardown(t, open_small_rc, close_both)
#define SMALL_UC(t) cmocka_unit_test_setup_teardown(t, open_small_uc, close_both)

static inline u32 seen(u32 opcode)
{
	settle();
	return lossy.seen[opcode];
}

/* ACK packets with this syndrome. */
static inline u32 syndromes(u32 syndrome)
{
	settle();
	return lossy.syndromes[syndrome];
}

/* As from the peer. */
static inline void bring(struct side *to, const u8 *bytes, u32 n)
{
	lossy_inject(&lossy, to->hca.lid, to == &a ? b.hca.lid : a.hca.lid, bytes, n);
	settle();
}

static inline void set_running(struct side *s, bool running)
{
	hca_irqflags_t flags;

	settle();
	hca_spin_lock(&s->qp->lock, flags);
	s->qp->running = running;
	hca_spin_unlock(&s->qp->lock, flags);
}

/* Its loop is busy elsewhere: what is posted, or owed, gathers. */
static inline void hold(struct side *s)
{
	set_running(s, true);
}

static inline void let_go(struct side *s)
{
	set_running(s, false);
	hca_qp_run(s->qp);
	hca_eq_run(&lossy.eq);
}

/* A packet made by hand, as from the peer; its payload is @fill. */
static inline void inject(struct side *to, struct hca_packet *p, u8 fill_with)
{
	u8 bytes[HCA_PACKET_HEADER_MAX + 8192];
	u32 n;

	p->pkey = 0xffff;
	if (!p->dqpn)
		p->dqpn = to->qp->qpn;
	n = hca_packet_encode(p, bytes);
	memset(bytes + n, fill_with, p->len);
	memset(bytes + n + p->len, 0, p->pad);
	bring(to, bytes, n + p->len + p->pad);
}

static inline int post_write(struct side *s, u64 id, u64 off, u32 len)
{
	return post(s, id, HCA_WR_RDMA_WRITE, off, len, BASE + off, (s == &a ? b.all : a.all)->key);
}

static inline int post_read(struct side *s, u64 id, u64 off, u32 len)
{
	return post(s, id, HCA_WR_RDMA_READ, off, len, BASE + off, (s == &a ? b.all : a.all)->key);
}

static inline int post_add(struct side *s, u64 id, u64 off, u64 target, u64 add)
{
	struct hca_sge sge = sge_at(s, off, 8);
	struct hca_send_wr wr = { .wr_id = id, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_ATOMIC_FETCH_AND_ADD };

	wr.atomic.addr = BASE + target;
	wr.atomic.rkey = (s == &a ? b.all : a.all)->key;
	wr.atomic.compare_add = add;
	return hca_post_send(s->qp, &wr);
}

static inline u64 word(const struct side *s, u64 off)
{
	u64 v;

	settle();
	memcpy(&v, s->ram + off, 8);
	return v;
}

static inline void good(struct hca_cq *cq, u64 id)
{
	poll_one(cq, id, HCA_WC_SUCCESS, NULL);
}

#endif
