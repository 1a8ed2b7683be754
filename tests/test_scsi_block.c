/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Commands that move or change blocks: each form of each of them against a model of
 * the disk, in whole and in pieces; ranges at and over the end; flushes; and every
 * error of a medium with the sense data that an initiator gets for it.
 */
#include "scsi_fixture.h"

#define END ((u64)BED_BLOCKS * bed.block)

static u8 data[BED_BLOCKS * 4096], model[BED_BLOCKS * 4096];

enum what { READ, WRITE, VERIFY, SYNC, SAME, WRITE_VERIFY };

/* What every command with blocks has in each of its lengths. */
static const struct form {
	enum what what;
	u8 op, len;
} forms[] = {
	{ READ, 0x08, 6 },	    { READ, 0x28, 10 },		{ READ, 0xa8, 12 },   { READ, 0x88, 16 },
	{ WRITE, 0x0a, 6 },	    { WRITE, 0x2a, 10 },	{ WRITE, 0xaa, 12 },  { WRITE, 0x8a, 16 },
	{ VERIFY, 0x2f, 10 },	    { VERIFY, 0xaf, 12 },	{ VERIFY, 0x8f, 16 }, { SYNC, 0x35, 10 },
	{ SYNC, 0x91, 16 },	    { SAME, 0x41, 10 },		{ SAME, 0x93, 16 },   { WRITE_VERIFY, 0x2e, 10 },
	{ WRITE_VERIFY, 0xae, 12 }, { WRITE_VERIFY, 0x8e, 16 },
};

#define FORMS (sizeof(forms) / sizeof(forms[0]))

static void put(u8 *p, u32 size, u64 v)
{
	while (size--) {
		p[size] = (u8)v;
		v >>= 8;
	}
}

static const u8 *cdb_of(const struct form *f, u64 lba, u64 blocks, u8 flags)
{
	static u8 cdb[16];

	memset(cdb, 0, sizeof(cdb));
	cdb[0] = f->op;
	switch (f->len) {
	case 6:
		put(cdb + 1, 3, lba);
		cdb[4] = (u8)blocks;
		return cdb;
	case 10:
		put(cdb + 2, 4, lba);
		put(cdb + 7, 2, blocks);
		break;
	case 12:
		put(cdb + 2, 4, lba);
		put(cdb + 6, 4, blocks);
		break;
	default:
		put(cdb + 2, 8, lba);
		put(cdb + 10, 4, blocks);
	}
	cdb[1] = flags;
	return cdb;
}

static u8 run(const struct form *f, u64 lba, u64 blocks, u8 flags)
{
	return bed_run(cdb_of(f, lba, blocks, flags), f->len, data, f->what == SAME ? bed.block : sizeof(data));
}

static const struct form *form_of(u8 op)
{
	u32 i;

	for (i = 0; forms[i].op != op; i++)
		assert_true(i + 1 < FORMS);
	return &forms[i];
}

static void with_sizes(void (*test)(void))
{
	static const size_t pieces[] = { 0, 4096, 700, 1 };
	u32 i, block;

	for (block = 512; block <= 4096; block *= 8)
		for (i = 0; i < 4; i++) {
			bed_end(NULL);
			bed_open(block, false);
			bed.piece = pieces[i];
			memcpy(model, bed.mem, END);
			test();
			assert_memory_equal(bed.mem, model, END);
		}
}

static void check_moves(void)
{
	u32 i, n;

	for (i = 0; i < FORMS; i++) {
		u64 lba = 3 + i, len = 5u * bed.block;

		for (n = 0; n < len; n++)
			data[n] = (u8)(n ^ n >> 8 ^ i);
		switch (forms[i].what) {
		case READ:
			EXPECT_GOOD(run(&forms[i], lba, 5, 0));
			assert_int_equal(bed.phase, SCSI_DATA_IN);
			assert_memory_equal(data, model + lba * bed.block, len);
			break;
		case WRITE:
		case WRITE_VERIFY:
			EXPECT_GOOD(run(&forms[i], lba, 5, forms[i].what == WRITE || i % 2 ? 0 : 0x02));
			assert_int_equal(bed.phase, SCSI_DATA_OUT);
			memcpy(model + lba * bed.block, data, len);
			break;
		case VERIFY:
			memcpy(data, model + lba * bed.block, len);
			EXPECT_GOOD(run(&forms[i], lba, 5, 0x02));
			assert_int_equal(bed.phase, SCSI_DATA_OUT);
			break;
		case SAME:
			EXPECT_GOOD(run(&forms[i], lba, 5, 0));
			for (n = 0; n < 5; n++)
				memcpy(model + (lba + n) * bed.block, data, bed.block);
			len = bed.block;
			break;
		case SYNC:
			EXPECT_GOOD(run(&forms[i], lba, 5, 0));
			len = 0;
			break;
		}
		assert_int_equal(bed.length, len);
	}
}

static void moves_blocks(void **state)
{
	(void)state;
	with_sizes(check_moves);
}

static void keeps_to_the_medium(void **state)
{
	u32 i;

	(void)state;
	memcpy(model, bed.mem, END);
	for (i = 0; i < FORMS; i++) {
		const struct form *f = &forms[i];
		u64 far = f->len == 6 ? 0x1fffff : f->len == 16 ? UINT64_MAX : UINT32_MAX;

		memcpy(data, bed.mem + END - 512, 512); /* writing it changes nothing */
		EXPECT_GOOD(run(f, BED_BLOCKS - 1, 1, 0));
		EXPECT_SENSE(run(f, BED_BLOCKS, 1, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LBA_RANGE);
		assert_int_equal(bed.length, 0);
		assert_int_equal(bed.sense[0], 0xf0);
		assert_int_equal(bed_be(bed.sense + 3, 4), BED_BLOCKS);
		EXPECT_SENSE(run(f, BED_BLOCKS - 1, 2, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LBA_RANGE);
		EXPECT_SENSE(run(f, far, 1, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LBA_RANGE);
		EXPECT_SENSE(run(f, far, 2, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LBA_RANGE);
		if (f->len == 6) {
			EXPECT_SENSE(run(f, BED_BLOCKS - 255, 0, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LBA_RANGE);
			memcpy(data, bed.mem + END - 256 * 512, 256 * 512);
			EXPECT_GOOD(run(f, BED_BLOCKS - 256, 0, 0)); /* 0 is 256 */
			assert_int_equal(bed.length, 256 * 512);
		} else if (f->what != SAME) {
			EXPECT_GOOD(run(f, BED_BLOCKS, 0, 0)); /* no blocks, after the last */
			assert_int_equal(bed.length, 0);
			EXPECT_SENSE(run(f, BED_BLOCKS + 1, 0, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LBA_RANGE);
		}
	}
	assert_memory_equal(bed.mem, model, END);
}

/* More than SRP can count, and more than one WRITE SAME may fill, on a disk so large that nothing may touch it. */
static void keeps_to_its_limits(void **state)
{
	static u8 byte;
	struct scsi_cmd cmd;
	struct lun huge;
	u32 i;

	(void)state;
	assert_int_equal(lun_ram_open(&huge, &byte, 1ull << 45, 512, false), 0);
	scsi_device_init(&bed.dev, &huge);
	for (i = 0; i < FORMS; i++) {
		const struct form *f = &forms[i];
		u64 most = f->what == SAME ? (1u << 30) / 512 : UINT32_MAX / 512;

		if (f->len < 12 || f->what == SYNC)
			continue;
		assert_true(scsi_parse(&cmd, &bed.dev, cdb_of(f, 7, most, 0), f->len));
		assert_int_equal(cmd.lba, 7);
		assert_int_equal(cmd.blocks, most);
		assert_false(scsi_parse(&cmd, &bed.dev, cdb_of(f, 7, most + 1, 0), f->len));
		assert_int_equal(cmd.sense.asc, SCSI_ASC_CDB_FIELD);
		assert_int_equal(cmd.sense.field, f->len == 12 ? 6 : 10);
		assert_int_equal(cmd.length, 0);
	}
	lun_close(&huge);
	scsi_device_init(&bed.dev, &bed.lun);
}

static void flushes_when_told(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i < FORMS; i++) {
		const struct form *f = &forms[i];

		bed.faults.syncs = 0;
		memcpy(data, bed.mem, 512);
		EXPECT_GOOD(run(f, 0, 1, 0));
		assert_int_equal(bed.faults.syncs, f->what == SYNC || f->what == VERIFY || f->what == WRITE_VERIFY);
		if (f->what > WRITE || f->len == 6)
			continue;
		EXPECT_GOOD(run(f, 0, 1, 0x18));
		assert_int_equal(bed.faults.syncs, 1);
		EXPECT_GOOD(run(f, 0, 1, 0x10)); /* DPO alone is advice */
		assert_int_equal(bed.faults.syncs, 1);
	}
	/* Byte 1 of six-byte commands is address, not FUA. */
	bed.faults.syncs = 0;
	EXPECT_SENSE(bed_run(CDB(0x0a, 0x08, 0, 0, 1), data, 512), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LBA_RANGE);
	EXPECT_GOOD(run(form_of(0x91), 0, 0, 0x02)); /* IMMED, to the end */
	assert_int_equal(bed.faults.syncs, 1);
}

static void verifies(void **state)
{
	const struct form *f = form_of(0x8f);
	u32 i;

	(void)state;
	EXPECT_GOOD(run(f, 0, BED_BLOCKS, 0));
	assert_int_equal(bed.phase, SCSI_NO_DATA);
	assert_true(bed.faults.reads > 0);
	for (i = 0; i < 3; i++) {
		bed.piece = (size_t[]){ 0, 300, 5000 }[i];
		memcpy(data, bed.mem + 100 * 512, 100 * 512);
		EXPECT_GOOD(run(f, 100, 100, 0x02));
		assert_int_equal(bed.length, 100 * 512);
		data[77 * 512 + 511] ^= 1;
		EXPECT_SENSE(run(f, 100, 100, 0x02), SCSI_MISCOMPARE, SCSI_ASC_MISCOMPARE);
		assert_int_equal(bed_be(bed.sense + 3, 4), 177);
	}
	bed.piece = 0;
	for (i = 0; i < 50; i++)
		memcpy(bed.mem + (200 + i) * 512, bed.mem, 512);
	memcpy(data, bed.mem, 512);
	EXPECT_GOOD(run(f, 200, 50, 0x06));
	assert_int_equal(bed.length, 512);
	bed.mem[240 * 512] ^= 1;
	EXPECT_SENSE(run(f, 200, 50, 0x06), SCSI_MISCOMPARE, SCSI_ASC_MISCOMPARE);
	assert_int_equal(bed_be(bed.sense + 3, 4), 240);
	EXPECT_GOOD(run(f, 200, 0, 0x06));
	assert_int_equal(bed.length, 0);
}

static void writes_the_same(void **state)
{
	(void)state;
	memcpy(model, bed.mem, END);
	/* Zeros: a hole if it may be one, by the block, or by NDOB without one. */
	memset(data, 0, 512);
	EXPECT_GOOD(run(form_of(0x41), 10, 20, 0));
	assert_int_equal(bed.faults.zeros, 1);
	EXPECT_GOOD(run(form_of(0x41), 30, 20, 0x08));
	assert_int_equal(bed.faults.punches, 1);
	EXPECT_GOOD(run(form_of(0x93), 50, 20, 0x01));
	assert_int_equal(bed.phase, SCSI_NO_DATA);
	assert_int_equal(bed.faults.zeros, 2);
	EXPECT_GOOD(run(form_of(0x93), 70, 20, 0x09));
	assert_int_equal(bed.faults.punches, 2);
	memset(model + 10 * 512, 0, 80 * 512);
	assert_memory_equal(bed.mem, model, END);
	/* UNMAP with another pattern writes the pattern. */
	memset(data, 0, 512);
	data[511] = 1;
	EXPECT_GOOD(run(form_of(0x93), 100, 1, 0x08));
	assert_memory_equal(bed.mem + 100 * 512, data, 512);
	assert_int_equal(bed.faults.punches, 2);
	/* Where the medium can't make zeros, they are written. */
	memset(data, 0, 512);
	bed.faults.zero_at = 1;
	bed.faults.err = -EOPNOTSUPP;
	EXPECT_GOOD(run(form_of(0x93), 0, BED_BLOCKS, 0x08));
	memset(model, 0, END);
	assert_memory_equal(bed.mem, model, END);
}

static u32 unmap_list(u32 ranges, const u64 *at)
{
	u32 i;

	memset(data, 0, 8 + 16 * ranges);
	put(data, 2, 6 + 16 * ranges);
	put(data + 2, 2, 16 * ranges);
	for (i = 0; i < ranges; i++) {
		put(data + 8 + 16 * i, 8, at[2 * i]);
		put(data + 16 + 16 * i, 4, at[2 * i + 1]);
	}
	return 8 + 16 * ranges;
}

static u8 unmap(u32 len, u64 sent)
{
	return bed_run(CDB(0x42, 0, 0, 0, 0, 0, 0, (u8)(len >> 8), (u8)len), data, sent);
}

static void check_unmap(void)
{
	u64 many[2 * 255];
	u32 len = unmap_list(3, (u64[]){ 5, 3, 100, 0, 300, 12 }), i;

	EXPECT_GOOD(unmap(len, len));
	assert_int_equal(bed.length, len);
	memset(model + 5 * bed.block, 0, 3 * bed.block);
	memset(model + 300 * bed.block, 0, 12 * bed.block);
	assert_memory_equal(bed.mem, model, END);
	for (i = 0; i < 255; i++)
		many[2 * i] = 2 * i, many[2 * i + 1] = 1;
	len = unmap_list(255, many);
	EXPECT_GOOD(unmap(len, len));
	for (i = 0; i < 255; i++)
		memset(model + 2 * i * bed.block, 0, bed.block);
}

static void unmaps(void **state)
{
	static const u64 bad[][4] = {
		{ 0, 1, BED_BLOCKS, 1 }, { 0, 1, BED_BLOCKS - 1, 2 }, { 0, 1, UINT64_MAX, 1 }, { 0, 1, 1, UINT32_MAX }
	};
	u32 len, i;

	(void)state;
	with_sizes(check_unmap);
	/* One bad range: nothing is unmapped. */
	for (i = 0; i < 4; i++) {
		len = unmap_list(2, bad[i]);
		EXPECT_SENSE(unmap(len, len), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LBA_RANGE);
		assert_memory_equal(bed.mem, model, END);
	}
	EXPECT_GOOD(unmap(0, 0));
	len = unmap_list(1, (u64[]){ 1, 1 });
	EXPECT_SENSE(unmap(7, 7), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_LENGTH);
	EXPECT_SENSE(unmap(len - 1, len), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_LENGTH);
	EXPECT_SENSE(unmap(len, len - 1), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_LENGTH);
	data[1] -= 1;
	EXPECT_SENSE(unmap(len, len), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_LENGTH);
	data[1] += 1;
	assert_memory_equal(bed.mem, model, END);
	put(data + 2, 2, 15); /* not a whole range: none */
	EXPECT_GOOD(unmap(len, len));
	assert_memory_equal(bed.mem, model, END);
	len = unmap_list(1, (u64[]){ 1, 1 });
	bed.faults.zero_at = 1;
	bed.faults.err = -EIO;
	EXPECT_SENSE(unmap(len, len), SCSI_MEDIUM_ERROR, SCSI_ASC_WRITE_ERROR);
}

static void writes_through(void **state)
{
	u8 list[24] = { 0, 0, 0, 0, 0x08, 0x12 };
	u32 len;

	(void)state;
	EXPECT_GOOD(bed_run(CDB(0x15, 0x10, 0, 0, 24), list, 24));
	bed.faults.syncs = 0;
	EXPECT_GOOD(run(form_of(0x0a), 0, 1, 0));
	EXPECT_GOOD(run(form_of(0x41), 0, 1, 0));
	EXPECT_GOOD(run(form_of(0x93), 0, 1, 9));
	len = unmap_list(1, (u64[]){ 1, 1 });
	EXPECT_GOOD(unmap(len, len));
	assert_int_equal(bed.faults.syncs, 4);
	bed.faults.sync_at = 1;
	bed.faults.err = -ENOSPC;
	EXPECT_SENSE(run(form_of(0x0a), 0, 1, 0), SCSI_DATA_PROTECT, SCSI_ASC_NO_SPACE);
}

static void read_only_is_not_written(void **state)
{
	u32 i;

	(void)state;
	bed_end(NULL);
	bed_open(512, true);
	memcpy(model, bed.mem, END);
	for (i = 0; i < FORMS; i++) {
		memcpy(data, bed.mem, 512);
		if (forms[i].what == WRITE || forms[i].what == SAME || forms[i].what == WRITE_VERIFY)
			EXPECT_SENSE(run(&forms[i], 0, 1, 0), SCSI_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED);
		else
			EXPECT_GOOD(run(&forms[i], 0, 1, 0));
	}
	i = unmap_list(1, (u64[]){ 1, 1 });
	EXPECT_SENSE(unmap(i, i), SCSI_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED);
	assert_int_equal(bed.length, 0);
	assert_memory_equal(bed.mem, model, END);
	assert_int_equal(bed.faults.writes + bed.faults.zeros + bed.faults.punches + bed.faults.syncs, 0);
}

static void tells_what_the_medium_says(void **state)
{
	static const struct {
		int err;
		u8 key;
		u32 asc;
		bool info;
	} rows[] = {
		{ -EIO, SCSI_MEDIUM_ERROR, SCSI_ASC_WRITE_ERROR, true },
		{ -ENODATA, SCSI_MEDIUM_ERROR, SCSI_ASC_WRITE_ERROR, true },
		{ -ENOSPC, SCSI_DATA_PROTECT, SCSI_ASC_NO_SPACE, true },
		{ -EDQUOT, SCSI_DATA_PROTECT, SCSI_ASC_NO_SPACE, true },
		{ -EFBIG, SCSI_DATA_PROTECT, SCSI_ASC_NO_SPACE, true },
		{ 0, SCSI_DATA_PROTECT, SCSI_ASC_NO_SPACE, true }, /* pwrite() that writes nothing */
		{ -EROFS, SCSI_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED, false },
		{ -EPERM, SCSI_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED, false },
		{ -ENOENT, SCSI_NOT_READY, SCSI_ASC_NO_MEDIUM, false },
	};
	u32 i, call;

	(void)state;
	memset(data, 0x5a, sizeof(data));
	bed.faults.most = 512; /* so that each block is a call of its own */
	for (call = 1; call <= 8; call++) {
		for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			bed.faults.err = rows[i].err;
			bed.faults.write_at = call;
			EXPECT_SENSE(run(form_of(0x2a), 64, 8, 0), rows[i].key, rows[i].asc);
			assert_int_equal(bed.sense[0], rows[i].info ? 0xf0 : 0x70);
			assert_int_equal(bed_be(bed.sense + 3, 4), rows[i].info ? 64 + call - 1 : 0);
			bed.faults.write_at = call;
			EXPECT_SENSE(run(form_of(0x41), 64, 8, 0), rows[i].key, rows[i].asc);
		}
		/* Reading: an error, or the file's end where the medium has none. */
		for (i = 0; i < 2; i++) {
			bed.faults.err = i ? -EIO : 0;
			bed.faults.read_at = call;
			EXPECT_SENSE(run(form_of(0x28), 64, 8, 0), SCSI_MEDIUM_ERROR, SCSI_ASC_READ_ERROR);
			assert_int_equal(bed_be(bed.sense + 3, 4), 64 + call - 1);
			bed.faults.read_at = call;
			EXPECT_SENSE(run(form_of(0x2f), 64, 8, 0), SCSI_MEDIUM_ERROR, SCSI_ASC_READ_ERROR);
			assert_int_equal(bed_be(bed.sense + 3, 4), 64 + call - 1);
		}
	}
	/* An interrupted call is made again. */
	bed.faults.err = -EINTR;
	bed.faults.write_at = bed.faults.read_at = 3;
	EXPECT_GOOD(run(form_of(0x2a), 64, 8, 0));
	EXPECT_GOOD(run(form_of(0x28), 64, 8, 0));
	bed.faults.sync_at = 1;
	EXPECT_GOOD(run(form_of(0x35), 0, 0, 0));
	/* Flushes that fail, whoever wants them. */
	bed.faults.err = -EIO;
	for (i = 0; i < 4; i++) {
		static const u8 ops[] = { 0x35, 0x2a, 0x28, 0x2f };

		bed.faults.sync_at = 1;
		EXPECT_SENSE(run(form_of(ops[i]), 9, 1, i == 1 || i == 2 ? 0x08 : 0), SCSI_MEDIUM_ERROR,
			     SCSI_ASC_WRITE_ERROR);
	}
	/* TEST UNIT READY asks whether it is still there. */
	bed.faults.check_at = 1;
	bed.faults.err = -ENOENT;
	EXPECT_SENSE(bed_run(CDB(0), NULL, 0), SCSI_NOT_READY, SCSI_ASC_NO_MEDIUM);
	bed.faults.check_at = 1;
	bed.faults.err = -ENODATA;
	EXPECT_SENSE(bed_run(CDB(0), NULL, 0), SCSI_NOT_READY, SCSI_ASC_INTERVENTION);
	EXPECT_GOOD(bed_run(CDB(0), NULL, 0));
}

/* One connection's flush meets the error of another's write; both hear of it, each once. */
static void lost_writes_are_told_to_all(void **state)
{
	struct scsi_nexus later;

	(void)state;
	bed.faults.sync_at = 1;
	bed.faults.err = -EIO;
	EXPECT_SENSE(run(form_of(0x35), 0, 0, 0), SCSI_MEDIUM_ERROR, SCSI_ASC_WRITE_ERROR);
	EXPECT_GOOD(run(form_of(0x35), 0, 0, 0));
	EXPECT_SENSE(bed_run_on(&bed.other, 0, CDB(0x35), NULL, 0), SCSI_MEDIUM_ERROR, SCSI_ASC_WRITE_ERROR);
	EXPECT_GOOD(bed_run_on(&bed.other, 0, CDB(0x35), NULL, 0));
	scsi_nexus_init(&later, &bed.dev);
	later.power_on = 0;
	EXPECT_GOOD(bed_run_on(&later, 0, CDB(0x35), NULL, 0));
}

static void moves_what_the_initiator_has_room_for(void **state)
{
	(void)state;
	memcpy(model, bed.mem, END);
	memset(data, 0x5a, 2048);
	assert_int_equal(bed_run(cdb_of(form_of(0x2a), 8, 4, 0), 10, data, 1024), SCSI_GOOD);
	assert_int_equal(bed.length, 2048);
	memset(model + 8 * 512, 0x5a, 1024);
	assert_memory_equal(bed.mem, model, END);
	assert_int_equal(bed_run(cdb_of(form_of(0x28), 20, 4, 0), 10, data, 1000), SCSI_GOOD);
	assert_memory_equal(data, model + 20 * 512, 1000);
	assert_int_equal(data[1000], 0x5a);
	assert_memory_equal(bed.mem, model, END);
}

static void catches_a_careless_caller(void **state)
{
	static const u8 lun[8];
	struct scsi_cmd cmd;
	u32 len, i;

	(void)state;
	memcpy(model, bed.mem, END);
	for (i = 0; i < 6; i++) {
		bool ok = true;

		scsi_begin(&cmd, &bed.nexus, lun, cdb_of(form_of(i < 4 ? 0x28 : 0x2a), 8, 2, 0), 10, bed.buf);
		switch (i) {
		case 0: /* a piece too few */
			ok = scsi_read(&cmd, 0, data, 1023);
			break;
		case 1:
			ok = scsi_read(&cmd, 1, data, 1024);
			break;
		case 2:
			ok = scsi_read(&cmd, UINT64_MAX, data, 2);
			break;
		case 3: /* the other way */
			ok = scsi_write(&cmd, 0, data, 512);
			break;
		case 4:
			ok = scsi_write(&cmd, 1024, data, 1);
			break;
		default:
			scsi_limit(&cmd, 512);
			scsi_limit(&cmd, 4096); /* never more than before */
			ok = scsi_write(&cmd, 512, data, 1);
		}
		assert_int_equal(ok, i == 0);
		assert_int_equal(scsi_finish(&cmd, bed.sense, &len), SCSI_CHECK_CONDITION);
		assert_int_equal(bed.sense[2], i ? SCSI_HARDWARE_ERROR : SCSI_ABORTED_COMMAND);
		assert_int_equal(bed_asc(), i ? SCSI_ASC_INTERNAL : SCSI_ASC_DATA_PHASE);
		assert_false(scsi_write(&cmd, 0, data, 0)); /* what has failed stays so */
	}
	assert_memory_equal(bed.mem, model, END);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bed_begin, bed_end)
	const struct CMUnitTest tests[] = {
		TEST(moves_blocks),
		TEST(keeps_to_the_medium),
		TEST(keeps_to_its_limits),
		TEST(flushes_when_told),
		TEST(verifies),
		TEST(writes_the_same),
		TEST(unmaps),
		TEST(writes_through),
		TEST(read_only_is_not_written),
		TEST(tells_what_the_medium_says),
		TEST(lost_writes_are_told_to_all),
		TEST(moves_what_the_initiator_has_room_for),
		TEST(catches_a_careless_caller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
