/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The packet transport: sequence numbers, acknowledgements, retransmission, duplicates
 * (IBTA vol. 1, 9.7 and 9.8). Its requester is in requester.c, its responder in
 * responder.c; packet.c brings packets in and is the one loop that sends, for both.
 *
 * A packet that arrives changes what is known and what is owed, by the thread that is at
 * rx (hca/qp.h); then the loop, run by one thread at a time (qp->running), sends,
 * completes and flushes. Nothing is sent while a lock is held, and no packet is handled
 * inside another's handling.
 */
#ifndef HCA_TRANSPORT_PACKET_H
#define HCA_TRANSPORT_PACKET_H

#include "transport/packet/headers.h"
#include "transport/requester.h"
#include "transport/responder.h"
#include "transport/transport.h"

/* Packets that may be under way; in every quarter of them one at least asks for an acknowledgement. */
#define HCA_PACKET_WINDOW 128u

/* Packets of a queue pair that may wait behind the one that is taken in; what comes beyond that is lost. */
#define HCA_PACKET_BACKLOG 512u

/* As an entry of the adapter each packet counts as long: a fence is nothing next to its headers and copies. */
#define HCA_PACKET_LONG HCA_QUIESCE_LONG

/* Repeated reads and atomics may wait beside those that came for the first time; between any two, an acknowledgement. */
#define HCA_PACKET_REPEATS 8u

/**
 * struct hca_packet_resp - a response that is to be sent
 * @op: HCA_PKT_ACK, HCA_PKT_ATOMIC_ACK or HCA_PKT_READ_RESP_ONLY, whichever packet of it is next
 * @repeat: for a request that came again
 * @begun: a read whose first packet was sent
 * @congested: the request was marked on its way: say so
 * @syndrome, @msn: of its AETH
 * @psn: of the packet that is next; reads: up to and without @end
 * @raddr, @rkey, @len: reads: what is left
 * @original: atomics
 */
struct hca_packet_resp {
	u8 op;
	u8 syndrome;
	bool repeat;
	bool begun;
	bool congested;
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

/**
 * struct hca_packet_kept - what the responder remembers of a read or an atomic, in case that it comes again (IBTA 9.7.5.1.6)
 * @age: the sequence number as a 64-bit count: a number of 24 bits comes back, the request doesn't
 * @psn, @packets: its numbers
 * @opcode, @raddr, @rkey, @len, @swap_add, @compare: the very request; an atomic is answered from here by no other one
 * @original: the answer of an atomic
 */
struct hca_packet_kept {
	u64 age;
	u32 psn;
	u32 packets;
	u32 rkey;
	u32 len;
	u64 raddr;
	u64 swap_add;
	u64 compare;
	u64 original;
	u8 opcode;
	bool valid;
};

/** enum hca_packet_coming - what message's packets are coming in */
enum hca_packet_coming {
	HCA_COMING_NONE,
	HCA_COMING_SEND,
	HCA_COMING_WRITE,
	HCA_COMING_LOST, /* UC: the rest of a message that lost a packet */
};

/** struct hca_packet_qp - the transport's state of a queue pair */
struct hca_packet_qp {
	/* The requester; qp->lock. Requests from sq.head to @una_idx are acknowledged, to @fresh begun. */
	u32 una; /* the oldest PSN that isn't acknowledged, of the request @una_idx */
	u32 una_idx;
	u32 snd; /* the PSN that is sent next, of the request @snd_idx */
	u32 snd_idx;
	u32 fresh;
	u32 max; /* one past the greatest PSN that was ever sent */
	u32 asked; /* one past the last PSN whose packet asked for an acknowledgement */
	u32 rd_out; /* reads and atomics under way */
	u32 failed_idx; /* if @failed: this request ends in @status when those before it are done */
	enum hca_wc_status status;
	bool failed;
	bool recovering; /* the packets under way were sent again: one loss is reported often, and repaired once */
	bool repeating; /* and not all of it, up to @repeated_to, is acknowledged: a gap in the answers may be of those before */
	u32 repeated_to;
	bool placing; /* a response is being put into the oldest request's entries: nothing completes meanwhile */
	bool timing; /* the timer runs */
	bool limited; /* @lsn counts: the peer tells how many receive requests it has */
	bool answered_last; /* the last packet that the loop sent was a response */
	u32 msn_first; /* message number of the request at sq.head */
	u32 lsn; /* one past the last message that may take a receive request */
	u64 deadline; /* when an answer is missed; 0: never */
	u32 cnps; /* congestion notifications of the peer */

	/* Responses that are to be sent; qp->lock. */
	bool last_words; /* a NAK that ends the queue pair is among them: sent even in the error state */
	u32 resp_first;
	u32 resp_count;
	u32 resp_room;
	u32 rd_in; /* reads and atomics in it that came for the first time */
	u32 repeats; /* and those that came again */
	struct hca_packet_resp *resp;

	/* The responder, by the thread that is at rx */
	u64 expected; /* PSN, as a 64-bit count */
	u32 msn;
	bool nak_sent; /* for the PSN that is expected: don't say it again */
	enum hca_packet_coming coming;
	struct hca_sge_cursor to; /* of a write */
	struct hca_sge target;
	u64 write_len;
	u64 write_done;
	struct hca_msg msg; /* what its completion tells */
	struct hca_resp_finish finish;
	u32 kept_next;
	u32 kept_room;
	struct hca_packet_kept *kept;
};

static inline struct hca_packet_qp *hca_packet_qp(const struct hca_qp *qp)
{
	return qp->carrier;
}

/** hca_packet_mtu_shift() - log2 of hca_packet_mtu() */
static inline u32 hca_packet_mtu_shift(const struct hca_qp *qp)
{
	return 7 + (hca_qp_is_datagram(qp->type) ? qp->hca->limits.max_mtu : (u32)qp->attr.path_mtu);
}

/** hca_packet_mtu() - bytes of a message in one packet */
static inline u32 hca_packet_mtu(const struct hca_qp *qp)
{
	return 1u << hca_packet_mtu_shift(qp);
}

/** hca_packet_count() - how many packets a message has */
static inline u32 hca_packet_count(const struct hca_qp *qp, u64 len)
{
	/* No division: not every 32-bit kernel has one of 64 bits. */
	return len ? (u32)((len + hca_packet_mtu(qp) - 1) >> hca_packet_mtu_shift(qp)) : 1;
}

/** struct hca_packet_out - a frame, and where its payload is at this adapter: @own, or @data */
struct hca_packet_out {
	struct hca_frame f;
	const void *own;
	struct hca_sge_cursor data;
	hca_site_t site;
};

/** struct hca_packet_path - where a connected queue pair's packets go; taken under the lock, for use without it */
struct hca_packet_path {
	struct hca_ah_attr ah;
	u32 dqpn;
};

/* frame.c: headers of a packet to its queue pair's peer from @p, @p->len bytes of payload from @out. From inside. */
void hca_packet_frame(struct hca_qp *qp, const struct hca_packet_path *path, struct hca_packet *p,
		      struct hca_packet_out *out);

/* requester.c. The steps of the loop: pick and account under qp->lock, send without it. */
struct hca_packet_shot {
	struct hca_sqe *e; /* NULL: nothing to send */
	u32 idx;
	u32 psn;
	bool local;
	bool last;
	bool ask;
	u32 asked; /* pq->asked without this one */
};

void hca_packet_pick(struct hca_qp *qp, struct hca_packet_shot *s);
/* Return: the wire takes no packet now; as if it hadn't been picked. */
bool hca_packet_shoot(struct hca_qp *qp, const struct hca_packet_shot *s, const struct hca_packet_path *path);
void hca_packet_answered(struct hca_qp *qp, const struct hca_packet *p);
bool hca_packet_timeout(struct hca_qp *qp);
/* Nothing is under way for the requests from sq.head on: they are flushed, or were never sent. The lock is held. */
void hca_packet_forget(struct hca_qp *qp);

/* responder.c. What is owed: as above, a packet at a time. */
bool hca_packet_owes(struct hca_qp *qp, struct hca_packet_resp *o);
bool hca_packet_respond(struct hca_qp *qp, const struct hca_packet_resp *o, const struct hca_packet_path *path);
void hca_packet_asked(struct hca_qp *qp, const struct hca_packet *p, const struct hca_arrival *a);

#endif
