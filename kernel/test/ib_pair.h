/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Two queue pairs of one device, and what is done with them in a word: for each file of tests of the ib_core face. */
#ifndef SOFTHCA_IB_PAIR_H
#define SOFTHCA_IB_PAIR_H

#include "ib_fixture.h"

static struct ib_qp *one, *other;

static inline bool open_pair(struct ktest *t, enum ib_qp_type type)
{
	one = ibt_qp(t, type, NULL);
	other = ibt_qp(t, type, NULL);
	if (!one || !other)
		return false;
	return type == IB_QPT_UD || (ibt_connect(t, one, other->qp_num) && ibt_connect(t, other, one->qp_num));
}

static inline void close_pair(struct ktest *t)
{
	if (one)
		EXPECT_EQ(t, ib_destroy_qp(one), 0);
	if (other)
		EXPECT_EQ(t, ib_destroy_qp(other), 0);
	one = NULL;
	other = NULL;
}

static inline void fill(u8 seed)
{
	u32 i;

	for (i = 0; i < IBT_HALF; i++)
		ibt.mem[i] = (u8)(i * 7 + i / 251 + seed);
	memset(ibt.mem + IBT_HALF, 0, IBT_HALF);
}

static inline void post_recv(struct ktest *t, struct ib_qp *qp, u64 id, u32 off, u32 len)
{
	struct ib_sge sge = ibt_sge(off, len);
	struct ib_recv_wr wr = { .wr_id = id, .sg_list = &sge, .num_sge = 1 };

	EXPECT_EQ(t, ib_post_recv(qp, &wr, NULL), 0);
}

static inline void expect_wc(struct ktest *t, u64 id, enum ib_wc_status status, enum ib_wc_opcode opcode,
			     struct ib_wc *wc)
{
	memset(wc, 0, sizeof(*wc));
	if (!ibt_poll(t, wc))
		return;
	EXPECT_EQ(t, wc->wr_id, id);
	EXPECT_EQ(t, wc->status, status);
	if (!status)
		EXPECT_EQ(t, wc->opcode, opcode);
}

static inline void post_rdma(struct ktest *t, enum ib_wr_opcode op, u64 id, u32 from, u32 to, u32 len, u32 rkey)
{
	struct ib_sge sge = ibt_sge(from, len);
	struct ib_rdma_wr wr = {
		.wr = { .wr_id = id, .sg_list = &sge, .num_sge = 1, .opcode = op, .send_flags = IB_SEND_SIGNALED },
		.remote_addr = ibt.dma + to,
		.rkey = rkey,
	};

	EXPECT_EQ(t, ib_post_send(one, &wr.wr, NULL), 0);
}

#endif
