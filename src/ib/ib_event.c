/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Events of devices and ports: a driver tells of one in any context, and the handlers
 * that ULPs registered are called in a thread that may sleep. Events of queue pairs and completion
 * queues have handlers of their own (ib_core.c).
 */
#include "ib_core.h"

/* An event on its way to the handlers. */
struct ib_dispatched {
	struct ib_event event;
	struct ib_dispatched *next;
};

void ib_register_event_handler(struct ib_event_handler *handler)
{
	struct ib_core *core = handler->device->core;

	hca_mutex_lock(&core->handler_lock);
	list_add_tail(&handler->list, &core->handlers);
	hca_mutex_unlock(&core->handler_lock);
}

void ib_unregister_event_handler(struct ib_event_handler *handler)
{
	struct ib_core *core = handler->device->core;

	hca_mutex_lock(&core->handler_lock);
	list_del_init(&handler->list);
	hca_mutex_unlock(&core->handler_lock);
}

void ib_dispatch_event(const struct ib_event *event)
{
	struct ib_core *core = event->device->core;
	struct ib_dispatched *e = hca_alloc(sizeof(*e), 0);
	hca_irqflags_t flags;

	if (!e) {
		hca_log(HCA_LOG_ERR, "%s: no memory to tell of event %d", event->device->name, (int)event->event);
		return;
	}
	e->event = *event;
	hca_spin_lock(&core->lock, flags);
	*core->last_event = e;
	core->last_event = &e->next;
	hca_spin_unlock(&core->lock, flags);
	hca_work_start(&core->tell);
}

static struct ib_dispatched *take(struct ib_core *core)
{
	struct ib_dispatched *e;
	hca_irqflags_t flags;

	hca_spin_lock(&core->lock, flags);
	e = core->events;
	if (e)
		core->events = e->next;
	if (!core->events)
		core->last_event = &core->events;
	hca_spin_unlock(&core->lock, flags);
	return e;
}

void ib_tell_events(void *arg)
{
	struct ib_event_handler *h, *next;
	struct ib_core *core = arg;
	struct ib_dispatched *e;

	hca_mutex_lock(&core->handler_lock);
	while ((e = take(core))) {
		list_for_each_entry_safe(h, next, &core->handlers, list)
			h->handler(h, &e->event);
		hca_free(e);
	}
	hca_mutex_unlock(&core->handler_lock);
}
