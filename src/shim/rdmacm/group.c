/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Multicast groups by IP address. A group has its GID by rule, so joining needs nobody's
 * answer; the queue pair is attached when the program fetches the event that says so.
 */
#include "rdmacm.h"

#include <stdlib.h>
#include <string.h>

#define GROUP_QPN 0xffffffu
#define GROUP_LID 0xc000u /* on InfiniBand one LID serves for all: the GID decides */

/** struct cm_group - a group that an ID joined; @attached: its queue pair is in it */
struct cm_group {
	struct cm_group *next;
	struct cm_addr addr;
	union ibv_gid gid;
	void *context;
	bool attached;
};

static u16 group_lid(void)
{
	return cm_manager()->infiniband ? GROUP_LID : 0;
}

/* RFC 4391: IPoIB's groups have the signature of their version, the partition, and as much of the address as there is room for. */
static void ipoib_gid(const struct cm_addr *a, union ibv_gid *gid)
{
	static const u8 head[8] = { 0xff, 0x12, 0x40, 0x1b, 0xff, 0xff, 0, 0 };

	memcpy(gid->raw, head, sizeof(head));
	if (a->version == 4) {
		memcpy(gid->raw + 12, a->ip + CM_IP_AT, 4);
		gid->raw[12] &= 0x0f;
	} else {
		gid->raw[3] = 0x1b;
		gid->raw[2] = 0x60;
		memcpy(gid->raw + 6, a->ip + 6, 10);
	}
}

/* On RoCE it is the address itself. A datagram to it goes to all in the group, by the GID's first byte. */
static void gid_of(const struct cm_addr *a, union ibv_gid *gid)
{
	static const u8 ipv4[12] = { 0xff, 0x0e, [10] = 0xff, [11] = 0xff };

	memset(gid, 0, sizeof(*gid));
	if (cm_manager()->infiniband) {
		ipoib_gid(a, gid);
		return;
	}
	memcpy(gid->raw, a->ip, sizeof(gid->raw));
	if (a->version == 4)
		memcpy(gid->raw, ipv4, sizeof(ipv4));
}

static void fill(const struct cm_id *id, const struct cm_group *g, struct cm_event *e)
{
	e->group = (struct cm_group *)g;
	e->ib.param.ud = (struct rdma_ud_param){
		.private_data = g->context,
		.qp_num = GROUP_QPN,
		.qkey = RDMA_UDP_QKEY,
		.ah_attr = { .dlid = group_lid(),
			     .is_global = 1,
			     .port_num = CM_PORT,
			     .grh = { .dgid = g->gid,
				      .sgid_index = id->sgid_index,
				      .hop_limit = 64,
				      .traffic_class = id->tos } },
	};
}

static bool is_group(const struct cm_addr *a)
{
	return a->version == 4 ? (a->ip[CM_IP_AT] & 0xf0) == 0xe0 : a->ip[0] == 0xff;
}

/* Under cm_lock. */
static int join(struct cm_id *id, struct cm_group *g)
{
	struct cm_event *e;

	if (!cm_is_ud(id) || !id->ib.verbs || id->state < CM_BOUND)
		return EINVAL;
	e = cm_event_new(id, NULL, RDMA_CM_EVENT_MULTICAST_JOIN, 0);
	if (!e)
		return ENOMEM;
	gid_of(&g->addr, &g->gid);
	g->next = id->groups;
	id->groups = g;
	fill(id, g, e);
	cm_event_queue(e);
	return 0;
}

static int join_addr(struct rdma_cm_id *ib, const struct sockaddr *sa, void *context)
{
	struct cm_id *id = cm_id_of(ib);
	struct cm_group *g;
	struct cm_addr a;
	int err = cm_addr_from(sa, &a);

	if (err)
		return cm_fail(err);
	if (!is_group(&a))
		return cm_fail(EINVAL);
	g = calloc(1, sizeof(*g));
	if (!g)
		return cm_fail(ENOMEM);
	g->addr = a;
	g->context = context;
	pthread_mutex_lock(&cm_lock);
	err = join(id, g);
	pthread_mutex_unlock(&cm_lock);
	if (err) {
		free(g);
		return cm_fail(err);
	}
	return cm_complete(id);
}

void cm_group_fetched(struct cm_event *e)
{
	struct cm_id *id = e->owner;
	struct cm_group *g = e->group;
	bool locked = cm_qp_lock(id);
	int err = 0;

	if (id->ib.qp) {
		err = ibv_attach_mcast(id->ib.qp, &g->gid, group_lid());
		g->attached = !err;
	}
	cm_qp_unlock(id, locked);
	if (!err)
		return;
	e->ib.event = RDMA_CM_EVENT_MULTICAST_ERROR;
	e->ib.status = -err;
}

CM_EXPORT int rdma_join_multicast(struct rdma_cm_id *id, struct sockaddr *addr, void *context)
{
	return id && addr ? join_addr(id, addr, context) : cm_fail(EINVAL);
}

/* A member that only sends gets what comes as well, as the port doesn't tell them apart. */
CM_EXPORT int rdma_join_multicast_ex(struct rdma_cm_id *id, struct rdma_cm_join_mc_attr_ex *attr, void *context)
{
	if (!id || !attr || !attr->comp_mask || attr->comp_mask >= RDMA_CM_JOIN_MC_ATTR_RESERVED ||
	    !(attr->comp_mask & RDMA_CM_JOIN_MC_ATTR_ADDRESS) || !attr->addr)
		return cm_fail(EINVAL);
	if (attr->comp_mask & RDMA_CM_JOIN_MC_ATTR_JOIN_FLAGS && attr->join_flags >= RDMA_MC_JOIN_FLAG_RESERVED)
		return cm_fail(EINVAL);
	return join_addr(id, attr->addr, context);
}

static void leave(struct cm_id *id, struct cm_group *g)
{
	bool locked = cm_qp_lock(id);

	if (g->attached && id->ib.qp)
		(void)ibv_detach_mcast(id->ib.qp, &g->gid, group_lid());
	cm_qp_unlock(id, locked);
	free(g);
}

CM_EXPORT int rdma_leave_multicast(struct rdma_cm_id *ib, struct sockaddr *addr)
{
	struct cm_id *id = cm_id_of(ib);
	struct cm_group **at, *g = NULL;
	struct cm_addr a;
	int err;

	if (!ib)
		return cm_fail(EINVAL);
	err = cm_addr_from(addr, &a);
	if (err)
		return cm_fail(err);
	pthread_mutex_lock(&cm_lock);
	for (at = &id->groups; *at && !cm_addr_same(&(*at)->addr, &a); at = &(*at)->next)
		;
	g = *at;
	if (g)
		*at = g->next;
	pthread_mutex_unlock(&cm_lock);
	if (!g)
		return cm_fail(EADDRNOTAVAIL);
	leave(id, g);
	return 0;
}

void cm_groups_end(struct cm_id *id)
{
	struct cm_group *g;

	while ((g = id->groups)) {
		id->groups = g->next;
		leave(id, g);
	}
}
