/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * RDMA to another process, in turns with the system's own copy between the same pages of
 * the same processes. A turn is so short that the scheduler seldom takes the CPU away
 * within it, so the median ratio stays true on a machine that has other work. Memory that
 * both processes have mapped has memcpy() for a floor.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os.h"
#include "verbs_bench.h"

#define LARGE (1u << 20)
#define MEDIUM (64u << 10)
#define WORD 8u
#define CALL 64u /* bytes of the floor of a word: the design's */
#define DEPTH 16u
#define ROUNDS 301
#define TURN_NS 100000.0

/* struct meeting - memory of both processes */
struct meeting {
	struct verbs_place place[2];
	u64 at;
	u32 rkey;
	u32 there; /* atomic: how many have filled in their parts */
};

static struct bench_side {
	struct meeting *m;
	struct ibv_context *c;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_mr *mr;
	u8 *buf;
	u8 *both; /* memory that both processes have mapped: the other one's half, then ours; NULL: each has its own */
	pid_t peer;
} side;

struct turn {
	enum ibv_wr_opcode opcode;
	u32 bytes;
	bool floor;
};

/* --- the two processes --- */

static int make_side(u32 which)
{
	const int access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ |
			   IBV_ACCESS_REMOTE_ATOMIC;
	struct meeting *m = side.m;
	struct ibv_pd *pd;

	side.c = verbs_open();
	pd = side.c ? ibv_alloc_pd(side.c) : NULL;
	side.cq = pd ? ibv_create_cq(side.c, 2 * DEPTH, NULL, NULL, 0) : NULL;
	side.qp = side.cq ? verbs_qp(pd, side.cq, DEPTH) : NULL;
	if (side.both)
		side.buf = side.both + (which ? 0 : LARGE);
	else
		side.buf = aligned_alloc((size_t)sysconf(_SC_PAGESIZE), LARGE);
	if (!side.qp || !side.buf)
		return bench_fail("no end of a connection");
	memset(side.buf, (int)which + 1, LARGE);
	side.mr = ibv_reg_mr(pd, side.buf, LARGE, access);
	if (!side.mr || verbs_port(side.c, &m->place[which]))
		return bench_fail("no memory region");
	m->place[which].qpn = side.qp->qp_num;
	if (which) {
		m->at = (uintptr_t)side.buf;
		m->rkey = side.mr->rkey;
	}
	__atomic_fetch_add(&m->there, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&m->there, __ATOMIC_ACQUIRE) < 2)
		usleep(1000);
	return verbs_connect(side.qp, &m->place[!which]);
}

static void __attribute__((noreturn)) be_the_peer(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	bench_pin(bench_cpus() > 1 ? 1 : 0);
	if (make_side(1))
		kill(getppid(), SIGTERM);
	__atomic_fetch_add(&side.m->there, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

static int open_sides(bool both)
{
	int fd = both ? memfd_create("both", MFD_CLOEXEC) : -1;

	side.m = mmap(NULL, sizeof(*side.m), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (both && fd >= 0 && !ftruncate(fd, 2 * (off_t)LARGE))
		side.both = mmap(NULL, 2 * (size_t)LARGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (side.m == MAP_FAILED || (both && (!side.both || side.both == MAP_FAILED)))
		return bench_fail("no memory for two processes");
	side.peer = fork();
	if (!side.peer)
		be_the_peer();
	if (side.peer < 0 || make_side(0))
		return bench_fail("no other process");
	while (__atomic_load_n(&side.m->there, __ATOMIC_ACQUIRE) < 3)
		usleep(1000);
	return 0;
}

static void close_sides(void)
{
	kill(side.peer, SIGKILL);
	waitpid(side.peer, NULL, 0);
	ibv_destroy_qp(side.qp);
	ibv_dereg_mr(side.mr);
	ibv_destroy_cq(side.cq);
	ibv_close_device(side.c);
}

/* --- turns --- */

BENCH_LOOP static void verbs_turn(void *ctx, u64 n)
{
	const struct turn *t = ctx;
	struct ibv_sge sge = { .addr = (uintptr_t)side.buf, .length = t->bytes, .lkey = side.mr->lkey };
	struct ibv_send_wr wr = { .sg_list = &sge,
				  .num_sge = 1,
				  .opcode = t->opcode,
				  .send_flags = IBV_SEND_SIGNALED,
				  .wr.rdma = { .remote_addr = side.m->at, .rkey = side.m->rkey } };
	struct ibv_send_wr *bad;
	struct ibv_wc wc;
	int got;

	while (n--) {
		if (ibv_post_send(side.qp, &wr, &bad)) {
			bench_fail("a post is refused");
			return;
		}
		while (!(got = ibv_poll_cq(side.cq, 1, &wc)))
			;
		if (got < 0 || wc.status != IBV_WC_SUCCESS) {
			bench_fail("a request fails: %s", got < 0 ? "no poll" : ibv_wc_status_str(wc.status));
			return;
		}
	}
}

BENCH_LOOP static void copy_turn(void *ctx, u64 n)
{
	const struct turn *t = ctx;
	bool reads = t->opcode == IBV_WR_RDMA_READ;

	while (n--) {
		memcpy(reads ? side.buf : side.both, reads ? side.both : side.buf, t->bytes);
		bench_use(side.both);
	}
}

BENCH_LOOP static void system_turn(void *ctx, u64 n)
{
	const struct turn *t = ctx;
	const struct iovec own = { side.buf, t->bytes }, there = { (void *)(uintptr_t)side.m->at, t->bytes };
	ssize_t moved;

	while (n--) {
		if (t->opcode == IBV_WR_RDMA_READ)
			moved = process_vm_readv(side.peer, &own, 1, &there, 1, 0);
		else
			moved = process_vm_writev(side.peer, &own, 1, &there, 1, 0);
		if (moved != (ssize_t)t->bytes) {
			bench_fail("the system's copy fails: %s", strerror(errno));
			return;
		}
	}
}

/* Each of ours follows its floor. */
static struct turn turns[] = {
	{ IBV_WR_RDMA_WRITE, CALL, true },   { IBV_WR_RDMA_WRITE, WORD, false },  { IBV_WR_RDMA_READ, CALL, true },
	{ IBV_WR_RDMA_READ, WORD, false },   { IBV_WR_RDMA_WRITE, MEDIUM, true }, { IBV_WR_RDMA_WRITE, MEDIUM, false },
	{ IBV_WR_RDMA_READ, MEDIUM, true },  { IBV_WR_RDMA_READ, MEDIUM, false }, { IBV_WR_RDMA_WRITE, LARGE, true },
	{ IBV_WR_RDMA_WRITE, LARGE, false }, { IBV_WR_RDMA_READ, LARGE, true },	  { IBV_WR_RDMA_READ, LARGE, false },
};
static const char *const names[] = { "", "write-8",  "", "read-8",   "", "write-64k",
				     "", "read-64k", "", "write-1m", "", "read-1m" };

static int once(const char *name, u64 n)
{
	u32 i;

	for (i = 0; i < HCA_ARRAY_SIZE(turns); i++)
		if (*names[i] && !strcmp(names[i], name)) {
			verbs_turn(&turns[i], n);
			return bench_failed() ? 1 : 0;
		}
	fprintf(stderr, "softhca-bench-verbs: no loop '%s'\n", name);
	return 2;
}

static double time_turn(struct turn *t, u64 n)
{
	double began = bench_now();

	if (t->floor && side.both)
		copy_turn(t, n);
	else if (t->floor)
		system_turn(t, n);
	else
		verbs_turn(t, n);
	return (bench_now() - began) / (double)n;
}

static int measure(void)
{
	static double ns[HCA_ARRAY_SIZE(turns)][ROUNDS], ratio[ROUNDS];
	u64 n[HCA_ARRAY_SIZE(turns)];
	u32 i, r;

	for (i = 0; i < HCA_ARRAY_SIZE(turns); i++) {
		time_turn(&turns[i], 4);
		n[i] = 1 + (u64)(TURN_NS / time_turn(&turns[i], 4));
	}
	for (r = 0; r < ROUNDS; r++)
		for (i = 0; i < HCA_ARRAY_SIZE(turns); i++) {
			/* The others have had the caches. */
			time_turn(&turns[i], n[i] / 8 + 1);
			ns[i][r] = time_turn(&turns[i], n[i]);
		}
	for (i = 1; i < HCA_ARRAY_SIZE(turns); i += 2) {
		for (r = 0; r < ROUNDS; r++)
			ratio[r] = ns[i][r] / ns[i - 1][r];
		printf("%s %f %f %f\n", names[i], bench_median(ns[i], ROUNDS), bench_median(ns[i - 1], ROUNDS),
		       bench_median(ratio, ROUNDS));
	}
	return bench_failed() ? 1 : 0;
}

int verbs_mode_turns(int argc, char **argv)
{
	bool both = argc && !strcmp(argv[0], "both");
	int status;

	argc -= both;
	argv += both;
	bench_init(0);
	if (open_sides(both))
		return 1;
	status = argc == 2 ? once(argv[0], strtoull(argv[1], NULL, 10)) : measure();
	close_sides();
	return status;
}
