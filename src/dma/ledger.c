/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ledger's judgement; see ledger.h. Reports are composed under the lock and
 * made after it: a callback may map, unmap or close something else.
 */
#include "dma/check.h"
#include "dma/ledger_table.h"

#define DEFAULT_HISTORY 1024u
#define MAX_REPORTS 4u
#define MAX_LOOKS 64u
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

static bool same_family(const struct hca_ledger_rec *rec, const struct hca_mapping *m)
{
	return family(rec->map.kind) == family(m->kind);
}

/*
 * A list or coherent memory is known by itself, too: where the address was found in a list that isn't mapped any
 * more, the mapping that has the address now is somebody else's.
 */
static bool may_be(const struct hca_ledger_rec *rec, const struct hca_mapping *m)
{
	return !same_family(rec, m) || rec->map.list == m->list;
}

static int fit(const struct hca_ledger_rec *rec, const struct hca_mapping *m)
{
	return 32 * same_family(rec, m) + 16 * (rec->map.entries == m->entries) + 8 * (rec->map.size == m->size) +
	       4 * (rec->map.dir == m->dir) + 2 * (rec->map.kind == m->kind) + rec->checked;
}

/*
 * The live mapping that a call is about which describes none: of those that begin at its address, the one that fits
 * best. Where very many begin there, of the first of them: any answer is a guess.
 */
static struct hca_ledger_rec *find_fit(struct hca_ledger *l, const struct hca_mapping *m)
{
	struct hca_ledger_rec *first = hca_ledger_table_at(&l->table, hca_dma_u64(m->addr)), *rec = first, *best = NULL;
	u32 looks = 0;

	if (!first)
		return NULL;
	do {
		if (may_be(rec, m) && (!best || fit(rec, m) > fit(best, m)))
			best = rec;
		rec = rec->at_next;
	} while (rec != first && ++looks < MAX_LOOKS);
	return best;
}

/* The remembered mapping that began at an address, if the address isn't remembered for a piece of another. */
static struct hca_ledger_rec *find_ended(struct hca_ledger *l, hca_dma_addr_t addr)
{
	struct hca_ledger_seg *seg = hca_ledger_table_ended_at(&l->table, hca_dma_u64(addr));

	return seg && seg->rec->map.addr == addr ? seg->rec : NULL;
}

/*
 * The remembered mapping that an unmap of no live one may be about. A list is remembered by its description, whatever
 * ended at its address since.
 */
static struct hca_ledger_rec *find_ended_for(struct hca_ledger *l, const struct hca_mapping *m)
{
	struct hca_ledger_rec *rec = m->entries ? hca_ledger_table_like(&l->table, m, HCA_LEDGER_LIKE_ENDED) : NULL;

	return rec ? rec : find_ended(l, m->addr);
}

/*
 * The mapping that an unmap is about. Of mappings that can't be told apart some may be unchecked: whether the caller
 * ends one of these nobody knows, so it counts as checked, and the others stay as they are.
 */
static struct hca_ledger_rec *find_mapping(struct hca_ledger *l, const struct hca_mapping *m)
{
	struct hca_ledger_rec *rec = hca_ledger_table_like(&l->table, m, HCA_LEDGER_LIKE_UNCHECKED), *ended;
	struct hca_ledger_rec *checked = hca_ledger_table_like(&l->table, m, HCA_LEDGER_LIKE_CHECKED);

	if (rec && checked)
		hca_ledger_table_check(&l->table, rec);
	if (rec || checked)
		return rec ? rec : checked;
	rec = find_fit(l, m);
	ended = find_ended_for(l, m);
	if (!ended || !may_be(ended, m))
		return rec;
	/* What a list was known by at its end says more than a live mapping that isn't it. */
	if (!rec || (!same_family(rec, m) && same_family(ended, m) && m->list))
		return ended;
	/* Other entries: another list, if this one is known to have ended; else the live one, whose entries somebody changed. */
	return m->entries && rec->map.entries != m->entries && hca_ledger_alike(&ended->map, m) ? ended : rec;
}

/*
 * From the live ones to the remembered ones. One memory is enough for each list, and for each address of other
 * mappings: a list's entries tell it from others, while other mappings of one address can only be told apart by what
 * may as well be the caller's mistake.
 */
static struct hca_ledger_rec *retire(struct hca_ledger *l, struct hca_ledger_rec *rec, hca_site_t site)
{
	struct hca_ledger_rec *drop = rec->map.entries ?
					      hca_ledger_table_like(&l->table, &rec->map, HCA_LEDGER_LIKE_ENDED) :
					      find_ended(l, rec->map.addr);

	if (drop && drop->map.entries != rec->map.entries)
		drop = NULL;
	hca_ledger_table_end(&l->table, rec);
	recs_del(&l->live, rec);
	l->totals.live--;
	l->totals.live_bytes -= rec_bytes(rec);
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

/* What to name where no mapping is the one: one that has the byte. */
static const struct hca_ledger_rec *find_near(struct hca_ledger *l, hca_dma_addr_t addr)
{
	struct hca_ledger_seg *seg = hca_ledger_table_cover(&l->table, hca_dma_u64(addr), HCA_LEDGER_ALL_LIVE);

	if (!seg)
		seg = hca_ledger_table_cover(&l->table, hca_dma_u64(addr), HCA_LEDGER_IN(HCA_LEDGER_ENDED));
	return seg ? seg->rec : NULL;
}

int hca_ledger_end(struct hca_ledger *l, struct hca_mapping *m, hca_site_t site)
{
	struct reports rs = { 0 };
	struct hca_ledger_rec *rec, *drop = NULL;
	hca_irqflags_t flags;
	int err = 0;

	hca_spin_lock(&l->lock, flags);
	rec = find_mapping(l, m);
	if (!rec) {
		say(l, &rs, HCA_MISUSE_UNMAP_UNKNOWN, find_near(l, m->addr), m, site, 0);
		err = -ENOENT;
		goto unlock;
	}
	if (rec->ended) {
		say(l, &rs, HCA_MISUSE_DOUBLE_UNMAP, rec, m, site, 0);
		err = -ENOENT;
		goto unlock;
	}
	if (rec->map.kind != m->kind)
		say(l, &rs, HCA_MISUSE_UNMAP_KIND, rec, m, site, 0);
	if (!same_family(rec, m)) {
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

static bool dir_allows(int mapped, int wanted)
{
	return mapped == HCA_DMA_BIDIRECTIONAL || mapped == wanted;
}

/* The states of checked mappings that allow a direction; of those that aren't checked, shifted by HCA_LEDGER_UNCHECKED. */
static u32 states_for(int dir)
{
	return HCA_LEDGER_IN(HCA_DMA_BIDIRECTIONAL) | (hca_dma_dir_valid(dir) ? HCA_LEDGER_IN(dir) : 0);
}

static u32 live_states_for(int dir)
{
	return states_for(dir) | states_for(dir) << HCA_LEDGER_UNCHECKED;
}

static bool has_all(const struct hca_ledger_seg *seg, u64 addr, u64 len)
{
	return seg && len <= seg->len - (addr - seg->addr);
}

int hca_ledger_sync(struct hca_ledger *l, hca_dma_addr_t addr, u64 size, int dir, enum hca_map_kind kind,
		    hca_site_t site)
{
	struct hca_mapping call = { .kind = kind, .addr = addr, .size = size, .dir = dir };
	u64 at = hca_dma_u64(addr);
	struct reports rs = { 0 };
	struct hca_ledger_seg *seg;
	hca_irqflags_t flags;
	int err = 0;

	hca_spin_lock(&l->lock, flags);
	seg = hca_ledger_table_cover(&l->table, at, live_states_for(dir));
	if (!has_all(seg, at, size) || !hca_dma_dir_valid(dir)) {
		seg = hca_ledger_table_cover(&l->table, at, HCA_LEDGER_ALL_LIVE);
		if (has_all(seg, at, size)) {
			say(l, &rs, HCA_MISUSE_SYNC_DIR, seg->rec, &call, site, 0);
			err = -EINVAL;
		} else {
			say(l, &rs, HCA_MISUSE_SYNC_OUTSIDE, find_near(l, addr), &call, site, 0);
			err = -ENOENT;
		}
	}
	hca_spin_unlock(&l->lock, flags);
	deliver(l, &rs);
	return err;
}

/*
 * A byte that a checked mapping of the right direction has is used rightly, whatever else has it: which of them the
 * caller means can't be told.
 */
static struct hca_ledger_seg *find_used(struct hca_ledger *l, u64 addr, int dir)
{
	u32 checked = states_for(dir);
	struct hca_ledger_seg *seg = hca_ledger_table_cover(&l->table, addr, checked);

	if (!seg)
		seg = hca_ledger_table_cover(&l->table, addr, checked << HCA_LEDGER_UNCHECKED);
	if (!seg)
		seg = hca_ledger_table_cover(&l->table, addr, HCA_LEDGER_ALL_LIVE);
	if (!seg)
		seg = hca_ledger_table_cover(&l->table, addr, HCA_LEDGER_IN(HCA_LEDGER_ENDED));
	return seg;
}

static void check_looked(struct hca_ledger *l, struct reports *rs, struct hca_ledger_rec *rec,
			 const struct hca_mapping *call, hca_site_t site, int outcome)
{
	/* A range over many mappings: the rest will be said when they end. The last place is for what ends the range. */
	if (rec->checked || rs->n >= MAX_REPORTS - 1)
		return;
	say(l, rs, HCA_MISUSE_UNCHECKED, rec, call, site, outcome);
	hca_ledger_table_check(&l->table, rec); /* said once is enough */
}

/*
 * A device's access comes in pieces, of a page or more. Does this one go on, in this piece of the mapping, where the one before
 * ended that was reported? Then it has been said.
 */
static bool goes_on(struct hca_ledger_seg *seg, enum hca_misuse what, u64 addr, u64 len, hca_site_t site)
{
	struct hca_ledger_rec *rec = seg->rec;
	bool next = seg > rec->seg && addr == seg->addr && rec->said_to == seg[-1].addr + seg[-1].len;
	bool same = rec->said_to && (addr == rec->said_to || next) && rec->said == what && rec->said_site == site;

	rec->said = (u8)what;
	rec->said_to = addr + len;
	rec->said_site = site;
	return same;
}

/*
 * The range may lie in several pieces that meet: a list's neighbours, or two mappings of neighbouring pages.
 * So go from piece to piece; the first that is wrong is reported, and ends it.
 */
static void judge_use(struct hca_ledger *l, struct reports *rs, const struct hca_mapping *call, hca_site_t site,
		      int outcome)
{
	u64 addr = hca_dma_u64(call->addr), len = call->size;

	for (;;) {
		struct hca_ledger_seg *seg = find_used(l, addr, call->dir);
		u64 run;

		if (!seg) {
			say(l, rs, HCA_MISUSE_USE_UNMAPPED, NULL, call, site, outcome);
			return;
		}
		if (seg->rec->ended) {
			if (!goes_on(seg, HCA_MISUSE_USE_AFTER_UNMAP, addr, len, site))
				say(l, rs, HCA_MISUSE_USE_AFTER_UNMAP, seg->rec, call, site, outcome);
			return;
		}
		check_looked(l, rs, seg->rec, call, site, outcome);
		if (!dir_allows(seg->rec->map.dir, call->dir)) {
			if (!goes_on(seg, HCA_MISUSE_USE_DIR, addr, len, site))
				say(l, rs, HCA_MISUSE_USE_DIR, seg->rec, call, site, outcome);
			return;
		}
		run = seg->len - (addr - seg->addr);
		if (run >= len)
			return;
		addr += run;
		len -= run;
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

/* Which of the mappings that begin at the address the caller asks about can't be told: all of them count as checked. */
void hca_ledger_checked(struct hca_ledger *l, hca_dma_addr_t addr)
{
	struct hca_ledger_rec *rec;
	hca_irqflags_t flags;

	hca_spin_lock(&l->lock, flags);
	for (;;) {
		rec = hca_ledger_table_at(&l->table, hca_dma_u64(addr));
		if (!rec || rec->checked)
			break;
		hca_ledger_table_check(&l->table, rec);
	}
	hca_spin_unlock(&l->lock, flags);
}

void hca_ledger_report_write(struct hca_ledger *l, hca_dma_addr_t addr, hca_site_t site)
{
	struct hca_mapping call = { .kind = HCA_MAP_SINGLE, .addr = addr, .size = 1, .dir = HCA_DMA_NONE };
	struct reports rs = { 0 };
	hca_irqflags_t flags;

	hca_spin_lock(&l->lock, flags);
	say(l, &rs, HCA_MISUSE_CPU_WRITE, find_near(l, addr), &call, site, 0);
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

u64 hca_ledger_probes(struct hca_ledger *l)
{
	hca_irqflags_t flags;
	u64 n;

	hca_spin_lock(&l->lock, flags);
	n = l->table.probes;
	hca_spin_unlock(&l->lock, flags);
	return n;
}
