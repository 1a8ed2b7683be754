/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The index rival: the DMA address of a page is an index into a table of {page,
 * offset}, under the tag that no virtual address has; that of a buffer is virtual.
 *
 * Address + n is another page's address. (Index and offset packed into one number
 * would survive addition, and still pay for an entry at each map and a look at the
 * table at each access; a physical address is such a number without a table.)
 */
#include "dma/addr.h"
#include "rival_slots.h"

static hca_dma_addr_t index_encode(const struct slots *s, u32 i)
{
	(void)s;
	return hca_tag_addr(i);
}

static bool index_is_slot(const struct slots *s, hca_dma_addr_t addr)
{
	(void)s;
	return hca_addr_tagged(addr);
}

static u32 index_decode(const struct slots *s, hca_dma_addr_t addr)
{
	u64 i = hca_tag_phys(addr);

	(void)s;
	return i < RIVAL_ENTRIES ? (u32)i : SLOT_NONE;
}

static const struct slot_code code = {
	.encode = index_encode,
	.is_slot = index_is_slot,
	.decode = index_decode,
};

SLOTS_DEVICE(code)

const struct rival rival_index = { .name = "index", .create = create, .destroy = slots_destroy };
