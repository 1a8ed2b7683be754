/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The transport headers of a packet as they stand on a wire: BTH and what follows it
 * for each opcode of RC, UC and UD (IBTA vol. 1, chapter 9), and the GRH that may
 * precede it (8.3). From the other side of a wire comes anything: decoding checks
 * every length, and trusts nothing. Link headers, UDP and CRCs are the wire's own.
 */
#ifndef HCA_TRANSPORT_PACKET_HEADERS_H
#define HCA_TRANSPORT_PACKET_HEADERS_H

#include "hca/opcode.h"

/* The service is in the three high bits of the opcode (IBTA 9.2.1). */
#define HCA_PKT_RC 0x00u
#define HCA_PKT_UC 0x20u
#define HCA_PKT_UD 0x60u
#define HCA_PKT_CNP 0x81u /* congestion notification (IBTA vol. 1, annex A17) */
#define HCA_PKT_SERVICE 0xe0u

/* What an opcode is. The first row says which headers it has, the others what it does. */
#define HCA_PKT_HAS_DETH (1u << 0)
#define HCA_PKT_HAS_RETH (1u << 1)
#define HCA_PKT_HAS_ATOMIC (1u << 2)
#define HCA_PKT_HAS_AETH (1u << 3)
#define HCA_PKT_HAS_ATOMIC_ACK (1u << 4)
#define HCA_PKT_HAS_IMM (1u << 5)
#define HCA_PKT_HAS_IETH (1u << 6)
#define HCA_PKT_IS_SEND (1u << 8)
#define HCA_PKT_IS_WRITE (1u << 9)
#define HCA_PKT_IS_RESPONSE (1u << 10) /* for the requester */
#define HCA_PKT_BEGINS (1u << 11) /* a message */
#define HCA_PKT_ENDS (1u << 12)
#define HCA_PKT_DATA (1u << 13) /* may have a payload */
#define HCA_PKT_IS_CNP (1u << 14)

#define HCA_CNP_BYTES 16u /* reserved, behind the BTH */

/* AETH syndromes (IBTA 9.7.5.2): the kind in the upper bits, its value in the lower five. */
#define HCA_AETH_KIND 0xe0u
#define HCA_AETH_VALUE 0x1fu
#define HCA_AETH_ACK 0x00u /* value: credits; 31: no flow control */
#define HCA_AETH_RNR 0x20u /* value: code of the time to wait */
#define HCA_AETH_NAK 0x60u /* value: enum hca_nak */
#define HCA_AETH_NO_CREDITS 0x1fu

/** enum hca_nak - why */
enum hca_nak {
	HCA_NAK_SEQUENCE,
	HCA_NAK_INV_REQ,
	HCA_NAK_REM_ACCESS,
	HCA_NAK_REM_OP,
	HCA_NAK_INV_RD_REQ,
	HCA_NAK_CODES,
};

#define HCA_GRH_LEN 40u
#define HCA_BTH_LEN 12u
/* The longest: GRH, BTH, AtomicETH; a datagram with GRH, DETH and immediate data is shorter. */
#define HCA_PACKET_HEADER_MAX (HCA_GRH_LEN + HCA_BTH_LEN + 28u)

#define HCA_PSN_MASK 0xffffffu
#define HCA_PSN_HALF 0x800000u

/** struct hca_grh - a global route header's fields (IBTA 8.3); GIDs in network order */
struct hca_grh {
	u32 flow_label;
	u8 traffic_class;
	u8 hop_limit;
	u8 sgid[16];
	u8 dgid[16];
};

/**
 * struct hca_packet - a packet's headers, decoded
 * @opcode: service and enum hca_packet_op
 * @what: HCA_PKT_* of the opcode; set by decoding
 * @solicited, @migrated, @ack_req, @fecn, @becn: bits of the BTH
 * @pad: bytes that follow the payload to a multiple of four
 * @raddr, @rkey, @dmalen: RETH; @raddr, @rkey, @swap_add, @compare: AtomicETH
 * @syndrome, @msn: AETH
 * @original: AtomicAckETH
 * @imm: immediate data, in network order as it came; or the R_Key of an IETH
 * @has_grh: @grh means something
 * @raw_grh: set by decoding: its 40 bytes, or NULL
 * @malformed: hca_packet_decode() returned -EPROTO
 * @payload, @len: set by decoding; for encoding only @len counts
 */
struct hca_packet {
	u8 opcode;
	u8 pad;
	u8 syndrome;
	bool solicited;
	bool migrated;
	bool ack_req;
	bool fecn;
	bool becn;
	bool has_grh;
	bool malformed;
	u16 pkey;
	u32 what;
	u32 dqpn;
	u32 psn;
	u32 qkey;
	u32 sqpn;
	u32 rkey;
	u64 raddr;
	u32 dmalen;
	u32 msn;
	u64 swap_add;
	u64 compare;
	u64 original;
	u32 imm;
	u32 len;
	struct hca_grh grh;
	const u8 *raw_grh;
	const u8 *payload;
};

/** hca_packet_what() - HCA_PKT_* of an opcode; 0: there is none such */
u32 hca_packet_what(u8 opcode);

/**
 * hca_packet_decode() - look at a packet
 * @bytes: from the GRH, if there is one (the wire knows), else from the BTH, to the last byte of padding
 *
 * Reserved bits are passed over, as IBTA has it, but not reserved opcodes, versions, syndromes and NAK codes. How long
 * a payload may be on its path isn't known here.
 *
 * Return: 0; -EPROTO: a request of a reliable connection that can't be, by its opcode or its length: @p has its BTH, and the peer
 * may be owed a NAK (IBTA 9.7.4.1.3); -EINVAL: this can't be a packet, or none that is ever answered.
 */
int hca_packet_decode(const void *bytes, u32 len, bool has_grh, struct hca_packet *p);

/**
 * hca_packet_encode() - write the headers
 * @p: @len says how many bytes of payload will follow; @pad is set
 * @out: room for HCA_PACKET_HEADER_MAX
 *
 * Return: bytes written; 0: no such opcode.
 */
u32 hca_packet_encode(struct hca_packet *p, void *out);

static inline u32 hca_psn_add(u32 psn, u32 n)
{
	return (psn + n) & HCA_PSN_MASK;
}

/** hca_psn_dist() - how many packets @psn comes after @from, 0 to 2^24 - 1 */
static inline u32 hca_psn_dist(u32 psn, u32 from)
{
	return (psn - from) & HCA_PSN_MASK;
}

#endif
