/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The soak's requests: posting them at random, and looking at their completions and bytes; see soak.h. */
#include <string.h>

#include "soak.h"

/* What a message begins with; the rest is a pattern of its seed. */
struct head {
	u32 end;
	u32 conn;
	u32 poster;
	u32 num;
	u32 len;
	u32 key; /* that it invalidates, or 0 */
	u64 seed;
};

#define FIRST_WORD (sizeof(struct head) / 8)

static u64 seed_of(const struct soak_end *e, u32 poster, u32 seq)
{
	return (u64)(e->index + 1) << 56 | (u64)(e->link->conn & 0xfffff) << 34 | (u64)poster << 33 | (u64)seq << 12;
}

/* --- posting --- */

/* A request is in its poster's ring before it is posted, for another thread may poll its completion at once. */
int soak_post(struct soak_end *e, u32 poster, struct hca_send_wr *wr, const struct soak_req *r)
{
	struct soak_poster *p = &e->poster[poster];
	u32 tail = p->tail;
	int err;

	if (tail - hca_load_acquire(&p->head) >= SOAK_REQS)
		return -ENOMEM;
	p->req[tail % SOAK_REQS] = *r;
	wr->wr_id = soak_tag(e, poster, tail);
	wr->flags |= r->signaled ? HCA_SEND_SIGNALED : 0;
	hca_store_release(&p->tail, tail + 1);
	err = hca_post_send(e->qp, wr);
	if (err) {
		hca_store_release(&p->tail, tail);
		soak_check(e, err == -ENOMEM || hca_load_acquire(&e->link->disturbed) || hca_load(&e->broken), err,
			   r->op);
		return err;
	}
	soak_count(soak_of(e), requests, 1);
	return 0;
}

/* Where and how long: mostly short. */
static u32 some_length(struct soak_thread *t, u32 most)
{
	return soak_random(t, soak_random(t, 4) ? HCA_MIN(most, 200u) : most + 1);
}

static void set_message(struct soak_thread *t, struct soak_end *e, u32 poster, struct hca_send_wr *wr,
			struct soak_req *r, u8 *out)
{
	struct head h = { .end = e->index, .conn = e->link->conn, .poster = poster, .num = e->poster[poster].msg };
	u32 key = e->link->keys ? hca_load_acquire(&e->peer->key.published) : 0;

	h.len = r->len = (u32)sizeof(h) + some_length(t, (e->link->type == HCA_QPT_UD ? 1024 : SOAK_SLOT) - sizeof(h));
	h.seed = r->seed;
	wr->opcode = HCA_WR_SEND;
	if (soak_random(t, 4) == 0)
		wr->opcode = HCA_WR_SEND_WITH_IMM;
	wr->imm = poster << 31 | h.num;
	if (key && soak_random(t, 40) == 0 && hca_load(&e->peer->key.kind) != SOAK_KEY_MR) {
		wr->opcode = HCA_WR_SEND_WITH_INV;
		wr->imm = h.key = key;
	}
	if (soak_random(t, 8) == 0)
		wr->flags |= HCA_SEND_SOLICITED;
	memcpy(out, &h, sizeof(h));
	soak_fill(out + sizeof(h), r->len - (u32)sizeof(h), r->seed, FIRST_WORD);
}

static void set_write(struct soak_thread *t, struct soak_end *e, u32 poster, struct hca_send_wr *wr, struct soak_req *r,
		      u8 *out, bool imm)
{
	u32 slot = e->poster[poster].tail % SOAK_REQS;

	r->len = some_length(t, SOAK_SLOT);
	soak_fill(out, r->len, r->seed, 0);
	wr->opcode = imm ? HCA_WR_RDMA_WRITE_WITH_IMM : HCA_WR_RDMA_WRITE;
	wr->imm = poster << 31 | e->poster[poster].msg;
	wr->rdma.addr = soak_addr(e->peer->side, e->peer->ram->in[poster][slot]);
	wr->rdma.rkey = e->peer->side->all->key;
}

static void set_read(struct soak_thread *t, struct soak_end *e, struct hca_send_wr *wr, struct soak_req *r)
{
	r->len = some_length(t, SOAK_SLOT);
	r->pos = soak_random(t, (SOAK_LONG - SOAK_SLOT) / 8) * 8;
	wr->opcode = HCA_WR_RDMA_READ;
	wr->rdma.addr = soak_addr(e->peer->side, e->peer->ram->source + r->pos);
	wr->rdma.rkey = e->peer->side->all->key;
	if (soak_random(t, 8) == 0)
		wr->flags |= HCA_SEND_FENCE;
}

static void set_atomic(struct soak_end *e, u32 poster, struct hca_send_wr *wr, struct soak_req *r)
{
	r->len = 8;
	r->expect = e->poster[poster].adds;
	wr->atomic.addr = soak_addr(e->peer->side, &e->peer->ram->counter[poster]);
	wr->atomic.rkey = e->peer->side->all->key;
	if (r->op == SOAK_ADD) {
		wr->opcode = HCA_WR_ATOMIC_FETCH_AND_ADD;
		wr->atomic.compare_add = 1;
	} else {
		wr->opcode = HCA_WR_ATOMIC_CMP_AND_SWP;
		wr->atomic.compare_add = r->expect;
		wr->atomic.swap = r->expect + 1;
	}
}

/*
 * Between source and shared memory at the same place: the peer writes to the first half of what is shared, its owner to
 * the second half, for nothing orders the two. Return: is there a key for it?
 */
static bool set_by_key(struct soak_thread *t, struct soak_end *e, struct hca_send_wr *wr, struct soak_req *r,
		       struct hca_sge *sge)
{
	struct soak_end *at = r->op == SOAK_WRITE_KEY ? e->peer : e;
	u32 key = hca_load_acquire(&at->key.published);

	if (!key || (at == e && hca_load(&at->key.kind) >= SOAK_KEY_MW1))
		return false;
	r->pos = soak_random(t, SOAK_LONG / 2 / 8) * 8;
	r->len = some_length(t, SOAK_LONG / 2 - r->pos);
	r->pos += at == e ? SOAK_LONG / 2 : 0;
	wr->rdma.addr = soak_addr(e->peer->side, (at == e ? e->peer->ram->source : e->peer->ram->shared) + r->pos);
	wr->rdma.rkey = at == e ? e->peer->side->all->key : key;
	wr->opcode = at == e ? HCA_WR_RDMA_READ : HCA_WR_RDMA_WRITE;
	sge->addr = soak_addr(e->side, (at == e ? e->ram->shared : e->ram->source) + r->pos);
	sge->lkey = at == e ? key : e->side->all->key;
	return true;
}

static enum soak_op some_op(struct soak_thread *t, const struct soak_end *e)
{
	static const enum soak_op of_rc[] = { SOAK_MESSAGE, SOAK_MESSAGE, SOAK_WRITE,	  SOAK_WRITE_IMM, SOAK_READ,
					      SOAK_ADD,	    SOAK_SWAP,	  SOAK_WRITE_KEY, SOAK_READ_KEY };

	if (e->link->type == HCA_QPT_UD)
		return SOAK_MESSAGE;
	if (e->link->type == HCA_QPT_UC)
		return of_rc[soak_random(t, 4)];
	return of_rc[soak_random(t, e->link->keys ? 9 : 7)];
}

/* The bytes in one, two or three entries; or in the request, which then may be changed at once. */
static u32 split(struct soak_thread *t, struct hca_send_wr *wr, struct hca_sge sge[3], u32 len, u8 *out)
{
	u32 first = len / 3, n = 1 + soak_random(t, 3);

	sge[0].length = len;
	if (wr->opcode != HCA_WR_RDMA_READ && wr->opcode < HCA_WR_ATOMIC_CMP_AND_SWP && len <= 64 && out &&
	    soak_random(t, 2)) {
		sge[0].addr = (uintptr_t)out;
		wr->flags |= HCA_SEND_INLINE;
		return 1;
	}
	if (n == 1 || first < 8)
		return 1;
	sge[1] = sge[0];
	sge[0].length = first;
	sge[1].addr += first;
	sge[1].length = len - first;
	if (n == 2)
		return 2;
	sge[2] = sge[1];
	sge[1].length = first;
	sge[2].addr += first;
	sge[2].length -= first;
	return 3;
}

static void posted(struct soak_end *e, u32 poster, const struct soak_req *r)
{
	struct soak_poster *p = &e->poster[poster];

	if (r->op == SOAK_MESSAGE || r->op == SOAK_WRITE_IMM)
		p->msg = (p->msg + 1) & 0x7fffffff;
	if (r->op == SOAK_ADD || r->op == SOAK_SWAP)
		p->adds++;
}

void soak_post_random(struct soak_thread *t, struct soak_end *e, u32 poster)
{
	struct soak_poster *p = &e->poster[poster];
	u32 waiting = p->tail - hca_load_acquire(&p->head);
	u8 *out = e->ram->out[poster][p->tail % SOAK_REQS];
	struct hca_sge sge[3] = { { .addr = soak_addr(e->side, out), .lkey = e->side->all->key } };
	struct hca_send_wr wr = { .sge = sge };
	struct soak_req r = { .op = some_op(t, e), .seed = seed_of(e, poster, p->tail) };

	if (waiting >= SOAK_REQS)
		return;
	r.signaled = waiting >= SOAK_REQS / 2 || soak_random(t, 2);
	if (r.op == SOAK_MESSAGE)
		set_message(t, e, poster, &wr, &r, out);
	else if (r.op == SOAK_WRITE || r.op == SOAK_WRITE_IMM)
		set_write(t, e, poster, &wr, &r, out, r.op == SOAK_WRITE_IMM);
	else if (r.op == SOAK_READ)
		set_read(t, e, &wr, &r);
	else if (r.op == SOAK_ADD || r.op == SOAK_SWAP)
		set_atomic(e, poster, &wr, &r);
	else if (!set_by_key(t, e, &wr, &r, sge))
		return;
	if (e->link->type == HCA_QPT_UD) {
		wr.ud.dlid = e->peer->side->hca.lid;
		wr.ud.qpn = hca_load(&e->peer->qpn);
		wr.ud.qkey = 0x11;
	}
	wr.num_sge = split(t, &wr, sge, r.len, r.op == SOAK_WRITE_KEY ? NULL : out);
	if (!soak_post(e, poster, &wr, &r))
		posted(e, poster, &r);
}

/* --- receives --- */

void soak_post_receives(struct soak_end *e)
{
	/* In error each is flushed, and polled, at once: there would always be room. */
	while (!e->srq && !hca_load(&e->broken) && e->recv_tail - hca_load_acquire(&e->recv_head) < SOAK_RQ) {
		u8 *at = e->ram->recv[e->recv_tail % SOAK_RQ];
		struct hca_sge sge[2] = {
			{ .addr = soak_addr(e->side, at), .length = 100, .lkey = e->side->all->key },
			{ .addr = soak_addr(e->side, at + 100), .length = SOAK_RECV - 100, .lkey = e->side->all->key },
		};
		const struct hca_recv_wr wr = { .wr_id = soak_tag(e, SOAK_OF_RECV, e->recv_tail),
						.sge = sge,
						.num_sge = 2 };

		memset(at, SOAK_CANARY, SOAK_RECV);
		hca_store_release(&e->recv_tail, e->recv_tail + 1);
		if (!hca_post_recv(e->qp, &wr))
			continue;
		hca_store_release(&e->recv_tail, e->recv_tail - 1);
		return;
	}
}

void soak_stock_srq(struct soak_side *side, u32 from)
{
	u32 i;

	for (i = 0; i < SOAK_SRQ; i++) {
		u32 slot = (from + i) % SOAK_SRQ;
		struct hca_sge sge = { .addr = soak_addr(side, side->srq_ram[slot]),
				       .length = SOAK_RECV,
				       .lkey = side->all->key };
		const struct hca_recv_wr wr = { .wr_id = (u64)SOAK_OF_SRQ << 32 | slot, .sge = &sge, .num_sge = 1 };

		if (hca_load(&side->srq_posted[slot]) || hca_cmpxchg(&side->srq_posted[slot], 0u, 1u))
			continue;
		memset(side->srq_ram[slot], SOAK_CANARY, SOAK_RECV);
		if (hca_srq_post(&side->srq, &wr))
			soak_wrong(&side->s->link[1].end[0], __LINE__, "the shared receive queue takes a request", slot,
				   0);
	}
}

/* --- completions; the CQ's mutex is held --- */

/* The statuses that a request may end in where nothing was done to its connection. */
static bool may_fail(const struct soak_end *e, enum hca_wc_status status)
{
	if (soak_of(e)->packets && e->link->type == HCA_QPT_RC && !e->link->keys &&
	    !hca_load_acquire(&e->link->disturbed))
		return status == HCA_WC_RETRY_EXC_ERR || hca_load(&e->broken);
	return soak_may_fail(e);
}

static void look_at_request(struct soak_end *e, u32 poster, u32 slot, const struct soak_req *r)
{
	const u8 *out = e->ram->out[poster][slot];
	u64 word;

	soak_count(soak_of(e), bytes, r->len);
	if (e->link->type != HCA_QPT_RC)
		return; /* that it was sent is all that is known */
	switch (r->op) {
	case SOAK_WRITE:
	case SOAK_WRITE_IMM:
		soak_check(e, soak_same(e->peer->ram->in[poster][slot], r->len, r->seed, 0), r->len, slot);
		break;
	case SOAK_READ:
		soak_check(e, soak_same(out, r->len, soak_link_seed(e->link), r->pos / 8), r->len, r->pos);
		break;
	case SOAK_ADD:
	case SOAK_SWAP:
		memcpy(&word, out, 8);
		soak_check(e, word == r->expect, word, r->expect);
		break;
	default:
		break;
	}
}

static void end_request(struct soak_end *e, u32 poster, u32 slot, enum hca_wc_status status)
{
	struct soak_poster *p = &e->poster[poster];
	const struct soak_req *r = &p->req[slot];

	if (status) {
		soak_check(e, r->op == SOAK_MARK || may_fail(e, status), status, r->op);
		p->failed = true;
		hca_store_release(&e->broken, 1u);
		soak_count(soak_of(e), failed, 1);
	} else {
		soak_check(e, !p->failed, r->op, slot);
		look_at_request(e, poster, slot, r);
	}
	if (r->op == SOAK_MARK)
		hca_fetch_add(&e->marks, 1u);
	else if (r->op == SOAK_OPEN_KEY || r->op == SOAK_CLOSE_KEY)
		soak_key_ended(e, r->op, status);
}

/* All requests of the poster before this one have ended; those that weren't signaled told nothing, as they succeeded. */
static void on_request(struct soak_end *e, u32 poster, u32 seq, const struct hca_wc *wc)
{
	struct soak_poster *p = &e->poster[poster];
	u32 head = p->head, tail = hca_load_acquire(&p->tail);

	if (seq - head >= tail - head) {
		soak_wrong(e, __LINE__, "a completion is of a request that is under way", seq, (u64)head << 32 | tail);
		return;
	}
	for (; head != seq; head++) {
		soak_check(e, !p->req[head % SOAK_REQS].signaled && !p->failed, head, seq);
		end_request(e, poster, head % SOAK_REQS, HCA_WC_SUCCESS);
	}
	end_request(e, poster, head % SOAK_REQS, wc->status);
	hca_store_release(&p->head, head + 1);
}

/* Messages of a poster arrive in order: each once, if the service is a reliable one. */
static void check_number(struct soak_end *e, u32 poster, u32 num)
{
	u32 *next = &e->next_msg[poster];

	soak_count(soak_of(e), messages, 1);
	if (e->link->type == HCA_QPT_RC)
		soak_check(e, num == *next, num, *next);
	else if (!soak_of(e)->packets && e->link->type == HCA_QPT_UC)
		soak_check(e, num >= *next, num, *next);
	hca_store(next, (num + 1) & 0x7fffffff);
}

/* On UC a message that lost a packet leaves its bytes behind, and its receive request to the next one. */
static bool rest_untouched(const struct soak_end *e, const u8 *at, u32 len)
{
	return (e->link->type == HCA_QPT_UC && soak_of(e)->packets) || soak_untouched(at, len);
}

static void look_at_message(struct soak_end *e, const u8 *at, const struct hca_wc *wc)
{
	u32 grh = e->link->type == HCA_QPT_UD ? HCA_GRH_LEN : 0;
	struct head h;

	if (wc->opcode == HCA_WC_RECV_RDMA_WITH_IMM) {
		soak_check(e, rest_untouched(e, at, SOAK_RECV), wc->byte_len, wc->imm);
		check_number(e, wc->imm >> 31, wc->imm & 0x7fffffff);
		return;
	}
	memcpy(&h, at + grh, sizeof(h));
	soak_check(e, wc->byte_len == h.len + grh, wc->byte_len, h.len);
	soak_check(e, h.end == e->peer->index && h.poster < SOAK_POSTERS && h.len <= SOAK_SLOT, h.end, h.poster);
	if (h.end != e->peer->index || h.poster >= SOAK_POSTERS || h.len > SOAK_SLOT || h.len < sizeof(h))
		return;
	/* What was late on the way to an earlier queue pair may come to this one, if nothing is numbered. */
	soak_check(e, h.conn == e->link->conn || e->link->type != HCA_QPT_RC, h.conn, e->link->conn);
	at += grh;
	soak_check(e, soak_same(at + sizeof(h), h.len - (u32)sizeof(h), h.seed, FIRST_WORD), h.len, h.num);
	soak_check(e, rest_untouched(e, at + h.len, SOAK_RECV - grh - h.len), h.len, h.num);
	soak_check(e, !(wc->wc_flags & HCA_WC_WITH_IMM) || wc->imm == (h.poster << 31 | h.num), wc->imm, h.num);
	soak_check(e, !h.key == !(wc->wc_flags & HCA_WC_WITH_INVALIDATE), wc->imm, h.key);
	check_number(e, h.poster, h.num);
}

static void on_receive(struct soak_end *e, const u8 *at, const struct hca_wc *wc)
{
	if (!wc->status) {
		look_at_message(e, at, wc);
		return;
	}
	/* The requester's completion may be in another queue, and not be polled yet. */
	if (wc->status != HCA_WC_WR_FLUSH_ERR)
		soak_check(e, may_fail(e, wc->status), wc->status, 0);
	hca_store_release(&e->broken, 1u);
}

static void on_wc(const struct hca_wc *wc)
{
	struct soak_end *e = wc->user;
	u32 of = (u32)(wc->wr_id >> 32) & 0xff, seq = (u32)wc->wr_id;

	if (of == SOAK_OF_SRQ) {
		on_receive(e, e->side->srq_ram[seq], wc);
		soak_check(e, hca_xchg(&e->side->srq_posted[seq], 0u) == 1, seq, 0);
		return;
	}
	soak_check(e, wc->wr_id >> 40 == (e->gen & 0xffffff), wc->wr_id, e->gen);
	if (wc->wr_id >> 40 != (e->gen & 0xffffff))
		return;
	if (of == SOAK_OF_MARK) {
		soak_check(e, wc->status == HCA_WC_WR_FLUSH_ERR, wc->status, 0);
		soak_check(e, e->srq || e->recv_head == hca_load_acquire(&e->recv_tail), e->recv_head, e->recv_tail);
		hca_fetch_add(&e->marks, 1u);
	} else if (of == SOAK_OF_RECV) {
		soak_check(e, seq == e->recv_head, seq, e->recv_head);
		on_receive(e, e->ram->recv[seq % SOAK_RQ], wc);
		hca_store_release(&e->recv_head, e->recv_head + 1);
	} else {
		on_request(e, of, seq, wc);
	}
}

void soak_poll(struct soak_cq *cq)
{
	struct hca_wc wc[8];
	int n, i;

	if (!hca_cq_ring_waiting(&cq->cq.ring) || pthread_mutex_trylock(&cq->lock))
		return;
	while ((n = hca_cq_ring_poll(&cq->cq.ring, wc, 8)) > 0)
		for (i = 0; i < n; i++)
			on_wc(&wc[i]);
	pthread_mutex_unlock(&cq->lock);
}
