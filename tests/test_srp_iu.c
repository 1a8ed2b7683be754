/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SRP information units byte by byte: what encoders write is what T10 says, decoders
 * read it back, and refuse every shorter piece of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../ulp/srp/srp_private.h"

static const u8 lun[SCSI_LUN_LEN] = { 0, 3, 0, 0, 0, 0, 0, 0 };

/* Bytes on the heap, of this length exactly, so that a sanitizer sees a look beyond them. */
static void *exact(const void *from, u32 len)
{
	u8 *p = malloc(len ? len : 1);

	memcpy(p, from, len);
	return p;
}

static void test_cmd_direct(void **state)
{
	static const u8 want[] = {
		0x02, 0,    0,	  0,	0,    0x01, 0,	  0, /* type, formats: data-in direct */
		1,    2,    3,	  4,	5,    6,    7,	  8, /* tag */
		0,    0,    0,	  0,	0,    3,    0,	  0,	0,    0,    0,	  0, /* LUN */
		0,    0,    0,	  0, /* attributes, additional CDB */
		0x28, 0,    0,	  0,	0,    9,    0,	  0,	8,    0,    0,	  0,	0, 0, 0,    0, /* CDB */
		0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0xaa, 0xbb, 0xcc, 0xdd, 0, 0, 0x10, 0,
	};
	static const u8 cdb[10] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 8 };
	const struct srp_desc d = { .va = 0x1122334455667788, .key = 0xaabbccdd, .len = 4096 };
	struct srp_data none = { .format = SRP_DATA_NONE }, in = { .format = SRP_DATA_DIRECT, .count = 1 };
	struct srp_cmd cmd;
	u8 wire[16], iu[200];
	u32 len, i;
	void *p;

	(void)state;
	srp_desc_put(wire, 0, &d);
	in.descs = wire;
	len = srp_cmd_encode(iu, sizeof(iu), 0x0102030405060708, lun, cdb, sizeof(cdb), &none, &in);
	assert_int_equal(len, sizeof(want));
	assert_memory_equal(iu, want, len);
	assert_int_equal(srp_cmd_decode(iu, len, &cmd), SRP_FINE);
	assert_int_equal(cmd.tag, 0x0102030405060708);
	assert_memory_equal(cmd.lun, lun, sizeof(lun));
	assert_int_equal(cmd.cdb_len, 16);
	assert_memory_equal(cmd.cdb, cdb, sizeof(cdb));
	assert_int_equal(cmd.out.format, SRP_DATA_NONE);
	assert_int_equal(cmd.out.len, 0);
	assert_int_equal(cmd.in.len, 4096);
	assert_int_equal(srp_desc_get(cmd.in.descs, 0).va, d.va);
	assert_int_equal(srp_desc_get(cmd.in.descs, 0).key, d.key);
	for (i = 0; i < len; i++) {
		p = exact(iu, i);
		assert_int_equal(srp_cmd_decode(p, i, &cmd), i ? SRP_BAD_LENGTH : SRP_BAD_TYPE);
		assert_int_equal(cmd.tag, i < 16 ? 0 : 0x0102030405060708);
		free(p);
		assert_int_equal(srp_cmd_encode(iu, i, 1, lun, cdb, sizeof(cdb), &none, &in), 0);
	}
}

/* Both directions, additional CDB, a table that is whole and one that is in part. */
static void test_cmd_indirect(void **state)
{
	u8 cdb[SRP_CDB_MAX], out_wire[3 * 16], in_wire[2 * 16], iu[400];
	struct srp_data out = { .format = SRP_DATA_INDIRECT, .count = 3, .len = 6, .descs = out_wire };
	struct srp_data in = { .format = SRP_DATA_INDIRECT, .count = 2, .len = 1000, .descs = in_wire };
	struct srp_cmd cmd;
	struct srp_desc d;
	u32 i, len;
	void *p;

	(void)state;
	for (i = 0; i < 3; i++) {
		d = (struct srp_desc){ .va = i << 12, .key = 7, .len = i + 1 };
		srp_desc_put(out_wire, i, &d);
		d.len = 100;
		if (i < 2)
			srp_desc_put(in_wire, i, &d);
	}
	for (i = 0; i < sizeof(cdb); i++)
		cdb[i] = (u8)(i + 1);
	out.table = (struct srp_desc){ .va = 4096, .key = 5, .len = 48 };
	in.table = (struct srp_desc){ .va = 8192, .key = 6, .len = 10 * 16 };
	len = srp_cmd_encode(iu, sizeof(iu), 9, lun, cdb, 21, &out, &in);
	assert_int_equal(len, 48 + 8 + 20 + 48 + 20 + 32);
	assert_int_equal(iu[5], 0x22);
	assert_int_equal(iu[6], 3);
	assert_int_equal(iu[7], 2);
	assert_int_equal(iu[31], 8); /* two words, from bit 2 on */
	assert_int_equal(srp_cmd_decode(iu, len, &cmd), SRP_FINE);
	assert_int_equal(cmd.cdb_len, 24);
	assert_memory_equal(cmd.cdb, cdb, 21);
	assert_int_equal(cmd.cdb[21], 0);
	assert_int_equal(cmd.out.count, 3);
	assert_int_equal(cmd.out.total, 3);
	assert_int_equal(cmd.out.len, 6);
	assert_int_equal(cmd.in.count, 2);
	assert_int_equal(cmd.in.total, 10);
	assert_int_equal(cmd.in.len, 1000);
	assert_int_equal(cmd.in.table.va, 8192);
	assert_int_equal(srp_desc_get(cmd.in.descs, 1).va, 4096);
	for (i = 16; i < len; i++) {
		p = exact(iu, i);
		assert_int_equal(srp_cmd_decode(p, i, &cmd), SRP_BAD_LENGTH);
		free(p);
	}
	/* what is not counted is another length of the table, or none */
	out.len = 7;
	srp_cmd_encode(iu, sizeof(iu), 9, lun, cdb, 21, &out, &in);
	assert_int_equal(srp_cmd_decode(iu, len, &cmd), SRP_BAD_TABLE);
	out.len = 6;
	out.table.len = 32; /* more in the IU than there are */
	srp_cmd_encode(iu, sizeof(iu), 9, lun, cdb, 21, &out, &in);
	assert_int_equal(srp_cmd_decode(iu, len, &cmd), SRP_BAD_TABLE);
	out.table.len = 49;
	srp_cmd_encode(iu, sizeof(iu), 9, lun, cdb, 21, &out, &in);
	assert_int_equal(srp_cmd_decode(iu, len, &cmd), SRP_BAD_TABLE);
	iu[5] = 0x32;
	assert_int_equal(srp_cmd_decode(iu, len, &cmd), SRP_BAD_OUT_FORMAT);
	iu[5] = 0x0f;
	assert_int_equal(srp_cmd_decode(iu, len, &cmd), SRP_BAD_IN_FORMAT);
	/* a CDB as long as the field can say, and one that is longer */
	assert_int_equal(srp_cmd_bytes(16 + 4 * 63, &(struct srp_data){ 0 }, &(struct srp_data){ 0 }), 48 + 252);
	assert_int_equal(
		srp_cmd_encode(iu, sizeof(iu), 9, lun, cdb, 300, &(struct srp_data){ 0 }, &(struct srp_data){ 0 }), 0);
}

static void test_table(void **state)
{
	struct srp_desc d = { .va = ~0ull, .key = 1, .len = 1 };
	u8 wire[32];

	(void)state;
	srp_desc_put(wire, 0, &d);
	assert_int_equal(srp_table_check(wire, 1, 1), SRP_FINE); /* the last byte there is */
	d.len = 2;
	srp_desc_put(wire, 0, &d);
	assert_int_equal(srp_table_check(wire, 1, 2), SRP_BAD_TABLE);
	d = (struct srp_desc){ .len = 0xffffffff };
	srp_desc_put(wire, 0, &d);
	srp_desc_put(wire, 1, &d);
	assert_int_equal(srp_table_check(wire, 2, 0xfffffffe), SRP_BAD_TABLE); /* the sum doesn't wrap */
	assert_int_equal(srp_table_check(wire, 2, 0x1fffffffe), SRP_FINE);
	assert_int_equal(srp_table_check(wire, 0, 0), SRP_FINE);
}

static void test_rsp(void **state)
{
	static const u8 want[] = {
		0xc1, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe, /* a delta of -2 */
		0,    0, 0, 0, 0,    0,	   0,	 5,    0, 0, 0x27, 2, /* code, sense, under and over */
		0,    0, 0, 3, 0,    0,	   1,	 0,    0, 0, 0,	   2, 0, 0, 0, 4, 0, 0, 0, 5, 0x70, 9,
	};
	const struct srp_rsp rsp = { .tag = 5,
				     .delta = -2,
				     .status = 2,
				     .has_code = true,
				     .code = 5,
				     .out_residual = -3,
				     .in_residual = 256,
				     .sense = (const u8 *)"\x70\x09",
				     .sense_len = 2 };
	u8 room[sizeof(want)], iu[64];
	struct srp_rsp got;
	u32 i;
	void *p;

	(void)state;
	assert_int_equal(srp_rsp_encode(iu, sizeof(iu), &rsp), sizeof(want));
	assert_memory_equal(iu, want, sizeof(want));
	assert_int_equal(srp_rsp_decode(iu, sizeof(want), &got), SRP_FINE);
	assert_int_equal(got.delta, -2);
	assert_int_equal(got.out_residual, -3);
	assert_int_equal(got.in_residual, 256);
	assert_true(got.has_code);
	assert_int_equal(got.code, 5);
	assert_int_equal(got.sense_len, 2);
	assert_memory_equal(got.sense, "\x70\x09", 2);
	for (i = 0; i < sizeof(want); i++) {
		p = exact(iu, i);
		assert_int_equal(srp_rsp_decode(p, i, &got), i ? SRP_BAD_LENGTH : SRP_BAD_TYPE);
		free(p);
		assert_int_equal(srp_rsp_encode(room, i, &rsp), 0);
	}
	/* flags that contradict what they are about */
	for (i = 0; i < 8; i++) {
		static const struct {
			u8 at, value;
		} rows[] = {
			{ 18, 0x17 | 0x04 | 0x08 }, /* over and under */
			{ 18, 0x26 }, /* a code that isn't valid */
			{ 18, 0x25 }, /* sense that isn't valid */
			{ 18, 0x23 }, /* a residual of no kind */
			{ 35, 3 }, /* a code of three bytes */
			{ 31, 0 }, /* no sense, but valid */
			{ 32, 0xff }, /* lengths that wrap together */
			{ 28, 0xff },
		};
		u8 bad[sizeof(want)];

		memcpy(bad, iu, sizeof(bad));
		bad[rows[i].at] = rows[i].value;
		assert_true(srp_rsp_decode(bad, sizeof(bad), &got));
	}
}

static void test_logins(void **state)
{
	struct srp_login_req req = { .tag = 1, .it_iu_len = 500, .formats = 6, .flags = 0x41 }, req2;
	struct srp_login_rsp rsp = {
		.tag = 2, .delta = 33, .it_iu_len = 500, .ti_iu_len = 136, .formats = 2, .flags = 1
	};
	struct srp_login_rej rej = { .tag = 3, .reason = SRP_REJ_FORMAT, .formats = 6 }, rej2;
	struct srp_login_rsp rsp2;
	u8 iu[64];
	u32 i;

	(void)state;
	for (i = 0; i < 16; i++) {
		req.initiator_port[i] = (u8)i;
		req.target_port[i] = (u8)(0x80 + i);
	}
	/* Connections by address have it in this order. */
	iu[11] = 0xff;
	assert_int_equal(srp_login_req_encode(iu, sizeof(iu), &req), 56);
	assert_int_equal(iu[7], 1);
	assert_int_equal(iu[8] << 8 | iu[9], 6);
	assert_int_equal(iu[10], 0x41);
	assert_int_equal(iu[11], SRP_LOGIN_REQ);
	assert_int_equal(iu[14] << 8 | iu[15], 500);
	assert_int_equal(iu[16 + 15], 15);
	assert_int_equal(iu[32], 0x80);
	assert_int_equal(srp_login_req_decode(iu, 56, &req2), SRP_FINE);
	assert_int_equal(req2.tag, 1);
	assert_int_equal(req2.it_iu_len, 500);
	assert_int_equal(req2.formats, 6);
	assert_int_equal(req2.flags, 0x41);
	assert_memory_equal(req.initiator_port, req2.initiator_port, 16);
	assert_memory_equal(req.target_port, req2.target_port, 16);
	assert_int_equal(srp_login_req_decode(iu, 55, &req2), SRP_BAD_LENGTH);
	assert_int_equal(srp_login_req_encode(iu, 55, &req), 0);
	iu[11] = SRP_LOGIN_RSP;
	assert_int_equal(srp_login_req_decode(iu, 56, &req2), SRP_BAD_TYPE);

	assert_int_equal(srp_login_rsp_encode(iu, sizeof(iu), &rsp), 52);
	assert_int_equal(iu[0], 0xc0);
	assert_int_equal(iu[7], 33);
	assert_int_equal(iu[23], 136);
	assert_int_equal(srp_login_rsp_decode(iu, 52, &rsp2), SRP_FINE);
	assert_int_equal(rsp2.delta, 33);
	assert_int_equal(rsp2.it_iu_len, 500);
	assert_int_equal(rsp2.ti_iu_len, 136);
	assert_int_equal(rsp2.formats, 2);
	assert_int_equal(rsp2.flags, 1);
	assert_int_equal(rsp2.tag, 2);
	assert_int_equal(srp_login_rsp_decode(iu, 51, &rsp2), SRP_BAD_LENGTH);
	assert_int_equal(srp_login_rsp_encode(iu, 51, &rsp), 0);

	assert_int_equal(srp_login_rej_encode(iu, sizeof(iu), &rej), 32);
	assert_int_equal(iu[0], 0xc2);
	assert_int_equal(iu[5], 1);
	assert_int_equal(iu[7], 4);
	assert_int_equal(srp_login_rej_decode(iu, 32, &rej2), SRP_FINE);
	assert_int_equal(rej2.reason, SRP_REJ_FORMAT);
	assert_int_equal(rej2.formats, 6);
	assert_int_equal(rej2.tag, 3);
	assert_int_equal(srp_login_rej_decode(iu, 31, &rej2), SRP_BAD_LENGTH);
	assert_int_equal(srp_login_rej_decode(iu, 0, &rej2), SRP_BAD_TYPE);
	assert_int_equal(srp_login_rej_encode(iu, 31, &rej), 0);
}

static void test_short_ones(void **state)
{
	static const u8 types[] = { SRP_I_LOGOUT, SRP_CRED_RSP, SRP_AER_RSP };
	struct srp_tsk_mgmt tm = { .tag = 1, .task_tag = 0x0a0b, .function = SRP_LUN_RESET, .lun = { 0, 3 } }, tm2;
	struct srp_aer_req aer = { .tag = 4, .delta = 3, .lun = { 1 }, .sense = (const u8 *)"xyz", .sense_len = 3 };
	struct srp_aer_req aer2;
	u8 iu[64];
	u32 i, word;
	u64 tag;

	(void)state;
	for (i = 0; i < sizeof(types); i++) {
		assert_int_equal(srp_plain_encode(iu, sizeof(iu), types[i], 0x1234), 16);
		assert_int_equal(srp_plain_decode(iu, 16, types[i], &tag), SRP_FINE);
		assert_int_equal(tag, 0x1234);
		assert_int_equal(srp_plain_decode(iu, 15, types[i], &tag), SRP_BAD_LENGTH);
		assert_int_equal(srp_plain_decode(iu, 16, types[(i + 1) % 3], &tag), SRP_BAD_TYPE);
		assert_int_equal(srp_plain_encode(iu, 15, types[i], 1), 0);
	}
	assert_int_equal(srp_word_encode(iu, sizeof(iu), SRP_T_LOGOUT, 5, SRP_LOGOUT_RELOGIN), 16);
	assert_int_equal(iu[0], 0x80);
	assert_int_equal(iu[7], 4);
	assert_int_equal(srp_word_decode(iu, 16, SRP_T_LOGOUT, &tag, &word), SRP_FINE);
	assert_int_equal(word, 4);
	assert_int_equal(srp_word_decode(iu, 15, SRP_T_LOGOUT, &tag, &word), SRP_BAD_LENGTH);
	assert_int_equal(srp_word_decode(iu, 16, SRP_CRED_REQ, &tag, &word), SRP_BAD_TYPE);

	assert_int_equal(srp_tsk_mgmt_encode(iu, sizeof(iu), &tm), 48);
	assert_int_equal(iu[21], 3);
	assert_int_equal(iu[30], 8);
	assert_int_equal(iu[39], 0x0b);
	assert_int_equal(srp_tsk_mgmt_decode(iu, 48, &tm2), SRP_FINE);
	assert_int_equal(tm2.task_tag, 0x0a0b);
	assert_int_equal(tm2.function, SRP_LUN_RESET);
	assert_memory_equal(tm2.lun, tm.lun, SCSI_LUN_LEN);
	assert_int_equal(srp_tsk_mgmt_decode(iu, 47, &tm2), SRP_BAD_LENGTH);
	assert_int_equal(tm2.tag, 1);
	assert_int_equal(srp_tsk_mgmt_encode(iu, 47, &tm), 0);

	assert_int_equal(srp_aer_req_encode(iu, sizeof(iu), &aer), 39);
	assert_int_equal(srp_aer_req_decode(iu, 39, &aer2), SRP_FINE);
	assert_int_equal(aer2.delta, 3);
	assert_int_equal(aer2.sense_len, 3);
	assert_memory_equal(aer2.sense, "xyz", 3);
	assert_int_equal(srp_aer_req_decode(iu, 38, &aer2), SRP_BAD_LENGTH);
	assert_int_equal(srp_aer_req_decode(iu, 35, &aer2), SRP_BAD_LENGTH);
	iu[28] = 0xff;
	assert_int_equal(srp_aer_req_decode(iu, 39, &aer2), SRP_BAD_LENGTH);
	assert_int_equal(srp_aer_req_encode(iu, 38, &aer), 0);
	assert_int_equal(srp_iu_type(iu, 0), -1);
	assert_string_equal(srp_bad_msg(SRP_BAD_TABLE), "descriptors that contradict each other");
	assert_string_equal(srp_bad_msg((enum srp_bad)99), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cmd_direct), cmocka_unit_test(test_cmd_indirect),
		cmocka_unit_test(test_table),	   cmocka_unit_test(test_rsp),
		cmocka_unit_test(test_logins),	   cmocka_unit_test(test_short_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
