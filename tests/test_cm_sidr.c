/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SIDR by the communication manager: which queue pair has a service? */
#include "cm_fixture.h"

static struct hca_cm_msg question(void)
{
	return (struct hca_cm_msg){
		.service_id = SERVICE,
		.pkey = 0xffff,
		.remote_response_timeout = RESPONSE,
		.max_cm_retries = RETRIES,
		.primary = { .ack_timeout = ACK_TIMEOUT },
		.private_data = (const u8 *)"who",
		.private_len = 3,
	};
}

static void begin_question(void)
{
	struct hca_ah_attr to = way_to(1);
	struct hca_cm_msg req = question();

	open_cms(0);
	listener = listen_at(1, SERVICE);
	a = &active_user;
	b = &users[0];
	memset(b, 0, sizeof(*b));
	create(0, a);
	assert_int_equal(hca_cm_sidr_ask(a->id, &to, &req), 0);
}

static void a_question_is_answered(void **state)
{
	const struct hca_cm_msg rep = {
		.qpn = 0x300, .qkey = 0x80010000, .private_data = (const u8 *)"me", .private_len = 2
	};
	const struct hca_cm_msg *m;

	(void)state;
	begin_question();
	put_on_wire(1, 0, last_bytes[0]); /* twice */
	settle();
	m = expect_event(b, HCA_CM_EVENT_SIDR_REQUEST, 0);
	assert_int_equal(m->service_id, SERVICE);
	assert_int_equal(m->private_len, 216);
	assert_memory_equal(b->data[0], "who", 3);
	assert_int_equal(requested, 1);
	assert_int_equal(hca_cm_sidr_answer(b->id, &rep), 0);
	assert_int_equal(hca_cm_sidr_answer(b->id, &rep), -EINVAL);
	settle();
	m = expect_event(a, HCA_CM_EVENT_SIDR_REPLY, 0);
	assert_int_equal(m->status, HCA_CM_SIDR_VALID);
	assert_int_equal(m->qpn, 0x300);
	assert_int_equal(m->qkey, 0x80010000);
	assert_int_equal(m->service_id, SERVICE);
	assert_int_equal(m->tid, b->msg[0].tid);
	assert_memory_equal(a->data[0], "me", 2);
	expect_sent(0, HCA_CM_SIDR_REQ, 0);
	expect_sent(1, HCA_CM_SIDR_REP, 0);
	end_connection();
}

static void nobody_has_the_service(void **state)
{
	(void)state;
	begin_question();
	hca_cm_destroy(listener);
	settle();
	assert_int_equal(expect_event(a, HCA_CM_EVENT_SIDR_REPLY, 0)->status, HCA_CM_SIDR_UNSUPPORTED);
	listener = listen_at(1, SERVICE);
	end_connection();
}

static void a_question_is_repeated(void **state)
{
	(void)state;
	begin_question();
	pass(TRY_NS + MS);
	expect_event(b, HCA_CM_EVENT_SIDR_REQUEST, 0);
	expect_sent(0, HCA_CM_SIDR_REQ, HCA_CM_SIDR_REQ, 0);
	pass(RETRIES * TRY_NS);
	expect_event(a, HCA_CM_EVENT_UNREACHABLE, -ETIMEDOUT);
	expect_sent(0, HCA_CM_SIDR_REQ, HCA_CM_SIDR_REQ, 0);
	/* Whoever answers now answers nobody. */
	assert_int_equal(hca_cm_sidr_answer(b->id, &(const struct hca_cm_msg){ .qpn = 2 }), 0);
	settle();
	expect_sent(0, 0);
	end_connection();
}

/* The same request ID from elsewhere is another question. */
static void questions_have_a_source(void **state)
{
	struct hca_ah_attr from = way_to(0);
	u32 i;

	(void)state;
	begin_question();
	settle();
	from.is_global = true;
	for (i = 0; i < 4; i++) {
		from.grh.dgid.raw[15] = (u8)(i / 2);
		hca_cm_recv(&cms[1], &from, last_bytes[0], HCA_MAD_BYTES);
	}
	from.is_global = false;
	from.dlid = 2;
	hca_cm_recv(&cms[1], &from, last_bytes[0], HCA_MAD_BYTES);
	settle();
	assert_int_equal(requested, 4);
	for (i = 1; i < requested; i++)
		hca_cm_destroy(users[i].id);
	expect_event(b, HCA_CM_EVENT_SIDR_REQUEST, 0);
	hca_cm_destroy(b->id);
	b->id = NULL;
	settle();
	assert_int_equal(expect_event(a, HCA_CM_EVENT_SIDR_REPLY, 0)->status, HCA_CM_SIDR_REJECT);
	end_connection();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_question_is_answered),
		T(nobody_has_the_service),
		T(a_question_is_repeated),
		T(questions_have_a_source),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
