/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Shared receive queues. */
#include "shim.h"

/* @xrc: what it is made with, if it is of a domain; else NULL. */
static struct ibv_srq *make_srq(struct ibv_pd *pd, void *srq_context, struct ibv_srq_attr *a,
				const struct ibv_srq_init_attr_ex *xrc)
{
	/* A queue for one request costs nothing, and a program may ask for none. */
	const struct hca_srq_attr attr = { .max_wr = HCA_MAX(a->max_wr, 1u),
					   .max_sge = HCA_MAX(a->max_sge, 1u),
					   .srq_limit = a->srq_limit };
	struct shim_pd *p = shim_pd_get(pd);
	struct shim_srq *s;
	int err;

	if (!p)
		return shim_null(shim_why(EINVAL, SHIM_LOG_QP, "ibv_create_srq: no such domain"));
	s = shim_object_new(SHIM_SRQ, sizeof(*s), p->obj.context);
	if (!s)
		return shim_null(ENOMEM);
	err = xrc ? shim_xrc_srq_init(s, p, xrc, &attr) :
		    hca_srq_init(&s->srq, &p->obj.context->device->hca, &p->pd, &attr);
	if (err) {
		shim_object_free(&s->obj);
		return shim_null(shim_why(err, SHIM_LOG_QP, "ibv_create_srq: %u requests of %u entries, limit %u",
					  a->max_wr, a->max_sge, a->srq_limit));
	}
	a->max_wr = attr.max_wr;
	a->max_sge = attr.max_sge;
	s->pd = p;
	s->obj.under = shim_parent(pd);
	s->ib.context = pd->context;
	s->ib.srq_context = srq_context;
	s->ib.pd = pd;
	s->ib.handle = s->obj.handle;
	pthread_mutex_init(&s->ib.mutex, NULL);
	pthread_cond_init(&s->ib.cond, NULL);
	shim_object_publish(&s->obj);
	return &s->ib;
}

SHIM_NOT_OLD(ibv_create_srq);
SHIM_EXPORT struct ibv_srq *ibv_create_srq(struct ibv_pd *pd, struct ibv_srq_init_attr *attr)
{
	if (!attr)
		return shim_null(shim_why(EINVAL, SHIM_LOG_QP, "ibv_create_srq: no attributes"));
	return make_srq(pd, attr->srq_context, &attr->attr, NULL);
}

struct ibv_srq *shim_create_srq_ex(struct ibv_context *context, struct ibv_srq_init_attr_ex *attr)
{
	enum ibv_srq_type type;
	struct shim_pd *p;

	if (!attr || attr->comp_mask >= IBV_SRQ_INIT_ATTR_RESERVED || !(attr->comp_mask & IBV_SRQ_INIT_ATTR_PD))
		return shim_null(
			shim_why(EINVAL, SHIM_LOG_QP, "ibv_create_srq_ex: mask 0x%x", attr ? attr->comp_mask : 0));
	p = shim_pd_get(attr->pd);
	if (p && context && context != &p->obj.context->verbs.context)
		return shim_null(shim_why(EINVAL, SHIM_LOG_QP, "ibv_create_srq_ex: the domain is of another context"));
	type = attr->comp_mask & IBV_SRQ_INIT_ATTR_TYPE ? attr->srq_type : IBV_SRQT_BASIC;
	if (type != IBV_SRQT_BASIC && type != IBV_SRQT_XRC)
		return shim_null(shim_why(EOPNOTSUPP, SHIM_LOG_QP, "ibv_create_srq_ex: type %d", (int)type));
	return make_srq(attr->pd, attr->srq_context, &attr->attr, type == IBV_SRQT_XRC ? attr : NULL);
}

SHIM_NOT_OLD(ibv_modify_srq);
SHIM_EXPORT int ibv_modify_srq(struct ibv_srq *srq, struct ibv_srq_attr *a, int mask)
{
	struct shim_srq *s = srq ? shim_srq(srq) : NULL;
	struct hca_srq_attr attr;
	int err;

	if (!s || !a || !shim_known(&s->obj, SHIM_SRQ))
		return shim_why(EINVAL, SHIM_LOG_QP, "ibv_modify_srq: no %s", a ? "such queue" : "attributes");
	attr = (struct hca_srq_attr){ .max_wr = a->max_wr, .srq_limit = a->srq_limit };
	err = hca_srq_modify(&s->srq, &attr, (u32)mask);
	return err ? shim_why(err, SHIM_LOG_QP, "ibv_modify_srq: mask 0x%x, %u requests, limit %u", (u32)mask,
			      a->max_wr, a->srq_limit) :
		     0;
}

SHIM_NOT_OLD(ibv_query_srq);
SHIM_EXPORT int ibv_query_srq(struct ibv_srq *srq, struct ibv_srq_attr *attr)
{
	struct shim_srq *s = srq ? shim_srq(srq) : NULL;
	struct hca_srq_attr a;

	if (!s || !attr || !shim_known(&s->obj, SHIM_SRQ))
		return shim_why(EINVAL, SHIM_LOG_QP, "ibv_query_srq: no %s", attr ? "such queue" : "attributes");
	hca_srq_query(&s->srq, &a);
	*attr = (struct ibv_srq_attr){ .max_wr = a.max_wr, .max_sge = a.max_sge, .srq_limit = a.srq_limit };
	return 0;
}

int shim_end_srq(struct shim_object *o, bool abandon)
{
	struct shim_srq *s = hca_container_of(o, struct shim_srq, obj);
	int err = s->xrcd ? shim_xrc_srq_fini(s, abandon) : -hca_srq_fini(&s->srq);

	if (err)
		return err;
	shim_queue_end(&o->context->async, &s->async, true, abandon);
	pthread_cond_destroy(&s->ib.cond);
	pthread_mutex_destroy(&s->ib.mutex);
	return 0;
}

SHIM_NOT_OLD(ibv_destroy_srq);
SHIM_EXPORT int ibv_destroy_srq(struct ibv_srq *srq)
{
	struct shim_srq *s = srq ? shim_srq(srq) : NULL;
	int err;

	if (!s || !shim_claim(&s->obj, SHIM_SRQ))
		return shim_why(EINVAL, SHIM_LOG_QP, "ibv_destroy_srq: no such queue");
	err = shim_end_srq(&s->obj, false);
	if (err) {
		shim_unclaim(&s->obj);
		return shim_why(err, SHIM_LOG_QP, "ibv_destroy_srq: queue pairs, or a message that comes in, use it");
	}
	shim_object_free(&s->obj);
	return 0;
}
