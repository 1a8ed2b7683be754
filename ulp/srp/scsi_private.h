/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the files of the device server share with one another: the table of commands,
 * big-endian fields, and the ways to fail.
 */
#ifndef SRP_SCSI_PRIVATE_H
#define SRP_SCSI_PRIVATE_H

#include <string.h>

#include "scsi.h"

/* Where a CDB has its block address and number of blocks. */
enum scsi_form {
	FORM_PLAIN, /* nowhere */
	FORM_6,
	FORM_10,
	FORM_12,
	FORM_16,
	FORM_COMPARE,
	FORM_STATUS, /* an address alone */
};

#define SCSI_WRITE_SAME_MAX (1u << 30) /* bytes that one WRITE SAME may fill */
#define SCSI_UNMAP_MAX 255u /* ranges of one UNMAP; they and their header fit into SCSI_BUF */
#define SCSI_COMPARE_MAX (SCSI_BUF / 2u) /* bytes that one COMPARE AND WRITE may change */

enum scsi_kind {
	KIND_REPLY, /* answered from what is known, by @reply */
	KIND_NO_DATA, /* done at the end, by @finish */
	KIND_LIST, /* a parameter list, then @finish */
	KIND_RANGES, /* a parameter list that may be longer than SCSI_BUF, then @finish */
	KIND_READ,
	KIND_WRITE,
	KIND_WRITE_VERIFY,
	KIND_COMPARE_AND_WRITE,
	KIND_VERIFY,
	KIND_WRITE_SAME,
};

#define OP_ATTENTION_LATER 1u /* is done with a unit attention pending (SAM-4 5.14) */
#define OP_ANY_LUN 2u /* is answered for logical units that don't exist */
#define OP_MEDIUM 4u /* needs a unit that is started */
#define OP_CHANGES 8u /* not on a read-only medium */
#define OP_READS 32u /* only a reservation that excludes readers is in its way */
#define OP_RESERVED 64u /* no reservation is in its way, or it sees to that itself */
#define OP_SERVICE_ACTION 16u /* the low five bits of byte 1 belong to the operation code */

/**
 * struct scsi_op - one command
 * @usage: each bit of the CDB that an initiator may set; for REPORT SUPPORTED OPERATION CODES, too
 * @alloc_at, @alloc_size: the field with the length of the reply or of the parameter list
 * @reply: for KIND_REPLY: fills cmd->buf. Return: bytes, at most SCSI_BUF, or 0 with the command failed or with
 *         nothing to say
 * @finish: what is done at the end; fails the command if it can't
 */
struct scsi_op {
	u8 usage[SCSI_CDB_MAX];
	u8 len;
	u8 action;
	u8 form;
	u8 kind;
	u16 flags;
	u8 alloc_at, alloc_size;
	u32 (*reply)(struct scsi_cmd *cmd);
	void (*finish)(struct scsi_cmd *cmd);
};

extern const struct scsi_op scsi_ops[];
extern const u32 scsi_ops_count;

/** scsi_op_find() - the first row of an operation code, or NULL */
const struct scsi_op *scsi_op_find(u8 opcode);
/** scsi_op_action() - the row of that operation code with this service action, or NULL; @op: the first row */
const struct scsi_op *scsi_op_action(const struct scsi_op *op, u32 action);

/* Replies. */
u32 scsi_inquiry(struct scsi_cmd *cmd);
u32 scsi_lba_status(struct scsi_cmd *cmd);
u32 scsi_mode_sense(struct scsi_cmd *cmd);
u32 scsi_request_sense(struct scsi_cmd *cmd);
u32 scsi_read_capacity_10(struct scsi_cmd *cmd);
u32 scsi_read_capacity_16(struct scsi_cmd *cmd);
u32 scsi_report_luns(struct scsi_cmd *cmd);
u32 scsi_report_opcodes(struct scsi_cmd *cmd);
u32 scsi_reserve_in(struct scsi_cmd *cmd);

/* Ends. */
void scsi_compare_and_write(struct scsi_cmd *cmd);
void scsi_mode_select(struct scsi_cmd *cmd);
void scsi_reserve_out(struct scsi_cmd *cmd);
void scsi_start_stop(struct scsi_cmd *cmd);
void scsi_sync_cache(struct scsi_cmd *cmd);
void scsi_test_unit(struct scsi_cmd *cmd);
void scsi_unmap(struct scsi_cmd *cmd);
void scsi_read_end(struct scsi_cmd *cmd);
void scsi_write_end(struct scsi_cmd *cmd);
void scsi_write_same_end(struct scsi_cmd *cmd);
void scsi_write_verify_end(struct scsi_cmd *cmd);
void scsi_verify_end(struct scsi_cmd *cmd);

/** scsi_attention() - take the unit attention that is due. Return: its code, or 0 */
u16 scsi_attention(struct scsi_nexus *nexus);

/** scsi_reservation_attention() - likewise, what became of its reservation or registration */
u16 scsi_reservation_attention(struct scsi_nexus *nexus);
/** scsi_reservation_conflicts() - does a reservation of others stand against the command? */
bool scsi_reservation_conflicts(const struct scsi_cmd *cmd);

/* Ways to fail. All of them return false, for the caller to return. */
bool scsi_fail(struct scsi_cmd *cmd, u8 key, u16 asc);
/** scsi_conflict() - RESERVATION CONFLICT, which has no sense data */
bool scsi_conflict(struct scsi_cmd *cmd);
/** scsi_fail_field() - a wrong field; @mask: the bits of it that are in byte @at */
bool scsi_fail_field(struct scsi_cmd *cmd, u16 asc, u32 at, u8 mask);
bool scsi_fail_lba(struct scsi_cmd *cmd, u8 key, u16 asc, u64 lba);
/** scsi_fail_read/write() - @err: a negative errno of the medium, met at byte @at of it */
bool scsi_fail_read(struct scsi_cmd *cmd, int err, u64 at);
bool scsi_fail_write(struct scsi_cmd *cmd, int err, u64 at);
/** scsi_flush() - lun_sync() for this command's nexus. Return: true, or false with the command failed */
bool scsi_flush(struct scsi_cmd *cmd);

/** scsi_range() - are these blocks there? Return: true, or false with the command failed */
bool scsi_range(struct scsi_cmd *cmd, u64 lba, u64 blocks);

static inline u64 scsi_blocks(const struct scsi_device *dev)
{
	return dev->lun->bytes >> dev->shift;
}

static inline u32 scsi_load(const u32 *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline u64 get_be(const u8 *p, u32 size)
{
	u64 v = 0;

	while (size--)
		v = v << 8 | *p++;
	return v;
}

static inline void put_be(u8 *p, u32 size, u64 v)
{
	while (size--) {
		p[size] = (u8)v;
		v >>= 8;
	}
}

#endif
