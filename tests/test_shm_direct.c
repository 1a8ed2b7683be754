/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One-sided work between two processes by the initiator alone, on nodes made by hand (docs/fabric.md): every byte arrives, nothing is
 * touched that isn't allowed, and not a byte changes when a deregistration has returned, whoever dies when.
 */
#include "shm_node.h"

#include "wire/shm/view.h"

#include <linux/sched.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/resource.h>

#define WRITE HCA_ACCESS_REMOTE_WRITE
#define READ HCA_ACCESS_REMOTE_READ
#define A_KEY 0x0ab01u

static u8 own[RAM];

static void give_key(void)
{
	struct told t = { .order = KEY, .k = key_of(A_KEY) };

	tell(&t);
}

static bool child_has(u64 off, u32 len, u32 seed)
{
	struct told t = { .order = SAME, .off = off, .len = len, .seed = seed };

	return tell(&t);
}

static void child_fills(u64 off, u32 len, u32 seed)
{
	struct told t = { .order = FILL, .off = off, .len = len, .seed = seed };

	tell(&t);
}

/* --- bytes --- */

static void every_size(void **state)
{
	static const u32 sizes[] = {
		1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 255, 4095, 4096, 4097, 12345, 65535, 65536
	};
	u32 i, off;

	(void)state;
	give_key();
	for (i = 0; i < HCA_ARRAY_SIZE(sizes); i++) {
		for (off = 0; off < 17; off += off < 8 ? 1 : 9) {
			u32 len = sizes[i], seed = i * 31 + off;

			child_fills(0, len + 64, ~seed);
			fill(own, len, seed);
			assert_true(carry_out(&us, CHILD, WRITE, A_KEY, off, own, len));
			assert_true(child_has(off, len, seed));
			assert_true(child_has(0, off, ~seed));
			memset(own, 0, sizeof(own));
			assert_true(carry_out(&us, CHILD, READ, A_KEY, off, own + 3, len));
			assert_true(same(own + 3, len, seed));
			assert_int_equal(own[2], 0);
			assert_int_equal(own[3 + len], 0);
		}
	}
}

/* A list of entries here, bytes in a row there. */
static void several_runs(void **state)
{
	struct piece p = piece_of(US, CHILD, WRITE, A_KEY, 100, own, 0);
	u32 i, len = 0;

	(void)state;
	give_key();
	for (i = 0; i < HCA_PLACES; i++) {
		u32 n = 1 + 700 * i;

		p.place[i] = (struct hca_place){ .at = own + 8192 * i, .len = n };
		len += n;
	}
	p.places = HCA_PLACES;
	p.c.msg.len = p.c.msg.piece = len;
	fill(own + RAM / 2, len, 9);
	for (i = 0, len = 0; i < HCA_PLACES; len += (u32)p.place[i].len, i++)
		memcpy(p.place[i].at, own + RAM / 2 + len, p.place[i].len);
	assert_true(shm_direct_do(&us.direct, &p.c));
	assert_true(child_has(100, len, 9));
	memset(own, 0, RAM / 2);
	p.c.right = READ;
	assert_true(shm_direct_do(&us.direct, &p.c));
	for (i = 0, len = 0; i < HCA_PLACES; len += (u32)p.place[i].len, i++)
		assert_memory_equal(p.place[i].at, own + RAM / 2 + len, p.place[i].len);
}

/* A piece behind the first one. */
static void a_piece_of_a_message(void **state)
{
	struct piece p = piece_of(US, CHILD, WRITE, A_KEY, 0, own, 1000);

	(void)state;
	give_key();
	fill(own, 1000, 1);
	p.c.msg.flags = HCA_MSG_LAST | HCA_MSG_CONNECTED | HCA_MSG_RELIABLE;
	p.c.msg.len = 67536;
	p.c.msg.off = 66536;
	assert_true(shm_direct_do(&us.direct, &p.c));
	assert_true(child_has(66536, 1000, 1));
	p.c.pending = true; /* one before it is in the ring */
	assert_false(shm_direct_do(&us.direct, &p.c));
}

static void a_stopped_peer_is_not_needed(void **state)
{
	int status;

	(void)state;
	give_key();
	kill(child, SIGSTOP);
	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	assert_true(WIFSTOPPED(status));
	fill(own, 5000, 4);
	assert_true(carry_out(&us, CHILD, WRITE, A_KEY, 0, own, 5000));
	memset(own, 0, 5000);
	assert_true(carry_out(&us, CHILD, READ, A_KEY, 0, own, 5000));
	assert_true(same(own, 5000, 4));
	kill(child, SIGCONT);
	assert_true(child_has(0, 5000, 4));
}

/* --- refused: left to the responder --- */

static void refused(u32 right, u32 key, u64 off, u32 len)
{
	fill(own, len, 77);
	assert_false(carry_out(&us, CHILD, right, key, off, own, len));
	assert_true(same(own, len, 77));
	assert_true(child_has(0, RAM, 5));
	assert_int_equal((u32)us.head->uses[0].use, 0);
}

static void wrong_keys(void **state)
{
	struct told t = { .order = KEY };

	(void)state;
	give_key();
	child_fills(0, RAM, 5);
	refused(WRITE, A_KEY + 1, 0, 8); /* another generation */
	refused(WRITE, A_KEY + 0x100, 0, 8); /* no such key */
	refused(WRITE, 0, 0, 8);
	refused(WRITE, 5000u << 8, 0, 8);
	refused(WRITE, ~0u, 0, 8);
	refused(WRITE, A_KEY, RAM - 7, 8);
	refused(WRITE, A_KEY, (u64)-1, 8);
	refused(READ, A_KEY, RAM, 1);
	refused(READ, A_KEY, 0 - IOVA, 8); /* address 0 */
	refused(WRITE, A_KEY, ~0ull - IOVA - 3, 8); /* wraps */
	t.k = key_of(A_KEY);
	t.k.pd = 8;
	tell(&t);
	refused(WRITE, A_KEY, 0, 8);
	t.k = key_of(A_KEY);
	t.k.access = READ;
	tell(&t);
	refused(WRITE, A_KEY, 0, 8);
	t.k.access = WRITE | HCA_ACCESS_LOCAL_WRITE;
	tell(&t);
	refused(READ, A_KEY, 0, 8);
	t.k = key_of(A_KEY);
	t.k.access |= 1u << 31;
	t.k.qpn = QPN(CHILD) + 1; /* another queue pair's window */
	tell(&t);
	refused(WRITE, A_KEY, 0, 8);
	t.k.qpn = QPN(CHILD);
	tell(&t);
	assert_true(carry_out(&us, CHILD, READ, A_KEY, 0, own, 8));
	t.order = DEREGISTER;
	tell(&t);
	refused(READ, A_KEY, 0, 8);
}

/* A queue pair with this change takes nothing of us. */
#define BAD_QP(field, value) \
	do { \
		struct told t_ = { .order = QUEUE_PAIR, .qp = qp_of(CHILD, US) }; \
\
		t_.qp.field = (value); \
		tell(&t_); \
		refused(READ, A_KEY, 0, 8); \
	} while (0)

static void wrong_queue_pairs(void **state)
{
	struct told t = { .order = QUEUE_PAIR, .qp = qp_of(CHILD, US) };
	struct piece p = piece_of(US, CHILD, READ, A_KEY, 0, own, 8);

	(void)state;
	give_key();
	child_fills(0, RAM, 5);
	BAD_QP(state, HCA_QPS_RESET);
	BAD_QP(state, HCA_QPS_INIT);
	BAD_QP(state, HCA_QPS_RTR); /* the first message is told of */
	BAD_QP(state, HCA_QPS_ERR);
	BAD_QP(state, 200);
	BAD_QP(type, HCA_QPT_UC);
	BAD_QP(peer, (u64)US << 32 | (QPN(US) + 1));
	BAD_QP(peer, (u64)3 << 32 | QPN(US));
	BAD_QP(access, WRITE);
	BAD_QP(rd_limit, 0);
	BAD_QP(pd, 8);
	tell(&t);
	assert_true(shm_direct_do(&us.direct, &p.c));
	p.c.msg.dqpn++;
	assert_false(shm_direct_do(&us.direct, &p.c));
	p = piece_of(US, 3, READ, A_KEY, 0, own, 8); /* no such node */
	assert_false(shm_direct_do(&us.direct, &p.c));
	p = piece_of(US, 5000, READ, A_KEY, 0, own, 8);
	assert_false(shm_direct_do(&us.direct, &p.c));
	p = piece_of(US, CHILD, READ, A_KEY, 0, own, 0);
	assert_false(shm_direct_do(&us.direct, &p.c));
	p = piece_of(US, CHILD, 0, A_KEY, 0, own, 8); /* not one-sided */
	assert_false(shm_direct_do(&us.direct, &p.c));
	p = piece_of(US, CHILD, READ, A_KEY, 0, own, 8);
	p.places = 0;
	assert_false(shm_direct_do(&us.direct, &p.c));
	p = piece_of(US, CHILD, READ, A_KEY, 0, own, 8); /* from an XRC initiator, to no target */
	p.c.msg.flags |= HCA_MSG_XRC;
	assert_false(shm_direct_do(&us.direct, &p.c));
	t.qp.type =
		HCA_QPT_XRC_TGT; /* the queue that is named says whose keys count, and the directory doesn't have it */
	tell(&t);
	assert_false(shm_direct_do(&us.direct, &p.c));
}

/* Of an unreliable message that isn't allowed no piece is written. */
static void unreliable(void **state)
{
	struct told t = { .order = QUEUE_PAIR, .qp = qp_of(CHILD, US) };
	struct piece p = piece_of(US, CHILD, WRITE, A_KEY, RAM - 70000, own, 1000);

	(void)state;
	give_key();
	t.qp.type = HCA_QPT_UC;
	tell(&t);
	child_fills(0, RAM, 5);
	p.c.msg.flags = HCA_MSG_CONNECTED;
	p.c.msg.off = 1000;
	p.c.msg.len = 70000;
	fill(own, 1000, 1);
	assert_true(shm_direct_do(&us.direct, &p.c));
	child_fills(0, RAM, 5);
	p.c.msg.len = 70001;
	assert_false(shm_direct_do(&us.direct, &p.c));
	assert_true(child_has(0, RAM, 5));
}

/* Memory that is gone, on either side: the message's way says whose fault it is. */
static void unmapped_memory(void **state)
{
	struct told t = { .order = KEY, .k = key_of(A_KEY) };
	u8 *hole = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	munmap(hole + 4096, 4096);
	give_key();
	assert_false(carry_out(&us, CHILD, WRITE, A_KEY, 0, hole + 4096, 8));
	assert_false(carry_out(&us, CHILD, WRITE, A_KEY, 0, hole + 4000, 200));
	assert_false(carry_out(&us, CHILD, READ, A_KEY, 0, hole + 4096, 8));
	t.k.at = hole + 4096;
	tell(&t);
	assert_false(carry_out(&us, CHILD, READ, A_KEY, 0, own, 8));
	assert_false(carry_out(&us, CHILD, WRITE, A_KEY, 0, own, 8));
	munmap(hole, 4096);
}

/* A writer that died within an entry: the reader looks a few times. */
static void half_an_entry(void **state)
{
	struct hca_fabric_node *theirs;
	struct hca_fabric_key *k;
	char name[96];
	int fd;

	(void)state;
	give_key();
	snprintf(name, sizeof(name), "%s/node.%u", fabric, CHILD);
	fd = open(name, O_RDWR);
	theirs = mmap(NULL, us.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	k = (void *)((u8 *)theirs + theirs->keys);
	assert_true(carry_out(&us, CHILD, READ, A_KEY, 0, own, 8));
	k[A_KEY >> 8].seq++;
	assert_false(carry_out(&us, CHILD, READ, A_KEY, 0, own, 8));
	k[A_KEY >> 8].seq++;
	assert_true(carry_out(&us, CHILD, READ, A_KEY, 0, own, 8));
	munmap(theirs, us.size);
}

static void forbidden_from_the_start(void **state)
{
	struct node n;

	(void)state;
	give_key();
	node_open(&n, 3, true);
	assert_false(carry_out(&n, CHILD, READ, A_KEY, 0, own, 8));
	node_close(&n);
	hca_store(&us.head->vm, 0u);
	assert_int_equal(tell(&(const struct told){ .order = DO, .right = READ, .key = A_KEY, .len = 8 }), 0);
}

/* What the system forbids is left to messages, and not tried again. */
static void forbidden_by_the_system(void **state)
{
	const struct told it = { .order = DO, .right = READ, .key = A_KEY, .len = 8192 };
	const u32 errors[] = { EPERM, ENOSYS };
	struct hca_wire_key k = key_of(A_KEY);
	u32 i;

	(void)state;
	for (i = 0; i < 2; i++) {
		const struct told t = { .order = FORBID, .seed = errors[i] },
				  other = { .order = FORBID, .seed = EFAULT };

		publish(&us, &k);
		assert_int_equal(tell(&it), 1);
		assert_int_equal(tell(&t), 0);
		assert_int_equal(tell(&it), 0);
		assert_int_equal(tell(&other), 0);
		assert_int_equal(tell(&it), 0);
		deregister(&us, A_KEY);
		end_child(0);
		start_child();
	}
}

/* --- deregistration --- */

static void *writes(void *arg)
{
	(void)arg;
	while (!hca_load_acquire(&both->stop)) {
		if (carry_out(&us, CHILD, WRITE, A_KEY, 0, own, 65536))
			hca_fetch_add(&both->done, 1);
		hca_fetch_add(&both->tries, 1);
	}
	return NULL;
}

/* The target deregisters under load, writes a pattern, and finds it as it was. */
static void a_key_goes_under_load(void **state)
{
	const struct told t = { .order = REVOKE, .len = 65536, .key = A_KEY };
	pthread_t threads[2];
	u32 i;

	(void)state;
	memset(own, 0x11, sizeof(own));
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, writes, NULL), 0);
	for (i = 0; i < 300; i++)
		assert_int_equal(tell(&t), 0);
	hca_store_release(&both->stop, 1u);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_true(both->done >= 900);
}

static bool settled;

static void *settles(void *arg)
{
	(void)arg;
	shm_direct_settle(&us.direct, 0);
	hca_store_release(&settled, true);
	return NULL;
}

/* A mark is waited for while its process lives, stopped or not, and no longer. */
static void a_mark_of_one_that_dies(void **state)
{
	pthread_t thread;

	(void)state;
	hca_store(&settled, false);
	tell(&(const struct told){ .order = MARK });
	kill(child, SIGSTOP);
	assert_int_equal(pthread_create(&thread, NULL, settles, NULL), 0);
	usleep(50000);
	shm_direct_settle(&us.direct, HCA_FABRIC_NODES - 1); /* what another node may use waits for that one alone */
	assert_false(hca_load_acquire(&settled));
	end_child(SIGKILL);
	pthread_join(thread, NULL);
	assert_true(hca_load_acquire(&settled));
	shm_direct_settle(&us.direct, 0);
	assert_int_equal(us.head->users[0], 0); /* nobody is asked again */
}

/* A node that can't be looked at for want of descriptors may have a mark: it counts as one that has, not as dead. */
static void a_mark_and_no_descriptor(void **state)
{
	struct rlimit old, none;
	pthread_t thread;

	(void)state;
	hca_store(&settled, false);
	tell(&(const struct told){ .order = MARK });
	kill(child, SIGSTOP);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(pthread_create(&thread, NULL, settles, NULL), 0);
	usleep(50000);
	assert_false(hca_load_acquire(&settled));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	usleep(50000);
	assert_false(hca_load_acquire(&settled));
	end_child(SIGKILL);
	pthread_join(thread, NULL);
}

/* An initiator dies somewhere in its copies: nothing is written when the deregistration has returned. */
static void killed_within_a_copy(void **state)
{
	struct told t = { .order = MANY, .right = WRITE, .key = A_KEY, .len = 65536 };
	struct hca_wire_key k = key_of(A_KEY);
	u32 i, j;

	(void)state;
	for (i = 0; i < 40; i++) {
		memset(both, 0, sizeof(*both));
		publish(&us, &k);
		order(&t);
		while (hca_load(&both->done) < 1 + i % 5)
			usleep(0);
		for (j = hca_random_u32() % 3000; j; j--)
			hca_load(&both->done);
		if (i % 2) {
			kill(child, SIGKILL);
			deregister(&us, A_KEY);
		} else {
			deregister(&us, A_KEY);
			kill(child, SIGKILL);
		}
		memset(ram, 0xdd, 65536);
		end_child(SIGKILL);
		for (j = 0; j < 65536; j++)
			assert_int_equal(ram[j], 0xdd);
		start_child();
	}
}

/* --- death of the target --- */

static void the_target_dies(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i < 3; i++) {
		give_key();
		fill(own, 64, i);
		assert_true(carry_out(&us, CHILD, WRITE, A_KEY, 0, own, 64));
		assert_true(child_has(0, 64, i));
		end_child(SIGKILL);
		assert_false(carry_out(&us, CHILD, WRITE, A_KEY, 0, own, 64));
		assert_false(carry_out(&us, CHILD, WRITE, A_KEY, 0, own, 64));
		if (i)
			shm_direct_forget(&us.direct, CHILD);
		assert_null(i ? us.direct.peer[CHILD] : NULL);
		start_child(); /* another one with its number */
	}
	give_key();
	assert_true(carry_out(&us, CHILD, WRITE, A_KEY, 0, own, 64));
	end_child(0);
	assert_false(carry_out(&us, CHILD, WRITE, A_KEY, 0, own, 64));
	start_child();
}

/* A process with this pid, which is free. Return: as fork(); -1: the system doesn't let us choose. */
static pid_t fork_as(pid_t pid)
{
	struct clone_args args = { .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1 };

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* Until it is told, it does nothing; then it says whether its memory is as it was. */
static void bystander(int from, int to)
{
	u8 byte;
	u32 i;

	if (read(from, &byte, 1) != 1)
		_exit(1);
	for (byte = 1, i = 0; i < RAM; i++)
		byte &= ram[i] == 0x33;
	_exit(write(to, &byte, 1) != 1);
}

/*
 * The number of the peer's process is another one's by now, which has memory at the same addresses. Not a byte of it changes, and
 * what is read from it isn't taken.
 */
static void a_pid_that_came_back(void **state)
{
	pid_t was = child, other;
	int pipes[2][2];
	u8 byte = 1;
	u32 i;

	(void)state;
	memset(ram, 0x33, RAM);
	give_key();
	assert_true(carry_out(&us, CHILD, READ, A_KEY, 0, own, 65536));
	assert_int_equal(pipe(pipes[0]) | pipe(pipes[1]), 0);
	end_child(SIGKILL);
	other = fork_as(was);
	if (!other)
		bystander(pipes[0][0], pipes[1][1]);
	if (other < 0) {
		start_child();
		skip();
	}
	assert_int_equal(other, was);
	memset(own, 0x44, RAM);
	/* The one that the first call finds gone is looked up anew: so each size is a peer that was met before. */
	assert_false(carry_out(&us, CHILD, WRITE, A_KEY, 0, own, 65536));
	assert_false(carry_out(&us, CHILD, READ, A_KEY, 0, own, 65536));
	for (i = 1; i <= 65536; i *= 2) {
		assert_false(carry_out(&us, CHILD, READ, A_KEY, 0, own, i));
		assert_false(carry_out(&us, CHILD, WRITE, A_KEY, 0, own, i));
	}
	assert_int_equal(write(pipes[0][1], &byte, 1), 1);
	assert_int_equal(read(pipes[1][0], &byte, 1), 1);
	assert_int_equal(byte, 1);
	waitpid(other, NULL, 0);
	for (i = 0; i < 4; i++)
		close(pipes[i / 2][i % 2]);
	start_child();
}

/* A process of another start is another process. */
static void a_pid_with_another_start(void **state)
{
	struct node n;
	struct hca_wire_key k = key_of(A_KEY);
	struct hca_wire_qp qp = qp_of(3, US);

	(void)state;
	node_open(&n, 3, false);
	publish(&n, &k);
	shm_share_qp(&n.share, &qp);
	n.head->start++;
	assert_false(carry_out(&us, 3, READ, A_KEY, 0, own, 8));
	node_close(&n);
	node_open(&n, 3, false);
	publish(&n, &k);
	shm_share_qp(&n.share, &qp);
	assert_true(carry_out(&us, 3, READ, A_KEY, 0, own, 8)); /* ourselves */
	node_close(&n);
}

/* --- a full file system --- */

/* Keys that no memory is left for are not there for others: the owner isn't killed, and they aren't. */
static void no_room_for_keys(void **state)
{
	struct hca_wire_qp qp = qp_of(3, US);
	struct node n;
	u32 i, got = 0;
	char was[64];

	(void)state;
	strcpy(was, fabric);
	strcpy(fabric, "/tmp/test-softhca-XXXXXX");
	assert_non_null(mkdtemp(fabric));
	if (mount("tmpfs", fabric, "tmpfs", 0, "size=384k")) {
		rmdir(fabric);
		strcpy(fabric, was);
		skip();
	}
	node_open(&n, 3, false);
	shm_share_qp(&n.share, &qp);
	close(us.direct.dir);
	us.direct.dir = us.dir = open(fabric, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (i = 1; i < KEYS; i++) {
		struct hca_wire_key k = key_of(i << 8);

		publish(&n, &k);
		if (carry_out(&us, 3, READ, i << 8, 0, own, 8))
			got++;
		shm_share_key(&n.share, i << 8, NULL);
	}
	assert_true(got >= 1023 && got < KEYS - 1);
	assert_int_equal(n.head->key_slots, got + 1);
	node_close(&n);
	shm_direct_forget(&us.direct, 3);
	close(us.dir);
	assert_int_equal(umount(fabric), 0);
	rmdir(fabric);
	strcpy(fabric, was);
	us.direct.dir = us.dir = open(fabric, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

#define T(t) cmocka_unit_test_setup_teardown(t, open_nodes, close_nodes)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(every_size),
		T(several_runs),
		T(a_piece_of_a_message),
		T(a_stopped_peer_is_not_needed),
		T(wrong_keys),
		T(wrong_queue_pairs),
		T(unreliable),
		T(unmapped_memory),
		T(half_an_entry),
		T(forbidden_from_the_start),
		T(forbidden_by_the_system),
		T(a_key_goes_under_load),
		T(a_mark_of_one_that_dies),
		T(a_mark_and_no_descriptor),
		T(killed_within_a_copy),
		T(the_target_dies),
		T(a_pid_that_came_back),
		T(a_pid_with_another_start),
		T(no_room_for_keys),
	};

	return cmocka_run_group_tests_name("shm_direct", tests, NULL, NULL);
}
