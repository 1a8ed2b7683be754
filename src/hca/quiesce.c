/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Grace periods of an adapter; see quiesce.h. Called by whatever takes something away,
 * under no lock that a thread inside might want.
 *
 * ORDER. A waiter has unpublished X. Then it makes a full fence, and looks who is inside.
 * A thread counts itself, and then looks X up. Call an entry dangerous if it may have
 * found X. What must hold: a waiter that has passed make_visible() sees the count of every
 * dangerous entry.
 *
 * (1) An entry that makes a full fence after it is counted. Of two threads that each
 * store, fence and load what the other one stored, one sees the other's store: the waiter
 * sees the count, or the entry finds X gone. This needs no more than the two fences,
 * on x86 as on arm64. Entries of a slot without hca_slot_light() are all of this kind, by
 * hca_slot_enter(); of the others those that find their slot FENCED or ASKED, and long ones.
 *
 * (2) A light entry: it read LIGHT, and made no fence.
 * - The waiter read LIGHT or ASKED. It makes a heavy barrier, which is a fence in every
 *   thread at some point of its program. If that point lies between count and look-up, or
 *   after both, the count is seen. If it lies before the count, X is found gone.
 * - The waiter read FENCED, and the entry read a LIGHT that was older. It was another waiter
 *   that wrote FENCED. That one wrote ASKED first, then made a heavy barrier, and then
 *   turned ASKED into FENCED. At the point of that barrier the entry had read LIGHT, or it
 *   would have read ASKED: so it was counted before, and its count was visible when FENCED was
 *   written. Our waiter reads FENCED by acquire, and then sees the count. (Or the slot's own
 *   thread wrote FENCED: by release, after all its light entries.)
 * - The waiter read FENCED, and the entry read a LIGHT that is newer. The slot's thread wrote
 *   LIGHT, and made a full fence before it looked anything up: in the very entry that
 *   wrote LIGHT, which lies before all entries that read it. The waiter unpublished X, fenced,
 *   and then didn't see LIGHT; as in (1) with LIGHT in the place of the count, everything after
 *   the thread's fence finds X gone. A slot that gets another owner is handed over in order.
 * So LIGHT is written over FENCED alone, by the slot's thread; ASKED over LIGHT alone, and
 * FENCED over ASKED, by the waiter that has fencing. A waiter that finds fencing taken makes a
 * heavy barrier of its own, and changes nothing.
 *
 * (3) Which slots there are. A new slot is FENCED, and its first entry raises top before its
 * fence. A waiter that reads a smaller top after its own fence doesn't see that entry, which is
 * no dangerous one, as in (1) with top in the place of the count; nor are later ones of the slot.
 *
 * Counts of dangerous entries being visible, a counter that is read as 0 once, however late, counts
 * no dangerous entry any more: each of those that it counted has left, and leaving is a release. The two
 * counters of a slot need not be 0 at the same time. So phases are there for progress only, and need no
 * barrier at all.
 */
#include "hca/quiesce.h"

_Static_assert(HCA_SLOTS <= 64, "a set of slots is a u64");
_Static_assert((s32)HCA_QUIESCE_FENCED <= 0 && (s32)HCA_QUIESCE_ASKED <= 0, "no entry is light");

/* Counters that weren't seen empty: by phase, a bit a slot. */
struct left {
	u64 in[2];
};

void hca_quiesce_first(struct hca_quiesce *q, u32 slot)
{
	u32 top = hca_load(&q->top);

	while (top <= slot && hca_cmpxchg(&q->top, top, slot + 1) != top)
		top = hca_load(&q->top);
}

/* Waits that come again and again keep the slot fenced: no more than the first of them makes a heavy barrier. */
static bool may_be_light(const struct hca_quiesce *q, struct hca_quiesce_slot *s)
{
	u32 waits;

	if (s->left) {
		s->left--;
		return false;
	}
	s->left = q->stay;
	waits = hca_load(&q->waits);
	if (s->waits == waits)
		return true;
	s->waits = waits;
	return false;
}

void hca_quiesce_fence(struct hca_quiesce *q, u32 slot, u32 bytes)
{
	struct hca_quiesce_slot *s = &q->slot[slot];
	u32 light = hca_load(&s->light);

	if (hca_unlikely(slot >= hca_load(&q->top)))
		hca_quiesce_first(q, slot);
	if (bytes >= HCA_QUIESCE_LONG) {
		s->left = q->stay;
		if (light == HCA_QUIESCE_LIGHT)
			hca_store_release(&s->light, HCA_QUIESCE_FENCED);
	} else if (light == HCA_QUIESCE_FENCED && may_be_light(q, s)) {
		hca_store(&s->light, HCA_QUIESCE_LIGHT);
	}
	hca_mb(); /* of the entry, and of LIGHT: see (1) and (2) above */
}

static u64 used(const struct hca_quiesce *q)
{
	u32 top = hca_load_acquire(&q->top);

	return top >= 64 ? ~0ull : (1ull << top) - 1;
}

/* Entries of the waiter's own slot are its own, if that slot can be light at all. */
static bool needs_heavy(const struct hca_quiesce *q, u32 n)
{
	return hca_load_acquire(&q->slot[n].light) != HCA_QUIESCE_FENCED && n != hca_slot();
}

/* From now on no entry is made without a fence, and those that were are visible. */
static void make_fenced(struct hca_quiesce *q, u64 slots)
{
	bool ours = !hca_cmpxchg(&q->fencing, 0u, 1u);
	u32 n;

	for (n = 0; ours && n < HCA_SLOTS; n++)
		if (slots >> n & 1)
			(void)hca_cmpxchg(&q->slot[n].light, HCA_QUIESCE_LIGHT, HCA_QUIESCE_ASKED);
	hca_mb_heavy();
	for (n = 0; ours && n < HCA_SLOTS; n++)
		if (slots >> n & 1)
			(void)hca_cmpxchg(&q->slot[n].light, HCA_QUIESCE_ASKED, HCA_QUIESCE_FENCED);
	if (ours)
		hca_store_release(&q->fencing, 0u);
}

/* What the caller has unpublished before is found by no entry that isn't counted when this returns. */
static void make_visible(struct hca_quiesce *q)
{
	u64 slots, light = 0;
	u32 n;

	hca_fetch_add(&q->waits, 1);
	hca_mb();
	slots = used(q);
	for (n = 0; n < HCA_SLOTS && slots >> n; n++)
		light |= (u64)needs_heavy(q, n) << n;
	if (hca_unlikely(light))
		make_fenced(q, light);
}

/* Return: is one of these counters still not seen empty? */
static bool look(const struct hca_quiesce *q, struct left *l)
{
	u32 n, phase;

	for (phase = 0; phase < 2; phase++)
		for (n = 0; n < HCA_SLOTS && l->in[phase] >> n; n++)
			if (l->in[phase] >> n & 1 && !hca_load_acquire(&q->slot[n].inside[phase]))
				l->in[phase] &= ~(1ull << n);
	return l->in[0] || l->in[1];
}

static void drain(const struct hca_quiesce *q, struct left *l, u32 phase)
{
	u32 turns = 0;

	while (look(q, l) && l->in[phase])
		hca_relax(&turns);
}

/*
 * The other phase first, which newcomers don't count in, but for a thread that read the phase before it was turned
 * last; each thread can hold us up so but once. Then newcomers are turned there, and the same goes for this phase.
 * Both together last as long as two sections at most, and one mostly, however busy the adapter is.
 */
static void drive(struct hca_quiesce *q)
{
	struct left l;
	u32 phase;

	hca_store(&q->periods, q->periods + 1);
	/* Who waits for this period has read periods before it began, with all it must wait for visible. */
	hca_mb();
	phase = hca_load(&q->phase) & 1;
	l.in[0] = l.in[1] = used(q);
	drain(q, &l, !phase);
	if (l.in[phase]) {
		hca_fetch_add(&q->phase, 1);
		drain(q, &l, phase);
	}
	hca_store_release(&q->periods, q->periods + 1);
}

void hca_quiesce_wait(struct hca_quiesce *q)
{
	hca_quiesce_wait_of(q, HCA_SHARE_ALL);
}

void hca_quiesce_wait_of(struct hca_quiesce *q, u32 lid)
{
	u32 turns = 0, want;
	struct left l;
	hca_pin_t pin;

	if (lid)
		hca_share_settle(q->share, lid);
	make_visible(q);
	l.in[0] = l.in[1] = used(q);
	if (!look(q, &l))
		return;
	hca_mb();
	/* A grace period that begins after this moment has ended when as many are counted. */
	want = (hca_load_acquire(&q->periods) + 3) & ~1u;
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
		/* While others drive, what we wait for may have ended. */
		if (!mine && look(q, &l))
			hca_relax(&turns);
		else if (!mine)
			return;
	}
}
