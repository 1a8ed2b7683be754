/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Completion channels and asynchronous events. A descriptor is an eventfd that counts
 * what stands in the queue beside it, so programs may poll it, set O_NONBLOCK, and pass
 * it to epoll. The engine's event queue calls in, with no lock held.
 */
#include "shim.h"

#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

/* --- queues --- */

int shim_queue_init(struct shim_queue *q)
{
	q->fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	if (q->fd < 0)
		return errno;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->acked, NULL);
	q->first = NULL;
	q->last = &q->first;
	return 0;
}

void shim_queue_fini(struct shim_queue *q)
{
	close(q->fd);
	pthread_cond_destroy(&q->acked);
	pthread_mutex_destroy(&q->lock);
}

static void count_up(struct shim_queue *q)
{
	static const u64 one = 1;
	int saved = errno;

	/* It is only full when the program has left 2^64 - 2 events there. */
	if (write(q->fd, &one, sizeof(one)) < 0)
		shim_log(HCA_LOG_WARN, SHIM_LOG_EVENT, "event not signalled: %m");
	errno = saved;
}

/* The lock is held. */
static void append(struct shim_queue *q, struct shim_event *e)
{
	if (e->queued)
		return;
	e->queued = true;
	e->next = NULL;
	*q->last = e;
	q->last = &e->next;
}

static struct shim_event *take_first(struct shim_queue *q)
{
	struct shim_event *e = q->first;

	if (!e)
		return NULL;
	q->first = e->next;
	if (!q->first)
		q->last = &q->first;
	e->queued = false;
	return e;
}

static void add_comp(struct shim_queue *q, struct shim_event *e)
{
	pthread_mutex_lock(&q->lock);
	e->pending++;
	append(q, e);
	pthread_mutex_unlock(&q->lock);
	count_up(q);
}

static void add_async(struct shim_queue *q, struct shim_event *e, u32 type)
{
	bool more;

	pthread_mutex_lock(&q->lock);
	more = !(e->pending >> type & 1);
	e->pending |= 1u << type;
	append(q, e);
	pthread_mutex_unlock(&q->lock);
	if (more)
		count_up(q);
}

void shim_queue_ack(struct shim_queue *q, struct shim_event *e, u32 n)
{
	pthread_mutex_lock(&q->lock);
	e->acked += n;
	pthread_cond_broadcast(&q->acked);
	pthread_mutex_unlock(&q->lock);
}

/* The descriptor counts events that no thread will get any more; another thread may just have read one of them. */
static void count_down(struct shim_queue *q, u32 n)
{
	u64 one;
	struct iovec iov = { .iov_base = &one, .iov_len = sizeof(one) };
	int saved = errno;

	while (n-- && preadv2(q->fd, &iov, 1, -1, RWF_NOWAIT) > 0)
		;
	errno = saved;
}

void shim_queue_end(struct shim_queue *q, struct shim_event *e, bool async, bool abandon)
{
	struct shim_event **at;
	u32 left;

	pthread_mutex_lock(&q->lock);
	left = async ? (u32)__builtin_popcount(e->pending) : e->pending;
	if (e->queued) {
		for (at = &q->first; *at != e; at = &(*at)->next)
			;
		*at = e->next;
		if (!e->next)
			q->last = at;
		e->queued = false;
	}
	e->pending = 0;
	while (!abandon && e->acked != e->given)
		pthread_cond_wait(&q->acked, &q->lock);
	pthread_mutex_unlock(&q->lock);
	count_down(q, left);
}

/* One event is in the queue, or was until its object went. Return: 0, or -1 and errno, EAGAIN of O_NONBLOCK among them. */
static int wait_for_one(struct shim_queue *q)
{
	u64 one;
	ssize_t n = read(q->fd, &one, sizeof(one));

	if (n == (ssize_t)sizeof(one))
		return 0;
	if (n >= 0)
		errno = EIO;
	return -1;
}

/* --- completion channels --- */

void shim_cq_event(struct hca_cq *cq)
{
	struct shim_cq *c = hca_container_of(cq, struct shim_cq, cq);

	if (c->channel)
		add_comp(&c->channel->queue, &c->comp);
}

SHIM_EXPORT struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *context)
{
	struct shim_context *c = shim_context_get(context);
	struct shim_channel *ch;
	int err;

	if (!c)
		return shim_null(shim_why(EINVAL, SHIM_LOG_EVENT, "ibv_create_comp_channel: no such context"));
	ch = shim_object_new(SHIM_CHANNEL, sizeof(*ch), c);
	if (!ch)
		return shim_null(ENOMEM);
	err = shim_queue_init(&ch->queue);
	if (err) {
		shim_object_free(&ch->obj);
		return shim_null(shim_why(err, SHIM_LOG_EVENT, "ibv_create_comp_channel: no descriptor"));
	}
	ch->ib = (struct ibv_comp_channel){ .context = context, .fd = ch->queue.fd };
	shim_object_publish(&ch->obj);
	return &ch->ib;
}

int shim_end_channel(struct shim_object *o, bool abandon)
{
	struct shim_channel *ch = hca_container_of(o, struct shim_channel, obj);

	if (hca_load_acquire(&ch->users) && !abandon)
		return EBUSY;
	shim_queue_fini(&ch->queue);
	return 0;
}

SHIM_EXPORT int ibv_destroy_comp_channel(struct ibv_comp_channel *channel)
{
	struct shim_channel *ch = shim_channel(channel);
	int err;

	if (!channel || !shim_claim(&ch->obj, SHIM_CHANNEL))
		return shim_why(EINVAL, SHIM_LOG_EVENT, "ibv_destroy_comp_channel: no such channel");
	err = shim_end_channel(&ch->obj, false);
	if (err) {
		shim_unclaim(&ch->obj);
		return shim_why(err, SHIM_LOG_EVENT, "ibv_destroy_comp_channel: completion queues use it");
	}
	shim_object_free(&ch->obj);
	return 0;
}

SHIM_NOT_OLD(ibv_get_cq_event);
SHIM_EXPORT int ibv_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **cq_context)
{
	struct shim_channel *ch = shim_channel(channel);
	struct shim_event *e = NULL;

	if (!channel || !cq || !cq_context || !shim_known(&ch->obj, SHIM_CHANNEL))
		return shim_minus_one(shim_why(EINVAL, SHIM_LOG_EVENT, "ibv_get_cq_event: no %s",
					       cq && cq_context ? "such channel" : "place for the event"));
	while (!e) {
		if (wait_for_one(&ch->queue))
			return -1;
		pthread_mutex_lock(&ch->queue.lock);
		e = take_first(&ch->queue);
		if (e) {
			e->given++;
			if (--e->pending)
				append(&ch->queue, e);
		}
		pthread_mutex_unlock(&ch->queue.lock);
	}
	*cq = &hca_container_of(e, struct shim_cq, comp)->ib;
	*cq_context = (*cq)->cq_context;
	return 0;
}

SHIM_NOT_OLD(ibv_ack_cq_events);
SHIM_EXPORT void ibv_ack_cq_events(struct ibv_cq *cq, unsigned int nevents)
{
	struct shim_cq *c = shim_cq(cq);

	/* Its destroyer may wait for this, and it isn't alive for others then. */
	if (!cq || !nevents || !c->channel)
		return;
	cq->comp_events_completed += nevents;
	shim_queue_ack(&c->channel->queue, &c->comp, nevents);
}

/* --- asynchronous events --- */

void shim_qp_event(struct shim_qp *qp, enum hca_event_type type)
{
	add_async(&qp->obj.context->async, &qp->async, (u32)type);
}

static void tell_qp(struct hca_qp *qp, enum hca_event_type type)
{
	if (qp->type == HCA_QPT_XRC_TGT)
		shim_target_event(qp, type);
	else
		shim_qp_event(qp->user, type);
}

void shim_async_event(struct hca *hca, enum hca_event_type type, void *object)
{
	struct shim_event *e;
	struct shim_object *o;

	(void)hca;
	shim_log(HCA_LOG_INFO, SHIM_LOG_EVENT, "%s", ibv_event_type_str((enum ibv_event_type)type));
	switch (type) {
	case HCA_EVENT_CQ_ERR:
		o = &hca_container_of((struct hca_cq *)object, struct shim_cq, cq)->obj;
		e = &hca_container_of(o, struct shim_cq, obj)->async;
		break;
	case HCA_EVENT_SRQ_ERR:
	case HCA_EVENT_SRQ_LIMIT_REACHED:
		o = &hca_container_of((struct hca_srq *)object, struct shim_srq, srq)->obj;
		e = &hca_container_of(o, struct shim_srq, obj)->async;
		break;
	default:
		tell_qp(object, type);
		return;
	}
	add_async(&o->context->async, e, (u32)type);
}

struct port_event {
	const struct shim_device *dev;
	enum ibv_event_type type;
};

static void tell_context(struct shim_object *o, void *arg)
{
	struct shim_context *c = hca_container_of(o, struct shim_context, obj);
	const struct port_event *e = arg;

	if (c->device == e->dev)
		add_async(&c->async, &c->port, (u32)e->type);
}

void shim_port_event(struct shim_device *dev, enum ibv_event_type type)
{
	struct port_event e = { .dev = dev, .type = type };

	shim_log(HCA_LOG_INFO, SHIM_LOG_EVENT, "%s: %s", dev->ib.name, ibv_event_type_str(type));
	shim_each(SHIM_CONTEXT, NULL, tell_context, &e);
}

static void fill_event(struct ibv_async_event *event, struct shim_event *e, u32 type)
{
	event->event_type = (enum ibv_event_type)type;
	switch (type) {
	case IBV_EVENT_GID_CHANGE:
		event->element.port_num = 1;
		break;
	case IBV_EVENT_CQ_ERR:
		event->element.cq = &hca_container_of(e, struct shim_cq, async)->ib;
		break;
	case IBV_EVENT_SRQ_ERR:
	case IBV_EVENT_SRQ_LIMIT_REACHED:
		event->element.srq = &hca_container_of(e, struct shim_srq, async)->ib;
		break;
	default:
		event->element.qp = &hca_container_of(e, struct shim_qp, async)->ib;
		break;
	}
}

SHIM_NOT_OLD(ibv_get_async_event);
SHIM_EXPORT int ibv_get_async_event(struct ibv_context *context, struct ibv_async_event *event)
{
	struct shim_context *c = shim_context_get(context);
	struct shim_event *e = NULL;
	u32 type = 0;

	if (!c || !event)
		return shim_minus_one(shim_why(EINVAL, SHIM_LOG_EVENT, "ibv_get_async_event: no %s",
					       c ? "place for the event" : "such context"));
	while (!e) {
		if (wait_for_one(&c->async))
			return -1;
		pthread_mutex_lock(&c->async.lock);
		e = take_first(&c->async);
		if (e) {
			type = (u32)__builtin_ctz(e->pending);
			e->given++;
			e->pending &= e->pending - 1;
			if (e->pending)
				append(&c->async, e);
		}
		pthread_mutex_unlock(&c->async.lock);
	}
	fill_event(event, e, type);
	return 0;
}

SHIM_NOT_OLD(ibv_ack_async_event);
SHIM_EXPORT void ibv_ack_async_event(struct ibv_async_event *event)
{
	struct shim_object *o;
	struct shim_event *e;

	switch (event->event_type) {
	case IBV_EVENT_CQ_ERR:
		event->element.cq->async_events_completed++;
		o = &shim_cq(event->element.cq)->obj;
		e = &shim_cq(event->element.cq)->async;
		break;
	case IBV_EVENT_SRQ_ERR:
	case IBV_EVENT_SRQ_LIMIT_REACHED:
		event->element.srq->events_completed++;
		o = &shim_srq(event->element.srq)->obj;
		e = &shim_srq(event->element.srq)->async;
		break;
	case IBV_EVENT_QP_FATAL:
	case IBV_EVENT_QP_REQ_ERR:
	case IBV_EVENT_QP_ACCESS_ERR:
	case IBV_EVENT_COMM_EST:
	case IBV_EVENT_SQ_DRAINED:
	case IBV_EVENT_PATH_MIG:
	case IBV_EVENT_PATH_MIG_ERR:
	case IBV_EVENT_QP_LAST_WQE_REACHED:
		event->element.qp->events_completed++;
		o = &shim_qp(event->element.qp)->obj;
		e = &shim_qp(event->element.qp)->async;
		break;
	default:
		return; /* of a port: nothing waits for it */
	}
	shim_queue_ack(&o->context->async, e, 1);
}
