/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The header of connections by IP address; see ip.h. Pure functions over bytes. */
#include "cm/ip.h"

/* An address of IPv4 stands in the last bytes of its field. */
#define SRC 4u
#define DST 20u
#define IPV4_AT 12u
#define IPV4_BYTES 4u

int hca_cm_ip_encode(const struct hca_cm_ip *ip, u8 *out)
{
	u32 skip = ip->version == 4 ? IPV4_AT : 0, n = ip->version == 4 ? IPV4_BYTES : 16;

	if (ip->version != 4 && ip->version != 6)
		return -EINVAL;
	hca_memset(out, 0, HCA_CM_IP_BYTES);
	out[1] = (u8)(ip->version << 4);
	out[2] = (u8)(ip->port >> 8);
	out[3] = (u8)ip->port;
	hca_memcpy(out + SRC + skip, ip->src, n);
	hca_memcpy(out + DST + skip, ip->dst, n);
	return 0;
}

int hca_cm_ip_decode(const u8 *bytes, u32 len, struct hca_cm_ip *ip)
{
	u32 skip, n;

	hca_memset(ip, 0, sizeof(*ip));
	/* The major version is 0, and there is no other; a later minor one keeps what is here. */
	if (len < HCA_CM_IP_BYTES || bytes[0] >> 4)
		return -EINVAL;
	ip->version = bytes[1] >> 4;
	if (ip->version != 4 && ip->version != 6)
		return -EINVAL;
	skip = ip->version == 4 ? IPV4_AT : 0;
	n = ip->version == 4 ? IPV4_BYTES : 16;
	ip->port = (u16)(bytes[2] << 8 | bytes[3]);
	hca_memcpy(ip->src, bytes + SRC + skip, n);
	hca_memcpy(ip->dst, bytes + DST + skip, n);
	return 0;
}
