/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The mover that needs the mapping layer alone. For each request the initiator maps
 * its list and the target one over the pages that it holds, and the adapters copy
 * between the mapped addresses: what an RDMA write and an RDMA read come to.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mover.h"

/* What the target holds; the initiator's own request comes on top of it. */
#define WINDOW (2u << 20)

struct mover {
	const struct bed *bed;
	struct shapes shapes;
	struct shape_block *block; /* the target's pages, in the order of its offsets */
	u32 blocks;
	u64 busy_ns;
};

static u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

static u64 copy_close(struct mover *mv)
{
	u64 busy = mv->busy_ns;
	u32 i;

	for (i = 0; i < mv->blocks; i++)
		__free_pages(mv->block[i].page, mv->block[i].order);
	free(mv->block);
	free(mv);
	return busy;
}

static int copy_open(const struct bed *bed, u64 seed, struct mover **out, struct why *why)
{
	struct mover *mv = calloc(1, sizeof(*mv));
	u32 have = 0;

	if (!mv)
		return why_set(why, -ENOMEM, "no memory");
	mv->block = calloc(WINDOW / PAGE_SIZE, sizeof(*mv->block));
	if (!mv->block) {
		free(mv);
		return why_set(why, -ENOMEM, "no memory");
	}
	mv->bed = bed;
	mv->shapes.state = seed;
	while (have < WINDOW) {
		struct shape_block *b = &mv->block[mv->blocks];

		b->order = shapes_upto(&mv->shapes, 5) - 1;
		while (have + (PAGE_SIZE << b->order) > WINDOW)
			b->order--;
		b->page = shape_alloc(&mv->shapes, bed->machine, &b->order);
		if (!b->page)
			break;
		have += (u32)PAGE_SIZE << b->order;
		mv->blocks++;
	}
	if (have < WINDOW) {
		copy_close(mv);
		return why_set(why, -ENOMEM, "no memory for what the target holds");
	}
	*out = mv;
	return 0;
}

/* A list over the bytes [at, at + len) that the target holds, cut finer here and there. */
static int target_list(struct mover *mv, u32 at, u32 len, struct shape_table *out)
{
	struct pieces ps = { .n = 0 };
	int err = 0;
	u32 i;

	for (i = 0; i < mv->blocks && len && !err; i++) {
		u32 size = (u32)PAGE_SIZE << mv->block[i].order;

		if (at >= size) {
			at -= size;
			continue;
		}
		while (at < size && len && !err) {
			u32 most = size - at < len ? size - at : len;
			u32 n = shapes_upto(&mv->shapes, 2) == 1 ? most : shapes_upto(&mv->shapes, most);

			err = pieces_add(&ps, mv->block[i].page, at, n);
			at += n;
			len -= n;
		}
		at = 0;
	}
	if (!err)
		err = shape_table_make(&mv->shapes, &ps, out);
	pieces_free(&ps);
	return err;
}

/* Where a walk over a mapped list is: the bytes of this entry that are still to come. */
struct walk {
	struct ib_device *ib;
	struct scatterlist *sg;
	unsigned int entries; /* after this one */
	dma_addr_t addr;
	u32 len;
};

static void walk_start(struct walk *w, struct ib_device *ib, struct sg_table *sgt)
{
	w->ib = ib;
	w->sg = sgt->sgl;
	w->entries = sgt->nents - 1;
	w->addr = ib_sg_dma_address(ib, w->sg);
	w->len = ib_sg_dma_len(ib, w->sg);
}

static void walk_on(struct walk *w, u32 n)
{
	w->addr += (u64)n;
	w->len -= n;
	if (w->len || !w->entries)
		return;
	w->entries--;
	w->sg = sg_next(w->sg);
	w->addr = ib_sg_dma_address(w->ib, w->sg);
	w->len = ib_sg_dma_len(w->ib, w->sg);
}

/* The adapters' work: each piece that lies in one mapped entry of both. */
static int copy_mapped(struct walk *to, struct walk *from, u32 len, struct why *why)
{
	while (len) {
		u32 n = to->len < from->len ? to->len : from->len;
		int err;

		if (n > len)
			n = len;
		if (!n)
			return why_set(why, -EIO, "a mapped list is %u bytes shorter than what was mapped", len);
		err = ib_dma_copy(to->ib, to->addr, from->ib, from->addr, n);
		if (err)
			return why_set(why, err, "copying %u bytes from 0x%llx to 0x%llx: %s", n,
				       (unsigned long long)hca_dma_u64(from->addr),
				       (unsigned long long)hca_dma_u64(to->addr), strerror(-err));
		walk_on(to, n);
		walk_on(from, n);
		len -= n;
	}
	return 0;
}

static int carry(struct mover *mv, struct sg_table *theirs, struct sg_table *ours, u32 len, bool write, struct why *why)
{
	enum dma_data_direction their_dir = write ? DMA_TO_DEVICE : DMA_FROM_DEVICE;
	enum dma_data_direction our_dir = write ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
	struct ib_device *initiator = mv->bed->initiator.ib, *target = mv->bed->target.ib;
	struct walk i, t;
	int n, err;

	n = ib_dma_map_sg(initiator, theirs->sgl, (int)theirs->orig_nents, their_dir);
	if (!n)
		return why_set(why, -EIO, "the initiator can't map a list of %u entries, %u bytes", theirs->orig_nents,
			       len);
	theirs->nents = (unsigned int)n;
	err = ib_dma_map_sgtable_attrs(target, ours, our_dir, 0);
	if (err) {
		why_set(why, err, "the target can't map a list of %u entries, %u bytes: %s", ours->orig_nents, len,
			strerror(-err));
		goto unmap_theirs;
	}
	walk_start(&i, initiator, theirs);
	walk_start(&t, target, ours);
	err = write ? copy_mapped(&t, &i, len, why) : copy_mapped(&i, &t, len, why);
	ib_dma_unmap_sgtable_attrs(target, ours, our_dir, 0);
unmap_theirs:
	ib_dma_unmap_sg(initiator, theirs->sgl, (int)theirs->orig_nents, their_dir);
	return err;
}

static int request(struct mover *mv, u64 at, struct sg_table *sgt, u32 len, bool write, struct why *why)
{
	struct shape_table ours;
	u64 began;
	int err;

	err = target_list(mv, (u32)(at % WINDOW), len, &ours);
	if (err)
		return why_set(why, err, "no memory for the target's list");
	began = now_ns();
	err = carry(mv, sgt, &ours.sgt, len, write, why);
	mv->busy_ns += now_ns() - began;
	shape_table_free(&ours);
	return err;
}

static int copy_write(struct mover *mv, u64 at, struct sg_table *sgt, u32 len, struct why *why)
{
	return request(mv, at, sgt, len, true, why);
}

static int copy_read(struct mover *mv, u64 at, struct sg_table *sgt, u32 len, struct why *why)
{
	return request(mv, at, sgt, len, false, why);
}

const struct mover_ops mover_copy = {
	.name = "copy",
	.window = WINDOW,
	.open = copy_open,
	.write = copy_write,
	.read = copy_read,
	.close = copy_close,
};
