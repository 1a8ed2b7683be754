/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What two adapters should do, written from IBTA vol. 1 chapters 9 to 11 alone: plain
 * arrays, one request at a time, each done before the next. Calls nothing of the engine.
 */
#ifndef ENGINE_MODEL_H
#define ENGINE_MODEL_H
#include "hca/wr.h"

#define EM_BYTES 65536u
#define EM_BASE 0x100000ull
#define EM_REGIONS 6u
#define EM_QPS 3u
#define EM_RECVS 8u
#define EM_SGES 3u
#define EM_INLINE 64u
#define EM_QKEY 0x11u

struct em_region {
	bool valid;
	u32 key;
	u32 pd;
	u32 access;
	u64 iova;
	u64 len;
	u64 page[4]; /* offsets in memory of 4096-byte pages; the first one's is where one run begins */
	bool pages;
};

struct em_recv {
	u64 id;
	struct hca_sge sge[EM_SGES];
	u32 n;
};

struct em_qp {
	enum hca_qp_type type;
	enum hca_qp_state state;
	u32 qpn;
	struct em_recv recv[EM_RECVS];
	u32 recvs;
	u32 mtu; /* bytes of a message that arrive at once: what is wrong is found when it's their turn; 0: all of it */
	u32 held; /* places of the send queue that no polled completion has given back (IBTA 10.8.5.1) */
};

struct em_cq {
	struct hca_wc wc[32];
	u32 n;
};

struct em_side {
	u8 ram[EM_BYTES];
	struct em_region region[EM_REGIONS];
	struct em_qp qp[EM_QPS];
	struct em_cq scq;
	struct em_cq rcq;
	u32 events[32];
};

/** em_post_recv(), em_post_send() - the whole of what follows from a request. Return: what the post returns. */
int em_post_recv(struct em_side *s, u32 q, const struct hca_recv_wr *wr);
int em_post_send(struct em_side *s, struct em_side *peer, u32 q, const struct hca_send_wr *wr);

/** em_error() - the queue pair goes into error: its receives are flushed */
void em_error(struct em_side *s, u32 q);

#endif
