/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The model of two adapters; see engine_model.h. Bytes move one at a time, keys are
 * searched for in a list: slow, and easy to read beside the specification.
 */
#include "engine_model.h"

#include <errno.h>
#include <string.h>

#define GRH 40u

static void add(struct em_cq *cq, struct hca_wc wc)
{
	cq->wc[cq->n++] = wc;
}

static const struct em_region *find(const struct em_side *s, u32 key)
{
	u32 i;

	for (i = 0; i < EM_REGIONS; i++)
		if (s->region[i].valid && s->region[i].key == key)
			return &s->region[i];
	return NULL;
}

/* IBTA 10.6.7: the key, its domain, its rights, its bounds; nothing of it for no bytes (9.7.4.1.5). */
static bool allowed(const struct em_side *s, const struct hca_sge *e, u64 len, u32 access)
{
	const struct em_region *r = find(s, e->lkey);

	if (!len)
		return true;
	return r && !r->pd && (r->access & access) == access && e->addr >= r->iova && len <= r->len &&
	       e->addr - r->iova <= r->len - len;
}

static u8 *at(struct em_side *s, const struct hca_sge *e, u64 off)
{
	const struct em_region *r = find(s, e->lkey);
	u64 in = e->addr + off - r->iova;

	return &s->ram[r->pages ? r->page[in / 4096] + in % 4096 : r->page[0] + in];
}

static u64 total(const struct hca_sge *e, u32 n)
{
	u64 sum = 0;

	while (n--)
		sum += e++->length;
	return sum;
}

static bool all_allowed(const struct em_side *s, const struct hca_sge *e, u32 n, u64 len, u32 access)
{
	for (; n; n--, e++) {
		u64 part = e->length < len ? e->length : len;

		if (!allowed(s, e, part, access))
			return false;
		len -= part;
	}
	return true;
}

static void put(struct em_side *s, const struct hca_sge *e, u32 n, const u8 *from, u64 len)
{
	u64 i;

	for (; n && len; n--, e++)
		for (i = 0; i < e->length && len; i++, len--)
			*at(s, e, i) = *from++;
}

static void get(struct em_side *s, const struct hca_send_wr *wr, u8 *to)
{
	u32 i;
	u64 j;

	for (i = 0; i < wr->num_sge; i++)
		for (j = 0; j < wr->sge[i].length; j++)
			*to++ = wr->flags & HCA_SEND_INLINE ? ((const u8 *)(uintptr_t)wr->sge[i].addr)[j] :
							      *at(s, &wr->sge[i], j);
}

void em_error(struct em_side *s, u32 q)
{
	struct em_qp *qp = &s->qp[q];
	u32 i;

	qp->state = HCA_QPS_ERR;
	for (i = 0; i < qp->recvs; i++)
		add(&s->rcq,
		    (struct hca_wc){ .wr_id = qp->recv[i].id, .status = HCA_WC_WR_FLUSH_ERR, .qp_num = qp->qpn });
	qp->recvs = 0;
}

int em_post_recv(struct em_side *s, u32 q, const struct hca_recv_wr *wr)
{
	struct em_qp *qp = &s->qp[q];
	struct em_recv *r = &qp->recv[qp->recvs];

	if (wr->num_sge > EM_SGES)
		return -EINVAL;
	if (qp->recvs == EM_RECVS)
		return -ENOMEM;
	r->id = wr->wr_id;
	r->n = wr->num_sge;
	memcpy(r->sge, wr->sge, wr->num_sge * sizeof(*wr->sge));
	qp->recvs++;
	if (qp->state == HCA_QPS_ERR)
		em_error(s, q);
	return 0;
}

static struct em_recv take(struct em_qp *qp)
{
	struct em_recv r = qp->recv[0];

	memmove(qp->recv, qp->recv + 1, --qp->recvs * sizeof(r));
	return r;
}

/* A responder that refuses tells its consumer why, and is in error if the service is reliable (IBTA 9.9.3). */
static enum hca_wc_status refuse(struct em_side *s, u32 q, enum hca_wc_status status)
{
	s->events[status == HCA_WC_REM_ACCESS_ERR ? HCA_EVENT_QP_ACCESS_ERR : HCA_EVENT_QP_REQ_ERR]++;
	em_error(s, q);
	return status;
}

static u64 piece(const struct em_qp *qp, u64 left)
{
	return qp->mtu && left > qp->mtu ? qp->mtu : left;
}

/* Entry by entry, as far as they may be written. */
static bool put_from(struct em_side *s, const struct em_recv *r, u64 off, const u8 *from, u64 len)
{
	u32 i;

	for (i = 0; i < r->n && len; i++) {
		struct hca_sge e = r->sge[i];
		u64 skip = off < e.length ? off : e.length, part;

		off -= skip;
		e.addr += skip;
		part = e.length - skip < len ? e.length - skip : len;
		if (!allowed(s, &e, part, HCA_ACCESS_LOCAL_WRITE))
			return false;
		e.length = (u32)part;
		put(s, &e, 1, from, part);
		from += part;
		len -= part;
	}
	return true;
}

/* A message for a receive request: that it's too long is known without a key (IBTA 9.7.4.1.6), and so comes first. */
static enum hca_wc_status receive(struct em_side *s, const struct em_qp *qp, const struct em_recv *r, const u8 *all,
				  u64 need)
{
	u64 grh = qp->type == HCA_QPT_UD ? GRH : 0;
	u64 at = 0, n;

	do {
		n = grh + piece(qp, need - grh - at);
		if (n > total(r->sge, r->n) - at)
			return HCA_WC_LOC_LEN_ERR;
		if (!qp->mtu && !all_allowed(s, r->sge, r->n, need, HCA_ACCESS_LOCAL_WRITE))
			return HCA_WC_LOC_PROT_ERR;
		if (!put_from(s, r, at, all + at, grh) || !put_from(s, r, at + grh, all + at + grh, n - grh))
			return HCA_WC_LOC_PROT_ERR;
		at += n;
		grh = 0;
	} while (at < need);
	return HCA_WC_SUCCESS;
}

static enum hca_wc_status arrive_send(struct em_side *s, u32 q, const struct hca_send_wr *wr, u32 src, const u8 *data,
				      u64 len)
{
	struct em_qp *qp = &s->qp[q];
	bool ud = qp->type == HCA_QPT_UD;
	u64 grh = ud ? GRH : 0;
	u8 all[EM_BYTES] = { 0 };
	struct hca_wc wc = { .qp_num = qp->qpn, .opcode = HCA_WC_RECV, .byte_len = (u32)(len + grh), .src_qp = src };
	struct em_recv r;

	if (!qp->recvs)
		return HCA_WC_RNR_RETRY_EXC_ERR;
	r = take(qp);
	wc.wr_id = r.id;
	if (wr->opcode == HCA_WR_SEND_WITH_IMM) {
		wc.imm = wr->imm;
		wc.wc_flags = HCA_WC_WITH_IMM;
	}
	memcpy(all + grh, data, len);
	wc.status = receive(s, qp, &r, all, len + grh);
	add(&s->rcq, wc);
	if (wc.status && !ud)
		em_error(s, q);
	return !wc.status			 ? HCA_WC_SUCCESS :
	       wc.status == HCA_WC_LOC_LEN_ERR ? HCA_WC_REM_INV_REQ_ERR :
						   HCA_WC_REM_OP_ERR;
}

static enum hca_wc_status arrive_write(struct em_side *s, u32 q, const struct hca_send_wr *wr, u32 src, const u8 *data,
				       u64 len)
{
	struct em_qp *qp = &s->qp[q];
	struct hca_sge to = { .addr = wr->rdma.addr, .length = (u32)len, .lkey = wr->rdma.rkey };
	struct hca_wc wc = { .opcode = HCA_WC_RECV_RDMA_WITH_IMM,
			     .byte_len = (u32)len,
			     .imm = wr->imm,
			     .wc_flags = HCA_WC_WITH_IMM,
			     .src_qp = src,
			     .qp_num = qp->qpn };
	bool imm = wr->opcode == HCA_WR_RDMA_WRITE_WITH_IMM;
	bool right = allowed(s, &to, len, HCA_ACCESS_REMOTE_WRITE);
	u64 first = qp->mtu && len > qp->mtu ? (len - 1) / qp->mtu * qp->mtu : 0;

	if (!right && qp->type != HCA_QPT_RC)
		return HCA_WC_REM_ACCESS_ERR;
	/*
	 * What comes before the last piece needs no receive request, and that there is one is asked before the key (IBTA
	 * 9.7.4.1.4): so it's the length that decides which of the two is missed first.
	 */
	if (first && !right)
		return refuse(s, q, HCA_WC_REM_ACCESS_ERR);
	put(s, &to, 1, data, first);
	if (imm && !qp->recvs)
		return HCA_WC_RNR_RETRY_EXC_ERR;
	if (!right) {
		/* What the consumer of a receive request is told then has a name of its own (IBTA 11.6.2). */
		if (imm) {
			wc.wr_id = take(qp).id;
			wc.status = HCA_WC_LOC_ACCESS_ERR;
			add(&s->rcq, wc);
		}
		return refuse(s, q, HCA_WC_REM_ACCESS_ERR);
	}
	put(s, &to, 1, data, len);
	if (imm) {
		wc.wr_id = take(qp).id;
		add(&s->rcq, wc);
	}
	return HCA_WC_SUCCESS;
}

static enum hca_wc_status arrive_read(struct em_side *s, u32 q, const struct hca_send_wr *wr, struct em_side *from,
				      u64 len)
{
	struct hca_sge src = { .addr = wr->rdma.addr, .length = (u32)len, .lkey = wr->rdma.rkey };
	u8 data[EM_BYTES];
	u64 i;

	if (!allowed(s, &src, len, HCA_ACCESS_REMOTE_READ))
		return refuse(s, q, HCA_WC_REM_ACCESS_ERR);
	for (i = 0; i < len; i++)
		data[i] = *at(s, &src, i);
	put(from, wr->sge, wr->num_sge, data, len);
	return HCA_WC_SUCCESS;
}

static enum hca_wc_status arrive_atomic(struct em_side *s, u32 q, const struct hca_send_wr *wr, struct em_side *from)
{
	struct hca_sge to = { .addr = wr->atomic.addr, .length = 8, .lkey = wr->atomic.rkey };
	u64 old, now;

	if (wr->atomic.addr & 7)
		return refuse(s, q, HCA_WC_REM_INV_REQ_ERR);
	if (!allowed(s, &to, 8, HCA_ACCESS_REMOTE_ATOMIC))
		return refuse(s, q, HCA_WC_REM_ACCESS_ERR);
	memcpy(&old, at(s, &to, 0), 8);
	now = wr->opcode == HCA_WR_ATOMIC_FETCH_AND_ADD ? old + wr->atomic.compare_add :
	      old == wr->atomic.compare_add		? wr->atomic.swap :
							  old;
	memcpy(at(s, &to, 0), &now, 8);
	put(from, wr->sge, wr->num_sge, (const u8 *)&old, 8);
	return HCA_WC_SUCCESS;
}

static enum hca_wc_status arrive(struct em_side *s, struct em_side *peer, u32 q, const struct hca_send_wr *wr, u64 len)
{
	struct em_qp *to = &peer->qp[q];
	u32 src = s->qp[q].qpn;
	u8 data[EM_BYTES];

	if (to->state == HCA_QPS_ERR)
		return HCA_WC_RETRY_EXC_ERR;
	if (to->type == HCA_QPT_UD && (wr->ud.qpn != to->qpn || wr->ud.qkey != EM_QKEY))
		return HCA_WC_SUCCESS;
	switch (wr->opcode) {
	case HCA_WR_SEND:
	case HCA_WR_SEND_WITH_IMM:
		get(s, wr, data);
		return arrive_send(peer, q, wr, src, data, len);
	case HCA_WR_RDMA_READ:
		return arrive_read(peer, q, wr, s, len);
	case HCA_WR_ATOMIC_CMP_AND_SWP:
	case HCA_WR_ATOMIC_FETCH_AND_ADD:
		return arrive_atomic(peer, q, wr, s);
	default:
		get(s, wr, data);
		return arrive_write(peer, q, wr, src, data, len);
	}
}

static bool fetches(enum hca_wr_opcode op)
{
	return op == HCA_WR_RDMA_READ || op == HCA_WR_ATOMIC_CMP_AND_SWP || op == HCA_WR_ATOMIC_FETCH_AND_ADD;
}

static enum hca_wc_opcode told_as(enum hca_wr_opcode op)
{
	return op == HCA_WR_RDMA_READ			       ? HCA_WC_RDMA_READ :
	       op == HCA_WR_ATOMIC_CMP_AND_SWP		       ? HCA_WC_COMP_SWAP :
	       op == HCA_WR_ATOMIC_FETCH_AND_ADD	       ? HCA_WC_FETCH_ADD :
	       op == HCA_WR_SEND || op == HCA_WR_SEND_WITH_IMM ? HCA_WC_SEND :
								 HCA_WC_RDMA_WRITE;
}

int em_post_send(struct em_side *s, struct em_side *peer, u32 q, const struct hca_send_wr *wr)
{
	struct em_qp *qp = &s->qp[q];
	u64 len = total(wr->sge, wr->num_sge);
	bool back = fetches(wr->opcode), in = wr->flags & HCA_SEND_INLINE;
	struct hca_wc wc = { .wr_id = wr->wr_id, .qp_num = qp->qpn, .opcode = told_as(wr->opcode) };
	bool sends = wr->opcode == HCA_WR_SEND || wr->opcode == HCA_WR_SEND_WITH_IMM;

	if (wr->num_sge > EM_SGES || (qp->type == HCA_QPT_UD && !sends) || (qp->type == HCA_QPT_UC && back) ||
	    (in && (back || len > EM_INLINE)))
		return -EINVAL;
	if (qp->state != HCA_QPS_RTS)
		wc.status = HCA_WC_WR_FLUSH_ERR;
	else if ((qp->type == HCA_QPT_UD && len > 4096) || (back && wr->opcode != HCA_WR_RDMA_READ && len != 8))
		wc.status = HCA_WC_LOC_LEN_ERR;
	else if (!in && !all_allowed(s, wr->sge, wr->num_sge, len, back ? HCA_ACCESS_LOCAL_WRITE : 0))
		wc.status = HCA_WC_LOC_PROT_ERR;
	else
		wc.status = arrive(s, peer, q, wr, len);
	/* Nobody answers but on a reliable service; a requester's own errors are known at once. */
	if (qp->type != HCA_QPT_RC && wc.status != HCA_WC_LOC_LEN_ERR && wc.status != HCA_WC_LOC_PROT_ERR &&
	    wc.status != HCA_WC_WR_FLUSH_ERR)
		wc.status = HCA_WC_SUCCESS;
	if (back)
		wc.byte_len = (u32)len;
	qp->held++;
	if (wc.status || wr->flags & HCA_SEND_SIGNALED) {
		add(&s->scq, wc);
		qp->held = 0;
	}
	if (wc.status && qp->state == HCA_QPS_RTS) {
		if (qp->type == HCA_QPT_RC)
			em_error(s, q);
		else
			qp->state = HCA_QPS_SQE;
	}
	return 0;
}
