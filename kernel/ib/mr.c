/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Protection domains and memory regions. A region is all memory, for local keys and ULPs
 * that trust their peer, or a list of pages or pieces that a work request registers.
 */
#include "ib.h"

#include <linux/log2.h>
#include <linux/slab.h>

/* --- protection domains --- */

static int alloc_pd(struct ib_pd *pd, struct ib_udata *udata)
{
	if (udata)
		return -EOPNOTSUPP;
	hca_pd_init(&softhca_ib_pd_of(pd)->pd, softhca_ib_hca(pd->device));
	return 0;
}

static int dealloc_pd(struct ib_pd *pd, struct ib_udata *udata)
{
	return hca_load_acquire(&softhca_ib_pd_of(pd)->pd.users) ? -EBUSY : 0;
}

/* --- memory regions --- */

static struct ib_mr *create(struct ib_pd *pd, const struct hca_mr_attr *attr)
{
	struct softhca_ib_mr *mr = kzalloc(sizeof(*mr), GFP_KERNEL);
	int err = -ENOMEM;

	if (!mr)
		return ERR_PTR(-ENOMEM);
	mr->room = attr->max_pages;
	mr->list = mr->room ? kvcalloc(mr->room, sizeof(*mr->list), GFP_KERNEL) : NULL;
	if (mr->room && !mr->list)
		goto free_mr;
	err = hca_mr_create(&softhca_ib_pd_of(pd)->pd, attr, &mr->mr);
	if (err)
		goto free_list;
	mr->ib.lkey = mr->mr->key;
	mr->ib.rkey = mr->mr->key;
	return &mr->ib;
free_list:
	kvfree(mr->list);
free_mr:
	kfree(mr);
	return ERR_PTR(err);
}

static struct ib_mr *get_dma_mr(struct ib_pd *pd, int access)
{
	const struct hca_mr_attr attr = { .kind = HCA_MR_ALL, .access = (u32)access };

	if (access & ~(HCA_ACCESS_SUPPORTED | HCA_ACCESS_OPTIONAL))
		return ERR_PTR(-EINVAL);
	return create(pd, &attr);
}

/* A program's memory would have to be held, and its device's file answer: neither is there. */
static struct ib_mr *reg_user_mr(struct ib_pd *pd, u64 start, u64 length, u64 virt_addr, int access,
				 struct ib_udata *udata)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static struct ib_mr *alloc_mr(struct ib_pd *pd, enum ib_mr_type type, u32 max_num_sg)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_PAGES, .max_pages = max_num_sg, .invalid = true };

	if (type != IB_MR_TYPE_MEM_REG && type != IB_MR_TYPE_SG_GAPS)
		return ERR_PTR(-EOPNOTSUPP);
	if (!max_num_sg || max_num_sg > pd->device->attrs.max_fast_reg_page_list_len)
		return ERR_PTR(-EINVAL);
	/* A piece takes two numbers. */
	if (type == IB_MR_TYPE_SG_GAPS)
		attr.max_pages *= 2;
	return create(pd, &attr);
}

static int dereg_mr(struct ib_mr *ib, struct ib_udata *udata)
{
	struct softhca_ib_mr *mr = softhca_ib_mr_of(ib);
	int err = hca_mr_destroy(mr->mr);

	if (err)
		return err;
	kvfree(mr->list);
	kfree(mr);
	return 0;
}

/* --- lists --- */

static int set_page(struct ib_mr *ib, u64 addr)
{
	struct softhca_ib_mr *mr = softhca_ib_mr_of(ib);

	if (mr->pages.npages == mr->room)
		return -ENOMEM;
	mr->list[mr->pages.npages++] = addr;
	return 0;
}

static int map_pages(struct softhca_ib_mr *mr, struct scatterlist *sg, int nents, unsigned int *offset)
{
	int n = ib_sg_to_pages(&mr->ib, sg, nents, offset, set_page);

	mr->pages.page_shift = ilog2(mr->ib.page_size);
	/* The first one says where in the page the bytes begin. */
	if (n > 0)
		mr->list[0] |= mr->ib.iova & (mr->ib.page_size - 1);
	return n;
}

/* One more piece; one that goes on where the last ended is part of it. Return: there was room. */
static bool add_piece(struct softhca_ib_mr *mr, u64 addr, u64 len)
{
	u64 *list = mr->list;
	u32 n = mr->pages.npages;

	if (n && addr - list[n - 2] == mr->ib.length - (n > 2 ? list[n - 3] : 0)) {
		n -= 2;
	} else {
		if (n + 2 > mr->room)
			return false;
		list[n] = addr;
		mr->pages.npages = n + 2;
	}
	mr->ib.length += len;
	list[n + 1] = mr->ib.length;
	return true;
}

static int map_pieces(struct softhca_ib_mr *mr, struct scatterlist *sgl, int nents, unsigned int *offset)
{
	unsigned int skip = offset ? *offset : 0;
	struct scatterlist *sg;
	int i;

	if (nents <= 0 || skip >= sg_dma_len(sgl))
		return -EINVAL;
	mr->pages.page_shift = HCA_MR_PIECES;
	mr->ib.iova = sg_dma_address(sgl) + skip;
	mr->ib.length = 0;
	for_each_sg(sgl, sg, nents, i) {
		if (!add_piece(mr, sg_dma_address(sg) + skip, sg_dma_len(sg) - skip))
			break;
		skip = 0;
	}
	if (offset)
		*offset = 0;
	return i;
}

static int map_mr_sg(struct ib_mr *ib, struct scatterlist *sg, int nents, unsigned int *offset)
{
	struct softhca_ib_mr *mr = softhca_ib_mr_of(ib);

	if (!mr->room)
		return -EINVAL;
	mr->pages = (struct hca_mr_pages){ .pages = mr->list };
	return ib->type == IB_MR_TYPE_SG_GAPS ? map_pieces(mr, sg, nents, offset) : map_pages(mr, sg, nents, offset);
}

const struct ib_device_ops softhca_ib_mr_ops = {
	.alloc_mr = alloc_mr,
	.alloc_pd = alloc_pd,
	.dealloc_pd = dealloc_pd,
	.dereg_mr = dereg_mr,
	.get_dma_mr = get_dma_mr,
	.map_mr_sg = map_mr_sg,
	.reg_user_mr = reg_user_mr,

	INIT_RDMA_OBJ_SIZE(ib_pd, softhca_ib_pd, ib),
};
