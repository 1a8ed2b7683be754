/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A SCSI device server for one disk (SPC-4, SBC-3), made for a target that moves data
 * by RDMA, in pieces, in any order: it never asks for more memory than the caller
 * lends, and knows nothing of transports. Called by the SRP target, and by tests and
 * the fuzzer in its place.
 *
 * The life of a command:
 *
 *	scsi_begin(&cmd, nexus, lun, cdb, cdb_len, buf);
 *	scsi_limit(&cmd, what the initiator has room for, or sends);
 *	switch (cmd.phase) {
 *	case SCSI_NO_DATA:	break;
 *	case SCSI_REPLY:	send cmd.expect bytes of buf; break;
 *	case SCSI_DATA_IN:	scsi_read() pieces until cmd.expect bytes were read, and send them; break;
 *	case SCSI_DATA_OUT:	fetch pieces and scsi_write() them until cmd.expect bytes were; break;
 *	}
 *	status = scsi_finish(&cmd, sense, &sense_len);
 *
 * After a piece that failed the rest needn't be moved. The residual is the caller's: cmd.length is what the
 * command asks for, cmd.expect what was to be moved. A command that was begun holds nothing: to abort it is not
 * to finish it.
 */
#ifndef SRP_SCSI_H
#define SRP_SCSI_H

#include "lun.h"

#define SCSI_LUN_LEN 8
#define SCSI_CDB_MAX 16
#define SCSI_BUF 8192 /* what a caller lends each command: COMPARE AND WRITE of a block of 4,096 bytes needs so much */
#define SCSI_SENSE_MAX 32

enum scsi_status {
	SCSI_GOOD = 0x00,
	SCSI_CHECK_CONDITION = 0x02,
	SCSI_RESERVATION_CONFLICT = 0x18, /* has no sense data */
};

enum scsi_key {
	SCSI_NO_SENSE = 0x0,
	SCSI_NOT_READY = 0x2,
	SCSI_MEDIUM_ERROR = 0x3,
	SCSI_HARDWARE_ERROR = 0x4,
	SCSI_ILLEGAL_REQUEST = 0x5,
	SCSI_UNIT_ATTENTION = 0x6,
	SCSI_DATA_PROTECT = 0x7,
	SCSI_ABORTED_COMMAND = 0xb,
	SCSI_MISCOMPARE = 0xe,
};

/* Additional sense code and its qualifier (SPC-4 annex F). */
#define SCSI_ASC_NONE 0x0000
#define SCSI_ASC_STOPPED 0x0402 /* initializing command required */
#define SCSI_ASC_INTERVENTION 0x0403 /* manual intervention required */
#define SCSI_ASC_WRITE_ERROR 0x0c00
#define SCSI_ASC_UNIT_FIELD 0x0e03 /* invalid field in command information unit */
#define SCSI_ASC_READ_ERROR 0x1100
#define SCSI_ASC_LIST_LENGTH 0x1a00
#define SCSI_ASC_MISCOMPARE 0x1d00
#define SCSI_ASC_OPCODE 0x2000
#define SCSI_ASC_LBA_RANGE 0x2100
#define SCSI_ASC_CDB_FIELD 0x2400
#define SCSI_ASC_LUN 0x2500
#define SCSI_ASC_LIST_FIELD 0x2600
#define SCSI_ASC_RELEASE 0x2604 /* invalid release of persistent reservation */
#define SCSI_ASC_WRITE_PROTECTED 0x2700
#define SCSI_ASC_NO_SPACE 0x2707
#define SCSI_ASC_POWER_ON 0x2900
#define SCSI_ASC_RESET 0x2903
#define SCSI_ASC_MODE_CHANGED 0x2a01
#define SCSI_ASC_RESERVATIONS_PREEMPTED 0x2a03
#define SCSI_ASC_RESERVATIONS_RELEASED 0x2a04
#define SCSI_ASC_REGISTRATIONS_PREEMPTED 0x2a05
#define SCSI_ASC_CLEARED 0x2f00 /* commands cleared by another initiator */
#define SCSI_ASC_SAVING 0x3900
#define SCSI_ASC_NO_MEDIUM 0x3a00
#define SCSI_ASC_INTERNAL 0x4400
#define SCSI_ASC_DATA_PHASE 0x4b00
#define SCSI_ASC_REGISTRANTS 0x5504 /* insufficient registration resources */

/**
 * struct scsi_sense - what went wrong, before it has a format
 * @info_valid, @info: the first block that it went wrong at
 * @sks_valid: for ILLEGAL REQUEST: the next four are true
 * @in_cdb: the wrong field is in the CDB, else in the parameter list
 * @bit_valid, @bit: its highest wrong bit
 * @field: its byte
 */
struct scsi_sense {
	u8 key;
	u16 asc;
	bool info_valid;
	bool sks_valid;
	bool in_cdb;
	bool bit_valid;
	u8 bit;
	u16 field;
	u64 info;
};

/**
 * scsi_sense_encode() - sense data as it is sent (SPC-4 4.5)
 * @descriptor: descriptor format; else fixed, which has no room for a block above 2^32
 *
 * Return: bytes of @out that were filled, at most SCSI_SENSE_MAX
 */
u32 scsi_sense_encode(const struct scsi_sense *s, bool descriptor, u8 out[SCSI_SENSE_MAX]);

#define SCSI_PORT_LEN 16
#define SCSI_REGISTRANTS 64

/**
 * struct scsi_registrant - an initiator port that has registered a key, or that has yet to hear that it lost its
 * @port: its identifier
 * @key: 0: it isn't registered any more
 * @attention: what it is to be told; 0: nothing
 */
struct scsi_registrant {
	u8 port[SCSI_PORT_LEN];
	u64 key;
	u16 attention;
};

/**
 * struct scsi_reservations - persistent reservations (SPC-4 5.13); they outlive resets and connections, but not the device
 * @type: of the reservation, SPC-4 table 67; 0: there is none. Changed under the lock, read without.
 * @news: registrants that are to be told something; likewise
 * @generation: PRGENERATION
 * @holder: the registrant that has it, unless all registrants do
 */
struct scsi_reservations {
	u32 type;
	u32 news;

	pthread_mutex_t lock; /* what follows */
	u32 generation;
	const struct scsi_registrant *holder;
	struct scsi_registrant registrants[SCSI_REGISTRANTS];
};

/**
 * struct scsi_device - the device server of one medium; shared by all connections
 * @modes: the mode parameters that can be changed, SCSI_MODE_*
 * @mode_changes, @resets: how often; connections that see a new number tell their initiator
 * @stopped: by START STOP UNIT
 * @nexuses: how many there have been
 */
struct scsi_device {
	struct lun *lun;
	u32 max_blocks; /* of one command */
	u32 shift; /* log2 of the block size */

	u32 modes; /* these five are only touched atomically */
	u32 mode_changes;
	u32 resets;
	u32 stopped;
	u32 nexuses;

	struct scsi_reservations reservations;
};

#define SCSI_MODE_WCE 1u /* writes may stay in the cache */
#define SCSI_MODE_D_SENSE 2u /* sense data has the descriptor format */

/**
 * struct scsi_nexus - one initiator's view of a device (SAM's I_T nexus)
 *
 * Several threads may have commands of one nexus in hand.
 */
struct scsi_nexus {
	struct scsi_device *dev;
	u32 power_on; /* unit attentions to be told; all of these are only touched atomically */
	u32 mode_changes; /* those of the device that the initiator knows of */
	u32 resets;
	u32 cleared; /* commands of it were ended by another */
	u32 sync_errors; /* for lun_sync() */
	u8 port[SCSI_PORT_LEN]; /* the initiator port */
};

/** scsi_lun_exists() - is it logical unit 0, by peripheral device or flat space addressing (SAM-4 4.6)? Also for task management */
bool scsi_lun_exists(const u8 lun[SCSI_LUN_LEN]);

/** scsi_device_init() - @lun must stay open as long as the device is used */
void scsi_device_init(struct scsi_device *dev, struct lun *lun);

/** scsi_device_reset() - LOGICAL UNIT RESET: default modes, started; and every nexus has a unit attention */
void scsi_device_reset(struct scsi_device *dev);

/** scsi_nexus_init() - a new connection: its first command meets the power-on unit attention */
void scsi_nexus_init(struct scsi_nexus *nexus, struct scsi_device *dev);

/**
 * scsi_nexus_name() - it belongs to this initiator port; without, it is a port of its own
 * @port: by which a later connection finds its registration again
 */
void scsi_nexus_name(struct scsi_nexus *nexus, const u8 port[SCSI_PORT_LEN]);

/**
 * scsi_nexus_cleared() - commands of it are ended by another nexus's task management, or by its PREEMPT AND ABORT
 *
 * Its initiator gets a unit attention (SAM-4 5.6), because TAS in the control page is 0: the commands end without a
 * response.
 */
void scsi_nexus_cleared(struct scsi_nexus *nexus);

/** enum scsi_phase - who moves what after scsi_begin(); see the head of this file */
enum scsi_phase {
	SCSI_NO_DATA,
	SCSI_REPLY,
	SCSI_DATA_IN,
	SCSI_DATA_OUT,
};

struct scsi_op;

/**
 * struct scsi_cmd - one command in hand
 * @op: its row in the table of commands; NULL: unknown
 * @lba, @blocks: of the medium, where the command has such; checked
 * @length: bytes that the command asks to move, exactly
 * @expect: those that will be, after scsi_limit()
 * @moved: those that were
 * @status: an enum scsi_status; not GOOD as soon as that is certain
 * @absent: for a logical unit that doesn't exist
 * @preempted: after scsi_finish(): ports whose commands are to be ended before this one is answered: scsi_preempts()
 *
 * Callers read phase, length, expect, status and preempted, and write nothing.
 */
struct scsi_cmd {
	enum scsi_phase phase;
	u8 status;
	bool absent;
	u32 preempted;
	u64 length, expect, moved;
	u64 lba, blocks;
	const struct scsi_op *op;
	struct scsi_device *dev;
	struct scsi_nexus *nexus;
	u8 *buf;
	u8 cdb[SCSI_CDB_MAX];
	struct scsi_sense sense;
};

/**
 * scsi_parse() - what a CDB says, and whether it may
 * @cmd: op, lba, blocks, length, phase and status are set; for SCSI_REPLY length is the allocation length,
 *       of which scsi_begin() makes the length of the reply
 * @cdb: @len bytes; what follows the command's own length is ignored, as transports pad
 *
 * Checks operation code, reserved bits, service action and the range of blocks, against the device as it is.
 * Touches no medium and no unit attention. Return: true, or false with cmd->sense set
 */
bool scsi_parse(struct scsi_cmd *cmd, struct scsi_device *dev, const u8 *cdb, u32 len);

/**
 * scsi_begin() - take a command in hand: check it, and make its reply if that is all that it wants
 * @lun: the eight bytes of SAM; only logical unit 0 exists
 * @buf: SCSI_BUF bytes that belong to the command until it is finished
 *
 * Waits for the medium only if scsi_begin_waits() says so. cmd->length is exact afterwards, also of a reply.
 */
void scsi_begin(struct scsi_cmd *cmd, struct scsi_nexus *nexus, const u8 lun[SCSI_LUN_LEN], const u8 *cdb, u32 len,
		u8 *buf);

/** scsi_begin_waits() - may scsi_begin() wait for the medium with this CDB? Such a command only looks. */
bool scsi_begin_waits(const u8 *cdb, u32 len);

/** scsi_only_looks() - a command that was begun: it changes neither the medium nor the device, at whatever point it is left */
bool scsi_only_looks(const struct scsi_cmd *cmd);

/**
 * scsi_limit() - the initiator has room for @bytes, or sends them, whatever its CDB says
 *
 * No more than that is moved. A command that can't be done with so many bytes fails here, before any is moved, with
 * ILLEGAL REQUEST and INVALID FIELD IN COMMAND INFORMATION UNIT: a write whose last block would be half a new one, a
 * comparison of less than all blocks, a WRITE SAME or COMPARE AND WRITE with too few bytes or too many. Call it once.
 */
void scsi_limit(struct scsi_cmd *cmd, u64 bytes);

/**
 * scsi_read() - a piece of a command in SCSI_DATA_IN, from the medium to @to
 * @at: byte of the command's data, not of the medium
 *
 * Return: true, or false: the command has failed, and goes to scsi_finish()
 */
bool scsi_read(struct scsi_cmd *cmd, u64 at, void *to, size_t len);

/**
 * scsi_read_now() - scsi_read(), and later scsi_finish(), if neither has to wait for the medium
 *
 * Return: true; or false, and nothing has happened: scsi_read() is to be called where waiting is no harm
 */
bool scsi_read_now(struct scsi_cmd *cmd, u64 at, void *to, size_t len);

/**
 * scsi_read_where() - a caller that reaches the medium's bytes by itself may read a piece in place of scsi_read_now()
 * @where: set to the first byte on the medium
 *
 * Return: false: it may not
 */
bool scsi_read_where(const struct scsi_cmd *cmd, u64 at, size_t len, u64 *where);

/** scsi_read_there() - it has read and moved @len bytes so */
void scsi_read_there(struct scsi_cmd *cmd, size_t len);

/** scsi_write() - a piece of a command in SCSI_DATA_OUT: written, compared or put by. Return: as scsi_read() */
bool scsi_write(struct scsi_cmd *cmd, u64 at, const void *from, size_t len);

/**
 * scsi_finish() - do what is left, and end the command; may wait for the medium
 * @sense: filled if the status is CHECK CONDITION
 * @sense_len: set to the bytes of it, or to 0
 *
 * Every byte that was expected must have been moved; else the command fails with ABORTED COMMAND.
 * Return: its enum scsi_status
 */
u8 scsi_finish(struct scsi_cmd *cmd, u8 sense[SCSI_SENSE_MAX], u32 *sense_len);

/** scsi_preempts() - of a PREEMPT AND ABORT that was finished and still has its buffer: are this nexus's commands among those that it ends? */
bool scsi_preempts(const struct scsi_cmd *cmd, const struct scsi_nexus *nexus);

#endif
