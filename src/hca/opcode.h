/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The one table of opcodes: what each work request is, asked by posting, by both
 * transports and by completions. To add an opcode, add its row here and its action
 * where the row's flags lead to. Constant data; nothing here has a state.
 */
#ifndef HCA_OPCODE_H
#define HCA_OPCODE_H

#include "hca/wr.h"

/** enum hca_packet_op - the five low bits of a packet's opcode (IBTA vol. 1, 9.2.1, table of OpCodes) */
enum hca_packet_op {
	HCA_PKT_SEND_FIRST,
	HCA_PKT_SEND_MIDDLE,
	HCA_PKT_SEND_LAST,
	HCA_PKT_SEND_LAST_IMM,
	HCA_PKT_SEND_ONLY,
	HCA_PKT_SEND_ONLY_IMM,
	HCA_PKT_WRITE_FIRST,
	HCA_PKT_WRITE_MIDDLE,
	HCA_PKT_WRITE_LAST,
	HCA_PKT_WRITE_LAST_IMM,
	HCA_PKT_WRITE_ONLY,
	HCA_PKT_WRITE_ONLY_IMM,
	HCA_PKT_READ_REQUEST,
	HCA_PKT_READ_RESP_FIRST,
	HCA_PKT_READ_RESP_MIDDLE,
	HCA_PKT_READ_RESP_LAST,
	HCA_PKT_READ_RESP_ONLY,
	HCA_PKT_ACK,
	HCA_PKT_ATOMIC_ACK,
	HCA_PKT_CMP_SWAP,
	HCA_PKT_FETCH_ADD,
	HCA_PKT_SEND_LAST_INV = 0x16,
	HCA_PKT_SEND_ONLY_INV,
	HCA_PKT_OPS,
};

/* What a request does. A request that is LOCAL concerns its own adapter alone: it has no entries and sends nothing. */
#define HCA_OP_LOCAL (1u << 0)
#define HCA_OP_READS (1u << 1) /* its answer brings bytes: for its entries */
#define HCA_OP_ATOMIC (1u << 2) /* of 8 bytes */
#define HCA_OP_ONE_SIDED (1u << 3) /* needs nothing of the peer's consumer */
#define HCA_OP_TAKES_RECV (1u << 4) /* takes a receive request of the peer */
#define HCA_OP_IMM (1u << 5) /* brings immediate data */
#define HCA_OP_INV (1u << 6) /* invalidates a key of the peer */
#define HCA_OP_AT_ONCE (1u << 7) /* a transport may carry it out while it is posted */

/**
 * struct hca_opcode - one opcode
 * @name: as messages print it; NULL: there is no such opcode
 * @qp_types: 1 << enum hca_qp_type of each type that may post it (IBTA vol. 1, 10.8.2 and 9.2.1)
 * @flags: HCA_OP_*
 * @local: rights that its own entries need
 * @remote: the one right that it needs at the peer's queue pair and key
 * @wc: the opcode of its completion
 * @recv_wc: the opcode of the receive completion at the peer, if it takes a receive request
 * @first, @middle, @last, @only: enum hca_packet_op of its packets; of a request of one packet @only counts
 */
struct hca_opcode {
	const char *name;
	u32 qp_types;
	u32 flags;
	u32 local;
	u32 remote;
	enum hca_wc_opcode wc;
	enum hca_wc_opcode recv_wc;
	u8 first;
	u8 middle;
	u8 last;
	u8 only;
};

extern const struct hca_opcode hca_opcodes[HCA_WR_OPCODES];

/** hca_opcode() - the row of an opcode that a consumer gave. Return: NULL: there is no such opcode. */
static inline const struct hca_opcode *hca_opcode(u32 op)
{
	return hca_likely(op < HCA_WR_OPCODES && hca_opcodes[op].name) ? &hca_opcodes[op] : NULL;
}

/** hca_qp_is_datagram() - a type whose messages go to whom each request says: UD, and the two management types */
static inline bool hca_qp_is_datagram(enum hca_qp_type type)
{
	return type == HCA_QPT_UD || type == HCA_QPT_GSI || type == HCA_QPT_SMI;
}

/** hca_qp_is_plain() - a type whose requests say no more than what is moved where: RC and UC */
static inline bool hca_qp_is_plain(enum hca_qp_type type)
{
	return type == HCA_QPT_RC || type == HCA_QPT_UC;
}

/** hca_qp_is_reliable() - a type whose requests are acknowledged, and whose errors end the queue pair */
static inline bool hca_qp_is_reliable(enum hca_qp_type type)
{
	return hca_likely(type == HCA_QPT_RC) || type == HCA_QPT_XRC_INI || type == HCA_QPT_XRC_TGT;
}

#endif
