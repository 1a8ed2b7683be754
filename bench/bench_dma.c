/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Part "dma", first half: mapping on the software device, lists, and the rivals.
 * The loops read their device from memory each time round, as an upper layer's code
 * between two calls makes it do; their floors stand behind the same barriers.
 */
#include "bench_dma.h"

#include <stdlib.h>
#include <string.h>

#include "rival.h"

#define ENTRIES 256

/* --- fixtures --- */

int ipath_tagging(struct device *dma_device, const char *name, const struct ib_dma_config *config,
		  struct ib_device **out)
{
	return ipath_create(dma_device, name, IPATH_HIGHMEM_TAGGED, config, out);
}

int ipath_refusing(struct device *dma_device, const char *name, const struct ib_dma_config *config,
		   struct ib_device **out)
{
	return ipath_create(dma_device, name, IPATH_HIGHMEM_REFUSE, config, out);
}

int bed_open(struct bed *b, const struct bed_def *def)
{
	struct ib_dma_config config = { .ledger = def->ledger };
	struct device_attr attr = { .name = "bench" };
	int err;

	b->def = def;
	err = machine_create(&def->machine, &b->m);
	if (err)
		return bench_fail("machine_create: %s", strerror(-err));
	if (def->all_bounce)
		attr.dma_mask = b->m->bus_base + b->m->reserved - 1;
	err = device_create(b->m, &attr, &b->dev);
	if (!err) {
		err = def->create(b->dev, "bench0", &config, &b->ib);
		if (!err)
			return 0;
		device_destroy(b->dev);
	}
	machine_destroy(b->m);
	return bench_fail("no device: %s", strerror(-err));
}

void bed_close(struct bed *b)
{
	b->def->destroy(b->ib);
	device_destroy(b->dev);
	machine_destroy(b->m);
}

/* --- single --- */

struct single {
	struct ib_device *dev;
	void *ptr;
	struct page *page;
	size_t size;
	const struct ib_dma_ops *ops;
};

static inline dma_addr_t give_pointer(void *ptr)
{
	return hca_dma_addr((u64)(uintptr_t)ptr);
}

BENCH_LOOP static void floor_single(void *ctx, u64 n)
{
	struct single *c = ctx;
	void *ptr = c->ptr;
	dma_addr_t addr;

	while (n--) {
		addr = give_pointer(ptr);
		bench_use(addr);
	}
}

BENCH_LOOP static void ours_single(void *ctx, u64 n)
{
	struct single *c = ctx;
	struct ib_device *dev = c->dev;
	void *ptr = c->ptr;
	size_t size = c->size;
	dma_addr_t addr;

	while (n--) {
		addr = ib_dma_map_single(dev, ptr, size, DMA_TO_DEVICE);
		bench_use(addr);
		ib_dma_unmap_single(dev, addr, size, DMA_TO_DEVICE);
	}
}

BENCH_LOOP static void ours_single_asked(void *ctx, u64 n)
{
	struct single *c = ctx;
	struct ib_device *dev = c->dev;
	void *ptr = c->ptr;
	size_t size = c->size;
	dma_addr_t addr;

	while (n--) {
		addr = ib_dma_map_single(dev, ptr, size, DMA_TO_DEVICE);
		if (ib_dma_mapping_error(dev, addr))
			bench_fail("map_single: %d", ib_dma_mapping_error(dev, addr));
		bench_use(addr);
		ib_dma_unmap_single(dev, addr, size, DMA_TO_DEVICE);
	}
}

BENCH_LOOP static void ours_page(void *ctx, u64 n)
{
	struct single *c = ctx;
	struct ib_device *dev = c->dev;
	struct page *page = c->page;
	size_t size = c->size;
	dma_addr_t addr;

	while (n--) {
		addr = ib_dma_map_page(dev, page, 64, size, DMA_TO_DEVICE);
		bench_use(addr);
		ib_dma_unmap_page(dev, addr, size, DMA_TO_DEVICE);
	}
}

/* What two calls through a table cost when nothing is done on either side of them. */
BENCH_LOOP static void floor_ops(void *ctx, u64 n)
{
	struct single *c = ctx;
	const struct ib_dma_ops *ops = c->ops;
	void *ptr = c->ptr;
	size_t size = c->size;
	dma_addr_t addr;

	while (n--) {
		addr = ops->map_single(c->dev, ptr, size, DMA_TO_DEVICE, 0);
		bench_use(addr);
		ops->unmap_single(c->dev, addr, size, DMA_TO_DEVICE, 0);
	}
}

/* A device of its own ops, all of them trivial: what remains is the way to them. */
static dma_addr_t virt_map_single(struct ib_device *dev, void *ptr, size_t size, enum dma_data_direction dir,
				  unsigned long attrs)
{
	(void)dev;
	(void)size;
	(void)dir;
	(void)attrs;
	return hca_dma_addr((u64)(uintptr_t)ptr);
}

static dma_addr_t virt_map_page(struct ib_device *dev, struct page *page, unsigned long offset, size_t size,
				enum dma_data_direction dir, unsigned long attrs)
{
	return virt_map_single(dev, (char *)page_address(page) + offset, size, dir, attrs);
}

static void virt_unmap(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
		       unsigned long attrs)
{
	(void)dev;
	(void)addr;
	(void)size;
	(void)dir;
	(void)attrs;
}

static int virt_map_sg(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
		       unsigned long attrs)
{
	(void)dev;
	(void)sgl;
	(void)dir;
	(void)attrs;
	return nents;
}

static void virt_unmap_sg(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
			  unsigned long attrs)
{
	(void)dev;
	(void)sgl;
	(void)nents;
	(void)dir;
	(void)attrs;
}

static dma_addr_t virt_sg_address(struct ib_device *dev, struct scatterlist *sg)
{
	(void)dev;
	return hca_dma_addr((u64)(uintptr_t)sg_virt(sg));
}

static unsigned int virt_sg_len(struct ib_device *dev, struct scatterlist *sg)
{
	(void)dev;
	return sg->length;
}

static const struct ib_dma_ops virt_ops = {
	.map_single = virt_map_single,
	.unmap_single = virt_unmap,
	.map_page = virt_map_page,
	.unmap_page = virt_unmap,
	.map_sg = virt_map_sg,
	.unmap_sg = virt_unmap_sg,
	.sg_dma_address = virt_sg_address,
	.sg_dma_len = virt_sg_len,
};

/* Nobody copies in this part, so its accessor has nothing behind it. */
static const struct hca_mem_ops no_mem_ops;
static struct hca_mem no_mem = { .ops = &no_mem_ops };
static struct ib_device by_ops;

static int virt_create(struct device *dma_device, const char *name, const struct ib_dma_config *config,
		       struct ib_device **out)
{
	memset(&by_ops, 0, sizeof(by_ops));
	by_ops.dma_ops = &virt_ops;
	by_ops.style = IB_DMA_BY_OPS;
	by_ops.mem = &no_mem;
	*out = &by_ops;
	return ib_register_device(&by_ops, name, dma_device, config);
}

static int singles(struct bed *soft, struct bed *high, struct bed *ops)
{
	struct single s = { .dev = soft->ib, .size = 512 }, h = { .dev = high->ib, .size = 512 };
	struct single o = { .dev = ops->ib, .size = 512, .ops = &virt_ops };
	static struct bench_chase chase;
	struct bench_loop loops[] = {
		{ .run = floor_single, .ctx = &s },
		{ .run = ours_single, .ctx = &s },
		{ .run = ours_single_asked, .ctx = &s },
		{ .run = ours_page, .ctx = &s },
		{ .run = ours_page, .ctx = &h },
		{ .run = floor_ops, .ctx = &o },
		{ .run = ours_single, .ctx = &o, .against = 5 },
		{ .run = bench_floor_load, .ctx = &chase },
		{ .run = ours_single, .ctx = &s, .against = 7 },
	};
	struct bench_times t;
	int err;

	s.page = machine_alloc_pages(soft->m, GFP_KERNEL, 0);
	h.page = machine_alloc_pages(high->m, GFP_HIGHUSER, 0);
	o.page = machine_alloc_pages(ops->m, GFP_KERNEL, 0);
	if (!s.page || !h.page || !o.page || !PageHighMem(h.page))
		return bench_fail("no pages");
	if (bench_chase_open(&chase, 1))
		return -1;
	s.ptr = (char *)page_address(s.page) + 64;
	o.ptr = (char *)page_address(o.page) + 64;
	err = bench_measure(loops, (int)HCA_ARRAY_SIZE(loops), &t);
	__free_page(s.page);
	__free_page(h.page);
	__free_page(o.page);
	bench_chase_close(&chase);
	if (err)
		return err;
	bench_title("map and unmap, software device");
	bench_row("map_single + unmap / the pointer, inline", "ns", t.ns[1], t.ns[0], t.ratio[1],
		  BENCH_GOALS({ RATIO_AT_MOST, 1.5 }));
	bench_row("the same / a load that waits for the one before", "ns", t.ns[8], t.ns[7], t.ratio[8],
		  BENCH_GOALS({ RATIO_AT_MOST, 0.75 }));
	bench_row("the same, mapping_error asked", "ns", t.ns[2], t.ns[0], t.ratio[2], BENCH_NO_GOAL);
	bench_row("map_page + unmap, low memory", "ns", t.ns[3], t.ns[0], t.ratio[3], BENCH_NO_GOAL);
	bench_row("map_page + unmap, high memory (tagged)", "ns", t.ns[4], t.ns[0], t.ratio[4], BENCH_NO_GOAL);
	bench_row("map_single + unmap, own ops / two indirect calls", "ns", t.ns[6], t.ns[5], t.ratio[6],
		  BENCH_GOALS({ RATIO_AT_MOST, 1.33 }));
	return 0;
}

/* --- lists --- */

struct list {
	struct ib_device *dev;
	struct scatterlist *sgl;
	int nents;
	uintptr_t virt, pages; /* for the floors */
};

BENCH_LOOP static void ours_map_sg(void *ctx, u64 n)
{
	struct list *c = ctx;
	struct ib_device *dev = c->dev;
	struct scatterlist *sgl = c->sgl;
	int nents = c->nents, got;

	while (n--) {
		got = ib_dma_map_sg(dev, sgl, nents, DMA_FROM_DEVICE);
		bench_use(got);
		if (hca_unlikely(got != nents))
			bench_fail("map_sg: %d entries of %d", got, nents);
		ib_dma_unmap_sg(dev, sgl, nents, DMA_FROM_DEVICE);
	}
}

/* Looking at what every entry says, and at nothing else. */
BENCH_LOOP static void floor_walk(void *ctx, u64 n)
{
	struct list *c = ctx;
	const struct scatterlist *sg;
	uintptr_t all;
	int i;

	while (n--) {
		all = 0;
		for (i = 0, sg = c->sgl; i < c->nents; i++, sg++)
			all |= sg_link(sg) | sg->offset | sg->length;
		bench_use(all);
	}
}

BENCH_LOOP static void ours_address(void *ctx, u64 n)
{
	struct list *c = ctx;
	struct ib_device *dev = c->dev;
	int i, nents = c->nents;
	struct scatterlist *sg;
	dma_addr_t addr;

	while (n--)
		for (i = 0, sg = c->sgl; i < nents; i++, sg++) {
			addr = ib_sg_dma_address(dev, sg);
			bench_use(addr);
		}
}

BENCH_LOOP static void floor_address(void *ctx, u64 n)
{
	struct list *c = ctx;
	int i, nents = c->nents;
	struct scatterlist *sg;
	uintptr_t addr;

	while (n--)
		for (i = 0, sg = c->sgl; i < nents; i++, sg++) {
			addr = c->virt + (((uintptr_t)sg_page(sg) - c->pages) << (PAGE_SHIFT - STRUCT_PAGE_SHIFT)) +
			       sg->offset;
			bench_use(addr);
		}
}

/* All that an upper layer does with a list, but the work request. */
BENCH_LOOP static void list_life(void *ctx, u64 n)
{
	struct list *c = ctx;
	struct ib_device *dev = c->dev;
	struct scatterlist *sg;
	unsigned int len;
	dma_addr_t addr;
	int got, i;

	while (n--) {
		got = ib_dma_map_sg(dev, c->sgl, c->nents, DMA_FROM_DEVICE);
		if (hca_unlikely(got != c->nents))
			bench_fail("map_sg: %d entries of %d", got, c->nents);
		for_each_sg(c->sgl, sg, got, i) {
			addr = ib_sg_dma_address(dev, sg);
			len = ib_sg_dma_len(dev, sg);
			bench_use(addr);
			bench_use(len);
		}
		ib_dma_unmap_sg(dev, c->sgl, c->nents, DMA_FROM_DEVICE);
	}
}

/* A list of pages of low memory in random order. */
static struct scatterlist *make_list(struct machine *m)
{
	struct scatterlist *sgl = calloc(ENTRIES, sizeof(*sgl));
	u32 order[4 * ENTRIES], i;

	if (!sgl)
		return NULL;
	bench_shuffle(order, 4 * ENTRIES);
	sg_init_table(sgl, ENTRIES);
	for (i = 0; i < ENTRIES; i++)
		sg_set_page(&sgl[i], nth_page(m->map.pages, order[i]), 2048, order[i] % 1024);
	return sgl;
}

static int lists(struct bed *soft, struct bed *walker)
{
	struct list one = { .dev = soft->ib, .nents = 1 }, all = { .dev = soft->ib, .nents = ENTRIES };
	struct list walk = { .dev = walker->ib, .nents = ENTRIES };
	struct bench_loop loops[] = {
		{ .run = ours_map_sg, .ctx = &one },
		{ .run = ours_map_sg, .ctx = &all },
		{ .run = floor_walk, .ctx = &walk, .per = ENTRIES },
		{ .run = ours_map_sg, .ctx = &walk, .per = ENTRIES, .against = 2 },
		{ .run = floor_address, .ctx = &all, .per = ENTRIES },
		{ .run = ours_address, .ctx = &all, .per = ENTRIES, .against = 4 },
	};
	struct bench_times t;
	int err = -1;

	all.virt = soft->m->map.virt;
	all.pages = (uintptr_t)soft->m->map.pages;
	one.sgl = make_list(soft->m);
	all.sgl = make_list(soft->m);
	walk.sgl = make_list(walker->m);
	if (one.sgl && all.sgl && walk.sgl)
		err = bench_measure(loops, (int)HCA_ARRAY_SIZE(loops), &t);
	else
		bench_fail("no memory for lists");
	free(one.sgl);
	free(all.sgl);
	free(walk.sgl);
	if (err)
		return err;
	bench_title("lists, software device");
	bench_row("map_sg + unmap, 256 entries / 1 entry", "ns", t.ns[1], t.ns[0], t.ratio[1],
		  BENCH_GOALS({ RATIO_AT_MOST, 1.1 }));
	bench_row("map_sg, all looked at / read alone, an entry", "ns", t.ns[3], t.ns[2], t.ratio[3],
		  BENCH_GOALS({ RATIO_AT_MOST, 1.2 }));
	bench_row("ib_sg_dma_address / the arithmetic", "ns", t.ns[5], t.ns[4], t.ratio[5],
		  BENCH_GOALS({ RATIO_AT_MOST, 1.25 }));
	return 0;
}

/* --- rivals --- */

static int against_rivals(struct bed *soft)
{
	static const struct rival *const rivals[] = { &rival_buddy, &rival_pointer, &rival_index };
	struct list list[1 + HCA_ARRAY_SIZE(rivals)] = { { .dev = soft->ib } };
	struct bench_loop loops[HCA_ARRAY_SIZE(list)];
	struct bench_times t;
	double best = INFINITY;
	int i, count = (int)HCA_ARRAY_SIZE(list), made = 1, err = -1;
	char name[64];

	for (i = 0; i < count; i++) {
		if (i && rivals[i - 1]->create(soft->dev, rivals[i - 1]->name, NULL, &list[i].dev)) {
			bench_fail("no %s device", rivals[i - 1]->name);
			goto out;
		}
		made = i + 1;
		list[i].nents = ENTRIES;
		list[i].sgl = make_list(soft->m);
		if (!list[i].sgl) {
			bench_fail("no memory for lists");
			goto out;
		}
		loops[i] = (struct bench_loop){ .run = list_life, .ctx = &list[i], .per = ENTRIES };
	}
	err = bench_measure(loops, count, &t);
	if (err)
		goto out;
	bench_title("256 entries: map, read addresses and lengths, unmap");
	for (i = 1; i < count; i++) {
		hca_snprintf(name, sizeof(name), "an entry, ours / rival: %s", rivals[i - 1]->name);
		bench_row(name, "ns", t.ns[0], t.ns[i], t.ratio[i], BENCH_NO_GOAL);
		best = t.ratio[i] < best ? t.ratio[i] : best;
	}
	bench_row("an entry, ours / the best rival", "ns", t.ns[0], t.ns[0] * best, best,
		  BENCH_GOALS({ RATIO_AT_LEAST, 5 }));
out:
	for (i = 0; i < made; i++) {
		free(list[i].sgl);
		if (i)
			rivals[i - 1]->destroy(list[i].dev);
	}
	return err;
}

/* --- instructions --- */

static int counted_single(struct bench_loop *l)
{
	static const struct bed_def soft = { .machine = { .name = "soft" },
					     .create = ipath_tagging,
					     .destroy = ipath_destroy };
	static struct bed bed;
	static struct single s;

	if (bed_open(&bed, &soft))
		return -1;
	s = (struct single){ .dev = bed.ib, .size = 512, .page = machine_alloc_pages(bed.m, GFP_KERNEL, 0) };
	if (!s.page)
		return bench_fail("no pages");
	s.ptr = (char *)page_address(s.page) + 64;
	l->run = ours_single;
	l->ctx = &s;
	return 0;
}

#define COUNTED_LIST 64u

/* A list of 64 pages, and the addresses of all its entries, as a work request takes them. */
struct counted_list {
	struct ib_device *dev;
	struct scatterlist sgl[COUNTED_LIST];
};

BENCH_LOOP static void list_computed(void *ctx, u64 n)
{
	struct counted_list *c = ctx;
	struct scatterlist *sg;
	unsigned int i;

	for (; n; n--) {
		ib_dma_map_sg(c->dev, c->sgl, COUNTED_LIST, DMA_TO_DEVICE);
		for_each_sg(c->sgl, sg, COUNTED_LIST, i) {
			bench_use(hca_dma_u64(ib_sg_dma_address(c->dev, sg)));
			bench_use(ib_sg_dma_len(c->dev, sg));
		}
		ib_dma_unmap_sg(c->dev, c->sgl, COUNTED_LIST, DMA_TO_DEVICE);
	}
}

BENCH_LOOP static void list_filled(void *ctx, u64 n)
{
	struct counted_list *c = ctx;
	struct scatterlist *sg;
	unsigned int i;

	for (; n; n--) {
		ib_dma_map_sg_at(c->dev, c->sgl, COUNTED_LIST, DMA_TO_DEVICE, 0, true, IB_DMA_HERE);
		for_each_sg(c->sgl, sg, COUNTED_LIST, i) {
			bench_use(hca_dma_u64(sg_dma_address(sg)));
			bench_use(sg_dma_len(sg));
		}
		ib_dma_unmap_sg(c->dev, c->sgl, COUNTED_LIST, DMA_TO_DEVICE);
	}
}

static int counted_list(struct bench_loop *l, void (*run)(void *ctx, u64 n))
{
	static const struct bed_def soft = { .machine = { .name = "soft" },
					     .create = ipath_tagging,
					     .destroy = ipath_destroy };
	static struct counted_list c;
	static struct bed bed;
	unsigned int i;

	if (bed_open(&bed, &soft))
		return -1;
	c.dev = bed.ib;
	sg_init_table(c.sgl, COUNTED_LIST);
	for (i = 0; i < COUNTED_LIST; i++) {
		struct page *page = machine_alloc_pages(bed.m, GFP_KERNEL, 0);

		if (!page)
			return bench_fail("no pages");
		sg_set_page(&c.sgl[i], page, 4096, 0);
	}
	l->run = run;
	l->ctx = &c;
	return 0;
}

static int counted_computed(struct bench_loop *l)
{
	return counted_list(l, list_computed);
}

static int counted_filled(struct bench_loop *l)
{
	return counted_list(l, list_filled);
}

static const struct bench_counted counted[] = {
	{ "map-single", 20000, counted_single },
	{ "list-computed", 2000, counted_computed },
	{ "list-filled", 2000, counted_filled },
	{ "map-lazy", 20000, bench_dma_counted_lazy },
	{ "map-strict", 20000, bench_dma_counted_strict },
	{ "map-direct", 20000, bench_dma_counted_direct },
	{ NULL, 0, NULL },
};

static int instructions(void)
{
	if (bench_counting())
		return 0;
	bench_title("instructions, map + unmap, callgrind / stepped");
	if (bench_count_row("software device", &counted[0], BENCH_NO_GOAL) ||
	    bench_count_row("IOMMU, lazy, 4 KiB with 8,192 live", &counted[3], BENCH_GOALS({ OURS_AT_MOST, 350 })) ||
	    bench_count_row("IOMMU, strict, 4 KiB with 8,192 live", &counted[4], BENCH_GOALS({ OURS_AT_MOST, 400 })) ||
	    bench_count_row("list of 64, addresses computed", &counted[1], BENCH_NO_GOAL) ||
	    bench_count_row("list of 64, mapping fills it", &counted[2], BENCH_NO_GOAL) ||
	    bench_count_row("direct platform, 4 KiB", &counted[5], BENCH_GOALS({ OURS_AT_MOST, 80 })))
		return -1;
	return 0;
}

static int run(void)
{
	static const struct bed_def defs[] = {
		{ .machine = { .name = "soft" }, .create = ipath_tagging, .destroy = ipath_destroy },
		{ .machine = { .name = "high", .high_bytes = 8 << 20 },
		  .create = ipath_tagging,
		  .destroy = ipath_destroy },
		{ .machine = { .name = "walk", .high_bytes = 8 << 20 },
		  .create = ipath_refusing,
		  .destroy = ipath_destroy },
		{ .machine = { .name = "ops" }, .create = virt_create, .destroy = ib_unregister_device },
	};
	struct bed bed[HCA_ARRAY_SIZE(defs)];
	int i, bad = 0, made;

	for (made = 0; made < (int)HCA_ARRAY_SIZE(defs); made++)
		if (bed_open(&bed[made], &defs[made]))
			break;
	if (made == (int)HCA_ARRAY_SIZE(defs)) {
		/* Each is measured even if one before it couldn't be. */
		bad |= singles(&bed[0], &bed[1], &bed[3]);
		bad |= lists(&bed[0], &bed[2]);
		bad |= against_rivals(&bed[0]);
	} else {
		bad = -1;
	}
	for (i = 0; i < made; i++)
		bed_close(&bed[i]);
	bad |= bench_dma_bus();
	bad |= bench_dma_keep();
	return bad;
}

const struct bench_part bench_dma_map = {
	.name = "dma-map",
	.about = "ib_dma_*() on the software device, the rivals, the IOMMU and the ledger",
	.run = run,
};
const struct bench_part bench_dma_count = {
	.name = "dma-count",
	.about = "instructions of map + unmap",
	.run = instructions,
	.counted = counted,
};
