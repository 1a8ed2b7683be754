/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Datagrams between several adapters, to queue pairs and to a group, under a thousand schedules: while they come, members
 * join and leave, one is destroyed, one is reset, and an adapter comes and goes. Receives complete once and in order, each has one
 * message as it was sent, and nothing arrives for who has left. Also built for the other wires.
 */
#define CQE 128u
#define WR 24u
#include "schedule_fixture.h"

#include "hca/mcast.h"

#ifndef SEEDS
#define SEEDS 1000u
#endif
#define EACH 8u /* messages of a sender */
#define GRH 40u
#define LEN 48u
#define SLOT 128u
#define SLOTS WR /* receives of a queue pair */
#define MLID 0xc001u
#define QKEY 0x11u
#define MEMBERS 4u

static const struct hca_gid group = { { 0xff, 0x12, 0x40, 0x1b, [15] = 1 } };

static struct side c, d; /* a third adapter, and one that comes and goes */

/* A queue pair that receives, and what it was posted and got. */
struct member {
	struct side *side;
	struct hca_qp *qp;
	u32 qpn;
	u64 area; /* of its slots */
	u32 posted;
	u32 received;
	u32 last[2]; /* sequence of each sender: what came last */
	bool ended; /* nothing of it counts any more */
	bool was_reset;
};

static struct {
	struct member m[MEMBERS];
	u32 sent[2];
	u32 done; /* threads */
	u32 taking; /* atomic: the poller has a completion in its hands */
	u32 arrivals; /* of all seeds */
	bool in_order; /* the wire keeps the order */
} t;

#define FIRST (&t.m[0]) /* b.qp: gets datagrams of its own, and those of the group */
#define ENDED (&t.m[1]) /* at b: destroyed */
#define JOINER (&t.m[2]) /* at c: joins and leaves */
#define RESET (&t.m[3]) /* at c: reset, and ready again */
#define THREADS 6u /* but for the poller and the bringer */

static void finished(void)
{
	hca_fetch_add(&t.done, 1);
}

static void wait_some(u32 turns)
{
	while (turns--)
		hca_pause();
}

/* --- sending --- */

static int send_one(struct side *s, u32 who, u32 seq, bool to_all)
{
	struct hca_sge sge = sge_at(s, SLOT * seq, LEN);
	struct hca_send_wr wr = { .wr_id = seq, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND };

	memset(s->ram + SLOT * seq, (int)(1 + (who << 6 | seq)), LEN);
	wr.ud.qkey = QKEY;
	wr.ud.dlid = to_all ? MLID : b.hca.lid;
	wr.ud.qpn = to_all ? HCA_MCAST_QPN : FIRST->qpn;
	wr.ud.is_global = to_all;
	wr.ud.grh.dgid = group;
	return hca_post_send(s->qp, &wr);
}

static void send_all(struct side *s, u32 who)
{
	u32 i;

	for (i = 0; i < EACH; i++) {
		CHECK(!send_one(s, who, i, who || i % 3));
		t.sent[who]++;
		wait_some(2);
	}
	finished();
}

static void sends_from_a(void *arg)
{
	(void)arg;
	send_all(&a, 0);
}

static void sends_from_c(void *arg)
{
	(void)arg;
	send_all(&c, 1);
}

/* --- receiving --- */

static void post_to(struct member *m)
{
	struct hca_sge sge = sge_at(m->side, m->area + SLOT * (m->posted % SLOTS), GRH + LEN);
	struct hca_recv_wr wr = { .wr_id = m->posted, .sge = &sge, .num_sge = 1 };

	m->posted += !hca_post_recv(m->qp, &wr);
}

static void take(struct member *m, const struct hca_wc *wc)
{
	u8 *at = m->side->ram + m->area + SLOT * (wc->wr_id % SLOTS);
	u32 i, who, seq;

	/* What a reset dropped is missed. */
	CHECK(hca_load(&m->was_reset) ? wc->wr_id >= m->received : wc->wr_id == m->received);
	CHECK(!wc->status && wc->byte_len == GRH + LEN);
	m->received = (u32)wc->wr_id + 1;
	for (i = 1; i < LEN; i++)
		CHECK(at[GRH + i] == at[GRH]);
	who = (at[GRH] - 1u) >> 6;
	seq = (at[GRH] - 1u) & 63;
	CHECK(who < 2 && seq < EACH);
	CHECK(!t.in_order || seq + 1 > m->last[who & 1]);
	m->last[who & 1] = seq + 1;
	memset(at, 0, SLOT);
	t.arrivals++;
	if (!hca_load(&m->ended) && !hca_load(&m->was_reset))
		post_to(m);
}

static bool poll_side(struct side *s)
{
	struct hca_wc wc;
	u32 i;

	bool any;

	hca_fetch_add(&t.taking, 1);
	any = hca_cq_ring_poll(&s->rcq.ring, &wc, 1) == 1;
	for (i = 0; any && i < MEMBERS; i++)
		if (t.m[i].side == s && t.m[i].qpn == wc.qp_num)
			take(&t.m[i], &wc);
	hca_store_release(&t.taking, 0u);
	return any;
}

static void poll_sends(struct side *s)
{
	struct hca_wc wc;

	while (hca_cq_ring_poll(&s->scq.ring, &wc, 1) == 1)
		CHECK(!wc.status);
}

static void polls(void *arg)
{
	(void)arg;
	while (hca_load(&t.done) < THREADS) {
		poll_sends(&a);
		poll_sends(&c);
		if (!poll_side(&b) && !poll_side(&c))
			hca_pause();
	}
}

static void brings(void *arg)
{
	(void)arg;
	while (hca_load(&t.done) < THREADS) {
		hca_eq_run(FIXTURE_EQ);
		wait_some(2);
		test_clock_advance(1000);
	}
}

/* --- coming and going --- */

static int to_ready(struct hca_qp *qp)
{
	struct hca_qp_attr at = { .qkey = QKEY, .port_num = 1 };
	int err;

	at.qp_state = HCA_QPS_INIT;
	err = hca_qp_modify(qp, &at, HCA_QP_STATE | HCA_QP_PKEY_INDEX | HCA_QP_PORT | HCA_QP_QKEY);
	at.qp_state = HCA_QPS_RTR;
	if (!err)
		err = hca_qp_modify(qp, &at, HCA_QP_STATE);
	at.qp_state = HCA_QPS_RTS;
	return err ? err : hca_qp_modify(qp, &at, HCA_QP_STATE | HCA_QP_SQ_PSN);
}

static u8 guarded(const struct member *m)
{
	const u8 *p = m->side->ram + m->area;
	u32 i;

	for (i = 1; i < SLOT * SLOTS; i++)
		if (p[i] != p[0])
			return 0;
	return p[0];
}

/* The poller, if it has a completion in its hands, doesn't know yet what was stored before. */
static void wait_for_poller(void)
{
	while (hca_fetch_add(&t.taking, 0))
		hca_pause();
}

/* Nothing is written there any more: neither by the engine, which promised so, nor by the poller. */
static void guard(struct member *m)
{
	wait_for_poller();
	memset(m->side->ram + m->area, 0xee, SLOT * SLOTS);
}

static void joins_and_leaves(void *arg)
{
	struct member *m = JOINER;
	u32 i, before;

	(void)arg;
	for (i = 0; i < 4; i++) {
		CHECK(!hca_mcast_attach(m->qp, &group, MLID));
		wait_some(6);
		CHECK(!hca_mcast_detach(m->qp, &group, MLID));
		before = hca_load(&m->qp->rq.head);
		wait_some(12);
		/* Nothing that was sent to the group takes a request. */
		CHECK(hca_load(&m->qp->rq.head) == before);
	}
	finished();
}

static void ends_a_member(void *arg)
{
	struct member *m = ENDED;

	(void)arg;
	wait_some(25);
	hca_store(&m->ended, true);
	wait_for_poller();
	hca_qp_destroy(m->qp);
	guard(m);
	finished();
}

static void resets_a_member(void *arg)
{
	struct member *m = RESET;
	u32 i;

	(void)arg;
	wait_some(20);
	hca_store(&m->was_reset, true);
	CHECK(!to_state(m->qp, HCA_QPS_RESET));
	guard(m);
	wait_some(10);
	CHECK(guarded(m) == 0xee);
	CHECK(!to_ready(m->qp));
	wait_some(5);
	for (i = 0; i < 3; i++)
		post_to(m);
	finished();
}

/* An adapter with a member that takes nothing but the group's messages. */
static void an_adapter_comes_and_goes(void *arg)
{
	struct hca_attr attr = { .max_qp = 8, .max_keys = 8 };
	struct hca_qp_init init = { .type = HCA_QPT_UD, .pd = &d.pd, .send_cq = &d.scq, .recv_cq = &d.rcq };
	struct hca_qp *qp;
	u32 i;

	(void)arg;
	init.max_recv_wr = 2;
	init.max_recv_sge = 1;
	for (i = 0; i < 2; i++) {
		d.mem.ops = &mem_ops;
		CHECK(!hca_open(&d.hca, FIXTURE_WIRE, FIXTURE_EQ, &d.mem, &attr));
		hca_pd_init(&d.pd, &d.hca);
		CHECK(!hca_cq_init(&d.scq, &d.hca, 4, NULL));
		CHECK(!hca_cq_init(&d.rcq, &d.hca, 4, NULL));
		CHECK(!hca_qp_create(&d.hca, &init, &qp));
		CHECK(!to_ready(qp));
		CHECK(!hca_mcast_attach(qp, &group, MLID));
		wait_some(10);
		hca_qp_destroy(qp);
		CHECK(!hca_cq_fini(&d.scq));
		CHECK(!hca_cq_fini(&d.rcq));
		CHECK(!hca_close(&d.hca));
	}
	finished();
}

/* --- the whole --- */

static void make_member(struct member *m, struct side *s, u64 area, bool joins)
{
	u32 i;

	*m = (struct member){ .side = s, .area = area };
	if (m == FIRST) {
		m->qp = b.qp;
	} else {
		assert_int_equal(make_qp(s, HCA_QPT_UD, NULL, &m->qp), 0);
		assert_int_equal(to_ready(m->qp), 0);
	}
	m->qpn = m->qp->qpn;
	for (i = 0; i < SLOTS; i++)
		post_to(m);
	assert_int_equal(m->posted, SLOTS);
	if (joins)
		assert_int_equal(hca_mcast_attach(m->qp, &group, MLID), 0);
}

static void begin(u64 seed)
{
	u32 arrivals = t.arrivals;

	connect_type(HCA_QPT_UD);
	assert_int_equal(side_open(&c), 0);
	assert_int_equal(make_qp(&c, HCA_QPT_UD, NULL, &c.qp), 0);
	assert_int_equal(to_ready(c.qp), 0);
	memset(&t, 0, sizeof(t));
	t.arrivals = arrivals;
	t.in_order = true;
	make_member(FIRST, &b, 8192, true);
	make_member(ENDED, &b, 16384, true);
	make_member(JOINER, &c, 8192, false);
	make_member(RESET, &c, 16384, true);
	a.mem.ops = b.mem.ops = c.mem.ops = &slow_mem_ops;
#ifdef ENGINE_FIXTURE_PACKETS
	lossy.lanes = 1 + seed % 2;
	t.in_order = lossy.lanes == 1;
#else
	(void)seed;
#endif
}

static void end(u64 seed)
{
	u32 i;

	for (i = 0; i < 4; i++) {
		test_clock_advance(MS);
		while (poll_side(&b) || poll_side(&c))
			;
		poll_sends(&a);
		poll_sends(&c);
	}
	CHECK(guarded(ENDED) == 0xee);
	/* It has never left, and had a request each time. */
	CHECK(FIRST->received == 2 * EACH);
	if (broken)
		fail_msg("SOFTHCA_SEED=%llu: line %d: %s", (unsigned long long)seed, broken_line, broken);
	hca_qp_destroy(JOINER->qp);
	hca_qp_destroy(RESET->qp);
	side_close(&c);
	assert_int_equal(close_both(NULL), 0);
}

static void while_messages_come(void **state)
{
	void (*const fns[])(void *) = { sends_from_a,  sends_from_c,	joins_and_leaves,
					ends_a_member, resets_a_member, an_adapter_comes_and_goes,
					polls,	       brings };
	u64 steps = 0;

	(void)state;
	FOR_SEEDS(seed, SEEDS)
	{
		begin(seed);
		test_long_stops(seed % 2);
		run_seed(seed, HCA_ARRAY_SIZE(fns), fns);
		end(seed);
		steps += test_steps();
	}
	test_long_stops(false);
	print_message("# %llu decisions, %u arrivals\n", (unsigned long long)steps, t.arrivals);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(while_messages_come),
	};

	return cmocka_run_group_tests_name("engine_groups", tests, NULL, NULL);
}
