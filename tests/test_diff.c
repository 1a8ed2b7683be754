/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The differential test: long random sequences of everything that ib_dma_*() and a device can do, right and now and
 * then wrong, on every backend, against the plain model of model.c.
 *
 * SOFTHCA_SEED chooses other sequences, SOFTHCA_DIFF_SEEDS how many on each backend (4), SOFTHCA_DIFF_STEPS how long
 * they are (5,000). A failure prints what to set to see it again.
 */
#include "backends.h"
#include "model.h"
#include "no_leaks.h"

static struct backend b;
static u64 seed, first_seed;
static u32 steps;

static u32 number(const char *name, u32 otherwise)
{
	const char *s = getenv(name);

	return s && *s ? (u32)strtoul(s, NULL, 0) : otherwise;
}

static u32 choose(void *ctx, u32 n)
{
	u64 *x = ctx;

	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return (u32)(*x >> 20) % n;
}

static void differs(const char *file, int line, const char *what)
{
	int i;

	for (i = HCA_MAX(b.reports - 3, 0); i < b.reports; i++)
		print_message("# %s\n", b.line[i % MAX_REPORTS_KEPT]);
	fail_msg("%s: SOFTHCA_SEED=%llu SOFTHCA_DIFF_SEEDS=1, step %u: %s:%d: %s", b.def->name,
		 (unsigned long long)seed, steps, file, line, what);
}

static void one_sequence(const struct backend_def *def, u32 length)
{
	u64 x = (seed + 1) * 0x9e3779b97f4a7c15;
	struct model_attr a = {
		.soft = def->soft,
		.refuse = def->refuse,
		.iommu = def->platform == MACHINE_IOMMU,
		.lazy = def->lazy,
		.ledger = def->ledger,
		.reports = &b.reports,
		.choose = choose,
		.ctx = &x,
		.fail = differs,
	};
	struct model *m;

	backend_start(&b, def);
	a.m = b.m;
	a.ib = b.ib;
	m = model_begin(&a);
	for (steps = 0; steps < length; steps++)
		model_step(m);
	model_end(m);
	backend_take_any(&b); /* the model counted them */
	backend_close(&b);
}

static void against_the_model(void **state)
{
	u32 seeds = number("SOFTHCA_DIFF_SEEDS", 4), length = number("SOFTHCA_DIFF_STEPS", 5000);
	const struct backend_def *def = *state;

	first_seed = number("SOFTHCA_SEED", 1);
	for (seed = first_seed; seed < first_seed + seeds; seed++)
		one_sequence(def, length);
}

int main(void)
{
	struct CMUnitTest tests[64];
	size_t n;

	for (n = 0; backend_defs[n].name; n++)
		tests[n] = (struct CMUnitTest){
			.name = backend_defs[n].name,
			.test_func = against_the_model,
			.setup_func = note_live,
			.teardown_func = no_leaks,
			.initial_state = (void *)&backend_defs[n],
		};
	return _cmocka_run_group_tests("differential", tests, n, NULL, NULL);
}
