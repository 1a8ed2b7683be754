/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Task management at the target, asked for by hand: what is ended has no response and
 * moves no byte after the function's answer, and credits come back.
 */
#include "srp_raw.h"

static u32 tm_iu(void *iu, u64 tag, u8 function, u64 task_tag, u8 lun)
{
	struct srp_tsk_mgmt tm = {
		.tag = tag, .task_tag = task_tag, .function = function, .lun = { lun & 0xc0, lun & 0x3f }
	};

	return srp_tsk_mgmt_encode(iu, 64, &tm);
}

static struct srp_rsp tm(struct raw *r, u8 function, u64 task_tag, u8 lun)
{
	u8 iu[64];

	r->tag++;
	raw_send(r, iu, tm_iu(iu, 1000 + r->tag, function, task_tag, lun));
	return raw_rsp(r, 1000 + r->tag);
}

static u32 rw_iu(struct raw *r, void *iu, u64 tag, bool write, u32 lba, u16 blocks)
{
	struct srp_data data = { .format = SRP_DATA_DIRECT, .count = 1 };
	struct srp_desc d = raw_desc(r, 0, blocks * BLOCK);
	u8 wire[SRP_DESC_BYTES];

	data.descs = wire;
	srp_desc_put(wire, 0, &d);
	return raw_rw(iu, tag, write, lba, blocks, &data);
}

/* Nothing in hand: every function is answered. */
static void test_answers(void **state)
{
	static const struct {
		u8 function, lun, code;
	} rows[] = {
		{ SRP_ABORT_TASK, 0, SRP_RSP_OK },
		{ SRP_ABORT_TASK_SET, 0, SRP_RSP_OK },
		{ SRP_CLEAR_TASK_SET, 0, SRP_RSP_OK },
		{ SRP_LUN_RESET, 0, SRP_RSP_OK },
		{ SRP_CLEAR_ACA, 0, SRP_RSP_NOT_SUPPORTED },
		{ 0x55, 0, SRP_RSP_NOT_SUPPORTED },
		{ 0, 0, SRP_RSP_NOT_SUPPORTED },
		{ SRP_ABORT_TASK, 1, SRP_RSP_FAILED },
		{ SRP_LUN_RESET, 7, SRP_RSP_FAILED },
		{ SRP_LUN_RESET, 0x40, SRP_RSP_OK }, /* unit 0 by flat space addressing (SAM-4 4.6.9) */
		{ SRP_LUN_RESET, 0x41, SRP_RSP_FAILED },
	};
	struct srp_target_stats st;
	struct srp_target *t;
	struct srp_rsp rsp;
	struct srp_bed b;
	struct raw r;
	u8 iu[64];
	u32 i, round;

	(void)state;
	bed_open(&b, MACHINE_IOMMU, 3);
	t = bed_target(&b, IB_POLL_SOFTIRQ);
	raw_ready(&r, b.dev[0], 1);
	raw_attention(&r);
	/* more rounds than there are credits: none gets lost */
	for (round = 0; round < 10; round++) {
		for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			rsp = tm(&r, rows[i].function, 4711, rows[i].lun);
			assert_true(rsp.has_code);
			assert_int_equal(rsp.code, rows[i].code);
			assert_int_equal(rsp.delta, 1);
		}
	}
	/* one that is cut short */
	raw_send(&r, iu, tm_iu(iu, 77, SRP_LUN_RESET, 0, 0) - 9);
	rsp = raw_rsp(&r, 77);
	assert_int_equal(rsp.code, SRP_RSP_INVALID_FIELDS);
	srp_target_get_stats(t, &st);
	assert_int_equal(st.task_mgmt, 110);
	assert_int_equal(st.bad_ius, 1);
	/* the reset is news for every nexus */
	raw_send(&r, iu, rw_iu(&r, iu, 5, false, 0, 1));
	rsp = raw_rsp(&r, 5);
	assert_int_equal(rsp.status, SCSI_CHECK_CONDITION);
	assert_int_equal(rsp.sense[2] & 15, SCSI_UNIT_ATTENTION);
	raw_close(&r);
	srp_target_destroy(t);
	bed_close(&b);
}

/*
 * Three writes: one that is with the medium, which is slow, and two that wait for its buffer. What waits is dropped at once,
 * what is with the medium when that lets go of it.
 */
static void abort_behind(u8 function, u64 task_tag)
{
	bool all = function != SRP_ABORT_TASK;
	struct srp_target_stats st;
	struct srp_target *t;
	struct srp_bed b;
	struct srp_rsp rsp;
	struct raw r;
	u8 iu[1024];
	u32 i, gone = 0;

	bed_open(&b, MACHINE_IOMMU, 3);
	gate_make(&b);
	t = bed_target(&b, IB_POLL_WORKQUEUE);
	raw_ready(&r, b.dev[0], 1);
	raw_attention(&r);
	memset(r.mem.cpu + RAW_DATA, 0xee, 65536);
	gate_set(GATE_WRITE, 0);
	for (i = 0; i < 3; i++)
		raw_send(&r, iu, rw_iu(&r, iu, 60 + i, true, 1024 + 64 * i, 64));
	gate_wait();
	raw_send(&r, iu, tm_iu(iu, 99, function, task_tag, 0));
	if (all || task_tag == 60) {
		assert_false(raw_recv_within(&r, 50));
		gate_set(0, 0);
		gone = all ? 3 : 1;
	}
	rsp = raw_rsp(&r, 99);
	assert_int_equal(rsp.code, SRP_RSP_OK);
	if (!all && task_tag == 61)
		gone = 1;
	assert_int_equal(rsp.delta, 1 + gone);
	gate_set(0, 0);
	for (i = 0; i < 3; i++)
		if (!all && task_tag != 60 + i)
			raw_rsp(&r, 60 + i);
	assert_false(raw_recv_within(&r, 50));
	assert_int_equal(b.disk[1025 * BLOCK], 0xee);
	for (i = 1; i < 3; i++)
		assert_int_equal(b.disk[(1025 + 64 * i) * BLOCK], all || task_tag == 60 + i ? 0 : 0xee);
	srp_target_get_stats(t, &st);
	assert_int_equal(st.aborted, gone);
	raw_close(&r);
	srp_target_destroy(t);
	bed_close(&b);
}

static void test_abort_task(void **state)
{
	(void)state;
	abort_behind(SRP_ABORT_TASK, 60);
	abort_behind(SRP_ABORT_TASK, 61);
	abort_behind(SRP_ABORT_TASK, 4711);
}

static void test_abort_sets(void **state)
{
	(void)state;
	abort_behind(SRP_ABORT_TASK_SET, 0);
	abort_behind(SRP_CLEAR_TASK_SET, 0);
	abort_behind(SRP_LUN_RESET, 0);
}

/*
 * Another initiator's write, with the medium: the function is answered when that lets go of it, and its
 * credit comes back by itself.
 */
static void other_nexus(u8 function, bool hits)
{
	struct srp_target *t;
	struct raw mine, theirs;
	struct srp_rsp rsp;
	struct srp_bed b;
	u8 iu[1024];
	u32 word;
	u64 tag;

	bed_open(&b, MACHINE_DIRECT, 3);
	gate_make(&b);
	t = bed_target(&b, IB_POLL_SOFTIRQ);
	raw_ready(&mine, b.dev[0], 1);
	raw_ready(&theirs, b.dev[0], 2);
	raw_attention(&mine);
	raw_attention(&theirs);
	gate_set(GATE_WRITE, 0);
	raw_send(&theirs, iu, rw_iu(&theirs, iu, 50, true, 0, 1));
	gate_wait();
	raw_send(&mine, iu, tm_iu(iu, 99, function, 50, 0));
	if (hits)
		assert_false(raw_recv_within(&mine, 50));
	gate_set(0, 0);
	rsp = raw_rsp(&mine, 99);
	assert_int_equal(rsp.code, SRP_RSP_OK);
	assert_int_equal(rsp.delta, 1);
	if (hits) {
		assert_true(raw_recv(&theirs));
		assert_int_equal(srp_word_decode(theirs.got, theirs.got_len, SRP_CRED_REQ, &tag, &word), SRP_FINE);
		assert_int_equal(word, 1);
		raw_send(&theirs, iu, srp_plain_encode(iu, sizeof(iu), SRP_CRED_RSP, tag));
	} else {
		rsp = raw_rsp(&theirs, 50);
		assert_int_equal(rsp.status, SCSI_GOOD);
	}
	assert_false(raw_recv_within(&theirs, 50));
	assert_false(theirs.broken);
	raw_close(&mine);
	raw_close(&theirs);
	srp_target_destroy(t);
	bed_close(&b);
}

static void test_other_nexus(void **state)
{
	(void)state;
	other_nexus(SRP_ABORT_TASK, false); /* tags are a nexus's own */
	other_nexus(SRP_ABORT_TASK_SET, false);
	other_nexus(SRP_CLEAR_TASK_SET, true);
	other_nexus(SRP_LUN_RESET, true);
}

/* A function that waits for another channel's command, and its own channel goes meanwhile. */
static void test_gone_while_waiting(void **state)
{
	struct srp_target *t;
	struct raw mine, theirs;
	struct srp_bed b;
	u8 iu[1024];

	(void)state;
	bed_open(&b, MACHINE_DIRECT, 3);
	gate_make(&b);
	t = bed_target(&b, IB_POLL_SOFTIRQ);
	raw_ready(&mine, b.dev[0], 1);
	raw_ready(&theirs, b.dev[0], 2);
	raw_attention(&mine);
	raw_attention(&theirs);
	gate_set(GATE_WRITE, 0);
	raw_send(&theirs, iu, rw_iu(&theirs, iu, 50, true, 0, 1));
	gate_wait();
	raw_send(&mine, iu, tm_iu(iu, 99, SRP_LUN_RESET, 0, 0));
	raw_send(&mine, iu, srp_plain_encode(iu, sizeof(iu), SRP_I_LOGOUT, 1));
	usleep(20000);
	gate_set(0, 0);
	assert_true(raw_ended(&mine));
	raw_close(&mine);
	raw_close(&theirs);
	srp_target_destroy(t);
	bed_close(&b);
}

/* The target has something to say by itself. */
static void test_asynchronous(void **state)
{
	static const u8 sense[18] = { 0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x2a, 9 };
	struct srp_aer_req req;
	struct srp_target *t;
	struct srp_bed b;
	struct raw r;
	u8 iu[64];
	u32 i;

	(void)state;
	bed_open(&b, MACHINE_DIRECT, 3);
	t = bed_target(&b, IB_POLL_SOFTIRQ);
	raw_ready(&r, b.dev[0], 1);
	raw_attention(&r);
	for (i = 0; i < 5; i++) {
		srp_target_event(t, sense, sizeof(sense));
		assert_true(raw_recv(&r));
		assert_int_equal(srp_aer_req_decode(r.got, r.got_len, &req), SRP_FINE);
		assert_int_equal(req.sense_len, sizeof(sense));
		assert_memory_equal(req.sense, sense, sizeof(sense));
		/* not before the last one was answered */
		srp_target_event(t, sense, sizeof(sense));
		assert_false(raw_recv_within(&r, 20));
		raw_send(&r, iu, srp_plain_encode(iu, sizeof(iu), SRP_AER_RSP, req.tag));
	}
	assert_int_equal(srp_target_logout(t), 1);
	assert_true(raw_recv(&r));
	assert_int_equal(srp_iu_type(r.got, r.got_len), SRP_T_LOGOUT);
	assert_true(raw_ended(&r));
	raw_close(&r);
	srp_target_destroy(t);
	bed_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_abort_task),
		cmocka_unit_test(test_abort_sets),
		cmocka_unit_test(test_other_nexus),
		cmocka_unit_test(test_gone_while_waiting),
		cmocka_unit_test(test_asynchronous),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
