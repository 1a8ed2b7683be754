/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Moderation of completion queues: the handler is called after so many completions, or
 * so long after the first of them, whichever is first. On virtual time; and with threads
 * that complete, arm and moderate at once, by seed.
 */
#include "schedule_fixture.h"

#define US 1000ull

/* Completions at b: of receives. */
static u64 next_id;

static void complete(u32 n, u32 flags)
{
	struct hca_sge sge = sge_at(&a, 0, 8);
	struct hca_send_wr wr = { .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND, .flags = flags };
	struct hca_wc wc;

	for (; n; n--) {
		wr.wr_id = ++next_id;
		assert_int_equal(post_recv(&b, next_id, 0, 8), 0);
		assert_int_equal(hca_post_send(a.qp, &wr), 0);
		poll_one(&a.scq, next_id, HCA_WC_SUCCESS, NULL);
		assert_int_equal(hca_cq_ring_poll(&b.rcq.ring, &wc, 1), 1);
	}
}

static void arm(void)
{
	hca_cq_ring_notify(&b.rcq.ring, HCA_CQ_NEXT);
}

static void moderate(u32 count, u32 us)
{
	assert_int_equal(hca_cq_moderate(&b.rcq, count, us), 0);
}

#define EXPECT_CALLS(n) assert_int_equal(b.handled, n)

static void by_number(void **state)
{
	u32 i;

	(void)state;
	moderate(4, 1000);
	for (i = 0; i < 3; i++) {
		arm();
		complete(3, 0);
		EXPECT_CALLS(i);
		complete(1, 0);
		EXPECT_CALLS(i + 1);
	}
	/* It isn't armed. */
	complete(9, 0);
	test_clock_advance(10 * MS);
	EXPECT_CALLS(3);
}

static void by_time(void **state)
{
	(void)state;
	moderate(4, 1000);
	arm();
	complete(1, 0);
	test_clock_advance(600 * US);
	complete(1, 0);
	test_clock_advance(399 * US);
	EXPECT_CALLS(0);
	/* Since the first one, not the last one. */
	test_clock_advance(1 * US);
	EXPECT_CALLS(1);
	complete(9, 0);
	test_clock_advance(10 * MS);
	EXPECT_CALLS(1);
	/* The time begins anew, with the first one behind the arming. */
	test_clock_advance(10 * MS);
	arm();
	test_clock_advance(10 * MS);
	EXPECT_CALLS(1);
	complete(1, 0);
	test_clock_advance(999 * US);
	EXPECT_CALLS(1);
	test_clock_advance(1 * US);
	EXPECT_CALLS(2);
}

/* The timer of completions that were reported by their number doesn't report the next ones too early. */
static void an_old_timer(void **state)
{
	(void)state;
	moderate(2, 1000);
	arm();
	complete(1, 0);
	test_clock_advance(900 * US);
	complete(1, 0);
	EXPECT_CALLS(1);
	arm();
	test_clock_advance(50 * US);
	complete(1, 0);
	test_clock_advance(999 * US);
	EXPECT_CALLS(1);
	test_clock_advance(1 * US);
	EXPECT_CALLS(2);
}

static void without_a_number(void **state)
{
	(void)state;
	moderate(0, 65535);
	arm();
	complete(100, 0);
	test_clock_advance(65534 * US);
	EXPECT_CALLS(0);
	test_clock_advance(1 * US);
	EXPECT_CALLS(1);
}

/* None waits: as if it had never been moderated. */
static void without_a_time(void **state)
{
	static const struct {
		u32 count, us;
	} off[] = { { 0, 0 }, { 1, 0 }, { 9, 0 }, { 1, 1000 } };
	u32 i;

	(void)state;
	moderate(9, 1000);
	for (i = 0; i < HCA_ARRAY_SIZE(off); i++) {
		moderate(off[i].count, off[i].us);
		arm();
		complete(1, 0);
		EXPECT_CALLS(i + 1);
	}
}

static void limits(void **state)
{
	(void)state;
	assert_int_equal(hca_cq_moderate(&b.rcq, 65536, 1), -EINVAL);
	assert_int_equal(hca_cq_moderate(&b.rcq, 1, 65536), -EINVAL);
	arm();
	complete(1, 0);
	EXPECT_CALLS(1);
	moderate(65535, 65535);
	arm();
	complete(1, 0);
	test_clock_advance(65535 * US);
	EXPECT_CALLS(2);
}

/* Only what calls the handler counts. */
static void solicited_ones(void **state)
{
	(void)state;
	moderate(2, 1000);
	hca_cq_ring_notify(&b.rcq.ring, HCA_CQ_SOLICITED);
	complete(5, 0);
	test_clock_advance(5 * MS);
	EXPECT_CALLS(0);
	complete(1, HCA_SEND_SOLICITED);
	complete(5, 0);
	EXPECT_CALLS(0);
	complete(1, HCA_SEND_SOLICITED);
	EXPECT_CALLS(1);
}

/* What waits when the rule changes is reported: the new rule is for what comes. */
static void another_rule(void **state)
{
	(void)state;
	moderate(4, 1000);
	arm();
	complete(2, 0);
	moderate(8, 5000);
	EXPECT_CALLS(1);
	test_clock_advance(10 * MS);
	EXPECT_CALLS(1);
	arm();
	complete(7, 0);
	test_clock_advance(4999 * US);
	EXPECT_CALLS(1);
	complete(1, 0);
	EXPECT_CALLS(2);
	/* Nothing waits now. */
	moderate(0, 0);
	EXPECT_CALLS(2);
}

/* The end of the queue pair and of its queue, while a completion waits and the timer runs. */
static void the_end(void **state)
{
	(void)state;
	moderate(4, 1000);
	arm();
	complete(1, 0);
	EXPECT_CALLS(0);
}

static void memory_may_be_short(void **state)
{
	struct hca_cq cq;

	(void)state;
	TEST_FAIL_LOOP(l)
	{
		int err = hca_cq_init(&cq, &b.hca, 4, NULL);

		if (err)
			continue;
		err = hca_cq_moderate(&cq, 4, 100);
		assert_true(!err || err == -ENOMEM);
		assert_int_equal(cq.ring.period, err ? 0 : 100 * US);
		assert_int_equal(hca_cq_fini(&cq), 0);
	}
}

/* --- threads --- */

#define SENDS 6u

static void send_some(void *arg)
{
	struct hca_sge sge = sge_at(&a, 0, 8);
	const struct hca_send_wr wr = { .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND };
	u32 i;

	(void)arg;
	for (i = 0; i < SENDS; i++) {
		CHECK(!post_recv(&b, i, 0, 8));
		CHECK(!hca_post_send(a.qp, &wr));
	}
}

/* As a consumer does: sleeps until the handler is called, takes all, arms, and looks once more. */
static void take_all(void *arg)
{
	u32 got = 0, seen = 0;
	struct hca_wc wc;

	(void)arg;
	while (got < SENDS) {
		while (hca_load(&b.handled) == seen)
			hca_pause();
		seen = hca_load(&b.handled);
		do {
			while (hca_cq_ring_poll(&b.rcq.ring, &wc, 1) == 1)
				got++;
		} while (hca_cq_ring_notify(&b.rcq.ring, HCA_CQ_NEXT));
	}
}

static void change_rules(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < 4; i++) {
		CHECK(!hca_cq_moderate(&b.rcq, 2 + i, i & 1 ? 100 : 0));
		hca_pause();
	}
	CHECK(!hca_cq_moderate(&b.rcq, 4, 100));
}

/* No completion is left unreported, whoever comes first. */
static void every_completion_is_reported(void **state)
{
	static void (*const all[])(void *arg) = { send_some, take_all, change_rules };

	(void)state;
	FOR_SEEDS(seed, 300)
	{
		connect_type(HCA_QPT_RC);
		moderate(4, 100);
		arm();
		run_seed(seed, 3, all);
		assert_int_equal(close_both(NULL), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RC(by_number),
		RC(by_time),
		RC(an_old_timer),
		RC(without_a_number),
		RC(without_a_time),
		RC(limits),
		RC(solicited_ones),
		RC(another_rule),
		RC(the_end),
		RC(memory_may_be_short),
		cmocka_unit_test(every_completion_is_reported),
	};

	return cmocka_run_group_tests_name("moderation", tests, NULL, NULL);
}
