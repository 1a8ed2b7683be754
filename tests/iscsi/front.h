/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A minimal iSCSI target (RFC 7143) for tests: one connection a session, error recovery level 0, no digests, on the
 * loopback address alone. It puts a conformance suite that speaks iSCSI in front of the device server. What stands
 * behind it is a struct unit: the device server itself (unit_direct.c), or an SRP initiator with the SRP target and
 * the device server behind it (unit_srp.c).
 *
 * main.c listens and starts a thread for each connection, session.c reads PDUs and logs in, task.c carries SCSI
 * commands and task management. A connection carries out one command after the other, in the order of CmdSN.
 */
#ifndef ISCSI_FRONT_H
#define ISCSI_FRONT_H

#include "srp/scsi.h"

#define BHS_LEN 48u
#define SEGMENT_MAX \
	(256u << 10) /* bytes of data that a PDU to the target may carry, of a first burst, and of a burst */
#define DATA_MAX (32u << 20) /* bytes that one command may move */
#define NAME_MAX_LEN 224u
#define PORT_ID_LEN 16u
#define WINDOW 64u /* commands that the initiator may send ahead */

enum {
	PDU_NOP_OUT = 0x00,
	PDU_COMMAND = 0x01,
	PDU_TASK_MGMT = 0x02,
	PDU_LOGIN = 0x03,
	PDU_TEXT = 0x04,
	PDU_DATA_OUT = 0x05,
	PDU_LOGOUT = 0x06,
	PDU_NOP_IN = 0x20,
	PDU_RESPONSE = 0x21,
	PDU_TASK_MGMT_RSP = 0x22,
	PDU_LOGIN_RSP = 0x23,
	PDU_TEXT_RSP = 0x24,
	PDU_DATA_IN = 0x25,
	PDU_LOGOUT_RSP = 0x26,
	PDU_R2T = 0x31,
	PDU_REJECT = 0x3f,
};

/**
 * struct unit_io - one command, as a session gives it to a unit
 * @in, @out: bytes of data that the initiator has room for, and that it sends; one of them is 0
 * @data: that many bytes, and the reply
 * @length: bytes that were moved to @data
 * @residual: as SRP and iSCSI count it: above 0 an underflow, below 0 an overflow
 */
struct unit_io {
	const u8 *lun;
	const u8 *cdb;
	u32 in, out;
	u8 *data;

	u8 status;
	u8 sense[96];
	u32 sense_len;
	u32 length;
	s64 residual;
};

/**
 * struct unit - what carries out commands
 * @open: a session of this initiator port. Return: its own pointer, or NULL
 * @run: one command; several sessions run at once. Return: false: the session is lost
 * @reset: LOGICAL UNIT RESET. Return: false: it failed
 * @stop: end all. Return: 0, or 1 if something was left behind or a rule was broken
 */
struct unit {
	void *(*open)(const u8 port_id[PORT_ID_LEN]);
	bool (*run)(void *session, struct unit_io *io);
	bool (*reset)(void *session, const u8 lun[SCSI_LUN_LEN]);
	void (*close)(void *session);
	int (*stop)(void);
};

/** unit_direct(), unit_srp() - a unit whose disk is @lun; NULL and a line on standard error if it can't be had */
const struct unit *unit_direct(struct lun *lun);
const struct unit *unit_srp(struct lun *lun);

/** struct pdu - a PDU from the initiator; @data follows the header in memory */
struct pdu {
	struct pdu *next;
	u8 bhs[BHS_LEN];
	u32 len;
	u8 data[];
};

/**
 * struct conn - a connection, and its session
 * @waiting: PDUs that came while the data of a command was awaited
 * @max_segment: bytes of data of a PDU to the initiator
 * @immediate, @initial_r2t: as negotiated
 */
struct conn {
	const struct unit *unit;
	int fd;
	u32 stat_sn, exp_cmd_sn;
	u32 max_segment;
	bool discovery, immediate, initial_r2t;
	u8 isid[6];
	char initiator[NAME_MAX_LEN];
	void *session;
	struct pdu *waiting;
	u8 *data;
};

/** conn_serve() - all of a connection's life; closes @fd */
void conn_serve(const struct unit *unit, int fd);

/** pdu_read() - the next PDU on the wire that is in the window. Return: NULL: the connection is over */
struct pdu *pdu_read(struct conn *c);
/** pdu_send() - @status: the PDU takes a StatSN. Return: false: the connection is over */
bool pdu_send(struct conn *c, u8 bhs[BHS_LEN], const void *data, u32 len, bool status);

/** task_command(), task_management() - Return: false: the connection is over */
bool task_command(struct conn *c, const struct pdu *p);
bool task_management(struct conn *c, const struct pdu *p);

static inline u64 be(const u8 *p, u32 size)
{
	u64 v = 0;

	while (size--)
		v = v << 8 | *p++;
	return v;
}

static inline void set_be(u8 *p, u32 size, u64 v)
{
	while (size--) {
		p[size] = (u8)v;
		v >>= 8;
	}
}

#endif
