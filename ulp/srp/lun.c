/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What all media have in common: loops that go on after a short or interrupted call,
 * zeros where the medium can't make them itself, and the memory of failed syncs.
 * Called by the device server for each piece of data; see lun.h.
 */
#include <errno.h>
#include <string.h>

#include "lun.h"

#define ZEROS (64u << 10)

/* Never written. Not const, so that it takes no room in the file. */
static u8 zeros[ZEROS];

static u64 hash_name(const char *name)
{
	u64 h = 0xcbf29ce484222325u; /* FNV-1a */

	for (; *name; name++)
		h = (h ^ (u8)*name) * 0x100000001b3u;
	return h;
}

/* A comparison isn't starved by a stream of writes. */
static int init_locks(struct lun *lun)
{
	pthread_rwlockattr_t attr;
	int err = pthread_rwlockattr_init(&attr);

	if (err)
		return -err;
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	err = pthread_rwlock_init(&lun->change_lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	if (err)
		return -err;
	err = pthread_mutex_init(&lun->sync_lock, NULL);
	if (err)
		pthread_rwlock_destroy(&lun->change_lock);
	return -err;
}

int lun_setup(struct lun *lun, const struct lun_ops *ops, const char *name, u64 bytes, u32 block_size, bool read_only)
{
	int i;

	if ((block_size != 512 && block_size != 4096) || !bytes || bytes % block_size || bytes > INT64_MAX)
		return -EINVAL;
	memset(lun, 0, sizeof(*lun));
	lun->ops = ops;
	lun->bytes = bytes;
	lun->block_size = block_size;
	lun->read_only = read_only;
	lun->fd = -1;
	lun->id = hash_name(name);
	for (i = 0; i < LUN_SERIAL_LEN; i++)
		lun->serial[i] = "0123456789abcdef"[lun->id >> (60 - 4 * i) & 15];
	lun->id &= ~0ull >> 4;
	return init_locks(lun);
}

void lun_close(struct lun *lun)
{
	lun->ops->close(lun);
	pthread_mutex_destroy(&lun->sync_lock);
	pthread_rwlock_destroy(&lun->change_lock);
}

static bool inside(const struct lun *lun, u64 len, u64 at)
{
	return len <= lun->bytes && at <= lun->bytes - len;
}

int lun_read(struct lun *lun, void *buf, size_t len, u64 at, size_t *done)
{
	size_t n = 0;
	int err = inside(lun, len, at) ? 0 : -EINVAL;

	while (!err && n < len) {
		ssize_t got = lun->ops->pread(lun, (u8 *)buf + n, len - n, at + n);

		if (got > 0)
			n += (size_t)got;
		else if (!got)
			err = -ENODATA;
		else if (got != -EINTR)
			err = (int)got;
	}
	if (done)
		*done = n;
	return err;
}

bool lun_read_now(struct lun *lun, void *buf, size_t len, u64 at)
{
	ssize_t got;

	if (!lun->ops->pread_now || __atomic_load_n(&lun->waits, __ATOMIC_RELAXED) || !inside(lun, len, at))
		return false;
	got = lun->ops->pread_now(lun, buf, len, at);
	if (got == -EOPNOTSUPP)
		__atomic_store_n(&lun->waits, true, __ATOMIC_RELAXED);
	return got >= 0 && (size_t)got == len;
}

/* May the range be changed? */
static int may_change(struct lun *lun, u64 len, u64 at)
{
	if (!inside(lun, len, at))
		return -EINVAL;
	return lun->read_only ? -EROFS : lun->ops->check(lun);
}

/* With the lock of changes. */
static int write_range(struct lun *lun, const void *buf, size_t len, u64 at, size_t *done)
{
	size_t n = 0;
	int err = may_change(lun, len, at);

	while (!err && n < len) {
		ssize_t put = lun->ops->pwrite(lun, (const u8 *)buf + n, len - n, at + n);

		if (put > 0)
			n += (size_t)put;
		else if (!put)
			err = -ENOSPC; /* nothing fits any more, and nobody says why */
		else if (put != -EINTR)
			err = (int)put;
	}
	if (done)
		*done = n;
	return err;
}

int lun_write(struct lun *lun, const void *buf, size_t len, u64 at, size_t *done)
{
	int err;

	pthread_rwlock_rdlock(&lun->change_lock);
	err = write_range(lun, buf, len, at, done);
	pthread_rwlock_unlock(&lun->change_lock);
	return err;
}

static int compare_and_write(struct lun *lun, const u8 *expected, const u8 *new, size_t len, u64 at, size_t *diff)
{
	u8 have[LUN_COMPARE_MAX];
	size_t i;
	int err = may_change(lun, len, at);

	if (!err)
		err = lun_read(lun, have, len, at, NULL);
	for (i = 0; !err && i < len; i++) {
		if (have[i] != expected[i]) {
			*diff = i;
			err = -EILSEQ;
		}
	}
	return err ? err : write_range(lun, new, len, at, NULL);
}

int lun_compare_and_write(struct lun *lun, const u8 *expected, const u8 *new, size_t len, u64 at, size_t *diff)
{
	int err;

	if (len > LUN_COMPARE_MAX)
		return -EINVAL;
	pthread_rwlock_wrlock(&lun->change_lock);
	err = compare_and_write(lun, expected, new, len, at, diff);
	pthread_rwlock_unlock(&lun->change_lock);
	return err;
}

static int zero_range(struct lun *lun, u64 at, u64 len, bool punch)
{
	int err = may_change(lun, len, at);

	if (err || !len)
		return err;
	do
		err = lun->ops->zero(lun, at, len, punch);
	while (err == -EINTR);
	if (err != -EOPNOTSUPP)
		return err;
	do {
		size_t part = len < ZEROS ? (size_t)len : ZEROS;

		err = write_range(lun, zeros, part, at, NULL);
		at += part;
		len -= part;
	} while (!err && len);
	return err;
}

int lun_zero(struct lun *lun, u64 at, u64 len, bool punch)
{
	int err;

	pthread_rwlock_rdlock(&lun->change_lock);
	err = zero_range(lun, at, len, punch);
	pthread_rwlock_unlock(&lun->change_lock);
	return err;
}

/* Parts of a block in a hole make no hole of the block. */
int lun_extent(struct lun *lun, u64 at, u64 *len, bool *hole)
{
	u64 rest = *len, most = rest, n;
	int err = inside(lun, rest, at) ? lun->ops->check(lun) : -EINVAL;

	if (err)
		return err;
	err = lun->ops->extent(lun, at, &most, hole);
	if (err)
		return err;
	n = *hole ? most - most % lun->block_size : most + (-most & (lun->block_size - 1));
	if (!n) {
		*hole = false;
		n = lun->block_size;
	}
	*len = n < rest ? n : rest;
	return 0;
}

/* Without the lock: a sync that is under way holds it, and may take long. */
u32 lun_sync_errors(struct lun *lun)
{
	return __atomic_load_n(&lun->sync_errors, __ATOMIC_ACQUIRE);
}

/*
 * One sync at a time: between the system's telling one caller of a failure and that
 * caller's leaving a note of it, no other may be told that all is well.
 */
int lun_sync(struct lun *lun, u32 *seen)
{
	int err, gone;
	u32 known;

	if (lun->read_only)
		return 0;
	gone = lun->ops->check(lun);
	pthread_mutex_lock(&lun->sync_lock);
	do
		err = lun->ops->sync(lun);
	while (err == -EINTR);
	if (err) {
		lun->sync_errno = err;
		__atomic_fetch_add(&lun->sync_errors, 1, __ATOMIC_RELEASE);
	}
	known = __atomic_exchange_n(seen, lun->sync_errors, __ATOMIC_RELAXED);
	if (known != lun->sync_errors)
		err = lun->sync_errno;
	pthread_mutex_unlock(&lun->sync_lock);
	return err ? err : gone;
}

int lun_backing(struct lun *lun)
{
	return lun->ops->backing ? lun->ops->backing(lun) : -EOPNOTSUPP;
}

int lun_check(struct lun *lun)
{
	return lun->ops->check(lun);
}
