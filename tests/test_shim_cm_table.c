/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table of ports that the processes of a fabric share: what another process does to its file, and what is left of it. Each process
 * is a child, because one that has seen a damaged table doesn't trust it any more.
 */
#include "shim_cm_fixture.h"

#include <limits.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define HEAD 24 /* bytes, of softhca/abi/ports.h */
#define LISTS (HEAD + 4 * 1024) /* where those end */
#define ENTRIES (LISTS + 8 * 1024) /* where those begin */
#define ENTRY 48

/* Run by a child, in a fabric that is its own user's. */
static void in_child(void (*run)(long arg), long arg)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		CHECK(!prctl(PR_SET_PDEATHSIG, SIGKILL));
		/* cmocka would go on with its tests here. */
		CHECK(signal(SIGBUS, SIG_DFL) != SIG_ERR && signal(SIGSEGV, SIG_DFL) != SIG_ERR);
		run(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Return: how many tables there are; @name: of one of them, or "" */
static int tables(char *name, size_t size)
{
	DIR *d = opendir(fabric);
	struct dirent *e;
	int n = 0;

	*name = 0;
	while (d && (e = readdir(d)))
		if (!strncmp(e->d_name, "ports.", 6)) {
			snprintf(name, size, "%s/%s", fabric, e->d_name);
			n++;
		}
	if (d)
		closedir(d);
	return n;
}

static void table_name(char *name)
{
	CHECK(tables(name, PATH_MAX) == 1);
}

/* Every call that needs the table says so, and none crashes. */
static void calls_fail(struct rdma_cm_id *bound, struct rdma_cm_id *way)
{
	struct rdma_conn_param param = { .retry_count = 1 };
	struct rdma_cm_id *id;

	CHECK(!rdma_create_id(bound->channel, &id, NULL, RDMA_PS_TCP));
	CHECK(bind_to(id, "127.0.0.1", 0) == EPROTO);
	/* Whoever has the port may be seen before the damage is. */
	CHECK(bind_to(id, "127.0.0.1", ntohs(rdma_get_src_port(bound))) != 0);
	CHECK(rdma_listen(bound, 1) == -1 && errno == EPROTO);
	CHECK(rdma_connect(way, &param) == -1 && errno == EPROTO);
	CHECK(!rdma_destroy_id(id));
}

static void spoil(void (*how)(const char *name, long arg), long arg)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *bound = new_id(ch, RDMA_PS_TCP), *way;
	char name[PATH_MAX];

	CHECK(!bind_to(bound, "127.0.0.1", 0));
	way = resolved(ch, RDMA_PS_TCP, "127.0.0.1", rdma_get_src_port(bound));
	table_name(name);
	how(name, arg);
	calls_fail(bound, way);
	end_id(way);
	CHECK(!rdma_destroy_id(bound));
	rdma_destroy_event_channel(ch);
}

static void cut(const char *name, long bytes)
{
	struct stat st;

	CHECK(!stat(name, &st) && st.st_size > bytes);
	CHECK(!truncate(name, bytes));
}

static void cut_while_used(long bytes)
{
	spoil(cut, bytes);
}

static void works(long unused)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *l = listener(ch, RDMA_PS_TCP, "127.0.0.1", 1), *id;

	(void)unused;
	id = resolved(ch, RDMA_PS_TCP, "127.0.0.1", rdma_get_src_port(l));
	end_id(id);
	CHECK(!rdma_destroy_id(l));
	rdma_destroy_event_channel(ch);
}

/* What is left is no hindrance for the next process. */
static void a_table_that_is_cut_is_an_error(void **state)
{
	static const long bytes[] = { 0, 1, HEAD - 1, HEAD, LISTS, ENTRIES };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		in_child(cut_while_used, bytes[i]);
		in_child(works, 0);
	}
}

/* Numbers at @arg's place that can't be: in the head, or of all lists. */
static void write_nonsense(const char *name, long at)
{
	uint32_t words[1024];
	size_t bytes = at == HEAD ? sizeof(words) : sizeof(words[0]);
	int fd = open(name, O_RDWR | O_CLOEXEC);

	memset(words, 0x7f, sizeof(words));
	CHECK(fd >= 0 && pwrite(fd, words, bytes, at) == (ssize_t)bytes);
	close(fd);
}

/* All lists are the first entry, and that is behind itself. */
static void make_ring(const char *name, long unused)
{
	uint32_t ones[1024], i;
	int fd = open(name, O_RDWR | O_CLOEXEC);

	(void)unused;
	for (i = 0; i < 1024; i++)
		ones[i] = 1;
	CHECK(fd >= 0 && pwrite(fd, ones, sizeof(ones), HEAD) == sizeof(ones));
	CHECK(pwrite(fd, ones, sizeof(ones[0]), ENTRIES) == sizeof(ones[0]));
	close(fd);
}

/* Another process took the table for a new one. */
static void begin_anew(const char *name, long unused)
{
	(void)unused;
	CHECK(!truncate(name, 0));
	in_child(works, 0);
}

static void nonsense_while_used(long at)
{
	spoil(write_nonsense, at);
}

static void ring_while_used(long unused)
{
	spoil(make_ring, unused);
}

static void another_while_used(long unused)
{
	spoil(begin_anew, unused);
}

static void nonsense_in_a_table_is_an_error(void **state)
{
	(void)state;
	in_child(nonsense_while_used, 0);
	in_child(nonsense_while_used, 8);
	in_child(nonsense_while_used, 12);
	in_child(nonsense_while_used, 16);
	in_child(nonsense_while_used, HEAD);
	in_child(ring_while_used, 0);
	in_child(another_while_used, 0);
	in_child(works, 0);
}

/* The next entry to be used is one that somebody has. */
static void a_free_entry_that_is_not(long unused)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *first = new_id(ch, RDMA_PS_TCP), *second = new_id(ch, RDMA_PS_TCP);
	const uint32_t one = 1;
	uint8_t before[ENTRY], after[ENTRY];
	char name[PATH_MAX];
	int fd;

	(void)unused;
	CHECK(!bind_to(first, "127.0.0.1", 0));
	table_name(name);
	fd = open(name, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0 && pwrite(fd, &one, sizeof(one), 12) == sizeof(one));
	CHECK(pread(fd, before, ENTRY, ENTRIES) == ENTRY);
	CHECK(bind_to(second, "127.0.0.1", 0) == EPROTO);
	CHECK(pread(fd, after, ENTRY, ENTRIES) == ENTRY && !memcmp(before, after, ENTRY));
	close(fd);
	CHECK(!rdma_destroy_id(first) && !rdma_destroy_id(second));
	rdma_destroy_event_channel(ch);
}

static void an_entry_in_use_is_not_given_out(void **state)
{
	(void)state;
	in_child(a_free_entry_that_is_not, 0);
}

/* What a process never had a good look at it doesn't hold on to. */
static void finds_a_bad_table(long unused)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *id = new_id(ch, RDMA_PS_TCP);
	const uint32_t version = 7;
	char name[PATH_MAX];
	int fd;

	(void)unused;
	table_name(name);
	fd = open(name, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0 && pwrite(fd, &version, sizeof(version), 4) == sizeof(version));
	close(fd);
	CHECK(bind_to(id, "127.0.0.1", 0) == EPROTO);
	CHECK(!unlink(name));
	CHECK(!bind_to(id, "127.0.0.1", 0));
	CHECK(!rdma_destroy_id(id));
	rdma_destroy_event_channel(ch);
}

static void makes_a_table_for_another(long unused)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *id = new_id(ch, RDMA_PS_TCP);

	(void)unused;
	CHECK(!bind_to(id, "127.0.0.1", 0));
	in_child(finds_a_bad_table, 0);
	/* Its own is gone. */
	CHECK(!rdma_destroy_id(id));
	rdma_destroy_event_channel(ch);
}

static void a_bad_table_may_be_followed_by_a_good_one(void **state)
{
	(void)state;
	in_child(makes_a_table_for_another, 0);
}

/* --- what is left --- */

static void only_opens(long unused)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *c = list && list[0] ? ibv_open_device(list[0]) : NULL;

	(void)unused;
	CHECK(c && !ibv_close_device(c));
	ibv_free_device_list(list);
}

static void nothing_is_left_after_the_next_start(void **state)
{
	char name[PATH_MAX];

	(void)state;
	in_child(works, 0);
	in_child(only_opens, 0);
	assert_int_equal(tables(name, sizeof(name)), 0);
}

/* Somebody locks a leftover table, and is stopped for a while before it is removed. */
static void is_slow_to_remove(int ready)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat net;
	char name[PATH_MAX];
	int fd;

	CHECK(!stat("/proc/self/ns/net", &net));
	snprintf(name, sizeof(name), "%s/ports.%llu", fabric, (unsigned long long)net.st_ino);
	fd = open(name, O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0 && !fcntl(fd, F_OFD_SETLK, &whole));
	CHECK(write(ready, "", 1) == 1);
	usleep(500000);
	CHECK(!unlink(name));
	_exit(0);
}

static void waits_for_the_remover(long unused)
{
	int ready[2], status;
	char byte;
	pid_t pid;

	CHECK(!pipe(ready));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		is_slow_to_remove(ready[1]);
	CHECK(read(ready[0], &byte, 1) == 1);
	works(unused);
	CHECK(waitpid(pid, &status, 0) == pid && !status);
}

static void a_table_that_is_removed_is_waited_for(void **state)
{
	(void)state;
	in_child(waits_for_the_remover, 0);
}

/* --- a listener that comes with its client --- */

#define TURNS 400

/* What both of them see: the server's port, and whether the client is ready; each turn has its own. */
struct turns {
	uint32_t port[TURNS];
	uint32_t ready[TURNS];
};

static uint32_t wait_for(uint32_t *word)
{
	uint32_t value;

	while (!(value = __atomic_load_n(word, __ATOMIC_ACQUIRE)))
		sched_yield();
	return value;
}

/* Tells its port, and listens at the moment that its client connects. */
static void serves_late(struct turns *t, int turn)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *l = new_id(ch, RDMA_PS_TCP), *id;
	volatile int spin;

	CHECK(!bind_to(l, "127.0.0.1", 0));
	__atomic_store_n(&t->port[turn], ntohs(rdma_get_src_port(l)), __ATOMIC_RELEASE);
	(void)wait_for(&t->ready[turn]);
	for (spin = turn % 100 * 200; spin; spin--)
		;
	CHECK(!rdma_listen(l, 1));
	(void)expect(ch, RDMA_CM_EVENT_CONNECT_REQUEST, &id);
	CHECK(!rdma_reject(id, NULL, 0));
	CHECK(!rdma_destroy_id(id) && !rdma_destroy_id(l));
	rdma_destroy_event_channel(ch);
}

static void comes_early(struct turns *t, int turn)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_conn_param param = { .retry_count = 1 };
	struct rdma_cm_id *id = resolved(ch, RDMA_PS_TCP, "127.0.0.1", htons((uint16_t)wait_for(&t->port[turn])));
	int status;

	__atomic_store_n(&t->ready[turn], 1, __ATOMIC_RELEASE);
	CHECK(!rdma_connect(id, &param));
	status = expect(ch, RDMA_CM_EVENT_REJECTED, NULL);
	CHECK(status == 28); /* by the server's program, not for want of a listener */
	end_id(id);
	rdma_destroy_event_channel(ch);
}

static void meets_its_listener(long arg)
{
	struct turns *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int i, status;
	pid_t pid;

	(void)arg;
	CHECK(t != MAP_FAILED);
	pid = fork();
	CHECK(pid >= 0);
	CHECK(pid || !prctl(PR_SET_PDEATHSIG, SIGKILL));
	for (i = 0; i < TURNS; i++) {
		if (pid)
			comes_early(t, i);
		else
			serves_late(t, i);
	}
	if (!pid)
		_exit(0);
	CHECK(waitpid(pid, &status, 0) == pid && !status);
}

static void a_client_meets_a_listener_that_comes(void **state)
{
	(void)state;
	in_child(meets_its_listener, 0);
}

static void port_is_taken(long port)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *id = new_id(ch, RDMA_PS_TCP);

	CHECK(bind_to(id, "127.0.0.1", (uint16_t)port) == EADDRINUSE);
	CHECK(!rdma_destroy_id(id));
	rdma_destroy_event_channel(ch);
}

static void a_process_that_keeps_its_port(long unused)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *l = listener(ch, RDMA_PS_TCP, "127.0.0.1", 1);
	char name[PATH_MAX];

	(void)unused;
	in_child(only_opens, 0);
	CHECK(tables(name, sizeof(name)) == 1);
	in_child(port_is_taken, ntohs(rdma_get_src_port(l)));
	CHECK(!rdma_destroy_id(l));
	rdma_destroy_event_channel(ch);
}

static void a_table_that_is_used_stays(void **state)
{
	(void)state;
	in_child(a_process_that_keeps_its_port, 0);
}

/* Nobody can be looked up by a process without descriptors. No owner of a port is taken for dead by it. */
static void has_no_descriptors(long port)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *id = new_id(ch, RDMA_PS_TCP);
	struct rlimit all, none;
	int fd = dup(0);

	CHECK(!bind_to(id, "127.0.0.1", 0)); /* all that is opened once is open */
	CHECK(!rdma_destroy_id(id));
	id = new_id(ch, RDMA_PS_TCP);
	CHECK(!getrlimit(RLIMIT_NOFILE, &all));
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = all.rlim_max };
	CHECK(!setrlimit(RLIMIT_NOFILE, &none));
	CHECK(dup(fd) == -1 && errno == EMFILE);
	CHECK(bind_to(id, "0.0.0.0", (uint16_t)port) != 0);
	CHECK(!setrlimit(RLIMIT_NOFILE, &all));
	CHECK(bind_to(id, "127.0.0.1", (uint16_t)port) == EADDRINUSE);
	CHECK(!rdma_destroy_id(id));
	rdma_destroy_event_channel(ch);
	close(fd);
}

static void keeps_its_port_from_those(long unused)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *l = listener(ch, RDMA_PS_TCP, "127.0.0.1", 1);

	(void)unused;
	in_child(has_no_descriptors, ntohs(rdma_get_src_port(l)));
	CHECK(!rdma_destroy_id(l));
	rdma_destroy_event_channel(ch);
}

static void no_owner_dies_for_want_of_descriptors(void **state)
{
	(void)state;
	in_child(keeps_its_port_from_those, 0);
}

/* Peers are forked from processes that have threads by then. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_table_that_is_cut_is_an_error),
		cmocka_unit_test(nonsense_in_a_table_is_an_error),
		cmocka_unit_test(an_entry_in_use_is_not_given_out),
		cmocka_unit_test(a_bad_table_may_be_followed_by_a_good_one),
		cmocka_unit_test(nothing_is_left_after_the_next_start),
		cmocka_unit_test(a_table_that_is_removed_is_waited_for),
		cmocka_unit_test(a_client_meets_a_listener_that_comes),
		cmocka_unit_test(a_table_that_is_used_stays),
		cmocka_unit_test(no_owner_dies_for_want_of_descriptors),
	};

	return cmocka_run_group_tests_name("shim_cm_table", tests, make_fabric, remove_fabric);
}
