/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ib_core asks a driver for details of shared receive queues as well. Compiled by ../Kbuild, never linked. */
#include <rdma/ib_verbs.h>

int probe(const struct ib_device_ops *ops, struct sk_buff *msg, struct ib_srq *srq);

int probe(const struct ib_device_ops *ops, struct sk_buff *msg, struct ib_srq *srq)
{
	return ops->fill_res_srq_entry(msg, srq);
}
