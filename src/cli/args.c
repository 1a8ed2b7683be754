/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Options and messages of the softhca command. Every refusal says which word is
 * wrong and which would be right.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

void cli_error(const char *where, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "softhca%s%s: ", where ? " " : "", where ? where : "");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* The help of an option may have several lines; each is indented alike. */
static void print_option(const struct cli_option *o)
{
	const char *help = o->help;
	char left[32], letter[8] = "";

	if (o->letter)
		snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	for (;;) {
		int len = (int)strcspn(help, "\n");

		printf("  %-18s %.*s\n", left, len, help);
		if (!help[len])
			return;
		help += len + 1;
		left[0] = 0;
	}
}

void cli_help(const struct cli_command *cmd)
{
	static const struct cli_option this_text = { "help", NULL, "this text", 0 };
	const struct cli_option *o;

	printf("usage: softhca %s %s\n\n%s\n\nOptions:\n", cmd->name, cmd->usage, cmd->about);
	for (o = cmd->options; o->name; o++)
		print_option(o);
	print_option(&this_text);
}

static int bad(const struct cli_args *args, const char *what, const char *word)
{
	cli_error(args->cmd->name, "%s '%s'; 'softhca %s --help' lists the options", what, word, args->cmd->name);
	return CLI_BAD;
}

static int by_letter(const struct cli_args *args, const char *word)
{
	const struct cli_option *o;
	int found;

	for (found = 0, o = args->cmd->options; o->name; found++, o++)
		if (o->letter && o->letter == word[1])
			return found;
	return bad(args, "there is no option", word);
}

int cli_next(struct cli_args *args)
{
	const struct cli_option *o;
	const char *word, *equals;
	size_t len;
	int found;

	if (args->at >= args->argc)
		return CLI_END;
	word = args->argv[args->at++];
	if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		return CLI_HELP;
	args->value = NULL;
	if (word[0] == '-' && word[1] && word[1] != '-' && !word[2])
		return by_letter(args, word);
	if (strncmp(word, "--", 2) != 0)
		return bad(args, "can't make anything of", word);
	equals = strchr(word, '=');
	len = equals ? (size_t)(equals - word) - 2 : strlen(word) - 2;
	for (found = 0, o = args->cmd->options; o->name; found++, o++)
		if (strlen(o->name) == len && !strncmp(o->name, word + 2, len))
			break;
	if (!o->name)
		return bad(args, "there is no option", word);
	if (!o->arg && equals) {
		cli_error(args->cmd->name, "--%s takes no argument", o->name);
		return CLI_BAD;
	}
	if (o->arg) {
		if (!equals && args->at >= args->argc) {
			cli_error(args->cmd->name, "--%s needs its argument %s", o->name, o->arg);
			return CLI_BAD;
		}
		args->value = equals ? equals + 1 : args->argv[args->at++];
	}
	return found;
}

bool cli_parse_u64(const char *text, uint64_t *out)
{
	unsigned long long v;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	v = strtoull(text, &end, text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10);
	if (errno || *end)
		return false;
	*out = v;
	return true;
}

bool cli_parse_size(const char *text, uint64_t *out)
{
	unsigned long long v;
	unsigned int shift = 0;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	v = strtoull(text, &end, 10);
	switch (*end) {
	case 'k':
	case 'K':
		shift = 10;
		end++;
		break;
	case 'm':
	case 'M':
		shift = 20;
		end++;
		break;
	case 'g':
	case 'G':
		shift = 30;
		end++;
		break;
	default:
		break;
	}
	if (errno || *end || !v || v > (uint64_t)INT64_MAX >> shift)
		return false;
	*out = (uint64_t)v << shift;
	return true;
}

/* Return: the index of the word of @len bytes; -1 if no name is equal to it. */
static int find_name(const char *const *names, const char *word, size_t len)
{
	int i;

	for (i = 0; names && names[i]; i++)
		if (strlen(names[i]) == len && !strncmp(names[i], word, len))
			return i;
	return -1;
}

uint32_t cli_parse_set(const struct cli_args *args, const char *option, const char *const *names,
		       const char *const *old_names, const char *what)
{
	const char *at = args->value;
	uint32_t set = 0;
	char legal[256];
	size_t used = 0;
	int i;

	for (;;) {
		size_t len = strcspn(at, ",");

		i = find_name(names, at, len);
		if (i < 0)
			i = find_name(old_names, at, len);
		if (i < 0)
			break;
		set |= 1u << i;
		if (!at[len])
			return set;
		at += len + 1;
	}
	for (i = 0; names[i] && used < sizeof(legal); i++)
		used += (size_t)snprintf(legal + used, sizeof(legal) - used, "%s%s", i ? ", " : "", names[i]);
	cli_error(args->cmd->name, "--%s: '%.*s' is no %s; use one or more of %s, separated by commas", option,
		  (int)strcspn(at, ","), at, what, legal);
	return 0;
}
