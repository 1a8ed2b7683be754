/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the test os layer says, and where a bug ends: the log is kept for the test to read,
 * a bug that the test expects returns to it, and any other ends the program. Also the
 * chance that the seed owns. Never prints a log line by itself (HCA_TEST_LOG=1 shows them).
 */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_BYTES 65536u
#define PLACES 256u

static char text[LOG_BYTES], taken[LOG_BYTES];
static size_t text_len;
static u32 counts[HCA_LOG_DEBUG + 1];
static char why[LOG_BYTES], why_taken[LOG_BYTES];
static size_t why_len;
static char bug_text[512];
static u32 warn_awaited; /* nested test_expect_warn() */
static u32 warns;
static struct {
	const char *file;
	int line;
} spoken[PLACES]; /* the places that have warned */
static u32 nspoken;
static u64 chance;

/* ---- chance ---- */

/* splitmix64: any seed is a good one. */
u64 test_mix(u64 *state)
{
	u64 x = *state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

u32 hca_random_u32(void)
{
	return (u32)(test_mix(&chance) >> 32);
}

/* ---- words ---- */

size_t hca_snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (!size)
		return 0;
	va_start(ap, fmt);
	n = vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	if (n < 0) {
		buf[0] = 0;
		return 0;
	}
	return (size_t)n < size ? (size_t)n : size - 1;
}

static void HCA_PRINTF(2, 0) keep(enum hca_log_level level, const char *fmt, va_list ap)
{
	static const char *const name[] = { "error", "warning", "info", "debug" };
	char line[1024];

	vsnprintf(line, sizeof(line), fmt, ap);
	counts[level]++;
	text_len += hca_snprintf(text + text_len, sizeof(text) - text_len, "%s: %s\n", name[level], line);
}

void hca_log(enum hca_log_level level, const char *fmt, ...)
{
	const char *show = getenv("HCA_TEST_LOG");
	size_t before = text_len;
	va_list ap;

	va_start(ap, fmt);
	keep(level, fmt, ap);
	va_end(ap);
	if (show && *show == '1')
		fputs(text + before, stderr);
}

/* Apart from the log, in full: what a test refuses by the way must not push out what it waits for. */
int hca_say_refusal(int err, const char *fmt, ...)
{
	const char *show = getenv("HCA_TEST_LOG");
	size_t before;
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* The latest ones are what a test asks for. */
	if (why_len > sizeof(why) - sizeof(line) - 32)
		why_len = 0;
	before = why_len;
	why_len += hca_snprintf(why + why_len, sizeof(why) - why_len, "%s: %s\n",
				hca_is_mistake(err) ? "mistake" : "refused", line);
	if (show && *show == '1')
		fputs(why + before, stderr);
	return err;
}

const char *test_why_peek(void)
{
	memcpy(why_taken, why, why_len);
	why_taken[why_len] = 0;
	return why_taken;
}

const char *test_why_take(void)
{
	test_why_peek();
	why_len = 0;
	return why_taken;
}

void test_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	va_start(ap, fmt);
	keep(HCA_LOG_ERR, fmt, ap);
	va_end(ap);
}

const char *test_log_take(void)
{
	memcpy(taken, text, text_len + 1);
	text_len = 0;
	text[0] = 0;
	memset(counts, 0, sizeof(counts));
	return taken;
}

u32 test_log_count(enum hca_log_level level)
{
	return counts[level];
}

/* ---- bugs ---- */

bool test_bug_awaited(void)
{
	return test_main.expected != NULL;
}

void test_bug_pass(void)
{
	longjmp(*test_main.expected, 1);
}

static void fatal(void)
{
	struct test_ctx *c = test_self();

	if (c->expected)
		longjmp(*c->expected, 1);
	if (test_bug_awaited()) {
		if (test_scheduled)
			test_abandon(-EFAULT);
		test_bug_pass();
	}
	test_say("bug: %s", bug_text);
	abort();
}

void test_bug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(bug_text, sizeof(bug_text), fmt, ap);
	va_end(ap);
	fatal();
}

void hca_bug(const char *cond, const char *file, int line)
{
	test_bug("%s at %s:%d", cond, file, line);
}

const char *test_bug_text(void)
{
	return bug_text;
}

/* What the caller of a bug had taken since @before is let go, as if it had never been there. */
static void restore(struct test_ctx *c, const struct test_ctx *before)
{
	struct held *h;

	while (c->nheld > before->nheld) {
		h = &c->held[--c->nheld];
		c->nspins -= h->spin;
		if (h->spin)
			((struct hca_spinlock *)h->lock)->owner = NULL;
		else
			((struct hca_mutex *)h->lock)->owner = NULL;
	}
	c->rcu_nest = before->rcu_nest;
	c->pins = before->pins;
	c->in_timer = before->in_timer;
	c->wait = WAIT_NONE;
}

/* Apart from its caller, whose variables would be lost in the jump. */
static __attribute__((noinline)) bool jumped(jmp_buf *env, void (*fn)(void *arg), void *arg)
{
	if (setjmp(*env))
		return true;
	fn(arg);
	return false;
}

bool test_expect_bug(void (*fn)(void *arg), void *arg)
{
	struct test_ctx *c = test_self();
	jmp_buf *outer = c->expected;
	struct test_ctx before = *c;
	jmp_buf env;
	bool bug;

	c->expected = &env;
	bug = jumped(&env, fn, arg);
	c->expected = outer;
	if (!bug)
		return false;
	if (!test_scheduled) { /* it may have come out of a timer's callback */
		restore(&test_timer_ctx, &(struct test_ctx){ .index = -1 });
		test_timer_unwind();
		test_become(c);
	}
	restore(c, &before);
	return true;
}

/* ---- warnings ---- */

bool hca_warned(const char *cond, const char *file, int line)
{
	u32 i;

	warns++;
	if (!warn_awaited)
		test_bug("unexpected warning: %s at %s:%d", cond, file, line);
	for (i = 0; i < nspoken; i++) {
		if (spoken[i].line == line && !strcmp(spoken[i].file, file))
			return true;
	}
	if (nspoken < PLACES) {
		spoken[nspoken].file = file;
		spoken[nspoken++].line = line;
	}
	hca_log(HCA_LOG_WARN, "broken rule: %s at %s:%d", cond, file, line);
	return true;
}

u32 test_expect_warn(void (*fn)(void *arg), void *arg)
{
	u32 before = warns;

	warn_awaited++;
	fn(arg);
	warn_awaited--;
	return warns - before;
}

void test_words_reset(u64 seed)
{
	chance = seed;
	warn_awaited = 0;
	nspoken = 0;
	test_log_take();
	test_why_take();
	bug_text[0] = 0;
}
