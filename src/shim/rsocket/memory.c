/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a connected socket is made of: its queue pair with one completion queue, the memory that the peer writes, the send buffer.
 * What the peer said of its own is checked here.
 */
#include "rsocket.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static size_t table_bytes(uint32_t iomaps)
{
	return (size_t)iomaps * sizeof(struct rs_iomap);
}

static void *get_pages(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int make_memory(struct rsock *rs)
{
	rs->ring_bytes = (uint32_t)rs->opt.rcvbuf;
	rs->in_bytes = RS_SHARED_BYTES + table_bytes((uint32_t)rs->opt.iomaps) + rs->ring_bytes;
	rs->out_bytes = (uint32_t)rs->opt.sndbuf;
	rs->in = get_pages(rs->in_bytes);
	rs->out = get_pages(rs->out_bytes);
	if (!rs->in || !rs->out)
		return ENOMEM;
	rs->ring = rs->in + rs->in_bytes - rs->ring_bytes;
	rs->in_mr = ibv_reg_mr(rs->id->pd, rs->in, rs->in_bytes, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	rs->out_mr = rs->in_mr ? ibv_reg_mr(rs->id->pd, rs->out, rs->out_bytes, 0) : NULL;
	return rs->out_mr ? 0 : errno;
}

static int make_queues(struct rsock *rs)
{
	struct ibv_qp_init_attr at = { .qp_type = IBV_QPT_RC };

	rs->receives = rs->opt.rqsize;
	rs->requests = rs->opt.sqsize;
	rs->inline_bytes = rs->opt.inline_bytes;
	rs->comp = ibv_create_comp_channel(rs->id->verbs);
	if (!rs->comp || fcntl(rs->comp->fd, F_SETFL, O_NONBLOCK))
		return errno;
	rs->cq = ibv_create_cq(rs->id->verbs, rs->receives + rs->requests + 2 * RS_CONTROL, NULL, rs->comp, 0);
	if (!rs->cq)
		return errno;
	at.send_cq = at.recv_cq = rs->cq;
	at.cap = (struct ibv_qp_cap){
		.max_send_wr = (uint32_t)(rs->requests + RS_CONTROL),
		.max_recv_wr = (uint32_t)(rs->receives + RS_CONTROL),
		.max_send_sge = 1,
		.max_recv_sge = 1,
		.max_inline_data = (uint32_t)RS_MAX(rs->inline_bytes, (int)sizeof(struct rs_iomap)),
	};
	return rdma_create_qp(rs->id, rs->id->pd, &at) ? errno : 0;
}

static int post_receives(struct rsock *rs)
{
	struct ibv_recv_wr wr = { .wr_id = 0 }, *bad;
	int i, err = 0;

	for (i = 0; i < rs->receives + RS_CONTROL && !err; i++)
		err = ibv_post_recv(rs->id->qp, &wr, &bad);
	return err;
}

int rs_open(struct rsock *rs)
{
	int err = make_memory(rs);

	if (!err)
		err = make_queues(rs);
	if (!err)
		err = post_receives(rs);
	if (err)
		rs_shut(rs);
	return err;
}

void rs_shut(struct rsock *rs)
{
	struct rs_mapping *m;

	if (rs->id && rs->id->qp)
		rdma_destroy_qp(rs->id);
	if (rs->cq)
		ibv_destroy_cq(rs->cq);
	if (rs->comp)
		ibv_destroy_comp_channel(rs->comp);
	while ((m = rs->mappings)) {
		rs->mappings = m->next;
		ibv_dereg_mr(m->mr);
		free(m);
	}
	if (rs->in_mr)
		ibv_dereg_mr(rs->in_mr);
	if (rs->out_mr)
		ibv_dereg_mr(rs->out_mr);
	if (rs->in)
		munmap(rs->in, rs->in_bytes);
	if (rs->out)
		munmap(rs->out, rs->out_bytes);
	rs->cq = NULL;
	rs->comp = NULL;
	rs->in_mr = rs->out_mr = NULL;
	rs->in = rs->out = rs->ring = NULL;
	rs->armed = false;
}

struct rs_hello rs_hello(const struct rsock *rs)
{
	return (struct rs_hello){
		.version = RS_HELLO,
		.receives = (uint32_t)rs->receives,
		.addr = (uintptr_t)rs->in,
		.key = rs->in_mr->rkey,
		.iomaps = (uint32_t)rs->opt.iomaps,
		.ring = rs->ring_bytes,
	};
}

int rs_meet(struct rsock *rs, const struct rs_hello *peer)
{
	if (peer->version != RS_HELLO || !peer->ring || peer->ring > INT32_MAX || !peer->receives ||
	    peer->iomaps > RS_IOMAPS_MAX)
		return EPROTO;
	rs->peer = *peer;
	return 0;
}
