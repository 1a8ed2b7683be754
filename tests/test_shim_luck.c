/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a program of verbs may meet that isn't its own mistake: no descriptors left, memory of another process that is gone when
 * bytes are to move, threads that end, forked children that know nothing of the library, signals at any time.
 */
#include "shim_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#define PAGES (16 * 4096)
#define PATIENT 20 /* 4 s, eight times: the other process is on a busy machine */

/* --- descriptors --- */

static int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

struct things {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct ibv_mr *mr;
	struct ibv_qp *qp;
};

/* All that a program makes. Return: how many of them could be made; the next one failed, and errno says why. */
static int make(struct things *t, uint8_t *mem)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_qp_init_attr init = { .qp_type = IBV_QPT_RC, .cap = { 1, 1, 1, 1, 0 } };
	int err;

	memset(t, 0, sizeof(*t));
	errno = 0;
	t->ctx = list ? ibv_open_device(list[0]) : NULL;
	err = errno;
	if (list)
		ibv_free_device_list(list);
	errno = err;
	if (!t->ctx)
		return 0;
	if (!(t->pd = ibv_alloc_pd(t->ctx)))
		return 1;
	if (!(t->channel = ibv_create_comp_channel(t->ctx)))
		return 2;
	if (!(t->cq = ibv_create_cq(t->ctx, 4, NULL, t->channel, 0)))
		return 3;
	if (!(t->mr = ibv_reg_mr(t->pd, mem, 4096, BED_ACCESS)))
		return 4;
	init.send_cq = init.recv_cq = t->cq;
	if (!(t->qp = ibv_create_qp(t->pd, &init)))
		return 5;
	return 6;
}

static int unmake(struct things *t)
{
	return (t->qp && ibv_destroy_qp(t->qp)) || (t->mr && ibv_dereg_mr(t->mr)) || (t->cq && ibv_destroy_cq(t->cq)) ||
	       (t->channel && ibv_destroy_comp_channel(t->channel)) || (t->pd && ibv_dealloc_pd(t->pd)) ||
	       (t->ctx && ibv_close_device(t->ctx));
}

static bool is_empty(void)
{
	DIR *d = opendir(fabric);
	const struct dirent *f;
	bool empty = d;

	while (d && (f = readdir(d)))
		empty = empty && f->d_name[0] == '.';
	if (d)
		closedir(d);
	return empty;
}

static void set_limit(rlim_t n)
{
	struct rlimit l;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &l), 0);
	l.rlim_cur = n;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &l), 0);
}

static ssize_t gids(struct ibv_context *ctx)
{
	struct ibv_gid_entry entries[16];

	return ibv_query_gid_table(ctx, entries, 16, 0);
}

/* With each number of descriptors that may be opened: what can't be made says so, and what was made goes away whole. */
static void descriptors_run_out(void **state)
{
	static uint8_t mem[4096];
	int before = descriptors(), made = 0, last = -1, err, i;
	struct things t;
	struct rlimit old;
	ssize_t all;

	(void)state;
	assert_int_equal(make(&t, mem), 6);
	assert_true((all = gids(t.ctx)) > 0);
	assert_int_equal(unmake(&t), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	for (i = 0; made < 6; i++) {
		assert_true(i < 64);
		set_limit((rlim_t)i);
		made = make(&t, mem);
		err = errno;
		set_limit(old.rlim_cur);
		if (made < 6)
			assert_int_equal(err, EMFILE);
		if (made)
			assert_int_equal(gids(t.ctx), all);
		assert_true(made >= last); /* more of them don't make less possible */
		last = made;
		assert_int_equal(unmake(&t), 0);
		assert_int_equal(descriptors(), before);
		assert_true(is_empty());
	}
}

/* --- the memory of another process --- */

struct name {
	uint32_t qpn, rkey;
	uint64_t addr;
};

/* Unmaps, or cuts the file of, what its region is on, when it is told; then says that it is there still. */
static void be_target(int line, bool file)
{
	struct name own, peer;
	struct ibv_mr *mr;
	struct bed b;
	uint8_t *p;
	char c;
	int fd;

	bed_begin(&b);
	b.qp[0] = bed_qp(&b, IBV_QPT_RC, NULL);
	fd = file ? memfd_create("cut", MFD_CLOEXEC) : -1;
	if (file && ftruncate(fd, PAGES))
		_exit(1);
	p = mmap(NULL, PAGES, PROT_READ | PROT_WRITE, file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
	mr = ibv_reg_mr(b.pd, p, PAGES, BED_ACCESS);
	own = (struct name){ b.qp[0]->qp_num, mr->rkey, (uintptr_t)p };
	if (write(line, &own, sizeof(own)) != sizeof(own) || read(line, &peer, sizeof(peer)) != sizeof(peer))
		_exit(2);
	bed_connect_for(&b, b.qp[0], peer.qpn, PATIENT);
	if (write(line, "", 1) != 1 || read(line, &c, 1) != 1)
		_exit(3);
	if (file ? ftruncate(fd, 0) : munmap(p, PAGES))
		_exit(4);
	if (write(line, "", 1) != 1 || read(line, &c, 1) != 1)
		_exit(5);
	ibv_dereg_mr(mr);
	bed_end(&b);
	_exit(0);
}

static void gone_elsewhere(enum ibv_wr_opcode op, bool file)
{
	struct name peer, own;
	int line[2], status;
	struct ibv_wc wc;
	struct bed b;
	pid_t pid;
	char c;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		be_target(line[1], file);
	}
	close(line[1]);
	bed_begin(&b);
	b.qp[0] = bed_qp(&b, IBV_QPT_RC, NULL);
	own = (struct name){ .qpn = b.qp[0]->qp_num };
	assert_int_equal(read(line[0], &peer, sizeof(peer)), sizeof(peer));
	bed_connect_for(&b, b.qp[0], peer.qpn, PATIENT);
	assert_int_equal(write(line[0], &own, sizeof(own)), sizeof(own));
	assert_int_equal(read(line[0], &c, 1), 1);
	wc = bed_rdma(&b, op, bed_sge(&b, 0, 0, 8), peer.addr + 4096, peer.rkey);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(write(line[0], "", 1), 1);
	assert_int_equal(read(line[0], &c, 1), 1);
	wc = bed_rdma(&b, op, bed_sge(&b, 0, 0, 8), peer.addr + 4096, peer.rkey);
	assert_int_equal(wc.status, IBV_WC_REM_OP_ERR);
	assert_int_equal(write(line[0], "", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(line[0]);
	bed_end(&b);
}

static void memory_that_is_gone_elsewhere(void **state)
{
	(void)state;
	gone_elsewhere(IBV_WR_RDMA_WRITE, false);
	gone_elsewhere(IBV_WR_RDMA_READ, false);
	gone_elsewhere(IBV_WR_ATOMIC_FETCH_AND_ADD, false);
	gone_elsewhere(IBV_WR_RDMA_WRITE, true);
	gone_elsewhere(IBV_WR_RDMA_READ, true);
}

/* --- threads that end --- */

static void *write_once(void *arg)
{
	struct bed *b = arg;

	return (void *)(uintptr_t)bed_rdma(b, IBV_WR_RDMA_WRITE, bed_sge(b, 0, 0, 8), (uintptr_t)b->mem[1],
					   b->mr[1]->rkey)
		.status;
}

/* More than there is room for at a time, each with a request of its own; then their marks must be free for others. */
static void threads_that_end(void **state)
{
	pthread_t thread;
	struct bed b;
	void *status;
	int i;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	for (i = 0; i < 1500; i++) {
		assert_int_equal(pthread_create(&thread, NULL, write_once, &b), 0);
		assert_int_equal(pthread_join(thread, &status), 0);
		assert_int_equal((int)(uintptr_t)status, IBV_WC_SUCCESS);
	}
	bed_end(&b);
}

/* --- fork --- */

/*
 * Children that end in each way there is, while the parent's memory is registered and its queue pairs work: what the parent
 * writes afterwards is what goes, though its pages were shared for a while, and nothing of its was taken down.
 */
static void children_that_know_nothing(void **state)
{
	struct ibv_wc wc;
	int i, status;
	struct bed b;
	pid_t pid;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	for (i = 0; i < 12; i++) {
		fflush(stdout);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid) {
			memset(b.mem[0], 0xee, BED_BYTES);
			memset(b.mem[1], 0xee, BED_BYTES);
			if (i % 4 == 0)
				_exit(0);
			if (i % 4 == 1)
				exit(0); /* with what the library has to do at the end of a process */
			if (i % 4 == 2)
				raise(SIGKILL);
			execl("/bin/true", "true", (char *)NULL);
			_exit(1);
		}
		memset(b.mem[0], i, 100);
		wc = bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 100), (uintptr_t)b.mem[1], b.mr[1]->rkey);
		assert_int_equal(wc.status, IBV_WC_SUCCESS);
		assert_memory_equal(b.mem[1], b.mem[0], 100);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(i % 4 == 2 ? WIFSIGNALED(status) : status == 0);
		wc = bed_rdma(&b, IBV_WR_RDMA_READ, bed_sge(&b, 0, 0, 100), (uintptr_t)b.mem[1], b.mr[1]->rkey);
		assert_int_equal(wc.status, IBV_WC_SUCCESS);
		assert_int_equal(b.mem[0][99], i);
	}
	assert_false(is_empty());
	bed_end(&b);
	assert_true(is_empty());
}

/* --- signals --- */

static volatile sig_atomic_t ticks;

static void tick(int sig)
{
	(void)sig;
	ticks++;
}

static void signals_at_any_time(void **state)
{
	struct itimerval each = { { 0, 500 }, { 0, 500 } }, none = { { 0, 0 }, { 0, 0 } };
	struct sigaction sa = { .sa_handler = tick }, before; /* without SA_RESTART */
	struct ibv_sge to, from;
	struct ibv_send_wr wr = { .sg_list = &from, .num_sge = 1, .opcode = IBV_WR_SEND };
	struct ibv_cq *cq;
	struct bed b;
	void *arg;
	int i;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	sigaction(SIGALRM, &sa, &before);
	setitimer(ITIMER_REAL, &each, NULL);
	to = bed_sge(&b, 1, 0, 1000);
	from = bed_sge(&b, 0, 0, 1000);
	for (i = 0; i < 2000 || ticks < 20; i++) {
		bed_recv(b.qp[1], 1, &to);
		assert_int_equal(ibv_req_notify_cq(b.cq, 0), 0);
		bed_post(b.qp[0], &wr);
		while (ibv_get_cq_event(b.channel, &cq, &arg))
			assert_int_equal(errno, EINTR);
		ibv_ack_cq_events(cq, 1);
		assert_int_equal(bed_poll(b.cq).status, IBV_WC_SUCCESS);
	}
	setitimer(ITIMER_REAL, &none, NULL);
	sigaction(SIGALRM, &before, NULL);
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_run_out), cmocka_unit_test(memory_that_is_gone_elsewhere),
		cmocka_unit_test(threads_that_end),    cmocka_unit_test(children_that_know_nothing),
		cmocka_unit_test(signals_at_any_time),
	};

	return cmocka_run_group_tests_name("shim_luck", tests, make_fabric, remove_fabric);
}
