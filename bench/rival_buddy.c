/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The buddy rival: every address is virtual, and a hash leads from each mapped
 * struct scatterlist to its buddy {address, length}. map_sg puts the buddies in,
 * the address and length calls look them up, unmap_sg takes them out. High memory
 * has no virtual address, so it is refused.
 *
 * The key is where the entry lies: a copy of the list has no buddies, and of two
 * mappings of one list the first to end takes them away from the other.
 */
#include "rival.h"

enum { KEY_EMPTY, KEY_GONE };

/* struct buddy - gone: a search goes on past it */
struct buddy {
	uintptr_t key;
	dma_addr_t addr;
	unsigned int len;
};

/*
 * Writers hold the lock, once a list. A reader looks for an entry that its own caller mapped: it is there and
 * doesn't move, so no lock is needed to find it.
 */
struct buddies {
	struct ib_device ib;
	struct hca_mem mem;
	struct hca_spinlock lock; /* table, for writing; used */
	struct buddy *table;
	u32 used;
};

#define BUDDY_BITS 17
#define BUDDY_SLOTS (1u << BUDDY_BITS)

_Static_assert(BUDDY_SLOTS >= 2 * RIVAL_ENTRIES, "half full at most");

static struct buddies *to_buddies(struct ib_device *dev)
{
	return hca_container_of(dev, struct buddies, ib);
}

static u32 hash(const struct scatterlist *sg)
{
	return (u32)((u64)(uintptr_t)sg * 0x9e3779b97f4a7c15ull >> (64 - BUDDY_BITS));
}

static u32 after(u32 i)
{
	return (i + 1) % BUDDY_SLOTS;
}

static struct buddy *find(const struct buddies *b, const struct scatterlist *sg)
{
	u32 i;
	uintptr_t key;

	for (i = hash(sg); (key = hca_load(&b->table[i].key)) != KEY_EMPTY; i = after(i))
		if (key == (uintptr_t)sg)
			return &b->table[i];
	return NULL;
}

/* The lock is held. */
static int insert(struct buddies *b, const struct scatterlist *sg, dma_addr_t addr)
{
	struct buddy *at = NULL;
	uintptr_t key;
	u32 i;

	if (hca_unlikely(b->used == RIVAL_ENTRIES))
		return -ENOMEM;
	for (i = hash(sg); (key = b->table[i].key) != KEY_EMPTY && key != (uintptr_t)sg; i = after(i))
		if (!at && key == KEY_GONE)
			at = &b->table[i];
	if (key == (uintptr_t)sg || !at)
		at = &b->table[i];
	if (key != (uintptr_t)sg)
		b->used++;
	at->addr = addr;
	at->len = sg->length;
	hca_store_release(&at->key, (uintptr_t)sg);
	return 0;
}

/* The lock is held. */
static void take_out(struct buddies *b, const struct scatterlist *sg)
{
	struct buddy *at = find(b, sg);
	u32 i;

	if (!at)
		return;
	b->used--;
	i = (u32)(at - b->table);
	hca_store(&at->key, KEY_GONE);
	/* Before an empty place nothing needs a search to go on: places that are gone must not pile up. */
	if (b->table[after(i)].key != KEY_EMPTY)
		return;
	for (; b->table[i].key == KEY_GONE; i = (i + BUDDY_SLOTS - 1) % BUDDY_SLOTS)
		hca_store(&b->table[i].key, KEY_EMPTY);
}

static void take_out_list(struct buddies *b, struct scatterlist *sg, int n)
{
	int i;

	for (i = 0; i < n && sg; i++, sg = sg_next(sg))
		take_out(b, sg);
}

static int buddy_map_sg(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
			unsigned long attrs)
{
	const struct machine *m = dev->dma_device->machine;
	struct buddies *b = to_buddies(dev);
	struct scatterlist *sg = sgl;
	hca_irqflags_t flags;
	int err = 0, n;
	u64 off;

	(void)attrs;
	hca_spin_lock(&b->lock, flags);
	for (n = 0; n < nents; n++, sg = sg_next(sg)) {
		err = rival_entry(m, sg, (int)dir, &off);
		if (!err && hca_unlikely(off >= m->map.low_bytes))
			err = -EOPNOTSUPP;
		if (!err)
			err = insert(b, sg, hca_dma_addr((u64)m->map.virt + off));
		if (hca_unlikely(err))
			break;
	}
	if (hca_unlikely(err))
		take_out_list(b, sgl, n);
	hca_spin_unlock(&b->lock, flags);
	return err ? err : nents;
}

static void buddy_unmap_sg(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
			   unsigned long attrs)
{
	struct buddies *b = to_buddies(dev);
	hca_irqflags_t flags;

	(void)dir;
	(void)attrs;
	hca_spin_lock(&b->lock, flags);
	take_out_list(b, sgl, nents);
	hca_spin_unlock(&b->lock, flags);
}

static dma_addr_t buddy_sg_address(struct ib_device *dev, struct scatterlist *sg)
{
	const struct buddy *at = find(to_buddies(dev), sg);

	return at ? at->addr : hca_dma_error(-EFAULT);
}

static unsigned int buddy_sg_len(struct ib_device *dev, struct scatterlist *sg)
{
	const struct buddy *at = find(to_buddies(dev), sg);

	return at ? at->len : 0;
}

static dma_addr_t buddy_map_single(struct ib_device *dev, void *ptr, size_t size, enum dma_data_direction dir,
				   unsigned long attrs)
{
	(void)dev;
	(void)size;
	(void)dir;
	(void)attrs;
	return hca_dma_addr((u64)(uintptr_t)ptr);
}

static dma_addr_t buddy_map_page(struct ib_device *dev, struct page *page, unsigned long offset, size_t size,
				 enum dma_data_direction dir, unsigned long attrs)
{
	char *at = page_address(page);

	(void)dev;
	(void)size;
	(void)dir;
	(void)attrs;
	return at ? hca_dma_addr((u64)(uintptr_t)(at + offset)) : hca_dma_error(-EOPNOTSUPP);
}

static void buddy_unmap(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
			unsigned long attrs)
{
	(void)dev;
	(void)addr;
	(void)size;
	(void)dir;
	(void)attrs;
}

static int buddy_open(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w)
{
	(void)access;
	return rival_virt(hca_container_of(mem, struct buddies, mem)->ib.dma_device->machine, addr, len, w);
}

static void buddy_close(struct hca_mem *mem, struct hca_mem_view *w)
{
	(void)mem;
	(void)w;
}

static const struct ib_dma_ops dma_ops = {
	.map_single = buddy_map_single,
	.unmap_single = buddy_unmap,
	.map_page = buddy_map_page,
	.unmap_page = buddy_unmap,
	.map_sg = buddy_map_sg,
	.unmap_sg = buddy_unmap_sg,
	.sg_dma_address = buddy_sg_address,
	.sg_dma_len = buddy_sg_len,
};

static const struct hca_mem_ops mem_ops = { .open = buddy_open, .close = buddy_close };

static int create(struct device *dma_device, const char *name, const struct ib_dma_config *config,
		  struct ib_device **out)
{
	struct buddies *b = ib_alloc_device(sizeof(*b));
	int err = -ENOMEM;

	if (!b)
		return -ENOMEM;
	b->table = hca_alloc(BUDDY_SLOTS * sizeof(*b->table), HCA_MAY_SLEEP);
	if (!b->table)
		goto free;
	hca_spin_init(&b->lock);
	b->mem.ops = &mem_ops;
	b->ib.mem = &b->mem;
	b->ib.dma_ops = &dma_ops;
	b->ib.style = IB_DMA_BY_OPS;
	err = ib_register_device(&b->ib, name, dma_device, config);
	if (err)
		goto free;
	*out = &b->ib;
	return 0;
free:
	hca_free(b->table);
	hca_free(b);
	return err;
}

static u64 destroy(struct ib_device *dev)
{
	struct buddies *b = to_buddies(dev);
	u64 leaked = ib_unregister_device(dev);

	hca_free(b->table);
	hca_free(b);
	return leaked;
}

const struct rival rival_buddy = { .name = "buddy", .create = create, .destroy = destroy };
