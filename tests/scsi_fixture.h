/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A disk in memory with its device server, for the tests of SCSI commands: what an
 * initiator and its target do with one command, in one call; and a medium whose calls
 * fail or do less when the test wants it.
 */
#ifndef TESTS_SCSI_FIXTURE_H
#define TESTS_SCSI_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "srp/scsi.h"

#define BED_BLOCKS 512u

/* Made to fail at a call of a kind: 1 is the next. */
struct bed_faults {
	u32 read_at, write_at, zero_at, sync_at, check_at;
	int err; /* what the call says then; 0: it does nothing and says so */
	size_t most; /* bytes that one call moves; 0: all */
	u32 zeros, punches, syncs, reads, writes;
};

struct bed {
	struct lun lun;
	struct scsi_device dev;
	struct scsi_nexus nexus, other;
	const struct lun_ops *real;
	struct bed_faults faults;
	u8 *mem;
	u32 block;
	/* of the last command */
	struct scsi_cmd last;
	u8 status, sense[SCSI_SENSE_MAX], buf[SCSI_BUF];
	u32 sense_len;
	enum scsi_phase phase;
	u64 length;
	size_t piece; /* data is moved in pieces of so many bytes, the last first */
};

static struct bed bed;

static bool bed_hits(u32 *at)
{
	return *at && !--*at;
}

static ssize_t bed_pread(struct lun *lun, void *buf, size_t len, u64 at)
{
	bed.faults.reads++;
	if (bed_hits(&bed.faults.read_at))
		return bed.faults.err;
	return bed.real->pread(lun, buf, bed.faults.most && len > bed.faults.most ? bed.faults.most : len, at);
}

static ssize_t bed_pwrite(struct lun *lun, const void *buf, size_t len, u64 at)
{
	bed.faults.writes++;
	if (bed_hits(&bed.faults.write_at))
		return bed.faults.err;
	return bed.real->pwrite(lun, buf, bed.faults.most && len > bed.faults.most ? bed.faults.most : len, at);
}

static int bed_zero(struct lun *lun, u64 at, u64 len, bool punch)
{
	if (punch)
		bed.faults.punches++;
	else
		bed.faults.zeros++;
	if (bed_hits(&bed.faults.zero_at))
		return bed.faults.err;
	return bed.real->zero(lun, at, len, punch);
}

static int bed_extent(struct lun *lun, u64 at, u64 *len, bool *hole)
{
	return bed.real->extent(lun, at, len, hole);
}

static int bed_sync(struct lun *lun)
{
	bed.faults.syncs++;
	return bed_hits(&bed.faults.sync_at) ? bed.faults.err : bed.real->sync(lun);
}

static int bed_check(struct lun *lun)
{
	return bed_hits(&bed.faults.check_at) ? bed.faults.err : bed.real->check(lun);
}

static void bed_ram_close(struct lun *lun)
{
	bed.real->close(lun);
}

static const struct lun_ops bed_ops = {
	.pread = bed_pread,
	.pwrite = bed_pwrite,
	.zero = bed_zero,
	.extent = bed_extent,
	.sync = bed_sync,
	.check = bed_check,
	.close = bed_ram_close,
};

/* Put the faults between the device server and an open medium. */
static inline void bed_take(void)
{
	bed.real = bed.lun.ops;
	bed.lun.ops = &bed_ops;
}

/* A byte that tells where it is. */
static inline u8 bed_byte(u64 at)
{
	return (u8)(at * 31 + (at >> 9) * 7 + 1);
}

static inline void bed_open(u32 block, bool read_only)
{
	u64 i, bytes = (u64)BED_BLOCKS * block;

	memset(&bed, 0, sizeof(bed));
	bed.block = block;
	bed.mem = malloc(bytes);
	assert_non_null(bed.mem);
	for (i = 0; i < bytes; i++)
		bed.mem[i] = bed_byte(i);
	assert_int_equal(lun_ram_open(&bed.lun, bed.mem, bytes, block, read_only), 0);
	bed_take();
	scsi_device_init(&bed.dev, &bed.lun);
	scsi_nexus_init(&bed.nexus, &bed.dev);
	scsi_nexus_init(&bed.other, &bed.dev);
	bed.nexus.power_on = bed.other.power_on = 0;
}

static inline int bed_begin(void **state)
{
	(void)state;
	bed_open(512, false);
	return 0;
}

static inline int bed_end(void **state)
{
	(void)state;
	lun_close(&bed.lun);
	free(bed.mem);
	return 0;
}

static inline bool bed_move(struct scsi_cmd *cmd, u8 *data)
{
	size_t piece = bed.piece ? bed.piece : 1u << 20;
	u64 end = cmd->expect, at;

	while (end) {
		at = end > piece ? end - piece : 0;
		if (cmd->phase == SCSI_DATA_IN) {
			if (!scsi_read(cmd, at, data + at, (size_t)(end - at)))
				return false;
		} else if (!scsi_write(cmd, at, data + at, (size_t)(end - at))) {
			return false;
		}
		end = at;
	}
	return true;
}

/*
 * One command of a nexus to a unit; @data: @room bytes that the initiator sends or has room for.
 * A reply is put there as well. Return: its status
 */
static inline u8 bed_run_on(struct scsi_nexus *nexus, u8 unit, const u8 *cdb, u32 len, void *data, u64 room)
{
	u8 lun[SCSI_LUN_LEN] = { 0, unit };
	struct scsi_cmd cmd;

	memset(bed.buf, 0xee, sizeof(bed.buf));
	memset(bed.sense, 0xee, sizeof(bed.sense));
	scsi_begin(&cmd, nexus, lun, cdb, len, bed.buf);
	bed.length = cmd.length;
	bed.phase = cmd.phase;
	scsi_limit(&cmd, room);
	if (cmd.phase == SCSI_REPLY)
		memcpy(data, bed.buf, (size_t)cmd.expect);
	else if (cmd.phase != SCSI_NO_DATA)
		bed_move(&cmd, (u8 *)data);
	bed.status = scsi_finish(&cmd, bed.sense, &bed.sense_len);
	assert_int_equal(!bed.sense_len, bed.status != SCSI_CHECK_CONDITION);
	bed.last = cmd;
	return bed.status;
}

static inline u8 bed_run(const u8 *cdb, u32 len, void *data, u64 room)
{
	return bed_run_on(&bed.nexus, 0, cdb, len, data, room);
}

#define CDB(...) (const u8[16]){ __VA_ARGS__ }, 16

static inline u32 bed_asc(void)
{
	return (u32)bed.sense[12] << 8 | bed.sense[13];
}

static inline void bed_expect_sense(u8 status, u8 key, u32 asc, const char *what)
{
	if (status != SCSI_CHECK_CONDITION || bed.sense[0] % 0x80 != 0x70 || bed.sense[2] != key || bed_asc() != asc)
		fail_msg("%s: status %02x, sense %x %04x; expected %x %04x", what, status, bed.sense[2], bed_asc(), key,
			 asc);
}

#define EXPECT_SENSE(run, key, asc) bed_expect_sense(run, key, asc, #run)
#define EXPECT_GOOD(run) \
	do { \
		if ((run) != SCSI_GOOD) \
			fail_msg("%s: sense %x %04x", #run, bed.sense[2], bed_asc()); \
	} while (0)

/* The wrong field that the sense data points to: its byte, and its bit or -1. */
static inline void bed_expect_field(u32 at, int bit, bool in_cdb)
{
	assert_int_equal(bed.sense[15], 0x80 | (in_cdb ? 0x40 : 0) | (bit < 0 ? 0 : 0x08 | bit));
	assert_int_equal(bed.sense[16] << 8 | bed.sense[17], at);
}

static inline u64 bed_be(const u8 *p, u32 size)
{
	u64 v = 0;

	while (size--)
		v = v << 8 | *p++;
	return v;
}

#endif
