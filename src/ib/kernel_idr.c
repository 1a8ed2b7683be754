/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Numbers that are given, with a pointer each (idr) or alone (ida); see softhca/kernel/xarray.h, on which they stand. */
#include "os.h"
#include "softhca/kernel/base.h"
#include "softhca/kernel/xarray.h"

#define HIGHEST 0x7fffffffu

static int no_space(int err)
{
	return err == -EBUSY ? -ENOSPC : err;
}

void idr_init_base(struct idr *idr, int base)
{
	*idr = (struct idr)IDR_INIT_BASE(*idr, (u32)base);
}

/* The last number that idr_alloc() may give before @end. */
static u32 last_of(int end)
{
	return end > 0 ? (u32)end - 1 : HIGHEST;
}

int idr_alloc(struct idr *idr, void *ptr, int start, int end, gfp_t gfp)
{
	u32 id;
	int err;

	if (start < 0 || !ptr)
		return -EINVAL;
	err = xa_alloc(&idr->xa, &id, ptr, XA_LIMIT((u32)HCA_MAX((u32)start, idr->base), last_of(end)), gfp);
	return err ? no_space(err) : (int)id;
}

int idr_alloc_cyclic(struct idr *idr, void *ptr, int start, int end, gfp_t gfp)
{
	struct xa_limit limit = { .min = (u32)start, .max = last_of(end) };
	u32 id;
	int err;

	if (start < 0 || !ptr)
		return -EINVAL;
	err = xa_alloc_cyclic(&idr->xa, &id, ptr, limit, &idr->next, gfp);
	return err < 0 ? no_space(err) : (int)id;
}

int idr_alloc_u32(struct idr *idr, void *ptr, u32 *id, unsigned long max, gfp_t gfp)
{
	return no_space(xa_alloc(&idr->xa, id, ptr, XA_LIMIT(*id, (u32)HCA_MIN(max, (unsigned long)U32_MAX)), gfp));
}

void *idr_replace(struct idr *idr, void *ptr, unsigned long id)
{
	void *was;

	xa_lock(&idr->xa);
	was = xa_load(&idr->xa, id);
	if (was)
		xa_store(&idr->xa, id, ptr, GFP_ATOMIC);
	xa_unlock(&idr->xa);
	return was ? was : ERR_PTR(-ENOENT);
}

void *idr_get_next(struct idr *idr, int *id)
{
	unsigned long index = (unsigned long)*id;
	void *entry = xa_find(&idr->xa, &index, HIGHEST, XA_PRESENT);

	if (entry)
		*id = (int)index;
	return entry;
}

int idr_for_each(const struct idr *idr, int (*fn)(int id, void *p, void *data), void *data)
{
	struct xarray *xa = (struct xarray *)(uintptr_t)&idr->xa;
	unsigned long index;
	void *entry;
	int ret = 0;

	xa_for_each(xa, index, entry)
	{
		ret = fn((int)index, entry, data);
		if (ret)
			break;
	}
	return ret;
}

int ida_alloc_range(struct ida *ida, unsigned int min, unsigned int max, gfp_t gfp)
{
	u32 id;
	int err = xa_alloc(&ida->xa, &id, xa_mk_value(1), XA_LIMIT(min, HCA_MIN(max, HIGHEST)), gfp);

	return err ? no_space(err) : (int)id;
}

void ida_free(struct ida *ida, unsigned int id)
{
	HCA_WARN_ON(!xa_erase(&ida->xa, id));
}
