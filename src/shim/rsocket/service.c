/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A thread that answers for sockets whose program is doing something else: it accepts connections for listeners, so that a peer is
 * connected before the program calls raccept(), as with the system's sockets, and tells senders of datagrams where a socket is.
 *
 * Two locks: one of a round of the thread's, under which sockets' locks are taken, and one of the list, under which none is.
 */
#include "rsocket.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static pthread_mutex_t round_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rsock **served;
static size_t n_served, room;
static int bell = -1; /* of the thread; -1: there is none */

static void ring(void)
{
	static const uint64_t one = 1;
	int saved = errno;

	(void)!write(bell, &one, sizeof(one));
	errno = saved;
}

/* --- the thread --- */

/* struct round - what the thread looks at: the sockets, and for each its channel, behind them the bell */
struct round {
	struct rsock **rs;
	struct pollfd *p;
	size_t n, room;
};

static bool make_room(struct round *r, size_t n)
{
	struct rsock **rs;
	struct pollfd *p;

	if (r->p && n <= r->room)
		return true;
	rs = realloc(r->rs, (n + 1) * sizeof(struct rsock *));
	if (rs)
		r->rs = rs;
	p = rs ? realloc(r->p, (n + 1) * sizeof(*p)) : NULL;
	if (!p)
		return false;
	r->p = p;
	r->room = n;
	return true;
}

static bool list(struct round *r)
{
	bool done;

	pthread_mutex_lock(&list_lock);
	done = make_room(r, n_served);
	r->n = done ? n_served : 0;
	if (r->n)
		memcpy(r->rs, served, r->n * sizeof(struct rsock *));
	pthread_mutex_unlock(&list_lock);
	return done;
}

/* Return: the descriptor to wait for; -1: only for the bell, as a listener that is full gets no more */
static int serve(struct rsock *rs)
{
	bool full;

	pthread_mutex_lock(&rs->lock);
	if (rs_is_acceptor(rs))
		rs_accept_waiting(rs);
	else
		rs_progress(rs);
	full = rs_is_acceptor(rs) && rs->n_accepted >= rs->backlog;
	pthread_mutex_unlock(&rs->lock);
	return full ? -1 : rs->fd;
}

static void go_round(struct round *r)
{
	size_t i;

	pthread_mutex_lock(&round_lock);
	if (list(r))
		for (i = 0; i < r->n; i++)
			r->p[i] = (struct pollfd){ .fd = serve(r->rs[i]), .events = POLLIN };
	pthread_mutex_unlock(&round_lock);
}

static void *run(void *unused)
{
	struct round r = { 0 };
	uint64_t rung;

	(void)unused;
	for (;;) {
		go_round(&r);
		if (!r.p) {
			poll(NULL, 0, 10); /* there was no memory */
			continue;
		}
		r.p[r.n] = (struct pollfd){ .fd = bell, .events = POLLIN };
		if (poll(r.p, r.n + 1, -1) > 0 && r.p[r.n].revents)
			(void)!read(bell, &rung, sizeof(rung));
	}
	return NULL;
}

/* The program's signals are its own threads'. */
static int start_thread(void)
{
	sigset_t all, before;
	pthread_t t;
	int err;

	bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (bell < 0)
		return errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&t, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!err)
		return pthread_detach(t);
	close(bell);
	bell = -1;
	return err;
}

/* --- the list --- */

static int enter(struct rsock *rs)
{
	struct rsock **more;

	if (n_served == room) {
		more = realloc(served, (2 * room + 8) * sizeof(struct rsock *));
		if (!more)
			return ENOMEM;
		served = more;
		room = 2 * room + 8;
	}
	served[n_served++] = rs;
	return 0;
}

int rs_serve(struct rsock *rs)
{
	int err;

	if (rs->closed)
		return EBADF;
	pthread_mutex_lock(&list_lock);
	err = bell < 0 ? start_thread() : 0;
	if (!err)
		err = enter(rs);
	pthread_mutex_unlock(&list_lock);
	ring();
	return err;
}

void rs_unserve(struct rsock *rs)
{
	bool was = false;
	size_t i;

	pthread_mutex_lock(&list_lock);
	for (i = 0; i < n_served && !was; i++) {
		was = served[i] == rs;
		if (was)
			served[i] = served[--n_served];
	}
	pthread_mutex_unlock(&list_lock);
	if (!was)
		return;
	ring();
	/* A round that is under way has it still. */
	pthread_mutex_lock(&round_lock);
	pthread_mutex_unlock(&round_lock);
}

void rs_serve_again(void)
{
	ring();
}

void rs_serve_none(void)
{
	pthread_mutex_init(&round_lock, NULL);
	pthread_mutex_init(&list_lock, NULL);
	n_served = 0;
	if (bell >= 0)
		close(bell);
	bell = -1;
}
