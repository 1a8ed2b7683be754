/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a socket's creation to its end, and its other numbers. A connection that can't go over RDMA goes over TCP. */
#include "preload.h"

#include <netinet/in.h>
#include <stdlib.h>

/* --- creation --- */

static bool may_be_ours(int domain, int type, int protocol)
{
	int kind = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (domain != AF_INET && domain != AF_INET6)
		return false;
	if (kind == SOCK_STREAM)
		return !protocol || protocol == IPPROTO_TCP;
	return kind == SOCK_DGRAM && (!protocol || protocol == IPPROTO_UDP);
}

PRELOAD_EXPORT int socket(int domain, int type, int protocol)
{
	int fd = real()->socket(domain, type, protocol), saved = errno, rs;

	if (fd < 0 || !may_be_ours(domain, type, protocol))
		return fd;
	/* Without an rsocket it is just the system's. */
	rs = rsocket(domain, type, protocol);
	if (rs >= 0 && !map_add(fd, rs))
		rclose(rs);
	errno = saved;
	return fd;
}

PRELOAD_EXPORT int preload_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	int rs = rs_of(fd), err;

	if (rs < 0)
		return real()->bind(fd, addr, len);
	err = rbind(rs, addr, len);
	if (!err)
		map_set_bound(rs);
	return err;
}

/* From now on it is a socket of the system's, bound to the same address. */
static int leave_to_system(int fd, int rs)
{
	struct sockaddr_storage local;
	socklen_t len = sizeof(local);
	bool bound = map_is_bound(rs) && !rgetsockname(rs, (struct sockaddr *)&local, &len);

	map_drop_all(rs);
	rclose(rs);
	return bound ? real()->bind(fd, (struct sockaddr *)&local, len) : 0;
}

/* --- the passive side --- */

/* A server that forks for each connection says so by this variable (rsocket(7)): its children can only use the system's sockets. */
static bool server_forks(void)
{
	const char *says = getenv("RDMAV_FORK_SAFE");

	return says && strtol(says, NULL, 0);
}

PRELOAD_EXPORT int listen(int fd, int backlog)
{
	int rs = rs_of(fd), type = 0;
	socklen_t len = sizeof(type);

	if (rs >= 0 && server_forks() && !rgetsockopt(rs, SOL_SOCKET, SO_TYPE, &type, &len) && type == SOCK_STREAM) {
		if (leave_to_system(fd, rs))
			return -1;
		rs = -1;
	}
	return rs < 0 ? real()->listen(fd, backlog) : rlisten(rs, backlog);
}

/* A number for an accepted rsocket. Return: -1 and errno, and the rsocket is closed */
static int number_for(int rs, int listener, int flags)
{
	int domain = 0, fd, err;
	socklen_t len = sizeof(domain);

	fd = real()->getsockopt(listener, SOL_SOCKET, SO_DOMAIN, &domain, &len);
	if (!fd)
		fd = real()->socket(domain, SOCK_STREAM | flags, 0);
	err = errno;
	if (fd >= 0 && flags & SOCK_NONBLOCK)
		rfcntl(rs, F_SETFL, O_NONBLOCK);
	if (fd >= 0 && map_add(fd, rs))
		return fd;
	if (fd >= 0) {
		real()->close(fd);
		err = EMFILE;
	}
	rclose(rs);
	errno = err;
	return -1;
}

PRELOAD_EXPORT int preload_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	int rs = rs_of(fd), new;

	if (rs < 0)
		return real()->accept4(fd, addr, len, flags);
	if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) {
		errno = EINVAL;
		return -1;
	}
	new = raccept(rs, addr, len);
	epoll_read(fd);
	return new < 0 ? -1 : number_for(new, fd, flags);
}

PRELOAD_EXPORT int preload_accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	return preload_accept4(fd, addr, len, 0);
}

/* --- the active side --- */

PRELOAD_EXPORT int preload_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	int rs = rs_of(fd), err;

	if (rs < 0)
		return real()->connect(fd, addr, len);
	err = rconnect(rs, addr, len);
	epoll_changed(fd);
	if (!err)
		return 0;
	switch (errno) {
	case EINPROGRESS:
	case EALREADY:
	case EISCONN:
	case EINVAL: /* it listens, or that's no address */
	case EINTR:
	case EBADF:
		return -1;
	default:
		return leave_to_system(fd, rs) ? -1 : real()->connect(fd, addr, len);
	}
}

/* --- names --- */

PRELOAD_EXPORT int preload_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
	int rs = rs_of(fd);

	return rs < 0 ? real()->getsockname(fd, addr, len) : rgetsockname(rs, addr, len);
}

PRELOAD_EXPORT int preload_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
	int rs = rs_of(fd);

	return rs < 0 ? real()->getpeername(fd, addr, len) : rgetpeername(rs, addr, len);
}

/* --- the end --- */

PRELOAD_EXPORT int shutdown(int fd, int how)
{
	int rs = rs_of(fd);

	int err;

	if (rs < 0)
		return real()->shutdown(fd, how);
	err = rshutdown(rs, how);
	epoll_changed(fd);
	return err;
}

/* Its own lasts as long as the rsocket, so that nobody else gets the number meanwhile. */
static void drop(int fd)
{
	int rs;

	if (fd < 0 || !map_is_owner())
		return;
	rs = map_drop(fd);
	epoll_left(fd, false);
	epoll_closed(fd);
	if (rs >= 0)
		rclose(rs);
}

PRELOAD_EXPORT int close(int fd)
{
	drop(fd);
	return real()->close(fd);
}

/* --- other numbers --- */

static int shared(int fd, int copy)
{
	map_share(fd, copy);
	return copy;
}

PRELOAD_EXPORT int dup(int fd)
{
	return shared(fd, real()->dup(fd));
}

PRELOAD_EXPORT int dup2(int fd, int to)
{
	if (fd == to || real()->fcntl(fd, F_GETFD) < 0)
		return real()->dup2(fd, to);
	drop(to);
	return shared(fd, real()->dup2(fd, to));
}

PRELOAD_EXPORT int dup3(int fd, int to, int flags)
{
	if (fd == to || flags & ~O_CLOEXEC || real()->fcntl(fd, F_GETFD) < 0)
		return real()->dup3(fd, to, flags);
	drop(to);
	return shared(fd, real()->dup3(fd, to, flags));
}
