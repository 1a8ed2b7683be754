/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The initiator's life: targets that go, come back, say nothing or nonsense; many
 * requests and several threads meanwhile. Nothing is lost but what was told to be.
 */
#include <pthread.h>

#include "srp_fake.h"

/* --- responses that nobody asked for --- */

static void test_tags(void **state)
{
	struct srp_initiator_attr attr = { .depth = 4 };
	struct srp_initiator_stats st;
	struct srp_initiator *ini;
	struct srp_channel *ch;
	struct srp_request req[2];
	struct told told;
	struct srp_bed b;
	struct fake f;
	u64 tag;

	(void)state;
	bed_open(&b, MACHINE_IOMMU, 3);
	fake_open(&f, &b);
	ini = connect_with(&b, &told, &attr);
	ch = srp_initiator_channel(ini, 0);
	req[0] = tur(&told);
	srp_submit(ch, &req[0]);
	tag = next_command(&f);
	respond(&f, tag ^ 1, 0); /* another slot's */
	respond(&f, tag + (1 << 16), 0); /* this slot's, of another time */
	respond(&f, 0x7fffffffffffffff, 0); /* nobody's */
	respond(&f, ~0ull, 0); /* of task management that never was */
	assert_int_equal(count(&told.done), 0);
	respond(&f, tag, 1);
	assert_int_equal(count(&told.done), 1);
	assert_int_equal(req[0].error, 0);
	respond(&f, tag, 0); /* again */
	assert_int_equal(count(&told.done), 1);
	/* the same slot's next request isn't meant by it either */
	req[1] = tur(&told);
	srp_submit(ch, &req[1]);
	respond(&f, tag, 0);
	assert_int_equal(count(&told.done), 1);
	respond(&f, next_command(&f), 1);
	assert_int_equal(count(&told.done), 2);
	srp_initiator_get_stats(ini, &st);
	assert_int_equal(st.bad_responses, 6);
	assert_int_equal(st.state, SRP_STATE_LIVE);
	srp_initiator_destroy(ini);
	fake_close(&f);
	bed_close(&b);
}

/* --- nonsense: the connection is given up, and what is under way fails at once --- */

static void nonsense(const void *iu, u32 len)
{
	struct srp_initiator_attr attr = { .depth = 4 };
	struct srp_initiator *ini;
	struct srp_request req;
	struct told told;
	struct srp_bed b;
	struct fake f;

	bed_open(&b, MACHINE_IOMMU, 3);
	fake_open(&f, &b);
	ini = connect_with(&b, &told, &attr);
	req = tur(&told);
	srp_submit(srp_initiator_channel(ini, 0), &req);
	next_command(&f);
	raw_send(&f.raw, iu, len);
	assert_true(eventually(count(&told.lost) == 1));
	assert_int_equal(count(&told.done), 1);
	assert_int_equal(req.error, -EIO);
	/* and later ones, too, without a wait */
	req = tur(&told);
	srp_submit(srp_initiator_channel(ini, 0), &req);
	assert_int_equal(count(&told.done), 2);
	assert_int_equal(req.error, -EIO);
	srp_initiator_destroy(ini);
	fake_close(&f);
	bed_close(&b);
}

static void test_nonsense(void **state)
{
	struct srp_rsp rsp = { .tag = 65536, .sense = (const u8 *)"0123456789", .sense_len = 10 };
	u8 iu[128] = { 0 };
	u32 n;

	(void)state;
	nonsense(iu, 0);
	nonsense(iu, 1);
	n = srp_rsp_encode(iu, sizeof(iu), &rsp);
	nonsense(iu, n - 1);
	nonsense(iu, 20);
	iu[28] = 0xff; /* more sense than there is */
	nonsense(iu, n);
	iu[0] = SRP_CMD;
	nonsense(iu, 48);
	iu[0] = SRP_AER_REQ;
	nonsense(iu, 35);
	srp_word_encode(iu, sizeof(iu), SRP_T_LOGOUT, 5, SRP_LOGOUT_INACTIVE);
	nonsense(iu, 16);
}

static void refuse_login(struct srp_login_rsp rsp, int want)
{
	struct srp_initiator_attr attr = { .name = DISK };
	struct srp_initiator *ini;
	struct srp_bed b;
	struct fake f;

	bed_open(&b, MACHINE_DIRECT, 3);
	fake_open(&f, &b);
	f.rsp = rsp;
	attr.device = b.dev[0];
	assert_int_equal(srp_initiator_connect(&attr, &ini), want);
	fake_close(&f);
	bed_close(&b);
}

static void test_bad_login_responses(void **state)
{
	const struct srp_login_rsp good = {
		.delta = 8, .it_iu_len = 600, .ti_iu_len = 64, .formats = SRP_FMT_DIRECT | SRP_FMT_INDIRECT
	};
	struct srp_login_rsp rsp = good;

	(void)state;
	rsp.delta = 0;
	refuse_login(rsp, -EPROTO);
	rsp.delta = -5;
	refuse_login(rsp, -EPROTO);
	rsp = good;
	rsp.it_iu_len = 64; /* less than was asked for */
	refuse_login(rsp, -EPROTO);
	rsp = good;
	rsp.ti_iu_len = 100000; /* more than there is room for */
	refuse_login(rsp, -EPROTO);
	rsp = good;
	rsp.formats = 0;
	refuse_login(rsp, -EPROTO);
}

/* --- credits --- */

static void test_credits(void **state)
{
	struct srp_initiator_attr attr = { .depth = 16 };
	struct srp_initiator *ini;
	struct srp_channel *ch;
	struct srp_request req[20];
	struct told told;
	struct srp_bed b;
	struct fake f;
	u64 tags[20];
	u8 iu[64];
	u32 i, n;

	(void)state;
	bed_open(&b, MACHINE_IOMMU, 3);
	fake_open(&f, &b);
	ini = connect_with(&b, &told, &attr);
	ch = srp_initiator_channel(ini, 0);
	for (i = 0; i < 20; i++) {
		req[i] = tur(&told);
		srp_submit(ch, &req[i]);
	}
	/* eight were granted, and one is kept for task management */
	for (n = 0; raw_recv_within(&f.raw, 30); n++)
		srp_iu_tag(f.raw.got, f.raw.got_len, &tags[n]);
	assert_int_equal(n, 7);
	respond(&f, tags[0], 0); /* no credit with it */
	assert_false(raw_recv_within(&f.raw, 30));
	assert_int_equal(count(&told.done), 1);
	respond(&f, tags[1], 1);
	tags[7] = next_command(&f);
	assert_false(raw_recv_within(&f.raw, 30));
	/* credits by themselves */
	raw_send(&f.raw, iu, srp_word_encode(iu, sizeof(iu), SRP_CRED_REQ, 321, 3));
	for (n = 8; n < 12; n++) {
		assert_true(raw_recv(&f.raw));
		if (srp_iu_type(f.raw.got, f.raw.got_len) == SRP_CRED_RSP)
			assert_int_equal(f.raw.got[15], 321 & 255);
		else
			srp_iu_tag(f.raw.got, f.raw.got_len, &tags[n]);
	}
	assert_false(raw_recv_within(&f.raw, 30));
	assert_true(srp_abort(ch, &req[19]) == 0 && req[19].error == -ECANCELED); /* it was never sent */
	assert_int_equal(srp_abort(ch, &req[0]), -ENOENT); /* it's over */
	srp_initiator_destroy(ini);
	assert_int_equal(count(&told.done), 20);
	for (i = 2; i < 19; i++)
		assert_int_equal(req[i].error, -EIO);
	fake_close(&f);
	bed_close(&b);
}

/* --- time --- */

static void answer_tm(struct fake *f, u8 function, u8 code)
{
	struct srp_tsk_mgmt tm;
	struct srp_rsp rsp = { .has_code = true, .code = code, .delta = 2 };
	u8 iu[64];

	assert_true(raw_recv(&f->raw));
	assert_int_equal(srp_tsk_mgmt_decode(f->raw.got, f->raw.got_len, &tm), SRP_FINE);
	assert_int_equal(tm.function, function);
	rsp.tag = tm.tag;
	raw_send(&f->raw, iu, srp_rsp_encode(iu, sizeof(iu), &rsp));
}

/* A target that keeps a read and its memory: abort, then reset, then the end. */
static void test_timeouts(void **state)
{
	struct srp_initiator_attr attr = { .depth = 4, .timeout_ms = 40, .abort_ms = 100 };
	struct srp_initiator_stats st;
	struct srp_initiator *ini;
	struct srp_channel *ch;
	struct srp_request req;
	struct bed_list l;
	struct told told;
	struct srp_bed b;
	struct fake f;

	(void)state;
	bed_open(&b, MACHINE_IOMMU, 3);
	fake_open(&f, &b);
	ini = connect_with(&b, &told, &attr);
	ch = srp_initiator_channel(ini, 0);
	list_make(&b, &l, SHAPE_GAPS, 4096, 3);
	req = req_rw(&l, false, 0);
	req.done = on_done;
	req.ctx = &told.done;

	srp_submit(ch, &req);
	next_command(&f);
	answer_tm(&f, SRP_ABORT_TASK, SRP_RSP_OK);
	assert_true(eventually(count(&told.done) == 1));
	assert_int_equal(req.error, -ETIMEDOUT);

	srp_submit(ch, &req);
	next_command(&f);
	answer_tm(&f, SRP_ABORT_TASK, SRP_RSP_FAILED);
	answer_tm(&f, SRP_LUN_RESET, SRP_RSP_OK);
	assert_true(eventually(count(&told.done) == 2));
	assert_int_equal(req.error, -ETIMEDOUT);

	srp_submit(ch, &req);
	next_command(&f);
	assert_true(eventually(count(&told.done) == 3)); /* no answer at all */
	assert_int_equal(req.error, -EIO);
	assert_true(eventually(count(&told.lost) == 1));
	srp_initiator_get_stats(ini, &st);
	assert_int_equal(st.timeouts, 3);
	assert_int_equal(st.aborts, 3);
	assert_int_equal(st.lun_resets, 2);
	list_free(&l);
	srp_initiator_destroy(ini);
	fake_close(&f);
	bed_close(&b);
}

/*
 * A real target whose medium is stuck. A read moves nothing any more when it has been aborted, so that is answered. A write has
 * to end first: nothing is answered, and the connection is given up. When the medium moves again, so does everything.
 */
static void test_stuck_medium(void **state)
{
	struct srp_initiator_attr attr = { .timeout_ms = 40, .abort_ms = 40, .reconnect_ms = 20 };
	struct srp_initiator *ini;
	struct srp_target *t;
	struct srp_request req;
	struct bed_list l;
	struct told told;
	struct srp_bed b;

	(void)state;
	bed_open(&b, MACHINE_IOMMU, 3);
	gate_make(&b);
	t = bed_target(&b, IB_POLL_WORKQUEUE);
	ini = connect_with(&b, &told, &attr);
	list_make(&b, &l, SHAPE_GAPS, 4096, 3);
	req = req_rw(&l, false, 0);
	assert_int_equal(srp_execute(srp_initiator_channel(ini, 0), &req), 0);
	gate_set(GATE_READ | GATE_WRITE, 0);
	assert_int_equal(srp_execute(srp_initiator_channel(ini, 0), &req), -ETIMEDOUT);
	assert_int_equal(count(&told.lost), 0);
	req = req_rw(&l, true, MIB); /* the read is still at its place */
	assert_int_equal(srp_execute(srp_initiator_channel(ini, 0), &req), -EIO);
	assert_int_equal(srp_abort(srp_initiator_channel(ini, 0), &req), -ENOENT);
	gate_shut(false);
	assert_true(eventually(count(&told.live) == 2));
	assert_int_equal(srp_execute(srp_initiator_channel(ini, 0), &req), 0);
	list_free(&l);
	srp_initiator_destroy(ini);
	srp_target_destroy(t);
	bed_close(&b);
}

/* Aborts and resets that the user wants. */
static void test_abort_and_reset(void **state)
{
	static const u8 lun0[SCSI_LUN_LEN];
	struct srp_initiator_attr attr = { .channels = 2, .poll = IB_POLL_WORKQUEUE };
	struct srp_target_attr ta = { .name = DISK, .poll = IB_POLL_WORKQUEUE };
	struct srp_initiator *ini;
	struct srp_target *t;
	struct srp_request req[3];
	struct bed_list l[3];
	struct told told;
	struct srp_bed b;
	u32 i;

	(void)state;
	bed_open(&b, MACHINE_IOMMU, 3);
	gate_make(&b);
	ta.device = b.dev[1];
	ta.scsi = &b.scsi;
	assert_int_equal(srp_target_create(&ta, &t), 0);
	ini = connect_with(&b, &told, &attr);
	for (i = 0; i < 3; i++) {
		list_make(&b, &l[i], SHAPE_MIXED, 65536, i);
		req[i] = req_rw(&l[i], false, i * 65536);
		req[i].done = on_done;
		req[i].ctx = &told.done;
		assert_int_equal(srp_execute(srp_initiator_channel(ini, i), &req[i]), 0);
		req[i].done = on_done;
		srp_submit(srp_initiator_channel(ini, i), &req[i]);
	}
	assert_true(eventually(count(&told.done) == 3));
	assert_int_equal(srp_reset_lun(srp_initiator_channel(ini, 0), lun0), 0);
	/* everything goes on as before, the unit attention unseen */
	assert_int_equal(srp_execute(srp_initiator_channel(ini, 1), &req[0]), 0);
	req[0].flags = SRP_KEEP_ATTENTION;
	assert_int_equal(srp_reset_lun(srp_initiator_channel(ini, 1), lun0), 0);
	assert_int_equal(srp_execute(srp_initiator_channel(ini, 1), &req[0]), -EREMOTEIO);
	assert_int_equal(req[0].status, SCSI_CHECK_CONDITION);
	assert_int_equal(req[0].sense[2] & 15, SCSI_UNIT_ATTENTION);
	for (i = 0; i < 3; i++)
		list_free(&l[i]);
	srp_initiator_destroy(ini);
	srp_target_destroy(t);
	bed_close(&b);
}

/* --- the target goes and comes --- */

static void test_logout_and_back(void **state)
{
	static const u8 sense[18] = { 0x70, 0, 6 };
	struct srp_initiator_attr attr = { .channels = 3, .reconnect_ms = 10 };
	struct srp_initiator_stats st;
	struct srp_initiator *ini;
	struct srp_target *t;
	struct srp_request req;
	struct told told;
	struct srp_bed b;
	u32 i;

	(void)state;
	bed_open(&b, MACHINE_IOMMU, 3);
	t = bed_target(&b, IB_POLL_SOFTIRQ);
	ini = connect_with(&b, &told, &attr);
	srp_target_event(t, sense, sizeof(sense));
	assert_true(eventually(count(&told.events) == 1));
	for (i = 1; i <= 3; i++) {
		assert_int_equal(srp_target_logout(t), 3);
		assert_true(eventually(count(&told.lost) == i));
		assert_true(eventually(count(&told.live) == i + 1));
		req = req_plain(0, 6);
		assert_int_equal(srp_execute(srp_initiator_channel(ini, i), &req), 0);
	}
	srp_initiator_get_stats(ini, &st);
	assert_int_equal(st.reconnects, 3);
	assert_int_equal(srp_reconnect(ini), 0);
	assert_int_equal(srp_execute(srp_initiator_channel(ini, 2), &req), 0);
	srp_target_destroy(t);
	assert_true(eventually(count(&told.lost) == 4));
	assert_int_equal(srp_reconnect(ini), -ECONNREFUSED);
	srp_initiator_destroy(ini);
	bed_close(&b);
}

/* --- under load --- */

#define LOADERS 3u
#define LOAD_BLOCKS 64u

struct loader {
	struct srp_bed *bed;
	struct srp_initiator *ini;
	pthread_t thread;
	u32 index;
	u32 *stop;
	u32 acked[LOAD_BLOCKS]; /* what the target said it has */
	u32 writes, errors;
};

/* Writes numbers into blocks of its own, one after the other, and notes which it was told are there. */
static void *load(void *arg)
{
	struct loader *ld = arg;
	u32 number = 1, words[BLOCK / 4], i;
	struct srp_request req;
	struct bed_list l;

	list_make(ld->bed, &l, SHAPE_GAPS, BLOCK, ld->index);
	while (!__atomic_load_n(ld->stop, __ATOMIC_ACQUIRE)) {
		u32 block = number % LOAD_BLOCKS;

		for (i = 0; i < BLOCK / 4; i++)
			words[i] = number;
		list_fill(&l, words);
		req = req_rw(&l, true, (u64)(ld->index * LOAD_BLOCKS + block) * BLOCK);
		if (srp_execute(srp_initiator_channel(ld->ini, ld->index), &req)) {
			assert_int_equal(req.error, -EIO);
			ld->errors++;
			usleep(1000);
		} else {
			ld->acked[block] = number;
			ld->writes++;
		}
		number++;
	}
	list_free(&l);
	return NULL;
}

static void check_load(const struct srp_bed *b, const struct loader *ld)
{
	u32 i, there;

	for (i = 0; i < LOAD_BLOCKS; i++) {
		memcpy(&there, b->disk + (size_t)(ld->index * LOAD_BLOCKS + i) * BLOCK, sizeof(there));
		/* a later one that wasn't answered may be there, too; an older one may not */
		assert_true(there >= ld->acked[i]);
	}
}

static void killed_under_load(enum srp_memory memory, enum ib_poll_context poll, u32 channels)
{
	struct srp_initiator_attr attr = { .channels = channels, .reconnect_ms = 5, .memory = memory, .depth = 8 };
	struct loader ld[LOADERS];
	struct srp_initiator *ini;
	struct srp_target *t;
	struct told told;
	struct srp_bed b;
	u32 i, round, stop = 0;

	memset(ld, 0, sizeof(ld));
	bed_open(&b, MACHINE_IOMMU, 3);
	t = bed_target(&b, poll);
	ini = connect_with(&b, &told, &attr);
	for (i = 0; i < LOADERS; i++) {
		ld[i].bed = &b;
		ld[i].ini = ini;
		ld[i].index = i;
		ld[i].stop = &stop;
		assert_int_equal(pthread_create(&ld[i].thread, NULL, load, &ld[i]), 0);
	}
	for (round = 1; round <= 4; round++) {
		usleep(20000);
		srp_target_destroy(t);
		assert_true(eventually(count(&told.lost) == round));
		usleep(5000);
		t = bed_target(&b, poll);
		assert_true(eventually(count(&told.live) == round + 1));
	}
	usleep(20000);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < LOADERS; i++) {
		pthread_join(ld[i].thread, NULL);
		assert_true(ld[i].writes > 0);
		check_load(&b, &ld[i]);
	}
	srp_initiator_destroy(ini);
	srp_target_destroy(t);
	bed_close(&b);
}

static void test_killed_under_load(void **state)
{
	(void)state;
	killed_under_load(SRP_MEMORY_FAST, IB_POLL_SOFTIRQ, 1);
	killed_under_load(SRP_MEMORY_FAST, IB_POLL_WORKQUEUE, 3);
	killed_under_load(SRP_MEMORY_ALL, IB_POLL_SOFTIRQ, 3);
	killed_under_load(SRP_MEMORY_FMR, IB_POLL_SOFTIRQ, 2);
}

/* --- many at once --- */

static void test_queue_depth(void **state)
{
	struct srp_initiator_attr attr = { .depth = 6, .max_sg = 24, .channels = 2 };
	struct srp_initiator *ini;
	struct srp_target *t;
	struct srp_request req[60];
	struct bed_list l[60];
	struct told told;
	struct srp_bed b;
	u8 data[4096];
	u32 i;

	(void)state;
	bed_open(&b, MACHINE_IOMMU, 3);
	random_bytes(b.disk, 60 * 4096, 1);
	t = bed_target(&b, IB_POLL_WORKQUEUE);
	ini = connect_with(&b, &told, &attr);
	/* lists of up to sixteen MRs, and thirty MRs in all: they wait for one another */
	for (i = 0; i < 60; i++) {
		list_make(&b, &l[i], i % 3 ? SHAPE_GAPS : SHAPE_PAGES, 4096, i);
		req[i] = req_rw(&l[i], false, i * 4096);
		req[i].done = on_done;
		req[i].ctx = &told.done;
		srp_submit(srp_initiator_channel(ini, i), &req[i]);
	}
	assert_true(eventually(count(&told.done) == 60));
	for (i = 0; i < 60; i++) {
		assert_int_equal(req[i].error, 0);
		assert_int_equal(req[i].status, SCSI_GOOD);
		list_read(&l[i], data);
		assert_memory_equal(data, b.disk + i * 4096, 4096);
		list_free(&l[i]);
	}
	/* more than it can ever do */
	list_make(&b, &l[0], SHAPE_CRUMBS, 16384, 3);
	req[0] = req_rw(&l[0], false, 0);
	assert_int_equal(srp_execute(srp_initiator_channel(ini, 0), &req[0]), -EMSGSIZE);
	/* and what makes no sense at all */
	req[0].len = 32768;
	assert_true(srp_execute(srp_initiator_channel(ini, 0), &req[0]) < 0);
	req[0].cdb_len = 5;
	assert_int_equal(srp_execute(srp_initiator_channel(ini, 0), &req[0]), -EINVAL);
	req[0].cdb_len = 33;
	assert_int_equal(srp_execute(srp_initiator_channel(ini, 0), &req[0]), -EINVAL);
	req[0].cdb_len = 16;
	req[0].dir = DMA_BIDIRECTIONAL;
	assert_int_equal(srp_execute(srp_initiator_channel(ini, 0), &req[0]), -EINVAL);
	list_free(&l[0]);
	srp_initiator_destroy(ini);
	srp_target_destroy(t);
	bed_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_bad_login_responses),
		cmocka_unit_test(test_credits),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_stuck_medium),
		cmocka_unit_test(test_abort_and_reset),
		cmocka_unit_test(test_logout_and_back),
		cmocka_unit_test(test_killed_under_load),
		cmocka_unit_test(test_queue_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
