/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The event queue: calls of the consumer's handlers, put off until the engine holds
 * no lock and is inside nothing.
 *
 * So a handler may post, poll and modify, and one that posts to a queue pair whose
 * completion calls a handler that posts ... is a loop and no recursion. A node's calls
 * are made one at a time; those of different nodes go on in several threads at once.
 */
#ifndef HCA_EQ_H
#define HCA_EQ_H

#include "os.h"

/**
 * struct hca_eq_node - something that can have an event; embedded in a CQ, QP or SRQ
 * @fire: makes the calls. What is added again meanwhile fires again.
 *
 * The other fields are changed under the queue's lock.
 */
struct hca_eq_node {
	void (*fire)(struct hca_eq_node *node);
	struct hca_eq_node *next;
	bool queued;
	bool firing;
	bool again; /* added while firing: its thread puts it back */
};

/**
 * struct hca_eq - the nodes that wait
 * @busy: a thread of this slot is making calls, and will find what is added meanwhile. Only so can a handler's own
 *	posts be told from other threads'.
 */
struct hca_eq {
	struct hca_spinlock lock; /* what follows */
	struct hca_eq_node *first; /* atomic: looked at without the lock */
	struct hca_eq_node *last;
	bool busy[HCA_SLOTS];
};

void hca_eq_init(struct hca_eq *eq);

/** hca_eq_add() - the node has something to tell; any context */
void hca_eq_add(struct hca_eq *eq, struct hca_eq_node *node);

/**
 * hca_eq_run() - make the calls that wait
 *
 * From inside a handler it returns at once: the calls are made when that handler has returned. No lock held, not inside.
 */
void hca_eq_run(struct hca_eq *eq);

/** hca_eq_cancel() - no call for the node begins after this, and none is under way when it returns. Not from its handler. */
void hca_eq_cancel(struct hca_eq *eq, struct hca_eq_node *node);

#endif
