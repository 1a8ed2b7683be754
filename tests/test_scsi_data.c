/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Commands whose data and CDB don't agree; lists that are too long; COMPARE AND WRITE, WRITE AND VERIFY and GET LBA
 * STATUS. Whatever is refused must leave the disk as it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "scsi_fixture.h"

#define END ((u64)BED_BLOCKS * bed.block)

static u8 data[BED_BLOCKS * 4096], model[BED_BLOCKS * 4096];

static void put(u8 *p, u32 size, u64 v)
{
	while (size--) {
		p[size] = (u8)v;
		v >>= 8;
	}
}

static void open_block(u32 block)
{
	bed_end(NULL);
	bed_open(block, false);
	memcpy(model, bed.mem, END);
	memset(data, 0x5a, sizeof(data));
}

static const u8 *cdb_10(u8 op, u8 flags, u32 lba, u32 blocks)
{
	static u8 cdb[16];

	memset(cdb, 0, sizeof(cdb));
	cdb[0] = op;
	cdb[1] = flags;
	put(cdb + 2, 4, lba);
	put(cdb + 7, 2, blocks);
	return cdb;
}

/*
 * Every command that takes blocks from the initiator, with every length of data around its own. FCP-4 9.4.2 and
 * RFC 7143 11.4.5.2 leave it to the target whether it does a part or refuses with 0E/03; no block may be half a new one.
 */
static void data_of_another_length(void **state)
{
	static const struct {
		u8 op, flags;
		bool parts, more; /* whole blocks are enough; more than it needs does no harm */
		u8 blocks; /* that it sends of four */
	} rows[] = {
		{ 0x2a, 0, true, true, 4 },  { 0x2e, 0, true, true, 4 },  { 0x2e, 2, true, true, 4 },
		{ 0x2f, 2, false, true, 4 }, { 0x2f, 6, false, true, 1 }, { 0x41, 0, false, false, 1 },
	};
	u32 block, i, len;

	(void)state;
	for (block = 512; block <= 4096; block *= 8)
		for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			for (len = 0; len <= 6 * block; len += block / 4) {
				u32 own = rows[i].blocks * block;
				bool good = len == own || (len > own && rows[i].more) ||
					    (len < own && rows[i].parts && !(len % block));

				open_block(block);
				if (rows[i].op == 0x2f) {
					memset(bed.mem, 0x5a, 4 * block);
					memset(model, 0x5a, 4 * block);
				}
				bed_run(cdb_10(rows[i].op, rows[i].flags, 0, 4), 10, data, len);
				assert_int_equal(bed.length, own);
				if (!good)
					EXPECT_SENSE(bed.status, SCSI_ILLEGAL_REQUEST, SCSI_ASC_UNIT_FIELD);
				else if (bed.status != SCSI_GOOD)
					fail_msg("%02x with %u bytes is refused", rows[i].op, len);
				else if (rows[i].op != 0x2f)
					memset(model, 0x5a, len < 4 * block && rows[i].op != 0x41 ? len : 4 * block);
				assert_memory_equal(bed.mem, model, END);
			}
}

/* A comparison of less than what was asked for isn't GOOD, whatever the first block says. */
static void verify_of_a_part_is_refused(void **state)
{
	(void)state;
	memcpy(data, bed.mem, 512);
	EXPECT_SENSE(bed_run(CDB(0x2f, 0x02, 0, 0, 0, 0, 0, 0, 8), data, 512), SCSI_ILLEGAL_REQUEST,
		     SCSI_ASC_UNIT_FIELD);
	memcpy(data, bed.mem, 4096);
	EXPECT_GOOD(bed_run(CDB(0x2f, 0x02, 0, 0, 0, 0, 0, 0, 8), data, 4096));
}

/* Whatever may change the medium, a mode or a reservation does more than look; a command that was refused doesn't. */
static void only_looks(void **state)
{
	static const struct {
		u8 cdb[16];
		bool looks;
	} rows[] = {
		{ { 0x00 }, true },
		{ { 0x12, 0, 0, 0, 36 }, true },
		{ { 0x28, 8, [8] = 1 }, true },
		{ { 0x2f, 2, [8] = 1 }, true },
		{ { 0x35 }, true },
		{ { 0x5e, 0, [8] = 8 }, true },
		{ { 0x9e, 0x12, [13] = 24 }, true },
		{ { 0xff }, true },
		{ { 0x15, 0x10, [4] = 24 }, false },
		{ { 0x1b }, false },
		{ { 0x2a, 0, [8] = 1 }, false },
		{ { 0x2e, 0, [8] = 1 }, false },
		{ { 0x2e, 2, [8] = 1 }, false },
		{ { 0x41, 0, [8] = 1 }, false },
		{ { 0x42, 0, [8] = 24 }, false },
		{ { 0x5f, 0, [8] = 24 }, false },
		{ { 0x5f, 6, [8] = 24 }, false },
		{ { 0x89, 0, [13] = 1 }, false },
		{ { 0x93, 1, [13] = 1 }, false },
	};
	static const u8 lun[8];
	struct scsi_cmd cmd;
	u32 i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		scsi_begin(&cmd, &bed.nexus, lun, rows[i].cdb, 16, bed.buf);
		assert_int_equal(cmd.status, i == 7 ? SCSI_CHECK_CONDITION : SCSI_GOOD);
		assert_int_equal(scsi_only_looks(&cmd), rows[i].looks);
		assert_int_equal(scsi_begin_waits(rows[i].cdb, 16), i == 6);
		if (cmd.phase != SCSI_DATA_OUT || rows[i].looks)
			continue;
		scsi_limit(&cmd, 1);
		assert_int_equal(scsi_only_looks(&cmd), cmd.status != SCSI_GOOD);
	}
}

static u8 unmap_many(u32 ranges, u32 said)
{
	u32 len = 8 + 16 * ranges, i;

	memset(data, 0, len);
	put(data, 2, 6 + 16 * said);
	put(data + 2, 2, 16 * said);
	for (i = 0; i < ranges; i++) {
		put(data + 8 + 16 * i, 8, i % BED_BLOCKS);
		put(data + 16 + 16 * i, 4, 1);
	}
	return bed_run(CDB(0x42, 0, 0, 0, 0, 0, 0, (u8)(len >> 8), (u8)len), data, len);
}

/* SBC-3 5.28: more ranges than MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT are an invalid field of the parameter list. */
static void unmap_of_too_many_ranges(void **state)
{
	u32 most;

	(void)state;
	EXPECT_GOOD(bed_run(CDB(0x12, 1, 0xb0, 0, 64), data, 64));
	most = (u32)bed_be(data + 24, 4);
	assert_true(most > 100);
	memcpy(model, bed.mem, END);
	EXPECT_SENSE(unmap_many(most + 1, most + 1), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_FIELD);
	bed_expect_field(2, -1, false);
	EXPECT_SENSE(unmap_many(4000, 4000), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_FIELD);
	bed.piece = 700;
	EXPECT_SENSE(unmap_many(4000, 4000), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_FIELD);
	assert_memory_equal(bed.mem, model, END);
	/* What stands behind the ranges is not looked at, as long as it may be. */
	EXPECT_GOOD(unmap_many(4000, 2));
	memset(model, 0, 2 * 512);
	assert_memory_equal(bed.mem, model, END);
	EXPECT_GOOD(unmap_many(most, most));
}

/* --- COMPARE AND WRITE (SBC-3 5.2) --- */

static u8 compare_and_write(u64 lba, u8 blocks, u8 flags, u64 room)
{
	u8 cdb[16] = { 0x89, flags };

	put(cdb + 2, 8, lba);
	cdb[13] = blocks;
	return bed_run(cdb, 16, data, room);
}

static void check_compare(u32 blocks)
{
	u32 len = blocks * bed.block, at = (blocks * 37) % len;
	u64 lba = BED_BLOCKS - blocks;

	memcpy(data, bed.mem + lba * bed.block, len);
	memset(data + len, 0xc3, len);
	data[at] ^= 0x80;
	EXPECT_SENSE(compare_and_write(lba, (u8)blocks, 0, 2 * len), SCSI_MISCOMPARE, SCSI_ASC_MISCOMPARE);
	assert_int_equal(bed.sense[0], 0xf0);
	assert_int_equal(bed_be(bed.sense + 3, 4), at); /* the byte of the data that differs */
	assert_memory_equal(bed.mem, model, END);
	data[at] ^= 0x80;
	EXPECT_GOOD(compare_and_write(lba, (u8)blocks, 0, 2 * len));
	assert_int_equal(bed.length, 2 * len);
	memset(model + lba * bed.block, 0xc3, len);
	assert_memory_equal(bed.mem, model, END);
}

static void compares_and_writes(void **state)
{
	u32 block, most, i;

	(void)state;
	for (block = 512; block <= 4096; block *= 8) {
		open_block(block);
		EXPECT_GOOD(bed_run(CDB(0x12, 1, 0xb0, 0, 64), data, 64));
		most = data[5];
		assert_int_equal(most, 4096 / block);
		for (i = 1; i <= most; i++) {
			bed.piece = i % 2 ? 300 : 0;
			memcpy(model, bed.mem, END);
			check_compare(i);
		}
		memcpy(data, bed.mem, sizeof(data) < END ? sizeof(data) : END);
		EXPECT_GOOD(compare_and_write(BED_BLOCKS, 0, 0, 0)); /* none */
		EXPECT_SENSE(compare_and_write(0, (u8)(most + 1), 0, 2 * (most + 1) * block), SCSI_ILLEGAL_REQUEST,
			     SCSI_ASC_CDB_FIELD);
		EXPECT_SENSE(compare_and_write(BED_BLOCKS, 1, 0, 2 * block), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LBA_RANGE);
		/* Too few bytes and too many. */
		EXPECT_SENSE(compare_and_write(0, 1, 0, block), SCSI_ILLEGAL_REQUEST, SCSI_ASC_UNIT_FIELD);
		EXPECT_SENSE(compare_and_write(0, 1, 0, 4 * block), SCSI_ILLEGAL_REQUEST, SCSI_ASC_UNIT_FIELD);
		assert_memory_equal(bed.mem, model, END);
	}
	memcpy(data, bed.mem, 4096);
	memcpy(data + 4096, bed.mem, 4096);
	bed.faults.syncs = 0;
	EXPECT_GOOD(compare_and_write(0, 1, 0, 8192));
	assert_int_equal(bed.faults.syncs, 0);
	EXPECT_GOOD(compare_and_write(0, 1, 0x08, 8192));
	assert_int_equal(bed.faults.syncs, 1);
	bed.faults.write_at = 1;
	bed.faults.err = -ENOSPC;
	EXPECT_SENSE(compare_and_write(0, 1, 0, 8192), SCSI_DATA_PROTECT, SCSI_ASC_NO_SPACE);
	bed_end(NULL);
	bed_open(512, true);
	EXPECT_SENSE(compare_and_write(0, 1, 0, 1024), SCSI_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED);
}

/* --- WRITE AND VERIFY (SBC-3 5.39) --- */

static void write_and_verify_reads_again(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i < 2; i++) {
		bed.faults.reads = bed.faults.syncs = 0;
		EXPECT_GOOD(bed_run(cdb_10(0x2e, i ? 2 : 0, 9, 4), 10, data, 2048));
		assert_true(bed.faults.reads > 0);
		assert_int_equal(bed.faults.syncs, 1);
		bed.faults.read_at = 1;
		bed.faults.err = -EIO;
		EXPECT_SENSE(bed_run(cdb_10(0x2e, i ? 2 : 0, 9, 4), 10, data, 2048), SCSI_MEDIUM_ERROR,
			     SCSI_ASC_READ_ERROR);
		assert_int_equal(bed_be(bed.sense + 3, 4), 9);
		bed.faults.sync_at = 1;
		EXPECT_SENSE(bed_run(cdb_10(0x2e, i ? 2 : 0, 9, 4), 10, data, 2048), SCSI_MEDIUM_ERROR,
			     SCSI_ASC_WRITE_ERROR);
	}
}

/* --- GET LBA STATUS (SBC-3 5.6) --- */

static u8 lba_status(u64 lba, u32 alloc)
{
	u8 cdb[16] = { 0x9e, 0x12 };

	memset(data, 0xee, 1024);
	put(cdb + 2, 8, lba);
	put(cdb + 10, 4, alloc);
	return bed_run(cdb, 16, data, alloc);
}

static void expect_status(u32 i, u64 lba, u64 blocks, u8 status)
{
	const u8 *b = data + 8 + 16 * i;

	assert_int_equal(bed_be(b, 8), lba);
	assert_int_equal(bed_be(b + 8, 4), blocks);
	assert_int_equal(b[12], status);
}

/* A medium in memory has no holes. */
static void all_is_mapped_in_memory(void **state)
{
	(void)state;
	EXPECT_GOOD(lba_status(7, 512));
	assert_int_equal(bed.length, 24);
	assert_int_equal(bed_be(data, 4), 20);
	expect_status(0, 7, BED_BLOCKS - 7, 0);
	EXPECT_SENSE(lba_status(BED_BLOCKS, 24), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LBA_RANGE);
	EXPECT_GOOD(lba_status(0, 0));
	EXPECT_GOOD(lba_status(0, 12));
	assert_int_equal(bed.length, 12);
	assert_int_equal(bed_be(data, 4), 20);
}

#define PIECE (256u << 10)

/* Data and holes in turn; file systems tell them apart in pieces of their own, which are smaller than ours. */
static void holes_are_deallocated(void **state)
{
	char path[256], why[512];
	u32 block, i;
	int fd;

	(void)state;
	bed_end(NULL);
	snprintf(path, sizeof(path), "%.200s/lba-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 5 * PIECE), 0);
	memset(data, 1, PIECE);
	for (i = 0; i < 5; i += 2)
		assert_int_equal(pwrite(fd, data, PIECE, i * PIECE), PIECE);
	for (block = 512; block <= 4096; block *= 8) {
		u32 n = PIECE / block;

		assert_int_equal(lun_file_open(&bed.lun, path, block, false, why, sizeof(why)), 0);
		scsi_device_init(&bed.dev, &bed.lun);
		EXPECT_GOOD(lba_status(0, 512));
		if (bed.length > 24) { /* else the file system keeps no holes */
			assert_int_equal(bed.length, 8 + 5 * 16);
			for (i = 0; i < 5; i++)
				expect_status(i, i * n, n, i & 1);
			EXPECT_GOOD(lba_status(n + 3, 24));
			assert_int_equal(bed_be(data, 4), 20);
			expect_status(0, n + 3, n - 3, 1);
			EXPECT_GOOD(lba_status(5 * n - 1, 512));
			expect_status(0, 5 * n - 1, 1, 0);
		}
		/* Cut short: what isn't there any more has no state. */
		if (block == 4096) {
			assert_int_equal(ftruncate(fd, PIECE), 0);
			EXPECT_SENSE(lba_status(n, 24), SCSI_MEDIUM_ERROR, SCSI_ASC_READ_ERROR);
		}
		lun_close(&bed.lun);
	}
	close(fd);
	unlink(path);
	bed_open(512, false);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bed_begin, bed_end)
	const struct CMUnitTest tests[] = {
		TEST(data_of_another_length),	TEST(verify_of_a_part_is_refused), TEST(only_looks),
		TEST(unmap_of_too_many_ranges), TEST(compares_and_writes),	   TEST(write_and_verify_reads_again),
		TEST(all_is_mapped_in_memory),	TEST(holes_are_deallocated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
