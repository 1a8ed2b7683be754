/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The communication manager against a model of IBTA's states (vol. 1, 12.9.5 to 12.9.7), by random walks: one end of a
 * connection gets calls, messages and timeouts in any order, and after each of them its state, what it has sent and
 * what it has told must be what the model says. Every step of the table must have been made in the end.
 */
#include "cm_fixture.h"

#define WALKS 4000u
#define STEPS 60u
#define PEER_ID 0x5555u
#define PEER_QPN 0x200u
#define OWN_QPN 0x300u
#define SERVICE_CODE 12u

/* --- the model --- */

struct model {
	enum hca_cm_state state;
	bool active;
	bool replied; /* a REP has gone or come */
	bool named; /* the peer's ID is known */
	bool delayed; /* the peer has asked for time */
	u64 deadline; /* 0: it waits for nothing */
	u32 tries; /* that are left */
	u32 kept; /* which message is repeated */
};

struct outcome {
	bool refused; /* of a call */
	u32 sent; /* attribute; 0: nothing */
	u32 reason; /* of a REJ */
	enum hca_cm_event_type told;
	int status;
};

static u64 timewait_ns(const struct model *m)
{
	return CODE_NS(ACK_TIMEOUT) + (m->active && m->replied ? CODE_NS(0) : 0);
}

static void wait_for_answer(struct model *m)
{
	m->deadline = hca_now_ns() + TRY_NS;
}

static struct outcome go(struct model *m, enum hca_cm_state next, enum hca_cm_event_type told)
{
	m->state = next;
	m->deadline = next == HCA_CM_TIMEWAIT ? hca_now_ns() + timewait_ns(m) : 0;
	return (struct outcome){ .told = told };
}

static struct outcome say(struct model *m, enum hca_cm_state next, u32 attr, u32 reason, enum hca_cm_event_type told)
{
	struct outcome o = go(m, next, told);

	o.sent = attr;
	o.reason = reason;
	m->kept = attr;
	return o;
}

static const struct outcome nothing, refused = { .refused = true };

/* The state stays; the last message goes again, and the time that is waited for the answer isn't longer for it. */
static struct outcome again(const struct model *m)
{
	return (struct outcome){ .sent = m->kept };
}

/* What a REJ that comes does: before a REP nothing is left of the connection, unless its queue pair is stale. */
static struct outcome rejected(struct model *m, bool stale)
{
	enum hca_cm_event_type told = m->state == HCA_CM_DREQ_SENT ? HCA_CM_EVENT_DISCONNECTED : HCA_CM_EVENT_REJECTED;

	return go(m, m->replied || (stale && m->active) ? HCA_CM_TIMEWAIT : HCA_CM_CLOSED, told);
}

static struct outcome active_asking(struct model *m, enum hca_cm_input input)
{
	struct outcome o;

	switch (input) {
	case HCA_CM_GOT_MRA_REQ:
		if (m->delayed)
			return nothing;
		m->delayed = true;
		o = go(m, HCA_CM_REP_WAIT, HCA_CM_EVENT_MRA);
		m->deadline = hca_now_ns() + CODE_NS(SERVICE_CODE) + TRY_NS;
		return o;
	case HCA_CM_GOT_REP:
		m->replied = m->named = true;
		return go(m, HCA_CM_REP_RCVD, HCA_CM_EVENT_REPLY);
	case HCA_CM_GOT_REP_STALE:
		m->named = true;
		o = say(m, HCA_CM_TIMEWAIT, HCA_CM_REJ, HCA_CM_REJ_STALE_CONN, HCA_CM_EVENT_REJECTED);
		o.status = -ESTALE;
		return o;
	case HCA_CM_GOT_LATE:
		o = again(m);
		m->state = HCA_CM_REQ_SENT;
		wait_for_answer(m);
		return o;
	case HCA_CM_GOT_END:
		o = say(m, HCA_CM_CLOSED, HCA_CM_REJ, HCA_CM_REJ_TIMEOUT, HCA_CM_EVENT_UNREACHABLE);
		o.status = -ETIMEDOUT;
		return o;
	case HCA_CM_DO_DESTROY:
		return say(m, HCA_CM_CLOSED, HCA_CM_REJ, HCA_CM_REJ_TIMEOUT, HCA_CM_EVENT_NONE);
	default:
		return input < HCA_CM_GOT_REQ ? refused : nothing;
	}
}

/* The consumer is to answer a REQ (passive) or a REP (active). */
static struct outcome consumers_turn(struct model *m, enum hca_cm_input input)
{
	bool delayed = m->state == HCA_CM_MRA_REQ_SENT || m->state == HCA_CM_MRA_REP_SENT;

	switch (input) {
	case HCA_CM_DO_ACCEPT:
		if (m->active)
			return refused;
		m->replied = true;
		m->tries = RETRIES;
		(void)say(m, HCA_CM_REP_SENT, HCA_CM_REP, 0, HCA_CM_EVENT_NONE);
		wait_for_answer(m);
		return (struct outcome){ .sent = HCA_CM_REP };
	case HCA_CM_DO_READY:
		return m->active ? say(m, HCA_CM_ESTABLISHED, HCA_CM_RTU, 0, HCA_CM_EVENT_NONE) : refused;
	case HCA_CM_DO_DELAY:
		if (delayed)
			return refused;
		return say(m, m->active ? HCA_CM_MRA_REP_SENT : HCA_CM_MRA_REQ_SENT, HCA_CM_MRA, 0, HCA_CM_EVENT_NONE);
	case HCA_CM_DO_REJECT:
	case HCA_CM_DO_DESTROY:
		return say(m, m->active ? HCA_CM_TIMEWAIT : HCA_CM_CLOSED, HCA_CM_REJ, HCA_CM_REJ_CONSUMER,
			   HCA_CM_EVENT_NONE);
	case HCA_CM_GOT_REQ:
		return delayed && !m->active ? again(m) : nothing;
	case HCA_CM_GOT_REP:
		return delayed && m->active ? again(m) : nothing;
	case HCA_CM_GOT_DREQ:
		return m->active ? go(m, HCA_CM_DREQ_RCVD, HCA_CM_EVENT_DISCONNECT) : nothing;
	default:
		return input < HCA_CM_GOT_REQ ? refused : nothing;
	}
}

static struct outcome passive_replied(struct model *m, enum hca_cm_input input)
{
	struct outcome o;

	switch (input) {
	case HCA_CM_GOT_REQ:
		return m->state == HCA_CM_REP_SENT ? again(m) : nothing;
	case HCA_CM_GOT_MRA_REP:
		if (m->delayed)
			return nothing;
		m->delayed = true;
		o = go(m, HCA_CM_MRA_REP_RCVD, HCA_CM_EVENT_MRA);
		m->deadline = hca_now_ns() + CODE_NS(SERVICE_CODE) + TRY_NS;
		return o;
	case HCA_CM_GOT_RTU:
	case HCA_CM_DO_ESTABLISH:
		return go(m, HCA_CM_ESTABLISHED, HCA_CM_EVENT_ESTABLISHED);
	case HCA_CM_GOT_DREQ:
		return go(m, HCA_CM_DREQ_RCVD, HCA_CM_EVENT_DISCONNECT);
	case HCA_CM_GOT_LATE:
		o = again(m);
		m->state = HCA_CM_REP_SENT;
		wait_for_answer(m);
		return o;
	case HCA_CM_GOT_END:
		o = say(m, HCA_CM_TIMEWAIT, HCA_CM_REJ, HCA_CM_REJ_TIMEOUT, HCA_CM_EVENT_UNREACHABLE);
		o.status = -ETIMEDOUT;
		return o;
	case HCA_CM_DO_REJECT:
	case HCA_CM_DO_DESTROY:
		return say(m, HCA_CM_TIMEWAIT, HCA_CM_REJ, HCA_CM_REJ_CONSUMER, HCA_CM_EVENT_NONE);
	default:
		return input < HCA_CM_GOT_REQ ? refused : nothing;
	}
}

static struct outcome disconnect(struct model *m)
{
	m->tries = RETRIES;
	(void)say(m, HCA_CM_DREQ_SENT, HCA_CM_DREQ, 0, HCA_CM_EVENT_NONE);
	wait_for_answer(m);
	return (struct outcome){ .sent = HCA_CM_DREQ };
}

static struct outcome established(struct model *m, enum hca_cm_input input)
{
	switch (input) {
	case HCA_CM_DO_DISCONNECT:
	case HCA_CM_DO_DESTROY:
	case HCA_CM_GOT_STALE:
		return disconnect(m);
	case HCA_CM_GOT_REP:
		return m->active ? again(m) : nothing;
	case HCA_CM_GOT_DREQ:
		return go(m, HCA_CM_DREQ_RCVD, HCA_CM_EVENT_DISCONNECT);
	case HCA_CM_GOT_LAP:
		return (struct outcome){ .sent = HCA_CM_APR };
	default:
		return input < HCA_CM_GOT_REQ ? refused : nothing;
	}
}

static struct outcome disconnecting(struct model *m, enum hca_cm_input input)
{
	struct outcome o;

	switch (input) {
	case HCA_CM_GOT_DREQ:
		return say(m, HCA_CM_TIMEWAIT, HCA_CM_DREP, 0, HCA_CM_EVENT_DISCONNECTED);
	case HCA_CM_GOT_DREP:
		return go(m, HCA_CM_TIMEWAIT, HCA_CM_EVENT_DISCONNECTED);
	case HCA_CM_GOT_LATE:
		wait_for_answer(m);
		return again(m);
	case HCA_CM_GOT_END:
		o = go(m, HCA_CM_TIMEWAIT, HCA_CM_EVENT_DISCONNECTED);
		o.status = -ETIMEDOUT;
		return o;
	case HCA_CM_DO_DESTROY:
		return nothing;
	default:
		return input < HCA_CM_GOT_REQ ? refused : nothing;
	}
}

static struct outcome at_the_end(struct model *m, enum hca_cm_input input)
{
	if (input == HCA_CM_DO_DESTROY)
		return m->state == HCA_CM_DREQ_RCVD ? say(m, HCA_CM_TIMEWAIT, HCA_CM_DREP, 0, HCA_CM_EVENT_NONE) :
						      nothing;
	if (input == HCA_CM_DO_DISCONNECT && m->state == HCA_CM_DREQ_RCVD)
		return say(m, HCA_CM_TIMEWAIT, HCA_CM_DREP, 0, HCA_CM_EVENT_NONE);
	if (m->state == HCA_CM_TIMEWAIT) {
		if (input == HCA_CM_GOT_END)
			return go(m, HCA_CM_CLOSED, HCA_CM_EVENT_TIMEWAIT_EXIT);
		if (input == HCA_CM_GOT_DREQ)
			return (struct outcome){ .sent = HCA_CM_DREP };
		if (input == HCA_CM_GOT_REQ || (input == HCA_CM_GOT_REP && m->named))
			return (struct outcome){ .sent = HCA_CM_REJ, .reason = HCA_CM_REJ_STALE_CONN };
	}
	return input < HCA_CM_GOT_REQ ? refused : nothing;
}

static struct outcome predict(struct model *m, enum hca_cm_input input)
{
	if ((input == HCA_CM_GOT_REJ || input == HCA_CM_GOT_REJ_STALE) && m->state < HCA_CM_DREQ_RCVD)
		return rejected(m, input == HCA_CM_GOT_REJ_STALE);
	switch (m->state) {
	case HCA_CM_REQ_SENT:
	case HCA_CM_REP_WAIT:
		return active_asking(m, input);
	case HCA_CM_REQ_RCVD:
	case HCA_CM_MRA_REQ_SENT:
	case HCA_CM_REP_RCVD:
	case HCA_CM_MRA_REP_SENT:
		return consumers_turn(m, input);
	case HCA_CM_REP_SENT:
	case HCA_CM_MRA_REP_RCVD:
		return passive_replied(m, input);
	case HCA_CM_ESTABLISHED:
		return established(m, input);
	case HCA_CM_DREQ_SENT:
		return disconnecting(m, input);
	default:
		return at_the_end(m, input);
	}
}

/* --- the manager --- */

static struct model model;
static struct user *own;
static struct user mine;
static u32 own_id;
static u8 made[HCA_CM_STATES][HCA_CM_INPUTS];

/* Side 0 is the walk itself: what is sent to it is only counted. */
static void bring(struct hca_cm_msg m)
{
	struct hca_ah_attr from = way_to(0);
	u8 mad[HCA_MAD_BYTES];

	assert_int_equal(hca_cm_encode(&m, mad), 0);
	hca_cm_recv(&cms[1], &from, mad, sizeof(mad));
}

static struct hca_cm_msg peers_req(void)
{
	struct hca_cm_msg m = make_req(PEER_QPN);

	m.attr = HCA_CM_REQ;
	m.local_comm_id = PEER_ID;
	m.ca_guid = GUID(0);
	return m;
}

static void bring_message(enum hca_cm_input input)
{
	struct hca_cm_msg m = { .local_comm_id = PEER_ID, .remote_comm_id = own_id, .ca_guid = GUID(0) };

	switch (input) {
	case HCA_CM_GOT_REQ:
		m = peers_req();
		break;
	case HCA_CM_GOT_STALE:
		m = peers_req();
		m.local_comm_id++;
		break;
	case HCA_CM_GOT_MRA_REQ:
	case HCA_CM_GOT_MRA_REP:
		m.attr = HCA_CM_MRA;
		m.about = input == HCA_CM_GOT_MRA_REQ ? HCA_CM_ABOUT_REQ : HCA_CM_ABOUT_REP;
		m.service_timeout = SERVICE_CODE;
		break;
	case HCA_CM_GOT_REP:
	case HCA_CM_GOT_REP_STALE:
		m.attr = HCA_CM_REP;
		m.qpn = input == HCA_CM_GOT_REP ? PEER_QPN : 1;
		break;
	case HCA_CM_GOT_RTU:
		m.attr = HCA_CM_RTU;
		break;
	case HCA_CM_GOT_REJ:
	case HCA_CM_GOT_REJ_STALE:
		m.attr = HCA_CM_REJ;
		m.reason = input == HCA_CM_GOT_REJ ? HCA_CM_REJ_CONSUMER : HCA_CM_REJ_STALE_CONN;
		break;
	case HCA_CM_GOT_DREQ:
		m.attr = HCA_CM_DREQ;
		m.qpn = OWN_QPN;
		break;
	case HCA_CM_GOT_DREP:
		m.attr = HCA_CM_DREP;
		break;
	default:
		m.attr = HCA_CM_LAP;
	}
	bring(m);
}

static int call(enum hca_cm_input input)
{
	const struct hca_cm_msg rej = { .reason = HCA_CM_REJ_CONSUMER };
	struct hca_cm_msg rep = make_rep(OWN_QPN);

	switch (input) {
	case HCA_CM_DO_ACCEPT:
		return hca_cm_accept(own->id, &rep);
	case HCA_CM_DO_READY:
		return hca_cm_ready(own->id, NULL, 0);
	case HCA_CM_DO_REJECT:
		return hca_cm_reject(own->id, &rej);
	case HCA_CM_DO_DELAY:
		return hca_cm_delay(own->id, SERVICE_CODE, NULL, 0);
	case HCA_CM_DO_ESTABLISH:
		return hca_cm_establish(own->id);
	case HCA_CM_DO_DISCONNECT:
		return hca_cm_disconnect(own->id, NULL, 0);
	default:
		hca_cm_destroy(own->id);
		own->id = NULL;
		return 0;
	}
}

/* --- a walk --- */

static void compare(const struct outcome *o)
{
	if (o->sent) {
		expect_sent(1, o->sent, 0);
		if (o->sent == HCA_CM_REJ)
			assert_int_equal(last_sent[1].reason, o->reason);
		assert_int_equal(last_sent[1].remote_comm_id, model.named ? PEER_ID : 0);
	} else {
		expect_sent(1, 0);
	}
	if (o->told)
		expect_event(own, o->told, o->status);
	no_more_events(own);
	if (own->id)
		expect_state(own, model.state);
	mads = 0;
}

/* Is the peer known to us, so that its REQ can be a repetition, or stale? */
static bool knows_peer(void)
{
	return model.state != HCA_CM_CLOSED && (!model.active || model.replied);
}

/* Inputs that say nothing about this connection, in this state, aren't brought. */
static bool makes_sense(enum hca_cm_input input)
{
	switch (input) {
	case HCA_CM_GOT_REQ:
		return !model.active && model.state != HCA_CM_CLOSED;
	case HCA_CM_GOT_STALE:
		return knows_peer();
	case HCA_CM_GOT_REP_STALE:
		return model.state == HCA_CM_REQ_SENT || model.state == HCA_CM_REP_WAIT;
	default:
		/* What is closed is unknown, and test_cm looks at that. */
		return model.state != HCA_CM_CLOSED || input <= HCA_CM_DO_DISCONNECT;
	}
}

/* Which messages are the active side's, and which the passive's; a message for the other side changes nothing. */
static bool wrong_side(enum hca_cm_input input)
{
	if (input == HCA_CM_GOT_MRA_REQ || input == HCA_CM_GOT_REP)
		return !model.active;
	return (input == HCA_CM_GOT_MRA_REP || input == HCA_CM_GOT_RTU) && model.active;
}

/* Before a REP the active side knows no ID of the peer's, so that only a REP, an MRA and a REJ can be for it. */
static bool from_a_stranger(enum hca_cm_input input)
{
	bool asking = model.state == HCA_CM_REQ_SENT || model.state == HCA_CM_REP_WAIT;

	if (model.named || input == HCA_CM_GOT_MRA_REQ || input == HCA_CM_GOT_REJ || input == HCA_CM_GOT_REJ_STALE)
		return false;
	return !asking || (input != HCA_CM_GOT_REP && input != HCA_CM_GOT_REP_STALE);
}

static struct outcome answer_to_a_stranger(enum hca_cm_input input)
{
	return (struct outcome){ .sent = input == HCA_CM_GOT_DREQ ? HCA_CM_DREP :
					 input == HCA_CM_GOT_LAP  ? HCA_CM_APR :
								    0 };
}

static void take_message(enum hca_cm_input input)
{
	struct outcome o = nothing;

	if (!makes_sense(input))
		return;
	if (from_a_stranger(input)) {
		o = answer_to_a_stranger(input);
		bring_message(input);
		if (o.sent)
			expect_sent(1, o.sent, 0);
		compare(&nothing);
		return;
	}
	/* A DREQ must name our queue pair, which the passive side has with its REP. */
	if (input == HCA_CM_GOT_DREQ && !model.active && !model.replied) {
		o = answer_to_a_stranger(input);
	} else if (!wrong_side(input)) {
		made[model.state][input] = 1;
		o = predict(&model, input);
	}
	bring_message(input);
	if (input == HCA_CM_GOT_STALE) {
		/* The new request is rejected first; then the connection that it makes stale ends. */
		assert_int_equal(sent[1][looked[1]++ % NOTES], HCA_CM_REJ);
		test_clock_advance(0);
	}
	compare(&o);
}

static void let_time_pass(void)
{
	u64 now = hca_now_ns();
	enum hca_cm_input input = HCA_CM_GOT_END;
	struct outcome o;

	if (!model.deadline) {
		test_clock_advance(1000 * MS);
		compare(&nothing);
		return;
	}
	test_clock_advance(model.deadline - now - 1);
	compare(&nothing);
	if (hca_random_u32() % 2)
		return;
	test_clock_advance(1);
	if (model.state != HCA_CM_TIMEWAIT && model.tries) {
		model.tries--;
		input = HCA_CM_GOT_LATE;
	}
	made[model.state][input] = 1;
	o = predict(&model, input);
	compare(&o);
}

static void make_call(enum hca_cm_input input)
{
	struct outcome o;
	int err;

	made[model.state][input] = 1;
	o = predict(&model, input);
	err = call(input);
	assert_int_equal(err, o.refused ? -EINVAL : 0);
	test_clock_advance(0);
	compare(&o);
}

static void begin_walk(void)
{
	struct hca_ah_attr to = way_to(0);
	struct hca_cm_msg req = make_req(OWN_QPN);

	open_cms(0);
	listener = listen_at(1, SERVICE);
	memset(&model, 0, sizeof(model));
	model.active = hca_random_u32() % 2;
	if (model.active) {
		own = &mine;
		create(1, own);
		assert_int_equal(hca_cm_connect(own->id, &to, &req), 0);
		model.state = HCA_CM_REQ_SENT;
		model.tries = RETRIES;
		model.kept = HCA_CM_REQ;
		wait_for_answer(&model);
		expect_sent(1, HCA_CM_REQ, 0);
	} else {
		own = &users[0];
		bring(peers_req());
		expect_event(own, HCA_CM_EVENT_REQUEST, 0);
		model.state = HCA_CM_REQ_RCVD;
		model.named = true;
	}
	own_id = own->id->comm_id;
	mads = 0;
}

static void end_walk(void)
{
	if (own->id)
		make_call(HCA_CM_DO_DESTROY);
	test_clock_advance(2000 * MS);
	assert_int_equal(cms[1].ids, 1);
	hca_cm_destroy(listener);
	close_cms();
}

static void walk(void)
{
	static const enum hca_cm_input calls[] = { HCA_CM_DO_ACCEPT, HCA_CM_DO_READY,	  HCA_CM_DO_REJECT,
						   HCA_CM_DO_DELAY,  HCA_CM_DO_ESTABLISH, HCA_CM_DO_DISCONNECT,
						   HCA_CM_DO_ACCEPT, HCA_CM_DO_READY };
	u32 i, k, patience; /* of 16 steps, so many let time pass */

	begin_walk();
	patience = hca_random_u32() % 3 ? 3 : 9;
	for (i = 0; i < STEPS && own->events < 14; i++) {
		k = hca_random_u32() % 16;
		if (k < 4)
			make_call(calls[hca_random_u32() % HCA_ARRAY_SIZE(calls)]);
		else if (k < 4 + patience)
			let_time_pass();
		else
			take_message((enum hca_cm_input)(HCA_CM_GOT_REQ +
							 hca_random_u32() % (HCA_CM_GOT_SIDR_REP - HCA_CM_GOT_REQ)));
		if (k == 15)
			take_message(HCA_CM_GOT_STALE);
		if (hca_random_u32() % 40 == 0)
			break;
	}
	end_walk();
}

/* Of the states of a connection. */
static void every_step_was_made(void)
{
	u32 state, input;

	for (state = HCA_CM_REQ_SENT; state <= HCA_CM_TIMEWAIT; state++)
		for (input = 0; input < HCA_CM_INPUTS; input++)
			if (hca_cm_rows[state].step[input].next && !made[state][input])
				fail_msg("input %u was never taken in state %u", input, state);
}

static void walks(void **state)
{
	u32 seed;

	(void)state;
	memset(made, 0, sizeof(made));
	for (seed = 1; seed <= WALKS; seed++) {
		test_os_reset(seed);
		walk();
	}
	test_os_reset(1);
	every_step_was_made();
}

/* The state machine is of two tables: this model, which says what happens, and the manager's. Neither has what can't happen. */
static void the_table_is_whole(void **state)
{
	u32 s, input;

	(void)state;
	for (s = HCA_CM_IDLE; s < HCA_CM_STATES; s++) {
		/* Every ID can be destroyed, and then doesn't wait for its consumer. */
		u32 next = hca_cm_rows[s].step[HCA_CM_DO_DESTROY].next;

		assert_true(next == HCA_CM_CLOSED || next == HCA_CM_DREQ_SENT || next == HCA_CM_TIMEWAIT);
		/* Who waits for time has a step for its end, and who doesn't has none. */
		assert_int_equal(hca_cm_rows[s].timer != HCA_CM_TIMER_NONE,
				 hca_cm_rows[s].step[HCA_CM_GOT_END].next != 0);
		for (input = 0; input < HCA_CM_INPUTS; input++) {
			const struct hca_cm_step *step = &hca_cm_rows[s].step[input];

			/* What never had a queue pair needs no timewait. */
			if (s < HCA_CM_REQ_SENT || s > HCA_CM_TIMEWAIT)
				assert_int_not_equal(step->next, HCA_CM_TIMEWAIT);

			assert_true(step->next || (!step->send && !step->event));
			assert_true(step->next < HCA_CM_STATES);
			/* Calls of the consumer's tell it nothing that it knows, but one. */
			if (input < HCA_CM_GOT_REQ && input != HCA_CM_DO_ESTABLISH)
				assert_int_equal(step->event, HCA_CM_EVENT_NONE);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_table_is_whole),
		T(walks),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
