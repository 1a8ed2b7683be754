/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The softhca command: finds the subcommand and hands over. To add one, write its
 * file with a struct cli_command and list it here.
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "complete.h"
#include "softhca/config.h"

static const struct cli_command *const commands[] = {
	&cli_devices, &cli_doctor, &cli_lint_demo, &cli_matrix, &cli_run, &cli_status,
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char help_summary[] = "print the help of a command, or the list of commands";

static void help_help(void)
{
	printf("usage: softhca help [COMMAND]\n\n"
	       "Prints the help of COMMAND, as 'softhca COMMAND --help' does. Without COMMAND it prints\n"
	       "the list of commands, as 'softhca --help' does.\n");
}

static void help(void)
{
	size_t i;

	printf("usage: softhca COMMAND [OPTION...]\n\n"
	       "A software InfiniBand adapter and the ib_dma mapping layer, in a process of its own.\n\n"
	       "Commands:\n");
	for (i = 0; i < COMMANDS; i++)
		printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
	printf("  %-10s %s\n\n", "help", help_summary);
	printf("  --help     this text\n"
	       "  --version  the version, and how it was built\n\n"
	       "Exit status: 0 the job is done, 1 it failed, 2 it wasn't understood.\n");
}

static void version(void)
{
#if defined(SOFTHCA_SG_LAYOUT_SPLIT)
	const char *layout = "split";
#elif defined(SOFTHCA_SG_LAYOUT_JOINED)
	const char *layout = "joined";
#else
	const char *layout = "classic";
#endif
	printf("softhca %s (%s scatterlists)\n", SOFTHCA_VERSION, layout);
}

static const struct cli_command *find(const char *name)
{
	size_t i;

	for (i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	cli_error(NULL, "there is no command '%s'; 'softhca --help' lists them", name);
	return NULL;
}

static enum cli_status run(int argc, char **argv)
{
	const struct cli_command *cmd;
	const char *word = argc > 1 ? argv[1] : NULL;

	if (!word) {
		cli_error(NULL, "a command is missing; 'softhca --help' lists them");
		return CLI_USAGE;
	}
	if (!strcmp(word, "--help") || !strcmp(word, "-h") || (!strcmp(word, "help") && argc == 2)) {
		help();
		return CLI_OK;
	}
	if (!strcmp(word, "--version")) {
		version();
		return CLI_OK;
	}
	if (!strcmp(word, "help")) {
		if (argc > 3) {
			cli_error("help", "one command at a time");
			return CLI_USAGE;
		}
		if (!strcmp(argv[2], "help") || !strcmp(argv[2], "--help") || !strcmp(argv[2], "-h")) {
			help_help();
			return CLI_OK;
		}
		cmd = find(argv[2]);
		if (!cmd)
			return CLI_USAGE;
		cli_help(cmd);
		return CLI_OK;
	}
	if (!strcmp(word, "complete")) {
		cli_complete(commands, COMMANDS, argc - 2, argv + 2);
		return CLI_OK;
	}
	if (word[0] == '-') {
		cli_error(NULL, "there is no option '%s' before a command; 'softhca --help' lists both", word);
		return CLI_USAGE;
	}
	cmd = find(word);
	return cmd ? cmd->run(cmd, argc - 1, argv + 1) : CLI_USAGE;
}

int main(int argc, char **argv)
{
	enum cli_status status = run(argc, argv);

	/* A table that could not be written is a job that failed. */
	if (fflush(stdout) || ferror(stdout)) {
		cli_error(NULL, "standard output can't be written");
		return status == CLI_OK ? CLI_FAILED : status;
	}
	return status;
}
