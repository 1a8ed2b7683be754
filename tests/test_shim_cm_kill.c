/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The drop-in librdmacm between processes: peers that are killed at every step of a connection, ports of the dead, forks. A peer is
 * a child that does its part up to a step, says so over a pipe, and is killed there.
 */
#include "shim_cm_fixture.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/syscall.h>

/* Peers are forked from a process that has threads by then. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}

/* Up to where a peer goes before it is killed. */
enum step { SERVER_LISTENS, SERVER_HAS_REQUEST, SERVER_ACCEPTED, SERVER_CONNECTED, CLIENT_ASKS, CLIENT_CONNECTED };

struct peer {
	pid_t pid;
	int line[2];
};

static void tell(struct peer *p, uint16_t word)
{
	CHECK(write(p->line[1], &word, sizeof(word)) == sizeof(word));
}

static void stay(void)
{
	for (;;)
		pause();
}

static struct rdma_cm_event *child_event(struct rdma_event_channel *ch, enum rdma_cm_event_type type)
{
	struct rdma_cm_event *e;

	CHECK(!rdma_get_cm_event(ch, &e));
	CHECK(e->event == type);
	return e;
}

static void child_qp(struct rdma_cm_id *id)
{
	struct ibv_qp_init_attr attr = {
		.cap = { .max_send_wr = DEPTH, .max_recv_wr = DEPTH, .max_send_sge = 1, .max_recv_sge = 1 },
		.qp_type = id->qp_type,
	};

	CHECK(!rdma_create_qp(id, NULL, &attr));
}

static void be_server(struct peer *p, enum step to)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *l;
	struct rdma_cm_event *e;

	CHECK(ch && !rdma_create_id(ch, &l, NULL, RDMA_PS_TCP));
	CHECK(!rdma_bind_addr(l, (struct sockaddr *)&sa) && !rdma_listen(l, 1));
	tell(p, ntohs(rdma_get_src_port(l)));
	if (to == SERVER_LISTENS)
		stay();
	e = child_event(ch, RDMA_CM_EVENT_CONNECT_REQUEST);
	if (to == SERVER_HAS_REQUEST) {
		tell(p, 0);
		stay();
	}
	child_qp(e->id);
	CHECK(!rdma_accept(e->id, NULL));
	if (to == SERVER_ACCEPTED) {
		tell(p, 0);
		stay();
	}
	child_event(ch, RDMA_CM_EVENT_ESTABLISHED);
	tell(p, 0);
	stay();
}

static void be_client(struct peer *p, enum step to, uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct rdma_conn_param param = { .retry_count = 1 };
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *id;

	CHECK(ch && !rdma_create_id(ch, &id, NULL, RDMA_PS_TCP));
	CHECK(!rdma_resolve_addr(id, NULL, (struct sockaddr *)&sa, 1000));
	child_event(ch, RDMA_CM_EVENT_ADDR_RESOLVED);
	CHECK(!rdma_resolve_route(id, 1000));
	child_event(ch, RDMA_CM_EVENT_ROUTE_RESOLVED);
	child_qp(id);
	CHECK(!rdma_connect(id, &param));
	if (to == CLIENT_ASKS) {
		tell(p, 0);
		stay();
	}
	child_event(ch, RDMA_CM_EVENT_ESTABLISHED);
	tell(p, 0);
	stay();
}

static void start_peer(struct peer *p, enum step to, uint16_t port)
{
	assert_int_equal(pipe(p->line), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid)
		return;
	/* None outlives the test, in whatever way that ends. */
	CHECK(!prctl(PR_SET_PDEATHSIG, SIGKILL));
	if (to >= CLIENT_ASKS)
		be_client(p, to, port);
	be_server(p, to);
}

/* Return: what the peer says. */
static uint16_t hear(struct peer *p)
{
	uint16_t word;

	assert_int_equal(read(p->line[0], &word, sizeof(word)), sizeof(word));
	return word;
}

static void kill_peer(struct peer *p)
{
	assert_int_equal(kill(p->pid, SIGKILL), 0);
	assert_int_equal(waitpid(p->pid, NULL, 0), p->pid);
	close(p->line[0]);
	close(p->line[1]);
}

static uint64_t seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec;
}

/* The end of a peer is told within five seconds; a machine that is busy is given more. */
#define SOON 30

/* Of a server that has accepted: it may still be taken for one that lives, and is then told of. */
static void expect_any_end(struct rdma_event_channel *ch)
{
	struct rdma_cm_event *e = next_event(ch);
	enum rdma_cm_event_type type = e->event;

	assert_int_equal(rdma_ack_cm_event(e), 0);
	if (type == RDMA_CM_EVENT_ESTABLISHED)
		(void)expect(ch, RDMA_CM_EVENT_DISCONNECTED, NULL);
	else
		assert_true(type == RDMA_CM_EVENT_UNREACHABLE || type == RDMA_CM_EVENT_CONNECT_ERROR);
}

/* A client, whose server is killed; @last: what the client hears of that. */
static void client_of_the_dead(enum step to, enum rdma_cm_event_type last)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_conn_param param = { .retry_count = 1 };
	struct rdma_cm_id *id;
	struct peer p;
	uint64_t begin;

	start_peer(&p, to, 0);
	id = resolved(ch, RDMA_PS_TCP, "127.0.0.1", htons(hear(&p)));
	assert_int_equal(rdma_connect(id, &param), 0);
	if (to == SERVER_CONNECTED)
		assert_int_equal(expect(ch, RDMA_CM_EVENT_ESTABLISHED, NULL), 0);
	if (to != SERVER_LISTENS)
		(void)hear(&p);
	begin = seconds();
	kill_peer(&p);
	if (to == SERVER_ACCEPTED)
		expect_any_end(ch);
	else
		(void)expect(ch, last, NULL);
	assert_true(seconds() - begin < SOON);
	if (to == SERVER_CONNECTED)
		assert_int_equal(rdma_disconnect(id), 0);
	end_id(id);
	rdma_destroy_event_channel(ch);
}

static void servers_are_killed_at_every_step(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		client_of_the_dead(SERVER_LISTENS, RDMA_CM_EVENT_UNREACHABLE);
		client_of_the_dead(SERVER_HAS_REQUEST, RDMA_CM_EVENT_UNREACHABLE);
		client_of_the_dead(SERVER_ACCEPTED, RDMA_CM_EVENT_UNREACHABLE);
		client_of_the_dead(SERVER_CONNECTED, RDMA_CM_EVENT_DISCONNECTED);
	}
}

/* A server, whose client is killed after it asked: the end is told, whether the request was accepted or not. */
static void clients_are_killed_while_they_ask(void **state)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *l = listener(ch, RDMA_PS_TCP, "127.0.0.1", 1), *id;
	struct peer p;
	int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		start_peer(&p, CLIENT_ASKS, ntohs(rdma_get_src_port(l)));
		assert_int_equal(expect(ch, RDMA_CM_EVENT_CONNECT_REQUEST, &id), 0);
		(void)hear(&p);
		if (i & 1) {
			make_qp(id);
			assert_int_equal(rdma_accept(id, NULL), 0);
		}
		kill_peer(&p);
		(void)expect(ch, RDMA_CM_EVENT_UNREACHABLE, NULL);
		assert_int_equal(rdma_accept(id, NULL), -1);
		end_id(id);
	}
	assert_int_equal(rdma_destroy_id(l), 0);
	rdma_destroy_event_channel(ch);
}

static void clients_are_killed_while_connected(void **state)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *l = listener(ch, RDMA_PS_TCP, "127.0.0.1", 8), *id[4], *gone;
	struct peer p[4];
	int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		start_peer(&p[i], CLIENT_CONNECTED, ntohs(rdma_get_src_port(l)));
		assert_int_equal(expect(ch, RDMA_CM_EVENT_CONNECT_REQUEST, &id[i]), 0);
		make_qp(id[i]);
		assert_int_equal(rdma_accept(id[i], NULL), 0);
		assert_int_equal(expect(ch, RDMA_CM_EVENT_ESTABLISHED, NULL), 0);
		(void)hear(&p[i]);
	}
	for (i = 0; i < 4; i++) {
		kill_peer(&p[i]);
		assert_int_equal(expect(ch, RDMA_CM_EVENT_DISCONNECTED, &gone), 0);
		assert_ptr_equal(gone, id[i]);
		end_id(gone);
	}
	assert_int_equal(rdma_destroy_id(l), 0);
	rdma_destroy_event_channel(ch);
}

static void ports_are_one_space_and_the_dead_have_none(void **state)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *id = new_id(ch, RDMA_PS_TCP);
	struct peer p;
	uint16_t port;

	(void)state;
	start_peer(&p, SERVER_LISTENS, 0);
	port = hear(&p);
	assert_int_equal(bind_to(id, "127.0.0.1", port), EADDRINUSE);
	kill_peer(&p);
	assert_int_equal(bind_to(id, "127.0.0.1", port), 0);
	assert_int_equal(rdma_listen(id, 0), 0);
	assert_int_equal(rdma_destroy_id(id), 0);
	rdma_destroy_event_channel(ch);
}

/* A child that ends what it inherited disturbs nobody, and can have connections of its own. */
static void a_child_has_nothing_of_its_parents(void **state)
{
	struct pair p;
	int status;
	pid_t pid;

	(void)state;
	pair_begin(&p, RDMA_PS_TCP, "127.0.0.1");
	pair_connect(&p);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct rdma_event_channel *ch;
		struct rdma_cm_id *id;

		CHECK(rdma_disconnect(p.id[0]) == -1);
		CHECK(!rdma_destroy_id(p.listener));
		ch = rdma_create_event_channel();
		CHECK(ch && !rdma_create_id(ch, &id, NULL, RDMA_PS_TCP));
		CHECK(bind_to(id, "127.0.0.1", ntohs(rdma_get_src_port(p.id[1]))) == EADDRINUSE);
		CHECK(!rdma_destroy_id(id));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(state_of(p.id[0]->qp), IBV_QPS_RTS);
	assert_int_equal(rdma_disconnect(p.id[0]), 0);
	assert_int_equal(expect(p.ch[1], RDMA_CM_EVENT_DISCONNECTED, NULL), 0);
	pair_end(&p);
}

struct waiter {
	struct rdma_event_channel *ch;
	pid_t tid; /* atomic; 0: it doesn't run yet */
};

static void *wait_for_good(void *arg)
{
	struct waiter *w = arg;
	struct rdma_cm_event *e;

	__atomic_store_n(&w->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	(void)rdma_get_cm_event(w->ch, &e);
	return NULL;
}

static bool sleeps(pid_t tid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	f = fopen(path, "re");
	CHECK(f && fscanf(f, "%*d %*s %c", &state) == 1);
	fclose(f);
	return state == 'S';
}

static void await_sleep(struct waiter *w)
{
	pid_t tid;

	while (!(tid = __atomic_load_n(&w->tid, __ATOMIC_SEQ_CST)) || !sleeps(tid))
		usleep(1000);
}

/* The thread waits on, or not; it does no harm, and the process goes on. */
static void a_channel_ends_while_threads_wait(void **state)
{
	pthread_t thread;
	int status, i;
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		static struct waiter w[20];
		struct rdma_event_channel *ch;
		struct rdma_cm_id *id;

		CHECK(!prctl(PR_SET_PDEATHSIG, SIGKILL));
		for (i = 0; i < 20; i++) {
			ch = rdma_create_event_channel();
			CHECK(ch && !rdma_create_id(ch, &id, NULL, RDMA_PS_TCP));
			CHECK(!rdma_bind_addr(id, (struct sockaddr *)&sa) && !rdma_listen(id, 1));
			w[i].ch = ch;
			CHECK(!pthread_create(&thread, NULL, wait_for_good, &w[i]));
			await_sleep(&w[i]);
			CHECK(!rdma_destroy_id(id));
			rdma_destroy_event_channel(ch);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* A process that was stopped while it had the table: others get an error, and go on when the table is free again. */
static void a_table_that_is_held_is_not_waited_for(void **state)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *first = new_id(ch, RDMA_PS_TCP), *id = new_id(ch, RDMA_PS_TCP);
	uint16_t port;
	char name[sizeof(fabric) + NAME_MAX + 2] = "";
	DIR *d = opendir(fabric);
	struct dirent *e;
	int fd;

	(void)state;
	assert_int_equal(bind_to(first, "127.0.0.1", 0), 0);
	while ((e = readdir(d)))
		if (!strncmp(e->d_name, "ports.", 6))
			snprintf(name, sizeof(name), "%s/%s", fabric, e->d_name);
	closedir(d);
	fd = open(name, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(bind_to(id, "127.0.0.1", 0), ETIMEDOUT);
	port = ntohs(rdma_get_src_port(first));
	end_id(first); /* which can't give its port back now */
	close(fd);
	assert_int_equal(bind_to(id, "127.0.0.1", port), 0);
	end_id(id);
	rdma_destroy_event_channel(ch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(servers_are_killed_at_every_step),
		cmocka_unit_test(clients_are_killed_while_they_ask),
		cmocka_unit_test(clients_are_killed_while_connected),
		cmocka_unit_test(ports_are_one_space_and_the_dead_have_none),
		cmocka_unit_test(a_child_has_nothing_of_its_parents),
		cmocka_unit_test(a_channel_ends_while_threads_wait),
		cmocka_unit_test(a_table_that_is_held_is_not_waited_for),
	};

	return cmocka_run_group_tests_name("shim_cm_kill", tests, make_fabric, remove_fabric);
}
