/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The life of a command, from begin to finish, and what a device and its connections
 * remember between commands: modes, resets, unit attentions. What each command does
 * is in the other scsi_*.c; what a CDB may say, in scsi_parse.c.
 */
#include "scsi_private.h"

void scsi_device_init(struct scsi_device *dev, struct lun *lun)
{
	memset(dev, 0, sizeof(*dev));
	dev->lun = lun;
	dev->shift = lun->block_size == 512 ? 9 : 12;
	dev->max_blocks = UINT32_MAX >> dev->shift; /* SRP counts bytes in 32 bits */
	dev->modes = SCSI_MODE_WCE;
	pthread_mutex_init(&dev->reservations.lock, NULL);
}

void scsi_device_reset(struct scsi_device *dev)
{
	__atomic_store_n(&dev->modes, SCSI_MODE_WCE, __ATOMIC_RELEASE);
	__atomic_store_n(&dev->stopped, 0, __ATOMIC_RELEASE);
	__atomic_fetch_add(&dev->resets, 1, __ATOMIC_ACQ_REL);
}

void scsi_nexus_init(struct scsi_nexus *nexus, struct scsi_device *dev)
{
	nexus->dev = dev;
	nexus->power_on = 1;
	nexus->mode_changes = scsi_load(&dev->mode_changes);
	nexus->resets = scsi_load(&dev->resets);
	nexus->cleared = 0;
	nexus->sync_errors = lun_sync_errors(dev->lun);
	memset(nexus->port, 0, SCSI_PORT_LEN);
	put_be(nexus->port, 4, __atomic_add_fetch(&dev->nexuses, 1, __ATOMIC_RELAXED));
}

void scsi_nexus_name(struct scsi_nexus *nexus, const u8 port[SCSI_PORT_LEN])
{
	memcpy(nexus->port, port, SCSI_PORT_LEN);
}

/* Has a count moved since the nexus last looked? Of several threads that ask at once, one gets true. */
static bool news(u32 *known, const u32 *count)
{
	u32 now = scsi_load(count);

	return scsi_load(known) != now && __atomic_exchange_n(known, now, __ATOMIC_ACQ_REL) != now;
}

void scsi_nexus_cleared(struct scsi_nexus *nexus)
{
	__atomic_store_n(&nexus->cleared, 1, __ATOMIC_RELEASE);
}

/* A reset makes what was to be told before it void. */
u16 scsi_attention(struct scsi_nexus *nexus)
{
	struct scsi_device *dev = nexus->dev;

	if (scsi_load(&nexus->power_on) && __atomic_exchange_n(&nexus->power_on, 0, __ATOMIC_ACQ_REL)) {
		news(&nexus->resets, &dev->resets);
		news(&nexus->mode_changes, &dev->mode_changes);
		__atomic_store_n(&nexus->cleared, 0, __ATOMIC_RELEASE);
		scsi_reservation_attention(nexus);
		return SCSI_ASC_POWER_ON;
	}
	if (news(&nexus->resets, &dev->resets)) {
		news(&nexus->mode_changes, &dev->mode_changes);
		__atomic_store_n(&nexus->cleared, 0, __ATOMIC_RELEASE);
		return SCSI_ASC_RESET;
	}
	if (scsi_load(&nexus->cleared) && __atomic_exchange_n(&nexus->cleared, 0, __ATOMIC_ACQ_REL))
		return SCSI_ASC_CLEARED;
	return news(&nexus->mode_changes, &dev->mode_changes) ? SCSI_ASC_MODE_CHANGED :
								scsi_reservation_attention(nexus);
}

/* First level, number 0. */
bool scsi_lun_exists(const u8 lun[SCSI_LUN_LEN])
{
	return !(get_be(lun, SCSI_LUN_LEN) & ~(0x40ull << 56));
}

/* What stands against a command whose CDB is good. */
static bool refuse(struct scsi_cmd *cmd)
{
	const struct scsi_op *op = cmd->op;

	if (scsi_reservation_conflicts(cmd))
		return scsi_conflict(cmd);
	if (op->flags & OP_MEDIUM && scsi_load(&cmd->dev->stopped))
		return scsi_fail(cmd, SCSI_NOT_READY, SCSI_ASC_STOPPED);
	if (op->flags & OP_CHANGES && cmd->dev->lun->read_only)
		return scsi_fail(cmd, SCSI_DATA_PROTECT, SCSI_ASC_WRITE_PROTECTED);
	return true;
}

/*
 * A reply is cut to the room that the initiator has, which is the length that the CDB
 * names: that is no residual.
 */
static void reply(struct scsi_cmd *cmd)
{
	u32 n;

	memset(cmd->buf, 0, SCSI_BUF);
	n = cmd->op->reply(cmd);
	if (n < cmd->length)
		cmd->length = n;
}

static void check(struct scsi_cmd *cmd, const u8 *lun)
{
	u32 flags = cmd->op ? cmd->op->flags : 0;
	u16 attention;

	cmd->absent = !scsi_lun_exists(lun);
	if (cmd->absent && !(flags & OP_ANY_LUN)) {
		scsi_fail(cmd, SCSI_ILLEGAL_REQUEST, SCSI_ASC_LUN);
		return;
	}
	if (!(flags & OP_ATTENTION_LATER)) {
		attention = scsi_attention(cmd->nexus);
		if (attention) {
			scsi_fail(cmd, SCSI_UNIT_ATTENTION, attention);
			return;
		}
	}
	if (!cmd->op || cmd->status != SCSI_GOOD)
		return;
	if (refuse(cmd) && cmd->op->kind == KIND_REPLY)
		reply(cmd);
}

void scsi_begin(struct scsi_cmd *cmd, struct scsi_nexus *nexus, const u8 lun[SCSI_LUN_LEN], const u8 *cdb, u32 len,
		u8 *buf)
{
	scsi_parse(cmd, nexus->dev, cdb, len);
	cmd->nexus = nexus;
	cmd->buf = buf;
	check(cmd, lun);
	if (cmd->status != SCSI_GOOD)
		cmd->length = 0;
	if (!cmd->length)
		cmd->phase = SCSI_NO_DATA;
	cmd->expect = cmd->length;
}

bool scsi_only_looks(const struct scsi_cmd *cmd)
{
	if (cmd->status != SCSI_GOOD)
		return true;
	return cmd->op->kind == KIND_REPLY || cmd->op->kind == KIND_READ || cmd->op->kind == KIND_VERIFY ||
	       cmd->op->finish == scsi_sync_cache || cmd->op->finish == scsi_test_unit;
}

/* Can the command be done with so many bytes from the initiator? */
static bool is_enough(const struct scsi_cmd *cmd, u64 bytes)
{
	switch (cmd->op->kind) {
	case KIND_WRITE:
	case KIND_WRITE_VERIFY:
		return bytes >= cmd->length || !(bytes & ((1u << cmd->dev->shift) - 1));
	case KIND_VERIFY:
		return bytes >= cmd->length;
	case KIND_WRITE_SAME:
	case KIND_COMPARE_AND_WRITE:
		return bytes == cmd->length;
	default: /* lists know their own length */
		return true;
	}
}

void scsi_limit(struct scsi_cmd *cmd, u64 bytes)
{
	if (cmd->phase == SCSI_DATA_OUT && !is_enough(cmd, bytes)) {
		scsi_fail(cmd, SCSI_ILLEGAL_REQUEST, SCSI_ASC_UNIT_FIELD);
		bytes = 0;
	}
	if (bytes < cmd->expect)
		cmd->expect = bytes;
}

/* Replies are moved by the caller alone. */
static bool complete(const struct scsi_cmd *cmd)
{
	return cmd->phase == SCSI_NO_DATA || cmd->phase == SCSI_REPLY || cmd->moved == cmd->expect;
}

u8 scsi_finish(struct scsi_cmd *cmd, u8 sense[SCSI_SENSE_MAX], u32 *sense_len)
{
	*sense_len = 0;
	if (cmd->status == SCSI_GOOD) {
		if (!complete(cmd))
			scsi_fail(cmd, SCSI_ABORTED_COMMAND, SCSI_ASC_DATA_PHASE);
		else if (cmd->op->finish)
			cmd->op->finish(cmd);
	}
	if (cmd->status == SCSI_CHECK_CONDITION)
		*sense_len = scsi_sense_encode(&cmd->sense, scsi_load(&cmd->dev->modes) & SCSI_MODE_D_SENSE, sense);
	return cmd->status;
}
