/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A connection of two adapters, as every ULP over rdma_cm makes it. */
#include <linux/err.h>
#include <linux/in.h>
#include <linux/inet.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <net/net_namespace.h>

#include "ulp.h"

static int end_open(struct ulp_end *e, u32 ctxs)
{
	struct ib_qp_init_attr attr = {
		.cap = { .max_send_wr = 2 * ULP_DEPTH,
			 .max_recv_wr = ULP_DEPTH,
			 .max_send_sge = 2,
			 .max_recv_sge = 1,
			 .max_rdma_ctxs = ctxs },
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.qp_type = IB_QPT_RC,
		.port_num = e->id->port_num,
	};
	int ret;

	e->dev = e->id->device;
	e->pd = ib_alloc_pd(e->dev, 0);
	if (IS_ERR(e->pd))
		return PTR_ERR(e->pd);
	e->cq = ib_alloc_cq_any(e->dev, e, 256, IB_POLL_WORKQUEUE);
	if (IS_ERR(e->cq)) {
		ret = PTR_ERR(e->cq);
		goto err_pd;
	}
	attr.send_cq = e->cq;
	attr.recv_cq = e->cq;
	ret = rdma_create_qp(e->id, e->pd, &attr);
	if (ret)
		goto err_cq;
	e->qp = e->id->qp;
	return 0;
err_cq:
	ib_free_cq(e->cq);
err_pd:
	ib_dealloc_pd(e->pd);
	e->pd = NULL;
	return ret;
}

static void end_close(struct ulp_end *e)
{
	if (e->qp) {
		ib_drain_qp(e->qp);
		rdma_destroy_qp(e->id);
		ib_free_cq(e->cq);
		ib_dealloc_pd(e->pd);
		e->qp = NULL;
	}
	if (e->id)
		rdma_destroy_id(e->id);
	e->id = NULL;
}

static int client_event(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct ulp_end *e = id->context;

	switch (event->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
	case RDMA_CM_EVENT_ESTABLISHED:
		e->err = 0;
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
	case RDMA_CM_EVENT_TIMEWAIT_EXIT:
		return 0;
	default:
		pr_err("client: %s: %d\n", rdma_event_msg(event->event), event->status);
		e->err = -ECONNREFUSED;
	}
	complete(&e->step);
	return 0;
}

static int server_event(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct ulp_pair *p = id->context;
	struct rdma_conn_param param = { .responder_resources = 4, .initiator_depth = 4, .rnr_retry_count = 7 };
	int ret;

	switch (event->event) {
	case RDMA_CM_EVENT_CONNECT_REQUEST:
		p->server.id = id;
		ret = end_open(&p->server, 4);
		if (!ret)
			ret = rdma_accept(id, &param);
		if (ret)
			p->server.id = NULL; /* given up by what is returned */
		return ret;
	case RDMA_CM_EVENT_ESTABLISHED:
		complete(&p->server.step);
		return 0;
	case RDMA_CM_EVENT_DISCONNECTED:
		rdma_disconnect(id);
		return 0;
	default:
		return 0;
	}
}

static int step(struct ulp_end *e, int ret)
{
	if (ret)
		return ret;
	wait_for_completion(&e->step);
	return e->err;
}

int ulp_connect(struct ulp_pair *p, u32 ctxs)
{
	struct rdma_conn_param param = {
		.responder_resources = 4, .initiator_depth = 4, .retry_count = 7, .rnr_retry_count = 7
	};
	struct sockaddr_storage src, dst;
	int ret;

	memset(p, 0, sizeof(*p));
	init_completion(&p->client.step);
	init_completion(&p->server.step);
	ret = inet_pton_with_scope(&init_net, AF_INET, "10.0.0.1", NULL, &src);
	if (!ret)
		ret = inet_pton_with_scope(&init_net, AF_INET, "10.0.0.2", __stringify(ULP_PORT), &dst);
	if (ret)
		return ret;
	p->listener = rdma_create_id(&init_net, server_event, p, RDMA_PS_TCP, IB_QPT_RC);
	if (IS_ERR(p->listener))
		return PTR_ERR(p->listener);
	p->client.id = rdma_create_id(&init_net, client_event, &p->client, RDMA_PS_TCP, IB_QPT_RC);
	if (IS_ERR(p->client.id)) {
		rdma_destroy_id(p->listener);
		return PTR_ERR(p->client.id);
	}
	ret = rdma_bind_addr(p->listener, (struct sockaddr *)&dst);
	if (!ret)
		ret = rdma_listen(p->listener, 1);
	if (!ret)
		ret = step(&p->client,
			   rdma_resolve_addr(p->client.id, (struct sockaddr *)&src, (struct sockaddr *)&dst, 1000));
	if (!ret)
		ret = step(&p->client, rdma_resolve_route(p->client.id, 1000));
	if (!ret)
		ret = end_open(&p->client, ctxs);
	if (!ret)
		ret = step(&p->client, rdma_connect(p->client.id, &param));
	if (!ret)
		wait_for_completion(&p->server.step);
	else
		ulp_disconnect(p);
	return ret;
}

void ulp_disconnect(struct ulp_pair *p)
{
	if (p->client.qp)
		rdma_disconnect(p->client.id);
	end_close(&p->client);
	end_close(&p->server);
	rdma_destroy_id(p->listener);
}

int ulp_post_recv(struct ulp_end *e, struct ib_cqe *cqe, u64 addr, u32 len)
{
	struct ib_sge sge = { .addr = addr, .length = len, .lkey = e->pd->local_dma_lkey };
	struct ib_recv_wr wr = { .wr_cqe = cqe, .sg_list = &sge, .num_sge = 1 };

	return ib_post_recv(e->qp, &wr, NULL);
}

int ulp_post_send(struct ulp_end *e, struct ib_cqe *cqe, u64 addr, u32 len)
{
	struct ib_sge sge = { .addr = addr, .length = len, .lkey = e->pd->local_dma_lkey };
	struct ib_send_wr wr = {
		.wr_cqe = cqe, .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_SEND, .send_flags = IB_SEND_SIGNALED
	};
	const struct ib_send_wr *bad;

	return ib_post_send(e->qp, &wr, &bad);
}
