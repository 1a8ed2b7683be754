/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The communication manager's protocol: what is sent and told at each step of a
 * connection; messages that are doubled, stale or unknown. test_cm_lost has those that are
 * lost or late, test_cm_sidr SIDR, test_cm_life the lives of IDs.
 */
#include "cm_fixture.h"

/* --- a connection --- */

static void fields_arrive(void **state)
{
	static const u8 hello[] = "hello", answer[] = "answer", go[] = "go";
	struct hca_ah_attr to = way_to(1);
	struct hca_cm_msg req = make_req(0x100), rep = make_rep(0x200);
	const struct hca_cm_msg *m;

	(void)state;
	open_cms(0);
	listener = listen_at(1, SERVICE);
	a = &active_user;
	b = &users[0];
	create(0, a);
	req.private_data = hello;
	req.private_len = sizeof(hello);
	assert_int_equal(hca_cm_connect(a->id, &to, &req), 0);
	settle();
	m = expect_event(b, HCA_CM_EVENT_REQUEST, 0);
	assert_ptr_equal(keep_listener, listener);
	assert_int_equal(m->service_id, SERVICE);
	assert_int_equal(m->ca_guid, GUID(0));
	assert_int_equal(m->local_comm_id, a->id->comm_id);
	assert_int_equal(m->qpn, 0x100);
	assert_int_equal(m->psn, 0x111111);
	assert_int_equal(m->responder_resources, 4);
	assert_int_equal(m->initiator_depth, 2);
	assert_int_equal(m->private_len, 92);
	assert_memory_equal(b->data[0], hello, sizeof(hello));

	rep.private_data = answer;
	rep.private_len = sizeof(answer);
	assert_int_equal(hca_cm_accept(b->id, &rep), 0);
	settle();
	m = expect_event(a, HCA_CM_EVENT_REPLY, 0);
	assert_int_equal(m->ca_guid, GUID(1));
	assert_int_equal(m->local_comm_id, b->id->comm_id);
	assert_int_equal(m->remote_comm_id, a->id->comm_id);
	assert_int_equal(m->qpn, 0x200);
	assert_int_equal(m->tid, b->msg[0].tid);
	assert_int_equal(m->private_len, 196);
	assert_memory_equal(a->data[0], answer, sizeof(answer));

	assert_int_equal(hca_cm_ready(a->id, go, sizeof(go)), 0);
	settle();
	m = expect_event(b, HCA_CM_EVENT_ESTABLISHED, 0);
	assert_int_equal(m->private_len, 224);
	assert_memory_equal(b->data[1], go, sizeof(go));
	expect_sent(0, HCA_CM_REQ, HCA_CM_RTU, 0);
	expect_sent(1, HCA_CM_REP, 0);
	pass(1000 * MS);
	expect_sent(0, 0);
	expect_sent(1, 0);
	end_connection();
}

static void either_side_disconnects(void **state)
{
	static const u8 bye[] = "bye";
	u32 side;

	(void)state;
	for (side = 0; side < 2; side++) {
		struct user *first, *second;

		make_connection();
		first = side ? b : a;
		second = side ? a : b;
		assert_int_equal(hca_cm_disconnect(first->id, bye, sizeof(bye)), 0);
		settle();
		expect_event(second, HCA_CM_EVENT_DISCONNECT, 0);
		assert_memory_equal(second->data[second->seen - 1], bye, sizeof(bye));
		assert_int_equal(second->msg[second->seen - 1].private_len, 220);
		assert_int_equal(second->msg[second->seen - 1].qpn, side ? 0x100 : 0x200);
		no_more_events(first);
		assert_int_equal(hca_cm_disconnect(second->id, "so", 2), 0);
		settle();
		assert_int_equal(expect_event(first, HCA_CM_EVENT_DISCONNECTED, 0)->private_len, 224);
		assert_memory_equal(first->data[first->seen - 1], "so", 2);
		expect_sent(side, HCA_CM_DREQ, 0);
		expect_sent(!side, HCA_CM_DREP, 0);
		expect_state(first, HCA_CM_TIMEWAIT);
		expect_state(second, HCA_CM_TIMEWAIT);
		/* The active side adds the delay of the passive side's acknowledgements, of code 0. */
		pass(CODE_NS(ACK_TIMEOUT) - 1);
		no_more_events(a);
		no_more_events(b);
		pass(MS);
		expect_event(a, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
		expect_event(b, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
		end_connection();
	}
}

static void both_disconnect_at_once(void **state)
{
	(void)state;
	make_connection();
	assert_int_equal(hca_cm_disconnect(a->id, NULL, 0), 0);
	assert_int_equal(hca_cm_disconnect(b->id, NULL, 0), 0);
	settle();
	assert_int_equal(expect_event(a, HCA_CM_EVENT_DISCONNECTED, 0)->attr, HCA_CM_DREQ);
	assert_int_equal(expect_event(b, HCA_CM_EVENT_DISCONNECTED, 0)->attr, HCA_CM_DREQ);
	expect_sent(0, HCA_CM_DREQ, HCA_CM_DREP, 0);
	expect_sent(1, HCA_CM_DREQ, HCA_CM_DREP, 0);
	pass(10 * MS);
	expect_event(a, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	expect_event(b, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	end_connection();
}

/* The consumer saw something come before the RTU. */
static void a_consumer_knows_first(void **state)
{
	(void)state;
	begin_connection();
	accept_it();
	lose[HCA_CM_RTU - HCA_CM_ATTR_FIRST] = 1;
	settle();
	expect_event(a, HCA_CM_EVENT_REPLY, 0);
	assert_int_equal(hca_cm_establish(a->id), -EINVAL);
	assert_int_equal(hca_cm_ready(a->id, NULL, 0), 0);
	settle();
	expect_state(b, HCA_CM_REP_SENT);
	assert_int_equal(hca_cm_establish(b->id), 0);
	settle();
	expect_event(b, HCA_CM_EVENT_ESTABLISHED, 0);
	assert_int_equal(b->msg[1].attr, 0); /* no message */
	pass(100 * MS);
	expect_sent(1, HCA_CM_REP, 0);
	end_connection();
}

/* --- rejected --- */

static void nobody_listens(void **state)
{
	u64 began;

	(void)state;
	open_cms(0);
	a = &active_user;
	create(0, a);
	listener = listen_at(1, SERVICE + 1);
	b = &users[0];
	memset(b, 0, sizeof(*b));
	began = hca_now_ns();
	connect_to(1, a, 0x100);
	settle();
	assert_int_equal(hca_now_ns(), began); /* at once */
	assert_int_equal(expect_event(a, HCA_CM_EVENT_REJECTED, 0)->reason, HCA_CM_REJ_INVALID_SERVICE_ID);
	assert_int_equal(a->msg[0].about, HCA_CM_ABOUT_REQ);
	assert_int_equal(a->msg[0].tid, last_sent[0].tid);
	expect_sent(0, HCA_CM_REQ, 0);
	expect_sent(1, HCA_CM_REJ, 0);
	expect_state(a, HCA_CM_CLOSED);
	assert_int_equal(cms[0].waiting, 0);
	end_connection();
}

static void a_consumer_rejects(void **state)
{
	static const u8 why[] = "why", info[] = { 1, 2, 3 };
	const struct hca_cm_msg rej = { .reason = HCA_CM_REJ_CONSUMER,
					.ari = info,
					.ari_len = 3,
					.private_data = why,
					.private_len = sizeof(why) };
	const struct hca_cm_msg *m;

	(void)state;
	begin_connection();
	assert_int_equal(hca_cm_reject(b->id, &rej), 0);
	settle();
	m = expect_event(a, HCA_CM_EVENT_REJECTED, 0);
	assert_int_equal(m->reason, HCA_CM_REJ_CONSUMER);
	assert_int_equal(m->about, HCA_CM_ABOUT_REQ);
	assert_int_equal(m->ari_len, 3);
	assert_memory_equal(a->ari[0], info, 3);
	assert_int_equal(m->private_len, 148);
	assert_memory_equal(a->data[0], why, sizeof(why));
	assert_int_equal(hca_cm_reject(b->id, &rej), -EINVAL);
	assert_int_equal(hca_cm_accept(b->id, &rej), -EINVAL);
	end_connection();
}

static void a_reply_is_rejected(void **state)
{
	const struct hca_cm_msg rej = { .reason = HCA_CM_REJ_CONSUMER };

	(void)state;
	begin_connection();
	accept_it();
	settle();
	expect_event(a, HCA_CM_EVENT_REPLY, 0);
	assert_int_equal(hca_cm_reject(a->id, &rej), 0);
	settle();
	assert_int_equal(expect_event(b, HCA_CM_EVENT_REJECTED, 0)->about, HCA_CM_ABOUT_REP);
	expect_state(a, HCA_CM_TIMEWAIT);
	expect_state(b, HCA_CM_TIMEWAIT);
	pass(10 * MS);
	expect_event(a, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	expect_event(b, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	end_connection();
}

/* The REJ of a REP is lost: the REP that comes again is answered. */
static void a_lost_rejection_is_repeated(void **state)
{
	const struct hca_cm_msg rej = { .reason = HCA_CM_REJ_CONSUMER };
	struct hca_cm_msg rep = make_rep(0x200);

	(void)state;
	begin_connection();
	rep.target_ack_delay = 20; /* timewait is longer than the retry */
	assert_int_equal(hca_cm_accept(b->id, &rep), 0);
	lose[HCA_CM_REJ - HCA_CM_ATTR_FIRST] = 1;
	settle();
	expect_event(a, HCA_CM_EVENT_REPLY, 0);
	assert_int_equal(hca_cm_reject(a->id, &rej), 0);
	pass(TRY_NS + MS);
	assert_int_equal(expect_event(b, HCA_CM_EVENT_REJECTED, 0)->reason, HCA_CM_REJ_STALE_CONN);
	expect_sent(0, HCA_CM_REJ, HCA_CM_REJ, 0);
	pass(10 * MS);
	expect_event(b, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	pass(CODE_NS(20));
	expect_event(a, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	end_connection();
}

static void what_a_request_cant_ask_for(void **state)
{
	static const struct {
		u8 type, extended;
		u32 qpn, mtu, reason;
	} bad[] = {
		{ HCA_CM_SERVICE_RD, 0, 0x100, HCA_MTU_1024, HCA_CM_REJ_INVALID_TRANSPORT },
		{ HCA_CM_SERVICE_EXTENDED, 0, 0x100, HCA_MTU_1024, HCA_CM_REJ_INVALID_TRANSPORT },
		{ HCA_CM_SERVICE_EXTENDED, 2, 0x100, HCA_MTU_1024, HCA_CM_REJ_INVALID_TRANSPORT },
		{ HCA_CM_SERVICE_RC, 0, 0, HCA_MTU_1024, HCA_CM_REJ_UNSUPPORTED },
		{ HCA_CM_SERVICE_RC, 0, 1, HCA_MTU_1024, HCA_CM_REJ_UNSUPPORTED },
		{ HCA_CM_SERVICE_UC, 0, 0x100, 0, HCA_CM_REJ_INVALID_MTU },
		{ HCA_CM_SERVICE_UC, 0, 0x100, HCA_MTU_4096 + 1, HCA_CM_REJ_INVALID_MTU },
	};
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(bad); i++) {
		struct hca_cm_msg req = make_req(bad[i].qpn);

		open_cms(0);
		listener = listen_at(1, SERVICE);
		req.attr = HCA_CM_REQ;
		req.local_comm_id = 77;
		req.service_type = bad[i].type;
		req.extended_type = bad[i].extended;
		req.path_mtu = (u8)bad[i].mtu;
		inject(1, &req);
		expect_sent(1, HCA_CM_REJ, 0);
		assert_int_equal(last_sent[1].reason, bad[i].reason);
		assert_int_equal(last_sent[1].remote_comm_id, 77);
		assert_int_equal(requested, 0);
		assert_int_equal(cms[1].ids, 1);
		hca_cm_destroy(listener);
		close_cms();
	}
}

/* --- stale and unknown --- */

static void a_stale_queue_pair(void **state)
{
	struct hca_cm_msg req = make_req(0x100);

	(void)state;
	make_connection();
	/* The peer has forgotten the connection, and begins another with the same queue pair. */
	req.attr = HCA_CM_REQ;
	req.ca_guid = GUID(0);
	req.local_comm_id = a->id->comm_id + 0x10000;
	inject(1, &req);
	assert_int_equal(requested, 1);
	assert_int_equal(sent[1][looked[1]], HCA_CM_REJ);
	expect_sent(1, HCA_CM_REJ, HCA_CM_DREQ, 0);
	/* Ours still knew it. */
	expect_event(a, HCA_CM_EVENT_DISCONNECT, 0);
	assert_int_equal(hca_cm_disconnect(a->id, NULL, 0), 0);
	settle();
	expect_event(b, HCA_CM_EVENT_DISCONNECTED, 0);
	/* In timewait it is as stale. */
	inject(1, &req);
	expect_sent(1, HCA_CM_REJ, 0);
	assert_int_equal(last_sent[1].reason, HCA_CM_REJ_STALE_CONN);
	assert_int_equal(last_sent[1].about, HCA_CM_ABOUT_REQ);
	assert_int_equal(last_sent[1].remote_comm_id, req.local_comm_id);
	pass(10 * MS);
	expect_event(a, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	expect_event(b, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	/* And after it, it is new. */
	inject(1, &req);
	assert_int_equal(requested, 2);
	hca_cm_destroy(users[1].id);
	end_connection();
}

/* The same comm ID for another queue pair: the peer began anew. */
static void a_stale_comm_id(void **state)
{
	struct hca_cm_msg req = make_req(0x101);

	(void)state;
	make_connection();
	req.attr = HCA_CM_REQ;
	req.ca_guid = GUID(0);
	req.local_comm_id = a->id->comm_id;
	inject(1, &req);
	expect_sent(1, HCA_CM_REJ, HCA_CM_DREQ, 0);
	assert_int_equal(requested, 1);
	expect_event(a, HCA_CM_EVENT_DISCONNECT, 0);
	assert_int_equal(hca_cm_disconnect(a->id, NULL, 0), 0);
	settle();
	expect_event(b, HCA_CM_EVENT_DISCONNECTED, 0);
	/* The same as a while ago, in timewait. */
	req.qpn = 0x100;
	inject(1, &req);
	expect_sent(1, HCA_CM_REJ, 0);
	assert_int_equal(last_sent[1].reason, HCA_CM_REJ_STALE_CONN);
	pass(10 * MS);
	expect_event(a, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	expect_event(b, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	end_connection();
}

/* A peer that says "stale" to a request keeps its queue pair in timewait. */
static void our_queue_pair_is_stale(void **state)
{
	struct hca_cm_msg rej = { .attr = HCA_CM_REJ, .reason = HCA_CM_REJ_STALE_CONN };

	(void)state;
	begin_connection();
	rej.remote_comm_id = a->id->comm_id;
	inject(0, &rej);
	assert_int_equal(expect_event(a, HCA_CM_EVENT_REJECTED, 0)->reason, HCA_CM_REJ_STALE_CONN);
	expect_state(a, HCA_CM_TIMEWAIT);
	pass(10 * MS);
	expect_event(a, HCA_CM_EVENT_TIMEWAIT_EXIT, 0);
	end_connection();
}

/* A second connection whose REP names a queue pair that the first has. */
static void a_stale_reply(void **state)
{
	static struct user second;

	(void)state;
	make_connection();
	create(0, &second);
	connect_to(1, &second, 0x102);
	settle();
	expect_event(&users[1], HCA_CM_EVENT_REQUEST, 0);
	assert_int_equal(hca_cm_accept(users[1].id, &(const struct hca_cm_msg){ .qpn = 0x200 }), 0);
	settle();
	expect_sent(0, HCA_CM_REQ, HCA_CM_REJ, 0);
	assert_int_equal(last_sent[0].reason, HCA_CM_REJ_STALE_CONN);
	assert_int_equal(last_sent[0].about, HCA_CM_ABOUT_REP);
	expect_event(&second, HCA_CM_EVENT_REJECTED, -ESTALE);
	expect_event(&users[1], HCA_CM_EVENT_REJECTED, 0);
	expect_state(a, HCA_CM_ESTABLISHED);
	hca_cm_destroy(second.id);
	hca_cm_destroy(users[1].id);
	end_connection();
}

static void what_we_dont_know(void **state)
{
	static const u16 silent[] = { HCA_CM_MRA, HCA_CM_REJ, HCA_CM_RTU, HCA_CM_DREP, HCA_CM_APR, HCA_CM_SIDR_REP };
	struct hca_cm_msg m = { .tid = 0x1234, .local_comm_id = 0x111, .remote_comm_id = 0x222 };
	u32 i;

	(void)state;
	open_cms(0);
	for (i = 0; i < HCA_ARRAY_SIZE(silent); i++) {
		m.attr = silent[i];
		inject(1, &m);
		expect_sent(1, 0);
	}
	m.attr = HCA_CM_DREQ;
	inject(1, &m);
	expect_sent(1, HCA_CM_DREP, 0);
	assert_int_equal(last_sent[1].tid, 0x1234);
	assert_int_equal(last_sent[1].local_comm_id, 0x222);
	assert_int_equal(last_sent[1].remote_comm_id, 0x111);
	m.attr = HCA_CM_REP;
	inject(1, &m);
	expect_sent(1, HCA_CM_REJ, 0);
	assert_int_equal(last_sent[1].reason, HCA_CM_REJ_INVALID_COMM_ID);
	assert_int_equal(last_sent[1].about, HCA_CM_ABOUT_REP);
	m.attr = HCA_CM_LAP;
	inject(1, &m);
	expect_sent(1, HCA_CM_APR, 0);
	assert_int_equal(last_sent[1].status, HCA_CM_APR_INVALID_COMM_ID);
	close_cms();
}

/* Each message with one of the connection's numbers wrong changes nothing. */
static void another_connections_messages(void **state)
{
	static const u16 attrs[] = { HCA_CM_RTU,  HCA_CM_MRA, HCA_CM_REJ, HCA_CM_DREQ,
				     HCA_CM_DREP, HCA_CM_REP, HCA_CM_LAP };
	u32 i, wrong, side;

	(void)state;
	make_connection();
	for (side = 0; side < 2; side++) {
		for (i = 0; i < HCA_ARRAY_SIZE(attrs); i++) {
			for (wrong = 0; wrong < 3; wrong++) {
				struct hca_cm_msg m = { .attr = attrs[i], .about = HCA_CM_ABOUT_REP };

				m.local_comm_id = (side ? a : b)->id->comm_id;
				m.remote_comm_id = (side ? b : a)->id->comm_id;
				m.qpn = side ? 0x200 : 0x100;
				if (wrong == 0)
					m.local_comm_id ^= 1u << 20;
				else if (wrong == 1)
					m.remote_comm_id += 0x10000; /* the same index, another generation */
				else if (attrs[i] == HCA_CM_DREQ)
					m.qpn++;
				else
					continue;
				inject(side, &m);
				expect_state(a, HCA_CM_ESTABLISHED);
				expect_state(b, HCA_CM_ESTABLISHED);
			}
		}
	}
	no_more_events(a);
	no_more_events(b);
	end_connection();
}

/* Of the right connection, but at the wrong time, or to the wrong side. */
static void what_comes_again_does_nothing(void **state)
{
	u32 side;

	(void)state;
	make_connection();
	for (side = 0; side < 2; side++) {
		struct hca_cm_msg m = { .local_comm_id = (side ? a : b)->id->comm_id,
					.remote_comm_id = (side ? b : a)->id->comm_id };

		m.attr = HCA_CM_RTU;
		inject(side, &m);
		m.attr = HCA_CM_DREP;
		inject(side, &m);
		m.attr = HCA_CM_MRA;
		for (m.about = 0; m.about < 3; m.about++)
			inject(side, &m);
		expect_sent(side, 0);
	}
	/* A REP to the active side is answered, to the passive it isn't. */
	inject(0, &(const struct hca_cm_msg){
			  .attr = HCA_CM_REP, .local_comm_id = b->id->comm_id, .remote_comm_id = a->id->comm_id });
	expect_sent(0, HCA_CM_RTU, 0);
	inject(1, &(const struct hca_cm_msg){
			  .attr = HCA_CM_REP, .local_comm_id = a->id->comm_id, .remote_comm_id = b->id->comm_id });
	expect_sent(1, 0);
	expect_state(a, HCA_CM_ESTABLISHED);
	expect_state(b, HCA_CM_ESTABLISHED);
	end_connection();
}

static void no_alternate_paths(void **state)
{
	struct hca_cm_msg lap = { .attr = HCA_CM_LAP, .tid = 0x77 };

	(void)state;
	make_connection();
	lap.local_comm_id = b->id->comm_id;
	lap.remote_comm_id = a->id->comm_id;
	inject(0, &lap);
	expect_sent(0, HCA_CM_APR, 0);
	assert_int_equal(last_sent[0].status, HCA_CM_APR_UNSUPPORTED);
	assert_int_equal(last_sent[0].tid, 0x77);
	assert_int_equal(last_sent[0].local_comm_id, a->id->comm_id);
	assert_int_equal(last_sent[0].remote_comm_id, b->id->comm_id);
	/* The RTU is still what a REP gets. */
	inject(0, &(const struct hca_cm_msg){
			  .attr = HCA_CM_REP, .local_comm_id = b->id->comm_id, .remote_comm_id = a->id->comm_id });
	expect_sent(0, HCA_CM_RTU, 0);
	end_connection();
}

/* --- calls at the wrong time --- */

static void what_cant_be_called(void **state)
{
	const struct hca_cm_msg m = { .reason = HCA_CM_REJ_CONSUMER };
	struct hca_ah_attr to = way_to(1);
	struct hca_cm_msg req = make_req(0x100);
	static u8 bytes[HCA_CM_PRIVATE_MAX + 1];

	(void)state;
	open_cms(0);
	a = &active_user;
	create(0, a);
	assert_int_equal(hca_cm_accept(a->id, &m), -EINVAL);
	assert_int_equal(hca_cm_ready(a->id, NULL, 0), -EINVAL);
	assert_int_equal(hca_cm_reject(a->id, &m), -EINVAL);
	assert_int_equal(hca_cm_delay(a->id, 1, NULL, 0), -EINVAL);
	assert_int_equal(hca_cm_establish(a->id), -EINVAL);
	assert_int_equal(hca_cm_disconnect(a->id, NULL, 0), -EINVAL);
	assert_int_equal(hca_cm_sidr_answer(a->id, &m), -EINVAL);
	/* Too much, and too large: then nothing has begun. */
	req.private_data = bytes;
	req.private_len = 93;
	assert_int_equal(hca_cm_connect(a->id, &to, &req), -EINVAL);
	req.private_len = 0;
	req.psn = 1 << 24;
	assert_int_equal(hca_cm_connect(a->id, &to, &req), -EINVAL);
	expect_state(a, HCA_CM_IDLE);
	expect_sent(0, 0);
	hca_cm_destroy(a->id);
	close_cms();

	begin_connection();
	assert_int_equal(hca_cm_connect(a->id, &to, &req), -EINVAL);
	assert_int_equal(hca_cm_connect(b->id, &to, &req), -EINVAL);
	assert_int_equal(hca_cm_listen(a->id, SERVICE, ~0ull, NULL, 0), -EINVAL);
	assert_int_equal(hca_cm_delay(b->id, 32, NULL, 0), -EINVAL);
	assert_int_equal(hca_cm_delay(b->id, 1, bytes, 223), -EINVAL);
	assert_int_equal(hca_cm_delay(b->id, 1, bytes, 256 + 1), -EINVAL);
	expect_state(b, HCA_CM_REQ_RCVD);
	accept_it();
	settle();
	expect_event(a, HCA_CM_EVENT_REPLY, 0);
	assert_int_equal(hca_cm_ready(a->id, bytes, 225), -EINVAL);
	assert_int_equal(hca_cm_ready(a->id, bytes, 224), 0);
	settle();
	expect_event(b, HCA_CM_EVENT_ESTABLISHED, 0);
	assert_int_equal(hca_cm_disconnect(a->id, bytes, 221), -EINVAL);
	expect_state(a, HCA_CM_ESTABLISHED);
	assert_int_equal(hca_cm_disconnect(a->id, bytes, 220), 0);
	settle();
	expect_event(b, HCA_CM_EVENT_DISCONNECT, 0);
	assert_int_equal(hca_cm_disconnect(b->id, bytes, 256 + 224), -EINVAL);
	end_connection();
}

static void bytes_that_are_no_message(void **state)
{
	struct hca_ah_attr from = way_to(0);
	u8 mad[HCA_MAD_BYTES + 1] = { 0 };
	u32 i;

	(void)state;
	make_connection();
	for (i = 0; i < sizeof(mad); i++)
		hca_cm_recv(&cms[1], &from, mad, i);
	memcpy(mad, last_bytes[0], HCA_MAD_BYTES);
	mad[1] = 0x03;
	hca_cm_recv(&cms[1], &from, mad, HCA_MAD_BYTES);
	settle();
	expect_sent(1, 0);
	end_connection();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(fields_arrive),
		T(either_side_disconnects),
		T(both_disconnect_at_once),
		T(a_consumer_knows_first),
		T(nobody_listens),
		T(a_consumer_rejects),
		T(a_reply_is_rejected),
		T(a_lost_rejection_is_repeated),
		T(what_a_request_cant_ask_for),
		T(a_stale_queue_pair),
		T(a_stale_comm_id),
		T(our_queue_pair_is_stale),
		T(a_stale_reply),
		T(what_we_dont_know),
		T(another_connections_messages),
		T(what_comes_again_does_nothing),
		T(no_alternate_paths),
		T(what_cant_be_called),
		T(bytes_that_are_no_message),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
