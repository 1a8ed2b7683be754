/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SRP information units, to bytes and from bytes. Encoders fill a buffer and return
 * how much of it; decoders believe nothing: what they return has been checked against
 * the bytes that there are. Called by both ends, by tests and by the fuzzer.
 */
#ifndef SRP_IU_H
#define SRP_IU_H

#include "srp.h"
#include "srp_proto.h"

/** enum srp_bad - what a decoder found wrong; 0 is nothing */
enum srp_bad {
	SRP_FINE,
	SRP_BAD_TYPE, /* not an IU of this type */
	SRP_BAD_LENGTH, /* shorter than it must be, or than what it says of itself */
	SRP_BAD_OUT_FORMAT, /* unknown buffer format */
	SRP_BAD_IN_FORMAT,
	SRP_BAD_TABLE, /* descriptors that contradict each other, or leave the address space */
	SRP_BAD_FIELD, /* flags and lengths that contradict each other */
};

/** srp_bad_msg() - in words */
const char *srp_bad_msg(enum srp_bad bad);

/** srp_iu_type() - the type of @len bytes, or -1 of none */
static inline int srp_iu_type(const void *iu, u32 len)
{
	return len ? *(const u8 *)iu : -1;
}

/** srp_iu_tag() - the tag that every IU has at the same place. Return: false if it is too short for one */
bool srp_iu_tag(const void *iu, u32 len, u64 *tag);

/** struct srp_desc - bytes of the initiator's memory */
struct srp_desc {
	u64 va;
	u32 key;
	u32 len;
};

/** srp_desc_get() - descriptor @i of a table in wire format */
struct srp_desc srp_desc_get(const void *table, u32 i);
void srp_desc_put(void *table, u32 i, const struct srp_desc *d);

/** srp_table_check() - @count descriptors that name @len bytes together, none of them beyond the end of addresses */
enum srp_bad srp_table_check(const void *table, u32 count, u64 len);

/**
 * struct srp_data - one direction of a command
 * @format: enum srp_format
 * @count: descriptors at @descs: one if direct; if indirect those that are in the IU
 * @total: descriptors of the whole table
 * @len: bytes of all data
 * @table: indirect: where the whole table is
 * @descs: wire format, unaligned; in the IU
 */
struct srp_data {
	u8 format;
	u8 count;
	u32 total;
	u32 len;
	struct srp_desc table;
	const void *descs;
};

/** struct srp_cmd - a command; @cdb has @cdb_len bytes: 16 and the additional ones, which follow in the IU */
struct srp_cmd {
	u64 tag;
	u8 sol_not;
	u8 attr;
	u8 lun[SCSI_LUN_LEN];
	u32 cdb_len;
	u8 cdb[16 + 4 * 63];
	struct srp_data out, in;
};

/** srp_cmd_bytes() - of a command with these descriptors in the IU; @cdb_len: up to 16 + 4 * 63 */
u32 srp_cmd_bytes(u32 cdb_len, const struct srp_data *out, const struct srp_data *in);

/**
 * srp_cmd_encode() - @cdb_len bytes of CDB, padded to 16 and then to 4
 * @room: bytes of @iu
 *
 * Return: bytes, or 0 if there isn't room.
 */
u32 srp_cmd_encode(void *iu, u32 room, u64 tag, const u8 lun[SCSI_LUN_LEN], const u8 *cdb, u32 cdb_len,
		   const struct srp_data *out, const struct srp_data *in);

/**
 * srp_cmd_decode() - cmd->tag is set whenever there is one
 *
 * A table that is whole in the IU was checked by srp_table_check(); one that is not, as far as it can be known.
 */
enum srp_bad srp_cmd_decode(const void *iu, u32 len, struct srp_cmd *cmd);

struct srp_tsk_mgmt {
	u64 tag;
	u64 task_tag;
	u8 lun[SCSI_LUN_LEN];
	u8 function;
	u8 sol_not;
};

u32 srp_tsk_mgmt_encode(void *iu, u32 room, const struct srp_tsk_mgmt *tm);
enum srp_bad srp_tsk_mgmt_decode(const void *iu, u32 len, struct srp_tsk_mgmt *tm);

/**
 * struct srp_rsp - a response
 * @delta: added to the initiator's request limit; signed
 * @out_residual, @in_residual: bytes not moved; below 0: more than there was room for
 * @has_code, @code: response data
 * @sense, @sense_len: decoded: in the IU
 */
struct srp_rsp {
	u64 tag;
	s32 delta;
	u8 status;
	u8 sol_not;
	bool has_code;
	u8 code;
	s64 out_residual;
	s64 in_residual;
	u32 sense_len;
	const u8 *sense;
};

u32 srp_rsp_encode(void *iu, u32 room, const struct srp_rsp *rsp);
enum srp_bad srp_rsp_decode(const void *iu, u32 len, struct srp_rsp *rsp);

struct srp_login_req {
	u64 tag;
	u32 it_iu_len;
	u16 formats;
	u8 flags;
	u8 initiator_port[SRP_PORT_ID];
	u8 target_port[SRP_PORT_ID];
};

u32 srp_login_req_encode(void *iu, u32 room, const struct srp_login_req *req);
enum srp_bad srp_login_req_decode(const void *iu, u32 len, struct srp_login_req *req);

struct srp_login_rsp {
	u64 tag;
	s32 delta;
	u32 it_iu_len;
	u32 ti_iu_len;
	u16 formats;
	u8 flags;
};

u32 srp_login_rsp_encode(void *iu, u32 room, const struct srp_login_rsp *rsp);
enum srp_bad srp_login_rsp_decode(const void *iu, u32 len, struct srp_login_rsp *rsp);

struct srp_login_rej {
	u64 tag;
	u32 reason;
	u16 formats;
};

u32 srp_login_rej_encode(void *iu, u32 room, const struct srp_login_rej *rej);
enum srp_bad srp_login_rej_decode(const void *iu, u32 len, struct srp_login_rej *rej);

/** srp_plain_encode() - SRP_I_LOGOUT, SRP_CRED_RSP, SRP_AER_RSP */
u32 srp_plain_encode(void *iu, u32 room, enum srp_type type, u64 tag);
enum srp_bad srp_plain_decode(const void *iu, u32 len, enum srp_type type, u64 *tag);

/** srp_word_encode() - SRP_T_LOGOUT with its reason, SRP_CRED_REQ with its delta */
u32 srp_word_encode(void *iu, u32 room, enum srp_type type, u64 tag, u32 word);
enum srp_bad srp_word_decode(const void *iu, u32 len, enum srp_type type, u64 *tag, u32 *word);

struct srp_aer_req {
	u64 tag;
	s32 delta;
	u8 lun[SCSI_LUN_LEN];
	u32 sense_len;
	const u8 *sense;
};

u32 srp_aer_req_encode(void *iu, u32 room, const struct srp_aer_req *req);
enum srp_bad srp_aer_req_decode(const void *iu, u32 len, struct srp_aer_req *req);

#endif
