/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The packet half of a queue pair, on a wire that carries packets: sequence numbers,
 * acknowledgements, retransmission, duplicates (IBTA vol. 1, 9.7 and 9.8). Its
 * requester is in flow_send.c, its responder in flow_recv.c; flow.c brings packets in
 * and is the one loop that sends, for both. The queues, checks and completions are
 * those of send.c and recv.c.
 *
 * A packet that arrives changes what is known and what is owed, under rx_lock; then the
 * loop, run by one thread at a time (sq_running), sends, completes and flushes. Nothing
 * is sent while a lock is held, and no packet is handled inside another's handling.
 */
#ifndef HCA_FLOW_H
#define HCA_FLOW_H

#include "hca/respond.h"

/* Packets that may be under way; in every quarter of them one at least asks for an acknowledgement. */
#define HCA_FLOW_WINDOW 128u

/* Reads and atomics of the peer that may wait for their answers, and the atomics whose results are kept. */
#define HCA_FLOW_RD 16u

/* Repeated reads and atomics may wait beside them; between any two, an acknowledgement. */
#define HCA_FLOW_REPEATS 8u
#define HCA_FLOW_OWED (2 * HCA_FLOW_RD + 2 * HCA_FLOW_REPEATS + 2)

/**
 * struct hca_owed - a response that is to be sent
 * @op: HCA_PKT_ACK, HCA_PKT_ATOMIC_ACK or HCA_PKT_READ_RESP_ONLY, whichever packet of it is next
 * @repeat: for a request that came again
 * @syndrome, @msn: of its AETH
 * @psn: of the packet that is next; reads: up to and without @end
 * @raddr, @rkey, @len: reads: what is left
 * @original: atomics
 */
struct hca_owed {
	u8 op;
	u8 syndrome;
	bool repeat;
	bool begun;
	u32 psn;
	u32 end;
	u32 msn;
	u32 rkey;
	u32 len;
	union {
		u64 raddr;
		u64 original;
	};
};

/** struct hca_saved - the result of an atomic, in case that its request comes again (IBTA 9.7.5.1.6) */
struct hca_saved {
	u64 original;
	u32 psn;
	bool valid;
};

/** enum hca_coming - what message's packets are coming in */
enum hca_coming {
	HCA_COMING_NONE,
	HCA_COMING_SEND,
	HCA_COMING_WRITE,
	HCA_COMING_LOST, /* UC: the rest of a message that lost a packet */
};

/** struct hca_flow - of one queue pair */
struct hca_flow {
	/* The requester; qp->lock. Requests from sq_head to @una_idx are acknowledged, to @fresh begun. */
	u32 una; /* the oldest PSN that isn't acknowledged, of the request @una_idx */
	u32 una_idx;
	u32 snd; /* the PSN that is sent next, of the request @snd_idx */
	u32 snd_idx;
	u32 fresh;
	u32 max; /* one past the greatest PSN that was ever sent */
	u32 rd_out; /* reads and atomics under way */
	u32 failed_idx; /* if @failed: this request ends in @status when those before it are done */
	enum hca_wc_status status;
	bool failed;
	bool recovering; /* what is under way was sent again for a NAK: no reason to do so once more */
	bool timing; /* the timer runs */
	u64 deadline; /* when an answer is missed; 0: never */

	/* What the responder owes; qp->lock. */
	bool last_words; /* a NAK that ends the queue pair is among it: sent even in the error state */
	u32 owed_first;
	u32 owed_count;
	u32 rd_in; /* reads and atomics in it that came for the first time */
	u32 repeats; /* and those that came again */
	struct hca_owed owed[HCA_FLOW_OWED];

	/* The responder; qp->rx_lock */
	u32 expected; /* PSN */
	u32 msn;
	bool nak_sent; /* for the PSN that is expected: don't say it again */
	bool finishing; /* an invalidation waits; nothing is taken meanwhile */
	bool has_wr; /* @wr is taken, and not complete */
	enum hca_coming coming;
	struct hca_sge_cursor to;
	struct hca_sge target; /* of a write */
	u64 room; /* bytes that the message may have (send) or has (write) */
	u64 done;
	struct hca_msg msg;
	u32 saved_next;
	struct hca_saved saved[HCA_FLOW_RD];
	union hca_taken wr; /* last, for it ends in entries */
};

/** hca_flow_create() - for a new queue pair. Return: 0, -ENOMEM. May sleep. */
int hca_flow_create(struct hca_qp *qp);

/** hca_flow_reset() - nothing under way, nothing owed; nobody is sending or inside */
void hca_flow_reset(struct hca_qp *qp);

/** hca_flow_modified() - attributes were set; qp->lock held */
void hca_flow_modified(struct hca_qp *qp, u32 mask);

/** hca_flow_run() - send, complete and flush what can be; no lock held, not inside */
void hca_flow_run(struct hca_qp *qp);

/** hca_flow_timeout() - the queue pair's timer fired */
void hca_flow_timeout(struct hca_qp *qp);

/** hca_flow_flush() - the receive request whose message is coming in ends with the queue pair */
void hca_flow_flush(struct hca_qp *qp);

/**
 * hca_packet_arrived() - a packet came for this adapter; by a wire
 *
 * Any context, but no lock held and not inside, and not from xmit. What isn't a packet, or for nobody, is dropped.
 */
void hca_packet_arrived(struct hca *hca, const struct hca_arrival *a);

/** hca_flow_mtu_shift() - log2 of hca_flow_mtu() */
static inline u32 hca_flow_mtu_shift(const struct hca_qp *qp)
{
	return 7 + (qp->type == HCA_QPT_UD ? qp->hca->limits.max_mtu : (u32)qp->attr.path_mtu);
}

/** hca_flow_mtu() - bytes of a message in one packet */
static inline u32 hca_flow_mtu(const struct hca_qp *qp)
{
	return 1u << hca_flow_mtu_shift(qp);
}

/** hca_flow_packets() - how many packets a message has */
static inline u32 hca_flow_packets(const struct hca_qp *qp, u64 len)
{
	/* No division: not every 32-bit kernel has one of 64 bits. */
	return len ? (u32)((len + hca_flow_mtu(qp) - 1) >> hca_flow_mtu_shift(qp)) : 1;
}

/* --- between the files of the flow --- */

/* A packet to its queue pair's peer: its headers from @p, its payload from the caller. */
void hca_flow_frame(const struct hca_qp *qp, struct hca_packet *p, struct hca_frame *f);

/* flow_send.c. The steps of the loop: pick and advance under qp->lock, then do it without. */
struct hca_flow_shot {
	struct hca_swqe *e; /* NULL: nothing to send */
	u32 idx;
	u32 psn;
	bool local;
	bool last;
};

void hca_flow_pick(struct hca_qp *qp, struct hca_flow_shot *s);
void hca_flow_shoot(struct hca_qp *qp, const struct hca_flow_shot *s);
void hca_flow_answered(struct hca_qp *qp, const struct hca_packet *p);

/* flow_recv.c. What is owed: as above, a packet at a time. */
bool hca_flow_owes(struct hca_qp *qp, struct hca_owed *o);
void hca_flow_repay(struct hca_qp *qp, const struct hca_owed *o);
void hca_flow_asked(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a);

#endif
