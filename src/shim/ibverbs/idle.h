/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A program that polls without an end may keep its peer from running, which is no adapter but a process: so a thread that polls in vain
 * offers its processor now and then. If others take it for long although what the thread waits for comes while it polls, its peer runs
 * elsewhere, and the offers become rarer. If all comes right after an offer, the peer needs this processor, and they are as often as at
 * first.
 */
#ifndef SHIM_IDLE_H
#define SHIM_IDLE_H

#include <stdbool.h>
#include <stdint.h>

/* Polls in vain until the processor is offered: at first; at most it is these, shifted by SHIM_IDLE_RAREST: some 3 ms. */
#define SHIM_IDLE_POLLS 64u
#define SHIM_IDLE_RAREST 10u

/* An offer that takes longer was taken, ns. A peer that only polls gives the processor back earlier. */
#define SHIM_IDLE_TAKEN 20000u

/* So many times in a row something came right after an offer, and not while the thread polled. */
#define SHIM_IDLE_TOGETHER 4u

/**
 * struct shim_idle - of a thread; begins as 0
 * @polls: in vain, since something came or the processor was offered
 * @rarer: offers come after SHIM_IDLE_POLLS << @rarer
 * @together: how often something came right after an offer, since something came while the thread polled
 * @offered: at the latest poll
 * @apart: since the last offer something came while the thread polled
 */
struct shim_idle {
	uint32_t polls;
	uint8_t rarer;
	uint8_t together;
	bool offered;
	bool apart;
};

/** shim_idle_got() - a poll wasn't in vain */
static inline void shim_idle_got(struct shim_idle *s)
{
	if (s->polls) {
		s->polls = 0;
		s->together = 0;
		s->apart = true;
	} else if (s->offered && ++s->together >= SHIM_IDLE_TOGETHER) {
		s->together = 0;
		s->rarer = 0;
	}
	s->offered = false;
}

/** shim_idle_empty() - a poll was in vain. Return: offer the processor now, and call shim_idle_offered() */
static inline bool shim_idle_empty(struct shim_idle *s)
{
	s->offered = false;
	return ++s->polls >= SHIM_IDLE_POLLS << s->rarer;
}

/** shim_idle_offered() - and it took so many ns */
static inline void shim_idle_offered(struct shim_idle *s, uint64_t ns)
{
	if (s->apart && ns > SHIM_IDLE_TAKEN && s->rarer < SHIM_IDLE_RAREST)
		s->rarer++;
	s->polls = 0;
	s->offered = true;
	s->apart = false;
}

#endif
