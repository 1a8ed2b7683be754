/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * In the style of RTRS: sessions in an xarray by number, a state that moves under the lock of its wait queue, buffers
 * that the client fills by RDMA writes whose immediate data names them, permits in a bitmap, and references that a
 * session's end waits for.
 */
#include <linux/bitmap.h>
#include <linux/cpumask.h>
#include <linux/idr.h>
#include <linux/kernel.h>
#include <linux/mempool.h>
#include <linux/module.h>
#include <linux/percpu-refcount.h>
#include <linux/slab.h>
#include <linux/uuid.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "ulp.h"

#undef pr_fmt
#define pr_fmt(fmt) KBUILD_MODNAME " L" __stringify(__LINE__) ": " fmt

#define CHUNK 4096u
#define CHUNKS 8u
#define REQUESTS 60

enum state { CONNECTING, CONNECTED, CLOSING };

struct session {
	u32 id;
	uuid_t uuid;
	enum state state;
	wait_queue_head_t state_wq;
	struct percpu_ref inflight;
	struct completion none_left;
	struct ulp_pair pair;
	DECLARE_BITMAP(permits, CHUNKS);
	wait_queue_head_t permits_wait;
	void *chunk[CHUNKS];
	u64 chunk_dma[CHUNKS];
	struct ib_mr *mr;
	struct ib_cqe reg_cqe;
	struct ib_cqe recv_cqe[ULP_DEPTH];
	struct ib_cqe write_cqe;
	mempool_t *requests;
	char *out;
	u64 out_dma;
	atomic_t got;
	struct completion registered;
	int err;
};

static DEFINE_XARRAY_ALLOC1(sessions);
static DEFINE_IDA(queue_ids);
static cpumask_t affinity = { CPU_BITS_ALL };

static bool change_state(struct session *s, enum state from, enum state to)
{
	bool changed = false;

	spin_lock_irq(&s->state_wq.lock);
	lockdep_assert_held(&s->state_wq.lock);
	if (s->state == from) {
		WRITE_ONCE(s->state, to);
		wake_up_locked(&s->state_wq);
		changed = true;
	}
	spin_unlock_irq(&s->state_wq.lock);
	return changed;
}

static void inflight_release(struct percpu_ref *ref)
{
	complete(&container_of(ref, struct session, inflight)->none_left);
}

/* --- permits --- */

static int permit_get(struct session *s)
{
	int bit;

	do {
		bit = find_first_zero_bit(s->permits, CHUNKS);
		if (bit >= (int)CHUNKS)
			return -EBUSY;
	} while (test_and_set_bit_lock(bit, s->permits));
	return bit;
}

static int permit_wait(struct session *s)
{
	DEFINE_WAIT(wait);
	int bit;

	bit = permit_get(s);
	if (bit >= 0)
		return bit;
	do {
		prepare_to_wait(&s->permits_wait, &wait, TASK_UNINTERRUPTIBLE);
		bit = permit_get(s);
		if (bit >= 0)
			break;
		io_schedule();
	} while (1);
	finish_wait(&s->permits_wait, &wait);
	return bit;
}

static void permit_put(struct session *s, int bit)
{
	clear_bit_unlock(bit, s->permits);
	if (waitqueue_active(&s->permits_wait))
		wake_up(&s->permits_wait);
}

/* --- the server: memory that is written, told by immediate data --- */

static void recv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct ulp_end *e = cq->cq_context;
	struct ulp_pair *pair = container_of(e, struct ulp_pair, server);
	struct session *s = container_of(pair, struct session, pair);
	u32 imm, i, want;

	if (wc->status == IB_WC_WR_FLUSH_ERR)
		return;
	imm = be32_to_cpu(wc->ex.imm_data);
	if (wc->status != IB_WC_SUCCESS || wc->opcode != IB_WC_RECV_RDMA_WITH_IMM || imm >= CHUNKS) {
		pr_err("%s\n", ib_wc_status_msg(wc->status));
		s->err = -EIO;
		return;
	}
	ib_dma_sync_single_for_cpu(e->dev, s->chunk_dma[imm], CHUNK, DMA_FROM_DEVICE);
	want = ((u32 *)s->chunk[imm])[0];
	for (i = 0; i < wc->byte_len / sizeof(u32); i++)
		if (((u32 *)s->chunk[imm])[i] != want)
			s->err = -EBADMSG;
	ib_dma_sync_single_for_device(e->dev, s->chunk_dma[imm], CHUNK, DMA_FROM_DEVICE);
	ulp_post_recv(e, wc->wr_cqe, 0, 0);
	atomic_inc(&s->got);
	permit_put(s, imm);
	percpu_ref_put(&s->inflight);
}

static void reg_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct session *s = container_of(wc->wr_cqe, struct session, reg_cqe);

	WARN_ON(cq->cq_context != &s->pair.server);
	if (wc->status != IB_WC_SUCCESS)
		s->err = -EIO;
	complete(&s->registered);
}

static int register_chunks(struct session *s)
{
	struct ulp_end *e = &s->pair.server;
	struct scatterlist sg[CHUNKS];
	struct ib_reg_wr wr = { .wr = { .opcode = IB_WR_REG_MR, .send_flags = IB_SEND_SIGNALED } };
	u32 i;
	int ret;

	sg_init_table(sg, CHUNKS);
	for (i = 0; i < CHUNKS; i++) {
		sg_set_buf(&sg[i], s->chunk[i], CHUNK);
		sg_dma_address(&sg[i]) = s->chunk_dma[i];
		sg_dma_len(&sg[i]) = CHUNK;
	}
	s->mr = ib_alloc_mr(e->pd, IB_MR_TYPE_MEM_REG, CHUNKS);
	if (IS_ERR(s->mr))
		return PTR_ERR(s->mr);
	ret = ib_map_mr_sg(s->mr, sg, CHUNKS, NULL, CHUNK);
	if (ret != (int)CHUNKS)
		return ret < 0 ? ret : -EINVAL;
	ib_update_fast_reg_key(s->mr, ib_inc_rkey(s->mr->rkey));
	wr.wr.wr_cqe = &s->reg_cqe;
	wr.mr = s->mr;
	wr.key = s->mr->rkey;
	wr.access = IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE;
	ret = ib_post_send(e->qp, &wr.wr, NULL);
	if (!ret)
		wait_for_completion(&s->registered);
	return ret ? ret : s->err;
}

/* --- the client --- */

struct request {
	struct ib_cqe cqe;
	struct session *session;
};

static void write_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct request *r = container_of(wc->wr_cqe, struct request, cqe);
	struct session *s = r->session;

	WARN_ON(cq != s->pair.client.cq);
	if (wc->status != IB_WC_SUCCESS)
		s->err = -EIO;
	mempool_free(r, s->requests);
	percpu_ref_put(&s->inflight);
}

static int write_request(struct session *s, u32 n)
{
	struct ulp_end *e = &s->pair.client;
	int permit = permit_wait(s);
	u32 i, len = 4 + 4 * (n * 37 % 1000), *to = (u32 *)(s->out + permit * CHUNK);
	struct ib_sge sge = { .addr = s->out_dma + permit * CHUNK, .length = len, .lkey = e->pd->local_dma_lkey };
	struct request *r = mempool_alloc(s->requests, GFP_KERNEL);
	struct ib_rdma_wr wr = {
		.wr = { .wr_cqe = &r->cqe,
			.sg_list = &sge,
			.num_sge = 1,
			.opcode = IB_WR_RDMA_WRITE_WITH_IMM,
			.send_flags = IB_SEND_SIGNALED,
			.ex.imm_data = cpu_to_be32(permit) },
		.remote_addr = s->mr->iova + permit * CHUNK,
		.rkey = s->mr->rkey,
	};

	r->cqe.done = write_done;
	r->session = s;
	for (i = 0; i < len / sizeof(u32); i++)
		to[i] = n;
	ib_dma_sync_single_for_device(e->dev, sge.addr, len, DMA_TO_DEVICE);
	if (!percpu_ref_tryget_live(&s->inflight))
		return -ECONNRESET;
	percpu_ref_get(&s->inflight); /* of the arrival */
	return ib_post_send(e->qp, &wr.wr, NULL);
}

static int traffic(struct session *s)
{
	u32 i;
	int ret = 0;

	for (i = 0; i < ULP_DEPTH && !ret; i++) {
		s->recv_cqe[i].done = recv_done;
		ret = ulp_post_recv(&s->pair.server, &s->recv_cqe[i], 0, 0);
	}
	if (!ret)
		ret = register_chunks(s);
	if (!ret && !change_state(s, CONNECTING, CONNECTED))
		ret = -EINVAL;
	for (i = 0; i < REQUESTS && !ret; i++)
		ret = write_request(s, i);
	if (!change_state(s, CONNECTED, CLOSING) || change_state(s, CONNECTED, CLOSING))
		ret = ret ? ret : -EPROTO;
	percpu_ref_kill(&s->inflight);
	if (ret)
		return ret;
	wait_for_completion(&s->none_left);
	wait_event_interruptible(s->state_wq, s->state == CLOSING);
	return s->err ? s->err : atomic_read(&s->got) == REQUESTS ? 0 : -EPROTO;
}

static int map_all(struct session *s)
{
	u32 i;

	for (i = 0; i < CHUNKS; i++) {
		s->chunk_dma[i] = ib_dma_map_single(s->pair.server.dev, s->chunk[i], CHUNK, DMA_FROM_DEVICE);
		if (ib_dma_mapping_error(s->pair.server.dev, s->chunk_dma[i]))
			return -ENOMEM;
	}
	s->out_dma = ib_dma_map_single(s->pair.client.dev, s->out, CHUNKS * CHUNK, DMA_TO_DEVICE);
	return ib_dma_mapping_error(s->pair.client.dev, s->out_dma);
}

static void unmap_all(struct session *s)
{
	u32 i;

	for (i = 0; i < CHUNKS; i++)
		ib_dma_unmap_single(s->pair.server.dev, s->chunk_dma[i], CHUNK, DMA_FROM_DEVICE);
	ib_dma_unmap_single(s->pair.client.dev, s->out_dma, CHUNKS * CHUNK, DMA_TO_DEVICE);
}

static int session_run(struct session *s)
{
	int ret = ulp_connect(&s->pair, 0);

	if (ret)
		return ret;
	ret = map_all(s);
	if (!ret)
		ret = traffic(s);
	ib_drain_qp(s->pair.client.qp);
	ib_drain_qp(s->pair.server.qp);
	if (!IS_ERR_OR_NULL(s->mr))
		ib_dereg_mr(s->mr);
	unmap_all(s);
	ulp_disconnect(&s->pair);
	return ret;
}

static struct session *session_new(void)
{
	struct session *s = kzalloc(sizeof(*s), GFP_KERNEL);
	u32 i;

	if (!s)
		return NULL;
	uuid_gen(&s->uuid);
	init_waitqueue_head(&s->state_wq);
	init_waitqueue_head(&s->permits_wait);
	init_completion(&s->none_left);
	init_completion(&s->registered);
	s->reg_cqe.done = reg_done;
	s->requests = mempool_create_kmalloc_pool(CHUNKS, sizeof(struct request));
	s->out = kvzalloc(array_size(CHUNKS, CHUNK), GFP_KERNEL);
	for (i = 0; i < CHUNKS; i++)
		s->chunk[i] = (void *)__get_free_page(GFP_KERNEL);
	return s;
}

static void session_free(struct session *s)
{
	u32 i;

	for (i = 0; i < CHUNKS; i++)
		free_page((unsigned long)s->chunk[i]);
	kvfree(s->out);
	mempool_destroy(s->requests);
	percpu_ref_exit(&s->inflight);
	kfree(s);
}

int ulp_rtrs(void)
{
	struct session *s = session_new(), *found;
	unsigned long index;
	int ret, queue, cpu = -1;

	if (!s || percpu_ref_init(&s->inflight, inflight_release, 0, GFP_KERNEL))
		return -ENOMEM;
	ret = xa_alloc(&sessions, &s->id, s, xa_limit_31b, GFP_KERNEL);
	queue = ida_alloc(&queue_ids, GFP_KERNEL);
	if (ret || queue < 0)
		return -ENOMEM;
	cpu = cpumask_next(cpu, &affinity);
	if (cpu >= (int)nr_cpu_ids)
		cpu = cpumask_first(&affinity);
	if (cpumask_weight(&affinity) != num_online_cpus() || cpu != 0)
		ret = -EINVAL;
	xa_for_each(&sessions, index, found) if (index != found->id || uuid_is_null(&found->uuid)) ret = -EINVAL;
	if (!ret)
		ret = session_run(s);
	ida_free(&queue_ids, queue);
	xa_erase(&sessions, s->id);
	if (!xa_empty(&sessions))
		ret = -EINVAL;
	session_free(s);
	return ret;
}
