/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Runs the programs that part "verbs" measures: a server and a client, each on a CPU of
 * its own, and takes a figure from what the client prints. A server is asked only when it
 * listens, which the system's table of sockets tells without a connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench_verbs.h"
#include "os.h"

#define WORDS 40
#define WORD_BYTES 1024
#define TEXT_BYTES 16384
#define PATIENCE_MS 30000
#define PAUSE_NS 5000000l
#define PAIRS 5 /* of server and client, if the client comes while the server begins */
#define TRIES 200

static char fabric[64];
static char softhca[400];

/* --- words --- */

/* struct words - a command line under way */
struct words {
	char room[WORD_BYTES];
	size_t used;
	char *argv[WORDS + 1];
	int argc;
};

static void add_word(struct words *w, const char *word, size_t len)
{
	if (w->argc == WORDS || w->used + len + 1 > sizeof(w->room)) {
		bench_fail("a command line is too long");
		return;
	}
	w->argv[w->argc++] = &w->room[w->used];
	memcpy(&w->room[w->used], word, len);
	w->used += len;
	w->room[w->used++] = 0;
}

static void add_words(struct words *w, const char *words)
{
	while (*words) {
		size_t len = strcspn(words, " ");

		add_word(w, words, len);
		words += len + strspn(words + len, " ");
	}
}

static void add_port(struct words *w, const char *option, u32 port)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", port);
	add_words(w, option);
	add_words(w, text);
}

static void add_drop_in(struct words *w)
{
	add_word(w, softhca, strlen(softhca));
	add_words(w, "run --");
}

/* --- processes --- */

/* Return: its process, or -1 after bench_fail(). All that it prints goes to @out, or nowhere if that is -1. @cpu: -1: any */
static pid_t start(const struct words *w, const char *env, int out, int cpu)
{
	pid_t pid;
	int fd;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		bench_fail("no process for %s", w->argv[0]);
	if (pid)
		return pid;
	if (cpu < 0)
		bench_unpin();
	else
		bench_pin(cpu < bench_cpus() ? cpu : 0);
	fd = open("/dev/null", O_RDWR);
	if (fd >= 0) {
		dup2(fd, 0);
		dup2(out >= 0 ? out : fd, 1);
		dup2(out >= 0 ? out : fd, 2);
	}
	setenv("SOFTHCA_FABRIC", fabric, 1);
	setenv("UCX_WARN_UNUSED_ENV_VARS", "n", 1);
	if (env)
		putenv((char *)(uintptr_t)env);
	execvp(w->argv[0], w->argv);
	_exit(127);
}

/* Return: its exit status; -1: it was ended by a signal */
static int finish(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	finish(pid);
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == pid;
}

/* All that is printed, or what there is after the first line. Return: false: nothing came for too long */
static bool read_text(int fd, char *text, size_t size, bool line)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t used = 0;
	ssize_t n = 1;

	while (n > 0 && used + 1 < size) {
		if (poll(&p, 1, PATIENCE_MS) <= 0)
			return false;
		n = read(fd, text + used, size - 1 - used);
		used += n > 0 ? (size_t)n : 0;
		text[used] = 0;
		if (line && strchr(text, '\n'))
			break;
	}
	text[used] = 0;
	return true;
}

/* --- ports --- */

/* A port that is free now. */
static u32 free_port(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(sa);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) || getsockname(fd, (struct sockaddr *)&sa, &len))
		bench_fail("no port: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return ntohs(sa.sin_port);
}

static bool table_has(const char *path, u32 port)
{
	u32 local, state;
	bool found = false;
	char line[512];
	FILE *f = fopen(path, "re");

	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x", &local, &state) == 2 && local == port &&
			state == 0x0a;
	if (f)
		fclose(f);
	return found;
}

/* Return: false: it ended before it listened */
static bool await_port(pid_t pid, u32 port)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };

	while (!table_has("/proc/net/tcp", port) && !table_has("/proc/net/tcp6", port)) {
		if (has_ended(pid))
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/* --- figures --- */

double bench_tool_figure(const char *text, u32 column)
{
	double figure = NAN;
	const char *line;

	for (line = text; line; line = strchr(line, '\n')) {
		const char *at = line + (*line == '\n');
		u32 i;

		line = at;
		for (i = 1; i <= column; i++) {
			char *after;
			double v = strtod(at, &after);

			if (after == at)
				break;
			if (i == column)
				figure = v;
			/* "10k" and "=10k" and "0.26s" are figures, and commas stand between some. */
			at = after + strspn(after, "kmgs,\t =");
		}
	}
	return figure;
}

static bool is_ours(const struct bench_tool *t)
{
	return t->kind == TOOL_PERFTEST || t->kind == TOOL_CM;
}

static bool is_alike(const struct bench_tool *t)
{
	return t->kind != TOOL_CM && t->kind != TOOL_TCP;
}

static void command(struct words *w, const struct bench_tool *t, bool server, u32 port)
{
	static const char *const option[] = { [TOOL_PERFTEST] = "-p", [TOOL_UCX] = "-p", [TOOL_FABRIC] = "-P" };

	*w = (struct words){ .argc = 0 };
	if (is_ours(t))
		add_drop_in(w);
	/* The client tells UCX's server what to do. */
	add_words(w, t->kind == TOOL_UCX && server ? "ucx_perftest" : t->words);
	if (!is_alike(t))
		add_port(w, t->port, port);
	else
		add_port(w, t->kind == TOOL_FABRIC && server ? "-B" : option[t->kind], port);
	if (server && t->server)
		add_words(w, t->server);
	if (!server)
		add_words(w, is_alike(t) ? "127.0.0.1" : t->client);
}

/* Return: the client's exit status; -1 after bench_fail(). @ns: how long it took */
static int try_client(const struct bench_tool *t, u32 port, char *text, double *ns)
{
	double begin = bench_now();
	struct words w;
	int fd[2], status = 0;
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC))
		return bench_fail("no pipe");
	command(&w, t, false, port);
	pid = start(&w, t->env, fd[1], 0);
	close(fd[1]);
	if (pid < 0 || !read_text(fd[0], text, TEXT_BYTES, false))
		status = bench_fail("%s says nothing", t->words);
	close(fd[0]);
	if (pid > 0 && status)
		end(pid);
	else if (pid > 0)
		status = finish(pid) & 0xff;
	*ns = bench_now() - begin;
	return status;
}

/* Some say so and don't fail. */
static bool came_too_early(int status, const char *text)
{
	return status || strstr(text, "REJECTED") || strstr(text, "UNREACHABLE");
}

/*
 * A client that comes too early is refused, and comes again. Return: 0; -EAGAIN: of its connections the server was there for some, and
 * has ended; -1 after bench_fail()
 */
static int run_client(const struct bench_tool *t, pid_t server, u32 port, char *text, double *ns)
{
	const struct timespec pause = { .tv_nsec = 10 * PAUSE_NS };
	int i, status;

	for (i = 0;; i++) {
		status = try_client(t, port, text, ns);
		if (status < 0)
			return status;
		if (t->kind == TOOL_CM ? !came_too_early(status, text) : !status)
			return 0;
		if (t->kind == TOOL_CM && has_ended(server))
			return -EAGAIN;
		if (t->kind != TOOL_CM || i == TRIES)
			return bench_fail("%s failed (for its package see tools/deps.sh):\n%s", t->words, text);
		nanosleep(&pause, NULL);
	}
}

/* Return: as run_client() */
static int run_pair(const struct bench_tool *t, char *text, double *ns)
{
	u32 port = free_port();
	struct words w;
	pid_t server;
	int err;

	command(&w, t, true, port);
	server = start(&w, t->env, -1, 1);
	if (server < 0)
		return -1;
	if (t->kind != TOOL_CM && !await_port(server, port)) {
		finish(server);
		return bench_fail("%s, the server, ended; is its package installed (tools/deps.sh)?", t->words);
	}
	err = run_client(t, server, port, text, ns);
	if (err || t->stays)
		end(server);
	else
		finish(server);
	return err;
}

double bench_tool_run(const struct bench_tool *t)
{
	static char text[TEXT_BYTES];
	double figure = NAN, ns = 0;
	int err = -EAGAIN, pairs;

	for (pairs = 0; err == -EAGAIN && pairs < PAIRS; pairs++)
		err = run_pair(t, text, &ns);
	if (err == -EAGAIN)
		bench_fail("%s failed (for its package see tools/deps.sh):\n%s", t->words, text);
	if (err)
		return NAN;
	figure = t->figure ? t->figure(text, ns) : bench_tool_figure(text, t->column);
	if (isnan(figure))
		bench_fail("%s printed no figure", t->words);
	return figure;
}

int bench_tool_alone(const char *words, char *text, size_t size)
{
	struct words w = { .argc = 0 };
	int fd[2], status = 0;
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC))
		return bench_fail("no pipe");
	add_drop_in(&w);
	add_words(&w, words);
	pid = start(&w, NULL, fd[1], -1);
	close(fd[1]);
	if (pid < 0 || !read_text(fd[0], text, size, false))
		status = bench_fail("%s says nothing", words);
	close(fd[0]);
	if (pid > 0 && status)
		end(pid);
	else if (pid > 0)
		status = finish(pid) & 0xff;
	return status > 0 ? bench_fail("%s failed", words) : status;
}

pid_t bench_tool_start(const char *words)
{
	struct words w = { .argc = 0 };
	char text[TEXT_BYTES];
	int fd[2];
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC))
		return bench_fail("no pipe");
	add_words(&w, "stdbuf -oL");
	add_drop_in(&w);
	add_words(&w, words);
	pid = start(&w, NULL, fd[1], -1);
	close(fd[1]);
	if (pid > 0 && (!read_text(fd[0], text, sizeof(text), true) || has_ended(pid))) {
		end(pid);
		pid = bench_fail("%s doesn't start", words);
	}
	close(fd[0]);
	return pid;
}

void bench_tool_stop(pid_t pid)
{
	end(pid);
}

/* --- where things are --- */

int bench_tool_own(const char *name, char *path, size_t size)
{
	static const char *const places[] = { "", "../src/" };
	char self[256];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *dir;
	size_t i;

	if (n <= 0)
		return bench_fail("/proc/self/exe can't be read");
	self[n] = 0;
	dir = dirname(self);
	for (i = 0; i < HCA_ARRAY_SIZE(places); i++) {
		snprintf(path, size, "%s/%s%s", dir, places[i], name);
		if (!access(path, X_OK))
			return 0;
	}
	return bench_fail("no %s beside this program; build with libibverbs-dev", name);
}

const char *bench_tool_fabric(void)
{
	return fabric;
}

int bench_tool_open(void)
{
	if (bench_tool_own("softhca", softhca, sizeof(softhca)))
		return -1;
	/* Not the user's: whoever is there would be measured as well. */
	snprintf(fabric, sizeof(fabric), "/dev/shm/softhca-bench-XXXXXX");
	if (!mkdtemp(fabric))
		return bench_fail("no directory in /dev/shm: %s", strerror(errno));
	return 0;
}

void bench_tool_close(void)
{
	char text[512];

	/* Whoever comes next cleans up after those that were killed, and then after itself. */
	bench_tool_alone("ibv_devinfo", text, sizeof(text));
	if (rmdir(fabric))
		bench_fail("%s: %s", fabric, strerror(errno));
}
