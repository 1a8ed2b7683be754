/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Parts "verbs-...": programs of verbs between two processes, beside floors and beside
 * UCX and libfabric. A round runs each program of a group once, so briefly that it mostly
 * ends before the scheduler turns to others; printed are the medians of the rounds.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_verbs.h"
#include "os.h"

#define ROUNDS 11
#define TEXT_BYTES 4096
#define KIB 1024.0
#define MEDIUM ((size_t)64 << 10)
#define LARGE ((size_t)1 << 20)
#define CALL 64u /* bytes of the floor of a word */
#define OWN "softhca-bench-verbs"

/* Both count a MB as 2^20. */
#define US_TO_NS 1e3
#define MIB_TO_GB 1.048576e-3

static struct bench_peer peer;

/* --- rounds --- */

static double take(const struct bench_source *s)
{
	double ns;

	if (!s->floor)
		return bench_tool_run(&s->tool) * s->scale;
	ns = s->floor(&peer, s->bytes);
	return s->rate ? (double)s->bytes / ns : ns;
}

int bench_group_measure(const struct bench_group *g)
{
	static double v[BENCH_SOURCES][ROUNDS], ratio[ROUNDS];
	double median[BENCH_SOURCES];
	const struct bench_figure *f;
	int i, r;

	for (r = 0; r < ROUNDS; r++)
		for (i = 0; i < g->n; i++) {
			v[i][r] = take(&g->sources[i]);
			if (isnan(v[i][r]) || bench_failed())
				return -1;
		}
	bench_title(g->title);
	for (i = 0; i < g->n; i++) {
		memcpy(ratio, v[i], sizeof(ratio));
		median[i] = bench_median(ratio, ROUNDS);
	}
	for (f = g->figures; f->name; f++) {
		for (r = 0; r < ROUNDS; r++)
			ratio[r] = f->other == BENCH_NONE ? NAN : v[f->ours][r] / v[f->other][r];
		bench_row(f->name, f->unit, median[f->ours], f->other == BENCH_NONE ? NAN : median[f->other],
			  f->other == BENCH_NONE ? NAN : bench_median(ratio, ROUNDS), f->goals);
	}
	return 0;
}

int bench_with_programs(int (*run)(void))
{
	int err;

	if (bench_counting())
		return 0;
	err = bench_tool_open();
	if (err)
		return err;
	err = bench_peer_open(&peer);
	if (!err)
		err = run();
	bench_peer_close(&peer);
	bench_tool_close();
	/* Said once, and not of the next part too. */
	return bench_failed() || err ? -1 : 0;
}

/* --- floors that are more than one call --- */

/* One call and one cache line: the bytes go there, and the other CPU fetches them. */
static double write_and_hop(struct bench_peer *p, size_t bytes)
{
	double ns = bench_peer_write(p, bytes), hop = bench_hop();

	return isnan(hop) ? ns : ns + hop;
}

static double wake_up(struct bench_peer *p, size_t bytes)
{
	(void)bytes;
	return bench_peer_wake(p);
}

/* --- latency --- */

enum { SEND, UCX_TAG, WRITE, WRITE_FLOOR, ATOMIC, FABRIC, EVENT, EVENT_FLOOR };

/* perftest's fifth column is the median of one way; UCX's second is too. */
static const struct bench_source latency_sources[] = {
	[SEND] = { .tool = { .kind = TOOL_PERFTEST, .words = "ib_send_lat -F -s 8 -n 2000", .column = 5 },
		   .scale = US_TO_NS },
	[UCX_TAG] = { .tool = { .kind = TOOL_UCX,
				.words = "ucx_perftest -t tag_lat -s 8 -n 2000 -w 500 -f -v",
				.env = "UCX_TLS=posix",
				.column = 2 },
		      .scale = US_TO_NS },
	[WRITE] = { .tool = { .kind = TOOL_PERFTEST, .words = "ib_write_lat -F -s 8 -n 2000", .column = 5 },
		    .scale = US_TO_NS },
	[WRITE_FLOOR] = { .floor = write_and_hop, .bytes = CALL },
	[ATOMIC] = { .tool = { .kind = TOOL_PERFTEST, .words = "ib_atomic_lat -F -n 2000", .column = 5 },
		     .scale = US_TO_NS },
	[FABRIC] = { .tool = { .kind = TOOL_FABRIC, .words = "fi_pingpong -p shm -e rdm -S 8 -I 2000", .column = 7 },
		     .scale = US_TO_NS },
	[EVENT] = { .tool = { .kind = TOOL_PERFTEST, .words = "ib_send_lat -F -e -s 8 -n 500", .column = 5 },
		    .scale = US_TO_NS },
	[EVENT_FLOOR] = { .floor = wake_up },
};

static const struct bench_figure latency_figures[] = {
	{ "send, 8 B, ib_send_lat / UCX tag, posix", "ns", SEND, UCX_TAG, BENCH_GOALS({ RATIO_AT_MOST, 2 }) },
	{ "the same / libfabric shm, fi_pingpong", "ns", SEND, FABRIC, BENCH_NO_GOAL },
	{ "write, 8 B, ib_write_lat / process_vm_writev + a hop", "ns", WRITE, WRITE_FLOOR,
	  BENCH_GOALS({ RATIO_AT_MOST, 1.3 }) },
	{ "atomic, ib_atomic_lat / ib_write_lat", "ns", ATOMIC, WRITE, BENCH_GOALS({ RATIO_AT_MOST, 2 }) },
	{ "wake-up by a channel, ib_send_lat -e / eventfd", "ns", EVENT, EVENT_FLOOR,
	  BENCH_GOALS({ RATIO_AT_MOST, 1.2 }) },
	{ NULL, NULL, 0, 0, NULL },
};

static const struct bench_group latency = { "one way to another process", latency_sources,
					    HCA_ARRAY_SIZE(latency_sources), latency_figures };

/* --- bandwidth --- */

enum { WRITE_M, READ_M, SEND_M, OUT_M, IN_M, UCX_M, WRITE_PEAK, READ_PEAK, WRITE_L, READ_L, OUT_L, IN_L, UCX_L };

static const struct bench_source bulk_sources[] = {
	[WRITE_M] = { .tool = { .kind = TOOL_PERFTEST, .words = "ib_write_bw -F -s 65536 -n 5000", .column = 4 },
		      .scale = MIB_TO_GB },
	[OUT_M] = { .floor = bench_peer_write, .bytes = MEDIUM, .rate = true },
	[READ_M] = { .tool = { .kind = TOOL_PERFTEST, .words = "ib_read_bw -F -s 65536 -n 5000", .column = 4 },
		     .scale = MIB_TO_GB },
	[IN_M] = { .floor = bench_peer_read, .bytes = MEDIUM, .rate = true },
	[SEND_M] = { .tool = { .kind = TOOL_PERFTEST, .words = "ib_send_bw -F -s 65536 -n 5000", .column = 4 },
		     .scale = MIB_TO_GB },
	[UCX_M] = { .tool = { .kind = TOOL_UCX,
			      .words = "ucx_perftest -t tag_bw -s 65536 -n 5000 -w 100 -f -v",
			      .env = "UCX_TLS=posix,cma",
			      .column = 6 },
		    .scale = MIB_TO_GB },
	[WRITE_PEAK] = { .tool = { .kind = TOOL_PERFTEST, .words = "ib_write_bw -F -s 65536 -n 5000", .column = 3 },
			 .scale = MIB_TO_GB },
	[READ_PEAK] = { .tool = { .kind = TOOL_PERFTEST, .words = "ib_read_bw -F -s 65536 -n 5000", .column = 3 },
			.scale = MIB_TO_GB },
	[WRITE_L] = { .tool = { .kind = TOOL_PERFTEST, .words = "ib_write_bw -F -s 1048576 -n 1000", .column = 4 },
		      .scale = MIB_TO_GB },
	[OUT_L] = { .floor = bench_peer_write, .bytes = LARGE, .rate = true },
	[READ_L] = { .tool = { .kind = TOOL_PERFTEST, .words = "ib_read_bw -F -s 1048576 -n 1000", .column = 4 },
		     .scale = MIB_TO_GB },
	[IN_L] = { .floor = bench_peer_read, .bytes = LARGE, .rate = true },
	[UCX_L] = { .tool = { .kind = TOOL_UCX,
			      .words = "ucx_perftest -t tag_bw -s 1048576 -n 1000 -w 10 -f -v",
			      .env = "UCX_TLS=posix,cma",
			      .column = 6 },
		    .scale = MIB_TO_GB },
};

static const struct bench_figure bulk_figures[] = {
	{ "write, 64 KiB, ib_write_bw / process_vm_writev", "GB/s", WRITE_M, OUT_M,
	  BENCH_GOALS({ RATIO_AT_LEAST, 0.95 }) },
	{ "read, 64 KiB, ib_read_bw / process_vm_readv", "GB/s", READ_M, IN_M, BENCH_GOALS({ RATIO_AT_LEAST, 0.95 }) },
	{ "send, 64 KiB, ib_send_bw / process_vm_writev", "GB/s", SEND_M, OUT_M, BENCH_GOALS({ RATIO_AT_LEAST, 0.9 }) },
	{ "the same / UCX tag, cma", "GB/s", SEND_M, UCX_M, BENCH_NO_GOAL },
	{ "write, 64 KiB, the peak that ib_write_bw prints", "GB/s", WRITE_PEAK, OUT_M, BENCH_NO_GOAL },
	{ "read, 64 KiB, the peak that ib_read_bw prints", "GB/s", READ_PEAK, IN_M, BENCH_NO_GOAL },
	{ "write, 1 MiB, ib_write_bw / process_vm_writev", "GB/s", WRITE_L, OUT_L,
	  BENCH_GOALS({ RATIO_AT_LEAST, 0.95 }) },
	{ "read, 1 MiB, ib_read_bw / process_vm_readv", "GB/s", READ_L, IN_L, BENCH_GOALS({ RATIO_AT_LEAST, 0.95 }) },
	{ "write, 1 MiB, ib_write_bw / UCX tag, cma", "GB/s", WRITE_L, UCX_L, BENCH_NO_GOAL },
	{ NULL, NULL, 0, 0, NULL },
};

static const struct bench_group bulk = { "bulk to another process", bulk_sources, HCA_ARRAY_SIZE(bulk_sources),
					 bulk_figures };

/* --- messages a second --- */

enum { SENDS, UCX_TAGS };

static const struct bench_source rate_sources[] = {
	[SENDS] = { .tool = { .kind = TOOL_PERFTEST, .words = "ib_send_bw -F -s 64 -n 100000", .column = 5 },
		    .scale = 1 },
	[UCX_TAGS] = { .tool = { .kind = TOOL_UCX,
				 .words = "ucx_perftest -t tag_bw -s 64 -n 100000 -w 500 -f -v",
				 .env = "UCX_TLS=posix",
				 .column = 8 },
		       .scale = 1e-6 },
};

static const struct bench_figure rate_figures[] = {
	{ "sends of 64 B, ib_send_bw / UCX tag, posix", "M/s", SENDS, UCX_TAGS, BENCH_GOALS({ RATIO_AT_LEAST, 0.5 }) },
	{ NULL, NULL, 0, 0, NULL },
};

static const struct bench_group rate = { "messages a second", rate_sources, HCA_ARRAY_SIZE(rate_sources),
					 rate_figures };

/* --- memory that both processes have mapped --- */

enum { PUT, STORE, STORE_M, LOAD_M, COPY_M, UCX_PUT_M, STORE_L, LOAD_L, COPY_L };

/* The file of both programs' buffers. */
#define FILE_OF_BOTH "/dev/shm/softhca-bench-both"
#define BOTH " --mmap=" FILE_OF_BOTH
#define ELSEWHERE "--mmap-offset=8388608" /* each has its own part of it */
#define FILE_BYTES ((off_t)16 << 20)

static const struct bench_source both_sources[] = {
	[PUT] = { .tool = { .kind = TOOL_UCX,
			    .words = "ucx_perftest -t ucp_put_lat -s 8 -n 2000 -w 500 -f -v",
			    .env = "UCX_TLS=posix",
			    .column = 2 },
		  .scale = US_TO_NS },
	[STORE] = { .tool = { .kind = TOOL_PERFTEST,
			      .words = "ib_write_lat -F -s 8 -n 2000" BOTH,
			      .server = ELSEWHERE,
			      .column = 5 },
		    .scale = US_TO_NS },
	[STORE_M] = { .tool = { .kind = TOOL_PERFTEST,
				.words = "ib_write_bw -F -s 65536 -n 5000" BOTH,
				.server = ELSEWHERE,
				.column = 4 },
		      .scale = MIB_TO_GB },
	[LOAD_M] = { .tool = { .kind = TOOL_PERFTEST,
			       .words = "ib_read_bw -F -s 65536 -n 5000" BOTH,
			       .server = ELSEWHERE,
			       .column = 4 },
		     .scale = MIB_TO_GB },
	[COPY_M] = { .floor = bench_peer_copy, .bytes = MEDIUM, .rate = true },
	[UCX_PUT_M] = { .tool = { .kind = TOOL_UCX,
				  .words = "ucx_perftest -t ucp_put_bw -s 65536 -n 5000 -w 50 -f -v",
				  .env = "UCX_TLS=posix",
				  .column = 6 },
			.scale = MIB_TO_GB },
	[STORE_L] = { .tool = { .kind = TOOL_PERFTEST,
				.words = "ib_write_bw -F -s 1048576 -n 1000" BOTH,
				.server = ELSEWHERE,
				.column = 4 },
		      .scale = MIB_TO_GB },
	[LOAD_L] = { .tool = { .kind = TOOL_PERFTEST,
			       .words = "ib_read_bw -F -s 1048576 -n 1000" BOTH,
			       .server = ELSEWHERE,
			       .column = 4 },
		     .scale = MIB_TO_GB },
	[COPY_L] = { .floor = bench_peer_copy, .bytes = LARGE, .rate = true },
};

static const struct bench_figure both_figures[] = {
	{ "write, 8 B, ib_write_lat --mmap / UCX put, posix", "ns", STORE, PUT, BENCH_GOALS({ RATIO_AT_MOST, 3 }) },
	{ "write, 64 KiB, ib_write_bw --mmap / memcpy", "GB/s", STORE_M, COPY_M, BENCH_GOALS({ RATIO_AT_LEAST, 0.9 }) },
	{ "read, 64 KiB, ib_read_bw --mmap / memcpy", "GB/s", LOAD_M, COPY_M, BENCH_GOALS({ RATIO_AT_LEAST, 0.9 }) },
	{ "write, 64 KiB, ib_write_bw --mmap / UCX put, posix", "GB/s", STORE_M, UCX_PUT_M, BENCH_NO_GOAL },
	{ "write, 1 MiB, ib_write_bw --mmap / memcpy", "GB/s", STORE_L, COPY_L, BENCH_GOALS({ RATIO_AT_LEAST, 0.9 }) },
	{ "read, 1 MiB, ib_read_bw --mmap / memcpy", "GB/s", LOAD_L, COPY_L, BENCH_GOALS({ RATIO_AT_LEAST, 0.9 }) },
	{ NULL, NULL, 0, 0, NULL },
};

static const struct bench_group both = { "memory that both have mapped", both_sources, HCA_ARRAY_SIZE(both_sources),
					 both_figures };

/* --- our own program --- */

static int own_program(const char *mode, char *text, size_t size)
{
	char path[400], words[500];

	if (bench_tool_own(OWN, path, sizeof(path)))
		return -1;
	snprintf(words, sizeof(words), "%s %s", path, mode);
	return bench_tool_alone(words, text, size);
}

struct in_turns {
	const char *key; /* NULL: the end */
	const char *name;
	double bytes; /* 0: the figure is time */
	const struct bench_goal *goals;
};

static const struct in_turns own_pages[] = {
	{ "write-8", "write of 8 B, post to poll / process_vm_writev, 64 B", 0, BENCH_NO_GOAL },
	{ "read-8", "read of 8 B, post to poll / process_vm_readv, 64 B", 0, BENCH_NO_GOAL },
	{ "write-64k", "write of 64 KiB / process_vm_writev, same pages", MEDIUM,
	  BENCH_GOALS({ RATIO_AT_LEAST, 0.95 }) },
	{ "read-64k", "read of 64 KiB / process_vm_readv, same pages", MEDIUM, BENCH_GOALS({ RATIO_AT_LEAST, 0.95 }) },
	{ "write-1m", "write of 1 MiB / process_vm_writev, same pages", LARGE, BENCH_GOALS({ RATIO_AT_LEAST, 0.95 }) },
	{ "read-1m", "read of 1 MiB / process_vm_readv, same pages", LARGE, BENCH_GOALS({ RATIO_AT_LEAST, 0.95 }) },
	{ NULL, NULL, 0, NULL },
};

static const struct in_turns both_pages[] = {
	{ "write-8", "write of 8 B, post to poll / memcpy, 64 B", 0, BENCH_NO_GOAL },
	{ "write-64k", "write of 64 KiB / memcpy, same pages", MEDIUM, BENCH_GOALS({ RATIO_AT_LEAST, 0.9 }) },
	{ "read-64k", "read of 64 KiB / memcpy, same pages", MEDIUM, BENCH_GOALS({ RATIO_AT_LEAST, 0.9 }) },
	{ "write-1m", "write of 1 MiB / memcpy, same pages", LARGE, BENCH_GOALS({ RATIO_AT_LEAST, 0.9 }) },
	{ "read-1m", "read of 1 MiB / memcpy, same pages", LARGE, BENCH_GOALS({ RATIO_AT_LEAST, 0.9 }) },
	{ NULL, NULL, 0, NULL },
};

static int in_turns(const char *mode, const char *title, const struct in_turns *t)
{
	char text[TEXT_BYTES], key[32];

	if (own_program(mode, text, sizeof(text)))
		return -1;
	bench_title(title);
	for (; t->key; t++) {
		double ours, floor, ratio;
		const char *at;

		snprintf(key, sizeof(key), "%s ", t->key);
		at = strstr(text, key);
		if (!at || sscanf(at + strlen(key), "%lf %lf %lf", &ours, &floor, &ratio) != 3)
			return bench_fail("no figure %s", t->key);
		if (t->bytes > 0)
			bench_row(t->name, "GB/s", t->bytes / ours, t->bytes / floor, 1 / ratio, t->goals);
		else
			bench_row(t->name, "ns", ours, floor, ratio, t->goals);
	}
	return 0;
}

static int turns(void)
{
	return in_turns("turns", "in turns of 0.1 ms, two processes", own_pages);
}

/* --- a process that does nothing --- */

/* Times that its threads let the CPU go by themselves, or had it taken. */
static u64 switches(pid_t pid)
{
	char path[300], line[128];
	const struct dirent *e;
	u64 n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)pid, e->d_name);
		f = isdigit((unsigned char)e->d_name[0]) ? fopen(path, "re") : NULL;
		while (f && fgets(line, sizeof(line), f)) {
			const char *colon = strchr(line, ':');

			if (colon && strstr(line, "ctxt_switches"))
				n += strtoull(colon + 1, NULL, 10);
		}
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
	return n;
}

#define IDLE_S 10u

/* ibv_asyncwatch opens the device and waits for what never comes. */
static int idle(void)
{
	pid_t pid = bench_tool_start("ibv_asyncwatch");
	u64 before, after;

	if (pid < 0)
		return -1;
	sleep(1);
	before = switches(pid);
	sleep(IDLE_S);
	after = switches(pid);
	bench_tool_stop(pid);
	if (!before)
		return bench_fail("ibv_asyncwatch isn't there");
	bench_row("wake-ups of an idle process in 10 s, ibv_asyncwatch", "", (double)(after - before), NAN, NAN,
		  BENCH_GOALS({ OURS_AT_MOST, 0 }));
	return 0;
}

static int opening(void)
{
	double ms[ROUNDS], alone[ROUNDS], mib[ROUNDS];
	char text[TEXT_BYTES];
	u32 r;

	for (r = 0; r < ROUNDS; r++) {
		double kib, kib_fabric;

		if (own_program("open", text, sizeof(text)))
			return -1;
		if (sscanf(text, "%lf %lf %lf %lf", &ms[r], &alone[r], &kib, &kib_fabric) != 4)
			return bench_fail("no figures of an open device");
		mib[r] = (kib + kib_fabric) / KIB;
	}
	bench_row("ibv_open_device, without its waits for a CPU", "ms", bench_median(alone, ROUNDS), NAN, NAN,
		  BENCH_GOALS({ OURS_AT_MOST, 5 }));
	bench_row("the same, with them", "ms", bench_median(ms, ROUNDS), NAN, NAN, BENCH_NO_GOAL);
	bench_row("memory of an opened device, with its file", "MiB", bench_median(mib, ROUNDS), NAN, NAN,
		  BENCH_GOALS({ OURS_AT_MOST, 4 }));
	return 0;
}

static int rest(void)
{
	bench_title("a device that is open");
	return opening() || idle() ? -1 : 0;
}

/* --- many --- */

#define PROCESSES "64"
#define QPS "1000"

static int crowd(void)
{
	double qps, connect, before, made, busy, fabric, traffic;
	char text[TEXT_BYTES];

	if (own_program("many " PROCESSES " " QPS, text, sizeof(text)))
		return -1;
	if (sscanf(text, "%lf %lf %lf %lf %lf %lf %lf", &qps, &connect, &before, &made, &busy, &fabric, &traffic) != 7)
		return bench_fail("no figures of many processes");
	bench_title(PROCESSES " processes, all connected to all");
	bench_row("queue pairs of each process", "", qps, NAN, NAN, BENCH_GOALS({ OURS_AT_LEAST, 1000 }));
	bench_row("until all are made and connected", "s", connect, NAN, NAN, BENCH_NO_GOAL);
	bench_row("a message over each in each direction", "s", traffic, NAN, NAN, BENCH_NO_GOAL);
	bench_row("memory of a process with its queue pairs", "MiB", (made - before) / KIB, NAN, NAN, BENCH_NO_GOAL);
	bench_row("memory of a process after the messages", "MiB", (busy - before) / KIB, NAN, NAN, BENCH_NO_GOAL);
	bench_row("the fabric's files, of all", "MiB", fabric / KIB, NAN, NAN, BENCH_NO_GOAL);
	return 0;
}

/* --- the parts --- */

static int run_latency(void)
{
	return bench_group_measure(&latency) || bench_group_measure(&rate) ? -1 : 0;
}

static int run_bulk(void)
{
	return bench_group_measure(&bulk);
}

static int run_both(void)
{
	int fd = open(FILE_OF_BOTH, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), err;

	if (fd < 0 || ftruncate(fd, FILE_BYTES))
		return bench_fail("%s can't be made", FILE_OF_BOTH);
	close(fd);
	err = bench_group_measure(&both);
	unlink(FILE_OF_BOTH);
	return err ? err : in_turns("turns both", "the same, in turns of 0.1 ms", both_pages);
}

static int part_latency(void)
{
	return bench_with_programs(run_latency);
}

static int part_bulk(void)
{
	return bench_with_programs(run_bulk);
}

static int part_turns(void)
{
	return bench_with_programs(turns);
}

static int part_both(void)
{
	return bench_with_programs(run_both);
}

static int part_idle(void)
{
	return bench_with_programs(rest);
}

static int part_many(void)
{
	return bench_with_programs(crowd);
}

const struct bench_part bench_verbs_latency = { .name = "verbs-latency",
						.about = "programs of verbs in two processes: short messages, wake-ups",
						.run = part_latency };
const struct bench_part bench_verbs_bulk = { .name = "verbs-bulk",
					     .about = "the same: 64 KiB and 1 MiB",
					     .run = part_bulk };
const struct bench_part bench_verbs_turns = { .name = "verbs-turns",
					      .about = "RDMA in turns with the system's copy of the same pages",
					      .run = part_turns };
const struct bench_part bench_verbs_both = { .name = "verbs-both",
					     .about = "memory that both processes have mapped",
					     .run = part_both };
const struct bench_part bench_verbs_idle = { .name = "verbs-idle",
					     .about = "an opened device: time, memory, wake-ups",
					     .run = part_idle };
const struct bench_part bench_verbs_many = { .name = "verbs-many",
					     .about = "64 processes, all connected to all",
					     .run = part_many };
