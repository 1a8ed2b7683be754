/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The pointer rival: the DMA address of a page is the address of an allocated
 * {page, offset}; that of a buffer is virtual. A low bit can't tell the two apart,
 * since buffers may begin at any byte, so the structures come from one array and an
 * address inside it is one of theirs.
 *
 * Address + n is another structure's address, or none.
 */
#include "rival_slots.h"

static hca_dma_addr_t pointer_encode(const struct slots *s, u32 i)
{
	return hca_dma_addr((u64)(uintptr_t)&s->slot[i]);
}

static bool pointer_is_slot(const struct slots *s, hca_dma_addr_t addr)
{
	return hca_dma_u64(addr) - (uintptr_t)s->slot < RIVAL_ENTRIES * sizeof(*s->slot);
}

static u32 pointer_decode(const struct slots *s, hca_dma_addr_t addr)
{
	u64 at = hca_dma_u64(addr) - (uintptr_t)s->slot;

	return at % sizeof(*s->slot) ? SLOT_NONE : (u32)(at / sizeof(*s->slot));
}

static const struct slot_code code = {
	.encode = pointer_encode,
	.is_slot = pointer_is_slot,
	.decode = pointer_decode,
};

SLOTS_DEVICE(code)

const struct rival rival_pointer = { .name = "pointer", .create = create, .destroy = slots_destroy };
