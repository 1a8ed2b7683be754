/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tables behind qp_state.h. One row for a way from a state to another, one
 * column for the types of queue pairs that have the same rules. Pure functions:
 * nothing here takes a lock or remembers anything.
 */
#include "hca/qp_state.h"

#define A(x) ((u32)HCA_QP_##x)

/* Attributes that go together. */
#define CONNECTED_INIT (A(PKEY_INDEX) | A(PORT) | A(ACCESS_FLAGS))
#define PATH (A(AV) | A(PATH_MTU) | A(DEST_QPN) | A(RQ_PSN))
#define RESPONDER (A(MAX_DEST_RD_ATOMIC) | A(MIN_RNR_TIMER))
#define REQUESTER (A(RETRY_CNT) | A(RNR_RETRY) | A(MAX_QP_RD_ATOMIC))
#define MIGRATION (A(ALT_PATH) | A(PATH_MIG_STATE))
#define ON_THE_MOVE (A(CUR_STATE) | A(ACCESS_FLAGS))
#define NEW_PATH (A(PORT) | A(AV) | A(TIMEOUT) | A(ACCESS_FLAGS) | A(PKEY_INDEX) | MIGRATION)

enum column { RC, UC, UD, XRC_INI, XRC_TGT, MANAGEMENT, COLUMNS };

/* A queue pair whose requests aren't acknowledged stops at a local error with its send queue alone. */
#define HAS_SQE (1u << UC | 1u << UD | 1u << MANAGEMENT)
#define EVERY ((1u << COLUMNS) - 1)

struct way {
	u32 types; /* columns for which there is such a way */
	u32 need[COLUMNS];
	u32 may[COLUMNS]; /* also */
};

#define TO_RESET [HCA_QPS_RESET] = { .types = EVERY }
#define TO_ERR [HCA_QPS_ERR] = { .types = EVERY }

/* Attributes of a queue pair that is ready to send, and of one that becomes so. */
#define WHILE_SENDING \
	{ \
		[RC] = ON_THE_MOVE | MIGRATION | A(MIN_RNR_TIMER), [UC] = ON_THE_MOVE | MIGRATION, \
		[UD] = A(CUR_STATE) | A(QKEY), [XRC_INI] = ON_THE_MOVE | MIGRATION, \
		[XRC_TGT] = ON_THE_MOVE | MIGRATION | A(MIN_RNR_TIMER), [MANAGEMENT] = A(CUR_STATE) | A(QKEY), \
	}

static const struct way ways[HCA_QPS_COUNT][HCA_QPS_COUNT] = {
	[HCA_QPS_RESET] = {
		TO_RESET,
		[HCA_QPS_INIT] = {
			.types = EVERY,
			.need = {
				[RC] = CONNECTED_INIT,
				[UC] = CONNECTED_INIT,
				[UD] = A(PKEY_INDEX) | A(PORT) | A(QKEY),
				[XRC_INI] = CONNECTED_INIT,
				[XRC_TGT] = CONNECTED_INIT,
				[MANAGEMENT] = A(PKEY_INDEX) | A(QKEY),
			},
		},
	},
	[HCA_QPS_INIT] = {
		TO_RESET,
		TO_ERR,
		[HCA_QPS_INIT] = {
			.types = EVERY,
			.may = {
				[RC] = CONNECTED_INIT,
				[UC] = CONNECTED_INIT,
				[UD] = A(PKEY_INDEX) | A(PORT) | A(QKEY),
				[XRC_INI] = CONNECTED_INIT,
				[XRC_TGT] = CONNECTED_INIT,
				[MANAGEMENT] = A(PKEY_INDEX) | A(QKEY),
			},
		},
		[HCA_QPS_RTR] = {
			.types = EVERY,
			.need = {
				[RC] = PATH | RESPONDER,
				[UC] = PATH,
				[XRC_INI] = PATH,
				[XRC_TGT] = PATH | RESPONDER,
			},
			.may = {
				[RC] = A(ALT_PATH) | A(ACCESS_FLAGS) | A(PKEY_INDEX),
				[UC] = A(ALT_PATH) | A(ACCESS_FLAGS) | A(PKEY_INDEX),
				[UD] = A(PKEY_INDEX) | A(QKEY),
				[XRC_INI] = A(ALT_PATH) | A(ACCESS_FLAGS) | A(PKEY_INDEX),
				[XRC_TGT] = A(ALT_PATH) | A(ACCESS_FLAGS) | A(PKEY_INDEX),
				[MANAGEMENT] = A(PKEY_INDEX) | A(QKEY),
			},
		},
	},
	[HCA_QPS_RTR] = {
		TO_RESET,
		TO_ERR,
		[HCA_QPS_RTS] = {
			.types = EVERY,
			.need = {
				[RC] = A(SQ_PSN) | A(TIMEOUT) | REQUESTER,
				[UC] = A(SQ_PSN),
				[UD] = A(SQ_PSN),
				[XRC_INI] = A(SQ_PSN) | A(TIMEOUT) | REQUESTER,
				[XRC_TGT] = A(SQ_PSN) | A(TIMEOUT),
				[MANAGEMENT] = A(SQ_PSN),
			},
			.may = WHILE_SENDING,
		},
	},
	[HCA_QPS_RTS] = {
		TO_RESET,
		TO_ERR,
		[HCA_QPS_RTS] = { .types = EVERY, .may = WHILE_SENDING },
		[HCA_QPS_SQD] = {
			.types = EVERY,
			.may = {
				[RC] = A(EN_SQD_ASYNC_NOTIFY),
				[UC] = A(EN_SQD_ASYNC_NOTIFY),
				[UD] = A(EN_SQD_ASYNC_NOTIFY),
				[XRC_INI] = A(EN_SQD_ASYNC_NOTIFY),
				[XRC_TGT] = A(EN_SQD_ASYNC_NOTIFY),
				[MANAGEMENT] = A(EN_SQD_ASYNC_NOTIFY),
			},
		},
	},
	[HCA_QPS_SQD] = {
		TO_RESET,
		TO_ERR,
		[HCA_QPS_RTS] = { .types = EVERY, .may = WHILE_SENDING },
		[HCA_QPS_SQD] = {
			.types = EVERY,
			.may = {
				[RC] = NEW_PATH | REQUESTER | RESPONDER,
				[UC] = A(AV) | A(ACCESS_FLAGS) | A(PKEY_INDEX) | MIGRATION,
				[UD] = A(PKEY_INDEX) | A(QKEY),
				[XRC_INI] = NEW_PATH | REQUESTER,
				[XRC_TGT] = NEW_PATH | RESPONDER,
				[MANAGEMENT] = A(PKEY_INDEX) | A(QKEY),
			},
		},
	},
	[HCA_QPS_SQE] = {
		TO_RESET,
		TO_ERR,
		[HCA_QPS_RTS] = {
			.types = HAS_SQE,
			.may = {
				[UC] = ON_THE_MOVE,
				[UD] = A(CUR_STATE) | A(QKEY),
				[MANAGEMENT] = A(CUR_STATE) | A(QKEY),
			},
		},
	},
	[HCA_QPS_ERR] = {
		TO_RESET,
		TO_ERR,
	},
};

static enum column column_of(enum hca_qp_type type)
{
	switch (type) {
	case HCA_QPT_RC:
		return RC;
	case HCA_QPT_UC:
		return UC;
	case HCA_QPT_UD:
		return UD;
	case HCA_QPT_XRC_INI:
		return XRC_INI;
	case HCA_QPT_XRC_TGT:
		return XRC_TGT;
	case HCA_QPT_SMI:
	case HCA_QPT_GSI:
		return MANAGEMENT;
	}
	return COLUMNS;
}

static int wrong(struct hca_qp_refusal *why, enum hca_qp_wrong what, u32 attrs)
{
	*why = (struct hca_qp_refusal){ .what = what, .attrs = attrs };
	return -EINVAL; /* @why says why */
}

int hca_qp_check_modify(enum hca_qp_type type, enum hca_qp_state cur, enum hca_qp_state next, u32 mask,
			struct hca_qp_refusal *why)
{
	enum column c = column_of(type);
	const struct way *w;
	u32 missing, more;

	/* An enum may hold any number here: it comes from a consumer. */
	if (c == COLUMNS || (u32)cur >= HCA_QPS_COUNT || (u32)next >= HCA_QPS_COUNT)
		return wrong(why, HCA_QP_NO_TYPE, A(STATE));
	w = &ways[cur][next];
	if (!(w->types >> c & 1))
		return wrong(why, HCA_QP_NO_WAY, A(STATE));
	missing = w->need[c] & ~mask;
	more = mask & ~(w->need[c] | w->may[c] | A(STATE));
	if (missing)
		return wrong(why, HCA_QP_MISSING, missing);
	return more ? wrong(why, HCA_QP_TOO_MANY, more) : 0;
}

/* --- values --- */

#define MAX_24_BITS 0xffffffu
#define MAX_FLOW_LABEL 0xfffffu
#define FIRST_MULTICAST_LID 0xc000u
#define MULTICAST_GID_BYTE 0xffu
#define MAX_SL 15u
#define MAX_PATH_BITS 0x7fu
#define MAX_TIME_CODE 31u
#define MAX_RETRY 7u

static int out_of_range(struct hca_qp_refusal *why, u32 attr, const char *field, u64 value, u64 least, u64 most)
{
	*why = (struct hca_qp_refusal){
		.what = HCA_QP_VALUE, .attrs = attr, .field = field, .value = value, .least = least, .most = most
	};
	return -EINVAL; /* @why says why */
}

static int breaks(struct hca_qp_refusal *why, u32 attr, const char *field, u64 value, const char *rule)
{
	*why = (struct hca_qp_refusal){
		.what = HCA_QP_VALUE, .attrs = attr, .field = field, .value = value, .rule = rule
	};
	return -EINVAL; /* @why says why */
}

/* A queue pair with a path has one peer, so no multicast address will do. */
static int check_path(const struct hca_ah_attr *ah, const struct hca_qp_limits *limits, struct hca_qp_refusal *why)
{
	if (!ah->port_num || ah->port_num > limits->ports)
		return out_of_range(why, A(AV), "ah_attr.port_num", ah->port_num, 1, limits->ports);
	if (ah->sl > MAX_SL)
		return out_of_range(why, A(AV), "ah_attr.sl", ah->sl, 0, MAX_SL);
	if (ah->src_path_bits > MAX_PATH_BITS)
		return out_of_range(why, A(AV), "ah_attr.src_path_bits", ah->src_path_bits, 0, MAX_PATH_BITS);
	if (ah->dlid >= FIRST_MULTICAST_LID)
		return out_of_range(why, A(AV), "ah_attr.dlid", ah->dlid, 0, FIRST_MULTICAST_LID - 1);
	if (!ah->is_global)
		return limits->has_lids ? 0 :
					  breaks(why, A(AV), "ah_attr.is_global", 0,
						 "1: this port has no LIDs, and a path leads to a GID");
	if (ah->grh.sgid_index >= limits->gids)
		return out_of_range(why, A(AV), "ah_attr.grh.sgid_index", ah->grh.sgid_index, 0, limits->gids - 1);
	if (ah->grh.flow_label > MAX_FLOW_LABEL)
		return out_of_range(why, A(AV), "ah_attr.grh.flow_label", ah->grh.flow_label, 0, MAX_FLOW_LABEL);
	if (ah->grh.dgid.raw[0] == MULTICAST_GID_BYTE)
		return breaks(why, A(AV), "ah_attr.grh.dgid[0]", ah->grh.dgid.raw[0], "no group's address (0xff)");
	return 0;
}

/* Numbers with a greatest value; the others are looked at one by one. */
static int check_numbers(const struct hca_qp_attr *a, u32 mask, const struct hca_qp_limits *limits,
			 struct hca_qp_refusal *why)
{
	const struct {
		u32 bit;
		u32 value;
		u32 max;
		const char *field;
	} n[] = {
		{ A(CUR_STATE), (u32)a->cur_qp_state, HCA_QPS_COUNT - 1, "cur_qp_state" },
		{ A(PATH_MIG_STATE), (u32)a->path_mig_state, HCA_MIG_MIGRATED, "path_mig_state" },
		{ A(RQ_PSN), a->rq_psn, MAX_24_BITS, "rq_psn" },
		{ A(SQ_PSN), a->sq_psn, MAX_24_BITS, "sq_psn" },
		{ A(DEST_QPN), a->dest_qp_num, MAX_24_BITS, "dest_qp_num" },
		{ A(MAX_QP_RD_ATOMIC), a->max_rd_atomic, limits->max_rd_atomic, "max_rd_atomic" },
		{ A(MAX_DEST_RD_ATOMIC), a->max_dest_rd_atomic, limits->max_dest_rd_atomic, "max_dest_rd_atomic" },
		{ A(MIN_RNR_TIMER), a->min_rnr_timer, MAX_TIME_CODE, "min_rnr_timer" },
		{ A(TIMEOUT), a->timeout, MAX_TIME_CODE, "timeout" },
		{ A(RETRY_CNT), a->retry_cnt, MAX_RETRY, "retry_cnt" },
		{ A(RNR_RETRY), a->rnr_retry, MAX_RETRY, "rnr_retry" },
	};
	u32 i;

	for (i = 0; i < HCA_ARRAY_SIZE(n); i++)
		if (mask & n[i].bit && n[i].value > n[i].max)
			return out_of_range(why, n[i].bit, n[i].field, n[i].value, 0, n[i].max);
	return 0;
}

int hca_qp_check_attr(const struct hca_qp_attr *a, u32 mask, const struct hca_qp_limits *limits,
		      struct hca_qp_refusal *why)
{
	const u32 rights = HCA_ACCESS_SUPPORTED | HCA_ACCESS_OPTIONAL;
	/* What the tables above let pass for the sake of others, and no device of ours can do. */
	u32 others = mask & (A(ALT_PATH) | A(CAP) | A(RATE_LIMIT));

	if (others)
		return wrong(why, HCA_QP_UNSUPPORTED, others);
	if (check_numbers(a, mask, limits, why))
		return -EINVAL;
	if (mask & A(STATE) && (u32)a->qp_state >= HCA_QPS_COUNT)
		return out_of_range(why, A(STATE), "qp_state", (u32)a->qp_state, 0, HCA_QPS_COUNT - 1);
	if (mask & A(ACCESS_FLAGS) && a->qp_access_flags & ~rights)
		return breaks(why, A(ACCESS_FLAGS), "qp_access_flags", a->qp_access_flags & ~rights,
			      "no bits that aren't rights");
	if (mask & A(PATH_MTU) && ((u32)a->path_mtu < HCA_MTU_256 || (u32)a->path_mtu > limits->max_mtu))
		return out_of_range(why, A(PATH_MTU), "path_mtu", (u32)a->path_mtu, HCA_MTU_256, limits->max_mtu);
	if (mask & A(PKEY_INDEX) && a->pkey_index >= limits->pkeys)
		return out_of_range(why, A(PKEY_INDEX), "pkey_index", a->pkey_index, 0, limits->pkeys - 1);
	if (mask & A(PORT) && (!a->port_num || a->port_num > limits->ports))
		return out_of_range(why, A(PORT), "port_num", a->port_num, 1, limits->ports);
	return mask & A(AV) ? check_path(&a->ah, limits, why) : 0;
}

/* --- times --- */

#define RNR_UNIT_NS 10000u
#define ACK_UNIT_NS 4096u

/* In units of 10 us. Code 0 is the longest one. */
static const u16 rnr_units[MAX_TIME_CODE + 1] = {
	0,   1,	  2,   3,   4,	  6,	8,    12,   16,	  24,	32,   48,    64,    96,	   128,	  192,
	256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768, 49152,
};

u64 hca_rnr_timer_ns(u32 code)
{
	u32 units = rnr_units[code & MAX_TIME_CODE];

	return (u64)(units ? units : 65536) * RNR_UNIT_NS;
}

u64 hca_ack_timeout_ns(u32 code)
{
	code &= MAX_TIME_CODE;
	return code ? (u64)ACK_UNIT_NS << code : 0;
}
