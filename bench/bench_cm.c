/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Part "cm": programs that connect by address, over the drop-in librdmacm, beside TCP on the loopback interface. Rounds and medians are
 * those of bench_verbs.c.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_verbs.h"
#include "os.h"

#define TCP_CONNECTIONS 500 /* at a time: as many descriptors a process has */
#define TCP_TURNS 2000
#define TCP_BYTES 64
#define RPING_ROUNDS 3000
#define WORDS(x) WORDS_(x)
#define WORDS_(x) #x
#define CMTIME_STEPS 7
#define FIO_KIB_A_SECOND 48 /* of its terse format, version 3: of writes */
#define US_TO_NS 1e3

/* --- TCP --- */

/* struct tcp_peer - a process that does its part of what is measured */
struct tcp_peer {
	struct sockaddr_in sa;
	pid_t pid;
};

/* It ends with the parent's last connection, or is ended. */
static void serve(int listener)
{
	char bytes[TCP_BYTES];
	int one = 1, fd;
	ssize_t n;

	for (;;) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0)
			_exit(0);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		while ((n = recv(fd, bytes, sizeof(bytes), MSG_WAITALL)) == (ssize_t)sizeof(bytes))
			if (send(fd, bytes, sizeof(bytes), 0) != n)
				break;
		close(fd);
	}
}

static int start_peer(struct tcp_peer *p)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(p->sa);

	p->sa = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd < 0 || bind(fd, (struct sockaddr *)&p->sa, len) || listen(fd, TCP_CONNECTIONS) ||
	    getsockname(fd, (struct sockaddr *)&p->sa, &len))
		return bench_fail("no TCP port");
	fflush(stdout);
	p->pid = fork();
	if (p->pid < 0)
		return bench_fail("no process");
	if (!p->pid) {
		bench_pin(bench_cpus() > 1 ? 1 : 0);
		serve(fd);
	}
	close(fd);
	return 0;
}

static void end_peer(const struct tcp_peer *p)
{
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
}

static int connect_to(const struct tcp_peer *p)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || connect(fd, (const struct sockaddr *)&p->sa, sizeof(p->sa)))
		return bench_fail("no TCP connection");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* Made one after the other, then ended so. Return: ns of one */
static double tcp_connect(struct bench_peer *unused, size_t bytes)
{
	int fd[TCP_CONNECTIONS], n = 0;
	struct tcp_peer p;
	double begin;

	(void)unused;
	(void)bytes;
	if (start_peer(&p))
		return NAN;
	begin = bench_now();
	while (n < TCP_CONNECTIONS && (fd[n] = connect_to(&p)) >= 0)
		n++;
	while (n)
		close(fd[--n]);
	begin = bench_now() - begin;
	end_peer(&p);
	return begin / TCP_CONNECTIONS;
}

/* Return: ns of 64 bytes there and back */
static double tcp_turn(struct bench_peer *unused, size_t bytes)
{
	char out[TCP_BYTES] = "";
	struct tcp_peer p;
	double begin;
	int fd, i;

	(void)unused;
	(void)bytes;
	if (start_peer(&p))
		return NAN;
	fd = connect_to(&p);
	begin = bench_now();
	for (i = 0; fd >= 0 && i < TCP_TURNS; i++)
		if (send(fd, out, sizeof(out), 0) < 0 ||
		    recv(fd, out, sizeof(out), MSG_WAITALL) != (ssize_t)sizeof(out)) {
			bench_fail("a TCP connection ended");
			break;
		}
	begin = bench_now() - begin;
	if (fd >= 0)
		close(fd);
	end_peer(&p);
	return begin / TCP_TURNS;
}

/* --- what programs print --- */

/* cmtime has a line for each step, which ends with the microseconds that one connection took for it. */
static double all_steps(const char *text, double ns)
{
	const char *line, *colon;
	double us, sum = 0;
	int steps = 0;

	(void)ns;
	for (line = text; line; line = strchr(line + 1, '\n')) {
		colon = strchr(line, ':');
		if (!colon)
			break;
		if (sscanf(colon + 1, "%*f %*f %*f %lf", &us) != 1)
			continue;
		sum += us;
		steps++;
		line = colon;
	}
	return steps == CMTIME_STEPS ? sum * US_TO_NS : NAN;
}

/* rping prints nothing, so its time is that of the whole program. */
static double rping_round(const char *text, double ns)
{
	(void)text;
	return ns / RPING_ROUNDS;
}

/* Return: bytes in a ns */
static double fio_rate(const char *text, double ns)
{
	const char *at = strstr(text, "3;fio");
	int i;

	(void)ns;
	for (i = 1; at && i < FIO_KIB_A_SECOND; i++) {
		at = strchr(at, ';');
		at = at ? at + 1 : NULL;
	}
	return at && atof(at) > 0 ? atof(at) * 1024 / 1e9 : NAN;
}

/* rstream's last two columns are Gb/s and us of a transfer. */
static int rstream_columns(const char *text, double *rate, double *us)
{
	const char *end = text + strlen(text), *at;

	while (end > text && end[-1] <= ' ')
		end--;
	for (at = end; at > text && at[-1] != '\n';)
		at--;
	return sscanf(at, "%*s %*s %*s %*s %*s %*s %lf %lf", rate, us) == 2 ? 0 : -1;
}

static double rstream_latency(const char *text, double ns)
{
	double rate, us;

	(void)ns;
	return rstream_columns(text, &rate, &us) ? NAN : us * US_TO_NS;
}

static double rstream_rate(const char *text, double ns)
{
	double rate, us;

	(void)ns;
	return rstream_columns(text, &rate, &us) ? NAN : rate / 8;
}

/* --- connections --- */

enum { CONNECT, CONNECT_MORE, TCP_CONNECT, RPING, TCP_TURN };

#define CMTIME(n) \
	{ \
		.kind = TOOL_CM, .words = "cmtime", .port = "-p", .client = "-s 127.0.0.1 -c " n, .stays = true, \
		.figure = all_steps \
	}

static const struct bench_source connect_sources[] = {
	[CONNECT] = { .tool = CMTIME("1000"), .scale = 1 },
	[CONNECT_MORE] = { .tool = CMTIME("5000"), .scale = 1 },
	[TCP_CONNECT] = { .floor = tcp_connect },
	[RPING] = { .tool = { .kind = TOOL_CM,
			      .words = "rping -a 127.0.0.1 -C " WORDS(RPING_ROUNDS),
			      .port = "-p",
			      .server = "-s",
			      .client = "-c",
			      .figure = rping_round },
		    .scale = 1 },
	[TCP_TURN] = { .floor = tcp_turn },
};

static const struct bench_figure connect_figures[] = {
	{ "each of 1,000 connections, all steps, cmtime / TCP", "ns", CONNECT, TCP_CONNECT,
	  BENCH_GOALS({ OURS_AT_MOST, 200000 }) },
	{ "each of 5,000 connections / of 1,000", "ns", CONNECT_MORE, CONNECT, BENCH_GOALS({ RATIO_AT_MOST, 1.1 }) },
	{ "rping, a round / TCP, 64 B there and back", "ns", RPING, TCP_TURN, BENCH_NO_GOAL },
	{ NULL, NULL, 0, 0, NULL },
};

static const struct bench_group connections = { "connections by address", connect_sources,
						HCA_ARRAY_SIZE(connect_sources), connect_figures };

/* --- fio --- */

enum { OVER_RDMA, OVER_TCP };

/*
 * fio counts the time of connecting, and sleeps for half a second in its rdma engine's: what is done in the first second isn't counted.
 *
 * With TCP fio's reader now and then counts more than it got, and would leave too early: it has more to read, until its peer ends.
 */
#define FIO "fio --name=job --thread --bs=64k --size=1000t "
#define FIO_WRITER "--hostname=127.0.0.1 --rw=write --time_based --ramp_time=1 --runtime=1 --minimal"

static const struct bench_source fio_sources[] = {
	[OVER_RDMA] = { .tool = { .kind = TOOL_CM,
				  .words = FIO "--ioengine=rdma --iodepth=16",
				  .port = "--port",
				  .server = "--rw=read",
				  .client = FIO_WRITER " --verb=write",
				  .stays = true,
				  .figure = fio_rate },
			.scale = 1 },
	[OVER_TCP] = { .tool = { .kind = TOOL_TCP,
				 .words = FIO "--ioengine=net --protocol=tcp",
				 .port = "--port",
				 .server = "--listen --rw=read",
				 .client = FIO_WRITER,
				 .stays = true,
				 .figure = fio_rate },
		       .scale = 1 },
};

static const struct bench_figure fio_figures[] = {
	{ "fio, writes of 64 KiB, rdma / net, TCP", "GB/s", OVER_RDMA, OVER_TCP, BENCH_GOALS({ RATIO_AT_LEAST, 5 }) },
	{ NULL, NULL, 0, 0, NULL },
};

static const struct bench_group with_fio = { "bulk by address", fio_sources, HCA_ARRAY_SIZE(fio_sources), fio_figures };

/* --- sockets --- */

enum { STREAM, STREAM_TCP, STREAM_BULK, STREAM_BULK_TCP, BLOCKING, BLOCKING_TCP, BLOCKING_BULK, BLOCKING_BULK_TCP };

#define RSTREAM(over, options, words_, what) \
	{ \
		.tool = { .kind = over, \
			  .words = "rstream " options words_, \
			  .port = "-p", \
			  .client = "-s 127.0.0.1", \
			  .figure = what }, \
		.scale = 1 \
	}
#define TURNS "-S 64 -C 1 -I 2000"
#define BULK "-S 65536 -C 1000 -I 1"

/* Without an option rstream tries again and again. Where other programs want the CPUs, TCP is faster with calls that block. */
static const struct bench_source stream_sources[] = {
	[STREAM] = RSTREAM(TOOL_CM, "", TURNS, rstream_latency),
	[STREAM_TCP] = RSTREAM(TOOL_TCP, "-T s ", TURNS, rstream_latency),
	[STREAM_BULK] = RSTREAM(TOOL_CM, "", BULK, rstream_rate),
	[STREAM_BULK_TCP] = RSTREAM(TOOL_TCP, "-T s ", BULK, rstream_rate),
	[BLOCKING] = RSTREAM(TOOL_CM, "-T b ", TURNS, rstream_latency),
	[BLOCKING_TCP] = RSTREAM(TOOL_TCP, "-T s -T b ", TURNS, rstream_latency),
	[BLOCKING_BULK] = RSTREAM(TOOL_CM, "-T b ", BULK, rstream_rate),
	[BLOCKING_BULK_TCP] = RSTREAM(TOOL_TCP, "-T s -T b ", BULK, rstream_rate),
};

static const struct bench_figure stream_figures[] = {
	{ "rstream, 64 B one way / over TCP", "ns", STREAM, STREAM_TCP, BENCH_GOALS({ RATIO_AT_MOST, 1 }) },
	{ "rstream, 64 KiB / over TCP", "GB/s", STREAM_BULK, STREAM_BULK_TCP, BENCH_GOALS({ RATIO_AT_LEAST, 1.5 }) },
	{ "rstream -T b, 64 B one way / over TCP", "ns", BLOCKING, BLOCKING_TCP, BENCH_GOALS({ RATIO_AT_MOST, 1 }) },
	{ "rstream -T b, 64 KiB / over TCP", "GB/s", BLOCKING_BULK, BLOCKING_BULK_TCP,
	  BENCH_GOALS({ RATIO_AT_LEAST, 1.5 }) },
	{ NULL, NULL, 0, 0, NULL },
};

static const struct bench_group streams = { "sockets by address", stream_sources, HCA_ARRAY_SIZE(stream_sources),
					    stream_figures };

/* --- the part --- */

static int measure_all(void)
{
	return bench_group_measure(&connections) || bench_group_measure(&with_fio) || bench_group_measure(&streams) ?
		       -1 :
		       0;
}

static int part_cm(void)
{
	return bench_with_programs(measure_all);
}

const struct bench_part bench_cm = { .name = "cm",
				     .about = "programs that connect by address, beside TCP loopback",
				     .run = part_cm };
