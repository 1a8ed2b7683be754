/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What types, states and rights are called, for people and in JSON; see status.h. */
#include "status.h"

const char *status_type_name(u8 type)
{
	static const char *const names[] = {
		[HCA_QPT_SMI] = "SMI",
		[HCA_QPT_GSI] = "GSI",
		[HCA_QPT_RC] = "RC",
		[HCA_QPT_UC] = "UC",
		[HCA_QPT_UD] = "UD",
		[HCA_QPT_XRC_INI] = "XRC_SEND",
		[HCA_QPT_XRC_TGT] = "XRC_RECV",
	};

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : NULL;
}

const char *status_state_name(u8 state)
{
	static const char *const names[HCA_QPS_COUNT] = {
		[HCA_QPS_RESET] = "RESET", [HCA_QPS_INIT] = "INIT", [HCA_QPS_RTR] = "RTR", [HCA_QPS_RTS] = "RTS",
		[HCA_QPS_SQD] = "SQD",	   [HCA_QPS_SQE] = "SQE",   [HCA_QPS_ERR] = "ERR",
	};

	return state < HCA_QPS_COUNT ? names[state] : NULL;
}

const char *status_right_name(unsigned int i, u32 access, bool *has)
{
	static const struct {
		u32 bit;
		const char *name;
	} rights[] = {
		{ HCA_ACCESS_LOCAL_WRITE, "local_write" }, { HCA_ACCESS_REMOTE_WRITE, "remote_write" },
		{ HCA_ACCESS_REMOTE_READ, "remote_read" }, { HCA_ACCESS_REMOTE_ATOMIC, "remote_atomic" },
		{ HCA_ACCESS_MW_BIND, "mw_bind" },	   { HCA_ACCESS_ZERO_BASED, "zero_based" },
		{ HCA_ACCESS_ON_DEMAND, "on_demand" },	   { 1u << 31, "mw" },
	};

	if (i >= sizeof(rights) / sizeof(rights[0]))
		return NULL;
	*has = access & rights[i].bit;
	return rights[i].name;
}
