/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bounce platform: as direct where the device's mask reaches the memory, else
 * through a copy in a pool at the start of low memory. Called through struct
 * platform_ops, in any context but for init and attach.
 *
 * A copy's place, size and direction are what was noted at the map; what a caller
 * says at unmap or sync is never used to move a byte. A copy keeps the original's
 * offset in its page, because devices rely on it.
 */
#include "linear.h"
#include "slot_tree.h"

#define SLOT_SHIFT 11
#define SLOT_SIZE (1u << SLOT_SHIFT)
_Static_assert(PAGE_SIZE == 2 * SLOT_SIZE, "an offset in a page is one in a slot, which is an odd one or an even one");
#define MAX_BOUNCE (256u << 10)

/* Marks a run of coherent memory, which has no original. */
#define COHERENT NO_MEMORY_HERE

/*
 * A slot in use knows the first one of its run; the rest is of the run, in its first slot.
 * @users counts the mapping itself and every copy in progress: the last one to go frees the run, so that no copy
 * ever runs into the next owner's bytes, however badly unmaps and syncs are mixed.
 */
struct bounce_slot {
	u64 orig; /* arena offset, or COHERENT */
	struct device *dev;
	u32 size;
	u32 first;
	u32 slots;
	u32 users;
	u8 dir;
	bool ended;
};

struct bounce_pool {
	struct hca_spinlock lock; /* everything below */
	struct slot_tree tree;
	u32 free;
	u32 next; /* where the search begins */
	struct bounce_slot *slot;
};

/* Under the pool's lock. */
struct bounce_dev {
	u64 bounced;
	u64 slots;
};

static struct bounce_pool *pool_of(const struct device *dev)
{
	return dev->machine->platform;
}

static int bounce_init(struct machine *m, const struct machine_attr *attr)
{
	struct bounce_pool *p = hca_alloc(sizeof(*p), HCA_MAY_SLEEP);

	(void)attr;
	if (!p)
		return -ENOMEM;
	hca_spin_init(&p->lock);
	if (slot_tree_init(&p->tree, (u32)(m->reserved >> SLOT_SHIFT)))
		goto free_pool;
	p->free = p->tree.slots;
	p->slot = hca_alloc(p->tree.slots * sizeof(*p->slot), HCA_MAY_SLEEP);
	if (!p->slot)
		goto fini_tree;
	m->platform = p;
	return 0;
fini_tree:
	slot_tree_fini(&p->tree);
free_pool:
	hca_free(p);
	return -ENOMEM;
}

static void bounce_fini(struct machine *m)
{
	struct bounce_pool *p = m->platform;

	hca_free(p->slot);
	slot_tree_fini(&p->tree);
	hca_free(p);
}

static u64 run_offset(const struct bounce_pool *p, u32 first)
{
	const struct bounce_slot *run = &p->slot[first];

	return ((u64)first << SLOT_SHIFT) + (run->orig == COHERENT ? 0 : run->orig & (SLOT_SIZE - 1));
}

/* --- the search --- */

/* A run that is looked for, inside the device's boundaries: a block of 2^@order slots, or @slots with their parity. */
struct wish {
	u32 slots;
	bool odd;
	bool block;
	u32 order;
	u32 skip; /* bytes before the first that is used */
	u32 size;
};

/* Slots up to the boundary that a run lies across; 0 if it lies across none. */
static u32 to_boundary(const struct device *dev, const struct wish *w, u32 at)
{
	u64 mask = dev->seg_boundary_mask;
	u64 bus = hca_dma_u64(linear_bus(dev->machine, (u64)at << SLOT_SHIFT));

	/* What is larger than a boundary can only be one range, and those may cross. */
	if (w->size - 1 > mask || ((bus + w->skip) & mask) <= mask - (w->size - 1))
		return 0;
	return (u32)((mask - (bus & mask)) >> SLOT_SHIFT) + 1;
}

/*
 * The first run from @from on; SLOT_NONE if there is none. Costs a path through the tree, and one more for each boundary
 * that a free run lies across which is too short on both sides.
 */
static u32 search(struct bounce_pool *p, const struct device *dev, const struct wish *w, u32 from)
{
	u32 at, past;

	for (;; from = at + past) {
		at = w->block ? slot_tree_find_block(&p->tree, from, w->order) :
				slot_tree_find(&p->tree, from, w->slots, w->odd);
		if (at == SLOT_NONE)
			return at;
		past = to_boundary(dev, w, at);
		if (hca_likely(!past))
			return at;
	}
}

static u32 take_run(struct bounce_pool *p, struct device *dev, const struct wish *w, u64 orig, int dir)
{
	struct bounce_dev *bd = dev->platform;
	u32 at, i;

	hca_spin_assert(&p->lock);
	if (p->free < w->slots)
		return SLOT_NONE;
	at = search(p, dev, w, p->next);
	if (at == SLOT_NONE)
		at = search(p, dev, w, 0);
	if (at == SLOT_NONE)
		return at;
	slot_tree_mark(&p->tree, at, w->slots, true);
	for (i = at; i < at + w->slots; i++)
		p->slot[i].first = at;
	p->slot[at] = (struct bounce_slot){
		.orig = orig, .dev = dev, .size = w->size, .first = at, .slots = w->slots, .users = 1, .dir = (u8)dir
	};
	p->free -= w->slots;
	p->next = (at + w->slots) % p->tree.slots;
	bd->bounced += orig != COHERENT;
	bd->slots += w->slots;
	return at;
}

static void free_run(struct bounce_pool *p, u32 first)
{
	struct bounce_slot *run = &p->slot[first];
	struct bounce_dev *bd = run->dev->platform;

	hca_spin_assert(&p->lock);
	slot_tree_mark(&p->tree, first, run->slots, false);
	p->free += run->slots;
	bd->slots -= run->slots;
	/* An empty pool is one piece again, and the longest runs should find it so. */
	if (p->free == p->tree.slots)
		p->next = 0;
}

static void put_run(struct bounce_pool *p, u32 first)
{
	hca_irqflags_t flags;

	hca_spin_lock(&p->lock, flags);
	if (!--p->slot[first].users)
		free_run(p, first);
	hca_spin_unlock(&p->lock, flags);
}

/* The live run of this device that has the byte at arena offset @off; SLOT_NONE if none has. */
static u32 run_at(const struct bounce_pool *p, const struct device *dev, u64 off)
{
	u32 i = (u32)(off >> SLOT_SHIFT);
	const struct bounce_slot *run;
	u64 from;

	hca_spin_assert(&p->lock);
	if (!slot_tree_used(&p->tree, i))
		return SLOT_NONE;
	run = &p->slot[p->slot[i].first];
	from = run_offset(p, run->first);
	if (run->dev != dev || run->ended || off - from >= run->size)
		return SLOT_NONE;
	return run->first;
}

/* --- mappings --- */

/* A copy in progress; what it says was read under the lock and stays so while the run has a user. */
struct copy {
	u64 pool; /* arena offsets */
	u64 orig;
	u64 size;
	u32 first;
	int dir;
};

static void copy_in(const struct machine *m, const struct copy *c)
{
	hca_memcpy(machine_bus_ptr(m, c->pool), machine_bus_ptr(m, c->orig), (size_t)c->size);
}

static void copy_back(const struct machine *m, const struct copy *c)
{
	hca_memcpy(machine_bus_ptr(m, c->orig), machine_bus_ptr(m, c->pool), (size_t)c->size);
}

static bool pool_has(const struct machine *m, u64 off)
{
	return off < m->reserved;
}

static hca_dma_addr_t bounce_map(struct device *dev, u64 off, u64 size, int dir, unsigned long attrs)
{
	struct bounce_pool *p = pool_of(dev);
	struct machine *m = dev->machine;
	hca_irqflags_t flags;
	struct wish w = { 0 };
	struct copy c;

	/* The pool is no memory to be mapped: its bus addresses are those of the copies in it. */
	if (hca_unlikely(pool_has(m, off)))
		return hca_dma_error(
			hca_refuse(-EFAULT, "%s: map refused: that is the bounce pool's own memory", dev->name));
	if (linear_reaches(dev, off, size))
		return linear_bus(m, off);
	if (size > MAX_BOUNCE)
		return hca_dma_error(hca_refuse(-EINVAL,
						"%s: map refused: %llu bytes, but the pool copies %llu at most",
						dev->name, (unsigned long long)size, (unsigned long long)MAX_BOUNCE));
	w.skip = (u32)off & (SLOT_SIZE - 1);
	w.size = (u32)size;
	w.slots = (w.skip + w.size + SLOT_SIZE - 1) >> SLOT_SHIFT;
	w.odd = off >> SLOT_SHIFT & 1;
	hca_spin_lock(&p->lock, flags);
	c.first = take_run(p, dev, &w, off, dir);
	hca_spin_unlock(&p->lock, flags);
	if (c.first == SLOT_NONE)
		return hca_dma_error(-ENOMEM);
	c.pool = ((u64)c.first << SLOT_SHIFT) + w.skip;
	c.orig = off;
	c.size = size;
	/*
	 * What will be copied back must begin as the original, even if the device is to write it and the caller wants
	 * no copy: a device that writes less than it could would leave the pool's last user's bytes in the buffer.
	 * A device that only reads must not see them either.
	 */
	if (dir == HCA_DMA_TO_DEVICE && attrs & DMA_ATTR_SKIP_CPU_SYNC)
		hca_memset(machine_bus_ptr(m, c.pool), 0, (size_t)size);
	else
		copy_in(m, &c);
	return linear_bus(m, c.pool);
}

static int bounce_unmap(struct device *dev, hca_dma_addr_t addr, u64 size, int dir, unsigned long attrs)
{
	struct bounce_pool *p = pool_of(dev);
	const struct machine *m = dev->machine;
	u64 off = linear_offset(m, addr);
	hca_irqflags_t flags;
	struct copy c = { 0 };
	int err = -ENOENT;

	(void)dir;
	if (!pool_has(m, off))
		return linear_range(m, addr, size) ? 0 : -ENOENT;
	hca_spin_lock(&p->lock, flags);
	c.first = run_at(p, dev, off);
	if (c.first != SLOT_NONE && run_offset(p, c.first) == off && p->slot[c.first].orig != COHERENT) {
		p->slot[c.first].ended = true;
		c.pool = off;
		c.orig = p->slot[c.first].orig;
		c.size = p->slot[c.first].size;
		c.dir = p->slot[c.first].dir;
		err = 0;
	}
	hca_spin_unlock(&p->lock, flags);
	if (err)
		return err;
	if (c.dir != HCA_DMA_TO_DEVICE && !(attrs & DMA_ATTR_SKIP_CPU_SYNC))
		copy_back(m, &c);
	put_run(p, c.first);
	return 0;
}

/* Begins a copy between @size bytes of the pool and their original; the caller puts the run. */
static int get_copy(struct bounce_pool *p, const struct device *dev, u64 off, u64 size, struct copy *c)
{
	u64 skip = 0;
	hca_irqflags_t flags;
	int err = -ENOENT;

	hca_spin_lock(&p->lock, flags);
	c->first = run_at(p, dev, off);
	if (c->first != SLOT_NONE) {
		const struct bounce_slot *run = &p->slot[c->first];

		skip = off - run_offset(p, c->first);
		if (run->orig != COHERENT && hca_dma_in_range(skip, size, run->size)) {
			c->pool = off;
			c->orig = run->orig + skip;
			c->size = size;
			c->dir = run->dir;
			p->slot[c->first].users++;
			err = 0;
		}
	}
	hca_spin_unlock(&p->lock, flags);
	return err;
}

static int bounce_sync(struct device *dev, hca_dma_addr_t addr, u64 size, int dir, bool for_cpu)
{
	struct bounce_pool *p = pool_of(dev);
	const struct machine *m = dev->machine;
	u64 off = linear_offset(m, addr);
	struct copy c;
	int err;

	(void)dir;
	if (!pool_has(m, off))
		return linear_range(m, addr, size) ? 0 : -ENOENT;
	err = get_copy(p, dev, off, size, &c);
	if (err)
		return err;
	if (for_cpu && c.dir != HCA_DMA_TO_DEVICE)
		copy_back(m, &c);
	else if (!for_cpu && c.dir != HCA_DMA_FROM_DEVICE)
		copy_in(m, &c);
	put_run(p, c.first);
	return 0;
}

static u64 bounce_origin(struct device *dev, hca_dma_addr_t addr, u64 *len)
{
	struct bounce_pool *p = pool_of(dev);
	u64 off = linear_offset(dev->machine, addr);
	u64 found = NO_MEMORY_HERE;
	hca_irqflags_t flags;
	u32 first;

	if (!pool_has(dev->machine, off))
		return linear_origin(dev, addr, len);
	hca_spin_lock(&p->lock, flags);
	first = run_at(p, dev, off);
	if (first != SLOT_NONE) {
		const struct bounce_slot *run = &p->slot[first];
		u64 skip = off - run_offset(p, first);

		found = run->orig == COHERENT ? off : run->orig + skip;
		*len = HCA_MIN(*len, run->size - skip);
	}
	hca_spin_unlock(&p->lock, flags);
	return found;
}

/* --- coherent memory --- */

static int pool_alloc(struct device *dev, u64 size, void **cpu, hca_dma_addr_t *handle)
{
	struct bounce_pool *p = pool_of(dev);
	u32 order = page_order(size);
	hca_irqflags_t flags;
	struct wish w = { 0 };
	u32 first;
	u64 off;

	if (size > MAX_BOUNCE)
		return -ENOMEM;
	w.size = (u32)PAGE_SIZE << order;
	w.slots = w.size >> SLOT_SHIFT;
	w.block = true; /* as pages are: aligned to their size */
	w.order = order + PAGE_SHIFT - SLOT_SHIFT;
	hca_spin_lock(&p->lock, flags);
	first = take_run(p, dev, &w, COHERENT, HCA_DMA_BIDIRECTIONAL);
	hca_spin_unlock(&p->lock, flags);
	if (first == SLOT_NONE)
		return -ENOMEM;
	off = (u64)first << SLOT_SHIFT;
	hca_memset(machine_bus_ptr(dev->machine, off), 0, w.size);
	*cpu = machine_offset_virt(dev->machine, off);
	*handle = linear_bus(dev->machine, off);
	return 0;
}

/* Pages first, if there are any that the device reaches: the pool is for those that can't do without. */
static int bounce_alloc(struct device *dev, u64 size, gfp_t gfp, void **cpu, hca_dma_addr_t *handle)
{
	return linear_alloc(dev, size, gfp, cpu, handle) ? pool_alloc(dev, size, cpu, handle) : 0;
}

static int bounce_free(struct device *dev, u64 size, void *cpu, hca_dma_addr_t handle)
{
	struct bounce_pool *p = pool_of(dev);
	u64 off = machine_ptr_offset(dev->machine, cpu);
	hca_irqflags_t flags;
	int err = -ENOENT;
	u32 first;

	if (!pool_has(dev->machine, off))
		return linear_free(dev, size, cpu, handle);
	if (linear_offset(dev->machine, handle) != off)
		return -ENOENT; /* dma_free_coherent() says why */
	hca_spin_lock(&p->lock, flags);
	first = run_at(p, dev, off);
	if (first != SLOT_NONE && run_offset(p, first) == off && p->slot[first].orig == COHERENT &&
	    size <= MAX_BOUNCE && (u32)PAGE_SIZE << page_order(size) == p->slot[first].size) {
		free_run(p, first);
		err = 0;
	}
	hca_spin_unlock(&p->lock, flags);
	return err;
}

/* --- devices --- */

static int bounce_attach(struct device *dev)
{
	/* A device that doesn't reach the pool can't be helped by it. */
	if (!linear_reaches(dev, 0, dev->machine->reserved))
		return hca_refuse(-EINVAL, "%s: bus device not made: its dma_mask 0x%llx doesn't reach the bounce pool",
				  dev->name, (unsigned long long)dev->dma_mask);
	dev->platform = hca_alloc(sizeof(struct bounce_dev), HCA_MAY_SLEEP);
	return dev->platform ? 0 : -ENOMEM;
}

/* Its remaining mappings end with it; their bytes are not copied back. */
static void bounce_detach(struct device *dev)
{
	struct bounce_pool *p = pool_of(dev);
	hca_irqflags_t flags;
	u32 i;

	hca_spin_lock(&p->lock, flags);
	for (i = 0; i < p->tree.slots; i++)
		if (slot_tree_used(&p->tree, i) && p->slot[i].first == i && p->slot[i].dev == dev)
			free_run(p, i);
	hca_spin_unlock(&p->lock, flags);
	hca_free(dev->platform);
}

static void bounce_stats(struct device *dev, struct device_stats *st)
{
	struct bounce_pool *p = pool_of(dev);
	const struct bounce_dev *bd = dev->platform;
	hca_irqflags_t flags;

	hca_spin_lock(&p->lock, flags);
	st->bounced = bd->bounced;
	st->bounce_slots = bd->slots;
	hca_spin_unlock(&p->lock, flags);
}

static u64 bounce_max_mapping(struct device *dev)
{
	u64 all = dev->machine->map.all_bytes;

	return linear_reaches(dev, 0, all) ? all : HCA_MIN((u64)MAX_BOUNCE, all);
}

const struct platform_ops platform_bounce = {
	.name = "bounce",
	.init = bounce_init,
	.fini = bounce_fini,
	.attach = bounce_attach,
	.detach = bounce_detach,
	.map = bounce_map,
	.unmap = bounce_unmap,
	.map_one = platform_map_counted,
	.unmap_one = platform_unmap_counted,
	.map_list = list_map_each,
	.unmap_list = list_unmap_each,
	.sync = bounce_sync,
	.alloc = bounce_alloc,
	.free = bounce_free,
	.open = linear_open,
	.close = linear_close,
	.origin = bounce_origin,
	.flush = linear_flush,
	.stats = bounce_stats,
	.max_mapping = bounce_max_mapping,
};
