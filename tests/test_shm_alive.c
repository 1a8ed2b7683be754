/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The word that tells whether a process lives, and reads from a process that has one (docs/fabric.md): no end goes unnoticed, a read names
 * no guard, and nothing is taken from a process that ended within the call.
 */
#include "shm_node.h"

#include <pthread.h>
#include <ucontext.h>

#define A_KEY 0x0ab01u
#define READER 3u
#define BULK 65536u
#define WRITE HCA_ACCESS_REMOTE_WRITE
#define READ HCA_ACCESS_REMOTE_READ

/* --- the word --- */

static u32 *word; /* in memory that processes share */
static u32 held_as;

static void new_word(void)
{
	word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(word != MAP_FAILED);
	assert_int_equal(shm_alive_as(word), 0);
	assert_false(shm_alive_still(word, 0));
}

static void *holds(void *arg)
{
	static struct shm_alive a;

	shm_alive_hold(&a, word);
	held_as = shm_alive_as(word);
	if (arg)
		pause();
	return shm_alive_still(word, held_as) ? &a : NULL;
}

static void a_thread_ends(void **state)
{
	pthread_t thread;
	void *held;

	(void)state;
	new_word();
	assert_int_equal(pthread_create(&thread, NULL, holds, NULL), 0);
	assert_int_equal(pthread_join(thread, &held), 0);
	assert_non_null(held);
	assert_int_not_equal(held_as, 0);
	assert_int_equal(shm_alive_as(word), 0);
	assert_false(shm_alive_still(word, held_as));
	munmap(word, 4096);
}

enum end { KILLED, EXITS, EXECS, ENDS };

/* A thread of its own holds the word, as in a process that has a node. */
static void live_and_end(enum end how, int from)
{
	pthread_t thread;
	char byte;

	if (pthread_create(&thread, NULL, holds, &byte) || read(from, &byte, 1) != 1)
		_exit(1);
	if (how == EXECS)
		execl("/bin/sleep", "sleep", "1000", NULL);
	_exit(how == EXECS);
}

static bool is_another_program(pid_t pid)
{
	char path[64], name[32];
	bool another;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "r");
	assert_non_null(f);
	another = fgets(name, sizeof(name), f) && !strcmp(name, "sleep\n");
	fclose(f);
	return another;
}

/* By a signal, by itself, and by becoming another program, which has the same number. */
static void a_process_ends(void **state)
{
	enum end how;

	(void)state;
	for (how = KILLED; how < ENDS; how++) {
		int p[2];
		pid_t pid;
		u32 was;

		new_word();
		assert_int_equal(pipe(p), 0);
		pid = fork();
		if (!pid)
			live_and_end(how, p[0]);
		while (!(was = shm_alive_as(word)))
			usleep(1000);
		assert_true(shm_alive_still(word, was));
		if (how == KILLED)
			kill(pid, SIGKILL);
		else
			assert_int_equal(write(p[1], "", 1), 1);
		while (how == EXECS && !is_another_program(pid))
			usleep(1000);
		if (how != EXECS)
			assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_false(shm_alive_still(word, was));
		if (how == EXECS) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
		close(p[0]);
		close(p[1]);
		munmap(word, 4096);
	}
}

/* --- reads --- */

static u64 child_does(u32 right)
{
	return tell(&(const struct told){ .order = DO, .right = right, .key = A_KEY, .len = BULK });
}

static void hold(void)
{
	static struct shm_alive a;

	shm_alive_hold(&a, &us.head->alive);
	assert_true(shm_alive_as(&us.head->alive));
}

/* The guard is there when the peer meets us, and can't be named any more after that. */
static void a_read_names_no_guard(void **state)
{
	struct hca_wire_key k = key_of(A_KEY);

	(void)state;
	publish(&us, &k);
	hold();
	assert_int_equal(child_does(READ), 1);
	assert_int_equal(child_does(WRITE), 1);
	assert_int_equal(mprotect(us.share.guard, 1, PROT_NONE), 0);
	assert_int_equal(child_does(WRITE), 0);
	assert_int_equal(child_does(READ), 1);
	/* Of one that doesn't say whether it lives the guard is asked for. */
	hca_store(&us.head->alive, 0u);
	assert_int_equal(child_does(READ), 0);
}

#ifdef __x86_64__

/* In place of the system call: we end, and bytes come from whoever has our number then. */
static void on_call(int sig, siginfo_t *info, void *context)
{
	ucontext_t *c = context;

	(void)sig;
	(void)info;
	hca_store(&us.head->alive, hca_load(&us.head->alive) | FUTEX_OWNER_DIED);
	c->uc_mcontext.gregs[REG_RAX] = BULK;
}

static int trap_calls(void)
{
	const struct sigaction sa = { .sa_sigaction = on_call, .sa_flags = SA_SIGINFO };
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = HCA_ARRAY_SIZE(f), .filter = f };

	return sigaction(SIGSYS, &sa, NULL) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* Return: 0: as it should be */
static int read_from_us(void)
{
	static u8 bytes[BULK];
	struct node n;

	node_open(&n, READER, false);
	if (!carry_out(&n, US, READ, A_KEY, 0, bytes, BULK))
		return 2;
	if (trap_calls())
		return 77;
	if (carry_out(&n, US, READ, A_KEY, 0, bytes, BULK))
		return 3;
	node_close(&n);
	return 0;
}

static void the_peer_ends_within_a_read(void **state)
{
	struct hca_wire_qp qp = qp_of(US, READER);
	struct hca_wire_key k = key_of(A_KEY);
	int status;
	pid_t pid;

	(void)state;
	shm_share_qp(&us.share, &qp);
	publish(&us, &k);
	hold();
	pid = fork();
	if (!pid)
		_exit(read_from_us());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

#endif

#define T(t) cmocka_unit_test_setup_teardown(t, open_nodes, close_nodes)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_ends),
		cmocka_unit_test(a_process_ends),
		T(a_read_names_no_guard),
#ifdef __x86_64__
		T(the_peer_ends_within_a_read),
#endif
	};

	return cmocka_run_group_tests_name("shm_alive", tests, NULL, NULL);
}
