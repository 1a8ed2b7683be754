/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The plain model of the mapping layer; see model.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model_private.h"

u32 model_choose(struct model *m, u32 n)
{
	return n ? m->a.choose(m->a.ctx, n) % n : 0;
}

static void *get_memory(size_t bytes)
{
	void *mem = calloc(1, bytes);

	if (!mem)
		abort();
	return mem;
}

/* --- bytes --- */

void model_move_mem(struct model *m, struct model_map *map, u32 at, u8 *buf, u32 len, bool put)
{
	u32 i, skip = at;

	if (map->bytes) {
		memcpy(put ? map->bytes + at : buf, put ? buf : map->bytes + at, len);
		return;
	}
	for (i = 0; i < map->nents && len; i++) {
		struct model_range *r = &map->range[i];
		u8 *mem = m->mem[r->block] + r->off + skip;
		u32 n;

		if (skip >= r->len) {
			skip -= r->len;
			continue;
		}
		n = HCA_MIN(len, r->len - skip);
		memcpy(put ? mem : buf, put ? buf : mem, n);
		buf += n;
		len -= n;
		skip = 0;
	}
	CHECK(m, !len);
}

void model_move_seen(struct model *m, struct model_map *map, struct model_piece *p, u32 off, u8 *buf, u32 len, bool put)
{
	if (!p->copy)
		model_move_mem(m, map, p->at + off, buf, len, put);
	else
		memcpy(put ? p->copy + off : buf, put ? buf : p->copy + off, len);
}

void model_real_cpu(struct model *m, u32 block, u32 off, u8 *buf, u32 len, bool put)
{
	while (len) {
		u32 in = off & 4095, n = HCA_MIN(len, 4096 - in);
		u8 *at = kmap_local_page(nth_page(m->block[block], off >> PAGE_SHIFT));

		CHECK(m, at);
		memcpy(put ? at + in : buf, put ? buf : at + in, n);
		kunmap_local(at);
		off += n;
		buf += n;
		len -= n;
	}
}

void model_compare_block(struct model *m, u32 block, u32 off, u32 len)
{
	u8 now[MODEL_BLOCK_BYTES];

	model_real_cpu(m, block, off, now, len, false);
	CHECK(m, !memcmp(now, m->mem[block] + off, len));
}

void model_compare_map(struct model *m, struct model_map *map)
{
	u32 i;

	if (map->bytes)
		CHECK(m, !memcmp(map->cpu, map->bytes, map->size));
	for (i = 0; !map->bytes && i < map->nents; i++)
		model_compare_block(m, map->range[i].block, map->range[i].off, map->range[i].len);
}

void model_some_bytes(struct model *m, u8 *buf, u32 len)
{
	u32 x = model_choose(m, 1u << 16) * 2654435761u + 12345, i;

	for (i = 0; i < len; i++) {
		buf[i] = (u8)(x >> 16);
		x = x * 1664525 + 1013904223;
	}
}

/* --- the ledger's view --- */

static void compare_ledger(struct model *m)
{
	struct ib_dma_totals t;
	u64 live = 0, bytes = 0, said = 0;
	u32 i;

	CHECK(m, *m->a.reports == m->expected);
	if (!m->a.ledger)
		return;
	for (i = 0; i < MODEL_MAPS; i++) {
		live += m->map[i].live;
		bytes += m->map[i].live ? m->map[i].size : 0;
	}
	CHECK(m, !ib_dma_get_totals(m->a.ib, &t));
	for (i = 0; i < HCA_MISUSE_KINDS; i++)
		said += t.misuse[i];
	CHECK(m, t.live == live);
	CHECK(m, t.live_bytes == bytes);
	CHECK(m, t.made == m->made);
	CHECK(m, said == (u64)m->expected);
}

void model_expect(struct model *m, int reports)
{
	m->expected += m->a.ledger ? reports : 0;
	compare_ledger(m);
}

/* How many bytes from here on one live mapping has for that direction. */
static u32 run_at(const struct model *m, dma_addr_t addr, enum dma_data_direction dir)
{
	u32 i, j, most = 0;

	for (i = 0; i < MODEL_MAPS; i++)
		for (j = 0; m->map[i].live && j < m->map[i].npieces; j++) {
			const struct model_piece *p = &m->map[i].piece[j];

			if (addr - p->addr < p->len && (m->map[i].dir == DMA_BIDIRECTIONAL || m->map[i].dir == dir))
				most = HCA_MAX(most, p->len - (u32)(addr - p->addr));
		}
	return most;
}

bool model_has_all(const struct model *m, dma_addr_t addr, u32 len, enum dma_data_direction dir)
{
	while (len) {
		u32 run = run_at(m, addr, dir);

		if (!run || run >= len)
			return run;
		addr += run;
		len -= run;
	}
	return true;
}

bool model_one_has_all(const struct model *m, dma_addr_t addr, u32 len, enum dma_data_direction dir)
{
	return run_at(m, addr, dir) >= len;
}

bool model_in_live_page(const struct model *m, dma_addr_t addr)
{
	u32 i, j;

	for (i = 0; i < MODEL_MAPS; i++)
		for (j = 0; m->map[i].live && j < m->map[i].npieces; j++) {
			const struct model_piece *p = &m->map[i].piece[j];

			if (addr >> PAGE_SHIFT >= p->addr >> PAGE_SHIFT &&
			    addr >> PAGE_SHIFT <= (p->addr + p->len - 1) >> PAGE_SHIFT)
				return true;
		}
	return false;
}

u32 model_begins_at(const struct model *m, dma_addr_t addr)
{
	u32 i, n = 0;

	for (i = 0; i < MODEL_MAPS; i++)
		n += m->map[i].live && m->map[i].addr == addr;
	return n;
}

bool model_near(const struct model *m, dma_addr_t addr)
{
	return model_in_live_page(m, addr) || model_begins_at(m, addr);
}

/* --- map --- */

/* Of a bounce machine: is this the pool? What is there isn't the memory that was mapped. */
static bool in_pool(const struct model *m, dma_addr_t addr)
{
	return !m->a.soft && m->a.m->reserved && hca_dma_u64(addr) - m->a.m->bus_base < m->a.m->reserved;
}

void model_choose_range(struct model *m, struct model_range *r, bool low)
{
	static const u32 usual[] = { 1, 64, 512, 4096, 8192 };

	/* The first half of the blocks is low memory. */
	r->block = model_choose(m, low ? MODEL_BLOCKS / 2 : MODEL_BLOCKS);
	r->off = model_choose(m, 3) ? model_choose(m, 4) * 4096 + (model_choose(m, 2) ? model_choose(m, 4096) : 0) :
				      model_choose(m, MODEL_BLOCK_BYTES);
	r->len = model_choose(m, 2) ? usual[model_choose(m, HCA_ARRAY_SIZE(usual))] : 1 + model_choose(m, 8192);
	r->len = HCA_MIN(r->len, MODEL_BLOCK_BYTES - r->off);
}

/* The first byte by its own page, or by one before it in its block and an offset of more than a page. */
static struct page *range_page(struct model *m, const struct model_range *r, u32 *offset)
{
	u32 page = r->off >> PAGE_SHIFT, back = model_choose(m, 3) ? 0 : model_choose(m, page + 1);

	*offset = (r->off & 4095) + (back << PAGE_SHIFT);
	return nth_page(m->block[r->block], page - back);
}

static void add_piece(struct model *m, struct model_map *map, dma_addr_t addr, u32 at, u32 len, unsigned long attrs)
{
	struct model_piece *p = &map->piece[map->npieces++];

	*p = (struct model_piece){ .addr = addr, .at = at, .len = len };
	if (map->bytes || !in_pool(m, addr))
		return;
	p->copy = get_memory(len);
	if (map->dir != DMA_TO_DEVICE || !(attrs & DMA_ATTR_SKIP_CPU_SYNC))
		model_move_mem(m, map, at, p->copy, len, false);
}

static void map_range(struct model *m, struct model_map *map, unsigned long attrs)
{
	struct model_range *r = &map->range[0];
	bool single = model_choose(m, 2);
	struct ib_device *ib = m->a.ib;
	struct bio_vec bv;
	dma_addr_t addr;
	int err;

	model_choose_range(m, r, single || m->a.refuse);
	map->nents = 1;
	map->size = r->len;
	map->kind = single ? HCA_MAP_SINGLE : HCA_MAP_PAGE;
	if (single) {
		u8 *ptr = (u8 *)page_address(m->block[r->block]) + r->off;

		addr = attrs ? ib_dma_map_single_attrs(ib, ptr, r->len, map->dir, attrs) :
			       ib_dma_map_single(ib, ptr, r->len, map->dir);
	} else {
		bv = (struct bio_vec){ .bv_len = r->len };
		bv.bv_page = range_page(m, r, &bv.bv_offset);
		addr = model_choose(m, 2) ? ib_dma_map_bvec(ib, &bv, map->dir) :
					    ib_dma_map_page(ib, bv.bv_page, bv.bv_offset, bv.bv_len, map->dir);
		attrs = 0;
	}
	err = ib_dma_mapping_error(ib, addr);
	if (err == -ENOMEM && m->a.m->reserved)
		return; /* the pool is full */
	CHECK(m, !err);
	CHECK(m, !m->a.soft || (hca_dma_u64(addr) >> 52 == 0x4d5) == PageHighMem(m->block[r->block]));
	map->addr = addr;
	map->live = true;
	add_piece(m, map, addr, 0, r->len, attrs);
}

static void map_list(struct model *m, struct model_map *map, unsigned long attrs)
{
	u32 i, j, at = 0, sum = 0, offset, n = 1 + model_choose(m, MODEL_ENTRIES);
	struct page *page;
	struct scatterlist before[MODEL_ENTRIES];
	struct sg_table sgt = { .sgl = map->sgl, .orig_nents = n };
	int ret;

	sg_init_table(map->sgl, n);
	for (i = 0; i < n; i++) {
		struct model_range *r = &map->range[i];

		model_choose_range(m, r, m->a.refuse);
		/* Often the memory that follows, which may be merged. */
		if (i && model_choose(m, 2) && r[-1].off + r[-1].len < MODEL_BLOCK_BYTES) {
			r->block = r[-1].block;
			r->off = r[-1].off + r[-1].len;
			r->len = HCA_MIN(r->len, MODEL_BLOCK_BYTES - r->off);
		}
		page = range_page(m, r, &offset);
		sg_set_page(&map->sgl[i], page, r->len, offset);
		sum += r->len;
	}
	map->nents = n;
	map->size = sum;
	map->kind = HCA_MAP_LIST;
	memcpy(before, map->sgl, sizeof(before));
	ret = ib_dma_map_sgtable_attrs(m->a.ib, &sgt, map->dir, attrs);
	if (ret == -ENOMEM && m->a.m->reserved)
		return;
	CHECK(m, !ret);
	CHECK(m, sgt.nents >= 1 && sgt.nents <= n);
	/* A ledger marks what its mapping doesn't fill. */
	CHECK(m, !m->a.soft || m->a.ib->ledger || !memcmp(before, map->sgl, sizeof(before)));
	map->addr = ib_sg_dma_address(m->a.ib, map->sgl);
	map->live = true;
	for (j = 0; j < sgt.nents; j++) {
		u32 len = ib_sg_dma_len(m->a.ib, &map->sgl[j]);

		CHECK(m, len && len <= sum - at);
		add_piece(m, map, ib_sg_dma_address(m->a.ib, &map->sgl[j]), at, len, attrs);
		at += len;
	}
	CHECK(m, at == sum);
}

static void map_coherent(struct model *m, struct model_map *map)
{
	u32 i;

	map->size = 1 + model_choose(m, 9000);
	map->kind = HCA_MAP_COHERENT;
	map->dir = DMA_BIDIRECTIONAL;
	map->nents = 0;
	map->cpu = ib_dma_alloc_coherent(m->a.ib, map->size, &map->addr, GFP_KERNEL);
	if (!map->cpu && m->a.m->reserved)
		return;
	CHECK(m, map->cpu);
	for (i = 0; i < map->size; i++)
		CHECK(m, !map->cpu[i]);
	map->bytes = get_memory(map->size);
	map->live = true;
	add_piece(m, map, map->addr, 0, map->size, 0);
}

static void do_map(struct model *m, struct model_map *map)
{
	unsigned long attrs = model_choose(m, 8) ? 0 : DMA_ATTR_SKIP_CPU_SYNC;
	u32 kind = model_choose(m, 8);

	memset(map, 0, sizeof(*map));
	map->dir = model_choose_dir(m);
	if (kind < 4)
		map_range(m, map, attrs);
	else if (kind < 7)
		map_list(m, map, attrs);
	else
		map_coherent(m, map);
	m->made += map->live;
}

/* --- unmap --- */

void model_say_unmap(struct model *m, struct model_map *map, u32 size, enum dma_data_direction dir, unsigned long attrs)
{
	struct sg_table sgt = { .sgl = map->sgl, .orig_nents = size };

	switch (map->kind) {
	case HCA_MAP_SINGLE:
		ib_dma_unmap_single_attrs(m->a.ib, map->addr, size, dir, attrs);
		break;
	case HCA_MAP_PAGE:
		ib_dma_unmap_page(m->a.ib, map->addr, size, dir);
		break;
	case HCA_MAP_LIST:
		if (size % 2)
			ib_dma_unmap_sg_attrs(m->a.ib, map->sgl, (int)size, dir, attrs);
		else
			ib_dma_unmap_sgtable_attrs(m->a.ib, &sgt, dir, attrs);
		break;
	case HCA_MAP_COHERENT:
		ib_dma_free_coherent(m->a.ib, size, map->cpu, map->addr);
		break;
	}
}

/* Was a list of as many entries unmapped here? A wrong unmap in its words is one of it, once more. */
static bool list_ended(const struct model *m, dma_addr_t addr, u32 nents)
{
	u32 i;

	for (i = 0; i < HCA_MIN(m->lists_ended, MODEL_ENDED); i++)
		if (m->ended[i].addr == addr && m->ended[i].nents == nents)
			return true;
	return false;
}

static void note_ended(struct model *m, const struct model_map *map)
{
	u32 i = m->lists_ended++ % MODEL_ENDED;

	m->ended[i].addr = map->addr;
	m->ended[i].nents = map->nents;
}

/* @wrong: bit 0, another size; bit 1, another direction; what the CPU gets is the same */
static void do_unmap(struct model *m, struct model_map *map, u32 wrong)
{
	unsigned long attrs = map->kind == HCA_MAP_PAGE || model_choose(m, 8) ? 0 : DMA_ATTR_SKIP_CPU_SYNC;
	u32 i, size = map->kind == HCA_MAP_LIST ? map->nents : map->size;
	enum dma_data_direction dir = map->dir;
	int reports = 0;

	/* Without a ledger nobody knows a list's length but the caller. Another mapping here might fit the words better. */
	if ((map->kind == HCA_MAP_LIST && !m->a.ledger) || map->kind == HCA_MAP_COHERENT ||
	    model_begins_at(m, map->addr) > 1)
		wrong = 0;
	if (wrong & 1 && map->kind == HCA_MAP_LIST && list_ended(m, map->addr, size > 1 ? size - 1 : size + 1))
		wrong &= ~1u;
	if (wrong & 1) {
		size = size > 1 ? size - 1 : size + 1;
		reports++;
	}
	if (wrong & 2) {
		dir = (enum dma_data_direction)((dir + 1 + model_choose(m, 2)) % 3);
		reports++;
	}
	model_say_unmap(m, map, size, dir, attrs);
	map->live = false;
	if (map->kind == HCA_MAP_LIST)
		note_ended(m, map);
	for (i = 0; i < map->npieces; i++) {
		struct model_piece *p = &map->piece[i];

		if (p->copy && model_device_writes(map->dir) && !(attrs & DMA_ATTR_SKIP_CPU_SYNC))
			model_move_mem(m, map, p->at, p->copy, p->len, true);
		free(p->copy);
		p->copy = NULL;
	}
	if (map->kind == HCA_MAP_COHERENT) {
		free(map->bytes);
		map->bytes = NULL;
	} else {
		model_compare_map(m, map);
	}
	model_expect(m, reports);
}

struct model_map *model_choose_map(struct model *m, bool live)
{
	u32 i, first = model_choose(m, MODEL_MAPS);

	for (i = 0; i < MODEL_MAPS; i++) {
		struct model_map *map = &m->map[(first + i) % MODEL_MAPS];

		if (map->live == live)
			return map;
	}
	return NULL;
}

/* --- all of it --- */

struct model *model_begin(const struct model_attr *a)
{
	struct model *m = get_memory(sizeof(*m));
	u32 i;

	m->a = *a;
	for (i = 0; i < MODEL_BLOCKS; i++) {
		gfp_t high = i < MODEL_BLOCKS / 2 ? 0 : __GFP_HIGHMEM;

		m->block[i] = machine_alloc_pages(a->m, GFP_KERNEL | __GFP_ZERO | high, MODEL_BLOCK_ORDER);
		CHECK(m, m->block[i]);
		m->mem[i] = get_memory(MODEL_BLOCK_BYTES);
	}
	return m;
}

void model_step(struct model *m)
{
	struct model_map *map;
	u32 what = model_choose(m, 16);

	switch (what) {
	case 0:
	case 1:
	case 2:
		map = model_choose_map(m, false);
		if (map)
			do_map(m, map);
		break;
	case 3:
	case 4:
	case 5:
		map = model_choose_map(m, true);
		if (map)
			do_unmap(m, map, model_choose(m, 8) ? 0 : model_choose(m, 4));
		break;
	case 6:
	case 7:
		model_read(m);
		break;
	case 8:
	case 9:
		model_write(m);
		break;
	case 10:
		model_copy(m);
		break;
	case 11:
	case 12:
		model_sync(m);
		break;
	case 13:
	case 14:
		model_cpu(m);
		break;
	default:
		model_misuse(m);
	}
	compare_ledger(m);
}

void model_end(struct model *m)
{
	u32 i;

	for (i = 0; i < MODEL_MAPS; i++)
		if (m->map[i].live)
			do_unmap(m, &m->map[i], 0);
	for (i = 0; i < MODEL_BLOCKS; i++) {
		model_compare_block(m, i, 0, MODEL_BLOCK_BYTES);
		__free_pages(m->block[i], MODEL_BLOCK_ORDER);
		free(m->mem[i]);
	}
	free(m);
}
