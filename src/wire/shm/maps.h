/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A process's mappings, from /proc/PID/maps, line by line. Private to this folder. */
#ifndef HCA_SHM_MAPS_H
#define HCA_SHM_MAPS_H

#include "os.h"

/**
 * struct shm_mapping - a line
 * @start, @end: addresses
 * @off: of @start in its file, in bytes
 * @dev, @ino: of the file; major << 32 | minor
 * @reads, @writes, @shared: its rights
 * @name: of the file; "": it has none. The caller's until its function returns
 */
struct shm_mapping {
	u64 start;
	u64 end;
	u64 off;
	u64 dev;
	u64 ino;
	bool reads;
	bool writes;
	bool shared;
	const char *name;
};

/**
 * shm_maps_each() - call @fn for each mapping of a process, lowest address first, until it returns true
 * @pid: 0: this process
 *
 * Mappings may change meanwhile: each line by itself was true when it was read. May sleep. Return: 0; -E2BIG: there are so many that
 * the last ones were left out; other errors of the system.
 */
int shm_maps_each(s32 pid, bool (*fn)(void *ctx, const struct shm_mapping *m), void *ctx);

#endif
