/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A call that is refused: what it returns, and the words that say why. */
#ifndef WHY_FIXTURE_H
#define WHY_FIXTURE_H
#include <string.h>

#include "test/test_os.h"
#include "why_seen.h"

/* A line was read if it has one of the words. */
static inline void why_seen_lines(const char *said, const char *const *words)
{
	for (; *said; said += strcspn(said, "\n") + 1) {
		const size_t len = strcspn(said, "\n");
		const char *const *w = words;
		const char *at = NULL;

		for (; *w && !at; w++) {
			at = strstr(said, *w);
			if (at && at >= said + len)
				at = NULL;
		}
		if (at)
			why_seen(said, len);
	}
}

/* What was said since the last time has each of these words. */
static inline void why_says(const char *file, int line, const char *call, const char *const *words)
{
	const char *said = test_why_take();
	const char *const *w;

	for (w = words; *w; w++)
		if (!strstr(said, *w))
			fail_msg("%s:%d: %s: \"%s\" isn't in:\n%s", file, line, call, *w, said);
	why_seen_lines(said, words);
}

/* Was this said since the last test_why_take()? What was said stays. */
static inline bool why_said_one_of(const char *words)
{
	const char *said = test_why_peek();
	const bool found = strstr(said, words);

	why_seen_lines(said, (const char *const[]){ words, NULL });
	return found;
}

static inline void why_logged(const char *file, int line, const char *const *words)
{
	const char *said = test_log_take();
	const char *const *w;

	for (w = words; *w; w++)
		if (!strstr(said, *w))
			fail_msg("%s:%d: \"%s\" isn't in:\n%s", file, line, *w, said);
	why_seen_lines(said, words);
}

static inline void why_refused(const char *file, int line, const char *call, long got, long want,
			       const char *const *words)
{
	if (got != want)
		fail_msg("%s:%d: %s: %ld instead of %ld", file, line, call, got, want);
	why_says(file, line, call, words);
}

/* REFUSED(call, errno, words...) - the call returns this, as an int or as a pointer, and says all these words */
#define REFUSED(call, err, ...) \
	do { \
		long got_; \
		(void)test_why_take(); \
		got_ = (long)(call); \
		why_refused(__FILE__, __LINE__, #call, got_, err, (const char *const[]){ __VA_ARGS__, NULL }); \
	} while (0)

/* LOGGED(words...) - the log since the last time has all these words; for what can't return an error */
#define LOGGED(...) why_logged(__FILE__, __LINE__, (const char *const[]){ __VA_ARGS__, NULL })

/* SAID(words...) - the calls since the last time have said all these words */
#define SAID(...) why_says(__FILE__, __LINE__, "before", (const char *const[]){ __VA_ARGS__, NULL })

#endif
