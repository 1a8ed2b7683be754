/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The device server, but for data: what a CDB may say, replies, modes, sense in both
 * formats, unit attentions, and units that aren't there. Bytes are compared with the
 * layouts of SPC-4 and SBC-3.
 */
#include "scsi_fixture.h"

static u8 data[65536];

static void refuses_what_it_does_not_know(void **state)
{
	static const u8 known[] = { 0x00, 0x03, 0x08, 0x0a, 0x12, 0x15, 0x1a, 0x1b, 0x25, 0x28, 0x2a, 0x2e,
				    0x2f, 0x35, 0x41, 0x42, 0x55, 0x5a, 0x5e, 0x5f, 0x88, 0x89, 0x8a, 0x8e,
				    0x8f, 0x91, 0x93, 0x9e, 0xa0, 0xa3, 0xa8, 0xaa, 0xae, 0xaf };
	u32 op, next = 0;

	(void)state;
	for (op = 0; op < 256; op++) {
		u8 status = bed_run((const u8[16]){ (u8)op }, 16, data, sizeof(data));

		if (next < sizeof(known) && known[next] == op) {
			next++;
			if (status != SCSI_GOOD && bed_asc() == SCSI_ASC_OPCODE)
				fail_msg("operation code %02x is not known", op);
		} else {
			EXPECT_SENSE(status, SCSI_ILLEGAL_REQUEST, SCSI_ASC_OPCODE);
		}
	}
	EXPECT_SENSE(bed_run(NULL, 0, NULL, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_OPCODE);
}

/* For each command, a good CDB; each bit beside its usage data must be refused, and pointed to. */
static void refuses_each_reserved_bit(void **state)
{
	struct scsi_cmd cmd;
	u32 i, n, at, bits = 0;
	u8 all[4096], one[64];

	(void)state;
	EXPECT_GOOD(bed_run(CDB(0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x10), all, sizeof(all)));
	n = (u32)bed_be(all, 4) / 8;
	assert_int_equal(n, 45);
	for (i = 0; i < n; i++) {
		const u8 *row = all + 4 + 8 * i;
		u8 cdb[16] = { row[0], row[3] };
		u32 len = row[7];

		EXPECT_GOOD(bed_run(CDB(0xa3, 0x0c, 3, row[0], row[2], row[3], 0, 0, 0, 64), one, 64));
		assert_int_equal(one[1], 3);
		assert_int_equal(bed_be(one + 2, 2), len);
		assert_int_equal(one[4], row[0]);
		assert_true(scsi_parse(&cmd, &bed.dev, cdb, len) || cmd.sense.asc == SCSI_ASC_CDB_FIELD);
		for (at = 1; at < len; at++) {
			u32 bit;

			for (bit = 0; bit < 8; bit++) {
				u8 bad[16];

				memcpy(bad, cdb, 16);
				bad[at] |= 1u << bit;
				if (one[4 + at] >> bit & 1 || (row[5] & 1 && at == 1 && bit < 5))
					continue;
				EXPECT_SENSE(bed_run(bad, 16, data, sizeof(data)), SCSI_ILLEGAL_REQUEST,
					     SCSI_ASC_CDB_FIELD);
				bed_expect_field(at, (int)bit, true);
				bits++;
			}
		}
		/* A CDB that ends too soon. */
		EXPECT_SENSE(bed_run(cdb, len - 1, data, sizeof(data)), SCSI_ILLEGAL_REQUEST, SCSI_ASC_CDB_FIELD);
		bed_expect_field(len - 1, -1, true);
	}
	assert_true(bits > 500);
}

/* What is wrong in itself, or together with other fields. */
static void refuses_wrong_fields(void **state)
{
	static const struct {
		u8 cdb[16];
		u32 at;
		int bit;
	} rows[] = {
		{ { 0x12, 0, 0x80, 0, 255 }, 2, -1 }, /* a page without EVPD */
		{ { 0x12, 1, 0x84, 0, 255 }, 2, -1 }, /* no such page */
		{ { 0x1a, 0, 0x01, 0, 255 }, 2, 5 },
		{ { 0x1a, 0, 0x08, 1, 255 }, 3, -1 }, /* no such subpage */
		{ { 0x1a, 0, 0x01, 0xff, 255 }, 2, 5 }, /* all subpages of no page */
		{ { 0x1a, 0, 0x08, 0xfe, 255 }, 3, -1 },
		{ { 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9 }, 13, -1 }, /* more than the Block Limits page says */
		{ { 0x2e, 0x04, 0, 0, 0, 0, 0, 0, 1 }, 1, 2 }, /* BYTCHK 2 */
		{ { 0x5a, 0, 0x3f, 0xfe, 0, 0, 0, 0, 255 }, 3, -1 },
		{ { 0x28, 0x20, 0, 0, 0, 0, 0, 0, 1 }, 1, 5 }, /* RDPROTECT */
		{ { 0x2a, 0x02, 0, 0, 0, 0, 0, 0, 1 }, 1, 1 }, /* FUA_NV */
		{ { 0x28, 0, 0, 0, 0, 0, 0x1f, 0, 1 }, 6, 4 }, /* group number */
		{ { 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0x04 }, 9, 2 }, /* NACA */
		{ { 0x2f, 0x04, 0, 0, 0, 0, 0, 0, 1 }, 1, 2 }, /* BYTCHK 2 */
		{ { 0x41, 0, 0, 0, 0, 0, 0, 0, 0 }, 7, -1 }, /* WRITE SAME of none, as WSNZ says */
		{ { 0x93, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 }, 1, 4 }, /* ANCHOR */
		{ { 0x42, 0x01, 0, 0, 0, 0, 0, 0, 24 }, 1, 0 },
		{ { 0x55, 0x10, 0, 0, 0, 0, 0, 0xff, 0xff }, 7, -1 },
		{ { 0x15, 0x11, 0, 0, 0 }, 1, 0 }, /* pages can't be saved */
		{ { 0x15, 0x00, 0, 0, 0 }, 1, 4 }, /* PF */
		{ { 0x9e, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32 }, 1, 4 }, /* another service action */
		{ { 0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 255 }, 1, 4 },
		{ { 0xa0, 0, 3, 0, 0, 0, 0, 0, 0, 255 }, 2, -1 },
		{ { 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 15 }, 6, -1 }, /* less than 16 bytes */
		{ { 0xa3, 0x0c, 4, 0, 0, 0, 0, 0, 0, 255 }, 2, 2 },
		{ { 0xa3, 0x0c, 1, 0x9e, 0, 0, 0, 0, 0, 255 }, 2, 2 },
		{ { 0xa3, 0x0c, 2, 0x28, 0, 0, 0, 0, 0, 255 }, 2, 2 },
		{ { 0x1b, 0, 0, 0, 0x11 }, 4, 4 }, /* a power condition */
		{ { 0x1b, 0, 0, 0, 0x02 }, 4, 1 }, /* eject */
	};
	u32 i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		EXPECT_SENSE(bed_run(rows[i].cdb, 16, data, sizeof(data)), SCSI_ILLEGAL_REQUEST, SCSI_ASC_CDB_FIELD);
		bed_expect_field(rows[i].at, rows[i].bit, true);
	}
	EXPECT_SENSE(bed_run(CDB(0x1a, 0, 0xc8, 0, 255), data, 255), SCSI_ILLEGAL_REQUEST, SCSI_ASC_SAVING);
}

static void says_who_it_is(void **state)
{
	(void)state;
	EXPECT_GOOD(bed_run(CDB(0x12, 0, 0, 0, 255), data, 255));
	assert_int_equal(bed.length, 96);
	assert_int_equal(data[0], 0);
	assert_int_equal(data[2], 6);
	assert_int_equal(data[3] & 0x0f, 2);
	assert_int_equal(data[4], 91);
	assert_int_equal(data[7], 2);
	assert_memory_equal(data + 8, "SOFTHCA FILE DISK       0001", 28);
	assert_int_equal(bed_be(data + 60, 2), 0x0940);

	/* The allocation length cuts it, and is no residual. */
	memset(data, 0xaa, 96);
	EXPECT_GOOD(bed_run(CDB(0x12, 0, 0, 0, 36), data, 255));
	assert_int_equal(bed.length, 36);
	assert_int_equal(data[4], 91);
	assert_int_equal(data[36], 0xaa);
	EXPECT_GOOD(bed_run(CDB(0x12, 0, 0, 0, 0), data, 255));
	assert_int_equal(bed.length, 0);
	assert_int_equal(bed.phase, SCSI_NO_DATA);
}

static void has_vital_product_data(void **state)
{
	u32 i;

	(void)state;
	EXPECT_GOOD(bed_run(CDB(0x12, 1, 0, 0, 255), data, 255));
	assert_int_equal(bed.length, 4 + 6);
	assert_memory_equal(data, ((u8[]){ 0, 0, 0, 6, 0, 0x80, 0x83, 0xb0, 0xb1, 0xb2 }), 10);
	for (i = 4; i < 10; i++) {
		u8 page[256], code = data[i];

		EXPECT_GOOD(bed_run(CDB(0x12, 1, code, 0, 255), page, 255));
		assert_int_equal(page[1], code);
		assert_int_equal(bed.length, 4 + bed_be(page + 2, 2));
	}
	EXPECT_GOOD(bed_run(CDB(0x12, 1, 0x80, 0, 255), data, 255));
	assert_int_equal(data[3], 16);
	assert_memory_equal(data + 4, bed.lun.serial, 16);

	EXPECT_GOOD(bed_run(CDB(0x12, 1, 0x83, 0, 255), data, 255));
	assert_memory_equal(data + 4, ((u8[]){ 1, 3, 0, 8 }), 4);
	assert_int_equal(data[8] >> 4, 3);
	assert_int_equal(bed_be(data + 8, 8), 3ull << 60 | bed.lun.id);
	assert_memory_equal(data + 16, ((u8[]){ 2, 1, 0, 40 }), 4);
	assert_memory_equal(data + 20, "SOFTHCA ", 8);
	assert_memory_equal(data + 44, bed.lun.serial, 16);

	EXPECT_GOOD(bed_run(CDB(0x12, 1, 0xb0, 0, 255), data, 255));
	assert_int_equal(bed.length, 64);
	assert_int_equal(data[4], 1);
	assert_int_equal(bed_be(data + 8, 4), 0xffffffffu / 512);
	assert_int_equal(bed_be(data + 20, 4), 0xffffffff);
	assert_int_equal(bed_be(data + 24, 4), 255);
	assert_int_equal(bed_be(data + 28, 4), 8);
	assert_int_equal(bed_be(data + 36, 8), (1u << 30) / 512);

	EXPECT_GOOD(bed_run(CDB(0x12, 1, 0xb1, 0, 255), data, 255));
	assert_int_equal(bed.length, 64);
	assert_int_equal(bed_be(data + 4, 2), 1);

	EXPECT_GOOD(bed_run(CDB(0x12, 1, 0xb2, 0, 255), data, 255));
	assert_memory_equal(data, ((u8[]){ 0, 0xb2, 0, 4, 0, 0xe4, 2, 0 }), 8);
}

static void tells_its_capacity(void **state)
{
	static u8 byte;

	(void)state;
	EXPECT_GOOD(bed_run(CDB(0x25), data, 8));
	assert_int_equal(bed.length, 8);
	assert_memory_equal(data, ((u8[]){ 0, 0, 1, 0xff, 0, 0, 2, 0 }), 8);
	EXPECT_GOOD(bed_run(CDB(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32), data, 32));
	assert_int_equal(bed.length, 32);
	assert_int_equal(bed_be(data, 8), BED_BLOCKS - 1);
	assert_int_equal(bed_be(data + 8, 4), 512);
	assert_int_equal(data[13], 3);
	assert_int_equal(data[14], 0xc0);
	bed_end(NULL);

	bed_open(4096, true);
	EXPECT_GOOD(bed_run(CDB(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12), data, 32));
	assert_int_equal(bed.length, 12);
	assert_int_equal(bed_be(data + 8, 4), 4096);
	EXPECT_GOOD(bed_run(CDB(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32), data, 32));
	assert_int_equal(data[14], 0);
	EXPECT_GOOD(bed_run(CDB(0x12, 1, 0xb2, 0, 255), data, 255));
	assert_int_equal(data[5], 0);

	/* More blocks than ten bytes can name: none of them is touched. */
	bed_end(NULL);
	bed_open(512, false);
	bed_end(NULL);
	assert_int_equal(lun_ram_open(&bed.lun, &byte, 1ull << 45, 512, false), 0);
	scsi_device_init(&bed.dev, &bed.lun);
	EXPECT_GOOD(bed_run(CDB(0x25), data, 8));
	assert_int_equal(bed_be(data, 4), 0xffffffff);
	EXPECT_GOOD(bed_run(CDB(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32), data, 32));
	assert_int_equal(bed_be(data, 8), (1ull << 36) - 1);
	EXPECT_GOOD(bed_run(CDB(0x1a, 0, 0x08, 0, 255), data, 255));
	assert_int_equal(bed_be(data + 4, 4), 0xffffffff);
	bed.mem = NULL;
	bed.real = bed.lun.ops;
}

static void has_modes(void **state)
{
	u32 i;

	(void)state;
	EXPECT_GOOD(bed_run(CDB(0x1a, 0, 0x3f, 0, 255), data, 255));
	assert_int_equal(bed.length, 4 + 8 + 20 + 12);
	assert_memory_equal(data, ((u8[]){ 43, 0, 0x10, 8, 0, 0, 2, 0, 0, 0, 2, 0, 0x08, 0x12, 0x04 }), 15);
	assert_memory_equal(data + 32, ((u8[]){ 0x0a, 0x0a, 0x02, 0x10, 0, 0, 0, 0, 0xff, 0xff, 0, 0 }), 12);
	EXPECT_GOOD(bed_run(CDB(0x1a, 8, 0x48, 0, 255), data, 255)); /* changeable, no block descriptor */
	assert_int_equal(bed.length, 24);
	assert_memory_equal(data, ((u8[]){ 23, 0, 0x10, 0, 0x08, 0x12, 0x04, 0 }), 8);
	EXPECT_GOOD(bed_run(CDB(0x5a, 0x10, 0x8a, 0, 0, 0, 0, 1, 0), data, 256)); /* default, long descriptor */
	assert_int_equal(bed.length, 8 + 16 + 12);
	assert_memory_equal(data, ((u8[]){ 0, 34, 0, 0x10, 1, 0, 0, 16, 0, 0, 0, 0, 0, 0, 2, 0 }), 16);
	assert_int_equal(bed_be(data + 20, 4), 512);
	EXPECT_GOOD(bed_run(CDB(0x5a, 0, 0x3f, 0xff, 0, 0, 0, 0, 12), data, 256));
	assert_int_equal(bed.length, 12);
	assert_int_equal(bed_be(data, 2), 8 + 8 + 32 - 2);
	/* FFh: all subpages of one page, which is the page (SPC-4 table 163). */
	EXPECT_GOOD(bed_run(CDB(0x1a, 8, 0x08, 0xff, 255), data, 255));
	assert_int_equal(bed.length, 24);
	assert_memory_equal(data, ((u8[]){ 23, 0, 0x10, 0, 0x08, 0x12, 0x04, 0 }), 8);
	EXPECT_GOOD(bed_run(CDB(0x5a, 8, 0x0a, 0xff, 0, 0, 0, 0, 255), data, 255));
	assert_int_equal(bed.length, 8 + 12);
	assert_int_equal(data[8], 0x0a);
	for (i = 0; i < 2; i++) {
		bed_end(NULL);
		bed_open(512, i);
		EXPECT_GOOD(bed_run(CDB(0x1a, 8, 0x3f, 0, 4), data, 4));
		assert_int_equal(data[2], i ? 0x90 : 0x10);
	}
}

static void modes_can_be_changed(void **state)
{
	u8 list[] = { 0, 0, 0, 8, 0, 0, 2, 0, 0, 0, 2, 0, 0x08, 0x12, 0, 0,
		      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,	0,    0, 0 };
	u8 control[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0x0a, 0x06, 0x10, 0, 0, 0, 0, 0xff, 0xff, 0, 0 };
	u8 sense[SCSI_SENSE_MAX];

	(void)state;
	/* Write through: what is in the cache is flushed, and each write from now on. */
	EXPECT_GOOD(bed_run(CDB(0x15, 0x10, 0, 0, sizeof(list)), list, sizeof(list)));
	assert_int_equal(bed.faults.syncs, 1);
	EXPECT_GOOD(bed_run(CDB(0x1a, 8, 0x08, 0, 255), data, 255));
	assert_int_equal(data[6], 0);
	EXPECT_GOOD(bed_run(CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1), data, 512));
	assert_int_equal(bed.faults.syncs, 2);
	/* The other connection is told, once. */
	EXPECT_SENSE(bed_run_on(&bed.other, 0, CDB(0), NULL, 0), SCSI_UNIT_ATTENTION, SCSI_ASC_MODE_CHANGED);
	EXPECT_GOOD(bed_run_on(&bed.other, 0, CDB(0), NULL, 0));
	EXPECT_GOOD(bed_run(CDB(0x15, 0x10, 0, 0, sizeof(list)), list, sizeof(list)));
	EXPECT_GOOD(bed_run_on(&bed.other, 0, CDB(0), NULL, 0));

	/* Descriptor sense. */
	EXPECT_GOOD(bed_run(CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, sizeof(control)), control, sizeof(control)));
	assert_int_equal(bed_run(CDB(0x28, 0, 0, 0, 2, 0, 0, 0, 1), data, 512), SCSI_CHECK_CONDITION);
	assert_int_equal(bed.sense_len, 20);
	assert_memory_equal(bed.sense,
			    ((u8[]){ 0x72, 5, 0x21, 0, 0, 0, 0, 12, 0, 10, 0x80, 0, 0, 0, 0, 0, 0, 0, 2, 0 }), 20);
	assert_int_equal(bed_run(CDB(0x28, 1), data, 512), SCSI_CHECK_CONDITION);
	memcpy(sense, ((u8[]){ 0x72, 5, 0x24, 0, 0, 0, 0, 8, 2, 6, 0, 0, 0xc8, 0, 1, 0 }), 16);
	assert_int_equal(bed.sense_len, 16);
	assert_memory_equal(bed.sense, sense, 16);
	/* A reset brings the defaults back. */
	scsi_device_reset(&bed.dev);
	EXPECT_SENSE(bed_run(CDB(0), NULL, 0), SCSI_UNIT_ATTENTION, SCSI_ASC_RESET);
	EXPECT_GOOD(bed_run(CDB(0x1a, 8, 0x08, 0, 255), data, 255));
	assert_int_equal(data[6], 4);
}

static void refuses_wrong_mode_lists(void **state)
{
	static const struct {
		u8 len;
		u8 list[40];
		int at, bit; /* -1: the length */
	} rows[] = {
		{ 3, { 0 }, -1, 0 },
		{ 5, { 0, 0, 0, 8 }, -1, 0 }, /* a descriptor that isn't there */
		{ 5, { 0, 0, 0, 0, 0x08 }, -1, 0 }, /* half a page */
		{ 23, { 0, 0, 0, 0, 0x08, 0x12, 0x04 }, -1, 0 },
		{ 8, { 0, 0, 0, 4 }, 3, -1 }, /* a descriptor of four bytes */
		{ 12, { 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 2, 0 }, 4, -1 }, /* another capacity */
		{ 12, { 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 4, 0 }, 9, -1 }, /* another block size */
		{ 24, { 0, 0, 0, 0, 0x08, 0x12, 0x05 }, 6, 0 }, /* what can't be changed */
		{ 24, { 0, 0, 0, 0, 0x08, 0x12, 0x04, 0, 0, 0x40 }, 9, 6 },
		{ 24, { 0, 0, 0, 0, 0x01, 0x12, 0x04 }, 4, -1 }, /* no such page */
		{ 26, { 0, 0, 0, 0, 0x08, 0x14, 0x04 }, 5, -1 }, /* of another length */
	};
	u32 i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(data, rows[i].list, sizeof(rows[i].list));
		EXPECT_SENSE(bed_run(CDB(0x15, 0x10, 0, 0, rows[i].len), data, sizeof(data)), SCSI_ILLEGAL_REQUEST,
			     rows[i].at < 0 ? SCSI_ASC_LIST_LENGTH : SCSI_ASC_LIST_FIELD);
		if (rows[i].at >= 0)
			bed_expect_field((u32)rows[i].at, rows[i].bit, false);
	}
	/* One bad page, and the good one before it isn't done either. */
	memset(data, 0, 64);
	data[4] = 0x08, data[5] = 0x12, data[24] = 0x3e;
	EXPECT_SENSE(bed_run(CDB(0x15, 0x10, 0, 0, 28), data, 28), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_FIELD);
	EXPECT_GOOD(bed_run(CDB(0x1a, 8, 0x08, 0, 255), data, 255));
	assert_int_equal(data[6], 4);
	/* The initiator sends less than it says. */
	EXPECT_SENSE(bed_run(CDB(0x15, 0x10, 0, 0, 24), data, 23), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_LENGTH);
	EXPECT_GOOD(bed_run(CDB(0x15, 0x10, 0, 0, 0), data, 0));
}

static void has_one_unit(void **state)
{
	static const u8 flat[8] = { 0x40 }, far[8] = { 0, 0, 0, 1 }, well_known[8] = { 0xc1, 1 };
	struct scsi_cmd cmd;
	u32 len, i;

	(void)state;
	EXPECT_GOOD(bed_run(CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 255), data, 255));
	assert_int_equal(bed.length, 16);
	assert_memory_equal(data, ((u8[16]){ 0, 0, 0, 8 }), 16);
	EXPECT_GOOD(bed_run(CDB(0xa0, 0, 2, 0, 0, 0, 0, 0, 0, 16), data, 255));
	assert_int_equal(bed.length, 16);
	EXPECT_GOOD(bed_run(CDB(0xa0, 0, 1, 0, 0, 0, 0, 0, 0, 255), data, 255));
	assert_int_equal(bed.length, 8);
	assert_int_equal(bed_be(data, 8), 0);

	EXPECT_SENSE(bed_run_on(&bed.nexus, 1, CDB(0), NULL, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LUN);
	EXPECT_SENSE(bed_run_on(&bed.nexus, 1, CDB(0x28), data, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LUN);
	EXPECT_GOOD(bed_run_on(&bed.nexus, 1, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 255), data, 255));
	assert_int_equal(bed.length, 16);
	EXPECT_GOOD(bed_run_on(&bed.nexus, 1, CDB(0x12, 0, 0, 0, 255), data, 255));
	assert_int_equal(data[0], 0x7f);
	EXPECT_GOOD(bed_run_on(&bed.nexus, 1, CDB(0x12, 1, 0, 0, 255), data, 255));
	assert_int_equal(bed.length, 5);
	assert_memory_equal(data, ((u8[]){ 0x7f, 0, 0, 1, 0 }), 5);
	EXPECT_SENSE(bed_run_on(&bed.nexus, 1, CDB(0x12, 1, 0x80, 0, 255), data, 255), SCSI_ILLEGAL_REQUEST,
		     SCSI_ASC_CDB_FIELD);
	EXPECT_GOOD(bed_run_on(&bed.nexus, 1, CDB(3, 0, 0, 0, 255), data, 255));
	assert_int_equal(data[2], SCSI_ILLEGAL_REQUEST);
	assert_int_equal(bed_be(data + 12, 2), SCSI_ASC_LUN);

	for (i = 0; i < 3; i++) {
		scsi_begin(&cmd, &bed.nexus, i == 0 ? flat : i == 1 ? far : well_known, CDB(0), bed.buf);
		scsi_finish(&cmd, bed.sense, &len);
		assert_int_equal(cmd.status, i ? SCSI_CHECK_CONDITION : SCSI_GOOD);
	}
}

static void tells_of_power_on_and_reset(void **state)
{
	struct scsi_nexus fresh;

	(void)state;
	scsi_nexus_init(&fresh, &bed.dev);
	/* These three are answered, and REQUEST SENSE takes the attention. */
	EXPECT_GOOD(bed_run_on(&fresh, 0, CDB(0x12, 0, 0, 0, 36), data, 36));
	EXPECT_GOOD(bed_run_on(&fresh, 0, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16), data, 16));
	EXPECT_GOOD(bed_run_on(&fresh, 0, CDB(3, 0, 0, 0, 252), data, 252));
	assert_int_equal(bed.length, 18);
	assert_int_equal(data[0], 0x70);
	assert_int_equal(data[2], SCSI_UNIT_ATTENTION);
	assert_int_equal(bed_be(data + 12, 2), SCSI_ASC_POWER_ON);
	EXPECT_GOOD(bed_run_on(&fresh, 0, CDB(3, 1, 0, 0, 252), data, 252));
	assert_int_equal(bed.length, 8);
	assert_memory_equal(data, ((u8[8]){ 0x72 }), 8);
	EXPECT_GOOD(bed_run_on(&fresh, 0, CDB(0), NULL, 0));

	/* Others tell of it by failing once, even what has a mistake. */
	scsi_nexus_init(&fresh, &bed.dev);
	EXPECT_SENSE(bed_run_on(&fresh, 0, CDB(0xff), NULL, 0), SCSI_UNIT_ATTENTION, SCSI_ASC_POWER_ON);
	EXPECT_SENSE(bed_run_on(&fresh, 0, CDB(0xff), NULL, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_OPCODE);
	scsi_device_reset(&bed.dev);
	EXPECT_SENSE(bed_run_on(&fresh, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1), data, 512), SCSI_UNIT_ATTENTION,
		     SCSI_ASC_RESET);
	assert_int_equal(bed.length, 0);
	EXPECT_GOOD(bed_run_on(&fresh, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1), data, 512));
	EXPECT_SENSE(bed_run(CDB(0), NULL, 0), SCSI_UNIT_ATTENTION, SCSI_ASC_RESET);
}

static void can_be_stopped(void **state)
{
	(void)state;
	EXPECT_GOOD(bed_run(CDB(0x1b, 1, 0, 0, 0), NULL, 0));
	assert_int_equal(bed.faults.syncs, 1);
	EXPECT_SENSE(bed_run(CDB(0), NULL, 0), SCSI_NOT_READY, SCSI_ASC_STOPPED);
	EXPECT_SENSE(bed_run(CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1), data, 512), SCSI_NOT_READY, SCSI_ASC_STOPPED);
	EXPECT_GOOD(bed_run(CDB(0x12, 0, 0, 0, 36), data, 36));
	EXPECT_GOOD(bed_run(CDB(3, 0, 0, 0, 18), data, 18));
	assert_int_equal(bed_be(data + 12, 2), SCSI_ASC_STOPPED);
	EXPECT_GOOD(bed_run(CDB(0x1b, 0, 0, 0, 1), NULL, 0));
	EXPECT_GOOD(bed_run(CDB(0), NULL, 0));
	EXPECT_GOOD(bed_run(CDB(0x1b, 0, 0, 0, 4), NULL, 0)); /* NO_FLUSH */
	assert_int_equal(bed.faults.syncs, 1);
	scsi_device_reset(&bed.dev);
	EXPECT_SENSE(bed_run(CDB(0), NULL, 0), SCSI_UNIT_ATTENTION, SCSI_ASC_RESET);
	EXPECT_GOOD(bed_run(CDB(0), NULL, 0));
	bed.faults.sync_at = 1;
	bed.faults.err = -EIO;
	EXPECT_SENSE(bed_run(CDB(0x1b, 0, 0, 0, 0), NULL, 0), SCSI_MEDIUM_ERROR, SCSI_ASC_WRITE_ERROR);
	EXPECT_GOOD(bed_run(CDB(0), NULL, 0)); /* and goes on */
}

static void names_its_commands(void **state)
{
	(void)state;
	EXPECT_GOOD(bed_run(CDB(0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 0x10), data, 4096));
	assert_int_equal(bed.length, 4 + 45 * 20);
	assert_memory_equal(data + 4, ((u8[]){ 0, 0, 0, 0, 0, 2, 0, 6, 0, 10 }), 10);
	EXPECT_GOOD(bed_run(CDB(0xa3, 0x0c, 2, 0x9e, 0, 0x10, 0, 0, 0, 255), data, 255));
	assert_int_equal(bed.length, 20);
	assert_memory_equal(data, ((u8[]){ 0, 3, 0, 16, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0xff }), 15);
	EXPECT_GOOD(bed_run(CDB(0xa3, 0x0c, 0x81, 0x28, 0, 0, 0, 0, 0, 255), data, 255));
	assert_int_equal(bed.length, 4 + 10 + 12);
	assert_memory_equal(
		data, ((u8[]){ 0, 0x83, 0, 10, 0x28, 0x18, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0, 0, 10 }), 16);
	EXPECT_GOOD(bed_run(CDB(0xa3, 0x0c, 1, 0x5d, 0, 0, 0, 0, 0, 255), data, 255));
	assert_int_equal(data[1], 1);
	EXPECT_GOOD(bed_run(CDB(0xa3, 0x0c, 2, 0x9e, 0, 0x12, 0, 0, 0, 255), data, 255));
	assert_memory_equal(data, ((u8[]){ 0, 3, 0, 16, 0x9e, 0x12, 0xff }), 7);
	EXPECT_GOOD(bed_run(CDB(0xa3, 0x0c, 2, 0x9e, 0, 0x13, 0, 0, 0, 255), data, 255));
	assert_int_equal(data[1], 1);
	EXPECT_GOOD(bed_run(CDB(0xa3, 0x0c, 3, 0x28, 0, 1, 0, 0, 0, 255), data, 255));
	assert_int_equal(data[1], 1);
}

static void sense_has_two_formats(void **state)
{
	struct scsi_sense s = {
		.key = SCSI_MEDIUM_ERROR, .asc = SCSI_ASC_READ_ERROR, .info_valid = true, .info = 0x123456
	};
	u8 out[SCSI_SENSE_MAX];

	(void)state;
	assert_int_equal(scsi_sense_encode(&s, false, out), 18);
	assert_memory_equal(out, ((u8[18]){ 0xf0, 0, 3, 0, 0x12, 0x34, 0x56, 10, 0, 0, 0, 0, 0x11 }), 18);
	s.info = 1ull << 32;
	assert_int_equal(scsi_sense_encode(&s, false, out), 18);
	assert_memory_equal(out, ((u8[18]){ 0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x11 }), 18);
	s.sks_valid = true;
	s.field = 0x102;
	assert_int_equal(scsi_sense_encode(&s, true, out), 28);
	assert_memory_equal(out, ((u8[28]){ 0x72, 3, 0x11, 0, 0, 0, 0, 20, 0, 10, 0x80, 0, 0, 0,
					    0,	  1, 0,	   0, 0, 0, 2, 6,  0, 0,  0x80, 1, 2, 0 }),
			    28);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bed_begin, bed_end)
	const struct CMUnitTest tests[] = {
		TEST(refuses_what_it_does_not_know),
		TEST(refuses_each_reserved_bit),
		TEST(refuses_wrong_fields),
		TEST(says_who_it_is),
		TEST(has_vital_product_data),
		TEST(tells_its_capacity),
		TEST(has_modes),
		TEST(modes_can_be_changed),
		TEST(refuses_wrong_mode_lists),
		TEST(has_one_unit),
		TEST(tells_of_power_on_and_reset),
		TEST(can_be_stopped),
		TEST(names_its_commands),
		TEST(sense_has_two_formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
