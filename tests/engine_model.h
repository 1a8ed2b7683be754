/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What two adapters should do, written from IBTA vol. 1 chapters 9 to 11 alone: plain
 * arrays, one request at a time, each done before the next; time goes by when it's told so. Calls nothing of the engine.
 */
#ifndef ENGINE_MODEL_H
#define ENGINE_MODEL_H
#include "hca/wr.h"

#define EM_BYTES 65536u
#define EM_BASE 0x100000ull
#define EM_REGIONS 6u
#define EM_PAGES 5u /* the one of pages, registered by requests */
#define EM_WINDOWS 2u /* the first of type 1, the second of type 2 */
#define EM_QPS 5u
#define EM_SMALL 4u /* the queue pair whose send completions have a small queue */
#define EM_RECVS 8u
#define EM_SENDS 8u
#define EM_CQE 64u
#define EM_RNR_RETRY 2u
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

/* Of type 1 for all queue pairs of its domain, of type 2 for the one that bound it; see hca/mw.h. */
struct em_window {
	bool two;
	bool valid;
	u32 key; /* the valid one, or the last that was */
	u32 region;
	u64 off; /* in the MR */
	u64 iova;
	u64 len;
	u32 access;
	u32 q;
};

struct em_recv {
	u64 id;
	struct hca_sge sge[EM_SGES];
	u32 n;
};

struct em_recvq {
	struct em_recv recv[EM_RECVS];
	u32 n;
	u32 limit; /* an event when fewer are left; 0: none */
};

struct em_send {
	struct hca_send_wr wr;
	struct hca_sge sge[EM_SGES];
	u8 own[EM_INLINE];
	u64 len;
	u64 landed; /* bytes of a write that have arrived already, and aren't in @len and @sge any more */
};

struct em_cq {
	struct hca_wc wc[EM_CQE];
	u32 n;
	u32 size; /* it overflows; 0: it's as large as can be needed */
	bool error;
};

struct em_qp {
	enum hca_qp_type type;
	enum hca_qp_state state;
	u32 qpn;
	u32 dest; /* the peer's number, as it was when they were connected */
	u32 mtu; /* bytes of a message that arrive at once: what is wrong is found when it's their turn; 0: all of it */
	struct em_cq *scq;
	struct em_cq *rcq;
	bool shares; /* the side's shared receive queue */
	bool forever; /* it waits for a receive request of the peer's without an end */
	struct em_recvq rq;
	struct em_send sq[EM_SENDS];
	u32 sends;
	u32 waits; /* the first of them was told to come again; who was told first has the smaller number. 0: it wasn't */
	u32 tries; /* how often it was */
	enum hca_wc_status want; /* why it waits: what it ends with if it does for too long */
	bool drain; /* tell when nothing is under way any more */
};

struct em_side {
	u8 ram[EM_BYTES];
	struct em_region region[EM_REGIONS];
	struct em_window window[EM_WINDOWS];
	struct em_qp qp[EM_QPS];
	struct em_recvq srq;
	struct em_cq scq;
	struct em_cq rcq;
	struct em_cq small; /* of the last queue pair's sends, and it may overflow */
	u32 events[32];
};

/** em_post_recv(), em_post_srq(), em_post_send() - and all that follows at once. Return: what the post returns. */
int em_post_recv(struct em_side *s, u32 q, const struct hca_recv_wr *wr);
int em_post_srq(struct em_side *s, const struct hca_recv_wr *wr);
int em_post_send(struct em_side *s, struct em_side *peer, u32 q, const struct hca_send_wr *wr);

/** em_settle() - a long time goes by: who waits tries again, and gives up if it may */
void em_settle(struct em_side side[2]);

/** em_error() - the queue pair goes into error: what is queued is flushed */
void em_error(struct em_side *s, u32 q);

/** em_drain() - RTS to SQD; em_run() - to RTS, and on with what is queued */
void em_drain(struct em_side *s, u32 q);
void em_run(struct em_side *s, struct em_side *peer, u32 q);

/** em_bound() - how many MWs are bound to an MR; who destroys it must ask */
u32 em_bound(const struct em_side *s, u32 region);

/** em_forget() - nothing is left of the queue pair in its queues: it was reset or destroyed */
void em_forget(struct em_side *s, u32 q);

#endif
