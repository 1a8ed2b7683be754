/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sockets over RDMA, call by call, where they have to do what sockets do. One thread is both ends, as in many programs' own tests. */
#include "shim_cm_fixture.h"

#include <limits.h>
#include <netinet/tcp.h>
#include <rdma/rsocket.h>
#include <sys/time.h>

#define HANG_MS 60000 /* longer than anything takes */
#define BACKLOG 2

static uint16_t port_of(int s)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);

	assert_int_equal(rgetsockname(s, (struct sockaddr *)&sa, &len), 0);
	return ntohs(sa.sin_port);
}

static int bound(int type)
{
	struct sockaddr_storage sa = address("127.0.0.1", 0);
	int s = rsocket(AF_INET, type, 0);

	assert_true(s >= 0);
	assert_int_equal(rbind(s, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return s;
}

static int new_listener(int backlog)
{
	int s = bound(SOCK_STREAM);

	assert_int_equal(rlisten(s, backlog), 0);
	return s;
}

static int connected_to(int l)
{
	struct sockaddr_storage sa = address("127.0.0.1", port_of(l));
	int s = rsocket(AF_INET, SOCK_STREAM, 0);

	assert_true(s >= 0);
	assert_int_equal(rconnect(s, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return s;
}

/* By a call that would have waited for the program to accept. */
static void pair(int s[2])
{
	int l = new_listener(BACKLOG);

	s[0] = connected_to(l);
	s[1] = raccept(l, NULL, NULL);
	assert_true(s[1] >= 0);
	assert_int_equal(rclose(l), 0);
}

static void close_pair(const int s[2])
{
	assert_int_equal(rclose(s[0]), 0);
	assert_int_equal(rclose(s[1]), 0);
}

static short wait_for_events(int s, short events)
{
	struct pollfd p = { .fd = s, .events = events };

	assert_int_equal(rpoll(&p, 1, HANG_MS), 1);
	return p.revents;
}

static short events_now(int s)
{
	struct pollfd p = { .fd = s, .events = POLLIN | POLLOUT | POLLRDHUP };

	assert_true(rpoll(&p, 1, 0) >= 0);
	return p.revents;
}

static int number(int s, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(rgetsockopt(s, level, name, &value, &len), 0);
	assert_int_equal(len, sizeof(value));
	return value;
}

static void connected_before_the_program_accepts(void **state)
{
	int l = new_listener(BACKLOG), s[2], c[2], i;
	struct sockaddr_in who, is;
	socklen_t len;
	char buf[8];

	(void)state;
	assert_int_equal(events_now(l), 0);
	for (i = 0; i < 2; i++) {
		s[i] = connected_to(l);
		assert_int_equal(rsend(s[i], "early", 5, 0), 5);
	}
	assert_int_equal(wait_for_events(l, POLLIN), POLLIN);
	for (i = 0; i < 2; i++) {
		len = sizeof(who);
		c[i] = raccept(l, (struct sockaddr *)&who, &len);
		assert_true(c[i] >= 0);
		len = sizeof(is);
		assert_int_equal(rgetsockname(s[i], (struct sockaddr *)&is, &len), 0);
		assert_memory_equal(&who, &is, sizeof(is));
		assert_int_equal(rrecv(c[i], buf, sizeof(buf), 0), 5);
	}
	assert_int_equal(events_now(l), 0);
	/* Those that nobody takes end with the listener. */
	close_pair(c);
	close_pair(s);
	s[0] = connected_to(l);
	assert_int_equal(rclose(l), 0);
	assert_int_equal(rrecv(s[0], buf, sizeof(buf), 0), 0);
	assert_int_equal(rclose(s[0]), 0);
}

/* More than the backlog: the last ones come in when there is room, as requests wait for that for a while. */
static void a_backlog_that_is_full(void **state)
{
	int l = new_listener(BACKLOG), s[BACKLOG + 1], c, i;
	struct sockaddr_storage sa = address("127.0.0.1", port_of(l));

	(void)state;
	for (i = 0; i < BACKLOG; i++)
		s[i] = connected_to(l);
	s[BACKLOG] = rsocket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(rconnect(s[BACKLOG], (struct sockaddr *)&sa, sizeof(sa)), -1);
	assert_int_equal(errno, EINPROGRESS);
	for (i = 0; i <= BACKLOG; i++) {
		c = raccept(l, NULL, NULL);
		assert_true(c >= 0);
		assert_int_equal(wait_for_events(s[i], POLLOUT), POLLOUT);
		assert_int_equal(rclose(c), 0);
		assert_int_equal(rclose(s[i]), 0);
	}
	/* Fewer than none are as many as there may be. */
	assert_int_equal(rlisten(l, -1), 0);
	for (i = 0; i <= BACKLOG; i++)
		s[i] = connected_to(l);
	for (i = 0; i <= BACKLOG; i++)
		assert_int_equal(rclose(s[i]), 0);
	assert_int_equal(rclose(l), 0);
}

static void a_connection_that_is_told_later(void **state)
{
	int l = new_listener(BACKLOG), s = rsocket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_storage sa = address("127.0.0.1", port_of(l));

	(void)state;
	assert_int_equal(rconnect(s, (struct sockaddr *)&sa, sizeof(sa)), -1);
	assert_int_equal(errno, EINPROGRESS);
	assert_int_equal(wait_for_events(s, POLLOUT), POLLOUT);
	assert_int_equal(number(s, SOL_SOCKET, SO_ERROR), 0);
	/* One call says that it went well, each further one that there is a connection. */
	assert_int_equal(rconnect(s, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(rconnect(s, (struct sockaddr *)&sa, sizeof(sa)), -1);
	assert_int_equal(errno, EISCONN);
	assert_int_equal(rclose(s), 0);
	assert_int_equal(rclose(l), 0);
}

static void a_datagram_to_oneself(void **state)
{
	int from = rsocket(AF_INET, SOCK_DGRAM, 0), to = bound(SOCK_DGRAM);
	struct sockaddr_storage sa = address("127.0.0.1", port_of(to));
	char buf[8];

	(void)state;
	/* The first to that address, whose owner is in no call. */
	assert_int_equal(rsendto(from, "word", 4, 0, (struct sockaddr *)&sa, sizeof(sa)), 4);
	assert_int_equal(wait_for_events(to, POLLIN), POLLIN);
	assert_int_equal(rrecv(to, buf, 2, MSG_PEEK | MSG_TRUNC), 4);
	assert_int_equal(rrecv(to, buf, 2, 0), 2);
	assert_int_equal(rrecv(to, buf, 2, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	close_pair((int[]){ from, to });
}

/* Of a socket of IPv6 that is bound to an address of IPv4, as Java's are */
static void a_mapped_address(void **state)
{
	struct sockaddr_storage sa = address("::ffff:127.0.0.1", 0);
	struct sockaddr_in6 is, peer;
	socklen_t len = sizeof(is);
	int l = rsocket(AF_INET6, SOCK_STREAM, 0), s[2];

	(void)state;
	assert_int_equal(rbind(l, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(rlisten(l, BACKLOG), 0);
	assert_int_equal(rgetsockname(l, (struct sockaddr *)&is, &len), 0);
	assert_int_equal(is.sin6_family, AF_INET6);
	assert_true(IN6_IS_ADDR_V4MAPPED(&is.sin6_addr));
	s[0] = rsocket(AF_INET6, SOCK_STREAM, 0);
	assert_int_equal(rconnect(s[0], (struct sockaddr *)&is, sizeof(is)), 0);
	s[1] = raccept(l, (struct sockaddr *)&peer, &len);
	assert_true(s[1] >= 0);
	assert_true(IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr));
	close_pair(s);
	s[0] = connected_to(l); /* of IPv4 */
	assert_int_equal(rclose(s[0]), 0);
	assert_int_equal(rclose(l), 0);
}

static void set_timeout(int s, int name, suseconds_t us)
{
	const struct timeval set = { .tv_usec = us };
	struct timeval is = { .tv_sec = 9 };
	socklen_t len = sizeof(is);

	assert_int_equal(rsetsockopt(s, SOL_SOCKET, name, &set, sizeof(set)), 0);
	assert_int_equal(rgetsockopt(s, SOL_SOCKET, name, &is, &len), 0);
	assert_int_equal(len, sizeof(is));
	assert_memory_equal(&is, &set, sizeof(is));
}

static void refuses_timeout(int s, struct timeval tv, int err)
{
	assert_int_equal(rsetsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), -1);
	assert_int_equal(errno, err);
}

static void timeouts(void **state)
{
	int l = new_listener(BACKLOG), d = bound(SOCK_DGRAM), s[2];
	static char buf[1 << 20];
	ssize_t n;

	(void)state;
	set_timeout(l, SO_RCVTIMEO, 20000);
	assert_int_equal(raccept(l, NULL, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	set_timeout(d, SO_RCVTIMEO, 20000);
	assert_int_equal(rrecv(d, buf, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
	close_pair((int[]){ l, d });
	pair(s);
	set_timeout(s[0], SO_RCVTIMEO, 20000);
	set_timeout(s[0], SO_SNDTIMEO, 20000);
	assert_int_equal(rrecv(s[0], buf, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(rsend(s[1], "abc", 3, 0), 3);
	assert_int_equal(rrecv(s[0], buf, 8, MSG_WAITALL), 3);
	do
		n = rsend(s[0], buf, sizeof(buf), 0);
	while (n > 0);
	assert_int_equal(errno, EAGAIN);
	set_timeout(s[0], SO_RCVTIMEO, 0);
	refuses_timeout(s[0], (struct timeval){ .tv_usec = 1000000 }, EDOM);
	refuses_timeout(s[0], (struct timeval){ .tv_usec = -1 }, EDOM);
	close_pair(s);
}

static void flags(void **state)
{
	char buf[8] = "........";
	int s[2];

	(void)state;
	pair(s);
	assert_int_equal(rsend(s[0], "abcdef", 6, MSG_DONTROUTE | MSG_EOR | MSG_MORE), 6);
	assert_int_equal(rrecv(s[1], buf, 6, MSG_PEEK | MSG_WAITALL), 6);
	assert_memory_equal(buf, "abcdef", 6);
	assert_int_equal(rrecv(s[1], NULL, INT_MAX, MSG_PEEK | MSG_TRUNC), 6);
	assert_int_equal(rrecv(s[1], NULL, 2, MSG_TRUNC), 2); /* they are thrown away */
	assert_int_equal(rrecv(s[1], buf, 8, 0), 4);
	assert_memory_equal(buf, "cdef", 4);
	assert_int_equal(rrecv(s[1], buf, 8, MSG_ERRQUEUE), -1);
	assert_int_equal(errno, EAGAIN);
	close_pair(s);
}

static void too_many_buffers(void **state)
{
	static struct iovec iov[IOV_MAX + 1];
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = IOV_MAX + 1 };
	int s[2];

	(void)state;
	pair(s);
	assert_int_equal(rwritev(s[0], iov, IOV_MAX + 1), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(rreadv(s[0], iov, IOV_MAX + 1), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(rsendmsg(s[0], &m, 0), -1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(rwritev(s[0], iov, IOV_MAX), 0);
	close_pair(s);
}

/* A peer that closes says that it sends no more. Who sends all the same learns that nobody is there. */
static void a_peer_that_closes(void **state)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	int s[2];
	char c;

	(void)state;
	pair(s);
	assert_int_equal(rsend(s[0], "l", 1, 0), 1);
	assert_int_equal(rclose(s[0]), 0);
	assert_int_equal(wait_for_events(s[1], POLLRDHUP), POLLRDHUP);
	assert_int_equal(events_now(s[1]), POLLIN | POLLOUT | POLLRDHUP);
	assert_int_equal(rrecv(s[1], &c, 1, 0), 1);
	assert_int_equal(rrecv(s[1], &c, 1, 0), 0);
	assert_int_equal(rgetpeername(s[1], (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(rsend(s[1], "x", 1, 0), -1);
	assert_int_equal(errno, EPIPE);
	assert_true(events_now(s[1]) & POLLHUP);
	assert_int_equal(rgetpeername(s[1], (struct sockaddr *)&sa, &len), -1);
	assert_int_equal(errno, ENOTCONN);
	assert_int_equal(rclose(s[1]), 0);
	/* And who sends no more, either, has hung up. */
	pair(s);
	assert_int_equal(rclose(s[0]), 0);
	assert_int_equal(wait_for_events(s[1], POLLRDHUP), POLLRDHUP);
	assert_int_equal(rshutdown(s[1], SHUT_WR), 0);
	assert_true(events_now(s[1]) & POLLHUP);
	assert_int_equal(rclose(s[1]), 0);
}

static void refuses(int s, int name, int value)
{
	assert_int_equal(rsetsockopt(s, IPPROTO_TCP, name, &value, sizeof(value)), -1);
	assert_int_equal(errno, EINVAL);
}

static void options_read_back(void **state)
{
	int s = rsocket(AF_INET, SOCK_STREAM, 0), value = 7, cut = 0x7f7f7f7f;
	socklen_t len = 1;

	(void)state;
	assert_int_equal(number(s, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
	assert_int_equal(number(s, IPPROTO_TCP, TCP_KEEPIDLE), 7200);
	assert_int_equal(rsetsockopt(s, IPPROTO_TCP, TCP_KEEPCNT, &value, sizeof(value)), 0);
	assert_int_equal(number(s, IPPROTO_TCP, TCP_KEEPCNT), 7);
	assert_int_equal(rsetsockopt(s, IPPROTO_TCP, TCP_KEEPINTVL, &value, sizeof(value)), 0);
	assert_int_equal(number(s, IPPROTO_TCP, TCP_KEEPINTVL), 7);
	refuses(s, TCP_KEEPIDLE, 32768);
	refuses(s, TCP_KEEPINTVL, 0);
	refuses(s, TCP_KEEPCNT, 128);
	/* Of a value as much as there is room for. */
	assert_int_equal(rgetsockopt(s, SOL_SOCKET, SO_TYPE, &cut, &len), 0);
	assert_int_equal(len, 1);
	value = 0x7f7f7f7f;
	*(char *)&value = SOCK_STREAM;
	assert_int_equal(cut, value);
	len = sizeof(value);
	assert_int_equal(rgetsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &value, &len), -1);
	assert_int_equal(errno, ENOPROTOOPT);
	assert_int_equal(rclose(s), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connected_before_the_program_accepts),
		cmocka_unit_test(a_backlog_that_is_full),
		cmocka_unit_test(a_connection_that_is_told_later),
		cmocka_unit_test(a_datagram_to_oneself),
		cmocka_unit_test(a_mapped_address),
		cmocka_unit_test(timeouts),
		cmocka_unit_test(flags),
		cmocka_unit_test(too_many_buffers),
		cmocka_unit_test(a_peer_that_closes),
		cmocka_unit_test(options_read_back),
	};

	return cmocka_run_group_tests(tests, make_fabric, remove_fabric);
}
