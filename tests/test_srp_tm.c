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

/* The unit attentions that a nexus has, at the next command: each of them, and then none. */
static void hears(struct raw *r, const u16 *asc, u32 n)
{
	const struct srp_data none = { .format = SRP_DATA_NONE };
	static const u8 lun[SCSI_LUN_LEN], tur[6];
	struct srp_rsp rsp;
	u8 iu[64];
	u32 i;

	for (i = 0; i <= n; i++) {
		raw_send(r, iu, srp_cmd_encode(iu, sizeof(iu), 300 + i, lun, tur, 6, &none, &none));
		rsp = raw_rsp(r, 300 + i);
		assert_int_equal(rsp.status, i < n ? SCSI_CHECK_CONDITION : SCSI_GOOD);
		if (i < n) {
			assert_int_equal(rsp.sense[2] & 15, SCSI_UNIT_ATTENTION);
			assert_int_equal(rsp.sense[12] << 8 | rsp.sense[13], asc[i]);
		}
	}
}

/* PERSISTENT RESERVE OUT, type 1, as an IU; its list is in the channel's memory. */
static u32 prout_iu(struct raw *r, void *iu, u64 tag, u8 action, u8 key, u8 new_key)
{
	const struct srp_data none = { .format = SRP_DATA_NONE };
	struct srp_data data = { .format = SRP_DATA_DIRECT, .count = 1 };
	struct srp_desc d = raw_desc(r, 0, 24);
	static const u8 lun[SCSI_LUN_LEN];
	u8 cdb[10] = { 0x5f, action, 1, 0, 0, 0, 0, 0, 24 }, wire[SRP_DESC_BYTES];
	u8 *list = (u8 *)r->mem.cpu + RAW_DATA;

	memset(list, 0, 24);
	list[7] = key;
	list[15] = new_key;
	data.descs = wire;
	srp_desc_put(wire, 0, &d);
	return srp_cmd_encode(iu, 1024, tag, lun, cdb, sizeof(cdb), &data, &none);
}

static void prout(struct raw *r, u8 action, u8 key, u8 new_key)
{
	u8 iu[1024];

	raw_send(r, iu, prout_iu(r, iu, 200, action, key, new_key));
	assert_int_equal(raw_rsp(r, 200).status, SCSI_GOOD);
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
	static const u16 reset = SCSI_ASC_RESET, cleared = SCSI_ASC_CLEARED;
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
	/* Who loses commands without a response is told (SAM-4 5.6); who ends them knows. A reset is news for all. */
	hears(&theirs, function == SRP_LUN_RESET ? &reset : &cleared, hits);
	hears(&mine, &reset, function == SRP_LUN_RESET);
	/* With none in hand there is nothing to tell. */
	tm(&mine, SRP_CLEAR_TASK_SET, 0, 0);
	hears(&theirs, NULL, 0);
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

enum { REGISTER = 0, PREEMPT = 4, PREEMPT_AND_ABORT = 5 };
enum ending { ANSWERED, RESET_MEANWHILE, GONE_MEANWHILE };

/*
 * PREEMPT AND ABORT (SPC-4 5.13.11.2.7): a third initiator's commands go on, and the answer comes when those of the
 * preempted one have been dropped; or it doesn't, as the unit was reset or the channel went while it waited.
 */
static void preempt(u8 action, enum ending ending)
{
	static const u16 asc[] = { SCSI_ASC_CLEARED, SCSI_ASC_REGISTRATIONS_PREEMPTED };
	bool aborts = action == PREEMPT_AND_ABORT;
	struct raw mine, theirs, third;
	struct srp_target *t;
	struct srp_bed b;
	u8 iu[1024];
	u32 word;
	u64 tag;

	bed_open(&b, MACHINE_DIRECT, 3);
	gate_make(&b);
	t = bed_target(&b, IB_POLL_SOFTIRQ);
	raw_ready(&mine, b.dev[0], 1);
	raw_ready(&theirs, b.dev[0], 2);
	raw_ready(&third, b.dev[0], 3);
	raw_attention(&mine);
	raw_attention(&theirs);
	raw_attention(&third);
	prout(&mine, REGISTER, 0, 1);
	prout(&theirs, REGISTER, 0, 2);
	gate_set(GATE_WRITE, 0);
	raw_send(&theirs, iu, rw_iu(&theirs, iu, 50, true, 0, 1));
	raw_send(&third, iu, rw_iu(&third, iu, 51, true, 8, 1));
	gate_wait();
	raw_send(&mine, iu, prout_iu(&mine, iu, 60, action, 1, 2));
	if (aborts)
		assert_false(raw_recv_within(&mine, 50));
	if (ending == RESET_MEANWHILE)
		raw_send(&third, iu, tm_iu(iu, 99, SRP_LUN_RESET, 0, 0));
	if (ending == GONE_MEANWHILE)
		raw_send(&mine, iu, srp_plain_encode(iu, sizeof(iu), SRP_I_LOGOUT, 1));
	if (ending != ANSWERED)
		usleep(20000);
	gate_set(0, 0);
	if (ending == ANSWERED)
		assert_int_equal(raw_rsp(&mine, 60).status, SCSI_GOOD);
	else if (ending == GONE_MEANWHILE)
		assert_true(raw_ended(&mine));
	if (ending == RESET_MEANWHILE) {
		assert_int_equal(raw_rsp(&third, 99).code, SRP_RSP_OK);
		assert_true(raw_recv(&mine)); /* its credit, without a response */
		assert_int_equal(srp_word_decode(mine.got, mine.got_len, SRP_CRED_REQ, &tag, &word), SRP_FINE);
	} else {
		assert_int_equal(raw_rsp(&third, 51).status, SCSI_GOOD);
	}
	if (aborts) {
		assert_true(raw_recv(&theirs));
		assert_int_equal(srp_word_decode(theirs.got, theirs.got_len, SRP_CRED_REQ, &tag, &word), SRP_FINE);
		raw_send(&theirs, iu, srp_plain_encode(iu, sizeof(iu), SRP_CRED_RSP, tag));
	} else {
		assert_int_equal(raw_rsp(&theirs, 50).status, SCSI_GOOD);
	}
	if (ending != RESET_MEANWHILE) {
		hears(&theirs, aborts ? asc : asc + 1, aborts ? 2 : 1);
		hears(&third, NULL, 0);
	}
	raw_close(&mine);
	raw_close(&theirs);
	raw_close(&third);
	srp_target_destroy(t);
	bed_close(&b);
}

static void test_preempt(void **state)
{
	(void)state;
	preempt(PREEMPT, ANSWERED);
	preempt(PREEMPT_AND_ABORT, ANSWERED);
	preempt(PREEMPT_AND_ABORT, RESET_MEANWHILE);
	preempt(PREEMPT_AND_ABORT, GONE_MEANWHILE);
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
		cmocka_unit_test(test_answers),	     cmocka_unit_test(test_abort_task),
		cmocka_unit_test(test_abort_sets),   cmocka_unit_test(test_other_nexus),
		cmocka_unit_test(test_preempt),	     cmocka_unit_test(test_gone_while_waiting),
		cmocka_unit_test(test_asynchronous),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
