/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections by IP address: the header that stands in front of a REQ's or SIDR_REQ's
 * private data, and the service IDs that ports have (IBTA vol. 1, annex A11).
 */
#ifndef HCA_CM_IP_H
#define HCA_CM_IP_H

#include "os.h"

#define HCA_CM_IP_BYTES 36u

/* A service ID of annex A11: this prefix, 8 bits of protocol, 16 of port. */
#define HCA_CM_IP_PREFIX 0x0000000001000000ull
#define HCA_CM_IP_PREFIX_MASK 0xffffffffff000000ull

/* The protocols of the port spaces: those of IP have its numbers. */
#define HCA_CM_IP_TCP 0x06u
#define HCA_CM_IP_UDP 0x11u

/**
 * struct hca_cm_ip - the addresses of both ends
 * @version: 4 or 6
 * @port: the sender's
 * @src, @dst: in network order; of IPv4 the first four bytes count
 */
struct hca_cm_ip {
	u8 version;
	u16 port;
	u8 src[16];
	u8 dst[16];
};

/** hca_cm_ip_service() - the service ID of a port */
static inline u64 hca_cm_ip_service(u8 protocol, u16 port)
{
	return HCA_CM_IP_PREFIX | (u64)protocol << 16 | port;
}

/** hca_cm_ip_encode() - write HCA_CM_IP_BYTES. Return: 0; -EINVAL: no such version. */
int hca_cm_ip_encode(const struct hca_cm_ip *ip, u8 *out);

/** hca_cm_ip_decode() - Return: 0; -EINVAL: too short, or a version that there isn't */
int hca_cm_ip_decode(const u8 *bytes, u32 len, struct hca_cm_ip *ip);

#endif
