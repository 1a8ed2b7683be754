/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The device's side of the software IOMMU: windows on memory by I/O address, and
 * waiting for those that are open. The engine comes here for each piece of a
 * transfer; it must never take a lock on its way to memory, nor sleep.
 *
 * A window is announced in a cell of its thread's slot, with a full barrier, before
 * anything is looked up. The thread that takes a mapping away clears its entries, and after a
 * full barrier looks at the cells: either it finds the announcement and waits, or
 * the window finds no mapping.
 */
#include "iommu.h"

/* Longest window: an unmap never waits longer than a copy of this takes. */
#define WINDOW_MAX (64ull << 10)

/* A cell, once its slot is one of those that are looked at. NULL if it is taken. */
static u32 *take_cell(struct iommu_domain *d, u32 slot, u32 at)
{
	u32 *cell = &d->slot[slot].cell[at];
	u32 v = hca_load(cell), top, found;

	if (v & 1)
		return NULL;
	top = hca_load(&d->top);
	while (hca_unlikely(slot >= top)) {
		found = hca_cmpxchg(&d->top, top, slot + 1);
		top = found == top ? slot + 1 : found;
	}
	return hca_cmpxchg(cell, v, v + 1) == v ? cell : NULL;
}

/* More threads or windows than there are cells: another slot's, and in the end a plain count of those who found none. */
static u32 *announce_elsewhere(struct iommu_domain *d, u32 slot)
{
	u32 i, at, *cell;

	for (i = 0; i < HCA_SLOTS; i++) {
		for (at = 0; at < IOMMU_WINDOWS; at++) {
			cell = take_cell(d, (slot + i) % HCA_SLOTS, at);
			if (cell)
				return cell;
		}
	}
	hca_fetch_add(&d->crowd, 1);
	return &d->crowd;
}

static u32 *announce(struct iommu_domain *d, u32 slot)
{
	u32 *cell = take_cell(d, slot, 0);

	return hca_likely(cell) ? cell : announce_elsewhere(d, slot);
}

static void withdraw(struct iommu_domain *d, u32 *cell)
{
	if (hca_likely(cell != &d->crowd))
		hca_store_release(cell, hca_load(cell) + 1);
	else
		hca_fetch_add(cell, (u32)-1);
}

void iommu_wait(struct iommu_domain *d)
{
	u32 top = hca_load_acquire(&d->top), i, k, v;
	const u32 *cell;

	for (i = 0; i < top; i++) {
		for (k = 0; k < IOMMU_WINDOWS; k++) {
			cell = &d->slot[i].cell[k];
			v = hca_load_acquire(cell);
			if (hca_likely(!(v & 1)))
				continue;
			while (hca_load_acquire(cell) == v)
				hca_pause();
		}
	}
	while (hca_unlikely(hca_load_acquire(&d->crowd)))
		hca_pause();
}

/* Lookups of one window; they go into the slot's counters together. */
struct tally {
	u32 hits;
	u32 misses;
};

/* The entry of a page, or 0; the caller is announced. */
static inline u64 translate(struct iommu_domain *d, struct tally *t, u64 vpn, u32 *unit)
{
	u64 gen = iommu_tlb_gen(&d->tlb);
	u64 pte = iommu_tlb_lookup(&d->tlb, vpn, gen, unit);

	if (hca_likely(pte)) {
		t->hits++;
		return pte;
	}
	t->misses++;
	pte = iommu_table_walk(&d->table, vpn, unit);
	if (pte)
		iommu_tlb_fill(&d->tlb, vpn, pte, *unit, gen);
	return pte;
}

/* Pages from @vpn on that its entry's unit still covers. */
static u64 unit_left(u64 vpn, u32 unit)
{
	return unit - (vpn & (unit - 1));
}

/* As many bytes more as the entries after the first lead to in one piece; @room bytes are there, @want are wanted. */
static u64 extend(struct iommu_domain *d, struct tally *t, u64 vpn, u64 pte, u64 room, u64 want, u32 access)
{
	u64 next, step;
	u32 unit;

	while (room < want && vpn < d->limit >> PAGE_SHIFT) {
		next = translate(d, t, ++vpn, &unit);
		pte += 1u << IOPTE_SHIFT;
		if (next >> IOPTE_SHIFT != pte >> IOPTE_SHIFT || access & ~(u32)next)
			break;
		step = unit_left(vpn, unit);
		room += step << PAGE_SHIFT;
		vpn += step - 1;
		pte += (step - 1) << IOPTE_SHIFT;
	}
	return room;
}

static int refuse(struct device *dev, u64 addr, enum hca_mem_op access, u64 pte)
{
	enum fault_reason why = FAULT_NO_WRITE;

	if (addr > dev->dma_mask)
		why = FAULT_BEYOND_MASK;
	else if (!pte)
		why = FAULT_NOT_MAPPED;
	else if (access & HCA_MEM_READ && !(pte & IOPTE_READ))
		why = FAULT_NO_READ;
	return fault_record(dev, hca_dma_addr(addr), access, why);
}

/* The first bytes of the range in one piece, by an announced caller. Return: the first page's entry, or 0. */
static inline u64 resolve(struct iommu_domain *d, struct tally *t, u64 addr, u64 *len, u32 access)
{
	u64 vpn = addr >> PAGE_SHIFT, pte, left, room;
	u32 unit;

	pte = translate(d, t, vpn, &unit);
	left = unit_left(vpn, unit);
	room = (left << PAGE_SHIFT) - addr % PAGE_SIZE;
	*len = HCA_MIN(*len, WINDOW_MAX);
	if (hca_likely(*len <= room) || access & ~(u32)pte)
		return pte;
	room = extend(d, t, vpn + left - 1, pte + ((left - 1) << IOPTE_SHIFT), room, *len, access);
	*len = HCA_MIN(*len, room);
	return pte;
}

int iommu_open(struct device *dev, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w)
{
	u32 bits = (u32)access >> HCA_MEM_OP_SHIFT; /* of an entry */
	struct iommu_domain *d = dev->platform;
	unsigned int slot = hca_slot();
	struct iommu_slot *s = &d->slot[slot];
	u64 a = hca_dma_u64(addr), pte;
	struct tally t = { 0, 0 };
	u32 *cell;

	if (hca_unlikely(a > d->limit))
		return refuse(dev, a, access, 0);
	cell = announce(d, slot);
	pte = resolve(d, &t, a, &len, bits);
	if (hca_likely(t.hits))
		iommu_count(&s->hits, t.hits);
	if (hca_unlikely(t.misses))
		iommu_count(&s->misses, t.misses);
	if (hca_unlikely(bits & ~(u32)pte)) {
		withdraw(d, cell);
		return refuse(dev, a, access, pte);
	}
	w->ptr = machine_bus_ptr(d->m, (pte >> IOPTE_SHIFT << PAGE_SHIFT) + a % PAGE_SIZE);
	w->len = len;
	w->cookie = (uintptr_t)cell;
	return 0;
}

void iommu_close(struct device *dev, struct hca_mem_view *w)
{
	withdraw(dev->platform, (u32 *)w->cookie);
}

u64 iommu_origin(struct device *dev, hca_dma_addr_t addr, u64 *len)
{
	struct iommu_domain *d = dev->platform;
	u64 a = hca_dma_u64(addr), vpn = a >> PAGE_SHIFT, off, room, pte, step;
	u32 unit;

	if (a > d->limit)
		return NO_MEMORY_HERE;
	pte = iommu_table_walk(&d->table, vpn, &unit);
	if (!pte)
		return NO_MEMORY_HERE;
	off = (pte >> IOPTE_SHIFT << PAGE_SHIFT) + a % PAGE_SIZE;
	step = unit_left(vpn, unit);
	for (room = (step << PAGE_SHIFT) - a % PAGE_SIZE; room < *len; room += step << PAGE_SHIFT) {
		vpn += step;
		if (vpn > d->limit >> PAGE_SHIFT)
			break;
		pte = iommu_table_walk(&d->table, vpn, &unit);
		if (!pte || pte >> IOPTE_SHIFT << PAGE_SHIFT != off + room)
			break;
		step = unit_left(vpn, unit);
	}
	*len = HCA_MIN(*len, room);
	return off;
}
