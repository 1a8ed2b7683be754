/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Transport headers: bytes written by hand from the specification's figures, every opcode
 * there and back, every length that is too short, and what is reserved.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "transport/packet/headers.h"

/* Which headers follow the BTH, by the table of IBTA vol. 1, 9.2.1: said once more, in letters. */
#define D 8u /* DETH */
#define R 16u /* RETH */
#define A 28u /* AtomicETH */
#define K 4u /* AETH */
#define O 8u /* AtomicAckETH */
#define I 4u /* immediate data, or IETH */

enum payload { NONE, FULL, SOME, ANY };

static const struct {
	u8 opcode;
	u8 extended;
	enum payload payload;
} known[] = {
	{ 0x00, 0, FULL }, { 0x01, 0, FULL },	 { 0x02, 0, SOME }, { 0x03, I, SOME },	   { 0x04, 0, ANY },
	{ 0x05, I, ANY },  { 0x06, R, FULL },	 { 0x07, 0, FULL }, { 0x08, 0, SOME },	   { 0x09, I, SOME },
	{ 0x0a, R, ANY },  { 0x0b, R + I, ANY }, { 0x0c, R, NONE }, { 0x0d, K, FULL },	   { 0x0e, 0, FULL },
	{ 0x0f, K, SOME }, { 0x10, K, ANY },	 { 0x11, K, NONE }, { 0x12, K + O, NONE }, { 0x13, A, NONE },
	{ 0x14, A, NONE }, { 0x16, I, SOME },	 { 0x17, I, ANY },  { 0x20, 0, FULL },	   { 0x21, 0, FULL },
	{ 0x22, 0, SOME }, { 0x23, I, SOME },	 { 0x24, 0, ANY },  { 0x25, I, ANY },	   { 0x26, R, FULL },
	{ 0x27, 0, FULL }, { 0x28, 0, SOME },	 { 0x29, I, SOME }, { 0x2a, R, ANY },	   { 0x2b, R + I, ANY },
	{ 0x64, D, ANY },  { 0x65, D + I, ANY },
};

static int find(u32 opcode)
{
	u32 i;

	for (i = 0; i < HCA_ARRAY_SIZE(known); i++)
		if (known[i].opcode == opcode)
			return (int)i;
	return -1;
}

/* --- by hand --- */

static void known_bytes(void **state)
{
	/* SEND Only with Immediate, solicited, one byte, three of padding */
	static const u8 send[] = { 0x05, 0xb0, 0xff, 0xff, 0,	 0x12, 0x34, 0x56, 0x80, 0xab,
				   0xcd, 0xef, 0xde, 0xad, 0xbe, 0xef, 0x77, 0,	   0,	 0 };
	static const u8 cas[] = { 0x13, 0x40, 0x80, 0x01, 0,	0,    0,    0x11, 0,	0,    0,    0x09, 1,	2,
				  3,	4,    5,    6,	  7,	8,    0xa1, 0xa2, 0xa3, 0xa4, 0x11, 0x12, 0x13, 0x14,
				  0x15, 0x16, 0x17, 0x18, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28 };
	static const u8 nak[] = { 0x11, 0, 0xff, 0xff, 0, 0, 0, 0x11, 0, 0xff, 0xff, 0xfe, 0x60, 0, 0x01, 0x02 };
	static const u8 datagram[] = { 0x64, 0,	   0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 5,
				       0x80, 0x01, 0,	 0,    0, 0, 0, 7, 9, 9, 9, 9 };
	struct hca_packet p;
	u8 out[HCA_PACKET_HEADER_MAX];

	(void)state;
	assert_int_equal(hca_packet_decode(send, sizeof(send), false, &p), 0);
	assert_true(p.solicited && p.ack_req && !p.migrated);
	assert_int_equal(p.pad, 3);
	assert_int_equal(p.pkey, 0xffff);
	assert_int_equal(p.dqpn, 0x123456);
	assert_int_equal(p.psn, 0xabcdef);
	assert_memory_equal(&p.imm, send + 12, 4); /* as it came */
	assert_int_equal(p.len, 1);
	assert_int_equal(p.payload[0], 0x77);
	assert_int_equal(hca_packet_encode(&p, out), 16);
	assert_memory_equal(out, send, 16);
	assert_int_equal(hca_packet_decode(cas, sizeof(cas), false, &p), 0);
	assert_true(p.raddr == 0x0102030405060708ull && p.rkey == 0xa1a2a3a4);
	assert_true(p.swap_add == 0x1112131415161718ull && p.compare == 0x2122232425262728ull);
	assert_true(p.migrated && p.pkey == 0x8001);
	assert_int_equal(hca_packet_encode(&p, out), sizeof(cas));
	assert_memory_equal(out, cas, sizeof(cas));
	assert_int_equal(hca_packet_decode(nak, sizeof(nak), false, &p), 0);
	assert_int_equal(p.syndrome, HCA_AETH_NAK | HCA_NAK_SEQUENCE);
	assert_int_equal(p.msn, 0x102);
	assert_int_equal(hca_packet_decode(datagram, sizeof(datagram), false, &p), 0);
	assert_true(p.qkey == 0x80010000 && p.sqpn == 7 && p.len == 4);
}

static void route_header(void **state)
{
	static const u8 head[] = { 0x6a, 0xbc, 0xde, 0xf0, 0, 24, 0x1b, 0x40 };
	u8 bytes[60] = { 0 };
	struct hca_packet p, q = { .opcode = 0x04, .len = 8, .has_grh = true };
	u32 i;

	(void)state;
	memcpy(bytes, head, sizeof(head));
	memset(bytes + 8, 0x51, 16);
	memset(bytes + 24, 0xd1, 16);
	bytes[40] = 0x04; /* SEND Only, eight bytes; with the ICRC to come 24 */
	assert_int_equal(hca_packet_decode(bytes, 60, true, &p), 0);
	assert_true(p.has_grh && p.raw_grh == bytes);
	assert_int_equal(p.grh.traffic_class, 0xab);
	assert_int_equal(p.grh.flow_label, 0xcdef0);
	assert_int_equal(p.grh.hop_limit, 0x40);
	assert_int_equal(p.grh.sgid[15], 0x51);
	assert_int_equal(p.grh.dgid[0], 0xd1);
	assert_int_equal(p.len, 8);
	q.grh = p.grh;
	assert_int_equal(hca_packet_encode(&q, bytes), 52);
	assert_memory_equal(bytes, head, sizeof(head));
	for (i = 0; i < 60; i++)
		assert_int_equal(hca_packet_decode(bytes, i, true, &p), -EINVAL);
	bytes[0] = 0x4a; /* another version of IP */
	assert_int_equal(hca_packet_decode(bytes, 60, true, &p), -EINVAL);
	bytes[0] = 0x6a;
	bytes[6] = 0x11; /* something else follows */
	assert_int_equal(hca_packet_decode(bytes, 60, true, &p), -EINVAL);
	bytes[6] = 0x1b;
	bytes[5]++;
	assert_int_equal(hca_packet_decode(bytes, 60, true, &p), -EINVAL);
	bytes[5]--;
	assert_int_equal(hca_packet_decode(bytes, 60, true, &p), 0);
}

/* --- every opcode --- */

static void every_opcode(void **state)
{
	u8 bytes[12 + 28 + 64] = { 0 };
	struct hca_packet p;
	u32 op, len;

	(void)state;
	for (op = 0; op < 256; op++) {
		int k = find(op);

		memset(bytes, 0, sizeof(bytes));
		bytes[0] = (u8)op;
		if (op == HCA_PKT_CNP) {
			/* A notification: the BTH and 16 bytes that mean nothing (IBTA annex A17). */
			for (len = 0; len <= 64; len++)
				assert_int_equal(hca_packet_decode(bytes, len, false, &p), len == 28 ? 0 : -EINVAL);
			continue;
		}
		assert_int_equal(hca_packet_what((u8)op) != 0, k >= 0);
		for (len = 0; len <= 12 + 28 + 12; len++) {
			u32 min = k < 0 ? 0 : 12u + known[k].extended, pad;

			for (pad = 0; pad < 4; pad++) {
				bool owed, good = k >= 0 && len >= min + pad && len % 4 == 0;
				u32 data = len - min - pad;

				if (good && known[k].payload == NONE)
					good = !data && !pad;
				else if (good && known[k].payload == FULL)
					good = data && !pad;
				else if (good && known[k].payload == SOME)
					good = data;
				bytes[1] = (u8)(pad << 4);
				/* What asks a reliable connection for what can't be is owed a NAK (IBTA 9.7.4.1.3). */
				owed = len >= 12 && len % 4 == 0 && !(op & 0xe0) &&
				       !(hca_packet_what((u8)op) & HCA_PKT_IS_RESPONSE);
				assert_int_equal(hca_packet_decode(bytes, len, false, &p), good ? 0 :
											   owed ? -EPROTO :
												  -EINVAL);
				if (good)
					assert_int_equal(p.len, data);
			}
		}
	}
}

static u64 any(u64 *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed ^ *seed >> 29;
}

static void there_and_back(void **state)
{
	u8 bytes[HCA_PACKET_HEADER_MAX + 64], again[HCA_PACKET_HEADER_MAX];
	u64 seed = 1;
	u32 i, k;

	(void)state;
	for (i = 0; i < 20000; i++) {
		struct hca_packet p = { 0 }, q;
		u32 n;

		k = (u32)any(&seed) % HCA_ARRAY_SIZE(known);
		p.opcode = known[k].opcode;
		p.solicited = any(&seed) & 1;
		p.migrated = any(&seed) & 1;
		p.ack_req = any(&seed) & 1;
		p.pkey = (u16)any(&seed);
		p.dqpn = (u32)any(&seed) & 0xffffff;
		p.psn = (u32)any(&seed) & 0xffffff;
		p.qkey = (u32)any(&seed);
		p.sqpn = (u32)any(&seed) & 0xffffff;
		p.raddr = any(&seed);
		p.rkey = (u32)any(&seed);
		p.dmalen = (u32)any(&seed);
		p.swap_add = any(&seed);
		p.compare = any(&seed);
		p.original = any(&seed);
		p.msn = (u32)any(&seed) & 0xffffff;
		p.syndrome = (u8)(any(&seed) & 0x1f);
		p.imm = (u32)any(&seed);
		p.has_grh = any(&seed) & 1;
		p.grh.flow_label = (u32)any(&seed) & 0xfffff;
		p.grh.sgid[3] = (u8)any(&seed);
		p.len = known[k].payload == NONE ? 0 : known[k].payload == FULL ? 32 : 1 + (u32)any(&seed) % 33;
		n = hca_packet_encode(&p, bytes);
		assert_int_equal(n, 12 + known[k].extended + (p.has_grh ? 40 : 0));
		assert_int_equal((p.len + p.pad) % 4, 0);
		assert_int_equal(hca_packet_decode(bytes, n + p.len + p.pad, p.has_grh, &q), 0);
		assert_int_equal(q.len, p.len);
		assert_ptr_equal(q.payload, bytes + n);
		assert_true(q.psn == p.psn && q.dqpn == p.dqpn && q.pkey == p.pkey && q.solicited == p.solicited &&
			    q.migrated == p.migrated && q.ack_req == p.ack_req && q.has_grh == p.has_grh);
		/* What it has of the rest, it has: written again, it is the same. */
		assert_int_equal(hca_packet_encode(&q, again), n);
		assert_memory_equal(again, bytes, n);
		if (q.what & HCA_PKT_HAS_RETH)
			assert_true(q.raddr == p.raddr && q.rkey == p.rkey && q.dmalen == p.dmalen);
		if (q.what & HCA_PKT_HAS_DETH)
			assert_true(q.qkey == p.qkey && q.sqpn == p.sqpn);
		if (q.what & HCA_PKT_HAS_ATOMIC)
			assert_true(q.swap_add == p.swap_add && q.compare == p.compare && q.raddr == p.raddr);
		if (q.what & HCA_PKT_HAS_AETH)
			assert_true(q.syndrome == p.syndrome && q.msn == p.msn);
		if (q.what & HCA_PKT_HAS_ATOMIC_ACK)
			assert_true(q.original == p.original);
		if (q.what & (HCA_PKT_HAS_IMM | HCA_PKT_HAS_IETH))
			assert_int_equal(q.imm, p.imm);
	}
}

/* --- what is reserved --- */

static void reserved(void **state)
{
	u8 bytes[16] = { 0x11 };
	struct hca_packet p;
	u32 i;

	(void)state;
	for (i = 0; i < 256; i++) {
		bool good = i < 0x40 || (i >= 0x60 && i < 0x65);

		bytes[12] = (u8)i;
		bytes[0] = 0x11;
		assert_int_equal(hca_packet_decode(bytes, 16, false, &p), good ? 0 : -EINVAL);
		bytes[0] = 0x10; /* a read response that refuses can't be */
		assert_int_equal(hca_packet_decode(bytes, 16, false, &p), i < 0x20 ? 0 : -EINVAL);
	}
	bytes[12] = 0;
	for (i = 1; i < 16; i++) {
		bytes[1] = (u8)i; /* a version of the transport to come */
		assert_int_equal(hca_packet_decode(bytes, 16, false, &p), -EINVAL);
	}
	bytes[1] = 0;
	bytes[4] = 0xff; /* reserved bits are passed over */
	bytes[8] = 0x7f;
	assert_int_equal(hca_packet_decode(bytes, 16, false, &p), 0);
	assert_int_equal(p.dqpn, 0);
	assert_false(p.ack_req);
	p.opcode = 0x15;
	assert_int_equal(hca_packet_encode(&p, bytes), 0);
}

static void sequence_numbers(void **state)
{
	(void)state;
	assert_int_equal(hca_psn_add(0xffffff, 1), 0);
	assert_int_equal(hca_psn_add(5, HCA_PSN_MASK), 4);
	assert_int_equal(hca_psn_dist(2, 0xfffffe), 4);
	assert_int_equal(hca_psn_dist(0xfffffe, 2), 0xfffffc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_bytes),	  cmocka_unit_test(route_header), cmocka_unit_test(every_opcode),
		cmocka_unit_test(there_and_back), cmocka_unit_test(reserved),	  cmocka_unit_test(sequence_numbers),
	};

	return cmocka_run_group_tests_name("packet", tests, NULL, NULL);
}
