/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ports: who has which, in each port space, among the processes of a fabric that see
 * the same network. The table is a file of them all (softhca/abi/ports.h, table.c). Two IDs
 * may have one port on different addresses of one version, or on different versions.
 */
#include "rdmacm.h"

#include <string.h>

#include "shim/hooks.h"
#include "softhca/abi/fabric.h"
#include "table.h"

/* Those that are chosen, as Linux has them by default. */
#define EPHEMERAL_FIRST 32768u
#define EPHEMERAL_COUNT 28232u

#define RECENT_NS 3000000000ull

/* --- entries --- */

static bool is_own(const struct hca_ports_entry *e)
{
	return e->stamp == cm_manager()->stamp;
}

static bool is_alive(const struct hca_ports_entry *e)
{
	uint64_t now;

	if (!e->stamp || is_own(e))
		return e->stamp;
	now = softhca_node_stamp(e->node);
	return now == e->stamp || now == HCA_FABRIC_STAMP_UNKNOWN;
}

static struct cm_addr addr_of(const struct hca_ports_entry *e)
{
	struct cm_addr a = { .scope = e->scope, .port = e->port, .version = e->version };

	memcpy(a.ip, e->ip, sizeof(a.ip));
	return a;
}

/* The entries of processes that have ended. Each process is looked for once, however many it has; the table's lock is held. */
static void sweep(void)
{
	static u64 stamp[HCA_FABRIC_NODES];
	static bool known[HCA_FABRIC_NODES];
	struct cm_walk w;
	u32 b, n;

	memset(known, 0, sizeof(known));
	for (b = 0; b < HCA_PORTS_BUCKETS; b++)
		for (w = cm_table_list(b); cm_walk_look(&w);) {
			n = w.e.node % HCA_FABRIC_NODES;
			if (!known[n] || stamp[n] != w.e.stamp) {
				known[n] = is_alive(&w.e);
				stamp[n] = w.e.stamp;
			}
			if (known[n])
				cm_walk_pass(&w);
			else
				cm_walk_take_out(&w);
		}
}

/* --- who has what --- */

static bool overlaps(const struct cm_addr *a, const struct cm_addr *b)
{
	return a->version == b->version && (cm_addr_is_any(a) || cm_addr_is_any(b) || cm_addr_same(a, b));
}

/* Of an entry of our own: has an ID it still? One that ended while the table couldn't be had left it. */
static bool is_held(u32 index)
{
	const struct cm_id *id = cm_each();

	while (id && id->entry != index)
		id = id->next;
	return id;
}

/* Does another one have the port, in a way that @judge objects to? What the dead had is taken out on the way. */
static bool taken(const struct cm_id *id, u16 port,
		  bool (*judge)(const struct cm_id *id, const struct hca_ports_entry *e))
{
	struct cm_walk w = cm_table_list(port);

	while (cm_walk_look(&w)) {
		if (w.e.space != id->ib.ps || w.e.port != port || w.index == id->entry || !judge(id, &w.e)) {
			cm_walk_pass(&w);
			continue;
		}
		if (is_own(&w.e) ? is_held(w.index) : is_alive(&w.e))
			return true;
		cm_walk_take_out(&w);
	}
	return false;
}

static bool objects_to_bind(const struct cm_id *id, const struct hca_ports_entry *e)
{
	const struct cm_addr a = addr_of(e);

	return overlaps(&a, &id->src) && !(id->reuse && e->flags & HCA_PORTS_REUSE);
}

/* Where one listens, nobody else does, whatever they say of sharing. */
static bool objects_to_listen(const struct cm_id *id, const struct hca_ports_entry *e)
{
	const struct cm_addr a = addr_of(e);

	return overlaps(&a, &id->src) && e->flags & HCA_PORTS_LISTENS;
}

/* A chosen port is nobody's. */
static bool objects_to_choice(const struct cm_id *id, const struct hca_ports_entry *e)
{
	(void)id;
	(void)e;
	return true;
}

static int choose(struct cm_id *id)
{
	u32 start = hca_random_u32() % EPHEMERAL_COUNT, i;
	u16 port;

	for (i = 0; i < EPHEMERAL_COUNT; i++) {
		port = (u16)(EPHEMERAL_FIRST + (start + i) % EPHEMERAL_COUNT);
		if (!taken(id, port, objects_to_choice)) {
			id->src.port = port;
			return 0;
		}
	}
	return -EADDRNOTAVAIL;
}

static int put_in(struct cm_id *id)
{
	const struct cm_manager *m = cm_manager();
	struct hca_ports_entry e = {
		.space = (u16)id->ib.ps,
		.port = id->src.port,
		.version = id->src.version,
		.flags = id->reuse ? HCA_PORTS_REUSE : 0,
		.scope = id->src.scope,
		.node = m->node,
		.qpn = m->qpn,
		.stamp = m->stamp,
	};

	memcpy(e.ip, id->src.ip, sizeof(e.ip));
	id->entry = cm_table_put_in(&e);
	if (!id->entry) {
		sweep();
		id->entry = cm_table_put_in(&e);
	}
	return id->entry ? 0 : -EADDRNOTAVAIL;
}

int cm_port_take(struct cm_id *id)
{
	bool chosen = !id->src.port;
	int err = cm_table_enter();

	if (err)
		return err;
	if (chosen)
		err = choose(id);
	else if (taken(id, id->src.port, objects_to_bind))
		err = -EADDRINUSE;
	if (!err)
		err = put_in(id);
	err = cm_table_leave(err);
	if (err && chosen)
		id->src.port = 0;
	return err;
}

/* Return: its entry is where it was, and @w is there */
static bool find_own(const struct cm_id *id, struct cm_walk *w)
{
	for (*w = cm_table_list(id->src.port); cm_walk_look(w); cm_walk_pass(w))
		if (w->index == id->entry)
			return is_own(&w->e);
	return false;
}

void cm_port_give(struct cm_id *id)
{
	struct cm_walk w;

	if (!id->entry || id->life != cm_life || cm_table_enter())
		return;
	if (find_own(id, &w)) {
		if (w.e.flags & HCA_PORTS_LISTENS)
			cm_table_set_closed(id->src.port, hca_now_ns());
		cm_walk_take_out(&w);
	}
	id->entry = 0;
	(void)cm_table_leave(0);
}

int cm_port_listen(struct cm_id *id)
{
	int err = cm_table_enter();
	struct cm_walk w;

	if (err)
		return err;
	if (taken(id, id->src.port, objects_to_listen))
		err = -EADDRINUSE;
	else if (!find_own(id, &w))
		err = -EPROTO;
	else
		cm_table_set_flags(id->entry,
				   (u8)(w.e.flags | HCA_PORTS_LISTENS | (id->afonly ? HCA_PORTS_AFONLY : 0)));
	return cm_table_leave(err);
}

/* How well a listener fits: an address before a wildcard, and that before one of the other version; 0: not at all. */
static u32 fits(const struct hca_ports_entry *e, const struct cm_addr *a)
{
	const struct cm_addr has = addr_of(e);

	if (cm_addr_same(&has, a))
		return 3;
	if (!cm_addr_is_any(&has))
		return 0;
	if (has.version == a->version)
		return 2;
	return has.version == 6 && !(e->flags & HCA_PORTS_AFONLY);
}

/* The best of those that listen. */
static void find_listener(enum rdma_port_space ps, const struct cm_addr *a, struct hca_ports_entry *best)
{
	struct cm_walk w = cm_table_list(a->port);
	u32 found = 0, fit;

	for (; cm_walk_look(&w); cm_walk_pass(&w)) {
		if (w.e.space != ps || w.e.port != a->port || !(w.e.flags & HCA_PORTS_LISTENS))
			continue;
		fit = fits(&w.e, a);
		if (fit > found && is_alive(&w.e)) {
			found = fit;
			*best = w.e;
		}
	}
}

/* Has anybody that lives bound it? */
static bool is_bound(enum rdma_port_space ps, const struct cm_addr *a)
{
	struct cm_walk w = cm_table_list(a->port);

	for (; cm_walk_look(&w); cm_walk_pass(&w))
		if (w.e.space == ps && w.e.port == a->port && fits(&w.e, a) && is_alive(&w.e))
			return true;
	return false;
}

int cm_port_find(enum rdma_port_space ps, const struct cm_addr *a, u32 *qpn, u64 *stamp)
{
	struct hca_ports_entry e = { .qpn = 0 };
	int err = cm_table_enter();

	if (err)
		return err;
	find_listener(ps, a, &e);
	err = cm_table_leave(0);
	if (err)
		return err;
	*qpn = e.qpn;
	*stamp = e.stamp;
	return 0;
}

bool cm_port_may_open(enum rdma_port_space ps, const struct cm_addr *a)
{
	u64 closed;
	bool may;

	if (cm_table_enter())
		return false;
	closed = cm_table_closed(a->port);
	may = (closed && hca_now_ns() - closed < RECENT_NS) || is_bound(ps, a);
	return !cm_table_leave(0) && may;
}

void cm_port_forget(void)
{
	cm_table_forget();
}
