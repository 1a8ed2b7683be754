/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The machine's memory, for the software adapter's accessor: what is mapped for good
 * is touched where it is, a page of high memory is mapped for as long as a window is
 * open. An address that is neither is refused, whoever gave it to us.
 */
#include "glue.h"

#include <linux/highmem.h>
#include <linux/mm.h>

/* Memory comes and goes by sections; no machine has them smaller than this. */
#define STEP (2ul << 20)

static void *home_virt(void *ctx, u64 addr, u64 len)
{
	unsigned long at = (unsigned long)addr, last = (unsigned long)(addr + len - 1);
	unsigned long left;

	if (addr != at || !len || len > ULONG_MAX || last < at || !virt_addr_valid((void *)at) ||
	    !virt_addr_valid((void *)last))
		return NULL;
	for (left = last - at; left > STEP; left -= STEP)
		if (!virt_addr_valid((void *)(last - left + STEP)))
			return NULL;
	return (void *)at;
}

static void *home_kmap(void *ctx, u64 pfn, int *err)
{
	*err = -EFAULT;
	if (pfn != (unsigned long)pfn || !pfn_valid((unsigned long)pfn))
		return NULL;
	return kmap_local_page(pfn_to_page((unsigned long)pfn));
}

static void home_kunmap(void *ctx, void *at)
{
	kunmap_local(at);
}

const struct hca_soft_home softhca_home = {
	.virt = home_virt,
	.kmap = home_kmap,
	.kunmap = home_kunmap,
};
