/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The model of two adapters; see engine_model.h. Bytes move one at a time, keys are
 * searched for in a list: slow, and easy to read beside the specification.
 */
#include "engine_model.h"

#include "hca/mr.h"

#include <errno.h>
#include <string.h>

#define GRH 40u

/* The first that finds no room is the end of the queue, and of its queue pair (IBTA 10.2.6.3, 11.6.3.1). */
static void add(struct em_side *s, struct em_qp *qp, struct em_cq *cq, struct hca_wc wc)
{
	if (!cq->error && (!cq->size || cq->n < cq->size)) {
		cq->wc[cq->n++] = wc;
		return;
	}
	s->events[HCA_EVENT_CQ_ERR] += !cq->error;
	cq->error = true;
	if (qp->state != HCA_QPS_ERR) {
		s->events[HCA_EVENT_QP_FATAL]++;
		em_error(s, (u32)(qp - s->qp));
	}
}

static const struct em_region *find(const struct em_side *s, u32 key)
{
	u32 i;

	for (i = 0; i < EM_REGIONS; i++)
		if (s->region[i].valid && s->region[i].key == key)
			return &s->region[i];
	return NULL;
}

static struct em_window *find_window(struct em_side *s, u32 key)
{
	u32 i;

	for (i = 0; i < EM_WINDOWS; i++)
		if (s->window[i].valid && s->window[i].key == key)
			return &s->window[i];
	return NULL;
}

u32 em_bound(const struct em_side *s, u32 region)
{
	u32 i, n = 0;

	for (i = 0; i < EM_WINDOWS; i++)
		n += s->window[i].valid && s->window[i].region == region;
	return n;
}

static bool inside(const struct hca_sge *e, u64 len, u64 iova, u64 room)
{
	return e->addr >= iova && len <= room && e->addr - iova <= room - len;
}

/* IBTA 10.6.7: the key, its domain, its rights, its bounds; nothing of it for no bytes (9.7.4.1.5). */
static bool allowed(const struct em_side *s, const struct hca_sge *e, u64 len, u32 access)
{
	const struct em_region *r = find(s, e->lkey);

	if (!len)
		return true;
	return r && !r->pd && (r->access & access) == access && inside(e, len, r->iova, r->len);
}

/* What a peer names: an MR's key, or an MW's on a queue pair that may use it (IBTA 10.6.7.2). */
static bool remote_allowed(struct em_side *s, u32 q, const struct hca_sge *e, u64 len, u32 access)
{
	const struct em_window *w = find_window(s, e->lkey);

	if (!w || !len)
		return allowed(s, e, len, access);
	return (!w->two || w->q == q) && (w->access & access) == access && inside(e, len, w->iova, w->len);
}

static u8 *at(struct em_side *s, const struct hca_sge *e, u64 off)
{
	const struct em_window *w = find_window(s, e->lkey);
	const struct em_region *r = w ? &s->region[w->region] : find(s, e->lkey);
	u64 in = e->addr + off - (w ? w->iova - w->off : r->iova);

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

static void flush_sends(struct em_side *s, struct em_qp *qp)
{
	u32 i;

	for (i = 0; i < qp->sends; i++)
		add(s, qp, qp->scq,
		    (struct hca_wc){ .wr_id = qp->sq[i].wr.wr_id, .status = HCA_WC_WR_FLUSH_ERR, .qp_num = qp->qpn });
	qp->sends = 0;
	qp->waits = 0;
	qp->tries = 0;
}

/* What is in a shared queue is nobody's yet; that no more of it is taken has an event instead (IBTA 10.3.1.5). */
static void flush_receives(struct em_side *s, struct em_qp *qp)
{
	u32 i;

	for (i = 0; i < qp->rq.n; i++)
		add(s, qp, qp->rcq,
		    (struct hca_wc){ .wr_id = qp->rq.recv[i].id, .status = HCA_WC_WR_FLUSH_ERR, .qp_num = qp->qpn });
	qp->rq.n = 0;
}

void em_error(struct em_side *s, u32 q)
{
	struct em_qp *qp = &s->qp[q];

	if (qp->shares && qp->state != HCA_QPS_ERR)
		s->events[HCA_EVENT_QP_LAST_WQE_REACHED]++;
	qp->state = HCA_QPS_ERR;
	flush_receives(s, qp);
	flush_sends(s, qp);
}

static void purge(struct em_cq *cq, u32 qpn)
{
	u32 i, n = 0;

	for (i = 0; i < cq->n; i++)
		if (cq->wc[i].qp_num != qpn)
			cq->wc[n++] = cq->wc[i];
	cq->n = n;
}

void em_forget(struct em_side *s, u32 q)
{
	struct em_qp *qp = &s->qp[q];

	qp->state = HCA_QPS_RESET;
	qp->rq.n = 0;
	qp->sends = 0;
	qp->waits = 0;
	qp->tries = 0;
	purge(qp->scq, qp->qpn);
	purge(qp->rcq, qp->qpn);
}

static int enqueue(struct em_recvq *rq, const struct hca_recv_wr *wr)
{
	struct em_recv *r = &rq->recv[rq->n];

	if (wr->num_sge > EM_SGES)
		return -EINVAL;
	if (rq->n == EM_RECVS)
		return -ENOMEM;
	r->id = wr->wr_id;
	r->n = wr->num_sge;
	memcpy(r->sge, wr->sge, wr->num_sge * sizeof(*wr->sge));
	rq->n++;
	return 0;
}

int em_post_srq(struct em_side *s, const struct hca_recv_wr *wr)
{
	return enqueue(&s->srq, wr);
}

int em_post_recv(struct em_side *s, u32 q, const struct hca_recv_wr *wr)
{
	struct em_qp *qp = &s->qp[q];
	int err = qp->shares || qp->state == HCA_QPS_RESET ? -EINVAL : enqueue(&qp->rq, wr);

	if (!err && qp->state == HCA_QPS_ERR)
		flush_receives(s, qp);
	return err;
}

static struct em_recvq *receives(struct em_side *s, u32 q)
{
	return s->qp[q].shares ? &s->srq : &s->qp[q].rq;
}

static struct em_recv take(struct em_side *s, u32 q)
{
	struct em_recvq *rq = receives(s, q);
	struct em_recv r = rq->recv[0];

	memmove(rq->recv, rq->recv + 1, --rq->n * sizeof(r));
	if (rq->n < rq->limit) {
		rq->limit = 0;
		s->events[HCA_EVENT_SRQ_LIMIT_REACHED]++;
	}
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

/* A key that can be made void: of a fast registered MR that is valid; by a peer, if peers may use it (IBTA 10.6.5). */
static bool invalidate(struct em_side *s, u32 q, u32 key, bool remote)
{
	struct em_region *r = (struct em_region *)find(s, key);
	struct em_window *w = find_window(s, key);

	if (w && w->two && w->q == q) {
		w->valid = false;
		return true;
	}
	/* What is free already is free, as rxe and siw have it; a peer must have a valid key (IBTA 10.6.5). */
	if (!remote && !s->region[EM_PAGES].valid && !s->region[EM_PAGES].pd && s->region[EM_PAGES].key == key)
		return true;
	/* What an MW is bound to stays (IBTA 10.6.7.2.6). */
	if (!r || em_bound(s, (u32)(r - s->region)) || r->pd || !r->pages ||
	    (remote && !(r->access & HCA_ACCESS_REMOTE)))
		return false;
	r->valid = false;
	return true;
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

	if (!receives(s, q)->n)
		return HCA_WC_RNR_RETRY_EXC_ERR;
	r = take(s, q);
	wc.wr_id = r.id;
	if (wr->opcode == HCA_WR_SEND_WITH_IMM) {
		wc.imm = wr->imm;
		wc.wc_flags = HCA_WC_WITH_IMM;
	}
	if (wr->opcode == HCA_WR_SEND_WITH_INV) {
		wc.imm = wr->imm;
		wc.wc_flags = HCA_WC_WITH_INVALIDATE;
	}
	memcpy(all + grh, data, len);
	wc.status = receive(s, qp, &r, all, len + grh);
	if (!wc.status && wr->opcode == HCA_WR_SEND_WITH_INV && !invalidate(s, q, wr->imm, true))
		wc.status = HCA_WC_MW_BIND_ERR;
	add(s, qp, qp->rcq, wc);
	if (wc.status && !ud)
		em_error(s, q);
	return wc.status == HCA_WC_MW_BIND_ERR ? HCA_WC_REM_ACCESS_ERR :
	       !wc.status		       ? HCA_WC_SUCCESS :
	       wc.status == HCA_WC_LOC_LEN_ERR ? HCA_WC_REM_INV_REQ_ERR :
						 HCA_WC_REM_OP_ERR;
}

/* @landed: of what came of it before it had to wait; says too what has come now. */
static enum hca_wc_status arrive_write(struct em_side *s, u32 q, const struct hca_send_wr *wr, u32 src, const u8 *data,
				       u64 len, u64 *landed)
{
	struct em_qp *qp = &s->qp[q];
	struct hca_sge to = { .addr = wr->rdma.addr, .length = (u32)len, .lkey = wr->rdma.rkey };
	struct hca_wc wc = { .opcode = HCA_WC_RECV_RDMA_WITH_IMM,
			     .byte_len = (u32)(*landed + len),
			     .imm = wr->imm,
			     .wc_flags = HCA_WC_WITH_IMM,
			     .src_qp = src,
			     .qp_num = qp->qpn };
	bool imm = wr->opcode == HCA_WR_RDMA_WRITE_WITH_IMM;
	bool right = remote_allowed(s, q, &to, len, HCA_ACCESS_REMOTE_WRITE);
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
	*landed += first;
	if (imm && !receives(s, q)->n)
		return HCA_WC_RNR_RETRY_EXC_ERR;
	if (!right) {
		/* What the consumer of a receive request is told then has a name of its own (IBTA 11.6.2). */
		if (imm) {
			wc.wr_id = take(s, q).id;
			wc.status = HCA_WC_LOC_ACCESS_ERR;
			add(s, qp, qp->rcq, wc);
		}
		/* It could be written when it began. */
		return refuse(s, q, *landed ? HCA_WC_REM_OP_ERR : HCA_WC_REM_ACCESS_ERR);
	}
	put(s, &to, 1, data, len);
	if (imm) {
		wc.wr_id = take(s, q).id;
		add(s, qp, qp->rcq, wc);
	}
	return HCA_WC_SUCCESS;
}

static enum hca_wc_status arrive_read(struct em_side *s, u32 q, const struct hca_send_wr *wr, struct em_side *from,
				      u64 len)
{
	struct hca_sge src = { .addr = wr->rdma.addr, .length = (u32)len, .lkey = wr->rdma.rkey };
	u8 data[EM_BYTES];
	u64 i;

	if (!remote_allowed(s, q, &src, len, HCA_ACCESS_REMOTE_READ))
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
	if (!remote_allowed(s, q, &to, 8, HCA_ACCESS_REMOTE_ATOMIC))
		return refuse(s, q, HCA_WC_REM_ACCESS_ERR);
	/* An MW's address may be aligned, and the memory that it stands for not. */
	if ((at(s, &to, 0) - s->ram) & 7)
		return refuse(s, q, HCA_WC_REM_INV_REQ_ERR);
	memcpy(&old, at(s, &to, 0), 8);
	now = wr->opcode == HCA_WR_ATOMIC_FETCH_AND_ADD ? old + wr->atomic.compare_add :
	      old == wr->atomic.compare_add		? wr->atomic.swap :
							  old;
	memcpy(at(s, &to, 0), &now, 8);
	put(from, wr->sge, wr->num_sge, (const u8 *)&old, 8);
	return HCA_WC_SUCCESS;
}

static enum hca_wc_status arrive(struct em_side *s, struct em_side *peer, u32 q, const struct hca_send_wr *wr, u64 len,
				 u64 *landed)
{
	struct em_qp *to = &peer->qp[q];
	u32 src = s->qp[q].qpn;
	u8 data[EM_BYTES];

	if (to->state < HCA_QPS_RTR || to->state == HCA_QPS_ERR ||
	    (to->type != HCA_QPT_UD && (s->qp[q].dest != to->qpn || to->dest != src)))
		return HCA_WC_RETRY_EXC_ERR;
	if (to->type == HCA_QPT_UD && (wr->ud.qpn != to->qpn || wr->ud.qkey != EM_QKEY))
		return HCA_WC_SUCCESS;
	switch (wr->opcode) {
	case HCA_WR_SEND:
	case HCA_WR_SEND_WITH_IMM:
	case HCA_WR_SEND_WITH_INV:
		get(s, wr, data);
		return arrive_send(peer, q, wr, src, data, len);
	case HCA_WR_RDMA_READ:
		return arrive_read(peer, q, wr, s, len);
	case HCA_WR_ATOMIC_CMP_AND_SWP:
	case HCA_WR_ATOMIC_FETCH_AND_ADD:
		return arrive_atomic(peer, q, wr, s);
	default:
		get(s, wr, data);
		return arrive_write(peer, q, wr, src, data, len, landed);
	}
}

static bool fetches(enum hca_wr_opcode op)
{
	return op == HCA_WR_RDMA_READ || op == HCA_WR_ATOMIC_CMP_AND_SWP || op == HCA_WR_ATOMIC_FETCH_AND_ADD;
}

static bool sends(enum hca_wr_opcode op)
{
	return op == HCA_WR_SEND || op == HCA_WR_SEND_WITH_IMM || op == HCA_WR_SEND_WITH_INV;
}

static enum hca_wc_opcode told_as(enum hca_wr_opcode op)
{
	return op == HCA_WR_RDMA_READ		 ? HCA_WC_RDMA_READ :
	       op == HCA_WR_ATOMIC_CMP_AND_SWP	 ? HCA_WC_COMP_SWAP :
	       op == HCA_WR_ATOMIC_FETCH_AND_ADD ? HCA_WC_FETCH_ADD :
	       op == HCA_WR_LOCAL_INV		 ? HCA_WC_LOCAL_INV :
	       op == HCA_WR_REG_MR		 ? HCA_WC_REG_MR :
	       op == HCA_WR_BIND_MW		 ? HCA_WC_BIND_MW :
	       sends(op)			 ? HCA_WC_SEND :
						   HCA_WC_RDMA_WRITE;
}

static enum hca_wc_status register_pages(struct em_side *s, const struct hca_send_wr *wr)
{
	struct em_region *r = &s->region[EM_PAGES];
	const struct hca_mr_pages *p = &wr->reg.to;
	u32 i;

	if (r->valid || p->key >> 8 != r->key >> 8)
		return HCA_WC_MW_BIND_ERR;
	r->valid = true;
	r->key = p->key;
	r->access = p->access;
	r->iova = p->iova;
	r->len = p->length;
	for (i = 0; i < p->npages; i++)
		r->page[i] = p->pages[i] - EM_BASE;
	return HCA_WC_SUCCESS;
}

/* The key of one of the MWs, which it's for. What was bound before is so no more, if it's of type 1 (IBTA 10.6.7.2.2). */
static enum hca_wc_status bind(struct em_side *s, u32 q, const struct hca_send_wr *wr)
{
	u32 need =
		HCA_ACCESS_MW_BIND |
		(wr->bind.access & (HCA_ACCESS_REMOTE_WRITE | HCA_ACCESS_REMOTE_ATOMIC) ? HCA_ACCESS_LOCAL_WRITE : 0);
	struct hca_sge e = { .addr = wr->bind.addr, .lkey = wr->bind.lkey };
	const struct em_region *r = find(s, e.lkey);
	struct em_window *w = s->window;

	if (wr->bind.length && !allowed(s, &e, wr->bind.length, need))
		return HCA_WC_MW_BIND_ERR;
	while (w->key >> 8 != wr->bind.rkey >> 8)
		w++;
	if (w->two && w->valid)
		return HCA_WC_MW_BIND_ERR;
	w->valid = wr->bind.length;
	if (!w->valid)
		return HCA_WC_SUCCESS;
	w->key = wr->bind.rkey;
	w->region = (u32)(r - s->region);
	w->off = wr->bind.addr - r->iova;
	w->iova = wr->bind.access & HCA_ACCESS_ZERO_BASED ? 0 : wr->bind.addr;
	w->len = wr->bind.length;
	w->access = wr->bind.access;
	w->q = q;
	return HCA_WC_SUCCESS;
}

/* Whatever becomes of one request; of an unreliable one nothing is heard but what is wrong here. */
static enum hca_wc_status execute(struct em_side *s, struct em_side *peer, u32 q, const struct hca_send_wr *wr, u64 len,
				  u64 *landed)
{
	struct em_qp *qp = &s->qp[q];
	bool back = fetches(wr->opcode);
	enum hca_wc_status status;

	if (wr->opcode == HCA_WR_REG_MR)
		return register_pages(s, wr);
	if (wr->opcode == HCA_WR_BIND_MW)
		return bind(s, q, wr);
	if (wr->opcode == HCA_WR_LOCAL_INV)
		return invalidate(s, q, wr->imm, false) ? HCA_WC_SUCCESS : HCA_WC_MW_BIND_ERR;
	/* Nothing is sent, and no error told (IBTA C10-93.1.1; rxe does so). */
	if (qp->type == HCA_QPT_UD && len > 4096)
		return HCA_WC_SUCCESS;
	if (back && wr->opcode != HCA_WR_RDMA_READ && len != 8)
		return HCA_WC_LOC_LEN_ERR;
	if (!(wr->flags & HCA_SEND_INLINE) &&
	    !all_allowed(s, wr->sge, wr->num_sge, len, back ? HCA_ACCESS_LOCAL_WRITE : 0))
		return HCA_WC_LOC_PROT_ERR;
	status = arrive(s, peer, q, wr, len, landed);
	return qp->type == HCA_QPT_RC ? status : HCA_WC_SUCCESS;
}

/* The first request is done. */
static void retire(struct em_side *s, u32 q, enum hca_wc_status status)
{
	struct em_qp *qp = &s->qp[q];
	const struct em_send *e = &qp->sq[0];
	struct hca_wc wc = { .wr_id = e->wr.wr_id, .status = status, .qp_num = qp->qpn };
	bool signalled;

	wc.opcode = told_as(e->wr.opcode);
	if (fetches(e->wr.opcode))
		wc.byte_len = (u32)e->len;
	signalled = status || e->wr.flags & HCA_SEND_SIGNALED;
	qp->waits = 0;
	qp->tries = 0;
	memmove(qp->sq, qp->sq + 1, --qp->sends * sizeof(*e));
	if (signalled)
		add(s, qp, qp->scq, wc);
	if (status && qp->type == HCA_QPT_RC)
		em_error(s, q);
	else if (status)
		qp->state = HCA_QPS_SQE;
}

/* So many bytes from its beginning need not be sent again. */
static void cut(struct em_send *e, u64 n)
{
	u32 i;

	e->len -= n;
	e->wr.rdma.addr += n;
	for (i = 0; n && i < e->wr.num_sge; i++) {
		u64 part = e->sge[i].length < n ? e->sge[i].length : n;

		e->sge[i].addr += part;
		e->sge[i].length -= (u32)part;
		n -= part;
	}
}

static u32 waiting;

/* Return: was it done? */
static bool try_first(struct em_side *s, struct em_side *peer, u32 q)
{
	struct em_qp *qp = &s->qp[q];
	struct em_send e = qp->sq[0];
	struct hca_sge own = { .addr = (uintptr_t)e.own, .length = (u32)e.len };
	enum hca_wc_status status;

	e.wr.sge = e.sge;
	if (e.wr.flags & HCA_SEND_INLINE) {
		e.wr.sge = &own;
		e.wr.num_sge = 1;
	}
	status = execute(s, peer, q, &e.wr, e.len, &qp->sq[0].landed);
	if (status == HCA_WC_RETRY_EXC_ERR ||
	    (status == HCA_WC_RNR_RETRY_EXC_ERR && (qp->forever || qp->tries++ < EM_RNR_RETRY))) {
		qp->waits = ++waiting;
		qp->want = status;
		cut(&qp->sq[0], qp->sq[0].landed - e.landed);
		return false;
	}
	retire(s, q, status);
	return true;
}

void em_run(struct em_side *s, struct em_side *peer, u32 q)
{
	struct em_qp *qp = &s->qp[q];

	while (qp->state == HCA_QPS_RTS && qp->sends && !qp->waits)
		if (!try_first(s, peer, q))
			return;
	if (qp->state == HCA_QPS_SQE || qp->state == HCA_QPS_ERR)
		flush_sends(s, qp);
	if (qp->state == HCA_QPS_SQD && qp->drain && !qp->waits) {
		qp->drain = false;
		s->events[HCA_EVENT_SQ_DRAINED]++;
	}
}

void em_drain(struct em_side *s, u32 q)
{
	s->qp[q].state = HCA_QPS_SQD;
	s->qp[q].drain = true;
	em_run(s, NULL, q);
}

/* The queue pair that was told to wait first after @after, for the sake of @want if that isn't 0. */
static struct em_qp *next_waiting(struct em_side side[2], u32 after, enum hca_wc_status want, u32 *s, u32 *q)
{
	struct em_qp *best = NULL;
	u32 i, j;

	for (i = 0; i < 2; i++)
		for (j = 0; j < EM_QPS; j++) {
			struct em_qp *qp = &side[i].qp[j];

			if (qp->waits <= after || (want && qp->want != want) || (best && best->waits < qp->waits))
				continue;
			best = qp;
			*s = i;
			*q = j;
		}
	return best;
}

/* All try again once, in their order, and are told to wait anew. Return: has anything changed, or will it? */
static bool everybody(struct em_side side[2])
{
	u32 s, q, after = 0, last = waiting;
	bool changes = false;
	struct em_qp *qp;

	while ((qp = next_waiting(side, after, HCA_WC_SUCCESS, &s, &q)) && qp->waits <= last) {
		after = qp->waits;
		if (try_first(&side[s], &side[!s], q)) {
			em_run(&side[s], &side[!s], q);
			changes = true;
		}
		changes |= qp->waits && qp->want == HCA_WC_RNR_RETRY_EXC_ERR && !qp->forever;
	}
	return changes;
}

/* Eight times without an answer are later than three for want of a receive request. */
static bool somebody_gives_up(struct em_side side[2])
{
	struct em_qp *qp;
	u32 s, q;

	qp = next_waiting(side, 0, HCA_WC_RETRY_EXC_ERR, &s, &q);
	if (qp)
		retire(&side[s], q, qp->want);
	return qp;
}

void em_settle(struct em_side side[2])
{
	do
		while (everybody(side))
			;
	while (somebody_gives_up(side));
}

static bool may_post(const struct em_qp *qp, const struct hca_send_wr *wr, u64 len)
{
	bool back = fetches(wr->opcode), in = wr->flags & HCA_SEND_INLINE;

	if (wr->num_sge > EM_SGES || (in && (back || len > EM_INLINE)))
		return false;
	if (qp->type == HCA_QPT_UD)
		return wr->opcode == HCA_WR_SEND || wr->opcode == HCA_WR_SEND_WITH_IMM;
	return qp->type == HCA_QPT_RC || (!back && wr->opcode != HCA_WR_SEND_WITH_INV);
}

int em_post_send(struct em_side *s, struct em_side *peer, u32 q, const struct hca_send_wr *wr)
{
	struct em_qp *qp = &s->qp[q];
	u64 len = total(wr->sge, wr->num_sge);
	struct em_send *e = &qp->sq[qp->sends];

	if (!may_post(qp, wr, len) || qp->state < HCA_QPS_RTS)
		return -EINVAL;
	if (qp->sends == EM_SENDS)
		return -ENOMEM;
	e->wr = *wr;
	e->len = len;
	e->landed = 0;
	if (wr->flags & HCA_SEND_INLINE)
		get(s, wr, e->own);
	else if (wr->num_sge)
		memcpy(e->sge, wr->sge, wr->num_sge * sizeof(*wr->sge));
	qp->sends++;
	em_run(s, peer, q);
	return 0;
}
