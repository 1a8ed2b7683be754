/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two adapters of one machine with connected queue pairs between them, and requests
 * that are waited for; see bench_hca.h.
 */
#include "bench_hca.h"

#include <string.h>

#include "../tests/verbs_connect.h"

#define RIGHTS (IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE | IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_ATOMIC)

static int end_open(struct end *e, struct ib_device *dev, enum ib_qp_type type)
{
	const struct ib_cq_init_attr ca = { .cqe = 64 };
	struct ib_qp_init_attr qa = {
		.cap = { .max_send_wr = 16,
			 .max_recv_wr = 16,
			 .max_send_sge = 1,
			 .max_recv_sge = 1,
			 .max_inline_data = 64 },
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.qp_type = type,
	};

	memset(e, 0, sizeof(*e));
	e->dev = dev;
	e->pd = ib_alloc_pd(dev, 0);
	e->mr = ib_get_dma_mr(e->pd, RIGHTS);
	e->cq = ib_create_cq(dev, NULL, NULL, NULL, &ca);
	qa.send_cq = qa.recv_cq = e->cq;
	e->qp = ib_create_qp(e->pd, &qa);
	e->page = machine_alloc_pages(dev->dma_device->machine, GFP_KERNEL, 6);
	if (IS_ERR(e->qp) || IS_ERR(e->mr) || !e->page)
		return bench_fail("no queue pair or memory");
	e->buf = page_address(e->page);
	memset(e->buf, 1, BLOCK * BLOCKS);
	e->addr = ib_dma_map_single(dev, e->buf, BLOCK * BLOCKS, DMA_BIDIRECTIONAL);
	return ib_dma_mapping_error(dev, e->addr) ? bench_fail("no mapping") : 0;
}

static void end_close(struct end *e)
{
	ib_dma_unmap_single(e->dev, e->addr, BLOCK * BLOCKS, DMA_BIDIRECTIONAL);
	__free_pages(e->page, 6);
	ib_destroy_qp(e->qp);
	ib_destroy_cq(e->cq);
	ib_dereg_mr(e->mr);
	ib_dealloc_pd(e->pd);
}

int to_rts(struct ib_qp *qp, u32 lid, u32 qpn)
{
	int err = verbs_connect(qp, lid, qpn, 7, 7);

	return err ? bench_fail("connecting: %s", strerror(-err)) : 0;
}

u32 lid_of(struct ib_device *dev)
{
	struct ib_port_attr pa;

	return ib_query_port(dev, 1, &pa) ? 0 : pa.lid;
}

int link_open(struct link *l, struct ib_device *from, struct ib_device *to)
{
	memset(l, 0, sizeof(*l));
	if (end_open(&l->a, from, IB_QPT_RC) || end_open(&l->b, to, IB_QPT_RC))
		return -1;
	return to_rts(l->a.qp, lid_of(to), l->b.qp->qp_num) || to_rts(l->b.qp, lid_of(from), l->a.qp->qp_num) ? -1 : 0;
}

void link_close(struct link *l)
{
	end_close(&l->a);
	end_close(&l->b);
}

int pair_open(struct pair *p, const struct bed_def *def)
{
	const struct ib_dma_config config = { .ledger = def->ledger };

	memset(p, 0, sizeof(*p));
	if (bed_open(&p->bed, def))
		return -1;
	if (def->create(p->bed.dev, "bench1", &config, &p->second))
		return bench_fail("no second device");
	return link_open(&p->link, p->bed.ib, p->second);
}

void pair_close(struct pair *p)
{
	link_close(&p->link);
	p->bed.def->destroy(p->second);
	bed_close(&p->bed);
}

void wait_for_one(struct end *e)
{
	struct ib_wc wc;

	while (!ib_poll_cq(e->cq, 1, &wc))
		;
	if (wc.status)
		bench_fail("completion: %s", ib_wc_status_msg(wc.status));
}

void rdma(struct link *l, enum ib_wr_opcode op, u32 len, int flags)
{
	u64 off = len <= BLOCK ? (u64)(l->turn++ % BLOCKS) * BLOCK : 0;
	struct ib_sge sge = { .addr = hca_dma_u64(l->a.addr) + off, .length = len, .lkey = l->a.pd->local_dma_lkey };
	const struct ib_rdma_wr wr = {
		.wr = { .sg_list = &sge, .num_sge = 1, .opcode = op, .send_flags = IB_SEND_SIGNALED | flags },
		.remote_addr = hca_dma_u64(l->b.addr) + off,
		.rkey = l->b.mr->rkey,
	};

	if (flags & IB_SEND_INLINE)
		sge.addr = (uintptr_t)l->a.buf + off;
	if (ib_post_send(l->a.qp, &wr.wr, NULL))
		bench_fail("post refused");
	wait_for_one(&l->a);
}

BENCH_LOOP void write_block(void *ctx, u64 n)
{
	while (n--)
		rdma(ctx, IB_WR_RDMA_WRITE, BLOCK, 0);
}

BENCH_LOOP void copy_block(void *ctx, u64 n)
{
	struct link *l = ctx;

	while (n--) {
		u64 off = (u64)(l->turn++ % BLOCKS) * BLOCK;

		memcpy(l->b.buf + off, l->a.buf + off, BLOCK);
		bench_use(l->b.buf);
	}
}
