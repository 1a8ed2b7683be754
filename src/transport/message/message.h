/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The message transport: a request is one message, carried in pieces of HCA_PIECE bytes
 * at most. Over the loop wire each piece is answered at once; over a wire that answers
 * later, requests are issued up to a window and complete when their answers are there.
 */
#ifndef HCA_TRANSPORT_MESSAGE_H
#define HCA_TRANSPORT_MESSAGE_H

#include "transport/requester.h"
#include "transport/responder.h"
#include "transport/transport.h"

/* Requests that wait for their answers. */
#define HCA_MESSAGE_WINDOW 64u

#define HCA_GRH_BYTES 40u

/**
 * struct hca_message_qp - the transport's state of a queue pair
 *
 * The requester's: qp->lock.
 * @number: of the request at sq.head; one that sends nothing has none, and leaves it to the next
 * @put_off: the request that is being carried was put off meanwhile
 * @begun: the request at sq.issue was carried, and is to be carried again
 * @placing: bytes of an answer are being put into the oldest request's entries: it doesn't complete meanwhile
 * @failed: a request completed in error: the queue pair ends, and no answer counts any more; RC alone
 * @timing: the timer runs; @deadline: when an answer is missed, 0: never
 *
 * The responder's, by the thread that is at rx:
 * @expected: number of the request that comes next; @expected_off: its next piece
 */
struct hca_message_qp {
	u32 number;
	bool put_off;
	bool begun;
	bool placing;
	bool failed;
	bool timing;
	u64 deadline;
	void *const *peer; /* where the peer's adapter stands, if it is in this address space; or NULL */

	u32 expected;
	u64 expected_off;
};

/** struct hca_transfer - a piece, with what stands behind it in this address space */
struct hca_transfer {
	struct hca_carried c;
	struct hca_sge_cursor data;
	const u8 *inline_data; /* or NULL: the bytes are at @data */
	hca_site_t site;
	struct hca_resp_finish finish; /* set by the responder; finish.qp is NULL before */
};

static inline struct hca_message_qp *hca_message_qp(const struct hca_qp *qp)
{
	return qp->carrier;
}

/* requester.c */
void hca_message_run(struct hca_qp *qp, hca_irqflags_t flags);
bool hca_message_timeout(struct hca_qp *qp);
void hca_message_answered(void *client, const struct hca_reply *r);

/* direct.c */
bool hca_message_at_once(struct hca_qp *qp, const struct hca_send_wr *wr, const struct hca_opcode *op, u64 bytes);

/* responder.c */
enum hca_answer hca_message_arrived(void *client, struct hca_carried *c, struct hca_reply *r);

#endif
