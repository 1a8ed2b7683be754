/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Waiting for who is inside the engine; see quiesce.h. Called by whoever takes
 * something away, under no lock that somebody inside might want.
 */
#include "hca/quiesce.h"

/* Newcomers count in the other phase, so this ends however busy the engine is. */
static void drain(struct hca_quiesce *in, u32 phase)
{
	u32 top = hca_load_acquire(&in->top);
	u32 n;

	for (n = 0; n < top; n++)
		while (hca_load_acquire(&in->slot[n].inside[phase & 1]))
			hca_pause();
}

void hca_quiesce_wait(struct hca_quiesce *in)
{
	hca_irqflags_t flags;
	int turn;

	hca_spin_lock(&in->wait_lock, flags);
	/*
	 * Both phases, for whoever is inside may stand in either: one that read the phase long ago counts itself where
	 * newcomers stood then. Who comes in once a phase is turned away from can't hold us up but that one time.
	 */
	for (turn = 0; turn < 2; turn++) {
		u32 phase = hca_fetch_add(&in->phase, 1);

		drain(in, phase);
	}
	hca_spin_unlock(&in->wait_lock, flags);
}
