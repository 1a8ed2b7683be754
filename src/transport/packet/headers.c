/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Encoding and decoding of transport headers; see headers.h. Pure functions over bytes. */
#include "transport/packet/headers.h"

#define DETH HCA_PKT_HAS_DETH
#define RETH HCA_PKT_HAS_RETH
#define ATOMIC HCA_PKT_HAS_ATOMIC
#define AETH HCA_PKT_HAS_AETH
#define ATOMIC_ACK HCA_PKT_HAS_ATOMIC_ACK
#define IMM HCA_PKT_HAS_IMM
#define IETH HCA_PKT_HAS_IETH
#define SEND (HCA_PKT_IS_SEND | HCA_PKT_DATA)
#define RDMA_WR (HCA_PKT_IS_WRITE | HCA_PKT_DATA)
#define RESP (HCA_PKT_IS_RESPONSE)
#define FIRST HCA_PKT_BEGINS
#define MIDDLE 0u
#define LAST HCA_PKT_ENDS
#define ONLY (HCA_PKT_BEGINS | HCA_PKT_ENDS)

static const u32 ops[HCA_PKT_OPS] = {
	[HCA_PKT_SEND_FIRST] = SEND | FIRST,
	[HCA_PKT_SEND_MIDDLE] = SEND | MIDDLE,
	[HCA_PKT_SEND_LAST] = SEND | LAST,
	[HCA_PKT_SEND_LAST_IMM] = SEND | LAST | IMM,
	[HCA_PKT_SEND_ONLY] = SEND | ONLY,
	[HCA_PKT_SEND_ONLY_IMM] = SEND | ONLY | IMM,
	[HCA_PKT_WRITE_FIRST] = RDMA_WR | FIRST | RETH,
	[HCA_PKT_WRITE_MIDDLE] = RDMA_WR | MIDDLE,
	[HCA_PKT_WRITE_LAST] = RDMA_WR | LAST,
	[HCA_PKT_WRITE_LAST_IMM] = RDMA_WR | LAST | IMM,
	[HCA_PKT_WRITE_ONLY] = RDMA_WR | ONLY | RETH,
	[HCA_PKT_WRITE_ONLY_IMM] = RDMA_WR | ONLY | RETH | IMM,
	[HCA_PKT_READ_REQUEST] = ONLY | RETH,
	[HCA_PKT_READ_RESP_FIRST] = RESP | FIRST | AETH | HCA_PKT_DATA,
	[HCA_PKT_READ_RESP_MIDDLE] = RESP | MIDDLE | HCA_PKT_DATA,
	[HCA_PKT_READ_RESP_LAST] = RESP | LAST | AETH | HCA_PKT_DATA,
	[HCA_PKT_READ_RESP_ONLY] = RESP | ONLY | AETH | HCA_PKT_DATA,
	[HCA_PKT_ACK] = RESP | ONLY | AETH,
	[HCA_PKT_ATOMIC_ACK] = RESP | ONLY | AETH | ATOMIC_ACK,
	[HCA_PKT_CMP_SWAP] = ONLY | ATOMIC,
	[HCA_PKT_FETCH_ADD] = ONLY | ATOMIC,
	[HCA_PKT_SEND_LAST_INV] = SEND | LAST | IETH,
	[HCA_PKT_SEND_ONLY_INV] = SEND | ONLY | IETH,
};

u32 hca_packet_what(u8 opcode)
{
	u32 op = opcode & ~HCA_PKT_SERVICE;

	if (opcode == HCA_PKT_CNP)
		return HCA_PKT_IS_CNP | ONLY;
	if (op >= HCA_PKT_OPS)
		return 0;
	switch (opcode & HCA_PKT_SERVICE) {
	case HCA_PKT_RC:
		return ops[op];
	case HCA_PKT_UC:
		return op <= HCA_PKT_WRITE_ONLY_IMM ? ops[op] : 0;
	case HCA_PKT_UD:
		return op == HCA_PKT_SEND_ONLY || op == HCA_PKT_SEND_ONLY_IMM ? ops[op] | DETH : 0;
	default:
		return 0;
	}
}

/* --- numbers in network order --- */

static u64 get(const u8 *at, u32 bytes)
{
	u64 v = 0;

	while (bytes--)
		v = v << 8 | *at++;
	return v;
}

static u8 *put(u8 *at, u64 v, u32 bytes)
{
	u32 i;

	for (i = bytes; i--; v >>= 8)
		at[i] = (u8)v;
	return at + bytes;
}

/* --- the headers behind the BTH --- */

static u32 extended_len(u32 what)
{
	return (what & DETH ? 8 : 0) + (what & RETH ? 16 : 0) + (what & ATOMIC ? 28 : 0) + (what & AETH ? 4 : 0) +
	       (what & ATOMIC_ACK ? 8 : 0) + (what & (IMM | IETH) ? 4 : 0);
}

static const u8 *get_requests(const u8 *at, struct hca_packet *p)
{
	if (p->what & DETH) {
		p->qkey = (u32)get(at, 4);
		p->sqpn = (u32)get(at + 5, 3);
		at += 8;
	}
	if (p->what & (RETH | ATOMIC)) {
		p->raddr = get(at, 8);
		p->rkey = (u32)get(at + 8, 4);
		at += 12;
	}
	if (p->what & RETH) {
		p->dmalen = (u32)get(at, 4);
		at += 4;
	}
	if (p->what & ATOMIC) {
		p->swap_add = get(at, 8);
		p->compare = get(at + 8, 8);
		at += 16;
	}
	return at;
}

static const u8 *get_rest(const u8 *at, struct hca_packet *p)
{
	if (p->what & AETH) {
		p->syndrome = at[0];
		p->msn = (u32)get(at + 1, 3);
		at += 4;
	}
	if (p->what & ATOMIC_ACK) {
		p->original = get(at, 8);
		at += 8;
	}
	if (p->what & IMM) {
		hca_memcpy(&p->imm, at, 4);
		at += 4;
	}
	if (p->what & IETH) {
		p->imm = (u32)get(at, 4);
		at += 4;
	}
	return at;
}

static bool syndrome_valid(const struct hca_packet *p)
{
	/* A response that brings data is an ACK; only the packet that brings none may be anything else. */
	if ((p->opcode & ~HCA_PKT_SERVICE) != HCA_PKT_ACK)
		return (p->syndrome & HCA_AETH_KIND) == HCA_AETH_ACK;
	switch (p->syndrome & HCA_AETH_KIND) {
	case HCA_AETH_ACK:
	case HCA_AETH_RNR:
		return true;
	case HCA_AETH_NAK:
		return (p->syndrome & HCA_AETH_VALUE) < HCA_NAK_CODES;
	default:
		return false;
	}
}

/* What comes first and in the middle fills the path's packets, and a path's size is a multiple of four. */
static bool payload_valid(const struct hca_packet *p)
{
	if (p->what & HCA_PKT_IS_CNP)
		return p->len == HCA_CNP_BYTES && !p->pad;
	if (!(p->what & HCA_PKT_DATA))
		return !p->len && !p->pad;
	if (!(p->what & HCA_PKT_ENDS))
		return p->len && !p->pad;
	return p->len || p->what & HCA_PKT_BEGINS;
}

/* --- GRH --- */

#define GRH_VERSION 6u
#define GRH_NEXT_BTH 0x1bu
#define ICRC_LEN 4u /* counted by the GRH, though it is the wire's to add */

static int get_grh(const u8 *at, u32 rest, struct hca_packet *p)
{
	u32 word = (u32)get(at, 4);

	if (word >> 28 != GRH_VERSION || at[6] != GRH_NEXT_BTH || get(at + 4, 2) != rest + ICRC_LEN)
		return -EINVAL;
	p->has_grh = true;
	p->raw_grh = at;
	p->grh.traffic_class = (u8)(word >> 20);
	p->grh.flow_label = word & 0xfffff;
	p->grh.hop_limit = at[7];
	hca_memcpy(p->grh.sgid, at + 8, 16);
	hca_memcpy(p->grh.dgid, at + 24, 16);
	return 0;
}

static u8 *put_grh(u8 *at, const struct hca_packet *p, u32 rest)
{
	const struct hca_grh *g = &p->grh;

	at = put(at, GRH_VERSION << 28 | (u32)g->traffic_class << 20 | (g->flow_label & 0xfffff), 4);
	at = put(at, rest + ICRC_LEN, 2);
	*at++ = GRH_NEXT_BTH;
	*at++ = g->hop_limit;
	hca_memcpy(at, g->sgid, 16);
	hca_memcpy(at + 16, g->dgid, 16);
	return at + 32;
}

/* --- whole packets --- */

/* Nothing answers a response, nor what isn't reliable. */
static int bad(const struct hca_packet *p)
{
	return (p->opcode & HCA_PKT_SERVICE) == HCA_PKT_RC && !(p->what & HCA_PKT_IS_RESPONSE) ? -EPROTO : -EINVAL;
}

int hca_packet_decode(const void *bytes, u32 len, bool has_grh, struct hca_packet *p)
{
	const u8 *at = bytes;

	hca_memset(p, 0, sizeof(*p));
	if (has_grh) {
		if (len < HCA_GRH_LEN || get_grh(at, len - HCA_GRH_LEN, p))
			return -EINVAL;
		at += HCA_GRH_LEN;
		len -= HCA_GRH_LEN;
	}
	if (len < HCA_BTH_LEN || len & 3)
		return -EINVAL;
	p->opcode = at[0];
	p->what = hca_packet_what(at[0]);
	/* The transport's version is 0, and there is no other. */
	if (at[1] & 0xf)
		return -EINVAL;
	p->solicited = at[1] >> 7;
	p->migrated = at[1] >> 6 & 1;
	p->pad = at[1] >> 4 & 3;
	p->pkey = (u16)get(at + 2, 2);
	p->fecn = at[4] >> 7;
	p->becn = at[4] >> 6 & 1;
	p->dqpn = (u32)get(at + 5, 3);
	p->ack_req = at[8] >> 7;
	p->psn = (u32)get(at + 9, 3);
	len -= HCA_BTH_LEN;
	if (!p->what || len < extended_len(p->what) + p->pad)
		return bad(p);
	p->payload = get_rest(get_requests(at + HCA_BTH_LEN, p), p);
	p->len = len - extended_len(p->what) - p->pad;
	if (!payload_valid(p))
		return bad(p);
	return p->what & AETH && !syndrome_valid(p) ? -EINVAL : 0;
}

u32 hca_packet_encode(struct hca_packet *p, void *out)
{
	u32 what = hca_packet_what(p->opcode);
	u8 *at = out;

	if (!what)
		return 0;
	p->pad = (u8)(-p->len & 3);
	if (p->has_grh)
		at = put_grh(at, p, HCA_BTH_LEN + extended_len(what) + p->len + p->pad);
	*at++ = p->opcode;
	*at++ = (u8)((u32)p->solicited << 7 | (u32)p->migrated << 6 | (u32)p->pad << 4);
	at = put(at, p->pkey, 2);
	at = put(at, (u32)p->fecn << 31 | (u32)p->becn << 30 | (p->dqpn & HCA_PSN_MASK), 4);
	at = put(at, (u32)p->ack_req << 31 | (p->psn & HCA_PSN_MASK), 4);
	if (what & DETH) {
		at = put(at, p->qkey, 4);
		at = put(at, p->sqpn & HCA_PSN_MASK, 4);
	}
	if (what & (RETH | ATOMIC)) {
		at = put(at, p->raddr, 8);
		at = put(at, p->rkey, 4);
	}
	if (what & RETH)
		at = put(at, p->dmalen, 4);
	if (what & ATOMIC) {
		at = put(at, p->swap_add, 8);
		at = put(at, p->compare, 8);
	}
	if (what & AETH)
		at = put(at, (u32)p->syndrome << 24 | (p->msn & HCA_PSN_MASK), 4);
	if (what & ATOMIC_ACK)
		at = put(at, p->original, 8);
	if (what & IMM) {
		hca_memcpy(at, &p->imm, 4);
		at += 4;
	}
	if (what & IETH)
		at = put(at, p->imm, 4);
	return (u32)(at - (u8 *)out);
}
