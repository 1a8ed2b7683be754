/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The 40 bytes in front of a datagram, as they would have come over a link: its global
 * route header, or on RoCE, between addresses of IPv4, the header of an IPv4 packet.
 * The responder writes them before the payload.
 */
#include "hca/hca.h"
#include "transport/message/message.h"
#include "transport/responder.h"

#define BTH_BYTES 12u
#define DETH_BYTES 8u
#define IMM_BYTES 4u
#define ICRC_BYTES 4u

#define IPV6 6u
#define NEXT_IS_IBA 0x1bu
#define NEXT_IS_UDP 17u

#define IPV4_AT 20u
#define IPV4_BYTES 20u
#define IPV4_AND_WORDS 0x45u /* five words of header */
#define IPV4_DONT_FRAGMENT 0x40u
#define UDP_BYTES 8u
#define MAPPED 12u /* where the IPv4 address is in a mapped one */

static void put16(u8 *to, u32 v)
{
	to[0] = (u8)(v >> 8);
	to[1] = (u8)v;
}

/* What follows the network's header, but for UDP's. */
static u32 transport_bytes(const struct hca_msg *m, bool imm)
{
	return BTH_BYTES + DETH_BYTES + (imm ? IMM_BYTES : 0) + (((u32)m->len + 3) & ~3u) + ICRC_BYTES;
}

/* IBTA vol. 1, 8.3; on RoCE a header of IPv6, with UDP's behind it (annex A17.4.5) */
static void write_ipv6(const struct hca_msg *m, bool imm, bool roce, u8 *out)
{
	u32 first = IPV6 << 28 | (u32)m->ud.traffic_class << 20 | m->ud.flow_label;

	put16(out, first >> 16);
	put16(out + 2, first & 0xffff);
	put16(out + 4, transport_bytes(m, imm) + (roce ? UDP_BYTES : 0));
	out[6] = roce ? NEXT_IS_UDP : NEXT_IS_IBA;
	out[7] = m->ud.hop_limit;
	hca_memcpy(out + 8, m->ud.sgid.raw, sizeof(m->ud.sgid.raw));
	hca_memcpy(out + 24, m->ud.dgid.raw, sizeof(m->ud.dgid.raw));
}

/* RFC 1071: the sum of all words, this one included, is all ones. */
static u32 checksum(const u8 *words)
{
	u32 i, sum = 0;

	for (i = 0; i < IPV4_BYTES; i += 2)
		sum += (u32)words[i] << 8 | words[i + 1];
	sum = (sum >> 16) + (sum & 0xffff);
	return ~(sum + (sum >> 16)) & 0xffff;
}

/* RFC 791; where it lies: IBTA vol. 1, annex A17.4.5. What stands before it says nothing. */
static void write_ipv4(const struct hca_msg *m, bool imm, u8 *out)
{
	u8 *ip = out + IPV4_AT;

	ip[0] = IPV4_AND_WORDS;
	ip[1] = m->ud.traffic_class;
	put16(ip + 2, IPV4_BYTES + UDP_BYTES + transport_bytes(m, imm));
	ip[6] = IPV4_DONT_FRAGMENT;
	ip[8] = m->ud.hop_limit;
	ip[9] = NEXT_IS_UDP;
	hca_memcpy(ip + 12, m->ud.sgid.raw + MAPPED, 4);
	hca_memcpy(ip + 16, m->ud.dgid.raw + MAPPED, 4);
	put16(ip + 10, checksum(ip));
}

void hca_message_grh(const struct hca *hca, const struct hca_msg *m, bool imm, u8 out[HCA_GRH_BYTES])
{
	if (hca_resp_is_ipv4(hca, m))
		write_ipv4(m, imm, out);
	else
		write_ipv6(m, imm, hca->attr.roce, out);
}
