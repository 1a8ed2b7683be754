/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Waiting. A thread looks for a few microseconds (patience.h); then it asks to be told of completions and polls the socket's two descriptors.
 * Another thread may take the event that it was to be woken by, so every thread has a descriptor of its own, too, by which
 * who takes events wakes the others.
 */
#include "rsocket.h"

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

uint64_t rs_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- a thread's bell --- */

static pthread_key_t bell_key;
static pthread_once_t bell_once = PTHREAD_ONCE_INIT;
static __thread int bell = -1;
static __thread unsigned int bell_life;

static void close_bell(void *unused)
{
	(void)unused;
	close(bell);
	bell = -1;
}

static void make_key(void)
{
	pthread_key_create(&bell_key, close_bell);
}

int rs_bell(void)
{
	/* A child's would ring for its parent; the number may be another file's by now. */
	if (bell_life != rs_life)
		bell = -1;
	if (bell >= 0)
		return bell;
	pthread_once(&bell_once, make_key);
	bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bell_life = rs_life;
	if (bell >= 0)
		pthread_setspecific(bell_key, &bell);
	return bell;
}

void rs_bell_clear(int fd)
{
	uint64_t n;

	(void)!read(fd, &n, sizeof(n));
}

void rs_watch(struct rsock *rs, struct rs_waiter *w)
{
	w->next = rs->waiters;
	if (w->next)
		w->next->prev_next = &w->next;
	w->prev_next = &rs->waiters;
	rs->waiters = w;
}

void rs_unwatch(struct rs_waiter *w)
{
	*w->prev_next = w->next;
	if (w->next)
		w->next->prev_next = w->prev_next;
}

void rs_wake(struct rsock *rs)
{
	static const uint64_t one = 1;
	struct rs_waiter *w;
	int saved = errno;

	for (w = rs->waiters; w; w = w->next)
		(void)!write(w->fd, &one, sizeof(one));
	errno = saved;
}

/* --- what comes --- */

void rs_arm(struct rsock *rs)
{
	if (!rs->armed && rs->cq && !ibv_req_notify_cq(rs->cq, 0))
		rs->armed = true;
}

void rs_heard(struct rsock *rs, bool channel, bool completions)
{
	struct ibv_cq *cq;
	void *context;

	if (channel)
		rs->look = true;
	if (!completions || !rs->comp)
		return;
	while (!ibv_get_cq_event(rs->comp, &cq, &context)) {
		ibv_ack_cq_events(cq, 1);
		rs->armed = false;
	}
	rs_wake(rs);
}

void rs_progress(struct rsock *rs)
{
	bool (*completions)(struct rsock *) = rs->dgram ? rs_dgram_completions : rs_on_completions;
	bool some = false;

	/* A listener's channel is the service's. Of a connection that is up, the completions say when there is something to look at. */
	if (!rs_is_acceptor(rs) && (rs->look || (rs->state != RS_CONNECTED && rs->state != RS_IDLE))) {
		rs->look = false;
		some = rs_on_channel(rs);
	}
	if (rs->cq && completions(rs)) {
		some = true;
		if (rs->look) {
			rs->look = false;
			(void)rs_on_channel(rs);
			(void)completions(rs);
		}
	}
	rs_tell(rs);
	if (some && rs->waiters)
		rs_wake(rs);
}

void rs_pause(unsigned int looks)
{
	uint64_t until;

	if (looks < RS_LOOKS_AT_ONCE)
		return;
	for (until = rs_now() + RS_PAUSE; rs_now() < until;)
		;
}

static int sleep_on(struct rsock *rs, uint64_t deadline)
{
	struct rs_waiter w = { .fd = rs_bell() };
	uint64_t now = rs_now();
	struct pollfd p[] = {
		{ .fd = rs_is_acceptor(rs) ? -1 : rs->fd, .events = POLLIN },
		{ .fd = rs->comp ? rs->comp->fd : -1, .events = POLLIN },
		{ .fd = w.fd, .events = POLLIN },
	};
	int n, err;

	if (w.fd < 0)
		return errno;
	if (now >= deadline)
		return ETIMEDOUT;
	rs_watch(rs, &w);
	pthread_mutex_unlock(&rs->lock);
	n = poll(p, 3, deadline == UINT64_MAX ? -1 : (int)RS_MIN((deadline - now) / 1000000u + 1, (uint64_t)INT32_MAX));
	err = n < 0 ? errno : 0;
	pthread_mutex_lock(&rs->lock);
	rs_patience_slept(&rs->patience, rs_now() - now);
	rs_unwatch(&w);
	if (n > 0) {
		if (p[2].revents)
			rs_bell_clear(w.fd);
		rs_heard(rs, p[0].revents, p[1].revents);
	}
	return err;
}

static int wait_for(struct rsock *rs, bool dontwait, bool closing, uint64_t deadline,
		    bool (*ready)(const struct rsock *rs))
{
	unsigned int looks = 0, most = rs_patience_looks(&rs->patience);
	bool looked = false;
	int err;

	for (;;) {
		rs_progress(rs);
		if (ready(rs)) {
			rs_patience_found(&rs->patience, looks);
			return 0;
		}
		if (rs->closed && !closing)
			return EBADF;
		if (dontwait)
			return EAGAIN;
		if ((rs->state == RS_CONNECTED || rs->dgram) && looks < most) {
			pthread_mutex_unlock(&rs->lock);
			rs_pause(looks++);
			pthread_mutex_lock(&rs->lock);
			continue;
		}
		if (!looked || (rs->cq && !rs->armed)) {
			looked = true;
			rs_arm(rs);
			continue;
		}
		err = sleep_on(rs, deadline);
		if (err)
			return err;
	}
}

int rs_wait(struct rsock *rs, bool dontwait, bool (*ready)(const struct rsock *rs))
{
	return wait_for(rs, dontwait, false, UINT64_MAX, ready);
}

int rs_wait_until(struct rsock *rs, uint64_t deadline, bool (*ready)(const struct rsock *rs))
{
	return wait_for(rs, false, true, deadline, ready);
}

int rs_wait_timed(struct rsock *rs, bool dontwait, uint64_t deadline, bool (*ready)(const struct rsock *rs))
{
	int err = wait_for(rs, dontwait, false, deadline, ready);

	return err == ETIMEDOUT ? EAGAIN : err;
}

uint64_t rs_deadline(const struct timeval *timeout)
{
	uint64_t ns = (uint64_t)timeout->tv_sec * 1000000000u + (uint64_t)timeout->tv_usec * 1000u;

	return ns ? rs_now() + ns : UINT64_MAX;
}
