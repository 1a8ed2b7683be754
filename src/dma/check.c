/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one argument check of the mapping layer; see check.h. */
#include "dma/check.h"

int hca_dma_check(const struct hca_dma_space *sp, u64 off, u64 size, int dir)
{
	if (!hca_dma_dir_valid(dir) || !size)
		return -EINVAL;
	if (!hca_dma_in_range(off, size, sp->all))
		return -EFAULT;
	if (off < sp->low && !hca_dma_in_range(off, size, sp->low))
		return -EINVAL;
	return 0;
}
