/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two threads that post to one queue pair, one that posts receives, one that polls, one that brings and lets time pass, and one
 * that ends or takes away something: against each other, under a thousand schedules. Whatever comes of it, every request
 * completes once, in order, receives too, and nothing is written to what is the consumer's again. Also built for the other wires.
 */
#include "schedule_fixture.h"

#ifndef SEEDS
#define SEEDS 1000u
#endif
#define EACH 3u /* requests of a poster */
#define RECVS 5u
#ifndef LEN
#define LEN 700u
#define SLOT 1024u
#endif
#define RECV_AREA (2 * EACH * SLOT) /* at b; a slot for each receive */
#define WRITE_AREA (RECV_AREA + 8 * SLOT) /* at b, by the region that may go */
#define RNR hca_rnr_timer_ns(12)
#define TIMEOUT hca_ack_timeout_ns(14)

enum trouble {
	NO_TROUBLE,
	ERR_A,
	ERR_B,
	RESET_A,
	RESET_B,
	DESTROY_A,
	DESTROY_B,
	TAKE_REMOTE_KEY,
	TAKE_LOCAL_KEY,
	DRAIN,
	RECONNECT_A,
	RECONNECT_B,
	FORGET_RIGHTS,
	MARKER,
	TROUBLES,
};

static struct {
	enum hca_qp_type type;
	enum trouble trouble;
	u32 wait; /* turns before it */
	struct hca_mr *remote; /* at b: what writes go to */
	u32 rkey, lkey; /* of it, and of @local: they are used when it is gone */
	struct hca_mr *local; /* at a: what sends come from */
	u32 posters; /* that are done */
	u32 receivers;
	u32 others; /* threads that are done, but for the poller and the bringer */
	u32 accepted[2]; /* requests of a poster that the queue took */
	u32 next[2]; /* the next one of a poster that completes */
	u32 received;
	u32 posted_recvs;
	bool failed; /* a request did: all behind it are flushed */
	bool forgot[2]; /* completions were dropped by RESET or the end: at a, at b */
	bool remote_gone;
	u8 mine[RECVS]; /* 0, or what the consumer wrote when the buffer was his again */
	bool marker_seen;
} t;

#define MARKER_ID 77u

static u32 sends_seen[32], recvs_seen[32]; /* completions by status, over all seeds */

/* --- the parts --- */

static void post_some(u32 who)
{
	u32 i;

	for (i = 0; i < EACH; i++) {
		bool sends = who || i == 1;
		u64 off = (u64)EACH * SLOT * who + SLOT * i;
		struct hca_sge sge = { .addr = BASE + off, .length = LEN, .lkey = t.lkey };
		struct hca_send_wr wr = { .wr_id = who << 8 | t.accepted[who],
					  .sge = &sge,
					  .num_sge = 1,
					  .opcode = sends ? HCA_WR_SEND : HCA_WR_RDMA_WRITE };
		int err;

		wr.rdma.addr = BASE + WRITE_AREA;
		wr.rdma.rkey = t.rkey;
		if (i == 2 && !who)
			wr.flags = HCA_SEND_FENCE;
		err = hca_post_send(a.qp, &wr);
		CHECK(!err || err == -EINVAL);
		t.accepted[who] += !err;
	}
	hca_fetch_add(&t.posters, 1);
	hca_fetch_add(&t.others, 1);
}

static void posts_one(void *arg)
{
	(void)arg;
	post_some(0);
}

static void posts_two(void *arg)
{
	(void)arg;
	post_some(1);
}

static void posts_receives(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < RECVS; i++) {
		int err = post_recv(&b, t.posted_recvs, RECV_AREA + SLOT * t.posted_recvs, LEN);

		CHECK(!err || err == -EINVAL);
		t.posted_recvs += !err;
	}
	hca_fetch_add(&t.receivers, 1);
	hca_fetch_add(&t.others, 1);
}

static void take_send(const struct hca_wc *wc)
{
	u32 who = (u32)wc->wr_id >> 8, i = (u32)wc->wr_id & 0xff;

	CHECK(who < 2);
	sends_seen[wc->status]++;
	if (hca_load(&t.forgot[0]))
		CHECK(i >= t.next[who & 1]); /* those between were dropped */
	else
		CHECK(i == t.next[who & 1]);
	t.next[who & 1] = i + 1;
	if (t.trouble == RECONNECT_A)
		return;
	/* One fails, for whatever reason, and those behind it are flushed. */
	CHECK(!t.failed || wc->status == HCA_WC_WR_FLUSH_ERR);
	t.failed |= wc->status != HCA_WC_SUCCESS;
}

static bool all_equal(const u8 *p, u32 len)
{
	u32 i;

	for (i = 1; i < len; i++)
		if (p[i] != p[0])
			return false;
	return true;
}

static void take_recv(const struct hca_wc *wc)
{
	u32 i = (u32)wc->wr_id;
	u8 *at = b.ram + RECV_AREA + SLOT * i;

	CHECK(!t.marker_seen);
	recvs_seen[wc->status]++;
	if (i == MARKER_ID) {
		CHECK(wc->status == HCA_WC_WR_FLUSH_ERR);
		t.marker_seen = true;
		return;
	}
	CHECK(i < RECVS);
	if (i >= RECVS)
		return;
	CHECK(hca_load(&t.forgot[1]) ? i >= t.received : i == t.received);
	t.received = i + 1;
	if (wc->status == HCA_WC_SUCCESS)
		CHECK(wc->byte_len == LEN && at[0] && all_equal(at, LEN));
	/* It is the consumer's again: nothing is written to it from now on. */
	t.mine[i] = (u8)(0xa0 + i);
	memset(at, t.mine[i], LEN);
}

static bool poll_both(void)
{
	struct hca_wc wc;
	bool any = false;

	if (hca_cq_ring_poll(&a.scq.ring, &wc, 1) == 1) {
		take_send(&wc);
		any = true;
	}
	if (hca_cq_ring_poll(&b.rcq.ring, &wc, 1) == 1) {
		take_recv(&wc);
		any = true;
	}
	return any;
}

static void polls(void *arg)
{
	(void)arg;
	while (hca_load_acquire(&t.others) < 4)
		if (!poll_both())
			hca_pause();
}

static void brings(void *arg)
{
	u32 i;

	(void)arg;
	while (hca_load_acquire(&t.others) < 4) {
		for (i = 0; i < 4; i++) {
			hca_eq_run(FIXTURE_EQ);
			hca_pause();
		}
		test_clock_advance(RNR);
	}
}

static void reconnect(struct side *s, struct side *peer)
{
	struct hca_qp_attr at = {
		.path_mtu = HCA_MTU_4096,
		.dest_qp_num = peer->qp->qpn,
		.qp_access_flags = HCA_ACCESS_REMOTE_WRITE | HCA_ACCESS_REMOTE_READ,
		.ah = { .dlid = (u16)peer->hca.lid, .port_num = 1 },
		.port_num = 1,
		.max_rd_atomic = 1,
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.timeout = 14,
		.retry_cnt = 1,
		.rnr_retry = 1,
	};
	bool rc = t.type == HCA_QPT_RC;
	const u32 masks[] = {
		HCA_QP_PKEY_INDEX | HCA_QP_PORT | HCA_QP_ACCESS_FLAGS,
		HCA_QP_AV | HCA_QP_PATH_MTU | HCA_QP_DEST_QPN | HCA_QP_RQ_PSN |
			(rc ? HCA_QP_MAX_DEST_RD_ATOMIC | HCA_QP_MIN_RNR_TIMER : 0),
		HCA_QP_SQ_PSN |
			(rc ? HCA_QP_TIMEOUT | HCA_QP_RETRY_CNT | HCA_QP_RNR_RETRY | HCA_QP_MAX_QP_RD_ATOMIC : 0),
	};
	u32 i;

	for (i = 0; i < 3; i++) {
		at.qp_state = HCA_QPS_INIT + i;
		/* What the peer still sends may end it before it is ready to send itself. */
		if (hca_qp_modify(s->qp, &at, HCA_QP_STATE | masks[i])) {
			CHECK(hca_load(&s->qp->state) == HCA_QPS_ERR);
			return;
		}
	}
}

static void destroy_qp(struct side *s, const u32 *users, u32 n)
{
	while (hca_load_acquire(users) < n)
		hca_pause();
	hca_store(&t.forgot[s == &b], true);
	hca_qp_destroy(s->qp);
	s->qp = NULL;
}

static void reset_qp(struct side *s)
{
	hca_store(&t.forgot[s == &b], true);
	CHECK(!to_state(s->qp, HCA_QPS_RESET));
}

static void drain(void)
{
	u32 tries = 0;
	int err = to_state(a.qp, HCA_QPS_SQD);

	/* It may be in error by now. */
	while (!err && tries++ < 100 && to_state(a.qp, HCA_QPS_RTS) == -EBUSY)
		hca_pause();
	if (hca_load(&a.qp->state) == HCA_QPS_SQD)
		CHECK(!to_state(a.qp, HCA_QPS_ERR));
}

static void take_remote_key(void)
{
	CHECK(!hca_mr_destroy(t.remote));
	t.remote_gone = true;
	memset(b.ram + WRITE_AREA, 0xdd, LEN);
}

static void take_local_key(void)
{
	CHECK(!hca_mr_destroy(t.local));
	/* Not a byte of it is read any more: what is sent from now on would be seen. */
	memset(a.ram, 0, (size_t)2 * EACH * SLOT);
}

static void makes_trouble(void *arg)
{
	struct hca_qp_attr at = { 0 };
	u32 i, wait = t.wait;

	(void)arg;
	for (i = 0; i < wait; i++)
		hca_pause();
	switch (t.trouble) {
	case ERR_A:
		CHECK(!to_state(a.qp, HCA_QPS_ERR));
		break;
	case ERR_B:
		CHECK(!to_state(b.qp, HCA_QPS_ERR));
		break;
	case RESET_A:
		reset_qp(&a);
		break;
	case RESET_B:
		reset_qp(&b);
		break;
	case DESTROY_A:
		destroy_qp(&a, &t.posters, 2);
		break;
	case DESTROY_B:
		destroy_qp(&b, &t.receivers, 1);
		break;
	case TAKE_REMOTE_KEY:
		while (hca_load_acquire(&t.posters) < 2 && wait % 2)
			hca_pause();
		take_remote_key();
		break;
	case TAKE_LOCAL_KEY:
		take_local_key();
		break;
	case DRAIN:
		drain();
		break;
	case RECONNECT_A:
		reset_qp(&a);
		reconnect(&a, &b);
		break;
	case RECONNECT_B:
		reset_qp(&b);
		reconnect(&b, &a);
		break;
	case FORGET_RIGHTS:
		/* Refused when it isn't ready to send any more. */
		(void)hca_qp_modify(b.qp, &at, HCA_QP_ACCESS_FLAGS);
		break;
	case MARKER:
		while (!hca_load_acquire(&t.receivers))
			hca_pause();
		CHECK(!to_state(b.qp, HCA_QPS_ERR));
		CHECK(!post_recv(&b, MARKER_ID, 0, 0));
		break;
	default:
		break;
	}
	hca_fetch_add(&t.others, 1);
}

/* --- the whole --- */

#ifdef ENGINE_FIXTURE_FLAT
static struct hca_wire_ops counted_ops;
static enum hca_answer (*real_send)(struct hca_wire *wire, struct hca_carried *c, struct hca_reply *r);
static u32 carried; /* pieces that the wire was given, over all seeds: the other requests were carried out at once */

static enum hca_answer send_counted(struct hca_wire *wire, struct hca_carried *c, struct hca_reply *r)
{
	carried++;
	return real_send(wire, c, r);
}

static void count_carried(void)
{
	real_send = loop.wire.ops->send;
	counted_ops = *loop.wire.ops;
	counted_ops.send = send_counted;
	loop.wire.ops = &counted_ops;
}
#endif

/* What this wire has of its own: threads that deliver beside each other, losses, packets; answers that come later. */
static void vary_the_wire(u64 seed)
{
#ifdef ENGINE_FIXTURE_PACKETS
	lossy.lanes = 1 + seed / TROUBLES % 2;
	lossy.lose = seed / TROUBLES % 3 == 1 && t.trouble ? 30 : 0;
	lossy.random += seed;
	a.qp->attr.path_mtu = b.qp->attr.path_mtu = HCA_MTU_256;
	republish(a.qp);
	republish(b.qp);
#elif defined(ENGINE_FIXTURE_LATE)
	late.one_sided_late = seed / TROUBLES % 2;
#elif defined(ENGINE_FIXTURE_FLAT)
	(void)seed;
	count_carried();
#else
	(void)seed;
#endif
}

static void begin(enum hca_qp_type type, u64 seed)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_LINEAR, .access = RW, .iova = BASE, .base = BASE, .length = BYTES };
	u32 i;

	connect_type(type);
	memset(&t, 0, sizeof(t));
	t.type = type;
	t.trouble = seed % TROUBLES;
	t.wait = (u32)(seed / TROUBLES * 7 % 60);
	assert_int_equal(hca_mr_create(&a.pd, &attr, &t.local), 0);
	assert_int_equal(hca_mr_create(&b.pd, &attr, &t.remote), 0);
	t.lkey = t.local->key;
	t.rkey = t.remote->key;
	a.mem.ops = b.mem.ops = &slow_mem_ops;
	vary_the_wire(seed);
	/* Where nothing is wrong, waiting for a receiver is all that may be: nothing fails, and no time runs out. */
	if (t.trouble == NO_TROUBLE) {
		a.qp->attr.rnr_retry = 7;
		a.qp->attr.timeout = 0;
	}
	for (i = 0; i < EACH; i++) {
		memset(a.ram + SLOT * i, (int)(1 + i), LEN);
		memset(a.ram + EACH * SLOT + SLOT * i, (int)(11 + i), LEN);
	}
}

static void end(u64 seed)
{
	u32 i;

	/* Retries end, flushes are made; nothing is left to come. */
	for (i = 0; i < 12; i++) {
		test_clock_advance(TIMEOUT);
		while (poll_both())
			;
	}
	CHECK(t.forgot[0] || (t.next[0] == t.accepted[0] && t.next[1] == t.accepted[1]));
	if (a.qp && hca_load(&a.qp->state) >= HCA_QPS_RTS)
		CHECK(a.qp->sq.head == a.qp->sq.tail);
	if (b.qp && hca_load(&b.qp->state) == HCA_QPS_ERR && !t.forgot[1])
		CHECK(t.received == t.posted_recvs);
	CHECK(t.trouble != NO_TROUBLE || !t.failed);
	CHECK(t.trouble != MARKER || t.marker_seen);
	for (i = 0; i < RECVS; i++) {
		const u8 *at = b.ram + RECV_AREA + SLOT * i;

		CHECK(!t.mine[i] || (*at == t.mine[i] && all_equal(at, LEN)));
	}
	CHECK(!t.remote_gone || (b.ram[WRITE_AREA] == 0xdd && all_equal(b.ram + WRITE_AREA, LEN)));
	if (broken)
		fail_msg("SOFTHCA_SEED=%llu: trouble %d: line %d: %s", (unsigned long long)seed, t.trouble, broken_line,
			 broken);
	if (t.trouble != TAKE_LOCAL_KEY)
		assert_int_equal(hca_mr_destroy(t.local), 0);
	if (t.trouble != TAKE_REMOTE_KEY)
		assert_int_equal(hca_mr_destroy(t.remote), 0);
	assert_int_equal(close_both(NULL), 0);
}

static void all_seeds(enum hca_qp_type type)
{
	void (*const fns[])(void *) = { posts_one, posts_two, posts_receives, makes_trouble, polls, brings };

	u64 steps = 0;
	u32 i;

	memset(sends_seen, 0, sizeof(sends_seen));
	memset(recvs_seen, 0, sizeof(recvs_seen));
	FOR_SEEDS(seed, SEEDS)
	{
		begin(type, seed);
		test_long_stops(seed / TROUBLES % 2);
		run_seed(seed, HCA_ARRAY_SIZE(fns), fns);
		end(seed);
		steps += test_steps();
	}
	test_long_stops(false);
	print_message("# %llu decisions\n", (unsigned long long)steps);
	for (i = 0; i < HCA_ARRAY_SIZE(sends_seen); i++)
		if (sends_seen[i] || recvs_seen[i])
			print_message("# status %u: %u sends, %u receives\n", i, sends_seen[i], recvs_seen[i]);
#ifdef ENGINE_FIXTURE_FLAT
	print_message("# %u pieces went the usual way\n", carried);
	carried = 0;
#endif
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

/* --- the last completion --- */

#ifdef DELIVER_H
#define LAST_SEEDS 64u
#else
#define LAST_SEEDS 2000u
#endif

static void posts_once(void *arg)
{
	(void)arg;
	CHECK(!post(&a, 1, HCA_WR_RDMA_WRITE, 0, LEN, BASE + WRITE_AREA, b.all->key));
}

/* The call that posted may not have returned yet. */
static void destroys_when_complete(void *arg)
{
	struct hca_wc wc;

	(void)arg;
	await(&a.scq, &wc);
	CHECK(wc.status == HCA_WC_SUCCESS);
	hca_qp_destroy(a.qp);
	a.qp = NULL;
}

static void destroyed_at_the_last_completion(void **state)
{
	void (*const fns[])(void *) = { posts_once, destroys_when_complete };

	(void)state;
	test_long_stops(true);
	FOR_SEEDS(seed, LAST_SEEDS)
	{
		connect_type(HCA_QPT_RC);
		set_flat(&a, seed & 1);
		set_flat(&b, seed & 1);
		run_seed(seed, HCA_ARRAY_SIZE(fns), fns);
		assert_int_equal(close_both(NULL), 0);
	}
	test_long_stops(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reliable),
		cmocka_unit_test(unreliable),
		cmocka_unit_test(destroyed_at_the_last_completion),
	};

	return cmocka_run_group_tests_name("engine_schedule", tests, NULL, NULL);
}
