/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The software adapter's accessor; see soft.h. */
#include "dma/soft.h"

static int soft_open(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w)
{
	struct hca_soft *soft = hca_container_of(mem, struct hca_soft, mem);
	u64 phys, off;
	void *page;
	int err = -EFAULT;

	(void)access; /* The CPU may read and write whatever it can reach: that is what the ledger is for. */
	if (hca_likely(!hca_addr_tagged(addr))) {
		w->ptr = soft->ops->virt(soft->ctx, hca_dma_u64(addr), len);
		if (!w->ptr)
			return -EFAULT;
		w->len = len;
		w->cookie = 0;
		return 0;
	}
	if (soft->highmem == HCA_SOFT_REFUSE)
		return -EFAULT;
	phys = hca_tag_phys(addr);
	off = phys & (HCA_PAGE_SIZE - 1);
	page = soft->ops->kmap(soft->ctx, phys >> HCA_PAGE_SHIFT, &err);
	if (!page)
		return err;
	w->ptr = (u8 *)page + off;
	w->len = HCA_MIN(len, HCA_PAGE_SIZE - off);
	w->cookie = (uintptr_t)page;
	return 0;
}

static void soft_close(struct hca_mem *mem, struct hca_mem_view *w)
{
	struct hca_soft *soft = hca_container_of(mem, struct hca_soft, mem);

	if (w->cookie)
		soft->ops->kunmap(soft->ctx, (void *)w->cookie);
}

static const struct hca_mem_ops soft_mem_ops = {
	.open = soft_open,
	.close = soft_close,
};

void hca_soft_init(struct hca_soft *soft, const struct hca_soft_ops *ops, void *ctx, enum hca_soft_highmem highmem)
{
	soft->mem = (struct hca_mem){ .ops = &soft_mem_ops };
	soft->ops = ops;
	soft->ctx = ctx;
	soft->highmem = highmem;
}
