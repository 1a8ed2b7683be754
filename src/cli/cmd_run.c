/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * softhca run: replaces itself with a verbs program that finds our libraries instead
 * of the system's. What the options say is handed on in the environment; the library
 * checks it, so that a variable that a user sets and an option are refused alike.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "shim_dir.h"

enum { OPT_LINK, OPT_DEVICES, OPT_FABRIC, OPT_LOG, OPT_NO_VM, OPT_SOCKETS, OPT_PRINT };

static const struct cli_option options[] = {
	[OPT_LINK] = { "link", "LAYER", "roce (default), or ib for programs that want a LID", 0 },
	[OPT_DEVICES] = { "devices", "N", "how many devices there are, 1 (default) to 8: ipath0, ipath1, ...", 0 },
	[OPT_FABRIC] = { "fabric", "DIR",
			 "where processes find each other; default /dev/shm/softhca-UID.\n"
			 "Programs with different directories don't reach each other",
			 0 },
	[OPT_LOG] = { "log", "LEVEL[:AREA]", "what to report on standard error: error, warn, info, debug", 0 },
	[OPT_NO_VM] = { "no-vm", NULL,
			"never copy from process to process by one system call, as if\n"
			"the system forbade it",
			0 },
	[OPT_SOCKETS] = { "sockets", NULL,
			  "the program's sockets of IPv4 and IPv6 become sockets over RDMA.\n"
			  "Both ends of a connection need it",
			  0 },
	[OPT_PRINT] = { "print", NULL, "print what would be set, as shell assignments, and run nothing", 0 },
	{ NULL, NULL, NULL, 0 },
};

static const char *const links[] = { "roce", "ib", NULL };
static const char *const numbers[] = { "1", "2", "3", "4", "5", "6", "7", "8", NULL };
static const char *const levels[] = { "error", "warn", "info", "debug", NULL };
static const char *const
	*const words[] = { [OPT_LINK] = links, [OPT_DEVICES] = numbers, [OPT_LOG] = levels, [OPT_PRINT] = NULL };

static const char *const variables[] = {
	[OPT_LINK] = "SOFTHCA_LINK", [OPT_DEVICES] = "SOFTHCA_DEVICES", [OPT_FABRIC] = "SOFTHCA_FABRIC",
	[OPT_LOG] = "SOFTHCA_LOG",   [OPT_NO_VM] = "SOFTHCA_NO_VM",
};

/* Exit statuses of env(1) and of shells. */
#define CANNOT_RUN 126
#define NOT_FOUND 127

#define PRELOAD "librspreload.so.1"

static int set(const char *name, const char *value, bool print)
{
	if (!print) {
		if (!setenv(name, value, 1))
			return 0;
		cli_error("run", "%s can't be set: %s", name, strerror(errno));
		return -1;
	}
	/* A quote ends the word, a quoted one stands, and the word goes on. */
	printf("%s='", name);
	for (; *value; value++) {
		if (*value == '\'')
			printf("'\\''");
		else
			putchar(*value);
	}
	printf("'\nexport %s\n", name);
	return 0;
}

/* Puts @value in front of what the variable is, with a colon between. */
static int prepend(const char *name, const char *value, bool print)
{
	const char *before = getenv(name);
	char *both;
	int err;

	if (!before || !*before)
		return set(name, value, print);
	if (asprintf(&both, "%s:%s", value, before) < 0) {
		cli_error("run", "no memory");
		return -1;
	}
	err = set(name, both, print);
	free(both);
	return err;
}

static int set_preload(const char *dir, bool print)
{
	char file[PATH_MAX + sizeof("/" PRELOAD)];

	snprintf(file, sizeof(file), "%s/" PRELOAD, dir);
	if (!access(file, R_OK))
		return prepend("LD_PRELOAD", file, print);
	cli_error("run", "%s isn't there: build it with 'make build', which needs librdmacm-dev", file);
	return -1;
}

static int set_path(bool print, bool sockets)
{
	char dir[PATH_MAX];

	if (!shim_dir(dir, sizeof(dir))) {
		cli_error("run",
			  "%s isn't there: build it with 'make build', which needs libibverbs-dev and librdmacm-dev; "
			  "'softhca doctor' says more",
			  dir);
		return -1;
	}
	if (prepend("LD_LIBRARY_PATH", dir, print))
		return -1;
	return sockets ? set_preload(dir, print) : 0;
}

/* The words up to "--" or the program's name are ours. */
static int our_words(int argc, char **argv)
{
	int n;

	for (n = 1; n < argc && argv[n][0] == '-' && strcmp(argv[n], "--") != 0; n++) {
		const struct cli_option *o;

		for (o = options; o->name; o++)
			if (o->arg && !strncmp(argv[n], "--", 2) && !strcmp(argv[n] + 2, o->name) && n + 1 < argc)
				n++;
	}
	return n;
}

static enum cli_status run(const struct cli_command *cmd, int argc, char **argv)
{
	const char *values[sizeof(variables) / sizeof(variables[0])] = { NULL };
	int ours = our_words(argc, argv);
	struct cli_args args = { .cmd = cmd, .argc = ours, .argv = argv, .at = 1 };
	bool print = false, sockets = false;
	int found, i;

	while ((found = cli_next(&args)) != CLI_END) {
		if (found == CLI_HELP) {
			cli_help(cmd);
			return CLI_OK;
		}
		if (found == CLI_BAD)
			return CLI_USAGE;
		if (found == OPT_PRINT)
			print = true;
		else if (found == OPT_SOCKETS)
			sockets = true;
		else
			values[found] = args.value ? args.value : "1";
	}
	if (ours < argc && !strcmp(argv[ours], "--"))
		ours++;
	if (ours >= argc && !print) {
		cli_error("run", "a program is missing: softhca run [OPTION...] -- PROGRAM [WORD...]");
		return CLI_USAGE;
	}
	for (i = 0; i < (int)(sizeof(variables) / sizeof(variables[0])); i++)
		if (values[i] && set(variables[i], values[i], print))
			return CLI_FAILED;
	if (set_path(print, sockets))
		return CLI_FAILED;
	if (print)
		return CLI_OK;
	execvp(argv[ours], argv + ours);
	i = errno;
	cli_error("run", "%s: %s", argv[ours], strerror(i));
	return (enum cli_status)(i == ENOENT ? NOT_FOUND : CANNOT_RUN);
}

const struct cli_command cli_run = {
	.name = "run",
	.summary = "run a verbs program, unmodified, on the software adapter",
	.usage = "[OPTION...] [--] PROGRAM [WORD...]",
	.about =
		"Runs an unmodified program that uses libibverbs or librdmacm on the software adapter. It needs no hardware,\n"
		"no kernel module, no root and no daemon. Programs of one user on one host reach each other.",
	.options = options,
	.values = words,
	.run = run,
};
