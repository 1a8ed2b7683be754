/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The file that is carried, the copy that came back, and the file system check of
 * either. Files are read and written in pieces; none is ever held in memory.
 */
#ifndef MATRIX_IMAGE_H
#define MATRIX_IMAGE_H

#include "bed.h"

/**
 * struct image - the file
 * @bytes: how much of it is carried
 * @fsck: path of e2fsck if the rows use it, else empty
 * @fsck_status: what it said of the file itself
 */
struct image {
	const char *path;
	int fd;
	u64 bytes;
	char fsck[256];
	int fsck_status;
};

/** image_open() - @most: carry no more than that many bytes; 0: all. Return: 0 or -errno with @why */
int image_open(struct image *img, const char *path, u64 most, struct why *why);
void image_close(struct image *img);

/** image_read() - exactly @len bytes at @at. Return: 0 or -errno with @why */
int image_read(const struct image *img, u64 at, void *buf, u32 len, struct why *why);

/**
 * scratch_create() - a file of @bytes in TMPDIR, without a name: it goes with its descriptor, however the process ends
 *
 * Its room is reserved where the file system can do that. Return: the descriptor, or -errno with @why
 */
int scratch_create(u64 bytes, struct why *why);
/** scratch_full() - says that there is no room for so many bytes, and what to do. Return: @err */
int scratch_full(u64 bytes, int err, struct why *why);
int copy_write_at(int fd, u64 at, const void *buf, u32 len, struct why *why);

/** image_fsck() - Return: what `e2fsck -fn` ends with for the file behind a descriptor (0: clean), or -errno */
int image_fsck(const struct image *img, int fd);

#endif
