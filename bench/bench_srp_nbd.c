/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Part "srp", through tools: nbdcopy from and to an nbdkit that has our plugin, beside
 * nbdcopy from and to one that has nbdkit's own file plugin; both serve the same
 * file. Both servers live as long as the measurement; an operation is one whole
 * nbdcopy, from its start to its end.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench_srp.h"
#include "os.h"

#define NAME "nbdkit-softhca-plugin.so"

struct server {
	pid_t pid;
	char socket[300];
	char uri[340];
};

struct copy {
	const char *from, *to;
};

/* Return: its process, or -1. It says nothing; its standard error is ours. */
static pid_t start(const char *const *argv)
{
	pid_t pid = fork();
	int fd;

	if (pid)
		return pid;
	bench_unpin();
	fd = open("/dev/null", O_RDWR);
	if (fd >= 0) {
		dup2(fd, 0);
		dup2(fd, 1);
	}
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

static int finish(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

BENCH_LOOP static void copies(void *ctx, u64 n)
{
	const struct copy *c = ctx;
	const char *const argv[] = { "nbdcopy", c->from, c->to, NULL };
	pid_t pid;

	while (n--) {
		pid = start(argv);
		if (pid < 0 || finish(pid))
			bench_fail("nbdcopy %s %s failed; is libnbd-bin installed?", c->from, c->to);
	}
}

/* --- the servers --- */

/* Where it was installed, below the folder that has our bin/; or in a build's. */
static int find_plugin(char *path, size_t size)
{
	static const char *const places[] = { "/../" PLUGIN_BELOW NAME, "/../src/" NAME };
	char self[256];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *dir;
	size_t i;

	if (n <= 0)
		return bench_fail("/proc/self/exe can't be read");
	self[n] = 0;
	dir = dirname(self);
	for (i = 0; i < HCA_ARRAY_SIZE(places); i++) {
		snprintf(path, size, "%s%s", dir, places[i]);
		if (!access(path, R_OK))
			return 0;
	}
	return bench_fail("no " NAME " beside this program; build with nbdkit-plugin-dev");
}

/* @more: another parameter of the plugin, or NULL */
static int server_start(struct server *s, const char *plugin, const char *file, const char *more)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000000 };
	char arg[300];
	const char *const argv[] = { "nbdkit", "-f", "--exit-with-parent", "-U", s->socket, plugin, arg, more, NULL };
	struct stat st;
	int i;

	snprintf(s->socket, sizeof(s->socket), "%s.%s", file, plugin[0] == '/' ? "ours" : plugin);
	snprintf(s->uri, sizeof(s->uri), "nbd+unix:///?socket=%s", s->socket);
	snprintf(arg, sizeof(arg), "file=%s", file);
	s->pid = start(argv);
	for (i = 0; s->pid > 0 && i < 500; i++) {
		if (!stat(s->socket, &st))
			return 0;
		if (waitpid(s->pid, NULL, WNOHANG) == s->pid)
			s->pid = -1;
		else
			nanosleep(&pause, NULL);
	}
	return bench_fail("nbdkit with %s doesn't start; is nbdkit installed?", plugin);
}

static void server_stop(struct server *s)
{
	if (s->pid <= 0)
		return;
	kill(s->pid, SIGTERM);
	if (finish(s->pid))
		bench_fail("the server at %s failed at its end", s->socket);
	unlink(s->socket);
}

/* --- the figures --- */

static int measure(struct bench_file *f, const struct server *ours, const struct server *theirs, const char *from)
{
	struct copy c[] = {
		{ theirs->uri, "null:" }, { ours->uri, "null:" }, { from, theirs->uri }, { from, ours->uri }
	};
	const struct bench_loop loops[] = {
		{ .run = copies, .ctx = &c[0], .against = 0 },
		{ .run = copies, .ctx = &c[1], .against = 0 },
		{ .run = copies, .ctx = &c[2], .against = 2 },
		{ .run = copies, .ctx = &c[3], .against = 2 },
	};
	struct bench_times t;
	char name[100];

	if (bench_measure(loops, (int)HCA_ARRAY_SIZE(loops), &t))
		return -1;
	bench_title("nbdcopy, through nbdkit");
	snprintf(name, sizeof(name), "reading %u MiB / nbdkit's file plugin", (u32)(f->bytes >> 20));
	bench_row(name, "ms", t.ns[1] / 1e6, t.ns[0] / 1e6, t.ratio[1], BENCH_GOALS({ RATIO_AT_MOST, 1.1 }));
	snprintf(name, sizeof(name), "writing %u MiB / nbdkit's file plugin", (u32)(f->bytes >> 20));
	bench_row(name, "ms", t.ns[3] / 1e6, t.ns[2] / 1e6, t.ratio[3], BENCH_GOALS({ RATIO_AT_MOST, 1.1 }));
	return 0;
}

int bench_srp_nbd(struct bench_file *f, const char *from)
{
	struct server ours = { .pid = -1 }, theirs = { .pid = -1 };
	char plugin[400];
	int err;

	if (bench_counting())
		return 0;
	err = find_plugin(plugin, sizeof(plugin));
	if (!err)
		err = server_start(&ours, plugin, f->path, "memory=all");
	if (!err)
		err = server_start(&theirs, "file", f->path, NULL);
	if (!err)
		err = measure(f, &ours, &theirs, from);
	server_stop(&ours);
	server_stop(&theirs);
	return err;
}
