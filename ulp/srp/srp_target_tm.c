/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SRP target: task management (SRP r16a 6.7, SAM-4 7). A function marks the
 * commands that it ends, wherever they are, and is answered when all of them have
 * been dropped: after the answer no byte of them moves any more.
 */
#include "srp_target.h"

static void answered(struct ib_cq *cq, struct ib_wc *wc)
{
	struct tgt_cmd *tm = srp_container_of(wc->wr_cqe, struct tgt_cmd, cqe);

	(void)cq;
	if (wc->status)
		tgt_fail(tm->ch);
	tm->next = tm->ch->free;
	tm->ch->free = tm;
}

/* In any thread: that of the last command that was waited for. */
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
	__atomic_fetch_sub(&ch->tms, 1, __ATOMIC_RELAXED);
	rsp.delta = 1 + (s32)__atomic_exchange_n(&ch->owed, 0, __ATOMIC_RELAXED);
	sge.length = srp_rsp_encode(iu, sizeof(iu), &rsp);
	tm->cqe.done = answered;
	if (ib_post_send(ch->qp.qp, &wr, NULL))
		tgt_fail(ch);
	/* The last touch: the channel may go now. */
	__atomic_fetch_sub(&ch->tm_refs, 1, __ATOMIC_RELEASE);
}

void tgt_aborter_done(struct tgt_cmd *tm)
{
	if (!__atomic_sub_fetch(&tm->waits, 1, __ATOMIC_ACQ_REL))
		reply(tm);
}

/* One command, if it is in hand and the one that is meant. The target's lock is held: no other function marks now. */
static void mark(struct tgt_cmd *c, struct tgt_cmd *tm, const u64 *tag)
{
	u32 state = __atomic_load_n(&c->state, __ATOMIC_ACQUIRE);

	if ((state & (TGT_STATES - 1)) != TGT_ACTIVE || (tag && __atomic_load_n(&c->tag, __ATOMIC_RELAXED) != *tag))
		return;
	__atomic_store_n(&c->aborter, tm, __ATOMIC_RELAXED);
	__atomic_fetch_add(&tm->waits, 1, __ATOMIC_RELAXED);
	if (!__atomic_compare_exchange_n(&c->state, &state, state - TGT_ACTIVE + TGT_ABORTED, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		__atomic_fetch_sub(&tm->waits, 1, __ATOMIC_RELAXED);
}

static void mark_all(struct tgt_cmd *tm, bool everybody, const u64 *tag)
{
	struct srp_target *t = tm->ch->t;
	struct tgt_channel *ch;
	u32 i;

	pthread_mutex_lock(&t->lock);
	for (ch = t->channels; ch; ch = ch->next) {
		if (!everybody && ch->nexus != tm->ch->nexus)
			continue;
		for (i = 0; i < ch->n_cmds; i++)
			mark(&ch->cmds[i], tm, tag);
	}
	pthread_mutex_unlock(&t->lock);
}

static u8 carry_out(struct tgt_cmd *tm)
{
	if (!scsi_lun_exists(tm->tm.lun))
		return SRP_RSP_FAILED;
	switch (tm->tm.function) {
	case SRP_ABORT_TASK:
		mark_all(tm, false, &tm->tm.task_tag);
		return SRP_RSP_OK;
	case SRP_ABORT_TASK_SET:
		mark_all(tm, false, NULL);
		return SRP_RSP_OK;
	case SRP_CLEAR_TASK_SET:
	case SRP_LUN_RESET:
		mark_all(tm, true, NULL);
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
	bad = srp_tsk_mgmt_decode(r->iu, len, &tm->tm);
	srp_count(bad ? &ch->n_bad : &ch->n_task_mgmt, 1);
	if (tgt_recv_post(r))
		tgt_fail(ch);
	/* The credit is counted elsewhere from here on: the answer may come from another thread. */
	__atomic_fetch_add(&ch->tm_refs, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&ch->tms, 1, __ATOMIC_RELAXED);
	ch->taken--;
	tm->waits = 1;
	tm->tm_code = bad ? SRP_RSP_INVALID_FIELDS : carry_out(tm);
	tgt_aborter_done(tm);
}
