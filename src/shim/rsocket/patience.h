/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How long a thread looks for what it waits for before it sleeps. To sleep and to be woken takes both ends longer than a message
 * does: so where the last wait was short the next one looks for longer. Where that was in vain, as it is if the other end needs this
 * thread's processor, it isn't tried again so soon.
 */
#ifndef SHIM_RSOCKET_PATIENCE_H
#define SHIM_RSOCKET_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

/* A look is without a pause at first, later each comes after RS_PAUSE ns: so they are for 15 us, or for 60 us, in all. */
#define RS_LOOKS_AT_ONCE 16u
#define RS_LOOKS 48u
#define RS_LOOKS_LONGER 144u
#define RS_PAUSE 450u

/* A sleep that is shorter could have been a look, ns. */
#define RS_SHORT_SLEEP 60000u

/* Short sleeps until it is tried again, at most. */
#define RS_MOST_TO_PASS 1023u

/**
 * struct rs_patience - of one that waits again and again; begins as 0
 * @longer: it looks for longer now
 * @to_pass: short sleeps that make no difference yet; @next_to_pass: how many the next time
 */
struct rs_patience {
	bool longer;
	unsigned int to_pass;
	unsigned int next_to_pass;
};

/** rs_patience_looks() - how often to look before it sleeps */
static inline unsigned int rs_patience_looks(const struct rs_patience *p)
{
	return p->longer ? RS_LOOKS_LONGER : RS_LOOKS;
}

/** rs_patience_found() - what it waits for was there after so many looks */
static inline void rs_patience_found(struct rs_patience *p, unsigned int looks)
{
	if (looks > RS_LOOKS && p->longer)
		p->next_to_pass = 0;
}

/** rs_patience_slept() - it looked in vain, and slept for so many ns */
static inline void rs_patience_slept(struct rs_patience *p, uint64_t ns)
{
	if (p->longer) {
		p->longer = false;
		p->next_to_pass = p->next_to_pass * 2 + 1 < RS_MOST_TO_PASS ? p->next_to_pass * 2 + 1 : RS_MOST_TO_PASS;
		p->to_pass = p->next_to_pass;
	} else if (ns <= RS_SHORT_SLEEP) {
		p->longer = !p->to_pass;
		p->to_pass -= p->to_pass ? 1 : 0;
	}
}

#endif
