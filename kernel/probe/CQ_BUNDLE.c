/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How create_cq of struct ib_device_ops gets what comes from user space. Compiled by ../Kbuild, never linked. */
#include <rdma/ib_verbs.h>

int probe(const struct ib_device_ops *ops, struct ib_cq *cq, const struct ib_cq_init_attr *attr,
	  struct uverbs_attr_bundle *attrs);

int probe(const struct ib_device_ops *ops, struct ib_cq *cq, const struct ib_cq_init_attr *attr,
	  struct uverbs_attr_bundle *attrs)
{
	return ops->create_cq(cq, attr, attrs);
}
