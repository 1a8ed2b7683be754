/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SRP target: its life, its thread, and the ends of channels. The thread alone
 * answers logins and frees channels; others tell it what there is to do. A channel ends by its own work, in a thread of the
 * pool, so the end of one never waits for that of another.
 */
#include "srp_target.h"

/* What comes from us without being asked for. Its bytes are in the request once this returns. */
static int post_ours(struct tgt_channel *ch, const void *iu, u32 len, struct ib_cqe *cqe)
{
	struct ib_sge sge = { .addr = (u64)(uintptr_t)iu, .length = len };
	struct ib_send_wr wr = {
		.wr_cqe = cqe,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_INLINE | IB_SEND_SIGNALED | IB_SEND_SOLICITED,
	};

	return ib_post_send(ch->qp.qp, &wr, NULL);
}

static u64 new_tag(struct srp_target *t)
{
	return __atomic_add_fetch(&t->tags, 1, __ATOMIC_RELAXED);
}

/* --- the end of a channel --- */

static void wake(struct srp_target *t)
{
	pthread_mutex_lock(&t->lock);
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
}

void tgt_fail(struct tgt_channel *ch)
{
	struct srp_target *t = ch->t;

	if (__atomic_exchange_n(&ch->state, TGT_DEAD, __ATOMIC_ACQ_REL) != TGT_DEAD)
		wake(t);
}

static void logout_done(struct ib_cq *cq, struct ib_wc *wc)
{
	(void)cq;
	tgt_fail(srp_container_of(wc->wr_cqe, struct tgt_channel, logout_cqe));
}

void tgt_logout(struct tgt_channel *ch, enum srp_logout reason)
{
	struct srp_wire_word iu;
	u32 live = TGT_LIVE;

	if (!__atomic_compare_exchange_n(&ch->state, &live, TGT_LOGOUT, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return;
	ch->logout_cqe.done = logout_done;
	srp_word_encode(&iu, sizeof(iu), SRP_T_LOGOUT, new_tag(ch->t), reason);
	if (post_ours(ch, &iu, sizeof(iu), &ch->logout_cqe))
		tgt_fail(ch);
}

static void ours_done(struct ib_cq *cq, struct ib_wc *wc)
{
	(void)cq;
	if (wc->status)
		tgt_fail(srp_container_of(wc->wr_cqe, struct tgt_channel, ours_cqe));
}

void tgt_credit(struct tgt_channel *ch)
{
	struct srp_wire_word iu;
	u32 owed;

	if (ch->taken || ch->tms || !__atomic_load_n(&ch->owed, __ATOMIC_RELAXED) ||
	    __atomic_load_n(&ch->state, __ATOMIC_ACQUIRE) != TGT_LIVE ||
	    __atomic_exchange_n(&ch->ours, 1, __ATOMIC_RELAXED))
		return;
	owed = __atomic_exchange_n(&ch->owed, 0, __ATOMIC_RELAXED);
	ch->ours_cqe.done = ours_done;
	srp_word_encode(&iu, sizeof(iu), SRP_CRED_REQ, new_tag(ch->t), owed);
	if (post_ours(ch, &iu, sizeof(iu), &ch->ours_cqe))
		tgt_fail(ch);
}

static void unlink_channel(struct tgt_channel *ch)
{
	struct srp_target *t = ch->t;
	struct tgt_channel **at;

	pthread_mutex_lock(&t->lock);
	for (at = &t->channels; *at != ch; at = &(*at)->next)
		;
	*at = ch->next;
	pthread_mutex_unlock(&t->lock);
}

static void keep_stats(struct tgt_channel *ch)
{
	struct srp_target_stats *s = &ch->t->stats;

	s->commands += ch->n_commands;
	s->bytes_in += ch->n_bytes_in;
	s->bytes_out += ch->n_bytes_out;
	s->tables += ch->n_tables;
	s->task_mgmt += ch->n_task_mgmt;
	s->aborted += ch->n_aborted;
	s->bytes_mapped += ch->n_mapped;
	s->bad_ius += ch->n_bad;
	s->logouts++;
}

/* The last event: no completion comes any more. What is with the medium is forgotten when it comes back. */
static void ended(struct tgt_event *ev)
{
	struct tgt_channel *ch = srp_container_of(ev, struct tgt_channel, end_ev);
	u32 i;

	ch->held = NULL;
	ch->held_last = &ch->held;
	ch->n_held = 0;
	ch->waiting = NULL;
	ch->waiting_last = &ch->waiting;
	tgt_data_sweep(ch);
	for (i = 0; i < ch->n_cmds; i++)
		if (!__atomic_load_n(&ch->cmds[i].in_job, __ATOMIC_RELAXED))
			tgt_forget(&ch->cmds[i]);
	tgt_forget_tms(ch);
}

/* The first half of a channel's end. It waits for the channel's own completions, and for no medium. */
static void end_channel(struct tgt_channel *ch)
{
	/* From here on no task management function marks its commands. */
	unlink_channel(ch);
	srp_cm_disconnect(ch->conn);
	ib_drain_qp(ch->qp.qp);
	tgt_event(ch, &ch->end_ev, ended);
	tgt_put(ch);
}

static void end_job(struct tgt_job *job)
{
	end_channel(job->ch);
}

/*
 * What was posted after the first drain. A completion has no reference: its event may come when all are gone, post again, and
 * be with another thread still. The lock is held, and given up between. Return: false: that thread's reference brings it here again.
 */
static bool drain_rest(struct srp_target *t, struct tgt_channel *ch)
{
	u32 brought;

	do {
		brought = __atomic_load_n(&ch->brought, __ATOMIC_RELAXED);
		pthread_mutex_unlock(&t->lock);
		ib_drain_qp(ch->qp.qp);
		pthread_mutex_lock(&t->lock);
		if (__atomic_load_n(&ch->refs, __ATOMIC_ACQUIRE)) {
			ch->listed = false;
			return false;
		}
	} while (brought != __atomic_load_n(&ch->brought, __ATOMIC_RELAXED));
	return true;
}

/* The second half, from the thread. */
static void free_channel(struct tgt_channel *ch)
{
	struct srp_target *t = ch->t;

	pthread_mutex_lock(&t->lock);
	keep_stats(ch);
	tgt_nexus_put(t, ch->nexus);
	t->n_channels--;
	pthread_mutex_unlock(&t->lock);
	tgt_channel_free(ch);
}

/* --- the thread --- */

static bool on_request(void *ctx, const struct srp_cm_event *ev)
{
	struct srp_target *t = ctx;
	struct tgt_login *l = srp_alloc(1, sizeof(*l));
	struct srp_login_req req;
	u64 tag = 0;

	if (!l || ev->len > sizeof(l->data)) {
		srp_free(l);
		if (!srp_login_req_decode(ev->data, ev->len, &req))
			tag = req.tag;
		tgt_login_reject(t, ev->conn, tag, SRP_REJ_RESOURCES);
		return false;
	}
	l->conn = ev->conn;
	l->len = ev->len;
	memcpy(l->data, ev->data, ev->len);
	pthread_mutex_lock(&t->lock);
	*t->logins_last = l;
	t->logins_last = &l->next;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	return true;
}

static struct tgt_login *next_login(struct srp_target *t)
{
	struct tgt_login *l = t->logins;

	if (l) {
		t->logins = l->next;
		if (!t->logins)
			t->logins_last = &t->logins;
	}
	return l;
}

/* A channel that has died, or that is to get a T_LOGOUT. The lock is held. */
static struct tgt_channel *next_channel(struct srp_target *t)
{
	struct tgt_channel *ch;

	for (ch = t->channels; ch; ch = ch->next) {
		if (tgt_dead(ch) ? !ch->ending : ch->kick)
			return ch;
	}
	return NULL;
}

/* A channel that hasn't got the event: the first channel of a nexus, unless a request of ours to it is under way. The lock is held. */
static struct tgt_channel *next_listener(struct srp_target *t)
{
	struct tgt_channel *ch, *before;

	for (ch = t->channels; ch; ch = ch->next) {
		if (ch->event_number == t->event_number)
			continue;
		ch->event_number = t->event_number;
		for (before = t->channels; before != ch && before->nexus != ch->nexus; before = before->next)
			;
		if (before != ch || __atomic_load_n(&ch->state, __ATOMIC_ACQUIRE) != TGT_LIVE ||
		    __atomic_exchange_n(&ch->ours, 1, __ATOMIC_RELAXED))
			continue;
		tgt_get(ch);
		return ch;
	}
	return NULL;
}

static void send_event(struct srp_target *t, struct tgt_channel *ch, const u8 *sense, u32 len)
{
	u8 iu[sizeof(struct srp_wire_aer_req) + sizeof(t->event)];
	struct srp_aer_req req = { .tag = new_tag(t), .sense = sense, .sense_len = len };
	u32 n;

	ch->ours_cqe.done = ours_done;
	n = srp_aer_req_encode(iu, sizeof(iu), &req);
	if (post_ours(ch, iu, n, &ch->ours_cqe))
		tgt_fail(ch);
	tgt_put(ch);
}

/* The lock is held before and after, and given up between. */
static void tell_event(struct srp_target *t)
{
	struct tgt_channel *ch;
	u8 sense[sizeof(t->event)];
	u32 len = t->event_len;

	t->event_len = 0;
	t->event_number++;
	memcpy(sense, t->event, len);
	while ((ch = next_listener(t))) {
		pthread_mutex_unlock(&t->lock);
		send_event(t, ch, sense, len);
		pthread_mutex_lock(&t->lock);
	}
}

/* Likewise. */
static void see_to_channel(struct srp_target *t, struct tgt_channel *ch)
{
	bool kick = ch->kick && !tgt_dead(ch);

	ch->kick = false;
	if (kick)
		tgt_get(ch);
	else
		ch->ending = true;
	pthread_mutex_unlock(&t->lock);
	if (kick) {
		tgt_logout(ch, SRP_LOGOUT_NONE);
		tgt_put(ch);
	} else if (!tgt_urgent(ch, &ch->end_job, end_job)) {
		end_channel(ch);
	}
	pthread_mutex_lock(&t->lock);
}

/* Likewise. */
static void bury(struct srp_target *t)
{
	struct tgt_channel *ch = t->ended;

	t->ended = ch->next;
	if (!drain_rest(t, ch))
		return;
	pthread_mutex_unlock(&t->lock);
	free_channel(ch);
	pthread_mutex_lock(&t->lock);
	/* Logins that waited for this end look again, before later ones do. */
	*t->parked_last = t->logins;
	if (!t->logins)
		t->logins_last = t->parked ? t->parked_last : &t->logins;
	t->logins = t->parked;
	t->parked = NULL;
	t->parked_last = &t->parked;
}

/* One thing to do. The lock is held before and after. Return: false if there is none. */
static bool work(struct srp_target *t)
{
	struct tgt_channel *ch = next_channel(t);
	struct tgt_login *l;

	if (t->event_len) {
		tell_event(t);
		return true;
	}
	if (ch) {
		see_to_channel(t, ch);
		return true;
	}
	if (t->ended) {
		bury(t);
		return true;
	}
	l = next_login(t);
	if (!l)
		return false;
	pthread_mutex_unlock(&t->lock);
	tgt_login(t, l);
	pthread_mutex_lock(&t->lock);
	return true;
}

/* The lock is held. Return: false: everything has ended. */
static bool end_all(struct srp_target *t)
{
	struct tgt_channel *ch;

	for (ch = t->channels; ch; ch = ch->next) {
		__atomic_store_n(&ch->state, TGT_DEAD, __ATOMIC_RELEASE);
		ch->kick = false;
	}
	return t->n_channels;
}

static void *run(void *arg)
{
	struct srp_target *t = arg;

	pthread_mutex_lock(&t->lock);
	for (;;) {
		if (work(t))
			continue;
		if (t->stop && !end_all(t))
			break;
		if (!next_channel(t))
			pthread_cond_wait(&t->wake, &t->lock);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

static void stop(struct srp_target *t)
{
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
}

/* --- life --- */

static int set_defaults(struct srp_target_attr *a, struct srp_target *t)
{
	static const u8 none[SRP_PORT_ID];
	u32 i;

	if (!a->device || !a->scsi || !a->name || !*a->name || strlen(a->name) >= sizeof(t->name))
		return -EINVAL;
	a->depth = a->depth ? a->depth : 32;
	a->max_channels = a->max_channels ? a->max_channels : 64;
	a->max_iu = a->max_iu ? a->max_iu : 48 + SRP_TABLE_BYTES + 64 * SRP_DESC_BYTES;
	a->chunk = a->chunk ? a->chunk : 1u << 20;
	a->buffers = a->buffers ? a->buffers : 1;
	a->max_table = a->max_table ? a->max_table : 1024;
	a->workers = a->workers ? a->workers : 8;
	/* Nobody would poll. */
	if (a->poll == IB_POLL_DIRECT)
		return -EINVAL;
	if (a->workers > 1024 || a->max_channels > 4096)
		return -EINVAL;
	if (a->depth > 1024 || a->max_iu < 64 || a->max_iu > 65536 || a->chunk % 4096 || a->chunk > 64u << 20 ||
	    a->buffers > 64 || a->max_table > 65536)
		return -EINVAL;
	if (!memcmp(a->port_id, none, sizeof(none))) {
		for (i = 0; i < 8; i++)
			a->port_id[i] = a->port_id[8 + i] = (u8)(a->device->attrs.node_guid >> (56 - 8 * i));
	}
	memcpy(t->name, a->name, strlen(a->name) + 1);
	t->attr = *a;
	t->attr.name = t->name;
	return 0;
}

int srp_target_create(const struct srp_target_attr *attr, struct srp_target **out)
{
	struct srp_target_attr a = *attr;
	struct srp_target *t = srp_alloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	err = set_defaults(&a, t);
	if (err)
		goto free_target;
	t->logins_last = &t->logins;
	t->parked_last = &t->parked;
	err = tgt_map_make(&t->map, a.scsi->lun, a.device);
	if (err)
		goto free_target;
	err = tgt_pool_make(&t->pool, a.workers, a.max_channels);
	if (err)
		goto drop_map;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->wake, NULL);
	err = srp_thread(&t->thread, run, t);
	if (err)
		goto drop_pool;
	err = srp_cm_listen(a.device, t->name, on_request, t, &t->listener);
	if (err)
		goto stop_thread;
	*out = t;
	return 0;
stop_thread:
	stop(t);
drop_pool:
	tgt_pool_drop(&t->pool);
	pthread_cond_destroy(&t->wake);
	pthread_mutex_destroy(&t->lock);
drop_map:
	tgt_map_drop(&t->map);
free_target:
	srp_free(t);
	return err;
}

void srp_target_destroy(struct srp_target *t)
{
	srp_cm_unlisten(t->listener);
	stop(t);
	tgt_pool_drop(&t->pool);
	pthread_cond_destroy(&t->wake);
	pthread_mutex_destroy(&t->lock);
	tgt_map_drop(&t->map);
	srp_free(t);
}

u32 srp_target_logout(struct srp_target *t)
{
	struct tgt_channel *ch;
	u32 n = 0;

	pthread_mutex_lock(&t->lock);
	for (ch = t->channels; ch; ch = ch->next) {
		ch->kick = true;
		n++;
	}
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	return n;
}

void srp_target_event(struct srp_target *t, const u8 *sense, u32 len)
{
	pthread_mutex_lock(&t->lock);
	t->event_len = SRP_MIN(len, (u32)sizeof(t->event));
	memcpy(t->event, sense, t->event_len);
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
}

void srp_target_get_stats(struct srp_target *t, struct srp_target_stats *st)
{
	struct tgt_channel *ch;

	pthread_mutex_lock(&t->lock);
	*st = t->stats;
	for (ch = t->channels; ch; ch = ch->next) {
		st->commands += srp_counted(&ch->n_commands);
		st->bytes_in += srp_counted(&ch->n_bytes_in);
		st->bytes_out += srp_counted(&ch->n_bytes_out);
		st->tables += srp_counted(&ch->n_tables);
		st->task_mgmt += srp_counted(&ch->n_task_mgmt);
		st->aborted += srp_counted(&ch->n_aborted);
		st->bytes_mapped += srp_counted(&ch->n_mapped);
		st->bad_ius += srp_counted(&ch->n_bad);
	}
	st->channels = t->n_channels;
	st->nexuses = t->n_nexuses;
	pthread_mutex_unlock(&t->lock);
}
