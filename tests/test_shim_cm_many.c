/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Thousands of connections one after another, through the drop-in librdmacm: each begins and ends, and nothing is left of it. */
#include "shim_cm_fixture.h"

#include <malloc.h>
#include <sys/stat.h>

#define FEW 1000
#define MANY 5000

/* A sanitizer keeps what was freed for a while. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=1";
}

/*
 * What 4,000 connections may leave. What the program's allocator has given out is known where no sanitizer takes its place; it
 * counts blocks that it keeps for threads, and tables that have grown. Pages stay when they were used for connections in
 * timewait, of which there are the more the faster the machine is.
 */
#define SLACK_ALLOCATED (4000 * 128ul)
#define SLACK_RESIDENT (4000 * 4096ul)
#define SLACK_SHARED (64 * 1024ul)
#define SLACK_FDS 4

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define OWN_MEMORY_ONLY 0 /* it remembers accesses in memory of its own */
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define OWN_MEMORY_ONLY 0
#endif
#ifndef OWN_MEMORY_ONLY
#define OWN_MEMORY_ONLY 1
#endif

struct use {
	unsigned long allocated; /* bytes; 0: unknown */
	unsigned long resident; /* bytes */
	unsigned long shared; /* bytes of files in the fabric */
	int fds;
};

static unsigned long resident(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*u %lu", &pages), 1);
	fclose(f);
	return pages * (unsigned long)sysconf(_SC_PAGESIZE);
}

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static unsigned long shared_memory(void)
{
	DIR *d = opendir(fabric);
	unsigned long bytes = 0;
	struct dirent *e;
	struct stat st;

	assert_non_null(d);
	while ((e = readdir(d)))
		if (*e->d_name != '.' && !fstatat(dirfd(d), e->d_name, &st, 0))
			bytes += (unsigned long)st.st_blocks * 512;
	closedir(d);
	return bytes;
}

static struct use look(void)
{
	struct use u = { mallinfo2().uordblks, resident(), shared_memory(), count_fds() };

	return u;
}

static void await_timewait_exit(struct rdma_event_channel *ch)
{
	struct rdma_cm_event *e;

	assert_int_equal(rdma_get_cm_event(ch, &e), 0);
	assert_int_equal(e->event, RDMA_CM_EVENT_TIMEWAIT_EXIT);
	assert_int_equal(rdma_ack_cm_event(e), 0);
}

/* @last: wait until no connection before this one, and not this one, is in timewait any more */
static void connect_and_disconnect(struct pair *p, bool last)
{
	pair_connect(p);
	assert_int_equal(rdma_disconnect(p->id[0]), 0);
	assert_int_equal(expect(p->ch[1], RDMA_CM_EVENT_DISCONNECTED, NULL), 0);
	assert_int_equal(rdma_disconnect(p->id[1]), 0);
	assert_int_equal(expect(p->ch[0], RDMA_CM_EVENT_DISCONNECTED, NULL), 0);
	if (last) {
		await_timewait_exit(p->ch[0]);
		await_timewait_exit(p->ch[1]);
	}
	end_id(p->id[1]);
	end_id(p->id[0]);
	p->id[0] = p->id[1] = NULL;
}

static void nothing_grows(void **state)
{
	struct use few = { 0 }, many;
	struct pair p;
	int i;

	(void)state;
	pair_begin(&p, RDMA_PS_TCP, "127.0.0.1");
	for (i = 1; i <= MANY; i++) {
		connect_and_disconnect(&p, i == FEW || i == MANY);
		if (i == FEW)
			few = look();
		if (i < MANY)
			p.id[0] = resolved(p.ch[0], RDMA_PS_TCP, "127.0.0.1", rdma_get_src_port(p.listener));
	}
	many = look();
	print_message(
		"# allocated %lu and %lu, resident %lu and %lu, shared %lu and %lu bytes; descriptors %d and %d\n",
		few.allocated, many.allocated, few.resident, many.resident, few.shared, many.shared, few.fds, many.fds);
	assert_true(many.allocated <= few.allocated + SLACK_ALLOCATED);
	if (OWN_MEMORY_ONLY)
		assert_true(many.resident <= few.resident + SLACK_RESIDENT);
	assert_true(many.shared <= few.shared + SLACK_SHARED);
	assert_true(many.fds <= few.fds + SLACK_FDS);
	pair_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_grows),
	};

	return cmocka_run_group_tests_name("shim_cm_many", tests, make_fabric, remove_fabric);
}
