/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The engine's kit on a wire whose answers come later, and a step at a time. */
#ifndef LATE_FIXTURE_H
#define LATE_FIXTURE_H

#ifndef BYTES
#define BYTES (4u * 65536u)
#endif
#define CQE 256u
#define WR 100u
#define ENGINE_FIXTURE_LATE
#include "schedule_fixture.h"

#define RNR hca_rnr_timer_ns(12)
#define TIMEOUT hca_ack_timeout_ns(14)

static inline int open_held(void **state)
{
	(void)state;
	connect_type(HCA_QPT_RC);
	late.held = true;
	return 0;
}

static inline void good(struct hca_cq *cq, u64 id)
{
	poll_one(cq, id, HCA_WC_SUCCESS, NULL);
}

static inline void flushed(struct hca_cq *cq, u64 id)
{
	poll_one(cq, id, HCA_WC_WR_FLUSH_ERR, NULL);
}

static inline int send(u64 id, u64 off, u32 len)
{
	return post(&a, id, HCA_WR_SEND, off, len, 0, 0);
}

static inline int write_word(u64 id, u64 off, u64 to)
{
	return post(&a, id, HCA_WR_RDMA_WRITE, off, 8, BASE + to, b.all->key);
}

static inline void steps(u32 n)
{
	while (n--)
		assert_true(late_step(&late));
	hca_eq_run(&late.eq);
}

static inline void all_steps(void)
{
	while (late_step(&late))
		;
	hca_eq_run(&late.eq);
}

/* Messages of one byte that say which they are. */
static inline void number_bytes(u32 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		a.ram[i] = (u8)(i + 1);
	memset(b.ram, 0, 256);
}

/* The numbers of both ends, as a connection's ends choose them at random. */
static inline void number_from(u32 number)
{
	hca_irqflags_t flags;

	hca_spin_lock(&a.qp->lock, flags);
	a.qp->attr.sq_psn = number;
	a.hca.transport->modified(a.qp, HCA_QP_SQ_PSN);
	hca_spin_unlock(&a.qp->lock, flags);
	hca_spin_lock(&b.qp->lock, flags);
	b.qp->attr.rq_psn = number;
	b.hca.transport->modified(b.qp, HCA_QP_RQ_PSN);
	hca_spin_unlock(&b.qp->lock, flags);
}

#define HELD(t) cmocka_unit_test_setup_teardown(t, open_held, close_both)

#endif
