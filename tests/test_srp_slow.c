/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A target with a slow medium: calls that wait at a gate. What one command waits for delays no other channel's login, data,
 * task management or end; and no function is answered before the medium has let go of what it ends (SAM-4 7: "no longer
 * being processed").
 */
#include "srp_raw.h"

#define LOW 8u /* blocks below the gate's place */
#define FAR 4096u

static u32 rw_iu(struct raw *r, void *iu, u64 tag, bool write, u32 lba, u16 blocks)
{
	struct srp_data data = { .format = SRP_DATA_DIRECT, .count = 1 };
	struct srp_desc d = raw_desc(r, 0, blocks * BLOCK);
	u8 wire[SRP_DESC_BYTES];

	data.descs = wire;
	srp_desc_put(wire, 0, &d);
	return raw_rw(iu, tag, write, lba, blocks, &data);
}

static void send_rw(struct raw *r, u64 tag, bool write, u32 lba, u16 blocks)
{
	u8 iu[1024];

	raw_send(r, iu, rw_iu(r, iu, tag, write, lba, blocks));
}

static void send_tm(struct raw *r, u64 tag, u8 function, u64 task_tag)
{
	struct srp_tsk_mgmt tm = { .tag = tag, .task_tag = task_tag, .function = function };
	u8 iu[64];

	raw_send(r, iu, srp_tsk_mgmt_encode(iu, sizeof(iu), &tm));
}

static void send_logout(struct raw *r)
{
	u8 iu[16];

	raw_send(r, iu, srp_plain_encode(iu, sizeof(iu), SRP_I_LOGOUT, 1));
}

struct slow {
	struct srp_bed bed;
	struct srp_target *t;
	struct raw a, b;
};

/* A target with @workers, and two initiators whose first attention is over. */
static void slow_open(struct slow *s, u32 workers)
{
	struct srp_target_attr attr = { .name = DISK, .workers = workers };

	bed_open(&s->bed, MACHINE_IOMMU, 3);
	gate_make(&s->bed);
	attr.device = s->bed.dev[1];
	attr.scsi = &s->bed.scsi;
	assert_int_equal(srp_target_create(&attr, &s->t), 0);
	raw_ready(&s->a, s->bed.dev[0], 1);
	raw_ready(&s->b, s->bed.dev[0], 2);
	raw_attention(&s->a);
	raw_attention(&s->b);
}

static void slow_close(struct slow *s)
{
	gate_set(0, 0);
	raw_close(&s->a);
	raw_close(&s->b);
	srp_target_destroy(s->t);
	bed_close(&s->bed);
}

/* One initiator has left while its command is with the medium: another logs in, and works. */
static void test_login(void **state)
{
	struct slow s;
	struct raw c;
	u32 i;

	(void)state;
	for (i = 0; i < 2; i++) {
		slow_open(&s, 0);
		gate_set(i ? GATE_WRITE : GATE_READ, FAR * BLOCK);
		send_rw(&s.a, 50, i, FAR, 1);
		gate_wait();
		srp_cm_disconnect(s.a.conn);
		assert_true(eventually(__atomic_load_n(&s.a.gone, __ATOMIC_ACQUIRE)));
		raw_ready(&c, s.bed.dev[0], 3);
		raw_attention(&c);
		send_rw(&c, 51, true, 0, LOW);
		assert_int_equal(raw_rsp(&c, 51).status, SCSI_GOOD);
		raw_close(&c);
		slow_close(&s);
	}
}

/* A sync that takes long: logins go on, and so do reads and writes that need none. */
static void test_login_while_sync(void **state)
{
	static const u8 lun[SCSI_LUN_LEN], sync[10] = { 0x35 };
	const struct srp_data none = { .format = SRP_DATA_NONE };
	struct slow s;
	struct raw c;
	u8 iu[64];

	(void)state;
	slow_open(&s, 0);
	gate_set(GATE_SYNC, 0);
	raw_send(&s.a, iu, srp_cmd_encode(iu, sizeof(iu), 50, lun, sync, sizeof(sync), &none, &none));
	gate_wait();
	raw_ready(&c, s.bed.dev[0], 3);
	raw_attention(&c);
	send_rw(&c, 51, true, 0, LOW);
	assert_int_equal(raw_rsp(&c, 51).status, SCSI_GOOD);
	assert_false(raw_recv_within(&s.a, 1));
	gate_set(0, 0);
	assert_int_equal(raw_rsp(&s.a, 50).status, SCSI_GOOD);
	raw_close(&c);
	slow_close(&s);
}

/* A login that ends an older channel is answered when that channel's write has ended, and no other login waits for it. */
static void test_relogin(void **state)
{
	struct srp_login_req req = raw_login_req(1);
	struct raw again, c;
	struct slow s;
	u8 iu[SRP_CM_PRIVATE];

	(void)state;
	slow_open(&s, 0);
	memset(s.a.mem.cpu + RAW_DATA, 0xee, BLOCK);
	gate_set(GATE_WRITE, FAR * BLOCK);
	send_rw(&s.a, 50, true, FAR, 1);
	gate_wait();
	raw_open(&again, s.bed.dev[0]);
	srp_login_req_encode(iu, sizeof(iu), &req);
	assert_int_equal(srp_cm_connect(again.conn, iu, sizeof(iu)), 0);
	assert_true(raw_ended(&s.a));
	raw_ready(&c, s.bed.dev[0], 3);
	assert_false(__atomic_load_n(&again.accepted, __ATOMIC_ACQUIRE));
	assert_int_equal(s.bed.disk[FAR * BLOCK], 0);
	gate_set(0, 0);
	assert_true(eventually(__atomic_load_n(&again.accepted, __ATOMIC_ACQUIRE)));
	assert_int_equal(s.bed.disk[FAR * BLOCK], 0xee);
	assert_int_equal(again.rsp.flags & SRP_MULTICHAN_MASK, SRP_MULTICHAN_ENDED);
	raw_close(&again);
	raw_close(&c);
	slow_close(&s);
}

/* Each has asked for a reset that waits for the other's write; both leave. */
static void test_both_leave(void **state)
{
	struct srp_target_stats st;
	struct slow s;
	struct raw c;

	(void)state;
	slow_open(&s, 0);
	gate_set(GATE_WRITE, 0);
	send_rw(&s.a, 50, true, FAR, 1);
	send_rw(&s.b, 50, true, FAR + 8, 1);
	gate_wait_for(2);
	send_tm(&s.a, 99, SRP_LUN_RESET, 0);
	send_tm(&s.b, 99, SRP_LUN_RESET, 0);
	send_logout(&s.a);
	send_logout(&s.b);
	assert_true(raw_ended(&s.a));
	assert_true(raw_ended(&s.b));
	raw_ready(&c, s.bed.dev[0], 3);
	gate_set(0, 0);
	assert_true(eventually((srp_target_get_stats(s.t, &st), st.channels == 1)));
	assert_int_equal(st.aborted, 2);
	raw_close(&c);
	slow_close(&s);
}

/* A reset that waits for another's write: who asked for it leaves, and is gone before the write has ended. */
static void test_own_end(void **state)
{
	struct srp_target_stats st;
	struct slow s;

	(void)state;
	slow_open(&s, 0);
	gate_set(GATE_WRITE, 0);
	send_rw(&s.b, 50, true, FAR, 1);
	gate_wait();
	send_tm(&s.a, 99, SRP_LUN_RESET, 0);
	send_logout(&s.a);
	assert_true(eventually((srp_target_get_stats(s.t, &st), st.channels == 1)));
	gate_set(0, 0);
	slow_close(&s);
}

/* More slow commands than there are workers, and another channel's fast ones. */
static void test_data(void **state)
{
	struct slow s;
	u64 i;

	(void)state;
	slow_open(&s, 2);
	gate_set(GATE_READ | GATE_WRITE, FAR * BLOCK);
	for (i = 0; i < 20; i++)
		send_rw(&s.a, 100 + i, i % 2, FAR + (u32)i, 1);
	gate_wait_for(2);
	for (i = 0; i < 50; i++) {
		send_rw(&s.b, 200 + i, i % 2, 0, (u16)(LOW * (1 + i % 4)));
		assert_int_equal(raw_rsp(&s.b, 200 + i).status, SCSI_GOOD);
	}
	assert_false(raw_recv_within(&s.a, 20));
	gate_set(0, 0);
	for (i = 0; i < 20; i++)
		assert_true(raw_recv(&s.a));
	slow_close(&s);
}

/* Both channels have more slow commands than there are workers: one leaves, and its nexus is free when its own have ended. */
static void test_crowd(void **state)
{
	struct srp_target_stats st;
	struct slow s;
	u64 i;

	(void)state;
	slow_open(&s, 1);
	gate_set(GATE_WRITE, 0);
	for (i = 0; i < 10; i++) {
		send_rw(&s.a, 100 + i, true, FAR + 64 * (u32)i, 64);
		send_rw(&s.b, 100 + i, true, 2 * FAR + (u32)i, 1);
	}
	gate_wait_for(2);
	send_tm(&s.b, 99, SRP_ABORT_TASK, 107); /* which waits for a worker, and needs none any more */
	assert_int_equal(raw_rsp(&s.b, 99).code, SRP_RSP_OK);
	send_logout(&s.a);
	assert_true(raw_ended(&s.a));
	gate_set(0, 0);
	assert_true(eventually((srp_target_get_stats(s.t, &st), st.channels == 1)));
	for (i = 0; i < 9; i++)
		assert_true(raw_recv(&s.b));
	slow_close(&s);
}

/* Reads and syncs that are with the medium: nothing of them moves any more, so a function needn't wait for them. */
static void test_abort_of_looks(void **state)
{
	static const u8 lun[SCSI_LUN_LEN], sync[10] = { 0x35 };
	const struct srp_data none = { .format = SRP_DATA_NONE };
	struct srp_rsp rsp;
	struct slow s;
	u8 iu[1024];
	u64 tag;
	u32 word;

	(void)state;
	slow_open(&s, 0);
	memset(s.bed.disk, 0x11, BLOCK);
	gate_set(GATE_READ | GATE_SYNC, 0);
	send_rw(&s.a, 50, false, 0, 1);
	raw_send(&s.a, iu, srp_cmd_encode(iu, sizeof(iu), 51, lun, sync, sizeof(sync), &none, &none));
	gate_wait_for(2);
	send_tm(&s.a, 98, SRP_ABORT_TASK, 51);
	assert_int_equal(raw_rsp(&s.a, 98).code, SRP_RSP_OK);
	send_tm(&s.b, 99, SRP_LUN_RESET, 0);
	assert_int_equal(raw_rsp(&s.b, 99).code, SRP_RSP_OK);
	gate_set(0, 0);
	/* their credits come back by themselves, perhaps in two parts */
	assert_true(raw_recv(&s.a));
	assert_int_equal(srp_word_decode(s.a.got, s.a.got_len, SRP_CRED_REQ, &tag, &word), SRP_FINE);
	raw_send(&s.a, iu, srp_plain_encode(iu, sizeof(iu), SRP_CRED_RSP, tag));
	assert_false(word != 2 && !raw_recv(&s.a));
	assert_int_equal(s.a.mem.cpu[RAW_DATA], 0);
	raw_attention(&s.b);
	send_rw(&s.b, 60, false, 0, 1);
	rsp = raw_rsp(&s.b, 60);
	assert_int_equal(rsp.status, SCSI_GOOD);
	slow_close(&s);
}

/* The attribute's place: after the CDB's length (SRP r16a 6.8); as our initiator sends SIMPLE alone. */
static void send_attr(struct raw *r, u64 tag, u32 lba, u8 attr)
{
	u8 iu[1024];
	u32 n = rw_iu(r, iu, tag, true, lba, 1);

	((struct srp_wire_cmd *)iu)->attr = attr;
	raw_send(r, iu, n);
}

static bool got(struct raw *r, u64 tag)
{
	u64 t = 0;

	return raw_recv(r) && srp_iu_tag(r->got, r->got_len, &t) && t == tag;
}

/*
 * Commands in any order, but for an ORDERED one, which waits for those before it, and those behind it for it; an abort finds
 * it where it waits (SAM-4 8.6).
 */
static void test_ordered(void **state)
{
	struct slow s;
	u32 i;

	(void)state;
	for (i = 0; i < 2; i++) {
		slow_open(&s, 0);
		gate_set(GATE_WRITE, FAR * BLOCK);
		send_attr(&s.a, 50, FAR, SRP_SIMPLE);
		gate_wait();
		send_attr(&s.a, 51, 0, SRP_SIMPLE);
		assert_true(got(&s.a, 51));
		send_attr(&s.a, 52, FAR + 1, SRP_ORDERED);
		send_attr(&s.a, 53, 1, SRP_SIMPLE);
		send_attr(&s.a, 54, 2, SRP_ORDERED);
		send_attr(&s.a, 55, 3, SRP_SIMPLE);
		assert_false(raw_recv_within(&s.a, 20));
		send_attr(&s.a, 56, 4, SRP_HEAD_OF_QUEUE);
		assert_true(got(&s.a, 56));
		send_attr(&s.b, 57, 5, SRP_ORDERED);
		assert_true(got(&s.b, 57));
		if (i) {
			/* without 52, 53 has nothing to wait for */
			send_tm(&s.a, 99, SRP_ABORT_TASK, 52);
			assert_true(raw_recv(&s.a) && raw_recv(&s.a));
			send_tm(&s.a, 98, SRP_ABORT_TASK, 55);
			assert_true(got(&s.a, 98));
			assert_false(raw_recv_within(&s.a, 20)); /* 54 still waits for 50 */
			gate_set(0, 0);
			assert_true(got(&s.a, 50) && got(&s.a, 54));
		} else {
			gate_set(0, 0);
			assert_true(got(&s.a, 50) && got(&s.a, 52) && got(&s.a, 53) && got(&s.a, 54) && got(&s.a, 55));
		}
		assert_false(raw_recv_within(&s.a, 20));
		slow_close(&s);
	}
}

/*
 * Old data over new: a write is with the medium, and a first function has marked it. A second one, of whatever kind and from
 * whomever, is answered no earlier than the first.
 */
static void second_function(u8 first, u8 second, bool same)
{
	struct slow s;
	struct raw *r;

	slow_open(&s, 0);
	r = same ? &s.a : &s.b;
	memset(s.a.mem.cpu + RAW_DATA, 0x0d, BLOCK);
	gate_set(GATE_WRITE, 0);
	send_rw(&s.a, 50, true, FAR, 1);
	gate_wait();
	send_tm(&s.a, 98, first, 50);
	send_tm(r, 99, second, 50);
	assert_false(raw_recv_within(r, 20));
	if (!same)
		assert_false(raw_recv_within(&s.a, 1));
	gate_set(0, 0);
	if (same)
		assert_true(raw_recv(r)); /* either may come first */
	assert_true(raw_recv(r));
	/* the answer has come, so this is what stays */
	assert_int_equal(s.bed.disk[FAR * BLOCK], 0x0d);
	slow_close(&s);
}

static void test_second_function(void **state)
{
	(void)state;
	second_function(SRP_ABORT_TASK, SRP_ABORT_TASK, true);
	second_function(SRP_ABORT_TASK, SRP_ABORT_TASK_SET, true);
	second_function(SRP_LUN_RESET, SRP_ABORT_TASK, true);
	second_function(SRP_LUN_RESET, SRP_LUN_RESET, true);
	second_function(SRP_LUN_RESET, SRP_LUN_RESET, false);
	second_function(SRP_ABORT_TASK, SRP_CLEAR_TASK_SET, false);
}

/* Logical unit 0 has two names (SAM-4 4.6.8, 4.6.9), and both are good for commands and functions. */
static void test_flat_lun(void **state)
{
	static const u8 tur[6];
	const struct srp_data none = { .format = SRP_DATA_NONE };
	struct srp_tsk_mgmt tm = { .tag = 99, .function = SRP_ABORT_TASK, .lun = { 0x40 } };
	struct slow s;
	u8 iu[1024];

	(void)state;
	slow_open(&s, 0);
	raw_send(&s.a, iu, srp_cmd_encode(iu, sizeof(iu), 5, tm.lun, tur, sizeof(tur), &none, &none));
	assert_int_equal(raw_rsp(&s.a, 5).status, SCSI_GOOD);
	raw_send(&s.a, iu, srp_tsk_mgmt_encode(iu, sizeof(iu), &tm));
	assert_int_equal(raw_rsp(&s.a, 99).code, SRP_RSP_OK);
	slow_close(&s);
}

static void send_status(struct raw *r, u64 tag)
{
	static const u8 lun[SCSI_LUN_LEN], cdb[16] = { 0x9e, 0x12, [13] = 24 };
	const struct srp_data none = { .format = SRP_DATA_NONE };
	struct srp_desc d = raw_desc(r, 0, 24);
	u8 iu[1024], wire[SRP_DESC_BYTES];
	struct srp_data in = { .format = SRP_DATA_DIRECT, .count = 1, .descs = wire };

	srp_desc_put(wire, 0, &d);
	raw_send(r, iu, srp_cmd_encode(iu, sizeof(iu), tag, lun, cdb, sizeof(cdb), &none, &in));
}

/* GET LBA STATUS waits for the medium: not in an event, so its channel goes on, and a function needn't wait for it. */
static void test_lba_status(void **state)
{
	struct srp_rsp rsp;
	struct slow s;
	u32 i;

	(void)state;
	for (i = 0; i < 3; i++) {
		slow_open(&s, 0);
		gate_set(GATE_READ, FAR * BLOCK);
		send_status(&s.a, 50);
		gate_wait();
		send_rw(&s.a, 51, true, 0, 1);
		assert_int_equal(raw_rsp(&s.a, 51).status, SCSI_GOOD);
		if (i == 1) {
			send_tm(&s.a, 99, SRP_ABORT_TASK, 50);
			assert_int_equal(raw_rsp(&s.a, 99).code, SRP_RSP_OK);
		} else if (i == 2) {
			send_logout(&s.a);
			assert_true(raw_ended(&s.a));
		}
		gate_set(0, 0);
		if (!i) {
			rsp = raw_rsp(&s.a, 50);
			assert_int_equal(rsp.status, SCSI_GOOD);
			assert_int_equal(rsp.in_residual, 0);
			assert_int_equal(s.a.mem.cpu[RAW_DATA + 3], 20); /* SBC-3 5.6: the bytes that follow */
		}
		slow_close(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_login),		cmocka_unit_test(test_login_while_sync),
		cmocka_unit_test(test_relogin),		cmocka_unit_test(test_both_leave),
		cmocka_unit_test(test_own_end),		cmocka_unit_test(test_data),
		cmocka_unit_test(test_crowd),		cmocka_unit_test(test_abort_of_looks),
		cmocka_unit_test(test_second_function), cmocka_unit_test(test_ordered),
		cmocka_unit_test(test_flat_lun),	cmocka_unit_test(test_lba_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
