/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Clients: ULPs that are notified of every device that comes and goes, and the data that each of them
 * keeps with a device. One thread at a time registers or unregisters a device or a
 * client; a client's calls are made by that thread, and may sleep.
 */
#include "ib_core.h"

static u32 busy; /* atomic: a thread changes what follows, or calls clients */
static struct ib_core *cores; /* in the order of their registration */
static struct ib_client *clients; /* the same */

static void registry_lock(void)
{
	u32 turns = 0;

	while (hca_cmpxchg(&busy, 0u, 1u))
		hca_relax(&turns);
}

static void registry_unlock(void)
{
	hca_store_release(&busy, 0u);
}

/* --- what a client keeps with a device --- */

static struct ib_client_data **find(struct ib_core *core, const struct ib_client *client)
{
	struct ib_client_data **at = &core->clients;

	hca_spin_assert(&core->lock);
	while (*at && (*at)->client != client)
		at = &(*at)->next;
	return at;
}

void ib_set_client_data(struct ib_device *device, struct ib_client *client, void *data)
{
	struct ib_client_data *d;
	hca_irqflags_t flags;

	hca_spin_lock(&device->core->lock, flags);
	d = *find(device->core, client);
	if (d)
		d->data = data;
	hca_spin_unlock(&device->core->lock, flags);
	HCA_WARN_ON(!d);
}

void *ib_get_client_data(struct ib_device *device, struct ib_client *client)
{
	struct ib_client_data *d;
	hca_irqflags_t flags;
	void *data;

	hca_spin_lock(&device->core->lock, flags);
	d = *find(device->core, client);
	data = d ? d->data : NULL;
	hca_spin_unlock(&device->core->lock, flags);
	return data;
}

/* The last one comes first, so that a device leaves its clients in the reverse order. */
static void attach(struct ib_core *core, struct ib_client_data *d)
{
	hca_irqflags_t flags;

	hca_spin_lock(&core->lock, flags);
	d->next = core->clients;
	core->clients = d;
	hca_spin_unlock(&core->lock, flags);
}

static void detach(struct ib_core *core, const struct ib_client *client)
{
	struct ib_client_data **at, *d;
	hca_irqflags_t flags;

	hca_spin_lock(&core->lock, flags);
	at = find(core, client);
	d = *at;
	if (d)
		*at = d->next;
	hca_spin_unlock(&core->lock, flags);
	hca_free(d);
}

/* @d is used up; there is one for each. */
static void add(struct ib_core *core, struct ib_client *client, struct ib_client_data *d)
{
	if (HCA_WARN_ON(!d))
		return;
	d->client = client;
	attach(core, d);
	if (client->add && client->add(core->device))
		detach(core, client);
}

/* A client that wanted to know of the device hears that it goes. */
static void del(struct ib_core *core, struct ib_client *client)
{
	struct ib_client_data *d;
	hca_irqflags_t flags;
	void *data;

	hca_spin_lock(&core->lock, flags);
	d = *find(core, client);
	data = d ? d->data : NULL;
	hca_spin_unlock(&core->lock, flags);
	if (!d)
		return;
	if (client->remove)
		client->remove(core->device, data);
	detach(core, client);
}

/* So many, in a list by @next, before the first client is called. NULL also for 0. */
static int make_data(u32 n, struct ib_client_data **out)
{
	struct ib_client_data *d;

	for (*out = NULL; n; n--) {
		d = hca_alloc(sizeof(*d), HCA_MAY_SLEEP);
		if (!d) {
			while ((d = *out)) {
				*out = d->next;
				hca_free(d);
			}
			return -ENOMEM;
		}
		d->next = *out;
		*out = d;
	}
	return 0;
}

static struct ib_client_data *take_data(struct ib_client_data **list)
{
	struct ib_client_data *d = *list;

	if (d)
		*list = d->next;
	return d;
}

/* --- devices and clients come and go --- */

int ib_device_added(struct ib_device *dev)
{
	struct ib_client_data *data;
	struct ib_client *c;
	struct ib_core **at;
	u32 n = 0;
	int err;

	registry_lock();
	for (c = clients; c; c = c->next)
		n++;
	err = make_data(n, &data);
	if (err)
		goto unlock;
	for (at = &cores; *at; at = &(*at)->next)
		;
	*at = dev->core;
	for (c = clients; c; c = c->next)
		add(dev->core, c, take_data(&data));
unlock:
	registry_unlock();
	return err;
}

void ib_device_removed(struct ib_device *dev)
{
	struct ib_core **at;

	registry_lock();
	for (at = &cores; *at && *at != dev->core; at = &(*at)->next)
		;
	if (*at)
		*at = dev->core->next;
	/* Only we change the list while we are here. */
	while (dev->core->clients)
		del(dev->core, dev->core->clients->client);
	registry_unlock();
}

int ib_register_client(struct ib_client *client)
{
	struct ib_client_data *data;
	struct ib_client **at;
	struct ib_core *core;
	int err = -EBUSY;
	u32 n = 0;

	registry_lock();
	if (client->registered) {
		(void)hca_refuse(err, "client %s not registered: it is registered already", client->name);
		goto unlock;
	}
	for (core = cores; core; core = core->next)
		n++;
	err = make_data(n, &data);
	if (err)
		goto unlock;
	for (at = &clients; *at; at = &(*at)->next)
		;
	*at = client;
	client->next = NULL;
	client->registered = true;
	for (core = cores; core; core = core->next)
		add(core, client, take_data(&data));
unlock:
	registry_unlock();
	return err;
}

void ib_unregister_client(struct ib_client *client)
{
	struct ib_client **at;
	struct ib_core *core;

	registry_lock();
	for (at = &clients; *at && *at != client; at = &(*at)->next)
		;
	if (*at) {
		*at = client->next;
		client->next = NULL;
		client->registered = false;
		for (core = cores; core; core = core->next)
			del(core, client);
	}
	registry_unlock();
}
