/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The medium behind a SCSI device server: an array of blocks in a file, or in memory
 * for tests. Any number of threads may call at once; nothing is allocated after the
 * medium was opened. Errors are errnos here; what an initiator is told about them is
 * scsi_block.c's business.
 */
#ifndef SRP_LUN_H
#define SRP_LUN_H

#include <pthread.h>
#include <sys/types.h>

#include "softhca/hca_types.h"

struct lun;

#define LUN_SERIAL_LEN 16
#define LUN_COMPARE_MAX 4096u

/**
 * struct lun_ops - what a medium can do; no entry but @pread_now and @backing may be NULL
 * @pread: up to @len bytes at byte @at. Return: bytes, 0 at the end of the medium, or -errno
 * @pwrite: likewise, the other way
 * @pread_now: pread for bytes that are in memory. Return: likewise, perhaps fewer; -EAGAIN: it would wait for a device;
 *        -EOPNOTSUPP: it never knows. NULL: the same
 * @zero: make a range read as zeros; @punch: and give its space back. Return: 0, or -errno, of which
 *        -EOPNOTSUPP leaves it to the caller to write zeros
 * @extent: @len is at most the bytes from @at to the end, and becomes how many of them, at least one, are alike:
 *          a @hole that takes no space and reads as zeros, or data. Return: 0 or -errno
 * @sync: what was written survives a power cut. Return: 0 or -errno
 * @backing: the descriptor of a file that has the medium's bytes at the same places and may be mapped, as long as the medium
 *	is open; -EOPNOTSUPP: there is none. NULL: the same
 * @check: is the medium what it was when it was opened? Return: 0, -ENOENT if it was removed, -ENODATA if
 *         it became shorter, or another -errno
 * @close: give back what @lun holds
 *
 * pread and pwrite may do less than was asked for, and may be interrupted (-EINTR), as the system calls may:
 * the callers below go on until all is done. Tests put a table of their own in the place of a medium's, and
 * fail what they like.
 */
struct lun_ops {
	ssize_t (*pread)(struct lun *lun, void *buf, size_t len, u64 at);
	ssize_t (*pread_now)(struct lun *lun, void *buf, size_t len, u64 at);
	ssize_t (*pwrite)(struct lun *lun, const void *buf, size_t len, u64 at);
	int (*zero)(struct lun *lun, u64 at, u64 len, bool punch);
	int (*extent)(struct lun *lun, u64 at, u64 *len, bool *hole);
	int (*sync)(struct lun *lun);
	int (*backing)(struct lun *lun);
	int (*check)(struct lun *lun);
	void (*close)(struct lun *lun);
};

/**
 * struct lun - an open medium
 * @bytes: its size when it was opened, a multiple of @block_size
 * @block_size: 512 or 4096
 * @read_only: nothing may be written; the device server refuses before it asks
 * @serial: letters and digits that stay the same for one path or name; not ended by a 0
 * @id: the same as 60 bits
 * @fd: lun_file.c's: the file
 * @named: lun_file.c's: the file had a name when it was opened
 * @regular: lun_file.c's: a file, not a block device
 * @waits: lun_read_now() needn't be tried; atomic
 * @mem: lun_ram.c's
 * @change_lock: shared by those who change bytes; held alone from the comparison to the write of lun_compare_and_write()
 * @sync_lock: held around a sync and what it leaves in the two below
 * @sync_errors: how many syncs have failed; atomic
 * @sync_errno: how the last of them failed
 *
 * All but the locks, @waits and the last two stay as they are while the medium is open.
 */
struct lun {
	const struct lun_ops *ops;
	u64 bytes;
	u32 block_size;
	bool read_only;
	char serial[LUN_SERIAL_LEN];
	u64 id;

	int fd;
	bool named, regular;
	bool waits;
	u8 *mem;

	pthread_rwlock_t change_lock;
	pthread_mutex_t sync_lock;
	u32 sync_errors;
	int sync_errno;
};

/**
 * lun_file_open() - open a file or a block device as a medium
 * @lun: filled on success alone
 * @path: of the file
 * @block_size: 512 or 4096
 * @read_only: open it for reading; else for both, and a file that may not be written is refused
 * @why: gets a sentence for the user that names the file and says what to do, if it fails
 * @why_size: of @why in bytes
 *
 * Return: 0, or -errno: what open() says; -EINVAL for a wrong block size, an empty file or one that is not a
 * whole number of blocks; -EISDIR or -ENOTBLK for what is neither a file nor a block device
 */
int lun_file_open(struct lun *lun, const char *path, u32 block_size, bool read_only, char *why, size_t why_size);

/**
 * lun_ram_open() - memory of the caller's as a medium, for tests
 * @lun: filled on success alone
 * @mem: @bytes bytes that stay where they are until lun_close()
 *
 * Return: 0, or -EINVAL as lun_file_open()
 */
int lun_ram_open(struct lun *lun, void *mem, u64 bytes, u32 block_size, bool read_only);

/** lun_close() - nobody may be inside any more. Does not sync. */
void lun_close(struct lun *lun);

/**
 * lun_read() - all of a range
 * @at: byte of the medium
 *
 * Return: 0; -EINVAL for a range that the medium doesn't have; -ENODATA if the file ends before the range does
 * (it was made shorter: the rest of @buf is not touched); or -errno. *@done, if given, is set to the bytes that
 * were read in any case.
 */
int lun_read(struct lun *lun, void *buf, size_t len, u64 at, size_t *done);

/** lun_read_now() - all of a range, if that needs no wait. Return: false: it may, or there is an error; ask lun_read() */
bool lun_read_now(struct lun *lun, void *buf, size_t len, u64 at);

/**
 * lun_write() - all of a range
 *
 * Return: as lun_read(), and -ENOENT if the file was removed and -ENODATA if it became shorter: written bytes
 * would be lost, or hide that others are. What is written is safe after lun_sync().
 */
int lun_write(struct lun *lun, const void *buf, size_t len, u64 at, size_t *done);

/**
 * lun_zero() - a range reads as zeros from now on
 * @punch: its space may be given back; else it stays allocated where that can be had
 *
 * Return: as lun_write()
 */
int lun_zero(struct lun *lun, u64 at, u64 len, bool punch);

/**
 * lun_compare_and_write() - write a range if it says what is expected; nobody writes in between
 * @expected, @new: @len bytes each, at most LUN_COMPARE_MAX
 * @diff: set to the first byte that differs, if one does
 *
 * Return: as lun_write(), and -EILSEQ if a byte differs: then nothing was written
 */
int lun_compare_and_write(struct lun *lun, const u8 *expected, const u8 *new, size_t len, u64 at, size_t *diff);

/**
 * lun_extent() - does a range take space?
 * @len: bytes that are asked about, whole blocks; becomes how many of them are alike, whole blocks too
 * @hole: set: they take none, and read as zeros
 *
 * Return: as lun_write()
 */
int lun_extent(struct lun *lun, u64 at, u64 *len, bool *hole);

/**
 * lun_sync() - what was written is on stable storage
 * @seen: a caller's own count, 0 at first: how many failed syncs it knows of
 *
 * The system reports a lost write to one sync alone, but the write may have been another caller's. So each
 * caller hears once of every sync that failed since its last.
 *
 * Return: 0, or -errno as lun_write()
 */
int lun_sync(struct lun *lun, u32 *seen);

/** lun_sync_errors() - how many syncs have failed: where a new caller of lun_sync() begins to count. Never waits. */
u32 lun_sync_errors(struct lun *lun);

/** lun_backing() - a file that may be mapped in place of lun_read(). Return: its descriptor, or -EOPNOTSUPP */
int lun_backing(struct lun *lun);

/** lun_check() - is the medium still there, and whole? Return: see struct lun_ops */
int lun_check(struct lun *lun);

/* For media: the fields that all of them have. Return: 0 or -EINVAL for a size that can't be */
int lun_setup(struct lun *lun, const struct lun_ops *ops, const char *name, u64 bytes, u32 block_size, bool read_only);

#endif
