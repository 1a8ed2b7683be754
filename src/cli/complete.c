/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * softhca complete: the words that may stand at a place of the command line, for the completion of shells. It
 * asks the commands' own tables, so a new option is completed without another line. Not in the list of
 * commands: people don't type it.
 */
#include <stdio.h>
#include <string.h>

#include "complete.h"

static bool begins(const char *word, const char *start)
{
	return !strncmp(word, start, strlen(start));
}

static void offer(const char *word, const char *typed)
{
	if (begins(word, typed))
		puts(word);
}

static void offer_options(const struct cli_command *cmd, const char *typed)
{
	const struct cli_option *o;
	char word[64];

	for (o = cmd->options; o->name; o++) {
		snprintf(word, sizeof(word), "--%s", o->name);
		offer(word, typed);
	}
	offer("--help", typed);
}

/* The last name of a list, with those before it in front. */
static void offer_values(const char *const *values, const char *typed)
{
	const char *comma = strrchr(typed, ',');
	int before = comma ? (int)(comma - typed) + 1 : 0;

	for (; *values; values++)
		if (begins(*values, typed + before))
			printf("%.*s%s\n", before, typed, *values);
}

/* Return: the index of the option that the word is, with its argument still to come; -1 if it is none of these. */
static int awaits_argument(const struct cli_command *cmd, const char *word)
{
	int i;

	for (i = 0; cmd->options[i].name; i++)
		if (cmd->options[i].arg && begins(word, "--") && !strcmp(word + 2, cmd->options[i].name))
			return i;
	return -1;
}

void cli_complete(const struct cli_command *const *commands, size_t n, int argc, char **argv)
{
	const char *typed = argc ? argv[argc - 1] : "";
	const struct cli_command *cmd = NULL;
	size_t i;
	int option;

	if (argc <= 1 || (argc == 2 && !strcmp(argv[0], "help"))) {
		for (i = 0; i < n; i++)
			offer(commands[i]->name, typed);
		offer("help", typed);
		if (argc <= 1) {
			offer("--help", typed);
			offer("--version", typed);
		}
		return;
	}
	for (i = 0; i < n; i++)
		if (!strcmp(commands[i]->name, argv[0]))
			cmd = commands[i];
	if (!cmd)
		return;
	option = awaits_argument(cmd, argv[argc - 2]);
	if (option < 0 || argc < 3) {
		if (typed[0] == '-')
			offer_options(cmd, typed);
	} else if (cmd->values && cmd->values[option]) {
		offer_values(cmd->values[option], typed);
	}
}
