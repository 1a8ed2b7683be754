/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Grace periods of an adapter; see quiesce.h. Called by whatever takes something away,
 * under no lock that a thread inside might want.
 */
#include "hca/quiesce.h"

/* So often a waiter only looks, and gives the processor up in between, before it turns the phase. */
#define LOOKS 100u

_Static_assert(HCA_SLOTS <= 64, "a set of slots is a u64");

void hca_quiesce_first(struct hca_quiesce *q, u32 slot)
{
	u32 top = hca_load(&q->top);

	while (top <= slot && hca_cmpxchg(&q->top, top, slot + 1) != top)
		top = hca_load(&q->top);
}

static bool phase_empty(const struct hca_quiesce *q, u32 slot, u32 phase)
{
	return !hca_load_acquire(&q->slot[slot].inside[phase & 1]);
}

/* Newcomers count in the other phase, so this ends however busy the adapter is. */
static void drain(struct hca_quiesce *q, u32 phase)
{
	u32 top = hca_load_acquire(&q->top);
	u32 turns = 0;
	u32 n;

	for (n = 0; n < top; n++)
		while (!phase_empty(q, n, phase))
			hca_relax(&turns);
}

/*
 * Both phases: a thread that read the phase long ago may count itself where newcomers stood then. A thread that
 * comes in once a phase is turned away from can hold us up but that one time.
 */
static void drive(struct hca_quiesce *q)
{
	int turn;

	hca_store(&q->periods, q->periods + 1);
	hca_mb_heavy();
	for (turn = 0; turn < 2; turn++) {
		u32 phase = hca_fetch_add(&q->phase, 1);

		hca_mb_heavy();
		drain(q, phase);
	}
	hca_store_release(&q->periods, q->periods + 1);
}

/*
 * A slot that was once seen empty holds no thread that was inside at the call. Return: those of the set that were not
 * seen empty now.
 */
static u64 still_used(const struct hca_quiesce *q, u64 slots)
{
	u64 left = 0;
	u32 n;

	for (n = 0; slots >> n; n++) {
		if (slots >> n & 1 && !(phase_empty(q, n, 0) && phase_empty(q, n, 1)))
			left |= 1ull << n;
		if (n == HCA_SLOTS - 1)
			break;
	}
	return left;
}

/* Return: the slots in which a thread may be that was inside when this was called. */
static u64 look(struct hca_quiesce *q)
{
	u32 top;

	/* A thread that uses its slot for the first time makes a full barrier; then one here is enough. */
	hca_mb();
	top = hca_load(&q->top);
	if (!top || (top == 1 && hca_slot() == 0))
		return still_used(q, top);
	hca_mb_heavy();
	top = hca_load_acquire(&q->top);
	return still_used(q, top == 64 ? ~0ull : (1ull << top) - 1);
}

void hca_quiesce_wait(struct hca_quiesce *q)
{
	u64 left = look(q);
	u32 turns = 0, want;
	hca_pin_t pin;

	while (left && turns < LOOKS) {
		hca_relax(&turns);
		left = still_used(q, left);
	}
	if (!left)
		return;
	/* A grace period that begins after this moment has ended when as many are counted. */
	want = (hca_load_acquire(&q->periods) + 3) & ~1u;
	turns = 0;
	while ((s32)(hca_load_acquire(&q->periods) - want) < 0) {
		bool mine;

		hca_pin(pin); /* other waiters may spin for us */
		mine = !hca_cmpxchg(&q->driven, 0u, 1u);
		if (mine) {
			if ((s32)(hca_load_acquire(&q->periods) - want) < 0)
				drive(q);
			hca_store_release(&q->driven, 0u);
		}
		hca_unpin(pin);
		if (!mine)
			hca_relax(&turns);
	}
}
