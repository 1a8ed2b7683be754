/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * softhca-bench [PART...]: measure the parts named, or all of them, and print each
 * figure beside its floor and its goal. A missed goal is a result; only a figure
 * that couldn't be measured makes the program fail. With --count it measures nothing,
 * and is what a tool that counts instructions runs; bench_count.c is one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static const struct bench_part *const parts[] = {
	&bench_dma_count,   &bench_dma_map,	  &bench_hca_count,  &bench_hca_rc,	&bench_hca_keys,
	&bench_hca_threads, &bench_hca_bulk_part, &bench_hca_many,   &bench_srp,	&bench_verbs_latency,
	&bench_verbs_bulk,  &bench_verbs_turns,	  &bench_verbs_both, &bench_verbs_idle, &bench_verbs_many,
	&bench_cm,	    &bench_kernel
};

#define PARTS (sizeof(parts) / sizeof(parts[0]))

static void usage(FILE *to)
{
	const struct bench_counted *c;
	size_t i;

	fputs("usage: softhca-bench [--count N [--loop NAME [--stops]]] [PART...]\n"
	      "Measures the parts named, or all, each figure beside a floor or a peer from the same rounds.\n"
	      "dma, hca and verbs name all parts that begin so.\n\n",
	      to);
	for (i = 0; i < PARTS; i++)
		fprintf(to, "  %-13s %s\n", parts[i]->name, parts[i]->about);
	fputs("\n  --count N    run each loop once, N times round, and print nothing: for a tool that counts instructions\n"
	      "  --loop NAME  with --count: only this loop, in the function bench_count_this; one of\n"
	      "              ",
	      to);
	for (i = 0; i < PARTS; i++)
		for (c = parts[i]->counted; c && c->name; c++)
			fprintf(to, " %s", c->name);
	fputs("\n  --stops      with --loop: stop (SIGSTOP) twice before the loop and once after it, for a debugger\n"
	      "  --help       this\n\n"
	      "Exit status: 0 if everything was measured, whether goals were met or not; 1 if not; 2 for wrong usage.\n",
	      to);
}

static int wrong(const char *what, const char *arg)
{
	size_t i;

	fprintf(stderr, "softhca-bench: %s '%s'; there are:", what, arg);
	for (i = 0; i < PARTS; i++)
		fprintf(stderr, " %s", parts[i]->name);
	fputs(" (and --help)\n", stderr);
	return 2;
}

/* By its whole name, or by its first word, which names all that begin with it. */
static bool called(const struct bench_part *part, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(part->name, name, n) && (!part->name[n] || part->name[n] == '-');
}

static bool known(const char *name)
{
	size_t i;

	for (i = 0; i < PARTS; i++)
		if (called(parts[i], name))
			return true;
	return false;
}

static bool named(const struct bench_part *part, int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++)
		if (called(part, argv[i]))
			return true;
	return argc == 0;
}

static const struct bench_counted *find_loop(const char *name)
{
	const struct bench_counted *c;
	size_t i;

	for (i = 0; i < PARTS; i++)
		for (c = parts[i]->counted; c && c->name; c++)
			if (!strcmp(c->name, name))
				return c;
	return NULL;
}

/* struct wish - what the options say */
struct wish {
	u64 count;
	const struct bench_counted *loop;
	bool stops;
};

/* Return: -1 to go on, or the exit status. */
static int options(int *argc, char ***argv, struct wish *w)
{
	for (; *argc && (*argv)[0][0] == '-'; --*argc, ++*argv) {
		const char *option = (*argv)[0], *value = *argc > 1 ? (*argv)[1] : "";
		char *end;

		if (!strcmp(option, "--help")) {
			usage(stdout);
			return 0;
		}
		if (!strcmp(option, "--stops")) {
			w->stops = true;
			continue;
		}
		if (!strcmp(option, "--count")) {
			w->count = strtoull(value, &end, 10);
			if (*end || !w->count) {
				fputs("softhca-bench: --count needs a number of iterations\n", stderr);
				return 2;
			}
		} else if (!strcmp(option, "--loop")) {
			w->loop = find_loop(value);
			if (!w->loop) {
				fprintf(stderr, "softhca-bench: no loop '%s'; --help names them\n", value);
				return 2;
			}
		} else {
			return wrong("no option", option);
		}
		--*argc;
		++*argv;
	}
	if ((w->loop && !w->count) || (w->stops && !w->loop)) {
		fputs("softhca-bench: --loop needs --count, and --stops needs --loop\n", stderr);
		return 2;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct wish wish = { 0 };
	int i, status, bad = 0;
	size_t p;

	argc--;
	argv++;
	status = options(&argc, &argv, &wish);
	if (status >= 0)
		return status;
	for (i = 0; i < argc; i++)
		if (!known(argv[i]))
			return wrong("no part", argv[i]);

	/* Devices are measured as each figure says, not as the caller's environment wishes. */
	unsetenv("SOFTHCA_LEDGER");
	bench_init(wish.count);
	if (wish.loop)
		return bench_count_child(wish.loop, wish.count, wish.stops) ? 1 : 0;
	for (p = 0; p < PARTS; p++) {
		if (!named(parts[p], argc, argv))
			continue;
		bench_bracket("before");
		if (parts[p]->run()) {
			fprintf(stderr, "softhca-bench: part '%s' could not be measured\n", parts[p]->name);
			bad = 1;
		}
	}
	bench_bracket("after");
	bench_totals();
	return bad;
}
