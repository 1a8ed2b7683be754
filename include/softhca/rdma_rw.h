/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * RDMA reads and writes of whole scatterlists (Linux's rdma/rw.h): a context maps a
 * list and makes the necessary work requests for it; the caller posts them, and destroys
 * the context when the last one has completed. Targets use it.
 */
#ifndef SOFTHCA_RDMA_RW_H
#define SOFTHCA_RDMA_RW_H

#include "softhca/ib_verbs.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** struct rdma_rw_reg_ctx - of a transfer that takes MRs, as those with signatures would; none does */
struct rdma_rw_reg_ctx {
	struct ib_sge sge;
	struct ib_rdma_wr wr;
	struct ib_reg_wr reg_wr;
	struct ib_send_wr inv_wr;
	struct ib_mr *mr;
};

/**
 * struct rdma_rw_ctx - a transfer
 * @nr_ops: work requests
 * @type: which of the union is used
 *
 * The caller's memory; only the calls below read its fields.
 */
struct rdma_rw_ctx {
	u32 nr_ops;
	u8 type;
	union {
		struct {
			struct ib_sge sge;
			struct ib_rdma_wr wr;
		} single;
		struct {
			struct ib_sge *sges;
			struct ib_rdma_wr *wrs;
		} map;
		struct rdma_rw_reg_ctx *reg;
	};
};

/** rdma_rw_ctx_init_at() - see rdma_rw_ctx_init() */
int rdma_rw_ctx_init_at(struct rdma_rw_ctx *ctx, struct ib_qp *qp, u32 port_num, struct scatterlist *sg, u32 sg_cnt,
			u32 sg_offset, u64 remote_addr, u32 rkey, enum dma_data_direction dir, hca_site_t site);

/** rdma_rw_ctx_destroy_at() - see rdma_rw_ctx_destroy() */
void rdma_rw_ctx_destroy_at(struct rdma_rw_ctx *ctx, struct ib_qp *qp, u32 port_num, struct scatterlist *sg, u32 sg_cnt,
			    enum dma_data_direction dir, hca_site_t site);

/**
 * rdma_rw_ctx_wrs() - the context's work requests as a chain
 * @cqe: of the last one, which is signalled; not used with @chain_wr
 * @chain_wr: posted behind them, or NULL
 *
 * May be called again to post the same transfer again.
 */
struct ib_send_wr *rdma_rw_ctx_wrs(struct rdma_rw_ctx *ctx, struct ib_qp *qp, u32 port_num, struct ib_cqe *cqe,
				   struct ib_send_wr *chain_wr);

/** rdma_rw_ctx_post_at() - see rdma_rw_ctx_post() */
int rdma_rw_ctx_post_at(struct rdma_rw_ctx *ctx, struct ib_qp *qp, u32 port_num, struct ib_cqe *cqe,
			struct ib_send_wr *chain_wr, hca_site_t site);

/** rdma_rw_mr_factor() - the number of contexts for a transfer of @maxpages pages */
unsigned int rdma_rw_mr_factor(struct ib_device *device, u32 port_num, unsigned int maxpages);

/** rdma_rw_max_send_wr() - work requests of @max_rdma_ctxs contexts; a context takes one, unless its list has more entries than a request */
unsigned int rdma_rw_max_send_wr(struct ib_device *dev, u32 port_num, unsigned int max_rdma_ctxs, u32 create_flags);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

/**
 * rdma_rw_ctx_init() - map a list, and prepare its transfer
 * @sg, @sg_cnt: at least one entry, and no empty entry
 * @sg_offset: bytes to skip at the list's beginning
 * @remote_addr, @rkey: the peer's memory, of the same length
 * @dir: DMA_TO_DEVICE: an RDMA write; DMA_FROM_DEVICE: an RDMA read
 *
 * May sleep. Return: the number of work requests; -EINVAL; -ENOMEM; -EIO, -EOPNOTSUPP, ...: the list can't be mapped. After an error it isn't mapped.
 */
#define rdma_rw_ctx_init(ctx, qp, port_num, sg, sg_cnt, sg_offset, remote_addr, rkey, dir) \
	rdma_rw_ctx_init_at(ctx, qp, port_num, sg, sg_cnt, sg_offset, remote_addr, rkey, dir, IB_DMA_HERE)

/** rdma_rw_ctx_destroy() - after the transfer has completed, or without a post: unmap the list. @sg, @sg_cnt, @dir: as before. */
#define rdma_rw_ctx_destroy(ctx, qp, port_num, sg, sg_cnt, dir) \
	rdma_rw_ctx_destroy_at(ctx, qp, port_num, sg, sg_cnt, dir, IB_DMA_HERE)

/** rdma_rw_ctx_post() - post the requests of rdma_rw_ctx_wrs(). Return: as ib_post_send(). */
#define rdma_rw_ctx_post(ctx, qp, port_num, cqe, chain_wr) \
	rdma_rw_ctx_post_at(ctx, qp, port_num, cqe, chain_wr, IB_DMA_HERE)

#endif
