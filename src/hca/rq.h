/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Queues of receive work requests: a queue pair's own, or a shared one (SRQ).
 * Posting and taking may be done in any context.
 */
#ifndef HCA_RQ_H
#define HCA_RQ_H

#include "hca/wr.h"

/** struct hca_rwqe - a receive request in the queue */
struct hca_rwqe {
	u64 wr_id;
	u64 room; /* bytes of all its entries */
	hca_site_t site;
	u32 num_sge;
	u32 pad;
	struct hca_sge sge[];
};

struct hca_rq {
	u32 size; /* entries */
	u32 max_sge;
	u32 stride; /* bytes of an entry */
	struct hca_spinlock lock; /* what follows */
	u8 *ring;
	u32 head; /* the next to be taken; counts up to twice the size, so that full and empty differ */
	u32 tail;
	u32 limit; /* SRQ: an event when fewer than this are left; 0: none asked for */
};

/** hca_rq_init() - Return: 0, -EINVAL, -ENOMEM; a queue of size 0 takes nothing. May sleep. */
int hca_rq_init(struct hca_rq *rq, u32 size, u32 max_sge);
void hca_rq_fini(struct hca_rq *rq);

/** hca_rq_post() - Return: 0; -EINVAL: too many entries, or more bytes than a message can have; -ENOMEM: full */
int hca_rq_post(struct hca_rq *rq, const struct hca_recv_wr *wr);

/**
 * hca_rq_take() - the oldest request
 * @out: room for an entry of this queue: hca_rq_entry_bytes()
 * @limit_hit: the queue fell below its limit with this one; the limit is disarmed (IBTA 10.2.9.3). May be NULL.
 *
 * Return: was there one?
 */
bool hca_rq_take(struct hca_rq *rq, struct hca_rwqe *out, bool *limit_hit);

/** hca_rq_drop() - forget what is in it */
void hca_rq_drop(struct hca_rq *rq);

/** hca_rq_arm() - the limit of hca_rq_take(); 0: none */
void hca_rq_arm(struct hca_rq *rq, u32 limit);

/** hca_rq_query() - the size and the limit that is armed */
void hca_rq_query(struct hca_rq *rq, u32 *size, u32 *limit);

/** hca_rq_resize() - keeps what is in it. Return: 0; -EINVAL: more are in it; -ENOMEM. May sleep. */
int hca_rq_resize(struct hca_rq *rq, u32 size);

static inline u32 hca_rq_entry_bytes(u32 max_sge)
{
	return (u32)(sizeof(struct hca_rwqe) + max_sge * sizeof(struct hca_sge));
}

#endif
