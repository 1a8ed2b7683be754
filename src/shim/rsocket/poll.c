/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Waiting for many sockets at once, with other descriptors among them. Of a socket two descriptors are polled in its place, beside
 * the thread's own.
 */
#include "rsocket.h"

#include <stdlib.h>
#include <string.h>

/* struct set - a call's: of each entry the socket, or NULL, how it waits for it, and what the system is asked */
struct set {
	struct pollfd *fds;
	nfds_t n;
	struct rsock **rs;
	struct rs_waiter *waiters;
	struct pollfd *sys; /* two of each entry, and the bell */
	nfds_t sockets;
};

/* Neither direction is open. A peer that has closed is only seen to send no more, until something is sent to it. */
static bool hung_up(const struct rsock *rs)
{
	bool over = rs->state == RS_OVER;

	if (over && (!rs->up || rs->broken))
		return true;
	return (over || rs->end || rs->read_shut) && (rs->write_shut || rs->told_gone);
}

short rs_events(const struct rsock *rs)
{
	bool over = rs->state == RS_OVER;
	short events = 0;

	if (rs->type == SOCK_DGRAM) {
		events |= rs_dgram_can_recv(rs) ? POLLIN | POLLRDNORM : 0;
		return (short)(events | (rs_dgram_can_send(rs) ? POLLOUT | POLLWRNORM : 0));
	}
	if (rs->state == RS_LISTENING)
		return rs->accepted || rs->accept_err ? POLLIN | POLLRDNORM : 0;
	if (rs->state == RS_IDLE)
		return POLLOUT | POLLHUP;
	if (rs_can_recv(rs))
		events |= POLLIN | POLLRDNORM;
	if (rs_can_send(rs))
		events |= POLLOUT | POLLWRNORM;
	if (rs->err)
		events |= POLLERR;
	if (hung_up(rs))
		events |= POLLHUP;
	if (over || rs->end || rs->read_shut)
		events |= POLLRDHUP;
	return events;
}

/* --- the set --- */

static void end_set(struct set *s)
{
	nfds_t i;

	for (i = 0; s->rs && i < s->n; i++)
		if (s->rs[i])
			rs_put(s->rs[i]);
	free(s->rs);
	free(s->waiters);
	free(s->sys);
}

static int begin_set(struct set *s, struct pollfd *fds, nfds_t n)
{
	nfds_t i;

	*s = (struct set){ .fds = fds, .n = n };
	s->rs = calloc(n + 1, sizeof(struct rsock *));
	s->waiters = calloc(n + 1, sizeof(*s->waiters));
	s->sys = calloc(2 * n + 1, sizeof(*s->sys));
	if (!s->rs || !s->waiters || !s->sys) {
		end_set(s);
		return ENOMEM;
	}
	for (i = 0; i < n; i++) {
		s->rs[i] = fds[i].fd >= 0 ? rs_get(fds[i].fd) : NULL;
		s->sockets += s->rs[i] != NULL;
	}
	return 0;
}

/* --- looking --- */

/* What of it the program asked for. The lock is held. */
static short look_at(struct rsock *rs, short events)
{
	if (rs->type == SOCK_DGRAM && rs_dgram_open(rs))
		return POLLERR;
	rs_progress(rs);
	if (rs->closed)
		return POLLNVAL;
	return (short)(rs_events(rs) & (events | POLLERR | POLLHUP));
}

static int look_at_sockets(struct set *s)
{
	int found = 0;
	nfds_t i;

	for (i = 0; i < s->n; i++) {
		if (!s->rs[i])
			continue;
		pthread_mutex_lock(&s->rs[i]->lock);
		s->fds[i].revents = look_at(s->rs[i], s->fds[i].events);
		pthread_mutex_unlock(&s->rs[i]->lock);
		found += s->fds[i].revents != 0;
	}
	return found;
}

/* Of the other descriptors, what the system says now. Return: how many; -1 and errno */
static int look_at_others(struct set *s)
{
	nfds_t i;
	int n;

	if (s->sockets == s->n)
		return 0;
	for (i = 0; i < s->n; i++)
		s->sys[i] = (struct pollfd){ .fd = s->rs[i] ? -1 : s->fds[i].fd, .events = s->fds[i].events };
	n = poll(s->sys, s->n, 0);
	for (i = 0; n >= 0 && i < s->n; i++)
		if (!s->rs[i])
			s->fds[i].revents = s->sys[i].revents;
	return n;
}

static int look(struct set *s)
{
	int others = look_at_others(s);

	return others < 0 ? -1 : others + look_at_sockets(s);
}

/* --- sleeping --- */

/* Return: something is there already */
static bool watch(struct set *s, nfds_t i, int bell)
{
	struct rsock *rs = s->rs[i];
	bool ready;

	s->waiters[i].fd = bell;
	pthread_mutex_lock(&rs->lock);
	rs_watch(rs, &s->waiters[i]);
	rs_arm(rs);
	ready = look_at(rs, s->fds[i].events);
	/* It may have been taken by another thread's look. */
	if (rs->cq && !rs->armed)
		ready = true;
	s->sys[2 * i] = (struct pollfd){ .fd = rs_is_acceptor(rs) ? -1 : rs->fd, .events = POLLIN };
	s->sys[2 * i + 1] = (struct pollfd){ .fd = rs->comp ? rs->comp->fd : -1, .events = POLLIN };
	pthread_mutex_unlock(&rs->lock);
	return ready;
}

static void unwatch(struct set *s, nfds_t i, bool slept)
{
	struct rsock *rs = s->rs[i];

	pthread_mutex_lock(&rs->lock);
	rs_unwatch(&s->waiters[i]);
	if (slept)
		rs_heard(rs, s->sys[2 * i].revents, s->sys[2 * i + 1].revents);
	pthread_mutex_unlock(&rs->lock);
}

/* Return: 0; -1 and errno */
static int sleep_on(struct set *s, int ms)
{
	int bell = rs_bell(), n = 0, err = 0;
	bool ready = false;
	nfds_t i;

	if (bell < 0)
		return -1;
	for (i = 0; i < s->n; i++) {
		if (s->rs[i])
			ready |= watch(s, i, bell);
		else
			s->sys[2 * i] = (struct pollfd){ .fd = s->fds[i].fd, .events = s->fds[i].events };
		if (!s->rs[i])
			s->sys[2 * i + 1] = (struct pollfd){ .fd = -1 };
	}
	s->sys[2 * s->n] = (struct pollfd){ .fd = bell, .events = POLLIN };
	if (!ready)
		n = poll(s->sys, 2 * s->n + 1, ms);
	if (n < 0)
		err = errno;
	for (i = 0; i < s->n; i++)
		if (s->rs[i])
			unwatch(s, i, n > 0);
	rs_bell_clear(bell);
	return err ? rs_fail(err) : 0;
}

static int left_ms(uint64_t deadline)
{
	uint64_t now = rs_now();

	if (deadline == UINT64_MAX)
		return -1;
	return now >= deadline ? 0 : (int)RS_MIN((deadline - now) / 1000000u + 1, (uint64_t)INT32_MAX);
}

static int wait_for_set(struct set *s, uint64_t deadline)
{
	static __thread struct rs_patience patience;
	/* Each look polls the queues of all of them. */
	unsigned int looks = 0, most = rs_patience_looks(&patience) / (unsigned int)RS_MIN(s->sockets, RS_LOOKS);
	uint64_t since;
	int found, ms;

	for (;;) {
		found = look(s);
		if (found) {
			rs_patience_found(&patience, looks);
			return found;
		}
		ms = left_ms(deadline);
		if (!ms)
			return 0;
		if (looks < most) {
			rs_pause(looks++);
			continue;
		}
		since = rs_now();
		if (sleep_on(s, ms))
			return -1;
		rs_patience_slept(&patience, rs_now() - since);
	}
}

RS_EXPORT int rpoll(struct pollfd *fds, nfds_t nfds, int timeout)
{
	struct set s;
	int found, err;

	if (nfds > INT32_MAX / 4)
		return rs_fail(EINVAL);
	err = begin_set(&s, fds, nfds);
	if (err)
		return rs_fail(err);
	if (!s.sockets) {
		end_set(&s);
		return poll(fds, nfds, timeout);
	}
	found = wait_for_set(&s, timeout < 0 ? UINT64_MAX : rs_now() + (uint64_t)timeout * 1000000u);
	err = errno;
	end_set(&s);
	errno = err;
	return found;
}

/* --- select --- */

static bool has(const fd_set *set, int fd)
{
	return set && FD_ISSET(fd, set);
}

/* Return: how many of the three sets it stays in */
static int put_back(const struct pollfd *p, fd_set *readfds, fd_set *writefds, fd_set *exceptfds)
{
	int n = 0;

	if (p->events & POLLIN && p->revents & (POLLIN | POLLHUP | POLLERR))
		FD_SET(p->fd, readfds), n++;
	if (p->events & POLLOUT && p->revents & (POLLOUT | POLLERR))
		FD_SET(p->fd, writefds), n++;
	if (p->events & POLLPRI && p->revents & POLLPRI)
		FD_SET(p->fd, exceptfds), n++;
	return n;
}

static nfds_t from_sets(struct pollfd *p, int nfds, const fd_set *readfds, const fd_set *writefds,
			const fd_set *exceptfds)
{
	nfds_t n = 0;
	int fd;

	for (fd = 0; fd < nfds; fd++) {
		p[n] = (struct pollfd){ .fd = fd };
		p[n].events |= has(readfds, fd) ? POLLIN : 0;
		p[n].events |= has(writefds, fd) ? POLLOUT : 0;
		p[n].events |= has(exceptfds, fd) ? POLLPRI : 0;
		n += p[n].events != 0;
	}
	return n;
}

static void clear(fd_set *set)
{
	if (set)
		FD_ZERO(set);
}

RS_EXPORT int rselect(int nfds, fd_set *readfds, fd_set *writefds, fd_set *exceptfds, struct timeval *timeout)
{
	struct pollfd p[FD_SETSIZE];
	int64_t ms = -1;
	int found;
	nfds_t i, n;

	if (nfds < 0 || nfds > FD_SETSIZE)
		return rs_fail(EINVAL);
	if (timeout) {
		if (timeout->tv_sec < 0 || timeout->tv_usec < 0 || timeout->tv_usec >= 1000000)
			return rs_fail(EINVAL);
		ms = RS_MIN((int64_t)timeout->tv_sec, INT32_MAX / 1000 - 1) * 1000 + (timeout->tv_usec + 999) / 1000;
	}
	n = from_sets(p, nfds, readfds, writefds, exceptfds);
	found = rpoll(p, n, (int)ms);
	if (found < 0)
		return -1;
	for (i = 0; i < n; i++)
		if (p[i].revents & POLLNVAL)
			return rs_fail(EBADF);
	clear(readfds);
	clear(writefds);
	clear(exceptfds);
	for (found = 0, i = 0; i < n; i++)
		found += put_back(&p[i], readfds, writefds, exceptfds);
	return found;
}
