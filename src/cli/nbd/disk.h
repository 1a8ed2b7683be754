/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A disk behind SRP, in one process: the machine, the two adapters, the target with its
 * file, the initiator, and the memory that a client's bytes go through, because what an
 * adapter moves is memory of its machine. Errors are positive errnos, as nbdkit has them.
 */
#ifndef NBD_DISK_H
#define NBD_DISK_H

#include "cli/matrix/bed.h"
#include "srp/srp.h"

#define DISK_MAX_CHANNELS 32u

struct disk_attr {
	const char *path;
	int machine; /* index of machine_kinds */
	enum adapter initiator;
	enum adapter target;
	enum srp_memory memory;
	u32 channels;
	u32 block_size;
	bool read_only;
	bool ledger;
};

struct disk;

/** disk_create() - open the file. Makes no thread. Return: 0 or -errno with @why */
int disk_create(const struct disk_attr *attr, struct disk **out, struct why *why);

/** disk_start() - everything else. Return: 0 or -errno with @why */
int disk_start(struct disk *d, struct why *why);

/** disk_close() - started or not. What was left behind is in @why. */
void disk_close(struct disk *d, struct why *why);

/* Return: 0 or an errno. Any number of threads; a range need not be whole blocks, but for disk_zero(), which says EOPNOTSUPP then. */
int disk_size(struct disk *d, u64 *bytes);
int disk_read(struct disk *d, void *buf, u32 len, u64 at);
int disk_write(struct disk *d, const void *buf, u32 len, u64 at, bool fua);
int disk_flush(struct disk *d);
int disk_trim(struct disk *d, u32 len, u64 at);
int disk_zero(struct disk *d, u32 len, u64 at, bool may_trim);

#endif
