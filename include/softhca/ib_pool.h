/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Completion queues that the ULPs of a device share, and pools of MRs for a queue pair. */
#ifndef SOFTHCA_IB_POOL_H
#define SOFTHCA_IB_POOL_H

#include "softhca/ib_verbs.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * ib_cq_pool_get() - room for @nr_cqe completions in a queue that other callers may share
 * @comp_vector_hint: without effect: there is one completion vector
 * @poll_ctx: any but IB_POLL_DIRECT
 *
 * The device makes such queues when they are needed, of at least 256 completions, and keeps them until it is unregistered.
 * ib_cq_pool_put() returns the room. May sleep.
 * Return: a queue, or an error pointer: -EINVAL, or as ib_alloc_cq().
 */
struct ib_cq *ib_cq_pool_get(struct ib_device *dev, unsigned int nr_cqe, int comp_vector_hint,
			     enum ib_poll_context poll_ctx);

/** ib_cq_pool_put() - @nr_cqe as in ib_cq_pool_get(); the queue pairs that used it are destroyed */
void ib_cq_pool_put(struct ib_cq *cq, unsigned int nr_cqe);

/*
 * MR pools: regions for fast registration that a queue pair keeps, in a list of the ULP's, or in qp->rdma_mrs.
 * ib_mr_pool_get() and ib_mr_pool_put() may be called in any context.
 */

/** ib_mr_pool_init() - @nr regions of ib_alloc_mr(); @max_num_meta_sg: 0. May sleep. Return: 0; -EINVAL, -ENOMEM, -ENOSPC: the list is empty. */
int ib_mr_pool_init(struct ib_qp *qp, struct list_head *list, int nr, enum ib_mr_type type, u32 max_num_sg,
		    u32 max_num_meta_sg);

/** ib_mr_pool_get() - take a region. Return: it, or NULL: the list is empty */
struct ib_mr *ib_mr_pool_get(struct ib_qp *qp, struct list_head *list);

/** ib_mr_pool_put() - return a region */
void ib_mr_pool_put(struct ib_qp *qp, struct list_head *list, struct ib_mr *mr);

/** ib_mr_pool_destroy() - deregister the regions in the list. May sleep. */
void ib_mr_pool_destroy(struct ib_qp *qp, struct list_head *list);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
