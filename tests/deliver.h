/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Threads that bring the packets of a lossy wire, several at once; on the user os layer. */
#ifndef DELIVER_H
#define DELIVER_H

#include "hca/cq.h"
#include "lossy_wire.h"

/** deliver_start() - SOFTHCA_DELIVERERS threads (2) bring what is sent over @w from now on, and no other does. Return: 0, -ENOMEM, -EAGAIN. */
int deliver_start(struct lossy_wire *w);

/** deliver_stop() - the threads have ended. Adapters are detached. */
void deliver_stop(struct lossy_wire *w);

/** deliver_settle() - return when nothing is under way but what waits for time: no packet, no handler, no work. In a thread of those: at once. */
void deliver_settle(void);

/** deliver_sleep() - so much time passes: what is due in it runs, each at its time and when what it set off has ended */
void deliver_sleep(u64 ns);

/**
 * deliver_clock_next() - run the next timer's callback, at its time. Nothing else moves the clock: see deliver_clock.c.
 * @until: not beyond this time; ~0: whenever that is. If none is due before it, it is that time.
 *
 * Return: whether one ran.
 */
bool deliver_clock_next(u64 until);

/** deliver_pause() - hca_pause(), by which a thread of deliver_beside() says that it waits */
void deliver_pause(void);

#define DELIVER_THREADS 16u

/** deliver_beside() - @n threads, beside each other; time goes on when they all wait, and packets, handlers and work have come to rest. Return: 0, -EAGAIN: one can't be had. */
int deliver_beside(u32 n, void (*const fns[])(void *arg), void *const args[]);

#endif
