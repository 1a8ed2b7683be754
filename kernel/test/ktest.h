/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tests in KUnit's style and with its output (KTAP), for kernels that have no KUnit:
 * Debian's hasn't. Cases run one after the other in the thread that loads the module;
 * a failed expectation is reported and counted, and the case continues.
 */
#ifndef SOFTHCA_KTEST_H
#define SOFTHCA_KTEST_H

#include <linux/kernel.h>
#include <linux/printk.h>
#include <linux/types.h>

/**
 * struct ktest - a case that runs
 * @param: of a case that is run once for each of a row of numbers
 * @skipped: why it can't be run here, or NULL
 */
struct ktest {
	unsigned int param;
	unsigned int failures;
	const char *skipped;
};

/**
 * struct ktest_case - a test, or a row of them
 * @fn: the test
 * @params: run it for 0 .. @params - 1; 0: once
 * @describe: the name of one of them
 */
struct ktest_case {
	const char *name;
	void (*fn)(struct ktest *t);
	unsigned int params;
	void (*describe)(unsigned int param, char *buf, size_t size);
};

/** struct ktest_suite - cases, between @init and @exit. If @init fails so does the suite; -ENODEV skips it. */
struct ktest_suite {
	const char *name;
	const struct ktest_case *cases;
	int (*init)(void);
	void (*exit)(void);
};

/** ktest_run() - all that are in @wanted (names, separated by commas; NULL or "": all). Return: how many cases failed. */
unsigned int ktest_run(const struct ktest_suite *const *suites, const char *wanted);

void ktest_fail(struct ktest *t, const char *file, int line, const char *what, long long a, long long b);

#define EXPECT(t, c) ((c) ? (void)0 : ktest_fail(t, __FILE__, __LINE__, #c, 0, 0))
#define EXPECT_EQ(t, a, b) \
	do { \
		long long a_ = (long long)(a), b_ = (long long)(b); \
\
		if (a_ != b_) \
			ktest_fail(t, __FILE__, __LINE__, #a " == " #b, a_, b_); \
	} while (0)

#define ktest_say(fmt, ...) pr_info("    # " fmt "\n", ##__VA_ARGS__)

#endif
