/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The rules of modifying a queue pair, against a table written on its own: every
 * type, every pair of states, every attribute missing and every one too many. Then
 * the values at their limits, and the codes of times.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "hca/qp_state.h"
#include "no_leaks.h"

static struct hca_qp_refusal why;

/* --- the same facts, otherwise written --- */

static const struct {
	const char *name;
	u32 bit;
} attribute[] = {
	{ "state", 0 },	 { "cur", 1 },	{ "notify", 2 }, { "access", 3 },   { "pkey", 4 },   { "port", 5 },
	{ "qkey", 6 },	 { "av", 7 },	{ "mtu", 8 },	 { "timeout", 9 },  { "retry", 10 }, { "rnrretry", 11 },
	{ "rqpsn", 12 }, { "rd", 13 },	{ "alt", 14 },	 { "rnrtime", 15 }, { "sqpsn", 16 }, { "drd", 17 },
	{ "mig", 18 },	 { "cap", 19 }, { "dest", 20 },	 { "rate", 25 },
};

static const char *const state_name[] = { "RESET", "INIT", "RTR", "RTS", "SQD", "SQE", "ERR" };

static const struct {
	const char *name;
	u32 type;
} type_name[] = {
	{ "SMI", 0 }, { "GSI", 1 }, { "RC", 2 }, { "UC", 3 }, { "UD", 4 }, { "XINI", 9 }, { "XTGT", 10 },
};

#define ALL_TYPES "SMI GSI RC UC UD XINI XTGT"
#define CONNECTED "RC UC XINI XTGT"

/* A line adds to those that say the same way for the same type. */
static const struct {
	const char *types;
	const char *from;
	const char *to;
	const char *need;
	const char *may;
} rule[] = {
	{ ALL_TYPES, "RESET INIT RTR RTS SQD SQE ERR", "RESET", "", "" },
	{ ALL_TYPES, "INIT RTR RTS SQD SQE ERR", "ERR", "", "" },

	{ CONNECTED, "RESET", "INIT", "pkey port access", "" },
	{ "UD", "RESET", "INIT", "pkey port qkey", "" },
	{ "SMI GSI", "RESET", "INIT", "pkey qkey", "" },

	{ CONNECTED, "INIT", "INIT", "", "pkey port access" },
	{ "UD", "INIT", "INIT", "", "pkey port qkey" },
	{ "SMI GSI", "INIT", "INIT", "", "pkey qkey" },

	{ CONNECTED, "INIT", "RTR", "av mtu dest rqpsn", "alt access pkey" },
	{ "RC XTGT", "INIT", "RTR", "drd rnrtime", "" },
	{ "UD SMI GSI", "INIT", "RTR", "", "pkey qkey" },

	{ ALL_TYPES, "RTR", "RTS", "sqpsn", "cur" },
	{ "RC XINI", "RTR", "RTS", "timeout retry rnrretry rd", "" },
	{ "XTGT", "RTR", "RTS", "timeout", "" },

	{ ALL_TYPES, "RTS SQD", "RTS", "", "cur" },
	{ CONNECTED, "RTR RTS SQD", "RTS", "", "access alt mig" },
	{ "RC XTGT", "RTR RTS SQD", "RTS", "", "rnrtime" },
	{ "UD SMI GSI", "RTR RTS SQD SQE", "RTS", "", "cur qkey" },
	{ "UC", "SQE", "RTS", "", "cur access" },

	{ ALL_TYPES, "RTS", "SQD", "", "notify" },

	{ CONNECTED, "SQD", "SQD", "", "av alt mig access pkey" },
	{ "RC XINI XTGT", "SQD", "SQD", "", "port timeout" },
	{ "RC XINI", "SQD", "SQD", "", "retry rnrretry rd" },
	{ "RC XTGT", "SQD", "SQD", "", "drd rnrtime" },
	{ "UD SMI GSI", "SQD", "SQD", "", "pkey qkey" },
};

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);
	const char *at;

	for (at = strstr(list, word); at; at = strstr(at + 1, word))
		if ((at == list || at[-1] == ' ') && (!at[n] || at[n] == ' '))
			return true;
	return false;
}

static u32 bits(const char *list)
{
	u32 mask = 0, i;

	for (i = 0; i < HCA_ARRAY_SIZE(attribute); i++)
		if (has_word(list, attribute[i].name))
			mask |= 1u << attribute[i].bit;
	return mask;
}

static bool lookup(u32 t, u32 from, u32 to, u32 *need, u32 *may)
{
	bool any = false;
	u32 i;

	*need = *may = 0;
	for (i = 0; i < HCA_ARRAY_SIZE(rule); i++) {
		if (!has_word(rule[i].types, type_name[t].name) || !has_word(rule[i].from, state_name[from]) ||
		    !has_word(rule[i].to, state_name[to]))
			continue;
		any = true;
		*need |= bits(rule[i].need);
		*may |= bits(rule[i].may);
	}
	return any;
}

/* --- transitions --- */

static int modify(u32 t, u32 from, u32 to, u32 mask)
{
	int err = hca_qp_check_modify((enum hca_qp_type)type_name[t].type, (enum hca_qp_state)from,
				      (enum hca_qp_state)to, mask, &why);

	/* What is missing isn't there, and what is too much is. */
	if (err && why.what == HCA_QP_MISSING)
		assert_true(why.attrs && !(why.attrs & mask));
	else if (err && why.what == HCA_QP_TOO_MANY)
		assert_true(why.attrs && (why.attrs & mask) == why.attrs);
	else if (err)
		assert_true(why.what == HCA_QP_NO_TYPE || why.what == HCA_QP_NO_WAY);
	return err;
}

#define EXPECT(ok, t, from, to, mask) \
	do { \
		int err_ = modify(t, from, to, mask); \
		if (err_ != ((ok) ? 0 : -EINVAL)) \
			fail_msg("%s %s to %s, mask %#x: %d", type_name[t].name, state_name[from], state_name[to], \
				 (unsigned int)(mask), err_); \
	} while (0)

static void check_way(u32 t, u32 from, u32 to, u32 need, u32 may)
{
	u32 bit, sub;

	EXPECT(true, t, from, to, need);
	EXPECT(true, t, from, to, need | 1);
	EXPECT(true, t, from, to, need | may | 1);
	for (bit = 0; bit < 32; bit++) {
		u32 b = 1u << bit;

		if (need & b) {
			EXPECT(false, t, from, to, need & ~b);
			EXPECT(false, t, from, to, ((need | may) & ~b) | 1);
		}
		EXPECT((need | may | 1) & b, t, from, to, need | b);
		EXPECT((need | may | 1) & b, t, from, to, need | may | b | 1);
	}
	for (sub = may; sub; sub = (sub - 1) & may) /* any choice of what may be */
		EXPECT(true, t, from, to, need | sub | 1);
}

static void every_way(void **state)
{
	u32 t, from, to, need, may, bit, ways = 0;

	(void)state;
	for (t = 0; t < HCA_ARRAY_SIZE(type_name); t++) {
		for (from = 0; from < 7; from++) {
			for (to = 0; to < 7; to++) {
				if (lookup(t, from, to, &need, &may)) {
					check_way(t, from, to, need, may);
					ways++;
					continue;
				}
				EXPECT(false, t, from, to, 0);
				EXPECT(false, t, from, to, ~0u);
				for (bit = 0; bit < 32; bit++) {
					EXPECT(false, t, from, to, 1u << bit);
					EXPECT(false, t, from, to, 1u << bit | 1);
				}
			}
		}
	}
	/* 7 to RESET, 6 to ERR, 8 others; from SQE to RTS for four types alone. */
	assert_int_equal(ways, 7 * (7 + 6 + 8) + 4);
}

static void every_mask_of_a_few_ways(void **state)
{
	static const u32 way[][3] = {
		{ 2, HCA_QPS_RESET, HCA_QPS_INIT }, { 2, HCA_QPS_INIT, HCA_QPS_RTR }, { 2, HCA_QPS_RTR, HCA_QPS_RTS },
		{ 4, HCA_QPS_RESET, HCA_QPS_INIT }, { 3, HCA_QPS_SQE, HCA_QPS_RTS },
	};
	u32 i, need, may, mask;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(way); i++) {
		assert_true(lookup(way[i][0], way[i][1], way[i][2], &need, &may));
		for (mask = 0; mask < 1u << 21; mask++)
			if (!modify(way[i][0], way[i][1], way[i][2], mask) !=
			    ((mask & need) == need && !(mask & ~(need | may | 1))))
				fail_msg("way %u, mask %#x", i, (unsigned int)mask);
	}
}

static void unknown_types_and_states(void **state)
{
	static const u32 type[] = { 5, 6, 7, 8, 11, 255, 256, 1u << 31, ~0u }, st[] = { 7, 8, 255, 1u << 31, ~0u };
	u32 i, k;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(type); i++)
		for (k = 0; k < 7; k++)
			assert_int_equal(hca_qp_check_modify((enum hca_qp_type)type[i], (enum hca_qp_state)k,
							     HCA_QPS_RESET, 1, &why),
					 -EINVAL);
	for (i = 0; i < HCA_ARRAY_SIZE(st); i++) {
		for (k = 0; k < 7; k++) {
			assert_int_equal(modify(2, st[i], k, 0), -EINVAL);
			assert_int_equal(modify(2, k, st[i], 0), -EINVAL);
		}
		assert_int_equal(modify(2, st[i], st[i], 0), -EINVAL);
	}
}

/* The numbers are Linux's: programs are built against them. */
static void numbers(void **state)
{
	(void)state;
	assert_int_equal(HCA_QPT_RC, 2);
	assert_int_equal(HCA_QPT_UD, 4);
	assert_int_equal(HCA_QPT_XRC_TGT, 10);
	assert_int_equal(HCA_QPS_SQD, 4);
	assert_int_equal(HCA_QPS_ERR, 6);
	assert_int_equal(HCA_MTU_4096, 5);
	assert_int_equal(HCA_QP_STATE, 1);
	assert_int_equal(HCA_QP_EN_SQD_ASYNC_NOTIFY, 4);
	assert_int_equal(HCA_QP_QKEY, 0x40);
	assert_int_equal(HCA_QP_AV, 0x80);
	assert_int_equal(HCA_QP_RQ_PSN, 0x1000);
	assert_int_equal(HCA_QP_MIN_RNR_TIMER, 0x8000);
	assert_int_equal(HCA_QP_MAX_DEST_RD_ATOMIC, 0x20000);
	assert_int_equal(HCA_QP_DEST_QPN, 0x100000);
	assert_int_equal(HCA_QP_RATE_LIMIT, 0x2000000);
}

/* --- values --- */

static const struct hca_qp_limits limits = { .ports = 2,
					     .max_mtu = HCA_MTU_2048,
					     .pkeys = 3,
					     .gids = 5,
					     .max_rd_atomic = 16,
					     .max_dest_rd_atomic = 20,
					     .has_lids = true };

#define GOOD_AH \
	{ \
		.dlid = 1, .port_num = 1 \
	}

/* Does the refusal name this field, as a consumer knows it? */
static bool is_named(const char *field)
{
	const char *in = strncmp(field, "ah.", 3) ? field : field + 3;
	const char *said = strncmp(why.field, "ah_attr.", 8) ? why.field : why.field + 8;

	return (in == field) == (said == why.field) && !strncmp(in, said, 8);
}

/* The value at the edge is taken, the next one isn't; and without its bit nobody looks. */
#define EDGE(bit, field, good, bad) \
	do { \
		struct hca_qp_attr a_ = { .ah = GOOD_AH }; \
		a_.field = (good); \
		assert_int_equal(hca_qp_check_attr(&a_, bit, &limits, &why), 0); \
		a_.field = (bad); \
		assert_int_equal(hca_qp_check_attr(&a_, bit, &limits, &why), -EINVAL); \
		assert_true(why.what == HCA_QP_VALUE && why.attrs == (bit) && is_named(#field)); \
		assert_int_equal(hca_qp_check_attr(&a_, 0, &limits, &why), 0); \
	} while (0)

static void values_at_their_limits(void **state)
{
	(void)state;
	EDGE(HCA_QP_STATE, qp_state, HCA_QPS_ERR, (enum hca_qp_state)7);
	EDGE(HCA_QP_STATE, qp_state, HCA_QPS_RESET, (enum hca_qp_state) ~0u);
	EDGE(HCA_QP_CUR_STATE, cur_qp_state, HCA_QPS_ERR, (enum hca_qp_state)7);
	EDGE(HCA_QP_PATH_MTU, path_mtu, HCA_MTU_256, (enum hca_mtu)0);
	EDGE(HCA_QP_PATH_MTU, path_mtu, HCA_MTU_2048, HCA_MTU_4096);
	EDGE(HCA_QP_PATH_MTU, path_mtu, HCA_MTU_512, (enum hca_mtu) ~0u);
	EDGE(HCA_QP_PATH_MIG_STATE, path_mig_state, HCA_MIG_MIGRATED, HCA_MIG_REARM);
	EDGE(HCA_QP_RQ_PSN, rq_psn, 0xffffff, 0x1000000);
	EDGE(HCA_QP_SQ_PSN, sq_psn, 0xffffff, 0x1000000);
	EDGE(HCA_QP_DEST_QPN, dest_qp_num, 0xffffff, 0x1000000);
	EDGE(HCA_QP_ACCESS_FLAGS, qp_access_flags, 0x7f, 0x80);
	EDGE(HCA_QP_ACCESS_FLAGS, qp_access_flags, 0x3ff00000, 0x40000000);
	EDGE(HCA_QP_PKEY_INDEX, pkey_index, 2, 3);
	EDGE(HCA_QP_PORT, port_num, 1, 0);
	EDGE(HCA_QP_PORT, port_num, 2, 3);
	EDGE(HCA_QP_MAX_QP_RD_ATOMIC, max_rd_atomic, 16, 17);
	EDGE(HCA_QP_MAX_DEST_RD_ATOMIC, max_dest_rd_atomic, 20, 21);
	EDGE(HCA_QP_MIN_RNR_TIMER, min_rnr_timer, 31, 32);
	EDGE(HCA_QP_TIMEOUT, timeout, 31, 32);
	EDGE(HCA_QP_RETRY_CNT, retry_cnt, 7, 8);
	EDGE(HCA_QP_RNR_RETRY, rnr_retry, 7, 8);
	EDGE(HCA_QP_AV, ah.port_num, 2, 3);
	EDGE(HCA_QP_AV, ah.port_num, 1, 0);
	EDGE(HCA_QP_AV, ah.sl, 15, 16);
	EDGE(HCA_QP_AV, ah.src_path_bits, 127, 128);
	EDGE(HCA_QP_AV, ah.dlid, 0xbfff, 0xc000);
}

static void global_routes(void **state)
{
	struct hca_qp_attr a = {
		.ah = { .port_num = 1, .is_global = 1, .grh = { .sgid_index = 4, .flow_label = 0xfffff } }
	};

	(void)state;
	assert_int_equal(hca_qp_check_attr(&a, HCA_QP_AV, &limits, &why), 0);
	a.ah.grh.sgid_index = 5;
	assert_int_equal(hca_qp_check_attr(&a, HCA_QP_AV, &limits, &why), -EINVAL);
	a.ah.is_global = 0; /* then nobody looks */
	assert_int_equal(hca_qp_check_attr(&a, HCA_QP_AV, &limits, &why), 0);
	a.ah.is_global = 1;
	a.ah.grh.sgid_index = 0;
	a.ah.grh.flow_label = 0x100000;
	assert_int_equal(hca_qp_check_attr(&a, HCA_QP_AV, &limits, &why), -EINVAL);
	a.ah.grh.flow_label = 0;
	a.ah.grh.dgid.raw[0] = 0xff;
	assert_int_equal(hca_qp_check_attr(&a, HCA_QP_AV, &limits, &why), -EINVAL);
	a.ah.grh.dgid.raw[0] = 0xfe;
	assert_int_equal(hca_qp_check_attr(&a, HCA_QP_AV, &limits, &why), 0);
}

/* Where ports have no LIDs, as with RoCE (IBTA annex A17), only a GID leads to a peer. */
static void without_lids_paths_are_global(void **state)
{
	struct hca_qp_limits no_lids = limits;
	struct hca_qp_attr at = { .ah = GOOD_AH };

	(void)state;
	no_lids.has_lids = false;
	assert_int_equal(hca_qp_check_attr(&at, HCA_QP_AV, &limits, &why), 0);
	assert_int_equal(hca_qp_check_attr(&at, HCA_QP_AV, &no_lids, &why), -EINVAL);
	assert_int_equal(hca_qp_check_attr(&at, 0, &no_lids, &why), 0);
	at.ah.is_global = 1;
	assert_int_equal(hca_qp_check_attr(&at, HCA_QP_AV, &no_lids, &why), 0);
}

static void one_bad_value_is_enough(void **state)
{
	const struct hca_qp_attr ok = { .path_mtu = HCA_MTU_1024, .port_num = 1, .ah = GOOD_AH };
	const u32 all = (1u << 21) - 1 - HCA_QP_ALT_PATH - HCA_QP_CAP;
	struct hca_qp_attr a = ok;

	(void)state;
	assert_int_equal(hca_qp_check_attr(&a, all, &limits, &why), 0);
	a.retry_cnt = 8;
	assert_int_equal(hca_qp_check_attr(&a, all, &limits, &why), -EINVAL);
	assert_int_equal(hca_qp_check_attr(&a, all & ~(u32)HCA_QP_RETRY_CNT, &limits, &why), 0);
	assert_int_equal(hca_qp_check_attr(&ok, HCA_QP_ALT_PATH, &limits, &why), -EINVAL);
	assert_int_equal(hca_qp_check_attr(&ok, HCA_QP_CAP, &limits, &why), -EINVAL);
	assert_int_equal(hca_qp_check_attr(&ok, HCA_QP_RATE_LIMIT, &limits, &why), -EINVAL);
}

/* --- times --- */

static void rnr_times(void **state)
{
	/* Hundredths of a millisecond, from the specification's text. */
	static const char text[] =
		"655.36 0.01 0.02 0.03 0.04 0.06 0.08 0.12 0.16 0.24 0.32 0.48 0.64 0.96 1.28 1.92 "
		"2.56 3.84 5.12 7.68 10.24 15.36 20.48 30.72 40.96 61.44 81.92 122.88 163.84 245.76 327.68 491.52";
	const char *at = text;
	u32 code;

	(void)state;
	for (code = 0; code < 32; code++) {
		unsigned int ms, cents;
		int n = 0;

		assert_int_equal(sscanf(at, "%u.%2u%n", &ms, &cents, &n), 2);
		at += n;
		assert_int_equal(hca_rnr_timer_ns(code), (ms * 100ull + cents) * 10000);
		assert_int_equal(hca_rnr_timer_ns(code | 0xe0), hca_rnr_timer_ns(code));
	}
	for (code = 2; code + 2 < 32; code++)
		assert_int_equal(hca_rnr_timer_ns(code + 2), 2 * hca_rnr_timer_ns(code));
}

static void ack_times(void **state)
{
	u64 ns = 8192;
	u32 code;

	(void)state;
	assert_int_equal(hca_ack_timeout_ns(0), 0);
	for (code = 1; code < 32; code++, ns *= 2)
		assert_int_equal(hca_ack_timeout_ns(code), ns);
	assert_int_equal(hca_ack_timeout_ns(14), 67108864); /* the usual one: 67 ms */
	assert_int_equal(hca_ack_timeout_ns(32), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(every_way),
		T(every_mask_of_a_few_ways),
		T(unknown_types_and_states),
		T(numbers),
		T(values_at_their_limits),
		T(global_routes),
		cmocka_unit_test(without_lids_paths_are_global),
		T(one_bad_value_is_enough),
		T(rnr_times),
		T(ack_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
