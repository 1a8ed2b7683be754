/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The calls that send and receive: each is one of a list of buffers. */
#include "rsocket.h"

#include <limits.h>
#include <sys/uio.h>

static ssize_t send_list(int socket, const struct iovec *iov, size_t n, int flags)
{
	struct rsock *rs = rs_get(socket);
	ssize_t sent;

	if (!rs)
		return -1;
	pthread_mutex_lock(&rs->lock);
	sent = n > IOV_MAX ? rs_fail(EMSGSIZE) : rs_stream_send(rs, iov, n, flags);
	pthread_mutex_unlock(&rs->lock);
	rs_put(rs);
	return sent;
}

static ssize_t recv_list(int socket, const struct iovec *iov, size_t n, int flags)
{
	struct rsock *rs = rs_get(socket);
	ssize_t got;

	if (!rs)
		return -1;
	pthread_mutex_lock(&rs->lock);
	got = n > IOV_MAX ? rs_fail(EMSGSIZE) : rs_stream_recv(rs, iov, n, flags);
	pthread_mutex_unlock(&rs->lock);
	rs_put(rs);
	return got;
}

/* Programs declare what they send const; iovec doesn't know that. */
static struct iovec one(const void *buf, size_t len)
{
	return (struct iovec){ .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
}

RS_EXPORT ssize_t rsend(int socket, const void *buf, size_t len, int flags)
{
	struct iovec iov = one(buf, len);

	return send_list(socket, &iov, 1, flags);
}

RS_EXPORT ssize_t rsendto(int socket, const void *buf, size_t len, int flags, const struct sockaddr *dest_addr,
			  socklen_t addrlen)
{
	if (dest_addr || addrlen)
		return rs_fail(EISCONN);
	return rsend(socket, buf, len, flags);
}

RS_EXPORT ssize_t rsendmsg(int socket, const struct msghdr *msg, int flags)
{
	if (!msg)
		return rs_fail(EFAULT);
	if (msg->msg_controllen)
		return rs_fail(EOPNOTSUPP);
	return send_list(socket, msg->msg_iov, msg->msg_iovlen, flags);
}

RS_EXPORT ssize_t rwrite(int socket, const void *buf, size_t count)
{
	return rsend(socket, buf, count, 0);
}

RS_EXPORT ssize_t rwritev(int socket, const struct iovec *iov, int iovcnt)
{
	return iovcnt < 0 ? rs_fail(EINVAL) : send_list(socket, iov, (size_t)iovcnt, 0);
}

RS_EXPORT ssize_t rrecv(int socket, void *buf, size_t len, int flags)
{
	struct iovec iov = one(buf, len);

	return recv_list(socket, &iov, 1, flags);
}

RS_EXPORT ssize_t rrecvfrom(int socket, void *buf, size_t len, int flags, struct sockaddr *src_addr, socklen_t *addrlen)
{
	ssize_t got = rrecv(socket, buf, len, flags);

	/* A stream has one source, as rgetpeername() says; it may have left since. */
	if (got >= 0 && src_addr && addrlen && rgetpeername(socket, src_addr, addrlen))
		*addrlen = 0;
	return got;
}

RS_EXPORT ssize_t rrecvmsg(int socket, struct msghdr *msg, int flags)
{
	if (!msg)
		return rs_fail(EFAULT);
	msg->msg_namelen = 0;
	msg->msg_controllen = 0;
	msg->msg_flags = 0;
	return recv_list(socket, msg->msg_iov, msg->msg_iovlen, flags);
}

RS_EXPORT ssize_t rread(int socket, void *buf, size_t count)
{
	return rrecv(socket, buf, count, 0);
}

RS_EXPORT ssize_t rreadv(int socket, const struct iovec *iov, int iovcnt)
{
	return iovcnt < 0 ? rs_fail(EINVAL) : recv_list(socket, iov, (size_t)iovcnt, 0);
}
