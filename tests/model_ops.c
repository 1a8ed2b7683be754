/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the plain model does with mappings: the device's accesses, changes of owner, and what must not be done. */
#include <errno.h>
#include <string.h>

#include "model_private.h"

/* --- the device --- */

struct spot {
	struct model_map *map;
	struct model_piece *piece;
	u32 off;
	u32 len;
};

static bool choose_spot(struct model *m, struct spot *s)
{
	s->map = model_choose_map(m, true);
	if (!s->map)
		return false;
	s->piece = &s->map->piece[model_choose(m, s->map->npieces)];
	s->off = model_choose(m, s->piece->len);
	s->len = 1 + model_choose(m, HCA_MIN(s->piece->len - s->off, MAX_ACCESS));
	return true;
}

static int result(struct model *m, bool allowed)
{
	return allowed || !m->a.iommu ? 0 : -EFAULT;
}

static bool wrong_ended_in(const struct model *m, dma_addr_t from, u32 len)
{
	u32 i;

	for (i = 0; i < HCA_MIN(m->wrongs, MODEL_WRONGS); i++)
		if (m->wrong_to[i] - from < len)
			return true;
	return false;
}

/*
 * Does a wrong access begin where one before it ended, in its piece or at the end of the one before? The ledger takes it for the rest of
 * that one, and says nothing of it. Else it is noted.
 */
static bool goes_on(struct model *m, const struct model_map *map, const struct model_piece *p, u32 off, u32 len)
{
	dma_addr_t addr = p->addr + off;

	if (wrong_ended_in(m, addr, len) || (!off && p > map->piece && wrong_ended_in(m, p[-1].addr + p[-1].len, 1)))
		return true;
	m->wrong_to[m->wrongs++ % MODEL_WRONGS] = addr + len;
	return false;
}

void model_read(struct model *m)
{
	static u8 got[MAX_ACCESS], want[MAX_ACCESS];
	bool allowed, covered;
	struct spot s;
	int err;

	if (!choose_spot(m, &s))
		return;
	allowed = model_device_reads(s.map->dir);
	if (!allowed && model_choose(m, 8))
		return; /* misuse now and then */
	covered = model_has_all(m, s.piece->addr + s.off, s.len, DMA_TO_DEVICE);
	if (!covered && goes_on(m, s.map, s.piece, s.off, s.len))
		return;
	err = ib_dma_read(m->a.ib, s.piece->addr + s.off, got, s.len);
	CHECK(m, err == result(m, allowed));
	if (!err) {
		model_move_seen(m, s.map, s.piece, s.off, want, s.len, false);
		CHECK(m, !memcmp(got, want, s.len));
	}
	model_expect(m, !covered);
}

void model_write(struct model *m)
{
	bool allowed, covered;
	u8 put[MAX_ACCESS];
	struct spot s;
	int err;

	if (!choose_spot(m, &s))
		return;
	allowed = model_device_writes(s.map->dir);
	if (!allowed && model_choose(m, 8))
		return;
	covered = model_has_all(m, s.piece->addr + s.off, s.len, DMA_FROM_DEVICE);
	if (!covered && goes_on(m, s.map, s.piece, s.off, s.len))
		return;
	model_some_bytes(m, put, s.len);
	err = ib_dma_write(m->a.ib, s.piece->addr + s.off, put, s.len);
	CHECK(m, err == result(m, allowed));
	if (!err)
		model_move_seen(m, s.map, s.piece, s.off, put, s.len, true);
	model_expect(m, !covered);
}

/* Two mappings of the same bytes: what a copy between them leaves depends on the windows it is made in. */
static bool share_bytes(const struct model_map *a, const struct model_map *b)
{
	u32 i, j;

	if (a == b)
		return true;
	for (i = 0; i < a->nents; i++)
		for (j = 0; j < b->nents; j++) {
			const struct model_range *x = &a->range[i], *y = &b->range[j];

			if (x->block == y->block && x->off < y->off + y->len && y->off < x->off + x->len)
				return true;
		}
	return false;
}

void model_copy(struct model *m)
{
	u8 buf[MAX_ACCESS];
	struct spot s, d;
	u32 len;

	if (!choose_spot(m, &s) || !choose_spot(m, &d) || !model_device_reads(s.map->dir) ||
	    !model_device_writes(d.map->dir) || share_bytes(s.map, d.map))
		return;
	len = HCA_MIN(s.len, d.len);
	CHECK(m, !ib_dma_copy(m->a.ib, d.piece->addr + d.off, m->a.ib, s.piece->addr + s.off, len));
	model_move_seen(m, s.map, s.piece, s.off, buf, len, false);
	model_move_seen(m, d.map, d.piece, d.off, buf, len, true);
	model_expect(m, 0);
}

/* --- who owns the bytes --- */

static void hand_over(struct model *m, struct model_map *map, struct model_piece *p, u32 off, u32 len, bool cpu)
{
	if (!p->copy)
		return;
	if (cpu && model_device_writes(map->dir))
		model_move_mem(m, map, p->at + off, p->copy + off, len, true);
	else if (!cpu && model_device_reads(map->dir))
		model_move_mem(m, map, p->at + off, p->copy + off, len, false);
}

void model_sync(struct model *m)
{
	bool cpu = model_choose(m, 2), list, good;
	enum dma_data_direction dir;
	struct spot s;
	u32 i;

	if (!choose_spot(m, &s) || s.map->kind == HCA_MAP_COHERENT)
		return;
	dir = model_choose(m, 8) ? s.map->dir : model_choose_dir(m);
	list = s.map->kind == HCA_MAP_LIST && model_choose(m, 2);
	good = true;
	if (list) {
		for (i = 0; i < s.map->npieces; i++)
			good &= model_one_has_all(m, s.map->piece[i].addr, s.map->piece[i].len, dir);
		if (cpu)
			ib_dma_sync_sg_for_cpu(m->a.ib, s.map->sgl, (int)s.map->nents, dir);
		else
			ib_dma_sync_sg_for_device(m->a.ib, s.map->sgl, (int)s.map->nents, dir);
		for (i = 0; i < s.map->npieces; i++)
			hand_over(m, s.map, &s.map->piece[i], 0, s.map->piece[i].len, cpu);
	} else {
		good = model_one_has_all(m, s.piece->addr + s.off, s.len, dir);
		if (cpu)
			ib_dma_sync_single_for_cpu(m->a.ib, s.piece->addr + s.off, s.len, dir);
		else
			ib_dma_sync_single_for_device(m->a.ib, s.piece->addr + s.off, s.len, dir);
		hand_over(m, s.map, s.piece, s.off, s.len, cpu);
	}
	model_compare_map(m, s.map);
	model_expect(m, !good);
}

void model_cpu(struct model *m)
{
	struct model_map *map = model_choose_map(m, true);
	u8 put[MAX_ACCESS];
	struct model_range r;

	if (map && map->bytes && model_choose(m, 2)) {
		r.off = model_choose(m, map->size);
		r.len = 1 + model_choose(m, HCA_MIN(map->size - r.off, MAX_ACCESS));
		model_some_bytes(m, put, r.len);
		memcpy(map->cpu + r.off, put, r.len);
		memcpy(map->bytes + r.off, put, r.len);
		return;
	}
	model_choose_range(m, &r, false);
	r.len = HCA_MIN(r.len, MAX_ACCESS);
	model_compare_block(m, r.block, r.off, r.len);
	model_some_bytes(m, put, r.len);
	model_real_cpu(m, r.block, r.off, put, r.len, true);
	memcpy(m->mem[r.block] + r.off, put, r.len);
}

/* --- what must not be done --- */

/* What was live once: its addresses and lists are still there. */
static struct model_map *choose_dead(struct model *m)
{
	struct model_map *dead = model_choose_map(m, false);

	return dead && dead->npieces ? dead : NULL;
}

static bool pieces_near(const struct model *m, const struct model_map *map)
{
	u32 i;

	for (i = 0; i < map->npieces; i++)
		if (model_near(m, map->piece[i].addr))
			return true;
	return false;
}

static void unmap_twice(struct model *m)
{
	struct model_map *dead = choose_dead(m);

	if (!dead)
		return;
	/* Without a ledger, whoever has the addresses now would pay for it. */
	if (!m->a.ledger && (pieces_near(m, dead) || dead->kind == HCA_MAP_COHERENT))
		return;
	/* One memory for each address: what begins there now may be taken for it, be it a list or not. */
	if (model_begins_at(m, dead->addr))
		return;
	model_say_unmap(m, dead, dead->kind == HCA_MAP_LIST ? dead->nents : dead->size, dead->dir, 0);
	model_expect(m, 1);
}

static void use_after_unmap(struct model *m)
{
	struct model_map *dead = choose_dead(m);
	struct model_piece *p;
	u8 got[8];
	u32 off, len;
	bool fine;
	int err;

	if (!dead)
		return;
	p = &dead->piece[model_choose(m, dead->npieces)];
	off = model_choose(m, p->len);
	len = HCA_MIN(p->len - off, (u32)sizeof(got));
	fine = model_has_all(m, p->addr + off, len, DMA_TO_DEVICE);
	if (!fine && goes_on(m, dead, p, off, len))
		return;
	err = ib_dma_read(m->a.ib, p->addr + off, got, len);
	if (!m->a.iommu)
		CHECK(m, !err);
	else if (!m->a.lazy && !model_in_live_page(m, p->addr + off))
		CHECK(m, err == -EFAULT);
	model_expect(m, !fine);
}

static void sync_after_unmap(struct model *m)
{
	struct model_map *dead = choose_dead(m);
	u32 len;

	if (!dead || dead->kind == HCA_MAP_COHERENT || pieces_near(m, dead))
		return;
	if (dead->kind == HCA_MAP_LIST && model_choose(m, 2)) {
		ib_dma_sync_sg_for_cpu(m->a.ib, dead->sgl, (int)dead->nents, dead->dir);
	} else {
		len = 1 + model_choose(m, dead->piece[0].len);
		ib_dma_sync_single_for_device(m->a.ib, dead->piece[0].addr, len, dead->dir);
	}
	model_expect(m, 1);
}

static void map_nonsense(struct model *m)
{
	u8 *ptr = page_address(m->block[0]);
	struct page *page = m->block[MODEL_BLOCKS - 1];
	size_t all = (size_t)machine_map(m->a.m)->all_bytes;
	struct scatterlist sgl[2];
	dma_addr_t addr;
	bool walks;

	switch (model_choose(m, 8)) {
	case 0:
		addr = ib_dma_map_single(m->a.ib, ptr, 0, DMA_TO_DEVICE);
		CHECK(m, hca_dma_errno(addr) == -EINVAL);
		break;
	case 1:
		addr = ib_dma_map_single(m->a.ib, NULL, 16, DMA_TO_DEVICE);
		CHECK(m, hca_dma_errno(addr) == -EFAULT);
		break;
	case 2:
		addr = ib_dma_map_single(m->a.ib, ptr, all + 1, DMA_TO_DEVICE);
		CHECK(m, hca_dma_errno(addr) == -EFAULT);
		break;
	case 3:
		addr = ib_dma_map_page(m->a.ib, page, all + model_choose(m, 5000), 16, DMA_TO_DEVICE);
		CHECK(m, hca_dma_errno(addr) == -EFAULT);
		break;
	case 4:
		addr = ib_dma_map_page(m->a.ib, page, 0, 16, (enum dma_data_direction)(3 + model_choose(m, 9)));
		CHECK(m, hca_dma_errno(addr) == -EINVAL);
		break;
	case 5:
		addr = ib_dma_map_page(m->a.ib, page, 1, SIZE_MAX - model_choose(m, 9), DMA_TO_DEVICE);
		CHECK(m, hca_dma_errno(addr) == -EFAULT);
		break;
	case 6:
		sg_init_one(sgl, ptr, 16);
		CHECK(m, !ib_dma_map_sg(m->a.ib, sgl, -(int)model_choose(m, 3), DMA_TO_DEVICE));
		break;
	default:
		walks = m->a.ledger || !m->a.soft || (m->a.refuse && machine_map(m->a.m)->low_bytes < all);
		if (!walks)
			return;
		sg_init_table(sgl, 2);
		sg_set_page(&sgl[0], m->block[0], 16, 0);
		sg_set_page(&sgl[1], model_choose(m, 2) ? NULL : m->block[0], model_choose(m, 2) ? 0 : UINT32_MAX, 0);
		CHECK(m, !ib_dma_map_sg(m->a.ib, sgl, 2, DMA_TO_DEVICE));
		model_expect(m, 1);
		return;
	}
	model_expect(m, 0);
}

void model_misuse(struct model *m)
{
	switch (model_choose(m, 4)) {
	case 0:
		unmap_twice(m);
		break;
	case 1:
		use_after_unmap(m);
		break;
	case 2:
		sync_after_unmap(m);
		break;
	default:
		map_nonsense(m);
	}
}
