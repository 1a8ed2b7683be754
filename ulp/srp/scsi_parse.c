/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table of commands, and what a CDB says. A bit that the table doesn't allow is
 * an invalid field: reserved ones, the group number, protection, and all of the
 * control byte, NACA with it. The table is also what the initiator is told of it.
 */
#include "scsi_private.h"

#define ALL4 0xff, 0xff, 0xff, 0xff
#define NONE4 0, 0, 0, 0

/* clang-format off */
const struct scsi_op scsi_ops[] = {
	{ .usage = { 0x00 }, .len = 6, .kind = KIND_NO_DATA, .flags = OP_MEDIUM | OP_RESERVED, .finish = scsi_test_unit },
	{ .usage = { 0x03, 0x01, 0, 0, 0xff }, .len = 6, .kind = KIND_REPLY, .flags = OP_ATTENTION_LATER | OP_RESERVED | OP_ANY_LUN,
	  .alloc_at = 4, .alloc_size = 1, .reply = scsi_request_sense },
	{ .usage = { 0x08, 0x1f, 0xff, 0xff, 0xff }, .len = 6, .form = FORM_6, .kind = KIND_READ, .flags = OP_MEDIUM | OP_READS,
	  .finish = scsi_read_end },
	{ .usage = { 0x0a, 0x1f, 0xff, 0xff, 0xff }, .len = 6, .form = FORM_6, .kind = KIND_WRITE,
	  .flags = OP_MEDIUM | OP_CHANGES, .finish = scsi_write_end },
	{ .usage = { 0x12, 0x01, 0xff, 0xff, 0xff }, .len = 6, .kind = KIND_REPLY,
	  .flags = OP_ATTENTION_LATER | OP_RESERVED | OP_ANY_LUN, .alloc_at = 3, .alloc_size = 2, .reply = scsi_inquiry },
	{ .usage = { 0x15, 0x11, 0, 0, 0xff }, .len = 6, .kind = KIND_LIST, .alloc_at = 4, .alloc_size = 1,
	  .finish = scsi_mode_select },
	{ .usage = { 0x1a, 0x08, 0xff, 0xff, 0xff }, .len = 6, .kind = KIND_REPLY, .alloc_at = 4, .alloc_size = 1,
	  .reply = scsi_mode_sense },
	{ .usage = { 0x1b, 0x01, 0, 0, 0x05 }, .len = 6, .kind = KIND_NO_DATA, .flags = OP_RESERVED, .finish = scsi_start_stop },
	{ .usage = { 0x25 }, .len = 10, .kind = KIND_REPLY, .flags = OP_MEDIUM | OP_RESERVED, .reply = scsi_read_capacity_10 },
	{ .usage = { 0x28, 0x18, ALL4, 0, 0xff, 0xff }, .len = 10, .form = FORM_10, .kind = KIND_READ,
	  .flags = OP_MEDIUM | OP_READS, .finish = scsi_read_end },
	{ .usage = { 0x2a, 0x18, ALL4, 0, 0xff, 0xff }, .len = 10, .form = FORM_10, .kind = KIND_WRITE,
	  .flags = OP_MEDIUM | OP_CHANGES, .finish = scsi_write_end },
	{ .usage = { 0x2e, 0x12, ALL4, 0, 0xff, 0xff }, .len = 10, .form = FORM_10, .kind = KIND_WRITE_VERIFY,
	  .flags = OP_MEDIUM | OP_CHANGES, .finish = scsi_write_verify_end },
	{ .usage = { 0x2f, 0x16, ALL4, 0, 0xff, 0xff }, .len = 10, .form = FORM_10, .kind = KIND_VERIFY,
	  .flags = OP_MEDIUM | OP_READS, .finish = scsi_verify_end },
	{ .usage = { 0x35, 0x02, ALL4, 0, 0xff, 0xff }, .len = 10, .form = FORM_10, .kind = KIND_NO_DATA,
	  .flags = OP_MEDIUM, .finish = scsi_sync_cache },
	{ .usage = { 0x41, 0x08, ALL4, 0, 0xff, 0xff }, .len = 10, .form = FORM_10, .kind = KIND_WRITE_SAME,
	  .flags = OP_MEDIUM | OP_CHANGES, .finish = scsi_write_same_end },
	{ .usage = { 0x42, 0, NONE4, 0, 0xff, 0xff }, .len = 10, .kind = KIND_RANGES, .flags = OP_MEDIUM | OP_CHANGES,
	  .alloc_at = 7, .alloc_size = 2, .finish = scsi_unmap },
	{ .usage = { 0x55, 0x11, NONE4, 0, 0xff, 0xff }, .len = 10, .kind = KIND_LIST, .alloc_at = 7, .alloc_size = 2,
	  .finish = scsi_mode_select },
	{ .usage = { 0x5a, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff }, .len = 10, .kind = KIND_REPLY, .alloc_at = 7,
	  .alloc_size = 2, .reply = scsi_mode_sense },
	{ .usage = { 0x5e, 0x1f, NONE4, 0, 0xff, 0xff }, .len = 10, .action = 0, .kind = KIND_REPLY,
	  .flags = OP_SERVICE_ACTION | OP_RESERVED, .alloc_at = 7, .alloc_size = 2, .reply = scsi_reserve_in },
	{ .usage = { 0x5e, 0x1f, NONE4, 0, 0xff, 0xff }, .len = 10, .action = 1, .kind = KIND_REPLY,
	  .flags = OP_SERVICE_ACTION | OP_RESERVED, .alloc_at = 7, .alloc_size = 2, .reply = scsi_reserve_in },
	{ .usage = { 0x5e, 0x1f, NONE4, 0, 0xff, 0xff }, .len = 10, .action = 2, .kind = KIND_REPLY,
	  .flags = OP_SERVICE_ACTION | OP_RESERVED, .alloc_at = 7, .alloc_size = 2, .reply = scsi_reserve_in },
	{ .usage = { 0x5e, 0x1f, NONE4, 0, 0xff, 0xff }, .len = 10, .action = 3, .kind = KIND_REPLY,
	  .flags = OP_SERVICE_ACTION | OP_RESERVED, .alloc_at = 7, .alloc_size = 2, .reply = scsi_reserve_in },
	{ .usage = { 0x5f, 0x1f, 0xff, 0, 0, ALL4 }, .len = 10, .action = 0, .kind = KIND_LIST,
	  .flags = OP_SERVICE_ACTION | OP_RESERVED, .alloc_at = 5, .alloc_size = 4, .finish = scsi_reserve_out },
	{ .usage = { 0x5f, 0x1f, 0xff, 0, 0, ALL4 }, .len = 10, .action = 1, .kind = KIND_LIST,
	  .flags = OP_SERVICE_ACTION | OP_RESERVED, .alloc_at = 5, .alloc_size = 4, .finish = scsi_reserve_out },
	{ .usage = { 0x5f, 0x1f, 0xff, 0, 0, ALL4 }, .len = 10, .action = 2, .kind = KIND_LIST,
	  .flags = OP_SERVICE_ACTION | OP_RESERVED, .alloc_at = 5, .alloc_size = 4, .finish = scsi_reserve_out },
	{ .usage = { 0x5f, 0x1f, 0xff, 0, 0, ALL4 }, .len = 10, .action = 3, .kind = KIND_LIST,
	  .flags = OP_SERVICE_ACTION | OP_RESERVED, .alloc_at = 5, .alloc_size = 4, .finish = scsi_reserve_out },
	{ .usage = { 0x5f, 0x1f, 0xff, 0, 0, ALL4 }, .len = 10, .action = 4, .kind = KIND_LIST,
	  .flags = OP_SERVICE_ACTION | OP_RESERVED, .alloc_at = 5, .alloc_size = 4, .finish = scsi_reserve_out },
	{ .usage = { 0x5f, 0x1f, 0xff, 0, 0, ALL4 }, .len = 10, .action = 5, .kind = KIND_LIST,
	  .flags = OP_SERVICE_ACTION | OP_RESERVED, .alloc_at = 5, .alloc_size = 4, .finish = scsi_reserve_out },
	{ .usage = { 0x5f, 0x1f, 0xff, 0, 0, ALL4 }, .len = 10, .action = 6, .kind = KIND_LIST,
	  .flags = OP_SERVICE_ACTION | OP_RESERVED, .alloc_at = 5, .alloc_size = 4, .finish = scsi_reserve_out },
	{ .usage = { 0x5f, 0x1f, 0xff, 0, 0, ALL4 }, .len = 10, .action = 7, .kind = KIND_LIST,
	  .flags = OP_SERVICE_ACTION | OP_RESERVED, .alloc_at = 5, .alloc_size = 4, .finish = scsi_reserve_out },
	{ .usage = { 0x88, 0x18, ALL4, ALL4, ALL4 }, .len = 16, .form = FORM_16, .kind = KIND_READ,
	  .flags = OP_MEDIUM | OP_READS, .finish = scsi_read_end },
	{ .usage = { 0x89, 0x18, ALL4, ALL4, 0, 0, 0, 0xff }, .len = 16, .form = FORM_COMPARE,
	  .kind = KIND_COMPARE_AND_WRITE, .flags = OP_MEDIUM | OP_CHANGES, .finish = scsi_compare_and_write },
	{ .usage = { 0x8a, 0x18, ALL4, ALL4, ALL4 }, .len = 16, .form = FORM_16, .kind = KIND_WRITE,
	  .flags = OP_MEDIUM | OP_CHANGES, .finish = scsi_write_end },
	{ .usage = { 0x8e, 0x12, ALL4, ALL4, ALL4 }, .len = 16, .form = FORM_16, .kind = KIND_WRITE_VERIFY,
	  .flags = OP_MEDIUM | OP_CHANGES, .finish = scsi_write_verify_end },
	{ .usage = { 0x8f, 0x16, ALL4, ALL4, ALL4 }, .len = 16, .form = FORM_16, .kind = KIND_VERIFY,
	  .flags = OP_MEDIUM | OP_READS, .finish = scsi_verify_end },
	{ .usage = { 0x91, 0x02, ALL4, ALL4, ALL4 }, .len = 16, .form = FORM_16, .kind = KIND_NO_DATA,
	  .flags = OP_MEDIUM, .finish = scsi_sync_cache },
	{ .usage = { 0x93, 0x09, ALL4, ALL4, ALL4 }, .len = 16, .form = FORM_16, .kind = KIND_WRITE_SAME,
	  .flags = OP_MEDIUM | OP_CHANGES, .finish = scsi_write_same_end },
	{ .usage = { 0x9e, 0x1f, NONE4, NONE4, ALL4 }, .len = 16, .action = 0x10, .kind = KIND_REPLY,
	  .flags = OP_MEDIUM | OP_RESERVED | OP_SERVICE_ACTION, .alloc_at = 10, .alloc_size = 4, .reply = scsi_read_capacity_16 },
	{ .usage = { 0x9e, 0x1f, ALL4, ALL4, ALL4 }, .len = 16, .action = 0x12, .form = FORM_STATUS, .kind = KIND_REPLY,
	  .flags = OP_MEDIUM | OP_READS | OP_SERVICE_ACTION, .alloc_at = 10, .alloc_size = 4, .reply = scsi_lba_status },
	{ .usage = { 0xa0, 0, 0xff, 0, 0, 0, ALL4 }, .len = 12, .kind = KIND_REPLY,
	  .flags = OP_ATTENTION_LATER | OP_RESERVED | OP_ANY_LUN, .alloc_at = 6, .alloc_size = 4, .reply = scsi_report_luns },
	{ .usage = { 0xa3, 0x1f, 0x87, 0xff, 0xff, 0xff, ALL4 }, .len = 12, .action = 0x0c, .kind = KIND_REPLY,
	  .flags = OP_SERVICE_ACTION | OP_RESERVED, .alloc_at = 6, .alloc_size = 4, .reply = scsi_report_opcodes },
	{ .usage = { 0xa8, 0x18, ALL4, ALL4 }, .len = 12, .form = FORM_12, .kind = KIND_READ,
	  .flags = OP_MEDIUM | OP_READS, .finish = scsi_read_end },
	{ .usage = { 0xaa, 0x18, ALL4, ALL4 }, .len = 12, .form = FORM_12, .kind = KIND_WRITE,
	  .flags = OP_MEDIUM | OP_CHANGES, .finish = scsi_write_end },
	{ .usage = { 0xae, 0x12, ALL4, ALL4 }, .len = 12, .form = FORM_12, .kind = KIND_WRITE_VERIFY,
	  .flags = OP_MEDIUM | OP_CHANGES, .finish = scsi_write_verify_end },
	{ .usage = { 0xaf, 0x16, ALL4, ALL4 }, .len = 12, .form = FORM_12, .kind = KIND_VERIFY,
	  .flags = OP_MEDIUM | OP_READS, .finish = scsi_verify_end },
};
/* clang-format on */

const u32 scsi_ops_count = sizeof(scsi_ops) / sizeof(scsi_ops[0]);

/* Where the number of blocks stands; the address begins at byte 2, or with five bits of byte 1. */
static const struct {
	u8 lba_at, lba_size, count_at, count_size;
} forms[] = {
	[FORM_6] = { 1, 3, 4, 1 },   [FORM_10] = { 2, 4, 7, 2 },       [FORM_12] = { 2, 4, 6, 4 },
	[FORM_16] = { 2, 8, 10, 4 }, [FORM_COMPARE] = { 2, 8, 13, 1 }, [FORM_STATUS] = { 2, 8, 0, 0 },
};

/* The table is sorted by operation code. */
const struct scsi_op *scsi_op_find(u8 opcode)
{
	u32 low = 0, high = scsi_ops_count;

	while (low < high) {
		u32 mid = (low + high) / 2;

		if (scsi_ops[mid].usage[0] < opcode)
			low = mid + 1;
		else
			high = mid;
	}
	return low < scsi_ops_count && scsi_ops[low].usage[0] == opcode ? &scsi_ops[low] : NULL;
}

const struct scsi_op *scsi_op_action(const struct scsi_op *op, u32 action)
{
	u8 opcode = op->usage[0];

	for (; op < scsi_ops + scsi_ops_count && op->usage[0] == opcode; op++)
		if (op->action == action)
			return op;
	return NULL;
}

bool scsi_range(struct scsi_cmd *cmd, u64 lba, u64 blocks)
{
	u64 all = scsi_blocks(cmd->dev);

	if (blocks <= all && lba <= all - blocks)
		return true;
	return scsi_fail_lba(cmd, SCSI_ILLEGAL_REQUEST, SCSI_ASC_LBA_RANGE, lba < all ? all : lba);
}

/* Operation code and reserved bits. */
static bool parse_bits(struct scsi_cmd *cmd, const u8 *cdb, u32 len)
{
	const struct scsi_op *op;
	u32 i;

	cmd->op = op = len ? scsi_op_find(cdb[0]) : NULL;
	if (!op)
		return scsi_fail(cmd, SCSI_ILLEGAL_REQUEST, SCSI_ASC_OPCODE);
	if (len < op->len)
		return scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, len, 0);
	if (op->flags & OP_SERVICE_ACTION) {
		op = scsi_op_action(op, cdb[1] & 0x1f);
		if (!op)
			return scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, 1, 0x1f);
		cmd->op = op;
	}
	memcpy(cmd->cdb, cdb, op->len);
	for (i = 1; i < op->len; i++)
		if (cdb[i] & ~op->usage[i])
			return scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, i, (u8)(cdb[i] & ~op->usage[i]));
	return true;
}

static bool parse_blocks(struct scsi_cmd *cmd)
{
	u32 form = cmd->op->form;

	cmd->lba = get_be(cmd->cdb + forms[form].lba_at, forms[form].lba_size);
	cmd->blocks = get_be(cmd->cdb + forms[form].count_at, forms[form].count_size);
	if (form == FORM_STATUS)
		cmd->blocks = 1; /* it asks about the blocks from here on, and there must be one */
	if (form == FORM_6) {
		cmd->lba &= 0x1fffff;
		if (!cmd->blocks)
			cmd->blocks = 256;
	}
	if (!scsi_range(cmd, cmd->lba, cmd->blocks))
		return false;
	if (cmd->blocks > cmd->dev->max_blocks && cmd->op->kind != KIND_NO_DATA)
		return scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, forms[form].count_at, 0);
	return true;
}

static bool parse_verify(struct scsi_cmd *cmd, u32 shift)
{
	switch (cmd->cdb[1] >> 1 & 3) {
	case 0:
		return true;
	case 1:
		cmd->length = cmd->blocks << shift;
		break;
	case 2:
		return scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, 1, 0x06);
	default:
		cmd->length = cmd->blocks ? 1u << shift : 0;
		break;
	}
	cmd->phase = SCSI_DATA_OUT;
	return true;
}

static bool parse_write_same(struct scsi_cmd *cmd, u32 shift)
{
	if (!cmd->blocks || cmd->blocks > SCSI_WRITE_SAME_MAX >> shift) /* the Block Limits page says both */
		return scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, forms[cmd->op->form].count_at, 0);
	if (cmd->op->form == FORM_16 && cmd->cdb[1] & 1)
		return true; /* no block is sent: zeros */
	cmd->phase = SCSI_DATA_OUT;
	cmd->length = 1u << shift;
	return true;
}

/* A list of ranges that is too long is judged by its header, which is in the buffer (SBC-3 5.28). */
static bool parse_list(struct scsi_cmd *cmd)
{
	cmd->phase = SCSI_DATA_OUT;
	cmd->length = get_be(cmd->cdb + cmd->op->alloc_at, cmd->op->alloc_size);
	if (cmd->length > SCSI_BUF && cmd->op->kind != KIND_RANGES)
		return scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, cmd->op->alloc_at, 0);
	return true;
}

/* As much as expected bytes as new ones. */
static bool parse_compare_and_write(struct scsi_cmd *cmd, u32 shift)
{
	if (cmd->blocks > SCSI_COMPARE_MAX >> shift)
		return scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, forms[FORM_COMPARE].count_at, 0);
	cmd->phase = SCSI_DATA_OUT;
	cmd->length = 2 * cmd->blocks << shift;
	return true;
}

static bool parse_kind(struct scsi_cmd *cmd, u32 shift)
{
	switch (cmd->op->kind) {
	case KIND_REPLY:
		cmd->phase = SCSI_REPLY;
		cmd->length = cmd->op->alloc_size ? get_be(cmd->cdb + cmd->op->alloc_at, cmd->op->alloc_size) : 8;
		return true;
	case KIND_LIST:
	case KIND_RANGES:
		return parse_list(cmd);
	case KIND_READ:
		cmd->phase = SCSI_DATA_IN;
		cmd->length = cmd->blocks << shift;
		return true;
	case KIND_WRITE:
	case KIND_WRITE_VERIFY:
		cmd->phase = SCSI_DATA_OUT;
		cmd->length = cmd->blocks << shift;
		return true;
	case KIND_VERIFY:
		return parse_verify(cmd, shift);
	case KIND_WRITE_SAME:
		return parse_write_same(cmd, shift);
	case KIND_COMPARE_AND_WRITE:
		return parse_compare_and_write(cmd, shift);
	default:
		return true;
	}
}

static bool parse(struct scsi_cmd *cmd, const u8 *cdb, u32 len)
{
	if (!parse_bits(cmd, cdb, len))
		return false;
	if (cmd->op->form != FORM_PLAIN && !parse_blocks(cmd))
		return false;
	return parse_kind(cmd, cmd->dev->shift);
}

bool scsi_parse(struct scsi_cmd *cmd, struct scsi_device *dev, const u8 *cdb, u32 len)
{
	memset(cmd, 0, sizeof(*cmd));
	cmd->dev = dev;
	if (!parse(cmd, cdb, len)) {
		cmd->phase = SCSI_NO_DATA;
		cmd->length = 0;
	}
	cmd->expect = cmd->length;
	return cmd->status == SCSI_GOOD;
}
