/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SRP initiator: its life, its thread, and the calls that wait. The thread alone
 * logs in and out, aborts and resets; who wants one of these asks it.
 */
#include <time.h>
#include <unistd.h>

#include "srp_initiator.h"

#define MAX_CHANNELS 64u

void ini_lost(struct srp_initiator *ini, const char *why)
{
	if (__atomic_load_n(&ini->closing, __ATOMIC_ACQUIRE) || __atomic_exchange_n(&ini->lost, 1, __ATOMIC_ACQ_REL))
		return;
	if (__atomic_load_n(&ini->state, __ATOMIC_RELAXED) == SRP_STATE_LIVE)
		srp_log("initiator of %s: connection lost: %s", ini->name, why);
	pthread_mutex_lock(&ini->lock);
	pthread_cond_broadcast(&ini->wake);
	pthread_cond_broadcast(&ini->done);
	pthread_mutex_unlock(&ini->lock);
}

void ini_refuse(struct srp_initiator *ini, struct srp_request *req)
{
	req->error = -EIO;
	req->next = NULL;
	pthread_mutex_lock(&ini->lock);
	*ini->refused_last = req;
	ini->refused_last = &req->next;
	pthread_cond_signal(&ini->wake);
	pthread_mutex_unlock(&ini->lock);
}

void ini_wait(struct srp_initiator *ini, pthread_cond_t *cond, u64 until)
{
	struct timespec t = { .tv_sec = (time_t)(until / 1000), .tv_nsec = (long)(until % 1000) * 1000000 };

	pthread_cond_timedwait(cond, &ini->lock, &t);
}

/* --- up and down --- */

static void set_state(struct srp_initiator *ini, enum srp_state state)
{
	if (__atomic_exchange_n(&ini->state, (u32)state, __ATOMIC_RELAXED) != (u32)state && ini->attr.state)
		ini->attr.state(ini->attr.ctx, ini, state);
}

static void down(struct srp_initiator *ini)
{
	u32 i;

	__atomic_store_n(&ini->closing, 1, __ATOMIC_RELEASE);
	for (i = 0; i < ini->attr.channels; i++)
		ini_log_out(&ini->channels[i], -EIO);
	__atomic_store_n(&ini->lost, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&ini->closing, 0, __ATOMIC_RELEASE);
}

static int up(struct srp_initiator *ini)
{
	int err = 0;
	u32 i;

	for (i = 0; i < ini->attr.channels && !err; i++)
		err = ini_log_in(&ini->channels[i]);
	if (!err && __atomic_load_n(&ini->lost, __ATOMIC_ACQUIRE))
		err = -EIO;
	if (err) {
		down(ini);
		return err;
	}
	for (i = 0; i < ini->attr.channels; i++) {
		struct srp_channel *ch = &ini->channels[i];

		srp_lock(&ch->lock);
		ch->live = true;
		srp_unlock(&ch->lock);
	}
	return 0;
}

/* --- the thread --- */

static int do_wanted(struct srp_initiator *ini, const struct ini_ask *ask)
{
	int err;

	switch (ask->what) {
	case INI_CONNECT:
		down(ini);
		err = up(ini);
		set_state(ini, err ? SRP_STATE_LOST : SRP_STATE_LIVE);
		return err;
	case INI_ABORT:
		return ini_abort(ask->ch, ask->req, -ECANCELED);
	default:
		return ini_reset(ask->ch, ask->lun, -ECANCELED);
	}
}

/* The oldest question. The lock is held before and after. */
static void serve(struct srp_initiator *ini)
{
	struct ini_ask *ask = ini->asks;
	int err;

	ini->asks = ask->next;
	if (!ini->asks)
		ini->asks_last = &ini->asks;
	pthread_mutex_unlock(&ini->lock);
	err = do_wanted(ini, ask);
	pthread_mutex_lock(&ini->lock);
	ask->result = err;
	ask->answered = true;
	pthread_cond_broadcast(&ini->done);
}

/* Ends the requests that are in the list now; what their done() submits waits for the next turn. The lock is held before and after. */
static void end_refused(struct srp_initiator *ini)
{
	struct srp_request *req, *next = ini->refused;

	ini->refused = NULL;
	ini->refused_last = &ini->refused;
	pthread_mutex_unlock(&ini->lock);
	while ((req = next)) {
		next = req->next;
		ini_done(req);
	}
	pthread_mutex_lock(&ini->lock);
}

/* It is 0 until the first login has succeeded. */
static u32 reconnect_ms(const struct srp_initiator *ini)
{
	return __atomic_load_n(&ini->attr.reconnect_ms, __ATOMIC_RELAXED);
}

/* What time brings; without the lock. Return: when to come again */
static u64 tick(struct srp_initiator *ini, u64 now, u64 *retry)
{
	u32 every = reconnect_ms(ini);

	__atomic_fetch_add(&ini->tick, 1, __ATOMIC_RELAXED);
	if (__atomic_load_n(&ini->state, __ATOMIC_RELAXED) == SRP_STATE_LIVE)
		ini_check_timeouts(ini);
	else if (every && now >= *retry) {
		if (!up(ini)) {
			pthread_mutex_lock(&ini->lock);
			ini->n_reconnects++;
			pthread_mutex_unlock(&ini->lock);
			set_state(ini, SRP_STATE_LIVE);
		}
		*retry = srp_now_ms() + every;
	}
	return now + ini->tick_ms;
}

static void *run(void *arg)
{
	struct srp_initiator *ini = arg;
	u64 next = srp_now_ms() + ini->tick_ms, retry = 0;

	pthread_mutex_lock(&ini->lock);
	/* Questions are answered also when the initiator ends. */
	while (!ini->stop || ini->asks) {
		u64 now = srp_now_ms();

		if (ini->refused)
			end_refused(ini);
		if (__atomic_load_n(&ini->lost, __ATOMIC_ACQUIRE)) {
			pthread_mutex_unlock(&ini->lock);
			down(ini);
			set_state(ini, SRP_STATE_LOST);
			retry = srp_now_ms() + SRP_MIN(reconnect_ms(ini), 10u);
			pthread_mutex_lock(&ini->lock);
		} else if (ini->asks) {
			serve(ini);
		} else if (now >= next) {
			pthread_mutex_unlock(&ini->lock);
			next = tick(ini, now, &retry);
			pthread_mutex_lock(&ini->lock);
		} else if (!ini->refused) {
			ini_wait(ini, &ini->wake, next);
		}
	}
	pthread_mutex_unlock(&ini->lock);
	down(ini);
	pthread_mutex_lock(&ini->lock);
	while (ini->refused)
		end_refused(ini);
	pthread_mutex_unlock(&ini->lock);
	return NULL;
}

/* Asks the thread, and waits. Each question has its own answer, and its turn. */
static int ask(struct srp_initiator *ini, enum ini_want what, struct srp_channel *ch, struct srp_request *req,
	       const u8 *lun)
{
	struct ini_ask a = { .what = what, .ch = ch, .req = req, .lun = lun };

	pthread_mutex_lock(&ini->lock);
	*ini->asks_last = &a;
	/* cppcheck-suppress autoVariables // the thread has taken it off when it answers, and we wait for that */
	ini->asks_last = &a.next;
	pthread_cond_signal(&ini->wake);
	while (!a.answered)
		pthread_cond_wait(&ini->done, &ini->lock);
	pthread_mutex_unlock(&ini->lock);
	return a.result;
}

/* --- life --- */

/* An identifier that no other initiator of this machine has. */
static void make_port_id(struct srp_initiator_attr *a)
{
	static const u8 none[SRP_PORT_ID];
	static u32 made;
	u64 ext = (u64)getpid() << 32 | __atomic_add_fetch(&made, 1, __ATOMIC_RELAXED);
	u32 i;

	if (memcmp(a->port_id, none, sizeof(none)) != 0)
		return;
	for (i = 0; i < 8; i++) {
		a->port_id[i] = (u8)(ext >> (56 - 8 * i));
		a->port_id[8 + i] = (u8)(a->device->attrs.node_guid >> (56 - 8 * i));
	}
}

static int set_defaults(struct srp_initiator *ini, const struct srp_initiator_attr *attr)
{
	struct srp_initiator_attr *a = &ini->attr;

	*a = *attr;
	if (!a->device || !a->name || !*a->name || strlen(a->name) >= sizeof(ini->name))
		return -EINVAL;
	a->channels = a->channels ? a->channels : 1;
	a->depth = a->depth ? a->depth : 32;
	a->max_sg = a->max_sg ? a->max_sg : 512;
	a->max_pages = a->max_pages ? a->max_pages : 256;
	a->iu_descs = a->iu_descs ? a->iu_descs : 26;
	a->timeout_ms = a->timeout_ms ? a->timeout_ms : 30000;
	a->abort_ms = a->abort_ms ? a->abort_ms : 5000;
	a->login_ms = a->login_ms ? a->login_ms : 5000;
	/* Nobody would poll. */
	if (a->poll == IB_POLL_DIRECT)
		return -EINVAL;
	if (a->channels > MAX_CHANNELS || a->depth > 1024 || a->max_sg > 65536 || a->max_pages > 256 ||
	    a->iu_descs > 255 || a->memory > SRP_MEMORY_ALL)
		return -EINVAL;
	make_port_id(a);
	memcpy(ini->name, a->name, strlen(a->name) + 1);
	a->name = ini->name;
	ini->tick_ms = SRP_MAX(10u, SRP_MIN(250u, a->timeout_ms / 4));
	if (a->reconnect_ms)
		ini->tick_ms = SRP_MIN(ini->tick_ms, SRP_MAX(a->reconnect_ms, 10u));
	return 0;
}

static int start(struct srp_initiator *ini)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&ini->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&ini->wake, &attr);
	pthread_cond_init(&ini->done, &attr);
	pthread_condattr_destroy(&attr);
	return srp_thread(&ini->thread, run, ini);
}

static void release(struct srp_initiator *ini)
{
	pthread_cond_destroy(&ini->done);
	pthread_cond_destroy(&ini->wake);
	pthread_mutex_destroy(&ini->lock);
	srp_free(ini->channels);
	srp_free(ini);
}

int srp_initiator_connect(const struct srp_initiator_attr *attr, struct srp_initiator **out)
{
	struct srp_initiator *ini = srp_alloc(1, sizeof(*ini));
	int err;
	u32 i;

	if (!ini)
		return -ENOMEM;
	err = set_defaults(ini, attr);
	if (err)
		goto free_ini;
	err = -ENOMEM;
	ini->channels = srp_alloc(ini->attr.channels, sizeof(*ini->channels));
	if (!ini->channels)
		goto free_ini;
	for (i = 0; i < ini->attr.channels; i++) {
		ini->channels[i].ini = ini;
		ini->channels[i].index = i;
		ini->channels[i].pending_last = &ini->channels[i].pending;
	}
	ini->asks_last = &ini->asks;
	ini->refused_last = &ini->refused;
	ini->state = SRP_STATE_LOST;
	ini->attr.reconnect_ms = 0;
	err = start(ini);
	if (err) {
		release(ini);
		return err;
	}
	err = ask(ini, INI_CONNECT, NULL, NULL, NULL);
	if (err) {
		srp_initiator_destroy(ini);
		return err;
	}
	__atomic_store_n(&ini->attr.reconnect_ms, attr->reconnect_ms, __ATOMIC_RELAXED);
	*out = ini;
	return 0;
free_ini:
	srp_free(ini->channels);
	srp_free(ini);
	return err;
}

void srp_initiator_destroy(struct srp_initiator *ini)
{
	pthread_mutex_lock(&ini->lock);
	ini->stop = true;
	pthread_cond_signal(&ini->wake);
	pthread_mutex_unlock(&ini->lock);
	pthread_join(ini->thread, NULL);
	release(ini);
}

int srp_reconnect(struct srp_initiator *ini)
{
	return ask(ini, INI_CONNECT, NULL, NULL, NULL);
}

int srp_abort(struct srp_channel *ch, struct srp_request *req)
{
	return ask(ch->ini, INI_ABORT, ch, req, NULL);
}

int srp_reset_lun(struct srp_channel *ch, const u8 lun[SCSI_LUN_LEN])
{
	return ask(ch->ini, INI_RESET, ch, NULL, lun);
}

struct srp_channel *srp_initiator_channel(struct srp_initiator *ini, u32 n)
{
	return &ini->channels[n % ini->attr.channels];
}

u32 srp_initiator_channels(const struct srp_initiator *ini)
{
	return ini->attr.channels;
}

/* --- waiting for a request --- */

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

static void wake_waiter(struct srp_request *req)
{
	struct waiter *w = req->ctx;

	pthread_mutex_lock(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

int srp_execute(struct srp_channel *ch, struct srp_request *req)
{
	struct waiter w = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
	void *ctx = req->ctx;

	req->ctx = &w;
	req->done = wake_waiter;
	srp_submit(ch, req);
	pthread_mutex_lock(&w.lock);
	while (!w.done)
		pthread_cond_wait(&w.cond, &w.lock);
	pthread_mutex_unlock(&w.lock);
	req->ctx = ctx;
	if (req->error)
		return req->error;
	return req->status == SCSI_GOOD ? 0 : -EREMOTEIO;
}

/* --- numbers --- */

static void add_channel(struct srp_channel *ch, struct srp_initiator_stats *st)
{
	srp_lock(&ch->lock);
	st->requests += ch->n_requests;
	st->bytes_in += ch->n_bytes_in;
	st->bytes_out += ch->n_bytes_out;
	st->mapped += ch->n_mapped;
	st->registered += ch->n_registered;
	st->invalidated_by_target += ch->n_invalidated;
	st->direct += ch->n_direct;
	st->indirect += ch->n_indirect;
	st->partial += ch->n_partial;
	st->bad_responses += ch->n_bad;
	srp_unlock(&ch->lock);
}

void srp_initiator_get_stats(struct srp_initiator *ini, struct srp_initiator_stats *st)
{
	u32 i;

	memset(st, 0, sizeof(*st));
	for (i = 0; i < ini->attr.channels; i++)
		add_channel(&ini->channels[i], st);
	pthread_mutex_lock(&ini->lock);
	st->timeouts = ini->n_timeouts;
	st->aborts = ini->n_aborts;
	st->lun_resets = ini->n_lun_resets;
	st->reconnects = ini->n_reconnects;
	st->req_limit = (u32)ini->channels[0].rsp.delta;
	st->max_iu = ini->channels[0].rsp.it_iu_len;
	pthread_mutex_unlock(&ini->lock);
	st->state = (enum srp_state)__atomic_load_n(&ini->state, __ATOMIC_RELAXED);
}
