/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Device memory, which is memory like any other here, and memory windows. */
#include "shim.h"

#include <stdlib.h>

#define MAX_DM_BYTES (64ull << 20)
#define MAX_DM_ALIGN 21u /* log2 */
#define DM_UNIT 4u /* copies begin and end at multiples of this */

/* --- device memory --- */

static bool dm_valid(const struct shim_dm *dm, u64 offset, size_t length)
{
	return shim_is(&dm->obj, SHIM_DM) && !(offset % DM_UNIT) && !(length % DM_UNIT) && length <= dm->length &&
	       offset <= dm->length - length;
}

static int copy_to(struct ibv_dm *ib, uint64_t offset, const void *from, size_t length)
{
	struct shim_dm *dm = SHIM_OF(ib, struct shim_dm, ib);

	if (!dm_valid(dm, offset, length))
		return shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_memcpy_to_dm: %zu bytes at %llu", length,
				(unsigned long long)offset);
	memcpy((u8 *)dm->bytes + offset, from, length);
	return 0;
}

static int copy_from(void *to, struct ibv_dm *ib, uint64_t offset, size_t length)
{
	struct shim_dm *dm = SHIM_OF(ib, struct shim_dm, ib);

	if (!dm_valid(dm, offset, length))
		return shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_memcpy_from_dm: %zu bytes at %llu", length,
				(unsigned long long)offset);
	memcpy(to, (u8 *)dm->bytes + offset, length);
	return 0;
}

struct ibv_dm *shim_alloc_dm(struct ibv_context *context, struct ibv_alloc_dm_attr *attr)
{
	struct shim_context *c = shim_context_get(context);
	struct shim_dm *dm;
	size_t align;

	if (!c || !attr || attr->comp_mask || !attr->length || attr->log_align_req > MAX_DM_ALIGN)
		return shim_null(attr ? shim_why(EINVAL, SHIM_LOG_MEMORY,
						 "ibv_alloc_dm: mask 0x%x, %zu bytes, alignment 2^%u", attr->comp_mask,
						 attr->length, attr->log_align_req) :
					shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_alloc_dm: no attributes"));
	if (attr->length > MAX_DM_BYTES)
		return shim_null(shim_why(ENOMEM, SHIM_LOG_MEMORY, "ibv_alloc_dm: %zu bytes", attr->length));
	dm = shim_object_new(SHIM_DM, sizeof(*dm), c);
	if (!dm)
		return shim_null(ENOMEM);
	align = HCA_MAX((size_t)1 << attr->log_align_req, (size_t)64);
	dm->length = attr->length;
	/* A byte more than the program has, for regions of none. */
	dm->bytes = aligned_alloc(align, (attr->length + align) & ~(align - 1));
	if (!dm->bytes) {
		shim_object_free(&dm->obj);
		return shim_null(ENOMEM);
	}
	memset(dm->bytes, 0, attr->length);
	dm->ib = (struct ibv_dm){
		.context = context,
		.memcpy_to_dm = copy_to,
		.memcpy_from_dm = copy_from,
		.comp_mask = IBV_DM_MASK_HANDLE,
		.handle = dm->obj.handle,
	};
	shim_object_publish(&dm->obj);
	return &dm->ib;
}

int shim_end_dm(struct shim_object *o, bool abandon)
{
	struct shim_dm *dm = hca_container_of(o, struct shim_dm, obj);

	if (hca_load_acquire(&dm->users) && !abandon)
		return EBUSY;
	free(dm->bytes);
	return 0;
}

int shim_free_dm(struct ibv_dm *ib)
{
	struct shim_dm *dm = SHIM_OF(ib, struct shim_dm, ib);
	int err;

	if (!ib || !shim_claim(&dm->obj, SHIM_DM))
		return shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_free_dm: no such memory");
	err = shim_end_dm(&dm->obj, false);
	if (err) {
		shim_unclaim(&dm->obj);
		return shim_why(err, SHIM_LOG_MEMORY, "ibv_free_dm: regions use it");
	}
	shim_object_free(&dm->obj);
	return 0;
}

struct ibv_mr *shim_reg_dm_mr(struct ibv_pd *pd, struct ibv_dm *ib, uint64_t offset, size_t length, unsigned int access)
{
	struct shim_dm *dm = SHIM_OF(ib, struct shim_dm, ib);
	struct shim_pd *p = shim_pd_get(pd);
	struct ibv_mr *mr;

	if (!p || !ib || !shim_is_of(&dm->obj, SHIM_DM, p->obj.context))
		return shim_null(shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_reg_dm_mr: no such %s",
					  p ? "memory of the domain's context" : "domain"));
	if (length > dm->length || offset > dm->length - length || !(access & IBV_ACCESS_ZERO_BASED))
		return shim_null(shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_reg_dm_mr: %zu bytes from %llu", length,
					  (unsigned long long)offset));
	hca_fetch_add(&dm->users, 1);
	mr = shim_reg(pd, (u8 *)dm->bytes + (length ? offset : dm->length), length ? length : 1, 0, access, dm);
	if (!mr) {
		hca_fetch_add(&dm->users, (u32)-1);
		return NULL;
	}
	mr->addr = NULL;
	mr->length = length;
	return mr;
}

SHIM_EXPORT struct ibv_dm *ibv_import_dm(struct ibv_context *context, uint32_t handle)
{
	(void)context;
	(void)handle;
	return shim_null(shim_why(EOPNOTSUPP, SHIM_LOG_MEMORY, "ibv_import_dm"));
}

SHIM_EXPORT void ibv_unimport_dm(struct ibv_dm *dm)
{
	(void)dm;
}

/* --- memory windows --- */

struct ibv_mw *shim_alloc_mw(struct ibv_pd *pd, enum ibv_mw_type type)
{
	struct shim_pd *p = shim_pd_get(pd);
	struct shim_mw *w;
	int err;

	if (!p || (type != IBV_MW_TYPE_1 && type != IBV_MW_TYPE_2))
		return shim_null(shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_alloc_mw: type %d%s", (int)type,
					  p ? "" : ", no such domain"));
	w = shim_object_new(SHIM_MW, sizeof(*w), p->obj.context);
	if (!w)
		return shim_null(ENOMEM);
	err = hca_mw_create(&p->obj.context->device->hca, &p->pd, (enum hca_mw_type)type, &w->mw);
	if (err) {
		shim_object_free(&w->obj);
		return shim_null(shim_why(err, SHIM_LOG_MEMORY, "ibv_alloc_mw"));
	}
	w->type = type;
	w->pd = p;
	w->obj.under = shim_parent(pd);
	w->ib = (struct ibv_mw){
		.context = pd->context, .pd = pd, .rkey = w->mw->key, .handle = w->obj.handle, .type = type
	};
	shim_object_publish(&w->obj);
	return &w->ib;
}

int shim_end_mw(struct shim_object *o, bool abandon)
{
	(void)abandon;
	hca_mw_destroy(hca_container_of(o, struct shim_mw, obj)->mw);
	return 0;
}

int shim_dealloc_mw(struct ibv_mw *mw)
{
	struct shim_mw *w = shim_mw(mw);

	if (!mw || !shim_claim(&w->obj, SHIM_MW))
		return shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_dealloc_mw: no such window");
	shim_end_mw(&w->obj, false);
	shim_object_free(&w->obj);
	return 0;
}

int shim_fill_bind(const struct shim_qp *qp, const struct ibv_mw *mw, u32 rkey, const struct ibv_mw_bind_info *info,
		   struct hca_send_wr *to)
{
	const struct shim_mw *w = mw ? shim_mw(mw) : NULL;
	const struct shim_mr *m = info->mr ? shim_mr(info->mr) : NULL;

	if (!w || !shim_is(&w->obj, SHIM_MW) || (m ? !shim_is(&m->obj, SHIM_MR) : info->length))
		return EINVAL;
	if (w->pd != qp->pd || (m && m->pd != qp->pd))
		return EINVAL;
	to->bind.mw = w->mw;
	to->bind.rkey = rkey;
	to->bind.addr = info->addr;
	to->bind.length = info->length;
	to->bind.lkey = m ? m->mr->key : 0;
	/* That it may be written here is the region's affair. */
	to->bind.access = info->mw_access_flags & ~(u32)(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_OPTIONAL_RANGE);
	return 0;
}

int shim_bind_mw(struct ibv_qp *ib, struct ibv_mw *mw, struct ibv_mw_bind *bind)
{
	struct hca_send_wr wr = { .wr_id = bind->wr_id, .opcode = HCA_WR_BIND_MW, .flags = bind->send_flags };
	struct shim_qp *qp = shim_qp(ib);
	u32 before;
	int err;

	if (!shim_is(&qp->obj, SHIM_QP) || !shim_is(&shim_mw(mw)->obj, SHIM_MW) || shim_mw(mw)->type != IBV_MW_TYPE_1)
		return shim_why(EINVAL, SHIM_LOG_MEMORY, "ibv_bind_mw: no such queue pair, or no window of type 1");
	err = shim_fill_bind(qp, mw, 0, &bind->bind_info, &wr);
	if (err)
		return shim_why(err, SHIM_LOG_MEMORY,
				"ibv_bind_mw: window and region are not of the queue pair's domain");
	wr.bind.rkey = hca_mw_next_key(wr.bind.mw);
	/* Its completion may be polled by another thread before the post returns. */
	before = mw->rkey;
	mw->rkey = wr.bind.rkey;
	err = hca_post_send(qp->qp, &wr);
	if (err)
		mw->rkey = before;
	return -err;
}
