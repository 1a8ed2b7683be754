/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The wire between processes, with processes: work both ways, peers that are killed at any instant, peers that are stopped. */
#include "shm_fixture.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define ROUNDS 50u
#define DEPTH 32u
#define MESSAGE 3000u
#define HALF (SIDE_BYTES / 2) /* receives */
#define THEIRS (512u << 10) /* what the other one writes and reads, up to HALF */
#define READ_TO (HALF + THEIRS)

/* In a child: cmocka's assertions are the parent's. */
#define CHECK(c) ((c) ? (void)0 : (fprintf(stderr, "# line %d: %s\n", __LINE__, #c), _exit(1)))

static struct side s;

static bool exchange(int fd, const struct side *own, struct side_name *peer)
{
	struct side_name name = side_name(own);

	return write(fd, &name, sizeof(name)) == (ssize_t)sizeof(name) &&
	       read(fd, peer, sizeof(*peer)) == (ssize_t)sizeof(*peer);
}

/* The child has @fd to the parent, and its own side. */
static pid_t start(void (*child)(int fd), int *fd)
{
	int pair[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(pair[0]);
		child(pair[1]);
		_exit(0);
	}
	close(pair[1]);
	*fd = pair[0];
	return pid;
}

static int end(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* --- work --- */

/* What both do: sends, writes, reads and atomics to the other one, receives from it. */
struct work {
	struct side_name peer;
	u32 sent;
	u32 done;
	u32 wanted; /* receives posted */
	u32 got;
	u32 failed;
};

static const enum hca_wr_opcode mix[] = {
	HCA_WR_SEND, HCA_WR_RDMA_WRITE,		  HCA_WR_SEND_WITH_IMM,	      HCA_WR_RDMA_READ,
	HCA_WR_SEND, HCA_WR_ATOMIC_FETCH_AND_ADD, HCA_WR_RDMA_WRITE_WITH_IMM, HCA_WR_SEND,
};

static u32 length_of(enum hca_wr_opcode op, u32 n)
{
	if (op == HCA_WR_ATOMIC_FETCH_AND_ADD)
		return 8;
	return op == HCA_WR_RDMA_READ || op == HCA_WR_RDMA_WRITE ? (n % 64) * 4096 : n % MESSAGE;
}

/* Return: something was posted or completed. */
static bool work_step(struct work *w, u32 total)
{
	bool moved = false;
	struct hca_wc wc;

	while (w->wanted - w->got < DEPTH && !side_recv(&s, w->wanted, HALF + MESSAGE * (w->wanted % DEPTH), MESSAGE)) {
		w->wanted++;
		moved = true;
	}
	while (w->sent < total && w->sent - w->done < DEPTH) {
		enum hca_wr_opcode op = mix[w->sent % HCA_ARRAY_SIZE(mix)];
		u64 off = 8 * (w->sent % 1000), at = off;

		if (op == HCA_WR_RDMA_READ || op == HCA_WR_ATOMIC_FETCH_AND_ADD)
			at += READ_TO;
		if (side_post(&s, &w->peer, w->sent, op, at, length_of(op, w->sent), THEIRS + off))
			break;
		w->sent++;
		moved = true;
	}
	hca_shm_poll(s.shm);
	while (hca_cq_ring_poll(&s.scq.ring, &wc, 1)) {
		w->failed += wc.status != HCA_WC_SUCCESS || wc.wr_id != w->done;
		w->done++;
		moved = true;
	}
	while (hca_cq_ring_poll(&s.rcq.ring, &wc, 1)) {
		w->failed += wc.status != HCA_WC_SUCCESS || wc.wr_id != w->got;
		w->got++;
		moved = true;
	}
	return moved;
}

static void work_begin(int fd, struct work *w)
{
	memset(w, 0, sizeof(*w));
	CHECK(!side_open(&s));
	CHECK(!side_qp(&s, HCA_QPT_RC));
	CHECK(exchange(fd, &s, &w->peer));
	CHECK(!side_connect(&s, &w->peer));
}

/* --- both live --- */

#define TOTAL 4000u
#define TOTAL_RECEIVED (TOTAL / 8 * 5) /* of mix */

static void work_all(struct work *w, int fd)
{
	u32 turns = 0;
	char c = 0;

	while (w->done < TOTAL || w->got < TOTAL_RECEIVED)
		if (work_step(w, TOTAL))
			turns = 0;
		else
			hca_relax(&turns);
	/* The other one's last are answered as long as we are here. */
	CHECK(write(fd, &c, 1) == 1);
	hca_shm_arm(s.shm);
	CHECK(read(fd, &c, 1) == 1);
}

static void child_works(int fd)
{
	struct work w;

	work_begin(fd, &w);
	work_all(&w, fd);
	CHECK(!w.failed);
	/* No word of goodbye: it exits with all of it open. */
}

static void test_two_processes(void **state)
{
	struct work w;
	pid_t pid;
	int fd;

	(void)state;
	pid = start(child_works, &fd);
	work_begin(fd, &w);
	work_all(&w, fd);
	assert_int_equal(w.failed, 0);
	assert_int_equal(end(pid), 0);
	while (!hca_load(&s.deaths))
		hca_pause();
	close(fd);
	side_close(&s);
	assert_int_equal(fabric_files(), 0);
}

/* --- one is killed --- */

static void child_works_on(int fd)
{
	struct work w;
	char c = 0;

	work_begin(fd, &w);
	CHECK(write(fd, &c, 1) == 1);
	for (;;)
		work_step(&w, ~0u);
}

/* All that was posted completes, in an error at last; and the device isn't hurt. */
static void survive(struct work *w)
{
	u32 turns = 0;

	while (!hca_load(&s.deaths) || w->done < w->sent || w->got < w->wanted)
		if (work_step(w, hca_load(&s.deaths) ? w->sent : ~0u))
			turns = 0;
		else
			hca_relax(&turns);
}

static void one_round(u32 seed)
{
	struct work w;
	pid_t pid;
	char c;
	int fd;

	pid = start(child_works_on, &fd);
	work_begin(fd, &w);
	assert_int_equal(read(fd, &c, 1), 1);
	for (seed = 1 + seed * 2654435761u % 2000; seed; seed--)
		work_step(&w, ~0u);
	kill(pid, SIGKILL);
	survive(&w);
	assert_int_equal(s.dead, w.peer.node);
	assert_true(w.failed > 0);
	end(pid);
	close(fd);
	side_close(&s);
	/* The next one that starts finds nothing but itself, and leaves nothing. */
	assert_int_equal(side_open(&s), 0);
	assert_int_equal(hca_shm_number(s.shm), 1);
	side_close(&s);
	assert_int_equal(fabric_files(), 0);
}

static void test_killed(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i < ROUNDS; i++)
		one_round(i);
}

/* --- one is stopped --- */

/* It takes nothing in, so its ring fills; another peer isn't delayed, and when it goes on, all arrives. */
static void test_stopped(void **state)
{
	struct work w;
	static struct side t;
	struct side_name sn, tn;
	struct hca_qp *first;
	struct hca_wc wc;
	int fd, status;
	pid_t pid;
	char c;
	u32 i;

	(void)state;
	pid = start(child_works, &fd);
	work_begin(fd, &w);
	for (i = 0; i < 100; i++)
		work_step(&w, TOTAL);
	kill(pid, SIGSTOP);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	for (i = 0; i < 20000; i++)
		work_step(&w, TOTAL);
	/* A third one, served by the same process. */
	first = s.qp;
	assert_int_equal(side_open(&t), 0);
	assert_int_equal(side_qp(&t, HCA_QPT_UC), 0);
	assert_int_equal(side_qp(&s, HCA_QPT_UC), 0);
	tn = side_name(&t);
	sn = side_name(&s);
	assert_int_equal(side_connect(&s, &tn), 0);
	hca_store(&s.peer, w.peer.node);
	assert_int_equal(side_connect(&t, &sn), 0);
	assert_int_equal(side_recv(&t, 7, 0, 100), 0);
	assert_int_equal(side_post(&s, &tn, 9, HCA_WR_SEND, 0, 100, 0), 0);
	side_wait(&t, &t.rcq, &wc);
	assert_int_equal(wc.status, HCA_WC_SUCCESS);
	side_close(&t);
	while (!hca_cq_ring_poll(&s.scq.ring, &wc, 1))
		hca_shm_poll(s.shm);
	assert_int_equal(wc.wr_id, 9);
	hca_qp_destroy(s.qp);
	s.qp = first;
	kill(pid, SIGCONT);
	work_all(&w, fd);
	assert_int_equal(w.failed, 0);
	assert_int_equal(read(fd, &c, 1), 0);
	assert_int_equal(end(pid), 0);
	close(fd);
	while (hca_load(&s.deaths) < 2)
		hca_pause();
	side_close(&s);
}

#define IN_FABRIC(t) cmocka_unit_test_setup_teardown(t, fabric_make, fabric_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FABRIC(test_two_processes),
		IN_FABRIC(test_killed),
		IN_FABRIC(test_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
