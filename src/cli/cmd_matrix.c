/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * softhca matrix: carries a file over every pair of adapters on every kind of machine. This file
 * reads the command line and goes through the rows; what a row does is in matrix/.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "matrix/report.h"

enum { OPT_IMAGE, OPT_PAIRS, OPT_MACHINES, OPT_SIZE, OPT_SEED, OPT_MEMORY, OPT_JSON };

static const struct cli_option options[] = {
	[OPT_IMAGE] = { "image", "FILE", "the file to carry; needed", 0 },
	[OPT_PAIRS] = { "pairs", "LIST",
			"initiator-target, separated by commas: dmahca-dmahca,\n"
			"dmahca-ipath, ipath-dmahca, ipath-ipath; default all",
			0 },
	[OPT_MACHINES] = { "machines", "LIST", "direct, iommu-strict, iommu-lazy, bounce, highmem; default all", 0 },
	[OPT_SIZE] = { "size", "BYTES", "only the first BYTES of the file; K, M and G are understood", 0 },
	[OPT_SEED] = { "seed", "NUMBER", "another choice of list shapes and request sizes; default 1", 0 },
	[OPT_MEMORY] = { "memory", "KIND",
			 "by what keys the target reaches the initiator's memory: fastreg (fast\n"
			 "registration), fmr (fast memory regions) or all (one key for all); default fastreg",
			 0 },
	[OPT_JSON] = { "json", NULL, "print a JSON array of objects and nothing else", 0 },
	{ NULL, NULL, NULL, 0 },
};

static const char *const pairs[] = { "dmahca-dmahca", "dmahca-ipath", "ipath-dmahca", "ipath-ipath", NULL };
/* The older names of the same pairs. */
static const char *const old_pairs[] = { "dma-dma", "dma-soft", "soft-dma", "soft-soft", NULL };

#define PAIRS 4

static const char *const memories[] = { "fastreg", "fmr", "all", NULL };

static const char *const *const values[] = {
	[OPT_PAIRS] = pairs,
	[OPT_MACHINES] = machine_kinds,
	[OPT_MEMORY] = memories,
	[OPT_JSON] = NULL,
};

struct wanted {
	const char *image;
	u32 pairs; /* a bit each */
	u32 machines;
	u64 size;
	u64 seed;
	enum srp_memory memory;
	bool json;
};

/* Return: whether the option's argument can be used; else it has been said why not. */
static bool take(struct cli_args *args, int option, struct wanted *w)
{
	switch (option) {
	case OPT_IMAGE:
		w->image = args->value;
		return true;
	case OPT_PAIRS:
		w->pairs = cli_parse_set(args, "pairs", pairs, old_pairs, "pair (initiator-target)");
		return w->pairs;
	case OPT_MACHINES:
		w->machines = cli_parse_set(args, "machines", machine_kinds, NULL, "machine");
		return w->machines;
	case OPT_SIZE:
		if (cli_parse_size(args->value, &w->size))
			return true;
		cli_error("matrix",
			  "--size: '%s' is no number of bytes; use one above 0, such as 65536, 64K, 96M or 2G",
			  args->value);
		return false;
	case OPT_SEED:
		if (cli_parse_u64(args->value, &w->seed))
			return true;
		cli_error("matrix", "--seed: '%s' is no number; use one from 0 to 2^64 - 1", args->value);
		return false;
	case OPT_MEMORY:
		for (w->memory = SRP_MEMORY_FAST; memories[w->memory]; w->memory++)
			if (!strcmp(args->value, memories[w->memory]))
				return true;
		cli_error("matrix", "--memory: '%s' is no kind of key; use fastreg, fmr or all", args->value);
		return false;
	default:
		w->json = true;
		return true;
	}
}

static u32 bits(u32 set)
{
	u32 n = 0;

	for (; set; set &= set - 1)
		n++;
	return n;
}

static enum cli_status all_rows(const struct wanted *w, const struct image *img)
{
	struct report rp = {
		.json = w->json,
		.live = isatty(STDERR_FILENO),
		.rows = bits(w->pairs) * bits(w->machines),
		.seed = w->seed,
		.image = img,
	};
	struct job job = {
		.image = img,
		.mover = &mover_srp,
		.seed = w->seed,
		.memory = w->memory,
		.progress = report_progress,
		.ctx = &rp,
	};
	int p, m;

	report_begin(&rp);
	for (p = 0; p < PAIRS; p++)
		for (m = 0; m < MACHINE_KINDS; m++) {
			struct row row = {
				.initiator = p & 2 ? ADAPTER_SOFT : ADAPTER_DMA,
				.target = p & 1 ? ADAPTER_SOFT : ADAPTER_DMA,
				.machine = m,
			};

			if (!(w->pairs >> p & 1) || !(w->machines >> m & 1))
				continue;
			rp.now = &row;
			report_row(&rp, &row, row_run(&job, &row));
		}
	return report_end(&rp) ? CLI_OK : CLI_FAILED;
}

static enum cli_status run(const struct cli_command *cmd, int argc, char **argv)
{
	struct cli_args args = { .cmd = cmd, .argc = argc, .argv = argv, .at = 1 };
	struct wanted w = { .pairs = (1u << PAIRS) - 1, .machines = (1u << MACHINE_KINDS) - 1, .seed = 1 };
	struct why why = { { 0 } };
	enum cli_status status;
	struct image img;
	int found;

	/* A scratch file that may not grow is an error with a sentence, not the end of the process. */
	signal(SIGXFSZ, SIG_IGN);
	while ((found = cli_next(&args)) != CLI_END) {
		if (found == CLI_HELP) {
			cli_help(cmd);
			return CLI_OK;
		}
		if (found == CLI_BAD || !take(&args, found, &w))
			return CLI_USAGE;
	}
	if (!w.image) {
		cli_error("matrix", "--image FILE is needed: the file to carry");
		return CLI_USAGE;
	}
	if (image_open(&img, w.image, w.size, &why)) {
		cli_error("matrix", "%s", why.text);
		return CLI_FAILED;
	}
	status = all_rows(&w, &img);
	image_close(&img);
	return status;
}

const struct cli_command cli_matrix = {
	.name = "matrix",
	.summary = "carry a file over every pair of adapters on every kind of machine",
	.usage = "--image FILE [OPTION...]",
	.about = "For each pair of adapters (dmahca: does DMA; ipath: its CPU copies) and each kind of\n"
		 "machine, FILE is read into an initiator's scatterlists, carried to the target and\n"
		 "back by the adapters, and compared. If it is an ext file system, e2fsck checks the\n"
		 "result. Then everything is closed, and the ledgers and the machine are checked for\n"
		 "mappings, faults and pages that are left. A row passes if nothing is wrong.",
	.options = options,
	.values = values,
	.run = run,
};
