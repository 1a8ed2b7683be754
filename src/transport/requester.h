/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the requesters of both transports share: the checks before a request is sent, requests that
 * need no wire, and how a queue pair fails. For the thread that holds qp->running.
 */
#ifndef HCA_TRANSPORT_REQUESTER_H
#define HCA_TRANSPORT_REQUESTER_H

#include "hca/qp.h"

/* Requests that one run carries out, or flushes, before a worker goes on with those of others. */
#define HCA_RUN_BUDGET 256u

#define HCA_NOT_NOW_NS 50000u

/** hca_req_cursor() - the request's own entries, from their beginning */
static inline void hca_req_cursor(struct hca_qp *qp, const struct hca_sqe *e, struct hca_sge_cursor *to)
{
	to->mem = qp->hca->mem;
	to->keys = &qp->hca->keys;
	to->pd = qp->pd->number;
	to->qpn = qp->qpn;
	to->access = e->op->local;
	to->sge = e->sge;
	to->num_sge = e->wr.num_sge;
	to->off = 0;
	to->entry = NULL;
}

/** hca_req_refuse() - the request ends in @status; why is noted, and said with what is wrong with @data. From inside. Return: @status */
enum hca_wc_status hca_req_refuse(const struct hca_qp *qp, struct hca_sqe *e, const struct hca_sge_cursor *data,
				  enum hca_wc_status status, enum hca_vendor_err why) HCA_COLD;

/** hca_req_check() - check its length and keys before it is sent. From inside. */
static inline enum hca_wc_status hca_req_check(const struct hca_qp *qp, struct hca_sqe *e, struct hca_sge_cursor *data)
{
	if (hca_unlikely(e->len > HCA_MAX_MSG || (e->op->flags & HCA_OP_ATOMIC && e->len != sizeof(u64))))
		return hca_req_refuse(qp, e, data, HCA_WC_LOC_LEN_ERR, HCA_VENDOR_LENGTH);
	/* A queue pair that was made for no reads can't send one (IBTA 11.2.5.2). */
	if (hca_unlikely(e->op->flags & HCA_OP_READS && !qp->attr.max_rd_atomic))
		return hca_req_refuse(qp, e, data, HCA_WC_LOC_QP_OP_ERR, HCA_VENDOR_NO_READS);
	/* A source address that was removed since the path was made. */
	if (hca_unlikely(hca_qp_is_datagram(qp->type)) && e->wr.ud.is_global &&
	    !hca_gid_at(&qp->hca->gids, e->wr.ud.grh.sgid_index))
		return hca_req_refuse(qp, e, data, HCA_WC_LOC_QP_OP_ERR, HCA_VENDOR_GID);
	if (!(e->wr.flags & HCA_SEND_INLINE) && hca_sge_check(data, ~0ull))
		return hca_req_refuse(qp, e, data, HCA_WC_LOC_PROT_ERR, HCA_VENDOR_KEY);
	return HCA_WC_SUCCESS;
}

/** hca_req_is_silent() - a datagram that is longer than the port's MTU: nothing is sent, and no error is reported (IBTA C10-93.1.1) */
static inline bool hca_req_is_silent(const struct hca_qp *qp, const struct hca_sqe *e)
{
	return hca_qp_is_datagram(qp->type) && e->len > 128ull << qp->hca->limits.max_mtu;
}

/**
 * hca_req_local() - carry out a request that needs no wire; outside, no lock held
 * @status: set to its result
 *
 * Return: false: not now, as another context is at the same object. Nothing has changed. It is tried again HCA_NOT_NOW_NS later:
 * we may have interrupted that one, so we can't wait for it here.
 */
bool hca_req_local(struct hca_qp *qp, struct hca_sqe *e, enum hca_wc_status *status);

/** struct hca_failure - a request that ended in an error, when it has left its queue */
struct hca_failure {
	u64 wr_id;
	const struct hca_opcode *op;
	hca_site_t site;
	u8 status;
	u8 why;
};

/** hca_req_failure() - what is to be kept of a request that leaves its queue with @status, an error; the lock is held */
struct hca_failure hca_req_failure(const struct hca_sqe *e, enum hca_wc_status status);

/** hca_req_fail() - a request of this queue ended in an error: so does the queue pair, or its send queue. No lock held. */
void hca_req_fail(struct hca_qp *qp, const struct hca_failure *f);

/** hca_req_may_retry_rnr() - is another try allowed after an RNR NAK? The lock is held. */
bool hca_req_may_retry_rnr(struct hca_qp *qp);

/** hca_req_may_retry() - one more try after an answer was missed; the lock is held */
bool hca_req_may_retry(struct hca_qp *qp);

/** hca_req_repeated() - count a try, for those who look from outside; the lock is held */
void hca_req_repeated(struct hca_qp *qp);

/**
 * hca_req_block() - the wire takes nothing now: the queue pair waits until its ready is called
 * @calls: hca->ready_calls before the wire was asked: if it has called since, it may take something by now, and nothing is done
 *
 * Its lock may be held.
 */
void hca_req_block(struct hca_qp *qp, u32 calls);

/** hca_req_unblock() - it doesn't wait any more. Its lock may be held. */
void hca_req_unblock(struct hca_qp *qp);

/** hca_req_ready() - of the wire's client: waiting queue pairs continue */
void hca_req_ready(void *client);

/** hca_req_hand_over() - the budget is used up: a worker continues. The lock is held, running isn't. */
void hca_req_hand_over(struct hca_qp *qp);

#endif
