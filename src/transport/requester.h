/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the requesters of both transports share: the checks before anything leaves, what
 * needs no wire, and how a queue pair fails. For the thread that holds qp->running.
 */
#ifndef TRANSPORT_REQUESTER_H
#define TRANSPORT_REQUESTER_H

#include "hca/qp.h"

/* Requests that one run carries out, or flushes, before a worker goes on with those of others. */
#define HCA_RUN_BUDGET 256u

/** hca_req_cursor() - the request's own entries, from their beginning */
void hca_req_cursor(struct hca_qp *qp, const struct hca_sqe *e, struct hca_sge_cursor *to);

/** hca_req_check() - may it leave: its length, its keys? From inside. */
enum hca_wc_status hca_req_check(const struct hca_qp *qp, const struct hca_sqe *e, struct hca_sge_cursor *data);

/** hca_req_is_silent() - a datagram that is longer than the port's MTU: nothing is sent, and no error is told (IBTA C10-93.1.1) */
static inline bool hca_req_is_silent(const struct hca_qp *qp, const struct hca_sqe *e)
{
	return hca_qp_is_datagram(qp->type) && e->len > 128ull << qp->hca->limits.max_mtu;
}

/** hca_req_local() - do what needs no wire; outside, no lock held */
enum hca_wc_status hca_req_local(struct hca_qp *qp, struct hca_sqe *e);

/** hca_req_fail() - a request of this queue ended in an error: so does the queue pair, or its send queue */
void hca_req_fail(struct hca_qp *qp);

/** hca_req_may_retry_rnr() - one more try after "not ready"; the lock is held */
bool hca_req_may_retry_rnr(struct hca_qp *qp);

/** hca_req_hand_over() - the budget is used up: a worker goes on. The lock is held, running isn't. */
void hca_req_hand_over(struct hca_qp *qp);

#endif
