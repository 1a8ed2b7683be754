/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The communication manager's messages: bytes written by hand from the tables of IBTA vol. 1, 12.6, both ways; every
 * field of every attribute, by random values; and what the decoder must refuse.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "cm/ip.h"
#include "cm/mad.h"
#include "no_leaks.h"

#define ROUNDS 200u

/* A byte of the body. */
#define B(n) [HCA_MAD_HEADER + (n)]
#define HEADER(id) \
	[0] = 1, [1] = 0x07, [2] = 2, [3] = 0x03, [8] = 0x11, [9] = 0x22, [10] = 0x33, [11] = 0x44, [12] = 0x55, \
	[13] = 0x66, [14] = 0x77, [15] = 0x88, [17] = (id)
#define ATTR_MOD [20] = 0x0f, [21] = 0x1e, [22] = 0x2d, [23] = 0x3c
#define TID 0x1122334455667788ull
#define GID(first) \
	{ \
		(first), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, (first) + 1 \
	}
#define GID_BYTES(at, first) \
	B(at) = (first), B((at) + 1) = 1, B((at) + 2) = 2, B((at) + 3) = 3, B((at) + 4) = 4, B((at) + 5) = 5, \
	B((at) + 6) = 6, B((at) + 7) = 7, B((at) + 8) = 8, B((at) + 9) = 9, B((at) + 10) = 10, B((at) + 11) = 11, \
	B((at) + 12) = 12, B((at) + 13) = 13, B((at) + 14) = 14, B((at) + 15) = (first) + 1
#define IDS_BYTES B(0) = 0xa1, B(1) = 0xa2, B(2) = 0xa3, B(3) = 0xa4, B(4) = 0xb1, B(5) = 0xb2, B(6) = 0xb3, B(7) = 0xb4
#define IDS .tid = TID, .local_comm_id = 0xa1a2a3a4, .remote_comm_id = 0xb1b2b3b4

static const u8 some[HCA_CM_PRIVATE_MAX] = { 0xd0, 0xd1, 0xd2 };

struct vector {
	const char *name;
	struct hca_cm_msg msg;
	u32 room; /* for private data */
	u8 bytes[HCA_MAD_BYTES];
};

static const struct vector vectors[] = {
	{
		"REQ",
		{
			.attr = HCA_CM_REQ,
			.attr_mod = 0x0f1e2d3c,
			.vendor_id = { 0xc1, 0xc2, 0xc3 },
			.tid = TID,
			.local_comm_id = 0xa1a2a3a4,
			.service_id = 0x0000000001061f90,
			.ca_guid = 0x0002c903000e0b72,
			.qkey = 0x80010000,
			.qpn = 0x123456,
			.responder_resources = 16,
			.eecn = 0x0a0b0c,
			.initiator_depth = 4,
			.remote_eecn = 0x0d0e0f,
			.remote_response_timeout = 20, /* 10100 */
			.service_type = HCA_CM_SERVICE_UC, /* 01 */
			.flow_control = 1,
			.psn = 0x654321,
			.local_response_timeout = 19, /* 10011 */
			.retry_count = 7,
			.pkey = 0xffff,
			.path_mtu = HCA_MTU_1024, /* 3 */
			.rdc_exists = 1,
			.rnr_retry_count = 6, /* 110 */
			.max_cm_retries = 15,
			.srq = 1,
			.extended_type = 1, /* 001 */
			.primary = {
				.local_lid = 0x0102,
				.remote_lid = 0x0304,
				.local_gid = GID(0xfe),
				.remote_gid = GID(0x20),
				.flow_label = 0xabcde,
				.rate = 0x2a, /* 101010 */
				.traffic_class = 0x68,
				.hop_limit = 64,
				.sl = 9,
				.subnet_local = 1,
				.ack_timeout = 18, /* 10010 */
			},
			.alternate = {
				.local_lid = 0x0506,
				.remote_lid = 0x0708,
				.local_gid = GID(0x30),
				.remote_gid = GID(0x40),
				.flow_label = 0x12345,
				.rate = 3,
				.traffic_class = 0xff,
				.hop_limit = 1,
				.sl = 15,
				.ack_timeout = 31,
			},
		},
		92,
		{
			HEADER(0x10), ATTR_MOD,
			B(0) = 0xa1, B(1) = 0xa2, B(2) = 0xa3, B(3) = 0xa4,
			B(5) = 0xc1, B(6) = 0xc2, B(7) = 0xc3,
			B(12) = 0x01, B(13) = 0x06, B(14) = 0x1f, B(15) = 0x90,
			B(17) = 0x02, B(18) = 0xc9, B(19) = 0x03, B(21) = 0x0e, B(22) = 0x0b, B(23) = 0x72,
			B(28) = 0x80, B(29) = 0x01,
			B(32) = 0x12, B(33) = 0x34, B(34) = 0x56, B(35) = 16,
			B(36) = 0x0a, B(37) = 0x0b, B(38) = 0x0c, B(39) = 4,
			B(40) = 0x0d, B(41) = 0x0e, B(42) = 0x0f, B(43) = 0xa3, /* 10100 01 1 */
			B(44) = 0x65, B(45) = 0x43, B(46) = 0x21, B(47) = 0x9f, /* 10011 111 */
			B(48) = 0xff, B(49) = 0xff, B(50) = 0x3e, /* 0011 1 110 */
			B(51) = 0xf9, /* 1111 1 001 */
			B(52) = 0x01, B(53) = 0x02, B(54) = 0x03, B(55) = 0x04,
			GID_BYTES(56, 0xfe), GID_BYTES(72, 0x20),
			B(88) = 0xab, B(89) = 0xcd, B(90) = 0xe0, B(91) = 0x2a,
			B(92) = 0x68, B(93) = 64, B(94) = 0x98, /* 1001 1 000 */
			B(95) = 0x90, /* 10010 000 */
			B(96) = 0x05, B(97) = 0x06, B(98) = 0x07, B(99) = 0x08,
			GID_BYTES(100, 0x30), GID_BYTES(116, 0x40),
			B(132) = 0x12, B(133) = 0x34, B(134) = 0x50, B(135) = 0x03,
			B(136) = 0xff, B(137) = 1, B(138) = 0xf0, B(139) = 0xf8,
			B(140) = 0xd0, B(141) = 0xd1, B(142) = 0xd2,
		},
	},
	{
		"MRA",
		{ IDS, .attr = HCA_CM_MRA, .about = HCA_CM_ABOUT_OTHER, .service_timeout = 21 },
		222,
		{ HEADER(0x11), IDS_BYTES, B(8) = 0x80, B(9) = 0xa8, B(10) = 0xd0, B(11) = 0xd1, B(12) = 0xd2 },
	},
	{
		"REJ",
		{ IDS, .attr = HCA_CM_REJ, .about = HCA_CM_ABOUT_REP, .reason = HCA_CM_REJ_CONSUMER, .ari = some, .ari_len = 2 },
		148,
		{
			HEADER(0x12), IDS_BYTES, B(8) = 0x40, B(9) = 0x04, B(11) = 28, B(12) = 0xd0, B(13) = 0xd1,
			B(84) = 0xd0, B(85) = 0xd1, B(86) = 0xd2,
		},
	},
	{
		"REP",
		{
			IDS,
			.attr = HCA_CM_REP,
			.attr_mod = 0x0f1e2d3c,
			.vendor_id = { 0xc1, 0xc2, 0xc3 },
			.qkey = 0x01020304,
			.qpn = 0xfedcba,
			.eecn = 0x102030,
			.psn = 0x000001,
			.responder_resources = 1,
			.initiator_depth = 255,
			.target_ack_delay = 15, /* 01111 */
			.failover = 2, /* 10 */
			.flow_control = 1,
			.rnr_retry_count = 5, /* 101 */
			.srq = 1,
			.ca_guid = 0x8070605040302010,
		},
		196,
		{
			HEADER(0x13), ATTR_MOD, IDS_BYTES,
			B(8) = 0x01, B(9) = 0x02, B(10) = 0x03, B(11) = 0x04,
			B(12) = 0xfe, B(13) = 0xdc, B(14) = 0xba, B(15) = 0xc1,
			B(16) = 0x10, B(17) = 0x20, B(18) = 0x30, B(19) = 0xc2,
			B(22) = 0x01, B(23) = 0xc3,
			B(24) = 1, B(25) = 255, B(26) = 0x7d, /* 01111 10 1 */
			B(27) = 0xb0, /* 101 1 0000 */
			B(28) = 0x80, B(29) = 0x70, B(30) = 0x60, B(31) = 0x50, B(32) = 0x40, B(33) = 0x30, B(34) = 0x20, B(35) = 0x10,
			B(36) = 0xd0, B(37) = 0xd1, B(38) = 0xd2,
		},
	},
	{
		"RTU",
		{ IDS, .attr = HCA_CM_RTU },
		224,
		{ HEADER(0x14), IDS_BYTES, B(8) = 0xd0, B(9) = 0xd1, B(10) = 0xd2 },
	},
	{
		"DREQ",
		{ IDS, .attr = HCA_CM_DREQ, .qpn = 0x0a0b0c },
		220,
		{ HEADER(0x15), IDS_BYTES, B(8) = 0x0a, B(9) = 0x0b, B(10) = 0x0c, B(12) = 0xd0, B(13) = 0xd1, B(14) = 0xd2 },
	},
	{
		"DREP",
		{ IDS, .attr = HCA_CM_DREP },
		224,
		{ HEADER(0x16), IDS_BYTES, B(8) = 0xd0, B(9) = 0xd1, B(10) = 0xd2 },
	},
	{
		"SIDR_REQ",
		{ .tid = TID, .attr = HCA_CM_SIDR_REQ, .local_comm_id = 0xa1a2a3a4, .pkey = 0x8001, .service_id = 0x0102030405060708 },
		216,
		{
			HEADER(0x17), B(0) = 0xa1, B(1) = 0xa2, B(2) = 0xa3, B(3) = 0xa4, B(4) = 0x80, B(5) = 0x01,
			B(8) = 1, B(9) = 2, B(10) = 3, B(11) = 4, B(12) = 5, B(13) = 6, B(14) = 7, B(15) = 8,
			B(16) = 0xd0, B(17) = 0xd1, B(18) = 0xd2,
		},
	},
	{
		"SIDR_REP",
		{
			.tid = TID,
			.attr = HCA_CM_SIDR_REP,
			.local_comm_id = 0xa1a2a3a4,
			.status = HCA_CM_SIDR_NO_QP,
			.qpn = 0x020304,
			.service_id = 0x0102030405060708,
			.qkey = 0x80010000,
			.ari = some,
			.ari_len = 72,
		},
		136,
		{
			HEADER(0x18), B(0) = 0xa1, B(1) = 0xa2, B(2) = 0xa3, B(3) = 0xa4, B(4) = 3, B(5) = 72,
			B(8) = 0x02, B(9) = 0x03, B(10) = 0x04,
			B(12) = 1, B(13) = 2, B(14) = 3, B(15) = 4, B(16) = 5, B(17) = 6, B(18) = 7, B(19) = 8,
			B(20) = 0x80, B(21) = 0x01, B(24) = 0xd0, B(25) = 0xd1, B(26) = 0xd2,
			B(96) = 0xd0, B(97) = 0xd1, B(98) = 0xd2,
		},
	},
	{
		"LAP",
		{
			IDS,
			.attr = HCA_CM_LAP,
			.qpn = 0x010203,
			.remote_response_timeout = 17, /* 10001 */
			.primary = {
				.local_lid = 0x0102,
				.remote_lid = 0x0304,
				.local_gid = GID(0x50),
				.remote_gid = GID(0x60),
				.flow_label = 0xfedcb,
				.traffic_class = 0x11,
				.hop_limit = 0x22,
				.rate = 0x3f,
				.sl = 5,
				.subnet_local = 1,
				.ack_timeout = 1,
			},
		},
		168,
		{
			HEADER(0x19), IDS_BYTES, B(12) = 0x01, B(13) = 0x02, B(14) = 0x03, B(15) = 0x88,
			B(20) = 0x01, B(21) = 0x02, B(22) = 0x03, B(23) = 0x04,
			GID_BYTES(24, 0x50), GID_BYTES(40, 0x60),
			B(56) = 0xfe, B(57) = 0xdc, B(58) = 0xb0, B(59) = 0x11,
			B(60) = 0x22, B(61) = 0x3f, B(62) = 0x58, B(63) = 0x08,
			B(64) = 0xd0, B(65) = 0xd1, B(66) = 0xd2,
		},
	},
	{
		"APR",
		{ IDS, .attr = HCA_CM_APR, .status = HCA_CM_APR_UNSUPPORTED, .ari = some, .ari_len = 1 },
		148,
		{
			HEADER(0x1a), IDS_BYTES, B(8) = 1, B(9) = 2, B(12) = 0xd0,
			B(84) = 0xd0, B(85) = 0xd1, B(86) = 0xd2,
		},
	},
};

/* A message but for what its pointers point to, of which only so many bytes count. */
static void assert_same(const struct hca_cm_msg *got, const struct hca_cm_msg *want)
{
	struct hca_cm_msg a = *got, b = *want;

	assert_int_equal(a.ari_len, b.ari_len);
	assert_int_equal(a.private_len, b.private_len);
	if (a.ari_len)
		assert_memory_equal(a.ari, b.ari, a.ari_len);
	if (a.private_len)
		assert_memory_equal(a.private_data, b.private_data, a.private_len);
	a.ari = b.ari = a.private_data = b.private_data = NULL;
	assert_memory_equal(&a, &b, sizeof(a));
}

static void bytes_are_the_specifications(void **state)
{
	u32 i;

	(void)state;
	assert_int_equal(HCA_ARRAY_SIZE(vectors), HCA_CM_ATTRS);
	for (i = 0; i < HCA_ARRAY_SIZE(vectors); i++) {
		const struct vector *v = &vectors[i];
		struct hca_cm_msg msg = v->msg, back;
		u8 out[HCA_MAD_BYTES];

		assert_int_equal(hca_cm_private_room(msg.attr), v->room);
		msg.private_data = some;
		msg.private_len = 3;
		memset(out, 0xee, sizeof(out));
		assert_int_equal(hca_cm_encode(&msg, out), 0);
		assert_memory_equal(out, v->bytes, sizeof(out));
		assert_int_equal(hca_cm_decode(v->bytes, HCA_MAD_BYTES, &back), 0);
		msg.private_len = (u8)v->room; /* zeros follow */
		assert_same(&back, &msg);
	}
}

/* --- the table --- */

/* Each bit of a body belongs to one field at most, and none to a field and to bytes. */
static void fields_dont_overlap(void **state)
{
	u32 attr, i, k;

	(void)state;
	for (attr = HCA_CM_ATTR_FIRST; attr <= HCA_CM_APR; attr++) {
		const struct hca_cm_format *f = hca_cm_format(attr);
		u8 used[HCA_CM_BODY * 8] = { 0 };

		for (i = f->private_at * 8u; i < HCA_CM_BODY * 8; i++)
			used[i]++;
		for (i = 0; f->ari_len_width && i < HCA_CM_ARI_MAX * 8; i++)
			used[f->ari_at * 8 + i]++;
		for (i = 0; i < f->ari_len_width; i++)
			used[f->ari_len_bit + i]++;
		for (i = 0; i < f->count; i++) {
			assert_true(f->fields[i].width == 128 || f->fields[i].width <= f->fields[i].size * 8);
			for (k = 0; k < f->fields[i].width; k++)
				used[f->fields[i].bit + k]++;
		}
		for (i = 0; i < HCA_CM_BODY * 8; i++)
			assert_in_range(used[i], 0, 1);
	}
}

static void fill(struct hca_cm_msg *msg, const struct hca_cm_format *f)
{
	u32 i, k;

	for (i = 0; i < f->count; i++) {
		char *at = (char *)msg + f->fields[i].at;
		u64 v = (u64)hca_random_u32() << 32 | hca_random_u32();

		if (f->fields[i].width == 128) {
			for (k = 0; k < 16; k++)
				at[k] = (char)hca_random_u32();
			continue;
		}
		if (f->fields[i].width < 64)
			v &= (1ull << f->fields[i].width) - 1;
		switch (f->fields[i].size) {
		case 1:
			*(u8 *)at = (u8)v;
			break;
		case 2:
			*(u16 *)at = (u16)v;
			break;
		case 4:
			*(u32 *)at = (u32)v;
			break;
		default:
			*(u64 *)at = v;
		}
	}
}

static void every_field_comes_back(void **state)
{
	u8 data[HCA_CM_PRIVATE_MAX], ari[HCA_CM_ARI_MAX], out[HCA_MAD_BYTES], again[HCA_MAD_BYTES];
	u32 attr, round, i;

	(void)state;
	for (attr = HCA_CM_ATTR_FIRST; attr <= HCA_CM_APR; attr++) {
		const struct hca_cm_format *f = hca_cm_format(attr);

		for (round = 0; round < ROUNDS; round++) {
			struct hca_cm_msg msg, back;

			memset(&msg, 0, sizeof(msg));
			for (i = 0; i < sizeof(data); i++)
				data[i] = (u8)hca_random_u32();
			for (i = 0; i < sizeof(ari); i++)
				ari[i] = (u8)hca_random_u32();
			fill(&msg, f);
			msg.attr = (u16)attr;
			msg.tid = (u64)hca_random_u32() << 32;
			msg.attr_mod = hca_random_u32();
			msg.ari = ari;
			msg.ari_len = (u8)(f->ari_len_width ? hca_random_u32() % (HCA_CM_ARI_MAX + 1) : 0);
			msg.private_data = data;
			msg.private_len = (u8)hca_cm_private_room(attr);
			assert_int_equal(hca_cm_encode(&msg, out), 0);
			assert_int_equal(hca_cm_decode(out, sizeof(out), &back), 0);
			assert_same(&back, &msg);
			assert_int_equal(hca_cm_encode(&back, again), 0);
			assert_memory_equal(out, again, sizeof(out));
		}
	}
}

/* --- refused --- */

static void a_value_too_large_is_refused(void **state)
{
	u32 attr, i;

	(void)state;
	for (attr = HCA_CM_ATTR_FIRST; attr <= HCA_CM_APR; attr++) {
		const struct hca_cm_format *f = hca_cm_format(attr);

		for (i = 0; i < f->count; i++) {
			const struct hca_cm_field *field = &f->fields[i];
			struct hca_cm_msg msg = { .attr = (u16)attr };
			u8 out[HCA_MAD_BYTES];

			if (field->width >= field->size * 8)
				continue;
			assert_true(field->size == 1 || field->size == 4);
			if (field->size == 1)
				*((u8 *)&msg + field->at) = (u8)(1u << field->width);
			else
				*(u32 *)(void *)((char *)&msg + field->at) = 1u << field->width;
			assert_int_equal(hca_cm_encode(&msg, out), -EINVAL);
		}
	}
}

static void options_have_a_vendor_of_24_bits(void **state)
{
	struct hca_cm_msg msg = { .attr = HCA_CM_REQ };

	(void)state;
	assert_int_equal(hca_cm_vendor_id(&msg), 0);
	assert_int_equal(hca_cm_set_ece(&msg, 0x1000000, 5), -EINVAL);
	assert_int_equal(hca_cm_vendor_id(&msg), 0);
	assert_int_equal(msg.attr_mod, 0);
	assert_int_equal(hca_cm_set_ece(&msg, 0xfedcba, 0x80000001), 0);
	assert_int_equal(hca_cm_vendor_id(&msg), 0xfedcba);
	assert_int_equal(msg.vendor_id[0], 0xfe);
	assert_int_equal(msg.attr_mod, 0x80000001);
}

static void too_many_bytes_are_refused(void **state)
{
	u32 attr;

	(void)state;
	for (attr = HCA_CM_ATTR_FIRST; attr <= HCA_CM_APR; attr++) {
		struct hca_cm_msg msg = { .attr = (u16)attr, .private_data = some };
		u8 out[HCA_MAD_BYTES];
		u32 room = hca_cm_private_room(attr);

		msg.private_len = (u8)room;
		assert_int_equal(hca_cm_encode(&msg, out), 0);
		msg.private_len = (u8)(room + 1);
		assert_int_equal(hca_cm_encode(&msg, out), -EINVAL);
		msg.private_len = 0;
		msg.ari = some;
		msg.ari_len = hca_cm_format(attr)->ari_len_width ? HCA_CM_ARI_MAX + 1 : 1;
		assert_int_equal(hca_cm_encode(&msg, out), -EINVAL);
		msg.ari_len--;
		assert_int_equal(hca_cm_encode(&msg, out), 0);
	}
}

static void there_is_no_such_attribute(void **state)
{
	static const u16 none[] = { 0, 1, HCA_CM_ATTR_FIRST - 1, HCA_CM_APR + 1, 0x1010, 0xffff };
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(none); i++) {
		struct hca_cm_msg msg = { .attr = none[i] };
		u8 out[HCA_MAD_BYTES], in[HCA_MAD_BYTES] = { HEADER(0) };

		assert_int_equal(hca_cm_encode(&msg, out), -EINVAL);
		in[16] = (u8)(none[i] >> 8);
		in[17] = (u8)none[i];
		assert_int_equal(hca_cm_decode(in, sizeof(in), &msg), -EINVAL);
		assert_int_equal(hca_cm_private_room(none[i]), 0);
	}
}

static void another_header_is_refused(void **state)
{
	u32 i, bit, len;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(vectors); i++) {
		struct hca_cm_msg msg;
		u8 in[HCA_MAD_BYTES];

		/* Versions, class, method; a response's bit as well. */
		for (bit = 0; bit < 32; bit++) {
			memcpy(in, vectors[i].bytes, sizeof(in));
			in[bit / 8] ^= (u8)(1 << bit % 8);
			assert_int_equal(hca_cm_decode(in, sizeof(in), &msg), -EINVAL);
		}
		for (len = 0; len < HCA_MAD_BYTES; len++)
			assert_int_equal(hca_cm_decode(vectors[i].bytes, len, &msg), -EINVAL);
		assert_int_equal(hca_cm_decode(vectors[i].bytes, HCA_MAD_BYTES + 1, &msg), -EINVAL);
	}
}

static void reserved_bits_are_passed_over(void **state)
{
	u32 i, bit, k;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(vectors); i++) {
		const struct vector *v = &vectors[i];
		const struct hca_cm_format *f = hca_cm_format(v->msg.attr);
		struct hca_cm_msg plain, msg;
		u32 changed = 0;
		u8 in[HCA_MAD_BYTES];

		assert_int_equal(hca_cm_decode(v->bytes, HCA_MAD_BYTES, &plain), 0);
		plain.ari = plain.private_data = NULL;
		for (bit = 0; bit < f->private_at * 8u; bit++) {
			if (f->ari_len_width && (bit / 8 == f->ari_len_bit / 8u ||
						 (bit / 8 >= f->ari_at && bit / 8 < f->ari_at + HCA_CM_ARI_MAX)))
				continue;
			memcpy(in, v->bytes, sizeof(in));
			in[HCA_MAD_HEADER + bit / 8] ^= (u8)(0x80 >> bit % 8);
			assert_int_equal(hca_cm_decode(in, sizeof(in), &msg), 0);
			msg.ari = msg.private_data = NULL;
			changed += memcmp(&msg, &plain, sizeof(msg)) != 0;
		}
		for (k = bit = 0; k < f->count; k++)
			bit += f->fields[k].width;
		assert_int_equal(changed, bit);
	}
}

static void too_much_additional_information_is_refused(void **state)
{
	static const u32 attrs[] = { HCA_CM_REJ, HCA_CM_SIDR_REP, HCA_CM_APR };
	u32 i, n;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(attrs); i++) {
		for (n = 0; n < 128; n++) {
			u8 in[HCA_MAD_BYTES] = { HEADER(0) };
			struct hca_cm_msg msg;

			in[17] = (u8)attrs[i];
			in[HCA_MAD_HEADER + (attrs[i] == HCA_CM_REJ	 ? 9 :
					     attrs[i] == HCA_CM_SIDR_REP ? 5 :
									   8)] =
				(u8)(attrs[i] == HCA_CM_REJ ? n << 1 : n);
			assert_int_equal(hca_cm_decode(in, sizeof(in), &msg), n > 72 ? -EINVAL : 0);
			assert_int_equal(msg.ari_len, n);
		}
	}
}

/* --- by IP address --- */

static void assert_same_ip(const struct hca_cm_ip *got, const struct hca_cm_ip *want)
{
	assert_int_equal(got->version, want->version);
	assert_int_equal(got->port, want->port);
	assert_memory_equal(got->src, want->src, sizeof(got->src));
	assert_memory_equal(got->dst, want->dst, sizeof(got->dst));
}

static void ip_headers_are_the_annexs(void **state)
{
	static const u8 v4[HCA_CM_IP_BYTES] = {
		[1] = 0x40, [2] = 0xc0, [3] = 0x01, [16] = 10,	[17] = 1,
		[18] = 2,   [19] = 3,	[32] = 192, [33] = 168, [35] = 9,
	};
	static const u8 v6[HCA_CM_IP_BYTES] = {
		[1] = 0x60, [3] = 7, [4] = 0xfe, [5] = 0x80, [19] = 1, [20] = 0xff, [35] = 2
	};
	const struct hca_cm_ip four = {
		.version = 4, .port = 49153, .src = { 10, 1, 2, 3 }, .dst = { 192, 168, 0, 9 }
	};
	const struct hca_cm_ip six = {
		.version = 6, .port = 7, .src = { 0xfe, 0x80, [15] = 1 }, .dst = { 0xff, [15] = 2 }
	};
	struct hca_cm_ip ip;
	u8 out[HCA_CM_IP_BYTES];
	u32 i;

	(void)state;
	memset(out, 0xee, sizeof(out));
	assert_int_equal(hca_cm_ip_encode(&four, out), 0);
	assert_memory_equal(out, v4, sizeof(out));
	assert_int_equal(hca_cm_ip_encode(&six, out), 0);
	assert_memory_equal(out, v6, sizeof(out));
	assert_int_equal(hca_cm_ip_decode(v4, sizeof(v4), &ip), 0);
	assert_same_ip(&ip, &four);
	assert_int_equal(hca_cm_ip_decode(v6, sizeof(v6), &ip), 0);
	assert_same_ip(&ip, &six);
	assert_int_equal(hca_cm_ip_decode(v6, sizeof(v6) - 1, &ip), -EINVAL);
	for (i = 0; i < 256; i++) {
		memcpy(out, v4, sizeof(out));
		out[0] = (u8)i;
		assert_int_equal(hca_cm_ip_decode(out, sizeof(out), &ip), i < 16 ? 0 : -EINVAL);
		out[0] = 0;
		out[1] = (u8)i;
		assert_int_equal(hca_cm_ip_decode(out, sizeof(out), &ip), i >> 4 == 4 || i >> 4 == 6 ? 0 : -EINVAL);
	}
	for (i = 0; i < 256; i++) {
		ip = four;
		ip.version = (u8)i;
		assert_int_equal(hca_cm_ip_encode(&ip, out), i == 4 || i == 6 ? 0 : -EINVAL);
	}
}

static void ports_have_service_ids(void **state)
{
	(void)state;
	assert_int_equal(hca_cm_ip_service(HCA_CM_IP_TCP, 4420), 0x0000000001061144);
	assert_int_equal(hca_cm_ip_service(HCA_CM_IP_UDP, 0xffff), 0x000000000111ffff);
	assert_int_equal(hca_cm_ip_service(HCA_CM_IP_TCP, 1) & HCA_CM_IP_PREFIX_MASK, HCA_CM_IP_PREFIX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(bytes_are_the_specifications),     T(fields_dont_overlap),
		T(every_field_comes_back),	     T(a_value_too_large_is_refused),
		T(options_have_a_vendor_of_24_bits), T(too_many_bytes_are_refused),
		T(there_is_no_such_attribute),	     T(another_header_is_refused),
		T(reserved_bits_are_passed_over),    T(too_much_additional_information_is_refused),
		T(ip_headers_are_the_annexs),	     T(ports_have_service_ids),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
