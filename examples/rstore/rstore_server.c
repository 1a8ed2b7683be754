/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The server: a store in pages, and connections that read and write it. What arrives is handed from the completion
 * to a work queue, as a request needs memory that may have to be waited for.
 */
#include <linux/kernel.h>
#include <linux/in.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <rdma/ib_verbs.h>
#include <rdma/rdma_cm.h>
#include <rdma/rw.h>

#include "rstore.h"

#undef pr_fmt
#define pr_fmt(fmt) "rstore: " fmt

#define REQ_BYTES (sizeof(struct rstore_req) + RSTORE_INLINE)
#define MAX_PAGES (RSTORE_MAX_IO / PAGE_SIZE + 1)

static unsigned int store_kb = 1024;
module_param(store_kb, uint, 0444);
MODULE_PARM_DESC(store_kb, "KiB of the store");

static struct page **store;
static unsigned long store_pages;
static struct workqueue_struct *server_wq;
static struct workqueue_struct *close_wq; /* its works wait for those of server_wq */
static struct rdma_cm_id *listener;

/* A device that the server is on. */
struct server_dev {
	struct ib_device *ibdev;
	struct ib_pd *pd;
	struct mutex lock; /* conns */
	struct list_head conns;
};

struct server_conn {
	struct server_dev *sdev;
	struct list_head entry; /* whoever takes it off closes the connection */
	struct work_struct close_work;
	struct rdma_cm_id *cm_id;
	struct ib_cq *cq;
	struct ib_qp *qp;
	struct kref ref; /* the connection's own, and one of each command that a work or the adapter has */
	struct completion idle;
	spinlock_t lock; /* closing */
	bool closing;
	struct server_cmd *cmds;
};

/* A command: a receive request, what came in it, the transfer, and the answer. */
struct server_cmd {
	struct server_conn *conn;
	struct ib_cqe recv_cqe;
	struct ib_cqe rw_cqe;
	struct ib_cqe send_cqe;
	struct work_struct work;
	struct rstore_req *req;
	u64 req_dma;
	u32 inline_len; /* bytes that came behind the request */
	struct rstore_rsp *rsp;
	u64 rsp_dma;
	struct rdma_rw_ctx rw;
	enum dma_data_direction dir;
	struct scatterlist *sg;
	unsigned int nents;
};

static struct ib_client server_client;

/* --- references --- */

static void conn_idle(struct kref *ref)
{
	complete(&container_of(ref, struct server_conn, ref)->idle);
}

static void conn_put(struct server_conn *conn)
{
	kref_put(&conn->ref, conn_idle);
}

/* --- commands --- */

static int post_recv(struct server_cmd *cmd)
{
	struct server_conn *conn = cmd->conn;
	struct ib_sge sge = {
		.addr = cmd->req_dma,
		.length = REQ_BYTES,
		.lkey = conn->sdev->pd->local_dma_lkey,
	};
	struct ib_recv_wr wr = { .wr_cqe = &cmd->recv_cqe, .sg_list = &sge, .num_sge = 1 };

	ib_dma_sync_single_for_device(conn->sdev->ibdev, cmd->req_dma, REQ_BYTES, DMA_FROM_DEVICE);
	return ib_post_recv(conn->qp, &wr, NULL);
}

static void send_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct server_cmd *cmd = container_of(wc->wr_cqe, struct server_cmd, send_cqe);
	struct server_conn *conn = cmd->conn;

	if (wc->status == IB_WC_SUCCESS)
		post_recv(cmd);
	conn_put(conn);
}

static void answer(struct server_cmd *cmd, enum rstore_status status)
{
	struct server_conn *conn = cmd->conn;
	struct ib_device *ibdev = conn->sdev->ibdev;
	struct ib_sge sge = {
		.addr = cmd->rsp_dma,
		.length = sizeof(*cmd->rsp),
		.lkey = conn->sdev->pd->local_dma_lkey,
	};
	struct ib_send_wr wr = {
		.wr_cqe = &cmd->send_cqe,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_SIGNALED,
	};

	if (cmd->req->rkey) {
		wr.opcode = IB_WR_SEND_WITH_INV;
		wr.ex.invalidate_rkey = be32_to_cpu(cmd->req->rkey);
	}
	ib_dma_sync_single_for_cpu(ibdev, cmd->rsp_dma, sizeof(*cmd->rsp), DMA_TO_DEVICE);
	cmd->rsp->tag = cmd->req->tag;
	cmd->rsp->status = cpu_to_be32(status);
	ib_dma_sync_single_for_device(ibdev, cmd->rsp_dma, sizeof(*cmd->rsp), DMA_TO_DEVICE);
	if (ib_post_send(conn->qp, &wr, NULL))
		conn_put(conn);
}

static void rw_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct server_cmd *cmd = container_of(wc->wr_cqe, struct server_cmd, rw_cqe);
	struct server_conn *conn = cmd->conn;

	rdma_rw_ctx_destroy(&cmd->rw, conn->qp, conn->qp->port, cmd->sg, cmd->nents, cmd->dir);
	if (wc->status == IB_WC_SUCCESS) {
		answer(cmd, RSTORE_OK);
		return;
	}
	if (wc->status != IB_WC_WR_FLUSH_ERR)
		pr_err("transfer failed: %s\n", ib_wc_status_msg(wc->status));
	conn_put(conn);
}

/* The pages of the store that the request is about. Return: 0 or -EINVAL. */
static int fill_list(struct server_cmd *cmd)
{
	u64 offset = be64_to_cpu(cmd->req->offset), size = (u64)store_pages << PAGE_SHIFT;
	u32 len = be32_to_cpu(cmd->req->len);

	if (!len || len > RSTORE_MAX_IO || offset >= size || len > size - offset)
		return -EINVAL;
	sg_init_table(cmd->sg, MAX_PAGES);
	for (cmd->nents = 0; len; cmd->nents++) {
		unsigned int in = offset_in_page((unsigned long)offset);
		unsigned int part = min_t(u32, len, PAGE_SIZE - in);

		sg_set_page(&cmd->sg[cmd->nents], store[offset >> PAGE_SHIFT], part, in);
		offset += part;
		len -= part;
	}
	sg_mark_end(&cmd->sg[cmd->nents - 1]);
	return 0;
}

/* Bytes follow an inline write and nothing else, and it says how many. */
static bool op_valid(const struct server_cmd *cmd)
{
	switch (cmd->req->op) {
	case RSTORE_READ:
	case RSTORE_WRITE:
		return !cmd->inline_len;
	case RSTORE_WRITE_INLINE:
		return cmd->inline_len == be32_to_cpu(cmd->req->len);
	default:
		return false;
	}
}

static void cmd_work(struct work_struct *work)
{
	struct server_cmd *cmd = container_of(work, struct server_cmd, work);
	struct server_conn *conn = cmd->conn;
	int ret;

	if (!op_valid(cmd) || fill_list(cmd)) {
		answer(cmd, RSTORE_BAD_REQUEST);
		return;
	}
	if (cmd->req->op == RSTORE_WRITE_INLINE) {
		sg_copy_from_buffer(cmd->sg, cmd->nents, cmd->req + 1, cmd->inline_len);
		answer(cmd, RSTORE_OK);
		return;
	}
	/* What the client reads we write to it, and the other way round. */
	cmd->dir = cmd->req->op == RSTORE_READ ? DMA_TO_DEVICE : DMA_FROM_DEVICE;
	ret = rdma_rw_ctx_init(&cmd->rw, conn->qp, conn->qp->port, cmd->sg, cmd->nents, 0, be64_to_cpu(cmd->req->addr),
			       be32_to_cpu(cmd->req->rkey), cmd->dir);
	if (ret < 0) {
		answer(cmd, RSTORE_FAILED);
		return;
	}
	if (rdma_rw_ctx_post(&cmd->rw, conn->qp, conn->qp->port, &cmd->rw_cqe, NULL)) {
		rdma_rw_ctx_destroy(&cmd->rw, conn->qp, conn->qp->port, cmd->sg, cmd->nents, cmd->dir);
		answer(cmd, RSTORE_FAILED);
	}
}

static void recv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct server_cmd *cmd = container_of(wc->wr_cqe, struct server_cmd, recv_cqe);
	struct server_conn *conn = cmd->conn;
	unsigned long flags;
	bool closing;

	if (wc->status != IB_WC_SUCCESS)
		return;
	ib_dma_sync_single_for_cpu(conn->sdev->ibdev, cmd->req_dma, REQ_BYTES, DMA_FROM_DEVICE);
	if (wc->byte_len < sizeof(*cmd->req)) {
		pr_err("a request of %u bytes\n", wc->byte_len);
		return;
	}
	cmd->inline_len = wc->byte_len - sizeof(*cmd->req);
	spin_lock_irqsave(&conn->lock, flags);
	closing = conn->closing;
	if (!closing)
		kref_get(&conn->ref);
	spin_unlock_irqrestore(&conn->lock, flags);
	if (!closing)
		queue_work(server_wq, &cmd->work);
}

/* --- connections --- */

static void free_cmd(struct server_cmd *cmd)
{
	struct ib_device *ibdev = cmd->conn->sdev->ibdev;

	if (cmd->req_dma)
		ib_dma_unmap_single(ibdev, cmd->req_dma, REQ_BYTES, DMA_FROM_DEVICE);
	if (cmd->rsp_dma)
		ib_dma_unmap_single(ibdev, cmd->rsp_dma, sizeof(*cmd->rsp), DMA_TO_DEVICE);
	kfree(cmd->sg);
	kfree(cmd->rsp);
	kfree(cmd->req);
}

static int map_cmd(struct server_cmd *cmd)
{
	struct ib_device *ibdev = cmd->conn->sdev->ibdev;
	u64 dma;

	dma = ib_dma_map_single(ibdev, cmd->req, REQ_BYTES, DMA_FROM_DEVICE);
	if (ib_dma_mapping_error(ibdev, dma))
		return -ENOMEM;
	cmd->req_dma = dma;
	dma = ib_dma_map_single(ibdev, cmd->rsp, sizeof(*cmd->rsp), DMA_TO_DEVICE);
	if (ib_dma_mapping_error(ibdev, dma))
		return -ENOMEM;
	cmd->rsp_dma = dma;
	return 0;
}

static int make_cmd(struct server_conn *conn, struct server_cmd *cmd)
{
	cmd->conn = conn;
	cmd->recv_cqe.done = recv_done;
	cmd->rw_cqe.done = rw_done;
	cmd->send_cqe.done = send_done;
	INIT_WORK(&cmd->work, cmd_work);
	cmd->req = kzalloc(REQ_BYTES, GFP_KERNEL);
	cmd->rsp = kzalloc(sizeof(*cmd->rsp), GFP_KERNEL);
	cmd->sg = kmalloc_array(MAX_PAGES, sizeof(*cmd->sg), GFP_KERNEL);
	if (!cmd->req || !cmd->rsp || !cmd->sg)
		return -ENOMEM;
	return map_cmd(cmd);
}

static void free_conn(struct server_conn *conn)
{
	int i;

	if (conn->qp)
		rdma_destroy_qp(conn->cm_id);
	if (conn->cq)
		ib_free_cq(conn->cq);
	for (i = 0; i < RSTORE_DEPTH && conn->cmds; i++)
		if (conn->cmds[i].conn)
			free_cmd(&conn->cmds[i]);
	kfree(conn->cmds);
	kfree(conn);
}

static int make_qp(struct server_conn *conn)
{
	struct ib_qp_init_attr attr = {
		.qp_context = conn,
		.cap = {
			.max_send_wr = RSTORE_DEPTH + 1,
			.max_recv_wr = RSTORE_DEPTH + 1,
			.max_send_sge = 4,
			.max_recv_sge = 1,
			/* A transfer has up to MAX_PAGES entries, four a request. */
			.max_rdma_ctxs = RSTORE_DEPTH * (MAX_PAGES / 4 + 1),
		},
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.qp_type = IB_QPT_RC,
		.port_num = 1,
	};
	int i, ret = 0;

	conn->cq = ib_alloc_cq_any(conn->sdev->ibdev, conn, 4 * RSTORE_DEPTH + 2, IB_POLL_SOFTIRQ);
	if (IS_ERR(conn->cq)) {
		ret = PTR_ERR(conn->cq);
		conn->cq = NULL;
		return ret;
	}
	attr.send_cq = conn->cq;
	attr.recv_cq = conn->cq;
	ret = rdma_create_qp(conn->cm_id, conn->sdev->pd, &attr);
	if (ret)
		return ret;
	conn->qp = conn->cm_id->qp;
	for (i = 0; i < RSTORE_DEPTH && !ret; i++)
		ret = make_cmd(conn, &conn->cmds[i]);
	return ret;
}

static void close_conn(struct server_conn *conn)
{
	struct rdma_cm_id *cm_id = conn->cm_id;
	unsigned long flags;

	rdma_disconnect(cm_id);
	spin_lock_irqsave(&conn->lock, flags);
	conn->closing = true;
	spin_unlock_irqrestore(&conn->lock, flags);
	ib_drain_qp(conn->qp);
	/* Works that had begun fail at their posts. */
	conn_put(conn);
	wait_for_completion(&conn->idle);
	rdma_destroy_qp(cm_id);
	conn->qp = NULL;
	/* Its handler may be at it until then. */
	rdma_destroy_id(cm_id);
	free_conn(conn);
}

static void close_work(struct work_struct *work)
{
	close_conn(container_of(work, struct server_conn, close_work));
}

/* From its handler, in which it can't be closed. */
static void begin_close(struct server_conn *conn)
{
	struct server_dev *sdev = conn->sdev;

	mutex_lock(&sdev->lock);
	if (!list_empty(&conn->entry)) {
		list_del_init(&conn->entry);
		queue_work(close_wq, &conn->close_work);
	}
	mutex_unlock(&sdev->lock);
}

static struct server_conn *make_conn(struct server_dev *sdev, struct rdma_cm_id *id)
{
	struct server_conn *conn = kzalloc(sizeof(*conn), GFP_KERNEL);
	int i, ret = -ENOMEM;

	if (!conn)
		return NULL;
	conn->sdev = sdev;
	conn->cm_id = id;
	INIT_LIST_HEAD(&conn->entry);
	INIT_WORK(&conn->close_work, close_work);
	kref_init(&conn->ref);
	init_completion(&conn->idle);
	spin_lock_init(&conn->lock);
	conn->cmds = kcalloc(RSTORE_DEPTH, sizeof(*conn->cmds), GFP_KERNEL);
	if (conn->cmds)
		ret = make_qp(conn);
	for (i = 0; i < RSTORE_DEPTH && !ret; i++)
		ret = post_recv(&conn->cmds[i]);
	if (!ret)
		return conn;
	free_conn(conn);
	return NULL;
}

/* What isn't taken is rejected, as we give its ID up. */
static int connect_request(struct rdma_cm_id *id, const struct rdma_conn_param *asked)
{
	struct server_dev *sdev = ib_get_client_data(id->device, &server_client);
	struct rdma_conn_param param = { .rnr_retry_count = 7 };
	struct server_conn *conn;
	int ret;

	if (!sdev)
		return -ENODEV;
	conn = make_conn(sdev, id);
	if (!conn)
		return -ENOMEM;
	id->context = conn;
	mutex_lock(&sdev->lock);
	list_add_tail(&conn->entry, &sdev->conns);
	mutex_unlock(&sdev->lock);
	param.initiator_depth = min_t(int, asked->initiator_depth, sdev->ibdev->attrs.max_qp_init_rd_atom);
	ret = rdma_accept(id, &param);
	if (ret)
		begin_close(conn);
	return 0;
}

static int cm_handler(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	switch (event->event) {
	case RDMA_CM_EVENT_CONNECT_REQUEST:
		return connect_request(id, &event->param.conn);
	case RDMA_CM_EVENT_DISCONNECTED:
	case RDMA_CM_EVENT_REJECTED:
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		if (id != listener)
			begin_close(id->context);
		return 0;
	default:
		return 0;
	}
}

static int listen_to_all(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(RSTORE_PORT) };
	int ret;

	listener = rdma_create_id(&init_net, cm_handler, NULL, RDMA_PS_TCP, IB_QPT_RC);
	if (IS_ERR(listener))
		return PTR_ERR(listener);
	ret = rdma_bind_addr(listener, (struct sockaddr *)&any);
	if (!ret)
		ret = rdma_listen(listener, 16);
	if (ret)
		rdma_destroy_id(listener);
	return ret;
}

/* --- devices --- */

static int server_add(struct ib_device *ibdev)
{
	struct server_dev *sdev = kzalloc(sizeof(*sdev), GFP_KERNEL);

	if (!sdev)
		return -ENOMEM;
	sdev->ibdev = ibdev;
	mutex_init(&sdev->lock);
	INIT_LIST_HEAD(&sdev->conns);
	sdev->pd = ib_alloc_pd(ibdev, 0);
	if (IS_ERR(sdev->pd)) {
		int ret = PTR_ERR(sdev->pd);

		kfree(sdev);
		return ret;
	}
	ib_set_client_data(ibdev, &server_client, sdev);
	dev_dbg(&ibdev->dev, "serves\n");
	return 0;
}

static void server_remove(struct ib_device *ibdev, void *client_data)
{
	struct server_dev *sdev = client_data;
	struct server_conn *conn, *next;

	mutex_lock(&sdev->lock);
	list_for_each_entry_safe(conn, next, &sdev->conns, entry) {
		list_del_init(&conn->entry);
		queue_work(close_wq, &conn->close_work);
	}
	mutex_unlock(&sdev->lock);
	flush_workqueue(close_wq);
	ib_dealloc_pd(sdev->pd);
	kfree(sdev);
}

static struct ib_client server_client = {
	.name = "rstore_server",
	.add = server_add,
	.remove = server_remove,
};

static void free_store(void)
{
	unsigned long i;

	for (i = 0; i < store_pages && store; i++)
		if (store[i])
			__free_page(store[i]);
	kvfree(store);
	store = NULL;
}

static int make_store(void)
{
	unsigned long i;

	store_pages = DIV_ROUND_UP((unsigned long)store_kb * SZ_1K, PAGE_SIZE);
	store = kvcalloc(store_pages, sizeof(*store), GFP_KERNEL);
	if (!store)
		return -ENOMEM;
	for (i = 0; i < store_pages; i++) {
		store[i] = alloc_page(GFP_HIGHUSER | __GFP_ZERO);
		if (!store[i])
			return -ENOMEM;
	}
	return 0;
}

static int __init server_init(void)
{
	int ret = make_store();

	if (ret)
		goto free;
	server_wq = alloc_workqueue("rstore", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!server_wq) {
		ret = -ENOMEM;
		goto free;
	}
	close_wq = alloc_workqueue("rstore_close", WQ_UNBOUND, 0);
	if (!close_wq) {
		ret = -ENOMEM;
		goto destroy;
	}
	ret = ib_register_client(&server_client);
	if (ret)
		goto destroy_close;
	ret = listen_to_all();
	if (ret)
		goto unregister;
	return 0;
unregister:
	ib_unregister_client(&server_client);
destroy_close:
	destroy_workqueue(close_wq);
destroy:
	destroy_workqueue(server_wq);
free:
	free_store();
	return ret;
}

static void __exit server_exit(void)
{
	rdma_destroy_id(listener);
	ib_unregister_client(&server_client);
	destroy_workqueue(close_wq);
	destroy_workqueue(server_wq);
	free_store();
}

module_init(server_init);
module_exit(server_exit);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("a store of bytes over RDMA: the server");
