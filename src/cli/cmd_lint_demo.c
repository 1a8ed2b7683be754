/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * softhca lint-demo: an SRP initiator that breaks the rules of mapping, one at a time
 * (ulp/srp/broken.c), runs on a plain software adapter, where it stays unnoticed, and on
 * one with a ledger, which has to name each fault with its line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "softhca/ib_dma.h"
#include "srp/broken.h"

enum { OPT_JSON };

static const struct cli_option options[] = {
	[OPT_JSON] = { "json", NULL, "print a JSON array of objects and nothing else", 0 },
	{ NULL, NULL, NULL, 0 },
};

#define MIB ((u64)1 << 20)
#define PORT 5555
#define DISK_BYTES (64u << 10)
#define BLOCKS 6u
#define BYTES (BLOCKS * 512u)
#define SOURCE "ulp/srp/broken.c"

/* Which line of a report is the culprit's. */
enum culprit { MAPPED, UNMAPPED, CALLED };

static const struct {
	const char *name;
	const char *what;
	enum hca_misuse misuse;
	enum culprit culprit;
} rules[BROKEN_RULES] = {
	[BROKEN_NOTHING] = { "nothing", "breaks no rule", HCA_MISUSE_KINDS, CALLED },
	[BROKEN_NO_UNMAP] = { "no-unmap", "forgets an unmap", HCA_MISUSE_LEAK, MAPPED },
	[BROKEN_EARLY_UNMAP] = { "early-unmap", "uses an address after its unmap", HCA_MISUSE_USE_AFTER_UNMAP,
				 UNMAPPED },
	[BROKEN_MAP_DIR] = { "map-direction", "maps with the wrong direction", HCA_MISUSE_USE_DIR, MAPPED },
	[BROKEN_NO_CHECK] = { "no-check", "skips ib_dma_mapping_error()", HCA_MISUSE_UNCHECKED, MAPPED },
	[BROKEN_TWO_UNMAPS] = { "two-unmaps", "unmaps twice", HCA_MISUSE_DOUBLE_UNMAP, CALLED },
	[BROKEN_UNMAP_SIZE] = { "unmap-size", "unmaps with another size", HCA_MISUSE_UNMAP_SIZE, CALLED },
	[BROKEN_UNMAP_DIR] = { "unmap-direction", "unmaps with another direction", HCA_MISUSE_UNMAP_DIR, CALLED },
};

/**
 * struct seen - what a run of the broken initiator came to
 * @data_right: what was read is what had been written
 * @line: where broken.c says that it broke the rule
 * @reports: of both adapters' ledgers; @first: of them; the culprit's @file and @named line in it
 * @strangers: of them, those of another kind or line
 * @faults: in the machine's record
 */
struct seen {
	enum broken_rule rule;
	bool data_right;
	u32 line;
	u32 reports;
	u32 strangers;
	u64 faults;
	enum hca_misuse first;
	char file[128];
	u32 named;
};

/* "../src/file.c:12" is line 12 of the part of the path that the tree knows. */
static u32 split_site(const char *site, char *file, size_t size)
{
	const char *colon = site ? strrchr(site, ':') : NULL;
	const char *begin;

	file[0] = 0;
	if (!colon)
		return 0;
	begin = strstr(site, SOURCE);
	if (!begin)
		begin = site;
	snprintf(file, size, "%.*s", (int)(colon - begin), begin);
	return (u32)strtoul(colon + 1, NULL, 10);
}

static void on_report(void *ctx, const struct hca_misuse_report *r)
{
	struct seen *seen = ctx;
	hca_site_t site = rules[seen->rule].culprit == MAPPED	? r->map_site :
			  rules[seen->rule].culprit == UNMAPPED ? r->end_site :
								  r->site;
	char file[128];
	u32 line = split_site((const char *)site, file, sizeof(file));

	/* An access that is wrong in all its pieces is one fault. */
	if (seen->reports && (r->what != seen->first || line != seen->named))
		seen->strangers++;
	if (!seen->reports++) {
		seen->first = r->what;
		seen->named = line;
		snprintf(seen->file, sizeof(seen->file), "%s", file);
	}
}

/* --- one run --- */

struct stage {
	struct machine *machine;
	struct device *bus[2];
	struct ib_device *ib[2]; /* the initiator's, the target's */
	u8 *disk;
	struct lun lun;
	struct scsi_device scsi;
	char name[SRP_CM_NAME]; /* the target's address and port */
	struct srp_target *target;
	struct page *page;
};

static int build(struct stage *s, struct seen *seen, bool ledger)
{
	static const char *const names[] = { "ipath0", "ipath1" };
	const struct machine_attr ma = { .name = "lint-demo", .low_bytes = 16 * MIB };
	const struct ib_dma_config config = { .ledger = ledger, .report = on_report, .ctx = seen };
	struct srp_target_attr ta = {
		.scsi = &s->scsi, .name = s->name, .depth = 4, .max_channels = 1, .chunk = 65536
	};
	int i, err = machine_create(&ma, &s->machine);

	for (i = 0; i < 2 && !err; i++) {
		const struct device_attr da = { .name = names[i] };

		err = device_create(s->machine, &da, &s->bus[i]);
		if (!err)
			err = ipath_create(s->bus[i], names[i], IPATH_HIGHMEM_TAGGED, &config, &s->ib[i]);
	}
	if (err)
		return err;
	s->disk = calloc(1, DISK_BYTES);
	s->page = machine_alloc_pages(s->machine, GFP_KERNEL, 0);
	if (!s->disk || !s->page)
		return -ENOMEM;
	err = lun_ram_open(&s->lun, s->disk, DISK_BYTES, 512, false);
	if (err)
		return err;
	scsi_device_init(&s->scsi, &s->lun);
	ta.device = s->ib[1];
	err = srp_name(ta.device, PORT, s->name);
	if (!err)
		err = srp_target_create(&ta, &s->target);
	if (err)
		lun_close(&s->lun);
	return err;
}

/* What is left behind is heard of here: adapters go with a look into their ledgers. */
static void take_down(struct stage *s, struct seen *seen)
{
	int i;

	if (s->target) {
		srp_target_destroy(s->target);
		lun_close(&s->lun);
	}
	if (s->page)
		__free_pages(s->page, 0);
	if (s->machine)
		machine_faults(s->machine, NULL, 0, &seen->faults);
	for (i = 0; i < 2; i++) {
		if (s->ib[i])
			ipath_destroy(s->ib[i]);
		if (s->bus[i])
			device_destroy(s->bus[i]);
	}
	if (s->machine)
		machine_destroy(s->machine);
	free(s->disk);
}

static int write_and_read(struct stage *s, struct seen *seen)
{
	u8 *data = page_address(s->page);
	struct broken b;
	u32 i, wrong = 0;
	int err = broken_open(&b, s->ib[0], s->name);

	if (err)
		return err;
	b.rule = seen->rule;
	for (i = 0; i < BYTES; i++)
		data[i] = (u8)(i * 7 + i / 251);
	err = broken_rw(&b, true, 3, BLOCKS, s->page);
	memset(data, 0, BYTES);
	if (!err)
		err = broken_rw(&b, false, 3, BLOCKS, s->page);
	for (i = 0; i < BYTES; i++)
		wrong += data[i] != (u8)(i * 7 + i / 251);
	seen->data_right = !err && !wrong;
	seen->line = b.line;
	broken_close(&b);
	return err;
}

static int run_rule(enum broken_rule rule, bool ledger, struct seen *seen)
{
	struct stage s = { 0 };
	int err;

	memset(seen, 0, sizeof(*seen));
	seen->rule = rule;
	err = build(&s, seen, ledger);
	if (!err)
		err = write_and_read(&s, seen);
	take_down(&s, seen);
	if (err)
		cli_error("lint-demo", "the initiator that %s, %s a ledger: %s", rules[rule].what,
			  ledger ? "with" : "without", strerror(-err));
	return err;
}

/* --- verdicts --- */

static bool unnoticed(const struct seen *s)
{
	return s->data_right && !s->reports && !s->faults;
}

static bool found(const struct seen *s)
{
	if (s->rule == BROKEN_NOTHING)
		return unnoticed(s);
	return s->reports && !s->strangers && s->first == rules[s->rule].misuse && s->line && s->named == s->line &&
	       !strcmp(s->file, SOURCE);
}

static void says(const struct seen *s, char *out, size_t size)
{
	if (s->reports)
		snprintf(out, size, "%s, %s:%u", hca_misuse_name(s->first), s->file, s->named);
	else
		snprintf(out, size, "nothing");
}

static void table_row(const struct seen *plain, const struct seen *watched, bool good)
{
	char text[200];

	says(watched, text, sizeof(text));
	printf("%-32s  %-20s  %s%s\n", rules[plain->rule].what,
	       unnoticed(plain)	 ? "nothing; data right" :
	       plain->data_right ? "something" :
				   "wrong data",
	       text, good ? "" : "  WRONG");
}

/* Names and paths are our own and hold nothing that JSON would have to escape. */
static void json_row(const struct seen *plain, const struct seen *watched, bool good)
{
	printf("%s\n  {\"fault\": \"%s\", \"plain_reports\": %u, \"plain_data_right\": %s, \"misuse\": \"%s\", \"file\": \"%s\", "
	       "\"line\": %u, \"true_line\": %u, \"verdict\": \"%s\"}",
	       plain->rule ? "," : "", rules[plain->rule].name, plain->reports, plain->data_right ? "true" : "false",
	       watched->reports ? hca_misuse_name(watched->first) : "", watched->file, watched->named, watched->line,
	       good ? "pass" : "fail");
}

static enum cli_status demo(bool json)
{
	struct seen plain, watched;
	u32 rule, n = 0, good = 0;

	if (json)
		printf("[");
	else
		printf("%-32s  %-20s  %s\n", "an SRP initiator that", "plain adapter said", "softhca says");
	for (rule = 0; rule < BROKEN_RULES; rule++) {
		bool pass = !run_rule((enum broken_rule)rule, false, &plain) &&
			    !run_rule((enum broken_rule)rule, true, &watched);

		if (!pass) {
			plain.rule = (enum broken_rule)rule;
			memset(&watched, 0, sizeof(watched));
			watched.rule = plain.rule;
		}
		pass = pass && unnoticed(&plain) && found(&watched);
		(json ? json_row : table_row)(&plain, &watched, pass);
		n += rule != BROKEN_NOTHING;
		good += rule != BROKEN_NOTHING && pass;
		if (rule == BROKEN_NOTHING && !pass)
			n++;
	}
	if (json)
		printf("\n]\n");
	else
		printf("\n%u of %u faults found, each at its line\n", good, n);
	return good == n ? CLI_OK : CLI_FAILED;
}

static enum cli_status run(const struct cli_command *cmd, int argc, char **argv)
{
	struct cli_args args = { .cmd = cmd, .argc = argc, .argv = argv, .at = 1 };
	bool json = false;
	int opt;

	while ((opt = cli_next(&args)) != CLI_END) {
		if (opt == CLI_HELP) {
			cli_help(cmd);
			return CLI_OK;
		}
		if (opt == CLI_BAD)
			return CLI_USAGE;
		json = true;
	}
	/* Each run says itself whether its adapters keep a ledger; the variable would decide it for both. */
	unsetenv("SOFTHCA_LEDGER");
	return demo(json);
}

const struct cli_command cli_lint_demo = {
	.name = "lint-demo",
	.summary = "break the rules of mapping, and see which checks notice",
	.usage = "[OPTION...]",
	.about = "A small SRP initiator breaks one rule of mapping at a time. It runs on a plain\n"
		 "software adapter, which accepts every access: the data are right, and there is no\n"
		 "message. Then the same code runs with a ledger, which must report the fault and its line.",
	.options = options,
	.run = run,
};
