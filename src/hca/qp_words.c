/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Queue pairs in words: names of types, states and attributes, and what is wrong with a
 * change. Called only when something is refused.
 */
#include "hca/qp_state.h"

/* Bits of enum hca_qp_attr_mask; without the prefix, which is each face's own. */
static const char *const attr_names[] = {
	[0] = "STATE",
	[1] = "CUR_STATE",
	[2] = "EN_SQD_ASYNC_NOTIFY",
	[3] = "ACCESS_FLAGS",
	[4] = "PKEY_INDEX",
	[5] = "PORT",
	[6] = "QKEY",
	[7] = "AV",
	[8] = "PATH_MTU",
	[9] = "TIMEOUT",
	[10] = "RETRY_CNT",
	[11] = "RNR_RETRY",
	[12] = "RQ_PSN",
	[13] = "MAX_QP_RD_ATOMIC",
	[14] = "ALT_PATH",
	[15] = "MIN_RNR_TIMER",
	[16] = "SQ_PSN",
	[17] = "MAX_DEST_RD_ATOMIC",
	[18] = "PATH_MIG_STATE",
	[19] = "CAP",
	[20] = "DEST_QPN",
	[25] = "RATE_LIMIT",
};

const char *hca_qp_state_name(enum hca_qp_state state)
{
	static const char *const names[] = { "RESET", "INIT", "RTR", "RTS", "SQD", "SQE", "ERR" };

	return (u32)state < HCA_ARRAY_SIZE(names) ? names[state] : "?";
}

const char *hca_qp_type_name(enum hca_qp_type type)
{
	static const char *const names[] = {
		[HCA_QPT_SMI] = "SMI",	       [HCA_QPT_GSI] = "GSI", [HCA_QPT_RC] = "RC",
		[HCA_QPT_UC] = "UC",	       [HCA_QPT_UD] = "UD",   [HCA_QPT_XRC_INI] = "XRC_INI",
		[HCA_QPT_XRC_TGT] = "XRC_TGT",
	};

	return (u32)type < HCA_ARRAY_SIZE(names) && names[type] ? names[type] : "?";
}

/* "AV, PATH_MTU". Return: bytes */
static size_t put_attrs(u32 attrs, char *buf, size_t size)
{
	size_t n = 0;
	u32 bit;

	buf[0] = 0;
	for (bit = 0; bit < 32; bit++) {
		const char *name = bit < HCA_ARRAY_SIZE(attr_names) ? attr_names[bit] : NULL;

		if (!(attrs >> bit & 1))
			continue;
		if (name)
			n += hca_snprintf(buf + n, size - n, "%s%s", n ? ", " : "", name);
		else
			n += hca_snprintf(buf + n, size - n, "%sbit %u", n ? ", " : "", bit);
	}
	return n;
}

const char *hca_qp_refusal_str(const struct hca_qp_refusal *why, char *buf, size_t size)
{
	size_t n = 0;

	switch (why->what) {
	case HCA_QP_NO_TYPE:
		hca_snprintf(buf, size, "there is no such state or type");
		break;
	case HCA_QP_NO_WAY:
		hca_snprintf(buf, size, "there is no such transition");
		break;
	case HCA_QP_MISSING:
		n = put_attrs(why->attrs, buf, size);
		hca_snprintf(buf + n, size - n, ": needed for this transition, missing in the mask");
		break;
	case HCA_QP_TOO_MANY:
		n = put_attrs(why->attrs, buf, size);
		hca_snprintf(buf + n, size - n, ": in the mask, not allowed in this transition");
		break;
	case HCA_QP_UNSUPPORTED:
		n = put_attrs(why->attrs, buf, size);
		hca_snprintf(buf + n, size - n, ": in the mask, not supported");
		break;
	case HCA_QP_VALUE:
		if (why->rule)
			hca_snprintf(buf, size, "%s is %llu, must be %s", why->field, (unsigned long long)why->value,
				     why->rule);
		else
			hca_snprintf(buf, size, "%s is %llu, must be from %llu to %llu", why->field,
				     (unsigned long long)why->value, (unsigned long long)why->least,
				     (unsigned long long)why->most);
		break;
	}
	return buf;
}
