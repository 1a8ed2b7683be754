/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Event channels. A descriptor is an eventfd that counts the events in the queue beside
 * it, so programs may poll it, set O_NONBLOCK, and pass it to epoll. An ID that ends waits
 * until the program has acknowledged what it got.
 */
#include "rdmacm.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_cond_t acked = PTHREAD_COND_INITIALIZER;

/* --- the descriptor --- */

static void count_up(int fd)
{
	static const u64 one = 1;
	int saved = errno;

	if (write(fd, &one, sizeof(one)) < 0)
		hca_log(HCA_LOG_WARN, "rdmacm: event not signalled: %s", strerror(errno));
	errno = saved;
}

/* An event that nobody will get any more; another thread may just have read it. */
static void count_down(int fd)
{
	u64 one;
	struct iovec iov = { .iov_base = &one, .iov_len = sizeof(one) };
	int saved = errno;

	(void)preadv2(fd, &iov, 1, -1, RWF_NOWAIT);
	errno = saved;
}

/* --- queues --- */

struct cm_event *cm_event_new(struct cm_id *id, struct cm_id *owner, enum rdma_cm_event_type type, int status)
{
	struct cm_event *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->owner = owner ? owner : id;
	e->ib.id = &id->ib;
	e->ib.listen_id = owner ? &owner->ib : NULL;
	e->ib.event = type;
	e->ib.status = status;
	return e;
}

static void append(struct cm_channel *ch, struct cm_event *e)
{
	e->next = NULL;
	*ch->last = e;
	ch->last = &e->next;
	count_up(ch->ib.fd);
}

void cm_event_queue(struct cm_event *e)
{
	append(cm_channel_of(e->owner->ib.channel), e);
}

void cm_tell(struct cm_id *id, enum rdma_cm_event_type type, int status)
{
	struct cm_event *e = cm_event_new(id, NULL, type, status);

	if (e)
		cm_event_queue(e);
	else
		hca_log(HCA_LOG_ERR, "rdmacm: no memory for an event");
}

static struct cm_event *take(struct cm_channel *ch, struct cm_event **at)
{
	struct cm_event *e = *at;

	*at = e->next;
	if (!*at)
		ch->last = at;
	if (e->ib.event == RDMA_CM_EVENT_CONNECT_REQUEST)
		cm_id_of(e->ib.id)->request = NULL;
	return e;
}

struct cm_event *cm_event_drop(struct cm_id *id)
{
	struct cm_channel *ch = cm_channel_of(id->ib.channel);
	struct cm_event **at;

	for (at = &ch->first; *at; at = &(*at)->next) {
		if ((*at)->owner != id)
			continue;
		count_down(ch->ib.fd);
		return take(ch, at);
	}
	return NULL;
}

void cm_event_remove(struct cm_event *e)
{
	struct cm_channel *ch = cm_channel_of(e->owner->ib.channel);
	struct cm_event **at;

	for (at = &ch->first; *at != e; at = &(*at)->next)
		;
	count_down(ch->ib.fd);
	(void)take(ch, at);
}

void cm_event_move(struct cm_id *id, struct cm_channel *to)
{
	struct cm_event *e;

	/* What is appended to @to isn't seen again: it is another channel. */
	while ((e = cm_event_drop(id)))
		append(to, e);
}

void cm_wait_acked(struct cm_id *id)
{
	while (id->acked != id->events)
		pthread_cond_wait(&acked, &cm_lock);
}

/* --- channels --- */

struct cm_channel *cm_channel_new(void)
{
	struct cm_channel *ch = calloc(1, sizeof(*ch));

	if (!ch)
		return cm_null(ENOMEM);
	ch->ib.fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	if (ch->ib.fd < 0) {
		free(ch);
		return NULL;
	}
	ch->last = &ch->first;
	return ch;
}

/*
 * A thread that waits for events goes on waiting, as it does with a kernel's descriptor: programs that end so would take an error
 * for a failure. What it looks at stays.
 */
void cm_channel_free(struct cm_channel *ch)
{
	struct cm_event *e;
	bool used;

	pthread_mutex_lock(&cm_lock);
	/* Of IDs that were destroyed none waits. */
	while (ch->first) {
		e = take(ch, &ch->first);
		free(e);
	}
	ch->closed = true;
	used = ch->waiting;
	pthread_mutex_unlock(&cm_lock);
	close(ch->ib.fd);
	if (!used)
		free(ch);
}

CM_EXPORT struct rdma_event_channel *rdma_create_event_channel(void)
{
	struct cm_channel *ch;

	if (!cm_start())
		return NULL;
	ch = cm_channel_new();
	return ch ? &ch->ib : NULL;
}

CM_EXPORT void rdma_destroy_event_channel(struct rdma_event_channel *channel)
{
	cm_channel_free(cm_channel_of(channel));
}

/* --- events --- */

/* Return: the first event; NULL and errno, 0 among them: the event that was counted went with its ID. */
static struct cm_event *wait_for_one(struct cm_channel *ch)
{
	struct cm_event *e = NULL;
	int fd, err = 0;
	u64 one;

	pthread_mutex_lock(&cm_lock);
	ch->waiting++;
	fd = ch->ib.fd;
	pthread_mutex_unlock(&cm_lock);
	if (read(fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		err = errno;
	pthread_mutex_lock(&cm_lock);
	ch->waiting--;
	if (!err && ch->first) {
		e = take(ch, &ch->first);
		e->owner->events++;
	} else if (ch->closed) {
		err = EBADF;
	}
	pthread_mutex_unlock(&cm_lock);
	errno = err;
	return e;
}

static void acknowledge(struct cm_event *e)
{
	pthread_mutex_lock(&cm_lock);
	e->owner->acked++;
	pthread_cond_broadcast(&acked);
	pthread_mutex_unlock(&cm_lock);
	free(e);
}

CM_EXPORT int rdma_get_cm_event(struct rdma_event_channel *channel, struct rdma_cm_event **event)
{
	struct cm_event *e;

	if (!channel || !event)
		return cm_fail(EINVAL);
	for (;;) {
		e = wait_for_one(cm_channel_of(channel));
		if (!e && errno)
			return -1;
		if (e && cm_fetched(e))
			break;
		if (e)
			acknowledge(e);
	}
	*event = &e->ib;
	return 0;
}

CM_EXPORT int rdma_ack_cm_event(struct rdma_cm_event *event)
{
	if (!event)
		return cm_fail(EINVAL);
	acknowledge(hca_container_of(event, struct cm_event, ib));
	return 0;
}

int cm_complete(struct cm_id *id)
{
	struct rdma_cm_id *ib = &id->ib;

	if (!id->sync)
		return 0;
	if (ib->event) {
		rdma_ack_cm_event(ib->event);
		ib->event = NULL;
	}
	if (rdma_get_cm_event(ib->channel, &ib->event))
		return -1;
	if (!ib->event->status)
		return 0;
	return cm_fail(ib->event->event == RDMA_CM_EVENT_REJECTED ? ECONNREFUSED : ib->event->status);
}
