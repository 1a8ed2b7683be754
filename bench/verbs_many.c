/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Many processes, all connected to all: each has as many queue pairs as was asked for, or
 * a few more, equally many to each of the others. A message goes over every one of them
 * in each direction, and is looked at. Memory is of the first process, which is like all.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os.h"
#include "verbs_bench.h"

#define MAX_PROCESSES 256
#define PAUSE_US 2000
#define SLOT 16u /* bytes of a message */

enum { CAME, MADE, CONNECTED, POSTED, DONE, STAGES };

/* struct crowd - memory of all processes; the numbers of queue pairs follow, by process and by its own order */
struct crowd {
	u32 processes, each; /* each: queue pairs of a process to one other */
	u32 there[STAGES]; /* atomic: processes that got so far */
	u32 failed; /* atomic */
	double seconds[STAGES];
	u64 kib_before, kib_after, kib_busy, kib_fabric;
	struct verbs_place place[MAX_PROCESSES];
	u32 qpn[];
};

/* struct member - one process */
struct member {
	struct crowd *c;
	u32 self, qps;
	struct ibv_context *ctx;
	struct ibv_cq *cq;
	struct ibv_mr *mr;
	struct ibv_qp **qp;
	u64 *slots; /* two words for each queue pair: what leaves, then as many for what comes */
};

static u32 *number_of(struct crowd *c, u32 process, u32 index)
{
	return &c->qpn[(u64)process * (c->processes - 1) * c->each + index];
}

/* A process's queue pairs are in order of the others' numbers. Return: the index of the first to @other */
static u32 first_to(const struct crowd *c, u32 self, u32 other)
{
	return (other - (other > self)) * c->each;
}

/* All have got so far. Return: -1: one of them failed */
static int meet(struct member *m, u32 stage)
{
	struct crowd *c = m->c;

	__atomic_fetch_add(&c->there[stage], 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&c->there[stage], __ATOMIC_ACQUIRE) < c->processes) {
		if (__atomic_load_n(&c->failed, __ATOMIC_RELAXED))
			return -1;
		usleep(PAUSE_US);
	}
	if (!m->self)
		c->seconds[stage] = bench_now() / 1e9;
	return 0;
}

static int make(struct member *m)
{
	struct ibv_pd *pd;
	u32 i;

	m->ctx = verbs_open();
	pd = m->ctx ? ibv_alloc_pd(m->ctx) : NULL;
	m->cq = pd ? ibv_create_cq(m->ctx, (int)(2 * m->qps), NULL, NULL, 0) : NULL;
	m->qp = calloc(m->qps, sizeof(*m->qp));
	m->slots = calloc(2 * (u64)m->qps, SLOT);
	m->mr = m->cq && m->slots ? ibv_reg_mr(pd, m->slots, 2 * (u64)m->qps * SLOT, IBV_ACCESS_LOCAL_WRITE) : NULL;
	if (!m->mr || !m->qp || verbs_port(m->ctx, &m->c->place[m->self]))
		return bench_fail("no memory for a process");
	for (i = 0; i < m->qps; i++) {
		m->qp[i] = verbs_qp(pd, m->cq, 1);
		if (!m->qp[i])
			return -1;
		*number_of(m->c, m->self, i) = m->qp[i]->qp_num;
	}
	return 0;
}

static int connect_all(struct member *m)
{
	struct crowd *c = m->c;
	u32 other, i;

	for (other = 0; other < c->processes; other++) {
		struct verbs_place peer = c->place[other];

		for (i = 0; i < c->each && other != m->self; i++) {
			peer.qpn = *number_of(c, other, first_to(c, other, m->self) + i);
			if (verbs_connect(m->qp[first_to(c, m->self, other) + i], &peer))
				return -1;
		}
	}
	return 0;
}

static u64 *slot(struct member *m, u32 index, bool comes)
{
	return &m->slots[((u64)index + (comes ? m->qps : 0)) * (SLOT / sizeof(u64))];
}

static struct ibv_sge entry(struct member *m, u32 index, bool comes)
{
	return (struct ibv_sge){ .addr = (uintptr_t)slot(m, index, comes), .length = SLOT, .lkey = m->mr->lkey };
}

static int post_receives(struct member *m)
{
	u32 i;

	for (i = 0; i < m->qps; i++) {
		struct ibv_sge sge = entry(m, i, true);
		struct ibv_recv_wr wr = { .wr_id = m->qps + i, .sg_list = &sge, .num_sge = 1 }, *bad;

		if (ibv_post_recv(m->qp[i], &wr, &bad))
			return bench_fail("a receive is refused");
	}
	return 0;
}

static int drain(struct member *m, u32 *left)
{
	struct ibv_wc wc[32];
	int n = ibv_poll_cq(m->cq, (int)HCA_ARRAY_SIZE(wc), wc), i;

	for (i = 0; i < n; i++)
		if (wc[i].status != IBV_WC_SUCCESS)
			return bench_fail("a message fails: %s", ibv_wc_status_str(wc[i].status));
	*left -= (u32)n;
	return n;
}

static int traffic(struct member *m)
{
	u32 left = 2 * m->qps, i;

	for (i = 0; i < m->qps; i++) {
		struct ibv_sge sge = entry(m, i, false);
		struct ibv_send_wr wr = { .wr_id = i,
					  .sg_list = &sge,
					  .num_sge = 1,
					  .opcode = IBV_WR_SEND,
					  .send_flags = IBV_SEND_SIGNALED },
				   *bad;

		slot(m, i, false)[0] = m->qp[i]->qp_num;
		slot(m, i, false)[1] = m->self;
		if (ibv_post_send(m->qp[i], &wr, &bad))
			return bench_fail("a send is refused");
		if (drain(m, &left) < 0)
			return -1;
	}
	while (left) {
		int n = drain(m, &left);

		if (n < 0)
			return -1;
		if (!n)
			usleep(PAUSE_US / 10);
	}
	for (i = 0; i < m->qps; i++) {
		u32 other = i / m->c->each + (i / m->c->each >= m->self);
		u32 there = first_to(m->c, other, m->self) + i % m->c->each;

		if (slot(m, i, true)[0] != *number_of(m->c, other, there) || slot(m, i, true)[1] != other)
			return bench_fail("a message is another one's");
	}
	return 0;
}

static int live(struct member *m)
{
	struct crowd *c = m->c;
	u64 before = verbs_memory("Pss");

	if (meet(m, CAME) || make(m) || meet(m, MADE))
		return -1;
	if (!m->self) {
		c->kib_before = before >> 10;
		c->kib_after = verbs_memory("Pss") >> 10;
	}
	if (connect_all(m) || post_receives(m) || meet(m, CONNECTED) || traffic(m) || meet(m, POSTED))
		return -1;
	if (!m->self) {
		c->kib_busy = verbs_memory("Pss") >> 10;
		c->kib_fabric = verbs_fabric_bytes() >> 10;
	}
	return meet(m, DONE);
}

static void __attribute__((noreturn)) be_one(struct crowd *c, u32 self)
{
	struct member m = { .c = c, .self = self, .qps = (c->processes - 1) * c->each };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!live(&m))
		exit(ibv_close_device(m.ctx) ? 1 : 0);
	__atomic_store_n(&c->failed, 1, __ATOMIC_RELAXED);
	exit(1);
}

static struct crowd *make_crowd(u32 processes, u32 qps)
{
	u32 each = (qps + processes - 2) / (processes - 1);
	size_t bytes = sizeof(struct crowd) + (size_t)processes * (processes - 1) * each * sizeof(u32);
	struct crowd *c = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (c == MAP_FAILED)
		return NULL;
	c->processes = processes;
	c->each = each;
	return c;
}

int verbs_mode_many(int argc, char **argv)
{
	u32 processes = argc == 2 ? (u32)atoi(argv[0]) : 0, qps = argc == 2 ? (u32)atoi(argv[1]) : 0, i;
	struct crowd *c;
	int status = 0;

	if (processes < 2 || processes > MAX_PROCESSES || !qps) {
		fprintf(stderr, "softhca-bench-verbs: many needs 2 to %u processes, and queue pairs\n", MAX_PROCESSES);
		return 2;
	}
	c = make_crowd(processes, qps);
	if (!c)
		return 1;
	for (i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (!pid)
			be_one(c, i);
		if (pid < 0)
			__atomic_store_n(&c->failed, 1, __ATOMIC_RELAXED);
	}
	for (i = 0; i < processes; i++) {
		int ended;

		if (wait(&ended) < 0 || !WIFEXITED(ended) || WEXITSTATUS(ended)) {
			__atomic_store_n(&c->failed, 1, __ATOMIC_RELAXED);
			status = 1;
		}
	}
	if (!status)
		printf("%u %f %u %u %u %u %f\n", (processes - 1) * c->each, c->seconds[CONNECTED] - c->seconds[CAME],
		       (u32)c->kib_before, (u32)c->kib_after, (u32)c->kib_busy, (u32)c->kib_fabric,
		       c->seconds[POSTED] - c->seconds[CONNECTED]);
	return status;
}
