/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the files of the softhca command share: subcommands, options, messages.
 * A subcommand is one file with one struct cli_command; main.c lists them. It uses
 * the library's public headers alone, as any other program would.
 */
#ifndef CLI_H
#define CLI_H

#include <stdbool.h>
#include <stdint.h>

/* What the command ends with. */
enum cli_status {
	CLI_OK = 0,
	CLI_FAILED = 1, /* the job was understood, and failed */
	CLI_USAGE = 2, /* it wasn't understood */
};

/**
 * struct cli_option - an option of a subcommand
 * @name: without the dashes; NULL ends a list
 * @arg: what its argument is called in the help, NULL if it takes none
 * @help: what it does; lines end with a newline except the last
 * @letter: its short form, "-v"; 0: it has none. Only for options without an argument.
 */
struct cli_option {
	const char *name;
	const char *arg;
	const char *help;
	char letter;
};

/**
 * struct cli_command - a subcommand
 * @name: as typed
 * @summary: a line for the list of subcommands
 * @usage: what follows the name in the usage line
 * @about: the help's text
 * @options: its options, besides --help
 * @values: of each option, by its index, the names that its argument is made of, or NULL; NULL: none has names
 * @run: does it; @argv[0] is the name
 */
struct cli_command {
	const char *name;
	const char *summary;
	const char *usage;
	const char *about;
	const struct cli_option *options;
	const char *const *const *values;
	enum cli_status (*run)(const struct cli_command *cmd, int argc, char **argv);
};

extern const struct cli_command cli_devices;
extern const struct cli_command cli_doctor;
extern const struct cli_command cli_lint_demo;
extern const struct cli_command cli_matrix;
extern const struct cli_command cli_run;
extern const struct cli_command cli_status;

/** cli_error() - one line on standard error, "softhca WHERE: ..."; @where may be NULL */
__attribute__((format(printf, 2, 3))) void cli_error(const char *where, const char *fmt, ...);

/** cli_json_text() - a JSON string on standard output, in quotes; what isn't UTF-8 becomes U+FFFD */
void cli_json_text(const char *text);

/** cli_help() - the help of a subcommand, on standard output */
void cli_help(const struct cli_command *cmd);

/**
 * struct cli_args - where the parser of a command line is
 * @at: next word
 * @value: argument of the option that was found
 */
struct cli_args {
	const struct cli_command *cmd;
	int argc;
	char **argv;
	int at;
	const char *value;
};

/* Besides the index of an option, cli_next() returns these. */
#define CLI_END (-1) /* no more words */
#define CLI_HELP (-2) /* --help */
#define CLI_BAD (-3) /* a wrong word; it has been said */

/** cli_next() - the next option: its index in cmd->options, or CLI_*. Takes "--name VALUE", "--name=VALUE" and "-n". */
int cli_next(struct cli_args *args);

/** cli_parse_size() - bytes, with an optional K, M or G (1,024 each). Return: whether it is one, above 0 */
bool cli_parse_size(const char *text, uint64_t *out);

/** cli_parse_u64() - a decimal or 0x number and nothing else */
bool cli_parse_u64(const char *text, uint64_t *out);

/**
 * cli_parse_set() - some of a list of names, separated by commas
 * @names: the legal ones, NULL at the end; 32 at most
 * @old_names: older names of the same things in the same order, which messages don't mention; may be NULL
 * @what: one of them, for the message: "machine"
 *
 * Return: a bit for each name; 0 if one isn't legal, and then it has been said which, and which are.
 */
uint32_t cli_parse_set(const struct cli_args *args, const char *option, const char *const *names,
		       const char *const *old_names, const char *what);

#endif
