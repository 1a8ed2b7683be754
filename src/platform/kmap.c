/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Temporary mappings of pages: what a CPU needs to touch high memory. Called by the
 * software adapters around each copy and by other users of high memory pages.
 *
 * A page is shown in a slot of the machine's window and hidden again at once, so
 * that an address kept for too long faults instead of reading somebody else's
 * page; for the same reason a slot isn't used again before the others were.
 */
#include "platform.h"

#define MAX_NEST 16u
#define WORDS (KMAP_SLOTS / 64)

/* What this thread has mapped, in order. */
static _Thread_local struct {
	u32 depth;
	const void *at[MAX_NEST];
} nest;

int kmap_init(struct machine *m)
{
	m->kmap_used = hca_alloc(WORDS * sizeof(*m->kmap_used), HCA_MAY_SLEEP);
	if (!m->kmap_used)
		return -ENOMEM;
	m->kmap_window = hca_arena_reserve(KMAP_SLOTS * PAGE_SIZE);
	if (!m->kmap_window) {
		hca_free(m->kmap_used);
		return -ENOMEM;
	}
	return 0;
}

void kmap_fini(struct machine *m)
{
	hca_arena_release(m->kmap_window, KMAP_SLOTS * PAGE_SIZE);
	hca_free(m->kmap_used);
}

static u32 take_slot(struct machine *m)
{
	u32 slot = KMAP_SLOTS;
	hca_irqflags_t flags;
	u32 i;

	hca_spin_lock(&m->kmap_lock, flags);
	for (i = 0; i < KMAP_SLOTS; i++) {
		u32 s = (m->kmap_next + i) % KMAP_SLOTS;

		if (m->kmap_used[s / 64] >> s % 64 & 1)
			continue;
		m->kmap_used[s / 64] |= 1ull << s % 64;
		m->kmap_next = s + 1;
		slot = s;
		break;
	}
	hca_spin_unlock(&m->kmap_lock, flags);
	return slot;
}

static void give_slot(struct machine *m, u32 slot)
{
	hca_irqflags_t flags;

	hca_spin_lock(&m->kmap_lock, flags);
	m->kmap_used[slot / 64] &= ~(1ull << slot % 64);
	hca_spin_unlock(&m->kmap_lock, flags);
}

static bool slot_used(struct machine *m, u32 slot)
{
	hca_irqflags_t flags;
	bool used;

	hca_spin_lock(&m->kmap_lock, flags);
	used = m->kmap_used[slot / 64] >> slot % 64 & 1;
	hca_spin_unlock(&m->kmap_lock, flags);
	return used;
}

static void *show_page(struct machine *m, u64 off)
{
	u32 slot;
	u8 *at;

	if (HCA_WARN_ON(nest.depth == MAX_NEST))
		return NULL;
	slot = take_slot(m);
	if (slot == KMAP_SLOTS)
		return NULL;
	at = m->kmap_window + slot * PAGE_SIZE;
	if (hca_arena_show(at, m->arena, off, PAGE_SIZE, HCA_PROT_RW)) {
		give_slot(m, slot);
		return NULL;
	}
	nest.at[nest.depth++] = at;
	return at;
}

void *kmap_local_page(struct page *page)
{
	void *low = page_address(page);

	return low ? low : show_page(map_machine(page->map), page_index(page) << PAGE_SHIFT);
}

void *kmap_offset(struct machine *m, u64 off)
{
	off &= ~(u64)(PAGE_SIZE - 1);
	if (off >= m->map.all_bytes)
		return NULL;
	return off < m->map.low_bytes ? machine_bus_ptr(m, off) : show_page(m, off);
}

/* Out of order, or in another thread than it was mapped in, is wrong but can be survived. */
static void unnest(const void *at)
{
	u32 i = nest.depth;

	HCA_WARN_ON(!i || nest.at[i - 1] != at);
	while (i && nest.at[i - 1] != at)
		i--;
	if (!i)
		return;
	for (nest.depth--; i <= nest.depth; i++)
		nest.at[i - 1] = nest.at[i];
}

void kunmap_local(const void *addr)
{
	enum machine_part part;
	struct machine *m = machine_at(addr, &part);
	u32 slot;
	u8 *at;

	if (m && (part == MACHINE_LOW || part == MACHINE_BUS_VIEW))
		return;
	if (!m || part != MACHINE_KMAP) {
		HCA_WARN_ON(!m || part != MACHINE_KMAP);
		return;
	}
	slot = (u32)(((uintptr_t)addr - (uintptr_t)m->kmap_window) >> PAGE_SHIFT);
	at = m->kmap_window + slot * PAGE_SIZE;
	if (HCA_WARN_ON(!slot_used(m, slot)))
		return;
	unnest(at);
	/* Hidden before the slot is free: its next user's page must not vanish. */
	hca_arena_hide(at, PAGE_SIZE);
	give_slot(m, slot);
}
