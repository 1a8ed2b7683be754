/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From addresses to the device and the path: binding, resolving an address and a route.
 * The answers are there at once; events tell of them as if they had taken their time.
 */
#include "rdmacm.h"

#include <string.h>

#define LIFETIME 17u /* code: what a path's packets may take; 0.5 s, as a program may be late on a busy host */
#define EXACTLY 2u /* a selector of path records */
#define RATE_100 16u /* 100 Gb/s, of ibv_rate */

/* --- the device --- */

void cm_id_settle(struct cm_id *id)
{
	struct cm_manager *m = cm_manager();
	struct rdma_addr *a = &id->ib.route.addr;

	id->ib.verbs = m->verbs;
	id->ib.port_num = CM_PORT;
	if (!id->ib.pd)
		id->ib.pd = m->pd;
	id->sgid_index = cm_gid(&id->src, &id->sgid);
	if (id->dst.version)
		(void)cm_gid(&id->dst, &id->dgid);
	a->addr.ibaddr.sgid = id->sgid;
	a->addr.ibaddr.dgid = id->dgid;
	a->addr.ibaddr.pkey = htons(0xffff);
}

static void show_addresses(struct cm_id *id)
{
	struct rdma_addr *a = &id->ib.route.addr;

	cm_addr_to(&id->src, &a->src_storage);
	if (id->dst.version)
		cm_addr_to(&id->dst, &a->dst_storage);
}

/* --- binding --- */

int cm_bind(struct cm_id *id, const struct cm_addr *a)
{
	bool any = cm_addr_is_any(a);
	int err;

	if (id->state != CM_IDLE)
		return -EINVAL;
	if (!any && !cm_addr_is_ours(a))
		return -EADDRNOTAVAIL;
	id->src = *a;
	err = cm_port_take(id);
	if (err) {
		id->src = (struct cm_addr){ 0 };
		return err;
	}
	id->state = CM_BOUND;
	if (!any)
		cm_id_settle(id);
	show_addresses(id);
	return 0;
}

CM_EXPORT int rdma_bind_addr(struct rdma_cm_id *ib, struct sockaddr *addr)
{
	struct cm_addr a;
	int err;

	if (!ib)
		return cm_fail(EINVAL);
	err = cm_addr_from(addr, &a);
	if (err)
		return cm_fail(err);
	pthread_mutex_lock(&cm_lock);
	err = cm_bind(cm_id_of(ib), &a);
	pthread_mutex_unlock(&cm_lock);
	return cm_result(err);
}

/* --- the way to an address --- */

/* Of a bound ID. An address of another host can't be reached by this device. */
static int lead_to(struct cm_id *id, const struct cm_addr *dst)
{
	struct cm_addr here = *dst, source;

	if (id->state != CM_BOUND || id->src.version != dst->version)
		return -EINVAL;
	id->dst = *dst;
	cm_addr_to_here(&here);
	if (!cm_addr_is_ours(&here)) {
		show_addresses(id);
		cm_tell(id, RDMA_CM_EVENT_ADDR_ERROR, -EHOSTUNREACH);
		return 0;
	}
	if (cm_addr_is_any(&id->src)) {
		cm_addr_source(&here, &source);
		source.port = id->src.port;
		id->src = source;
	}
	id->dst = here;
	cm_id_settle(id);
	show_addresses(id);
	id->state = CM_ADDR_RESOLVED;
	cm_tell(id, RDMA_CM_EVENT_ADDR_RESOLVED, 0);
	return 0;
}

static int resolve(struct cm_id *id, const struct cm_addr *src, const struct cm_addr *dst)
{
	int err = id->state == CM_IDLE ? cm_bind(id, src) : 0;

	return err ? err : lead_to(id, dst);
}

CM_EXPORT int rdma_resolve_addr(struct rdma_cm_id *ib, struct sockaddr *src_addr, struct sockaddr *dst_addr,
				int timeout_ms)
{
	struct cm_addr src, dst;
	int err;

	(void)timeout_ms;
	if (!ib)
		return cm_fail(EINVAL);
	err = cm_addr_from(dst_addr, &dst);
	if (err)
		return cm_fail(err);
	src = cm_addr_any_of(dst.version);
	if (src_addr && src_addr->sa_family)
		err = cm_addr_from(src_addr, &src);
	if (err)
		return cm_fail(err);
	pthread_mutex_lock(&cm_lock);
	err = resolve(cm_id_of(ib), &src, &dst);
	pthread_mutex_unlock(&cm_lock);
	return err ? cm_fail(err) : cm_complete(cm_id_of(ib));
}

/* --- routes --- */

void cm_set_path(struct cm_id *id)
{
	const struct cm_manager *m = cm_manager();

	id->path = (struct ibv_sa_path_rec){
		.dgid = id->dgid,
		.sgid = id->sgid,
		.dlid = htons(m->lid),
		.slid = htons(m->lid),
		.traffic_class = id->tos,
		.hop_limit = m->infiniband ? 0 : 64,
		.reversible = 1,
		.numb_path = 1,
		.pkey = htons(0xffff),
		.mtu_selector = EXACTLY,
		.mtu = IBV_MTU_4096,
		.rate_selector = EXACTLY,
		.rate = RATE_100,
		.packet_life_time_selector = EXACTLY,
		.packet_life_time = LIFETIME,
	};
	id->ib.route.path_rec = &id->path;
	id->ib.route.num_paths = 1;
}

CM_EXPORT int rdma_resolve_route(struct rdma_cm_id *ib, int timeout_ms)
{
	struct cm_id *id = cm_id_of(ib);
	int err = -EINVAL;

	(void)timeout_ms;
	if (!ib)
		return cm_fail(EINVAL);
	pthread_mutex_lock(&cm_lock);
	if (id->state == CM_ADDR_RESOLVED) {
		id->state = CM_ROUTE_RESOLVED;
		cm_set_path(id);
		cm_tell(id, RDMA_CM_EVENT_ROUTE_RESOLVED, 0);
		err = 0;
	}
	pthread_mutex_unlock(&cm_lock);
	return err ? cm_fail(err) : cm_complete(id);
}

/* --- ports --- */

static __be16 port_of(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return ((const struct sockaddr_in *)sa)->sin_port;
	return sa->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)sa)->sin6_port : 0;
}

CM_EXPORT __be16 rdma_get_src_port(struct rdma_cm_id *id)
{
	return port_of(&id->route.addr.src_addr);
}

CM_EXPORT __be16 rdma_get_dst_port(struct rdma_cm_id *id)
{
	return port_of(&id->route.addr.dst_addr);
}
