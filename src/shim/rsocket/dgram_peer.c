/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where addresses are. A datagram that arrives says it of its sender; otherwise the owner of the port is asked, and a thread
 * of its library's answers (service.c), or one that is in a call of the socket.
 */
#include "dgram.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define PEERS 1024 /* that a socket knows; the one that was seen longest ago makes room */
#define FRESH 1000000000u /* ns; after that the port may be another's */
#define PATIENCE 2000000000u /* ns, for an answer */
#define RESOLVE_MS 2000

/* --- peers --- */

static struct rs_peer *look_up(const struct rs_dgram *d, const struct sockaddr_in6 *to)
{
	struct rs_peer *p;

	for (p = d->peers; p; p = p->next)
		if (rs_same_address(&p->names.to, to))
			return p;
	return NULL;
}

static void forget(struct rs_dgram *d, struct rs_peer *p)
{
	struct rs_peer **at;

	for (at = &d->peers; *at != p; at = &(*at)->next)
		;
	*at = p->next;
	d->n_peers--;
	ibv_destroy_ah(p->ah);
	free(p);
}

static void forget_oldest(struct rs_dgram *d)
{
	struct rs_peer *p, *oldest = d->peers;

	for (p = d->peers; p; p = p->next)
		if (p->fresh < oldest->fresh)
			oldest = p;
	if (oldest)
		forget(d, oldest);
}

/* @ah is the peer's from now on. Return: NULL: no memory */
static struct rs_peer *add(struct rs_dgram *d, const struct rs_addresses *names, struct ibv_ah *ah, uint32_t qpn)
{
	struct rs_peer *p = ah ? calloc(1, sizeof(*p)) : NULL;

	if (!p) {
		if (ah)
			ibv_destroy_ah(ah);
		return NULL;
	}
	if (d->n_peers == PEERS)
		forget_oldest(d);
	p->names = *names;
	p->ah = ah;
	p->qpn = qpn;
	p->fresh = rs_now();
	p->next = d->peers;
	d->peers = p;
	d->n_peers++;
	return p;
}

void rs_peers_end(struct rs_dgram *d)
{
	while (d->peers)
		forget(d, d->peers);
}

void rs_peer_learn(struct rsock *rs, const struct rs_addresses *names, struct ibv_wc *wc, struct ibv_grh *grh)
{
	struct rs_dgram *d = rs->dgram;
	struct rs_addresses back = { .version = RS_DATAGRAM, .from = names->to, .to = names->from };
	struct rs_peer *p = look_up(d, &names->from);

	if (p && p->qpn == wc->src_qp) {
		p->fresh = rs_now();
		return;
	}
	if (p)
		forget(d, p);
	(void)add(d, &back, ibv_create_ah_from_wc(d->pd, wc, grh, 1), wc->src_qp);
}

/* --- asking --- */

/* struct question - on its way; @answer: when there is one */
struct question {
	struct rdma_event_channel *channel;
	struct rdma_cm_id *id;
	struct rdma_ud_param answer;
	bool answered;
};

static int ask(const struct rsock *rs, struct question *q)
{
	struct rdma_conn_param param = { .qp_num = rs->dgram->qp->qp_num };

	return rdma_connect(q->id, &param) ? errno : 0;
}

static int on_event(const struct rsock *rs, struct question *q, const struct rdma_cm_event *e)
{
	switch (e->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		return rdma_resolve_route(q->id, RESOLVE_MS) ? errno : 0;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		return ask(rs, q);
	case RDMA_CM_EVENT_ESTABLISHED:
		q->answer = e->param.ud;
		q->answered = true;
		return 0;
	case RDMA_CM_EVENT_ADDR_ERROR:
	case RDMA_CM_EVENT_ROUTE_ERROR:
		return e->status < 0 ? -e->status : EHOSTUNREACH;
	case RDMA_CM_EVENT_UNREACHABLE:
		return e->status > 0 ? ECONNREFUSED : ETIMEDOUT;
	default:
		return ECONNREFUSED;
	}
}

/* Without the lock. Return: 0 or an errno */
static int wait_for_answer(struct rsock *rs, struct question *q)
{
	uint64_t deadline = rs_now() + PATIENCE;
	struct pollfd p[] = { { .fd = q->channel->fd, .events = POLLIN }, { .fd = rs->fd, .events = POLLIN } };
	struct rdma_cm_event *e;
	int err = 0;

	while (!err && !q->answered) {
		if (rs_now() >= deadline)
			return ETIMEDOUT;
		if (poll(p, 2, 50) < 0 && errno != EINTR)
			return errno;
		while (!err && !q->answered && !rdma_get_cm_event(q->channel, &e)) {
			err = on_event(rs, q, e);
			rdma_ack_cm_event(e);
		}
		pthread_mutex_lock(&rs->lock);
		if (rs->closed)
			err = EBADF;
		rs_progress(rs);
		pthread_mutex_unlock(&rs->lock);
	}
	return err;
}

static int begin_question(struct question *q, struct sockaddr_in6 *to)
{
	q->channel = rdma_create_event_channel();
	if (!q->channel || fcntl(q->channel->fd, F_SETFL, O_NONBLOCK))
		return errno;
	if (rdma_create_id(q->channel, &q->id, NULL, RDMA_PS_UDP))
		return errno;
	return rdma_resolve_addr(q->id, NULL, (struct sockaddr *)to, RESOLVE_MS) ? errno : 0;
}

static void end_question(struct question *q)
{
	if (q->id)
		rdma_destroy_id(q->id);
	if (q->channel)
		rdma_destroy_event_channel(q->channel);
}

/* The address that the answer goes to: with the socket's own port. */
static void name_source(struct rsock *rs, struct question *q, struct sockaddr_in6 *from)
{
	const struct sockaddr *own = rdma_get_local_addr(q->id);
	__be16 port = rdma_get_src_port(rs->id);

	memset(from, 0, sizeof(*from));
	memcpy(from, own, own->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
	memcpy(&from->sin6_port, &port, sizeof(port));
}

int rs_peer_find(struct rsock *rs, const struct sockaddr_in6 *to, bool dontwait, struct rs_peer **peer)
{
	struct rs_addresses names = { .version = RS_DATAGRAM, .to = *to };
	struct question q = { 0 };
	struct sockaddr_in6 dest = *to;
	int err;

	*peer = look_up(rs->dgram, to);
	if (*peer && (dontwait || rs_now() - (*peer)->fresh < FRESH))
		return 0;
	pthread_mutex_unlock(&rs->lock);
	err = begin_question(&q, &dest);
	if (!err)
		err = wait_for_answer(rs, &q);
	pthread_mutex_lock(&rs->lock);
	*peer = look_up(rs->dgram, to);
	if (!err) {
		name_source(rs, &q, &names.from);
		if (*peer)
			forget(rs->dgram, *peer);
		*peer = add(rs->dgram, &names, ibv_create_ah(rs->dgram->pd, &q.answer.ah_attr), q.answer.qp_num);
		err = *peer ? 0 : ENOMEM;
	} else if (*peer && err == ETIMEDOUT) {
		/* It is busy; where it was it will be. The next datagrams don't wait for it, too. */
		(*peer)->fresh = rs_now();
		err = 0;
	}
	end_question(&q);
	return err;
}
