/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Finds the drop-in libraries from where the command itself lies, and the fabric's directory; see shim_dir.h. */
#include "shim_dir.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "softhca/config.h"

#define LIBRARY "libibverbs.so.1"

/* The folder of the command itself. */
static bool own_folder(char *out, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", out, size - 1);
	char *slash;

	if (n <= 0)
		return false;
	out[n] = 0;
	slash = strrchr(out, '/');
	if (!slash)
		return false;
	*slash = 0;
	return true;
}

static bool has_library(const char *dir)
{
	char file[PATH_MAX + sizeof(LIBRARY)];

	return snprintf(file, sizeof(file), "%s/" LIBRARY, dir) < (int)sizeof(file) && !access(file, R_OK);
}

/* "/a/b/bin" gives "/a/b". */
static void up(char *dir)
{
	char *slash = strrchr(dir, '/');

	if (slash)
		*slash = 0;
}

bool shim_dir(char *out, size_t size)
{
	char own[PATH_MAX], above[PATH_MAX];
	bool there;

	snprintf(out, size, SOFTHCA_LIBDIR "/softhca");
	if (!own_folder(own, sizeof(own)))
		return false;
	snprintf(above, sizeof(above), "%s", own);
	up(above);
	if (snprintf(out, size, "%s/" SOFTHCA_LIBDIR "/softhca", above) >= (int)size)
		return false;
	if (has_library(out))
		return true;
	there = has_library(own) && strlen(own) < size;
	if (there)
		snprintf(out, size, "%s", own);
	return there;
}

void fabric_dir(char *out, size_t size)
{
	const char *dir = getenv("SOFTHCA_FABRIC");

	if (dir && *dir)
		snprintf(out, size, "%s", dir);
	else
		snprintf(out, size, "/dev/shm/softhca-%u", (unsigned int)geteuid());
}
