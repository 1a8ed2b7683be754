/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Shared receive queues: requests that any of several queue pairs takes. What is posted
 * to one belongs to no queue pair before a message takes it, so a queue pair's error
 * flushes nothing of it (IBTA vol. 1, 10.2.9 and 10.3.1.5).
 */
#ifndef HCA_SRQ_H
#define HCA_SRQ_H

#include "hca/hca.h"
#include "hca/rq.h"

/** struct hca_srq - a shared receive queue */
struct hca_srq {
	struct hca_rq rq;
	struct hca *hca;
	struct hca_pd *pd;
	u32 users; /* atomic: queue pairs; of an XRC queue, messages that are coming in */
	struct hca_eq_node event;

	/* XRC (hca/xrc.h); NULL and 0 without */
	struct hca_xrcd *xrcd;
	struct hca_cq *cq;
	void *user;
	u32 number;
	struct hca_cq_source recvs; /* cq's lock */
};

/**
 * hca_srq_init() - a shared receive queue with these attributes, its limit armed if it isn't 0
 *
 * May sleep. Return: 0; -EINVAL: a size of 0 or beyond what there is, a limit beyond the size, another adapter's domain; -ENOMEM.
 */
int hca_srq_init(struct hca_srq *srq, struct hca *hca, struct hca_pd *pd, const struct hca_srq_attr *attr);

/**
 * hca_xrc_srq_init() - a shared receive queue of a domain
 * @cq: where what it receives completes
 * @user: comes back in these completions
 *
 * May sleep. Ends by hca_srq_fini(). Return: as hca_srq_init(); -ENOSPC: there are HCA_XRC_SRQS.
 */
int hca_xrc_srq_init(struct hca_srq *srq, struct hca *hca, struct hca_pd *pd, struct hca_xrcd *xrcd, struct hca_cq *cq,
		     void *user, const struct hca_srq_attr *attr);

/** hca_srq_fini() - what is posted is dropped. Return: 0; -EBUSY while queue pairs use it. Not from its event's handler. */
int hca_srq_fini(struct hca_srq *srq);

/**
 * hca_srq_modify() - resize it, arm its limit, or both
 * @mask: enum hca_srq_attr_mask
 *
 * An armed limit tells HCA_EVENT_SRQ_LIMIT_REACHED once, when fewer requests are left than it says, and is 0 from then on
 * (IBTA 10.2.9.3). May sleep. Return: 0; -EINVAL: a value that can't be, or more is posted than would fit; -ENOMEM. Then nothing
 * has changed.
 */
int hca_srq_modify(struct hca_srq *srq, const struct hca_srq_attr *attr, u32 mask);

/** hca_srq_query() - as it is now; a limit that was reached is 0 */
void hca_srq_query(struct hca_srq *srq, struct hca_srq_attr *attr);

/** hca_srq_post() - Return: 0; -EINVAL: entries; -ENOMEM: full. Any context. */
int hca_srq_post(struct hca_srq *srq, const struct hca_recv_wr *wr);

/** hca_srq_take() - the oldest request; its limit may be reached by it. Return: was there one? */
bool hca_srq_take(struct hca_srq *srq, struct hca_rwqe *out);

#endif
