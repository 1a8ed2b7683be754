/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * epoll, with rsockets among the descriptors. The system's epoll has all others, and a bell; of rsockets a list stands beside it,
 * from the first one on. Who waits polls the rsockets and the system's epoll together, and starts anew when the bell rings.
 *
 * Events of edges (EPOLLET): what was told isn't told again until the program has called something that could have used it up.
 * A program that does less than that gets more events than the system would give it, never fewer.
 */
#include "preload.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#define IN_BITS (EPOLLIN | EPOLLRDNORM | EPOLLPRI)
#define OUT_BITS (EPOLLOUT | EPOLLWRNORM)
#define ALL_BITS (IN_BITS | OUT_BITS | EPOLLRDHUP | EPOLLERR | EPOLLHUP)
#define WATCHED 1u
#define TOLD_IN 2u
#define TOLD_OUT 4u
#define EPOLL 8u /* it is an epoll's, which a list stands beside */

/* struct watched - a number of the program's; @told: events of edges that it knows; @off: EPOLLONESHOT has had its one */
struct watched {
	int fd;
	uint32_t events;
	epoll_data_t data;
	uint32_t told;
	bool off;
};

/* struct watch - what stands beside the system's epoll @epfd; @refs: its number's, and those of threads that wait */
struct watch {
	struct watch *next;
	struct watched *of;
	size_t n, room, first; /* @first: who is looked at first, as there may be more than a call takes */
	int epfd;
	int bell;
	unsigned int refs, waiting;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct watch *all; /* under the lock */
static uint8_t state[NUMBERS]; /* of a number, in any of them: WATCHED, TOLD_IN, TOLD_OUT. Written under the lock */

/* --- the lists; the lock is held, and no rsocket is asked meanwhile: who holds an rsocket's lock may close a descriptor --- */

static void ring(const struct watch *w)
{
	static const uint64_t one = 1;
	int saved = errno;

	if (w->waiting)
		(void)!real()->write(w->bell, &one, sizeof(one));
	errno = saved;
}

static struct watch *find(int epfd)
{
	struct watch *w;

	for (w = all; w && w->epfd != epfd; w = w->next)
		;
	return w;
}

static struct watched *find_in(struct watch *w, int fd)
{
	size_t i;

	for (i = 0; i < w->n; i++)
		if (w->of[i].fd == fd)
			return &w->of[i];
	return NULL;
}

static void set_state(int fd, uint8_t is)
{
	__atomic_store_n(&state[fd], is, __ATOMIC_RELAXED);
}

static void put(struct watch *w)
{
	if (--w->refs)
		return;
	real()->close(w->bell);
	free(w->of);
	free(w);
}

/* The bell's events are told from the program's by their data, which is an address of ours. */
static struct watch *add_watch(int epfd)
{
	struct watch *w = calloc(1, sizeof(*w));
	struct epoll_event bell = { .events = EPOLLIN, .data.ptr = w };
	int err;

	if (!w)
		return NULL;
	w->epfd = epfd;
	w->refs = 1;
	w->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->bell < 0 || real()->epoll_ctl(epfd, EPOLL_CTL_ADD, w->bell, &bell)) {
		err = errno;
		if (w->bell >= 0)
			real()->close(w->bell);
		free(w);
		errno = err;
		return NULL;
	}
	w->next = all;
	all = w;
	set_state(epfd, EPOLL);
	/* Threads may wait in the system's epoll by now. */
	w->waiting = 1;
	ring(w);
	w->waiting = 0;
	return w;
}

static struct watched *add(struct watch *w, int fd)
{
	struct watched *more;

	if (w->n == w->room) {
		more = realloc(w->of, (2 * w->room + 8) * sizeof(*more));
		if (!more)
			return NULL;
		w->of = more;
		w->room = 2 * w->room + 8;
	}
	set_state(fd, state[fd] | WATCHED);
	return &w->of[w->n++];
}

static void drop(struct watch *w, struct watched *e)
{
	*e = w->of[--w->n];
}

/* --- what the program's other calls mean --- */

static void rearm(int fd, uint32_t bits, uint8_t told)
{
	struct watched *e;
	struct watch *w;

	pthread_mutex_lock(&lock);
	set_state(fd, state[fd] & (uint8_t)~told);
	for (w = all; w; w = w->next) {
		e = find_in(w, fd);
		if (!e || !(e->told & bits))
			continue;
		e->told &= ~bits;
		ring(w);
	}
	pthread_mutex_unlock(&lock);
}

static uint8_t state_of(int fd)
{
	return fd >= 0 && fd < NUMBERS ? __atomic_load_n(&state[fd], __ATOMIC_RELAXED) : 0;
}

void epoll_read(int fd)
{
	if (state_of(fd) & TOLD_IN)
		rearm(fd, IN_BITS, TOLD_IN);
}

void epoll_wrote(int fd, bool full)
{
	if (full && state_of(fd) & TOLD_OUT)
		rearm(fd, OUT_BITS, TOLD_OUT);
}

void epoll_changed(int fd)
{
	if (state_of(fd) & WATCHED)
		rearm(fd, ALL_BITS, TOLD_IN | TOLD_OUT);
}

void epoll_left(int fd, bool to_system)
{
	struct epoll_event event;
	struct watched *e;
	struct watch *w;

	if (!(state_of(fd) & WATCHED))
		return;
	pthread_mutex_lock(&lock);
	set_state(fd, 0);
	for (w = all; w; w = w->next) {
		e = find_in(w, fd);
		if (!e)
			continue;
		event = (struct epoll_event){ .events = e->off ? 0 : e->events, .data = e->data };
		drop(w, e);
		if (to_system)
			(void)real()->epoll_ctl(w->epfd, EPOLL_CTL_ADD, fd, &event);
		ring(w);
	}
	pthread_mutex_unlock(&lock);
}

void epoll_closed(int epfd)
{
	struct watch **at, *w;

	if (!(state_of(epfd) & EPOLL))
		return;
	pthread_mutex_lock(&lock);
	set_state(epfd, 0);
	for (at = &all; *at && (*at)->epfd != epfd; at = &(*at)->next)
		;
	w = *at;
	if (w) {
		*at = w->next;
		ring(w);
		put(w);
	}
	pthread_mutex_unlock(&lock);
}

/* The child can't use its parent's rsockets. */
void epoll_in_child(void)
{
	struct watch *w;

	pthread_mutex_init(&lock, NULL);
	for (w = all; w; w = w->next)
		w->n = w->waiting = 0;
}

/* --- epoll_ctl --- */

static int control(struct watch *w, int op, int fd, const struct epoll_event *event)
{
	struct watched *e = find_in(w, fd);

	if (op == EPOLL_CTL_ADD && e)
		return EEXIST;
	if (op != EPOLL_CTL_ADD && !e)
		return ENOENT;
	if (op == EPOLL_CTL_DEL) {
		drop(w, e);
		return 0;
	}
	if (op == EPOLL_CTL_ADD)
		e = add(w, fd);
	if (!e)
		return ENOMEM;
	*e = (struct watched){ .fd = fd, .events = event->events | EPOLLERR | EPOLLHUP, .data = event->data };
	return 0;
}

PRELOAD_EXPORT int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	struct watch *w;
	int err;

	if (rs_of(fd) < 0)
		return real()->epoll_ctl(epfd, op, fd, event);
	err = op != EPOLL_CTL_ADD && op != EPOLL_CTL_MOD && op != EPOLL_CTL_DEL ? EINVAL : 0;
	if (!err && !event && op != EPOLL_CTL_DEL)
		err = EFAULT;
	pthread_mutex_lock(&lock);
	w = find(epfd);
	if (!err && !w) {
		w = add_watch(epfd);
		err = w ? 0 : errno;
	}
	if (!err)
		err = control(w, op, fd, event);
	if (!err)
		ring(w);
	pthread_mutex_unlock(&lock);
	if (!err)
		return 0;
	errno = err;
	return -1;
}

/* --- epoll_wait --- */

/* struct asked - of a number; @all: what it is watched for */
struct asked {
	int fd;
	uint32_t all;
};

/* struct wait - a call; @p: of each watched number that may have news, behind the system's epoll; @asked: what is asked of them */
struct wait {
	struct watch *w;
	struct pollfd *p;
	struct asked *asked;
	nfds_t n;
	struct epoll_event *to;
	int most, found;
};

static void list_one(struct wait *c, const struct watched *e)
{
	uint32_t ask = e->events & ALL_BITS & ~e->told;

	/* An error or an end is told in any case, so a number whose end is known isn't asked. */
	if (e->off || (e->told & (EPOLLERR | EPOLLHUP)))
		return;
	c->asked[c->n] = (struct asked){ .fd = e->fd, .all = e->events & ALL_BITS };
	c->p[c->n++] = (struct pollfd){ .fd = rs_of(e->fd), .events = (short)ask };
}

/* Return: 0 or an errno */
static int list(struct wait *c)
{
	struct watch *w = c->w;
	size_t i;
	int err = 0;

	pthread_mutex_lock(&lock);
	free(c->p);
	free(c->asked);
	c->p = calloc(w->n + 1, sizeof(*c->p));
	c->asked = calloc(w->n + 1, sizeof(*c->asked));
	if (!c->p || !c->asked) {
		err = ENOMEM;
	} else {
		c->p[0] = (struct pollfd){ .fd = w->epfd, .events = POLLIN };
		c->n = 1;
		for (i = 0; i < w->n; i++)
			list_one(c, &w->of[(w->first + i) % w->n]);
		w->first = w->n ? (w->first + 1) % w->n : 0;
	}
	pthread_mutex_unlock(&lock);
	return err;
}

/* The lock is held. */
static void tell(struct wait *c, struct watched *e, uint32_t is)
{
	is &= e->events & ALL_BITS;
	if (e->off || !(is & ~e->told))
		return;
	c->to[c->found++] = (struct epoll_event){ .events = is, .data = e->data };
	if (e->events & EPOLLONESHOT)
		e->off = true;
	if (!(e->events & EPOLLET))
		return;
	e->told |= is;
	set_state(e->fd, state[e->fd] | (is & IN_BITS ? TOLD_IN : 0) | (uint8_t)(is & OUT_BITS ? TOLD_OUT : 0));
}

/* Where there is news, all that is so by now, also what isn't news */
static void look_again(struct wait *c)
{
	nfds_t i;

	for (i = 1; i < c->n; i++) {
		if (!c->p[i].revents || (uint32_t)(uint16_t)c->p[i].events == c->asked[i].all)
			continue;
		c->p[i].events = (short)c->asked[i].all;
		(void)rpoll(&c->p[i], 1, 0);
	}
}

static void tell_ours(struct wait *c)
{
	struct watched *e;
	nfds_t i;

	look_again(c);

	pthread_mutex_lock(&lock);
	for (i = 1; i < c->n && c->found < c->most; i++) {
		e = c->p[i].revents ? find_in(c->w, c->asked[i].fd) : NULL;
		if (e && rs_of(e->fd) == c->p[i].fd)
			tell(c, e, (uint32_t)(uint16_t)c->p[i].revents);
	}
	pthread_mutex_unlock(&lock);
}

/* Return: without the bell's */
static int without_bell(struct wait *c, struct epoll_event *events, int n)
{
	uint64_t rung;
	int i, left = 0;

	for (i = 0; i < n; i++) {
		if (events[i].data.ptr == c->w)
			(void)!real()->read(c->w->bell, &rung, sizeof(rung));
		else
			events[left++] = events[i];
	}
	return left;
}

/* Return: 0 or an errno */
static int tell_systems(struct wait *c)
{
	int n;

	if (!c->p[0].revents || c->found == c->most)
		return 0;
	n = real()->epoll_wait(c->w->epfd, c->to + c->found, c->most - c->found, 0);
	if (n < 0)
		return errno;
	c->found += without_bell(c, c->to + c->found, n);
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Return: ms until then, rounded up; -1: for ever */
static int left_ms(uint64_t deadline)
{
	uint64_t now = deadline == UINT64_MAX ? 0 : now_ns(), ms;

	if (deadline == UINT64_MAX)
		return -1;
	ms = now >= deadline ? 0 : (deadline - now + 999999) / 1000000;
	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

/* Return: 0 or an errno */
static int wait_for_any(struct wait *c, uint64_t deadline)
{
	int err, ms;

	for (;;) {
		err = list(c);
		if (err)
			return err;
		ms = left_ms(deadline);
		if (rpoll(c->p, c->n, ms) < 0)
			return errno;
		if (c->p[0].revents & POLLNVAL)
			return EBADF;
		tell_ours(c);
		err = tell_systems(c);
		if (err || c->found || !ms)
			return c->found ? 0 : err;
	}
}

static int wait_ours(struct watch *w, struct epoll_event *events, int most, int ms)
{
	struct wait c = { .w = w, .to = events, .most = most };
	int err = wait_for_any(&c, ms < 0 ? UINT64_MAX : now_ns() + (uint64_t)ms * 1000000u);

	free(c.p);
	free(c.asked);
	if (!err)
		return c.found;
	errno = err;
	return -1;
}

/* The list beside it. Return: NULL: there is none */
static struct watch *begin_wait(int epfd)
{
	struct watch *w;

	if (!(state_of(epfd) & EPOLL))
		return NULL;
	pthread_mutex_lock(&lock);
	w = find(epfd);
	if (w) {
		w->refs++;
		w->waiting++;
	}
	pthread_mutex_unlock(&lock);
	return w;
}

static void end_wait(struct watch *w)
{
	int saved = errno;

	pthread_mutex_lock(&lock);
	w->waiting--;
	put(w);
	pthread_mutex_unlock(&lock);
	errno = saved;
}

/* Return: as epoll_wait(); -2: a list stands beside it since this call began */
static int wait_systems(int epfd, struct epoll_event *events, int most, int ms, const sigset_t *mask)
{
	int n = real()->epoll_pwait(epfd, events, most, ms, mask), left;
	struct wait c = { .w = n > 0 ? begin_wait(epfd) : NULL };

	if (!c.w)
		return n;
	left = without_bell(&c, events, n);
	end_wait(c.w);
	return left ? left : -2;
}

PRELOAD_EXPORT int epoll_pwait(int epfd, struct epoll_event *events, int most, int ms, const sigset_t *mask)
{
	struct watch *w = begin_wait(epfd);
	sigset_t before;
	int found, saved;

	if (!w) {
		found = wait_systems(epfd, events, most, ms, mask);
		return found == -2 ? epoll_pwait(epfd, events, most, ms, mask) : found;
	}
	if (mask)
		pthread_sigmask(SIG_SETMASK, mask, &before);
	if (most > 0) {
		found = wait_ours(w, events, most, ms);
	} else {
		errno = EINVAL;
		found = -1;
	}
	saved = errno;
	if (mask)
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = saved;
	end_wait(w);
	return found;
}

PRELOAD_EXPORT int epoll_wait(int epfd, struct epoll_event *events, int most, int ms)
{
	return epoll_pwait(epfd, events, most, ms, NULL);
}

PRELOAD_EXPORT int epoll_pwait2(int epfd, struct epoll_event *events, int most, const struct timespec *timeout,
				const sigset_t *mask)
{
	int64_t ms = -1;

	if (timeout && (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= 1000000000)) {
		errno = EINVAL;
		return -1;
	}
	if (timeout)
		ms = timeout->tv_sec > INT32_MAX / 1000 - 1 ?
			     INT32_MAX :
			     timeout->tv_sec * 1000 + (timeout->tv_nsec + 999999) / 1000000;
	return epoll_pwait(epfd, events, most, (int)ms, mask);
}
