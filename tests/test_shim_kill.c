/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Peers that die or are stopped at any instant, seen by programs of verbs: the one that lives on gets an error completion or an
 * event, can destroy all it has, and its other peers don't notice; nothing of the dead is left after the next start.
 * SHIM_KILL_ROUNDS: how many die (50); SHIM_STOP_MS: for how long one is stopped (1000); SOFTHCA_SEED: of the instants.
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define AT_ONCE 10u
#define DEPTH 8u
#define MESSAGE 3000u
#define LONG (200u << 10)
#define BYTES (1u << 20)
#define LAST_MS 60u /* one dies at some time before that */
#define PATIENT 20 /* the timeout of a queue pair that is to outlast a stop: 4 s, eight times */

/* In a child: cmocka's assertions are the parent's. */
#define CHECK(c) ((c) ? (void)0 : (fprintf(stderr, "# pid %d, line %d: %s\n", (int)getpid(), __LINE__, #c), _exit(1)))

/* What the survivor does; the victim receives and lets the other one write and read. */
enum work { SENDS, WRITES, READS, ADDS, ALL_KINDS, RECEIVES, SLEEPS, UNRELIABLE, WORKS };

struct end {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_mr *mr;
	uint8_t *mem;
	uint32_t sent, recvs; /* posted */
	uint32_t done, got; /* completed */
};

struct name {
	uint32_t qpn, rkey;
	uint64_t addr;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- an end --- */

static void end_open(struct end *e, enum ibv_qp_type type)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_qp_init_attr attr = {
		.qp_type = type,
		.cap = { .max_send_wr = DEPTH, .max_recv_wr = DEPTH, .max_send_sge = 1, .max_recv_sge = 1 },
	};

	/* None of them outlives the test, in whatever way that ends. */
	CHECK(!prctl(PR_SET_PDEATHSIG, SIGKILL));
	CHECK(list);
	CHECK(e->ctx = ibv_open_device(list[0]));
	ibv_free_device_list(list);
	CHECK(e->pd = ibv_alloc_pd(e->ctx));
	CHECK(e->channel = ibv_create_comp_channel(e->ctx));
	CHECK(e->cq = ibv_create_cq(e->ctx, 4 * DEPTH, NULL, e->channel, 0));
	CHECK((e->mem = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED);
	CHECK(e->mr = ibv_reg_mr(e->pd, e->mem, BYTES, BED_ACCESS));
	attr.send_cq = attr.recv_cq = e->cq;
	CHECK(e->qp = ibv_create_qp(e->pd, &attr));
	CHECK(!fcntl(e->ctx->async_fd, F_SETFL, O_NONBLOCK));
}

static void end_connect(struct end *e, uint32_t to, uint8_t timeout)
{
	bool rc = e->qp->qp_type == IBV_QPT_RC;
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_INIT, .port_num = 1, .qp_access_flags = BED_ACCESS };

	CHECK(!ibv_modify_qp(e->qp, &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS));
	a = (struct ibv_qp_attr){ .qp_state = IBV_QPS_RTR,
				  .path_mtu = IBV_MTU_1024,
				  .dest_qp_num = to,
				  .max_dest_rd_atomic = 4,
				  .min_rnr_timer = 1,
				  .ah_attr = { .port_num = 1, .is_global = 1, .grh.hop_limit = 1 } };
	CHECK(!ibv_query_gid(e->ctx, 1, 0, &a.ah_attr.grh.dgid));
	CHECK(!ibv_modify_qp(e->qp, &a,
			     IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
				     (rc ? IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER : 0)));
	a = (struct ibv_qp_attr){
		.qp_state = IBV_QPS_RTS, .timeout = timeout, .retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = 4
	};
	CHECK(!ibv_modify_qp(
		e->qp, &a,
		IBV_QP_STATE | IBV_QP_SQ_PSN |
			(rc ? IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC : 0)));
}

static void end_close(struct end *e)
{
	CHECK(!ibv_destroy_qp(e->qp));
	CHECK(!ibv_dereg_mr(e->mr));
	CHECK(!ibv_destroy_cq(e->cq));
	CHECK(!ibv_destroy_comp_channel(e->channel));
	CHECK(!ibv_dealloc_pd(e->pd));
	CHECK(!ibv_close_device(e->ctx));
	munmap(e->mem, BYTES);
}

/* Both ends, over a line between them. Return: false: the other one died before that. */
static bool meet(struct end *e, int line, struct name *peer, uint8_t timeout)
{
	struct name own = { e->qp->qp_num, e->mr->rkey, (uintptr_t)e->mem };
	char c = 0;

	if (write(line, &own, sizeof(own)) != sizeof(own) || read(line, peer, sizeof(*peer)) != sizeof(*peer))
		return false;
	end_connect(e, peer->qpn, timeout);
	return write(line, &c, 1) == 1 && read(line, &c, 1) == 1;
}

/* --- work --- */

static void give(struct end *e)
{
	struct ibv_sge sge = { .addr = (uintptr_t)e->mem + BYTES / 2 + MESSAGE * (e->recvs % DEPTH),
			       .length = MESSAGE,
			       .lkey = e->mr->lkey };
	struct ibv_recv_wr wr = { .wr_id = 1ull << 32 | e->recvs, .sg_list = &sge, .num_sge = 1 }, *bad;

	if (!ibv_post_recv(e->qp, &wr, &bad))
		e->recvs++;
}

static void ask(struct end *e, const struct name *peer, enum work work)
{
	static const enum work each[] = { SENDS, WRITES, READS, ADDS };
	struct ibv_sge sge = { .addr = (uintptr_t)e->mem, .length = LONG, .lkey = e->mr->lkey };
	struct ibv_send_wr wr = { .wr_id = e->sent, .sg_list = &sge, .num_sge = 1, .send_flags = IBV_SEND_SIGNALED },
			   *bad;

	if (work == ALL_KINDS)
		work = each[e->sent % 4];
	wr.wr.rdma.remote_addr = peer->addr;
	wr.wr.rdma.rkey = peer->rkey;
	if (work == SENDS || work == UNRELIABLE) {
		wr.opcode = IBV_WR_SEND;
		sge.length = e->sent % MESSAGE;
	} else if (work == ADDS) {
		wr.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD;
		wr.wr.atomic.remote_addr = peer->addr;
		wr.wr.atomic.compare_add = 1;
		wr.wr.atomic.rkey = peer->rkey;
		sge.length = 8;
	} else {
		wr.opcode = work == READS ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE;
		sge.length = 1 + e->sent * 4099 % LONG;
	}
	if (!ibv_post_send(e->qp, &wr, &bad))
		e->sent++;
}

/* Return: how many of what completed had an error. */
static uint32_t take(struct end *e)
{
	uint32_t failed = 0;
	struct ibv_wc wc;

	while (ibv_poll_cq(e->cq, 1, &wc) > 0) {
		failed += wc.status != IBV_WC_SUCCESS;
		if (wc.wr_id >> 32)
			e->got++;
		else
			e->done++;
	}
	return failed;
}

static bool has_event(struct end *e)
{
	struct ibv_async_event event;
	bool fatal;

	if (ibv_get_async_event(e->ctx, &event))
		return false;
	fatal = event.event_type == IBV_EVENT_QP_FATAL;
	ibv_ack_async_event(&event);
	return fatal;
}

/* Asleep, until a completion or an event comes. */
static void sleep_on(struct end *e)
{
	struct pollfd fds[] = { { .fd = e->channel->fd, .events = POLLIN },
				{ .fd = e->ctx->async_fd, .events = POLLIN } };
	struct ibv_cq *cq;
	void *arg;

	CHECK(!ibv_req_notify_cq(e->cq, 0));
	if (poll(fds, 2, -1) > 0 && fds[0].revents) {
		CHECK(!ibv_get_cq_event(e->channel, &cq, &arg));
		ibv_ack_cq_events(cq, 1);
	}
}

static void be_victim(int line, enum work work)
{
	struct name peer;
	struct end e = { 0 };

	end_open(&e, work == UNRELIABLE ? IBV_QPT_UC : IBV_QPT_RC);
	if (!meet(&e, line, &peer, 8))
		pause();
	for (;;) {
		while (e.recvs - e.got < DEPTH)
			give(&e);
		/* Where the survivor only receives, this one sends. */
		if (work >= RECEIVES && work != UNRELIABLE && e.sent - e.done < DEPTH)
			ask(&e, &peer, SENDS);
		/* On a busy machine one of the two may have given up before. */
		take(&e);
	}
}

/* What it tells the parent by @line in the end: when it heard of the death. */
static void be_survivor(int line, int parent, enum work work)
{
	struct end e = { 0 };
	struct name peer;
	uint64_t heard;

	end_open(&e, work == UNRELIABLE ? IBV_QPT_UC : IBV_QPT_RC);
	if (meet(&e, line, &peer, 8)) {
		while (!take(&e) && !has_event(&e)) {
			while (work >= RECEIVES && work != UNRELIABLE && e.recvs - e.got < DEPTH)
				give(&e);
			if (work < RECEIVES || work == UNRELIABLE)
				if (e.sent - e.done < DEPTH)
					ask(&e, &peer, work);
			if (work == SLEEPS)
				sleep_on(&e);
		}
	}
	heard = now_ns();
	end_close(&e);
	CHECK(write(parent, &heard, sizeof(heard)) == sizeof(heard));
	_exit(0);
}

/* --- the parent --- */

struct round {
	pid_t victim, survivor;
	int from; /* the survivor */
	uint64_t when; /* to kill */
	bool killed;
};

static uint32_t chance;

static uint32_t draw(uint32_t n)
{
	chance = chance * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)chance * n >> 32);
}

static long setting(const char *name, long standard)
{
	const char *v = getenv(name);

	return v ? strtol(v, NULL, 0) : standard;
}

static void round_begin(struct round *r, enum work work)
{
	int line[2], out[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	fflush(stdout);
	r->victim = fork();
	assert_true(r->victim >= 0);
	if (!r->victim) {
		close(line[0]);
		be_victim(line[1], work);
	}
	r->survivor = fork();
	assert_true(r->survivor >= 0);
	if (!r->survivor) {
		close(line[1]);
		be_survivor(line[0], out[1], work);
	}
	close(line[0]);
	close(line[1]);
	close(out[1]);
	r->from = out[0];
	r->killed = false;
	r->when = now_ns() + draw(LAST_MS * 1000000u);
}

static void kill_them(struct round *r, uint32_t n)
{
	uint32_t i, left = n;

	while (left) {
		for (i = 0; i < n; i++) {
			if (r[i].killed || now_ns() < r[i].when)
				continue;
			r[i].when = now_ns();
			kill(r[i].victim, SIGKILL);
			r[i].killed = true;
			left--;
		}
		usleep(100);
	}
}

/* Return: how long it took the survivor to hear of it, which must have gone on well. */
static uint64_t round_end(struct round *r)
{
	uint64_t heard = 0;
	int status;

	assert_int_equal(read(r->from, &heard, sizeof(heard)), sizeof(heard));
	close(r->from);
	assert_int_equal(waitpid(r->survivor, &status, 0), r->survivor);
	assert_int_equal(status, 0);
	assert_int_equal(waitpid(r->victim, &status, 0), r->victim);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return heard > r->when ? heard - r->when : 0;
}

/* --- others, who must not notice --- */

struct others {
	pid_t pid[2]; /* one that asks, and one that answers */
	int stop;
};

/* Until nobody holds the other end of @stop. */
static void be_other(int line, int stop, bool asks)
{
	struct pollfd over = { .fd = stop }, told = { .fd = line, .events = POLLIN };
	struct end e = { 0 };
	struct name peer;

	end_open(&e, IBV_QPT_RC);
	CHECK(meet(&e, line, &peer, PATIENT));
	/* Who answers is there until the other one has its last answers. */
	while (!poll(&over, 1, 0) || (asks ? e.done < e.sent || !e.sent : !poll(&told, 1, 0))) {
		while (e.recvs - e.got < DEPTH)
			give(&e);
		if (asks && e.sent - e.done < DEPTH && (!e.sent || !poll(&over, 1, 0)))
			ask(&e, &peer, ALL_KINDS);
		CHECK(!take(&e));
		CHECK(!has_event(&e));
		usleep(1000); /* the processors are for those that die */
	}
	CHECK(!asks || write(line, "", 1) == 1);
	end_close(&e);
	_exit(0);
}

static void others_begin(struct others *o)
{
	int line[2], stop[2], i;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line), 0);
	assert_int_equal(pipe2(stop, O_CLOEXEC), 0);
	fflush(stdout);
	for (i = 0; i < 2; i++) {
		o->pid[i] = fork();
		assert_true(o->pid[i] >= 0);
		if (!o->pid[i]) {
			close(stop[1]);
			close(line[!i]);
			be_other(line[i], stop[0], !i);
		}
	}
	close(line[0]);
	close(line[1]);
	close(stop[0]);
	o->stop = stop[1];
}

static void others_end(struct others *o)
{
	int status, i;

	close(o->stop);
	for (i = 0; i < 2; i++) {
		assert_int_equal(waitpid(o->pid[i], &status, 0), o->pid[i]);
		assert_int_equal(status, 0);
	}
}

static bool is_empty(const char *path)
{
	DIR *d = opendir(path);
	const struct dirent *f;
	bool empty = d;

	while (d && (f = readdir(d))) {
		if (f->d_name[0] == '.')
			continue;
		printf("# left: %s\n", f->d_name);
		empty = false;
	}
	if (d)
		closedir(d);
	return empty;
}

/* A process that starts and ends well, and removes what the dead have left. */
static void next_start(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct end e = { 0 };

		end_open(&e, IBV_QPT_RC);
		end_close(&e);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void peers_that_are_killed(void **state)
{
	uint32_t rounds = (uint32_t)setting("SHIM_KILL_ROUNDS", 50), i, n;
	uint64_t slowest = 0, took;
	struct round r[AT_ONCE];
	struct others others;

	(void)state;
	chance = (uint32_t)setting("SOFTHCA_SEED", time(NULL) ^ getpid());
	printf("# SOFTHCA_SEED=%u\n", chance);
	others_begin(&others);
	for (; rounds; rounds -= n) {
		n = rounds < AT_ONCE ? rounds : AT_ONCE;
		for (i = 0; i < n; i++)
			round_begin(&r[i], (enum work)((rounds - i) % WORKS));
		kill_them(r, n);
		for (i = 0; i < n; i++) {
			took = round_end(&r[i]);
			slowest = took > slowest ? took : slowest;
		}
	}
	others_end(&others);
	printf("# the slowest survivor heard of it after %u ms\n", (unsigned int)(slowest / 1000000u));
	next_start();
	assert_true(is_empty(fabric));
}

/* No error, if the retries outlast it; whichever of the two it is. */
static void a_peer_that_is_stopped(void **state)
{
	uint32_t ms = (uint32_t)setting("SHIM_STOP_MS", 1000);
	struct others o;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		others_begin(&o);
		usleep(100000);
		kill(o.pid[i], SIGSTOP);
		usleep(1000 * ms);
		kill(o.pid[i], SIGCONT);
		usleep(50000);
		others_end(&o);
	}
	assert_true(is_empty(fabric));
}

static int make_group(void **state)
{
	signal(SIGPIPE, SIG_IGN);
	return make_fabric(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peers_that_are_killed),
		cmocka_unit_test(a_peer_that_is_stopped),
	};

	return cmocka_run_group_tests_name("shim_kill", tests, make_group, remove_fabric);
}
