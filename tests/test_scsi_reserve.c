/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Persistent reservations (SPC-4 5.13, 6.15, 6.16): keys, the six types with each class of commands, who is told what
 * when a reservation ends, and registrations that outlive their connections.
 */
#include "scsi_fixture.h"

enum { REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, REGISTER_AND_IGNORE, REGISTER_AND_MOVE };

static u8 data[65536];

static void put(u8 *p, u32 size, u64 v)
{
	while (size--) {
		p[size] = (u8)v;
		v >>= 8;
	}
}

static u8 out(struct scsi_nexus *nexus, u8 action, u8 type, u64 key, u64 new_key)
{
	u8 list[24] = { 0 };

	put(list, 8, key);
	put(list + 8, 8, new_key);
	return bed_run_on(nexus, 0, CDB(0x5f, action, type, 0, 0, 0, 0, 0, 24), list, 24);
}

static u32 in(u8 action)
{
	memset(data, 0xee, 4096);
	EXPECT_GOOD(bed_run(CDB(0x5e, action, 0, 0, 0, 0, 0, 0x10, 0), data, 4096));
	assert_int_equal(bed_be(data + 4, 4), bed.length - 8);
	return (u32)bed.length - 8;
}

#define EXPECT_CONFLICT(run) assert_int_equal(run, SCSI_RESERVATION_CONFLICT)
#define EXPECT_ATTENTION(nexus, asc) EXPECT_SENSE(bed_run_on(nexus, 0, CDB(0), NULL, 0), SCSI_UNIT_ATTENTION, asc)

static void has_keys(void **state)
{
	(void)state;
	assert_int_equal(in(0), 0);
	assert_int_equal(bed_be(data, 4), 0);
	EXPECT_CONFLICT(out(&bed.nexus, REGISTER, 0, 5, 6)); /* not registered: its key is 0 */
	EXPECT_CONFLICT(out(&bed.nexus, RESERVE, 1, 0, 0));
	EXPECT_CONFLICT(out(&bed.nexus, CLEAR, 0, 0, 0));
	EXPECT_GOOD(out(&bed.nexus, REGISTER, 0, 0, 0x1122334455667788));
	EXPECT_GOOD(out(&bed.other, REGISTER_AND_IGNORE, 0, 77, 2));
	assert_int_equal(in(0), 16);
	assert_int_equal(bed_be(data, 4), 2);
	assert_int_equal(bed_be(data + 8, 8), 0x1122334455667788);
	assert_int_equal(bed_be(data + 16, 8), 2);
	EXPECT_CONFLICT(out(&bed.other, REGISTER, 0, 3, 4));
	EXPECT_GOOD(out(&bed.other, REGISTER, 0, 2, 4));
	EXPECT_GOOD(out(&bed.nexus, REGISTER_AND_IGNORE, 0, 0, 0));
	assert_int_equal(in(0), 8);
	assert_int_equal(bed_be(data, 4), 4);
	assert_int_equal(bed_be(data + 8, 8), 4);
	/* The allocation length cuts the list, not its length. */
	EXPECT_GOOD(bed_run(CDB(0x5e, 0, 0, 0, 0, 0, 0, 0, 10), data, 10));
	assert_int_equal(bed.length, 10);
	assert_int_equal(bed_be(data + 4, 4), 8);
}

static void tells_its_capabilities(void **state)
{
	(void)state;
	EXPECT_GOOD(bed_run(CDB(0x5e, 2, 0, 0, 0, 0, 0, 0, 255), data, 255));
	assert_int_equal(bed.length, 8);
	assert_memory_equal(data, ((u8[]){ 0, 8, 0, 0x80, 0xea, 0x01, 0, 0 }), 8);
}

static void refuses_wrong_lists(void **state)
{
	u8 list[25] = { 0 };
	u8 i;

	(void)state;
	EXPECT_SENSE(bed_run(CDB(0x5f, 0, 0, 0, 0, 0, 0, 0, 23), list, 23), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_LENGTH);
	EXPECT_SENSE(bed_run(CDB(0x5f, 0, 0, 0, 0, 0, 0, 0, 25), list, 25), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_LENGTH);
	EXPECT_SENSE(bed_run(CDB(0x5f, 0, 0, 0, 0, 0, 0, 0, 24), list, 23), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_LENGTH);
	for (i = 1; i <= 8; i *= 2) { /* APTPL, reserved, ALL_TG_PT, SPEC_I_PT */
		list[20] = i;
		EXPECT_SENSE(bed_run(CDB(0x5f, 0, 0, 0, 0, 0, 0, 0, 24), list, 24), SCSI_ILLEGAL_REQUEST,
			     SCSI_ASC_LIST_FIELD);
	}
	EXPECT_GOOD(out(&bed.nexus, REGISTER, 0, 0, 1));
	for (i = 0; i < 32; i++) {
		bool good = i == 1 || i == 3 || (i >= 5 && i <= 8); /* and scope 0 */

		if (good)
			continue;
		EXPECT_SENSE(out(&bed.nexus, RESERVE, i, 1, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_CDB_FIELD);
		EXPECT_SENSE(out(&bed.nexus, PREEMPT, i, 1, 1), SCSI_ILLEGAL_REQUEST, SCSI_ASC_CDB_FIELD);
		EXPECT_SENSE(out(&bed.nexus, PREEMPT_AND_ABORT, i, 1, 1), SCSI_ILLEGAL_REQUEST, SCSI_ASC_CDB_FIELD);
	}
	EXPECT_SENSE(out(&bed.nexus, REGISTER_AND_MOVE + 1, 0, 1, 1), SCSI_ILLEGAL_REQUEST, SCSI_ASC_CDB_FIELD);
	EXPECT_SENSE(bed_run(CDB(0x5e, 4, 0, 0, 0, 0, 0, 0, 255), data, 255), SCSI_ILLEGAL_REQUEST, SCSI_ASC_CDB_FIELD);
}

/* SPC-4 table 65 and SBC-3 table 13, for a port that isn't registered and for one that is. */
static void excludes_commands(void **state)
{
	enum { ALWAYS, READS, REST };
	static const struct {
		u8 class;
		u8 cdb[16];
	} rows[] = {
		{ ALWAYS, { 0x00 } },
		{ ALWAYS, { 0x03, 0, 0, 0, 18 } },
		{ ALWAYS, { 0x12, 0, 0, 0, 36 } },
		{ ALWAYS, { 0x25 } },
		{ ALWAYS, { 0x9e, 0x10, [13] = 32 } },
		{ ALWAYS, { 0xa0, [9] = 16 } },
		{ ALWAYS, { 0x5e, 0, [8] = 8 } },
		{ ALWAYS, { 0x1b, 0, 0, 0, 1 } },
		{ READS, { 0x08, 0, 0, 0, 1 } },
		{ READS, { 0x28, [8] = 1 } },
		{ READS, { 0xa8, [9] = 1 } },
		{ READS, { 0x88, [13] = 1 } },
		{ READS, { 0x2f, [8] = 1 } },
		{ READS, { 0x9e, 0x12, [13] = 24 } },
		{ REST, { 0x0a, 0, 0, 0, 1 } },
		{ REST, { 0x2a, [8] = 1 } },
		{ REST, { 0x2e, [8] = 1 } },
		{ REST, { 0x35 } },
		{ REST, { 0x41, [8] = 1 } },
		{ REST, { 0x42, [8] = 0 } },
		{ REST, { 0x89, [13] = 0 } },
		{ REST, { 0x1a, 0, 0x3f, 0, 255 } },
		{ REST, { 0x15, 0x10, 0, 0, 0 } },
	};
	static const u8 types[] = { 1, 3, 5, 6, 7, 8 };
	u32 t, i, registered;

	(void)state;
	for (t = 0; t < sizeof(types); t++) {
		bool excludes_readers = types[t] == 3 || types[t] == 6 || types[t] == 8;

		for (registered = 0; registered < 2; registered++) {
			EXPECT_GOOD(out(&bed.nexus, REGISTER_AND_IGNORE, 0, 0, 1));
			EXPECT_GOOD(out(&bed.other, REGISTER_AND_IGNORE, 0, 0, registered ? 2 : 0));
			EXPECT_GOOD(out(&bed.nexus, RESERVE, types[t], 1, 0));
			EXPECT_GOOD(out(&bed.nexus, RESERVE, types[t], 1, 0)); /* again: no news */
			assert_int_equal(in(1), 16);
			assert_int_equal(bed_be(data + 8, 8), types[t] < 7 ? 1 : 0);
			assert_int_equal(data[21], types[t]);
			for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
				bool conflict = rows[i].class == REST || (rows[i].class == READS && excludes_readers);
				u64 room = rows[i].cdb[0] == 0x41 ? 512 : 4096;

				if (registered && types[t] >= 5)
					conflict = false;
				memset(data, 0, 4096);
				bed_run_on(&bed.other, 0, rows[i].cdb, 16, data, room);
				if (bed.status != (conflict ? SCSI_RESERVATION_CONFLICT : SCSI_GOOD))
					fail_msg("type %u, registered %u, command %02x: status %02x", types[t],
						 registered, rows[i].cdb[0], bed.status);
				EXPECT_GOOD(bed_run_on(&bed.nexus, 0, rows[i].cdb, 16, data, room));
			}
			bed_run_on(&bed.other, 0, CDB(0x1b), NULL, 0); /* stopping isn't what starting is */
			assert_int_equal(bed.status,
					 registered && types[t] >= 5 ? SCSI_GOOD : SCSI_RESERVATION_CONFLICT);
			EXPECT_GOOD(bed_run(CDB(0x1b, 0, 0, 0, 1), NULL, 0));
			EXPECT_GOOD(out(&bed.nexus, CLEAR, 0, 1, 0));
			if (registered)
				EXPECT_ATTENTION(&bed.other, SCSI_ASC_RESERVATIONS_PREEMPTED);
			EXPECT_GOOD(bed_run_on(&bed.other, 0, CDB(0x2a, [8] = 1), data, 512));
			assert_int_equal(in(0), 0);
			assert_int_equal(in(1), 0);
		}
	}
}

static void is_released(void **state)
{
	(void)state;
	EXPECT_GOOD(out(&bed.nexus, REGISTER, 0, 0, 1));
	EXPECT_GOOD(out(&bed.other, REGISTER, 0, 0, 2));
	EXPECT_GOOD(out(&bed.nexus, RELEASE, 1, 1, 0)); /* nothing */
	EXPECT_GOOD(out(&bed.nexus, RESERVE, 5, 1, 0));
	EXPECT_CONFLICT(out(&bed.nexus, RESERVE, 6, 1, 0));
	EXPECT_CONFLICT(out(&bed.other, RESERVE, 5, 2, 0));
	EXPECT_GOOD(out(&bed.other, RELEASE, 5, 2, 0)); /* not its own: nothing */
	assert_int_equal(in(1), 16);
	EXPECT_SENSE(out(&bed.nexus, RELEASE, 6, 1, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_RELEASE);
	EXPECT_CONFLICT(out(&bed.nexus, RELEASE, 5, 9, 0));
	EXPECT_GOOD(out(&bed.nexus, RELEASE, 5, 1, 0));
	EXPECT_ATTENTION(&bed.other, SCSI_ASC_RESERVATIONS_RELEASED);
	EXPECT_GOOD(bed_run_on(&bed.other, 0, CDB(0), NULL, 0));
	EXPECT_GOOD(bed_run(CDB(0), NULL, 0));
	/* With the holder's registration its reservation goes; one of all registrants goes with the last of them. */
	EXPECT_GOOD(out(&bed.nexus, RESERVE, 3, 1, 0));
	EXPECT_GOOD(out(&bed.nexus, REGISTER, 0, 1, 0));
	assert_int_equal(in(1), 0);
	EXPECT_GOOD(bed_run_on(&bed.other, 0, CDB(0), NULL, 0)); /* exclusive access: nobody else was concerned */
	EXPECT_GOOD(out(&bed.nexus, REGISTER, 0, 0, 1));
	EXPECT_GOOD(out(&bed.nexus, RESERVE, 8, 1, 0));
	EXPECT_GOOD(out(&bed.nexus, REGISTER, 0, 1, 0));
	assert_int_equal(in(1), 16);
	EXPECT_CONFLICT(bed_run(CDB(0x28, [8] = 1), data, 512));
	EXPECT_GOOD(out(&bed.other, REGISTER, 0, 2, 0));
	assert_int_equal(in(1), 0);
	EXPECT_GOOD(bed_run(CDB(0x28, [8] = 1), data, 512));
}

static void is_preempted(void **state)
{
	(void)state;
	EXPECT_GOOD(out(&bed.nexus, REGISTER, 0, 0, 1));
	EXPECT_GOOD(out(&bed.other, REGISTER, 0, 0, 2));
	EXPECT_GOOD(out(&bed.other, RESERVE, 1, 2, 0));
	EXPECT_CONFLICT(out(&bed.nexus, PREEMPT, 3, 1, 99)); /* nobody has that key */
	EXPECT_SENSE(out(&bed.nexus, PREEMPT, 3, 1, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_FIELD);
	EXPECT_GOOD(out(&bed.nexus, PREEMPT, 3, 1, 2));
	EXPECT_ATTENTION(&bed.other, SCSI_ASC_REGISTRATIONS_PREEMPTED);
	EXPECT_CONFLICT(bed_run_on(&bed.other, 0, CDB(0x28, [8] = 1), data, 512));
	assert_int_equal(in(1), 16);
	assert_int_equal(bed_be(data, 4), 3);
	assert_int_equal(bed_be(data + 8, 8), 1);
	assert_int_equal(data[21], 3);
	/* A registration alone. */
	EXPECT_GOOD(out(&bed.other, REGISTER, 0, 0, 2));
	EXPECT_GOOD(out(&bed.nexus, PREEMPT, 1, 1, 2));
	EXPECT_ATTENTION(&bed.other, SCSI_ASC_REGISTRATIONS_PREEMPTED);
	assert_int_equal(in(1), 16);
	assert_int_equal(data[21], 3);
	/* Of all registrants, by key 0. */
	EXPECT_GOOD(out(&bed.nexus, RELEASE, 3, 1, 0));
	EXPECT_GOOD(out(&bed.other, REGISTER, 0, 0, 2));
	EXPECT_GOOD(out(&bed.other, RESERVE, 7, 2, 0));
	EXPECT_GOOD(out(&bed.nexus, PREEMPT, 1, 1, 0));
	EXPECT_ATTENTION(&bed.other, SCSI_ASC_REGISTRATIONS_PREEMPTED);
	EXPECT_CONFLICT(out(&bed.other, RESERVE, 1, 2, 0));
	assert_int_equal(in(0), 8);
	assert_int_equal(in(1), 16);
	assert_int_equal(data[21], 1);
}

/*
 * SPC-4 5.13.11.2.7: as PREEMPT, and the commands of those that lose their registrations are to be ended, of nobody else.
 * Whose commands were ended is told so (SAM-4 5.6), and of its registration as well; after a reset, of the reset alone.
 */
static void is_preempted_with_its_commands(void **state)
{
	struct scsi_nexus third;

	(void)state;
	scsi_nexus_init(&third, &bed.dev);
	third.power_on = 0;
	EXPECT_GOOD(out(&bed.nexus, REGISTER, 0, 0, 1));
	EXPECT_GOOD(out(&bed.other, REGISTER, 0, 0, 2));
	EXPECT_GOOD(out(&third, REGISTER, 0, 0, 2));
	EXPECT_GOOD(out(&bed.other, RESERVE, 3, 2, 0));
	EXPECT_CONFLICT(out(&bed.nexus, PREEMPT_AND_ABORT, 3, 1, 99));
	assert_int_equal(bed.last.preempted, 0);
	EXPECT_SENSE(out(&bed.nexus, PREEMPT_AND_ABORT, 3, 1, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_FIELD);
	EXPECT_GOOD(out(&bed.nexus, PREEMPT_AND_ABORT, 1, 1, 2));
	assert_int_equal(bed.last.preempted, 2);
	assert_true(scsi_preempts(&bed.last, &bed.other));
	assert_true(scsi_preempts(&bed.last, &third));
	assert_false(scsi_preempts(&bed.last, &bed.nexus));
	assert_int_equal(in(1), 16);
	assert_int_equal(bed_be(data, 4), 4);
	assert_int_equal(bed_be(data + 8, 8), 1);
	assert_int_equal(data[21], 1);
	scsi_nexus_cleared(&bed.other);
	EXPECT_ATTENTION(&bed.other, SCSI_ASC_CLEARED);
	EXPECT_ATTENTION(&bed.other, SCSI_ASC_REGISTRATIONS_PREEMPTED);
	EXPECT_GOOD(bed_run_on(&bed.other, 0, CDB(0), NULL, 0));
	EXPECT_ATTENTION(&third, SCSI_ASC_REGISTRATIONS_PREEMPTED);
	EXPECT_GOOD(bed_run_on(&third, 0, CDB(0), NULL, 0));
	/* PREEMPT ends no commands. */
	EXPECT_GOOD(out(&third, REGISTER, 0, 0, 2));
	EXPECT_GOOD(out(&bed.nexus, PREEMPT, 1, 1, 2));
	assert_int_equal(bed.last.preempted, 0);
	scsi_nexus_cleared(&bed.other);
	scsi_device_reset(&bed.dev);
	EXPECT_ATTENTION(&bed.other, SCSI_ASC_RESET);
	EXPECT_GOOD(bed_run_on(&bed.other, 0, CDB(0), NULL, 0));
}

static u8 move_with(struct scsi_nexus *nexus, u64 key, u64 new_key, const u8 *port, u32 at, u8 value)
{
	u8 list[48] = { 0 };

	put(list, 8, key);
	put(list + 8, 8, new_key);
	list[19] = 1;
	list[23] = 24;
	list[24] = 4;
	memcpy(list + 32, port, SCSI_PORT_LEN);
	if (at)
		list[at] = value;
	return bed_run_on(nexus, 0, CDB(0x5f, REGISTER_AND_MOVE, 0, 0, 0, 0, 0, 0, 48), list, 48);
}

/* SPC-4 5.13.8 and 6.16.4; statuses as Linux's drivers/target/target_core_pr.c has them. */
static void is_moved(void **state)
{
	static const struct {
		u8 at, value;
	} wrong[] = { { 17, 1 }, { 17, 4 }, { 18, 1 }, { 19, 0 }, { 23, 20 }, { 24, 5 }, { 24, 0x44 } };
	u8 zero[48] = { 0 };
	u32 i;

	(void)state;
	EXPECT_CONFLICT(move_with(&bed.nexus, 0, 2, bed.other.port, 0, 0)); /* not registered */
	EXPECT_GOOD(out(&bed.nexus, REGISTER, 0, 0, 1));
	EXPECT_CONFLICT(move_with(&bed.nexus, 9, 2, bed.other.port, 0, 0));
	EXPECT_SENSE(move_with(&bed.nexus, 1, 2, bed.other.port, 0, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_CDB_FIELD);
	EXPECT_GOOD(out(&bed.nexus, RESERVE, 1, 1, 0));
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		EXPECT_SENSE(move_with(&bed.nexus, 1, 2, bed.other.port, wrong[i].at, wrong[i].value),
			     SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_FIELD);
	}
	EXPECT_SENSE(move_with(&bed.nexus, 1, 0, bed.other.port, 0, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_FIELD);
	EXPECT_SENSE(move_with(&bed.nexus, 1, 2, bed.nexus.port, 0, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_FIELD);
	for (i = 0; i < 48; i += 23)
		EXPECT_SENSE(bed_run(CDB(0x5f, REGISTER_AND_MOVE, 0, 0, 0, 0, 0, 0, i), zero, i), SCSI_ILLEGAL_REQUEST,
			     SCSI_ASC_LIST_LENGTH);
	assert_int_equal(in(0), 8);
	assert_int_equal(bed_be(data, 4), 1);
	/* It has the reservation, and nobody is told; who had it stays registered. */
	EXPECT_GOOD(move_with(&bed.nexus, 1, 2, bed.other.port, 0, 0));
	assert_int_equal(in(0), 16);
	assert_int_equal(bed_be(data, 4), 2);
	assert_int_equal(in(1), 16);
	assert_int_equal(bed_be(data + 8, 8), 2);
	assert_int_equal(data[21], 1);
	EXPECT_CONFLICT(bed_run(CDB(0x2a, [8] = 1), data, 512));
	EXPECT_GOOD(bed_run_on(&bed.other, 0, CDB(0x2a, [8] = 1), data, 512));
	EXPECT_CONFLICT(move_with(&bed.nexus, 1, 3, bed.other.port, 0, 0)); /* isn't the holder any more */
	/* Back, with another key, and out of the registrations. */
	EXPECT_GOOD(move_with(&bed.other, 2, 7, bed.nexus.port, 17, 2));
	assert_int_equal(in(0), 8);
	assert_int_equal(bed_be(data + 8, 8), 7);
	EXPECT_CONFLICT(bed_run_on(&bed.other, 0, CDB(0x2a, [8] = 1), data, 512));
	EXPECT_GOOD(bed_run(CDB(0x2a, [8] = 1), data, 512));
	/* What all registrants hold can't be moved. */
	EXPECT_GOOD(out(&bed.nexus, RELEASE, 1, 7, 0));
	EXPECT_GOOD(out(&bed.nexus, RESERVE, 7, 7, 0));
	EXPECT_CONFLICT(move_with(&bed.nexus, 7, 2, bed.other.port, 0, 0));
}

/* A port is known again by its identifier, after a reset of the unit, too; a new connection hears of power on alone. */
static void outlives_connections(void **state)
{
	static const u8 port[SCSI_PORT_LEN] = { 1, 2, 3, [15] = 16 };
	struct scsi_nexus before, after;

	(void)state;
	scsi_nexus_init(&before, &bed.dev);
	scsi_nexus_name(&before, port);
	before.power_on = 0;
	EXPECT_GOOD(out(&before, REGISTER, 0, 0, 7));
	EXPECT_GOOD(out(&before, RESERVE, 3, 7, 0));
	scsi_device_reset(&bed.dev);
	EXPECT_ATTENTION(&bed.nexus, SCSI_ASC_RESET);
	EXPECT_CONFLICT(bed_run(CDB(0x28, [8] = 1), data, 512));
	scsi_nexus_init(&after, &bed.dev);
	scsi_nexus_name(&after, port);
	EXPECT_ATTENTION(&after, SCSI_ASC_POWER_ON);
	EXPECT_GOOD(bed_run_on(&after, 0, CDB(0x28, [8] = 1), data, 512));
	/* SPC-4 6.15.5: who it is, as SRP says it. */
	assert_int_equal(in(3), 48);
	assert_int_equal(bed_be(data + 8, 8), 7);
	assert_int_equal(data[20], 1);
	assert_int_equal(data[21], 3);
	assert_int_equal(bed_be(data + 28, 4), 24);
	assert_int_equal(data[32], 4);
	assert_memory_equal(data + 40, port, 16);
	EXPECT_GOOD(out(&bed.nexus, REGISTER, 0, 0, 1));
	EXPECT_GOOD(out(&bed.nexus, PREEMPT, 3, 1, 7));
	scsi_nexus_init(&after, &bed.dev);
	scsi_nexus_name(&after, port);
	EXPECT_ATTENTION(&after, SCSI_ASC_POWER_ON);
	EXPECT_GOOD(bed_run_on(&after, 0, CDB(0), NULL, 0));
}

static void has_room_for_so_many(void **state)
{
	struct scsi_nexus many[SCSI_REGISTRANTS + 1];
	u32 i, n = SCSI_REGISTRANTS;

	(void)state;
	for (i = 0; i <= n; i++) {
		scsi_nexus_init(&many[i], &bed.dev);
		many[i].power_on = 0;
		if (i < n)
			EXPECT_GOOD(out(&many[i], REGISTER, 0, 0, 9));
	}
	EXPECT_SENSE(out(&many[n], REGISTER, 0, 0, 9), SCSI_ILLEGAL_REQUEST, SCSI_ASC_REGISTRANTS);
	assert_int_equal(in(3), 48 * n);
	/* Places whose ports have yet to hear that they lost theirs are free all the same. */
	EXPECT_GOOD(out(&many[0], CLEAR, 0, 9, 0));
	for (i = 1; i <= n; i++)
		EXPECT_GOOD(bed_run_on(&many[i], 0, CDB(0x12, [4] = 36), data, 36));
	many[n].power_on = 0;
	EXPECT_GOOD(out(&many[n], REGISTER, 0, 0, 9));
	EXPECT_ATTENTION(&many[5], SCSI_ASC_RESERVATIONS_PREEMPTED);
	EXPECT_GOOD(out(&many[5], REGISTER, 0, 0, 9));
	assert_int_equal(in(0), 16);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bed_begin, bed_end)
	const struct CMUnitTest tests[] = {
		TEST(has_keys),
		TEST(tells_its_capabilities),
		TEST(refuses_wrong_lists),
		TEST(excludes_commands),
		TEST(is_released),
		TEST(is_preempted),
		TEST(is_preempted_with_its_commands),
		TEST(is_moved),
		TEST(outlives_connections),
		TEST(has_room_for_so_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
