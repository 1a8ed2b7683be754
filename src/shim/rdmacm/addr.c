/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Addresses. Whether an interface of this network has one, and from which one a way
 * begins, only the system knows: sockets for datagrams are bound and connected, and
 * nothing is sent.
 */
#include "rdmacm.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const u8 mapped[CM_IP_AT] = { [10] = 0xff, [11] = 0xff };

int cm_addr_from(const struct sockaddr *from, struct cm_addr *to)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)from;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;

	memset(to, 0, sizeof(*to));
	if (!from)
		return -EINVAL;
	switch (from->sa_family) {
	case AF_INET:
		to->version = 4;
		to->port = ntohs(in->sin_port);
		memcpy(to->ip, mapped, sizeof(mapped));
		memcpy(to->ip + CM_IP_AT, &in->sin_addr, sizeof(in->sin_addr));
		return 0;
	case AF_INET6:
		to->version = 6;
		to->port = ntohs(in6->sin6_port);
		memcpy(to->ip, &in6->sin6_addr, sizeof(to->ip));
		if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
			to->scope = in6->sin6_scope_id;
		return 0;
	default:
		return -EAFNOSUPPORT;
	}
}

void cm_addr_to(const struct cm_addr *from, struct sockaddr_storage *to)
{
	struct sockaddr_in *in = (struct sockaddr_in *)to;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;

	memset(to, 0, sizeof(*to));
	if (from->version == 4) {
		in->sin_family = AF_INET;
		in->sin_port = htons(from->port);
		memcpy(&in->sin_addr, from->ip + CM_IP_AT, sizeof(in->sin_addr));
	} else if (from->version == 6) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(from->port);
		in6->sin6_scope_id = from->scope;
		memcpy(&in6->sin6_addr, from->ip, sizeof(from->ip));
	}
}

struct cm_addr cm_addr_any_of(u8 version)
{
	struct cm_addr a = { .version = version };

	if (version == 4)
		memcpy(a.ip, mapped, sizeof(mapped));
	return a;
}

bool cm_addr_same(const struct cm_addr *a, const struct cm_addr *b)
{
	return a->version == b->version && a->scope == b->scope && !memcmp(a->ip, b->ip, sizeof(a->ip));
}

bool cm_addr_is_any(const struct cm_addr *a)
{
	const struct cm_addr any = cm_addr_any_of(a->version);

	return cm_addr_same(a, &any);
}

void cm_addr_to_here(struct cm_addr *a)
{
	if (!cm_addr_is_any(a))
		return;
	a->ip[15] = 1;
	if (a->version == 4)
		a->ip[CM_IP_AT] = 127;
}

/* The system's, also in a program whose sockets a preloaded library makes into ours. */
static int datagram_socket(const struct cm_addr *a)
{
	return (int)syscall(SYS_socket, a->version == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static socklen_t length(const struct cm_addr *a)
{
	return a->version == 4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

bool cm_addr_is_ours(const struct cm_addr *a)
{
	struct cm_addr no_port = *a;
	struct sockaddr_storage sa;
	int fd = datagram_socket(a);
	bool ours;

	if (fd < 0)
		return false;
	no_port.port = 0;
	cm_addr_to(&no_port, &sa);
	ours = !bind(fd, (const struct sockaddr *)&sa, length(a));
	close(fd);
	return ours;
}

void cm_addr_source(const struct cm_addr *to, struct cm_addr *source)
{
	struct cm_addr with_port = *to;
	struct sockaddr_storage sa;
	socklen_t len = length(to);
	int fd = datagram_socket(to);

	*source = *to;
	if (fd >= 0) {
		with_port.port = to->port ? to->port : 1;
		cm_addr_to(&with_port, &sa);
		if (!connect(fd, (const struct sockaddr *)&sa, len) && !getsockname(fd, (struct sockaddr *)&sa, &len))
			(void)cm_addr_from((const struct sockaddr *)&sa, source);
		close(fd);
	}
	source->port = 0;
}
