/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * INQUIRY: who we are (SPC-4 6.6) and the vital product data pages (SPC-4 7.8,
 * SBC-3 6.5). A page is a row in a table; page 00h lists the table.
 */
#include "scsi_private.h"

#define VENDOR "SOFTHCA "
#define PRODUCT "FILE DISK       "
#define REVISION "0001"
#define ABSENT 0x7f /* a logical unit that isn't there, and of which we know no kind */

/* Fields of text have a fixed length and no 0 at their end. */
static void put_text(u8 *out, const char *text)
{
	while (*text)
		*out++ = (u8)*text++;
}

static u32 standard(const struct scsi_cmd *cmd)
{
	static const u16 versions[] = { 0x00a0, 0x0940, 0x0460, 0x04c0 }; /* SAM-5, SRP, SPC-4, SBC-3 */
	u8 *b = cmd->buf;
	u32 i;

	b[0] = cmd->absent ? ABSENT : 0;
	b[2] = 6; /* SPC-4 */
	b[3] = 0x12; /* HISUP, response format 2 */
	b[4] = 96 - 5;
	b[7] = 0x02; /* CMDQUE */
	put_text(b + 8, VENDOR);
	put_text(b + 16, PRODUCT);
	put_text(b + 32, REVISION);
	for (i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		put_be(b + 58 + 2 * i, 2, versions[i]);
	return 96;
}

static u32 page_serial(const struct lun *lun, u8 *b)
{
	memcpy(b, lun->serial, LUN_SERIAL_LEN);
	return LUN_SERIAL_LEN;
}

/* Two names: locally assigned NAA, and the vendor's. */
static u32 page_identification(const struct lun *lun, u8 *b)
{
	b[0] = 1; /* binary */
	b[1] = 3; /* NAA */
	b[3] = 8;
	put_be(b + 4, 8, 3ull << 60 | lun->id);
	b += 12;
	b[0] = 2; /* ASCII */
	b[1] = 1; /* T10 vendor identification */
	b[3] = 8 + 16 + LUN_SERIAL_LEN;
	put_text(b + 4, VENDOR PRODUCT);
	memcpy(b + 28, lun->serial, LUN_SERIAL_LEN);
	return 12 + 4 + 8 + 16 + LUN_SERIAL_LEN;
}

static u32 page_limits(const struct lun *lun, u8 *b)
{
	b[0] = 1; /* WSNZ */
	b[1] = (u8)(lun->read_only ? 0 : SCSI_COMPARE_MAX / lun->block_size);
	put_be(b + 2, 2, 4096 / lun->block_size); /* optimal granularity: a page of the cache */
	put_be(b + 4, 4, UINT32_MAX / lun->block_size);
	put_be(b + 8, 4, (1u << 20) / lun->block_size); /* optimal length */
	if (!lun->read_only) {
		put_be(b + 16, 4, UINT32_MAX); /* blocks of one UNMAP: as many as its ranges can name */
		put_be(b + 20, 4, SCSI_UNMAP_MAX);
		put_be(b + 24, 4, 4096 / lun->block_size);
		put_be(b + 32, 8, SCSI_WRITE_SAME_MAX / lun->block_size);
	}
	return 60;
}

static u32 page_characteristics(const struct lun *lun, u8 *b)
{
	(void)lun;
	b[1] = 1; /* does not rotate */
	return 60;
}

static u32 page_provisioning(const struct lun *lun, u8 *b)
{
	if (!lun->read_only) {
		b[1] = 0x80 | 0x40 | 0x20 | 0x04; /* LBPU, LBPWS, LBPWS10; unmapped blocks read as zeros */
		b[2] = 2; /* thin */
	}
	return 4;
}

static u32 page_list(const struct lun *lun, u8 *b);

static const struct {
	u8 code;
	u32 (*fill)(const struct lun *lun, u8 *b);
} pages[] = {
	{ 0x00, page_list },   { 0x80, page_serial },	       { 0x83, page_identification },
	{ 0xb0, page_limits }, { 0xb1, page_characteristics }, { 0xb2, page_provisioning },
};

#define PAGES (sizeof(pages) / sizeof(pages[0]))

static u32 page_list(const struct lun *lun, u8 *b)
{
	u32 i;

	(void)lun;
	for (i = 0; i < PAGES; i++)
		b[i] = pages[i].code;
	return PAGES;
}

u32 scsi_inquiry(struct scsi_cmd *cmd)
{
	u8 *b = cmd->buf;
	u32 i, n;

	if (!(cmd->cdb[1] & 1)) {
		if (!cmd->cdb[2])
			return standard(cmd);
		return scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, 2, 0xff);
	}
	for (i = 0; i < PAGES; i++) {
		if (pages[i].code != cmd->cdb[2] || (cmd->absent && i))
			continue;
		/* Where no unit is, the list names itself alone. */
		n = cmd->absent ? 1 : pages[i].fill(cmd->dev->lun, b + 4);
		b[0] = cmd->absent ? ABSENT : 0;
		b[1] = pages[i].code;
		put_be(b + 2, 2, n);
		return 4 + n;
	}
	return scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, 2, 0xff);
}
