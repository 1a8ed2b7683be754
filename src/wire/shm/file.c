/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Memory for files; see file.h. */
#include "wire/shm/file.h"

#include <fcntl.h>
#include <unistd.h>

#define FILL_BYTES 65536u

/* Where the file system can't reserve, writing does. */
static int fill_by_writing(int fd, u64 off, size_t bytes)
{
	static const char zeros[FILL_BYTES];
	size_t done = 0;
	ssize_t n;

	while (done < bytes) {
		n = pwrite(fd, zeros, HCA_MIN(bytes - done, sizeof(zeros)), (off_t)(off + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENOSPC;
		done += (size_t)n;
	}
	return 0;
}

int shm_file_fill(int fd, u64 off, size_t bytes)
{
	int err;

	do
		err = fallocate(fd, 0, (off_t)off, (off_t)bytes) ? -errno : 0;
	while (err == -EINTR);
	return err == -EOPNOTSUPP || err == -ENOSYS ? fill_by_writing(fd, off, bytes) : err;
}
