/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the pointer and the index rival share: a table of {page, offset} structures,
 * its free ones on a stack, and the ops over it. They differ in how a structure is
 * written as an address, which each brings in a struct slot_code of constants.
 *
 * A list's addresses are kept in the platform's mapped fields, which this device
 * doesn't use otherwise: nothing faster could be found. Buffers by virtual address
 * (map_single) stay virtual, so an accessor must be able to tell the two apart.
 */
#ifndef RIVAL_SLOTS_H
#define RIVAL_SLOTS_H

#include "rival.h"

#define SLOT_NONE (~0u)

/* struct slot - @page is NULL while it is free */
struct slot {
	struct page *page;
	u32 offset;
};

struct slots {
	struct ib_device ib;
	struct hca_mem mem;
	struct slot *slot;
	struct hca_spinlock lock; /* slot, stack, free */
	u32 *stack;
	u32 free;
};

/**
 * struct slot_code - slots as addresses
 * @encode: the address of slot @i
 * @is_slot: is it the address of a slot, and not a virtual one?
 * @decode: the slot of such an address, SLOT_NONE for a damaged one
 */
struct slot_code {
	hca_dma_addr_t (*encode)(const struct slots *s, u32 i);
	bool (*is_slot)(const struct slots *s, hca_dma_addr_t addr);
	u32 (*decode)(const struct slots *s, hca_dma_addr_t addr);
};

#define SLOT_INLINE static inline __attribute__((always_inline))

SLOT_INLINE struct slots *to_slots(struct ib_device *dev)
{
	return hca_container_of(dev, struct slots, ib);
}

SLOT_INLINE u32 slot_push(struct slots *s, u32 i)
{
	/* What was unmapped twice, or mapped over, isn't there any more. */
	if (i == SLOT_NONE || !s->slot[i].page)
		return 0;
	s->slot[i].page = NULL;
	s->stack[s->free++] = i;
	return 1;
}

SLOT_INLINE u32 slot_pop(struct slots *s, struct page *page, u32 offset)
{
	u32 i;

	if (hca_unlikely(!s->free))
		return SLOT_NONE;
	i = s->stack[--s->free];
	s->slot[i].page = nth_page(page, offset / PAGE_SIZE);
	s->slot[i].offset = offset % PAGE_SIZE;
	return i;
}

SLOT_INLINE dma_addr_t slots_map_page(struct ib_device *dev, struct page *page, u64 offset, const struct slot_code *c)
{
	struct slots *s = to_slots(dev);
	hca_irqflags_t flags;
	u32 i;

	hca_spin_lock(&s->lock, flags);
	i = slot_pop(s, page, (u32)offset);
	hca_spin_unlock(&s->lock, flags);
	return i == SLOT_NONE ? hca_dma_error(-ENOMEM) : c->encode(s, i);
}

SLOT_INLINE void slots_unmap_page(struct ib_device *dev, dma_addr_t addr, const struct slot_code *c)
{
	struct slots *s = to_slots(dev);
	hca_irqflags_t flags;

	if (!c->is_slot(s, addr))
		return;
	hca_spin_lock(&s->lock, flags);
	slot_push(s, c->decode(s, addr));
	hca_spin_unlock(&s->lock, flags);
}

/* The lock is held. */
SLOT_INLINE void slots_put_list(struct slots *s, struct scatterlist *sg, int n, const struct slot_code *c)
{
	int i;

	for (i = 0; i < n && sg; i++, sg = sg_next(sg)) {
		dma_addr_t addr = sg_dma_address(sg);

		if (hca_likely(c->is_slot(s, addr)))
			slot_push(s, c->decode(s, addr));
	}
}

SLOT_INLINE int slots_map_sg(struct ib_device *dev, struct scatterlist *sgl, int nents, int dir,
			     const struct slot_code *c)
{
	const struct machine *m = dev->dma_device->machine;
	struct slots *s = to_slots(dev);
	struct scatterlist *sg = sgl;
	hca_irqflags_t flags;
	int err = 0, n;
	u64 off;
	u32 i;

	hca_spin_lock(&s->lock, flags);
	for (n = 0; n < nents; n++, sg = sg_next(sg)) {
		err = rival_entry(m, sg, dir, &off);
		if (hca_unlikely(err))
			break;
		i = slot_pop(s, sg_page(sg), sg->offset);
		if (hca_unlikely(i == SLOT_NONE)) {
			err = -ENOMEM;
			break;
		}
		sg_set_mapped(sg, c->encode(s, i), sg->length);
	}
	if (hca_unlikely(err))
		slots_put_list(s, sgl, n, c);
	hca_spin_unlock(&s->lock, flags);
	return err ? err : nents;
}

SLOT_INLINE void slots_unmap_sg(struct ib_device *dev, struct scatterlist *sgl, int nents, const struct slot_code *c)
{
	struct slots *s = to_slots(dev);
	hca_irqflags_t flags;

	hca_spin_lock(&s->lock, flags);
	slots_put_list(s, sgl, nents, c);
	hca_spin_unlock(&s->lock, flags);
}

/* Low memory is shown whole; of high memory one page, and then the engine asks for that many bytes further on. */
SLOT_INLINE int slots_open(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, struct hca_mem_view *w,
			   const struct slot_code *c)
{
	struct slots *s = hca_container_of(mem, struct slots, mem);
	const struct machine *m = s->ib.dma_device->machine;
	struct slot at = { 0 };
	hca_irqflags_t flags;
	char *page;
	u32 i;

	if (!c->is_slot(s, addr))
		return rival_virt(m, addr, len, w);
	hca_spin_lock(&s->lock, flags);
	i = c->decode(s, addr);
	if (i != SLOT_NONE)
		at = s->slot[i];
	hca_spin_unlock(&s->lock, flags);
	if (!at.page)
		return -EFAULT;
	page = page_address(at.page);
	if (page)
		return rival_virt(m, hca_dma_addr((u64)(uintptr_t)page + at.offset), len, w);
	page = kmap_local_page(at.page);
	if (!page)
		return -ENOMEM;
	w->ptr = page + at.offset;
	w->len = HCA_MIN(len, PAGE_SIZE - at.offset);
	w->cookie = 1;
	return 0;
}

static inline void slots_close(struct hca_mem *mem, struct hca_mem_view *w)
{
	(void)mem;
	if (w->cookie)
		kunmap_local(w->ptr);
}

static inline dma_addr_t slots_map_single(struct ib_device *dev, void *ptr, size_t size, enum dma_data_direction dir,
					  unsigned long attrs)
{
	(void)dev;
	(void)size;
	(void)dir;
	(void)attrs;
	return hca_dma_addr((u64)(uintptr_t)ptr);
}

static inline void slots_unmap_single(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
				      unsigned long attrs)
{
	(void)dev;
	(void)addr;
	(void)size;
	(void)dir;
	(void)attrs;
}

static inline dma_addr_t slots_sg_address(struct ib_device *dev, struct scatterlist *sg)
{
	(void)dev;
	return sg_dma_address(sg);
}

static inline unsigned int slots_sg_len(struct ib_device *dev, struct scatterlist *sg)
{
	(void)dev;
	return sg->length;
}

static inline void slots_free(struct slots *s)
{
	hca_free(s->stack);
	hca_free(s->slot);
	hca_free(s);
}

static inline int slots_create(const struct ib_dma_ops *ops, const struct hca_mem_ops *mem_ops,
			       struct device *dma_device, const char *name, const struct ib_dma_config *config,
			       struct ib_device **out)
{
	struct slots *s = ib_alloc_device(sizeof(*s));
	int err = -ENOMEM;
	u32 i;

	if (!s)
		return -ENOMEM;
	s->slot = hca_alloc(RIVAL_ENTRIES * sizeof(*s->slot), HCA_MAY_SLEEP);
	s->stack = hca_alloc(RIVAL_ENTRIES * sizeof(*s->stack), HCA_MAY_SLEEP);
	if (!s->slot || !s->stack)
		goto free;
	/* The lowest go out first, so that a list's structures lie side by side as long as they can. */
	for (i = 0; i < RIVAL_ENTRIES; i++)
		s->stack[i] = RIVAL_ENTRIES - 1 - i;
	s->free = RIVAL_ENTRIES;
	hca_spin_init(&s->lock);
	s->mem.ops = mem_ops;
	s->ib.mem = &s->mem;
	s->ib.dma_ops = ops;
	s->ib.style = IB_DMA_BY_OPS;
	err = ib_register_device(&s->ib, name, dma_device, config);
	if (err)
		goto free;
	*out = &s->ib;
	return 0;
free:
	slots_free(s);
	return err;
}

static inline u64 slots_destroy(struct ib_device *dev)
{
	u64 leaked = ib_unregister_device(dev);

	slots_free(to_slots(dev));
	return leaked;
}

/* The ops that need the code; the name of its constant is @code. */
#define SLOTS_DEVICE(code) \
	static dma_addr_t map_page(struct ib_device *dev, struct page *page, unsigned long offset, size_t size, \
				   enum dma_data_direction dir, unsigned long attrs) \
	{ \
		(void)size, (void)dir, (void)attrs; \
		return slots_map_page(dev, page, offset, &(code)); \
	} \
	static void unmap_page(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir, \
			       unsigned long attrs) \
	{ \
		(void)size, (void)dir, (void)attrs; \
		slots_unmap_page(dev, addr, &(code)); \
	} \
	static int map_sg(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir, \
			  unsigned long attrs) \
	{ \
		(void)attrs; \
		return slots_map_sg(dev, sgl, nents, (int)dir, &(code)); \
	} \
	static void unmap_sg(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir, \
			     unsigned long attrs) \
	{ \
		(void)dir, (void)attrs; \
		slots_unmap_sg(dev, sgl, nents, &(code)); \
	} \
	static int open_window(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, \
			       struct hca_mem_view *w) \
	{ \
		(void)access; \
		return slots_open(mem, addr, len, w, &(code)); \
	} \
	static const struct ib_dma_ops dma_ops = { \
		.map_single = slots_map_single, \
		.unmap_single = slots_unmap_single, \
		.map_page = map_page, \
		.unmap_page = unmap_page, \
		.map_sg = map_sg, \
		.unmap_sg = unmap_sg, \
		.sg_dma_address = slots_sg_address, \
		.sg_dma_len = slots_sg_len, \
	}; \
	static const struct hca_mem_ops mem_ops = { .open = open_window, .close = slots_close }; \
	static int create(struct device *dma_device, const char *name, const struct ib_dma_config *config, \
			  struct ib_device **out) \
	{ \
		return slots_create(&dma_ops, &mem_ops, dma_device, name, config, out); \
	}

#endif
