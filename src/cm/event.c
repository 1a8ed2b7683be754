/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What IDs tell their consumers. Of each slot there is one event at most that waits:
 * - an ID is requested once, and its consumer knows it only after that;
 * - one MRA counts;
 * - a REP is taken once, by the active side, and the RTU by the passive;
 * - what ends an ID ends it once, and a DREQ that came first waits for the consumer;
 * - timewait ends last.
 * So their order is that of the slots, and there is room for all of them in the ID.
 */
#include "cm/private.h"

static enum hca_cm_slot slot_of(enum hca_cm_event_type type)
{
	switch (type) {
	case HCA_CM_EVENT_REQUEST:
	case HCA_CM_EVENT_SIDR_REQUEST:
		return HCA_CM_SLOT_REQUEST;
	case HCA_CM_EVENT_MRA:
		return HCA_CM_SLOT_MRA;
	case HCA_CM_EVENT_REPLY:
	case HCA_CM_EVENT_ESTABLISHED:
		return HCA_CM_SLOT_OPEN;
	case HCA_CM_EVENT_TIMEWAIT_EXIT:
		return HCA_CM_SLOT_EXIT;
	default:
		return HCA_CM_SLOT_END;
	}
}

/* An MRA's event has no bytes of the message, because they aren't used: REPs need the place. */
static void store(struct hca_cm_id *id, enum hca_cm_event_type type, int status, const u8 *mad)
{
	enum hca_cm_slot slot = slot_of(type);

	(void)HCA_WARN_ON(id->pending & 1u << slot);
	id->pending |= 1u << slot;
	id->slot[slot].type = (u8)type;
	id->slot[slot].status = status;
	id->slot[slot].has_msg = mad && slot != HCA_CM_SLOT_MRA;
	if (id->slot[slot].has_msg)
		hca_memcpy(slot == HCA_CM_SLOT_END ? id->end_mad : id->open_mad, mad, HCA_MAD_BYTES);
}

bool hca_cm_tell(struct hca_cm_id *id, enum hca_cm_event_type type, int status, const u8 *mad)
{
	hca_spin_assert(&id->cm->lock);
	if (id->dying)
		return false;
	store(id, type, status, mad);
	if (!id->announced)
		return false;
	hca_eq_add(id->cm->eq, &id->event);
	return true;
}

void hca_cm_request(struct hca_cm_id *listener, struct hca_cm_id *id, enum hca_cm_event_type type)
{
	hca_spin_assert(&id->cm->lock);
	id->pending |= 1u << HCA_CM_SLOT_REQUEST;
	id->slot[HCA_CM_SLOT_REQUEST].type = (u8)type;
	id->slot[HCA_CM_SLOT_REQUEST].has_msg = true;
	id->next_request = NULL;
	if (listener->first_request)
		listener->last_request->next_request = id;
	else
		listener->first_request = id;
	listener->last_request = id;
	listener->requests++;
	hca_eq_add(id->cm->eq, &listener->event);
}

struct hca_cm_id *hca_cm_request_take(struct hca_cm_id *listener)
{
	struct hca_cm_id *id = listener->first_request;

	hca_spin_assert(&listener->cm->lock);
	if (id) {
		listener->first_request = id->next_request;
		listener->requests--;
	}
	return id;
}

/* An event on its way, out of its slot. */
struct telling {
	struct hca_cm_event event;
	struct hca_cm_msg msg;
	u8 mad[HCA_MAD_BYTES];
};

/* The message was decoded before, when it came. */
static void take(struct hca_cm_id *id, struct telling *t)
{
	u32 slot;

	for (slot = 0; !(id->pending & 1u << slot); slot++)
		;
	id->pending &= ~(1u << slot);
	t->event.type = (enum hca_cm_event_type)id->slot[slot].type;
	t->event.status = id->slot[slot].status;
	t->event.listener = NULL;
	t->event.msg = NULL;
	if (id->slot[slot].has_msg) {
		hca_memcpy(t->mad, slot == HCA_CM_SLOT_END ? id->end_mad : id->open_mad, HCA_MAD_BYTES);
		if (!hca_cm_decode(t->mad, HCA_MAD_BYTES, &t->msg))
			t->event.msg = &t->msg;
	}
}

/* The handler has returned. An ID that was destroyed in it is ended by a worker, as the event queue isn't done with its node. */
static void leave(struct hca_cm_id *id)
{
	struct hca_cm *cm = id->cm;

	hca_spin_assert(&cm->lock);
	hca_store_release(&id->in_handler, (uintptr_t)0);
	if (id->reap) {
		id->next_reap = cm->first_reap;
		cm->first_reap = id;
		hca_work_start(&cm->reaper);
	} else if (!id->dying && (id->pending || id->first_request)) {
		hca_eq_add(cm->eq, &id->event);
	}
}

static void tell_request(struct hca_cm_id *listener, struct hca_cm_id *id, struct telling *t)
{
	struct hca_cm *cm = listener->cm;
	hca_irqflags_t flags;

	t->event.listener = listener;
	listener->handler(id, &t->event);
	hca_spin_lock(&cm->lock, flags);
	/* Not before: another thread would tell of what has come meanwhile. */
	id->announced = true;
	leave(id);
	leave(listener);
	hca_spin_unlock(&cm->lock, flags);
}

static void fire(struct hca_eq_node *node)
{
	struct hca_cm_id *id = hca_container_of(node, struct hca_cm_id, event), *request;
	struct hca_cm *cm = id->cm;
	hca_irqflags_t flags;
	struct telling t;

	hca_spin_lock(&cm->lock, flags);
	if (id->dying || (!id->pending && !id->first_request)) {
		hca_spin_unlock(&cm->lock, flags);
		return;
	}
	request = hca_cm_request_take(id);
	take(request ? request : id, &t);
	hca_store(&id->in_handler, hca_context());
	if (request) {
		request->handler = id->handler;
		request->context = id->context;
		hca_store(&request->in_handler, hca_context());
	}
	hca_spin_unlock(&cm->lock, flags);
	if (request) {
		tell_request(id, request, &t);
		return;
	}
	id->handler(id, &t.event);
	hca_spin_lock(&cm->lock, flags);
	leave(id);
	hca_spin_unlock(&cm->lock, flags);
}

void hca_cm_event_init(struct hca_cm_id *id)
{
	id->event.fire = fire;
}

void hca_cm_release(struct hca_cm_id *id)
{
	hca_spin_assert(&id->cm->lock);
	if (hca_cm_rows[id->state].timer == HCA_CM_TIMER_NONE)
		hca_cm_ids_free(id);
	else
		id->orphan = true;
}

void hca_cm_reap(void *arg)
{
	struct hca_cm *cm = arg;
	struct hca_cm_id *id;
	hca_irqflags_t flags;

	for (;;) {
		hca_spin_lock(&cm->lock, flags);
		id = cm->first_reap;
		if (id)
			cm->first_reap = id->next_reap;
		hca_spin_unlock(&cm->lock, flags);
		if (!id)
			return;
		hca_eq_cancel(cm->eq, &id->event);
		hca_spin_lock(&cm->lock, flags);
		hca_cm_release(id);
		hca_spin_unlock(&cm->lock, flags);
	}
}
