/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Numbers in a byte order, aligned or not. Included by softhca/kernel.h. */
#ifndef SOFTHCA_KERNEL_BYTEORDER_H
#define SOFTHCA_KERNEL_BYTEORDER_H

#include <linux/types.h>

#include "softhca/hca_types.h"

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define softhca_be16_(x) __builtin_bswap16(x)
#define softhca_be32_(x) __builtin_bswap32(x)
#define softhca_be64_(x) __builtin_bswap64(x)
#define softhca_le16_(x) ((u16)(x))
#define softhca_le32_(x) ((u32)(x))
#define softhca_le64_(x) ((u64)(x))
#else
#define softhca_be16_(x) ((u16)(x))
#define softhca_be32_(x) ((u32)(x))
#define softhca_be64_(x) ((u64)(x))
#define softhca_le16_(x) __builtin_bswap16(x)
#define softhca_le32_(x) __builtin_bswap32(x)
#define softhca_le64_(x) __builtin_bswap64(x)
#endif

/* Constant for a constant argument, so they may initialise static variables. */
#define cpu_to_be16(x) ((__be16)softhca_be16_(x))
#define cpu_to_be32(x) ((__be32)softhca_be32_(x))
#define cpu_to_be64(x) ((__be64)softhca_be64_(x))
#define be16_to_cpu(x) ((u16)softhca_be16_((u16)(x)))
#define be32_to_cpu(x) ((u32)softhca_be32_((u32)(x)))
#define be64_to_cpu(x) ((u64)softhca_be64_((u64)(x)))
#define cpu_to_le16(x) ((__le16)softhca_le16_(x))
#define cpu_to_le32(x) ((__le32)softhca_le32_(x))
#define cpu_to_le64(x) ((__le64)softhca_le64_(x))
#define le16_to_cpu(x) ((u16)softhca_le16_((u16)(x)))
#define le32_to_cpu(x) ((u32)softhca_le32_((u32)(x)))
#define le64_to_cpu(x) ((u64)softhca_le64_((u64)(x)))

#define softhca_order_(bits, order) \
	static inline u##bits order##bits##_to_cpup(const __##order##bits *p) \
	{ \
		return order##bits##_to_cpu(*p); \
	} \
	static inline void order##bits##_add_cpu(__##order##bits *p, u##bits n) \
	{ \
		*p = cpu_to_##order##bits((u##bits)(order##bits##_to_cpu(*p) + n)); \
	} \
	static inline u##bits get_unaligned_##order##bits(const void *at) \
	{ \
		__##order##bits v; \
\
		__builtin_memcpy(&v, at, sizeof(v)); \
		return order##bits##_to_cpu(v); \
	} \
	static inline void put_unaligned_##order##bits(u##bits n, void *at) \
	{ \
		__##order##bits v = cpu_to_##order##bits(n); \
\
		__builtin_memcpy(at, &v, sizeof(v)); \
	}
softhca_order_(16, be) softhca_order_(32, be) softhca_order_(64, be) softhca_order_(16, le) softhca_order_(32, le)
	softhca_order_(64, le)
#undef softhca_order_

	/** put_unaligned_be24() - three bytes, as in SRP and IB headers */
	static inline void put_unaligned_be24(u32 n, void *at)
{
	u8 *to = (u8 *)at;

	to[0] = (u8)(n >> 16);
	to[1] = (u8)(n >> 8);
	to[2] = (u8)n;
}

static inline u32 get_unaligned_be24(const void *at)
{
	const u8 *from = (const u8 *)at;

	return (u32)from[0] << 16 | (u32)from[1] << 8 | from[2];
}

#endif
