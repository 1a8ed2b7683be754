/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Adapters and their connections; see fixture.h. */
#include "fixture.h"

#include <linux/err.h>

#define DEPTH 16u
#define CQE 64u
#define RIGHTS (HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_REMOTE_WRITE | HCA_ACCESS_REMOTE_READ | HCA_ACCESS_REMOTE_ATOMIC)

static int adapter_open(struct adapter *a, const char *name, struct hca *hca, struct device *dev)
{
	struct hca_mr_attr all = { .kind = HCA_MR_ALL, .access = RIGHTS };
	int err;

	a->name = name;
	a->hca = hca;
	a->dev = dev;
	a->mem = hca->mem;
	hca_pd_init(&a->pd, hca);
	err = hca_cq_init(&a->cq, hca, CQE, NULL);
	if (err)
		return err;
	err = hca_mr_create(&a->pd, &all, &a->all);
	if (err)
		hca_cq_fini(&a->cq);
	return err;
}

static void adapter_close(struct adapter *a)
{
	WARN_ON(hca_mr_destroy(a->all));
	WARN_ON(hca_cq_fini(&a->cq));
}

static int open_bus(struct fixture *r)
{
	const struct hca_attr attr = { .max_qp = 16, .max_keys = 64 };
	int err = edu_open(&r->edu);

	if (err)
		return err;
	err = hca_open(&r->edu_hca, softhca_wire(), softhca_events(), &r->edu.mem, &attr);
	if (err)
		goto close_edu;
	err = adapter_open(&r->bus, "edu", &r->edu_hca, r->edu.dev);
	if (err)
		goto fini;
	r->has_edu = true;
	return 0;
fini:
	hca_close(&r->edu_hca);
close_edu:
	edu_close(&r->edu);
	return err;
}

int fixture_open(struct fixture *r, bool edu)
{
	struct softhca_attr attr = { .highmem = HCA_SOFT_TAGGED, .max_qp = 16, .max_keys = 64 };
	int err;

	memset(r, 0, sizeof(*r));
	err = softhca_create(&attr, &r->soft);
	if (err)
		return err;
	err = adapter_open(&r->ipath, "ipath", &r->soft->hca, r->soft->dev);
	if (err)
		goto destroy;
	err = edu ? open_bus(r) : 0;
	if (err)
		goto close;
	return 0;
close:
	adapter_close(&r->ipath);
destroy:
	WARN_ON(softhca_destroy(r->soft));
	return err;
}

void fixture_close(struct fixture *r)
{
	if (r->has_edu) {
		adapter_close(&r->bus);
		WARN_ON(hca_close(&r->edu_hca));
		edu_close(&r->edu);
	}
	adapter_close(&r->ipath);
	WARN_ON(softhca_destroy(r->soft));
}

static int make_qp(struct adapter *a, struct hca_qp **qp)
{
	struct hca_qp_init init = {
		.type = HCA_QPT_RC,
		.pd = &a->pd,
		.send_cq = &a->cq,
		.recv_cq = &a->cq,
		.max_send_wr = DEPTH,
		.max_recv_wr = DEPTH,
		.max_send_sge = MAX_PIECES,
		.max_recv_sge = MAX_PIECES,
		.max_inline = 64,
		.sq_sig_all = true,
	};

	return hca_qp_create(a->hca, &init, qp);
}

static int connect(struct hca_qp *qp, const struct hca_qp *peer)
{
	static const struct {
		enum hca_qp_state state;
		u32 mask;
	} step[] = {
		{ HCA_QPS_INIT, HCA_QP_PKEY_INDEX | HCA_QP_PORT | HCA_QP_ACCESS_FLAGS },
		{ HCA_QPS_RTR, HCA_QP_AV | HCA_QP_PATH_MTU | HCA_QP_DEST_QPN | HCA_QP_RQ_PSN |
				       HCA_QP_MAX_DEST_RD_ATOMIC | HCA_QP_MIN_RNR_TIMER },
		{ HCA_QPS_RTS,
		  HCA_QP_SQ_PSN | HCA_QP_TIMEOUT | HCA_QP_RETRY_CNT | HCA_QP_RNR_RETRY | HCA_QP_MAX_QP_RD_ATOMIC },
	};
	struct hca_qp_attr at = {
		.path_mtu = HCA_MTU_4096,
		.dest_qp_num = peer->qpn,
		.qp_access_flags = HCA_ACCESS_REMOTE_WRITE | HCA_ACCESS_REMOTE_READ | HCA_ACCESS_REMOTE_ATOMIC,
		.ah = { .dlid = (u16)peer->hca->lid, .port_num = 1 },
		.port_num = 1,
		.max_rd_atomic = 1,
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.timeout = 14,
		.retry_cnt = 3,
		.rnr_retry = 3,
	};
	unsigned int i;
	int err = 0;

	for (i = 0; i < ARRAY_SIZE(step) && !err; i++) {
		at.qp_state = step[i].state;
		err = hca_qp_modify(qp, &at, step[i].mask | HCA_QP_STATE);
	}
	return err;
}

int link_open(struct link *l, struct adapter *from, struct adapter *to)
{
	int err;

	l->from = from;
	l->to = to;
	err = make_qp(from, &l->qp);
	if (err)
		return err;
	err = make_qp(to, &l->peer);
	if (err)
		goto destroy;
	err = connect(l->qp, l->peer);
	if (!err)
		err = connect(l->peer, l->qp);
	if (!err)
		return 0;
	hca_qp_destroy(l->peer);
destroy:
	hca_qp_destroy(l->qp);
	return err;
}

void link_close(struct link *l)
{
	hca_qp_destroy(l->peer);
	hca_qp_destroy(l->qp);
}

int fixture_poll(struct adapter *a, struct hca_wc *wc)
{
	int n = hca_cq_ring_poll(&a->cq.ring, wc, 1);

	return n == 1 ? (int)wc->status : n ? n : -EAGAIN;
}

int fixture_write(struct link *l, u64 from, u64 to, u32 len)
{
	struct hca_sge sge = { .addr = from, .length = len, .lkey = l->from->all->key };
	struct hca_send_wr wr = {
		.sge = &sge,
		.num_sge = 1,
		.opcode = HCA_WR_RDMA_WRITE,
		.rdma = { .addr = to, .rkey = l->to->all->key },
		.site = __builtin_return_address(0),
	};
	struct hca_wc wc;
	int err = hca_post_send(l->qp, &wr);

	return err ? err : fixture_poll(l->from, &wc);
}
