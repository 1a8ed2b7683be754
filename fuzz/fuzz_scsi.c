/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SCSI commands of any content against a disk in memory. The first byte chooses the
 * disk; each command is a byte for the unit, a byte for pieces and faults, sixteen of CDB
 * and, for data, what follows, again and again. Checked: what may be touched is all that is
 * (the sanitizer, and a read-only disk stays as it was), lengths agree with the command
 * and with themselves, sense data is well formed, and a read gives what is on the disk.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "srp/scsi.h"

#define BLOCKS 64u
#define ROOM (BLOCKS * 4096u)

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t size);

static struct lun lun;
static struct scsi_device dev;
static struct scsi_nexus nexus;
static const struct lun_ops *real;
static int fault; /* an errno that the medium's next call returns, or 0 */

static void must(bool ok)
{
	if (!ok)
		abort();
}

static int take_fault(void)
{
	int err = fault;

	fault = 0;
	return err;
}

static ssize_t fuzz_pread(struct lun *l, void *buf, size_t len, u64 at)
{
	must(len <= l->bytes && at <= l->bytes - len);
	return fault ? take_fault() : real->pread(l, buf, len > 5000 ? 5000 : len, at);
}

static ssize_t fuzz_pwrite(struct lun *l, const void *buf, size_t len, u64 at)
{
	must(!l->read_only && len <= l->bytes && at <= l->bytes - len);
	return fault ? take_fault() : real->pwrite(l, buf, len > 5000 ? 5000 : len, at);
}

static int fuzz_zero(struct lun *l, u64 at, u64 len, bool punch)
{
	must(!l->read_only && len <= l->bytes && at <= l->bytes - len);
	return fault ? take_fault() : real->zero(l, at, len, punch);
}

static int fuzz_extent(struct lun *l, u64 at, u64 *len, bool *hole)
{
	must(!l->read_only && *len <= l->bytes && at <= l->bytes - *len);
	return fault ? take_fault() : real->extent(l, at, len, hole);
}

static int fuzz_sync(struct lun *l)
{
	must(!l->read_only);
	return take_fault();
}

static int fuzz_check(struct lun *l)
{
	return real->check(l);
}

static void fuzz_close(struct lun *l)
{
	real->close(l);
}

static const struct lun_ops ops = {
	.pread = fuzz_pread,
	.pwrite = fuzz_pwrite,
	.zero = fuzz_zero,
	.extent = fuzz_extent,
	.sync = fuzz_sync,
	.check = fuzz_check,
	.close = fuzz_close,
};

/* SPC-4 4.5: additional length, descriptors that fill it, and a key that goes with CHECK CONDITION. */
static void check_sense(const u8 *s, u32 len)
{
	u32 at;

	must(len >= 8 && len <= SCSI_SENSE_MAX && s[7] == len - 8);
	switch (s[0]) {
	case 0x70:
	case 0xf0:
		must(len == 18 && (s[2] & 15) != SCSI_NO_SENSE && !(s[2] & 0xf0));
		must(s[12] || s[13]);
		must(!s[15] || s[15] & 0x80);
		break;
	case 0x72:
		must(s[1] != SCSI_NO_SENSE && s[1] < 16 && (s[2] || s[3]));
		for (at = 8; at < len; at += 2u + s[at + 1]) {
			must(at + 2 <= len && at + 2u + s[at + 1] <= len);
			must((s[at] == 0 && s[at + 1] == 10) || (s[at] == 2 && s[at + 1] == 6));
		}
		must(at == len);
		break;
	default:
		abort();
	}
}

/* Does the length go with what the command is? */
static void check_lengths(const struct scsi_cmd *cmd, const u8 *cdb)
{
	u32 block = 1u << dev.shift;

	must(cmd->expect == cmd->length);
	must(cmd->status == SCSI_GOOD || (!cmd->length && cmd->phase == SCSI_NO_DATA));
	must((cmd->phase == SCSI_NO_DATA) == !cmd->length);
	must(cmd->blocks <= BLOCKS || cmd->status != SCSI_GOOD);
	if (cmd->phase == SCSI_REPLY)
		must(cmd->length <= SCSI_BUF);
	if (cmd->phase == SCSI_DATA_IN)
		must(cmd->length == cmd->blocks * block && (cdb[0] & 0x1f) == 8);
	if (cmd->phase == SCSI_DATA_OUT)
		must(cmd->length <= SCSI_BUF || cmd->length == cmd->blocks * block || cdb[0] == 0x42);
}

struct input {
	const u8 *p;
	size_t left;
};

/* What the initiator sends: the rest of the input, over and over. */
static void fill(const struct input *in, u8 *data, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		data[i] = in->left ? in->p[i % in->left] : 0;
}

static void move(struct scsi_cmd *cmd, const struct input *in, size_t piece)
{
	u8 *data = malloc((size_t)cmd->expect + 1);
	u64 at;

	if (!data)
		abort();
	fill(in, data, (size_t)cmd->expect);
	for (at = 0; at < cmd->expect; at += piece) {
		size_t len = cmd->expect - at < piece ? (size_t)(cmd->expect - at) : piece;

		if (!(cmd->phase == SCSI_DATA_IN ? scsi_read(cmd, at, data + at, len) :
						   scsi_write(cmd, at, data + at, len)))
			break;
	}
	if (cmd->phase == SCSI_DATA_IN && cmd->status == SCSI_GOOD)
		must(!memcmp(data, lun.mem + (cmd->lba << dev.shift), (size_t)cmd->expect));
	free(data);
}

/* The initiator's buffer is smaller, or larger; no write may end inside of a block. */
static void limit(struct scsi_cmd *cmd, const u8 *cdb, u8 how)
{
	const u64 sizes[] = { cmd->length / 2 + 1, cmd->length + 512, cmd->length / 1024 * 512, 0 };
	u64 bytes = sizes[how >> 6];

	scsi_limit(cmd, bytes);
	must(cmd->expect <= bytes && cmd->expect <= cmd->length);
	if (cmd->status != SCSI_GOOD)
		must(!cmd->expect);
	else if (cmd->phase == SCSI_DATA_OUT && (cdb[0] & 0x1f) != 0x15 && cdb[0] != 0x42 &&
		 cdb[0] != 0x5f) /* parameter lists */
		must(!(cmd->expect & ((1u << dev.shift) - 1)));
}

static void one_command(struct input *in)
{
	static const int faults[] = { 0, -EIO, -ENOSPC, -EINTR, -EOPNOTSUPP, -ENODATA, -EROFS, -EINVAL };
	u8 unit[SCSI_LUN_LEN] = { 0, in->p[0] & 1 }, sense[SCSI_SENSE_MAX], cdb[16];
	u8 how = in->p[1];
	u32 len, cdb_len = in->p[0] & 2 ? in->p[0] >> 4 : 16;
	u8 *buf = malloc(SCSI_BUF), *exact = malloc(16);
	struct scsi_cmd cmd;

	if (!buf || !exact)
		abort();
	memcpy(cdb, in->p + 2, 16);
	/* Nothing may be read behind the CDB that was given. */
	memcpy(exact + 16 - cdb_len, cdb, cdb_len);
	in->p += 18;
	in->left -= 18;
	fault = faults[how & 7];
	scsi_begin(&cmd, &nexus, unit, exact + 16 - cdb_len, cdb_len, buf);
	check_lengths(&cmd, cdb);
	if (how & 8)
		limit(&cmd, cdb, how);
	if (cmd.phase == SCSI_DATA_IN || cmd.phase == SCSI_DATA_OUT)
		move(&cmd, in, how & 16 ? 999 : ROOM);
	if (scsi_finish(&cmd, sense, &len) == SCSI_CHECK_CONDITION)
		check_sense(sense, len);
	else
		must(!len && (cmd.status == SCSI_GOOD || cmd.status == SCSI_RESERVATION_CONFLICT));
	if (how & 32)
		scsi_device_reset(&dev);
	free(exact);
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	u32 block = size && data[0] & 1 ? 4096 : 512;
	bool read_only = size && data[0] & 2;
	struct input in = { data + 1, size - 1 };
	u8 *mem, *before;

	if (!size)
		return 0;
	mem = malloc(BLOCKS * block);
	before = malloc(BLOCKS * block);
	if (!mem || !before)
		abort();
	memset(mem, 0x5a, BLOCKS * block);
	memcpy(before, mem, BLOCKS * block);
	must(!lun_ram_open(&lun, mem, BLOCKS * block, block, read_only));
	real = lun.ops;
	lun.ops = &ops;
	scsi_device_init(&dev, &lun);
	scsi_nexus_init(&nexus, &dev);
	nexus.power_on = data[0] >> 2 & 1;
	while (in.left >= 18)
		one_command(&in);
	must(!read_only || !memcmp(mem, before, BLOCKS * block));
	lun_close(&lun);
	free(before);
	free(mem);
	return 0;
}
