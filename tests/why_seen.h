/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a test has read of the reasons of the library; reasons.pl runs the tests and looks for one that none has read. */
#ifndef WHY_SEEN_H
#define WHY_SEEN_H
#include <stdio.h>
#include <stdlib.h>

#include "os.h"

/* A line into the file SOFTHCA_WHY_SEEN, if there is one. */
static inline void why_seen(const char *line, size_t len)
{
	const char *path = getenv("SOFTHCA_WHY_SEEN");
	FILE *f = path ? fopen(path, "a") : NULL;

	if (!f)
		return;
	fprintf(f, "%.*s\n", (int)len, line);
	fclose(f);
}

/* A completion with this vendor_err was read. */
static inline void why_vendor(u32 vendor_err)
{
	char line[32];

	why_seen(line, (size_t)snprintf(line, sizeof(line), "vendor_err %u", vendor_err));
}

#endif
