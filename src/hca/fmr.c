/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fast memory regions; see fmr.h. Called by the verbs of a face. A thin layer over
 * MRs of pages: what the engine sees is an MR like any other.
 */
#include "hca/fmr.h"

#define FMR_ACCESS (HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_REMOTE | HCA_ACCESS_OPTIONAL)

int hca_fmr_create(struct hca_pd *pd, const struct hca_fmr_attr *attr, struct hca_fmr **out)
{
	const struct hca_mr_attr pages = {
		.kind = HCA_MR_PAGES, .access = attr->access, .max_pages = attr->max_pages, .invalid = true
	};
	struct hca_fmr *f;
	int err;

	if (attr->access & ~(u32)FMR_ACCESS)
		return hca_refuse(-EINVAL, "FMR not made: access 0x%x has rights that an FMR can't have", attr->access);
	if (!attr->max_maps || attr->max_maps > HCA_FMR_MAX_MAPS)
		return hca_refuse(-EINVAL, "FMR not made: max_maps is %u, must be from 1 to %u", attr->max_maps,
				  HCA_FMR_MAX_MAPS);
	if (attr->page_shift < HCA_MR_MIN_SHIFT || attr->page_shift > HCA_MR_MAX_SHIFT)
		return hca_refuse(-EINVAL, "FMR not made: page_shift is %u, must be from %u to %u", attr->page_shift,
				  HCA_MR_MIN_SHIFT, HCA_MR_MAX_SHIFT);
	f = hca_alloc(sizeof(*f), HCA_MAY_SLEEP);
	if (!f)
		return -ENOMEM;
	err = hca_mr_create(pd, &pages, &f->mr);
	if (err) {
		hca_free(f);
		return err;
	}
	f->access = attr->access;
	f->page_shift = attr->page_shift;
	f->max_maps = attr->max_maps;
	f->key = f->mr->key;
	*out = f;
	return 0;
}

int hca_fmr_destroy(struct hca_fmr *f)
{
	int err;

	if (f->maps)
		return hca_refuse(-EBUSY, "FMR with key 0x%x not freed: it is mapped still; unmap it before", f->key);
	err = hca_mr_destroy(f->mr);
	if (!err)
		hca_free(f);
	return err;
}

static int check_pages(const struct hca_fmr *f, const u64 *pages, u32 npages, u64 iova)
{
	u64 any = iova;
	u32 i;

	if (!npages || npages > f->mr->max_pages)
		return hca_refuse(-EINVAL, "FMR with key 0x%x not mapped: %u pages, must be from 1 to %u", f->key,
				  npages, f->mr->max_pages);
	if (iova + (((u64)npages << f->page_shift) - 1) < iova)
		return hca_refuse(-EINVAL, "FMR with key 0x%x not mapped: %u pages from iova 0x%llx go beyond the end",
				  f->key, npages, (unsigned long long)iova);
	for (i = 0; i < npages; i++)
		any |= pages[i];
	if (any & ((1ull << f->page_shift) - 1))
		return hca_refuse(-EINVAL, "FMR with key 0x%x not mapped: iova, or a page, doesn't begin on %llu bytes",
				  f->key, 1ull << f->page_shift);
	return 0;
}

static int map(struct hca_fmr *f, const struct hca_mr_pages *p)
{
	struct hca_mr_pages own;
	int err;

	if (f->maps == f->max_maps)
		return hca_refuse(
			-EINVAL,
			"FMR with key 0x%x not mapped: mapped %u times, as often as it may be; unmap it before", f->key,
			f->maps);
	err = hca_mr_capture(f->mr, p, &own);
	if (err)
		return err;
	/* Its pages are about to change: no thread may be reading them. An error says that none can: it isn't mapped. */
	(void)hca_mr_invalidate(f->mr, f->key);
	err = hca_mr_register_captured(f->mr, &own);
	hca_mr_release(f->mr, &own);
	if (err)
		return err;
	f->key = p->key;
	f->maps++;
	return 0;
}

int hca_fmr_map(struct hca_fmr *f, const u64 *pages, u32 npages, u64 iova)
{
	struct hca_mr_pages p = {
		.access = f->access, .iova = iova, .page_shift = f->page_shift, .pages = pages, .npages = npages
	};
	int err;

	if (check_pages(f, pages, npages, iova))
		return -EINVAL;
	p.length = (u64)npages << f->page_shift;
	if (hca_xchg(&f->busy, 1u))
		return hca_refuse(-EBUSY, "FMR with key 0x%x not mapped: another thread maps or unmaps it", f->key);
	p.key = hca_key_next(f->key);
	err = map(f, &p);
	hca_store_release(&f->busy, 0u);
	return err;
}

/* Take all of a list, or none. */
static int take_all(struct hca_fmr *first)
{
	struct hca_fmr *f, *taken;

	for (f = first; f; f = f->next) {
		if (!hca_xchg(&f->busy, 1u))
			continue;
		for (taken = first; taken != f; taken = taken->next)
			hca_store_release(&taken->busy, 0u);
		return -EBUSY; /* hca_fmr_unmap() says why */
	}
	return 0;
}

int hca_fmr_unmap(struct hca_fmr *first)
{
	struct hca_fmr *f;

	for (f = first; f; f = f->next)
		if (f->mr->quiesce != first->mr->quiesce)
			return hca_refuse(-EINVAL, "FMR with key 0x%x not unmapped: the list has FMRs of two adapters",
					  f->key);
	if (take_all(first))
		return hca_refuse(-EBUSY, "FMRs not unmapped: another thread maps or unmaps one of them");
	/* First all keys are void, then the threads that may still use one of them leave, once for all. */
	for (f = first; f; f = f->next)
		f->voided = !hca_mr_begin_invalidate(f->mr, f->key);
	if (first)
		hca_quiesce_wait(first->mr->quiesce);
	for (f = first; f; f = f->next) {
		if (f->voided)
			hca_mr_end_invalidate(f->mr);
		f->maps = 0;
		hca_store_release(&f->busy, 0u);
	}
	return 0;
}
