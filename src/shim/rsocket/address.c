/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Addresses. A socket of IPv6 also has peers of IPv4, which its program sees as mapped addresses (RFC 4291, 2.5.5.2), and the
 * connection manager as what they are.
 */
#include "rsocket.h"

#include <string.h>

static socklen_t size_of(int family)
{
	return family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

/* Return: 0; EINVAL, EAFNOSUPPORT: it can't be an address of the socket's kind */
static int check(const struct rsock *rs, const struct sockaddr *addr, socklen_t len)
{
	if (!addr || len < sizeof(struct sockaddr_in))
		return EINVAL;
	if (addr->sa_family != rs->domain)
		return EAFNOSUPPORT;
	return len < size_of(rs->domain) ? EINVAL : 0;
}

bool rs_same_address(const struct sockaddr_in6 *a, const struct sockaddr_in6 *b)
{
	const struct sockaddr_in *a4 = (const struct sockaddr_in *)a, *b4 = (const struct sockaddr_in *)b;

	if (a->sin6_family != b->sin6_family || a->sin6_port != b->sin6_port)
		return false;
	if (a->sin6_family == AF_INET)
		return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return !memcmp(&a->sin6_addr, &b->sin6_addr, sizeof(a->sin6_addr)) && a->sin6_scope_id == b->sin6_scope_id;
}

int rs_take_address(const struct rsock *rs, const struct sockaddr *from, socklen_t len, struct sockaddr_in6 *to)
{
	struct sockaddr_in *to4 = (struct sockaddr_in *)to;
	struct sockaddr_in6 from6 = { 0 };
	int err = check(rs, from, len);

	if (err)
		return err;
	memcpy(&from6, from, size_of(rs->domain));
	if (rs->domain == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&from6.sin6_addr)) {
		memset(to, 0, sizeof(*to));
		to4->sin_family = AF_INET;
		to4->sin_port = from6.sin6_port;
		memcpy(&to4->sin_addr, &from6.sin6_addr.s6_addr[12], sizeof(to4->sin_addr));
		return 0;
	}
	*to = from6;
	return 0;
}

int rs_give_address(const struct rsock *rs, const struct sockaddr *from, struct sockaddr *to, socklen_t *len)
{
	const struct sockaddr_in *from4 = (const struct sockaddr_in *)from;
	struct sockaddr_in6 is = { 0 };

	if (!to || !len)
		return EFAULT;
	if (rs->domain == AF_INET6 && from->sa_family == AF_INET) {
		is.sin6_family = AF_INET6;
		is.sin6_port = from4->sin_port;
		is.sin6_addr.s6_addr[10] = is.sin6_addr.s6_addr[11] = 0xff;
		memcpy(&is.sin6_addr.s6_addr[12], &from4->sin_addr, sizeof(from4->sin_addr));
	} else {
		memcpy(&is, from, size_of(from->sa_family));
	}
	memcpy(to, &is, RS_MIN(*len, size_of(rs->domain)));
	*len = size_of(rs->domain);
	return 0;
}
