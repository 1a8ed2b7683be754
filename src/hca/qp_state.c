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

int hca_qp_check_modify(enum hca_qp_type type, enum hca_qp_state cur, enum hca_qp_state next, u32 mask)
{
	enum column c = column_of(type);
	const struct way *w;

	/* An enum may hold any number here: it comes from a consumer. */
	if (c == COLUMNS || (u32)cur >= HCA_QPS_COUNT || (u32)next >= HCA_QPS_COUNT)
		return -EINVAL;
	w = &ways[cur][next];
	if (!(w->types >> c & 1))
		return -EINVAL;
	if ((mask & w->need[c]) != w->need[c] || mask & ~(w->need[c] | w->may[c] | A(STATE)))
		return -EINVAL;
	return 0;
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

static bool port_valid(u32 port, const struct hca_qp_limits *limits)
{
	return port && port <= limits->ports;
}

/* A queue pair with a path has one peer, so no multicast address will do. */
static bool path_valid(const struct hca_ah_attr *ah, const struct hca_qp_limits *limits)
{
	if (!port_valid(ah->port_num, limits) || ah->sl > MAX_SL || ah->src_path_bits > MAX_PATH_BITS)
		return false;
	if (ah->dlid >= FIRST_MULTICAST_LID)
		return false;
	if (!ah->is_global)
		return limits->has_lids;
	return (ah->grh.sgid_index < limits->gids && ah->grh.flow_label <= MAX_FLOW_LABEL &&
		ah->grh.dgid.raw[0] != MULTICAST_GID_BYTE);
}

/* Numbers with a greatest value; the others are looked at one by one. */
static bool numbers_valid(const struct hca_qp_attr *a, u32 mask, const struct hca_qp_limits *limits)
{
	const struct {
		u32 bit;
		u32 value;
		u32 max;
	} n[] = {
		{ A(CUR_STATE), (u32)a->cur_qp_state, HCA_QPS_COUNT - 1 },
		{ A(PATH_MIG_STATE), (u32)a->path_mig_state, HCA_MIG_MIGRATED },
		{ A(RQ_PSN), a->rq_psn, MAX_24_BITS },
		{ A(SQ_PSN), a->sq_psn, MAX_24_BITS },
		{ A(DEST_QPN), a->dest_qp_num, MAX_24_BITS },
		{ A(MAX_QP_RD_ATOMIC), a->max_rd_atomic, limits->max_rd_atomic },
		{ A(MAX_DEST_RD_ATOMIC), a->max_dest_rd_atomic, limits->max_dest_rd_atomic },
		{ A(MIN_RNR_TIMER), a->min_rnr_timer, MAX_TIME_CODE },
		{ A(TIMEOUT), a->timeout, MAX_TIME_CODE },
		{ A(RETRY_CNT), a->retry_cnt, MAX_RETRY },
		{ A(RNR_RETRY), a->rnr_retry, MAX_RETRY },
	};
	u32 i;

	for (i = 0; i < HCA_ARRAY_SIZE(n); i++)
		if (mask & n[i].bit && n[i].value > n[i].max)
			return false;
	return true;
}

int hca_qp_check_attr(const struct hca_qp_attr *a, u32 mask, const struct hca_qp_limits *limits)
{
	/* What the tables above let pass for the sake of others, and no device of ours can do. */
	if (mask & (A(ALT_PATH) | A(CAP) | A(RATE_LIMIT)))
		return -EINVAL;
	if (!numbers_valid(a, mask, limits))
		return -EINVAL;
	if (mask & A(STATE) && (u32)a->qp_state >= HCA_QPS_COUNT)
		return -EINVAL;
	if (mask & A(ACCESS_FLAGS) && a->qp_access_flags & ~(u32)(HCA_ACCESS_SUPPORTED | HCA_ACCESS_OPTIONAL))
		return -EINVAL;
	if (mask & A(PATH_MTU) && ((u32)a->path_mtu < HCA_MTU_256 || (u32)a->path_mtu > limits->max_mtu))
		return -EINVAL;
	if (mask & A(PKEY_INDEX) && a->pkey_index >= limits->pkeys)
		return -EINVAL;
	if (mask & A(PORT) && !port_valid(a->port_num, limits))
		return -EINVAL;
	if (mask & A(AV) && !path_valid(&a->ah, limits))
		return -EINVAL;
	return 0;
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
