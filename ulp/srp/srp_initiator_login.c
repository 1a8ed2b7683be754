/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SRP initiator: a channel's way up and down. From the initiator's thread alone.
 */
#include <unistd.h>

#include "srp_initiator.h"

#define IU_FIXED (sizeof(struct srp_wire_cmd) + SRP_CDB_MAX - 16 + SRP_TABLE_BYTES)

/* --- what a channel has --- */

static void ours_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct srp_channel *ch = srp_container_of(wc->wr_cqe, struct srp_channel, ours_cqe);

	(void)cq;
	if (wc->status)
		ini_lost(ch->ini, ib_wc_status_msg(wc->status));
}

static int make_slots(struct srp_channel *ch)
{
	u32 i, room = (ch->max_iu + 15) & ~15u;
	int err;

	ch->n_slots = ch->ini->attr.depth;
	ch->slots = srp_alloc(ch->n_slots, sizeof(*ch->slots));
	if (!ch->slots)
		return -ENOMEM;
	err = srp_mem_make(&ch->iu_mem, ch->ini->attr.device, (size_t)ch->n_slots * room);
	if (err)
		return err;
	for (i = ch->n_slots; i-- > 0;) {
		ini_slot_init(&ch->slots[i], ch, i);
		ch->slots[i].iu = ch->iu_mem.cpu + (size_t)i * room;
		ch->slots[i].iu_dma = ch->iu_mem.dma + (u64)i * room;
	}
	return 0;
}

static int make_recvs(struct srp_channel *ch)
{
	const u32 room = (SRP_TI_IU + 15) & ~15u;
	u32 i;
	int err;

	/* One for each request, one for task management, and those of the target's own requests. */
	ch->n_recvs = ch->ini->attr.depth + 4;
	ch->recvs = srp_alloc(ch->n_recvs, sizeof(*ch->recvs));
	if (!ch->recvs)
		return -ENOMEM;
	err = srp_mem_make(&ch->recv_mem, ch->ini->attr.device, (size_t)ch->n_recvs * room);
	if (err)
		return err;
	for (i = 0; i < ch->n_recvs; i++) {
		ch->recvs[i] = (struct ini_recv){
			.cqe = { .done = ini_recv_done },
			.ch = ch,
			.iu = ch->recv_mem.cpu + (size_t)i * room,
			.dma = ch->recv_mem.dma + (u64)i * room,
		};
	}
	return 0;
}

static int make_qp(struct srp_channel *ch)
{
	const struct srp_initiator_attr *a = &ch->ini->attr;
	struct srp_qp_attr attr = {
		.id = ch->conn->id,
		.pd = ch->pd,
		.poll = a->poll,
		.sends = 2 * a->depth + 8 + (a->memory == SRP_MEMORY_FAST ? 2 * (a->max_sg + a->depth) : 0),
		.recvs = ch->n_recvs,
		.ctx = ch,
	};
	int err = srp_qp_make(&ch->qp, &attr);

	if (err)
		return err;
	ch->ours_cqe.done = ours_done;
	return ch->qp.inline_max < sizeof(struct srp_wire_tsk_mgmt) ? -EOPNOTSUPP : 0;
}

static int make_pd(struct srp_channel *ch)
{
	const struct srp_initiator_attr *a = &ch->ini->attr;

	ch->pd = ib_alloc_pd(a->device, a->memory == SRP_MEMORY_ALL ? IB_PD_UNSAFE_GLOBAL_RKEY : 0);
	if (IS_ERR(ch->pd)) {
		int err = (int)PTR_ERR(ch->pd);

		ch->pd = NULL;
		return err;
	}
	return 0;
}

static int post_recvs(struct srp_channel *ch)
{
	int err = 0;
	u32 i;

	for (i = 0; i < ch->n_recvs && !err; i++)
		err = ini_recv_post(&ch->recvs[i]);
	return err;
}

static int make(struct srp_channel *ch)
{
	int err;

	ch->free = NULL;
	ch->pending = NULL;
	ch->pending_last = &ch->pending;
	ch->busy = 0;
	ch->hold = false;
	ch->quiet = 0;
	ch->tm_tag = 0;
	ch->iu_descs = ch->ini->attr.iu_descs;
	ch->max_iu = (u32)IU_FIXED + ch->iu_descs * SRP_DESC_BYTES;
	err = make_slots(ch);
	if (!err)
		err = make_recvs(ch);
	if (!err)
		err = make_pd(ch);
	if (!err)
		err = ini_memory_make(ch);
	if (!err)
		err = make_qp(ch);
	return err ? err : post_recvs(ch);
}

static void drop(struct srp_channel *ch)
{
	srp_qp_drop(&ch->qp);
	if (ch->conn)
		srp_cm_close(ch->conn);
	ch->conn = NULL;
	ini_memory_drop(ch);
	if (ch->pd)
		ib_dealloc_pd(ch->pd);
	ch->pd = NULL;
	srp_mem_drop(&ch->recv_mem);
	srp_mem_drop(&ch->iu_mem);
	srp_free(ch->recvs);
	srp_free(ch->slots);
	ch->recvs = NULL;
	/* Submitters and counters look at these under the lock. */
	srp_lock(&ch->lock);
	ch->slots = NULL;
	ch->n_slots = 0;
	ch->free = NULL;
	srp_unlock(&ch->lock);
}

/* --- the login --- */

static int rejected(struct srp_channel *ch, const struct srp_cm_event *ev)
{
	struct srp_login_rej rej;

	if (srp_login_rej_decode(ev->data, ev->len, &rej)) {
		srp_log("initiator of %s: the connection is refused", ch->ini->name);
		return -ECONNREFUSED;
	}
	srp_log("initiator of %s: the login is rejected, reason 0x%x, formats 0x%x", ch->ini->name, rej.reason,
		rej.formats);
	return -ECONNREFUSED;
}

static int accepted(struct srp_channel *ch, const struct srp_cm_event *ev)
{
	struct srp_login_rsp *rsp = &ch->rsp;

	if (srp_login_rsp_decode(ev->data, ev->len, rsp) || rsp->delta < 1 + INI_RESERVE || rsp->delta > 1 << 20 ||
	    rsp->it_iu_len < ch->max_iu || rsp->ti_iu_len > SRP_TI_IU ||
	    !(rsp->formats & (SRP_FMT_DIRECT | SRP_FMT_INDIRECT))) {
		srp_log("initiator of %s: the login's response makes no sense", ch->ini->name);
		return -EPROTO;
	}
	return 0;
}

static bool on_event(void *ctx, const struct srp_cm_event *ev)
{
	struct srp_channel *ch = ctx;
	struct srp_initiator *ini = ch->ini;

	if (ev->what == SRP_CM_GONE) {
		ini_lost(ini, "the target has gone");
		return true;
	}
	if (ev->what == SRP_CM_ACCEPTED)
		__atomic_store_n(&ch->accepted, 1, __ATOMIC_RELEASE);
	pthread_mutex_lock(&ini->lock);
	ch->login_err = ev->what == SRP_CM_READY    ? 0 :
			ev->what == SRP_CM_ACCEPTED ? accepted(ch, ev) :
						      rejected(ch, ev);
	ch->answered = true;
	pthread_cond_broadcast(&ini->done);
	pthread_mutex_unlock(&ini->lock);
	return true;
}

static int wait_answer(struct srp_channel *ch)
{
	struct srp_initiator *ini = ch->ini;
	u64 until = srp_now_ms() + ini->attr.login_ms;
	int err;

	pthread_mutex_lock(&ini->lock);
	while (!ch->answered && srp_now_ms() < until && !__atomic_load_n(&ini->lost, __ATOMIC_ACQUIRE))
		ini_wait(ini, &ini->done, until);
	err = ch->answered ? ch->login_err : -ETIMEDOUT;
	pthread_mutex_unlock(&ini->lock);
	return err;
}

static int login(struct srp_channel *ch)
{
	struct srp_initiator *ini = ch->ini;
	const struct srp_initiator_attr *a = &ini->attr;
	struct srp_login_req req = {
		.it_iu_len = ch->max_iu,
		.formats = SRP_FMT_DIRECT | SRP_FMT_INDIRECT,
		.flags = ch->index ? SRP_MULTICHAN_MULTI : SRP_MULTICHAN_SINGLE,
	};
	struct srp_wire_login_req iu;
	int err;

	if (a->memory == SRP_MEMORY_FAST && !a->no_invalidate)
		req.flags |= SRP_LOGIN_INVALIDATE;
	memcpy(req.initiator_port, a->port_id, SRP_PORT_ID);
	memcpy(req.target_port, a->target_port_id, SRP_PORT_ID);
	srp_login_req_encode(&iu, sizeof(iu), &req);
	ch->answered = false;
	err = srp_cm_connect(ch->conn, &iu, sizeof(iu));
	if (!err)
		err = wait_answer(ch);
	if (err)
		return err;
	ch->invalidate = req.flags & ch->rsp.flags & SRP_LOGIN_INVALIDATE;
	ch->credits = ch->rsp.delta;
	return 0;
}

/* The way to the target; an ID that knows its adapter may have a queue pair. */
static int find_target(struct srp_channel *ch)
{
	int err;

	ch->answered = false;
	__atomic_store_n(&ch->accepted, 0, __ATOMIC_RELEASE);
	err = srp_cm_open(ch->ini->attr.device, ch->ini->name, on_event, ch, &ch->conn);
	return err ? err : wait_answer(ch);
}

int ini_log_in(struct srp_channel *ch)
{
	int err = find_target(ch);

	if (!err)
		err = make(ch);
	if (!err)
		err = login(ch);
	if (err)
		drop(ch);
	return err;
}

/* --- the end --- */

static void say_logout(struct srp_channel *ch)
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

	srp_plain_encode(&iu, sizeof(iu), SRP_I_LOGOUT, INI_TM_TAG);
	/* If it can't be said, the target hears it from the connection. */
	(void)ib_post_send(ch->qp.qp, &wr, NULL);
}

/* The queue pair is down: no other thread accesses these any more. An answer that had arrived still counts. */
static void end_slots(struct srp_channel *ch, int error)
{
	u32 i;

	for (i = 0; i < ch->n_slots; i++) {
		struct srp_slot *s = &ch->slots[i];

		if (s->state == INI_SENT)
			s->req->error = error;
		if (s->state == INI_SENT || s->state == INI_ENDING) {
			s->sending = false;
			ini_end(s);
		}
	}
}

void ini_log_out(struct srp_channel *ch, int error)
{
	srp_lock(&ch->lock);
	ch->live = false;
	srp_unlock(&ch->lock);
	if (!ch->qp.qp)
		return;
	while (__atomic_load_n(&ch->inside, __ATOMIC_ACQUIRE))
		usleep(100);
	if (!__atomic_load_n(&ch->ini->lost, __ATOMIC_ACQUIRE))
		say_logout(ch);
	srp_cm_disconnect(ch->conn);
	ib_drain_qp(ch->qp.qp);
	end_slots(ch, error);
	ini_fail_pending(ch, error);
	drop(ch);
}
