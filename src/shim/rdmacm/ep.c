/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Endpoints: names become addresses, and these IDs whose calls wait for their events. */
#include "rdmacm.h"

#include <rdma/rdma_verbs.h>

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define RESOLVE_MS 2000

/* --- names --- */

static struct addrinfo to_ai(const struct rdma_addrinfo *h)
{
	struct addrinfo ai = { 0 };

	if (h->ai_flags & RAI_PASSIVE)
		ai.ai_flags |= AI_PASSIVE;
	if (h->ai_flags & RAI_NUMERICHOST)
		ai.ai_flags |= AI_NUMERICHOST;
	if (h->ai_flags & RAI_FAMILY || h->ai_family)
		ai.ai_family = h->ai_family;
	/* A name has one entry for each kind of socket, and one is enough. */
	ai.ai_socktype = h->ai_qp_type == IBV_QPT_UD || h->ai_port_space == RDMA_PS_UDP ? SOCK_DGRAM : SOCK_STREAM;
	return ai;
}

static int copy_addr(struct sockaddr **to, socklen_t *to_len, const struct sockaddr *from, socklen_t len)
{
	*to = calloc(1, HCA_MAX(len, (socklen_t)sizeof(struct sockaddr_storage)));
	if (!*to)
		return EAI_MEMORY;
	memcpy(*to, from, len);
	*to_len = len;
	return 0;
}

static int copy_name(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? EAI_MEMORY : 0;
}

/* What kind of queue pair, in which port space: as asked for, or what goes with the other one. */
static void set_kind(struct rdma_addrinfo *r, const struct rdma_addrinfo *h)
{
	bool ud = h->ai_qp_type == IBV_QPT_UD || (!h->ai_qp_type && h->ai_port_space == RDMA_PS_UDP);

	r->ai_qp_type = h->ai_qp_type ? h->ai_qp_type : ud ? IBV_QPT_UD : IBV_QPT_RC;
	r->ai_port_space = h->ai_port_space ? h->ai_port_space : ud ? RDMA_PS_UDP : RDMA_PS_TCP;
}

/* Datagrams and connections have port spaces of their own. */
static bool is_kind(const struct rdma_addrinfo *h)
{
	if (h->ai_qp_type == IBV_QPT_UD)
		return h->ai_port_space != RDMA_PS_TCP;
	return !h->ai_qp_type || h->ai_port_space != RDMA_PS_UDP;
}

static int fill(struct rdma_addrinfo *r, const struct rdma_addrinfo *h, const struct addrinfo *ai)
{
	int err;

	r->ai_flags = h->ai_flags;
	r->ai_family = ai->ai_family;
	set_kind(r, h);
	if (h->ai_flags & RAI_PASSIVE) {
		err = copy_addr(&r->ai_src_addr, &r->ai_src_len, ai->ai_addr, ai->ai_addrlen);
		return err ? err : copy_name(&r->ai_src_canonname, ai->ai_canonname);
	}
	err = copy_addr(&r->ai_dst_addr, &r->ai_dst_len, ai->ai_addr, ai->ai_addrlen);
	if (!err)
		err = copy_name(&r->ai_dst_canonname, ai->ai_canonname);
	if (!err && h->ai_src_len)
		err = copy_addr(&r->ai_src_addr, &r->ai_src_len, h->ai_src_addr, h->ai_src_len);
	return err;
}

/* Without names the addresses are the hints'. */
static int fill_from_hints(struct rdma_addrinfo *r, const struct rdma_addrinfo *h)
{
	int err = 0;

	r->ai_flags = h->ai_flags;
	r->ai_family = h->ai_family;
	set_kind(r, h);
	if (h->ai_src_len)
		err = copy_addr(&r->ai_src_addr, &r->ai_src_len, h->ai_src_addr, h->ai_src_len);
	if (!err && h->ai_dst_len)
		err = copy_addr(&r->ai_dst_addr, &r->ai_dst_len, h->ai_dst_addr, h->ai_dst_len);
	return err;
}

CM_EXPORT void rdma_freeaddrinfo(struct rdma_addrinfo *res)
{
	struct rdma_addrinfo *next;

	for (; res; res = next) {
		next = res->ai_next;
		free(res->ai_src_addr);
		free(res->ai_dst_addr);
		free(res->ai_src_canonname);
		free(res->ai_dst_canonname);
		free(res->ai_route);
		free(res->ai_connect);
		free(res);
	}
}

static int look_up(const char *node, const char *service, const struct rdma_addrinfo *h, struct rdma_addrinfo **res)
{
	const struct addrinfo hints = to_ai(h);
	struct addrinfo *list, *ai;
	int err = getaddrinfo(node, service, &hints, &list);

	if (err)
		return err;
	for (ai = list; ai && !err; ai = ai->ai_next) {
		*res = calloc(1, sizeof(**res));
		err = *res ? fill(*res, h, ai) : EAI_MEMORY;
		if (*res)
			res = &(*res)->ai_next;
	}
	freeaddrinfo(list);
	return err;
}

CM_EXPORT int rdma_getaddrinfo(const char *node, const char *service, const struct rdma_addrinfo *hints,
			       struct rdma_addrinfo **res)
{
	static const struct rdma_addrinfo none = { .ai_port_space = RDMA_PS_TCP };
	const struct rdma_addrinfo *h = hints ? hints : &none;
	struct rdma_addrinfo *made = NULL;
	int err;

	if (!res || (!node && !service && !hints))
		return cm_fail(EINVAL);
	if (!is_kind(h))
		return EAI_SOCKTYPE;
	if (!cm_start())
		return -1;
	if (node || service) {
		err = look_up(node, service, h, &made);
	} else {
		made = calloc(1, sizeof(*made));
		err = made ? fill_from_hints(made, h) : EAI_MEMORY;
	}
	if (err) {
		rdma_freeaddrinfo(made);
		return err;
	}
	*res = made;
	return 0;
}

/* --- endpoints --- */

static int begin_passive(struct cm_id *id, const struct rdma_addrinfo *res, struct ibv_pd *pd,
			 const struct ibv_qp_init_attr *attr)
{
	if (rdma_bind_addr(&id->ib, res->ai_src_addr))
		return -1;
	id->init_pd = pd;
	if (!attr)
		return 0;
	id->init = malloc(sizeof(*attr));
	if (!id->init)
		return cm_fail(ENOMEM);
	*id->init = *attr;
	id->init->qp_type = (enum ibv_qp_type)res->ai_qp_type;
	return 0;
}

static int begin_active(struct cm_id *id, const struct rdma_addrinfo *res, struct ibv_pd *pd,
			struct ibv_qp_init_attr *attr)
{
	if (rdma_resolve_addr(&id->ib, res->ai_src_addr, res->ai_dst_addr, RESOLVE_MS) ||
	    rdma_resolve_route(&id->ib, RESOLVE_MS))
		return -1;
	if (!attr)
		return 0;
	attr->qp_type = (enum ibv_qp_type)res->ai_qp_type;
	return rdma_create_qp(&id->ib, pd, attr);
}

CM_EXPORT int rdma_create_ep(struct rdma_cm_id **id, struct rdma_addrinfo *res, struct ibv_pd *pd,
			     struct ibv_qp_init_attr *qp_init_attr)
{
	struct rdma_cm_id *ib;
	struct cm_id *made;
	int err, saved;

	if (!id || !res)
		return cm_fail(EINVAL);
	if (rdma_create_id(NULL, &ib, NULL, (enum rdma_port_space)res->ai_port_space))
		return -1;
	made = cm_id_of(ib);
	ib->qp_type = (enum ibv_qp_type)res->ai_qp_type;
	if (res->ai_flags & RAI_PASSIVE)
		err = begin_passive(made, res, pd, qp_init_attr);
	else
		err = begin_active(made, res, pd, qp_init_attr);
	if (err) {
		saved = errno;
		rdma_destroy_ep(ib);
		return cm_fail(saved);
	}
	*id = ib;
	return 0;
}

CM_EXPORT void rdma_destroy_ep(struct rdma_cm_id *id)
{
	if (!id)
		return;
	rdma_destroy_qp(id);
	if (id->srq)
		rdma_destroy_srq(id);
	rdma_destroy_id(id);
}

/* The event of a request is the connection's to acknowledge from now on: it may outlive the listener. */
static void hand_over(struct cm_event *e, struct cm_id *child)
{
	pthread_mutex_lock(&cm_lock);
	e->owner->acked++;
	e->owner = child;
	child->events++;
	pthread_mutex_unlock(&cm_lock);
	child->ib.event = &e->ib;
}

CM_EXPORT int rdma_get_request(struct rdma_cm_id *listen, struct rdma_cm_id **id)
{
	struct cm_id *l = cm_id_of(listen);
	struct ibv_qp_init_attr attr;
	struct rdma_cm_event *event;
	int err;

	if (!listen || !id || !l->sync)
		return cm_fail(EINVAL);
	if (listen->event) {
		rdma_ack_cm_event(listen->event);
		listen->event = NULL;
	}
	if (rdma_get_cm_event(listen->channel, &event))
		return -1;
	if (event->event != RDMA_CM_EVENT_CONNECT_REQUEST) {
		err = event->status ? event->status : EINVAL;
		rdma_ack_cm_event(event);
		return cm_fail(err);
	}
	hand_over(hca_container_of(event, struct cm_event, ib), cm_id_of(event->id));
	if (l->init) {
		attr = *l->init;
		if (rdma_create_qp(event->id, l->init_pd, &attr)) {
			err = errno;
			rdma_destroy_id(event->id);
			return cm_fail(err);
		}
	}
	*id = event->id;
	return 0;
}
