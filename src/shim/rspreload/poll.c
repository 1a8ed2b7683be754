/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Waiting for descriptors, with rsockets among them. */
#include "preload.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static bool has_ours(const struct pollfd *fds, nfds_t n)
{
	nfds_t i;

	for (i = 0; i < n; i++)
		if (rs_of(fds[i].fd) >= 0)
			return true;
	return false;
}

/* poll(), if has_ours() */
static int poll_ours(struct pollfd *fds, nfds_t n, int ms)
{
	struct pollfd *p = calloc(n, sizeof(*p));
	int found, err, rs;
	nfds_t i;

	if (!p) {
		errno = ENOMEM;
		return -1;
	}
	for (i = 0; i < n; i++) {
		rs = rs_of(fds[i].fd);
		p[i] = (struct pollfd){ .fd = rs < 0 ? fds[i].fd : rs, .events = fds[i].events };
	}
	found = rpoll(p, n, ms);
	err = errno;
	for (i = 0; found >= 0 && i < n; i++)
		fds[i].revents = p[i].revents;
	free(p);
	errno = err;
	return found;
}

/*
 * With a signal mask meanwhile. A signal that comes between the change of the mask and the wait is handled and doesn't end the
 * wait, unlike with the system's call.
 */
static int poll_masked(struct pollfd *fds, nfds_t n, int ms, const sigset_t *mask)
{
	sigset_t before;
	int found, err;

	if (mask)
		pthread_sigmask(SIG_SETMASK, mask, &before);
	found = poll_ours(fds, n, ms);
	err = errno;
	if (mask)
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = err;
	return found;
}

/* Return: -1: for ever; -2: no time */
static int to_ms(int64_t seconds, int64_t ns)
{
	if (seconds < 0 || ns < 0 || ns >= 1000000000)
		return -2;
	return seconds > INT32_MAX / 1000 - 1 ? INT32_MAX : (int)(seconds * 1000 + (ns + 999999) / 1000000);
}

static int invalid(void)
{
	errno = EINVAL;
	return -1;
}

PRELOAD_EXPORT int poll(struct pollfd *fds, nfds_t n, int ms)
{
	return has_ours(fds, n) ? poll_ours(fds, n, ms) : real()->poll(fds, n, ms);
}

PRELOAD_EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	int ms = timeout ? to_ms(timeout->tv_sec, timeout->tv_nsec) : -1;

	if (!has_ours(fds, n))
		return real()->ppoll(fds, n, timeout, mask);
	return ms == -2 ? invalid() : poll_masked(fds, n, ms, mask);
}

/* What programs call that are built with _FORTIFY_SOURCE; the last argument is the array's size. */
_Noreturn void preload_chk_fail(void) __asm__("__chk_fail");
int preload_poll_chk(struct pollfd *fds, nfds_t n, int ms, size_t size) __asm__("__poll_chk");
int preload_ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
		      size_t size) __asm__("__ppoll_chk");

PRELOAD_EXPORT int preload_poll_chk(struct pollfd *fds, nfds_t n, int ms, size_t size)
{
	if (size / sizeof(*fds) < n)
		preload_chk_fail();
	return poll(fds, n, ms);
}

PRELOAD_EXPORT int preload_ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
				     size_t size)
{
	if (size / sizeof(*fds) < n)
		preload_chk_fail();
	return ppoll(fds, n, timeout, mask);
}

/* --- select --- */

/* struct sets - of select(): for reading, writing, exceptions; NULL: none */
struct sets {
	fd_set *set[3];
};

static const short asked[] = { POLLIN, POLLOUT, POLLPRI };
static const short told[] = { POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR, POLLPRI };

static nfds_t from_sets(struct pollfd *p, int most, const struct sets *s)
{
	nfds_t n = 0;
	int fd, k;

	for (fd = 0; fd < most && fd < FD_SETSIZE; fd++) {
		p[n] = (struct pollfd){ .fd = fd };
		for (k = 0; k < 3; k++)
			if (s->set[k] && FD_ISSET(fd, s->set[k]))
				p[n].events |= asked[k];
		n += p[n].events != 0;
	}
	return n;
}

/* Return: how many bits are set */
static int to_sets(const struct pollfd *p, nfds_t n, const struct sets *s)
{
	int found = 0, k;
	nfds_t i;

	for (k = 0; k < 3; k++)
		if (s->set[k])
			FD_ZERO(s->set[k]);
	for (i = 0; i < n; i++) {
		for (k = 0; k < 3; k++) {
			if (!s->set[k] || !(p[i].events & asked[k]) || !(p[i].revents & told[k]))
				continue;
			FD_SET(p[i].fd, s->set[k]);
			found++;
		}
	}
	return found;
}

static int select_ours(struct pollfd *p, nfds_t n, const struct sets *s, int ms, const sigset_t *mask)
{
	nfds_t i;

	if (ms == -2)
		return invalid();
	if (poll_masked(p, n, ms, mask) < 0)
		return -1;
	for (i = 0; i < n; i++) {
		if (p[i].revents & POLLNVAL) {
			errno = EBADF;
			return -1;
		}
	}
	return to_sets(p, n, s);
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

PRELOAD_EXPORT int select(int most, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout)
{
	int ms = timeout ? to_ms(timeout->tv_sec, (int64_t)timeout->tv_usec * 1000) : -1;
	struct sets s = { { in, out, except } };
	struct pollfd p[FD_SETSIZE + 1];
	nfds_t n = from_sets(p, most, &s);

	int64_t end = timeout && ms > 0 ? now_us() + (int64_t)ms * 1000 : 0, left;
	int found;

	if (!has_ours(p, n))
		return real()->select(most, in, out, except, timeout);
	found = select_ours(p, n, &s, ms, NULL);
	/* As the system does, it says what is left. */
	if (end) {
		left = end - now_us();
		left = left > 0 && found ? left : 0;
		*timeout = (struct timeval){ .tv_sec = left / 1000000, .tv_usec = left % 1000000 };
	}
	return found;
}

PRELOAD_EXPORT int pselect(int most, fd_set *in, fd_set *out, fd_set *except, const struct timespec *timeout,
			   const sigset_t *mask)
{
	int ms = timeout ? to_ms(timeout->tv_sec, timeout->tv_nsec) : -1;
	struct sets s = { { in, out, except } };
	struct pollfd p[FD_SETSIZE + 1];
	nfds_t n = from_sets(p, most, &s);

	if (!has_ours(p, n))
		return real()->pselect(most, in, out, except, timeout, mask);
	return select_ours(p, n, &s, ms, mask);
}
