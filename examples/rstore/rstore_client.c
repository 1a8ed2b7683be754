/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The client: a request registers the caller's list, names it to the server, and waits for the answer, which invalidates
 * the registration. Many threads may have requests under way, up to RSTORE_DEPTH.
 */
#include <linux/kernel.h>
#include <linux/bitops.h>
#include <linux/completion.h>
#include <linux/module.h>
#include <linux/refcount.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <rdma/ib_verbs.h>
#include <rdma/mr_pool.h>
#include <rdma/rdma_cm.h>

#include "rstore.h"

#undef pr_fmt
#define pr_fmt(fmt) "rstore: " fmt

struct client_io {
	struct rstore_client *client;
	struct ib_cqe send_cqe;
	struct ib_cqe reg_cqe;
	struct rstore_req *req;
	u64 req_dma;
	struct ib_mr *mr;
	refcount_t ends; /* of the send, and of the answer */
	struct completion done;
	int status;
};

/* A receive request for an answer. */
struct client_rsp {
	struct rstore_client *client;
	struct ib_cqe cqe;
	struct rstore_rsp *rsp;
	u64 dma;
};

struct rstore_client {
	struct rdma_cm_id *cm_id;
	struct completion cm_done; /* of the step that is waited for */
	int cm_error;
	struct ib_device *ibdev;
	struct ib_pd *pd;
	struct ib_cq *cq;
	unsigned int nr_cqe;
	struct ib_qp *qp;
	enum ib_mr_type mr_type;
	DECLARE_BITMAP(tags, RSTORE_DEPTH);
	wait_queue_head_t tag_free;
	bool broken;
	struct client_io io[RSTORE_DEPTH];
	struct client_rsp rsp[RSTORE_DEPTH];
};

/* --- completions --- */

static void io_end(struct client_io *io)
{
	if (refcount_dec_and_test(&io->ends))
		complete(&io->done);
}

static void io_failed(struct client_io *io, struct ib_wc *wc, const char *what)
{
	if (wc->status != IB_WC_WR_FLUSH_ERR)
		pr_err("%s failed: %s\n", what, ib_wc_status_msg(wc->status));
	WRITE_ONCE(io->client->broken, true);
}

static void send_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct client_io *io = container_of(wc->wr_cqe, struct client_io, send_cqe);

	if (wc->status != IB_WC_SUCCESS) {
		io_failed(io, wc, "request");
		/* Then there will be no answer. */
		io_end(io);
	}
	io_end(io);
}

/* Unsignalled: only failures come here. */
static void reg_done(struct ib_cq *cq, struct ib_wc *wc)
{
	if (wc->status != IB_WC_SUCCESS)
		io_failed(container_of(wc->wr_cqe, struct client_io, reg_cqe), wc, "registration");
}

static int post_recv(struct client_rsp *r)
{
	struct rstore_client *c = r->client;
	struct ib_sge sge = { .addr = r->dma, .length = sizeof(*r->rsp), .lkey = c->pd->local_dma_lkey };
	struct ib_recv_wr wr = { .wr_cqe = &r->cqe, .sg_list = &sge, .num_sge = 1 };

	ib_dma_sync_single_for_device(c->ibdev, r->dma, sizeof(*r->rsp), DMA_FROM_DEVICE);
	return ib_post_recv(c->qp, &wr, NULL);
}

static void recv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct client_rsp *r = container_of(wc->wr_cqe, struct client_rsp, cqe);
	struct rstore_client *c = r->client;
	struct client_io *io;
	u32 tag, status;

	if (wc->status != IB_WC_SUCCESS)
		return;
	ib_dma_sync_single_for_cpu(c->ibdev, r->dma, sizeof(*r->rsp), DMA_FROM_DEVICE);
	tag = be32_to_cpu(r->rsp->tag);
	status = be32_to_cpu(r->rsp->status);
	if (wc->byte_len != sizeof(*r->rsp) || tag >= RSTORE_DEPTH || !test_bit(tag, c->tags)) {
		pr_err("an answer to no request\n");
		WRITE_ONCE(c->broken, true);
		return;
	}
	io = &c->io[tag];
	io->status = status == RSTORE_OK ? 0 : status == RSTORE_BAD_REQUEST ? -EINVAL : -EIO;
	if (wc->wc_flags & IB_WC_WITH_INVALIDATE && io->mr && wc->ex.invalidate_rkey == io->mr->rkey)
		io->mr->need_inval = false;
	/* There is room for the next answer before its request can be sent. */
	if (post_recv(r))
		WRITE_ONCE(c->broken, true);
	io_end(io);
}

/* --- a request --- */

static int take_tag(struct rstore_client *c)
{
	unsigned long tag;

	do {
		tag = find_first_zero_bit(c->tags, RSTORE_DEPTH);
		if (tag >= RSTORE_DEPTH)
			return -EBUSY;
	} while (test_and_set_bit(tag, c->tags));
	return tag;
}

static void give_tag(struct rstore_client *c, int tag)
{
	clear_bit_unlock(tag, c->tags); /* the next one has the entry as we left it */
	smp_mb__after_atomic();
	wake_up(&c->tag_free);
}

/* The bytes are sent from where they are, behind the request. */
static int post_inline(struct rstore_client *c, struct client_io *io, struct scatterlist *sg)
{
	struct ib_sge sge[2] = {
		{ .addr = io->req_dma, .length = sizeof(*io->req), .lkey = c->pd->local_dma_lkey },
		{ .addr = sg_dma_address(sg), .length = sg_dma_len(sg), .lkey = c->pd->local_dma_lkey },
	};
	struct ib_send_wr send = {
		.wr_cqe = &io->send_cqe,
		.sg_list = sge,
		.num_sge = 2,
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_SIGNALED,
	};

	io->req->op = RSTORE_WRITE_INLINE;
	ib_dma_sync_single_for_device(c->ibdev, io->req_dma, sizeof(*io->req), DMA_TO_DEVICE);
	return ib_post_send(c->qp, &send, NULL);
}

/* What the peer didn't invalidate is invalidated before it is registered again: that is asked for along the way. */
static int post_io(struct rstore_client *c, struct client_io *io, int access)
{
	struct ib_sge sge = { .addr = io->req_dma, .length = sizeof(*io->req), .lkey = c->pd->local_dma_lkey };
	struct ib_send_wr inv = {
		.wr_cqe = &io->reg_cqe,
		.opcode = IB_WR_LOCAL_INV,
		.ex.invalidate_rkey = io->mr->rkey,
	};
	struct ib_reg_wr reg = {
		.wr = { .wr_cqe = &io->reg_cqe, .opcode = IB_WR_REG_MR },
		.mr = io->mr,
		.access = access,
	};
	struct ib_send_wr send = {
		.wr_cqe = &io->send_cqe,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_SIGNALED,
	};
	struct ib_send_wr *first = &reg.wr;

	if (io->mr->need_inval) {
		inv.next = &reg.wr;
		first = &inv;
	}
	ib_update_fast_reg_key(io->mr, ib_inc_rkey(io->mr->rkey));
	reg.key = io->mr->rkey;
	reg.wr.next = &send;
	io->req->rkey = cpu_to_be32(io->mr->rkey);
	io->mr->need_inval = true;
	ib_dma_sync_single_for_device(c->ibdev, io->req_dma, sizeof(*io->req), DMA_TO_DEVICE);
	return ib_post_send(c->qp, first, NULL);
}

/* Registered, and named to the server. */
static int post_mapped(struct rstore_client *c, struct client_io *io, struct scatterlist *sgl, int n, u32 len)
{
	int access = io->req->op == RSTORE_READ ? IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE :
						  IB_ACCESS_REMOTE_READ;

	if (ib_map_mr_sg(io->mr, sgl, n, NULL, PAGE_SIZE) != n || io->mr->length != len)
		return -EINVAL;
	io->req->addr = cpu_to_be64(io->mr->iova);
	return post_io(c, io, access);
}

static int run_io(struct rstore_client *c, struct client_io *io, enum rstore_op op, u64 offset, struct scatterlist *sgl,
		  int n)
{
	struct scatterlist *sg;
	u32 len = 0;
	int i, ret;

	for_each_sg(sgl, sg, n, i)
		len += sg_dma_len(sg);
	ib_dma_sync_single_for_cpu(c->ibdev, io->req_dma, sizeof(*io->req), DMA_TO_DEVICE);
	*io->req = (struct rstore_req){
		.op = op,
		.tag = cpu_to_be32(io - c->io),
		.offset = cpu_to_be64(offset),
		.len = cpu_to_be32(len),
	};
	reinit_completion(&io->done);
	refcount_set(&io->ends, 2);
	io->status = -EIO;
	if (io->mr)
		ret = post_mapped(c, io, sgl, n, len);
	else
		ret = post_inline(c, io, sgl);
	if (ret)
		return ret;
	wait_for_completion(&io->done);
	return io->status;
}

/* A short write in one piece needs no registration. */
static bool is_inline(enum rstore_op op, struct scatterlist *sgl, int n)
{
	return op == RSTORE_WRITE && n == 1 && sg_dma_len(sgl) <= RSTORE_INLINE;
}

int rstore_io(struct rstore_client *c, enum rstore_op op, u64 offset, struct scatterlist *sgl, int nents)
{
	enum dma_data_direction dir = op == RSTORE_READ ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
	struct client_io *io;
	int n, tag, ret = -EIO;

	if (READ_ONCE(c->broken))
		return -EIO;
	n = ib_dma_map_sg(c->ibdev, sgl, nents, dir);
	if (n <= 0)
		return -EIO;
	wait_event(c->tag_free, (tag = take_tag(c)) >= 0);
	io = &c->io[tag];
	io->mr = NULL;
	if (is_inline(op, sgl, n)) {
		ret = run_io(c, io, op, offset, sgl, n);
	} else {
		io->mr = ib_mr_pool_get(c->qp, &c->qp->rdma_mrs);
		if (!WARN_ON_ONCE(!io->mr)) {
			ret = run_io(c, io, op, offset, sgl, n);
			ib_mr_pool_put(c->qp, &c->qp->rdma_mrs, io->mr);
		}
	}
	give_tag(c, tag);
	ib_dma_unmap_sg(c->ibdev, sgl, nents, dir);
	return ret;
}

/* --- a client's life --- */

static void free_buffers(struct rstore_client *c)
{
	int i;

	for (i = 0; i < RSTORE_DEPTH; i++) {
		if (c->io[i].req_dma)
			ib_dma_unmap_single(c->ibdev, c->io[i].req_dma, sizeof(struct rstore_req), DMA_TO_DEVICE);
		if (c->rsp[i].dma)
			ib_dma_unmap_single(c->ibdev, c->rsp[i].dma, sizeof(struct rstore_rsp), DMA_FROM_DEVICE);
		kfree(c->io[i].req);
		kfree(c->rsp[i].rsp);
	}
}

static int make_buffers(struct rstore_client *c, struct client_io *io, struct client_rsp *r)
{
	u64 dma;

	io->client = c;
	io->send_cqe.done = send_done;
	io->reg_cqe.done = reg_done;
	init_completion(&io->done);
	r->client = c;
	r->cqe.done = recv_done;
	io->req = kzalloc(sizeof(*io->req), GFP_KERNEL);
	r->rsp = kzalloc(sizeof(*r->rsp), GFP_KERNEL);
	if (!io->req || !r->rsp)
		return -ENOMEM;
	dma = ib_dma_map_single(c->ibdev, io->req, sizeof(*io->req), DMA_TO_DEVICE);
	if (ib_dma_mapping_error(c->ibdev, dma))
		return -ENOMEM;
	io->req_dma = dma;
	dma = ib_dma_map_single(c->ibdev, r->rsp, sizeof(*r->rsp), DMA_FROM_DEVICE);
	if (ib_dma_mapping_error(c->ibdev, dma))
		return -ENOMEM;
	r->dma = dma;
	return 0;
}

static int make_qp(struct rstore_client *c)
{
	int ret;
	struct ib_qp_init_attr attr = {
		.cap = {
			.max_send_wr = 3 * RSTORE_DEPTH + 1,
			.max_recv_wr = RSTORE_DEPTH + 1,
			.max_send_sge = 2,
			.max_recv_sge = 1,
		},
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.qp_type = IB_QPT_RC,
		.port_num = 1,
	};

	c->nr_cqe = 4 * RSTORE_DEPTH + 2;
	c->cq = ib_cq_pool_get(c->ibdev, c->nr_cqe, -1, IB_POLL_WORKQUEUE);
	if (IS_ERR(c->cq))
		return PTR_ERR(c->cq);
	attr.send_cq = c->cq;
	attr.recv_cq = c->cq;
	ret = rdma_create_qp(c->cm_id, c->pd, &attr);
	if (ret)
		ib_cq_pool_put(c->cq, c->nr_cqe);
	c->qp = c->cm_id->qp;
	return ret;
}

/* What the queue pair needs, on the adapter that leads to the server. */
static int make_objects(struct rstore_client *c)
{
	int i, ret;

	c->ibdev = c->cm_id->device;
	c->mr_type = c->ibdev->attrs.kernel_cap_flags & IBK_SG_GAPS_REG ? IB_MR_TYPE_SG_GAPS : IB_MR_TYPE_MEM_REG;
	c->pd = ib_alloc_pd(c->ibdev, 0);
	if (IS_ERR(c->pd))
		return PTR_ERR(c->pd);
	ret = make_qp(c);
	if (ret)
		goto dealloc;
	ret = ib_mr_pool_init(c->qp, &c->qp->rdma_mrs, RSTORE_DEPTH, c->mr_type, RSTORE_MAX_SG, 0);
	if (ret)
		goto destroy;
	for (i = 0; i < RSTORE_DEPTH && !ret; i++)
		ret = make_buffers(c, &c->io[i], &c->rsp[i]);
	/* There is room for answers before anything is asked. */
	for (i = 0; i < RSTORE_DEPTH && !ret; i++)
		ret = post_recv(&c->rsp[i]);
	if (!ret)
		return 0;
	ib_drain_qp(c->qp);
	free_buffers(c);
	ib_mr_pool_destroy(c->qp, &c->qp->rdma_mrs);
destroy:
	rdma_destroy_qp(c->cm_id);
	ib_cq_pool_put(c->cq, c->nr_cqe);
dealloc:
	ib_dealloc_pd(c->pd);
	return ret;
}

static void free_objects(struct rstore_client *c)
{
	ib_drain_qp(c->qp);
	ib_mr_pool_destroy(c->qp, &c->qp->rdma_mrs);
	rdma_destroy_qp(c->cm_id);
	ib_cq_pool_put(c->cq, c->nr_cqe);
	free_buffers(c);
	ib_dealloc_pd(c->pd);
}

/* Each step of a connection is waited for by the thread that opens it. */
static int cm_handler(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct rstore_client *c = id->context;

	switch (event->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
	case RDMA_CM_EVENT_ESTABLISHED:
		c->cm_error = 0;
		break;
	case RDMA_CM_EVENT_REJECTED:
		pr_debug("rejected: %s\n", rdma_reject_msg(id, event->status));
		c->cm_error = -ECONNREFUSED;
		break;
	case RDMA_CM_EVENT_TIMEWAIT_EXIT:
		return 0;
	default:
		/* Of a connection that was open, requests under way hear of it from the queue pair. */
		c->cm_error = -EIO;
	}
	complete(&c->cm_done);
	return 0;
}

/* @ret: of the call whose event is to come */
static int wait_step(struct rstore_client *c, int ret)
{
	if (ret)
		return ret;
	wait_for_completion(&c->cm_done);
	return c->cm_error;
}

static int connect_to_server(struct rstore_client *c)
{
	struct rdma_conn_param param = {
		.responder_resources = min(c->ibdev->attrs.max_qp_rd_atom, 255),
		.retry_count = 7,
		.rnr_retry_count = 7,
	};
	int ret = wait_step(c, rdma_resolve_route(c->cm_id, 1000));

	return ret ? ret : wait_step(c, rdma_connect(c->cm_id, &param));
}

struct rstore_client *rstore_open(struct sockaddr *src, struct sockaddr *dst)
{
	struct rstore_client *c = kzalloc(sizeof(*c), GFP_KERNEL);
	int ret;

	if (!c)
		return ERR_PTR(-ENOMEM);
	init_waitqueue_head(&c->tag_free);
	init_completion(&c->cm_done);
	c->cm_id = rdma_create_id(&init_net, cm_handler, c, RDMA_PS_TCP, IB_QPT_RC);
	if (IS_ERR(c->cm_id)) {
		ret = PTR_ERR(c->cm_id);
		goto free;
	}
	ret = wait_step(c, rdma_resolve_addr(c->cm_id, src, dst, 1000));
	if (!ret)
		ret = make_objects(c);
	if (ret)
		goto destroy_id;
	ret = connect_to_server(c);
	if (ret)
		goto free_objects;
	return c;
free_objects:
	free_objects(c);
destroy_id:
	rdma_destroy_id(c->cm_id);
free:
	kfree(c);
	return ERR_PTR(ret);
}

void rstore_close(struct rstore_client *c)
{
	rdma_disconnect(c->cm_id);
	free_objects(c);
	rdma_destroy_id(c->cm_id);
	kfree(c);
}

MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("a store of bytes over RDMA: the client");
