/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The rules of modifying a queue pair: which way its state may go, which attributes
 * each way needs and allows, which values they may have, and what the codes of times
 * stand for. Called by the verbs and by the engine before anything is changed; knows
 * no queue pair and changes none.
 */
#ifndef HCA_QP_STATE_H
#define HCA_QP_STATE_H

#include "os.h"
#include "softhca/hca_verbs.h"

/**
 * struct hca_qp_limits - what a device and its ports can do
 * @ports: how many, numbered from 1
 * @max_mtu: enum hca_mtu: of the port's link
 * @pkeys, @gids: sizes of a port's tables
 * @has_lids: ports have LIDs; else a path is global, and leads to a GID
 * @max_rd_atomic, @max_dest_rd_atomic: reads and atomics of a queue pair, as requester and as responder
 */
struct hca_qp_limits {
	u32 ports;
	u32 max_mtu;
	u32 pkeys;
	u32 gids;
	u32 max_rd_atomic;
	u32 max_dest_rd_atomic;
	bool has_lids;
};

/**
 * enum hca_qp_wrong - what is wrong with a change of a queue pair
 * @HCA_QP_NO_TYPE: no such type, or no such state
 * @HCA_QP_NO_WAY: from this state none leads to that one
 * @HCA_QP_MISSING: attributes that the way needs
 * @HCA_QP_TOO_MANY: attributes that the way doesn't allow
 * @HCA_QP_UNSUPPORTED: attributes that no device of ours has
 * @HCA_QP_VALUE: a field's value
 */
enum hca_qp_wrong {
	HCA_QP_NO_TYPE,
	HCA_QP_NO_WAY,
	HCA_QP_MISSING,
	HCA_QP_TOO_MANY,
	HCA_QP_UNSUPPORTED,
	HCA_QP_VALUE,
};

/**
 * struct hca_qp_refusal - why a change of a queue pair is refused
 * @attrs: enum hca_qp_attr_mask: the attributes it is about
 * @field: of HCA_QP_VALUE: name of the field; @value: what is in it; @rule: what may be
 * @least, @most: of HCA_QP_VALUE without a @rule: what may be
 */
struct hca_qp_refusal {
	enum hca_qp_wrong what;
	u32 attrs;
	const char *field;
	const char *rule;
	u64 value;
	u64 least;
	u64 most;
};

/**
 * hca_qp_check_modify() - may a queue pair go from @cur to @next with these attributes?
 * @cur: where it is; if the consumer gave HCA_QP_CUR_STATE: where he says it is
 * @next: without HCA_QP_STATE, the same as @cur
 * @mask: enum hca_qp_attr_mask; HCA_QP_STATE doesn't count
 * @why: set when it may not
 *
 * The rules are IBTA vol. 1, 11.2.5.3, as Linux applies them: nothing but a state goes with RESET and ERR, ERR isn't
 * reached from RESET, and queues aren't resized. Return: 0; -EINVAL: no such way, an attribute missing, or one too many.
 */
int hca_qp_check_modify(enum hca_qp_type type, enum hca_qp_state cur, enum hca_qp_state next, u32 mask,
			struct hca_qp_refusal *why);

/**
 * hca_qp_check_attr() - are the values of these attributes possible?
 * @mask: which of @attr are meant; the others aren't looked at
 * @why: set when one isn't
 *
 * Return: 0; -EINVAL: a value that can't be, or that @limits forbid.
 */
int hca_qp_check_attr(const struct hca_qp_attr *attr, u32 mask, const struct hca_qp_limits *limits,
		      struct hca_qp_refusal *why);

/** hca_qp_refusal_str() - the same in words, in @buf. Return: @buf */
const char *hca_qp_refusal_str(const struct hca_qp_refusal *why, char *buf, size_t size);

/** hca_qp_state_name() - "RTR"; "?" for a number that is no state */
const char *hca_qp_state_name(enum hca_qp_state state);

/** hca_qp_type_name() - "RC"; "?" for a number that is no type */
const char *hca_qp_type_name(enum hca_qp_type type);

/** hca_rnr_timer_ns() - the time that a requester waits after an RNR NAK with this code; 5 bits count (IBTA vol. 1, 9.7.5.2.8) */
u64 hca_rnr_timer_ns(u32 code);

/** hca_ack_timeout_ns() - 4.096 us times two to the power of the code; 5 bits count; 0 for code 0: no timeout (IBTA vol. 1, 9.7.6.1.3) */
u64 hca_ack_timeout_ns(u32 code);

#endif
