/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The event queue: calls of the consumer's handlers, deferred until the engine holds
 * no lock and the thread is inside no adapter. Adapters that share a wire share one queue.
 *
 * So a handler may post, poll and modify, and one that posts to a queue pair whose
 * completion calls a handler that posts ... is a loop, not a recursion. The calls of one
 * node are made one at a time; those of different nodes may run in several threads at once.
 * A thread makes at most HCA_EQ_BUDGET calls; a worker makes the rest.
 */
#ifndef HCA_EQ_H
#define HCA_EQ_H

#include "os.h"

/* Calls that one hca_eq_run() makes. */
#define HCA_EQ_BUDGET 16u

/**
 * struct hca_eq_node - something that can have an event; embedded in a CQ, QP or SRQ
 * @fire: makes the calls. A node that is added again meanwhile fires again.
 *
 * The other fields are changed under the queue's lock.
 */
struct hca_eq_node {
	void (*fire)(struct hca_eq_node *node);
	struct hca_eq_node *next;
	struct hca_eq_node *prev;
	bool queued;
	bool firing;
	bool again; /* added while firing: its thread puts it back */
};

/**
 * struct hca_eq_runner - a thread of control that is making calls; on its stack. It also makes the calls that a handler's posts add.
 * @firing: the node whose handler it is in
 * @waits: the node that this handler cancels
 */
struct hca_eq_runner {
	struct hca_eq_runner *next;
	uintptr_t context;
	const struct hca_eq_node *firing;
	const struct hca_eq_node *waits;
};

struct hca_eq {
	struct hca_spinlock lock; /* what follows, but for @work */
	struct hca_eq_node *first; /* atomic: looked at without the lock */
	struct hca_eq_node *last;
	struct hca_eq_runner *runners;
	struct hca_work work;
};

/** hca_eq_init() - Return: 0 or -ENOMEM. May sleep. */
int hca_eq_init(struct hca_eq *eq);

/** hca_eq_fini() - no adapter uses it any more. May sleep. */
void hca_eq_fini(struct hca_eq *eq);

/** hca_eq_add() - the node has an event; any context. The caller, or another thread, runs or kicks the queue later. */
void hca_eq_add(struct hca_eq *eq, struct hca_eq_node *node);

/** hca_eq_run_some() - the rest of hca_eq_run() */
void hca_eq_run_some(struct hca_eq *eq);

/**
 * hca_eq_run() - make waiting calls, at most HCA_EQ_BUDGET; a worker makes the others
 *
 * From inside a handler it returns at once: the calls are made when that handler has returned. No lock held, not inside.
 */
static inline void hca_eq_run(struct hca_eq *eq)
{
	if (hca_unlikely(hca_load(&eq->first)))
		hca_eq_run_some(eq);
}

/**
 * hca_eq_turn() - make at most HCA_EQ_BUDGET calls, and leave the others to the caller's next turn
 *
 * For a queue that has threads of its own. Not from inside a handler, no lock held, not inside. Return: calls are left.
 */
bool hca_eq_turn(struct hca_eq *eq);

/** hca_eq_kick() - have a worker make the waiting calls. Any context. */
void hca_eq_kick(struct hca_eq *eq);

/**
 * hca_eq_cancel() - no call for the node begins after this, and none is under way when it returns
 *
 * May sleep. A handler may cancel other nodes, but not its own, and no two handlers each other's, in a circle of any length: each would
 * wait for the other's end. That is a bug of the consumer's, and reported as one (hca_bug()) where it would wait.
 */
void hca_eq_cancel(struct hca_eq *eq, struct hca_eq_node *node);

#endif
