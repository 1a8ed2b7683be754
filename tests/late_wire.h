/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A wire of messages for tests whose answers come later, as between processes: what takes a receive request is copied and
 * queued, and its reply is queued too; all of it moves in order, from the event queue or a step at a time. One-sided pieces are
 * answered at once, or later as well. Nothing is lost unless it's told to be mute.
 */
#ifndef LATE_WIRE_H
#define LATE_WIRE_H

#include "hca/eq.h"
#include "hca/opcode.h"
#include "wire/wire.h"

#define LATE_PORTS 8u

struct late_item;

/**
 * struct late_wire
 * @held: nothing moves but by late_step()
 * @one_sided_late: reads, writes and atomics are answered later too
 * @at_once: so many of the pieces that would be answered later are answered at once all the same
 * @room: pieces that may be on their way at once; one more is told to come later; 0: any number
 * @mute: replies that are made from now on get lost
 * @on_answer: called for each answer that an adapter gives, before it is on its way; NULL: nobody looks
 * @pieces: that were sent, @replies: that were brought; @waiting: what is on its way, pieces and replies
 */
struct late_wire {
	struct hca_wire wire;
	struct hca_eq eq; /* of the adapters on it, and of what it brings */
	struct hca_eq_node node;

	struct hca_spinlock lock; /* what follows */
	struct late_port {
		const struct hca_wire_client *ops;
		void *client;
		u32 used; /* calls of the client are under way */
	} port[LATE_PORTS];
	struct late_item *first;
	struct late_item *last;
	bool held;
	bool one_sided_late;
	bool mute;
	u32 at_once;
	void (*on_answer)(const struct hca_reply *r);
	u32 room;
	u32 crowd; /* pieces on their way */
	bool wanted; /* one was told to come later */
	u32 later; /* how often that was said */
	u32 pieces;
	u32 replies;
	u32 waiting;
};

/** late_open() - Return: 0 or -ENOMEM */
int late_open(struct late_wire *w);

/** late_close() - nobody is attached; what is on its way is gone */
void late_close(struct late_wire *w);

/** late_step() - the oldest piece or reply arrives. Return: was there one? While the wire is held, by one thread. */
bool late_step(struct late_wire *w);

/** late_forget() - what is on its way is lost */
void late_forget(struct late_wire *w);

/** late_let_go() - all that waits arrives, and what is sent from now on moves by itself */
void late_let_go(struct late_wire *w);

#endif
