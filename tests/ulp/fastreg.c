/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * In the style of iSER and isert: the initiator registers a list by an MR of its pool, in one chain with the
 * command that names it; the target reads the list by an rdma_rw context and invalidates the MR with its answer.
 */
#include <linux/dma-mapping.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <asm/unaligned.h>
#include <rdma/ib_verbs.h>
#include <rdma/mr_pool.h>
#include <rdma/rw.h>

#include "ulp.h"

#undef pr_fmt
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#define PAGES 5u
#define BYTES (PAGES * (u32)PAGE_SIZE)

struct command {
	__be64 addr;
	__be32 rkey;
	__be32 len;
} __packed;

/* What each side has under way. */
struct task {
	struct ulp_pair pair;
	struct ib_cqe reg_cqe;
	struct ib_cqe send_cqe;
	struct ib_cqe answer_cqe;
	struct ib_cqe command_cqe;
	struct ib_cqe read_cqe;
	struct ib_cqe reply_cqe;
	struct rdma_rw_ctx rw;
	struct sg_table sgt;
	struct sg_table to;
	struct ib_mr *mr;
	struct command *cmd;
	struct command *heard;
	u64 cmd_dma;
	u64 heard_dma;
	struct completion done;
	int err;
};

static void failed(struct task *t, struct ib_wc *wc, const char *what)
{
	pr_err("%s: %s\n", what, ib_wc_status_msg(wc->status));
	t->err = -EIO;
	complete(&t->done);
}

#define DEFINE_SILENT_DONE(name) \
	static void name##_done(struct ib_cq *cq, struct ib_wc *wc) \
	{ \
		struct ulp_end *e = cq->cq_context; \
\
		if (wc->status != IB_WC_SUCCESS && wc->status != IB_WC_WR_FLUSH_ERR) \
			pr_err("%s of queue pair %u: %s\n", #name, e->qp->qp_num, ib_wc_status_msg(wc->status)); \
	}
DEFINE_SILENT_DONE(reg)
DEFINE_SILENT_DONE(send)
DEFINE_SILENT_DONE(reply)

/* --- the target --- */

static void read_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct task *t = container_of(wc->wr_cqe, struct task, read_cqe);
	struct ulp_end *e = cq->cq_context;
	struct ib_send_wr wr = { .wr_cqe = &t->reply_cqe,
				 .opcode = IB_WR_SEND_WITH_INV,
				 .send_flags = IB_SEND_SIGNALED };

	rdma_rw_ctx_destroy(&t->rw, e->qp, 1, t->to.sgl, t->to.orig_nents, DMA_FROM_DEVICE);
	if (wc->status != IB_WC_SUCCESS) {
		failed(t, wc, "read");
		return;
	}
	wr.ex.invalidate_rkey = be32_to_cpu(t->heard->rkey);
	if (ib_post_send(e->qp, &wr, NULL))
		failed(t, wc, "reply");
}

static void command_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct task *t = container_of(wc->wr_cqe, struct task, command_cqe);
	struct ulp_end *e = cq->cq_context;
	int ret;

	if (wc->status == IB_WC_WR_FLUSH_ERR)
		return;
	ib_dma_sync_single_for_cpu(e->dev, t->heard_dma, sizeof(*t->heard), DMA_FROM_DEVICE);
	if (wc->status != IB_WC_SUCCESS || wc->byte_len != sizeof(*t->heard) || be32_to_cpu(t->heard->len) != BYTES) {
		failed(t, wc, "command");
		return;
	}
	ret = rdma_rw_ctx_init(&t->rw, e->qp, 1, t->to.sgl, t->to.orig_nents, 0, be64_to_cpu(t->heard->addr),
			       be32_to_cpu(t->heard->rkey), DMA_FROM_DEVICE);
	if (ret >= 0)
		ret = rdma_rw_ctx_post(&t->rw, e->qp, 1, &t->read_cqe, NULL);
	if (ret < 0)
		failed(t, wc, "transfer");
}

/* --- the initiator --- */

static void answer_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct task *t = container_of(wc->wr_cqe, struct task, answer_cqe);
	struct ulp_end *e = cq->cq_context;

	if (wc->status == IB_WC_WR_FLUSH_ERR)
		return;
	WARN_ON_ONCE(e != &t->pair.client);
	if (wc->status != IB_WC_SUCCESS) {
		failed(t, wc, "answer");
		return;
	}
	if (wc->wc_flags & IB_WC_WITH_INVALIDATE && wc->ex.invalidate_rkey == t->mr->rkey)
		t->mr->need_inval = false;
	complete(&t->done);
}

static int post_command(struct task *t, unsigned int nents)
{
	struct ulp_end *e = &t->pair.client;
	struct ib_sge sge = { .addr = t->cmd_dma, .length = sizeof(*t->cmd), .lkey = e->pd->local_dma_lkey };
	struct ib_send_wr send = { .wr_cqe = &t->send_cqe,
				   .sg_list = &sge,
				   .num_sge = 1,
				   .opcode = IB_WR_SEND,
				   .send_flags = IB_SEND_SIGNALED };
	struct ib_reg_wr reg = {};
	const struct ib_send_wr *bad;
	int n;

	t->mr = ib_mr_pool_get(e->qp, &e->qp->rdma_mrs);
	if (!t->mr)
		return -EAGAIN;
	ib_update_fast_reg_key(t->mr, ib_inc_rkey(t->mr->rkey));
	n = ib_map_mr_sg(t->mr, t->sgt.sgl, nents, NULL, SZ_4K);
	if (n < (int)nents)
		return n < 0 ? n : -EINVAL;
	reg.wr.wr_cqe = &t->reg_cqe;
	reg.wr.opcode = IB_WR_REG_MR;
	reg.wr.next = &send;
	reg.mr = t->mr;
	reg.key = t->mr->rkey;
	reg.access = IB_ACCESS_REMOTE_READ;
	t->mr->need_inval = true;
	put_unaligned_be64(t->mr->iova, &t->cmd->addr);
	put_unaligned_be32(t->mr->rkey, &t->cmd->rkey);
	put_unaligned_be32(t->mr->length, &t->cmd->len);
	ib_dma_sync_single_for_device(e->dev, t->cmd_dma, sizeof(*t->cmd), DMA_TO_DEVICE);
	return ib_post_send(e->qp, &reg.wr, &bad);
}

static int list_alloc(struct sg_table *sgt)
{
	struct scatterlist *sg;
	unsigned int i;
	int ret = sg_alloc_table(sgt, PAGES, GFP_KERNEL);

	if (ret)
		return ret;
	for_each_sgtable_sg(sgt, sg, i) {
		struct page *page = alloc_page(GFP_KERNEL | __GFP_NOWARN);

		if (!page)
			return -ENOMEM;
		sg_set_page(sg, page, PAGE_SIZE, 0);
	}
	return 0;
}

static void list_free(struct sg_table *sgt)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_sg(sgt, sg, i)
		if (sg_page(sg))
			__free_page(sg_page(sg));
	sg_free_table(sgt);
}

static int compare(struct task *t)
{
	u8 *a = kvmalloc(BYTES, GFP_KERNEL), *b = kvmalloc(BYTES, GFP_KERNEL);
	int ret = a && b ? 0 : -ENOMEM;

	if (!ret) {
		sg_copy_to_buffer(t->sgt.sgl, t->sgt.orig_nents, a, BYTES);
		sg_copy_to_buffer(t->to.sgl, t->to.orig_nents, b, BYTES);
		ret = memcmp(a, b, BYTES) ? -EBADMSG : 0;
	}
	kvfree(a);
	kvfree(b);
	return ret;
}

static int transfer(struct task *t)
{
	struct ulp_end *e = &t->pair.client;
	int ret;

	ret = ib_mr_pool_init(e->qp, &e->qp->rdma_mrs, 2, IB_MR_TYPE_MEM_REG, PAGES, 0);
	if (ret)
		return ret;
	ret = ib_dma_map_sgtable_attrs(e->dev, &t->sgt, DMA_TO_DEVICE, 0);
	if (ret)
		goto pool;
	ret = ulp_post_recv(&t->pair.server, &t->command_cqe, t->heard_dma, sizeof(*t->heard));
	if (!ret)
		ret = ulp_post_recv(e, &t->answer_cqe, t->cmd_dma, 0);
	if (!ret)
		ret = post_command(t, t->sgt.nents);
	if (!ret) {
		wait_for_completion(&t->done);
		ret = t->err;
	}
	if (!ret && t->mr->need_inval)
		ret = -EPROTO;
	ib_dma_unmap_sgtable_attrs(e->dev, &t->sgt, DMA_TO_DEVICE, 0);
	if (t->mr)
		ib_mr_pool_put(e->qp, &e->qp->rdma_mrs, t->mr);
	if (!ret)
		ret = compare(t);
pool:
	ib_drain_qp(e->qp); /* the registration is over */
	ib_mr_pool_destroy(e->qp, &e->qp->rdma_mrs);
	return ret;
}

int ulp_fastreg(void)
{
	struct task *t = kzalloc(sizeof(*t), GFP_KERNEL);
	struct sg_mapping_iter it;
	int ret;

	if (!t)
		return -ENOMEM;
	init_completion(&t->done);
	t->reg_cqe.done = reg_done;
	t->send_cqe.done = send_done;
	t->answer_cqe.done = answer_done;
	t->command_cqe.done = command_done;
	t->read_cqe.done = read_done;
	t->reply_cqe.done = reply_done;
	t->cmd = kzalloc(sizeof(*t->cmd), GFP_KERNEL);
	t->heard = kzalloc(sizeof(*t->heard), GFP_KERNEL);
	ret = t->cmd && t->heard ? list_alloc(&t->sgt) : -ENOMEM;
	if (!ret)
		ret = list_alloc(&t->to);
	if (ret)
		goto free;
	sg_miter_start(&it, t->sgt.sgl, t->sgt.orig_nents, SG_MITER_TO_SG);
	while (sg_miter_next(&it))
		get_random_bytes(it.addr, it.length);
	sg_miter_stop(&it);
	ret = ulp_connect(&t->pair, 0);
	if (ret)
		goto free;
	t->cmd_dma = ib_dma_map_single(t->pair.client.dev, t->cmd, sizeof(*t->cmd), DMA_TO_DEVICE);
	t->heard_dma = ib_dma_map_single(t->pair.server.dev, t->heard, sizeof(*t->heard), DMA_FROM_DEVICE);
	if (ib_dma_mapping_error(t->pair.client.dev, t->cmd_dma) ||
	    ib_dma_mapping_error(t->pair.server.dev, t->heard_dma))
		ret = -ENOMEM;
	if (!ret)
		ret = transfer(t);
	ib_drain_qp(t->pair.server.qp);
	ib_dma_unmap_single(t->pair.client.dev, t->cmd_dma, sizeof(*t->cmd), DMA_TO_DEVICE);
	ib_dma_unmap_single(t->pair.server.dev, t->heard_dma, sizeof(*t->heard), DMA_FROM_DEVICE);
	ulp_disconnect(&t->pair);
free:
	list_free(&t->sgt);
	list_free(&t->to);
	kfree(t->cmd);
	kfree(t->heard);
	kfree(t);
	return ret;
}
