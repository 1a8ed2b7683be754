/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Options, of sockets and of descriptors. What rsockets don't know, the system's socket keeps and answers. */
#include "preload.h"

#include <limits.h>
#include <stdarg.h>
#include <stdint.h>

PRELOAD_EXPORT int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	int rs = rs_of(fd), saved = errno;

	if (rs >= 0 && !rgetsockopt(rs, level, name, value, len))
		return 0;
	if (rs >= 0 && errno != ENOPROTOOPT)
		return -1;
	errno = saved;
	return real()->getsockopt(fd, level, name, value, len);
}

PRELOAD_EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	int rs = rs_of(fd), saved = errno, ret, err;

	if (rs < 0)
		return real()->setsockopt(fd, level, name, value, len);
	/* Both, for a connection that falls back. */
	ret = real()->setsockopt(fd, level, name, value, len);
	err = errno;
	if (!rsetsockopt(rs, level, name, value, len)) {
		errno = saved;
		return 0;
	}
	if (errno != ENOPROTOOPT)
		return -1;
	errno = ret ? err : saved;
	return ret;
}

/* --- descriptors --- */

static int set_flags(int fd, int flags)
{
	int rs = rs_of(fd);

	if (rs >= 0 && rfcntl(rs, F_SETFL, flags) < 0)
		return -1;
	return real()->fcntl(fd, F_SETFL, flags);
}

static int control(int fd, int cmd, void *arg)
{
	int ret;

	if (cmd == F_SETFL)
		return set_flags(fd, (int)(intptr_t)arg);
	ret = real()->fcntl(fd, cmd, arg);
	if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)
		map_share(fd, ret);
	return ret;
}

PRELOAD_EXPORT int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	return control(fd, cmd, arg);
}

/* Programs that are built for large files call this one. */
int preload_fcntl64(int fd, int cmd, ...) __asm__("fcntl64");
PRELOAD_EXPORT int preload_fcntl64(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	return control(fd, cmd, arg);
}

/* Bytes of a stream, or of the next datagram */
static int count_readable(int rs, int *n)
{
	int listens = 0, saved = errno;
	socklen_t len = sizeof(listens);
	ssize_t got;

	if (!rgetsockopt(rs, SOL_SOCKET, SO_TYPE, n, &len) && *n == SOCK_STREAM &&
	    !rgetsockopt(rs, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) && listens) {
		errno = EINVAL;
		return -1;
	}
	got = rrecv(rs, NULL, *n == SOCK_STREAM ? INT_MAX : 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
	if (got < 0 && errno == EBADF)
		return -1;
	errno = saved;
	*n = got < 0 ? 0 : (int)got;
	return 0;
}

PRELOAD_EXPORT int ioctl(int fd, unsigned long request, ...)
{
	int rs = rs_of(fd), ret;
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	/* The system's socket has nothing to read. */
	if (rs >= 0 && request == FIONREAD)
		return count_readable(rs, arg);
	ret = real()->ioctl(fd, request, arg);
	if (rs >= 0 && !ret && request == FIONBIO)
		ret = rfcntl(rs, F_SETFL, *(const int *)arg ? O_NONBLOCK : 0);
	return ret;
}
