/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * T10 SRP (r16a) as it goes over the wire: the numbers, and the layout of each
 * information unit. All fields are big endian bytes, so that nothing here has an
 * alignment. srp_iu.c alone reads and writes them.
 */
#ifndef SRP_PROTO_H
#define SRP_PROTO_H

#include "softhca/hca_types.h"

/* Information unit types: requests and responses, by who sends them. */
enum srp_type {
	SRP_LOGIN_REQ = 0x00,
	SRP_TSK_MGMT = 0x01,
	SRP_CMD = 0x02,
	SRP_I_LOGOUT = 0x03,
	SRP_CRED_RSP = 0x41,
	SRP_AER_RSP = 0x42,
	SRP_T_LOGOUT = 0x80,
	SRP_CRED_REQ = 0x81,
	SRP_AER_REQ = 0x82,
	SRP_LOGIN_RSP = 0xc0,
	SRP_RSP = 0xc1,
	SRP_LOGIN_REJ = 0xc2,
};

/* Buffer formats that a login offers and grants. */
#define SRP_FMT_DIRECT (1u << 1)
#define SRP_FMT_INDIRECT (1u << 2)

/* Buffer formats of a command; data-out has the upper half of the byte. */
enum srp_format {
	SRP_DATA_NONE,
	SRP_DATA_DIRECT,
	SRP_DATA_INDIRECT,
};

/* Login request flags: the multi-channel action. */
#define SRP_MULTICHAN_MASK 0x03u
#define SRP_MULTICHAN_SINGLE 0x00u /* end the other channels of this nexus */
#define SRP_MULTICHAN_MULTI 0x01u /* keep them */
/*
 * A reserved bit that we give a meaning, in a request and its response: the target ends a command whose data has one
 * key alone with a send that invalidates it. An end that doesn't know the bit leaves it clear.
 */
#define SRP_LOGIN_INVALIDATE 0x40u

/* Login response flags: what became of the other channels. */
#define SRP_MULTICHAN_NONE 0x00u
#define SRP_MULTICHAN_ENDED 0x01u
#define SRP_MULTICHAN_KEPT 0x02u

enum srp_reject {
	SRP_REJ_CHANNEL = 0x00010000, /* can't be established, no particular reason */
	SRP_REJ_RESOURCES = 0x00010001,
	SRP_REJ_IU_LENGTH = 0x00010002, /* requested IU length too large */
	SRP_REJ_ASSOCIATE = 0x00010003, /* no such target port */
	SRP_REJ_FORMAT = 0x00010004, /* buffer format not supported */
	SRP_REJ_MULTICHAN = 0x00010005,
	SRP_REJ_LIMIT = 0x00010006, /* too many channels */
};

enum srp_logout {
	SRP_LOGOUT_NONE = 0, /* no reason given */
	SRP_LOGOUT_INACTIVE = 1, /* resources are reclaimed */
	SRP_LOGOUT_TYPE = 2, /* invalid IU type code */
	SRP_LOGOUT_RESPONSE = 3, /* a response without a request */
	SRP_LOGOUT_RELOGIN = 4, /* by the multi-channel action of a new login */
	SRP_LOGOUT_OUT_FORMAT = 6, /* data-out format not supported */
	SRP_LOGOUT_IN_FORMAT = 7,
	SRP_LOGOUT_LENGTH = 8, /* an IU of the wrong length */
};

/* Task attributes (SAM-4 8.6). */
enum srp_attr {
	SRP_SIMPLE = 0,
	SRP_HEAD_OF_QUEUE = 1,
	SRP_ORDERED = 2,
};

enum srp_function {
	SRP_ABORT_TASK = 0x01,
	SRP_ABORT_TASK_SET = 0x02,
	SRP_CLEAR_TASK_SET = 0x04,
	SRP_LUN_RESET = 0x08,
	SRP_CLEAR_ACA = 0x40,
};

/* Response codes, the last of the four bytes of response data. */
enum srp_rsp_code {
	SRP_RSP_OK = 0x00, /* no failure; task management function complete */
	SRP_RSP_INVALID_FIELDS = 0x02,
	SRP_RSP_NOT_SUPPORTED = 0x04, /* task management function */
	SRP_RSP_FAILED = 0x05, /* task management function */
};

/* Flags of a response. Over: there was more to move than room; under: less than expected. */
#define SRP_RSP_RSPVALID (1u << 0)
#define SRP_RSP_SNSVALID (1u << 1)
#define SRP_RSP_DOOVER (1u << 2)
#define SRP_RSP_DOUNDER (1u << 3)
#define SRP_RSP_DIOVER (1u << 4)
#define SRP_RSP_DIUNDER (1u << 5)

#define SRP_DESC_BYTES 16u
#define SRP_TABLE_BYTES \
	20u /* of the head of an indirect table: the table's own descriptor, and the bytes of all data */
#define SRP_RSP_DATA 4u

/* A memory descriptor: va 8, key 4, length 4. */
struct srp_wire_desc {
	u8 va[8], key[4], len[4];
};

struct srp_wire_table {
	struct srp_wire_desc table;
	u8 len[4];
};

/* As connections by address have it: shorter than SRP's own, as there is less room in a REQ. The tag is its first field. */
struct srp_wire_login_req {
	u8 tag[8], formats[2], flags, type, it_iu_len[4];
	u8 initiator_port[16], target_port[16], rsvd[8];
};

struct srp_wire_login_rsp {
	u8 type, rsvd1[3], delta[4], tag[8], it_iu_len[4], ti_iu_len[4], formats[2], flags, rsvd2[25];
};

struct srp_wire_login_rej {
	u8 type, rsvd1[3], reason[4], tag[8], rsvd2[8], formats[2], rsvd3[6];
};

/* I_LOGOUT, CRED_RSP, AER_RSP: nothing but a tag. */
struct srp_wire_plain {
	u8 type, rsvd[7], tag[8];
};

/* T_LOGOUT (a reason), CRED_REQ (a delta). */
struct srp_wire_word {
	u8 type, sol_not, rsvd[2], word[4], tag[8];
};

struct srp_wire_cmd {
	u8 type, sol_not, rsvd1[3], formats, out_count, in_count, tag[8], rsvd2[4], lun[8];
	u8 rsvd3, attr, rsvd4, add_cdb, cdb[16];
};

struct srp_wire_tsk_mgmt {
	u8 type, sol_not, rsvd1[6], tag[8], rsvd2[4], lun[8], rsvd3[2], function, rsvd4, task_tag[8], rsvd5[8];
};

struct srp_wire_rsp {
	u8 type, sol_not, rsvd1[2], delta[4], tag[8], rsvd2[2], flags, status, out_residual[4], in_residual[4];
	u8 sense_len[4], rsp_len[4];
};

struct srp_wire_aer_req {
	u8 type, sol_not, rsvd1[2], delta[4], tag[8], rsvd2[4], lun[8], sense_len[4], rsvd3[4];
};

_Static_assert(sizeof(struct srp_wire_desc) == SRP_DESC_BYTES, "SRP memory descriptor");
_Static_assert(sizeof(struct srp_wire_table) == SRP_TABLE_BYTES, "SRP indirect table");
_Static_assert(sizeof(struct srp_wire_login_req) == 56, "SRP_LOGIN_REQ");
_Static_assert(sizeof(struct srp_wire_login_rsp) == 52, "SRP_LOGIN_RSP");
_Static_assert(sizeof(struct srp_wire_login_rej) == 32, "SRP_LOGIN_REJ");
_Static_assert(sizeof(struct srp_wire_plain) == 16, "SRP_I_LOGOUT");
_Static_assert(sizeof(struct srp_wire_word) == 16, "SRP_T_LOGOUT");
_Static_assert(sizeof(struct srp_wire_cmd) == 48, "SRP_CMD");
_Static_assert(sizeof(struct srp_wire_tsk_mgmt) == 48, "SRP_TSK_MGMT");
_Static_assert(sizeof(struct srp_wire_rsp) == 36, "SRP_RSP");
_Static_assert(sizeof(struct srp_wire_aer_req) == 36, "SRP_AER_REQ");
_Static_assert(offsetof(struct srp_wire_login_req, initiator_port) == 16, "SRP_LOGIN_REQ");
_Static_assert(offsetof(struct srp_wire_cmd, lun) == 20 && offsetof(struct srp_wire_cmd, cdb) == 32, "SRP_CMD");
_Static_assert(offsetof(struct srp_wire_tsk_mgmt, function) == 30, "SRP_TSK_MGMT");
_Static_assert(offsetof(struct srp_wire_tsk_mgmt, task_tag) == 32, "SRP_TSK_MGMT");
_Static_assert(offsetof(struct srp_wire_rsp, flags) == 18, "SRP_RSP");

#endif
