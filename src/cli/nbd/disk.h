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
	u32 timeout_ms; /* of a command; 0: it may take as long as it likes */
	bool read_only;
	bool ledger;
};

struct disk;
/** struct disk_user - a connection: what it has been told, and a piece of memory that is its own */
struct disk_user;

/** disk_create() - open the file. Makes no thread. Return: 0 or -errno with @why */
int disk_create(const struct disk_attr *attr, struct disk **out, struct why *why);

/** disk_start() - everything else. Return: 0 or -errno with @why */
int disk_start(struct disk *d, struct why *why);

/** disk_close() - started or not. Users who haven't left are gone as well: nbdkit tells of none after it was told to end. What was left behind is in @why. */
void disk_close(struct disk *d, struct why *why);

/** disk_join() - a user, of whom any number of threads may be at work at once. Return: NULL if there is no memory */
struct disk_user *disk_join(struct disk *d);
void disk_leave(struct disk_user *u);

/* Return: 0 or an errno. A range need not be whole blocks, but for disk_zero(), which says EOPNOTSUPP then. */
int disk_size(struct disk_user *u, u64 *bytes);
int disk_read(struct disk_user *u, void *buf, u32 len, u64 at);
int disk_write(struct disk_user *u, const void *buf, u32 len, u64 at, bool fua);
/** disk_flush() - make all users' writes durable. If a writeback has failed, each user gets the error once. */
int disk_flush(struct disk_user *u);
int disk_trim(struct disk_user *u, u32 len, u64 at);
int disk_zero(struct disk_user *u, u32 len, u64 at, bool may_trim);

#endif
