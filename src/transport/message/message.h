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

/* Pieces that may wait while another thread is at rx; further pieces are refused, and the peer repeats them. */
#define HCA_MESSAGE_BACKLOG 64u

#define HCA_GRH_BYTES 40u

/**
 * struct hca_message_late - a piece that waits behind another one of its queue pair
 * @missing: the payload could not be fetched
 * @refused: there was no room for it, and the peer is to be told so in its turn
 * @bytes: the payload, or room for what is read
 */
struct hca_message_late {
	struct hca_rx_node node;
	struct hca_msg msg;
	bool missing;
	bool refused;
	u8 bytes[];
};

/** struct hca_message_left - what is left of a message; @finish.qp NULL: nothing. @reply goes to @slid if it @answers. */
struct hca_message_left {
	struct hca_resp_finish finish;
	struct hca_reply reply;
	u32 slid;
	bool answers;
};

/**
 * struct hca_message_qp - the transport's state of a queue pair
 *
 * The requester's: qp->lock.
 * @number: of the request at sq.head; one that takes no receive request leaves it to the next
 * @answered: bytes of the oldest unanswered request whose pieces were answered
 * @put_off: the request that is being carried was put off meanwhile
 * @begun: the request at sq.issue was carried, and is to be carried again, or on
 * @sent: bytes of it that the wire took before it took no more; the rest is carried when the wire is ready
 * @placing: bytes of an answer are being put into the oldest request's entries: it doesn't complete meanwhile
 * @failed: a request completed in error: the queue pair ends, and no answer counts any more; RC alone
 * @timing: an answer is missed when the timer is due; @armed: it runs; @renewed: it is of an answer that has come
 *
 * The responder's, by the thread that is at rx:
 * @expected: number of the request that comes next; @expected_off: its next piece, of the session @coming if it isn't the first
 *
 * @left: a message that completes when no thread uses the key it invalidated: a worker waits for that, not the thread that takes in
 *
 * These outlive a reset:
 * @session: of the requester
 * @refusing: atomic: @refusal is among what waits at rx
 */
struct hca_message_qp {
	u32 number;
	u32 answered; /* atomic */
	bool put_off;
	bool begun;
	u64 sent;
	bool placing;
	bool failed;
	bool timing;
	bool armed;
	bool renewed;
	void *const *
		peer; /* where the peer's adapter stands, if it is in this address space; else a place where none ever does */

	u32 expected;
	u64 expected_off;
	u32 coming;
	struct hca_message_left left;

	u32 session;
	u32 refusing;
	struct hca_message_late *refusal;
};

/** struct hca_transfer - a piece, with what stands behind it in this address space */
struct hca_transfer {
	struct hca_carried c;
	struct hca_sge_cursor data;
	const u8 *inline_data; /* or NULL: the bytes are at @data */
	bool by_place; /* the wire got the address of the piece, and @data is still at its beginning */
	hca_site_t site;
	struct hca_resp_finish finish; /* set by the responder; finish.qp is NULL before */
};

static inline struct hca_message_qp *hca_message_qp(const struct hca_qp *qp)
{
	return qp->carrier;
}

/* A request is given back though its responder may not have answered: its memory is the consumer's again. */
static inline void hca_message_withdraw(const struct hca_qp *qp)
{
	struct hca_wire *wire = qp->hca->wire;

	if (wire->ops->withdraw)
		wire->ops->withdraw(wire);
}

/* requester.c */
void hca_message_run(struct hca_qp *qp, hca_irqflags_t flags);
bool hca_message_timeout(struct hca_qp *qp);
void hca_message_answered(void *client, const struct hca_reply *r);

/* direct.c */
bool hca_message_at_once(struct hca_qp *qp, const struct hca_send_wr *wr, const struct hca_opcode *op, u64 bytes);

/* responder.c. It calls no handler: the wire's caller runs the event queue when it is outside (wire/wire.h). */
enum hca_answer hca_message_arrived(void *client, struct hca_carried *c, struct hca_reply *r);
bool hca_message_late(struct hca_qp *qp, struct hca_rx_node *node);
void hca_message_resume(struct hca_qp *qp);

/**
 * hca_message_grh() - the network's header of a datagram
 * @imm: it has immediate data
 * @out: zeroed before
 */
void hca_message_grh(const struct hca *hca, const struct hca_msg *m, bool imm, u8 out[HCA_GRH_BYTES]);

#endif
