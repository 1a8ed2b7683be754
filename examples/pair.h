/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the examples begin and end with: an adapter that copies and one that does DMA
 * behind an IOMMU, in one machine, and a reliable connection between them.
 */
#ifndef EXAMPLES_PAIR_H
#define EXAMPLES_PAIR_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <softhca/ib_verbs.h>

#define need(x) ((x) ? (void)0 : (fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #x), exit(1)))

/* One end of the connection. */
struct end {
	bool soft;
	struct device *bus;
	struct ib_device *dev;
	struct ib_pd *pd;
	struct ib_cq *cq;
	struct ib_qp *qp;
};

/* An adapter, and what a ULP makes on it: a protection domain, a completion queue that it polls, a queue pair. */
static inline void open_end(struct end *e, struct machine *m, bool soft)
{
	struct ib_cq_init_attr ca = {};
	struct ib_qp_init_attr qa = {};
	struct ib_dma_config config = {};
	struct device_attr da = {};

	e->soft = soft;
	config.ledger = true; /* tells of every mapping that is misused or forgotten; costs time */
	need(!device_create(m, &da, &e->bus));
	need(!(soft ? ipath_create(e->bus, "ipath0", IPATH_HIGHMEM_TAGGED, &config, &e->dev) :
		      dmahca_create(e->bus, "dmahca0", &config, &e->dev)));
	ca.cqe = 8;
	e->pd = ib_alloc_pd(e->dev, 0);
	e->cq = ib_create_cq(e->dev, NULL, NULL, NULL, &ca);
	need(!IS_ERR(e->pd) && !IS_ERR(e->cq));
	qa.send_cq = qa.recv_cq = e->cq;
	qa.qp_type = IB_QPT_RC;
	qa.sq_sig_type = IB_SIGNAL_REQ_WR; /* a request completes silently unless it asks, or fails */
	qa.cap.max_send_wr = qa.cap.max_recv_wr = 4;
	qa.cap.max_send_sge = qa.cap.max_recv_sge = 1;
	e->qp = ib_create_qp(e->pd, &qa);
	need(!IS_ERR(e->qp));
}

static inline void modify(struct end *e, struct ib_qp_attr *a, enum ib_qp_state to, int mask)
{
	a->qp_state = to;
	need(!ib_modify_qp(e->qp, a, mask | IB_QP_STATE));
}

/* The peer's LID and queue pair number are all that the two have to tell each other. */
static inline void connect_end(struct end *e, const struct end *peer)
{
	struct ib_port_attr port;
	struct ib_qp_attr a = {};

	need(!ib_query_port(peer->dev, 1, &port));
	a.port_num = a.ah_attr.port_num = 1;
	a.ah_attr.dlid = port.lid;
	a.dest_qp_num = peer->qp->qp_num;
	a.path_mtu = IB_MTU_4096;
	a.qp_access_flags = IB_ACCESS_REMOTE_WRITE | IB_ACCESS_REMOTE_READ; /* and the MR must allow it as well */
	a.max_rd_atomic = a.max_dest_rd_atomic = 1;
	a.min_rnr_timer = IB_RNR_TIMER_000_64;
	a.timeout = 14; /* 4.096 us * 2^14 = 67 ms */
	a.retry_cnt = a.rnr_retry = 6;
	modify(e, &a, IB_QPS_INIT, IB_QP_PKEY_INDEX | IB_QP_PORT | IB_QP_ACCESS_FLAGS);
	modify(e, &a, IB_QPS_RTR,
	       IB_QP_AV | IB_QP_PATH_MTU | IB_QP_DEST_QPN | IB_QP_RQ_PSN | IB_QP_MAX_DEST_RD_ATOMIC |
		       IB_QP_MIN_RNR_TIMER);
	modify(e, &a, IB_QPS_RTS,
	       IB_QP_SQ_PSN | IB_QP_TIMEOUT | IB_QP_RETRY_CNT | IB_QP_RNR_RETRY | IB_QP_MAX_QP_RD_ATOMIC);
}

/* Users first, then what they use. */
static inline void close_end(struct end *e)
{
	need(!ib_destroy_qp(e->qp) && !ib_destroy_cq(e->cq) && !ib_dealloc_pd(e->pd));
	need(!(e->soft ? ipath_destroy(e->dev) : dmahca_destroy(e->dev))); /* mappings that were forgotten */
	device_destroy(e->bus);
}

/* The two of them; machine_destroy() says whether everything was given back. */
static inline struct machine *open_pair(struct end *a, struct end *b)
{
	struct machine_attr ma = {};
	struct machine *m;

	ma.platform = MACHINE_IOMMU;
	ma.low_bytes = 4 << 20;
	ma.high_bytes = 4 << 20;
	need(!machine_create(&ma, &m));
	open_end(a, m, true);
	open_end(b, m, false);
	connect_end(a, b);
	connect_end(b, a);
	return m;
}

static inline void close_pair(struct machine *m, struct end *a, struct end *b)
{
	close_end(a);
	close_end(b);
	need(!machine_destroy(m));
}

#endif
