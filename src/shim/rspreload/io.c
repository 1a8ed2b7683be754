/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bytes in and out. */
#include "preload.h"

#include <limits.h>
#include <time.h>

static ssize_t was_read(int fd, ssize_t got)
{
	epoll_read(fd);
	return got;
}

/* @len: SSIZE_MAX: it wasn't counted */
static ssize_t was_sent(int fd, ssize_t sent, size_t len)
{
	epoll_wrote(fd, sent < 0 || (size_t)sent < len);
	return sent;
}

/* --- in --- */

PRELOAD_EXPORT ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	int rs = rs_of(fd);

	return rs < 0 ? real()->recv(fd, buf, len, flags) : was_read(fd, rrecv(rs, buf, len, flags));
}

PRELOAD_EXPORT ssize_t preload_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from,
					socklen_t *from_len)
{
	int rs = rs_of(fd);

	if (rs < 0)
		return real()->recvfrom(fd, buf, len, flags, from, from_len);
	return was_read(fd, rrecvfrom(rs, buf, len, flags, from, from_len));
}

PRELOAD_EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	int rs = rs_of(fd);

	return rs < 0 ? real()->recvmsg(fd, msg, flags) : was_read(fd, rrecvmsg(rs, msg, flags));
}

PRELOAD_EXPORT ssize_t read(int fd, void *buf, size_t len)
{
	int rs = rs_of(fd);

	return rs < 0 ? real()->read(fd, buf, len) : was_read(fd, rread(rs, buf, len));
}

PRELOAD_EXPORT ssize_t readv(int fd, const struct iovec *iov, int n)
{
	int rs = rs_of(fd);

	return rs < 0 ? real()->readv(fd, iov, n) : was_read(fd, rreadv(rs, iov, n));
}

/* --- out --- */

PRELOAD_EXPORT ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	int rs = rs_of(fd);

	return rs < 0 ? real()->send(fd, buf, len, flags) : was_sent(fd, rsend(rs, buf, len, flags), len);
}

PRELOAD_EXPORT ssize_t preload_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
				      socklen_t to_len)
{
	int rs = rs_of(fd);

	if (rs < 0)
		return real()->sendto(fd, buf, len, flags, to, to_len);
	return was_sent(fd, rsendto(rs, buf, len, flags, to, to_len), len);
}

PRELOAD_EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	int rs = rs_of(fd);

	return rs < 0 ? real()->sendmsg(fd, msg, flags) : was_sent(fd, rsendmsg(rs, msg, flags), SSIZE_MAX);
}

PRELOAD_EXPORT ssize_t write(int fd, const void *buf, size_t len)
{
	int rs = rs_of(fd);

	return rs < 0 ? real()->write(fd, buf, len) : was_sent(fd, rwrite(rs, buf, len), len);
}

PRELOAD_EXPORT ssize_t writev(int fd, const struct iovec *iov, int n)
{
	int rs = rs_of(fd);

	return rs < 0 ? real()->writev(fd, iov, n) : was_sent(fd, rwritev(rs, iov, n), SSIZE_MAX);
}

/* --- several messages --- */

PRELOAD_EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned int n, int flags)
{
	unsigned int done;
	ssize_t sent;

	if (rs_of(fd) < 0)
		return real()->sendmmsg(fd, messages, n, flags);
	for (done = 0; done < n && done < IOV_MAX; done++) {
		sent = sendmsg(fd, &messages[done].msg_hdr, flags);
		if (sent < 0)
			return done ? (int)done : -1;
		messages[done].msg_len = (unsigned int)sent;
	}
	return (int)done;
}

static bool is_over(const struct timespec *end)
{
	struct timespec now;

	if (!end->tv_sec)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > end->tv_sec || (now.tv_sec == end->tv_sec && now.tv_nsec >= end->tv_nsec);
}

/* As the system's, it looks at the time only after a message. */
PRELOAD_EXPORT int recvmmsg(int fd, struct mmsghdr *messages, unsigned int n, int flags, struct timespec *timeout)
{
	struct timespec end = { 0 };
	unsigned int done;
	ssize_t got;

	if (rs_of(fd) < 0)
		return real()->recvmmsg(fd, messages, n, flags, timeout);
	if (timeout) {
		clock_gettime(CLOCK_MONOTONIC, &end);
		end.tv_nsec += timeout->tv_nsec;
		end.tv_sec += timeout->tv_sec + end.tv_nsec / 1000000000;
		end.tv_nsec %= 1000000000;
	}
	for (done = 0; done < n && done < IOV_MAX && !(done && is_over(&end)); done++) {
		got = recvmsg(fd, &messages[done].msg_hdr, flags & ~MSG_WAITFORONE);
		if (got < 0)
			return done ? (int)done : -1;
		messages[done].msg_len = (unsigned int)got;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
	}
	return (int)done;
}

/* --- of a file --- */

/* From @at on. Return: bytes that were sent, as far as there are; -1 and errno: none were */
static ssize_t send_file(int rs, int from, off_t at, size_t len)
{
	char buf[16384];
	size_t done = 0;
	ssize_t got, sent;

	while (done < len) {
		got = pread(from, buf, len - done < sizeof(buf) ? len - done : sizeof(buf), at + (off_t)done);
		sent = got > 0 ? rwrite(rs, buf, (size_t)got) : got;
		if (sent <= 0)
			return done ? (ssize_t)done : sent;
		done += (size_t)sent;
		if (sent < got)
			break;
	}
	return (ssize_t)done;
}

PRELOAD_EXPORT ssize_t sendfile(int to, int from, off_t *offset, size_t len)
{
	int rs = rs_of(to);
	ssize_t sent;
	off_t at;

	if (rs < 0)
		return real()->sendfile(to, from, offset, len);
	at = offset ? *offset : lseek(from, 0, SEEK_CUR);
	sent = at < 0 ? -1 : send_file(rs, from, at, len);
	(void)was_sent(to, sent, len);
	if (sent > 0 && offset)
		*offset = at + sent;
	else if (sent > 0)
		(void)lseek(from, at + sent, SEEK_SET);
	return sent;
}

ssize_t preload_sendfile64(int to, int from, off_t *offset, size_t len) __asm__("sendfile64");
PRELOAD_EXPORT ssize_t preload_sendfile64(int to, int from, off_t *offset, size_t len)
{
	return sendfile(to, from, offset, len);
}

/* --- what programs call that are built with _FORTIFY_SOURCE; the last argument is the buffer's size --- */

_Noreturn void preload_chk_fail(void) __asm__("__chk_fail");
ssize_t preload_read_chk(int fd, void *buf, size_t len, size_t size) __asm__("__read_chk");
ssize_t preload_recv_chk(int fd, void *buf, size_t len, size_t size, int flags) __asm__("__recv_chk");
ssize_t preload_recvfrom_chk(int fd, void *buf, size_t len, size_t size, int flags, struct sockaddr *from,
			     socklen_t *from_len) __asm__("__recvfrom_chk");

PRELOAD_EXPORT ssize_t preload_read_chk(int fd, void *buf, size_t len, size_t size)
{
	if (len > size)
		preload_chk_fail();
	return read(fd, buf, len);
}

PRELOAD_EXPORT ssize_t preload_recv_chk(int fd, void *buf, size_t len, size_t size, int flags)
{
	if (len > size)
		preload_chk_fail();
	return recv(fd, buf, len, flags);
}

PRELOAD_EXPORT ssize_t preload_recvfrom_chk(int fd, void *buf, size_t len, size_t size, int flags,
					    struct sockaddr *from, socklen_t *from_len)
{
	if (len > size)
		preload_chk_fail();
	return preload_recvfrom(fd, buf, len, flags, from, from_len);
}
