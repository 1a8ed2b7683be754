/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SRP initiator: time that runs out, and task management. A request that takes too
 * long is aborted; if that isn't answered the logical unit is reset; if that isn't
 * either the connection is given up. All of it from the initiator's thread, one
 * function at a time.
 *
 * A function's answer comes behind all responses that the target sent before it on the same channel. So what is not
 * answered then never will be, and its memory is ours again once its keys are void.
 */
#include <unistd.h>

#include "srp_initiator.h"

#define PENDING (-EINPROGRESS)

/* --- one function --- */

bool ini_tm_answer(struct srp_channel *ch, const struct srp_rsp *rsp)
{
	struct srp_initiator *ini = ch->ini;
	bool expected;

	srp_lock(&ch->lock);
	expected = ch->tm_tag == rsp->tag && ch->tm_result == PENDING;
	if (expected)
		ch->tm_result = rsp->has_code ? rsp->code : SRP_RSP_FAILED;
	else
		srp_count(&ch->n_bad, 1);
	srp_unlock(&ch->lock);
	if (!expected)
		return false;
	pthread_mutex_lock(&ini->lock);
	pthread_cond_broadcast(&ini->done);
	pthread_mutex_unlock(&ini->lock);
	return true;
}

static int tm_result(struct srp_channel *ch)
{
	int result;

	srp_lock(&ch->lock);
	result = ch->tm_result;
	srp_unlock(&ch->lock);
	return result;
}

static int wait_answer(struct srp_channel *ch)
{
	struct srp_initiator *ini = ch->ini;
	u64 until = srp_now_ms() + ini->attr.abort_ms;
	int result;

	pthread_mutex_lock(&ini->lock);
	while (tm_result(ch) == PENDING && srp_now_ms() < until && !__atomic_load_n(&ini->lost, __ATOMIC_ACQUIRE))
		ini_wait(ini, &ini->done, until);
	pthread_mutex_unlock(&ini->lock);
	srp_lock(&ch->lock);
	result = ch->tm_result;
	ch->tm_tag = 0;
	srp_unlock(&ch->lock);
	if (result == PENDING)
		return -ETIMEDOUT;
	return result == SRP_RSP_OK ? 0 : -EIO;
}

/* Return: 0: done; -EIO: refused, or it can't be sent; -ETIMEDOUT */
static int function(struct srp_channel *ch, struct srp_tsk_mgmt *tm)
{
	struct srp_wire_tsk_mgmt iu;
	struct ib_sge sge = { .addr = (u64)(uintptr_t)&iu, .length = sizeof(iu) };
	struct ib_send_wr wr = {
		.wr_cqe = &ch->ours_cqe,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_INLINE | IB_SEND_SIGNALED,
	};
	bool may;

	srp_lock(&ch->lock);
	may = ch->live && ch->credits > 0;
	if (may) {
		ch->credits--;
		tm->tag = ch->tm_tag = INI_TM_TAG | ++ch->tms;
		ch->tm_result = PENDING;
	}
	srp_unlock(&ch->lock);
	if (!may)
		return -EIO;
	srp_tsk_mgmt_encode(&iu, sizeof(iu), tm);
	if (ib_post_send(ch->qp.qp, &wr, NULL)) {
		ini_lost(ch->ini, "task management can't be posted");
		return -EIO;
	}
	return wait_answer(ch);
}

/* --- what is over --- */

/* The lock is held. Return: the slot's request gets no response any more, and is ended by who asks. */
static bool claim(struct srp_slot *s, int error)
{
	if (s->state != INI_SENT)
		return false;
	s->state = INI_ENDING;
	s->req->error = error;
	return true;
}

static void give_up(struct srp_slot *s)
{
	int err;

	s->inv_cqe.done = ini_invalidated;
	err = ini_invalidate(s, 0);
	if (!err)
		ini_end(s);
	else if (err < 0)
		ini_lost(s->ch->ini, "a key can't be made void");
}

static void give_up_all(struct srp_channel *ch, int error)
{
	bool mine;
	u32 i;

	for (i = 0; i < ch->n_slots; i++) {
		srp_lock(&ch->lock);
		mine = claim(&ch->slots[i], error);
		srp_unlock(&ch->lock);
		if (mine)
			give_up(&ch->slots[i]);
	}
}

/* --- who is at it --- */

/* Nothing new is sent. Return: what was begun before is posted; false: somebody takes too long with it. */
static bool hold(struct srp_channel *ch)
{
	u64 until = srp_now_ms() + ch->ini->attr.abort_ms;

	srp_lock(&ch->lock);
	ch->hold = true;
	srp_unlock(&ch->lock);
	while (__atomic_load_n(&ch->inside, __ATOMIC_ACQUIRE)) {
		if (srp_now_ms() >= until)
			return false;
		usleep(100);
	}
	return true;
}

static void let_go(struct srp_channel *ch)
{
	srp_lock(&ch->lock);
	ch->hold = false;
	srp_unlock(&ch->lock);
	ini_pump(ch);
}

/* --- abort --- */

/* A request that was never sent. Return: it was in the queue. */
static bool unqueue(struct srp_channel *ch, struct srp_request *req)
{
	struct srp_request **at;
	bool found;

	srp_lock(&ch->lock);
	for (at = &ch->pending; *at && *at != req; at = &(*at)->next)
		;
	found = *at;
	if (found) {
		*at = req->next;
		if (ch->pending_last == &req->next)
			ch->pending_last = at;
	}
	srp_unlock(&ch->lock);
	return found;
}

static struct srp_slot *find(struct srp_channel *ch, const struct srp_request *req, u64 *tag, u8 *lun)
{
	struct srp_slot *s = NULL;
	u32 i;

	srp_lock(&ch->lock);
	for (i = 0; i < ch->n_slots && !s; i++) {
		if (ch->slots[i].state == INI_SENT && ch->slots[i].req == req)
			s = &ch->slots[i];
	}
	if (s) {
		*tag = s->tag;
		memcpy(lun, s->req->lun, SCSI_LUN_LEN);
	}
	srp_unlock(&ch->lock);
	return s;
}

int ini_abort(struct srp_channel *ch, struct srp_request *req, int error)
{
	struct srp_tsk_mgmt tm = { .function = SRP_ABORT_TASK };
	struct srp_slot *s;
	bool mine, posted;
	int err;

	if (unqueue(ch, req)) {
		req->error = error;
		ini_done(req);
		return 0;
	}
	/* Found when no thread is sending: so it was posted, and the function goes behind it. */
	posted = hold(ch);
	s = find(ch, req, &tm.task_tag, tm.lun);
	let_go(ch);
	if (!s || !posted)
		return s ? -ETIMEDOUT : -ENOENT;
	err = function(ch, &tm);
	if (err)
		return err;
	srp_lock(&ch->lock);
	mine = s->tag == tm.task_tag && claim(s, error);
	srp_unlock(&ch->lock);
	if (mine)
		give_up(s);
	return 0;
}

/* --- reset --- */

int ini_reset(struct srp_channel *ch, const u8 lun[SCSI_LUN_LEN], int error)
{
	struct srp_initiator *ini = ch->ini;
	struct srp_tsk_mgmt tm = { .function = SRP_LUN_RESET };
	u32 i;
	int err = 0;

	memcpy(tm.lun, lun, SCSI_LUN_LEN);
	for (i = 0; i < ini->attr.channels; i++) {
		if (!hold(&ini->channels[i]))
			err = -ETIMEDOUT;
	}
	if (!err)
		err = function(ch, &tm);
	/*
	 * On other channels commands may still be on their way to the target. A function there goes behind them, and so
	 * does its answer.
	 */
	for (i = 0; i < ini->attr.channels && !err; i++) {
		struct srp_tsk_mgmt set = tm;

		set.function = SRP_ABORT_TASK_SET;
		if (&ini->channels[i] != ch)
			err = function(&ini->channels[i], &set);
	}
	for (i = 0; i < ini->attr.channels && !err; i++)
		give_up_all(&ini->channels[i], error);
	for (i = 0; i < ini->attr.channels; i++)
		let_go(&ini->channels[i]);
	return err;
}

/* --- time --- */

/* Return: a request whose time is over, or NULL */
static struct srp_request *expired(struct srp_channel *ch, u64 tick, u8 *lun)
{
	struct srp_request *req = NULL;
	u32 i;

	srp_lock(&ch->lock);
	for (i = 0; i < ch->n_slots && !req; i++) {
		struct srp_slot *s = &ch->slots[i];

		if (s->state == INI_SENT && s->req->expires <= tick) {
			req = s->req;
			memcpy(lun, req->lun, SCSI_LUN_LEN);
		}
	}
	srp_unlock(&ch->lock);
	return req;
}

static void count(struct srp_initiator *ini, u64 *n)
{
	pthread_mutex_lock(&ini->lock);
	++*n;
	pthread_mutex_unlock(&ini->lock);
}

static void escalate(struct srp_channel *ch, struct srp_request *req, const u8 *lun)
{
	struct srp_initiator *ini = ch->ini;
	int err;

	count(ini, &ini->n_timeouts);
	count(ini, &ini->n_aborts);
	err = ini_abort(ch, req, -ETIMEDOUT);
	if (!err || err == -ENOENT)
		return;
	count(ini, &ini->n_lun_resets);
	if (!__atomic_load_n(&ini->lost, __ATOMIC_ACQUIRE) && ini_reset(ch, lun, -ETIMEDOUT))
		ini_lost(ini, "the target answers neither commands nor task management");
}

/* A request whose time was over before its turn came. Return: NULL if there is none */
static struct srp_request *expired_in_queue(struct srp_channel *ch, u64 tick)
{
	struct srp_request **at, *req;

	srp_lock(&ch->lock);
	for (at = &ch->pending; *at && (*at)->expires > tick; at = &(*at)->next)
		;
	req = *at;
	if (req) {
		*at = req->next;
		if (!*at)
			ch->pending_last = at;
	}
	srp_unlock(&ch->lock);
	return req;
}

static void end_queued(struct srp_channel *ch, u64 tick)
{
	struct srp_request *req;

	while ((req = expired_in_queue(ch, tick))) {
		count(ch->ini, &ch->ini->n_timeouts);
		req->error = -ETIMEDOUT;
		ini_done(req);
	}
}

void ini_check_timeouts(struct srp_initiator *ini)
{
	u64 tick = __atomic_load_n(&ini->tick, __ATOMIC_RELAXED);
	struct srp_request *req;
	u8 lun[SCSI_LUN_LEN];
	u32 i;

	for (i = 0; i < ini->attr.channels; i++) {
		end_queued(&ini->channels[i], tick);
		while (!__atomic_load_n(&ini->lost, __ATOMIC_ACQUIRE) && (req = expired(&ini->channels[i], tick, lun)))
			escalate(&ini->channels[i], req, lun);
	}
}
