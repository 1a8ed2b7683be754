/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The device server without a transport: see front.h. Data is moved in pieces of an odd size, the last first, as
 * scsi.h allows.
 */
#include <stdlib.h>
#include <string.h>

#include "front.h"

#define PIECE (96u << 10)

static struct scsi_device dev;

struct session {
	struct scsi_nexus nexus;
	u8 buf[SCSI_BUF];
};

static void *direct_open(const u8 port_id[PORT_ID_LEN])
{
	struct session *s = malloc(sizeof(*s));

	if (!s)
		return NULL;
	scsi_nexus_init(&s->nexus, &dev);
	scsi_nexus_name(&s->nexus, port_id);
	return s;
}

static void move(struct scsi_cmd *cmd, u8 *data)
{
	u64 end = cmd->expect, at;
	bool ok = true;

	for (; ok && end; end = at) {
		at = end > PIECE ? end - PIECE : 0;
		ok = cmd->phase == SCSI_DATA_IN ? scsi_read(cmd, at, data + at, (size_t)(end - at)) :
						  scsi_write(cmd, at, data + at, (size_t)(end - at));
	}
}

static bool direct_run(void *session, struct unit_io *io)
{
	struct session *s = session;
	struct scsi_cmd cmd;
	bool in;

	scsi_begin(&cmd, &s->nexus, io->lun, io->cdb, SCSI_CDB_MAX, s->buf);
	in = cmd.phase == SCSI_REPLY || cmd.phase == SCSI_DATA_IN;
	scsi_limit(&cmd, in ? io->in : io->out);
	if (cmd.phase == SCSI_REPLY)
		memcpy(io->data, s->buf, cmd.status == SCSI_GOOD ? (size_t)cmd.expect : 0);
	else if (cmd.phase != SCSI_NO_DATA && cmd.status == SCSI_GOOD)
		move(&cmd, io->data);
	io->status = scsi_finish(&cmd, io->sense, &io->sense_len);
	if (in && io->status == SCSI_GOOD)
		io->length = (u32)cmd.expect;
	io->residual = (s64)io->in + io->out;
	if (cmd.phase != SCSI_NO_DATA && (io->status == SCSI_GOOD || cmd.length > cmd.expect))
		io->residual -= (s64)cmd.length;
	else
		io->residual -= (s64)cmd.moved;
	return true;
}

static bool direct_reset(void *session, const u8 lun[SCSI_LUN_LEN])
{
	(void)session;
	(void)lun;
	scsi_device_reset(&dev);
	return true;
}

static void direct_close(void *session)
{
	free(session);
}

static int direct_stop(void)
{
	return 0;
}

const struct unit *unit_direct(struct lun *lun)
{
	static const struct unit unit = {
		.open = direct_open,
		.run = direct_run,
		.reset = direct_reset,
		.close = direct_close,
		.stop = direct_stop,
	};

	scsi_device_init(&dev, lun);
	return &unit;
}
