/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A fabric of its own in a directory of the test's, and sides: a node of it each, with an adapter whose addresses are plain
 * virtual ones, and one queue pair. Two sides of one process are as strange to each other as those of two.
 */
#ifndef SHM_FIXTURE_H
#define SHM_FIXTURE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <unistd.h>

#include <cmocka.h>

#include "transport/transport.h"
#include "wire/shm/shm.h"

#ifdef HCA_TSAN
/* A forked child of ours makes threads and means to. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}
#endif

#ifndef SIDE_BYTES
#define SIDE_BYTES (2u << 20)
#endif
#define SIDE_WR 128u
#define SIDE_CQE 1024u
#define RW (HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_REMOTE_WRITE | HCA_ACCESS_REMOTE_READ | HCA_ACCESS_REMOTE_ATOMIC)

struct side {
	struct hca_shm *shm;
	struct hca hca;
	struct hca_mem mem;
	struct hca_pd pd;
	struct hca_cq scq;
	struct hca_cq rcq;
	struct hca_mr *all;
	struct hca_qp *qp;
	u8 *ram;
	u32 events[32]; /* atomic */
	u32 handled; /* atomic */
	u32 deaths; /* atomic */
	u32 dead; /* atomic: the last of them */
	u64 dead_stamp HCA_ALIGNED(8); /* atomic: the same */
	u32 peer; /* atomic: whom its queue pair is connected to */
};

static char fabric_dir[64];

/* --- the directory --- */

static inline int fabric_make(void **state)
{
	(void)state;
	snprintf(fabric_dir, sizeof(fabric_dir), "/dev/shm/softhca-test-XXXXXX");
	return mkdtemp(fabric_dir) ? 0 : -1;
}

/* Files in it. */
static inline u32 fabric_files(void)
{
	DIR *d = opendir(fabric_dir);
	const struct dirent *e;
	u32 n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static inline bool has_file(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", fabric_dir, name);
	return !access(path, F_OK);
}

static inline int fabric_remove(void **state)
{
	char path[512];
	DIR *d = opendir(fabric_dir);
	const struct dirent *e;

	(void)state;
	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", fabric_dir, e->d_name);
		if (e->d_name[0] != '.')
			unlink(path);
	}
	if (d)
		closedir(d);
	return rmdir(fabric_dir);
}

/* --- a side --- */

static inline int mem_open(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access,
			   struct hca_mem_view *w)
{
	(void)mem;
	(void)access;
	*w = (struct hca_mem_view){ .ptr = (void *)(uintptr_t)hca_dma_u64(addr), .len = len };
	return 0;
}

static inline void mem_close(struct hca_mem *mem, struct hca_mem_view *w)
{
	(void)mem;
	(void)w;
}

static inline void *mem_place(struct hca_mem *mem, hca_dma_addr_t addr, u64 len)
{
	(void)mem;
	(void)len;
	return (void *)(uintptr_t)hca_dma_u64(addr);
}

static const struct hca_mem_ops mem_ops = { .open = mem_open, .close = mem_close, .place = mem_place };

static inline void on_event(struct hca *hca, enum hca_event_type type, void *object)
{
	struct side *s = hca_container_of(hca, struct side, hca);

	(void)object;
	hca_fetch_add(&s->events[type], 1u);
}

static inline void on_completion(struct hca_cq *cq)
{
	struct side *s = hca_container_of(cq->hca, struct side, hca);

	hca_fetch_add(&s->handled, 1u);
}

static inline void on_death(void *ctx, u32 node, u64 stamp)
{
	struct side *s = ctx;

	hca_store(&s->dead, node);
	hca_store(&s->dead_stamp, stamp);
	hca_fetch_add(&s->deaths, 1u);
	/* As a face does. */
	if (hca_load(&s->peer) == node)
		hca_qp_to_error(s->qp, HCA_EVENT_QP_FATAL);
}

static inline int side_open_as(struct side *s, const struct hca_shm_config *base)
{
	struct hca_mr_attr all = { .kind = HCA_MR_LINEAR, .access = RW, .length = SIDE_BYTES };
	struct hca_shm_config cfg = *base;
	int err;

	memset(s, 0, sizeof(*s));
	cfg.dir = fabric_dir;
	cfg.died = on_death;
	cfg.ctx = s;
	err = hca_shm_open(&s->shm, &cfg);
	if (err)
		return err;
	s->mem.ops = &mem_ops;
	err = hca_open(&s->hca, hca_shm_wire(s->shm), hca_shm_eq(s->shm), &s->mem,
		       &(const struct hca_attr){ .max_qp = 64, .max_keys = 64 });
	if (err)
		return err;
	s->hca.event = on_event;
	s->ram = aligned_alloc(4096, SIDE_BYTES);
	memset(s->ram, 0, SIDE_BYTES);
	all.iova = all.base = (uintptr_t)s->ram;
	hca_pd_init(&s->pd, &s->hca);
	err = hca_cq_init(&s->scq, &s->hca, SIDE_CQE, on_completion);
	if (!err)
		err = hca_cq_init(&s->rcq, &s->hca, SIDE_CQE, on_completion);
	if (!err)
		err = hca_mr_create(&s->pd, &all, &s->all);
	return err;
}

static inline int side_open(struct side *s)
{
	return side_open_as(s, &(const struct hca_shm_config){ .lids = true });
}

static inline int side_qp(struct side *s, enum hca_qp_type type)
{
	struct hca_qp_init init = {
		.type = type,
		.pd = &s->pd,
		.send_cq = &s->scq,
		.recv_cq = &s->rcq,
		.max_send_wr = SIDE_WR,
		.max_recv_wr = SIDE_WR,
		.max_send_sge = 3,
		.max_recv_sge = 3,
		.max_inline = 64,
		.sq_sig_all = true,
	};

	return hca_qp_create(&s->hca, &init, &s->qp);
}

/* What the other side must know. */
struct side_name {
	u32 node;
	u32 qpn;
	u32 rkey;
	u64 addr;
};

static inline struct side_name side_name(const struct side *s)
{
	return (struct side_name){ hca_shm_number(s->shm), s->qp->qpn, s->all->key, (uintptr_t)s->ram };
}

static inline int side_modify(struct hca_qp *qp, struct hca_qp_attr *at, enum hca_qp_state to, u32 mask)
{
	at->qp_state = to;
	return hca_qp_modify(qp, at, mask | HCA_QP_STATE);
}

/* @timeout: code of the ACK timeout. Return: 0, or an error of hca_qp_modify() */
static inline int side_connect_as(struct side *s, const struct side_name *peer, u8 timeout, u8 retry, u8 rnr_retry)
{
	struct hca_qp_attr at = {
		.path_mtu = HCA_MTU_4096,
		.qkey = 0x11,
		.dest_qp_num = peer->qpn,
		.qp_access_flags = HCA_ACCESS_REMOTE_WRITE | HCA_ACCESS_REMOTE_READ | HCA_ACCESS_REMOTE_ATOMIC,
		.ah = { .dlid = (u16)peer->node, .port_num = 1 },
		.port_num = 1,
		.max_rd_atomic = 4,
		.max_dest_rd_atomic = 4,
		.min_rnr_timer = 5,
		.timeout = timeout,
		.retry_cnt = retry,
		.rnr_retry = rnr_retry,
	};
	u32 init = HCA_QP_PKEY_INDEX | HCA_QP_PORT;
	u32 rtr = HCA_QP_AV | HCA_QP_PATH_MTU | HCA_QP_DEST_QPN | HCA_QP_RQ_PSN;
	u32 rts = HCA_QP_SQ_PSN;
	int err;

	if (!s->hca.limits.has_lids) {
		at.ah.is_global = true;
		at.ah.grh.dgid = *hca_gid_at(&s->hca.gids, 0);
	}
	if (s->qp->type == HCA_QPT_UD) {
		init |= HCA_QP_QKEY;
		rtr = 0;
	} else {
		init |= HCA_QP_ACCESS_FLAGS;
		hca_store(&s->peer, peer->node);
		hca_shm_watch(s->shm, peer->node, NULL);
	}
	if (s->qp->type == HCA_QPT_RC) {
		rtr |= HCA_QP_MAX_DEST_RD_ATOMIC | HCA_QP_MIN_RNR_TIMER;
		rts |= HCA_QP_TIMEOUT | HCA_QP_RETRY_CNT | HCA_QP_RNR_RETRY | HCA_QP_MAX_QP_RD_ATOMIC;
	}
	err = side_modify(s->qp, &at, HCA_QPS_INIT, init);
	if (!err)
		err = side_modify(s->qp, &at, HCA_QPS_RTR, rtr);
	return err ? err : side_modify(s->qp, &at, HCA_QPS_RTS, rts);
}

static inline int side_connect(struct side *s, const struct side_name *peer)
{
	return side_connect_as(s, peer, 18, 7, 7);
}

static inline void side_close(struct side *s)
{
	hca_store(&s->peer, 0u);
	if (s->qp)
		hca_qp_destroy(s->qp);
	s->qp = NULL;
	assert_int_equal(hca_mr_destroy(s->all), 0);
	assert_int_equal(hca_cq_fini(&s->rcq), 0);
	assert_int_equal(hca_cq_fini(&s->scq), 0);
	assert_int_equal(hca_close(&s->hca), 0);
	hca_shm_close(s->shm);
	free(s->ram);
}

/* --- posting and polling --- */

static inline struct hca_sge side_sge(const struct side *s, u64 off, u32 len)
{
	return (struct hca_sge){ .addr = (uintptr_t)s->ram + off, .length = len, .lkey = s->all->key };
}

static inline int side_recv(struct side *s, u64 id, u64 off, u32 len)
{
	struct hca_sge sge = side_sge(s, off, len);
	struct hca_recv_wr wr = { .wr_id = id, .sge = &sge, .num_sge = 1 };

	return hca_post_recv(s->qp, &wr);
}

/* To @peer, at @roff of its memory. */
static inline int side_post(struct side *s, const struct side_name *peer, u64 id, enum hca_wr_opcode op, u64 off,
			    u32 len, u64 roff)
{
	struct hca_sge sge = side_sge(s, off, len);
	struct hca_send_wr wr = { .wr_id = id, .sge = &sge, .num_sge = 1, .opcode = op, .imm = 0x12345678 };

	if (s->qp->type == HCA_QPT_UD) {
		wr.ud.dlid = (u16)peer->node;
		wr.ud.qpn = peer->qpn;
		wr.ud.qkey = 0x11;
	} else if (op == HCA_WR_ATOMIC_CMP_AND_SWP || op == HCA_WR_ATOMIC_FETCH_AND_ADD) {
		wr.atomic.addr = peer->addr + roff;
		wr.atomic.rkey = peer->rkey;
		wr.atomic.compare_add = 5;
		wr.atomic.swap = 6;
	} else {
		wr.rdma.addr = peer->addr + roff;
		wr.rdma.rkey = peer->rkey;
	}
	return hca_post_send(s->qp, &wr);
}

/* One completion, however long it takes: the test's own limit is the harness's. */
static inline void side_wait(struct side *s, struct hca_cq *cq, struct hca_wc *wc)
{
	u32 turns = 0;

	while (!hca_cq_ring_poll(&cq->ring, wc, 1)) {
		if (hca_shm_poll(s->shm))
			turns = 0;
		else
			hca_relax(&turns);
	}
}

static inline void side_fill(u8 *p, u32 len, u32 seed)
{
	u32 i;

	for (i = 0; i < len; i++)
		p[i] = (u8)(seed + i * 7 + (i >> 8));
}

#endif
