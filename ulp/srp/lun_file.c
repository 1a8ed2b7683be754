/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A medium in a file or on a block device. Reads and writes go by the page cache, straight
 * from and to the caller's memory. The file may be taken away or cut while it is
 * served: every write asks first, because the system would go on without a word.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lun.h"

static ssize_t file_pread(struct lun *lun, void *buf, size_t len, u64 at)
{
	ssize_t n = pread(lun->fd, buf, len, (off_t)at);

	return n < 0 ? -errno : n;
}

/* From the page cache. */
static ssize_t file_pread_now(struct lun *lun, void *buf, size_t len, u64 at)
{
	struct iovec to = { .iov_base = buf, .iov_len = len };
	ssize_t n = preadv2(lun->fd, &to, 1, (off_t)at, RWF_NOWAIT);

	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? -EAGAIN : -EOPNOTSUPP;
}

static ssize_t file_pwrite(struct lun *lun, const void *buf, size_t len, u64 at)
{
	ssize_t n = pwrite(lun->fd, buf, len, (off_t)at);

	return n < 0 ? -errno : n;
}

/*
 * A hole where space is to be given back, else zeros that keep their space. Not every file system
 * can do either; some of them call it EINVAL or ENODEV.
 */
static int file_zero(struct lun *lun, u64 at, u64 len, bool punch)
{
	int how = (punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE;

	if (!fallocate(lun->fd, how, (off_t)at, (off_t)len))
		return 0;
	switch (errno) {
	case EOPNOTSUPP:
	case ENOSYS:
	case ENODEV:
	case EINVAL:
		return -EOPNOTSUPP;
	default:
		return -errno;
	}
}

/* A file that can't report its holes has none. This moves the file's offset, which has no user. */
static int file_extent(struct lun *lun, u64 at, u64 *len, bool *hole)
{
	off_t data = lseek(lun->fd, (off_t)at, SEEK_DATA), end;

	*hole = data < 0 ? errno == ENXIO : (u64)data > at;
	if (data < 0 && !*hole)
		return errno == EINVAL || errno == EOPNOTSUPP ? 0 : -errno;
	end = *hole ? data : lseek(lun->fd, (off_t)at, SEEK_HOLE);
	if (end > 0 && (u64)end > at && (u64)end - at < *len)
		*len = (u64)end - at;
	return 0;
}

static int file_sync(struct lun *lun)
{
	return fdatasync(lun->fd) ? -errno : 0;
}

/* Only of a file that we might write does mincore() say which pages are in memory. */
static int file_backing(struct lun *lun)
{
	struct stat st;

	if (lun->read_only && geteuid() && (fstat(lun->fd, &st) || st.st_uid != geteuid()))
		return -EOPNOTSUPP;
	return lun->fd;
}

static int file_check(struct lun *lun)
{
	struct stat st;

	if (fstat(lun->fd, &st))
		return -errno;
	if (lun->named && !st.st_nlink)
		return -ENOENT;
	if (lun->regular && (u64)st.st_size < lun->bytes)
		return -ENODATA;
	return 0;
}

static void file_close(struct lun *lun)
{
	close(lun->fd);
	lun->fd = -1;
}

static const struct lun_ops file_ops = {
	.pread = file_pread,
	.pread_now = file_pread_now,
	.pwrite = file_pwrite,
	.zero = file_zero,
	.extent = file_extent,
	.sync = file_sync,
	.backing = file_backing,
	.check = file_check,
	.close = file_close,
};

/* A sentence for the user, and the error that it goes with. */
static int __attribute__((format(printf, 4, 5))) refuse(char *why, size_t size, int err, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, size, format, ap);
	va_end(ap);
	return err;
}

static int cant_open(const char *path, bool read_only, int err, char *why, size_t size)
{
	switch (err) {
	case ENOENT:
		return refuse(why, size, -err, "%s does not exist; create it first, for example: truncate -s 64M %s",
			      path, path);
	case EACCES:
	case EPERM:
	case EROFS:
		if (!read_only)
			return refuse(why, size, -err, "%s can't be written (%s); serve it read-only, or change that",
				      path, strerror(err));
		return refuse(why, size, -err, "%s can't be read (%s); change its permissions", path, strerror(err));
	case EISDIR:
		return refuse(why, size, -err, "%s is a directory; give a file or a block device", path);
	default:
		return refuse(why, size, -err, "%s can't be opened: %s", path, strerror(err));
	}
}

/* The size of what is open, if it can be a medium at all. */
static int file_bytes(int fd, const char *path, u32 block_size, struct stat *st, u64 *bytes, char *why, size_t size)
{
	off_t end;

	if (fstat(fd, st))
		return refuse(why, size, -errno, "%s can't be looked at: %s", path, strerror(errno));
	if (S_ISDIR(st->st_mode))
		return refuse(why, size, -EISDIR, "%s is a directory; give a file or a block device", path);
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		return refuse(why, size, -ENOTBLK, "%s is neither a file nor a block device; give one of these", path);
	end = lseek(fd, 0, SEEK_END);
	if (end < 0)
		return refuse(why, size, -errno, "%s can't tell its size: %s", path, strerror(errno));
	if (!end)
		return refuse(why, size, -EINVAL, "%s is empty; give it a size, for example: truncate -s 64M %s", path,
			      path);
	if (end < block_size)
		return refuse(why, size, -EINVAL,
			      "%s has %lld bytes, less than one block of %u; make it larger: truncate -s %u %s", path,
			      (long long)end, block_size, block_size, path);
	if (end % block_size)
		return refuse(why, size, -EINVAL,
			      "%s has %lld bytes, no multiple of the block size %u; make it so: truncate -s %%%u %s",
			      path, (long long)end, block_size, block_size, path);
	*bytes = (u64)end;
	return 0;
}

/* Named after its full path, so that an initiator knows the disk again. */
static int name_it(struct lun *lun, const char *path, u64 bytes, u32 block_size, bool read_only)
{
	char *full = realpath(path, NULL);
	int err = lun_setup(lun, &file_ops, full ? full : path, bytes, block_size, read_only);

	free(full);
	return err;
}

int lun_file_open(struct lun *lun, const char *path, u32 block_size, bool read_only, char *why, size_t why_size)
{
	struct stat st;
	u64 bytes = 0;
	int fd, err;

	if (block_size != 512 && block_size != 4096)
		return refuse(why, why_size, -EINVAL, "a block size of %u can't be had; give 512 or 4096", block_size);
	/* Without waiting: a pipe that nobody writes to is refused below, not waited for. */
	fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return cant_open(path, read_only, errno, why, why_size);
	err = file_bytes(fd, path, block_size, &st, &bytes, why, why_size);
	if (err)
		goto close;
	err = name_it(lun, path, bytes, block_size, read_only);
	if (err) {
		refuse(why, why_size, err, "%s can't be served: %s", path, strerror(-err));
		goto close;
	}
	lun->fd = fd;
	lun->named = st.st_nlink != 0;
	lun->regular = S_ISREG(st.st_mode);
	return 0;
close:
	close(fd);
	return err;
}
