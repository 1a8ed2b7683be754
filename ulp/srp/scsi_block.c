/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Commands that move or change blocks (SBC-3 5): the pieces of READ, WRITE and VERIFY
 * go between the caller's memory and the medium directly; short lists and single
 * blocks are put by in the caller's buffer until scsi_finish(). Nothing here
 * allocates.
 */
#include <errno.h>

#include "scsi_private.h"

#define SCRATCH (16u << 10) /* on the stack: for comparing and repeating */

_Static_assert(SCSI_COMPARE_MAX <= LUN_COMPARE_MAX, "the medium compares what the device server takes");
_Static_assert(8 + 16 * SCSI_UNMAP_MAX <= SCSI_BUF, "a list of ranges fits");

/* Where the command's data begins on the medium, in bytes. */
static u64 base(const struct scsi_cmd *cmd)
{
	return cmd->lba << cmd->dev->shift;
}

static bool fits(struct scsi_cmd *cmd, enum scsi_phase phase, u64 at, size_t len)
{
	if (cmd->status != SCSI_GOOD)
		return false;
	if (cmd->phase == phase && len <= cmd->expect && at <= cmd->expect - len)
		return true;
	return scsi_fail(cmd, SCSI_HARDWARE_ERROR, SCSI_ASC_INTERNAL);
}

bool scsi_read(struct scsi_cmd *cmd, u64 at, void *to, size_t len)
{
	size_t done;
	int err;

	if (!fits(cmd, SCSI_DATA_IN, at, len))
		return false;
	err = lun_read(cmd->dev->lun, to, len, base(cmd) + at, &done);
	if (err)
		return scsi_fail_read(cmd, err, base(cmd) + at + done);
	cmd->moved += len;
	return true;
}

static u32 first_difference(const u8 *a, const u8 *b)
{
	u32 i = 0;

	while (a[i] == b[i])
		i++;
	return i;
}

/*
 * Can this range be read, and does it say what @from says? @from: as many bytes; or with
 * @same, one block that each of the range's is to be like; or NULL, for nothing to compare with.
 */
static bool compare(struct scsi_cmd *cmd, u64 at, u64 len, const u8 *from, bool same)
{
	u8 have[SCRATCH];
	u32 block = 1u << cmd->dev->shift, part, i, n;
	size_t done;
	int err;

	for (; len; at += part, len -= part) {
		part = len < SCRATCH ? (u32)len : SCRATCH;
		err = lun_read(cmd->dev->lun, have, part, at, &done);
		if (err)
			return scsi_fail_read(cmd, err, at + done);
		for (i = 0; from && i < part; i += n) {
			n = part - i < block ? part - i : block;
			if (memcmp(have + i, from, n) != 0)
				return scsi_fail_lba(cmd, SCSI_MISCOMPARE, SCSI_ASC_MISCOMPARE,
						     (at + i + first_difference(have + i, from)) >> cmd->dev->shift);
			from += same ? 0 : n;
		}
	}
	return true;
}

static bool write_piece(struct scsi_cmd *cmd, u64 at, const void *from, size_t len)
{
	size_t done;
	int err = lun_write(cmd->dev->lun, from, len, base(cmd) + at, &done);

	return !err || scsi_fail_write(cmd, err, base(cmd) + at + done);
}

/* Of a list that is too long, only the header counts. */
static bool put_by(struct scsi_cmd *cmd, u64 at, const void *from, size_t len)
{
	if (at < SCSI_BUF)
		memcpy(cmd->buf + at, from, len < SCSI_BUF - at ? len : (size_t)(SCSI_BUF - at));
	return true;
}

/* BYTCHK: the medium is compared with what the initiator sends. */
static bool compares(const struct scsi_cmd *cmd)
{
	return (cmd->op->kind == KIND_VERIFY || cmd->op->kind == KIND_WRITE_VERIFY) && (cmd->cdb[1] >> 1 & 3) == 1;
}

bool scsi_write(struct scsi_cmd *cmd, u64 at, const void *from, size_t len)
{
	bool ok;

	if (!fits(cmd, SCSI_DATA_OUT, at, len))
		return false;
	if (!len)
		return true;
	switch (cmd->op->kind) {
	case KIND_WRITE:
		ok = write_piece(cmd, at, from, len);
		break;
	case KIND_WRITE_VERIFY:
		ok = write_piece(cmd, at, from, len) &&
		     (!compares(cmd) || compare(cmd, base(cmd) + at, len, (const u8 *)from, false));
		break;
	default:
		ok = compares(cmd) ? compare(cmd, base(cmd) + at, len, (const u8 *)from, false) :
				     put_by(cmd, at, from, len);
	}
	if (ok)
		cmd->moved += len;
	return ok;
}

/* FUA, for those commands that have it. */
static bool force(const struct scsi_cmd *cmd)
{
	return cmd->op->form != FORM_6 && cmd->cdb[1] & 0x08;
}

bool scsi_read_where(const struct scsi_cmd *cmd, u64 at, size_t len, u64 *where)
{
	if (force(cmd) || cmd->status != SCSI_GOOD || cmd->phase != SCSI_DATA_IN || len > cmd->expect ||
	    at > cmd->expect - len)
		return false;
	*where = base(cmd) + at;
	return true;
}

void scsi_read_there(struct scsi_cmd *cmd, size_t len)
{
	cmd->moved += len;
}

bool scsi_read_now(struct scsi_cmd *cmd, u64 at, void *to, size_t len)
{
	u64 where;

	if (!scsi_read_where(cmd, at, len, &where) || !lun_read_now(cmd->dev->lun, to, len, where))
		return false;
	cmd->moved += len;
	return true;
}

/* What was read with FUA is to be on the medium: if the cache has something newer, it goes there. */
void scsi_read_end(struct scsi_cmd *cmd)
{
	if (force(cmd))
		scsi_flush(cmd);
}

static bool through(const struct scsi_cmd *cmd)
{
	return !(scsi_load(&cmd->dev->modes) & SCSI_MODE_WCE);
}

void scsi_write_end(struct scsi_cmd *cmd)
{
	if (force(cmd) || through(cmd))
		scsi_flush(cmd);
}

/* All of the cache, whatever the range, and at once, whatever IMMED says: both are allowed. */
void scsi_sync_cache(struct scsi_cmd *cmd)
{
	scsi_flush(cmd);
}

/* What is compared is the medium, so what the cache has goes there first (SBC-3 5.26). */
void scsi_verify_end(struct scsi_cmd *cmd)
{
	bool one_block = (cmd->cdb[1] >> 1 & 3) == 3;

	if (scsi_flush(cmd) && !compares(cmd))
		compare(cmd, base(cmd), cmd->blocks << cmd->dev->shift, one_block ? cmd->buf : NULL, true);
}

/* What was written must be on the medium, and can be read; with BYTCHK it was compared when it was written (SBC-3 5.39). */
void scsi_write_verify_end(struct scsi_cmd *cmd)
{
	if (scsi_flush(cmd) && !compares(cmd))
		compare(cmd, base(cmd), cmd->expect, NULL, false);
}

/* SBC-3 5.2: the information field of MISCOMPARE is the byte of the data that differs. */
void scsi_compare_and_write(struct scsi_cmd *cmd)
{
	size_t len = (size_t)(cmd->length / 2), diff = 0;
	u8 *expected = cmd->buf, *new = cmd->buf + len;
	int err = lun_compare_and_write(cmd->dev->lun, expected, new, len, base(cmd), &diff);

	if (err == -EILSEQ)
		scsi_fail_lba(cmd, SCSI_MISCOMPARE, SCSI_ASC_MISCOMPARE, diff);
	else if (err)
		scsi_fail_write(cmd, err, base(cmd));
	else if (force(cmd) || through(cmd))
		scsi_flush(cmd);
}

static bool is_zero(const u8 *block, u32 size)
{
	return !block[0] && memcmp(block, block + 1, size - 1) == 0;
}

/* The block in cmd->buf, again and again. */
static bool fill(struct scsi_cmd *cmd)
{
	u32 block = 1u << cmd->dev->shift, i;
	u64 at = base(cmd), end = at + (cmd->blocks << cmd->dev->shift);
	u8 many[SCRATCH];
	size_t part, done;
	int err;

	for (i = 0; i < SCRATCH; i += block)
		memcpy(many + i, cmd->buf, block);
	for (; at < end; at += part) {
		part = end - at < SCRATCH ? (size_t)(end - at) : SCRATCH;
		err = lun_write(cmd->dev->lun, many, part, at, &done);
		if (err)
			return scsi_fail_write(cmd, err, at + done);
	}
	return true;
}

static bool zero(struct scsi_cmd *cmd, u64 lba, u64 blocks, bool punch)
{
	u32 shift = cmd->dev->shift;
	int err = lun_zero(cmd->dev->lun, lba << shift, blocks << shift, punch);

	return !err || scsi_fail_write(cmd, err, lba << shift);
}

void scsi_write_same_end(struct scsi_cmd *cmd)
{
	bool zeros = !cmd->length || is_zero(cmd->buf, 1u << cmd->dev->shift);
	bool ok = zeros ? zero(cmd, cmd->lba, cmd->blocks, cmd->cdb[1] & 0x08) : fill(cmd);
	if (ok && through(cmd))
		scsi_flush(cmd);
}

/* SBC-3 5.28: a header of eight bytes, then ranges of sixteen. All are checked before one is unmapped. */
void scsi_unmap(struct scsi_cmd *cmd)
{
	const u8 *b = cmd->buf;
	u32 len = (u32)cmd->length, size, i;

	if (!len)
		return;
	if (cmd->expect < len || len < 8) {
		scsi_fail(cmd, SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_LENGTH);
		return;
	}
	size = (u32)get_be(b + 2, 2);
	if (size > len - 8 || get_be(b, 2) + 2 < size + 8u) {
		scsi_fail(cmd, SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_LENGTH);
		return;
	}
	if (size / 16 > SCSI_UNMAP_MAX) {
		scsi_fail_field(cmd, SCSI_ASC_LIST_FIELD, 2, 0);
		return;
	}
	for (i = 8; i + 16 <= size + 8; i += 16)
		if (!scsi_range(cmd, get_be(b + i, 8), get_be(b + i + 8, 4)))
			return;
	for (i = 8; i + 16 <= size + 8; i += 16)
		if (!zero(cmd, get_be(b + i, 8), get_be(b + i + 8, 4), true))
			return;
	if (through(cmd))
		scsi_flush(cmd);
}

/* --- GET LBA STATUS --- */

/* The file system may have to read where its holes are. */
bool scsi_begin_waits(const u8 *cdb, u32 len)
{
	return len > 1 && cdb[0] == 0x9e && (cdb[1] & 0x1f) == 0x12;
}

#define STATUS_MAX 32u /* descriptors of one reply: each may cost the file system a look */

/* One descriptor, of @blocks at most (SBC-3 5.6). Return: its blocks, or 0: the command has failed */
static u64 put_status(struct scsi_cmd *cmd, u64 lba, u64 blocks, u8 *b)
{
	u32 shift = cmd->dev->shift;
	u64 bytes = blocks << shift, at = lba << shift;
	bool hole = false;
	int err = 0;

	/* Without provisioning management every block is mapped. */
	if (!cmd->dev->lun->read_only)
		err = lun_extent(cmd->dev->lun, at, &bytes, &hole);
	if (err) {
		scsi_fail_read(cmd, err, at);
		return 0;
	}
	put_be(b, 8, lba);
	put_be(b + 8, 4, bytes >> shift);
	b[12] = hole ? 1 : 0; /* deallocated, or mapped */
	return bytes >> shift;
}

/* At least one descriptor; more as far as there is room for them. */
u32 scsi_lba_status(struct scsi_cmd *cmd)
{
	u64 lba = cmd->lba, all = scsi_blocks(cmd->dev), blocks;
	u32 n = 8;

	do {
		blocks = all - lba < UINT32_MAX ? all - lba : UINT32_MAX;
		blocks = put_status(cmd, lba, blocks, cmd->buf + n);
		if (!blocks)
			return 0;
		lba += blocks;
		n += 16;
	} while (lba < all && n + 16 <= cmd->length && n < 8 + 16 * STATUS_MAX);
	put_be(cmd->buf, 4, n - 4);
	return n;
}
