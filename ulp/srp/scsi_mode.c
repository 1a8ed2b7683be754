/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * MODE SENSE and MODE SELECT (SPC-4 6.11, 6.9): the caching and the control page. Two
 * bits can be changed: whether writes may stay in the cache, and the format of sense
 * data. They are the device's, so all connections get a unit attention for a change.
 */
#include "scsi_private.h"

enum control { CURRENT, CHANGEABLE, DEFAULT, SAVED };

#define ALL_PAGES 0x3f
#define DPOFUA 0x10
#define WP 0x80

/* Byte 2 of a page has its one bit that can be changed. */
static const struct page {
	u8 body[20];
	u8 len;
	u8 bit;
	u8 mode;
} pages[] = {
	/* Caching (SBC-3 6.4.5). */
	{ .body = { 0x08, 0x12 }, .len = 20, .bit = 0x04, .mode = SCSI_MODE_WCE },
	/* Control (SPC-4 7.5.8): GLTSD, commands in any order; a command may be busy for any time. */
	{ .body = { 0x0a, 0x0a, 0x02, 0x10, 0, 0, 0, 0, 0xff, 0xff },
	  .len = 12,
	  .bit = 0x04,
	  .mode = SCSI_MODE_D_SENSE },
};

#define PAGES (sizeof(pages) / sizeof(pages[0]))

static u32 put_page(const struct page *p, enum control control, u32 modes, u8 *b)
{
	if (control == CHANGEABLE) {
		memcpy(b, p->body, 2);
		b[2] = p->bit;
		return p->len;
	}
	memcpy(b, p->body, p->len);
	if ((control == DEFAULT ? SCSI_MODE_WCE : modes) & p->mode)
		b[2] |= p->bit;
	return p->len;
}

/* SBC-3 6.4.2: how many blocks of which size. */
static u32 put_block_descriptor(const struct scsi_device *dev, bool is_long, u8 *b)
{
	u64 blocks = scsi_blocks(dev);

	if (is_long) {
		put_be(b, 8, blocks);
		put_be(b + 12, 4, dev->lun->block_size);
		return 16;
	}
	put_be(b, 4, blocks < UINT32_MAX ? blocks : UINT32_MAX);
	put_be(b + 5, 3, dev->lun->block_size);
	return 8;
}

u32 scsi_mode_sense(struct scsi_cmd *cmd)
{
	bool is_10 = cmd->op->len == 10, is_long = is_10 && cmd->cdb[1] & 0x10;
	enum control control = (enum control)(cmd->cdb[2] >> 6);
	u8 code = cmd->cdb[2] & 0x3f, sub = cmd->cdb[3];
	u32 n = is_10 ? 8 : 4, descriptors = 0, before, i;
	u32 modes = scsi_load(&cmd->dev->modes);
	u8 *b = cmd->buf;

	if (control == SAVED)
		return scsi_fail(cmd, SCSI_ILLEGAL_REQUEST, SCSI_ASC_SAVING);
	if (sub && sub != 0xff) /* SPC-4 6.11: FFh asks for all subpages; page 0 is the only one of each page */
		return scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, 3, 0xff);
	if (!(cmd->cdb[1] & 0x08)) /* DBD */
		descriptors = put_block_descriptor(cmd->dev, is_long, b + n);
	n += descriptors;
	before = n;
	for (i = 0; i < PAGES; i++)
		if (code == ALL_PAGES || code == pages[i].body[0])
			n += put_page(&pages[i], control, modes, b + n);
	if (n == before)
		return scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, 2, 0x3f);
	b[is_10 ? 3 : 2] = DPOFUA | (cmd->dev->lun->read_only ? WP : 0);
	if (is_10) {
		put_be(b, 2, n - 2);
		b[4] = is_long;
		put_be(b + 6, 2, descriptors);
	} else {
		b[0] = (u8)(n - 1);
		b[3] = (u8)descriptors;
	}
	return n;
}

/* A block descriptor may say again how things are, and nothing else. */
static bool select_blocks(struct scsi_cmd *cmd, u32 at, u32 len, bool is_long)
{
	const u8 *b = cmd->buf + at;
	u64 now = scsi_blocks(cmd->dev), blocks;
	u32 size;

	if (!len)
		return true;
	if (len != (is_long ? 16 : 8))
		return scsi_fail_field(cmd, SCSI_ASC_LIST_FIELD, cmd->op->len == 10 ? 6 : 3, 0);
	blocks = get_be(b, is_long ? 8 : 4);
	size = (u32)(is_long ? get_be(b + 12, 4) : get_be(b + 5, 3));
	if (blocks && blocks != now && blocks != (is_long ? UINT64_MAX : UINT32_MAX))
		return scsi_fail_field(cmd, SCSI_ASC_LIST_FIELD, at, 0);
	if (size != cmd->dev->lun->block_size)
		return scsi_fail_field(cmd, SCSI_ASC_LIST_FIELD, at + (is_long ? 12 : 5), 0);
	return true;
}

/* One page of the list against what it is now; @modes gets its bit. */
static bool select_page(struct scsi_cmd *cmd, u32 at, u32 *modes)
{
	const u8 *b = cmd->buf + at;
	const struct page *p = NULL;
	u8 now[20], wrong;
	u32 i;

	for (i = 0; i < PAGES; i++)
		if (b[0] == pages[i].body[0])
			p = &pages[i];
	if (!p)
		return scsi_fail_field(cmd, SCSI_ASC_LIST_FIELD, at, 0xff);
	if (b[1] != p->body[1])
		return scsi_fail_field(cmd, SCSI_ASC_LIST_FIELD, at + 1, 0xff);
	put_page(p, CURRENT, *modes, now);
	for (i = 2; i < p->len; i++) {
		wrong = (u8)((b[i] ^ now[i]) & ~(i == 2 ? p->bit : 0));
		if (wrong)
			return scsi_fail_field(cmd, SCSI_ASC_LIST_FIELD, at + i, wrong);
	}
	*modes = (*modes & ~p->mode) | (b[2] & p->bit ? p->mode : 0);
	return true;
}

/* The initiator that changes something knows of it; the others have a unit attention. */
static void change_modes(struct scsi_cmd *cmd, u32 modes)
{
	struct scsi_device *dev = cmd->dev;
	u32 n;

	if (__atomic_exchange_n(&dev->modes, modes, __ATOMIC_ACQ_REL) == modes)
		return;
	n = __atomic_fetch_add(&dev->mode_changes, 1, __ATOMIC_ACQ_REL);
	__atomic_compare_exchange_n(&cmd->nexus->mode_changes, &n, n + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* All of the list is looked at before any of it is done. */
void scsi_mode_select(struct scsi_cmd *cmd)
{
	bool is_10 = cmd->op->len == 10, is_long;
	u32 len = (u32)cmd->length, at = is_10 ? 8 : 4, descriptors;
	u32 modes = scsi_load(&cmd->dev->modes);
	const u8 *b = cmd->buf;

	if (!(cmd->cdb[1] & 0x10) || cmd->cdb[1] & 0x01) { /* PF; SP */
		scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, 1, cmd->cdb[1] & 0x01 ? 0x01 : 0x10);
		return;
	}
	if (!len)
		return;
	if (cmd->expect < len || len < at) {
		scsi_fail(cmd, SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_LENGTH);
		return;
	}
	is_long = is_10 && b[4] & 1;
	descriptors = is_10 ? (u32)get_be(b + 6, 2) : b[3];
	if (descriptors > len - at) {
		scsi_fail(cmd, SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_LENGTH);
		return;
	}
	if (!select_blocks(cmd, at, descriptors, is_long))
		return;
	for (at += descriptors; at < len; at += 2u + b[at + 1]) {
		if (len - at < 2 || len - at < 2u + b[at + 1]) {
			scsi_fail(cmd, SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_LENGTH);
			return;
		}
		if (!select_page(cmd, at, &modes))
			return;
	}
	/* Without a cache nothing may be left in it. */
	if (!(modes & SCSI_MODE_WCE) && !scsi_flush(cmd))
		return;
	change_modes(cmd, modes);
}
