/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ibv_wr_*() calls: requests are built one by one between wr_start and wr_complete,
 * which posts all of them, or, when one of them could not be built, none.
 */
#include "shim.h"

#include <stdlib.h>

/**
 * struct shim_build - requests that are being built
 * @lock: from wr_start to wr_complete or wr_abort
 * @err: the first thing that went wrong
 * @wr: @count of @room
 * @bytes: entries and inline data of all of them, @used of @size; a request has its offset until it is posted
 */
struct shim_build {
	pthread_mutex_t lock;
	int err;
	u32 count;
	u32 room;
	struct hca_send_wr *wr;
	u8 *bytes;
	size_t used;
	size_t size;
};

#define FIRST_ROOM 16u
#define FIRST_BYTES 1024u

static struct shim_qp *qp_of(struct ibv_qp_ex *ex)
{
	return hca_container_of(ex, struct shim_qp, ex);
}

static void fail(struct shim_build *b, int err)
{
	if (!b->err)
		b->err = err;
}

/* Room for @n bytes, as an offset that isn't 0; 0: there is none. */
static size_t take_bytes(struct shim_build *b, size_t n)
{
	size_t at = b->used, size = b->size;
	u8 *bytes;

	n = (n + 7) & ~(size_t)7;
	while (size < at + n)
		size *= 2;
	if (size != b->size) {
		bytes = realloc(b->bytes, size);
		if (!bytes) {
			fail(b, ENOMEM);
			return 0;
		}
		b->bytes = bytes;
		b->size = size;
	}
	b->used = at + n;
	return at;
}

/* The next request. There is always one to write to; what comes of it is another matter. */
static struct hca_send_wr *begin(struct ibv_qp_ex *ex, enum hca_wr_opcode opcode)
{
	struct shim_build *b = qp_of(ex)->build;
	struct hca_send_wr *wr;

	if (b->count == b->room) {
		wr = realloc(b->wr, 2 * b->room * sizeof(*wr));
		if (wr) {
			b->wr = wr;
			b->room *= 2;
		} else {
			fail(b, ENOMEM);
			b->count--;
		}
	}
	wr = &b->wr[b->count++];
	*wr = (struct hca_send_wr){ .wr_id = ex->wr_id, .opcode = opcode, .flags = ex->wr_flags };
	return wr;
}

static struct hca_send_wr *last(struct shim_build *b)
{
	return &b->wr[b->count ? b->count - 1 : 0];
}

/* --- requests --- */

static struct hca_send_wr *begin_rdma(struct ibv_qp_ex *ex, enum hca_wr_opcode opcode, u32 rkey, u64 addr)
{
	struct hca_send_wr *wr = begin(ex, opcode);

	wr->rdma.addr = addr;
	wr->rdma.rkey = rkey;
	return wr;
}

static void wr_rdma_write(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr)
{
	begin_rdma(ex, HCA_WR_RDMA_WRITE, rkey, addr);
}

static void wr_rdma_write_imm(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr, __be32 imm)
{
	begin_rdma(ex, HCA_WR_RDMA_WRITE_WITH_IMM, rkey, addr)->imm = (HCA_FORCE u32)imm;
}

static void wr_rdma_read(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr)
{
	begin_rdma(ex, HCA_WR_RDMA_READ, rkey, addr);
}

static void wr_atomic_cmp_swp(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr, uint64_t compare, uint64_t swap)
{
	struct hca_send_wr *wr = begin(ex, HCA_WR_ATOMIC_CMP_AND_SWP);

	wr->atomic.addr = addr;
	wr->atomic.rkey = rkey;
	wr->atomic.compare_add = compare;
	wr->atomic.swap = swap;
}

static void wr_atomic_fetch_add(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr, uint64_t add)
{
	struct hca_send_wr *wr = begin(ex, HCA_WR_ATOMIC_FETCH_AND_ADD);

	wr->atomic.addr = addr;
	wr->atomic.rkey = rkey;
	wr->atomic.compare_add = add;
}

static void wr_send(struct ibv_qp_ex *ex)
{
	begin(ex, HCA_WR_SEND);
}

static void wr_send_imm(struct ibv_qp_ex *ex, __be32 imm)
{
	begin(ex, HCA_WR_SEND_WITH_IMM)->imm = (HCA_FORCE u32)imm;
}

static void wr_send_inv(struct ibv_qp_ex *ex, uint32_t rkey)
{
	begin(ex, HCA_WR_SEND_WITH_INV)->imm = rkey;
}

static void wr_local_inv(struct ibv_qp_ex *ex, uint32_t rkey)
{
	begin(ex, HCA_WR_LOCAL_INV)->imm = rkey;
}

static void wr_bind_mw(struct ibv_qp_ex *ex, struct ibv_mw *mw, uint32_t rkey, const struct ibv_mw_bind_info *info)
{
	struct hca_send_wr *wr = begin(ex, HCA_WR_BIND_MW);

	if (!mw || shim_mw(mw)->type != IBV_MW_TYPE_2 || shim_fill_bind(qp_of(ex), mw, rkey, info, wr))
		fail(qp_of(ex)->build, EINVAL);
}

/* A queue pair is only made with supported operations; a call of another one fails. */
static void wr_send_tso(struct ibv_qp_ex *ex, void *hdr, uint16_t hdr_sz, uint16_t mss)
{
	(void)hdr;
	(void)hdr_sz;
	(void)mss;
	fail(qp_of(ex)->build, EOPNOTSUPP);
}

static void wr_atomic_write(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr, const void *value)
{
	(void)rkey;
	(void)addr;
	(void)value;
	fail(qp_of(ex)->build, EOPNOTSUPP);
}

/* --- what they carry --- */

static void wr_set_xrc_srqn(struct ibv_qp_ex *ex, uint32_t srqn)
{
	struct shim_qp *q = qp_of(ex);

	if (q->type != IBV_QPT_XRC_SEND)
		fail(q->build, EINVAL);
	last(q->build)->srqn = srqn;
}

static void wr_set_ud_addr(struct ibv_qp_ex *ex, struct ibv_ah *ah, uint32_t qpn, uint32_t qkey)
{
	struct shim_qp *q = qp_of(ex);

	if (shim_fill_ud(q, ah, qpn, qkey, last(q->build)))
		fail(q->build, EINVAL);
}

/* Until they are posted, requests have an offset in place of the pointer: the bytes may move. */
static void set_entries(struct shim_build *b, const struct ibv_sge *list, size_t n)
{
	struct hca_send_wr *wr = last(b);
	size_t at = take_bytes(b, n * sizeof(*list));

	if (!at)
		return;
	memcpy(b->bytes + at, list, n * sizeof(*list));
	wr->sge = (const struct hca_sge *)(uintptr_t)at;
	wr->num_sge = (u32)n;
}

static void wr_set_sge_list(struct ibv_qp_ex *ex, size_t n, const struct ibv_sge *list)
{
	struct shim_qp *q = qp_of(ex);

	if (n > q->qp->max_send_sge)
		fail(q->build, EINVAL);
	else if (n)
		set_entries(q->build, list, n);
}

static void wr_set_sge(struct ibv_qp_ex *ex, uint32_t lkey, uint64_t addr, uint32_t length)
{
	const struct ibv_sge sge = { .addr = addr, .length = length, .lkey = lkey };

	/* An entry of no bytes is none, for its length could stand for 2^31. */
	wr_set_sge_list(ex, length ? 1 : 0, &sge);
}

/* Inline bytes are behind one entry, whose address is an offset as well. */
static void wr_set_inline_data_list(struct ibv_qp_ex *ex, size_t n, const struct ibv_data_buf *list)
{
	struct shim_qp *q = qp_of(ex);
	struct shim_build *b = q->build;
	struct hca_send_wr *wr = last(b);
	size_t i, at, len = 0;
	struct ibv_sge sge;

	wr->flags |= HCA_SEND_INLINE;
	for (i = 0; i < n && len <= q->qp->max_inline; i++)
		len += HCA_MIN(list[i].length, (size_t)q->qp->max_inline + 1);
	if (len > q->qp->max_inline) {
		fail(b, EINVAL);
		return;
	}
	if (!len)
		return;
	at = take_bytes(b, len);
	if (!at)
		return;
	sge = (struct ibv_sge){ .addr = at, .length = (u32)len };
	for (i = 0; i < n; at += list[i].length, i++)
		if (list[i].length)
			memcpy(b->bytes + at, list[i].addr, list[i].length);
	set_entries(b, &sge, 1);
}

static void wr_set_inline_data(struct ibv_qp_ex *ex, void *addr, size_t length)
{
	const struct ibv_data_buf buf = { .addr = addr, .length = length };

	wr_set_inline_data_list(ex, 1, &buf);
}

/* --- all of them --- */

static void wr_start(struct ibv_qp_ex *ex)
{
	struct shim_build *b = qp_of(ex)->build;

	pthread_mutex_lock(&b->lock);
	b->err = 0;
	b->count = 0;
	b->used = 8; /* 0 stands for nothing */
}

static void wr_abort(struct ibv_qp_ex *ex)
{
	pthread_mutex_unlock(&qp_of(ex)->build->lock);
}

/* Its offsets become pointers. */
static void settle(const struct shim_build *b, struct hca_send_wr *wr)
{
	struct hca_sge *sge;

	if (!wr->sge)
		return;
	sge = (struct hca_sge *)(void *)(b->bytes + (uintptr_t)wr->sge);
	wr->sge = sge;
	if (wr->flags & HCA_SEND_INLINE)
		sge->addr = (uintptr_t)(b->bytes + sge->addr);
}

/* All of them or none, whatever else is posted at the same time. Return: 0 or an errno. */
static int post_all(const struct shim_qp *q, const struct shim_build *b)
{
	u32 i;

	for (i = 0; i < b->count; i++)
		settle(b, &b->wr[i]);
	if (hca_likely(b->count == 1))
		return -hca_post_send(q->qp, b->wr);
	return b->count ? -hca_post_sends(q->qp, b->wr, b->count) : 0;
}

static int wr_complete(struct ibv_qp_ex *ex)
{
	struct shim_qp *q = qp_of(ex);
	struct shim_build *b = q->build;
	int err = b->err;

	if (!err)
		err = shim_is(&q->obj, SHIM_QP) ? post_all(q, b) : EINVAL;
	pthread_mutex_unlock(&b->lock);
	return err && err != ENOMEM ? shim_why(err, SHIM_LOG_QP, "ibv_wr_complete: queue pair 0x%x", q->qp->qpn) : err;
}

/* --- life --- */

/* Which operations each type has: IBV_QP_EX_WITH_* */
static u64 operations(enum ibv_qp_type type)
{
	const u64 sends = IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM;
	const u64 unreliable = sends | IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM |
			       IBV_QP_EX_WITH_LOCAL_INV | IBV_QP_EX_WITH_BIND_MW;

	if (type == IBV_QPT_UD)
		return sends;
	if (type == IBV_QPT_UC)
		return unreliable;
	/* A target of XRC has no send queue, so no window is bound to it that its peer could invalidate. */
	return unreliable | (type == IBV_QPT_RC ? IBV_QP_EX_WITH_SEND_WITH_INV : 0) | IBV_QP_EX_WITH_RDMA_READ |
	       IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP | IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD;
}

static void set_calls(struct ibv_qp_ex *ex)
{
	ex->wr_atomic_cmp_swp = wr_atomic_cmp_swp;
	ex->wr_atomic_fetch_add = wr_atomic_fetch_add;
	ex->wr_atomic_write = wr_atomic_write;
	ex->wr_bind_mw = wr_bind_mw;
	ex->wr_local_inv = wr_local_inv;
	ex->wr_rdma_read = wr_rdma_read;
	ex->wr_rdma_write = wr_rdma_write;
	ex->wr_rdma_write_imm = wr_rdma_write_imm;
	ex->wr_send = wr_send;
	ex->wr_send_imm = wr_send_imm;
	ex->wr_send_inv = wr_send_inv;
	ex->wr_send_tso = wr_send_tso;
	ex->wr_set_ud_addr = wr_set_ud_addr;
	ex->wr_set_xrc_srqn = wr_set_xrc_srqn;
	ex->wr_set_inline_data = wr_set_inline_data;
	ex->wr_set_inline_data_list = wr_set_inline_data_list;
	ex->wr_set_sge = wr_set_sge;
	ex->wr_set_sge_list = wr_set_sge_list;
	ex->wr_start = wr_start;
	ex->wr_complete = wr_complete;
	ex->wr_abort = wr_abort;
}

int shim_build_init(struct shim_qp *q, u64 ops)
{
	struct shim_build *b;

	if (ops & ~operations((enum ibv_qp_type)q->qp->type))
		return EOPNOTSUPP;
	b = calloc(1, sizeof(*b));
	if (!b)
		return ENOMEM;
	b->room = FIRST_ROOM;
	b->size = FIRST_BYTES;
	b->wr = malloc(b->room * sizeof(*b->wr));
	b->bytes = malloc(b->size);
	if (!b->wr || !b->bytes) {
		free(b->wr);
		free(b->bytes);
		free(b);
		return ENOMEM;
	}
	pthread_mutex_init(&b->lock, NULL);
	q->build = b;
	set_calls(&q->ex);
	return 0;
}

void shim_build_fini(struct shim_qp *q)
{
	struct shim_build *b = q->build;

	if (!b)
		return;
	q->build = NULL;
	pthread_mutex_destroy(&b->lock);
	free(b->wr);
	free(b->bytes);
	free(b);
}
