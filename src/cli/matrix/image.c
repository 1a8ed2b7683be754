/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The file that is carried, and what came back of it; see image.h. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image.h"

/* Where an ext file system says that it is one: s_magic of its superblock, Linux fs/ext4/ext4.h. */
#define EXT_MAGIC_AT 1080
#define EXT_MAGIC 0xef53

static bool is_ext(int fd)
{
	unsigned char magic[2];

	return pread(fd, magic, 2, EXT_MAGIC_AT) == 2 && (magic[0] | magic[1] << 8) == EXT_MAGIC;
}

/* In the path, or where administrators' programs are and the path of others doesn't lead. */
static void find_fsck(char *out, size_t size)
{
	const char *env = getenv("PATH");
	char dirs[4096];
	char *dir, *rest = dirs;

	snprintf(dirs, sizeof(dirs), "%s:/usr/local/sbin:/usr/sbin:/sbin", env ? env : "/usr/bin:/bin");
	while ((dir = strsep(&rest, ":"))) {
		int n = snprintf(out, size, "%s/e2fsck", *dir ? dir : ".");

		if (n > 0 && (size_t)n < size && !access(out, X_OK))
			return;
	}
	out[0] = 0;
}

/* Before it is opened: opening a pipe may wait, a socket can't be opened, and a device may act on it. */
static int check_kind(const char *path, struct why *why)
{
	struct stat st;

	if (stat(path, &st))
		return why_set(why, -errno, "%s can't be read: %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return why_set(why, -EISDIR, "%s is a directory; give a file or a block device", path);
	if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
		return 0;
	return why_set(why, -EINVAL, "%s is %s; give a file or a block device", path,
		       S_ISFIFO(st.st_mode) ? "a pipe" :
		       S_ISSOCK(st.st_mode) ? "a socket" :
					      "a character device");
}

static int file_size(const char *path, int fd, u64 *size, struct why *why)
{
	off_t end;

	end = lseek(fd, 0, SEEK_END);
	if (end < 0)
		return why_set(why, -errno, "%s: %s", path, strerror(errno));
	if (!end)
		return why_set(why, -EINVAL, "%s is empty; there is nothing to carry", path);
	*size = (u64)end;
	return 0;
}

int image_open(struct image *img, const char *path, u64 most, struct why *why)
{
	u64 size = 0;
	int err;

	memset(img, 0, sizeof(*img));
	img->path = path;
	err = check_kind(path, why);
	if (err)
		return err;
	img->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (img->fd < 0)
		return why_set(why, -errno, "%s can't be read: %s", path, strerror(errno));
	err = file_size(path, img->fd, &size, why);
	if (err) {
		close(img->fd);
		return err;
	}
	img->bytes = most && most < size ? most : size;
	/* A part of a file system is none. */
	if (img->bytes == size && is_ext(img->fd)) {
		find_fsck(img->fsck, sizeof(img->fsck));
		if (!img->fsck[0])
			fprintf(stderr, "note: e2fsck isn't here, so what comes back is compared but not checked\n");
	}
	if (img->fsck[0]) {
		img->fsck_status = image_fsck(img, img->fd);
		if (img->fsck_status)
			fprintf(stderr,
				"note: e2fsck -fn says %d of %s itself, and is to say the same of what comes back\n",
				img->fsck_status, path);
	}
	return 0;
}

void image_close(struct image *img)
{
	close(img->fd);
}

int image_read(const struct image *img, u64 at, void *buf, u32 len, struct why *why)
{
	u32 done = 0;

	while (done < len) {
		u64 pos = at + done;
		ssize_t n = pread(img->fd, (char *)buf + done, len - done, (off_t)pos);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return why_set(why, -errno, "reading %s at byte %llu: %s", img->path, (unsigned long long)pos,
				       strerror(errno));
		if (!n)
			return why_set(why, -EIO, "%s became shorter: it ends at byte %llu now", img->path,
				       (unsigned long long)pos);
		done += (u32)n;
	}
	return 0;
}

static const char *scratch_dir(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir ? dir : "/tmp";
}

int scratch_full(u64 bytes, int err, struct why *why)
{
	const char *what = err == -EFBIG ? "may not hold" : "has no room for";

	return why_set(why, err, "%s %s a file of %llu bytes (%s); set TMPDIR to a folder that has", scratch_dir(),
		       what, (unsigned long long)bytes, strerror(-err));
}

/* A file that never has a name; where the file system can't do that, one that has it for a moment. */
static int open_nameless(const char *dir)
{
	char path[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	snprintf(path, sizeof(path), "%s/softhca-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

/* Room for all of it now, as far as the file system can promise that: a full disk is known before the work. */
static int reserve(int fd, u64 bytes)
{
	while (fallocate(fd, 0, 0, (off_t)bytes)) {
		if (errno == EOPNOTSUPP || errno == ENOSYS)
			return ftruncate(fd, (off_t)bytes) ? -errno : 0;
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int scratch_create(u64 bytes, struct why *why)
{
	int fd = open_nameless(scratch_dir()), err;

	if (fd < 0)
		return why_set(why, -errno,
			       "no temporary file in %s: %s; set TMPDIR to a folder with room for %llu bytes",
			       scratch_dir(), strerror(errno), (unsigned long long)bytes);
	err = bytes ? reserve(fd, bytes) : 0;
	if (!err)
		return fd;
	close(fd);
	return scratch_full(bytes, err, why);
}

int copy_write_at(int fd, u64 at, const void *buf, u32 len, struct why *why)
{
	u32 done = 0;

	while (done < len) {
		u64 pos = at + done;
		ssize_t n = pwrite(fd, (const char *)buf + done, len - done, (off_t)pos);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
			return scratch_full(pos + len, -errno, why);
		if (n <= 0)
			return why_set(why, n ? -errno : -EIO, "writing the copy at byte %llu in %s: %s",
				       (unsigned long long)pos, scratch_dir(), strerror(n ? errno : EIO));
		done += (u32)n;
	}
	return 0;
}

int image_fsck(const struct image *img, int fd)
{
	char *argv[] = { (char *)"e2fsck", (char *)"-fn", (char *)"/proc/self/fd/3", NULL };
	posix_spawn_file_actions_t actions;
	int err, status;
	pid_t pid;

	err = posix_spawn_file_actions_init(&actions);
	if (err)
		return -err;
	/* dup2 of a descriptor to itself is how posix_spawn() keeps one open that would close. */
	err = posix_spawn_file_actions_adddup2(&actions, fd, 3);
	if (!err)
		err = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (!err)
		err = posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	if (!err)
		err = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	if (!err)
		err = posix_spawn(&pid, img->fsck, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (err)
		return -err;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}
