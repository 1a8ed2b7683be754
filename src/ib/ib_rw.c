/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * RDMA of whole scatterlists; see softhca/rdma_rw.h. A request names as many entries
 * as the queue pair takes in one, so no memory need be registered for it: the domain's
 * local key covers all that is mapped.
 */
#include "ib_core.h"
#include "softhca/rdma_rw.h"

enum { RW_SINGLE, RW_MAP };

/* Where in the list the transfer begins. Return: entries from there on; 0: the list is shorter than the offset. */
static u32 skip(struct ib_device *dev, struct scatterlist **sg, u32 nents, u32 *offset)
{
	while (nents && *sg) {
		u32 len = ib_sg_dma_len(dev, *sg);

		if (*offset < len)
			break;
		*offset -= len;
		*sg = sg_next(*sg);
		nents--;
	}
	return nents;
}

static u32 sges_of(const struct ib_qp *qp, enum dma_data_direction dir)
{
	return dir == DMA_TO_DEVICE ? qp->max_write_sge : qp->max_read_sge;
}

static void fill_sge(const struct ib_qp *qp, struct scatterlist *sg, u32 offset, struct ib_sge *sge)
{
	sge->addr = hca_dma_u64(ib_sg_dma_address(qp->device, sg)) + offset;
	sge->length = ib_sg_dma_len(qp->device, sg) - offset;
	sge->lkey = qp->pd->local_dma_lkey;
}

static void fill_wr(struct ib_rdma_wr *wr, struct ib_sge *sges, u32 num, u64 remote_addr, u32 rkey,
		    enum dma_data_direction dir)
{
	*wr = (struct ib_rdma_wr){
		.wr = { .sg_list = sges,
			.num_sge = (int)num,
			.opcode = dir == DMA_TO_DEVICE ? IB_WR_RDMA_WRITE : IB_WR_RDMA_READ },
		.remote_addr = remote_addr,
		.rkey = rkey,
	};
}

static int init_map(struct rdma_rw_ctx *ctx, struct ib_qp *qp, struct scatterlist *sg, u32 nents, u32 offset,
		    u64 remote_addr, u32 rkey, enum dma_data_direction dir)
{
	u32 per = sges_of(qp, dir), i, done = 0;
	struct ib_sge *sge;

	ctx->nr_ops = (nents + per - 1) / per;
	ctx->map.sges = sge = hca_alloc(nents * sizeof(*sge), HCA_MAY_SLEEP);
	ctx->map.wrs = hca_alloc(ctx->nr_ops * sizeof(*ctx->map.wrs), HCA_MAY_SLEEP);
	if (!sge || !ctx->map.wrs) {
		hca_free(ctx->map.wrs);
		hca_free(sge);
		return -ENOMEM;
	}
	ctx->type = RW_MAP;
	for (i = 0; i < ctx->nr_ops; i++) {
		u32 num = HCA_MIN(nents - done, per), j;

		fill_wr(&ctx->map.wrs[i], sge, num, remote_addr, rkey, dir);
		for (j = 0; j < num && sg; j++, sge++, sg = sg_next(sg)) {
			fill_sge(qp, sg, offset, sge);
			remote_addr += sge->length;
			offset = 0;
		}
		done += num;
		ctx->map.wrs[i].wr.next = i + 1 < ctx->nr_ops ? &ctx->map.wrs[i + 1].wr : NULL;
	}
	return (int)ctx->nr_ops;
}

int rdma_rw_ctx_init_at(struct rdma_rw_ctx *ctx, struct ib_qp *qp, u32 port_num, struct scatterlist *sg, u32 sg_cnt,
			u32 sg_offset, u64 remote_addr, u32 rkey, enum dma_data_direction dir, hca_site_t site)
{
	struct sg_table sgt = { .sgl = sg, .orig_nents = sg_cnt };
	u32 nents;
	int ret;

	(void)port_num;
	if (dir != DMA_TO_DEVICE && dir != DMA_FROM_DEVICE)
		return hca_refuse(-EINVAL,
				  "%s QP %u: no RDMA of a list at " HCA_SITE ": direction %d isn't one of RDMA",
				  qp->device->name, qp->qp_num, hca_site(site), (int)dir);
	if (!sges_of(qp, dir))
		return hca_refuse(-EINVAL, "%s QP %u: no RDMA of a list at " HCA_SITE ": made with max_send_sge 0",
				  qp->device->name, qp->qp_num, hca_site(site));
	ret = ib_dma_map_sgtable_at(qp->device, &sgt, dir, 0, false, site);
	if (ret)
		return ret;
	nents = skip(qp->device, &sg, sgt.nents, &sg_offset);
	if (!nents || !sg) {
		ret = hca_refuse(-EINVAL, "%s QP %u: no RDMA of a list at " HCA_SITE ": sg_offset is beyond its end",
				 qp->device->name, qp->qp_num, hca_site(site));
	} else if (nents == 1) {
		ctx->type = RW_SINGLE;
		ctx->nr_ops = 1;
		fill_sge(qp, sg, sg_offset, &ctx->single.sge);
		fill_wr(&ctx->single.wr, &ctx->single.sge, 1, remote_addr, rkey, dir);
		ret = 1;
	} else {
		ret = init_map(ctx, qp, sg, nents, sg_offset, remote_addr, rkey, dir);
	}
	if (ret < 0)
		ib_dma_unmap_sgtable_at(qp->device, &sgt, dir, 0, site);
	return ret;
}

void rdma_rw_ctx_destroy_at(struct rdma_rw_ctx *ctx, struct ib_qp *qp, u32 port_num, struct scatterlist *sg, u32 sg_cnt,
			    enum dma_data_direction dir, hca_site_t site)
{
	(void)port_num;
	if (ctx->type == RW_MAP) {
		hca_free(ctx->map.wrs);
		hca_free(ctx->map.sges);
	}
	ib_dma_unmap_sg_at(qp->device, sg, (int)sg_cnt, dir, 0, site);
}

struct ib_send_wr *rdma_rw_ctx_wrs(struct rdma_rw_ctx *ctx, struct ib_qp *qp, u32 port_num, struct ib_cqe *cqe,
				   struct ib_send_wr *chain_wr)
{
	struct ib_rdma_wr *first = ctx->type == RW_SINGLE ? &ctx->single.wr : ctx->map.wrs;
	struct ib_rdma_wr *last = &first[ctx->nr_ops - 1];

	(void)qp;
	(void)port_num;
	last->wr.next = chain_wr;
	last->wr.wr_cqe = chain_wr ? NULL : cqe;
	last->wr.send_flags = chain_wr ? 0 : IB_SEND_SIGNALED;
	return &first->wr;
}

int rdma_rw_ctx_post_at(struct rdma_rw_ctx *ctx, struct ib_qp *qp, u32 port_num, struct ib_cqe *cqe,
			struct ib_send_wr *chain_wr, hca_site_t site)
{
	return ib_post_send_at(qp, rdma_rw_ctx_wrs(ctx, qp, port_num, cqe, chain_wr), NULL, site);
}

unsigned int rdma_rw_mr_factor(struct ib_device *device, u32 port_num, unsigned int maxpages)
{
	unsigned int most = device->attrs.max_fast_reg_page_list_len;

	(void)port_num;
	return maxpages / most + (maxpages % most != 0);
}

unsigned int rdma_rw_max_send_wr(struct ib_device *dev, u32 port_num, unsigned int max_rdma_ctxs, u32 create_flags)
{
	(void)dev;
	(void)port_num;
	(void)create_flags;
	return max_rdma_ctxs;
}
