/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lists with high memory at two adapters, registered by work requests, written and read by RDMA.
 *
 *	cc rdma_sg.c $(pkg-config --cflags --libs softhca) -o rdma_sg
 */
#include "pair.h"

#define ENTRIES 4
#define LEN (3996u + 4096 + 4096 + 1000)
#define RIGHTS (IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE | IB_ACCESS_REMOTE_READ)

/* The memory of one end, and the MR that it is registered by. */
struct list {
	struct page *page[ENTRIES];
	struct scatterlist sgl[ENTRIES];
	struct ib_mr *mr;
};

/* Post a request and wait for its end. */
static void run(struct end *e, struct ib_send_wr *wr)
{
	struct ib_wc wc;
	int n = 0;

	wr->send_flags = IB_SEND_SIGNALED;
	need(!ib_post_send(e->qp, wr, NULL));
	while (!n)
		n = ib_poll_cq(e->cq, 1, &wc);
	if (wc.status != IB_WC_SUCCESS)
		fprintf(stderr, "rdma_sg: %s\n", ib_wc_status_msg(wc.status));
	need(n == 1 && wc.status == IB_WC_SUCCESS);
}

/* Pages of low and high memory in turn. An MR has no holes: only before its first byte and after its last a page may be left out. */
static void fill_list(struct list *l, struct machine *m, const char *bytes)
{
	static const unsigned int len[ENTRIES] = { 3996, 4096, 4096, 1000 };
	int i;

	sg_init_table(l->sgl, ENTRIES);
	for (i = 0; i < ENTRIES; i++) {
		l->page[i] = machine_alloc_pages(m, i & 1 ? GFP_HIGHUSER : GFP_KERNEL, 0);
		need(l->page[i]);
		sg_set_page(&l->sgl[i], l->page[i], len[i], i ? 0 : 100);
	}
	sg_copy_from_buffer(l->sgl, ENTRIES, bytes, LEN);
}

/* The list is mapped for the device, the mapped list laid out for the MR, and the MR made valid. */
static void register_list(struct list *l, struct end *e)
{
	struct ib_reg_wr wr = {};
	struct scatterlist *sg;
	int n, i;

	n = ib_dma_map_sg(e->dev, l->sgl, ENTRIES, DMA_BIDIRECTIONAL);
	need(n > 0);
	for_each_sg(l->sgl, sg, n, i)
		printf("%s: %5u bytes at 0x%llx\n", e->dev->name, ib_sg_dma_len(e->dev, sg),
		       (unsigned long long)hca_dma_u64(ib_sg_dma_address(e->dev, sg)));
	l->mr = ib_alloc_mr(e->pd, IB_MR_TYPE_MEM_REG, ENTRIES);
	need(!IS_ERR(l->mr));
	need(ib_map_mr_sg(l->mr, l->sgl, n, NULL, PAGE_SIZE) == n && l->mr->length == LEN);
	ib_update_fast_reg_key(l->mr, 7); /* any other low byte, so that keys of an earlier use don't fit */
	wr.wr.opcode = IB_WR_REG_MR;
	wr.mr = l->mr;
	wr.key = l->mr->rkey;
	wr.access = RIGHTS;
	run(e, &wr.wr);
}

/* From here on nobody reaches the pages by the key: they may be unmapped. */
static void unregister_list(struct list *l, struct end *e)
{
	struct ib_send_wr wr = {};
	int i;

	wr.opcode = IB_WR_LOCAL_INV;
	wr.ex.invalidate_rkey = l->mr->rkey;
	run(e, &wr);
	ib_dma_unmap_sg(e->dev, l->sgl, ENTRIES, DMA_BIDIRECTIONAL); /* with what was mapped, not with what came back */
	need(!ib_dereg_mr(l->mr));
	for (i = 0; i < ENTRIES; i++)
		__free_pages(l->page[i], 0);
}

/* The whole of the peer's list, to or from the whole of ours: one entry each, by the names that the MRs give their bytes. */
static void rdma(struct end *e, struct list *ours, struct list *peers, enum ib_wr_opcode opcode)
{
	struct ib_sge sge = { ours->mr->iova, LEN, ours->mr->lkey };
	struct ib_rdma_wr wr = {};

	wr.wr.opcode = opcode;
	wr.wr.sg_list = &sge;
	wr.wr.num_sge = 1;
	wr.remote_addr = peers->mr->iova;
	wr.rkey = peers->mr->rkey;
	run(e, &wr.wr);
}

int main(void)
{
	static char bytes[LEN], got[LEN];
	struct list at_a = {}, at_b = {};
	struct end a = {}, b = {};
	struct machine *m;
	u32 i;

	m = open_pair(&a, &b);
	for (i = 0; i < LEN; i++)
		bytes[i] = (char)(i * 7 + i / 256);
	fill_list(&at_a, m, bytes);
	fill_list(&at_b, m, got);
	register_list(&at_a, &a);
	register_list(&at_b, &b);

	rdma(&a, &at_a, &at_b, IB_WR_RDMA_WRITE);
	ib_dma_sync_sg_for_cpu(b.dev, at_b.sgl, ENTRIES, DMA_BIDIRECTIONAL); /* ours to look at ... */
	sg_copy_to_buffer(at_b.sgl, ENTRIES, got, LEN);
	need(!memcmp(bytes, got, LEN));
	for (i = 0; i < LEN; i++)
		bytes[i] ^= 0x55;
	sg_copy_from_buffer(at_b.sgl, ENTRIES, bytes, LEN);
	ib_dma_sync_sg_for_device(b.dev, at_b.sgl, ENTRIES, DMA_BIDIRECTIONAL); /* ... and the adapter's again */
	rdma(&a, &at_a, &at_b, IB_WR_RDMA_READ);

	unregister_list(&at_b, &b);
	ib_dma_sync_sg_for_cpu(a.dev, at_a.sgl, ENTRIES, DMA_BIDIRECTIONAL);
	sg_copy_to_buffer(at_a.sgl, ENTRIES, got, LEN);
	need(!memcmp(bytes, got, LEN));
	unregister_list(&at_a, &a);
	printf("%u bytes written, and others read back\n", LEN);
	close_pair(m, &a, &b);
	return 0;
}
