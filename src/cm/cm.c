/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The consumer's calls; see cm.h. */
#include "cm/private.h"

int hca_cm_init(struct hca_cm *cm, struct hca_eq *eq, const struct hca_cm_ops *ops, u64 guid, u32 max_ids)
{
	int err;

	if (max_ids > HCA_CM_IDS)
		return -EINVAL;
	hca_memset(cm, 0, sizeof(*cm));
	cm->ops = ops;
	cm->eq = eq;
	cm->guid = guid;
	cm->max_ids = max_ids ? max_ids : HCA_CM_IDS;
	hca_spin_init(&cm->lock);
	err = hca_cm_ids_init(cm);
	if (err)
		return err;
	err = hca_timer_init(&cm->timer, hca_cm_wake, cm);
	if (err)
		goto free_ids;
	err = hca_work_init(&cm->expirer, hca_cm_expire, cm);
	if (err)
		goto destroy_timer;
	err = hca_work_init(&cm->reaper, hca_cm_reap, cm);
	if (err)
		goto destroy_expirer;
	return 0;

destroy_expirer:
	hca_work_destroy(&cm->expirer);
destroy_timer:
	hca_timer_destroy(&cm->timer);
free_ids:
	hca_cm_ids_fini(cm);
	return err;
}

/* No thread waits for IDs that outlived their consumer. */
static void free_orphans(struct hca_cm *cm)
{
	struct hca_cm_id *id;
	hca_irqflags_t flags;
	u32 i;

	for (i = 0; i < cm->indexes; i++) {
		hca_spin_lock(&cm->lock, flags);
		id = hca_cm_ids_at(cm, i);
		if (id && !HCA_WARN_ON(!id->orphan))
			hca_cm_ids_free(id);
		hca_spin_unlock(&cm->lock, flags);
	}
}

void hca_cm_fini(struct hca_cm *cm)
{
	hca_irqflags_t flags;

	hca_spin_lock(&cm->lock, flags);
	cm->closing = true;
	hca_spin_unlock(&cm->lock, flags);
	hca_timer_destroy(&cm->timer);
	hca_work_destroy(&cm->expirer);
	hca_work_destroy(&cm->reaper);
	hca_cm_reap(cm);
	free_orphans(cm);
	hca_cm_ids_fini(cm);
}

int hca_cm_create(struct hca_cm *cm, hca_cm_handler *handler, void *context, struct hca_cm_id **out)
{
	int err = hca_cm_ids_new(cm, HCA_MAY_SLEEP, out);

	if (err)
		return err;
	hca_cm_event_init(*out);
	(*out)->handler = handler;
	(*out)->context = context;
	(*out)->announced = true;
	return 0;
}

/* --- the end --- */

/* A request that the consumer wasn't told of. Return: there was one. */
static bool refuse_request(struct hca_cm_id *listener)
{
	struct hca_cm *cm = listener->cm;
	struct hca_cm_out out;
	struct hca_cm_id *id;
	hca_irqflags_t flags;

	hca_cm_out_init(&out);
	hca_spin_lock(&cm->lock, flags);
	id = hca_cm_request_take(listener);
	if (id) {
		(void)hca_cm_step(id, HCA_CM_DO_DESTROY, NULL, NULL, &out);
		id->dying = true;
		hca_cm_release(id);
	}
	hca_spin_unlock(&cm->lock, flags);
	hca_cm_flush(cm, &out);
	return id;
}

/* Return: we are in a handler of it. */
static bool begin_destroy(struct hca_cm_id *id)
{
	uintptr_t context = hca_context();
	struct hca_cm *cm = id->cm;
	struct hca_cm_out out;
	hca_irqflags_t flags;
	bool own;

	hca_cm_out_init(&out);
	hca_spin_lock(&cm->lock, flags);
	own = context && hca_load(&id->in_handler) == context;
	if (id->state == HCA_CM_LISTEN)
		hca_cm_listener_remove(id);
	(void)hca_cm_step(id, HCA_CM_DO_DESTROY, NULL, NULL, &out);
	id->dying = true;
	id->reap = own;
	hca_spin_unlock(&cm->lock, flags);
	hca_cm_flush(cm, &out);
	return own;
}

void hca_cm_destroy(struct hca_cm_id *id)
{
	struct hca_cm *cm = id->cm;
	hca_irqflags_t flags;
	u32 turns = 0;
	bool own;

	/* What it refuses, it does before the ID may be gone; nothing new comes once it is no listener. */
	own = begin_destroy(id);
	while (refuse_request(id))
		;
	if (own)
		return;
	hca_eq_cancel(cm->eq, &id->event);
	/* The listener's node reports a request. */
	while (hca_load_acquire(&id->in_handler))
		hca_relax(&turns);
	hca_spin_lock(&cm->lock, flags);
	hca_cm_release(id);
	hca_spin_unlock(&cm->lock, flags);
}

/* --- calls that are a step --- */

static int call(struct hca_cm_id *id, enum hca_cm_input input, const struct hca_cm_msg *msg)
{
	struct hca_cm *cm = id->cm;
	struct hca_cm_out out;
	hca_irqflags_t flags;
	int err;

	hca_cm_out_init(&out);
	hca_spin_lock(&cm->lock, flags);
	err = hca_cm_step(id, input, msg, NULL, &out);
	hca_spin_unlock(&cm->lock, flags);
	hca_cm_flush(cm, &out);
	if (out.told)
		hca_eq_kick(cm->eq);
	return err;
}

static int call_private(struct hca_cm_id *id, enum hca_cm_input input, enum hca_cm_attr attr, const void *private_data,
			u32 len)
{
	const struct hca_cm_msg msg = { .attr = (u16)attr, .private_data = private_data, .private_len = (u8)len };

	return len > HCA_CM_PRIVATE_MAX ? -EINVAL : call(id, input, &msg);
}

static bool listen_valid(u64 service_id, u64 mask, const struct hca_cm_match *match)
{
	u32 i;

	for (i = 0; match && i < HCA_CM_MATCH_BYTES; i++)
		if (match->data[i] & ~match->mask[i])
			return false;
	return !(service_id & ~mask);
}

int hca_cm_listen(struct hca_cm_id *id, u64 service_id, u64 mask, const struct hca_cm_match *match, u32 backlog)
{
	struct hca_cm *cm = id->cm;
	struct hca_cm_match *copy = NULL;
	struct hca_cm_out out;
	hca_irqflags_t flags;
	int err = -EINVAL;

	if (!listen_valid(service_id, mask, match))
		return -EINVAL;
	if (match) {
		copy = hca_alloc(sizeof(*copy), HCA_MAY_SLEEP);
		if (!copy)
			return -ENOMEM;
		*copy = *match;
	}
	hca_cm_out_init(&out);
	hca_spin_lock(&cm->lock, flags);
	if (id->state == HCA_CM_IDLE) {
		id->service_id = service_id;
		id->service_mask = mask;
		id->match = copy;
		id->backlog = backlog ? HCA_MIN(backlog, HCA_CM_BACKLOG_MAX) : HCA_CM_BACKLOG_MAX;
		err = hca_cm_listener_add(id);
		if (err)
			id->match = NULL;
		else
			err = hca_cm_step(id, HCA_CM_DO_LISTEN, NULL, NULL, &out);
	}
	hca_spin_unlock(&cm->lock, flags);
	if (err)
		hca_free(copy);
	return err;
}

/* What a REQ or a question says about its own life. */
static int ask(struct hca_cm_id *id, enum hca_cm_input input, const struct hca_ah_attr *to,
	       const struct hca_cm_msg *msg, enum hca_cm_attr attr)
{
	struct hca_cm *cm = id->cm;
	struct hca_cm_msg m = *msg;
	struct hca_cm_out out;
	hca_irqflags_t flags;
	int err = -EINVAL;

	m.attr = (u16)attr;
	hca_cm_out_init(&out);
	hca_spin_lock(&cm->lock, flags);
	if (id->state == HCA_CM_IDLE) {
		id->to = *to;
		id->active = true;
		id->tid = (u64)id->comm_id << 32 | (u32)cm->next_tid++;
		id->qpn = m.qpn;
		id->service_id = m.service_id;
		id->response_ns = hca_cm_code_ns(m.remote_response_timeout) + hca_cm_code_ns(m.primary.ack_timeout);
		id->timewait_ns = hca_cm_code_ns(m.primary.ack_timeout);
		id->max_retries = m.max_cm_retries;
		err = hca_cm_step(id, input, &m, NULL, &out);
	}
	hca_spin_unlock(&cm->lock, flags);
	hca_cm_flush(cm, &out);
	return err;
}

int hca_cm_connect(struct hca_cm_id *id, const struct hca_ah_attr *to, const struct hca_cm_msg *req)
{
	return ask(id, HCA_CM_DO_CONNECT, to, req, HCA_CM_REQ);
}

int hca_cm_sidr_ask(struct hca_cm_id *id, const struct hca_ah_attr *to, const struct hca_cm_msg *req)
{
	return ask(id, HCA_CM_DO_ASK, to, req, HCA_CM_SIDR_REQ);
}

int hca_cm_accept(struct hca_cm_id *id, const struct hca_cm_msg *rep)
{
	struct hca_cm *cm = id->cm;
	struct hca_cm_msg m = *rep;
	struct hca_cm_out out;
	hca_irqflags_t flags;
	int err;

	m.attr = HCA_CM_REP;
	hca_cm_out_init(&out);
	hca_spin_lock(&cm->lock, flags);
	err = hca_cm_step(id, HCA_CM_DO_ACCEPT, &m, NULL, &out);
	if (!err)
		id->qpn = m.qpn;
	hca_spin_unlock(&cm->lock, flags);
	hca_cm_flush(cm, &out);
	return err;
}

int hca_cm_ready(struct hca_cm_id *id, const void *private_data, u32 len)
{
	return call_private(id, HCA_CM_DO_READY, HCA_CM_RTU, private_data, len);
}

int hca_cm_reject(struct hca_cm_id *id, const struct hca_cm_msg *rej)
{
	struct hca_cm_msg m = *rej;

	m.attr = HCA_CM_REJ;
	return call(id, HCA_CM_DO_REJECT, &m);
}

int hca_cm_delay(struct hca_cm_id *id, u8 service_timeout, const void *private_data, u32 len)
{
	const struct hca_cm_msg msg = {
		.attr = HCA_CM_MRA,
		.service_timeout = service_timeout,
		.private_data = private_data,
		.private_len = (u8)len,
	};

	return len > HCA_CM_PRIVATE_MAX ? -EINVAL : call(id, HCA_CM_DO_DELAY, &msg);
}

int hca_cm_establish(struct hca_cm_id *id)
{
	return call(id, HCA_CM_DO_ESTABLISH, NULL);
}

int hca_cm_disconnect(struct hca_cm_id *id, const void *private_data, u32 len)
{
	struct hca_cm_msg msg = { .attr = HCA_CM_DREQ, .private_data = private_data, .private_len = (u8)len };
	struct hca_cm *cm = id->cm;
	struct hca_cm_out out;
	hca_irqflags_t flags;
	u64 tid;
	int err;

	if (len > HCA_CM_PRIVATE_MAX)
		return -EINVAL;
	hca_cm_out_init(&out);
	hca_spin_lock(&cm->lock, flags);
	tid = id->tid;
	if (id->state == HCA_CM_DREQ_RCVD)
		msg.attr = HCA_CM_DREP;
	else if (id->state == HCA_CM_ESTABLISHED)
		id->tid = (u64)id->comm_id << 32 | (u32)cm->next_tid++;
	err = hca_cm_step(id, HCA_CM_DO_DISCONNECT, &msg, NULL, &out);
	if (err)
		id->tid = tid;
	hca_spin_unlock(&cm->lock, flags);
	hca_cm_flush(cm, &out);
	return err;
}

int hca_cm_sidr_answer(struct hca_cm_id *id, const struct hca_cm_msg *rep)
{
	struct hca_cm_msg m = *rep;

	m.attr = HCA_CM_SIDR_REP;
	return call(id, HCA_CM_DO_ANSWER, &m);
}
