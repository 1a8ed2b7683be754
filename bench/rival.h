/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The rivals: other answers to what a mapped address is on an adapter that copies.
 * Each is a device with its own ops and accessor, made for measurement and to show
 * which habits of upper layers it breaks; tests/test_rivals.c says which. Built as
 * well as its idea allows: one lock for a whole list, and no allocator on the way.
 */
#ifndef RIVAL_H
#define RIVAL_H

#include "ib/ib_private.h"

/* Mapped entries of lists (and pages, where they take one) that a device can hold; beyond that maps fail with -ENOMEM. */
#define RIVAL_ENTRIES 65536u

/** struct rival - how to make one; @create and @destroy as ipath_create() and ipath_destroy() */
struct rival {
	const char *name;
	int (*create)(struct device *dma_device, const char *name, const struct ib_dma_config *config,
		      struct ib_device **out);
	u64 (*destroy)(struct ib_device *dev);
};

/* A list entry's virtual address in a hash by the address of its struct scatterlist; high memory is refused. */
extern const struct rival rival_buddy;
/* A page's address is that of an allocated {page, offset}. */
extern const struct rival rival_pointer;
/* A page's address is an index into a table of {page, offset}. */
extern const struct rival rival_index;

/** rival_virt() - the adapter touches @len bytes at a virtual address. Return: 0 or -EFAULT */
static inline int rival_virt(const struct machine *m, hca_dma_addr_t addr, u64 len, struct hca_mem_view *w)
{
	u64 off = hca_dma_u64(addr) - m->map.virt;

	if (!hca_dma_in_range(off, len, m->map.low_bytes))
		return -EFAULT;
	w->ptr = machine_bus_ptr(m, off);
	w->len = len;
	w->cookie = 0;
	return 0;
}

/** rival_entry() - the check that a list's entries still need. Return: 0, its offset in *@off; -EINVAL, -EFAULT */
static inline int rival_entry(const struct machine *m, const struct scatterlist *sg, int dir, u64 *off)
{
	if (hca_unlikely(!sg))
		return -EINVAL;
	*off = sg_entry_offset(m, sg);
	return hca_dma_check(&m->space, *off, sg->length, dir);
}

#endif
