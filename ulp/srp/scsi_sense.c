/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sense data: how a command fails, and how that is written down in both formats.
 * What an errno of the medium means to an initiator is decided here alone.
 */
#include <errno.h>

#include "scsi_private.h"

/* SPC-4 4.5.2.4.2: three bytes that point to the wrong field. */
static void put_sks(const struct scsi_sense *s, u8 *out)
{
	out[0] = (u8)(0x80 | (s->in_cdb ? 0x40 : 0) | (s->bit_valid ? 0x08 | s->bit : 0));
	put_be(out + 1, 2, s->field);
}

static u32 encode_fixed(const struct scsi_sense *s, u8 *out)
{
	out[0] = 0x70;
	out[2] = s->key;
	if (s->info_valid && s->info <= UINT32_MAX) {
		out[0] |= 0x80;
		put_be(out + 3, 4, s->info);
	}
	out[7] = 18 - 8;
	put_be(out + 12, 2, s->asc);
	if (s->sks_valid)
		put_sks(s, out + 15);
	return 18;
}

static u32 encode_descriptor(const struct scsi_sense *s, u8 *out)
{
	u32 n = 8;

	out[0] = 0x72;
	out[1] = s->key;
	put_be(out + 2, 2, s->asc);
	if (s->info_valid) {
		out[n + 1] = 10;
		out[n + 2] = 0x80;
		put_be(out + n + 4, 8, s->info);
		n += 12;
	}
	if (s->sks_valid) {
		out[n] = 2;
		out[n + 1] = 6;
		put_sks(s, out + n + 4);
		n += 8;
	}
	out[7] = (u8)(n - 8);
	return n;
}

u32 scsi_sense_encode(const struct scsi_sense *s, bool descriptor, u8 out[SCSI_SENSE_MAX])
{
	memset(out, 0, SCSI_SENSE_MAX);
	return descriptor ? encode_descriptor(s, out) : encode_fixed(s, out);
}

bool scsi_fail(struct scsi_cmd *cmd, u8 key, u16 asc)
{
	cmd->status = SCSI_CHECK_CONDITION;
	cmd->sense = (struct scsi_sense){ .key = key, .asc = asc };
	return false;
}

bool scsi_conflict(struct scsi_cmd *cmd)
{
	cmd->status = SCSI_RESERVATION_CONFLICT;
	return false;
}

bool scsi_fail_field(struct scsi_cmd *cmd, u16 asc, u32 at, u8 mask)
{
	struct scsi_sense *s = &cmd->sense;

	scsi_fail(cmd, SCSI_ILLEGAL_REQUEST, asc);
	s->sks_valid = true;
	s->in_cdb = asc == SCSI_ASC_CDB_FIELD;
	s->field = (u16)at;
	s->bit_valid = mask && mask != 0xff;
	if (s->bit_valid)
		while (mask >>= 1)
			s->bit++;
	return false;
}

bool scsi_fail_lba(struct scsi_cmd *cmd, u8 key, u16 asc, u64 lba)
{
	scsi_fail(cmd, key, asc);
	cmd->sense.info_valid = true;
	cmd->sense.info = lba;
	return false;
}

static u64 block_at(const struct scsi_cmd *cmd, u64 at)
{
	return at >> cmd->dev->shift;
}

bool scsi_fail_read(struct scsi_cmd *cmd, int err, u64 at)
{
	if (err == -EINVAL) /* a range that was never checked: our own mistake */
		return scsi_fail(cmd, SCSI_HARDWARE_ERROR, SCSI_ASC_INTERNAL);
	return scsi_fail_lba(cmd, SCSI_MEDIUM_ERROR, SCSI_ASC_READ_ERROR, block_at(cmd, at));
}

bool scsi_fail_write(struct scsi_cmd *cmd, int err, u64 at)
{
	switch (err) {
	case -ENOSPC:
	case -EDQUOT:
	case -EFBIG:
		return scsi_fail_lba(cmd, SCSI_DATA_PROTECT, SCSI_ASC_NO_SPACE, block_at(cmd, at));
	case -EROFS:
	case -EPERM:
	case -EACCES:
	case -EBADF:
		return scsi_fail(cmd, SCSI_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED);
	case -ENOENT:
		return scsi_fail(cmd, SCSI_NOT_READY, SCSI_ASC_NO_MEDIUM);
	case -EINVAL:
		return scsi_fail(cmd, SCSI_HARDWARE_ERROR, SCSI_ASC_INTERNAL);
	default:
		return scsi_fail_lba(cmd, SCSI_MEDIUM_ERROR, SCSI_ASC_WRITE_ERROR, block_at(cmd, at));
	}
}

bool scsi_flush(struct scsi_cmd *cmd)
{
	int err = lun_sync(cmd->dev->lun, &cmd->nexus->sync_errors);

	return !err || scsi_fail_write(cmd, err, cmd->lba << cmd->dev->shift);
}
