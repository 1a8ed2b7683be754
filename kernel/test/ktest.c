/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The running of suites; see ktest.h. */
#include "ktest.h"

#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/string.h>

void ktest_fail(struct ktest *t, const char *file, int line, const char *what, long long a, long long b)
{
	const char *name = strrchr(file, '/');

	t->failures++;
	if (t->failures <= 10)
		pr_info("    # EXPECTATION FAILED at %s:%d: %s (%lld, %lld)\n", name ? name + 1 : file, line, what, a,
			b);
}

static bool listed(const char *name, const char *wanted)
{
	size_t len = strlen(name);
	const char *at = wanted;

	if (!wanted || !*wanted)
		return true;
	while ((at = strstr(at, name))) {
		if ((at == wanted || at[-1] == ',') && (!at[len] || at[len] == ',' || at[len] == '\n'))
			return true;
		at += len;
	}
	return false;
}

static unsigned int count(const struct ktest_case *c)
{
	unsigned int n = 0;

	for (; c->fn; c++)
		n += max(c->params, 1u);
	return n;
}

static bool run_case(const struct ktest_case *c, unsigned int param, unsigned int number)
{
	struct ktest t = { .param = param };
	char name[64];

	strscpy(name, c->name, sizeof(name));
	if (c->describe)
		c->describe(param, name, sizeof(name));
	c->fn(&t);
	cond_resched();
	pr_info("    %sok %u %s%s%s\n", t.failures ? "not " : "", number, name, t.skipped ? " # SKIP " : "",
		t.skipped ? t.skipped : "");
	return !t.failures;
}

static unsigned int run_suite(const struct ktest_suite *s, unsigned int number)
{
	unsigned int n = 0, param, failed = 0;
	const struct ktest_case *c;
	int err = s->init ? s->init() : 0;

	if (err) {
		pr_info("%sok %u %s%s (error %d)\n", err == -ENODEV ? "" : "not ", number, s->name,
			err == -ENODEV ? " # SKIP no device for it" : "", err);
		return err != -ENODEV;
	}
	pr_info("    KTAP version 1\n");
	pr_info("    # Subtest: %s\n", s->name);
	pr_info("    1..%u\n", count(s->cases));
	for (c = s->cases; c->fn; c++)
		for (param = 0; param < max(c->params, 1u); param++)
			failed += !run_case(c, param, ++n);
	if (s->exit)
		s->exit();
	pr_info("%sok %u %s\n", failed ? "not " : "", number, s->name);
	return failed;
}

unsigned int ktest_run(const struct ktest_suite *const *suites, const char *wanted)
{
	const struct ktest_suite *const *s;
	unsigned int failed = 0, n = 0;

	for (s = suites; *s; s++)
		n += listed((*s)->name, wanted);
	pr_info("KTAP version 1\n");
	pr_info("1..%u\n", n);
	n = 0;
	for (s = suites; *s; s++)
		if (listed((*s)->name, wanted))
			failed += run_suite(*s, ++n);
	return failed;
}
