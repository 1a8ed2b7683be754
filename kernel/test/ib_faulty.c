/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A ULP that makes mistakes with what it maps: each once, over ib_core alone. Nothing
 * goes wrong, as the adapter is a CPU and reaches all memory: a ledger alone sees them.
 */
#include "ib_fixture.h"

#include <linux/slab.h>

#define PIECE 256u

static u64 map(u8 *p)
{
	u64 a = ib_dma_map_single(ibt.dev, p, PIECE, DMA_TO_DEVICE);

	WARN_ON(ib_dma_mapping_error(ibt.dev, a));
	return a;
}

static void unmap(u64 a)
{
	ib_dma_unmap_single(ibt.dev, a, PIECE, DMA_TO_DEVICE);
}

static void mistakes_of_unmaps(u8 *p)
{
	u64 a = map(p);

	unmap(a);
	unmap(a); /* double-unmap */
	unmap(a + 3 * PIECE); /* unmap-unknown */
	a = map(p + PIECE);
	ib_dma_unmap_single(ibt.dev, a, PIECE - 1, DMA_TO_DEVICE); /* unmap-size */
	a = map(p + 2 * PIECE);
	ib_dma_unmap_single(ibt.dev, a, PIECE, DMA_FROM_DEVICE); /* unmap-direction */
}

static void mistakes_of_syncs(u8 *p)
{
	u64 a = map(p);

	ib_dma_sync_single_for_cpu(ibt.dev, a, PIECE + 1, DMA_TO_DEVICE); /* sync-outside */
	ib_dma_sync_single_for_cpu(ibt.dev, a, PIECE, DMA_FROM_DEVICE); /* sync-direction */
	unmap(a);
}

/* A work request that names an address whose mapping has ended. */
static void use_after_unmap(u8 *p)
{
	struct ktest t = {};
	struct ib_qp *qp = ibt_qp(&t, IB_QPT_RC, NULL);
	u64 a = map(p);
	struct ib_sge sge = { .addr = a, .length = 8, .lkey = ibt.pd->local_dma_lkey };
	struct ib_rdma_wr wr = {
		.wr = { .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_RDMA_WRITE, .send_flags = IB_SEND_SIGNALED },
		.remote_addr = ibt.dma,
		.rkey = ibt.all->rkey,
	};
	struct ib_wc wc;

	unmap(a);
	if (!qp)
		return;
	if (ibt_connect(&t, qp, qp->qp_num) && !ib_post_send(qp, &wr.wr, NULL))
		ibt_poll(&t, &wc);
	ib_destroy_qp(qp);
}

int ibt_faulty(void)
{
	int err = ibt_open();
	u8 *p;

	if (err)
		return err;
	p = kzalloc(16 * PIECE, GFP_KERNEL);
	if (p) {
		mistakes_of_unmaps(p);
		mistakes_of_syncs(p + 8 * PIECE);
		use_after_unmap(p + 12 * PIECE);
	}
	kfree(p);
	ibt_close();
	return p ? 0 : -ENOMEM;
}
