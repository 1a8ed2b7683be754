/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A medium in memory of the caller's, for tests and fuzzers. Whoever writes a block
 * while another reads it gets a mixture, as on a disk.
 */
#include <string.h>

#include "lun.h"

static ssize_t ram_pread(struct lun *lun, void *buf, size_t len, u64 at)
{
	memcpy(buf, lun->mem + at, len);
	return (ssize_t)len;
}

static ssize_t ram_pwrite(struct lun *lun, const void *buf, size_t len, u64 at)
{
	memcpy(lun->mem + at, buf, len);
	return (ssize_t)len;
}

static int ram_zero(struct lun *lun, u64 at, u64 len, bool punch)
{
	(void)punch;
	memset(lun->mem + at, 0, (size_t)len);
	return 0;
}

static int ram_extent(struct lun *lun, u64 at, u64 *len, bool *hole)
{
	(void)lun;
	(void)at;
	(void)len;
	*hole = false;
	return 0;
}

static int ram_nothing_to_do(struct lun *lun)
{
	(void)lun;
	return 0;
}

static void ram_close(struct lun *lun)
{
	lun->mem = NULL;
}

static const struct lun_ops ram_ops = {
	.pread = ram_pread,
	.pwrite = ram_pwrite,
	.zero = ram_zero,
	.extent = ram_extent,
	.sync = ram_nothing_to_do,
	.check = ram_nothing_to_do,
	.close = ram_close,
};

int lun_ram_open(struct lun *lun, void *mem, u64 bytes, u32 block_size, bool read_only)
{
	int err = lun_setup(lun, &ram_ops, "memory", bytes, block_size, read_only);

	if (!err)
		lun->mem = (u8 *)mem;
	return err;
}
