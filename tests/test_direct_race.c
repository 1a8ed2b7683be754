/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sends that are carried out while they are posted, against what the receiver does meanwhile: a flush, RESET, its end, a
 * region that goes, more receives; under a thousand schedules. Receives complete in the order they were posted, with
 * the bytes of the sends in their order, and nothing is written to what is the consumer's again (IBTA vol. 1, 10.3.1, 10.8.3).
 */
#include "direct_fixture.h"

#define SEEDS 1000u
#define SENDS 7u
#define RECVS 7u /* and one place for a marker */
#define LEN 100u
#define SLOT 128u
#define RECV_AREA 16384u /* where b receives */
#define MARKER 77u
#define FORBIDDEN 32768u /* the marker's, of a queue pair that takes no messages */

enum trouble { NOTHING, FLUSH, RESET, DESTROY, TAKE_KEY, SENDER_ERR, SENDER_RESET, TROUBLES };

static struct {
	enum hca_qp_type type;
	enum trouble trouble;
	u32 wait; /* turns before it */
	struct hca_mr *mr; /* what b receives by */
	u32 key;
	u32 done; /* threads that are, but for the poller */
	u32 posted; /* receives */
	u32 received; /* the next one that completes */
	bool failed; /* one did: none succeeds behind it */
	bool marker;
	u8 last; /* message that came */
	bool mine[RECVS]; /* the consumer's again, with these bytes */
	u8 copy[RECVS][LEN];
} t;

static u32 sent; /* over all seeds: sends that ended well */
static u32 usual; /* and pieces that went the usual way */
static u32 statuses[32];

/* --- the parts --- */

static const u8 *slot(u32 i)
{
	return b.ram + RECV_AREA + (size_t)SLOT * i;
}

static void is_mine(u32 i)
{
	t.mine[i] = true;
	memcpy(t.copy[i], slot(i), LEN);
}

static void all_mine(void)
{
	u32 i;

	for (i = 0; i < RECVS; i++)
		is_mine(i);
}

static void posts_receive(void)
{
	struct hca_sge sge = { .addr = BASE + RECV_AREA + (u64)SLOT * t.posted, .length = LEN, .lkey = t.key };
	struct hca_recv_wr wr = { .wr_id = t.posted, .sge = &sge, .num_sge = 1 };

	CHECK(!hca_post_recv(b.qp, &wr));
	t.posted++;
}

static void sends(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < SENDS; i++) {
		int err = post(&a, i, HCA_WR_SEND, (u64)SLOT * i, LEN, 0, 0);

		CHECK(!err || (err == -EINVAL && t.trouble == SENDER_RESET));
	}
	hca_fetch_add(&t.done, 1);
}

static bool is_whole(const u8 *p)
{
	u32 i;

	for (i = 1; i < LEN; i++)
		if (p[i] != p[0])
			return false;
	return true;
}

static void take(const struct hca_wc *wc)
{
	u32 i = (u32)wc->wr_id;

	CHECK(!t.marker);
	statuses[wc->status]++;
	if (i == MARKER) {
		CHECK(wc->status == HCA_WC_WR_FLUSH_ERR);
		t.marker = true;
		return;
	}
	CHECK(i < RECVS && i == t.received);
	t.received = i + 1;
	if (wc->status == HCA_WC_SUCCESS) {
		const u8 *at = slot(i);

		CHECK(!t.failed && wc->byte_len == LEN && is_whole(at));
		CHECK(t.type == HCA_QPT_RC ? *at == t.last + 1 : *at > t.last);
		t.last = *at;
	}
	t.failed |= wc->status != HCA_WC_SUCCESS;
	is_mine(i);
}

static bool poll_both(void)
{
	struct hca_wc wc;
	bool any = false;

	if (hca_cq_ring_poll(&b.rcq.ring, &wc, 1) == 1) {
		take(&wc);
		any = true;
	}
	if (hca_cq_ring_poll(&a.scq.ring, &wc, 1) == 1) {
		sent += wc.status == HCA_WC_SUCCESS;
		any = true;
	}
	return any;
}

static void polls(void *arg)
{
	(void)arg;
	while (hca_load(&t.done) < 2) {
		hca_eq_run(FIXTURE_EQ);
		if (!poll_both())
			hca_pause();
	}
}

/* It takes receives from there on, and no messages. */
static void initialise(void)
{
	struct hca_qp_attr at = { .qp_state = HCA_QPS_INIT, .port_num = 1 };

	CHECK(!hca_qp_modify(b.qp, &at, HCA_QP_STATE | HCA_QP_PKEY_INDEX | HCA_QP_PORT | HCA_QP_ACCESS_FLAGS));
}

static void makes_trouble(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < t.wait; i++)
		hca_pause();
	switch (t.trouble) {
	case NOTHING:
		while (t.posted < RECVS)
			posts_receive();
		break;
	case FLUSH:
		CHECK(!to_state(b.qp, HCA_QPS_ERR));
		CHECK(!post_recv(&b, MARKER, FORBIDDEN, LEN));
		break;
	case RESET:
		CHECK(!to_state(b.qp, HCA_QPS_RESET));
		all_mine();
		initialise();
		CHECK(!post_recv(&b, MARKER, FORBIDDEN, LEN));
		break;
	case DESTROY:
		hca_qp_destroy(b.qp);
		b.qp = NULL;
		all_mine();
		break;
	case TAKE_KEY:
		CHECK(!hca_mr_destroy(t.mr));
		all_mine();
		break;
	case SENDER_ERR:
		CHECK(!to_state(a.qp, HCA_QPS_ERR));
		break;
	default:
		CHECK(!to_state(a.qp, HCA_QPS_RESET));
		break;
	}
	hca_fetch_add(&t.done, 1);
}

/* --- the whole --- */

static void begin(enum hca_qp_type type, u64 seed)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_LINEAR, .access = RW, .iova = BASE, .base = BASE, .length = BYTES };
	u32 i;

	open_way(type, true);
	memset(&t, 0, sizeof(t));
	t.type = type;
	t.trouble = seed % TROUBLES;
	t.wait = (u32)(seed / TROUBLES * 7 % 120);
	assert_int_equal(hca_mr_create(&b.pd, &attr, &t.mr), 0);
	t.key = t.mr->key;
	for (i = 0; i < SENDS; i++)
		memset(a.ram + SLOT * i, (int)i + 1, LEN);
	while (t.posted < (t.trouble == NOTHING ? RECVS / 2 : RECVS))
		posts_receive();
	a.qp->attr.rnr_retry = 7;
}

static void end(u64 seed)
{
	u32 i;

	for (i = 0; i < 12; i++) {
		test_clock_advance(TIMEOUT);
		while (poll_both())
			;
	}
	CHECK(t.trouble != FLUSH || (t.marker && t.received == RECVS));
	CHECK(t.trouble != NOTHING || t.type != HCA_QPT_RC || t.received == RECVS);
	for (i = 0; i < RECVS; i++)
		CHECK(!t.mine[i] || !memcmp(t.copy[i], slot(i), LEN));
	for (i = 0; i < LEN; i++)
		CHECK(!b.ram[FORBIDDEN + i]);
	if (broken)
		fail_msg("SOFTHCA_SEED=%llu: trouble %d: line %d: %s", (unsigned long long)seed, t.trouble, broken_line,
			 broken);
	usual += carried;
	if (t.trouble != TAKE_KEY)
		assert_int_equal(hca_mr_destroy(t.mr), 0);
	assert_int_equal(close_both(NULL), 0);
}

static void all_seeds(enum hca_qp_type type)
{
	void (*const fns[])(void *) = { sends, makes_trouble, polls };
	u64 steps = 0;
	u32 i;

	sent = 0;
	usual = 0;
	memset(statuses, 0, sizeof(statuses));
	FOR_SEEDS(seed, SEEDS)
	{
		begin(type, seed);
		run_seed(seed, HCA_ARRAY_SIZE(fns), fns);
		end(seed);
		steps += test_steps();
	}
	print_message("# %llu decisions, %u sends, %u pieces the usual way\n", (unsigned long long)steps, sent, usual);
	for (i = 0; i < HCA_ARRAY_SIZE(statuses); i++)
		if (statuses[i])
			print_message("# status %u: %u receives\n", i, statuses[i]);
	/* Most were what this is about. */
	assert_true(statuses[HCA_WC_SUCCESS] > 2 * usual);
}

static void reliable(void **state)
{
	(void)state;
	all_seeds(HCA_QPT_RC);
}

static void unreliable(void **state)
{
	(void)state;
	all_seeds(HCA_QPT_UC);
}

/* --- between the look at the state and rx --- */

static bool held;

static void ends_meanwhile(void *arg)
{
	hca_irqflags_t flags;
	u32 i;

	(void)arg;
	hca_spin_lock(&b.qp->rx.lock, flags);
	held = true;
	for (i = 0; i < 100; i++)
		hca_pause(); /* the sender has seen that we listen, and waits for the lock */
	hca_store(&b.qp->state, (u32)HCA_QPS_ERR);
	hca_spin_unlock(&b.qp->rx.lock, flags);
	hca_rx_flush(b.qp);
}

static void sends_one(void *arg)
{
	(void)arg;
	while (!held)
		hca_pause();
	CHECK(!post(&a, 1, HCA_WR_SEND, 0, LEN, 0, 0));
}

static void the_state_is_looked_at_again(void **state)
{
	void (*const fns[])(void *) = { ends_meanwhile, sends_one };

	(void)state;
	FOR_SEEDS(seed, 50)
	{
		open_way(HCA_QPT_RC, true);
		memset(a.ram, 1, LEN);
		held = false;
		assert_int_equal(post_recv(&b, 2, FORBIDDEN, LEN), 0);
		run_seed(seed, 2, fns);
		poll_one(&b.rcq, 2, HCA_WC_WR_FLUSH_ERR, NULL);
		assert_int_equal(b.ram[FORBIDDEN], 0);
		assert_int_equal(close_both(NULL), 0);
	}
}

/* --- a full queue --- */

#define TURNS 24u

static void sends_turns(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < TURNS; i++) {
		while (b.qp->rq.head == hca_load(&b.qp->rq.tail))
			hca_pause();
		CHECK(!post(&a, i, HCA_WR_SEND, 0, LEN, 0, 0));
	}
}

/* The queue of receives is kept full: there is a place for each one that completed. */
static void keeps_it_full(void *arg)
{
	struct hca_wc wc;
	u32 i;

	(void)arg;
	for (i = 0; i < TURNS; i++) {
		await(&b.rcq, &wc);
		CHECK(!post_recv(&b, i, RECV_AREA, LEN));
	}
}

static void the_place_is_free(void **state)
{
	void (*const fns[])(void *) = { sends_turns, keeps_it_full };
	u32 i;

	(void)state;
	FOR_SEEDS(seed, 200)
	{
		open_way(HCA_QPT_RC, true);
		for (i = 0; i < WR; i++)
			assert_int_equal(post_recv(&b, i, RECV_AREA, LEN), 0);
		run_seed(seed, 2, fns);
		assert_int_equal(carried, 0);
		assert_int_equal(close_both(NULL), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_place_is_free),
		cmocka_unit_test(the_state_is_looked_at_again),
		cmocka_unit_test(reliable),
		cmocka_unit_test(unreliable),
	};

	return cmocka_run_group_tests_name("direct_race", tests, NULL, NULL);
}
