/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SRP target: information units as they come, commands to the device server, and
 * responses. All of it runs in the channel's events.
 */
#include "srp_target.h"

int tgt_recv_post(struct tgt_recv *r)
{
	struct tgt_channel *ch = r->ch;
	struct ib_sge sge = { .addr = hca_dma_u64(r->dma), .length = ch->max_iu, .lkey = ch->pd->local_dma_lkey };
	struct ib_recv_wr wr = { .wr_cqe = &r->cqe, .sg_list = &sge, .num_sge = 1 };

	return ib_post_recv(ch->qp.qp, &wr, NULL);
}

static void recv_put(struct tgt_recv *r)
{
	if (r && !tgt_dead(r->ch) && tgt_recv_post(r))
		tgt_fail(r->ch);
}

/* --- commands in hand --- */

static struct tgt_cmd *cmd_get(struct tgt_channel *ch)
{
	struct tgt_cmd *c = ch->free;

	if (c)
		ch->free = c->next;
	return c;
}

static void cmd_put(struct tgt_cmd *c)
{
	struct tgt_channel *ch = c->ch;

	c->next = ch->free;
	ch->free = c;
}

/* The next state, of the next command in this place if it is ACTIVE. */
static void cmd_activate(struct tgt_cmd *c)
{
	__atomic_store_n(&c->state, ((c->state & ~(TGT_STATES - 1u)) + TGT_STATES) | TGT_ACTIVE, __ATOMIC_RELEASE);
}

/* From here on it can't be aborted. Return: false: it was aborted. */
static bool cmd_settle(struct tgt_cmd *c)
{
	u32 active = (__atomic_load_n(&c->state, __ATOMIC_RELAXED) & ~(TGT_STATES - 1u)) | TGT_ACTIVE;

	return __atomic_compare_exchange_n(&c->state, &active, active - TGT_ACTIVE, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

/* The end of a command without a response: its credit is owed, and the aborting function is notified. */
void tgt_drop(struct tgt_cmd *c)
{
	struct tgt_channel *ch = c->ch;
	struct tgt_area *a = tgt_area_take(c);

	tgt_part_put(c);
	recv_put(c->recv);
	c->recv = NULL;
	ch->taken--;
	__atomic_fetch_add(&ch->owed, 1, __ATOMIC_RELAXED);
	srp_count(&ch->n_aborted, 1);
	tgt_abort_done(c);
	cmd_put(c);
	tgt_area_give(ch, a);
	tgt_release(ch);
	tgt_credit(ch);
}

void tgt_forget(struct tgt_cmd *c)
{
	if (cmd_settle(c) || !tgt_aborted(c))
		return;
	srp_count(&c->ch->n_aborted, 1);
	tgt_abort_done(c);
}

/* --- responses --- */

/* Those before it in the queue were done before it. */
static void sent_up_to(struct tgt_event *ev)
{
	struct tgt_cmd *last = srp_container_of(ev, struct tgt_cmd, ev);
	struct tgt_channel *ch = last->ch;
	struct tgt_area *a;
	struct tgt_cmd *c;

	do {
		c = ch->flying;
		ch->flying = c->next;
		if (!ch->flying)
			ch->flying_last = &ch->flying;
		a = tgt_area_take(c);
		cmd_put(c);
		tgt_area_give(ch, a);
	} while (c != last);
}

static void sent(struct ib_cq *cq, struct ib_wc *wc)
{
	struct tgt_cmd *last = srp_container_of(wc->wr_cqe, struct tgt_cmd, cqe);

	(void)cq;
	if (wc->status)
		tgt_fail(last->ch);
	else
		tgt_event(last->ch, &last->ev, sent_up_to);
}

static void fly(struct tgt_cmd *c)
{
	struct tgt_channel *ch = c->ch;

	c->cqe.done = sent;
	c->next = NULL;
	*ch->flying_last = c;
	ch->flying_last = &c->next;
}

static void residuals(const struct tgt_cmd *c, struct srp_rsp *rsp)
{
	/* What scsi_limit() refuses would have moved all of its length. */
	bool whole = rsp->status == SCSI_GOOD || !c->scsi.expect;
	s64 res = (s64)c->data.len - (s64)(whole ? c->scsi.length : c->scsi.moved);

	if (c->scsi.phase == SCSI_NO_DATA)
		res = c->data.len;
	if (c->in) {
		rsp->in_residual = res;
		rsp->out_residual = c->other;
	} else {
		rsp->out_residual = res;
		rsp->in_residual = c->other;
	}
}

/* The bytes of a response behind what moves the data; @iu must stay until it was posted. */
static bool post_response(struct tgt_cmd *c, struct srp_rsp *rsp, struct ib_rdma_wr *wrs, u32 n)
{
	u8 iu[SRP_TI_IU];
	struct tgt_channel *ch = c->ch;
	struct ib_sge sge = { .addr = (u64)(uintptr_t)iu };
	struct ib_send_wr wr = {
		.wr_cqe = &c->cqe,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = c->key ? IB_WR_SEND_WITH_INV : IB_WR_SEND,
		.send_flags = IB_SEND_INLINE | IB_SEND_SOLICITED,
		.ex = { .invalidate_rkey = c->key },
	};
	/* Nothing that it uses is in flight once it was posted: the response is inline, and so was the data, if any. */
	bool settled = !n || wrs[0].wr.send_flags & IB_SEND_INLINE;

	rsp->delta = 1;
	if (__atomic_load_n(&ch->owed, __ATOMIC_RELAXED))
		rsp->delta += (s32)__atomic_exchange_n(&ch->owed, 0, __ATOMIC_RELAXED);
	sge.length = srp_rsp_encode(iu, sizeof(iu), rsp);
	/* Others may be waiting for the area. */
	if (++ch->quiet >= TGT_QUIET || !ch->free || c->area) {
		wr.send_flags |= IB_SEND_SIGNALED;
		ch->quiet = 0;
	}
	/* Those that are signalled must be in the list, too: their completion frees up to themselves. */
	if (!settled || wr.send_flags & IB_SEND_SIGNALED)
		fly(c);
	else
		c->cqe.done = sent;
	ch->taken--;
	if (n)
		wrs[n - 1].wr.next = &wr;
	if (ib_post_send(ch->qp.qp, n ? &wrs[0].wr : &wr, NULL)) {
		tgt_fail(ch);
		return false;
	}
	if (settled && !(wr.send_flags & IB_SEND_SIGNALED))
		cmd_put(c);
	return true;
}

void tgt_respond(struct tgt_cmd *c, struct ib_rdma_wr *wrs, u32 n)
{
	struct tgt_channel *ch = c->ch;
	struct srp_rsp rsp = { .tag = c->tag, .sense = c->sense };
	struct tgt_area *a = NULL;

	/* What needed the medium has been finished by a worker. */
	if (!c->finished)
		tgt_finish(c);
	if (!c->preempts && tgt_preempt(c))
		return;
	if (!cmd_settle(c)) {
		tgt_drop(c);
		return;
	}
	rsp.status = c->status;
	rsp.sense_len = c->sense_len;
	residuals(c, &rsp);
	if (!n)
		a = tgt_area_take(c);
	recv_put(c->recv);
	c->recv = NULL;
	srp_count(c->in ? &ch->n_bytes_in : &ch->n_bytes_out, c->scsi.moved);
	post_response(c, &rsp, wrs, n);
	tgt_area_give(ch, a);
	tgt_release(ch);
}

/* --- refusals --- */

/* An IU that has a tag and makes no sense: a response with the code, as if it had been a command. */
static void refuse(struct tgt_channel *ch, struct tgt_recv *r, u64 tag, u8 code)
{
	struct srp_rsp rsp = { .tag = tag, .has_code = true, .code = code };
	struct tgt_cmd *c = cmd_get(ch);

	srp_count(&ch->n_bad, 1);
	if (!c) {
		tgt_logout(ch, SRP_LOGOUT_NONE);
		return;
	}
	c->key = 0;
	c->area = NULL;
	recv_put(r);
	post_response(c, &rsp, NULL, 0);
	tgt_release(ch);
}

void tgt_refuse(struct tgt_cmd *c)
{
	struct srp_rsp rsp = { .tag = c->tag, .has_code = true, .code = SRP_RSP_INVALID_FIELDS };
	struct tgt_channel *ch = c->ch;
	struct tgt_area *a;

	if (!cmd_settle(c)) {
		tgt_drop(c);
		return;
	}
	srp_count(&ch->n_bad, 1);
	tgt_part_put(c);
	a = tgt_area_take(c);
	recv_put(c->recv);
	c->recv = NULL;
	c->key = 0;
	post_response(c, &rsp, NULL, 0);
	tgt_area_give(ch, a);
	tgt_release(ch);
}

/* --- commands --- */

/*
 * Which buffer is the command's, and how much of it; one in the other direction moves nothing. A command with data and
 * without a buffer is one with a buffer of no bytes.
 */
static void choose_data(struct tgt_cmd *c, const struct srp_cmd *iu)
{
	c->in = c->scsi.phase == SCSI_REPLY || c->scsi.phase == SCSI_DATA_IN ||
		(c->scsi.phase == SCSI_NO_DATA && iu->out.format == SRP_DATA_NONE);
	c->data = c->in ? iu->in : iu->out;
	c->other = (c->in ? &iu->out : &iu->in)->len;
	c->descs = c->data.descs;
	c->fetched = c->data.count == c->data.total;
	c->at = 0;
	c->at_off = 0;
	/* One key for all of the data is one that the initiator made for this command. */
	c->key = c->ch->invalidate && c->data.format == SRP_DATA_DIRECT && c->data.len && !c->other ?
			 srp_desc_get(c->descs, 0).key :
			 0;
}

/* Commands in hand that are not held, without this one. */
static u32 others(const struct tgt_cmd *c, u32 itself)
{
	return c->ch->taken - c->ch->n_held - itself;
}

/* May a held command begin? An ORDERED command begins when nothing is in hand, and is alone until its end. */
static bool may_begin(const struct tgt_cmd *c)
{
	return !others(c, 0) || (c->attr != SRP_ORDERED && !c->ch->ordered);
}

/* Must a command that has just come wait for others? A HEAD OF QUEUE command never waits. */
static bool must_hold(const struct tgt_cmd *c)
{
	struct tgt_channel *ch = c->ch;
	bool alone = !others(c, 1);

	if (c->attr == SRP_HEAD_OF_QUEUE)
		return false;
	if (!ch->held && (alone || (c->attr != SRP_ORDERED && !ch->ordered))) {
		ch->ordered = c->attr == SRP_ORDERED;
		return false;
	}
	return true;
}

static void hold(struct tgt_cmd *c)
{
	struct tgt_channel *ch = c->ch;

	c->next = NULL;
	*ch->held_last = c;
	ch->held_last = &c->next;
	ch->n_held++;
}

static void begun(struct tgt_cmd *c, const struct srp_cmd *iu)
{
	choose_data(c, iu);
	scsi_limit(&c->scsi, c->data.len);
	c->only_looks = scsi_only_looks(&c->scsi);
	tgt_data_begin(c);
}

static void begun_with_medium(struct tgt_event *ev)
{
	struct tgt_cmd *c = srp_container_of(ev, struct tgt_cmd, ev);
	struct srp_cmd iu;

	__atomic_store_n(&c->in_job, TGT_NO_JOB, __ATOMIC_SEQ_CST);
	if (tgt_dead(c->ch)) {
		tgt_forget(c);
	} else if (tgt_aborted(c)) {
		tgt_drop(c);
	} else {
		srp_cmd_decode(c->recv->iu, c->recv->len, &iu);
		begun(c, &iu);
	}
}

/* In a worker. */
static void begin_with_medium(struct tgt_job *job)
{
	struct tgt_cmd *c = srp_container_of(job, struct tgt_cmd, job);
	struct srp_cmd iu;

	if (!tgt_aborted(c)) {
		/* It was good when it came. */
		srp_cmd_decode(c->recv->iu, c->recv->len, &iu);
		scsi_begin(&c->scsi, &c->ch->nexus->scsi, iu.lun, iu.cdb, iu.cdb_len, c->buf);
	}
	tgt_event(c->ch, &c->ev, begun_with_medium);
}

static void begin(struct tgt_cmd *c, const struct srp_cmd *iu)
{
	if (scsi_begin_waits(iu->cdb, iu->cdb_len)) {
		c->only_looks = true;
		__atomic_store_n(&c->in_job, TGT_JOB_MEDIUM, __ATOMIC_SEQ_CST);
		tgt_job(c->ch, &c->job, begin_with_medium);
		return;
	}
	scsi_begin(&c->scsi, &c->ch->nexus->scsi, iu->lun, iu->cdb, iu->cdb_len, c->buf);
	begun(c, iu);
}

static void command(struct tgt_channel *ch, struct tgt_recv *r, u32 len)
{
	struct srp_cmd iu;
	enum srp_bad bad = srp_cmd_decode(r->iu, len, &iu);
	struct tgt_cmd *c;

	srp_count(&ch->n_commands, 1);
	if (!bad && (iu.out.total > ch->t->attr.max_table || iu.in.total > ch->t->attr.max_table))
		bad = SRP_BAD_TABLE;
	if (bad) {
		refuse(ch, r, iu.tag, SRP_RSP_INVALID_FIELDS);
		return;
	}
	c = cmd_get(ch);
	if (!c) {
		/* More than were granted: counted already, but better safe. */
		tgt_logout(ch, SRP_LOGOUT_NONE);
		return;
	}
	__atomic_store_n(&c->tag, iu.tag, __ATOMIC_RELAXED);
	c->recv = r;
	c->area = NULL;
	c->by_copy = false;
	c->lost = false;
	c->finished = false;
	c->preempts = false;
	c->attr = iu.attr;
	cmd_activate(c);
	if (must_hold(c))
		hold(c);
	else
		begin(c, &iu);
}

/* --- task attributes (SAM-4 8.6) --- */

void tgt_release(struct tgt_channel *ch)
{
	struct srp_cmd iu;
	struct tgt_cmd *c;

	/* Those that end at once come here again. */
	if (!ch->held || ch->releasing)
		return;
	ch->releasing = true;
	while ((c = ch->held) && !tgt_dead(ch) && may_begin(c)) {
		ch->held = c->next;
		if (!ch->held)
			ch->held_last = &ch->held;
		ch->n_held--;
		ch->ordered = c->attr == SRP_ORDERED;
		/* It was good when it came. */
		srp_cmd_decode(c->recv->iu, c->recv->len, &iu);
		if (tgt_aborted(c))
			tgt_drop(c);
		else
			begin(c, &iu);
	}
	ch->releasing = false;
}

void tgt_held_sweep(struct tgt_channel *ch)
{
	struct tgt_cmd **at = &ch->held, *c;

	while ((c = *at)) {
		if (!tgt_aborted(c)) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		if (!*at)
			ch->held_last = at;
		ch->n_held--;
		tgt_drop(c);
		at = &ch->held;
	}
}

/* --- what comes --- */

/* The initiator's answer to a request of ours. */
static void answer(struct tgt_channel *ch, struct tgt_recv *r)
{
	if (!__atomic_exchange_n(&ch->ours, 0, __ATOMIC_RELAXED)) {
		srp_count(&ch->n_bad, 1);
		tgt_logout(ch, SRP_LOGOUT_RESPONSE);
		return;
	}
	recv_put(r);
	tgt_credit(ch);
}

/* A request takes a credit. Return: false: there was none, and that is the end of the channel. */
static bool take_credit(struct tgt_channel *ch)
{
	u32 owed = __atomic_load_n(&ch->owed, __ATOMIC_RELAXED);

	if (ch->taken + ch->tms + owed < ch->t->attr.depth + 1) {
		ch->taken++;
		return true;
	}
	srp_count(&ch->n_bad, 1);
	srp_log("target %s: an initiator sent more than its %u requests", ch->t->name, ch->t->attr.depth + 1);
	tgt_logout(ch, SRP_LOGOUT_NONE);
	return false;
}

static void dispatch(struct tgt_channel *ch, struct tgt_recv *r, u32 len)
{
	u64 tag;

	switch (srp_iu_type(r->iu, len)) {
	case SRP_CMD:
		if (!srp_iu_tag(r->iu, len, &tag))
			break;
		if (take_credit(ch))
			command(ch, r, len);
		return;
	case SRP_TSK_MGMT:
		if (!srp_iu_tag(r->iu, len, &tag))
			break;
		if (take_credit(ch))
			tgt_task_mgmt(ch, r, len);
		return;
	case SRP_I_LOGOUT:
		tgt_fail(ch);
		return;
	case SRP_CRED_RSP:
	case SRP_AER_RSP:
		if (!srp_iu_tag(r->iu, len, &tag))
			break;
		answer(ch, r);
		return;
	default:
		break;
	}
	srp_count(&ch->n_bad, 1);
	srp_log("target %s: an IU of %u bytes, type %d: the initiator is logged out", ch->t->name, len,
		srp_iu_type(r->iu, len));
	tgt_logout(ch, len < sizeof(struct srp_wire_plain) ? SRP_LOGOUT_LENGTH : SRP_LOGOUT_TYPE);
}

static void received(struct tgt_event *ev)
{
	struct tgt_recv *r = srp_container_of(ev, struct tgt_recv, ev);

	if (__atomic_load_n(&r->ch->state, __ATOMIC_ACQUIRE) == TGT_LIVE)
		dispatch(r->ch, r, r->len);
}

void tgt_recv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct tgt_recv *r = srp_container_of(wc->wr_cqe, struct tgt_recv, cqe);

	(void)cq;
	if (wc->status) {
		tgt_fail(r->ch);
		return;
	}
	r->len = wc->byte_len;
	tgt_event(r->ch, &r->ev, received);
}
