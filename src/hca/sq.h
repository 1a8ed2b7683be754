/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Send queues: the ring of posted requests, the state of each, and how they
 * leave. A request is queued, issued, answered, completed: a transport moves it along,
 * and requests complete in the order they were posted (IBTA vol. 1, 10.8.3).
 */
#ifndef HCA_SQ_H
#define HCA_SQ_H

#include "hca/opcode.h"

struct hca_qp;

/* In a request's why: the log has more of it than a code already. */
#define HCA_WHY_SAID 0x40u

/** enum hca_sqe_state - the state of a posted request */
enum hca_sqe_state {
	HCA_SQE_QUEUED,
	HCA_SQE_ISSUED, /* its answer is awaited */
	HCA_SQE_ANSWERED, /* it has a status in @status; earlier requests may have none */
};

/**
 * struct hca_sqe - a send request in its queue, its entries or its inline bytes behind it
 * @wr: as posted; the objects that it names are held until it completes
 * @op: its opcode's row
 * @len: bytes of all its entries
 * @psn, @packets: on a wire of packets: the PSN of its first packet, and its number of PSNs
 * @copy: its payload can't be fetched from where it is
 * @number: on a wire of messages: its number in the queue pair's sequence
 */
struct hca_sqe {
	struct hca_send_wr wr;
	const struct hca_opcode *op;
	u64 len;
	union {
		u32 psn;
		u32 number;
	};
	u32 packets;
	u8 state; /* enum hca_sqe_state */
	u8 status; /* enum hca_wc_status, once answered */
	bool copy;
	u8 why; /* enum hca_vendor_err, set with a status that is an error; HCA_WHY_SAID */
	struct hca_sge sge[];
};

/* Under the queue pair's lock. Indexes only increase, and wrap at 2^32. */
struct hca_sq {
	u8 *ring;
	u32 size; /* requests that it takes; the ring has the next power of two */
	u32 mask; /* of the ring's */
	u32 stride;
	u32 head; /* the oldest request */
	u32 issue; /* the next to be issued, where a transport answers whole requests; else as head */
	u32 tail; /* where the next is put */
	u64 done; /* HCA_COUNT_SENT */
	u64 done_bytes; /* HCA_COUNT_SENT_BYTES */
};

/** hca_sq_init() - room for @size requests of so many entries or inline bytes. Return: 0 or -ENOMEM. May sleep. */
int hca_sq_init(struct hca_sq *sq, u32 size, u32 max_sge, u32 max_inline);
void hca_sq_fini(struct hca_sq *sq);

static inline struct hca_sqe *hca_sq_entry(const struct hca_sq *sq, u32 i)
{
	return (struct hca_sqe *)(sq->ring + (size_t)(i & sq->mask) * sq->stride);
}

/**
 * hca_sq_retire() - remove the oldest request, and add its completion if it has one; the lock is held
 * @status: how it ended; of one that wasn't flushed its why says more
 *
 * Return: true: there was no room for the completion: call hca_qp_to_error(qp, HCA_EVENT_QP_FATAL) without the lock
 */
bool hca_sq_retire(struct hca_qp *qp, enum hca_wc_status status);

/** hca_sq_drop() - remove all requests without a completion; no thread sends or posts */
void hca_sq_drop(struct hca_qp *qp);

/**
 * hca_post_send_at() - Return: 0; -EINVAL: state, opcode, entries or length; -ENOMEM: the queue is full. Any context.
 * @wr: its @site isn't looked at; of a request that isn't local, atomic or a datagram neither is what lies behind @rdma, and
 *	@rdma itself only of one that names the peer's memory
 * @site: where it is posted, or NULL
 */
int hca_post_send_at(struct hca_qp *qp, const struct hca_send_wr *wr, hca_site_t site);

/** hca_post_send() - the same for a request with its own @site */
static inline int hca_post_send(struct hca_qp *qp, const struct hca_send_wr *wr)
{
	return hca_post_send_at(qp, wr, wr->site);
}

/**
 * hca_post_sends() - post several requests, all or none
 * @wr: @n requests, each with its @site
 *
 * Return: 0: all were posted; -EINVAL, -ENOMEM: an error of hca_post_send_at() for one of them; none was posted. Any context.
 */
int hca_post_sends(struct hca_qp *qp, const struct hca_send_wr *wr, u32 n);

#endif
