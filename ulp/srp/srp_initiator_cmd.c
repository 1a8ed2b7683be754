/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SRP initiator: requests out, responses in. Nothing is allocated on this way. A
 * request that finds no slot or no credit waits in its channel's queue, and whoever
 * ends one sends it.
 */
#include "srp_initiator.h"

/* --- slots --- */

/* The lock is held. Return: NULL if nothing may be sent now. */
static struct srp_slot *slot_take(struct srp_channel *ch, struct srp_request *req)
{
	struct srp_slot *s = ch->free;

	if (!s || ch->hold || ch->credits <= INI_RESERVE)
		return NULL;
	ch->free = s->next;
	ch->credits--;
	ch->busy++;
	s->req = req;
	s->state = INI_BUILDING;
	s->tag += 1u << INI_TAG_BITS;
	s->retry = false;
	__atomic_fetch_add(&ch->inside, 1, __ATOMIC_RELAXED);
	return s;
}

/* The lock is held. */
static void slot_give(struct srp_slot *s)
{
	struct srp_channel *ch = s->ch;

	s->state = INI_FREE;
	s->req = NULL;
	ch->busy--;
	if (s->sending)
		return; /* its completion does the rest */
	s->next = ch->free;
	ch->free = s;
}

/* A send whose bytes are in the slot. */
static void slot_sent(struct ib_cq *cq, struct ib_wc *wc)
{
	struct srp_slot *s = srp_container_of(wc->wr_cqe, struct srp_slot, send_cqe);
	struct srp_channel *ch = s->ch;

	(void)cq;
	if (wc->status) {
		ini_lost(ch->ini, ib_wc_status_msg(wc->status));
		return;
	}
	srp_lock(&ch->lock);
	s->sending = false;
	if (s->state == INI_FREE) {
		s->next = ch->free;
		ch->free = s;
	}
	srp_unlock(&ch->lock);
	ini_pump(ch);
}

/* --- out --- */

static void queue_last(struct srp_channel *ch, struct srp_request *req)
{
	req->next = NULL;
	*ch->pending_last = req;
	ch->pending_last = &req->next;
}

static void queue_first(struct srp_channel *ch, struct srp_request *req)
{
	req->next = ch->pending;
	if (!ch->pending)
		ch->pending_last = &req->next;
	ch->pending = req;
}

static struct srp_request *queue_take(struct srp_channel *ch)
{
	struct srp_request *req = ch->pending;

	ch->pending = req->next;
	if (!ch->pending)
		ch->pending_last = &ch->pending;
	return req;
}

/* Of this thread: it is inside a done(), and these ended meanwhile. */
static __thread struct {
	bool inside;
	struct srp_request *first, **last;
} ends;

bool ini_in_done(void)
{
	return ends.inside;
}

void ini_done(struct srp_request *req)
{
	req->next = NULL;
	if (ends.inside) {
		*ends.last = req;
		ends.last = &req->next;
		return;
	}
	ends.inside = true;
	ends.first = req;
	ends.last = &req->next;
	while ((req = ends.first)) {
		ends.first = req->next;
		if (!ends.first)
			ends.last = &ends.first;
		req->done(req);
	}
	ends.inside = false;
}

static void end(struct srp_request *req, int error)
{
	req->error = error;
	ini_done(req);
}

static u32 encode(struct srp_slot *s)
{
	struct srp_channel *ch = s->ch;
	struct srp_request *req = s->req;
	struct srp_data none = { .format = SRP_DATA_NONE };
	struct srp_data data = { .format = SRP_DATA_NONE, .len = req->len, .descs = s->table };
	bool out = req->dir == DMA_TO_DEVICE;
	u32 room;

	if (s->n_descs == 1) {
		data.format = SRP_DATA_DIRECT;
		data.count = 1;
	} else if (s->n_descs) {
		data.format = SRP_DATA_INDIRECT;
		room = ch->max_iu - srp_cmd_bytes(req->cdb_len, &none, &none) - SRP_TABLE_BYTES;
		data.count = (u8)SRP_MIN(SRP_MIN(s->n_descs, ch->iu_descs), room / SRP_DESC_BYTES);
		data.table.va = hca_dma_u64(s->table_dma);
		data.table.key = ch->table_key;
		data.table.len = s->n_descs * SRP_DESC_BYTES;
	}
	return srp_cmd_encode(s->iu, ch->max_iu, s->tag, req->lun, req->cdb, req->cdb_len, out ? &data : &none,
			      out ? &none : &data);
}

static void count_sent(struct srp_slot *s)
{
	struct srp_channel *ch = s->ch;

	srp_count(&ch->n_requests, 1);
	srp_count(&ch->n_mapped, s->mapped > 0);
	srp_count(&ch->n_registered, s->n_mrs + s->n_fmrs);
	if (s->n_descs == 1)
		srp_count(&ch->n_direct, 1);
	else if (s->n_descs > ch->iu_descs)
		srp_count(&ch->n_partial, 1);
	else if (s->n_descs)
		srp_count(&ch->n_indirect, 1);
}

static void post(struct srp_slot *s, u32 len)
{
	struct srp_channel *ch = s->ch;
	bool small = len <= ch->qp.inline_max;
	struct ib_sge sge = {
		.addr = small ? (u64)(uintptr_t)s->iu : hca_dma_u64(s->iu_dma),
		.length = len,
		.lkey = ch->pd->local_dma_lkey,
	};
	struct ib_send_wr wr = {
		.wr_cqe = small ? &ch->ours_cqe : &s->send_cqe,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IB_WR_SEND,
		.send_flags = small ? IB_SEND_INLINE : IB_SEND_SIGNALED,
	};
	struct ib_send_wr *first = &wr;
	struct ini_mr *mr;

	srp_lock(&ch->lock);
	if (small && ++ch->quiet >= INI_QUIET) {
		wr.send_flags |= IB_SEND_SIGNALED;
		ch->quiet = 0;
	}
	count_sent(s);
	s->sending = !small;
	s->state = INI_SENT;
	srp_unlock(&ch->lock);
	for (mr = s->mrs; mr && mr->next; mr = mr->next)
		;
	if (mr) {
		mr->reg.wr.next = &wr;
		first = &s->mrs->reg.wr;
	}
	/* The response may come, and the slot be used again, before this returns. */
	if (ib_post_send(ch->qp.qp, first, NULL))
		ini_lost(ch->ini, "a command can't be posted");
}

/* What takes the slot back again. Return: false: the request is queued again, and nothing is to be sent before others end. */
static bool unsend(struct srp_slot *s, int err)
{
	struct srp_channel *ch = s->ch;
	struct srp_request *req = s->req;
	bool again = err == -EAGAIN, go_on;

	ini_unmap(s);
	srp_lock(&ch->lock);
	ch->credits++;
	slot_give(s);
	again = again && ch->live;
	if (again)
		queue_first(ch, req);
	go_on = !again || !ch->busy;
	srp_unlock(&ch->lock);
	if (!again)
		end(req, err == -EAGAIN ? -EIO : err);
	return go_on;
}

/* Return: false as unsend() */
static bool send_command(struct srp_slot *s)
{
	struct srp_channel *ch = s->ch;
	int err = ini_map(s);
	bool go_on = true;
	u32 len = 0;

	if (!err && s->n_descs > 1 && !(ch->rsp.formats & SRP_FMT_INDIRECT))
		err = -EMSGSIZE;
	if (!err) {
		len = encode(s);
		err = len ? 0 : -EMSGSIZE;
	}
	if (err)
		go_on = unsend(s, err);
	else
		post(s, len);
	__atomic_fetch_sub(&ch->inside, 1, __ATOMIC_RELEASE);
	return go_on;
}

void ini_pump(struct srp_channel *ch)
{
	struct srp_slot *s;

	do {
		s = NULL;
		srp_lock(&ch->lock);
		if (ch->live && ch->pending) {
			s = slot_take(ch, ch->pending);
			if (s)
				queue_take(ch);
		}
		srp_unlock(&ch->lock);
	} while (s && send_command(s));
}

void ini_fail_pending(struct srp_channel *ch, int error)
{
	struct srp_request *req;

	for (;;) {
		srp_lock(&ch->lock);
		req = ch->pending ? queue_take(ch) : NULL;
		srp_unlock(&ch->lock);
		if (!req)
			return;
		end(req, error);
	}
}

static int check(const struct srp_request *req)
{
	if (req->cdb_len < 6 || req->cdb_len > SRP_CDB_MAX)
		return -EINVAL;
	if (req->dir == DMA_NONE)
		return 0;
	if (req->dir != DMA_TO_DEVICE && req->dir != DMA_FROM_DEVICE)
		return -EINVAL;
	return req->sgl && req->nents && req->len ? 0 : -EINVAL;
}

/* Time runs from here on, also while the request waits for its turn. */
static void set_expiry(struct srp_initiator *ini, struct srp_request *req)
{
	u32 ms = req->timeout_ms ? req->timeout_ms : ini->attr.timeout_ms;

	req->expires = ms == SRP_NO_TIMEOUT ? ~0ull :
					      __atomic_load_n(&ini->tick, __ATOMIC_RELAXED) + ms / ini->tick_ms + 1;
}

void srp_submit(struct srp_channel *ch, struct srp_request *req)
{
	struct srp_slot *s = NULL;
	int err = check(req);

	set_expiry(ch->ini, req);
	req->tries = 0;
	req->other_residual = 0;
	req->status = 0;
	req->sense_len = 0;
	req->moved = 0;
	req->residual = 0;
	if (err) {
		end(req, err);
		return;
	}
	srp_lock(&ch->lock);
	if (!ch->live) {
		err = -EIO;
	} else {
		s = ch->pending ? NULL : slot_take(ch, req);
		if (!s)
			queue_last(ch, req);
	}
	srp_unlock(&ch->lock);
	if (err && ini_in_done())
		ini_refuse(ch->ini, req);
	else if (err)
		end(req, err);
	else if (s && !send_command(s))
		ini_pump(ch);
}

/* --- in --- */

int ini_recv_post(struct ini_recv *r)
{
	struct srp_channel *ch = r->ch;
	struct ib_sge sge = { .addr = hca_dma_u64(r->dma), .length = SRP_TI_IU, .lkey = ch->pd->local_dma_lkey };
	struct ib_recv_wr wr = { .wr_cqe = &r->cqe, .sg_list = &sge, .num_sge = 1 };

	return ib_post_recv(ch->qp.qp, &wr, NULL);
}

void ini_end(struct srp_slot *s)
{
	struct srp_channel *ch = s->ch;
	struct srp_request *req = s->req;
	bool retry, more;

	ini_unmap(s);
	srp_lock(&ch->lock);
	retry = s->retry && ch->live;
	if (s->retry && !ch->live)
		req->error = -EIO;
	slot_give(s);
	if (retry)
		queue_first(ch, req);
	else if (req->dir != DMA_NONE)
		srp_count(req->dir == DMA_TO_DEVICE ? &ch->n_bytes_out : &ch->n_bytes_in, req->moved);
	more = ch->pending;
	srp_unlock(&ch->lock);
	if (more)
		ini_pump(ch);
	if (!retry)
		ini_done(req);
}

static bool is_attention(const struct srp_rsp *rsp)
{
	if (rsp->status != SCSI_CHECK_CONDITION || rsp->sense_len < 3)
		return false;
	switch (rsp->sense[0] & 0x7f) {
	case 0x70:
		return (rsp->sense[2] & 15) == SCSI_UNIT_ATTENTION;
	case 0x72:
		return (rsp->sense[1] & 15) == SCSI_UNIT_ATTENTION;
	default:
		return false;
	}
}

/* What the response says, for the request. */
static void fill(struct srp_slot *s, const struct srp_rsp *rsp)
{
	struct srp_request *req = s->req;
	bool out;

	req->error = rsp->has_code && rsp->code != SRP_RSP_OK ? -EPROTO : 0;
	req->status = rsp->status;
	req->sense_len = (u8)SRP_MIN(rsp->sense_len, SRP_SENSE_MAX);
	if (req->sense_len)
		memcpy(req->sense, rsp->sense, req->sense_len);
	/* Without a list, the direction is the command's: the target has counted what it would have moved. */
	out = req->dir == DMA_NONE ? rsp->out_residual != 0 : req->dir == DMA_TO_DEVICE;
	req->residual = out ? rsp->out_residual : rsp->in_residual;
	req->other_residual = out ? rsp->in_residual : rsp->out_residual;
	req->moved = req->dir == DMA_NONE || req->residual >= req->len ? 0 :
		     req->residual > 0				       ? req->len - (u32)req->residual :
									 req->len;
	if (req->error)
		req->moved = 0;
	if (!req->error && is_attention(rsp) && !(req->flags & SRP_KEEP_ATTENTION) && req->tries < INI_ATTENTIONS) {
		req->tries++;
		s->retry = true;
	}
}

/* The keys are invalid: the request's bytes can't be accessed by them any more. */
void ini_invalidated(struct ib_cq *cq, struct ib_wc *wc)
{
	struct srp_slot *s = srp_container_of(wc->wr_cqe, struct srp_slot, inv_cqe);

	(void)cq;
	if (wc->status)
		ini_lost(s->ch->ini, "a key can't be made void");
	else
		ini_end(s);
}

static void add_credits(struct srp_channel *ch, s32 delta)
{
	s64 sum = (s64)ch->credits + delta;

	ch->credits = (s32)(sum > 1 << 20 ? 1 << 20 : sum < -(1 << 20) ? -(1 << 20) : sum);
}

static void response(struct srp_channel *ch, struct ini_recv *r, const struct srp_rsp *rsp, u32 done_key)
{
	u32 i = (u32)(rsp->tag & ((1u << INI_TAG_BITS) - 1));
	struct srp_slot *s = i < ch->n_slots ? &ch->slots[i] : NULL;
	int err;

	srp_lock(&ch->lock);
	add_credits(ch, rsp->delta);
	if (s && s->state == INI_SENT && s->tag == rsp->tag) {
		s->state = INI_ENDING;
		srp_count(&ch->n_invalidated, done_key > 0);
	} else {
		s = NULL;
		srp_count(&ch->n_bad, 1);
	}
	srp_unlock(&ch->lock);
	if (s)
		fill(s, rsp);
	else
		srp_log("initiator of %s: a response with tag 0x%llx, which no request has, is ignored", ch->ini->name,
			(unsigned long long)rsp->tag);
	if (ini_recv_post(r))
		ini_lost(ch->ini, "a receive can't be posted");
	if (!s)
		return;
	s->inv_cqe.done = ini_invalidated;
	err = ini_invalidate(s, done_key);
	if (!err)
		ini_end(s);
	else if (err < 0)
		ini_lost(ch->ini, "a key can't be made void");
}

/* Our answer to a request of the target. */
static void reply(struct srp_channel *ch, enum srp_type type, u64 tag)
{
	struct srp_wire_plain iu;
	struct ib_sge sge = { .addr = (u64)(uintptr_t)&iu, .length = sizeof(iu) };
	struct ib_send_wr wr = {
		.wr_cqe = &ch->ours_cqe,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_INLINE | IB_SEND_SIGNALED,
	};

	srp_plain_encode(&iu, sizeof(iu), type, tag);
	if (ib_post_send(ch->qp.qp, &wr, NULL))
		ini_lost(ch->ini, "an answer can't be posted");
}

static void bad(struct srp_channel *ch, const struct ini_recv *r, u32 len)
{
	srp_lock(&ch->lock);
	srp_count(&ch->n_bad, 1);
	srp_unlock(&ch->lock);
	srp_log("initiator of %s: %u bytes of type %d make no sense", ch->ini->name, len, srp_iu_type(r->iu, len));
	ini_lost(ch->ini, "the target sends garbage");
}

static void on_response(struct srp_channel *ch, struct ini_recv *r, const struct ib_wc *wc)
{
	struct srp_rsp rsp;

	if (srp_rsp_decode(r->iu, wc->byte_len, &rsp)) {
		bad(ch, r, wc->byte_len);
		return;
	}
	if (!(rsp.tag & INI_TM_TAG)) {
		response(ch, r, &rsp, wc->wc_flags & IB_WC_WITH_INVALIDATE ? wc->ex.invalidate_rkey : 0);
		return;
	}
	srp_lock(&ch->lock);
	add_credits(ch, rsp.delta);
	srp_unlock(&ch->lock);
	if (!ini_tm_answer(ch, &rsp))
		srp_log("initiator of %s: a late answer to task management is ignored", ch->ini->name);
	if (ini_recv_post(r))
		ini_lost(ch->ini, "a receive can't be posted");
	ini_pump(ch);
}

static void on_request(struct srp_channel *ch, struct ini_recv *r, u32 len)
{
	struct srp_initiator_attr *a = &ch->ini->attr;
	bool aer = srp_iu_type(r->iu, len) == SRP_AER_REQ;
	struct srp_aer_req req = { .tag = 0 };
	u32 delta = 0;

	if (aer ? srp_aer_req_decode(r->iu, len, &req) : srp_word_decode(r->iu, len, SRP_CRED_REQ, &req.tag, &delta)) {
		bad(ch, r, len);
		return;
	}
	srp_lock(&ch->lock);
	add_credits(ch, aer ? req.delta : (s32)delta);
	srp_unlock(&ch->lock);
	if (aer && a->event)
		a->event(a->ctx, req.sense, req.sense_len);
	if (ini_recv_post(r))
		ini_lost(ch->ini, "a receive can't be posted");
	reply(ch, aer ? SRP_AER_RSP : SRP_CRED_RSP, req.tag);
	ini_pump(ch);
}

void ini_recv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct ini_recv *r = srp_container_of(wc->wr_cqe, struct ini_recv, cqe);
	struct srp_channel *ch = r->ch;

	(void)cq;
	if (wc->status) {
		/* A rejection flushes the queue pair before the handler hears of it. */
		if (wc->status != IB_WC_WR_FLUSH_ERR || __atomic_load_n(&ch->accepted, __ATOMIC_ACQUIRE))
			ini_lost(ch->ini, ib_wc_status_msg(wc->status));
		return;
	}
	switch (srp_iu_type(r->iu, wc->byte_len)) {
	case SRP_RSP:
		on_response(ch, r, wc);
		break;
	case SRP_CRED_REQ:
	case SRP_AER_REQ:
		on_request(ch, r, wc->byte_len);
		break;
	case SRP_T_LOGOUT:
		ini_lost(ch->ini, "the target logs us out");
		break;
	default:
		bad(ch, r, wc->byte_len);
		break;
	}
}

void ini_slot_init(struct srp_slot *s, struct srp_channel *ch, u32 index)
{
	s->ch = ch;
	s->index = index;
	s->tag = index;
	s->send_cqe.done = slot_sent;
	s->next = ch->free;
	ch->free = s;
}
