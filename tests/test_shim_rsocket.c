/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sockets over RDMA: streams and datagrams, in one process with one thread or several, and with a peer that is killed. */
#include "shim_cm_fixture.h"

#include <netinet/tcp.h>
#include <rdma/rsocket.h>
#include <sys/time.h>

/* Peers are forked from a process that has threads by then. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}

#define HANG_MS 60000 /* longer than anything takes */
#define SIGNALS 20
#define RETURNS 200 /* of a peer that goes */

/* --- connections --- */

static socklen_t size_of(const struct sockaddr_storage *sa)
{
	return sa->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static uint16_t port_of(int s)
{
	struct sockaddr_in6 sa;
	socklen_t len = sizeof(sa);

	assert_int_equal(rgetsockname(s, (struct sockaddr *)&sa, &len), 0);
	return ntohs(sa.sin6_port);
}

static int new_listener(const char *ip, uint16_t *port)
{
	struct sockaddr_storage sa = address(ip, 0);
	int s = rsocket(sa.ss_family, SOCK_STREAM, 0);

	assert_true(s >= 0);
	assert_int_equal(rbind(s, (struct sockaddr *)&sa, size_of(&sa)), 0);
	assert_int_equal(rlisten(s, 8), 0);
	*port = port_of(s);
	assert_int_not_equal(*port, 0);
	return s;
}

static short wait_for_events(int s, short events)
{
	struct pollfd p = { .fd = s, .events = events };

	assert_int_equal(rpoll(&p, 1, HANG_MS), 1);
	return p.revents;
}

static short events_now(int s)
{
	struct pollfd p = { .fd = s, .events = POLLIN | POLLOUT };

	assert_true(rpoll(&p, 1, 0) >= 0);
	return p.revents;
}

static int last_error(int s)
{
	int err = -1;
	socklen_t len = sizeof(err);

	assert_int_equal(rgetsockopt(s, SOL_SOCKET, SO_ERROR, &err, &len), 0);
	return err;
}

static int begin_connect(const char *ip, uint16_t port)
{
	struct sockaddr_storage sa = address(ip, port);
	int s = rsocket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_true(s >= 0);
	assert_int_equal(rconnect(s, (struct sockaddr *)&sa, size_of(&sa)), -1);
	assert_int_equal(errno, EINPROGRESS);
	return s;
}

/* Both ends, blocking. @bytes: of the buffers, @depth: of the queues; 0: what there is. */
static void connect_pair(int s[2], const char *ip, int bytes, int depth)
{
	struct sockaddr_storage sa;
	uint16_t port;
	int l = new_listener(ip, &port);

	s[0] = rsocket(address(ip, 0).ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (bytes) {
		assert_int_equal(rsetsockopt(l, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
		assert_int_equal(rsetsockopt(l, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
		assert_int_equal(rsetsockopt(s[0], SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
		assert_int_equal(rsetsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
	}
	if (depth) {
		assert_int_equal(rsetsockopt(l, SOL_RDMA, RDMA_SQSIZE, &depth, sizeof(depth)), 0);
		assert_int_equal(rsetsockopt(l, SOL_RDMA, RDMA_RQSIZE, &depth, sizeof(depth)), 0);
		assert_int_equal(rsetsockopt(s[0], SOL_RDMA, RDMA_SQSIZE, &depth, sizeof(depth)), 0);
		assert_int_equal(rsetsockopt(s[0], SOL_RDMA, RDMA_RQSIZE, &depth, sizeof(depth)), 0);
	}
	sa = address(ip, port);
	assert_int_equal(rconnect(s[0], (struct sockaddr *)&sa, size_of(&sa)), -1);
	assert_int_equal(errno, EINPROGRESS);
	s[1] = raccept(l, NULL, NULL);
	assert_true(s[1] >= 0);
	assert_int_equal(wait_for_events(s[0], POLLOUT), POLLOUT);
	assert_int_equal(last_error(s[0]), 0);
	assert_int_equal(rfcntl(s[0], F_SETFL, 0), 0);
	assert_int_equal(wait_for_events(s[1], POLLOUT), POLLOUT);
	assert_int_equal(rclose(l), 0);
}

static void close_pair(const int s[2])
{
	assert_int_equal(rclose(s[0]), 0);
	assert_int_equal(rclose(s[1]), 0);
}

/* --- one thread --- */

static void arguments(void **state)
{
	struct sockaddr_storage sa = address("127.0.0.1", 0);
	int s = rsocket(AF_INET, SOCK_STREAM, 0), line[2], value = 0;
	socklen_t len = sizeof(value);
	char c;

	(void)state;
	assert_true(s >= 0);
	assert_true(fcntl(s, F_GETFD) >= 0);
	assert_int_equal(rsocket(AF_UNIX, SOCK_STREAM, 0), -1);
	assert_int_equal(errno, EAFNOSUPPORT);
	assert_int_equal(rsocket(AF_INET, SOCK_RAW, 0), -1);
	assert_int_equal(errno, EPROTONOSUPPORT);
	assert_int_equal(rrecv(s, &c, 1, 0), -1);
	assert_int_equal(errno, ENOTCONN);
	assert_int_equal(rsend(s, &c, 1, 0), -1);
	assert_int_equal(errno, ENOTCONN);
	assert_int_equal(rshutdown(s, SHUT_WR), -1);
	assert_int_equal(errno, ENOTCONN);
	assert_int_equal(rbind(s, (struct sockaddr *)&sa, 2), -1);
	assert_int_equal(errno, EINVAL);
	/* A descriptor that isn't a socket's. */
	assert_int_equal(pipe(line), 0);
	assert_int_equal(rsend(line[1], &c, 1, 0), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(rclose(line[0]), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(rsetsockopt(s, SOL_SOCKET, 9999, &value, len), -1);
	assert_int_equal(errno, ENOPROTOOPT);
	value = 5000;
	assert_int_equal(rsetsockopt(s, SOL_SOCKET, SO_RCVBUF, &value, len), 0);
	value = 0;
	assert_int_equal(rgetsockopt(s, SOL_SOCKET, SO_RCVBUF, &value, &len), 0);
	assert_int_equal(value, 5000);
	value = 1;
	assert_int_equal(rsetsockopt(s, IPPROTO_TCP, TCP_NODELAY, &value, len), 0);
	assert_int_equal(rfcntl(s, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(rfcntl(s, F_GETFL), O_RDWR | O_NONBLOCK);
	close(line[0]);
	close(line[1]);
	assert_int_equal(rclose(s), 0);
	assert_int_equal(rclose(s), -1);
	assert_int_equal(errno, EBADF);
}

static void nobody_listens(void **state)
{
	struct sockaddr_storage sa = address("127.0.0.1", 9), far = address("192.0.2.1", 9);
	int s = rsocket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(rconnect(s, (struct sockaddr *)&sa, size_of(&sa)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	assert_int_equal(rclose(s), 0);
	/* The answer may be there at once. */
	s = rsocket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(rconnect(s, (struct sockaddr *)&sa, size_of(&sa)), -1);
	if (errno != ECONNREFUSED) {
		assert_int_equal(errno, EINPROGRESS);
		assert_true(wait_for_events(s, POLLOUT) & POLLERR);
		assert_int_equal(last_error(s), ECONNREFUSED);
	}
	assert_int_equal(last_error(s), 0);
	assert_int_equal(rclose(s), 0);
	s = rsocket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(rconnect(s, (struct sockaddr *)&far, size_of(&far)), -1);
	assert_true(errno == EHOSTUNREACH || errno == ETIMEDOUT || errno == ENETUNREACH);
	assert_int_equal(rclose(s), 0);
}

static void names_of(const char *ip)
{
	struct sockaddr_storage a = { 0 }, b = { 0 };
	socklen_t la = sizeof(a), lb = sizeof(b);
	int s[2], i;

	connect_pair(s, ip, 0, 0);
	for (i = 0; i < 2; i++) {
		la = lb = sizeof(a);
		assert_int_equal(rgetsockname(s[i], (struct sockaddr *)&a, &la), 0);
		assert_int_equal(rgetpeername(s[1 - i], (struct sockaddr *)&b, &lb), 0);
		assert_int_equal(la, lb);
		assert_memory_equal(&a, &b, la);
	}
	close_pair(s);
}

static void names(void **state)
{
	(void)state;
	names_of("127.0.0.1");
	names_of("::1");
}

static void parts_of_what_was_sent(void **state)
{
	struct iovec iov[3];
	char buf[16] = { 0 }, a[2], b[3];
	int s[2];

	(void)state;
	connect_pair(s, "127.0.0.1", 0, 0);
	assert_int_equal(rrecv(s[1], buf, sizeof(buf), MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(events_now(s[1]), POLLOUT);
	assert_int_equal(rsend(s[0], "", 0, 0), 0);
	assert_int_equal(rwrite(s[0], "hello, ", 7), 7);
	assert_int_equal(rwrite(s[0], "world", 5), 5);
	assert_int_equal(rrecv(s[1], buf, 3, 0), 3);
	assert_memory_equal(buf, "hel", 3);
	assert_int_equal(rrecv(s[1], buf, 9, MSG_WAITALL), 9);
	assert_memory_equal(buf, "lo, world", 9);
	iov[0] = (struct iovec){ "ab", 2 };
	iov[1] = (struct iovec){ NULL, 0 };
	iov[2] = (struct iovec){ "cde", 3 };
	assert_int_equal(rwritev(s[1], iov, 3), 5);
	assert_int_equal(rrecv(s[0], buf, sizeof(buf), MSG_PEEK), 5);
	assert_memory_equal(buf, "abcde", 5);
	iov[0] = (struct iovec){ a, 2 };
	iov[2] = (struct iovec){ b, 3 };
	assert_int_equal(rreadv(s[0], iov, 3), 5);
	assert_memory_equal(a, "ab", 2);
	assert_memory_equal(b, "cde", 3);
	assert_int_equal(rrecv(s[0], buf, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(rsend(s[0], "x", 1, MSG_OOB), -1);
	assert_int_equal(errno, EOPNOTSUPP);
	close_pair(s);
}

/* Until it is full, and empty again; more than once around the ring. */
static void full_and_empty(void **state)
{
	uint8_t out[777], in[1000];
	uint32_t sent = 0, got = 0, i;
	ssize_t n, k;
	int s[2], round;

	(void)state;
	connect_pair(s, "127.0.0.1", 8192, 16);
	for (round = 0; round < 20; round++) {
		do {
			for (i = 0; i < sizeof(out); i++)
				out[i] = (uint8_t)((sent + i) * 31 >> 3);
			n = rsend(s[0], out, (size_t)(1 + (sent + (uint32_t)round) % sizeof(out)), MSG_DONTWAIT);
			sent += n > 0 ? (uint32_t)n : 0;
		} while (n > 0);
		assert_int_equal(errno, EAGAIN);
		assert_int_equal(events_now(s[0]) & POLLOUT, 0);
		while (got != sent) {
			n = rrecv(s[1], in, sizeof(in), 0);
			assert_true(n > 0);
			for (k = 0; k < n; k++, got++)
				assert_int_equal(in[k], (uint8_t)(got * 31 >> 3));
		}
		assert_int_equal(wait_for_events(s[0], POLLOUT), POLLOUT);
	}
	close_pair(s);
}

static void halves(void **state)
{
	char c = 0;
	int s[2];

	(void)state;
	connect_pair(s, "127.0.0.1", 0, 0);
	assert_int_equal(rsend(s[0], "a", 1, 0), 1);
	assert_int_equal(rshutdown(s[0], SHUT_WR), 0);
	assert_int_equal(rsend(s[0], "b", 1, 0), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(rrecv(s[1], &c, 1, 0), 1);
	assert_int_equal(c, 'a');
	assert_int_equal(rrecv(s[1], &c, 1, 0), 0);
	assert_int_equal(rrecv(s[1], &c, 1, 0), 0);
	/* The other direction goes on. */
	assert_int_equal(rsend(s[1], "c", 1, 0), 1);
	assert_int_equal(rrecv(s[0], &c, 1, 0), 1);
	assert_int_equal(c, 'c');
	assert_int_equal(rshutdown(s[0], SHUT_RD), 0);
	assert_int_equal(rrecv(s[0], &c, 1, 0), 0);
	close_pair(s);
}

static void the_peer_closes(void **state)
{
	char buf[8];
	int s[2];

	(void)state;
	connect_pair(s, "127.0.0.1", 0, 0);
	assert_int_equal(rsend(s[0], "last", 4, 0), 4);
	assert_int_equal(rclose(s[0]), 0);
	assert_true(wait_for_events(s[1], POLLIN) & POLLIN);
	assert_int_equal(rrecv(s[1], buf, sizeof(buf), 0), 4);
	assert_int_equal(rrecv(s[1], buf, sizeof(buf), 0), 0);
	assert_int_equal(rsend(s[1], "x", 1, 0), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(rclose(s[1]), 0);
}

static void a_backlog(void **state)
{
	uint16_t port;
	int l = new_listener("127.0.0.1", &port), c[3], s[3], i;
	char got;

	(void)state;
	assert_int_equal(rfcntl(l, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(raccept(l, NULL, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	for (i = 0; i < 3; i++)
		c[i] = begin_connect("127.0.0.1", port);
	for (i = 0; i < 3; i++) {
		assert_int_equal(wait_for_events(l, POLLIN), POLLIN);
		s[i] = raccept(l, NULL, NULL);
		assert_true(s[i] >= 0);
	}
	assert_int_equal(rclose(l), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(wait_for_events(c[i], POLLOUT), POLLOUT);
		assert_int_equal(rsend(c[i], "0", 1, 0), 1);
	}
	for (i = 0; i < 3; i++) {
		assert_int_equal(rrecv(s[i], &got, 1, 0), 1);
		assert_int_equal(rclose(s[i]), 0);
		assert_int_equal(rclose(c[i]), 0);
	}
}

static void memory_for_the_peer(void **state)
{
	static uint8_t a[100000], b[100000], from[100000];
	off_t at, chosen;
	uint32_t i;
	char c;
	int s[2];

	(void)state;
	for (i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i * 7 >> 2);
	connect_pair(s, "127.0.0.1", 0, 0);
	at = riomap(s[1], a, sizeof(a), PROT_WRITE, 0, 4096);
	assert_int_equal(at, 4096);
	chosen = riomap(s[1], b, sizeof(b), PROT_WRITE, 0, -1);
	assert_true(chosen != -1);
	assert_int_equal(riomap(s[1], from, 10, PROT_WRITE, 0, 5000), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(riomap(s[0], from, sizeof(from), PROT_NONE, 0, -1) != -1, 1);
	assert_int_equal(rsend(s[1], "m", 1, 0), 1);
	assert_int_equal(rrecv(s[0], &c, 1, 0), 1);
	assert_int_equal(riowrite(s[0], from, sizeof(from), at, 0), sizeof(from));
	assert_int_equal(riowrite(s[0], from + 10, 5, chosen + 99990, 0), 5);
	/* It ends where the buffer does. */
	assert_int_equal(riowrite(s[0], from, 10, at + (off_t)sizeof(a) - 4, 0), 4);
	assert_true(riowrite(s[0], from, 10, 0, 0) == (size_t)-1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(rsend(s[0], "d", 1, 0), 1);
	assert_int_equal(rrecv(s[1], &c, 1, 0), 1);
	assert_memory_equal(a, from, sizeof(a) - 4);
	assert_memory_equal(a + sizeof(a) - 4, from, 4);
	assert_memory_equal(b + 99990, from + 10, 5);
	assert_int_equal(riounmap(s[1], a, sizeof(a)), 0);
	assert_int_equal(riounmap(s[1], a, sizeof(a)), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(rsend(s[1], "u", 1, 0), 1);
	assert_int_equal(rrecv(s[0], &c, 1, 0), 1);
	assert_true(riowrite(s[0], from, 1, at, 0) == (size_t)-1);
	close_pair(s);
}

/* --- several threads --- */

#define STREAM (1u << 20)

struct way {
	int s;
	uint32_t seed;
	bool bad;
};

static uint32_t chance(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Byte @at of a direction's stream */
static uint8_t byte_of(uint32_t at)
{
	return (uint8_t)((at ^ at >> 8 ^ at >> 16) * 167);
}

static void *send_stream(void *arg)
{
	struct way *w = arg;
	static __thread uint8_t buf[70000];
	uint32_t at = 0, n, i;
	ssize_t done;

	while (at < STREAM && !w->bad) {
		n = 1 + chance(&w->seed) % (chance(&w->seed) % 4 ? 300 : sizeof(buf));
		n = n < STREAM - at ? n : STREAM - at;
		for (i = 0; i < n; i++)
			buf[i] = byte_of(at + i);
		done = rsend(w->s, buf, n, 0);
		w->bad |= done != (ssize_t)n;
		at += n;
	}
	return NULL;
}

static void *recv_stream(void *arg)
{
	struct way *w = arg;
	static __thread uint8_t buf[70000];
	uint32_t at = 0, i;
	ssize_t n;

	while (at < STREAM && !w->bad) {
		n = rrecv(w->s, buf, 1 + chance(&w->seed) % sizeof(buf), 0);
		if (n <= 0)
			w->bad = true;
		for (i = 0; n > 0 && i < (uint32_t)n; i++)
			w->bad |= buf[i] != byte_of(at + i);
		at += n > 0 ? (uint32_t)n : 0;
	}
	return NULL;
}

static void both_ways_at_once(void **state)
{
	static const struct {
		int bytes, depth;
	} with[] = { { 0, 0 }, { 4096, 16 }, { 50000, 64 } };
	struct way w[4];
	pthread_t t[4];
	uint32_t i, k;
	int s[2];

	(void)state;
	for (k = 0; k < 3; k++) {
		connect_pair(s, k % 2 ? "::1" : "127.0.0.1", with[k].bytes, with[k].depth);
		for (i = 0; i < 4; i++) {
			w[i] = (struct way){ .s = s[i / 2], .seed = 10 * k + i };
			assert_int_equal(pthread_create(&t[i], NULL, i % 2 ? recv_stream : send_stream, &w[i]), 0);
		}
		for (i = 0; i < 4; i++) {
			assert_int_equal(pthread_join(t[i], NULL), 0);
			assert_false(w[i].bad);
		}
		close_pair(s);
	}
}

struct later {
	int fd;
	bool socket;
};

static void *write_later(void *arg)
{
	const struct later *l = arg;

	if (l->socket)
		assert_int_equal(rsend(l->fd, "x", 1, 0), 1);
	else
		assert_int_equal(write(l->fd, "x", 1), 1);
	return NULL;
}

static void sockets_among_other_descriptors(void **state)
{
	struct pollfd p[3];
	struct later l;
	fd_set in;
	pthread_t t;
	int s[2], line[2], round;
	char c;

	(void)state;
	connect_pair(s, "127.0.0.1", 0, 0);
	assert_int_equal(pipe(line), 0);
	for (round = 0; round < 40; round++) {
		l = (struct later){ .fd = round % 2 ? s[0] : line[1], .socket = round % 2 };
		p[0] = (struct pollfd){ .fd = s[1], .events = POLLIN };
		p[1] = (struct pollfd){ .fd = -1, .events = POLLIN };
		p[2] = (struct pollfd){ .fd = line[0], .events = POLLIN };
		assert_int_equal(rpoll(p, 3, 0), 0);
		assert_int_equal(pthread_create(&t, NULL, write_later, &l), 0);
		if (round % 4 < 2) {
			assert_int_equal(rpoll(p, 3, HANG_MS), 1);
			assert_int_equal(p[0].revents, round % 2 ? POLLIN : 0);
			assert_int_equal(p[2].revents, round % 2 ? 0 : POLLIN);
		} else {
			FD_ZERO(&in);
			FD_SET(s[1], &in);
			FD_SET(line[0], &in);
			assert_int_equal(rselect((s[1] > line[0] ? s[1] : line[0]) + 1, &in, NULL, NULL, NULL), 1);
			assert_int_equal(!!FD_ISSET(s[1], &in), round % 2);
			assert_int_equal(!!FD_ISSET(line[0], &in), !(round % 2));
		}
		assert_int_equal(pthread_join(t, NULL), 0);
		assert_int_equal(round % 2 ? rread(s[1], &c, 1) : read(line[0], &c, 1), 1);
	}
	close(line[0]);
	close(line[1]);
	close_pair(s);
}

static void *wait_for_byte(void *arg)
{
	char c;

	return (void *)(intptr_t)(rrecv(*(int *)arg, &c, 1, 0) < 0 ? errno : 0);
}

static void closed_under_a_thread(void **state)
{
	pthread_t t;
	void *err;
	int s[2];

	(void)state;
	connect_pair(s, "127.0.0.1", 0, 0);
	assert_int_equal(pthread_create(&t, NULL, wait_for_byte, &s[0]), 0);
	/* Whether it waits already or not, it gets the same answer. */
	assert_int_equal(rclose(s[0]), 0);
	assert_int_equal(pthread_join(t, &err), 0);
	assert_true((intptr_t)err == EBADF || (intptr_t)err == 0);
	assert_int_equal(rclose(s[1]), 0);
}

/* --- datagrams --- */

static int signals, closed; /* atomic */

static void count_signal(int unused)
{
	(void)unused;
	__atomic_fetch_add(&signals, 1, __ATOMIC_SEQ_CST);
}

/* Signals come to this thread alone. */
static void *close_under_signals(void *arg)
{
	sigset_t set;
	intptr_t result;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	result = rclose(*(int *)arg);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	__atomic_store_n(&closed, 1, __ATOMIC_SEQ_CST);
	return (void *)result;
}

static void send_signals(suseconds_t every)
{
	const struct itimerval timer = { .it_interval.tv_usec = every, .it_value.tv_usec = every };

	assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

/* What is closed waits for its peer, which hasn't seen yet that it was accepted. */
static void signals_dont_cut_a_close_short(void **state)
{
	const struct sigaction count = { .sa_handler = count_signal };
	const struct linger linger = { .l_onoff = 1, .l_linger = 1000 };
	uint16_t port;
	int l = new_listener("127.0.0.1", &port), before[2], s[2];
	sigset_t set, old;
	pthread_t t;
	void *result;
	char c;

	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
	assert_int_equal(sigaction(SIGALRM, &count, NULL), 0);
	/* While another one takes up the backlog it can't be accepted, so its call doesn't see that it was. */
	assert_int_equal(rlisten(l, 1), 0);
	before[0] = begin_connect("127.0.0.1", port);
	assert_int_equal(wait_for_events(l, POLLIN), POLLIN);
	s[0] = begin_connect("127.0.0.1", port);
	before[1] = raccept(l, NULL, NULL);
	assert_true(before[1] >= 0);
	s[1] = raccept(l, NULL, NULL);
	assert_true(s[1] >= 0);
	close_pair(before);
	assert_int_equal(rsetsockopt(s[1], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	send_signals(1000);
	assert_int_equal(pthread_create(&t, NULL, close_under_signals, &s[1]), 0);
	while (__atomic_load_n(&signals, __ATOMIC_SEQ_CST) < SIGNALS && !__atomic_load_n(&closed, __ATOMIC_SEQ_CST))
		sched_yield();
	assert_false(__atomic_load_n(&closed, __ATOMIC_SEQ_CST));
	assert_true(wait_for_events(s[0], POLLIN) & POLLIN);
	assert_int_equal(last_error(s[0]), 0);
	assert_int_equal(rrecv(s[0], &c, 1, 0), 0);
	assert_int_equal(pthread_join(t, &result), 0);
	assert_null(result);
	send_signals(0);
	assert_true(signal(SIGALRM, SIG_IGN) != SIG_ERR);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
	assert_int_equal(rclose(s[0]), 0);
	assert_int_equal(rclose(l), 0);
}

static void *echo(void *arg)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	char buf[64];
	ssize_t n = rrecvfrom(*(int *)arg, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);

	return (void *)(intptr_t)(n > 0 && rsendto(*(int *)arg, buf, (size_t)n, 0, (struct sockaddr *)&from, len) == n);
}

static void datagrams_of(const char *ip)
{
	static char large[5000];
	struct sockaddr_storage sa = address(ip, 0), to = { 0 }, from = { 0 };
	socklen_t len = sizeof(to), is = sizeof(from);
	int s[2], i;
	char buf[64];
	pthread_t t;
	void *good;

	for (i = 0; i < 2; i++) {
		s[i] = rsocket(sa.ss_family, SOCK_DGRAM, 0);
		assert_true(s[i] >= 0);
		assert_int_equal(rbind(s[i], (struct sockaddr *)&sa, size_of(&sa)), 0);
	}
	assert_int_equal(rgetsockname(s[1], (struct sockaddr *)&to, &len), 0);
	assert_int_equal(rrecv(s[0], buf, sizeof(buf), MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(rsend(s[0], "x", 1, 0), -1);
	assert_int_equal(errno, EDESTADDRREQ);
	assert_int_equal(rsendto(s[0], large, sizeof(large), 0, (struct sockaddr *)&to, len), -1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(events_now(s[1]), POLLOUT);
	assert_int_equal(pthread_create(&t, NULL, echo, &s[1]), 0);
	assert_int_equal(rsendto(s[0], "hello", 5, 0, (struct sockaddr *)&to, len), 5);
	assert_int_equal(wait_for_events(s[0], POLLIN), POLLIN);
	assert_int_equal(rrecvfrom(s[0], buf, 2, MSG_PEEK | MSG_TRUNC, NULL, NULL), 5);
	assert_int_equal(rrecvfrom(s[0], buf, sizeof(buf), 0, (struct sockaddr *)&from, &is), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(is, len);
	assert_memory_equal(&from, &to, len);
	assert_int_equal(pthread_join(t, &good), 0);
	assert_true(good);
	close_pair(s);
}

static void datagrams(void **state)
{
	(void)state;
	datagrams_of("127.0.0.1");
	datagrams_of("::1");
}

/* A peer that comes and goes, with the same address and another queue pair each time. */
struct guest {
	struct sockaddr_in own, host;
	int gone; /* atomic */
};

static int new_datagrams(const struct sockaddr_in *own)
{
	int s = rsocket(AF_INET, SOCK_DGRAM, 0), depth = 4;

	if (s < 0 || rsetsockopt(s, SOL_RDMA, RDMA_SQSIZE, &depth, sizeof(depth)) ||
	    rsetsockopt(s, SOL_RDMA, RDMA_RQSIZE, &depth, sizeof(depth)) ||
	    rbind(s, (const struct sockaddr *)own, sizeof(*own)))
		return -1;
	return s;
}

static void *come_and_go(void *arg)
{
	struct guest *g = arg;
	const char *failed = NULL;
	int i, s;

	for (i = 0; i < RETURNS && !failed; i++) {
		s = new_datagrams(&g->own);
		if (s < 0)
			failed = "no socket";
		else if (rsendto(s, "back", 4, 0, (struct sockaddr *)&g->host, sizeof(g->host)) != 4)
			failed = "rsendto";
		if (s >= 0 && rclose(s))
			failed = "rclose";
	}
	__atomic_store_n(&g->gone, 1, __ATOMIC_SEQ_CST);
	return (void *)failed;
}

static void a_peer_goes_while_it_is_sent_to(void **state)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct guest g = { .own = any, .host = any };
	int s = new_datagrams(&any), first = new_datagrams(&any);
	pthread_t t;
	void *failed;

	(void)state;
	assert_true(s >= 0 && first >= 0);
	g.host.sin_port = htons(port_of(s));
	g.own.sin_port = htons(port_of(first));
	assert_int_equal(rclose(first), 0);
	/* What comes from there is looked at, and thrown away. */
	assert_int_equal(rconnect(s, (struct sockaddr *)&g.own, sizeof(g.own)), 0);
	assert_int_equal(rshutdown(s, SHUT_RD), 0);
	assert_int_equal(pthread_create(&t, NULL, come_and_go, &g), 0);
	while (!__atomic_load_n(&g.gone, __ATOMIC_SEQ_CST))
		assert_true(rsend(s, "x", 1, MSG_DONTWAIT) == 1 || errno == EAGAIN || errno == ECONNREFUSED);
	assert_int_equal(pthread_join(t, &failed), 0);
	assert_null(failed);
	assert_int_equal(rclose(s), 0);
}

/* --- another process --- */

static void be_peer(uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int s = rsocket(AF_INET, SOCK_STREAM, 0);

	CHECK(s >= 0 && !rconnect(s, (struct sockaddr *)&sa, sizeof(sa)));
	CHECK(rsend(s, "ready", 5, 0) == 5);
	for (;;)
		pause();
}

static void a_peer_is_killed(void **state)
{
	uint16_t port;
	int l = new_listener("127.0.0.1", &port), s;
	char buf[8];
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (!pid) {
		CHECK(!prctl(PR_SET_PDEATHSIG, SIGKILL));
		be_peer(port);
	}
	/* A listener isn't connected. */
	assert_int_equal(rsend(l, buf, 1, 0), -1);
	assert_int_equal(errno, ENOTCONN);
	s = raccept(l, NULL, NULL);
	assert_true(s >= 0);
	assert_int_equal(rrecv(s, buf, 5, MSG_WAITALL), 5);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	/* As of a TCP connection: the end, and then nothing can be sent. */
	assert_int_equal(rrecv(s, buf, 5, 0), 0);
	assert_int_equal(rsend(s, buf, 1, 0), -1);
	assert_int_equal(errno, EPIPE);
	assert_true(events_now(s) & POLLHUP);
	assert_int_equal(rclose(s), 0);
	assert_int_equal(rclose(l), 0);
}

/* A program that never waits in a call of ours. */
static void a_killed_peer_is_seen_without_waiting(void **state)
{
	uint16_t port;
	int l = new_listener("127.0.0.1", &port), s;
	time_t end = time(NULL) + 30;
	char buf[8];
	ssize_t got;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (!pid) {
		CHECK(!prctl(PR_SET_PDEATHSIG, SIGKILL));
		be_peer(port);
	}
	s = raccept(l, NULL, NULL);
	assert_true(s >= 0);
	assert_int_equal(rrecv(s, buf, 5, MSG_WAITALL), 5);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	do
		got = rrecv(s, buf, 5, MSG_DONTWAIT);
	while (got < 0 && errno == EAGAIN && time(NULL) < end);
	assert_int_equal(got, 0);
	assert_int_equal(rclose(s), 0);
	assert_int_equal(rclose(l), 0);
}

static void a_child_closes_its_parents_sockets(void **state)
{
	int s[2], status;
	char c = 0;
	pid_t pid;

	(void)state;
	connect_pair(s, "127.0.0.1", 0, 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		CHECK(rsend(s[0], "x", 1, 0) == -1 && errno == EBADF);
		CHECK(!rclose(s[0]) && !rclose(s[1]));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(rsend(s[0], "y", 1, 0), 1);
	assert_int_equal(rrecv(s[1], &c, 1, 0), 1);
	assert_int_equal(c, 'y');
	close_pair(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments),
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(names),
		cmocka_unit_test(parts_of_what_was_sent),
		cmocka_unit_test(full_and_empty),
		cmocka_unit_test(halves),
		cmocka_unit_test(the_peer_closes),
		cmocka_unit_test(a_backlog),
		cmocka_unit_test(memory_for_the_peer),
		cmocka_unit_test(both_ways_at_once),
		cmocka_unit_test(sockets_among_other_descriptors),
		cmocka_unit_test(closed_under_a_thread),
		cmocka_unit_test(signals_dont_cut_a_close_short),
		cmocka_unit_test(datagrams),
		cmocka_unit_test(a_peer_goes_while_it_is_sent_to),
		cmocka_unit_test(a_peer_is_killed),
		cmocka_unit_test(a_killed_peer_is_seen_without_waiting),
		cmocka_unit_test(a_child_closes_its_parents_sockets),
	};

	return cmocka_run_group_tests(tests, make_fabric, remove_fabric);
}
