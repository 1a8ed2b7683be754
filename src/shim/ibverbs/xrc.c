/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Extended reliable connections: domains, the queue pairs that receive for them
 * (targets), and the shared receive queues that messages name. Two handles that were
 * opened with the same file stand for one domain, and two handles of a target for one
 * queue pair, as in Linux (drivers/infiniband/core/uverbs_cmd.c and verbs.c); but only
 * within a process.
 */
#include "shim.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/**
 * struct shim_target - a queue pair that receives
 * @next: of the domain
 * @handles: what the program has of it; the last one's end is its own
 */
struct shim_target {
	struct shim_target *next;
	struct shim_domain *domain;
	struct hca_qp *qp;
	struct shim_qp *handles;
};

/**
 * struct shim_domain - a domain
 * @dev, @ino: the file that names it, if @named
 * @pin: a descriptor by which no other file gets that number; or -1
 * @handles: struct shim_xrcd; there is at least one
 */
struct shim_domain {
	struct shim_domain *next;
	bool named;
	dev_t dev;
	ino_t ino;
	int pin;
	u32 handles;
	struct shim_target *targets;
	struct hca_xrcd xrcd;
};

/* Of all devices; a file has a domain of each. Everything that these lists lead to, and struct shim_xrcd.users. The event queue's handlers take it: don't run that queue inside. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct shim_domain *domains;

static struct shim_xrcd *xrcd_of(const struct ibv_xrcd *ib)
{
	return SHIM_OF(ib, struct shim_xrcd, ib);
}

void shim_xrc_forget(void)
{
	pthread_mutex_init(&lock, NULL);
	domains = NULL;
}

/* --- domains --- */

static struct shim_domain *find_domain(const struct hca *hca, const struct stat *st)
{
	struct shim_domain *d;

	for (d = domains; d; d = d->next)
		if (d->named && d->xrcd.hca == hca && d->dev == st->st_dev && d->ino == st->st_ino)
			break;
	return d;
}

/* A duplicate of the descriptor would not do: closing one gives up the locks that the program holds on the file. */
static int pin(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_PATH | O_CLOEXEC);
}

/* @st NULL: no file names it. */
static struct shim_domain *make_domain(struct hca *hca, int fd, const struct stat *st)
{
	struct shim_domain *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	hca_xrcd_init(&d->xrcd, hca);
	d->pin = -1;
	if (st) {
		d->named = true;
		d->dev = st->st_dev;
		d->ino = st->st_ino;
		d->pin = pin(fd);
	}
	d->next = domains;
	domains = d;
	return d;
}

/* Gives the domain one more handle; the lock is held. */
static int get_domain(struct hca *hca, const struct ibv_xrcd_init_attr *a, struct shim_domain **out)
{
	struct shim_domain *d = NULL;
	bool named = a->fd != -1;
	struct stat st;

	if (named && fstat(a->fd, &st))
		return errno;
	if (named)
		d = find_domain(hca, &st);
	if (named && !d && !(a->oflags & O_CREAT))
		return EAGAIN;
	if (d && a->oflags & O_EXCL)
		return EINVAL;
	if (!d)
		d = make_domain(hca, a->fd, named ? &st : NULL);
	if (!d)
		return ENOMEM;
	d->handles++;
	*out = d;
	return 0;
}

/* The lock is held. Return: the domain, if that was its last handle; it is to be freed without the lock. */
static struct shim_domain *put_domain(struct shim_domain *d)
{
	struct shim_domain **at;

	if (--d->handles)
		return NULL;
	for (at = &domains; *at != d; at = &(*at)->next)
		;
	*at = d->next;
	return d;
}

static void free_domain(struct shim_domain *d)
{
	if (!d)
		return;
	(void)HCA_WARN_ON(hca_xrcd_fini(&d->xrcd));
	if (d->pin >= 0)
		close(d->pin);
	free(d);
}

static int check_open(const struct shim_context *c, const struct ibv_xrcd_init_attr *a)
{
	const u32 need = IBV_XRCD_INIT_ATTR_FD | IBV_XRCD_INIT_ATTR_OFLAGS;

	if (!c || !a)
		return EINVAL;
	if (a->comp_mask >= IBV_XRCD_INIT_ATTR_RESERVED)
		return EOPNOTSUPP;
	return a->comp_mask == need ? 0 : EINVAL;
}

struct ibv_xrcd *shim_open_xrcd(struct ibv_context *context, struct ibv_xrcd_init_attr *a)
{
	struct shim_context *c = shim_context_get(context);
	int err = check_open(c, a);
	struct shim_xrcd *x = NULL;

	if (err)
		goto out;
	x = shim_object_new(SHIM_XRCD, sizeof(*x), c);
	err = ENOMEM;
	if (!x)
		goto out;
	pthread_mutex_lock(&lock);
	err = get_domain(&c->device->hca, a, &x->domain);
	pthread_mutex_unlock(&lock);
	if (err)
		goto free_handle;
	x->ib.context = context;
	shim_object_publish(&x->obj);
	return &x->ib;
free_handle:
	shim_object_free(&x->obj);
out:
	return shim_null(a ? shim_why(err, SHIM_LOG_QP, "ibv_open_xrcd: mask 0x%x, descriptor %d, flags 0x%x",
				      a->comp_mask, a->fd, (u32)a->oflags) :
			     shim_why(err, SHIM_LOG_QP, "ibv_open_xrcd: no attributes"));
}

int shim_end_xrcd(struct shim_object *o, bool abandon)
{
	struct shim_xrcd *x = hca_container_of(o, struct shim_xrcd, obj);
	struct shim_domain *last = NULL;
	int err = 0;

	pthread_mutex_lock(&lock);
	if (x->users && !abandon)
		err = EBUSY;
	else
		last = put_domain(x->domain);
	pthread_mutex_unlock(&lock);
	free_domain(last);
	return err;
}

int shim_close_xrcd(struct ibv_xrcd *xrcd)
{
	struct shim_xrcd *x = xrcd_of(xrcd);
	int err;

	if (!xrcd || !shim_claim(&x->obj, SHIM_XRCD))
		return shim_why(EINVAL, SHIM_LOG_QP, "ibv_close_xrcd: no such domain");
	err = shim_end_xrcd(&x->obj, false);
	if (err) {
		shim_unclaim(&x->obj);
		return shim_why(err, SHIM_LOG_QP, "ibv_close_xrcd: queue pairs or shared receive queues use it");
	}
	shim_object_free(&x->obj);
	return 0;
}

/* One more user of a handle, which must be of the same context; the lock is held. NULL: there is no such handle. */
static struct shim_xrcd *hold(const struct ibv_xrcd *ib, const struct shim_context *c)
{
	struct shim_xrcd *x = ib ? xrcd_of(ib) : NULL;

	if (!x || !shim_known(&x->obj, SHIM_XRCD) || x->obj.context != c)
		return NULL;
	x->users++;
	return x;
}

static void let_go(struct shim_xrcd *x)
{
	pthread_mutex_lock(&lock);
	x->users--;
	pthread_mutex_unlock(&lock);
}

/* --- shared receive queues --- */

int shim_xrc_srq_init(struct shim_srq *s, struct shim_pd *p, const struct ibv_srq_init_attr_ex *a,
		      const struct hca_srq_attr *sizes)
{
	const u32 need = IBV_SRQ_INIT_ATTR_XRCD | IBV_SRQ_INIT_ATTR_CQ;
	struct shim_context *c = p->obj.context;
	struct shim_xrcd *x;
	int err;

	if ((a->comp_mask & need) != need || !a->cq || !shim_known(&shim_cq(a->cq)->obj, SHIM_CQ) ||
	    shim_cq(a->cq)->obj.context != c)
		return EINVAL;
	pthread_mutex_lock(&lock);
	x = hold(a->xrcd, c);
	pthread_mutex_unlock(&lock);
	if (!x)
		return EINVAL;
	err = hca_xrc_srq_init(&s->srq, &c->device->hca, &p->pd, &x->domain->xrcd, &shim_cq(a->cq)->cq, s, sizes);
	if (err) {
		let_go(x);
		return err == -ENOSPC ? ENOMEM : -err;
	}
	s->xrcd = x;
	return 0;
}

/* The queue pairs whose message is coming in to this queue take in nothing more. */
static void stop_messages(struct shim_srq *s)
{
	struct shim_target *t;

	pthread_mutex_lock(&lock);
	for (t = s->xrcd->domain->targets; t; t = t->next)
		if (hca_load(&t->qp->rx.srq) == &s->srq)
			hca_qp_to_error(t->qp, HCA_EVENT_QP_FATAL);
	pthread_mutex_unlock(&lock);
}

int shim_xrc_srq_fini(struct shim_srq *s, bool abandon)
{
	int err = hca_srq_fini(&s->srq);
	u32 turns = 0;

	while (err && abandon) {
		stop_messages(s);
		hca_eq_run(s->srq.hca->eq);
		hca_relax(&turns);
		err = hca_srq_fini(&s->srq);
	}
	if (!err)
		let_go(s->xrcd);
	return -err;
}

int shim_get_srq_num(struct ibv_srq *srq, uint32_t *number)
{
	struct shim_srq *s = shim_srq(srq);

	if (!srq || !number || !shim_known(&s->obj, SHIM_SRQ) || !s->xrcd)
		return shim_why(EINVAL, SHIM_LOG_QP, "ibv_get_srq_num: %s",
				number ? "no such queue of an XRC domain" : "no place for the number");
	*number = s->srq.number;
	return 0;
}

/* --- targets --- */

/* The lock is held, unless nothing else knows the target yet. */
static void add_handle(struct shim_target *t, struct shim_qp *q, struct ibv_context *context, void *qp_context)
{
	q->type = IBV_QPT_XRC_RECV;
	q->qp = t->qp;
	q->target = t;
	q->ib.context = context;
	q->ib.qp_context = qp_context;
	q->ib.handle = q->obj.handle;
	q->ib.qp_num = t->qp->qpn;
	q->ib.state = (enum ibv_qp_state)hca_load(&t->qp->state);
	q->ib.qp_type = IBV_QPT_XRC_RECV;
	pthread_mutex_init(&q->ib.mutex, NULL);
	pthread_cond_init(&q->ib.cond, NULL);
	if (t->handles)
		q->ah = t->handles->ah;
	q->next_handle = t->handles;
	t->handles = q;
}

static struct shim_target *make_target(struct shim_domain *d, int *err)
{
	struct shim_target *t = calloc(1, sizeof(*t));
	struct hca_qp_init init = { .type = HCA_QPT_XRC_TGT, .xrcd = &d->xrcd, .user = t };

	*err = t ? -hca_qp_create(d->xrcd.hca, &init, &t->qp) : ENOMEM;
	if (*err) {
		free(t);
		/* What a caller of libibverbs expects when there are none left. */
		if (*err == ENOSPC)
			*err = ENOMEM;
		return NULL;
	}
	t->domain = d;
	return t;
}

/* Linux makes it without a look at anything but the domain; the builders of a send queue are asked of one that has none. */
static int check_target(const struct shim_context *c, const struct ibv_qp_init_attr_ex *a)
{
	if (!c || !(a->comp_mask & IBV_QP_INIT_ATTR_XRCD))
		return EINVAL;
	return a->comp_mask & ~(u32)(IBV_QP_INIT_ATTR_XRCD | IBV_QP_INIT_ATTR_PD) ? EOPNOTSUPP : 0;
}

/* A handle without a target; counts as a user of its domain. Return: NULL: @err. */
static struct shim_qp *new_handle(struct shim_context *c, const struct ibv_xrcd *xrcd, int *err)
{
	struct shim_qp *q = shim_object_new(SHIM_QP, sizeof(*q), c);

	*err = ENOMEM;
	if (!q)
		return NULL;
	pthread_mutex_lock(&lock);
	q->xrcd = hold(xrcd, c);
	pthread_mutex_unlock(&lock);
	if (q->xrcd)
		return q;
	*err = EINVAL;
	shim_object_free(&q->obj);
	return NULL;
}

static void free_handle(struct shim_qp *q)
{
	let_go(q->xrcd);
	shim_object_free(&q->obj);
}

struct ibv_qp *shim_create_target(struct ibv_context *context, struct ibv_qp_init_attr_ex *a)
{
	struct shim_context *c = shim_context_get(context);
	int err = check_target(c, a);
	struct shim_target *t = NULL;
	struct shim_qp *q = NULL;

	if (!err)
		q = new_handle(c, a->xrcd, &err);
	if (q)
		t = make_target(q->xrcd->domain, &err);
	if (!t) {
		if (q)
			free_handle(q);
		return shim_null(shim_why(err, SHIM_LOG_QP, "ibv_create_qp_ex: XRC_RECV, mask 0x%x", a->comp_mask));
	}
	pthread_mutex_lock(&lock);
	add_handle(t, q, context, a->qp_context);
	t->next = t->domain->targets;
	t->domain->targets = t;
	pthread_mutex_unlock(&lock);
	a->cap = q->cap;
	shim_object_publish(&q->obj);
	return &q->ib;
}

static int check_open_qp(const struct shim_context *c, const struct ibv_qp_open_attr *a)
{
	const u32 need = IBV_QP_OPEN_ATTR_NUM | IBV_QP_OPEN_ATTR_XRCD | IBV_QP_OPEN_ATTR_TYPE;

	if (!c || !a)
		return EINVAL;
	if (a->comp_mask >= IBV_QP_OPEN_ATTR_RESERVED)
		return EOPNOTSUPP;
	return (a->comp_mask & need) == need && a->qp_type == IBV_QPT_XRC_RECV ? 0 : EINVAL;
}

/* Return: false: the domain has no target of that number. */
static bool find_target(struct shim_qp *q, struct ibv_context *context, const struct ibv_qp_open_attr *a)
{
	struct shim_target *t;

	pthread_mutex_lock(&lock);
	for (t = q->xrcd->domain->targets; t && t->qp->qpn != a->qp_num; t = t->next)
		;
	if (t)
		add_handle(t, q, context, a->comp_mask & IBV_QP_OPEN_ATTR_CONTEXT ? a->qp_context : NULL);
	pthread_mutex_unlock(&lock);
	return t;
}

struct ibv_qp *shim_open_qp(struct ibv_context *context, struct ibv_qp_open_attr *a)
{
	struct shim_context *c = shim_context_get(context);
	int err = check_open_qp(c, a);
	struct shim_qp *q = err ? NULL : new_handle(c, a->xrcd, &err);

	if (q && !find_target(q, context, a)) {
		free_handle(q);
		q = NULL;
		err = EINVAL;
	}
	if (!q)
		return shim_null(a ? shim_why(err, SHIM_LOG_QP, "ibv_open_qp: mask 0x%x, number 0x%x, type %d",
					      a->comp_mask, a->qp_num, (int)a->qp_type) :
				     shim_why(err, SHIM_LOG_QP, "ibv_open_qp: no attributes"));
	shim_object_publish(&q->obj);
	return &q->ib;
}

void shim_target_end(struct shim_qp *q)
{
	struct shim_target *t = q->target, **at;
	struct shim_qp **handle;
	bool last;

	pthread_mutex_lock(&lock);
	for (handle = &t->handles; *handle != q; handle = &(*handle)->next_handle)
		;
	*handle = q->next_handle;
	last = !t->handles;
	if (last) {
		for (at = &t->domain->targets; *at != t; at = &(*at)->next)
			;
		*at = t->next;
	}
	pthread_mutex_unlock(&lock);
	/* Its event handler may be waiting for the lock. */
	if (last) {
		hca_qp_destroy(t->qp);
		free(t);
	}
	let_go(q->xrcd);
}

void shim_target_set_path(struct shim_qp *q, const struct ibv_ah_attr *ah)
{
	struct shim_qp *each;

	pthread_mutex_lock(&lock);
	for (each = q->target->handles; each; each = each->next_handle)
		each->ah = *ah;
	pthread_mutex_unlock(&lock);
}

void shim_target_event(struct hca_qp *qp, enum hca_event_type type)
{
	struct shim_qp *each;

	pthread_mutex_lock(&lock);
	for (each = ((struct shim_target *)qp->user)->handles; each; each = each->next_handle)
		shim_qp_event(each, type);
	pthread_mutex_unlock(&lock);
}
