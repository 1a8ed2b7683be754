/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Questions for paths, and their answers; see sa.h. */
#include "cm/sa.h"

#include "hca/hca.h"

/* What all our links have. */
#define MTU HCA_MTU_4096
#define RATE 16u /* 100 Gb/s: 4X of EDR */
#define LIFE 13u /* 34 ms: half of the acknowledgement's timeout */

#define RESPONSE_TIME 18u /* code: 1 s */
#define MASK_AT 48u
#define STATUS_AT 4u
#define ATTR_AT 16u

/* Of the communication manager (IBTA 16.7.3.1): reliable, unreliable, datagrams. */
#define CM_CAPABILITIES (1u << 9 | 1u << 12 | 1u << 13)

#define SIZE(member) ((u8)sizeof(((struct hca_sa_path *)0)->member))
#define F(byte, first, bits, member) \
	{ \
		.bit = (byte)*8 + (first), .width = (bits), .at = offsetof(struct hca_sa_path, member), \
		.size = SIZE(member) \
	}

/* Table 205 */
static const struct hca_cm_field fields[] = {
	F(0, 0, 64, service_id),    F(8, 0, 128, dgid),	     F(24, 0, 128, sgid),	 F(40, 0, 16, dlid),
	F(42, 0, 16, slid),	    F(44, 0, 1, raw),	     F(44, 4, 20, flow_label),	 F(47, 0, 8, hop_limit),
	F(48, 0, 8, traffic_class), F(49, 0, 1, reversible), F(49, 1, 7, numb_path),	 F(50, 0, 16, pkey),
	F(52, 0, 12, qos_class),    F(53, 4, 4, sl),	     F(54, 0, 2, mtu_selector),	 F(54, 2, 6, mtu),
	F(55, 0, 2, rate_selector), F(55, 2, 6, rate),	     F(56, 0, 2, life_selector), F(56, 2, 6, life),
	F(57, 0, 8, preference),
};

int hca_sa_put(const struct hca_sa_path *path, u8 *at)
{
	u32 i;

	for (i = 0; i < HCA_ARRAY_SIZE(fields); i++)
		if (hca_mad_put(path, &fields[i], at))
			return -EINVAL;
	return 0;
}

void hca_sa_get(const u8 *at, struct hca_sa_path *path)
{
	u32 i;

	for (i = 0; i < HCA_ARRAY_SIZE(fields); i++)
		hca_mad_get(at, &fields[i], path);
}

/* --- paths --- */

/* In units of 100 Mb/s, by IBTA's code (15.2.5.16); 0: no such code. */
static u32 speed(u32 rate)
{
	static const u16 speeds[] = {
		[2] = 25,    [3] = 100,	  [4] = 300,   [5] = 50,   [6] = 200,	[7] = 400,   [8] = 600,
		[9] = 800,   [10] = 1200, [11] = 140,  [12] = 560, [13] = 1120, [14] = 1680, [15] = 250,
		[16] = 1000, [17] = 2000, [18] = 3000, [19] = 280, [20] = 500,	[21] = 4000, [22] = 6000
	};

	return rate < HCA_ARRAY_SIZE(speeds) ? speeds[rate] : 0;
}

/* Without a selector a value is meant exactly. */
static bool suits(u64 mask, u32 selector_bit, u32 selector, u32 bit, u32 value, u32 ours)
{
	if (!(mask & bit))
		return true;
	switch (mask & selector_bit ? selector : HCA_SA_EXACTLY) {
	case HCA_SA_GREATER:
		return ours > value;
	case HCA_SA_LESS:
		return ours < value;
	case HCA_SA_EXACTLY:
		return ours == value;
	default:
		return true;
	}
}

/* Does the path that there is have the values that the question gives? */
static bool has_values(u64 mask, const struct hca_sa_path *q)
{
	if ((mask & HCA_SA_RAW && q->raw) || (mask & HCA_SA_SL && q->sl) || (mask & HCA_SA_QOS_CLASS && q->qos_class))
		return false;
	/* Whole or limited membership of the only partition. */
	if (mask & HCA_SA_PKEY && (q->pkey | 0x8000u) != HCA_DEFAULT_PKEY)
		return false;
	if (mask & HCA_SA_RATE && !speed(q->rate))
		return false;
	return suits(mask, HCA_SA_MTU_SELECTOR, q->mtu_selector, HCA_SA_MTU, q->mtu, MTU) &&
	       suits(mask, HCA_SA_RATE_SELECTOR, q->rate_selector, HCA_SA_RATE, speed(q->rate), speed(RATE)) &&
	       suits(mask, HCA_SA_LIFE_SELECTOR, q->life_selector, HCA_SA_LIFE, q->life, LIFE);
}

static bool has_ends(const struct hca_gids *gids, u32 lid, u32 from, u64 mask, const struct hca_sa_path *q)
{
	return (!(mask & HCA_SA_DGID) || hca_gid_is_ours(gids, q->dgid)) && (!(mask & HCA_SA_DLID) || q->dlid == lid) &&
	       (!(mask & HCA_SA_SLID) || q->slid == from);
}

enum hca_sa_status hca_sa_find(const struct hca_gids *gids, u32 lid, u32 from, u64 mask, const struct hca_sa_path *q,
			       struct hca_sa_path *path)
{
	const struct hca_gid *first = hca_gid_at(gids, 0);

	/* A path has two ends, and the one that asks is known by its LID. */
	if (!(mask & (HCA_SA_DGID | HCA_SA_DLID)))
		return HCA_SA_REQ_INVALID;
	if (!has_ends(gids, lid, from, mask, q) || !has_values(mask, q))
		return HCA_SA_NO_RECORDS;
	*path = (struct hca_sa_path){
		.service_id = mask & HCA_SA_SERVICE_ID ? q->service_id : 0,
		.dlid = (u16)lid,
		.slid = (u16)from,
		.flow_label = mask & HCA_SA_FLOW_LABEL ? q->flow_label : 0,
		.hop_limit = mask & HCA_SA_HOP_LIMIT ? q->hop_limit : 0,
		.traffic_class = mask & HCA_SA_TRAFFIC_CLASS ? q->traffic_class : 0,
		.reversible = 1,
		.numb_path = 1,
		.pkey = HCA_DEFAULT_PKEY,
		.mtu_selector = HCA_SA_EXACTLY,
		.mtu = MTU,
		.rate_selector = HCA_SA_EXACTLY,
		.rate = RATE,
		.life_selector = HCA_SA_EXACTLY,
		.life = LIFE,
	};
	if (mask & HCA_SA_DGID)
		hca_memcpy(path->dgid, q->dgid, sizeof(path->dgid));
	else if (first)
		hca_memcpy(path->dgid, first->raw, sizeof(path->dgid));
	if (mask & HCA_SA_SGID)
		hca_memcpy(path->sgid, q->sgid, sizeof(path->sgid));
	return HCA_SA_OK;
}

/* --- datagrams --- */

static u64 get(const u8 *at, u32 bytes)
{
	u64 v = 0;

	while (bytes--)
		v = v << 8 | *at++;
	return v;
}

/* ClassPortInfo (13.4.8.1): versions, capabilities, and how long an answer takes. Nothing is redirected. */
static void class_port_info(u8 *at, u32 version, u32 capabilities)
{
	at[0] = HCA_MAD_BASE_VERSION;
	at[1] = (u8)version;
	at[2] = (u8)(capabilities >> 8);
	at[3] = (u8)capabilities;
	at[7] = RESPONSE_TIME;
}

static enum hca_sa_status answer_path(const struct hca_gids *gids, u32 lid, u32 from, const u8 *bytes, u8 *out)
{
	struct hca_sa_path q, path;
	enum hca_sa_status status;

	hca_sa_get(bytes + HCA_SA_DATA, &q);
	status = hca_sa_find(gids, lid, from, get(bytes + MASK_AT, 8), &q, &path);
	if (!status)
		(void)hca_sa_put(&path, out + HCA_SA_DATA);
	return status;
}

static enum hca_sa_status answer_sa(const struct hca_gids *gids, u32 lid, u32 from, const u8 *bytes, u8 *out)
{
	if (bytes[3] != HCA_MAD_GET)
		return HCA_SA_BAD_METHOD;
	switch (get(bytes + ATTR_AT, 2)) {
	case HCA_MAD_CLASS_PORT_INFO:
		class_port_info(out + HCA_SA_DATA, HCA_SA_CLASS_VERSION, 0);
		return HCA_SA_OK;
	case HCA_SA_PATH_RECORD:
		return answer_path(gids, lid, from, bytes, out);
	default:
		return HCA_SA_BAD_ATTRIBUTE;
	}
}

static enum hca_sa_status answer_cm(const u8 *bytes, u8 *out)
{
	if (get(bytes + ATTR_AT, 2) != HCA_MAD_CLASS_PORT_INFO)
		return HCA_SA_BAD_ATTRIBUTE;
	class_port_info(out + HCA_MAD_HEADER, HCA_CM_CLASS_VERSION, CM_CAPABILITIES);
	return HCA_SA_OK;
}

/* Methods with an answer: an answer has none, nor have a message, a trap, and its end. */
static bool is_question(const u8 *bytes)
{
	bool sa = bytes[1] == HCA_MAD_CLASS_SA, cm = bytes[1] == HCA_MAD_CLASS_CM && bytes[3] == HCA_MAD_GET;

	return bytes[0] == HCA_MAD_BASE_VERSION && (sa || cm) && !(bytes[3] & HCA_MAD_RESPONSE) && bytes[3] != 0 &&
	       bytes[3] != HCA_MAD_SEND && bytes[3] != 0x05 && bytes[3] != 0x07;
}

int hca_sa_answer(const struct hca_gids *gids, u32 lid, u32 from, const u8 *bytes, u32 len, u8 *out)
{
	enum hca_sa_status status = HCA_SA_BAD_VERSION;

	if (len != HCA_MAD_BYTES || !is_question(bytes))
		return -EINVAL;
	hca_memset(out, 0, HCA_MAD_BYTES);
	hca_memcpy(out, bytes, HCA_MAD_HEADER);
	if (bytes[1] == HCA_MAD_CLASS_SA)
		hca_memcpy(out + MASK_AT, bytes + MASK_AT, 8);
	/* Get and Set have one answer (13.4.5). */
	out[3] = (bytes[3] == HCA_MAD_SET ? HCA_MAD_GET : bytes[3]) | HCA_MAD_RESPONSE;
	/* Both classes have this version. */
	if (bytes[2] == HCA_SA_CLASS_VERSION)
		status = bytes[1] == HCA_MAD_CLASS_SA ? answer_sa(gids, lid, from, bytes, out) : answer_cm(bytes, out);
	out[STATUS_AT] = (u8)(status >> 8);
	out[STATUS_AT + 1] = (u8)status;
	return 0;
}
