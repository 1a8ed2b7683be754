/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * softhca doctor: what this machine allows that the drop-in libraries use, what each
 * shortfall costs, and how to mend it. Each line comes from trying the thing, not from
 * a version or a name.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "shim_dir.h"

enum { OPT_JSON };

static const struct cli_option options[] = {
	[OPT_JSON] = { "json", NULL, "print a JSON array of objects and nothing else", 0 },
	{ NULL, NULL, NULL, 0 },
};

/* What a finding means for a program. */
enum verdict { GOOD, SLOW, BROKEN, VERDICTS };

static const char *const verdict_names[VERDICTS] = { "ok", "slow", "broken" };

/**
 * struct finding - one line
 * @what: was looked at
 * @found: how it is
 * @cost: of a shortfall; @mend: how to end it; empty where nothing is wrong
 */
struct finding {
	const char *what;
	enum verdict verdict;
	char found[PATH_MAX + 128];
	const char *cost;
	const char *mend;
};

__attribute__((format(printf, 3, 4))) static void found(struct finding *f, enum verdict verdict, const char *fmt, ...)
{
	va_list ap;

	f->verdict = verdict;
	va_start(ap, fmt);
	vsnprintf(f->found, sizeof(f->found), fmt, ap);
	va_end(ap);
}

/* --- the library --- */

static void look_library(struct finding *f)
{
	char dir[PATH_MAX], file[PATH_MAX + 32];
	void *lib;

	f->what = "library";
	f->cost = "'softhca run' can't run anything";
	f->mend = "install libibverbs-dev, then 'make build'";
	if (!shim_dir(dir, sizeof(dir))) {
		found(f, BROKEN, "no libibverbs.so.1 in %s", dir);
		return;
	}
	snprintf(file, sizeof(file), "%s/libibverbs.so.1", dir);
	lib = dlopen(file, RTLD_NOW | RTLD_LOCAL);
	if (!lib) {
		found(f, BROKEN, "%s", dlerror());
		return;
	}
	found(f, GOOD, "%s", file);
	dlclose(lib);
}

/* --- memory of another process --- */

static char probe_source[64] = "softhca", probe_target[64];

/* A read of the same bytes in process @pid, which has them at the same address. Return: 0 or errno */
static int read_other(pid_t pid)
{
	struct iovec here = { probe_target, sizeof(probe_target) }, there = { probe_source, sizeof(probe_source) };

	return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)sizeof(probe_source) ? 0 : errno;
}

/* In a child: its parent isn't its descendant, as no peer of a program is. */
static int try_vm(void)
{
	pid_t parent = getpid(), child = fork();
	int status;

	if (child < 0)
		return errno;
	if (!child)
		_exit(read_other(parent) & 0xff);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

static int yama_scope(void)
{
	int file = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
	char c = 0;

	if (file < 0)
		return 0;
	if (read(file, &c, 1) != 1)
		c = '0';
	close(file);
	return c - '0';
}

static void look_vm(struct finding *f)
{
	int err = try_vm(), scope = yama_scope();

	f->what = "process_vm";
	f->cost = "RDMA and long messages are copied twice, with the help of the peer's own thread";
	if (!err) {
		found(f, GOOD, "a process may copy from and to another one's memory");
		return;
	}
	if (scope == 1) {
		found(f, SLOW, "refused: Yama's ptrace_scope is 1");
		f->mend =
			"as root: sysctl kernel.yama.ptrace_scope=0; every process of a user may then trace the user's others";
		return;
	}
	found(f, SLOW, "refused: %s%s", strerror(err), scope > 1 ? ", Yama's ptrace_scope is above 1" : "");
	f->mend =
		err == EPERM || err == ENOSYS ?
			"in a container: allow process_vm_readv and process_vm_writev (SYS_PTRACE, or the seccomp profile)" :
			"as root: sysctl kernel.yama.ptrace_scope=0";
}

/* --- the fabric's directory --- */

static void look_fabric(struct finding *f)
{
	char dir[PATH_MAX - 32], probe[PATH_MAX];
	struct stat st;
	int file;

	f->what = "fabric";
	f->cost = "processes don't reach each other";
	f->mend = "set SOFTHCA_FABRIC to a directory of your own on a tmpfs, mode 0700";
	fabric_dir(dir, sizeof(dir));
	if (lstat(dir, &st)) {
		if (errno != ENOENT) {
			found(f, BROKEN, "%s: %s", dir, strerror(errno));
			return;
		}
		snprintf(probe, sizeof(probe), "%s.doctor-%d", dir, (int)getpid());
		if (mkdir(probe, 0700)) {
			found(f, BROKEN, "%s can't be made: %s", dir, strerror(errno));
			return;
		}
		rmdir(probe);
		found(f, GOOD, "%s, made when a program starts", dir);
		return;
	}
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 077) {
		found(f, BROKEN, "%s is no directory of yours with mode 0700", dir);
		return;
	}
	snprintf(probe, sizeof(probe), "%s/doctor-%d", dir, (int)getpid());
	file = open(probe, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file < 0) {
		found(f, BROKEN, "%s can't be written: %s", dir, strerror(errno));
		return;
	}
	close(file);
	unlink(probe);
	found(f, GOOD, "%s", dir);
}

/* What 16 processes that all talk to each other need. */
#define ROOM_MIB 128u

static void look_room(struct finding *f)
{
	char dir[PATH_MAX];
	struct statvfs fs;
	unsigned long long mib;

	f->what = "room";
	f->cost = "opening the device or connecting fails when it is full";
	f->mend = "as root: mount -o remount,size=1G /dev/shm; in a container: --shm-size=1g";
	fabric_dir(dir, sizeof(dir));
	if (statvfs(dir, &fs) && statvfs("/dev/shm", &fs)) {
		found(f, BROKEN, "/dev/shm: %s", strerror(errno));
		return;
	}
	mib = (unsigned long long)fs.f_bavail * fs.f_frsize >> 20;
	found(f, mib < 8 ? BROKEN : mib < ROOM_MIB ? SLOW : GOOD, "%llu MiB free for rings and tables", mib);
}

/* --- limits --- */

static void look_descriptors(struct finding *f)
{
	struct rlimit limit;

	f->what = "descriptors";
	f->cost = "each peer process takes two: connecting to many of them fails";
	f->mend = "ulimit -n 4096";
	if (getrlimit(RLIMIT_NOFILE, &limit)) {
		found(f, SLOW, "%s", strerror(errno));
		return;
	}
	found(f, limit.rlim_cur < 256 ? SLOW : GOOD, "%llu may be open", (unsigned long long)limit.rlim_cur);
}

static void look_locked(struct finding *f)
{
	struct rlimit limit;

	f->what = "locked memory";
	f->cost = f->mend = "";
	if (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur == RLIM_INFINITY)
		found(f, GOOD, "no limit; none is used");
	else
		found(f, GOOD, "%llu KiB; none is used", (unsigned long long)limit.rlim_cur >> 10);
}

static void look_pidfd(struct finding *f)
{
	long fd = syscall(SYS_pidfd_open, getpid(), 0);

	f->what = "pidfd";
	f->cost = "the end of a peer is seen by looking once a second, not at once";
	f->mend = "Linux 5.3 or later; in a container: allow pidfd_open";
	if (fd < 0) {
		found(f, SLOW, "%s", strerror(errno));
		return;
	}
	close((int)fd);
	found(f, GOOD, "the end of a peer process is seen at once");
}

/* --- all of it --- */

static void (*const looks[])(struct finding *f) = {
	look_library, look_fabric, look_room, look_vm, look_pidfd, look_descriptors, look_locked,
};

#define LOOKS (sizeof(looks) / sizeof(looks[0]))

static void print_json(const struct finding *f, bool last)
{
	const char *const keys[] = { "what", "verdict", "found", "cost", "mend" };
	const char *const values[] = { f->what, verdict_names[f->verdict], f->found, f->verdict ? f->cost : "",
				       f->verdict ? f->mend : "" };
	size_t i;

	printf("  {");
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		printf("%s\"%s\": ", i ? ", " : "", keys[i]);
		cli_json_text(values[i]);
	}
	printf("}%s\n", last ? "" : ",");
}

static void print_text(const struct finding *f)
{
	printf("%-7s %-14s %s\n", verdict_names[f->verdict], f->what, f->found);
	if (f->verdict == GOOD)
		return;
	printf("%-22s costs: %s\n", "", f->cost);
	printf("%-22s mend:  %s\n", "", f->mend);
}

static enum cli_status run(const struct cli_command *cmd, int argc, char **argv)
{
	struct cli_args args = { .cmd = cmd, .argc = argc, .argv = argv, .at = 1 };
	unsigned int count[VERDICTS] = { 0 };
	bool json = false;
	int got;
	size_t i;

	while ((got = cli_next(&args)) != CLI_END) {
		if (got == CLI_HELP) {
			cli_help(cmd);
			return CLI_OK;
		}
		if (got == CLI_BAD)
			return CLI_USAGE;
		json = true;
	}
	if (json)
		printf("[\n");
	for (i = 0; i < LOOKS; i++) {
		struct finding f = { .cost = "", .mend = "" };

		fflush(stdout); /* a child that is forked has nothing to print twice */
		looks[i](&f);
		count[f.verdict]++;
		if (json)
			print_json(&f, i == LOOKS - 1);
		else
			print_text(&f);
	}
	if (json)
		printf("]\n");
	else if (count[BROKEN])
		printf("\nPrograms can't run as it is: mend what is broken.\n");
	else
		printf("\nPrograms can run%s.\n", count[SLOW] ? ", slower than they could" : "");
	return count[BROKEN] ? CLI_FAILED : CLI_OK;
}

const struct cli_command cli_doctor = {
	.name = "doctor",
	.summary = "test whether this machine allows what programs need",
	.usage = "[--json]",
	.about = "Tests what 'softhca run' needs: the library, the directory of the fabric and its free space,\n"
		 "access to another process's memory, descriptors. For each problem it prints the effect and a fix.",
	.options = options,
	.run = run,
};
