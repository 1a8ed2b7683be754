/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A call that is refused: what it returns, and the words that say why. */
#ifndef WHY_FIXTURE_H
#define WHY_FIXTURE_H
#include <stdio.h>
#include <string.h>

#include "test/test_os.h"

/* What was said since the last time has each of these words. */
static inline void why_says(const char *file, int line, const char *call, const char *const *words)
{
	const char *said = test_why_take();

	for (; *words; words++)
		if (!strstr(said, *words))
			fail_msg("%s:%d: %s: \"%s\" isn't in:\n%s", file, line, call, *words, said);
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

/* SAID(words...) - the calls since the last time have said all these words */
#define SAID(...) why_says(__FILE__, __LINE__, "before", (const char *const[]){ __VA_ARGS__, NULL })

#endif
