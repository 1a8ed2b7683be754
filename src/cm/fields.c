/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where the fields of each attribute are; see mad.h. Bytes count from the end of the header, bits from the most significant. */
#include "cm/mad.h"

#define SIZE(member) ((u8)sizeof(((struct hca_cm_msg *)0)->member))
#define F(byte, first, bits, member) \
	{ \
		.bit = (byte)*8 + (first), .width = (bits), .at = offsetof(struct hca_cm_msg, member), \
		.size = SIZE(member) \
	}
/* The vendor's ID, in the order of a wire; a REP has its bytes where three other fields leave room. */
#define VENDOR(high, middle, low) F(high, 0, 8, vendor_id[0]), F(middle, 0, 8, vendor_id[1]), F(low, 0, 8, vendor_id[2])
#define IDS F(0, 0, 32, local_comm_id), F(4, 0, 32, remote_comm_id)
/* A path of a REQ, 44 bytes. */
#define ROUTE(byte, path) \
	F(byte, 0, 16, path.local_lid), F((byte) + 2, 0, 16, path.remote_lid), F((byte) + 4, 0, 128, path.local_gid), \
		F((byte) + 20, 0, 128, path.remote_gid), F((byte) + 36, 0, 20, path.flow_label), \
		F((byte) + 39, 2, 6, path.rate), F((byte) + 40, 0, 8, path.traffic_class), \
		F((byte) + 41, 0, 8, path.hop_limit), F((byte) + 42, 0, 4, path.sl), \
		F((byte) + 42, 4, 1, path.subnet_local), F((byte) + 43, 0, 5, path.ack_timeout)

/* Table 106 */
static const struct hca_cm_field req[] = {
	F(0, 0, 32, local_comm_id),
	VENDOR(5, 6, 7),
	F(8, 0, 64, service_id),
	F(16, 0, 64, ca_guid),
	F(28, 0, 32, qkey),
	F(32, 0, 24, qpn),
	F(35, 0, 8, responder_resources),
	F(36, 0, 24, eecn),
	F(39, 0, 8, initiator_depth),
	F(40, 0, 24, remote_eecn),
	F(43, 0, 5, remote_response_timeout),
	F(43, 5, 2, service_type),
	F(43, 7, 1, flow_control),
	F(44, 0, 24, psn),
	F(47, 0, 5, local_response_timeout),
	F(47, 5, 3, retry_count),
	F(48, 0, 16, pkey),
	F(50, 0, 4, path_mtu),
	F(50, 4, 1, rdc_exists),
	F(50, 5, 3, rnr_retry_count),
	F(51, 0, 4, max_cm_retries),
	F(51, 4, 1, srq),
	F(51, 5, 3, extended_type),
	ROUTE(52, primary),
	ROUTE(96, alternate),
};

/* Table 107 */
static const struct hca_cm_field mra[] = {
	IDS,
	F(8, 0, 2, about),
	F(9, 0, 5, service_timeout),
};

/* Table 108 */
static const struct hca_cm_field rej[] = {
	IDS,
	F(8, 0, 2, about),
	F(10, 0, 16, reason),
};

/* Table 110 */
static const struct hca_cm_field rep[] = {
	IDS,
	F(8, 0, 32, qkey),
	F(12, 0, 24, qpn),
	VENDOR(15, 19, 23),
	F(16, 0, 24, eecn),
	F(20, 0, 24, psn),
	F(24, 0, 8, responder_resources),
	F(25, 0, 8, initiator_depth),
	F(26, 0, 5, target_ack_delay),
	F(26, 5, 2, failover),
	F(26, 7, 1, flow_control),
	F(27, 0, 3, rnr_retry_count),
	F(27, 3, 1, srq),
	F(28, 0, 64, ca_guid),
};

/* Tables 111 and 113: RTU and DREP */
static const struct hca_cm_field ids[] = { IDS };

/* Table 112 */
static const struct hca_cm_field dreq[] = {
	IDS,
	F(8, 0, 24, qpn),
};

/* Table 115 */
static const struct hca_cm_field lap[] = {
	IDS,
	F(12, 0, 24, qpn),
	F(15, 0, 5, remote_response_timeout),
	F(20, 0, 16, primary.local_lid),
	F(22, 0, 16, primary.remote_lid),
	F(24, 0, 128, primary.local_gid),
	F(40, 0, 128, primary.remote_gid),
	F(56, 0, 20, primary.flow_label),
	F(59, 0, 8, primary.traffic_class),
	F(60, 0, 8, primary.hop_limit),
	F(61, 2, 6, primary.rate),
	F(62, 0, 4, primary.sl),
	F(62, 4, 1, primary.subnet_local),
	F(63, 0, 5, primary.ack_timeout),
};

/* Table 116 */
static const struct hca_cm_field apr[] = {
	IDS,
	F(9, 0, 8, status),
};

/* Table 119 */
static const struct hca_cm_field sidr_req[] = {
	F(0, 0, 32, local_comm_id),
	F(4, 0, 16, pkey),
	F(8, 0, 64, service_id),
};

/* Table 120 */
static const struct hca_cm_field sidr_rep[] = {
	F(0, 0, 32, local_comm_id), F(4, 0, 8, status), F(8, 0, 24, qpn), F(12, 0, 64, service_id), F(20, 0, 32, qkey),
};

#define FIELDS(f) .fields = (f), .count = HCA_ARRAY_SIZE(f)
#define ARI(byte, first, bits, begin) .ari_len_bit = (byte)*8 + (first), .ari_len_width = (bits), .ari_at = (begin)

static const struct hca_cm_format formats[HCA_CM_ATTRS] = {
	[HCA_CM_REQ - HCA_CM_ATTR_FIRST] = { FIELDS(req), .private_at = 140 },
	[HCA_CM_MRA - HCA_CM_ATTR_FIRST] = { FIELDS(mra), .private_at = 10 },
	[HCA_CM_REJ - HCA_CM_ATTR_FIRST] = { FIELDS(rej), ARI(9, 0, 7, 12), .private_at = 84 },
	[HCA_CM_REP - HCA_CM_ATTR_FIRST] = { FIELDS(rep), .private_at = 36 },
	[HCA_CM_RTU - HCA_CM_ATTR_FIRST] = { FIELDS(ids), .private_at = 8 },
	[HCA_CM_DREQ - HCA_CM_ATTR_FIRST] = { FIELDS(dreq), .private_at = 12 },
	[HCA_CM_DREP - HCA_CM_ATTR_FIRST] = { FIELDS(ids), .private_at = 8 },
	[HCA_CM_SIDR_REQ - HCA_CM_ATTR_FIRST] = { FIELDS(sidr_req), .private_at = 16 },
	[HCA_CM_SIDR_REP - HCA_CM_ATTR_FIRST] = { FIELDS(sidr_rep), ARI(5, 0, 8, 24), .private_at = 96 },
	[HCA_CM_LAP - HCA_CM_ATTR_FIRST] = { FIELDS(lap), .private_at = 64 },
	[HCA_CM_APR - HCA_CM_ATTR_FIRST] = { FIELDS(apr), ARI(8, 0, 8, 12), .private_at = 84 },
};

const struct hca_cm_format *hca_cm_format(u32 attr)
{
	return attr - HCA_CM_ATTR_FIRST < HCA_CM_ATTRS ? &formats[attr - HCA_CM_ATTR_FIRST] : NULL;
}

u32 hca_cm_private_room(u32 attr)
{
	const struct hca_cm_format *f = hca_cm_format(attr);

	return f ? HCA_CM_BODY - f->private_at : 0;
}
