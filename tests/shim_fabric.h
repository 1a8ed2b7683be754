/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A fabric of a test program's own: programs that run beside it are in others, and neither meet its queue pairs nor wake its threads. */
#ifndef SHIM_FABRIC_H
#define SHIM_FABRIC_H

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static char fabric[] = "/dev/shm/test-softhca-XXXXXX";

static inline int make_fabric(void **state)
{
	(void)state;
	return mkdtemp(fabric) && !setenv("SOFTHCA_FABRIC", fabric, 1) ? 0 : -1;
}

/* With what a test that failed has left in it. */
static inline int remove_fabric(void **state)
{
	DIR *d = opendir(fabric);
	const struct dirent *e;

	(void)state;
	while (d && (e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	return rmdir(fabric);
}

#endif
