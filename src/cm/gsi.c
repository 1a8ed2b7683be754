/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Queue pair 1; see gsi.h. What doesn't fit into a queue is lost, as it would be on a
 * link: the manager's timers are there for that.
 */
#include "cm/gsi.h"
#include "cm/sa.h"

/* Messages that one call of the handler takes; others come in between. */
#define AT_ONCE 16u

/* In a GRH (IBTA 8.3). */
#define GRH_SGID 8u
#define GRH_DGID 24u

/* --- out --- */

static void send(struct hca_cm *cm, const struct hca_ah_attr *to, const u8 *mad)
{
	struct hca_gsi *gsi = hca_container_of(cm, struct hca_gsi, cm);
	const struct hca_sge sge = { .addr = (uintptr_t)mad, .length = HCA_MAD_BYTES };
	const struct hca_send_wr wr = {
		.sge = &sge,
		.num_sge = 1,
		.opcode = HCA_WR_SEND,
		.flags = HCA_SEND_INLINE,
		.ud = {
			.dlid = to->dlid,
			.qpn = HCA_GSI_QPN,
			.qkey = HCA_GSI_QKEY,
			.sl = to->sl,
			.is_global = to->is_global,
			.grh = to->grh,
		},
	};

	(void)hca_post_send(gsi->qp, &wr);
}

static const struct hca_cm_ops ops = { .send = send };

/* --- in --- */

static void post(struct hca_gsi *gsi, u64 i)
{
	const struct hca_sge sge = {
		.addr = gsi->memory.dma + i * HCA_GSI_BUFFER,
		.length = HCA_GSI_GRH + HCA_MAD_BYTES,
		.lkey = gsi->mr->key,
	};
	const struct hca_recv_wr wr = { .wr_id = i, .sge = &sge, .num_sge = 1 };

	(void)hca_post_recv(gsi->qp, &wr);
}

/* Which of our GIDs was it sent to? */
static u8 gid_index(struct hca *hca, const u8 *dgid)
{
	struct hca_quiesce_mark mark;
	const struct hca_gid *gid;
	u32 i, found = 0;

	hca_quiesce_enter(&hca->quiesce, &mark);
	for (i = 0; i < HCA_GIDS; i++) {
		gid = hca_gid_at(&hca->gids, i);
		if (gid && !hca_memcmp(gid->raw, dgid, sizeof(gid->raw))) {
			found = i;
			break;
		}
	}
	hca_quiesce_leave(&mark);
	return (u8)found;
}

/* The way that a message came, backwards (IBTA 13.5.4). */
static void way_back(struct hca_gsi *gsi, const struct hca_wc *wc, const u8 *grh, struct hca_ah_attr *to)
{
	hca_memset(to, 0, sizeof(*to));
	to->dlid = (u16)wc->slid;
	to->sl = wc->sl;
	to->port_num = 1;
	if (!(wc->wc_flags & HCA_WC_GRH))
		return;
	to->is_global = true;
	hca_memcpy(to->grh.dgid.raw, grh + GRH_SGID, sizeof(to->grh.dgid.raw));
	to->grh.sgid_index = gid_index(gsi->hca, grh + GRH_DGID);
	to->grh.traffic_class = (u8)(grh[0] << 4 | grh[1] >> 4);
	to->grh.flow_label = (u32)(grh[1] & 0xf) << 16 | (u32)grh[2] << 8 | grh[3];
	to->grh.hop_limit = 0xff;
}

/* Return: it was a question for a path or for ports, which is answered. */
static bool answer(struct hca_gsi *gsi, const struct hca_ah_attr *from, const u8 *mad, u32 len)
{
	struct hca_quiesce_mark mark;
	u8 out[HCA_MAD_BYTES];
	int err;

	hca_quiesce_enter(&gsi->hca->quiesce, &mark);
	err = hca_sa_answer(&gsi->hca->gids, gsi->hca->lid, from->dlid, mad, len, out);
	hca_quiesce_leave(&mark);
	if (!err)
		send(&gsi->cm, from, out);
	return !err;
}

/* Any queue pair may send to ours, but only a queue pair 1 speaks for its adapter. */
static void take(struct hca_gsi *gsi, const struct hca_wc *wc)
{
	const u8 *at = gsi->memory.cpu + wc->wr_id * HCA_GSI_BUFFER;
	struct hca_ah_attr from;

	if (wc->opcode != HCA_WC_RECV || wc->status || hca_load(&gsi->closing))
		return;
	if (wc->src_qp == HCA_GSI_QPN) {
		way_back(gsi, wc, at, &from);
		if (!answer(gsi, &from, at + HCA_GSI_GRH, wc->byte_len - HCA_GSI_GRH))
			hca_cm_recv(&gsi->cm, &from, at + HCA_GSI_GRH, wc->byte_len - HCA_GSI_GRH);
	}
	post(gsi, wc->wr_id);
}

static void on_completion(struct hca_cq *cq)
{
	struct hca_gsi *gsi = hca_container_of(cq, struct hca_gsi, cq);
	struct hca_wc wc;
	u32 i;

	for (i = 0; i < AT_ONCE; i++) {
		if (hca_cq_ring_poll(&cq->ring, &wc, 1) == 1)
			take(gsi, &wc);
		else if (!hca_cq_ring_notify(&cq->ring, HCA_CQ_NEXT))
			return;
	}
	hca_cq_again(cq);
}

/* --- open and close --- */

static int ready(struct hca_gsi *gsi)
{
	struct hca_qp_attr at = { .qp_state = HCA_QPS_INIT, .qkey = HCA_GSI_QKEY };
	u32 i;
	int err;

	err = hca_qp_modify(gsi->qp, &at, HCA_QP_STATE | HCA_QP_PKEY_INDEX | HCA_QP_QKEY);
	if (err)
		return err;
	for (i = 0; i < HCA_GSI_RECVS; i++)
		post(gsi, i);
	(void)hca_cq_ring_notify(&gsi->cq.ring, HCA_CQ_NEXT);
	at.qp_state = HCA_QPS_RTR;
	err = hca_qp_modify(gsi->qp, &at, HCA_QP_STATE);
	if (err)
		return err;
	at.qp_state = HCA_QPS_RTS;
	return hca_qp_modify(gsi->qp, &at, HCA_QP_STATE | HCA_QP_SQ_PSN);
}

static int make_qp(struct hca_gsi *gsi)
{
	const struct hca_qp_init init = {
		.type = HCA_QPT_GSI,
		.pd = &gsi->pd,
		.send_cq = &gsi->cq,
		.recv_cq = &gsi->cq,
		.max_send_wr = HCA_GSI_SENDS,
		.max_recv_wr = HCA_GSI_RECVS,
		.max_send_sge = 1,
		.max_recv_sge = 1,
		.max_inline = HCA_MAD_BYTES,
	};
	int err;

	err = hca_qp_create(gsi->hca, &init, &gsi->qp);
	if (err)
		return err;
	err = ready(gsi);
	if (err)
		hca_qp_destroy(gsi->qp);
	return err;
}

int hca_gsi_open(struct hca_gsi *gsi, struct hca *hca, u64 guid, const struct hca_gsi_memory *memory)
{
	const struct hca_mr_attr attr = {
		.kind = HCA_MR_LINEAR,
		.access = HCA_ACCESS_LOCAL_WRITE,
		.iova = memory->dma,
		.base = memory->dma,
		.length = HCA_GSI_BYTES,
	};
	int err;

	hca_memset(gsi, 0, sizeof(*gsi));
	gsi->hca = hca;
	gsi->memory = *memory;
	err = hca_cm_init(&gsi->cm, hca->eq, &ops, guid, 0);
	if (err)
		return err;
	hca_pd_init(&gsi->pd, hca);
	err = hca_cq_init(&gsi->cq, hca, HCA_GSI_SENDS + HCA_GSI_RECVS, on_completion);
	if (err)
		goto fini_cm;
	err = hca_mr_create(&gsi->pd, &attr, &gsi->mr);
	if (err)
		goto fini_cq;
	err = make_qp(gsi);
	if (err)
		goto destroy_mr;
	return 0;

destroy_mr:
	(void)hca_mr_destroy(gsi->mr);
fini_cq:
	(void)hca_cq_fini(&gsi->cq);
fini_cm:
	hca_cm_fini(&gsi->cm);
	return err;
}

/* First nothing comes in any more, then nothing goes out. */
void hca_gsi_close(struct hca_gsi *gsi)
{
	hca_store(&gsi->closing, 1u);
	hca_eq_cancel(gsi->hca->eq, &gsi->cq.event);
	hca_cm_fini(&gsi->cm);
	hca_qp_destroy(gsi->qp);
	(void)hca_mr_destroy(gsi->mr);
	(void)hca_cq_fini(&gsi->cq);
}
