/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The calls that send and receive: each is one of a list of buffers. */
#include "rsocket.h"

#include <limits.h>
#include <sys/uio.h>

static ssize_t send_list(int socket, const struct msghdr *m, int flags)
{
	struct rsock *rs = rs_get(socket);
	ssize_t sent;

	if (!rs)
		return -1;
	pthread_mutex_lock(&rs->lock);
	if (m->msg_iovlen > IOV_MAX)
		sent = rs_fail(EMSGSIZE);
	else if (rs->type == SOCK_DGRAM)
		sent = rs_dgram_send(rs, m->msg_iov, m->msg_iovlen, flags, m->msg_name, m->msg_namelen);
	else if (m->msg_name)
		sent = rs_fail(EISCONN);
	else
		sent = rs_stream_send(rs, m->msg_iov, m->msg_iovlen, flags);
	pthread_mutex_unlock(&rs->lock);
	rs_put(rs);
	return sent;
}

static ssize_t recv_list(int socket, struct msghdr *m, int flags)
{
	struct rsock *rs = rs_get(socket);
	ssize_t got;

	if (!rs)
		return -1;
	m->msg_flags = 0;
	pthread_mutex_lock(&rs->lock);
	if (m->msg_iovlen > IOV_MAX) {
		got = rs_fail(EMSGSIZE);
	} else if (rs->type == SOCK_DGRAM) {
		got = rs_dgram_recv(rs, m->msg_iov, m->msg_iovlen, flags, m->msg_name, &m->msg_namelen, &m->msg_flags);
	} else {
		/* As with TCP, it has no name. */
		m->msg_namelen = 0;
		got = rs_stream_recv(rs, m->msg_iov, m->msg_iovlen, flags);
	}
	pthread_mutex_unlock(&rs->lock);
	rs_put(rs);
	return got;
}

/* Programs declare what they send const; iovec doesn't know that. */
static struct iovec one(const void *buf, size_t len)
{
	return (struct iovec){ .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
}

RS_EXPORT ssize_t rsendto(int socket, const void *buf, size_t len, int flags, const struct sockaddr *dest_addr,
			  socklen_t addrlen)
{
	struct iovec iov = one(buf, len);
	struct msghdr m = {
		.msg_name = (void *)(uintptr_t)dest_addr, .msg_namelen = addrlen, .msg_iov = &iov, .msg_iovlen = 1
	};

	return send_list(socket, &m, flags);
}

RS_EXPORT ssize_t rsend(int socket, const void *buf, size_t len, int flags)
{
	return rsendto(socket, buf, len, flags, NULL, 0);
}

RS_EXPORT ssize_t rsendmsg(int socket, const struct msghdr *msg, int flags)
{
	if (!msg)
		return rs_fail(EFAULT);
	return msg->msg_controllen ? rs_fail(EOPNOTSUPP) : send_list(socket, msg, flags);
}

RS_EXPORT ssize_t rwrite(int socket, const void *buf, size_t count)
{
	return rsend(socket, buf, count, 0);
}

RS_EXPORT ssize_t rwritev(int socket, const struct iovec *iov, int iovcnt)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)iovcnt };

	return iovcnt < 0 || iovcnt > IOV_MAX ? rs_fail(EINVAL) : send_list(socket, &m, 0);
}

RS_EXPORT ssize_t rrecvfrom(int socket, void *buf, size_t len, int flags, struct sockaddr *src_addr, socklen_t *addrlen)
{
	struct iovec iov = one(buf, len);
	struct msghdr m = { .msg_name = src_addr,
			    .msg_namelen = src_addr && addrlen ? *addrlen : 0,
			    .msg_iov = &iov,
			    .msg_iovlen = 1 };
	ssize_t got = recv_list(socket, &m, flags);

	if (got >= 0 && addrlen)
		*addrlen = m.msg_namelen;
	return got;
}

RS_EXPORT ssize_t rrecv(int socket, void *buf, size_t len, int flags)
{
	return rrecvfrom(socket, buf, len, flags, NULL, NULL);
}

RS_EXPORT ssize_t rrecvmsg(int socket, struct msghdr *msg, int flags)
{
	ssize_t got;

	if (!msg)
		return rs_fail(EFAULT);
	got = recv_list(socket, msg, flags);
	if (got >= 0)
		msg->msg_controllen = 0;
	return got;
}

RS_EXPORT ssize_t rread(int socket, void *buf, size_t count)
{
	return rrecv(socket, buf, count, 0);
}

RS_EXPORT ssize_t rreadv(int socket, const struct iovec *iov, int iovcnt)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)iovcnt };

	return iovcnt < 0 || iovcnt > IOV_MAX ? rs_fail(EINVAL) : recv_list(socket, &m, 0);
}
