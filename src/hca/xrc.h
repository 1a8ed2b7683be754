/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Extended reliable connections (IBTA vol. 1, annex A14): one connection from a process to
 * another one, and receive queues beside it that each message names by number. An
 * initiator (HCA_QPT_XRC_INI) only sends; a target (HCA_QPT_XRC_TGT) has no queues of its
 * own: what it takes in goes to the shared receive queue that the message names, if that
 * belongs to the target's domain.
 */
#ifndef HCA_XRC_H
#define HCA_XRC_H

#include "hca/srq.h"

/* The most shared receive queues with a number that an adapter has. */
#define HCA_XRC_SRQS 1024u

/** struct hca_xrcd - a domain: targets and shared receive queues that work together */
struct hca_xrcd {
	struct hca *hca;
	u32 users; /* atomic: queue pairs and shared receive queues */
};

/** hca_xrcd_init() - a domain of this adapter */
static inline void hca_xrcd_init(struct hca_xrcd *x, struct hca *hca)
{
	x->hca = hca;
	x->users = 0;
}

/** hca_xrcd_fini() - Return: 0; -EBUSY while something is in it */
static inline int hca_xrcd_fini(struct hca_xrcd *x)
{
	return hca_load_acquire(&x->users) ? -EBUSY : 0;
}

/** hca_xrc_table() - the table of numbers is there. May sleep. Return: 0, -ENOMEM */
int hca_xrc_table(struct hca *hca);

/** hca_xrc_publish() - give it a number, by which messages find it. Return: 0; -ENOSPC: there are HCA_XRC_SRQS */
int hca_xrc_publish(struct hca_srq *srq);

/* What users is of a queue that no message finds any more. */
#define HCA_XRC_ENDED (~0u)

/** hca_xrc_hold() - a message begins to come in to it: one more of its users. Inside. Return: false: it ends. */
bool hca_xrc_hold(struct hca_srq *srq);

/** hca_xrc_retract() - no message finds it any more. Return: 0; -EBUSY: one is coming in, and nothing has changed. May sleep. */
int hca_xrc_retract(struct hca_srq *srq);

/** hca_xrc_find() - the queue of this number, if it is of this domain; else NULL. Inside only. */
struct hca_srq *hca_xrc_find(const struct hca *hca, const struct hca_xrcd *xrcd, u32 number);

#endif
