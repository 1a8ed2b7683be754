/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ports: who has which, in each port space. Two IDs may have one on different addresses of one family, or on different
 * families, as IPv4 and IPv6 have addresses of their own. See ib_cma.h.
 */
#include "ib_cma.h"

#define BUCKETS 1024u
/* Those that are chosen, as Linux has them by default. */
#define EPHEMERAL_FIRST 32768u
#define EPHEMERAL_COUNT 28232u

static struct ib_cma_id *bound[BUCKETS]; /* under ib_cma_lock() */

static struct ib_cma_id **bucket(u16 port)
{
	return &bound[port % BUCKETS];
}

static bool overlaps(const struct ib_cma_addr *a, const struct ib_cma_addr *b)
{
	if (a->version != b->version)
		return false;
	return ib_cma_addr_any(a) || ib_cma_addr_any(b) || !hca_memcmp(a->gid, b->gid, sizeof(a->gid));
}

static bool is_free(const struct ib_cma_id *id, u16 port)
{
	const struct ib_cma_id *o;

	for (o = *bucket(port); o; o = o->next_port)
		if (o->ib.ps == id->ib.ps && o->src.port == port && overlaps(&o->src, &id->src) &&
		    !(o->reuse && id->reuse))
			return false;
	return true;
}

/* A port that the library chooses must be unused, also if sharing is allowed. */
static bool is_unused(const struct ib_cma_id *id, u16 port)
{
	const struct ib_cma_id *o;

	for (o = *bucket(port); o; o = o->next_port)
		if (o->ib.ps == id->ib.ps && o->src.port == port)
			return false;
	return true;
}

static int choose(struct ib_cma_id *id)
{
	u32 start = hca_random_u32() % EPHEMERAL_COUNT, i;
	u16 port;

	for (i = 0; i < EPHEMERAL_COUNT; i++) {
		port = (u16)(EPHEMERAL_FIRST + (start + i) % EPHEMERAL_COUNT);
		if (is_unused(id, port)) {
			id->src.port = port;
			return 0;
		}
	}
	return ib_cma_refuse(id, -EADDRNOTAVAIL, "bind", "all ports that are given out are in use");
}

int ib_cma_port_take(struct ib_cma_id *id)
{
	struct ib_cma_id **at;

	if (!id->src.port) {
		int err = choose(id);

		if (err)
			return err;
	} else if (!is_free(id, id->src.port)) {
		return ib_cma_refuse(id, -EADDRINUSE, "bind", "another ID has this port (rdma_set_reuseaddr())");
	}
	at = bucket(id->src.port);
	id->next_port = *at;
	*at = id;
	id->bound = true;
	return 0;
}

void ib_cma_port_give(struct ib_cma_id *id)
{
	struct ib_cma_id **at;

	if (!id->bound)
		return;
	for (at = bucket(id->src.port); *at != id; at = &(*at)->next_port)
		;
	*at = id->next_port;
	id->bound = false;
}
