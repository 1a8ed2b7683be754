/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Messages of the communication manager that are lost or late: what is repeated, how often and when, who gives up, and
 * for how long a peer that asks for time gets it.
 */
#include "cm_fixture.h"

/* --- lost --- */

static void lose_next(enum hca_cm_attr attr, u32 n)
{
	lose[attr - HCA_CM_ATTR_FIRST] = n;
}

static void a_request_is_repeated(void **state)
{
	u32 lost;

	(void)state;
	for (lost = 1; lost <= RETRIES; lost++) {
		open_cms(0);
		listener = listen_at(1, SERVICE);
		a = &active_user;
		b = &users[0];
		create(0, a);
		lose_next(HCA_CM_REQ, lost);
		connect_to(1, a, 0x100);
		settle();
		pass(lost * TRY_NS - MS / 4);
		assert_int_equal(requested, 0);
		assert_int_equal(sends[0], lost);
		pass(MS);
		expect_event(b, HCA_CM_EVENT_REQUEST, 0);
		assert_int_equal(sends[0], lost + 1);
		assert_int_equal(requested, 1);
		end_connection();
	}
}

static void nobody_answers(void **state)
{
	static const u8 guid[] = { 0x00, 0x02, 0xc9, 0x03, 0, 0, 0, 0 };

	(void)state;
	open_cms(0);
	listener = listen_at(1, SERVICE);
	a = &active_user;
	b = &users[0];
	memset(b, 0, sizeof(*b));
	create(0, a);
	lose_next(HCA_CM_REQ, 100);
	connect_to(1, a, 0x100);
	pass((RETRIES + 1) * TRY_NS - MS / 4);
	no_more_events(a);
	pass(MS);
	expect_event(a, HCA_CM_EVENT_UNREACHABLE, -ETIMEDOUT);
	expect_sent(0, HCA_CM_REQ, HCA_CM_REQ, HCA_CM_REQ, HCA_CM_REQ, HCA_CM_REJ, 0);
	assert_int_equal(last_sent[0].reason, HCA_CM_REJ_TIMEOUT);
	assert_int_equal(last_sent[0].ari_len, 8);
	assert_memory_equal(last_sent[0].ari, guid, 8);
	expect_state(a, HCA_CM_CLOSED);
	pass(1000 * MS);
	expect_sent(0, 0);
	end_connection();
}

/* The consumer there takes too long, and hears that the peer has given up, which never knew its ID. */
static void the_peer_gives_up(void **state)
{
	struct hca_cm_msg rep = make_rep(0x200);

	(void)state;
	begin_connection();
	pass((RETRIES + 1) * TRY_NS + MS);
	expect_event(a, HCA_CM_EVENT_UNREACHABLE, -ETIMEDOUT);
	assert_int_equal(expect_event(b, HCA_CM_EVENT_REJECTED, 0)->reason, HCA_CM_REJ_TIMEOUT);
	assert_int_equal(b->msg[1].remote_comm_id, 0);
	assert_int_equal(hca_cm_accept(b->id, &rep), -EINVAL);
	expect_sent(1, 0);
	end_connection();
}

/* The same, but its REJ is lost: what accepts then learns that there is no such connection. */
static void accepted_too_late(void **state)
{
	(void)state;
	begin_connection();
	lose_next(HCA_CM_REJ, 1);
	pass((RETRIES + 1) * TRY_NS + MS);
	expect_event(a, HCA_CM_EVENT_UNREACHABLE, -ETIMEDOUT);
	accept_it();
	settle();
	assert_int_equal(expect_event(b, HCA_CM_EVENT_REJECTED, 0)->reason, HCA_CM_REJ_INVALID_COMM_ID);
	assert_int_equal(b->msg[1].about, HCA_CM_ABOUT_REP);
	pass(10 * MS);
	expect_event(b, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	end_connection();
}

static void a_lost_reply_comes_again(void **state)
{
	(void)state;
	begin_connection();
	lose_next(HCA_CM_REP, 1);
	accept_it();
	settle();
	no_more_events(a);
	pass(TRY_NS + MS); /* both have repeated theirs */
	expect_event(a, HCA_CM_EVENT_REPLY, 0);
	assert_int_equal(hca_cm_ready(a->id, NULL, 0), 0);
	settle();
	expect_event(b, HCA_CM_EVENT_ESTABLISHED, 0);
	end_connection();
}

/* A REQ that comes again is answered by the REP, without the passive side's timer. */
static void a_request_twice_gives_the_reply_again(void **state)
{
	(void)state;
	begin_connection();
	lose_next(HCA_CM_REP, 1);
	accept_it();
	put_on_wire(1, 0, last_bytes[0]);
	settle();
	expect_sent(1, HCA_CM_REP, HCA_CM_REP, 0);
	expect_event(a, HCA_CM_EVENT_REPLY, 0);
	assert_int_equal(requested, 1);
	end_connection();
}

static void a_lost_rtu_comes_again(void **state)
{
	(void)state;
	begin_connection();
	accept_it();
	lose_next(HCA_CM_RTU, 2);
	settle();
	expect_event(a, HCA_CM_EVENT_REPLY, 0);
	assert_int_equal(hca_cm_ready(a->id, "data", 4), 0);
	settle();
	no_more_events(b);
	pass(2 * TRY_NS + MS);
	expect_event(b, HCA_CM_EVENT_ESTABLISHED, 0);
	assert_memory_equal(b->data[1], "data", 4);
	expect_sent(0, HCA_CM_RTU, HCA_CM_RTU, HCA_CM_RTU, 0);
	expect_sent(1, HCA_CM_REP, HCA_CM_REP, HCA_CM_REP, 0);
	no_more_events(a);
	end_connection();
}

/* What is established on one side alone ends on both. */
static void the_rtu_never_comes(void **state)
{
	(void)state;
	begin_connection();
	accept_it();
	lose_next(HCA_CM_RTU, 100);
	settle();
	expect_event(a, HCA_CM_EVENT_REPLY, 0);
	assert_int_equal(hca_cm_ready(a->id, NULL, 0), 0);
	pass((RETRIES + 1) * TRY_NS + MS / 2);
	expect_event(b, HCA_CM_EVENT_UNREACHABLE, -ETIMEDOUT);
	assert_int_equal(expect_event(a, HCA_CM_EVENT_REJECTED, 0)->reason, HCA_CM_REJ_TIMEOUT);
	expect_sent(1, HCA_CM_REP, HCA_CM_REP, HCA_CM_REP, HCA_CM_REP, HCA_CM_REJ, 0);
	pass(10 * MS);
	expect_event(a, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	expect_event(b, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	end_connection();
}

/* The RTU is lost, and the active side is done already. */
static void a_dreq_overtakes_the_rtu(void **state)
{
	(void)state;
	begin_connection();
	accept_it();
	lose_next(HCA_CM_RTU, 1);
	settle();
	expect_event(a, HCA_CM_EVENT_REPLY, 0);
	assert_int_equal(hca_cm_ready(a->id, NULL, 0), 0);
	assert_int_equal(hca_cm_disconnect(a->id, NULL, 0), 0);
	settle();
	expect_event(b, HCA_CM_EVENT_DISCONNECT, 0);
	assert_int_equal(hca_cm_disconnect(b->id, NULL, 0), 0);
	settle();
	expect_event(a, HCA_CM_EVENT_DISCONNECTED, 0);
	pass(10 * MS);
	expect_event(a, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	expect_event(b, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	end_connection();
}

static void a_disconnection_is_repeated(void **state)
{
	(void)state;
	make_connection();
	lose_next(HCA_CM_DREQ, 2);
	lose_next(HCA_CM_DREP, 1);
	assert_int_equal(hca_cm_disconnect(a->id, NULL, 0), 0);
	pass(2 * TRY_NS + MS / 2);
	expect_event(b, HCA_CM_EVENT_DISCONNECT, 0);
	assert_int_equal(hca_cm_disconnect(b->id, NULL, 0), 0);
	settle();
	no_more_events(a);
	/* Its timewait is over before the DREQ comes again: then there is no such connection, and that is an answer. */
	pass(TRY_NS);
	expect_event(b, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	expect_event(a, HCA_CM_EVENT_DISCONNECTED, 0);
	expect_sent(0, HCA_CM_DREQ, HCA_CM_DREQ, HCA_CM_DREQ, HCA_CM_DREQ, 0);
	expect_sent(1, HCA_CM_DREP, HCA_CM_DREP, 0);
	pass(10 * MS);
	expect_event(a, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	end_connection();
}

static void nobody_answers_a_disconnection(void **state)
{
	(void)state;
	make_connection();
	lose_next(HCA_CM_DREQ, 100);
	assert_int_equal(hca_cm_disconnect(b->id, NULL, 0), 0);
	pass((RETRIES + 1) * TRY_NS - MS / 4);
	no_more_events(b);
	pass(MS / 2);
	expect_event(b, HCA_CM_EVENT_DISCONNECTED, -ETIMEDOUT);
	expect_sent(1, HCA_CM_DREQ, HCA_CM_DREQ, HCA_CM_DREQ, HCA_CM_DREQ, 0);
	no_more_events(a);
	pass(10 * MS);
	expect_event(b, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	end_connection();
}

/* --- more time --- */

#define SERVICE_CODE 14 /* 67 ms */

static void a_request_may_take_time(void **state)
{
	(void)state;
	begin_connection();
	assert_int_equal(hca_cm_delay(b->id, SERVICE_CODE, NULL, 0), 0);
	settle();
	expect_event(a, HCA_CM_EVENT_MRA, 0);
	expect_state(a, HCA_CM_REP_WAIT);
	assert_int_equal(hca_cm_delay(b->id, SERVICE_CODE, NULL, 0), -EINVAL);
	expect_sent(1, HCA_CM_MRA, 0);
	assert_int_equal(last_sent[1].about, HCA_CM_ABOUT_REQ);
	assert_int_equal(last_sent[1].service_timeout, SERVICE_CODE);
	pass(CODE_NS(SERVICE_CODE) + TRY_NS - MS / 4);
	expect_sent(0, 0);
	pass(MS / 2); /* now the REQ comes again, and is answered the same way */
	expect_sent(0, HCA_CM_REQ, 0);
	expect_sent(1, HCA_CM_MRA, 0);
	no_more_events(a);
	accept_it();
	settle();
	expect_event(a, HCA_CM_EVENT_REPLY, 0);
	end_connection();
}

static void a_reply_may_take_time(void **state)
{
	(void)state;
	begin_connection();
	accept_it();
	settle();
	expect_event(a, HCA_CM_EVENT_REPLY, 0);
	assert_int_equal(hca_cm_delay(a->id, SERVICE_CODE, NULL, 0), 0);
	settle();
	expect_event(b, HCA_CM_EVENT_MRA, 0);
	assert_int_equal(last_sent[0].about, HCA_CM_ABOUT_REP);
	expect_sent(0, HCA_CM_MRA, 0);
	pass(CODE_NS(SERVICE_CODE) + TRY_NS - MS / 4);
	expect_sent(1, HCA_CM_REP, 0);
	pass(MS / 2);
	expect_sent(1, HCA_CM_REP, 0);
	expect_sent(0, HCA_CM_MRA, 0);
	no_more_events(b);
	assert_int_equal(hca_cm_ready(a->id, NULL, 0), 0);
	settle();
	expect_event(b, HCA_CM_EVENT_ESTABLISHED, 0);
	end_connection();
}

/* The tries that come after the time that a peer asked for last no longer than others, whatever else it sends. */
static void no_more_time(u32 from, const struct hca_cm_msg *mra)
{
	u32 i, n = sends[from];

	inject(from, mra);
	for (i = 0; i <= RETRIES; i++) {
		u64 ns = i ? TRY_NS : CODE_NS(SERVICE_CODE) + TRY_NS;

		inject(from, mra);
		test_clock_advance(ns - 1);
		settle();
		assert_int_equal(sends[from], n + i);
		inject(from, mra);
		test_clock_advance(1);
		settle();
		assert_int_equal(sends[from], n + i + 1);
	}
}

static void a_request_takes_no_more_time(void **state)
{
	struct hca_cm_msg mra = { .attr = HCA_CM_MRA, .service_timeout = SERVICE_CODE };

	(void)state;
	begin_connection();
	mra.remote_comm_id = a->id->comm_id;
	no_more_time(0, &mra);
	expect_event(a, HCA_CM_EVENT_MRA, 0);
	expect_event(a, HCA_CM_EVENT_UNREACHABLE, -ETIMEDOUT);
	expect_event(b, HCA_CM_EVENT_REJECTED, 0);
	end_connection();
}

static void a_reply_takes_no_more_time(void **state)
{
	struct hca_cm_msg mra = { .attr = HCA_CM_MRA, .about = HCA_CM_ABOUT_REP, .service_timeout = SERVICE_CODE };

	(void)state;
	begin_connection();
	accept_it();
	settle();
	expect_event(a, HCA_CM_EVENT_REPLY, 0);
	mra.local_comm_id = a->id->comm_id;
	mra.remote_comm_id = b->id->comm_id;
	no_more_time(1, &mra);
	expect_event(b, HCA_CM_EVENT_MRA, 0);
	expect_event(b, HCA_CM_EVENT_UNREACHABLE, -ETIMEDOUT);
	expect_event(a, HCA_CM_EVENT_REJECTED, 0);
	end_connection();
}

/* Nor can a peer ask for more than our end waits at all. */
static void time_asked_for_is_limited(void **state)
{
	struct hca_cm_msg mra = { .attr = HCA_CM_MRA, .service_timeout = 31 };
	u32 n;

	(void)state;
	begin_connection();
	mra.remote_comm_id = a->id->comm_id;
	inject(0, &mra);
	expect_event(a, HCA_CM_EVENT_MRA, 0);
	n = sends[0];
	test_clock_advance(HCA_CM_WAIT_MAX_NS + TRY_NS - 1);
	settle();
	assert_int_equal(sends[0], n);
	test_clock_advance(1);
	settle();
	assert_int_equal(sends[0], n + 1);
	accept_it();
	settle();
	expect_event(a, HCA_CM_EVENT_REPLY, 0);
	end_connection();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_request_is_repeated),
		T(nobody_answers),
		T(the_peer_gives_up),
		T(accepted_too_late),
		T(a_lost_reply_comes_again),
		T(a_request_twice_gives_the_reply_again),
		T(a_lost_rtu_comes_again),
		T(the_rtu_never_comes),
		T(a_dreq_overtakes_the_rtu),
		T(a_disconnection_is_repeated),
		T(nobody_answers_a_disconnection),
		T(a_request_may_take_time),
		T(a_reply_may_take_time),
		T(a_request_takes_no_more_time),
		T(a_reply_takes_no_more_time),
		T(time_asked_for_is_limited),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
