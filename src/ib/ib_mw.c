/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Memory windows and fast memory regions of the kernel-style verbs. */
#include "ib_core.h"

/* --- memory windows --- */

struct ib_mw *ib_alloc_mw(struct ib_pd *pd, enum ib_mw_type type)
{
	struct ib_device *device = pd->device;
	struct ib_mw_priv *mw;
	int err;

	if (type != IB_MW_TYPE_1 && type != IB_MW_TYPE_2)
		return ERR_PTR(
			hca_refuse(-EINVAL, "%s: MW not made: type %d, must be 1 or 2", device->name, (int)type));
	err = ib_core_take(device, IB_OBJ_MW);
	if (err)
		return ERR_PTR(err);
	err = -ENOMEM;
	mw = hca_alloc(sizeof(*mw), HCA_MAY_SLEEP);
	if (!mw)
		goto give;
	err = hca_mw_create(&device->core->hca, &ib_pd_of(pd)->pd, (enum hca_mw_type)type, &mw->mw);
	if (err)
		goto free_mw;
	mw->ib.device = device;
	mw->ib.pd = pd;
	mw->ib.type = type;
	mw->ib.rkey = mw->mw->key;
	return &mw->ib;
free_mw:
	hca_free(mw);
give:
	ib_core_give(device, IB_OBJ_MW);
	return ERR_PTR(err);
}

int ib_dealloc_mw(struct ib_mw *ib)
{
	struct ib_device *device = ib->device;
	struct ib_mw_priv *mw = ib_mw_of(ib);

	hca_mw_destroy(mw->mw);
	hca_free(mw);
	ib_core_give(device, IB_OBJ_MW);
	return 0;
}

int ib_fill_bind(const struct ib_qp *qp, struct ib_mw *mw, u32 rkey, const struct ib_mw_bind_info *info,
		 struct hca_send_wr *to)
{
	if (!mw || mw->device != qp->device)
		return hca_refuse(-EINVAL, "%s QP %u: MW not bound: it is another device's, or NULL", qp->device->name,
				  qp->qp_num);
	if ((info->mr && info->mr->device != qp->device) || (!info->mr && info->length))
		return hca_refuse(-EINVAL, "%s QP %u: MW not bound: its MR is another device's, or NULL",
				  qp->device->name, qp->qp_num);
	to->bind.mw = ib_mw_of(mw)->mw;
	to->bind.rkey = rkey;
	to->bind.addr = info->addr;
	to->bind.length = info->length;
	to->bind.lkey = info->mr ? info->mr->lkey : 0;
	to->bind.access = (u32)info->mw_access_flags;
	return 0;
}

int ib_bind_mw_at(struct ib_qp *qp, struct ib_mw *mw, struct ib_mw_bind *bind, hca_site_t site)
{
	struct hca_send_wr wr = {
		.wr_id = bind->wr_id, .opcode = HCA_WR_BIND_MW, .flags = (u32)bind->send_flags, .site = site
	};
	u32 before;
	int err;

	if (mw->type != IB_MW_TYPE_1)
		return hca_refuse(-EINVAL, "%s QP %u: MW 0x%x not bound: it is of type 2: post IB_WR_BIND_MW",
				  qp->device->name, qp->qp_num, mw->rkey);
	err = ib_fill_bind(qp, mw, 0, &bind->bind_info, &wr);
	if (err)
		return err;
	wr.bind.rkey = hca_mw_next_key(wr.bind.mw);
	/* Its done() may run before the post returns, and tells others the key. */
	before = mw->rkey;
	mw->rkey = wr.bind.rkey;
	err = hca_post_send(ib_qp_of(qp)->qp, &wr);
	if (err)
		mw->rkey = before;
	return err;
}

/* --- fast memory regions --- */

struct ib_fmr *ib_alloc_fmr(struct ib_pd *pd, int mr_access_flags, const struct ib_fmr_attr *attr)
{
	const struct hca_fmr_attr fa = {
		.access = (u32)mr_access_flags,
		.max_pages = (u32)attr->max_pages,
		.max_maps = (u32)attr->max_maps,
		.page_shift = attr->page_shift,
	};
	struct ib_device *device = pd->device;
	struct ib_fmr_priv *f;
	int err;

	if (attr->max_pages <= 0 || attr->max_maps <= 0)
		return ERR_PTR(hca_refuse(-EINVAL,
					  "%s: FMR not made: max_pages is %d, max_maps is %d, must be 1 at least",
					  device->name, attr->max_pages, attr->max_maps));
	err = ib_core_take(device, IB_OBJ_FMR);
	if (err)
		return ERR_PTR(err);
	err = -ENOMEM;
	f = hca_alloc(sizeof(*f), HCA_MAY_SLEEP);
	if (!f)
		goto give;
	err = hca_fmr_create(&ib_pd_of(pd)->pd, &fa, &f->fmr);
	if (err)
		goto free_fmr;
	f->ib.device = device;
	f->ib.pd = pd;
	f->ib.lkey = f->ib.rkey = f->fmr->key;
	return &f->ib;
free_fmr:
	hca_free(f);
give:
	ib_core_give(device, IB_OBJ_FMR);
	return ERR_PTR(err);
}

int ib_map_phys_fmr(struct ib_fmr *fmr, const u64 *page_list, int list_len, u64 iova)
{
	struct ib_fmr_priv *f = ib_fmr_of(fmr);
	int err;

	if (list_len <= 0 || !page_list)
		return hca_refuse(-EINVAL, "%s: FMR 0x%x not mapped: a list of %d pages", fmr->device->name, fmr->lkey,
				  list_len);
	err = hca_fmr_map(f->fmr, page_list, (u32)list_len, iova);
	if (!err)
		fmr->lkey = fmr->rkey = f->fmr->key;
	return err;
}

int ib_unmap_fmr(struct ib_fmr *list)
{
	struct ib_fmr *fmr;

	for (fmr = list; fmr; fmr = fmr->next)
		ib_fmr_of(fmr)->fmr->next = fmr->next ? ib_fmr_of(fmr->next)->fmr : NULL;
	return list ? hca_fmr_unmap(ib_fmr_of(list)->fmr) : 0;
}

int ib_dealloc_fmr(struct ib_fmr *fmr)
{
	struct ib_device *device = fmr->device;
	struct ib_fmr_priv *f = ib_fmr_of(fmr);
	int err = hca_fmr_destroy(f->fmr);

	if (err)
		return err;
	hca_free(f);
	ib_core_give(device, IB_OBJ_FMR);
	return 0;
}
