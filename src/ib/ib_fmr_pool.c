/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pools of fast memory regions. An FMR that is given back stays mapped, and is
 * dirty, until so many are that unmapping them all at once is worth its wait; or, if it
 * was mapped as often as it may be, until the next flush. With a cache, a list of pages that is
 * mapped still is found again instead.
 */
#include "ib_core.h"

#define MAX_MAPS 32

/* Regions that a flush takes, or gives back, without letting others have the lock. */
#define BATCH 64

/*
 * @users: how often it was handed out and not given back; of those in no list alone it isn't 0
 * @next, @prev: of the list it is in; @same, @same_prev: regions in one bucket
 */
struct pool_fmr {
	struct ib_pool_fmr ib;
	struct pool_fmr *next;
	struct pool_fmr **prev;
	struct pool_fmr *same;
	struct pool_fmr **same_prev;
	int maps;
	int users;
	bool mapped;
};

/* First in, first out. */
struct fmr_list {
	struct pool_fmr *first;
	struct pool_fmr **end;
};

/*
 * @lock guards what follows; flushing is done by one at a time, and unmaps outside of it. What is done under the lock takes
 * the same time however many regions there are.
 */
struct ib_fmr_pool {
	struct ib_fmr_pool_param param;
	struct pool_fmr *all;
	u32 buckets; /* a power of two */
	struct hca_spinlock lock;
	struct fmr_list clean; /* idle, not mapped */
	struct fmr_list free; /* idle, mapped, may be mapped to other pages */
	struct fmr_list dirty; /* idle, mapped MAX_MAPS times */
	struct pool_fmr **bucket; /* those that are mapped, with a cache: by what they are mapped to */
	int idle; /* in the three lists */
	int dirty_len; /* regions in the last two */
	bool flushing;
	u64 looks;
};

static struct pool_fmr *pool_fmr_of(struct ib_pool_fmr *f)
{
	return hca_container_of(f, struct pool_fmr, ib);
}

static void list_init(struct fmr_list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static void list_put(struct fmr_list *l, struct pool_fmr *f)
{
	f->next = NULL;
	f->prev = l->end;
	*l->end = f;
	l->end = &f->next;
}

static void list_take(struct fmr_list *l, struct pool_fmr *f)
{
	*f->prev = f->next;
	if (f->next)
		f->next->prev = f->prev;
	else
		l->end = f->prev;
}

/* --- what is mapped to what --- */

static struct pool_fmr **bucket_of(struct ib_fmr_pool *p, const u64 *list, int len, u64 iova)
{
	u64 h = iova ^ (u64)len;
	int i;

	for (i = 0; i < len; i++)
		h = ((h ^ list[i]) * 0x9e3779b97f4a7c15ull) ^ (h >> 29);
	h *= 0x9e3779b97f4a7c15ull;
	return &p->bucket[(h >> 32) & (p->buckets - 1)];
}

static void remember(struct ib_fmr_pool *p, struct pool_fmr *f)
{
	struct pool_fmr **at;

	if (!p->param.cache)
		return;
	at = bucket_of(p, f->ib.page_list, f->ib.page_list_len, f->ib.io_virtual_address);
	f->same = *at;
	f->same_prev = at;
	if (f->same)
		f->same->same_prev = &f->same;
	*at = f;
}

static void forget(struct pool_fmr *f)
{
	if (!f->same_prev)
		return;
	*f->same_prev = f->same;
	if (f->same)
		f->same->same_prev = f->same_prev;
	f->same_prev = NULL;
}

/* --- life --- */

static int make_one(struct ib_fmr_pool *p, struct ib_pd *pd, struct pool_fmr *f)
{
	const struct ib_fmr_attr attr = { .max_pages = p->param.max_pages_per_fmr,
					  .max_maps = MAX_MAPS,
					  .page_shift = (u8)p->param.page_shift };
	struct ib_fmr *fmr;

	f->ib.pool = p;
	f->ib.page_list = hca_alloc((size_t)p->param.max_pages_per_fmr * sizeof(u64), HCA_MAY_SLEEP);
	if (!f->ib.page_list)
		return -ENOMEM;
	fmr = ib_alloc_fmr(pd, p->param.access, &attr);
	if (IS_ERR(fmr))
		return (int)PTR_ERR(fmr);
	f->ib.fmr = fmr;
	list_put(&p->clean, f);
	p->idle++;
	return 0;
}

static void free_all(struct ib_fmr_pool *p)
{
	int i;

	for (i = 0; i < p->param.pool_size; i++) {
		if (p->all[i].ib.fmr)
			HCA_WARN_ON(ib_dealloc_fmr(p->all[i].ib.fmr));
		hca_free(p->all[i].ib.page_list);
	}
	hca_free(p->bucket);
	hca_free(p->all);
	hca_free(p);
}

static int check_param(const struct ib_fmr_pool_param *a)
{
	if (a->pool_size <= 0 || a->dirty_watermark < 0)
		return hca_refuse(-EINVAL, "FMR pool not made: pool_size is %d, dirty_watermark is %d", a->pool_size,
				  a->dirty_watermark);
	if (a->max_pages_per_fmr <= 0 || (u32)a->max_pages_per_fmr > HCA_MR_MAX_PAGES)
		return hca_refuse(-EINVAL, "FMR pool not made: max_pages_per_fmr is %d, must be from 1 to %u",
				  a->max_pages_per_fmr, HCA_MR_MAX_PAGES);
	if (a->page_shift <= 0 || a->page_shift >= 64)
		return hca_refuse(-EINVAL, "FMR pool not made: page_shift is %d", a->page_shift);
	return 0;
}

struct ib_fmr_pool *ib_create_fmr_pool(struct ib_pd *pd, const struct ib_fmr_pool_param *params)
{
	struct ib_fmr_pool *p;
	int err = 0;
	int i;

	if (check_param(params))
		return ERR_PTR(-EINVAL);
	p = hca_alloc(sizeof(*p), HCA_MAY_SLEEP);
	if (!p)
		return ERR_PTR(-ENOMEM);
	p->buckets = 1;
	while (p->buckets < (u32)params->pool_size)
		p->buckets *= 2;
	p->all = hca_alloc((size_t)params->pool_size * sizeof(*p->all), HCA_MAY_SLEEP);
	p->bucket = hca_alloc(p->buckets * sizeof(*p->bucket), HCA_MAY_SLEEP);
	if (!p->all || !p->bucket) {
		hca_free(p->bucket);
		hca_free(p->all);
		hca_free(p);
		return ERR_PTR(-ENOMEM);
	}
	p->param = *params;
	list_init(&p->clean);
	list_init(&p->free);
	list_init(&p->dirty);
	hca_spin_init(&p->lock);
	for (i = 0; i < params->pool_size && !err; i++)
		err = make_one(p, pd, &p->all[i]);
	if (!err)
		return p;
	free_all(p);
	return ERR_PTR(err);
}

int ib_destroy_fmr_pool(struct ib_fmr_pool *p)
{
	if (p->idle != p->param.pool_size)
		return hca_refuse(-EBUSY,
				  "FMR pool not destroyed: %d of %d FMRs weren't given back by ib_fmr_pool_unmap()",
				  p->param.pool_size - p->idle, p->param.pool_size);
	ib_flush_fmr_pool(p);
	free_all(p);
	return 0;
}

/* --- flushing --- */

/* Takes some of the regions that are mapped and idle; no cache finds them any more. Return: how many. */
static int collect(struct ib_fmr_pool *p, struct pool_fmr **list)
{
	struct pool_fmr *f;
	int n;

	hca_spin_assert(&p->lock);
	for (n = 0; n < BATCH; n++) {
		struct fmr_list *from = p->dirty.first ? &p->dirty : &p->free;

		f = from->first;
		if (!f)
			break;
		list_take(from, f);
		forget(f);
		f->next = *list;
		*list = f;
	}
	p->idle -= n;
	p->dirty_len -= n;
	return n;
}

/* They are idle again, unmapped or, after an error, as they were. */
static void give_back(struct ib_fmr_pool *p, struct pool_fmr **list, bool mapped)
{
	struct pool_fmr *f;
	int n;

	hca_spin_assert(&p->lock);
	for (n = 0; n < BATCH && (f = *list); n++) {
		*list = f->next;
		f->mapped = mapped;
		if (mapped) {
			remember(p, f);
			p->dirty_len++;
		} else {
			f->maps = 0;
		}
		list_put(!mapped ? &p->clean : f->maps < MAX_MAPS ? &p->free : &p->dirty, f);
		p->idle++;
	}
}

static bool begin_flush(struct ib_fmr_pool *p)
{
	bool mine = !p->flushing;

	hca_spin_assert(&p->lock);
	p->flushing = true;
	return mine;
}

int ib_flush_fmr_pool(struct ib_fmr_pool *p)
{
	struct pool_fmr *list = NULL, *f;
	struct ib_fmr *first = NULL;
	hca_irqflags_t flags;
	int err, left, n;

	hca_spin_lock(&p->lock, flags);
	while (!begin_flush(p)) {
		hca_spin_unlock(&p->lock, flags);
		hca_pause();
		hca_spin_lock(&p->lock, flags);
	}
	left = p->dirty_len; /* those that become idle meanwhile are the next flush's */
	while (left > 0) {
		n = collect(p, &list);
		left = n ? left - n : 0;
		hca_spin_unlock(&p->lock, flags);
		hca_spin_lock(&p->lock, flags);
	}
	hca_spin_unlock(&p->lock, flags);
	for (f = list; f; f = f->next) {
		f->ib.fmr->next = first;
		first = f->ib.fmr;
	}
	err = ib_unmap_fmr(first);
	hca_spin_lock(&p->lock, flags);
	while (list) {
		give_back(p, &list, err != 0);
		hca_spin_unlock(&p->lock, flags);
		hca_spin_lock(&p->lock, flags);
	}
	p->flushing = false;
	hca_spin_unlock(&p->lock, flags);
	if (p->param.flush_function)
		p->param.flush_function(p, p->param.flush_arg);
	return err;
}

/* --- mapping --- */

static bool same_list(const struct pool_fmr *f, const u64 *list, int len, u64 iova)
{
	return f->mapped && f->ib.page_list_len == len && f->ib.io_virtual_address == iova &&
	       !hca_memcmp(f->ib.page_list, list, (size_t)len * sizeof(*list));
}

/* An FMR that has this very list, or the one that was free for longest. */
static struct pool_fmr *pick(struct ib_fmr_pool *p, const u64 *list, int len, u64 iova, bool *found)
{
	struct fmr_list *from = p->clean.first ? &p->clean : &p->free;
	struct pool_fmr *f;

	hca_spin_assert(&p->lock);
	*found = true;
	for (f = p->param.cache ? *bucket_of(p, list, len, iova) : NULL; f; f = f->same) {
		p->looks++;
		if (!same_list(f, list, len, iova))
			continue;
		if (!f->users)
			list_take(f->maps < MAX_MAPS ? &p->free : &p->dirty, f);
		return f;
	}
	*found = false;
	f = from->first;
	if (f) {
		list_take(from, f);
		forget(f);
	}
	return f;
}

struct ib_pool_fmr *ib_fmr_pool_map_phys(struct ib_fmr_pool *p, const u64 *page_list, int list_len,
					 u64 io_virtual_address)
{
	struct pool_fmr *f;
	hca_irqflags_t flags;
	bool found;
	int err;

	if (!page_list || list_len < 1 || list_len > p->param.max_pages_per_fmr)
		return ERR_PTR(hca_refuse(-EINVAL, "FMR pool: not mapped: a list of %d pages, must be from 1 to %d",
					  list_len, p->param.max_pages_per_fmr));
	hca_spin_lock(&p->lock, flags);
	f = pick(p, page_list, list_len, io_virtual_address, &found);
	if (f && !f->users) {
		p->idle--;
		p->dirty_len -= f->mapped;
	}
	if (f && found)
		f->users++;
	hca_spin_unlock(&p->lock, flags);
	if (!f)
		return ERR_PTR(hca_refuse(-EAGAIN,
					  "FMR pool: not mapped: all %d FMRs are in use; flush, or give some back",
					  p->param.pool_size));
	if (found)
		return &f->ib;
	/* No other thread can find it now: it is in no list, and has no users that a cache would find. */
	err = ib_map_phys_fmr(f->ib.fmr, page_list, list_len, io_virtual_address);
	hca_spin_lock(&p->lock, flags);
	if (err) {
		/* What it was mapped to it still is. */
		list_put(f->mapped ? &p->free : &p->clean, f);
		if (f->mapped)
			remember(p, f);
		p->idle++;
		p->dirty_len += f->mapped;
	} else {
		f->maps++;
		f->mapped = true;
		f->users = 1;
		f->ib.page_list_len = list_len;
		f->ib.io_virtual_address = io_virtual_address;
		hca_memcpy(f->ib.page_list, page_list, (size_t)list_len * sizeof(*page_list));
		remember(p, f);
	}
	hca_spin_unlock(&p->lock, flags);
	return err ? ERR_PTR(err) : &f->ib;
}

int ib_fmr_pool_unmap(struct ib_pool_fmr *ib)
{
	struct pool_fmr *f = pool_fmr_of(ib);
	struct ib_fmr_pool *p = ib->pool;
	hca_irqflags_t flags;
	bool flush = false;

	hca_spin_lock(&p->lock, flags);
	if (HCA_WARN_ON(!f->users)) {
		hca_spin_unlock(&p->lock, flags);
		return hca_refuse(-EINVAL, "FMR pool: FMR 0x%x given back more often than it was mapped",
				  ib->fmr->lkey);
	}
	if (!--f->users) {
		list_put(f->maps < MAX_MAPS ? &p->free : &p->dirty, f);
		p->idle++;
		/* A pool whose regions are all used up is flushed whatever its watermark says. */
		flush = ++p->dirty_len >= p->param.dirty_watermark || !(p->clean.first || p->free.first);
		flush = flush && !p->flushing;
	}
	hca_spin_unlock(&p->lock, flags);
	return flush ? ib_flush_fmr_pool(p) : 0;
}

u64 ib_fmr_pool_looks(struct ib_fmr_pool *p)
{
	hca_irqflags_t flags;
	u64 looks;

	hca_spin_lock(&p->lock, flags);
	looks = p->looks;
	hca_spin_unlock(&p->lock, flags);
	return looks;
}
