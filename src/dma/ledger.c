/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ledger's judgement; see ledger.h. Reports are composed under the lock and
 * made after it: a callback may map, unmap or close something else.
 */
#include "dma/check.h"
#include "dma/ledger_table.h"

#define DEFAULT_HISTORY 1024u
#define MAX_REPORTS 4u
#define NAME_MAX_LEN 32u

/* A ring of records by insertion: the live mappings, or the ended ones with the oldest first. */
struct rec_list {
	struct hca_ledger_rec *first;
	struct hca_ledger_rec *last;
	u64 n;
};

struct hca_ledger {
	char device[NAME_MAX_LEN];
	u32 history;
	void (*report)(void *ctx, const struct hca_misuse_report *r);
	void *ctx;

	struct hca_spinlock lock; /* everything below */
	struct hca_ledger_table table;
	struct rec_list live;
	struct rec_list ended;
	struct hca_ledger_totals totals;
};

/* What one call has to say once the lock is dropped. */
struct reports {
	u32 n;
	struct hca_misuse_report r[MAX_REPORTS];
};

static void recs_add(struct rec_list *list, struct hca_ledger_rec *rec)
{
	rec->next = NULL;
	rec->prev = list->last;
	if (list->last)
		list->last->next = rec;
	else
		list->first = rec;
	list->last = rec;
	list->n++;
}

static void recs_del(struct rec_list *list, struct hca_ledger_rec *rec)
{
	if (rec->prev)
		rec->prev->next = rec->next;
	else
		list->first = rec->next;
	if (rec->next)
		rec->next->prev = rec->prev;
	else
		list->last = rec->prev;
	list->n--;
}

static u64 rec_bytes(const struct hca_ledger_rec *rec)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i < rec->nsegs; i++)
		sum += rec->seg[i].len;
	return sum;
}

static void say(struct hca_ledger *l, struct reports *rs, enum hca_misuse what, const struct hca_ledger_rec *rec,
		const struct hca_mapping *call, hca_site_t site, int outcome)
{
	struct hca_misuse_report *r;

	l->totals.misuse[what]++;
	if (rs->n == MAX_REPORTS)
		return;
	r = &rs->r[rs->n++];
	r->what = what;
	r->device = l->device;
	r->addr = call->addr;
	r->size = call->size;
	r->dir = call->dir;
	r->kind = call->kind;
	r->site = site;
	r->outcome = outcome;
	r->has_map = rec;
	if (!rec) {
		r->map_site = NULL;
		r->end_site = NULL;
		return;
	}
	r->map_addr = rec->map.addr;
	r->map_size = rec->map.size;
	r->map_dir = rec->map.dir;
	r->map_kind = rec->map.kind;
	r->map_site = rec->map_site;
	r->end_site = rec->end_site;
}

static void deliver(struct hca_ledger *l, struct reports *rs)
{
	u32 i;

	for (i = 0; i < rs->n; i++)
		l->report(l->ctx, &rs->r[i]);
	rs->n = 0;
}

int hca_ledger_create(const struct hca_ledger_attr *attr, struct hca_ledger **out)
{
	struct hca_ledger *l = hca_alloc(sizeof(*l), HCA_MAY_SLEEP);
	int err;

	if (!l)
		return -ENOMEM;
	err = hca_ledger_table_init(&l->table);
	if (err) {
		hca_free(l);
		return err;
	}
	hca_snprintf(l->device, sizeof(l->device), "%s", attr->device);
	l->history = attr->history ? attr->history : DEFAULT_HISTORY;
	l->report = attr->report;
	l->ctx = attr->ctx;
	hca_spin_init(&l->lock);
	*out = l;
	return 0;
}

u64 hca_ledger_destroy(struct hca_ledger *l)
{
	struct hca_ledger_rec *rec, *next;
	u64 leaked = l->live.n;

	for (rec = l->live.first; rec; rec = next) {
		struct reports rs = { 0 };

		next = rec->next;
		say(l, &rs, HCA_MISUSE_LEAK, rec, &rec->map, NULL, 0);
		deliver(l, &rs);
		hca_free(rec);
	}
	for (rec = l->ended.first; rec; rec = next) {
		next = rec->next;
		hca_free(rec);
	}
	hca_ledger_table_fini(&l->table);
	hca_free(l);
	return leaked;
}

struct hca_ledger_rec *hca_ledger_prepare(u32 segs)
{
	const size_t head = offsetof(struct hca_ledger_rec, seg), most = (size_t)-1;
	struct hca_ledger_rec *rec;
	u64 bytes = head + (u64)segs * sizeof(rec->seg[0]);

	/* Where a size has 32 bits, there are numbers of entries that no record can have. */
	if (bytes > most)
		return NULL;
	rec = hca_alloc((size_t)bytes, 0);
	if (rec)
		rec->capacity = segs;
	return rec;
}

void hca_ledger_abandon(struct hca_ledger_rec *rec)
{
	hca_free(rec);
}

void hca_ledger_seg(struct hca_ledger_rec *rec, u32 i, hca_dma_addr_t addr, u64 len)
{
	HCA_ASSERT(i < rec->capacity);
	rec->seg[i].addr = hca_dma_u64(addr);
	rec->seg[i].len = len;
}

void hca_ledger_enter(struct hca_ledger *l, struct hca_ledger_rec *rec, const struct hca_mapping *m, u32 segs,
		      hca_site_t site)
{
	hca_irqflags_t flags;

	HCA_ASSERT(segs && segs <= rec->capacity);
	rec->map = *m;
	rec->nsegs = segs;
	rec->map_site = site;
	/* Lists and coherent memory report errors through the call itself: there is nothing more to look at. */
	rec->checked = m->kind == HCA_MAP_LIST || m->kind == HCA_MAP_COHERENT;
	hca_spin_lock(&l->lock, flags);
	hca_ledger_table_add(&l->table, rec);
	recs_add(&l->live, rec);
	l->totals.made++;
	l->totals.live++;
	l->totals.live_bytes += rec_bytes(rec);
	hca_spin_unlock(&l->lock, flags);
}

/* Single and page mappings are ended by the same backend call; lists and coherent memory each by their own. */
static u32 family(enum hca_map_kind kind)
{
	return kind == HCA_MAP_LIST ? 1 : kind == HCA_MAP_COHERENT ? 2 : 0;
}

/*
 * Of the mappings that begin at one address, the one that fits the call best; a live one before any ended one. Of
 * equals, one whose caller has looked for an error: the other's may be about to.
 *
 * A list or coherent memory is known by itself, too: where the address was found in a list that isn't mapped any
 * more, the mapping that has the address now is somebody else's, of whatever family.
 */
static int score_end(const struct hca_ledger_seg *seg, const void *want)
{
	const struct hca_mapping *m = want;
	const struct hca_ledger_rec *rec = seg->rec;
	bool same = family(rec->map.kind) == family(m->kind);

	if (seg != rec->seg || seg->addr != hca_dma_u64(m->addr) || (same && rec->map.list != m->list))
		return 0;
	if (rec->ended)
		return same && m->list ? 31 : 1;
	return 2 + 32 * same + 8 * (rec->map.size == m->size) + 4 * (rec->map.dir == m->dir) +
	       2 * (rec->map.kind == m->kind) + rec->checked;
}

static int score_ended_at(const struct hca_ledger_seg *seg, const void *want)
{
	return seg == seg->rec->seg && seg->rec->ended && seg->addr == *(const u64 *)want;
}

static int score_cover(const struct hca_ledger_seg *seg, const void *want)
{
	(void)want;
	return seg->rec->ended ? 1 : 2;
}

/* From the live ones to the remembered ones. One memory for each address is enough, and keeps the chains short. */
static struct hca_ledger_rec *retire(struct hca_ledger *l, struct hca_ledger_rec *rec, hca_site_t site)
{
	struct hca_ledger_seg *old =
		hca_ledger_table_find(&l->table, rec->seg[0].addr, score_ended_at, &rec->seg[0].addr);
	struct hca_ledger_rec *drop = old ? old->rec : NULL;

	hca_ledger_table_supersede(&l->table, rec);
	recs_del(&l->live, rec);
	l->totals.live--;
	l->totals.live_bytes -= rec_bytes(rec);
	rec->ended = true;
	rec->end_site = site;
	recs_add(&l->ended, rec);
	if (!drop && l->ended.n > l->history)
		drop = l->ended.first;
	if (drop) {
		recs_del(&l->ended, drop);
		hca_ledger_table_del(&l->table, drop);
	}
	return drop;
}

int hca_ledger_end(struct hca_ledger *l, struct hca_mapping *m, hca_site_t site)
{
	struct reports rs = { 0 };
	struct hca_ledger_rec *rec = NULL, *drop = NULL;
	struct hca_ledger_seg *seg;
	hca_irqflags_t flags;
	int err = 0;

	hca_spin_lock(&l->lock, flags);
	seg = hca_ledger_table_find(&l->table, hca_dma_u64(m->addr), score_end, m);
	if (!seg) {
		seg = hca_ledger_table_find(&l->table, hca_dma_u64(m->addr), score_cover, NULL);
		say(l, &rs, HCA_MISUSE_UNMAP_UNKNOWN, seg ? seg->rec : NULL, m, site, 0);
		err = -ENOENT;
		goto unlock;
	}
	rec = seg->rec;
	if (rec->ended) {
		say(l, &rs, HCA_MISUSE_DOUBLE_UNMAP, rec, m, site, 0);
		err = -ENOENT;
		goto unlock;
	}
	if (rec->map.kind != m->kind)
		say(l, &rs, HCA_MISUSE_UNMAP_KIND, rec, m, site, 0);
	if (family(rec->map.kind) != family(m->kind)) {
		err = -EINVAL;
		goto unlock;
	}
	if (rec->map.size != m->size)
		say(l, &rs, HCA_MISUSE_UNMAP_SIZE, rec, m, site, 0);
	if (rec->map.dir != m->dir)
		say(l, &rs, HCA_MISUSE_UNMAP_DIR, rec, m, site, 0);
	if (!rec->checked)
		say(l, &rs, HCA_MISUSE_UNCHECKED, rec, m, site, 0);
	*m = rec->map;
	drop = retire(l, rec, site);
unlock:
	hca_spin_unlock(&l->lock, flags);
	hca_free(drop);
	deliver(l, &rs);
	return err;
}

struct want_cover {
	u64 addr;
	u64 len;
	int dir; /* or HCA_DMA_NONE: any */
};

static bool dir_allows(int mapped, int wanted)
{
	return mapped == HCA_DMA_BIDIRECTIONAL || mapped == wanted;
}

/*
 * A live mapping that has the right direction and all the bytes, else the right direction, else any; of equals, one
 * whose caller has looked for an error.
 */
static int score_want(const struct hca_ledger_seg *seg, const void *want)
{
	const struct want_cover *w = want;
	bool all = w->len <= seg->len - (w->addr - seg->addr);
	bool dir = dir_allows(seg->rec->map.dir, w->dir);

	if (seg->rec->ended)
		return 1 + all;
	return 16 + 8 * dir + 4 * all + seg->rec->checked;
}

static void check_looked(struct hca_ledger *l, struct reports *rs, struct hca_ledger_rec *rec,
			 const struct hca_mapping *call, hca_site_t site, int outcome)
{
	/* A range over many mappings: the rest will be said when they end. The last place is for what ends the range. */
	if (rec->checked || rs->n >= MAX_REPORTS - 1)
		return;
	say(l, rs, HCA_MISUSE_UNCHECKED, rec, call, site, outcome);
	rec->checked = true; /* said once is enough */
}

int hca_ledger_sync(struct hca_ledger *l, hca_dma_addr_t addr, u64 size, int dir, enum hca_map_kind kind,
		    hca_site_t site)
{
	struct hca_mapping call = { .kind = kind, .addr = addr, .size = size, .dir = dir };
	struct want_cover want = { .addr = hca_dma_u64(addr), .len = size, .dir = dir };
	struct reports rs = { 0 };
	struct hca_ledger_seg *seg;
	hca_irqflags_t flags;
	int err = 0;

	hca_spin_lock(&l->lock, flags);
	seg = hca_ledger_table_find(&l->table, want.addr, score_want, &want);
	if (!seg || seg->rec->ended || size > seg->len - (want.addr - seg->addr)) {
		say(l, &rs, HCA_MISUSE_SYNC_OUTSIDE, seg ? seg->rec : NULL, &call, site, 0);
		err = -ENOENT;
	} else if (!hca_dma_dir_valid(dir) || !dir_allows(seg->rec->map.dir, dir)) {
		say(l, &rs, HCA_MISUSE_SYNC_DIR, seg->rec, &call, site, 0);
		err = -EINVAL;
	}
	hca_spin_unlock(&l->lock, flags);
	deliver(l, &rs);
	return err;
}

/*
 * The range may lie in several pieces that meet: a list's neighbours, or two mappings of neighbouring pages.
 * So go from piece to piece; the first that is wrong is reported, and ends it.
 */
static void judge_use(struct hca_ledger *l, struct reports *rs, const struct hca_mapping *call, hca_site_t site,
		      int outcome)
{
	struct want_cover want = { .addr = hca_dma_u64(call->addr), .len = call->size, .dir = call->dir };

	for (;;) {
		struct hca_ledger_seg *seg = hca_ledger_table_find(&l->table, want.addr, score_want, &want);
		u64 run;

		if (!seg || seg->rec->ended) {
			say(l, rs, seg ? HCA_MISUSE_USE_AFTER_UNMAP : HCA_MISUSE_USE_UNMAPPED, seg ? seg->rec : NULL,
			    call, site, outcome);
			return;
		}
		check_looked(l, rs, seg->rec, call, site, outcome);
		if (!dir_allows(seg->rec->map.dir, call->dir)) {
			say(l, rs, HCA_MISUSE_USE_DIR, seg->rec, call, site, outcome);
			return;
		}
		run = seg->len - (want.addr - seg->addr);
		if (run >= want.len)
			return;
		want.addr += run;
		want.len -= run;
	}
}

void hca_ledger_use(struct hca_ledger *l, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, hca_site_t site,
		    int outcome)
{
	struct hca_mapping call = { .kind = HCA_MAP_SINGLE, .addr = addr, .size = len };
	struct reports rs = { 0 };
	hca_irqflags_t flags;

	if (!len)
		return;
	call.dir = access == HCA_MEM_READ  ? HCA_DMA_TO_DEVICE :
		   access == HCA_MEM_WRITE ? HCA_DMA_FROM_DEVICE :
					     HCA_DMA_BIDIRECTIONAL;
	hca_spin_lock(&l->lock, flags);
	judge_use(l, &rs, &call, site, outcome);
	hca_spin_unlock(&l->lock, flags);
	deliver(l, &rs);
}

static int score_unchecked(const struct hca_ledger_seg *seg, const void *want)
{
	return seg->addr == *(const u64 *)want && !seg->rec->ended && !seg->rec->checked;
}

void hca_ledger_checked(struct hca_ledger *l, hca_dma_addr_t addr)
{
	u64 want = hca_dma_u64(addr);
	struct hca_ledger_seg *seg;
	hca_irqflags_t flags;

	hca_spin_lock(&l->lock, flags);
	seg = hca_ledger_table_find(&l->table, want, score_unchecked, &want);
	if (seg)
		seg->rec->checked = true;
	hca_spin_unlock(&l->lock, flags);
}

void hca_ledger_report_write(struct hca_ledger *l, hca_dma_addr_t addr, hca_site_t site)
{
	struct hca_mapping call = { .kind = HCA_MAP_SINGLE, .addr = addr, .size = 1, .dir = HCA_DMA_NONE };
	struct reports rs = { 0 };
	struct hca_ledger_seg *seg;
	hca_irqflags_t flags;

	hca_spin_lock(&l->lock, flags);
	seg = hca_ledger_table_find(&l->table, hca_dma_u64(addr), score_cover, NULL);
	say(l, &rs, HCA_MISUSE_CPU_WRITE, seg ? seg->rec : NULL, &call, site, 0);
	hca_spin_unlock(&l->lock, flags);
	deliver(l, &rs);
}

bool hca_ledger_find_live(struct hca_ledger *l, bool (*match)(void *ctx, hca_dma_addr_t addr, u64 len), void *ctx)
{
	struct hca_ledger_rec *rec;
	hca_irqflags_t flags;
	bool found = false;
	u32 i;

	hca_spin_lock(&l->lock, flags);
	for (rec = l->live.first; rec && !found; rec = rec->next)
		for (i = 0; i < rec->nsegs && !found; i++)
			found = match(ctx, hca_dma_addr(rec->seg[i].addr), rec->seg[i].len);
	hca_spin_unlock(&l->lock, flags);
	return found;
}

void hca_ledger_report_list(struct hca_ledger *l, u32 index, u32 nents, int dir, hca_site_t site)
{
	struct hca_mapping call = { .kind = HCA_MAP_LIST, .addr = hca_dma_addr(index), .size = nents, .dir = dir };
	struct reports rs = { 0 };
	hca_irqflags_t flags;

	hca_spin_lock(&l->lock, flags);
	say(l, &rs, HCA_MISUSE_LIST, NULL, &call, site, 0);
	hca_spin_unlock(&l->lock, flags);
	deliver(l, &rs);
}

void hca_ledger_totals(struct hca_ledger *l, struct hca_ledger_totals *t)
{
	hca_irqflags_t flags;

	hca_spin_lock(&l->lock, flags);
	*t = l->totals;
	hca_spin_unlock(&l->lock, flags);
}
