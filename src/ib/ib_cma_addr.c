/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Addresses: which adapter has which, as its GIDs say, and the queue pair 1 that an
 * adapter gets when somebody first connects by it. See ib_cma.h.
 */
#include "ib_cma.h"

static u32 busy; /* atomic: a thread is between ib_cma_lock() and ib_cma_unlock() */
static struct ib_cma_dev *first; /* in the order of their registration */

/* The only network. */
struct net {
	u8 unused;
};
struct net init_net;

/* It is there before anything was made, and its holder may sleep. */
void ib_cma_lock(void)
{
	u32 turns = 0;

	while (hca_cmpxchg(&busy, 0u, 1u))
		hca_relax(&turns);
}

void ib_cma_unlock(void)
{
	hca_store_release(&busy, 0u);
}

/* --- addresses --- */

static const u8 mapped[IB_CMA_IP_AT] = { [10] = 0xff, [11] = 0xff };
static const u8 zeros[16];

int ib_cma_addr_from(const struct sockaddr *from, struct ib_cma_addr *to)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)from;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;

	hca_memset(to, 0, sizeof(*to));
	switch (from->sa_family) {
	case AF_INET:
		to->version = 4;
		to->port = ntohs(in->sin_port);
		hca_memcpy(to->gid, mapped, sizeof(mapped));
		hca_memcpy(to->gid + IB_CMA_IP_AT, &in->sin_addr, sizeof(in->sin_addr));
		return 0;
	case AF_INET6:
		to->version = 6;
		to->port = ntohs(in6->sin6_port);
		hca_memcpy(to->gid, &in6->sin6_addr, sizeof(to->gid));
		return 0;
	default:
		return hca_refuse(-EINVAL, "address of family %d, must be AF_INET or AF_INET6", (int)from->sa_family);
	}
}

void ib_cma_addr_to(const struct ib_cma_addr *from, struct sockaddr_storage *to)
{
	struct sockaddr_in *in = (struct sockaddr_in *)to;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;

	hca_memset(to, 0, sizeof(*to));
	if (from->version == 4) {
		in->sin_family = AF_INET;
		in->sin_port = htons(from->port);
		hca_memcpy(&in->sin_addr, from->gid + IB_CMA_IP_AT, sizeof(in->sin_addr));
	} else {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(from->port);
		hca_memcpy(&in6->sin6_addr, from->gid, sizeof(from->gid));
	}
}

bool ib_cma_addr_any(const struct ib_cma_addr *a)
{
	return a->version == 4 ? !hca_memcmp(a->gid + IB_CMA_IP_AT, zeros, 4) : !hca_memcmp(a->gid, zeros, 16);
}

static bool is_loopback(const struct ib_cma_addr *a)
{
	return a->version == 4 ? a->gid[IB_CMA_IP_AT] == 127 : !hca_memcmp(a->gid, zeros, 15) && a->gid[15] == 1;
}

/* Entries come and go under the lock that we hold. */
static bool has(const struct ib_cma_dev *d, const u8 *gid)
{
	const struct hca_gids *gids = &d->dev->core->hca.gids;
	const struct hca_gid *g;
	u32 i;

	for (i = 0; i < HCA_GIDS; i++) {
		g = hca_gid_at(gids, i);
		if (g && !hca_memcmp(g->raw, gid, sizeof(g->raw)))
			return true;
	}
	return false;
}

struct ib_cma_dev *ib_cma_find(const struct ib_cma_addr *a)
{
	struct ib_cma_dev *d = first;

	if (!is_loopback(a))
		while (d && !has(d, a->gid))
			d = d->next;
	return d;
}

struct ib_cma_dev *ib_cma_first(void)
{
	return first;
}

int softhca_addr_add(struct ib_device *device, const struct sockaddr *addr)
{
	struct ib_cma_dev *d = &device->core->cma, *owner;
	struct ib_cma_addr a;
	u32 index;
	int err = ib_cma_addr_from(addr, &a);

	if (err)
		return err;
	if (ib_cma_addr_any(&a) || is_loopback(&a) || hca_gid_is_group((const struct hca_gid *)a.gid))
		return hca_refuse(-EINVAL, "%s: address not added: any, loopback and groups are no device's",
				  device->name);
	ib_cma_lock();
	owner = ib_cma_find(&a);
	if (owner && owner != d)
		err = -EADDRINUSE;
	else
		err = hca_gid_add(&device->core->hca.gids, (const struct hca_gid *)a.gid, &index);
	ib_cma_unlock();
	if (err)
		return hca_refuse(err, "%s: address not added: %s", device->name,
				  err == -EADDRINUSE ? "another device has it" : "the GID table is full");
	return 0;
}

int softhca_addr_del(struct ib_device *device, const struct sockaddr *addr)
{
	struct hca *hca = &device->core->hca;
	struct ib_cma_addr a;

	if (ib_cma_addr_from(addr, &a))
		return -EADDRNOTAVAIL; /* ib_cma_addr_from() says why */
	ib_cma_lock();
	/* The first one is the adapter's own. */
	if (!has(&device->core->cma, a.gid) || !hca_memcmp(hca_gid_at(&hca->gids, 0), a.gid, sizeof(a.gid)) ||
	    hca_gid_remove(&hca->gids, &hca->quiesce, (const struct hca_gid *)a.gid)) {
		ib_cma_unlock();
		return hca_refuse(-EADDRNOTAVAIL, "%s: address not taken away: softhca_addr_add() hasn't given it",
				  device->name);
	}
	ib_cma_unlock();
	return 0;
}

/* --- devices --- */

void ib_cma_enter(struct ib_device *dev)
{
	struct ib_cma_dev *d = &dev->core->cma, **at;

	d->dev = dev;
	hca_spin_init(&d->lock);
	hca_completion_init(&d->gone);
	INIT_LIST_HEAD(&d->ids);
	for (at = &first; *at; at = &(*at)->next)
		;
	*at = d;
}

int ib_cma_open(struct ib_cma_dev *d)
{
	struct hca_gsi_memory memory;
	struct ib_cma_gsi *g;
	int err = -ENOMEM;

	if (d->leaving)
		return hca_refuse(-ENODEV, "%s: no connection any more: the device goes", d->dev->name);
	if (d->gsi)
		return 0;
	g = hca_alloc(sizeof(*g), HCA_MAY_SLEEP);
	if (!g)
		return -ENOMEM;
	g->dev = d;
	g->cpu = ib_dma_alloc_coherent(d->dev, HCA_GSI_BYTES, &g->dma, GFP_KERNEL);
	if (!g->cpu)
		goto free_gsi;
	memory = (struct hca_gsi_memory){ .cpu = g->cpu, .dma = hca_dma_u64(g->dma) };
	err = hca_gsi_open(&g->gsi, &d->dev->core->hca, d->dev->attrs.node_guid, &memory);
	if (err)
		goto free_memory;
	d->gsi = g;
	return 0;
free_memory:
	ib_dma_free_coherent(d->dev, HCA_GSI_BYTES, g->cpu, g->dma);
free_gsi:
	hca_free(g);
	return err;
}

int ib_cma_attach(struct ib_cma_id *id, struct ib_cma_dev *d)
{
	hca_irqflags_t flags;
	int err = -ENODEV;

	hca_spin_lock(&d->lock, flags);
	if (!d->leaving) {
		list_add_tail(&id->on_dev, &d->ids);
		d->users++;
		err = 0;
	}
	hca_spin_unlock(&d->lock, flags);
	if (err)
		return hca_refuse(err, "%s: no connection any more: the device goes", d->dev->name);
	id->dev = d;
	id->ib.device = d->dev;
	id->ib.port_num = 1;
	return 0;
}

/* Nothing is told of it any more before it is freed, and the device waits until it was. */
void ib_cma_release(struct ib_cma_id *id)
{
	struct ib_cma_dev *d = id->dev;
	hca_irqflags_t flags;

	if (d) {
		hca_spin_lock(&d->lock, flags);
		list_del_init(&id->on_dev);
		hca_spin_unlock(&d->lock, flags);
	}
	hca_free(id);
	if (!d)
		return;
	hca_spin_lock(&d->lock, flags);
	if (!--d->users && d->leaving)
		hca_complete(&d->gone);
	hca_spin_unlock(&d->lock, flags);
}

void ib_cma_close(struct ib_cma_dev *d)
{
	struct ib_cma_dev **at;
	struct ib_cma_gsi *g;

	ib_cma_lock();
	for (at = &first; *at != d; at = &(*at)->next)
		;
	*at = d->next;
	g = d->gsi;
	d->gsi = NULL;
	ib_cma_unlock();
	hca_completion_destroy(&d->gone);
	if (!g)
		return;
	hca_gsi_close(&g->gsi);
	ib_dma_free_coherent(d->dev, HCA_GSI_BYTES, g->cpu, g->dma);
	hca_free(g);
}
