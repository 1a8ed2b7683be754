/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The drop-in librdmacm in networks of its own: those of two namespaces don't see each other, though their processes share a fabric, and
 * addresses that an interface alone gives a meaning to. Each namespace is a child's. Where the machine allows a user none, that is said.
 */
#include "shim_cm_fixture.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define NO_NETWORK 77 /* exit status */
#define ANSWER_MS 60000

/* Of the system's: an address for an interface. */
struct interface_address {
	struct in6_addr ip;
	uint32_t prefix;
	int interface;
};

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* Root takes a network; a user takes one as root of a user namespace, where the user keeps the number that the fabric's files have. */
static void own_network(void)
{
	struct ifreq lo = { .ifr_name = "lo" };
	unsigned int uid = geteuid();
	char map[64];
	int fd;

	if (unshare(CLONE_NEWNET)) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
			fprintf(stderr, "# no network namespace of its own: %s\n", strerror(errno));
			_exit(NO_NETWORK);
		}
		snprintf(map, sizeof(map), "%u %u 1", uid, uid);
		write_text("/proc/self/uid_map", map);
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0 && !ioctl(fd, SIOCGIFFLAGS, &lo));
	lo.ifr_flags |= IFF_UP;
	CHECK(!ioctl(fd, SIOCSIFFLAGS, &lo));
	close(fd);
}

/* --- children --- */

/* They say a word on one line and hear one on the other. */
struct child {
	pid_t pid;
	int up[2];
	int down[2];
};

static void say(int fd, uint16_t word)
{
	CHECK(write(fd, &word, sizeof(word)) == sizeof(word));
}

/* Return: it was said */
static bool hear(int fd, uint16_t *word)
{
	return read(fd, word, sizeof(*word)) == sizeof(*word);
}

static void start_child(struct child *c, void (*run)(struct child *c))
{
	assert_int_equal(pipe2(c->up, O_CLOEXEC), 0);
	assert_int_equal(pipe2(c->down, O_CLOEXEC), 0);
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (!c->pid) {
		CHECK(!prctl(PR_SET_PDEATHSIG, SIGKILL));
		CHECK(signal(SIGBUS, SIG_DFL) != SIG_ERR && signal(SIGSEGV, SIG_DFL) != SIG_ERR);
		close(c->up[0]);
		close(c->down[1]);
		run(c);
		_exit(0);
	}
	close(c->up[1]);
	close(c->down[0]);
}

/* Return: its exit status */
static int end_child(struct child *c)
{
	int status;

	close(c->down[1]);
	close(c->up[0]);
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* --- two networks --- */

static void expect_nothing(struct rdma_event_channel *ch)
{
	struct pollfd fd = { .fd = ch->fd, .events = POLLIN };

	CHECK(!poll(&fd, 1, 0));
}

/* Listens, and gets no request until it is told to end. */
static void listen_alone(struct child *c)
{
	struct rdma_event_channel *ch;
	struct rdma_cm_id *l;
	uint16_t word;

	own_network();
	ch = rdma_create_event_channel();
	l = listener(ch, RDMA_PS_TCP, "0.0.0.0", 4);
	say(c->up[1], ntohs(rdma_get_src_port(l)));
	CHECK(!hear(c->down[0], &word));
	expect_nothing(ch);
	CHECK(!rdma_destroy_id(l));
}

static void connect_to_nobody(struct rdma_event_channel *ch, uint16_t port)
{
	struct rdma_conn_param param = { .retry_count = 1 };
	struct rdma_cm_id *id = resolved(ch, RDMA_PS_TCP, "127.0.0.1", htons(port));
	struct pollfd fd = { .fd = ch->fd, .events = POLLIN };

	CHECK(!rdma_connect(id, &param));
	/* If somebody gets the request, there is no answer. */
	CHECK(poll(&fd, 1, ANSWER_MS) == 1);
	CHECK(expect(ch, RDMA_CM_EVENT_REJECTED, NULL) == 8);
	end_id(id);
}

/* Not before the network is there: the library has threads from then on. */
static void make_channels(struct pair *p)
{
	p->ch[0] = rdma_create_event_channel();
	p->ch[1] = rdma_create_event_channel();
	CHECK(p->ch[0] && p->ch[1]);
}

/* The port is nobody's here, and may be had; requests to it are for who has it here. */
static void use_the_same_port(struct child *c)
{
	struct pair p = { .listener = NULL };
	uint16_t port;

	CHECK(hear(c->down[0], &port));
	own_network();
	make_channels(&p);
	connect_to_nobody(p.ch[0], port);
	p.listener = new_id(p.ch[1], RDMA_PS_TCP);
	CHECK(!bind_to(p.listener, "0.0.0.0", port));
	CHECK(!rdma_listen(p.listener, 4));
	p.id[0] = resolved(p.ch[0], RDMA_PS_TCP, "127.0.0.1", htons(port));
	pair_connect(&p);
	say(c->up[1], 1);
	CHECK(!hear(c->down[0], &port));
	pair_end(&p);
}

/* In the network that the test began in. */
static void stay_outside(struct child *c)
{
	uint16_t port;

	CHECK(hear(c->down[0], &port));
	connect_to_nobody(rdma_create_event_channel(), port);
}

static void two_networks_do_not_see_each_other(void **state)
{
	struct child first, second, outside;
	uint16_t port, word;
	bool listens;

	(void)state;
	start_child(&first, listen_alone);
	listens = hear(first.up[0], &port);
	if (!listens) {
		assert_int_equal(end_child(&first), NO_NETWORK);
		skip();
	}
	start_child(&second, use_the_same_port);
	say(second.down[1], port);
	assert_true(hear(second.up[0], &word));
	start_child(&outside, stay_outside);
	say(outside.down[1], port);
	assert_int_equal(end_child(&outside), 0);
	assert_int_equal(end_child(&second), 0);
	assert_int_equal(end_child(&first), 0);
}

/* --- link-local addresses --- */

#define LINK_LOCAL "fe80::17"

static struct sockaddr_in6 scoped(uint32_t scope, __be16 port)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_port = port, .sin6_scope_id = scope };

	CHECK(inet_pton(AF_INET6, LINK_LOCAL, &sa.sin6_addr) == 1);
	return sa;
}

/* The system has an address a moment after it was given. */
static void give_address(uint32_t interface)
{
	struct interface_address a = { .prefix = 64, .interface = (int)interface };
	struct sockaddr_in6 sa = scoped(interface, 0);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	a.ip = sa.sin6_addr;
	CHECK(fd >= 0 && !ioctl(fd, SIOCSIFADDR, &a));
	while (bind(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		CHECK(errno == EADDRNOTAVAIL);
		usleep(1000);
	}
	close(fd);
}

static struct rdma_cm_id *resolve_scoped(struct rdma_event_channel *ch, uint32_t scope, __be16 port)
{
	struct sockaddr_in6 sa = scoped(scope, port);
	struct rdma_cm_id *id = new_id(ch, RDMA_PS_TCP);

	CHECK(!rdma_resolve_addr(id, NULL, (struct sockaddr *)&sa, 1000));
	CHECK(!expect(ch, RDMA_CM_EVENT_ADDR_RESOLVED, NULL));
	CHECK(!rdma_resolve_route(id, 1000));
	CHECK(!expect(ch, RDMA_CM_EVENT_ROUTE_RESOLVED, NULL));
	make_qp(id);
	return id;
}

static void check_scope(struct sockaddr *sa, uint32_t scope)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
	const struct sockaddr_in6 want = scoped(scope, 0);

	CHECK(sa->sa_family == AF_INET6 && in6->sin6_scope_id == scope);
	CHECK(!memcmp(&in6->sin6_addr, &want.sin6_addr, sizeof(want.sin6_addr)));
}

static void connect_by_link_local_address(struct child *c)
{
	struct pair p = { .listener = NULL };
	struct sockaddr_in6 sa;
	uint32_t lo;

	own_network();
	say(c->up[1], 1);
	make_channels(&p);
	lo = if_nametoindex("lo");
	give_address(lo);
	p.listener = new_id(p.ch[1], RDMA_PS_TCP);
	/* Without a scope, or with that of an interface that there isn't, it is no address. */
	sa = scoped(0, 0);
	CHECK(rdma_bind_addr(p.listener, (struct sockaddr *)&sa) == -1);
	sa = scoped(lo + 99, 0);
	CHECK(rdma_bind_addr(p.listener, (struct sockaddr *)&sa) == -1);
	sa = scoped(lo, 0);
	CHECK(!rdma_bind_addr(p.listener, (struct sockaddr *)&sa));
	CHECK(!rdma_listen(p.listener, 1));
	check_scope(rdma_get_local_addr(p.listener), lo);
	p.id[0] = resolve_scoped(p.ch[0], lo, rdma_get_src_port(p.listener));
	pair_connect(&p);
	check_scope(rdma_get_peer_addr(p.id[0]), lo);
	check_scope(rdma_get_local_addr(p.id[0]), lo);
	check_scope(rdma_get_local_addr(p.id[1]), lo);
	check_scope(rdma_get_peer_addr(p.id[1]), lo);
	pair_end(&p);
}

static void link_local_addresses_have_a_scope(void **state)
{
	struct child c;
	uint16_t word;
	bool there;
	int status;

	(void)state;
	start_child(&c, connect_by_link_local_address);
	there = hear(c.up[0], &word);
	status = end_child(&c);
	if (!there && status == NO_NETWORK)
		skip();
	assert_int_equal(status, 0);
}

/* Children of processes that have threads by then. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_networks_do_not_see_each_other),
		cmocka_unit_test(link_local_addresses_have_a_scope),
	};

	return cmocka_run_group_tests_name("shim_cm_net", tests, make_fabric, remove_fabric);
}
