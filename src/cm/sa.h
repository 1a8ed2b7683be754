/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A small subnet administration, for wires without a subnet manager (IBTA vol. 1, 15.2): each adapter answers for the
 * paths that end at its own port. It answers the methods SubnAdmGet of a PathRecord, and Get of ClassPortInfo for its own
 * class and for the communication manager's. Tables of records, which need RMPP, it refuses. Pure functions.
 */
#ifndef HCA_CM_SA_H
#define HCA_CM_SA_H

#include "cm/mad.h"
#include "hca/gid.h"

#define HCA_MAD_CLASS_SA 0x03u
#define HCA_SA_CLASS_VERSION 2u
#define HCA_MAD_GET 0x01u
#define HCA_MAD_SET 0x02u
#define HCA_MAD_RESPONSE 0x80u /* in the method of an answer */
#define HCA_SA_DATA 56u /* where an attribute begins in a datagram */
#define HCA_MAD_CLASS_PORT_INFO 0x0001u
#define HCA_SA_PATH_RECORD 0x0035u

/** enum hca_sa_status - of an answer (IBTA 13.4.7, 15.2.2) */
enum hca_sa_status {
	HCA_SA_OK = 0,
	HCA_SA_BAD_VERSION = 0x0004,
	HCA_SA_BAD_METHOD = 0x0008,
	HCA_SA_BAD_ATTRIBUTE = 0x000c,
	HCA_SA_REQ_INVALID = 0x0200,
	HCA_SA_NO_RECORDS = 0x0300,
};

/** enum hca_sa_component - which fields of a PathRecord a question gives: bits of its mask */
enum hca_sa_component {
	HCA_SA_SERVICE_ID = 3 << 0,
	HCA_SA_DGID = 1 << 2,
	HCA_SA_SGID = 1 << 3,
	HCA_SA_DLID = 1 << 4,
	HCA_SA_SLID = 1 << 5,
	HCA_SA_RAW = 1 << 6,
	HCA_SA_FLOW_LABEL = 1 << 8,
	HCA_SA_HOP_LIMIT = 1 << 9,
	HCA_SA_TRAFFIC_CLASS = 1 << 10,
	HCA_SA_REVERSIBLE = 1 << 11,
	HCA_SA_NUMB_PATH = 1 << 12,
	HCA_SA_PKEY = 1 << 13,
	HCA_SA_QOS_CLASS = 1 << 14,
	HCA_SA_SL = 1 << 15,
	HCA_SA_MTU_SELECTOR = 1 << 16,
	HCA_SA_MTU = 1 << 17,
	HCA_SA_RATE_SELECTOR = 1 << 18,
	HCA_SA_RATE = 1 << 19,
	HCA_SA_LIFE_SELECTOR = 1 << 20,
	HCA_SA_LIFE = 1 << 21,
};

/** enum hca_sa_selector - how the MTU, rate or life time of a question is compared */
enum hca_sa_selector {
	HCA_SA_GREATER,
	HCA_SA_LESS,
	HCA_SA_EXACTLY,
	HCA_SA_BEST,
};

/**
 * struct hca_sa_path - a PathRecord (IBTA 15.2.5.16), or a question for one
 * @mtu: enum hca_mtu; @rate: IBTA's code; @life: code of 4.096 us * 2^n
 */
struct hca_sa_path {
	u64 service_id;
	u8 dgid[16];
	u8 sgid[16];
	u32 flow_label;
	u16 dlid;
	u16 slid;
	u16 pkey;
	u16 qos_class;
	u8 raw;
	u8 hop_limit;
	u8 traffic_class;
	u8 reversible;
	u8 numb_path;
	u8 sl;
	u8 mtu_selector;
	u8 mtu;
	u8 rate_selector;
	u8 rate;
	u8 life_selector;
	u8 life;
	u8 preference;
};

/**
 * hca_sa_find() - the path to our port
 * @gids, @lid: our port's; from inside, or the caller sees to it that no GID is removed
 * @from: the LID that asks
 * @mask: enum hca_sa_component: what the question gives; @q: the question
 *
 * Return: HCA_SA_OK and the path; else why there is none
 */
enum hca_sa_status hca_sa_find(const struct hca_gids *gids, u32 lid, u32 from, u64 mask, const struct hca_sa_path *q,
			       struct hca_sa_path *path);

/** hca_sa_put() - a path as an attribute of 64 bytes, which are zeros before. Return: 0; -EINVAL: a value that its field can't hold. */
int hca_sa_put(const struct hca_sa_path *path, u8 *at);

/** hca_sa_get() - the opposite; the 64 bytes may be anything */
void hca_sa_get(const u8 *at, struct hca_sa_path *path);

/**
 * hca_sa_answer() - a datagram that came to queue pair 1
 * @from: the LID that it came from
 * @bytes, @len: may be anything
 * @out: room for HCA_MAD_BYTES
 *
 * Return: 0: @out is the answer; -EINVAL: it is no question for us
 */
int hca_sa_answer(const struct hca_gids *gids, u32 lid, u32 from, const u8 *bytes, u32 len, u8 *out);

#endif
