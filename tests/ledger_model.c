/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See ledger_model.h. */
#include "ledger_model.h"

#include <errno.h>
#include <string.h>

#define PAGE 4096ull
#define PAGES 6u

static void report(void *ctx, const struct hca_misuse_report *r)
{
	struct ledger_model *m = ctx;

	if (m->reports < HCA_ARRAY_SIZE(m->report))
		m->report[m->reports] = *r;
	m->reports++;
}

static bool same(struct ledger_model *m, bool ok, const char *what)
{
	if (!ok && !m->what)
		m->what = what;
	return ok;
}

/* Records the condition by its text, so that a fuzzer's input says at once what it found. */
#define SAME(m, c) same(m, c, #c)

static u32 choose(struct ledger_model *m, u32 n)
{
	return m->choose(m->ctx, n);
}

static struct model_mapping *pick(struct ledger_model *m, bool live)
{
	u32 i, from = choose(m, MODEL_MAPPINGS);

	for (i = 0; i < MODEL_MAPPINGS; i++) {
		struct model_mapping *p = &m->mapping[(from + i) % MODEL_MAPPINGS];

		if (p->live == live)
			return p;
	}
	return NULL;
}

static bool alike(const struct hca_mapping *a, const struct hca_mapping *b)
{
	return a->addr == b->addr && a->size == b->size && a->kind == b->kind && a->dir == b->dir &&
	       a->list == b->list && a->entries == b->entries;
}

static u32 family(enum hca_map_kind kind)
{
	return kind == HCA_MAP_LIST ? 1 : kind == HCA_MAP_COHERENT ? 2 : 0;
}

static bool allows(const struct model_mapping *p, int dir)
{
	return p->map.dir == HCA_DMA_BIDIRECTIONAL || p->map.dir == dir;
}

static bool has(const struct model_mapping *p, u64 addr, u64 len)
{
	u32 i;

	for (i = 0; i < p->pieces; i++)
		if (addr - p->piece[i].addr < p->piece[i].len && len <= p->piece[i].len - (addr - p->piece[i].addr))
			return true;
	return false;
}

/* --- memory --- */

static void ended(struct ledger_model *m, struct model_mapping *p)
{
	p->live = false;
	if (m->endings < MODEL_ENDINGS)
		m->ended[m->endings++] = p->map;
}

/* Has a list ended that is described so? Within the ledger's history: it must know; before that: it may, as it keeps one of each. */
static bool has_ended(const struct ledger_model *m, const struct hca_mapping *call, bool *known)
{
	bool found = false;
	u32 i;

	for (i = 0; i < m->endings; i++) {
		if (!call->entries || !alike(&m->ended[i], call))
			continue;
		found = true;
		*known = m->endings - i <= m->history;
	}
	return found;
}

/* --- right calls --- */

static void map(struct ledger_model *m)
{
	static const u64 lens[] = { 64, 64, 64, 1, 100, PAGE, PAGE, 2 * PAGE, 3000 };
	struct model_mapping *p = pick(m, false);
	struct hca_ledger_rec *rec;
	u32 i;

	if (!p)
		return;
	memset(p, 0, sizeof(*p));
	p->live = true;
	p->map.kind = (enum hca_map_kind)choose(m, 4);
	p->map.dir = p->map.kind == HCA_MAP_COHERENT ? HCA_DMA_BIDIRECTIONAL : (int)choose(m, 3);
	p->pieces = p->map.kind == HCA_MAP_LIST ? 1 + choose(m, MODEL_PIECES) : 1;
	for (i = 0; i < p->pieces; i++) {
		p->piece[i].addr = m->base + choose(m, PAGES) * PAGE + (choose(m, 2) ? choose(m, 4) * 1000 : 0);
		p->piece[i].len = lens[choose(m, HCA_ARRAY_SIZE(lens))];
	}
	p->map.addr = hca_dma_addr(p->piece[0].addr);
	p->map.size = p->map.kind == HCA_MAP_LIST ? p->pieces : p->piece[0].len;
	if (p->map.kind == HCA_MAP_LIST || p->map.kind == HCA_MAP_COHERENT) {
		/* As the callers have it: a list is known by its first page, coherent memory by its pointer. */
		p->map.list = &((const char *)m)[choose(m, 2)];
		p->checked = true;
	}
	for (i = 0; p->map.kind == HCA_MAP_LIST && i < p->pieces; i++)
		p->map.entries = hca_ledger_entry(p->map.entries, p->map.list, (u32)(p->piece[i].addr - m->base),
						  (u32)p->piece[i].len);
	rec = hca_ledger_prepare(p->pieces);
	if (!rec) {
		p->live = false;
		return;
	}
	for (i = 0; i < p->pieces; i++)
		hca_ledger_seg(rec, i, hca_dma_addr(p->piece[i].addr), p->piece[i].len);
	hca_ledger_enter(m->ledger, rec, &p->map, p->pieces, "map");
	SAME(m, m->reports == 0);
}

static void check(struct ledger_model *m)
{
	const struct model_mapping *p = pick(m, true);
	u64 addr = p ? hca_dma_u64(p->map.addr) : m->base;
	u32 i;

	hca_ledger_checked(m->ledger, hca_dma_addr(addr));
	for (i = 0; i < MODEL_MAPPINGS; i++)
		if (m->mapping[i].live && hca_dma_u64(m->mapping[i].map.addr) == addr)
			m->mapping[i].checked = true;
	SAME(m, m->reports == 0);
}

static struct model_mapping *find_like(struct ledger_model *m, const struct hca_mapping *map, bool checked)
{
	u32 i;

	for (i = 0; i < MODEL_MAPPINGS; i++)
		if (m->mapping[i].live && m->mapping[i].checked == checked && alike(&m->mapping[i].map, map))
			return &m->mapping[i];
	return NULL;
}

/* --- unmaps, right and wrong --- */

static int fit(const struct model_mapping *p, const struct hca_mapping *call)
{
	bool together = family(p->map.kind) == family(call->kind);

	if (!p->live || p->map.addr != call->addr || (together && p->map.list != call->list))
		return 0;
	return 1 + 32 * together + 16 * (p->map.entries == call->entries) + 8 * (p->map.size == call->size) +
	       4 * (p->map.dir == call->dir) + 2 * (p->map.kind == call->kind) + p->checked;
}

static u32 count(const struct ledger_model *m, enum hca_misuse what)
{
	u32 i, n = 0;

	for (i = 0; i < m->reports; i++)
		n += m->report[i].what == what;
	return n;
}

/* The call describes a mapping exactly: it ends, and only for want of a look may anything be said. */
static void end_like(struct ledger_model *m, const struct hca_mapping *call)
{
	struct model_mapping *sure = find_like(m, call, true), *unsure = find_like(m, call, false);
	struct hca_mapping h = *call;

	SAME(m, hca_ledger_end(m->ledger, &h, "end") == 0);
	SAME(m, alike(&h, call));
	SAME(m, m->reports == (sure ? 0 : 1));
	SAME(m, sure || m->report[0].what == HCA_MISUSE_UNCHECKED);
	ended(m, unsure ? unsure : sure);
}

/* It describes none: the best of those at its address ends, or is refused, and each difference is one report. */
static void end_unlike(struct ledger_model *m, const struct hca_mapping *call)
{
	struct hca_mapping h = *call;
	struct model_mapping *p;
	int best = 0, err;
	bool known = false;
	u32 i;

	for (i = 0; i < MODEL_MAPPINGS; i++)
		best = HCA_MAX(best, fit(&m->mapping[i], call));
	err = hca_ledger_end(m->ledger, &h, "end");
	if ((best < 32 || !((best - 1) & 16)) && has_ended(m, call, &known) &&
	    (known || count(m, HCA_MISUSE_DOUBLE_UNMAP))) {
		/* By its entries it is a list that has ended, and no live one is. */
		SAME(m, err == -ENOENT);
		SAME(m, m->reports == 1 && m->report[0].what == HCA_MISUSE_DOUBLE_UNMAP);
		SAME(m, !known || (m->report[0].map_size == call->size && m->report[0].map_dir == call->dir));
		return;
	}
	if (best < 32) {
		/* Nothing of this family: unknown, ended before, or another family's that stays. */
		SAME(m, err == -ENOENT || (best && err == -EINVAL));
		SAME(m, m->reports == 1);
		SAME(m, err != -EINVAL || count(m, HCA_MISUSE_UNMAP_KIND));
		SAME(m, err != -ENOENT || count(m, HCA_MISUSE_UNMAP_UNKNOWN) || count(m, HCA_MISUSE_DOUBLE_UNMAP));
		return;
	}
	SAME(m, err == 0);
	p = find_like(m, &h, !count(m, HCA_MISUSE_UNCHECKED));
	if (!SAME(m, p && fit(p, call) == best))
		return;
	SAME(m, count(m, HCA_MISUSE_UNMAP_KIND) == (h.kind != call->kind));
	SAME(m, count(m, HCA_MISUSE_UNMAP_SIZE) == (h.size != call->size));
	SAME(m, count(m, HCA_MISUSE_UNMAP_DIR) == (h.dir != call->dir));
	SAME(m,
	     m->reports == 0u + (h.kind != call->kind) + (h.size != call->size) + (h.dir != call->dir) + !p->checked);
	ended(m, p);
}

static void end_wrong(struct ledger_model *m)
{
	const struct model_mapping *p = pick(m, true);
	struct hca_mapping call = { .kind = HCA_MAP_SINGLE, .addr = hca_dma_addr(m->base), .size = 64 };

	if (p)
		call = p->map;
	switch (choose(m, 7)) {
	case 6:
		call.entries += call.entries != 0;
		break;
	case 0:
		call.size++;
		break;
	case 1:
		call.dir = (int)choose(m, 4);
		break;
	case 2:
		call.kind = (enum hca_map_kind)choose(m, 4);
		break;
	case 3:
		call.addr += 1 + choose(m, 5000);
		break;
	case 4:
		call.list = &call;
		break;
	default:
		call.size += choose(m, 2);
		call.dir = (int)choose(m, 4);
		call.kind = (enum hca_map_kind)choose(m, 4);
		break;
	}
	if (find_like(m, &call, true) || find_like(m, &call, false))
		end_like(m, &call);
	else
		end_unlike(m, &call);
}

/* What was unmapped is unmapped again, though something else may have its address by now. */
static void end_again(struct ledger_model *m)
{
	struct hca_mapping call;

	if (!m->endings)
		return;
	call = m->ended[choose(m, m->endings)];
	if (find_like(m, &call, true) || find_like(m, &call, false))
		end_like(m, &call);
	else
		end_unlike(m, &call);
}

static void end_right(struct ledger_model *m)
{
	const struct model_mapping *p = pick(m, true);
	struct hca_mapping call;

	if (!p)
		return;
	call = p->map;
	end_like(m, &call);
}

/* --- uses and syncs --- */

enum cover { COVER_NONE, COVER_DIRECTION, COVER_UNCHECKED, COVER_CHECKED };

static enum cover cover(const struct ledger_model *m, u64 addr, int dir)
{
	enum cover best = COVER_NONE;
	u32 i;

	for (i = 0; i < MODEL_MAPPINGS; i++) {
		const struct model_mapping *p = &m->mapping[i];
		enum cover c = !allows(p, dir) ? COVER_DIRECTION : p->checked ? COVER_CHECKED : COVER_UNCHECKED;

		if (p->live && has(p, addr, 1))
			best = HCA_MAX(best, c);
	}
	return best;
}

static void use(struct ledger_model *m)
{
	static const enum hca_mem_op access[] = { HCA_MEM_RMW, HCA_MEM_READ, HCA_MEM_WRITE };
	u64 addr = m->base + choose(m, PAGES) * PAGE + choose(m, 3) * 1000,
	    len = 1 + choose(m, choose(m, 2) ? 80 : 9000), b;
	enum cover least = COVER_CHECKED, c = COVER_CHECKED;
	int dir = (int)choose(m, 3);
	enum hca_misuse last;
	u32 i;

	for (b = addr; b < addr + len && c > COVER_DIRECTION; b++) {
		c = cover(m, b, dir);
		least = HCA_MIN(least, c);
	}
	hca_ledger_use(m->ledger, hca_dma_addr(addr), len, access[dir], "use", 0);
	if (least == COVER_CHECKED) {
		SAME(m, m->reports == 0);
		return;
	}
	if (!SAME(m, m->reports >= 1 && m->reports <= 4))
		return;
	last = m->report[m->reports - 1].what;
	SAME(m, (least == COVER_DIRECTION) == (last == HCA_MISUSE_USE_DIR));
	SAME(m, (least == COVER_NONE) == (last == HCA_MISUSE_USE_AFTER_UNMAP || last == HCA_MISUSE_USE_UNMAPPED));
	for (i = 0; i < m->reports; i++) {
		const struct hca_misuse_report *r = &m->report[i];
		struct hca_mapping said = {
			.kind = r->map_kind, .addr = r->map_addr, .size = r->map_size, .dir = r->map_dir
		};
		struct model_mapping *p;

		if (r->what != HCA_MISUSE_UNCHECKED) {
			SAME(m, i == m->reports - 1);
			continue;
		}
		p = find_like(m, &said, false);
		if (SAME(m, p))
			p->checked = true; /* said once */
	}
}

static void sync(struct ledger_model *m)
{
	u64 addr = m->base + choose(m, PAGES) * PAGE + choose(m, 3) * 1000,
	    len = 1 + choose(m, choose(m, 2) ? 70 : 9000);
	int dir = (int)choose(m, 3), want = -ENOENT;
	u32 i;

	for (i = 0; i < MODEL_MAPPINGS; i++)
		if (m->mapping[i].live && has(&m->mapping[i], addr, len) && want)
			want = allows(&m->mapping[i], dir) ? 0 : -EINVAL;
	SAME(m, hca_ledger_sync(m->ledger, hca_dma_addr(addr), len, dir, HCA_MAP_SINGLE, "sync") == want);
	SAME(m, m->reports == (want ? 1 : 0));
	SAME(m, want != -ENOENT || m->report[0].what == HCA_MISUSE_SYNC_OUTSIDE);
	SAME(m, want != -EINVAL || m->report[0].what == HCA_MISUSE_SYNC_DIR);
}

/* --- the whole --- */

int ledger_model_open(struct ledger_model *m, u64 base, u32 history, u32 (*choice)(void *ctx, u32 n), void *ctx)
{
	struct hca_ledger_attr attr = { .device = "dev0", .history = history, .report = report, .ctx = m };

	memset(m, 0, sizeof(*m));
	m->choose = choice;
	m->ctx = ctx;
	m->base = base;
	m->history = history ? history : MODEL_HISTORY;
	return hca_ledger_create(&attr, &m->ledger);
}

bool ledger_model_step(struct ledger_model *m)
{
	m->reports = 0;
	switch (choose(m, 10)) {
	case 0:
	case 1:
	case 2:
		map(m);
		break;
	case 3:
		check(m);
		break;
	case 4:
	case 5:
		end_right(m);
		break;
	case 6:
		end_wrong(m);
		break;
	case 7:
		end_again(m);
		break;
	case 8:
		use(m);
		break;
	default:
		sync(m);
		break;
	}
	return !m->what;
}

bool ledger_model_close(struct ledger_model *m)
{
	struct hca_ledger_totals t;
	u64 bytes = 0;
	u32 i, k, live = 0;

	for (i = 0; i < MODEL_MAPPINGS; i++) {
		live += m->mapping[i].live;
		for (k = 0; m->mapping[i].live && k < m->mapping[i].pieces; k++)
			bytes += m->mapping[i].piece[k].len;
	}
	hca_ledger_totals(m->ledger, &t);
	SAME(m, t.live == live);
	SAME(m, t.live_bytes == bytes);
	m->reports = 0;
	SAME(m, hca_ledger_destroy(m->ledger) == live);
	SAME(m, m->reports == live);
	return !m->what;
}
