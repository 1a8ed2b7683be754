/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pools of fast memory regions. An FMR that is given back stays mapped, and is
 * dirty, until so many are that unmapping them all at once is worth its wait; or, if it
 * was mapped as often as it may be, until the next flush. With a cache, a list of pages that is
 * mapped still is found again instead.
 */
#include "ib_core.h"

#define MAX_MAPS 32

/* @users: how often it was handed out and not given back; of those in no list alone it isn't 0 */
struct pool_fmr {
	struct ib_pool_fmr ib;
	struct pool_fmr *next; /* of @free or @dirty */
	int maps;
	int users;
	bool mapped;
};

/* @lock guards what follows; flushing makes and breaks lists, and is done by one at a time, outside of it */
struct ib_fmr_pool {
	struct ib_fmr_pool_param param;
	struct pool_fmr *all;
	struct hca_spinlock lock;
	struct pool_fmr *free; /* oldest first */
	struct pool_fmr **free_end;
	struct pool_fmr *dirty; /* were mapped MAX_MAPS times */
	int idle; /* in @free or @dirty */
	int dirty_len; /* FMRs in both that are mapped */
	bool flushing;
};

static struct pool_fmr *pool_fmr_of(struct ib_pool_fmr *f)
{
	return hca_container_of(f, struct pool_fmr, ib);
}

static void put_free(struct ib_fmr_pool *p, struct pool_fmr *f)
{
	f->next = NULL;
	*p->free_end = f;
	p->free_end = &f->next;
}

static void take_free(struct ib_fmr_pool *p, struct pool_fmr **at)
{
	struct pool_fmr *f = *at;

	*at = f->next;
	if (p->free_end == &f->next)
		p->free_end = at;
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
	put_free(p, f);
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
	hca_free(p->all);
	hca_free(p);
}

static bool param_valid(const struct ib_fmr_pool_param *a)
{
	return a->pool_size > 0 && a->max_pages_per_fmr > 0 && (u32)a->max_pages_per_fmr <= HCA_MR_MAX_PAGES &&
	       a->page_shift > 0 && a->page_shift < 64 && a->dirty_watermark >= 0;
}

struct ib_fmr_pool *ib_create_fmr_pool(struct ib_pd *pd, const struct ib_fmr_pool_param *params)
{
	struct ib_fmr_pool *p;
	int err = 0;
	int i;

	if (!param_valid(params))
		return ERR_PTR(-EINVAL);
	p = hca_alloc(sizeof(*p), HCA_MAY_SLEEP);
	if (!p)
		return ERR_PTR(-ENOMEM);
	p->all = hca_alloc((size_t)params->pool_size * sizeof(*p->all), HCA_MAY_SLEEP);
	if (!p->all) {
		hca_free(p);
		return ERR_PTR(-ENOMEM);
	}
	p->param = *params;
	p->free_end = &p->free;
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
		return -EBUSY;
	ib_flush_fmr_pool(p);
	free_all(p);
	return 0;
}

/* --- flushing --- */

/* Takes every FMR that is mapped and idle off its list. Return: them, linked by their fmr's next. */
static struct pool_fmr *collect(struct ib_fmr_pool *p, struct ib_fmr **first)
{
	struct pool_fmr *list = p->dirty, *f;
	struct pool_fmr **at = &p->free;

	hca_spin_assert(&p->lock);
	p->dirty = NULL;
	while ((f = *at)) {
		if (!f->mapped) {
			at = &f->next;
			continue;
		}
		take_free(p, at);
		f->next = list;
		list = f;
	}
	*first = NULL;
	for (f = list; f; f = f->next) {
		f->ib.fmr->next = *first;
		*first = f->ib.fmr;
		p->idle--;
	}
	p->dirty_len = 0;
	return list;
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
	struct pool_fmr *list, *f;
	struct ib_fmr *first;
	hca_irqflags_t flags;
	int err;

	hca_spin_lock(&p->lock, flags);
	while (!begin_flush(p)) {
		hca_spin_unlock(&p->lock, flags);
		hca_pause();
		hca_spin_lock(&p->lock, flags);
	}
	list = collect(p, &first);
	hca_spin_unlock(&p->lock, flags);
	err = ib_unmap_fmr(first);
	hca_spin_lock(&p->lock, flags);
	while ((f = list)) {
		list = f->next;
		f->mapped = err != 0;
		f->maps = err ? f->maps : 0;
		put_free(p, f);
		p->idle++;
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
	struct pool_fmr **at;
	struct pool_fmr *f;
	int i;

	hca_spin_assert(&p->lock);
	*found = true;
	for (i = 0; p->param.cache && i < p->param.pool_size; i++)
		if (p->all[i].users && same_list(&p->all[i], list, len, iova))
			return &p->all[i];
	for (at = &p->free; p->param.cache && *at; at = &(*at)->next) {
		if (!same_list(*at, list, len, iova))
			continue;
		f = *at;
		take_free(p, at);
		return f;
	}
	*found = false;
	f = p->free;
	if (f)
		take_free(p, &p->free);
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
		return ERR_PTR(-EINVAL);
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
		return ERR_PTR(-EAGAIN);
	if (found)
		return &f->ib;
	/* Nobody else knows it now: it is in no list, and has no users that a cache would find. */
	err = ib_map_phys_fmr(f->ib.fmr, page_list, list_len, io_virtual_address);
	hca_spin_lock(&p->lock, flags);
	if (err) {
		put_free(p, f);
		p->idle++;
		p->dirty_len += f->mapped;
	} else {
		f->maps++;
		f->mapped = true;
		f->users = 1;
		f->ib.page_list_len = list_len;
		f->ib.io_virtual_address = io_virtual_address;
		hca_memcpy(f->ib.page_list, page_list, (size_t)list_len * sizeof(*page_list));
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
		return -EINVAL;
	}
	if (!--f->users) {
		if (f->maps < MAX_MAPS) {
			put_free(p, f);
		} else {
			f->next = p->dirty;
			p->dirty = f;
		}
		p->idle++;
		/* A pool whose FMRs are all used up is flushed whatever its watermark says. */
		flush = ++p->dirty_len >= p->param.dirty_watermark || !p->free;
		flush = flush && !p->flushing;
	}
	hca_spin_unlock(&p->lock, flags);
	return flush ? ib_flush_fmr_pool(p) : 0;
}
