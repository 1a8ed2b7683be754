/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The small subnet administration: a PathRecord's fields at the places that IBTA vol. 1, 15.2.5.16 gives them, which
 * questions have an answer, and what is refused with which status.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "cm/sa.h"
#include "hca/hca.h"
#include "no_leaks.h"

#define LID 7u
#define PEER 0x0309u

static struct hca_gids gids;
static const struct hca_gid ours = { .raw = { 0xfe, 0x80, [15] = 1 } }, second = { .raw = { 0x20, 1, [15] = 2 } };
static u8 question[HCA_MAD_BYTES], answer[HCA_MAD_BYTES];

static void open_table(void)
{
	u32 index;

	hca_gids_init(&gids);
	assert_int_equal(hca_gid_add(&gids, &ours, &index), 0);
	assert_int_equal(hca_gid_add(&gids, &second, &index), 0);
}

/* A question's header; @mask: which fields it gives. */
static void begin(u32 method, u32 attr, u64 mask)
{
	u32 i;

	memset(question, 0, sizeof(question));
	question[0] = 1;
	question[1] = HCA_MAD_CLASS_SA;
	question[2] = 2;
	question[3] = (u8)method;
	for (i = 0; i < 8; i++)
		question[8 + i] = (u8)(0x11 * (i + 1));
	question[16] = (u8)(attr >> 8);
	question[17] = (u8)attr;
	for (i = 0; i < 8; i++)
		question[48 + i] = (u8)(mask >> (56 - 8 * i));
}

static u32 ask(void)
{
	memset(answer, 0xee, sizeof(answer));
	assert_int_equal(hca_sa_answer(&gids, LID, PEER, question, sizeof(question), answer), 0);
	assert_int_equal(answer[3], (question[3] == HCA_MAD_SET ? HCA_MAD_GET : question[3]) | HCA_MAD_RESPONSE);
	/* The transaction's ID, and the attribute. */
	assert_memory_equal(answer + 8, question + 8, 10);
	return (u32)answer[4] << 8 | answer[5];
}

static u32 ask_path(u64 mask, const struct hca_sa_path *q)
{
	begin(HCA_MAD_GET, HCA_SA_PATH_RECORD, mask);
	assert_int_equal(hca_sa_put(q, question + HCA_SA_DATA), 0);
	return ask();
}

/* Bytes written by hand. */
static void fields_have_their_places(void **state)
{
	static const u8
		bytes[64] = {
			[0] = 1,     [7] = 8,	  [8] = 0xfe,  [9] = 0x80,  [23] = 0x0d, [24] = 0x20,
			[39] = 0x05, [40] = 0x12, [41] = 0x34, [42] = 0x56, [43] = 0x78, [44] = 0x8a,
			[45] = 0xbc, [46] = 0xde, [47] = 0x3f, /* raw, flow label, hop limit */
			[48] = 0x28, [49] = 0xff, [50] = 0xff, [51] = 0xfe, /* class, reversible, paths, P_Key */
			[52] = 0xab, [53] = 0xc9, /* QoS class, SL */
			[54] = 0x85, [55] = 0x43, [56] = 0x12, [57] = 0x77,
		};
	struct hca_sa_path p;
	u8 again[64] = { 0 };

	(void)state;
	hca_sa_get(bytes, &p);
	assert_true(p.service_id == 0x0100000000000008ull);
	assert_int_equal(p.dgid[0], 0xfe);
	assert_int_equal(p.dgid[15], 0x0d);
	assert_int_equal(p.sgid[0], 0x20);
	assert_int_equal(p.sgid[15], 0x05);
	assert_int_equal(p.dlid, 0x1234);
	assert_int_equal(p.slid, 0x5678);
	assert_int_equal(p.raw, 1);
	assert_int_equal(p.flow_label, 0xabcde);
	assert_int_equal(p.hop_limit, 0x3f);
	assert_int_equal(p.traffic_class, 0x28);
	assert_int_equal(p.reversible, 1);
	assert_int_equal(p.numb_path, 0x7f);
	assert_int_equal(p.pkey, 0xfffe);
	assert_int_equal(p.qos_class, 0xabc);
	assert_int_equal(p.sl, 9);
	assert_int_equal(p.mtu_selector, HCA_SA_EXACTLY);
	assert_int_equal(p.mtu, 5);
	assert_int_equal(p.rate_selector, HCA_SA_LESS);
	assert_int_equal(p.rate, 3);
	assert_int_equal(p.life_selector, HCA_SA_GREATER);
	assert_int_equal(p.life, 0x12);
	assert_int_equal(p.preference, 0x77);
	assert_int_equal(hca_sa_put(&p, again), 0);
	assert_memory_equal(again, bytes, sizeof(again));
	p.sl = 16;
	memset(again, 0, sizeof(again));
	assert_int_equal(hca_sa_put(&p, again), -EINVAL);
}

static void a_path_is_answered(void **state)
{
	struct hca_sa_path q = { .service_id = 0x1061144, .traffic_class = 0x28, .flow_label = 0x12345 }, p;

	(void)state;
	open_table();
	memcpy(q.dgid, second.raw, 16);
	q.sgid[0] = 0xfd;
	assert_int_equal(
		ask_path(HCA_SA_SERVICE_ID | HCA_SA_DGID | HCA_SA_SGID | HCA_SA_TRAFFIC_CLASS | HCA_SA_FLOW_LABEL, &q),
		HCA_SA_OK);
	hca_sa_get(answer + HCA_SA_DATA, &p);
	assert_memory_equal(p.dgid, q.dgid, 16);
	assert_memory_equal(p.sgid, q.sgid, 16);
	assert_int_equal(p.dlid, LID);
	assert_int_equal(p.slid, PEER);
	assert_true(p.service_id == q.service_id);
	assert_int_equal(p.traffic_class, 0x28);
	assert_int_equal(p.flow_label, 0x12345);
	assert_int_equal(p.pkey, 0xffff);
	assert_int_equal(p.mtu, 5); /* 4,096 */
	assert_int_equal(p.rate, 16); /* 100 Gb/s */
	assert_int_equal(p.life, 13);
	assert_int_equal(p.numb_path, 1);
	assert_int_equal(p.reversible, 1);
	/* By the LID alone: with the first GID, and nothing that wasn't given. */
	q.dlid = LID;
	assert_int_equal(ask_path(HCA_SA_DLID, &q), HCA_SA_OK);
	hca_sa_get(answer + HCA_SA_DATA, &p);
	assert_memory_equal(p.dgid, ours.raw, 16);
	assert_int_equal(p.traffic_class, 0);
	assert_true(!p.service_id);
}

struct row {
	u64 mask;
	struct hca_sa_path q;
	u32 status;
};

static void values_are_compared(void **state)
{
	static const struct row rows[] = {
		{ HCA_SA_DLID, { .dlid = LID + 1 }, HCA_SA_NO_RECORDS },
		{ HCA_SA_DLID | HCA_SA_SLID, { .dlid = LID, .slid = PEER }, HCA_SA_OK },
		{ HCA_SA_DLID | HCA_SA_SLID, { .dlid = LID, .slid = PEER + 1 }, HCA_SA_NO_RECORDS },
		{ HCA_SA_DLID | HCA_SA_DGID, { .dlid = LID, .dgid = { 1 } }, HCA_SA_NO_RECORDS },
		{ HCA_SA_SLID, { .slid = PEER }, HCA_SA_REQ_INVALID },
		{ HCA_SA_DLID | HCA_SA_PKEY, { .dlid = LID, .pkey = 0x7fff }, HCA_SA_OK },
		{ HCA_SA_DLID | HCA_SA_PKEY, { .dlid = LID, .pkey = 0x8001 }, HCA_SA_NO_RECORDS },
		{ HCA_SA_DLID | HCA_SA_SL, { .dlid = LID, .sl = 1 }, HCA_SA_NO_RECORDS },
		{ HCA_SA_DLID | HCA_SA_RAW, { .dlid = LID, .raw = 1 }, HCA_SA_NO_RECORDS },
		{ HCA_SA_DLID | HCA_SA_QOS_CLASS, { .dlid = LID, .qos_class = 1 }, HCA_SA_NO_RECORDS },
		/* Not given, so it doesn't count. */
		{ HCA_SA_DLID, { .dlid = LID, .sl = 1, .raw = 1, .slid = 1, .pkey = 1 }, HCA_SA_OK },
		{ HCA_SA_DLID | HCA_SA_MTU, { .dlid = LID, .mtu = 5 }, HCA_SA_OK },
		{ HCA_SA_DLID | HCA_SA_MTU, { .dlid = LID, .mtu = 4 }, HCA_SA_NO_RECORDS },
		{ HCA_SA_DLID | HCA_SA_MTU | HCA_SA_MTU_SELECTOR,
		  { .dlid = LID, .mtu = 4, .mtu_selector = HCA_SA_GREATER },
		  HCA_SA_OK },
		{ HCA_SA_DLID | HCA_SA_MTU | HCA_SA_MTU_SELECTOR,
		  { .dlid = LID, .mtu = 5, .mtu_selector = HCA_SA_LESS },
		  HCA_SA_NO_RECORDS },
		{ HCA_SA_DLID | HCA_SA_MTU | HCA_SA_MTU_SELECTOR,
		  { .dlid = LID, .mtu = 1, .mtu_selector = HCA_SA_BEST },
		  HCA_SA_OK },
		/* Rates aren't in the order of their codes: 17 is 200 Gb/s, 10 is 120, and 7 is 40. */
		{ HCA_SA_DLID | HCA_SA_RATE | HCA_SA_RATE_SELECTOR,
		  { .dlid = LID, .rate = 10, .rate_selector = HCA_SA_LESS },
		  HCA_SA_OK },
		{ HCA_SA_DLID | HCA_SA_RATE | HCA_SA_RATE_SELECTOR,
		  { .dlid = LID, .rate = 10, .rate_selector = HCA_SA_GREATER },
		  HCA_SA_NO_RECORDS },
		{ HCA_SA_DLID | HCA_SA_RATE | HCA_SA_RATE_SELECTOR,
		  { .dlid = LID, .rate = 7, .rate_selector = HCA_SA_GREATER },
		  HCA_SA_OK },
		{ HCA_SA_DLID | HCA_SA_RATE | HCA_SA_RATE_SELECTOR, /* 400 Gb/s */
		  { .dlid = LID, .rate = 21, .rate_selector = HCA_SA_LESS },
		  HCA_SA_OK },
		{ HCA_SA_DLID | HCA_SA_RATE, { .dlid = LID, .rate = 63 }, HCA_SA_NO_RECORDS },
		{ HCA_SA_DLID | HCA_SA_RATE | HCA_SA_RATE_SELECTOR,
		  { .dlid = LID, .rate = 63, .rate_selector = HCA_SA_GREATER },
		  HCA_SA_NO_RECORDS },
		{ HCA_SA_DLID | HCA_SA_LIFE | HCA_SA_LIFE_SELECTOR,
		  { .dlid = LID, .life = 14, .life_selector = HCA_SA_LESS },
		  HCA_SA_OK },
		{ HCA_SA_DLID | HCA_SA_LIFE | HCA_SA_LIFE_SELECTOR,
		  { .dlid = LID, .life = 13, .life_selector = HCA_SA_LESS },
		  HCA_SA_NO_RECORDS },
	};
	static const u8 none[64];
	u32 i;

	(void)state;
	open_table();
	for (i = 0; i < HCA_ARRAY_SIZE(rows); i++) {
		u32 status = ask_path(rows[i].mask, &rows[i].q);

		if (status != rows[i].status)
			print_error("row %u\n", i);
		assert_int_equal(status, rows[i].status);
		if (status)
			assert_memory_equal(answer + HCA_SA_DATA, none, sizeof(none));
	}
}

static void ports_say_what_they_can(void **state)
{
	(void)state;
	open_table();
	begin(HCA_MAD_GET, HCA_MAD_CLASS_PORT_INFO, 0);
	assert_int_equal(ask(), HCA_SA_OK);
	assert_int_equal(answer[HCA_SA_DATA], 1);
	assert_int_equal(answer[HCA_SA_DATA + 1], 2);
	assert_int_equal(answer[HCA_SA_DATA + 7] & 0x1f, 18);
	/* The communication manager's, which has its data behind the common header. */
	question[1] = HCA_MAD_CLASS_CM;
	assert_int_equal(ask(), HCA_SA_OK);
	assert_int_equal(answer[24], 1);
	assert_int_equal(answer[25], 2);
	assert_int_equal(answer[26] << 8 | answer[27], 0x3200);
	question[17] = HCA_CM_REQ;
	assert_int_equal(ask(), HCA_SA_BAD_ATTRIBUTE);
}

static void others_are_refused(void **state)
{
	static const u8 silent[] = { 0x81, 0x92, 0x03, 0x05, 0x07, 0x00 };
	u32 i;

	(void)state;
	open_table();
	begin(HCA_MAD_GET, 0x0011, 0); /* a NodeRecord */
	assert_int_equal(ask(), HCA_SA_BAD_ATTRIBUTE);
	begin(0x12, HCA_SA_PATH_RECORD, HCA_SA_DLID); /* a table */
	assert_int_equal(ask(), HCA_SA_BAD_METHOD);
	begin(HCA_MAD_SET, HCA_SA_PATH_RECORD, HCA_SA_DLID);
	assert_int_equal(ask(), HCA_SA_BAD_METHOD);
	assert_int_equal(answer[3], HCA_MAD_GET | HCA_MAD_RESPONSE);
	begin(HCA_MAD_GET, HCA_SA_PATH_RECORD, HCA_SA_DLID);
	question[2] = 1;
	assert_int_equal(ask(), HCA_SA_BAD_VERSION);
	/* No answer gets an answer. */
	for (i = 0; i < sizeof(silent); i++) {
		begin(silent[i], HCA_SA_PATH_RECORD, HCA_SA_DLID);
		assert_int_equal(hca_sa_answer(&gids, LID, PEER, question, sizeof(question), answer), -EINVAL);
	}
	begin(HCA_MAD_GET, HCA_SA_PATH_RECORD, HCA_SA_DLID);
	for (i = 0; i < sizeof(question); i++)
		assert_int_equal(hca_sa_answer(&gids, LID, PEER, question, i, answer), -EINVAL);
	question[0] = 2;
	assert_int_equal(hca_sa_answer(&gids, LID, PEER, question, sizeof(question), answer), -EINVAL);
	question[0] = 1;
	question[1] = 0x04;
	assert_int_equal(hca_sa_answer(&gids, LID, PEER, question, sizeof(question), answer), -EINVAL);
	/* The communication manager's own messages are for it. */
	question[1] = HCA_MAD_CLASS_CM;
	question[3] = HCA_MAD_SEND;
	assert_int_equal(hca_sa_answer(&gids, LID, PEER, question, sizeof(question), answer), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(fields_have_their_places), T(a_path_is_answered), T(values_are_compared),
		T(ports_say_what_they_can),  T(others_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
