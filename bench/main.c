/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * softhca-bench [PART...]: measure the parts named, or all of them, and print each
 * figure beside its floor and its goal. A missed goal is a result; only a figure
 * that couldn't be measured makes the program fail.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static const struct bench_part *const parts[] = { &bench_dma, &bench_hca, &bench_srp };

#define PARTS (sizeof(parts) / sizeof(parts[0]))

static void usage(FILE *to)
{
	size_t i;

	fputs("usage: softhca-bench [--count N] [PART...]\n"
	      "Measures the parts named, or all, each figure beside a floor or a peer from the same rounds.\n\n",
	      to);
	for (i = 0; i < PARTS; i++)
		fprintf(to, "  %-10s %s\n", parts[i]->name, parts[i]->about);
	fputs("\n  --count N  run each loop once, N times round, and print nothing: for a tool that counts instructions\n"
	      "  --help     this\n\n"
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

static const struct bench_part *find(const char *name)
{
	size_t i;

	for (i = 0; i < PARTS; i++)
		if (!strcmp(parts[i]->name, name))
			return parts[i];
	return NULL;
}

static bool named(const struct bench_part *part, int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++)
		if (!strcmp(part->name, argv[i]))
			return true;
	return argc == 0;
}

int main(int argc, char **argv)
{
	u64 count = 0;
	int i, bad = 0;
	size_t p;

	argc--;
	argv++;
	while (argc && argv[0][0] == '-') {
		char *end = NULL;

		if (!strcmp(argv[0], "--help")) {
			usage(stdout);
			return 0;
		}
		if (strcmp(argv[0], "--count"))
			return wrong("no option", argv[0]);
		if (argc > 1)
			count = strtoull(argv[1], &end, 10);
		if (!end || *end || !count) {
			fputs("softhca-bench: --count needs a number of iterations\n", stderr);
			return 2;
		}
		argc -= 2;
		argv += 2;
	}
	for (i = 0; i < argc; i++)
		if (!find(argv[i]))
			return wrong("no part", argv[i]);

	/* Devices are measured as each figure says, not as the caller's environment wishes. */
	unsetenv("SOFTHCA_LEDGER");
	bench_init(count);
	for (p = 0; p < PARTS; p++) {
		if (!named(parts[p], argc, argv))
			continue;
		bench_bracket("before");
		if (parts[p]->run()) {
			fprintf(stderr, "softhca-bench: part '%s' could not be measured\n", parts[p]->name);
			bad = 1;
		}
		bench_bracket("after");
	}
	bench_totals();
	return bad;
}
