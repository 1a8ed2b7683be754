/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Commands that are answered from what is known: capacity, logical units, sense, and
 * which commands there are; and TEST UNIT READY and START STOP UNIT, which have no
 * data at all.
 */
#include <errno.h>

#include "scsi_private.h"

u32 scsi_read_capacity_10(struct scsi_cmd *cmd)
{
	u64 last = scsi_blocks(cmd->dev) - 1;

	put_be(cmd->buf, 4, last < UINT32_MAX ? last : UINT32_MAX); /* all ones: ask READ CAPACITY(16) */
	put_be(cmd->buf + 4, 4, cmd->dev->lun->block_size);
	return 8;
}

u32 scsi_read_capacity_16(struct scsi_cmd *cmd)
{
	const struct lun *lun = cmd->dev->lun;

	put_be(cmd->buf, 8, scsi_blocks(cmd->dev) - 1);
	put_be(cmd->buf + 8, 4, lun->block_size);
	cmd->buf[13] = lun->block_size == 512 ? 3 : 0; /* a page of the cache is one physical block */
	cmd->buf[14] = lun->read_only ? 0 : 0xc0; /* LBPME, LBPRZ */
	return 32;
}

u32 scsi_report_luns(struct scsi_cmd *cmd)
{
	u8 select = cmd->cdb[2];

	if (select > 2)
		return scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, 2, 0xff);
	if (cmd->length < 16) /* SPC-4 6.33: as much as one unit takes */
		return scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, 6, 0);
	if (select == 1) /* well known units: none */
		return 8;
	put_be(cmd->buf, 4, SCSI_LUN_LEN); /* and logical unit 0, all zeros */
	return 16;
}

u32 scsi_request_sense(struct scsi_cmd *cmd)
{
	struct scsi_sense s = { .key = SCSI_NO_SENSE };
	u16 attention;

	if (cmd->absent) {
		s = (struct scsi_sense){ .key = SCSI_ILLEGAL_REQUEST, .asc = SCSI_ASC_LUN };
	} else {
		attention = scsi_attention(cmd->nexus);
		if (attention)
			s = (struct scsi_sense){ .key = SCSI_UNIT_ATTENTION, .asc = attention };
		else if (scsi_load(&cmd->dev->stopped))
			s = (struct scsi_sense){ .key = SCSI_NOT_READY, .asc = SCSI_ASC_STOPPED };
	}
	return scsi_sense_encode(&s, cmd->cdb[1] & 1, cmd->buf);
}

/* SPC-4 6.34.4: a descriptor of timeouts, all of them unknown. */
static u32 put_timeouts(u8 *b)
{
	put_be(b, 2, 10);
	return 12;
}

static u32 all_commands(const struct scsi_cmd *cmd, bool timeouts)
{
	u8 *b = cmd->buf + 4;
	u32 i;

	for (i = 0; i < scsi_ops_count; i++) {
		const struct scsi_op *op = &scsi_ops[i];

		b[0] = op->usage[0];
		b[3] = op->action;
		b[5] = (u8)((timeouts ? 2 : 0) | (op->flags & OP_SERVICE_ACTION ? 1 : 0));
		b[7] = op->len;
		b += 8;
		if (timeouts)
			b += put_timeouts(b);
	}
	put_be(cmd->buf, 4, (u64)(b - cmd->buf - 4));
	return (u32)(b - cmd->buf);
}

static u32 one_command(const struct scsi_cmd *cmd, const struct scsi_op *op, bool timeouts)
{
	u8 *b = cmd->buf;

	if (!op) {
		b[1] = 1; /* not supported */
		return 4;
	}
	b[1] = (u8)((timeouts ? 0x80 : 0) | 3);
	put_be(b + 2, 2, op->len);
	memcpy(b + 4, op->usage, op->len);
	if (op->flags & OP_SERVICE_ACTION)
		b[5] = (u8)((op->usage[1] & ~0x1f) | op->action);
	return 4 + op->len + (timeouts ? put_timeouts(b + 4 + op->len) : 0);
}

u32 scsi_report_opcodes(struct scsi_cmd *cmd)
{
	bool timeouts = cmd->cdb[2] & 0x80;
	const struct scsi_op *op = scsi_op_find(cmd->cdb[3]);
	u32 action = (u32)get_be(cmd->cdb + 4, 2);
	bool has = op && op->flags & OP_SERVICE_ACTION;

	switch (cmd->cdb[2] & 7) {
	case 0:
		return all_commands(cmd, timeouts);
	case 1:
		if (has)
			return scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, 2, 0x07);
		break;
	case 2:
		if (op && !has)
			return scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, 2, 0x07);
		op = op ? scsi_op_action(op, action) : NULL;
		break;
	case 3:
		op = op ? scsi_op_action(op, action) : NULL;
		break;
	default:
		return scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, 2, 0x07);
	}
	return one_command(cmd, op, timeouts);
}

void scsi_test_unit(struct scsi_cmd *cmd)
{
	switch (lun_check(cmd->dev->lun)) {
	case 0:
		break;
	case -ENOENT:
		scsi_fail(cmd, SCSI_NOT_READY, SCSI_ASC_NO_MEDIUM);
		break;
	default: /* somebody has to give it its bytes back */
		scsi_fail(cmd, SCSI_NOT_READY, SCSI_ASC_INTERVENTION);
	}
}

/* IMMED needs nothing: we are never slower than an answer. */
void scsi_start_stop(struct scsi_cmd *cmd)
{
	bool start = cmd->cdb[4] & 1, no_flush = cmd->cdb[4] & 4;

	if (!start && !no_flush && !scsi_flush(cmd))
		return;
	__atomic_store_n(&cmd->dev->stopped, !start, __ATOMIC_RELEASE);
}
