/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SRP target: task management (SRP r16a 6.7, SAM-4 7). A function marks the
 * commands that it ends, wherever they are, and is answered when all of them have
 * been dropped, those that an earlier function has marked included: after the answer no byte of them moves any more.
 * A PREEMPT AND ABORT does the same to the commands of those that it preempts (SPC-4 5.13.11.2.7).
 */
#include "srp_target.h"

/* --- answers --- */

static void answered(struct tgt_event *ev)
{
	struct tgt_cmd *tm = srp_container_of(ev, struct tgt_cmd, ev);

	tm->next = tm->ch->free;
	tm->ch->free = tm;
}

static void answer_sent(struct ib_cq *cq, struct ib_wc *wc)
{
	struct tgt_cmd *tm = srp_container_of(wc->wr_cqe, struct tgt_cmd, cqe);

	(void)cq;
	if (wc->status)
		tgt_fail(tm->ch);
	else
		tgt_event(tm->ch, &tm->ev, answered);
}

static void reply(struct tgt_cmd *tm)
{
	u8 iu[SRP_TI_IU];
	struct tgt_channel *ch = tm->ch;
	struct srp_rsp rsp = { .tag = tm->tm.tag, .has_code = true, .code = tm->tm_code };
	struct ib_sge sge = { .addr = (u64)(uintptr_t)iu };
	struct ib_send_wr wr = {
		.wr_cqe = &tm->cqe,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_INLINE | IB_SEND_SIGNALED | IB_SEND_SOLICITED,
	};

	if (tm->tm.function == SRP_LUN_RESET && tm->tm_code == SRP_RSP_OK)
		scsi_device_reset(ch->t->attr.scsi);
	if (tgt_dead(ch))
		return;
	ch->tms--;
	rsp.delta = 1 + (s32)__atomic_exchange_n(&ch->owed, 0, __ATOMIC_RELAXED);
	sge.length = srp_rsp_encode(iu, sizeof(iu), &rsp);
	tm->cqe.done = answer_sent;
	if (ib_post_send(ch->qp.qp, &wr, NULL))
		tgt_fail(ch);
}

/* Nothing is left that it waits for. */
static void over(struct tgt_cmd *tm)
{
	if (!tm->preempts)
		reply(tm);
	else if (tgt_dead(tm->ch))
		tgt_forget(tm);
	else
		tgt_respond(tm, NULL, 0);
}

static void waited(struct tgt_event *ev)
{
	over(srp_container_of(ev, struct tgt_cmd, ev));
}

/* Functions that wait no more; each was in the target's list, and has a reference. */
static void finish(struct tgt_cmd *tms)
{
	struct tgt_cmd *tm;

	while ((tm = tms)) {
		struct tgt_channel *ch = tm->ch;

		tms = tm->tm_next;
		tgt_event(ch, &tm->ev, waited);
		tgt_put(ch);
	}
}

/* --- marks --- */

static bool is_meant(const struct tgt_cmd *tm, const struct tgt_cmd *c)
{
	if (tm->preempts)
		return scsi_preempts(&tm->scsi, &c->ch->nexus->scsi);
	switch (tm->tm.function) {
	case SRP_ABORT_TASK:
		return c->ch->nexus == tm->ch->nexus && __atomic_load_n(&c->tag, __ATOMIC_RELAXED) == tm->tm.task_tag;
	case SRP_ABORT_TASK_SET:
		return c->ch->nexus == tm->ch->nexus;
	default:
		return true;
	}
}

/* Does a nexus get a unit attention because others have ended its commands? After a reset all nexuses get one anyway. */
static bool tells(const struct tgt_cmd *tm, const struct tgt_cmd *c)
{
	return c->ch->nexus != tm->ch->nexus && (tm->preempts || tm->tm.function == SRP_CLEAR_TASK_SET);
}

/*
 * Marks a command, if it is in hand and the function means it. The function also waits for a command that an earlier function
 * has marked. It doesn't wait for a command that only looks and is with the medium: that moves nothing any more.
 * The target's lock is held.
 * Return: it was marked now
 */
static bool mark(struct tgt_cmd *c, struct tgt_cmd *tm)
{
	u32 state = __atomic_load_n(&c->state, __ATOMIC_ACQUIRE);
	bool now = false;

	if (!is_meant(tm, c))
		return false;
	if ((state & (TGT_STATES - 1)) == TGT_ACTIVE) {
		now = __atomic_compare_exchange_n(&c->state, &state, state - TGT_ACTIVE + TGT_ABORTED, false,
						  __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
		if (!now)
			return false;
		if (tells(tm, c))
			scsi_nexus_cleared(&c->ch->nexus->scsi);
		c->marked = tm->tm_number;
		/* Its job's end looks for the mark after it has cleared this. */
		c->quiet = __atomic_load_n(&c->in_job, __ATOMIC_SEQ_CST) == TGT_JOB_MEDIUM && c->only_looks;
	} else if ((state & (TGT_STATES - 1)) != TGT_ABORTED) {
		return false;
	}
	tm->waits += !c->quiet;
	return now;
}

static void swept(struct tgt_event *ev)
{
	struct tgt_channel *ch = srp_container_of(ev, struct tgt_channel, sweep_ev);

	__atomic_store_n(&ch->sweep, 0, __ATOMIC_SEQ_CST);
	tgt_data_sweep(ch);
	if (!tgt_dead(ch))
		tgt_held_sweep(ch);
}

/* The target's lock is held. Return: the channels that have something to drop, with a reference each. */
static struct tgt_channel *mark_all(struct tgt_cmd *tm)
{
	struct srp_target *t = tm->ch->t;
	struct tgt_channel *ch, *sweep = NULL;
	bool any;
	u32 i;

	for (ch = t->channels; ch; ch = ch->next) {
		any = false;
		for (i = 0; i < ch->n_cmds; i++)
			any |= mark(&ch->cmds[i], tm);
		if (!any || __atomic_exchange_n(&ch->sweep, 1, __ATOMIC_SEQ_CST))
			continue;
		tgt_get(ch);
		ch->sweep_next = sweep;
		sweep = ch;
	}
	return sweep;
}

/* Marks what the function ends, and answers it when all of that has been dropped. */
static void end_commands(struct tgt_cmd *tm)
{
	struct tgt_channel *ch, *sweep;
	struct srp_target *t = tm->ch->t;
	u32 waits;

	pthread_mutex_lock(&t->lock);
	tm->tm_number = ++t->tm_number;
	tm->waits = 0;
	sweep = mark_all(tm);
	waits = tm->waits;
	if (waits) {
		tm->tm_next = t->tms;
		t->tms = tm;
		tgt_get(tm->ch);
	}
	pthread_mutex_unlock(&t->lock);
	while ((ch = sweep)) {
		sweep = ch->sweep_next;
		tgt_event(ch, &ch->sweep_ev, swept);
		tgt_put(ch);
	}
	if (!waits)
		over(tm);
}

bool tgt_preempt(struct tgt_cmd *c)
{
	if (!c->scsi.preempted)
		return false;
	c->preempts = true;
	end_commands(c);
	return true;
}

void tgt_abort_done(struct tgt_cmd *c)
{
	struct srp_target *t = c->ch->t;
	struct tgt_cmd **at, *tm, *done = NULL;

	pthread_mutex_lock(&t->lock);
	for (at = &t->tms; (tm = *at);) {
		if (c->quiet || tm->tm_number < c->marked || !is_meant(tm, c) || --tm->waits) {
			at = &tm->tm_next;
			continue;
		}
		*at = tm->tm_next;
		tm->tm_next = done;
		done = tm;
	}
	__atomic_store_n(&c->state, c->state & ~(TGT_STATES - 1u), __ATOMIC_RELEASE);
	pthread_mutex_unlock(&t->lock);
	finish(done);
}

void tgt_forget_tms(struct tgt_channel *ch)
{
	struct srp_target *t = ch->t;
	struct tgt_cmd **at, *tm, *done = NULL;

	pthread_mutex_lock(&t->lock);
	for (at = &t->tms; (tm = *at);) {
		if (tm->ch != ch) {
			at = &tm->tm_next;
			continue;
		}
		*at = tm->tm_next;
		tm->tm_next = done;
		done = tm;
	}
	pthread_mutex_unlock(&t->lock);
	finish(done);
}

/* Return: SRP_RSP_OK: it is to be carried out */
static u8 check(const struct srp_tsk_mgmt *tm)
{
	if (!scsi_lun_exists(tm->lun))
		return SRP_RSP_FAILED;
	switch (tm->function) {
	case SRP_ABORT_TASK:
	case SRP_ABORT_TASK_SET:
	case SRP_CLEAR_TASK_SET:
	case SRP_LUN_RESET:
		return SRP_RSP_OK;
	default:
		return SRP_RSP_NOT_SUPPORTED;
	}
}

void tgt_task_mgmt(struct tgt_channel *ch, struct tgt_recv *r, u32 len)
{
	struct tgt_cmd *tm = ch->free;
	enum srp_bad bad;

	if (!tm) {
		tgt_logout(ch, SRP_LOGOUT_NONE);
		return;
	}
	ch->free = tm->next;
	tm->preempts = false;
	bad = srp_tsk_mgmt_decode(r->iu, len, &tm->tm);
	srp_count(bad ? &ch->n_bad : &ch->n_task_mgmt, 1);
	if (tgt_recv_post(r))
		tgt_fail(ch);
	/* Its credit is counted here until it is answered: its answer brings other commands' credits, too. */
	ch->tms++;
	ch->taken--;
	tm->tm_code = bad ? SRP_RSP_INVALID_FIELDS : check(&tm->tm);
	if (tm->tm_code == SRP_RSP_OK)
		end_commands(tm);
	else
		reply(tm);
}
