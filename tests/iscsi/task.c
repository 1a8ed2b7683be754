/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SCSI commands with their data, and task management: see front.h. Data from the initiator is collected as a whole,
 * so that a unit finds all of it.
 */
#include <stdlib.h>
#include <string.h>

#include "front.h"

static void wait_behind(struct conn *c, struct pdu *p)
{
	struct pdu **at = &c->waiting;

	while (*at)
		at = &(*at)->next;
	*at = p;
}

/* Data-Out PDUs of one sequence, up to the one with F. Return: false: the connection is over, or broke the order */
static bool collect_sequence(struct conn *c, const u8 *itt, u32 *have, u32 most)
{
	u32 data_sn = 0;
	bool last = false, ok = true;

	while (ok && !last) {
		struct pdu *p = pdu_read(c);

		if (!p)
			return false;
		if ((p->bhs[0] & 0x3f) != PDU_DATA_OUT || memcmp(p->bhs + 16, itt, 4) != 0) {
			wait_behind(c, p);
			continue;
		}
		last = p->bhs[1] & 0x80;
		/* Without error recovery a hole in the sequence ends the session (RFC 7143 7.6). */
		ok = be(p->bhs + 36, 4) == data_sn++ && be(p->bhs + 40, 4) == *have && p->len <= most - *have;
		if (ok) {
			memcpy(c->data + *have, p->data, p->len);
			*have += p->len;
		}
		free(p);
	}
	return ok;
}

static bool ready_to_transfer(struct conn *c, const u8 *itt, u32 r2t_sn, u32 at, u32 len)
{
	u8 bhs[BHS_LEN] = { PDU_R2T, 0x80 };

	memcpy(bhs + 16, itt, 4);
	set_be(bhs + 20, 4, r2t_sn + 1);
	set_be(bhs + 36, 4, r2t_sn);
	set_be(bhs + 40, 4, at);
	set_be(bhs + 44, 4, len);
	return pdu_send(c, bhs, NULL, 0, false);
}

static bool collect(struct conn *c, const struct pdu *p, u32 len)
{
	const u8 *itt = p->bhs + 16;
	u32 have = p->len, r2t_sn = 0, part;

	if (p->len > len)
		return false;
	memcpy(c->data, p->data, p->len);
	if (!(p->bhs[1] & 0x80) && !collect_sequence(c, itt, &have, len))
		return false;
	while (have < len) {
		part = len - have < SEGMENT_MAX ? len - have : SEGMENT_MAX;
		if (!ready_to_transfer(c, itt, r2t_sn++, have, part) || !collect_sequence(c, itt, &have, have + part))
			return false;
	}
	return true;
}

static bool send_data(struct conn *c, const u8 *itt, u32 len)
{
	u32 at, part, data_sn = 0;

	for (at = 0; at < len; at += part) {
		u8 bhs[BHS_LEN] = { PDU_DATA_IN };

		part = len - at < c->max_segment ? len - at : c->max_segment;
		if (part > SEGMENT_MAX)
			part = SEGMENT_MAX;
		bhs[1] = at + part == len ? 0x80 : 0;
		memcpy(bhs + 16, itt, 4);
		set_be(bhs + 20, 4, 0xffffffff);
		set_be(bhs + 36, 4, data_sn++);
		set_be(bhs + 40, 4, at);
		if (!pdu_send(c, bhs, c->data + at, part, false))
			return false;
	}
	return true;
}

static bool respond(struct conn *c, const u8 *itt, const struct unit_io *io)
{
	u8 bhs[BHS_LEN] = { PDU_RESPONSE, 0x80 }, data[2 + sizeof(io->sense)];

	bhs[3] = io->status;
	memcpy(bhs + 16, itt, 4);
	if (io->residual) {
		bhs[1] |= io->residual > 0 ? 0x02 : 0x04;
		set_be(bhs + 44, 4, (u64)(io->residual > 0 ? io->residual : -io->residual));
	}
	set_be(data, 2, io->sense_len);
	memcpy(data + 2, io->sense, io->sense_len);
	return pdu_send(c, bhs, data, io->sense_len ? 2 + io->sense_len : 0, true);
}

bool task_command(struct conn *c, const struct pdu *p)
{
	u32 len = (u32)be(p->bhs + 20, 4);
	struct unit_io io = { .lun = p->bhs + 8, .cdb = p->bhs + 32, .data = c->data };

	if (len > DATA_MAX)
		return false;
	if (p->bhs[1] & 0x20)
		io.out = len;
	else if (p->bhs[1] & 0x40)
		io.in = len;
	if (io.out && !collect(c, p, len))
		return false;
	return c->unit->run(c->session, &io) && send_data(c, p->bhs + 16, io.length) && respond(c, p->bhs + 16, &io);
}

/* Those with this tag, or all, that wait. Commands that don't wait are over. */
static bool abort_waiting(struct conn *c, const u8 *itt)
{
	struct pdu **at = &c->waiting, *p;
	bool found = false;

	while ((p = *at)) {
		if ((p->bhs[0] & 0x3f) != PDU_COMMAND || (itt && memcmp(p->bhs + 16, itt, 4) != 0)) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		free(p);
		found = true;
	}
	return found;
}

bool task_management(struct conn *c, const struct pdu *p)
{
	u8 bhs[BHS_LEN] = { PDU_TASK_MGMT_RSP, 0x80 }, function = p->bhs[1] & 0x7f;
	static const u8 lun_0[SCSI_LUN_LEN];
	bool ok;

	memcpy(bhs + 16, p->bhs + 16, 4);
	switch (function) {
	case 1:
		bhs[2] = abort_waiting(c, p->bhs + 20) ? 0 : 1; /* no such task */
		break;
	case 2:
	case 4:
		abort_waiting(c, NULL);
		break;
	case 5:
	case 6:
	case 7:
		abort_waiting(c, NULL);
		bhs[2] = c->unit->reset(c->session, function == 5 ? p->bhs + 8 : lun_0) ? 0 : 255;
		break;
	default:
		bhs[2] = 5; /* not supported */
	}
	ok = pdu_send(c, bhs, NULL, 0, true);
	return ok && function != 7; /* a cold reset ends the connection */
}
