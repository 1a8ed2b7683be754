/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A process that has the device open and does nothing: none of the library's threads runs, after opening and after traffic. A thread
 * that doesn't run gives up no processor, which the system counts.
 */
#include "shim_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>

#define SETTLE_US 200000
#define SETTLE_TIMES 300
#define IDLE_US 2000000

/* struct threads - the library's: how many, how often they gave up a processor, or lost it, and how many don't sleep */
struct threads {
	uint32_t n;
	uint32_t awake;
	unsigned long switches;
};

static void count_one(struct threads *t, const char *tid)
{
	char path[64], line[256], state = 0;
	const char *at;
	bool ours = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%s/status", tid);
	f = fopen(path, "re");
	if (!f)
		return; /* it has ended */
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "Name:\tsofthca", 13))
			ours = true;
		if (!ours)
			break; /* the program's own, or a sanitizer's */
		if (!strncmp(line, "State:\t", 7))
			state = line[7];
		at = strstr(line, "voluntary_ctxt_switches:\t"); /* and nonvoluntary ones */
		if (at)
			t->switches += strtoul(strchr(at, '\t'), NULL, 10);
	}
	fclose(f);
	t->n += ours;
	t->awake += ours && state != 'S';
}

static struct threads count(void)
{
	struct threads t = { .n = 0 };
	DIR *d = opendir("/proc/self/task");
	const struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			count_one(&t, e->d_name);
	closedir(d);
	return t;
}

/* What was begun may come to its end first. */
static void expect_idle(void)
{
	struct threads before = count(), now;
	int i;

	for (i = 0; i < SETTLE_TIMES; i++) {
		usleep(SETTLE_US);
		now = count();
		if (!now.awake && now.n == before.n && now.switches == before.switches)
			break;
		before = now;
	}
	assert_true(i < SETTLE_TIMES);
	assert_true(now.n > 0);
	usleep(IDLE_US);
	now = count();
	assert_int_equal(now.n, before.n);
	assert_int_equal(now.awake, 0);
	assert_int_equal(now.switches, before.switches);
}

static void an_opened_device(void **state)
{
	struct ibv_context *ctx = bed_open();

	(void)state;
	expect_idle();
	assert_int_equal(ibv_close_device(ctx), 0);
}

static void two_opened_devices(void **state)
{
	struct ibv_context *ctx[2];
	uint32_t threads;
	int i;

	(void)state;
	ctx[0] = bed_open_on(0);
	expect_idle();
	threads = count().n;
	ctx[1] = bed_open_on(1);
	expect_idle();
	/* Before, there were none for the other one. */
	assert_int_equal(count().n, 2 * threads);
	for (i = 0; i < 2; i++)
		assert_int_equal(ibv_close_device(ctx[i]), 0);
}

/* Connected, with receives posted and an armed queue; the program has polled long, and stopped. */
static void after_traffic(void **state)
{
	struct ibv_sge to;
	struct ibv_wc wc;
	struct bed b;
	int i;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	to = bed_sge(&b, 1, 0, 64);
	bed_recv(b.qp[1], 1, &to);
	for (i = 0; i < 1000; i++)
		assert_int_equal(bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 64), (uintptr_t)b.mem[1],
					  b.mr[1]->rkey)
					 .status,
				 IBV_WC_SUCCESS);
	for (i = 0; i < 10000; i++)
		assert_int_equal(ibv_poll_cq(b.cq, 1, &wc), 0);
	expect_idle();
	assert_int_equal(ibv_req_notify_cq(b.cq, 0), 0);
	expect_idle();
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_opened_device),
		cmocka_unit_test(two_opened_devices),
		cmocka_unit_test(after_traffic),
	};

	/* Before the library's first call, which reads it. */
	setenv("SOFTHCA_DEVICES", "2", 1);
	/* Others change their interfaces, which would be a reason to wake up. */
	(void)!unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNET : CLONE_NEWNET);
	return cmocka_run_group_tests_name("shim_idle", tests, make_fabric, remove_fabric);
}
